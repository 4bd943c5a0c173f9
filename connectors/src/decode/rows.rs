//! Rows of the input tables.

use riskflow_config::{BaseRow, InputRecord, Rule};
use riskflow_model::base::{Asset, Datastream, Position, Region};
use riskflow_model::output::Reason;
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Shared};
use serde::Deserialize;

use super::reject::of_parser;
use super::{Rejection, bounds, intake, responsibility};
use crate::RawRecord;

const MOST_PEOPLE: u32 = 100_000_000;

pub(super) fn tombstone(record: &RawRecord<'_>) -> Result<InputRecord, Rejection> {
    let topic = record.topic;
    if !topic.is_base() {
        return Err(Rejection::field(
            "payload",
            "null",
            "a record; to take an observation back, one with `op`: `delete`",
        ));
    }
    match record.key {
        Some(key) if !key.is_empty() => Ok(InputRecord::Base(Key::of_bytes(key), None)),
        _ => Err(Rejection::new(
            Reason::KeyMismatch,
            format!(
                "a null payload deletes, but the record has no key; give the `{}`",
                topic.key()
            ),
        )),
    }
}

pub(super) fn decode(topic: Topic, key: Option<&[u8]>, text: &str) -> Result<InputRecord, Rejection> {
    let row = match topic {
        Topic::BaseRegion => BaseRow::Region(Shared::new(parse::<Region>(text)?)),
        Topic::BaseAsset => BaseRow::Asset(Shared::new(asset(parse(text)?)?)),
        Topic::BaseDatastream => BaseRow::Datastream(Shared::new(datastream(parse(text)?)?)),
        Topic::InRule => BaseRow::Rule(rule(text)?),
        Topic::BaseUnit => BaseRow::Unit(Shared::new(responsibility::unit(parse(text)?)?)),
        Topic::BaseUser => BaseRow::User(Shared::new(responsibility::user(parse(text)?)?)),
        Topic::BaseDuty => BaseRow::Duty(Shared::new(responsibility::duty(parse(text)?)?)),
        Topic::BasePlan => BaseRow::Plan(Shared::new(responsibility::plan(parse(text)?)?)),
        Topic::BaseLimit => BaseRow::Limit(Shared::new(intake::limit(parse(text)?)?)),
        Topic::InPermit => BaseRow::Permit(Shared::new(intake::permit(parse(text)?)?)),
        Topic::InReport => BaseRow::Report(Shared::new(intake::report(parse(text)?)?)),
        Topic::InIncident => BaseRow::Incident(Shared::new(intake::incident(parse(text)?)?)),
        _ => return Err(Rejection::field("topic", topic, "a topic that riskflow reads")),
    };
    bounds::check(&row)?;
    let id = row.id();
    if id.is_empty() {
        return Err(Rejection::field(topic.key(), "empty", "an identifier"));
    }
    if let Some(key) = key.filter(|key| *key != id.as_bytes()) {
        let key = String::from_utf8_lossy(key);
        let detail = format!(
            "the record's key is `{key}`, but its `{}` is `{id}`; give the same",
            topic.key()
        );
        return Err(Rejection::new(Reason::KeyMismatch, detail));
    }
    Ok(InputRecord::Base(Key::of(&id), Some(row)))
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Rejection> {
    serde_json::from_str(text).map_err(|error| of_parser(text, &error))
}

fn asset(asset: Asset) -> Result<Asset, Rejection> {
    if asset.population > MOST_PEOPLE {
        return Err(Rejection::field("population", asset.population, "0 to 100000000"));
    }
    if let Some(Position { longitude, latitude }) = asset.position {
        if longitude.0.abs() > 180.0 {
            return Err(Rejection::field(
                "position.longitude",
                longitude,
                "degrees from -180 to 180",
            ));
        }
        if latitude.0.abs() > 90.0 {
            return Err(Rejection::field(
                "position.latitude",
                latitude,
                "degrees from -90 to 90",
            ));
        }
    }
    Ok(asset)
}

fn datastream(datastream: Datastream) -> Result<Datastream, Rejection> {
    // Work under permit stands beside datastreams under this name.
    if &*datastream.id == "permit" {
        return Err(Rejection::field(
            "id",
            "`permit`",
            "another: it stands for work under permit",
        ));
    }
    for (name, value) in [
        ("asset", &datastream.asset),
        ("observed_property", &datastream.observed_property),
    ] {
        if value.is_empty() {
            return Err(Rejection::field(name, "empty", "an identifier"));
        }
    }
    Ok(datastream)
}

fn rule(text: &str) -> Result<Rule, Rejection> {
    Rule::from_json(text.as_bytes()).map_err(|problems| {
        // What is no JSON at all is not a rule with a mistake.
        match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => Rejection::new(Reason::InvalidRule, problems.to_string()),
            Err(error) => of_parser(text, &error),
        }
    })
}
