//! The level of a rule over gauges at one asset: a run along the values of these gauges.
//!
//! ```text
//!   past             anchor           changed stretch           base          clock
//!   ──── the track ────┤                ├───────────►│             ├─────────────►│
//!   stays as it was    before the floor              meets the old run            and when to look again
//! ```
//!
//! Values are asked of the measures at the instants at which a comparison may become another one, however many steps lie between. A change
//! is run through from a little before where it begins, so that is known for how long conditions have held, until the levels are what they
//! were and everything that they wait for lies behind the change.

use std::sync::Arc;

use riskflow_config::{Comparison, Condition, LevelPlan, Limit, Operator, Rule};
use riskflow_model::gauge::{Gauge, Measure};
use riskflow_model::output::Cause;
use riskflow_model::{Key, Level, Millis, binary};
use serde::{Deserialize, Serialize};

use super::measured::{Measured, Value as Measures};
use super::subject::Gauges;
use crate::gauge::{OPEN, Stretch};
use crate::warning::{
    Forget, LEVELS, OverGauges, Phase, Set, Standing, THOUSANDTH, Track, Truth, Turns, Value, bounds, compare,
    forget_episodes, levels, phase_of, truth,
};

/// What a run goes along.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) terms: &'a Gauges,
    pub(super) over: &'a OverGauges,
    /// Of each gauge of the rule what is measured, if there is any span.
    pub(super) measured: &'a [Option<&'a Measured>],
}

/// Which levels are on at a time, and since when conditions hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Run {
    at: i64,
    levels: [Standing; LEVELS],
}

/// One rule at the asset.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Watch {
    /// The rule with its thresholds and gauges; `None` until it came again.
    #[serde(skip)]
    over: Option<Arc<OverGauges>>,
    /// The hash of what decides of it.
    condition: Key,
    /// The run up to just before the floor: what was before stays as it was.
    anchor: Run,
    /// The run up to the last look.
    base: Run,
    /// What turned from the anchor to there.
    turns: Turns,
    /// The level up to the anchor, as far as it is remembered.
    past: Track,
    /// The level as given out, and whether it was stale.
    shown: Track,
    stale: bool,
    /// Whether the lifecycle ever heard of it.
    told: bool,
    /// Where values may be others than at the last look.
    #[serde(skip)]
    changed: Option<Stretch>,
    /// Why, as far as spans say.
    #[serde(skip)]
    cause: Option<Cause>,
    /// Whether the entry is new or another, and why.
    #[serde(skip)]
    fresh: Option<Cause>,
    /// When something happens without any change; 0 until that is known.
    #[serde(skip)]
    due: i64,
}

/// What an entry gives out.
#[derive(Debug)]
pub(super) struct Given {
    /// The level over time, as far as it is remembered; `None` where only `stale` changed.
    pub(super) track: Option<Track>,
    pub(super) stale: bool,
    pub(super) cause: Cause,
    /// Of each episode that is over, and was not before, when it was at its highest, and how high that was.
    pub(super) over: Vec<(i64, Level)>,
}

/// The episodes of a track that are over: when each begins and ends, when it was at its highest, and how high that was.
fn over(track: &[(i64, Level)]) -> Vec<(i64, i64, (i64, Level))> {
    let mut found = Vec::new();
    let mut open: Option<(i64, (i64, Level))> = None;
    for (at, level) in track.iter().copied() {
        open = match open {
            Some((since, peak)) if level == Level::None => {
                found.push((since, at, peak));
                None
            }
            Some((since, peak)) => Some((since, if level > peak.1 { (at, level) } else { peak })),
            None if level == Level::None => None,
            None => Some((at, (at, level))),
        };
    }
    found
}

/// How many thousandths one of the value of a gauge is: sums and numbers are in thousandths, and times in milliseconds.
const fn thousandths(gauge: &Gauge) -> i128 {
    match gauge.measure {
        Measure::Sum | Measure::Elapsed | Measure::Covered => 1,
        Measure::Highest if gauge.number.is_some() => 1,
        _ => 1_000,
    }
}

/// The least value of a gauge on the other side of a threshold than those below it.
fn border(comparison: &Comparison, threshold: i64, gauge: &Gauge) -> i128 {
    let (threshold, one) = (i128::from(threshold), thousandths(gauge));
    match comparison.operator {
        // Up to the next whole one.
        Operator::AtLeast | Operator::Below => -(-threshold).div_euclid(one),
        Operator::Above | Operator::AtMost => threshold.div_euclid(one) + 1,
    }
}

