//! What is forecast for a datastream: values of times to come, as of when they were issued.
//!
//! At an instant *s* the value of a time is that of the newest issue at or before *s*. So a forecast that comes late changes what was
//! known since it was issued, and nothing before.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included};

use riskflow_config::{Feature, FeatureKind};
use serde::{Deserialize, Serialize};

use super::series::billionths;
use super::value::{Value, ratio};

/// The forecasts of one datastream, by the time for which they are valid and then by when they were issued; `None`: that issue took
/// the value back.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Forecasts {
    values: BTreeMap<(i64, i64), Option<f64>>,
    /// The half-open stretches in which what was known became another since the watches settled last.
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
    /// Puts, replaces or takes back what an issue says of a time; whether that changes anything.
    pub fn apply(&mut self, issued: i64, valid: i64, value: Option<f64>) -> bool {
        let before = self.values.insert((valid, issued), value);
        let same = match before {
            Some(before) => before.map(f64::to_bits) == value.map(f64::to_bits),
            None => false,
        };
        if !same {
            // The next issue for that time takes its place.
            let next = self
                .values
                .range((Excluded((valid, issued)), Included((valid, i64::MAX))))
                .next();
            let until = next.map_or(valid, |((_, next), _)| valid.min(*next));
            self.changed.push((issued, until));
        }
        !same
    }

    /// What counts at an instant of the times later than it, up to and including one so far ahead, in their order.
    pub fn ahead(&self, at: i64, window: i64) -> impl Iterator<Item = Expected> + '_ {
        let until = at.saturating_add(window);
        let mut next = at;
        std::iter::from_fn(move || {
            loop {
                let from = (Excluded((next, i64::MAX)), Included((until, i64::MAX)));
                let ((valid, _), _) = self.values.range(from).next()?;
                next = *valid;
                if let Some(expected) = self.newest(*valid, at) {
                    return Some(expected);
                }
            }
        })
    }

    /// What the newest issue up to an instant says of a time.
    fn newest(&self, valid: i64, at: i64) -> Option<Expected> {
        let mut issues = self.values.range((valid, i64::MIN)..=(valid, at));
        let ((_, issued), value) = issues.next_back()?;
        value.map(|value| Expected {
            valid,
            issued: *issued,
            value,
        })
    }

    /// The first instant after one at which what counts within a window may change: an issue begins to count, or a time comes into the
    /// window or passes.
    pub fn next_change(&self, at: i64, window: i64) -> i64 {
        let times = self
            .values
            .range((Excluded((at, i64::MAX)), Included((i64::MAX, i64::MAX))));
        let instants = times.flat_map(|((valid, issued), _)| [*valid, *issued, valid.saturating_sub(window)]);
        instants.filter(|instant| *instant > at).min().unwrap_or(i64::MAX)
    }

    /// Lets go of what no instant after `before` asks for.
    pub fn forget(&mut self, before: i64) {
        self.values = self.values.split_off(&(before, i64::MAX));
        let mut last: Option<(i64, i64)> = None;
        let mut gone = Vec::new();
        for (valid, issued) in self.values.keys().take_while(|(_, issued)| *issued < i64::MAX) {
            // Of what was issued by then the newest issue is enough.
            if let Some(older) = last.filter(|(time, _)| time == valid && *issued <= before) {
                gone.push(older);
            }
            last = Some((*valid, *issued));
        }
        self.values.retain(|key, _| gone.binary_search(key).is_err());
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
    use super::*;

    fn values(forecasts: &Forecasts, at: i64, window: i64) -> Vec<(i64, f64)> {
        forecasts
            .ahead(at, window)
            .map(|expected| (expected.valid, expected.value))
            .collect()
    }

    #[test]
    fn the_newest_issue_counts_from_when_it_was_issued() {
        let mut forecasts = Forecasts::default();
        assert!(forecasts.apply(10, 100, Some(1.0)) && forecasts.apply(10, 200, Some(2.0)));
        assert!(forecasts.apply(50, 100, Some(3.0)));
        assert!(!forecasts.apply(50, 100, Some(3.0)), "a repeat changes nothing");
        assert_eq!(values(&forecasts, 9, 500), []);
        assert_eq!(values(&forecasts, 10, 500), [(100, 1.0), (200, 2.0)]);
        assert_eq!(values(&forecasts, 50, 500), [(100, 3.0), (200, 2.0)]);
        assert_eq!(values(&forecasts, 50, 50), [(100, 3.0)]);
        assert_eq!(values(&forecasts, 100, 500), [(200, 2.0)]);
        forecasts.changed.clear();
        // An older issue that comes late counts until the newer one.
        assert!(forecasts.apply(30, 100, Some(9.0)));
        assert_eq!(forecasts.changed, [(30, 50)]);
        assert_eq!(values(&forecasts, 40, 500), [(100, 9.0), (200, 2.0)]);
        assert_eq!(values(&forecasts, 60, 500), [(100, 3.0), (200, 2.0)]);
        assert!(forecasts.apply(60, 100, None));
        assert_eq!(values(&forecasts, 60, 500), [(200, 2.0)]);
    }

    #[test]
    fn changes_come_with_issues_and_with_time() {
        let mut forecasts = Forecasts::default();
        forecasts.apply(10, 100, Some(1.0));
        forecasts.apply(50, 200, Some(2.0));
        let changes: Vec<i64> = std::iter::successors(Some(0), |at| Some(forecasts.next_change(*at, 30)))
            .skip(1)
            .take_while(|at| *at < i64::MAX)
            .collect();
        assert_eq!(changes, [10, 50, 70, 100, 170, 200]);
    }

    #[test]
    fn what_is_let_go_is_asked_for_no_more() {
        let mut forecasts = Forecasts::default();
        for (issued, valid) in [(10, 100), (20, 100), (30, 100), (10, 40), (20, 200)] {
            forecasts.apply(issued, valid, Some(issued as f64));
        }
        let before = values(&forecasts, 25, 500);
        forecasts.forget(24);
        assert_eq!(values(&forecasts, 25, 500), before);
        assert_eq!(forecasts.values.len(), 4);
        forecasts.forget(100);
        assert_eq!(forecasts.values.len(), 1);
    }
}
