//! The command line of `doctor`.

use clap::Args;

use super::ConfigArguments;

/// What the help says at its end.
pub const EXAMPLE: &str = "Examples:\n  riskflow doctor -c /etc/riskflow/riskflow.toml\n  \
     runuser -u riskflow -- riskflow doctor --json | jq '.checks[] | select(.state == \"fail\")'";

/// How to look.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// How many datastreams there will be, for the check of memory; those that `base.datastream` has by default.
    #[arg(long, value_name = "N")]
    pub datastreams: Option<u64>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}
