//! Reading segments frame by frame, with bounded memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use riskflow_model::Millis;

use super::error::LogError;
use super::frame::{self, Check, Frame, Parsed, chain};

/// A segment of at least this many bytes is closed.
pub const SEGMENT_BYTES: u64 = 128 << 20;

/// What a window is at first, and what it grows to while it is filled; one that holds a larger frame is larger.
const FIRST_BYTES: usize = 16 << 10;
const READ_BYTES: usize = 256 << 10;

/// Bytes of a file from a place on.
#[derive(Default)]
pub(super) struct Window {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Whether the last read gave all that there was room for.
    full: bool,
}

impl Window {
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub const fn len(&self) -> usize {
        self.end - self.start
    }

    pub const fn pass(&mut self, bytes: usize) {
        self.start += bytes;
    }

    /// What was read is read again.
    pub const fn clear(&mut self) {
        self.end = self.start;
    }

    /// Gives its memory back.
    pub fn release(&mut self) {
        *self = Self::default();
    }

    /// Reads more; `at` is the place of its first byte in the file. Returns how much came; 0 is the end of the file.
    pub fn fill(&mut self, file: &File, at: u64) -> io::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let length = self.buffer.len();
        if self.end == length || self.full && length < READ_BYTES {
            self.buffer.resize((length * 2).max(FIRST_BYTES), 0);
        }
        let read = file.read_at(&mut self.buffer[self.end..], at + self.end as u64)?;
        self.end += read;
        self.full = self.end == self.buffer.len();
        Ok(read)
    }
}

/// Why a walk is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All bytes were frames.
    Clean,
    /// The last frame is not all there.
    Torn,
    /// No frame stands there; the next cannot begin before so many bytes on.
    Bad { skip: usize },
}

/// A walk through a segment, from its beginning.
pub(super) struct Walk<'a> {
    file: &'a File,
    path: &'a Path,
    window: Window,
    /// Where the walk ends at the latest.
    limit: u64,
    /// Where the next frame begins.
    pub position: u64,
    /// The chain of all frames before it.
    pub sum: u64,
    /// The length of the frame that was shown last.
    shown: usize,
}

impl<'a> Walk<'a> {
    pub fn new(file: &'a File, path: &'a Path, limit: u64) -> Self {
        Self {
            file,
            path,
            window: Window::default(),
            limit,
            position: 0,
            sum: 0,
            shown: 0,
        }
    }

    /// Goes on behind another.
    pub const fn from(mut self, position: u64, sum: u64) -> Self {
        self.position = position;
        self.sum = sum;
        self
    }

    /// The next frame, or why there is none. `position` and `sum` are those behind it.
    pub fn next(&mut self) -> Result<Result<Frame<'_>, End>, LogError> {
        self.window.pass(std::mem::take(&mut self.shown));
        let whole = loop {
            match frame::parse(self.window.bytes(), Check::Full) {
                Parsed::Whole(frame) => {
                    if self.position + frame.length() as u64 > self.limit {
                        return Ok(Err(End::Torn));
                    }
                    let sum = chain(self.sum, &frame);
                    break (frame.length(), sum);
                }
                Parsed::Bad { skip } => return Ok(Err(End::Bad { skip })),
                Parsed::Torn if self.position >= self.limit => return Ok(Err(End::Clean)),
                Parsed::Torn => {
                    let read = self.window.fill(self.file, self.position);
                    if read.map_err(LogError::io(self.path))? == 0 {
                        let clean = self.window.len() == 0 && self.limit == u64::MAX;
                        return Ok(Err(if clean { End::Clean } else { End::Torn }));
                    }
                }
            }
        };
        let (length, sum) = whole;
        self.position += length as u64;
        self.sum = sum;
        self.shown = length;
        match frame::parse(self.window.bytes(), Check::Done) {
            Parsed::Whole(frame) => Ok(Ok(frame)),
            // It was whole a moment ago, and the bytes are ours.
            Parsed::Torn | Parsed::Bad { .. } => Ok(Err(End::Torn)),
        }
    }
}

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// Of its whole frames together.
    pub bytes: u64,
    /// How many offsets they stand for.
    pub records: u64,
    /// Their chain.
    pub sum: u64,
    /// Of the last of them.
    pub arrival: Option<Millis>,
    pub end: End,
}

impl Summary {
    /// Of the frames up to a byte.
    pub fn of(file: &File, path: &Path, limit: u64) -> Result<Self, LogError> {
        Self::go_on(Walk::new(file, path, limit))
    }

    /// Of the frames that a walk has before it.
    pub fn go_on(mut walk: Walk<'_>) -> Result<Self, LogError> {
        let (mut records, mut arrival) = (0, None);
        let end = loop {
            match walk.next()? {
                Ok(frame) => {
                    records += frame.records();
                    arrival = Some(frame.arrival);
                }
                Err(end) => break end,
            }
        };
        Ok(Self {
            bytes: walk.position,
            records,
            sum: walk.sum,
            arrival,
            end,
        })
    }

    /// Of what a writer left that nobody vouches for: what is not whole at its end is a write that a crash cut off.
    ///
    /// # Errors
    ///
    /// When there is a whole frame behind it: that is damage.
    pub fn recovered(walk: Walk<'_>) -> Result<Self, LogError> {
        let (file, path) = (walk.file, walk.path);
        let summary = Self::go_on(walk)?;
        // What begins like a frame may hold anything, whole frames too.
        let End::Bad { skip } = summary.end else {
            return Ok(summary);
        };
        if whole_behind(file, path, summary.bytes + skip as u64)? {
            return Err(LogError::Damaged {
                path: path.to_owned(),
                byte: summary.bytes,
            });
        }
        Ok(summary)
    }
}

/// Whether a whole frame begins anywhere from this byte on.
pub(super) fn whole_behind(file: &File, path: &Path, byte: u64) -> Result<bool, LogError> {
    let length = file.metadata().map_err(LogError::io(path))?.len();
    let mut rest = vec![0; length.saturating_sub(byte) as usize];
    let mut read = 0;
    while read < rest.len() {
        match file.read_at(&mut rest[read..], byte + read as u64) {
            // Cut off meanwhile by a writer that recovers.
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(LogError::io(path)(error)),
        }
    }
    Ok(frame::any_whole(&rest[..read]))
}
