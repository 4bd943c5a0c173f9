//! What the rules over gauges come to for an asset.

use std::collections::BTreeMap;

use differential_dataflow::consolidation::consolidate;
use riskflow_config::{Located, Unmatched, meet_asset, no_gauge};
use riskflow_model::base::Asset;
use riskflow_model::gauge::Gauge;
use riskflow_model::{Id, Shared, Text};

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

/// The live rules over gauges that watch an asset; `None` if none does. Counts also those that are not live.
pub(super) fn on_asset((asset, located): (&Shared<Asset>, &Located), in_force: InForce<'_>) -> Option<WatchedAsset> {
    if !in_force.over_gauges {
        return None;
    }
    let met = meet_asset(in_force.rules.iter(), (asset, located), in_force.regional);
    let entries = met.rules.into_iter().filter_map(|watching| {
        let rule = &in_force.rules[watching.rule];
        in_force.selected[watching.rule].update(|number| number + 1);
        let gauge = |id: &Text| {
            let gauge = in_force.gauges.get(id);
            gauge.filter(|gauge| no_gauge(Some(gauge), in_force.permits).is_none())
        };
        rule.is_live().then(|| OverGauges {
            gauges: rule.gauges.iter().map(|id| gauge(id).cloned()).collect(),
            entry: Entry {
                rule: rule.clone(),
                thresholds: watching.thresholds,
                scaled: watching.scaled,
                givers: watching.givers,
            },
        })
    });
    let entries: Vec<OverGauges> = entries.collect();
    if entries.is_empty() {
        return None;
    }
    let on_asset = OnAsset {
        asset: asset.id.clone(),
        base: asset.content().route() ^ above_hash(located),
        entries,
    };
    Some((asset.id.key(), Box::new(on_asset)))
}

/// What is wrong with the thresholds of an asset for these rules.
pub(super) fn wrong_together<'a>(
    (asset, located): (&'a Shared<Asset>, &Located),
    in_force: InForce<'_>,
) -> impl Iterator<Item = Alone> + 'a {
    let met = in_force
        .over_gauges
        .then(|| meet_asset(in_force.rules.iter(), (asset, located), in_force.regional));
    let unmatched = met.into_iter().flat_map(|met| met.unmatched);
    unmatched.map(|what| Alone::GivenByAsset(asset.id.clone(), what))
}

/// Gauges that live rules name and cannot go by.
pub(super) fn lacking(in_force: InForce<'_>) -> Vec<Alone> {
    let live = in_force.rules.iter().filter(|rule| rule.is_live());
    let named = live.flat_map(|rule| rule.gauges.iter().map(move |gauge| (rule, gauge)));
    let lacking = named.filter_map(|(rule, gauge)| {
        let why = no_gauge(in_force.gauges.get(gauge).map(|gauge| &**gauge), in_force.permits)?;
        let gauge = gauge.clone();
        Some(Alone::OverGauges(
            Id::new(rule.record.id.clone()),
            Unmatched::NoGauge { gauge, why },
        ))
    });
    lacking.collect()
}
