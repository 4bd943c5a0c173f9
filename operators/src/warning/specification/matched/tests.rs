use super::*;
use crate::warning::specification::{Specification, at_asset};

fn asset(id: &str) -> (LocatedAsset, Diff) {
    let json = format!(
        r#"{{"id":"{id}","category":"tank","domain":"work_safety","region":"330902001001","inherent_level":3}}"#
    );
    let row = Shared::new(serde_json::from_str(&json).unwrap());
    (((Key::of(id), row), Located::default()), 1)
}

fn datastream(id: &str, asset: &str, property: &str) -> (AtAsset, Diff) {
    let json = format!(r#"{{"id":"{id}","asset":"{asset}","observed_property":"{property}"}}"#);
    let row = Shared::new(serde_json::from_str(&json).unwrap());
    (at_asset(Key::of(id), row), 1)
}

fn rule(property: &str, version: u32) -> (Rule, Diff) {
    let json = format!(
        r#"{{"id":"{property}","version":{version},"select":{{"observed_property":"{property}"}},
            "levels":{{"blue":{{"when":{{"feature":"last","window":"1h","op":">=","threshold":3}}}}}}}}"#
    );
    (Rule::from_json(json.as_bytes()).unwrap(), 1)
}

fn gone<T>((row, diff): (T, Diff)) -> (T, Diff) {
    (row, -diff)
}

/// Datastream, asset, versions of rules, difference.
type Row = (String, Option<String>, Vec<u32>, Diff);

fn apply(matched: &mut Matched, changes: Changes) -> Vec<Row> {
    let mut out = Updates::default();
    matched.apply(changes, &mut out);
    let given = out.specified.into_iter().map(|((_, row), diff)| {
        let Specification { subject, entries, .. } = *row;
        let versions = entries.iter().map(|entry| entry.rule.record.version);
        let asset = subject.asset.map(|asset| asset.to_string());
        (subject.datastream.to_string(), asset, versions.collect(), diff)
    });
    let mut given: Vec<Row> = given.collect();
    given.sort();
    given
}

fn given(datastream: &str, asset: Option<&str>, versions: &[u32], diff: Diff) -> Row {
    (datastream.to_owned(), asset.map(str::to_owned), versions.to_vec(), diff)
}

#[test]
fn what_is_given_is_what_changes() {
    let mut matched = Matched::default();
    let rain = datastream("d1", "a1", "rain");
    let wind = datastream("d2", "a1", "wind");
    let city = Changes {
        datastreams: vec![rain.clone(), wind.clone(), datastream("d3", "a2", "rain")],
        assets: vec![asset("a1")],
        rules: vec![rule("rain", 1)],
        ..Changes::default()
    };
    let first = [
        given("d1", Some("a1"), &[1], 1),
        given("d2", Some("a1"), &[], 1),
        given("d3", None, &[], 1),
    ];
    assert_eq!(apply(&mut matched, city), first);
    let another = Changes {
        rules: vec![rule("rain", 2), gone(rule("rain", 1))],
        ..Changes::default()
    };
    let replaced = [given("d1", Some("a1"), &[1], -1), given("d1", Some("a1"), &[2], 1)];
    assert_eq!(apply(&mut matched, another), replaced, "the asset of d3 has no row");
    let moved = Changes {
        datastreams: vec![gone(rain), datastream("d1", "a2", "rain")],
        assets: vec![asset("a2")],
        ..Changes::default()
    };
    let moved = apply(&mut matched, moved);
    let expected = [
        given("d1", Some("a1"), &[2], -1),
        given("d1", Some("a2"), &[2], 1),
        given("d3", None, &[], -1),
        given("d3", Some("a2"), &[2], 1),
    ];
    assert_eq!(moved, expected);
    let nothing_left_at_a1 = Changes {
        datastreams: vec![gone(wind)],
        assets: vec![gone(asset("a1"))],
        ..Changes::default()
    };
    assert_eq!(
        apply(&mut matched, nothing_left_at_a1),
        [given("d2", Some("a1"), &[], -1)]
    );
    assert_eq!((matched.index.len(), matched.free.len()), (1, 1));
}

