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

mod aside;
mod civil;
mod correction;
mod evaluation;
mod evidence;
mod finding;
mod following;
mod forecast;
mod incoming;
mod known;
mod leap;
mod letters;
mod look;
mod series;
mod span;
mod specify;
mod tally;
mod turns;
mod value;
mod waiting;
mod walk;
mod watch;
mod window;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::tz::TimeZone;
use riskflow_config::{CityDays, TimeSettings, UnknownSettings};
use riskflow_model::forecast::Forecast;
use riskflow_model::observation::{Observation, Reading};
use riskflow_model::output::{Cause, Origin};
use riskflow_model::{Duration, Key, Millis};
use serde::{Deserialize, Serialize};

use crate::engine::{Diff, Fold, Next, Pulse, SHARDS};
use crate::warning::evaluations::{EVERY, EvaluationMeter};
use crate::warning::specification::Specification;
use crate::warning::valid::NoValueMeter;

use aside::{Aside, Parting};
pub use civil::Civil;
use correction::edits;
pub(crate) use evaluation::{LEVELS, Phase, Standing, phase_of};
pub(crate) use evidence::{collect, given_limit, whose};
pub use finding::{Explained, Finding, Move, Revision, Source, Track};
pub(crate) use finding::{Forget, forget_ended, forget_episodes};
use forecast::Forecasts;
use incoming::reading_of;
pub use incoming::{Forecasted, Incoming, Observed};
use known::{Known, Seldom};
use letters::{of_nobody, stateless};
pub use look::{Judged, Look, LookedLevel, Weighed};
use series::{Outcome, Point, Series};
pub(crate) use turns::{Set, Turns, levels};
pub use value::Truth;
pub(crate) use value::{THOUSANDTH, Value, bounds, compare, truth};
use waiting::{Load, Waiting};
use walk::Ground;
use watch::{Context, Watch};

/// The fold's settings.
#[derive(Clone, Debug)]
pub struct Monitor {
    /// Horizons of event time.
    pub time: TimeSettings,
    /// Bounds for what is not known.
    pub unknown: UnknownSettings,
    /// The calendar of the city.
    civil: Civil,
    /// What waits in each shard for datastreams to become known.
    waiting: Vec<Load>,
    /// Observations that are no values.
    no_values: Arc<NoValueMeter>,
    /// How many observations wait, over all workers of the process.
    all_waiting: Arc<AtomicU64>,
    /// How often rules were evaluated, over all workers of the process.
    evaluations: Arc<EvaluationMeter>,
    /// How often datastreams settled here.
    settled: u64,
}

/// Of one datastream: its retained series, the level of each rule on it, and observations that wait for its row.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct MonitorState {
    /// What `base.datastream` and the series say; `None` while there is no row.
    known: Option<Box<Known>>,
    /// What few datastreams have.
    aside: Option<Box<Aside>>,
}

impl Monitor {
    /// A monitor with nothing waiting.
    #[must_use]
    pub fn new(time: TimeSettings, unknown: UnknownSettings) -> Self {
        Self {
            time,
            unknown,
            civil: Civil::default(),
            waiting: vec![Load::default(); SHARDS as usize],
            no_values: Arc::default(),
            all_waiting: Arc::default(),
            evaluations: Arc::default(),
            settled: 0,
        }
    }

    /// The same for a city whose clocks and days are such.
    #[must_use]
    pub fn in_city(self, zone: TimeZone, days: CityDays) -> Self {
        Self {
            civil: Civil::new(zone, days),
            ..self
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

    /// The same, which counts how often rules are evaluated.
    #[must_use]
    pub fn counting_evaluations(self, evaluations: Arc<EvaluationMeter>) -> Self {
        Self { evaluations, ..self }
    }

    /// One datastream in some stands for the others.
    fn count_evaluations(&mut self, known: &Known) {
        self.settled += 1;
        if self.settled.is_multiple_of(EVERY) {
            for watch in &known.watches {
                self.evaluations.count(&watch.entry.rule.record.id, EVERY);
            }
        }
    }

    fn ground<'a>(&'a self, series: &'a Series, forecasts: Option<&'a Forecasts>) -> Ground<'a> {
        Ground {
            series,
            civil: &self.civil,
            forecasts,
        }
    }

