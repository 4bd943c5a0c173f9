//! Tells Kafka's own tools how far a job is: offsets of its input in a consumer group. Nobody here ever reads them, and a job that
//! cannot tell goes on: what it goes on from stands in `out.progress`.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use riskflow_config::{KafkaSettings, TopicSettings};
use riskflow_model::progress::{Offsets, Progress};
use riskflow_model::topic::Topic;
use tracing::warn;

use super::client::{self, Context};
use crate::overheard::{Hears, Overheard};
use crate::{EpochRecords, Sink};

/// So often at most.
const EVERY: Duration = Duration::from_secs(5);

/// How long the last is waited for when the job ends.
const LAST: Duration = Duration::from_secs(1);

/// Offsets in a consumer group, committed on a thread of its own. Dropping it waits a moment for the last.
pub struct GroupOffsets {
    taken: Option<Sender<Offsets>>,
    /// Hangs up when the last is told.
    told: Receiver<()>,
}

impl GroupOffsets {
    /// Tells in a group of this name. `None` without a client or a thread for it, which is said.
    pub(crate) fn open(kafka: &KafkaSettings, settings: &TopicSettings, group: &str) -> Option<Self> {
        let consumer = client::teller(kafka, group).inspect_err(|error| untold(error)).ok()?;
        let teller = Teller {
            consumer,
            settings: settings.clone(),
            taken: Offsets::default(),
        };
        let (taken, receiver) = channel();
        let (last, told) = channel();
        let thread = std::thread::Builder::new().name("offsets".to_owned());
        let thread = thread.spawn(move || {
            teller.run(&receiver);
            drop(last);
        });
        // Not joined: brokers that do not answer would hold up the end of the process.
        thread.inspect_err(|error| untold(error)).ok()?;
        Some(Self {
            taken: Some(taken),
            told,
        })
    }

    /// So far records are taken: told within some seconds.
    pub fn tell(&self, offsets: Offsets) {
        if let Some(taken) = &self.taken {
            // The thread panicked: the process goes on without it.
            let _ = taken.send(offsets);
        }
    }
}

impl Drop for GroupOffsets {
    fn drop(&mut self) {
        self.taken = None;
        // Either way it ends: it hangs up, or the time is over.
        let _ = self.told.recv_timeout(LAST);
    }
}

/// Tells, behind the back of a sink, how far the input was taken in the epochs that it committed.
pub(crate) struct Telling {
    group: GroupOffsets,
    /// Counts epochs that cannot be told of.
    unread: Box<dyn Fn() + Send>,
}

impl Telling {
    /// Tells in a group of this name; `unread` is called for each epoch whose own record says nothing. Where it cannot tell the sink is
    /// left as it is.
    pub(crate) fn over(
        sink: Box<dyn Sink>,
        kafka: &KafkaSettings,
        settings: &TopicSettings,
        (group, unread): (&str, Box<dyn Fn() + Send>),
    ) -> Box<dyn Sink> {
        match GroupOffsets::open(kafka, settings, group) {
            Some(group) => Box::new(Overheard::new(sink, Self { group, unread })),
            None => sink,
        }
    }
}

