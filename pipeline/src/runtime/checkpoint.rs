//! Checkpoints of a running job: chunks come from the folds of all workers of this process and are written by a thread of
//! its own, so that no worker waits for a disk or a bucket.
//!
//! A checkpoint is asked for by a cut, when its time has come or somebody asked ([`Asked`]). It is whole once every fold of every
//! worker gave its last chunk and the epoch is committed in the output; then its manifest is written, it is given the names that it is
//! to have, and old checkpoints go. A failure leaves the checkpoint without a manifest, is counted, and the next is tried when its time
//! comes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use riskflow_config::Settings;
use riskflow_connectors::checkpoint::{CheckpointError, CheckpointStore, FORMAT, Manifest, Part};
use riskflow_connectors::{failpoint, fault};
use riskflow_model::progress::Offsets;
use riskflow_model::{Millis, Text};
use riskflow_operators::Epoch;
use riskflow_operators::engine::Offer;

use crate::runtime::clock::wall_clock;
use crate::runtime::metrics::{Metrics, Phase};
use crate::runtime::spans::Work;

mod asked;

pub use asked::{Asked, Became, Taken, Ticket};

/// What the checkpointer hears.
enum Message {
    /// From a fold of a worker.
    Chunk {
        epoch: Epoch,
        fold: &'static str,
        worker: usize,
        keys: Vec<u8>,
        last: bool,
    },
    /// From the publisher.
    Committed {
        epoch: Millis,
        clock: Millis,
        offsets: Offsets,
    },
}

/// Chunks that may wait to be written: some megabytes each.
const WAITING: usize = 8;

/// Bytes a second: what is written here shares a disk, and its flushes, with the epochs that are committed meanwhile.
const RATE: f64 = 64e6;

/// A name that lasts longer is told of, milliseconds: what is kept for it grows, and somebody may have forgotten it.
const LONG: i64 = 86_400_000;

/// How often the other processes are asked for.
const ASKING: Duration = Duration::from_millis(50);

/// What the other threads know of checkpoints.
#[derive(Clone, Default)]
pub struct State {
    /// One is under way.
    pub busy: Arc<AtomicBool>,
    /// The epoch of the oldest that is kept.
    pub oldest: Arc<AtomicI64>,
    /// Who asked for one.
    pub asked: Arc<Asked>,
    /// The job waits for one before it stops: nothing else needs the disk.
    pub hurry: Arc<AtomicBool>,
}

/// A running checkpointer; it ends when all its senders are gone.
pub struct Checkpointer {
    sender: SyncSender<Message>,
    thread: JoinHandle<()>,
    folds: Folds,
}

/// The folds of which there is state. All workers have the same, and say so before the first checkpoint is asked for.
type Folds = Arc<Mutex<BTreeSet<&'static str>>>;

