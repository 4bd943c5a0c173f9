//! A regular file of lines, split among workers by blocks.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::lines::{Line, Lines};

/// A line belongs to the worker of the block in which it begins: block `b` to worker `b` modulo their number. Small against an
/// epoch, so that workers have even shares of each.
pub(super) const BLOCK_BYTES: u64 = 64 << 10;

/// Read at once behind the end of a block, for the end of its last line.
const BEHIND: u64 = 4 << 10;

/// Some blocks of a file.
pub(super) struct SplitFile {
    file: File,
    /// At opening; what is added later is not read.
    size: u64,
    /// The end of the block that is being read.
    block_end: u64,
    block_bytes: u64,
    peers: u64,
    lines: Lines,
}

impl SplitFile {
    /// Every `peers`th block, from block `first` on.
    pub fn new(file: File, first: usize, peers: usize, block_bytes: u64) -> io::Result<Self> {
        let size = file.metadata()?.len();
        let mut split = Self {
            file,
            size,
            block_end: 0,
            block_bytes,
            peers: peers as u64,
            lines: Lines::new(0, false),
        };
        split.begin_block(first as u64 * block_bytes)?;
        Ok(split)
    }

    /// A line begins at a block's first byte only if the byte before ends a line. That byte is read by itself: a block that
    /// is read from its beginning lies in memory as it does in the file, which is copied several times as fast on some
    /// machines (`rep movsb` on Zen 3).
    fn begin_block(&mut self, begin: u64) -> io::Result<()> {
        self.block_end = begin + self.block_bytes;
        let mut before = *b"\n";
        if let Some(at) = begin.checked_sub(1) {
            self.file.read_at(&mut before, at)?;
        }
        self.lines.restart(begin, before != *b"\n");
        Ok(())
    }

    /// Gets the next line ready for [`SplitFile::head`]; `false` at the end.
    pub fn prepare(&mut self) -> io::Result<bool> {
        loop {
            match self.lines.head().map(|line| line.begin) {
                Some(begin) if begin < self.block_end => return Ok(true),
                Some(_) => {}
                None if self.lines.has_ended() => return Ok(false),
                None if self.lines.could_begin_before(self.block_end) => {
                    self.read()?;
                    continue;
                }
                None => {}
            }
            if self.peers == 1 {
                self.block_end += self.block_bytes;
            } else {
                self.begin_block(self.block_end + (self.peers - 1) * self.block_bytes)?;
            }
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let at = self.lines.pushed_to();
        let wanted = if at < self.block_end {
            self.block_end - at
        } else {
            BEHIND
        };
        let most = wanted.min(self.size.saturating_sub(at)) as usize;
        if most == 0 {
            self.lines.finish();
            return Ok(());
        }
        self.lines.push_with(most, |buffer| self.file.read_at(buffer, at))
    }

    pub fn head(&mut self) -> Option<Line<'_>> {
        self.lines.head()
    }

    pub fn advance(&mut self) {
        self.lines.advance();
    }
}
