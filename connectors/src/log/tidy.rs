//! What keeps an embedded log that is the input from filling the disk.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use riskflow_config::{InputRecord, TopicSettings};
use riskflow_model::Millis;
use riskflow_model::progress::{Offsets, Progress};
use riskflow_model::topic::{Cleanup, Topic};
use tracing::{info, warn};

use super::compact::{Row, compact, is_due};
use super::error::LogError;
use super::folder;
use super::frame::{Body, Frame};
use super::handles::Found;
use super::segment::Walk;
use crate::lock::Lock;
use crate::overheard::{Hears, Overheard};
use crate::{EpochRecords, RawRecord, Sink, decode};

/// What no recovery asks for any more: everything before these offsets, as of an epoch.
#[derive(Clone, Debug)]
pub(super) struct Covered {
    pub epoch: Millis,
    pub offsets: Offsets,
}

/// Tidies, behind the back of a sink, what no recovery asks for any more: that stands in the base records of
/// `out.progress`, which are committed once the checkpoint before is gone.
pub(crate) struct Tidying {
    covered: Option<Sender<Covered>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tidying {
    pub(crate) fn over(
        sink: Box<dyn Sink>,
        folder: &Path,
        settings: &TopicSettings,
        retention: i64,
    ) -> Overheard<Self> {
        let (covered, receiver) = channel();
        let mut tidy = Tidy {
            folder: folder.to_owned(),
            settings: settings.clone(),
            retention,
            stop: Arc::default(),
        };
        let stop = Arc::clone(&tidy.stop);
        let thread = thread::Builder::new()
            .name("tidy".to_owned())
            .spawn(move || tidy.run(&receiver));
        let thread = thread
            .inspect_err(|error| warn!(%error, "no thread to tidy the input"))
            .ok();
        let tidying = Self {
            covered: thread.is_some().then_some(covered),
            stop,
            thread,
        };
        Overheard::new(sink, tidying)
    }
}

impl Hears for Tidying {
    fn committed(&mut self, epochs: &[EpochRecords]) {
        let records = epochs.iter().flat_map(|epoch| &epoch.records).rev();
        let mut bases = records.filter(|record| record.topic == Topic::PROGRESS && record.key == Progress::BASE);
        let Some(payload) = bases.find_map(|record| record.payload.as_deref()) else {
            return;
        };
        let base = match serde_json::from_slice::<Progress>(payload) {
            Ok(base) => base,
            Err(error) => {
                warn!(%error, "the base record that this job wrote cannot be read: the input is tidied with the next");
                return;
            }
        };
        if let Some(covered) = &self.covered {
            let (epoch, offsets) = (base.epoch, base.offsets);
            // The thread panicked: joining it says so.
            let _ = covered.send(Covered { epoch, offsets });
        }
    }
}

impl Drop for Tidying {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.covered = None;
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// The thread's side.
pub(super) struct Tidy {
    pub folder: PathBuf,
    pub settings: TopicSettings,
    pub retention: i64,
    pub stop: Arc<AtomicBool>,
}

impl Tidy {
    fn run(&mut self, receiver: &Receiver<Covered>) {
        while let Ok(covered) = receiver.recv() {
            let covered = receiver.try_iter().last().unwrap_or(covered);
            self.tidy(&covered);
        }
    }

    pub fn tidy(&self, covered: &Covered) {
        for topic in Topic::inputs() {
            if let Err(error) = self.topic(topic, covered) {
                let error: &dyn std::error::Error = &error;
                warn!(%topic, error, "the input could not be tidied");
            }
        }
    }

    fn topic(&self, topic: Topic, covered: &Covered) -> Result<(), LogError> {
        let topic_folder = self.folder.join(self.settings.name(topic));
        for partition in folder::partition_numbers(&topic_folder)? {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let folder = topic_folder.join(partition.to_string());
            let partition = partition as u16;
            let segments = folder::segments(&folder)?;
            let next = covered.offsets.next(topic, partition);
            // A segment ends where the next begins; the last one is written to.
            let following = segments.iter().skip(1);
            let closed = following.take_while(|first| **first <= next).count();
            let keep_from = Millis(covered.epoch.0.saturating_sub(self.retention));
            match topic.cleanup() {
                Cleanup::Delete => delete(&folder, &segments[..closed + usize::from(closed > 0)], keep_from)?,
                Cleanup::Compact => self.compact((topic, partition), &folder, &segments[..closed], keep_from)?,
            }
        }
        Ok(())
    }

    fn compact(
        &self,
        (topic, partition): (Topic, u16),
        folder: &Path,
        closed: &[u64],
        keep_from: Millis,
    ) -> Result<(), LogError> {
        let mut bytes = Vec::new();
        for first in closed {
            let path = folder::segment(folder, *first);
            bytes.push(
                Found::at(&path)
                    .map_err(LogError::io(&path))?
                    .map_or(0, |found| found.bytes),
            );
        }
        let Some(first) = closed.first().filter(|_| is_due(bytes.iter().copied())) else {
            return Ok(());
        };
        let path = folder::segment(folder, *first);
        // Another job that reads the same input may do so too.
        let _lock = match folder::lock(&path, Lock::alone) {
            Err(LogError::Locked { .. }) => return Ok(()),
            lock => lock?,
        };
        let reading = |offset, frame: &Frame<'_>| row(topic, partition, offset, frame);
        let Some(compacted) = compact(folder, closed, keep_from, &reading, &self.stop)? else {
            return Ok(());
        };
        fs::rename(folder::compacted(folder, *first), &path).map_err(LogError::io(&path))?;
        folder::sync(folder)?;
        // Readers pass over segments whose offsets the first has, too.
        for first in closed.iter().skip(1) {
            folder::remove(&folder::segment(folder, *first))?;
        }
        let before: u64 = bytes.iter().sum();
        info!(%topic, partition, before, after = compacted.bytes, "compacted");
        folder::sync(folder)
    }
}

/// Deletes segments whose records all arrived before `keep_from`, the oldest first; the last one stays.
fn delete(folder: &Path, segments: &[u64], keep_from: Millis) -> Result<(), LogError> {
    for pair in segments.windows(2) {
        let [first, next] = pair else { continue };
        // Arrival does not fall: nothing in a segment came later than the first record of the next.
        let next = folder::segment(folder, *next);
        let file = File::open(&next).map_err(LogError::io(&next))?;
        let old = match Walk::new(&file, &next, u64::MAX).next()? {
            Ok(frame) => frame.arrival < keep_from,
            Err(_) => false,
        };
        if !old {
            break;
        }
        let path = folder::segment(folder, *first);
        info!(file = %path.display(), "deleted: all of it is older than `topics.input_retention`");
        folder::remove(&path)?;
    }
    Ok(())
}

/// What a record of an input table means to it.
fn row(topic: Topic, partition: u16, offset: u64, frame: &Frame<'_>) -> Row {
    let Body::Record { key, payload } = frame.body else {
        return Row::None;
    };
    let record = RawRecord {
        topic,
        partition,
        offset,
        arrival: Some(frame.arrival),
        exercise: false,
        key,
        payload,
    };
    match decode(&record) {
        Ok(InputRecord::Base(key, Some(row))) => Row::Upsert(key, row.rank()),
        Ok(InputRecord::Base(key, None)) => Row::Delete(key),
        // It was refused, and is again.
        Ok(InputRecord::Observation(_) | InputRecord::Action(_) | InputRecord::Log(_)) | Err(_) => Row::None,
    }
}
