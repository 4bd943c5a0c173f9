//! Random rules on random series, by riskflow and by Prometheus: what Prometheus can say as well, it answers as well, minute by minute.
//!
//! docs/prometheus-mapping.md says how a rule is said there, and where the two differ by design; each of those differences is here, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use riskflow::runtime::graph::Meters;
use riskflow::runtime::replay::{EpochInput, replay};
use riskflow_config::InputRecord;
use riskflow_connectors::{RawRecord, decode};
use riskflow_model::Millis;
use riskflow_model::output::{DeadLetter, Origin, WarningState};
use riskflow_model::topic::Topic;
use riskflow_tests::history::semantics;
use serde_json::{Value, json};

mod drawn;
mod pair;
mod program;

use drawn::MINUTES;
use pair::{Feature, Pair, alert, rule_name, series_name};
use program::{Asked, differences, is_there};

const PAIRS: usize = 1_000;
/// So many are asked about at a time.
const AT_A_TIME: usize = 100;
/// The first minute; on a border of minutes.
const START: i64 = 1_627_171_200_000;

#[derive(Default)]
struct Records {
    offset: u64,
    records: Vec<(Origin, InputRecord)>,
}

impl Records {
    fn put(&mut self, topic: Topic, value: &Value) {
        self.offset += 1;
        let payload = value.to_string();
        let raw = RawRecord {
            topic,
            partition: 0,
            offset: self.offset,
            arrival: None,
            exercise: false,
            key: None,
            payload: Some(payload.as_bytes()),
        };
        let origin = Origin {
            topic: topic.id(),
            partition: 0,
            offset: self.offset,
        };
        let decoded = decode(&raw).unwrap_or_else(|rejection| panic!("{payload}: {}", rejection.detail));
        self.records.push((origin, decoded));
    }
}

/// Whether each rule is on, at each minute: an epoch a minute, which brings the results of that minute.
fn answers(pairs: &[Pair]) -> Vec<Vec<bool>> {
    let mut records = Records::default();
    for (number, pair) in pairs.iter().enumerate() {
        let name = series_name(number);
        records.put(
            Topic::BASE_ASSET,
            &json!({ "id": name, "category": "tank", "domain": "work_safety", "region": "330902001001", "inherent_level": 3 }),
        );
        records.put(
            Topic::BASE_DATASTREAM,
            &json!({ "id": name, "asset": name, "observed_property": name }),
        );
        records.put(Topic::IN_RULE, &pair.rule(number));
    }
    let minutes = pairs.iter().map(|pair| pair.series.len()).max().unwrap();
    let mut history = Vec::new();
    for minute in 0..minutes {
        let now = START + minute as i64 * 60_000;
        for (number, pair) in pairs.iter().enumerate() {
            if let Some(result) = pair.series.get(minute).copied().flatten() {
                records.put(
                    Topic::IN_OBSERVATION,
                    &json!({ "datastream": series_name(number), "phenomenon_time": now, "result": result }),
                );
            }
        }
        history.push(EpochInput {
            epoch: Millis(now),
            records: std::mem::take(&mut records.records),
        });
    }
    let numbers: BTreeMap<String, usize> = (0..pairs.len()).map(|number| (rule_name(number), number)).collect();
    let mut on: Vec<Vec<bool>> = pairs.iter().map(|pair| Vec::with_capacity(pair.series.len())).collect();
    let mut open = vec![0; pairs.len()];
    for (minute, output) in replay(history, 2, semantics(), &Meters::default())
        .unwrap()
        .iter()
        .enumerate()
    {
        assert_eq!(output.log::<DeadLetter>().next(), None);
        for (warning, diff) in output.table::<WarningState>() {
            open[numbers[&warning.rule.to_string()]] += diff;
        }
        for ((on, open), pair) in on.iter_mut().zip(&open).zip(pairs) {
            assert!(matches!(open, 0 | 1), "one warning of a rule at a time");
            if minute < pair.series.len() {
                on.push(*open == 1);
            }
        }
    }
    on
}

