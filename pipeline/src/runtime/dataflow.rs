//! What each operator of the dataflow does, for whoever asks why it is slow. Timely and differential tell it, if they are asked before the
//! dataflow is built (`http.dataflow`): two readings of the clock for each time that an operator is run, so it is off by default.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use differential_dataflow::logging::{BatchEvent, DifferentialEvent, DropEvent, MergeEvent};
use serde::Serialize;
use timely::logging::{ChannelsEvent, OperatesEvent, ScheduleEvent, StartStop, TimelyEvent, TimelyEventBuilder};
use timely::worker::Worker;

/// The name of a fold's operator begins so.
const FOLD: &str = "Fold: ";

/// What the operators of a process have done, by worker.
#[derive(Debug, Default)]
pub struct DataflowMeter(Mutex<BTreeMap<usize, Arc<Watched>>>);

/// What the operators of one worker have done.
#[derive(Debug, Default)]
pub struct Watched(Mutex<Seen>);

/// Where an operator stands: its number in each scope around it.
type Address = Vec<usize>;

#[derive(Debug, Default)]
struct Seen {
    operators: BTreeMap<usize, Operator>,
    channels: BTreeMap<usize, Channel>,
    /// Operators that run now, each within the one before: when it began, and how long others ran within it.
    running: Vec<(usize, Duration, Duration)>,
}

#[derive(Debug, Default)]
struct Operator {
    name: String,
    address: Address,
    time: Duration,
    runs: u64,
    arrangement: Option<Arrangement>,
}

#[derive(Debug, Default)]
struct Channel {
    to: Address,
    batches: u64,
    records: i64,
}

/// What an arrangement holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Arrangement {
    /// Batches.
    pub batches: i64,
    /// Updates in them.
    pub updates: i64,
}

/// What an operator has done since the start, over all workers of the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Done {
    /// Its number in each scope around it: on all workers the same.
    pub address: Vec<usize>,
    /// Its name.
    pub name: String,
    /// How long it ran, without operators within it.
    pub seconds: f64,
    /// How often it was run.
    pub runs: u64,
    /// Batches that came to it.
    pub batches: u64,
    /// Records in them.
    pub records: i64,
    /// What it holds, if it keeps an arrangement.
    pub arrangement: Option<Arrangement>,
}

impl DataflowMeter {
    /// The job begins once more, with another dataflow.
    pub fn begin_anew(&self) {
        self.workers().clear();
    }

    fn workers(&self) -> MutexGuard<'_, BTreeMap<usize, Arc<Watched>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What one worker has done.
    #[must_use]
    pub fn worker(&self, index: usize) -> Arc<Watched> {
        Arc::clone(self.workers().entry(index).or_default())
    }

    /// Watches a worker from now on. Call it before the dataflow is built.
    #[must_use]
    pub fn watch(&self, worker: &Worker) -> Arc<Watched> {
        let watched = self.worker(worker.index());
        if let Some(mut register) = worker.log_register() {
            let told = Arc::clone(&watched);
            register.insert::<TimelyEventBuilder, _>("timely", move |_, events| {
                if let Some(events) = events {
                    told.take(events);
                }
            });
        }
        watched
    }

    /// What each operator has done, those that took the longest first. Nothing where nobody is watched.
    #[must_use]
    pub fn operators(&self) -> Vec<Done> {
        let mut all: BTreeMap<Address, Done> = BTreeMap::new();
        for watched in self.workers().values() {
            watched.seen().add_to(&mut all);
        }
        let mut all: Vec<Done> = all.into_values().collect();
        all.sort_by(|a, b| b.seconds.total_cmp(&a.seconds).then_with(|| a.address.cmp(&b.address)));
        all
    }
}

/// How long each fold ran, by its name.
#[must_use]
pub fn by_fold(operators: &[Done]) -> BTreeMap<&str, f64> {
    let mut folds: BTreeMap<&str, f64> = BTreeMap::new();
    for (done, fold) in operators
        .iter()
        .filter_map(|done| Some((done, done.name.strip_prefix(FOLD)?)))
    {
        *folds.entry(fold).or_default() += done.seconds;
    }
    folds
}

/// How many updates arrangements hold, by the names of their operators.
#[must_use]
pub fn arranged(operators: &[Done]) -> BTreeMap<&str, i64> {
    let mut names: BTreeMap<&str, i64> = BTreeMap::new();
    for (done, held) in operators.iter().filter_map(|done| Some((done, done.arrangement?))) {
        *names.entry(done.name.as_str()).or_default() += held.updates;
    }
    names
}

