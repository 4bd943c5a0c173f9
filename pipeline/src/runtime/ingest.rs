//! Ingestion: on each worker, the records of its partitions that belong to an epoch.
//!
//! ```text
//!   cuts ──► [ ingest ] ─┬─► base records
//!             │   ▲      ├─► incoming (admitted)
//!             │   │      ├─► actions (admitted)
//!             │   │      ├─► events (admitted)
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
//! Live, an epoch is closed when there is something to take: between cuts each worker asks its sources ([`Ingest::at_hand`]).
//!
//! Decoding happens here, on the worker: no thread stands between a source and the dataflow, and nothing is read
//! that no epoch asked for. That bounds memory when the input is faster than the job.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use riskflow_config::{Clock, Disorder};
use riskflow_connectors::{Polled, Source, SourceError};
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;
use riskflow_operators::Turn;
use riskflow_operators::closed_loop::{Acted, Joining};
use riskflow_operators::engine::{BaseRecord, Batch, Batches, Latest};
use riskflow_operators::span::{EventRecord, Events};
use riskflow_operators::warning::{Incoming, Monitor};
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use crate::runtime::admission::Admission;
use crate::runtime::clock::{Reading, TOLERANCE};
use crate::runtime::metrics::Metrics;
use crate::runtime::output::{Output, OutputUpdate};

mod ahead;
mod clerk;

pub use ahead::Disordered;

use ahead::Ahead;
use clerk::{Clerk, Tally};

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
    /// The epoch.
    pub epoch: u64,
    /// What time it is: the epoch, but where the clock was ahead before.
    pub clock: i64,
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
            epoch: 0,
            clock: 0,
            how,
            bound: None,
            checkpoint: false,
        }
    }
}

/// What a worker tells worker 0 after a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The epoch of the cut.
    pub epoch: u64,
    /// The worker.
    pub worker: usize,
    /// When its next record arrived, if any is at hand; `i64::MIN` where all at hand arrive before everything else.
    pub next_arrival: Option<i64>,
    /// Whether it has taken all that was there when its sources were opened.
    pub caught_up: bool,
    /// How many records its sources hold that it has not taken, as far as that is known; told now and then.
    pub behind: u64,
    /// Whether its process was asked to stop.
    pub stop: bool,
}

/// What ingestion needs to know.
pub struct Ingest {
    /// The sources of this worker's partitions: base topics, then the others.
    pub sources: Vec<Box<dyn Source>>,
    /// Which times are taken.
    pub admission: Admission,
    /// What decides about a record's arrival.
    pub clock: Clock,
    /// Whether records of an exercise are taken: by an exercise, unless it does once more what a live job did.
    pub takes_exercises: bool,
    /// When the job began: what bounds the arrivals that records of a history may tell.
    pub began: Reading,
    /// Partitions that end before an offset, and not with their last record.
    pub ends: BTreeMap<Partition, u64>,
    /// The most records in a live epoch.
    pub max_records: usize,
    /// Where to count.
    pub metrics: Arc<Metrics>,
    /// Where it stands.
    pub standing: Standing,
    /// Set when the process is asked to stop.
    pub stop: Arc<AtomicBool>,
    /// The first error of a source; ends the job.
    pub failed: Rc<RefCell<Option<SourceError>>>,
}

/// Where the ingestion of a worker stands.
#[derive(Debug, Default)]
pub struct Standing {
    /// When the lag of partitions was shown last, and how much it was in all.
    lag_shown: Option<(Instant, u64)>,
    /// Whether epochs take what is at hand, and none is under way here.
    idle: bool,
    /// Whether it was told since the last cut that something is at hand.
    told: bool,
    /// How often the sources were asked.
    asked: u64,
    /// The partitions of which a record was taken.
    begun: BTreeSet<Partition>,
    /// Records at the beginning of a partition that cannot be read and tell no time of arrival, with the offset after each:
    /// they arrive with the first that does.
    held: BTreeMap<Partition, Vec<(u64, Output)>>,
    /// Records that were read before their time, where files are sorted.
    ahead: Option<Ahead>,
}

