//! A rule together with the thresholds that a datastream, its asset and the regions of that have for it.
//!
//! Each may be right by itself and both together be wrong. Such a pair is never silent, and never half in force: the rule's own
//! thresholds hold for it, and [`Merged::problems`] says why.

mod problem;

use std::fmt;
use std::sync::Arc;

use riskflow_model::ruleset::Adjust;
use riskflow_model::{Number, RegionCode, Text, TextMap};
use serde::{Deserialize, Serialize};

use super::ladder::out_of_order;
use super::possible::{Judge, Never};
use super::{Bound, Comparison, Feature, Role, Rule, Scaled, Thresholds, Wide};
use crate::FeatureKind;
use crate::unit::{Conversion, Mismatch, Unit};

pub use problem::PairProblem;

/// In whose row a threshold stands that takes the place of the rule's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Whose {
    /// The datastream's: in its unit.
    Datastream,
    /// Its asset's: in the rule's unit, as all that follow.
    Asset,
    /// That of the region of the asset, or of one above it.
    Region(RegionCode),
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Datastream => f.write_str("datastream"),
            Self::Asset => f.write_str("asset"),
            Self::Region(region) => write!(f, "region {region}"),
        }
    }
}

/// Of each of [`Checked::comparisons`](super::Checked::comparisons) whose its threshold is, where that is not the rule's; `None` where
/// all are the rule's.
pub type Givers = Option<Arc<Box<[Option<Whose>]>>>;

/// What a rule and the thresholds of what it watches come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The thresholds in force, in the rule's unit.
    pub thresholds: Thresholds,
    /// The same where results are in another unit.
    pub scaled: Option<Arc<Scaled>>,
    /// Whose they are.
    pub givers: Givers,
    /// What is wrong with the two together.
    pub problems: Vec<PairProblem>,
}

/// The same bounds where all is counted in smaller parts.
fn widened(bounds: &[Option<Wide>], times: i128) -> Vec<Option<Wide>> {
    let widened = bounds.iter().map(|bound| {
        bound.map(|Wide { on, off }| Wide {
            on: on * times,
            off: off * times,
        })
    });
    widened.collect()
}

/// The thresholds for a rule in one row.
pub type Given<'a> = (Whose, &'a TextMap<Number>);

impl Rule {
    /// The thresholds in force for a datastream with thresholds of its own for this rule; `None` when it has none.
    #[must_use]
    pub fn thresholds(&self, own: Option<&TextMap<Number>>) -> Thresholds {
        let own = own.map(|own| (Whose::Datastream, own));
        self.merge(own.as_slice(), "").thresholds
    }

