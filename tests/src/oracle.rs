//! The batch oracle: what every table must hold after an epoch, computed from nothing but the records up to then.
//!
//! Written from `design.md` section 3 and ARCHITECTURE.md ("Semantics, where the design left room"), naively: features
//! by filtering all observations at each instant, levels by walking instants, regions by summing their assets. It shares
//! no code with `operators/`; only the checked form of a rule, which is configuration, is common.

use std::collections::{BTreeMap, BTreeSet};

use riskflow::graph::Semantics;
use riskflow::replay::EpochInput;
use riskflow_config::{BaseRow, InputRecord, PairProblem, Rule};
use riskflow_model::base::{Asset, Datastream, Region};
use riskflow_model::observation::{Observation, Reading};
use riskflow_model::output::{
    AssetRisk, CaseDelta, CaseState, Cause, DeltaKind, Notice, Origin, Reason, RegionRisk, ReportTotal, Response,
    Unmatched, WarningDelta, WarningState,
};
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Level, Millis, Shared, Text};

use crate::oracle::level::{Track, level_at};
use crate::oracle::permit::{Permits, Permitted};
use crate::oracle::report::Reports;

mod act;
mod bureau;
mod case;
mod level;
mod notice;
mod permit;
mod region;
mod report;
mod response;
mod timeline;
mod unit;
mod unmatched;
mod walk;

/// What is visible after an epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    /// Asset risks by identifier.
    pub assets: BTreeMap<Text, AssetRisk>,
    /// Region risks by region and domain.
    pub regions: BTreeMap<String, RegionRisk>,
    /// Open warnings by identifier.
    pub warnings: BTreeMap<Text, WarningState>,
    /// Totals of reports, keyed as on the topic.
    pub totals: BTreeMap<String, ReportTotal>,
    /// What meets nothing, keyed as on the topic.
    pub unmatched: BTreeMap<String, Unmatched>,
    /// What happened in the epoch.
    pub deltas: BTreeSet<Told>,
    /// Cases by identifier.
    pub cases: BTreeMap<Text, CaseState>,
    /// What happened to cases in the epoch.
    pub case_deltas: BTreeSet<CaseDelta>,
    /// Who is told in the epoch.
    pub notices: BTreeSet<Notice>,
    /// Response times by key.
    pub responses: BTreeMap<String, Response>,
    /// What could not be used in the epoch.
    pub dead: BTreeSet<(Reason, Origin)>,
}

/// A delta without its explanation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// The episode.
    pub id: Text,
    /// What happened.
    pub kind: DeltaKind,
    /// Why.
    pub cause: Cause,
    /// The rule.
    pub rule: Text,
    /// The asset.
    pub asset: Text,
    /// Since when.
    pub since: Millis,
    /// When.
    pub at: Millis,
    /// Level before and after.
    pub levels: (Level, Level),
}

impl Told {
    /// Of a delta of the stream.
    #[must_use]
    pub fn of(delta: &WarningDelta) -> Self {
        Self {
            id: delta.id.clone(),
            kind: delta.kind,
            cause: delta.cause,
            rule: delta.rule.clone(),
            asset: delta.asset.clone(),
            since: delta.since,
            at: delta.at,
            levels: (delta.from, delta.to),
        }
    }
}

/// One rule on one datastream, in force since some epoch.
#[derive(Clone, Debug)]
struct Entry {
    rule: Rule,
    asset: Text,
    /// On and off thresholds in the rule's unit, for each comparison.
    thresholds: Vec<Option<[unit::Fraction; 2]>>,
    conversion: unit::Conversion,
    /// What is at or before this time is not seen.
    floor: i64,
}

/// A known datastream.
#[derive(Clone, Debug, Default)]
struct Stream {
    series: BTreeMap<i64, Reading>,
    floor: Option<i64>,
    entries: BTreeMap<Text, Entry>,
    /// The rows behind the entries, to tell a changed base from a changed rule.
    rows: Option<(Shared<Datastream>, Shared<Asset>)>,
}

/// Rule, asset and datastream.
type Member = (Text, Text, Text);

/// Levels of every entry: the track, and whether its level is stale.
type Levels = BTreeMap<Member, (Track, bool)>;

