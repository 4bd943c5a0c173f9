//! The rules, and the assets of one worker with their datastreams: which rows change by what changes in an epoch. Holds no dataflow type.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use differential_dataflow::consolidation::consolidate;
use riskflow_config::{Located, Regional, Rule, given_by_region, resolve};
use riskflow_model::base::{Asset, Datastream, Region, ThresholdsByRule};
use riskflow_model::gauge::Gauge;
use riskflow_model::ruleset::RuleSet;
use riskflow_model::{Duration, Id, Key, RegionCode, Shared, Text};
use smallvec::SmallVec;

use super::forms::Forms;
use super::over_gauges::{Gauges, gauges_after, lacking};
use super::place::{ComesTo, Given, InForce, Place, are_in_sets, are_over_gauges};
use super::{AtAsset, LocatedAsset, SpecifiedStream, WatchedAsset};
use crate::engine::{Diff, Index};
use crate::warning::unmatched::Alone;

/// Changes of base data in one epoch.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) datastreams: Vec<(AtAsset, Diff)>,
    pub(super) assets: Vec<(LocatedAsset, Diff)>,
    /// As written.
    pub(super) rules: Vec<(Rule, Diff)>,
    pub(super) sets: Vec<(Shared<RuleSet>, Diff)>,
    pub(super) gauges: Vec<(Shared<Gauge>, Diff)>,
    /// Those that have thresholds.
    pub(super) regions: Vec<(Shared<Region>, Diff)>,
}

/// The rules, in memory of their own, and the assets of one worker with their datastreams. Holds no dataflow type.
#[derive(Debug, Default)]
pub(super) struct Matched {
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
    gauges: Gauges,
    /// Whether there are permits and maintenance windows.
    permits: bool,
    /// Whether it is this one that tells what is wrong with regions and gauges.
    tells: bool,
    index: Index,
    places: Vec<Place>,
    free: Vec<u32>,
}

/// What changes in an epoch.
#[derive(Default)]
pub(super) struct Updates {
    pub(super) specified: Vec<(SpecifiedStream, Diff)>,
    pub(super) watched: Vec<(WatchedAsset, Diff)>,
    pub(super) alone: Vec<(Alone, Diff)>,
}

impl Updates {
    fn tell(&mut self, alone: Vec<Alone>, diff: Diff) {
        self.alone.extend(alone.into_iter().map(|alone| (alone, diff)));
    }

    /// Gives what differs at a place.
    fn differ(&mut self, before: ComesTo, after: ComesTo) {
        differ(before.given.into_iter(), after.given.into_iter(), self);
        if before.watched != after.watched {
            self.watched.extend(before.watched.into_iter().map(|row| (row, -1)));
            self.watched.extend(after.watched.into_iter().map(|row| (row, 1)));
        }
        self.tell(before.alone, -1);
        self.tell(after.alone, 1);
    }

