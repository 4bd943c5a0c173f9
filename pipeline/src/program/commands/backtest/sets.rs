//! Several sets of rules in one run.
//!
//! Rules do not know of each other, so a set is the same rules under other identifiers: `new:rain` and `old:rain`. They stand in the
//! place of the rules of the history. Thresholds that rows of the base data have for `rain` are given to all of them.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use riskflow_config::{FileFormat, FileInput, Rule};
use riskflow_model::base::{Asset, Datastream, Region, ThresholdsByRule};
use riskflow_model::rule::{ConditionRecord, RuleRecord};
use riskflow_model::ruleset::parts;
use riskflow_model::topic::Topic;
use riskflow_model::{Number, Problems, Row, Text};

use super::super::rules::checked;
use super::super::sweep::{Swept, sweep};
use super::world::World;
use crate::program::cli::BacktestArguments;
use crate::program::exit::Usage;
use crate::program::terminal::tell;

/// Which set a rule of the run is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetId {
    /// The new rules.
    New,
    /// Those that they are compared with.
    Old,
    /// The new rules with thresholds at nine tenths: what almost was a warning.
    Near,
    /// One of a sweep, by its position.
    Sweep(usize),
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("new"),
            Self::Old => f.write_str("old"),
            Self::Near => f.write_str("near"),
            Self::Sweep(position) => write!(f, "sweep{position}"),
        }
    }
}

impl SetId {
    /// What a rule of this set is called in the run.
    fn name(self, rule: &str) -> Text {
        format!("{self}:{rule}").into()
    }

    /// The set of a rule of the run, and what it is called there; `None` for a name that no set gave.
    pub fn of(name: &str) -> Option<(Self, &str)> {
        let (set, rule) = name.split_once(':')?;
        let set = match set {
            "new" => Self::New,
            "old" => Self::Old,
            "near" => Self::Near,
            other => Self::Sweep(other.strip_prefix("sweep")?.parse().ok()?),
        };
        Some((set, rule))
    }
}

/// All rules of a run.
#[derive(Default)]
pub struct Sets {
    /// The new rules.
    pub new: Vec<RuleRecord>,
    /// What they are compared with.
    pub old: Option<Vec<RuleRecord>>,
    /// The new rules with thresholds at nine tenths; those that there can be.
    pub near: Vec<RuleRecord>,
    /// New rules with other thresholds.
    pub swept: Vec<Swept>,
}

impl Sets {
    /// What the arguments name, beside the rules of the history.
    ///
    /// # Errors
    ///
    /// [`Usage`] or problems: all that is wrong with the rules, after it was told; or with the sweeps.
    pub fn of(arguments: &BacktestArguments, world: &World) -> Result<Self> {
        let new = read(&arguments.rules)?;
        let old = if arguments.against.is_empty() {
            let ids: BTreeSet<&Text> = new.iter().map(|rule| &rule.id).collect();
            let same = world.rules.iter().filter(|rule| ids.contains(&rule.id)).cloned();
            Some(same.collect()).filter(|same: &Vec<RuleRecord>| !same.is_empty())
        } else {
            Some(read(&arguments.against)?)
        };
        let near = arguments.truth.iter().flat_map(|_| new.iter().filter_map(near));
        let sets = Self {
            near: near.collect(),
            swept: sweep(&arguments.sweep, &new)?,
            new,
            old,
        };
        sets.check_names()?;
        Ok(sets)
    }

    /// Each set with its rules.
    fn each(&self) -> impl Iterator<Item = (SetId, &[RuleRecord])> {
        let swept = self.swept.iter().enumerate();
        [(SetId::New, &*self.new), (SetId::Near, &*self.near)]
            .into_iter()
            .chain(self.old.as_deref().map(|old| (SetId::Old, old)))
            .chain(swept.map(|(position, swept)| (SetId::Sweep(position), &*swept.rules)))
    }

