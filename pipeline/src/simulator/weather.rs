//! Real hourly weather of two stations in 2013 as input records: measured, not simulated.
//!
//! The stations (Newark, EWR, and New York, JFK) stand in regions of an artificial city, 9900.

use riskflow_model::Millis;
use riskflow_model::topic::Topic;
use serde_json::json;

const CSV: &str = include_str!("../../data/weather_hourly_2013_ewr_jfk.csv");

/// Observed property, unit, column, and what one unit of the column is in ours: inches to millimetres and miles an hour to
/// metres a second are exact by definition.
const COLUMNS: [(&str, &str, usize, f64); 4] = [
    ("rainfall", "mm", 2, 25.4),
    ("wind_speed", "m/s", 3, 0.447_04),
    ("wind_gust", "m/s", 4, 0.447_04),
    ("air_pressure", "hPa", 5, 1.0),
];

const STATIONS: [(&str, &str); 2] = [("EWR", "990001001001"), ("JFK", "990001001002")];

/// Regions, assets, datastreams and the rules of all packs: topic, key, payload.
#[must_use]
pub fn base() -> Vec<(Topic, String, Vec<u8>)> {
    let mut records = Vec::new();
    let mut add = |topic, key: &str, value: serde_json::Value| {
        records.push((topic, key.to_owned(), value.to_string().into_bytes()))
    };
    let regions = [("9900", "stations"), ("990001", "stations"), ("990001001", "stations")];
    for (code, name) in regions
        .into_iter()
        .chain(STATIONS.map(|(station, code)| (code, station)))
    {
        add(
            Topic::BASE_REGION,
            code,
            json!({ "code": code, "name": format!("{name} (measured 2013)") }),
        );
    }
    for (station, village) in STATIONS {
        let asset = json!({
            "id": station, "name": station, "category": "weather_station", "domain": "natural_hazard",
            "region": village, "inherent_level": 2, "population": 1000, "tags": ["measured"],
        });
        add(Topic::BASE_ASSET, station, asset);
        for (property, unit, _, _) in COLUMNS {
            let id = format!("{station}-{property}");
            let datastream = json!({
                "id": id, "asset": station, "observed_property": property, "unit": unit, "tags": ["measured"],
            });
            add(Topic::BASE_DATASTREAM, &id, datastream);
        }
    }
    for rule in riskflow_config::packs::all().unwrap_or_default() {
        if let Ok(value) = serde_json::to_value(&rule.record) {
            add(Topic::IN_RULE, &rule.record.id, value);
        }
    }
    records
}

/// Every measured value in the order of time: time, key, payload. Missing values (`NA`) are left out.
pub fn observations() -> impl Iterator<Item = (Millis, String, Vec<u8>)> {
    let mut rows: Vec<(Millis, &str)> = CSV
        .lines()
        .skip(1)
        .filter_map(|line| Some((line.split(',').nth(1)?.parse().ok()?, line)))
        .collect();
    rows.sort_by_key(|(time, _)| *time);
    rows.into_iter().flat_map(|(time, line)| {
        let cells: Vec<&str> = line.split(',').collect();
        COLUMNS.into_iter().filter_map(move |(property, _, column, unit)| {
            let value: f64 = cells.get(column)?.parse().ok()?;
            let result = (value * unit * 1000.0).round() / 1000.0;
            let id = format!("{}-{property}", cells[0]);
            let payload = format!(
                r#"{{"datastream":"{id}","phenomenon_time":{},"result":{result}}}"#,
                time.0
            );
            Some((time, id, payload.into_bytes()))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measured_value_becomes_one_observation_in_order() {
        let values = CSV
            .lines()
            .skip(1)
            .map(|line| line.split(',').skip(2).take(4).filter(|cell| *cell != "NA").count());
        let observations: Vec<_> = observations().collect();
        assert_eq!(observations.len(), values.sum::<usize>());
        assert!(observations.is_sorted_by_key(|(time, _, _)| *time));
    }
}
