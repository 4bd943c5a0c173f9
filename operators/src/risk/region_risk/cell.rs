//! What is counted, summed and ranked for one region and domain.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use riskflow_model::base::Asset;
use riskflow_model::output::{AssetRisk, LevelCounts, TopAsset};
use riskflow_model::{Id, Level};

/// A row lists so many of the assets of highest score.
const LISTED: usize = 10;

/// How many there are of each level ([`Level::ALL`]); 32 bits, since there is one cell for each region and domain.
pub(super) type Counts = [i32; 5];

/// Counts and sums. Integers throughout: sums do not depend on order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) assets: Counts,
    pub(super) dynamic: Counts,
    pub(super) villages: Counts,
    pub(super) warnings: Counts,
    pub(super) score: i64,
    pub(super) exposed: i64,
}

impl Sums {
    /// Counts an asset in (1) or out (-1).
    pub(super) fn count_asset(&mut self, risk: &AssetRisk, times: i32) {
        self.assets[risk.level.index()] += times;
        self.dynamic[risk.dynamic_level.index()] += times;
        self.score += i64::from(risk.score) * i64::from(times);
        if risk.level >= Level::Orange {
            self.exposed += i64::from(risk.population) * i64::from(times);
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        let counts = [
            (&mut self.assets, &other.assets),
            (&mut self.dynamic, &other.dynamic),
            (&mut self.villages, &other.villages),
            (&mut self.warnings, &other.warnings),
        ];
        for (mine, theirs) in counts {
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
        }
        self.score += other.score;
        self.exposed += other.exposed;
    }

    /// The inverse of [`Self::add`].
    pub(super) fn take(&mut self, other: &Self) {
        let gone = |counts: &Counts| counts.map(|count| -count);
        self.add(&Self {
            assets: gone(&other.assets),
            dynamic: gone(&other.dynamic),
            villages: gone(&other.villages),
            warnings: gone(&other.warnings),
            score: -other.score,
            exposed: -other.exposed,
        });
    }

    /// The highest level of its assets; `None` where there are none.
    pub(super) fn highest(&self) -> Option<Level> {
        let found = Level::ALL.into_iter().rev();
        found.into_iter().find(|level| self.assets[level.index()] > 0)
    }

    /// A village counts as one, by the highest level of its assets.
    pub(super) fn as_village(&self) -> Counts {
        let mut counts = Counts::default();
        if let Some(level) = self.highest() {
            counts[level.index()] = 1;
        }
        counts
    }
}

pub(super) fn shown(counts: Counts) -> LevelCounts {
    LevelCounts::from_array(counts.map(i64::from))
}

/// Highest score first, then by identifier.
pub(super) type Rank = (Reverse<u8>, Id<Asset>);

/// The assets of highest score, best first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Top(Vec<Rank>);

impl Top {
    /// Takes in ranks that come best first.
    pub(super) fn merge<'a>(&mut self, ranks: impl IntoIterator<Item = &'a Rank>) {
        for rank in ranks {
            let at = self.0.partition_point(|other| other < rank);
            if at == LISTED {
                return;
            }
            self.0.insert(at, rank.clone());
            self.0.truncate(LISTED);
        }
    }

    /// Whether it may be another if this rank comes or goes.
    fn depends_on(&self, rank: &Rank) -> bool {
        self.0.len() < LISTED || self.0.last().is_some_and(|last| rank <= last)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Rank> {
        self.0.iter()
    }

    pub(super) fn shown(&self) -> Vec<TopAsset> {
        let assets = self.0.iter().map(|(Reverse(score), asset)| TopAsset {
            asset: asset.clone(),
            score: *score,
        });
        assets.collect()
    }
}

/// One region and domain.
#[derive(Debug, Default)]
pub(super) struct Cell {
    pub(super) sums: Sums,
    /// What this epoch did to them, not yet taken in.
    pub(super) pending: Sums,
    /// The assets with a score above 0 that stand in this very region.
    pub(super) ranks: BTreeSet<Rank>,
    pub(super) top: Top,
    /// Whether `top` must be looked at again.
    pub(super) top_stale: bool,
    /// Whether it is on the list of cells that may differ.
    pub(super) listed: bool,
    /// The score as it was told.
    pub(super) score: i64,
}

impl Cell {
    pub(super) fn count_asset(&mut self, risk: &AssetRisk, times: i32) {
        self.pending.count_asset(risk, times);
        if risk.score == 0 {
            return;
        }
        let rank = (Reverse(risk.score), risk.asset.clone());
        self.top_stale |= self.top.depends_on(&rank);
        if times > 0 {
            self.ranks.insert(rank);
        } else {
            self.ranks.remove(&rank);
        }
    }
}
