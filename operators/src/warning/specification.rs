//! View: what the monitor must evaluate for each known datastream.
//!
//! ```text
//!   datastreams ─(asset)─┐
//!   assets ──────(key)───┼──► [ Matched on each worker ] ──► one row for each datastream
//!   rules, sets ─(all)───┤
//!   regions ─────(all)───┘   those with thresholds
//! ```
//!
//! Each datastream is sent to the worker of its asset; all rules and rule sets, and the regions that have thresholds, are sent to every
//! worker. The row is a function of these inputs, so
//! what was given out need not be kept: on a change the old row is computed again. Three joins of differential gave the same
//! rows, but held each datastream in three arrangements, and loading base data spent most of its time there.
//!
//! # Invariants
//!
//! * One row for each row of `base.datastream`; without entries where the asset has no row.
//! * A changed asset or datastream touches its own rows; a changed rule only those of its observed property; changed thresholds of a
//!   region only those of assets within it.
//! * Only rows that an epoch changes are given out.
//! * Where sets have a rule in several forms, those that come to the same for a datastream are one entry ([`forms`]).

mod forms;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::collections::btree_map::{self, BTreeMap};
use std::sync::Arc;

use differential_dataflow::AsCollection;
use differential_dataflow::consolidation::consolidate;
use riskflow_config::{
    Givers, Limit, Located, Regional, Rule, Scaled, Thresholds, given_by_asset, given_by_region, meet, resolve,
};
use riskflow_model::base::{Asset, Datastream, Region, Reporting, ThresholdsByRule};
use riskflow_model::rule::RuleRecord;
use riskflow_model::ruleset::RuleSet;
use riskflow_model::{Above, Duration, Id, Key, Number, RegionCode, Shared, Text, TextMap, binary};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Capability, InputCapability};
use timely::progress::frontier::MutableAntichain;

use crate::engine::{Diff, Index, Rows, Turn, clear};
use crate::warning::unmatched::Alone;
use crate::warning::valid::{Valid, Validity};
use forms::Forms;

/// What must be evaluated for one datastream.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Specification {
    /// The datastream and its asset.
    pub subject: Subject,
    /// One for each rule that selects the datastream, in the order of rules; of a rule that sets have in several forms one for each.
    pub entries: Vec<Entry>,
    /// Which results are values.
    pub valid: Validity,
    /// Which numbers stand for states.
    pub states: States,
}

/// The numbers that stand for the states of a datastream; `None` where its row names none.
pub type States = Option<Arc<TextMap<Number>>>;

/// Which rows a specification comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// The datastream's identifier.
    pub datastream: Id<Datastream>,
    /// The asset's identifier; `None` while the asset has no row.
    pub asset: Option<Id<Asset>>,
    /// How often it should report; `None` where its row does not say.
    pub interval: Option<Text>,
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
    /// Whose the thresholds are: for explanations, and no part of what decides.
    pub givers: Givers,
}

impl Entry {
    /// Whether both are of one rule, and the same decides when its levels are on, as long as the same results are values.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let (one, two) = (&self.rule, &other.rule);
        one.record.id == two.record.id
            && one.condition == two.condition
            && self.thresholds == other.thresholds
            && self.scaled == other.scaled
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
    /// As written.
    rules: Vec<(Rule, Diff)>,
    sets: Vec<(Shared<RuleSet>, Diff)>,
    /// Those that have thresholds.
    regions: Vec<(Shared<Region>, Diff)>,
}

/// The rules, in memory of their own, and the assets of one worker with their datastreams. Holds no dataflow type.
#[derive(Debug, Default)]
struct Matched {
    /// All of them, by their identifiers as written.
    written: BTreeMap<Text, Rule>,
    sets: BTreeMap<Text, Shared<RuleSet>>,
    /// How far back a candidate may look in any case.
    retain: Duration,
    /// Those in force.
    rules: Vec<Rule>,
    /// What of them stands in entries where there are sets.
    forms: RefCell<Forms>,
    /// On every worker the same.
    regional: Regional,
    /// Whether it is this one that tells what is wrong with these.
    tells_of_regions: bool,
    index: Index,
    places: Vec<Place>,
    free: Vec<u32>,
}

