//! The load: base records, one rule with a 5-minute window, and JSON observations in the order of their time.
//!
//! Every datastream reports every ten seconds around a value of its own; now and then one runs above its own threshold
//! for a while. Drawn by a fixed generator: the same bytes on every machine.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use riskflow::simulator::draw::Draw;
use riskflow_config::InputRecord;
use riskflow_connectors::{RawRecord, decode};
use riskflow_model::topic::Topic;

/// The first phenomenon time: 2021-07-25T00:00:00Z.
pub const START: i64 = 1_627_171_200_000;

/// How often a datastream reports, in milliseconds.
pub const INTERVAL: i64 = 10_000;

/// The rule: the mean over five minutes against the datastream's own thresholds.
pub const RULE: &str = r#"{"id":"load","version":1,"source":"bench","select":{"observed_property":"load"},"levels":{"yellow":{"when":{"feature":"mean","window":"5m","op":">=","threshold":100},"margin":2,"clear":"30s"},"red":{"when":{"feature":"mean","window":"5m","op":">=","threshold":200},"margin":2,"clear":"30s"}}}"#;

/// The village of an asset: 4 counties, 9 towns each, 12 villages each.
#[must_use]
pub fn village(asset: u64) -> String {
    let (county, town, village) = (asset % 4 + 1, asset / 4 % 9 + 1, asset / 36 % 12 + 1);
    format!("33090{county}{:03}{:03}", town, village)
}

/// The yellow threshold of a datastream; red is twice that.
#[must_use]
pub fn threshold(datastream: u64) -> u64 {
    90 + Draw::new(datastream).draw() % 20
}

/// The result of a datastream's `step`-th observation.
#[must_use]
pub fn result(datastream: u64, step: u64) -> f64 {
    let mut draw = Draw::new(datastream.wrapping_mul(0x5851_F42D_4C95_7F2D) ^ step);
    let noise = (draw.draw() % 2_000) as f64 / 100.0;
    // One in fifty runs high for a third of the time.
    let high = datastream.is_multiple_of(50) && (step / 15 + datastream / 50) % 3 == 1;
    let base = if high { threshold(datastream) as f64 * 1.4 } else { 40.0 };
    ((base + noise) * 100.0).round() / 100.0
}

/// One observation as JSON, without line end.
pub fn observation(out: &mut impl std::io::Write, datastream: u64, time: i64, result: f64) -> std::io::Result<()> {
    write!(
        out,
        r#"{{"datastream":"ds-{datastream:06}","phenomenon_time":{time},"result":{result},"quality":"good","unit":"kPa"}}"#
    )
}

/// Writes base records, the rule and the observations as NDJSON files into a folder.
///
/// # Errors
///
/// When a file cannot be written.
pub fn write(folder: &Path, datastreams: u64, observations: u64) -> Result<()> {
    write_every(folder, (datastreams, observations), INTERVAL)
}

/// The same where every datastream reports once in so many milliseconds.
///
/// # Errors
///
/// When a file cannot be written.
pub fn write_every(folder: &Path, (datastreams, observations): (u64, u64), interval: i64) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    base(folder, datastreams)?;
    let mut out = file(folder, "in.observation")?;
    observations_of(&mut out, (datastreams, observations), (interval, interval), (0, 1))
}

/// Writes the observations, a line each, in the order of time: of so many shares of the datastreams those of one. Each datastream reports
/// once an interval, and all of them within so much of it.
///
/// # Errors
///
/// When they cannot be written.
pub fn observations_of(
    out: &mut impl std::io::Write,
    (datastreams, observations): (u64, u64),
    (interval, within): (i64, i64),
    (share, shares): (u64, u64),
) -> Result<()> {
    for i in 0..observations {
        let (step, position) = (i / datastreams, i % datastreams);
        if position % shares != share {
            continue;
        }
        let time = START + step as i64 * interval + (position as i64 * within) / datastreams as i64;
        observation(out, position, time, result(position, step))?;
        out.write_all(b"\n")?;
    }
    out.flush().context("could not write observations")
}

/// Writes base records and the rule.
///
/// # Errors
///
/// When a file cannot be written.
pub fn base(folder: &Path, datastreams: u64) -> Result<()> {
    let mut out = file(folder, "base.asset")?;
    for i in 0..datastreams {
        let (village, level) = (village(i), i % 4 + 1);
        writeln!(
            out,
            r#"{{"id":"as-{i:06}","name":"asset {i}","category":"tank","domain":"work_safety","region":"{village}","inherent_level":{level},"population":{}}}"#,
            i % 300
        )?;
    }
    out.flush()?;
    let mut out = file(folder, "base.datastream")?;
    for i in 0..datastreams {
        let yellow = threshold(i);
        writeln!(
            out,
            r#"{{"id":"ds-{i:06}","asset":"as-{i:06}","observed_property":"load","thresholds":{{"load":{{"yellow":{yellow},"red":{}}}}}}}"#,
            yellow * 2
        )?;
    }
    out.flush()?;
    let mut out = file(folder, "in.rule")?;
    writeln!(out, "{RULE}")?;
    out.flush().context("could not write the rule")
}

fn file(folder: &Path, topic: &str) -> Result<BufWriter<File>> {
    let path = folder.join(format!("{topic}.ndjson"));
    let file = File::create(&path).with_context(|| format!("could not create `{}`", path.display()))?;
    Ok(BufWriter::with_capacity(1 << 20, file))
}

/// Decodes every line of a topic's file in the folder, in order; what cannot be decoded is left out.
///
/// # Errors
///
/// When the file cannot be read.
pub fn each(folder: &Path, topic: Topic, mut use_record: impl FnMut(InputRecord)) -> Result<()> {
    let path = folder.join(format!("{topic}.ndjson"));
    let file = File::open(&path).with_context(|| format!("could not open `{}`", path.display()))?;
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut line = Vec::new();
    let mut offset = 0;
    while reader.read_until(b'\n', &mut line)? > 0 {
        let payload = line.strip_suffix(b"\n").unwrap_or(&line);
        let raw = RawRecord {
            topic,
            partition: 0,
            offset,
            arrival: None,
            exercise: false,
            key: None,
            payload: Some(payload),
        };
        if let Ok(record) = decode(&raw) {
            use_record(record);
        }
        offset += line.len() as u64;
        line.clear();
    }
    Ok(())
}

/// The folder `NAME-DATASTREAMS-OBSERVATIONS` with a load in it, which is written where it is not there whole.
///
/// # Errors
///
/// When it cannot be written.
pub fn written_once(
    folder: &Path,
    name: &str,
    (datastreams, observations): (u64, u64),
    write: impl FnOnce(&Path, u64, u64) -> Result<()>,
) -> Result<PathBuf> {
    let folder = folder.join(format!("{name}-{datastreams}-{observations}"));
    let done = folder.join("done");
    if !done.exists() {
        write(&folder, datastreams, observations)?;
        std::fs::write(done, "")?;
    }
    Ok(folder)
}
