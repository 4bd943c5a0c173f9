//! `riskflow generate`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, anyhow};
use riskflow::simulator::city::{City, CityOptions, Record};
use riskflow::simulator::weather;
use riskflow_connectors::log::LogWriter;
use riskflow_model::topic::Topic;
use serde_json::value::RawValue;

use crate::program::cli::{GenerateArguments, Scenario};
use crate::program::exit::Unread;
use crate::program::terminal::{Progress, is_unread, say, tell};

/// Generates input, to an embedded log or as NDJSON.
pub fn generate(arguments: &GenerateArguments) -> Result<ExitCode> {
    let mut out: Box<dyn Place> = match (&arguments.to_log, &arguments.out) {
        (Some(folder), _) => Box::new(Log::create(folder, arguments.partitions)?),
        (None, Some(folder)) if folder.as_os_str() == "-" => Box::new(Envelopes),
        (None, Some(folder)) => Box::new(Files::create(folder)?),
        (None, None) => return Err(anyhow!("give `--to-log` or `--out`")),
    };
    if arguments.what == Scenario::Weather {
        let written = weather(out.as_mut())?;
        out.finish()?;
        sum_up(arguments, written);
        return Ok(ExitCode::SUCCESS);
    }
    let options = CityOptions {
        datastreams: arguments.datastreams,
        seed: arguments.seed,
        hours: arguments.hours,
    };
    let city = City::new(options).map_err(|error| anyhow!(error))?;
    let written = write_city(
        &city,
        out.as_mut(),
        arguments.what == Scenario::Storm,
        &AtomicBool::new(false),
    )?;
    out.finish()?;
    sum_up(arguments, written);
    Ok(ExitCode::SUCCESS)
}

/// Says on standard error what was written, and where to.
fn sum_up(arguments: &GenerateArguments, written: u64) {
    let folder = arguments.to_log.as_deref().or(arguments.out.as_deref());
    let place = match folder {
        Some(folder) if folder.as_os_str() != "-" => folder.display().to_string(),
        _ => "standard output".to_owned(),
    };
    tell(format_args!("{written} records written to {place}"));
}

/// Writes base records and, if asked for, the storm, with progress; until it is asked to stop.
pub fn write_city(city: &City, out: &mut dyn Place, storm: bool, stop: &AtomicBool) -> Result<u64> {
    let mut written = 0;
    for record in city.base() {
        out.put(&record)?;
        written += 1;
    }
    if storm {
        let mut progress = Progress::new("generating the storm", city.expected_observations());
        for (done, record) in (1..).zip(city.storm()) {
            if stop.load(Ordering::Acquire) {
                break;
            }
            out.put(&record)?;
            written += 1;
            progress.set(done);
        }
    }
    Ok(written)
}

fn weather(out: &mut dyn Place) -> Result<u64> {
    let mut written = 0;
    let mut first = None;
    let observations: Vec<_> = weather::observations().collect();
    if let Some((time, _, _)) = observations.first() {
        first = Some(*time);
    }
    let arrival = first.unwrap_or_default();
    for (topic, key, payload) in weather::base() {
        out.put(&Record {
            topic,
            arrival,
            key,
            payload: Some(payload),
        })?;
        written += 1;
    }
    for (arrival, key, payload) in observations {
        out.put(&Record {
            topic: Topic::IN_OBSERVATION,
            arrival,
            key,
            payload: Some(payload),
        })?;
        written += 1;
    }
    Ok(written)
}

/// Where generated records go.
pub trait Place {
    /// Writes a record.
    fn put(&mut self, record: &Record) -> Result<()>;
    /// Writes what is buffered.
    fn finish(&mut self) -> Result<()>;
}

/// An embedded log.
pub struct Log {
    writers: BTreeMap<Topic, LogWriter>,
}

impl Log {
    /// A log with all input topics.
    pub fn create(folder: &Path, partitions: u16) -> Result<Self> {
        let open = |topic: Topic| {
            let writer = LogWriter::open(folder, topic.name(), partitions);
            Ok((
                topic,
                writer.with_context(|| format!("could not open the log of `{topic}`"))?,
            ))
        };
        Ok(Self {
            writers: Topic::inputs().map(open).collect::<Result<_>>()?,
        })
    }
}

impl Place for Log {
    fn put(&mut self, record: &Record) -> Result<()> {
        let Some(writer) = self.writers.get_mut(&record.topic) else {
            return Ok(());
        };
        let key = Some(record.key.as_bytes());
        let partition = writer.partition_of(key);
        writer.append(partition, record.arrival, key, record.payload.as_deref())?;
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        for writer in self.writers.values_mut() {
            writer.sync()?;
        }
        Ok(())
    }
}

/// One file of envelopes a topic.
struct Files {
    folder: PathBuf,
    files: BTreeMap<Topic, BufWriter<File>>,
}

impl Files {
    fn create(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("could not create `{}`", folder.display()))?;
        Ok(Self {
            folder: folder.to_owned(),
            files: BTreeMap::new(),
        })
    }
}

impl Place for Files {
    fn put(&mut self, record: &Record) -> Result<()> {
        if !self.files.contains_key(&record.topic) {
            let path = self.folder.join(format!("{}.ndjson", record.topic));
            let file = File::create(&path).with_context(|| format!("could not create `{}`", path.display()))?;
            self.files.insert(record.topic, BufWriter::with_capacity(1 << 20, file));
        }
        let Some(file) = self.files.get_mut(&record.topic) else {
            return Ok(());
        };
        let topic = record.topic;
        writeln!(file, "{}", envelope(record)).with_context(|| written(&self.folder, topic))
    }

    fn finish(&mut self) -> Result<()> {
        for (topic, file) in &mut self.files {
            file.flush().with_context(|| written(&self.folder, *topic))?;
        }
        Ok(())
    }
}

/// Which file could not be written.
fn written(folder: &Path, topic: Topic) -> String {
    format!("could not write `{}`", folder.join(format!("{topic}.ndjson")).display())
}

/// Envelopes on standard output.
struct Envelopes;

impl Place for Envelopes {
    fn put(&mut self, record: &Record) -> Result<()> {
        say(envelope(record));
        if is_unread() {
            return Err(Unread.into());
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The record as an envelope; a payload that is no JSON stands there as a line of its own, as it would be met in the wild.
fn envelope(record: &Record) -> String {
    let payload = record.payload.as_deref().map(String::from_utf8_lossy);
    let value = match payload {
        None => "null".to_owned(),
        Some(payload) if serde_json::from_str::<&RawValue>(&payload).is_ok() => payload.into_owned(),
        Some(payload) => return payload.replace('\n', " "),
    };
    let key = serde_json::Value::from(record.key.as_str());
    format!(
        r#"{{"topic":"{}","key":{key},"value":{value},"arrival":{}}}"#,
        record.topic, record.arrival.0
    )
}
