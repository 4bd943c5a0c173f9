//! Lines that a thread of their own reads, so that a poll never waits for a pipe.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;

use super::lines::{Line, Lines};

/// How many pieces may wait between the thread and the source.
const WAITING: usize = 8;

const PIECE_BYTES: usize = 256 << 10;

/// The thread's side: complete pieces of bytes, then an error or nothing.
pub(super) type Feed = SyncSender<io::Result<Vec<u8>>>;

/// Whether a line is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    Line,
    Nothing,
    End,
}

/// The source's side.
pub(super) struct Fed {
    pieces: Receiver<io::Result<Vec<u8>>>,
    lines: Lines,
}

impl Fed {
    /// Starts the thread. It ends with `work`, which ends when the source is dropped and it sends the next piece.
    pub fn start(name: &str, work: impl FnOnce(Feed) + Send + 'static) -> io::Result<Self> {
        let (feed, pieces) = sync_channel(WAITING);
        thread::Builder::new().name(name.to_owned()).spawn(move || work(feed))?;
        Ok(Self {
            pieces,
            lines: Lines::new(0, false),
        })
    }

    /// Gets the next line ready for [`Fed::head`]; waits for it if `waits`.
    pub fn prepare(&mut self, waits: bool) -> io::Result<Ready> {
        loop {
            if self.lines.head().is_some() {
                return Ok(Ready::Line);
            }
            if self.lines.has_ended() {
                return Ok(Ready::End);
            }
            let piece = if waits {
                self.pieces.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                self.pieces.try_recv()
            };
            match piece {
                Ok(piece) => self.lines.push(&piece?),
                Err(TryRecvError::Empty) => return Ok(Ready::Nothing),
                Err(TryRecvError::Disconnected) => self.lines.finish(),
            }
        }
    }

    pub fn head(&mut self) -> Option<Line<'_>> {
        self.lines.head()
    }

    pub fn advance(&mut self) {
        self.lines.advance();
    }
}

/// Passes on bytes as they come.
pub(super) fn feed_bytes(mut from: impl Read, feed: &Feed) {
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        let sent = match from.read(&mut piece) {
            Ok(0) => return,
            Ok(read) => {
                piece.truncate(read);
                feed.send(Ok(piece))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => feed.send(Err(error)),
        };
        // The source is gone: nobody wants the rest.
        if sent.is_err() {
            return;
        }
    }
}
