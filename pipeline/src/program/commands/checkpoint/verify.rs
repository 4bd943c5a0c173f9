//! `riskflow checkpoint verify`: whether checkpoints are what was written, and which one a start would go on from.

use std::process::ExitCode;

use anyhow::Result;
use riskflow_connectors::checkpoint::{CheckpointError, CheckpointStore, Listed};
use riskflow_model::Millis;
use serde_json::json;

use crate::program::cli::EXIT_DIFFERS;
use crate::program::terminal::{progress, say};

/// What was found, one by one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    sound: usize,
    unfinished: usize,
    unsound: usize,
    /// The newest that is sound.
    newest: Option<Millis>,
}

/// What one of them is.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Sound,
    /// It has no manifest.
    Unfinished,
    /// It is not what was written, or of another format; and why.
    Unsound(String),
}

impl State {
    fn of(verified: Result<(), CheckpointError>) -> Self {
        match verified {
            Ok(()) => Self::Sound,
            Err(CheckpointError::Unfinished { .. }) => Self::Unfinished,
            Err(error) => Self::Unsound(match std::error::Error::source(&error) {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            }),
        }
    }

    /// For machines.
    fn name(&self) -> &str {
        match self {
            Self::Sound => "sound",
            Self::Unfinished => "unfinished",
            Self::Unsound(why) => why,
        }
    }

    /// For people.
    fn text(&self) -> &str {
        match self {
            Self::Sound => "sound",
            Self::Unfinished => {
                "unfinished: it is being written, or whoever wrote it ended before it was whole; no start uses it, and it is deleted \
                 with older ones"
            }
            Self::Unsound(why) => why,
        }
    }
}

impl Found {
    /// The newest come first.
    fn add(&mut self, epoch: Millis, state: &State) {
        match state {
            State::Sound => {
                self.sound += 1;
                self.newest = self.newest.max(Some(epoch));
            }
            State::Unfinished => self.unfinished += 1,
            State::Unsound(_) => self.unsound += 1,
        }
    }

    /// Which one a start would take.
    fn next(&self) -> String {
        match self.newest {
            Some(epoch) => format!("a start goes on from {epoch}, as far as `out.progress` reaches back to it"),
            None => "a start finds none that it can go on from, and reads the input from its beginning".to_owned(),
        }
    }

    /// All of it in one line.
    fn summary(&self) -> String {
        let Self {
            sound,
            unfinished,
            unsound,
            ..
        } = self;
        format!(
            "{sound} sound, {unfinished} unfinished, {unsound} unsound; {}",
            self.next()
        )
    }
}

/// Reads every byte of every checkpoint and what stands beside them, or of the one that is named. Exit code 3 if any is not what was
/// written, or the one that is named is unfinished.
pub fn verify(store: &CheckpointStore, checkpoint: Option<&str>, as_json: bool) -> Result<ExitCode> {
    match checkpoint {
        Some(checkpoint) => verify_one(store, store.named(checkpoint)?, as_json),
        None => verify_all(store, as_json),
    }
}

fn verify_one(store: &CheckpointStore, epoch: Millis, as_json: bool) -> Result<ExitCode> {
    let verified = match store.sound(epoch) {
        Err(error @ CheckpointError::Absent { .. }) => return Err(error.into()),
        verified => verified.map(drop),
    };
    let state = State::of(verified);
    let mut found = Found::default();
    // Not read: which one a start would try first.
    for listed in store.list()?.iter().filter(|listed| listed.manifest.is_ok()) {
        found.add(listed.epoch, &State::Sound);
    }
    if as_json {
        say(json!({ "epoch": epoch, "state": state.name(), "next": found.newest }));
    } else {
        say(format_args!("{epoch}  {}", state.text()));
        if state != State::Sound {
            say(found.next());
        }
    }
    Ok(code(state == State::Sound))
}

fn verify_all(store: &CheckpointStore, as_json: bool) -> Result<ExitCode> {
    let listed = store.list()?;
    let bar = progress("verifying", listed.len() as u64);
    let mut found = Found::default();
    for Listed { epoch, manifest } in listed {
        let state = State::of(manifest.and_then(|manifest| store.verify(&manifest)));
        bar.inc(1);
        found.add(epoch, &state);
        if as_json {
            say(json!({ "epoch": epoch, "state": state.name() }));
        } else {
            say(format_args!("{epoch}  {}", state.text()));
        }
    }
    bar.finish_and_clear();
    for (name, verified) in store.verify_beside() {
        let state = State::of(verified);
        found.unsound += usize::from(state != State::Sound);
        if as_json {
            say(json!({ "beside": name, "state": state.name() }));
        } else {
            say(format_args!("{name}  {}", state.text()));
        }
    }
    if as_json {
        let Found {
            sound,
            unfinished,
            unsound,
            newest,
        } = found;
        say(json!({ "sound": sound, "unfinished": unfinished, "unsound": unsound, "next": newest }));
    } else {
        say(found.summary());
    }
    Ok(code(found.unsound == 0))
}

fn code(is_well: bool) -> ExitCode {
    if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_DIFFERS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_unfinished_is_said_to_be_and_is_not_unsound() {
        let mut found = Found::default();
        let unfinished = State::of(Err(CheckpointError::Unfinished { epoch: Millis(30) }));
        assert!(unfinished.text().contains("no start uses it"));
        assert!(found.next().contains("from its beginning"));
        found.add(Millis(30), &unfinished);
        found.add(Millis(20), &State::of(Ok(())));
        let damaged = CheckpointError::Damaged {
            object: "o".to_owned(),
            detail: "its hash is another".to_owned(),
        };
        found.add(Millis(10), &State::of(Err(damaged)));
        let said = found.summary();
        let newest = Millis(20).to_string();
        for part in ["1 sound, 1 unfinished, 1 unsound", &newest, "`out.progress`"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
