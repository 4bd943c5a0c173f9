use super::*;

#[test]
fn a_unit_is_one_of_ucum_and_no_scale_is_summed() {
    let rule = |unit: &str, feature: &str| {
        let json = format!(
            r#"{{"id":"r","version":1,"select":{{}},"unit":"{unit}","levels":{{"red":{{"when":
                {{"feature":"{feature}","window":"1h","op":">=","threshold":9}}}}}}}}"#
        );
        let problems = Rule::from_json(json.as_bytes()).err();
        problems.map(|problems| problems.iter().map(|problem| problem.to_string()).collect::<Vec<_>>())
    };
    for (unit, feature) in [
        ("mm", "sum"),
        ("Cel", "mean"),
        ("K", "sum"),
        ("%{LEL}", "last"),
        ("", "sum"),
    ] {
        assert_eq!(rule(unit, feature), None, "{unit} {feature}");
    }
    for (unit, feature, field) in [
        ("%LEL", "last", "`unit`"),
        ("°C", "last", "`unit`"),
        ("Cel", "sum", "`levels.red.when.feature`"),
        ("[degF]", "sum", "`levels.red.when.feature`"),
    ] {
        let problems = rule(unit, feature).unwrap();
        assert!(problems.len() == 1 && problems[0].starts_with(field), "{problems:?}");
    }
}

#[test]
fn all_problems_of_a_rule_come_at_once_with_their_paths() {
    let json =
        br#"{"id":"","version":0,"select":{"observed_property":"depth ","tags":["a\u0000"]},"pane":"10s","levels":{
        "blue":{"when":{"any":[{"feature":"sun","window":"12h","op":">=","threshold":1},
                               {"feature":"sum","window":"15s","op":"=>","threshold":0.0001}]},"hold":"soon"},
        "red":{"when":{"feature":"silence","window":"1m","op":">=","threshold":-1},"margin":-1,"klear":"1m"},
        "none":{"when":{"feature":"last","window":"1m","op":">=","threshold":"1"}}}}"#;
    let problems = Rule::from_json(json).unwrap_err();
    let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
    for field in [
        "id",
        "version",
        "select.observed_property",
        "select.tags[0]",
        "levels.none",
        "levels.red.klear",
        "levels.red.margin",
        "levels.red.when.window",
        "levels.red.when.threshold",
        "levels.blue.hold",
        "levels.blue.when.any[0].feature",
        "levels.blue.when.any[1].op",
        "levels.blue.when.any[1].window",
        "levels.blue.when.any[1].threshold",
    ] {
        assert!(fields.contains(&field), "{field} is missing from {fields:?}");
    }
}

