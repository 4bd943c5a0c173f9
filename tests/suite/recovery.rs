//! State that was saved goes on as if nothing had happened, on any number of workers.

use std::collections::BTreeMap;

use riskflow::runtime::graph::Meters;
use riskflow::runtime::output::EpochOutput;
use riskflow::runtime::replay::{EpochInput, Session, replay_on};
use riskflow_model::output::Notice;
use riskflow_model::topic::Shape;
use riskflow_tests::history::history;

use crate::batch_equals_stream::{histories, semantics};

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

#[test]
fn a_state_that_was_saved_goes_on_as_if_nothing_had_happened() {
    let (mut seeds, mut reminders) = (0, 0);
    for seed in histories().step_by(4) {
        seeds += 1;
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
            resumed[0]
                .rows()
                .iter()
                .all(|(row, _)| row.topic().shape() == Shape::OutputTable),
            "seed {seed}: told again: {:?}",
            resumed[0]
        );
        for (before, after) in whole[at + 1..].iter().zip(&resumed[1..]) {
            let what = format!("seed {seed}, epoch {}", before.epoch);
            assert_eq!(before.rows(), after.rows(), "{what}");
            reminders += after.log::<Notice>().filter(|notice| notice.reminder.is_some()).count();
        }
    }
    assert!(
        seeds < 100 || reminders >= 20,
        "{reminders} reminders after {seeds} restarts"
    );
}
