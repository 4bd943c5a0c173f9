//! What a gauge measures of one group: a measure of [`crate::gauge`], and what became of it before the floor.
//!
//! Before its **floor** a measure stays as it was: what comes or goes counts from there on. So a measure holds the spans that there are
//! from the floor on, and before it what was said at the time. It is not saved: [`Past`] holds the little that must be known of the time
//! before the floor, the rest is made of the spans again.

use std::collections::BTreeMap;

use riskflow_model::gauge::{Gauge, Measure};
use riskflow_model::{Level, Number, Text};
use serde::{Deserialize, Serialize};

use super::{GaugeSpan, NeededSpan};
use crate::gauge::{
    ALWAYS, Changes, Covered, Distinct, Elapsed, Fused, HighestLevel, HighestNumber, Missing, OPEN, Starts, Steps,
    Stretch, Sum,
};

/// The measure of one group. Nothing may be asked before its floor, once [`Measured::forget`] was called with it.
///
/// `bucket` tells which hour or day holds an instant; only `covered` and `starts` ask.
#[derive(Debug)]
pub(super) enum Measured {
    Count(Sum),
    Sum(Sum),
    Distinct(Distinct<Box<[Text]>>),
    HighestLevel(HighestLevel),
    HighestNumber(Numbers),
    Elapsed(Elapsed),
    Fused {
        fused: Fused<Box<[Text]>>,
        /// From so many tuples on the level is one higher.
        least: i128,
    },
    Covered(Covered),
    Starts(Starts),
    /// Of the tuples, by the texts of what they need.
    Missing(Missing<Box<[Text]>, Box<[Text]>>),
}

/// What a measure says of an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Value {
    /// How many, how much in thousandths, or for how many milliseconds.
    Number(i128),
    /// A level.
    Level(Level),
    /// No span has the number.
    Unknown,
}

/// What is the same from one change of a measure to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Piece {
    /// The value; of `elapsed` since when.
    Value(Value),
    /// Of `covered`: the value grows or stays.
    Grows {
        /// When the bucket began.
        bucket: i64,
        /// Whether there is any span.
        any: bool,
    },
}

/// What stays of a measure before its floor.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Past {
    /// From here on the measure is that of the spans that there are. Greater than [`ALWAYS`].
    pub(super) floor: i64,
    /// What it was just before.
    piece: Piece,
    /// Since when it was that; [`ALWAYS`] where it never was anything else.
    since: i64,
    /// A stretch that, so many times, makes up for all that the measure must know of the time before.
    carried: Option<(Stretch, i32)>,
}

/// The greatest number of all spans that have it.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    highest: HighestNumber,
    /// Of spans that began before the floor when they came: from when on they count. By beginning, end and number: of several that are
    /// the same in these it does not matter which one goes.
    cut: BTreeMap<(Stretch, i64), Vec<i64>>,
}

impl Value {
    /// That of a gauge where there is no span.
    pub(super) fn of_nothing(gauge: &Gauge) -> Self {
        match gauge.measure {
            Measure::Highest if gauge.number.is_some() => Self::Unknown,
            Measure::Highest | Measure::Fused => Self::Level(Level::None),
            _ => Self::Number(0),
        }
    }

    /// Whether a group without a span that holds need not be shown for it.
    pub(super) const fn is_nothing(self) -> bool {
        matches!(self, Self::Number(0) | Self::Level(Level::None) | Self::Unknown)
    }
}

impl Numbers {
    /// A span comes or goes. Spans are held as wholes: of one that goes its past is put in its place.
    fn add(&mut self, span: &GaugeSpan, came: bool, floor: i64) {
        let Some(number) = span.number else { return };
        let whole = Stretch::new(span.from.0, span.to.0);
        let mut changes = Changes::default();
        if came {
            if whole.from < floor && floor < whole.to {
                self.cut.entry((whole, number)).or_default().push(floor);
            }
            self.highest.add(number, whole.rest(floor), 1, &mut changes);
            return;
        }
        let counted = self.uncut(whole, number).map_or(whole, |from| whole.rest(from));
        if counted.rest(floor).is_empty() {
            return;
        }
        self.highest.add(number, counted, -1, &mut changes);
        self.highest
            .add(number, Stretch::new(counted.from, floor), 1, &mut changes);
    }

