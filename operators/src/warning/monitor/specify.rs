//! Another specification comes into force: which watches stay, which go on with another condition, which end.
//!
//! Of a rule that sets have in several forms there is a watch for each. One that comes goes on from the watch that counted in its sets
//! before; where a set did not have the rule, from the live one, as if the set had been a copy of that.

use std::sync::Arc;

use riskflow_config::{Place, Standing};
use riskflow_model::output::Cause;
use thin_vec::ThinVec;

use super::Monitor;
use super::aside::{Ended, Parting};
use super::finding::{Move, Revision};
use super::forecast::Forecasts;
use super::known::Known;
use super::watch::Watch;
use crate::warning::specification::{Entry, Specification, Subject};

/// What a change of specification leaves as it was.
struct Kept {
    asset: bool,
    /// What is a value.
    values: bool,
    /// Why a watch comes or goes where its rule did not change.
    came_or_went: Cause,
}

/// The watch of the same rule from which one goes on.
struct Before {
    watch: Watch,
    /// Whether no other goes on from it.
    last: bool,
}

impl Monitor {
    /// Puts another specification in force; the watches that it ends or moves go to `parting`. Whether anything changed.
    pub(super) fn specify(
        &self,
        now: i64,
        (known, forecasts): (&mut Known, Option<&Forecasts>),
        next: Specification,
        parting: &mut Parting,
    ) -> bool {
        let Specification {
            subject,
            entries,
            valid,
            // Kept aside, before this.
            states: _,
        } = next;
        // What is a value is a part of each condition.
        let same_values = known.valid == valid || entries.is_empty();
        let before = std::mem::replace(&mut known.subject, subject);
        let next = &known.subject;
        let same_asset = before.asset == next.asset;
        if same_values && known.watches_just(&entries) && (same_asset || entries.is_empty()) {
            // Names, versions and sources are no part of what decides; and of what was loaded only now is it known what rules say.
            for (watch, entry) in known.watches.iter_mut().zip(entries) {
                watch.entry = entry;
            }
            known.lead();
            return false;
        }
        let same_base = before.base == next.base && same_asset;
        let kept = Kept {
            asset: same_asset,
            values: same_values,
            came_or_went: if same_base {
                Cause::RuleChange
            } else {
                Cause::BaseChange
            },
        };
        self.limit_sight(now, known);
        let old: Vec<Watch> = known.watches.drain(..).collect();
        let sources = entries.iter().map(|entry| source(&old, entry, kept.asset));
        let sources: Vec<Option<usize>> = sources.collect();
        if kept.asset {
            parting
                .moved
                .extend(moves(&old, (&entries, &sources), &before, kept.came_or_went));
        }
        let mut old: Vec<Option<Watch>> = old.into_iter().map(Some).collect();
        for (position, (entry, source)) in entries.into_iter().zip(&sources).enumerate() {
            let last = !sources[position + 1..].contains(source);
            let old = source.and_then(|source| if last { old[source].take() } else { old[source].clone() });
            let old = old.map(|watch| Before { watch, last });
            let watch = self.watch(entry, old, (known, forecasts), (&kept, &before), parting);
            known.watches.push(watch);
        }
        known.lead();
        for watch in old.into_iter().flatten() {
            // Of one that counted in sets the moves say it.
            if !kept.asset || watch.entry.rule.sets.is_none() {
                parting.ended.extend(end(watch, &before, kept.came_or_went));
            }
        }
        true
    }

