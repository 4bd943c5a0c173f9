//! The demo's city: Zhoushan with its real regions, and simulated assets, sensors and a storm in it.
//!
//! Regions, outlines and the tide are real (see `data/README.md`); assets, readings and people are drawn by lot from a seed
//! and tagged `simulated`. The storm follows the published facts of typhoon In-Fa (2106), which landed at Putuo on 2021-07-25
//! about 12:30 (UTC+8) with 38 m/s and 965 hPa. The same options give the same bytes everywhere.

use std::fmt::Write as _;

use riskflow_model::topic::Topic;
use riskflow_model::{Millis, RegionCode};
use serde_json::json;

mod catalogue;
mod nature;
mod people;
mod places;
mod storm;

use crate::simulator::draw::Draw;
use catalogue::{KINDS, Kind, Sensor};
use nature::Nature;
pub use people::Officers;
use places::{Place, places};

/// What to build.
#[derive(Clone, Copy, Debug)]
pub struct CityOptions {
    /// Datastreams, 1,000 to 1,000,000.
    pub datastreams: usize,
    /// The seed of everything that is drawn by lot.
    pub seed: u64,
    /// Hours of storm, up to six hours after the landfall.
    pub hours: u32,
}

/// A record to be written to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The topic.
    pub topic: Topic,
    /// When it arrives.
    pub arrival: Millis,
    /// Its key.
    pub key: String,
    /// Its payload; `None` deletes.
    pub payload: Option<Vec<u8>>,
}

/// A city that can be written out.
pub struct City {
    options: CityOptions,
    places: Vec<Place>,
    assets: Vec<Asset>,
    streams: Vec<Stream>,
    nature: Nature,
}

/// A simulated asset.
struct Asset {
    id: String,
    kind: &'static Kind,
    /// The position in the city's places.
    place: usize,
    inherent: u8,
    population: u64,
    position: (f64, f64),
}

/// A simulated datastream.
struct Stream {
    id: String,
    /// The position in the city's assets.
    asset: usize,
    sensor: &'static Sensor,
}

/// 2021-07-25T04:30:00Z.
const LANDFALL: i64 = 1_627_187_400_000;
const HOUR: i64 = 3_600_000;

impl City {
    /// Draws a city.
    ///
    /// # Errors
    ///
    /// When the number of datastreams is out of range.
    pub fn new(options: CityOptions) -> Result<Self, String> {
        if !(1_000..=1_000_000).contains(&options.datastreams) {
            return Err(format!(
                "`datastreams` is {}; give a number from 1,000 to 1,000,000",
                options.datastreams
            ));
        }
        let places = places();
        let (mut assets, mut streams) = (Vec::new(), Vec::new());
        let weights: u64 = KINDS.iter().map(|kind| kind.weight).sum();
        while streams.len() < options.datastreams {
            let number = assets.len();
            // The first assets are one of each kind, so that the smallest city has all of them.
            let mut draw = Draw::of(options.seed, "asset", number as u64);
            let mut lot = draw.below(weights);
            let drawn = KINDS.iter().find(|kind| {
                let hit = lot < kind.weight;
                lot = lot.wrapping_sub(kind.weight);
                hit
            });
            let kind = KINDS.get(number).or(drawn).unwrap_or(&KINDS[0]);
            let place = draw.below(places.len() as u64) as usize;
            let asset = Asset {
                id: format!("{}-{number:06}", kind.category),
                kind,
                place,
                inherent: [1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4][draw.below(20) as usize],
                population: kind.people * (20 + draw.below(100)) / 100,
                position: (
                    places[place].longitude + draw.part() * 0.01 - 0.005,
                    places[place].latitude + draw.part() * 0.01 - 0.005,
                ),
            };
            for sensor in kind.sensors {
                for copy in 0..sensor.copies {
                    if streams.len() < options.datastreams {
                        let id = format!(
                            "{}/{}{}",
                            asset.id,
                            sensor.property,
                            if copy == 0 { String::new() } else { format!("-{copy}") }
                        );
                        streams.push(Stream {
                            id,
                            asset: number,
                            sensor,
                        });
                    }
                }
            }
            assets.push(asset);
        }
        let nature = Nature::new(&places);
        Ok(Self {
            options,
            places,
            assets,
            streams,
            nature,
        })
    }

    /// When the storm begins.
    #[must_use]
    pub fn start(&self) -> Millis {
        Millis(self.end().0 - i64::from(self.options.hours) * HOUR)
    }

