//! The yardstick of the storm: assets and regions by hand. One thread, hash maps and sorted sets, no framework.
//!
//! Reads the load, keeps the last minute of each datastream in a queue with a running sum, and at the end of each second writes the
//! rows of assets and regions that changed, with counts, villages, people exposed and the ten highest, byte by byte as riskflow does.
//!
//! Unfair to riskflow: no corrections or late data (it trusts the order of the file), one rule that selects all, no warnings and no
//! deltas, no cases, no trend (the storm is shorter than an hour), no recovery. Unfair to the loop: it decodes with the same decoder,
//! and it updates its sorted sets in all five tiers at each change, where it could have merged them once a second.

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Parser;
use hashbrown::HashMap;
use riskflow_benches::load::each;
use riskflow_benches::storm::{THRESHOLDS, WINDOW};
use riskflow_config::InputRecord;
use riskflow_model::base::{self, Datastream};
use riskflow_model::observation::Said;
use riskflow_model::output::{AssetRisk, LevelCounts, RegionRisk, TopAsset};
use riskflow_model::topic::Topic;
use riskflow_model::{DomainScope, Key, Level, Millis, OutputRecord, RegionCode, Text};

/// The same allocator as riskflow's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The plain loop over the storm in a folder.
#[derive(Parser)]
struct Arguments {
    /// The folder with the load.
    folder: PathBuf,
    /// The folder to write to; it must be there.
    out: PathBuf,
}

const SCOPES: usize = DomainScope::EACH.len();

struct Stream {
    asset: usize,
    /// Time and hundredths.
    window: VecDeque<(i64, i64)>,
    sum: i64,
}

struct Asset {
    risk: AssetRisk,
    /// Its village and all above.
    regions: Vec<usize>,
    changed: bool,
}

#[derive(Default)]
struct Cell {
    assets: [i64; 5],
    dynamic: [i64; 5],
    villages: [i64; 5],
    score: i64,
    exposed: i64,
    ranks: BTreeSet<(Reverse<u8>, usize)>,
    row: Option<RegionRisk>,
    changed: bool,
}

struct Region {
    code: RegionCode,
    name: Text,
    cells: [Cell; SCOPES],
}

#[derive(Default)]
struct City {
    assets: Vec<Asset>,
    regions: Vec<Region>,
    changed_assets: Vec<usize>,
    changed_cells: Vec<(usize, usize)>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (mut city, mut streams) = read_base(&arguments.folder)?;
    let mut out = Out::new(&arguments.out)?;
    let (mut epoch, mut changes) = (0, 0u64);
    let mut failed = Ok(());
    each(&arguments.folder, Topic::IN_OBSERVATION, |record| {
        let InputRecord::Observation(observation) = record else {
            return;
        };
        let (Some(stream), Said::Number(reading)) = (streams.get_mut(&observation.datastream), &observation.said)
        else {
            return;
        };
        let now = observation.time.0;
        if now != epoch && epoch != 0 && failed.is_ok() {
            failed = city.write(&mut out, epoch);
        }
        epoch = now;
        let level = observe(stream, now, reading.result);
        if level != city.assets[stream.asset].risk.dynamic_level {
            changes += 1;
            city.change(stream.asset, level);
        }
    })?;
    failed?;
    city.write(&mut out, epoch)?;
    out.assets.flush()?;
    out.regions.flush()?;
    writeln!(std::io::stdout(), "{changes}")?;
    Ok(())
}

/// Assets, regions, and datastreams.
fn read_base(folder: &Path) -> Result<(City, HashMap<Key, Stream>)> {
    let mut city = City::default();
    let mut places: HashMap<RegionCode, usize> = HashMap::new();
    each(folder, Topic::BASE_REGION, |record| {
        if let InputRecord::Base(_, Some(row)) = record
            && let Some(row) = row.downcast_ref::<base::Region>()
        {
            places.insert(row.code, city.regions.len());
            city.regions.push(Region {
                code: row.code,
                name: row.name.clone(),
                cells: std::array::from_fn(|_| Cell::default()),
            });
        }
    })?;
    let mut by_key: HashMap<Key, usize> = HashMap::new();
    each(folder, Topic::BASE_ASSET, |record| {
        if let InputRecord::Base(key, Some(row)) = record
            && let Some(row) = row.downcast_ref::<base::Asset>()
        {
            by_key.insert(key, city.assets.len());
            let risk = AssetRisk {
                asset: row.id.clone(),
                name: row.name.clone(),
                category: row.category.clone(),
                domain: row.domain,
                region: row.region,
                inherent_level: row.inherent_level,
                dynamic_level: Level::None,
                score: 0,
                level: Level::None,
                stale: false,
                population: row.population,
            };
            city.assets.push(Asset {
                risk,
                regions: row.region.by_code().map(|code| places[&code]).collect(),
                changed: false,
            });
        }
    })?;
    for asset in 0..city.assets.len() {
        city.count(asset, 1);
        city.mark(asset);
    }
    // Each region has a row for each domain, whether or not something stands there.
    for place in 0..city.regions.len() {
        for scope in 0..SCOPES {
            city.mark_cell(place, scope);
        }
    }
    let mut streams: HashMap<Key, Stream> = HashMap::new();
    each(folder, Topic::BASE_DATASTREAM, |record| {
        if let InputRecord::Base(key, Some(row)) = record
            && let Some(row) = row.downcast_ref::<Datastream>()
        {
            let stream = Stream {
                asset: by_key[&Key::of(&row.asset)],
                window: VecDeque::new(),
                sum: 0,
            };
            streams.insert(key, stream);
        }
    })?;
    Ok((city, streams))
}

