//! View: what the monitor must evaluate for each known datastream.
//!
//! ```text
//!   datastreams ─(asset)─┐
//!   assets ──────(key)───┼──► [ Matched on each worker ] ──► one row for each datastream
//!   rules ───────(all)───┘
//! ```
//!
//! Each datastream is sent to the worker of its asset; all rules are sent to every worker. The row is a function of these inputs, so
//! what was given out need not be kept: on a change the old row is computed again. Three joins of differential gave the same
//! rows, but held each datastream in three arrangements, and loading base data spent most of its time there.
//!
//! # Invariants
//!
//! * One row for each row of `base.datastream`; without entries where the asset has no row.
//! * A changed asset or datastream touches its own rows; a changed rule only those of its observed property.
//! * Only rows that an epoch changes are given out.

use std::cell::Cell;
use std::collections::btree_map::{self, BTreeMap};
use std::sync::Arc;

use std::hash::BuildHasherDefault;

use differential_dataflow::AsCollection;
use differential_dataflow::consolidation::consolidate;
use hashbrown::HashMap;
use riskflow_config::{Limit, Located, Rule, Scaled, Thresholds, meet};
use riskflow_model::base::{Asset, Datastream};
use riskflow_model::rule::RuleRecord;
use riskflow_model::{Above, Id, Key, Shared, Text, binary};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Capability, InputCapability};
use timely::progress::frontier::MutableAntichain;

use crate::engine::{Diff, RouteHasher, Rows, Turn};
use crate::warning::unmatched::Alone;
use crate::warning::valid::{Valid, Validity};

/// What must be evaluated for one datastream.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Specification {
    /// The datastream and its asset.
    pub subject: Subject,
    /// One for each rule that selects the datastream, in the order of rules.
    pub entries: Vec<Entry>,
    /// Which results are values.
    pub valid: Validity,
}

/// Which rows a specification comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// The datastream's identifier.
    pub datastream: Id<Datastream>,
    /// The asset's identifier; `None` while the asset has no row.
    pub asset: Option<Id<Asset>>,
    /// How often it should report; `None` where its row does not say. In a box: each datastream in memory has a subject, few say it.
    pub interval: Option<Box<Text>>,
    /// The unit of results, where the datastream states one.
    pub unit: Text,
    /// Changes with the rows of datastream and asset; tells a changed base from a changed rule.
    pub base: u64,
}

/// One rule that watches a datastream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// The rule.
    pub rule: Rule,
    /// The thresholds in force.
    pub thresholds: Thresholds,
    /// The same where results are in another unit.
    pub scaled: Option<Arc<Scaled>>,
    /// Which results are values.
    pub valid: Validity,
}

impl Entry {
    /// Whether both are of one rule, and the same decides when its levels are on.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let (one, two) = (&self.rule, &other.rule);
        one.record.id == two.record.id
            && one.condition == two.condition
            && self.thresholds == other.thresholds
            && self.scaled == other.scaled
            && self.valid == other.valid
    }

    /// What a comparison of the rule compares with, for turning on and off; `None` where it takes no part.
    pub fn limits(&self, comparison: usize) -> Option<[Limit<'_>; 2]> {
        let scaled = self
            .scaled
            .as_ref()
            .and_then(|scaled| scaled.limits[comparison].as_ref());
        if let Some([on, off]) = scaled {
            return Some([Limit::Fraction(on), Limit::Fraction(off)]);
        }
        let bound = self.thresholds.get(comparison).copied().flatten()?;
        Some([Limit::Plain(bound.on), Limit::Plain(bound.off)])
    }
}

/// A specification on its way to the monitor, keyed by the datastream; boxed: rows are sorted.
pub type Specified = (Key, Box<Specification>);

/// A datastream with the key of its asset, and its own.
pub type AtAsset = (Key, (Key, Shared<Datastream>));

/// Finds the place of a datastream's row.
#[must_use]
pub fn at_asset(key: Key, row: Shared<Datastream>) -> AtAsset {
    (row.asset.key(), (key, row))
}

/// The plan of a rule's row.
///
/// # Panics
///
/// When it is none: rows of rules are checked before they come here.
#[must_use]
pub fn rule(row: &RuleRecord) -> Rule {
    Rule::check(row.clone()).unwrap_or_else(|problems| panic!("a row of `in.rule` is no rule: {problems}"))
}