    /// How many datastreams or assets each rule selects, where it does.
    fn tell_selecting(&mut self, rules: &[Rule], counts: &[Cell<Diff>], sign: Diff) {
        let selects = rules.iter().zip(counts).filter(|(_, count)| count.get() > 0);
        let selects =
            selects.map(|(rule, count)| (Alone::Selects(Id::new(rule.written().clone())), sign * count.get()));
        self.alone.extend(selects);
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
    /// One that holds nothing yet. `permits`: whether these are on; `tells`: whether it is this one that tells what is wrong with the
    /// thresholds of regions, and with gauges.
    pub(super) fn new((retain, permits): (Duration, bool), tells: bool) -> Self {
        Self {
            retain,
            permits,
            tells,
            ..Self::default()
        }
    }

    /// Takes in what changes in an epoch, and gives the rows that change by it.
    pub(super) fn apply(&mut self, mut changes: Changes, out: &mut Updates) {
        let touched = self.touched(&changes);
        let rules = self.rules_after(&mut changes);
        let forms = [std::mem::take(&mut self.forms), RefCell::default()];
        let newest = usize::from(!changes.rules.is_empty());
        let (regional, changed) = self.regional_after(std::mem::take(&mut changes.regions));
        let changed_gauges = changes.gauges.iter().map(|(gauge, _)| gauge.id.text().clone());
        let changed_gauges: BTreeSet<Text> = changed_gauges.collect();
        let gauges = gauges_after(&self.gauges, std::mem::take(&mut changes.gauges));
        let counts = |rules: &[Rule]| vec![Cell::new(0); rules.len()];
        let (left, right) = (counts(&self.rules), counts(&rules));
        let was_in_force = InForce {
            rules: &self.rules,
            forms: are_in_sets(&self.rules).then_some(&forms[0]),
            regional: &self.regional,
            selected: &left,
            gauges: &self.gauges,
            permits: self.permits,
            over_gauges: are_over_gauges(&self.rules),
        };
        let in_force = InForce {
            rules: &rules,
            forms: are_in_sets(&rules).then_some(&forms[newest]),
            regional: &regional,
            selected: &right,
            gauges: &gauges,
            over_gauges: are_over_gauges(&rules),
            ..was_in_force
        };
        if self.tells {
            let rules_change = !changes.rules.is_empty();
            if rules_change || !changed.is_empty() {
                out.tell_of_regions(was_in_force, -1);
                out.tell_of_regions(in_force, 1);
            }
            if rules_change || !changed_gauges.is_empty() {
                out.tell(lacking(was_in_force), -1);
                out.tell(lacking(in_force), 1);
            }
        }
        let names = |rule: &&Rule| rule.gauges.iter().any(|gauge| changed_gauges.contains(gauge));
        let of_gauges: Vec<&Rule> = in_force.rules.iter().filter(names).collect();
        for slot in self.concerned((&changes.rules, &of_gauges), &changed, &touched) {
            let place = &self.places[slot];
            out.differ(place.comes_to(was_in_force), place.comes_to(in_force));
        }
        // When a city comes, nearly all places are new.
        let known = touched.iter().filter(|slot| !self.places[**slot].is_empty());
        let before = known.map(|slot| (*slot, self.places[*slot].comes_to(was_in_force)));
        let before: Vec<(usize, ComesTo)> = before.collect();
        let mut before = before.into_iter().peekable();
        self.put(changes);
        for slot in touched {
            let place = &self.places[slot];
            let was = before.next_if(|(known, _)| *known == slot);
            let was = was.map_or_else(ComesTo::default, |(_, was)| was);
            out.differ(was, place.comes_to(in_force));
            if place.is_empty() {
                self.index.remove(&place.key, slot as u32);
                self.free.push(slot as u32);
            }
        }
        out.tell_selecting(&self.rules, &left, -1);
        out.tell_selecting(&rules, &right, 1);
        consolidate(&mut out.alone);
        let [before, after] = forms;
        self.forms = if newest == 1 { after } else { before };
        self.rules = rules;
        self.regional = regional;
        self.gauges = gauges;
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

    /// The places with a datastream that one of these rules may select, or where something has thresholds for it, those that one over
    /// gauges watches, of which these changed, and those within these regions; but for those that are touched anyway.
    fn concerned(
        &self,
        (rules, of_gauges): (&[(Rule, Diff)], &[&Rule]),
        regions: &[RegionCode],
        touched: &[usize],
    ) -> Vec<usize> {
        if rules.is_empty() && of_gauges.is_empty() && regions.is_empty() {
            return Vec::new();
        }
        let over_gauges = rules.iter().map(|(rule, _)| rule).filter(|rule| rule.is_of_gauges());
        let over_gauges: Vec<&Rule> = over_gauges.chain(of_gauges.iter().copied()).collect();
        let watches = |(asset, located): &(Shared<Asset>, Located)| {
            let within = |region| located.within(asset.region, region);
            let mut rules = over_gauges.iter();
            rules.any(|rule| rule.selects_asset(&asset.category, asset.domain, within, &asset.tags))
        };
        // With a set all of its rules may change.
        let ids: BTreeSet<&Text> = rules.iter().map(|(rule, _)| &rule.record.id).collect();
        let on_datastreams = rules.iter().filter(|(rule, _)| !rule.is_of_gauges());
        let properties = on_datastreams.map(|(rule, _)| rule.record.select.observed_property.as_ref());
        let properties: BTreeSet<Option<&Text>> = properties.collect();
        let given = |thresholds: &ThresholdsByRule| thresholds.iter().any(|(id, _)| ids.contains(id));
        let meets = |row: &Shared<Datastream>| {
            let selects = properties.contains(&None) || properties.contains(&Some(&row.observed_property));
            selects || given(&row.thresholds)
        };
        let names = |(asset, _): &(Shared<Asset>, Located)| given(&asset.thresholds);
        let concerned = |place: &Place| {
            let asset = place.asset.as_ref();
            place.datastreams.iter().any(meets)
                || asset.is_some_and(|asset| names(asset) || watches(asset))
                || place.is_within(regions)
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
        let slot = self
            .slot(asset)
            .expect("what changes is touched first, and has a place");
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

fn apart(rows: impl Iterator<Item = Given>) -> (SmallVec<[SpecifiedStream; 1]>, Vec<Alone>) {
    let mut alone = Vec::new();
    let specified = rows.map(|given| {
        alone.extend(given.alone);
        given.specified
    });
    (specified.collect(), alone)
}

#[cfg(test)]
mod tests;
