//! What is switched off builds no operator, needs no topic and leaves nothing in the output; what is switched on again is back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use riskflow::runtime::graph::{Inputs, Meters, Semantics, graph};
use riskflow_config::Capabilities;
use riskflow_model::capability::{CASES, GAUGES, PERMITS, REPORTS};
use riskflow_model::output::{ReportTotal, Response};
use riskflow_model::topic::{Shape, Topic};
use riskflow_model::{Domain, DomainScope, OutputRecord as _, Text};
use riskflow_operators::engine::Keeper;
use riskflow_tests::history::semantics;
use serde_json::{Value, json};
use timely::dataflow::InputHandleVec;
use timely::dataflow::operators::vec::Input;
use timely::logging::{TimelyEvent, TimelyEventBuilder};

use crate::chaos::gauges;
use crate::chaos::place::{LogPlace, Place};
use crate::chaos::{Running, now, storm, verdict};

/// How many operators the whole graph has with these capabilities, and which folds.
pub fn built(capabilities: Capabilities) -> (usize, BTreeSet<&'static str>) {
    let semantics = Semantics {
        capabilities,
        ..semantics()
    };
    let count = Arc::new(Mutex::new(0));
    let (counted, meters) = (Arc::clone(&count), Meters::default());
    let folds = meters.clone();
    timely::execute_directly(move |worker| {
        {
            let mut register = worker.log_register().unwrap();
            register.insert::<TimelyEventBuilder, _>("timely", move |_, events| {
                let events = events.iter().flat_map(|events| events.iter());
                let operators = events.filter(|(_, event)| matches!(event, TimelyEvent::Operates(_)));
                *counted.lock().unwrap() += operators.count();
            });
        }
        worker.dataflow::<u64, _, _>(|scope| {
            let inputs = Inputs {
                base: scope.input_from(&mut InputHandleVec::new()),
                incoming: scope.input_from(&mut InputHandleVec::new()),
                actions: scope.input_from(&mut InputHandleVec::new()),
                events: scope.input_from(&mut InputHandleVec::new()),
                ticks: scope.input_from(&mut InputHandleVec::new()),
            };
            graph(inputs, &semantics, &meters, &mut |_| Keeper::none());
        });
        let register = worker.log_register();
        register.unwrap().flush();
    });
    let count = *count.lock().unwrap();
    (count, folds.folds().into_iter().map(|(name, _)| name).collect())
}

#[test]
fn what_is_off_builds_no_operator() {
    let (all, folds) = built(Capabilities::default());
    let mut without = BTreeMap::new();
    for (name, gone) in [
        (CASES, &["case", "joining", "notice", "roster"][..]),
        (PERMITS, &["permit"]),
        (REPORTS, &[]),
        (GAUGES, &["event", "gauge"]),
    ] {
        let (operators, left) = built(Capabilities::without([name]));
        assert!(operators < all, "{name}: {operators} of {all}");
        let gone: BTreeSet<&str> = gone.iter().copied().collect();
        assert_eq!(
            folds.difference(&left).copied().collect::<BTreeSet<_>>(),
            gone,
            "{name}"
        );
        without.insert(name, all - operators);
    }
    // Each costs what is its own: together they are as many as one by one, and the assets that two of them look up.
    let (core, left) = built(Capabilities::without([CASES, PERMITS, REPORTS, GAUGES]));
    let (neither, _) = built(Capabilities::without([PERMITS, GAUGES]));
    let shared = (all - neither) - (without[PERMITS] + without[GAUGES]);
    assert!((1..=3).contains(&shared), "{shared}");
    assert_eq!(all - core, shared + without.values().sum::<usize>(), "{without:?}");
    assert_eq!(left.len() + 7, folds.len());
}

#[test]
fn every_topic_of_a_capability_is_needed_by_it_alone() {
    for name in [CASES, PERMITS, REPORTS, GAUGES] {
        let on = Capabilities::default();
        let off = Capabilities::without([name]);
        let gone: Vec<Topic> = Topic::all()
            .filter(|topic| on.need(*topic) && !off.need(*topic))
            .collect();
        assert!(!gone.is_empty() && gone.iter().all(|topic| topic.capability() == Some(name)));
        assert!(!off.inputs().chain(off.outputs()).any(|topic| gone.contains(&topic)));
    }
}

fn rows(place: &dyn Place, topic: Topic) -> usize {
    let key = |row: &Value| row.to_string();
    verdict::table(place, topic, key).len()
}

