//! What differs between the warnings of two sets.
//!
//! Two warnings are the same one if they are of the same rule and asset and have a moment in common. Each has one partner at most: going
//! by when they began, the first of the other set that has none yet. Withdrawn ones take no part.

use riskflow_model::{Level, Millis};
use serde::Serialize;

use super::episode::Episode;

/// How a warning of one set is related to those of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// Both have it, at the same times and levels.
    Same,
    /// Both have it, at the same times; at some time the levels differ.
    Level,
    /// Both have it, and it begins or ends at another time; while both last the levels agree.
    Time,
    /// Both have it, and times and levels differ.
    LevelAndTime,
    /// Only the new rules give it.
    OnlyNew,
    /// Only the old rules give it.
    OnlyOld,
}

/// A warning of both sets, or of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair<'a> {
    /// How they are related.
    pub relation: Relation,
    /// That of the new rules.
    pub new: Option<&'a Episode>,
    /// That of the old rules.
    pub old: Option<&'a Episode>,
}

impl<'a> Pair<'a> {
    /// One of the two: what rule, asset, domain and region are taken from.
    pub fn either(&self) -> &'a Episode {
        self.new.or(self.old).expect("a pair has at least one")
    }
}

/// Pairs the warnings of two sets, both in the order of rule, asset and beginning. `open`: where those end that are open.
pub fn compare<'a>(new: &'a [Episode], old: &'a [Episode], open: Millis) -> Vec<Pair<'a>> {
    let mut partners: Vec<Option<&Episode>> = vec![None; new.len()];
    let mut pairs = Vec::new();
    // Before this position no new one can meet an old one that is still to come.
    let mut first = 0;
    for one in old.iter().filter(|one| !one.withdrawn) {
        let key = (&one.rule, &one.asset);
        while new.get(first).is_some_and(|other| (&other.rule, &other.asset) < key) {
            first += 1;
        }
        let same = (first..new.len()).take_while(|at| (&new[*at].rule, &new[*at].asset) == key);
        let mut free = same.filter(|at| !new[*at].withdrawn && partners[*at].is_none());
        match free.find(|at| new[*at].overlaps(one)) {
            Some(at) => partners[at] = Some(one),
            None => pairs.push(Pair {
                relation: Relation::OnlyOld,
                new: None,
                old: Some(one),
            }),
        }
    }
    let of_new = new.iter().zip(&partners).filter(|(one, _)| !one.withdrawn);
    pairs.extend(of_new.map(|(one, partner)| Pair {
        relation: partner.map_or(Relation::OnlyNew, |other| relation(one, other, open)),
        new: Some(one),
        old: *partner,
    }));
    pairs.sort_by_key(|pair| {
        let one = pair.either();
        (&one.rule, &one.asset, one.since, pair.relation)
    });
    pairs
}

fn relation(a: &Episode, b: &Episode, open: Millis) -> Relation {
    let time = (a.since, a.until) != (b.since, b.until);
    let level = if time {
        levels_differ(a, b, open)
    } else {
        a.levels(open) != b.levels(open)
    };
    match (level, time) {
        (false, false) => Relation::Same,
        (true, false) => Relation::Level,
        (false, true) => Relation::Time,
        (true, true) => Relation::LevelAndTime,
    }
}

/// Whether at some moment of both the levels differ.
fn levels_differ(a: &Episode, b: &Episode, open: Millis) -> bool {
    let (a, b) = (a.levels(open), b.levels(open));
    let differ = |(from, until, level): &(Millis, Millis, Level)| {
        b.iter()
            .any(|(other_from, other_until, other)| from < other_until && other_from < until && level != other)
    };
    a.iter().any(differ)
}

#[cfg(test)]
mod tests {
    use super::super::episode::tests::episode;
    use super::*;

    fn relations(new: &[Episode], old: &[Episode]) -> Vec<(Relation, Option<i64>, Option<i64>)> {
        let since = |one: Option<&Episode>| one.map(|one| one.since.0);
        let pairs = compare(new, old, Millis(10_000)).into_iter();
        pairs
            .map(|pair| (pair.relation, since(pair.new), since(pair.old)))
            .collect()
    }

    #[test]
    fn warnings_of_two_sets_are_paired_by_rule_asset_and_time() {
        let blue = |rule, asset, times| episode(rule, asset, times, Level::Blue);
        // One that lasts meets two: the first is its partner, the other one has none.
        let new = [
            blue("rain", "a", (0, 10)),
            blue("rain", "a", (20, 30)),
            blue("rain", "b", (0, 10)),
        ];
        let old = [
            blue("rain", "a", (5, 40)),
            blue("rain", "b", (0, 10)),
            blue("wind", "a", (0, 10)),
        ];
        use Relation::{OnlyNew, OnlyOld, Same, Time};
        assert_eq!(
            relations(&new, &old),
            [
                (Time, Some(0), Some(5)),
                (OnlyNew, Some(20), None),
                (Same, Some(0), Some(0)),
                (OnlyOld, None, Some(0)),
            ]
        );
        // Where one ends when the other begins they have no moment in common.
        assert_eq!(
            relations(&[blue("rain", "a", (0, 10))], &[blue("rain", "a", (10, 20))]),
            [(OnlyNew, Some(0), None), (OnlyOld, None, Some(10))]
        );
    }

    #[test]
    fn times_and_levels_differ_each_by_itself() {
        let old = [episode("rain", "a", (0, 10), Level::Blue)];
        for (times, level, relation) in [
            ((0, 10), Level::Blue, Relation::Same),
            ((0, 10), Level::Red, Relation::Level),
            ((0, 11), Level::Blue, Relation::Time),
            ((1, 10), Level::Red, Relation::LevelAndTime),
        ] {
            let new = [episode("rain", "a", times, level)];
            assert_eq!(relations(&new, &old)[0].0, relation, "{times:?} {level}");
        }
    }

    #[test]
    fn what_was_withdrawn_takes_no_part() {
        let mut gone = episode("rain", "a", (0, 10), Level::Blue);
        gone.withdrawn = true;
        let there = episode("rain", "a", (0, 10), Level::Blue);
        assert_eq!(
            relations(&[gone.clone()], &[there]),
            [(Relation::OnlyOld, None, Some(0))]
        );
        assert!(relations(&[gone.clone()], &[gone]).is_empty());
    }
}
