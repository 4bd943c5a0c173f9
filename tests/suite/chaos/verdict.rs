//! Whether what came out is what the batch oracle makes of the recorded epochs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use riskflow::runtime::graph::Semantics;
use riskflow::runtime::replay::EpochInput;
use riskflow_config::WrittenSettings;
use riskflow_connectors::{RawRecord, decode};
use riskflow_model::gauge::GaugeState;
use riskflow_model::output::{
    AssetRisk, CandidateDelta, CandidateState, CaseDelta, CaseState, DeadLetter, Lateness, Notice, Origin, PastState,
    PastWarning, Reason, RegionRisk, Response, SetDifference, WarningDelta, WarningState,
};
use riskflow_model::progress::{Offsets, Progress};
use riskflow_model::topic::Topic;
use riskflow_model::{Id, Level, Millis, OutputRecord, Text};
use riskflow_tests::oracle::{Expected, Oracle, Told, bare};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::SETTINGS;
use super::gauges;
use super::place::{Place, Row};

/// As in the settings of the run.
fn semantics(more: &[&str]) -> Semantics {
    let kept = SETTINGS.into_iter().filter(|set| {
        let name = |set: &str| set.split('=').next().map(str::to_owned);
        more.iter().all(|more| name(more) != name(set))
    });
    let settings: Vec<&str> = kept.chain(more.iter().copied()).collect();
    let written = WrittenSettings::from_toml(&settings.join("\n")).unwrap();
    Semantics::of(&written.check().unwrap())
}

/// How far the input was taken.
pub struct Taken(Offsets);

impl Taken {
    pub fn covers(&self, ends: &Offsets) -> bool {
        ends.iter()
            .all(|(topic, partition, end)| self.0.next(topic, partition) >= end)
    }
}

/// Every epoch that was ever recorded, tombstoned since or not; each once, each behind the one before.
pub fn epochs(place: &dyn Place) -> Vec<Progress> {
    let rows = place.all(Topic::PROGRESS).into_iter();
    let rows = rows.filter(|row| row.key != Progress::BASE && row.value.is_some());
    let mut epochs: Vec<Progress> = rows.map(|row| parse(&row)).collect();
    epochs.sort_by_key(|progress| progress.epoch);
    epochs
}

pub fn taken(place: &dyn Place) -> Taken {
    let mut offsets = Offsets::default();
    for progress in epochs(place) {
        offsets.merge(&progress.offsets);
    }
    Taken(offsets)
}

/// The same for a job that started anew: what was recorded before does not count.
pub fn taken_since_base(place: &dyn Place) -> Taken {
    let resume = resume(place);
    Taken(resume.offsets_after(resume.last()).unwrap_or_default())
}

/// What the progress says to a job that starts now.
pub fn resume(place: &dyn Place) -> riskflow_connectors::Resume {
    let mut table: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut rows = place.all(Topic::PROGRESS);
    rows.sort_by_key(|row| (row.partition, row.offset));
    for row in rows {
        match row.value {
            Some(value) => table.insert(row.key, value.into_bytes()),
            None => table.remove(&row.key),
        };
    }
    // Between two reads of different partitions a commit may come: then it is not whole yet.
    riskflow_connectors::Resume::of(table).unwrap_or_default()
}

/// The rows of assets, but for what the clock changes: two jobs that end at different times may differ in that.
pub fn assets(place: &dyn Place) -> BTreeSet<String> {
    let mut rows = table(place, Topic::RISK_ASSET, |row: &AssetRisk| row.asset.clone());
    for row in rows.values_mut() {
        (row.dynamic_level, row.level, row.score, row.stale) = (Level::None, Level::None, 0, false);
    }
    set(rows)
}

fn parse<T: DeserializeOwned>(row: &Row) -> T {
    let value = row.value.as_deref().unwrap();
    serde_json::from_str(value).unwrap_or_else(|error| panic!("{value}: {error}"))
}

/// What was found right.
pub struct Report {
    epochs: usize,
    deltas: usize,
    pub candidate_deltas: usize,
    pub case_deltas: usize,
    pub notices: usize,
    dead: usize,
    rows: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} epochs, {} deltas, {} of candidates, {} of cases, {} notices, {} dead letters, {} rows: 0 lost, 0 repeated",
            self.epochs, self.deltas, self.candidate_deltas, self.case_deltas, self.notices, self.dead, self.rows
        )
    }
}

/// Compares everything that came out with the oracle.
///
/// # Panics
///
/// At the first difference.
pub fn judge(place: &dyn Place) -> Report {
    judge_with(place, true, &[])
}

/// The same for a job with other settings.
pub fn judge_set(place: &dyn Place, more: &[&str]) -> Report {
    judge_with(place, true, more)
}

/// The same for a job that had to begin without any checkpoint: cases know the epochs of what happened to them, and those
/// before the loss are cut anew.
pub fn judge_but_for_cases(place: &dyn Place) -> Report {
    judge_with(place, false, &[])
}

