//! A rule together with the thresholds that a datastream, its asset and the regions of that have for it.
//!
//! Each may be right by itself and both together be wrong. Such a pair is never silent, and never half in force: the rule's own
//! thresholds hold for it, and [`Merged::problems`] says why.

use std::fmt;
use std::sync::Arc;

use riskflow_model::ruleset::Adjust;
use riskflow_model::{Level, Number, RegionCode, Text, TextMap};
use serde::{Deserialize, Serialize};

use super::ladder::out_of_order;
use super::possible::{Judge, Never};
use super::{Bound, Comparison, Feature, Role, Rule, Scaled, Thresholds, Wide};
use crate::FeatureKind;
use crate::unit::{Conversion, Mismatch, Unit};

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

/// What is wrong with a rule and the thresholds for it of a datastream, its asset and its regions, though each may be right by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PairProblem {
    /// An own threshold is for a level or comparison that the rule does not have. The others hold.
    NamesNothing {
        /// As written.
        key: Text,
    },
    /// A threshold is beyond what its feature can be. The rule's own thresholds hold.
    Beyond {
        /// As written.
        key: Text,
        /// As written.
        threshold: Number,
        /// In whose row it stands.
        whose: Whose,
    },
    /// A higher level would be on more easily than a lower one. The rule's own thresholds hold.
    OutOfOrder {
        /// The higher level.
        level: Level,
        /// Its threshold.
        threshold: Number,
        /// The lower level.
        lower: Level,
        /// Its threshold.
        lower_threshold: Number,
    },
    /// A level could never turn on. The rule's own thresholds hold.
    NeverHolds {
        /// The level.
        level: Level,
    },
    /// A level could never turn off. The rule's own thresholds hold.
    NeverClears {
        /// The level.
        level: Level,
    },
    /// Nothing gives any threshold: the rule watches the datastream, and nothing can come of it.
    Unset,
    /// Results in the datastream's unit do not convert to the rule's: they are taken as numbers in the rule's, and its own thresholds are
    /// not used.
    Unit {
        /// Of the datastream.
        unit: Text,
        /// Of the rule.
        of_rule: Text,
        /// Why.
        why: Mismatch,
    },
}

impl PairProblem {
    /// The names of all kinds.
    pub const KINDS: [&'static str; 7] = [
        "names_nothing",
        "beyond",
        "out_of_order",
        "never_holds",
        "never_clears",
        "unset",
        "unit",
    ];

    /// The name of its kind, for metrics and machines.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NamesNothing { .. } => Self::KINDS[0],
            Self::Beyond { .. } => Self::KINDS[1],
            Self::OutOfOrder { .. } => Self::KINDS[2],
            Self::NeverHolds { .. } => Self::KINDS[3],
            Self::NeverClears { .. } => Self::KINDS[4],
            Self::Unset => Self::KINDS[5],
            Self::Unit { .. } => Self::KINDS[6],
        }
    }

    /// Which own threshold or level it is about.
    #[must_use]
    pub fn part(&self) -> Option<Text> {
        match self {
            Self::NamesNothing { key } | Self::Beyond { key, .. } => Some(key.clone()),
            Self::OutOfOrder { level, .. } | Self::NeverHolds { level } | Self::NeverClears { level } => {
                Some(level.name().into())
            }
            Self::Unset | Self::Unit { .. } => None,
        }
    }

    /// Whether the rule's own thresholds hold because of it.
    const fn voids(&self) -> bool {
        !matches!(self, Self::NamesNothing { .. } | Self::Unset | Self::Unit { .. })
    }
}

impl fmt::Display for PairProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NamesNothing { key } => {
                write!(
                    f,
                    "`{key}` names no level or comparison of the rule, so that threshold is not used"
                )
            }
            Self::Beyond { key, threshold, whose } => {
                write!(f, "`{key}`")?;
                if *whose != Whose::Datastream {
                    write!(f, " of the {whose}")?;
                }
                write!(f, " is {threshold}, which its feature can never be")
            }
            Self::OutOfOrder {
                level,
                threshold,
                lower,
                lower_threshold,
            } => {
                write!(
                    f,
                    "`{level}` at {threshold} is on more easily than `{lower}` at {lower_threshold}"
                )?;
                if threshold == lower_threshold {
                    f.write_str(", which that number does not turn on")?;
                }
                Ok(())
            }
            Self::NeverHolds { level } => write!(f, "`{level}` could never turn on"),
            Self::NeverClears { level } => write!(
                f,
                "`{level}` could never turn off: no value meets its `until`, or leaves its condition by its margin"
            ),
            Self::Unit { unit, of_rule, why } => write!(
                f,
                "its unit `{unit}` {why}, beside `{of_rule}` of the rule, so its numbers are taken as `{of_rule}`, and its own thresholds are not used; give a unit of UCUM that converts"
            ),
            Self::Unset => f.write_str(
                "neither the rule nor the datastream, its asset or its regions give a threshold, so nothing is watched",
            ),
        }?;
        if self.voids() {
            f.write_str("; the rule's own thresholds hold instead")?;
        }
        Ok(())
    }
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
mod tests {
    use super::*;

