//! At every epoch the streaming answer equals the batch answer over the same input: every table, every delta, every dead
//! letter, for any number of workers.
//!
//! `RISKFLOW_HISTORIES` says how many histories; `RISKFLOW_SEED` runs a single one. A failure prints its seed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use riskflow::runtime::graph::{Meters, Semantics};
use riskflow::runtime::output::EpochOutput;
use riskflow::runtime::replay::{EpochInput, replay};
use riskflow_config::InputRecord;
use riskflow_model::output::{
    AssetRisk, CaseState, Cause, DeadLetter, DeltaKind, Notice, Origin, PastWarning, RegionRisk, ReportTotal, Response,
    Unmatched, WarningDelta, WarningState,
};
use riskflow_model::topic::{Shape, Topic};
use riskflow_model::{Millis, OutputRecord};
use riskflow_tests::history::{
    Draw, days, days_to_come, history, long, semantics_of_days, twins, with_answers, with_sets,
};
pub use riskflow_tests::history::{for_history, semantics};
use riskflow_tests::oracle::{Expected, Oracle, Told, bare};

mod arrival;
mod gauge_rules;
mod gauges;
mod reached;

use reached::Reached;

/// What is visible, kept up to date by the differences that the stream publishes.
#[derive(Default)]
struct Visible(Expected);

impl Visible {
    fn apply(&mut self, output: &EpochOutput) {
        let expected = &mut self.0;
        update(&mut expected.assets, output, |row: &AssetRisk| row.asset.clone());
        update(&mut expected.regions, output, |row: &RegionRisk| {
            format!("{}/{}", row.region, row.domain)
        });
        update(&mut expected.warnings, output, |row: &WarningState| row.id.clone());
        update(&mut expected.history, output, |row: &PastWarning| row.id.clone());
        update(&mut expected.totals, output, |row: &ReportTotal| row.key().to_string());
        update(&mut expected.unmatched, output, |row: &Unmatched| row.key().to_string());
        update(&mut expected.cases, output, |row: &CaseState| row.id.clone());
        update(&mut expected.responses, output, |row: &Response| row.key().to_string());
        for (row, diff) in output.rows().iter().filter(|(row, _)| is_other(row.topic())) {
            let mut json = Vec::new();
            row.write_json(&mut json).unwrap();
            let json = serde_json::from_slice(&json).unwrap();
            let table = expected.others.entry(row.topic()).or_default();
            // What went comes first.
            let before = if *diff > 0 {
                table.insert(row.key().clone(), json)
            } else {
                let before = table.remove(row.key());
                assert_eq!(before, Some(json), "a row went that was not there");
                None
            };
            assert_eq!(before, None, "a row came where one stands");
        }
        expected.others.retain(|_, rows| !rows.is_empty());
        expected.case_deltas = once(output.log());
        // What it rests on and how that is called the oracle does not say.
        let notices: Vec<Notice> = output.log().map(bare).collect();
        expected.notices = once(notices.iter());
        expected.deltas = output.log().map(Told::of).collect();
        expected.candidate_deltas = output.log().map(Told::of_set).collect();
        assert_eq!(
            expected.deltas.len(),
            output.log::<WarningDelta>().count(),
            "a delta was told twice: {:?}",
            output.on(Topic::WARNING_DELTA)
        );
        let origin = |topic: &str, partition: u32, offset| Origin {
            topic: Topic::from_name(topic).unwrap().id(),
            partition: partition as u16,
            offset,
        };
        expected.dead = output
            .log::<DeadLetter>()
            .map(|dead| (dead.reason, origin(&dead.topic, dead.partition, dead.offset)))
            .collect();
    }
}

/// Whether a table is none of those that are compared by their types.
fn is_other(topic: Topic) -> bool {
    let typed = [
        Topic::RISK_ASSET,
        Topic::RISK_REGION,
        Topic::WARNING_STATE,
        Topic::WARNING_HISTORY,
        Topic::CASE_STATE,
        Topic::RESPONSE,
        Topic::REPORT_TOTAL,
        Topic::UNMATCHED,
        // Its sentences the oracle does not know.
        Topic::RULESET,
    ];
    topic.shape() == Shape::OutputTable && !typed.contains(&topic)
}

