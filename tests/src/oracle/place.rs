//! Which regions lie in which: by the digits of their codes, or by rows.

use std::collections::BTreeMap;

use riskflow_model::base::Region;
use riskflow_model::{Astray, Key, RegionCode, Shared};

/// All rows of regions: of each code the parent that its row names.
#[derive(Clone, Default, PartialEq)]
pub struct Places(BTreeMap<String, Option<String>>);

/// So many regions with rows of their own may lie above one.
const HIGHEST: usize = 16;

fn by_digits(code: &str) -> bool {
    [2, 4, 6, 9, 12].contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_digit())
}

impl Places {
    /// Of these rows.
    pub fn of(rows: &BTreeMap<Key, Shared<Region>>) -> Self {
        let rows = rows.values();
        Self(
            rows.map(|row| (row.code.to_string(), row.parent.map(|parent| parent.to_string())))
                .collect(),
        )
    }

    fn parent(&self, code: &str) -> Option<String> {
        self.0.get(code).cloned().flatten()
    }

    fn in_a_circle(&self, code: &str) -> bool {
        let mut at = self.parent(code);
        for _ in 0..=self.0.len() {
            match at {
                Some(next) if next == code => return true,
                Some(next) if !by_digits(&next) => at = self.parent(&next),
                _ => return false,
            }
        }
        false
    }

    /// A region and all that it lies in.
    pub fn chain(&self, code: &str) -> Vec<String> {
        if by_digits(code) {
            let lengths = [12, 9, 6, 4, 2].into_iter().filter(|length| *length <= code.len());
            return lengths.map(|length| code[..length].to_owned()).collect();
        }
        self.climb(code, HIGHEST)
    }

    /// The same of a code whose digits do not say it, with so many of its kind above it at most.
    fn climb(&self, code: &str, most: usize) -> Vec<String> {
        let mut chain = vec![code.to_owned()];
        match self.parent(code).filter(|_| !self.in_a_circle(code)) {
            Some(parent) if by_digits(&parent) => chain.extend(self.chain(&parent)),
            Some(parent) if most > 0 => chain.extend(self.climb(&parent, most - 1)),
            _ => {}
        }
        chain
    }

    /// What is wrong with where a region lies.
    pub fn astray(&self, code: &str) -> Option<Astray> {
        let (mut at, mut passed) = (code.to_owned(), Vec::new());
        for step in 0..=HIGHEST + 1 {
            if by_digits(&at) {
                return None;
            }
            if passed.contains(&at) {
                return Some(Astray::Circle);
            }
            if step > HIGHEST {
                return Some(Astray::TooDeep);
            }
            passed.push(at.clone());
            match (self.0.get(&at), step) {
                (None, 0) => return Some(Astray::NoRow),
                (None, _) => return Some(Astray::NoParent(at.parse().expect("a code"))),
                (Some(None), _) => return None,
                (Some(Some(parent)), _) => at.clone_from(parent),
            }
        }
        unreachable!("the last step returns")
    }

    /// Whether one lies in the other.
    pub fn within(&self, region: RegionCode, other: RegionCode) -> bool {
        self.chain(&region.to_string()).contains(&other.to_string())
    }
}
