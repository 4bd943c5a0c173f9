//! Who is told of what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CaseState;
use crate::base::Asset;
use crate::id::RuleOrHazard;
use crate::responsibility::{Unit, User};
use crate::topic::{Record, Shape, Spec};
use crate::{Domain, Id, Level, Millis, Number, OutputRecord, RegionCode, Text, capability};

/// A record of `out.notice`, keyed by `case`: one recipient is told of one event, once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// 32 hexadecimal digits: a hash of case, event and user.
    pub id: Id<Notice>,
    /// The case.
    pub case: Id<CaseState>,
    /// What is told.
    pub event: NoticeEvent,
    /// Who is told.
    pub user: Id<User>,
    /// How, as in `base.user`; empty where that has no row.
    pub channel: Text,
    /// The unit for which the user is told.
    pub unit: Id<Unit>,
    /// The role in which the user is told.
    pub role: Text,
    /// The level of the event.
    pub level: Level,
    /// By when the user must acknowledge.
    pub due: Option<Millis>,
    /// Of a reminder: which.
    #[serde(default)]
    pub reminder: Option<Reminder>,
    /// Whether it is about an incident.
    #[serde(default)]
    pub incident: bool,
    /// The rule of the warning, the hazard of the incident.
    pub rule: Id<RuleOrHazard>,
    /// The rule's name, or the incident's title; empty where it has none.
    #[serde(default)]
    pub rule_name: Text,
    /// The asset; an incident need not have one.
    pub asset: Option<Id<Asset>>,
    /// The asset's name; empty where it has none, and of an incident.
    #[serde(default)]
    pub asset_name: Text,
    /// The domain.
    pub domain: Domain,
    /// Where.
    pub region: RegionCode,
    /// The region's name, where `base.region` has it.
    #[serde(default)]
    pub region_name: Text,
    /// When the level left `none`.
    pub since: Millis,
    /// The feature that the warning rests on, as in `sum 12h`; the first of several. Empty of an incident.
    #[serde(default)]
    pub feature: Text,
    /// Its value when the event began; absent while unknown, and of an incident.
    #[serde(default)]
    pub value: Option<Number>,
    /// The unit of the value; empty where none is stated.
    #[serde(default)]
    pub value_unit: Text,
    /// Whether its level rests on what is forecast, as `explanation.forecast` of the warning says.
    #[serde(default)]
    pub forecast: bool,
    /// Where the value is the least or the greatest that is forecast: for when it is expected.
    #[serde(default)]
    pub valid_time: Option<Millis>,
    /// All that in one sentence, in Chinese. Times are those of `city.timezone`.
    #[serde(default)]
    pub text_zh: Text,
    /// The same in English.
    #[serde(default)]
    pub text_en: Text,
}

impl Record for Notice {
    const SPEC: Spec = Spec {
        id: 518,
        name: "out.notice",
        shape: Shape::OutputLog,
        key: "case",
        capability: Some(capability::CASES),
        example: "",
    };
}

impl OutputRecord for Notice {
    fn key(&self) -> Text {
        self.case.text().clone()
    }
}

/// Which of the reminders of an alarm a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Reminder {
    /// Its number since the alarm, or since the case went on after an end or a suppression; from 1. One that was due together with
    /// a later one was never sent.
    pub number: u32,
    /// When it was due: the next epoch sends it.
    pub at: Millis,
}

/// What a notice tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoticeEvent {
    /// A case is to be acknowledged.
    Issued,
    /// A unit below missed a deadline, or lifted the case.
    Escalated,
    /// It is over.
    Cleared,
    /// It never was.
    Withdrawn,
    /// The end that was told was none: it goes on, no higher than before. Nobody need acknowledge it anew.
    Resumed,
    /// It rises and falls again and again: ends are not told until there is calm.
    Flapping,
    /// It stands still, and nobody acknowledged it.
    Reminder,
}

impl NoticeEvent {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Issued,
        Self::Escalated,
        Self::Cleared,
        Self::Withdrawn,
        Self::Resumed,
        Self::Flapping,
        Self::Reminder,
    ];

    /// The name on the topics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Escalated => "escalated",
            Self::Cleared => "cleared",
            Self::Withdrawn => "withdrawn",
            Self::Resumed => "resumed",
            Self::Flapping => "flapping",
            Self::Reminder => "reminder",
        }
    }
}
