//! What a server goes by and another configuration may change while it runs: swapped whole, and looked up for each connection and
//! each request.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use arc_swap::ArcSwap;
use riskflow_config::{HttpSettings, TokenSettings};
use tokio_rustls::TlsAcceptor;

use super::access::Readers;
use super::authority::Authority;
use super::host::Hosts;
use super::pass_on::Way;
use super::places::Places;
use super::tls;

/// What a server goes by.
pub(super) struct InUse {
    /// Under which names it may be asked for.
    pub hosts: Hosts,
    /// Who may write actions.
    pub authority: Arc<Authority<TokenSettings>>,
    /// Who may read, where that needs a token.
    pub readers: Option<Arc<Readers>>,
    /// Certificate and key.
    pub tls: Option<TlsAcceptor>,
    /// How requests get to the process with the tables.
    pub way: Way,
}

/// What is swapped.
pub(super) type Swapped = Arc<ArcSwap<InUse>>;

impl InUse {
    /// That of a server that listens there.
    ///
    /// # Errors
    ///
    /// When certificate and key are of no use.
    pub fn of(settings: &HttpSettings, listens: SocketAddr) -> Result<Self> {
        let tokens = settings.actions.as_ref().map(|actions| actions.tokens.as_slice());
        Ok(Self {
            hosts: Hosts::new(listens, &settings.hosts),
            authority: Arc::new(Authority::new(tokens.unwrap_or_default(), |token| token.sha256)),
            readers: settings.reading.as_ref().map(Readers::of).map(Arc::new),
            tls: settings.tls.as_ref().map(tls::load).transpose()?,
            way: Way::new(settings.tls.as_ref())?,
        })
    }
}

/// A way to change a running server.
#[derive(Clone)]
pub struct Control {
    pub(super) listens: SocketAddr,
    pub(super) in_use: Swapped,
    pub(super) places: Arc<Places>,
}

/// What a server is to go by next.
pub struct Prepared {
    in_use: InUse,
    max_connections: usize,
}

impl Control {
    /// Makes all of it that may change ready, and changes nothing. Whether there is TLS, whether actions are taken, and whether reading
    /// needs a token stays as it was when the server began.
    ///
    /// # Errors
    ///
    /// When certificate and key are of no use.
    pub fn prepare(&self, settings: &HttpSettings) -> Result<Prepared> {
        let mut next = InUse::of(settings, self.listens)?;
        let now = self.in_use.load();
        if settings.actions.is_none() {
            next.authority = Arc::clone(&now.authority);
        }
        if now.readers.is_none() || next.readers.is_none() {
            next.readers.clone_from(&now.readers);
        }
        if now.tls.is_none() || next.tls.is_none() {
            next.tls.clone_from(&now.tls);
            next.way = now.way.clone();
        }
        Ok(Prepared {
            in_use: next,
            max_connections: settings.max_connections,
        })
    }

    /// Puts it in force, for all requests and connections that come from now on.
    pub fn apply(&self, next: Prepared) {
        self.in_use.store(Arc::new(next.in_use));
        self.places.resize(next.max_connections);
    }
}

#[cfg(test)]
mod tests {
    use riskflow_config::{ActionSettings, TlsSettings};

    use super::*;

    #[test]
    fn what_cannot_be_prepared_changes_nothing() {
        let settings = HttpSettings::at("127.0.0.1:0".parse().unwrap());
        let in_use = InUse::of(&settings, settings.address).unwrap();
        let control = Control {
            listens: settings.address,
            in_use: Arc::new(ArcSwap::from_pointee(in_use)),
            places: Places::new(settings.max_connections),
        };
        let missing = TlsSettings {
            certificate: "/nowhere/certificate.pem".into(),
            key: "/nowhere/key.pem".into(),
        };
        let bad = HttpSettings {
            tls: Some(missing),
            hosts: vec!["risk.example".to_owned()],
            ..settings.clone()
        };
        let before = control.in_use.load_full();
        assert!(control.prepare(&bad).is_err());
        assert!(Arc::ptr_eq(&before, &control.in_use.load_full()));
        let good = HttpSettings {
            hosts: vec!["risk.example".to_owned()],
            actions: Some(ActionSettings { tokens: Vec::new() }),
            ..settings
        };
        let Ok(prepared) = control.prepare(&good) else {
            panic!("it can be prepared")
        };
        assert!(Arc::ptr_eq(&before, &control.in_use.load_full()));
        control.apply(prepared);
        assert!(control.in_use.load().hosts.has("risk.example"));
    }
}
