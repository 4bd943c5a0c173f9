//! Fold `monitor`: the observations of one datastream, evaluated against its specification.
//!
//! The level of an entry (one rule on this datastream) is a function of the series, not of the path by which the
//! series was learnt. It is kept up to date by runs along the series ([`evaluation`]):
//!
//! ```text
//!   anchor            edit         meets the old run        base           clock
//!     │                 ├───────────────────►│                ├────────────►│
//!   behind the horizon    where a correction                  where the copy that
//!                         can reach                           is thrown away looks ahead
//! ```
//!
//! * `base` is the state at the last observation at or before the clock. An observation in order advances it. From there a copy
//!   runs to the clock, through expiries and deadlines, and is thrown away. It finds the level now, and when to look again.
//! * An observation out of order, a replacement or a deletion can change features in some stretches only ([`correction`]). A run
//!   begins in front of each, with the state of then, and ends where it meets what was there before.
//! * Every run goes over many instants at once where they cannot matter ([`leap`]): its cost depends on how often a
//!   condition changes, not on how many points there are.
//! * `anchor` is the state at a time that no correction can reach any more (behind the horizon). It stands for all older points.
//!
//! What comes out is the entry's level as change points: only where it differs from what was given before.

mod correction;
mod evaluation;
mod evidence;
mod finding;
mod forecast;
mod known;
mod leap;
mod series;
mod tally;
mod turns;
mod value;
mod walk;
mod watch;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use riskflow_config::{TimeSettings, UnknownSettings};
use riskflow_model::forecast::Forecast;
use riskflow_model::observation::{Observation, ObservationRecord, Op, Reading};
use riskflow_model::output::{Cause, DeadLetter, Origin, PayloadEncoding, Reason};
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, Key, Millis, Text};
use serde::{Deserialize, Serialize};

use crate::engine::{Diff, Fold, Next, SHARDS};
use crate::warning::specification::Specification;
use crate::warning::valid::NoValueMeter;

use correction::edits;
pub use finding::{Finding, Revision, Source, Track};
pub(crate) use finding::{forget_ended, forget_episodes};
use known::Known;
use series::{Outcome, Point};
use watch::{Context, Watch};

/// An observation on its way to the monitor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Observed {
    /// Where it came from.
    pub origin: Origin,
    /// What was observed.
    pub observation: Observation,
}

/// A forecast on its way to the monitor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Forecasted {
    /// Of the datastream's identifier.
    pub datastream: Key,
    /// Where it came from.
    pub origin: Origin,
    /// What is expected.
    pub forecast: Arc<Forecast>,
}

/// What comes of a datastream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Incoming {
    /// What was observed.
    Observed(Observed),
    /// What is forecast: seldom, so it does not make observations larger.
    Forecast(Box<Forecasted>),
}

/// Observations are many.
const _: () = assert!(size_of::<Incoming>() == size_of::<Observed>());

/// The fold's settings.
#[derive(Clone, Debug)]
pub struct Monitor {
    /// Horizons of event time.
    pub time: TimeSettings,
    /// Bounds for what is not known.
    pub unknown: UnknownSettings,
    /// What waits in each shard for datastreams to become known.
    waiting: Vec<Load>,
    /// Observations that are no values.
    no_values: Arc<NoValueMeter>,
    /// How many observations wait, over all workers of the process.
    all_waiting: Arc<AtomicU64>,
}

/// So much waits.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    observations: u64,
    bytes: u64,
}

impl Load {
    fn add(&mut self, one: &Waiting) {
        self.observations += 1;
        self.bytes += one.bytes();
    }

    fn take(&mut self, one: &Waiting) {
        self.observations -= 1;
        self.bytes -= one.bytes();
    }
}

/// Of one datastream: its retained series, the level of each rule on it, and observations that wait for its row.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct MonitorState {
    /// What `base.datastream` and the series say; `None` while there is no row.
    known: Option<Box<Known>>,
    /// What few datastreams have.
    aside: Option<Box<Aside>>,
}

/// What waits, and what ended.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Aside {
    /// Observations that wait for the row.
    waiting: Vec<Waiting>,
    /// Watches that ended since the last settling.
    ended: Vec<Ended>,
    /// Forecasts since the last settling while there is no row.
    astray: Vec<Forecasted>,
}

/// An observation that waits for its datastream's row.
#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    arrival: i64,
    observed: Observed,
}

impl Waiting {
    /// What it takes of memory; a short identifier lies within.
    fn bytes(&self) -> u64 {
        let id = &self.observed.observation.id;
        (size_of::<Self>() + if id.is_heap_allocated() { id.len() } else { 0 }) as u64
    }
}

/// A watch whose entry is no longer in force.
#[derive(Debug, Serialize, Deserialize)]
struct Ended {
    watch: Watch,
    datastream: Text,
    asset: Text,
    cause: Cause,
}

