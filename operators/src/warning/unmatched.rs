//! Fold `unmatched`: records that do not fit together (a datastream without asset, a unit that does not convert), as a table of
//! those problems that have lasted for a while.
//!
//! ```text
//!   what meets nothing ─(datastream, asset, rule)─► fold `unmatched` ─► what lasts ─► [ first 1,000 of each kind, and a count ]
//! ```
//!
//! While tables are loaded, a row may come before the row that it refers to. So a problem is shown only after `unmatched.after`,
//! and it goes at once when it is mended. A whole city without rules is one row with a count, not a million.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use differential_dataflow::AsCollection;
use riskflow_config::Unmatched;
use riskflow_model::base::{Asset, Datastream};
use riskflow_model::limit::TEXT_BYTES;
use riskflow_model::output::{Origin, Unmatched as Row};
use riskflow_model::rule::RuleRecord;
use riskflow_model::{Duration, Id, Key, Millis, RegionCode, Text, shortened};
use serde::{Deserialize, Serialize};
use timely::dataflow::channels::pact::Exchange;

use crate::engine::{Diff, Fold, Next, NoRecord, Rows, Turn, by_epoch};

/// Something that may meet nothing. Each comes as often as it is so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Alone {
    /// A datastream, and what is wrong with it.
    Datastream(Id<Datastream>, Unmatched),
    /// An asset without datastream.
    Asset(Id<Asset>),
    /// An asset, and what is wrong with its thresholds.
    GivenByAsset(Id<Asset>, Unmatched),
    /// A region, and what is wrong with its thresholds.
    GivenByRegion(RegionCode, Unmatched),
    /// A rule, and what is wrong with its gauges.
    OverGauges(Id<RuleRecord>, Unmatched),
    /// There is this rule.
    Rule(Id<RuleRecord>),
    /// The rule selects a datastream, or an asset.
    Selects(Id<RuleRecord>),
}

impl Alone {
    /// The key of the thing that it is about.
    #[must_use]
    pub fn key(&self) -> Key {
        let (what, id) = match self {
            Self::Datastream(id, _) => ("datastream", id.text()),
            Self::Asset(id) | Self::GivenByAsset(id, _) => ("asset", id.text()),
            Self::GivenByRegion(code, _) => return Key::of_parts(&["region", &code.to_string()]),
            Self::Rule(id) | Self::Selects(id) | Self::OverGauges(id, _) => ("rule", id.text()),
        };
        Key::of_parts(&[what, id])
    }
}

/// The fold's settings.
#[derive(Clone, Copy, Debug)]
pub struct Lasting {
    /// How long a problem must last before it is shown.
    pub after: Duration,
}

/// Of one datastream, asset, region or rule: its problems, and since when each is there. Few have more than one.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct LastingState {
    /// Comes as rows, so it is not saved.
    #[serde(skip)]
    present: Vec<(Alone, Diff)>,
    found: Vec<Found>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Found {
    lasts: Lasts,
    shown: bool,
}

/// Something that has met nothing since a time. Within a kind in the order of identifier, rule and part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lasts {
    /// The identifier of the datastream, asset or rule, or the code of the region: of which, the kind says.
    id: Text,
    rule: Option<Id<RuleRecord>>,
    part: Option<Text>,
    what: Unmatched,
    since: Millis,
}

impl Lasts {
    fn new(id: &Text, what: Unmatched, since: Millis) -> Self {
        Self {
            id: id.clone(),
            rule: what.rule().cloned(),
            part: what.part(),
            what,
            since,
        }
    }

    /// Whether it is the same problem, though maybe with other numbers.
    fn is_same(&self, other: &Self) -> bool {
        let key = |it: &Self| (it.what.kind(), it.id.clone(), it.rule.clone(), it.part.clone());
        key(self) == key(other)
    }

    fn row(&self) -> Row {
        let id = self.id.clone();
        let (datastream, rule, asset) = match &self.what {
            Unmatched::NoDatastream => (None, None, Some(Id::new(id))),
            Unmatched::OfAsset { rule, .. } => (None, Some(rule.clone()), Some(Id::new(id))),
            Unmatched::OfRegion { rule, .. } => (None, Some(rule.clone()), None),
            Unmatched::SelectsNothing | Unmatched::NoGauge { .. } => (None, Some(Id::new(id)), None),
            Unmatched::NoAsset { asset } => (Some(Id::new(id)), None, Some(asset.clone())),
            _ => (Some(Id::new(id)), self.rule.clone(), None),
        };
        Row {
            kind: self.what.kind().into(),
            datastream,
            rule,
            asset,
            part: self.part.clone(),
            problem: shortened(&self.what.to_string(), TEXT_BYTES).into(),
            since: Some(self.since),
            alerts: self.what.is_mistake(),
            count: None,
            region: match &self.what {
                Unmatched::OfRegion { .. } => self.id.parse().ok(),
                _ => None,
            },
        }
    }
}

