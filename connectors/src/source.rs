use std::collections::BTreeMap;

use riskflow_model::Millis;
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;

use crate::SourceError;

/// A record as a source hands it out: bytes, and where they stood. Valid during the call that offers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// The topic.
    pub topic: Topic,
    /// The partition; of files, the position of the file in the settings.
    pub partition: u16,
    /// The offset; of line files, the byte at which the line begins; of CSV, the number of the row, from 0.
    pub offset: u64,
    /// When it arrived, where that is known.
    pub arrival: Option<Millis>,
    /// Whether an exercise wrote it, or it is marked as of one: by the header `ce_exercise` on Kafka, by the field `exercise` of an
    /// envelope. An embedded log keeps no such mark.
    pub exercise: bool,
    /// Its key; files without envelopes have none.
    pub key: Option<&'a [u8]>,
    /// Its payload; `None` is a tombstone, which is not an empty payload.
    pub payload: Option<&'a [u8]>,
}

/// The answer to an offered record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The record is done with.
    Taken,
    /// The record stays, and with it its partition until the next poll; it will be offered again.
    NotYet,
}

/// How a poll ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// The limit was reached.
    More,
    /// Every partition that has not ended has a record at hand that was answered with [`Verdict::NotYet`].
    Blocked,
    /// Some partition has nothing at hand now, but more may come; others may be blocked.
    Idle,
    /// Every partition reached its end, for ever. Also when the source holds no partition.
    Ended,
}

/// A place that records come from; see the crate's documentation for what it promises.
pub trait Source {
    /// Offers records, per partition in the order of offsets, until `limit` of them were taken.
    ///
    /// Does not wait for records to come. A poll begins with the partition after the one with which the last began, so
    /// that a partition with much to read does not starve the others.
    ///
    /// # Errors
    ///
    /// When the source cannot go on. Records that were taken before stay taken.
    fn poll(&mut self, limit: usize, offer: &mut dyn FnMut(RawRecord<'_>) -> Verdict) -> Result<Polled, SourceError>;

    /// Whether a record is at hand; takes nothing. Asked again and again while nothing comes.
    ///
    /// # Errors
    ///
    /// When the source cannot go on.
    fn at_hand(&mut self) -> Result<bool, SourceError> {
        peek(self)
    }

    /// Whether everything that was there when the source was opened has been taken.
    fn caught_up(&self) -> bool;

    /// After a poll that ended [`Polled::Idle`]: whether a partition that has nothing at hand still owes some of what was
    /// there when the source was opened. A replay waits for it; partitions whose records are refused for now owe nothing.
    fn owes(&self) -> bool {
        !self.caught_up()
    }

    /// Partitions that do not hold the record any more (or not yet) that they were asked to begin with: topic, partition, that
    /// offset, and the first that is there. They begin with that one.
    fn lost(&self) -> Vec<(Topic, u16, u64, u64)> {
        Vec::new()
    }

    /// The checksum of the record of a partition that was taken last, where the place keeps one.
    fn mark(&self, topic: Topic, partition: u16) -> Option<u32> {
        let _ = (topic, partition);
        None
    }

    /// How many records it passed over because an exercise wrote them ([`open_live`](crate::open_live)).
    fn passed_over(&self) -> u64 {
        0
    }

    /// How many records are there that were not taken, by topic and partition, where that is known. The log estimates
    /// it from bytes; Kafka knows it as of some seconds ago; files say nothing.
    fn lag(&self) -> Vec<(Topic, u16, u64)>;

    /// Whether what it reads from can be reached, as far as it is known: Kafka knows it as of some seconds ago. Nothing comes from one that
    /// cannot, and the source goes on trying.
    fn reaches(&self) -> bool {
        true
    }
}

/// Of partitions the first offset that is there, and the one behind the last.
pub type Extents = BTreeMap<(Topic, u16), (u64, u64)>;

/// Offers the next record, and takes nothing; whether there was one.
pub(crate) fn peek<S: Source + ?Sized>(source: &mut S) -> Result<bool, SourceError> {
    let mut found = false;
    source.poll(1, &mut |_| {
        found = true;
        Verdict::NotYet
    })?;
    Ok(found)
}

/// A worker's place among all workers of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its position, below `peers`.
    pub index: usize,
    /// How many workers there are, at least 1.
    pub peers: usize,
}

impl Share {
    /// All of it: the share of the only worker.
    pub const WHOLE: Self = Self { index: 0, peers: 1 };

    /// Whether a partition belongs to this worker. Partition 0 of different topics belongs to different workers.
    #[must_use]
    pub fn holds(self, topic: Topic, partition: u16) -> bool {
        self.holds_nth(usize::from(partition) + usize::from(topic.id()))
    }

    pub(crate) const fn holds_nth(self, nth: usize) -> bool {
        nth % self.peers == self.index
    }
}

/// How far a source reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Follows what is added.
    Forever,
    /// Ends where the input ended when it was opened.
    End,
}

/// What of a partition is read.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// How far.
    pub until: Until,
    /// From which offsets on; a partition that is not named, from its first record.
    pub from: &'a Offsets,
    /// Up to which offsets an earlier run has read, with the marks there. All of that must still be there as it was, but for
    /// what was deleted or compacted: the log looks.
    pub known: Option<&'a Offsets>,
}

impl<'a> Span<'a> {
    /// What nobody has read before.
    #[must_use]
    pub const fn new(until: Until, from: &'a Offsets) -> Self {
        Self {
            until,
            from,
            known: None,
        }
    }
}

/// How one partition ended its part of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The limit was reached.
    Full,
    /// Its record was answered with [`Verdict::NotYet`].
    Blocked,
    /// It has nothing at hand.
    Idle,
    /// It is at its end for ever.
    Ended,
}

/// What one partition does in a poll: offers its records until one is not taken, `left` is 0, or none is at hand.
pub(crate) trait Lane {
    fn drain(
        &mut self,
        left: &mut usize,
        offer: &mut dyn FnMut(RawRecord<'_>) -> Verdict,
    ) -> Result<Standing, SourceError>;
}

/// Polls all partitions, beginning with `*first` and moving that on.
pub(crate) fn poll_lanes<L: Lane>(
    lanes: &mut [L],
    first: &mut usize,
    limit: usize,
    offer: &mut dyn FnMut(RawRecord<'_>) -> Verdict,
) -> Result<Polled, SourceError> {
    let count = lanes.len();
    let begin = *first;
    *first = if count == 0 { 0 } else { (begin + 1) % count };
    let mut left = limit;
    let (mut idle, mut blocked) = (false, false);
    for step in 0..count {
        match lanes[(begin + step) % count].drain(&mut left, offer)? {
            Standing::Full => return Ok(Polled::More),
            Standing::Blocked => blocked = true,
            Standing::Idle => idle = true,
            Standing::Ended => {}
        }
    }
    Ok(match (idle, blocked) {
        (true, _) => Polled::Idle,
        (false, true) => Polled::Blocked,
        (false, false) => Polled::Ended,
    })
}
