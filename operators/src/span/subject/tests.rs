//! One gauge of one asset, driven by plain calls.

mod levels;
mod model;

use std::cell::RefCell;
use std::rc::Rc;

use riskflow_model::event::Event;
use riskflow_model::gauge::SubjectKind;
use riskflow_model::intake::{Permit, PermitKind};
use riskflow_model::{Id, Level, Number, Text};
use serde_json::{Value, json};

use super::*;
use crate::engine::{Keyed, Offer};
use crate::gauge::ALWAYS;
use crate::span::{GaugeSpan, NeededSpan, What};

const HOUR: i64 = 3_600_000;

/// One group, and what stands in the output of it.
struct Bench {
    keyed: Keyed<Gauges>,
    age: Duration,
    gauge: Shared<Gauge>,
    subject: Subject,
    /// The spans that there are.
    spans: Vec<GaugeSpan>,
    /// Those that there are anywhere and that others may need.
    needed: Vec<NeededSpan>,
    standing: Option<Arc<GaugeState>>,
}

/// What a row says.
#[derive(Debug, PartialEq)]
struct Shown {
    value: Option<f64>,
    level: Option<Level>,
    since: Option<i64>,
    /// The identifiers of the members, one after the other.
    members: String,
}

impl Bench {
    fn new(age: i64, gauge: Shared<Gauge>) -> Self {
        let age = Duration(age);
        Self {
            keyed: keyed(age),
            age,
            gauge,
            subject: Subject {
                kind: SubjectKind::Asset,
                id: "a1".into(),
                region: "330902".parse().unwrap(),
            },
            spans: Vec::new(),
            needed: Vec::new(),
            standing: None,
        }
    }

    fn rows(&self, diff: Diff) -> Vec<((Key, OfSubject), Diff)> {
        let row = |span: GroupSpan| {
            OfSubject::Counted(Counted {
                gauge: self.gauge.clone(),
                subject: self.subject.clone(),
                span,
            })
        };
        let needs = |on: &[Text], span: &GaugeSpan| span.tuple.is_some() && span.needs.as_deref() == Some(on);
        let is_needed = |needed: &&NeededSpan| self.spans.iter().any(|span| needs(&needed.on, span));
        let needed = self.needed.iter().filter(is_needed).cloned().map(GroupSpan::Needed);
        let rows = self.spans.iter().cloned().map(GroupSpan::Own).chain(needed).map(row);
        rows.map(|row| ((self.subject.key(), row), diff)).collect()
    }

    /// An epoch in which something changes.
    fn set(&mut self, now: i64, change: impl FnOnce(&mut Self)) {
        let mut changes = self.rows(-1);
        change(self);
        changes.extend(self.rows(1));
        self.epoch(now, changes);
    }

    /// An epoch in which nothing does.
    fn pass(&mut self, now: i64) {
        self.epoch(now, Vec::new());
    }

    fn epoch(&mut self, now: i64, changes: Vec<((Key, OfSubject), Diff)>) {
        let mut out = Vec::new();
        self.keyed.rows(Millis(now), changes);
        self.keyed.settle(Millis(now), &mut out);
        let before = self.standing.clone();
        let given = !out.is_empty();
        for (given, diff) in out {
            let GaugeOutput::State(row) = given else {
                panic!("no rule watches it")
            };
            if diff > 0 {
                assert!(self.standing.replace(row).is_none(), "a group has one row");
            } else {
                assert_eq!(self.standing.take(), Some(row), "what goes was given");
            }
        }
        assert_eq!(given, before != self.standing, "what is the same is not given");
    }

    /// All is saved, and loaded.
    fn save_and_load(&mut self, now: i64) {
        let chunks = Rc::new(RefCell::new(Vec::new()));
        let kept = Rc::clone(&chunks);
        let mut offer: Offer = Box::new(move |_, chunk, _| {
            kept.borrow_mut().push(std::mem::take(chunk));
            true
        });
        self.keyed.begin_snapshot(now as u64, Millis(now));
        while self.keyed.step_snapshot(&mut offer) {}
        self.keyed = keyed(self.age);
        for chunk in chunks.borrow().iter() {
            self.keyed.load(chunk, 0, 1).unwrap();
        }
    }

    /// All is saved, loaded, and made of the spans again.
    fn reload(&mut self, now: i64) {
        self.save_and_load(now);
        let mut out = Vec::new();
        self.keyed.recall(&mut out);
        let recalled = self.standing.iter();
        let recalled: Vec<_> = recalled.map(|row| (GaugeOutput::State(Arc::clone(row)), 1)).collect();
        assert_eq!(out, recalled);
        let rows = self.rows(1);
        let before = self.standing.clone();
        self.epoch(now, rows);
        assert_eq!(self.standing, before, "a restart changes nothing");
    }

