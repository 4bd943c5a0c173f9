//! The publisher: takes epochs from worker 0 in order, commits them to the sink, then shows them to readers.
//!
//! It runs on a thread of its own behind a short queue. A slow sink fills the queue, the queue stops worker 0, and with it
//! the closing of epochs: nothing is read that cannot be published. Epochs that wait are committed together.
//!
//! After a restart, epochs up to the one committed last are only noted. Before the first epoch after that is committed, the
//! tables as they should be are compared with the rows that stand in the output: what differs goes out with that epoch, and
//! from then on the dataflow's own differences are exact. Where the clock was ahead and the state is made anew, the same is
//! done once all of it is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use riskflow_connectors::{EpochRecords, OutRecord, Published, Retry, Sink, SinkError, failpoint, fault};
use riskflow_model::output::{CaseDelta, DeadLetter, Notice, WarningDelta, WarningState};
use riskflow_model::progress::Offsets;
use riskflow_model::topic::{Cleanup, Topic};
use riskflow_model::{Key, Millis};

use crate::runtime::feed::News;
use crate::runtime::metrics::Metrics;
use crate::runtime::output::EpochOutput;
use crate::runtime::pace::Moment;
use crate::runtime::spans::Work;
use crate::runtime::views::{Tables, Views};

mod beginning;
mod bound;
mod foretold;
mod held;
mod recorder;
mod records;
mod same;
mod told;

pub use beginning::{Beginning, Open, Refused};
pub use foretold::Foretold;
pub use told::Told;

use bound::{Oversized, fit_all};
use held::{Held, TOLD_ONCE};
use recorder::{Recorder, digest};
use records::{compared, logs, records};

/// An epoch on its way to the sink.
pub struct Completed {
    /// What it publishes.
    pub output: EpochOutput,
    /// When it was closed, and how.
    pub closing: Closing,
    /// When the dataflow was done with it.
    pub computed: Instant,
}

/// How an epoch was closed.
#[derive(Clone, Copy, Debug)]
pub struct Closing {
    /// When, for measuring.
    pub at: Instant,
    /// What time it was.
    pub clock: i64,
    /// Whether a checkpoint is taken of the state after it.
    pub checkpoint: bool,
    /// Whether it makes the state anew after a clock that was ahead: nothing of it is published.
    pub rewinding: bool,
}

/// Sees every epoch after it was committed, with the tables as of then.
pub type Observer = Box<dyn FnMut(&EpochOutput, &Tables) + Send>;

/// Hears that an epoch of which a checkpoint is taken was committed, what time it was, and how far the input was taken by then.
pub type Committed = Box<dyn FnMut(Millis, Millis, Offsets) + Send>;

/// What publisher and job know of each other.
#[derive(Clone, Default)]
pub struct Shared {
    /// The epoch committed last.
    pub committed: Arc<AtomicI64>,
    /// The epoch of the oldest checkpoint that is kept: what is before it need not be recorded.
    pub oldest_checkpoint: Arc<AtomicI64>,
    /// Set to stop the job: a sink that cannot be reached is not waited for any longer.
    pub stop: Arc<AtomicBool>,
    /// Whether the job comes to an end by itself: whoever waits for that is told of a full disk, and a job that goes on for ever waits until
    /// there is room.
    pub ends: bool,
    /// Whether anybody reads the views. They are not kept for nobody: of them only the epoch moves on.
    pub readers: bool,
}

/// A running publisher.
pub struct Publisher {
    thread: JoinHandle<Result<Publishing>>,
}

/// How long is waited after the first failure of what may succeed later.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How many epochs may wait for the sink.
const WAITING: usize = 16;

