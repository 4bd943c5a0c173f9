//! View: the risk of every region, for every domain and for all together, rolled up from village to city.
//!
//! ```text
//!   assets, warnings ──► tally (village) ──► tally (town) ──► tally (county) ──► tally (city) ──┐
//!   assets above 0 ────► top ten (village) ► top ten (town) ► …                                 ├─► region rows
//!   names of regions ───────────────────────────────────────────────────────────────────────────┤
//!   score an hour ago ──────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! All counts and sums ride in the difference of one update ([`Tally`]): a change of one asset is one small update a
//! tier, and nothing is recomputed from its members.

use std::hash::BuildHasherDefault;
use std::sync::Arc;

use differential_dataflow::difference::{IsZero, Multiply, Semigroup};
use differential_dataflow::operators::CountTotal;
use differential_dataflow::{AsCollection, VecCollection};
use hashbrown::HashMap;
use riskflow_model::base::Region;
use riskflow_model::output::{AssetRisk, LevelCounts, RegionRisk, TopAsset, WarningState};
use riskflow_model::{Domain, DomainScope, Level, RegionCode, Shared, Text, Tier};
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use crate::fold::RouteHasher;
use crate::score_baseline::RegionScope;
use crate::{Diff, Epoch, Rows};

mod tally;
mod top_assets;

pub use tally::Tally;

/// What a region's row is put together from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Part {
    Populated,
    Named(Text),
    Tally(Box<Tally>),
    Baseline(i64),
    Top(Vec<TopAsset>),
}

/// The counts and sums of every region and domain that holds anything.
pub fn region_tally<'scope>(
    risks: Rows<'scope, Arc<AssetRisk>>,
    warnings: Rows<'scope, Arc<WarningState>>,
) -> Rows<'scope, (RegionScope, Tally)> {
    let risks = summed(risks, |risk| (risk.region, risk.domain, Tally::of_asset(risk)));
    let warnings = summed(warnings, |warning| {
        (warning.region, warning.domain, Tally::of_warning(warning.level))
    });
    let leaves = risks.concat(warnings);
    let (villages, below) = tier(&leaves, Tier::Village, None);
    // A village counts in its town by its level, and shows itself the same way.
    let levels = villages
        .clone()
        .explode(|((region, domain), tally): (RegionScope, Tally)| {
            Some(((region.parent().unwrap_or(region), domain), Tally::of_village(&tally)))
        });
    let villages = villages.map(|(scope, tally)| (scope, tally.plus(&Tally::of_village(&tally))));
    let (towns, below) = tier(&leaves, Tier::Town, Some(below.concat(levels)));
    let (counties, below) = tier(&leaves, Tier::County, Some(below));
    let (cities, _) = tier(&leaves, Tier::City, Some(below));
    villages.concat(towns).concat(counties).concat(cities)
}

/// Tallies as differences of their region and domain.
type Differences<'scope> = VecCollection<'scope, Epoch, RegionScope, Tally>;

/// The tallies of rows, summed as far as they are at hand: when all of a city comes at once there are far fewer regions than
/// rows, and what is arranged is large.
fn summed<'scope, D: 'static>(
    rows: Rows<'scope, Arc<D>>,
    tally: impl Fn(&D) -> (RegionCode, Domain, Tally) + 'static,
) -> Differences<'scope> {
    let mut sums: HashMap<(RegionScope, Epoch), Tally, BuildHasherDefault<RouteHasher>> = HashMap::default();
    let sums =
        rows.inner
            .unary::<CapacityContainerBuilder<Vec<_>>, _, _, _>(Pipeline, "RegionTally: sums", move |_, _| {
                move |input, output| {
                    input.for_each_stamp(|capability, batches| {
                        for (row, epoch, diff) in batches.flat_map(|batch| batch.drain(..)) {
                            let (region, domain, tally) = tally(&row);
                            let tally = tally.multiply(&diff);
                            for scope in scopes(region, domain) {
                                sums.entry((scope, epoch)).or_default().plus_equals(&tally);
                            }
                        }
                        let sums = sums.drain().filter(|(_, tally)| !tally.is_zero());
                        let sums = sums.map(|((scope, epoch), tally)| (scope, epoch, tally));
                        output.session(&capability).give_iterator(sums);
                    });
                }
            });
    sums.as_collection()
}

