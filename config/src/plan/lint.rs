//! What in a rule is allowed, and will hardly do what its author means.

use std::fmt;

use riskflow_model::rule::{ComparisonRecord, ConditionRecord};
use riskflow_model::{Duration, Number, Text, duration};
use serde::Serialize;

use super::possible::{Judge, rule_bounds};
use super::{Bound, Comparison, Condition, Feature, LevelPlan, Rule};

/// A pane should be no more than such a part of a window.
const PANES: i64 = 10;

/// Something in a rule that will hardly do what its author means. The rule can be used all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleWarning {
    /// Where: a path such as `levels.blue.when.any[1].window`.
    pub path: String,
    /// What stands there.
    pub found: String,
    /// Why it matters.
    pub why: String,
    /// What to give instead.
    pub give: String,
}

impl fmt::Display for RuleWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, found, why, give } = self;
        write!(f, "`{path}` is {found}: {why}; give {give}")
    }
}

/// A datastream that a rule watches, and how often it reports.
#[derive(Clone, Debug)]
pub struct Reports {
    /// Its identifier.
    pub datastream: Text,
    /// As its row says.
    pub interval: Duration,
}

impl Rule {
    /// What will hardly do what its author means, in the order of levels: beside the datastreams that it watches, of those that say how
    /// often they report, and the horizon of observations.
    #[must_use]
    pub fn lint(&self, watched: &[Reports], horizon: Duration) -> Vec<RuleWarning> {
        let mut lint = Lint {
            rule: self,
            watched,
            warnings: Vec::new(),
        };
        for (position, plan) in self.levels.iter().enumerate() {
            let path = format!("levels.{}", plan.level);
            lint.level(&path, plan);
            lint.hold(&path, plan, horizon);
            if let Some(next) = self.levels.get(position + 1) {
                lint.alone(&path, plan, next);
            }
        }
        lint.warnings
    }
}

struct Lint<'a> {
    rule: &'a Rule,
    watched: &'a [Reports],
    warnings: Vec<RuleWarning>,
}

/// A comparison where it was written.
struct Leaf<'a> {
    path: String,
    written: &'a ComparisonRecord,
    comparison: &'a Comparison,
    index: usize,
}

/// How conditions are joined.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Join {
    Any,
    All,
}

impl<'a> Lint<'a> {
    fn warn(&mut self, path: String, found: String, why: impl Into<String>, give: impl Into<String>) {
        self.warnings.push(RuleWarning {
            path,
            found,
            why: why.into(),
            give: give.into(),
        });
    }

    fn level(&mut self, path: &str, plan: &LevelPlan) {
        let rule = self.rule;
        let written = &rule.record.levels[&plan.level];
        let mut conditions = vec![(format!("{path}.when"), &written.when, &plan.condition)];
        if let (Some(written), Some(until)) = (&written.until, &plan.until) {
            conditions.push((format!("{path}.until"), written, until));
        }
        for (path, written, condition) in conditions {
            let mut leaves = Vec::new();
            self.leaves(&path, written, condition, &mut leaves);
            for leaf in &leaves {
                self.pane(leaf);
                self.interval(leaf);
                self.value(leaf);
            }
            self.joined(&path, written, condition);
        }
        self.margin(path, plan);
        self.forecasts(path, plan);
        self.until(path, plan);
    }

    /// `until` that never holds while the condition does not.
    fn until(&mut self, path: &str, plan: &LevelPlan) {
        let Some(until) = &plan.until else { return };
        let bounds = rule_bounds(&self.rule.comparisons);
        let judge = Judge::of_rule(&self.rule.features, &self.rule.comparisons, &bounds);
        if judge.may_hold_without(until, &plan.condition) {
            return;
        }
        let shown = self.rule.show_condition(until, &self.rule.thresholds);
        self.warn(
            format!("{path}.until"),
            format!("`{shown}`"),
            "it never holds while the condition does not, so the level does not turn off",
            "a condition for which the level may end, mostly with `op` the other way round",
        );
    }

    /// Levels that nothing measured turns off while nothing is forecast.
    fn forecasts(&mut self, path: &str, plan: &LevelPlan) {
        let ends = match &plan.until {
            Some(until) => self.without_forecasts(until, true) == Some(true),
            None => self.without_forecasts(&plan.condition, false) == Some(false),
        };
        if ends {
            return;
        }
        let found = if plan.until.is_some() {
            "only of what is forecast"
        } else {
            "missing"
        };
        self.warn(
            format!("{path}.until"),
            found.to_owned(),
            "as long as nothing is forecast the level does not turn off, whatever is measured",
            "`until`, with what must be measured for the level to turn off",
        );
    }

