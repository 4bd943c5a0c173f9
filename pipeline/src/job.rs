//! The job: workers, sources, the graph and the publisher put together, from start to stop.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use riskflow_config::{Clock, Settings};
use riskflow_connectors::{Share, Source, SourceError, Until, open_sink, open_source};
use riskflow_model::topic::Topic;
use riskflow_operators::Epoch;
use timely::dataflow::InputHandleVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::probe::Handle;
use timely::dataflow::operators::vec::{Broadcast, Filter, Input, Map};
use timely::worker::Worker;

use crate::graph::{Inputs, Meters, Semantics, graph};
use crate::ingest::{Cut, Ingest, Ingested, Report, ingest};
use crate::metrics::Metrics;
use crate::output::publish;
use crate::pace::{Pace, Step, wall_clock};
use crate::publisher::{Completed, Observer, Publisher};
use crate::views::Views;

/// What the rest of the program sees of a running job.
#[derive(Clone)]
pub struct Handles {
    /// The output tables.
    pub views: Arc<Views>,
    /// Its metrics.
    pub metrics: Arc<Metrics>,
    /// What its folds have done.
    pub meters: Meters,
    /// Set it to stop the job: no further epoch is closed, those under way are committed.
    pub stop: Arc<AtomicBool>,
    /// Set once the history is worked off and the tables are up to date.
    pub ready: Arc<AtomicBool>,
}

impl Handles {
    /// Those of a job that has not begun.
    ///
    /// # Errors
    ///
    /// When the metrics cannot be registered.
    pub fn new() -> Result<Self> {
        Ok(Self {
            views: Arc::default(),
            metrics: Arc::new(Metrics::new().context("could not register metrics")?),
            meters: Meters::default(),
            stop: Arc::default(),
            ready: Arc::default(),
        })
    }
}

/// The error that ended the job, from whichever worker came first.
type Failure = Arc<Mutex<Option<SourceError>>>;

/// Runs the job until its input ends, it is stopped, or it fails.
///
/// # Errors
///
/// When a source or the sink fails for good, or workers cannot be started.
pub fn run(settings: &Settings, handles: &Handles, observer: Option<Observer>) -> Result<()> {
    let sink = open_sink(&settings.output, &settings.topics).context("could not open the output")?;
    let (publisher, sender) = Publisher::start(sink, handles.views.clone(), handles.metrics.clone(), observer)
        .context("could not start the publisher")?;
    let publisher = Arc::new(publisher);
    let failure: Failure = Arc::default();
    // Only worker 0 publishes; when it is done the publisher comes to its end.
    let sender = Arc::new(Mutex::new(Some(sender)));
    let shared = (
        settings.clone(),
        handles.clone(),
        Arc::clone(&failure),
        Arc::clone(&publisher),
    );
    let guards = timely::execute(timely_config(settings), move |worker| {
        let (settings, handles, failure, publisher) = &shared;
        let sender = if worker.index() == 0 {
            sender.lock().unwrap_or_else(PoisonError::into_inner).take()
        } else {
            None
        };
        work(worker, settings, handles, sender, publisher, failure);
    });
    let guards = guards
        .map_err(|error| anyhow!(error))
        .context("could not start the workers")?;
    for worker in guards.join() {
        worker.map_err(|error| anyhow!("a worker panicked: {error}"))?;
    }
    if let Some(error) = failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error).context("could not read the input");
    }
    let publisher = Arc::into_inner(publisher).ok_or_else(|| anyhow!("a worker still holds the publisher"))?;
    publisher.join().context("could not write the output")
}

fn timely_config(settings: &Settings) -> timely::Config {
    let threads = settings.cluster.workers.get();
    let communication = if settings.cluster.hosts.len() > 1 {
        timely::CommunicationConfig::Cluster {
            threads,
            process: settings.cluster.process,
            addresses: settings.cluster.hosts.clone(),
            report: false,
            zerocopy: false,
        }
    } else if threads > 1 {
        timely::CommunicationConfig::Process(threads)
    } else {
        timely::CommunicationConfig::Thread
    };
    let mut worker = timely::WorkerConfig::default();
    // Arrangements go on compacting while nothing comes in.
    let differential = differential_dataflow::Config::default().idle_merge_effort(Some(1000));
    differential_dataflow::configure(&mut worker, &differential);
    timely::Config { communication, worker }
}

/// What worker 0 knows of the epochs that it closed.
type Closed = Rc<RefCell<BTreeMap<Epoch, Instant>>>;

