//! When two events of a case are one, found twice.
//!
//! A case that is made anew has its events again, but not to the millisecond: its facts have the times of epochs, and these are
//! cut anew. So an event is the same if all but its time is, and its time nearly so.

use riskflow_model::output::{CaseEvent, Escalation};
use riskflow_model::{Millis, Text};
use riskflow_operators::closed_loop::{notice_id as id, notice_of};

/// By how much the times of an event differ at most that was found twice, milliseconds: more than an epoch lasts, less than what lies
/// between two deadlines of one post.
pub(super) const DRIFT: i64 = 60_000;

/// The identifier of the notice that a user gets of an event, where it gives one.
pub(super) fn notice_id(case: &Text, event: &CaseEvent, user: &Text) -> Option<Text> {
    let (kind, mark) = notice_of(event)?;
    Some(id(case, kind, &mark, user).to_string().into())
}

/// Whether it is one event, found twice.
pub(super) fn is_same(one: &CaseEvent, other: &CaseEvent) -> bool {
    let rest = |event: &CaseEvent| CaseEvent {
        at: Millis(0),
        escalation: None,
        ..event.clone()
    };
    is_alike(one, other) && rest(one) == rest(other)
}

/// Whether people are told the same of both.
pub(super) fn is_alike(one: &CaseEvent, other: &CaseEvent) -> bool {
    fn action(event: &CaseEvent) -> Option<&Text> {
        event.by.as_ref().map(|by| &by.action)
    }
    // What costs least comes first: there may be many of a case.
    (one.at.0 - other.at.0).abs() <= DRIFT
        && one.kind == other.kind
        && action(one) == action(other)
        && match (&one.escalation, &other.escalation) {
            (Some(one), Some(other)) => same_deadline(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
}

/// Whether two escalations are of one deadline, made out by clocks that differ a little.
pub(super) fn same_deadline(one: &Escalation, other: &Escalation) -> bool {
    let at = |escalation: &Escalation| Escalation {
        at: Millis(0),
        ..escalation.clone()
    };
    (one.at.0 - other.at.0).abs() <= DRIFT && at(one) == at(other)
}
