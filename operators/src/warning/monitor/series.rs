//! The observations of one datastream, by time.

mod moments;
mod ranks;
mod tree;

use riskflow_config::{Limit, Operator};
use riskflow_model::observation::{Quality, Reading};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::value::{admits, upwards};
pub use moments::{Moments, step};
pub use ranks::Ranks;
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
    pub const fn counts(self) -> bool {
        // One bit for each of the lowest three of a stamp: read for every point that comes and goes.
        const COUNTED: u8 = {
            let mut counted = 0;
            let mut quality = 0;
            while quality < QUALITIES.len() {
                counted |= (QUALITIES[quality].counts() as u8) << quality;
                quality += 1;
            }
            counted
        };
        COUNTED >> (self.stamp & 7) & 1 != 0
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
    // Nearly all that sensors send ends here.
    match whole(result, 1e3) {
        Some(thousandths) => thousandths * 1_000_000,
        None => finer(result),
    }
}

/// So many of these parts, if it is a whole number of them. One division finds that.
fn whole(result: f64, scale: f64) -> Option<i64> {
    let whole = (result * scale + 0.5f64.copysign(result)) as i64;
    (whole as f64 / scale == result).then_some(whole)
}

#[cold]
fn finer(result: f64) -> i64 {
    whole(result, 1e6).map_or_else(|| rounded(result), |millionths| millionths * 1_000)
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

/// From the least to the greatest of some results; the other way round where there are none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The least.
    pub low: f64,
    /// The greatest.
    pub high: f64,
}

impl Range {
    const EMPTY: Self = Self {
        low: f64::INFINITY,
        high: f64::NEG_INFINITY,
    };

    fn of(root: &Node) -> Self {
        let Extent { least, most, .. } = root.whole();
        Self { low: least, high: most }
    }

    fn take_in(&mut self, result: f64) {
        self.low = self.low.min(result);
        self.high = self.high.max(result);
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
    range: Range,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            root: Node::Leaf(Vec::new()),
            range: Range::EMPTY,
        }
    }
}

impl Series {
    /// Puts, replaces or takes back (`None`) the observation of a time; whether its result is a `value`.
    pub fn apply(&mut self, time: i64, reading: Option<Reading>, value: bool) -> Outcome {
        let point = reading.map(|reading| Point::new(time, reading).judged(value));
        if let Some(point) = point {
            self.range.take_in(point.result);
            if self.root.append(point) {
                return Outcome::Added;
            }
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
    #[inline]
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
    pub const fn range(&self) -> Range {
        self.range
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
    pub fn first_beyond(&self, after: i64, beyond: Beyond<'_>) -> Option<Point> {
        self.root
            .find_first(after, &|extent| beyond.fits(extent), &|point| beyond.is(point))
    }

    /// The last point up to and including a time that counts, and is `beyond` a result.
    pub fn last_beyond(&self, until: i64, beyond: Beyond<'_>) -> Option<Point> {
        self.root
            .find_last(until, &|extent| beyond.fits(extent), &|point| beyond.is(point))
    }

    /// How the results of the points later than `after`, up to and including `until`, stand to a limit.
    pub fn ranks(&self, after: i64, until: i64, limit: Limit<'_>) -> Ranks {
        let mut ranks = Ranks::default();
        if after < until {
            self.root.ranks(after, until, limit, &mut ranks);
        }
        ranks
    }

    /// What differences, slopes and deviations of the points later than `after`, up to and including `until`, are made of.
    pub fn moments(&self, after: i64, until: i64) -> Moments {
        let mut moments = Moments::default();
        if after < until {
            self.root.moments(after, until, &mut moments);
        }
        moments
    }

    /// Each point later than `after`, up to and including `until`, that counts, in the order of time.
    pub fn each_counted(&self, after: i64, until: i64, each: &mut impl FnMut(Point)) {
        let mut position = self.position_after(after);
        loop {
            let (points, start) = self.leaf(position);
            for point in points.iter().skip(position - start) {
                if point.time() > until {
                    return;
                }
                if point.counts() {
                    each(*point);
                }
            }
            // Behind the last point stands the last leaf again.
            let end = start + points.len();
            if end <= position {
                return;
            }
            position = end;
        }
    }

    /// The position of the first point later than a time: how many are at or before it.
    #[inline]
    pub fn position_after(&self, time: i64) -> usize {
        match &self.root {
            Node::Leaf(points) if points.last().is_none_or(|last| last.time() <= time) => points.len(),
            root => root.rank(time),
        }
    }

    /// Lets go of the first points.
    pub fn drop_first(&mut self, count: usize) {
        if count > 0 {
            self.root.drop_first(count);
            self.root.shrink();
        }
        // What was taken back or replaced counts no longer.
        self.range = Range::of(&self.root);
    }

    fn of(points: Vec<Point>) -> Self {
        let root = Node::build(points);
        let range = Range::of(&root);
        Self { root, range }
    }
}

/// Counted results that compare so with an edge.
#[derive(Clone, Copy, Debug)]
pub struct Beyond<'a>(pub Operator, pub Edge<'a>);

/// What results are compared with.
#[derive(Clone, Copy, Debug)]
pub enum Edge<'a> {
    /// Another result.
    Result(f64),
    /// A limit of a rule.
    Limit(Limit<'a>),
}

impl Beyond<'_> {
    fn holds(self, result: f64) -> bool {
        let ordering = match self.1 {
            Edge::Result(edge) => result.partial_cmp(&edge),
            Edge::Limit(limit) => Some(limit.of_result(result)),
        };
        ordering.is_some_and(|ordering| admits(self.0, ordering))
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