impl Standing {
    /// One that sorts what it reads, where it is said how far; `tick`: the length of an epoch, in milliseconds.
    #[must_use]
    pub fn sorting(disorder: Option<Disorder>, tick: i64) -> Self {
        Self {
            ahead: disorder.map(|bound| Ahead::new(bound, tick)),
            ..Self::default()
        }
    }

    /// Goes on behind an earlier run that took so much: partitions that had begun then do not begin once more.
    pub fn go_on_behind(&mut self, taken: &Offsets) {
        let partitions = taken.iter().map(|(topic, partition, _)| (topic, partition));
        self.begun.extend(partitions);
    }
}

/// The latest arrival that a record of a history may tell, in milliseconds.
///
/// A history goes on while it is worked off: what comes meanwhile arrived when it says, not when the job began, or it would
/// be judged by the clock of back then and refused as one from the future. Only what lies beyond the clock of now is wrong.
#[derive(Clone, Copy, Debug)]
struct Ceiling {
    /// The wall clock when the job began.
    began: i64,
    /// The same, moved on by the time that has passed since, whatever steps the wall clock made.
    now: i64,
    /// How far ahead of this job's clock another may be.
    tolerance: i64,
}

impl Ceiling {
    fn new(began: Reading, now: Reading, max_future: i64) -> Self {
        Self {
            began: began.wall,
            now: began.wall + (now.steady - began.steady),
            tolerance: max_future.max(TOLERANCE),
        }
    }

    /// The latest time that can be right. A live job waits for its own clock to get there; another has none to wait for.
    const fn latest(self, clock: Clock) -> i64 {
        match clock {
            Clock::Live => self.now + self.tolerance,
            Clock::Arrival | Clock::EventTime => self.now,
        }
    }

    /// When a record arrived that says so itself. By a clock that was ahead it cannot have arrived later than the job began.
    fn arrived(self, clock: Clock, arrival: i64) -> i64 {
        if clock == Clock::Live && arrival <= self.latest(clock) {
            arrival
        } else {
            arrival.min(self.began)
        }
    }
}

/// A topic and a partition of it.
pub type Partition = (Topic, u16);

/// The most unreadable records that are held at the beginning of partitions. Behind these, others arrive before everything
/// else.
const HELD: usize = 65_536;

/// The streams that ingestion gives.
pub struct Ingested<'scope> {
    /// Records of base topics and rules.
    pub base: StreamVec<'scope, Turn, Batch<BaseRecord>>,
    /// Observations and forecasts that were admitted.
    pub incoming: StreamVec<'scope, Turn, Batch<Incoming>>,
    /// Actions that were admitted.
    pub actions: StreamVec<'scope, Turn, Batch<Acted>>,
    /// Events that were admitted.
    pub events: StreamVec<'scope, Turn, Batch<EventRecord>>,
    /// What could not be used.
    pub dead_letters: StreamVec<'scope, Turn, OutputUpdate>,
    /// One for each cut and worker.
    pub reports: StreamVec<'scope, Turn, Report>,
}

/// How many records are offered before other operators get their turn.
const BATCH: usize = 4_096;

/// Base topics are asked one time in so many whether a record is at hand: to ask costs a system call for each partition.
const BASE_EVERY: u64 = 5;

/// How long to wait for a history that is not at hand yet.
const RETRY: Duration = Duration::from_millis(1);