/// Applies differences; a row that goes must be there as it was, and a row that comes must find its place free.
fn update<K: Ord + Debug, T: OutputRecord + Clone>(
    table: &mut BTreeMap<K, T>,
    output: &EpochOutput,
    key: impl Fn(&T) -> K,
) {
    for (row, diff) in output.table::<T>().filter(|(_, diff)| *diff < 0) {
        assert_eq!(diff, -1);
        assert_eq!(
            table.remove(&key(row)).as_ref(),
            Some(row),
            "a row went that was not there"
        );
    }
    for (row, diff) in output.table::<T>().filter(|(_, diff)| *diff > 0) {
        assert_eq!(diff, 1);
        assert_eq!(table.insert(key(row), row.clone()), None, "a row came where one stands");
    }
}

/// All of an epoch, each of which may be there once only.
fn once<'a, T: Ord + Clone + Debug + 'a>(records: impl Iterator<Item = &'a T> + Clone) -> BTreeSet<T> {
    let set: BTreeSet<T> = records.clone().cloned().collect();
    assert_eq!(
        set.len(),
        records.clone().count(),
        "told twice: {:?}",
        records.collect::<Vec<_>>()
    );
    set
}

/// What only one of two sets has.
fn apart<T: Ord + Debug>(name: &str, stream: &BTreeSet<T>, batch: &BTreeSet<T>) -> Option<String> {
    let only = |one: &BTreeSet<T>, other: &BTreeSet<T>| format!("{:#?}", one.difference(other).collect::<Vec<_>>());
    (stream != batch).then(|| {
        format!(
            "{name}\n  only in the stream: {}\n  only in the batch:  {}",
            only(stream, batch),
            only(batch, stream)
        )
    })
}

fn differences<K: Ord + Debug, T: PartialEq + Debug>(
    name: &str,
    stream: &BTreeMap<K, T>,
    batch: &BTreeMap<K, T>,
) -> Option<String> {
    let keys: BTreeSet<&K> = stream.keys().chain(batch.keys()).collect();
    let key = keys.into_iter().find(|key| stream.get(key) != batch.get(key))?;
    let others: Vec<&K> = stream.keys().filter(|key| !batch.contains_key(key)).collect();
    let others: Vec<&T> = others.into_iter().filter_map(|key| stream.get(key)).collect();
    Some(format!(
        "{name} {key:?}\n  stream: {:?}\n  batch:  {:?}\n  only in the stream: {others:?}",
        stream.get(key),
        batch.get(key)
    ))
}

fn compare(stream: &Expected, batch: &Expected) -> Option<String> {
    differences("assets", &stream.assets, &batch.assets)
        .or_else(|| differences("warnings", &stream.warnings, &batch.warnings))
        .or_else(|| {
            (stream.deltas != batch.deltas)
                .then(|| format!("deltas\n  stream: {:#?}\n  batch:  {:#?}", stream.deltas, batch.deltas))
        })
        .or_else(|| apart("candidate deltas", &stream.candidate_deltas, &batch.candidate_deltas))
        .or_else(|| differences("history", &stream.history, &batch.history))
        .or_else(|| apart("case deltas", &stream.case_deltas, &batch.case_deltas))
        .or_else(|| differences("cases", &stream.cases, &batch.cases))
        .or_else(|| apart("notices", &stream.notices, &batch.notices))
        .or_else(|| differences("responses", &stream.responses, &batch.responses))
        .or_else(|| differences("regions", &stream.regions, &batch.regions))
        .or_else(|| differences("totals", &stream.totals, &batch.totals))
        .or_else(|| differences("unmatched", &stream.unmatched, &batch.unmatched))
        .or_else(|| differences("other tables", &stream.others, &batch.others))
        .or_else(|| {
            (stream.dead != batch.dead)
                .then(|| format!("dead letters\n  stream: {:?}\n  batch:  {:?}", stream.dead, batch.dead))
        })
}

/// The first epoch at which stream and batch differ, and how.
fn first_difference(
    semantics: &Semantics,
    history: &[EpochInput],
    workers: usize,
    reached: &mut Reached,
) -> Option<String> {
    let mut oracle = Oracle::new(semantics.clone());
    let answers = history.iter().map(|input| oracle.step(input));
    difference_from(semantics, (history, answers), workers, reached)
}

/// The same where the answers of the batch are known.
fn difference_from(
    semantics: &Semantics,
    (history, answers): (&[EpochInput], impl Iterator<Item = Expected>),
    workers: usize,
    reached: &mut Reached,
) -> Option<String> {
    let outputs = replay(history.to_vec(), workers, semantics.clone(), &Meters::default()).unwrap();
    assert_eq!(outputs.len(), history.len(), "every epoch is published");
    reached.language.begin();
    reached.gauges.begin();
    reached.gauge_rules.begin();
    let mut visible = Visible::default();
    let mut told = 0;
    for (index, ((input, output), batch)) in history.iter().zip(&outputs).zip(answers).enumerate() {
        assert_eq!(input.epoch, output.epoch);
        reached.learn(input);
        reached.add(&visible, output);
        reached.gauges.add(input, output, semantics.time);
        reached.gauge_rules.add(input, output);
        visible.apply(output);
        reached.judge(&batch);
        reached.language.add(input, batch.deltas.iter());
        if let Some(difference) = compare(&visible.0, &batch) {
            return Some(format!("epoch {index} ({}): {difference}", input.epoch));
        }
        told += 1;
    }
    assert_eq!(told, history.len(), "the batch has an answer for every epoch");
    None
}

