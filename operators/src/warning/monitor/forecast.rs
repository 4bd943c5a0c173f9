//! What is forecast for a datastream: values of times to come, as of when they were issued.
//!
//! At an instant *s* the value of a time is that of the newest issue at or before *s*. So a forecast that comes late changes what was
//! known since it was issued, but nothing before the horizon: what was issued before counts from there on.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use riskflow_config::{Feature, FeatureKind};
use riskflow_model::output::Cause;
use serde::{Deserialize, Serialize};

use super::series::billionths;
use super::value::{Value, ratio};

/// The forecasts of one datastream. All times are milliseconds since the Unix epoch.
///
/// # Invariants
///
/// What counts at an instant is the same in whichever order issues are learnt that are issued behind the horizon.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Forecasts {
    /// What an issue says of a time: by that time, when it was issued, and from when on it counts. What it said before counts until then;
    /// `None`: it was taken back.
    values: BTreeMap<(i64, i64, i64), Option<f64>>,
    /// From when on any of them counts.
    begins: BTreeSet<i64>,
    /// The half-open stretches in which what is known may have become another since the watches settled last.
    #[serde(skip)]
    pub(super) changed: Vec<(i64, i64)>,
}

/// A value that counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// For when.
    pub valid: i64,
    /// When it was issued.
    pub issued: i64,
    /// The value.
    pub value: f64,
}

impl Forecasts {
    /// Puts, replaces or takes back what an issue says of a time, from an instant on that is not before those of what it said of it before.
    /// Returns what that is to levels; `None` where it changes nothing.
    pub fn apply(&mut self, issued: i64, from: i64, valid: i64, value: Option<f64>) -> Option<Cause> {
        if valid <= from {
            // It looks back already.
            return None;
        }
        let said = self.values.range((valid, issued, i64::MIN)..=(valid, issued, from));
        let before = said.last().and_then(|(_, value)| *value);
        if before.map(f64::to_bits) == value.map(f64::to_bits) {
            return None;
        }
        self.values.insert((valid, issued, from), value);
        self.begins.insert(from);
        self.changed.push((from, valid));
        Some(before.map_or(Cause::Data, |_| Cause::Correction))
    }