impl<'a> Ground<'a> {
    fn rule(&self) -> &'a Rule {
        &self.over.entry.rule
    }

    /// The gauge of a feature and what is measured of it.
    fn gauge(&self, feature: usize) -> Option<(&'a Gauge, Option<&'a Measured>)> {
        let position = self.rule().features[feature].gauge;
        let position = position.expect("a rule over gauges has no other features");
        let gauge = self.over.gauges[position].as_ref()?;
        Some((gauge, self.measured[position]))
    }

    /// What a gauge says at an instant.
    pub(super) fn value(&self, feature: usize, at: i64) -> Value {
        let Some((gauge, measured)) = self.gauge(feature) else {
            return Value::Unknown;
        };
        let value = match measured {
            Some(measured) => measured.value(at, &self.terms.bucket(gauge.bucket)),
            None => Measures::of_nothing(gauge),
        };
        let number = match value {
            Measures::Unknown => return Value::Unknown,
            Measures::Level(level) => level.index() as i128,
            Measures::Number(number) => number,
        };
        Value::Ratio {
            over: number * thousandths(gauge) * THOUSANDTH,
            under: 1,
        }
    }

    pub(super) fn compare(&self, comparison: usize, moved: bool, at: i64) -> Truth {
        compare(&self.over.entry, comparison, moved, |feature, limit| {
            self.value(feature, at).against(limit)
        })
    }

    fn truth(&self, condition: &Condition, moved: bool, at: i64) -> Truth {
        let during = |position: usize| self.terms.calendar.is_during(&self.rule().during[position], at);
        truth(condition, &|comparison| self.compare(comparison, moved, at), &during)
    }

    /// The first instant after one at which a condition may be another one.
    fn next(&self, after: i64) -> i64 {
        let times = self.rule().during.iter();
        let mut next = times
            .map(|during| self.terms.calendar.next_change(during, after))
            .min()
            .unwrap_or(OPEN);
        for (comparison, limits) in bounds(&self.over.entry) {
            let Some((gauge, Some(measured))) = self.gauge(comparison.feature) else {
                continue;
            };
            for limit in limits {
                let Limit::Plain(threshold) = limit else {
                    unreachable!("gauges are in no unit of a datastream")
                };
                let border = border(comparison, threshold, gauge);
                let crossing = measured.next_crossing(after, border, &self.terms.bucket(gauge.bucket));
                next = next.min(crossing.unwrap_or(OPEN));
            }
        }
        next
    }

    /// For how long what was may matter: the longest hold or clear.
    fn wait(&self) -> i64 {
        let waits = self.rule().levels.iter().map(|plan| plan.hold.max(plan.clear));
        waits.max().unwrap_or(0)
    }
}

impl Run {
    /// Just before an instant, when these levels are on, and nothing is known of conditions.
    fn before(at: i64, on: Set) -> Self {
        Self {
            at: at - 1,
            levels: std::array::from_fn(|level| Standing::new(Phase::Neither, 0, on.has(level))),
        }
    }

    fn set(&self) -> Set {
        let on = self.levels.iter().enumerate();
        on.fold(Set::NONE, |set, (level, standing)| set.with(level, standing.on()))
    }

    /// The same with these levels on.
    fn put(&mut self, on: Set) {
        for (level, standing) in self.levels.iter_mut().enumerate() {
            *standing = Standing::new(standing.phase(), standing.since(), on.has(level));
        }
    }

    /// When the next condition may be another one, or has lasted.
    fn next(&self, ground: &Ground<'_>) -> i64 {
        let plans = ground.rule().levels.iter().zip(&self.levels);
        let turns = plans.filter_map(|(plan, standing)| standing.turns(plan));
        let turns = turns.filter(|at| *at > self.at);
        turns.chain([ground.next(self.at)]).min().unwrap_or(OPEN)
    }

    /// Goes on up to and including an instant, or the first one at which `stop` holds; what turns goes to `turns`. Gives when to look again.
    ///
    /// `afresh`: the next instant is looked at whatever is there.
    fn advance(
        &mut self,
        ground: &Ground<'_>,
        (until, afresh): (i64, bool),
        turns: &mut Turns,
        stop: impl Fn(&Self) -> bool,
    ) -> i64 {
        let mut next = if afresh { self.at + 1 } else { self.next(ground) };
        while next <= until {
            self.at = next;
            if self.judge(ground) {
                turns.push(next, self.set());
            }
            if stop(self) {
                return next;
            }
            next = self.next(ground);
        }
        self.at = self.at.max(until);
        next
    }

