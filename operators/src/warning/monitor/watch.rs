//! One entry under evaluation: its anchor, its base, and what was given out.

mod looking;
mod saved;
mod telling;

use riskflow_model::Level;
use riskflow_model::output::Cause;
use serde::{Deserialize, Serialize};

use super::correction::{Edit, Edits, stretches};
use super::evaluation::{Evaluation, LEVELS, Standing};
use super::finding::{Finding, Track};
use super::following::Course;
use super::series::Series;
use super::turns::{Set, Turns, begun, first_difference, levels};
use super::walk::{Ground, Sight, Walk};
use crate::engine::Diff;
use crate::warning::specification::{Entry, Subject};

/// One entry under evaluation. What every observation touches comes first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[repr(C)]
pub(super) struct Watch {
    /// Saved by what tells it apart: until rows come again, a rule that was loaded has a name only.
    #[serde(with = "saved")]
    pub(super) entry: Entry,
    pub(super) base: Evaluation,
    /// Which levels were on, up to `base`.
    pub(super) turns: Turns,
    /// The same behind `base`, up to the clock, as given out.
    ahead: Turns,
    /// From when on the watch sees what came.
    sight: Sight,
    /// That this watch is new, until it was settled once.
    fresh: Option<Box<Fresh>>,
    /// The levels that are on there, where it goes on from one with another condition.
    begin: Option<Set>,
    /// Level and staleness as given out, if above none.
    shown_standing: Option<(Level, bool)>,
    /// Whether the lifecycle ever heard of this watch.
    told: bool,
    /// Whether one whose place it took was on at any time up to its floor.
    was_on: bool,
    /// Whether no comparison may become true with no new observation, in the range that results have. Asked for with each of them.
    #[serde(skip)]
    pub(super) calm: bool,
    /// The greatest cause among the observations since it was settled.
    pub(super) cause: Option<Cause>,
    /// `None` until the series reaches back behind the horizon.
    anchor: Option<Box<Anchor>>,
}

/// A watch that was not settled yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Fresh {
    /// Why there is a new one.
    cause: Cause,
    /// Where it takes the place of one with another condition, whose level counts up to the floor.
    past: Option<Past>,
}

/// What was up to the floor of a watch that takes another's place.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Past {
    /// From here on the lifecycle has not heard of it.
    from: i64,
    /// The change points from there on.
    track: Track,
    /// The level at the floor; `None` where the one before began at the same floor, and what was there is not known here.
    level: Option<Level>,
    /// When what was on, as given out, had begun.
    since: Option<i64>,
}

/// What is known of a time that no correction reaches any more, beside the series.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Anchor {
    at: i64,
    last_counted: i64,
    levels: [Standing; LEVELS],
    /// Whether the datastream was heard of before all that is retained.
    heard_before: bool,
}

/// Whether the datastream was heard of before all that is retained.
const fn is_heard(anchor: Option<&Anchor>) -> bool {
    matches!(anchor, Some(anchor) if anchor.heard_before)
}

/// What the watches of one datastream have in common while they settle.
pub(super) struct Context<'a> {
    pub(super) now: i64,
    pub(super) ground: Ground<'a>,
    pub(super) last: i64,
    /// What became of points behind a base; `None` where none changed. Those that do not count only move positions.
    pub(super) edits: Option<Vec<Edit>>,
    /// In which stretches what is forecast became another.
    pub(super) forecast: &'a [(i64, i64)],
    pub(super) subject: &'a Subject,
    /// How far back an entry with another condition may begin to see.
    pub(super) reach: i64,
}

/// What going back behind the base came to.
#[derive(Default)]
struct Corrected {
    /// Where the level differs from the one given out before: from, until.
    range: Option<(i64, i64)>,
    /// The turns from a position on, as they were: the new run did not meet the old one.
    open: Option<(usize, Turns)>,
}

