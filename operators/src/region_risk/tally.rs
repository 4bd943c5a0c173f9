//! All counts and sums of a region and domain, as a difference.

use differential_dataflow::difference::Semigroup as _;
use riskflow_model::Level;
use riskflow_model::output::{AssetRisk, LevelCounts};
use serde::{Deserialize, Serialize};

use super::one;

/// What is counted and summed for a region and domain. Integers throughout: sums do not depend on order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tally {
    assets: [i64; 5],
    dynamic: [i64; 5],
    villages: [i64; 5],
    warnings: [i64; 5],
    score: i64,
    exposed: i64,
}

impl Tally {
    /// One asset.
    #[must_use]
    pub fn of_asset(risk: &AssetRisk) -> Self {
        Self {
            assets: one(risk.level),
            dynamic: one(risk.dynamic_level),
            score: risk.score.into(),
            exposed: if risk.level >= Level::Orange {
                risk.population.into()
            } else {
                0
            },
            ..Self::default()
        }
    }

    /// One open warning.
    #[must_use]
    pub fn of_warning(level: Level) -> Self {
        Self {
            warnings: one(level),
            ..Self::default()
        }
    }

    /// One village, by the highest level of its assets; nothing if it has none.
    #[must_use]
    pub fn of_village(village: &Self) -> Self {
        let assets = village.assets_by_level();
        let empty = village.assets == [0; 5];
        Self {
            villages: if empty { [0; 5] } else { one(assets.highest()) },
            ..Self::default()
        }
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.plus_equals(other);
        self
    }

    /// Assets by risk level.
    #[must_use]
    pub fn assets_by_level(&self) -> LevelCounts {
        LevelCounts::from_array(self.assets)
    }

    /// Assets by dynamic level.
    #[must_use]
    pub fn assets_by_dynamic_level(&self) -> LevelCounts {
        LevelCounts::from_array(self.dynamic)
    }

    /// Villages by level.
    #[must_use]
    pub fn villages_by_level(&self) -> LevelCounts {
        LevelCounts::from_array(self.villages)
    }

    /// Open warnings by level.
    #[must_use]
    pub fn warnings_by_level(&self) -> LevelCounts {
        LevelCounts::from_array(self.warnings)
    }

    /// The sum of scores.
    #[must_use]
    pub const fn score(&self) -> i64 {
        self.score
    }

    /// People exposed to assets at orange or above.
    #[must_use]
    pub const fn exposed_population(&self) -> i64 {
        self.exposed
    }

    fn numbers(&mut self) -> impl Iterator<Item = &mut i64> {
        let Self {
            assets,
            dynamic,
            villages,
            warnings,
            score,
            exposed,
        } = self;
        assets
            .iter_mut()
            .chain(dynamic)
            .chain(villages)
            .chain(warnings)
            .chain([score, exposed])
    }
}

crate::sums::difference!(Tally);
