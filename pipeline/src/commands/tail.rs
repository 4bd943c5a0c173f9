//! `riskflow tail`.

mod people;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use riskflow_config::{Input, Output, Settings};
use riskflow_connectors::{Polled, RawRecord, Share, Source, Until, Verdict, open_source};
use riskflow_model::Millis;
use riskflow_model::progress::Offsets;
use riskflow_model::topic::{Direction, Topic};
use serde_json::value::RawValue;

use super::configuration;
use crate::cli::TailArguments;
use crate::escape;
use crate::terminal::{say, say_in_colour};
use people::{Kind, Names};

/// Prints the records of a topic.
pub fn tail(arguments: &TailArguments) -> Result<ExitCode> {
    let (_, settings) = configuration::load(&arguments.config)?;
    let kind = Kind::from_name(&arguments.topic);
    let topic = kind.map(Kind::topic).or_else(|| Topic::from_name(&arguments.topic));
    let topic = topic.ok_or_else(|| {
        let kinds = Kind::ALL.into_iter().map(Kind::name);
        let names: Vec<&str> = kinds.chain(Topic::ALL.into_iter().map(Topic::name)).collect();
        anyhow!(
            "there is no topic `{}`; give one of `{}`",
            arguments.topic,
            names.join("`, `")
        )
    })?;
    let until = if arguments.follow { Until::Forever } else { Until::End };
    let source = open(&settings, topic, until).context("could not open the topic")?;
    let limit = arguments.limit.unwrap_or(usize::MAX);
    match kind {
        Some(kind) if !arguments.json => for_people(source, kind, &names(&settings), limit),
        _ => as_it_is(source, arguments.json, limit),
    }
}

fn open(settings: &Settings, topic: Topic, until: Until) -> Result<Box<dyn Source>> {
    let place = match (topic.direction(), &settings.output) {
        (Direction::In, _) => settings.input.clone(),
        (Direction::Out, Output::Log(folder)) => Input::Log(folder.clone()),
        (Direction::Out, Output::Kafka(kafka)) => Input::Kafka(kafka.clone()),
        (Direction::Out, Output::Files(_)) => return Err(anyhow!("output goes to files: read these")),
    };
    let beginning = Offsets::default();
    let source = open_source(&place, &settings.topics, &[topic], Share::WHOLE, until, &beginning);
    Ok(source?)
}

/// Records as they come, partition by partition.
fn as_it_is(mut source: Box<dyn Source>, envelope: bool, limit: usize) -> Result<ExitCode> {
    let mut left = limit;
    while left > 0 {
        let mut taken = 0;
        let polled = source.poll(left.min(1_000), &mut |record| {
            taken += 1;
            say(show(&record, envelope));
            Verdict::Taken
        })?;
        left -= taken;
        match polled {
            Polled::Ended => break,
            Polled::Idle | Polled::Blocked => wait(),
            Polled::More => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Lines by epoch: what is there in one go, then what comes.
fn for_people(mut source: Box<dyn Source>, kind: Kind, names: &Names, limit: usize) -> Result<ExitCode> {
    let mut lines: Vec<(Millis, String)> = Vec::new();
    let mut left = limit;
    loop {
        let polled = source.poll(10_000, &mut |record| {
            lines.push(kind.line(&record, names));
            Verdict::Taken
        })?;
        // Of one epoch they stay in the order of the partition.
        if polled == Polled::Ended || (polled != Polled::More && source.caught_up()) {
            lines.sort_by_key(|(epoch, _)| *epoch);
            for (_, line) in lines.drain(..).take(left) {
                left -= 1;
                say_in_colour(line);
            }
        }
        match polled {
            _ if left == 0 => break,
            Polled::Ended => break,
            Polled::Idle | Polled::Blocked => wait(),
            Polled::More => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Nothing is at hand: a follower looks again soon.
fn wait() {
    std::thread::sleep(Duration::from_millis(20));
}

/// The names of regions, where they can be read: without them lines show codes.
fn names(settings: &Settings) -> Names {
    let read = || -> Result<Names> {
        let mut names = Names::default();
        let mut source = open(settings, Topic::BaseRegion, Until::End)?;
        while source.poll(10_000, &mut |record| {
            names.note(&record);
            Verdict::Taken
        })? != Polled::Ended
        {}
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
