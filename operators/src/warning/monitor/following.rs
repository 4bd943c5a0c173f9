//! Sets have one rule in several forms, and a sweep has as many rules, most of which differ in their thresholds only. While the form that is the first to hold stays
//! off, those that ask for more stay off too: they follow it, and no value is compared again for them.
//!
//! It follows from this. A rule's conditions are made of comparisons by `any` and `all` alone, so they never come closer to true
//! where comparisons come further from it. Where a form of the same condition asks for at least as much in each comparison of `when`,
//! and for the same in all others, then: what is false for the first is false for it, and what is not true for the first is not true
//! for it. A level that is off and whose moved condition is false at each instant of a run is so in both.

use riskflow_config::{Comparison, Role};

use super::evaluation::{Evaluation, Phase, Standing};
use super::finding::Finding;
use super::value::upwards;
use super::walk::Sight;
use super::watch::{Context, Watch};
use crate::engine::Diff;
use crate::warning::specification::Entry;

#[cfg(test)]
mod tests;

/// How one that leads went on in a settling: all its levels stayed off, and nothing but an observation can change that.
pub(super) struct Course {
    /// Where it stood before.
    pub(super) from: Evaluation,
    /// Where it stands.
    pub(super) to: Evaluation,
    /// From when on it sees what came.
    pub(super) sight: Sight,
    /// Whether the datastream was heard of before all that is retained.
    pub(super) heard_before: bool,
    /// How many levels it has.
    pub(super) levels: usize,
}

/// For each watch, in order, the position of the one that it follows: its own where it follows none. Empty where none follows any.
pub(super) fn leads(watches: &[Watch]) -> Vec<u16> {
    let condition = |place: &usize| watches[*place].entry.rule.condition;
    let mut places: Vec<usize> = (0..watches.len()).collect();
    // Forms of one rule, and rules of a sweep that have names of their own.
    places.sort_by_key(condition);
    let mut leads: Vec<u16> = (0..watches.len()).map(|place| place as u16).collect();
    let mut any = false;
    for forms in places.chunk_by(|one, next| condition(one) == condition(next)) {
        let follows = |form: usize, head: usize| asks_for_more(&watches[form].entry, &watches[head].entry);
        let mut heads: Vec<usize> = Vec::new();
        for form in forms {
            if !heads.iter().any(|head| follows(*form, *head)) {
                heads.retain(|head| !follows(*head, *form));
                heads.push(*form);
            }
        }
        for form in forms {
            let lead = heads.iter().find(|head| *head == form || follows(*form, **head));
            if let Some(lead) = lead.filter(|lead| *lead != form) {
                leads[*form] = *lead as u16;
                any = true;
            }
        }
    }
    if any { leads } else { Vec::new() }
}

/// Whether an entry asks for at least as much as another of the same condition: it is off wherever that one is.
fn asks_for_more(entry: &Entry, other: &Entry) -> bool {
    let thresholds = || entry.thresholds.iter().zip(other.thresholds.iter());
    let comparisons = || entry.rule.comparisons.iter().zip(thresholds());
    entry.scaled.is_none()
        && other.scaled.is_none()
        && comparisons().all(|(comparison, (one, two))| match (comparison.role, one, two) {
            (Role::When, Some(one), Some(two)) => {
                is_beyond(comparison, one.on, two.on) && is_beyond(comparison, one.off, two.off)
            }
            (_, one, two) => one == two,
        })
}

const fn is_beyond(comparison: &Comparison, one: i64, two: i64) -> bool {
    if upwards(comparison.operator) {
        one >= two
    } else {
        one <= two
    }
}

/// Settles all watches of a datastream; those that lead first. Gives when to look again.
pub(super) fn settle(
    watches: &mut [Watch],
    leads: &[u16],
    context: &Context<'_>,
    out: &mut Vec<(Finding, Diff)>,
) -> i64 {
    let mut wake = i64::MAX;
    if leads.is_empty() {
        for watch in watches {
            wake = wake.min(watch.settle(context, out));
        }
        return wake;
    }
    let is_lead = |place: usize| usize::from(leads[place]) == place;
    let mut courses: Vec<(u16, Course)> = Vec::new();
    for (place, watch) in watches.iter_mut().enumerate().filter(|(place, _)| is_lead(*place)) {
        let from = watch.may_lead(context).then(|| watch.base.clone());
        let next = watch.settle(context, out);
        wake = wake.min(next);
        let course = from.and_then(|from| watch.course(from, next));
        courses.extend(course.map(|course| (place as u16, course)));
    }
    for (place, watch) in watches.iter_mut().enumerate().filter(|(place, _)| !is_lead(*place)) {
        let course = courses.iter().find(|(lead, _)| *lead == leads[place]);
        if course.is_some_and(|(_, course)| watch.follow(course)) {
            #[cfg(test)]
            tests::FOLLOWED.set(tests::FOLLOWED.get() + 1);
            continue;
        }
        wake = wake.min(watch.settle(context, out));
    }
    wake
}

impl Evaluation {
    /// Whether each of the first levels is off, and what keeps it off holds.
    pub(super) fn is_off(&self, levels: usize) -> bool {
        let off = |standing: &Standing| !standing.on() && standing.phase() == Phase::False;
        self.levels[..levels].iter().all(off)
    }

    /// Whether no phase changed from one to the other: a phase that came again has begun later.
    pub(super) fn is_in_the_phases_of(&self, other: &Self) -> bool {
        self.levels == other.levels
    }

    /// Whether both stand at the same point, with the same points in their windows.
    pub(super) fn stands_with(&self, other: &Self) -> bool {
        self.at == other.at
            && self.seen == other.seen
            && self.last_counted == other.last_counted
            && self.windows == other.windows
    }

    /// Goes to where another stands; levels stay.
    pub(super) fn go_with(&mut self, other: &Self) {
        self.at = other.at;
        self.seen = other.seen;
        self.last_counted = other.last_counted;
        self.windows.copy_from_slice(&other.windows);
    }
}
