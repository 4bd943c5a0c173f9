//! Rule sets in the lifecycle of an asset: warnings of candidates beside the live ones, and how they differ.
//!
//! A warning of a candidate is one of the rule `set/id`: it lives as the live one does, and is told elsewhere. What is live is not part of
//! any name, so a promotion moves what stands in some places to others, and the live warning goes on with other levels.

use std::collections::BTreeSet;
use std::sync::Arc;

use riskflow_config::Place;
use riskflow_model::base::Asset;
use riskflow_model::id::RuleOrLimit;
use riskflow_model::output::{CandidateDelta, CandidateState, DifferenceKind, Open, SetDifference, SourceKind};
use riskflow_model::{Id, Shared, Text};
use thin_vec::ThinVec;

use super::warning::{Member, Warning};
use super::{LifecycleState, Step};
use crate::engine::Diff;
use crate::warning::monitor::{Move, Revision};

/// What a warning comes from, and the rule: `set/id` of a candidate.
pub(super) type WarningKey = (SourceKind, Id<RuleOrLimit>);

/// The candidate and what the rule is called in it; `None` of what is live. Limits have no sets.
pub(super) fn candidate((kind, rule): &WarningKey) -> Option<(&str, &str)> {
    match kind {
        SourceKind::Datastream | SourceKind::Gauge => rule.split_once('/'),
        SourceKind::Limit => None,
    }
}

fn key(rule: &str, place: &Place) -> WarningKey {
    let id = match place {
        Place::Live => Id::from(rule),
        Place::Set(set) => Id::from(format!("{set}/{rule}")),
    };
    (SourceKind::Datastream, id)
}

/// What is told of a candidate's warning, in the place of what would be told of a live one.
pub(super) fn tell((set, rule): (&str, &str), steps: Vec<(Step, Diff)>, out: &mut Vec<(Step, Diff)>) {
    let told = steps.into_iter().filter_map(|(step, diff)| {
        let step = match step {
            Step::State(state, _) => Step::Candidate(Arc::new(CandidateState::of(set, rule, &state))),
            Step::Delta(delta, _) => Step::CandidateDelta(Box::new(CandidateDelta::of(set, rule, *delta))),
            // There are no cases, and what is over stands nowhere.
            _ => return None,
        };
        Some((step, diff))
    });
    out.extend(told);
}

/// What comes to a place.
struct Arrival {
    member: Option<Box<Member>>,
    reach: i64,
}

impl LifecycleState {
    /// Takes in what a member says that counts in several places, or where members count from now on. What ended at or before `forget`
    /// is forgotten.
    pub(super) fn revise_in_sets(&mut self, revision: &mut Revision, forget: i64) {
        let standing = revision.standing.clone().unwrap_or_default();
        match revision.moves.take() {
            Some(moves) => self.relocate(&moves, revision, forget),
            None => {
                let mut places: Vec<Place> = standing.places().collect();
                let last = places.pop();
                for place in places {
                    let key = key(&revision.rule, &place);
                    self.warnings.entry(key).or_default().revise(&mut revision.clone());
                }
                if let Some(last) = last {
                    let key = key(&revision.rule, &last);
                    self.warnings.entry(key).or_default().revise(revision);
                }
            }
        }
        // What came to its end knows the sets of before.
        let knows = standing.live && !revision.gone;
        if let Some(live) = self
            .warnings
            .get_mut(&key(&revision.rule, &Place::Live))
            .filter(|_| knows)
        {
            live.against = standing.all.iter().cloned().collect();
        }
    }

