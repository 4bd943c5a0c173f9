use riskflow_config::WrittenSettings;
use riskflow_connectors::RawRecord;
use riskflow_operators::warning::Truth;
use serde_json::{Value, json};

use super::super::gathered::Reading;
use super::super::why_not;
use super::*;

/// 2025-01-01T00:00:00Z.
const START: i64 = 1_735_689_600_000;

fn settings(clock: &str) -> Settings {
    let text = format!("[input]\nclock = \"{clock}\"\n[city]\ntimezone = \"Asia/Shanghai\"\n");
    WrittenSettings::load(&text, "a test", &[]).unwrap().1
}

fn minutes(minutes: i64) -> Millis {
    Millis(START + minutes * 60_000)
}

/// Records as a source offers them: topic, payload, minute of arrival. A payload of null deletes the row that is the key.
fn history() -> Vec<(Topic, &'static str, Value, i64)> {
    let rule = |id: &str, property: &str| {
        json!({
            "id": id, "version": 1, "select": {"observed_property": property}, "pane": "1m",
            "levels": {"blue": {"when": {"feature": "last", "window": "10m", "op": ">=", "threshold": 50}, "hold": "2m"}},
        })
    };
    let asset = json!({"id": "tank", "name": "Tank", "category": "tank", "domain": "work_safety", "region": "330902001001", "inherent_level": 4});
    let other =
        json!({"id": "dam", "category": "dam", "domain": "work_safety", "region": "330902001001", "inherent_level": 4});
    let datastream = |id: &str, asset: &str| json!({"id": id, "asset": asset, "observed_property": "gas"});
    let reading = |datastream: &str, minute: i64, result: i64| json!({"datastream": datastream, "phenomenon_time": minutes(minute), "result": result});
    let observed = Topic::IN_OBSERVATION;
    vec![
        (Topic::BASE_ASSET, "tank", asset, -2),
        (Topic::BASE_ASSET, "dam", other, -2),
        (Topic::BASE_DATASTREAM, "gas", datastream("gas", "tank"), -2),
        (Topic::BASE_DATASTREAM, "elsewhere", datastream("elsewhere", "dam"), -2),
        (Topic::IN_RULE, "gas", rule("gas", "gas"), -1),
        (Topic::IN_RULE, "wind", rule("wind", "wind"), -1),
        (observed, "gas", reading("gas", 0, 60), 0),
        (observed, "elsewhere", reading("elsewhere", 0, 99), 0),
        (observed, "gas", reading("gas", 3, 61), 3),
        // In the place of the first, five minutes late.
        (observed, "gas", reading("gas", 0, 10), 5),
        (Topic::IN_RULE, "gas", Value::Null, 9),
    ]
}

fn ask(clock: &str, wanted: &Wanted<'_>, all_rules: bool) -> Result<Answer> {
    ask_of(history(), clock, wanted, all_rules)
}

