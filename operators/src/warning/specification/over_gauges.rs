//! What the rules over gauges come to for an asset.

use std::collections::BTreeMap;

use differential_dataflow::consolidation::consolidate;
use riskflow_config::{Located, Unmatched, gauges_of, meet_asset};
use riskflow_model::base::Asset;
use riskflow_model::gauge::Gauge;
use riskflow_model::{Id, Key, RegionCode, Shared, Text};

use super::place::{InForce, above_hash};
use super::{Entry, OnAsset, OverGauges, WatchedAsset};
use crate::engine::Diff;
use crate::warning::unmatched::Alone;

/// The gauges by their identifiers, on every worker the same.
pub(super) type Gauges = BTreeMap<Text, Shared<Gauge>>;

/// The gauges after a change.
pub(super) fn gauges_after(gauges: &Gauges, mut changes: Vec<(Shared<Gauge>, Diff)>) -> Gauges {
    let mut gauges = gauges.clone();
    consolidate(&mut changes);
    // What goes leaves before what comes.
    changes.sort_by_key(|(_, diff)| *diff);
    for (gauge, diff) in changes {
        if diff > 0 {
            gauges.insert(gauge.id.text().clone(), gauge);
        } else {
            gauges.remove(gauge.id.text());
        }
    }
    gauges
}

/// The live rules over gauges that watch an asset, by the subject of their gauges, and what is wrong with its thresholds for them. Counts
/// also those that are not live.
pub(super) fn on_asset(
    (asset, located): (&Shared<Asset>, &Located),
    in_force: InForce<'_>,
) -> (Vec<WatchedAsset>, Vec<Alone>) {
    if !in_force.over_gauges {
        return Default::default();
    }
    let met = meet_asset(in_force.rules.iter(), (asset, located), in_force.regional);
    let mut by_subject: BTreeMap<Key, Vec<OverGauges>> = BTreeMap::new();
    for watching in met.rules {
        let rule = &in_force.rules[watching.rule];
        in_force.selected[watching.rule].update(|number| number + 1);
        if !rule.is_live() {
            continue;
        }
        let gauges = gauges_of(rule, |id| in_force.gauges.get(id), in_force.permits);
        let mut gauges: Vec<Option<Shared<Gauge>>> = gauges.into_iter().map(|gauge| gauge.ok().cloned()).collect();
        let tier = gauges.iter().flatten().find_map(|gauge| gauge.by.tier());
        let region = tier.map(|tier| {
            let chain = located.chain(asset.region);
            chain.into_iter().find(|region| region.tier() == Some(tier))
        });
        let subject = match region {
            None => asset.id.key(),
            Some(Some(region)) => region_key(region),
            // It lies in no region of that tier: of none of these gauges is anything known.
            Some(None) => {
                gauges.fill(None);
                asset.id.key()
            }
        };
        by_subject.entry(subject).or_default().push(OverGauges {
            gauges,
            entry: Entry {
                rule: rule.clone(),
                thresholds: watching.thresholds,
                scaled: watching.scaled,
                givers: watching.givers,
            },
        });
    }
    let base = asset.content().route() ^ above_hash(located);
    let by_subject = by_subject.into_iter().map(|(subject, entries)| {
        let asset = asset.id.clone();
        (subject, Box::new(OnAsset { asset, base, entries }))
    });
    let wrong = met.unmatched.into_iter();
    let wrong = wrong.map(|what| Alone::GivenByAsset(asset.id.clone(), what));
    (by_subject.collect(), wrong.collect())
}

/// Where what is measured of a region is found.
#[must_use]
pub fn region_key(region: RegionCode) -> Key {
    Key::of_parts(&["region", &region.to_string()])
}

/// Gauges that live rules name and cannot go by.
pub(super) fn lacking(in_force: InForce<'_>) -> Vec<Alone> {
    let live = in_force.rules.iter().filter(|rule| rule.is_live());
    let lacking = live.flat_map(|rule| {
        let gauges = gauges_of(rule, |id| in_force.gauges.get(id), in_force.permits);
        rule.gauges.iter().zip(gauges).filter_map(|(gauge, found)| {
            let (gauge, why) = (gauge.clone(), found.err()?);
            Some(Alone::OverGauges(
                Id::new(rule.record.id.clone()),
                Unmatched::NoGauge { gauge, why },
            ))
        })
    });
    lacking.collect()
}
