//! What `riskflow bridge` sends, where, and how.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::Secret;

/// What `riskflow bridge` sends, where, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeSettings {
    /// The folder in which it keeps how far it is.
    pub folder: PathBuf,
    /// Where it serves metrics and health; `None` for nowhere.
    pub address: Option<SocketAddr>,
    /// How long a request may take, and how soon it is tried again.
    pub sending: SendSettings,
    /// Takes each notice; `None`: there is none.
    pub webhook: Option<WebhookSettings>,
    /// Take an alert of each case that stands; `None`: there is none.
    pub alertmanager: Option<AlertmanagerSettings>,
}

/// How long a request may take, and how soon it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendSettings {
    /// From the connection to the end of the answer.
    pub timeout: Duration,
    /// From the first failure to the next attempt; twice as long after each further one.
    pub first: Duration,
    /// From one attempt to the next at most, unless the receiver asks for more.
    pub longest: Duration,
}

/// What takes each notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// Where they are posted.
    pub url: Endpoint,
    /// The keys that sign; at least one. With several a request has a signature of each.
    pub keys: Vec<SigningKey>,
    /// The header `Authorization`, if it has one.
    pub authorization: Option<Secret>,
    /// Where a bridge that never ran begins.
    pub begin: Begin,
}

/// What takes an alert of each case that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertmanagerSettings {
    /// Each gets all alerts, as all that belong together must; at least one.
    pub urls: Vec<Endpoint>,
    /// The header `Authorization`, if it has one.
    pub authorization: Option<Secret>,
    /// So often what stands is posted again.
    pub repeat: Duration,
    /// So long an alert stands though nothing is heard of the bridge.
    pub hold: Duration,
    /// What `generatorURL` begins with: where people reach riskflow's HTTP.
    pub link: Option<Endpoint>,
}

/// Where a bridge that never ran begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Begin {
    /// Behind the last notice that is there: nobody is told of what is old.
    End,
    /// With the first notice that is there.
    Beginning,
}

/// A URL that may hold a secret: its path is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(pub(crate) Url);

impl Endpoint {
    /// The whole URL, for whoever asks it. It must not go into messages.
    #[must_use]
    pub fn reveal(&self) -> &Url {
        &self.0
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn shown(&self) -> String {
        self.0.origin().ascii_serialization()
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

/// A key of HMAC-SHA256, 24 to 64 bytes. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(pub(crate) Vec<u8>);

impl SigningKey {
    /// The bytes, for whoever signs.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}
