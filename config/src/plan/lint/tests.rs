use serde_json::{Value, json};

use super::*;

const HORIZON: Duration = Duration(600_000);

fn rule(levels: &Value, pane: &str) -> Rule {
    let json = json!({"id":"r","version":1,"select":{},"pane":pane,"levels":levels});
    Rule::from_json(json.to_string().as_bytes()).unwrap()
}

fn last(threshold: f64) -> Value {
    json!({"feature":"last","window":"10m","op":">=","threshold":threshold})
}

fn paths(levels: &Value) -> Vec<String> {
    let warnings = rule(levels, "10s").lint(&[], HORIZON);
    warnings.into_iter().map(|warning| warning.path).collect()
}

#[test]
fn windows_are_long_beside_pane_and_interval() {
    let of = |feature: &str, window: &str, pane: &str, intervals: &[i64]| {
        let when = json!({"feature":feature,"window":window,"op":">=","threshold":3});
        let watched: Vec<Reports> = intervals
            .iter()
            .map(|minutes| Reports {
                datastream: format!("d{minutes}").into(),
                interval: Duration(minutes * 60_000),
            })
            .collect();
        let warnings = rule(&json!({"blue":{"when":when}}), pane).lint(&watched, HORIZON);
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let path = "`levels.blue.when.window`";
    assert_eq!(of("last", "10m", "1m", &[10]), [""; 0]);
    assert_eq!(
        of("last", "10m", "2m", &[]),
        [format!(
            "{path} is `10m`, less than ten times the pane, `2m`: observations leave a window only at multiples of the pane, so it \
             holds those of up to `12m`; give a `pane` of at most `1m`, or a longer window"
        )]
    );
    assert!(of("last", "1m", "1m", &[])[0].contains("`1m`, as long as the pane, `1m`:"));
    assert_eq!(
        of("mean", "10m", "1m", &[5, 15, 30]),
        [format!(
            "{path} is `10m`, and `d30` reports every `30m`: between two reports of 2 of its datastreams the window is empty, and \
             `mean 10m` is unknown, and levels stay as they are; give a window longer than `30m`"
        )]
    );
    assert!(of("count", "10m", "1m", &[15])[0].contains("`count 10m` is 0;"));
    assert_eq!(of("sum", "hour", "10m", &[15]), [""; 0], "of the calendar");
    assert_eq!(of("sum", "hour", "10m", &[90]).len(), 1);
}

#[test]
fn until_that_never_ends_a_level_is_told() {
    let of = |until: Value| paths(&json!({ "red": { "when": last(5.0), "until": until } }));
    let compare = |op: &str, threshold: f64| json!({"feature":"last","window":"10m","op":op,"threshold":threshold});
    let told = ["levels.red.until"];
    assert_eq!(of(compare(">=", 5.0)), told);
    assert_eq!(of(compare(">", 7.0)), told);
    assert_eq!(
        of(json!({ "all": [compare(">", 7.0), {"feature":"count","window":"10m","op":">=","threshold":1}] })),
        told
    );
    assert_eq!(of(compare(">=", 4.0)), [""; 0]);
    assert_eq!(of(compare("<", 5.0)), [""; 0]);
    assert_eq!(of(json!({ "any": [compare(">=", 6.0), compare("<", 4.0)] })), [""; 0]);
}

#[test]
fn a_level_that_nothing_measured_turns_off_is_told() {
    let ahead = json!({"feature":"forecast_max","window":"1h","op":">=","threshold":5});
    let below = json!({"feature":"last","window":"5m","op":"<","threshold":4});
    let of = |level: Value| paths(&json!({ "red": level }));
    let told = ["levels.red.until"];
    assert_eq!(of(json!({ "when": ahead })), told);
    assert_eq!(of(json!({ "when": { "any": [last(5.0), ahead] } })), told);
    assert_eq!(of(json!({ "when": { "all": [last(5.0), ahead] } })), [""; 0]);
    assert_eq!(
        of(json!({ "when": { "any": [last(5.0), ahead] }, "until": below })),
        [""; 0]
    );
    let calm = json!({"feature":"forecast_max","window":"1h","op":"<","threshold":4});
    assert_eq!(of(json!({ "when": ahead, "until": calm })), told);
    assert_eq!(of(json!({ "when": ahead, "until": { "any": [below, calm] } })), [""; 0]);
    assert_eq!(of(json!({ "when": ahead, "until": { "all": [below, calm] } })), told);
}

#[test]
fn comparisons_that_make_no_difference_are_told() {
    let joined = |join: &str, parts: &[Value]| paths(&json!({"red":{"when":{join:parts}}}));
    assert_eq!(joined("any", &[last(3.0), last(5.0)]), ["levels.red.when.any[1]"]);
    assert_eq!(joined("all", &[last(3.0), last(5.0)]), ["levels.red.when.all[0]"]);
    // Of two that are equal one is enough.
    assert_eq!(joined("any", &[last(3.0), last(3.0)]), ["levels.red.when.any[0]"]);
    let nested = json!({"any":[last(9.0), {"feature":"max","window":"10m","op":">=","threshold":1}]});
    assert_eq!(
        joined("any", &[last(3.0), nested.clone()]),
        ["levels.red.when.any[1].any[0]"]
    );
    assert_eq!(joined("all", &[last(3.0), nested]), [""; 0]);
    let unset = json!({"feature":"last","window":"10m","op":">="});
    assert_eq!(joined("any", &[last(3.0), unset]), [""; 0]);
    // A margin of its own keeps the level on.
    let wide = json!({"feature":"last","window":"10m","op":">=","threshold":5,"margin":4});
    assert_eq!(joined("any", &[last(3.0), wide]), [""; 0]);
    let of =
        |most: i64| json!({"feature":"count","window":"10m","of":{"op":">=","threshold":most},"op":">=","threshold":2});
    assert_eq!(joined("any", &[of(3), of(5)]), [""; 0]);
    assert_eq!(joined("any", &[of(3), of(3)]).len(), 1);
    let always = json!({"feature":"count","window":"10m","op":">=","threshold":0});
    let never = json!({"feature":"count","window":"10m","op":"<","threshold":0});
    assert_eq!(
        joined("all", &[last(3.0), always]),
        ["levels.red.when.all[1].threshold"]
    );
    assert_eq!(joined("any", &[last(3.0), never]), ["levels.red.when.any[1].threshold"]);
}

#[test]
fn levels_stand_alone_and_hold_within_the_horizon() {
    let levels = json!({"blue":{"when":last(3.0)},"red":{"when":last(3.0)}});
    assert_eq!(paths(&levels), ["levels.blue.when"]);
    let sooner = json!({"blue":{"when":last(3.0)},"red":{"when":last(3.0),"hold":"1m"}});
    assert_eq!(paths(&sooner), [""; 0]);
    let longer = json!({"blue":{"when":last(3.0),"clear":"1m"},"red":{"when":last(3.0)}});
    assert_eq!(paths(&longer), [""; 0]);
    let spans = json!({"red":{"when":last(3.0),"hold":"11m","clear":"10m"}});
    assert_eq!(paths(&spans), ["levels.red.hold"]);
    let spans = json!({"red":{"when":last(3.0),"hold":"10m","clear":"1h"}});
    assert_eq!(paths(&spans), [""; 0], "what clears late stays on, and loses nothing");
}

#[test]
fn a_margin_moves_what_is_in_its_unit() {
    let silence = |margin: Value| {
        let mut silence = json!({"feature":"silence","op":">=","threshold":600});
        silence["margin"] = margin;
        paths(&json!({"red":{"when":{"any":[last(3.0), silence]},"margin":1}}))
    };
    assert_eq!(silence(Value::Null), ["levels.red.margin"]);
    assert_eq!(silence(json!(60)), [""; 0]);
}