    /// What a condition is where nothing is forecast, and all else is so; `None` where that is unknown.
    fn without_forecasts(&self, condition: &Condition, others: bool) -> Option<bool> {
        let mut parts = match condition {
            Condition::Comparison(index) => {
                let ahead = self.feature(&self.rule.comparisons[*index]).kind.is_forecast();
                return (!ahead).then_some(others);
            }
            Condition::During(_) => return Some(others),
            Condition::Any(parts) | Condition::All(parts) => {
                parts.iter().map(|part| self.without_forecasts(part, others))
            }
        };
        let decides = matches!(condition, Condition::Any(_));
        let known = parts.clone();
        if parts.any(|part| part == Some(decides)) {
            return Some(decides);
        }
        let mut known = known;
        known.all(|part| part.is_some()).then_some(!decides)
    }

    /// All comparisons of a condition, in order.
    fn leaves(&self, path: &str, written: &'a ConditionRecord, condition: &Condition, out: &mut Vec<Leaf<'a>>) {
        match (written, condition) {
            (ConditionRecord::Comparison(written), Condition::Comparison(index)) => out.push(Leaf {
                path: path.to_owned(),
                written,
                comparison: &self.rule.comparisons[*index],
                index: *index,
            }),
            _ => {
                for (path, written, condition) in parts(path, written, condition) {
                    self.leaves(&path, written, condition, out);
                }
            }
        }
    }

