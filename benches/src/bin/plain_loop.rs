//! The yardstick: what a good engineer writes by hand in an afternoon. One thread, hash maps, no framework.
//!
//! Reads the load, keeps the last five minutes of each datastream in a queue with a running sum, compares the mean with
//! the thresholds joined from base data (with margin and clear time), rolls asset levels up to village, town, county and
//! city, and writes a delta for each change of level.
//!
//! Unfair to riskflow: no corrections or late data (it trusts the order of the file), no epochs, no dead letters beyond a
//! count, no explanation of a delta, no table of assets, no recovery. Unfair to the loop: it decodes with the same decoder,
//! which computes a 128-bit key that the loop then uses instead of the string.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Parser;
use hashbrown::HashMap;
use riskflow_benches::load::each;
use riskflow_config::InputRecord;
use riskflow_model::base::{self, Datastream};
use riskflow_model::observation::Said;
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Level, RegionCode};

/// The same allocator as riskflow's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The plain loop over the load in a folder.
#[derive(Parser)]
struct Arguments {
    /// The folder with the load.
    folder: PathBuf,
    /// Where to write deltas.
    out: PathBuf,
}

const WINDOW: i64 = 300_000;
const PANE: i64 = 10_000;
const CLEAR: i64 = 30_000;

struct Stream {
    asset: usize,
    thresholds: [f64; 2],
    window: VecDeque<(i64, i64)>,
    sum: i64,
    on: [bool; 2],
    false_since: [Option<i64>; 2],
    level: Level,
}

struct Asset {
    id: String,
    inherent: u8,
    region: RegionCode,
    level: Level,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (mut assets, mut streams) = base(&arguments.folder)?;
    let mut regions: HashMap<RegionCode, [i64; 5]> = HashMap::new();
    for asset in &assets {
        for region in asset.region.by_code() {
            regions.entry(region).or_default()[0] += 1;
        }
    }
    let mut out = BufWriter::new(File::create(&arguments.out)?);
    let (mut deltas, mut count) = (0u64, 0u64);
    each(&arguments.folder, Topic::IN_OBSERVATION, |record| {
        let InputRecord::Observation(observation) = record else {
            return;
        };
        let (Some(stream), Said::Number(reading)) = (streams.get_mut(&observation.datastream), &observation.said)
        else {
            return;
        };
        count += 1;
        let now = observation.time.0;
        let level = observe(stream, now, reading.result);
        if level != stream.level {
            stream.level = level;
            deltas += 1;
            let asset = &mut assets[stream.asset];
            roll_up(&mut regions, asset, level);
            let _ = writeln!(
                out,
                r#"{{"asset":"{}","level":"{level}","at":{now},"region":"{}"}}"#,
                asset.id, asset.region
            );
        }
    })?;
    out.flush()?;
    writeln!(
        std::io::stderr(),
        "{count} observations, {deltas} deltas, {} regions",
        regions.len()
    )?;
    Ok(())
}

/// Assets, and datastreams with their thresholds.
fn base(folder: &Path) -> Result<(Vec<Asset>, HashMap<Key, Stream>)> {
    let mut assets = Vec::new();
    let mut by_key: HashMap<Key, usize> = HashMap::new();
    each(folder, Topic::BASE_ASSET, |record| {
        if let InputRecord::Base(key, Some(row)) = record
            && let Some(row) = row.downcast_ref::<base::Asset>()
        {
            by_key.insert(key, assets.len());
            assets.push(Asset {
                id: row.id.to_string(),
                inherent: row.inherent_level.get(),
                region: row.region,
                level: Level::None,
            });
        }
    })?;
    let mut streams: HashMap<Key, Stream> = HashMap::new();
    each(folder, Topic::BASE_DATASTREAM, |record| {
        if let InputRecord::Base(key, Some(row)) = record
            && let Some(row) = row.downcast_ref::<Datastream>()
        {
            let own = row.thresholds.iter().next().map(|(_, own)| own);
            let threshold = |level: &str| {
                own.and_then(|own| own.get(level))
                    .map_or(f64::INFINITY, |number| number.0)
            };
            streams.insert(
                key,
                Stream {
                    asset: by_key.get(&Key::of(&row.asset)).copied().unwrap_or(0),
                    thresholds: [threshold("yellow"), threshold("red")],
                    window: VecDeque::new(),
                    sum: 0,
                    on: [false; 2],
                    false_since: [None; 2],
                    level: Level::None,
                },
            );
        }
    })?;
    Ok((assets, streams))
}

fn observe(stream: &mut Stream, now: i64, result: f64) -> Level {
    let thousandths = (result * 1000.0).round() as i64;
    stream.window.push_back((now, thousandths));
    stream.sum += thousandths;
    while let Some((time, old)) = stream.window.front().copied() {
        let end = time + WINDOW;
        if end + (-end).rem_euclid(PANE) > now {
            break;
        }
        stream.window.pop_front();
        stream.sum -= old;
    }
    let mean = stream.sum as f64 / (1000.0 * stream.window.len() as f64);
    for index in 0..2 {
        let threshold = stream.thresholds[index];
        if mean >= threshold {
            stream.on[index] = true;
            stream.false_since[index] = None;
        } else if mean < threshold - 2.0 {
            let since = *stream.false_since[index].get_or_insert(now);
            if now - since >= CLEAR {
                stream.on[index] = false;
            }
        } else {
            stream.false_since[index] = None;
        }
    }
    match stream.on {
        [_, true] => Level::Red,
        [true, false] => Level::Yellow,
        _ => Level::None,
    }
}

fn roll_up(regions: &mut HashMap<RegionCode, [i64; 5]>, asset: &mut Asset, level: Level) {
    let risk = |level: Level| match asset.inherent * level as u8 {
        0 => 0,
        1..=3 => 1,
        4..=7 => 2,
        8..=11 => 3,
        _ => 4,
    };
    let (before, after) = (risk(asset.level), risk(level));
    asset.level = level;
    for region in asset.region.by_code() {
        let counts = regions.entry(region).or_default();
        counts[before] -= 1;
        counts[after] += 1;
    }
}