    fn wake(&mut self) -> Option<i64> {
        self.keyed.next_due().map(|due| due.0)
    }

    fn shown(&self) -> Option<Shown> {
        let row = self.standing.as_ref()?;
        assert_eq!((&row.title, row.region), (&self.gauge.title, self.subject.region));
        Some(Shown {
            value: row.value.map(|value| value.0),
            level: row.level,
            since: row.since.map(|since| since.0),
            members: row.members.iter().map(|member| &*member.id).collect(),
        })
    }
}

fn keyed(age: Duration) -> Keyed<Gauges> {
    let gauges = Gauges {
        age,
        late_after: Duration(60_000),
        remember: Duration(6 * HOUR),
        calendar: Civil::default(),
    };
    Keyed::new(gauges, Arc::default())
}

fn gauge(rest: Value) -> Shared<Gauge> {
    let mut written = json!({ "id": "g", "title": "first", "by": "asset" });
    let Value::Object(rest) = rest else {
        panic!("a gauge is an object")
    };
    written.as_object_mut().unwrap().extend(rest);
    Shared::new(serde_json::from_value(written).unwrap())
}

/// A gauge of each measure.
fn gauges() -> [Shared<Gauge>; 10] {
    [
        json!({ "measure": "count" }),
        json!({ "measure": "sum" }),
        json!({ "measure": "distinct", "attributes": ["line"] }),
        json!({ "measure": "highest" }),
        json!({ "measure": "highest", "number": "speed" }),
        json!({ "measure": "elapsed", "gap": "20m" }),
        json!({ "measure": "fused", "attributes": ["line"], "at_least": 2 }),
        json!({ "measure": "covered", "bucket": "hour" }),
        json!({ "measure": "starts", "bucket": "hour" }),
        json!({ "measure": "missing", "attributes": ["line"], "needs": { "of": "certificate", "on": ["paper"] } }),
    ]
    .map(gauge)
}

/// One that is blue and counts as one.
fn span(id: &str, from: i64, to: i64) -> GaugeSpan {
    let event = json!({
        "id": id, "kind": "smoke", "time": 0, "asset": "a1", "source": "camera", "evidence": "a picture",
    });
    let event: Event = serde_json::from_value(event).unwrap();
    GaugeSpan {
        from: Millis(from),
        to: Millis(to),
        level: Level::Blue,
        weight: 1_000,
        tuple: None,
        needs: None,
        number: None,
        what: What::Event {
            event: Shared::new(event),
            confirmed: false,
        },
    }
}

/// One who works under permit `p`, and needs a certificate.
fn at_work(holder: &str, from: i64, to: i64) -> GaugeSpan {
    let permit = Permit {
        id: Id::new("p"),
        version: 1,
        kind: PermitKind::Work,
        work_type: "hot_work".into(),
        asset: Some(Id::new("a1")),
        holders: vec!["ann".into(), "bo".into(), "cy".into()],
        valid_from: Some(Millis(from)),
        valid_to: Some(Millis(to)),
        cancelled_from: None,
    };
    GaugeSpan {
        level: Level::None,
        tuple: tuple(holder),
        needs: tuple(holder),
        what: What::Holder(Shared::new(permit), holder.into()),
        ..span("", from, to)
    }
}

/// What somebody at work needs.
fn certificate(holder: &str, from: i64, to: i64) -> NeededSpan {
    NeededSpan {
        from: Millis(from),
        to: Millis(to),
        on: Box::from([Text::from(holder)]),
    }
}

fn tuple(line: &str) -> Option<Box<[Text]>> {
    Some(Box::from([Text::from(line)]))
}

fn number(value: f64, since: i64, members: &str) -> Option<Shown> {
    Some(Shown {
        value: Some(value),
        level: None,
        since: Some(since),
        members: members.to_owned(),
    })
}

fn level(level: Level, since: i64, members: &str) -> Option<Shown> {
    Some(Shown {
        value: None,
        level: Some(level),
        since: Some(since),
        members: members.to_owned(),
    })
}

fn elapsed(since: i64, members: &str) -> Option<Shown> {
    Some(Shown {
        value: None,
        level: None,
        since: Some(since),
        members: members.to_owned(),
    })
}

