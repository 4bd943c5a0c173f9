//! Whether a condition can ever hold, and whether a level that is on can ever turn off, over all values that its features can have.

use super::{Comparison, Condition, Feature, FeatureKind, LevelPlan, Operator, Wide};
use crate::unit::Conversion;

impl Operator {
    /// Whether greater values are the worse ones.
    pub(super) const fn is_upward(self) -> bool {
        matches!(self, Self::AtLeast | Self::Above)
    }

    /// Whether the threshold itself does not compare so.
    pub(super) const fn is_strict(self) -> bool {
        matches!(self, Self::Above | Self::Below)
    }

    /// Whether some value from `least` to `greatest` compares so with a threshold.
    pub(super) const fn may_hold(self, threshold: i128, least: i128, greatest: i128) -> bool {
        match self {
            Self::AtLeast => greatest >= threshold,
            Self::Above => greatest > threshold,
            Self::AtMost => least <= threshold,
            Self::Below => least < threshold,
        }
    }

    /// What holds of a value and a threshold where this does not.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::AtLeast => Self::Below,
            Self::Above => Self::AtMost,
            Self::AtMost => Self::Above,
            Self::Below => Self::AtLeast,
        }
    }
}

/// Features and comparisons of a rule, with the thresholds to judge them by.
pub(super) struct Judge<'a> {
    pub features: &'a [Feature],
    pub comparisons: &'a [Comparison],
    pub bounds: &'a [Option<Wide>],
    /// What results are converted by before they are compared.
    pub conversion: Conversion,
    /// Whether a comparison without threshold may yet get one, and is then taken to be as it should.
    pub open: bool,
}

/// What a level can never do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Never {
    /// Turn on.
    Holds,
    /// Turn off once it is on.
    Clears,
}

/// The thresholds that a rule itself gives.
pub(super) fn rule_bounds(comparisons: &[Comparison]) -> Vec<Option<Wide>> {
    let bound = |one: &Comparison| one.threshold.map(|on| one.wide(on.into(), one.margin.into()));
    comparisons.iter().map(bound).collect()
}

impl<'a> Judge<'a> {
    /// A rule by its own thresholds; those that it leaves open may come from elsewhere.
    pub const fn of_rule(features: &'a [Feature], comparisons: &'a [Comparison], bounds: &'a [Option<Wide>]) -> Self {
        Self {
            features,
            comparisons,
            bounds,
            conversion: Conversion::SAME,
            open: true,
        }
    }
}

