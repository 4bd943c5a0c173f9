//! When two events of a case, or what people are told of them, are one, found twice.
//!
//! A case that is made anew has its events again, but not to the millisecond: its facts have the times of epochs, and these are
//! cut anew. So an event is the same if all but its time is, and its time nearly so.

use riskflow_model::output::{CaseEvent, CaseEventKind, CaseState, Escalation, Notice, NoticeEvent};
use riskflow_model::responsibility::User;
use riskflow_model::{Id, Key, Millis};
use riskflow_operators::closed_loop::{notice_id as id, notice_of};

/// By how much the times of an event differ at most that was found twice, milliseconds: more than an epoch lasts, less than what lies
/// between two deadlines of one post.
pub(super) const DRIFT: i64 = 60_000;

/// The identifier of the notice that a user gets of an event, where it gives one.
pub(super) fn notice_id(case: &Id<CaseState>, event: &CaseEvent, user: &Id<User>) -> Option<Id<Notice>> {
    let (kind, mark) = notice_of(event)?;
    Some(id(case, kind, &mark, user).to_string().into())
}

/// The identifier of a notice that comes true after one of that identifier was sent that did not hold.
pub(super) fn once_more(id: &Id<Notice>) -> Id<Notice> {
    Key::of_parts(&[id, "again"]).to_string().into()
}

/// Whether an event makes all deadlines count from it.
pub(super) const fn arms(event: &CaseEvent) -> bool {
    matches!(
        event.kind,
        CaseEventKind::Issued | CaseEventKind::Reissued | CaseEventKind::Reopened | CaseEventKind::Raised
    )
}

/// Whether a notice says that a case ended, or that it goes on.
pub(super) const fn is_news(event: NoticeEvent) -> bool {
    match event {
        NoticeEvent::Issued | NoticeEvent::Escalated | NoticeEvent::Reminder => false,
        NoticeEvent::Cleared | NoticeEvent::Withdrawn | NoticeEvent::Resumed | NoticeEvent::Flapping => true,
    }
}

/// Whether a notice says that a case is over.
pub(super) const fn is_end(event: NoticeEvent) -> bool {
    matches!(event, NoticeEvent::Cleared | NoticeEvent::Withdrawn)
}

/// Whether it is one event, found twice.
pub(super) fn is_same(one: &CaseEvent, other: &CaseEvent) -> bool {
    let rest = |event: &CaseEvent| CaseEvent {
        at: Millis(0),
        escalation: None,
        ..event.clone()
    };
    // What costs least comes first: there may be many of a case.
    near(one.at, other.at)
        && one.kind == other.kind
        && match (&one.escalation, &other.escalation) {
            (Some(one), Some(other)) => near(one.at, other.at) && same_deadline(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
        && rest(one) == rest(other)
}

/// Whether a notice tells a user what he was told before, by whatever time: of an escalation with the deadline behind it.
pub(super) fn repeats(told: (&Notice, Option<&Escalation>), now: (&Notice, Option<&Escalation>)) -> bool {
    let ((told, before), (notice, after)) = (told, now);
    let due = match (told.due, notice.due) {
        (Some(one), Some(other)) => near(one, other),
        (one, other) => one == other,
    };
    let reminder = match (told.reminder, notice.reminder) {
        (Some(one), Some(other)) => near(one.at, other.at),
        (one, other) => one == other,
    };
    let deadline = match (before, after) {
        (Some(one), Some(other)) => same_deadline(one, other),
        (one, other) => one.is_none() && other.is_none(),
    };
    (&told.case, &told.user, told.event) == (&notice.case, &notice.user, notice.event)
        && (is_news(told.event) || told.level == notice.level)
        && due
        && reminder
        && deadline
}

/// Whether two escalations are of one deadline, whenever it passes.
fn same_deadline(one: &Escalation, other: &Escalation) -> bool {
    let rest = |escalation: &Escalation| Escalation {
        at: Millis(0),
        ..escalation.clone()
    };
    rest(one) == rest(other)
}

const fn near(one: Millis, other: Millis) -> bool {
    one.0.abs_diff(other.0) <= DRIFT.unsigned_abs()
}
