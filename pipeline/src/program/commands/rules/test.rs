//! `riskflow rules test`: tests of rules by their authors. docs/rule-tests.md says how they are written.

mod after;
mod difference;
mod document;
mod format;
mod matching;
mod prepare;
mod reading;
mod records;
mod report;
mod run;
mod told;
mod values;

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use riskflow::runtime::graph::Semantics;
use riskflow_model::schema;
use schemars::Schema;

use self::document::Wrong;
use self::prepare::Prepared;
use self::report::{FileReport, Ran};
use crate::program::cli::{ConfigArguments, EXIT_CONFIGURATION};
use crate::program::commands::check::files::unreadable;
use crate::program::commands::configuration;
use crate::program::exit::Usage;
use crate::program::terminal::say;

/// So long may a file of tests be.
const MOST_BYTES: u64 = 8 << 20;

/// The schema of a file of tests.
pub fn schema() -> Schema {
    schema::of::<format::File>()
}

/// Runs the tests of files, or of those in folders.
pub fn test(what: &[PathBuf], filter: Option<&str>, config: &ConfigArguments, as_json: bool) -> Result<ExitCode> {
    // What is wrong with the configuration itself is no mistake of a test.
    let plain = Semantics::of(&configuration::load(config)?.1);
    let tests_of = |file: &Path, text: &str| {
        let mut tests = prepare::tests(file, text, config, &plain)?;
        tests.retain(|test| filter.is_none_or(|filter| test.name.contains(filter)));
        Ok::<_, Vec<Wrong>>(tests)
    };
    let mut sound = Vec::new();
    let mut wrong: Vec<(PathBuf, Vec<Wrong>)> = Vec::new();
    for file in files(what)? {
        let text = match read(&file)? {
            Ok(text) => text,
            Err(too_long) => {
                wrong.push((file, vec![too_long]));
                continue;
            }
        };
        match tests_of(&file, &text) {
            Ok(tests) if tests.is_empty() => {}
            Ok(_) => sound.push((file, text)),
            Err(found) => wrong.push((file, found)),
        }
    }
    if !wrong.is_empty() {
        report::complain(&wrong, as_json);
        return Ok(ExitCode::from(EXIT_CONFIGURATION));
    }
    if let Some(filter) = filter
        && sound.is_empty()
    {
        let says = format!("no test has `{filter}` in its name; give `--filter` a part of one");
        return Err(Usage(says).into());
    }
    let mut reports = Vec::new();
    for (file, text) in sound {
        // Once more: the records of all files need not lie in memory together.
        let tests = match tests_of(&file, &text) {
            Ok(tests) => tests,
            Err(found) => {
                report::complain(&[(file, found)], as_json);
                return Ok(ExitCode::from(EXIT_CONFIGURATION));
            }
        };
        let report = run_file(file, tests)?;
        if !as_json {
            report::show_file(&report);
        }
        reports.push(report);
    }
    if as_json {
        say(report::as_json(&reports));
    } else {
        say(report::summary(&reports));
    }
    let passed = reports.iter().flat_map(|report| &report.tests).all(Ran::passed);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The text of a file; what is wrong where it is longer than a file may be. A device or a pipe has no end that its length tells.
fn read(file: &Path) -> Result<Result<String, Wrong>> {
    let mut bytes = Vec::new();
    let opened = fs::File::open(file);
    let read = opened.and_then(|opened| opened.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| unreadable(file, &error))?;
    if bytes.len() as u64 > MOST_BYTES {
        let says = format!(
            "the file is longer than {} MiB; give a shorter one, or divide it",
            MOST_BYTES >> 20
        );
        return Ok(Err(Wrong::new(1, says)));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| unreadable(file, &io::Error::new(io::ErrorKind::InvalidData, error)))?;
    Ok(Ok(text))
}

fn run_file(file: PathBuf, tests: Vec<Prepared>) -> Result<FileReport> {
    let mut ran = Vec::with_capacity(tests.len());
    for mut test in tests {
        let outcome = run::run(&mut test);
        let outcome = outcome.with_context(|| format!("{}: `{}` could not be run", file.display(), test.name))?;
        ran.push(Ran {
            name: test.name,
            line: test.line,
            outcome,
        });
    }
    Ok(FileReport { file, tests: ran })
}

/// The files that are given, and those of folders by their names.
fn files(what: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in what {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
        let mut found: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        found.retain(|file| file.is_file() && is_test(file));
        found.sort();
        if found.is_empty() {
            let says = format!(
                "`{}` has no files of tests; give a folder with files `*.yaml`, `*.yml` or `*.json`",
                path.display()
            );
            return Err(Usage(says).into());
        }
        files.append(&mut found);
    }
    Ok(files)
}

fn is_test(file: &Path) -> bool {
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    ["yaml", "yml", "json"].contains(&ending.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests;