impl LastingState {
    /// What is so now, as if it came at this time.
    fn now(&self, now: Millis) -> Vec<Lasts> {
        let selects = self.present.iter().any(|(alone, _)| matches!(alone, Alone::Selects(_)));
        let one = |(alone, _): &(Alone, Diff)| match alone {
            Alone::Datastream(id, what) => Some(Lasts::new(id.text(), what.clone(), now)),
            Alone::OverGauges(id, what) => Some(Lasts::new(id.text(), what.clone(), now)),
            Alone::GivenByAsset(id, what) => Some(Lasts::new(id.text(), what.clone(), now)),
            Alone::GivenByRegion(code, what) => Some(Lasts::new(&code.to_string().into(), what.clone(), now)),
            Alone::Asset(id) => Some(Lasts::new(id.text(), Unmatched::NoDatastream, now)),
            Alone::Rule(id) if !selects => Some(Lasts::new(id.text(), Unmatched::SelectsNothing, now)),
            Alone::Rule(_) | Alone::Selects(_) => None,
        };
        self.present.iter().filter_map(one).collect()
    }
}

impl Fold for Lasting {
    type Key = Key;
    type Row = Alone;
    type Record = NoRecord;
    type State = LastingState;
    type Output = Lasts;

    const NAME: &'static str = "unmatched";

    fn route(key: &Key) -> u64 {
        key.route()
    }

    fn place(record: &NoRecord) -> (Key, Origin) {
        match *record {}
    }

    fn rows(
        &mut self,
        _now: Millis,
        _key: Key,
        state: &mut LastingState,
        changes: &mut dyn Iterator<Item = (Alone, Diff)>,
    ) -> bool {
        for (alone, diff) in changes {
            match state.present.iter_mut().find(|(other, _)| *other == alone) {
                Some((_, number)) => *number += diff,
                None => state.present.push((alone, diff)),
            }
        }
        state.present.retain(|(_, number)| *number != 0);
        // In what order rows came is not known.
        state.present.sort();
        true
    }

    fn record(&mut self, _now: Millis, _key: Key, _state: &mut LastingState, record: &mut NoRecord) {
        match *record {}
    }

    fn recall(&mut self, _key: Key, state: &LastingState, out: &mut Vec<(Lasts, Diff)>) {
        let shown = state.found.iter().filter(|found| found.shown);
        out.extend(shown.map(|found| (found.lasts.clone(), 1)));
    }

    fn settle(&mut self, now: Millis, _key: Key, state: &mut LastingState, out: &mut Vec<(Lasts, Diff)>) -> Next {
        let before = std::mem::take(&mut state.found);
        let mut wake = Millis::MAX;
        for mut lasts in state.now(now) {
            if let Some(same) = before.iter().find(|found| found.lasts.is_same(&lasts)) {
                lasts.since = same.lasts.since;
            }
            let due = lasts.since + self.after;
            let shown = due <= now;
            if !shown {
                wake = wake.min(due);
            }
            state.found.push(Found { lasts, shown });
        }
        let only = |some: &[Found], others: &[Found], diff| -> Vec<(Lasts, Diff)> {
            let known = |found: &Found| others.iter().any(|other| other.shown && other.lasts == found.lasts);
            let only = some.iter().filter(|found| found.shown && !known(found));
            only.map(|found| (found.lasts.clone(), diff)).collect()
        };
        out.extend(only(&before, &state.found, -1));
        out.extend(only(&state.found, &before, 1));
        match wake {
            Millis::MAX if state.present.is_empty() => Next::Forget,
            Millis::MAX => Next::Keep,
            wake => Next::Wake(wake),
        }
    }
}

/// How much stands in the table, of each kind.
#[derive(Debug, Default)]
pub struct UnmatchedMeter([AtomicI64; Unmatched::KINDS.len()]);