#[test]
fn each_measure_of_three_spans() {
    let spans = [
        GaugeSpan {
            weight: 2_000,
            tuple: tuple("x"),
            needs: tuple("paper"),
            number: Some(5_000),
            ..span("a", 10, 40)
        },
        GaugeSpan {
            level: Level::Orange,
            weight: 500,
            tuple: tuple("x"),
            needs: tuple("paper"),
            number: Some(1_500),
            ..span("b", 20, 60)
        },
        GaugeSpan {
            level: Level::Yellow,
            tuple: tuple("y"),
            ..span("c", 30, 50)
        },
    ];
    // At 35, where all of them hold; at 45, where the first is over; and at 70, where all are.
    let (all, two) = ("bca", "bc");
    let expected = [
        [number(3.0, 30, all), number(2.0, 40, two), None],
        [number(3.5, 30, all), number(1.5, 40, two), None],
        [number(2.0, 30, all), number(2.0, 30, two), None],
        [level(Level::Orange, 20, all), level(Level::Orange, 20, two), None],
        [number(5.0, 10, all), number(1.5, 40, two), None],
        [elapsed(10, all), elapsed(10, two), None],
        [level(Level::Red, 30, all), level(Level::Red, 30, two), None],
        [number(0.0, 10, all), number(0.0, 10, two), number(50.0, 60, "")],
        [number(3.0, 30, all), number(3.0, 30, two), number(3.0, 30, "")],
        [number(1.0, 10, all), number(1.0, 10, two), None],
    ];
    for (gauge, expected) in gauges().into_iter().zip(expected) {
        let measure = gauge.measure;
        let mut bench = Bench::new(1_000, gauge);
        bench.set(35, |bench| bench.spans = spans.to_vec());
        let first = bench.shown();
        bench.reload(35);
        let later = [45, 70].map(|at| {
            bench.pass(at);
            bench.shown()
        });
        let [second, third] = later;
        assert_eq!([first, second, third], expected, "{measure:?}");
        bench.pass(HOUR);
        assert_eq!(bench.shown(), None, "{measure:?}");
    }
}

#[test]
fn members_say_what_events_do() {
    let mut bench = Bench::new(1_000, gauge(json!({ "measure": "count" })));
    bench.set(20, |bench| {
        let few = GaugeSpan {
            weight: 250,
            ..span("few", 10, OPEN)
        };
        bench.spans = vec![few, span("more", 15, 40)];
    });
    let row = bench.standing.as_ref().unwrap();
    assert_eq!((&*row.gauge, &*row.subject.id), ("g", "a1"));
    let [more, few] = row.members.as_slice() else {
        panic!("{row:?}")
    };
    assert_eq!((more.of, &*more.id, &*more.kind), (SpanKind::Event, "more", "smoke"));
    assert_eq!(more.level, Level::Blue);
    assert_eq!((more.from, more.to), (Millis(15), Some(Millis(40))));
    assert_eq!((&*more.source, &*more.evidence), ("camera", "a picture"));
    assert_eq!((few.weight, few.to), (Number(0.25), None));
}

#[test]
fn the_clock_uncovers_borders_and_ends_of_buckets() {
    let mut bench = Bench::new(1_000, gauge(json!({ "measure": "count" })));
    bench.set(5, |bench| bench.spans.push(span("a", 10, 40)));
    assert_eq!((bench.shown(), bench.wake()), (None, Some(10)));
    bench.pass(10);
    assert_eq!((bench.shown(), bench.wake()), (number(1.0, 10, "a"), Some(40)));
    bench.pass(40);
    assert_eq!((bench.shown(), bench.wake()), (None, None));

    let mut covered = Bench::new(1_000, gauge(json!({ "measure": "covered", "bucket": "hour" })));
    covered.set(20, |bench| bench.spans.push(span("a", 10, HOUR + 5)));
    assert_eq!((covered.shown(), covered.wake()), (number(0.0, 10, "a"), Some(HOUR)));
    covered.pass(HOUR);
    assert_eq!(
        (covered.shown(), covered.wake()),
        (number(0.0, HOUR, "a"), Some(HOUR + 5))
    );
    covered.pass(HOUR + 7);
    assert_eq!(
        (covered.shown(), covered.wake()),
        (number(5.0, HOUR + 5, ""), Some(2 * HOUR))
    );
    covered.pass(2 * HOUR);
    assert_eq!((covered.shown(), covered.wake()), (None, None));

    let mut starts = Bench::new(1_000, gauge(json!({ "measure": "starts", "bucket": "hour" })));
    // It holds at no instant.
    starts.set(20, |bench| bench.spans.push(span("a", 30, 30)));
    assert_eq!((starts.shown(), starts.wake()), (None, Some(30)));
    starts.pass(30);
    assert_eq!((starts.shown(), starts.wake()), (number(1.0, 30, ""), Some(HOUR)));
    starts.pass(HOUR);
    assert_eq!((starts.shown(), starts.wake()), (None, None));
}

