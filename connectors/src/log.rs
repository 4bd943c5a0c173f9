//! The embedded log: partitioned, append-only files in a folder. The default connector.
//!
//! `<folder>/<topic>/<partition>/<offset of the first record, 20 digits>.log`; a segment that has reached
//! [`SEGMENT_BYTES`] is closed and the next begins. A record is framed as
//!
//! | bytes | |
//! |---|---|
//! | 4 | length of the body |
//! | 4 | CRC-32 of the body |
//! | 8 | arrival, Unix milliseconds |
//! | 4 | length of the key; 2^32 - 1: none; 2^32 - 2: a gap |
//! | … | key |
//! | 4 | length of the payload; 2^32 - 1: tombstone |
//! | … | payload |
//!
//! all little endian. Offsets are dense. In a gap the body ends with 8 bytes behind the 2^32 - 2: how many records are gone
//! there, by compaction or given up after a loss. They keep their offsets.
//!
//! # What guards what
//!
//! | what is damaged, cut, emptied, deleted, exchanged or set back | noticed by | when |
//! |---|---|---|
//! | any byte of a record | the CRC of its frame | when it is read |
//! | a committed segment of an output | its length and the checksum of its frames in `out.commits` | at the start; its absence also while the job writes |
//! | `out.commits` | its copy, of which it is written again; without both the start is refused | at the start and with each commit |
//! | an input partition, or the records of it that were read | the offsets in `out.progress`, and the checksum of the last record before each | at the start |
//! | the segment of an input that is being read | its inode and length | within 4 idle polls |
//!
//! **Outputs** have one writer, which holds the locks of the topics' folders: there is no lock file to lose. What `out.commits`
//! lists is committed, and everything else in these folders is void: the next start removes it, whatever it holds. What is
//! listed and not there as it was is refused by name; `riskflow topics --accept-loss` goes on without it.
//!
//! One user writes a log: what would make files in that of another is refused ([`LogError::Foreign`]).
//!
//! **Inputs** may be written by any process of that user which appends whole frames to the last segment of a partition (and begins the next
//! segment, named by the next offset, once that has [`SEGMENT_BYTES`]). A crash in mid-write leaves a *torn tail*: the reader
//! takes it for "not yet", the next writer of ours cuts it off. A bad record with whole ones behind it is *damage*, which both
//! refuse.
//!
//! # What goes
//!
//! Only closed segments, and only while the clock is live: a replay deletes nothing.
//!
//! * **Output logs**: segments whose records are all older than `topics.retention`, by epoch.
//! * **Output tables** are compacted: of each key the last record stays, and a tombstone for `topics.retention`. `out.progress`
//!   keeps what a recovery asks for.
//! * **Inputs**: only records that the oldest checkpoint that is kept covers. Of logs those that
//!   arrived more than `topics.input_retention` before; tables are compacted, of a table with versions to the highest.
//!
//! Files of a partition that the process has no need of are closed: a log may have more partitions than a process may have
//! open files.

mod handles;
mod folder;
mod frame;
mod segment;
mod commits;
mod guard;
mod compact;
mod begin;
mod reader;
mod error;
mod source;
mod stirs;
mod writer;
mod append;
mod out_topic;
mod upkeep;
mod sink;
mod tidy;

#[cfg(test)]
mod tests;

pub use append::LogAppend;
pub use error::LogError;
pub(crate) use folder::{is_exercise, make, partitions, written_by_its_user};
pub(crate) use handles::MOST_OPEN;
pub use segment::SEGMENT_BYTES;
pub use sink::LogSink;
pub use source::LogSource;
pub(crate) use source::extents;
pub(crate) use tidy::Tidying;
pub use writer::LogWriter;
