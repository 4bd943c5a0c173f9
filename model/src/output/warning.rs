//! Warnings, what happens to them, and why.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{Asset, Datastream};
use crate::id::RuleOrLimit;
use crate::topic::{Record, Shape, Spec};
use crate::{Domain, Facets, Filter, Id, InherentLevel, Level, Listed, Millis, Number, OutputRecord, RegionCode, Text};

/// A row of `out.warning.state`, keyed by `id`: one episode that is open now. When it ends, a null payload deletes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct WarningState {
    /// 32 hexadecimal digits: a hash of rule, asset and `since` as first told.
    pub id: Id<WarningState>,
    /// The rule's identifier.
    pub rule: Id<RuleOrLimit>,
    /// The asset's identifier.
    pub asset: Id<Asset>,
    /// The asset's domain.
    pub domain: Domain,
    /// Where the asset stands.
    pub region: RegionCode,
    /// The present level; never `none`.
    pub level: Level,
    /// When the level left `none`.
    pub since: Millis,
    /// Whether the level stands only because its datastream fell silent.
    pub stale: bool,
}

impl Record for WarningState {
    const SPEC: Spec = Spec {
        id: 514,
        name: "out.warning.state",
        shape: Shape::OutputTable,
        key: "id",
        capability: None,
        example: "",
    };
}

impl OutputRecord for WarningState {
    const LIST: Option<Listed> = Some(Listed {
        name: "warnings",
        about: "open warnings",
        filters: &[Filter::Within, Filter::Domain, Filter::Rule, Filter::Least],
        scope: None,
    });

    fn key(&self) -> Text {
        self.id.text().clone()
    }

    fn facets(&self) -> Facets<'_> {
        Facets {
            region: Some(self.region),
            domain: Some(self.domain),
            rule: Some(&self.rule),
            level: Some(self.level),
            ..Facets::default()
        }
    }
}

/// A record of `out.warning.delta`, keyed by `id`: one step in the life of one episode.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct WarningDelta {
    /// The episode, as in [`WarningState`].
    pub id: Id<WarningState>,
    /// What happened.
    pub kind: DeltaKind,
    /// Why it happened in this epoch.
    pub cause: Cause,
    /// The rule's identifier.
    pub rule: Id<RuleOrLimit>,
    /// The asset's identifier.
    pub asset: Id<Asset>,
    /// When the level left `none`.
    pub since: Millis,
    /// When the present level began (raised, escalated, eased), or the episode ended (cleared, recorded); else the epoch (withdrawn,
    /// revised, amended).
    pub at: Millis,
    /// The level before; `none` when raised or recorded. Of an episode that is over its highest level as it was told.
    pub from: Level,
    /// The level after; `none` when cleared or withdrawn. Of an episode that is over its highest level.
    pub to: Level,
    /// Why.
    pub explanation: Explanation,
}

impl Record for WarningDelta {
    const SPEC: Spec = Spec {
        id: 515,
        name: "out.warning.delta",
        shape: Shape::OutputLog,
        key: "id",
        capability: None,
        example: "",
    };
}

impl OutputRecord for WarningDelta {
    fn key(&self) -> Text {
        self.id.text().clone()
    }

    fn order(&self, other: &Self) -> Ordering {
        (&self.rule, &self.asset, self.to, self.since).cmp(&(&other.rule, &other.asset, other.to, other.since))
    }
}

/// What happened to an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeltaKind {
    /// The level left `none`.
    Raised,
    /// The level rose.
    Escalated,
    /// The level fell, and not to `none`.
    Eased,
    /// The level fell to `none`.
    Cleared,
    /// The series as known now says that the episode never was, whether it was open or over.
    Withdrawn,
    /// By what is known now, or by another condition, the episode began at another time.
    Revised,
    /// An episode was over when it was learnt.
    Recorded,
    /// Of an episode that is over the beginning, the end or the highest level is another.
    Amended,
}

impl DeltaKind {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 8] = [
        Self::Raised,
        Self::Escalated,
        Self::Eased,
        Self::Cleared,
        Self::Withdrawn,
        Self::Revised,
        Self::Recorded,
        Self::Amended,
    ];

    /// The name on the topics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Escalated => "escalated",
            Self::Eased => "eased",
            Self::Cleared => "cleared",
            Self::Withdrawn => "withdrawn",
            Self::Revised => "revised",
            Self::Recorded => "recorded",
            Self::Amended => "amended",
        }
    }
}

/// Why something changed. Where several apply in one epoch, the last of this order is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Time passed: something expired, or was held long enough.
    Clock,
    /// A new observation in good time.
    Data,
    /// A new observation, later than `late_after`.
    LateData,
    /// An observation was replaced or taken back.
    Correction,
    /// A base record changed.
    BaseChange,
    /// A rule changed.
    RuleChange,
    /// A person decided.
    Manual,
}