    /// When the storm ends: six hours after the landfall.
    #[must_use]
    pub fn end(&self) -> Millis {
        Millis(LANDFALL + 6 * HOUR)
    }

    /// How often a datastream reports: five minutes, longer in a city so large that it would give more than ten million
    /// observations, an hour at the most.
    fn interval(&self) -> i64 {
        let minutes = self.streams.len() as i64 * i64::from(self.options.hours) * 60 / 10_000_000;
        minutes.clamp(5, 60) * 60_000
    }

    /// How many observations the storm gives, about.
    #[must_use]
    pub fn expected_observations(&self) -> u64 {
        let each = i64::from(self.options.hours) * HOUR / self.interval();
        self.streams.len() as u64 * each as u64
    }

    /// Regions, assets, datastreams, who answers for what, and the rules and limits of all packs; all arrive before the storm.
    pub fn base(&self) -> impl Iterator<Item = Record> + '_ {
        let arrival = Millis(self.start().0 - 1_000);
        let regions = places::regions().into_iter().map(move |(code, name)| {
            let payload = json!({ "code": code, "name": name }).to_string();
            Record {
                topic: Topic::BASE_REGION,
                arrival,
                key: code,
                payload: Some(payload.into_bytes()),
            }
        });
        let assets = (0..self.assets.len()).map(move |number| self.asset_record(number, arrival, |_| {}));
        let streams = (0..self.streams.len()).map(move |number| self.stream_record(number, arrival, 0.0));
        let rules = riskflow_config::packs::all()
            .unwrap_or_default()
            .into_iter()
            .filter_map(move |rule| {
                let payload = serde_json::to_vec(&rule.record).ok()?;
                Some(Record {
                    topic: Topic::IN_RULE,
                    arrival,
                    key: rule.record.id.to_string(),
                    payload: Some(payload),
                })
            });
        let limits = riskflow_config::packs::limits()
            .unwrap_or_default()
            .into_iter()
            .filter_map(move |limit| {
                Some(Record {
                    topic: Topic::BASE_LIMIT,
                    arrival,
                    key: limit.id.to_string(),
                    payload: Some(serde_json::to_vec(&limit).ok()?),
                })
            });
        regions
            .chain(assets)
            .chain(streams)
            .chain(people::base(self, arrival))
            .chain(rules)
            .chain(limits)
    }

    /// The storm's records in the order of arrival.
    pub fn storm(&self) -> impl Iterator<Item = Record> + '_ {
        storm::Storm::new(self)
    }

    /// An asset's row, with a change.
    fn asset_record(&self, number: usize, arrival: Millis, change: impl Fn(&mut serde_json::Value)) -> Record {
        let asset = &self.assets[number];
        let place = &self.places[asset.place];
        let mut row = json!({
            "id": asset.id,
            "name": format!("{}{}{number}号", place.name, asset.kind.name),
            "category": asset.kind.category,
            "domain": asset.kind.domain,
            "region": place.code,
            "inherent_level": asset.inherent,
            "population": asset.population,
            "position": { "longitude": rounded(asset.position.0, 5), "latitude": rounded(asset.position.1, 5) },
            "tags": ["simulated"],
        });
        change(&mut row);
        Record {
            topic: Topic::BASE_ASSET,
            arrival,
            key: asset.id.clone(),
            payload: Some(row.to_string().into_bytes()),
        }
    }

    /// A datastream's row; its own thresholds, where it has some, raised by so much.
    fn stream_record(&self, number: usize, arrival: Millis, raised: f64) -> Record {
        let stream = &self.streams[number];
        let mut thresholds = serde_json::Map::new();
        if let Some((rule, least, step)) = stream.sensor.thresholds {
            let base = least + Draw::of(self.options.seed, "threshold", number as u64).part() * step + raised;
            let level = |index: f64| rounded(base + index * step, 2);
            let own = json!({ "blue": level(0.0), "yellow": level(1.0), "orange": level(2.0), "red": level(3.0) });
            thresholds.insert(rule.to_owned(), own);
        }
        let mut tags = vec!["simulated"];
        tags.extend(stream.sensor.tag);
        let row = json!({
            "id": stream.id,
            "asset": self.assets[stream.asset].id,
            "observed_property": stream.sensor.property,
            "unit": stream.sensor.unit,
            "tags": tags,
            "thresholds": thresholds,
        });
        Record {
            topic: Topic::BASE_DATASTREAM,
            arrival,
            key: stream.id.clone(),
            payload: Some(row.to_string().into_bytes()),
        }
    }
}