/// What stands at the key of one asset.
#[derive(Debug, Default)]
struct Place {
    key: Key,
    asset: Option<(Shared<Asset>, Located)>,
    datastreams: SmallVec<[Shared<Datastream>; 1]>,
}

/// What a datastream comes to.
struct Given {
    specified: Specified,
    alone: Vec<Alone>,
}

/// What is in force for all places.
#[derive(Clone, Copy)]
struct InForce<'a> {
    rules: &'a [Rule],
    /// Where there are sets.
    forms: Option<&'a RefCell<Forms>>,
    regional: &'a Regional,
    /// How many datastreams each rule selects, by its position.
    selected: &'a [Cell<Diff>],
}

impl Place {
    fn given<'a>(&'a self, in_force: InForce<'a>) -> impl Iterator<Item = Given> + 'a {
        let asset = self.asset.as_ref();
        let rows = self.datastreams.iter();
        rows.map(move |row| given(row, asset, in_force))
    }

    fn is_empty(&self) -> bool {
        self.asset.is_none() && self.datastreams.is_empty()
    }

    /// The asset, if it has no datastream, and what is wrong with its thresholds.
    fn alone(&self, rules: &[Rule]) -> Vec<Alone> {
        let Some((asset, located)) = &self.asset else {
            return Vec::new();
        };
        let datastreams = self.datastreams.iter().map(|row| &**row);
        let of_thresholds = given_by_asset(rules.iter(), (asset, located), datastreams).into_iter();
        let alone = self.datastreams.is_empty().then(|| Alone::Asset(asset.id.clone()));
        let of_thresholds = of_thresholds.map(|what| Alone::GivenByAsset(asset.id.clone(), what));
        alone.into_iter().chain(of_thresholds).collect()
    }

    /// Whether the asset lies in one of these regions.
    fn is_within(&self, regions: &[RegionCode]) -> bool {
        let within = |(asset, located): &(Shared<Asset>, Located)| {
            regions.iter().any(|region| located.within(asset.region, *region))
        };
        self.asset.as_ref().is_some_and(within)
    }
}

fn given(datastream: &Shared<Datastream>, asset: Option<&(Shared<Asset>, Located)>, in_force: InForce<'_>) -> Given {
    let InForce {
        rules,
        forms,
        regional,
        selected,
    } = in_force;
    let on = asset.map(|(asset, located)| (&**asset, located));
    let met = meet(rules.iter(), datastream, on, regional);
    for watching in &met.rules {
        selected[watching.rule].update(|number| number + 1);
    }
    let on_event = datastream.reporting == Reporting::OnEvent;
    let entries = met.rules.into_iter().map(|watching| {
        let entry = Entry {
            rule: if on_event {
                rules[watching.rule].on_events()
            } else {
                rules[watching.rule].clone()
            },
            thresholds: watching.thresholds,
            scaled: watching.scaled,
            givers: watching.givers,
        };
        (watching.rule, entry)
    });
    let entries = match forms {
        Some(forms) => forms.borrow_mut().join(rules, entries),
        None => entries.map(|(_, entry)| entry).collect(),
    };
    let specification = Specification {
        subject: Subject {
            datastream: datastream.id.clone(),
            asset: asset.map(|(asset, _)| asset.id.clone()),
            interval: datastream.interval.clone(),
            unit: datastream.unit.clone(),
            // Only ever compared with what the same rows gave.
            base: asset.map_or(0, |(asset, located)| {
                datastream.content().route() ^ asset.content().route().rotate_left(1) ^ above_hash(located)
            }),
        },
        entries,
        valid: Valid::of(datastream),
        states: (!datastream.states.is_empty()).then(|| Arc::new(datastream.states.clone())),
    };
    let alone = met.unmatched.into_iter();
    Given {
        alone: alone
            .map(|what| Alone::Datastream(datastream.id.clone(), what))
            .collect(),
        specified: (datastream.id.key(), Box::new(specification)),
    }
}

