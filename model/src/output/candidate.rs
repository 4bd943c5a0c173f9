//! What rule sets that are not live would warn of, and how that differs.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cause, DeltaKind, Explanation, WarningDelta, WarningState};
use crate::base::Asset;
use crate::rule::RuleRecord;
use crate::ruleset::RuleSet;
use crate::topic::{Record, Shape, Spec};
use crate::{Domain, Facets, Filter, Id, Level, Listed, Millis, OutputRecord, RegionCode, Text, joined};

/// A row of `out.candidate.state`, keyed by `id`: a warning that a set would have open now, if it were live.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct CandidateState {
    /// 32 hexadecimal digits: a hash of set, rule, asset and `since` as first told.
    pub id: Id<CandidateState>,
    /// The set.
    pub set: Id<RuleSet>,
    /// What the rule is called in the set.
    pub rule: Id<RuleRecord>,
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

impl CandidateState {
    /// What a warning is as one of a set.
    #[must_use]
    pub fn of(set: &str, rule: &str, warning: &WarningState) -> Self {
        Self {
            id: Id::new(warning.id.text().clone()),
            set: Id::from(set),
            rule: Id::from(rule),
            asset: warning.asset.clone(),
            domain: warning.domain,
            region: warning.region,
            level: warning.level,
            since: warning.since,
            stale: warning.stale,
        }
    }
}

impl Record for CandidateState {
    const SPEC: Spec = Spec {
        id: 526,
        name: "out.candidate.state",
        shape: Shape::OutputTable,
        key: "id",
        capability: None,
        example: "",
    };
}

impl OutputRecord for CandidateState {
    const LIST: Option<Listed> = Some(Listed {
        name: "candidates",
        about: "warnings that sets which are not live would have open",
        filters: &[Filter::Set, Filter::Within, Filter::Domain, Filter::Rule, Filter::Least],
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
            set: Some(&self.set),
            ..Facets::default()
        }
    }
}

/// A record of `out.candidate.delta`, keyed by `id`: one step in the life of a warning of a set that is not live. Nobody is told of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct CandidateDelta {
    /// The episode, as in [`CandidateState`].
    pub id: Id<CandidateState>,
    /// The set.
    pub set: Id<RuleSet>,
    /// What happened.
    pub kind: DeltaKind,
    /// Why it happened in this epoch.
    pub cause: Cause,
    /// What the rule is called in the set.
    pub rule: Id<RuleRecord>,
    /// The asset's identifier.
    pub asset: Id<Asset>,
    /// When the level left `none`.
    pub since: Millis,
    /// As in `out.warning.delta`.
    pub at: Millis,
    /// The level before.
    pub from: Level,
    /// The level after.
    pub to: Level,
    /// Why. Where several sets have the rule with the same condition, name and version are those of the live one, else of the first.
    pub explanation: Explanation,
}

impl CandidateDelta {
    /// What happened to a warning, as one of a set.
    #[must_use]
    pub fn of(set: &str, rule: &str, delta: WarningDelta) -> Self {
        Self {
            id: Id::new(delta.id.into_text()),
            set: Id::from(set),
            kind: delta.kind,
            cause: delta.cause,
            rule: Id::from(rule),
            asset: delta.asset,
            since: delta.since,
            at: delta.at,
            from: delta.from,
            to: delta.to,
            explanation: delta.explanation,
        }
    }
}

impl Record for CandidateDelta {
    const SPEC: Spec = Spec {
        id: 527,
        name: "out.candidate.delta",
        shape: Shape::OutputLog,
        key: "id",
        capability: None,
        example: "",
    };
}

impl OutputRecord for CandidateDelta {
    fn key(&self) -> Text {
        self.id.text().clone()
    }

    fn order(&self, other: &Self) -> Ordering {
        let key = |it: &Self| (it.set.clone(), it.rule.clone(), it.asset.clone(), it.to, it.since);
        key(self).cmp(&key(other))
    }
}

