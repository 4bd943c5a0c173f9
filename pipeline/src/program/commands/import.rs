//! `riskflow import`: files of others into the input topics.
//!
//! Everything is read twice: first to check every row, so that nothing half good is written, then to write it. What can be read
//! only once is copied beside first.

pub(super) mod files;
pub(super) mod mapping;
mod rejects;
pub(super) mod spool;
mod states;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, bail};
use riskflow::runtime::clock::wall_clock;
use riskflow_config::{Input, Settings};
use riskflow_connectors::files::read_rows;
use riskflow_connectors::topics::{Place, create};
use riskflow_connectors::{Append, InRecord, Rejection, open_append};
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Millis};
use serde_json::json;

use self::files::{Given, gather};
use self::mapping::{Mapping, Ready};
use self::rejects::Rejects;
use self::spool::Room;
use self::states::{Live, States};
use super::configuration;
use crate::program::cli::{EXIT_REFUSED, ImportArguments};
use crate::program::exit::Usage;
use crate::program::terminal::{Progress, say, tell};

/// Records that are appended at once: one wait for the disk or the brokers.
const BATCH: usize = 10_000;
const BATCH_BYTES: usize = 8 << 20;

/// Checks files, and imports them.
pub fn import(arguments: &ImportArguments) -> Result<ExitCode> {
    let (_, settings) = configuration::load(&arguments.config)?;
    if matches!(settings.input, Input::Files(_)) {
        let says = "the input is files, and nothing can be imported into them; give a log or Kafka as input";
        return Err(Usage(says.to_owned()).into());
    }
    let mapping = Mapping::of(arguments)?;
    let given = gather(&arguments.files, &mapping, &Room::of(arguments.copies.copy_limit))?;
    mapping.files_are_among(given.iter().map(|file| &*file.name))?;
    let mut rejects = Rejects::new(&arguments.rejects, &given)?;
    let live = Live::new(&settings);
    let files = (&given[..], &mapping, &live);
    let found = look_through(files, &mut rejects)?;
    rejects.finish()?;
    for topic in found.taken.keys() {
        configuration::needs(&settings, *topic)?;
    }
    if rejects.count() * 2 > found.rows {
        rejects.show();
        bail!(
            "most of the rows would be refused ({} of {}): nothing was imported; {} says why, one by one",
            rejects.count(),
            found.rows,
            arguments.rejects.display()
        );
    }
    let lonely = lonely(&live, &found)?;
    let imported = if arguments.dry_run {
        found.taken.values().sum()
    } else {
        write(&settings, arguments, files, &found)?
    };
    sum_up(arguments, &found, imported, &rejects);
    if lonely > 0 {
        tell(format_args!(
            "{lonely} datastreams have no row in `base.datastream`: their observations wait for it, and are refused after `unknown.hold` \
             ({})",
            settings.unknown.hold
        ));
    }
    if let Some((first, last)) = found.times
        && last < Millis(wall_clock()) - settings.time.horizon
    {
        tell(format_args!(
            "these are observations of the past ({first} to {last}): a job that is live already refuses what is older than \
             `time.horizon` ({}); one that begins with them works them off, with `riskflow run --set input.clock=event_time` by their \
             own times alone, base data and rules first",
            settings.time.horizon
        ));
    }
    Ok(if rejects.count() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_REFUSED)
    })
}

/// What was found in the files.
#[derive(Default)]
struct Found {
    rows: u64,
    /// Good rows, by topic.
    taken: BTreeMap<Topic, u64>,
    /// The first and the last time of observations.
    times: Option<(Millis, Millis)>,
    /// Whether rows of a topic stand in another order than that of their times.
    unordered: bool,
    /// Datastreams that were observed, and those that have a row here.
    observed: BTreeSet<Key>,
    described: BTreeSet<Key>,
    last: BTreeMap<Topic, Millis>,
    /// Of each file.
    contents: Vec<Content>,
}

impl Found {
    fn note(&mut self, ready: &Ready) {
        *self.taken.entry(ready.topic).or_default() += 1;
        if let Some(time) = ready.time {
            let before = self.last.insert(ready.topic, time);
            self.unordered |= before.is_some_and(|before| before > time);
        }
        match (ready.topic, ready.time) {
            (Topic::IN_OBSERVATION, Some(time)) => {
                self.observed.insert(Key::of(&ready.key));
                let (first, last) = self.times.unwrap_or((time, time));
                self.times = Some((first.min(time), last.max(time)));
            }
            (Topic::BASE_DATASTREAM, _) => drop(self.described.insert(Key::of(&ready.key))),
            _ => {}
        }
    }
}

/// Takes a row: its file, its line, what it says, and the record that it is or why it is none.
type Take<'a> = dyn FnMut(&Given, u64, &[u8], Result<Ready, Rejection>) -> Result<()> + 'a;

