//! Rows of CSV out of bytes, each by itself: a quote that is never closed would swallow all rows behind it.
//!
//! A row is a line, or several where a quote is open at the end of a line. If the quotes of such a row make no sense (the end of
//! the file or of what a record may hold comes before the quote is closed, something other than a separator follows where it is, or the row
//! has another number of cells than the header), then its first line is bad, and the lines behind it are rows again. In
//! the place of a bad line stands a row of one cell that says so, which no table has: it becomes a dead letter.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use crate::LARGEST_PAYLOAD;
use crate::decode::{THE_LINE, UNCLOSED};

/// What is read of a line at most; what is beyond belongs to no record.
const LONGEST_LINE: u64 = 16 << 20;

/// Passes on bytes of CSV in which every quote is closed.
pub(super) struct Records<R> {
    from: BufReader<R>,
    /// Lines that were read and are not passed on yet, and how many are before them.
    lines: Lines,
    /// How many cells the header has.
    cells: Option<usize>,
    /// What is passed on next: up to `at` it was.
    ready: Vec<u8>,
    at: usize,
    /// The line at which each row begins that was passed on, the header too, for whoever wants to know.
    numbers: Option<Numbers>,
}

/// Numbers of lines, from 1.
pub(super) type Numbers = Rc<RefCell<VecDeque<u64>>>;

#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
    before: u64,
}

impl Lines {
    /// The first so many lines.
    fn first(&self, count: usize) -> &[u8] {
        let end = count.checked_sub(1).and_then(|last| self.ends.get(last));
        &self.bytes[..end.copied().unwrap_or(0)]
    }

    fn drop_first(&mut self, count: usize) {
        let bytes = self.first(count).len();
        self.bytes.drain(..bytes);
        self.ends.drain(..count);
        self.ends.iter_mut().for_each(|end| *end -= bytes);
        self.before += count as u64;
    }
}

impl<R: Read> Records<R> {
    pub fn new(from: R) -> Self {
        Self {
            from: BufReader::with_capacity(64 << 10, from),
            lines: Lines::default(),
            cells: None,
            ready: Vec::new(),
            at: 0,
            numbers: None,
        }
    }

    /// Notes from now on the line at which each row begins.
    pub fn numbers(&mut self) -> Numbers {
        Rc::clone(self.numbers.get_or_insert_default())
    }

    /// Reads a line more. `false` at the end.
    fn read_line(&mut self) -> io::Result<bool> {
        let Lines {
            bytes, ends, before, ..
        } = &mut self.lines;
        loop {
            let begin = bytes.len();
            let read = self.from.by_ref().take(LONGEST_LINE).read_until(b'\n', bytes)?;
            if read == 0 {
                return Ok(false);
            }
            if bytes.last() != Some(&b'\n') {
                self.from.skip_until(b'\n')?;
                // The last line has an end, too: what stands in its place needs one.
                bytes.push(b'\n');
            }
            // Lines without anything are no rows; within quotes they are text.
            if ends.is_empty() && bytes[begin..].trim_ascii().is_empty() {
                bytes.clear();
                *before += 1;
                continue;
            }
            ends.push(bytes.len());
            return Ok(true);
        }
    }

    /// Gets the next row ready. `false` at the end.
    fn next(&mut self) -> io::Result<bool> {
        if self.lines.ends.is_empty() && !self.read_line()? {
            return Ok(false);
        }
        let (mut count, mut quotes) = (1, Quotes::default());
        let mut walked = 0;
        let opened = loop {
            let row = self.lines.first(count);
            let open = quotes.walk(&row[walked..]);
            walked = row.len();
            match open {
                Open::No if count == 1 || self.is_row(count, quotes.cells) => break None,
                Open::Yes if walked < LARGEST_PAYLOAD => {}
                _ => break Some(quotes.opened),
            }
            if count == self.lines.ends.len() && !self.read_line()? {
                break Some(quotes.opened);
            }
            count += 1;
        };
        self.ready.clear();
        self.at = 0;
        match opened {
            None => self.ready.extend_from_slice(self.lines.first(count)),
            Some(cell) => {
                count = 1;
                self.bad_line(cell)?;
            }
        }
        self.cells.get_or_insert(quotes.cells);
        if let Some(numbers) = &self.numbers {
            numbers.borrow_mut().push_back(self.lines.before + 1);
        }
        self.lines.drop_first(count);
        Ok(true)
    }

