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

/// A rule: which datastreams it watches, or of gauges which assets, and under which condition each level is on. Keyed by `id`; at most 64 KiB.
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

/// Which datastreams a rule watches: those for which everything given here holds. One over gauges watches assets, by all but the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelectorRecord {
    /// The observed property. Not of a rule over gauges.
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
    /// Each of these is a tag of the datastream or of its asset; of the asset where the rule is over gauges.
    #[serde(default, deserialize_with = "field::or_default")]
    pub tags: Vec<Text>,
}

/// When one level is on.
///
/// It turns on when the condition held throughout `hold`, and off when the condition with its thresholds moved by
/// `margin` was false throughout `clear`, or where `until` is given, when that held throughout `clear`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LevelRecord {
    /// The condition: at most 32 comparisons, and at most 4 `any` and `all` within one another.
    pub when: ConditionRecord,
    /// How long the condition must hold, such as `20s`.
    #[serde(default = "zero", deserialize_with = "span_or_zero")]
    pub hold: String,
    /// How far thresholds move, towards easier, before the level may turn off: exact to thousandths, not negative, and not so far
    /// that the level could never turn off. Where no threshold of the rule is negative, results are taken not to be. It is in the
    /// unit of the level's first comparison, and moves the comparisons in that unit which have no `margin` of their own.
    #[serde(default, deserialize_with = "field::or_default")]
    #[schemars(extend("minimum" = 0, "maximum" = 1e12))]
    pub margin: Number,
    /// The condition that turns the level off, in the place of the moved one; then there is no margin. While `when` holds too, the
    /// level is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<ConditionRecord>,
    /// How long the moved condition must be false, or `until` hold, such as `60s`.
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
    /// A time of the day, of the week or of the year.
    During {
        /// When it is true.
        during: DuringRecord,
    },
    /// One comparison.
    Comparison(ComparisonRecord),
}

/// When a condition `during` is true: where all that is given here holds, in the time zone of the city, for the date and the time of
/// day at that instant. A night over midnight is of two dates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DuringRecord {
    /// From one time of the day until another, such as `08:00-20:00`; over midnight where the first is the later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Text>,
    /// Any of these days: `mon` to `sun`, `workday` (Monday to Friday but for holidays, and the days that `city.workdays` adds) or
    /// `day_off` (every other day).
    #[serde(
        default,
        deserialize_with = "field::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("items" = { "type": "string",
        "enum": ["mon", "tue", "wed", "thu", "fri", "sat", "sun", "workday", "day_off"] }))]
    pub days: Vec<Text>,
    /// From one day of the year to another, both included, such as `06-01..09-30`; over the turn of the year where the first is the
    /// later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season: Option<Text>,
    /// Whether it is one of `city.holidays`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holiday: Option<bool>,
}

/// Which readings `count` and `in_a_row` look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadingRecord {
    /// `>=`, `>`, `<=` or `<`.
    #[schemars(extend("enum" = [">=", ">", "<=", "<"]))]
    pub op: Text,
    /// What each result is compared with, exact to thousandths, in the rule's unit.
    #[schemars(extend("minimum" = -1e9, "maximum" = 1e9))]
    pub threshold: Number,
    /// A name by which a threshold of a datastream, asset or region may address it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub name: Option<Text>,
}