#[test]
fn a_span_that_is_withdrawn_long_after_was_there_before_the_floor() {
    let mut count = Bench::new(1_000, gauge(json!({ "measure": "count" })));
    count.set(100, |bench| bench.spans.push(span("a", 100, OPEN)));
    count.set(5_000, |bench| bench.spans.push(span("b", 4_500, OPEN)));
    assert_eq!(count.shown(), number(2.0, 4_500, "ab"));
    count.set(10_000, |bench| drop(bench.spans.pop()));
    assert_eq!(count.shown(), number(1.0, 9_000, "a"), "until 9000 there were two");
    count.set(20_000, |bench| bench.spans.push(span("c", 30_000, OPEN)));
    count.reload(20_000);
    assert_eq!(count.shown(), number(1.0, 9_000, "a"), "the past of the past");
    count.pass(30_000);
    assert_eq!(count.shown(), number(2.0, 30_000, "ac"));

    let elapsed_since = |gap: Option<&str>, since: i64| {
        let mut bench = Bench::new(1_000, gauge(json!({ "measure": "elapsed", "gap": gap })));
        bench.set(100, |bench| bench.spans.push(span("a", 100, OPEN)));
        bench.set(50_000, |bench| bench.spans = vec![span("b", 49_500, OPEN)]);
        assert_eq!(bench.shown(), elapsed(since, "b"), "{gap:?}");
        bench.reload(50_000);
        bench.set(60_000, |bench| bench.spans.push(span("c", 59_000, OPEN)));
        assert_eq!(bench.shown(), elapsed(since, "bc"), "{gap:?}");
    };
    // From 49000 to 49500 there is none.
    elapsed_since(None, 49_500);
    elapsed_since(Some("1s"), 100);
}

#[test]
fn of_equal_numbers_the_first_one_says_since_when() {
    let numbered = |id, from, to, number| GaugeSpan {
        number: Some(number),
        ..span(id, from, to)
    };
    let mut bench = Bench::new(1_000, gauge(json!({ "measure": "highest", "number": "speed" })));
    bench.set(300, |bench| {
        bench.spans = vec![numbered("a", 200, OPEN, 3_000), numbered("b", 100, OPEN, 5_000)];
    });
    assert_eq!(bench.shown(), number(5.0, 100, "ba"));
    bench.set(10_000, |bench| drop(bench.spans.pop()));
    assert_eq!(bench.shown(), number(3.0, 9_000, "a"));
    bench.set(10_060, |bench| bench.spans.push(numbered("c", 10_050, 10_080, 3_000)));
    assert_eq!(bench.shown(), number(3.0, 9_000, "ac"));
    bench.set(20_000, |bench| bench.spans = vec![numbered("d", 150, OPEN, 3_000)]);
    assert_eq!(bench.shown(), number(3.0, 9_000, "d"));
    bench.set(30_000, |bench| bench.spans.push(numbered("e", 30_000, OPEN, 2_000)));
    bench.set(30_001, |bench| drop(bench.spans.remove(0)));
    assert_eq!(
        bench.shown(),
        number(2.0, 30_000, "e"),
        "before it, none was left from 29001 on"
    );
}

#[test]
fn what_began_before_the_floor_began() {
    let mut bench = Bench::new(1_000, gauge(json!({ "measure": "starts", "bucket": "hour" })));
    bench.set(2_000, |bench| {
        bench.spans = vec![span("a", 1_500, 1_500), span("b", 1_600, 1_600)]
    });
    assert_eq!(bench.shown(), number(2.0, 1_600, ""));
    bench.set(3_000, |bench| drop(bench.spans.remove(0)));
    assert_eq!(bench.shown(), number(2.0, 1_600, ""));
    bench.set(3_100, |bench| bench.spans.push(span("c", 3_050, 3_050)));
    assert_eq!(bench.shown(), number(3.0, 3_050, ""));
    bench.set(3_200, |bench| drop(bench.spans.pop()));
    bench.reload(3_200);
    assert_eq!(
        bench.shown(),
        number(2.0, 1_600, ""),
        "what began since then comes and goes"
    );
    bench.pass(HOUR);
    assert_eq!((bench.shown(), bench.wake()), (None, None));
}

