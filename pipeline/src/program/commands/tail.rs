//! `riskflow tail`.

pub(super) mod people;

use std::collections::{BTreeMap, VecDeque};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use riskflow::runtime::clock::wall_clock;
use riskflow_config::{Input, Output, Settings};
use riskflow_connectors::{Polled, RawRecord, Share, Source, Until, Verdict, back_from_end, open_source};
use riskflow_model::progress::Offsets;
use riskflow_model::topic::{Direction, Topic};
use riskflow_model::{Millis, duration};
use serde_json::value::RawValue;

use super::configuration;
use crate::program::cli::TailArguments;
use crate::program::escape;
use crate::program::exit::{GivenUp, Usage};
use crate::program::terminal::{is_unread, say, say_in_colour};
use people::{Kind, Names};

/// Prints the records of a topic.
pub fn tail(arguments: &TailArguments) -> Result<ExitCode> {
    let (_, settings) = configuration::load(&arguments.config)?;
    let kind = match (Kind::from_name(&arguments.topic), arguments.history) {
        (Some(Kind::Warnings), true) => Some(Kind::History),
        (_, true) => {
            let says = format!("`--history` is of warnings, not of `{}`", arguments.topic);
            return Err(Usage(says).into());
        }
        (kind, false) => kind,
    };
    let topic = kind.map(Kind::topic).or_else(|| Topic::from_name(&arguments.topic));
    let topic = topic.ok_or_else(|| {
        let kinds = Kind::ALL.into_iter().map(Kind::name);
        let names: Vec<&str> = kinds.chain(Topic::all().map(Topic::name)).collect();
        Usage(format!(
            "there is no topic `{}`; give one of `{}`",
            arguments.topic,
            names.join("`, `")
        ))
    })?;
    configuration::needs(&settings, topic)?;
    let now = Millis(wall_clock());
    let since = arguments.since.as_deref().map(|since| moment(since, now)).transpose()?;
    // A follower wants what comes; how it stood before is told by the newest.
    let newest = arguments
        .limit
        .or((arguments.follow && since.is_none()).then_some(BEFORE));
    let shown = Shown {
        people: kind.filter(|_| !arguments.json).map(|kind| (kind, names(&settings))),
        envelope: arguments.json,
        since,
    };
    let mut read = Read {
        place: place_of(&settings, topic)?,
        settings: &settings,
        topic,
        next: Offsets::default(),
    };
    read.backlog(&shown, newest).context("could not read the topic")?;
    if arguments.follow {
        read.follow(&shown).context("could not read the topic")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// So many records a follower begins with.
const BEFORE: usize = 10;

/// A time, or how long ago.
fn moment(text: &str, now: Millis) -> Result<Millis> {
    if let Ok(millis) = duration::parse(text) {
        return Ok(now - riskflow_model::Duration(millis));
    }
    text.parse()
        .map_err(|error| Usage(format!("`--since` is `{text}`: {error}, or how long ago, such as `2h`")).into())
}

/// Where a topic is read.
pub fn place_of(settings: &Settings, topic: Topic) -> Result<Input> {
    Ok(match (topic.direction(), &settings.output) {
        (Direction::In, _) => settings.input.clone(),
        (Direction::Out, Output::Log(folder)) => Input::Log(folder.clone()),
        (Direction::Out, Output::Kafka(kafka)) => Input::Kafka(kafka.clone()),
        (Direction::Out, Output::Files(files)) => {
            let file = files.file(topic);
            let says = format!("output goes to files: read {}", file.display());
            return Err(Usage(says).into());
        }
    })
}

/// How what a job writes to a topic is read, for people. `what`: how `tail` calls it, and with which more arguments. An exercise lies beside
/// what the configuration names.
pub fn read_with(settings: &Settings, (what, more): (&str, &str), topic: Topic) -> String {
    let command = format!("riskflow tail {what}{more}");
    let exercise = settings.output_topics.exercise;
    match &settings.output {
        Output::Files(files) if files.folder.as_os_str() == "-" => format!("`{topic}` in what it writes"),
        Output::Files(files) if files.folder.as_os_str() == "/dev/null" => {
            format!("`{topic}` of an output that is kept")
        }
        Output::Files(files) => format!("`{}`", files.file(topic).display()),
        Output::Log(folder) if exercise => {
            format!(
                "`{command} --set output.kind=log --set output.path={}`",
                folder.display()
            )
        }
        Output::Kafka(_) if exercise => {
            let prefix = &settings.output_topics.prefix;
            format!("`{command} --set output.kind=kafka --set topics.prefix={prefix}`")
        }
        Output::Log(_) | Output::Kafka(_) => format!("`{command}`"),
    }
}

/// Which records are shown, and how.
struct Shown {
    /// As lines for people.
    people: Option<(Kind, Names)>,
    /// Else as envelopes, or as they are.
    envelope: bool,
    since: Option<Millis>,
}

/// A line and what it is sorted by.
struct Line {
    /// The epoch, or when the record arrived.
    at: Millis,
    text: String,
}

impl Shown {
    fn line(&self, record: &RawRecord<'_>) -> Option<Line> {
        let line = match &self.people {
            Some((kind, names)) => {
                let (at, text) = kind.line(record, names);
                Line { at, text }
            }
            None => Line {
                // One without a time is shown rather than left out.
                at: record.arrival.unwrap_or(Millis(i64::MAX)),
                text: show(record, self.envelope),
            },
        };
        self.since.is_none_or(|since| line.at >= since).then_some(line)
    }

    fn say(&self, line: &Line) {
        if self.people.is_some() {
            say_in_colour(&line.text);
        } else {
            say(&line.text);
        }
    }
}

struct Read<'a> {
    place: Input,
    settings: &'a Settings,
    topic: Topic,
    /// Where each partition goes on.
    next: Offsets,
}

impl Read<'_> {
    fn open(&self, until: Until, from: &Offsets) -> Result<Box<dyn Source>> {
        let topics = &self.settings.topics;
        Ok(open_source(
            &self.place,
            topics,
            &[self.topic],
            Share::WHOLE,
            until,
            from,
        )?)
    }

    /// What is there: the newest so many, or all.
    fn backlog(&mut self, shown: &Shown, newest: Option<usize>) -> Result<()> {
        let mut reach = newest.map(|newest| 4 * newest as u64 + 64);
        loop {
            let (from, whole) = match reach {
                Some(reach) => back_from_end(&self.place, &self.settings.topics, &[self.topic], reach)?,
                None => (Offsets::default(), true),
            };
            let is_enough = self.backlog_from(shown, newest, &from, whole)?;
            if is_enough {
                return Ok(());
            }
            // Offsets need not be records: further back.
            reach = reach.map(|reach| reach.saturating_mul(8));
        }
    }

    /// The same, from offsets on. Nothing is shown, and `false` returned, where some of the newest may stand before these.
    fn backlog_from(&mut self, shown: &Shown, newest: Option<usize>, from: &Offsets, whole: bool) -> Result<bool> {
        let mut source = self.open(Until::End, from)?;
        // By partition: of each only the newest count.
        let mut kept: BTreeMap<u16, VecDeque<Line>> = BTreeMap::new();
        let mut next = from.clone();
        let keep = newest.unwrap_or(usize::MAX);
        // Lines for people go by epoch, and so do the newest; all else can be shown as it comes.
        let at_once = shown.people.is_none() && newest.is_none();
        loop {
            let polled = source.poll(10_000, &mut |record| {
                next.advance(record.topic, record.partition, record.offset + 1);
                let Some(line) = shown.line(&record) else {
                    return Verdict::Taken;
                };
                if at_once {
                    shown.say(&line);
                    return Verdict::Taken;
                }
                let lines = kept.entry(record.partition).or_default();
                if lines.len() == keep {
                    lines.pop_front();
                }
                if keep > 0 {
                    lines.push_back(line);
                }
                Verdict::Taken
            })?;
            if is_unread() {
                return Ok(true);
            }
            match polled {
                Polled::Ended => break,
                Polled::Idle | Polled::Blocked => wait(),
                Polled::More => {}
            }
        }
        let is_sure =
            |(_, partition, _): (Topic, u16, u64)| kept.get(&partition).is_some_and(|lines| lines.len() >= keep);
        if !whole && !from.iter().all(is_sure) {
            return Ok(false);
        }
        self.next = next;
        // Of one epoch they stay in the order of the partition.
        let mut lines: Vec<Line> = kept.into_values().flatten().collect();
        lines.sort_by_key(|line| line.at);
        let first = lines.len().saturating_sub(keep);
        lines[first..].iter().for_each(|line| shown.say(line));
        Ok(true)
    }

    /// What comes behind that.
    fn follow(&self, shown: &Shown) -> Result<()> {
        let mut source = self.open(Until::Forever, &self.next)?;
        let mut lines: Vec<Line> = Vec::new();
        loop {
            let polled = source.poll(10_000, &mut |record| {
                lines.extend(shown.line(&record));
                Verdict::Taken
            })?;
            if polled != Polled::More {
                lines.sort_by_key(|line| line.at);
                lines.drain(..).for_each(|line| shown.say(&line));
                // Files have an end, and so has the patience of whoever reads.
                if polled == Polled::Ended || is_unread() {
                    return Ok(());
                }
                wait();
            }
        }
    }
}