/// The oracle after some epochs.
pub struct Oracle {
    semantics: Semantics,
    regions: BTreeMap<Key, Shared<Region>>,
    assets: BTreeMap<Key, Shared<Asset>>,
    datastreams: BTreeMap<Key, Shared<Datastream>>,
    rules: BTreeMap<Key, Rule>,
    streams: BTreeMap<Key, Stream>,
    permits: Permits,
    reports: Reports,
    alone: unmatched::Alone,
    waiting: BTreeMap<Key, Vec<(i64, Origin, Observation)>>,
    levels: Levels,
    open: BTreeMap<(Text, Text), (i64, Level)>,
    cases: case::Cases,
    /// Scores of regions after each epoch.
    scores: Vec<(i64, BTreeMap<String, i64>)>,
}

impl Oracle {
    /// Before the first epoch.
    #[must_use]
    pub fn new(semantics: Semantics) -> Self {
        Self {
            semantics,
            regions: BTreeMap::new(),
            assets: BTreeMap::new(),
            datastreams: BTreeMap::new(),
            rules: BTreeMap::new(),
            streams: BTreeMap::new(),
            permits: Permits::default(),
            reports: Reports::default(),
            alone: unmatched::Alone::default(),
            waiting: BTreeMap::new(),
            levels: Levels::new(),
            open: BTreeMap::new(),
            cases: case::Cases::default(),
            scores: Vec::new(),
        }
    }

    /// Takes an epoch in, and says what is visible after it.
    pub fn step(&mut self, input: &EpochInput) -> Expected {
        let now = input.epoch.0;
        let mut records = input.records.clone();
        records.sort_by_key(|(origin, _)| *origin);
        let mut expected = Expected::default();
        let mut causes: BTreeMap<Key, Cause> = BTreeMap::new();
        for (origin, record) in &records {
            if let InputRecord::Base(key, row) = record {
                self.base(origin.topic, *key, row.as_ref());
                self.permits.base(origin.topic, *key, row.as_ref());
                self.reports.base(origin.topic, *key, row.as_ref());
            }
        }
        self.know(now, &mut expected);
        let mut entry_causes = self.specify(now);
        for (origin, record) in &records {
            if let InputRecord::Observation(observation) = record {
                self.observe(now, *origin, observation, &mut causes, &mut expected);
            }
        }
        let mut levels = self.evaluate(now);
        let Permitted {
            levels: permitted,
            entries,
            papers,
        } = self.permits.step(now, &self.assets);
        levels.extend(permitted);
        entry_causes.extend(entries);
        let named = self.causes(&levels, &entry_causes, &causes, &papers);
        self.episodes(now, &levels, &named, &mut expected);
        self.levels = levels;
        self.risks(&mut expected);
        self.region_rows(now, &mut expected);
        expected.totals = self.reports.totals();
        let tables = unmatched::Tables {
            assets: &self.assets,
            datastreams: &self.datastreams,
            rules: &self.rules,
        };
        expected.unmatched = self.alone.step(now, self.semantics.unmatched.after, &tables);
        self.cases.step(&self.semantics, now, &records, &mut expected);
        expected
    }

    fn base(&mut self, topic: u16, key: Key, row: Option<&BaseRow>) {
        match row {
            Some(BaseRow::Region(row)) => drop(self.regions.insert(key, row.clone())),
            Some(BaseRow::Asset(row)) => drop(self.assets.insert(key, row.clone())),
            Some(BaseRow::Datastream(row)) => drop(self.datastreams.insert(key, row.clone())),
            Some(BaseRow::Rule(row)) => drop(self.rules.insert(key, row.clone())),
            None if topic == Topic::BaseRegion.index() => drop(self.regions.remove(&key)),
            None if topic == Topic::BaseAsset.index() => drop(self.assets.remove(&key)),
            None if topic == Topic::BaseDatastream.index() => drop(self.datastreams.remove(&key)),
            None if topic == Topic::InRule.index() => drop(self.rules.remove(&key)),
            _ => {}
        }
    }

    /// Datastreams become known or unknown; what waited too long is given up.
    fn know(&mut self, now: i64, expected: &mut Expected) {
        let hold = self.semantics.unknown.hold;
        self.streams.retain(|key, _| self.datastreams.contains_key(key));
        for waiting in self.waiting.values_mut() {
            for (_, origin, _) in waiting.iter().filter(|(arrival, ..)| now > arrival + hold) {
                expected.dead.insert((Reason::UnknownDatastream, *origin));
            }
            waiting.retain(|(arrival, ..)| now <= arrival + hold);
        }
        for key in self.datastreams.keys() {
            let stream = self.streams.entry(*key).or_default();
            for (_, _, observation) in self.waiting.remove(key).unwrap_or_default() {
                apply(&mut stream.series, &observation);
            }
        }
    }

