//! What is known of a datastream that has a row.

use riskflow_model::duration;
use riskflow_model::observation::Reading;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::following::leads;
use super::series::{Outcome, Point, Series};
use super::walk::Sight;
use super::watch::Watch;
use crate::engine::Pulse;
use crate::warning::specification::{Entry, Subject};
use crate::warning::valid::{NoValueMeter, Validity};

/// A known datastream. What every observation touches comes first: a visit waits for each line of the cache that it reads.
#[derive(Debug, Serialize, Deserialize)]
#[repr(C)]
pub(super) struct Known {
    pub(super) series: Series,
    /// No base stands behind this time.
    pub(super) settled: i64,
    /// When anchors were moved last.
    pub(super) compacted: i64,
    /// Which results are values.
    pub(super) valid: Validity,
    /// What few datastreams have. It comes with the rows and the observations, so it is not saved.
    #[serde(skip)]
    pub(super) seldom: Option<Box<Seldom>>,
    /// One for each entry in force.
    pub(super) watches: SmallVec<[Watch; 1]>,
    /// What a new entry sees, if it comes now.
    pub(super) sight: Sight,
    pub(super) subject: Subject,
}

/// What few datastreams have: corrections, and several forms of one rule.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    /// What stood at or before `settled` where it changed since the last settling: times, and the points as they were.
    pub(super) changes: Vec<(i64, Option<Point>)>,
    /// Which watch each watch follows; empty where none follows any.
    pub(super) leads: Vec<u16>,
}

/// So many intervals may pass without a reading: one may be lost, and the next be late.
const PATIENCE: i64 = 3;

/// Five cache lines, or six if it does not begin at one. Waiting for them is a tenth of the cost of an observation: measure
/// before you make it larger.
const _: () = assert!(size_of::<Known>() <= 320);

impl Known {
    /// Whose row came at this time.
    pub(super) fn new(now: i64) -> Self {
        Self {
            series: Series::default(),
            compacted: i64::MIN,
            settled: i64::MIN,
            valid: None,
            watches: SmallVec::new(),
            seldom: None,
            sight: Sight {
                floor: i64::MIN,
                heard: now,
            },
            subject: Subject::default(),
        }
    }

    /// Whether the watches are those of just these entries, and count in the same sets.
    pub(super) fn watches_just(&self, entries: &[Entry]) -> bool {
        let mut pairs = self.watches.iter().zip(entries);
        let same = |watch: &Watch, entry: &Entry| {
            watch.entry.is_same(entry) && watch.entry.rule.standing() == entry.rule.standing()
        };
        self.watches.len() == entries.len() && pairs.all(|(watch, entry)| same(watch, entry))
    }

    /// Finds out which watch each follows, now that the entries are these.
    pub(super) fn lead(&mut self) {
        let leads = leads(&self.watches);
        if !leads.is_empty() || self.seldom.is_some() {
            self.seldom.get_or_insert_default().leads = leads;
        }
    }

    /// Puts, replaces or takes back the observation of a time.
    pub(super) fn apply(&mut self, time: i64, reading: Option<Reading>, no_values: &NoValueMeter) -> Outcome {
        let why = match (&self.valid, reading) {
            (Some(valid), Some(reading)) if reading.quality.counts() => valid.judge(reading.result),
            _ => None,
        };
        let range = self.series.range();
        let outcome = self.series.apply(time, reading, why.is_none());
        if self.series.range() != range {
            self.watches.iter_mut().for_each(|watch| watch.calm = false);
        }
        if let Some(why) = why.filter(|_| outcome != Outcome::Unchanged) {
            no_values.count(why);
        }
        outcome
    }

    /// Notes the last observation up to a time behind which none changes any more. What was out of sight stays as it was judged
    /// then: whether it is still there depends on when the series was compacted.
    pub(super) fn hear(&mut self, until: i64) {
        let last = self.series.last_counted(until).map(Point::time);
        if let Some(last) = last.filter(|last| *last > self.sight.floor) {
            self.sight.heard = last;
        }
    }

    /// Whether it reports at the interval that its row says.
    pub(super) fn pulse(&self, now: i64) -> Pulse {
        let on_event = self.watches.iter().any(|watch| watch.entry.rule.on_event);
        let interval = self.subject.interval.as_deref().filter(|_| !on_event);
        let Some(interval) = interval.and_then(|interval| duration::parse(interval).ok()) else {
            return Pulse::NotExpected;
        };
        let last = self.series.position_after(now).checked_sub(1);
        let last = last.and_then(|last| self.series.get(last));
        let heard = last.map_or(self.sight.heard, |last| last.time().max(self.sight.heard));
        if now - heard > PATIENCE * interval {
            Pulse::Silent
        } else {
            Pulse::Beats
        }
    }

    /// Judges all points again by a changed range of valid values. Their entries have changed conditions too, and begin anew.
    pub(super) fn judge_by(&mut self, valid: Validity) {
        self.series
            .judge(|result| valid.as_ref().is_none_or(|valid| valid.judge(result).is_none()));
        self.valid = valid;
    }

    /// Reads each line that the state itself lies in, as one watch does.
    pub(super) fn warm(&self) -> u64 {
        let watched = self.watches.first().map_or(0, Watch::warm_self);
        self.settled as u64 ^ u64::from(self.valid.is_some()) ^ watched
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::observation::Quality;

    use super::*;

    #[test]
    fn a_datastream_is_silent_when_three_intervals_passed_without_a_reading() {
        let mut known = Known::new(1_000);
        assert_eq!(known.pulse(1_000_000), Pulse::NotExpected);
        known.subject.interval = Some("10s".into());
        assert_eq!(known.pulse(31_000), Pulse::Beats, "since its row came");
        assert_eq!(known.pulse(31_001), Pulse::Silent);
        let reading = Reading {
            result: 1.0,
            quality: Quality::Good,
        };
        for time in [20_000, 90_000] {
            known.apply(time, Some(reading), &NoValueMeter::default());
        }
        assert_eq!(known.pulse(50_000), Pulse::Beats);
        assert_eq!(
            known.pulse(50_001),
            Pulse::Silent,
            "what lies ahead is no sign of life yet"
        );
        assert_eq!(known.pulse(120_000), Pulse::Beats);
    }
}
