//! What is forecast of one datastream: for each valid time what each issue says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Forecasts of one datastream. All times are milliseconds since the Unix epoch.
///
/// # Invariants
///
/// What is expected of a valid time, as of any time, is what the newest issue up to then says, whatever the order in which issues
/// were learnt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Forecasts {
    /// By valid time and issue.
    values: BTreeMap<(i64, i64), f64>,
    /// No issue is newer.
    newest: i64,
}

impl Forecasts {
    /// Puts, replaces or takes back what an issue says of a valid time; from when on anything else is expected than before, `None`
    /// where nothing is.
    pub(super) fn apply(&mut self, issued: i64, valid: i64, value: Option<f64>) -> Option<i64> {
        let place = (valid, issued);
        let before = match value {
            Some(value) => self.values.insert(place, value),
            None => self.values.remove(&place),
        };
        if value.is_some() {
            self.newest = self.newest.max(issued);
        }
        (before != value).then_some(issued)
    }

    /// What is expected of a valid time as of a time: the value of the newest issue up to then.
    #[cfg_attr(not(test), expect(dead_code, reason = "features over forecasts will ask for it"))]
    pub(super) fn at(&self, valid: i64, as_of: i64) -> Option<f64> {
        let mut issues = self.values.range((valid, i64::MIN)..=(valid, as_of));
        issues.next_back().map(|(_, value)| *value)
    }

    /// The first time behind `after` at which an issue begins to count, or which is a valid time; `i64::MAX` where there is none.
    /// A valid time enters a window that reaches *w* ahead when that is at it: `next_change(after + w) - w`.
    #[cfg_attr(not(test), expect(dead_code, reason = "features over forecasts will ask for it"))]
    pub(super) fn next_change(&self, after: i64) -> i64 {
        let valid = self.values.range((after.saturating_add(1), i64::MIN)..).next();
        let valid = valid.map_or(i64::MAX, |((valid, _), _)| *valid);
        if self.newest <= after {
            return valid;
        }
        // Hardly ever: an issue is from the future by as much as clocks differ.
        let issues = self.values.keys().map(|(_, issued)| *issued);
        issues.filter(|issued| *issued > after).fold(valid, i64::min)
    }

    /// Lets go of what no question as of `before` or later asks for: valid times before it, and issues that a newer one had
    /// replaced by then.
    pub(super) fn forget(&mut self, before: i64) {
        self.values = self.values.split_off(&(before, i64::MIN));
        let mut replaced = Vec::new();
        let mut last: Option<(i64, i64)> = None;
        for place in self.values.keys().filter(|(_, issued)| *issued <= before) {
            replaced.extend(last.filter(|(valid, _)| *valid == place.0));
            last = Some(*place);
        }
        for place in replaced {
            self.values.remove(&place);
        }
    }

    /// Whether nothing is forecast.
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecasts(said: &[(i64, i64, f64)]) -> Forecasts {
        let mut forecasts = Forecasts::default();
        for (issued, valid, value) in said {
            forecasts.apply(*issued, *valid, Some(*value));
        }
        forecasts
    }

    #[test]
    fn the_newest_issue_counts_in_any_order_of_arrival() {
        let said = [(10, 100, 1.0), (20, 100, 2.0), (30, 100, 3.0), (20, 200, 4.0)];
        let one = forecasts(&said);
        let mut other = said;
        other.reverse();
        assert_eq!(one, forecasts(&other));
        let as_of = [
            (9, None),
            (10, Some(1.0)),
            (19, Some(1.0)),
            (20, Some(2.0)),
            (30, Some(3.0)),
            (99, Some(3.0)),
        ];
        for (as_of, expected) in as_of {
            assert_eq!(one.at(100, as_of), expected, "as of {as_of}");
        }
        assert_eq!((one.at(200, 25), one.at(150, 99)), (Some(4.0), None));
    }

    #[test]
    fn a_repeat_changes_nothing_and_a_correction_tells_from_when_on() {
        let mut forecasts = forecasts(&[(10, 100, 1.0), (20, 100, 2.0)]);
        assert_eq!(forecasts.apply(20, 100, Some(2.0)), None);
        assert_eq!(forecasts.apply(10, 100, Some(5.0)), Some(10));
        assert_eq!((forecasts.at(100, 15), forecasts.at(100, 20)), (Some(5.0), Some(2.0)));
        assert_eq!(forecasts.apply(20, 100, None), Some(20));
        assert_eq!(forecasts.at(100, 20), Some(5.0), "the issue before counts again");
        assert_eq!(forecasts.apply(20, 100, None), None);
    }

    #[test]
    fn it_tells_when_anything_changes_by_the_clock() {
        let forecasts = forecasts(&[(10, 100, 1.0), (60, 100, 2.0), (10, 200, 3.0)]);
        for (after, next) in [(0, 10), (10, 60), (60, 100), (99, 100), (100, 200), (200, i64::MAX)] {
            assert_eq!(forecasts.next_change(after), next, "after {after}");
        }
        assert_eq!(forecasts.next_change(i64::MAX), i64::MAX);
        // 100 ahead.
        assert_eq!(forecasts.next_change(70 + 100) - 100, 100);
    }

    #[test]
    fn what_is_forgotten_answers_no_question_of_later() {
        let said = [
            (10, 100, 1.0),
            (20, 100, 2.0),
            (10, 40, 0.0),
            (10, 50, 3.0),
            (70, 100, 4.0),
            (50, 100, 5.0),
        ];
        let whole = forecasts(&said);
        let mut forgetful = whole.clone();
        forgetful.forget(50);
        for valid in [50, 100] {
            for as_of in 50..=100 {
                assert_eq!(
                    forgetful.at(valid, as_of),
                    whole.at(valid, as_of),
                    "{valid} as of {as_of}"
                );
            }
        }
        assert_eq!(forgetful.values.len(), 3);
        forgetful.forget(101);
        assert!(forgetful.is_empty());
    }
}
