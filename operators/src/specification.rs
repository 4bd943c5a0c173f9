//! View: what the monitor must evaluate for each known datastream, part by part.
//!
//! ```text
//!   datastreams ──┬───────────────────────────────────► Known ────┐
//!                 └─(asset)─► ⋈ assets ──┬────────────► Watched ──┼─► parts by datastream
//!                                        └─(property)─► ⋈ rules ──┘   (Entry)
//! ```
//!
//! The monitor puts the parts together ([`Specification::change`]): it holds them anyway, and a reduction here would
//! hold all of them twice more.
//!
//! # Invariants
//!
//! * For each row of `base.datastream` one `Known`; one `Watched`, and an `Entry` for each rule that selects it, only
//!   where the asset has a row.
//! * A changed asset or datastream touches its own specifications; a changed rule only those of its observed property.

use riskflow_config::{Rule, Thresholds};
use riskflow_model::base::{Asset, Datastream};
use riskflow_model::{Key, Shared, Text};
use serde::{Deserialize, Serialize};

use crate::{Diff, Indexed, Rows, SPREAD, spread};

/// What must be evaluated for one datastream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Specification {
    /// The datastream's identifier; empty while it has no row.
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

/// What a specification is put together from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Part {
    /// The datastream has a row.
    Known {
        /// Its identifier.
        datastream: Text,
    },
    /// Its asset has a row, too.
    Watched {
        /// The asset's identifier.
        asset: Text,
        /// The hash of both rows.
        base: u64,
    },
    /// A rule selects it.
    Entry(Entry),
}

impl Specification {
    /// Takes a part in that came (1) or went (-1); of a part that was replaced the old one must go first.
    pub fn change(&mut self, part: Part, diff: Diff) {
        let came = diff > 0;
        match part {
            Part::Known { datastream } => self.datastream = if came { datastream } else { Text::default() },
            Part::Watched { asset, base } => {
                self.asset = came.then_some(asset);
                self.base = if came { base } else { 0 };
            }
            Part::Entry(entry) if came => {
                let position = self.entries.partition_point(|before| *before < entry);
                self.entries.insert(position, entry);
            }
            Part::Entry(entry) => self.entries.retain(|before| *before != entry),
        }
    }
}

/// A datastream with its asset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Watched {
    datastream: Shared<Datastream>,
    asset: Shared<Asset>,
}

/// Returns the parts of the specification of every known datastream.
pub fn specification<'scope>(
    datastreams: Rows<'scope, (Key, Shared<Datastream>)>,
    assets: Indexed<'scope, Key, Shared<Asset>>,
    rules: Rows<'scope, Rule>,
) -> Rows<'scope, (Key, Part)> {
    let known = datastreams.clone().map(|(key, row)| {
        (
            key,
            Part::Known {
                datastream: row.id.clone(),
            },
        )
    });
    let by_asset = datastreams
        .map(|(key, row)| (Key::of(&row.asset), (key, row)))
        .arrange_by_key_named("Specification: datastreams by asset");
    let watched = by_asset.join_core(assets, |_, (key, datastream), asset| {
        let (datastream, asset) = (datastream.clone(), asset.clone());
        Some((*key, Watched { datastream, asset }))
    });
    let bases = watched.clone().map(|(key, watched)| {
        // Only ever compared with what the same rows gave.
        let base = watched.datastream.content().route() ^ watched.asset.content().route().rotate_left(1);
        let asset = watched.asset.id.clone();
        (key, Part::Watched { asset, base })
    });
    let entries = entries(watched, rules);
    known.concat(bases).concat(entries)
}

fn entries<'scope>(watched: Rows<'scope, (Key, Watched)>, rules: Rows<'scope, Rule>) -> Rows<'scope, (Key, Part)> {
    let property_of = |watched: &Watched| Key::of(&watched.datastream.observed_property);
    let properties = watched
        .clone()
        .map(move |(_, watched)| property_of(&watched))
        .distinct_core::<Diff>()
        .map(|property| ((), property))
        .arrange_by_key_named("Specification: properties");
    // A rule without a property meets every property that there is.
    let anywhere = rules
        .clone()
        .filter(|rule| rule.record.select.observed_property.is_none())
        .map(|rule| ((), rule))
        .arrange_by_key_named("Specification: rules without property")
        .join_core(properties, |(), rule, property| Some((*property, rule.clone())));
    let rules = rules
        .flat_map(|rule| {
            let property = rule.record.select.observed_property.as_deref().map(Key::of);
            property.map(|property| (property, rule))
        })
        .concat(anywhere)
        .flat_map(|(property, rule)| (0..SPREAD).map(move |spread| ((property, spread), rule.clone())))
        .arrange_by_key_named("Specification: rules by property");
    let by_property = watched
        .map(move |(key, watched)| ((property_of(&watched), spread(key)), (key, watched)))
        .arrange_by_key_named("Specification: datastreams by property");
    by_property.join_core(rules, |_, (key, watched), rule| {
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
            (*key, Part::Entry(Entry { rule, thresholds }))
        })
    })
}
