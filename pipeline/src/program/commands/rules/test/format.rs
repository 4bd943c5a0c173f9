//! Files of tests as written. `riskflow schema rules-test` is made of these types; docs/rule-tests.md explains them.
//!
//! Lists stay JSON here and are read entry by entry, so that everything wrong is told, each with its own line.

use std::collections::BTreeMap;

use riskflow_model::action::Verb;
use riskflow_model::base::{Asset, Datastream, Region};
use riskflow_model::intake::Limit;
use riskflow_model::observation::Quality;
use riskflow_model::output::{CaseStep, Cause, DeltaKind, NoticeEvent, Reason};
use riskflow_model::rule::RuleRecord;
use riskflow_model::{Duration, Level};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::after::{After, length_schema};

/// What may stand in a file, for all of its tests, and in a test, for that one.
#[derive(Clone, Debug, Default)]
pub struct Common {
    pub rules: Vec<Value>,
    pub assets: Vec<Value>,
    pub datastreams: Vec<Value>,
    pub regions: Vec<Value>,
    pub rows: Vec<Value>,
    pub settings: BTreeMap<String, Value>,
    pub start: Option<String>,
    pub step: Option<Duration>,
    pub interval: Option<Duration>,
}

/// A struct with fields of its own and those of [`Common`]. What serde flattens loses the path by which problems are told.
macro_rules! with_common {
    ($(#[$about:meta])* $name:ident { $($(#[$of:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$of])* pub $field: $kind,)*
            /// The rules and limits: names of packs, files and folders by their path from this file, or rules as they are written on
            /// `in.rule`. Those of a test stand beside those of its file.
            #[serde(default)]
            #[schemars(schema_with = "rules_schema")]
            pub rules: Vec<Value>,
            /// Rows of `base.asset`, there from the start.
            #[serde(default)]
            #[schemars(with = "Vec<Asset>")]
            pub assets: Vec<Value>,
            /// Rows of `base.datastream`, there from the start.
            #[serde(default)]
            #[schemars(with = "Vec<Datastream>")]
            pub datastreams: Vec<Value>,
            /// Rows of `base.region`, there from the start.
            #[serde(default)]
            #[schemars(with = "Vec<Region>")]
            pub regions: Vec<Value>,
            /// Rows of any input table, there from the start.
            #[serde(default)]
            #[schemars(with = "Vec<RowOf>")]
            pub rows: Vec<Value>,
            /// Settings of the job, over those of the configuration, such as `time.horizon: 2h`.
            #[serde(default)]
            pub settings: BTreeMap<String, Value>,
            /// The time that is `0`: RFC 3339, or without an offset in the time zone of the city. `2025-01-01T00:00` by default.
            #[serde(default)]
            pub start: Option<String>,
            /// So often something that falls due is looked for; `1m` by default.
            #[serde(default)]
            #[schemars(schema_with = "length_schema")]
            pub step: Option<Duration>,
            /// From each value of a series to the next, where the series does not say; `1m` by default.
            #[serde(default)]
            #[schemars(schema_with = "length_schema")]
            pub interval: Option<Duration>,
        }

        impl $name {
            /// What may stand in a file and in a test.
            pub fn common(&self) -> Common {
                Common {
                    rules: self.rules.clone(),
                    assets: self.assets.clone(),
                    datastreams: self.datastreams.clone(),
                    regions: self.regions.clone(),
                    rows: self.rows.clone(),
                    settings: self.settings.clone(),
                    start: self.start.clone(),
                    step: self.step,
                    interval: self.interval,
                }
            }
        }
    };
}

with_common! {
    /// A file of tests of rules. What stands beside `tests` holds for all of them.
    File {
        /// The tests.
        #[schemars(with = "Vec<Test>")]
        tests: Vec<Value>,
    }
}

