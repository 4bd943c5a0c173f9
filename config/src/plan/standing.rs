//! In which rule sets a rule stands.

use std::sync::Arc;

use riskflow_model::ruleset::Adjust;
use riskflow_model::{Key, Text};
use serde::{Deserialize, Serialize};

/// In which sets a rule stands, among those that are evaluated.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Standing {
    /// Whether the live set has it.
    pub live: bool,
    /// The candidates that have it, in the order of their names.
    pub candidates: Vec<Text>,
    /// All candidates, in the order of their names.
    pub all: Vec<Text>,
}

/// A place where the level of a rule counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Place {
    /// The live set, whichever it is.
    Live,
    /// A candidate.
    Set(Text),
}

impl Standing {
    /// Of a rule where there is no candidate.
    #[must_use]
    pub const fn alone() -> Self {
        Self {
            live: true,
            candidates: Vec::new(),
            all: Vec::new(),
        }
    }

    /// The places where it counts; the live one first.
    pub fn places(&self) -> impl Iterator<Item = Place> + '_ {
        let live = self.live.then_some(Place::Live);
        live.into_iter().chain(self.candidates.iter().cloned().map(Place::Set))
    }

    /// Whether it counts there.
    #[must_use]
    pub fn has(&self, place: &Place) -> bool {
        match place {
            Place::Live => self.live,
            Place::Set(set) => self.candidates.contains(set),
        }
    }

    /// Where either stands.
    pub fn join(&mut self, other: &Self) {
        self.live |= other.live;
        self.candidates.extend(other.candidates.iter().cloned());
        self.candidates.sort();
        self.candidates.dedup();
    }
}

/// What a rule that stands in sets is, beside what it says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InSets {
    /// Its identifier as written, with its set.
    pub written: Text,
    /// Where it counts.
    pub standing: Arc<Standing>,
    /// The hash of what was written, for each place where it counts: sets may say the same in other words.
    pub texts: Vec<(Place, Key)>,
    /// What it sees in the place of results.
    pub adjust: Vec<Adjust>,
}
