//! What is over of one rule and asset: the rows of `out.warning.history`, as long as they are remembered.

use std::collections::BTreeMap;
use std::sync::Arc;

use riskflow_model::output::{PastState, PastWarning, WarningState};
use riskflow_model::{Id, Level};
use serde::{Deserialize, Serialize};

use super::Step;
use crate::engine::Diff;
use crate::warning::monitor::Track;

/// When an episode begins, and when it ends; one that is open has no end.
pub(super) type Episode = (i64, Option<i64>);

/// Rows of episodes that ended, each of which has one in the track unless it is *adrift*, and of warnings that were withdrawn. Few of
/// most warnings: lists in order take a tenth of what trees would.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Past {
    /// By identifier.
    rows: Vec<(Id<WarningState>, Over)>,
    /// Of those that ended when they began.
    ended: Vec<(i64, Id<WarningState>)>,
    /// Of all when they were over.
    over: Vec<(i64, Id<WarningState>)>,
    /// How many are adrift.
    adrift: usize,
    /// Of the rows that changed since the last settling what was given out.
    #[serde(skip)]
    given: BTreeMap<Id<WarningState>, Option<Arc<PastWarning>>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Over {
    row: Arc<PastWarning>,
    /// Whether it has no episode, since what it came from went: then it stays as it is.
    adrift: bool,
}

/// Puts one into a list in order. A list begins small: most stay so.
fn insert<T>(list: &mut Vec<T>, position: usize, one: T) {
    if list.is_empty() {
        list.reserve_exact(1);
    }
    list.insert(position, one);
}

/// Puts one into a list in order that it is not in.
fn enlist(list: &mut Vec<(i64, Id<WarningState>)>, one: (i64, Id<WarningState>)) {
    insert(list, list.partition_point(|other| *other < one), one);
}

/// Takes one out of a list in order, if it is in it.
fn strike(list: &mut Vec<(i64, Id<WarningState>)>, one: &(i64, Id<WarningState>)) {
    if let Ok(position) = list.binary_search(one) {
        list.remove(position);
    }
}

impl Past {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// When the first of them was over.
    pub(super) fn first(&self) -> Option<i64> {
        self.over.first().map(|(until, _)| *until)
    }

    /// Forgets what was over at or before a time.
    pub(super) fn forget(&mut self, before: i64) {
        let forgotten = self.over.partition_point(|(until, _)| *until <= before);
        for (_, id) in self.over.drain(..forgotten).collect::<Vec<_>>() {
            self.take(&id);
        }
    }

    /// Gives out how the rows differ from those given before.
    pub(super) fn give(&mut self, out: &mut Vec<(Step, Diff)>) {
        for (id, before) in std::mem::take(&mut self.given) {
            let after = self.row(&id).map(|over| Arc::clone(&over.row));
            if before != after {
                out.extend(before.map(|row| (Step::Past(row), -1)));
                out.extend(after.map(|row| (Step::Past(row), 1)));
            }
        }
    }

