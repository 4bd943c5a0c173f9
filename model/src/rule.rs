//! Rules as written: records of `in.rule`, and the files of a rule pack.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::binary::BinaryError;
use crate::topic::{Record, Shape, Spec};
use crate::{Check, Domain, Level, Number, RegionCode, TableRecord, Text, field, schema};

/// A rule: which datastreams it watches, and under which condition each level is on. Keyed by `id`; at most 64 KiB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleRecord {
    /// The identifier.
    #[schemars(length(min = 1, max = 200))]
    pub id: Text,
    /// Grows with every change; shown in explanations.
    #[schemars(range(min = 1))]
    pub version: u32,
    /// What people call it.
    #[serde(default, deserialize_with = "field::or_default")]
    pub name: Text,
    /// Where the thresholds come from: a standard, a plan, a decision.
    #[serde(default, deserialize_with = "field::or_default")]
    pub source: Text,
    /// Which datastreams it watches.
    #[serde(deserialize_with = "field::object")]
    pub select: SelectorRecord,
    /// The unit of its thresholds and margins, as UCUM writes it (`mm`, `m/s`, `Cel`): results of a datastream that states another
    /// one are converted, exactly, before they are compared. Where either states none they are taken to be the same. Not of those of
    /// `count` (a number) and `silence` (seconds); those of `rate` are of it an hour.
    #[serde(default, deserialize_with = "field::or_default", skip_serializing_if = "is_empty")]
    #[schemars(length(max = 200))]
    pub unit: Text,
    /// The grid on which observations leave a window, such as `10s`. An observation counts from its time until the
    /// first grid point at or after its time plus the window. Windows are multiples of it, at most 50,000 times as long.
    #[serde(default = "default_pane", deserialize_with = "pane")]
    pub pane: String,
    /// The levels that it knows: `blue`, `yellow`, `orange`, `red`. Where two compare the same feature over the same window, the
    /// higher is not on more easily than the lower.
    #[serde(deserialize_with = "field::levels_of_objects")]
    #[schemars(schema_with = "schema::levels::<LevelRecord>")]
    pub levels: BTreeMap<Level, LevelRecord>,
}

impl Record for RuleRecord {
    const SPEC: Spec = Spec {
        id: 9,
        name: "in.rule",
        shape: Shape::InputTable,
        key: "id",
        capability: None,
        example: r#"{"id":"r","version":1,"name":"n","source":"s","select":{"observed_property":"rainfall"},"unit":"mm","pane":"10s",
            "levels":{"blue":{"when":{"feature":"sum","window":"12h","op":">=","threshold":50}}}}"#,
    };
}

impl TableRecord for RuleRecord {
    fn id(&self) -> Text {
        self.id.clone()
    }

    fn version(&self) -> Option<u32> {
        Some(self.version)
    }

    /// As JSON: how a condition is written is a choice that binary forms cannot tell apart.
    fn encode(&self) -> Result<Vec<u8>, BinaryError> {
        serde_json::to_vec(self).map_err(BinaryError::Json)
    }

    fn decode(bytes: &[u8]) -> Result<Self, BinaryError> {
        serde_json::from_slice(bytes).map_err(BinaryError::Json)
    }

    /// Its texts only: conditions and selection are the rule language's, which checks a rule by making a plan of it.
    fn check(&self, check: &mut Check) {
        check.text("name", &self.name);
        check.text("source", &self.source);
    }
}

impl RuleRecord {
    /// Nothing but the identifier.
    #[must_use]
    pub fn named(id: Text) -> Self {
        Self {
            id,
            version: 0,
            name: Text::default(),
            source: Text::default(),
            select: SelectorRecord::default(),
            unit: Text::default(),
            pane: String::new(),
            levels: BTreeMap::new(),
        }
    }
}

fn is_empty(text: &Text) -> bool {
    text.is_empty()
}

fn default_pane() -> String {
    "10s".to_owned()
}

fn pane<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(span(deserializer)?.unwrap_or_else(default_pane))
}

fn span_or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(span(deserializer)?.unwrap_or_else(zero))
}

/// A duration as written; whether it is one is found out when the rule is checked.
fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    deserializer.deserialize_any(Span)
}

struct Span;

impl Visitor<'_> for Span {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration in quotes, such as `10s`, `5m` or `1h30m`")
    }

    fn visit_unit<E: Error>(self) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<String>, E> {
        Ok(Some(text.to_owned()))
    }
}

/// Which datastreams a rule watches: those for which everything given here holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelectorRecord {
    /// The observed property.
    #[serde(default)]
    pub observed_property: Option<Text>,
    /// The kind of the datastream's asset: any of these; empty for every kind.
    #[serde(default, deserialize_with = "field::or_default")]
    pub category: Vec<Text>,
    /// The domain of the asset.
    #[serde(default)]
    pub domain: Option<Domain>,
    /// The asset stands within this region.
    #[serde(default)]
    pub region: Option<RegionCode>,
    /// Each of these is a tag of the datastream or of its asset.
    #[serde(default, deserialize_with = "field::or_default")]
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
    #[serde(default = "zero", deserialize_with = "span_or_zero")]
    pub hold: String,
    /// How far thresholds move, towards easier, before the level may turn off: exact to thousandths, not negative, and not so far
    /// that the level could never turn off. Where no threshold of the rule is negative, results are taken not to be.
    #[serde(default, deserialize_with = "field::or_default")]
    #[schemars(extend("minimum" = 0, "maximum" = 1e12))]
    pub margin: Number,
    /// How long the moved condition must be false, such as `60s`.
    #[serde(default = "zero", deserialize_with = "span_or_zero")]
    pub clear: String,
}

