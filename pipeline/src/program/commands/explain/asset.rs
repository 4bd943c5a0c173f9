//! `riskflow explain ASSET --at TIME`: what the rules said of an asset, and why not more.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use riskflow::runtime::admission::{Admission, Admitted};
use riskflow_config::{Clock, Input, InputRecord, Located, Regional, Rule, Settings, resolve};
use riskflow_model::base::{Asset, Datastream, Region};
use riskflow_model::rule::RuleRecord;
use riskflow_model::ruleset::RuleSet;
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, Id, Key, Level, Lineage, Millis, Row, Shared, Text};
use riskflow_operators::warning::{Incoming, Inquiry, Look, Monitor, Specification, rule, specification_of};
use serde::Serialize;

use super::gathered::{Arrived, Gathered, Wanted};
use super::{Asks, Patience, selected};
use crate::program::exit::{GivenUp, Missing, Usage};

/// What the rules said.
#[derive(Debug, Serialize)]
pub struct Answer {
    pub asset: Shared<Asset>,
    /// The time that is asked about.
    pub at: Millis,
    /// By what had arrived then.
    pub as_of: Millis,
    /// Each rule on each datastream.
    pub rules: Vec<Look>,
    /// The rules whose level was above none, over all datastreams of the asset: their warnings.
    pub warnings: Vec<Warned>,
    /// The datastreams of the asset.
    pub datastreams: Vec<Id<Datastream>>,
    /// Rules that watch none of them, and why not.
    pub not_selected: Vec<NotSelected>,
    /// What else matters.
    pub notes: Vec<String>,
}

/// A rule whose level was above none.
#[derive(Debug, PartialEq, Serialize)]
pub struct Warned {
    pub rule: Text,
    pub level: Level,
    /// Since when the level was that.
    pub at: Millis,
    /// Since when it was above none.
    pub since: Millis,
}

/// A rule that watches nothing of the asset.
#[derive(Debug, PartialEq, Serialize)]
pub struct NotSelected {
    pub rule: Text,
    pub why: String,
}

/// What is asked of an asset.
pub struct Asked<'a> {
    pub asset: &'a str,
    /// The time that is asked about.
    pub at: Millis,
    /// By what was known then.
    pub as_of: Option<Millis>,
    /// Only this rule.
    pub rule: Option<&'a str>,
    /// The rules that watch nothing of it, too.
    pub all_rules: bool,
}

/// What the rules said of an asset at a time, by what was known at another.
///
/// # Errors
///
/// When there is no such asset or rule by then, what is asked cannot be, the input cannot be read, or it takes more than there is
/// patience for.
pub fn find(settings: &Settings, now: Millis, asked: &Asked<'_>, patience: Patience<'_>) -> Result<Answer> {
    let by = by(settings, now, (asked.at, asked.as_of))?;
    if let Input::Files(files) = &settings.input
        && files.iter().any(|file| file.path.as_os_str() == "-")
    {
        let says = "the input is standard input, which cannot be read twice; put it into a file";
        return Err(Usage(says.to_owned()).into());
    }
    let asset: Id<Asset> = Id::new(asked.asset);
    let wanted = Wanted {
        asset: &asset,
        at: asked.at,
        by,
        rule: asked.rule,
        patience,
    };
    let gathered = Gathered::read(settings, &wanted)?;
    let mut answer = answer(settings, &wanted, gathered.arrived, asked.all_rules)?;
    if answer.rules.is_empty() {
        answer.notes.extend(gathered.later);
    }
    Ok(answer)
}

/// By what is known at which time: as asked; else until no observation can change it any more.
fn by(settings: &Settings, now: Millis, (at, as_of): (Millis, Option<Millis>)) -> Result<Millis> {
    let lives = settings.clock == Clock::Live;
    if lives && at > now {
        let says = format!("`--at` is {at}, which is yet to come: it is {now}");
        return Err(Usage(says).into());
    }
    let by = as_of.unwrap_or(at + settings.time.horizon);
    if by < at {
        let says = format!("`--as-of` is {by}, before `--at`, {at}: nothing was known of it; give a later time");
        return Err(Usage(says).into());
    }
    Ok(if lives { by.min(now) } else { by })
}

