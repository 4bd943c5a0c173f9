//! The level of a rule over one gauge.

use proptest::prelude::*;
use riskflow_config::Rule;

use super::*;
use crate::warning::{Entry, Track};

const MINUTE: i64 = 60_000;

/// One rule over one gauge of an asset, and its level as it was given out.
struct Watching {
    bench: Bench,
    rule: Rule,
    track: Track,
    told: Vec<(i64, Cause)>,
}

fn rule(levels: &Value) -> Rule {
    let rule = json!({ "id": "r", "version": 1, "select": {}, "levels": levels });
    Rule::from_json(rule.to_string().as_bytes()).unwrap()
}

fn at_least(threshold: i64, more: Value) -> Value {
    let mut level = json!({ "when": { "gauge": "g", "op": ">=", "threshold": threshold } });
    level.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    level
}

impl Watching {
    fn new(gauge: Shared<Gauge>, rule: Rule) -> Self {
        let mut watching = Self {
            bench: Bench::new(HOUR * 1_000, gauge),
            rule,
            track: Track::new(),
            told: Vec::new(),
        };
        let row = watching.on_asset();
        watching.epoch(0, vec![(row, 1)]);
        watching
    }

    fn on_asset(&self) -> OfSubject {
        let over = OverGauges {
            entry: Entry {
                thresholds: self.rule.thresholds(None),
                rule: self.rule.clone(),
                scaled: None,
                givers: None,
            },
            gauges: vec![Some(self.bench.gauge.clone())],
        };
        OfSubject::Watched(Box::new(OnAsset {
            asset: Id::new("a1"),
            base: 1,
            entries: vec![over],
        }))
    }

    fn epoch(&mut self, now: i64, changes: Vec<(OfSubject, Diff)>) {
        let key = self.bench.subject.key();
        let changes = changes.into_iter().map(|(row, diff)| ((key, row), diff));
        let mut out = Vec::new();
        self.bench.keyed.rows(Millis(now), changes.collect());
        self.bench.keyed.settle(Millis(now), &mut out);
        for (given, diff) in out {
            let GaugeOutput::Finding(Finding::Revision(revision)) = given else {
                continue;
            };
            assert_eq!((diff, &*revision.rule, revision.gone), (1, "r", false));
            if let Some(cause) = revision.cause {
                assert_eq!(revision.from, i64::MIN, "the whole track");
                self.track = revision.tail;
                self.told.push((now, cause));
            }
        }
    }

    /// An epoch after which there are these spans.
    fn set(&mut self, now: i64, spans: Vec<GaugeSpan>) {
        let rows = |bench: &Bench, diff| bench.rows(diff).into_iter().map(move |((_, row), diff)| (row, diff));
        let mut changes: Vec<_> = rows(&self.bench, -1).collect();
        self.bench.spans = spans;
        changes.extend(rows(&self.bench, 1));
        self.epoch(now, changes);
    }

    /// All is saved and loaded, and comes again.
    fn reload(&mut self, now: i64) {
        self.bench.save_and_load(now);
        let mut rows: Vec<_> = self
            .bench
            .rows(1)
            .into_iter()
            .map(|((_, row), diff)| (row, diff))
            .collect();
        rows.push((self.on_asset(), 1));
        let told = self.told.len();
        self.epoch(now, rows);
        assert_eq!(self.told.len(), told, "a restart says nothing");
    }

    /// Passes through all that falls due until then.
    fn pass(&mut self, until: i64) {
        while let Some(due) = self.bench.wake().filter(|due| *due <= until) {
            self.epoch(due, Vec::new());
        }
        self.epoch(until, Vec::new());
    }
}

