//! `riskflow completions` and `riskflow man`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::generate;
use clap_mangen::Man;

use crate::program::cli::{Arguments, CompletionsArguments, ManArguments};
use crate::program::terminal::say;

/// The program's name, as shells and pages know it.
const NAME: &str = "riskflow";

/// Prints what a shell completes by.
pub fn completions(arguments: &CompletionsArguments) -> Result<ExitCode> {
    let mut text = Vec::new();
    generate(arguments.shell, &mut Arguments::command(), NAME, &mut text);
    print(text)
}

/// Prints the page of the program, or writes those of all commands.
pub fn man(arguments: &ManArguments) -> Result<ExitCode> {
    // Pages name the version alone: they are the same whatever the commit is called.
    let command = Arguments::command().long_version(env!("CARGO_PKG_VERSION"));
    if let Some(folder) = &arguments.out {
        std::fs::create_dir_all(folder).with_context(|| format!("could not create `{}`", folder.display()))?;
        clap_mangen::generate_to(command, folder)
            .with_context(|| format!("could not write into `{}`", folder.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = Vec::new();
    Man::new(command).render(&mut text)?;
    print(text)
}

fn print(text: Vec<u8>) -> Result<ExitCode> {
    let text = String::from_utf8(text).context("the text is no UTF-8")?;
    say(text.trim_end());
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;
    use clap_complete::Shell;

    use super::*;

    #[test]
    fn every_shell_and_every_command_has_its_text() {
        for shell in Shell::value_variants() {
            let mut text = Vec::new();
            generate(*shell, &mut Arguments::command(), NAME, &mut text);
            let text = String::from_utf8(text).unwrap();
            for word in ["doctor", "checkpoint"] {
                assert!(text.contains(word), "{shell}: {word}");
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let out = Some(folder.path().join("man1"));
        man(&ManArguments { out }).unwrap();
        let page = |name: &str| std::fs::read_to_string(folder.path().join("man1").join(name)).unwrap();
        for command in Arguments::command().get_subcommands() {
            let text = page(&format!("riskflow-{}.1", command.get_name()));
            assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{text}");
        }
        let main = page("riskflow.1");
        for part in ["riskflow\\-doctor(1)", env!("CARGO_PKG_VERSION"), "Exit codes"] {
            assert!(main.contains(part), "{part} is not in {main}");
        }
        assert!(!main.contains("timely"), "{main}");
        assert!(page("riskflow-rules-load.1").contains("replace"));
    }
}
