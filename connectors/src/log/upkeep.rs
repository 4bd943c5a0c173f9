//! What keeps the output from filling the disk: old segments go, tables are compacted.
//!
//! A change is part of a commit, as records are: the commit names the segments that are left, then the files go or are exchanged.
//! After a crash between the two, opening the output does the rest ([`super::guard`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use riskflow_model::progress::Progress;
use riskflow_model::topic::{Cleanup, Topic};
use riskflow_model::{Key, Millis};
use tracing::{info, warn};

use super::commits::Sealed;
use super::compact::{Row, compact, is_due};
use super::error::LogError;
use super::folder;
use super::frame::{Body, Frame};
use super::out_topic::OutTopic;

pub(super) struct Upkeep {
    /// Records of logs that are older than this by the epoch go, and tables are compacted. `None`: neither.
    retention: Option<i64>,
    /// The record of each key of `out.progress` that stands: partition and offset. What lies before all of them goes.
    progress: BTreeMap<String, (u16, u64)>,
    /// Whether more of it may go than went.
    rebased: bool,
    compactor: Option<Compactor>,
    /// Partitions that could not be compacted: not tried again by this process.
    failed: BTreeSet<(Topic, u16)>,
}

/// What is left to do once it is committed.
pub(super) enum Pending {
    Remove(PathBuf),
    /// The file at the second place goes to the first.
    Exchange(PathBuf, PathBuf),
}

impl Upkeep {
    pub fn new(retention: Option<i64>, progress: BTreeMap<String, (u16, u64)>) -> Self {
        Self {
            retention,
            progress,
            rebased: false,
            compactor: None,
            failed: BTreeSet::new(),
        }
    }

    /// A record of `out.progress` is about to be committed.
    pub fn note_progress(&mut self, key: &str, stands: bool, at: (u16, u64)) {
        self.rebased |= key == Progress::BASE;
        if stands {
            self.progress.insert(key.to_owned(), at);
        } else {
            self.progress.remove(key);
        }
    }

    /// Takes segments out of the account that are to go with this commit, and puts compacted ones in.
    pub fn before_commit(
        &mut self,
        topics: &mut [OutTopic],
        now: Millis,
        touched: &mut BTreeSet<(usize, u16)>,
    ) -> Vec<Pending> {
        let mut pending = Vec::new();
        self.exchange(topics, touched, &mut pending);
        let lives_from = std::mem::take(&mut self.rebased).then(|| self.first_progress());
        for (index, OutTopic { topic, writers, .. }) in topics.iter_mut().enumerate() {
            for (partition, writer) in (0u16..).zip(writers) {
                let old = |sealed: &Sealed| match (*topic, topic.cleanup()) {
                    (Topic::PROGRESS, _) => lives_from
                        .as_ref()
                        .is_some_and(|lives_from| lives_from.get(&partition).is_none_or(|first| sealed.end <= *first)),
                    (_, Cleanup::Delete) => self
                        .retention
                        .is_some_and(|retention| sealed.arrival.0 < now.0.saturating_sub(retention)),
                    (_, Cleanup::Compact) => false,
                };
                let count = writer.closed().iter().take_while(|sealed| old(sealed)).count();
                if count > 0 {
                    let paths = writer.closed()[..count]
                        .iter()
                        .map(|sealed| writer.segment(sealed.first));
                    pending.extend(paths.map(Pending::Remove));
                    writer.replace_closed(count, None);
                    touched.insert((index, partition));
                }
            }
        }
        pending
    }

    /// The first offset in each partition of `out.progress` that still counts.
    fn first_progress(&self) -> BTreeMap<u16, u64> {
        let mut first = BTreeMap::new();
        for (partition, offset) in self.progress.values() {
            let before = first.entry(*partition).or_insert(*offset);
            *before = (*before).min(*offset);
        }
        first
    }

