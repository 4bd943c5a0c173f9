//! View: what the monitor must evaluate for each known datastream, and the rules over gauges for each asset.
//!
//! ```text
//!   datastreams ─(asset)─┐
//!   assets ──────(key)───┼──► [ Matched on each worker ] ─┬─► one row for each datastream
//!   rules, sets ─(all)───┤                                └─► one row for each asset that a rule over gauges watches
//!   gauges ──────(all)───┤                                    and each subject of its gauges
//!   regions ─────(all)───┘   those with thresholds
//! ```
//!
//! Each datastream is sent to the worker of its asset; all rules, rule sets and gauges, and the regions that have thresholds, are sent to
//! every worker. The row is a function of these inputs, so
//! what was given out need not be kept: on a change the old row is computed again. Three joins of differential gave the same
//! rows, but held each datastream in three arrangements, and loading base data spent most of its time there.
//!
//! # Invariants
//!
//! * One row for each row of `base.datastream`; without entries where the asset has no row.
//! * A changed asset or datastream touches its own rows; a changed rule only those of its observed property; changed thresholds of a
//!   region only those of assets within it.
//! * Only rows that an epoch changes are given out.
//! * Where sets have a rule in several forms, those that come to the same for a datastream are one entry ([`forms`]).

mod forms;
mod matched;
mod over_gauges;
mod place;

use std::collections::btree_map::{self, BTreeMap};
use std::sync::Arc;

use differential_dataflow::AsCollection;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::ValSpine;
use riskflow_config::{Givers, Limit, Located, Rule, Scaled, Thresholds};
use riskflow_model::base::{Asset, Datastream, Region};
use riskflow_model::gauge::Gauge;
use riskflow_model::rule::RuleRecord;
use riskflow_model::ruleset::RuleSet;
use riskflow_model::{Duration, Id, Key, Number, Shared, Text, TextMap};
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Capability, InputCapability};
use timely::progress::frontier::MutableAntichain;

use crate::engine::{Diff, Rows, Turn, clear};
use crate::warning::unmatched::Alone;
use crate::warning::valid::Validity;
use matched::{Changes, Matched, Updates};
pub use over_gauges::region_key;
pub(crate) use place::above_hash;
pub use place::specification_of;

/// What must be evaluated for one datastream.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Specification {
    /// The datastream and its asset.
    pub subject: Subject,
    /// One for each rule that selects the datastream, in the order of rules; of a rule that sets have in several forms one for each.
    pub entries: Vec<Entry>,
    /// Which results are values.
    pub valid: Validity,
    /// Which numbers stand for states.
    pub states: States,
}

/// The numbers that stand for the states of a datastream; `None` where its row names none.
pub type States = Option<Arc<TextMap<Number>>>;

/// Which rows a specification comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// The datastream's identifier.
    pub datastream: Id<Datastream>,
    /// The asset's identifier; `None` while the asset has no row.
    pub asset: Option<Id<Asset>>,
    /// How often it should report; `None` where its row does not say.
    pub interval: Option<Text>,
    /// The unit of results, where the datastream states one.
    pub unit: Text,
    /// Changes with the rows of datastream and asset; tells a changed base from a changed rule.
    pub base: u64,
}

/// One rule that watches a datastream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// The rule.
    pub rule: Rule,
    /// The thresholds in force.
    pub thresholds: Thresholds,
    /// The same where results are in another unit.
    pub scaled: Option<Arc<Scaled>>,
    /// Whose the thresholds are: for explanations, and no part of what decides.
    pub givers: Givers,
}

impl Entry {
    /// Whether both are of one rule, and the same decides when its levels are on, as long as the same results are values.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let (one, two) = (&self.rule, &other.rule);
        one.record.id == two.record.id
            && one.condition == two.condition
            && self.thresholds == other.thresholds
            && self.scaled == other.scaled
    }

    /// What a comparison of the rule compares with, for turning on and off; `None` where it takes no part.
    pub fn limits(&self, comparison: usize) -> Option<[Limit<'_>; 2]> {
        let scaled = self
            .scaled
            .as_ref()
            .and_then(|scaled| scaled.limits[comparison].as_ref());
        if let Some([on, off]) = scaled {
            return Some([Limit::Fraction(on), Limit::Fraction(off)]);
        }
        let bound = self.thresholds.get(comparison).copied().flatten()?;
        Some([Limit::Plain(bound.on), Limit::Plain(bound.off)])
    }
}

