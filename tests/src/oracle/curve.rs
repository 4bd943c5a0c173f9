//! The value of a gauge at an asset over time: what it is at every instant, and from where to where it stays or grows.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_config::Calendar;

use super::calendar::City;

/// What the value follows from.
#[derive(Clone, Debug)]
pub enum Curve {
    /// It never is known.
    Unknown,
    /// It is what holds, in thousandths.
    Steps {
        /// Before the first of them.
        nothing: Option<i64>,
        /// From when on it is what.
        steps: BTreeMap<i64, Option<i64>>,
    },
    /// How long something holds.
    Elapsed {
        /// When it began and when it ceased that anything holds, in turns.
        turns: Vec<i64>,
        /// Shorter holes do not count.
        gap: i64,
    },
    /// For how long of the hour or day something held.
    Covered {
        /// When it began and when it ceased that anything holds, in turns.
        turns: Vec<i64>,
        /// The hour or day.
        calendar: Calendar,
    },
    /// How many spans began in the hour or day.
    Starts {
        /// When spans begin, in any order.
        began: Vec<i64>,
        /// The hour or day.
        calendar: Calendar,
    },
}

/// The value from an instant on: it stays as it was there, or grows by a thousandth of a second in each millisecond.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// When it begins.
    pub from: i64,
    /// In thousandths, at its beginning; nothing where it is unknown.
    pub value: Option<i64>,
    /// Whether it grows.
    pub grows: bool,
}

impl Stretch {
    /// The value at an instant of it.
    pub fn at(&self, at: i64) -> Option<i64> {
        let grown = if self.grows { at - self.from } else { 0 };
        self.value.map(|value| value.saturating_add(grown))
    }
}

/// Stretches by their beginnings.
pub type Stretches = BTreeMap<i64, Stretch>;

/// Puts later stretches behind others. What only goes on is no other stretch.
pub fn append(stretches: &mut Stretches, later: Stretches) {
    for (at, stretch) in later {
        let last = stretches.last_key_value().map(|(_, last)| last);
        let goes_on = last.is_some_and(|last| last.grows == stretch.grows && last.at(at) == stretch.value);
        if !goes_on {
            stretches.insert(at, stretch);
        }
    }
}

/// When the chain of runs began that has not ceased by the last of these turns.
pub fn chain(turns: &[i64], gap: i64) -> Option<i64> {
    // Runs begin at even positions; the last one goes on, if it does.
    let begin = turns.len().checked_sub(1).filter(|last| last.is_multiple_of(2));
    begin.map(|mut begin| {
        while begin > 0 && turns[begin] - turns[begin - 1] < gap {
            begin -= 2;
        }
        turns[begin]
    })
}

/// Those up to an instant.
fn until(turns: &[i64], at: i64) -> &[i64] {
    &turns[..turns.partition_point(|turn| *turn <= at)]
}

impl Curve {
    /// The value at an instant, in thousandths.
    fn value(&self, at: i64, city: &City) -> Option<i64> {
        match self {
            Self::Unknown => None,
            Self::Steps { nothing, steps } => {
                let last = steps.range(..=at).next_back();
                last.map_or(*nothing, |(_, value)| *value)
            }
            // A millisecond is a thousandth of a second.
            Self::Elapsed { turns, gap } => {
                let begin = chain(until(turns, at), *gap);
                Some(begin.map_or(0, |begin| at.saturating_sub(begin)))
            }
            Self::Covered { turns, calendar } => {
                let (begin, _) = city.window(*calendar, at);
                let runs = until(turns, at).chunks(2).map(|run| {
                    let end = run.get(1).copied().unwrap_or(at);
                    (end - run[0].max(begin)).max(0)
                });
                Some(runs.sum())
            }
            Self::Starts { began, calendar } => {
                let (begin, _) = city.window(*calendar, at);
                let count = began.iter().filter(|time| (begin..=at).contains(*time)).count();
                Some(count as i64 * 1_000)
            }
        }
    }

    /// Whether the value grows from an instant on.
    fn grows(&self, at: i64) -> bool {
        match self {
            Self::Elapsed { turns, .. } | Self::Covered { turns, .. } => until(turns, at).len() % 2 == 1,
            Self::Unknown | Self::Steps { .. } | Self::Starts { .. } => false,
        }
    }

    /// All of it from one instant to another, both included.
    pub fn stretches(&self, from: i64, to: i64, city: &City) -> Stretches {
        if to < from {
            return Stretches::new();
        }
        let mut instants = BTreeSet::from([from]);
        match self {
            Self::Unknown => {}
            Self::Steps { steps, .. } => instants.extend(steps.keys()),
            Self::Elapsed { turns, .. } => instants.extend(turns),
            Self::Covered { turns: times, calendar } | Self::Starts { began: times, calendar } => {
                instants.extend(times);
                instants.extend(city.borders(*calendar, from, to));
            }
        }
        let stretches = instants.range(from..=to).map(|at| Stretch {
            from: *at,
            value: self.value(*at, city),
            grows: self.grows(*at),
        });
        stretches.map(|stretch| (stretch.from, stretch)).collect()
    }
}