    /// Puts into the account what was compacted meanwhile.
    fn exchange(&mut self, topics: &mut [OutTopic], touched: &mut BTreeSet<(usize, u16)>, pending: &mut Vec<Pending>) {
        let Some((task, result)) = self.compactor.as_mut().and_then(Compactor::done) else {
            return;
        };
        let compacted = match result {
            Ok(Some(compacted)) => compacted,
            Ok(None) => return,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                warn!(topic = %task.topic, partition = task.partition, error, "a table could not be compacted");
                self.failed.insert((task.topic, task.partition));
                return;
            }
        };
        let index = topics.iter().position(|opened| opened.topic == task.topic);
        let Some((index, writer)) =
            index.and_then(|index| Some((index, topics[index].writers.get_mut(usize::from(task.partition))?)))
        else {
            return;
        };
        let first = compacted.first;
        pending.push(Pending::Exchange(
            writer.segment(first),
            folder::compacted(&task.folder, first),
        ));
        let others = task.firsts.iter().skip(1);
        pending.extend(others.map(|first| Pending::Remove(writer.segment(*first))));
        info!(topic = %task.topic, partition = task.partition, bytes = compacted.bytes, "compacted");
        writer.replace_closed(task.firsts.len(), Some(compacted));
        touched.insert((index, task.partition));
    }

    /// Does what the commit was about, and begins with the next table that is due.
    pub fn after_commit(&mut self, pending: Vec<Pending>, topics: &[OutTopic], now: Millis) {
        for step in pending {
            let done = match &step {
                Pending::Remove(path) => folder::remove(path),
                Pending::Exchange(path, by) => fs::rename(by, path).map_err(LogError::io(path)),
            };
            if let Err(error) = done {
                let error: &dyn std::error::Error = &error;
                warn!(
                    error,
                    "a file of the log could not be removed or exchanged; the next start does it"
                );
            }
        }
        if let Some(retention) = self.retention
            && self.compactor.as_ref().is_none_or(|compactor| !compactor.busy)
            && let Some(task) = self.due(topics, Millis(now.0.saturating_sub(retention)))
        {
            if self.compactor.is_none() {
                self.compactor = Compactor::start();
            }
            if let Some(compactor) = &mut self.compactor {
                compactor.begin(task);
            }
        }
    }

    fn due(&self, topics: &[OutTopic], keep_from: Millis) -> Option<Task> {
        let tables = topics
            .iter()
            .filter(|opened| opened.topic.cleanup() == Cleanup::Compact && opened.topic != Topic::PROGRESS);
        for OutTopic { topic, writers, .. } in tables {
            for (partition, writer) in (0u16..).zip(writers) {
                let closed = writer.closed();
                if is_due(closed.iter().map(|sealed| sealed.bytes)) && !self.failed.contains(&(*topic, partition)) {
                    return Some(Task {
                        topic: *topic,
                        partition,
                        folder: writer.folder().to_owned(),
                        firsts: closed.iter().map(|sealed| sealed.first).collect(),
                        keep_from,
                    });
                }
            }
        }
        None
    }

    /// Waits for a compaction that is under way; the next commit puts it into effect.
    #[cfg(test)]
    pub fn wait(&mut self) {
        let waiting = |compactor: &&mut Compactor| compactor.busy && compactor.ready.is_none();
        if let Some(compactor) = self.compactor.as_mut().filter(waiting) {
            compactor.ready = compactor.answers.recv().ok();
        }
    }
}

/// A table partition to be compacted.
struct Task {
    topic: Topic,
    partition: u16,
    folder: PathBuf,
    /// Its closed segments.
    firsts: Vec<u64>,
    keep_from: Millis,
}

type Answer = (Task, Result<Option<Sealed>, LogError>);

/// A thread that compacts one partition after the other.
struct Compactor {
    tasks: Option<Sender<Task>>,
    answers: Receiver<Answer>,
    busy: bool,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// An answer that was waited for.
    ready: Option<Answer>,
}

impl Compactor {
    fn start() -> Option<Self> {
        let (tasks, receiver) = channel::<Task>();
        let (sender, answers) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("compaction".to_owned()).spawn(move || {
            for task in receiver {
                let result = compact(&task.folder, &task.firsts, task.keep_from, &row, &stopped);
                // The sink is gone: nobody wants it.
                let _ = sender.send((task, result));
            }
        });
        match thread {
            Ok(thread) => Some(Self {
                tasks: Some(tasks),
                answers,
                busy: false,
                stop,
                thread: Some(thread),
                ready: None,
            }),
            Err(error) => {
                warn!(%error, "no thread for compaction");
                None
            }
        }
    }

    fn begin(&mut self, task: Task) {
        self.busy = self.tasks.as_ref().is_some_and(|tasks| tasks.send(task).is_ok());
    }

    fn done(&mut self) -> Option<Answer> {
        let answer = self.ready.take().or_else(|| self.answers.try_recv().ok())?;
        self.busy = false;
        Some(answer)
    }
}

impl Drop for Compactor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks = None;
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
    }
}

/// A row of an output table, by its key.
fn row(_: u64, frame: &Frame<'_>) -> Row {
    match frame.body {
        Body::Record {
            key: Some(key),
            payload,
        } => {
            let key = Key::of_bytes(key);
            payload.map_or(Row::Delete(key), |_| Row::Upsert(key, 0))
        }
        Body::Record { key: None, .. } | Body::Gap(_) => Row::None,
    }
}