    /// From when on one that goes counted, if it was cut.
    fn uncut(&mut self, whole: Stretch, number: i64) -> Option<i64> {
        let cut = self.cut.get_mut(&(whole, number))?;
        let from = cut.pop();
        if cut.is_empty() {
            self.cut.remove(&(whole, number));
        }
        from
    }
}

impl Measured {
    /// The measure of a gauge, of no span.
    fn new(gauge: &Gauge) -> Self {
        match gauge.measure {
            Measure::Count => Self::Count(Sum::default()),
            Measure::Sum => Self::Sum(Sum::default()),
            Measure::Distinct => Self::Distinct(Distinct::default()),
            Measure::Highest if gauge.number.is_some() => Self::HighestNumber(Numbers::default()),
            Measure::Highest => Self::HighestLevel(HighestLevel::default()),
            Measure::Elapsed => Self::Elapsed(Elapsed::new(gauge.gap().0)),
            Measure::Fused => {
                let least = gauge
                    .at_least
                    .expect("that a gauge has it was checked when it was read");
                Self::Fused {
                    fused: Fused::new(least),
                    least: least.into(),
                }
            }
            Measure::Covered => Self::Covered(Covered::default()),
            Measure::Starts => Self::Starts(Starts::default()),
            Measure::Missing => Self::Missing(Missing::default()),
        }
    }

    /// The measure of a gauge, of no span but those that were before its floor.
    pub(super) fn after(gauge: &Gauge, past: Option<&Past>, bucket: &impl Fn(i64) -> Stretch) -> Self {
        let mut measured = Self::new(gauge);
        if let Some(past) = past {
            if let Some((stretch, times)) = past.carried {
                measured.carry(stretch, times, bucket);
            }
            measured.forget(past.floor, bucket);
        }
        measured
    }

    /// A span comes or goes, from the floor on. A beginning before the floor neither comes nor goes.
    pub(super) fn add(&mut self, span: &GaugeSpan, came: bool, floor: i64, bucket: &impl Fn(i64) -> Stretch) {
        let stretch = Stretch::new(span.from.0, span.to.0).rest(floor);
        let times = if came { 1 } else { -1 };
        let mut changes = Changes::default();
        match self {
            Self::Count(sum) => sum.add(stretch, 1, times, &mut changes),
            Self::Sum(sum) => sum.add(stretch, span.weight, times, &mut changes),
            Self::Distinct(distinct) => {
                if let Some(tuple) = &span.tuple {
                    distinct.add(tuple, stretch, times, &mut changes);
                }
            }
            Self::HighestLevel(highest) => highest.add(span.level, stretch, times, &mut changes),
            Self::HighestNumber(numbers) => numbers.add(span, came, floor),
            Self::Elapsed(elapsed) => elapsed.add(stretch, times, &mut changes),
            Self::Fused { fused, .. } => fused.add(span.level, span.tuple.as_ref(), stretch, times, &mut changes),
            Self::Covered(covered) => covered.add(stretch, times, bucket, &mut changes),
            Self::Starts(starts) => {
                let from = span.from.0;
                if from >= floor {
                    // A span begins even if it holds at no instant.
                    let begins = Stretch::new(from, from.saturating_add(1));
                    starts.add(begins, times, bucket, &mut changes);
                }
            }
            Self::Missing(missing) => {
                if let (Some(of), Some(on)) = (&span.tuple, &span.needs) {
                    missing.add(of, on, stretch, times, &mut changes);
                }
            }
        }
    }

    /// A span that others need comes, so many times, or goes (less than 0); from the floor on.
    pub(super) fn add_needed(&mut self, span: &NeededSpan, times: i32, floor: i64) {
        if let Self::Missing(missing) = self {
            let stretch = Stretch::new(span.from.0, span.to.0).rest(floor);
            missing.add_other(&span.on, stretch, times, &mut Changes::default());
        }
    }

