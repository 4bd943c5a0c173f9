//! What every part of the settings is checked with: each problem is noted, none ends the check.

use riskflow_model::{Duration, Problems, duration};

pub(crate) const SECOND: i64 = 1_000;
pub(crate) const DAY: i64 = 86_400 * SECOND;

#[derive(Default)]
pub(crate) struct Check {
    pub(crate) problems: Problems,
}

impl Check {
    pub(crate) fn duration(&mut self, field: &str, text: &str, min: i64, max: i64) -> i64 {
        let range = || format!("a duration from {} to {}", duration::show(min), duration::show(max));
        match duration::parse(text) {
            Ok(millis) if (min..=max).contains(&millis) => millis,
            _ => {
                self.problems.add(field, format!("`{text}`"), range());
                min
            }
        }
    }

    /// The same as a length of time.
    pub(crate) fn length(&mut self, field: &str, text: &str, min: i64, max: i64) -> Duration {
        Duration(self.duration(field, text, min, max))
    }

    pub(crate) fn count(&mut self, field: &str, found: usize, min: usize, max: usize) -> usize {
        if !(min..=max).contains(&found) {
            self.problems.add(field, found, format!("a number from {min} to {max}"));
            return min;
        }
        found
    }
}