impl Watch {
    pub(super) fn new(entry: Entry, ground: Ground<'_>, sight: Sight, cause: Cause) -> Self {
        Self {
            sight,
            anchor: None,
            base: Evaluation::new(&Walk::new(&entry, ground, sight)),
            entry,
            turns: Turns::default(),
            ahead: Turns::default(),
            shown_standing: None,
            told: false,
            was_on: false,
            calm: false,
            cause: None,
            fresh: Some(Box::new(Fresh { cause, past: None })),
            begin: None,
        }
    }

    /// A watch of the same rule with another condition: up to the floor all stays as it was, and from there it goes on with the
    /// levels that are on.
    pub(super) fn edited(mut self, entry: Entry, ground: Ground<'_>, sight: Sight, cause: Cause) -> Self {
        let from = self.pass(ground, sight.floor);
        let (rule, nothing) = (&self.entry.rule, Turns::default());
        let start = self.turns.after(from - 1);
        let mut track = levels(self.turns.set(start), self.turns.from(start, &nothing), rule);
        track.retain(|(time, _)| *time <= sight.floor);
        let set = self.turns.at(sight.floor);
        let on = set.carried(rule, &entry);
        let mut turns = Turns::default();
        if on != Set::NONE {
            turns.push(sight.floor, on);
        }
        Self {
            base: Evaluation::new(&Walk::new(&entry, ground, sight).from(Some(on))),
            turns,
            told: self.told || !track.is_empty(),
            was_on: self.was_on || self.turns.after(sight.floor) > 0,
            shown_standing: self.shown_standing,
            fresh: Some(Box::new(Fresh {
                cause,
                past: Some(Past {
                    from,
                    track,
                    level: (self.begin.is_none() || self.sight.floor < sight.floor).then(|| set.level(rule)),
                    since: begun(self.turns.from(0, &self.ahead), rule),
                }),
            })),
            begin: Some(on),
            ..Self::new(entry, ground, sight, cause)
        }
    }

    /// Advances the base to a time, if it is not there yet. Returns the first time at which the level differs from what was given
    /// out before; if it differs nowhere, the millisecond after `until`.
    fn pass(&mut self, ground: Ground<'_>, until: i64) -> i64 {
        if self.base.at() >= until {
            return until + 1;
        }
        let (start, nothing) = (self.turns.len(), Turns::default());
        let mut walk = Walk::new(&self.entry, ground, self.sight)
            .from(self.begin)
            .anchored(is_heard(self.anchor.as_deref()))
            .lazy();
        self.base.advance(&mut walk, until, &mut self.turns);
        let (rule, before) = (&self.entry.rule, self.turns.set(start));
        let mut given = levels(before, self.ahead.from(0, &nothing), rule);
        given.retain(|(time, _)| *time <= until);
        let found = levels(before, self.turns.from(start, &nothing), rule);
        self.ahead.forget_until(until);
        first_difference(&given, &found).unwrap_or(until + 1)
    }

    /// Brings the watch up to the clock, gives out what changed, and says when to look again.
    pub(super) fn settle(&mut self, context: &Context<'_>, out: &mut Vec<(Finding, Diff)>) -> i64 {
        let Corrected { mut range, open } = match &context.edits {
            Some(edits) => self.correct(context.ground, (edits, context.forecast)),
            None if !context.forecast.is_empty() => self.correct(context.ground, (&[], context.forecast)),
            None => Corrected::default(),
        };
        let (start, old) = open.unwrap_or_else(|| (self.turns.len(), Turns::default()));
        let mut walk = Walk::new(&self.entry, context.ground, self.sight)
            .from(self.begin)
            .anchored(is_heard(self.anchor.as_deref()))
            .lazy()
            .calm(self.calm);
        let mut ahead = Turns::default();
        let mut next = self.base.advance(&mut walk, context.last, &mut self.turns);
        let standing = if next > context.now {
            self.base.standing(&mut walk, context.now)
        } else {
            let mut head = self.base.clone();
            next = head.advance(&mut walk, context.now, &mut ahead);
            head.standing(&mut walk, context.now)
        };
        self.calm = walk.is_calm();
        if !(old.is_empty() && self.ahead.is_empty() && ahead.is_empty() && start == self.turns.len()) {
            let (rule, before) = (&self.entry.rule, self.turns.set(start));
            let given = levels(before, old.from(0, &self.ahead), rule);
            let found = levels(before, self.turns.from(start, &ahead), rule);
            if let Some(first) = first_difference(&given, &found) {
                range = Some((range.map_or(first, |(from, _)| from), i64::MAX));
            }
            self.ahead = ahead;
        }
        self.give(context, standing, range, out);
        next
    }

