//! The storm's records: readings of every sensor in the order of arrival, with the trouble that real feeds have.
//!
//! About one reading in two hundred arrives minutes late, one in a thousand is wrong first and corrected minutes later, some are
//! sent twice or taken back; a few sensors flap, a few fall silent; some records are broken. Base rows and a rule change
//! in mid-storm. Memory is bounded: only what is under way between phenomenon and arrival is held.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use riskflow_model::Millis;
use riskflow_model::topic::Topic;

use super::{City, Draw, HOUR, LANDFALL, Record, county, observation, rounded};

const MINUTE: i64 = 60_000;

/// Under way: arrival, a number that keeps the order, and the record.
type UnderWay = Reverse<(i64, u64, Topic, String, Option<Vec<u8>>)>;

pub struct Storm<'a> {
    city: &'a City,
    /// The minute whose readings come next.
    minute: i64,
    heap: BinaryHeap<UnderWay>,
    count: u64,
    /// How full each river, reservoir, drain or slope is.
    water: Vec<f32>,
    /// Datastreams by the minute of the interval in which they report.
    turns: Vec<Vec<u32>>,
}

impl<'a> Storm<'a> {
    pub fn new(city: &'a City) -> Self {
        let minutes = (city.interval() / MINUTE) as usize;
        let mut turns = vec![Vec::new(); minutes];
        for number in 0..city.streams.len() {
            let turn = Draw::of(city.options.seed, "turn", number as u64).below(minutes as u64) as usize;
            turns[turn].push(number as u32);
        }
        let mut storm = Self {
            city,
            minute: city.start().0,
            heap: BinaryHeap::new(),
            count: 0,
            water: vec![0.0; city.streams.len()],
            turns,
        };
        storm.changes();
        storm
    }

    fn push(&mut self, arrival: i64, topic: Topic, key: String, payload: Option<Vec<u8>>) {
        self.count += 1;
        self.heap.push(Reverse((arrival, self.count, topic, key, payload)));
    }

    /// What changes in the city during the storm.
    fn changes(&mut self) {
        let city = self.city;
        let middle = (city.start().0 + city.end().0) / 2;
        let census = city.asset_record(3, Millis(middle), |row| row["inherent_level"] = 4.into());
        let village = city.places[(city.assets[5].place + 40) % city.places.len()]
            .code
            .clone();
        let moved = city.asset_record(5, Millis(middle + 600_000), |row| {
            row["region"] = village.as_str().into()
        });
        let gauge = city
            .streams
            .iter()
            .position(|stream| stream.sensor.property == "river_stage")
            .unwrap_or(0);
        let raised = city.stream_record(gauge, Millis(middle + 1_200_000), 0.4);
        for record in [census, moved, raised] {
            self.push(record.arrival.0, record.topic, record.key, record.payload);
        }
        let last = city.streams.len() - 1;
        self.push(
            middle + 1_800_000,
            Topic::BASE_DATASTREAM,
            city.streams[last].id.clone(),
            None,
        );
        let rules = riskflow_config::packs::all().unwrap_or_default();
        if let Some(rule) = rules.into_iter().find(|rule| &*rule.record.id == "rain") {
            let mut record = rule.record.clone();
            record.version = 2;
            for level in record.levels.values_mut() {
                level.clear = "30m".to_owned();
            }
            self.push(
                LANDFALL - 2 * HOUR,
                Topic::IN_RULE,
                "rain".to_owned(),
                serde_json::to_vec(&record).ok(),
            );
        }
    }

    /// The readings of one minute.
    fn fill(&mut self) {
        let turn = ((self.minute - self.city.start().0) / MINUTE) as usize % self.turns.len();
        let numbers = std::mem::take(&mut self.turns[turn]);
        for number in &numbers {
            self.read(*number as usize);
        }
        self.turns[turn] = numbers;
        if (self.minute / MINUTE) % 97 == 0 {
            self.broken();
        }
        self.minute += MINUTE;
    }

