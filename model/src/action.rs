//! What people do about a case, as written on `in.action` and as carried through the dataflow.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::CaseReference;
use crate::responsibility::Unit;
use crate::topic::{Record, Shape, Spec};
use crate::{Id, Millis, Text, capability};

/// A record of `in.action`, keyed by `warning`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Action {
    /// The sender's identifier for this action: a second one of a case with the same changes nothing. At most 200 bytes, as every identifier.
    pub id: Id<Action>,
    /// The warning or incident whose case it is about.
    #[serde(alias = "case")]
    #[schemars(extend("x-aliases" = ["case"]))]
    pub warning: Id<CaseReference>,
    /// What was done.
    pub action: Verb,
    /// Who did it: a user or a system.
    pub actor: Text,
    /// In which role; acknowledges the duties of this role.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub role: Text,
    /// In which unit; acknowledges the duties of this unit only. Without one, of any.
    #[serde(default)]
    pub unit: Option<Id<Unit>>,
    /// When it was done, not when it was told. Up to `time.max_future` ahead of the clock, `case.horizon` behind it.
    pub time: Millis,
    /// In words; needed for `comment`, `reject`, `escalate`, and `archive` with `override`. At most 4 KiB.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub text: Text,
    /// Of `report`: which task of the plan is done.
    #[serde(default)]
    pub task: Option<Text>,
    /// Of `assign`: to whom.
    #[serde(default)]
    pub assignee: Option<Text>,
    /// Of `attach`: where the evidence is.
    #[serde(default)]
    pub evidence: Option<Text>,
    /// Of `suppress`: up to when nobody is told.
    #[serde(default)]
    pub until: Option<Millis>,
    /// Of `archive`: although not everything for it is there; `text` says why.
    #[serde(default, rename = "override", deserialize_with = "crate::field::or_default")]
    pub overrides: bool,
}

impl Record for Action {
    const SPEC: Spec = Spec {
        id: 257,
        name: "in.action",
        shape: Shape::InputLog,
        key: "warning",
        capability: Some(capability::CASES),
        example: r#"{"id":"i","warning":"w","action":"call","actor":"a","role":"r","unit":"u","time":0,"text":"t","task":"t",
            "assignee":"a","evidence":"e","until":0,"override":false}"#,
    };
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// The responsible were called (叫应).
    Call,
    /// Someone responsible knows and takes it.
    #[serde(alias = "ack")]
    Acknowledge,
    /// Forces were sent.
    Dispatch,
    /// Work began, goes on, or begins again after a report.
    Progress,
    /// It was done; of a plan with tasks, one of them.
    #[serde(alias = "feedback")]
    Report,
    /// What was reported was checked.
    Verify,
    /// The case is closed.
    #[serde(alias = "close")]
    Archive,
    /// A person says: a false alarm.
    Reject,
    /// Nobody is told for a while; the record goes on.
    #[serde(alias = "silence")]
    Suppress,
    /// A person lifts it to the parent unit.
    Escalate,
    /// A note.
    Comment,
    /// Someone is to take care.
    Assign,
    /// Evidence.
    Attach,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Call,
        Self::Acknowledge,
        Self::Dispatch,
        Self::Progress,
        Self::Report,
        Self::Verify,
        Self::Archive,
        Self::Reject,
        Self::Suppress,
        Self::Escalate,
        Self::Comment,
        Self::Assign,
        Self::Attach,
    ];

    /// The name on the topics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Acknowledge => "acknowledge",
            Self::Dispatch => "dispatch",
            Self::Progress => "progress",
            Self::Report => "report",
            Self::Verify => "verify",
            Self::Archive => "archive",
            Self::Reject => "reject",
            Self::Suppress => "suppress",
            Self::Escalate => "escalate",
            Self::Comment => "comment",
            Self::Assign => "assign",
            Self::Attach => "attach",
        }
    }

    /// Other names that the topics take.
    #[must_use]
    pub const fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Acknowledge => &["ack"],
            Self::Report => &["feedback"],
            Self::Archive => &["close"],
            Self::Suppress => &["silence"],
            _ => &[],
        }
    }

    /// The verb of that name or other name, or `None`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let is = |verb: &Self| verb.name() == name || verb.aliases().contains(&name);
        Self::ALL.into_iter().find(is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_topics() {
        for verb in Verb::ALL {
            for name in [&[verb.name()], verb.aliases()].concat() {
                let read: Verb = serde_json::from_value(name.into()).unwrap();
                assert_eq!((Verb::from_name(name), read), (Some(verb), verb));
            }
        }
        assert_eq!(Verb::from_name("no"), None);
    }
}
