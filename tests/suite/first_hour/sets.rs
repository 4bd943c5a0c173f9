//! Rule sets on the command line: the way back after a promotion, sweeps of many values, bases that there are not.

use serde_json::{Value, json};

use super::{Desk, RULE};

/// A log with the rule of `default`, and sets that have it from there.
fn with_sets(names: &[&str]) -> Desk {
    let desk = Desk::new();
    desk.run(&["topics", "--create"]).ends(0, &[]);
    let mine = desk.put("mine.ndjson", format!("{RULE}\n"));
    desk.run(&["rules", "load", &mine]).ends(0, &[]);
    let rows = names
        .iter()
        .map(|name| format!("{}\n", json!({ "id": name, "base": "default" })));
    desk.put("sets.ndjson", rows.collect::<String>());
    desk.run(&["import", "in.ruleset=sets.ndjson"]).ends(0, &[]);
    desk
}

/// There are more sets than are evaluated, and by its name the one that was live would not be among them.
#[test]
fn a_promotion_leaves_itself_a_way_back() {
    let desk = with_sets(&["a1", "a2", "a3", "a4", "a5", "a6", "a7", "z"]);
    desk.put("live.ndjson", "{\"id\":\"live\",\"set\":\"z\"}\n");
    desk.run(&["import", "in.ruleset=live.ndjson"]).ends(0, &[]);
    let evaluated = || {
        let said = desk.run(&["rules", "sets", "--json"]).json();
        let sets = said
            .as_array()
            .unwrap()
            .iter()
            .filter(|state| state["in_force"] == true);
        sets.map(|state| state["set"].clone()).collect::<Vec<Value>>()
    };
    let until_then = evaluated();
    assert_eq!(until_then, ["a1", "a2", "a3", "a4", "a5", "a6", "default", "z"]);
    desk.run(&["rules", "promote", "a1"])
        .ends(0, &["`a1` is live", "to go back, promote `z`"]);
    let mut records = desk.tail("in.ruleset").into_iter();
    let newest = records.rfind(|record| record["key"] == "live").unwrap()["value"].clone();
    assert_eq!((&newest["set"], &newest["before"]), (&json!("a1"), &json!("z")));
    assert_eq!(evaluated(), until_then);
    desk.run(&["rules", "promote", "z"])
        .ends(0, &["`z` is live", "to go back, promote `a1`"]);
    assert_eq!(evaluated(), until_then);
}

/// A line of a terminal, or two.
const WIDE: usize = 160;

#[test]
fn a_sweep_of_many_values_is_a_line_that_can_be_read() {
    let desk = with_sets(&["other"]);
    let load = [
        "rules",
        "load",
        "--into",
        "wet",
        "--base",
        "default",
        "--sweep",
        "ours.red=40..100/1",
    ];
    desk.run(&load)
        .ends(0, &["61 sets of the sweep `wet`: wet-40, wet-41, wet-42 … wet-100"]);
    let said = desk.run(&["rules", "sets"]);
    said.ends(0, &["wet: 40, 41, 42 … 100", "sweep, 61 of 61 evaluated"]);
    for line in said.out.lines() {
        assert!(line.chars().count() <= WIDE, "{line}");
    }
    let all = desk.run(&["rules", "sets", "--json"]).json();
    assert_eq!(all.as_array().unwrap().len(), 63);
    desk.run(&["rules", "drop", "wet", "--dry-run"]).ends(
        0,
        &["wet-40, wet-41, wet-42 … wet-100, with 61 rules of their own; 61 sets in all"],
    );
}

#[test]
fn a_base_that_is_no_set_is_refused_at_once() {
    let desk = with_sets(&["strict", "strictly"]);
    let mine = desk.path("mine.ndjson");
    let (rules, sets) = (desk.tail("in.rule").len(), desk.tail("in.ruleset").len());
    let what: [&[&str]; 3] = [&[&mine], &["--adjust", "gas+1"], &["--sweep", "ours.red=40..60/10"]];
    for what in what {
        for dry_run in [&["--dry-run"][..], &[]] {
            let load = ["rules", "load", "--into", "bb", "--base", "stirct"];
            let says = "`--base` is `stirct`, and there is no such set; there is `strict`";
            desk.run(&[&load[..], what, dry_run].concat()).ends(2, &[says]);
        }
    }
    assert_eq!(
        (desk.tail("in.rule").len(), desk.tail("in.ruleset").len()),
        (rules, sets)
    );
    // What comes along from a set that has a base is nothing, which is told when it is loaded.
    let load = ["rules", "load", "--into", "bb", "--base", "strict", &mine];
    desk.run(&load).ends(0, &["`bb`: its base `strict` has a base too"]);
    // The first set of a log may take from `default` before that has rules.
    let desk = Desk::new();
    desk.put("mine.ndjson", format!("{RULE}\n"));
    let first = ["rules", "load", "--into", "bb", "mine.ndjson", "--dry-run", "--base"];
    desk.run(&[&first[..], &["default"]].concat())
        .ends(0, &["would be loaded"]);
    desk.run(&[&first[..], &["nosuch"]].concat())
        .ends(2, &["`--base` is `nosuch`"]);
}