impl Publisher {
    /// Starts one; epochs go into the sender. It ends, with what was sent committed, when the sender is dropped.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn start(
        sink: Box<dyn Sink>,
        beginning: Beginning,
        (views, metrics, shared): (Arc<Views>, Arc<Metrics>, Shared),
        observer: Option<Observer>,
        committed: Committed,
    ) -> std::io::Result<(Self, SyncSender<Completed>)> {
        let (sender, receiver) = sync_channel(WAITING);
        let mut publishing = Publishing::new(sink, beginning, (views, metrics, shared), observer, committed);
        let thread = std::thread::Builder::new()
            .name("publisher".to_owned())
            .spawn(move || publishing.run(&receiver).map(|()| publishing))?;
        Ok((Self { thread }, sender))
    }

    /// Whether it ended; while the job runs that means it failed.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end, finishes the output if it is whole (the job did not fail), and gives the observer back.
    ///
    /// # Errors
    ///
    /// When an epoch could not be committed, or was not what it was before; or the output could not be finished.
    pub fn join(self, whole: bool) -> Result<Option<Observer>> {
        let ended = match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let mut publishing = ended?;
        if whole {
            publishing.finish()?;
        }
        Ok(publishing.observer)
    }
}

/// What the publisher's thread does; a simulation drives it without one.
pub struct Publishing {
    sink: Box<dyn Sink>,
    tables: Tables,
    /// Whether the tables are kept: somebody reads them, or they will be compared.
    keeps_tables: bool,
    progress: Recorder,
    /// The rows in the output, until they were compared.
    published: Option<Published>,
    /// What was found while the state was made anew.
    held: Option<Held>,
    /// What was told too early and is not told again.
    foretold: Foretold,
    beginning: Beginning,
    views: Arc<Views>,
    metrics: Arc<Metrics>,
    shared: Shared,
    observer: Option<Observer>,
    committed: Committed,
    /// When a topic's records that were too large were last told of.
    told: BTreeMap<Topic, Instant>,
    /// Whether readers see older tables than there are: those that were made anew.
    unseen: bool,
}

impl Publishing {
    /// Before the first epoch.
    #[must_use]
    pub fn new(
        mut sink: Box<dyn Sink>,
        mut beginning: Beginning,
        (views, metrics, shared): (Arc<Views>, Arc<Metrics>, Shared),
        observer: Option<Observer>,
        committed: Committed,
    ) -> Self {
        if let Err(error) = sink.ask_most() {
            let cause: &dyn std::error::Error = &error;
            tracing::warn!(cause, "it is not known yet how large records may be");
        }
        metrics.warnings.none_open();
        if beginning.incomparable {
            metrics.replays.incomparable();
        }
        views.feed.begin(beginning.last);
        Self {
            sink,
            tables: Tables::default(),
            keeps_tables: shared.readers || observer.is_some() || beginning.published.is_some(),
            progress: Recorder::new(&beginning),
            published: beginning.published.take(),
            held: beginning.open.take().map(Held::new),
            foretold: std::mem::take(&mut beginning.foretold),
            beginning,
            views,
            metrics,
            shared,
            observer,
            committed,
            told: BTreeMap::new(),
            unseen: false,
        }
    }

    fn run(&mut self, receiver: &Receiver<Completed>) -> Result<()> {
        while let Ok(first) = receiver.recv() {
            let mut batch = vec![first];
            batch.extend(receiver.try_iter().take(WAITING));
            self.publish(batch)?;
        }
        self.views.store(&self.tables);
        Ok(())
    }

