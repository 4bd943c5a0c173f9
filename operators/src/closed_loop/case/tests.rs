mod runs;

use super::*;
use riskflow_model::Domain;
use riskflow_model::action::Verb;
use riskflow_model::output::{Basis, Obligation};

const MINUTE: i64 = 60_000;

/// One case, driven without a dataflow.
struct Driven {
    fold: Case,
    state: CaseFoldState,
    shown: Option<Arc<CaseState>>,
    events: Vec<(CaseEvent, bool)>,
    alarms: std::collections::BTreeSet<Arc<Alarm>>,
    /// Whatever there ever was to be told.
    told: std::collections::BTreeSet<(NoticeEvent, Vec<Text>)>,
    offset: u64,
}

impl Driven {
    fn new() -> Self {
        Self {
            fold: Case {
                settings: CaseSettings::default(),
                max_future: Duration(MINUTE),
            },
            state: CaseFoldState::default(),
            shown: None,
            events: Vec::new(),
            alarms: std::collections::BTreeSet::new(),
            told: std::collections::BTreeSet::new(),
            offset: 0,
        }
    }

    fn row(&mut self, row: CaseRow, diff: Diff) {
        self.state.rows.apply(row, diff);
    }

    fn warning(&mut self, kind: DeltaKind, level: Level) {
        self.warning_of("w", kind, level);
    }

    /// A step of a warning of the run of `w`.
    fn warning_of(&mut self, warning: &str, kind: DeltaKind, level: Level) {
        let evidence = Evidence {
            rule_name: "Gas".into(),
            asset_name: "Tank".into(),
            feature: "last 1m".into(),
            value: None,
            unit: "".into(),
            forecast: false,
            valid_time: None,
        };
        let mut record = CaseRecord::Warning(Box::new(Happened {
            run: "w".into(),
            warning: warning.into(),
            kind,
            level,
            cause: Cause::Data,
            evidence: Arc::new(evidence),
        }));
        self.fold.record(Millis(0), Key::of("w"), &mut self.state, &mut record);
    }

    /// A warning of the run begins, with its row, and the case settles.
    fn begin(&mut self, second: i64, warning: &str, level: Level) {
        let subject = subject(warning, level);
        self.row(CaseRow::Subject(Arc::new(subject)), 1);
        self.warning_of(warning, DeltaKind::Raised, level);
        self.settle_at(second);
    }

    /// One ends.
    fn end(&mut self, second: i64, warning: &str) {
        self.state.rows.subject = None;
        self.warning_of(warning, DeltaKind::Cleared, Level::None);
        self.settle_at(second);
    }

    fn act(&mut self, minute: i64, verb: Verb, role: &str) {
        self.act_about(minute, "w", (verb, role), "");
    }

    /// `about` is the task and the text.
    fn act_about(&mut self, minute: i64, warning: &str, (verb, role): (Verb, &str), about: &str) {
        let task = if about.is_empty() {
            "null".to_owned()
        } else {
            format!("\"{about}\"")
        };
        let json = format!(
            r#"{{"id":"{}","warning":"{warning}","action":"{}","actor":"{role}","role":"{role}","time":"{}","task":{task},"text":"{about}"}}"#,
            self.offset,
            verb.name(),
            Millis(minute * MINUTE)
        );
        self.offset += 1;
        let origin = Origin {
            offset: self.offset,
            ..Origin::default()
        };
        let action = Box::new(serde_json::from_str(&json).unwrap());
        let mut record = CaseRecord::Action(Acted {
            case: Key::of("w"),
            origin,
            action,
        });
        self.fold.record(Millis(0), Key::of("w"), &mut self.state, &mut record);
    }

    fn settle(&mut self, minute: i64) -> Next {
        self.settle_at(minute * 60)
    }