fn rounded(number: f64, decimals: i32) -> f64 {
    let unit = 10f64.powi(decimals);
    (number * unit).round() / unit
}

/// An observation's payload.
fn observation(id: &str, time: i64, result: f64) -> Vec<u8> {
    let mut text = String::with_capacity(96);
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        r#"{{"datastream":"{id}","phenomenon_time":{time},"result":{}}}"#,
        rounded(result, 3)
    );
    text.into_bytes()
}

/// The county of a region, as a number from 0 to 3.
fn county(code: &str) -> usize {
    let counties = ["330902", "330903", "330921", "330922"];
    counties.iter().position(|county| code.starts_with(county)).unwrap_or(0)
}

/// Whether a text is a statistical region code.
fn is_region(code: &str) -> bool {
    code.parse::<RegionCode>().is_ok_and(RegionCode::is_statistical)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use riskflow_config::InputRecord;
    use riskflow_connectors::{RawRecord, decode};
    use riskflow_model::base::Asset;

    fn city(datastreams: usize, hours: u32) -> City {
        City::new(CityOptions {
            datastreams,
            seed: 1,
            hours,
        })
        .unwrap()
    }

    fn decoded(record: &Record) -> Option<InputRecord> {
        let raw = RawRecord {
            topic: record.topic,
            partition: 0,
            offset: 0,
            arrival: Some(record.arrival),
            exercise: false,
            key: Some(record.key.as_bytes()),
            payload: record.payload.as_deref(),
        };
        decode(&raw).ok()
    }

    #[test]
    fn the_city_has_its_real_regions_and_every_kind_of_asset() {
        let base: Vec<Record> = city(1_000, 1).base().collect();
        let rows: Vec<InputRecord> = base.iter().map(|record| decoded(record).unwrap()).collect();
        let of = |topic: Topic| base.iter().filter(|record| record.topic == topic).count();
        assert_eq!(
            (of(Topic::BASE_REGION), of(Topic::BASE_DATASTREAM)),
            (1 + 1 + 4 + 36 + 428, 1_000)
        );
        let assets = rows.iter().filter_map(|row| match row {
            InputRecord::Base(_, Some(row)) => row.downcast_ref::<Asset>(),
            _ => None,
        });
        let categories: BTreeSet<_> = assets.clone().map(|asset| asset.category.clone()).collect();
        let domains: BTreeSet<_> = assets.map(|asset| asset.domain).collect();
        assert_eq!((categories.len(), domains.len()), (KINDS.len(), 4));
    }

    #[test]
    fn a_larger_city_has_exactly_as_many_datastreams_as_asked_for() {
        assert_eq!(
            city(20_000, 1)
                .base()
                .filter(|record| record.topic == Topic::BASE_DATASTREAM)
                .count(),
            20_000
        );
        assert!(
            City::new(CityOptions {
                datastreams: 999,
                seed: 1,
                hours: 1
            })
            .is_err()
        );
    }

    #[test]
    fn the_storm_arrives_in_order_and_is_the_same_each_time() {
        let city = city(1_000, 8);
        let storm: Vec<Record> = city.storm().collect();
        assert!(storm.is_sorted_by_key(|record| record.arrival));
        assert!(storm.iter().eq(&city.storm().collect::<Vec<_>>()));
        let expected = city.expected_observations() as f64;
        assert!(
            (storm.len() as f64 / expected - 1.0).abs() < 0.1,
            "{} of {expected}",
            storm.len()
        );
        let broken = storm
            .iter()
            .filter(|record| record.payload.is_some() && decoded(record).is_none())
            .count();
        assert!(broken < 10, "{broken} cannot be decoded");
    }

    #[test]
    fn rain_and_wind_are_anchored_on_what_was_published() {
        let city = city(1_000, 1);
        let from = LANDFALL - 76 * HOUR - HOUR / 2;
        let rain = |place: &Place| {
            (0..144)
                .map(|half| city.nature.rain(place, from + half * HOUR / 2) / 2.0)
                .sum::<f64>()
        };
        let mean = city.places.iter().map(rain).sum::<f64>() / city.places.len() as f64;
        assert!((mean / 122.9 - 1.0).abs() < 0.03, "{mean} mm");
        let strongest = city
            .places
            .iter()
            .map(|place| city.nature.wind(place, LANDFALL))
            .fold(0.0, f64::max);
        assert!((34.0..=38.5).contains(&strongest), "{strongest} m/s");
    }
}
