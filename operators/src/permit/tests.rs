use riskflow_model::Level;
use riskflow_model::Millis;
use riskflow_model::output::SourceKind;
use serde_json::{Value, json};

use super::*;

const HOUR: i64 = 3_600_000;

/// One asset, driven by plain calls.
struct Bench {
    fold: UnderPermit,
    key: Key,
    state: PermitState,
    /// The levels above none that stand by the revisions given out.
    standings: Vec<Level>,
    /// The level of each limit, by the revisions given out.
    levels: BTreeMap<Id<Limit>, Level>,
    /// When it wants to be woken.
    wake: Option<i64>,
}

impl Bench {
    fn new() -> Self {
        Self {
            fold: UnderPermit,
            key: Key::of("a"),
            state: PermitState::default(),
            standings: Vec::new(),
            levels: BTreeMap::new(),
            wake: None,
        }
    }

    /// An epoch: revisions as (from MIN) tracks, with cause and explanation.
    fn epoch(&mut self, now: i64, changes: Vec<(Part, Diff)>) -> Vec<Revision> {
        if !changes.is_empty() {
            self.fold
                .rows(Millis(now), self.key, &mut self.state, &mut changes.into_iter());
        }
        let mut out = Vec::new();
        self.wake = match self.fold.settle(Millis(now), self.key, &mut self.state, &mut out) {
            Next::Wake(due) => Some(due.0),
            Next::Keep => None,
            Next::Forget => {
                self.state = PermitState::default();
                None
            }
        };
        let mut revisions = Vec::new();
        for (finding, diff) in out {
            match finding {
                Finding::Revision(revision) => {
                    assert_eq!((revision.from, diff), (i64::MIN, 1), "a revision holds the whole track");
                    let level = revision.tail.last().map_or(Level::None, |(_, level)| *level);
                    self.levels.insert(Id::new(revision.rule.clone()), level);
                    revisions.push(*revision);
                }
                Finding::DeadLetter(_) => panic!("nothing here is given up"),
            }
        }
        let levels = self.levels.values().copied();
        self.standings = levels.filter(|level| *level > Level::None).collect();
        revisions
    }

    /// The state as it is after it was saved and loaded.
    fn reload(&mut self) {
        let bytes = riskflow_model::binary::encode(&self.state).unwrap();
        self.state = riskflow_model::binary::decode(&bytes).unwrap();
    }
}

fn asset(base: u64) -> Part {
    Part::Asset {
        asset: "a".into(),
        base,
    }
}

fn limit(version: u32, measure: &str, levels: Value) -> Part {
    let limit: Limit = serde_json::from_value(json!({
        "id": "hot", "version": version, "measure": measure, "work_type": "hot_work", "levels": levels,
    }))
    .unwrap();
    Part::Limit(Shared::new(limit))
}

fn concurrent() -> Part {
    limit(1, "concurrent_work", json!({ "yellow": 2, "red": 3 }))
}

fn permit(id: &str, kind: &str, holders: &[&str], times: (i64, i64), cancelled: Option<i64>) -> Shared<Permit> {
    let asset = (kind == "work").then_some("a");
    let permit: Permit = serde_json::from_value(json!({
        "id": id, "version": 1, "kind": kind, "work_type": "hot_work", "asset": asset, "holders": holders,
        "valid_from": Millis(times.0), "valid_to": Millis(times.1), "cancelled_from": cancelled.map(Millis),
    }))
    .unwrap();
    Shared::new(permit)
}

fn work(id: &str, from: i64, to: i64) -> Part {
    Part::Work(permit(id, "work", &[], (from, to), None))
}

fn came(parts: impl IntoIterator<Item = Part>) -> Vec<(Part, Diff)> {
    parts.into_iter().map(|part| (part, 1)).collect()
}

