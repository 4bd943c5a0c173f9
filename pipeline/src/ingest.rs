//! Ingestion: on each worker, the records of its partitions that belong to an epoch.
//!
//! ```text
//!   cuts ──► [ ingest ] ─┬─► base records
//!             │   ▲      ├─► observations (admitted)
//!             │   │      ├─► actions (admitted)
//!             poll│      ├─► dead letters
//!            sources     └─► reports ──► worker 0 ──► the next cut
//! ```
//!
//! A cut says "epoch *t* closes": the operator holds *t* until it has handed over everything of its partitions that
//! belongs to *t*. Which records these are depends on the cut:
//!
//! * [`How::Look`]: none; only the arrival of the next record is reported;
//! * [`How::History`]: those that arrived at or before *t*, in every partition: a history replays to the same epochs however
//!   fast it is read;
//! * [`How::Live`]: those at hand, up to a number;
//! * [`How::Recorded`]: those that an earlier run took in this epoch, by their offsets.
//!
//! Which they were goes out with the epoch ([`Output::Taken`]): that makes it definite.
//!
//! Decoding happens here, on the worker: no thread stands between a source and the dataflow, and nothing is read
//! that no epoch asked for. That bounds memory when the input is faster than the job.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use riskflow_config::{CaseSettings, Clock, InputRecord, TimeSettings};
use riskflow_connectors::{Polled, RawRecord, Rejection, Source, SourceError, Verdict, dead_letter, decode, table_key};
use riskflow_model::Millis;
use riskflow_model::output::{Origin, Reason};
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;
use riskflow_operators::Epoch;
use riskflow_operators::case::{Acted, Case, CaseRecord};
use riskflow_operators::fold::{Batch, Batches};
use riskflow_operators::monitor::{Monitor, Observed};
use riskflow_operators::table::{BaseRecord, Change, Latest};
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use crate::metrics::Metrics;
use crate::output::{Output, OutputUpdate};

/// How an epoch takes its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// Take nothing, report what comes next.
    Look,
    /// Take what arrived at or before the epoch.
    History,
    /// Take what is at hand.
    Live,
    /// Take what the bound names.
    Recorded,
}

/// An epoch closes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// How it takes its records.
    pub how: How,
    /// Only records before these offsets are there; partitions that are not named have none.
    pub bound: Option<Offsets>,
    /// Whether the state after it is to be kept.
    pub checkpoint: bool,
}

impl From<How> for Cut {
    fn from(how: How) -> Self {
        Self {
            how,
            bound: None,
            checkpoint: false,
        }
    }
}

/// What a worker tells worker 0 after a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The worker.
    pub worker: usize,
    /// When its next record arrived, if any is at hand; `i64::MIN` where all at hand arrive before everything else.
    pub next_arrival: Option<i64>,
    /// Whether it has taken all that was there when its sources were opened.
    pub caught_up: bool,
    /// Whether its process was asked to stop.
    pub stop: bool,
}

/// What ingestion needs to know.
pub struct Ingest {
    /// The sources of this worker's partitions: base topics, then the others.
    pub sources: Vec<Box<dyn Source>>,
    /// Horizons of event time.
    pub time: TimeSettings,
    /// How far actions may be behind.
    pub case: CaseSettings,
    /// What decides about a record's arrival.
    pub clock: Clock,
    /// No history arrived later than this, whatever it says: the wall clock when the job began.
    pub ceiling: i64,
    /// The most records in a live epoch.
    pub max_records: usize,
    /// Where to count.
    pub metrics: Arc<Metrics>,
    /// When the lag of partitions was shown last.
    pub lag_shown: Option<Instant>,
    /// Set when the process is asked to stop.
    pub stop: Arc<AtomicBool>,
    /// The first error of a source; ends the job.
    pub failed: Rc<RefCell<Option<SourceError>>>,
}

/// The streams that ingestion gives.
pub struct Ingested<'scope> {
    /// Records of base topics and rules.
    pub base: StreamVec<'scope, Epoch, Batch<BaseRecord>>,
    /// Observations that were admitted.
    pub observations: StreamVec<'scope, Epoch, Batch<Observed>>,
    /// Actions that were admitted.
    pub actions: StreamVec<'scope, Epoch, Batch<CaseRecord>>,
    /// What could not be used.
    pub dead_letters: StreamVec<'scope, Epoch, OutputUpdate>,
    /// One for each cut and worker.
    pub reports: StreamVec<'scope, Epoch, Report>,
}

