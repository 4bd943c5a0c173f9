//! Who answers for what: units, people, duties with rosters, and response plans.
//!
//! Validity is half open: `valid_from` counts, `valid_to` does not; a missing one, null, and what registers write for "since ever" and
//! "without end" (`0001-01-01`, `9999-12-31`) are unbounded. It passes by the clock: no record is needed.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::base::Asset;
use crate::id::RuleOrHazard;
use crate::topic::{Record, Shape, Spec};
use crate::{Check, Domain, Id, Level, Millis, RegionCode, TableRecord, Text, capability};

/// A plan has at most so many tasks.
const MOST_TASKS: usize = 100;
/// A task has at most so many minutes.
const LONGEST_LIMIT: u32 = 1_000_000;

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
    pub fn contains(&self, time: Millis) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time < to)
    }

    /// A validity that ends before it begins is a mistake; one that is empty is how registers keep what never came to be.
    fn check(self, check: &mut Check, path: impl fmt::Display) {
        if let (Some(Millis(from)), Some(to @ Millis(until))) = (self.from, self.to)
            && until < from
        {
            let give = "a time not before `valid_from`, or null for no end";
            check.wrong(format_args!("{path}valid_to"), to, give);
        }
    }

    /// The first border after a time.
    #[must_use]
    pub fn next_border(&self, time: Millis) -> Option<Millis> {
        let borders = [self.from, self.to].into_iter().flatten();
        borders.filter(|border| *border > time).min()
    }
}

/// A record of `base.unit`, keyed by `id`: an office that answers for a region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Unit {
    /// The identifier.
    pub id: Id<Unit>,
    /// The name people use.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub name: Text,
    /// Where it answers.
    pub region: RegionCode,
    /// The unit that a missed deadline escalates to.
    #[serde(default)]
    pub parent: Option<Id<Unit>>,
}

impl Record for Unit {
    const SPEC: Spec = Spec {
        id: 4,
        name: "base.unit",
        shape: Shape::InputTable,
        key: "id",
        capability: Some(capability::CASES),
        example: r#"{"id":"i","name":"n","region":"3309","parent":"p"}"#,
    };
}

impl TableRecord for Unit {
    fn id(&self) -> Text {
        self.id.text().clone()
    }

    fn check(&self, check: &mut Check) {
        check.identifier("id", &self.id);
        check.text("name", &self.name);
        check.identifier_if_any("parent", self.parent.as_deref());
        if self.parent.as_ref() == Some(&self.id) {
            check.wrong("parent", format!("`{}`", self.id), "another unit");
        }
    }
}

/// A record of `base.user`, keyed by `id`: someone who is told of cases.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// The identifier; no name and no number of a person.
    pub id: Id<User>,
    /// How notices reach the person, such as `zhezhengding:…` or `sms:…`; riskflow passes it on.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub channel: Text,
    /// The posts that the person holds.
    #[serde(default, deserialize_with = "crate::field::objects_or_none")]
    pub posts: Vec<Post>,
}

impl Record for User {
    const SPEC: Spec = Spec {
        id: 5,
        name: "base.user",
        shape: Shape::InputTable,
        key: "id",
        capability: Some(capability::CASES),
        example: r#"{"id":"i","channel":"c","posts":[{"unit":"u","role":"r","valid_from":0,"valid_to":1750000020000}]}"#,
    };
}

impl TableRecord for User {
    fn id(&self) -> Text {
        self.id.text().clone()
    }

    fn check(&self, check: &mut Check) {
        check.identifier("id", &self.id);
        check.text("channel", &self.channel);
        for (index, post) in self.posts.iter().enumerate() {
            let path = format_args!("posts[{index}]");
            check.identifier(format_args!("{path}.unit"), &post.unit);
            check.identifier(format_args!("{path}.role"), &post.role);
            post.span().check(check, format_args!("{path}."));
        }
    }
}

