//! The tree of regions, and how an epoch's changes go up in it. Holds no dataflow type.

use std::hash::BuildHasherDefault;

use hashbrown::HashMap;
use riskflow_model::output::RegionRisk;
use riskflow_model::{DomainScope, RegionCode, Text, Tier};

use super::cell::{Cell, Counts, Sums, Top, shown};
use super::{Part, Told};
use crate::Diff;
use crate::fold::RouteHasher;

/// From below; provinces have no rows.
const TIERS: [Tier; 4] = [Tier::Village, Tier::Town, Tier::County, Tier::City];
const SCOPES: usize = DomainScope::EACH.len();

/// A region.
#[derive(Debug)]
struct Place {
    code: RegionCode,
    name: Option<Text>,
    parent: Option<u32>,
    children: Vec<u32>,
    /// In the order of [`DomainScope::EACH`].
    cells: [Cell; SCOPES],
}

/// All regions, and which of them may differ in this epoch.
#[derive(Debug, Default)]
pub(super) struct Rollup {
    index: HashMap<RegionCode, u32, BuildHasherDefault<RouteHasher>>,
    places: Vec<Place>,
    /// For each tier: region and domain.
    changed: [Vec<(u32, usize)>; TIERS.len()],
}

impl Rollup {
    /// Takes in what came (1) and went (-1) in an epoch, each row once.
    pub(super) fn apply(&mut self, mut parts: Vec<(Part, Diff)>) {
        parts.retain(|(part, _)| tier_of(part.region()).is_some());
        // What went comes first: an asset that moved up is on the lists once.
        parts.sort_by_key(|(_, diff)| *diff > 0);
        for (part, diff) in parts {
            let place = self.place(part.region());
            let times = if diff > 0 { 1 } else { -1 };
            match part {
                Part::Asset(risk) => {
                    for scope in [0, 1 + risk.domain as usize] {
                        self.touch(place, scope).count_asset(&risk, times);
                    }
                }
                Part::Warning(warning) => {
                    for scope in [0, 1 + warning.domain as usize] {
                        self.touch(place, scope).pending.warnings[warning.level.index()] += times;
                    }
                }
                Part::Named(region) => {
                    self.places[place as usize].name = (diff > 0).then(|| region.name.clone());
                    for scope in 0..SCOPES {
                        self.touch(place, scope);
                    }
                }
            }
        }
    }

    /// Takes the epoch in, tier by tier, and gives what differs.
    pub(super) fn settle(&mut self, give: &mut dyn FnMut(Told)) {
        for tier in 0..TIERS.len() {
            // It grows on the way, where a region begins or ends to be.
            let mut next = 0;
            while let Some((place, scope)) = self.changed[tier].get(next).copied() {
                next += 1;
                self.take_in(tier, place, scope);
            }
            for (place, scope) in std::mem::take(&mut self.changed[tier]) {
                self.tell(place, scope, give);
            }
        }
    }

    /// The place of a region; it and all above it are made where they are not there.
    fn place(&mut self, code: RegionCode) -> u32 {
        if let Some(place) = self.index.get(&code) {
            return *place;
        }
        let parent = code.parent().filter(|parent| tier_of(*parent).is_some());
        let parent = parent.map(|parent| self.place(parent));
        let place = self.places.len() as u32;
        self.places.push(Place {
            code,
            name: None,
            parent,
            children: Vec::new(),
            cells: std::array::from_fn(|_| Cell::default()),
        });
        if let Some(parent) = parent {
            self.places[parent as usize].children.push(place);
        }
        self.index.insert(code, place);
        place
    }

    /// A cell that may differ from now on.
    fn touch(&mut self, place: u32, scope: usize) -> &mut Cell {
        let at = &mut self.places[place as usize];
        let cell = &mut at.cells[scope];
        if !std::mem::replace(&mut cell.listed, true) {
            let tier = tier_of(at.code).expect("regions without rows have no place");
            self.changed[tier].push((place, scope));
        }
        cell
    }

    /// Adds to a cell what the epoch did to it, and passes that on to the region above.
    fn take_in(&mut self, tier: usize, place: u32, scope: usize) {
        let top_changed = self.look_at_top(place, scope);
        let at = &mut self.places[place as usize];
        let (parent, cell) = (at.parent, &mut at.cells[scope]);
        let mut up = std::mem::take(&mut cell.pending);
        let existed = cell.sums.assets != Counts::default();
        cell.sums.add(&up);
        let exists = cell.sums.assets != Counts::default();
        if tier == 0 {
            let village = cell.sums.as_village();
            let before = std::mem::replace(&mut cell.sums.villages, village);
            up.villages = std::array::from_fn(|level| village[level] - before[level]);
        }
        if scope == 0 && existed != exists {
            // It has rows for every domain, or none.
            for scope in 1..SCOPES {
                self.touch(place, scope);
            }
        }
        if (up != Sums::default() || top_changed)
            && let Some(parent) = parent
        {
            let above = self.touch(parent, scope);
            above.pending.add(&up);
            above.top_stale |= top_changed;
        }
    }

    /// Lists the assets of highest score again, out of those that stand in the region itself and of the lists of those within.
    /// Whether the list is another.
    fn look_at_top(&mut self, place: u32, scope: usize) -> bool {
        let at = &self.places[place as usize];
        let cell = &at.cells[scope];
        if !cell.top_stale {
            return false;
        }
        let mut top = Top::default();
        top.merge(&cell.ranks);
        for child in &at.children {
            top.merge(self.places[*child as usize].cells[scope].top.iter());
        }
        let cell = &mut self.places[place as usize].cells[scope];
        cell.top_stale = false;
        let changed = cell.top != top;
        cell.top = top;
        changed
    }

    fn tell(&mut self, place: u32, scope: usize, give: &mut dyn FnMut(Told)) {
        let at = &mut self.places[place as usize];
        let exists = at.name.is_some() || at.cells[0].sums.assets != Counts::default();
        let cell = &mut at.cells[scope];
        cell.listed = false;
        let (key, sums) = ((at.code, DomainScope::EACH[scope]), &cell.sums);
        let before = std::mem::replace(&mut cell.score, sums.score);
        if before != sums.score {
            for (score, diff) in [(before, -1), (sums.score, 1)] {
                if score != 0 {
                    give(Told::Score(key, score, diff));
                }
            }
        }
        let row = exists.then(|| RegionRisk {
            region: at.code,
            name: at.name.clone().unwrap_or_else(|| "".into()),
            domain: key.1,
            level: sums.highest().unwrap_or(riskflow_model::Level::None),
            assets_by_level: shown(sums.assets),
            assets_by_dynamic_level: shown(sums.dynamic),
            villages_by_level: shown(sums.villages),
            warnings_by_level: shown(sums.warnings),
            score: sums.score,
            trend: sums.score,
            exposed_population: sums.exposed,
            top_assets: cell.top.shown(),
        });
        give(Told::Row(key, row.map(Box::new)));
    }
}

/// The position in [`TIERS`]; `None` for provinces.
fn tier_of(region: RegionCode) -> Option<usize> {
    TIERS.iter().position(|tier| *tier == region.tier())
}