    fn feature(&self, comparison: &Comparison) -> &'a Feature {
        &self.rule.features[comparison.feature]
    }

    /// The comparison for people.
    fn show(&self, index: usize) -> String {
        let condition = Condition::Comparison(index);
        format!("`{}`", self.rule.show_condition(&condition, &self.rule.thresholds))
    }

    /// Windows beside the pane.
    fn pane(&mut self, leaf: &Leaf<'_>) {
        let feature = self.feature(leaf.comparison);
        let (window, pane) = (feature.window, self.rule.pane);
        // Days and hours of the calendar begin anew at their own border; of forecasts and silences nothing leaves.
        if !feature.follows() || feature.calendar.is_some() || pane <= window / PANES {
            return;
        }
        let show = |millis| format!("`{}`", duration::show(millis));
        let than = match window.cmp(&pane) {
            std::cmp::Ordering::Less => "shorter than the pane",
            std::cmp::Ordering::Equal => "as long as the pane",
            std::cmp::Ordering::Greater => "less than ten times the pane",
        };
        self.warn(
            format!("{}.window", leaf.path),
            format!("{}, {than}, {}", show(window), show(pane)),
            format!(
                "observations leave a window only at multiples of the pane, so it holds those of up to {}",
                show(window + pane)
            ),
            format!(
                "a `pane` of at most {}, or a longer window",
                show((window / PANES).max(1))
            ),
        );
    }

    /// Windows beside how often datastreams report.
    fn interval(&mut self, leaf: &Leaf<'_>) {
        let feature = self.feature(leaf.comparison);
        let window = match feature.calendar {
            Some(calendar) => calendar.unit.usual(),
            None => feature.window,
        };
        if !feature.follows() && feature.calendar.is_none() {
            return;
        }
        let rarer = self.watched.iter().filter(|reports| reports.interval.0 > window);
        let count = rarer.clone().count();
        let Some(rarest) = rarer.max_by_key(|reports| reports.interval) else {
            return;
        };
        let empty = if feature.kind.has_nothing(false) {
            "0"
        } else {
            "unknown, and levels stay as they are"
        };
        let (datastream, interval) = (&rarest.datastream, duration::show(rarest.interval.0));
        self.warn(
            format!("{}.window", leaf.path),
            format!(
                "`{}`, and `{datastream}` reports every `{interval}`",
                duration::show(window)
            ),
            format!(
                "between two reports of {count} of its datastreams the window is empty, and `{feature}` is {empty}"
            ),
            format!("a window longer than `{interval}`"),
        );
    }

    /// Comparisons that are always true, or never.
    fn value(&mut self, leaf: &Leaf<'_>) {
        let Comparison {
            operator, threshold, ..
        } = leaf.comparison;
        let Some(threshold) = threshold.map(i128::from) else {
            return;
        };
        let kind = self.feature(leaf.comparison).kind;
        let (least, most) = kind.range();
        let why = if !operator.may_hold(threshold, least.into(), most.into()) {
            "no value meets it"
        } else if !operator.opposite().may_hold(threshold, least.into(), most.into()) {
            "every value meets it"
        } else {
            return;
        };
        let [least, most] = [least, most].map(|border| Number(border as f64 / 1000.0));
        self.warn(
            format!("{}.threshold", leaf.path),
            format!("{}, in {}", Number(threshold as f64 / 1000.0), self.show(leaf.index)),
            why,
            format!(
                "a number that only some values of `{}` meet, from {least} to {most}",
                kind.name()
            ),
        );
    }

    /// Comparisons of one feature that are joined, where one of them makes no difference.
    fn joined(&mut self, path: &str, written: &'a ConditionRecord, condition: &Condition) {
        let join = match condition {
            Condition::Any(_) => Join::Any,
            Condition::All(_) => Join::All,
            Condition::Comparison(_) | Condition::During(_) => return,
        };
        let mut beside = Vec::new();
        self.beside(join, path, written, condition, &mut beside);
        let mut idle = vec![false; beside.len()];
        for one in 0..beside.len() {
            let makes_idle = |other: &usize| *other != one && !idle[*other] && self.is_idle(join, &beside, one, *other);
            let Some(other) = (0..beside.len()).find(makes_idle) else {
                continue;
            };
            idle[one] = true;
            let (leaf, other) = (&beside[one], &beside[other]);
            let (joined, why) = match join {
                Join::Any => ("any", "where it holds the other holds too, so it changes nothing"),
                Join::All => ("all", "where the other holds it holds too, so it changes nothing"),
            };
            self.warn(
                leaf.path.clone(),
                format!(
                    "{}, beside {} in one `{joined}`",
                    self.show(leaf.index),
                    self.show(other.index)
                ),
                why,
                format!(
                    "{} alone, or another feature, window or threshold",
                    self.show(other.index)
                ),
            );
        }
        for (path, written, condition) in parts(path, written, condition) {
            let nested = match condition {
                Condition::Any(_) => Join::Any,
                _ => Join::All,
            };
            // The comparisons of the same join were looked at with these.
            if nested != join {
                self.joined(&path, written, condition);
            }
        }
    }

    /// The comparisons that stand in one `any` or `all`, those of the same within it included.
    fn beside(
        &self,
        join: Join,
        path: &str,
        written: &'a ConditionRecord,
        condition: &Condition,
        out: &mut Vec<Leaf<'a>>,
    ) {
        for (path, written, condition) in parts(path, written, condition) {
            match (condition, join) {
                (Condition::Comparison(_), _) => self.leaves(&path, written, condition, out),
                (Condition::Any(_), Join::Any) | (Condition::All(_), Join::All) => {
                    self.beside(join, &path, written, condition, out);
                }
                (Condition::Any(_) | Condition::All(_) | Condition::During(_), _) => {}
            }
        }
    }

    /// Whether one makes no difference beside the other, neither when the level turns on nor when it turns off.
    fn is_idle(&self, join: Join, beside: &[Leaf<'_>], one: usize, other: usize) -> bool {
        let bound = |leaf: &Leaf<'_>| self.rule.thresholds[leaf.index];
        let (a, b) = (&beside[one], &beside[other]);
        let (Some(of_a), Some(of_b)) = (bound(a), bound(b)) else {
            return false;
        };
        if !self.is_same_feature(a.comparison, b.comparison)
            || a.comparison.operator.is_upward() != b.comparison.operator.is_upward()
        {
            return false;
        }
        let [(strict, stricter), (lax, laxer)] = match join {
            Join::Any => [(a, of_a), (b, of_b)],
            Join::All => [(b, of_b), (a, of_a)],
        };
        implies((strict.comparison, stricter), (lax.comparison, laxer))
    }

    /// What a rule is compared with may stand in comparisons of its own.
    fn is_same_feature(&self, a: &Comparison, b: &Comparison) -> bool {
        let (one, other) = (self.feature(a), self.feature(b));
        let reading = |feature: &Feature| feature.of.map(|reading| &self.rule.comparisons[reading]);
        let picks = |reading: &Comparison| (reading.operator, reading.threshold);
        let plain = |feature: &Feature| Feature { of: None, ..*feature };
        plain(one) == plain(other) && reading(one).map(picks) == reading(other).map(picks)
    }

    /// The margin of a level, where it has comparisons in several units.
    fn margin(&mut self, path: &str, plan: &LevelPlan) {
        let rule = self.rule;
        let written = &rule.record.levels[&plan.level];
        if written.margin == Number::default() {
            return;
        }
        let mut leaves = Vec::new();
        self.leaves(path, &written.when, &plan.condition, &mut leaves);
        let dimension = |leaf: &Leaf<'_>| self.feature(leaf.comparison).kind.dimension();
        let Some(first) = leaves.first() else {
            return;
        };
        let moved = dimension(first);
        let stays = leaves
            .iter()
            .find(|leaf| leaf.written.margin.is_none() && dimension(leaf) != moved);
        if let Some(stays) = stays {
            let (first, stays) = (self.show(first.index), self.show(stays.index));
            self.warn(
                format!("{path}.margin"),
                format!("{}, in the unit of {first}", written.margin),
                format!("{stays} is in another unit and does not move: it holds up to the threshold at which it began"),
                "a `margin` in each comparison that is to move",
            );
        }
    }

    /// Holding beside the horizon. Clearing may be longer: then the level stays on, which is what it is for.
    fn hold(&mut self, path: &str, plan: &LevelPlan, horizon: Duration) {
        // Of gauges what comes late counts for longer.
        if plan.hold > horizon.0 && !self.rule.is_of_gauges() {
            let [hold, horizon] = [plan.hold, horizon.0].map(duration::show);
            self.warn(
                format!("{path}.hold"),
                format!("`{hold}`, longer than `time.horizon`, `{horizon}`"),
                "by the time that the level turns on, an observation that breaks its condition off may come too late to count",
                format!("at most `{horizon}`, or a longer `time.horizon`"),
            );
        }
    }

    /// A level that is never the highest that is on.
    fn alone(&mut self, path: &str, lower: &LevelPlan, higher: &LevelPlan) {
        let until = match (&lower.until, &higher.until) {
            (None, None) => true,
            (Some(lower), Some(higher)) => self.is_same(lower, higher),
            _ => false,
        };
        if until
            && self.is_same(&lower.condition, &higher.condition)
            && lower.hold >= higher.hold
            && lower.clear <= higher.clear
        {
            self.warn(
                format!("{path}.when"),
                format!("what `{}` has too", higher.level),
                format!(
                    "`{}` never stands alone: where it is on, `{}` is",
                    lower.level, higher.level
                ),
                format!(
                    "a condition that holds before that of `{}`, or leave the level out",
                    higher.level
                ),
            );
        }
    }

    /// Whether both turn on and off at the same values, as far as the rule's own thresholds say.
    fn is_same(&self, one: &Condition, other: &Condition) -> bool {
        match (one, other) {
            (Condition::Comparison(one), Condition::Comparison(other)) => {
                let (a, b) = (&self.rule.comparisons[*one], &self.rule.comparisons[*other]);
                let bounds = [one, other].map(|index| self.rule.thresholds[*index]);
                // What is given elsewhere may differ.
                bounds[0].is_some() && bounds[0] == bounds[1] && a.operator == b.operator && self.is_same_feature(a, b)
            }
            (Condition::During(one), Condition::During(other)) => one == other,
            (Condition::Any(one), Condition::Any(other)) | (Condition::All(one), Condition::All(other)) => {
                let mut pairs = one.iter().zip(other);
                one.len() == other.len() && pairs.all(|(one, other)| self.is_same(one, other))
            }
            _ => false,
        }
    }
}

