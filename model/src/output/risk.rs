//! The risk of assets and regions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Asset;
use crate::topic::{Record, Shape, Spec};
use crate::{
    Domain, DomainScope, Facets, Filter, Id, InherentLevel, Level, Listed, OutputRecord, RegionCode, Text, joined,
};

/// A row of `out.risk.asset`, keyed by `asset`: every asset of `base.asset` has one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct AssetRisk {
    /// The asset's identifier.
    pub asset: Id<Asset>,
    /// The asset's name.
    pub name: Text,
    /// The asset's kind.
    pub category: Text,
    /// The asset's domain.
    pub domain: Domain,
    /// Where it stands.
    pub region: RegionCode,
    /// From the risk census.
    pub inherent_level: InherentLevel,
    /// The highest level among the asset's datastreams.
    pub dynamic_level: Level,
    /// Inherent level times dynamic level, 0 to 16.
    pub score: u8,
    /// The score cut into levels by the configured table.
    pub level: Level,
    /// Whether a level stands only because its datastream fell silent: unknown is not recovery.
    pub stale: bool,
    /// People exposed to it.
    pub population: u32,
}

impl Record for AssetRisk {
    const SPEC: Spec = Spec {
        id: 512,
        name: "out.risk.asset",
        shape: Shape::OutputTable,
        key: "asset",
        capability: None,
        example: "",
    };
}

impl OutputRecord for AssetRisk {
    const LIST: Option<Listed> = Some(Listed {
        name: "assets",
        about: "risk of assets",
        filters: &[Filter::Within, Filter::Domain, Filter::Category, Filter::Least],
        scope: None,
    });

    fn key(&self) -> Text {
        self.asset.text().clone()
    }

    fn facets(&self) -> Facets<'_> {
        Facets {
            region: Some(self.region),
            domain: Some(self.domain),
            category: Some(&self.category),
            level: Some(self.level),
            ..Facets::default()
        }
    }
}

/// A row of `out.risk.region`, keyed by `region/domain`: every region of `base.region` has one for each domain and one
/// for all together, and so has every region that an asset lies in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct RegionRisk {
    /// The region.
    pub region: RegionCode,
    /// Its name, where `base.region` has it.
    pub name: Text,
    /// The region that it lies in, by its code or by `base.region`; absent where it lies in none.
    pub parent: Option<RegionCode>,
    /// The domain, or all.
    pub domain: DomainScope,
    /// The highest risk level of any of its assets.
    pub level: Level,
    /// Assets by risk level.
    pub assets_by_level: LevelCounts,
    /// Assets by dynamic level.
    pub assets_by_dynamic_level: LevelCounts,
    /// Villages (codes of 12 digits) by the highest risk level of their assets; villages without assets are not counted.
    pub villages_by_level: LevelCounts,
    /// Open warnings by level; `none` is always 0.
    pub warnings_by_level: LevelCounts,
    /// The sum of its assets' scores.
    pub score: i64,
    /// The score now less that of an hour ago (at the last full minute; before the first epoch it was 0).
    pub trend: i64,
    /// People exposed to assets at orange or above.
    pub exposed_population: i64,
    /// The ten assets of highest score above 0, highest first, then by identifier.
    pub top_assets: Vec<TopAsset>,
}

impl Record for RegionRisk {
    const SPEC: Spec = Spec {
        id: 513,
        name: "out.risk.region",
        shape: Shape::OutputTable,
        key: "region/domain",
        capability: None,
        example: "",
    };
}

impl OutputRecord for RegionRisk {
    const LIST: Option<Listed> = Some(Listed {
        name: "regions",
        about: "risk of regions, of one domain (`all` where none is given); from province to village, then those of other codes",
        filters: &[Filter::Within, Filter::Tier, Filter::Domain, Filter::Least],
        scope: Some(DomainScope::All),
    });

    fn key(&self) -> Text {
        joined(&[&self.region.to_string(), &self.domain.to_string()]).into()
    }

    fn facets(&self) -> Facets<'_> {
        Facets {
            region: Some(self.region),
            scope: Some(self.domain),
            level: Some(self.level),
            ..Facets::default()
        }
    }
}

/// How many there are of each level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct LevelCounts {
    /// At level 0.
    pub none: i64,
    /// At level 1.
    pub blue: i64,
    /// At level 2.
    pub yellow: i64,
    /// At level 3.
    pub orange: i64,
    /// At level 4.
    pub red: i64,
}

impl LevelCounts {
    /// Counts in the order of [`Level::ALL`].
    #[must_use]
    pub const fn from_array(counts: [i64; 5]) -> Self {
        let [none, blue, yellow, orange, red] = counts;
        Self {
            none,
            blue,
            yellow,
            orange,
            red,
        }
    }

    /// Counts in the order of [`Level::ALL`].
    #[must_use]
    pub const fn to_array(self) -> [i64; 5] {
        [self.none, self.blue, self.yellow, self.orange, self.red]
    }

    /// The highest level of which there is any.
    #[must_use]
    pub fn highest(self) -> Level {
        Level::ALL
            .into_iter()
            .rev()
            .find(|level| self.to_array()[level.index()] > 0)
            .unwrap_or_default()
    }
}

/// One of a region's assets of highest score.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct TopAsset {
    /// The asset's identifier.
    pub asset: Id<Asset>,
    /// Its score, 1 to 16.
    pub score: u8,
}