#[test]
fn who_works_without_a_certificate_is_missing_one() {
    let needs = json!({ "of": "certificate", "on": ["holder"] });
    let missing = json!({ "of": "holder", "measure": "missing", "attributes": ["holder"], "needs": needs });
    let mut bench = Bench::new(1_000, gauge(missing));
    bench.set(20, |bench| {
        bench.spans = vec![at_work("bo", 10, 5_000), at_work("ann", 10, 5_000)];
        bench.needed = vec![certificate("ann", ALWAYS, 100), certificate("cy", 30, 40)];
    });
    assert_eq!((bench.shown(), bench.wake()), (number(1.0, 10, "pp"), Some(100)));
    let members = &bench.standing.as_ref().unwrap().members;
    assert!(members.iter().all(|member| member.of == SpanKind::Holder));
    let holders: Vec<&str> = members.iter().map(|member| &*member.source).collect();
    assert_eq!(holders, ["ann", "bo"]);
    bench.pass(100);
    assert_eq!((bench.shown(), bench.wake()), (number(2.0, 100, "pp"), Some(5_000)));
    // It comes long after, and counts from its beginning on.
    bench.set(3_000, |bench| bench.needed.push(certificate("bo", 10, 4_000)));
    assert_eq!((bench.shown(), bench.wake()), (number(1.0, 100, "pp"), Some(4_000)));
    bench.reload(3_000);
    bench.pass(4_000);
    assert_eq!(bench.shown(), number(2.0, 4_000, "pp"));
    bench.set(4_200, |bench| drop(bench.spans.remove(0)));
    assert_eq!(bench.shown(), number(1.0, 100, "p"), "as if bo had never been there");
    // Two certificates that are the same: one of them goes.
    bench.set(4_600, |bench| {
        bench.needed = vec![certificate("ann", 4_500, OPEN), certificate("ann", 4_500, OPEN)];
    });
    assert_eq!(bench.shown(), number(0.0, 4_500, "p"));
    bench.set(4_700, |bench| drop(bench.needed.pop()));
    assert_eq!(bench.shown(), number(0.0, 4_500, "p"));
    // Without the texts one is there, and not counted.
    bench.set(4_800, |bench| {
        let needs = None;
        bench.spans.push(GaugeSpan {
            needs,
            ..at_work("cy", 10, 5_000)
        });
    });
    assert_eq!(bench.shown(), number(0.0, 4_500, "pp"));
    bench.set(4_900, |bench| bench.needed.clear());
    assert_eq!((bench.shown(), bench.wake()), (number(1.0, 10, "pp"), Some(5_000)));
    bench.reload(4_900);
    bench.pass(5_000);
    assert_eq!((bench.shown(), bench.wake()), (None, None));
}

#[test]
fn a_gauge_that_changes_begins_anew_and_an_asset_that_moves_does_not() {
    let mut bench = Bench::new(1_000, gauge(json!({ "measure": "count" })));
    bench.set(100, |bench| bench.spans.push(span("a", 100, OPEN)));
    bench.set(5_000, |bench| bench.spans.push(span("b", 200, OPEN)));
    assert_eq!(
        bench.shown(),
        number(2.0, 4_000, "ab"),
        "what comes late counts from the floor on"
    );
    bench.set(9_000, |bench| bench.subject.region = "330903".parse().unwrap());
    assert_eq!(bench.shown(), number(2.0, 4_000, "ab"));
    bench.reload(9_000);
    let other = |bench: &mut Bench| {
        let title = "second".into();
        bench.gauge = Shared::new(Gauge {
            title,
            ..Gauge::clone(&bench.gauge)
        });
    };
    bench.set(10_000, other);
    assert_eq!(bench.shown(), number(2.0, 200, "ab"));
}

#[test]
fn a_group_without_spans_is_forgotten() {
    let mut bench = Bench::new(1_000, gauge(json!({ "measure": "count" })));
    bench.set(100, |bench| bench.spans.push(span("a", 100, OPEN)));
    bench.set(9_000, |bench| bench.spans.clear());
    assert_eq!((bench.shown(), bench.wake()), (None, None));
    bench.reload(9_000);
    bench.set(9_100, |bench| bench.spans.push(span("a", 100, OPEN)));
    assert_eq!(bench.shown(), number(1.0, 100, "a"), "it is new");
    // What comes and goes in one epoch was never there.
    let mut changes = bench.rows(1);
    changes.extend(bench.rows(-1));
    let mut empty = Bench::new(1_000, gauge(json!({ "measure": "count" })));
    empty.epoch(9_200, changes);
    assert_eq!((empty.shown(), empty.wake()), (None, None));
}
