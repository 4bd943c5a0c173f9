//! Whether input still comes, topic by topic: how long ago the last record came, beside the pauses that are usual of that topic.
//!
//! A topic says its own rhythm: a feed of every ten seconds that is silent for an hour has stopped, one of every six hours has not. What
//! is usual is weighed by time: of all time that was watched, three quarters passed in pauses no longer. So many records at once
//! make no topic quick, and one outage makes none slow.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::{GaugeVec, Opts, Registry};
use riskflow_model::topic::Topic;

use super::add;

/// A topic that was watched for less tells no rhythm: an hour, in milliseconds.
const KNOWN: i64 = 3_600_000;

/// What is usual is that of one to two such stretches: twelve hours, in milliseconds.
const STRETCH: i64 = 12 * 3_600_000;

/// A topic on which nothing came for so long has no rhythm any more: a week, in milliseconds.
const FORGOTTEN: i64 = 7 * 24 * 3_600_000;

/// Pauses by the number of bits of their seconds: the last are longer than 48 days.
const BINS: usize = 24;

fn bin(pause: i64) -> usize {
    let seconds = (pause / 1_000).unsigned_abs();
    let bits = u64::BITS - seconds.leading_zeros();
    (bits as usize).min(BINS - 1)
}

/// Pauses of a stretch of time, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    began: i64,
    /// How long all pauses of a bin took.
    time: [i64; BINS],
    longest: [i64; BINS],
}

impl Stretch {
    const fn new(began: i64) -> Self {
        Self {
            began,
            time: [0; BINS],
            longest: [0; BINS],
        }
    }
}

/// When records of a topic came.
#[derive(Clone, Copy, Debug)]
struct Rhythm {
    last: i64,
    before: Stretch,
    now: Stretch,
}

impl Rhythm {
    const fn new(at: i64) -> Self {
        Self {
            last: at,
            before: Stretch::new(at),
            now: Stretch::new(at),
        }
    }

    fn came(&mut self, at: i64) {
        // A clock that was ahead went back.
        let pause = (at - self.last).max(0);
        self.last = at;
        let bin = bin(pause);
        self.now.time[bin] += pause;
        self.now.longest[bin] = self.now.longest[bin].max(pause);
        if at - self.now.began >= STRETCH {
            self.before = std::mem::replace(&mut self.now, Stretch::new(at));
        }
    }

    /// The pause that is usual, once it is known.
    fn usual(&self) -> Option<i64> {
        let time = |bin: usize| self.before.time[bin] + self.now.time[bin];
        let all: i64 = (0..BINS).map(time).sum();
        if all < KNOWN {
            return None;
        }
        let mut passed = 0;
        let bin = (0..BINS).find(|bin| {
            passed += time(*bin);
            passed * 4 >= all * 3
        });
        bin.map(|bin| self.before.longest[bin].max(self.now.longest[bin]))
    }
}

/// What a process knows of its input.
#[derive(Debug, Default)]
struct Known {
    rhythms: BTreeMap<Topic, Rhythm>,
    /// Since when the wall clock rules; `None` while a history is worked off.
    live: Option<i64>,
}

/// Metrics of input logs: tables are written when somebody has something to say.
pub struct InputPauses {
    pause: GaugeVec,
    usual: GaugeVec,
    known: Mutex<Known>,
}

impl InputPauses {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let pause = Opts::new(
            "riskflow_input_pause_seconds",
            "Seconds since the last record of an input log came to this process, or since it is live, by topic; only while live.",
        );
        let usual = Opts::new(
            "riskflow_input_usual_pause_seconds",
            "The pause between records that is usual of an input log, by topic: three quarters of the last 12 to 24 hours passed in pauses no \
             longer. Told once a topic was watched for an hour, and until nothing came for a week.",
        );
        Ok(Self {
            pause: add(registry, GaugeVec::new(pause, &["topic"])?)?,
            usual: add(registry, GaugeVec::new(usual, &["topic"])?)?,
            known: Mutex::default(),
        })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether epochs are closed by the wall clock, and what it says; a history says nothing of now.
    pub fn live(&self, now: Option<i64>) {
        let mut known = self.known();
        known.live = now.map(|now| known.live.unwrap_or(now));
    }

    /// Records of a topic were taken in an epoch of this time.
    pub fn came(&self, topic: Topic, at: i64) {
        if !topic.is_input_table() {
            let mut known = self.known();
            known.rhythms.entry(topic).or_insert_with(|| Rhythm::new(at)).came(at);
        }
    }

