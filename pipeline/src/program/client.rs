//! Asks a running job over its HTTP: one request a connection. Everything in this program that asks does it by this.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1::handshake;
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use riskflow::runtime::http::trust;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use crate::program::exit::Usage;

/// An answer has at most so many bytes.
const LARGEST: usize = 1 << 20;

/// Where a job serves HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// HTTPS, else HTTP.
    pub is_https: bool,
    /// Host and port as in a URL.
    authority: String,
    /// The host, without brackets.
    host: String,
    port: u16,
    /// What stands before each path, without a `/` at its end: of what a proxy serves elsewhere than at its root.
    before: String,
}

impl Place {
    /// What a URL such as `https://HOST:PORT/PATH` names.
    ///
    /// # Errors
    ///
    /// [`Usage`] where it is no URL of HTTP, or says more than where it is.
    pub fn of(url: &str) -> Result<Self, Usage> {
        let wrong = |why: &str| Usage(format!("`{url}` {why}; give a URL such as `http://127.0.0.1:9464`"));
        let uri: Uri = url.parse().map_err(|_| wrong("is no URL"))?;
        let (is_https, default) = match uri.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            _ => return Err(wrong("is neither `http://…` nor `https://…`")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        if uri.query().is_some() || authority.as_str().contains('@') {
            return Err(wrong("says more than where it is"));
        }
        Ok(Self {
            is_https,
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(default),
            authority: authority.to_string(),
            before: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Where a job of this machine is asked that listens there.
    #[must_use]
    pub fn of_job(listens: SocketAddr, is_https: bool) -> Self {
        let ip = match listens.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        Self {
            is_https,
            authority: SocketAddr::new(ip, listens.port()).to_string(),
            host: ip.to_string(),
            port: listens.port(),
            before: String::new(),
        }
    }

    /// The same without this at the end of its path, for whoever gives the whole URL of what is asked.
    #[must_use]
    pub fn without(mut self, end: &str) -> Self {
        if let Some(before) = self.before.strip_suffix(end) {
            self.before = before.to_owned();
        }
        self
    }

    /// The URL of a path there.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://{}{}{path}", self.authority, self.before)
    }
}

/// Whom a client trusts, where it speaks HTTPS.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// Whoever shows one of the certificates in this file.
    Same(Option<&'a Path>),
    /// Anybody. Only where nothing secret is sent, and what comes back is a word about one's own process: so a check goes on working
    /// while a certificate is renewed.
    Anybody,
}

/// A job's HTTP.
pub struct Client {
    place: Place,
    /// What the `Host` of requests is.
    authority: HeaderValue,
    /// `Bearer` and the token, if there is one.
    bearer: Option<HeaderValue>,
    tls: Option<TlsConnector>,
    /// So long an answer may take.
    patience: Duration,
    runtime: Runtime,
}

/// What a job answers.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body as JSON; null where it is none.
    pub body: Value,
    /// The beginning of the body, for messages.
    pub text: String,
}

impl Answer {
    /// An answer with this body.
    #[must_use]
    pub fn of(status: StatusCode, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let text = text.trim();
        Self {
            status,
            body: serde_json::from_slice(body).unwrap_or_default(),
            text: text[..text.floor_char_boundary(200)].to_owned(),
        }
    }

    /// What the job says is wrong, or the status where it says nothing.
    pub fn error(&self) -> String {
        let said = self.body["error"].as_str();
        said.map_or_else(|| format!("it answers {}", self.status), str::to_owned)
    }
}

impl Client {
    /// For whoever serves there, with a token if there is one. `patience`: so long an answer may take.
    ///
    /// # Errors
    ///
    /// [`Usage`] where the token is no text of a header, or no certificate is given with HTTPS.
    pub fn new(place: Place, token: Option<&str>, trust: Trust<'_>, patience: Duration) -> Result<Self> {
        let authority = HeaderValue::from_str(&place.authority);
        let authority = authority.map_err(|_| Usage(format!("`{}` names no host", place.url(""))))?;
        let bearer = token.map(|token| {
            let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| Usage("the token has a character that no header may have".to_owned()))?;
            bearer.set_sensitive(true);
            Ok::<_, Usage>(bearer)
        });
        let tls = place.is_https.then(|| connector(trust)).transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self {
            place,
            authority,
            bearer: bearer.transpose()?,
            tls,
            patience,
            runtime,
        })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    ///
    /// When nobody answers, or not in time.
    pub fn send(&self, method: Method, path: &str) -> Result<Answer> {
        let sent = self.runtime.block_on(async {
            // The time-out needs the runtime around it.
            tokio::time::timeout(self.patience, self.ask(method, path)).await
        });
        let answer = match sent {
            Ok(answer) => answer,
            Err(_) => Err(anyhow!("there was no answer within {:?}", self.patience)),
        };
        answer.with_context(|| format!("{} does not answer", self.place.url(path)))
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.place.before))
            .header(HOST, self.authority.clone())
            .header(ACCEPT, "application/json");
        if let Some(bearer) = &self.bearer {
            request = request.header(AUTHORIZATION, bearer.clone());
        }
        let request = request.body(Empty::<Bytes>::new())?;
        let stream = TcpStream::connect((self.place.host.as_str(), self.place.port)).await;
        let stream = stream.context("nobody answers there")?;
        match &self.tls {
            None => exchange(stream, request).await,
            Some(tls) => {
                let name = ServerName::try_from(self.place.host.clone()).context("its host is no name of a server")?;
                let stream = tls.connect(name, stream).await.context("no TLS with it")?;
                exchange(stream, request).await
            }
        }
    }
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    // It carries the request; an error of it is that of the answer.
    let carried = tokio::spawn(connection);
    let response = sender.send_request(request).await.context("it does not speak HTTP")?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    let body = body.map_err(|error| anyhow!("the answer did not come whole: {error}"))?;
    carried.abort();
    Ok(Answer::of(status, &body.to_bytes()))
}