    /// What counts at an instant of the times later than it, up to and including one so far ahead, in their order.
    pub fn ahead(&self, at: i64, window: i64) -> impl Iterator<Item = Expected> + '_ {
        let until = at.saturating_add(window);
        let mut next = at;
        std::iter::from_fn(move || {
            loop {
                next = self.valid_after(next).filter(|valid| *valid <= until)?;
                if let Some(expected) = self.newest(next, at) {
                    return Some(expected);
                }
            }
        })
    }

    /// The first time later than one of which anything is said.
    fn valid_after(&self, time: i64) -> Option<i64> {
        let later = (Excluded((time, i64::MAX, i64::MAX)), Unbounded);
        self.values.range(later).next().map(|((valid, ..), _)| *valid)
    }

    /// What the newest issue up to an instant says of a time.
    fn newest(&self, valid: i64, at: i64) -> Option<Expected> {
        let said = self.values.range((valid, i64::MIN, i64::MIN)..=(valid, at, at));
        let mut taken_back = None;
        for ((_, issued, from), value) in said.rev() {
            if *from > at || taken_back == Some(*issued) {
                continue;
            }
            match value {
                Some(value) => {
                    let (issued, value) = (*issued, *value);
                    return Some(Expected { valid, issued, value });
                }
                None => taken_back = Some(*issued),
            }
        }
        None
    }

    /// The first instant after one at which what counts within a window may change: an issue begins to count, or a time comes into the
    /// window or passes.
    pub fn next_change(&self, at: i64, window: i64) -> i64 {
        let begins = self.begins.range((Excluded(at), Unbounded)).next().copied();
        let passes = self.valid_after(at);
        let comes = self.valid_after(at.saturating_add(window)).map(|valid| valid - window);
        let instants = [begins, passes, comes].into_iter().flatten();
        instants.min().unwrap_or(i64::MAX)
    }

    /// Lets go of what no instant later than `before` asks for, where of an issue older than `fixed` nothing is said any more.
    pub fn forget(&mut self, before: i64, fixed: i64) {
        // Of one time; from the newest issue on, and of each from the last that was said.
        struct Behind {
            valid: i64,
            issued: i64,
            /// Whether all that the issue says later is a value.
            counts: bool,
            /// Whether what was said before is not asked for: of this issue, and of those before it.
            covers: (bool, bool),
        }
        let mut behind: Option<Behind> = None;
        let mut kept = Vec::new();
        for ((valid, issued, from), value) in std::mem::take(&mut self.values).into_iter().rev() {
            if valid <= before {
                break;
            }
            let of_time = behind.take().filter(|behind| behind.valid == valid);
            let all = of_time.as_ref().is_some_and(|behind| behind.covers.1);
            let of_issue = of_time.filter(|behind| behind.issued == issued);
            let one = of_issue.as_ref().is_some_and(|behind| behind.covers.0);
            let counts = of_issue.is_none_or(|behind| behind.counts) && value.is_some();
            let known_by_then = from <= before;
            // What was taken back by then is as good as never said.
            if !(all || one || known_by_then && value.is_none()) {
                kept.push(((valid, issued, from), value));
            }
            behind = Some(Behind {
                valid,
                issued,
                counts,
                covers: (
                    one || known_by_then,
                    all || known_by_then && issued < fixed && counts && !one,
                ),
            });
        }
        kept.reverse();
        self.begins = kept.iter().map(|((.., from), _)| *from).collect();
        self.values = kept.into_iter().collect();
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// A feature of what is ahead.
    pub fn value(&self, feature: &Feature, at: i64) -> Value {
        let results = self.ahead(at, feature.window).map(|expected| expected.value);
        match feature.kind {
            FeatureKind::ForecastMin => results.reduce(f64::min).map_or(Value::Unknown, Value::Result),
            FeatureKind::ForecastMax => results.reduce(f64::max).map_or(Value::Unknown, Value::Result),
            _ => {
                let sum = |(sum, count), result| (sum + i128::from(billionths(result)), count + 1);
                let (sum, count) = results.fold((0, 0), sum);
                match feature.kind {
                    _ if count == 0 => Value::Unknown,
                    FeatureKind::ForecastMean => ratio(sum, count),
                    _ => ratio(sum, 1),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn say(forecasts: &mut Forecasts, issued: i64, valid: i64, value: Option<f64>) -> Option<Cause> {
        forecasts.apply(issued, issued, valid, value)
    }

    fn values(forecasts: &Forecasts, at: i64, window: i64) -> Vec<(i64, f64)> {
        forecasts
            .ahead(at, window)
            .map(|expected| (expected.valid, expected.value))
            .collect()
    }

    #[test]
    fn the_newest_issue_counts_from_when_it_was_issued() {
        let mut forecasts = Forecasts::default();
        for (issued, valid, value) in [(10, 100, 1.0), (10, 200, 2.0), (50, 100, 3.0)] {
            assert_eq!(say(&mut forecasts, issued, valid, Some(value)), Some(Cause::Data));
        }
        assert_eq!(
            say(&mut forecasts, 50, 100, Some(3.0)),
            None,
            "a repeat changes nothing"
        );
        assert_eq!(values(&forecasts, 9, 500), []);
        assert_eq!(values(&forecasts, 10, 500), [(100, 1.0), (200, 2.0)]);
        assert_eq!(values(&forecasts, 50, 500), [(100, 3.0), (200, 2.0)]);
        assert_eq!(values(&forecasts, 50, 50), [(100, 3.0)]);
        assert_eq!(values(&forecasts, 100, 500), [(200, 2.0)]);
        // An older issue that comes late counts until the newer one.
        say(&mut forecasts, 30, 100, Some(9.0));
        assert_eq!(values(&forecasts, 40, 500), [(100, 9.0), (200, 2.0)]);
        assert_eq!(values(&forecasts, 60, 500), [(100, 3.0), (200, 2.0)]);
        // One that was taken back leaves the issue before it.
        assert_eq!(say(&mut forecasts, 50, 100, None), Some(Cause::Correction));
        assert_eq!(say(&mut forecasts, 50, 100, None), None);
        assert_eq!(values(&forecasts, 60, 500), [(100, 9.0), (200, 2.0)]);
    }

    #[test]
    fn what_was_issued_before_the_horizon_counts_from_there_on() {
        let mut forecasts = Forecasts::default();
        say(&mut forecasts, 10, 200, Some(1.0));
        assert_eq!(forecasts.apply(10, 60, 200, Some(2.0)), Some(Cause::Correction));
        assert_eq!(forecasts.apply(10, 80, 70, Some(3.0)), None, "it is over");
        assert_eq!(values(&forecasts, 59, 500), [(200, 1.0)]);
        assert_eq!(values(&forecasts, 60, 500), [(200, 2.0)]);
        assert_eq!(forecasts.apply(10, 90, 200, None), Some(Cause::Correction));
        assert_eq!(values(&forecasts, 89, 500), [(200, 2.0)]);
        assert_eq!(values(&forecasts, 90, 500), []);
    }

    #[test]
    fn changes_come_with_issues_and_with_time() {
        let mut forecasts = Forecasts::default();
        say(&mut forecasts, 10, 100, Some(1.0));
        say(&mut forecasts, 50, 200, Some(2.0));
        let changes: Vec<i64> = std::iter::successors(Some(0), |at| Some(forecasts.next_change(*at, 30)))
            .skip(1)
            .take_while(|at| *at < i64::MAX)
            .collect();
        assert_eq!(changes, [10, 50, 70, 100, 170, 200]);
    }

    proptest! {
        /// What is let go is asked for no more, whatever is said later of issues of which anything may be.
        #[test]
        fn what_is_let_go_is_asked_for_no_more(
            said in prop::collection::vec((0..12_i64, 0..12_i64, prop::option::of(0..4)), 0..40),
            later in prop::collection::vec((0..12_i64, 0..12_i64, prop::option::of(0..4)), 0..20),
            before in 0..12_i64,
            fixed in 0..12_i64,
        ) {
            let mut whole = Forecasts::default();
            let value = |value: Option<i32>| value.map(f64::from);
            // An issue of the past counts from the half of the time on that has passed.
            let applied = said.iter().enumerate();
            for (index, (issued, valid, what)) in applied {
                let horizon = index as i64 * before / 40;
                whole.apply(*issued, horizon.max(*issued), *valid, value(*what));
            }
            let mut forgetful = whole.clone();
            forgetful.forget(before, fixed);
            for (issued, valid, what) in later.into_iter().filter(|(issued, ..)| *issued >= fixed) {
                for forecasts in [&mut whole, &mut forgetful] {
                    forecasts.apply(issued, issued.max(before + 1), valid, value(what));
                }
            }
            for at in before + 1..14 {
                prop_assert_eq!(values(&forgetful, at, 20), values(&whole, at, 20), "at {}", at);
            }
            forgetful.forget(20, fixed);
            prop_assert!(forgetful.is_empty());
        }
    }
}
