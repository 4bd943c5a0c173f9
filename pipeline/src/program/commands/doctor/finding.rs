//! What was found, and how it is told.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use crate::program::cli::EXIT_DIFFERS;
use crate::program::escape;
use crate::program::terminal::{say, say_in_colour};

/// How one check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Ok,
    /// A job starts, but someone should know.
    Warn,
    /// It must be mended.
    Fail,
    /// It cannot be told, or not without changing something.
    Skipped,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
        }
    }

    const fn style(self) -> Style {
        match self {
            Self::Ok => AnsiColor::Green.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default(),
            Self::Fail => AnsiColor::Red.on_default().bold(),
            Self::Skipped => Style::new().dimmed(),
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it came out.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do, where there is something.
    pub mend: Option<String>,
}

/// All of them, in the order in which they were looked at.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Notes that something is as it should be.
    pub fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.note(check, State::Ok, found.into(), None);
    }

    /// Notes what someone should know.
    pub fn warn(&mut self, check: &'static str, found: impl Into<String>, mend: impl Into<String>) {
        self.note(check, State::Warn, found.into(), Some(mend.into()));
    }

    /// Notes what must be mended.
    pub fn fail(&mut self, check: &'static str, found: impl Into<String>, mend: impl Into<String>) {
        self.note(check, State::Fail, found.into(), Some(mend.into()));
    }

    /// Notes what cannot be told, and why.
    pub fn skip(&mut self, check: &'static str, why: impl Into<String>) {
        self.note(check, State::Skipped, why.into(), None);
    }

    /// What is told may quote what others wrote, and URLs with passwords.
    fn note(&mut self, check: &'static str, state: State, found: String, mend: Option<String>) {
        self.0.push(Finding {
            check,
            state,
            found: escape::said(&found).into_owned(),
            mend: mend.map(|mend| escape::said(&mend).into_owned()),
        });
    }

    /// Those that were noted.
    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    fn count(&self, state: State) -> usize {
        self.0.iter().filter(|finding| finding.state == state).count()
    }

    /// 0, or that of what must be mended.
    pub fn code(&self) -> ExitCode {
        if self.count(State::Fail) > 0 {
            ExitCode::from(EXIT_DIFFERS)
        } else {
            ExitCode::SUCCESS
        }
    }

    /// As one object for machines.
    pub fn as_json(&self) -> Value {
        let checks = self.0.iter().map(|finding| {
            let Finding {
                check,
                state,
                found,
                mend,
            } = finding;
            json!({ "check": check, "state": state.name(), "found": found, "mend": mend })
        });
        let checks: Vec<Value> = checks.collect();
        json!({ "ok": self.count(State::Fail) == 0, "checks": checks })
    }

    /// Prints them: a line each, what to do below it, and a sum.
    pub fn print(&self, as_json: bool) {
        if as_json {
            say(self.as_json());
            return;
        }
        for finding in &self.0 {
            let (style, name) = (finding.state.style(), finding.state.name());
            say_in_colour(format_args!(
                "{style}{name:7}{style:#} {}: {}",
                finding.check, finding.found
            ));
            if let Some(mend) = &finding.mend {
                say_in_colour(format_args!("        to do: {mend}"));
            }
        }
        let (fail, warn) = (self.count(State::Fail), self.count(State::Warn));
        let skipped = self.count(State::Skipped);
        say(match (fail, warn) {
            (0, 0) => format!("all is well, as far as it can be told ({skipped} skipped)"),
            (0, _) => format!("nothing must be mended; {warn} to know of ({skipped} skipped)"),
            (_, _) => format!("{fail} to mend; {warn} to know of ({skipped} skipped)"),
        });
    }
}

/// An error with its causes, as one text.
pub fn told(error: impl Into<anyhow::Error>) -> String {
    let error: anyhow::Error = error.into();
    format!("{error:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_must_be_mended_gives_another_code() {
        let code = |findings: &Findings| format!("{:?}", findings.code());
        let mut findings = Findings::default();
        findings.ok("a", "b");
        findings.warn("a", "b", "c");
        findings.skip("a", "b");
        assert_eq!(code(&findings), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(findings.as_json()["ok"], true);
        findings.fail("a", "s3://key:s3cr3t@bucket\u{1b}", "c");
        assert_eq!(code(&findings), format!("{:?}", ExitCode::from(3)));
        let last = findings.iter().last().unwrap();
        assert_eq!(last.found, "s3://***@bucket\\u001b");
    }
}