    /// All moves at once: what comes to a place is what stood in the other before any of them.
    fn relocate(&mut self, moves: &[Move], revision: &Revision, forget: i64) {
        let arrivals = moves.iter().map(|one| {
            let from = one.from.as_ref();
            let warning = from.and_then(|from| self.warnings.get(&key(&revision.rule, from)));
            Arrival {
                member: warning.and_then(|warning| warning.members.get(&revision.source).cloned()),
                reach: warning.map_or(0, |warning| warning.reach),
            }
        });
        let arrivals: Vec<Arrival> = arrivals.collect();
        for (one, arrival) in moves.iter().zip(arrivals) {
            let key = key(&revision.rule, &one.to);
            let Arrival { member, reach } = arrival;
            if member.is_some() || self.warnings.contains_key(&key) {
                let warning = self.warnings.entry(key).or_default();
                warning.reach = warning.reach.max(reach);
                let left = warning.replace(&revision.source, member, (one.cause, forget));
                // Who changes rules does not say that what they found never was; another form in their place does.
                warning.went |= one.from.is_none() && left;
            }
        }
    }

    /// Gives how the warnings of candidates differ from the live ones.
    pub(super) fn settle_differences(&mut self, out: &mut Vec<(Step, Diff)>) {
        let mut pairs: BTreeSet<(Text, Text)> = BTreeSet::new();
        for (key, warning) in &self.warnings {
            match candidate(key) {
                Some((set, rule)) => drop(pairs.insert((set.into(), rule.into()))),
                None => pairs.extend(warning.against.iter().map(|set| (set.clone(), key.1.text().clone()))),
            }
        }
        for (set, rule) in pairs {
            let of_set = key(&rule, &Place::Set(set.clone()));
            let stands = |key: &WarningKey| self.warnings.get(key).map(|warning| &**warning);
            let (live, candidate) = (stands(&key(&rule, &Place::Live)), stands(&of_set));
            let row = difference((&set, &rule), live, candidate, self.asset.as_ref());
            let before = candidate.and_then(|warning| warning.difference.clone());
            if row.as_ref() != before.as_deref() {
                let row = row.map(Arc::new);
                out.extend(before.map(|row| (Step::Difference(row), -1)));
                out.extend(row.clone().map(|row| (Step::Difference(row), 1)));
                self.warnings.entry(of_set).or_default().difference = row;
            }
        }
    }
}

fn difference(
    (set, rule): (&Text, &Text),
    live: Option<&Warning>,
    candidate: Option<&Warning>,
    asset: Option<&Shared<Asset>>,
) -> Option<SetDifference> {
    let open = |warning: Option<&Warning>| {
        let shown = warning?.shown.as_ref()?;
        Some(Open {
            level: shown.level,
            since: shown.since,
        })
    };
    let is_candidate = live.is_some_and(|live| live.against.contains(set));
    let (live, candidate) = (open(live), open(candidate));
    let kind = DifferenceKind::of(live, candidate);
    // What a set that is none any more had remains for a while.
    let kind = kind.filter(|kind| *kind != DifferenceKind::OnlyLive || is_candidate)?;
    let asset = asset?;
    Some(SetDifference {
        set: Id::new(set.clone()),
        rule: Id::new(rule.clone()),
        asset: asset.id.clone(),
        domain: asset.domain,
        region: asset.region,
        kind,
        live,
        candidate,
    })
}

/// The candidates against which a live warning stands.
pub(super) type Against = ThinVec<Text>;

#[cfg(test)]
mod tests {
    use riskflow_config::{ScoreCuts, Standing};
    use riskflow_model::output::{Cause, Origin};
    use riskflow_model::{Duration, Key, Level, Millis};

    use super::*;
    use crate::engine::Fold as _;
    use crate::warning::lifecycle::Lifecycle;
    use crate::warning::monitor::Source;

    fn standing(live: bool, candidates: &[&str], all: &[&str]) -> Option<Arc<Standing>> {
        let names = |names: &[&str]| names.iter().map(|name| Text::from(*name)).collect();
        Some(Arc::new(Standing {
            live,
            candidates: names(candidates),
            all: names(all),
        }))
    }

    fn revision(standing: Option<Arc<Standing>>, since: i64) -> Revision {
        Revision {
            origin: Origin::default(),
            rule: "r".into(),
            asset: "a".into(),
            source: Source::Datastream("d".into()),
            from: i64::MIN,
            tail: vec![(since, Level::Blue)],
            until: i64::MAX,
            reach: 0,
            standing,
            moves: None,
            gone: false,
            stale: false,
            cause: Some(Cause::Data),
            explanation: None,
            past: Vec::new(),
        }
    }

