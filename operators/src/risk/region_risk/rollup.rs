//! The tree of regions, and how an epoch's changes go up in it. Holds no dataflow type.

use std::hash::BuildHasherDefault;

use hashbrown::HashMap;
use riskflow_model::output::RegionRisk;
use riskflow_model::{DomainScope, Lineage, RegionCode, Text, Tier};

use super::cell::{Cell, Counts, Sums, Top, shown};
use super::{Part, Told};
use crate::engine::{Diff, RouteHasher};

const SCOPES: usize = DomainScope::EACH.len();

/// A region.
#[derive(Debug)]
struct Place {
    code: RegionCode,
    name: Option<Text>,
    parent: Option<u32>,
    /// How many lie above it.
    depth: u32,
    children: Vec<u32>,
    /// In the order of [`DomainScope::EACH`].
    cells: [Cell; SCOPES],
}

/// All regions, and which of them may differ in this epoch.
#[derive(Debug, Default)]
pub(super) struct Rollup {
    index: HashMap<RegionCode, u32, BuildHasherDefault<RouteHasher>>,
    places: Vec<Place>,
    /// What rows say of codes that do not say it themselves, and the places of these.
    lineage: Lineage,
    others: Vec<u32>,
    /// For each depth: region and domain.
    changed: Vec<Vec<(u32, usize)>>,
}

impl Rollup {
    /// Takes in what came (1) and went (-1) in an epoch, each row once.
    pub(super) fn apply(&mut self, mut parts: Vec<(Part, Diff)>) {
        // What went comes first: an asset that moved up is on the lists once.
        parts.sort_by_key(|(_, diff)| *diff > 0);
        self.follow(&parts);
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

    /// Puts regions where their rows say now that they lie. Nothing else of this epoch was taken in yet.
    fn follow(&mut self, parts: &[(Part, Diff)]) {
        let mut changed = false;
        for (part, diff) in parts {
            if let Part::Named(region) = part
                && !region.code.is_statistical()
            {
                changed = true;
                match *diff > 0 {
                    true => self.lineage.put(region.code, region.parent),
                    false => self.lineage.remove(region.code),
                }
            }
        }
        if !changed {
            return;
        }
        let mut moved = Vec::new();
        for place in self.others.clone() {
            let parent = self.lineage.parent_of(self.places[place as usize].code);
            let parent = parent.map(|parent| self.place(parent));
            let before = std::mem::replace(&mut self.places[place as usize].parent, parent);
            if before == parent {
                continue;
            }
            let sums = self.places[place as usize].cells.each_ref().map(|cell| cell.sums);
            if let Some(before) = before {
                let left = &mut self.places[before as usize];
                left.children.retain(|child| *child != place);
                left.cells
                    .iter_mut()
                    .zip(&sums)
                    .for_each(|(cell, sums)| cell.pending.take(sums));
            }
            if let Some(parent) = parent {
                let joined = &mut self.places[parent as usize];
                joined.children.push(place);
                joined
                    .cells
                    .iter_mut()
                    .zip(&sums)
                    .for_each(|(cell, sums)| cell.pending.add(sums));
            }
            moved.extend([Some(place), before, parent].into_iter().flatten());
        }
        for place in 0..self.places.len() {
            let up = |place: &u32| self.places[*place as usize].parent;
            let depth = std::iter::successors(self.places[place].parent, up).count();
            self.places[place].depth = depth as u32;
        }
        for place in moved {
            for scope in 0..SCOPES {
                self.touch(place, scope).top_stale = true;
            }
        }
    }

    /// Takes the epoch in from below, and gives what differs.
    pub(super) fn settle(&mut self, give: &mut dyn FnMut(Told)) {
        for depth in (0..self.changed.len()).rev() {
            // It grows on the way, where a region begins or ends to be.
            let mut next = 0;
            while let Some((place, scope)) = self.changed[depth].get(next).copied() {
                next += 1;
                self.take_in(place, scope);
            }
            for (place, scope) in std::mem::take(&mut self.changed[depth]) {
                self.tell(place, scope, give);
            }
        }
    }

    /// The place of a region; it and all above it are made where they are not there.
    fn place(&mut self, code: RegionCode) -> u32 {
        if let Some(place) = self.index.get(&code) {
            return *place;
        }
        let parent = self.lineage.parent_of(code).map(|parent| self.place(parent));
        let place = self.places.len() as u32;
        if !code.is_statistical() {
            self.others.push(place);
        }
        self.places.push(Place {
            code,
            name: None,
            parent,
            depth: parent.map_or(0, |parent| self.places[parent as usize].depth + 1),
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
            let depth = at.depth as usize;
            if self.changed.len() <= depth {
                self.changed.resize_with(depth + 1, Vec::new);
            }
            self.changed[depth].push((place, scope));
        }
        cell
    }

    /// Adds to a cell what the epoch did to it, and passes that on to the region above.
    fn take_in(&mut self, place: u32, scope: usize) {
        let top_changed = self.look_at_top(place, scope);
        let at = &mut self.places[place as usize];
        let (parent, cell) = (at.parent, &mut at.cells[scope]);
        let mut up = std::mem::take(&mut cell.pending);
        let existed = cell.sums.assets != Counts::default();
        cell.sums.add(&up);
        let exists = cell.sums.assets != Counts::default();
        if at.code.tier() == Some(Tier::Village) {
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
        let parent = self.places[place as usize]
            .parent
            .map(|parent| self.places[parent as usize].code);
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
            parent,
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