    /// Whether others may follow it: it goes on from its base along new observations only.
    pub(super) fn may_lead(&self, context: &Context<'_>) -> bool {
        context.edits.is_none() && context.forecast.is_empty() && self.begin.is_none()
    }

    /// What others follow that ask for more, where it stayed off on the whole way from where it stood.
    pub(super) fn course(&self, from: Evaluation, next: i64) -> Option<Course> {
        let levels = self.entry.rule.levels.len();
        let stayed = next == i64::MAX && self.calm && from.is_off(levels) && self.base.is_in_the_phases_of(&from);
        stayed.then(|| Course {
            from,
            to: self.base.clone(),
            sight: self.sight,
            heard_before: is_heard(self.anchor.as_deref()),
            levels,
        })
    }

    /// Settles it without a look at any value, where it stands with the one that leads. Whether it did.
    pub(super) fn follow(&mut self, course: &Course) -> bool {
        let follows = self.base.stands_with(&course.from)
            && self.base.is_off(course.levels)
            && self.ahead.is_empty()
            && self.shown_standing.is_none()
            && self.fresh.is_none()
            && self.begin.is_none()
            && self.sight == course.sight
            && is_heard(self.anchor.as_deref()) == course.heard_before;
        if follows {
            self.base.go_with(&course.to);
            self.calm = true;
            self.cause = None;
        }
        follows
    }

    /// Makes base and turns right again after edits, some of them at or before the base.
    fn correct(&mut self, ground: Ground<'_>, edits: Edits<'_>) -> Corrected {
        let mut walk = Walk::new(&self.entry, ground, self.sight)
            .from(self.begin)
            .anchored(is_heard(self.anchor.as_deref()));
        let end = self.base.at();
        let mut rest = stretches(&walk, edits, end).into_iter().peekable();
        let mut corrected = Corrected::default();
        while let Some((from, mut to)) = rest.next() {
            let start = self.turns.after(from - 1);
            let mut run = self.state(&mut walk, from - 1);
            let mut found = Turns::default();
            let mut meets = |run: &Evaluation| {
                while let Some(next) = rest.next_if(|next| next.0 <= run.at() + 1) {
                    to = to.max(next.1);
                }
                // Behind the stretch phases are as they were; what is waited for must have begun there as well.
                let settled = |standing: &Standing| !standing.waits() || standing.since() > to;
                run.at() >= to && self.turns.at(run.at()) == run.set() && run.levels.iter().all(settled)
            };
            run.advance_unless(&mut walk, end, &mut found, &mut meets);
            if !meets(&run) {
                let old = self.turns.replace(start, self.turns.len(), &found);
                corrected.open = Some((start, old));
                self.base = run;
                break;
            }
            let old = self.turns.replace(start, self.turns.after(run.at()), &found);
            let (rule, before) = (&self.entry.rule, self.turns.set(start));
            let nothing = Turns::default();
            let given = levels(before, old.from(0, &nothing), rule);
            let found = levels(before, found.from(0, &nothing), rule);
            if let Some(first) = first_difference(&given, &found) {
                let from = corrected.range.map_or(first, |(from, _)| from);
                corrected.range = Some((from, run.at() + 1));
            }
        }
        self.base.seat(&walk, end);
        corrected
    }

    /// Where every run begins: at the anchor, or where the watch begins to see.
    fn origin(&self, walk: &Walk<'_>) -> Evaluation {
        let mut run = Evaluation::new(walk);
        if let Some(anchor) = &self.anchor {
            run.last_counted = anchor.last_counted;
            run.levels = anchor.levels;
            run.seat(walk, anchor.at);
        }
        run
    }

