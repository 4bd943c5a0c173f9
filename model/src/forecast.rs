//! What somebody expects of one datastream, as written on `in.forecast` and as carried through the dataflow.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, IgnoredAny, SeqAccess};
use serde::{Deserialize, Deserializer, Serialize};

use crate::base::Datastream;
use crate::limit::FORECAST_VALUES;
use crate::log_row::LogRecord;
use crate::observation::{Op, Reading};
use crate::topic::{Record, Shape, Spec};
use crate::{Check, Duration, Id, Millis, Text, field};

/// A record of `in.forecast`, keyed by `datastream`: values that are expected of a datastream, as of when they were issued.
///
/// A value is identified by (`datastream`, `issued`, valid time); a second one replaces the first. Of all issues of one valid time
/// the newest counts. One value stands in `valid_time` and `value`, many in `values`; both may be there. Unknown fields are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Forecast {
    /// The datastream's identifier, as in `base.datastream`; also the record's key.
    pub datastream: Id<Datastream>,
    /// When the forecast was made. Up to `time.max_future` ahead of the clock, `time.forecast_age` behind it.
    pub issued: Millis,
    /// For when the value is expected: from an hour before `issued` to 31 days after it.
    #[serde(default)]
    pub valid_time: Option<Millis>,
    /// The value, in the datastream's unit; absent only when `op` is `delete`. From -1e9 to 1e9.
    #[serde(default)]
    pub value: Option<f64>,
    /// Valid times, each with its value: `[["2026-11-27T08:00:00+08:00", 3.2], …]`. At most 1000; null takes a value back.
    #[serde(default, deserialize_with = "pairs")]
    pub values: Vec<(Millis, Option<f64>)>,
    /// Whether the record puts the value of `valid_time`, or takes it back: then an older issue counts again.
    #[serde(default, deserialize_with = "field::or_default")]
    pub op: Op,
}

fn pairs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Millis, Option<f64>)>, D::Error> {
    let pairs: Vec<Pair> = field::or_default(deserializer)?;
    Ok(pairs.into_iter().map(|pair| (pair.0, pair.1)).collect())
}

/// A valid time and a value. As a tuple of serde's it would be refused in words that say nothing.
struct Pair(Millis, Option<f64>);

impl<'de> Deserialize<'de> for Pair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(2, PairVisitor)
    }
}

struct PairVisitor;

impl<'de> de::Visitor<'de> for PairVisitor {
    type Value = Pair;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of a valid time and its value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Pair, A::Error> {
        let valid = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
        let value = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(1, &self))?;
        match seq.next_element::<IgnoredAny>()? {
            None => Ok(Pair(valid, value)),
            Some(IgnoredAny) => Err(de::Error::invalid_length(3, &self)),
        }
    }
}

impl Forecast {
    /// How far before its issue a value may be valid: services send the hour that they are in.
    pub const BEFORE: Duration = Duration(3_600_000);

    /// How far behind its issue a value may be valid.
    pub const AHEAD: Duration = Duration(31 * 86_400_000);

    /// Valid times, and what is expected of each: `None` takes it back. Of one time the last counts.
    pub fn expected(&self) -> impl Iterator<Item = (Millis, Option<f64>)> + '_ {
        let own = self
            .valid_time
            .map(|valid| (valid, self.value.filter(|_| self.op == Op::Upsert)));
        own.into_iter().chain(self.values.iter().copied())
    }

    fn check_valid(&self, check: &mut Check, field: &str, valid: Millis) {
        if valid < self.issued - Self::BEFORE || valid > self.issued + Self::AHEAD {
            check.wrong(field, valid, "a time from an hour before `issued` to 31 days after it");
        }
    }

    fn check_value(check: &mut Check, field: &str, value: f64) {
        if value.abs() > Reading::LIMIT {
            check.wrong(field, value, "a number from -1e9 to 1e9");
        }
    }
}

impl Record for Forecast {
    const SPEC: Spec = Spec {
        id: 258,
        name: "in.forecast",
        shape: Shape::InputLog,
        key: "datastream",
        capability: None,
        example: r#"{"datastream":"s1","issued":0,"valid_time":0,"value":1,"values":[[0,2]],"op":"upsert"}"#,
    };
}

impl LogRecord for Forecast {
    const TIME: &'static str = "issued";