    /// Whether so many lines, with quotes that make sense, are one row rather than several.
    fn is_row(&self, count: usize, found: usize) -> bool {
        let Some(cells) = self.cells else { return true };
        let mut lines = (1..=count).map(|line| &self.lines.first(line)[self.lines.first(line - 1).len()..]);
        // A text of several lines with that many commas in each is less likely than a quote that was forgotten.
        found == cells && (cells < 3 || lines.any(|line| Quotes::cells_of_line(line) != cells))
    }

    /// Says in the place of the first line what is wrong with it.
    fn bad_line(&mut self, cell: usize) -> io::Result<()> {
        let number = self.lines.before + 1;
        let cure = "close it, or write it twice where it is part of a text";
        let Some(cells) = self.cells else {
            let says = format!("line {number}: the quote that begins cell {cell} of the header is not closed; {cure}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, says));
        };
        let line = self.lines.first(1).trim_ascii_end();
        let says = format!("line {number}: {UNCLOSED} {cell} is not closed; {cure}{THE_LINE}");
        self.ready.push(b'"');
        self.ready.extend_from_slice(says.as_bytes());
        for byte in line {
            if *byte == b'"' {
                self.ready.push(b'"');
            }
            self.ready.push(*byte);
        }
        self.ready.push(b'"');
        // A table of one column has rows of one cell.
        self.ready.extend_from_slice(if cells == 1 { b",\n" } else { b"\n" });
        Ok(())
    }
}

impl<R: Read> Read for Records<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.ready.len() {
            if !self.next()? {
                return Ok(0);
            }
        }
        let piece = &self.ready[self.at..];
        let length = piece.len().min(buffer.len());
        buffer[..length].copy_from_slice(&piece[..length]);
        self.at += length;
        Ok(length)
    }
}

/// Whether a quote is open at the end of some lines.
enum Open {
    No,
    Yes,
    /// It was closed in a later line than the one it was opened in, and no separator followed.
    Wrong,
}

/// How quotes stand in a row.
#[derive(Clone, Copy)]
struct Quotes {
    place: Place,
    /// How many cells began.
    cells: usize,
    /// The cell whose quote was opened last.
    opened: usize,
    /// Whether that was in an earlier line.
    spans: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first byte of a cell.
    Begin,
    /// In a cell without quotes, in which they mean nothing.
    Plain,
    /// In a cell in quotes.
    Quoted,
    /// Behind a quote in such a cell: its end, or the first of two that stand for one.
    Behind,
}

impl Default for Quotes {
    fn default() -> Self {
        Self {
            place: Place::Begin,
            cells: 1,
            opened: 0,
            spans: false,
        }
    }
}

impl Quotes {
    /// How many cells a line has by itself, where a quote that it does not close means nothing.
    fn cells_of_line(line: &[u8]) -> usize {
        let mut quotes = Self::default();
        let mut opened_at = 0;
        for (at, byte) in line.iter().enumerate() {
            if quotes.place == Place::Begin {
                opened_at = at;
            }
            quotes.walk(std::slice::from_ref(byte));
        }
        match quotes.place {
            Place::Quoted => quotes.cells + line[opened_at..].iter().filter(|byte| **byte == b',').count(),
            _ => quotes.cells,
        }
    }

