//! Packs of rules that come while a job runs.

use riskflow_model::topic::Topic;
use serde_json::{Value, json};

use super::jobs::{append, log, on_log, texts};
use super::riskflow;
use super::rule_sets::records;
use crate::kafka::now;

/// R25: another domain grows beside what there is. What was observed before counts, and of the warnings of other rules nothing is told.
#[test]
fn a_pack_that_is_loaded_into_a_running_job_changes_no_other_warning() {
    let folder = tempfile::tempdir().unwrap();
    let sets = log(folder.path());
    let put = |topic: Topic, key: &str, row: Value| append(folder.path(), topic, key, &row.to_string());
    put(
        Topic::BASE_ASSET,
        "square",
        json!({ "id": "square", "category": "square", "domain": "public_safety", "region": "330902001002", "inherent_level": 2 }),
    );
    put(
        Topic::BASE_DATASTREAM,
        "crowd",
        json!({ "id": "crowd", "asset": "square", "observed_property": "crowd_density", "unit": "/m2" }),
    );
    // The pack wants a minute above the threshold.
    let time = now();
    for (time, result) in [(time - 300_000, 5.2), (time, 5.4)] {
        let row = json!({ "datastream": "crowd", "phenomenon_time": time, "result": result });
        put(Topic::IN_OBSERVATION, "crowd", row);
    }
    let job = on_log(&sets);
    let warning = job.warning();
    let topics = [Topic::WARNING_DELTA, Topic::WARNING_STATE];
    let told = || topics.map(|topic| records(&sets, topic));
    let before = told();
    assert_eq!(before.each_ref().map(Vec::len), [1, 1]);
    let loaded = riskflow(&["rules", "load", "industry"], &texts(&sets));
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    let crowd = job.until("/api/v1/warnings", |body| {
        let page: Value = serde_json::from_str(body).ok()?;
        let mut rows = page["items"].as_array()?.iter();
        rows.find(|row| row["rule"] == "crowd_density").cloned()
    });
    assert_eq!(
        (&crowd["asset"], &crowd["level"]),
        (&json!("square"), &json!("orange")),
        "{crowd}"
    );
    for ((topic, before), after) in topics.into_iter().zip(before).zip(told()) {
        let (of_others, of_pack): (Vec<_>, Vec<_>) =
            after.into_iter().partition(|(_, row)| row["rule"] != "crowd_density");
        assert_eq!(of_others, before, "{topic}");
        assert_eq!((before[0].0.as_str(), of_pack.len()), (warning.as_str(), 1), "{topic}");
    }
    let raised = records(&sets, Topic::WARNING_DELTA);
    let (_, raised) = raised.iter().find(|(_, row)| row["rule"] == "crowd_density").unwrap();
    assert_eq!(
        (&raised["kind"], &raised["cause"]),
        (&json!("raised"), &json!("rule_change")),
        "{raised}"
    );
}