/// The rows of one tier, from what stands in it and what comes from the tier below; and what goes to the tier above.
///
/// The next tier reads the consolidated batches of this one: at most one update for each region and epoch.
fn tier<'scope>(
    leaves: &Differences<'scope>,
    tier: Tier,
    below: Option<Differences<'scope>>,
) -> (Rows<'scope, (RegionScope, Tally)>, Differences<'scope>) {
    let here = leaves.clone().filter(move |(region, _)| region.tier() == tier);
    let all = match below {
        Some(below) => here.concat(below),
        None => here,
    };
    let arranged = all.arrange_by_self_named(&format!("RegionTally: {tier:?}"));
    let rows = arranged.clone().count_total_core::<Diff>();
    let up = arranged.as_collection(|(region, domain), ()| (region.parent().unwrap_or(*region), *domain));
    (rows, up)
}

/// The score of every region and domain where it is not 0: what the baseline is made of.
pub fn region_score<'scope>(tallies: Rows<'scope, (RegionScope, Tally)>) -> Rows<'scope, (RegionScope, i64)> {
    tallies.flat_map(|(scope, tally)| (tally.score() != 0).then(|| (scope, tally.score())))
}

/// Returns the row of every region and domain.
pub fn region_risk<'scope>(
    regions: Rows<'scope, Shared<Region>>,
    risks: Rows<'scope, Arc<AssetRisk>>,
    tallies: Rows<'scope, (RegionScope, Tally)>,
    baselines: Rows<'scope, (RegionScope, i64)>,
) -> Rows<'scope, Arc<RegionRisk>> {
    let names = regions
        .filter(|region| region.code.tier() != Tier::Province)
        .flat_map(|region| DomainScope::EACH.map(|domain| ((region.code, domain), Part::Named(region.name.clone()))));
    // An asset gives its regions a row for each domain, not for its own alone.
    let populated = tallies.clone().flat_map(|((region, scope), tally)| {
        let here = scope == DomainScope::All && tally.assets_by_level() != LevelCounts::default();
        let domains = if here { DomainScope::EACH.as_slice() } else { &[] };
        domains.iter().map(move |domain| ((region, *domain), Part::Populated))
    });
    let tallies = tallies.map(|(scope, tally)| (scope, Part::Tally(Box::new(tally))));
    let baselines = baselines.map(|(scope, score)| (scope, Part::Baseline(score)));
    let tops = top_assets::top_assets(risks).map(|(scope, top)| (scope, Part::Top(top)));
    names
        .concat(populated)
        .concat(tallies)
        .concat(baselines)
        .concat(tops)
        .reduce_named(
            "RegionRisk: parts by region and domain",
            |(region, domain), parts, output| {
                let parts = parts.iter().map(|(part, _)| *part);
                output.extend(assemble(*region, *domain, parts).map(|row| (Arc::new(row), 1)));
            },
        )
        .map(|(_, row)| row)
}

/// A region that lost its last asset and has no name has no row, though its score an hour ago was not 0.
fn assemble<'a>(region: RegionCode, domain: DomainScope, parts: impl Iterator<Item = &'a Part>) -> Option<RegionRisk> {
    let mut name = Text::default();
    let mut tally = Tally::default();
    let mut baseline = 0;
    let mut top_assets = Vec::new();
    let mut exists = false;
    for part in parts {
        match part {
            Part::Populated => exists = true,
            Part::Named(given) => {
                name = given.clone();
                exists = true;
            }
            Part::Tally(counts) => tally = **counts,
            Part::Baseline(score) => baseline = *score,
            Part::Top(top) => top_assets.clone_from(top),
        }
    }
    exists.then(|| RegionRisk {
        region,
        name,
        domain,
        level: tally.assets_by_level().highest(),
        assets_by_level: tally.assets_by_level(),
        assets_by_dynamic_level: tally.assets_by_dynamic_level(),
        villages_by_level: tally.villages_by_level(),
        warnings_by_level: tally.warnings_by_level(),
        score: tally.score(),
        trend: tally.score() - baseline,
        exposed_population: tally.exposed_population(),
        top_assets,
    })
}

/// The two scopes that an asset of this domain counts in.
fn scopes(region: RegionCode, domain: Domain) -> [RegionScope; 2] {
    [(region, DomainScope::All), (region, DomainScope::One(domain))]
}

/// One of a level.
fn one(level: Level) -> [i64; 5] {
    let mut counts = [0; 5];
    counts[level.index()] = 1;
    counts
}