    /// Walks on through whole lines.
    fn walk(&mut self, lines: &[u8]) -> Open {
        for byte in lines {
            self.place = match (self.place, byte) {
                (Place::Quoted, b'"') => Place::Behind,
                (Place::Quoted, _) => {
                    self.spans |= *byte == b'\n';
                    Place::Quoted
                }
                (Place::Behind, b'"') => Place::Quoted,
                (_, b',') => {
                    self.cells += 1;
                    Place::Begin
                }
                (_, b'\n') => return Open::No,
                (Place::Begin, b'"') => {
                    (self.opened, self.spans) = (self.cells, false);
                    Place::Quoted
                }
                (Place::Behind, b'\r') => Place::Behind,
                (Place::Behind, _) if self.spans => return Open::Wrong,
                _ => Place::Plain,
            };
        }
        Open::Yes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passed(text: &str) -> io::Result<String> {
        let mut out = String::new();
        Records::new(text.as_bytes()).read_to_string(&mut out)?;
        Ok(out)
    }

    /// The rows as a reader of CSV sees them.
    fn rows(text: &str) -> Vec<Vec<String>> {
        let passed = passed(text).unwrap();
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .has_headers(false)
            .from_reader(passed.as_bytes());
        let rows = reader.records().map(Result::unwrap);
        rows.map(|row| row.iter().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn a_row_of_several_lines_is_one_row() {
        let text = "id,note,x\r\na,\"one\r\n\r\ntwo, \"\"three\"\"\",1\r\nb,5\" pipe,2\n\nc,,3";
        assert_eq!(
            rows(text),
            [
                vec!["id", "note", "x"],
                vec!["a", "one\r\n\r\ntwo, \"three\"", "1"],
                vec!["b", "5\" pipe", "2"],
                vec!["c", "", "3"],
            ]
        );
    }

    #[test]
    fn a_quote_that_is_not_closed_costs_its_line() {
        let behind = ["b,x,2", "c,\"quoted\",3", "d,\"two\nlines\",4", "e,z,5"];
        // Nothing closes it; a quote behind seems to, in a cell of its own or at the end of a plain one.
        for behind in [
            &behind[..],
            &behind[..1],
            &behind[3..],
            &["b,6\",2", "c,z,3"],
            &["b,x,2", "c,6\",3", "d,w,4"],
            &[],
        ] {
            let text = format!("id,note,x\n0,y,0\na,\"open,1\n{}", behind.join("\n"));
            let rows = rows(&text);
            let bad = &rows[2];
            assert!(
                bad.len() == 1 && bad[0].starts_with("line 3: the quote that begins cell 2 is not closed"),
                "{rows:?}"
            );
            assert!(bad[0].ends_with("The line: a,\"open,1"), "{bad:?}");
            let after: Vec<String> = rows[3..].iter().map(|row| row[0].clone()).collect();
            let expected: Vec<String> = behind.iter().map(|row| row[..1].to_owned()).collect();
            assert_eq!(after, expected);
        }
        assert_eq!(rows("only\n\"open\nx\n")[1].len(), 2, "no row of that table");
    }

    #[test]
    fn a_header_with_an_open_quote_is_an_error() {
        let said = passed("id,\"note,x\na,b,c\n").unwrap_err().to_string();
        assert!(
            said.starts_with("line 1: the quote that begins cell 2 of the header"),
            "{said}"
        );
    }

    #[test]
    fn what_is_open_for_longer_than_a_record_may_be_is_not_closed() {
        let lines = "b,c\n".repeat(LARGEST_PAYLOAD / 4);
        let text = format!("id,x\na,\"open\n{lines}z,\"\n");
        let rows = rows(&text);
        assert_eq!(rows.len(), 2 + LARGEST_PAYLOAD / 4 + 1);
        assert!(rows[1][0].starts_with("line 2: "));
    }

    proptest! {
        /// What is written as CSV should be comes back as it was.
        #[test]
        fn proper_csv_passes_unchanged(table in proptest::collection::vec(proptest::collection::vec("[ab\", ]{0,5}|[ab\"\n\r ]{0,5}", 3), 1..12)) {
            let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
            writer.write_record(["p", "q", "r"]).unwrap();
            for row in &table {
                writer.write_record(row).unwrap();
            }
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            let mut plain = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
            let expected: Vec<Vec<String>> =
                plain.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
            prop_assert_eq!(rows(&text), expected);
        }

        /// However broken it is, nothing is lost: every line is in a row, or in one that says what is wrong.
        #[test]
        fn every_line_is_in_some_row(lines in proptest::collection::vec("[a-c]{1,3},[\"x,]{0,4},[\"y]{0,3}", 1..15)) {
            let text = format!("p,q,r\n{}\n", lines.join("\n"));
            let passed = passed(&text).unwrap();
            for line in &lines {
                prop_assert!(passed.contains(line.as_str()) || passed.contains(&line.replace('"', "\"\"")), "{} in {}", line, passed);
            }
        }
    }
}