    /// Takes in what a forecast says. What was issued behind the horizon counts from there on.
    fn foresee(&self, now: i64, known: &mut Known, forecasts: &mut Forecasts, forecast: &Forecast) {
        let issued = forecast.issued.0;
        let from = issued.max(now - self.time.horizon.0);
        let applied = (forecast.expected()).map(|(valid, value)| forecasts.apply(issued, from, valid.0, value));
        let cause = applied.max().flatten();
        for watch in &mut known.watches {
            watch.cause = watch.cause.max(cause);
        }
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

    fn take(&self, now: i64, known: &mut Known, (time, reading): (i64, Option<Reading>)) {
        let (before, cause) = match known.apply(time, reading, &self.no_values) {
            Outcome::Unchanged => return,
            Outcome::Changed(before) => (Some(before), Cause::Correction),
            Outcome::Added if now - time > self.time.late_after.0 => (None, Cause::LateData),
            Outcome::Added => (None, Cause::Data),
        };
        if time <= known.settled {
            known.seldom.get_or_insert_default().changes.push((time, before));
        }
        for watch in &mut known.watches {
            watch.cause = watch.cause.max(Some(cause));
        }
    }

    /// Moves anchors up to the horizon and lets go of what nobody can ask for any more.
    fn compact(&self, now: i64, known: &mut Known, forecasts: Option<&mut Forecasts>) {
        let anchor = now - self.time.horizon.0 - 1;
        if anchor.saturating_sub(known.compacted) < 2 * self.time.horizon.0 {
            return;
        }
        known.compacted = anchor;
        let retained = self.retained(now, &known.watches);
        let drop = known.series.position_after(retained);
        for watch in &mut known.watches {
            watch.move_anchor(self.ground(&known.series, forecasts.as_deref()), anchor, retained);
        }
        if let Some(forecasts) = forecasts {
            // A rule that comes now sees from here on.
            forecasts.forget(retained, now - self.time.forecast_age.0);
        }
        known.settled = known.settled.max(anchor);
        known.hear(retained);
        known.series.drop_first(drop);
        for watch in &mut known.watches {
            watch.shift(drop);
        }
    }

    fn settle_known(
        &self,
        now: i64,
        known: &mut Known,
        mut forecasts: Option<&mut Forecasts>,
        out: &mut Vec<(Finding, Diff)>,
    ) -> i64 {
        let mut forecast = forecasts
            .as_mut()
            .map(|forecasts| std::mem::take(&mut forecasts.changed));
        // What begins behind every base is seen as it comes.
        forecast
            .iter_mut()
            .for_each(|changed| changed.retain(|(from, _)| *from <= known.settled));
        let behind = known.series.position_after(now);
        let next = known.series.get(behind).map(Point::time);
        let last = behind.checked_sub(1).and_then(|last| known.series.get(last));
        let (changes, leads) = match known.seldom.as_deref_mut() {
            Some(Seldom { changes, leads }) => (Some(changes).filter(|changes| !changes.is_empty()), &**leads),
            None => (None, &[][..]),
        };
        let context = Context {
            now,
            ground: self.ground(&known.series, forecasts.as_deref()),
            last: last.map_or(i64::MIN, Point::time),
            edits: changes.map(|changes| edits(changes, &known.series)),
            forecast: forecast.as_deref().unwrap_or_default(),
            subject: &known.subject,
            reach: now - self.retained(now, &known.watches),
        };
        let mut wake = following::settle(&mut known.watches, leads, &context, out);
        if !known.watches.is_empty() {
            wake = next.map_or(wake, |next| wake.min(next));
        }
        let bases = known.watches.iter().map(|watch| watch.base.at());
        known.settled = bases.max().unwrap_or(i64::MIN);
        self.compact(now, known, forecasts);
        wake
    }
}

/// For how long levels that ended are remembered: only a change of specification asks for them.
#[must_use]
pub fn remembered(time: &TimeSettings) -> Duration {
    const LEAST: i64 = 6 * 3_600_000;
    Duration(time.horizon.0 + time.retain.0.max(LEAST))
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
            let aside = state.aside.get_or_insert_default();
            aside.forecasts = Forecasts::default();
            aside.states = None;
            self.specify(now, (&mut known, None), Specification::default(), &mut aside.parting);
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
        let mut parting = Parting::default();
        if next.states.is_some() {
            state.aside.get_or_insert_default();
        }
        if let Some(aside) = state.aside.as_deref_mut() {
            aside.states.clone_from(&next.states);
            let held = &mut self.waiting[(key.route() % SHARDS) as usize];
            let hold = self.unknown.hold.0;
            aside.waiting.retain(|one| {
                let in_time = now <= one.arrival + hold;
                if in_time {
                    held.take(one);
                    self.all_waiting.fetch_sub(1, Ordering::Relaxed);
                    let Observation { time, said, .. } = &one.observed.observation;
                    match reading_of(said, || aside.states.as_deref()) {
                        Some(reading) => drop(known.apply(time.0, reading, &self.no_values)),
                        None => aside.stateless.push(one.observed.clone()),
                    }
                }
                !in_time
            });
            parting = std::mem::take(&mut aside.parting);
        }
        let forecasts = state.aside.as_ref().map(|aside| &aside.forecasts);
        let changed = self.specify(now, (known, forecasts), *next, &mut parting);
        // What goes on from an entry before it needs that one's own view up to the floor.
        if judged_otherwise {
            known.judge_by(valid);
        }
        if !parting.is_empty() {
            state.aside.get_or_insert_default().parting = parting;
        }
        changed || new || state.aside.is_some()
    }

