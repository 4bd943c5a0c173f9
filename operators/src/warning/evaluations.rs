//! How often rules were evaluated, for whoever asks which of them costs the most.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use riskflow_model::Text;

/// One evaluation in so many is looked at, and counts for all of them: to count each would cost as much as some of them do. A prime, so
/// that no rhythm in which keys settle hits the same key again and again.
pub(crate) const EVERY: u64 = 61;

/// Counts, by rule.
#[derive(Debug, Default)]
pub struct EvaluationMeter(Mutex<BTreeMap<Text, u64>>);

impl EvaluationMeter {
    fn counts(&self) -> MutexGuard<'_, BTreeMap<Text, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A rule was evaluated so often.
    pub fn count(&self, rule: &Text, times: u64) {
        let mut counts = self.counts();
        match counts.get_mut(rule) {
            Some(count) => *count += times,
            None => {
                counts.insert(rule.clone(), times);
            }
        }
    }

    /// The rules that were evaluated most often, at most so many.
    #[must_use]
    pub fn most(&self, at_most: usize) -> Vec<(Text, u64)> {
        let counts = self.counts();
        let mut all: Vec<(Text, u64)> = counts.iter().map(|(rule, count)| (rule.clone(), *count)).collect();
        drop(counts);
        all.sort_by(|(a, most), (b, least)| least.cmp(most).then_with(|| a.cmp(b)));
        all.truncate(at_most);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_are_told_first_and_no_more_than_were_asked_for() {
        let meter = EvaluationMeter::default();
        for (rule, times) in [("b", 1), ("c", 5), ("a", 1), ("b", 1), ("d", 2)] {
            meter.count(&rule.into(), times);
        }
        let expected = [("c", 5), ("b", 2), ("d", 2)].map(|(rule, times)| (Text::from(rule), times));
        assert_eq!(meter.most(3), expected);
        assert_eq!(meter.most(9).len(), 4);
    }
}
