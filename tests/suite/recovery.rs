//! State that was saved goes on as if nothing had happened, on any number of workers.

use std::collections::BTreeMap;

use riskflow::runtime::graph::Meters;
use riskflow::runtime::output::EpochOutput;
use riskflow::runtime::replay::{EpochInput, Session, replay_on};
use riskflow_model::Text;
use riskflow_model::output::{CandidateDelta, Notice, SetState};
use riskflow_model::ruleset::DEFAULT;
use riskflow_model::topic::Shape;
use riskflow_tests::history::{history, with_sets};

use crate::batch_equals_stream::{for_history, histories, semantics};

/// The rows that are there after some epochs, as JSON.
fn tables(outputs: &[EpochOutput]) -> BTreeMap<String, i64> {
    let mut rows = BTreeMap::new();
    for (row, diff) in outputs.iter().flat_map(EpochOutput::rows) {
        if row.topic().shape() == Shape::OutputTable {
            *rows.entry(format!("{row:?}")).or_default() += diff;
        }
    }
    rows.retain(|_, count| *count != 0);
    rows
}

/// A run without a break, and one that begins with what was saved in the first, after some epochs.
struct Restart {
    whole: Vec<EpochOutput>,
    at: usize,
    resumed: Vec<EpochOutput>,
}

impl Restart {
    /// Runs a history in both ways, on another number of workers each.
    fn of(seed: u64, history: Vec<EpochInput>) -> Self {
        let workers = |n: u64| [1, 2, 4][((seed / 4 + n) % 3) as usize];
        let at = history.len() * (1 + seed as usize % 7) / 8;
        let (meters, semantics) = (Meters::default(), for_history(&semantics(), &history));
        let session = Session {
            checkpoint: Some(history[at].epoch),
            ..Session::default()
        };
        let run = |history: Vec<EpochInput>, workers, session| {
            replay_on(history, workers, semantics.clone(), &meters, session).unwrap()
        };
        let (whole, saved) = run(history.clone(), workers(0), session);
        assert!(!saved.is_empty(), "seed {seed}: nothing was saved");
        let mut rest = history[at..].to_vec();
        rest[0].records.clear();
        let session = Session {
            saved,
            ..Session::default()
        };
        let (resumed, _) = run(rest, workers(1), session);
        Self { whole, at, resumed }
    }

    /// Whether the second run goes on as the first one did.
    fn is_unseen(&self, seed: u64) {
        let Self { whole, at, resumed } = self;
        assert_eq!(
            tables(&resumed[..1]),
            tables(&whole[..=*at]),
            "seed {seed}: the views are not rebuilt as they were"
        );
        assert!(
            resumed[0]
                .rows()
                .iter()
                .all(|(row, _)| row.topic().shape() == Shape::OutputTable),
            "seed {seed}: told again: {:?}",
            resumed[0]
        );
        assert_eq!(whole.len() - at, resumed.len(), "seed {seed}");
        for (before, after) in whole[at + 1..].iter().zip(&resumed[1..]) {
            let what = format!("seed {seed}, epoch {}", before.epoch);
            assert_eq!(before.rows(), after.rows(), "{what}");
        }
    }

    /// After each epoch the name of the live set.
    fn live(&self) -> Vec<Text> {
        let mut states: BTreeMap<Text, bool> = BTreeMap::new();
        let live = self.whole.iter().map(|output| {
            // What comes for a key stands behind what goes.
            for (state, diff) in output.table::<SetState>() {
                let set = state.set.text().clone();
                if diff > 0 {
                    states.insert(set, state.live);
                } else {
                    states.remove(&set);
                }
            }
            let mut live = states.iter().filter(|(_, live)| **live).map(|(set, _)| set.clone());
            live.next().unwrap_or_else(|| DEFAULT.into())
        });
        live.collect()
    }
}

#[test]
fn a_state_that_was_saved_goes_on_as_if_nothing_had_happened() {
    let (mut seeds, mut reminders) = (0, 0);
    for seed in histories().step_by(5) {
        seeds += 1;
        let restart = Restart::of(seed, history(seed, 30 + (seed % 60) as usize));
        restart.is_unseen(seed);
        let told = restart.resumed[1..].iter().flat_map(EpochOutput::log::<Notice>);
        reminders += told.filter(|notice| notice.reminder.is_some()).count();
    }
    assert!(
        seeds < 100 || reminders >= 20,
        "{reminders} reminders after {seeds} restarts"
    );
}

/// The same with candidates: a restart between a promotion and the demotion leaves the tracks of all sets as they were.
#[test]
fn rule_sets_go_on_after_a_restart_as_if_nothing_had_happened() {
    let (mut seeds, mut between, mut candidates) = (0, 0, 0);
    for seed in histories().step_by(5) {
        seeds += 1;
        let history = with_sets(seed, history(seed, 30 + (seed % 40) as usize));
        let restart = Restart::of(seed, history);
        restart.is_unseen(seed);
        let live = restart.live();
        let is_promoted = &*live[restart.at] != DEFAULT;
        let is_demoted = live[restart.at + 1..].iter().any(|set| **set == *DEFAULT);
        between += usize::from(is_promoted && is_demoted);
        let told = restart.resumed[1..].iter().flat_map(EpochOutput::log::<CandidateDelta>);
        candidates += usize::from(told.count() > 0);
    }
    assert!(
        seeds < 100 || between >= 15,
        "{between} of {seeds} restarts lie between a promotion and the demotion"
    );
    assert!(
        seeds < 100 || candidates >= 30,
        "candidates go on after {candidates} of {seeds} restarts"
    );
}