/// Why a warning stands, or no longer does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// The rule's name; empty when it has none, or is gone.
    #[serde(default)]
    pub rule_name: Text,
    /// The version of the rule; 0 when the rule is gone.
    pub rule_version: u32,
    /// The condition of the level, with the thresholds in force; empty when the rule no longer applies. At most 4 KiB: of a
    /// longer one the middle is cut, with a mark that says how long it was.
    pub condition: Text,
    /// What the highest level comes from; absent when nothing is left.
    #[serde(default)]
    pub source: Option<SourceKind>,
    /// The datastream of the highest level (the first by identifier among several); empty when it comes from something else, or
    /// none is left.
    pub datastream: Id<Datastream>,
    /// The comparisons of the condition that hold at that time, as in `last 1m >= 10`: of `any` they say which part it was.
    #[serde(default)]
    pub held: Vec<Text>,
    /// The features of the condition, as of when the datastream took its present level; of a warning that is withdrawn as they are
    /// known now of when it had begun. At most 100; of more the last names how many are left out, as in `…(250 more)`.
    pub features: Vec<FeatureValue>,
    /// How often the datastream should report, as its row says; absent where that does not.
    #[serde(default)]
    pub interval: Option<Text>,
    /// The unit of thresholds and results here: the rule's, or the datastream's where the rule states none. Results of a datastream
    /// in another unit are converted to it, and rounded for show.
    #[serde(default)]
    pub unit: Text,
    /// The asset's name.
    pub asset_name: Text,
    /// The asset's kind.
    pub category: Text,
    /// The asset's inherent level; absent when the asset is gone.
    pub inherent_level: Option<InherentLevel>,
    /// Where the asset stands; absent when the asset is gone.
    pub region: Option<RegionCode>,
    /// The name of that region, where `base.region` has it.
    #[serde(default)]
    pub region_name: Text,
    /// The comparisons of the condition whose thresholds are not the rule's, and whose they are.
    #[serde(default)]
    pub limits: Vec<GivenLimit>,
    /// Whether the level rests on what is forecast: with what has come alone its condition would not hold.
    #[serde(default)]
    pub forecast: bool,
}

/// A comparison with a threshold that something nearer than the rule gives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct GivenLimit {
    /// The comparison, as in `sum 6h >= 40 mm`.
    pub comparison: Text,
    /// In the row of what the threshold stands.
    pub of: LimitSource,
    /// The region, of one that a region gives.
    pub region: Option<RegionCode>,
}

/// In the row of what a threshold stands that takes the place of the rule's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitSource {
    /// Of the datastream.
    Datastream,
    /// Of its asset.
    Asset,
    /// Of the region of the asset, or of one above it.
    Region,
}

impl Explanation {
    /// Where nothing is left that would explain anything.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            rule_name: Text::default(),
            rule_version: 0,
            condition: Text::default(),
            source: None,
            datastream: Id::default(),
            held: Vec::new(),
            features: Vec::new(),
            interval: None,
            unit: Text::default(),
            asset_name: Text::default(),
            category: Text::default(),
            inherent_level: None,
            region: None,
            region_name: Text::default(),
            limits: Vec::new(),
            forecast: false,
        }
    }
}

/// What a level may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// A rule on a datastream.
    Datastream,
    /// A limit for work under permit on the asset.
    Limit,
    /// A rule over gauges of the asset.
    Gauge,
}

/// The value of one feature over its window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct FeatureValue {
    /// What is computed, with its window, as in `sum 12h`.
    pub feature: Text,
    /// The value; absent while unknown.
    pub value: Option<Number>,
    /// The unit of the value: that of results, an hour of a rate, `s` of a silence; empty of a count, or where none is stated.
    #[serde(default)]
    pub unit: Text,
    /// The first observation in the window.
    pub first: Option<Sample>,
    /// The last observation in the window.
    pub last: Option<Sample>,
    /// How many observations in the window do not count: of bad quality, outside of the datastream's valid range, or a number that
    /// stands for no value. Of a silence those since the one before it.
    #[serde(default)]
    pub not_counted: u32,
    /// Of a forecast: when the newest of the values that count was issued; `first` and `last` are values of times to come.
    #[serde(default)]
    pub issued: Option<Millis>,
    /// Of the least or the greatest that is forecast: for when it is expected, the first such time.
    #[serde(default)]
    pub valid_time: Option<Millis>,
}

/// One observation, as evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// Its phenomenon time.
    pub time: Millis,
    /// Its result.
    pub result: Number,
}
