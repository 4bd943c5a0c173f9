//! Which results of a datastream are values, by its row.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use riskflow_config::Limit;
use riskflow_model::Number;
use riskflow_model::base::Datastream;
use serde::{Deserialize, Serialize};

/// Which results a datastream can give, in thousandths. Of equal ones it is equal, however they were written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Valid {
    min: i64,
    max: i64,
    /// Numbers that stand for "no value", in order.
    none: Box<[i64]>,
}

/// The same of a datastream of which all are values.
pub type Validity = Option<Arc<Valid>>;

/// Why a result is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoValue {
    /// The number stands for that.
    Stated,
    /// It is less than the sensor can measure.
    Below,
    /// It is more.
    Above,
}

impl NoValue {
    /// The names of all, for metrics.
    pub const NAMES: [&'static str; 3] = ["no_value", "below", "above"];
}

impl Valid {
    /// What the row of a datastream says.
    #[must_use]
    pub fn of(row: &Datastream) -> Validity {
        if row.valid.is_none() && row.no_value.is_empty() {
            return None;
        }
        let exact = |number: Number| number.thousandths().expect("a row was decoded: its numbers are exact");
        let border = |border: Option<Number>, none| border.map_or(none, exact);
        let (min, max) = row
            .valid
            .as_deref()
            .map_or((None, None), |valid| (valid.min, valid.max));
        let mut none: Vec<i64> = row.no_value.iter().map(|number| exact(*number)).collect();
        none.sort_unstable();
        none.dedup();
        Some(Arc::new(Self {
            min: border(min, i64::MIN),
            max: border(max, i64::MAX),
            none: none.into(),
        }))
    }

    /// Why a result is no value, if it is none.
    #[must_use]
    pub fn judge(&self, result: f64) -> Option<NoValue> {
        if self
            .none
            .iter()
            .any(|none| Limit::Plain(*none).of_result(result).is_eq())
        {
            Some(NoValue::Stated)
        } else if Limit::Plain(self.min).of_result(result).is_lt() {
            Some(NoValue::Below)
        } else if Limit::Plain(self.max).of_result(result).is_gt() {
            Some(NoValue::Above)
        } else {
            None
        }
    }
}

/// How many observations came that are no values, since the start.
#[derive(Debug, Default)]
pub struct NoValueMeter([AtomicU64; NoValue::NAMES.len()]);

impl NoValueMeter {
    /// One came.
    pub fn count(&self, why: NoValue) {
        self.0[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The numbers by name.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let numbers = self.0.iter().map(|number| number.load(Ordering::Relaxed));
        NoValue::NAMES.into_iter().zip(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(fields: &str) -> Validity {
        let json = format!(r#"{{"id":"d","asset":"a","observed_property":"p",{fields}}}"#);
        Valid::of(&serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn borders_belong_to_the_range_and_are_exact() {
        let valid = valid(r#""valid":{"min":-40,"max":60.5},"no_value":[0.3,-9999]"#).unwrap();
        for (result, expected) in [
            (-40.0, None),
            (-40.000_1, Some(NoValue::Below)),
            (60.5, None),
            (60.500_000_1, Some(NoValue::Above)),
            (0.3, Some(NoValue::Stated)),
            (0.1 + 0.2, None),
            (-9999.0, Some(NoValue::Stated)),
            (-9998.999, Some(NoValue::Below)),
        ] {
            assert_eq!(valid.judge(result), expected, "{result}");
        }
    }

    #[test]
    fn what_is_not_given_bounds_nothing() {
        assert_eq!(valid(r#""valid":null,"no_value":null"#), None);
        let least = valid(r#""valid":{"min":0}"#).unwrap();
        assert_eq!(
            [-1e-9, -0.0, 1e9].map(|result| least.judge(result)),
            [Some(NoValue::Below), None, None]
        );
        assert_eq!(valid(r#""no_value":[7,-1,7]"#), valid(r#""no_value":[-1,7.0]"#));
    }
}
