//! Lines out of bytes that come in pieces, with bounded memory.

use std::io::BufRead;

/// What of a line is beyond this is dropped. It is far more than a record may have, so such a line is a dead letter
/// either way.
pub(super) const LONGEST_LINE: usize = 16 << 20;

/// A line, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// The byte of the file at which it begins.
    pub begin: u64,
    pub text: &'a [u8],
}

/// Bytes pushed in, lines taken out.
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// `buffer[start..]` is what has not been taken.
    start: usize,
    /// `buffer[start..scanned]` holds no line end.
    scanned: usize,
    /// The byte of the file that `start` stands for.
    begin: u64,
    /// The line at `start`, not an empty one: its length without and with its end; found once, asked for many times.
    found: Option<(usize, usize)>,
    /// Drops everything up to the next line end: the rest of a line that was cut, or begun before.
    skipping: bool,
    longest: usize,
    ended: bool,
}

impl Lines {
    /// Lines of bytes that begin at byte `begin` of their file; `skip` drops the first, which begins before.
    pub fn new(begin: u64, skip: bool) -> Self {
        Self::with_longest(begin, skip, LONGEST_LINE)
    }

    pub fn with_longest(begin: u64, skip: bool, longest: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            begin,
            found: None,
            skipping: skip,
            longest,
            ended: false,
        }
    }

    /// The byte of the file behind all that was pushed.
    pub fn pushed_to(&self) -> u64 {
        self.begin + (self.buffer.len() - self.start) as u64
    }

    /// Adds what `read` reads into the end of a buffer of at most `most` bytes, and how much it read; 0 is the end.
    pub fn push_with<E>(&mut self, most: usize, read: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<(), E> {
        self.make_room();
        let old = self.buffer.len();
        self.buffer.resize(old + most, 0);
        let result = read(&mut self.buffer[old..]);
        self.buffer.truncate(old + *result.as_ref().unwrap_or(&0));
        self.ended = result? == 0;
        Ok(())
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.make_room();
        self.buffer.extend_from_slice(bytes);
    }

    /// No more bytes come: what is left is a line.
    pub const fn end(&mut self) {
        self.ended = true;
    }

    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the line that is not all there yet begins before this byte of the file.
    pub const fn could_begin_before(&self, byte: u64) -> bool {
        self.begin < byte
    }

    fn make_room(&mut self) {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
    }

    /// The next line that is not empty, if it is all there.
    pub fn head(&mut self) -> Option<Line<'_>> {
        while self.found.is_none() {
            let (length, with_end) = self.find()?;
            if self.buffer[self.start..self.start + length].trim_ascii().is_empty() {
                self.consume(with_end);
            } else {
                self.found = Some((length, with_end));
            }
        }
        let (length, _) = self.found?;
        Some(Line {
            begin: self.begin,
            text: &self.buffer[self.start..self.start + length],
        })
    }

    /// Drops the line that [`Lines::head`] shows.
    pub fn advance(&mut self) {
        if let Some((_, with_end)) = self.found {
            self.consume(with_end);
        }
    }

    fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        self.begin += bytes as u64;
        self.scanned = self.scanned.max(self.start);
        self.found = None;
    }

    fn find(&mut self) -> Option<(usize, usize)> {
        loop {
            let end = line_end(&self.buffer[self.scanned..]).map(|at| self.scanned + at);
            if self.skipping {
                let drop_to = end.map_or(self.buffer.len(), |end| end + 1);
                self.skipping = end.is_none();
                self.consume(drop_to - self.start);
                end?;
                continue;
            }
            let length = end.unwrap_or(self.buffer.len()) - self.start;
            if length > self.longest {
                self.skipping = true;
                self.scanned = self.start + self.longest;
                return Some((self.longest, self.longest));
            }
            let Some(end) = end else {
                self.scanned = self.buffer.len();
                return (self.ended && length > 0).then_some((length, length));
            };
            self.scanned = end + 1;
            let text = &self.buffer[self.start..end];
            let length = text.strip_suffix(b"\r").unwrap_or(text).len();
            return Some((length, end + 1 - self.start));
        }
    }
}

fn line_end(mut bytes: &[u8]) -> Option<usize> {
    let all = bytes;
    // The standard library's way to its `memchr`; reading from memory does not fail.
    let read = bytes.skip_until(b'\n').unwrap_or(0);
    read.checked_sub(1).filter(|at| all[*at] == b'\n')
}