fn untold(error: &(dyn std::error::Error + 'static)) {
    warn!(
        error,
        "Kafka's own tools will not see how far the job is: no offsets are committed in its group"
    );
}

/// How far the input was taken in these epochs: each has a record that says so. What cannot be read of ours the job itself goes on without,
/// and Kafka's tools learn of it with the next.
fn taken(epochs: &[EpochRecords], unread: &dyn Fn()) -> Offsets {
    let records = epochs
        .iter()
        .flat_map(|epoch| epoch.records.iter().map(move |record| (epoch.epoch, record)));
    let records = records.filter(|(_, record)| record.topic == Topic::EPOCH);
    let payloads = records.filter_map(|(epoch, record)| Some((epoch, record.payload.as_deref()?)));
    let mut taken = Offsets::default();
    for (epoch, payload) in payloads {
        match serde_json::from_slice::<Progress>(payload) {
            Ok(progress) => taken.merge(&progress.offsets),
            Err(error) => {
                unread();
                let error: &dyn std::error::Error = &error;
                warn!(
                    %epoch,
                    error,
                    "the record that this job wrote of an epoch cannot be read: Kafka's own tools are not told how far that came"
                );
            }
        }
    }
    taken
}

impl Hears for Telling {
    fn committed(&mut self, epochs: &[EpochRecords]) {
        let offsets = taken(epochs, &*self.unread);
        if !offsets.is_empty() {
            self.group.tell(offsets);
        }
    }
}

/// The thread's side.
struct Teller {
    consumer: BaseConsumer<Context>,
    settings: TopicSettings,
    taken: Offsets,
}

impl Teller {
    fn run(mut self, receiver: &Receiver<Offsets>) {
        let mut next = Instant::now();
        let mut due: Option<Instant> = None;
        loop {
            let wait = due.map_or(EVERY, |due| due.saturating_duration_since(Instant::now()));
            match receiver.recv_timeout(wait) {
                Ok(offsets) => {
                    self.taken.merge(&offsets);
                    due.get_or_insert(next);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    if due.is_some() {
                        self.tell();
                        // Serves the answer.
                        self.consumer.poll(LAST / 2);
                    }
                    return;
                }
            }
            if due.is_some_and(|due| due <= Instant::now()) {
                self.tell();
                due = None;
                next = Instant::now() + EVERY;
            }
            // Nothing is read: there are errors only, and the context notes them.
            while client::waiting(&self.consumer).is_some() {}
        }
    }

    /// What becomes of it the client hears later.
    fn tell(&self) {
        let offsets = self.offsets();
        let told = offsets.and_then(|offsets| self.consumer.commit(&offsets, CommitMode::Async));
        if let Err(error) = told {
            untold(&error);
        }
    }

    fn offsets(&self) -> KafkaResult<TopicPartitionList> {
        let mut offsets = TopicPartitionList::new();
        for (topic, partition, next) in self.taken.iter() {
            let (name, next) = (self.settings.name(topic), Offset::Offset(next as i64));
            offsets.add_partition_offset(&name, i32::from(partition), next)?;
        }
        Ok(offsets)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use riskflow_model::Millis;

    use super::*;
    use crate::OutRecord;
    use crate::files::NoSink;

    fn settings() -> TopicSettings {
        TopicSettings {
            prefix: "t.".to_owned(),
            partitions: 1,
            replication: 1,
            retention: 0,
            exercise: false,
            forced: false,
            tidy: riskflow_config::Tidy::default(),
        }
    }

    /// Nobody listens there.
    fn kafka() -> KafkaSettings {
        KafkaSettings {
            brokers: "127.0.0.1:1".to_owned(),
            properties: BTreeMap::new(),
            group_offsets: true,
        }
    }

    /// What an epoch says that took records of a partition up to there.
    fn epoch(partition: u16, next: u64) -> OutRecord {
        let mut offsets = Offsets::default();
        offsets.advance(Topic::IN_OBSERVATION, partition, next);
        let progress = Progress {
            epoch: Millis(1_700_000_000_000),
            clock: None,
            previous: Millis(0),
            offsets,
            marks: riskflow_model::progress::Marks::default(),
            digest: "".into(),
            anew: false,
            parts: 1,
        };
        OutRecord {
            topic: Topic::EPOCH,
            key: "e".to_owned(),
            payload: Some(serde_json::to_vec(&progress).unwrap()),
        }
    }

    #[test]
    fn brokers_that_are_down_hold_nothing_up_and_what_cannot_be_read_is_counted() {
        let unread: Arc<AtomicU64> = Arc::default();
        let counted = Arc::clone(&unread);
        let count: Box<dyn Fn() + Send> = Box::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let mut telling = Telling::over(Box::new(NoSink), &kafka(), &settings(), ("t.riskflow", count));
        let broken = OutRecord {
            payload: Some(b"{}".to_vec()),
            ..epoch(0, 7)
        };
        let records = vec![epoch(0, 7), broken];
        let epoch = Millis(1_700_000_000_000);
        telling.commit(&[EpochRecords { epoch, records }]).unwrap();
        telling.finish().unwrap();
        let began = Instant::now();
        drop(telling);
        assert!(began.elapsed() < 5 * LAST, "{:?}", began.elapsed());
        assert_eq!(unread.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_was_taken_is_that_of_all_epochs_by_partition() {
        let mut other = epoch(0, 99);
        other.topic = Topic::NOTICE;
        let tombstone = OutRecord {
            payload: None,
            ..epoch(0, 99)
        };
        let records = [vec![epoch(0, 7), epoch(1, 3)], vec![epoch(0, 9), other, tombstone]];
        let epochs = records.map(|records| EpochRecords {
            epoch: Millis(0),
            records,
        });
        let taken = taken(&epochs, &|| panic!("all can be read"));
        let all: Vec<_> = taken.iter().collect();
        assert_eq!(all, [(Topic::IN_OBSERVATION, 0, 9), (Topic::IN_OBSERVATION, 1, 3)]);
        let teller = Teller {
            consumer: client::teller(&kafka(), "t.riskflow").unwrap(),
            settings: settings(),
            taken,
        };
        let offsets = teller.offsets().unwrap();
        let offset = |partition| {
            let found = offsets.find_partition("t.in.observation", partition);
            found.map(|found| found.offset())
        };
        assert_eq!(
            [offset(0), offset(1), offset(2)],
            [Some(Offset::Offset(9)), Some(Offset::Offset(3)), None]
        );
    }
}
