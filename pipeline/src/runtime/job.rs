//! The job: workers, sources, the graph and the publisher put together, from start to stop.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::sync::mpsc::{Sender, SyncSender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context as _, Result, anyhow};
use arc_swap::ArcSwapOption;
use riskflow_config::{Clock, Input, Settings};
use riskflow_connectors::checkpoint::{CheckpointStore, Manifest, Part};
use riskflow_connectors::{
    Begun, Identity, Share, Sink, Source, SourceError, Span, Until, open_sink, reopen_source, tidy_input,
};
use riskflow_model::Millis;
use riskflow_model::topic::Topic;
use riskflow_operators::Epoch;
use riskflow_operators::engine::Keeper;

use crate::runtime::admission::Admission;
use crate::runtime::checkpoint::{Asked, Checkpointer, State};
use crate::runtime::clock::{Reading, wall_clock};
use crate::runtime::cluster::{Home, communication};
use crate::runtime::graph::Meters;
use crate::runtime::ingest::{Ingest, Standing};
use crate::runtime::metrics::Metrics;
use crate::runtime::pace::Plan;
use crate::runtime::publisher::{Committed, Completed, Observer, Publisher};
use crate::runtime::recovery::{Recovery, Start, begins_empty, is_definite, semantics_of};
use crate::runtime::state::Stage;
use crate::runtime::views::Views;

mod catching_up;
mod driver;
mod going_back;
mod outputs;
mod stopping;
mod tempo;
mod whole;
mod worker;

pub use catching_up::{Position, Shown};
pub use outputs::TopicsDiffer;
use outputs::{check_topics, tell_offsets};
use whole::ProcessTotals;
pub use whole::Whole;
use worker::{work, worker_config};

/// What the rest of the program sees of a running job.
#[derive(Clone)]
pub struct Handles {
    /// The output tables; kept only if HTTP shows them or an observer sees them.
    pub views: Arc<Views>,
    /// Its metrics.
    pub metrics: Arc<Metrics>,
    /// What its folds have done.
    pub meters: Meters,
    /// Set it to stop the job: no further epoch is closed, those under way are committed.
    pub stop: Arc<AtomicBool>,
    /// How far its workers have come.
    pub stage: Arc<Stage>,
    /// Set once the history is worked off and the tables are up to date.
    pub ready: Arc<AtomicBool>,
    /// How far ahead of the job's clock the wall clock stands where it is not followed, in milliseconds; else 0.
    pub clock_off: Arc<AtomicI64>,
    /// Where it stands while it works off a history.
    pub catching_up: Arc<Shown>,
    /// The pipeline's time, in milliseconds: what is committed up to it is in the tables. 0 before the first epoch.
    pub now: Arc<AtomicI64>,
    /// Checkpoints that somebody asks for, and what became of them.
    pub checkpoints: Arc<Asked>,
    /// Where HTTP is served, if it is.
    pub served: Arc<OnceLock<String>>,
    /// Where the tables are; `None`: in this process.
    pub elsewhere: Arc<ArcSwapOption<Home>>,
    /// Set for a replay that goes on where an earlier run left it, by process 0.
    pub goes_on: Arc<AtomicBool>,
    /// What all processes did, once they told each other.
    pub told: Arc<OnceLock<Whole>>,
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
            stage: Arc::default(),
            ready: Arc::default(),
            clock_off: Arc::default(),
            catching_up: Arc::default(),
            now: Arc::default(),
            checkpoints: Arc::default(),
            served: Arc::default(),
            elsewhere: Arc::default(),
            goes_on: Arc::default(),
            told: Arc::default(),
        })
    }

    /// What the job did, once it has ended: in all of its processes where it has several, else as far as this one knows.
    #[must_use]
    pub fn whole(&self) -> Whole {
        let own = || Whole::of(&[ProcessTotals::of(self)]);
        self.told.get().cloned().unwrap_or_else(own)
    }

    /// Where the tables are; `None`: in this process.
    #[must_use]
    pub fn tables_elsewhere(&self) -> Option<Arc<Home>> {
        self.elsewhere.load_full()
    }
}