fn region(code: &str, name: &str, blue: f64) -> (Shared<Region>, Diff) {
    let json =
        format!(r#"{{"code":"{code}","name":"{name}","thresholds":{{"rain":{{"blue":{blue}}},"wnid":{{"red":1}}}}}}"#);
    (Shared::new(serde_json::from_str(&json).unwrap()), 1)
}

#[test]
fn thresholds_of_a_region_touch_what_lies_in_it() {
    let mut matched = Matched {
        tells: true,
        ..Matched::default()
    };
    let elsewhere =
        r#"{"id":"a2","category":"tank","domain":"work_safety","region":"330903001001","inherent_level":3}"#;
    let elsewhere = Shared::new(serde_json::from_str(elsewhere).unwrap());
    let city = Changes {
        datastreams: vec![
            datastream("d1", "a1", "rain"),
            datastream("d2", "a2", "rain"),
            datastream("d3", "a1", "wind"),
        ],
        assets: vec![asset("a1"), (((Key::of("a2"), elsewhere), Located::default()), 1)],
        rules: vec![rule("rain", 1)],
        regions: vec![region("33", "z", 7.0)],
        ..Changes::default()
    };
    assert_eq!(apply(&mut matched, city).len(), 3);
    let one = |matched: &mut Matched, regions| {
        apply(
            matched,
            Changes {
                regions,
                ..Changes::default()
            },
        )
    };
    let again = [given("d1", Some("a1"), &[1], -1), given("d1", Some("a1"), &[1], 1)];
    assert_eq!(one(&mut matched, vec![region("330902", "n", 5.0)]), again);
    // Its name is no threshold, and what is nearer stands before those of the province.
    let named = vec![gone(region("330902", "n", 5.0)), region("330902", "m", 5.0)];
    assert_eq!(one(&mut matched, named), []);
    let province = vec![gone(region("33", "z", 7.0)), region("33", "z", 8.0)];
    let other = [given("d2", Some("a2"), &[1], -1), given("d2", Some("a2"), &[1], 1)];
    assert_eq!(one(&mut matched, province), other);
    assert_eq!(one(&mut matched, vec![gone(region("330902", "m", 5.0))]), again);
    // A misspelt rule is told once, of the region.
    let mut out = Updates::default();
    let regions = vec![gone(region("33", "z", 8.0))];
    matched.apply(
        Changes {
            regions,
            ..Changes::default()
        },
        &mut out,
    );
    let told: Vec<_> = out
        .alone
        .iter()
        .map(|(alone, diff)| (format!("{alone:?}"), *diff))
        .collect();
    assert_eq!(
        told,
        [(
            "GivenByRegion(33, OfRegion { rule: \"wnid\", problem: RuleMissing })".to_owned(),
            -1
        )]
    );
}

fn set(json: &str) -> (Shared<RuleSet>, Diff) {
    (Shared::new(serde_json::from_str(json).unwrap()), 1)
}

/// Of each entry of the last row that is given: version, whether it is live, candidates.
fn standing(matched: &mut Matched, changes: Changes) -> Vec<(u32, bool, String)> {
    let mut out = Updates::default();
    matched.apply(changes, &mut out);
    let rows = out.specified.into_iter().filter(|(_, diff)| *diff > 0);
    let ((_, row), _) = rows.last().expect("a row is given");
    let entries = row.entries.iter().map(|entry| {
        let standing = entry.rule.standing();
        (entry.rule.record.version, standing.live, standing.candidates.join(","))
    });
    let mut entries: Vec<_> = entries.collect();
    entries.sort();
    entries
}

#[test]
fn forms_of_a_rule_that_come_to_the_same_are_one_entry() {
    let written = |id: &str, version: u32, threshold: u32| {
        let json = format!(
            r#"{{"id":"{id}","version":{version},"select":{{"observed_property":"rain"}},
                "levels":{{"blue":{{"when":{{"feature":"last","window":"1h","op":">=","threshold":{threshold}}}}}}}}}"#
        );
        (Rule::from_json(json.as_bytes()).unwrap(), 1)
    };
    let mut matched = Matched::default();
    let city = Changes {
        datastreams: vec![datastream("d1", "a1", "rain")],
        assets: vec![asset("a1")],
        rules: vec![written("rain", 1, 3)],
        ..Changes::default()
    };
    assert_eq!(standing(&mut matched, city), [(1, true, String::new())]);
    let inherits = Changes {
        sets: vec![set(r#"{"id":"strict","base":"default"}"#)],
        ..Changes::default()
    };
    assert_eq!(standing(&mut matched, inherits), [(1, true, "strict".to_owned())]);
    let another = Changes {
        rules: vec![written("strict/rain", 2, 2)],
        ..Changes::default()
    };
    let apart = [(1, true, String::new()), (2, false, "strict".to_owned())];
    assert_eq!(standing(&mut matched, another), apart);
    let as_it_was = Changes {
        rules: vec![gone(written("strict/rain", 2, 2)), written("strict/rain", 3, 3)],
        ..Changes::default()
    };
    assert_eq!(standing(&mut matched, as_it_was), [(1, true, "strict".to_owned())]);
    let live = Changes {
        sets: vec![set(r#"{"id":"live","set":"strict"}"#)],
        ..Changes::default()
    };
    assert_eq!(standing(&mut matched, live), [(3, true, "default".to_owned())]);
    let adjusted = Changes {
        sets: vec![set(
            r#"{"id":"tide","base":"default","adjust":[{"observed_property":"rain","add":1}]}"#,
        )],
        ..Changes::default()
    };
    let apart = [(1, false, "tide".to_owned()), (3, true, "default".to_owned())];
    assert_eq!(standing(&mut matched, adjusted), apart);
}