/// One worker from start to stop.
fn work(
    worker: &mut Worker,
    settings: &Settings,
    handles: &Handles,
    sender: Option<SyncSender<Completed>>,
    publisher: &Publisher,
    failure: &Failure,
) {
    let index = worker.index();
    let ceiling = wall_clock() as i64;
    let sources = match open_sources(settings, index, worker.peers()) {
        Ok(sources) => sources,
        Err(error) => {
            failure
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert(error);
            Vec::new()
        }
    };
    handles.meters.count_arranged(worker);
    let failed = Rc::new(RefCell::new(None));
    let ingestion = Ingest {
        sources,
        time: settings.time,
        clock: settings.clock,
        ceiling,
        max_records: settings.epoch.max_records,
        metrics: handles.metrics.clone(),
        lag_shown: None,
        failed: Rc::clone(&failed),
    };
    let pace = Rc::new(RefCell::new(Pace::new(
        settings.epoch.clone(),
        settings.clock,
        worker.peers(),
    )));
    let closed: Closed = Rc::default();
    let (cuts, probe) = build(worker, ingestion, settings, handles, sender, (&pace, &closed));
    let mut driver = (index == 0).then(|| Driver { cuts, pace, closed });
    while !probe.done() {
        if let Some(error) = failed.take() {
            failure
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert(error);
        }
        if failure.lock().unwrap_or_else(PoisonError::into_inner).is_some() || publisher.has_ended() {
            // The epoch under way can never be whole, or never be published: leave it, on every worker.
            for dataflow in worker.installed_dataflows() {
                worker.drop_dataflow(dataflow);
            }
            return;
        }
        let wait = match driver.take() {
            Some(mut active) => match active.step(handles) {
                Some(wait) => {
                    driver = Some(active);
                    wait
                }
                // Dropped: no further epoch; those under way come to their end.
                None => Duration::ZERO,
            },
            None => Duration::from_millis(50),
        };
        worker.step_or_park(Some(wait));
    }
}

/// Builds the dataflow; returns where cuts go in, and a probe behind everything.
fn build(
    worker: &mut Worker,
    ingestion: Ingest,
    settings: &Settings,
    handles: &Handles,
    sender: Option<SyncSender<Completed>>,
    (pace, closed): (&Rc<RefCell<Pace>>, &Closed),
) -> (InputHandleVec<Epoch, Cut>, Handle<Epoch>) {
    let index = worker.index();
    let probe = Handle::new();
    let mut cuts: InputHandleVec<Epoch, Cut> = InputHandleVec::new();
    let (noted, times) = (Rc::clone(pace), Rc::clone(closed));
    worker.dataflow::<Epoch, _, _>(|scope| {
        let cuts = scope.input_from(&mut cuts).broadcast();
        let Ingested {
            base,
            observations,
            dead_letters,
            reports,
        } = ingest(ingestion, cuts.clone());
        let note = Exchange::new(|_: &Report| 0);
        reports.sink(note, "Reports", move |(input, _)| {
            input.for_each(|_, reports| reports.drain(..).for_each(|report| noted.borrow_mut().note(report)));
        });
        let ticks = cuts.filter(|cut| *cut != Cut::Look).map(|_| ());
        let semantics = Semantics {
            time: settings.time,
            unknown: settings.unknown,
            cuts: settings.cuts,
        };
        let inputs = Inputs {
            base,
            observations,
            ticks: ticks.clone(),
        };
        let updates = graph(inputs, &semantics, &handles.meters).concat(dead_letters);
        publish(updates, ticks, &probe, index, move |output| {
            let closed = times
                .borrow_mut()
                .remove(&(output.epoch.0 as u64))
                .unwrap_or_else(Instant::now);
            if let Some(sender) = &sender {
                // The publisher ended: it failed, and worker 0 will notice.
                let _ = sender.send(Completed { output, closed });
            }
        });
    });
    (cuts, probe)
}

/// Worker 0's other task: closing epochs.
struct Driver {
    cuts: InputHandleVec<Epoch, Cut>,
    pace: Rc<RefCell<Pace>>,
    closed: Closed,
}

impl Driver {
    /// Closes an epoch if it is time, and says how long the worker may sleep; `None` at the end.
    fn step(&mut self, handles: &Handles) -> Option<Duration> {
        if handles.stop.load(Ordering::Acquire) {
            return None;
        }
        let mut pace = self.pace.borrow_mut();
        let under_way = self.closed.borrow().len();
        handles.metrics.pace(under_way, pace.is_live());
        match pace.step(under_way) {
            Step::Close(epoch, cut) => {
                if cut != Cut::Look {
                    self.closed.borrow_mut().insert(epoch, Instant::now());
                }
                if self.cuts.time() < &epoch {
                    self.cuts.advance_to(epoch);
                }
                self.cuts.send(cut);
                self.cuts.advance_to(epoch + 1);
                if cut == Cut::Live {
                    handles.ready.store(true, Ordering::Release);
                }
                Some(Duration::ZERO)
            }
            Step::Wait(duration) => Some(duration),
            Step::End => {
                handles.ready.store(true, Ordering::Release);
                None
            }
        }
    }
}

fn open_sources(settings: &Settings, index: usize, peers: usize) -> Result<Vec<Box<dyn Source>>, SourceError> {
    let until = if settings.clock == Clock::Live {
        Until::Forever
    } else {
        Until::End
    };
    let (base, others): (Vec<Topic>, Vec<Topic>) = Topic::inputs().partition(|topic| topic.is_base());
    let open = |topics: &[Topic]| open_source(&settings.input, &settings.topics, topics, Share { index, peers }, until);
    Ok(vec![open(&base)?, open(&others)?])
}
