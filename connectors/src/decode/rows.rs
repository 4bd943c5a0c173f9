//! Rows of the input tables.

use riskflow_config::{BaseRow, InputRecord, Rule, json};
use riskflow_model::base::{Asset, Datastream, Position, Region, ValidRange};
use riskflow_model::observation::Reading;
use riskflow_model::output::Reason;
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Level, Number, Shared, duration, identifier, shortened};
use serde::de::IgnoredAny;

use super::reject::{Check, parse, unreadable};
use super::{Rejection, bounds, intake, responsibility};
use crate::RawRecord;

const MOST_PEOPLE: u32 = 100_000_000;
const MOST_NO_VALUES: usize = 20;

pub(super) fn tombstone(record: &RawRecord<'_>) -> Result<InputRecord, Rejection> {
    let topic = record.topic;
    if !topic.is_base() {
        return Err(Rejection::field(
            "payload",
            "null",
            "a record; to take an observation back, one with `op`: `delete`",
        ));
    }
    let name = topic.key();
    let Some(key) = record.key.filter(|key| !key.is_empty()) else {
        let detail = format!("a null payload deletes, but the record has no key; give the `{name}`");
        return Err(Rejection::new(Reason::KeyMismatch, detail));
    };
    let wrong = match str::from_utf8(key) {
        Ok(text) => match identifier::check(text) {
            Ok(()) => return Ok(InputRecord::Base(Key::of(text), None)),
            Err(wrong) => wrong.to_string(),
        },
        Err(error) => format!("no UTF-8 from byte {} on; give UTF-8", error.valid_up_to()),
    };
    let detail = format!("a null payload deletes the row with its key as `{name}`, but the key is {wrong}");
    Err(Rejection::new(Reason::KeyMismatch, detail))
}