    /// Entries as of now; for each that came or went, why.
    fn specify(&mut self, now: i64) -> BTreeMap<Member, Cause> {
        let mut causes = BTreeMap::new();
        // A datastream that is not known any more has lost its entries; its rows are gone.
        for (rule, asset, datastream) in self.levels.keys() {
            if &**datastream != "permit" && !self.datastreams.contains_key(&Key::of(datastream)) {
                causes.insert((rule.clone(), asset.clone(), datastream.clone()), Cause::BaseChange);
            }
        }
        for (key, stream) in &mut self.streams {
            let datastream = self.datastreams[key].clone();
            let asset = self.assets.get(&Key::of(&datastream.asset)).cloned();
            let rows = asset.map(|asset| (datastream.clone(), asset));
            let wanted = wanted(rows.as_ref(), &self.rules);
            let same = wanted.len() == stream.entries.len()
                && wanted
                    .iter()
                    .all(|(id, entry)| stream.entries.get(id).is_some_and(|old| alike(old, entry)));
            let same_rows = rows == stream.rows;
            stream.rows = rows;
            if same {
                continue;
            }
            let reach = stream.entries.values().map(|entry| entry.rule.reach).max().unwrap_or(0);
            let time = self.semantics.time;
            let floor = now - time.horizon - time.retain.max(reach);
            stream.floor = Some(stream.floor.map_or(floor, |old| old.max(floor)));
            let came_or_went = if same_rows {
                Cause::RuleChange
            } else {
                Cause::BaseChange
            };
            let mut next = BTreeMap::new();
            for (id, entry) in wanted {
                let old = stream.entries.remove(&id);
                let member = (id.clone(), entry.asset.clone(), datastream.id.clone());
                match old {
                    Some(old) if alike(&old, &entry) => drop(next.insert(id, old)),
                    old => {
                        let cause = match &old {
                            Some(old) if old.rule != entry.rule => Cause::RuleChange,
                            Some(_) => Cause::BaseChange,
                            None => came_or_went,
                        };
                        if let Some(old) = old {
                            causes.insert((id.clone(), old.asset, datastream.id.clone()), cause);
                        }
                        causes.insert(member, cause);
                        next.insert(
                            id,
                            Entry {
                                floor: stream.floor.unwrap_or(i64::MIN),
                                ..entry
                            },
                        );
                    }
                }
            }
            for (id, old) in std::mem::replace(&mut stream.entries, next) {
                causes.insert((id, old.asset, datastream.id.clone()), came_or_went);
            }
        }
        causes
    }

    fn observe(
        &mut self,
        now: i64,
        origin: Origin,
        observation: &Observation,
        causes: &mut BTreeMap<Key, Cause>,
        expected: &mut Expected,
    ) {
        let (time, settings) = (observation.time.0, self.semantics.time);
        if time < now - settings.horizon {
            expected.dead.insert((Reason::TooLate, origin));
        } else if time > now + settings.max_future {
            expected.dead.insert((Reason::InFuture, origin));
        } else if let Some(stream) = self.streams.get_mut(&observation.datastream) {
            let before = stream.series.get(&time).copied();
            apply(&mut stream.series, observation);
            let cause = match (before, observation.reading) {
                (None, None) => return,
                (None, Some(_)) if now - time > settings.late_after => Cause::LateData,
                (None, Some(_)) => Cause::Data,
                (before, after) if before == after => return,
                _ => Cause::Correction,
            };
            let place = causes.entry(observation.datastream).or_insert(cause);
            *place = (*place).max(cause);
        } else {
            let waiting = self.waiting.entry(observation.datastream).or_default();
            waiting.push((now, origin, observation.clone()));
        }
    }

    fn evaluate(&self, now: i64) -> Levels {
        let mut levels = Levels::new();
        for (key, stream) in &self.streams {
            for (id, entry) in &stream.entries {
                let seen = stream
                    .series
                    .iter()
                    .filter(|(time, reading)| **time > entry.floor && reading.quality.counts());
                let seen: Vec<(i64, f64)> = seen.map(|(time, reading)| (*time, reading.result)).collect();
                let watched = level::Watched {
                    rule: &entry.rule,
                    thresholds: &entry.thresholds,
                    conversion: entry.conversion,
                    seen: &seen,
                };
                let track = level::track(&watched, now);
                let stale = level::stale(&watched, now, level_at(&track, now));
                let datastream = self.datastreams[key].id.clone();
                levels.insert((id.clone(), entry.asset.clone(), datastream), (track, stale));
            }
        }
        levels
    }