/// A role in a unit, held for a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Post {
    /// The unit.
    pub unit: Id<Unit>,
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
    pub id: Id<Duty>,
    /// The case lies within this region.
    pub region: RegionCode,
    /// The domain of the case; absent for every domain.
    #[serde(default)]
    pub domain: Option<Domain>,
    /// The rule (or, of an incident, the hazard) of the case: any of these; empty for every one.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub rules: Vec<Id<RuleOrHazard>>,
    /// The asset of the case; for owners.
    #[serde(default)]
    pub asset: Option<Id<Asset>>,
    /// The least level of the case.
    #[serde(default = "blue", deserialize_with = "level_or_blue")]
    pub level: Level,
    /// The unit that answers.
    pub unit: Id<Unit>,
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

impl Record for Duty {
    const SPEC: Spec = Spec {
        id: 6,
        name: "base.duty",
        shape: Shape::InputTable,
        key: "id",
        capability: Some(capability::CASES),
        example: r#"{"id":"i","region":"3309","domain":"lifeline","rules":["r"],"asset":"a","level":"red","unit":"u","role":"r",
            "valid_from":0,"valid_to":1750000020000,"roster":[{"user":"u","valid_from":0,"valid_to":1750000020000}]}"#,
    };
}

impl TableRecord for Duty {
    fn id(&self) -> Text {
        self.id.text().clone()
    }

    fn check(&self, check: &mut Check) {
        check.identifier("id", &self.id);
        check.identifier("unit", &self.unit);
        check.identifier("role", &self.role);
        check.identifier_if_any("asset", self.asset.as_deref());
        check.identifiers("rules", &self.rules);
        check.warning_level(self.level);
        self.span().check(check, "");
        for (index, shift) in self.roster.iter().enumerate() {
            let path = format_args!("roster[{index}]");
            check.identifier(format_args!("{path}.user"), &shift.user);
            shift.span().check(check, format_args!("{path}."));
        }
    }
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
    pub user: Id<User>,
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
    pub id: Id<Plan>,
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
    pub rules: Vec<Id<RuleOrHazard>>,
    /// The level of the case, exactly.
    pub level: Level,
    /// What is to be done, in order; at most 100.
    #[serde(deserialize_with = "crate::field::objects")]
    pub tasks: Vec<PlanTask>,
}

impl Record for Plan {
    const SPEC: Spec = Spec {
        id: 7,
        name: "base.plan",
        shape: Shape::InputTable,
        key: "id",
        capability: Some(capability::CASES),
        example: r#"{"id":"i","name":"n","region":"3309","domain":"lifeline","rules":["r"],"level":"red",
            "tasks":[{"id":"t","name":"n","role":"r","limit_minutes":5}]}"#,
    };
}

impl TableRecord for Plan {
    fn id(&self) -> Text {
        self.id.text().clone()
    }

    fn check(&self, check: &mut Check) {
        check.identifier("id", &self.id);
        check.text("name", &self.name);
        check.identifiers("rules", &self.rules);
        check.warning_level(self.level);
        if self.tasks.len() > MOST_TASKS {
            check.wrong("tasks", format!("a list of {}", self.tasks.len()), "at most 100 tasks");
        }
        let mut ids = BTreeSet::new();
        for (index, task) in self.tasks.iter().enumerate() {
            let path = format_args!("tasks[{index}]");
            check.identifier(format_args!("{path}.id"), &task.id);
            check.text(format_args!("{path}.name"), &task.name);
            let role = Some(&*task.role).filter(|role| !role.is_empty());
            check.identifier_if_any(format_args!("{path}.role"), role);
            if !ids.insert(&task.id) {
                let found = format!("`{}`, as another", task.id);
                check.wrong(format_args!("{path}.id"), found, "each identifier once");
            }
            if let Some(limit) = task.limit_minutes.filter(|limit| !(1..=LONGEST_LIMIT).contains(limit)) {
                check.wrong(format_args!("{path}.limit_minutes"), limit, "1 to 1000000");
            }
        }
    }
}

/// One task of a plan. Done when someone reports it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct PlanTask {
    /// The identifier within the plan.
    pub id: Id<PlanTask>,
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