/// The error that ended the job, from whichever worker came first.
#[derive(Clone, Default)]
struct Failure(Arc<Mutex<Option<anyhow::Error>>>);

impl Failure {
    fn note(&self, error: anyhow::Error) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
    }

    fn take(&self) -> Option<anyhow::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn is_there(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// What lasts longer than the process.
struct Lasting {
    store: Arc<CheckpointStore>,
    checkpointer: Checkpointer,
}

/// How a run ended that did not fail.
enum Ending {
    /// The input ended, or it was stopped.
    Done,
    /// The clock was ahead: what was made of it cannot go on.
    Rewind(Option<Observer>),
}

/// Runs the job until its input ends, it is stopped, or it fails. After a clock that was ahead it begins once more.
///
/// # Errors
///
/// When a source or the sink fails for good, or workers cannot be started.
pub fn run(settings: &Settings, handles: &Handles, mut observer: Option<Observer>) -> Result<()> {
    let mut settings = settings.clone();
    loop {
        let ended = run_once(&settings, handles, observer);
        handles.checkpoints.close();
        let Ending::Rewind(again) = ended? else {
            return Ok(());
        };
        if settings.cluster.hosts.len() > 1 {
            return Err(anyhow!(
                "the clock was ahead and is right again: start all processes of the cluster again; the state is then made anew from \
                 the input that is there, and nothing is told twice"
            ));
        }
        tracing::warn!("the clock was ahead and is right again: the job begins again");
        handles.metrics.epochs.rewound();
        observer = again;
        // It went back there, and has gone on since.
        settings.recovery.from = None;
    }
}

fn run_once(settings: &Settings, handles: &Handles, observer: Option<Observer>) -> Result<Ending> {
    handles.stage.begin();
    handles.meters.begin_anew();
    // Only process 0 publishes.
    let publishes = settings.cluster.process == 0;
    if publishes {
        check_topics(settings)?;
    }
    let mut sink = publishes.then(|| output(settings, &handles.metrics)).transpose()?;
    let begun = sink.as_mut().filter(|_| is_definite(settings));
    let begun = begun.map(|sink| sink.begin()).transpose();
    let begun = begun.context("could not take over the output")?.flatten();
    let state = State {
        asked: Arc::clone(&handles.checkpoints),
        ..State::default()
    };
    let lasting = is_definite(settings).then(|| lasting(settings, handles, &state));
    let lasting = lasting.transpose()?;
    if lasting.is_some() && publishes {
        handles.checkpoints.open();
    }
    let history = history(settings)?;
    let of_history = history.as_ref().map(|(_, manifest)| manifest);
    let recovery = recover(settings, lasting.as_ref(), begun.as_ref(), of_history)?;
    let committed = match &lasting {
        Some(lasting) => lasting.checkpointer.committed(),
        None => Box::new(|_, _, _| ()) as Committed,
    };
    let Recovery {
        mut start,
        plan,
        mut beginning,
    } = recovery;
    start.unwritten = beginning.unwritten();
    beginning.store = lasting.as_ref().map(|lasting| Arc::clone(&lasting.store));
    let last = beginning.last;
    let committed_last: Arc<AtomicI64> = Arc::default();
    let shared = crate::runtime::publisher::Shared {
        committed: Arc::clone(&committed_last),
        oldest_checkpoint: Arc::clone(&state.oldest),
        stop: Arc::clone(&handles.stop),
        ends: settings.clock != Clock::Live || matches!(settings.input, Input::Files(_)),
        readers: settings.http.is_some(),
    };
    let publisher = sink.map(|sink| {
        let about = (handles.views.clone(), handles.metrics.clone(), shared);
        Publisher::start(sink, beginning, about, observer, committed)
    });
    let (publisher, sender) = publisher.transpose().context("could not start the publisher")?.unzip();
    let job = Arc::new(Job {
        settings: settings.clone(),
        handles: handles.clone(),
        failure: Failure::default(),
        publisher: Mutex::new(publisher),
        // Only worker 0 publishes; when it is done the publisher comes to its end.
        sender: Mutex::new(sender),
        lasting,
        history: history.map(|(store, _)| store),
        start,
        plan,
        state,
        last: last.0 as u64,
        committed: committed_last,
        rewind: AtomicBool::new(false),
    });
    run_workers(settings, &job)?;
    Arc::into_inner(job)
        .ok_or_else(|| anyhow!("a worker still holds the job"))?
        .end()
}

/// What the job writes to, and what is done beside each commit.
fn output(settings: &Settings, metrics: &Arc<Metrics>) -> Result<Box<dyn Sink>> {
    let sink = open_sink(&settings.output, &settings.output_topics, settings.guarantee);
    let sink = sink.context("could not open the output")?;
    Ok(tell_offsets(
        tidy_input(sink, &settings.input, &settings.topics),
        settings,
        metrics,
    ))
}

/// From start to stop of all workers of the process.
fn run_workers(settings: &Settings, job: &Arc<Job>) -> Result<()> {
    let communication = communication(settings, &job.handles.stop).context("could not form the cluster")?;
    // Asked to stop before the others were there.
    let Some((builders, others)) = communication else {
        return Ok(());
    };
    let shared = Arc::clone(job);
    let (end, ends) = channel();
    let guards = timely::execute::execute_from(builders, others, worker_config(), move |worker| {
        let _ended = Ended(end.clone());
        work(worker, &shared);
    });
    let guards = guards
        .map_err(|error| anyhow!(error))
        .context("could not start the workers")?;
    for _ in 0..settings.cluster.workers.get() {
        let _ = ends.recv();
    }
    if settings.cluster.hosts.len() > 1
        && let Some(error) = job.take_failure()
    {
        // The threads of the connections end with those of the other processes, and these with this one: not waited for.
        std::mem::forget(guards);
        return Err(error);
    }
    for worker in guards.join() {
        worker.map_err(|error| anyhow!("a worker panicked: {error}"))?;
    }
    Ok(())
}

/// Starts keeping what this run will leave.
fn lasting(settings: &Settings, handles: &Handles, state: &State) -> Result<Lasting> {
    let mut store = CheckpointStore::open(&settings.checkpoint.path).context("could not open the checkpoints")?;
    if settings.cluster.process == 0 {
        let job = Identity::find(&settings.input, &settings.output, &settings.output_topics);
        let job = job.context("could not find out which job this is")?;
        store.claim(&job).context("could not use the checkpoints")?;
    }
    let store = Arc::new(store);
    let semantics = semantics_of(settings);
    let (metrics, state) = (handles.metrics.clone(), state.clone());
    metrics.checkpoints.begin(wall_clock());
    let checkpointer = Checkpointer::start(Arc::clone(&store), settings, semantics, metrics, state)
        .context("could not start the checkpoints")?;
    Ok(Lasting { store, checkpointer })
}

/// The checkpoint of the job whose history is replayed, where that is to begin with one, and the store that has it.
fn history(settings: &Settings) -> Result<Option<(Arc<CheckpointStore>, Manifest)>> {
    let Some((place, epoch)) = &settings.replay.checkpoint else {
        return Ok(None);
    };
    let about = || format!("could not begin with the checkpoint of {epoch} in `{place}`");
    let store = CheckpointStore::open(place).with_context(about)?;
    let manifest = store.sound(*epoch).with_context(about)?;
    Ok(Some((Arc::new(store), manifest)))
}

/// Finds what an earlier run left, and what a replay does otherwise.
fn recover(
    settings: &Settings,
    lasting: Option<&Lasting>,
    begun: Option<&Begun>,
    history: Option<&Manifest>,
) -> Result<Recovery> {
    // The others are told where they begin.
    if settings.cluster.process > 0 {
        return Ok(Recovery::default());
    }
    let Some(Lasting { store, .. }) = lasting else {
        let mut recovery = Recovery::of_history(history, settings);
        recovery.replay(settings)?;
        return Ok(recovery);
    };
    let mut recovery = Recovery::find(settings, store, begun, history)?;
    if let Some(epoch) = settings.recovery.from {
        going_back::go_back(settings, store, epoch, &recovery)?;
    }
    let last = recovery.beginning.last;
    let begins = recovery.start.of_history && recovery.plan.recorded.is_empty();
    if last > Millis(0) && !begins {
        let checkpoint = recovery.start.checkpoint.as_ref();
        let checkpoint = checkpoint.map_or_else(|| "none".to_owned(), |manifest| manifest.epoch.to_string());
        tracing::info!(%last, checkpoint, epochs = recovery.plan.recorded.len(), "going on after an earlier run");
    }
    recovery.replay(settings)?;
    Ok(recovery)
}

/// Tells that a worker ended, well or not.
struct Ended(Sender<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// What all workers of the process share.
struct Job {
    settings: Settings,
    handles: Handles,
    failure: Failure,
    publisher: Mutex<Option<Publisher>>,
    sender: Mutex<Option<SyncSender<Completed>>>,
    lasting: Option<Lasting>,
    /// Where the checkpoint is that a replay begins with.
    history: Option<Arc<CheckpointStore>>,
    /// Where every worker begins, as far as this process knows: process 0 does.
    start: Start,
    /// The epochs that worker 0 begins with.
    plan: Plan,
    state: State,
    /// The epoch that an earlier run committed last.
    last: Epoch,
    /// The epoch committed last.
    committed: Arc<AtomicI64>,
    /// Set when the clock turns out to have been ahead.
    rewind: AtomicBool,
}

impl Job {
    fn publisher(&self) -> MutexGuard<'_, Option<Publisher>> {
        self.publisher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the epoch under way can never be whole, or never be published.
    fn has_failed(&self) -> bool {
        let keeps = self
            .lasting
            .as_ref()
            .is_none_or(|lasting| !lasting.checkpointer.has_ended());
        if !keeps && !self.failure.is_there() {
            self.failure.note(anyhow!(
                "the thread that writes checkpoints ended: what it said stands above"
            ));
        }
        self.failure.is_there() || self.publisher().as_ref().is_some_and(Publisher::has_ended)
    }

    /// The error that ended the workers, if one did.
    fn take_failure(&self) -> Option<anyhow::Error> {
        let ended = self.publisher().take_if(|publisher| publisher.has_ended());
        let published = ended.and_then(|publisher| publisher.join(false).err());
        self.failure.take().or(published)
    }

    /// Commits and keeps what is under way, once the workers have ended.
    fn end(self) -> Result<Ending> {
        drop(self.sender);
        let whole = !self.failure.is_there();
        let publisher = self.publisher.into_inner().unwrap_or_else(PoisonError::into_inner);
        let published = publisher.map_or(Ok(None), |publisher| publisher.join(whole));
        if let Some(lasting) = self.lasting {
            lasting.checkpointer.join();
        }
        let observer = self.failure.take().map_or(published, Err)?;
        Ok(if self.rewind.into_inner() {
            Ending::Rewind(observer)
        } else {
            Ending::Done
        })
    }

    /// What ingestion needs to know.
    fn ingestion(
        &self,
        start: &Start,
        sources: Vec<Box<dyn Source>>,
        failed: Rc<RefCell<Option<SourceError>>>,
    ) -> Ingest {
        let mut standing = Standing::sorting(self.settings.replay.disorder, self.settings.epoch.replay_tick);
        if let Some(checkpoint) = &start.checkpoint {
            standing.go_on_behind(&checkpoint.offsets);
        }
        Ingest {
            sources,
            admission: Admission {
                time: self.settings.time,
                case: self.settings.case,
            },
            clock: self.settings.clock,
            takes_exercises: self.settings.output_topics.exercise && self.settings.replay.as_ran.is_none(),
            began: Reading::now(),
            ends: self.settings.replay.until_offsets.clone(),
            max_records: self.settings.epoch.max_records,
            metrics: self.handles.metrics.clone(),
            standing,
            stop: Arc::clone(&self.handles.stop),
            failed,
        }
    }

    /// How the folds of a worker outlive the process.
    fn keeper(&self, start: &Start, worker: usize, peers: usize) -> impl FnMut(&'static str) -> Keeper {
        let local = worker % self.settings.cluster.workers.get();
        move |fold| {
            let mut keeper = Keeper::none();
            if let Some(lasting) = &self.lasting {
                keeper.offer = lasting.checkpointer.offer(fold, local);
            }
            let own = self.lasting.as_ref().map(|lasting| &lasting.store);
            let store = if start.of_history { self.history.as_ref() } else { own };
            if let Some((manifest, store)) = start.checkpoint.clone().zip(store) {
                if !manifest.folds.contains_key(fold) && !begins_empty(fold, &manifest) {
                    self.failure.note(anyhow!(
                        "the checkpoint of {} holds no state of `{fold}`, and the job has that; take it away, and start again",
                        manifest.epoch
                    ));
                }
                let parts = manifest.parts.into_iter();
                let parts = parts.filter(|part| *part.fold == *fold && part.concerns(worker, peers));
                let (parts, failure) = (parts.collect(), self.failure.clone());
                keeper.saved = saved_parts(manifest.epoch, parts, Arc::clone(store), failure);
            }
            keeper
        }
    }

    fn open_sources(&self, start: &Start, index: usize, peers: usize) -> Result<Vec<Box<dyn Source>>> {
        let sources = open_sources(&self.settings, start, index, peers).context("could not read the input")?;
        let lost: Vec<_> = sources.iter().flat_map(|source| source.lost()).collect();
        start.check_lost(&lost)?;
        Ok(sources)
    }
}

fn saved_parts(
    epoch: Millis,
    parts: Vec<Part>,
    store: Arc<CheckpointStore>,
    failure: Failure,
) -> Box<dyn Iterator<Item = Vec<u8>>> {
    Box::new(
        parts
            .into_iter()
            .filter_map(move |part| match store.read_part(epoch, &part) {
                Ok(keys) => Some(keys),
                Err(error) => {
                    failure.note(anyhow::Error::new(error).context("could not read the checkpoint again"));
                    None
                }
            }),
    )
}

fn open_sources(
    settings: &Settings,
    start: &Start,
    index: usize,
    peers: usize,
) -> Result<Vec<Box<dyn Source>>, SourceError> {
    let until = if settings.clock == Clock::Live {
        Until::Forever
    } else {
        Until::End
    };
    let share = Share { index, peers };
    let (base, others): (Vec<Topic>, Vec<Topic>) =
        settings.capabilities.inputs().partition(|topic| topic.is_input_table());
    let instead = settings.instead.iter().filter_map(|file| file.topic.as_deref());
    let instead: Vec<Topic> = instead.filter_map(Topic::from_name).collect();
    let (known, marks) = start.known.clone();
    let known = known.with_marks(&marks);
    let span = Span {
        until,
        from: &start.from,
        known: Some(&known),
    };
    let open = |topics: &[Topic]| {
        let mut topics = topics.to_vec();
        topics.retain(|topic| !instead.contains(topic));
        reopen_source(&settings.input, &settings.topics, &topics, share, span)
    };
    let mut sources = vec![open(&base)?, open(&others)?];
    if !instead.is_empty() {
        let files = Input::Files(settings.instead.clone());
        let source = reopen_source(&files, &settings.topics, &instead, share, span)?;
        sources.insert(0, source);
    }
    Ok(sources)
}