impl Watched {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what timely tells, in order.
    pub fn take(&self, events: &[(Duration, TimelyEvent)]) {
        let mut seen = self.seen();
        for (at, event) in events {
            match event {
                TimelyEvent::Operates(OperatesEvent { id, addr, name }) => {
                    let operator = seen.operators.entry(*id).or_default();
                    operator.address.clone_from(addr);
                    operator.name.clone_from(name);
                }
                TimelyEvent::Channels(ChannelsEvent {
                    id, scope_addr, target, ..
                }) => {
                    let mut to = scope_addr.clone();
                    to.push(target.0);
                    seen.channels.entry(*id).or_default().to = to;
                }
                TimelyEvent::Messages(message) if !message.is_send => {
                    let channel = seen.channels.entry(message.channel).or_default();
                    channel.batches += 1;
                    channel.records += message.record_count;
                }
                TimelyEvent::Schedule(scheduled) => seen.scheduled(*at, *scheduled),
                TimelyEvent::Messages(_)
                | TimelyEvent::PushProgress(_)
                | TimelyEvent::Shutdown(_)
                | TimelyEvent::CommChannels(_)
                | TimelyEvent::Park(_)
                | TimelyEvent::Text(_) => {}
            }
        }
    }

    /// An arrangement holds so much more, or less.
    pub fn arrange(&self, operator: usize, batches: i64, updates: i64) {
        self.seen().arranged(operator, batches, updates);
    }

    /// Takes in what differential tells of arrangements.
    pub fn take_arranged<'a>(&self, events: impl Iterator<Item = &'a DifferentialEvent>) {
        let mut seen = self.seen();
        for event in events {
            match event {
                DifferentialEvent::Batch(BatchEvent { operator, length }) => {
                    seen.arranged(*operator, 1, *length as i64)
                }
                DifferentialEvent::Drop(DropEvent { operator, length }) => {
                    seen.arranged(*operator, -1, -(*length as i64))
                }
                DifferentialEvent::Merge(MergeEvent {
                    operator,
                    length1,
                    length2,
                    complete: Some(merged),
                    ..
                }) => seen.arranged(*operator, -1, *merged as i64 - (length1 + length2) as i64),
                DifferentialEvent::Merge(_)
                | DifferentialEvent::MergeShortfall(_)
                | DifferentialEvent::TraceShare(_)
                | DifferentialEvent::Batcher(_) => {}
            }
        }
    }
}

impl Seen {
    fn scheduled(&mut self, at: Duration, ScheduleEvent { id, start_stop }: ScheduleEvent) {
        match start_stop {
            StartStop::Start => self.running.push((id, at, Duration::ZERO)),
            StartStop::Stop => {
                // One that ran when it was asked to tell has no beginning.
                let Some((_, began, others)) = self.running.pop_if(|(running, ..)| *running == id) else {
                    return;
                };
                let passed = at.saturating_sub(began);
                if let Some((.., around)) = self.running.last_mut() {
                    *around += passed;
                }
                let operator = self.operators.entry(id).or_default();
                operator.time += passed.saturating_sub(others);
                operator.runs += 1;
            }
        }
    }

    fn arranged(&mut self, operator: usize, batches: i64, updates: i64) {
        let operator = self.operators.entry(operator).or_default();
        let arrangement = operator.arrangement.get_or_insert_default();
        arrangement.batches += batches;
        arrangement.updates += updates;
    }

