use riskflow_config::WrittenSettings;
use riskflow_model::output::Escalation;
use serde_json::json;

use super::*;
use crate::runtime::output::EpochOutput;
use riskflow_operators::closed_loop::notice_of;

const HOUR: i64 = 3_600_000;
/// A time that is neither the beginning nor the end of anything.
const T: i64 = 1_700_000_000_000;

fn event(kind: &str, at: i64) -> CaseEvent {
    let event = json!({"at": Millis(T + at), "kind": kind, "step": "issued", "level": "red", "allowed": []});
    serde_json::from_value(event).unwrap()
}

/// A deadline of the post for the next step.
fn escalated(at: i64) -> CaseEvent {
    let escalation = json!({"step": "called", "unit": "grid", "role": "duty", "to": "town", "at": Millis(T + at)});
    CaseEvent {
        escalation: Some(serde_json::from_value(escalation).unwrap()),
        ..event("escalated", at)
    }
}

fn delta(event: CaseEvent) -> CaseDelta {
    let delta = json!({"case": "c", "retracted": false, "cause": "data", "rule": "r", "domain": "natural_hazard", "region": "3309", "event": event});
    serde_json::from_value(delta).unwrap()
}

fn notice(event: &CaseEvent, user: &str) -> Notice {
    let (kind, _) = notice_of(event).unwrap();
    let notice = json!({
        "id": notice_id(&"c".into(), event, &user.into()).unwrap(), "case": "c", "event": kind, "user": user, "channel": "", "unit": "grid",
        "role": "duty", "level": "red", "rule": "r", "domain": "natural_hazard", "region": "3309", "since": Millis(T)
    });
    serde_json::from_value(notice).unwrap()
}

fn row(basis: &str) -> CaseState {
    let row = json!({
        "id": "c", "incident": false, "rule": "r", "domain": "natural_hazard", "region": "3309", "since": Millis(T), "level": "red", "peak": "red",
        "basis": basis, "step": "issued", "entered": Millis(T), "round": 1, "escalations": [], "obligations": [], "tasks": [],
        "times": {"issued": Millis(T), "in_time": false}, "people": {"notes": [], "evidence": []},
        "counts": {"escalations": 0, "obligations": 0, "tasks": 0, "notes": 0, "evidence": 0}
    });
    serde_json::from_value(row).unwrap()
}

/// Events, with the users who were told of each.
type History<'a> = &'a [(CaseEvent, &'a [&'a str])];

fn told(history: History<'_>) -> Told {
    let mut told = Told::new(WrittenSettings::default().check().unwrap().zone);
    for (event, users) in history {
        told.event(delta(event.clone()), event.at);
        users.iter().for_each(|user| told.notice(notice(event, user)));
    }
    told
}

fn found(history: History<'_>) -> Found {
    let mut found = Found::default();
    for (event, users) in history {
        found.event(&delta(event.clone()));
        users.iter().for_each(|user| found.notice(&notice(event, user)));
    }
    found
}

/// What is told of a case that goes on, in words, and what is noted.
fn judged(told: &Told, found: &Found, now: i64) -> (Vec<String>, Foretold) {
    judged_after(told, &Foretold::default(), (Some(&row("active")), found), now)
}

fn judged_after(
    told: &Told,
    before: &Foretold,
    (row, found): (Option<&CaseState>, &Found),
    now: i64,
) -> (Vec<String>, Foretold) {
    let mut foretold = told.foretold(before, Millis(0));
    let now = Now {
        row,
        is_new: false,
        was: false,
        open: None,
        at: Millis(T + now),
    };
    let out = told.judge(&"c".into(), now, found, (before, &mut foretold));
    let words = |row: OutputRow| match (row.downcast_ref::<CaseDelta>(), row.downcast_ref::<Notice>()) {
        (Some(delta), _) if delta.retracted => format!("not {:?}", delta.event.kind),
        (Some(delta), _) => format!("{:?}", delta.event.kind),
        (_, Some(notice)) => format!("{:?} to {}", notice.event, notice.user),
        _ => panic!("{row:?}"),
    };
    (out.into_iter().map(words).collect(), foretold)
}