/// A feature of the datastream's series, or the value of a gauge at the asset, compared with a threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("if" = { "properties": { "feature": { "const": "silence" } } }))]
#[schemars(extend("then" = { "properties": { "window": { "type": "null" } } }))]
#[schemars(extend("else" = { "properties": { "window": { "type": "string" } }, "required": ["window"] }))]
#[schemars(extend("oneOf" = [{ "required": ["feature"] }, { "required": ["gauge"] }]))]
pub struct ComparisonRecord {
    /// Over the window: `last`, `min`, `max`, `mean`, `sum`, `count` of the results; `range` (greatest less least), `drop` (greatest
    /// less last), `rise` (last less least), `deviation` (of the population), `quantile`; `rate` (per hour, first to last), `slope`
    /// (per hour, least squares), `projected` (the last result, and what the rate makes of it in the time `ahead`), `increase` (of a
    /// counter, which may begin anew); `in_a_row` (newest results one after the other that meet `of`). Over the hours to come: `forecast_min`, `forecast_max`, `forecast_mean`, `forecast_sum`. And `silence`
    /// (seconds). Empty where a gauge is compared.
    #[serde(default, skip_serializing_if = "is_empty")]
    #[schemars(extend("enum" = ["last", "min", "max", "mean", "sum", "count", "rate", "silence", "range", "drop", "rise",
        "deviation", "quantile", "increase", "slope", "projected", "in_a_row", "forecast_min", "forecast_max", "forecast_mean",
        "forecast_sum"]))]
    pub feature: Text,
    /// In place of a feature: a gauge, of the asset or of a region in which it lies. Then all comparisons of the rule name gauges, by the same
    /// thing, it watches assets, and there is no window. Times (`elapsed`, `covered`) are compared in seconds, levels as 0 (none) to 4 (red).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub gauge: Option<Text>,
    /// The window: a duration such as `12h`; or the present `hour` or `day` of the city, `day from 08:00` where days begin then.
    /// Not for `silence`; of a forecast a duration.
    #[schemars(default)]
    pub window: Option<String>,
    /// Of a window that is an hour or a day: the one so many before the present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31))]
    pub ago: Option<u16>,
    /// Of `count` and `in_a_row`: which results are meant. `count` without it means all, `in_a_row` needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<ReadingRecord>,
    /// Of `quantile`: which, from 0.001 to 0.999, exact to thousandths; 0.5 is the median. It is the least result that is not
    /// surpassed by more than the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0.001, "maximum" = 0.999))]
    pub q: Option<Number>,
    /// Of `rate`, `slope` and `projected`: how far apart the first and the last observation must be; a sixtieth of the window where it
    /// is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortest: Option<String>,
    /// Of `projected`: how far ahead, such as `3h`; up to 31 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<String>,
    /// `>=`, `>`, `<=` or `<`.
    #[schemars(extend("enum" = [">=", ">", "<=", "<"]))]
    pub op: Text,
    /// The threshold, exact to thousandths: from -1e9 to 1e9 as a result is; of `sum`, `forecast_sum`, `rate`, `slope` and `projected` from
    /// -1e12 to 1e12; of `count`, `in_a_row`, `silence` and `deviation` from 0 to 1e9; of `range`, `drop` and `rise` from 0 to 2e9; of `increase` from 0 to
    /// 1e12. Without one, the datastream's own is taken; where that is missing too, the comparison does not take
    /// part.
    #[schemars(default, extend("minimum" = -1e12, "maximum" = 1e12))]
    pub threshold: Option<Number>,
    /// How far its threshold moves before the level may turn off, in its own unit; else the margin of the level, where that is in
    /// this unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minimum" = 0, "maximum" = 1e12))]
    pub margin: Option<Number>,
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
    during: Option<DuringRecord>,
    feature: Option<Text>,
    gauge: Option<Text>,
    #[serde(default, deserialize_with = "span")]
    window: Option<String>,
    ago: Option<u16>,
    of: Option<ReadingRecord>,
    q: Option<Number>,
    #[serde(default, deserialize_with = "span")]
    shortest: Option<String>,
    #[serde(default, deserialize_with = "span")]
    ahead: Option<String>,
    op: Option<Text>,
    threshold: Option<Number>,
    margin: Option<Number>,
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
        f.write_str("a comparison, or an object with `any`, `all` or `during`")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ConditionRecord, A::Error> {
        let written = WrittenCondition::deserialize(MapAccessDeserializer::new(map))?;
        let beside = written.beside();
        let alone = |what: &str| match beside.iter().find(|field| **field != what) {
            None => Ok(()),
            Some(beside) => Err(A::Error::custom(format!(
                "`{beside}` beside `{what}`; give `{what}` alone, and the other within it or around it"
            ))),
        };
        if let Some(any) = written.any {
            return alone("any").map(|()| ConditionRecord::Any { any });
        }
        if let Some(all) = written.all {
            return alone("all").map(|()| ConditionRecord::All { all });
        }
        if let Some(during) = written.during {
            return alone("during").map(|()| ConditionRecord::During { during });
        }
        if written.gauge.is_some() && written.feature.is_some() {
            return Err(A::Error::custom("`gauge` beside `feature`; give one of them"));
        }
        let missing = |field: &str, give: &str| A::Error::custom(format!("missing field `{field}`; give {give}"));
        Ok(ConditionRecord::Comparison(ComparisonRecord {
            feature: match &written.gauge {
                Some(_) => Text::default(),
                None => written.feature.ok_or_else(|| missing("feature", FEATURE))?,
            },
            gauge: written.gauge,
            window: written.window,
            ago: written.ago,
            of: written.of,
            q: written.q,
            shortest: written.shortest,
            ahead: written.ahead,
            op: written.op.ok_or_else(|| missing("op", OPERATOR))?,
            threshold: written.threshold,
            margin: written.margin,
            name: written.name,
        }))
    }
}

const FEATURE: &str = "`last`, `min`, `max`, `mean`, `sum`, `count`, `rate`, `silence` or another; or a `gauge`, `any` or `all` of conditions, or `during`";
const OPERATOR: &str = "`>=`, `>`, `<=` or `<`";

impl WrittenCondition {
    /// The fields that are there.
    fn beside(&self) -> Vec<&'static str> {
        let there = [
            ("any", self.any.is_some()),
            ("all", self.all.is_some()),
            ("during", self.during.is_some()),
            ("feature", self.feature.is_some()),
            ("gauge", self.gauge.is_some()),
            ("window", self.window.is_some()),
            ("ago", self.ago.is_some()),
            ("of", self.of.is_some()),
            ("q", self.q.is_some()),
            ("shortest", self.shortest.is_some()),
            ("ahead", self.ahead.is_some()),
            ("op", self.op.is_some()),
            ("threshold", self.threshold.is_some()),
            ("margin", self.margin.is_some()),
            ("name", self.name.is_some()),
        ];
        there
            .into_iter()
            .filter_map(|(field, there)| there.then_some(field))
            .collect()
    }
}