    fn read(&mut self, number: usize) {
        let stream = &self.city.streams[number];
        let mut draw = Draw::of(self.city.options.seed ^ self.minute as u64, "reading", number as u64);
        let time = self.minute + draw.below(MINUTE as u64 - 1_000) as i64 / 1_000 * 1_000;
        let mut lot = Draw::of(self.city.options.seed, "fate", number as u64);
        // One in three hundred falls silent for good, some time in the storm.
        let silent_from = self.city.start().0 + lot.below((self.city.options.hours as u64) * HOUR as u64) as i64;
        if lot.once_in(300) && self.minute > silent_from {
            return;
        }
        let flaps = lot.once_in(400);
        let mut result = self.value(number, &mut draw);
        if flaps && draw.once_in(2) {
            result *= 1.6;
        }
        let delay = 200 + draw.below(2_500) as i64;
        let id = stream.id.clone();
        match draw.below(1_000) {
            0 => {
                // Wrong first, corrected within eight minutes.
                let wrong = observation(&id, time, result * 8.0 + 60.0);
                self.push(time + delay, Topic::IN_OBSERVATION, id.clone(), Some(wrong));
                let correction = time + delay + MINUTE + draw.below(7 * MINUTE as u64) as i64;
                self.push(
                    correction,
                    Topic::IN_OBSERVATION,
                    id.clone(),
                    Some(observation(&id, time, result)),
                );
            }
            1 => {
                for again in [0, 5_000] {
                    self.push(
                        time + delay + again,
                        Topic::IN_OBSERVATION,
                        id.clone(),
                        Some(observation(&id, time, result)),
                    );
                }
            }
            2 if draw.once_in(10) => {
                self.push(
                    time + delay,
                    Topic::IN_OBSERVATION,
                    id.clone(),
                    Some(observation(&id, time, result)),
                );
                let delete = format!(r#"{{"datastream":"{id}","phenomenon_time":{time},"op":"delete"}}"#);
                self.push(
                    time + delay + 2 * MINUTE,
                    Topic::IN_OBSERVATION,
                    id,
                    Some(delete.into_bytes()),
                );
            }
            3..=7 => {
                let late = 2 * MINUTE + draw.below(6 * MINUTE as u64) as i64;
                self.push(
                    time + late,
                    Topic::IN_OBSERVATION,
                    id.clone(),
                    Some(observation(&id, time, result)),
                );
            }
            _ => self.push(
                time + delay,
                Topic::IN_OBSERVATION,
                id.clone(),
                Some(observation(&id, time, result)),
            ),
        }
    }

    fn value(&mut self, number: usize, draw: &mut Draw) -> f64 {
        let city = self.city;
        let stream = &city.streams[number];
        let place = &city.places[city.assets[stream.asset].place];
        let exposure = 0.75 + 0.25 * Draw::of(city.options.seed, "exposure", number as u64).part();
        let hours = city.interval() as f64 / HOUR as f64;
        let rain = city.nature.rain(place, self.minute) * exposure;
        let noise = draw.part();
        let water = &mut self.water[number];
        let mut fill = |gain: f64, drain: f64| {
            *water = ((f64::from(*water) + rain * hours * gain) * (1.0 - (drain * hours).min(1.0))) as f32;
            f64::from(*water)
        };
        match stream.sensor.property {
            "rainfall" => rain * hours * (0.6 + 0.8 * noise),
            "river_stage" => 1.2 + fill(0.022, 0.05) + 0.02 * noise,
            "reservoir_level" => 29.5 + fill(0.018, 0.005) + 0.01 * noise,
            "displacement_rate" => 0.4 + fill(0.08, 0.03) + 0.2 * noise,
            "water_depth" => (fill(0.02, 0.9) - 0.16).max(0.0) + 0.01 * noise,
            "tide_level" => city.nature.sea(place, self.minute) * exposure + 0.03 * noise,
            "wind_speed" => city.nature.wind(place, self.minute) * exposure * (0.9 + 0.2 * noise),
            "wind_gust" => city.nature.wind(place, self.minute) * exposure * (1.2 + 0.3 * noise),
            "crowd_density" => self.crowd(number, noise),
            _ => self.industry(number, noise),
        }
    }

    /// People at terminals and squares by daylight, until ships stop and gates close; then in the shelters.
    fn crowd(&self, number: usize, noise: f64) -> f64 {
        let shelter = self.city.assets[self.city.streams[number].asset].kind.category == "shelter";
        let stopped = LANDFALL - 24 * HOUR;
        let daylight = ((self.minute + 8 * HOUR) % (24 * HOUR)) as f64 / HOUR as f64;
        let day = (-((daylight - 14.0) / 4.0).powi(2)).exp();
        match (shelter, self.minute < stopped) {
            (true, true) => 0.05 * noise,
            (true, false) => 1.2 + 1.5 * noise,
            (false, true) => 0.3 + 4.2 * day * (0.5 + noise),
            (false, false) => 0.1 * noise,
        }
    }

    /// Quiet, but for a few leaks: one in sixty detectors or pipes has one for half an hour to two hours.
    fn industry(&self, number: usize, noise: f64) -> f64 {
        let mut lot = Draw::of(self.city.options.seed, "leak", number as u64);
        let span = self.city.end().0 - self.city.start().0;
        let from = self.city.start().0 + (lot.part() * span as f64) as i64;
        let length = HOUR / 2 + lot.below(90 * MINUTE as u64) as i64;
        let leaks = lot.once_in(60) && (from..from + length).contains(&self.minute);
        let worst = 20.0 + 50.0 * lot.part();
        let leak = if leaks {
            worst * ((self.minute - from) as f64 / length as f64 * std::f64::consts::PI).sin()
        } else {
            0.0
        };
        match self.city.streams[number].sensor.property {
            "flow_imbalance" => 1.5 * noise + leak / 6.0,
            "toxic_gas" => 8.0 * noise + leak * 3.0,
            _ => 3.0 * noise + leak,
        }
    }

    /// Records that nobody can use.
    fn broken(&mut self) {
        let (now, seed) = (self.minute, self.city.options.seed);
        let mut draw = Draw::of(seed ^ now as u64, "broken", 0);
        let number = draw.below(self.city.streams.len() as u64) as usize;
        let id = self.city.streams[number].id.clone();
        let far = now + 400 * 24 * HOUR;
        let payload = match draw.below(5) {
            0 => format!(r#"{{"datastream":"{id}","phenomenon_time":{now},"resu"#),
            1 => format!(r#"{{"datastream":"{id}","phenomenon_time":{now},"result":"high"}}"#),
            2 => format!(r#"{{"datastream":"{id}","phenomenon_time":{far},"result":1}}"#),
            3 => format!(
                r#"{{"datastream":"{id}","phenomenon_time":{},"result":1}}"#,
                now - 3 * HOUR
            ),
            _ => format!(
                r#"{{"datastream":"nobody-{}","phenomenon_time":{now},"result":{}}}"#,
                county(&id),
                rounded(draw.part(), 2)
            ),
        };
        self.push(now + 1_000, Topic::IN_OBSERVATION, id, Some(payload.into_bytes()));
    }
}

impl Iterator for Storm<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        // Whatever arrives before the minute that was not filled yet cannot be overtaken any more.
        while self.minute < self.city.end().0 && self.heap.peek().is_none_or(|Reverse(first)| first.0 >= self.minute) {
            self.fill();
        }
        let Reverse((arrival, _, topic, key, payload)) = self.heap.pop()?;
        Some(Record {
            topic,
            arrival: Millis(arrival),
            key,
            payload,
        })
    }
}