impl Judge<'_> {
    /// What a level can never do.
    pub fn never(&self, plan: &LevelPlan) -> Option<Never> {
        if self.may_hold(&plan.condition) == Some(false) {
            return Some(Never::Holds);
        }
        let may_clear = match &plan.until {
            Some(until) => self.may_hold(until),
            None => self.may_clear(&plan.condition),
        };
        (may_clear == Some(false)).then_some(Never::Clears)
    }

    /// Whether it may be true; `None` if it takes no part.
    fn may_hold(&self, condition: &Condition) -> Option<bool> {
        match condition {
            Condition::Comparison(index) => self.of_comparison(*index, |comparison, bound, (least, greatest)| {
                comparison.operator.may_hold(bound.on, least, greatest)
            }),
            // There are times at which it holds, and others.
            Condition::During(_) => Some(true),
            Condition::Any(parts) => any(parts.iter().filter_map(|part| self.may_hold(part))),
            Condition::All(parts) => {
                let possible = all(parts.iter().filter_map(|part| self.may_hold(part)))?;
                Some(possible && !self.contradicts_itself(parts))
            }
        }
    }

    /// Whether it may be false with its thresholds moved; `None` if it takes no part.
    fn may_clear(&self, condition: &Condition) -> Option<bool> {
        match condition {
            Condition::Comparison(index) => self.of_comparison(*index, |comparison, bound, (least, greatest)| {
                let follows = self.features[comparison.feature].kind.follows_results();
                let least = if follows && bound.on > 0 && !self.is_signed() {
                    0
                } else {
                    least
                };
                comparison.operator.opposite().may_hold(bound.off, least, greatest)
            }),
            Condition::During(_) => Some(true),
            Condition::Any(parts) => all(parts.iter().filter_map(|part| self.may_clear(part))),
            Condition::All(parts) => any(parts.iter().filter_map(|part| self.may_clear(part))),
        }
    }

    fn of_comparison(&self, index: usize, may: impl Fn(&Comparison, Wide, (i128, i128)) -> bool) -> Option<bool> {
        let comparison = &self.comparisons[index];
        match self.bounds[index] {
            Some(bound) => Some(may(
                comparison,
                bound,
                self.range(self.features[comparison.feature].kind),
            )),
            None => self.open.then_some(true),
        }
    }

    /// What values of a feature can be, as thresholds are given here.
    fn range(&self, kind: FeatureKind) -> (i128, i128) {
        let Conversion { over, shift, .. } = kind.converted(self.conversion);
        let (least, most) = kind.range();
        (i128::from(least) * over + shift, i128::from(most) * over + shift)
    }

    /// Whether the rule is about results that may be negative.
    fn is_signed(&self) -> bool {
        let mut bounds = self.bounds.iter().zip(self.comparisons);
        bounds.any(|(bound, comparison)| {
            comparison.kind(self.features).follows_results() && bound.is_some_and(|bound| bound.on < 0)
        })
    }

    /// Whether two comparisons of one feature that must hold together cannot.
    fn contradicts_itself(&self, parts: &[Condition]) -> bool {
        let mut needed = Vec::new();
        parts.iter().for_each(|part| self.needed(part, &mut needed));
        contradict(&needed)
    }

    /// Whether one condition may hold while another does not, as far as single comparisons tell.
    pub fn may_hold_without(&self, condition: &Condition, other: &Condition) -> bool {
        if let Condition::Any(parts) = condition {
            return parts.iter().any(|part| self.may_hold_without(part, other));
        }
        let mut needed = Vec::new();
        self.needed(condition, &mut needed);
        self.needed_to_fail(other, &mut needed);
        !contradict(&needed)
    }

    fn needed(&self, condition: &Condition, out: &mut Vec<Needed>) {
        match condition {
            Condition::Comparison(index) => out.extend(self.of_needed(*index, |operator| operator)),
            Condition::All(parts) => parts.iter().for_each(|part| self.needed(part, out)),
            Condition::Any(_) | Condition::During(_) => {}
        }
    }

    fn needed_to_fail(&self, condition: &Condition, out: &mut Vec<Needed>) {
        match condition {
            Condition::Comparison(index) => out.extend(self.of_needed(*index, Operator::opposite)),
            Condition::Any(parts) => parts.iter().for_each(|part| self.needed_to_fail(part, out)),
            Condition::All(_) | Condition::During(_) => {}
        }
    }

    fn of_needed(&self, index: usize, operator: impl Fn(Operator) -> Operator) -> Option<Needed> {
        let comparison = &self.comparisons[index];
        let of = |bound: Wide| (comparison.feature, operator(comparison.operator), bound.on);
        self.bounds[index].map(of)
    }
}

/// What must hold: a feature, how it compares, with what.
type Needed = (usize, Operator, i128);

/// Whether two of these can't hold together.
fn contradict(needed: &[Needed]) -> bool {
    let (upward, downward): (Vec<_>, Vec<_>) = needed.iter().partition(|(_, operator, _)| operator.is_upward());
    upward.iter().any(|(feature, up, from)| {
        downward.iter().any(|(other, down, to)| {
            let touching = *up == Operator::AtLeast && *down == Operator::AtMost;
            feature == other && (from > to || from == to && !touching)
        })
    })
}

fn any(parts: impl Iterator<Item = bool>) -> Option<bool> {
    parts.reduce(|a, b| a || b)
}

fn all(parts: impl Iterator<Item = bool>) -> Option<bool> {
    parts.reduce(|a, b| a && b)
}
