//! `riskflow rules test`: the tests of the packs pass, and each rule that comes with riskflow has some.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use riskflow_config::packs;
use serde_json::Value;

fn rules_test(arguments: &[&str]) -> (Option<i32>, String, String) {
    let program = std::env::current_exe().unwrap();
    let program = program.ancestors().nth(2).unwrap().join("riskflow");
    let output = Command::new(program)
        .args(["rules", "test"])
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn folder() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("config/rules/tests").canonicalize().unwrap()
}

/// What is told in the tests of each rule, and whether any test of it says that nothing is.
#[test]
fn each_rule_of_the_packs_has_tests_and_they_pass() {
    let (code, out, errors) = rules_test(&["--json", folder().to_str().unwrap()]);
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{errors}"));
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in report["files"].as_array().unwrap() {
        for test in file["tests"].as_array().unwrap() {
            assert_eq!(
                test["failures"],
                serde_json::json!([]),
                "{} {}",
                file["file"],
                test["name"]
            );
            assert_eq!(
                test["notes"],
                serde_json::json!([]),
                "{} {}",
                file["file"],
                test["name"]
            );
            for told_of in test["told"].as_array().unwrap() {
                let text = |field: &str| told_of[field].as_str().unwrap().to_owned();
                told.entry(text("rule")).or_default().insert(text("kind"));
            }
        }
    }
    assert_eq!((code, report["failed"].as_u64()), (Some(0), Some(0)));
    let rules = packs::all().unwrap();
    let limits = packs::limits().unwrap();
    let ids = rules.iter().map(|rule| rule.record.id.to_string());
    for id in ids.chain(limits.iter().map(|limit| limit.id.to_string())) {
        let kinds = told.get(&id).cloned().unwrap_or_default();
        assert!(kinds.contains("raised") && kinds.contains("cleared"), "{id}: {kinds:?}");
    }
}

#[test]
fn a_test_that_fails_and_a_file_that_is_wrong_have_codes_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let rows = "rules: [rain]\n\
        assets: [{ id: g, category: rain_gauge, domain: natural_hazard, region: '330902001001', inherent_level: 2 }]\n\
        datastreams: [{ id: g/rain, asset: g, observed_property: rainfall, unit: mm }]\n";
    let test = |values: &str| {
        format!(
            "{rows}tests:\n- name: calm\n  series: [{{ datastream: g/rain, values: {values} }}]\n  deltas: []\n\
             - name: storm\n  series: [{{ datastream: g/rain, values: 60 }}]\n  deltas: [{{ kind: raised }}]\n"
        )
    };
    let good = write("good.yaml", &test("1x5"));
    let (code, out, errors) = rules_test(&[&good]);
    assert_eq!(code, Some(0), "{out}{errors}");
    assert!(out.ends_with("2 tests in 1 file: 2 passed, 0 failed\n"), "{out}");

    let bad = write("bad.yaml", &test("60x5"));
    let (code, out, _) = rules_test(&[&good, &bad]);
    assert_eq!(code, Some(1), "{out}");
    assert!(
        out.contains("+ raised rain/g none -> orange at 0 since 0 told 0 by base_change"),
        "{out}"
    );
    assert!(
        !out.contains('\u{1b}') && out.ends_with("4 tests in 2 files: 3 passed, 1 failed\n"),
        "{out}"
    );
    let (code, out, _) = rules_test(&["--filter", "storm", &bad]);
    assert_eq!(
        (code, out.contains("1 test in 1 file: 1 passed")),
        (Some(0), true),
        "{out}"
    );
    let (code, _, errors) = rules_test(&["--filter", "typhoon", &bad]);
    assert_eq!(
        (code, errors.contains("no test has `typhoon` in its name")),
        (Some(2), true),
        "{errors}"
    );

    let wrong = write("wrong.yaml", &test("1y5").replace("kind: raised", "kind: risen"));
    let (code, out, errors) = rules_test(&[&good, &wrong]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{errors}");
    for says in [
        "wrong.yaml:6: `tests[0].series[0].values` is `1y5`; give ",
        "wrong.yaml:10: `tests[1].deltas[0].kind` is \"risen\"; give one of `raised`",
        "2 problems; nothing was run",
    ] {
        assert!(errors.contains(says), "{says}: {errors}");
    }
    let (code, out, _) = rules_test(&["--json", &wrong]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, report["problems"][0]["line"].as_u64()),
        (Some(2), Some(6)),
        "{report}"
    );
    assert_eq!(rules_test(&["nowhere.yaml"]).0, Some(2));
}

#[test]
fn a_file_without_end_is_refused_and_no_test_is_run() {
    let (code, out, errors) = rules_test(&["/dev/zero"]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{errors}");
    assert!(
        errors.contains("/dev/zero:1: the file is longer than 8 MiB; give a shorter one"),
        "{errors}"
    );
}