/// Nothing is at hand: a follower looks again soon.
fn wait() {
    std::thread::sleep(Duration::from_millis(20));
}

/// Reads topics of one place once, from their first records to where they end now. A record that is not taken ends its partition there.
pub(super) fn read_once(
    settings: &Settings,
    topics: &[Topic],
    take: &mut dyn FnMut(&RawRecord<'_>) -> Verdict,
) -> Result<()> {
    read_while(settings, topics, &|| true, take)
}

/// The same, for as long as somebody `waits` for it, which is asked now and then.
///
/// # Errors
///
/// [`GivenUp`] when nobody does any more.
pub(super) fn read_while(
    settings: &Settings,
    topics: &[Topic],
    waits: &dyn Fn() -> bool,
    take: &mut dyn FnMut(&RawRecord<'_>) -> Verdict,
) -> Result<()> {
    let first = topics.first().context("no topic to read")?;
    let (place, beginning) = (place_of(settings, *first)?, Offsets::default());
    let mut source = open_source(&place, &settings.topics, topics, Share::WHOLE, Until::End, &beginning)?;
    loop {
        let polled = source.poll(10_000, &mut |record| take(&record))?;
        if matches!(polled, Polled::Ended | Polled::Blocked) {
            return Ok(());
        }
        if !waits() {
            return Err(GivenUp.into());
        }
        if polled == Polled::Idle {
            wait();
        }
    }
}

/// The names of regions, where they can be read: without them lines show codes.
pub(super) fn names(settings: &Settings) -> Names {
    let read = || -> Result<Names> {
        let mut names = Names::default();
        read_once(settings, &[Topic::BASE_REGION], &mut |record| {
            names.note(record);
            Verdict::Taken
        })?;
        Ok(names)
    };
    if matches!(settings.input, Input::Files(_)) {
        return Names::default();
    }
    read().unwrap_or_else(|error| {
        tracing::warn!(%error, "could not read the names of regions");
        Names::default()
    })
}

fn show(record: &RawRecord<'_>, envelope: bool) -> String {
    let key = record.key.map(String::from_utf8_lossy).unwrap_or_default();
    let payload = record.payload.map(String::from_utf8_lossy);
    if !envelope {
        let arrival = record.arrival.map(|arrival| arrival.to_string()).unwrap_or_default();
        let payload = payload.as_deref().unwrap_or("(deleted)");
        return format!("{arrival} {} {}", escape::line(&key), escape::line(payload));
    }
    let value = match payload.as_deref() {
        None => "null".to_owned(),
        Some(payload) if serde_json::from_str::<&RawValue>(payload).is_ok() => payload.to_owned(),
        Some(payload) => serde_json::Value::from(payload).to_string(),
    };
    let arrival = record
        .arrival
        .map_or_else(|| "null".to_owned(), |arrival| arrival.0.to_string());
    let key = serde_json::Value::from(key.as_ref());
    let envelope = format!(
        r#"{{"topic":"{}","key":{key},"value":{value},"arrival":{arrival}}}"#,
        record.topic
    );
    escape::json(&envelope).into_owned()
}
