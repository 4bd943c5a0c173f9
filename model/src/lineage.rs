//! Which regions lie in which, where the code does not say it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::RegionCode;

/// The regions above one, from its parent on, where its code does not say them; nothing for a statistical code.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Above(Option<Arc<[RegionCode]>>);

impl Above {
    /// A region and all above it.
    pub fn chain(&self, region: RegionCode) -> impl Iterator<Item = RegionCode> + Clone + '_ {
        let above = self.0.iter().flat_map(|above| above.iter().copied());
        region.by_code().chain(above)
    }

    /// Whether a region is equal to the other or lies within it.
    #[must_use]
    pub fn within(&self, region: RegionCode, other: RegionCode) -> bool {
        region.within_by_code(other) || self.0.as_ref().is_some_and(|above| above.contains(&other))
    }
}

/// What is wrong with where a region lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Astray {
    /// It has no row, and its code does not say where it lies: it lies nowhere.
    NoRow,
    /// This one has none, in which it lies by its parents.
    NoParent(RegionCode),
    /// It lies, by its parents, in one that lies within itself: the way ends there.
    Circle,
    /// It lies, by its parents, in more than [`Lineage::HIGHEST`] of them: the way ends there.
    TooDeep,
}

/// The parents that rows of `base.region` give to codes that are not statistical.
#[derive(Clone, Debug, Default)]
pub struct Lineage(BTreeMap<RegionCode, Option<RegionCode>>);

impl Lineage {
    /// A region lies in so many at most, of those with rows of their own. A country has fewer tiers; a column in the wrong place makes
    /// a chain of all its rows, and each of them would count for all.
    pub const HIGHEST: usize = 16;

    /// A row came.
    pub fn put(&mut self, region: RegionCode, parent: Option<RegionCode>) {
        if !region.is_statistical() {
            self.0.insert(region, parent);
        }
    }

    /// A row went.
    pub fn remove(&mut self, region: RegionCode) {
        self.0.remove(&region);
    }

    /// What its row says.
    fn parent(&self, region: RegionCode) -> Option<RegionCode> {
        self.0.get(&region).copied().flatten()
    }

    /// The regions above one. Those of a circle have nothing above them, and what lies in one of these lies in no more.
    #[must_use]
    pub fn above(&self, region: RegionCode) -> Above {
        if region.is_statistical() {
            return Above::default();
        }
        let mut above: Vec<RegionCode> = Vec::new();
        let mut next = self.parent(region);
        while let Some(parent) = next {
            if parent == region {
                return Above::default();
            }
            if let Some(first) = above.iter().position(|other| *other == parent) {
                above.truncate(first + 1);
                break;
            }
            if parent.is_statistical() {
                above.extend(parent.by_code());
                break;
            }
            if above.len() == Self::HIGHEST {
                break;
            }
            above.push(parent);
            next = self.parent(parent);
        }
        Above(Some(above.into()).filter(|above: &Arc<[RegionCode]>| !above.is_empty()))
    }

    /// The region that one lies in, by its code or by its row.
    #[must_use]
    pub fn parent_of(&self, region: RegionCode) -> Option<RegionCode> {
        self.above(region).chain(region).nth(1)
    }

    /// What is wrong with where a region lies.
    #[must_use]
    pub fn astray(&self, region: RegionCode) -> Option<Astray> {
        if region.is_statistical() {
            return None;
        }
        let Some(row) = self.0.get(&region) else {
            return Some(Astray::NoRow);
        };
        let (mut passed, mut next) = (vec![region], *row);
        while let Some(parent) = next.filter(|parent| !parent.is_statistical()) {
            if passed.contains(&parent) {
                return Some(Astray::Circle);
            }
            if passed.len() > Self::HIGHEST {
                return Some(Astray::TooDeep);
            }
            let Some(row) = self.0.get(&parent) else {
                return Some(Astray::NoParent(parent));
            };
            passed.push(parent);
            next = *row;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> RegionCode {
        text.parse().unwrap()
    }

    fn lineage(rows: &[(&str, &str)]) -> Lineage {
        let mut lineage = Lineage::default();
        for (region, parent) in rows {
            lineage.put(
                code(region),
                Some(*parent).filter(|parent| !parent.is_empty()).map(code),
            );
        }
        lineage
    }

    fn chain(lineage: &Lineage, region: &str) -> Vec<String> {
        let above = lineage.above(code(region));
        above.chain(code(region)).map(|region| region.to_string()).collect()
    }

    #[test]
    fn rows_say_what_lies_in_what_and_digits_go_on_from_there() {
        let lineage = lineage(&[("berth-7", "harbour"), ("harbour", "330902"), ("EU", ""), ("DE", "EU")]);
        assert_eq!(
            chain(&lineage, "berth-7"),
            ["berth-7", "harbour", "330902", "3309", "33"]
        );
        assert_eq!(chain(&lineage, "DE"), ["DE", "EU"]);
        assert_eq!(chain(&lineage, "330902001"), ["330902001", "330902", "3309", "33"]);
        assert_eq!(chain(&lineage, "nowhere"), ["nowhere"]);
        let above = lineage.above(code("berth-7"));
        assert!(above.within(code("berth-7"), code("3309")) && !above.within(code("berth-7"), code("330903")));
        assert_eq!(lineage.astray(code("berth-7")), None);
        assert_eq!(lineage.astray(code("EU")), None);
        assert_eq!(lineage.astray(code("nowhere")), Some(Astray::NoRow));
        assert_eq!(lineage.astray(code("330999")), None);
    }

    #[test]
    fn a_circle_and_a_missing_parent_are_told_and_end_the_way() {
        let lineage = lineage(&[("a", "b"), ("b", "c"), ("c", "b"), ("d", "d"), ("e", "x")]);
        assert_eq!(chain(&lineage, "a"), ["a", "b"]);
        assert_eq!(chain(&lineage, "b"), ["b"]);
        assert_eq!(chain(&lineage, "d"), ["d"]);
        assert_eq!(chain(&lineage, "e"), ["e", "x"]);
        let astray = ["a", "b", "c", "d", "e"].map(|region| lineage.astray(code(region)));
        let circle = || Some(Astray::Circle);
        assert_eq!(
            astray,
            [
                circle(),
                circle(),
                circle(),
                circle(),
                Some(Astray::NoParent(code("x")))
            ]
        );
    }

    #[test]
    fn a_way_that_does_not_end_soon_ends_by_itself() {
        let names: Vec<String> = (0..=Lineage::HIGHEST + 1).map(|number| format!("r{number}")).collect();
        let mut rows: Vec<(&str, &str)> = names.windows(2).map(|pair| (&*pair[1], &*pair[0])).collect();
        rows.push(("r0", "330902"));
        let lineage = lineage(&rows);
        let (last, before) = (code(&names[Lineage::HIGHEST + 1]), code(&names[Lineage::HIGHEST]));
        assert_eq!(
            (lineage.astray(before), lineage.astray(last)),
            (None, Some(Astray::TooDeep))
        );
        assert_eq!(chain(&lineage, &before.to_string()).len(), 1 + Lineage::HIGHEST + 3);
        assert_eq!(chain(&lineage, &last.to_string()).len(), 1 + Lineage::HIGHEST);
    }
}
