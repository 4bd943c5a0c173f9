//! Rules as written: records of `in.rule`, and the files of a rule pack.

use std::collections::BTreeMap;

use riskflow_model::{Domain, Level, Number, RegionCode, Text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A rule: which datastreams it watches, and under which condition each level is on. Keyed by `id`; at most 64 KiB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleRecord {
    /// The identifier.
    pub id: Text,
    /// Grows with every change; shown in explanations.
    pub version: u32,
    /// What people call it.
    #[serde(default)]
    pub name: Text,
    /// Where the thresholds come from: a standard, a plan, a decision.
    #[serde(default)]
    pub source: Text,
    /// Which datastreams it watches.
    pub select: SelectorRecord,
    /// The grid on which observations leave a window, such as `10s`. An observation counts from its time until the
    /// first grid point at or after its time plus the window. Windows are multiples of it, at most 50,000 times as long.
    #[serde(default = "default_pane")]
    pub pane: String,
    /// The levels that it knows: `blue`, `yellow`, `orange`, `red`.
    pub levels: BTreeMap<Level, LevelRecord>,
}

impl RuleRecord {
    /// Nothing but the identifier.
    pub(crate) fn named(id: Text) -> Self {
        Self {
            id,
            version: 0,
            name: Text::default(),
            source: Text::default(),
            select: SelectorRecord::default(),
            pane: String::new(),
            levels: BTreeMap::new(),
        }
    }
}

fn default_pane() -> String {
    "10s".to_owned()
}

/// Which datastreams a rule watches: those for which everything given here holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelectorRecord {
    /// The observed property.
    #[serde(default)]
    pub observed_property: Option<Text>,
    /// The kind of the datastream's asset: any of these; empty for every kind.
    #[serde(default)]
    pub category: Vec<Text>,
    /// The domain of the asset.
    #[serde(default)]
    pub domain: Option<Domain>,
    /// The asset stands within this region.
    #[serde(default)]
    pub region: Option<RegionCode>,
    /// Each of these is a tag of the datastream or of its asset.
    #[serde(default)]
    pub tags: Vec<Text>,
}

/// When one level is on.
///
/// It turns on when the condition held throughout `hold`, and off when the condition with its thresholds moved by
/// `margin` was false throughout `clear`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LevelRecord {
    /// The condition: at most 32 comparisons, and at most 4 `any` and `all` within one another.
    pub when: ConditionRecord,
    /// How long the condition must hold, such as `20s`.
    #[serde(default = "zero")]
    pub hold: String,
    /// How far thresholds move, towards easier, before the level may turn off; not negative.
    #[serde(default)]
    pub margin: Number,
    /// How long the moved condition must be false, such as `60s`.
    #[serde(default = "zero")]
    pub clear: String,
}

fn zero() -> String {
    "0s".to_owned()
}

/// A comparison, or `any` or `all` of conditions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ConditionRecord {
    /// True when any is; unknown when none is true and any is unknown.
    Any {
        /// The conditions.
        any: Vec<ConditionRecord>,
    },
    /// True when all are; unknown when none is false and any is unknown.
    All {
        /// The conditions.
        all: Vec<ConditionRecord>,
    },
    /// One comparison.
    Comparison(ComparisonRecord),
}

/// A feature of the datastream's series, compared with a threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComparisonRecord {
    /// `last`, `min`, `max`, `mean`, `sum`, `count`, `rate` (per hour, first to last) or `silence` (seconds).
    pub feature: Text,
    /// The window, such as `12h`; not for `silence`.
    #[serde(default)]
    pub window: Option<String>,
    /// `>=`, `>`, `<=` or `<`.
    pub op: Text,
    /// The threshold, exact to thousandths. Without one, the datastream's own is taken; where that is missing too, the
    /// comparison does not take part.
    #[serde(default)]
    pub threshold: Option<Number>,
    /// A name by which a datastream's own threshold may address this comparison among several of its level.
    #[serde(default)]
    pub name: Option<Text>,
}