fn zero() -> String {
    "0s".to_owned()
}

/// A comparison, or `any` or `all` of conditions; nothing stands beside `any` or `all`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum ConditionRecord {
    /// True when any is; unknown when none is true and any is unknown.
    Any {
        /// The conditions.
        #[schemars(length(min = 1))]
        any: Vec<ConditionRecord>,
    },
    /// True when all are; unknown when none is false and any is unknown.
    All {
        /// The conditions.
        #[schemars(length(min = 1))]
        all: Vec<ConditionRecord>,
    },
    /// One comparison.
    Comparison(ComparisonRecord),
}

/// A feature of the datastream's series, compared with a threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("if" = { "properties": { "feature": { "const": "silence" } } }))]
#[schemars(extend("then" = { "properties": { "window": { "type": "null" } } }))]
#[schemars(extend("else" = { "properties": { "window": { "type": "string" } }, "required": ["window"] }))]
pub struct ComparisonRecord {
    /// `last`, `min`, `max`, `mean`, `sum`, `count`, `rate` (per hour, first to last) or `silence` (seconds).
    #[schemars(extend("enum" = ["last", "min", "max", "mean", "sum", "count", "rate", "silence"]))]
    pub feature: Text,
    /// The window, such as `12h`; not for `silence`.
    #[schemars(default)]
    pub window: Option<String>,
    /// `>=`, `>`, `<=` or `<`.
    #[schemars(extend("enum" = [">=", ">", "<=", "<"]))]
    pub op: Text,
    /// The threshold, exact to thousandths: from -1e9 to 1e9 as a result is, of `sum` and `rate` from -1e12 to 1e12, of `count` and
    /// `silence` not negative. Without one, the datastream's own is taken; where that is missing too, the comparison does not take
    /// part.
    #[schemars(default, extend("minimum" = -1e12, "maximum" = 1e12))]
    pub threshold: Option<Number>,
    /// A name by which a datastream's own threshold may address this comparison among several of its level.
    #[schemars(default, length(min = 1, max = 200))]
    pub name: Option<Text>,
}

/// All fields that a condition may have, whichever it is. Serde's own way with such a choice drops what stands beside the fields of
/// the first that fits.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCondition {
    any: Option<Vec<ConditionRecord>>,
    all: Option<Vec<ConditionRecord>>,
    feature: Option<Text>,
    #[serde(default, deserialize_with = "span")]
    window: Option<String>,
    op: Option<Text>,
    threshold: Option<Number>,
    name: Option<Text>,
}

impl<'de> Deserialize<'de> for ConditionRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ConditionVisitor)
    }
}

struct ConditionVisitor;

impl<'de> Visitor<'de> for ConditionVisitor {
    type Value = ConditionRecord;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a comparison, or an object with `any` or `all`")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ConditionRecord, A::Error> {
        let written = WrittenCondition::deserialize(MapAccessDeserializer::new(map))?;
        let beside = written.beside();
        let WrittenCondition {
            any,
            all,
            feature,
            window,
            op,
            threshold,
            name,
        } = written;
        let alone = |parts, what: &str| match beside.iter().find(|field| **field != what) {
            None => Ok(parts),
            Some(beside) => Err(A::Error::custom(format!(
                "`{beside}` beside `{what}`; give `{what}` alone, and the other within it or around it"
            ))),
        };
        Ok(match (any, all) {
            (Some(any), _) => ConditionRecord::Any {
                any: alone(any, "any")?,
            },
            (None, Some(all)) => ConditionRecord::All {
                all: alone(all, "all")?,
            },
            (None, None) => {
                let missing =
                    |field: &str, give: &str| A::Error::custom(format!("missing field `{field}`; give {give}"));
                ConditionRecord::Comparison(ComparisonRecord {
                    feature: feature.ok_or_else(|| missing("feature", FEATURE))?,
                    window,
                    op: op.ok_or_else(|| missing("op", OPERATOR))?,
                    threshold,
                    name,
                })
            }
        })
    }
}

const FEATURE: &str =
    "`last`, `min`, `max`, `mean`, `sum`, `count`, `rate` or `silence`; or `any` or `all` of conditions";
const OPERATOR: &str = "`>=`, `>`, `<=` or `<`";

impl WrittenCondition {
    /// The fields that are there.
    fn beside(&self) -> Vec<&'static str> {
        let there = [
            ("any", self.any.is_some()),
            ("all", self.all.is_some()),
            ("feature", self.feature.is_some()),
            ("window", self.window.is_some()),
            ("op", self.op.is_some()),
            ("threshold", self.threshold.is_some()),
            ("name", self.name.is_some()),
        ];
        there
            .into_iter()
            .filter_map(|(field, there)| there.then_some(field))
            .collect()
    }
}
