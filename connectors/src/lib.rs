//! Sources and sinks: the embedded log, Kafka and files; and what stands between bytes and records.
//!
//! # The contract of sources
//!
//! A [`Source`] holds some *partitions*, each of one topic. Over all workers of a job every partition (of a file that
//! is split: every line) is held by exactly one source; [`Share`] says by which.
//!
//! * **Order.** Within a partition, records are offered in the order of their offsets. Between partitions there is no
//!   order.
//! * **Offsets** name records: (topic, partition, offset) is unique and stays the same each time the input is opened.
//!   Offsets rise within a partition; they need not be dense (compaction and transactions leave gaps in Kafka, files
//!   of lines count in bytes, tables in rows).
//! * **Arrival** does not fall from one record of a log partition to the next. Kafka and files promise no such thing.
//! * **Nothing is skipped.** A record is offered until it is [`Verdict::Taken`], then never again by this source. A
//!   record that cannot be read as one (a line that is no envelope) is offered as it is: [`decode()`] refuses it and
//!   [`dead_letter`] keeps it. A tombstone is a record.
//! * **Nothing is kept.** A source begins at the offsets that it is given, files too, and writes nothing down. What it was asked for and
//!   does not hold any more it tells ([`Source::lost`]), and begins with the first record that is there.
//! * **Known is known.** What an earlier run has read ([`Span::known`]) must be there as it was, but for what was deleted or compacted by
//!   retention. The embedded log looks, by offsets and by the checksum of the last record: a partition that is gone, cut,
//!   exchanged or an older copy is refused by name. Kafka and files promise no such thing. A file of a log that vanishes or is
//!   exchanged while it is read ends the source with its name.
//! * **Failure.** A fault that will pass (a broker that is down) is a state: [`Source::poll`] says
//!   [`Polled::Idle`]. A [`SourceError`] ends the source; [`SourceError::retry`] says whether opening it again can help.
//!   Damage in the middle of a log is such an error, never a gap.
//! * Partitions that are added on Kafka while a source is open end it with an error within seconds: opened again it reads
//!   them. The embedded log does not grow partitions.
//!
//! # The contract of sinks
//!
//! * **Durable.** When [`Sink::commit`] returns `Ok`, all records of its epochs are on disk (log) or acknowledged
//!   by all in-sync replicas (Kafka). Files, from which no run goes on, outlive the process from then on; they are on disk a
//!   second later at the next commit, and after [`Sink::finish`].
//! * **Whole or not at all.** All records of a commit become visible together or never, whatever crashes: on Kafka by a
//!   transaction, to readers with `isolation.level=read_committed`; in the embedded log by one small file that says what
//!   is committed. Progress is one of the records: so an epoch and the fact that it was committed are one.
//! * **Committed is committed.** What the embedded log has committed and does not have any more, or not as it was, is refused by
//!   name when it is opened, and given up only when the operator says so. What is not committed is void, whatever it is. [`log`]
//!   says what guards what.
//! * **At least once** is what files always, and Kafka with [`Guarantee::AtLeastOnce`](riskflow_config::Guarantee) promise
//!   instead: when `commit` fails, some records may be visible all the same, and again after the next attempt. Readers see that by
//!   the epoch (and on Kafka by `ce_id`, which is the same).
//! * **Parquet is whole at its end.** Nobody can read a part of it: what is committed becomes durable and visible with
//!   [`Sink::finish`], and a run that fails or is killed leaves files with names that end in `.part`.
//! * **Order.** Records of one key keep the order of `records` and of the epochs.
//! * **Bounded.** A record of more bytes than [`Sink::most`] fails its commit ([`SinkError::is_too_large`]); whoever commits cuts it
//!   before. What a topic takes may become less while the sink is open: [`Sink::ask_most`].
//! * **One writer.** The output of a log has one writer at a time; a second is refused. On Kafka a second writer with the same
//!   topics takes over, and the first is refused from then on (fencing). Files of an earlier run are refused.
//! * **Failure.** [`SinkError::retry`] says whether the same `commit` may succeed later.
//!
//! # The contract of appends
//!
//! An [`Append`] puts single records of people into an input topic while jobs read it.
//!
//! * **Durable.** A record that is answered with its offset is on disk (log) or acknowledged by all in-sync replicas (Kafka).
//! * **At least once.** One that is answered with an error may be there all the same: what must count once needs an
//!   identifier of its own, as actions have.
//! * **Many writers.** It takes the lock of a log partition for each batch and waits for whoever has it, up to 2 s; on Kafka it
//!   writes outside of transactions, and fences nobody.
//! * **Failure.** [`AppendError::retry`] says whether the same may succeed later. It can be used on after any error.

mod retry;
mod lock;
pub mod owner;
mod error;
mod encoding;
mod source;
mod decode;
mod sink;
mod append;
mod progress;
mod ran;

pub mod topics;
pub mod registry;

pub mod log;
pub mod kafka;
pub mod files;

mod overheard;
mod open;
pub mod checkpoint;
mod identity;

pub use append::{Append, AppendError, Appended, InRecord};
pub use decode::{LARGEST_PAYLOAD, Rejection, dead_letter, decode, decode_action, table_key, wrong_envelope};
pub use error::{SinkError, SourceError};
pub use identity::{Identity, IdentityError};
pub use lock::Lock;
pub use open::{
    back_from_end, extents, open_append, open_group, open_live, open_sink, open_source, reopen_source, tell_offsets,
    tidy_input,
};
pub use progress::{
    Published, Resume, content, note_exercise, noted_of_exercise, published_log, published_rows, published_tables,
    resume,
};
pub use ran::{Ran, ran};
pub use retry::Retry;
pub use sink::{Begun, EpochRecords, OutRecord, Sink};
pub use source::{Extents, Polled, RawRecord, Share, Source, Span, Until, Verdict};

/// Arms the failpoints that `FAILPOINTS` names, for as long as the process lives. Does nothing but in the tests' build of
/// these sources (`tests/failpoints`): the product has no failpoints.
#[inline]
pub fn arm_failpoints() {
    #[cfg(feature = "failpoints")]
    std::mem::forget(fail::FailScenario::setup());
}

/// A border of the commit and checkpoint protocols, where tests end the process as if by SIGKILL. Does nothing in the
/// product.
#[inline(always)]
pub fn failpoint(name: &str) {
    if fault(name) {
        std::process::abort();
    }
}

/// Whether a test has planted this fault. Never in the product, where nothing is left of it, not even the name.
#[inline(always)]
#[must_use]
pub fn fault(name: &str) -> bool {
    let _ = name;
    #[cfg(feature = "failpoints")]
    fail::fail_point!(name, |_| true);
    false
}

/// An error of a full disk, where a test has planted one.
#[inline(always)]
fn disk_full(name: &str) -> std::io::Result<()> {
    if fault(name) {
        return Err(std::io::ErrorKind::StorageFull.into());
    }
    Ok(())
}
