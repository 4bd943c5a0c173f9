//! The publisher: takes epochs from worker 0 in order, commits them to the sink, then shows them to readers.
//!
//! It runs on a thread of its own behind a short queue. A slow sink fills the queue, the queue stops worker 0, and with it
//! the closing of epochs: nothing is read that cannot be published. Epochs that wait are committed together.
//!
//! After a restart, epochs up to the one committed last are only noted. Before the first epoch after that is committed, the
//! tables as they should be are compared with the rows that stand in the output: what differs goes out with that epoch, and
//! from then on the dataflow's own differences are exact.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use riskflow_connectors::{EpochRecords, OutRecord, Published, Retry, Sink, content, failpoint, fault};
use riskflow_model::progress::{Offsets, Progress};
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Millis, Text};
use serde::Serialize;

use crate::metrics::Metrics;
use crate::output::EpochOutput;
use crate::views::{Tables, Views};

/// An epoch on its way to the sink.
pub struct Completed {
    /// What it publishes.
    pub output: EpochOutput,
    /// When it was closed.
    pub closed: Instant,
    /// Whether a checkpoint is taken of the state after it.
    pub checkpoint: bool,
}

/// Sees every epoch after it was committed, with the tables as of then.
pub type Observer = Box<dyn FnMut(&EpochOutput, &Tables) + Send>;

/// Hears that an epoch of which a checkpoint is taken was committed, and how far the input was taken by then.
pub type Committed = Box<dyn FnMut(Millis, Offsets) + Send>;

/// Where publishing begins.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    /// Whether progress is recorded: only so can a later run go on.
    pub definite: bool,
    /// The epoch committed last; nothing up to it is published again.
    pub last: Millis,
    /// How far the input was taken before the first epoch that comes.
    pub position: Offsets,
    /// The epoch and the offsets that `out.progress` begins with.
    pub base: (Millis, Offsets),
    /// The epochs that it records from there on.
    pub recorded: VecDeque<(Millis, Offsets)>,
    /// Whether all that is void: the job begins anew.
    pub anew: bool,
    /// What the epochs up to `last` gave, where that is recorded.
    pub digests: BTreeMap<Millis, Text>,
    /// Whether another digest is an error.
    pub verify: bool,
    /// The rows that stand in the output tables; `None`: they are those that the replay gives, epoch by epoch the same.
    pub published: Option<Published>,
}

/// What publisher and job know of each other.
#[derive(Clone, Default)]
pub struct Shared {
    /// The epoch committed last.
    pub committed: Arc<AtomicI64>,
    /// The epoch of the oldest checkpoint that is kept: what is before it need not be recorded.
    pub oldest_checkpoint: Arc<AtomicI64>,
    /// Set to stop the job: a sink that cannot be reached is not waited for any longer.
    pub stop: Arc<AtomicBool>,
    /// Whether anybody reads the views. They are not kept for nobody: of them only the epoch moves on.
    pub readers: bool,
}

/// A running publisher.
pub struct Publisher {
    thread: JoinHandle<Result<()>>,
}

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
            .spawn(move || publishing.run(&receiver))?;
        Ok((Self { thread }, sender))
    }

    /// Whether it ended; while the job runs that means it failed.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// When an epoch could not be committed, or was not what it was before.
    pub fn join(self) -> Result<()> {
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
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
    beginning: Beginning,
    views: Arc<Views>,
    metrics: Arc<Metrics>,
    shared: Shared,
    observer: Option<Observer>,
    committed: Committed,
}