    fn check_names(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        for (set, rules) in self.each() {
            for rule in rules {
                if let Err(wrong) = riskflow_model::identifier::check(&set.name(&rule.id)) {
                    let found = format!("`{}`, in the run {wrong}", rule.id);
                    problems.add("id of a rule", found, "a shorter one");
                }
            }
        }
        problems.none_or(Some(()))
    }

    /// Writes the rules of all sets, and the rows with thresholds for them, as files that stand in the place of topics of the history.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path, world: &World) -> Result<Vec<FileInput>> {
        let mut out = Vec::new();
        let rules = self.each().flat_map(|(set, rules)| {
            rules.iter().map(move |rule| {
                Row::new(RuleRecord {
                    id: set.name(&rule.id),
                    ..rule.clone()
                })
            })
        });
        out.push(file(folder, Topic::IN_RULE, rules)?);
        // Those of the history do not count here.
        out.push(file(folder, Topic::IN_RULESET, std::iter::empty())?);
        for topic in self.topics_with_thresholds(world) {
            let rows = world.rows.iter().filter(|(of, _)| *of == topic);
            out.push(file(folder, topic, rows.map(|(_, row)| self.given_to_all(row)))?);
        }
        Ok(out)
    }

    /// The tables with rows that have thresholds for some rule of the run. They are read as they are at the end of the history.
    pub fn topics_with_thresholds(&self, world: &World) -> BTreeSet<Topic> {
        let ids: BTreeSet<&Text> = self.each().flat_map(|(_, rules)| rules).map(|rule| &rule.id).collect();
        let rows = world.rows.iter();
        let rows =
            rows.filter(|(_, row)| thresholds(row).is_some_and(|all| all.iter().any(|(id, _)| ids.contains(id))));
        rows.map(|(topic, _)| *topic).collect()
    }

    /// A row whose thresholds are those of the rules in each set.
    fn given_to_all(&self, row: &Row) -> Row {
        let of_sets = |given: &ThresholdsByRule| -> ThresholdsByRule {
            let entries = given.iter().flat_map(|(id, own)| {
                let sets = self
                    .each()
                    .filter(move |(_, rules)| rules.iter().any(|rule| rule.id == *id));
                sets.map(move |(set, _)| (set.name(id), own.clone()))
            });
            entries.collect()
        };
        if let Some(region) = row.downcast_ref::<Region>() {
            let thresholds = of_sets(&region.thresholds);
            return Row::new(Region {
                thresholds,
                ..region.clone()
            });
        }
        if let Some(asset) = row.downcast_ref::<Asset>() {
            let thresholds = of_sets(&asset.thresholds);
            return Row::new(Asset {
                thresholds,
                ..asset.clone()
            });
        }
        match row.downcast_ref::<Datastream>() {
            Some(datastream) => Row::new(Datastream {
                thresholds: of_sets(&datastream.thresholds),
                ..datastream.clone()
            }),
            None => row.clone(),
        }
    }
}

fn thresholds(row: &Row) -> Option<&ThresholdsByRule> {
    let region = row.downcast_ref::<Region>().map(|row| &row.thresholds);
    let asset = || row.downcast_ref::<Asset>().map(|row| &row.thresholds);
    let datastream = || row.downcast_ref::<Datastream>().map(|row| &row.thresholds);
    region.or_else(asset).or_else(datastream)
}

