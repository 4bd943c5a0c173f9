//! The observations of one datastream, by time.

mod tree;

use riskflow_config::Operator;
use riskflow_model::observation::{Quality, Reading};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::value::{admits, upwards};
use tree::Node;

/// One observation in sixteen bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The time in milliseconds, shifted left by three; then a bit that says that the result is no value, whatever its quality;
    /// and the quality in the two bits below.
    stamp: i64,
    /// The result.
    pub result: f64,
}

const NO_VALUE: i64 = 1 << 2;
const QUALITIES: [Quality; 4] = [Quality::Good, Quality::Suspect, Quality::Bad, Quality::Estimated];

impl Point {
    fn new(time: i64, reading: Reading) -> Self {
        Self {
            stamp: (time << 3) | reading.quality as i64,
            result: reading.result,
        }
    }

    /// The same, whose result is a value or not.
    const fn judged(self, value: bool) -> Self {
        let stamp = if value {
            self.stamp & !NO_VALUE
        } else {
            self.stamp | NO_VALUE
        };
        Self { stamp, ..self }
    }

    /// When it held.
    pub const fn time(self) -> i64 {
        self.stamp >> 3
    }

    /// Whether features count it.
    pub fn counts(self) -> bool {
        self.stamp & NO_VALUE == 0 && QUALITIES[(self.stamp & 3) as usize].counts()
    }

    /// The result in billionths.
    pub fn billionths(self) -> i64 {
        billionths(self.result)
    }
}

/// A result in billionths, as the decimal that was given: a decimal of up to six places is that decimal, whatever its size;
/// all else is the double, rounded half away from zero. Finite, and not beyond [`Reading::LIMIT`].
///
/// Greater results are never less in billionths: a decimal is nearer to its double than to any other, and so is what is rounded
/// where doubles are further apart than billionths.
pub fn billionths(result: f64) -> i64 {
    // Nearly all that sensors send ends here. One division finds whether the product was a whole number.
    for (scale, finer) in [(1e3, 1_000_000), (1e6, 1_000)] {
        let whole = (result * scale + 0.5f64.copysign(result)) as i64;
        if whole as f64 / scale == result {
            return whole * finer;
        }
    }
    rounded(result)
}

/// The double itself in billionths: mantissa times a power of two, both whole.
fn rounded(result: f64) -> i64 {
    let bits = result.to_bits();
    let exponent = (bits >> 52) & 0x7ff;
    let mantissa = bits & ((1 << 52) - 1);
    let mantissa = if exponent == 0 { mantissa } else { mantissa | 1 << 52 };
    // What is not beyond the limit has places behind the point in binary: the shift is at least 23.
    let shift = 1075 - exponent.max(1);
    if shift > 120 {
        return 0;
    }
    let product = u128::from(mantissa) * 1_000_000_000;
    let size = ((product + (1 << (shift - 1))) >> shift) as i64;
    if result < 0.0 { -size } else { size }
}

/// What can be told of some points without looking at each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extent {
    /// How many they are.
    pub len: u32,
    /// How many of them count.
    pub count: u32,
    /// The sum of those that count, in billionths.
    pub sum: i128,
    /// The least result of those that count; infinite where none does.
    pub least: f64,
    /// The greatest.
    pub most: f64,
}

impl Default for Extent {
    fn default() -> Self {
        Self {
            len: 0,
            count: 0,
            sum: 0,
            least: f64::INFINITY,
            most: f64::NEG_INFINITY,
        }
    }
}

impl Extent {
    fn add(&mut self, point: Point) {
        self.len += 1;
        if point.counts() {
            self.count += 1;
            self.sum += i128::from(point.billionths());
            self.least = self.least.min(point.result);
            self.most = self.most.max(point.result);
        }
    }

    fn join(&mut self, other: &Self) {
        self.len += other.len;
        self.count += other.count;
        self.sum += other.sum;
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
    }
}