/// An asset's row by its key, and where it lies.
pub type LocatedAsset = ((Key, Shared<Asset>), Located);

/// Changes of base data in one epoch.
#[derive(Debug, Default)]
struct Changes {
    datastreams: Vec<(AtAsset, Diff)>,
    assets: Vec<(LocatedAsset, Diff)>,
    rules: Vec<(Rule, Diff)>,
}

/// The rules, in memory of their own, and the assets of one worker with their datastreams. Holds no dataflow type.
#[derive(Debug, Default)]
struct Matched {
    rules: Vec<Rule>,
    index: HashMap<Key, u32, BuildHasherDefault<RouteHasher>>,
    places: Vec<Place>,
    free: Vec<u32>,
}

/// What stands at the key of one asset.
#[derive(Debug, Default)]
struct Place {
    key: Key,
    asset: Option<(Shared<Asset>, Located)>,
    datastreams: SmallVec<[(Key, Shared<Datastream>); 1]>,
}

/// What a datastream comes to.
struct Given {
    specified: Specified,
    alone: Vec<Alone>,
}

/// How many datastreams each rule selects, by its position.
type Selected<'a> = &'a [Cell<Diff>];

impl Place {
    fn given<'a>(&'a self, rules: &'a [Rule], selected: Selected<'a>) -> impl Iterator<Item = Given> + 'a {
        let asset = self.asset.as_ref();
        let rows = self.datastreams.iter();
        rows.map(move |(key, row)| given(*key, row, asset, (rules, selected)))
    }

    fn is_empty(&self) -> bool {
        self.asset.is_none() && self.datastreams.is_empty()
    }

    /// The asset, if it has no datastream.
    fn lonely(&self) -> Option<Alone> {
        let asset = self.asset.as_ref().filter(|_| self.datastreams.is_empty());
        asset.map(|(asset, _)| Alone::Asset(asset.id.clone()))
    }
}

