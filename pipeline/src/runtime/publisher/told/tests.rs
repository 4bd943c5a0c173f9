use riskflow_config::WrittenSettings;
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
        told.event(delta(event.clone()));
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
    let mut foretold = Foretold::default();
    let row = row("active");
    let out = told.judge(&"c".into(), (Some(&row), false), found, Millis(T + now), &mut foretold);
    let words = |row: OutputRow| match (row.downcast_ref::<CaseDelta>(), row.downcast_ref::<Notice>()) {
        (Some(delta), _) if delta.retracted => format!("not {:?}", delta.event.kind),
        (Some(delta), _) => format!("{:?}", delta.event.kind),
        (_, Some(notice)) => format!("{:?} to {}", notice.event, notice.user),
        _ => panic!("{row:?}"),
    };
    (out.into_iter().map(words).collect(), foretold)
}

/// The notices that go out of an epoch in which an event and notices of it come.
fn left(foretold: &mut Foretold, event: &CaseEvent, users: &[&str]) -> usize {
    let notices = users.iter().map(|user| OutputRow::new(notice(event, user)));
    let rows = notices.chain([OutputRow::new(delta(event.clone()))]);
    let output = EpochOutput::new(event.at, rows.map(|row| (row, 1)).collect());
    let output = foretold.take_from(&output).unwrap_or(output);
    assert_eq!(output.log::<CaseDelta>().count(), 1, "events go out");
    output.log::<Notice>().count()
}

#[test]
fn what_comes_out_a_little_later_is_not_told_again_and_what_is_new_is() {
    let before = told(&[(event("issued", 0), &["guard"]), (event("level", HOUR), &[])]);
    let again = [
        (event("issued", 700), &["guard"][..]),
        (event("level", HOUR + 9_000), &[]),
    ];
    assert_eq!(judged(&before, &found(&again), 2 * HOUR).0, <[&str; 0]>::default());
    let more = [&again[..], &[(event("raised", HOUR + 20_000), &["guard", "chief"])]].concat();
    let (out, foretold) = judged(&before, &found(&more), 2 * HOUR);
    assert_eq!(
        out,
        ["Raised", "Raised to guard", "Raised to chief"].map(|word| word.replace("Raised to", "Issued to"))
    );
    assert_eq!(foretold, Foretold::default());
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
    // Another deadline is another matter, and so is another case.
    assert_eq!(left(&mut foretold, &escalated(3 * HOUR), &["chief"]), 1);
    // Whoever was not told is.
    assert_eq!(left(&mut foretold, &escalated(HOUR + 300), &["chief", "mayor"]), 1);
    assert_eq!(
        left(&mut foretold, &escalated(HOUR + 300), &["deputy"]),
        0,
        "who is found later"
    );
    assert_eq!(foretold, Foretold::default());
    // The clock was ahead once more, after it had passed: nothing is left of that.
    let mut before = before;
    let taken_back = CaseDelta {
        retracted: true,
        ..delta(escalated(HOUR))
    };
    before.event(taken_back);
    before.event(delta(escalated(HOUR + 300)));
    let again = found(&[
        (event("issued", 100), &["guard"]),
        (escalated(HOUR + 100), &["chief", "deputy"]),
    ]);
    let (out, foretold) = judged(&before, &again, 2 * HOUR);
    assert_eq!((out, foretold), (Vec::new(), Foretold::default()));
}

#[test]
fn a_shift_that_was_to_begin_notifies_once() {
    let before = told(&[(event("issued", 0), &["day", "night"])]);
    let (out, mut foretold) = judged(&before, &found(&[(event("issued", 300), &["day"])]), HOUR);
    assert_eq!(out, <[&str; 0]>::default());
    assert_eq!(left(&mut foretold, &event("issued", 300), &["night", "next"]), 1);
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
    assert_eq!(judged(&told(&[]), &again, 3 * HOUR).0, <[&str; 0]>::default());
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
fn a_refusal_of_an_action_for_an_unknown_case_is_told_once() {
    let before = told(&[(event("refused", 0), &[])]);
    let mut foretold = Foretold::default();
    let again = found(&[(event("refused", 40), &[])]);
    let out = before.judge(&"c".into(), (None, true), &again, Millis(T + HOUR), &mut foretold);
    assert_eq!(out, []);
}
