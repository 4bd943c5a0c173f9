//! A history of which much could not be used: how many records, why, and what to do about it.

use riskflow::runtime::job::Handles;
use riskflow_config::{Clock, Input, Settings};
use riskflow_model::output::Reason;
use riskflow_model::topic::Topic;

/// What became of the records of a history.
pub struct Refused {
    /// How many there were.
    records: u64,
    /// Those that could not be used, by reason.
    dead: Vec<(&'static str, u64)>,
    /// Observations whose datastream has no row: they are in no output.
    waiting: u64,
}

impl Refused {
    /// Of a job that has ended, in all of its processes. Rules in the place of those of the history are none of it.
    pub fn of(handles: &Handles, settings: &Settings) -> Self {
        let whole = handles.whole();
        let instead: Vec<&str> = settings
            .instead
            .iter()
            .filter_map(|file| file.topic.as_deref())
            .collect();
        let rules = [Topic::IN_RULE, Topic::BASE_LIMIT].map(Topic::name);
        let is_own = |topic: &str| rules.contains(&topic) && instead.contains(&topic);
        let of_history = whole.done.records.iter().filter(|(topic, _)| !is_own(topic));
        Self {
            records: of_history.map(|(_, count)| count).sum(),
            dead: whole.done.dead_letters,
            waiting: whole.waiting,
        }
    }

    fn all(&self) -> u64 {
        self.dead.iter().map(|(_, count)| count).sum()
    }

    /// Whether hardly anything was to be learnt from it.
    pub fn is_most(&self) -> bool {
        (self.all() + self.waiting) * 2 > self.records
    }

    /// How many, and why.
    pub fn said(&self) -> String {
        let (all, records) = (self.all(), self.records);
        let reasons = self.dead.iter().map(|(reason, count)| format!("{reason} {count}"));
        let reasons = match reasons.collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => none,
            some => format!(" ({some})"),
        };
        let waiting = match self.waiting {
            0 => String::new(),
            waiting => format!("; {waiting} are of datastreams without a row, and in no output"),
        };
        format!("most of the records could not be used: {all} of {records} were refused{reasons}{waiting}")
    }

    /// What most of them want. `clock`: how the clock of the history is given.
    pub fn cure(&self, settings: &Settings, clock: &str) -> String {
        let of_files = matches!(settings.input, Input::Files(_));
        let count = |reason: Reason| {
            let found = self.dead.iter().find(|(name, _)| *name == reason.name());
            found.map_or(0, |(_, count)| *count)
        };
        let rowless = count(Reason::UnknownDatastream) + self.waiting;
        let (late, early) = (count(Reason::TooLate), count(Reason::InFuture));
        let rest = (self.all() + self.waiting).saturating_sub(rowless + late + early);
        if rest > rowless.max(late).max(early) {
            return if of_files {
                "`riskflow import --dry-run` says what is wrong with files, line by line".to_owned()
            } else {
                "`riskflow check --live` says what is wrong with rows".to_owned()
            };
        }
        let by_arrival = settings.clock == Clock::Arrival;
        if by_arrival && (rowless > 0 || early > 0) {
            return format!(
                "records count from when they arrived, and rows of a history that was imported may have come last: `{clock}` goes by the \
                 times in the records, with rows and rules before them"
            );
        }
        if rowless >= late {
            return "they are of datastreams that `base.datastream` has no row of: give these rows, too".to_owned();
        }
        if of_files {
            return "what stands further back than `time.horizon` is too late: `riskflow import` sorts files"
                .to_owned();
        }
        "what came later than `time.horizon` is too late: `--set time.horizon=DURATION` takes it".to_owned()
    }
}

/// How many records were no rows of tables, of those that a job took.
pub fn of_logs(handles: &Handles) -> u64 {
    let records = handles.whole().done.records.into_iter();
    let of_logs = records.filter(|(name, _)| Topic::from_name(name).is_some_and(|topic| !topic.is_input_table()));
    of_logs.map(|(_, count)| count).sum()
}

#[cfg(test)]
mod tests {
    use riskflow_config::WrittenSettings;

    use super::*;

    #[test]
    fn it_is_told_what_most_of_them_want() {
        let mut settings = WrittenSettings::default().check().unwrap();
        let refused = |dead: &[(Reason, u64)], waiting: u64| Refused {
            records: 10,
            dead: dead.iter().map(|(reason, count)| (reason.name(), *count)).collect(),
            waiting,
        };
        let malformed = refused(&[(Reason::Malformed, 5), (Reason::TooLate, 1)], 0);
        assert!(malformed.is_most());
        assert_eq!(
            malformed.said(),
            "most of the records could not be used: 6 of 10 were refused (malformed 5, too_late 1)"
        );
        assert!(!refused(&[(Reason::Malformed, 5)], 0).is_most());
        let rowless = refused(&[], 9);
        assert!(
            rowless.is_most()
                && rowless
                    .said()
                    .ends_with("0 of 10 were refused; 9 are of datastreams without a row, and in no output")
        );
        let late = refused(&[(Reason::TooLate, 9)], 0);
        let clock = "--clock event-time";
        settings.clock = Clock::Arrival;
        assert!(malformed.cure(&settings, clock).contains("riskflow check --live"));
        assert!(
            rowless
                .cure(&settings, clock)
                .contains("`--clock event-time` goes by the times in the records")
        );
        assert!(late.cure(&settings, clock).contains("--set time.horizon=DURATION"));
        settings.input = Input::Files(Vec::new());
        settings.clock = Clock::EventTime;
        assert!(malformed.cure(&settings, clock).contains("riskflow import --dry-run"));
        assert!(rowless.cure(&settings, clock).contains("give these rows, too"));
        assert!(late.cure(&settings, clock).contains("`riskflow import` sorts files"));
    }
}
