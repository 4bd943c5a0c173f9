//! What riskflow writes: risk tables, warnings and their deltas, cases and notices, dead letters.
//!
//! On the topics each of these is one JSON object to which [`Stamped`] adds the epoch of the change.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limit::TEXT_BYTES;
use crate::topic::{Record, Shape, Spec, Topic};
use crate::{
    Domain, DomainScope, Facets, Filter, InherentLevel, Level, Listed, Millis, Number, OutputRecord, RegionCode, Text,
    joined, shortened,
};

mod case;
mod notice;
mod total;
mod unmatched;

pub use case::{
    Basis, By, CaseCounts, CaseDelta, CaseEvent, CaseEventKind, CaseState, CaseStep, CaseTimes, Escalation, Note,
    Obligation, People, Refusal, TaskState,
};
pub use notice::{Notice, NoticeEvent};
pub use total::{ReportTotal, Response};
pub use unmatched::Unmatched;

/// A record as written: its fields, and the epoch in which it changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stamped<T> {
    /// The fields of the record.
    #[serde(flatten)]
    pub record: T,
    /// Only where the record was too large to be written: this one, of the same key, stands for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stand_in: Option<StandIn>,
    /// The logical time of the change: all records of one epoch become visible together.
    pub epoch: Millis,
}

/// A record stands for one that is too large. It has the same key and the same fields, but its long texts are cut, each with a
/// mark that says how long it was (`…(70000 bytes, cut)…`), and of long lists the first entries are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StandIn {
    /// How many bytes the whole record would have had.
    pub bytes: u64,
    /// The most that the topic takes.
    pub most: u64,
}

/// A row of `out.risk.asset`, keyed by `asset`: every asset of `base.asset` has one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct AssetRisk {
    /// The asset's identifier.
    pub asset: Text,
    /// The asset's name.
    pub name: Text,
    /// The asset's kind.
    pub category: Text,
    /// The asset's domain.
    pub domain: Domain,
    /// Where it stands.
    pub region: RegionCode,
    /// From the risk census.
    pub inherent_level: InherentLevel,
    /// The highest level among the asset's datastreams.
    pub dynamic_level: Level,
    /// Inherent level times dynamic level, 0 to 16.
    pub score: u8,
    /// The score cut into levels by the configured table.
    pub level: Level,
    /// Whether a level stands only because its datastream fell silent: unknown is not recovery.
    pub stale: bool,
    /// People exposed to it.
    pub population: u32,
}

impl Record for AssetRisk {
    const SPEC: Spec = Spec {
        id: 512,
        name: "out.risk.asset",
        shape: Shape::OutputTable,
        key: "asset",
        capability: None,
        example: "",
    };
}

impl OutputRecord for AssetRisk {
    const LIST: Option<Listed> = Some(Listed {
        name: "assets",
        about: "risk of assets",
        filters: &[Filter::Within, Filter::Domain, Filter::Category, Filter::Least],
        scope: None,
    });

    fn key(&self) -> Text {
        self.asset.clone()
    }

    fn facets(&self) -> Facets<'_> {
        Facets {
            region: Some(self.region),
            domain: Some(self.domain),
            category: Some(&self.category),
            level: Some(self.level),
            ..Facets::default()
        }
    }
}

/// A row of `out.risk.region`, keyed by `region/domain`: every region of `base.region` has one for each domain and one
/// for all together, and so has every region that an asset lies in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct RegionRisk {
    /// The region.
    pub region: RegionCode,
    /// Its name, where `base.region` has it.
    pub name: Text,
    /// The region that it lies in, by its code or by `base.region`; absent where it lies in none.
    pub parent: Option<RegionCode>,
    /// The domain, or all.
    pub domain: DomainScope,
    /// The highest risk level of any of its assets.
    pub level: Level,
    /// Assets by risk level.
    pub assets_by_level: LevelCounts,
    /// Assets by dynamic level.
    pub assets_by_dynamic_level: LevelCounts,
    /// Villages (codes of 12 digits) by the highest risk level of their assets; villages without assets are not counted.
    pub villages_by_level: LevelCounts,
    /// Open warnings by level; `none` is always 0.
    pub warnings_by_level: LevelCounts,
    /// The sum of its assets' scores.
    pub score: i64,
    /// The score now less that of an hour ago (at the last full minute; before the first epoch it was 0).
    pub trend: i64,
    /// People exposed to assets at orange or above.
    pub exposed_population: i64,
    /// The ten assets of highest score above 0, highest first, then by identifier.
    pub top_assets: Vec<TopAsset>,
}

