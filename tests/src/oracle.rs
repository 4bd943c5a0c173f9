//! The batch oracle: what every table must hold after an epoch, computed from nothing but the records up to then.
//!
//! Written from `docs/semantics.md` and `docs/closed-loop.md`, naively: features by filtering all observations at each
//! instant, levels by walking instants, regions by summing their assets. Which action is allowed it reads from the tables
//! of `docs/closed-loop.md` themselves. It shares no code with `operators/`; only the checked form of a rule, which is
//! configuration, is common.

use std::collections::{BTreeMap, BTreeSet};

use riskflow::runtime::graph::Semantics;
use riskflow::runtime::replay::EpochInput;
use riskflow_config::{InputRecord, Rule};
use riskflow_model::base::{Asset, Datastream, Region};
use riskflow_model::forecast::Forecast;
use riskflow_model::gauge::GaugeSubject;
use riskflow_model::id::{RuleOrLimit, Run};
use riskflow_model::observation::{Observation, Op, Reading};
use riskflow_model::output::{
    AssetRisk, CandidateDelta, CaseDelta, CaseState, Cause, DeltaKind, Notice, Origin, PastWarning, Reason, RegionRisk,
    ReportTotal, Response, Unmatched, WarningDelta, WarningState,
};
use riskflow_model::rule::RuleRecord;
use riskflow_model::ruleset::RuleSet;
use riskflow_model::topic::Topic;
use riskflow_model::{Id, Key, Level, Millis, Row, Shared, Text, capability};
use serde_json::Value;

use crate::oracle::calendar::City;
use crate::oracle::entry::{Saying, Stream, selects, sense};
use crate::oracle::gauge::Gauges;
use crate::oracle::gauge_rule::GaugeRules;
use crate::oracle::level::{Track, level_at};
use crate::oracle::permit::{Permits, Permitted};
use crate::oracle::place::Places;
use crate::oracle::report::Reports;
use crate::oracle::standalone::Standalone;
use crate::oracle::table::Table;

mod act;
mod action_table;
mod bureau;
mod calendar;
mod case;
mod condition;
mod curve;
mod entry;
mod episode;
mod feature;
mod gauge;
mod gauge_rule;
mod instants;
mod lateness;
mod level;
mod notice;
mod number;
mod permit;
mod place;
mod region;
mod report;
mod response;
mod run;
mod sets;
mod span;
pub mod standalone;
mod standing;
mod table;
mod timeline;
mod unit;
mod unmatched;
mod walk;

pub use notice::bare;
pub use sets::ToldOfSet;

/// What is visible after an epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    /// Asset risks by identifier.
    pub assets: BTreeMap<Id<Asset>, AssetRisk>,
    /// Region risks by region and domain.
    pub regions: BTreeMap<String, RegionRisk>,
    /// Open warnings by identifier.
    pub warnings: BTreeMap<Id<WarningState>, WarningState>,
    /// Warnings that are over, by identifier.
    pub history: BTreeMap<Id<WarningState>, PastWarning>,
    /// Totals of reports, keyed as on the topic.
    pub totals: BTreeMap<String, ReportTotal>,
    /// What meets nothing, keyed as on the topic.
    pub unmatched: BTreeMap<String, Unmatched>,
    /// All other tables, as JSON, by topic and key.
    pub others: BTreeMap<Topic, BTreeMap<Text, Value>>,
    /// What happened in the epoch.
    pub deltas: BTreeSet<Told>,
    /// What happened to warnings of candidates.
    pub candidate_deltas: BTreeSet<ToldOfSet>,
    /// The runs of the warnings to which anything happened that were open, or are.
    pub runs: BTreeMap<Id<WarningState>, Id<Run>>,
    /// Cases by identifier.
    pub cases: BTreeMap<Id<CaseState>, CaseState>,
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
    pub id: Id<WarningState>,
    /// What happened.
    pub kind: DeltaKind,
    /// Why.
    pub cause: Cause,
    /// The rule.
    pub rule: Id<RuleOrLimit>,
    /// The asset.
    pub asset: Id<Asset>,
    /// Since when.
    pub since: Millis,
    /// When.
    pub at: Millis,
    /// Level before and after.
    pub levels: (Level, Level),
}