    fn moved(all: &[&str], moves: &[(Place, Option<Place>)]) -> Revision {
        let moves = moves.iter().map(|(to, from)| Move {
            to: to.clone(),
            from: from.clone(),
            cause: Cause::RuleChange,
        });
        Revision {
            from: i64::MAX,
            tail: Vec::new(),
            moves: Some(moves.collect()),
            cause: None,
            ..revision(standing(true, &[], all), 0)
        }
    }

    struct Driven(Lifecycle, LifecycleState);

    impl Driven {
        fn new() -> Self {
            let fold = Lifecycle {
                remember: Duration(1_000_000),
                cuts: ScoreCuts::default(),
                join: Duration::ZERO,
                keep: Duration(1_000_000),
            };
            let mut driven = Self(fold, LifecycleState::default());
            let json = r#"{"id":"a","category":"t","domain":"lifeline","region":"330902001001","inherent_level":3}"#;
            let row: Shared<Asset> = Shared::new(serde_json::from_str(json).unwrap());
            let mut rows = [(row, 1)].into_iter();
            driven.0.rows(Millis(0), Key::of("a"), &mut driven.1, &mut rows);
            driven
        }

        /// What is told of warnings and differences.
        fn step(&mut self, now: i64, revisions: Vec<Revision>) -> Vec<String> {
            for mut revision in revisions {
                self.0.record(Millis(now), Key::of("a"), &mut self.1, &mut revision);
            }
            let mut out = Vec::new();
            self.0.settle(Millis(now), Key::of("a"), &mut self.1, &mut out);
            let told = out.into_iter().filter_map(|(step, diff)| match step {
                Step::Delta(delta, _) => Some(format!("{} since {}", delta.kind.name(), delta.since.0)),
                Step::CandidateDelta(delta) => {
                    Some(format!("{} {} since {}", delta.set, delta.kind.name(), delta.since.0))
                }
                Step::Difference(row) if diff > 0 => Some(format!("{} {}", row.set, row.kind.name())),
                _ => None,
            });
            told.collect()
        }
    }

    #[test]
    fn a_promotion_moves_levels_and_the_live_warning_goes_on() {
        let mut driven = Driven::new();
        let candidate = revision(standing(false, &["strict"], &["strict"]), 10);
        assert_eq!(
            driven.step(10, vec![candidate]),
            ["strict raised since 10", "strict only_set"]
        );
        let live = revision(standing(true, &[], &["strict"]), 20);
        assert_eq!(driven.step(20, vec![live]), ["raised since 20", "strict since"]);
        let set = |name: &str| Place::Set(name.into());
        let promotion = moved(
            &["default"],
            &[
                (Place::Live, Some(set("strict"))),
                (set("default"), Some(Place::Live)),
                (set("strict"), None),
            ],
        );
        assert_eq!(
            driven.step(30, vec![promotion]),
            [
                "default raised since 20",
                "revised since 10",
                "strict withdrawn since 10",
                "default since"
            ]
        );
        let ids: Vec<_> = driven.1.warnings.values().filter_map(|one| one.shown.clone()).collect();
        assert_eq!(ids.len(), 2);
        let first = Key::of_parts(&["r", "a", "20"]).to_string();
        assert!(ids.iter().any(|shown| *shown.id == *first && shown.since == Millis(10)));
    }

    #[test]
    fn one_entry_in_several_sets_is_one_level_in_each() {
        let mut driven = Driven::new();
        let both = revision(standing(true, &["strict"], &["lax", "strict"]), 10);
        assert_eq!(
            driven.step(10, vec![both]),
            ["raised since 10", "strict raised since 10", "lax only_live"]
        );
        assert_eq!(driven.1.highest(), (Level::Blue, false));
    }

    #[test]
    fn what_a_candidate_alone_has_is_no_risk() {
        let mut driven = Driven::new();
        driven.step(10, vec![revision(standing(false, &["strict"], &["strict"]), 10)]);
        assert_eq!(driven.1.highest(), (Level::None, false));
    }
}