#[test]
fn work_is_counted_at_every_time_and_the_clock_uncovers_what_is_to_come() {
    let mut bench = Bench::new();
    let parts = [
        asset(1),
        concurrent(),
        work("1", 10, 50),
        work("2", 20, 40),
        work("3", 30, 60),
    ];
    let given = bench.epoch(20, came(parts));
    assert_eq!(given.len(), 1);
    assert_eq!(given[0].tail, [(20, Level::Yellow)]);
    assert_eq!((given[0].from, given[0].cause), (i64::MIN, Some(Cause::Data)));
    assert_eq!(
        (bench.standings.as_slice(), bench.wake),
        ([Level::Yellow].as_slice(), Some(30))
    );
    assert_eq!(bench.epoch(29, Vec::new()), [], "a wake too early gives nothing");
    let red = bench.epoch(30, Vec::new());
    assert_eq!(red[0].tail, [(20, Level::Yellow), (30, Level::Red)]);
    assert_eq!(red[0].cause, Some(Cause::Clock));
    let explanation = red[0].explanation.as_ref().unwrap();
    assert_eq!(&*explanation.condition, "concurrent_work of hot_work >= 3");
    assert_eq!(
        (explanation.rule_version, explanation.source, &*explanation.datastream),
        (1, Some(SourceKind::Limit), "")
    );
    assert_eq!(explanation.features[0].value, Some(riskflow_model::Number(3.0)));
    assert_eq!(bench.wake, Some(40));
    // Two borders pass between epochs: what was meanwhile is in the track.
    let ended = bench.epoch(55, Vec::new());
    assert_eq!(ended[0].tail[2..], [(40, Level::Yellow), (50, Level::None)]);
    assert_eq!((bench.standings.len(), bench.wake), (0, None));
}

#[test]
fn borders_are_in_at_the_beginning_and_out_at_the_end() {
    let mut bench = Bench::new();
    bench.epoch(0, came([asset(1), concurrent(), work("1", 10, 20), work("2", 20, 30)]));
    assert_eq!(bench.wake, None, "one ends where the other begins: never two at once");
    let cancelled = |from| Part::Work(permit("3", "work", &[], (10, 20), Some(from)));
    bench.epoch(1, came([cancelled(10)]));
    assert_eq!(bench.wake, None, "cancelled where it begins: it never was");
    bench.epoch(2, vec![(cancelled(10), -1), (cancelled(11), 1)]);
    assert_eq!(bench.wake, Some(10));
    bench.epoch(3, vec![(cancelled(11), -1), (cancelled(99), 1)]);
    assert_eq!(
        bench.state.watches["hot"].track,
        [(10, Level::Yellow), (20, Level::None)]
    );
}

#[test]
fn holders_without_certificate_count_once_for_each_permit() {
    let mut bench = Bench::new();
    let uncertified = limit(1, "uncertified_work", json!({ "blue": 1, "orange": 3 }));
    let held = |id: &str, holders: &[&str], times, cancelled| {
        Part::Certificate(permit(id, "certificate", holders, times, cancelled))
    };
    let job = |id: &str, holders: &[&str]| Part::Work(permit(id, "work", holders, (100, 200), None));
    let mut parts = came([asset(1), uncertified, job("1", &["x", "y", "x"]), job("2", &["x"])]);
    // Asked for by both permits; y's ends before the work does, and the next begins at once.
    parts.push((held("cx", &["x"], (0, 150), None), 2));
    parts.extend(came([
        held("cy", &["y"], (0, 120), None),
        held("cz", &["y"], (120, 180), None),
    ]));
    bench.epoch(100, parts);
    assert_eq!(bench.wake, Some(150));
    let given = bench.epoch(150, Vec::new());
    assert_eq!(given[0].tail, [(150, Level::Blue)]);
    let given = bench.epoch(180, Vec::new());
    assert_eq!(given[0].tail, [(150, Level::Blue), (180, Level::Orange)]);
    // One of two that ask for it goes: the certificate stays, and with it nothing is corrected but the permit.
    let given = bench.epoch(
        190,
        vec![(held("cx", &["x"], (0, 150), None), -1), (job("2", &["x"]), -1)],
    );
    assert_eq!(given[0].tail, [(150, Level::Blue)]);
    assert_eq!(given[0].cause, Some(Cause::Correction));
}