/// What the rules over gauges of one subject come to for an asset that some of them watch: the gauges of the asset, or of a region in which
/// it lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OnAsset {
    /// The asset's identifier.
    pub asset: Id<Asset>,
    /// Changes with the asset's row and what lies above its region; tells a changed base from a changed rule.
    pub base: u64,
    /// The rules that watch it, in their order.
    pub entries: Vec<OverGauges>,
}

/// One rule that watches an asset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OverGauges {
    /// The rule, with the thresholds in force.
    pub entry: Entry,
    /// Its gauges, in its order; `None` for one that it cannot go by.
    pub gauges: Vec<Option<Shared<Gauge>>>,
}

impl OverGauges {
    /// Whether both are of one rule, and the same decides when its levels are on.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.entry.is_same(&other.entry) && self.gauges == other.gauges
    }
}

/// The same on its way, keyed by the subject.
pub type WatchedAsset = (Key, Box<OnAsset>);

/// A specification on its way to the monitor, keyed by the datastream; boxed: rows are sorted.
pub type SpecifiedStream = (Key, Box<Specification>);

/// A datastream with the key of its asset, and its own.
pub type AtAsset = (Key, (Key, Shared<Datastream>));

/// Finds the place of a datastream's row.
#[must_use]
pub fn at_asset(key: Key, row: Shared<Datastream>) -> AtAsset {
    (row.asset.key(), (key, row))
}

/// The plan of a rule's row.
///
/// # Panics
///
/// When it is none: rows of rules are checked before they come here.
#[must_use]
pub fn rule(row: &RuleRecord) -> Rule {
    Rule::check(row.clone()).unwrap_or_else(|problems| panic!("a row of `in.rule` is no rule: {problems}"))
}

/// An asset's row by its key, and where it lies.
pub type LocatedAsset = ((Key, Shared<Asset>), Located);

/// Assets by their keys, and where they lie: for views that look them up, one arrangement for all of these.
pub type ArrangedAssets<'scope> = Arranged<'scope, TraceAgent<ValSpine<Key, (Shared<Asset>, Located), Turn, Diff>>>;

/// Arranges assets.
pub fn arranged<'scope>(assets: Rows<'scope, LocatedAsset>) -> ArrangedAssets<'scope> {
    assets
        .map(|((key, asset), located)| (key, (asset, located)))
        .arrange_by_key_named("Assets")
}

/// What waits for its epoch to be complete.
type Pending = BTreeMap<Turn, ([Capability<Turn>; 3], Changes)>;

/// Puts updates where they wait until their epoch is complete.
fn gather<T>(
    pending: &mut Pending,
    capability: &InputCapability<Turn>,
    updates: &mut Vec<(T, Turn, Diff)>,
    place: fn(&mut Changes) -> &mut Vec<(T, Diff)>,
) {
    for (row, epoch, diff) in updates.drain(..) {
        let (_, changes) = match pending.entry(epoch) {
            btree_map::Entry::Occupied(entry) => entry.into_mut(),
            btree_map::Entry::Vacant(entry) => {
                let outputs = [0, 1, 2].map(|output| Some(capability.retain_least(output)?.delayed(&epoch)));
                let [Some(datastreams), Some(assets), Some(alone)] = outputs else {
                    continue;
                };
                entry.insert(([datastreams, assets, alone], Changes::default()))
            }
        };
        place(changes).push((row, diff));
    }
}

/// Rules as written, the sets that they are in, and how far back a candidate may look in any case.
pub struct Written<'scope> {
    /// Rows of `in.rule`.
    pub rules: Rows<'scope, Rule>,
    /// Rows of `in.ruleset`.
    pub sets: Rows<'scope, Shared<RuleSet>>,
    /// Rows of `in.gauge`; none where gauges are off.
    pub gauges: Rows<'scope, Shared<Gauge>>,
    /// `time.retain`.
    pub retain: Duration,
    /// Whether there are permits and maintenance windows.
    pub permits: bool,
}