/// How many records are offered before other operators get their turn.
const BATCH: usize = 4_096;

/// How long to wait for a history that is not at hand yet.
const RETRY: Duration = Duration::from_millis(1);

/// Adds the operator to the dataflow.
pub fn ingest<'scope>(mut ingest: Ingest, cuts: StreamVec<'scope, Epoch, Cut>) -> Ingested<'scope> {
    let scope = cuts.scope();
    let worker = scope.worker().index();
    let mut builder = OperatorBuilder::new("Ingest".to_owned(), scope);
    let activator = scope.activator_for(builder.operator_info().address);
    let mut cuts = builder.new_input(cuts, Pipeline);
    let (base, base_stream) = builder.new_output();
    let (observations, observation_stream) = builder.new_output();
    let (actions, action_stream) = builder.new_output();
    let (dead_letters, dead_letter_stream) = builder.new_output();
    let (reports, report_stream) = builder.new_output();
    let mut base = OutputBuilder::<_, CapacityContainerBuilder<Vec<Batch<BaseRecord>>>>::from(base);
    let mut observations = OutputBuilder::<_, CapacityContainerBuilder<Vec<Batch<Observed>>>>::from(observations);
    let mut actions = OutputBuilder::<_, CapacityContainerBuilder<Vec<Batch<CaseRecord>>>>::from(actions);
    let mut dead_letters = OutputBuilder::<_, CapacityContainerBuilder<Vec<OutputUpdate>>>::from(dead_letters);
    let mut reports = OutputBuilder::<_, CapacityContainerBuilder<Vec<Report>>>::from(reports);
    let mut waiting: VecDeque<Pending> = VecDeque::new();
    let mut taken = Taken::new(scope.worker().peers());
    builder.build(move |_capabilities| {
        move |_frontiers| {
            cuts.for_each(|capability, batch| {
                for cut in batch.drain(..) {
                    waiting.extend(Pending::new(cut, &capability));
                }
            });
            let Some(pending) = waiting.front_mut() else { return };
            let progress = ingest.take(pending, &mut taken);
            if matches!(progress, Progress::Done) {
                taken.dead_letters.extend(pending.offsets());
            }
            let [to_base, to_observations, to_actions, to_dead_letters, to_reports] = &pending.capabilities;
            base.activate().session(to_base).give_iterator(taken.base.drain());
            observations
                .activate()
                .session(to_observations)
                .give_iterator(taken.observations.drain());
            actions
                .activate()
                .session(to_actions)
                .give_iterator(taken.actions.drain());
            let letters = taken.dead_letters.drain(..).map(|letter| (letter, pending.epoch, 1));
            dead_letters.activate().session(to_dead_letters).give_iterator(letters);
            match progress {
                Progress::Done => {
                    let report = ingest.report(worker, pending.next_arrival);
                    reports.activate().session(to_reports).give(report);
                    ingest.show_lag();
                    waiting.pop_front();
                    if !waiting.is_empty() {
                        activator.activate();
                    }
                }
                Progress::More => activator.activate(),
                Progress::NotYet => activator.activate_after(RETRY),
                // The capability stays: an epoch that is not whole must not become visible.
                Progress::Failed => {}
            }
        }
    });
    Ingested {
        base: base_stream,
        observations: observation_stream,
        actions: action_stream,
        dead_letters: dead_letter_stream,
        reports: report_stream,
    }
}

/// A cut under way.
struct Pending {
    cut: Cut,
    epoch: Epoch,
    capabilities: [Capability<Epoch>; 5],
    /// How many records it took.
    taken: usize,
    /// How far it came in each partition of which it took any: topic, partition, next offset.
    offsets: Vec<((u16, u16), u64)>,
    next_arrival: Option<i64>,
}

impl Pending {
    fn new(cut: Cut, capability: &timely::dataflow::operators::InputCapability<Epoch>) -> Option<Self> {
        let capabilities = [
            capability.retain_least(0)?,
            capability.retain_least(1)?,
            capability.retain_least(2)?,
            capability.retain_least(3)?,
            capability.retain_least(4)?,
        ];
        Some(Self {
            cut,
            epoch: *capabilities[0].time(),
            capabilities,
            taken: 0,
            offsets: Vec::new(),
            next_arrival: None,
        })
    }
}