/// Who is told in an epoch in which notices of an event come, and perhaps the event itself.
fn told_of(foretold: &mut Foretold, (event, comes): (&CaseEvent, bool), users: &[&str]) -> Vec<String> {
    let notices = users.iter().map(|user| OutputRow::new(notice(event, user)));
    let events = comes.then(|| OutputRow::new(delta(event.clone())));
    let rows = notices.chain(events).map(|row| (row, 1));
    let output = EpochOutput::new(event.at, rows.collect());
    let output = foretold.take_from(&output).unwrap_or(output);
    assert_eq!(output.log::<CaseDelta>().count(), usize::from(comes), "events go out");
    let mut told: Vec<String> = output.log::<Notice>().map(|notice| notice.user.to_string()).collect();
    told.sort();
    told
}

const NOBODY: [&str; 0] = [];

#[test]
fn what_comes_out_a_little_later_is_not_told_again_and_what_is_new_is() {
    let before = told(&[(event("issued", 0), &["guard"]), (event("level", HOUR), &[])]);
    let again = [
        (event("issued", 700), &["guard"][..]),
        (event("level", HOUR + 9_000), &[]),
    ];
    assert_eq!(judged(&before, &found(&again), 2 * HOUR).0, NOBODY);
    let more = [&again[..], &[(event("raised", HOUR + 20_000), &["guard", "chief"])]].concat();
    let (out, foretold) = judged(&before, &found(&more), 2 * HOUR);
    assert_eq!(
        out,
        ["Raised", "Raised to guard", "Raised to chief"].map(|word| word.replace("Raised to", "Issued to"))
    );
    assert_eq!(foretold, before.foretold(&Foretold::default(), Millis(0)));
}

#[test]
fn a_deadline_that_is_yet_to_pass_is_taken_back_and_notifies_once() {
    let before = told(&[
        (event("issued", 0), &["guard"]),
        (escalated(HOUR), &["chief", "deputy"]),
    ]);
    let now = found(&[(event("issued", 300), &["guard"])]);
    let (out, mut foretold) = judged(&before, &now, HOUR / 2);
    assert_eq!(out, ["not Escalated"]);
    // Another deadline is another matter.
    let other = CaseEvent {
        escalation: escalated(HOUR).escalation.map(|deadline| Escalation {
            step: Some(CaseStep::Acknowledged),
            ..deadline
        }),
        ..escalated(HOUR)
    };
    assert_eq!(told_of(&mut foretold, (&other, true), &["chief"]), ["chief"]);
    // Whoever was not told is; that it passes later than that, for the case was suppressed, is no other deadline.
    let passes = escalated(2 * HOUR);
    assert_eq!(told_of(&mut foretold, (&passes, true), &["chief", "mayor"]), ["mayor"]);
    assert_eq!(
        told_of(&mut foretold, (&passes, false), &["deputy"]),
        NOBODY,
        "found later"
    );
    assert_eq!(
        told_of(&mut foretold, (&escalated(9 * HOUR), true), &["chief"]),
        ["chief"],
        "once"
    );
    // The clock was ahead once more, after it had passed: nothing is left of that.
    let mut before = before;
    let taken_back = CaseDelta {
        retracted: true,
        ..delta(escalated(HOUR))
    };
    before.event(taken_back, Millis(T));
    before.event(delta(escalated(HOUR + 300)), Millis(T));
    let again = found(&[
        (event("issued", 100), &["guard"]),
        (escalated(HOUR + 100), &["chief", "deputy"]),
    ]);
    let (out, mut foretold) = judged(&before, &again, 2 * HOUR);
    assert_eq!(out, NOBODY);
    assert_eq!(
        told_of(&mut foretold, (&escalated(9 * HOUR), true), &["chief"]),
        ["chief"]
    );
}

#[test]
fn what_counts_from_another_arming_is_another_deadline() {
    let before = told(&[(event("issued", 0), &["guard"]), (escalated(HOUR), &["chief"])]);
    let (_, mut foretold) = judged(&before, &found(&[(event("issued", 300), &["guard"])]), HOUR / 2);
    assert_eq!(
        told_of(&mut foretold, (&event("raised", HOUR), true), &["guard"]),
        ["guard"]
    );
    assert_eq!(
        told_of(&mut foretold, (&escalated(2 * HOUR), true), &["chief"]),
        ["chief"]
    );
}