/// What comes of base data and rules.
pub struct Specified<'scope> {
    /// The specification of every known datastream.
    pub datastreams: Rows<'scope, SpecifiedStream>,
    /// The assets that rules over gauges watch.
    pub assets: Rows<'scope, WatchedAsset>,
    /// All that meets nothing.
    pub alone: Rows<'scope, Alone>,
}

/// Returns what comes of base data and rules. Of regions those without thresholds need not come.
pub fn specifications<'scope>(
    datastreams: Rows<'scope, AtAsset>,
    assets: Rows<'scope, LocatedAsset>,
    written: Written<'scope>,
    regions: Rows<'scope, Shared<Region>>,
) -> Specified<'scope> {
    let scope = assets.inner.scope();
    let tells_alone = scope.worker().index() == 0;
    let mut builder = OperatorBuilder::new("Specifications".to_owned(), scope);
    let by_asset = Exchange::new(|((asset, _), _, _): &(AtAsset, Turn, Diff)| asset.route());
    let by_key = Exchange::new(|(((key, _), _), _, _): &(LocatedAsset, Turn, Diff)| key.route());
    let mut datastreams = builder.new_input(datastreams.inner, by_asset);
    let mut assets = builder.new_input(assets.inner, by_key);
    let mut rules = builder.new_input(written.rules.inner.broadcast(), Pipeline);
    let mut sets = builder.new_input(written.sets.inner.broadcast(), Pipeline);
    let mut gauges = builder.new_input(written.gauges.inner.broadcast(), Pipeline);
    let regions = regions.filter(|region| !region.thresholds.is_empty());
    let mut regions = builder.new_input(regions.inner.broadcast(), Pipeline);
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<(SpecifiedStream, Turn, Diff)>>>::from(output);
    let (watched, watched_stream) = builder.new_output();
    let mut watched = OutputBuilder::<_, CapacityContainerBuilder<Vec<(WatchedAsset, Turn, Diff)>>>::from(watched);
    let (alone, alone_stream) = builder.new_output();
    let mut alone = OutputBuilder::<_, CapacityContainerBuilder<Vec<(Alone, Turn, Diff)>>>::from(alone);
    let mut matched = Matched::new((written.retain, written.permits), tells_alone);
    let mut pending = Pending::new();
    let mut out = Updates::default();
    builder.build(move |_capabilities| {
        move |frontiers: &[MutableAntichain<Turn>]| {
            datastreams.for_each(|capability, updates| {
                gather(&mut pending, &capability, updates, |changes| &mut changes.datastreams);
            });
            assets.for_each(|capability, updates| {
                gather(&mut pending, &capability, updates, |changes| &mut changes.assets);
            });
            rules.for_each(|capability, updates| {
                gather(&mut pending, &capability, updates, |changes| &mut changes.rules);
            });
            sets.for_each(|capability, updates| {
                gather(&mut pending, &capability, updates, |changes| &mut changes.sets);
            });
            gauges.for_each(|capability, updates| {
                gather(&mut pending, &capability, updates, |changes| &mut changes.gauges);
            });
            regions.for_each(|capability, updates| {
                gather(&mut pending, &capability, updates, |changes| &mut changes.regions);
            });
            let (mut output, mut watched, mut alone) = (output.activate(), watched.activate(), alone.activate());
            while let Some(entry) = pending.first_entry() {
                if frontiers.iter().any(|frontier| frontier.less_equal(entry.key())) {
                    break;
                }
                let (epoch, ([to_output, to_watched, to_alone], changes)) = entry.remove_entry();
                matched.apply(changes, &mut out);
                let updates = out.specified.drain(..).map(|(row, diff)| (row, epoch, diff));
                output.session(&to_output).give_iterator(updates);
                let updates = out.watched.drain(..).map(|(row, diff)| (row, epoch, diff));
                watched.session(&to_watched).give_iterator(updates);
                let updates = out.alone.drain(..).map(|(row, diff)| (row, epoch, diff));
                alone.session(&to_alone).give_iterator(updates);
                clear(&mut out.specified);
                clear(&mut out.watched);
                clear(&mut out.alone);
            }
        }
    });
    Specified {
        datastreams: stream.as_collection(),
        assets: watched_stream.as_collection(),
        alone: alone_stream.as_collection(),
    }
}