impl UnmatchedMeter {
    /// How much there is now, by kind.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, i64)> + '_ {
        let numbers = self.0.iter().map(|number| number.load(Ordering::Relaxed));
        Unmatched::KINDS.into_iter().zip(numbers)
    }

    fn set(&self, kind: &str, number: usize) {
        let position = Unmatched::KINDS.iter().position(|known| *known == kind);
        let position = position.expect("every kind has a name in the list");
        self.0[position].store(number as i64, Ordering::Relaxed);
    }
}

/// All of one kind, and what of it stands in the table.
#[derive(Debug, Default)]
struct OfKind {
    all: BTreeSet<Lasts>,
    /// The first ones, in their order.
    listed: Vec<Lasts>,
    counted: usize,
}

impl OfKind {
    /// Gives what differs after a change.
    fn settle(&mut self, kind: &str, give: &mut dyn FnMut(Row, Diff)) {
        let count = |count: usize| Row {
            kind: kind.into(),
            datastream: None,
            rule: None,
            asset: None,
            part: None,
            problem: "so many there are of this kind".into(),
            since: None,
            alerts: self
                .all
                .iter()
                .chain(&self.listed)
                .next()
                .is_some_and(|one| one.what.is_mistake()),
            count: Some(count as u64),
            region: None,
        };
        if self.counted != self.all.len() {
            for (number, diff) in [(self.counted, -1), (self.all.len(), 1)] {
                if number > 0 {
                    give(count(number), diff);
                }
            }
        }
        self.counted = self.all.len();
        let listed: Vec<Lasts> = self.all.iter().take(Row::LISTED).cloned().collect();
        let only = |some: &[Lasts], others: &[Lasts]| -> Vec<Row> {
            let only = some.iter().filter(|one| others.binary_search(one).is_err());
            only.map(Lasts::row).collect()
        };
        for gone in only(&self.listed, &listed) {
            give(gone, -1);
        }
        for came in only(&listed, &self.listed) {
            give(came, 1);
        }
        self.listed = listed;
    }
}

/// All kinds, by name.
#[derive(Debug, Default)]
struct Table(BTreeMap<&'static str, OfKind>);

impl Table {
    fn apply(&mut self, mut changes: Vec<(Lasts, Diff)>, meter: &UnmatchedMeter, give: &mut dyn FnMut(Row, Diff)) {
        changes.sort_by_key(|(_, diff)| *diff);
        let mut touched = BTreeSet::new();
        for (lasts, diff) in changes {
            let kind = lasts.what.kind();
            touched.insert(kind);
            let all = &mut self.0.entry(kind).or_default().all;
            if diff > 0 {
                all.insert(lasts);
            } else {
                all.remove(&lasts);
            }
        }
        for kind in touched {
            let of_kind = self.0.entry(kind).or_default();
            of_kind.settle(kind, give);
            meter.set(kind, of_kind.counted);
        }
    }
}

/// Returns the rows of the table: of each kind the first, and how many there are. They are gathered on worker 0; its process meters.
pub fn unmatched_table<'scope>(lasting: Rows<'scope, Lasts>, meter: Arc<UnmatchedMeter>) -> Rows<'scope, Arc<Row>> {
    let mut table = Table::default();
    let on_one = Exchange::new(|_: &(Lasts, Turn, Diff)| 0);
    let gather = |changes: &mut Vec<_>, lasts, diff| changes.push((lasts, diff));
    let rows = by_epoch(lasting.inner, on_one, "UnmatchedTable", gather, move |changes, give| {
        table.apply(changes, &meter, &mut |row, diff| give(Arc::new(row), diff));
    });
    rows.as_collection()
}

#[cfg(test)]
mod tests {
    use riskflow_model::OutputRecord as _;

    use super::*;

    fn missing(asset: &str) -> Alone {
        let asset = asset.into();
        Alone::Datastream("d".into(), Unmatched::NoAsset { asset })
    }

    struct Driven(Lasting, LastingState);

    impl Driven {
        fn step(&mut self, now: i64, changes: &[(Alone, Diff)]) -> (Vec<String>, Next) {
            let now = Millis(now);
            if !changes.is_empty() {
                let mut changes = changes.iter().cloned();
                self.0.rows(now, Key::of("d"), &mut self.1, &mut changes);
            }
            let mut out = Vec::new();
            let next = self.0.settle(now, Key::of("d"), &mut self.1, &mut out);
            let show = |(lasts, diff): &(Lasts, Diff)| {
                let row = lasts.row();
                format!("{} since {} {diff}", row.key(), lasts.since.0)
            };
            (out.iter().map(show).collect(), next)
        }
    }

