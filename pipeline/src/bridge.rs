//! The bridge: tells others, over HTTP, what stands in outputs of a job. It is a process of its own, and reads committed records only:
//! whatever happens to it or to a receiver, no job notices.
//!
//! ```text
//!                  ┌► lane webhook:      each notice, in order ──────────► POST, signed
//!   out.notice ────┤
//!   out.case.state ┴► lane alertmanager: what stands, again and again ──► POST /api/v2/alerts
//! ```
//!
//! Each receiver has a *lane*: a thread that reads for itself, sends, and keeps how far it is in a file of its own. So one receiver that
//! is down holds up no other.
//!
//! # What is promised
//!
//! * **At least once.** How far a lane is is written after what it read was delivered, or together with what is still to be. Whatever kills the bridge, the next one sends again
//!   what was not written down, with the same identifier (`webhook-id`): a receiver that goes by that sees each notice once.
//! * **In order** of each partition, and so of each case. A request that fails is tried again for ever, and all behind it waits.
//! * **Nothing vanishes.** What a receiver refuses for good stands in a file; what retention took away unread is counted.
//! * **No exercise leaves.** Records of a replay are passed over, its log is refused.
//! * **Bounded memory.** Nothing further is read while a batch is under way. Open alerts are as many as open cases.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use riskflow_config::{BridgeSettings, Input, TopicSettings};
use tokio::sync::watch;

mod metrics;
mod memory;
mod feed;
mod sender;
mod signature;
mod refused;
mod webhook;
mod alerts;
mod alertmanager;
mod lane;
mod http;

pub use http::Server;
pub use lane::{Lanes, start};
pub use memory::{Folder, MemoryError};
pub use metrics::Metrics;

/// To whom the bridge tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// Whoever takes each notice.
    Webhook,
    /// Whoever takes an alert of each case that stands.
    Alertmanager,
}

impl Receiver {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Webhook, Self::Alertmanager];

    /// A label of metrics, and how its files are named.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Alertmanager => "alertmanager",
        }
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What all lanes have in common.
#[derive(Clone)]
pub struct Common {
    /// Where outputs stand.
    pub place: Input,
    /// How they are called there.
    pub topics: TopicSettings,
    /// What is sent, where and how: what a reload put there last.
    pub settings: Arc<ArcSwap<BridgeSettings>>,
    /// Where each lane keeps how far it is.
    pub folder: Arc<Folder>,
    /// What is told of all that.
    pub metrics: Arc<Metrics>,
    /// How often settings were put there.
    pub reloads: watch::Receiver<u64>,
    /// Whether the bridge is told to stop.
    pub stop: watch::Receiver<bool>,
}

/// Waits so long, unless the bridge is told to stop: whether it goes on.
async fn pause(stop: &mut watch::Receiver<bool>, time: Duration) -> bool {
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => false,
        () = tokio::time::sleep(time) => true,
    }
}