/// The parts of an `any` or `all`, each with its path.
fn parts<'a, 'b>(
    path: &str,
    written: &'a ConditionRecord,
    condition: &'b Condition,
) -> Vec<(String, &'a ConditionRecord, &'b Condition)> {
    let (join, written, conditions) = match (written, condition) {
        (ConditionRecord::Any { any }, Condition::Any(parts)) => ("any", any, parts),
        (ConditionRecord::All { all }, Condition::All(parts)) => ("all", all, parts),
        _ => return Vec::new(),
    };
    let parts = written.iter().zip(conditions).enumerate();
    parts
        .map(|(index, (written, condition))| (format!("{path}.{join}[{index}]"), written, condition))
        .collect()
}

/// Whether the second holds wherever the first does, with thresholds as they are and as they are moved; both in one direction.
fn implies((a, of_a): (&Comparison, Bound), (b, of_b): (&Comparison, Bound)) -> bool {
    let implies = |strict: i64, lax: i64| {
        let further = if a.operator.is_upward() {
            strict.cmp(&lax)
        } else {
            lax.cmp(&strict)
        };
        // At one threshold the comparison that leaves it out holds less often.
        further
            .then(a.operator.is_strict().cmp(&b.operator.is_strict()))
            .is_ge()
    };
    implies(of_a.on, of_b.on) && implies(of_a.off, of_b.off)
}

#[cfg(test)]
mod tests;
