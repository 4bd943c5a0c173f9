//! The closed loop: cases, and what happens to them.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cause, WarningState};
use crate::action::{Action, Verb};
use crate::base::Asset;
use crate::id::RuleOrHazard;
use crate::responsibility::{Plan, PlanTask, Unit};
use crate::topic::{Record, Shape, Spec};
use crate::{Domain, Facets, Filter, Id, Level, Listed, Millis, OutputRecord, RegionCode, Text, capability, joined};

/// The steps of a case, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaseStep {
    /// The responsible are told.
    #[default]
    Issued,
    /// They were called.
    Called,
    /// One of them took it.
    Acknowledged,
    /// Forces were sent.
    Dispatched,
    /// Work goes on.
    InProgress,
    /// It was reported done.
    Reported,
    /// The report was checked.
    Verified,
    /// The case is closed.
    Archived,
}

impl CaseStep {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Issued,
        Self::Called,
        Self::Acknowledged,
        Self::Dispatched,
        Self::InProgress,
        Self::Reported,
        Self::Verified,
        Self::Archived,
    ];

    /// The name on the topics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Called => "called",
            Self::Acknowledged => "acknowledged",
            Self::Dispatched => "dispatched",
            Self::InProgress => "in_progress",
            Self::Reported => "reported",
            Self::Verified => "verified",
            Self::Archived => "archived",
        }
    }

    /// The position in [`CaseStep::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// What a case rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The warning is open, the incident goes on.
    #[default]
    Active,
    /// It is over.
    Cleared,
    /// It never was.
    Withdrawn,
}

/// A row of `out.case.state`, keyed by `id`: a case, until `case.retain` after it was archived.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct CaseState {
    /// The identifier of its first warning, or of its incident; `<first warning>@<run>` where the case before it in its run was
    /// archived. An action may name it for as long as the row stands.
    pub id: Id<CaseState>,
    /// The identifiers of its warnings: the newest 10. One that begins soon after the end of the one before (`case.flapping.join`)
    /// joins its case.
    #[serde(default)]
    pub warnings: Vec<Id<WarningState>>,
    /// Since when the level rises and falls so often that ends are not told; absent where it does not.
    #[serde(default)]
    pub flapping: Option<Millis>,
    /// Whether it is an incident.
    pub incident: bool,
    /// The rule of the warning, the hazard of the incident.
    pub rule: Id<RuleOrHazard>,
    /// The asset; an incident need not have one.
    pub asset: Option<Id<Asset>>,
    /// The domain.
    pub domain: Domain,
    /// Where.
    pub region: RegionCode,
    /// When the level left `none`, for the last time.
    pub since: Millis,
    /// The level now; `none` when it is over or never was. While it is flapping, the highest of that time.
    pub level: Level,
    /// The highest level in this round: that of its deadlines.
    pub peak: Level,
    /// What it rests on.
    pub basis: Basis,
    /// How far it is.
    pub step: CaseStep,
    /// Since when it is there.
    pub entered: Millis,
    /// By when the next step is due.
    pub due: Option<Millis>,
    /// 1; one more each time that it was opened again after it had been archived.
    pub round: u32,
    /// Why a person says that it is a false alarm.
    pub rejected: Option<Text>,
    /// Up to when nobody is told.
    pub suppressed_until: Option<Millis>,
    /// Missed deadlines, and what people lifted: the newest 10. All of them are in `out.case.delta`.
    pub escalations: Vec<Escalation>,
    /// Who must acknowledge it. Of more than 100 those who have not yet come first.
    pub obligations: Vec<Obligation>,
    /// What its plans ask for. Of more than 100 those that are not reported come first.
    pub tasks: Vec<TaskState>,
    /// When the first round was acknowledged and so on.
    pub times: CaseTimes,
    /// What people added: never changed by what is computed.
    pub people: People,
    /// How many there are of each, also of those that the row does not hold.
    pub counts: CaseCounts,
}

impl Record for CaseState {
    const SPEC: Spec = Spec {
        id: 516,
        name: "out.case.state",
        shape: Shape::OutputTable,
        key: "id",
        capability: Some(capability::CASES),
        example: "",
    };
}

impl OutputRecord for CaseState {
    const LIST: Option<Listed> = Some(Listed {
        name: "cases",
        about: "cases: the closed loop of warnings and incidents",
        filters: &[
            Filter::Within,
            Filter::Domain,
            Filter::Rule,
            Filter::Step,
            Filter::Least,
        ],
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
            step: Some(self.step),
            level: Some(self.level),
            ..Facets::default()
        }
    }
}

