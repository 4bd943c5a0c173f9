//! What was found, for people and for machines.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_config::{
    GivenProblem, Givers, Located, Regional, Reports, Rule, RuleWarning, Unmatched, Whose, given_by_asset,
    given_by_region, meet,
};
use riskflow_model::base::{Asset, Datastream, Region};
use riskflow_model::id::RuleOrLimit;
use riskflow_model::intake::Limit;
use riskflow_model::rule::RuleRecord;
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, Id, Key, Lineage, RegionCode, Text, duration};
use riskflow_operators::warning;
use serde::Serialize;

use super::stock::{Refused, Stock};
use crate::program::terminal::table;

/// For people so many of each are listed; machines get all.
const LISTED: usize = 20;

/// What a job with these rows would refuse, and what its rules meet.
#[derive(Serialize)]
pub struct Report {
    ok: bool,
    refused: Vec<RefusedRow>,
    rules: Vec<RuleRow>,
    limits: usize,
    datastreams: usize,
    assets: usize,
    unmatched: Vec<UnmatchedRow>,
    passed_over: Vec<String>,
    /// What rules hardly mean. They can be used all the same.
    warnings: Vec<WarningRow>,
}

/// A record that would be refused.
#[derive(Serialize)]
struct RefusedRow {
    place: String,
    topic: &'static str,
    reason: &'static str,
    problems: Vec<String>,
    /// What stays in force under its key; null if nothing does.
    in_force: Option<InForce>,
}

#[derive(Serialize)]
struct InForce {
    id: Text,
    version: Option<u32>,
}

/// A rule, and the datastreams that it watches.
#[derive(Serialize)]
struct RuleRow {
    id: Id<RuleRecord>,
    version: u32,
    name: Text,
    place: String,
    datastreams: Vec<Id<Datastream>>,
    /// How many of these go by thresholds that are not the rule's, by whose these are: `datastream`, `asset`, `region 330902`.
    thresholds_of: BTreeMap<String, usize>,
}

/// Something in a rule that will hardly do what its author means.
#[derive(Serialize)]
struct WarningRow {
    rule: Id<RuleRecord>,
    place: String,
    #[serde(flatten)]
    warning: RuleWarning,
}

/// A datastream with something that meets nothing, or a pair that is wrong together.
#[derive(Serialize)]
struct UnmatchedRow {
    datastream: Option<Id<Datastream>>,
    asset: Option<Id<Asset>>,
    region: Option<RegionCode>,
    rule: Option<Id<RuleOrLimit>>,
    kind: &'static str,
    detail: String,
    mistake: bool,
}