    /// Shows how it stands at this time.
    pub(super) fn show(&self, now: i64) {
        let known = self.known();
        self.pause.reset();
        self.usual.reset();
        for topic in Topic::inputs().filter(|topic| !topic.is_input_table()) {
            let rhythm = known.rhythms.get(&topic);
            if let Some(live) = known.live {
                let since = rhythm.map_or(live, |rhythm| rhythm.last.max(live));
                let pause = (now - since).max(0) as f64 / 1e3;
                self.pause.with_label_values(&[topic.name()]).set(pause);
            }
            let lasts = rhythm.filter(|rhythm| now - rhythm.last <= FORGOTTEN);
            if let Some(usual) = lasts.and_then(Rhythm::usual) {
                self.usual.with_label_values(&[topic.name()]).set(usual as f64 / 1e3);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;

    fn usual(times: impl IntoIterator<Item = i64>) -> Option<i64> {
        let mut rhythm = Rhythm::new(0);
        times.into_iter().for_each(|at| rhythm.came(at));
        rhythm.usual()
    }

    #[test]
    fn a_steady_feed_has_its_interval() {
        assert_eq!(
            usual((1..=59).map(|minute| minute * MINUTE)),
            None,
            "not watched for long"
        );
        assert_eq!(usual((1..=61).map(|minute| minute * MINUTE)), Some(MINUTE));
        assert_eq!(usual((1..=3).map(|day| day * 24 * HOUR)), Some(24 * HOUR));
        assert_eq!(usual((1..=7_200_000 / 100).map(|tick| tick * 100)), Some(100));
    }

    #[test]
    fn neither_one_outage_nor_many_records_at_once_hide_it() {
        let outage = (1..=600).map(|minute| (minute + if minute > 300 { 180 } else { 0 }) * MINUTE);
        assert_eq!(usual(outage), Some(MINUTE));
        let at_once = (0..10_000).chain((1..=8).map(|hour| hour * HOUR + 10_000));
        assert_eq!(usual(at_once), Some(HOUR + 1));
        // Nobody acts by night.
        let by_day = (0..3).flat_map(|day| (0..480).map(move |minute| day * 24 * HOUR + minute * MINUTE));
        assert_eq!(usual(by_day), Some(16 * HOUR + MINUTE));
    }

    #[test]
    fn a_new_rhythm_takes_the_place_of_the_old_one() {
        let quick = (1..=600).map(|minute| minute * MINUTE);
        let slow = (1..=40).map(|hour| 600 * MINUTE + hour * HOUR);
        assert_eq!(usual(quick.chain(slow)), Some(HOUR));
    }

    #[test]
    fn a_feed_that_ended_for_good_is_forgotten() {
        let registry = Registry::new();
        let input = InputPauses::new(&registry).unwrap();
        for hour in 0..=5 {
            input.came(Topic::IN_FORECAST, hour * HOUR);
        }
        let usual = |now| {
            input.show(now);
            let name = "riskflow_input_usual_pause_seconds";
            registry.gather().iter().any(|family| family.name() == name)
        };
        assert!(usual(5 * HOUR + FORGOTTEN));
        assert!(!usual(5 * HOUR + FORGOTTEN + 1));
        input.came(Topic::IN_FORECAST, 5 * HOUR + FORGOTTEN + 2);
        assert!(usual(5 * HOUR + FORGOTTEN + 3), "it came again");
    }

    #[test]
    fn a_pause_is_told_only_while_live() {
        let registry = Registry::new();
        let input = InputPauses::new(&registry).unwrap();
        let pauses = |now| {
            input.show(now);
            let families = registry.gather();
            let family = families
                .iter()
                .find(|family| family.name() == "riskflow_input_pause_seconds");
            let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
            let pauses = metrics
                .iter()
                .map(|metric| (metric.get_label()[0].value().to_owned(), metric.get_gauge().get_value()));
            pauses.collect::<BTreeMap<_, _>>()
        };
        input.came(Topic::IN_OBSERVATION, 1_000);
        input.came(Topic::IN_RULE, 1_000);
        assert_eq!(
            pauses(90_000),
            BTreeMap::new(),
            "the last record of a history came long ago"
        );
        input.live(Some(100_000));
        input.live(Some(101_000));
        let told = pauses(130_000);
        assert_eq!(told["in.observation"], 30.0);
        assert_eq!(told["in.forecast"], 30.0);
        assert!(!told.contains_key("in.rule"), "tables have no rhythm");
        input.came(Topic::IN_OBSERVATION, 120_000);
        assert_eq!(pauses(130_000)["in.observation"], 10.0);
        input.live(None);
        assert_eq!(pauses(140_000), BTreeMap::new());
    }
}