impl Record for RegionRisk {
    const SPEC: Spec = Spec {
        id: 513,
        name: "out.risk.region",
        shape: Shape::OutputTable,
        key: "region/domain",
        capability: None,
        example: "",
    };
}

impl OutputRecord for RegionRisk {
    const LIST: Option<Listed> = Some(Listed {
        name: "regions",
        about: "risk of regions, of one domain (`all` where none is given); from province to village, then those of other codes",
        filters: &[Filter::Within, Filter::Tier, Filter::Domain, Filter::Least],
        scope: Some(DomainScope::All),
    });

    fn key(&self) -> Text {
        joined(&[&self.region.to_string(), &self.domain.to_string()]).into()
    }

    fn facets(&self) -> Facets<'_> {
        Facets {
            region: Some(self.region),
            scope: Some(self.domain),
            level: Some(self.level),
            ..Facets::default()
        }
    }
}

/// How many there are of each level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct LevelCounts {
    /// At level 0.
    pub none: i64,
    /// At level 1.
    pub blue: i64,
    /// At level 2.
    pub yellow: i64,
    /// At level 3.
    pub orange: i64,
    /// At level 4.
    pub red: i64,
}

impl LevelCounts {
    /// Counts in the order of [`Level::ALL`].
    #[must_use]
    pub const fn from_array(counts: [i64; 5]) -> Self {
        let [none, blue, yellow, orange, red] = counts;
        Self {
            none,
            blue,
            yellow,
            orange,
            red,
        }
    }

    /// Counts in the order of [`Level::ALL`].
    #[must_use]
    pub const fn to_array(self) -> [i64; 5] {
        [self.none, self.blue, self.yellow, self.orange, self.red]
    }

    /// The highest level of which there is any.
    #[must_use]
    pub fn highest(self) -> Level {
        Level::ALL
            .into_iter()
            .rev()
            .find(|level| self.to_array()[level.index()] > 0)
            .unwrap_or_default()
    }
}

/// One of a region's assets of highest score.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct TopAsset {
    /// The asset's identifier.
    pub asset: Text,
    /// Its score, 1 to 16.
    pub score: u8,
}

/// A row of `out.warning.state`, keyed by `id`: one episode that is open now. When it ends, a null payload deletes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct WarningState {
    /// 32 hexadecimal digits: a hash of rule, asset and `since`.
    pub id: Text,
    /// The rule's identifier.
    pub rule: Text,
    /// The asset's identifier.
    pub asset: Text,
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
        self.id.clone()
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
    pub id: Text,
    /// What happened.
    pub kind: DeltaKind,
    /// Why it happened in this epoch.
    pub cause: Cause,
    /// The rule's identifier.
    pub rule: Text,
    /// The asset's identifier.
    pub asset: Text,
    /// When the level left `none`.
    pub since: Millis,
    /// When the present level began (raised, escalated, eased), the episode ended (cleared), or it was found never to
    /// have been (withdrawn: the epoch).
    pub at: Millis,
    /// The level before; `none` when raised.
    pub from: Level,
    /// The level after; `none` when cleared or withdrawn.
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
        self.id.clone()
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
    /// The series as known now says that the episode never was.
    Withdrawn,
    /// The condition was changed, and under the new one the episode began at another time.
    Revised,
}

impl DeltaKind {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 6] = [
        Self::Raised,
        Self::Escalated,
        Self::Eased,
        Self::Cleared,
        Self::Withdrawn,
        Self::Revised,
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
    pub datastream: Text,
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
            datastream: Text::default(),
            held: Vec::new(),
            features: Vec::new(),
            interval: None,
            unit: Text::default(),
            asset_name: Text::default(),
            category: Text::default(),
            inherent_level: None,
            region: None,
            region_name: Text::default(),
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
}

