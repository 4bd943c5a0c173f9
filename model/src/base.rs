//! Base records: slowly changing rows of compacted topics. For each key the last record counts; a null payload deletes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Domain, InherentLevel, RegionCode, Text, TextMap};

/// A record of `base.region`, keyed by `code`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Region {
    /// The statistical code, or another one.
    pub code: RegionCode,
    /// The name people use.
    pub name: Text,
    /// The region that it lies in. A statistical code says that itself; of another one it is absent where it lies in none.
    #[serde(default)]
    pub parent: Option<RegionCode>,
}

/// A record of `base.asset`, keyed by `id`: something at risk, or that puts others at risk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Asset {
    /// The identifier.
    pub id: Text,
    /// The name people use.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub name: Text,
    /// The kind of asset, such as `reservoir` or `gas_station`; rules select by it.
    pub category: Text,
    /// The monitored field that it belongs to.
    pub domain: Domain,
    /// Where it stands; usually a village.
    pub region: RegionCode,
    /// From the risk census.
    pub inherent_level: InherentLevel,
    /// People exposed to it.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    #[schemars(range(min = 0, max = 100_000_000))]
    pub population: u32,
    /// Longitude and latitude in degrees, WGS 84 or CGCS2000.
    #[serde(default, deserialize_with = "crate::field::object_or_none")]
    pub position: Option<Position>,
    /// Free words that rules may select by.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub tags: Vec<Text>,
}

/// A place on the earth in WGS 84 or CGCS2000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    /// Degrees east, -180 to 180.
    pub longitude: crate::Number,
    /// Degrees north, -90 to 90.
    pub latitude: crate::Number,
}

/// A record of `base.datastream`, keyed by `id`: one observed property of one asset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Datastream {
    /// The identifier.
    pub id: Text,
    /// The asset's identifier, as in `base.asset`.
    pub asset: Text,
    /// What is measured, such as `rainfall` or `river_stage`; rules select by it.
    pub observed_property: Text,
    /// The unit of results, as UCUM writes it (`mm`, `m/s`, `Cel`, `[in_i]`). Results under a rule that states another unit are
    /// converted, exactly; where they cannot be, they are taken as they are, with the rule's own thresholds, and `out.unmatched` says so. Without a unit
    /// here or in the rule the two are taken to be the same.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub unit: Text,
    /// Free words that rules may select by.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub tags: Vec<Text>,
    /// Thresholds of its own, by rule and then by level (`blue`) or named comparison of a level (`blue.h3`); they
    /// take the place of the rule's. In the datastream's unit, exact to thousandths, -1e12 to 1e12. Where one is wrong together with
    /// its rule (see `riskflow check --rules`), the rule's own values hold.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub thresholds: TextMap<TextMap<crate::Number>>,
    /// Which results it can measure at all, both borders included. One outside is kept, and counts as of bad quality. Exact to
    /// thousandths.
    #[serde(default, deserialize_with = "crate::field::boxed_or_none")]
    pub valid: Option<Box<ValidRange>>,
    /// Numbers that stand for "no value", such as -9999: such a result is kept, and counts as of bad quality. At most 20, exact to
    /// thousandths.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub no_value: Box<[crate::Number]>,
    /// How often it reports, such as `5m`; `1s` to `366d`. Explanations of its warnings name it.
    #[serde(default)]
    pub interval: Option<Text>,
}

/// The results that a sensor can measure; where a border is missing, there is none on that side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ValidRange {
    /// The least.
    #[serde(default)]
    pub min: Option<crate::Number>,
    /// The greatest.
    #[serde(default)]
    pub max: Option<crate::Number>,
}
