//! View: what the monitor must evaluate for each known datastream.
//!
//! ```text
//!   datastreams ──┬───────────────────────────────────► known ────┐
//!                 └─(asset)─► ⋈ assets ──┬────────────► watched ──┼─► (datastream) ─► Specification
//!                                        └─(property)─► ⋈ rules ──┘
//! ```
//!
//! # Invariants
//!
//! * Exactly one specification for each row of `base.datastream`; entries only where the asset has a row, in the order
//!   of rule identifiers.
//! * A changed asset or datastream touches its own specifications; a changed rule only those of its observed property.

use std::sync::Arc;

use differential_dataflow::Hashable;
use riskflow_config::{Rule, Thresholds};
use riskflow_model::base::{Asset, Datastream};
use riskflow_model::{Key, Text};
use serde::{Deserialize, Serialize};

use crate::Rows;

/// What must be evaluated for one datastream.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Specification {
    /// The datastream's identifier.
    pub datastream: Text,
    /// The asset's identifier; `None` while the asset has no row.
    pub asset: Option<Text>,
    /// Changes with the rows of datastream and asset; tells a changed base from a changed rule.
    pub base: u64,
    /// One for each rule that selects the datastream.
    pub entries: Vec<Entry>,
}

/// One rule that watches a datastream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// The rule.
    pub rule: Rule,
    /// The thresholds in force.
    pub thresholds: Thresholds,
}

/// A datastream with its asset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Watched {
    datastream: Arc<Datastream>,
    asset: Arc<Asset>,
}

/// What a specification is put together from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Part {
    Known { datastream: Text },
    Watched { asset: Text, base: u64 },
    Entry(Entry),
}

/// Rules meet datastreams by observed property; each property is spread over this many keys, so that one property that
/// most datastreams share does not end on one worker.
const SPREAD: u64 = 16;

/// Rules without a property meet every datastream under this name, which no property has.
const ANY_PROPERTY: &str = "";

/// Returns the specification of every known datastream.
pub fn specification<'scope>(
    datastreams: Rows<'scope, (Key, Arc<Datastream>)>,
    assets: Rows<'scope, (Key, Arc<Asset>)>,
    rules: Rows<'scope, Rule>,
) -> Rows<'scope, (Key, Arc<Specification>)> {
    let known = datastreams.clone().map(|(key, row)| {
        (
            key,
            Part::Known {
                datastream: row.id.clone(),
            },
        )
    });
    let by_asset = datastreams
        .map(|(_, row)| (Key::of(&row.asset), row))
        .arrange_by_key_named("Specification: datastreams by asset");
    let assets = assets.arrange_by_key_named("Specification: assets");
    let watched = by_asset.join_core(assets, |_, datastream, asset| {
        Some(Watched {
            datastream: Arc::clone(datastream),
            asset: Arc::clone(asset),
        })
    });
    let bases = watched.clone().map(|watched| {
        let base = base_of(&watched);
        let asset = watched.asset.id.clone();
        (Key::of(&watched.datastream.id), Part::Watched { asset, base })
    });
    let entries = entries(watched, rules);
    known
        .concat(bases)
        .concat(entries)
        .reduce_named("Specification: parts by datastream", |_, parts, output| {
            output.push((Arc::new(assemble(parts.iter().map(|(part, _)| *part))), 1));
        })
        // Without its row a datastream is not known, whatever else there is.
        .filter(|(_, specification): &(Key, Arc<Specification>)| !specification.datastream.is_empty())
}

fn entries<'scope>(watched: Rows<'scope, Watched>, rules: Rows<'scope, Rule>) -> Rows<'scope, (Key, Part)> {
    let by_property = watched
        .flat_map(|watched| {
            let spread = Key::of(&watched.datastream.id).route() % SPREAD;
            let property = watched.datastream.observed_property.clone();
            [
                ((property, spread), watched.clone()),
                ((ANY_PROPERTY.into(), spread), watched),
            ]
        })
        .arrange_by_key_named("Specification: datastreams by property");
    let rules = rules
        .flat_map(|rule| {
            let property = rule.record.select.observed_property.clone();
            let property = property.unwrap_or_else(|| ANY_PROPERTY.into());
            (0..SPREAD).map(move |spread| ((property.clone(), spread), rule.clone()))
        })
        .arrange_by_key_named("Specification: rules by property");
    by_property.join_core(rules, |_, watched, rule| {
        let (datastream, asset) = (&watched.datastream, &watched.asset);
        let tags = [datastream.tags.as_slice(), asset.tags.as_slice()];
        let selected = rule.selects(
            &datastream.observed_property,
            &asset.category,
            asset.domain,
            asset.region,
            &tags,
        );
        selected.then(|| {
            let thresholds = rule.thresholds(datastream.thresholds.get(&rule.record.id));
            let rule = rule.clone();
            (Key::of(&datastream.id), Part::Entry(Entry { rule, thresholds }))
        })
    })
}

fn assemble<'a>(parts: impl Iterator<Item = &'a Part>) -> Specification {
    let mut specification = Specification::default();
    for part in parts {
        match part {
            Part::Known { datastream } => specification.datastream = datastream.clone(),
            Part::Watched { asset, base } => {
                specification.asset = Some(asset.clone());
                specification.base = *base;
            }
            Part::Entry(entry) => specification.entries.push(entry.clone()),
        }
    }
    specification
}

fn base_of(watched: &Watched) -> u64 {
    // Only ever compared with what the same build computed.
    watched.hashed()
}