    /// All rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Step, Diff)> + '_ {
        self.rows.iter().map(|(_, over)| (Step::Past(Arc::clone(&over.row)), 1))
    }

    fn find(&self, id: &Id<WarningState>) -> Result<usize, usize> {
        self.rows.binary_search_by(|(other, _)| other.cmp(id))
    }

    fn row(&self, id: &Id<WarningState>) -> Option<&Over> {
        self.find(id).ok().map(|position| &self.rows[position].1)
    }

    /// Whether a row of that identifier ended, now or at the last settling.
    pub(super) fn has(&self, id: &Id<WarningState>) -> bool {
        let is_ended = |row: &Arc<PastWarning>| row.state == PastState::Ended;
        let now = self.row(id).map(|over| &over.row);
        let given = self.given.get(id).and_then(Option::as_ref);
        now.into_iter().chain(given).any(is_ended)
    }

    /// Those that ended and may have another episode, or none, where the track changed from one time to another; by their beginning.
    /// Those that are adrift come last: what one of the others has, they can't have.
    pub(super) fn touched(&self, from: i64, until: i64) -> Vec<Arc<PastWarning>> {
        let row = |(_, id): &(i64, Id<WarningState>)| Arc::clone(&self.row(id).expect("all that ended are rows").row);
        if self.adrift > 0 {
            // They may lie anywhere, across others.
            let mut touched: Vec<_> = self.ended.iter().map(row).collect();
            touched.sort_by_key(|row| self.is_adrift(&row.id));
            return touched;
        }
        let behind = self.ended.partition_point(|(since, _)| *since <= until);
        let before = self.ended[..behind].iter().rev().map(row);
        let mut touched: Vec<_> = before.take_while(|row| row.until.0 >= from).collect();
        touched.reverse();
        touched
    }

    /// Puts a row in the place of that of its identifier.
    pub(super) fn put(&mut self, row: PastWarning) {
        let before = self.take(&row.id);
        self.given.entry(row.id.clone()).or_default();
        let told = row.told || before.is_some_and(|before| before.told);
        let row = Arc::new(PastWarning { told, ..row });
        if row.state == PastState::Ended {
            enlist(&mut self.ended, (row.since.0, row.id.clone()));
        }
        enlist(&mut self.over, (row.until.0, row.id.clone()));
        let position = self.find(&row.id).expect_err("that of its identifier was taken out");
        let id = row.id.clone();
        insert(&mut self.rows, position, (id, Over { row, adrift: false }));
    }

    /// Takes the row of an identifier out.
    pub(super) fn take(&mut self, id: &Id<WarningState>) -> Option<Arc<PastWarning>> {
        let (_, Over { row, adrift }) = self.rows.remove(self.find(id).ok()?);
        strike(&mut self.ended, &(row.since.0, row.id.clone()));
        strike(&mut self.over, &(row.until.0, row.id.clone()));
        self.adrift -= usize::from(adrift);
        self.given.entry(id.clone()).or_insert_with(|| Some(Arc::clone(&row)));
        Some(row)
    }

    /// Notes whether a row has an episode.
    pub(super) fn moor(&mut self, id: &Id<WarningState>, has_one: bool) {
        if let Ok(position) = self.find(id) {
            let over = &mut self.rows[position].1;
            let adrift = !has_one;
            self.adrift = self.adrift + usize::from(adrift) - usize::from(over.adrift);
            over.adrift = adrift;
        }
    }

    /// Whether a row has no episode since what it came from went.
    pub(super) fn is_adrift(&self, id: &Id<WarningState>) -> bool {
        self.row(id).is_some_and(|over| over.adrift)
    }
}

/// The episode of a track that holds a time, or else the first behind it.
pub(super) fn episode(track: &Track, at: i64) -> Option<Episode> {
    let after = track.partition_point(|(time, _)| *time <= at);
    let begin = begin(track, after);
    let (since, _) = track.get(begin)?;
    Some((*since, end(track, after.max(begin))))
}

/// Where the episode begins that goes on at a position, or else begins there.
pub(super) fn begin(track: &Track, position: usize) -> usize {
    let ended = track[..position].iter().rposition(|(_, level)| *level == Level::None);
    ended.map_or(0, |ended| ended + 1)
}

/// When the episode ends that goes on at a position.
pub(super) fn end(track: &Track, position: usize) -> Option<i64> {
    let mut rest = track[position..].iter();
    rest.find(|(_, level)| *level == Level::None).map(|(time, _)| *time)
}

/// The episodes that are over and touch a stretch of a track.
pub(super) fn over(track: &Track, from: i64, until: i64) -> Vec<(i64, i64)> {
    let first = track.partition_point(|(time, _)| *time < from);
    // One that goes on may be long, and is none of them.
    if end(track, first).is_none() {
        return Vec::new();
    }
    let mut position = begin(track, first);
    let mut found = Vec::new();
    while let Some((since, _)) = track.get(position).filter(|(since, _)| *since <= until) {
        let Some(ended) = track[position..].iter().position(|(_, level)| *level == Level::None) else {
            break;
        };
        found.push((*since, track[position + ended].0));
        position += ended + 1;
    }
    found
}

