//! Checkpoints that somebody asks for, now and under a name.
//!
//! Each checkpoint of a process has a number, from 1 on. Whoever asks is told that of the next one, or of the one that is under way, and
//! looks what became of it. Worker 0 sees that one is wanted and begins it with the next epoch that it closes; the checkpointer gives it
//! its names and tells its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use riskflow_model::Millis;

/// What became of so many checkpoints is remembered.
const REMEMBERED: usize = 64;

/// A checkpoint that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its epoch.
    pub epoch: Millis,
    /// Bytes of its parts.
    pub bytes: u64,
    /// How long it took from its epoch on.
    pub took: Duration,
    /// The names that it was given.
    pub names: BTreeSet<String>,
    /// The names that it could not be given, and why.
    pub refused: BTreeMap<String, String>,
}

/// What a request for a checkpoint gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The number of the checkpoint.
    pub number: u64,
    /// Whether it was under way, or asked for, already.
    pub joined: bool,
}

/// What became of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Became {
    /// It is asked for, or under way.
    UnderWay,
    /// It is whole.
    Whole(Taken),
    /// There is none, and why.
    Failed(String),
    /// This process has had no such checkpoint, or does not remember it.
    Unknown,
}

/// What is asked of the job, and what became of it.
#[derive(Debug, Default)]
pub struct Asked(Mutex<Standing>);

#[derive(Debug, Default)]
struct Standing {
    /// Whether a job runs here that takes checkpoints.
    takes: bool,
    /// How many ended.
    ended: u64,
    /// Whether somebody asked for the next one.
    wanted: bool,
    /// Whether one is under way.
    under_way: bool,
    /// The names that the one under way, or the next, is to have.
    names: BTreeSet<String>,
    /// Those that it has got.
    given: BTreeSet<String>,
    /// Those that it could not be given, and why.
    refused: BTreeMap<String, String>,
    became: BTreeMap<u64, Became>,
}

impl Asked {
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a checkpoint, with a name if one is given: joins the one that is under way, if there is one. `None` where none is taken.
    pub fn ask(&self, name: Option<&str>) -> Option<Ticket> {
        let mut standing = self.standing();
        if !standing.takes {
            return None;
        }
        let joined = standing.under_way || standing.wanted;
        standing.wanted |= !standing.under_way;
        standing.names.extend(name.map(str::to_owned));
        Some(Ticket {
            number: standing.ended + 1,
            joined,
        })
    }

    /// What became of the checkpoint of a number.
    #[must_use]
    pub fn became(&self, number: u64) -> Became {
        let standing = self.standing();
        let next = number == standing.ended + 1 && (standing.wanted || standing.under_way);
        if next {
            return Became::UnderWay;
        }
        standing.became.get(&number).cloned().unwrap_or(Became::Unknown)
    }

    /// Whether somebody waits for one to begin.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.standing().wanted
    }

    /// From now on a job takes checkpoints.
    pub fn open(&self) {
        self.standing().takes = true;
    }

    /// The job takes no more of them: whoever still waits for one waits in vain.
    pub fn close(&self) {
        let mut standing = self.standing();
        standing.takes = false;
        if standing.wanted || standing.under_way {
            standing.end(Became::Failed("the job ended before it was whole".to_owned()));
        }
    }

    /// One begins.
    pub fn begin(&self) {
        let mut standing = self.standing();
        (standing.wanted, standing.under_way) = (false, true);
    }

    /// The one under way is whole. Gives the names that it has still to be given; without any it has ended.
    pub fn settle(&self, epoch: Millis, bytes: u64, took: Duration) -> BTreeSet<String> {
        let mut standing = self.standing();
        let names = std::mem::take(&mut standing.names);
        if names.is_empty() {
            let refused = std::mem::take(&mut standing.refused);
            let mut names = std::mem::take(&mut standing.given);
            names.retain(|name| !refused.contains_key(name));
            standing.end(Became::Whole(Taken {
                epoch,
                bytes,
                took,
                names,
                refused,
            }));
        } else {
            standing.given.extend(names.iter().cloned());
        }
        names
    }

    /// The one under way could not be given this name. That concerns nobody but who asked for it.
    pub fn refuse(&self, name: String, why: String) {
        self.standing().refused.insert(name, why);
    }

    /// The one under way came to nothing.
    pub fn fail(&self, why: String) {
        self.standing().end(Became::Failed(why));
    }
}

impl Standing {
    fn end(&mut self, became: Became) {
        self.ended += 1;
        self.became.insert(self.ended, became);
        if self.became.len() > REMEMBERED {
            self.became.pop_first();
        }
        (self.wanted, self.under_way) = (false, false);
        self.names.clear();
        self.given.clear();
        self.refused.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_millis(7);

    fn asked() -> Asked {
        let asked = Asked::default();
        asked.open();
        asked
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn who_asks_is_told_what_became_of_it_and_who_comes_later_joins() {
        let asked = asked();
        assert!(!asked.is_wanted());
        let first = asked.ask(Some("before")).unwrap();
        assert_eq!((first.number, first.joined), (1, false));
        assert!(asked.is_wanted());
        assert_eq!(asked.became(1), Became::UnderWay);
        asked.begin();
        assert!(!asked.is_wanted());
        let second = asked.ask(Some("too")).unwrap();
        assert_eq!((second.number, second.joined), (1, true));
        assert!(!asked.is_wanted(), "the one under way is theirs");
        assert_eq!(asked.settle(Millis(20), 5, TOOK), names(&["before", "too"]));
        asked.refuse("too".to_owned(), "it is taken".to_owned());
        // Who comes while names are given has his own given, too.
        assert!(asked.ask(Some("late")).unwrap().joined);
        assert_eq!(asked.settle(Millis(20), 5, TOOK), names(&["late"]));
        assert_eq!(asked.became(1), Became::UnderWay);
        assert_eq!(asked.settle(Millis(20), 5, TOOK), names(&[]));
        let Became::Whole(taken) = asked.became(1) else {
            panic!("{:?}", asked.became(1))
        };
        assert_eq!((taken.epoch, taken.bytes), (Millis(20), 5));
        assert_eq!(taken.names, names(&["before", "late"]));
        assert_eq!(taken.refused["too"], "it is taken");
        assert_eq!(asked.ask(None).unwrap().number, 2);
        assert_eq!(asked.became(3), Became::Unknown);
    }

    #[test]
    fn one_that_comes_to_nothing_is_told_and_takes_its_names_with_it() {
        let asked = asked();
        asked.ask(Some("a")).unwrap();
        asked.begin();
        asked.fail("the disk is full".to_owned());
        assert_eq!(asked.became(1), Became::Failed("the disk is full".to_owned()));
        // The next is one by interval, which nobody asked for.
        asked.begin();
        assert_eq!(asked.settle(Millis(30), 5, TOOK), names(&[]));
        asked.ask(None).unwrap();
        asked.close();
        assert!(matches!(asked.became(3), Became::Failed(why) if why.contains("the job ended")));
        assert_eq!(asked.ask(None), None);
        assert_eq!(Asked::default().ask(None), None);
    }

    #[test]
    fn what_became_of_old_ones_is_forgotten() {
        let asked = asked();
        for _ in 0..REMEMBERED + 1 {
            asked.begin();
            asked.settle(Millis(1), 0, TOOK);
        }
        assert_eq!(asked.became(1), Became::Unknown);
        assert!(matches!(asked.became(2), Became::Whole(_)));
    }
}
