//! A fold of its own, on two workers: which sensors have been silent for a minute.
//!
//! `cargo run --example fold`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "an example prints, and ends where it is wrong"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use riskflow_model::output::Origin;
use riskflow_model::{Duration, Key, Millis};
use riskflow_operators::engine::{Fold, FoldMeter, Keeper, Next, Tick, batched, fold};
use riskflow_operators::{Diff, Turn};
use serde::{Deserialize, Serialize};
use timely::dataflow::InputHandleVec;
use timely::dataflow::operators::vec::Input as _;
use timely::dataflow::operators::{Inspect as _, Probe as _, ToStream as _};

/// A sensor was heard of.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Heard {
    sensor: u8,
    offset: u64,
}

/// What is kept for each sensor: when it was heard of last, and whether it is shown as silent.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Sensor {
    last: Millis,
    shown: bool,
}

/// A minute.
const PATIENCE: Duration = Duration(60_000);

struct Silent;

impl Fold for Silent {
    type Key = Key;
    type Row = ();
    type Record = Heard;
    type State = Sensor;
    /// A row: the key of a sensor that is silent.
    type Output = Key;

    const NAME: &'static str = "silent";

    fn route(key: &Key) -> u64 {
        key.route()
    }

    /// The order of records within an epoch is that of their origin, however they came.
    fn place(record: &Heard) -> (Key, Origin) {
        let origin = Origin {
            offset: record.offset,
            ..Origin::default()
        };
        (key_of(record.sensor), origin)
    }

    fn rows(&mut self, _: Millis, _: Key, _: &mut Sensor, _: &mut dyn Iterator<Item = ((), Diff)>) -> bool {
        false
    }

    fn record(&mut self, now: Millis, _: Key, sensor: &mut Sensor, _: &mut Heard) {
        sensor.last = now;
    }

    /// After a restart the rows that stand are given again.
    fn recall(&mut self, key: Key, sensor: &Sensor, out: &mut Vec<(Key, Diff)>) {
        out.extend(sensor.shown.then_some((key, 1)));
    }

    /// Gives the difference to what was given before, and says when to look again: time passes by ticks only.
    fn settle(&mut self, now: Millis, key: Key, sensor: &mut Sensor, out: &mut Vec<(Key, Diff)>) -> Next {
        let silent = now >= sensor.last + PATIENCE;
        if silent != sensor.shown {
            out.push((key, if silent { 1 } else { -1 }));
            sensor.shown = silent;
        }
        if silent {
            Next::Keep
        } else {
            Next::Wake(sensor.last + PATIENCE)
        }
    }
}

/// What came out, by turn.
type Given = BTreeMap<Turn, Vec<(Key, Diff)>>;

fn key_of(sensor: u8) -> Key {
    Key::of(&format!("sensor-{sensor}"))
}

fn main() {
    // At each epoch, in milliseconds, the sensors that were heard of.
    let history: [(i64, &[u8]); 5] = [
        (0, &[1, 2]),
        (30_000, &[1]),
        (60_000, &[]),
        (90_000, &[2]),
        (150_000, &[]),
    ];
    let given: Arc<Mutex<Given>> = Arc::default();
    let seen = Arc::clone(&given);
    timely::execute(timely::Config::process(2), move |worker| {
        let (index, seen) = (worker.index(), Arc::clone(&seen));
        let (mut heard, mut ticks) = (InputHandleVec::new(), InputHandleVec::new());
        let probe = worker.dataflow::<Turn, _, _>(|scope| {
            let records = batched::<Silent, _>(scope.input_from(&mut heard), Some);
            let ticks = scope.input_from(&mut ticks);
            let no_rows =
                differential_dataflow::AsCollection::as_collection(None::<((Key, ()), Turn, Diff)>.to_stream(scope));
            let folded = fold(
                Silent,
                no_rows,
                records,
                ticks,
                Arc::new(FoldMeter::default()),
                Keeper::none(),
            );
            let (probe, _) = folded
                .updates
                .inspect(move |(key, turn, diff)| seen.lock().unwrap().entry(*turn).or_default().push((*key, *diff)))
                .probe();
            probe
        });
        let mut offset = 0;
        for (turn, (clock, sensors)) in (0..).zip(history) {
            // One tick for each epoch on each worker; each record comes in on one.
            ticks.send(Tick {
                epoch: clock as u64,
                clock: Millis(clock),
                checkpoint: false,
            });
            for sensor in sensors.iter().filter(|_| index == 0) {
                heard.send(Heard {
                    sensor: *sensor,
                    offset,
                });
                offset += 1;
            }
            heard.advance_to(turn + 1);
            ticks.advance_to(turn + 1);
            worker.step_while(|| probe.less_than(&(turn + 1)));
        }
    })
    .unwrap();
    let given = given.lock().unwrap();
    for (turn, rows) in given.iter() {
        println!("at {} ms: {rows:?}", history[*turn as usize].0);
    }
    // 2 falls silent at 60 s, is heard of again at 90 s, and falls silent anew; 1 does at 90 s.
    assert_eq!(given[&2], [(key_of(2), 1)]);
    assert_eq!(given[&4], [(key_of(2), 1)]);
    assert!(given[&3].contains(&(key_of(1), 1)) && given[&3].contains(&(key_of(2), -1)));
}