    fn id(&self) -> Text {
        self.datastream.text().clone()
    }

    fn time(&self) -> Millis {
        self.issued
    }

    fn check(&self, check: &mut Check) {
        check.identifier("datastream", &self.datastream);
        match (self.op, self.valid_time, self.value) {
            (Op::Delete, None, _) => check.wrong("valid_time", "missing", "the time of the value to take back"),
            (Op::Upsert, None, Some(_)) => {
                check.wrong("valid_time", "missing", "the time for which `value` is expected")
            }
            (Op::Upsert, Some(_), None) => check.wrong("value", "missing", "a number, or `op`: `delete`"),
            (Op::Upsert, None, None) if self.values.is_empty() => {
                check.wrong("values", "missing or empty", "`valid_time` and `value`, or `values`");
            }
            (Op::Upsert | Op::Delete, ..) => {}
        }
        if let Some(valid) = self.valid_time {
            self.check_valid(check, "valid_time", valid);
        }
        if let Some(value) = self.value {
            Self::check_value(check, "value", value);
        }
        if self.values.len() > FORECAST_VALUES {
            let found = format!("{} long", self.values.len());
            return check.wrong("values", found, "at most 1000; more in another record");
        }
        for (index, (valid, value)) in self.values.iter().enumerate() {
            self.check_valid(check, &format!("values[{index}][0]"), *valid);
            if let Some(value) = value {
                Self::check_value(check, &format!("values[{index}][1]"), *value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_row::LogRow;
    use crate::topic::Topic;

    const ISSUED: i64 = 1_795_700_000_000;

    fn read(rest: &str) -> Result<Vec<(i64, Option<f64>)>, String> {
        let text = format!("{{\"datastream\":\"rain\",\"issued\":{ISSUED},{rest}}}");
        match LogRow::from_json(Topic::IN_FORECAST, &text) {
            Ok(row) => {
                let forecast = row.downcast::<Forecast>().unwrap();
                let expected = forecast.expected();
                Ok(expected.map(|(valid, value)| (valid.0 - ISSUED, value)).collect())
            }
            Err(Some(crate::json::Unreadable::Wrong(problems))) => Err(problems.to_string()),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn at(offset: i64) -> i64 {
        ISSUED + offset
    }

    #[test]
    fn a_record_holds_one_value_or_many() {
        let one = format!("\"valid_time\":{},\"value\":3.5", at(60_000));
        assert_eq!(read(&one), Ok(vec![(60_000, Some(3.5))]));
        let gone = format!("\"valid_time\":{},\"value\":3.5,\"op\":\"delete\"", at(60_000));
        assert_eq!(read(&gone), Ok(vec![(60_000, None)]));
        let many = format!("\"values\":[[{},1],[{},null]]", at(-3_600_000), at(31 * 86_400_000));
        assert_eq!(read(&many), Ok(vec![(-3_600_000, Some(1.0)), (31 * 86_400_000, None)]));
    }

    #[test]
    fn what_cannot_be_a_forecast_is_told_by_field() {
        let early = format!("\"valid_time\":{},\"value\":1", at(-3_600_001));
        let late = format!("\"values\":[[{},1],[{},2e9]]", at(0), at(31 * 86_400_000 + 1));
        let many = format!("\"values\":[{}]", vec![format!("[{},1]", at(0)); 1_001].join(","));
        for (rest, says) in [
            (early.as_str(), "`valid_time` is"),
            ("\"values\":[[0]]", "; give a list of a valid time and its value"),
            (
                "\"values\":[5]",
                "`values[0]` is 5; give a list of a valid time and its value",
            ),
            ("\"values\":[[0,1,2]]", "; give a list of a valid time and its value"),
            ("\"values\":[[0,\"open\"]]", "`values[0][1]` is \"open\"; give a number"),
            (&late, "`values[1][0]` is"),
            (&many, "`values` is 1001 long; give at most 1000"),
            ("\"op\":\"delete\"", "`valid_time` is missing"),
            ("\"value\":1", "`valid_time` is missing"),
            ("\"values\":[]", "`values` is missing or empty"),
        ] {
            let said = read(rest).unwrap_err();
            assert!(said.contains(says), "{rest}: {said}");
        }
        assert!(read(&late).unwrap_err().contains("from -1e9 to 1e9"));
    }
}