    /// Publishes some epochs, in order: those that an earlier run committed are only compared.
    ///
    /// # Errors
    ///
    /// When they cannot be committed, or one is not what it was.
    #[expect(
        clippy::too_many_lines,
        reason = "what is done with an epoch on its way out, in order"
    )]
    pub fn publish(&mut self, batch: Vec<Completed>) -> Result<()> {
        let began = Instant::now();
        let mut epochs = Vec::new();
        let mut finished = Vec::new();
        for mut completed in batch {
            if completed.output.epoch <= self.beginning.last {
                self.replayed(&mut completed)?;
                continue;
            }
            let clock = completed.closing.clock;
            let quiet = completed.output.epoch < self.beginning.quiet_before;
            if completed.closing.rewinding {
                self.made_anew(&completed);
                continue;
            }
            let mut records = records(&mut completed.output);
            // The comparison needs the tables as of this epoch, so they move on before the commit; readers wait for it.
            self.move_on(&completed.output);
            // Of what the epoch gives, whatever of it stands in the output already.
            let compares = self.beginning.definite || !self.beginning.ran.is_empty();
            let digest = compares.then(|| digest(&records));
            self.compare_with_run(completed.output.epoch, digest);
            // Where the state was made anew all is compared, and what was early with it.
            let is_first = self.held.is_some();
            let left = (!is_first).then(|| self.foretold.take_from(&completed.output));
            let mut left = left.flatten();
            if let Some(left) = &mut left {
                records = self::records::records(left);
            }
            let mut told = self.held_back(&completed)?;
            if let Some(told) = &mut told {
                records.retain(|record| !TOLD_ONCE.contains(&record.topic));
                records.extend(logs(told));
            }
            let most = |topic| self.sink.most(topic);
            if quiet {
                records.clear();
            }
            let (mut records, mut oversized) = match self.published.take_if(|_| !quiet) {
                Some(published) => compared(&self.tables, &completed.output, published, (records, most)),
                None => (records, Vec::new()),
            };
            oversized.extend(fit_all(&mut records, most));
            self.tell_oversized(&oversized);
            if !quiet {
                count(&self.metrics, told.as_ref().unwrap_or(&completed.output), &records);
            }
            if let Some(digest) = digest.filter(|_| self.beginning.definite) {
                let oldest = Millis(self.shared.oldest_checkpoint.load(Ordering::Acquire));
                self.progress
                    .record(&completed.output, clock, digest, oldest, &mut records);
            }
            let epoch = completed.output.epoch;
            if !records.is_empty() {
                epochs.push(EpochRecords { epoch, records });
            }
            let position = completed.closing.checkpoint.then(|| self.progress.position.clone());
            let said = told.as_ref().or(left.as_ref()).unwrap_or(&completed.output);
            let news = self.shared.readers.then(|| match quiet {
                true => News::none(epoch),
                false => News::of(said, &self.tables),
            });
            finished.push((completed, position, self.tables.clone(), news));
        }
        let commits = Instant::now();
        if fault("fault::progress_apart") {
            let mut progress = epochs.clone();
            for epoch in &mut progress {
                epoch.records.retain(|record| record.topic.is_internal());
            }
            for epoch in &mut epochs {
                epoch.records.retain(|record| !record.topic.is_internal());
            }
            self.commit(&mut progress)?;
            // A table is mended after a restart; what was to be told once is gone.
            if epochs
                .iter()
                .flat_map(|epoch| &epoch.records)
                .any(|record| record.topic.cleanup() == Cleanup::Delete)
            {
                failpoint("fault::apart");
            }
        }
        if !epochs.is_empty() {
            self.commit(&mut epochs)?;
        }
        let batch = (began, commits, Instant::now(), finished.len());
        // No checkpoint of these epochs may find what they used up.
        if self.foretold.take_changed() {
            self.note_again();
        }
        for (completed, position, tables, news) in finished {
            let epoch = completed.output.epoch;
            if let Some(news) = news {
                self.views.feed.tell(news);
            }
            let since_close = completed.closing.at.elapsed();
            self.metrics.epochs.committed(epoch.0, since_close, began.elapsed());
            if epoch >= self.beginning.quiet_before {
                for delta in completed.output.log::<WarningDelta>() {
                    self.metrics.warned(delta, completed.closing.clock, since_close);
                }
            }
            if !completed.output.is_empty() || std::mem::take(&mut self.unseen) {
                self.views.store(&tables);
            }
            self.shared.committed.store(epoch.0, Ordering::Release);
            if let Some(position) = position {
                (self.committed)(epoch, Millis(completed.closing.clock), position);
            }
            if let Some(observer) = &mut self.observer {
                observer(&completed.output, &tables);
            }
            let took = completed.closing.at.elapsed();
            self.metrics.spans.offer(took, || work(&completed, took, batch));
        }
        Ok(())
    }

    /// Tells where a replay gives something else than the job gave that ran.
    fn compare_with_run(&mut self, epoch: Millis, digest: Option<Key>) {
        let Some((before, digest)) = self.beginning.ran.remove(&epoch).zip(digest) else {
            return;
        };
        self.metrics.replays.compared();
        if *before != digest.to_string() {
            self.metrics.replays.differed();
            tracing::debug!(%epoch, %digest, %before, "an epoch gives another result than it gave when it ran");
        }
    }

    /// What is told with the first epoch after the state was made anew, and it.
    fn held_back(&mut self, completed: &Completed) -> Result<Option<EpochOutput>> {
        let Some(mut held) = self.held.take() else {
            return Ok(None);
        };
        let published = self
            .published
            .as_ref()
            .expect("the tables are read where the state is made anew");
        let clock = Millis(completed.closing.clock);
        held.keep(&completed.output, clock);
        let (told, foretold) = held.tell(&self.tables, clock, (published, &self.foretold));
        self.note(foretold)?;
        Ok(Some(told))
    }

    /// Notes what was told too early before anything is published that takes it back.
    fn note(&mut self, foretold: Foretold) -> Result<()> {
        if foretold == self.foretold {
            return Ok(());
        }
        if let Some(store) = &self.beginning.store {
            let noted = store.note(&foretold);
            noted.context("could not note what a clock that was ahead told too early")?;
        }
        self.foretold = foretold;
        Ok(())
    }

    /// Notes what is left of it. Where that fails, so will checkpoints: what it was is as good.
    fn note_again(&self) {
        let noted = self.beginning.store.as_ref().map(|store| store.note(&self.foretold));
        if let Some(Err(error)) = noted {
            let cause: &dyn std::error::Error = &error;
            tracing::warn!(cause, "what a clock that was ahead told too early could not be noted");
        }
    }

    fn move_on(&mut self, output: &EpochOutput) {
        for (warning, diff) in output.table::<WarningState>() {
            self.metrics.warnings.open(warning, diff);
        }
        if self.keeps_tables {
            self.tables.apply(output);
        } else {
            self.tables.epoch = output.epoch;
        }
    }

    /// Counts records that were too large, and tells of some: there may be one in every epoch.
    fn tell_oversized(&mut self, oversized: &[Oversized]) {
        const PAUSE: Duration = Duration::from_secs(10);
        for found in oversized {
            let Oversized {
                topic,
                key,
                bytes,
                most,
                stands,
            } = found;
            self.metrics.records.oversized(*topic);
            if self.told.get(topic).is_some_and(|at| at.elapsed() < PAUSE) {
                continue;
            }
            self.told.insert(*topic, Instant::now());
            let instead = if *stands {
                "a stand-in was written"
            } else {
                "its key alone is too large: it is left out"
            };
            tracing::warn!(%topic, key, bytes, most, "a record is too large for its topic: {instead}");
        }
    }

    /// Tries until it succeeds, the failure is one that does not pass, or the job is to stop. What turns out to be too large
    /// is made to fit.
    fn commit(&mut self, epochs: &mut [EpochRecords]) -> Result<()> {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.sink.commit(epochs) {
            let is_too_large = error.is_too_large();
            self.try_later(error, "an epoch is not committed yet", &mut pause)?;
            if is_too_large {
                self.fit_again(epochs);
            }
        }
        Ok(())
    }

    /// The same with the end of the output.
    fn finish(&mut self) -> Result<()> {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.sink.finish() {
            self.try_later(error, "the output is not finished yet", &mut pause)?;
        }
        Ok(())
    }

    /// Waits until the same may be tried again, longer each time.
    fn try_later(&self, error: SinkError, not_yet: &str, pause: &mut Duration) -> Result<()> {
        const LONGEST: Duration = Duration::from_secs(10);
        // Files are written anew after that.
        let gives_up = self.shared.ends && matches!(error, SinkError::File { .. });
        if gives_up || error.retry() == Retry::Never || self.shared.stop.load(Ordering::Acquire) {
            return Err(error).context("could not write the output");
        }
        self.metrics.epochs.retried();
        let cause: &dyn std::error::Error = &error;
        tracing::warn!(cause, "{not_yet}, trying again in {pause:?}");
        self.shared.pause(*pause);
        *pause = (*pause * 2).min(LONGEST);
        Ok(())
    }

    /// An epoch that makes the state anew: nothing goes out before all of it is known.
    fn made_anew(&mut self, completed: &Completed) {
        self.move_on(&completed.output);
        self.unseen = true;
        self.progress.note(&completed.output, moment(completed));
        self.metrics.epochs.replayed(completed.output.epoch.0);
        let held = self.held.as_mut();
        held.expect("only after a clock that was ahead is anything made anew")
            .keep(&completed.output, Millis(completed.closing.clock));
    }

    /// A topic takes less than it said.
    fn fit_again(&mut self, epochs: &mut [EpochRecords]) {
        if let Err(error) = self.sink.ask_most() {
            let cause: &dyn std::error::Error = &error;
            tracing::warn!(cause, "it is not known yet how large records may be");
            return;
        }
        for EpochRecords { records, .. } in epochs {
            let oversized = fit_all(records, |topic| self.sink.most(topic));
            self.tell_oversized(&oversized);
        }
    }

    /// An epoch that an earlier run committed: nothing goes out, but it must be what it was.
    fn replayed(&mut self, completed: &mut Completed) -> Result<()> {
        let epoch = completed.output.epoch;
        self.move_on(&completed.output);
        self.foretold.take_from(&completed.output);
        self.progress.note(&completed.output, moment(completed));
        if self.beginning.restored == Some(epoch) {
            self.metrics.epochs.restored(epoch.0);
        } else {
            self.metrics.epochs.replayed(epoch.0);
        }
        if let Some(before) = self.beginning.digests.remove(&epoch) {
            let digest = digest(&records(&mut completed.output));
            if *before != digest.to_string() {
                self.metrics.replays.differed();
                if self.beginning.verify {
                    bail!(
                        "epoch {epoch} gives another result than before (digest {digest}, was {before}); nothing was \
                         published. `recovery.verify = false` goes on and publishes the difference"
                    );
                }
                tracing::warn!(%epoch, %digest, %before, "a replayed epoch gives another result than before");
            }
        }
        if epoch == self.beginning.last {
            self.views.store(&self.tables);
        }
        Ok(())
    }
}

