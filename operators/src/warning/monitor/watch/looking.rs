//! What a watch says of one time, for whoever asks. It changes nothing, and no observation waits for it.

use riskflow_config::{Bound, Condition, LevelPlan, Limit};
use riskflow_model::{Duration, Level, Millis};

use super::Watch;
use crate::warning::monitor::evaluation::{Evaluation, Phase, Standing};
use crate::warning::monitor::evidence;
use crate::warning::monitor::look::{Judged, Look, LookedLevel, Weighed};
use crate::warning::monitor::turns::{Set, Turns, levels};
use crate::warning::monitor::value::{Truth, compare};
use crate::warning::monitor::walk::{Ground, Walk};
use crate::warning::monitor::window;
use crate::warning::specification::{Entry, Subject};

impl Watch {
    /// What the entry says at a time, by what is known now. `None` where that time lies before all that is still known of it.
    pub(in crate::warning::monitor) fn look(&self, ground: Ground<'_>, at: i64, subject: &Subject) -> Option<Look> {
        let floor = self.sight.floor;
        let begins = (floor > i64::MIN).then_some(Millis(floor));
        let record = &self.entry.rule.record;
        let look = Look {
            rule: record.id.clone(),
            rule_name: record.name.clone(),
            rule_version: record.version,
            datastream: subject.datastream.clone(),
            begins,
            level: Level::None,
            since: None,
            stale: false,
            levels: Vec::new(),
        };
        if at <= floor {
            return Some(look);
        }
        let (run, turns) = self.as_of(ground, at)?;
        let mut walk = self.walk(ground);
        let (level, stale) = run.standing(&mut walk, at);
        let plans = self.entry.rule.levels.iter().enumerate();
        let levels = plans.map(|(place, plan)| {
            let standing = run.levels[place];
            let on_since = standing.on().then(|| on_since(&turns, place)).flatten();
            self.look_at(&walk, at, (plan, standing, on_since), subject)
        });
        Some(Look {
            level,
            since: self.level_since(&turns).filter(|_| level > Level::None),
            stale,
            levels: levels.collect(),
            ..look
        })
    }

    /// The run as it stands at a time, and which levels were on up to there.
    fn as_of(&self, ground: Ground<'_>, at: i64) -> Option<(Evaluation, Turns)> {
        let mut turns = self.turns.clone();
        if self.base.at() <= at {
            // As when it settles, but that what is found stays.
            let mut walk = self.walk(ground).lazy();
            let mut run = self.base.clone();
            run.advance(&mut walk, at, &mut turns);
            return Some((run, turns));
        }
        let mut walk = self.walk(ground);
        let run = self.state(&mut walk, at);
        let behind = turns.after(at);
        turns.replace(behind, turns.len(), &Turns::default());
        (run.at() <= at).then_some((run, turns))
    }

    /// Since when the level is what it is at the end of these turns.
    fn level_since(&self, turns: &Turns) -> Option<Millis> {
        let nothing = Turns::default();
        let track = levels(Set::NONE, turns.from(0, &nothing), &self.entry.rule);
        track.last().map(|(time, _)| Millis(*time))
    }

    fn look_at(
        &self,
        walk: &Walk<'_>,
        at: i64,
        (plan, standing, on_since): (&LevelPlan, Standing, Option<Millis>),
        subject: &Subject,
    ) -> LookedLevel {
        let explanation = evidence::explain(walk, at, plan.level, subject);
        let unit = &explanation.unit;
        let mut when = self.judge(walk, at, (&plan.condition, false), unit);
        if when.truth == Truth::Yes && standing.phase() != Phase::Held {
            // By times alone: before anything is seen no condition is true.
            when.truth = Truth::Unknown;
        }
        let until = plan.until.as_ref();
        let until = until.map(|until| self.judge(walk, at, (until, false), unit));
        let until = until.filter(|until| until.truth != Truth::Absent);
        // Without `until` it turns off where the moved condition is false.
        let moved = match until {
            Some(_) => None,
            None => Some(self.judge(walk, at, (&plan.condition, true), unit)),
        };
        let waits = standing.waits().then_some(Millis(standing.since()));
        let (held_since, clear_since) = match standing.phase() {
            Phase::Held => (waits, None),
            Phase::False => (None, waits),
            Phase::Neither => (None, None),
        };
        let wait = if standing.on() { plan.clear } else { plan.hold };
        LookedLevel {
            level: plan.level,
            on: standing.on(),
            on_since,
            hold: Duration(plan.hold),
            held_since,
            clear: Duration(plan.clear),
            clear_since,
            turns: waits.map(|since| since + Duration(wait)),
            moved: moved.filter(|moved| *moved != when),
            until,
            when,
            explanation,
        }
    }

    /// Whether a condition holds, and each of its comparisons; with thresholds as they are for turning on, or `moved`.
    fn judge(&self, walk: &Walk<'_>, at: i64, (condition, moved): (&Condition, bool), unit: &str) -> Judged {
        let entry = &self.entry;
        let mut places = Vec::new();
        evidence::collect(condition, &mut places);
        let mut truths: Vec<(usize, Truth)> = Vec::new();
        let mut weighed = Vec::new();
        for index in places {
            let feature = entry.rule.features[entry.rule.comparisons[index].feature];
            let (shown, value) = evidence::value(walk, &feature, at, unit);
            let truth = compare(entry, index, moved, |_, limit: Limit<'_>| value.against(limit));
            let text = self.shown(&Condition::Comparison(index), moved);
            let limit = entry.limits(index).map(|[on, off]| if moved { off } else { on });
            let operator = entry.rule.comparisons[index].operator;
            let reaches = limit.and_then(|limit| window::reached(walk, &feature, at, (operator, limit)));
            truths.push((index, truth));
            weighed.push(Weighed {
                whose: evidence::whose(entry, index).map(|whose| evidence::given_limit(whose, text.clone())),
                comparison: text.into(),
                feature: shown,
                truth,
                reaches: reaches.map(Millis),
            });
        }
        let of = |index: usize| {
            let found = truths.iter().find(|(known, _)| *known == index);
            found.expect("all comparisons of the condition were weighed").1
        };
        Judged {
            condition: self.shown(condition, moved).into(),
            truth: walk.truth(condition, at, &of),
            comparisons: weighed,
        }
    }

    /// A condition in words, with its thresholds as they are for turning on, or moved.
    fn shown(&self, condition: &Condition, moved: bool) -> String {
        let Entry { rule, thresholds, .. } = &self.entry;
        if !moved {
            return rule.show_condition(condition, thresholds);
        }
        let off = |bound: Bound| Bound { on: bound.off, ..bound };
        let moved: Vec<Option<Bound>> = thresholds.iter().map(|bound| bound.map(off)).collect();
        rule.show_condition(condition, &moved)
    }
}

/// Since when a level is on that is on at the end of these turns.
fn on_since(turns: &Turns, level: usize) -> Option<Millis> {
    let nothing = Turns::default();
    let on = turns.from(0, &nothing).rev();
    let on = on.take_while(|(_, set)| set.has(level));
    on.last().map(|(time, _)| Millis(time))
}