/// The highest level of a track from one time on until another.
pub(super) fn peak(track: &Track, from: i64, until: i64) -> Level {
    let first = track.partition_point(|(time, _)| *time < from);
    let points = track[first..].iter().take_while(|(time, _)| *time < until);
    points.map(|(_, level)| *level).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use riskflow_model::Domain;
    use riskflow_model::Millis;
    use riskflow_model::output::SourceKind;

    use super::*;

    fn track() -> Track {
        vec![
            (10, Level::Blue),
            (20, Level::None),
            (30, Level::Blue),
            (35, Level::Red),
            (40, Level::None),
            (50, Level::Yellow),
        ]
    }

    #[test]
    fn an_episode_is_the_one_that_holds_a_time_or_the_first_behind_it() {
        let track = track();
        for (at, found) in [
            (5, Some((10, Some(20)))),
            (10, Some((10, Some(20)))),
            (19, Some((10, Some(20)))),
            (20, Some((30, Some(40)))),
            (36, Some((30, Some(40)))),
            (40, Some((50, None))),
            (99, Some((50, None))),
        ] {
            assert_eq!(episode(&track, at), found, "{at}");
        }
        assert_eq!(episode(&track[..5].to_vec(), 40), None);
        assert_eq!(episode(&Track::new(), 40), None);
    }

    #[test]
    fn what_is_over_is_found_where_it_touches_a_stretch() {
        let track = track();
        assert_eq!(over(&track, i64::MIN, i64::MAX), [(10, 20), (30, 40)]);
        assert_eq!(over(&track, 20, 29), [(10, 20)]);
        assert_eq!(over(&track, 21, 30), [(30, 40)]);
        assert_eq!(over(&track, 36, 36), [(30, 40)]);
        assert_eq!(over(&track, 41, i64::MAX), []);
        assert_eq!(peak(&track, 30, 40), Level::Red);
        assert_eq!(peak(&track, 30, 35), Level::Blue);
    }

    fn row(id: &str, since: i64, until: i64, state: PastState) -> PastWarning {
        PastWarning {
            id: id.into(),
            rule: "r".into(),
            source: SourceKind::Datastream,
            asset: "a".into(),
            domain: Domain::WorkSafety,
            region: "330902".parse().unwrap(),
            since: Millis(since),
            until: Millis(until),
            peak: Level::Blue,
            state,
            told: false,
        }
    }

    #[test]
    fn rows_are_given_out_by_their_difference_and_forgotten_by_their_end() {
        let mut past = Past::default();
        past.put(row("one", 10, 20, PastState::Ended));
        past.put(row("gone", 12, 15, PastState::Withdrawn));
        past.put(row("two", 30, 40, PastState::Ended));
        let mut out = Vec::new();
        past.give(&mut out);
        assert_eq!(out.len(), 3);
        let ids = |rows: Vec<Arc<PastWarning>>| rows.iter().map(|row| row.id.to_string()).collect::<Vec<_>>();
        assert_eq!(ids(past.touched(20, 29)), ["one"]);
        assert_eq!(ids(past.touched(21, 30)), ["two"]);
        assert_eq!(ids(past.touched(41, i64::MAX)), Vec::<String>::new());
        past.moor(&"one".into(), false);
        assert_eq!(
            ids(past.touched(41, i64::MAX)),
            ["two", "one"],
            "what is adrift comes last"
        );
        assert!(past.has(&"one".into()) && !past.has(&"gone".into()));
        // Out and in again as it was is no change.
        let taken = past.take(&"one".into()).unwrap();
        past.put((*taken).clone());
        out.clear();
        past.give(&mut out);
        assert_eq!(out, []);
        assert_eq!(past.first(), Some(15));
        past.forget(20);
        past.give(&mut out);
        assert_eq!((out.len(), past.first()), (2, Some(40)));
    }
}
