//! State that was saved goes on as if nothing had happened, on any number of workers.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use riskflow::graph::Meters;
use riskflow::output::EpochOutput;
use riskflow::replay::{EpochInput, Session, replay_on};
use riskflow_tests::history::history;

use crate::batch_equals_stream::{histories, semantics};

/// The rows that are there after some epochs, as JSON.
fn tables(outputs: &[EpochOutput]) -> BTreeMap<String, i64> {
    fn add<T: Debug>(rows: &mut BTreeMap<String, i64>, changes: &[(Arc<T>, i64)]) {
        for (row, diff) in changes {
            *rows.entry(format!("{row:?}")).or_default() += diff;
        }
    }
    let mut rows = BTreeMap::new();
    for output in outputs {
        add(&mut rows, &output.assets);
        add(&mut rows, &output.regions);
        add(&mut rows, &output.warnings);
        add(&mut rows, &output.totals);
        add(&mut rows, &output.unmatched);
        add(&mut rows, &output.cases);
        add(&mut rows, &output.responses);
    }
    rows.retain(|_, count| *count != 0);
    rows
}

#[test]
fn a_state_that_was_saved_goes_on_as_if_nothing_had_happened() {
    for seed in histories().step_by(4) {
        let workers = |n: u64| [1, 2, 4][((seed / 4 + n) % 3) as usize];
        let history = history(seed, 30 + (seed % 60) as usize);
        let at = history.len() * (1 + seed as usize % 7) / 8;
        let meters = Meters::default();
        let session = Session {
            checkpoint: Some(history[at].epoch),
            ..Session::default()
        };
        let run = |history: Vec<EpochInput>, workers, session| {
            replay_on(history, workers, semantics(), &meters, session).unwrap()
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
        assert_eq!(
            tables(&resumed[..1]),
            tables(&whole[..=at]),
            "seed {seed}: the views are not rebuilt as they were"
        );
        assert!(
            resumed[0].deltas.is_empty()
                && resumed[0].dead.is_empty()
                && resumed[0].case_deltas.is_empty()
                && resumed[0].notices.is_empty(),
            "seed {seed}: told again: {:?}",
            resumed[0]
        );
        for (before, after) in whole[at + 1..].iter().zip(&resumed[1..]) {
            let what = format!("seed {seed}, epoch {}", before.epoch);
            assert_eq!(before.deltas, after.deltas, "{what}");
            assert_eq!(before.dead, after.dead, "{what}");
            assert_eq!(before.case_deltas, after.case_deltas, "{what}");
            assert_eq!(before.notices, after.notices, "{what}");
            assert_eq!(
                tables(std::slice::from_ref(before)),
                tables(std::slice::from_ref(after)),
                "{what}"
            );
        }
    }
}