fn ask_of(
    history: Vec<(Topic, &'static str, Value, i64)>,
    clock: &str,
    wanted: &Wanted<'_>,
    all_rules: bool,
) -> Result<Answer> {
    let settings = settings(clock);
    let mut reading = Reading::new(&settings, wanted);
    let mut offsets: BTreeMap<Topic, u64> = BTreeMap::new();
    for (topic, key, payload, arrival) in history {
        let offset = offsets.entry(topic).or_default();
        let text = (!payload.is_null()).then(|| payload.to_string());
        let record = RawRecord {
            topic,
            partition: 0,
            offset: *offset,
            arrival: Some(minutes(arrival)),
            exercise: false,
            key: Some(key.as_bytes()),
            payload: text.as_deref().map(str::as_bytes),
        };
        *offset += 1;
        if topic.is_input_table() {
            reading.row(&record);
        } else {
            reading.log(&record);
        }
    }
    reading.is_there(&settings)?;
    answer(&settings, wanted, reading.in_order(), all_rules)
}

fn wanted<'a>(asset: &'a Id<Asset>, at: i64, by: i64, rule: Option<&'a str>) -> Wanted<'a> {
    Wanted {
        asset,
        at: minutes(at),
        by: minutes(by),
        rule,
        patience: Patience::ENDLESS,
    }
}

fn tank() -> Id<Asset> {
    "tank".into()
}

#[test]
fn what_was_known_then_is_what_had_arrived_then() {
    let tank = tank();
    let before = ask("arrival", &wanted(&tank, 4, 4, None), false).unwrap();
    assert_eq!(before.rules.len(), 1, "{before:?}");
    assert_eq!(
        (before.rules[0].level, before.rules[0].since),
        (Level::Blue, Some(minutes(2)))
    );
    assert_eq!(before.warnings.len(), 1);
    assert_eq!(
        (before.warnings[0].since, before.warnings[0].level),
        (minutes(2), Level::Blue)
    );
    let after = ask("arrival", &wanted(&tank, 4, 6, None), false).unwrap();
    assert_eq!((after.rules[0].level, after.warnings.len()), (Level::None, 0));
    let blue = &after.rules[0].levels[0];
    assert_eq!(
        (blue.when.truth, blue.held_since, blue.turns),
        (Truth::Yes, Some(minutes(3)), Some(minutes(5)))
    );
    // What arrives later changes nothing of what was known then, and what was observed later is left out.
    assert!(after.notes.is_empty(), "{:?}", after.notes);
}

#[test]
fn by_their_own_times_records_come_when_they_were_made_and_rows_come_first() {
    let tank = tank();
    let answer = ask("event_time", &wanted(&tank, 4, 4, None), false).unwrap();
    // The last record is the deletion of the rule: by their own times all rows come first.
    assert!(answer.rules.is_empty() && answer.datastreams.len() == 1, "{answer:?}");
}

#[test]
fn a_rule_that_went_later_is_told_of() {
    let tank = tank();
    let answer = ask("arrival", &wanted(&tank, 4, 10, None), false).unwrap();
    assert!(answer.rules.is_empty(), "{answer:?}");
    assert!(
        answer.notes[0].contains("`--as-of 2025-01-01T00:04:00.000Z`"),
        "{:?}",
        answer.notes
    );
}

#[test]
fn rules_that_watch_nothing_of_it_say_why() {
    let tank = tank();
    let of = |answer: Answer| -> Vec<String> {
        let names = answer
            .not_selected
            .iter()
            .map(|one| format!("{}: {}", one.rule, one.why));
        names.collect()
    };
    let expected = "wind: it watches the observed property `wind`, and of the asset `gas` is observed";
    assert_eq!(
        of(ask("arrival", &wanted(&tank, 4, 4, None), true).unwrap()),
        [expected]
    );
    assert_eq!(
        of(ask("arrival", &wanted(&tank, 4, 4, Some("wind")), false).unwrap()),
        [expected]
    );
    assert_eq!(of(ask("arrival", &wanted(&tank, 4, 4, None), false).unwrap()), [""; 0]);
}

#[test]
fn what_is_not_there_is_said_with_near_names() {
    let error = |asset: &str, by: i64, rule: Option<&str>| {
        let asset: Id<Asset> = Id::new(asset);
        ask("arrival", &wanted(&asset, by, by, rule), false)
            .unwrap_err()
            .to_string()
    };
    let expected = "there is no asset `tnak` in base.asset of the embedded log in data/log by 2025-01-01T00:04:00.000Z; there is `tank`; `riskflow tail base.asset` shows all";
    let said = error("tnak", 4, None);
    assert!(said.starts_with(expected), "{said}");
    assert!(
        error("tank", -3, None).starts_with("there is no asset `tank`"),
        "it came later"
    );
    let rule = error("tank", 4, Some("gaz"));
    assert!(
        rule.starts_with("there is no rule `gaz` in in.rule of") && rule.contains("; there is `gas`; "),
        "{rule}"
    );
}

#[test]
fn lines_say_what_each_level_waits_for() {
    let tank = tank();
    let lines = |at, by| {
        let answer = ask("arrival", &wanted(&tank, at, by, None), true).unwrap();
        let lines = why_not::for_people(&answer, &super::super::super::tail::people::Names::default());
        let plain = lines.iter().map(|line| anstream::adapter::strip_str(line).to_string());
        plain.collect::<Vec<String>>()
    };
    assert_eq!(
        lines(4, 6),
        [
            "Tank (tank), tank, 330902001001, inherent level 4",
            "at 2025-01-01T00:04:00.000Z, by what had arrived at 2025-01-01T00:06:00.000Z:",
            "",
            "gas, version 1, on gas: none",
            "  blue    off: holds since 2025-01-01T00:03:00.000Z, and must for 1m more (hold 2m)",
            "          last 10m >= 50: 61, holds  observed: 10 at 2025-01-01T00:00:00.000Z to 61 at 2025-01-01T00:03:00.000Z",
            "",
            "rules that do not watch it:",
            "  wind: it watches the observed property `wind`, and of the asset `gas` is observed",
        ]
    );
    let on = lines(4, 4);
    assert_eq!(on[3], "gas, version 1, on gas: blue since 2025-01-01T00:02:00.000Z");
    assert_eq!(
        on[4],
        "  its warning at the asset: blue, since 2025-01-01T00:02:00.000Z"
    );
    assert_eq!(on[5], "  blue    on since 2025-01-01T00:02:00.000Z");
}

#[test]
fn nothing_is_known_of_what_is_yet_to_come() {
    let (live, history) = (settings("live"), settings("arrival"));
    let now = minutes(10);
    assert!(by(&live, now, (minutes(11), None)).is_err());
    assert_eq!(by(&live, now, (minutes(9), None)).unwrap(), now);
    assert_eq!(
        by(&history, now, (minutes(11), None)).unwrap(),
        minutes(11) + history.time.horizon
    );
    assert_eq!(by(&live, now, (minutes(5), Some(minutes(6)))).unwrap(), minutes(6));
    assert!(by(&live, now, (minutes(5), Some(minutes(4)))).is_err());
}

/// What came later is no reason for what was never there.
#[test]
fn what_came_later_is_told_where_it_may_be_why_and_in_the_words_of_who_asks() {
    let rule = |id: &str| {
        json!({
            "id": id, "version": 1, "select": {"observed_property": "gas"},
            "levels": {"blue": {"when": {"feature": "last", "window": "10m", "op": ">=", "threshold": 50}}},
        })
    };
    let asset = json!({"id": "late", "category": "tank", "domain": "work_safety", "region": "330902001001", "inherent_level": 4});
    let mut more = history();
    more.extend([
        (Topic::IN_RULE, "strict/gas", rule("strict/gas"), 20),
        (Topic::IN_RULE, "new", rule("new"), 21),
        (Topic::BASE_ASSET, "late", asset, 22),
    ]);
    let said = |asset: &str, rule: Option<&str>, asks: Asks| {
        let asset: Id<Asset> = Id::new(asset);
        let patience = Patience {
            asks,
            ..Patience::ENDLESS
        };
        let wanted = Wanted {
            patience,
            ..wanted(&asset, 4, 4, rule)
        };
        ask_of(more.clone(), "arrival", &wanted, false).unwrap_err().to_string()
    };
    for (asset, rule) in [("nosuch", None), ("tank", Some("nosuch"))] {
        for asks in [Asks::Terminal, Asks::Http] {
            let said = said(asset, rule, asks);
            assert!(!said.contains("later"), "{said}");
            let of_terminals = said.contains("riskflow ") || said.contains("--");
            assert_eq!(of_terminals, asks == Asks::Terminal, "{said}");
        }
    }
    for (asset, rule, minute) in [("late", None, minutes(22)), ("tank", Some("new"), minutes(21))] {
        let later = format!("it came later, from {minute} on: ");
        let told = said(asset, rule, Asks::Terminal);
        assert!(
            told.contains(&later) && told.contains("`--set input.clock=event_time`"),
            "{told}"
        );
        let told = said(asset, rule, Asks::Http);
        assert!(
            told.contains(&later) && told.contains("`as_of`") && !told.contains("--"),
            "{told}"
        );
    }
}

/// A rule of a candidate is not why nothing watches an asset; one of the live set may be, and so may a row of the asset.
#[test]
fn what_would_say_more_of_an_asset_is_of_it_or_of_the_live_set() {
    let settings = settings("arrival");
    let tank = tank();
    let wanted = wanted(&tank, 4, 4, None);
    let rule = |id: &str| {
        let when = json!({"feature": "last", "window": "10m", "op": ">=", "threshold": 50});
        json!({"id": id, "version": 1, "select": {"observed_property": "gas"}, "levels": {"blue": {"when": when}}})
    };
    let datastream = |asset: &str| json!({"id": "more", "asset": asset, "observed_property": "gas"});
    let live = json!({"id": "live", "set": "calm"});
    for (topic, row, tells) in [
        (Topic::IN_RULE, rule("strict/gas"), false),
        (Topic::IN_RULE, rule("gas"), true),
        (Topic::IN_RULE, rule("calm/gas"), true),
        (Topic::BASE_DATASTREAM, datastream("dam"), false),
        (Topic::BASE_DATASTREAM, datastream("tank"), true),
    ] {
        let mut reading = Reading::new(&settings, &wanted);
        for (offset, (topic, row, arrival)) in [(Topic::IN_RULESET, &live, 0), (topic, &row, 9)]
            .into_iter()
            .enumerate()
        {
            let (key, text) = (row["id"].as_str().unwrap(), row.to_string());
            reading.row(&RawRecord {
                topic,
                partition: 0,
                offset: offset as u64,
                arrival: Some(minutes(arrival)),
                exercise: false,
                key: Some(key.as_bytes()),
                payload: Some(text.as_bytes()),
            });
        }
        assert_eq!(reading.more_later().is_some(), tells, "{row}");
    }
}
