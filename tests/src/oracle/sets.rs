//! Rule sets: which rules each has, which entries follow, and how what a set warns of differs from the live one.
//!
//! Written from `docs/rule-sets.md`. A set is a batch of its own: the same records under its rules, with its levels, episodes and
//! warnings; differences come of two such results.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_config::Rule;
use riskflow_model::output::{Cause, WarningState};
use riskflow_model::rule::RuleRecord;
use riskflow_model::ruleset::{Adjust, RuleSet};
use riskflow_model::topic::Topic;
use riskflow_model::{Id, Key, Level, Shared, Text};
use serde_json::{Value, json};

use super::entry::{Entry, Stream, alike, decide_alike};
use super::place::Places;
use super::{Expected, Group, Levels, Member, Oracle, Told, Watched, entry, episode, level, run};

/// Where a level counts: in the live set, or in a candidate by its name.
pub(super) type Place = Option<Text>;

/// The rules of a set by the keys of what they are called in it, and what they see in the place of results.
#[derive(Clone, Debug, Default)]
pub(super) struct OfSet {
    pub rules: BTreeMap<Key, Rule>,
    /// As written, with their sets.
    pub written: BTreeMap<Key, Rule>,
    pub adjust: Vec<Adjust>,
}

/// What each place has.
pub(super) type Sets = BTreeMap<Place, OfSet>;

/// A candidate's life beside the live one.
#[derive(Default)]
pub(super) struct Candidate {
    levels: Levels,
    open: BTreeMap<Group, WarningState>,
    history: BTreeMap<Group, Vec<episode::Over>>,
    runs: run::Runs,
}

fn apart(id: &str) -> (Text, Text) {
    match id.split_once('/') {
        Some((set, rule)) => (set.into(), rule.into()),
        None => ("default".into(), id.into()),
    }
}

/// The sets that are evaluated.
pub(super) fn sets(rules: &BTreeMap<Key, Rule>, rows: &BTreeMap<Key, Shared<RuleSet>>, retain: i64) -> Sets {
    let rows: BTreeMap<Text, &RuleSet> = rows.values().map(|row| (row.id.text().clone(), &**row)).collect();
    let mut own: BTreeMap<Text, BTreeMap<Text, &Rule>> = BTreeMap::new();
    for rule in rules.values() {
        let (set, name) = apart(&rule.record.id);
        own.entry(set).or_default().insert(name, rule);
    }
    for name in rows.keys().filter(|name| &***name != "live") {
        own.entry(name.clone()).or_default();
    }
    let named = rows.get("live").and_then(|row| row.set.as_ref());
    let live: Text = match named {
        Some(set) if own.contains_key(set.text()) => set.text().clone(),
        _ => "default".into(),
    };
    let mut of: BTreeMap<Text, BTreeMap<Text, &Rule>> = BTreeMap::new();
    for (set, rules) in &own {
        let mut rules = rules.clone();
        let row = rows.get(set);
        let base = row
            .and_then(|row| row.base.as_ref())
            .and_then(|base| own.get(base.text()));
        for (name, rule) in base.into_iter().flatten() {
            if !row.is_some_and(|row| row.removed.contains(name)) {
                rules.entry(name.clone()).or_insert(rule);
            }
        }
        of.insert(set.clone(), rules);
    }
    let reach = |rules: &BTreeMap<Text, &Rule>| rules.values().map(|rule| rule.reach).max().unwrap_or(0);
    let farthest = retain.max(of.get(&live).map_or(0, reach));
    let before = rows.get("live").and_then(|row| row.before.as_deref());
    let mut order: Vec<&Text> = of.keys().collect();
    order.sort_by_key(|set| {
        let was_live = before == Some(&***set);
        (**set != live, &***set != "default", !was_live, (*set).clone())
    });
    // Each kind has room of its own.
    let (mut room, mut room_of_sweeps) = (8, 64);
    order.retain(|set| {
        let is_swept = rows.get(*set).is_some_and(|row| row.sweep.is_some());
        let room = if is_swept { &mut room_of_sweeps } else { &mut room };
        let fits = *room > 0;
        *room -= i32::from(fits);
        fits
    });
    let sets = order.into_iter().map(|set| {
        let is_live = *set == live;
        let mut of_set = OfSet {
            adjust: rows.get(set).map(|row| row.adjust.clone()).unwrap_or_default(),
            ..OfSet::default()
        };
        for (name, rule) in of[set].iter().filter(|(_, rule)| is_live || rule.reach <= farthest) {
            let bare = if rule.record.id == *name {
                (*rule).clone()
            } else {
                let id = name.clone();
                let record = rule.record.clone();
                Rule::check(RuleRecord { id, ..record }).expect("a rule")
            };
            of_set.rules.insert(Key::of(name), bare);
            of_set.written.insert(Key::of(name), (*rule).clone());
        }
        ((!is_live).then(|| set.clone()), of_set)
    });
    let mut sets: Sets = sets.collect();
    sets.entry(None).or_default();
    sets
}