    /// The cause of each entry whose level function changed, or which came or went with a level.
    fn causes(
        &self,
        levels: &Levels,
        entries: &BTreeMap<Member, Cause>,
        data: &BTreeMap<Key, Cause>,
        papers: &BTreeMap<Text, Cause>,
    ) -> BTreeMap<Member, Cause> {
        let nothing = (Track::new(), false);
        let members: BTreeSet<&Member> = levels.keys().chain(self.levels.keys()).collect();
        let mut causes = BTreeMap::new();
        for member in members {
            let before = &self.levels.get(member).unwrap_or(&nothing).0;
            let after = &levels.get(member).unwrap_or(&nothing).0;
            let came_or_went = entries
                .get(member)
                .copied()
                .filter(|_| !before.is_empty() || !after.is_empty());
            if before != after || came_or_went.is_some() {
                let data = match &*member.2 {
                    "permit" => papers.get(&member.1).copied(),
                    datastream => data.get(&Key::of(datastream)).copied(),
                };
                causes.insert(member.clone(), came_or_went.max(data).unwrap_or(Cause::Clock));
            }
        }
        causes
    }

    fn episodes(&mut self, now: i64, levels: &Levels, causes: &BTreeMap<Member, Cause>, expected: &mut Expected) {
        let mut groups: BTreeMap<(Text, Text), Vec<&(Track, bool)>> = BTreeMap::new();
        for ((rule, asset, _), standing) in levels {
            groups.entry((rule.clone(), asset.clone())).or_default().push(standing);
        }
        for key in self.open.keys() {
            groups.entry(key.clone()).or_default();
        }
        for ((rule, asset), members) in groups {
            let track = level::highest(members.iter().map(|(track, _)| track));
            let before = self.open.remove(&(rule.clone(), asset.clone()));
            let after = level::open(&track);
            let cause = causes
                .iter()
                .filter(|((r, a, _), _)| *r == rule && *a == asset)
                .map(|(_, cause)| *cause)
                .max();
            let mut tell = |kind, since: i64, at: i64, levels| {
                let id = Key::of_parts(&[&rule, &asset, &since.to_string()]).to_string().into();
                let cause = cause.unwrap_or(Cause::Manual);
                let (rule, asset) = (rule.clone(), asset.clone());
                expected.deltas.insert(Told {
                    id,
                    kind,
                    cause,
                    rule,
                    asset,
                    since: Millis(since),
                    at: Millis(at),
                    levels,
                });
            };
            let same = before.zip(after).is_some_and(|(before, after)| before.0 == after.since);
            if let Some((since, level)) = before.filter(|_| !same) {
                match level::end_of(&track, since) {
                    Some(at) => tell(DeltaKind::Cleared, since, at, (level, Level::None)),
                    None => tell(DeltaKind::Withdrawn, since, now, (level, Level::None)),
                }
            }
            let Some(after) = after else { continue };
            match before.filter(|_| same) {
                None => tell(
                    DeltaKind::Raised,
                    after.since,
                    after.level_since,
                    (Level::None, after.level),
                ),
                Some((since, from)) if from < after.level => {
                    tell(DeltaKind::Escalated, since, after.level_since, (from, after.level));
                }
                Some((since, from)) if from > after.level => {
                    tell(DeltaKind::Eased, since, after.level_since, (from, after.level))
                }
                Some(_) => {}
            }
            let standing = members.iter().filter(|(track, _)| level_at(track, now) == after.level);
            let stale = standing.clone().all(|(_, stale)| *stale);
            let state = warning(&rule, &self.assets[&Key::of(&asset)], after, stale);
            expected.warnings.insert(state.id.clone(), state);
            self.open.insert((rule, asset), (after.since, after.level));
        }
    }

