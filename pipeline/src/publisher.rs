//! The publisher: takes epochs from worker 0 in order, commits them to the sink, then shows them to readers.
//!
//! It runs on a thread of its own behind a short queue. A slow sink fills the queue, the queue stops worker 0, and with it
//! the closing of epochs: nothing is read that cannot be published.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use riskflow_connectors::{OutRecord, Sink, SinkError};
use riskflow_model::Millis;
use riskflow_model::output::Stamped;
use riskflow_model::topic::Topic;
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
}

/// Sees every epoch after it was committed, with the tables as of then.
pub type Observer = Box<dyn FnMut(&EpochOutput, &Tables) + Send>;

/// A running publisher.
pub struct Publisher {
    thread: JoinHandle<Result<(), SinkError>>,
    committed: Arc<AtomicI64>,
}

impl Publisher {
    /// Starts one; epochs go into the sender. It ends, with what was sent committed, when the sender is dropped.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn start(
        mut sink: Box<dyn Sink>,
        views: Arc<Views>,
        metrics: Arc<Metrics>,
        mut observer: Option<Observer>,
    ) -> std::io::Result<(Self, SyncSender<Completed>)> {
        let (sender, receiver): (_, Receiver<Completed>) = sync_channel(4);
        let committed = Arc::new(AtomicI64::new(0));
        let shared = Arc::clone(&committed);
        let thread = std::thread::Builder::new()
            .name("publisher".to_owned())
            .spawn(move || {
                let mut tables = Tables::default();
                for Completed { output, closed } in receiver {
                    let began = Instant::now();
                    let records = records(&output);
                    if !records.is_empty() {
                        sink.commit(output.epoch, &records)?;
                    }
                    count(&metrics, &output, &records);
                    metrics.epoch(output.epoch.0, closed.elapsed(), began.elapsed());
                    let changed = !output.is_empty();
                    tables.apply(&output);
                    if changed {
                        views.store(&tables);
                    }
                    shared.store(output.epoch.0, Ordering::Release);
                    if let Some(observer) = &mut observer {
                        observer(&output, &tables);
                    }
                }
                views.store(&tables);
                Ok(())
            })?;
        Ok((Self { thread, committed }, sender))
    }

    /// The epoch committed last.
    #[must_use]
    pub fn committed(&self) -> i64 {
        self.committed.load(Ordering::Acquire)
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
    /// When an epoch could not be committed.
    pub fn join(self) -> Result<(), SinkError> {
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn count(metrics: &Metrics, output: &EpochOutput, records: &[OutRecord]) {
    for delta in &output.deltas {
        metrics.delta(delta.kind);
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
            payload: Some(json(epoch, delta)),
        });
    }
    for letter in &output.dead {
        records.push(OutRecord {
            topic: Topic::DeadLetter,
            key: format!("{}/{}/{}", letter.topic, letter.partition, letter.offset),
            payload: Some(json(epoch, letter)),
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
    let mut latest: BTreeMap<String, Option<&T>> = BTreeMap::new();
    for (row, diff) in rows {
        let place = latest.entry(key(row)).or_default();
        if *diff > 0 {
            *place = Some(row);
        }
    }
    for (key, row) in latest {
        let payload = row.map(|row| json(epoch, row));
        records.push(OutRecord { topic, key, payload });
    }
}

fn json<T: Serialize>(epoch: Millis, record: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    if serde_json::to_writer(&mut bytes, &Stamped { record, epoch }).is_err() {
        // Cannot be: our records have string keys and finite numbers. A reader sees that something is wrong.
        bytes.clear();
        let _ = write!(bytes, "{{\"epoch\":\"{epoch}\"}}");
    }
    bytes
}
