//! How much a sum, a mean or a count may have moved.

use ethnum::I256;
use riskflow_config::{FeatureKind, Limit, Operator};

use super::series::Point;
use super::value::parts;

/// What edits may have added at most to a feature that adds up, and taken from it, where it is compared with a threshold.
pub struct Tally {
    pub(super) operator: Operator,
    /// The threshold in billionths, above and below the line. What follows is times what stands below it.
    pub(super) limit: (I256, I256),
    /// Not positive.
    pub(super) fell: I256,
    /// Not negative.
    pub(super) rose: I256,
}

impl Tally {
    /// That of points as they were and as they are.
    pub(super) fn of(
        kind: FeatureKind,
        operator: Operator,
        limit: Limit<'_>,
        edits: impl Iterator<Item = (Option<Point>, Option<Point>)>,
    ) -> Self {
        let (above, below) = parts(limit);
        let part = |point: Option<Point>| {
            point.map_or(I256::ZERO, |point| match kind {
                FeatureKind::Count => I256::from(1_000_000_000) * below,
                FeatureKind::Mean => I256::from(point.billionths()) * below - above,
                _ => I256::from(point.billionths()) * below,
            })
        };
        let changes = edits.map(|(before, after)| part(after) - part(before));
        let (fell, rose) = changes.fold((I256::ZERO, I256::ZERO), |(fell, rose), change| {
            (fell + change.min(I256::ZERO), rose + change.max(I256::ZERO))
        });
        Self {
            operator,
            limit: (above, below),
            fell,
            rose,
        }
    }
}
