use super::*;

fn rule(levels: &str) -> Rule {
    let json = format!(r#"{{"id":"r","version":1,"select":{{}},"levels":{levels}}}"#);
    Rule::from_json(json.as_bytes()).unwrap()
}

fn merge(rule: &Rule, own: &[(&str, f64)]) -> (Vec<Option<i64>>, Vec<&'static str>) {
    let own = own.iter().map(|(key, number)| (Text::from(*key), Number(*number)));
    let merged = rule.merge(&[(Whose::Datastream, &own.collect())], "");
    let on = merged.thresholds.iter().map(|bound| bound.map(|bound| bound.on));
    (on.collect(), merged.problems.iter().map(PairProblem::kind).collect())
}

#[test]
fn own_thresholds_stand_over_the_rule_by_level_and_by_name() {
    let rule = rule(
        r#"{"blue":{"margin":1.5,"when":{"any":[
            {"feature":"sum","window":"1h","op":">=","threshold":10,"name":"h1"},
            {"feature":"sum","window":"3h","op":"<=","threshold":20}]}}}"#,
    );
    let own = TextMap::from_iter([
        (Text::from("blue.h1"), Number(12.0)),
        (Text::from("blue"), Number(25.25)),
    ]);
    let merged = rule.merge(&[(Whose::Datastream, &own)], "");
    let bounds: Vec<_> = merged
        .thresholds
        .iter()
        .map(|bound| bound.map(|b| (b.on, b.off)))
        .collect();
    assert_eq!(bounds, [Some((12_000, 10_500)), Some((25_250, 26_750))]);
    assert_eq!(merged.problems, []);
    assert_eq!(rule.thresholds(None)[0].map(|bound| bound.on), Some(10_000));
}

#[test]
fn a_pair_that_is_wrong_together_has_the_rules_own_thresholds_and_says_so() {
    let rule = rule(
        r#"{"blue":{"when":{"feature":"last","window":"1h","op":">=","threshold":2},"margin":0.5},
            "red":{"when":{"feature":"last","window":"1h","op":">=","threshold":4},"margin":0.5}}"#,
    );
    let own = [Some(2_000), Some(4_000)];
    let both = |blue, red| vec![Some(blue), Some(red)];
    assert_eq!(merge(&rule, &[("blue", 1.0)]), (both(1_000, 4_000), vec![]));
    assert_eq!(
        merge(&rule, &[("blue", 3.0), ("red", 3.0)]),
        (both(3_000, 3_000), vec![])
    );
    assert_eq!(merge(&rule, &[("blue", 5.0)]), (own.to_vec(), vec!["out_of_order"]));
    assert_eq!(merge(&rule, &[("blue", 0.4)]), (own.to_vec(), vec!["never_clears"]));
    assert_eq!(merge(&rule, &[("red", 2e9)]), (own.to_vec(), vec!["beyond"]));
    assert_eq!(merge(&rule, &[("red", 4.7244)]), (own.to_vec(), vec!["beyond"]));
    // What names nothing leaves the others in force.
    assert_eq!(
        merge(&rule, &[("yellow", 3.0), ("red", 5.0), ("red.h1", 9.0)]),
        (both(2_000, 5_000), vec!["names_nothing", "names_nothing"])
    );
}