    fn record(&mut self, Millis(now): Millis, _key: Key, state: &mut MonitorState, record: &mut Incoming) {
        match (record, &mut state.known) {
            (Incoming::Observed(observed), Some(known)) => {
                let Observation { time, said, .. } = &observed.observation;
                match reading_of(said, || state.aside.as_ref()?.states.as_deref()) {
                    Some(reading) => self.take(now, known, (time.0, reading)),
                    None => state.aside.get_or_insert_default().stateless.push(observed.clone()),
                }
            }
            (Incoming::Observed(observed), None) => {
                let aside = state.aside.get_or_insert_default();
                let observed = observed.clone();
                aside.waiting.push(Waiting { arrival: now, observed });
            }
            (Incoming::Forecast(forecasted), Some(known)) => {
                let aside = state.aside.get_or_insert_default();
                self.foresee(now, known, &mut aside.forecasts, &forecasted.forecast);
            }
            (Incoming::Forecast(forecasted), None) => {
                let aside = state.aside.get_or_insert_default();
                aside.astray.push((**forecasted).clone());
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

    fn pulse(state: &MonitorState, now: Millis) -> Pulse {
        let known = state.known.as_ref();
        known.map_or(Pulse::NotExpected, |known| known.pulse(now.0))
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
            // What others take over moves before it ends or changes.
            let moved = aside.parting.moved.drain(..);
            out.extend(moved.map(|revision| (Finding::Revision(Box::new(revision)), 1)));
            for ended in aside.parting.ended.drain(..) {
                ended.watch.end(&ended.asset, &ended.datastream, ended.cause, out);
            }
            for observed in aside.stateless.drain(..) {
                let letter = stateless(&observed, &aside.states);
                out.push((Finding::DeadLetter(Box::new(letter)), 1));
            }
            for forecasted in aside.astray.drain(..) {
                out.push((Finding::DeadLetter(Box::new(of_nobody(&forecasted))), 1));
            }
            if !aside.waiting.is_empty() {
                wake = self.settle_waiting(now, key, &mut aside.waiting, out);
            }
            state.aside = Some(aside).filter(|aside| !aside.is_empty());
        }
        if let Some(known) = &mut state.known {
            self.count_evaluations(known);
            let forecasts = state.aside.as_mut().map(|aside| &mut aside.forecasts);
            wake = wake.min(self.settle_known(now, known, forecasts, out));
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
