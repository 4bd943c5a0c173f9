//! What HTTP serves, where, and to whom.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use riskflow_model::RegionCode;

/// How many connections may be open at once where nothing is said.
pub(crate) const CONNECTIONS: usize = 256;

/// What HTTP serves, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// Where it listens.
    pub address: SocketAddr,
    /// Names that requests may ask for it by, in lower case; besides loopback names and where it listens.
    pub hosts: Vec<String>,
    /// How many connections may be open at once.
    pub max_connections: usize,
    /// With it, HTTPS only.
    pub tls: Option<TlsSettings>,
    /// Who may write actions; `None`: nobody, as if there were no such path.
    pub actions: Option<ActionSettings>,
    /// Who may read; `None`: whoever reaches it.
    pub reading: Option<ReadingSettings>,
    /// Whether operators of the dataflow are watched, and `/debug/dataflow` tells of them.
    pub dataflow: bool,
}

impl HttpSettings {
    /// Plain HTTP at this address, for reading.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            hosts: Vec::new(),
            max_connections: CONNECTIONS,
            tls: None,
            actions: None,
            reading: None,
            dataflow: false,
        }
    }
}

/// The files of TLS, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Who may write actions over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionSettings {
    /// The tokens; names and hashes differ.
    pub tokens: Vec<TokenSettings>,
}

/// Who may read over HTTP; whoever may write actions reads, too, within the region of its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadingSettings {
    /// The tokens; names and hashes differ, from each other and from those of actions.
    pub tokens: Vec<ReaderSettings>,
    /// Whether metrics need one, too.
    pub metrics: bool,
}

/// A bearer token that only reads.
#[derive(Clone, PartialEq, Eq)]
pub struct ReaderSettings {
    /// Whose it is.
    pub name: String,
    /// The hash of the token.
    pub sha256: [u8; 32],
    /// It sees what lies in this region and within; without one, everything.
    pub region: Option<RegionCode>,
}

/// Without the hash.
impl fmt::Debug for ReaderSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, region, .. } = self;
        write!(f, "token `{name}` (reads {region:?})")
    }
}

/// A bearer token, and what its holder may do.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// Whose it is.
    pub name: String,
    /// The hash of the token.
    pub sha256: [u8; 32],
    /// The role of its actions.
    pub role: String,
    /// The unit of its actions, if they are of one.
    pub unit: Option<String>,
    /// It acts on cases in this region and within.
    pub region: RegionCode,
    /// Whether it may archive with `override`.
    pub overrides: bool,
    /// Whether it may say which rule set is live.
    pub promote: bool,
    /// Whether it may ask for checkpoints.
    pub checkpoint: bool,
}

/// Without the hash.
impl fmt::Debug for TokenSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            role,
            unit,
            region,
            overrides,
            promote,
            checkpoint,
            ..
        } = self;
        write!(
            f,
            "token `{name}` ({role}, {unit:?}, {region}, override {overrides}, promote {promote}, checkpoint {checkpoint})"
        )
    }
}