    /// The run as it stands at a time between the anchor and the base.
    fn state(&self, walk: &mut Walk<'_>, at: i64) -> Evaluation {
        let mut run = self.origin(walk);
        if run.at() < at {
            run.seat(walk, at);
            run.enter_phases(walk, self.turns.at(at));
            for level in 0..LEVELS {
                let standing = run.levels[level];
                if standing.waits() {
                    let since = self.since(walk, level, standing, at);
                    run.levels[level] = Standing::new(standing.phase(), since, standing.on());
                }
            }
        }
        run
    }

    /// Since when a level is in the phase in which it waits at a time; a run looks further and further back.
    fn since(&self, walk: &mut Walk<'_>, level: usize, standing: Standing, at: i64) -> i64 {
        let plan = &self.entry.rule.levels[level];
        let wait = if standing.on() { plan.clear } else { plan.hold };
        let mut back = wait / 64 + 1;
        loop {
            let mut run = self.origin(walk);
            let begin = at.saturating_sub(back);
            let inside = run.at() < begin;
            if inside {
                run.seat(walk, begin);
                run.enter_phases(walk, Set::NONE);
            }
            run.advance(walk, at, &mut Turns::default());
            let since = run.levels[level].since();
            // Had it lasted for longer, it would not be waited for.
            if !inside || since > begin || back > wait {
                return since;
            }
            back = back.saturating_mul(4);
        }
    }

    /// Whether the lifecycle heard of it.
    pub(super) const fn is_told(&self) -> bool {
        self.told
    }

    /// Whether any of its levels was ever on, as known now.
    pub(super) fn was_ever_on(&self) -> bool {
        !self.turns.is_empty() || !self.ahead.is_empty() || self.was_on
    }

    /// Reads the lines that the watch itself lies in.
    pub(super) fn warm_self(&self) -> u64 {
        self.base.warm_self() ^ u64::from(self.told)
    }

    /// Reads what the watch points to.
    pub(super) fn warm(&self, series: &Series) -> u64 {
        let threshold = self
            .entry
            .thresholds
            .first()
            .copied()
            .flatten()
            .map_or(0, |bound| bound.on);
        self.base.warm(series) ^ threshold as u64
    }

    /// Moves the anchor up to a time, and the base with it where it stands further back: to run on from there would be
    /// wrong. Then no point is needed that is not in a window of that time.
    ///
    /// Which levels were on is remembered from `remember` on: an entry with another condition goes on from there. What was observed
    /// before may be dropped after that.
    pub(super) fn move_anchor(&mut self, ground: Ground<'_>, until: i64, remember: i64) {
        let mut walk = Walk::new(&self.entry, ground, self.sight)
            .from(self.begin)
            .anchored(is_heard(self.anchor.as_deref()));
        if self.base.at() < until {
            let mut walk = Walk::new(&self.entry, ground, self.sight)
                .from(self.begin)
                .anchored(is_heard(self.anchor.as_deref()))
                .lazy();
            self.base.advance(&mut walk, until, &mut self.turns);
            self.ahead.forget_until(until);
        }
        let state = self.state(&mut walk, until);
        if state.at() < until {
            // Nothing was seen yet, so there is nothing to keep.
            return;
        }
        let Evaluation {
            at,
            last_counted,
            levels,
            ..
        } = state;
        self.anchor = Some(Box::new(Anchor {
            at,
            last_counted,
            levels,
            heard_before: walk.is_known(remember),
        }));
        self.base.seat(&walk, self.base.at());
        self.turns.forget(remember, &self.entry.rule);
    }

    /// The series lost its first points.
    pub(super) fn shift(&mut self, dropped: usize) {
        self.base.shift(dropped, &self.entry);
    }

    fn walk<'a>(&'a self, ground: Ground<'a>) -> Walk<'a> {
        Walk::new(&self.entry, ground, self.sight)
            .from(self.begin)
            .anchored(is_heard(self.anchor.as_deref()))
    }
}
