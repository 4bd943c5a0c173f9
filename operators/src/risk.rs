//! Capability: the risk of assets and regions, and its trend.

mod asset_risk;
mod score_baseline;
mod region_risk;

pub(crate) use asset_risk::asset_risk;
pub use region_risk::{region_risk, region_rollup};
pub use score_baseline::ScoreBaseline;