#[test]
fn a_rise_that_came_too_early_notifies_once_and_comes_true_under_another_identifier() {
    let before = told(&[(event("issued", 0), &["guard"]), (event("raised", HOUR), &["guard"])]);
    let now = found(&[(event("issued", 0), &["guard"])]);
    let (out, mut foretold) = judged(&before, &now, HOUR / 2);
    assert_eq!(out, ["not Raised"]);
    let raised = event("raised", HOUR);
    assert_eq!(told_of(&mut foretold.clone(), (&raised, true), &["guard"]), NOBODY);
    // After an end it is another matter.
    assert_eq!(
        told_of(&mut foretold, (&event("cleared", HOUR / 2), true), &["guard"]),
        ["guard"]
    );
    let rows = [
        OutputRow::new(delta(raised.clone())),
        OutputRow::new(notice(&raised, "guard")),
    ];
    let output = EpochOutput::new(raised.at, rows.map(|row| (row, 1)).to_vec());
    let output = foretold.take_from(&output).expect("another identifier");
    let ids: Vec<Id<Notice>> = output.log::<Notice>().map(|notice| notice.id.clone()).collect();
    assert!(ids.len() == 1 && ids[0] != notice(&raised, "guard").id, "{ids:?}");
}

/// What was used up is not noted any more: a start goes on from what is left.
#[test]
fn what_is_left_can_be_noted() {
    let before = told(&[(event("issued", 0), &["guard"]), (event("raised", HOUR), &["guard"])]);
    let (_, mut foretold) = judged(&before, &found(&[(event("issued", 0), &["guard"])]), HOUR / 2);
    assert!(!foretold.take_changed());
    assert_eq!(
        told_of(&mut foretold, (&event("raised", HOUR), true), &["guard"]),
        NOBODY
    );
    assert!(foretold.take_changed() && !foretold.take_changed());
    let noted = serde_json::to_string(&foretold).unwrap();
    let mut read: Foretold = serde_json::from_str(&noted).unwrap();
    assert_eq!(read, foretold);
    assert_eq!(
        told_of(&mut read, (&event("cleared", 2 * HOUR), true), &["guard"]),
        ["guard"]
    );
    assert_eq!(
        told_of(&mut read, (&event("reissued", 3 * HOUR), true), &["guard"]),
        ["guard"]
    );
}

#[test]
fn whoever_was_told_too_early_is_told_of_the_end() {
    let before = told(&[(event("issued", 0), &["guard"]), (escalated(HOUR), &["chief"])]);
    let (_, mut foretold) = judged(&before, &found(&[(event("issued", 300), &["guard"])]), HOUR / 2);
    let cleared = event("cleared", HOUR / 2);
    assert_eq!(told_of(&mut foretold, (&cleared, true), &["guard"]), ["chief", "guard"]);
    assert_eq!(told_of(&mut foretold, (&escalated(HOUR), true), &["chief"]), NOBODY);
    assert_eq!(told_of(&mut foretold, (&cleared, false), &["chief"]), NOBODY);
    // It ended while the clock was ahead.
    let now = found(&[(event("issued", 300), &["guard"]), (cleared, &["guard"])]);
    let (mut out, mut early) = judged_after(&before, &Foretold::default(), (Some(&row("cleared")), &now), HOUR);
    out.sort();
    assert_eq!(
        out,
        ["Cleared", "Cleared to chief", "Cleared to guard", "not Escalated"]
    );
    // Its deadline passes all the same, and so the case comes to know whom it tells: of that he knows, and of the end.
    assert_eq!(told_of(&mut early, (&escalated(HOUR), true), &["chief"]), NOBODY);
    let cleared = event("cleared", HOUR / 2);
    assert_eq!(told_of(&mut early, (&cleared, false), &["chief"]), NOBODY);
}

#[test]
fn a_case_that_never_was_is_taken_back_whole() {
    let before = told(&[(event("issued", HOUR), &["guard"]), (escalated(2 * HOUR), &["chief"])]);
    let (out, _) = judged_after(&before, &Foretold::default(), (None, &Found::default()), 0);
    let expected = [
        "not Issued",
        "not Escalated",
        "Withdrawn",
        "Withdrawn to chief",
        "Withdrawn to guard",
    ];
    assert_eq!(out, expected);
    // One whose input is gone was told by the right clock.
    let (out, _) = judged_after(&before, &Foretold::default(), (None, &Found::default()), 9 * HOUR);
    assert_eq!(out, NOBODY);
}