/// The specification of one datastream by rows alone, for whoever asks about few: the one that [`specifications`] gives. `rules` are all
/// that there are, and `regional` the regions with thresholds.
#[must_use]
pub fn specification_of(
    datastream: &Shared<Datastream>,
    asset: Option<&(Shared<Asset>, Located)>,
    rules: &[Rule],
    regional: &Regional,
) -> Box<Specification> {
    let (selected, forms) = (vec![Cell::new(0); rules.len()], RefCell::default());
    let in_force = InForce {
        rules,
        forms: are_in_sets(rules).then_some(&forms),
        regional,
        selected: &selected,
    };
    given(datastream, asset, in_force).specified.1
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

impl Updates {
    fn tell(&mut self, alone: Vec<Alone>, diff: Diff) {
        self.alone.extend(alone.into_iter().map(|alone| (alone, diff)));
    }

    /// What is wrong with the thresholds of regions.
    fn tell_of_regions(&mut self, in_force: InForce<'_>, diff: Diff) {
        for region in in_force.regional.values() {
            let problems = given_by_region(in_force.rules.iter(), region).into_iter();
            self.alone
                .extend(problems.map(|what| (Alone::GivenByRegion(region.code, what), diff)));
        }
    }
}

impl Matched {
    /// Takes in what changes in an epoch, and gives the rows that change by it.
    fn apply(&mut self, mut changes: Changes, out: &mut Updates) {
        let touched = self.touched(&changes);
        let rules = self.rules_after(&mut changes);
        let forms = [std::mem::take(&mut self.forms), RefCell::default()];
        let newest = usize::from(!changes.rules.is_empty());
        let (regional, changed) = self.regional_after(std::mem::take(&mut changes.regions));
        let counts = |rules: &[Rule]| vec![Cell::new(0); rules.len()];
        let (left, right) = (counts(&self.rules), counts(&rules));
        let was_in_force = InForce {
            rules: &self.rules,
            forms: are_in_sets(&self.rules).then_some(&forms[0]),
            regional: &self.regional,
            selected: &left,
        };
        let in_force = InForce {
            rules: &rules,
            forms: are_in_sets(&rules).then_some(&forms[newest]),
            regional: &regional,
            selected: &right,
        };
        if self.tells_of_regions && !(changes.rules.is_empty() && changed.is_empty()) {
            out.tell_of_regions(was_in_force, -1);
            out.tell_of_regions(in_force, 1);
        }
        for slot in self.concerned(&changes.rules, &changed, &touched) {
            let place = &self.places[slot];
            differ(place.given(was_in_force), place.given(in_force), out);
            out.tell(place.alone(&self.rules), -1);
            out.tell(place.alone(&rules), 1);
        }
        // When a city comes, nearly all places are new.
        let known = touched.iter().filter(|slot| !self.places[**slot].is_empty());
        let before = known.map(|slot| {
            let place = &self.places[*slot];
            (*slot, place.alone(&self.rules), place.given(was_in_force).collect())
        });
        let before: Vec<(usize, Vec<Alone>, Vec<Given>)> = before.collect();
        let mut before = before.into_iter().peekable();
        self.put(changes);
        for slot in touched {
            let place = &self.places[slot];
            let (alone, given) = match before.next_if(|(known, ..)| *known == slot) {
                Some((_, alone, given)) => (alone, given),
                None => (Vec::new(), Vec::new()),
            };
            differ(given.into_iter(), place.given(in_force), out);
            out.tell(alone, -1);
            out.tell(place.alone(&rules), 1);
            if place.is_empty() {
                self.index.remove(&place.key, slot as u32);
                self.free.push(slot as u32);
            }
        }
        for (rules, counts, sign) in [(&self.rules, left, -1), (&rules, right, 1)] {
            let selects = rules.iter().zip(counts).filter(|(_, count)| count.get() > 0);
            let selects =
                selects.map(|(rule, count)| (Alone::Selects(Id::new(rule.written().clone())), sign * count.get()));
            out.alone.extend(selects);
        }
        consolidate(&mut out.alone);
        let [before, after] = forms;
        self.forms = if newest == 1 { after } else { before };
        self.rules = rules;
        self.regional = regional;
    }

    /// The rules in force after a change. How they differ from those before takes the place of what was written.
    fn rules_after(&mut self, changes: &mut Changes) -> Vec<Rule> {
        consolidate(&mut changes.rules);
        consolidate(&mut changes.sets);
        if changes.rules.is_empty() && changes.sets.is_empty() {
            return self.rules.clone();
        }
        // What goes leaves before what comes.
        changes.rules.sort_by_key(|(_, diff)| *diff > 0);
        changes.sets.sort_by_key(|(_, diff)| *diff > 0);
        for (rule, diff) in changes.rules.drain(..) {
            if diff > 0 {
                self.written.insert(rule.record.id.clone(), rule.apart());
            } else {
                self.written.remove(&rule.record.id);
            }
        }
        for (set, diff) in changes.sets.drain(..) {
            let id = set.id.text().clone();
            if diff > 0 {
                self.sets.insert(id, set);
            } else {
                self.sets.remove(&id);
            }
        }
        let mut rules = resolve(&self.written, &self.sets, self.retain).rules;
        for rule in &mut rules {
            // Those that stay are shared by many entries.
            match self.rules.binary_search(rule) {
                Ok(same) => rule.clone_from(&self.rules[same]),
                Err(_) => changes.rules.push((rule.clone(), 1)),
            }
        }
        let gone = self.rules.iter().filter(|rule| rules.binary_search(rule).is_err());
        changes.rules.extend(gone.map(|rule| (rule.clone(), -1)));
        rules
    }

    /// The regions with thresholds after a change, and of which those are others than before.
    fn regional_after(&self, mut changes: Vec<(Shared<Region>, Diff)>) -> (Regional, Vec<RegionCode>) {
        let mut regional = self.regional.clone();
        // What goes leaves before what comes.
        consolidate(&mut changes);
        changes.sort_by_key(|(_, diff)| *diff > 0);
        let mut codes: Vec<RegionCode> = changes.iter().map(|(region, _)| region.code).collect();
        for (region, diff) in changes {
            if diff > 0 {
                regional.insert(region.code, region);
            } else {
                regional.remove(&region.code);
            }
        }
        codes.sort_unstable();
        codes.dedup();
        let of = |regional: &Regional, code: &RegionCode| regional.get(code).map(|region| region.thresholds.clone());
        codes.retain(|code| of(&self.regional, code) != of(&regional, code));
        (regional, codes)
    }

    /// The places whose rows change, each once.
    fn touched(&mut self, changes: &Changes) -> Vec<usize> {
        let of_datastreams = changes.datastreams.iter().map(|((asset, _), _)| *asset);
        let keys = of_datastreams.chain(changes.assets.iter().map(|(((key, _), _), _)| *key));
        let mut slots: Vec<usize> = keys
            .map(|key| self.slot(key).unwrap_or_else(|| self.vacant(key)) as usize)
            .collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    fn slot(&self, asset: Key) -> Option<u32> {
        self.index.find(&asset, |slot| self.places[slot as usize].key == asset)
    }

    fn vacant(&mut self, asset: Key) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            (self.places.len() - 1) as u32
        });
        self.places[slot as usize].key = asset;
        self.index.insert(&asset, slot);
        slot
    }

    /// The places with a datastream that one of these rules may select, or where something has thresholds for it, and those within
    /// these regions; but for those that are touched anyway.
    fn concerned(&self, rules: &[(Rule, Diff)], regions: &[RegionCode], touched: &[usize]) -> Vec<usize> {
        if rules.is_empty() && regions.is_empty() {
            return Vec::new();
        }
        // With a set all of its rules may change.
        let ids: BTreeSet<&Text> = rules.iter().map(|(rule, _)| &rule.record.id).collect();
        let properties = rules
            .iter()
            .map(|(rule, _)| rule.record.select.observed_property.as_ref());
        let properties: BTreeSet<Option<&Text>> = properties.collect();
        let given = |thresholds: &ThresholdsByRule| thresholds.iter().any(|(id, _)| ids.contains(id));
        let meets = |row: &Shared<Datastream>| {
            let selects = properties.contains(&None) || properties.contains(&Some(&row.observed_property));
            selects || given(&row.thresholds)
        };
        let names = |(asset, _): &(Shared<Asset>, Located)| given(&asset.thresholds);
        let concerned = |place: &Place| {
            place.datastreams.iter().any(meets) || place.asset.as_ref().is_some_and(names) || place.is_within(regions)
        };
        let places = self.places.iter().enumerate();
        let places = places.filter(|(slot, place)| concerned(place) && touched.binary_search(slot).is_err());
        places.map(|(slot, _)| slot).collect()
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
        for ((asset, (_, row)), diff) in datastreams {
            let place = self.place(asset);
            if diff > 0 {
                place.datastreams.push(row);
            } else {
                place.datastreams.retain(|other| other.id != row.id);
            }
        }
        for (((key, row), located), diff) in assets {
            self.place(key).asset = (diff > 0).then_some((row, located));
        }
    }

    fn place(&mut self, asset: Key) -> &mut Place {
        let slot = self.slot(asset).unwrap_or_default();
        &mut self.places[slot as usize]
    }
}

