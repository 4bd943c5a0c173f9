//! What must hold of any sequence of actions, whatever the oracle says: steps follow the table, a refused action changes
//! nothing, the same records give the same states, and so does any order in which the same actions are learnt.

use std::collections::{BTreeMap, BTreeSet};

use riskflow::runtime::graph::{Meters, Semantics};
use riskflow::runtime::output::EpochOutput;
use riskflow::runtime::replay::{EpochInput, replay};
use riskflow_config::InputRecord;
use riskflow_connectors::{RawRecord, decode};
use riskflow_model::action::{Action, Verb};
use riskflow_model::output::{CaseDelta, CaseEvent, CaseEventKind, CaseState, CaseStep, Notice, Origin, Refusal};
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, Id, Millis};
use riskflow_tests::history::{Draw, START, semantics};
use serde_json::{Value, json};

/// The incidents begin here, and here two of them end.
const ISSUE: i64 = START + 1_000;
const END: i64 = START + 70_000;
/// All actions are done before this.
const DONE: i64 = START + 120_000;
const SEEDS: u64 = 80;
const CASES: [&str; 3] = ["leak", "fire", "flood"];

/// The short deadlines of random histories, and a horizon behind which no action here lies.
fn settings() -> Semantics {
    let mut settings = semantics();
    settings.case.horizon = Duration(3_600_000);
    settings.case.retain = Duration(3_600_000);
    settings
}

#[derive(Default)]
struct Offsets(u64);

impl Offsets {
    fn record(&mut self, topic: Topic, value: &Value) -> (Origin, InputRecord) {
        self.0 += 1;
        let payload = value.to_string();
        let raw = RawRecord {
            topic,
            partition: 0,
            offset: self.0,
            arrival: None,
            exercise: false,
            key: None,
            payload: Some(payload.as_bytes()),
        };
        let origin = Origin {
            topic: topic.id(),
            partition: 0,
            offset: self.0,
        };
        (origin, decode(&raw).unwrap_or_else(|_| panic!("{payload}")))
    }
}

fn incident(id: &str, version: u32, state: &str) -> Value {
    json!({ "id": id, "version": version, "hazard": "leak", "level": "yellow", "domain": "work_safety",
        "region": "330902001001", "since": START, "state": state })
}

fn people() -> Vec<(Topic, Value)> {
    let unit = |id: &str, parent: Option<&str>| json!({ "id": id, "region": "330902", "parent": parent });
    let user = |id: &str, unit: &str, role: &str| json!({ "id": id, "posts": [{ "unit": unit, "role": role }] });
    let duty = |id: &str, unit: &str, role: &str| json!({ "id": id, "region": "3309", "unit": unit, "role": role });
    let tasks = json!([{ "id": "a", "role": "duty", "limit_minutes": 1 }, { "id": "b", "role": "chief" }]);
    vec![
        (Topic::BASE_UNIT, unit("town", Some("county"))),
        (Topic::BASE_UNIT, unit("county", None)),
        (Topic::BASE_USER, user("anna", "town", "duty")),
        (Topic::BASE_USER, user("bo", "town", "chief")),
        (Topic::BASE_USER, user("cai", "county", "duty")),
        (Topic::BASE_DUTY, duty("one", "town", "duty")),
        (Topic::BASE_DUTY, duty("two", "town", "chief")),
        (Topic::BASE_DUTY, duty("three", "county", "duty")),
        (
            Topic::BASE_PLAN,
            json!({ "id": "plan", "level": "yellow", "rules": ["leak"], "tasks": tasks }),
        ),
    ]
}

