//! Asks a running job over its HTTP: one request a connection, JSON for an answer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1::handshake;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
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

/// So long an answer may take: longer than a server lets one wait.
const PATIENCE: Duration = Duration::from_secs(40);

/// An answer has at most so many bytes.
const LARGEST: usize = 1 << 20;

/// A job's HTTP, and a token for it.
pub struct Client {
    host: String,
    port: u16,
    /// What the `Host` of requests is.
    authority: HeaderValue,
    /// `Bearer` and the token.
    bearer: HeaderValue,
    tls: Option<TlsConnector>,
    runtime: Runtime,
}

/// What a job answers.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body; null where it is no JSON.
    pub body: Value,
}

impl Answer {
    /// What the job says is wrong, or the status where it says nothing.
    pub fn error(&self) -> String {
        let said = self.body["error"].as_str();
        said.map_or_else(|| format!("it answers {}", self.status), str::to_owned)
    }
}

impl Client {
    /// For `http://HOST:PORT` or `https://HOST:PORT`; with HTTPS the job must show this very certificate.
    ///
    /// # Errors
    ///
    /// [`Usage`] where the URL is none, the token no text of a header, or no certificate is given with HTTPS.
    pub fn new(url: &str, token: &str, certificate: Option<&Path>) -> Result<Self> {
        let wrong = |why: &str| Usage(format!("`{url}` {why}; give a URL such as `http://127.0.0.1:9464`"));
        let uri: Uri = url.trim_end_matches('/').parse().map_err(|_| wrong("is no URL"))?;
        let (is_https, default) = match uri.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            _ => return Err(wrong("is neither `http://…` nor `https://…`").into()),
        };
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(wrong("says more than where it is").into());
        }
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| Usage("the token has a character that no header may have".to_owned()))?;
        bearer.set_sensitive(true);
        let tls = is_https.then(|| connector(certificate)).transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(default),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| wrong("names no host"))?,
            bearer,
            tls,
            runtime,
        })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    ///
    /// When nobody answers, or not in time.
    pub fn send(&self, method: Method, path: &str) -> Result<Answer> {
        let about = || format!("could not ask the job at {}:{}", self.host, self.port);
        let sent = self.runtime.block_on(async {
            // The time-out needs the runtime around it.
            tokio::time::timeout(PATIENCE, self.ask(method, path)).await
        });
        let answer = match sent {
            Ok(answer) => answer,
            Err(_) => Err(anyhow!("no answer within {PATIENCE:?}")),
        };
        answer.with_context(about)
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.authority.clone())
            .header(AUTHORIZATION, self.bearer.clone())
            .body(Empty::<Bytes>::new())?;
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        match &self.tls {
            None => exchange(stream, request).await,
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone()).context("the host is no name")?;
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
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    let body = body.map_err(|error| anyhow!("the answer did not come whole: {error}"))?;
    carried.abort();
    Ok(Answer {
        status,
        body: serde_json::from_slice(&body.to_bytes()).unwrap_or_default(),
    })
}

/// TLS with whoever shows one of the certificates in a file.
fn connector(file: Option<&Path>) -> Result<TlsConnector> {
    let Some(file) = file else {
        let says = "the job serves HTTPS: give the certificate that it must show (`--certificate FILE`)";
        return Err(Usage(says.to_owned()).into());
    };
    let config = trust::only(trust::certificates(file)?)?;
    Ok(Arc::new(config).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_a_job_is_and_nothing_else() {
        for (url, host, port) in [
            ("http://127.0.0.1:9464", "127.0.0.1", 9464),
            ("http://[::1]:9464/", "::1", 9464),
            ("http://riskflow.local", "riskflow.local", 80),
        ] {
            let client = Client::new(url, "secret", None).unwrap();
            assert_eq!((&*client.host, client.port), (host, port));
            assert!(client.tls.is_none());
        }
        for url in [
            "",
            "127.0.0.1:9464",
            "ftp://a",
            "http://a/x",
            "http://u:p@a",
            "http://a?x=1",
            "https://a",
        ] {
            let error = Client::new(url, "secret", None).err();
            assert!(error.is_some_and(|error| error.is::<Usage>()), "{url}");
        }
        assert!(Client::new("http://a", "two\nlines", None).is_err());
    }

    #[test]
    fn a_job_that_is_not_there_is_named() {
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let client = Client::new(&format!("http://{free}"), "secret", None).unwrap();
        let error = client.send(Method::GET, "/").unwrap_err();
        assert!(format!("{error:#}").contains(&free.to_string()), "{error:#}");
    }
}