/// Goes through what arrived, epoch by epoch, and looks.
pub fn answer(settings: &Settings, wanted: &Wanted<'_>, arrived: Vec<Arrived>, all_rules: bool) -> Result<Answer> {
    let monitor = Monitor::new(settings.time, settings.unknown).in_city(settings.zone.clone(), settings.days.clone());
    let mut run = Run {
        admission: Admission {
            time: settings.time,
            case: settings.case,
        },
        inquiry: Inquiry::new(monitor),
        rows: Rows::default(),
        wanted,
        changed_at: BTreeSet::new(),
        too_late: 0,
        given_up: 0,
    };
    let mut arrived = arrived.into_iter().peekable();
    while let Some((epoch, ..)) = arrived.peek() {
        if !(wanted.patience.waits)() {
            return Err(GivenUp.into());
        }
        let epoch = *epoch;
        let of_epoch = std::iter::from_fn(|| arrived.next_if(|(other, ..)| *other == epoch));
        run.epoch(Millis(epoch), of_epoch.collect());
    }
    run.given_up += run.inquiry.pass(wanted.by).len();
    run.answer(all_rules)
}

/// What came so far.
struct Run<'a> {
    admission: Admission,
    inquiry: Inquiry,
    rows: Rows,
    wanted: &'a Wanted<'a>,
    /// The epochs behind the time that is asked about in which something else came in force.
    changed_at: BTreeSet<Millis>,
    too_late: usize,
    given_up: usize,
}

impl Run<'_> {
    fn epoch(&mut self, now: Millis, arrived: Vec<Arrived>) {
        let mut records = Vec::new();
        let mut rows = false;
        for (_, origin, record) in arrived {
            if let InputRecord::Base(key, row) = record {
                let topic = Topic::from_id(origin.topic).expect("a record has an origin in a topic");
                self.rows.put(topic, key, row);
                rows = true;
                continue;
            }
            match self.admission.admit(now.0, origin, record) {
                Admitted::Observed(observed) => records.push(Incoming::Observed(observed)),
                Admitted::Forecast(forecast) => records.push(Incoming::Forecast(Box::new(forecast))),
                Admitted::Refused(_) => self.too_late += 1,
                Admitted::Base(_) | Admitted::Acted(_) | Admitted::Event(_) => {}
            }
        }
        let changed = if rows {
            self.rows.changed(self.wanted.asset)
        } else {
            Vec::new()
        };
        if now > self.wanted.at && !changed.is_empty() {
            self.changed_at.insert(now);
        }
        self.given_up += self.inquiry.epoch(now, changed, records).len();
    }

    fn answer(self, all_rules: bool) -> Result<Answer> {
        let Wanted {
            asset: id,
            at,
            by,
            rule,
            patience: _,
        } = *self.wanted;
        let Some(asset) = self.rows.asset.clone() else {
            let says = format!("the row of asset `{id}` was deleted: by {by} no rule watches it");
            return Err(Missing(says).into());
        };
        let is_wanted = |name: &str| rule.is_none_or(|rule| rule == name);
        let mut looks = self.inquiry.look(at);
        looks.retain(|look| is_wanted(&look.rule));
        looks.sort_by(|one, other| (&one.rule, &one.datastream).cmp(&(&other.rule, &other.datastream)));
        let rules = self.rows.rules();
        let rules = rules.iter().filter(|rule| is_wanted(&rule.record.id));
        let warned = rules.clone().filter_map(|rule| {
            let rule = &rule.record.id;
            let stood = self.inquiry.stood(&Id::new(rule.clone()), id, at)?;
            Some(Warned {
                rule: rule.clone(),
                level: stood.level,
                at: stood.at,
                since: stood.since,
            })
        });
        let warnings = warned.collect();
        let datastreams = self.rows.of(id);
        let watching: BTreeSet<&Text> = looks.iter().map(|look| &look.rule).collect();
        let not_selected = rules.filter(|rule| !watching.contains(&rule.record.id));
        let not_selected = not_selected
            .filter(|_| all_rules || rule.is_some())
            .map(|rule| NotSelected {
                rule: rule.record.id.clone(),
                why: selected::why_not(rule, &datastreams, (&*asset, &self.rows.located(&asset))),
            });
        Ok(Answer {
            not_selected: not_selected.collect(),
            notes: self.notes(),
            datastreams: datastreams.iter().map(|row| row.id.clone()).collect(),
            asset,
            at,
            as_of: by,
            rules: looks,
            warnings,
        })
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(last) = self.changed_at.last() {
            let at = self.wanted.at;
            let as_of = match self.wanted.patience.asks {
                Asks::Terminal => format!("--as-of {at}"),
                Asks::Http => format!("as_of={at}"),
            };
            notes.push(format!(
                "rules or rows of it changed later, the last time at {last}, and it is the later ones that say this; `{as_of}` shows \
                 what was said before"
            ));
        }
        for (count, what) in [
            (self.too_late, "came too late, or lay too far ahead, to count"),
            (
                self.given_up,
                "could not be used: no row of its datastream in time, or no such state",
            ),
        ] {
            match count {
                0 => {}
                1 => notes.push(format!("one record of it {what} (out.deadletter)")),
                count => notes.push(format!("{count} records of it {what} (out.deadletter)")),
            }
        }
        notes
    }
}