impl Report {
    /// Matches all rows as the job does. With the horizon of observations it is also said what rules hardly mean.
    pub fn of(stock: Stock, horizon: Option<Duration>) -> Self {
        let refused = stock.refused().into_iter();
        let refused = refused.map(|refused| RefusedRow::of(refused, &stock)).collect();
        let mut rules: Vec<(Rule, &str)> = Vec::new();
        let mut assets: BTreeMap<Key, &Asset> = BTreeMap::new();
        let mut datastreams: Vec<&Datastream> = Vec::new();
        let (mut lineage, mut regional) = (Lineage::default(), Regional::new());
        let limits = stock
            .rows
            .keys()
            .filter(|(topic, _)| *topic == Topic::BASE_LIMIT)
            .count();
        let mut unmatched = Vec::new();
        for ((_, key), (row, place)) in &stock.rows {
            if let Some(rule) = row.downcast_ref() {
                rules.push((warning::rule(rule), place));
            } else if let Some(region) = row.clone().downcast::<Region>() {
                lineage.put(region.code, region.parent);
                if !region.thresholds.is_empty() {
                    regional.insert(region.code, region);
                }
            } else if let Some(asset) = row.downcast_ref::<Asset>() {
                assets.insert(*key, asset);
            } else if let Some(datastream) = row.downcast_ref() {
                datastreams.push(datastream);
            } else if let Some(Limit { id, .. }) = row.downcast_ref()
                && stock.rows.contains_key(&(Topic::IN_RULE, *key))
            {
                unmatched.push(UnmatchedRow {
                    datastream: None,
                    asset: None,
                    region: None,
                    rule: Some(id.widen()),
                    kind: "limit_as_rule",
                    detail: format!("a limit and a rule are both `{id}`: their warnings would be the same"),
                    mistake: true,
                });
            }
        }
        rules.sort_by(|(a, _), (b, _)| a.cmp(b));
        datastreams.sort_by(|a, b| a.id.cmp(&b.id));
        let mut met = vec![MetBy::default(); rules.len()];
        let mut of_assets: BTreeMap<Key, Vec<&Datastream>> = BTreeMap::new();
        let plans = || rules.iter().map(|(rule, _)| rule);
        for datastream in &datastreams {
            of_assets.entry(datastream.asset.key()).or_default().push(datastream);
            let asset = assets.get(&datastream.asset.key()).copied();
            let located = asset.map_or_else(Located::default, |asset| Located::of(&lineage, asset.region));
            let asset = asset.map(|asset| (asset, &located));
            let found = meet(plans(), datastream, asset, &regional);
            for watching in found.rules {
                met[watching.rule].add(&datastream.id, &watching.givers);
            }
            let told = found.unmatched.into_iter();
            unmatched.extend(told.map(|one| UnmatchedRow {
                datastream: Some(datastream.id.clone()),
                ..UnmatchedRow::of(&one, stock.all_rules)
            }));
        }
        for (key, asset) in &assets {
            let located = Located::of(&lineage, asset.region);
            let rows = of_assets.get(key).map_or(&[][..], Vec::as_slice).iter().copied();
            let told = given_by_asset(plans(), (asset, &located), rows).into_iter();
            unmatched.extend(told.map(|one| UnmatchedRow {
                asset: Some(asset.id.clone()),
                ..UnmatchedRow::of(&one, stock.all_rules)
            }));
        }
        for region in regional.values() {
            let told = given_by_region(plans(), region).into_iter();
            unmatched.extend(told.map(|one| UnmatchedRow {
                region: Some(region.code),
                ..UnmatchedRow::of(&one, stock.all_rules)
            }));
        }
        let warnings = horizon.map_or_else(Vec::new, |horizon| warnings(&rules, &met, &datastreams, horizon));
        let rules = rules.iter().zip(met).map(|((rule, place), met)| RuleRow {
            id: Id::new(rule.record.id.clone()),
            version: rule.record.version,
            name: rule.record.name.clone(),
            place: (*place).to_owned(),
            datastreams: met.datastreams,
            thresholds_of: met
                .thresholds_of
                .into_iter()
                .map(|(whose, count)| (whose.to_string(), count))
                .collect(),
        });
        let mut report = Self {
            ok: false,
            refused,
            rules: rules.collect(),
            limits,
            datastreams: datastreams.len(),
            assets: assets.len(),
            unmatched,
            passed_over: stock.passed_over.clone(),
            warnings,
        };
        report.ok = report.refused.is_empty() && !report.unmatched.iter().any(|row| row.mistake);
        report
    }

    /// Whether anything is refused.
    pub const fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// How many datastreams a rule watches.
    pub fn watched_by(&self, rule: &str) -> usize {
        let rule = self.rules.iter().find(|row| &*row.id == rule);
        rule.map_or(0, |rule| rule.datastreams.len())
    }

    /// Whether there is a rule or a limit, a refused one included.
    pub fn has_rules(&self) -> bool {
        self.limits > 0 || !self.rules.is_empty() || !self.refused.is_empty()
    }

    /// Whether there is anything that rules hardly mean.
    pub const fn has_warnings(&self) -> bool {
        !self.warnings.is_empty()
    }

    /// Whether nothing would be refused and nothing is wrong together.
    pub const fn is_clean(&self) -> bool {
        self.ok
    }

    /// One JSON object.
    pub fn as_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is plain data")
    }

    /// Lines.
    pub fn for_people(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for refused in self.refused.iter().take(LISTED) {
            lines.push(format!("{} ({}): {}", refused.place, refused.topic, refused.reason));
            lines.extend(refused.problems.iter().map(|problem| format!("  {problem}")));
            lines.push(match &refused.in_force {
                Some(InForce {
                    id,
                    version: Some(version),
                }) => format!("  version {version} of `{id}` stays in force"),
                Some(InForce { id, version: None }) => format!("  the row that `{id}` had before stays in force"),
                None => "  nothing is in force in its place".to_owned(),
            });
        }
        more(&mut lines, self.refused.len(), "records that are refused");
        if !self.rules.is_empty() {
            let rows = self.rules.iter().map(|rule| {
                let few: Vec<&str> = rule.datastreams.iter().take(3).map(|id| &**id).collect();
                let dots = if rule.datastreams.len() > few.len() {
                    ", …"
                } else {
                    ""
                };
                let (count, few) = (rule.datastreams.len().to_string(), format!("{}{dots}", few.join(", ")));
                vec![rule.id.to_string(), rule.version.to_string(), count, few]
            });
            lines.push(table(&["rule", "version", "datastreams", ""], rows));
        }
        for rule in self.rules.iter().filter(|rule| !rule.thresholds_of.is_empty()) {
            let of = rule
                .thresholds_of
                .iter()
                .map(|(whose, count)| format!("{whose} ({count})"));
            let of = of.collect::<Vec<_>>().join(", ");
            lines.push(format!(
                "rule `{}`: so many datastreams go by thresholds of the {of}",
                rule.id
            ));
        }
        for mistake in [true, false] {
            let rows: Vec<&UnmatchedRow> = self.unmatched.iter().filter(|row| row.mistake == mistake).collect();
            if rows.is_empty() {
                continue;
            }
            lines.push(
                if mistake {
                    "what does not fit:"
                } else {
                    "what comes to nothing, maybe as meant:"
                }
                .to_owned(),
            );
            lines.extend(rows.iter().take(LISTED).map(|row| row.for_people()));
            more(&mut lines, rows.len(), "of these");
        }
        if !self.warnings.is_empty() {
            lines.push("what rules may not mean:".to_owned());
            let rows = self.warnings.iter().take(LISTED);
            lines.extend(rows.map(|row| format!("  rule `{}`: {}", row.rule, row.warning)));
            more(&mut lines, self.warnings.len(), "of these");
        }
        lines.extend(
            self.passed_over
                .iter()
                .map(|file| format!("{file} was not read: its name does not tell what it holds; give `TOPIC=FILE`")),
        );
        let limits = match self.limits {
            0 => String::new(),
            limits => format!("; {limits} limits of work under permit"),
        };
        let mistakes = self.unmatched.iter().filter(|row| row.mistake).count();
        lines.push(format!(
            "{}: {} rules, {} assets, {} datastreams; {} refused, {} that do not fit{limits}",
            if self.ok { "ok" } else { "not ok" },
            self.rules.len(),
            self.assets,
            self.datastreams,
            self.refused.len(),
            mistakes
        ));
        lines
    }
}

