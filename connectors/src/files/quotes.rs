//! Bytes of CSV with an eye on their quotes: one that is never closed swallows all rows behind it, and a reader of CSV does not tell.

use std::io::{self, Read};

/// Passes bytes on; where a quote is not closed, an error that names its line.
pub(super) struct Quotes<R> {
    from: R,
    state: State,
    line: u64,
    /// Where the field in quotes began.
    opened: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first byte of a field.
    Begin,
    /// In a field without quotes, in which they mean nothing.
    Plain,
    /// In a field in quotes.
    Quoted,
    /// Behind a quote in such a field: its end, or the first of two that stand for one.
    Behind,
}

impl<R: Read> Quotes<R> {
    pub const fn new(from: R) -> Self {
        Self {
            from,
            state: State::Begin,
            line: 1,
            opened: 1,
        }
    }

    fn step(&mut self, byte: u8) -> io::Result<()> {
        self.state = match (self.state, byte) {
            (State::Quoted, b'"') => State::Behind,
            (State::Quoted, _) | (State::Behind, b'"') => State::Quoted,
            (_, b',' | b'\n' | b'\r') => State::Begin,
            (State::Begin, b'"') => {
                self.opened = self.line;
                State::Quoted
            }
            // Over several lines it is the beginning of another field: rows between are gone.
            (State::Behind, _) if self.opened < self.line => return Err(self.open()),
            _ => State::Plain,
        };
        self.line += u64::from(byte == b'\n');
        Ok(())
    }

    fn open(&self) -> io::Error {
        let says = format!(
            "the quote in line {} is not closed, so the rows behind it cannot be told apart; close it, or write it twice where it \
             is part of a text",
            self.opened
        );
        io::Error::new(io::ErrorKind::InvalidData, says)
    }
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        if read == 0 && self.state == State::Quoted && !buffer.is_empty() {
            return Err(self.open());
        }
        buffer[..read].iter().try_for_each(|byte| self.step(*byte))?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let mut out = String::new();
        let read = Quotes::new(text.as_bytes()).read_to_string(&mut out);
        read.map(|_| out).map_err(|error| error.to_string())
    }

    #[test]
    fn a_quote_that_is_not_closed_is_told_with_its_line() {
        for text in [
            "a,b\n1,\"x\"\n2,\"y, z\"\n",
            "a,b\n1,5\" pipe\n",
            "a,b\n1,\"5\"\" pipe\"\n",
            "a,b\n1,\"over\ntwo lines\"\n",
            "a,b\n1,\"Tunnel D, 5\" step\"\n",
            "a,b\r\n1,\"\"\r\n\"x\",\"y\"",
            "",
        ] {
            assert_eq!(read(text).as_deref(), Ok(text));
        }
        for (text, line) in [
            ("a,b\n1,ok\n2,\"5 inch\n3,x\n4,y\n", 3),
            ("a,b\n2,\"5 inch\n3,x\n4,\"6 inch\n5,y\n", 2),
            ("\"a,b\n1,2\n", 1),
            ("a,b\n1,\"x\"\"\n", 2),
        ] {
            let says = read(text).unwrap_err();
            assert!(
                says.contains(&format!("in line {line} is not closed")),
                "{text}: {says}"
            );
        }
    }
}