    #[test]
    fn what_lasts_is_shown_and_what_is_mended_goes_at_once() {
        let mut driven = Driven(Lasting { after: Duration(100) }, LastingState::default());
        assert_eq!(driven.step(10, &[(missing("a"), 1)]), (vec![], Next::Wake(Millis(110))));
        // Another asset that is missing: still the same problem.
        let moved = [(missing("a"), -1), (missing("b"), 1)];
        assert_eq!(driven.step(50, &moved), (vec![], Next::Wake(Millis(110))));
        let shown = vec!["no_asset/d since 10 1".to_owned()];
        assert_eq!(driven.step(110, &[]), (shown, Next::Keep));
        let saved = serde_json::to_string(&driven.1).unwrap();
        let gone = vec!["no_asset/d since 10 -1".to_owned()];
        assert_eq!(driven.step(120, &[(missing("b"), -1)]), (gone.clone(), Next::Forget));
        // Loaded, its rows come again, or none do.
        let load = || Driven(Lasting { after: Duration(100) }, serde_json::from_str(&saved).unwrap());
        assert_eq!(load().step(120, &[(missing("b"), 1)]), (vec![], Next::Keep));
        assert_eq!(load().step(120, &[]), (gone, Next::Forget));
    }

    #[test]
    fn a_rule_that_selects_is_not_alone() {
        let mut driven = Driven(Lasting { after: Duration::ZERO }, LastingState::default());
        let (rule, selects) = (Alone::Rule("r".into()), Alone::Selects("r".into()));
        let shown = |diff: i64| vec![format!("selects_nothing/r since 1 {diff}")];
        assert_eq!(driven.step(1, &[(rule.clone(), 1)]), (shown(1), Next::Keep));
        assert_eq!(driven.step(2, &[(selects.clone(), 2)]), (shown(-1), Next::Keep));
        assert_eq!(driven.step(3, &[(selects.clone(), -1)]), (vec![], Next::Keep));
        let again = vec!["selects_nothing/r since 4 1".to_owned()];
        assert_eq!(driven.step(4, &[(selects, -1)]), (again, Next::Keep));
        assert_eq!(driven.step(5, &[(rule, -1)]).1, Next::Forget);
    }

    #[test]
    fn the_first_thousand_of_a_kind_are_listed_and_all_are_counted() {
        let lasts = |number: usize| Lasts::new(&format!("d{number:05}").into(), Unmatched::NoRule, Millis(1));
        let (mut table, meter) = (Table::default(), UnmatchedMeter::default());
        let mut shown = BTreeMap::new();
        let mut apply = |changes: Vec<(Lasts, Diff)>, shown: &mut BTreeMap<String, Row>| {
            let mut touched = 0;
            table.apply(changes, &meter, &mut |row, diff| {
                touched += 1;
                if diff < 0 {
                    assert_eq!(shown.remove(&*row.key()), Some(row));
                } else {
                    assert_eq!(shown.insert(row.key().to_string(), row), None);
                }
            });
            let count = meter.each().find(|(kind, _)| *kind == "no_rule").unwrap().1;
            assert_eq!(shown.get("no_rule").map_or(0, |row| row.count.unwrap()), count as u64);
            (touched, count)
        };
        assert_eq!(
            apply((0..1_500).map(|n| (lasts(n), 1)).collect(), &mut shown),
            (1_001, 1_500)
        );
        assert!(shown.contains_key("no_rule/d00999") && !shown.contains_key("no_rule/d01000"));
        // One of the first goes: the next takes its place. One behind them goes: only the count.
        assert_eq!(apply(vec![(lasts(3), -1)], &mut shown), (4, 1_499));
        assert!(shown.contains_key("no_rule/d01000") && shown["no_rule"].count == Some(1_499));
        assert_eq!(apply(vec![(lasts(1_200), -1)], &mut shown), (2, 1_498));
        let rest = (0..1_500).filter(|n| ![3, 1_200].contains(n));
        apply(rest.map(|n| (lasts(n), -1)).collect(), &mut shown);
        assert!(shown.is_empty(), "{shown:?}");
    }
}