impl Told {
    /// Of a delta of a candidate.
    #[must_use]
    pub fn of_set(delta: &CandidateDelta) -> ToldOfSet {
        let told = Self {
            id: Id::new(delta.id.text().clone()),
            kind: delta.kind,
            cause: delta.cause,
            rule: delta.rule.widen(),
            asset: delta.asset.clone(),
            since: delta.since,
            at: delta.at,
            levels: (delta.from, delta.to),
        };
        (delta.set.text().clone(), told)
    }

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

/// What an entry watches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Watched {
    Datastream(Id<Datastream>),
    /// Work under permit.
    Limit,
    /// Gauges of this subject.
    Gauge(GaugeSubject),
}

/// Rule or limit, asset, and what it watches there.
type Member = (Id<RuleOrLimit>, Id<Asset>, Watched);

/// What shares one warning: whether it is a limit, the rule or limit, the asset.
pub type Group = (bool, Id<RuleOrLimit>, Id<Asset>);

fn group((rule, asset, watched): &Member) -> Group {
    (*watched == Watched::Limit, rule.clone(), asset.clone())
}

/// Levels of every entry: the track, and whether its level is stale.
type Levels = BTreeMap<Member, (Track, bool)>;

/// The oracle after some epochs.
pub struct Oracle {
    semantics: Semantics,
    city: City,
    regions: Table<Region>,
    assets: Table<Asset>,
    datastreams: Table<Datastream>,
    /// As written.
    rules: BTreeMap<Key, Rule>,
    sets: Table<RuleSet>,
    /// The places that there are now.
    in_force: BTreeSet<sets::Place>,
    /// What is looked at just now, where it is a candidate.
    set: Option<Text>,
    candidates: BTreeMap<Text, sets::Candidate>,
    streams: BTreeMap<Key, Stream>,
    permits: Permits,
    reports: Reports,
    gauges: Gauges,
    gauge_rules: GaugeRules,
    standalone: Vec<Box<dyn Standalone>>,
    alone: unmatched::Alone,
    waiting: BTreeMap<Key, Vec<(i64, Origin, Observation)>>,
    levels: Levels,
    open: BTreeMap<Group, WarningState>,
    /// What is over, as far as it is remembered.
    history: BTreeMap<Group, Vec<episode::Over>>,
    runs: run::Runs,
    cases: case::Cases,
    lateness: lateness::Ledger,
    /// Scores of regions after each epoch.
    scores: Vec<(i64, BTreeMap<String, i64>)>,
}

