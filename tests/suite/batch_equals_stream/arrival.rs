//! The order in which records arrive.

use std::collections::{BTreeMap, BTreeSet};

use riskflow::runtime::graph::Meters;
use riskflow::runtime::replay::{EpochInput, replay};
use riskflow_config::InputRecord;
use riskflow_model::forecast::Forecast;
use riskflow_model::observation::Observation;
use riskflow_model::output::{DeadLetter, Origin, PastState, PastWarning, Reason, WarningState};
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, Key, LogRow, Millis};
use riskflow_tests::history::{Draw, history};

use super::{Visible, semantics};

/// The same records in another order of arrival, all within the horizon: the same tables in the end, but for the identifiers of
/// warnings, which say what was told first.
#[test]
fn any_order_of_arrival_within_the_horizon_ends_in_the_same_tables() {
    for seed in 1..=60u64 {
        let mut draw = Draw::new(seed);
        let source = history(seed * 7_919, 40);
        let base: Vec<(Origin, InputRecord)> = source[0]
            .records
            .iter()
            .filter(|(_, record)| matches!(record, InputRecord::Base(_, Some(_))))
            .cloned()
            .collect();
        let start = source[0].epoch.0;
        let end = start + 120_000;
        // Within the horizon of the last epoch, and nothing for a datastream that has no row.
        let known: BTreeSet<Key> = base
            .iter()
            .filter(|(origin, _)| origin.topic == Topic::BASE_DATASTREAM.id())
            .filter_map(|(_, record)| match record {
                InputRecord::Base(key, _) => Some(*key),
                InputRecord::Observation(_) | InputRecord::Action(_) | InputRecord::Log(_) => None,
            })
            .collect();
        let within = |time: Millis| Millis(end - 60_000 + time.0.rem_euclid(40_000));
        let records: Vec<InputRecord> = source
            .iter()
            .flat_map(|epoch| &epoch.records)
            .filter_map(|(_, record)| match record {
                InputRecord::Observation(observation) if known.contains(&observation.datastream) => {
                    let time = within(observation.time);
                    Some(InputRecord::Observation(Observation {
                        time,
                        ..observation.clone()
                    }))
                }
                InputRecord::Log(row) => {
                    // Events are left out: of those, which one comes last counts.
                    let forecast = row.downcast_ref::<Forecast>()?;
                    let moved = within(forecast.issued) - forecast.issued;
                    let is_known = known.contains(&forecast.datastream.key());
                    is_known.then(|| {
                        InputRecord::Log(LogRow::new(Forecast {
                            issued: forecast.issued + moved,
                            valid_time: forecast.valid_time.map(|valid| valid + moved),
                            values: forecast
                                .values
                                .iter()
                                .map(|(valid, value)| (*valid + moved, *value))
                                .collect(),
                            ..forecast.clone()
                        }))
                    })
                }
                _ => None,
            })
            .collect();
        let one = arrive(&base, &records, start, end, &mut draw.clone(), false);
        let other = arrive(&base, &records, start, end, &mut draw, true);
        assert_eq!(one.0.assets, other.0.assets, "seed {seed}");
        assert_eq!(nameless(&one), nameless(&other), "seed {seed}");
        assert_eq!(past(&one), past(&other), "seed {seed}");
        assert_eq!(one.0.regions, other.0.regions, "seed {seed}");
        assert_eq!(one.0.totals, other.0.totals, "seed {seed}");
    }
}

/// Open warnings without their identifiers.
fn nameless(visible: &Visible) -> BTreeSet<WarningState> {
    let rows = visible.0.warnings.values();
    rows.map(|row| WarningState {
        id: "".into(),
        ..row.clone()
    })
    .collect()
}

/// What is over and was, without the identifiers, and without whether it was told while it lasted.
fn past(visible: &Visible) -> BTreeSet<PastWarning> {
    let rows = visible.0.history.values().filter(|row| row.state == PastState::Ended);
    rows.map(|row| PastWarning {
        id: "".into(),
        told: false,
        ..row.clone()
    })
    .collect()
}

/// Lets records arrive in the given order, or in another that keeps the order of those for one datastream and time, or issue.
fn arrive(
    base: &[(Origin, InputRecord)],
    all: &[InputRecord],
    start: i64,
    end: i64,
    draw: &mut Draw,
    mixed: bool,
) -> Visible {
    let place = |record: &InputRecord| match record {
        InputRecord::Observation(observation) => (observation.datastream, observation.time),
        InputRecord::Base(key, _) => (*key, Millis(0)),
        InputRecord::Action(action) => (Key::of(&action.warning), action.time),
        InputRecord::Log(row) => (Key::of(&row.id()), row.time()),
    };
    let mut order: Vec<usize> = (0..all.len()).collect();
    if mixed {
        for position in (1..order.len()).rev() {
            order.swap(position, draw.below(position as u64 + 1) as usize);
        }
        // Those of one place back into their order, in the positions that they hold together.
        let mut places: BTreeMap<(Key, Millis), Vec<usize>> = BTreeMap::new();
        for (position, index) in order.iter().enumerate() {
            places.entry(place(&all[*index])).or_default().push(position);
        }
        for positions in places.values() {
            let mut indices: Vec<usize> = positions.iter().map(|position| order[*position]).collect();
            indices.sort_unstable();
            for (position, index) in positions.iter().zip(indices) {
                order[*position] = index;
            }
        }
    }
    let mut history = vec![EpochInput {
        epoch: Millis(start),
        records: base.to_vec(),
    }];
    let steps = 12;
    for step in 1..=steps {
        let epoch = Millis(end - 50_000 + (50_000 / steps as i64) * step as i64);
        let share = order.len() * (step - 1) / steps..order.len() * step / steps;
        let records = order[share.clone()].iter().zip(share).map(|(index, offset)| {
            let record = all[*index].clone();
            let topic = match &record {
                InputRecord::Log(row) => row.topic(),
                _ => Topic::IN_OBSERVATION,
            };
            let origin = Origin {
                topic: topic.id(),
                partition: 0,
                offset: offset as u64,
            };
            (origin, record)
        });
        history.push(EpochInput {
            epoch,
            records: records.collect(),
        });
    }
    // Observations ahead of the clock by more than max_future would be refused: they arrive with the last epochs only.
    let mut settings = semantics();
    settings.time.max_future = Duration(60_000);
    settings.time.horizon = Duration(200_000);
    history.push(EpochInput {
        epoch: Millis(end + 7),
        records: Vec::new(),
    });
    let mut visible = Visible::default();
    for output in replay(history, 2, settings, &Meters::default()).unwrap() {
        // Rows are there from the first epoch on, so what is refused is so whenever it comes.
        assert!(
            output
                .log::<DeadLetter>()
                .all(|dead| dead.reason == Reason::UnknownState)
        );
        visible.apply(&output);
    }
    visible
}
