//! View: who must acknowledge which case, and what its plans ask for.
//!
//! ```text
//!   warnings ──┬─► subjects ─┬─(region and all above)─► ⋈ duties in force (with the unit's parent) ─► obligations ─┐
//!   incidents ─┘             ├─(rule, or any)─────────► ⋈ plans ───────────────────────────────────► tasks ────────┼─► rows by case
//!                            └─────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! # Invariants
//!
//! * One subject for each open warning (of a run there is at most one) and each incident; obligations and tasks only for those that go on.
//! * A changed duty or plan touches the cases that it fits, before or after, and no others.

use std::sync::Arc;

use riskflow_config::Located;
use riskflow_model::base::{Asset, Region};
use riskflow_model::id::{RuleOrHazard, Run, WarningOrIncident};
use riskflow_model::intake::{Incident, IncidentState};
use riskflow_model::output::WarningState;
use riskflow_model::responsibility::{Duty, Plan, PlanTask, Unit};
use riskflow_model::{Domain, Duration, Id, Key, Level, Millis, RegionCode, Shared, Text};
use serde::{Deserialize, Serialize};

use crate::engine::{Rows, join_few};
use crate::place::locate;

/// What a case is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// The identifier of the warning or incident.
    pub id: Id<WarningOrIncident>,
    /// The rule, or the hazard.
    pub rule: Id<RuleOrHazard>,
    /// What people call an incident; empty of a warning, whose deltas say it.
    pub title: Text,
    /// The asset.
    pub asset: Option<Id<Asset>>,
    /// The domain.
    pub domain: Domain,
    /// Where.
    pub region: RegionCode,
    /// When the level left `none`.
    pub since: Millis,
    /// The level.
    pub level: Level,
    /// Of an incident: whether it goes on.
    pub incident: Option<IncidentState>,
}

/// What a case is made of, beside what happens to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CaseRow {
    /// What it is about.
    Subject(Arc<Subject>),
    /// A duty fits.
    Duty(Arc<DutyMatch>),
    /// A plan that fits has a task.
    Task(Arc<TaskMatch>),
}

/// A duty that fits a case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DutyMatch {
    /// The duty.
    pub duty: Key,
    /// The unit.
    pub unit: Id<Unit>,
    /// The role.
    pub role: Text,
    /// The unit's parent.
    pub parent: Option<Id<Unit>>,
    /// How many regions lie above the duty's: the more, the nearer it is.
    pub depth: u32,
    /// Whether the duty has a roster.
    pub rostered: bool,
}

/// What names a task among those of all plans: its plan, and its name there.
pub type PlannedTask = (Id<Plan>, Id<PlanTask>);

/// A task of a plan that fits a case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskMatch {
    /// The plan.
    pub plan: Id<Plan>,
    /// The task within the plan.
    pub task: Id<PlanTask>,
    /// Its place there.
    pub order: u32,
    /// What is to be done.
    pub name: Text,
    /// Who is to do it.
    pub role: Text,
    /// From its coming to the report.
    pub limit: Option<Duration>,
}

/// Returns what each case is about. `warnings` are the open ones with their runs: a case has the key of the run.
pub fn subjects<'scope>(
    warnings: Rows<'scope, (Arc<WarningState>, Id<Run>)>,
    incidents: Rows<'scope, Shared<Incident>>,
) -> Rows<'scope, (Key, Arc<Subject>)> {
    let warnings = warnings.map(|(warning, run)| {
        let subject = Subject {
            id: warning.id.widen(),
            rule: warning.rule.widen(),
            title: Text::default(),
            asset: Some(warning.asset.clone()),
            domain: warning.domain,
            region: warning.region,
            since: warning.since,
            level: warning.level,
            incident: None,
        };
        (run.key(), subject)
    });
    let incidents = incidents.map(|incident| {
        let subject = Subject {
            id: incident.id.widen(),
            rule: incident.hazard.widen(),
            title: incident.title.clone(),
            asset: incident.asset.clone(),
            domain: incident.domain,
            region: incident.region,
            since: incident.since,
            level: incident.level,
            incident: Some(incident.state),
        };
        (subject.id.key(), subject)
    });
    warnings
        .concat(incidents)
        .map(|(case, subject)| (case, Arc::new(subject)))
}