fn observe(stream: &mut Stream, now: i64, result: f64) -> Level {
    let hundredths = (result * 100.0).round() as i64;
    stream.window.push_back((now, hundredths));
    stream.sum += hundredths;
    while let Some((time, old)) = stream.window.front().copied() {
        if time + WINDOW > now {
            break;
        }
        stream.window.pop_front();
        stream.sum -= old;
    }
    let count = stream.window.len() as i64;
    let reached = THRESHOLDS.iter().filter(|least| stream.sum >= **least * 100 * count);
    Level::ALL[reached.count()]
}

impl City {
    fn change(&mut self, asset: usize, level: Level) {
        self.count(asset, -1);
        let risk = &mut self.assets[asset].risk;
        risk.dynamic_level = level;
        risk.score = risk.inherent_level.get() * level as u8;
        risk.level = match risk.score {
            0 => Level::None,
            1..=3 => Level::Blue,
            4..=7 => Level::Yellow,
            8..=11 => Level::Orange,
            _ => Level::Red,
        };
        self.count(asset, 1);
        self.mark(asset);
    }

    /// Counts an asset in or out of all that it lies in.
    fn count(&mut self, asset: usize, times: i64) {
        let Asset { risk, regions, .. } = &self.assets[asset];
        let (level, dynamic) = (risk.level as usize, risk.dynamic_level as usize);
        let (score, rank) = (i64::from(risk.score), (Reverse(risk.score), asset));
        let exposed = i64::from(risk.population) * i64::from(risk.level >= Level::Orange);
        let scopes = [0, 1 + risk.domain as usize];
        let regions = regions.clone();
        for scope in scopes {
            let village = &self.regions[regions[0]].cells[scope];
            let before = highest(&village.assets);
            for place in &regions {
                let cell = &mut self.regions[*place].cells[scope];
                cell.assets[level] += times;
                cell.dynamic[dynamic] += times;
                cell.score += score * times;
                cell.exposed += exposed * times;
                match (score, times) {
                    (0, _) => {}
                    (_, 1) => drop(cell.ranks.insert(rank)),
                    _ => drop(cell.ranks.remove(&rank)),
                }
                self.mark_cell(*place, scope);
            }
            let after = highest(&self.regions[regions[0]].cells[scope].assets);
            if before != after {
                for place in &regions {
                    let villages = &mut self.regions[*place].cells[scope].villages;
                    before.into_iter().for_each(|level| villages[level] -= 1);
                    after.into_iter().for_each(|level| villages[level] += 1);
                }
            }
        }
    }

    fn mark(&mut self, asset: usize) {
        if !std::mem::replace(&mut self.assets[asset].changed, true) {
            self.changed_assets.push(asset);
        }
    }

    fn mark_cell(&mut self, place: usize, scope: usize) {
        if !std::mem::replace(&mut self.regions[place].cells[scope].changed, true) {
            self.changed_cells.push((place, scope));
        }
    }

    /// Writes what is another row than at the end of the second before.
    fn write(&mut self, out: &mut Out, epoch: i64) -> Result<()> {
        let epoch = Millis(epoch).to_string();
        for asset in self.changed_assets.drain(..) {
            let asset = &mut self.assets[asset];
            asset.changed = false;
            write_row(&mut out.assets, &asset.risk, &epoch)?;
        }
        for (place, scope) in self.changed_cells.drain(..) {
            let Region { code, name, cells } = &mut self.regions[place];
            let cell = &mut cells[scope];
            cell.changed = false;
            let top = cell.ranks.iter().take(10);
            let row = RegionRisk {
                region: *code,
                name: name.clone(),
                parent: code.parent(),
                domain: DomainScope::EACH[scope],
                level: highest(&cell.assets).map_or(Level::None, |level| Level::ALL[level]),
                assets_by_level: LevelCounts::from_array(cell.assets),
                assets_by_dynamic_level: LevelCounts::from_array(cell.dynamic),
                villages_by_level: LevelCounts::from_array(cell.villages),
                // One rule, one datastream an asset: its level is that of its warning.
                warnings_by_level: LevelCounts {
                    none: 0,
                    ..LevelCounts::from_array(cell.dynamic)
                },
                score: cell.score,
                trend: cell.score,
                exposed_population: cell.exposed,
                top_assets: top
                    .map(|(Reverse(score), asset)| TopAsset {
                        asset: self.assets[*asset].risk.asset.clone(),
                        score: *score,
                    })
                    .collect(),
            };
            if cell.row.as_ref() != Some(&row) {
                write_row(&mut out.regions, &row, &epoch)?;
                cell.row = Some(row);
            }
        }
        Ok(())
    }
}

fn highest(counts: &[i64; 5]) -> Option<usize> {
    counts.iter().rposition(|count| *count > 0)
}

struct Out {
    assets: BufWriter<File>,
    regions: BufWriter<File>,
}

impl Out {
    fn new(folder: &Path) -> Result<Self> {
        let file = |topic: Topic| File::create(folder.join(format!("{topic}.ndjson"))).map(BufWriter::new);
        Ok(Self {
            assets: file(Topic::of::<AssetRisk>())?,
            regions: file(Topic::of::<RegionRisk>())?,
        })
    }
}

fn write_row<R: OutputRecord>(out: &mut BufWriter<File>, row: &R, epoch: &str) -> Result<()> {
    let mut value = serde_json::to_vec(row)?;
    // Its closing brace.
    value.pop();
    write!(out, r#"{{"topic":"{}","key":"{}","value":"#, R::SPEC.name, row.key())?;
    out.write_all(&value)?;
    writeln!(out, r#","epoch":"{epoch}"}},"arrival":"{epoch}"}}"#)?;
    Ok(())
}