fn judge_with(place: &dyn Place, cases: bool, more: &[&str]) -> Report {
    let progress = epochs(place);
    let mut before = Millis(0);
    for one in &progress {
        assert_eq!(one.previous, before, "epochs are not contiguous at {}", one.epoch);
        before = one.epoch;
    }
    let (history, refused) = history(place, &progress);
    let mut oracle = Oracle::new(semantics(more));
    let (mut expected, mut expected_candidates) = (BTreeSet::new(), BTreeSet::new());
    let (mut expected_cases, mut expected_notices) = (BTreeSet::new(), BTreeSet::new());
    let mut dead = refused;
    let mut last = None;
    for input in &history {
        let step = oracle.step(input);
        expected.extend(step.deltas.iter().cloned().map(|told| (input.epoch, told)));
        let of_sets = step.candidate_deltas.iter().cloned();
        expected_candidates.extend(of_sets.map(|told| (input.epoch, told)));
        expected_cases.extend(step.case_deltas.iter().cloned().map(|delta| (input.epoch, delta)));
        expected_notices.extend(step.notices.iter().cloned().map(|notice| (input.epoch, notice)));
        dead.extend(step.dead.iter().copied());
        last = Some(step);
    }
    let told = once(place.all(Topic::WARNING_DELTA).iter().map(|row| {
        let delta: WarningDelta = parse(row);
        (epoch_of(row), Told::of(&delta))
    }));
    compare("deltas", &told, &expected);
    let candidates = once(
        place
            .all(Topic::CANDIDATE_DELTA)
            .iter()
            .map(|row| (epoch_of(row), Told::of_set(&parse::<CandidateDelta>(row)))),
    );
    // What a start without a checkpoint finds of candidates is not told once more.
    if cases {
        compare("deltas of candidates", &candidates, &expected_candidates);
    }
    let of_cases = once(
        place
            .all(Topic::CASE_DELTA)
            .iter()
            .map(|row| (epoch_of(row), parse::<CaseDelta>(row))),
    );
    if cases {
        compare("deltas of cases", &of_cases, &expected_cases);
    }
    let notices = once(
        place
            .all(Topic::NOTICE)
            .iter()
            .map(|row| (epoch_of(row), bare(&parse::<Notice>(row)))),
    );
    if cases {
        compare("notices", &notices, &expected_notices);
    }
    // Nobody is told of one event in two epochs either.
    once(notices.iter().map(|(_, notice)| notice.id.clone()));
    let letters = letters(place);
    compare("dead letters", &letters, &dead);
    judge_tables(place, last.expect("there were epochs"), cases);
    Report {
        epochs: progress.len(),
        deltas: told.len(),
        candidate_deltas: candidates.len(),
        case_deltas: of_cases.len(),
        notices: notices.len(),
        dead: letters.len(),
        rows: place.all(Topic::RISK_ASSET).len() + place.all(Topic::RISK_REGION).len(),
    }
}

/// The dead letters, by why and of which record.
fn letters(place: &dyn Place) -> Letters {
    once(place.all(Topic::DEAD_LETTER).iter().map(|row| {
        let letter: DeadLetter = parse(row);
        let topic = Topic::from_name(&letter.topic).unwrap().id();
        let (partition, offset) = (letter.partition as u16, letter.offset);
        (
            letter.reason,
            Origin {
                topic,
                partition,
                offset,
            },
        )
    }))
}

/// The same for the tables, as they stand in the end.
fn judge_tables(place: &dyn Place, last: Expected, with_cases: bool) {
    let assets = table(place, Topic::RISK_ASSET, |row: &AssetRisk| row.asset.clone());
    compare("assets", &set(assets), &set(last.assets));
    let regions = table(place, Topic::RISK_REGION, |row: &RegionRisk| {
        format!("{}/{}", row.region, row.domain)
    });
    compare("regions", &set(regions), &set(last.regions));
    // What gauges count from an epoch's floor on goes by how epochs were cut.
    let is_judged = |rule: &str| with_cases || !gauges::is_over_gauges(rule);
    let mut warnings = table(place, Topic::WARNING_STATE, |row: &WarningState| row.id.clone());
    warnings.retain(|_, row| is_judged(&row.rule));
    let mut expected = last.warnings;
    expected.retain(|_, row| is_judged(&row.rule));
    compare("warnings", &set(warnings), &set(expected));
    let history = table(place, Topic::WARNING_HISTORY, |row: &PastWarning| row.id.clone());
    let (mut history, mut expected) = if with_cases {
        (history, last.history)
    } else {
        // What was told, and withdrawn, was so by an epoch, and these are cut anew.
        (without_epochs(history), without_epochs(last.history))
    };
    history.retain(|_, row| is_judged(&row.rule));
    expected.retain(|_, row| is_judged(&row.rule));
    compare("history", &set(history), &set(expected));
    if !with_cases {
        return;
    }
    judge_other::<Lateness>(place, &last.others);
    judge_other::<CandidateState>(place, &last.others);
    judge_other::<SetDifference>(place, &last.others);
    judge_other::<GaugeState>(place, &last.others);
    let cases = table(place, Topic::CASE_STATE, |row: &CaseState| row.id.clone());
    compare("cases", &set(cases), &set(last.cases));
    let responses = table(place, Topic::RESPONSE, |row: &Response| row.key().to_string());
    compare("responses", &set(responses), &set(last.responses));
}