    /// The watch of an entry, in place of the one of the same rule, if there was one.
    fn watch(
        &self,
        entry: Entry,
        old: Option<Before>,
        (known, forecasts): (&Known, Option<&Forecasts>),
        (kept, before): (&Kept, &Subject),
        parting: &mut Parting,
    ) -> Watch {
        let ground = self.ground(&known.series, forecasts);
        let Some(Before { mut watch, last }) = old else {
            return Watch::new(entry, ground, known.sight, kept.came_or_went);
        };
        if kept.asset && kept.values && watch.entry.is_same(&entry) {
            watch.entry = entry;
            return watch;
        }
        // On another asset it is another entry, whatever became of the rule.
        let cause = if !kept.asset || watch.entry.rule.is_written_as(&entry.rule) {
            Cause::BaseChange
        } else {
            Cause::RuleChange
        };
        if kept.asset {
            return watch.edited(entry, ground, known.sight, cause);
        }
        if last {
            parting.ended.extend(end(watch, before, cause));
        }
        Watch::new(entry, ground, known.sight, cause)
    }
}

fn is_of_rule(watch: &Watch, entry: &Entry) -> bool {
    watch.entry.rule.record.id == entry.rule.record.id
}

/// The watch from which that of an entry goes on: the same one; else the one that counted in its sets, the live one first; else, on
/// the same asset, the live one.
fn source(old: &[Watch], entry: &Entry, same_asset: bool) -> Option<usize> {
    let same = old.iter().position(|watch| watch.entry.is_same(entry));
    let counted = |place: Place| {
        old.iter()
            .position(|watch| is_of_rule(watch, entry) && watch.entry.rule.standing().has(&place))
    };
    let live = same_asset.then_some(Place::Live);
    let mut places = entry.rule.standing().places().chain(live);
    same.or_else(|| places.find_map(counted))
}

/// What becomes of the places in which watches counted, of each rule that is in several sets, or was: where one now counts that went on
/// from another. Nothing is said of what nobody heard of.
fn moves(
    old: &[Watch],
    (entries, sources): (&[Entry], &[Option<usize>]),
    subject: &Subject,
    cause: Cause,
) -> Vec<Revision> {
    let in_sets = old.iter().map(|watch| &watch.entry).chain(entries);
    let in_sets = in_sets.filter(|entry| entry.rule.sets.is_some());
    let mut rules: Vec<_> = in_sets.map(|entry| entry.rule.record.id.clone()).collect();
    rules.sort();
    rules.dedup();
    let moved = rules.into_iter().filter_map(|rule| {
        let of_rule = |entry: &Entry| entry.rule.record.id == rule;
        let heard = old.iter().any(|watch| of_rule(&watch.entry) && watch.is_told());
        let asset = subject.asset.as_ref().filter(|_| heard)?;
        let was = |place: &Place| {
            old.iter()
                .position(|watch| of_rule(&watch.entry) && watch.entry.rule.standing().has(place))
        };
        let is = |place: &Place| {
            entries
                .iter()
                .position(|entry| of_rule(entry) && entry.rule.standing().has(place))
        };
        let all = old.iter().map(|watch| &watch.entry).chain(entries);
        let all = all.filter(|entry| of_rule(entry));
        let mut places: Vec<Place> = all.flat_map(|entry| entry.rule.standing().places()).collect();
        places.sort();
        places.dedup();
        let moves = places.into_iter().filter_map(|to| {
            let (before, after) = (was(&to), is(&to).and_then(|entry| sources[entry]));
            if before == after {
                return None;
            }
            let from = after.and_then(|after| old[after].entry.rule.standing().places().next());
            Some(Move { to, from, cause })
        });
        let moves: ThinVec<Move> = moves.collect();
        // Which candidates there are, each entry knows.
        let standing = entries.first().map(|entry| Standing {
            live: true,
            ..entry.rule.standing().clone()
        });
        let told = old.iter().map(|watch| &watch.entry).find(|entry| of_rule(entry))?;
        Some(Revision {
            standing: Some(Arc::new(standing.unwrap_or_default())),
            moves: Some(moves),
            ..Revision::of(&told.rule, asset, &subject.datastream)
        })
    });
    moved.collect()
}

/// A watch that ends, where anybody could have heard of it.
fn end(watch: Watch, subject: &Subject, cause: Cause) -> Option<Ended> {
    Some(Ended {
        watch,
        datastream: subject.datastream.clone(),
        asset: subject.asset.clone()?,
        cause,
    })
}