impl CaseState {
    /// A row holds so many notes, pieces of evidence and escalations: the newest. Without a bound each action would write out
    /// again all that there were before it.
    pub const NEWEST: usize = 10;

    /// A row holds so many obligations and tasks.
    pub const MOST: usize = 100;
}

/// How many there are of what a case's row lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct CaseCounts {
    /// Warnings.
    #[serde(default)]
    pub warnings: u32,
    /// Missed deadlines, and what people lifted.
    pub escalations: u32,
    /// Those who must acknowledge it.
    pub obligations: u32,
    /// What its plans ask for.
    pub tasks: u32,
    /// Notes.
    pub notes: u32,
    /// Pieces of evidence.
    pub evidence: u32,
}

/// A deadline that was missed, or what a person lifted, to the parent unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Escalation {
    /// The step that was due; absent when a person lifted it.
    pub step: Option<CaseStep>,
    /// The unit that it was due from; absent when nobody answers for the case.
    pub unit: Option<Id<Unit>>,
    /// The role there.
    pub role: Option<Text>,
    /// The task that was due, as `plan/task`: its full name ([`TaskState::full_name`]).
    pub task: Option<Text>,
    /// The parent unit; absent when there is none.
    pub to: Option<Id<Unit>>,
    /// The deadline, or when it was lifted.
    pub at: Millis,
}

/// A role in a unit that must acknowledge a case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Obligation {
    /// The unit.
    pub unit: Id<Unit>,
    /// The role.
    pub role: Text,
    /// Since when: the duty came to be, or the level rose above all before.
    pub since: Millis,
    /// By when; absent where no deadline is configured.
    pub due: Option<Millis>,
    /// When it was.
    pub acknowledged: Option<Millis>,
}

/// A task of a plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct TaskState {
    /// The plan.
    pub plan: Id<Plan>,
    /// The task within the plan.
    pub task: Id<PlanTask>,
    /// What is to be done.
    pub name: Text,
    /// Who is to do it.
    pub role: Text,
    /// By when.
    pub due: Option<Millis>,
    /// When it was reported.
    pub reported: Option<Millis>,
}

impl TaskState {
    /// What names a task among those of all plans: plan and task, joined with `/`; a `/` within one of them is `~1`, a `~` is
    /// `~0`.
    #[must_use]
    pub fn full_name(plan: &str, task: &str) -> Text {
        joined(&[plan, task]).into()
    }
}

/// When things were done, in the first round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct CaseTimes {
    /// The epoch that issued it.
    pub issued: Millis,
    /// When it was first acknowledged.
    pub acknowledged: Option<Millis>,
    /// Whether that was by its deadline.
    pub in_time: bool,
    /// When it was archived.
    pub archived: Option<Millis>,
}

/// What people added to a case.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct People {
    /// Who is to take care.
    pub assignee: Option<Text>,
    /// Notes, by time: the newest 10. All of them are in `out.case.delta`.
    pub notes: Vec<Note>,
    /// Evidence, by time: `text` is where it is; the newest 10. All of it is in `out.case.delta`.
    pub evidence: Vec<Note>,
}

/// A note.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    /// When.
    pub at: Millis,
    /// By whom.
    pub actor: Text,
    /// What.
    pub text: Text,
}

/// A record of `out.case.delta`, keyed by `case`: something happened to a case, or is now known not to have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct CaseDelta {
    /// The case.
    pub case: Id<CaseState>,
    /// Whether an event that was told is taken back: what is known now says that it never happened.
    pub retracted: bool,
    /// Why this is told in this epoch.
    pub cause: Cause,
    /// The rule of the warning, the hazard of the incident; empty where the case is not known.
    pub rule: Id<RuleOrHazard>,
    /// The domain; absent where the case is not known.
    pub domain: Option<Domain>,
    /// Where; absent where the case is not known.
    pub region: Option<RegionCode>,
    /// What happened.
    pub event: CaseEvent,
}

impl Record for CaseDelta {
    const SPEC: Spec = Spec {
        id: 517,
        name: "out.case.delta",
        shape: Shape::OutputLog,
        key: "case",
        capability: Some(capability::CASES),
        example: "",
    };
}