/// One observation, as evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// Its phenomenon time.
    pub time: Millis,
    /// Its result.
    pub result: Number,
}

/// A record of `out.deadletter`: an input record that could not be used, with its origin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    /// What is wrong with it.
    pub reason: Reason,
    /// The same for people: field, value found, what to give. At most 4 KiB: of a longer one the middle is cut, with a mark that
    /// says how long it was.
    pub detail: Text,
    /// The topic it came from.
    pub topic: Text,
    /// The partition it came from.
    pub partition: u32,
    /// Its offset there.
    pub offset: u64,
    /// Its payload: as it was if that is UTF-8, else in base 64; the first 64 KiB of it.
    pub payload: Text,
    /// How `payload` is written.
    pub encoding: PayloadEncoding,
    /// The length of the payload, before it was cut.
    pub payload_bytes: u64,
    /// Whether `payload` is only the beginning of it.
    #[serde(default)]
    pub payload_cut: bool,
}

impl Record for DeadLetter {
    const SPEC: Spec = Spec {
        id: 522,
        name: "out.deadletter",
        shape: Shape::OutputLog,
        key: "topic/partition/offset",
        capability: None,
        example: "",
    };
}

impl OutputRecord for DeadLetter {
    fn key(&self) -> Text {
        joined(&[&self.topic, &self.partition.to_string(), &self.offset.to_string()]).into()
    }

    fn order(&self, other: &Self) -> Ordering {
        (&self.topic, self.partition, self.offset).cmp(&(&other.topic, other.partition, other.offset))
    }
}

impl DeadLetter {
    /// So many bytes of a payload are kept.
    pub const PAYLOAD_BYTES: usize = 64 << 10;

    /// The dead letter of a record, identified by topic, partition and offset, with a payload in text. What is too long is cut.
    #[must_use]
    pub fn new(
        (reason, detail): (Reason, &str),
        (topic, partition, offset): (Topic, u16, u64),
        payload: &str,
        encoding: PayloadEncoding,
    ) -> Self {
        let kept = &payload[..payload.floor_char_boundary(Self::PAYLOAD_BYTES)];
        Self {
            reason,
            detail: shortened(detail, TEXT_BYTES).into(),
            topic: topic.name().into(),
            partition: partition.into(),
            offset,
            payload: kept.into(),
            encoding,
            payload_bytes: payload.len() as u64,
            payload_cut: kept.len() < payload.len(),
        }
    }
}

/// How a dead letter's payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayloadEncoding {
    /// As it was.
    Utf8,
    /// RFC 4648, with padding.
    Base64,
    /// Not the record's bytes but the observation that they held, as JSON: it was accepted first, and given up later.
    Decoded,
}

/// Why a record could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Not JSON, or cut short.
    Malformed,
    /// Not UTF-8.
    InvalidUtf8,
    /// A field is missing, or has a value that it cannot have.
    InvalidField,
    /// Larger than a record may be.
    TooLarge,
    /// The record's key is missing, or is not the identifier in the payload.
    KeyMismatch,
    /// Older than the correction horizon.
    TooLate,
    /// Further ahead of the clock than `max_future`.
    InFuture,
    /// No `base.datastream` record came for it within the time, or there were too many such.
    UnknownDatastream,
    /// A rule that cannot be used.
    InvalidRule,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Malformed,
        Self::InvalidUtf8,
        Self::InvalidField,
        Self::TooLarge,
        Self::KeyMismatch,
        Self::TooLate,
        Self::InFuture,
        Self::UnknownDatastream,
        Self::InvalidRule,
    ];

    /// The name on the topics and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidField => "invalid_field",
            Self::TooLarge => "too_large",
            Self::KeyMismatch => "key_mismatch",
            Self::TooLate => "too_late",
            Self::InFuture => "in_future",
            Self::UnknownDatastream => "unknown_datastream",
            Self::InvalidRule => "invalid_rule",
        }
    }
}

/// The origin of a record: where it stands in the total order of the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The position of the topic in the catalogue ([`crate::topic::Topic`]).
    pub topic: u16,
    /// The partition.
    pub partition: u16,
    /// The offset.
    pub offset: u64,
}
