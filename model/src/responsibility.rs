//! Who answers for what: units, people, duties with rosters, and response plans.
//!
//! Validity is half open: `valid_from` counts, `valid_to` does not; a missing one, null, and what registers write for "since ever" and
//! "without end" (`0001-01-01`, `9999-12-31`) are unbounded. It passes by the clock: no record is needed.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Domain, Level, Millis, RegionCode, Text};

/// A span of validity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// From here on.
    pub from: Option<Millis>,
    /// Up to here, without it.
    pub to: Option<Millis>,
}

impl Span {
    /// Whether a time lies in it.
    #[must_use]
    pub fn contains(&self, time: i64) -> bool {
        self.from.is_none_or(|from| from.0 <= time) && self.to.is_none_or(|to| time < to.0)
    }

    /// The first border after a time.
    #[must_use]
    pub fn next_border(&self, time: i64) -> Option<i64> {
        let borders = [self.from, self.to].into_iter().flatten();
        borders.map(|border| border.0).filter(|border| *border > time).min()
    }
}

/// A record of `base.unit`, keyed by `id`: an office that answers for a region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Unit {
    /// The identifier.
    pub id: Text,
    /// The name people use.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub name: Text,
    /// Where it answers.
    pub region: RegionCode,
    /// The unit that a missed deadline escalates to.
    #[serde(default)]
    pub parent: Option<Text>,
}

/// A record of `base.user`, keyed by `id`: someone who is told of cases.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// The identifier; no name and no number of a person.
    pub id: Text,
    /// How notices reach the person, such as `zhezhengding:…` or `sms:…`; riskflow passes it on.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub channel: Text,
    /// The posts that the person holds.
    #[serde(default, deserialize_with = "crate::field::objects_or_none")]
    pub posts: Vec<Post>,
}

/// A role in a unit, held for a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Post {
    /// The unit.
    pub unit: Text,
    /// The role there, such as `duty_officer`.
    pub role: Text,
    /// From here on.
    #[serde(default, deserialize_with = "crate::border::from")]
    pub valid_from: Option<Millis>,
    /// Up to here, without it.
    #[serde(default, deserialize_with = "crate::border::to")]
    pub valid_to: Option<Millis>,
}

impl Post {
    /// When it is valid.
    #[must_use]
    pub const fn span(&self) -> Span {
        Span {
            from: self.valid_from,
            to: self.valid_to,
        }
    }
}

/// A record of `base.duty`, keyed by `id`: a role in a unit that must acknowledge the cases for which everything given here
/// holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Duty {
    /// The identifier.
    pub id: Text,
    /// The case lies within this region.
    pub region: RegionCode,
    /// The domain of the case; absent for every domain.
    #[serde(default)]
    pub domain: Option<Domain>,
    /// The rule (or, of an incident, the hazard) of the case: any of these; empty for every one.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub rules: Vec<Text>,
    /// The asset of the case; for owners.
    #[serde(default)]
    pub asset: Option<Text>,
    /// The least level of the case.
    #[serde(default = "blue", deserialize_with = "level_or_blue")]
    pub level: Level,
    /// The unit that answers.
    pub unit: Text,
    /// The role that answers in that unit.
    pub role: Text,
    /// In force from here on.
    #[serde(default, deserialize_with = "crate::border::from")]
    pub valid_from: Option<Millis>,
    /// In force up to here, without it.
    #[serde(default, deserialize_with = "crate::border::to")]
    pub valid_to: Option<Millis>,
    /// Who has it when; without any entry all who hold the role in the unit (`base.user`).
    #[serde(default, deserialize_with = "crate::field::objects_or_none")]
    pub roster: Vec<Shift>,
}

impl Duty {
    /// When it is valid.
    #[must_use]
    pub const fn span(&self) -> Span {
        Span {
            from: self.valid_from,
            to: self.valid_to,
        }
    }
}

const fn blue() -> Level {
    Level::Blue
}

fn level_or_blue<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Level, D::Error> {
    if deserializer.is_human_readable() {
        Ok(Option::deserialize(deserializer)?.unwrap_or_else(blue))
    } else {
        Level::deserialize(deserializer)
    }
}

/// One entry of a roster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Shift {
    /// The user.
    pub user: Text,
    /// From here on.
    #[serde(default, deserialize_with = "crate::border::from")]
    pub valid_from: Option<Millis>,
    /// Up to here, without it.
    #[serde(default, deserialize_with = "crate::border::to")]
    pub valid_to: Option<Millis>,
}

impl Shift {
    /// When it is valid.
    #[must_use]
    pub const fn span(&self) -> Span {
        Span {
            from: self.valid_from,
            to: self.valid_to,
        }
    }
}

/// A record of `base.plan`, keyed by `id`: what is to be done in a case of certain rules and one level.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// The identifier.
    pub id: Text,
    /// The name people use.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub name: Text,
    /// The case lies within this region; absent for everywhere.
    #[serde(default)]
    pub region: Option<RegionCode>,
    /// The domain of the case; absent for every domain.
    #[serde(default)]
    pub domain: Option<Domain>,
    /// The rule (or, of an incident, the hazard) of the case: any of these; empty for every one.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub rules: Vec<Text>,
    /// The level of the case, exactly.
    pub level: Level,
    /// What is to be done, in order; at most 100.
    #[serde(deserialize_with = "crate::field::objects")]
    pub tasks: Vec<PlanTask>,
}

/// One task of a plan. Done when someone reports it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct PlanTask {
    /// The identifier within the plan.
    pub id: Text,
    /// What is to be done.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub name: Text,
    /// Who is to do it.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub role: Text,
    /// Minutes from the issue of the case to the report, 1 to 1,000,000; without it there is no deadline.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub limit_minutes: Option<u32>,
}