/// Actions at times that all differ and are no epoch of [`history`], in the order of these times.
fn actions(draw: &mut Draw) -> Vec<Value> {
    // Those before the issue stand at the issue: more than one that is accepted would not differ in time.
    let mut times = BTreeSet::from([ISSUE - 10_001, ISSUE - 9_999]);
    for _ in 0..40 {
        times.insert(ISSUE + draw.below((DONE - ISSUE) as u64 / 10) as i64 * 10 + 3);
    }
    let mut walked: BTreeMap<&str, usize> = BTreeMap::new();
    let road = [
        Verb::Call,
        Verb::Acknowledge,
        Verb::Dispatch,
        Verb::Progress,
        Verb::Report,
        Verb::Report,
        Verb::Verify,
        Verb::Archive,
    ];
    let action = |(number, time): (usize, &i64)| {
        let case = *draw.pick(&CASES);
        let at = walked.entry(case).or_default();
        let verb = if draw.once_in(3) {
            *draw.pick(&Verb::ALL)
        } else {
            *at += 1;
            road[(*at - 1) % road.len()]
        };
        json!({
            "id": format!("action-{number}"), "warning": case, "action": verb.name(), "actor": "anna", "time": time,
            "role": draw.pick(&["duty", "chief"]), "unit": draw.pick(&[None, Some("town"), Some("county")]),
            "text": "why", "task": if verb == Verb::Report { Some(*draw.pick(&["a", "plan/b", "b", "c"])) } else { None },
            "assignee": "bo", "evidence": "file", "until": time + 20_000, "override": draw.once_in(6),
        })
    };
    times.iter().enumerate().map(action).collect()
}

/// The incidents and so many batches of actions, the last of which arrives at the end; `late`: all are done before any arrives.
fn history(actions: &[Value], batches: usize, late: bool) -> Vec<EpochInput> {
    let mut offsets = Offsets::default();
    let mut beginning: Vec<_> = people()
        .iter()
        .map(|(topic, row)| offsets.record(*topic, row))
        .collect();
    let mut history = BTreeMap::new();
    beginning.extend(CASES.map(|id| offsets.record(Topic::IN_INCIDENT, &incident(id, 1, "open"))));
    history.insert(ISSUE, beginning);
    let ends = [("leak", "ended"), ("fire", "withdrawn")];
    let ends = ends.map(|(id, state)| offsets.record(Topic::IN_INCIDENT, &incident(id, 2, state)));
    history.insert(END, ends.to_vec());
    for (number, action) in actions.iter().enumerate() {
        let epoch = if late {
            DONE + 10_000 * (1 + number * batches / actions.len()) as i64
        } else {
            // The next full two seconds.
            (action["time"].as_i64().unwrap() / 2_000 + 1) * 2_000
        };
        let record = offsets.record(Topic::IN_ACTION, action);
        history.entry(epoch.max(ISSUE)).or_default().push(record);
    }
    history.entry(DONE + 200_000).or_default();
    let epochs = history.into_iter().map(|(epoch, records)| EpochInput {
        epoch: Millis(epoch),
        records,
    });
    epochs.collect()
}

fn run(history: &[EpochInput], workers: usize) -> Vec<EpochOutput> {
    replay(history.to_vec(), workers, settings(), &Meters::default()).unwrap()
}

fn cases(outputs: &[EpochOutput]) -> BTreeMap<Id<CaseState>, CaseState> {
    let mut cases = BTreeMap::new();
    for output in outputs {
        for (row, diff) in output.table::<CaseState>() {
            if diff > 0 {
                cases.insert(row.id.clone(), row.clone());
            } else if cases.get(&row.id) == Some(row) {
                cases.remove(&row.id);
            }
        }
    }
    cases
}

fn notices(outputs: &[EpochOutput]) -> BTreeSet<(Millis, Notice)> {
    let each = |output: &EpochOutput| {
        let epoch = output.epoch;
        output
            .log::<Notice>()
            .map(move |notice| (epoch, notice.clone()))
            .collect::<Vec<_>>()
    };
    outputs.iter().flat_map(each).collect()
}

/// What was told and not taken back.
fn standing(outputs: &[EpochOutput]) -> BTreeMap<Id<CaseState>, BTreeSet<CaseEvent>> {
    let mut events: BTreeMap<Id<CaseState>, BTreeSet<CaseEvent>> = BTreeMap::new();
    for CaseDelta {
        case, retracted, event, ..
    } in outputs.iter().flat_map(EpochOutput::log)
    {
        let of_case = events.entry(case.clone()).or_default();
        if *retracted {
            assert!(of_case.remove(event), "taken back, but never told: {event:?}");
        } else {
            assert!(of_case.insert(event.clone()), "told twice: {event:?}");
        }
    }
    events
}