/// Adds the operator to the dataflow.
pub fn ingest<'scope>(ingest: Rc<RefCell<Ingest>>, cuts: StreamVec<'scope, Turn, Cut>) -> Ingested<'scope> {
    let scope = cuts.scope();
    let worker = scope.worker().index();
    let mut builder = OperatorBuilder::new("Ingest".to_owned(), scope);
    let activator = scope.activator_for(builder.operator_info().address);
    let mut cuts = builder.new_input(cuts, Pipeline);
    let (base, base_stream) = builder.new_output();
    let (incoming, incoming_stream) = builder.new_output();
    let (actions, action_stream) = builder.new_output();
    let (events, event_stream) = builder.new_output();
    let (dead_letters, dead_letter_stream) = builder.new_output();
    let (reports, report_stream) = builder.new_output();
    let mut base = OutputBuilder::<_, CapacityContainerBuilder<Vec<Batch<BaseRecord>>>>::from(base);
    let mut incoming = OutputBuilder::<_, CapacityContainerBuilder<Vec<Batch<Incoming>>>>::from(incoming);
    let mut actions = OutputBuilder::<_, CapacityContainerBuilder<Vec<Batch<Acted>>>>::from(actions);
    let mut events = OutputBuilder::<_, CapacityContainerBuilder<Vec<Batch<EventRecord>>>>::from(events);
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
            let mut ingest = ingest.borrow_mut();
            let Some(pending) = waiting.front_mut() else { return };
            ingest.standing.idle = false;
            let progress = ingest.take(pending, &mut taken);
            if matches!(progress, Progress::Done) {
                taken.dead_letters.extend(pending.offsets(&ingest.sources));
            }
            let [to_base, to_monitor, to_case, to_span, to_dead_letters, to_reports] = &pending.capabilities;
            base.activate().session(to_base).give_iterator(taken.base.drain());
            incoming
                .activate()
                .session(to_monitor)
                .give_iterator(taken.incoming.drain());
            actions.activate().session(to_case).give_iterator(taken.actions.drain());
            events.activate().session(to_span).give_iterator(taken.events.drain());
            let letters = taken.dead_letters.drain(..).map(|letter| (letter, pending.turn, 1));
            dead_letters.activate().session(to_dead_letters).give_iterator(letters);
            match progress {
                Progress::Done => {
                    ingest.show_sources(worker);
                    let report = ingest.report(worker, pending.cut.epoch, pending.next_arrival);
                    reports.activate().session(to_reports).give(report);
                    let live = pending.cut.how == How::Live;
                    waiting.pop_front();
                    if !waiting.is_empty() {
                        activator.activate();
                    }
                    ingest.standing.idle = live && waiting.is_empty();
                    ingest.standing.told = false;
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
        incoming: incoming_stream,
        actions: action_stream,
        events: event_stream,
        dead_letters: dead_letter_stream,
        reports: report_stream,
    }
}

/// A cut under way.
struct Pending {
    cut: Cut,
    turn: Turn,
    capabilities: [Capability<Turn>; 6],
    /// How many records it took.
    taken: usize,
    /// How far it came in each partition of which it took any: topic, partition, next offset.
    offsets: Vec<(Partition, u64)>,
    next_arrival: Option<i64>,
}

impl Pending {
    fn new(cut: Cut, capability: &timely::dataflow::operators::InputCapability<Turn>) -> Option<Self> {
        let capabilities = [
            capability.retain_least(0)?,
            capability.retain_least(1)?,
            capability.retain_least(2)?,
            capability.retain_least(3)?,
            capability.retain_least(4)?,
            capability.retain_least(5)?,
        ];
        Some(Self {
            cut,
            turn: *capabilities[0].time(),
            capabilities,
            taken: 0,
            offsets: Vec::new(),
            next_arrival: None,
        })
    }
}