fn given(
    key: Key,
    datastream: &Shared<Datastream>,
    asset: Option<&(Shared<Asset>, Located)>,
    (rules, selected): (&[Rule], Selected<'_>),
) -> Given {
    let met = meet(
        rules.iter(),
        datastream,
        asset.map(|(asset, located)| (&**asset, located)),
    );
    for watching in &met.rules {
        selected[watching.rule].update(|number| number + 1);
    }
    let valid = Valid::of(datastream);
    let entries = met.rules.into_iter().map(|watching| Entry {
        rule: rules[watching.rule].clone(),
        thresholds: watching.thresholds,
        scaled: watching.scaled,
        valid: valid.clone(),
    });
    let specification = Specification {
        subject: Subject {
            datastream: datastream.id.clone(),
            asset: asset.map(|(asset, _)| asset.id.clone()),
            interval: datastream.interval.clone().map(Box::new),
            unit: datastream.unit.clone(),
            // Only ever compared with what the same rows gave.
            base: asset.map_or(0, |(asset, located)| {
                datastream.content().route() ^ asset.content().route().rotate_left(1) ^ above_hash(located)
            }),
        },
        entries: entries.collect(),
        valid: valid.clone(),
    };
    let alone = met.unmatched.into_iter();
    Given {
        alone: alone
            .map(|what| Alone::Datastream(datastream.id.clone(), what))
            .collect(),
        specified: (key, Box::new(specification)),
    }
}

/// Changes with what lies above an asset's region; 0 where its code says that.
pub(crate) fn above_hash(located: &Located) -> u64 {
    match located.above() {
        Some(above) if *above != Above::default() => binary::fingerprint(above).route().rotate_left(2),
        _ => 0,
    }
}

/// What changes in an epoch.
#[derive(Default)]
struct Updates {
    specified: Vec<(Specified, Diff)>,
    alone: Vec<(Alone, Diff)>,
}

impl Matched {
    /// Takes in what changes in an epoch, and gives the rows that change by it.
    fn apply(&mut self, mut changes: Changes, out: &mut Updates) {
        consolidate(&mut changes.rules);
        let touched = self.touched(&changes);
        let mut rules = self.rules.clone();
        rules.retain(|rule| !changes.rules.iter().any(|(gone, diff)| *diff < 0 && gone == rule));
        rules.extend(
            changes
                .rules
                .iter()
                .filter(|(_, diff)| *diff > 0)
                .map(|(rule, _)| rule.apart()),
        );
        rules.sort();
        let counts = |rules: &[Rule]| vec![Cell::new(0); rules.len()];
        let (left, right) = (counts(&self.rules), counts(&rules));
        for slot in self.concerned(&changes.rules, &touched) {
            let place = &self.places[slot];
            differ(place.given(&self.rules, &left), place.given(&rules, &right), out);
        }
        // When a city comes, nearly all places are new.
        let known = touched.iter().filter(|slot| !self.places[**slot].is_empty());
        let before = known.map(|slot| {
            let place = &self.places[*slot];
            (*slot, place.lonely(), place.given(&self.rules, &left).collect())
        });
        let before: Vec<(usize, Option<Alone>, Vec<Given>)> = before.collect();
        let mut before = before.into_iter().peekable();
        self.put(changes);
        for slot in touched {
            let place = &self.places[slot];
            let (lonely, given) = match before.next_if(|(known, ..)| *known == slot) {
                Some((_, lonely, given)) => (lonely, given),
                None => (None, Vec::new()),
            };
            differ(given.into_iter(), place.given(&rules, &right), out);
            out.alone.extend(lonely.map(|alone| (alone, -1)));
            out.alone.extend(place.lonely().map(|alone| (alone, 1)));
            if place.is_empty() {
                self.index.remove(&place.key);
                self.free.push(slot as u32);
            }
        }
        for (rules, counts, sign) in [(&self.rules, left, -1), (&rules, right, 1)] {
            let selects = rules.iter().zip(counts).filter(|(_, count)| count.get() > 0);
            let selects =
                selects.map(|(rule, count)| (Alone::Selects(Id::new(rule.record.id.clone())), sign * count.get()));
            out.alone.extend(selects);
        }
        consolidate(&mut out.alone);
        self.rules = rules;
    }

    /// The places whose rows change, each once.
    fn touched(&mut self, changes: &Changes) -> Vec<usize> {
        let of_datastreams = changes.datastreams.iter().map(|((asset, _), _)| *asset);
        let keys = of_datastreams.chain(changes.assets.iter().map(|(((key, _), _), _)| *key));
        let (places, free) = (&mut self.places, &mut self.free);
        let mut vacant = |key| {
            let slot = free.pop().unwrap_or_else(|| {
                places.push(Place::default());
                (places.len() - 1) as u32
            });
            places[slot as usize].key = key;
            slot
        };
        let mut slots: Vec<usize> = keys
            .map(|key| *self.index.entry(key).or_insert_with(|| vacant(key)) as usize)
            .collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// The places with a datastream that one of these rules may select, or that has thresholds for it, but for those that are touched
    /// anyway.
    fn concerned(&self, rules: &[(Rule, Diff)], touched: &[usize]) -> Vec<usize> {
        if rules.is_empty() {
            return Vec::new();
        }
        let property = |rule: &Rule| rule.record.select.observed_property.clone();
        let concerns: Vec<(Option<Text>, &Text)> = rules
            .iter()
            .map(|(rule, _)| (property(rule), &rule.record.id))
            .collect();
        let meets = |(_, row): &(Key, Shared<Datastream>)| {
            let meets = |(property, id): &(Option<Text>, &Text)| {
                property.as_ref().is_none_or(|it| *it == row.observed_property) || row.thresholds.get(id).is_some()
            };
            concerns.iter().any(meets)
        };
        let places = self.places.iter().enumerate();
        let meeting =
            places.filter(|(slot, place)| place.datastreams.iter().any(meets) && touched.binary_search(slot).is_err());
        meeting.map(|(slot, _)| slot).collect()
    }

    /// What goes leaves before what comes.
    fn put(&mut self, changes: Changes) {
        let Changes {
            mut datastreams,
            mut assets,
            ..
        } = changes;
        datastreams.sort_by_key(|(_, diff)| diff.signum());
        assets.sort_by_key(|(_, diff)| diff.signum());
        for ((asset, (key, row)), diff) in datastreams {
            let place = self.place(asset);
            if diff > 0 {
                place.datastreams.push((key, row));
            } else {
                place.datastreams.retain(|(other, _)| *other != key);
            }
        }
        for (((key, row), located), diff) in assets {
            self.place(key).asset = (diff > 0).then_some((row, located));
        }
    }

    fn place(&mut self, asset: Key) -> &mut Place {
        let slot = self.index.get(&asset).copied().unwrap_or_default();
        &mut self.places[slot as usize]
    }
}

/// Gives what differs between rows before and after; there are few.
fn differ(before: impl Iterator<Item = Given>, after: impl Iterator<Item = Given>, out: &mut Updates) {
    let (mut before, mut alone) = apart(before);
    let (after, alone_after) = apart(after);
    for row in after {
        match before.iter().position(|other| *other == row) {
            Some(same) => drop(before.swap_remove(same)),
            None => out.specified.push((row, 1)),
        }
    }
    out.specified.extend(before.into_iter().map(|row| (row, -1)));
    for row in alone_after {
        match alone.iter().position(|other| *other == row) {
            Some(same) => drop(alone.swap_remove(same)),
            None => out.alone.push((row, 1)),
        }
    }
    out.alone.extend(alone.into_iter().map(|row| (row, -1)));
}

fn apart(rows: impl Iterator<Item = Given>) -> (SmallVec<[Specified; 1]>, Vec<Alone>) {
    let mut alone = Vec::new();
    let specified = rows.map(|given| {
        alone.extend(given.alone);
        given.specified
    });
    (specified.collect(), alone)
}

/// What waits for its epoch to be complete.
type Pending = BTreeMap<Turn, ([Capability<Turn>; 2], Changes)>;

/// Puts updates where they wait until their epoch is complete.
fn gather<T>(
    pending: &mut Pending,
    capability: &InputCapability<Turn>,
    updates: &mut Vec<(T, Turn, Diff)>,
    place: fn(&mut Changes) -> &mut Vec<(T, Diff)>,
) {
    for (row, epoch, diff) in updates.drain(..) {
        let (_, changes) = match pending.entry(epoch) {
            btree_map::Entry::Occupied(entry) => entry.into_mut(),
            btree_map::Entry::Vacant(entry) => {
                let outputs = (capability.retain_least(0), capability.retain_least(1));
                let (Some(output), Some(alone)) = outputs else {
                    continue;
                };
                entry.insert(([output.delayed(&epoch), alone.delayed(&epoch)], Changes::default()))
            }
        };
        place(changes).push((row, diff));
    }
}

/// Returns the specification of every known datastream, and all that meets nothing.
pub fn specifications<'scope>(
    datastreams: Rows<'scope, AtAsset>,
    assets: Rows<'scope, LocatedAsset>,
    rules: Rows<'scope, Rule>,
) -> (Rows<'scope, Specified>, Rows<'scope, Alone>) {
    let scope = assets.inner.scope();
    let mut builder = OperatorBuilder::new("Specifications".to_owned(), scope);
    let by_asset = Exchange::new(|((asset, _), _, _): &(AtAsset, Turn, Diff)| asset.route());
    let by_key = Exchange::new(|(((key, _), _), _, _): &(LocatedAsset, Turn, Diff)| key.route());
    let mut datastreams = builder.new_input(datastreams.inner, by_asset);
    let mut assets = builder.new_input(assets.inner, by_key);
    let mut rules = builder.new_input(rules.inner.broadcast(), Pipeline);
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<(Specified, Turn, Diff)>>>::from(output);
    let (alone, alone_stream) = builder.new_output();
    let mut alone = OutputBuilder::<_, CapacityContainerBuilder<Vec<(Alone, Turn, Diff)>>>::from(alone);
    let mut matched = Matched::default();
    let mut pending = Pending::new();
    let mut out = Updates::default();
    builder.build(move |_capabilities| {
        move |frontiers: &[MutableAntichain<Turn>]| {
            datastreams.for_each(|capability, updates| {
                gather(&mut pending, &capability, updates, |changes| &mut changes.datastreams);
            });
            assets.for_each(|capability, updates| {
                gather(&mut pending, &capability, updates, |changes| &mut changes.assets);
            });
            rules.for_each(|capability, updates| {
                gather(&mut pending, &capability, updates, |changes| &mut changes.rules);
            });
            let (mut output, mut alone) = (output.activate(), alone.activate());
            while let Some(entry) = pending.first_entry() {
                if frontiers.iter().any(|frontier| frontier.less_equal(entry.key())) {
                    break;
                }
                let (epoch, ([to_output, to_alone], changes)) = entry.remove_entry();
                matched.apply(changes, &mut out);
                let updates = out.specified.drain(..).map(|(row, diff)| (row, epoch, diff));
                output.session(&to_output).give_iterator(updates);
                let updates = out.alone.drain(..).map(|(row, diff)| (row, epoch, diff));
                alone.session(&to_alone).give_iterator(updates);
            }
        }
    });
    (stream.as_collection(), alone_stream.as_collection())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asset(id: &str) -> (LocatedAsset, Diff) {
        let json = format!(
            r#"{{"id":"{id}","category":"tank","domain":"work_safety","region":"330902001001","inherent_level":3}}"#
        );
        let row = Shared::new(serde_json::from_str(&json).unwrap());
        (((Key::of(id), row), Located::default()), 1)
    }

    fn datastream(id: &str, asset: &str, property: &str) -> (AtAsset, Diff) {
        let json = format!(r#"{{"id":"{id}","asset":"{asset}","observed_property":"{property}"}}"#);
        let row = Shared::new(serde_json::from_str(&json).unwrap());
        (at_asset(Key::of(id), row), 1)
    }

    fn rule(property: &str, version: u32) -> (Rule, Diff) {
        let json = format!(
            r#"{{"id":"{property}","version":{version},"select":{{"observed_property":"{property}"}},
                "levels":{{"blue":{{"when":{{"feature":"last","window":"1h","op":">=","threshold":3}}}}}}}}"#
        );
        (Rule::from_json(json.as_bytes()).unwrap(), 1)
    }

    fn gone<T>((row, diff): (T, Diff)) -> (T, Diff) {
        (row, -diff)
    }

    /// Datastream, asset, versions of rules, difference.
    type Row = (String, Option<String>, Vec<u32>, Diff);

    fn apply(matched: &mut Matched, changes: Changes) -> Vec<Row> {
        let mut out = Updates::default();
        matched.apply(changes, &mut out);
        let given = out.specified.into_iter().map(|((_, row), diff)| {
            let Specification { subject, entries, .. } = *row;
            let versions = entries.iter().map(|entry| entry.rule.record.version);
            let asset = subject.asset.map(|asset| asset.to_string());
            (subject.datastream.to_string(), asset, versions.collect(), diff)
        });
        let mut given: Vec<Row> = given.collect();
        given.sort();
        given
    }

    fn given(datastream: &str, asset: Option<&str>, versions: &[u32], diff: Diff) -> Row {
        (datastream.to_owned(), asset.map(str::to_owned), versions.to_vec(), diff)
    }

    #[test]
    fn what_is_given_is_what_changes() {
        let mut matched = Matched::default();
        let rain = datastream("d1", "a1", "rain");
        let wind = datastream("d2", "a1", "wind");
        let city = Changes {
            datastreams: vec![rain.clone(), wind.clone(), datastream("d3", "a2", "rain")],
            assets: vec![asset("a1")],
            rules: vec![rule("rain", 1)],
        };
        let first = [
            given("d1", Some("a1"), &[1], 1),
            given("d2", Some("a1"), &[], 1),
            given("d3", None, &[], 1),
        ];
        assert_eq!(apply(&mut matched, city), first);
        let another = Changes {
            rules: vec![rule("rain", 2), gone(rule("rain", 1))],
            ..Changes::default()
        };
        let replaced = [given("d1", Some("a1"), &[1], -1), given("d1", Some("a1"), &[2], 1)];
        assert_eq!(apply(&mut matched, another), replaced, "the asset of d3 has no row");
        let moved = Changes {
            datastreams: vec![gone(rain), datastream("d1", "a2", "rain")],
            assets: vec![asset("a2")],
            ..Changes::default()
        };
        let moved = apply(&mut matched, moved);
        let expected = [
            given("d1", Some("a1"), &[2], -1),
            given("d1", Some("a2"), &[2], 1),
            given("d3", None, &[], -1),
            given("d3", Some("a2"), &[2], 1),
        ];
        assert_eq!(moved, expected);
        let nothing_left_at_a1 = Changes {
            datastreams: vec![gone(wind)],
            assets: vec![gone(asset("a1"))],
            ..Changes::default()
        };
        assert_eq!(
            apply(&mut matched, nothing_left_at_a1),
            [given("d2", Some("a1"), &[], -1)]
        );
        assert_eq!((matched.index.len(), matched.free.len()), (1, 1));
    }
}