impl Monitor {
    /// A monitor with nothing waiting.
    #[must_use]
    pub fn new(time: TimeSettings, unknown: UnknownSettings) -> Self {
        Self {
            time,
            unknown,
            waiting: vec![Load::default(); SHARDS as usize],
            no_values: Arc::default(),
            all_waiting: Arc::default(),
        }
    }

    /// The same, which counts observations that are no values, and those that wait for the row of their datastream.
    #[must_use]
    pub fn counting(self, no_values: Arc<NoValueMeter>, all_waiting: Arc<AtomicU64>) -> Self {
        Self {
            no_values,
            all_waiting,
            ..self
        }
    }

    /// Whether one more may wait in a shard.
    fn has_room(&self, held: Load, one: &Waiting) -> bool {
        let share = |most: usize| (most as u64).div_ceil(SHARDS);
        held.observations < share(self.unknown.max_observations)
            && held.bytes + one.bytes() <= share(self.unknown.max_bytes)
    }

    fn retained(&self, now: i64, watches: &[Watch]) -> i64 {
        let reach = watches.iter().map(|watch| watch.entry.rule.reach).max().unwrap_or(0);
        now - self.time.horizon.0 - self.time.retain.0.max(reach)
    }

    /// What is retained no longer is out of sight, but for when the datastream was last heard of.
    fn limit_sight(&self, now: i64, known: &mut Known) {
        let floor = self.retained(now, &known.watches);
        known.hear(floor);
        known.sight.floor = known.sight.floor.max(floor);
    }

    fn take(&self, now: i64, known: &mut Known, observation: &Observation) {
        let time = observation.time.0;
        let (before, cause) = match known.apply(time, observation.reading, &self.no_values) {
            Outcome::Unchanged => return,
            Outcome::Changed(before) => (Some(before), Cause::Correction),
            Outcome::Added if now - time > self.time.late_after.0 => (None, Cause::LateData),
            Outcome::Added => (None, Cause::Data),
        };
        if time <= known.settled {
            known.changes.push((time, before));
        }
        for watch in &mut known.watches {
            watch.cause = watch.cause.max(Some(cause));
        }
    }

    /// Puts another specification in force; the watches that it ends go to `ended`. Whether anything changed.
    fn specify(&self, now: i64, known: &mut Known, next: Specification, ended: &mut Vec<Ended>) -> bool {
        let Specification { subject, entries, .. } = next;
        let before = std::mem::replace(&mut known.subject, subject);
        let next = &known.subject;
        let same_asset = before.asset == next.asset;
        let same_entries = known.watches.len() == entries.len()
            && known
                .watches
                .iter()
                .zip(&entries)
                .all(|(watch, entry)| watch.entry.is_same(entry));
        if same_entries && (same_asset || entries.is_empty()) {
            // Names, versions and sources are no part of what decides; and of what was loaded only now is it known what rules say.
            for (watch, entry) in known.watches.iter_mut().zip(entries) {
                watch.entry = entry;
            }
            return false;
        }
        let same_base = before.base == next.base && same_asset;
        let came_or_went = if same_base {
            Cause::RuleChange
        } else {
            Cause::BaseChange
        };
        self.limit_sight(now, known);
        let mut end = |watch: Watch, cause| {
            let datastream = before.datastream.text().clone();
            ended.extend(before.asset.clone().map(|asset| Ended {
                watch,
                datastream,
                asset: asset.into_text(),
                cause,
            }));
        };
        let mut old: Vec<Watch> = known.watches.drain(..).collect();
        for entry in entries {
            let same_rule = old
                .iter()
                .position(|watch| watch.entry.rule.record.id == entry.rule.record.id);
            let cause = match same_rule.map(|index| old.swap_remove(index)) {
                Some(mut watch) if same_asset && watch.entry.is_same(&entry) => {
                    watch.entry = entry;
                    known.watches.push(watch);
                    continue;
                }
                Some(watch) => {
                    let other_rule = watch.entry.rule != entry.rule;
                    let cause = if other_rule {
                        Cause::RuleChange
                    } else {
                        Cause::BaseChange
                    };
                    if same_asset {
                        known
                            .watches
                            .push(watch.edited(entry, &known.series, known.sight, cause));
                        continue;
                    }
                    end(watch, cause);
                    cause
                }
                None => came_or_went,
            };
            known.watches.push(Watch::new(entry, &known.series, known.sight, cause));
        }
        for watch in old {
            end(watch, came_or_went);
        }
        true
    }

