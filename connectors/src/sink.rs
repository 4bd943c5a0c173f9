use riskflow_model::Millis;
use riskflow_model::limit::RECORD_BYTES;
use riskflow_model::topic::Topic;

use crate::SinkError;

/// A record on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutRecord {
    /// The topic.
    pub topic: Topic,
    /// Its key.
    pub key: String,
    /// Its payload, JSON; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
}

impl OutRecord {
    /// Room for what frames a record: lengths, headers, the head of a batch of one.
    const FRAME: usize = 1_024;

    /// How many bytes it has at most, on whatever it is written to. On Kafka its key stands in the headers `ce_id` and `ce_subject`
    /// once more.
    #[must_use]
    pub fn size(&self) -> usize {
        3 * self.key.len() + self.payload.as_ref().map_or(0, Vec::len) + Self::FRAME
    }
}

/// The records of one epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochRecords {
    /// The epoch.
    pub epoch: Millis,
    /// In the order in which they become visible on each topic.
    pub records: Vec<OutRecord>,
}

/// A place that records go to; see the crate's documentation for what it promises.
pub trait Sink: Send {
    /// Writes all records of some epochs. When it returns `Ok` they are durable; files, from which no run goes on, outlive the
    /// process then, and the machine a second later and after [`Sink::finish`].
    ///
    /// Waits until that is so; the caller's thread should have nothing else to do. Epochs rise within a call and from call to
    /// call, except that those of a call that failed may be given again.
    ///
    /// # Errors
    ///
    /// When not all of them are known to be durable: see the crate's documentation.
    fn commit(&mut self, epochs: &[EpochRecords]) -> Result<(), SinkError>;

    /// The most that a record of this topic may have ([`OutRecord::size`]), as far as it is known: at most [`RECORD_BYTES`], at least
    /// [`LEAST_RECORD_BYTES`](riskflow_model::limit::LEAST_RECORD_BYTES). A larger one fails its commit.
    fn most(&self, topic: Topic) -> usize {
        let _ = topic;
        RECORD_BYTES
    }

    /// Finds out how large records may be: once before the first commit, and after each that failed with
    /// [`SinkError::is_too_large`]. Then [`Sink::most`] is less for the topic that refused one, as long as that is possible.
    ///
    /// # Errors
    ///
    /// When it cannot find out; it may be tried again.
    fn ask_most(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Where readers may be behind: commits tombstones on `out.progress`, behind all that an earlier writer committed. Whoever
    /// reads them has read all of that. `None` where a reader always sees what was committed.
    ///
    /// # Errors
    ///
    /// When they are not known to be committed.
    fn begin(&mut self) -> Result<Option<Begun>, SinkError> {
        Ok(None)
    }

    /// Ends an output that is whole: called once no record follows, and not where the job failed. A format that needs an end (the
    /// footer of Parquet) gets it here. Nothing is committed afterwards.
    ///
    /// # Errors
    ///
    /// When not all of it is known to be durable; it may be tried again.
    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// The tombstones of a run that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Their key; no other run has the same.
    pub key: String,
    /// In each of so many partitions of `out.progress` there is one.
    pub partitions: u16,
}