/// What a record did to the series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// Nothing: it said what was known, or took back what was not there.
    Unchanged,
    /// There was none for its time.
    Added,
    /// It replaced this one, or took it back.
    Changed(Point),
}

/// The observations of one datastream, by time, one for each time. Saved as a list.
#[derive(Debug)]
pub struct Series {
    root: Node,
    /// No result that is kept lies outside; it may be wider than need be.
    low: f64,
    high: f64,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            root: Node::Leaf(Vec::new()),
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
        }
    }
}

impl Series {
    /// Puts, replaces or takes back (`None`) the observation of a time; whether its result is a `value`.
    pub fn apply(&mut self, time: i64, reading: Option<Reading>, value: bool) -> Outcome {
        let point = reading.map(|reading| Point::new(time, reading).judged(value));
        if let Some(point) = point {
            self.low = self.low.min(point.result);
            self.high = self.high.max(point.result);
        }
        match (self.root.put(time, point), point) {
            (None, None) => Outcome::Unchanged,
            (None, Some(_)) => Outcome::Added,
            (Some(before), after) if after == Some(before) => Outcome::Unchanged,
            (Some(before), _) => Outcome::Changed(before),
        }
    }

    /// Finds again which results are values.
    pub fn judge(&mut self, value: impl Fn(f64) -> bool) {
        let mut points = Vec::with_capacity(self.root.count());
        let mut same = true;
        self.root.for_each(&mut |point| {
            let judged = point.judged(value(point.result));
            same &= judged == point;
            points.push(judged);
        });
        if !same {
            *self = Self::of(points);
        }
    }

    /// Reads the last point of a short series.
    pub fn warm(&self) -> u64 {
        match &self.root {
            Node::Leaf(points) => points.last().map_or(0, |point| point.stamp as u64),
            Node::Inner(_) => 0,
        }
    }

    /// The leaf that holds a position, and the position of its first point; an empty one beyond the end.
    pub fn leaf(&self, position: usize) -> (&[Point], usize) {
        self.root.leaf(position)
    }

    /// The point at a position.
    pub fn get(&self, position: usize) -> Option<Point> {
        let (points, start) = self.root.leaf(position);
        points.get(position - start).copied()
    }

    /// The point of a time.
    pub fn at(&self, time: i64) -> Option<Point> {
        let last = self.position_after(time).checked_sub(1).and_then(|last| self.get(last));
        last.filter(|point| point.time() == time)
    }

    /// A range that holds every result.
    pub const fn range(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// The summary of the points later than `after`, up to and including `until`.
    pub fn extent(&self, after: i64, until: i64) -> Extent {
        let mut extent = Extent::default();
        if after < until {
            self.root.extent(after, until, &mut extent);
        }
        extent
    }

    /// The first point later than a time that counts.
    pub fn first_counted(&self, after: i64) -> Option<Point> {
        self.root.find_first(after, &|extent| extent.count > 0, &Point::counts)
    }

    /// The last point up to and including a time that counts.
    pub fn last_counted(&self, until: i64) -> Option<Point> {
        self.root.find_last(until, &|extent| extent.count > 0, &Point::counts)
    }

    /// The first point later than a time that counts, and is `beyond` a result.
    pub fn first_beyond(&self, after: i64, beyond: Beyond) -> Option<Point> {
        self.root
            .find_first(after, &|extent| beyond.fits(extent), &|point| beyond.is(point))
    }

    /// The last point up to and including a time that counts, and is `beyond` a result.
    pub fn last_beyond(&self, until: i64, beyond: Beyond) -> Option<Point> {
        self.root
            .find_last(until, &|extent| beyond.fits(extent), &|point| beyond.is(point))
    }

    /// The position of the first point later than a time: how many are at or before it.
    pub fn position_after(&self, time: i64) -> usize {
        match &self.root {
            Node::Leaf(points) if points.last().is_none_or(|last| last.time() <= time) => points.len(),
            root => root.rank(time),
        }
    }

    /// The time of the last point at or before a time; `i64::MIN` where there is none.
    pub fn last_at_or_before(&self, time: i64) -> i64 {
        let last = self.position_after(time).checked_sub(1).and_then(|last| self.get(last));
        last.map_or(i64::MIN, Point::time)
    }

    /// The time of the first point later than a time.
    pub fn next_after(&self, time: i64) -> Option<i64> {
        self.get(self.position_after(time)).map(Point::time)
    }

    /// Lets go of the first points.
    pub fn drop_first(&mut self, count: usize) {
        if count > 0 {
            self.root.drop_first(count);
            self.root.shrink();
        }
        // What was taken back or replaced counts no longer.
        let Extent { least, most, .. } = self.root.whole();
        (self.low, self.high) = (least, most);
    }

    fn of(points: Vec<Point>) -> Self {
        let root = Node::build(points);
        let Extent { least, most, .. } = root.whole();
        Self {
            root,
            low: least,
            high: most,
        }
    }
}

/// Counted results that compare so with this one.
#[derive(Clone, Copy, Debug)]
pub struct Beyond(pub Operator, pub f64);

impl Beyond {
    fn holds(self, result: f64) -> bool {
        result
            .partial_cmp(&self.1)
            .is_some_and(|ordering| admits(self.0, ordering))
    }

