//! A rule together with the thresholds that one datastream has of its own for it.
//!
//! Each may be right by itself and both together be wrong. Such a pair is never silent, and never half in force: the rule's own
//! thresholds hold for it, and [`Merged::problems`] says why.

use std::fmt;

use riskflow_model::{Level, Number, Text, TextMap};
use serde::{Deserialize, Serialize};

use super::ladder::out_of_order;
use super::possible::{Judge, Never};
use super::{Bound, Comparison, Rule, Thresholds};

/// What a rule and a datastream's own thresholds come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The thresholds in force.
    pub thresholds: Thresholds,
    /// What is wrong with the two together.
    pub problems: Vec<PairProblem>,
}

/// What is wrong with a rule and a datastream's own thresholds for it, though each may be right by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PairProblem {
    /// An own threshold is for a level or comparison that the rule does not have. The others hold.
    NamesNothing {
        /// As written.
        key: Text,
    },
    /// An own threshold is beyond what its feature can be. The rule's own thresholds hold.
    Beyond {
        /// As written.
        key: Text,
        /// As written.
        threshold: Number,
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
    /// Neither the rule nor the datastream gives any threshold: the rule watches the datastream, and nothing can come of it.
    Unset,
}

impl PairProblem {
    /// The names of all kinds.
    pub const KINDS: [&'static str; 6] = [
        "names_nothing",
        "beyond",
        "out_of_order",
        "never_holds",
        "never_clears",
        "unset",
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
        }
    }

    /// Whether the rule's own thresholds hold because of it.
    const fn voids(&self) -> bool {
        !matches!(self, Self::NamesNothing { .. } | Self::Unset)
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
            Self::Beyond { key, threshold } => write!(f, "`{key}` is {threshold}, which its feature can never be"),
            Self::OutOfOrder {
                level,
                threshold,
                lower,
                lower_threshold,
            } => write!(
                f,
                "`{level}` at {threshold} is on more easily than `{lower}` at {lower_threshold}"
            ),
            Self::NeverHolds { level } => write!(f, "`{level}` could never turn on"),
            Self::NeverClears { level } => write!(f, "`{level}` could never turn off: its margin is too wide"),
            Self::Unset => f.write_str("neither the rule nor the datastream gives a threshold, so nothing is watched"),
        }?;
        if self.voids() {
            f.write_str("; the rule's own thresholds hold instead")?;
        }
        Ok(())
    }
}

impl Rule {
    /// The thresholds in force for a datastream with thresholds of its own for this rule; `None` when it has none.
    #[must_use]
    pub fn thresholds(&self, own: Option<&TextMap<Number>>) -> Thresholds {
        self.merge(own).thresholds
    }

    /// The thresholds in force for a datastream, and what is wrong with them.
    #[must_use]
    pub fn merge(&self, own: Option<&TextMap<Number>>) -> Merged {
        let mut problems = Vec::new();
        let thresholds = match own {
            Some(own) => self.with_own(own, &mut problems),
            None => self.own(),
        };
        let thresholds = if problems.iter().any(PairProblem::voids) {
            self.own()
        } else {
            thresholds
        };
        // What is set in the rule itself was judged when the rule was checked.
        if own.is_none() && thresholds.iter().any(Option::is_none) {
            self.judge(&thresholds, &mut problems);
        }
        if thresholds.iter().all(Option::is_none) && !thresholds.is_empty() {
            problems.push(PairProblem::Unset);
        }
        Merged { thresholds, problems }
    }

    /// The rule's own thresholds: most datastreams have these, and share them.
    fn own(&self) -> Thresholds {
        Thresholds::clone(&self.thresholds)
    }

    fn with_own(&self, own: &TextMap<Number>, problems: &mut Vec<PairProblem>) -> Thresholds {
        let unknown = own
            .iter()
            .filter(|(key, _)| !self.comparisons.iter().any(|comparison| comparison.is_named(key)));
        problems.extend(unknown.map(|(key, _)| PairProblem::NamesNothing { key: key.clone() }));
        let thresholds: Thresholds = self
            .comparisons
            .iter()
            .map(|comparison| {
                let Some((key, threshold)) = comparison.own_of(own) else {
                    return Some(comparison.bound(comparison.threshold?));
                };
                let (least, most) = self.features[comparison.feature].kind.range();
                let on = threshold.thousandths().filter(|on| (least..=most).contains(on));
                if on.is_none() {
                    problems.push(PairProblem::Beyond { key, threshold });
                }
                Some(comparison.bound(on?))
            })
            .collect();
        self.judge(&thresholds, problems);
        thresholds
    }

    fn judge(&self, bounds: &[Option<Bound>], problems: &mut Vec<PairProblem>) {
        let on: Vec<Option<i64>> = bounds.iter().map(|bound| bound.map(|bound| bound.on)).collect();
        let number = |index: usize| Number(on[index].unwrap_or_default() as f64 / 1000.0);
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
            open: false,
        };
        problems.extend(self.levels.iter().filter_map(|plan| {
            let level = plan.level;
            Some(match judge.never(&plan.condition)? {
                Never::Holds => PairProblem::NeverHolds { level },
                Never::Clears => PairProblem::NeverClears { level },
            })
        }));
    }
}

impl Comparison {
    /// The threshold with the one moved by the margin.
    pub(super) const fn bound(&self, on: i64) -> Bound {
        Bound {
            on,
            off: self.operator.eased(on, self.margin),
        }
    }

    /// Whether a datastream's own threshold under this key is for it.
    fn is_named(&self, key: &str) -> bool {
        match key.strip_prefix(self.level.name()) {
            Some("") => true,
            Some(rest) => rest
                .strip_prefix('.')
                .is_some_and(|name| self.name.as_deref() == Some(name)),
            None => false,
        }
    }

    /// The own threshold for it, and its key: the one under its name before the one of its level.
    fn own_of(&self, own: &TextMap<Number>) -> Option<(Text, Number)> {
        let of = |key: Text| own.get(&key).map(|number| (key, *number));
        let named = self
            .name
            .as_ref()
            .and_then(|name| of(format!("{}.{name}", self.level).into()));
        named.or_else(|| of(self.level.name().into()))
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
        let merged = rule.merge(Some(&own.collect()));
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
        let merged = rule.merge(Some(&own));
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
    fn a_pair_without_any_threshold_says_so() {
        let rule = rule(
            r#"{"blue":{"when":{"feature":"last","window":"1h","op":"<="}},
                "red":{"when":{"feature":"last","window":"1h","op":"<="}}}"#,
        );
        assert_eq!(rule.merge(None).problems, [PairProblem::Unset]);
        assert_eq!(merge(&rule, &[]), (vec![None, None], vec!["unset"]));
        assert_eq!(merge(&rule, &[("red", -2.0)]), (vec![None, Some(-2_000)], vec![]));
        assert_eq!(
            merge(&rule, &[("red", -2.0), ("blue", -3.0)]),
            (vec![None, None], vec!["out_of_order", "unset"]),
            "the lower the worse"
        );
    }
}
