//! What came of a replay, and whether it was of any use.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use riskflow::runtime::ingest::Disordered;
use riskflow::runtime::job::{Handles, Whole};
use riskflow::runtime::metrics::Done;
use riskflow_config::{Disorder, Output, Settings};
use riskflow_model::topic::Topic;
use riskflow_model::{Millis, duration};
use serde_json::json;

use super::super::refused::{Refused, of_logs};
use super::super::run::{self, total};
use super::super::{configuration, tail};
use crate::program::cli::ReplayArguments;
use crate::program::exit::Usage;
use crate::program::terminal::{say, tell};

/// The arguments that lead another command to what this replay writes, but for those that name that place.
pub fn again(arguments: &ReplayArguments) -> String {
    let but: &[&str] = if arguments.prefix.is_some() {
        &["output.", "topics.prefix"]
    } else {
        &["output."]
    };
    configuration::again(&arguments.config, but)
}

/// A replay that has ended.
pub struct End<'a> {
    pub arguments: &'a ReplayArguments,
    pub settings: &'a Settings,
    pub handles: &'a Handles,
    pub took: Duration,
    /// What all of its processes did: each says the same of it, and ends with the same exit code.
    pub whole: Whole,
}

impl End<'_> {
    /// Says what came of it, and where that is read.
    pub fn sum_up(&self) {
        let Whole {
            done, until, goes_on, ..
        } = &self.whole;
        let until = *until;
        let (records, seconds) = (total(&done.records), self.took.as_secs_f64());
        if self.arguments.json {
            let counts = |counts: &[(&'static str, u64)]| counts.iter().copied().collect::<BTreeMap<_, _>>();
            say(json!({
                "exercise": true,
                "from_checkpoint": self.settings.replay.checkpoint.as_ref().map(|(_, epoch)| epoch),
                "until": until,
                "seconds": seconds,
                "records": counts(&done.records),
                "dead_letters": counts(&done.dead_letters),
                "events_of_warnings": counts(&done.deltas),
                "waiting": self.whole.waiting,
                "disordered": self.settings.replay.disorder.map(|disorder| json!({
                    "within_ms": disorder.within,
                    "records": done.disordered.records,
                    "crowded": done.disordered.crowded,
                    "furthest_ms": done.disordered.furthest,
                })),
                "epochs_compared": done.compared,
                "epochs_that_differ": done.differed,
            }));
            return;
        }
        let rate = records as f64 / seconds.max(0.001);
        let replayed = match until {
            Millis(1..) => format!("replayed up to {until}"),
            _ if *goes_on => "nothing was left to replay".to_owned(),
            _ => "nothing was replayed".to_owned(),
        };
        tell(format_args!(
            "{replayed}, {records} records in {seconds:.1} s: {rate:.0} a second"
        ));
        run::sum_up(self.handles);
        if let Some(disorder) = self.settings.replay.disorder
            && done.disordered.records > 0
        {
            tell(said_of_order(disorder, done.disordered));
        }
        if self.arguments.as_ran {
            tell(said_of_epochs(done));
        }
        // Files are seen where they were asked for, and what was not written nowhere.
        let is_written = self.whole.goes_on || self.times_are_of_it().is_ok();
        if !matches!(self.settings.output, Output::Files(_)) && is_written {
            let read = tail::read_with(
                self.settings,
                ("warnings", &again(self.arguments)),
                Topic::WARNING_DELTA,
            );
            tell(format_args!("{read} shows its warnings"));
        }
    }

    /// Whether anything was to be learnt from it.
    ///
    /// # Errors
    ///
    /// Where it wrote nothing, for `--from` and `--until` name no time of the history; and where most of its records were refused. What a
    /// job refused when it ran is refused as it ran, and of a replay that went on the rest alone is known: that is only told.
    pub fn is_of_use(&self) -> Result<()> {
        if !self.whole.goes_on {
            self.times_are_of_it()?;
        }
        let refused = Refused::of(self.handles, self.settings);
        if !refused.is_most() {
            return Ok(());
        }
        let letters = tail::read_with(
            self.settings,
            ("out.deadletter", &again(self.arguments)),
            Topic::DEAD_LETTER,
        );
        let said = refused.said();
        let of_what = match (self.arguments.as_ran, self.whole.goes_on) {
            (true, _) => "as when it ran",
            (false, true) => "of what was left of the history",
            (false, false) => "",
        };
        if !of_what.is_empty() {
            tell(format_args!("{said}, {of_what}: {letters} says why of each"));
            return Ok(());
        }
        let cure = refused.cure(self.settings, "--clock event-time");
        bail!("{said}: {letters} says why of each; {cure}");
    }

    /// With `--verify`: whether every epoch gave what it gave when it ran.
    ///
    /// # Errors
    ///
    /// When one gave something else; when none could be compared, for that proves nothing. Of a replay that went on, an earlier run has
    /// compared what it wrote.
    pub fn is_verified(&self) -> Result<()> {
        if !self.arguments.verify {
            return Ok(());
        }
        let done = &self.whole.done;
        if done.differed > 0 {
            let Done { differed, compared, .. } = done;
            bail!("{differed} of {compared} epochs gave something else than they gave when they ran");
        }
        if done.compared == 0 && (done.incomparable || !self.whole.goes_on) {
            bail!(
                "`--verify`: no epoch was compared, so nothing is known. {}",
                self.why_none(done.incomparable)
            );
        }
        Ok(())
    }

    /// Why no epoch could be compared, and what to do.
    const fn why_none(&self, incomparable: bool) -> &'static str {
        if incomparable {
            "The oldest epochs are gone from `out.epoch` (`topics.retention`), or the job made its state anew: what is left is compared only \
             behind the very state that the job had then. `--from-checkpoint NAME|EPOCH` begins with one; `riskflow checkpoint list` says \
             which there are"
        } else if self.arguments.from.is_some() || self.settings.until.is_some() {
            "The times that were asked for have none: give others"
        } else if self.settings.replay.checkpoint.is_some() {
            "The job has closed no epoch since the checkpoint that this begins with: let it run on, then replay. First pin, then let the job \
             run, then replay"
        } else {
            "The job has closed no epoch yet: let it run, then replay"
        }
    }

    fn times_are_of_it(&self) -> Result<(), Usage> {
        let until = self.whole.until;
        if let Some(from) = self.arguments.from
            && until < from
        {
            let says = format!(
                "`--from` is {from}, and the history ends with {until}: nothing of it was written; give an earlier time"
            );
            return Err(Usage(says));
        }
        if let Some(asked) = self.settings.until
            && of_logs(self.handles) == 0
        {
            let says = format!("`--until` is {asked}, and the history has no records by then; give a later time");
            return Err(Usage(says));
        }
        Ok(())
    }
}