    /// Moves anchors up to the horizon and lets go of what nobody can ask for any more.
    fn compact(&self, now: i64, known: &mut Known) {
        let anchor = now - self.time.horizon.0 - 1;
        if anchor.saturating_sub(known.compacted) < 2 * self.time.horizon.0 {
            return;
        }
        known.compacted = anchor;
        let retained = self.retained(now, &known.watches);
        let drop = known.series.position_after(retained);
        for watch in &mut known.watches {
            watch.move_anchor(&known.series, anchor, retained);
        }
        known.settled = known.settled.max(anchor);
        known.hear(retained);
        known.forget_forecasts(retained);
        known.series.drop_first(drop);
        for watch in &mut known.watches {
            watch.shift(drop);
        }
    }

    fn settle_known(&self, now: i64, known: &mut Known, out: &mut Vec<(Finding, Diff)>) -> i64 {
        let behind = known.series.position_after(now);
        let next = known.series.get(behind).map(Point::time);
        let last = behind.checked_sub(1).and_then(|last| known.series.get(last));
        let context = Context {
            now,
            series: &known.series,
            last: last.map_or(i64::MIN, Point::time),
            edits: (!known.changes.is_empty()).then(|| edits(&mut known.changes, &known.series)),
            subject: &known.subject,
        };
        let mut wake = i64::MAX;
        for watch in &mut known.watches {
            wake = wake.min(watch.settle(&context, out));
        }
        if !known.watches.is_empty() {
            wake = next.map_or(wake, |next| wake.min(next));
        }
        let bases = known.watches.iter().map(|watch| watch.base.at());
        known.settled = bases.max().unwrap_or(i64::MIN);
        self.compact(now, known);
        wake
    }

    /// Gives up what waited too long or has no room, and says when to look again.
    fn settle_waiting(
        &mut self,
        now: i64,
        key: Key,
        waiting: &mut Vec<Waiting>,
        out: &mut Vec<(Finding, Diff)>,
    ) -> i64 {
        let shard = (key.route() % SHARDS) as usize;
        let mut held = self.waiting[shard];
        waiting.retain(|one| {
            // Newcomers were not counted yet.
            let newcomer = one.arrival == now;
            let keep = if newcomer {
                self.has_room(held, one)
            } else {
                now <= one.arrival + self.unknown.hold.0
            };
            match (newcomer, keep) {
                (true, true) => {
                    held.add(one);
                    self.all_waiting.fetch_add(1, Ordering::Relaxed);
                }
                (false, false) => {
                    held.take(one);
                    self.all_waiting.fetch_sub(1, Ordering::Relaxed);
                }
                _ => {}
            }
            if !keep {
                out.push((Finding::DeadLetter(Box::new(given_up(&one.observed))), 1));
            }
            keep
        });
        self.waiting[shard] = held;
        if waiting.capacity() > 4 * waiting.len().max(4) {
            waiting.shrink_to_fit();
        }
        let first = waiting.iter().map(|one| one.arrival).min();
        first.map_or(i64::MAX, |arrival| arrival + self.unknown.hold.0 + 1)
    }
}

/// For how long levels that ended are remembered: only a change of specification asks for them.
#[must_use]
pub fn remembered(time: &TimeSettings) -> Duration {
    const LEAST: i64 = 6 * 3_600_000;
    Duration(time.horizon.0 + time.retain.0.max(LEAST))
}

fn given_up(observed: &Observed) -> DeadLetter {
    let Observed { origin, observation } = observed;
    let record = ObservationRecord {
        datastream: observation.id.as_str().into(),
        phenomenon_time: observation.time,
        result: observation.reading.map(|reading: Reading| reading.result),
        quality: observation.reading.map(|reading| reading.quality).unwrap_or_default(),
        op: if observation.reading.is_some() {
            Op::Upsert
        } else {
            Op::Delete
        },
    };
    let payload = serde_json::to_string(&record).expect("an observation has text keys and finite numbers");
    unknown_datastream(&observation.id, *origin, &payload)
}

/// The dead letter of a forecast whose datastream has no row.
fn of_nobody(forecasted: &Forecasted) -> DeadLetter {
    let Forecasted { forecast, origin, .. } = forecasted;
    let payload = serde_json::to_string(&**forecast).expect("a forecast has text keys and finite numbers");
    unknown_datastream(&forecast.datastream, *origin, &payload)
}

fn unknown_datastream(id: &str, origin: Origin, payload: &str) -> DeadLetter {
    let detail = format!("`datastream` is `{id}`; give one of `base.datastream`");
    let topic = Topic::from_id(origin.topic).expect("a record has an origin in a topic");
    DeadLetter::new(
        (Reason::UnknownDatastream, &detail),
        (topic, origin.partition, origin.offset),
        payload,
        PayloadEncoding::Decoded,
    )
}

impl Fold for Monitor {
    type Key = Key;
    type Row = Box<Specification>;
    type Record = Incoming;
    type State = MonitorState;
    type Output = Finding;