    /// The value at an instant.
    pub(super) fn value(&self, at: i64, bucket: &impl Fn(i64) -> Stretch) -> Value {
        match self {
            Self::Count(sum) | Self::Sum(sum) => Value::Number(sum.value(at)),
            Self::Distinct(distinct) => Value::Number(distinct.value(at)),
            Self::HighestLevel(highest) => Value::Level(highest.value(at)),
            Self::HighestNumber(numbers) => {
                let number = numbers.highest.value(at);
                number.map_or(Value::Unknown, |number| Value::Number(number.into()))
            }
            Self::Elapsed(elapsed) => Value::Number(elapsed.value(at)),
            Self::Fused { fused, .. } => Value::Level(fused.value(at)),
            Self::Covered(covered) => Value::Number(covered.value(at, bucket)),
            Self::Starts(starts) => Value::Number(starts.value(at)),
            Self::Missing(missing) => Value::Number(missing.value(at)),
        }
    }

    /// What a row shows of the value at an instant: a number and a level. Of `covered` it is the value at `since`, from which on it grew
    /// or stayed.
    pub(super) fn shown(&self, value: Value, at: i64, since: i64) -> (Option<Number>, Option<Level>) {
        let number = match (self, value) {
            (_, Value::Level(level)) => return (None, Some(level)),
            (_, Value::Unknown) | (Self::Elapsed(_), Value::Number(_)) => return (None, None),
            (Self::Sum(_) | Self::HighestNumber(_), Value::Number(number)) => number as f64 / 1_000.0,
            (Self::Covered(covered), Value::Number(number)) => {
                let grows = covered.steps().value(at) >= 1;
                let grown = if grows { at - since } else { 0 };
                (number - i128::from(grown)) as f64
            }
            (_, Value::Number(number)) => number as f64,
        };
        (Some(Number(number)), None)
    }

    /// Where the value may be another one after a span of this stretch came or went.
    pub(super) fn touched(&self, stretch: Stretch, bucket: &impl Fn(i64) -> Stretch) -> Stretch {
        let Stretch { from, to } = stretch;
        let to = match self {
            // What follows may be of another chain.
            Self::Elapsed(_) => OPEN,
            Self::Covered(_) if to == OPEN => OPEN,
            Self::Covered(_) => bucket(to.max(ALWAYS + 2) - 1).to,
            Self::Starts(_) if from > ALWAYS => bucket(from).to,
            _ => to,
        };
        Stretch { from, to }
    }

    /// The first instant after one at which the truth of `value >= bound` may become another one; of levels, and of what may be unknown,
    /// at which the value may.
    pub(super) fn next_crossing(&self, after: i64, bound: i128, bucket: &impl Fn(i64) -> Stretch) -> Option<i64> {
        let later = |at: i128| i64::try_from(at).ok().filter(|at| *at > after);
        match self {
            Self::Count(sum) | Self::Sum(sum) => next_flip(sum.steps(), after, bound),
            Self::Distinct(distinct) => next_flip(distinct.steps(), after, bound),
            Self::Starts(starts) => next_flip(starts.steps(), after, bound),
            Self::Missing(missing) => next_flip(missing.steps(), after, bound),
            Self::HighestLevel(highest) => next_level(highest, after),
            Self::HighestNumber(Numbers { highest, .. }) => highest.next_change(after),
            Self::Fused { fused, least } => next_fused(fused, *least, after),
            Self::Elapsed(elapsed) => {
                let reached = elapsed.since(after).and_then(|since| later(i128::from(since) + bound));
                next_flip(elapsed.steps(), after, 1).into_iter().chain(reached).min()
            }
            Self::Covered(covered) => {
                let grows = covered.steps().value(after) >= 1;
                let lacks = bound - covered.value(after, bucket);
                let reached = grows.then(|| later(i128::from(after) + lacks)).flatten();
                let flip = next_flip(covered.steps(), after, 1);
                flip.into_iter().chain(reached).chain([bucket(after).to]).min()
            }
        }
    }

    fn piece(&self, at: i64, bucket: &impl Fn(i64) -> Stretch) -> Piece {
        match self {
            Self::Elapsed(elapsed) => {
                let since = elapsed.since(at);
                Piece::Value(since.map_or(Value::Unknown, |since| Value::Number(since.into())))
            }
            Self::Covered(covered) => Piece::Grows {
                bucket: bucket(at).from,
                any: covered.steps().value(at) >= 1,
            },
            _ => Piece::Value(self.value(at, bucket)),
        }
    }

