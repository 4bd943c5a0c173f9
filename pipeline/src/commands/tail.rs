//! `riskflow tail`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use riskflow_config::{Input, Output};
use riskflow_connectors::{Polled, RawRecord, Share, Until, Verdict, open_source};
use riskflow_model::progress::Offsets;
use riskflow_model::topic::{Direction, Topic};
use serde_json::value::RawValue;

use super::configuration;
use crate::cli::TailArguments;
use crate::terminal::say;

/// Prints the records of a topic.
pub fn tail(arguments: &TailArguments) -> Result<ExitCode> {
    let (_, settings) = configuration::load(&arguments.config)?;
    let topic = Topic::from_name(&arguments.topic).ok_or_else(|| {
        let names: Vec<&str> = Topic::ALL.into_iter().map(Topic::name).collect();
        anyhow!(
            "there is no topic `{}`; give one of `{}`",
            arguments.topic,
            names.join("`, `")
        )
    })?;
    let place = match (topic.direction(), &settings.output) {
        (Direction::In, _) => settings.input.clone(),
        (Direction::Out, Output::Log(folder)) => Input::Log(folder.clone()),
        (Direction::Out, Output::Kafka(kafka)) => Input::Kafka(kafka.clone()),
        (Direction::Out, Output::Files(_)) => return Err(anyhow!("output goes to files: read these")),
    };
    let until = if arguments.follow { Until::Forever } else { Until::End };
    let mut source = open_source(
        &place,
        &settings.topics,
        &[topic],
        Share::WHOLE,
        until,
        &Offsets::default(),
    )
    .context("could not open the topic")?;
    let mut left = arguments.limit.unwrap_or(usize::MAX);
    while left > 0 {
        let mut taken = 0;
        let polled = source.poll(left.min(1_000), &mut |record| {
            taken += 1;
            say(show(&record, arguments.json));
            Verdict::Taken
        })?;
        left -= taken;
        match polled {
            Polled::Ended => break,
            // Nothing is at hand: a follower looks again soon.
            Polled::Idle | Polled::Blocked => std::thread::sleep(Duration::from_millis(20)),
            Polled::More => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(record: &RawRecord<'_>, envelope: bool) -> String {
    let key = record.key.map(String::from_utf8_lossy).unwrap_or_default();
    let payload = record.payload.map(String::from_utf8_lossy);
    if !envelope {
        let arrival = record.arrival.map(|arrival| arrival.to_string()).unwrap_or_default();
        return format!("{arrival} {key} {}", payload.as_deref().unwrap_or("(deleted)"));
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
    format!(
        r#"{{"topic":"{}","key":{key},"value":{value},"arrival":{arrival}}}"#,
        record.topic
    )
}