    /// Finds what holds at the instant, and what that turns; whether there is any.
    fn judge(&mut self, ground: &Ground<'_>) -> bool {
        let phase = |plan: &LevelPlan| phase_of(plan, |condition, moved| ground.truth(condition, moved, self.at));
        let phases: [Option<Phase>; LEVELS] =
            std::array::from_fn(|level| Some(phase(ground.rule().levels.get(level)?)));
        let plans = ground.rule().levels.iter().zip(&mut self.levels).zip(phases);
        plans.fold(false, |turned, ((plan, standing), phase)| {
            let phase = phase.expect("each plan has its phase");
            standing.judge(plan, phase, self.at) | turned
        })
    }
}

impl Watch {
    /// One that sees values from a floor on.
    pub(super) fn new(over: OverGauges, floor: i64, cause: Cause) -> Self {
        Self {
            condition: condition(&over),
            over: Some(Arc::new(over)),
            anchor: Run::before(floor, Set::NONE),
            base: Run::before(floor, Set::NONE),
            turns: Turns::default(),
            past: Track::new(),
            shown: Track::new(),
            stale: false,
            told: false,
            changed: Some(Stretch::new(floor, OPEN)),
            cause: None,
            fresh: Some(cause),
            due: 0,
        }
    }

    /// What it watches; `None` until it came again.
    pub(super) fn over(&self) -> Option<Arc<OverGauges>> {
        self.over.clone()
    }

    /// Whether anybody could have heard of it, and whether it was ever on.
    pub(super) const fn told(&self) -> (bool, bool) {
        (self.told, !self.shown.is_empty())
    }

    /// What spans did to it in this epoch.
    pub(super) const fn cause(&self) -> Cause {
        match self.cause {
            Some(cause) => cause,
            None => Cause::Clock,
        }
    }

    /// From when on values may be asked for.
    pub(super) const fn floor(&self) -> i64 {
        self.anchor.at + 1
    }

    /// The same entry, or one of the same rule in its place; the anchor must stand before the floor.
    pub(super) fn go_on(&mut self, over: OverGauges, floor: i64) {
        let next = condition(&over);
        if next == self.condition {
            if self.over.is_none() {
                // It was loaded. What became of its spans meanwhile is not told.
                self.changed = Some(Stretch::new(self.floor(), OPEN));
            }
            self.over = Some(Arc::new(over));
            return;
        }
        let cause = match self.over() {
            Some(old) if old.entry.rule.is_written_as(&over.entry.rule) && old.gauges == over.gauges => {
                Cause::BaseChange
            }
            _ => Cause::RuleChange,
        };
        // The floor of what was asked for never falls, whatever the settings are now.
        let floor = floor.max(self.floor());
        let on = self.anchor.set();
        let on = self.over().map_or(on, |old| on.carried(&old.entry.rule, &over.entry));
        *self = Self {
            anchor: Run::before(floor, on),
            base: Run::before(floor, on),
            past: std::mem::take(&mut self.past),
            shown: std::mem::take(&mut self.shown),
            stale: self.stale,
            told: self.told,
            cause: self.cause,
            ..Self::new(over, floor, cause)
        };
    }

    /// Values of a stretch may be others, for this reason; from the floor on.
    pub(super) fn touch(&mut self, stretch: Option<Stretch>, cause: Option<Cause>) {
        self.cause = self.cause.max(cause);
        let Some(stretch) = stretch else { return };
        self.due = 0;
        self.changed = Some(match self.changed {
            Some(known) => Stretch::new(known.from.min(stretch.from), known.to.max(stretch.to)),
            None => stretch,
        });
    }

    /// The floor rises: what lies before it stays as it is by now.
    pub(super) fn rise(&mut self, floor: i64, ground: &Ground<'_>) {
        let until = floor - 1;
        if until <= self.anchor.at {
            return;
        }
        if self.base.at <= until {
            self.base.advance(ground, (until, false), &mut self.turns, |_| false);
            self.extend_past(until);
            self.anchor = self.base.clone();
        } else {
            self.extend_past(until);
            self.anchor
                .advance(ground, (until, true), &mut Turns::default(), |_| false);
        }
        self.turns.forget_until(until);
    }

    /// Adds what turned since the anchor up to an instant to what is past.
    fn extend_past(&mut self, until: i64) {
        let track = self.track();
        self.past = track.into_iter().filter(|(at, _)| *at <= until).collect();
    }