with_common! {
    /// A test: what comes in, and what must come of it.
    Test {
        /// What it shows; each name once in a file.
        name: String,
        /// Only these of the rules and limits are in force, by their identifiers; by default all.
        #[serde(default)]
        only: Option<Vec<String>>,
        /// Series of observations.
        #[serde(default)]
        #[schemars(with = "Vec<Series>")]
        series: Vec<Value>,
        /// Observations that come later than others, that come again, or that are taken back.
        #[serde(default)]
        #[schemars(with = "Vec<Correction>")]
        corrections: Vec<Value>,
        /// Forecasts.
        #[serde(default)]
        #[schemars(with = "Vec<Issue>")]
        forecasts: Vec<Value>,
        /// Events: what gauges measure.
        #[serde(default)]
        #[schemars(with = "Vec<EventOf>")]
        events: Vec<Value>,
        /// What people do about cases.
        #[serde(default)]
        #[schemars(with = "Vec<ActionOf>")]
        actions: Vec<Value>,
        /// Rules and rows that change.
        #[serde(default)]
        #[schemars(with = "Vec<Edit>")]
        edits: Vec<Value>,
        /// It goes on at least until then.
        #[serde(default)]
        until: Option<After>,
        /// All that is told of warnings, in full; an empty list: nothing is. Left out: whatever is told.
        #[serde(default)]
        #[schemars(with = "Option<Vec<Delta>>")]
        deltas: Option<Vec<Value>>,
        /// All that people are told, in full; an empty list: nothing. Left out: whatever they are told.
        #[serde(default)]
        #[schemars(with = "Option<Vec<NoticeOf>>")]
        notices: Option<Vec<Value>>,
        /// What must be so at a time.
        #[serde(default)]
        #[schemars(with = "Vec<Expected>")]
        expect: Vec<Value>,
        /// Why records are refused while the test runs, in full; by default none is.
        #[serde(default)]
        dead_letters: Vec<Reason>,
    }
}

/// A row of any input table.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RowOf {
    /// The table, such as `in.permit`.
    pub topic: String,
    /// Its key: only needed where the row is deleted.
    #[serde(default)]
    pub key: Option<String>,
    /// The row, as `riskflow schema` describes it; null deletes. In it `{ at: 1h }` is the time one hour after the start.
    #[serde(default)]
    pub value: Value,
}

/// Observations of a datastream.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// Its identifier.
    pub datastream: String,
    /// In short (`0x10 1+2x5 _`), a number, or a list: of numbers, names of states and null for none, one an interval; or of
    /// `[time, value]` and `[time, value, quality]`.
    #[schemars(schema_with = "values_schema")]
    pub values: Value,
    /// When the first is measured; `0` by default.
    #[serde(default)]
    pub from: After,
    /// From each to the next.
    #[serde(default)]
    #[schemars(schema_with = "length_schema")]
    pub interval: Option<Duration>,
    /// How long after its time each arrives; at once by default.
    #[serde(default)]
    #[schemars(schema_with = "length_schema")]
    pub delay: Duration,
    /// How far all of them may be trusted; `good` by default.
    #[serde(default)]
    pub quality: Option<Quality>,
}

/// Observations of a datastream that all arrive at one time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Correction {
    /// When they arrive.
    pub at: After,
    /// The identifier of the datastream.
    pub datastream: String,
    /// As in a series. `[time, null]` takes back what was known of that time.
    #[schemars(schema_with = "values_schema")]
    pub values: Value,
    /// When the first is measured; `0` by default.
    #[serde(default)]
    pub from: After,
    /// From each to the next.
    #[serde(default)]
    #[schemars(schema_with = "length_schema")]
    pub interval: Option<Duration>,
    /// How far all of them may be trusted; `good` by default.
    #[serde(default)]
    pub quality: Option<Quality>,
}

/// An issue of a forecast.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Issue {
    /// The identifier of the datastream.
    pub datastream: String,
    /// When it was made.
    pub issued: After,
    /// When it arrives; when it was made by default.
    #[serde(default)]
    pub arrives: Option<After>,
    /// What is expected, as in a series.
    #[schemars(schema_with = "values_schema")]
    pub values: Value,
    /// For when the first is; one interval after `issued` by default.
    #[serde(default)]
    pub from: Option<After>,
    /// From each to the next.
    #[serde(default)]
    #[schemars(schema_with = "length_schema")]
    pub interval: Option<Duration>,
}