pub fn histories() -> std::ops::Range<u64> {
    if let Ok(seed) = std::env::var("RISKFLOW_SEED") {
        let seed: u64 = seed.parse().expect("RISKFLOW_SEED is a number");
        return seed..seed + 1;
    }
    let count =
        std::env::var("RISKFLOW_HISTORIES").map_or(500, |count| count.parse().expect("RISKFLOW_HISTORIES is a number"));
    1..count + 1
}

/// The same history with epochs and records left out, as long as it still fails.
fn shrunk(semantics: &Semantics, mut history: Vec<EpochInput>, workers: usize) -> Vec<EpochInput> {
    let fails = |history: &[EpochInput]| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            first_difference(semantics, history, workers, &mut Reached::default()).is_some()
        }))
        .unwrap_or(true)
    };
    let mut again = true;
    while again {
        again = false;
        for epoch in (0..history.len()).rev() {
            let mut without = history.clone();
            without.remove(epoch);
            if fails(&without) {
                history = without;
                again = true;
                continue;
            }
            for record in (0..history[epoch].records.len()).rev() {
                let mut without = history.clone();
                without[epoch].records.remove(record);
                if fails(&without) {
                    history = without;
                    again = true;
                }
            }
        }
    }
    history
}

/// A rule as it was written.
fn rule((_, record): &(Origin, InputRecord)) -> Option<String> {
    match record {
        InputRecord::Base(_, Some(row)) if row.topic() == Topic::IN_RULE => {
            Some(String::from_utf8(row.to_json().unwrap()).unwrap())
        }
        _ => None,
    }
}

#[test]
fn the_stream_equals_the_batch_at_every_epoch() {
    let mut told = 0;
    let mut reached = Reached::default();
    for seed in histories() {
        let workers = [1, 2, 4][(seed % 3) as usize];
        let (history, answers): (Vec<_>, Vec<_>) = with_answers(seed, 30 + (seed % 60) as usize).into_iter().unzip();
        let semantics = for_history(&semantics(), &history);
        let judged = (&*history, answers.into_iter());
        if let Some(difference) = difference_from(&semantics, judged, workers, &mut reached) {
            fail(seed, &semantics, history, workers, &difference);
        }
        told += 1;
    }
    assert!(told > 0, "no history was run");
    if told >= 100 {
        // An hour ago and more there was mostly nothing yet: the days of a city reach that.
        let missing = reached
            .language
            .missing(|way| way != "ago" && !way.starts_with("forecast"));
        assert!(missing.is_empty(), "seldom reached: {missing:#?}");
        reached.check();
    }
    if told >= 300 {
        reached.check_work_under_permit();
        reached.gauges.check();
        reached.gauge_rules.check();
    }
}

/// Fails where stream and batch differ.
fn equal(seed: u64, semantics: &Semantics, history: Vec<EpochInput>, workers: usize, reached: &mut Reached) {
    let semantics = &for_history(semantics, &history);
    if let Some(difference) = first_difference(semantics, &history, workers, reached) {
        fail(seed, semantics, history, workers, &difference);
    }
}

/// Panics with the smallest history that fails.
fn fail(seed: u64, semantics: &Semantics, history: Vec<EpochInput>, workers: usize, difference: &str) -> ! {
    let small = shrunk(semantics, history, workers);
    let of_small = first_difference(semantics, &small, workers, &mut Reached::default());
    let small: Vec<_> = small.iter().filter(|epoch| !epoch.records.is_empty()).collect();
    let rules: Vec<String> = small.iter().flat_map(|epoch| &epoch.records).filter_map(rule).collect();
    panic!(
        "RISKFLOW_SEED={seed}, {workers} workers: {difference}\nsmallest history that fails:\n{small:#?}\nits rules:\n{}\n{of_small:?}",
        rules.join("\n")
    );
}

