//! The `Host` header: under which names it may be asked for. A web page that anybody in the house has open may ask any address
//! that its own name is made to stand for (DNS rebinding); by the name it is known.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::in_use::Swapped;

/// Under which names it may be asked for.
#[derive(Clone)]
pub(super) struct Hosts {
    /// Where it listens.
    listens: IpAddr,
    /// As configured, in lower case.
    names: Arc<[String]>,
}

impl Hosts {
    pub fn new(address: SocketAddr, names: &[String]) -> Self {
        Self {
            listens: address.ip(),
            names: names.into(),
        }
    }

    /// Loopback, where it listens, and the configured names. Where it listens on every address any address will do: only
    /// names can be made to stand for another.
    pub fn has(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        match address {
            Some(address) => address.is_loopback() || address == self.listens || self.listens.is_unspecified(),
            None => host == "localhost" || host.ends_with(".localhost") || self.names.contains(&host),
        }
    }
}

/// Refuses requests by another name.
pub(super) async fn check(State(in_use): State<Swapped>, request: Request, next: Next) -> Response {
    let refused = match host_of(request.uri(), request.headers()) {
        Ok(Some(host)) if in_use.load().hosts.has(host) => None,
        // HTTP/1.0 has no such header; web browsers do not speak it.
        Ok(None) if request.version() < Version::HTTP_11 => None,
        Ok(Some(host)) => Some((
            StatusCode::MISDIRECTED_REQUEST,
            format!(
                "`Host` is `{host}`; ask by a loopback name or the address it listens on, or add this name to `http.hosts`"
            ),
        )),
        Ok(None) => Some((StatusCode::BAD_REQUEST, "there is no `Host`; give one".to_owned())),
        Err(why) => Some((StatusCode::BAD_REQUEST, format!("`Host` {why}; give one host name"))),
    };
    match refused {
        None => next.run(request).await,
        Some((status, error)) => {
            tracing::debug!(%status, error, "refused by host");
            (status, Json(json!({ "error": error }))).into_response()
        }
    }
}

/// The host that a request names, without port: that of its absolute URI, else that of the header, which must be there once.
fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<Option<&'a str>, &'static str> {
    let mut values = headers.get_all(header::HOST).iter();
    let (header, None) = (values.next(), values.next()) else {
        return Err("is there more than once");
    };
    let text = match (uri.authority(), header) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(header)) => header.to_str().map_err(|_| "is not text")?,
        (None, None) => return Ok(None),
    };
    let (host, port) = match text.rfind(':') {
        // The colons of an IPv6 address stand in brackets.
        Some(colon) if !text[colon..].contains(']') => (&text[..colon], &text[colon + 1..]),
        _ => (text, ""),
    };
    if host.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("is no host name");
    }
    Ok(Some(host))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn allowed(listens: &str, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        let hosts = Hosts::new(listens.parse().unwrap(), &["risk.example".to_owned()]);
        let uri = Uri::from_static("/");
        matches!(host_of(&uri, &headers), Ok(Some(host)) if hosts.has(host))
    }

    #[test]
    fn loopback_names_the_own_address_and_configured_names_are_taken() {
        let local = "127.0.0.1:9464";
        for host in [
            "localhost",
            "LOCALHOST:9464",
            "localhost.:1",
            "a.localhost",
            "127.0.0.1",
            "127.9.9.9:80",
            "[::1]:9464",
            "[::1]",
            "Risk.Example",
            "risk.example:443",
        ] {
            assert!(allowed(local, host), "{host}");
        }
        for host in [
            "evil.example",
            "risk.example.evil.example",
            "notlocalhost",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[fe80::1]",
            "x",
            "",
            ":80",
            "localhost:80:80x",
            "localhost@evil.example",
        ] {
            assert!(!allowed(local, host), "{host}");
        }
        assert!(allowed("10.0.0.1:80", "10.0.0.1") && !allowed("10.0.0.1:80", "10.0.0.2"));
        assert!(allowed("0.0.0.0:80", "10.0.0.2:80") && allowed("[::]:80", "[fe80::1]:80"));
        assert!(!allowed("0.0.0.0:80", "evil.example"));
    }

    #[test]
    fn two_hosts_are_none_and_an_absolute_uri_stands_over_the_header() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("localhost"));
        let absolute = Uri::from_static("http://evil.example/api");
        assert_eq!(host_of(&absolute, &headers), Ok(Some("evil.example")));
        headers.append(header::HOST, HeaderValue::from_static("evil.example"));
        assert!(host_of(&Uri::from_static("/"), &headers).is_err());
    }
}
