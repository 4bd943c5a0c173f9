//! View: what is known of the work under permit at each asset, part by part.
//!
//! # Invariants
//!
//! * For each work permit one `Work`, also where the asset has no row. All else is there only where there is work.
//! * `Certificate` comes once for each work permit and holder that it certifies: all these must go for it to go.
//! * A changed permit touches its asset only, a changed certificate the assets where its holders do such work, a changed
//!   asset itself, a changed limit the assets with work that it selects.

use std::collections::BTreeSet;

use riskflow_config::Located;
use riskflow_model::base::Asset;
use riskflow_model::intake::{Limit, Permit, PermitKind};
use riskflow_model::{Id, Key, Shared, Text};
use serde::{Deserialize, Serialize};

use crate::engine::{Diff, Rows, SPREAD, spread};
use crate::warning::{ArrangedAssets, above_hash};

/// What the fold puts together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Part {
    /// The asset has a row.
    Asset {
        /// Its identifier.
        asset: Id<Asset>,
        /// The hash of its row and of the regions above it: tells a changed asset from a changed limit.
        base: u64,
    },
    /// A limit selects the asset.
    Limit(Shared<Limit>),
    /// Work is permitted at the asset.
    Work(Shared<Permit>),
    /// Someone who works there has a certificate for that kind of work.
    Certificate(Shared<Permit>),
}

/// Returns the parts of every asset with work.
pub fn parts<'scope>(
    permits: Rows<'scope, Shared<Permit>>,
    assets: ArrangedAssets<'scope>,
    limits: Rows<'scope, Shared<Limit>>,
) -> Rows<'scope, (Key, Part)> {
    let certificates = permits
        .clone()
        .filter(|permit| permit.kind == PermitKind::Certificate)
        .flat_map(|certificate| skills(&certificate).map(move |skill| (skill, certificate.clone())))
        .arrange_by_key_named("Permit: certificates by holder and work type");
    let works = permits
        .filter(|permit| permit.kind == PermitKind::Work)
        .flat_map(|permit| permit.asset.as_ref().map(Id::key).map(|asset| (asset, permit.clone())));
    let certified = works
        .clone()
        .flat_map(|(asset, permit)| skills(&permit).map(move |skill| (skill, asset)))
        .arrange_by_key_named("Permit: assets by holder and work type")
        .join_core(certificates, |_, asset, certificate| {
            Some((*asset, Part::Certificate(certificate.clone())))
        });
    let watched = works
        .clone()
        .map(|(asset, _)| asset)
        .distinct_core::<Diff>()
        .arrange_by_self_named("Permit: assets with work")
        .join_core(assets, |asset, (), row| Some((*asset, row.clone())));
    let rows = watched.clone().map(|(key, (row, located))| {
        let (asset, base) = (row.id.clone(), row.content().route() ^ above_hash(&located));
        (key, Part::Asset { asset, base })
    });
    works
        .map(|(asset, permit)| (asset, Part::Work(permit)))
        .concat(certified)
        .concat(rows)
        .concat(selected(watched, limits))
}

/// The holders of a permit with its kind of work, each once.
fn skills(permit: &Permit) -> impl Iterator<Item = Key> + use<> {
    let of = |holder: &Text| Key::of_parts(&[holder, &permit.work_type]);
    permit.holders.iter().map(of).collect::<BTreeSet<Key>>().into_iter()
}

/// The limits of each asset: those of its category, and those of every category.
fn selected<'scope>(
    watched: Rows<'scope, (Key, (Shared<Asset>, Located))>,
    limits: Rows<'scope, Shared<Limit>>,
) -> Rows<'scope, (Key, Part)> {
    let limits = limits
        .flat_map(|limit| {
            let mut categories: BTreeSet<Option<Key>> = limit.category.iter().map(|name| Some(Key::of(name))).collect();
            if categories.is_empty() {
                categories.insert(None);
            }
            let spread = categories
                .into_iter()
                .flat_map(|category| (0..SPREAD).map(move |spread| (category, spread)));
            spread.map(move |place| (place, limit.clone()))
        })
        .arrange_by_key_named("Permit: limits by category");
    watched
        .flat_map(|(key, asset)| {
            let categories = [Some(Key::of(&asset.0.category)), None];
            categories.map(|category| ((category, spread(key)), (key, asset.clone())))
        })
        .arrange_by_key_named("Permit: assets by category")
        .join_core(limits, |_, (key, (asset, located)), limit| {
            let domain = limit.domain.is_none_or(|domain| domain == asset.domain);
            let region = limit.region.is_none_or(|region| located.within(asset.region, region));
            (domain && region).then(|| (*key, Part::Limit(limit.clone())))
        })
}