impl Pending {
    /// How far it came, for the output; once.
    fn offsets<'a>(&'a mut self, sources: &'a [Box<dyn Source>]) -> impl Iterator<Item = Output> + 'a {
        self.offsets.drain(..).map(|((topic, partition), next)| {
            let mark = sources.iter().find_map(|source| source.mark(topic, partition));
            Output::Taken(topic, partition, next, mark)
        })
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
    incoming: Batches<Monitor>,
    actions: Batches<Joining>,
    events: Batches<Events>,
    dead_letters: Vec<Output>,
}

impl Taken {
    fn new(peers: usize) -> Self {
        Self {
            base: Batches::new(peers),
            incoming: Batches::new(peers),
            actions: Batches::new(peers),
            events: Batches::new(peers),
            dead_letters: Vec::new(),
        }
    }
}

impl Ingest {
    fn report(&self, worker: usize, epoch: u64, next_arrival: Option<i64>) -> Report {
        // Where a history has nothing with a time, what cannot be read arrives before everything else: it is told of all the same.
        let held = self.clock != Clock::Live && !self.standing.held.is_empty();
        Report {
            epoch,
            worker,
            next_arrival: next_arrival.or(held.then_some(i64::MIN)),
            caught_up: self.sources.iter().all(|source| source.caught_up())
                && self
                    .standing
                    .ahead
                    .as_ref()
                    .is_none_or(|ahead| ahead.earliest().is_none()),
            behind: self.standing.lag_shown.map_or(0, |(_, behind)| behind),
            stop: self.stop.load(Ordering::Acquire),
        }
    }

    /// Whether worker 0 must be told that a source has a record at hand, or that the process was asked to stop. Asks the
    /// sources; takes nothing.
    ///
    /// # Errors
    ///
    /// When a source cannot go on.
    pub fn at_hand(&mut self) -> Result<bool, SourceError> {
        if !self.standing.idle || self.standing.told {
            return Ok(false);
        }
        let mut found = self.stop.load(Ordering::Acquire);
        self.standing.asked += 1;
        let all = self.standing.asked.is_multiple_of(BASE_EVERY);
        // Base topics come first. They are many, and seldom written to.
        let passed_over = if all { 0 } else { self.sources.len() - 1 };
        for source in self.sources.iter_mut().skip(passed_over) {
            if found {
                break;
            }
            found = source.at_hand()?;
        }
        self.standing.told = found;
        Ok(found)
    }

    /// Shows the lag of partitions and whether sources can be reached, at most once a second.
    fn show_sources(&mut self, worker: usize) {
        let shown = self.standing.lag_shown;
        if shown.is_some_and(|(at, _)| at.elapsed() < Duration::from_secs(1)) {
            return;
        }
        let mut behind = 0;
        for (topic, partition, records) in self.sources.iter().flat_map(|source| source.lag()) {
            self.metrics.records.lag(topic, partition, records);
            behind += records;
        }
        let reached = self.sources.iter().all(|source| source.reaches());
        self.metrics.records.reached(worker, reached);
        self.standing.lag_shown = Some((Instant::now(), behind));
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
        let clock = pending.cut.clock;
        match how {
            How::Live => self.metrics.input.live(Some(clock)),
            How::History | How::Recorded => self.metrics.input.live(None),
            How::Look => {}
        }
        let (mut all_done, mut idle, mut count) = (true, false, 0);
        pending.next_arrival = None;
        let mut clerk = Clerk {
            how,
            bound: pending.cut.bound.as_ref(),
            now: clock,
            clock: self.clock,
            takes_exercises: self.takes_exercises,
            ends: &self.ends,
            ceiling: Ceiling::new(self.began, Reading::now(), self.admission.time.max_future.0),
            admission: self.admission,
            taken,
            tally: Tally::default(),
            count: &mut count,
            offsets: &mut pending.offsets,
            next_arrival: &mut pending.next_arrival,
            standing: &mut self.standing,
            waiting: Vec::new(),
        };
        all_done &= clerk.release_kept(limit);
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
        if all_done && !idle {
            clerk.release();
        }
        clerk.report_kept();
        for (topic, counts) in clerk.tally.0 {
            self.metrics
                .records
                .taken(topic, counts.records, counts.bytes, counts.late);
            self.metrics.input.came(topic, clock);
        }
        if let Some(ahead) = &mut self.standing.ahead {
            self.metrics.replays.disordered(ahead.disordered());
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

/// The earlier of two arrivals; one that comes before everything else counts only where there is no other.
#[must_use]
pub fn earliest(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    [a, b]
        .into_iter()
        .flatten()
        .min_by_key(|arrival| (*arrival == i64::MIN, *arrival))
}
