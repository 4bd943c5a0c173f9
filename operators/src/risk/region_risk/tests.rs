//! The roll-up against a recomputation from all rows, at every epoch.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use proptest::prelude::*;
use riskflow_model::output::{LevelCounts, TopAsset};
use riskflow_model::{Domain, DomainScope, InherentLevel, Level, Lineage, Text, TextMap};

use super::*;

const DOMAINS: [Domain; 2] = [Domain::WorkSafety, Domain::NaturalHazard];
/// Villages, a town, a county, a city and a province: assets may stand anywhere.
/// And places of other codes, of which rows say where they lie.
const CODES: [&str; 12] = [
    "330902001001",
    "330902001002",
    "330902002001",
    "330903001001",
    "330902001",
    "330903",
    "3309",
    "33",
    "harbour",
    "berth",
    "pier",
    "EU",
];
/// Where they may lie.
const PARENTS: [&str; 6] = ["330902001", "3309", "harbour", "berth", "EU", ""];

fn asset(number: usize, region: usize, domain: usize, score: u8) -> Arc<AssetRisk> {
    let level = Level::ALL[usize::from(score.div_ceil(4))];
    Arc::new(AssetRisk {
        asset: format!("asset-{number:02}").into(),
        name: "".into(),
        category: "".into(),
        domain: DOMAINS[domain],
        region: CODES[region].parse().unwrap(),
        inherent_level: InherentLevel::new(1).unwrap(),
        dynamic_level: level,
        score,
        level,
        stale: false,
        population: 10,
    })
}

/// What stands now.
#[derive(Clone, Default)]
struct World {
    assets: BTreeMap<usize, Arc<AssetRisk>>,
    names: BTreeMap<usize, Shared<Region>>,
}

impl World {
    /// All rows, from scratch.
    fn rows(&self) -> BTreeMap<RegionScope, RegionRisk> {
        let mut rows = BTreeMap::new();
        let mut lineage = Lineage::default();
        for named in self.names.values() {
            lineage.put(named.code, named.parent);
        }
        let codes = CODES.iter().map(|code| code.parse().unwrap());
        let codes = codes.chain(["330902", "330902002", "330903001"].map(|code| code.parse().unwrap()));
        for region in codes {
            let region: RegionCode = region;
            let lies_within = |asset: &&Arc<AssetRisk>| lineage.above(asset.region).within(asset.region, region);
            let name = self.names.values().find(|named| named.code == region);
            let within = self.assets.values().filter(lies_within);
            if name.is_none() && within.clone().next().is_none() {
                continue;
            }
            for domain in DomainScope::EACH {
                let counts = |other| domain == DomainScope::All || domain == DomainScope::One(other);
                let assets: Vec<_> = within.clone().filter(|asset| counts(asset.domain)).collect();
                rows.insert(
                    (region, domain),
                    RegionRisk {
                        parent: lineage.parent_of(region),
                        ..row(region, name.map(|named| named.name.clone()), domain, &assets)
                    },
                );
            }
        }
        rows
    }
}

fn row(region: RegionCode, name: Option<Text>, domain: DomainScope, assets: &[&Arc<AssetRisk>]) -> RegionRisk {
    let count = |levels: &mut dyn Iterator<Item = Level>| {
        let mut counts = [0; 5];
        levels.for_each(|level| counts[level.index()] += 1);
        LevelCounts::from_array(counts)
    };
    let mut villages: BTreeMap<RegionCode, Level> = BTreeMap::new();
    for asset in assets.iter().filter(|asset| asset.region.to_string().len() == 12) {
        let highest = villages.entry(asset.region).or_default();
        *highest = (*highest).max(asset.level);
    }
    let mut ranked: Vec<_> = assets.iter().filter(|asset| asset.score > 0).collect();
    ranked.sort_by_key(|asset| (Reverse(asset.score), asset.asset.clone()));
    let top = ranked.into_iter().take(10).map(|asset| TopAsset {
        asset: asset.asset.clone(),
        score: asset.score,
    });
    let score = assets.iter().map(|asset| i64::from(asset.score)).sum();
    RegionRisk {
        region,
        name: name.unwrap_or_else(|| "".into()),
        parent: None,
        domain,
        level: assets.iter().map(|asset| asset.level).max().unwrap_or_default(),
        assets_by_level: count(&mut assets.iter().map(|asset| asset.level)),
        assets_by_dynamic_level: count(&mut assets.iter().map(|asset| asset.dynamic_level)),
        villages_by_level: count(&mut villages.into_values()),
        warnings_by_level: LevelCounts::default(),
        score,
        trend: score,
        exposed_population: assets.iter().filter(|asset| asset.level >= Level::Orange).count() as i64 * 10,
        top_assets: top.collect(),
    }
}

proptest! {
    /// Assets come, go, move and change, and regions get and lose names, several in an epoch: after each, what was told is
    /// what a recomputation gives, rows and scores.
    #[test]
    fn what_is_told_is_what_a_recomputation_gives(
        epochs in prop::collection::vec(
            prop::collection::vec((0usize..30, 0..CODES.len(), 0..2usize, 0u8..17, 0u8..8), 1..12),
            1..20,
        ),
    ) {
        let (mut world, mut rollup) = (World::default(), Rollup::default());
        let (mut rows, mut scores) = (BTreeMap::new(), BTreeMap::new());
        for changes in epochs {
            let before = world.clone();
            for (number, region, domain, score, what) in changes {
                let code: RegionCode = CODES[region].parse().unwrap();
                match what {
                    0 => drop(world.assets.remove(&number)),
                    1 => {
                        let parent = PARENTS[usize::from(score) % PARENTS.len()].parse().ok();
                        let parent = parent.filter(|parent| !code.is_statistical() && *parent != code);
                        let name = format!("name {score}").into();
                        let thresholds = TextMap::default();
                        drop(world.names.insert(region, Shared::new(Region { code, name, parent, thresholds })));
                    }
                    2 => drop(world.names.remove(&region)),
                    _ => drop(world.assets.insert(number, asset(number, region, domain, score))),
                }
            }
            let mut parts = Vec::new();
            for (old, new, diff) in [(&before, &world, 1), (&world, &before, -1)] {
                let assets = new.assets.iter().filter(|(number, asset)| old.assets.get(number) != Some(asset));
                parts.extend(assets.map(|(_, asset)| (Part::Asset(Arc::clone(asset)), diff)));
                let names = new.names.iter().filter(|(region, named)| old.names.get(region) != Some(named));
                parts.extend(names.map(|(_, named)| (Part::Named(named.clone()), diff)));
            }
            rollup.apply(parts);
            rollup.settle(&mut |told| match told {
                Told::Row(scope, Some(row)) => drop(rows.insert(scope, *row)),
                Told::Row(scope, None) => drop(rows.remove(&scope)),
                Told::Score(scope, score, diff) => *scores.entry((scope, score)).or_default() += diff,
            });
            let expected = world.rows();
            prop_assert_eq!(&rows, &expected);
            scores.retain(|_, times: &mut Diff| *times != 0);
            let expected = expected.iter().filter(|(_, row)| row.score != 0).map(|(scope, row)| ((*scope, row.score), 1));
            prop_assert_eq!(&scores, &expected.collect::<BTreeMap<_, _>>());
        }
    }
}