/// A table that the oracle has as JSON.
fn judge_other<T: OutputRecord>(place: &dyn Place, others: &BTreeMap<Topic, BTreeMap<Text, Value>>) {
    let topic = Topic::of::<T>();
    let found = table(place, topic, |row: &T| row.key());
    let expected = others.get(&topic).into_iter().flatten();
    let expected = expected.map(|(key, row)| (key, serde_json::from_value::<T>(row.clone()).unwrap()));
    compare(topic.name(), &set(found), &set(expected.collect()));
}

/// What is over by what is known in the end. Its identifier is that under which it was told first: where its beginning was moved since, an
/// epoch that is cut anew may tell it first as it is now (docs/guarantees.md).
fn without_epochs<K: Ord>(mut rows: BTreeMap<K, PastWarning>) -> BTreeMap<K, PastWarning> {
    rows.retain(|_, row| row.state == PastState::Ended);
    for row in rows.values_mut() {
        row.told = false;
        row.id = Id::new("");
    }
    rows
}

type Letters = BTreeSet<(Reason, Origin)>;

/// The records of each epoch, and those that no epoch could use.
fn history(place: &dyn Place, progress: &[Progress]) -> (Vec<EpochInput>, Letters) {
    let mut rows: BTreeMap<(Topic, u16), Vec<Row>> = BTreeMap::new();
    for row in Topic::inputs().flat_map(|topic| place.all(topic)) {
        rows.entry((row.topic, row.partition)).or_default().push(row);
    }
    let mut refused = Letters::new();
    let mut history = Vec::new();
    for Progress { epoch, offsets, .. } in progress {
        let mut input = EpochInput {
            epoch: *epoch,
            records: Vec::new(),
        };
        for (topic, partition, next) in offsets.iter() {
            let of_partition = rows.get_mut(&(topic, partition)).expect("the partition has records");
            let end = of_partition.partition_point(|row| row.offset < next);
            for row in of_partition.drain(..end) {
                let origin = Origin {
                    topic: topic.id(),
                    partition,
                    offset: row.offset,
                };
                let raw = RawRecord {
                    topic,
                    partition,
                    offset: row.offset,
                    arrival: None,
                    exercise: false,
                    key: Some(row.key.as_bytes()),
                    payload: row.value.as_deref().map(str::as_bytes),
                };
                match decode(&raw) {
                    Ok(record) => input.records.push((origin, record)),
                    Err(rejection) => drop(refused.insert((rejection.reason, origin))),
                }
            }
        }
        history.push(input);
    }
    (history, refused)
}

fn epoch_of(row: &Row) -> Millis {
    let value: serde_json::Value = parse(row);
    value["epoch"].as_str().unwrap().parse().unwrap()
}

/// All of them, each of which may be there once only.
fn once<T: Ord + fmt::Debug + Clone>(all: impl Iterator<Item = T>) -> BTreeSet<T> {
    let mut seen = BTreeSet::new();
    for one in all {
        assert!(seen.insert(one.clone()), "repeated: {one:?}");
    }
    seen
}

pub fn table<K: Ord, T: DeserializeOwned>(place: &dyn Place, topic: Topic, key: impl Fn(&T) -> K) -> BTreeMap<K, T> {
    let mut latest: BTreeMap<String, Row> = BTreeMap::new();
    for row in place.all(topic) {
        if row.value.is_some() {
            latest.insert(row.key.clone(), row);
        } else {
            latest.remove(&row.key);
        }
    }
    let rows = latest.values().map(|row| parse::<T>(row));
    rows.map(|row| (key(&row), row)).collect()
}

fn set<K, T: fmt::Debug>(rows: BTreeMap<K, T>) -> BTreeSet<String> {
    rows.values().map(|row| format!("{row:?}")).collect()
}

fn compare<T: Ord + fmt::Debug>(what: &str, found: &BTreeSet<T>, expected: &BTreeSet<T>) {
    let lost: Vec<&T> = expected.difference(found).take(3).collect();
    let wrong: Vec<&T> = found.difference(expected).take(3).collect();
    assert!(
        lost.is_empty() && wrong.is_empty(),
        "{what}: {} lost {lost:#?}\n{} should not be {wrong:#?}",
        expected.difference(found).count(),
        found.difference(expected).count(),
    );
}