    fn risks(&self, expected: &mut Expected) {
        for asset in self.assets.values() {
            let members = self.levels.iter().filter(|((_, a, _), _)| *a == asset.id);
            let standings: Vec<(Level, bool)> = members
                .map(|(_, (track, stale))| (track.last().map_or(Level::None, |point| point.1), *stale))
                .collect();
            let dynamic = standings.iter().map(|(level, _)| *level).max().unwrap_or_default();
            let stale = dynamic > Level::None && standings.iter().all(|(level, stale)| *level < dynamic || *stale);
            let score = asset.inherent_level.get() * dynamic as u8;
            let cuts = self.semantics.cuts.least;
            let level = Level::WARNING
                .into_iter()
                .rev()
                .find(|level| score >= cuts[*level as usize - 1])
                .unwrap_or_default();
            let risk = AssetRisk {
                asset: asset.id.clone(),
                name: asset.name.clone(),
                category: asset.category.clone(),
                domain: asset.domain,
                region: asset.region,
                inherent_level: asset.inherent_level,
                dynamic_level: dynamic,
                score,
                level,
                stale,
                population: asset.population,
            };
            expected.assets.insert(asset.id.clone(), risk);
        }
    }

    fn region_rows(&mut self, now: i64, expected: &mut Expected) {
        let minute = now.div_euclid(60_000) * 60_000 - 3_600_000;
        let past = self.scores.iter().rev().find(|(epoch, _)| *epoch <= minute);
        let past = past.map(|(_, scores)| scores.clone()).unwrap_or_default();
        let regions: Vec<Shared<Region>> = self.regions.values().cloned().collect();
        expected.regions = region::rows(&regions, &expected.assets, &expected.warnings, &past);
        let scores = expected
            .regions
            .iter()
            .map(|(key, row)| (key.clone(), row.score))
            .collect();
        self.scores.push((now, scores));
    }
}

fn warning(rule: &Text, asset: &Asset, open: level::Open, stale: bool) -> WarningState {
    WarningState {
        id: Key::of_parts(&[rule, &asset.id, &open.since.to_string()])
            .to_string()
            .into(),
        rule: rule.clone(),
        asset: asset.id.clone(),
        domain: asset.domain,
        region: asset.region,
        level: open.level,
        since: Millis(open.since),
        stale,
    }
}

fn apply(series: &mut BTreeMap<i64, Reading>, observation: &Observation) {
    match observation.reading {
        Some(reading) => drop(series.insert(observation.time.0, reading)),
        None => drop(series.remove(&observation.time.0)),
    }
}

fn alike(a: &Entry, b: &Entry) -> bool {
    a.rule == b.rule && a.asset == b.asset && a.thresholds == b.thresholds && a.conversion == b.conversion
}

fn wanted(rows: Option<&(Shared<Datastream>, Shared<Asset>)>, rules: &BTreeMap<Key, Rule>) -> BTreeMap<Text, Entry> {
    let Some((datastream, asset)) = rows else {
        return BTreeMap::new();
    };
    let selected = rules.values().filter(|rule| selects(rule, datastream, asset));
    let entries = selected.filter_map(|rule| {
        let conversion = unit::conversion(rule, datastream)?;
        let own = datastream.thresholds.get(&rule.record.id);
        let void = |problem: &PairProblem| !matches!(problem.kind(), "names_nothing" | "unset");
        let voids = rule.merge(own, &datastream.unit).problems.iter().any(void);
        let own = own.filter(|_| !voids);
        let thresholds = rule.comparisons.iter().map(|comparison| {
            let named = comparison
                .name
                .as_ref()
                .map(|name| format!("{}.{name}", comparison.level));
            let of = |key: &str| own.and_then(|own| own.get(key)).and_then(|number| number.thousandths());
            let own = named
                .and_then(|key| of(&key))
                .or_else(|| of(&comparison.level.to_string()));
            unit::bound(comparison, rule.features[comparison.feature].kind, own, conversion)
        });
        let entry = Entry {
            rule: rule.clone(),
            asset: asset.id.clone(),
            thresholds: thresholds.collect(),
            conversion,
            floor: i64::MIN,
        };
        Some((rule.record.id.clone(), entry))
    });
    entries.collect()
}

fn selects(rule: &Rule, datastream: &Datastream, asset: &Asset) -> bool {
    let select = &rule.record.select;
    let tagged = |tag: &Text| datastream.tags.contains(tag) || asset.tags.contains(tag);
    select
        .observed_property
        .as_ref()
        .is_none_or(|property| *property == datastream.observed_property)
        && (select.category.is_empty() || select.category.contains(&asset.category))
        && select.domain.is_none_or(|domain| domain == asset.domain)
        && select
            .region
            .is_none_or(|region| asset.region.to_string().starts_with(&region.to_string()))
        && select.tags.iter().all(tagged)
}