/// TLS with whoever is trusted.
fn connector(trust: Trust<'_>) -> Result<TlsConnector> {
    let known = match trust {
        Trust::Anybody => None,
        Trust::Same(Some(file)) => Some(trust::certificates(file)?),
        Trust::Same(None) => {
            let says = "the job serves HTTPS: give the certificate that it must show (`--certificate FILE`)";
            return Err(Usage(says.to_owned()).into());
        }
    };
    let config = known.map_or_else(trust::anybody, trust::only)?;
    Ok(Arc::new(config).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Option<(String, String, u16)> {
        let place = Place::of(url).ok()?.without("/readyz");
        Some((place.url("/readyz"), place.host, place.port))
    }

    #[test]
    fn a_url_says_where_a_job_is_and_nothing_else() {
        for (url, asked, host, port) in [
            ("http://a:1", "http://a:1/readyz", "a", 1),
            ("http://a", "http://a/readyz", "a", 80),
            ("https://a/", "https://a/readyz", "a", 443),
            ("http://[::1]:9464/readyz", "http://[::1]:9464/readyz", "::1", 9464),
            (
                "https://a.example/risk/",
                "https://a.example/risk/readyz",
                "a.example",
                443,
            ),
        ] {
            let expected = (asked.to_owned(), host.to_owned(), port);
            assert_eq!(place(url), Some(expected), "{url}");
        }
        for url in [
            "",
            "a:1",
            "127.0.0.1:9464",
            "/readyz",
            "ftp://a",
            "http://u:p@a",
            "http://a?x=1",
            "http://",
        ] {
            assert_eq!(place(url), None, "{url}");
        }
    }

    #[test]
    fn a_job_that_listens_everywhere_is_asked_on_loopback() {
        let url = |listens: &str, tls| Place::of_job(listens.parse().unwrap(), tls).url("/readyz");
        assert_eq!(url("127.0.0.1:9464", false), "http://127.0.0.1:9464/readyz");
        assert_eq!(url("0.0.0.0:9464", true), "https://127.0.0.1:9464/readyz");
        assert_eq!(url("[::]:1", false), "http://[::1]:1/readyz");
        assert_eq!(url("10.0.0.7:1", false), "http://10.0.0.7:1/readyz");
    }

    #[test]
    fn a_token_is_a_text_of_a_header_and_https_wants_a_certificate_or_trusts_anybody() {
        let client = |url: &str, token: &str, trust: Trust<'_>| {
            let client = Client::new(Place::of(url).unwrap(), Some(token), trust, Duration::from_secs(1));
            client
                .map(|client| client.tls.is_some())
                .map_err(|error| error.is::<Usage>())
        };
        assert_eq!(client("http://a", "secret", Trust::Same(None)), Ok(false));
        assert_eq!(client("http://a", "two\nlines", Trust::Same(None)), Err(true));
        assert_eq!(client("https://a", "secret", Trust::Same(None)), Err(true));
        assert_eq!(client("https://a", "secret", Trust::Anybody), Ok(true));
    }

    #[test]
    fn a_job_that_is_not_there_is_named() {
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let place = Place::of_job(free, false);
        let client = Client::new(place, None, Trust::Same(None), Duration::from_secs(10)).unwrap();
        let error = client.send(Method::GET, "/").unwrap_err();
        let said = format!("{error:#}");
        assert!(
            said.contains(&free.to_string()) && said.contains("nobody answers there"),
            "{said}"
        );
    }
}