fn known(folds: &Folds) -> MutexGuard<'_, BTreeSet<&'static str>> {
    folds.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Checkpointer {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn start(
        store: Arc<CheckpointStore>,
        settings: &Settings,
        semantics: Text,
        metrics: Arc<Metrics>,
        state: State,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        let cluster = &settings.cluster;
        let folds = Folds::default();
        let mut writing = Writing {
            store,
            folds: Arc::clone(&folds),
            capabilities: settings.capabilities.off().map(Text::from).collect(),
            metrics,
            state,
            semantics,
            keep: settings.checkpoint.keep,
            process: cluster.process,
            processes: cluster.hosts.len().max(1),
            workers: cluster.workers.get(),
            under_way: BTreeMap::new(),
            failed: None,
            told: false,
        };
        let thread = std::thread::Builder::new()
            .name("checkpoints".to_owned())
            .spawn(move || writing.run(&receiver))?;
        Ok(Self { sender, thread, folds })
    }

    /// Where a worker's fold gives its chunks.
    #[must_use]
    pub fn offer(&self, fold: &'static str, worker: usize) -> Offer {
        let sender = self.sender.clone();
        known(&self.folds).insert(fold);
        Box::new(move |epoch, chunk, last| {
            let mut keys = std::mem::take(chunk);
            if fold == "lifecycle" && fault("fault::skip_fold") {
                keys.clear();
            }
            let message = Message::Chunk {
                epoch,
                fold,
                worker,
                keys,
                last,
            };
            match sender.try_send(message) {
                Ok(()) => true,
                Err(TrySendError::Full(Message::Chunk { keys, .. })) => {
                    *chunk = keys;
                    false
                }
                // The job ends.
                Err(_) => true,
            }
        })
    }

    /// Where the publisher says that an epoch was committed of which a checkpoint is taken.
    #[must_use]
    pub fn committed(&self) -> crate::runtime::publisher::Committed {
        let sender = self.sender.clone();
        Box::new(move |epoch, clock, offsets| {
            // The checkpointer ends only after all its senders.
            drop(sender.send(Message::Committed { epoch, clock, offsets }));
        })
    }

    /// Whether its thread ended, which it does only when it panics or the job is over.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until what was begun is written.
    pub fn join(self) {
        drop(self.sender);
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// The checkpointer's thread.
struct Writing {
    store: Arc<CheckpointStore>,
    folds: Folds,
    /// Those that are off.
    capabilities: BTreeSet<Text>,
    metrics: Arc<Metrics>,
    state: State,
    semantics: Text,
    keep: usize,
    process: usize,
    processes: usize,
    /// In this process.
    workers: usize,
    under_way: BTreeMap<Millis, UnderWay>,
    /// The one that failed last.
    failed: Option<Millis>,
    /// Whether it was told that a name lasts long.
    told: bool,
}

struct UnderWay {
    began: Instant,
    parts: Vec<Part>,
    /// How long parts were written, and how long it paused between them.
    written: Duration,
    paused: Duration,
    /// How long it took until all chunks of this process were there.
    gathered: Option<Duration>,
    ended: usize,
    /// What time it was, and how far the input was taken, once the epoch is committed.
    committed: Option<(Millis, Offsets)>,
}

impl UnderWay {
    /// How long it took until it could be made whole, phase by phase.
    fn phases(&self, took: Duration) -> [(Phase, Duration); 4] {
        let gathered = self.gathered.unwrap_or(took);
        [
            (Phase::Gather, gathered.saturating_sub(self.written + self.paused)),
            (Phase::Write, self.written),
            (Phase::Pause, self.paused),
            (Phase::Wait, took.saturating_sub(gathered)),
        ]
    }
}

/// Phases by their names.
fn named(phases: impl Iterator<Item = (Phase, Duration)>) -> impl Iterator<Item = (&'static str, Duration)> {
    phases.map(|(phase, took)| (phase.name(), took))
}

/// The bytes of each fold, of those without a part, too.
fn sizes(folds: &BTreeMap<Text, usize>, parts: &[Part]) -> BTreeMap<Text, u64> {
    let mut sizes: BTreeMap<Text, u64> = folds.keys().map(|fold| (fold.clone(), 0)).collect();
    for part in parts {
        *sizes.entry(part.fold.clone()).or_default() += part.bytes;
    }
    sizes
}

impl Writing {
    fn run(&mut self, receiver: &Receiver<Message>) {
        loop {
            let waits_for_others = self.processes > 1 && !self.under_way.is_empty();
            let wait = if waits_for_others { ASKING } else { Duration::MAX };
            let epochs: Vec<Millis> = match receiver.recv_timeout(wait) {
                Ok(message) => self.hear(message).into_iter().collect(),
                // What the other processes wrote may be there by now.
                Err(RecvTimeoutError::Timeout) => self.under_way.keys().copied().collect(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            for epoch in epochs {
                if let Err(error) = self.finish(epoch) {
                    self.fail(epoch, &error);
                }
            }
        }
    }

    /// Returns the epoch that may be finished by it.
    fn hear(&mut self, message: Message) -> Option<Millis> {
        let (epoch, chunk) = match message {
            Message::Committed { epoch, .. } if self.failed == Some(epoch) => return None,
            Message::Committed { epoch, clock, offsets } => {
                self.entry(epoch).committed = Some((clock, offsets));
                return Some(epoch);
            }
            Message::Chunk {
                epoch,
                fold,
                worker,
                keys,
                last,
            } => (Millis(epoch as i64), (fold, worker, keys, last)),
        };
        if self.failed == Some(epoch) {
            return None;
        }
        let (fold, worker, keys, last) = chunk;
        let (process, number) = (self.process, self.entry(epoch).parts.len());
        failpoint("checkpoint::before_part");
        if !keys.is_empty() {
            let name = format!("{fold}-{process}-{worker}-{number}.part");
            let worker = (process * self.workers + worker, self.processes * self.workers);
            let began = Instant::now();
            match self.store.write_part(epoch, fold, worker, name, &keys) {
                Ok(part) => {
                    let written = began.elapsed();
                    if !self.state.hurry.load(Ordering::Acquire) {
                        // It keeps to the rate: nothing is waited for.
                        std::thread::sleep(Duration::from_secs_f64(part.bytes as f64 / RATE));
                    }
                    let under_way = self.entry(epoch);
                    under_way.written += written;
                    under_way.paused += began.elapsed().saturating_sub(written);
                    under_way.parts.push(part);
                }
                Err(error) => {
                    self.fail(epoch, &error);
                    return None;
                }
            }
        }
        self.entry(epoch).ended += usize::from(last);
        last.then_some(epoch)
    }

    fn entry(&mut self, epoch: Millis) -> &mut UnderWay {
        // A newer one takes the place of one that failed.
        self.under_way.entry(epoch).or_insert_with(|| UnderWay {
            began: Instant::now(),
            parts: Vec::new(),
            written: Duration::ZERO,
            paused: Duration::ZERO,
            gathered: None,
            ended: 0,
            committed: None,
        })
    }

    /// It is told and counted once, however many of its parts come to nothing.
    fn fail(&mut self, epoch: Millis, error: &CheckpointError) {
        self.failed = Some(epoch);
        let cause: &dyn std::error::Error = error;
        tracing::error!(cause, %epoch, "a checkpoint could not be written");
        self.metrics.checkpoints.failed();
        // What still comes of it is passed over. What was written of it only takes room, which may be what was missing.
        self.under_way.remove(&epoch);
        if let Err(error) = self.store.remove(epoch) {
            let cause: &dyn std::error::Error = &error;
            tracing::warn!(cause, %epoch, "what was written of it could not be deleted");
        }
        self.state.asked.fail(chain(error));
        self.state.busy.store(false, Ordering::Release);
    }

    fn finish(&mut self, epoch: Millis) -> Result<(), CheckpointError> {
        let Some(under_way) = self.under_way.get_mut(&epoch) else {
            return Ok(());
        };
        // One last chunk of each fold of each worker.
        let mut folds: BTreeMap<Text, usize> = known(&self.folds).iter().map(|fold| ((*fold).into(), 0)).collect();
        if under_way.ended < self.workers * folds.len() {
            return Ok(());
        }
        under_way.gathered.get_or_insert(under_way.began.elapsed());
        if self.process > 0 {
            self.store.write_process(epoch, self.process, &under_way.parts)?;
            self.under_way.retain(|other, _| *other > epoch);
            return Ok(());
        }
        let Some((clock, offsets)) = under_way.committed.clone() else {
            return Ok(());
        };
        let Some(others) = self.store.parts_of_others(epoch, self.processes)? else {
            return Ok(());
        };
        let parts: Vec<Part> = under_way.parts.drain(..).chain(others).collect();
        for part in &parts {
            *folds.entry(part.fold.clone()).or_default() += 1;
        }
        let sizes = sizes(&folds, &parts);
        let (bytes, took) = (sizes.values().sum(), under_way.began.elapsed());
        let (began, phases) = (under_way.began, under_way.phases(took));
        let whole = Instant::now();
        failpoint("checkpoint::before_manifest");
        self.store.write_manifest(&Manifest {
            format: FORMAT,
            job: self.store.job().cloned(),
            epoch,
            clock,
            offsets,
            semantics: self.semantics.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            folds,
            off: self.capabilities.clone(),
            parts,
        })?;
        failpoint("checkpoint::before_prune");
        self.under_way.retain(|other, _| *other > epoch);
        let manifest = (Phase::Manifest, whole.elapsed());
        self.show(&sizes, phases.into_iter().chain([manifest]));
        self.metrics.checkpoints.whole(wall_clock(), bytes, took);
        tracing::info!(%epoch, bytes, ?took, "checkpoint");
        self.name(epoch, bytes, took);
        let stands = Instant::now();
        // It stands, whatever becomes of older ones.
        if let Err(error) = self.tidy() {
            let cause: &dyn std::error::Error = &error;
            tracing::warn!(cause, %epoch, "older checkpoints could not be deleted or listed");
        }
        let tidied = (Phase::Tidy, stands.elapsed());
        self.metrics.checkpoints.phase(tidied.0, tidied.1);
        let ended = Instant::now();
        self.metrics.spans.offer(ended - began, || Work {
            name: "checkpoint",
            epoch,
            took: (began, ended),
            phases: Work::in_turn(began, named(phases.into_iter().chain([manifest, tidied]))),
            numbers: vec![("riskflow.bytes", i64::try_from(bytes).unwrap_or(i64::MAX))],
        });
        self.state.busy.store(false, Ordering::Release);
        Ok(())
    }

    /// Shows what a checkpoint that stands is made of.
    fn show(&self, sizes: &BTreeMap<Text, u64>, phases: impl Iterator<Item = (Phase, Duration)>) {
        for (fold, bytes) in sizes {
            self.metrics.checkpoints.fold(fold, *bytes);
        }
        for (phase, took) in phases {
            self.metrics.checkpoints.phase(phase, took);
        }
    }

    /// Gives a checkpoint that is whole the names that were asked for, and tells that it is there. It stands without them, too.
    fn name(&self, epoch: Millis, bytes: u64, took: Duration) {
        loop {
            let names = self.state.asked.settle(epoch, bytes, took);
            if names.is_empty() {
                return;
            }
            for name in names {
                if let Err(error) = self.store.pin(&name, epoch) {
                    let cause: &dyn std::error::Error = &error;
                    tracing::warn!(cause, %epoch, name, "a checkpoint could not be given its name");
                    self.state.asked.refuse(name, chain(&error));
                } else {
                    tracing::info!(%epoch, name, "the checkpoint is kept under this name");
                }
            }
        }
    }

    /// Deletes older checkpoints, and notes which is the oldest that is left: of those with a name also one that this version cannot
    /// read, for an older one may have to go back to it.
    fn tidy(&mut self) -> Result<(), CheckpointError> {
        let pruned = self.store.prune(self.keep);
        failpoint("checkpoint::after_prune");
        let pinned = self.store.pinned()?;
        let kept = self.store.list()?.into_iter();
        let kept = kept.filter(|listed| listed.manifest.is_ok() || pinned.contains(&listed.epoch));
        let kept: BTreeSet<Millis> = kept.map(|listed| listed.epoch).collect();
        if let (Some(oldest), Some(newest)) = (kept.first(), kept.last()) {
            self.state.oldest.store(oldest.0, Ordering::Release);
            if !self.told && pinned.contains(oldest) && newest.0 - oldest.0 > LONG {
                self.told = true;
                tracing::warn!(
                    %oldest,
                    "a checkpoint with a name is kept for more than a day: `out.progress` grows, and so does what a start reads and the \
                     job holds of it, until `riskflow checkpoint unpin` takes the name away (`riskflow checkpoint list`)"
                );
            }
        }
        pruned.map(drop)
    }
}

/// An error and its causes in one line.
fn chain(error: &CheckpointError) -> String {
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        said += &format!(": {error}");
        cause = error.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_all_of_the_time_once() {
        let millis = Duration::from_millis;
        let under_way = UnderWay {
            began: Instant::now(),
            parts: Vec::new(),
            written: millis(300),
            paused: millis(200),
            gathered: Some(millis(900)),
            ended: 0,
            committed: None,
        };
        let phases = under_way.phases(millis(1_000));
        assert_eq!(phases.map(|(_, took)| took), [400, 300, 200, 100].map(millis));
        assert_eq!(phases.map(|(phase, _)| phase)[..], Phase::ALL[..4]);
    }
}
