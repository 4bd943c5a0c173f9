//! How a process is: what it says of itself over HTTP, in its metrics, and to whoever supervises it.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

use riskflow_model::duration;

use crate::runtime::job::Handles;

/// How a process is. Each process of a cluster says it of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It looks for its input, its output and the other processes of its cluster.
    Starting,
    /// It loads the state of the run before, and brings it up to the last commit.
    Hydrating,
    /// It works off what has come since then.
    CatchingUp,
    /// What it computes is the present.
    Live,
    /// It was told to stop, and commits the epochs under way.
    Stopping,
}

impl State {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 5] = [
        Self::Starting,
        Self::Hydrating,
        Self::CatchingUp,
        Self::Live,
        Self::Stopping,
    ];

    /// For machines: a label of metrics, a word of JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Hydrating => "hydrating",
            Self::CatchingUp => "catching_up",
            Self::Live => "live",
            Self::Stopping => "stopping",
        }
    }

    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::CatchingUp => "catching up",
            Self::Starting | Self::Hydrating | Self::Live | Self::Stopping => self.name(),
        }
    }

    /// What it is at.
    const fn doing(self) -> Option<&'static str> {
        match self {
            Self::Starting => Some("input, output and the other processes are looked for"),
            Self::Hydrating => Some("the state of the run before is loaded, and brought up to its last commit"),
            Self::CatchingUp => Some("history is being worked off"),
            Self::Live => None,
            Self::Stopping => Some("epochs under way are committed"),
        }
    }
}

const STARTING: u8 = 0;
const HYDRATING: u8 = 1;
const CATCHING_UP: u8 = 2;
const ENDING: u8 = 3;

/// How far the workers of a process have come. It only rises, whichever worker says so first, until a job begins again.
#[derive(Debug, Default)]
pub struct Stage(AtomicU8);

impl Stage {
    /// A job begins, or begins again.
    pub(super) fn begin(&self) {
        self.0.store(STARTING, Ordering::Release);
    }

    /// The workers are together, and load what an earlier run left.
    pub(super) fn hydrate(&self) {
        self.0.fetch_max(HYDRATING, Ordering::AcqRel);
    }

    /// Epochs take what no earlier run has taken.
    pub(super) fn catch_up(&self) {
        self.0.fetch_max(CATCHING_UP, Ordering::AcqRel);
    }

    /// No further epoch comes from the process that closes them.
    pub(super) fn end(&self) {
        self.0.fetch_max(ENDING, Ordering::AcqRel);
    }
}

/// How a process is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// How it is.
    pub state: State,
    /// What it is at, and what else whoever asks should know.
    pub reason: Option<String>,
}

impl Condition {
    /// That of the process with these handles.
    #[must_use]
    pub fn of(handles: &Handles) -> Self {
        let stage = handles.stage.0.load(Ordering::Acquire);
        let state = if handles.stop.load(Ordering::Acquire) || stage == ENDING {
            State::Stopping
        } else if handles.ready.load(Ordering::Acquire) {
            State::Live
        } else if stage == CATCHING_UP {
            State::CatchingUp
        } else if stage == HYDRATING {
            State::Hydrating
        } else {
            State::Starting
        };
        let position = handles.catching_up.get().filter(|_| state == State::CatchingUp);
        let doing = state.doing().map(|doing| match position {
            Some(position) => format!("{doing} ({position})"),
            None => doing.to_owned(),
        });
        let tables = handles.tables_elsewhere().map(|home| home.to_string());
        let clock = match handles.clock_off.load(Ordering::Acquire) {
            0 => None,
            off => Some(format!(
                "the wall clock is {} off and not followed yet",
                duration::show(off.abs())
            )),
        };
        let reasons: Vec<String> = [doing, clock, tables].into_iter().flatten().collect();
        Self {
            state,
            reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
        }
    }

    /// Whether what it computes is the present.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.state == State::Live
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.state.words())?;
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::runtime::cluster::Home;

    #[test]
    fn a_process_goes_through_its_states_in_order() {
        let handles = Handles::new().unwrap();
        let state = || Condition::of(&handles).state;
        assert_eq!(state(), State::Starting);
        handles.stage.hydrate();
        assert_eq!(state(), State::Hydrating);
        handles.stage.catch_up();
        assert_eq!(state(), State::CatchingUp);
        // A worker that comes late takes nothing back.
        handles.stage.hydrate();
        assert_eq!(state(), State::CatchingUp);
        handles.ready.store(true, Ordering::Release);
        assert_eq!(state(), State::Live);
        handles.stop.store(true, Ordering::Release);
        assert_eq!(state(), State::Stopping);
        // The clock was ahead: the job begins again.
        handles.stop.store(false, Ordering::Release);
        handles.ready.store(false, Ordering::Release);
        handles.stage.begin();
        assert_eq!(state(), State::Starting);
    }

    #[test]
    fn a_process_stops_with_the_one_that_closes_epochs() {
        let handles = Handles::new().unwrap();
        handles.ready.store(true, Ordering::Release);
        handles.stage.end();
        let said = Condition::of(&handles).to_string();
        assert_eq!(said, "stopping: epochs under way are committed");
    }

    #[test]
    fn a_reason_says_all_there_is_to_know() {
        let handles = Handles::new().unwrap();
        handles.ready.store(true, Ordering::Release);
        assert_eq!(Condition::of(&handles).to_string(), "live");
        let home = Home::told(&["a:1".to_owned(), "b:1".to_owned()], 1, Some("http://0.0.0.0:9464"));
        handles.elsewhere.store(Some(Arc::new(home)));
        handles.clock_off.store(-90_000, Ordering::Release);
        assert_eq!(
            Condition::of(&handles).to_string(),
            format!(
                "live: the wall clock is {} off and not followed yet; requests are passed on to process 0 of the cluster, http://a:9464",
                duration::show(90_000)
            )
        );
    }

    #[test]
    fn every_state_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> = State::ALL.into_iter().map(State::name).collect();
        assert_eq!(names.len(), State::ALL.len());
    }
}