impl Pending {
    /// How far it came, for the output; once.
    fn offsets(&mut self) -> impl Iterator<Item = Output> + '_ {
        let offsets = self.offsets.drain(..);
        offsets.map(|((topic, partition), next)| Output::Taken(topic, partition, next))
    }
}

enum Progress {
    Done,
    More,
    NotYet,
    Failed,
}

struct Taken {
    base: Batches<Latest>,
    observations: Batches<Monitor>,
    actions: Batches<Case>,
    dead_letters: Vec<Output>,
}

impl Taken {
    fn new(peers: usize) -> Self {
        Self {
            base: Batches::new(peers),
            observations: Batches::new(peers),
            actions: Batches::new(peers),
            dead_letters: Vec::new(),
        }
    }
}

impl Ingest {
    fn report(&self, worker: usize, next_arrival: Option<i64>) -> Report {
        Report {
            worker,
            next_arrival,
            caught_up: self.sources.iter().all(|source| source.caught_up()),
            stop: self.stop.load(Ordering::Acquire),
        }
    }

    /// Shows the lag of partitions, at most once a second.
    fn show_lag(&mut self) {
        if self.lag_shown.is_some_and(|at| at.elapsed() < Duration::from_secs(1)) {
            return;
        }
        self.lag_shown = Some(Instant::now());
        for (topic, partition, records) in self.sources.iter().flat_map(|source| source.lag()) {
            self.metrics.source_lag(topic, partition, records);
        }
    }

    fn take(&mut self, pending: &mut Pending, taken: &mut Taken) -> Progress {
        if self.failed.borrow().is_some() {
            return Progress::Failed;
        }
        let how = pending.cut.how;
        let limit = match how {
            How::Live => (self.max_records - pending.taken).min(BATCH),
            How::History | How::Recorded | How::Look => BATCH,
        };
        let now = pending.epoch as i64;
        let (mut all_done, mut idle, mut count) = (true, false, 0);
        pending.next_arrival = None;
        let mut clerk = Clerk {
            how,
            bound: pending.cut.bound.as_ref(),
            now,
            clock: self.clock,
            ceiling: self.ceiling,
            time: self.time,
            case: self.case,
            taken,
            counts: [Counts::default(); Topic::ALL.len()],
            count: &mut count,
            offsets: &mut pending.offsets,
            next_arrival: &mut pending.next_arrival,
        };
        for source in &mut self.sources {
            match source.poll(limit, &mut |record| clerk.offer(&record)) {
                Ok(Polled::More) => all_done = false,
                // A history is whole only where its end is known.
                Ok(Polled::Idle) => idle |= source.owes(),
                Ok(Polled::Blocked | Polled::Ended) => {}
                Err(error) => {
                    *self.failed.borrow_mut() = Some(error);
                    return Progress::Failed;
                }
            }
        }
        for (topic, counts) in Topic::ALL
            .into_iter()
            .zip(clerk.counts)
            .filter(|(_, counts)| counts.records > 0)
        {
            self.metrics.taken(topic, counts.records, counts.bytes, counts.late);
        }
        pending.taken += count;
        match how {
            How::Live if all_done || pending.taken >= self.max_records => Progress::Done,
            How::Live => Progress::More,
            _ if all_done && !idle => Progress::Done,
            _ if all_done => Progress::NotYet,
            _ => Progress::More,
        }
    }
}

/// What one poll took of a topic.
#[derive(Clone, Copy, Default)]
struct Counts {
    records: u64,
    bytes: u64,
    late: u64,
}

/// Decides about one record after the other.
struct Clerk<'a> {
    how: How,
    bound: Option<&'a Offsets>,
    now: i64,
    clock: Clock,
    ceiling: i64,
    time: TimeSettings,
    case: CaseSettings,
    taken: &'a mut Taken,
    counts: [Counts; Topic::ALL.len()],
    count: &'a mut usize,
    offsets: &'a mut Vec<((u16, u16), u64)>,
    next_arrival: &'a mut Option<i64>,
}