/// A row of `out.ruleset.difference`, keyed by `set/rule/asset`: where a set warns otherwise than the live one now. Where both warn of
/// the same level since the same time, or neither warns, there is no row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct SetDifference {
    /// The set.
    pub set: Id<RuleSet>,
    /// What the rule is called in both.
    pub rule: Id<RuleRecord>,
    /// The asset's identifier.
    pub asset: Id<Asset>,
    /// The asset's domain.
    pub domain: Domain,
    /// Where the asset stands.
    pub region: RegionCode,
    /// What differs.
    pub kind: DifferenceKind,
    /// The level by the live set, and since when it is above none; absent where it does not warn.
    pub live: Option<Open>,
    /// The same by this set.
    pub candidate: Option<Open>,
}

/// A warning that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Open {
    /// The present level.
    pub level: Level,
    /// When the level left `none`.
    pub since: Millis,
}

/// How two sets differ in a rule and an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// Only the live set warns.
    OnlyLive,
    /// Only this set warns.
    OnlySet,
    /// Both warn, of different levels.
    Level,
    /// Both warn of the same level, since different times.
    Since,
}

impl DifferenceKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::OnlyLive, Self::OnlySet, Self::Level, Self::Since];

    /// The name on the topic.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnlyLive => "only_live",
            Self::OnlySet => "only_set",
            Self::Level => "level",
            Self::Since => "since",
        }
    }

    /// How two differ; `None` where they do not.
    #[must_use]
    pub fn of(live: Option<Open>, candidate: Option<Open>) -> Option<Self> {
        match (live, candidate) {
            (None, None) => None,
            (Some(_), None) => Some(Self::OnlyLive),
            (None, Some(_)) => Some(Self::OnlySet),
            (Some(one), Some(other)) if one.level != other.level => Some(Self::Level),
            (Some(one), Some(other)) => (one.since != other.since).then_some(Self::Since),
        }
    }
}

impl Record for SetDifference {
    const SPEC: Spec = Spec {
        id: 528,
        name: "out.ruleset.difference",
        shape: Shape::OutputTable,
        key: "set/rule/asset",
        capability: None,
        example: "",
    };
}

impl OutputRecord for SetDifference {
    const LIST: Option<Listed> = Some(Listed {
        name: "rulesets/difference",
        about: "where sets that are not live warn otherwise than the live one",
        filters: &[Filter::Set, Filter::Within, Filter::Domain, Filter::Rule],
        scope: None,
    });

    fn key(&self) -> Text {
        joined(&[&self.set, &self.rule, &self.asset]).into()
    }

    fn facets(&self) -> Facets<'_> {
        Facets {
            region: Some(self.region),
            domain: Some(self.domain),
            rule: Some(&self.rule),
            set: Some(&self.set),
            ..Facets::default()
        }
    }
}

/// A row of `out.ruleset`, keyed by `set`: a set that there is, or that something names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct SetState {
    /// The set.
    pub set: Id<RuleSet>,
    /// Whether it is live.
    pub live: bool,
    /// Whether its rules are evaluated.
    pub in_force: bool,
    /// The set whose rules it has too.
    pub base: Option<Id<RuleSet>>,
    /// The sweep that it is of.
    pub sweep: Option<Id<RuleSet>>,
    /// How many rules it has, those of its base included.
    pub rules: u32,
    /// How many of them are its own.
    pub own: u32,
    /// What is wrong with it, and what to give: one line each.
    pub problems: Vec<Text>,
}

impl Record for SetState {
    const SPEC: Spec = Spec {
        id: 529,
        name: "out.ruleset",
        shape: Shape::OutputTable,
        key: "set",
        capability: None,
        example: "",
    };
}

impl OutputRecord for SetState {
    const LIST: Option<Listed> = Some(Listed {
        name: "rulesets",
        about: "rule sets: which is live, and what is wrong with one",
        filters: &[Filter::Set],
        scope: None,
    });

    fn key(&self) -> Text {
        self.set.text().clone()
    }

    fn facets(&self) -> Facets<'_> {
        Facets {
            set: Some(&self.set),
            ..Facets::default()
        }
    }
}