    /// The thresholds in force for a datastream whose results are in this unit (empty: in the rule's), and what is wrong with them.
    /// Those that are given for the rule come nearest first; the datastream's own are in its unit.
    #[must_use]
    pub fn merge(&self, given: &[Given<'_>], unit: &str) -> Merged {
        self.merge_adjusted(given, unit, None)
    }

    /// The same for results that are seen otherwise than they came: thresholds stay as they are.
    #[must_use]
    pub fn merge_adjusted(&self, given: &[Given<'_>], unit: &str, adjust: Option<&Adjust>) -> Merged {
        let mut problems = Vec::new();
        // Not to watch a sensor because of how its unit is spelled would be a limit that silently does not hold.
        let (given, conversion) = match self.conversion(unit) {
            Ok(conversion) => (given, conversion),
            Err(problem) => {
                problems.push(problem);
                let own = usize::from(given.first().is_some_and(|(whose, _)| *whose == Whose::Datastream));
                (&given[own..], None)
            }
        };
        let (thresholds, scaled, givers) = if given.is_empty() && conversion.is_none() && adjust.is_none() {
            (self.own(), None, None)
        } else {
            let factor = conversion.unwrap_or(Conversion::SAME);
            let (mut bounds, mut givers) = self.bounds(given, factor, &mut problems);
            self.judge(&bounds, factor, &mut problems);
            if problems.iter().any(PairProblem::voids) {
                (bounds, givers) = self.bounds(&[], factor, &mut Vec::new());
            }
            let scaled = match adjust.and_then(|adjust| factor.adjusted(adjust)) {
                Some((adjusted, times)) => Some(Scaled::new(self, adjusted, &widened(&bounds, times))),
                None => conversion.map(|conversion| Scaled::new(self, conversion, &bounds)),
            };
            let scaled = scaled.map(Arc::new);
            (self.in_own_unit(&bounds, factor), scaled, givers)
        };
        // What is set in the rule itself was judged when the rule was checked.
        let judged = !given.is_empty() || conversion.is_some() || adjust.is_some();
        if !judged && thresholds.iter().any(Option::is_none) {
            let (bounds, _) = self.bounds(&[], Conversion::SAME, &mut Vec::new());
            self.judge(&bounds, Conversion::SAME, &mut problems);
        }
        if thresholds.iter().all(Option::is_none) && !thresholds.is_empty() {
            problems.push(PairProblem::Unset);
        }
        Merged {
            thresholds,
            scaled,
            givers,
            problems,
        }
    }

    /// How results in a unit become such as the rule thinks in; `None` where they are. No unit on either side means equal.
    fn conversion(&self, unit: &str) -> Result<Option<Conversion>, PairProblem> {
        let Some(own) = self.unit.as_ref().filter(|own| !unit.is_empty() && *own.code != *unit) else {
            return Ok(None);
        };
        let problem = |why| PairProblem::Unit {
            unit: unit.into(),
            of_rule: own.code.clone(),
            why,
        };
        let found = Unit::parse(unit)
            .map_err(|_| problem(Mismatch::Unknown))?
            .to(own)
            .map_err(problem)?;
        let sums = || self.features.iter().any(|feature| feature.kind.adds_up());
        match found {
            Some(conversion) if conversion.shift != 0 && sums() => Err(problem(Mismatch::Offset)),
            found => Ok(found),
        }
    }

    /// The rule's own thresholds: most datastreams have these, and share them.
    fn own(&self) -> Thresholds {
        Thresholds::clone(&self.thresholds)
    }

    /// The keys of thresholds that are for no level or comparison of the rule.
    pub(crate) fn unknown<'a>(&'a self, own: &'a TextMap<Number>) -> impl Iterator<Item = &'a Text> {
        let named = |key: &Text| self.comparisons.iter().any(|comparison| comparison.is_named(key));
        own.iter().map(|(key, _)| key).filter(move |key| !named(key))
    }

    /// What results, times `over` of the conversion, plus its shift, are compared with: so all are whole numbers, those of the rule,
    /// and of all that are in its unit, times `under`. And whose they are.
    fn bounds(
        &self,
        given: &[Given<'_>],
        conversion: Conversion,
        problems: &mut Vec<PairProblem>,
    ) -> (Vec<Option<Wide>>, Givers) {
        // What assets and regions name is told of them, once.
        let own = given.iter().filter(|(whose, _)| *whose == Whose::Datastream);
        let unknown = own.flat_map(|(_, own)| self.unknown(own));
        problems.extend(unknown.map(|key| PairProblem::NamesNothing { key: key.clone() }));
        let mut givers: Box<[Option<Whose>]> = vec![None; self.comparisons.len()].into();
        let comparisons = self.comparisons.iter().zip(&mut givers).map(|(comparison, giver)| {
            let kind = comparison.kind(&self.features);
            let Conversion { over, under, shift } = kind.converted(conversion);
            let nearest = |(whose, own): &Given<'_>| Some((*whose, comparison.own_of(own)?));
            let on = match given.iter().find_map(nearest) {
                Some((whose, (key, threshold))) => {
                    let (least, most) = kind.range();
                    let on = threshold.thousandths().filter(|on| (least..=most).contains(on));
                    if on.is_none() {
                        problems.push(PairProblem::Beyond { key, threshold, whose });
                    }
                    *giver = Some(whose);
                    match whose {
                        Whose::Datastream => i128::from(on?) * over + shift,
                        Whose::Asset | Whose::Region(_) => i128::from(on?) * under,
                    }
                }
                None => i128::from(comparison.threshold?) * under,
            };
            Some(comparison.wide(on, i128::from(comparison.margin) * under))
        });
        let bounds = comparisons.collect();
        let givers = givers.iter().any(Option::is_some).then(|| Arc::new(givers));
        (bounds, givers)
    }

    /// The same in thousandths of the rule's unit, rounded.
    fn in_own_unit(&self, bounds: &[Option<Wide>], conversion: Conversion) -> Thresholds {
        let comparisons = self.comparisons.iter().zip(bounds).map(|(comparison, bound)| {
            let under = comparison.kind(&self.features).converted(conversion).under;
            // A conversion to a unit far finer may lead beyond all numbers that anybody reads.
            let whole = |wide: i128| {
                let rounded = (2 * wide + under).div_euclid(2 * under);
                rounded.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
            };
            bound.map(|Wide { on, off }| Bound {
                on: whole(on),
                off: whole(off),
            })
        });
        comparisons.collect()
    }

    fn judge(&self, bounds: &[Option<Wide>], conversion: Conversion, problems: &mut Vec<PairProblem>) {
        let on: Vec<Option<i128>> = bounds.iter().map(|bound| bound.map(|bound| bound.on)).collect();
        let number = |index: usize| {
            let kind = self.comparisons[index].kind(&self.features);
            Number(
                on[index].expect("a limit that is out of order is there") as f64
                    / (1000 * kind.converted(conversion).under) as f64,
            )
        };
        for found in out_of_order(&self.levels, &self.comparisons, &on) {
            problems.push(PairProblem::OutOfOrder {
                level: self.comparisons[found.higher].level,
                threshold: number(found.higher),
                lower: self.comparisons[found.lower].level,
                lower_threshold: number(found.lower),
            });
        }
        let judge = Judge {
            features: &self.features,
            comparisons: &self.comparisons,
            bounds,
            conversion,
            open: false,
        };
        problems.extend(self.levels.iter().filter_map(|plan| {
            let level = plan.level;
            Some(match judge.never(plan)? {
                Never::Holds => PairProblem::NeverHolds { level },
                Never::Clears => PairProblem::NeverClears { level },
            })
        }));
    }
}

impl Comparison {
    /// Of which kind the values are that it compares.
    #[must_use]
    pub fn kind(&self, features: &[Feature]) -> FeatureKind {
        match self.role {
            Role::When | Role::Until => features[self.feature].kind,
            Role::Reading => FeatureKind::Last,
        }
    }

    pub(super) const fn wide(&self, on: i128, margin: i128) -> Wide {
        Wide {
            on,
            off: self.operator.eased_wide(on, margin),
        }
    }

    /// The threshold with the one moved by the margin.
    pub(super) const fn bound(&self, on: i64) -> Bound {
        Bound {
            on,
            off: self.operator.eased(on, self.margin),
        }
    }

    /// Whether a threshold of a datastream, asset or region under this key is for it.
    fn is_named(&self, key: &str) -> bool {
        match key.strip_prefix(self.level.name()) {
            Some("") => self.follows_level(),
            Some(rest) => rest
                .strip_prefix('.')
                .is_some_and(|name| self.name.as_deref() == Some(name)),
            None => false,
        }
    }

    /// The threshold for it among those of one place, and its key: the one under its name before the one of its level.
    fn own_of(&self, own: &TextMap<Number>) -> Option<(Text, Number)> {
        let of = |key: Text| own.get(&key).map(|number| (key, *number));
        let named = self
            .name
            .as_ref()
            .and_then(|name| of(format!("{}.{name}", self.level).into()));
        named.or_else(|| self.follows_level().then(|| of(self.level.name().into())).flatten())
    }

    /// Whether an own threshold for the level is for it: one that turns the level off, or picks results, is addressed by its name only.
    fn follows_level(&self) -> bool {
        self.role == Role::When
    }
}

#[cfg(test)]
mod tests;