    const NAME: &'static str = "monitor";

    fn route(key: &Key) -> u64 {
        key.route()
    }

    fn place(record: &Incoming) -> (Key, Origin) {
        match record {
            Incoming::Observed(observed) => (observed.observation.datastream, observed.origin),
            Incoming::Forecast(forecast) => (forecast.datastream, forecast.origin),
        }
    }

    fn rows(
        &mut self,
        Millis(now): Millis,
        key: Key,
        state: &mut MonitorState,
        changes: &mut dyn Iterator<Item = (Box<Specification>, Diff)>,
    ) -> bool {
        let Some((next, _)) = changes.filter(|(_, diff)| *diff > 0).last() else {
            // The series goes with the row.
            let Some(mut known) = state.known.take() else {
                return false;
            };
            let ended = &mut state.aside.get_or_insert_default().ended;
            self.specify(now, &mut known, Specification::default(), ended);
            return true;
        };
        let new = state.known.is_none();
        let known = state.known.get_or_insert_with(|| Box::new(Known::new(now)));
        let valid = next.valid.clone();
        let judged_otherwise = !new && known.valid != valid;
        if new {
            known.valid.clone_from(&valid);
        } else if judged_otherwise {
            self.limit_sight(now, known);
        }
        let mut ended = Vec::new();
        if let Some(aside) = &mut state.aside {
            let held = &mut self.waiting[(key.route() % SHARDS) as usize];
            let hold = self.unknown.hold.0;
            aside.waiting.retain(|one| {
                let in_time = now <= one.arrival + hold;
                if in_time {
                    held.take(one);
                    self.all_waiting.fetch_sub(1, Ordering::Relaxed);
                    let Observation { time, reading, .. } = one.observed.observation;
                    known.apply(time.0, reading, &self.no_values);
                }
                !in_time
            });
            ended = std::mem::take(&mut aside.ended);
        }
        let changed = self.specify(now, known, *next, &mut ended);
        // What goes on from an entry before it needs that one's own view up to the floor.
        if judged_otherwise {
            known.judge_by(valid);
        }
        if !ended.is_empty() {
            state.aside.get_or_insert_default().ended = ended;
        }
        changed || new || state.aside.is_some()
    }

    fn record(&mut self, Millis(now): Millis, _key: Key, state: &mut MonitorState, record: &mut Incoming) {
        match (record, &mut state.known) {
            (Incoming::Observed(observed), Some(known)) => self.take(now, known, &observed.observation),
            (Incoming::Observed(observed), None) => {
                let aside = state.aside.get_or_insert_default();
                let observed = observed.clone();
                aside.waiting.push(Waiting { arrival: now, observed });
            }
            (Incoming::Forecast(forecast), Some(known)) => known.expect(&forecast.forecast),
            (Incoming::Forecast(forecast), None) => {
                let astray = &mut state.aside.get_or_insert_default().astray;
                astray.push((**forecast).clone());
            }
        }
    }

    fn warm(state: &MonitorState, stage: usize) -> u64 {
        state.known.as_ref().map_or(0, |known| match stage {
            0 => known.warm(),
            _ => known
                .watches
                .iter()
                .fold(known.series.warm(), |sum, watch| sum ^ watch.warm(&known.series)),
        })
    }

    fn recall(&mut self, key: Key, state: &MonitorState, _out: &mut Vec<(Finding, Diff)>) {
        let held = &mut self.waiting[(key.route() % SHARDS) as usize];
        let waiting = state.aside.iter().flat_map(|aside| &aside.waiting);
        for one in waiting {
            held.add(one);
            self.all_waiting.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn settle(
        &mut self,
        Millis(now): Millis,
        key: Key,
        state: &mut MonitorState,
        out: &mut Vec<(Finding, Diff)>,
    ) -> Next {
        let mut wake = i64::MAX;
        if let Some(mut aside) = state.aside.take() {
            for ended in aside.ended.drain(..) {
                ended.watch.end(ended.asset, ended.datastream, ended.cause, out);
            }
            let astray = aside
                .astray
                .drain(..)
                .map(|astray| Finding::DeadLetter(Box::new(of_nobody(&astray))));
            out.extend(astray.map(|letter| (letter, 1)));
            if !aside.waiting.is_empty() {
                wake = self.settle_waiting(now, key, &mut aside.waiting, out);
            }
            state.aside = Some(aside).filter(|aside| !aside.waiting.is_empty());
        }
        if let Some(known) = &mut state.known {
            wake = wake.min(self.settle_known(now, known, out));
        } else if state.aside.is_none() {
            return Next::Forget;
        }
        if wake == i64::MAX {
            Next::Keep
        } else {
            Next::Wake(Millis(wake))
        }
    }
}