/// What a verb may do: from which steps, to which. What else it takes is not looked at here.
fn leads(verb: Verb) -> Option<(Vec<CaseStep>, CaseStep)> {
    use CaseStep::{Acknowledged, Archived, Called, Dispatched, InProgress, Issued, Reported, Verified};
    let before = |end: CaseStep| CaseStep::ALL.into_iter().filter(|step| *step < end).collect();
    match verb {
        Verb::Call => Some((vec![Issued], Called)),
        Verb::Acknowledge => Some((vec![Issued, Called], Acknowledged)),
        Verb::Dispatch => Some((vec![Acknowledged], Dispatched)),
        Verb::Progress => Some((vec![Dispatched, Reported], InProgress)),
        Verb::Report => Some((vec![InProgress], Reported)),
        Verb::Verify => Some((before(Verified), Verified)),
        Verb::Archive => Some((before(Archived), Archived)),
        _ => None,
    }
}

/// Walks the events of a case in the order of their times, and returns the step after them.
fn follow(events: &BTreeSet<CaseEvent>, reached: &mut BTreeSet<(CaseStep, CaseStep)>) -> CaseStep {
    let mut ordered: Vec<&CaseEvent> = events.iter().collect();
    ordered.sort_by_key(|event| {
        (
            event.at.0.max(ISSUE),
            event.kind == CaseEventKind::Escalated && event.by.is_none(),
            event.by.is_some(),
            event.at,
        )
    });
    let mut step = CaseStep::Issued;
    let (mut over, mut withdrawn, mut rejected) = (false, false, false);
    for event in ordered {
        match event.kind {
            CaseEventKind::Issued | CaseEventKind::Reopened => step = CaseStep::Issued,
            CaseEventKind::Step => {
                let verb = event.by.as_ref().expect("someone did it").verb;
                let (from, to) = leads(verb).unwrap_or_else(|| panic!("{} is no step", verb.name()));
                assert!(from.contains(&step) && event.step == to, "from {step:?}: {event:?}");
                if verb == Verb::Verify && step != CaseStep::Reported {
                    let after_the_end = over && step >= CaseStep::Acknowledged;
                    assert!(
                        after_the_end || withdrawn || rejected,
                        "verified at {step:?}: {event:?}"
                    );
                }
                reached.insert((step, to));
                step = to;
            }
            CaseEventKind::Cleared => over = true,
            CaseEventKind::Withdrawn | CaseEventKind::BasisCorrected => withdrawn = true,
            CaseEventKind::Rejected => rejected = true,
            CaseEventKind::Refused => assert!(event.refusal.is_some() && event.by.is_some(), "{event:?}"),
            _ => {}
        }
        assert_eq!(event.step, step, "{event:?}");
    }
    step
}

#[test]
fn steps_follow_the_table_whatever_is_sent() {
    let mut reached = BTreeSet::new();
    let mut refusals = BTreeSet::new();
    for seed in 1..=SEEDS {
        let actions = actions(&mut Draw::new(seed));
        let outputs = run(&history(&actions, 5, seed % 2 == 0), 1 + (seed % 2) as usize);
        let events = standing(&outputs);
        for (id, case) in cases(&outputs) {
            let step = follow(&events[&id], &mut reached);
            assert_eq!(step, case.step, "seed {seed}, {id}");
            refusals.extend(events[&id].iter().filter_map(|event| event.refusal));
        }
    }
    assert!(reached.len() >= 12, "few transitions were seen: {reached:?}");
    assert!(
        refusals.contains(&Refusal::OutOfOrder) && refusals.contains(&Refusal::NotEnded),
        "{refusals:?}"
    );
}