    fn settle_at(&mut self, second: i64) -> Next {
        let mut out = Vec::new();
        let next = self
            .fold
            .settle(Millis(second * 1_000), Key::of("w"), &mut self.state, &mut out);
        for (output, diff) in out {
            match output {
                CaseOutput::State(state) if diff > 0 => self.shown = Some(state),
                CaseOutput::State(state) if self.shown.as_ref() == Some(&state) => self.shown = None,
                CaseOutput::State(_) | CaseOutput::Standing(_) => {}
                CaseOutput::Delta(delta) => self.events.push((delta.event, delta.retracted)),
                CaseOutput::Alarm(alarm) if diff > 0 => {
                    self.told.insert((alarm.event, alarm.mark.clone()));
                    assert!(self.alarms.insert(alarm));
                }
                CaseOutput::Alarm(alarm) => assert!(self.alarms.remove(&alarm)),
            }
        }
        next
    }

    fn issue(&mut self) {
        self.row(CaseRow::Subject(Arc::new(subject("w", Level::Orange))), 1);
        for (role, depth) in [("grid", 4), ("town", 3), ("county", 2)] {
            self.row(duty(role, depth), 1);
        }
        self.warning(DeltaKind::Raised, Level::Orange);
        self.settle(0);
    }

    fn state(&self) -> &CaseState {
        self.shown.as_deref().expect("the case has a row")
    }

    fn kinds(&self) -> Vec<(CaseEventKind, bool)> {
        self.events
            .iter()
            .map(|(event, retracted)| (event.kind, *retracted))
            .collect()
    }

    fn pending(&self) -> Vec<&str> {
        let pending = |obligation: &&Obligation| obligation.acknowledged.is_none();
        self.state()
            .obligations
            .iter()
            .filter(pending)
            .map(|obligation| &*obligation.role)
            .collect()
    }
}

fn subject(warning: &str, level: Level) -> Subject {
    Subject {
        id: warning.into(),
        rule: "gas".into(),
        title: "".into(),
        asset: Some("tank".into()),
        domain: Domain::WorkSafety,
        region: "330903102201".parse().unwrap(),
        since: Millis(0),
        level,
        incident: None,
    }
}

fn duty(role: &str, depth: u32) -> CaseRow {
    CaseRow::Duty(Arc::new(DutyMatch {
        duty: Key::of(role),
        unit: format!("unit-{role}").into(),
        role: role.into(),
        parent: Some("unit-city".into()),
        depth,
        rostered: false,
    }))
}

#[test]
fn a_missed_acknowledgement_escalates_and_one_made_in_time_but_told_late_takes_it_back() {
    let mut case = Driven::new();
    case.issue();
    assert_eq!(case.alarms.len(), 3);
    case.act(3, Verb::Acknowledge, "grid");
    case.act(4, Verb::Acknowledge, "town");
    case.settle(4);
    assert_eq!((case.pending(), case.alarms.len()), (vec!["county"], 1));
    // 15 minutes for orange: missed at the first epoch at or after that.
    let Next::Wake(due) = case.settle(5) else {
        panic!("it wakes at the deadline")
    };
    assert_eq!(due, Millis(15 * MINUTE));
    case.settle(15);
    assert_eq!(case.state().escalations.len(), 1);
    assert_eq!(case.state().escalations[0].to.as_deref(), Some("unit-city"));
    assert_eq!(case.alarms.len(), 2);
    case.act(15, Verb::Acknowledge, "county");
    case.settle(20);
    assert!(case.state().escalations.is_empty() && case.alarms.is_empty());
    let kinds = case.kinds();
    assert_eq!(
        kinds[3..],
        [
            (CaseEventKind::Escalated, false),
            (CaseEventKind::Acknowledgement, false),
            (CaseEventKind::Escalated, true)
        ]
    );
}