pub(super) fn decode(topic: Topic, key: Option<&[u8]>, text: &str) -> Result<InputRecord, Rejection> {
    let row = match topic {
        Topic::BaseRegion => BaseRow::Region(Shared::new(region(parse(text)?)?)),
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
    same_key(key, topic.key(), &id)?;
    Ok(InputRecord::Base(Key::of(&id), Some(row)))
}

/// The key of a record, if it has one, must be what its field says.
pub(super) fn same_key(key: Option<&[u8]>, field: &str, id: &str) -> Result<(), Rejection> {
    let Some(key) = key.filter(|key| *key != id.as_bytes()) else {
        return Ok(());
    };
    let key = String::from_utf8_lossy(key);
    let detail = match identifier::check(&key) {
        Err(wrong) if !key.is_empty() => format!("the record's key is {}; give its `{field}`, `{id}`", wrong.found),
        _ => format!("the record's key is `{key}`, but its `{field}` is `{id}`; give the same"),
    };
    Err(Rejection::new(Reason::KeyMismatch, detail))
}

/// The key of the row that a record is about which was refused; `None` where it does not say.
#[must_use]
pub fn table_key(record: &RawRecord<'_>) -> Option<Key> {
    if !record.topic.is_base() {
        return None;
    }
    let id = match record.key {
        Some(key) => String::from_utf8(key.to_vec()).ok()?,
        None => {
            let text = str::from_utf8(record.payload?).ok()?;
            serde_json::from_str(json::field(text, record.topic.key())?).ok()?
        }
    };
    identifier::check(&id).is_ok().then(|| Key::of(&id))
}

fn region(region: Region) -> Result<Region, Rejection> {
    let mut check = Check::default();
    let (code, by_code) = (region.code, region.code.parent());
    match region.parent {
        None => {}
        Some(parent) if code.is_statistical() && Some(parent) != by_code => {
            let give = by_code.map_or_else(
                || "none: no region lies above a province".to_owned(),
                |parent| format!("`{parent}`, as its digits say, or leave it out"),
            );
            check.wrong("parent", format!("`{parent}`"), &give);
        }
        Some(parent) if parent == code => {
            check.wrong(
                "parent",
                format!("`{parent}`, the region itself"),
                "another region, or leave it out",
            );
        }
        Some(_) => {}
    }
    check.done(region)
}

fn asset(asset: Asset) -> Result<Asset, Rejection> {
    let mut check = Check::default();
    check.identifier("id", &asset.id);
    check.identifier("category", &asset.category);
    check.identifiers("tags", &asset.tags);
    if asset.population > MOST_PEOPLE {
        check.wrong("population", asset.population, "0 to 100000000");
    }
    if let Some(Position { longitude, latitude }) = asset.position {
        if longitude.0.abs() > 180.0 {
            check.wrong("position.longitude", longitude, "degrees from -180 to 180");
        }
        if latitude.0.abs() > 90.0 {
            check.wrong("position.latitude", latitude, "degrees from -90 to 90");
        }
    }
    check.done(asset)
}

fn datastream(datastream: Datastream) -> Result<Datastream, Rejection> {
    let mut check = Check::default();
    check.identifier("id", &datastream.id);
    // Work under permit stands beside datastreams under this name.
    if &*datastream.id == "permit" {
        check.wrong("id", "`permit`", "another: it stands for work under permit");
    }
    check.identifier("asset", &datastream.asset);
    check.identifier("observed_property", &datastream.observed_property);
    check.identifiers("tags", &datastream.tags);
    for (rule, own) in datastream.thresholds.iter() {
        check.identifier(format_args!("thresholds.{rule}"), rule);
        for (key, threshold) in own.iter() {
            // Written down only if something is wrong with it.
            let field = format_args!("thresholds.{rule}.{key}");
            let (level, name) = match key.split_once('.') {
                Some((level, name)) => (level, Some(name)),
                None => (&**key, None),
            };
            if !Level::WARNING.iter().any(|known| known.name() == level) {
                let give = "a level, `blue`, `yellow`, `orange` or `red`, or one with a name, such as `blue.h3`";
                check.wrong(field, "for no level", give);
            }
            check.identifier_if_any(field, name);
            if threshold.thousandths().is_none() {
                check.wrong(
                    field,
                    threshold,
                    "a number with at most three decimals, from -1e12 to 1e12",
                );
            }
        }
    }
    sense(&mut check, &datastream);
    check.done(datastream)
}

/// Which results are values, and how often they come.
fn sense(check: &mut Check, datastream: &Datastream) {
    let exact = |number: Number| number.thousandths().is_some() && number.0.abs() <= Reading::LIMIT;
    let give = "a number with at most three decimals, from -1e9 to 1e9: no result lies beyond";
    if let Some(ValidRange { min, max }) = datastream.valid.as_deref().copied() {
        for (name, border) in [("valid.min", min), ("valid.max", max)] {
            if let Some(border) = border.filter(|border| !exact(*border)) {
                check.wrong(name, border, give);
            }
        }
        match (min, max) {
            (None, None) => check.wrong("valid", "without borders", "`min`, `max` or both"),
            (Some(min), Some(max)) if min.0 > max.0 => {
                check.wrong("valid.max", max, &format!("at least {min}, as `valid.min` is"));
            }
            _ => {}
        }
    }
    if datastream.no_value.len() > MOST_NO_VALUES {
        let found = format!("a list of {}", datastream.no_value.len());
        check.wrong("no_value", found, "at most 20 numbers");
    }
    for (index, number) in datastream
        .no_value
        .iter()
        .enumerate()
        .filter(|(_, number)| !exact(**number))
    {
        check.wrong(format!("no_value[{index}]"), number, give);
    }
    if let Some(interval) = &datastream.interval {
        let millis = duration::parse(interval).ok();
        if !millis.is_some_and(|millis| (1_000..=366 * 86_400_000).contains(&millis)) {
            let found = format!("`{}`", shortened(interval, 100));
            check.wrong("interval", found, "a duration from 1s to 366d, such as `5m`");
        }
    }
}

fn rule(text: &str) -> Result<Rule, Rejection> {
    Rule::from_json(text.as_bytes()).map_err(|problems| {
        // What is no JSON at all is not a rule with a mistake.
        match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Rejection::new(Reason::InvalidRule, problems.to_string()),
            Err(error) => unreadable(text, json::Unreadable::Malformed(format!("no JSON: {error}"))),
        }
    })
}
