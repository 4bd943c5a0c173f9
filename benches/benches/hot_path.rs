//! The pieces of the hot path by themselves: decoding an observation, and the monitor taking it in.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use riskflow_config::{InputRecord, Rule, TimeSettings, UnknownSettings};
use riskflow_connectors::{RawRecord, decode};
use riskflow_model::observation::{Observation, Quality, Reading, Said};
use riskflow_model::output::Origin;
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, Key, Millis};
use riskflow_operators::engine::{FoldMeter, Keyed, arrived};
use riskflow_operators::warning::{Entry, Incoming, Monitor, Observed, Specification, Subject};

const KEYS: u64 = 10_000;

fn decoding(criterion: &mut Criterion) {
    let integer =
        br#"{"datastream":"ds-000123","phenomenon_time":1627171200000,"result":41.37,"quality":"good","unit":"kPa"}"#;
    let rfc = br#"{"datastream":"ds-000123","phenomenon_time":"2021-07-25T08:00:00.000+08:00","result":41.37}"#;
    for (name, payload) in [("integer time", integer.as_slice()), ("rfc 3339 time", rfc.as_slice())] {
        criterion.bench_function(&format!("decode: {name}"), |bencher| {
            let record = RawRecord {
                topic: Topic::IN_OBSERVATION,
                partition: 0,
                offset: 0,
                arrival: None,
                exercise: false,
                key: None,
                payload: Some(payload),
            };
            bencher.iter(|| matches!(decode(black_box(&record)), Ok(InputRecord::Observation(_))));
        });
    }
}

fn monitoring(criterion: &mut Criterion) {
    criterion.bench_function("monitor: 10,000 observations in order, 10,000 datastreams", |bencher| {
        let time = TimeSettings {
            horizon: Duration(600_000),
            max_future: Duration(60_000),
            late_after: Duration(60_000),
            retain: Duration(0),
            forecast_age: Duration::ZERO,
            event_age: Duration::ZERO,
            event_ahead: Duration::ZERO,
        };
        let monitor = Monitor::new(
            time,
            UnknownSettings {
                hold: Duration(0),
                max_observations: 0,
                max_bytes: 0,
            },
        );
        let mut keyed = Keyed::new(monitor, Arc::new(FoldMeter::default()));
        let Ok(rule) = Rule::from_json(riskflow_benches::load::RULE.as_bytes()) else {
            return;
        };
        let start = riskflow_benches::load::START;
        let changes = (0..KEYS).map(|i| {
            let (rule, thresholds) = (rule.clone(), rule.thresholds(None));
            let specification = Specification {
                subject: Subject {
                    datastream: i.to_string().into(),
                    asset: Some("a".into()),
                    interval: None,
                    unit: "".into(),
                    base: 1,
                },
                entries: vec![Entry {
                    rule,
                    thresholds,
                    scaled: None,
                    givers: None,
                }],
                valid: None,
                states: None,
            };
            ((Key::of(&i.to_string()), Box::new(specification)), 1)
        });
        keyed.rows(Millis(start), changes.collect());
        let mut out = Vec::new();
        keyed.settle(Millis(start), &mut out);
        let keys: Vec<Key> = (0..KEYS).map(|i| Key::of(&i.to_string())).collect();
        let mut now = start;
        bencher.iter(|| {
            now += 10_000;
            let observed = keys.iter().map(|key| Observed {
                origin: Origin::default(),
                observation: Observation {
                    datastream: *key,
                    id: "".into(),
                    time: Millis(now - 500),
                    said: Said::Number(Reading {
                        result: 40.0,
                        quality: Quality::Good,
                    }),
                },
            });
            keyed.records(arrived::<Monitor>(observed.map(Incoming::Observed)));
            out.clear();
            keyed.settle(Millis(now), &mut out);
        });
    });
}

criterion_group!(benches, decoding, monitoring);
criterion_main!(benches);
