//! Answers that rest on input tables alone: each computed naively, beside records that make up its histories.

use std::collections::BTreeMap;

use riskflow_model::catalogue::{Maintenance, MaintenanceKind, MaintenanceTotal};
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Row, Text};
use serde_json::{Value, json};

use super::place::Places;
use super::table::Table;
use crate::history::{Draw, START};

/// One of them.
pub trait Standalone {
    /// A record of any table.
    fn apply(&mut self, topic: u16, key: Key, row: Option<&Row>);

    /// All rows that there must be, as JSON, by key.
    fn rows(&self, places: &Places) -> (Topic, BTreeMap<Text, Value>);

    /// A record of its table, in one of these regions: its topic, its identifier, its row or none.
    fn draw(&self, draw: &mut Draw, regions: &[&str]) -> (Topic, String, Option<Value>);
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Box<dyn Standalone>> {
    vec![Box::new(Windows::default())]
}

/// Maintenance windows.
#[derive(Default)]
struct Windows(Table<Maintenance>);

impl Standalone for Windows {
    fn apply(&mut self, topic: u16, key: Key, row: Option<&Row>) {
        self.0.apply(topic, key, row);
    }

    fn rows(&self, places: &Places) -> (Topic, BTreeMap<Text, Value>) {
        let mut counts: BTreeMap<(String, &str), i64> = BTreeMap::new();
        for window in self.0.values().filter(|window| !window.cancelled) {
            for region in places.chain(&window.region.to_string()) {
                let kind = match window.kind {
                    MaintenanceKind::Sensor => "sensor",
                    MaintenanceKind::Asset => "asset",
                    MaintenanceKind::Exercise => "exercise",
                };
                *counts.entry((region, kind)).or_default() += 1;
            }
        }
        let rows = counts.into_iter().map(|((region, kind), windows)| {
            let row = json!({ "region": region, "kind": kind, "windows": windows });
            (format!("{region}/{kind}").into(), row)
        });
        (Topic::of::<MaintenanceTotal>(), rows.collect())
    }

    fn draw(&self, draw: &mut Draw, regions: &[&str]) -> (Topic, String, Option<Value>) {
        let id = format!("window-{}", draw.below(5));
        let row = json!({
            "id": id, "version": draw.below(6), "kind": draw.pick(&["sensor", "asset", "exercise"]),
            "region": draw.pick(regions), "valid_from": START, "valid_to": START + 60_000 * (1 + draw.below(5) as i64), "cancelled": draw.once_in(4),
        });
        let row = (!draw.once_in(6)).then_some(row);
        (Topic::of::<Maintenance>(), id, row)
    }
}
