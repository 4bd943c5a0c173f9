//! What became of tests, for people and for machines.

use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use super::difference::{Line, Side};
use super::document::Wrong;
use super::run::Outcome;
use crate::program::escape;
use crate::program::terminal::{say, say_in_colour, tell};

const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default();
const DIM: Style = Style::new().dimmed();

/// A test that ran.
pub struct Ran {
    pub name: String,
    /// The line on which it begins.
    pub line: usize,
    pub outcome: Outcome,
}

impl Ran {
    pub const fn passed(&self) -> bool {
        self.outcome.failures.is_empty()
    }
}

/// The tests of a file that ran.
pub struct FileReport {
    pub file: PathBuf,
    pub tests: Vec<Ran>,
}

/// How many tests there are of how many files, how many of them passed, and how many failed.
fn counts(files: &[FileReport]) -> [usize; 4] {
    let passed = |report: &FileReport| report.tests.iter().filter(|test| test.passed()).count();
    let all = files.iter().map(|report| report.tests.len()).sum();
    let passed = files.iter().map(passed).sum();
    [all, files.len(), passed, all - passed]
}

/// One file as its tests have run.
pub fn show_file(report: &FileReport) {
    say(report.file.display());
    for test in &report.tests {
        let name = escape::line(&test.name);
        if test.passed() {
            say_in_colour(format_args!("  {GREEN}ok{GREEN:#}      {name}"));
        } else {
            say_in_colour(format_args!(
                "  {RED}FAILED{RED:#}  {name} {DIM}(line {}){DIM:#}",
                test.line
            ));
        }
        for failure in &test.outcome.failures {
            say_in_colour(format_args!(
                "            {}: {RED}- expected{RED:#}, {GREEN}+ got{GREEN:#}",
                escape::line(&failure.what)
            ));
            failure.lines.iter().for_each(show_line);
        }
        for note in &test.outcome.notes {
            say_in_colour(format_args!("          {DIM}note: {}{DIM:#}", escape::line(note)));
        }
    }
}

fn show_line(line: &Line) {
    let text = escape::line(&line.text);
    match line.side {
        Side::Both => say(format_args!("              {text}")),
        Side::Expected => say_in_colour(format_args!("            {RED}- {text}{RED:#}")),
        Side::Got => say_in_colour(format_args!("            {GREEN}+ {text}{GREEN:#}")),
    }
}

/// The last line: `14 tests in 3 files: 13 passed, 1 failed`.
pub fn summary(files: &[FileReport]) -> String {
    let [all, of, passed, failed] = counts(files);
    let many = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    format!(
        "{} in {}: {passed} passed, {failed} failed",
        many(all, "test"),
        many(of, "file")
    )
}

/// One JSON object of all that ran.
pub fn as_json(files: &[FileReport]) -> Value {
    let [all, _, passed, failed] = counts(files);
    let listed = files.iter().map(|report| {
        let tests = report.tests.iter().map(|test| {
            let failures = test.outcome.failures.iter();
            let failures = failures
                .map(|failure| json!({ "what": failure.what, "expected": failure.expected, "got": failure.got }));
            json!({
                "name": test.name, "line": test.line, "passed": test.passed(), "failures": failures.collect::<Vec<_>>(),
                "told": test.outcome.told, "notices": test.outcome.notices, "notes": test.outcome.notes,
            })
        });
        json!({ "file": report.file.display().to_string(), "tests": tests.collect::<Vec<_>>() })
    });
    json!({ "tests": all, "passed": passed, "failed": failed, "files": listed.collect::<Vec<_>>(), "problems": [] })
}

/// Files that are wrong: nothing is run.
pub fn complain(wrong: &[(PathBuf, Vec<Wrong>)], as_json: bool) {
    let all = || {
        let of_file = |(file, wrong): &(PathBuf, Vec<Wrong>)| -> Vec<(PathBuf, Wrong)> {
            wrong.iter().map(|wrong| (file.clone(), wrong.clone())).collect()
        };
        wrong.iter().flat_map(of_file)
    };
    if as_json {
        let problems = all().map(
            |(file, wrong)| json!({ "file": file.display().to_string(), "line": wrong.line, "problem": wrong.says }),
        );
        say(json!({ "problems": problems.collect::<Vec<_>>() }));
        return;
    }
    for (file, Wrong { line, says }) in all() {
        let place = format!("{}:{line}", file.display());
        tell(format_args!("error: {}: {}", escape::line(&place), escape::said(&says)));
    }
    let number = all().count();
    let problems = if number == 1 { "problem" } else { "problems" };
    tell(format_args!("{number} {problems}; nothing was run"));
}