    /// The first instant after one, and up to another, at which the piece becomes another one.
    fn next_change(&self, after: i64, up_to: i64, bucket: &impl Fn(i64) -> Stretch) -> Option<i64> {
        let next = match self {
            Self::Count(sum) | Self::Sum(sum) => sum.steps().next_change(after),
            Self::Distinct(distinct) => distinct.steps().next_change(after),
            Self::HighestLevel(highest) => next_level(highest, after),
            Self::HighestNumber(Numbers { highest, .. }) => {
                first_other(after, up_to, |at| highest.value(at), |at| highest.next_change(at))
            }
            Self::Elapsed(elapsed) => next_flip(elapsed.steps(), after, 1),
            Self::Fused { fused, least } => {
                first_other(after, up_to, |at| fused.value(at), |at| next_fused(fused, *least, at))
            }
            Self::Covered(covered) => {
                let end = bucket(after).to;
                let flip = next_flip(covered.steps(), after, 1);
                Some(flip.map_or(end, |flip| flip.min(end)))
            }
            Self::Starts(starts) => starts.steps().next_change(after),
            Self::Missing(missing) => missing.steps().next_change(after),
        };
        next.filter(|next| *next <= up_to)
    }

    /// The last instant after the floor, and up to one, at which the piece became another one.
    fn last_change(&self, floor: i64, at: i64, bucket: &impl Fn(i64) -> Stretch) -> Option<i64> {
        let last = match self {
            Self::Count(sum) | Self::Sum(sum) => sum.steps().last_change(at),
            Self::Distinct(distinct) => distinct.steps().last_change(at),
            Self::Starts(starts) => starts.steps().last_change(at),
            Self::Missing(missing) => missing.steps().last_change(at),
            Self::HighestLevel(highest) => last_level(highest, at),
            Self::Covered(covered) => covered.steps().last_flip(at, 1).max(Some(bucket(at).from)),
            Self::HighestNumber(_) | Self::Elapsed(_) | Self::Fused { .. } => {
                return self.search_last_change(floor, at, bucket);
            }
        };
        last.filter(|last| *last > floor)
    }

    /// The same where only the next one can be asked for.
    fn search_last_change(&self, floor: i64, at: i64, bucket: &impl Fn(i64) -> Stretch) -> Option<i64> {
        // There is a change at `last`, and none after `end`.
        let (mut last, mut end) = (self.next_change(floor, at, bucket)?, at);
        while last < end {
            let middle = last + (end - last) / 2;
            match self.next_change(middle, end, bucket) {
                Some(later) => last = later,
                None => end = middle,
            }
        }
        Some(last)
    }

    /// Since when it is what it is at an instant, as a row says it; [`ALWAYS`] where it never was anything else. Of `elapsed` this means
    /// nothing where there is no span.
    pub(super) fn since(&self, at: i64, past: Option<&Past>, bucket: &impl Fn(i64) -> Stretch) -> i64 {
        if let Self::Elapsed(elapsed) = self {
            return elapsed.since(at).unwrap_or(ALWAYS);
        }
        let floor = past.map_or(ALWAYS, |past| past.floor);
        let last = self.last_change(floor, at, bucket);
        last.unwrap_or_else(|| match past {
            None => ALWAYS,
            Some(past) if past.piece == self.piece(past.floor, bucket) => past.since,
            Some(past) => past.floor,
        })
    }

    /// What will stay before a floor that is later than the one until now.
    pub(super) fn past(&self, floor: i64, until_now: Option<&Past>, bucket: &impl Fn(i64) -> Stretch) -> Past {
        let last = floor - 1;
        Past {
            floor,
            piece: self.piece(last, bucket),
            since: self.since(last, until_now, bucket),
            carried: self.carried(floor, bucket),
        }
    }