/// Waits for what a running job makes of a table. The job is another process, and a log tells nobody that it grew: it is asked
/// again, and the sleep is only between two looks.
fn await_rows(place: &dyn Place, topic: Topic, fits: impl Fn(usize) -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !fits(rows(place, topic)) {
        assert!(Instant::now() < until, "{topic} has {} rows", rows(place, topic));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reports, one of them corrected, and an incident of a domain that the storm has nothing of.
fn put_what_stands(place: &dyn Place) {
    let report = |id: &str, version: u32, houses: u32| {
        let report = json!({
            "id": id, "version": version, "module": "town", "region": "330902001", "kind": "damage",
            "quantities": { "houses": houses }, "time": now(),
        });
        (id.to_owned(), Some(report.to_string()))
    };
    let reports = [report("one", 1, 3), report("two", 1, 4), report("two", 2, 5)];
    place.put(Topic::IN_REPORT, &reports);
    let incident = json!({
        "id": "outage", "version": 1, "hazard": "outage", "domain": "lifeline", "region": "330902001", "level": "blue",
        "since": now(),
    });
    place.put(Topic::IN_INCIDENT, &[("outage".to_owned(), Some(incident.to_string()))]);
}

/// What comes of these in the tables. Which deadlines were missed is for the clock to say, and not looked at. Cases of the storm are not
/// looked at either: which there were depends on how its epochs were cut.
fn what_stands(place: &dyn Place) -> (BTreeMap<Text, ReportTotal>, BTreeMap<Text, Response>) {
    let totals = verdict::table(place, Topic::REPORT_TOTAL, |row: &ReportTotal| row.key());
    let mut responses = verdict::table(place, Topic::RESPONSE, |row: &Response| row.key());
    responses.retain(|_, row| row.domain == Some(DomainScope::One(Domain::Lifeline)));
    responses.values_mut().for_each(|row| row.escalations = 0);
    (totals, responses)
}

#[test]
fn what_is_switched_off_leaves_nothing_in_the_output_and_comes_back() {
    let mut place = LogPlace::new();
    let checkpoints = tempfile::tempdir().unwrap();
    storm(&mut place, checkpoints.path(), 2, 31, None);
    put_what_stands(&place);
    gauges::delete_rules(&place);
    let mut job = Running::start(&place, checkpoints.path(), 2, "");
    await_rows(&place, Topic::CASE_STATE, |count| count > 0);
    await_rows(&place, Topic::RISK_ASSET, |count| count > 0);
    await_rows(&place, Topic::GAUGE, |count| count > 0);
    job.await_taken(&place);
    job.stop();
    let stood = what_stands(&place);
    // The town, the county, the city and the province.
    let houses = stood.0.values().map(|row| (row.total.0, row.reports));
    assert_eq!(houses.collect::<Vec<_>>(), [(8.0, 2); 4]);
    assert_eq!(stood.1.values().map(|row| row.cases).collect::<Vec<_>>(), [1; 4]);
    let told = place.all(Topic::NOTICE).len();
    let off = [
        "capabilities.cases=false",
        "capabilities.permits=false",
        "capabilities.reports=false",
        "capabilities.gauges=false",
    ];
    let job = Running::start_with(&place, checkpoints.path(), 1, &off);
    let gone = |topic: &Topic| topic.capability().is_some() && topic.shape() == Shape::OutputTable;
    for topic in Topic::outputs().filter(gone) {
        await_rows(&place, topic, |count| count == 0);
    }
    assert!(rows(&place, Topic::RISK_ASSET) > 0 && rows(&place, Topic::RISK_REGION) > 0);
    job.stop();
    assert_eq!(place.all(Topic::NOTICE).len(), told, "nobody is told of what is off");
    let job = Running::start(&place, checkpoints.path(), 1, "");
    await_rows(&place, Topic::CASE_STATE, |count| count > 0);
    await_rows(&place, Topic::REPORT_TOTAL, |count| count == stood.0.len());
    await_rows(&place, Topic::GAUGE, |count| count > 0);
    job.stop();
    // As of a job that always had them: the oracle is not asked for these tables.
    assert_eq!(what_stands(&place), stood);
    verdict::judge_but_for_cases(&place);
}

/// An empty answer would look as if there were nothing.
#[test]
fn whoever_asks_for_what_is_off_is_told_so() {
    let off = ["--set", "capabilities.cases=false"];
    let act = ["act", "w", "acknowledge", "--actor", "a", "--role", "duty"];
    for command in [&act[..], &["tail", "cases"], &["tail", "out.notice"]] {
        let mut riskflow = std::process::Command::new(crate::kafka::riskflow());
        let output = riskflow.args(command).args(off).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{command:?}: {said}");
        assert!(said.contains("`capabilities.cases = false`"), "{command:?}: {said}");
    }
    let http = crate::actions::Desk::taking(&Capabilities::without([CASES]));
    for path in ["/api/v1/cases", "/api/v1/responses", "/api/v1/cases/c"] {
        let got = crate::actions::curl(&http.url(path), &[]).unwrap();
        let said = got.json()["error"].to_string();
        assert!(
            got.status == 404 && said.contains("capabilities.cases"),
            "{path}: {said}"
        );
    }
}
