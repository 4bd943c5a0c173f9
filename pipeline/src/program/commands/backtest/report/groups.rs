//! The same numbers by rule, county and domain.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_model::Duration;
use serde::Serialize;

use super::super::compare::Pair;
use super::super::episode::Episode;
use super::super::judge::{Scores, judge};
use super::super::truth::Event;
use super::{Found, Looked, Relations};

/// Numbers of a part of the warnings.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// The rule, the code of the region, or the domain.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Warnings of the new rules that were not withdrawn.
    pub new_warnings: usize,
    /// How long they lasted together.
    pub new_lasted: Duration,
    /// The same of the old rules.
    pub old_warnings: Option<usize>,
    /// How long those lasted together.
    pub old_lasted: Option<Duration>,
    /// How they are related.
    pub relations: Option<Relations>,
    /// The new rules beside the events that concern the group.
    pub new_scores: Option<Scores>,
    /// The old rules beside them.
    pub old_scores: Option<Scores>,
}

/// What a group is told by.
type Key<'a> = dyn Fn(&Episode) -> String + 'a;

/// By rule, by county, by domain.
pub fn groups(found: &Found<'_>, looked: &Looked, pairs: Option<&[Pair<'_>]>) -> [Vec<Group>; 3] {
    let world = found.world;
    let rules = found.sets.old.iter().flatten().chain(&found.sets.new);
    let rules: BTreeMap<&str, &str> = rules.map(|rule| (&*rule.id, &*rule.name)).collect();
    let county = |episode: &Episode| world.county(episode.region).to_string();
    let all = |_: &str, _: &Event| true;
    let in_county = |id: &str, event: &Event| event.county(world).is_some_and(|county| county.to_string() == *id);
    let of_domain = |id: &str, event: &Event| event.domain.is_none_or(|domain| domain.name() == id);
    let name_of_rule = |id: &str| rules.get(id).map_or_else(String::new, |name| (*name).to_owned());
    let name_of_region = |id: &str| {
        id.parse()
            .map_or_else(|_| String::new(), |code| world.name(code).to_owned())
    };
    let rule_of = |episode: &Episode| episode.rule.to_string();
    let domain_of = |episode: &Episode| episode.domain.name().to_owned();
    let every: BTreeSet<String> = rules.keys().map(|id| (*id).to_owned()).collect();
    let made = |key: &Key<'_>, ids, name: &dyn Fn(&str) -> String, concerns: &dyn Fn(&str, &Event) -> bool| {
        by(found, looked, (key, ids), (name, concerns), pairs)
    };
    [
        made(&rule_of, every, &name_of_rule, &all),
        made(&county, BTreeSet::new(), &name_of_region, &in_county),
        made(&domain_of, BTreeSet::new(), &|_| String::new(), &of_domain),
    ]
}

/// What a group is called, and whether an event concerns it; by its identifier.
type About<'a> = (&'a dyn Fn(&str) -> String, &'a dyn Fn(&str, &Event) -> bool);

fn by(
    found: &Found<'_>,
    looked: &Looked,
    (key, ids): (&Key<'_>, BTreeSet<String>),
    (name, concerns): About<'_>,
    pairs: Option<&[Pair<'_>]>,
) -> Vec<Group> {
    let mut parts: BTreeMap<String, Part<'_>> = ids.into_iter().map(|id| (id, Part::default())).collect();
    for one in &looked.new {
        parts.entry(key(one)).or_default().new.push(one);
    }
    for one in looked.old.iter().flatten() {
        parts.entry(key(one)).or_default().old.push(one);
    }
    for pair in pairs.unwrap_or_default() {
        parts.entry(key(pair.either())).or_default().pairs.push(pair);
    }
    let counts = |all: &[&Episode]| {
        let there = || all.iter().filter(|one| !one.withdrawn);
        let lasted = there().map(|one| one.lasted(looked.span)).sum();
        (there().count(), Duration(lasted))
    };
    let made = parts.into_iter().map(|(id, part)| {
        let events = found
            .events
            .map(|all| all.iter().filter(|event| concerns(&id, event)).collect());
        let scores =
            |all: &[&Episode], events: &Vec<&Event>| judge(all.iter().copied(), events, found.terms, found.world).0;
        let old = looked.old.as_ref().map(|_| part.old.as_slice());
        let (new_warnings, new_lasted) = counts(&part.new);
        let (old_warnings, old_lasted) = old.map(counts).unzip();
        Group {
            name: name(&id),
            new_warnings,
            new_lasted,
            old_warnings,
            old_lasted,
            relations: pairs.map(|_| Relations::of(part.pairs.iter().copied())),
            new_scores: events.as_ref().map(|events| scores(&part.new, events)),
            old_scores: old.zip(events.as_ref()).map(|(all, events)| scores(all, events)),
            id,
        }
    });
    made.collect()
}

/// The warnings of a group.
#[derive(Default)]
struct Part<'a> {
    new: Vec<&'a Episode>,
    old: Vec<&'a Episode>,
    pairs: Vec<&'a Pair<'a>>,
}