impl Publishing {
    /// Before the first epoch.
    #[must_use]
    pub fn new(
        sink: Box<dyn Sink>,
        beginning: Beginning,
        (views, metrics, shared): (Arc<Views>, Arc<Metrics>, Shared),
        observer: Option<Observer>,
        committed: Committed,
    ) -> Self {
        Self {
            sink,
            tables: Tables::default(),
            keeps_tables: shared.readers || observer.is_some() || beginning.published.is_some(),
            progress: Recorder::new(&beginning),
            published: beginning.published.clone(),
            beginning,
            views,
            metrics,
            shared,
            observer,
            committed,
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
    pub fn publish(&mut self, batch: Vec<Completed>) -> Result<()> {
        let began = Instant::now();
        let mut epochs = Vec::new();
        let mut finished = Vec::new();
        for completed in batch {
            if completed.output.epoch <= self.beginning.last {
                self.replayed(&completed)?;
                continue;
            }
            let records = records(&completed.output);
            // The comparison needs the tables as of this epoch, so they move on before the commit; readers wait for it.
            self.move_on(&completed.output);
            // Of what the epoch gives, whatever of it stands in the output already.
            let digest = self.beginning.definite.then(|| digest(&records));
            let mut records = match self.published.take() {
                Some(published) => compared(&self.tables, &completed.output, published, records),
                None => records,
            };
            count(&self.metrics, &completed.output, &records);
            if let Some(digest) = digest {
                let oldest = Millis(self.shared.oldest_checkpoint.load(Ordering::Acquire));
                self.progress.record(&completed.output, digest, oldest, &mut records);
            }
            let epoch = completed.output.epoch;
            if !records.is_empty() {
                epochs.push(EpochRecords { epoch, records });
            }
            let position = completed.checkpoint.then(|| self.progress.position.clone());
            finished.push((completed, position, self.tables.clone()));
        }
        if fault("fault::progress_apart") {
            let mut progress = epochs.clone();
            for epoch in &mut progress {
                epoch.records.retain(|record| record.topic == Topic::Progress);
            }
            for epoch in &mut epochs {
                epoch.records.retain(|record| record.topic != Topic::Progress);
            }
            self.commit(&progress)?;
            // A table is mended after a restart; what was to be told once is gone.
            if epochs
                .iter()
                .flat_map(|epoch| &epoch.records)
                .any(|record| !TABLES.contains(&record.topic))
            {
                failpoint("fault::apart");
            }
        }
        if !epochs.is_empty() {
            self.commit(&epochs)?;
        }
        for (completed, position, tables) in finished {
            let epoch = completed.output.epoch;
            self.metrics.epoch(epoch.0, completed.closed.elapsed(), began.elapsed());
            if !completed.output.is_empty() {
                self.views.store(&tables);
            }
            self.shared.committed.store(epoch.0, Ordering::Release);
            if let Some(position) = position {
                (self.committed)(epoch, position);
            }
            if let Some(observer) = &mut self.observer {
                observer(&completed.output, &tables);
            }
        }
        Ok(())
    }

    fn move_on(&mut self, output: &EpochOutput) {
        if self.keeps_tables {
            self.tables.apply(output);
        } else {
            self.tables.epoch = output.epoch;
        }
    }

    /// Tries until it succeeds, the failure is one that does not pass, or the job is to stop.
    fn commit(&mut self, epochs: &[EpochRecords]) -> Result<()> {
        const FIRST: Duration = Duration::from_millis(100);
        const LONGEST: Duration = Duration::from_secs(10);
        let mut pause = FIRST;
        loop {
            let error = match self.sink.commit(epochs) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if error.retry() == Retry::Never || self.shared.stop.load(Ordering::Acquire) {
                return Err(error).context("could not write the output");
            }
            self.metrics.commit_retried();
            let cause: &dyn std::error::Error = &error;
            tracing::warn!(cause, "an epoch is not committed yet, trying again in {pause:?}");
            self.shared.pause(pause);
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// An epoch that an earlier run committed: nothing goes out, but it must be what it was.
    fn replayed(&mut self, completed: &Completed) -> Result<()> {
        let epoch = completed.output.epoch;
        self.move_on(&completed.output);
        self.progress.note(&completed.output);
        self.metrics.replayed(epoch.0);
        if let Some(before) = self.beginning.digests.remove(&epoch) {
            let digest = digest(&records(&completed.output));
            if *before != digest.to_string() {
                self.metrics.replay_differed();
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

/// Keeps `out.progress`.
struct Recorder {
    last: Millis,
    base: Millis,
    base_offsets: Offsets,
    /// Of all epochs so far.
    position: Offsets,
    /// Epochs with a record, and what they took.
    recorded: VecDeque<(Millis, Offsets)>,
    /// Epochs of an earlier run whose records are void.
    void: Vec<Millis>,
    anew: bool,
}

impl Recorder {
    fn new(beginning: &Beginning) -> Self {
        let recorded = beginning.recorded.clone();
        let (base, base_offsets) = beginning.base.clone();
        let mut recorder = Self {
            last: recorded.back().map_or(base, |(epoch, _)| *epoch),
            base,
            base_offsets,
            position: beginning.position.clone(),
            recorded,
            void: Vec::new(),
            anew: beginning.anew,
        };
        if beginning.anew {
            recorder.last = beginning.last;
            recorder.void = recorder.recorded.drain(..).map(|(epoch, _)| epoch).collect();
        }
        recorder
    }

    /// A replayed epoch.
    fn note(&mut self, output: &EpochOutput) {
        self.position.merge(&output.offsets);
    }

    /// Appends the progress of an epoch that is about to be committed, and takes back what a checkpoint covers.
    fn record(&mut self, output: &EpochOutput, digest: Key, oldest: Millis, records: &mut Vec<OutRecord>) {
        // What a checkpoint covers waits for an epoch that has something to say, else an idle job would write for ever: each
        // checkpoint would cover the record of the epoch that took back what the one before it covered.
        let silent = output.offsets.is_empty() && records.is_empty() && !output.relieved;
        if silent && !self.anew {
            return;
        }
        let anew = std::mem::take(&mut self.anew);
        if anew {
            // All that was taken by now belongs to what comes before this epoch.
            self.base = self.last;
            self.base_offsets = self.position.clone();
        }
        let mut covered = std::mem::take(&mut self.void);
        while let Some((epoch, offsets)) = self.recorded.pop_front_if(|(epoch, _)| *epoch <= oldest) {
            self.base = epoch;
            self.base_offsets.merge(&offsets);
            covered.push(epoch);
        }
        let rebased = anew || !covered.is_empty();
        for epoch in covered {
            records.push(OutRecord {
                topic: Topic::Progress,
                key: Progress::key(epoch),
                payload: None,
            });
        }
        if rebased {
            records.push(progress(
                Progress::BASE.to_owned(),
                self.base,
                Millis(0),
                &self.base_offsets,
                Key::default(),
            ));
        }
        let epoch = output.epoch;
        records.push(progress(
            Progress::key(epoch),
            epoch,
            self.last,
            &output.offsets,
            digest,
        ));
        self.position.merge(&output.offsets);
        self.recorded.push_back((epoch, output.offsets.clone()));
        self.last = epoch;
    }
}

fn progress(key: String, epoch: Millis, previous: Millis, offsets: &Offsets, digest: Key) -> OutRecord {
    let progress = Progress {
        epoch,
        previous,
        offsets: offsets.clone(),
        digest: digest.to_string().into(),
    };
    OutRecord {
        topic: Topic::Progress,
        key,
        payload: serde_json::to_vec(&progress).ok(),
    }
}

/// The hash of what an epoch gives.
#[must_use]
pub fn digest(records: &[OutRecord]) -> Key {
    let mut bytes = Vec::new();
    for OutRecord { topic, key, payload } in records {
        bytes.extend_from_slice(&topic.index().to_le_bytes());
        bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        bytes.extend_from_slice(key.as_bytes());
        let length = payload.as_ref().map_or(u32::MAX, |payload| payload.len() as u32);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(payload.as_deref().unwrap_or_default());
    }
    Key::of_bytes(&bytes)
}

/// The records of the first epoch after a restart: for tables what differs between what should be there and what is.
fn compared(tables: &Tables, output: &EpochOutput, mut published: Published, own: Vec<OutRecord>) -> Vec<OutRecord> {
    let mut records = Vec::new();
    for record in all_rows(tables, output.epoch) {
        let before = published.remove(&(record.topic, record.key.clone()));
        let now = record.payload.as_deref().map(content);
        if before != now {
            records.push(record);
        }
    }
    // What should not be there.
    let gone = published.into_keys().map(|(topic, key)| OutRecord {
        topic,
        key,
        payload: None,
    });
    records.extend(gone);
    records.extend(own.into_iter().filter(|record| !TABLES.contains(&record.topic)));
    records
}

/// The tables among the outputs.
pub const TABLES: [Topic; 6] = [
    Topic::RiskAsset,
    Topic::RiskRegion,
    Topic::WarningState,
    Topic::CaseState,
    Topic::Response,
    Topic::ReportTotal,
];

fn all_rows(tables: &Tables, epoch: Millis) -> Vec<OutRecord> {
    let present = EpochOutput {
        epoch,
        assets: tables.assets.values().map(|row| (Arc::clone(row), 1)).collect(),
        regions: tables.regions.values().map(|row| (Arc::clone(row), 1)).collect(),
        warnings: tables.warnings.values().map(|row| (Arc::clone(row), 1)).collect(),
        cases: tables.cases.values().map(|row| (Arc::clone(row), 1)).collect(),
        responses: tables.responses.values().map(|row| (Arc::clone(row), 1)).collect(),
        totals: tables.totals.values().map(|row| (Arc::clone(row), 1)).collect(),
        ..EpochOutput::default()
    };
    records(&present)
}

fn count(metrics: &Metrics, output: &EpochOutput, records: &[OutRecord]) {
    for delta in &output.deltas {
        metrics.delta(delta.kind);
    }
    for delta in output.case_deltas.iter().filter(|delta| !delta.retracted) {
        metrics.case_event(delta.event.kind);
    }
    for notice in &output.notices {
        metrics.notice(notice.event);
    }
    for letter in &output.dead {
        metrics.dead_letter(letter.reason);
    }
    let mut topics: BTreeMap<Topic, u64> = BTreeMap::new();
    for record in records {
        *topics.entry(record.topic).or_default() += 1;
    }
    for (topic, records) in topics {
        metrics.published(topic, records);
    }
}

/// The records of an epoch: tables as upserts and tombstones, one for each key; logs as they are.
#[must_use]
pub fn records(output: &EpochOutput) -> Vec<OutRecord> {
    let epoch = output.epoch;
    let mut records = Vec::new();
    let mut json = Json::new(epoch);
    table(&mut records, Topic::RiskAsset, epoch, &output.assets, |row| {
        row.asset.to_string()
    });
    table(&mut records, Topic::RiskRegion, epoch, &output.regions, |row| {
        format!("{}/{}", row.region, row.domain)
    });
    table(&mut records, Topic::WarningState, epoch, &output.warnings, |row| {
        row.id.to_string()
    });
    for delta in &output.deltas {
        records.push(OutRecord {
            topic: Topic::WarningDelta,
            key: delta.id.to_string(),
            payload: Some(json.write(delta)),
        });
    }
    table(&mut records, Topic::CaseState, epoch, &output.cases, |row| {
        row.id.to_string()
    });
    for delta in &output.case_deltas {
        records.push(OutRecord {
            topic: Topic::CaseDelta,
            key: delta.case.to_string(),
            payload: Some(json.write(delta)),
        });
    }
    for notice in &output.notices {
        records.push(OutRecord {
            topic: Topic::Notice,
            key: notice.case.to_string(),
            payload: Some(json.write(notice)),
        });
    }
    table(&mut records, Topic::Response, epoch, &output.responses, |row| row.key());
    table(&mut records, Topic::ReportTotal, epoch, &output.totals, |row| row.key());
    for letter in &output.dead {
        records.push(OutRecord {
            topic: Topic::DeadLetter,
            key: format!("{}/{}/{}", letter.topic, letter.partition, letter.offset),
            payload: Some(json.write(letter)),
        });
    }
    records
}

fn table<T: Serialize>(
    records: &mut Vec<OutRecord>,
    topic: Topic,
    epoch: Millis,
    rows: &[(Arc<T>, i64)],
    key: impl Fn(&T) -> String,
) {
    let mut latest: Vec<(String, Option<&T>)> = Vec::with_capacity(rows.len());
    for (row, diff) in rows {
        latest.push((key(row), (*diff > 0).then_some(&**row)));
    }
    // Of one key, what came stands behind what went.
    latest.sort_by(|(a, came), (b, other)| (a, came.is_some()).cmp(&(b, other.is_some())));
    let mut latest = latest.into_iter().peekable();
    let mut json = Json::new(epoch);
    while let Some((key, row)) = latest.next() {
        if latest.peek().is_none_or(|(next, _)| *next != key) {
            let payload = row.map(|row| json.write(row));
            records.push(OutRecord { topic, key, payload });
        }
    }
}

/// Writes records as [`riskflow_model::output::Stamped`] reads them. Of a whole city the epoch is the same, so it is written once.
struct Json {
    buffer: Vec<u8>,
    /// The last field, and the end.
    stamp: String,
}

impl Json {
    fn new(epoch: Millis) -> Self {
        Self {
            buffer: Vec::new(),
            stamp: format!("\"epoch\":\"{epoch}\"}}"),
        }
    }

    /// Through a buffer: a record in memory of its own size, which is not known before.
    fn write<T: Serialize>(&mut self, record: &T) -> Vec<u8> {
        self.buffer.clear();
        // An object with fields: ours have string keys and finite numbers, so nothing can be wrong. If it were, a reader would see
        // it by what is missing.
        let written = serde_json::to_writer(&mut self.buffer, record);
        match self.buffer.last_mut() {
            Some(end) if written.is_ok() && *end == b'}' => *end = b',',
            _ => {
                self.buffer.clear();
                self.buffer.push(b'{');
            }
        }
        self.buffer.extend_from_slice(self.stamp.as_bytes());
        self.buffer.as_slice().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::output::{DeadLetter, Stamped};

    use super::*;

    #[test]
    fn a_record_is_written_with_its_epoch() {
        let letter = r#"{"reason":"malformed","detail":"}","topic":"t","partition":1,"offset":2,"payload":"","encoding":"utf8","payload_bytes":0}"#;
        let record: DeadLetter = serde_json::from_str(letter).unwrap();
        let epoch = Millis(1_627_171_200_123);
        let written = Json::new(epoch).write(&record);
        assert_eq!(written, serde_json::to_vec(&Stamped { record, epoch }).unwrap());
    }
}