fn more(lines: &mut Vec<String>, all: usize, what: &str) {
    if all > LISTED {
        lines.push(format!("  and {} more {what}; `--json` lists all", all - LISTED));
    }
}

impl RefusedRow {
    fn of(refused: &Refused, stock: &Stock) -> Self {
        let in_force = stock.in_force(refused).map(|row| InForce {
            id: row.id(),
            version: row.version(),
        });
        Self {
            place: refused.place.clone(),
            topic: refused.topic.name(),
            reason: refused.reason,
            problems: refused.problems.clone(),
            in_force,
        }
    }
}

/// What is hardly meant, rule by rule.
fn warnings(rules: &[(Rule, &str)], met: &[MetBy], datastreams: &[&Datastream], horizon: Duration) -> Vec<WarningRow> {
    let intervals = datastreams.iter().filter_map(|row| {
        let interval = duration::parse(row.interval.as_ref()?).ok()?;
        Some((&row.id, Duration(interval)))
    });
    let intervals: BTreeMap<&Id<Datastream>, Duration> = intervals.collect();
    let of_rule = rules.iter().zip(met).flat_map(|((rule, place), met)| {
        let reports = met.datastreams.iter().filter_map(|id| {
            Some(Reports {
                datastream: id.text().clone(),
                interval: *intervals.get(id)?,
            })
        });
        let warnings = rule.lint(&reports.collect::<Vec<_>>(), horizon).into_iter();
        warnings.map(move |warning| WarningRow {
            rule: Id::new(rule.record.id.clone()),
            place: (*place).to_owned(),
            warning,
        })
    });
    of_rule.collect()
}

/// What a rule watches.
#[derive(Clone, Default)]
struct MetBy {
    datastreams: Vec<Id<Datastream>>,
    thresholds_of: BTreeMap<Whose, usize>,
}

impl MetBy {
    fn add(&mut self, datastream: &Id<Datastream>, givers: &Givers) {
        self.datastreams.push(datastream.clone());
        let givers = givers.iter().flat_map(|givers| givers.iter().flatten());
        for whose in givers.copied().collect::<BTreeSet<Whose>>() {
            *self.thresholds_of.entry(whose).or_default() += 1;
        }
    }
}

impl UnmatchedRow {
    fn for_people(&self) -> String {
        let about = (self.datastream.as_ref().map(|id| format!("datastream `{id}`")))
            .or_else(|| self.asset.as_ref().map(|id| format!("asset `{id}`")))
            .or_else(|| self.region.map(|code| format!("region `{code}`")));
        match about {
            Some(about) => format!("  {about}: {}", self.detail),
            None => format!("  {}", self.detail),
        }
    }

    /// It says nothing yet of which row it is.
    fn of(unmatched: &Unmatched, all_rules: bool) -> Self {
        // Where only some rules are known the missing one may be among the others.
        let is_missing = |problem: &GivenProblem| *problem == GivenProblem::RuleMissing;
        let mistake = match unmatched {
            Unmatched::RuleMissing { .. } => all_rules,
            Unmatched::OfAsset { problem, .. } | Unmatched::OfRegion { problem, .. } if is_missing(problem) => {
                all_rules
            }
            other => other.is_mistake(),
        };
        Self {
            datastream: None,
            asset: None,
            region: None,
            rule: unmatched.rule().map(Id::widen),
            kind: unmatched.kind(),
            detail: unmatched.to_string(),
            mistake,
        }
    }
}