/// Entries by place and rule.
pub(super) type Entries = BTreeMap<Place, BTreeMap<Id<RuleRecord>, Entry>>;

/// For each place, why entries came, went or are others.
type Causes = BTreeMap<Place, BTreeMap<Member, Cause>>;

/// What comes of a specification: the entries, and for each place why one came, went or is another.
struct Specified {
    next: Entries,
    causes: Causes,
}

/// What stays, and what is in force now.
struct Change<'a> {
    stream: &'a Stream,
    datastream: Watched,
    city: &'a super::City,
    came_or_went: Cause,
    /// Whether a place had a level of a member that is remembered.
    was_on: &'a dyn Fn(&Place, &Member) -> bool,
}

impl Oracle {
    /// Entries as of now; for each place and each that came, went or is another, why.
    pub(super) fn specify(&mut self, now: i64, places: &Places, sets: &Sets) -> Causes {
        let mut causes = self.lost();
        let remembered = now - self.remember();
        let (live, candidates) = (&self.levels, &self.candidates);
        let was_on = |place: &Place, member: &Member| {
            let levels = match place {
                None => Some(live),
                Some(set) => candidates.get(set).map(|candidate| &candidate.levels),
            };
            let found = levels.and_then(|levels| levels.get(member));
            let last = found.and_then(|(track, _)| track.last());
            last.is_some_and(|(time, level)| *level > Level::None || *time > remembered)
        };
        for (key, stream) in &mut self.streams {
            let datastream = self.datastreams[key].clone();
            let asset = self.assets.get(&datastream.asset.key()).cloned();
            let rows = asset.map(|asset| {
                let chain = places.chain(&asset.region.to_string());
                (datastream.clone(), asset, chain)
            });
            let wanted: Entries = (sets.iter())
                .map(|(place, of_set)| (place.clone(), entry::wanted(rows.as_ref(), of_set, &self.regions)))
                .collect();
            let same_rows = rows == stream.rows;
            stream.rows = rows;
            if stream.sense != entry::sense(&datastream) {
                stream.limit(now, &self.semantics);
                stream.sense = entry::sense(&datastream);
            }
            if are_alike(&wanted, &stream.entries) {
                for (place, id, entry) in each(wanted) {
                    let old = stream.entries.get_mut(&place).and_then(|entries| entries.get_mut(&id));
                    let old = old.expect("they are the same");
                    (old.rule, old.written) = (entry.rule, entry.written);
                }
                continue;
            }
            stream.limit(now, &self.semantics);
            let change = Change {
                stream,
                datastream: Watched::Datastream(datastream.id.clone()),
                city: &self.city,
                came_or_went: if same_rows {
                    Cause::RuleChange
                } else {
                    Cause::BaseChange
                },
                was_on: &was_on,
            };
            let Specified { next, causes: of_this } = change.specified(wanted);
            stream.entries = next;
            for (place, of_place) in of_this {
                causes.entry(place).or_default().extend(of_place);
            }
        }
        causes
    }

    /// A datastream that is not known any more has lost its entries; its rows are gone.
    fn lost(&self) -> Causes {
        let mut causes = Causes::new();
        let levels = self
            .candidates
            .iter()
            .map(|(set, candidate)| (Some(set.clone()), &candidate.levels));
        for (place, levels) in levels.chain([(None, &self.levels)]) {
            for member in levels.keys() {
                if let Watched::Datastream(datastream) = &member.2
                    && !self.datastreams.contains_key(&datastream.key())
                {
                    causes
                        .entry(place.clone())
                        .or_default()
                        .insert(member.clone(), Cause::BaseChange);
                }
            }
        }
        causes
    }