    fn add_to(&self, all: &mut BTreeMap<Address, Done>) {
        // What has no name was built before it was watched.
        for operator in self.operators.values().filter(|operator| !operator.name.is_empty()) {
            let done = all.entry(operator.address.clone()).or_default();
            done.address.clone_from(&operator.address);
            done.name.clone_from(&operator.name);
            done.seconds += operator.time.as_secs_f64();
            done.runs += operator.runs;
            if let Some(held) = operator.arrangement {
                let arrangement = done.arrangement.get_or_insert_default();
                arrangement.batches += held.batches;
                arrangement.updates += held.updates;
            }
        }
        for channel in self.channels.values() {
            if let Some(done) = all.get_mut(&channel.to) {
                done.batches += channel.batches;
                done.records += channel.records;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use timely::dataflow::InputHandleVec;
    use timely::dataflow::operators::Inspect as _;
    use timely::dataflow::operators::vec::Input as _;
    use timely::logging::MessagesEvent;

    use super::*;

    fn operates(id: usize, addr: &[usize], name: &str) -> TimelyEvent {
        TimelyEvent::Operates(OperatesEvent {
            id,
            addr: addr.to_vec(),
            name: name.to_owned(),
        })
    }

    fn came(channel: usize, is_send: bool, record_count: i64) -> TimelyEvent {
        TimelyEvent::Messages(MessagesEvent {
            is_send,
            channel,
            source: 0,
            target: 0,
            seq_no: 0,
            record_count,
        })
    }

    /// A dataflow in which the fold runs from 2 to 5 ms.
    fn watched() -> DataflowMeter {
        let meter = DataflowMeter::default();
        let millis = Duration::from_millis;
        let channel = ChannelsEvent {
            id: 9,
            scope_addr: vec![0],
            source: (1, 0),
            target: (2, 0),
            typ: String::new(),
        };
        for worker in 0..2 {
            meter.worker(worker).take(&[
                (millis(0), operates(1, &[0], "Dataflow")),
                (millis(0), TimelyEvent::Channels(channel.clone())),
                (millis(0), operates(3, &[0, 2], "Fold: monitor")),
                (millis(1), TimelyEvent::Schedule(ScheduleEvent::start(1))),
                (millis(2), TimelyEvent::Schedule(ScheduleEvent::start(3))),
                (millis(3), came(9, true, 50)),
                (millis(3), came(9, false, 50)),
                (millis(5), TimelyEvent::Schedule(ScheduleEvent::stop(3))),
                (millis(6), TimelyEvent::Schedule(ScheduleEvent::stop(1))),
                (millis(6), TimelyEvent::Schedule(ScheduleEvent::stop(77))),
            ]);
        }
        meter
    }

    #[test]
    fn time_is_that_of_the_operator_itself_and_workers_are_summed() {
        let operators = watched().operators();
        let shown: Vec<_> = operators
            .iter()
            .map(|done| (&*done.name, done.runs, done.batches, done.records))
            .collect();
        assert_eq!(shown, [("Fold: monitor", 2, 2, 100), ("Dataflow", 2, 0, 0)]);
        let seconds = |at: usize| (operators[at].seconds * 1e3).round() as i64;
        assert_eq!((seconds(0), seconds(1)), (6, 4));
        assert_eq!(by_fold(&operators).into_keys().collect::<Vec<_>>(), ["monitor"]);
    }

    #[test]
    fn an_arrangement_holds_what_came_less_what_merged_away_or_went() {
        let meter = watched();
        let merge = |complete| {
            DifferentialEvent::Merge(MergeEvent {
                operator: 3,
                scale: 0,
                length1: 10,
                length2: 5,
                complete,
            })
        };
        let batch = |length| DifferentialEvent::Batch(BatchEvent { operator: 3, length });
        let went = DifferentialEvent::Drop(DropEvent { operator: 3, length: 4 });
        let events = [batch(10), batch(5), batch(4), merge(None), merge(Some(12)), went];
        meter.worker(0).take_arranged(events.iter());
        let operators = meter.operators();
        let held = operators.iter().find_map(|done| done.arrangement);
        assert_eq!(
            held,
            Some(Arrangement {
                batches: 1,
                updates: 12
            })
        );
        assert_eq!(arranged(&operators), BTreeMap::from([("Fold: monitor", 12)]));
    }

    #[test]
    fn a_dataflow_that_is_watched_tells_of_its_operators() {
        let meter = Arc::new(DataflowMeter::default());
        let watching = Arc::clone(&meter);
        timely::execute_directly(move |worker| {
            drop(watching.watch(worker));
            let mut input: InputHandleVec<u64, u64> = InputHandleVec::new();
            worker.dataflow::<u64, _, _>(|scope| {
                scope.input_from(&mut input).inspect(|_| ());
            });
            input.send(1);
            input.close();
        });
        let operators = meter.operators();
        let inspects = operators.iter().find(|done| done.name == "Inspect").unwrap();
        assert_eq!((inspects.batches, inspects.records), (1, 1));
        assert!(inspects.runs > 0 && inspects.address.len() == 2, "{inspects:?}");
    }
}
