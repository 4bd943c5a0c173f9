//! `riskflow health`: asks a running process how it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use axum::http::{Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use riskflow_config::HttpSettings;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::configuration;
use crate::program::cli::HealthArguments;
use crate::program::exit::Usage;
use crate::program::terminal::say;

/// How long an answer may take. Whoever runs it as a health check has a bound of its own.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest answer that is read, in bytes.
const LARGEST: usize = 64 << 10;

/// Asks, and prints the state; the exit code says whether it is live.
pub fn health(arguments: &HealthArguments) -> Result<ExitCode> {
    let place = Place::of(arguments)?;
    let told = ask(&place).with_context(|| format!("{} does not say how it is", place.url()));
    let told = match told {
        Ok(told) => told,
        Err(error) if arguments.json => {
            let reason = format!("{error:#}");
            say(json!({ "url": place.url(), "state": null, "live": false, "reason": reason }));
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error),
    };
    let Told { state, live, reason } = &told;
    if arguments.json {
        say(json!({ "url": place.url(), "state": state, "live": live, "reason": reason }));
    } else {
        let state = state.replace('_', " ");
        say(reason
            .as_ref()
            .map_or(state.clone(), |reason| format!("{state}: {reason}")));
    }
    Ok(if *live { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a process says of itself.
#[derive(Debug, Deserialize)]
struct Told {
    state: String,
    live: bool,
    reason: Option<String>,
}

/// Whom to ask.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    tls: bool,
    /// Host and port as in a URL.
    authority: String,
    /// The host, without brackets.
    host: String,
    port: u16,
    path: String,
}

impl Place {
    fn of(arguments: &HealthArguments) -> Result<Self> {
        if let Some(url) = &arguments.url {
            return Ok(Self::at(url)?);
        }
        let (_, settings) = configuration::load(&arguments.config)?;
        let off =
            || Usage("HTTP is off (`http.enabled = false`): nobody can be asked; name another with `--url`".to_owned());
        Ok(Self::served(&settings.http.ok_or_else(off)?)?)
    }

    /// Where a process with these settings is to be asked on its own machine.
    fn served(http: &HttpSettings) -> Result<Self, Usage> {
        let ip = match http.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let address = SocketAddr::new(ip, http.address.port());
        if address.port() == 0 {
            let why =
                "`http.listen` has port 0, which the system chooses anew at each start; name the place with `--url`";
            return Err(Usage(why.to_owned()));
        }
        Ok(Self {
            tls: http.tls.is_some(),
            authority: address.to_string(),
            host: ip.to_string(),
            port: address.port(),
            path: "/readyz".to_owned(),
        })
    }

    /// What a URL names; `/readyz` is added to its path.
    fn at(url: &str) -> Result<Self, Usage> {
        let wrong = || Usage(format!("`--url` is `{url}`; give one such as `http://10.0.0.7:9464`"));
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.ok_or_else(wrong)?;
        let path = uri.path().trim_end_matches('/');
        let path = path.strip_suffix("/readyz").unwrap_or(path);
        Ok(Self {
            tls,
            authority: authority.to_string(),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            path: format!("{path}/readyz"),
        })
    }

    fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority, self.path)
    }
}

fn ask(place: &Place) -> Result<Told> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Inside, where there is a clock.
    let asked = runtime.block_on(async { timeout(PATIENCE, over(place)).await });
    asked.map_err(|_| anyhow!("there was no answer within {PATIENCE:?}"))?
}

async fn over(place: &Place) -> Result<Told> {
    let stream = TcpStream::connect((place.host.as_str(), place.port)).await;
    let stream = stream.context("nobody answers there")?;
    if !place.tls {
        return get(stream, place).await;
    }
    let name = ServerName::try_from(place.host.clone()).context("its host is no name of a server")?;
    let connector = TlsConnector::from(Arc::new(tls()?));
    let stream = connector.connect(name, stream).await.context("it does not speak TLS")?;
    get(stream, place).await
}

async fn get<S>(stream: S, place: &Place) -> Result<Told>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It moves what is sent and received, and ends with the answer.
    tokio::spawn(connection);
    let request = Request::get(place.path.as_str())
        .header(header::HOST, place.authority.as_str())
        .header(header::ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await.context("it does not speak HTTP")?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LARGEST).collect().await;
    let body = body
        .map_err(|error| anyhow!("its answer does not come: {error}"))?
        .to_bytes();
    read(status, &body)
}

/// What an answer says.
fn read(status: StatusCode, body: &[u8]) -> Result<Told> {
    let says = || {
        let text = String::from_utf8_lossy(body);
        let text = text.trim();
        text[..text.floor_char_boundary(200)].to_owned()
    };
    if status != StatusCode::OK && status != StatusCode::SERVICE_UNAVAILABLE {
        bail!("its answer is {status}: {}", says());
    }
    serde_json::from_slice(body).with_context(|| format!("its answer is no state of a process: {}", says()))
}

/// TLS with any certificate. Nothing secret is sent, and what comes back is believed for what it is: a word about one's own process. So
/// a check goes on working while a certificate is renewed.
fn tls() -> Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .context("TLS has no protocol version")?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Any(provider)))
        .with_no_client_auth();
    Ok(config)
}

/// Takes any certificate, of which the other side must have the key.
#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_asked_at_readyz_and_what_is_none_is_refused() {
        let url = |text: &str| Place::at(text).map(|place| (place.url(), place.host, place.port));
        for (text, asked, host, port) in [
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
            assert_eq!(url(text).unwrap(), (asked.to_owned(), host.to_owned(), port), "{text}");
        }
        for text in ["", "a:1", "/readyz", "ftp://a", "http://u:p@a", "http://"] {
            assert!(url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_process_that_listens_everywhere_is_asked_on_loopback() {
        let url = |listens: &str| Place::served(&HttpSettings::at(listens.parse().unwrap())).map(|place| place.url());
        assert_eq!(url("127.0.0.1:9464").unwrap(), "http://127.0.0.1:9464/readyz");
        assert_eq!(url("0.0.0.0:9464").unwrap(), "http://127.0.0.1:9464/readyz");
        assert_eq!(url("[::]:1").unwrap(), "http://[::1]:1/readyz");
        assert_eq!(url("10.0.0.7:1").unwrap(), "http://10.0.0.7:1/readyz");
        assert!(url("127.0.0.1:0").is_err());
    }

    #[test]
    fn only_what_says_a_state_is_an_answer() {
        let live = read(StatusCode::OK, br#"{"state":"live","live":true,"reason":null}"#).unwrap();
        assert!(live.live && live.reason.is_none());
        let body = br#"{"state":"catching_up","live":false,"reason":"because"}"#;
        let not_yet = read(StatusCode::SERVICE_UNAVAILABLE, body).unwrap();
        assert_eq!((not_yet.state.as_str(), not_yet.live), ("catching_up", false));
        let said = |status, body| read(status, body).unwrap_err().to_string();
        assert!(said(StatusCode::MISDIRECTED_REQUEST, &b"`Host` is"[..]).contains("`Host` is"));
        assert!(said(StatusCode::OK, &b"<html>"[..]).contains("<html>"));
    }
}