    fn rule(levels: &str) -> Rule {
        let json = format!(r#"{{"id":"r","version":1,"select":{{}},"levels":{levels}}}"#);
        Rule::from_json(json.as_bytes()).unwrap()
    }

    fn merge(rule: &Rule, own: &[(&str, f64)]) -> (Vec<Option<i64>>, Vec<&'static str>) {
        let own = own.iter().map(|(key, number)| (Text::from(*key), Number(*number)));
        let merged = rule.merge(&[(Whose::Datastream, &own.collect())], "");
        let on = merged.thresholds.iter().map(|bound| bound.map(|bound| bound.on));
        (on.collect(), merged.problems.iter().map(PairProblem::kind).collect())
    }

    #[test]
    fn own_thresholds_stand_over_the_rule_by_level_and_by_name() {
        let rule = rule(
            r#"{"blue":{"margin":1.5,"when":{"any":[
                {"feature":"sum","window":"1h","op":">=","threshold":10,"name":"h1"},
                {"feature":"sum","window":"3h","op":"<=","threshold":20}]}}}"#,
        );
        let own = TextMap::from_iter([
            (Text::from("blue.h1"), Number(12.0)),
            (Text::from("blue"), Number(25.25)),
        ]);
        let merged = rule.merge(&[(Whose::Datastream, &own)], "");
        let bounds: Vec<_> = merged
            .thresholds
            .iter()
            .map(|bound| bound.map(|b| (b.on, b.off)))
            .collect();
        assert_eq!(bounds, [Some((12_000, 10_500)), Some((25_250, 26_750))]);
        assert_eq!(merged.problems, []);
        assert_eq!(rule.thresholds(None)[0].map(|bound| bound.on), Some(10_000));
    }

    #[test]
    fn a_pair_that_is_wrong_together_has_the_rules_own_thresholds_and_says_so() {
        let rule = rule(
            r#"{"blue":{"when":{"feature":"last","window":"1h","op":">=","threshold":2},"margin":0.5},
                "red":{"when":{"feature":"last","window":"1h","op":">=","threshold":4},"margin":0.5}}"#,
        );
        let own = [Some(2_000), Some(4_000)];
        let both = |blue, red| vec![Some(blue), Some(red)];
        assert_eq!(merge(&rule, &[("blue", 1.0)]), (both(1_000, 4_000), vec![]));
        assert_eq!(
            merge(&rule, &[("blue", 3.0), ("red", 3.0)]),
            (both(3_000, 3_000), vec![])
        );
        assert_eq!(merge(&rule, &[("blue", 5.0)]), (own.to_vec(), vec!["out_of_order"]));
        assert_eq!(merge(&rule, &[("blue", 0.4)]), (own.to_vec(), vec!["never_clears"]));
        assert_eq!(merge(&rule, &[("red", 2e9)]), (own.to_vec(), vec!["beyond"]));
        assert_eq!(merge(&rule, &[("red", 4.7244)]), (own.to_vec(), vec!["beyond"]));
        // What names nothing leaves the others in force.
        assert_eq!(
            merge(&rule, &[("yellow", 3.0), ("red", 5.0), ("red.h1", 9.0)]),
            (both(2_000, 5_000), vec!["names_nothing", "names_nothing"])
        );
    }

    #[test]
    fn the_nearest_threshold_stands_in_its_own_unit() {
        let mut record: serde_json::Value = serde_json::json!({"id":"r","version":1,"select":{},"unit":"cm","levels":{
            "blue":{"margin":1,"when":{"any":[
                {"feature":"last","window":"1h","op":">=","threshold":10,"name":"a"},
                {"feature":"max","window":"1h","op":">=","threshold":20,"name":"b"}]}},
            "red":{"when":{"feature":"last","window":"1h","op":">=","threshold":90}}}});
        let rule = Rule::from_json(record.to_string().as_bytes()).unwrap();
        let map = |own: &[(&str, f64)]| {
            let own = own.iter().map(|(key, number)| (Text::from(*key), Number(*number)));
            own.collect::<TextMap<Number>>()
        };
        let [near, far] = ["330902", "33"].map(|code| Whose::Region(code.parse().unwrap()));
        let (own, asset) = (map(&[("red", 0.8)]), map(&[("blue", 30.0), ("zz", 1.0)]));
        let (town, province) = (map(&[("blue.b", 40.0)]), map(&[("blue.a", 50.0), ("red", 60.0)]));
        let merged = |given: &[Given<'_>], unit: &str| {
            let merged = rule.merge(given, unit);
            let on = merged.thresholds.iter().map(|bound| bound.unwrap().on / 1000);
            let on: Vec<i64> = on.collect();
            let whose = merged.givers.map_or_else(|| vec![None; 3], |givers| givers.to_vec());
            (on, whose, merged.problems.len())
        };
        let all = [
            (Whose::Datastream, &own),
            (Whose::Asset, &asset),
            (near, &town),
            (far, &province),
        ];
        let [datastream, of_asset] = [Some(Whose::Datastream), Some(Whose::Asset)];
        // The asset's `blue` is nearer than the region's `blue.b`.
        let nearest = (vec![30, 30, 80], vec![of_asset, of_asset, datastream], 0);
        assert_eq!(merged(&all, "m"), nearest);
        assert_eq!(
            merged(&all[2..], "m"),
            (vec![50, 40, 60], vec![Some(far), Some(near), Some(far)], 0)
        );
        assert_eq!(
            merged(&all[2..3], ""),
            (vec![10, 40, 90], vec![None, Some(near), None], 0)
        );
        // Its unit does not convert: its own are not used, all others are.
        assert_eq!(
            merged(&all, "kg"),
            (vec![30, 30, 60], vec![of_asset, of_asset, Some(far)], 1)
        );
        // Wrong together: the rule's own, all of them.
        let high = map(&[("blue", 99.0)]);
        let wrong = [(Whose::Asset, &asset), (far, &high)];
        assert_eq!(
            merged(&wrong, ""),
            (vec![30, 30, 90], vec![of_asset, of_asset, None], 0)
        );
        assert_eq!(merged(&wrong[1..], ""), (vec![10, 20, 90], vec![None; 3], 1));
        record["levels"]["red"]["when"]["feature"] = "count".into();
        record["levels"]["red"]["when"]["threshold"] = 2.into();
        let counting = Rule::from_json(record.to_string().as_bytes()).unwrap();
        let below = map(&[("red", -1.0)]);
        let problems = counting.merge(&[(far, &below)], "").problems;
        assert_eq!(
            problems[0].to_string(),
            "`red` of the region 33 is -1, which its feature can never be; the rule's own thresholds hold instead"
        );
    }

    #[test]
    fn a_pair_without_any_threshold_says_so() {
        let rule = rule(
            r#"{"blue":{"when":{"feature":"last","window":"1h","op":"<="}},
                "red":{"when":{"feature":"last","window":"1h","op":"<="}}}"#,
        );
        assert_eq!(rule.merge(&[], "").problems, [PairProblem::Unset]);
        assert_eq!(merge(&rule, &[]), (vec![None, None], vec!["unset"]));
        assert_eq!(merge(&rule, &[("red", -2.0)]), (vec![None, Some(-2_000)], vec![]));
        assert_eq!(
            merge(&rule, &[("red", -2.0), ("blue", -3.0)]),
            (vec![None, None], vec!["out_of_order", "unset"]),
            "the lower the worse"
        );
    }

    #[test]
    fn results_are_adjusted_exactly_and_thresholds_stay() {
        let rule = rule(r#"{"blue":{"when":{"feature":"last","window":"1h","op":">=","threshold":3}}}"#);
        let limit = |multiply: f64, add: f64| {
            let adjust = Adjust {
                observed_property: "tide".into(),
                multiply: Number(multiply),
                add: Number(add),
            };
            let merged = rule.merge_adjusted(&[], "", Some(&adjust));
            assert_eq!(merged.thresholds[0].unwrap().on, 3_000);
            let [on, _] = merged.scaled.unwrap().limits[0].unwrap();
            (on.over, on.under)
        };
        assert_eq!(limit(1.0, 0.3), (2_700, 1), "2.7 and what is above");
        assert_eq!(limit(2.0, 0.0), (3_000, 2));
        assert_eq!(limit(0.5, 1.0), (4_000, 1));
        assert_eq!(limit(1.234, 0.0), (1_500_000, 617));
    }
}
