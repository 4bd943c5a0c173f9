//! What stands at the key of one asset, and what comes of it by the rules in force: a specification for each datastream, and what meets
//! nothing.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use riskflow_config::{Located, Regional, Rule, given_by_asset, meet};
use riskflow_model::base::{Asset, Datastream, Reporting};
use riskflow_model::{Above, Key, RegionCode, Shared, binary};
use smallvec::SmallVec;

use super::forms::Forms;
use super::over_gauges::{Gauges, on_asset};
use super::{Entry, Specification, SpecifiedStream, Subject, WatchedAsset};
use crate::engine::Diff;
use crate::warning::unmatched::Alone;
use crate::warning::valid::Valid;

/// What stands at the key of one asset.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) key: Key,
    pub(super) asset: Option<(Shared<Asset>, Located)>,
    pub(super) datastreams: SmallVec<[Shared<Datastream>; 1]>,
}

/// What a datastream comes to.
pub(super) struct Given {
    pub(super) specified: SpecifiedStream,
    pub(super) alone: Vec<Alone>,
}

/// All that a place comes to.
#[derive(Default)]
pub(super) struct ComesTo {
    pub(super) given: SmallVec<[Given; 1]>,
    pub(super) watched: Vec<WatchedAsset>,
    pub(super) alone: Vec<Alone>,
}

/// What is in force for all places.
#[derive(Clone, Copy)]
pub(super) struct InForce<'a> {
    pub(super) rules: &'a [Rule],
    /// Where there are sets.
    pub(super) forms: Option<&'a RefCell<Forms>>,
    pub(super) regional: &'a Regional,
    /// How many datastreams each rule selects, or assets, by its position.
    pub(super) selected: &'a [Cell<Diff>],
    pub(super) gauges: &'a Gauges,
    /// Whether there are permits and maintenance windows.
    pub(super) permits: bool,
    /// Whether any rule is over gauges, and these are on.
    pub(super) over_gauges: bool,
}

impl Place {
    pub(super) fn comes_to(&self, in_force: InForce<'_>) -> ComesTo {
        let asset = self.asset.as_ref();
        let datastreams = self.datastreams.iter();
        let of_gauges = asset.map(|(asset, located)| on_asset((asset, located), in_force));
        let (watched, wrong) = of_gauges.unwrap_or_default();
        let mut alone = self.alone(in_force);
        alone.extend(wrong);
        ComesTo {
            given: datastreams.map(|row| given(row, asset, in_force)).collect(),
            watched,
            alone,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.asset.is_none() && self.datastreams.is_empty()
    }

    /// The asset, if it has no datastream, and what is wrong with its thresholds.
    fn alone(&self, in_force: InForce<'_>) -> Vec<Alone> {
        let Some((asset, located)) = &self.asset else {
            return Vec::new();
        };
        let datastreams = self.datastreams.iter().map(|row| &**row);
        let of_thresholds = given_by_asset(in_force.rules.iter(), (asset, located), datastreams).into_iter();
        let alone = self.datastreams.is_empty().then(|| Alone::Asset(asset.id.clone()));
        let of_thresholds = of_thresholds.map(|what| Alone::GivenByAsset(asset.id.clone(), what));
        alone.into_iter().chain(of_thresholds).collect()
    }

    /// Whether the asset lies in one of these regions.
    pub(super) fn is_within(&self, regions: &[RegionCode]) -> bool {
        let within = |(asset, located): &(Shared<Asset>, Located)| {
            regions.iter().any(|region| located.within(asset.region, *region))
        };
        self.asset.as_ref().is_some_and(within)
    }
}

fn given(datastream: &Shared<Datastream>, asset: Option<&(Shared<Asset>, Located)>, in_force: InForce<'_>) -> Given {
    let InForce {
        rules,
        forms,
        regional,
        selected,
        ..
    } = in_force;
    let on = asset.map(|(asset, located)| (&**asset, located));
    let met = meet(rules.iter(), datastream, on, regional);
    for watching in &met.rules {
        selected[watching.rule].update(|number| number + 1);
    }
    let on_event = datastream.reporting == Reporting::OnEvent;
    let entries = met.rules.into_iter().map(|watching| {
        let entry = Entry {
            rule: if on_event {
                rules[watching.rule].on_events()
            } else {
                rules[watching.rule].clone()
            },
            thresholds: watching.thresholds,
            scaled: watching.scaled,
            givers: watching.givers,
        };
        (watching.rule, entry)
    });
    let entries = match forms {
        Some(forms) => forms.borrow_mut().join(rules, entries),
        None => entries.map(|(_, entry)| entry).collect(),
    };
    let specification = Specification {
        subject: Subject {
            datastream: datastream.id.clone(),
            asset: asset.map(|(asset, _)| asset.id.clone()),
            interval: datastream.interval.clone(),
            unit: datastream.unit.clone(),
            // Only ever compared with what the same rows gave.
            base: asset.map_or(0, |(asset, located)| {
                datastream.content().route() ^ asset.content().route().rotate_left(1) ^ above_hash(located)
            }),
        },
        entries,
        valid: Valid::of(datastream),
        states: (!datastream.states.is_empty()).then(|| Arc::new(datastream.states.clone())),
    };
    let alone = met.unmatched.into_iter();
    Given {
        alone: alone
            .map(|what| Alone::Datastream(datastream.id.clone(), what))
            .collect(),
        specified: (datastream.id.key(), Box::new(specification)),
    }
}

/// The specification of one datastream by rows alone, for whoever asks about few: the one that
/// [`specifications`](super::specifications) gives. `rules` are all that there are, and `regional` the regions with thresholds.
#[must_use]
pub fn specification_of(
    datastream: &Shared<Datastream>,
    asset: Option<&(Shared<Asset>, Located)>,
    rules: &[Rule],
    regional: &Regional,
) -> Box<Specification> {
    let (selected, forms) = (vec![Cell::new(0); rules.len()], RefCell::default());
    let in_force = InForce {
        rules,
        forms: are_in_sets(rules).then_some(&forms),
        regional,
        selected: &selected,
        gauges: &Gauges::new(),
        permits: false,
        over_gauges: false,
    };
    given(datastream, asset, in_force).specified.1
}

/// Changes with what lies above an asset's region; 0 where its code says that.
pub(crate) fn above_hash(located: &Located) -> u64 {
    match located.above() {
        Some(above) if *above != Above::default() => binary::fingerprint(above).route().rotate_left(2),
        _ => 0,
    }
}

/// Whether there is any rule over gauges.
pub(super) fn are_over_gauges(rules: &[Rule]) -> bool {
    rules.iter().any(|rule| rule.is_of_gauges())
}

/// Whether there is more than the live set.
pub(super) fn are_in_sets(rules: &[Rule]) -> bool {
    rules.iter().any(|rule| rule.sets.is_some())
}