/// The rows in force.
#[derive(Default)]
struct Rows {
    regional: Regional,
    /// The codes of regions by key, for a deletion says that only.
    regions: BTreeMap<Key, Shared<Region>>,
    lineage: Lineage,
    asset: Option<Shared<Asset>>,
    datastreams: BTreeMap<Key, Shared<Datastream>>,
    /// As written.
    rules: BTreeMap<Text, Rule>,
    /// The identifiers of rules and sets by key.
    named: BTreeMap<Key, Text>,
    sets: BTreeMap<Text, Shared<RuleSet>>,
    /// What each datastream was evaluated by last, with its identifier.
    given: BTreeMap<Key, (Id<Datastream>, Option<Box<Specification>>)>,
}

impl Rows {
    /// Puts a row in force, or takes the one of a key out.
    fn put(&mut self, topic: Topic, key: Key, row: Option<Row>) {
        if topic == Topic::BASE_REGION {
            if let Some(before) = self.regions.remove(&key) {
                self.lineage.remove(before.code);
                self.regional.remove(&before.code);
            }
            if let Some(region) = row.and_then(Row::downcast::<Region>) {
                self.lineage.put(region.code, region.parent);
                if !region.thresholds.is_empty() {
                    self.regional.insert(region.code, region.clone());
                }
                self.regions.insert(key, region);
            }
        } else if topic == Topic::BASE_ASSET {
            self.asset = row.and_then(Row::downcast::<Asset>);
        } else if topic == Topic::BASE_DATASTREAM {
            put(&mut self.datastreams, key, row.and_then(Row::downcast::<Datastream>));
        } else if topic == Topic::IN_RULE {
            if let Some(id) = self.named.remove(&key) {
                self.rules.remove(&id);
            }
            if let Some(row) = row.and_then(Row::downcast::<RuleRecord>) {
                self.named.insert(key, row.id.clone());
                self.rules.insert(row.id.clone(), rule(&row));
            }
        } else if topic == Topic::IN_RULESET {
            // Of another kind than those of rules, whose keys may be the same.
            let key = Key::of_parts(&["set", &key.to_string()]);
            if let Some(id) = self.named.remove(&key) {
                self.sets.remove(&id);
            }
            if let Some(row) = row.and_then(Row::downcast::<RuleSet>) {
                self.named.insert(key, row.id.text().clone());
                self.sets.insert(row.id.text().clone(), row);
            }
        }
    }

    /// The rules of the live set, in the order of their identifiers.
    fn rules(&self) -> Vec<Rule> {
        let resolved = resolve(&self.rules, &self.sets, Duration::ZERO);
        resolved.live().cloned().collect()
    }

    fn located(&self, asset: &Asset) -> Located {
        Located::of(&self.lineage, asset.region)
    }

    /// The rows of an asset's datastreams.
    fn of(&self, asset: &Id<Asset>) -> Vec<&Shared<Datastream>> {
        let rows = self.datastreams.values().filter(|row| row.asset == *asset);
        let mut rows: Vec<&Shared<Datastream>> = rows.collect();
        rows.sort_by(|one, other| one.id.cmp(&other.id));
        rows
    }

    /// What is to be evaluated otherwise than before.
    fn changed(&mut self, asset: &Id<Asset>) -> Vec<(Id<Datastream>, Option<Box<Specification>>)> {
        let rules = self.rules();
        let on = self.asset.clone().map(|row| {
            let located = self.located(&row);
            (row, located)
        });
        let mut changed = Vec::new();
        for (key, row) in &self.datastreams {
            // What moved away is watched on another asset.
            let on = on.as_ref().filter(|_| row.asset == *asset);
            let next = Some(specification_of(row, on, &rules, &self.regional));
            if self.given.get(key).is_none_or(|(_, given)| *given != next) {
                changed.push((row.id.clone(), next));
            }
        }
        for (key, (id, given)) in &self.given {
            if given.is_some() && !self.datastreams.contains_key(key) {
                changed.push((id.clone(), None));
            }
        }
        for (id, next) in &changed {
            self.given.insert(id.key(), (id.clone(), next.clone()));
        }
        changed
    }
}

fn put<T>(rows: &mut BTreeMap<Key, T>, key: Key, row: Option<T>) {
    match row {
        Some(row) => drop(rows.insert(key, row)),
        None => drop(rows.remove(&key)),
    }
}

#[cfg(test)]
mod tests;