/// Returns the rows of every case.
pub fn obligation<'scope>(
    subjects: Rows<'scope, (Key, Arc<Subject>)>,
    duties: Rows<'scope, Shared<Duty>>,
    units: Rows<'scope, Shared<Unit>>,
    plans: Rows<'scope, Shared<Plan>>,
    regions: Rows<'scope, Shared<Region>>,
) -> Rows<'scope, (Key, CaseRow)> {
    let active = subjects
        .clone()
        .filter(|(_, subject)| matches!(subject.incident, None | Some(IncidentState::Open)));
    let active = locate(active, regions, |(_, subject)| subject.region);
    let duties = with_parents(duties, units).map(|(duty, parent)| (duty.region, (duty, parent)));
    let by_place = active
        .clone()
        .map(|((case, subject), located)| ((subject.region, located), (case, subject)));
    let obliged = join_few(
        by_place,
        duties,
        "Obligation: cases and duties",
        // The highest first: the position is how many lie above.
        |(region, located)| located.chain(*region).into_iter().rev().collect(),
        |depth, (case, subject), (duty, parent)| {
            let fits = fits_duty(subject, duty);
            fits.then(|| {
                let matched = duty_match(duty, parent.clone(), depth as u32);
                (*case, CaseRow::Duty(Arc::new(matched)))
            })
        },
    );
    let plans = plans.flat_map(|plan| selectors(&plan.rules).into_iter().map(move |rule| (rule, plan.clone())));
    let by_rule = active.map(|((case, subject), located)| (subject.rule.clone(), (case, subject, located)));
    let tasks = join_few(
        by_rule,
        plans,
        "Obligation: cases and plans",
        |rule| vec![Some(rule.clone()), None],
        |_, (case, subject, located), plan| {
            let fits = fits_plan(subject, located, plan);
            let tasks = if fits { tasks_of(plan) } else { Vec::new() };
            let case = *case;
            tasks.into_iter().map(move |task| (case, CaseRow::Task(Arc::new(task))))
        },
    );
    subjects
        .map(|(case, subject)| (case, CaseRow::Subject(subject)))
        .concat(obliged)
        .concat(tasks)
}

/// What a duty is joined from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum OfUnit {
    Parent(Option<Id<Unit>>),
    Duty(Shared<Duty>),
}

/// Every duty with the parent of its unit.
fn with_parents<'scope>(
    duties: Rows<'scope, Shared<Duty>>,
    units: Rows<'scope, Shared<Unit>>,
) -> Rows<'scope, (Shared<Duty>, Option<Id<Unit>>)> {
    let units = units.map(|unit| (unit.id.clone(), OfUnit::Parent(unit.parent.clone())));
    duties
        .map(|duty| (duty.unit.clone(), OfUnit::Duty(duty)))
        .concat(units)
        .reduce_named("Obligation: duties and parents by unit", |_, parts, output| {
            let mut parent = None;
            // Parents come first.
            for (part, _) in parts {
                match part {
                    OfUnit::Parent(of_unit) => parent.clone_from(of_unit),
                    OfUnit::Duty(duty) => output.push(((duty.clone(), parent.clone()), 1)),
                }
            }
        })
        .map(|(_, row)| row)
}

/// The rules that are selected; `None` for every one.
fn selectors(rules: &[Id<RuleOrHazard>]) -> Vec<Option<Id<RuleOrHazard>>> {
    if rules.is_empty() {
        return vec![None];
    }
    let mut rules: Vec<_> = rules.iter().cloned().map(Some).collect();
    rules.sort();
    rules.dedup();
    rules
}

fn fits_duty(subject: &Subject, duty: &Duty) -> bool {
    duty.domain.is_none_or(|domain| domain == subject.domain)
        && (duty.rules.is_empty() || duty.rules.contains(&subject.rule))
        && (duty.asset.is_none() || duty.asset == subject.asset)
        && subject.level >= duty.level
}

fn fits_plan(subject: &Subject, located: &Located, plan: &Plan) -> bool {
    plan.domain.is_none_or(|domain| domain == subject.domain)
        && plan.region.is_none_or(|region| located.within(subject.region, region))
        && subject.level == plan.level
}

fn tasks_of(plan: &Plan) -> Vec<TaskMatch> {
    let tasks = plan.tasks.iter().zip(0u32..).map(|(task, order)| TaskMatch {
        plan: plan.id.clone(),
        task: task.id.clone(),
        order,
        name: task.name.clone(),
        role: task.role.clone(),
        limit: task.limit_minutes.map(|minutes| Duration(i64::from(minutes) * 60_000)),
    });
    tasks.collect()
}

fn duty_match(duty: &Duty, parent: Option<Id<Unit>>, depth: u32) -> DutyMatch {
    DutyMatch {
        duty: duty.id.key(),
        unit: duty.unit.clone(),
        role: duty.role.clone(),
        parent,
        depth,
        rostered: !duty.roster.is_empty(),
    }
}
