//! The load of a storm: water rises and falls again over a whole city, and one window in fifteen changes its level.
//!
//! Every datastream reports every ten seconds, at a full second; the rule has four levels of the mean over the last minute. A window
//! ends at full seconds too, so that levels change only where something is reported, and a loop without timers gives the same rows in
//! the same epochs. Drawn by a fixed generator: the same bytes on every machine.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use riskflow::simulator::draw::Draw;
use riskflow_model::topic::Topic;

use crate::load::{self, INTERVAL, START};

/// The mean over so long, in milliseconds.
pub const WINDOW: i64 = 60_000;

/// The least mean of blue, yellow, orange and red.
pub const THRESHOLDS: [i64; 4] = [100, 200, 300, 400];

const RULE: &str = r#"{"id":"storm","version":1,"source":"bench","select":{"observed_property":"load"},"pane":"1s","levels":{"blue":{"when":{"feature":"mean","window":"1m","op":">=","threshold":100}},"yellow":{"when":{"feature":"mean","window":"1m","op":">=","threshold":200}},"orange":{"when":{"feature":"mean","window":"1m","op":">=","threshold":300}},"red":{"when":{"feature":"mean","window":"1m","op":">=","threshold":400}}}}"#;

/// What the job reads with cases off, and the loop.
pub const BASE: [Topic; 4] = [
    Topic::BASE_REGION,
    Topic::BASE_ASSET,
    Topic::BASE_DATASTREAM,
    Topic::IN_RULE,
];

/// What it reads besides with cases on: an office with one duty and one person for each town, county and for the city.
pub const DUTIES: [Topic; 3] = [Topic::BASE_UNIT, Topic::BASE_DUTY, Topic::BASE_USER];

/// Counties, towns in each, villages in each.
const TIERS: [u64; 3] = [4, 10, 10];

/// Datastreams report at so many seconds of each interval.
const SECONDS: u64 = (INTERVAL / 1_000) as u64;

fn county(number: u64) -> String {
    format!("3309{:02}", number + 1)
}

fn town(number: u64) -> String {
    format!("{}{:03}", county(number / TIERS[1]), number % TIERS[1] + 1)
}

fn village(number: u64) -> String {
    format!("{}{:03}", town(number / TIERS[2]), number % TIERS[2] + 1)
}

/// Writes base records, the rule and the observations as NDJSON files into a folder.
///
/// # Errors
///
/// When a file cannot be written.
pub fn write(folder: &Path, datastreams: u64, observations: u64) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    base(folder, datastreams)?;
    duties(folder)?;
    let mut out = file(folder, Topic::IN_OBSERVATION)?;
    let mut waters: Vec<Water> = (0..datastreams).map(Water::new).collect();
    let steps = observations.div_ceil(datastreams);
    let mut left = observations;
    for step in 0..steps {
        for second in 0..SECONDS {
            let time = START + step as i64 * INTERVAL + second as i64 * 1_000;
            let reporting = (second..datastreams).step_by(SECONDS as usize);
            for datastream in reporting.take(usize::try_from(left)?) {
                let result = waters[datastream as usize].rise(step * 2 < steps);
                load::observation(&mut out, datastream, time, result)?;
                out.write_all(b"\n")?;
                left -= 1;
            }
        }
    }
    out.flush().context("could not write observations")
}

/// What a datastream measures.
struct Water {
    draw: Draw,
    level: u64,
}

impl Water {
    fn new(datastream: u64) -> Self {
        Self {
            draw: Draw::of(11, "storm", datastream),
            level: 0,
        }
    }

    /// The next result. It mostly rises until the middle of the storm, and falls after it, a level at a time.
    fn rise(&mut self, rising: bool) -> f64 {
        if self.draw.once_in(9) {
            let with_the_storm = !self.draw.once_in(3);
            self.level = match with_the_storm == rising {
                true => (self.level + 1).min(THRESHOLDS.len() as u64),
                false => self.level.saturating_sub(1),
            };
        }
        let hundredths = 3_000 + self.level * 10_000 + self.draw.below(4_000);
        hundredths as f64 / 100.0
    }
}

fn base(folder: &Path, datastreams: u64) -> Result<()> {
    let [counties, towns, villages] = TIERS;
    let (towns, villages) = (counties * towns, counties * towns * villages);
    let mut out = file(folder, Topic::BASE_REGION)?;
    let codes = ["33".to_owned(), "3309".to_owned()];
    let codes = codes.into_iter().chain((0..counties).map(county));
    for code in codes.chain((0..towns).map(town)).chain((0..villages).map(village)) {
        writeln!(out, r#"{{"code":"{code}","name":"region {code}"}}"#)?;
    }
    out.flush()?;
    let mut draw = Draw::of(11, "assets", 0);
    let mut out = file(folder, Topic::BASE_ASSET)?;
    for i in 0..datastreams {
        let (village, level) = (village(draw.below(villages)), draw.below(4) + 1);
        writeln!(
            out,
            r#"{{"id":"as-{i:06}","name":"asset {i}","category":"reservoir","domain":"natural_hazard","region":"{village}","inherent_level":{level},"population":{}}}"#,
            i % 300
        )?;
    }
    out.flush()?;
    let mut out = file(folder, Topic::BASE_DATASTREAM)?;
    for i in 0..datastreams {
        writeln!(
            out,
            r#"{{"id":"ds-{i:06}","asset":"as-{i:06}","observed_property":"load"}}"#
        )?;
    }
    out.flush()?;
    let mut out = file(folder, Topic::IN_RULE)?;
    writeln!(out, "{RULE}")?;
    out.flush().context("could not write the rule")
}

fn duties(folder: &Path) -> Result<()> {
    let mut units = vec![("3309".to_owned(), "red")];
    units.extend((0..TIERS[0]).map(|number| (county(number), "orange")));
    units.extend((0..TIERS[0] * TIERS[1]).map(|number| (town(number), "blue")));
    let [mut out_units, mut out_duties, mut out_users] = [
        file(folder, Topic::BASE_UNIT)?,
        file(folder, Topic::BASE_DUTY)?,
        file(folder, Topic::BASE_USER)?,
    ];
    for (region, level) in units {
        let parent = match region.len() {
            9 => format!("\"unit-{}\"", &region[..6]),
            6 => format!("\"unit-{}\"", &region[..4]),
            _ => "null".to_owned(),
        };
        writeln!(
            out_units,
            r#"{{"id":"unit-{region}","region":"{region}","parent":{parent}}}"#
        )?;
        writeln!(
            out_duties,
            r#"{{"id":"duty-{region}","region":"{region}","level":"{level}","unit":"unit-{region}","role":"watch"}}"#
        )?;
        writeln!(
            out_users,
            r#"{{"id":"user-{region}","posts":[{{"unit":"unit-{region}","role":"watch"}}]}}"#
        )?;
    }
    for mut out in [out_units, out_duties, out_users] {
        out.flush()?;
    }
    Ok(())
}

fn file(folder: &Path, topic: Topic) -> Result<BufWriter<File>> {
    let path = folder.join(format!("{topic}.ndjson"));
    let file = File::create(&path).with_context(|| format!("could not create `{}`", path.display()))?;
    Ok(BufWriter::with_capacity(1 << 20, file))
}