/// Candidates, their edits, promotions and demotions: what each set would warn of, and how that differs from what is live.
#[test]
fn rule_sets_equal_the_batch() {
    let mut told = 0;
    let mut reached = Reached::default();
    // Each set is a batch of its own for the oracle, so a part of them is as dear.
    for seed in histories().step_by(4) {
        let workers = [1, 2, 4][(seed % 3) as usize];
        let history = with_sets(seed, history(seed, 30 + (seed % 40) as usize));
        equal(seed, &semantics(), history, workers, &mut reached);
        told += 1;
    }
    if told >= 100 {
        reached.check_rule_sets();
    }
}

/// Weeks in cities of several time zones: hours and days of the calendar, times of the day, clocks that are changed.
#[test]
fn days_of_a_city_equal_the_batch() {
    let mut reached = Reached::default();
    let mut told = 0;
    for seed in histories().take(200) {
        let history = days(seed, 60 + (seed % 3) as usize * 40);
        let workers = [1, 2][(seed % 2) as usize];
        equal(seed, &semantics_of_days(seed), history, workers, &mut reached);
        told += 1;
    }
    if told >= 100 {
        let missing = reached.language.missing(|way| !way.starts_with("forecast"));
        assert!(missing.is_empty(), "seldom reached: {missing:#?}");
    }
}

/// The same cities, with rules that ask for what is ahead.
#[test]
fn days_to_come_equal_the_batch() {
    let mut reached = Reached::default();
    let mut told = 0;
    for seed in histories().take(100) {
        let history = days_to_come(seed, 60 + (seed % 3) as usize * 40);
        let workers = [1, 2][(seed % 2) as usize];
        equal(seed, &semantics_of_days(seed), history, workers, &mut reached);
        told += 1;
    }
    if told >= 100 {
        let missing = reached.language.missing(|way| way.starts_with("forecast"));
        assert!(missing.is_empty(), "seldom reached: {missing:#?}");
    }
}

/// Series that are trees, of which corrections reach a part: in order, newest first or in any order, in one epoch or in several.
#[test]
fn long_series_equal_the_batch_in_any_order_of_arrival() {
    let mut reached = Reached::default();
    let count = histories().end.min(40);
    for seed in 1..=count {
        let history = long(seed, 150 + seed % 4 * 100);
        if let Some(difference) = first_difference(&for_history(&semantics(), &history), &history, 1, &mut reached) {
            panic!("long history {seed}: {difference}");
        }
    }
    let kinds = [
        DeltaKind::Raised,
        DeltaKind::Revised,
        DeltaKind::Escalated,
        DeltaKind::Withdrawn,
        DeltaKind::Recorded,
        DeltaKind::Amended,
    ];
    for kind in kinds {
        assert!(
            reached.told.contains(&(kind, Cause::Correction)),
            "{kind:?} by no correction"
        );
    }
}

/// A restart and the oracle of the crash tests know the recorded epochs only: those between them must leave nothing behind.
#[test]
fn epochs_without_a_record_leave_nothing_behind() {
    let mut left_out = 0;
    for seed in histories().take(60) {
        left_out += without_a_record(seed, &with_ticks(seed));
        left_out += without_a_record(seed, &twins(seed, 300));
    }
    assert!(
        left_out > 1_000,
        "nearly every epoch has a record: {left_out} have none"
    );
}

/// A history with ticks at which nothing comes.
fn with_ticks(seed: u64) -> Vec<EpochInput> {
    let mut draw = Draw::new(seed);
    let mut full: Vec<EpochInput> = Vec::new();
    for input in history(seed, 20 + (seed % 40) as usize) {
        while let Some(last) = full.last().filter(|_| !draw.once_in(3)) {
            let epoch = Millis(last.epoch.0 + 1 + draw.below(3_000) as i64);
            if epoch >= input.epoch {
                break;
            }
            let records = Vec::new();
            full.push(EpochInput { epoch, records });
        }
        full.push(input);
    }
    full
}

/// Compares with an oracle that knows the recorded epochs only; how many others there are.
fn without_a_record(seed: u64, history: &[EpochInput]) -> usize {
    let semantics = for_history(&semantics(), history);
    let outputs = replay(history.to_vec(), 2, semantics.clone(), &Meters::default()).unwrap();
    let mut oracle = Oracle::new(semantics);
    let mut visible = Visible::default();
    let mut left_out = 0;
    for (input, output) in history.iter().zip(&outputs) {
        if input.records.is_empty() && output.is_empty() && !output.woken {
            left_out += 1;
            continue;
        }
        visible.apply(output);
        if let Some(difference) = compare(&visible.0, &oracle.step(input)) {
            panic!("seed {seed}: epoch {}: {difference}", input.epoch);
        }
    }
    left_out
}
