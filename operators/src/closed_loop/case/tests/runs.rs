//! Warnings that follow each other closely.

use super::*;

fn count(case: &Driven, event: NoticeEvent) -> usize {
    case.told.iter().filter(|(told, _)| *told == event).count()
}

fn kinds_of(case: &Driven, kind: CaseEventKind) -> usize {
    case.kinds().iter().filter(|(of, _)| *of == kind).count()
}

/// Up and down every ten seconds, from one time on until another; ends down.
fn alternate(case: &mut Driven, from: i64, until: i64, level: Level) {
    let mut second = from;
    while second < until {
        let warning = format!("at-{second}");
        case.begin(second, &warning, level);
        case.end(second + 10, &warning);
        second += 20;
    }
}

#[test]
fn ten_minutes_of_flapping_are_one_case_one_alarm_one_mark() {
    let mut case = Driven::new();
    case.issue();
    case.end(10, "w");
    alternate(&mut case, 20, 600, Level::Orange);
    assert_eq!(&*case.state().id, "w");
    assert_eq!(
        [
            NoticeEvent::Issued,
            NoticeEvent::Cleared,
            NoticeEvent::Resumed,
            NoticeEvent::Flapping
        ]
        .map(|event| count(&case, event)),
        [1, 2, 1, 1]
    );
    assert_eq!(kinds_of(&case, CaseEventKind::Flapping), 1);
    assert_eq!((case.state().basis, case.state().level), (Basis::Active, Level::Orange));
    assert_eq!(case.state().flapping, Some(Millis(40_000)));
    assert_eq!((case.state().warnings.len(), case.state().counts.warnings), (10, 30));
    // Nothing of it stays on the timeline.
    assert!(case.state.files[0].length() < 20, "{}", case.state.files[0].length());
    // The last change was at 590 s.
    case.settle_at(1_189);
    assert_eq!(kinds_of(&case, CaseEventKind::Calm), 0);
    assert_eq!(case.state.files[0].wakes(), Some(Millis(1_190_000)));
    case.settle_at(1_190);
    let last: Vec<CaseEventKind> = case.kinds().iter().rev().take(2).map(|(kind, _)| *kind).collect();
    assert_eq!(last, [CaseEventKind::Cleared, CaseEventKind::Calm]);
    assert_eq!((case.state().basis, case.state().flapping), (Basis::Cleared, None));
    assert_eq!(count(&case, NoticeEvent::Cleared), 3);
}

#[test]
fn what_rises_above_the_peak_is_an_alarm_even_while_it_flaps() {
    let mut case = Driven::new();
    case.issue();
    case.end(10, "w");
    alternate(&mut case, 20, 200, Level::Orange);
    case.begin(200, "high", Level::Red);
    assert_eq!((case.state().peak, case.state().level), (Level::Red, Level::Red));
    assert_eq!(count(&case, NoticeEvent::Issued), 2);
    assert!(case.state().flapping.is_some());
    // It stays red: there is calm, and nothing more to tell.
    case.settle_at(800);
    assert_eq!((case.state().flapping, case.state().basis), (None, Basis::Active));
    assert_eq!(kinds_of(&case, CaseEventKind::Cleared), 2);
}

#[test]
fn levels_that_change_within_a_warning_are_no_flapping() {
    let mut case = Driven::new();
    case.row(duty("grid", 4), 1);
    case.begin(0, "w", Level::Blue);
    for (second, level) in [(10, Level::Yellow), (20, Level::Orange), (30, Level::Red)] {
        case.warning(DeltaKind::Escalated, level);
        case.settle_at(second);
    }
    assert_eq!(kinds_of(&case, CaseEventKind::Flapping), 0);
    for second in (40..400).step_by(20) {
        case.warning(DeltaKind::Eased, Level::Blue);
        case.settle_at(second);
        case.warning(DeltaKind::Escalated, Level::Red);
        case.settle_at(second + 10);
    }
    assert_eq!(kinds_of(&case, CaseEventKind::Flapping), 0);
    assert_eq!(count(&case, NoticeEvent::Issued), 4);
}

#[test]
fn after_an_archive_the_next_warning_has_a_case_of_its_own() {
    let mut case = Driven::new();
    case.issue();
    case.end(60, "w");
    case.act(2, Verb::Acknowledge, "grid");
    case.act(3, Verb::Verify, "grid");
    case.act(4, Verb::Archive, "grid");
    case.settle(5);
    assert_eq!(case.state().step, CaseStep::Archived);
    case.begin(360, "next", Level::Blue);
    assert_eq!((&*case.state().id, case.state().step), ("next@w", CaseStep::Issued));
    case.end(370, "next");
    // The third belongs to the second.
    case.begin(380, "third", Level::Blue);
    assert_eq!((&*case.state().id, case.state().counts.warnings), ("next@w", 2));
    case.act_about(7, "third", (Verb::Acknowledge, "grid"), "");
    case.settle(7);
    assert_eq!(
        (&*case.state().id, case.state().step),
        ("next@w", CaseStep::Acknowledged)
    );
    case.act_about(8, "next@w", (Verb::Comment, "grid"), "");
    case.settle(8);
    assert_eq!(case.state().counts.notes, 1);
    let unknown = case
        .kinds()
        .iter()
        .filter(|(kind, _)| *kind == CaseEventKind::Refused)
        .count();
    case.act_about(9, "never", (Verb::Acknowledge, "grid"), "");
    case.settle(9);
    assert_eq!(kinds_of(&case, CaseEventKind::Refused), unknown + 1);
}

