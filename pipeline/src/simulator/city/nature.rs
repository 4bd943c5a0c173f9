//! Wind, rain and sea of the storm, as functions of place and time.
//!
//! * Track: the published positions of In-Fa, straight lines between them.
//! * Wind: a modified Rankine vortex, rising linearly to the radius of maximum wind and falling with the root of the
//!   distance beyond (Holland 1980 discusses the family; the exponent and the radius are chosen here).
//! * Rain: a bell around the centre with two bands, scaled so that the city's mean from 22 July 08:00 to 25 July 08:00 (UTC+8)
//!   is the published 122.9 mm.
//! * Tide: predicted tide at Kanmen, the nearest station with constituents, and a surge that falls with distance.

use super::places::Place;
use super::{HOUR, LANDFALL};

const TIDE: &str = include_str!("../../../data/kanmen_tide_2021-07_10min.csv");

/// Hours after the landfall, latitude, longitude, maximum wind in m/s.
const TRACK: [(f64, f64, f64, f64); 7] = [
    (-90.0, 24.6, 127.0, 38.0),
    (-40.5, 26.3, 124.9, 40.0),
    (-16.5, 27.9, 124.1, 38.0),
    (-7.5, 29.35, 123.45, 38.0),
    (-4.5, 29.6, 123.0, 38.0),
    (0.0, 29.95, 122.3, 38.0),
    (12.0, 30.6, 121.3, 28.0),
];

/// The radius of maximum wind, km.
const CORE: f64 = 50.0;
const PUBLISHED_RAIN: f64 = 122.9;
/// From 22 July 00:00Z to 25 July 00:00Z.
const RAIN_FROM: i64 = LANDFALL - 76 * HOUR - HOUR / 2;
const RAIN_TO: i64 = RAIN_FROM + 72 * HOUR;
const TIDE_STEP: i64 = 600_000;
/// 2021-07-01T00:00:00Z.
const TIDE_FROM: i64 = 1_625_097_600_000;

/// The storm.
pub struct Nature {
    rain_scale: f64,
    tide: Vec<f64>,
}

impl Nature {
    /// A storm scaled to the city.
    pub fn new(places: &[Place]) -> Self {
        let tide = TIDE
            .lines()
            .skip(1)
            .filter_map(|line| line.split(',').nth(1)?.parse().ok())
            .collect();
        let mut this = Self { rain_scale: 1.0, tide };
        let sample: Vec<&Place> = places.iter().step_by(7).collect();
        let step = HOUR / 2;
        let mut sum = 0.0;
        let mut at = RAIN_FROM;
        while at < RAIN_TO {
            sum += sample.iter().map(|place| this.rain(place, at) * 0.5).sum::<f64>();
            at += step;
        }
        this.rain_scale = PUBLISHED_RAIN / (sum / sample.len() as f64);
        this
    }

    /// Mean wind at a place, m/s.
    pub fn wind(&self, place: &Place, at: i64) -> f64 {
        let (distance, strength, _) = centre(place, at);
        if distance < CORE {
            strength * (0.35 + 0.65 * distance / CORE)
        } else {
            strength * (CORE / distance).sqrt()
        }
    }

    /// Rain at a place, mm/h.
    pub fn rain(&self, place: &Place, at: i64) -> f64 {
        let (distance, _, bearing) = centre(place, at);
        let bell = 14.0 * (-(distance / 170.0).powi(2)).exp();
        // Two bands that turn with the storm, six hours a turn.
        let turn = (at - LANDFALL) as f64 / (6.0 * HOUR as f64) * std::f64::consts::TAU;
        let bands =
            7.0 * (2.0 * bearing + distance / 90.0 + turn).cos().max(0.0).powi(3) * (-(distance / 420.0).powi(2)).exp();
        self.rain_scale * (bell + bands)
    }

    /// The level of the sea at a place, metres about mean sea level.
    pub fn sea(&self, place: &Place, at: i64) -> f64 {
        let (distance, strength, _) = centre(place, at);
        let position = (at - TIDE_FROM).max(0) as f64 / TIDE_STEP as f64;
        let index = position as usize;
        let level = |index: usize| self.tide.get(index).copied().unwrap_or(0.0);
        let tide = level(index) + (level(index + 1) - level(index)) * position.fract();
        tide + 1.3 * (strength / 38.0) * (-(distance / 140.0).powi(2)).exp()
    }
}

/// The storm's centre seen from a place: distance in km, maximum wind in m/s, bearing in radians.
fn centre(place: &Place, at: i64) -> (f64, f64, f64) {
    let hours = (at - LANDFALL) as f64 / HOUR as f64;
    let after = TRACK
        .iter()
        .position(|point| point.0 > hours)
        .unwrap_or(TRACK.len() - 1)
        .max(1);
    let (a, b) = (TRACK[after - 1], TRACK[after]);
    let part = ((hours - a.0) / (b.0 - a.0)).clamp(0.0, 1.0);
    let mix = |a: f64, b: f64| a + (b - a) * part;
    let (latitude, longitude, strength) = (mix(a.1, b.1), mix(a.2, b.2), mix(a.3, b.3));
    // Equirectangular: good to a per cent over these distances.
    let north = (place.latitude - latitude) * 111.2;
    let east = (place.longitude - longitude) * 111.2 * latitude.to_radians().cos();
    (north.hypot(east), strength, north.atan2(east))
}