impl Clerk<'_> {
    fn offer(&mut self, record: &RawRecord<'_>) -> Verdict {
        let bounded = self
            .bound
            .is_some_and(|bound| record.offset >= bound.next(record.topic, record.partition));
        if bounded && matches!(self.how, How::History | How::Look) {
            return Verdict::NotYet;
        }
        let decoded = decode(record);
        if self.how != How::Live {
            let arrival = self.arrival(record, decoded.as_ref().ok());
            let take = match self.how {
                How::Recorded => !bounded,
                How::History => arrival <= self.now,
                How::Live | How::Look => false,
            };
            if !take {
                *self.next_arrival = earliest(*self.next_arrival, Some(arrival));
                return Verdict::NotYet;
            }
        }
        *self.count += 1;
        self.note(record);
        let counts = &mut self.counts[usize::from(record.topic.index())];
        counts.records += 1;
        counts.bytes += record.payload.map_or(0, <[u8]>::len) as u64;
        let origin = Origin {
            topic: record.topic.index(),
            partition: record.partition,
            offset: record.offset,
        };
        match decoded {
            Ok(InputRecord::Base(key, row)) => {
                let change = row.into();
                self.taken.base.push(BaseRecord { origin, key, change });
            }
            Ok(InputRecord::Observation(observation)) => match Monitor::admit(&self.time, self.now, observation.time) {
                Ok(()) => {
                    counts.late += u64::from(self.now - observation.time.0 > self.time.late_after);
                    self.taken.observations.push(Observed { origin, observation });
                }
                Err(reason) => {
                    let rejection = self.out_of_time(reason, "phenomenon_time", observation.time, self.time.horizon);
                    self.refuse(record, &rejection);
                }
            },
            Ok(InputRecord::Action(action)) => match Case::admit(&self.case, &self.time, self.now, action.time) {
                Ok(()) => self.taken.actions.push(CaseRecord::Action(Acted { origin, action })),
                Err(reason) => {
                    let rejection = self.out_of_time(reason, "time", action.time, self.case.horizon);
                    self.refuse(record, &rejection);
                }
            },
            Err(rejection) => self.refuse_row(record, origin, &rejection),
        }
        Verdict::Taken
    }

    /// Records come partition by partition: mostly the partition is that of the record before.
    fn note(&mut self, record: &RawRecord<'_>) {
        let (partition, next) = ((record.topic.index(), record.partition), record.offset + 1);
        match self.offsets.last_mut() {
            Some((last, offset)) if *last == partition => *offset = next,
            _ => match self.offsets.iter_mut().find(|(known, _)| *known == partition) {
                Some((_, offset)) => *offset = next,
                None => self.offsets.push((partition, next)),
            },
        }
    }

    /// When a record arrived, for a replay. `i64::MIN`, before everything else: what has neither an arrival time nor a
    /// time of its own, and an observation from the future by the wall clock (it will be refused, and must not hold up its
    /// partition until then).
    fn arrival(&self, record: &RawRecord<'_>, decoded: Option<&InputRecord>) -> i64 {
        let phenomenon = match decoded {
            Some(InputRecord::Observation(observation)) => observation.time.0,
            Some(InputRecord::Action(action)) => action.time.0,
            Some(InputRecord::Base(..)) | None => i64::MIN,
        };
        let phenomenon = if phenomenon > self.ceiling {
            i64::MIN
        } else {
            phenomenon
        };
        match (self.clock, record.arrival) {
            (Clock::Arrival | Clock::Live, Some(arrival)) => arrival.0.min(self.ceiling),
            _ => phenomenon,
        }
    }

    fn out_of_time(&self, reason: Reason, field: &str, time: Millis, horizon: i64) -> Rejection {
        let max_future = self.time.max_future;
        let give = match reason {
            Reason::InFuture => format!("a time at most {} ahead", riskflow_model::duration::show(max_future)),
            _ => format!("a time at most {} behind", riskflow_model::duration::show(horizon)),
        };
        let detail = format!("`{field}` is {time} at {}; give {give}", Millis(self.now));
        Rejection { reason, detail }
    }

    /// Where the record is about a row of a table, the table's fold says in the dead letter what stays in force.
    fn refuse_row(&mut self, record: &RawRecord<'_>, origin: Origin, rejection: &Rejection) {
        let Some(key) = table_key(record) else {
            return self.refuse(record, rejection);
        };
        let change = Change::Refused(Box::new(dead_letter(record, rejection)));
        self.taken.base.push(BaseRecord { origin, key, change });
    }

    fn refuse(&mut self, record: &RawRecord<'_>, rejection: &Rejection) {
        let letter = dead_letter(record, rejection);
        self.taken.dead_letters.push(Output::DeadLetter(Box::new(letter)));
    }
}

/// The earlier of two arrivals; one that comes before everything else counts only where there is no other.
#[must_use]
pub fn earliest(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    [a, b]
        .into_iter()
        .flatten()
        .min_by_key(|arrival| (*arrival == i64::MIN, *arrival))
}