/// What files that are not in order had beyond what is sorted.
fn said_of_order(disorder: Disorder, found: Disordered) -> String {
    let Disordered {
        records,
        crowded,
        furthest,
    } = found;
    let (within, furthest) = (duration::show(disorder.within), duration::show(furthest));
    let beyond = format!(
        "{records} records were read when their epoch was over, up to {furthest} behind a later one of their file: they count as late data"
    );
    let cure = if records > crowded {
        format!("; files are sorted within {within}, and `--disorder {furthest}` sorts these")
    } else {
        String::new()
    };
    let room = if crowded > 0 {
        format!(
            "; of a file {} records at most are held to be sorted, too few for {crowded} of them: `riskflow import` sorts any file",
            disorder.most
        )
    } else {
        String::new()
    };
    beyond + &cure + &room
}

/// What is known of epochs that were closed as they ran.
fn said_of_epochs(done: &Done) -> String {
    match (done.compared, done.differed) {
        (0, _) => "no epoch was compared with what it gave when it ran".to_owned(),
        (compared, 0) => format!("{compared} epochs were compared: each gave what it gave when it ran"),
        (compared, differed) => format!(
            "{compared} epochs were compared: {differed} gave something else than they gave when they ran: settings, rules or version differ"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_nothing_was_compared_is_not_told_as_a_success() {
        let said = |compared, differed| {
            said_of_epochs(&Done {
                records: Vec::new(),
                dead_letters: Vec::new(),
                deltas: Vec::new(),
                differed,
                compared,
                incomparable: false,
                disordered: Disordered::default(),
            })
        };
        assert_eq!(said(0, 0), "no epoch was compared with what it gave when it ran");
        assert_eq!(said(7, 0), "7 epochs were compared: each gave what it gave when it ran");
        assert!(said(7, 2).starts_with("7 epochs were compared: 2 gave something else"));
    }

    #[test]
    fn what_stands_too_far_back_is_told_with_the_bound_that_would_do() {
        let disorder = Disorder {
            within: 600_000,
            most: 100,
        };
        let said = |crowded| {
            said_of_order(
                disorder,
                Disordered {
                    records: 3,
                    crowded,
                    furthest: 7_200_000,
                },
            )
        };
        assert_eq!(
            said(0),
            "3 records were read when their epoch was over, up to 2h behind a later one of their file: they count as late data; files are \
             sorted within 10m, and `--disorder 2h` sorts these"
        );
        assert!(said(1).ends_with("`--disorder 2h` sorts these; of a file 100 records at most are held to be sorted, too few for 1 of them: `riskflow import` sorts any file"));
        assert!(!said(3).contains("--disorder"));
    }
}