    /// Whether a point is one of them.
    pub fn is(self, point: Point) -> bool {
        point.counts() && self.holds(point.result)
    }

    fn fits(self, extent: &Extent) -> bool {
        extent.count > 0 && self.holds(if upwards(self.0) { extent.most } else { extent.least })
    }
}

impl Serialize for Series {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq as _;
        let mut points = serializer.serialize_seq(Some(self.root.count()))?;
        let mut result = Ok(());
        self.root.for_each(&mut |point| {
            if result.is_ok() {
                result = points.serialize_element(&point);
            }
        });
        result?;
        points.end()
    }
}

impl<'de> Deserialize<'de> for Series {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_taken_as_the_decimals_that_were_given() {
        for (result, expected) in [
            (0.0, 0),
            (-0.0, 0),
            (0.0004, 400_000),
            (-0.0005, -500_000),
            (0.000_000_001, 1),
            (0.000_000_000_4, 0),
            (-0.000_000_001_6, -2),
            (1.0015, 1_001_500_000),
            (64.0745, 64_074_500_000),
            (0.1 + 0.2, 300_000_000),
            (21.299_999_237_060_547, 21_299_999_237),
            // Doubles are further apart than billionths here, and the decimals are what was given.
            (123_456_789.123, 123_456_789_123_000_000),
            (-999_999_999.999_999, -999_999_999_999_999_000),
            (1e9, 1_000_000_000_000_000_000),
            (5e-324, 0),
            (f64::MIN_POSITIVE, 0),
            // Exactly between two.
            (0.000_976_562_5, 976_563),
            (-0.000_976_562_5, -976_563),
        ] {
            assert_eq!(billionths(result), expected, "{result:?}");
        }
    }

    #[test]
    fn every_decimal_is_itself_and_order_is_kept() {
        for places in 0..=9usize {
            for whole in (0..20_000_000u64).step_by(1_999) {
                let text = format!("{whole:010}");
                let (before, behind) = text.split_at(10 - places);
                let result: f64 = format!("{before}.{behind}0").parse().unwrap();
                let expected = whole as i64 * 10i64.pow(9 - places as u32);
                if result <= Reading::LIMIT {
                    assert_eq!(billionths(result), expected, "{result:?}");
                    assert_eq!(billionths(-result), -expected, "-{result:?}");
                    assert!(billionths(result.next_up()) >= expected, "above {result:?}");
                    assert!(billionths(result.next_down()) <= expected, "below {result:?}");
                }
            }
        }
    }
}