#[test]
fn a_cancellation_reaches_back_however_far() {
    let mut bench = Bench::new();
    let long = 1_000 * HOUR;
    let job = |id: &str, cancelled| Part::Work(permit(id, "work", &[], (10 * HOUR, 2 * long), cancelled));
    let old = |id: &str| Part::Work(permit(id, "work", &[], (HOUR, 2 * HOUR), None));
    let parts = [
        asset(1),
        concurrent(),
        old("1"),
        old("2"),
        job("3", None),
        job("4", None),
    ];
    // What ended long ago is told as well.
    let track = |later: &[(i64, Level)]| [&[(HOUR, Level::Yellow), (2 * HOUR, Level::None)], later].concat();
    let given = bench.epoch(10 * HOUR, came(parts));
    assert_eq!(given[0].tail, track(&[(10 * HOUR, Level::Yellow)]));
    let end = 20 * HOUR;
    let given = bench.epoch(long, vec![(job("4", None), -1), (job("4", Some(end)), 1)]);
    let ended = [(10 * HOUR, Level::Yellow), (end, Level::None)];
    assert_eq!(given[0].tail, track(&ended), "it cleared then");
    assert_eq!(bench.epoch(long + 1, vec![(asset(1), -1), (asset(2), 1)]), []);
    let given = bench.epoch(long + 2, vec![(job("4", Some(end)), -1), (job("4", None), 1)]);
    assert_eq!(given[0].tail, track(&ended[..1]), "the same episode again");
    let given = bench.epoch(long + 3, vec![(job("4", None), -1), (job("4", Some(0)), 1)]);
    assert_eq!(given[0].tail, track(&[]), "it never was");
    assert_eq!(given[0].cause, Some(Cause::Correction));
    assert!(bench.standings.is_empty());
}

#[test]
fn entries_come_and_go_with_limit_asset_and_work() {
    let mut bench = Bench::new();
    let changed = limit(2, "concurrent_work", json!({ "blue": 1 }));
    assert_eq!(bench.epoch(0, came([work("1", 0, 100)])), [], "no row, no limit");
    let given = bench.epoch(1, came([asset(1), changed.clone()]));
    assert_eq!(given[0].cause, Some(Cause::BaseChange));
    let given = bench.epoch(2, vec![(changed.clone(), -1), (concurrent(), 1)]);
    assert_eq!((given[0].tail.len(), given[0].cause), (0, Some(Cause::RuleChange)));
    let given = bench.epoch(3, vec![(concurrent(), -1)]);
    assert_eq!(
        (given[0].gone, given[0].cause),
        (true, None),
        "what was never on ends without a cause"
    );
    assert_eq!(
        bench.epoch(4, came([changed.clone()]))[0].cause,
        Some(Cause::RuleChange)
    );
    let given = bench.epoch(5, vec![(changed.clone(), -1), (asset(1), -1)]);
    assert_eq!((given[0].gone, given[0].cause), (true, Some(Cause::BaseChange)));
    assert_eq!(&*given[0].asset, "a");
    bench.epoch(6, came([changed.clone(), asset(1)]));
    assert_eq!(bench.standings, [Level::Blue]);
    let given = bench.epoch(7, vec![(changed, -1), (asset(1), -1), (work("1", 0, 100), -1)]);
    assert_eq!((given[0].gone, given[0].cause), (true, Some(Cause::Correction)));
    assert!(
        bench.standings.is_empty() && bench.state.known.is_none(),
        "nothing is left"
    );
}

#[test]
fn a_loaded_state_hears_its_parts_again_and_says_nothing() {
    let parts = [asset(1), concurrent(), work("1", 10, 50), work("2", 20, 40)];
    let mut bench = Bench::new();
    bench.epoch(20, came(parts.clone()));
    bench.reload();
    let mut recalled = Vec::new();
    bench.fold.recall(bench.key, &bench.state, &mut recalled);
    assert_eq!(recalled, [], "the lifecycle holds what it was told");
    assert_eq!(bench.epoch(20, came(parts.clone())), []);
    assert_eq!(bench.wake, Some(40));
    let given = bench.epoch(41, Vec::new());
    assert_eq!((given[0].tail.len(), given[0].cause), (2, Some(Cause::Clock)));
    // What does not come again is gone.
    bench.reload();
    let given = bench.epoch(41, came([asset(1), work("1", 10, 50)]));
    assert_eq!((given[0].gone, given[0].cause), (true, Some(Cause::RuleChange)));
}
