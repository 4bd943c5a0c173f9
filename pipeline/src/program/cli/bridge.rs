//! `riskflow bridge`.

use clap::Args;

use super::ConfigArguments;

/// What the help says at its end.
pub(super) const BRIDGE_EXAMPLE: &str = "Example, with `[bridge.webhook]` and `[bridge.alertmanager]` in the configuration:\n\n  \
     riskflow bridge --config /etc/riskflow/riskflow.toml\n  \
     riskflow health --url http://127.0.0.1:9465";

/// Where the bridge's configuration is.
#[derive(Debug, Args)]
pub struct BridgeArguments {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArguments,
}