#[test]
fn a_count_that_holds_and_clears() {
    let levels = json!({
        "blue": at_least(2, json!({ "hold": "2m", "clear": "1m" })),
        "red": at_least(3, json!({ "margin": 1, "clear": "5m" })),
    });
    let mut watching = Watching::new(gauge(json!({ "measure": "count" })), rule(&levels));
    let two = vec![span("a", 0, 60 * MINUTE), span("b", 10 * MINUTE, 30 * MINUTE)];
    watching.set(10 * MINUTE, two.clone());
    assert_eq!(watching.track, [], "it has not held for two minutes");
    watching.pass(12 * MINUTE);
    assert_eq!(watching.track, [(12 * MINUTE, Level::Blue)]);
    assert_eq!(watching.told, [(12 * MINUTE, Cause::Clock)]);
    // A third one that came late makes it red for as long as it was there and five minutes: two are above what turns it off.
    let mut three = two.clone();
    three.push(span("c", 11 * MINUTE, 14 * MINUTE));
    watching.set(20 * MINUTE, three);
    assert_eq!(watching.track, [(11 * MINUTE, Level::Red)]);
    watching.pass(70 * MINUTE);
    let ended = [(11 * MINUTE, Level::Red), (35 * MINUTE, Level::None)];
    assert_eq!(watching.track, ended);
    // It never was.
    watching.set(71 * MINUTE, two);
    assert_eq!(watching.track, [(12 * MINUTE, Level::Blue), (31 * MINUTE, Level::None)]);
    assert_eq!(watching.told.last(), Some(&(71 * MINUTE, Cause::Correction)));
}

#[test]
fn time_that_passes_raises_a_level() {
    let levels = json!({ "yellow": at_least(1_800, json!({})) });
    let elapsed = gauge(json!({ "measure": "elapsed", "gap": "5m" }));
    let mut watching = Watching::new(elapsed, rule(&levels));
    watching.set(MINUTE, vec![span("a", 0, OPEN)]);
    assert_eq!(watching.bench.wake(), Some(30 * MINUTE));
    watching.pass(40 * MINUTE);
    assert_eq!(watching.track, [(30 * MINUTE, Level::Yellow)]);
    // It was out for longer than the gap: it begins anew.
    watching.set(
        41 * MINUTE,
        vec![span("a", 0, 10 * MINUTE), span("b", 20 * MINUTE, OPEN)],
    );
    assert_eq!(watching.track, []);
    watching.reload(42 * MINUTE);
    watching.pass(60 * MINUTE);
    assert_eq!(watching.track, [(50 * MINUTE, Level::Yellow)]);
}

/// A span by ticks of ten seconds before or after its epoch.
fn drawn() -> impl Strategy<Value = (usize, i64, i64, usize)> {
    (0..6usize, -90..10i64, 0..40i64, 0..5usize)
}

fn measures() -> Vec<(Value, Value)> {
    let many = json!({
        "blue": at_least(1, json!({ "hold": "1m" })),
        "yellow": at_least(2, json!({ "margin": 1, "clear": "2m" })),
        "red": at_least(3, json!({ "hold": "20s", "clear": "30s" })),
    });
    let long = json!({
        "blue": at_least(60, json!({ "margin": 20 })),
        "orange": at_least(300, json!({ "hold": "1m", "clear": "1m" })),
    });
    vec![
        (json!({ "measure": "count" }), many.clone()),
        (json!({ "measure": "highest" }), many.clone()),
        (json!({ "measure": "starts", "bucket": "hour" }), many),
        (json!({ "measure": "elapsed", "gap": "1m" }), long.clone()),
        (json!({ "measure": "covered", "bucket": "hour" }), long),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// What was learnt bit by bit, late or not, through restarts, is what is learnt at once.
    #[test]
    fn the_way_does_not_matter(epochs in prop::collection::vec((1..40i64, prop::collection::vec(drawn(), 0..3), any::<bool>()), 1..12)) {
        for (measure, levels) in measures() {
            let (measure, rule) = (gauge(measure), rule(&levels));
            let mut watching = Watching::new(measure.clone(), rule.clone());
            let mut now = 100 * 10_000;
            let mut spans: BTreeMap<usize, GaugeSpan> = BTreeMap::new();
            for (gap, edits, restarts) in &epochs {
                now += gap * 10_000;
                for (id, from, length, level) in edits {
                    let from = now + from * 10_000;
                    let to = if *length == 39 { OPEN } else { from + length * 10_000 };
                    spans.remove(id);
                    // A length of 0 takes it away.
                    if *length > 0 {
                        let level = Level::ALL[*level];
                        spans.insert(*id, GaugeSpan { level, ..span(&id.to_string(), from, to) });
                    }
                }
                watching.set(now, spans.values().cloned().collect());
                if *restarts {
                    watching.reload(now);
                }
            }
            let mut at_once = Watching::new(measure, rule);
            at_once.set(now, spans.values().cloned().collect());
            prop_assert_eq!(&watching.track, &at_once.track);
        }
    }
}
