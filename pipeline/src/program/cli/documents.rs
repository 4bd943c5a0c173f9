//! The command lines of what is made of the command line itself: completions and man pages.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// What the help of `completions` says at its end.
pub const COMPLETIONS_EXAMPLE: &str =
    "Example: riskflow completions bash >~/.local/share/bash-completion/completions/riskflow";

/// What the help of `man` says at its end.
pub const MAN_EXAMPLE: &str =
    "Examples:\n  riskflow man | man -l -\n  riskflow man --out ~/.local/share/man/man1 && man riskflow-run";

/// For which shell.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell.
    pub shell: Shell,
}

/// Where to.
#[derive(Debug, Args)]
pub struct ManArguments {
    /// Write one page a command into this folder, as `riskflow-run.1`; it is made where it is not there.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