/// What is told of an event.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventOf {
    /// When it arrives.
    pub at: After,
    /// The record, as `riskflow schema in.event` describes it. In it `{ at: 1h }` is the time one hour after the start.
    pub event: Value,
}

/// What somebody does about a case.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionOf {
    /// When it arrives.
    pub at: After,
    /// The case of a warning, as `rule/asset`, with `since`; without it that of an incident, by its identifier.
    pub case: String,
    /// When the first warning of the case began, as it was first told.
    #[serde(default)]
    pub since: Option<After>,
    /// What is done.
    pub action: Verb,
    /// Who does it.
    pub actor: String,
    /// When it was done; when it arrives by default.
    #[serde(default)]
    pub time: Option<After>,
    /// All other fields of `in.action`: `role`, `unit`, `text`, `task`, `assignee`, `evidence`, `until`, `override`; and `id`, where
    /// one comes twice.
    #[serde(default)]
    pub with: BTreeMap<String, Value>,
}

/// Rules and rows that come, or stand in the place of others, at a time.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// When.
    pub at: After,
    /// Rules and limits, as in a file.
    #[serde(default)]
    #[schemars(schema_with = "rules_schema")]
    pub rules: Vec<Value>,
    /// Rows of `base.asset`.
    #[serde(default)]
    #[schemars(with = "Vec<Asset>")]
    pub assets: Vec<Value>,
    /// Rows of `base.datastream`.
    #[serde(default)]
    #[schemars(with = "Vec<Datastream>")]
    pub datastreams: Vec<Value>,
    /// Rows of `base.region`.
    #[serde(default)]
    #[schemars(with = "Vec<Region>")]
    pub regions: Vec<Value>,
    /// Rows of any input table. Without `value` the row of its key is deleted: `{ topic: in.rule, key: rain }`.
    #[serde(default)]
    #[schemars(with = "Vec<RowOf>")]
    pub rows: Vec<Value>,
}

/// One thing that is told of a warning. What is not given may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Delta {
    /// What happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<DeltaKind>,
    /// The rule or limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The asset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset: Option<String>,
    /// The level that it has now; of what is over, the one that it had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The level before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Level>,
    /// The level after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Level>,
    /// When the present level began, or the warning ended; else the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<After>,
    /// When the warning began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<After>,
    /// In which epoch it is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<After>,
    /// Why it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

/// One thing that somebody is told. What is not given may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NoticeOf {
    /// What is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<NoticeEvent>,
    /// Who is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The unit for which the user is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The role in which the user is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The rule, the limit, or the hazard of the incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The asset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset: Option<String>,
    /// The level that is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// In which epoch it is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<After>,
    /// By when the user must acknowledge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<After>,
}

/// What must be so at a time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// When.
    pub at: After,
    /// The open warnings, in full, as `rule/asset` and level.
    #[serde(default)]
    pub open: Option<BTreeMap<String, Level>>,
    /// The cases that are remembered, in full, as `rule/asset` and step; of several of one rule and asset the one that began last. One
    /// without an asset is `hazard/incident`.
    #[serde(default)]
    pub cases: Option<BTreeMap<String, CaseStep>>,
}

fn rules_schema(generator: &mut SchemaGenerator) -> Schema {
    let (rule, limit) = (
        generator.subschema_for::<RuleRecord>(),
        generator.subschema_for::<Limit>(),
    );
    schemars::json_schema!({
        "type": "array",
        "items": { "anyOf": [
            { "description": "The name of a pack, or the path of a file or folder.", "type": "string" }, rule, limit
        ] }
    })
}

fn values_schema(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({
        "description": "Values in short, such as `0x10 1+2x5 _`, a number, or a list.",
        "type": ["string", "number", "array"],
        "items": { "type": ["number", "string", "boolean", "null", "array"] }
    })
}