#[test]
fn what_was_withdrawn_is_an_alarm_when_it_comes_anew() {
    let mut case = Driven::new();
    case.issue();
    case.state.rows.subject = None;
    case.warning(DeltaKind::Withdrawn, Level::None);
    case.settle_at(10);
    case.begin(20, "again", Level::Orange);
    assert_eq!(&*case.state().id, "w");
    assert_eq!(kinds_of(&case, CaseEventKind::Reissued), 1);
    assert_eq!(
        (count(&case, NoticeEvent::Issued), count(&case, NoticeEvent::Resumed)),
        (2, 0)
    );
}

#[test]
fn a_case_that_is_worked_on_goes_on_where_it_was() {
    let mut case = Driven::new();
    case.issue();
    case.act(1, Verb::Acknowledge, "grid");
    case.settle(1);
    let due = case.state().due;
    case.end(90, "w");
    assert_ne!(case.state().due, due, "verified is next");
    case.begin(100, "again", Level::Yellow);
    let row = case.state();
    assert_eq!(
        (row.step, row.level, row.peak),
        (CaseStep::Acknowledged, Level::Yellow, Level::Orange)
    );
    // Dispatched is next again, counted from here.
    let limit = CaseSettings::default().deadline(Domain::WorkSafety, Level::Orange, CaseStep::Dispatched);
    assert_eq!(row.due, Some(Millis(100_000) + limit.unwrap()));
    assert!(row.obligations.iter().any(|one| one.acknowledged.is_some()));
}

/// The region's duties change while what was withdrawn is there again: the case that it belongs to follows, though a newer one is
/// there as well.
#[test]
fn a_warning_that_comes_back_is_of_its_own_case_and_that_follows() {
    let mut case = Driven::new();
    case.issue();
    case.end(10, "w");
    case.act(1, Verb::Acknowledge, "grid");
    case.act(2, Verb::Verify, "grid");
    case.act(3, Verb::Archive, "grid");
    case.settle(4);
    case.begin(250, "next", Level::Orange);
    assert_eq!(&*case.state().id, "next@w");
    // By a correction the second never was, and the first goes on.
    case.state.rows.subject = None;
    case.warning_of("next", DeltaKind::Withdrawn, Level::None);
    case.begin(260, "w", Level::Orange);
    assert_eq!(case.state.files[0].shown_step(), (CaseStep::Issued, 2));
    case.row(duty("mayor", 1), 1);
    case.settle_at(270);
    let obliged = |file: &File| file.standing().map(|row| row.obligations.len());
    assert_eq!(
        case.state.files.iter().map(obliged).collect::<Vec<_>>(),
        [Some(4), Some(3)]
    );
}

/// An incident that is opened and ended again and again: who must acknowledge it stays as it was while it is hidden.
#[test]
fn obligations_of_a_restless_incident_stay() {
    let mut case = Driven::new();
    let row = |state| {
        let mut subject = subject("fire", Level::Orange);
        subject.incident = Some(state);
        CaseRow::Subject(Arc::new(subject))
    };
    case.row(duty("grid", 4), 1);
    for second in (0..60).step_by(20) {
        case.row(row(IncidentState::Open), 1);
        case.settle_at(second);
        if second < 40 {
            case.row(row(IncidentState::Ended), 1);
            case.settle_at(second + 10);
        }
    }
    assert!(case.state().flapping.is_some());
    let before = case.state().obligations.clone();
    // Nobody is asked for what has ended; that it has is not told yet.
    case.row(row(IncidentState::Ended), 1);
    case.row(duty("grid", 4), -1);
    case.settle_at(50);
    assert_eq!(
        (case.state().basis, &case.state().obligations),
        (Basis::Active, &before)
    );
}

#[test]
fn what_people_are_done_with_begins_anew_and_what_they_rejected_is_an_alarm() {
    let mut case = Driven::new();
    case.issue();
    case.act(1, Verb::Acknowledge, "grid");
    case.settle(1);
    case.end(90, "w");
    case.act(2, Verb::Verify, "grid");
    case.settle(2);
    case.begin(200, "again", Level::Orange);
    assert_eq!((case.state().step, case.state().round), (CaseStep::Issued, 2));
    assert_eq!(count(&case, NoticeEvent::Issued), 2);

    let mut case = Driven::new();
    case.issue();
    case.act(1, Verb::Reject, "grid");
    case.settle(1);
    case.end(90, "w");
    case.begin(200, "again", Level::Orange);
    assert_eq!((case.state().rejected.as_deref(), case.state().round), (None, 1));
    assert_eq!(count(&case, NoticeEvent::Issued), 2);
}

#[test]
fn a_glitch_that_is_corrected_says_nothing_of_the_warning_before_it() {
    let mut case = Driven::new();
    case.issue();
    case.end(200, "w");
    case.begin(300, "glitch", Level::Orange);
    case.state.rows.subject = None;
    case.warning_of("glitch", DeltaKind::Withdrawn, Level::None);
    case.settle_at(310);
    assert_eq!(case.state().basis, Basis::Cleared);
    assert_eq!(
        (
            kinds_of(&case, CaseEventKind::Withdrawn),
            count(&case, NoticeEvent::Withdrawn)
        ),
        (0, 0)
    );
}
