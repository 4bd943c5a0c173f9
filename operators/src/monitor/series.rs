//! The observations of one datastream, by time.

use riskflow_model::observation::{Quality, Reading};
use serde::{Deserialize, Serialize};

/// One observation in sixteen bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The time in milliseconds, shifted left by two, and the quality in the two bits below.
    stamp: i64,
    /// The result.
    pub result: f64,
}

const QUALITIES: [Quality; 4] = [Quality::Good, Quality::Suspect, Quality::Bad, Quality::Estimated];

impl Point {
    fn new(time: i64, reading: Reading) -> Self {
        Self {
            stamp: (time << 2) | reading.quality as i64,
            result: reading.result,
        }
    }

    /// When it held.
    pub const fn time(self) -> i64 {
        self.stamp >> 2
    }

    /// Whether features count it.
    pub fn counts(self) -> bool {
        QUALITIES[(self.stamp & 3) as usize].counts()
    }

    /// The result in thousandths, half away from zero.
    pub fn thousandths(self) -> i64 {
        (self.result * 1000.0).round() as i64
    }
}

/// What a record did to the series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: it said what was known, or took back what was not there.
    Unchanged,
    /// There was none for its time.
    Added,
    /// It replaced one, or took one back.
    Changed,
}

/// The observations of one datastream, by time, one for each time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Series {
    points: Vec<Point>,
    /// No result that is kept lies outside; it may be wider than need be.
    low: f64,
    high: f64,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            points: Vec::new(),
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
        }
    }
}

impl Series {
    /// Puts, replaces or takes back (`None`) the observation of a time.
    pub fn apply(&mut self, time: i64, reading: Option<Reading>) -> Outcome {
        let position = match self.points.last() {
            Some(last) if last.time() < time => Err(self.points.len()),
            None => Err(0),
            _ => self.points.binary_search_by_key(&time, |point| point.time()),
        };
        match (position, reading) {
            (Ok(index), Some(reading)) => {
                let point = Point::new(time, reading);
                self.widen(point.result);
                if std::mem::replace(&mut self.points[index], point) == point {
                    Outcome::Unchanged
                } else {
                    Outcome::Changed
                }
            }
            (Ok(index), None) => {
                self.points.remove(index);
                Outcome::Changed
            }
            (Err(index), Some(reading)) => {
                let point = Point::new(time, reading);
                self.widen(point.result);
                self.points.insert(index, point);
                Outcome::Added
            }
            (Err(_), None) => Outcome::Unchanged,
        }
    }

    /// Reads the last point.
    pub fn warm(&self) -> u64 {
        self.points.last().map_or(0, |point| point.stamp as u64)
    }

    /// All points.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// A range that holds every result.
    pub const fn range(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    fn widen(&mut self, result: f64) {
        self.low = self.low.min(result);
        self.high = self.high.max(result);
    }

    /// The position of the first point later than a time.
    pub fn position_after(&self, time: i64) -> usize {
        match self.points.last() {
            Some(last) if last.time() > time => self.points.partition_point(|point| point.time() <= time),
            _ => self.points.len(),
        }
    }

    /// The time of the last point at or before a time; `i64::MIN` where there is none.
    pub fn last_at_or_before(&self, time: i64) -> i64 {
        let end = self.position_after(time);
        self.points[..end].last().map_or(i64::MIN, |point| point.time())
    }

    /// The time of the first point later than a time.
    pub fn next_after(&self, time: i64) -> Option<i64> {
        self.points.get(self.position_after(time)).map(|point| point.time())
    }

    /// Lets go of the first points.
    pub fn drop_first(&mut self, count: usize) {
        self.points.drain(..count);
        (self.low, self.high) = (f64::INFINITY, f64::NEG_INFINITY);
        for position in 0..self.points.len() {
            self.widen(self.points[position].result);
        }
        if self.points.capacity() > 4 * self.points.len().max(16) {
            self.points.shrink_to_fit();
        }
    }
}