/// The minutes at which something is so, as ranges.
fn minutes(on: impl Iterator<Item = bool>) -> String {
    let mut shown = String::new();
    let mut begin = None;
    for (minute, on) in on.chain([false]).enumerate() {
        match (begin, on) {
            (None, true) => begin = Some(minute),
            (Some(from), false) => {
                let _ = write!(shown, " {from}-{}", minute - 1);
                begin = None;
            }
            _ => {}
        }
    }
    if shown.is_empty() { " never".to_owned() } else { shown }
}

/// Rule, series, and both answers.
fn report(pair: &Pair, one: &Asked, differing: &BTreeSet<(usize, usize)>) -> String {
    let differs = |minute: usize| differing.contains(&(one.number, minute));
    let first = (0..one.on.len()).find(|minute| differs(*minute)).unwrap();
    let there = one.on.iter().enumerate().map(|(minute, on)| *on != differs(minute));
    format!(
        "\nfirst at minute {first}:\n  riskflow  {}\n  promtool  {}\n  series    {}\n  riskflow is on at  {}\n  promtool fires at  {}\n",
        pair.rule(one.number),
        one.alert,
        pair.values().join(" "),
        minutes(one.on.iter().copied()),
        minutes(there),
    )
}

#[test]
fn a_thousand_random_rules_are_on_when_promtool_says_so() {
    if !is_there() {
        return;
    }
    let pairs: Vec<Pair> = (0..PAIRS).map(drawn::pair).collect();
    let asked: Vec<Asked> = answers(&pairs)
        .into_iter()
        .zip(&pairs)
        .enumerate()
        .map(|(number, (on, pair))| Asked {
            number,
            series: pair.input_series(number),
            alert: pair.alert(number),
            on,
        })
        .collect();
    let found: Vec<BTreeSet<(usize, usize)>> = std::thread::scope(|scope| {
        let parts: Vec<_> = asked
            .chunks(AT_A_TIME)
            .map(|part| scope.spawn(|| differences(part)))
            .collect();
        parts.into_iter().map(|part| part.join().unwrap()).collect()
    });
    let found: BTreeSet<(usize, usize)> = found.into_iter().flatten().collect();
    let rules: BTreeSet<usize> = found.iter().map(|(number, _)| *number).collect();
    let shown: String = rules
        .iter()
        .take(5)
        .map(|number| report(&pairs[*number], &asked[*number], &found))
        .collect();
    assert!(
        rules.is_empty(),
        "{} of {PAIRS} rules, the first of them:{shown}",
        rules.len()
    );
    reached(&pairs, &asked);
}

/// A comparison of rules that are never on, or never off, would show nothing.
fn reached(pairs: &[Pair], asked: &[Asked]) {
    let mut on: BTreeMap<Feature, usize> = BTreeMap::new();
    for (pair, one) in pairs.iter().zip(asked) {
        assert_eq!(one.on.len(), MINUTES + 1);
        *on.entry(pair.feature).or_default() += usize::from(one.on.contains(&true));
    }
    let least = Feature::ALL.map(|feature| on[&feature]).into_iter().min();
    assert!(least >= Some(20), "{on:?}");
    assert!(on.values().sum::<usize>() >= 300, "{on:?}");
    let turns = |of: [bool; 2]| {
        asked
            .iter()
            .filter(|one| one.on.windows(2).any(|two| two == of))
            .count()
    };
    let (raised, cleared) = (turns([false, true]), turns([true, false]));
    assert!(raised >= 300 && cleared >= 300, "{raised} raised, {cleared} cleared");
}

/// A difference by design: what stands in docs/prometheus-mapping.md, a rule, what comes near to it in Prometheus, and when each is on.
struct Differing {
    what: &'static str,
    pair: Pair,
    expression: &'static str,
    riskflow: &'static str,
    promtool: &'static str,
}