    /// What makes up for all spans before a floor: nothing, where what was says nothing of what is.
    fn carried(&self, floor: i64, bucket: &impl Fn(i64) -> Stretch) -> Option<(Stretch, i32)> {
        match self {
            Self::Elapsed(elapsed) => elapsed.before(floor).map(|chain| (chain, 1)),
            Self::Covered(covered) => {
                let covered = covered.value(floor, bucket) as i64;
                (covered > 0).then(|| (Stretch::new(floor - covered, floor), 1))
            }
            Self::Starts(starts) => {
                let begins = bucket(floor).from;
                let began = if begins < floor { starts.value(floor - 1) } else { 0 };
                (began > 0).then(|| (Stretch::new(begins, begins + 1), began as i32))
            }
            _ => None,
        }
    }

    /// Puts in what was carried.
    fn carry(&mut self, stretch: Stretch, times: i32, bucket: &impl Fn(i64) -> Stretch) {
        let mut changes = Changes::default();
        match self {
            Self::Elapsed(elapsed) => elapsed.add(stretch, times, &mut changes),
            Self::Covered(covered) => covered.add(stretch, times, bucket, &mut changes),
            Self::Starts(starts) => starts.add(stretch, times, bucket, &mut changes),
            _ => {}
        }
    }

    /// Lets go of what no instant from one on needs. To be called now and then: `distinct`, `fused` and `missing` ask every tuple.
    pub(super) fn forget(&mut self, before: i64, bucket: &impl Fn(i64) -> Stretch) {
        match self {
            Self::Count(sum) | Self::Sum(sum) => sum.forget(before),
            Self::Distinct(distinct) => distinct.forget(before),
            Self::HighestLevel(highest) => highest.forget(before),
            Self::HighestNumber(numbers) => numbers.highest.forget(before),
            Self::Elapsed(elapsed) => elapsed.forget(before),
            Self::Fused { fused, .. } => fused.forget(before),
            Self::Covered(covered) => covered.forget(before, bucket),
            Self::Starts(starts) => starts.forget(before),
            Self::Missing(missing) => missing.forget(before),
        }
    }
}

/// The first instant after one, and up to another, at which a value is another one. `next` gives those at which it may be.
fn first_other<V: PartialEq>(
    after: i64,
    up_to: i64,
    value: impl Fn(i64) -> V,
    next: impl Fn(i64) -> Option<i64>,
) -> Option<i64> {
    let before = value(after);
    let mut at = after;
    loop {
        at = next(at).filter(|next| *next <= up_to)?;
        if value(at) != before {
            return Some(at);
        }
    }
}

/// The first instant after one at which the truth of `value >= bound` becomes another one.
fn next_flip(steps: &Steps, after: i64, bound: i128) -> Option<i64> {
    if steps.value(after) >= bound {
        steps.next_below(after, bound)
    } else {
        steps.next_at_least(after, bound)
    }
}

/// The first instant after one at which the highest level becomes another one: its own spans end, or one of the next level begins.
fn next_level(highest: &HighestLevel, after: i64) -> Option<i64> {
    let level = highest.value(after);
    let above = Level::ALL.into_iter().find(|above| *above > level);
    let own = highest.steps(level);
    let own = own.and_then(|own| own.next_below(after, 1));
    let above = above.and_then(|above| highest.steps(above));
    let above = above.and_then(|above| above.next_at_least(after, 1));
    own.into_iter().chain(above).min()
}

/// The last instant up to one at which the highest level became another one.
fn last_level(highest: &HighestLevel, at: i64) -> Option<i64> {
    let level = highest.value(at);
    let above = Level::ALL.into_iter().find(|above| *above > level);
    let flips = [Some(level), above].into_iter().flatten();
    let flips = flips.filter_map(|level| highest.steps(level)?.last_flip(at, 1));
    flips.max()
}

/// The first instant after one at which a fused level may become another one.
fn next_fused(fused: &Fused<Box<[Text]>>, least: i128, after: i64) -> Option<i64> {
    let level = next_level(fused.highest(), after);
    match fused.highest().value(after) {
        // However many say so, it stays.
        Level::None | Level::Red => level,
        Level::Blue | Level::Yellow | Level::Orange => {
            let sources = next_flip(fused.sources().steps(), after, least);
            level.into_iter().chain(sources).min()
        }
    }
}