#[test]
fn what_is_refused_changes_nothing() {
    let mut refused = 0;
    for seed in 1..=SEEDS {
        let all = actions(&mut Draw::new(1_000 + seed));
        let with = run(&history(&all, 5, false), 1);
        let is_refused = |event: &CaseEvent| event.kind == CaseEventKind::Refused;
        let events = standing(&with);
        let ids: BTreeSet<Id<Action>> = (events.values().flatten())
            .filter(|event| is_refused(event))
            .map(|event| event.by.as_ref().expect("someone did it").action.clone())
            .collect();
        refused += ids.len();
        // The same epochs: what passes by the clock is noticed at the same times.
        let mut accepted = history(&all, 5, false);
        for epoch in &mut accepted {
            epoch.records.retain(|(_, record)| match record {
                InputRecord::Action(action) => !ids.contains(&action.id),
                _ => true,
            });
        }
        let without = run(&accepted, 2);
        assert_eq!(cases(&with), cases(&without), "seed {seed}");
        assert_eq!(notices(&with), notices(&without), "seed {seed}");
        let rest = |events: BTreeMap<Id<CaseState>, BTreeSet<CaseEvent>>| -> BTreeMap<Id<CaseState>, Vec<CaseEvent>> {
            let kept = |events: BTreeSet<CaseEvent>| events.into_iter().filter(|event| !is_refused(event)).collect();
            events.into_iter().map(|(id, events)| (id, kept(events))).collect()
        };
        assert_eq!(rest(events), rest(standing(&without)), "seed {seed}");
    }
    assert!(refused > SEEDS as usize, "only {refused} actions were refused");
}

#[test]
fn the_same_records_give_the_same_states() {
    for seed in 1..=20 {
        let history = history(&actions(&mut Draw::new(seed)), 5, seed % 2 == 0);
        assert_eq!(run(&history, 1), run(&history, 2), "seed {seed}");
    }
}

#[test]
fn any_order_in_which_actions_are_learnt_ends_in_the_same_states() {
    let mut taken_back = 0;
    for seed in 1..=SEEDS {
        let mut draw = Draw::new(seed);
        let mut actions = actions(&mut draw);
        let in_order = cases(&run(&history(&actions, 6, true), 1));
        for position in (1..actions.len()).rev() {
            actions.swap(position, draw.below(position as u64 + 1) as usize);
        }
        let outputs = run(&history(&actions, 6, true), 2);
        assert_eq!(in_order, cases(&outputs), "seed {seed}");
        let deltas = outputs.iter().flat_map(EpochOutput::log::<CaseDelta>);
        taken_back += deltas.filter(|delta| delta.retracted).count();
    }
    assert!(taken_back > SEEDS as usize, "only {taken_back} events were taken back");
}

/// Of a case that has as many actions as it may have.
#[test]
fn a_case_takes_a_thousand_actions_and_refuses_the_next_for_good() {
    let comment = |number: i64| {
        json!({ "id": format!("action-{number}"), "warning": "flood", "action": "comment", "actor": "anna",
            "time": ISSUE + number, "text": "more" })
    };
    let actions: Vec<Value> = (0..1_001).map(comment).collect();
    let outputs = run(&history(&actions, 2, true), 1);
    let events = standing(&outputs);
    let refused: Vec<&CaseEvent> = events["flood"].iter().filter(|event| event.refusal.is_some()).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].refusal, Some(Refusal::TooMany));
    assert_eq!(refused[0].by.as_ref().unwrap().action, "action-1000".into());
    let row = &cases(&outputs)["flood"];
    assert_eq!((row.people.notes.len(), row.counts.notes), (10, 1_000));
    assert_eq!(row.people.notes[9].at, Millis(ISSUE + 999), "the newest");
}

/// Cases keep the epoch in which the clock brings others on duty, so an epoch that did nothing else is part of the history
/// all the same.
#[test]
fn an_epoch_in_which_the_clock_brings_others_on_duty_says_so() {
    let mut offsets = Offsets::default();
    let chief = json!({ "id": "four", "region": "3309", "unit": "county", "role": "chief",
        "valid_from": START + 25_000, "valid_to": START + 45_000 });
    let rows = people().into_iter().chain([(Topic::BASE_DUTY, chief)]);
    let mut records: Vec<_> = rows.map(|(topic, row)| offsets.record(topic, &row)).collect();
    let history = (0..7).map(|epoch| EpochInput {
        epoch: Millis(START + epoch * 10_000),
        records: std::mem::take(&mut records),
    });
    let epochs = run(&history.collect::<Vec<_>>(), 2);
    let woken = epochs.iter().filter(|epoch| epoch.woken);
    let woken: Vec<i64> = woken.map(|epoch| epoch.epoch.0 - START).collect();
    assert_eq!(woken, [30_000, 50_000]);
}