/// What was read of a file: how many rows, and a hash of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Content {
    rows: u64,
    hash: Key,
}

impl Content {
    fn add(&mut self, line: u64, payload: &[u8]) {
        self.rows += 1;
        let hash = Key::of_bytes(payload).to_u128().rotate_left((line % 128) as u32);
        self.hash = Key::from_u128(self.hash.to_u128().wrapping_add(hash));
    }
}

/// The files, how their rows become records, and the rows that are there already.
type Files<'a> = (&'a [Given], &'a Mapping, &'a Live<'a>);

/// Hands every row out, good or not; says what was read of each file.
fn each((given, mapping, live): Files<'_>, what: &'static str, take: &mut Take<'_>) -> Result<Vec<Content>> {
    let mut states = States::new(live);
    let read: Arc<AtomicU64> = Arc::default();
    let mut contents = Vec::new();
    let mut progress = Progress::new(what, given.iter().map(|file| file.bytes).sum());
    for file in given {
        let (mut failed, mut content) = (None, Content::default());
        let (form, columns) = ((mapping.format(), file.topic), mapping.columns_of(&file.name));
        let done = read_rows(&file.path, form, columns, &read, &mut |row| {
            let ready = match mapping.ready(&row) {
                Ok(ready) => states.judge(ready),
                Err(rejection) => Ok(Err(rejection)),
            };
            progress.set(read.load(Ordering::Relaxed));
            content.add(row.line, row.payload.unwrap_or(b"null"));
            match ready.and_then(|ready| take(file, row.line, row.payload.unwrap_or(b"null"), ready)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        done.map_err(|error| Usage(format!("{} cannot be imported: {error}", file.name)))?;
        contents.push(content);
    }
    Ok(contents)
}

/// Whether the files are those that were checked.
fn unchanged(given: &[Given], found: &Found, again: &[Content]) -> Result<()> {
    let files = given.iter().zip(found.contents.iter().zip(again));
    let other: Vec<&str> = files
        .filter_map(|(file, (before, now))| (before != now).then_some(&*file.name))
        .collect();
    if other.is_empty() {
        return Ok(());
    }
    bail!(
        "{} changed while it was imported: what was written is not all that was checked; import it again once nobody writes to it. \
         What is there twice counts once",
        other.join(", ")
    )
}

/// Checks every row, and writes down those that are refused.
fn look_through(files: Files<'_>, rejects: &mut Rejects) -> Result<Found> {
    let mut found = Found::default();
    let contents = each(files, "checking", &mut |file, line, payload, ready| {
        found.rows += 1;
        match ready {
            Ok(ready) => found.note(&ready),
            Err(rejection) => rejects.add(&file.name, line, file.topic, &rejection, payload)?,
        }
        Ok(())
    })?;
    found.contents = contents;
    Ok(found)
}

/// How many datastreams were observed that have no row, neither here nor there.
fn lonely(live: &Live<'_>, found: &Found) -> Result<usize> {
    if found.observed.is_empty() {
        return Ok(0);
    }
    let live = live.stock()?;
    let known = |key: &&Key| found.described.contains(*key) || live.rows.contains_key(&(Topic::BASE_DATASTREAM, **key));
    Ok(found.observed.iter().filter(|key| !known(key)).count())
}

/// Writes what is good.
fn write(settings: &Settings, arguments: &ImportArguments, files: Files<'_>, found: &Found) -> Result<u64> {
    if let Some(place @ Place::Log(_)) = Place::of_input(&settings.input) {
        let inputs: Vec<Topic> = settings.capabilities.inputs().collect();
        create(place, &settings.topics, &inputs).context("could not make the input topics")?;
    }
    let now = Millis(wall_clock());
    let mut out = Out::new(settings, found)?;
    let mut arrival = Arrival {
        given: arguments.arrival,
        now,
        events: BTreeMap::new(),
        // Tables come before what is observed.
        tables: found.times.map_or(now, |(first, _)| first.min(now)),
    };
    if !found.unordered {
        let again = each(files, "importing", &mut |_, _, _, ready| match ready {
            Ok(ready) => out.put(arrival.of(ready)),
            Err(_) => Ok(()),
        })?;
        let written = out.finish()?;
        return unchanged(files.0, found, &again).map(|()| written);
    }
    // A log keeps the order of arrival, and a job works off a history in that order.
    let mut all: Vec<(Topic, InRecord)> = Vec::new();
    let again = each(files, "sorting by time", &mut |_, _, _, ready| {
        all.extend(ready.map(|ready| arrival.of(ready)));
        Ok(())
    })?;
    unchanged(files.0, found, &again)?;
    all.sort_by_key(|(topic, record)| (!topic.is_input_table(), record.arrival));
    let mut progress = Progress::new("importing", all.len() as u64);
    for (done, record) in (1..).zip(all) {
        out.put(record)?;
        progress.set(done);
    }
    out.finish()
}

/// When records arrived.
struct Arrival {
    given: Option<Millis>,
    now: Millis,
    tables: Millis,
    /// Of each event that of its last record: a correction may tell an earlier time, and comes behind what it corrects all the same.
    events: BTreeMap<String, Millis>,
}

impl Arrival {
    fn of(&mut self, ready: Ready) -> (Topic, InRecord) {
        let own = ready.arrival.or(ready.time).map(|time| time.min(self.now));
        let mut arrival = self.given.or(own).unwrap_or(self.tables);
        if ready.topic == Topic::IN_EVENT {
            let last = self.events.entry(ready.key.clone()).or_insert(arrival);
            arrival = arrival.max(*last);
            *last = arrival;
        }
        let record = InRecord {
            arrival,
            key: ready.key,
            payload: ready.payload,
        };
        (ready.topic, record)
    }
}

/// The ways into the topics.
struct Out {
    ways: BTreeMap<Topic, Box<dyn Append>>,
    waiting: BTreeMap<Topic, Vec<InRecord>>,
    count: usize,
    bytes: usize,
    written: u64,
    all: u64,
}

impl Out {
    fn new(settings: &Settings, found: &Found) -> Result<Self> {
        let open = |topic: &Topic| -> Result<(Topic, Box<dyn Append>)> {
            let way = open_append(&settings.input, &settings.topics, *topic);
            Ok((*topic, way.with_context(|| format!("could not open `{topic}`"))?))
        };
        Ok(Self {
            ways: found.taken.keys().map(open).collect::<Result<_>>()?,
            waiting: BTreeMap::new(),
            count: 0,
            bytes: 0,
            written: 0,
            all: found.taken.values().sum(),
        })
    }

    fn put(&mut self, (topic, record): (Topic, InRecord)) -> Result<()> {
        self.count += 1;
        self.bytes += record.payload.as_ref().map_or(0, Vec::len);
        self.waiting.entry(topic).or_default().push(record);
        if self.count >= BATCH || self.bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        (self.count, self.bytes) = (0, 0);
        for (topic, records) in std::mem::take(&mut self.waiting) {
            let Some(way) = self.ways.get_mut(&topic) else {
                bail!(
                    "a file has rows of `{topic}` that it had not when it was checked: it changed meanwhile; import it again"
                );
            };
            for answer in way.append(&records) {
                answer.with_context(|| {
                    format!(
                        "{} of {} records are imported, the others are not known to be; import all of them again: what is there twice \
                         counts once",
                        self.written, self.all
                    )
                })?;
                self.written += 1;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<u64> {
        self.flush()?;
        Ok(self.written)
    }
}

fn sum_up(arguments: &ImportArguments, found: &Found, imported: u64, rejects: &Rejects) {
    let by_topic: BTreeMap<&str, u64> = found
        .taken
        .iter()
        .map(|(topic, count)| (topic.name(), *count))
        .collect();
    let refused = rejects.count();
    if arguments.json {
        let place = (refused > 0).then(|| arguments.rejects.display().to_string());
        say(json!({
            "dry_run": arguments.dry_run, "rows": found.rows, "imported": imported, "topics": by_topic, "refused": refused, "rejects": place,
        }));
        return;
    }
    rejects.show();
    let by_topic: Vec<String> = by_topic
        .iter()
        .map(|(topic, count)| format!("{topic} {count}"))
        .collect();
    let verb = if arguments.dry_run {
        "would be imported"
    } else {
        "imported"
    };
    say(format_args!(
        "{} rows: {imported} {verb} ({}), {refused} refused",
        found.rows,
        by_topic.join(", ")
    ));
    if refused > 0 {
        say(format_args!(
            "what is wrong with them, row by row: {}",
            arguments.rejects.display()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_corrects_an_event_comes_behind_it() {
        let mut arrival = Arrival {
            given: None,
            now: Millis(100),
            tables: Millis(0),
            events: BTreeMap::new(),
        };
        let mut arrives = |topic: Topic, key: &str, time: i64| {
            let ready = Ready {
                topic,
                key: key.to_owned(),
                time: Some(Millis(time)),
                arrival: None,
                payload: None,
                state: None,
                states: None,
            };
            arrival.of(ready).1.arrival.0
        };
        assert_eq!(arrives(Topic::IN_EVENT, "card", 50), 50);
        assert_eq!(arrives(Topic::IN_EVENT, "card", 40), 50, "an earlier beginning");
        assert_eq!(arrives(Topic::IN_EVENT, "other", 40), 40);
        assert_eq!(arrives(Topic::IN_EVENT, "card", 500), 100);
        assert_eq!(arrives(Topic::IN_OBSERVATION, "rain", 50), 50);
        assert_eq!(arrives(Topic::IN_OBSERVATION, "rain", 40), 40);
    }
}
