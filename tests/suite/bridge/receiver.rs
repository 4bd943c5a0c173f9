//! A receiver of webhooks that fails in every way that it is told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver as Channel, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A status, with a line of a header if that has any text.
    Status(u16, &'static str),
    /// No answer, for as long as the connection lasts.
    Silence,
    /// The connection ends without an answer.
    Reset,
    /// The answer comes when the test says so.
    When(Arc<Mutex<Channel<()>>>),
}

impl Reply {
    pub const OK: Self = Self::Status(204, "");

    /// An answer for which the test gives the word.
    pub fn held() -> (Sender<()>, Self) {
        let (word, when) = channel();
        (word, Self::When(Arc::new(Mutex::new(when))))
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub at: Instant,
    /// Lines, names in lower case.
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "`{name}` comes twice");
        first
    }

    pub fn id(&self) -> String {
        self.header("webhook-id").unwrap().to_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = || {
            let mut line = String::new();
            let read = reader.read_line(&mut line).ok()?;
            (read > 0).then(|| line.trim_end().to_owned())
        };
        assert!(line()?.starts_with("POST "));
        let mut headers = Vec::new();
        loop {
            let line = line()?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length")?;
        let mut body = vec![0; length.1.parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        Some(Self {
            at: Instant::now(),
            headers,
            body: String::from_utf8(body).unwrap(),
        })
    }
}

type Answers = Box<dyn Fn(usize, &Request) -> Reply + Send + Sync>;

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Request>>,
    more: Condvar,
}

/// Listens until the test ends.
pub struct Receiver {
    pub address: SocketAddr,
    seen: Arc<Seen>,
}

impl Receiver {
    /// Answers as it is told, by the number of the request, from 0.
    pub fn start(answers: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Seen> = Arc::default();
        let answers: Answers = Box::new(answers);
        let (noted, answers) = (Arc::clone(&seen), Arc::new(answers));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (noted, answers) = (Arc::clone(&noted), Arc::clone(&answers));
                std::thread::spawn(move || serve(stream, &noted, &answers));
            }
        });
        Self { address, seen }
    }

    /// Answers all of these in turn, and everything behind them well.
    pub fn in_turn(replies: Vec<Reply>) -> Self {
        Self::start(move |number, _| replies.get(number).cloned().unwrap_or(Reply::OK))
    }

    pub fn url(&self) -> String {
        format!("http://{}/notices?city=zhoushan", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().unwrap().clone()
    }

    /// Waits until there is enough, and gives all.
    pub fn until(&self, what: &str, enough: impl Fn(&[Request]) -> bool) -> Vec<Request> {
        let until = Instant::now() + Duration::from_secs(120);
        let mut requests = self.seen.requests.lock().unwrap();
        while !enough(&requests) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what}: only {requests:?}");
            requests = self.seen.more.wait_timeout(requests, left).unwrap().0;
        }
        requests.clone()
    }
}

/// One request a connection.
fn serve(mut stream: TcpStream, seen: &Seen, answers: &Answers) {
    let Some(request) = Request::read(&stream) else { return };
    let number = {
        let mut requests = seen.requests.lock().unwrap();
        requests.push(request.clone());
        requests.len() - 1
    };
    seen.more.notify_all();
    let (status, header) = match answers(number, &request) {
        Reply::Status(status, header) => (status, header),
        Reply::Reset => return,
        Reply::Silence => {
            // Until whoever asked has given up.
            let _ = stream.read(&mut [0]);
            return;
        }
        Reply::When(word) => {
            let _ = word.lock().unwrap().recv();
            (204, "")
        }
    };
    let header = if header.is_empty() {
        String::new()
    } else {
        format!("{header}\r\n")
    };
    let answer = format!("HTTP/1.1 {status} -\r\n{header}Content-Length: 0\r\nConnection: close\r\n\r\n");
    // Whoever asked may be dead by now.
    let _ = stream.write_all(answer.as_bytes());
}
