//! Which regions lie in which: by the digits of their codes, or by rows.

use std::collections::BTreeMap;

use riskflow_model::base::Region;
use riskflow_model::{Astray, Key, RegionCode, Shared};

/// All rows of regions: of each code the parent that its row names.
#[derive(Clone, Default, PartialEq)]
pub struct Places(BTreeMap<String, Option<String>>);

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
        let mut chain = vec![code.to_owned()];
        if let Some(parent) = self.parent(code).filter(|_| !self.in_a_circle(code)) {
            chain.extend(self.chain(&parent));
        }
        chain
    }

    /// What is wrong with where a region lies.
    pub fn astray(&self, code: &str) -> Option<Astray> {
        let mut at = code.to_owned();
        for step in 0..=self.0.len() {
            if by_digits(&at) {
                return None;
            }
            match (self.0.get(&at), step) {
                (None, 0) => return Some(Astray::NoRow),
                (None, _) => return Some(Astray::NoParent(at.parse().expect("a code"))),
                (Some(None), _) => return None,
                (Some(Some(parent)), _) => at.clone_from(parent),
            }
        }
        Some(Astray::Circle)
    }

    /// Whether one lies in the other.
    pub fn within(&self, region: RegionCode, other: RegionCode) -> bool {
        self.chain(&region.to_string()).contains(&other.to_string())
    }
}