    /// What each candidate would warn of, and how that differs from what the live set warns of.
    pub(super) fn candidates(
        &mut self,
        now: i64,
        levels: BTreeMap<Place, Levels>,
        (entries, data): (&Causes, &BTreeMap<Key, Cause>),
        expected: &mut Expected,
    ) {
        // A set without rules warns of nothing, and that is a difference.
        let mut known: BTreeSet<Text> = self.in_force.iter().flatten().cloned().collect();
        known.extend(self.candidates.keys().cloned());
        let mut of_sets: BTreeMap<Text, Levels> = known.into_iter().map(|set| (set, Levels::new())).collect();
        of_sets.extend(levels.into_iter().filter_map(|(place, levels)| Some((place?, levels))));
        let (mut states, mut differences) = (BTreeMap::new(), BTreeMap::new());
        let (nothing, no_papers) = (BTreeMap::new(), BTreeMap::new());
        let over_gauges = self.groups_over_gauges(&Levels::new());
        // No candidate is asked about gauges, so it does not differ in what it says of them.
        let live = self.open.iter().filter(|(group, _)| !over_gauges.contains(*group));
        let live: BTreeMap<Group, WarningState> = live.map(|(group, row)| (group.clone(), row.clone())).collect();
        for (set, levels) in of_sets {
            let mut candidate = self.candidates.remove(&set).unwrap_or_default();
            self.swap(&mut candidate);
            self.set = Some(set.clone());
            let mut told = Expected::default();
            let entries = entries.get(&Some(set.clone())).unwrap_or(&nothing);
            let named = self.causes(&levels, entries, data, (&no_papers, &nothing));
            self.episodes(now, &levels, &named, &mut told);
            self.levels = levels;
            self.set = None;
            self.swap(&mut candidate);
            for (id, row) in &told.warnings {
                states.insert(id.text().clone(), state(&set, row));
            }
            expected
                .candidate_deltas
                .extend(told.deltas.into_iter().map(|told| (set.clone(), told)));
            differences.extend(self.differences(&set, &live, &candidate.open));
            let is_over = candidate.levels.is_empty() && candidate.open.is_empty() && candidate.history.is_empty();
            if !is_over {
                self.candidates.insert(set, candidate);
            }
        }
        expected.others.insert(Topic::CANDIDATE_STATE, states);
        expected.others.insert(Topic::RULESET_DIFFERENCE, differences);
    }

    fn swap(&mut self, candidate: &mut Candidate) {
        std::mem::swap(&mut self.levels, &mut candidate.levels);
        std::mem::swap(&mut self.open, &mut candidate.open);
        std::mem::swap(&mut self.history, &mut candidate.history);
        std::mem::swap(&mut self.runs, &mut candidate.runs);
    }

    fn differences(
        &self,
        set: &Text,
        live: &BTreeMap<Group, WarningState>,
        candidate: &BTreeMap<Group, WarningState>,
    ) -> BTreeMap<Text, Value> {
        let mut rows = BTreeMap::new();
        let groups: BTreeSet<&Group> = live.keys().chain(candidate.keys()).collect();
        for group in groups
            .into_iter()
            .filter(|(limit, ..)| !limit && self.is_candidate(set))
        {
            let (one, other) = (live.get(group), candidate.get(group));
            let kind = match (one, other) {
                (Some(_), None) => "only_live",
                (None, Some(_)) => "only_set",
                (Some(one), Some(other)) if one.level != other.level => "level",
                (Some(one), Some(other)) if one.since != other.since => "since",
                _ => continue,
            };
            let open = |row: Option<&WarningState>| row.map(|row| json!({ "level": row.level, "since": row.since }));
            let asset = &self.assets[&group.2.key()];
            let row = json!({
                "set": set, "rule": group.1, "asset": group.2, "domain": asset.domain, "region": asset.region, "kind": kind,
                "live": open(one), "candidate": open(other),
            });
            let escaped = [&**set, &*group.1, &*group.2].map(|part| part.replace('~', "~0").replace('/', "~1"));
            rows.insert(escaped.join("/").into(), row);
        }
        rows
    }

    fn is_candidate(&self, set: &Text) -> bool {
        self.in_force.contains(&Some(set.clone()))
    }
}

fn state(set: &Text, row: &WarningState) -> Value {
    json!({
        "id": row.id, "set": set, "rule": row.rule, "asset": row.asset, "domain": row.domain, "region": row.region,
        "level": row.level, "since": row.since, "stale": row.stale,
    })
}

fn each(entries: Entries) -> impl Iterator<Item = (Place, Id<RuleRecord>, Entry)> {
    entries
        .into_iter()
        .flat_map(|(place, of_place)| of_place.into_iter().map(move |(id, entry)| (place.clone(), id, entry)))
}

fn are_alike(wanted: &Entries, old: &Entries) -> bool {
    let nothing = BTreeMap::new();
    let places: BTreeSet<&Place> = wanted.keys().chain(old.keys()).collect();
    places.into_iter().all(|place| {
        let (wanted, old) = (
            wanted.get(place).unwrap_or(&nothing),
            old.get(place).unwrap_or(&nothing),
        );
        wanted.len() == old.len() && (wanted.iter()).all(|(id, entry)| old.get(id).is_some_and(|old| alike(old, entry)))
    })
}

