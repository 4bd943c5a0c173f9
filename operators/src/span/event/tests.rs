//! One identifier, driven by plain calls.

use serde_json::{Value, json};

use super::*;

const AGE: i64 = 1_000;

/// Times are told from here on.
const START: i64 = 1_795_700_000_000;

fn after(time: i64) -> i64 {
    if time == i64::MAX { time } else { time - START }
}

struct Bench {
    state: EventState,
    /// The spans that stand by what was given: beginning, end and whether confirmed.
    standing: Vec<EventSpan>,
    wake: Option<i64>,
}

impl Bench {
    fn new() -> Self {
        Self {
            state: EventState::default(),
            standing: Vec::new(),
            wake: None,
        }
    }

    fn epoch(&mut self, now: i64, verdict: Option<(Verdict, Diff)>, records: &[Value]) -> Option<(i64, i64, bool)> {
        let (mut fold, key, now) = (Events { age: Duration(AGE) }, Key::of("e"), Millis(START + now));
        if let Some(change) = verdict {
            fold.rows(now, key, &mut self.state, &mut std::iter::once(change));
        }
        for record in records {
            let mut written = json!({ "id": "e", "kind": "smoke", "asset": "a" });
            let fields = written.as_object_mut().unwrap();
            fields.extend(record.as_object().unwrap().clone());
            for name in ["time", "to"] {
                if let Some(time) = fields.get(name).and_then(Value::as_i64) {
                    fields.insert(name.to_owned(), (START + time).into());
                }
            }
            let mut record = EventRecord {
                origin: Origin::default(),
                event: Arc::new(serde_json::from_value(written).unwrap()),
            };
            fold.record(now, key, &mut self.state, &mut record);
        }
        let mut out = Vec::new();
        self.wake = match fold.settle(now, key, &mut self.state, &mut out) {
            Next::Wake(due) => Some(after(due.0)),
            Next::Keep => None,
            Next::Forget => {
                self.state = EventState::default();
                None
            }
        };
        for (span, diff) in out {
            if diff > 0 {
                self.standing.push(span);
            } else {
                let place = self.standing.iter().position(|standing| *standing == span);
                self.standing.remove(place.expect("what goes was given"));
            }
        }
        assert!(self.standing.len() <= 1, "an event is one span: {:?}", self.standing);
        let shown = self.standing.first();
        shown.map(|span| (after(span.from.0), after(span.event.end().0), span.confirmed))
    }
}

#[test]
fn a_record_replaces_the_one_before_and_takes_it_back() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.epoch(10, None, &[json!({ "time": 5, "open": true })]),
        Some((5, i64::MAX, false))
    );
    assert_eq!(bench.wake, None, "what goes on is kept");
    assert_eq!(
        bench.epoch(20, None, &[json!({ "time": 6, "to": 15 })]),
        Some((6, 15, false))
    );
    assert_eq!(bench.wake, Some(15 + AGE));
    let back = [json!({ "time": 6, "to": 18 }), json!({ "time": 0, "op": "delete" })];
    assert_eq!(bench.epoch(30, None, &back), None);
    assert_eq!(bench.wake, None);
}

#[test]
fn a_review_hides_and_confirms_even_if_it_comes_first() {
    let mut bench = Bench::new();
    assert_eq!(bench.epoch(10, Some((Verdict::False, 1)), &[]), None);
    assert_eq!(bench.epoch(20, None, &[json!({ "time": 20, "to": 50 })]), None);
    assert_eq!(bench.epoch(30, Some((Verdict::False, -1)), &[]), Some((20, 50, false)));
    assert_eq!(
        bench.epoch(40, Some((Verdict::Confirmed, 1)), &[]),
        Some((20, 50, true))
    );
    assert_eq!(bench.epoch(50 + AGE, None, &[]), None);
    assert!(bench.state.held.is_none() && bench.state.verdict.is_some());
}

#[test]
fn what_was_before_the_floor_stays() {
    let mut bench = Bench::new();
    let open = |time: i64| json!({ "time": time, "open": true });
    // Late: it counts from the floor on.
    assert_eq!(bench.epoch(2_000, None, &[open(500)]), Some((1_000, i64::MAX, false)));
    // It went on at the floor, and says that it began earlier: its beginning stays.
    assert_eq!(
        bench.epoch(3_000, None, &[json!({ "time": 100, "to": 2_500 })]),
        Some((1_000, 2_500, false))
    );
    // Of several in an epoch the last counts, as if the others had not come.
    let several = [
        json!({ "time": 0, "op": "delete" }),
        json!({ "time": 300, "to": 2_500 }),
    ];
    assert_eq!(bench.epoch(3_050, None, &several), Some((1_000, 2_500, false)));
    // It says that it began behind the floor.
    assert_eq!(
        bench.epoch(3_100, None, &[json!({ "time": 2_200, "to": 2_500 })]),
        Some((2_200, 2_500, false))
    );
    // It was over before the floor, and is not forgotten yet in this epoch: this is another one.
    assert_eq!(bench.epoch(3_600, None, &[open(900)]), Some((2_600, i64::MAX, false)));
}

#[test]
fn a_momentary_event_is_kept_for_a_day_more() {
    let mut bench = Bench::new();
    assert_eq!(bench.epoch(10, None, &[json!({ "time": 8 })]), Some((8, 8, false)));
    let forgotten = 8 + AGE + MOMENTARY.0;
    assert_eq!(bench.wake, Some(forgotten));
    assert!(bench.epoch(forgotten - 1, None, &[]).is_some());
    assert_eq!(bench.epoch(forgotten, None, &[]), None);
}
