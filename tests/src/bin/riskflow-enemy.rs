//! A hostile client of HTTP, for the test `hostile`: `riskflow-enemy crowd|stall ADDRESS TOKEN`. It is a process of its own, for it takes more
//! files than a test may. It goes on until its standard input ends; before that it says, in a line of JSON, how many connections it tried.

use std::collections::VecDeque;
use std::io::{Error, Read as _, Result, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{Scope, park_timeout, scope};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// So many connections are opened that say nothing.
const IDLE: usize = 10_000;

/// On so many threads.
const THREADS: usize = 4;

/// So many read nothing of their answers: more than the server of the test has places.
const STALLED: usize = 80;

/// Between two things that one does.
const PAUSE: Duration = Duration::from_millis(100);

/// Nothing waits longer for the other side: it must not keep the enemy from going on.
const PATIENCE: Duration = Duration::from_millis(500);

struct Enemy {
    address: SocketAddr,
    token: String,
    over: AtomicBool,
    attempted: AtomicUsize,
    connected: AtomicUsize,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, address, token] = &arguments[..] else {
        return Err(Error::other("give `crowd` or `stall`, an address, and a token"));
    };
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let enemy = Enemy {
        address: address.parse().map_err(Error::other)?,
        token: token.clone(),
        over: AtomicBool::new(false),
        attempted: AtomicUsize::new(0),
        connected: AtomicUsize::new(0),
    };
    scope(|scope| {
        match kind.as_str() {
            "crowd" => enemy.crowd(scope),
            "stall" => drop(scope.spawn(|| enemy.stall())),
            _ => return Err(Error::other("there are `crowd` and `stall`")),
        }
        // Whoever started it says when it is enough.
        std::io::stdin().read_to_end(&mut Vec::new())?;
        enemy.over.store(true, Ordering::Release);
        Ok(())
    })
}

/// Whether the process may open no more files.
fn no_files(error: &Error) -> bool {
    error.raw_os_error() == Some(Errno::EMFILE as i32)
}

impl Enemy {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Acquire)
    }

    fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    fn crowd<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        for _ in 0..THREADS {
            scope.spawn(move || self.idle());
        }
        scope.spawn(move || self.trickle());
        scope.spawn(move || self.bodies());
        scope.spawn(move || self.noise());
        scope.spawn(move || self.half_closed());
        scope.spawn(move || self.pipelines());
        scope.spawn(move || self.deaf_listeners());
    }

    /// Connections that say nothing, as many at once as the system gives files for.
    fn idle(&self) {
        let mut held = VecDeque::new();
        for _ in 0..IDLE / THREADS {
            let mut stream = self.connect();
            if stream.as_ref().is_err_and(no_files) {
                held.drain(..held.len() / 2);
                stream = self.connect();
            }
            if let Ok(stream) = stream {
                self.connected.fetch_add(1, Ordering::AcqRel);
                held.push_back(stream);
            }
            self.attempted.fetch_add(1, Ordering::AcqRel);
            if !self.goes_on() {
                return;
            }
        }
        if self.attempted.load(Ordering::Acquire) == IDLE {
            let connected = self.connected.load(Ordering::Acquire);
            let _ = writeln!(std::io::stdout(), "{{\"attempted\":{IDLE},\"connected\":{connected}}}");
        }
        while self.goes_on() {
            park_timeout(PAUSE);
        }
    }

    /// Keeps so many connections: each begins with `first`, and says `then` again and again; what is ended begins anew.
    fn keep(&self, count: usize, first: &[u8], then: &[u8]) {
        let mut streams: Vec<Option<TcpStream>> = (0..count).map(|_| None).collect();
        while self.goes_on() {
            for place in &mut streams {
                let said = match place {
                    Some(stream) => stream.write_all(then),
                    None => self.connect().and_then(|mut stream| {
                        let said = stream.write_all(first);
                        *place = Some(stream);
                        said
                    }),
                };
                if said.is_err() {
                    *place = None;
                }
            }
            park_timeout(PAUSE);
        }
    }

    /// Headers that come a byte at a time.
    fn trickle(&self) {
        self.keep(40, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ", b"a");
    }

    /// Those that ask for changes and read none.
    fn deaf_listeners(&self) {
        self.keep(20, b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\r\n");
    }

    /// Answers that nobody reads, on more connections than there are places.
    fn stall(&self) {
        let asked = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20);
        self.keep(STALLED, &asked, b"\r\n");
    }

    /// Says something on a new connection, then one thing again and again, so many times or until the other side has enough.
    fn flood(&self, first: &[u8], then: &[u8], times: usize) {
        let Ok(mut stream) = self.connect() else { return };
        let mut said = stream.write_all(first);
        for _ in 0..times {
            if said.is_err() || !self.goes_on() {
                break;
            }
            said = stream.write_all(then);
        }
        // What it is told does not matter.
        let _ = stream.take(1_024).read_to_end(&mut Vec::new());
    }

    /// Bodies that do not end: announced or in chunks, with a token and without, and some that stop half-way.
    fn bodies(&self) {
        let post =
            "POST /api/v1/warnings/nobody/actions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        let bearer = format!("Authorization: Bearer {}\r\n", self.token);
        let chunk = format!("1000\r\n{}\r\n", "a".repeat(0x1000));
        while self.goes_on() {
            for token in ["", bearer.as_str()] {
                let chunked = format!("{post}{token}Transfer-Encoding: chunked\r\n\r\n");
                self.flood(chunked.as_bytes(), chunk.as_bytes(), 2_000);
                let announced = format!("{post}{token}Content-Length: 1000000000000\r\n\r\n");
                self.flood(announced.as_bytes(), chunk.as_bytes(), 2_000);
                let half = format!("{post}{token}Content-Length: 60000\r\n\r\n");
                self.flood(half.as_bytes(), b"a", 10);
            }
            let get = "GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
            self.flood(get.as_bytes(), chunk.as_bytes(), 2_000);
        }
    }

    /// Random bytes, lines without end, and headers without end.
    fn noise(&self) {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let line = format!("X-A: {}\r\n", "b".repeat(4_000));
        while self.goes_on() {
            let random: Vec<u8> = (0..1 << 14)
                .map(|_| {
                    // Xorshift, Marsaglia 2003: the same bytes each time.
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    (state >> 32) as u8
                })
                .collect();
            self.flood(&random, &random, 20);
            self.flood(b"GET /", &[b'a'; 4_096], 2_000);
            self.flood(b"GET / HTTP/1.1\r\nHost: localhost\r\n", line.as_bytes(), 2_000);
        }
    }

    /// Asks, says that it will say nothing more, and does not read either.
    fn half_closed(&self) {
        let mut held = VecDeque::new();
        while self.goes_on() {
            if let Ok(mut stream) = self.connect() {
                let asked = stream.write_all(b"GET /api/v1/assets HTTP/1.1\r\nHost: localhost\r\n\r\n");
                let _ = asked.and_then(|()| stream.shutdown(Shutdown::Write));
                held.push_back(stream);
            }
            if held.len() > 50 {
                held.pop_front();
            }
            park_timeout(PAUSE / 10);
        }
    }

    /// Many requests at once, of which it reads one answer's beginning.
    fn pipelines(&self) {
        let requests = b"GET /api/v1/warnings HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
        while self.goes_on() {
            self.flood(&requests, &requests, 20);
        }
    }
}