impl Shared {
    /// Waits, but not longer than until the job is to stop.
    fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while Instant::now() < until && !self.stop.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

const fn moment(completed: &Completed) -> Moment {
    Moment {
        epoch: completed.output.epoch.0.unsigned_abs(),
        clock: completed.closing.clock,
    }
}

/// What an epoch spent its time on; of those that were published with it: when that began, when they were committed and had been, and how
/// many they are.
fn work(completed: &Completed, took: Duration, batch: (Instant, Instant, Instant, usize)) -> Work {
    let (began, commits, committed, epochs) = batch;
    let (closed, computed) = (completed.closing.at, completed.computed);
    let ended = closed + took;
    Work {
        name: "epoch",
        epoch: completed.output.epoch,
        took: (closed, ended),
        phases: vec![
            ("dataflow", (closed, computed)),
            ("queue", (computed, began)),
            ("publish", (began, commits)),
            ("commit", (commits, committed)),
            ("show", (committed, ended)),
        ],
        numbers: vec![
            ("riskflow.rows", completed.output.rows().len() as i64),
            ("riskflow.epochs_together", epochs as i64),
        ],
    }
}

fn count(metrics: &Metrics, output: &EpochOutput, records: &[OutRecord]) {
    let closed = records.iter().filter(|record| record.topic == Topic::WARNING_STATE);
    let closed = closed.filter(|record| record.payload.is_none());
    let closed: BTreeSet<&str> = closed.map(|record| &*record.key).collect();
    for delta in output.log::<WarningDelta>() {
        metrics.warnings.delta(delta.kind, closed.contains(&*delta.id));
    }
    for delta in output.log::<CaseDelta>().filter(|delta| !delta.retracted) {
        metrics.cases.event(delta.event.kind);
    }
    for notice in output.log::<Notice>() {
        metrics.cases.notice(notice.event);
    }
    for letter in output.log::<DeadLetter>() {
        metrics.records.dead_letter(letter);
    }
    let mut topics: BTreeMap<Topic, u64> = BTreeMap::new();
    for record in records {
        *topics.entry(record.topic).or_default() += 1;
    }
    for (topic, records) in topics {
        metrics.records.published(topic, records);
    }
}