impl Oracle {
    /// Before the first epoch.
    #[must_use]
    pub fn new(semantics: Semantics) -> Self {
        Self {
            city: City::new(semantics.zone.clone(), semantics.days.clone()),
            semantics,
            regions: Table::default(),
            assets: Table::default(),
            datastreams: Table::default(),
            rules: BTreeMap::new(),
            sets: Table::default(),
            in_force: BTreeSet::new(),
            set: None,
            candidates: BTreeMap::new(),
            streams: BTreeMap::new(),
            permits: Permits::default(),
            reports: Reports::default(),
            gauges: Gauges::default(),
            gauge_rules: GaugeRules::default(),
            standalone: standalone::all(),
            alone: unmatched::Alone::default(),
            waiting: BTreeMap::new(),
            levels: Levels::new(),
            open: BTreeMap::new(),
            history: BTreeMap::new(),
            runs: run::Runs::default(),
            cases: case::Cases::default(),
            lateness: lateness::Ledger::default(),
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
                for one in &mut self.standalone {
                    one.apply(origin.topic, *key, row.as_ref());
                }
            }
        }
        self.know(now, &mut expected);
        let places = Places::of(&self.regions);
        let sets = sets::sets(&self.rules, &self.sets, self.semantics.time.retain.0);
        self.in_force = sets.keys().cloned().collect();
        let mut of_places = self.specify(now, &places, &sets);
        let mut entry_causes = of_places.remove(&None).unwrap_or_default();
        for (origin, record) in &records {
            if let InputRecord::Observation(observation) = record {
                self.observe(now, *origin, observation, &mut causes, &mut expected);
            }
        }
        self.foresee_all(now, &records, &mut causes, &mut expected);
        let (gauges, over_gauges) = self.gauge(now, &records, (&places, &sets[&None]), &mut expected);
        let mut of_sets = self.evaluate(now);
        let mut levels = of_sets.remove(&None).unwrap_or_default();
        let Permitted {
            levels: permitted,
            entries,
            papers,
        } = self.permits.step(now, &self.assets, &places);
        levels.extend(permitted.into_iter().chain(over_gauges.levels));
        entry_causes.extend(entries.into_iter().chain(over_gauges.entries));
        let named = self.causes(&levels, &entry_causes, &causes, (&papers, &over_gauges.spans));
        self.episodes(now, &levels, &named, &mut expected);
        self.levels = levels;
        self.risks(&mut expected);
        self.region_rows(now, &places, &mut expected);
        expected.totals = self.reports.totals(&places);
        expected.others = self.standalone.iter().map(|one| one.rows(&places)).collect();
        self.lateness.step(now, &expected.deltas, &self.assets);
        expected.others.insert(Topic::LATENESS, self.lateness.rows());
        expected.others.insert(Topic::GAUGE, gauges);
        self.candidates(now, of_sets, (&of_places, &causes), &mut expected);
        expected.others.retain(|_, rows| !rows.is_empty());
        let tables = unmatched::Tables {
            assets: &self.assets,
            datastreams: &self.datastreams,
            rules: &sets[&None].rules,
            others: sets
                .iter()
                .filter_map(|(place, of_set)| place.as_ref().map(|_| &of_set.rules))
                .collect(),
            written: &self.rules,
            of_sets: sets.values().map(|of_set| &of_set.written).collect(),
            regions: &self.regions,
            places: &places,
            gauges: &self.gauges,
            has_permits: self.semantics.capabilities.is_on(capability::PERMITS),
        };
        expected.unmatched = self.alone.step(now, self.semantics.unmatched.after.0, &tables);
        self.cases
            .step(&self.semantics, now, &records, (places, &self.runs), &mut expected);
        expected
    }

    fn base(&mut self, topic: u16, key: Key, row: Option<&Row>) {
        self.regions.apply(topic, key, row);
        self.assets.apply(topic, key, row);
        self.datastreams.apply(topic, key, row);
        self.sets.apply(topic, key, row);
        self.gauges.base(topic, key, row);
        if topic == Topic::IN_RULE.id() {
            let rule = row.and_then(|row| row.downcast_ref::<RuleRecord>());
            match rule {
                Some(record) => drop(self.rules.insert(key, Rule::check(record.clone()).expect("a rule"))),
                None => drop(self.rules.remove(&key)),
            }
        }
    }

    /// Datastreams become known or unknown; what waited too long is given up.
    fn know(&mut self, now: i64, expected: &mut Expected) {
        let hold = self.semantics.unknown.hold.0;
        self.streams.retain(|key, _| self.datastreams.contains_key(key));
        for waiting in self.waiting.values_mut() {
            for (_, origin, _) in waiting.iter().filter(|(arrival, ..)| now > arrival + hold) {
                expected.dead.insert((Reason::UnknownDatastream, *origin));
            }
            waiting.retain(|(arrival, ..)| now <= arrival + hold);
        }
        for (key, row) in self.datastreams.iter() {
            let stream = self.streams.entry(*key).or_insert_with(|| Stream {
                heard: now,
                sense: sense(row),
                ..Stream::default()
            });
            for (_, origin, observation) in self.waiting.remove(key).unwrap_or_default() {
                match entry::said(row, &observation) {
                    Some(reading) => apply(&mut stream.sensed.series, observation.time.0, reading),
                    None => drop(expected.dead.insert((Reason::UnknownState, origin))),
                }
            }
        }
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
        if time < now - settings.horizon.0 {
            expected.dead.insert((Reason::TooLate, origin));
        } else if time > now + settings.max_future.0 {
            expected.dead.insert((Reason::InFuture, origin));
        } else if let Some(stream) = self.streams.get_mut(&observation.datastream) {
            let before = stream.sensed.series.get(&time).copied();
            let Some(reading) = entry::said(&self.datastreams[&observation.datastream], observation) else {
                expected.dead.insert((Reason::UnknownState, origin));
                return;
            };
            apply(&mut stream.sensed.series, time, reading);
            let cause = match (before, reading) {
                (None, None) => return,
                (None, Some(_)) if now - time > settings.late_after.0 => Cause::LateData,
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

    fn foresee_all(
        &mut self,
        now: i64,
        records: &[(Origin, InputRecord)],
        causes: &mut BTreeMap<Key, Cause>,
        expected: &mut Expected,
    ) {
        for (origin, record) in records {
            if let InputRecord::Log(row) = record
                && let Some(forecast) = row.downcast_ref()
            {
                self.foresee(now, *origin, forecast, causes, expected);
            }
        }
    }

    fn foresee(
        &mut self,
        now: i64,
        origin: Origin,
        forecast: &Forecast,
        causes: &mut BTreeMap<Key, Cause>,
        expected: &mut Expected,
    ) {
        let (issued, settings) = (forecast.issued.0, self.semantics.time);
        let key = forecast.datastream.key();
        if issued < now - settings.forecast_age.0 {
            expected.dead.insert((Reason::TooLate, origin));
        } else if issued > now + settings.max_future.0 {
            expected.dead.insert((Reason::InFuture, origin));
        } else if let Some(stream) = self.streams.get_mut(&key) {
            let one = forecast.valid_time.map(|valid| match forecast.op {
                Op::Upsert => (valid, forecast.value),
                Op::Delete => (valid, None),
            });
            // What happened before the horizon stays as it was.
            let from = issued.max(now - settings.horizon.0);
            for (valid, value) in one.iter().chain(&forecast.values) {
                let (valid, value) = (valid.0, *value);
                let same = |saying: &&Saying| (saying.valid, saying.issued) == (valid, issued);
                let before = stream
                    .sensed
                    .forecasts
                    .iter()
                    .rfind(same)
                    .and_then(|saying| saying.value);
                if valid <= from || before == value {
                    continue;
                }
                let saying = Saying {
                    from,
                    issued,
                    valid,
                    value,
                };
                stream.sensed.forecasts.push(saying);
                let cause = if before.is_none() {
                    Cause::Data
                } else {
                    Cause::Correction
                };
                let place = causes.entry(key).or_insert(cause);
                *place = (*place).max(cause);
            }
        } else {
            expected.dead.insert((Reason::UnknownDatastream, origin));
        }
    }

    /// The levels of each place.
    fn evaluate(&self, now: i64) -> BTreeMap<sets::Place, Levels> {
        let mut levels: BTreeMap<sets::Place, Levels> = BTreeMap::new();
        for (key, stream) in &self.streams {
            let entries = stream.entries.iter();
            let entries =
                entries.flat_map(|(place, entries)| entries.iter().map(move |(id, entry)| (place, id, entry)));
            for (place, id, entry) in entries {
                let levels = levels.entry(place.clone()).or_default();
                let seen = entry.seen(&stream.sensed);
                let watched = entry.watched(&seen, &self.city);
                let track = level::track(&watched, now);
                let stale = level::stale(&watched, now, level_at(&track, now));
                let datastream = self.datastreams[key].id.clone();
                let watched = Watched::Datastream(datastream);
                levels.insert((id.widen(), entry.asset.clone(), watched), (track, stale));
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
        (papers, spans): (&BTreeMap<Id<Asset>, Cause>, &BTreeMap<Member, Cause>),
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
                let data = match &member.2 {
                    Watched::Limit => papers.get(&member.1).copied(),
                    Watched::Gauge(_) => spans.get(member).copied(),
                    Watched::Datastream(datastream) => data.get(&datastream.key()).copied(),
                };
                causes.insert(member.clone(), came_or_went.max(data).unwrap_or(Cause::Clock));
            }
        }
        causes
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

    fn region_rows(&mut self, now: i64, places: &Places, expected: &mut Expected) {
        let minute = now.div_euclid(60_000) * 60_000 - 3_600_000;
        let past = self.scores.iter().rev().find(|(epoch, _)| *epoch <= minute);
        let past = past.map(|(_, scores)| scores.clone()).unwrap_or_default();
        let regions: Vec<Shared<Region>> = self.regions.values().cloned().collect();
        expected.regions = region::rows(&regions, places, &expected.assets, &expected.warnings, &past);
        let scores = expected
            .regions
            .iter()
            .map(|(key, row)| (key.clone(), row.score))
            .collect();
        self.scores.push((now, scores));
    }
}

fn apply(series: &mut BTreeMap<i64, Reading>, time: i64, reading: Option<Reading>) {
    match reading {
        Some(reading) => drop(series.insert(time, reading)),
        None => drop(series.remove(&time)),
    }
}