/// Whether there is more than the live set.
fn are_in_sets(rules: &[Rule]) -> bool {
    rules.iter().any(|rule| rule.sets.is_some())
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

/// Rules as written, the sets that they are in, and how far back a candidate may look in any case.
pub struct Written<'scope> {
    /// Rows of `in.rule`.
    pub rules: Rows<'scope, Rule>,
    /// Rows of `in.ruleset`.
    pub sets: Rows<'scope, Shared<RuleSet>>,
    /// `time.retain`.
    pub retain: Duration,
}

/// Returns the specification of every known datastream, and all that meets nothing. Of regions those without thresholds need not come.
pub fn specifications<'scope>(
    datastreams: Rows<'scope, AtAsset>,
    assets: Rows<'scope, LocatedAsset>,
    written: Written<'scope>,
    regions: Rows<'scope, Shared<Region>>,
) -> (Rows<'scope, Specified>, Rows<'scope, Alone>) {
    let scope = assets.inner.scope();
    let tells_of_regions = scope.worker().index() == 0;
    let mut builder = OperatorBuilder::new("Specifications".to_owned(), scope);
    let by_asset = Exchange::new(|((asset, _), _, _): &(AtAsset, Turn, Diff)| asset.route());
    let by_key = Exchange::new(|(((key, _), _), _, _): &(LocatedAsset, Turn, Diff)| key.route());
    let mut datastreams = builder.new_input(datastreams.inner, by_asset);
    let mut assets = builder.new_input(assets.inner, by_key);
    let mut rules = builder.new_input(written.rules.inner.broadcast(), Pipeline);
    let mut sets = builder.new_input(written.sets.inner.broadcast(), Pipeline);
    let regions = regions.filter(|region| !region.thresholds.is_empty());
    let mut regions = builder.new_input(regions.inner.broadcast(), Pipeline);
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<(Specified, Turn, Diff)>>>::from(output);
    let (alone, alone_stream) = builder.new_output();
    let mut alone = OutputBuilder::<_, CapacityContainerBuilder<Vec<(Alone, Turn, Diff)>>>::from(alone);
    let mut matched = Matched {
        tells_of_regions,
        retain: written.retain,
        ..Matched::default()
    };
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
            sets.for_each(|capability, updates| {
                gather(&mut pending, &capability, updates, |changes| &mut changes.sets);
            });
            regions.for_each(|capability, updates| {
                gather(&mut pending, &capability, updates, |changes| &mut changes.regions);
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
                clear(&mut out.specified);
                clear(&mut out.alone);
            }
        }
    });
    (stream.as_collection(), alone_stream.as_collection())
}

#[cfg(test)]
mod tests;