fn file(folder: &Path, topic: Topic, rows: impl Iterator<Item = Row>) -> Result<FileInput> {
    let path = folder.join(format!("{topic}.ndjson"));
    let write = || -> Result<()> {
        let mut out = BufWriter::new(File::create(&path)?);
        for row in rows {
            out.write_all(&row.to_json()?)?;
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    };
    write().with_context(|| format!("could not write `{}`", path.display()))?;
    Ok(FileInput {
        path,
        topic: Some(topic.name().to_owned()),
        format: Some(FileFormat::Ndjson),
    })
}

/// Rules as `riskflow rules load` reads them, by their identifiers.
fn read(what: &[String]) -> Result<Vec<RuleRecord>> {
    let rows = checked(what)?;
    let given = rows.len();
    let rows = rows.into_iter().filter_map(|(_, row)| {
        let rule = row.downcast_ref::<RuleRecord>()?.clone();
        let id = parts(&rule.id).1.into();
        Some(RuleRecord { id, ..rule })
    });
    let mut rules: Vec<RuleRecord> = rows.collect();
    rules.sort_by(|a, b| a.id.cmp(&b.id));
    if rules.is_empty() {
        let says = "limits of work under permit are not back-tested; give rules of `in.rule`";
        return Err(Usage(says.to_owned()).into());
    }
    if rules.len() < given {
        tell(format_args!(
            "{} limits of work under permit are left out: only rules are back-tested",
            given - rules.len()
        ));
    }
    Ok(rules)
}

/// A rule whose comparisons upward are met at nine tenths of their thresholds; `None` where there are none, or no such rule can be.
fn near(rule: &RuleRecord) -> Option<RuleRecord> {
    let mut near = rule.clone();
    let mut changed = false;
    for level in near.levels.values_mut() {
        lower(&mut level.when, &mut changed);
    }
    Some(near).filter(|near| changed && Rule::check(near.clone()).is_ok())
}

fn lower(condition: &mut ConditionRecord, changed: &mut bool) {
    match condition {
        ConditionRecord::Any { any: parts } | ConditionRecord::All { all: parts } => {
            parts.iter_mut().for_each(|part| lower(part, changed));
        }
        ConditionRecord::During { .. } => {}
        ConditionRecord::Comparison(comparison) => {
            let threshold = comparison.threshold.and_then(Number::thousandths);
            if let Some(threshold) = threshold.filter(|threshold| *threshold > 0 && comparison.op.starts_with('>')) {
                // Not below nine tenths.
                comparison.threshold = Some(Number((threshold * 9 + 9).div_euclid(10) as f64 / 1000.0));
                *changed = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use riskflow_config::packs;

    use super::*;

    #[test]
    fn a_rule_of_the_run_says_which_set_it_is_of() {
        for set in [SetId::New, SetId::Old, SetId::Near, SetId::Sweep(0), SetId::Sweep(63)] {
            assert_eq!(SetId::of(&set.name("a:b.c")), Some((set, "a:b.c")));
        }
        assert_eq!((SetId::of("rain"), SetId::of("other:rain")), (None, None));
    }

    #[test]
    fn what_almost_warns_is_at_nine_tenths_of_each_threshold_upward() {
        let rules = packs::all().unwrap();
        let rain = rules.iter().find(|rule| &*rule.record.id == "rain").unwrap();
        let near = near(&rain.record).unwrap();
        let thresholds = near.levels.values().map(|level| match &level.when {
            ConditionRecord::Comparison(comparison) => comparison.threshold.unwrap().0,
            other => panic!("{other:?}"),
        });
        assert_eq!(thresholds.collect::<Vec<_>>(), [45.0, 45.0, 45.0, 90.0]);
    }

    #[test]
    fn thresholds_of_rows_are_those_of_each_set_that_has_the_rule() {
        let rain = RuleRecord::named("rain".into());
        let wind = RuleRecord::named("wind".into());
        let sets = Sets {
            new: vec![rain.clone()],
            old: Some(vec![rain, wind]),
            ..Sets::default()
        };
        let json = r#"{"code":"33","name":"n","thresholds":{"rain":{"blue":40},"wind":{"red":9},"gas":{"red":1}}}"#;
        let row = Row::new(serde_json::from_str::<Region>(json).unwrap());
        let given = sets.given_to_all(&row);
        let given = thresholds(&given).unwrap().iter().map(|(id, _)| id.to_string());
        assert_eq!(given.collect::<Vec<_>>(), ["new:rain", "old:rain", "old:wind"]);
    }
}
