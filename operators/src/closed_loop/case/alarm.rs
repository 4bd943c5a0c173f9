//! Who is to be told of what, as a case stands now.

use std::collections::BTreeSet;
use std::sync::Arc;

use riskflow_model::output::{Basis, CaseEvent, CaseEventKind, CaseState, CaseStep, Escalation, NoticeEvent};
use riskflow_model::{Id, Millis, Text};

use super::machine::{Machine, Obliged, Post};
use super::{Addressee, Alarm};

/// The alarms of a case: none while it is suppressed.
pub(super) fn alarms(case: &Id<CaseState>, now: Millis, machine: &Machine) -> BTreeSet<Arc<Alarm>> {
    if machine.suppressed.is_some_and(|until| now < until) {
        return BTreeSet::new();
    }
    let mut alarms = Vec::new();
    if machine.telling() {
        let pending = machine.obliged.iter();
        let pending = pending.filter(|(_, obliged)| obliged.acknowledged.is_none());
        alarms.extend(pending.map(|(post, obliged)| pending_alarm(case, machine, post, obliged)));
        let lifted = machine.lifted.iter();
        let lifted = lifted.filter(|lifted| lifted.round == machine.round && !lifted.acknowledged);
        alarms.extend(lifted.filter_map(|lifted| escalation_alarm(case, machine, &lifted.escalation)));
    }
    alarms.extend(reminder_alarm(case, now, machine));
    alarms.extend(news_alarm(case, machine));
    alarms.into_iter().map(Arc::new).collect()
}

fn pending_alarm(case: &Id<CaseState>, machine: &Machine, (unit, role): &Post, obliged: &Obliged) -> Alarm {
    Alarm {
        case: case.clone(),
        event: NoticeEvent::Issued,
        mark: vec![number(machine.armed)],
        evidence: machine.armed_by.clone(),
        to: Addressee::Role {
            unit: unit.clone(),
            role: role.clone(),
            rosters: obliged.held.rosters.clone(),
            by_post: obliged.held.by_post,
        },
        level: machine.peak,
        due: obliged.deadline.due,
    }
}

/// Stands as long as people are reminded; each reminder has a mark of its own.
fn reminder_alarm(case: &Id<CaseState>, now: Millis, machine: &Machine) -> Option<Alarm> {
    Some(Alarm {
        case: case.clone(),
        event: NoticeEvent::Reminder,
        mark: Vec::new(),
        evidence: machine.armed_by.clone(),
        to: Addressee::Alarmed(machine.reminding(now)?),
        level: machine.peak,
        due: None,
    })
}

/// None where there is no parent unit.
fn escalation_alarm(case: &Id<CaseState>, machine: &Machine, escalation: &Escalation) -> Option<Alarm> {
    Some(Alarm {
        case: case.clone(),
        event: NoticeEvent::Escalated,
        mark: escalation_mark(escalation),
        evidence: machine.armed_by.clone(),
        to: Addressee::Unit(escalation.to.clone()?),
        level: machine.peak,
        due: None,
    })
}

/// What everyone is told who was told before: an end, that it goes on all the same, or that it does so again and again.
fn news_alarm(case: &Id<CaseState>, machine: &Machine) -> Option<Alarm> {
    let (event, at) = match (machine.basis, machine.flapping, machine.resumed) {
        _ if machine.step == CaseStep::Archived => return None,
        (Basis::Cleared, ..) => (NoticeEvent::Cleared, machine.fact_at),
        (Basis::Withdrawn, ..) => (NoticeEvent::Withdrawn, machine.fact_at),
        (Basis::Active, Some(since), _) => (NoticeEvent::Flapping, since),
        (Basis::Active, None, Some(since)) => (NoticeEvent::Resumed, since),
        (Basis::Active, None, None) => return None,
    };
    Some(Alarm {
        case: case.clone(),
        event,
        mark: vec![number(at)],
        evidence: machine.evidence.clone(),
        to: Addressee::Told,
        level: machine.level,
        due: None,
    })
}

/// What people are told of an event of a case, and what tells that notice from others of its kind; `None` where it gives none.
#[must_use]
pub fn notice_of(event: &CaseEvent) -> Option<(NoticeEvent, Vec<Text>)> {
    let told = match event.kind {
        CaseEventKind::Issued | CaseEventKind::Reissued | CaseEventKind::Reopened | CaseEventKind::Raised => {
            NoticeEvent::Issued
        }
        CaseEventKind::Escalated => return Some((NoticeEvent::Escalated, escalation_mark(event.escalation.as_ref()?))),
        CaseEventKind::Cleared => NoticeEvent::Cleared,
        CaseEventKind::Withdrawn => NoticeEvent::Withdrawn,
        CaseEventKind::Resumed => NoticeEvent::Resumed,
        CaseEventKind::Flapping => NoticeEvent::Flapping,
        CaseEventKind::Calm
        | CaseEventKind::Level
        | CaseEventKind::BasisCorrected
        | CaseEventKind::Step
        | CaseEventKind::Acknowledgement
        | CaseEventKind::Task
        | CaseEventKind::Progress
        | CaseEventKind::Rejected
        | CaseEventKind::Suppressed
        | CaseEventKind::Noted
        | CaseEventKind::Refused => return None,
    };
    Some((told, vec![number(event.at)]))
}

fn escalation_mark(escalation: &Escalation) -> Vec<Text> {
    vec![
        number(escalation.at),
        escalation.step.map_or("", CaseStep::name).into(),
        escalation.unit.clone().unwrap_or_default().into_text(),
        escalation.role.clone().unwrap_or_default(),
        escalation.task.clone().unwrap_or_default(),
    ]
}

fn number(time: Millis) -> Text {
    time.0.to_string().into()
}