fn rule(levels: &str) -> String {
    format!(r#"{{"id":"r","version":1,"select":{{"observed_property":"depth"}},"levels":{levels}}}"#)
}

fn refusal(levels: &str) -> String {
    match Rule::from_json(rule(levels).as_bytes()) {
        Ok(rule) => panic!("{levels} is taken: {:?}", rule.levels),
        Err(problems) => problems.to_string(),
    }
}

fn last(op: &str, threshold: &str) -> String {
    format!(r#"{{"feature":"last","window":"15m","op":"{op}","threshold":{threshold}}}"#)
}

const LAST: &str = r#"{"feature":"last","window":"15m","op":">=","threshold":0.2}"#;

#[test]
#[expect(clippy::too_many_lines, reason = "one row a case, and nothing else")]
fn nothing_is_dropped_at_any_depth() {
    let other = r#"{"feature":"count","window":"1h","op":">=","threshold":5}"#;
    for (when, says) in [
        (
            format!(r#"{{"any":[{LAST}],"all":[{other}]}}"#),
            "`levels.red.when` is an object: `all` beside `any`",
        ),
        (
            format!(r#"{{"all":[{LAST}],"any":[{other}]}}"#),
            "`levels.red.when` is an object: `all` beside `any`",
        ),
        (
            format!(r#"{{"any":[{LAST}],"feature":"mean"}}"#),
            "`feature` beside `any`",
        ),
        (format!(r#"{{"all":[{LAST}],"name":"x"}}"#), "`name` beside `all`"),
        (
            format!(r#"{{"any":[{LAST}],"none_of":[{other}]}}"#),
            "`levels.red.when.none_of` is not known here",
        ),
        (
            format!(r#"{{"any":[{LAST}],"hold":"30m"}}"#),
            "`levels.red.when.hold` is not known here",
        ),
        (
            format!(r#"{{"any":[{LAST},{{"all":[{LAST},{{"all":[{LAST}],"op":">="}}]}}]}}"#),
            "`levels.red.when.any[1].all[1]` is an object: `op` beside `all`",
        ),
        (
            format!(r#"{{"any":[{LAST},{{"all":[{}]}}]}}"#, LAST.replace("window", "windw")),
            "`levels.red.when.any[1].all[0].windw` is not known here; give one of `any`, `all`, `during`",
        ),
        (
            LAST.replace("threshold", "treshold"),
            "`levels.red.when.treshold` is not known here",
        ),
        (
            LAST.replace("0.2", r#""0.2""#),
            "`levels.red.when.threshold` is \"0.2\"; give a number",
        ),
        (
            LAST.replace(r#""15m""#, "900"),
            "`levels.red.when.window` is 900; give a duration in quotes",
        ),
        (
            LAST.replace(r#""op":">=","#, ""),
            "`levels.red.when.op` is missing; give `>=`, `>`, `<=` or `<`",
        ),
        (
            LAST.replace(r#""feature":"last","#, ""),
            "`levels.red.when.feature` is missing; give `last`",
        ),
        (
            LAST.replace(r#""last""#, "null"),
            "`levels.red.when.feature` is missing; give `last`",
        ),
        (
            format!("[{LAST}]"),
            "`levels.red.when` is a list; give a comparison, or an object with `any`, `all` or `during`",
        ),
        (
            "\"last >= 1\"".to_owned(),
            "`levels.red.when` is \"last >= 1\"; give a comparison, or an object",
        ),
        (
            format!(r#"{{"any":{LAST}}}"#),
            "`levels.red.when.any` is an object; give a list",
        ),
        (r#"{"any":[]}"#.to_owned(), "`levels.red.when.any` is empty"),
        (
            LAST.replace(r#""op""#, r#""op":">","op""#),
            "`levels.red.when.op` is there twice; give it once",
        ),
    ] {
        let said = refusal(&format!(r#"{{"red":{{"when":{when}}}}}"#));
        assert!(said.contains(says), "{when}:\n{said}");
        assert!(!said.contains("untagged") && !said.contains(" at line "), "{said}");
    }
    for (levels, says) in [
        (
            format!(r#"{{"red":{{"when":{LAST}}},"red":{{"when":{LAST}}}}}"#),
            "`levels.red` is there twice",
        ),
        (
            format!(r#"{{"Red":{{"when":{LAST}}}}}"#),
            "`levels.Red` is not known here; give one of `blue`, `yellow`",
        ),
        (
            format!(r#"{{"none":{{"when":{LAST}}}}}"#),
            "`levels.none` is not known here",
        ),
        (
            format!(r#"{{"red":{{"when":{LAST},"hold":60}}}}"#),
            "`levels.red.hold` is 60; give a duration in quotes",
        ),
        (
            format!(r#"{{"red":[{LAST}]}}"#),
            "`levels.red` is a list; give an object",
        ),
        (
            r#"{"red":null}"#.to_owned(),
            "`levels` is empty; give at least one level",
        ),
        ("[]".to_owned(), "`levels` is a list; give an object"),
    ] {
        let said = refusal(&levels);
        assert!(said.contains(says) && said.lines().count() == 1, "{levels}:\n{said}");
    }
    for (from, to, says) in [
        (
            r#"{"observed_property":"depth"}"#,
            r#"["depth"]"#,
            "`select` is a list; give an object",
        ),
        (
            r#"{"observed_property""#,
            r#"{"property""#,
            "`select.property` is not known here; give one of",
        ),
        (
            r#""version":1"#,
            r#""version":1,"version":2"#,
            "`version` is there twice",
        ),
        (
            r#""version":1"#,
            r#""version":1.5"#,
            "`version` is 1.5; give a whole number",
        ),
        (r#""id":"r","#, "", "`id` is missing"),
    ] {
        let json = rule(&format!(r#"{{"red":{{"when":{LAST}}}}}"#)).replacen(from, to, 1);
        let said = Rule::from_json(json.as_bytes()).unwrap_err().to_string();
        assert!(said.contains(says), "{json}:\n{said}");
    }
}

#[test]
fn null_is_as_if_the_field_were_absent() {
    let plain = rule(r#"{"red":{"when":{"feature":"last","window":"15m","op":">=","threshold":0.2}}}"#);
    let nulls = plain
        .replace(r#""version":1"#, r#""version":1,"name":null,"source":null,"pane":null"#)
        .replace(
            r#""depth""#,
            r#""depth","category":null,"domain":null,"region":null,"tags":null"#,
        )
        .replace(
            "0.2}",
            r#"0.2,"name":null,"any":null},"hold":null,"margin":null,"clear":null"#,
        )
        .replace(r#"{"red""#, r#"{"blue":null,"red""#);
    let read = |json: &str| Rule::from_json(json.as_bytes()).unwrap().record.clone();
    assert_eq!(read(&nulls), read(&plain));
}

#[test]
fn thresholds_are_exact_and_within_what_values_can_be() {
    for threshold in [
        "0.30001",
        "1013.2504",
        "4.7244",
        "999999999.9991",
        "0.30000000000000004",
    ] {
        let said = refusal(&format!(r#"{{"red":{{"when":{}}}}}"#, last(">=", threshold)));
        assert!(
            said.contains("`levels.red.when.threshold` is") && said.contains("at most three decimals"),
            "{said}"
        );
    }
    for (feature, threshold) in [
        ("last", "2e9"),
        ("max", "-1000000000.001"),
        ("mean", "1e300"),
        ("sum", "1.1e12"),
        ("rate", "-1.1e12"),
        ("count", "-1"),
        ("count", "2e9"),
    ] {
        let when = last("<=", threshold).replace("last", feature);
        let said = refusal(&format!(r#"{{"red":{{"when":{when}}}}}"#));
        assert!(
            said.contains("is never so; give a number from"),
            "{feature} {threshold}: {said}"
        );
    }
    let said = refusal(r#"{"red":{"when":{"feature":"silence","op":">=","threshold":-5}}}"#);
    assert!(said.contains("give a number from 0 to 1000000000"), "{said}");
}

/// What is named where a level with a condition and a margin never turns off.
fn turned_off_by(when: &str, margin: &str) -> &'static str {
    match margin {
        _ if when.contains("margin") => "when.any[1].margin` is 5:",
        "0" => "when` is a condition that every value meets:",
        _ => "margin` is",
    }
}

#[test]
fn a_level_can_turn_on_and_off() {
    let of = |when: &str, margin: &str| format!(r#"{{"red":{{"when":{when},"margin":{margin}}}}}"#);
    let count = |op: &str, threshold: i32| {
        format!(r#"{{"feature":"count","window":"15m","op":"{op}","threshold":{threshold}}}"#)
    };
    for (when, margin) in [
        (last(">=", "0.3"), "500"),
        (last(">=", "0.3"), "0.3"),
        (last(">", "0.3"), "0.301"),
        (last("<=", "10"), "1e9"),
        (last("<", "10"), "2e9"),
        (last("<=", "1e9"), "0"),
        (last(">=", "-1e9"), "0"),
        (count(">=", 3), "3"),
        (count(">=", 0), "0"),
        (r#"{"feature":"silence","op":">=","threshold":3600}"#.to_owned(), "3600"),
        (
            format!(
                r#"{{"any":[{},{}]}}"#,
                last(">=", "10"),
                count(">=", 2).replace('}', r#","margin":5}"#)
            ),
            "0",
        ),
    ] {
        let said = refusal(&of(&when, margin));
        let field = turned_off_by(&when, margin);
        assert!(
            said.contains(&format!("`levels.red.{field}")) && said.contains("never turn off"),
            "{when} {margin}: {said}"
        );
    }
    for when in [
        last(">", "1e9"),
        last("<", "-1e9"),
        count("<", 0),
        format!(r#"{{"all":[{},{}]}}"#, last(">=", "10"), last("<=", "5")),
        format!(r#"{{"all":[{},{{"all":[{}]}}]}}"#, last(">", "5"), last("<=", "5")),
    ] {
        let said = refusal(&of(&when, "0"));
        assert!(
            said.contains("`levels.red.when` is a condition that no value meets"),
            "{when}: {said}"
        );
    }
    for (when, margin) in [
        (last(">=", "0.3"), "0.299"),
        (last(">", "0.3"), "0.3"),
        (last("<=", "0"), "2"),
        (last("<=", "-5"), "5"),
        (last(">=", "0"), "2"),
        // Negative results are there.
        (format!(r#"{{"any":[{},{}]}}"#, last(">=", "3"), last("<=", "-20")), "5"),
        (
            r#"{"feature":"rate","window":"1h","op":">=","threshold":0.2}"#.to_owned(),
            "0.5",
        ),
        // The margin is meant for the other.
        (format!(r#"{{"all":[{},{}]}}"#, last(">=", "40"), count(">=", 3)), "5"),
        (format!(r#"{{"all":[{},{}]}}"#, last(">=", "5"), last("<=", "5")), "0"),
        // A datastream may give what is missing.
        (
            format!(
                r#"{{"all":[{{"feature":"last","window":"15m","op":">="}},{}]}}"#,
                count(">=", 2)
            ),
            "3",
        ),
    ] {
        let json = rule(&of(&when, margin));
        let taken = Rule::from_json(json.as_bytes());
        assert!(taken.is_ok(), "{when} {margin}: {}", taken.unwrap_err());
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row a case, and nothing else")]
fn a_higher_level_is_not_on_more_easily_than_a_lower_one() {
    let ladder = |blue: &str, red: &str| format!(r#"{{"blue":{{"when":{blue}}},"red":{{"when":{red}}}}}"#);
    let sum = |window: &str, threshold: i32| {
        format!(r#"{{"feature":"sum","window":"{window}","op":">=","threshold":{threshold}}}"#)
    };
    let list = |word: &str, parts: &[String]| format!(r#"{{"{word}":[{}]}}"#, parts.join(","));
    for (blue, red, field) in [
        (last(">=", "2"), last(">=", "1"), "levels.red.when.threshold"),
        (last(">=", "2"), last(">", "1"), "levels.red.when.threshold"),
        (last("<=", "-5"), last("<=", "-2"), "levels.red.when.threshold"),
        (last(">", "2"), last(">=", "2"), "levels.red.when.threshold"),
        (last("<", "-2"), last("<=", "-2"), "levels.red.when.threshold"),
        (
            list("any", &[sum("1h", 35), sum("3h", 55)]),
            list("any", &[sum("1h", 45), sum("3h", 50)]),
            "levels.red.when.any[1].threshold",
        ),
        (
            list("all", &[last(">=", "2"), sum("1h", 3)]),
            last(">=", "1"),
            "levels.red.when.threshold",
        ),
        (
            list("any", &[last(">=", "2"), sum("1h", 3)]),
            list("all", &[last(">=", "1")]),
            "levels.red.when.all[0].threshold",
        ),
        (
            list("all", &[last(">=", "2"), sum("1h", 3)]),
            list("all", &[last(">=", "1"), sum("1h", 3)]),
            "levels.red.when.all[0].threshold",
        ),
    ] {
        let said = refusal(&ladder(&blue, &red));
        assert!(
            said.contains(&format!("`{field}` is"))
                && ["at least", "at most", "more than", "less than"]
                    .iter()
                    .any(|give| said.contains(&format!("`red` would be on more easily than `blue`; give {give}"))),
            "{blue} {red}: {said}"
        );
    }
    let at_one = |blue: &str, red: &str| refusal(&ladder(&last(blue, "2"), &last(red, "2")));
    assert!(at_one(">", ">=").contains("give more than 2"));
    assert!(at_one("<", "<=").contains("give less than 2"));
    let between = format!(
        r#"{{"blue":{{"when":{}}},"yellow":{{"when":{}}},"orange":{{"when":{}}},"red":{{"when":{}}}}}"#,
        last(">=", "1"),
        sum("1h", 5),
        last(">=", "3"),
        last(">=", "2")
    );
    assert!(refusal(&between).contains("`red` would be on more easily than `orange`; give at least 3"));
    for (blue, red) in [
        (last(">=", "2"), last(">=", "2")),
        (last(">=", "2"), last(">", "2")),
        (last("<=", "-2"), last("<", "-2")),
        (last("<=", "-2"), last("<=", "-5")),
        (sum("12h", 50), sum("3h", 20)),
        (last(">=", "2"), last("<=", "1")),
        // Slower and higher, or lower and faster.
        (
            list("all", &[last(">=", "2"), sum("1h", 3)]),
            list("all", &[last(">=", "1"), sum("1h", 9)]),
        ),
        (last(">=", "2"), list("all", &[last(">=", "1"), sum("1h", 9)])),
        // Bands.
        (
            list("all", &[last(">=", "1"), last("<=", "9")]),
            list("all", &[last(">=", "3"), last("<=", "6")]),
        ),
        (
            list("any", &[last(">=", "30"), last("<=", "5")]),
            list("any", &[last(">=", "35"), last("<=", "2")]),
        ),
        (
            last(">=", "2"),
            r#"{"feature":"last","window":"15m","op":">="}"#.to_owned(),
        ),
    ] {
        let json = rule(&ladder(&blue, &red));
        let taken = Rule::from_json(json.as_bytes());
        assert!(taken.is_ok(), "{blue} {red}: {}", taken.unwrap_err());
    }
}

#[test]
fn a_name_addresses_one_comparison_of_its_level() {
    let named = |name: &str| LAST.replace('}', &format!(r#","name":"{name}"}}"#));
    let twice = format!(r#"{{"red":{{"when":{{"any":[{},{}]}}}}}}"#, named("h"), named("h"));
    assert!(refusal(&twice).contains("`levels.red.when.any[1].name` is `h`, as another of its level"));
    let empty = format!(r#"{{"red":{{"when":{}}}}}"#, named(""));
    assert!(refusal(&empty).contains("`levels.red.when.name` is empty"));
    let in_two_levels = format!(
        r#"{{"blue":{{"when":{}}},"red":{{"when":{}}}}}"#,
        named("h"),
        named("h")
    );
    assert!(Rule::from_json(rule(&in_two_levels).as_bytes()).is_ok());
}

fn told(json: &str) -> Vec<(String, String)> {
    let problems = Rule::from_json(json.as_bytes()).unwrap_err();
    let shown = problems
        .iter()
        .map(|problem| (problem.field.clone(), problem.to_string()));
    shown.collect()
}

fn with(when: &str) -> String {
    format!(r#"{{"id":"r","version":1,"select":{{}},"levels":{{"blue":{{"when":{when}}}}}}}"#)
}

#[test]
fn rules_beyond_their_bounds_are_refused_with_field_value_and_cure() {
    let comparison = r#"{"feature":"last","window":"1h","op":">=","threshold":1}"#;
    let many = |count| with(&format!(r#"{{"any":[{}]}}"#, vec![comparison; count].join(",")));
    assert!(Rule::from_json(many(32).as_bytes()).is_ok());
    let [(field, shown)] = &told(&many(33))[..] else {
        panic!()
    };
    assert_eq!(field, "levels.blue.when");
    assert!(
        shown.contains("33 comparisons") && shown.contains("at most 32"),
        "{shown}"
    );

    let deep = |depth| {
        with(&format!(
            "{}{comparison}{}",
            r#"{"all":["#.repeat(depth),
            "]}".repeat(depth)
        ))
    };
    assert!(Rule::from_json(deep(4).as_bytes()).is_ok());
    let [(field, shown)] = &told(&deep(5))[..] else {
        panic!()
    };
    assert_eq!(field, "levels.blue.when");
    assert!(shown.contains('5') && shown.contains("at most 4"), "{shown}");
    // Beyond what is read at all; brackets in names are none.
    let [(field, shown)] = &told(&deep(60))[..] else {
        panic!()
    };
    assert_eq!(field, "record");
    assert!(shown.contains("124 brackets"), "{shown}");
    let named = with(&comparison.replace("}", &format!(r#","name":"a\"{}"}}"#, "[".repeat(60))));
    assert!(Rule::from_json(named.as_bytes()).is_ok(), "{named}");

    let window = |pane: &str, window: &str| {
        let rule = with(&comparison.replace("1h", window));
        rule.replace(r#""select""#, &format!(r#""pane":"{pane}","select""#))
    };
    assert!(Rule::from_json(window("1ms", "50s").as_bytes()).is_ok());
    let [(field, shown)] = &told(&window("1ms", "51s"))[..] else {
        panic!()
    };
    assert_eq!(field, "levels.blue.when.window");
    assert!(
        shown.contains("51000 panes of 1ms") && shown.contains("at most 50000"),
        "{shown}"
    );

    let large = with(comparison).replace(r#""id":"r""#, &format!(r#""id":"r","name":"{}""#, "x".repeat(64 << 10)));
    let [(field, shown)] = &told(&large)[..] else { panic!() };
    assert_eq!(field, "record");
    assert!(
        shown.contains(&large.len().to_string()) && shown.contains("at most 65536 bytes"),
        "{shown}"
    );
}

#[test]
fn a_rule_is_over_gauges_or_on_datastreams() {
    let refused = |select: &str, unit: &str, when: &str| -> Vec<String> {
        let json = format!(
            r#"{{"id":"r","version":1,"select":{select},"unit":"{unit}","levels":{{"red":{{"when":{when}}}}}}}"#
        );
        let problems = Rule::from_json(json.as_bytes()).err();
        problems.map_or_else(Vec::new, |problems| {
            problems.iter().map(|problem| problem.field.clone()).collect()
        })
    };
    let over = r#"{"gauge":"cards","op":">=","threshold":9}"#;
    let on = r#"{"feature":"last","window":"1m","op":">=","threshold":9}"#;
    assert_eq!(refused("{}", "", over), Vec::<String>::new());
    assert_eq!(
        refused(r#"{"category":["face"],"region":"3309","tags":["t"]}"#, "", over),
        Vec::<String>::new()
    );
    assert_eq!(
        refused(r#"{"observed_property":"p"}"#, "mm", over),
        ["select.observed_property", "unit"]
    );
    let both = format!(r#"{{"any":[{over},{on}]}}"#);
    assert_eq!(refused("{}", "", &both), ["levels.red.when.any[1].feature"]);
    let windowed = r#"{"gauge":"cards","window":"1m","op":">=","threshold":9}"#;
    assert_eq!(refused("{}", "", windowed), ["levels.red.when.window"]);
    let neither = r#"{"gauge":"cards","feature":"last","op":">=","threshold":9}"#;
    assert_eq!(refused("{}", "", neither), ["levels.red.when"]);
    let blank = r#"{"gauge":" ","op":">=","threshold":9}"#;
    assert_eq!(refused("{}", "", blank), ["levels.red.when.gauge"]);
    // No number is too small: weights may be negative.
    let always = r#"{"gauge":"cards","op":">=","threshold":0}"#;
    assert_eq!(refused("{}", "", always), Vec::<String>::new());
    let rule = Rule::from_json(
        format!(r#"{{"id":"r","version":1,"select":{{}},"levels":{{"red":{{"when":{{"all":[{over},{over}]}}}}}}}}"#)
            .as_bytes(),
    )
    .unwrap();
    assert_eq!(
        (rule.gauges.len(), rule.features.len(), rule.is_of_gauges()),
        (1, 1, true)
    );
    assert!(!rule.selects("p", "face", riskflow_model::Domain::WorkSafety, |_| true, &[]));
    assert!(rule.selects_asset("face", riskflow_model::Domain::WorkSafety, |_| true, &[]));
    let condition = rule.show_condition(&rule.levels[0].condition, &rule.thresholds(None));
    assert_eq!(condition, "(gauge cards >= 9 and gauge cards >= 9)");
}
