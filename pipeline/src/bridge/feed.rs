//! What a lane reads: batches of committed records, from where it stands.

use std::time::Duration;

use riskflow_config::{Input, TopicSettings};
use riskflow_connectors::{Polled, Retry, Source, SourceError, Until, Verdict, back_from_end, open_live};
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;

use super::metrics::Fate;
use super::{Common, Receiver, pause};

/// So many records a batch has at most.
const RECORDS: usize = 256;

/// A batch takes no further record once it has so many bytes.
const BYTES: usize = 4 << 20;

/// Where it could not be read, it is opened again after so long.
const AGAIN: Duration = Duration::from_secs(2);

/// A record that was read.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: u16,
    /// The offset.
    pub offset: u64,
    /// Its key.
    pub key: String,
    /// Its payload; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
}

/// Reads some outputs.
pub(super) struct Feed {
    place: Input,
    settings: TopicSettings,
    topics: Vec<Topic>,
    receiver: Receiver,
    source: Box<dyn Source>,
    /// How many records of exercises were passed over that were told.
    passed_over: u64,
    /// What ended the last poll, if that had some records all the same.
    trouble: Option<SourceError>,
    /// How often in a row nothing could be read.
    misses: u32,
}

impl Feed {
    /// Opens the topics from these offsets on. Waits until that can be; `None`: the bridge is told to stop.
    ///
    /// # Errors
    ///
    /// When waiting does not help: a topic is not there, or a log is that of an exercise.
    pub async fn open(
        common: &mut Common,
        receiver: Receiver,
        topics: &[Topic],
        from: &Offsets,
    ) -> Result<Option<Self>, SourceError> {
        loop {
            match open_live(&common.place, &common.topics, topics, Until::Forever, from) {
                Ok(source) => {
                    let feed = Self {
                        place: common.place.clone(),
                        settings: common.topics.clone(),
                        topics: topics.to_vec(),
                        receiver,
                        source,
                        passed_over: 0,
                        trouble: None,
                        misses: 0,
                    };
                    feed.tell_lost(common, from);
                    common.metrics.reads(receiver);
                    common.metrics.well(receiver);
                    return Ok(Some(feed));
                }
                Err(error) if error.retry() == Retry::Never => return Err(error),
                Err(error) => complain(common, receiver, &error),
            }
            if !pause(&mut common.stop, AGAIN).await {
                return Ok(None);
            }
        }
    }

    /// Says what retention took away before it was read. Of what was never read nothing was lost.
    fn tell_lost(&self, common: &Common, from: &Offsets) {
        let known = |topic, partition| from.iter().any(|(t, p, _)| (t, p) == (topic, partition));
        for (topic, partition, asked, begins) in self.source.lost() {
            if !known(topic, partition) {
                continue;
            }
            let lost = begins.saturating_sub(asked);
            if topic == Topic::NOTICE {
                common.metrics.notices(self.receiver, Fate::Lost, lost);
            }
            tracing::error!(
                receiver = %self.receiver, topic = %topic, partition, asked, begins,
                "records were deleted before the bridge read them (`topics.retention`): it goes on with the first that is there"
            );
        }
    }

    /// What is at hand, in the order of each partition; nothing where nothing is. Where it cannot be read it is opened again, from `delivered`
    /// on.
    ///
    /// # Errors
    ///
    /// When waiting does not help.
    pub async fn poll(&mut self, common: &mut Common, delivered: &Offsets) -> Result<Vec<Found>, SourceError> {
        let error = match self.trouble.take() {
            Some(error) => error,
            None => match self.read() {
                Ok(found) => {
                    self.count(common);
                    return Ok(found);
                }
                Err(error) => error,
            },
        };
        self.misses += 1;
        // What is gone at its place may be found by opening it again; not twice.
        if error.retry() == Retry::Never && self.misses > 1 {
            return Err(error);
        }
        complain(common, self.receiver, &error);
        if pause(&mut common.stop, AGAIN).await
            && let Some(again) = Self::open(common, self.receiver, &self.topics, delivered).await?
        {
            let misses = self.misses;
            *self = Self { misses, ..again };
        }
        Ok(Vec::new())
    }

    fn read(&mut self) -> Result<Vec<Found>, SourceError> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        let polled = self.source.poll(RECORDS, &mut |record| {
            if bytes > BYTES {
                return Verdict::NotYet;
            }
            bytes += record.payload.map_or(0, <[u8]>::len);
            found.push(Found {
                topic: record.topic,
                partition: record.partition,
                offset: record.offset,
                key: record.key.map(String::from_utf8_lossy).unwrap_or_default().into_owned(),
                payload: record.payload.map(<[u8]>::to_vec),
            });
            Verdict::Taken
        });
        match polled {
            Ok(_) => self.misses = 0,
            // What was taken is not offered again.
            Err(error) if !found.is_empty() => self.trouble = Some(error),
            Err(error) => return Err(error),
        }
        Ok(found)
    }

    fn count(&mut self, common: &Common) {
        let records = self
            .source
            .lag()
            .into_iter()
            .filter(|(topic, ..)| *topic == Topic::NOTICE);
        common
            .metrics
            .lag(self.receiver, records.map(|(_, _, records)| records).sum());
        let passed_over = self.source.passed_over();
        let more = passed_over.saturating_sub(self.passed_over);
        if more > 0 && self.passed_over == 0 {
            tracing::warn!(receiver = %self.receiver, "there are records of an exercise: they are passed over");
        }
        self.passed_over = passed_over;
        common.metrics.notices(self.receiver, Fate::Exercise, more);
    }

    /// Whether everything that was there at the opening was read.
    pub fn caught_up(&self) -> bool {
        self.source.caught_up()
    }

    /// Where the topics end now: all before was passed over. `None`: the bridge is told to stop.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn end(&self, common: &mut Common) -> Result<Option<Offsets>, SourceError> {
        let (mut next, _) = back_from_end(&self.place, &self.settings, &self.topics, 0)?;
        let mut source = open_live(&self.place, &self.settings, &self.topics, Until::End, &next)?;
        loop {
            let polled = source.poll(10_000, &mut |record| {
                next.advance(record.topic, record.partition, record.offset + 1);
                Verdict::Taken
            })?;
            match polled {
                Polled::Ended => return Ok(Some(next)),
                Polled::More => {}
                Polled::Idle | Polled::Blocked => {
                    if !pause(&mut common.stop, Duration::from_millis(20)).await {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

fn complain(common: &Common, receiver: Receiver, error: &SourceError) {
    let why = causes(error);
    if common.metrics.troubled(receiver, &why) {
        tracing::warn!(receiver = %receiver, why, "notices cannot be read, going on trying");
    }
}

/// An error with its causes.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
