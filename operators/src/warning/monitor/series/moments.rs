//! What differences from point to point, slopes and deviations of some points are made of, so that those of two stretches can be put
//! together without a look at the points.

use ethnum::I256;

use super::Point;

/// Sums over the points that count, in the order of time. Times are in milliseconds since the first of them, results in billionths.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// How many they are.
    pub count: u32,
    /// The first and the last of them, where there are any.
    pub ends: Option<(Point, Point)>,
    /// What a counter with these readings grew: where one is less than the one before, it began anew at nought.
    pub increase: i128,
    /// The sum of the results.
    pub sum: i128,
    /// The sum of their squares.
    pub squares: I256,
    /// The sum of the times.
    pub times: i128,
    /// The sum of their squares.
    pub time_squares: i128,
    /// The sum of the products of time and result.
    pub products: i128,
}

impl Moments {
    /// One point more, behind all others.
    pub(super) fn add(&mut self, point: Point) {
        if !point.counts() {
            return;
        }
        let result = i128::from(point.billionths());
        let first = match &mut self.ends {
            Some((first, last)) => {
                self.increase += step(*last, point);
                *last = point;
                *first
            }
            none => {
                *none = Some((point, point));
                point
            }
        };
        let time = i128::from(point.time() - first.time());
        self.count += 1;
        self.sum += result;
        self.squares += I256::from(result) * I256::from(result);
        self.times += time;
        self.time_squares += time * time;
        self.products += time * result;
    }

    /// All of another stretch, behind these.
    pub(super) fn join(&mut self, later: &Self) {
        let Some((start, end)) = later.ends else { return };
        let Some((first, last)) = &mut self.ends else {
            self.clone_from(later);
            return;
        };
        let shift = i128::from(start.time() - first.time());
        let count = i128::from(later.count);
        self.increase += step(*last, start) + later.increase;
        *last = end;
        self.count += later.count;
        self.sum += later.sum;
        self.squares += later.squares;
        self.times += later.times + count * shift;
        self.time_squares += later.time_squares + 2 * shift * later.times + count * shift * shift;
        self.products += later.products + shift * later.sum;
    }

    /// How much the squares of the results are above that of their sum, times their number, and the square of the number: one over
    /// the other is the variance.
    pub fn variance(&self) -> (I256, I256) {
        let (count, sum) = (I256::from(self.count), I256::from(self.sum));
        (count * self.squares - sum * sum, count * count)
    }

    /// The slope of the line of least squares by millisecond, as a quotient; `None` where all are of one time.
    pub fn slope(&self) -> Option<(I256, I256)> {
        let wide = |number: i128| I256::from(number);
        let count = I256::from(self.count);
        let over = count * wide(self.products) - wide(self.times) * wide(self.sum);
        let under = count * wide(self.time_squares) - wide(self.times) * wide(self.times);
        (under > I256::ZERO).then_some((over, under))
    }
}

/// By how much a counter grew from one reading to the next, in billionths.
pub fn step(from: Point, to: Point) -> i128 {
    let (from, to) = (i128::from(from.billionths()), i128::from(to.billionths()));
    if to >= from { to - from } else { to.max(0) }
}