    /// The level over time, as far as it is known.
    fn track(&self) -> Track {
        let mut track = self.past.clone();
        let Some(over) = &self.over else { return track };
        let rule = &over.entry.rule;
        let mut push = |at: i64, level: Level| {
            if track.last().is_some_and(|(last, _)| *last == at) {
                track.pop();
            }
            if track.last().map_or(Level::None, |(_, level)| *level) != level {
                track.push((at, level));
            }
        };
        let on = self.begun();
        push(self.floor(), on.level(rule));
        for (at, level) in levels(on, self.turns.from(0, &Turns::default()), rule) {
            push(at, level);
        }
        track
    }

    /// The levels that are on at the anchor.
    fn begun(&self) -> Set {
        self.anchor.set()
    }

    /// The levels that are on at a time from the anchor on.
    fn on_at(&self, at: i64) -> Set {
        match self.turns.after(at) {
            0 => self.begun(),
            turns => self.turns.set(turns),
        }
    }

    /// Runs through what changed, and on to the clock; gives when to look again.
    fn evaluate(&mut self, now: i64, ground: &Ground<'_>) -> i64 {
        let changed = self.changed.take();
        let changed = changed.map(|changed| changed.rest(self.floor()));
        if let Some(changed) = changed.filter(|changed| changed.from <= self.base.at) {
            self.run_through(changed, ground);
        }
        let afresh = changed.is_some_and(|changed| changed.from == self.base.at + 1);
        self.base.advance(ground, (now, afresh), &mut self.turns, |_| false)
    }

    fn run_through(&mut self, Stretch { from, to }: Stretch, ground: &Ground<'_>) {
        let wait = ground.wait();
        let begin = from.saturating_sub(wait) - 1;
        // For longer than anything waits nothing need be known.
        let mut run = if begin <= self.anchor.at {
            self.anchor.clone()
        } else {
            Run::before(begin, self.on_at(begin - 1))
        };
        if run.at < from - 1 {
            run.advance(ground, (from - 1, true), &mut Turns::default(), |_| false);
            run.put(self.on_at(from - 1));
        }
        let mut found = Turns::default();
        let settled = to.saturating_add(wait);
        run.advance(ground, (self.base.at, true), &mut found, |run| {
            run.at >= settled && run.set() == self.on_at(run.at)
        });
        let kept = self.turns.after(from - 1);
        let until = self.turns.after(run.at);
        self.turns.replace(kept, until, &found);
        if run.at == self.base.at {
            self.base = run;
        }
    }

    /// Whether there is anything to do.
    pub(super) const fn is_due(&self, now: i64) -> bool {
        self.due <= now || self.changed.is_some() || self.fresh.is_some()
    }

    /// The epoch is over: what was said of spans was of this one.
    pub(super) const fn pass(&mut self) {
        self.cause = None;
    }

    /// When there will be.
    pub(super) const fn due(&self) -> i64 {
        self.due
    }

    /// Gives what is different up to the clock. What ended at or before `remembered` the lifecycle may have forgotten.
    pub(super) fn settle(&mut self, now: Millis, remembered: i64, ground: &Ground<'_>) -> Option<Given> {
        self.due = self.evaluate(now.0, ground);
        let (fresh, cause) = (self.fresh.take(), self.cause.take());
        let forget = Forget::of(&self.shown, remembered);
        forget_episodes(&mut self.past, forget.told.min(self.anchor.at));
        let mut track = self.track();
        forget_episodes(&mut track, forget.told);
        let stale = self.is_stale(now.0, ground);
        let same = track == self.shown && (fresh.is_none() || track.is_empty());
        if same && stale == self.stale {
            forget_episodes(&mut self.shown, forget.from_now_on);
            return None;
        }
        self.stale = stale;
        self.told = true;
        let changed = (!same).then(|| track.clone());
        let before = over(&self.shown);
        let learnt = over(&track).into_iter().filter(|episode| !before.contains(episode));
        let over = learnt.map(|(_, _, peak)| peak).collect();
        self.shown = track;
        forget_episodes(&mut self.shown, forget.from_now_on);
        Some(Given {
            track: changed,
            stale,
            cause: fresh.max(cause).unwrap_or(Cause::Clock),
            over,
        })
    }

    /// Whether its level stands only because a gauge is unknown.
    fn is_stale(&self, now: i64, ground: &Ground<'_>) -> bool {
        let levels = ground.rule().levels.iter().zip(&self.base.levels);
        let highest = levels.rev().find(|(_, standing)| standing.on());
        highest.is_some_and(|(plan, _)| ground.truth(&plan.condition, false, now) == Truth::Unknown)
    }
}

/// The hash of what decides when levels are on.
fn condition(over: &OverGauges) -> Key {
    let OverGauges { entry, gauges } = over;
    binary::fingerprint(&(entry.rule.condition, &entry.thresholds, gauges))
}