#[test]
fn the_order_of_telling_does_not_matter() {
    let acts = [
        (2, Verb::Call, "town"),
        (3, Verb::Acknowledge, "town"),
        (8, Verb::Dispatch, "town"),
        (12, Verb::Progress, "town"),
        (14, Verb::Acknowledge, "grid"),
        (20, Verb::Report, "town"),
        (25, Verb::Verify, "town"),
    ];
    let mut ends = Vec::new();
    for turn in 0..acts.len() {
        let mut case = Driven::new();
        case.issue();
        for (number, index) in (0..acts.len()).map(|index| (index * 3 + turn) % acts.len()).enumerate() {
            let (minute, verb, role) = acts[index];
            case.act(minute, verb, role);
            // Origins order only what was done at one instant.
            case.settle(30 + number as i64);
        }
        assert_eq!(case.state().step, CaseStep::Verified, "turn {turn}");
        ends.push((case.state().clone(), case.alarms.clone()));
    }
    assert!(ends.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn refusals_change_nothing_and_say_what_is_allowed() {
    let mut case = Driven::new();
    case.issue();
    let before = case.state().clone();
    case.act(1, Verb::Verify, "town");
    case.settle(1);
    assert_eq!(case.state(), &before);
    let (event, _) = case.events.last().unwrap();
    assert_eq!(event.refusal, Some(Refusal::OutOfOrder));
    assert!(event.allowed.contains(&Verb::Acknowledge) && !event.allowed.contains(&Verb::Verify));
}

#[test]
fn a_withdrawn_warning_is_only_verified_and_archived_and_a_correction_after_that_is_noted() {
    let mut case = Driven::new();
    case.issue();
    case.warning(DeltaKind::Cleared, Level::None);
    case.settle(5);
    assert_eq!(
        (case.state().basis, case.state().step),
        (Basis::Cleared, CaseStep::Issued)
    );
    case.act(6, Verb::Acknowledge, "town");
    case.act(7, Verb::Verify, "town");
    case.act(8, Verb::Archive, "town");
    case.settle(8);
    assert_eq!(case.state().step, CaseStep::Archived);
    case.warning(DeltaKind::Withdrawn, Level::None);
    case.settle(9);
    assert_eq!(
        (case.state().basis, case.state().step),
        (Basis::Withdrawn, CaseStep::Archived)
    );
    assert_eq!(case.kinds().last(), Some(&(CaseEventKind::BasisCorrected, false)));
    case.warning(DeltaKind::Raised, Level::Orange);
    case.settle(10);
    assert_eq!((case.state().round, case.state().step), (2, CaseStep::Issued));
}

#[test]
fn what_no_action_can_reach_is_settled_and_repeats_are_nothing() {
    let mut case = Driven::new();
    case.issue();
    case.act(2, Verb::Acknowledge, "town");
    case.settle(2);
    let day = 24 * 60;
    case.settle(2 * day);
    let file = case.state.files.last().unwrap();
    let saved = riskflow_model::binary::encode(file).unwrap();
    case.act(2 * day, Verb::Dispatch, "town");
    case.settle(2 * day);
    let (shown, events) = (case.state().clone(), case.events.len());
    assert_eq!(shown.step, CaseStep::Dispatched);
    // The same identifier once more.
    case.offset -= 1;
    case.act(2 * day, Verb::Dispatch, "town");
    case.settle(2 * day + 1);
    assert_eq!((case.state(), case.events.len()), (&shown, events));
    let again: File = riskflow_model::binary::decode(&saved).unwrap();
    assert_eq!(riskflow_model::binary::encode(&again).unwrap(), saved);
}

#[test]
fn an_archived_case_is_forgotten_after_its_time() {
    let mut case = Driven::new();
    case.issue();
    case.warning(DeltaKind::Withdrawn, Level::None);
    case.settle(1);
    case.act(1, Verb::Verify, "town");
    case.act(2, Verb::Archive, "town");
    case.settle(2);
    let retain = 30 * 24 * 60;
    case.settle(1 + retain);
    assert!(case.shown.is_some());
    case.settle(2 + retain);
    assert!(case.shown.is_none() && case.alarms.is_empty());
}

fn task(plan: &str, task: &str) -> CaseRow {
    limited(plan, task, Some(5))
}

/// A task with so many minutes.
fn limited(plan: &str, task: &str, minutes: Option<i64>) -> CaseRow {
    CaseRow::Task(Arc::new(TaskMatch {
        plan: plan.into(),
        task: task.into(),
        order: 0,
        name: "".into(),
        role: "town".into(),
        limit: minutes.map(|minutes| Duration(minutes * MINUTE)),
    }))
}

#[test]
fn a_limit_that_goes_and_comes_again_is_missed_once() {
    let mut case = Driven::new();
    case.issue();
    let limits = [
        (0, Some(5)),
        (6, None),
        (20, Some(8)),
        (30, Some(2)),
        (40, None),
        (50, Some(60)),
    ];
    for (place, (minute, limit)) in limits.into_iter().enumerate() {
        if place > 0 {
            case.row(limited("plan", "a", limits[place - 1].1), -1);
        }
        case.row(limited("plan", "a", limit), 1);
        case.settle(minute);
        case.settle(minute + 5);
    }
    case.settle(120);
    let missed = case.events.iter().filter_map(|(event, _)| event.escalation.as_ref());
    let missed: Vec<i64> = missed
        .filter(|escalation| escalation.task.as_deref() == Some("plan/a"))
        .map(|escalation| escalation.at.0 / MINUTE)
        .collect();
    assert_eq!(missed, [5]);
}

#[test]
fn tasks_of_plans_whose_names_run_together_are_told_apart() {
    let mut case = Driven::new();
    for (plan, name) in [("a/b", "c"), ("a", "b/c"), ("x", "a/b~1c")] {
        case.row(task(plan, name), 1);
    }
    case.issue();
    for (minute, verb) in [(1, Verb::Acknowledge), (2, Verb::Dispatch), (3, Verb::Progress)] {
        case.act(minute, verb, "town");
    }
    case.settle(6);
    let missed = |case: &Driven| -> Vec<String> {
        let tasks = case.alarms.iter().filter_map(|alarm| alarm.mark.get(4));
        tasks.filter(|task| !task.is_empty()).map(ToString::to_string).collect()
    };
    assert_eq!(
        missed(&case),
        ["a/b~1c", "a~1b/c", "x/a~1b~01c"],
        "three alarms, for three tasks"
    );
    let reported = |case: &Driven| -> Vec<String> {
        let done = case.state().tasks.iter().filter(|task| task.reported.is_some());
        done.map(|task| task.plan.to_string()).collect()
    };
    // A full name means that task, also where another is called so for short.
    case.act_about(6, "w", (Verb::Report, "town"), "a/b~1c");
    case.settle(7);
    assert_eq!(reported(&case), ["a"]);
    case.act_about(7, "w", (Verb::Report, "town"), "c");
    case.settle(8);
    assert_eq!(reported(&case), ["a", "a/b"]);
    case.act_about(8, "w", (Verb::Report, "town"), "a/b/c");
    case.settle(9);
    assert_eq!(case.events.last().unwrap().0.refusal, Some(Refusal::UnknownTask));
}

#[test]
fn a_row_holds_the_newest_and_the_open_ones_and_counts_all() {
    let mut case = Driven::new();
    case.issue();
    for number in 0..150 {
        case.row(duty(&format!("{number:03}"), 4), 1);
        case.row(task("plan", &format!("{number:03}")), 1);
    }
    for (minute, verb, role) in [
        (1, Verb::Acknowledge, "000"),
        (2, Verb::Dispatch, ""),
        (3, Verb::Progress, ""),
    ] {
        case.act(minute, verb, role);
        case.settle(minute);
    }
    case.act_about(3, "w", (Verb::Report, ""), "plan/001");
    for number in 0..40 {
        case.act_about(3, "w", (Verb::Comment, ""), &format!("note {number}"));
        case.act_about(3, "w", (Verb::Escalate, "grid"), "more");
        case.settle(3);
    }
    // One that was made before all of them, and is learnt last.
    case.act_about(2, "w", (Verb::Comment, ""), "the first");
    case.settle(4);
    let row = case.state();
    let texts: Vec<&str> = row.people.notes.iter().map(|note| &*note.text).collect();
    assert_eq!(
        texts,
        (30..40).map(|number| format!("note {number}")).collect::<Vec<_>>()
    );
    assert_eq!(
        (row.counts.notes, row.counts.evidence, row.counts.escalations),
        (41, 0, 40)
    );
    assert_eq!(
        (row.escalations.len(), row.counts.obligations, row.counts.tasks),
        (10, 153, 150)
    );
    assert_eq!((row.obligations.len(), row.tasks.len()), (100, 100));
    assert!(
        row.obligations
            .iter()
            .all(|one| one.acknowledged.is_none() && &*one.role != "000")
    );
    assert!(
        row.tasks
            .iter()
            .all(|one| one.reported.is_none() && &*one.task != "001")
    );
    // Response times are of all.
    let standing = case
        .state
        .files
        .last()
        .and_then(|file| file.standing())
        .expect("a case has one");
    assert_eq!((standing.obligations.len(), standing.escalations), (153, 40));
    assert_eq!(standing.missed.iter().map(|(_, count)| count).sum::<u32>(), 40);
}

/// From when on people are reminded, in minutes; `None` where they are not.
fn reminded_from(case: &Driven) -> Option<i64> {
    let mut of = case.alarms.iter().filter_map(|alarm| match &alarm.to {
        Addressee::Alarmed(reminding) => Some(*reminding),
        Addressee::Role { .. } | Addressee::Unit(_) | Addressee::Told => None,
    });
    let reminding = of.next()?;
    assert!(of.next().is_none(), "one count a case");
    assert_eq!(reminding.every, Duration(10 * MINUTE));
    Some(reminding.from.0 / MINUTE)
}

#[test]
fn reminders_count_from_whatever_people_were_told_last() {
    let mut case = Driven::new();
    case.fold.settings.remind = [[Duration(10 * MINUTE); 4]; 4];
    case.issue();
    assert_eq!(reminded_from(&case), Some(0));
    case.act(1, Verb::Call, "grid");
    case.warning(DeltaKind::Eased, Level::Yellow);
    case.settle(2);
    assert_eq!(reminded_from(&case), Some(0), "an ease arms nobody");
    case.warning(DeltaKind::Escalated, Level::Red);
    case.settle(3);
    assert_eq!(reminded_from(&case), Some(3));
    case.state.rows.subject = None;
    case.end(4 * 60, "w");
    assert_eq!(reminded_from(&case), None, "what is over is nothing to be reminded of");
    case.begin(5 * 60, "v", Level::Orange);
    assert_eq!(reminded_from(&case), Some(5));
    case.act(6, Verb::Reject, "grid");
    case.settle(6);
    assert_eq!(reminded_from(&case), None);
    case.warning_of("v", DeltaKind::Escalated, Level::Red);
    case.settle(7);
    assert_eq!(reminded_from(&case), None, "no higher than before");
}

#[test]
fn an_acknowledgement_ends_reminders_and_a_suppression_begins_them_anew() {
    let mut case = Driven::new();
    case.fold.settings.remind = [[Duration(10 * MINUTE); 4]; 4];
    case.issue();
    let suppress = |case: &mut Driven, minute: i64, until: i64| {
        case.offset += 1;
        let json = serde_json::json!({"id": format!("suppress-{}", case.offset), "warning": "w", "action": "suppress", "actor": "a",
            "time": Millis(minute * MINUTE), "until": Millis(until * MINUTE)});
        let mut record = CaseRecord::Action(Acted {
            case: Key::of("w"),
            origin: Origin {
                offset: case.offset,
                ..Origin::default()
            },
            action: Box::new(serde_json::from_value(json).unwrap()),
        });
        case.fold.record(Millis(0), Key::of("w"), &mut case.state, &mut record);
        case.settle(minute);
    };
    suppress(&mut case, 4, 8);
    assert_eq!(reminded_from(&case), None);
    case.settle(8);
    assert_eq!(reminded_from(&case), Some(8));
    suppress(&mut case, 9, 30);
    suppress(&mut case, 11, 11);
    assert_eq!(reminded_from(&case), Some(11), "cut short");
    suppress(&mut case, 12, 12);
    assert_eq!(reminded_from(&case), Some(11), "there was none to be ended");
    case.act(13, Verb::Acknowledge, "town");
    case.settle(13);
    assert_eq!(
        reminded_from(&case),
        None,
        "one is enough, whoever else is to acknowledge"
    );
    assert_eq!(case.pending(), ["county", "grid"]);
}