#[test]
fn the_nearest_threshold_stands_in_its_own_unit() {
    let mut record: serde_json::Value = serde_json::json!({"id":"r","version":1,"select":{},"unit":"cm","levels":{
        "blue":{"margin":1,"when":{"any":[
            {"feature":"last","window":"1h","op":">=","threshold":10,"name":"a"},
            {"feature":"max","window":"1h","op":">=","threshold":20,"name":"b"}]}},
        "red":{"when":{"feature":"last","window":"1h","op":">=","threshold":90}}}});
    let rule = Rule::from_json(record.to_string().as_bytes()).unwrap();
    let map = |own: &[(&str, f64)]| {
        let own = own.iter().map(|(key, number)| (Text::from(*key), Number(*number)));
        own.collect::<TextMap<Number>>()
    };
    let [near, far] = ["330902", "33"].map(|code| Whose::Region(code.parse().unwrap()));
    let (own, asset) = (map(&[("red", 0.8)]), map(&[("blue", 30.0), ("zz", 1.0)]));
    let (town, province) = (map(&[("blue.b", 40.0)]), map(&[("blue.a", 50.0), ("red", 60.0)]));
    let merged = |given: &[Given<'_>], unit: &str| {
        let merged = rule.merge(given, unit);
        let on = merged.thresholds.iter().map(|bound| bound.unwrap().on / 1000);
        let on: Vec<i64> = on.collect();
        let whose = merged.givers.map_or_else(|| vec![None; 3], |givers| givers.to_vec());
        (on, whose, merged.problems.len())
    };
    let all = [
        (Whose::Datastream, &own),
        (Whose::Asset, &asset),
        (near, &town),
        (far, &province),
    ];
    let [datastream, of_asset] = [Some(Whose::Datastream), Some(Whose::Asset)];
    // The asset's `blue` is nearer than the region's `blue.b`.
    let nearest = (vec![30, 30, 80], vec![of_asset, of_asset, datastream], 0);
    assert_eq!(merged(&all, "m"), nearest);
    assert_eq!(
        merged(&all[2..], "m"),
        (vec![50, 40, 60], vec![Some(far), Some(near), Some(far)], 0)
    );
    assert_eq!(
        merged(&all[2..3], ""),
        (vec![10, 40, 90], vec![None, Some(near), None], 0)
    );
    // Its unit does not convert: its own are not used, all others are.
    assert_eq!(
        merged(&all, "kg"),
        (vec![30, 30, 60], vec![of_asset, of_asset, Some(far)], 1)
    );
    // Wrong together: the rule's own, all of them.
    let high = map(&[("blue", 99.0)]);
    let wrong = [(Whose::Asset, &asset), (far, &high)];
    assert_eq!(
        merged(&wrong, ""),
        (vec![30, 30, 90], vec![of_asset, of_asset, None], 0)
    );
    assert_eq!(merged(&wrong[1..], ""), (vec![10, 20, 90], vec![None; 3], 1));
    record["levels"]["red"]["when"]["feature"] = "count".into();
    record["levels"]["red"]["when"]["threshold"] = 2.into();
    let counting = Rule::from_json(record.to_string().as_bytes()).unwrap();
    let below = map(&[("red", -1.0)]);
    let problems = counting.merge(&[(far, &below)], "").problems;
    assert_eq!(
        problems[0].to_string(),
        "`red` of the region 33 is -1, which its feature can never be; the rule's own thresholds hold instead"
    );
}

#[test]
fn a_pair_without_any_threshold_says_so() {
    let rule = rule(
        r#"{"blue":{"when":{"feature":"last","window":"1h","op":"<="}},
            "red":{"when":{"feature":"last","window":"1h","op":"<="}}}"#,
    );
    assert_eq!(rule.merge(&[], "").problems, [PairProblem::Unset]);
    assert_eq!(merge(&rule, &[]), (vec![None, None], vec!["unset"]));
    assert_eq!(merge(&rule, &[("red", -2.0)]), (vec![None, Some(-2_000)], vec![]));
    assert_eq!(
        merge(&rule, &[("red", -2.0), ("blue", -3.0)]),
        (vec![None, None], vec!["out_of_order", "unset"]),
        "the lower the worse"
    );
}

#[test]
fn results_are_adjusted_exactly_and_thresholds_stay() {
    let rule = rule(r#"{"blue":{"when":{"feature":"last","window":"1h","op":">=","threshold":3}}}"#);
    let limit = |multiply: f64, add: f64| {
        let adjust = Adjust {
            observed_property: "tide".into(),
            multiply: Number(multiply),
            add: Number(add),
        };
        let merged = rule.merge_adjusted(&[], "", Some(&adjust));
        assert_eq!(merged.thresholds[0].unwrap().on, 3_000);
        let [on, _] = merged.scaled.unwrap().limits[0].unwrap();
        (on.over, on.under)
    };
    assert_eq!(limit(1.0, 0.3), (2_700, 1), "2.7 and what is above");
    assert_eq!(limit(2.0, 0.0), (3_000, 2));
    assert_eq!(limit(0.5, 1.0), (4_000, 1));
    assert_eq!(limit(1.234, 0.0), (1_500_000, 617));
}
