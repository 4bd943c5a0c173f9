//! What can be done with checkpoints.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ConfigArguments;

/// What to do with checkpoints.
#[derive(Debug, Args)]
pub struct CheckpointArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: CheckpointCommand,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Print JSON, one object a line.
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do with checkpoints.
#[derive(Debug, Subcommand)]
pub enum CheckpointCommand {
    /// Print those that are there, the newest first, with their names. `unfinished` is one that is being written, or whose writer ended
    /// before it was whole: no start uses it.
    List,
    /// Ask a running job for a checkpoint now, and wait until it is whole; with a name it is kept until that is taken away.
    ///
    /// The job is asked over HTTP with a token that may ask for checkpoints (`checkpoint = true` in `[[http.actions.tokens]]`). Where one
    /// is under way already, this is it.
    #[command(after_help = TAKE_EXAMPLE)]
    Take(TakeArguments),
    /// Keep a checkpoint under a name: it is not deleted with older ones, and what a start from it needs is kept. The newest, if none
    /// is given.
    Pin {
        /// The name: a letter, then letters, digits, `.`, `_` or `-`, 64 at most.
        #[arg(value_name = "NAME")]
        name: String,
        /// The checkpoint: its epoch as `list` prints it, or another name of it.
        #[arg(value_name = "CHECKPOINT")]
        checkpoint: Option<String>,
    },
    /// Take a name away. The checkpoint goes when its turn comes, and what was kept for it.
    Unpin {
        /// The name.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Read every byte of all of them, or of one, and say which a start would take. Exit with code 3 if any is not what was written; one
    /// that is unfinished is none of these.
    Verify {
        /// The checkpoint: its name, or its epoch as `list` prints it.
        #[arg(value_name = "CHECKPOINT")]
        checkpoint: Option<String>,
    },
    /// Delete all but the newest, and those with a name. `out.progress` must reach back to the oldest that is left: it does for those
    /// that a job keeps by itself.
    Prune {
        /// How many to keep; `checkpoint.keep` by default.
        #[arg(long, value_name = "N")]
        keep: Option<usize>,
    },
    /// Make all of them belong to this job: after its log was rebuilt, or its Kafka cluster was replaced by one with the same
    /// records at the same offsets. Never for the checkpoints of another job.
    Adopt,
}

/// How to ask for a checkpoint.
#[derive(Debug, Args)]
pub struct TakeArguments {
    /// Keep it under this name, until `riskflow checkpoint unpin NAME`.
    #[arg(long, value_name = "NAME")]
    pub pin: Option<String>,
    /// Where the job serves HTTP, such as `http://127.0.0.1:9464`; by default where the configuration says. In a cluster
    /// any process may be asked.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The file with the token; by default it is in the variable `RISKFLOW_TOKEN`.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// With HTTPS: the certificate that the job must show, PEM; by default that of `http.tls.certificate`.
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// How long to wait at most, such as `10m`. What was asked for goes on all the same.
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub wait: String,
}

/// What the help of `checkpoint take` says at its end.
const TAKE_EXAMPLE: &str = "Before an upgrade:\n\n  \
     riskflow checkpoint take --pin before-upgrade --token-file /etc/riskflow/secrets/operator\n\n\
     Exit codes: 0 it is whole; 1 it failed, or the job does not answer; 2 the job refused, or wrong usage; 5 it is not whole in time \
     (`--wait`).";