const fn plain(feature: Feature, window: usize, operator: &'static str, threshold: f64) -> Pair {
    Pair {
        series: Vec::new(),
        feature,
        window,
        operator,
        threshold,
        of: (">=", 0.0),
        quantile: 500,
        hold: 0,
        clear: 0,
    }
}

fn on(series: &str, pair: Pair) -> Pair {
    let series = series.split(' ').map(|result| result.parse().ok()).collect();
    Pair { series, ..pair }
}

fn by_design() -> Vec<Differing> {
    vec![
        Differing {
            what: "unknown is no recovery",
            pair: on("9 9 _ _ _ 1", plain(Feature::Last, 2, ">=", 5.0)),
            expression: "last_over_time(series_0[119s]) >= 5",
            riskflow: " 0-4",
            promtool: " 0-2",
        },
        Differing {
            what: "an empty window has a count",
            pair: on("9 9 _ _ _ 1", plain(Feature::Count, 2, "<", 1.0)),
            expression: "count_over_time(series_1[119s]) < 1",
            riskflow: " 3-4",
            promtool: " never",
        },
        Differing {
            what: "silence begins when the datastream is known",
            pair: on("_ _ _ _ 9 9", plain(Feature::Silence, 2, ">=", 0.0)),
            expression: "absent_over_time(series_2[119s])",
            riskflow: " 2-3",
            promtool: " 0-3",
        },
        Differing {
            what: "what happens between two evaluations counts",
            pair: Pair {
                clear: 2,
                ..on("9 _ _ 9 9 9", plain(Feature::Silence, 2, ">", 0.0))
            },
            expression: "absent_over_time(series_3[179s])",
            riskflow: " 3-4",
            promtool: " never",
        },
        Differing {
            what: "nothing is extrapolated",
            pair: on("100 100 104 104 104 104 104 104", plain(Feature::Increase, 5, ">", 4.0)),
            expression: "increase(series_4[299s]) > 4",
            riskflow: " never",
            promtool: " 2-5",
        },
        Differing {
            what: "nothing is interpolated",
            pair: on("1 1 3 3 3", plain(Feature::Quantile, 2, ">", 1.0)),
            expression: "quantile_over_time(0.5, series_5[119s]) > 1",
            riskflow: " 3-4",
            promtool: " 2-4",
        },
        Differing {
            what: "decimals are exact",
            pair: on("1.1 2.2 0 0", plain(Feature::Sum, 2, ">", 3.3)),
            expression: "sum_over_time(series_6[119s]) > 3.3",
            riskflow: " never",
            promtool: " 1-1",
        },
    ]
}

/// So promtool is seen to find what differs, too.
#[test]
fn differences_from_promtool_are_those_by_design() {
    if !is_there() {
        return;
    }
    let all = by_design();
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/prometheus-mapping.md")).unwrap();
    let pairs: Vec<Pair> = all.iter().map(|one| one.pair.clone()).collect();
    let answers = answers(&pairs).into_iter();
    let asked: Vec<Asked> = all
        .iter()
        .zip(answers)
        .enumerate()
        .map(|(number, (one, on))| Asked {
            number,
            series: one.pair.input_series(number),
            alert: alert(number, one.expression, one.pair.hold, one.pair.clear),
            on,
        })
        .collect();
    let found = differences(&asked);
    for (one, asked) in all.iter().zip(&asked) {
        let there = asked.on.iter().enumerate();
        let there = there.map(|(minute, on)| *on != found.contains(&(asked.number, minute)));
        assert_eq!(
            (&*minutes(asked.on.iter().copied()), &*minutes(there)),
            (one.riskflow, one.promtool),
            "{}",
            one.what
        );
        let sentence = format!("| {} |", one.what);
        assert!(page.contains(&sentence), "`{sentence}` is not in the page");
    }
}