impl OutputRecord for CaseDelta {
    fn key(&self) -> Text {
        self.case.text().clone()
    }

    fn order(&self, other: &Self) -> Ordering {
        (&self.case, !self.retracted, &self.event).cmp(&(&other.case, !other.retracted, &other.event))
    }
}

/// Something that happened to a case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct CaseEvent {
    /// When: of actions the time that they name, of deadlines the deadline, else the epoch.
    pub at: Millis,
    /// What.
    pub kind: CaseEventKind,
    /// The step after it.
    pub step: CaseStep,
    /// The level after it.
    pub level: Level,
    /// The action behind it.
    pub by: Option<By>,
    /// Of an escalation: what was due, and where it went.
    pub escalation: Option<Escalation>,
    /// Of a refusal: why.
    pub refusal: Option<Refusal>,
    /// Of a refusal: what would have been allowed.
    pub allowed: Vec<Verb>,
}

/// Who did what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct By {
    /// The action's identifier.
    pub action: Id<Action>,
    /// What was done.
    pub verb: Verb,
    /// Who did it.
    pub actor: Text,
    /// In which role.
    pub role: Text,
    /// In which unit.
    pub unit: Option<Id<Unit>>,
    /// The task, the assignee, the evidence, the end of a suppression: what the verb is about.
    pub about: Option<Text>,
    /// In words.
    pub text: Text,
}

/// What happened to a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaseEventKind {
    /// The case began.
    Issued,
    /// What it rests on came back before it was archived.
    Reissued,
    /// It was archived, and what it rests on came back or rose: it begins again.
    Reopened,
    /// Soon after the end another warning began, no higher than before: it goes on, and nobody need acknowledge anew.
    Resumed,
    /// It was raised for the third time in short: ends are not told until there is calm.
    Flapping,
    /// There was calm.
    Calm,
    /// The level rose above all before: all must acknowledge again.
    Raised,
    /// The level changed otherwise.
    Level,
    /// It is over.
    Cleared,
    /// It never was.
    Withdrawn,
    /// It was archived, and then what it rested on changed; the case stays as it is.
    BasisCorrected,
    /// Someone did a step.
    Step,
    /// One more of those who must acknowledge did.
    Acknowledgement,
    /// A task was reported, and others are open.
    Task,
    /// Work goes on.
    Progress,
    /// A person says: a false alarm.
    Rejected,
    /// Nobody is told for a while.
    Suppressed,
    /// To the parent unit.
    Escalated,
    /// A note, an assignment, evidence.
    Noted,
    /// An action was refused; nothing changed.
    Refused,
}

impl CaseEventKind {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Issued,
        Self::Reissued,
        Self::Reopened,
        Self::Resumed,
        Self::Flapping,
        Self::Calm,
        Self::Raised,
        Self::Level,
        Self::Cleared,
        Self::Withdrawn,
        Self::BasisCorrected,
        Self::Step,
        Self::Acknowledgement,
        Self::Task,
        Self::Progress,
        Self::Rejected,
        Self::Suppressed,
        Self::Escalated,
        Self::Noted,
        Self::Refused,
    ];

    /// The name on the topics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Reissued => "reissued",
            Self::Reopened => "reopened",
            Self::Resumed => "resumed",
            Self::Flapping => "flapping",
            Self::Calm => "calm",
            Self::Raised => "raised",
            Self::Level => "level",
            Self::Cleared => "cleared",
            Self::Withdrawn => "withdrawn",
            Self::BasisCorrected => "basis_corrected",
            Self::Step => "step",
            Self::Acknowledgement => "acknowledgement",
            Self::Task => "task",
            Self::Progress => "progress",
            Self::Rejected => "rejected",
            Self::Suppressed => "suppressed",
            Self::Escalated => "escalated",
            Self::Noted => "noted",
            Self::Refused => "refused",
        }
    }
}

/// Why an action was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// There is no such case.
    UnknownCase,
    /// It was done before the case was issued.
    BeforeIssue,
    /// The case is at another step.
    OutOfOrder,
    /// It was done already.
    AlreadyDone,
    /// The case is archived.
    Archived,
    /// It is neither over nor withdrawn nor rejected; `override` with a reason archives it all the same.
    NotEnded,
    /// The plan has no such task, or the task is not named.
    UnknownTask,
    /// The case has as many actions as it may have.
    TooMany,
}