#[test]
fn a_shift_that_was_to_begin_notifies_once() {
    let before = told(&[(event("issued", 0), &["day", "night"])]);
    let (out, mut foretold) = judged(&before, &found(&[(event("issued", 300), &["day"])]), HOUR);
    assert_eq!(out, NOBODY);
    assert_eq!(
        told_of(&mut foretold, (&event("issued", 300), false), &["night", "next"]),
        ["next"]
    );
}

#[test]
fn an_end_that_was_none_is_taken_back_before_all_who_were_told() {
    let before = told(&[
        (event("issued", 0), &["guard", "chief"]),
        (event("cleared", 5 * HOUR), &["guard", "chief"]),
    ]);
    let now = [(event("issued", 300), &["guard", "chief"][..])];
    let (out, _) = judged(&before, &found(&now), HOUR);
    assert_eq!(out, ["not Cleared", "Resumed to chief", "Resumed to guard"]);
    let now = [&now[..], &[(event("raised", HOUR), &["guard"])]].concat();
    let (out, _) = judged(&before, &found(&now), HOUR);
    let expected = ["Raised", "Issued to guard", "not Cleared", "Resumed to chief"];
    assert_eq!(
        out, expected,
        "whoever is told something new is not told that it goes on"
    );
}

#[test]
fn of_a_case_whose_beginning_is_gone_what_was_before_was_told() {
    let before = told(&[(event("level", HOUR), &[])]);
    let again = found(&[
        (event("issued", 0), &["guard"]),
        (event("level", HOUR + 5), &[]),
        (event("raised", 2 * HOUR), &["guard"]),
    ]);
    assert_eq!(judged(&before, &again, 3 * HOUR).0, ["Raised", "Issued to guard"]);
    assert_eq!(judged(&told(&[]), &again, 3 * HOUR).0, NOBODY);
    // Notices of before may be gone while their events are not.
    let mut before = told(&[(event("issued", 0), &[])]);
    before.cut(Millis(T + HOUR));
    let again = found(&[
        (event("issued", 5), &["guard"]),
        (event("raised", 2 * HOUR), &["guard"]),
    ]);
    assert_eq!(judged(&before, &again, 3 * HOUR).0, ["Raised", "Issued to guard"]);
}

#[test]
fn an_end_near_one_that_holds_is_taken_back_before_all_the_same() {
    let before = told(&[
        (event("issued", 0), &["guard"]),
        (event("cleared", HOUR), &["guard"]),
        (event("resumed", HOUR + 10_000), &["guard"]),
        (event("cleared", HOUR + 30_000), &["guard"]),
        (escalated(HOUR + 40_000), &["guard"]),
    ]);
    let now = found(&[
        (event("issued", 0), &["guard"]),
        (event("cleared", HOUR), &["guard"]),
        (event("resumed", HOUR + 10_000), &["guard"]),
    ]);
    let (out, _) = judged(&before, &now, HOUR + 20_000);
    assert_eq!(out, ["not Cleared", "not Escalated", "Resumed to guard"]);
}

#[test]
fn the_same_said_at_another_time_is_not_said_again() {
    let before = told(&[(event("issued", 0), &["guard"])]);
    let (out, _) = judged(&before, &found(&[(event("issued", HOUR), &["guard"])]), 2 * HOUR);
    assert_eq!(out, ["Issued", "not Issued"]);
}

#[test]
fn a_refusal_of_an_action_for_an_unknown_case_is_told_once() {
    let before = told(&[(event("refused", 0), &[])]);
    let again = found(&[(event("refused", 40), &[])]);
    let (out, _) = judged_after(&before, &Foretold::default(), (None, &again), HOUR);
    assert_eq!(out, NOBODY);
    // What the wrong clock alone refused was not.
    let (out, _) = judged_after(&before, &Foretold::default(), (None, &Found::default()), -HOUR);
    assert_eq!(out, ["not Refused"]);
}
