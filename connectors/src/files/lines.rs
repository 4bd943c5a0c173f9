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
    /// Only ever grows, so that its bytes are made once.
    buffer: Vec<u8>,
    /// `buffer[start..end]` is what has not been taken.
    start: usize,
    end: usize,
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
            end: 0,
            scanned: 0,
            begin,
            found: None,
            skipping: skip,
            longest,
            ended: false,
        }
    }

    /// Goes on with bytes that begin at another place of the file; what was pushed before is dropped.
    pub fn restart(&mut self, begin: u64, skip: bool) {
        *self = Self {
            buffer: std::mem::take(&mut self.buffer),
            ..Self::with_longest(begin, skip, self.longest)
        };
    }

    /// The byte of the file behind all that was pushed.
    pub fn pushed_to(&self) -> u64 {
        self.begin + (self.end - self.start) as u64
    }

    /// Adds what `read` reads into the end of a buffer of at most `most` bytes, and how much it read; 0 is the end.
    pub fn push_with<E>(&mut self, most: usize, read: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<(), E> {
        let read = read(self.room(most))?;
        self.end += read;
        self.ended = read == 0;
        Ok(())
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// No more bytes come: what is left is a line.
    pub const fn finish(&mut self) {
        self.ended = true;
    }

    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the line that is not all there yet begins before this byte of the file.
    pub const fn could_begin_before(&self, byte: u64) -> bool {
        self.begin < byte
    }

    /// So many bytes behind what was pushed.
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        self.buffer.copy_within(self.start..self.end, 0);
        self.scanned -= self.start;
        self.end -= self.start;
        self.start = 0;
        let needed = self.end + bytes;
        if self.buffer.len() < needed {
            self.buffer.resize(needed, 0);
        }
        &mut self.buffer[self.end..needed]
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
            let end = line_end(&self.buffer[self.scanned..self.end]).map(|at| self.scanned + at);
            if self.skipping {
                let drop_to = end.map_or(self.end, |end| end + 1);
                self.skipping = end.is_none();
                self.consume(drop_to - self.start);
                end?;
                continue;
            }
            let length = end.unwrap_or(self.end) - self.start;
            if length > self.longest {
                self.skipping = true;
                self.scanned = self.start + self.longest;
                return Some((self.longest, self.longest));
            }
            let Some(end) = end else {
                self.scanned = self.end;
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
