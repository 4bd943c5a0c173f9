//! What a case counts for, and where.

use riskflow_model::output::CaseTimes;
use riskflow_model::{OutputRecord as _, Text};

use super::*;

#[test]
fn a_time_counts_in_the_first_bound_that_holds_it() {
    assert_eq!([0, 60, 61, 4320 * 60, 4320 * 60 + 1].map(bucket), [0, 0, 1, 11, 12]);
}

/// A case in a village, acknowledged after so many seconds, with one unit that must.
fn case(region: &str, acknowledged: Option<i64>) -> Standing {
    let acknowledged = acknowledged.map(|seconds| Millis(seconds * 1_000));
    Standing {
        case: "c".into(),
        region: region.parse().unwrap(),
        domain: Domain::WorkSafety,
        times: CaseTimes {
            issued: Millis(0),
            acknowledged,
            ..CaseTimes::default()
        },
        escalations: 1,
        obligations: vec![Obligation {
            unit: "town".into(),
            role: "watch".into(),
            since: Millis(0),
            due: None,
            acknowledged,
        }],
        missed: vec![("town".into(), 1)],
    }
}

/// What stands after some epochs of cases that came and went.
fn rows(epochs: &[&[(&Standing, Diff)]]) -> BTreeMap<Text, (i64, i64, i64)> {
    let mut totals = Totals::default();
    let mut rows: BTreeMap<Response, Diff> = BTreeMap::new();
    for epoch in epochs {
        let mut changes = Changes::default();
        for (case, diff) in *epoch {
            changes.count(case, Located::default(), *diff);
        }
        totals.apply(changes.by_scope(), &mut |row, diff| {
            *rows.entry((*row).clone()).or_default() += diff;
        });
    }
    rows.retain(|_, times| *times != 0);
    assert!(rows.values().all(|times| *times == 1), "one row a scope: {rows:?}");
    assert_eq!(totals.0.len(), rows.len());
    let keyed = rows
        .keys()
        .map(|row| (row.key(), (row.cases, row.acknowledged, row.escalations)));
    keyed.collect()
}

#[test]
fn a_case_counts_in_all_that_it_lies_in_and_for_its_units() {
    let (open, done) = (case("330902001001", None), case("330902001001", Some(90)));
    let other = case("330903001001", None);
    let first: &[(&Standing, Diff)] = &[(&open, 1), (&other, 1)];
    let found = rows(&[first]);
    let regions = [
        "33",
        "3309",
        "330902",
        "330902001",
        "330902001001",
        "330903",
        "330903001",
        "330903001001",
    ];
    assert_eq!(found.len(), 2 * regions.len() + 1, "{found:?}");
    let sums = |rows: &BTreeMap<Text, (i64, i64, i64)>, key: &str| {
        rows.iter()
            .find(|(found, _)| found.contains(key))
            .map(|(_, sums)| *sums)
    };
    assert_eq!(sums(&found, "3309/"), Some((2, 0, 2)));
    assert_eq!(sums(&found, "town"), Some((2, 0, 2)));
    // One that changed, and one that went.
    let found = rows(&[first, &[(&open, -1), (&done, 1)], &[(&other, -1)]]);
    assert_eq!(found.len(), 2 * 5 + 1, "{found:?}");
    assert_eq!(sums(&found, "3309/"), Some((1, 1, 1)));
    assert_eq!(sums(&found, "town"), Some((1, 1, 1)));
    assert_eq!(rows(&[first, &[(&open, -1), (&other, -1)]]), BTreeMap::new());
}