impl Change<'_> {
    fn old(&self, place: &Place, id: &Id<RuleRecord>) -> Option<&Entry> {
        self.stream.entries.get(place)?.get(id)
    }

    fn specified(&self, wanted: Entries) -> Specified {
        let mut found = Specified {
            next: wanted.keys().map(|place| (place.clone(), BTreeMap::new())).collect(),
            causes: BTreeMap::new(),
        };
        let ids: BTreeSet<Id<RuleRecord>> = wanted.values().flat_map(BTreeMap::keys).cloned().collect();
        for id in ids {
            let mut of_rule: BTreeMap<Place, Entry> = BTreeMap::new();
            for (place, entries) in &wanted {
                of_rule.extend(entries.get(&id).map(|entry| (place.clone(), entry.clone())));
            }
            // Those that are alike are one.
            while let Some((_, first)) = of_rule.first_key_value() {
                let first = first.clone();
                let (same, rest): (BTreeMap<Place, Entry>, _) = std::mem::take(&mut of_rule)
                    .into_iter()
                    .partition(|(_, entry)| alike(entry, &first));
                of_rule = rest;
                self.form(&id, first, &same, &mut found);
            }
        }
        for (place, entries) in &self.stream.entries {
            for (id, old) in entries {
                if !wanted.get(place).is_some_and(|wanted| wanted.contains_key(id)) {
                    let causes = found.causes.entry(place.clone()).or_default();
                    causes.insert(self.member(id, old), self.came_or_went);
                }
            }
        }
        found
    }

    fn member(&self, id: &Id<RuleRecord>, entry: &Entry) -> Member {
        (id.widen(), entry.asset.clone(), self.datastream.clone())
    }

    /// Whether what an entry goes on from was written as that is: by a set that has both, or else by the first of each.
    fn is_written_alike(&self, id: &Id<RuleRecord>, source: &Entry, wanted: &BTreeMap<Place, Entry>) -> bool {
        let of_source = |place: &Place| self.old(place, id).filter(|old| alike(old, source));
        let both = wanted
            .iter()
            .find_map(|(place, entry)| Some((of_source(place)?, entry)));
        let firsts = || Some((self.stream.entries.keys().find_map(of_source)?, wanted.values().next()?));
        both.or_else(firsts).is_none_or(|(old, new)| old.written == new.written)
    }

    /// An entry that counts in these places from now on.
    fn form(&self, id: &Id<RuleRecord>, wanted: Entry, places: &BTreeMap<Place, Entry>, found: &mut Specified) {
        let all = || self.stream.entries.values().filter_map(|entries| entries.get(id));
        let first = all().find(|old| decide_alike(old, &wanted)).cloned();
        let same = first.clone().filter(|old| alike(old, &wanted));
        let own = || places.keys().find_map(|place| self.old(place, id));
        let of_live = || self.old(&None, id).filter(|old| old.asset == wanted.asset);
        let counted = || own().or_else(of_live);
        let source = first.or_else(|| counted().cloned());
        let edit = source.as_ref().filter(|_| same.is_none()).map(|source| {
            if source.asset != wanted.asset || self.is_written_alike(id, source, places) {
                Cause::BaseChange
            } else {
                Cause::RuleChange
            }
        });
        let next = match (same, &source) {
            (Some(same), _) => Entry {
                rule: wanted.rule,
                ..same
            },
            (None, source) => {
                let floor = self.stream.floor.unwrap_or(i64::MIN);
                let before = source.as_ref().filter(|source| source.asset == wanted.asset);
                let left = before.map(|source| {
                    let seen = source.seen(&self.stream.sensed);
                    let watched = source.watched(&seen, self.city);
                    level::left(&watched, floor, &wanted.rule, &wanted.thresholds)
                });
                Entry {
                    floor,
                    heard: self.stream.heard,
                    left,
                    ..wanted
                }
            }
        };
        for (place, wanted) in places {
            let old = self.old(place, id);
            let stays = old.is_some_and(|old| source.as_ref().is_some_and(|source| alike(old, source)));
            // What comes from elsewhere comes as it stood; what the records of this epoch make of it is theirs.
            let carries = source.as_ref().is_none_or(|source| {
                let from = |(place, entries): (&Place, &BTreeMap<Id<RuleRecord>, Entry>)| {
                    let old = entries.get(id).filter(|old| alike(old, source));
                    old.is_some_and(|old| (self.was_on)(place, &self.member(id, old)))
                };
                let here = old.is_some_and(|old| (self.was_on)(place, &self.member(id, old)));
                here || self.stream.entries.iter().any(from)
            });
            let moved = (!stays && carries).then_some(self.came_or_went);
            if let Some(cause) = edit.max(moved) {
                let causes = found.causes.entry(place.clone()).or_default();
                if let Some(old) = old.filter(|old| old.asset != next.asset) {
                    causes.insert(self.member(id, old), cause);
                }
                causes.insert(self.member(id, &next), cause);
            }
            let written = wanted.written.clone();
            let next = Entry {
                written,
                ..next.clone()
            };
            found.next.entry(place.clone()).or_default().insert(id.clone(), next);
        }
    }
}

/// A delta of a candidate, in the order of sets.
pub type ToldOfSet = (Text, Told);
