//! What happened, for how long, and what people and models say of it: the records of which spans of events are made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Asset;
use crate::log_row::LogRecord;
use crate::observation::{Op, Reading};
use crate::topic::{Record, Shape, Spec};
use crate::{Check, Id, Level, Millis, Number, RegionCode, TableRecord, Text, TextMap, capability, field};

/// So many attributes may an event have, and so many numbers.
const MOST_ATTRIBUTES: usize = 50;

/// What an event has by itself, by the names that gauges select by: none of its own attributes may be called so.
pub const RESERVED: [&str; 10] = [
    "asset", "category", "domain", "event", "kind", "level", "model", "region", "review", "source",
];

/// The numbers that an event has by itself.
pub const RESERVED_NUMBERS: [&str; 2] = ["confidence", "weight"];

/// A record of `in.event`, keyed by `id`: something that holds from one time to another, such as a card that is in a mine, or that
/// happened at one time, such as what a camera saw. A second record of an identifier replaces the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// The identifier; also the record's key.
    pub id: Id<Event>,
    /// What happened, such as `underground` or `smoke`; gauges select by it. Absent only when `op` is `delete`.
    #[serde(default, deserialize_with = "field::or_default")]
    pub kind: Text,
    /// When it began. Up to `time.event_ahead` ahead of the clock. Told later than `time.event_age` after that it counts from so long ago
    /// on only. Where `op` is `delete`, any time.
    pub time: Millis,
    /// When it is over: from then on, without it. After `time`, by 366 days at most. What was over `time.event_age` ago is too late.
    #[serde(default)]
    pub to: Option<Millis>,
    /// Whether it goes on, and its end comes in a later record: soon enough that `in.event` still keeps this one (`topics.input_retention`),
    /// or it is told again. Without `to` and without this it is momentary.
    #[serde(default, deserialize_with = "field::or_default")]
    pub open: bool,
    /// The asset at which it happened. Without it `region` says where.
    #[serde(default)]
    pub asset: Option<Id<Asset>>,
    /// Where it happened; of an event at an asset it is absent: that has a region.
    #[serde(default)]
    pub region: Option<RegionCode>,
    /// Who or what told it, such as a camera.
    #[serde(default, deserialize_with = "field::or_default")]
    pub source: Text,
    /// How sure the source is: 0 to 1.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    pub confidence: Option<Number>,
    /// The version of a model that found it, as in `base.model`.
    #[serde(default)]
    pub model: Option<Id<Model>>,
    /// How grave it is.
    #[serde(default, deserialize_with = "field::or_default")]
    pub level: Level,
    /// How much it counts where weights are summed, such as a number of people; absent: 1. Exact to thousandths, -1e9 to 1e9.
    #[serde(default)]
    pub weight: Option<Number>,
    /// What else is said of it in words, by name. At most 50.
    #[serde(default, deserialize_with = "field::or_default")]
    pub attributes: TextMap<Text>,
    /// What else is said of it in numbers, by name. At most 50, -1e9 to 1e9. Gauges compare them exactly, and show thousandths.
    #[serde(default, deserialize_with = "field::or_default")]
    pub numbers: TextMap<Number>,
    /// Where its evidence is to be seen, such as a link to a picture.
    #[serde(default, deserialize_with = "field::or_default")]
    pub evidence: Text,
    /// Whether the record puts or takes back the event.
    #[serde(default, deserialize_with = "field::or_default")]
    pub op: Op,
}

impl Event {
    /// From its beginning to its end at most so long.
    pub const LONGEST: crate::Duration = crate::Duration(366 * 86_400_000);

    /// From when on it is over; [`Millis::MAX`] where it goes on. Of a momentary one its time.
    #[must_use]
    pub fn end(&self) -> Millis {
        match (self.op, self.to) {
            (Op::Upsert, Some(to)) => to,
            (Op::Upsert, None) if !self.open => self.time,
            // What is taken back may be anything that is still held.
            (Op::Upsert | Op::Delete, _) => Millis::MAX,
        }
    }

    /// When it was told at the earliest, as far as it says so itself: when it was over, if that was by `now`, else when it began.
    #[must_use]
    pub fn told(&self, now: Millis) -> Millis {
        self.to
            .filter(|to| self.op == Op::Upsert && *to <= now)
            .unwrap_or(self.time)
    }

    /// Whether it has a time only.
    #[must_use]
    pub const fn is_momentary(&self) -> bool {
        self.to.is_none() && !self.open
    }

    /// What it counts in sums, in thousandths.
    #[must_use]
    pub fn thousandths(&self) -> i64 {
        let weight = self.weight.unwrap_or(Number(1.0));
        weight
            .thousandths()
            .expect("an event's weight was checked when it was read")
    }

    fn check_numbers(&self, check: &mut Check) {
        let exact = |number: Number| number.thousandths().is_some() && number.0.abs() <= Reading::LIMIT;
        let give = "a number with at most three decimals, from -1e9 to 1e9";
        if let Some(weight) = self.weight.filter(|weight| !exact(*weight)) {
            check.wrong("weight", weight, give);
        }
        if let Some(confidence) = self.confidence.filter(|sure| !(0.0..=1.0).contains(&sure.0)) {
            check.wrong("confidence", confidence, "a number from 0 to 1");
        }
        let numbers = self.numbers.iter().count();
        if numbers > MOST_ATTRIBUTES {
            check.wrong("numbers", format!("a map of {numbers}"), "at most 50");
        }
        for (name, number) in self.numbers.iter().take(MOST_ATTRIBUTES) {
            let field = format_args!("numbers.{name}");
            check_name(check, field, name);
            if number.0.abs() > Reading::LIMIT {
                check.wrong(field, number, "a number from -1e9 to 1e9");
            }
        }
    }

    fn check_attributes(&self, check: &mut Check) {
        let attributes = self.attributes.iter().count();
        if attributes > MOST_ATTRIBUTES {
            check.wrong("attributes", format!("a map of {attributes}"), "at most 50");
        }
        for (name, attribute) in self.attributes.iter().take(MOST_ATTRIBUTES) {
            let field = format_args!("attributes.{name}");
            check_name(check, field, name);
            check.identifier(field, attribute);
        }
    }
}

fn check_name(check: &mut Check, field: std::fmt::Arguments<'_>, name: &str) {
    check.identifier(field, name);
    if RESERVED.contains(&name) || RESERVED_NUMBERS.contains(&name) {
        check.wrong(
            field,
            "a name that each event has",
            "another name, or the field of that name",
        );
    }
}

impl Record for Event {
    const SPEC: Spec = Spec {
        id: 259,
        name: "in.event",
        shape: Shape::InputLog,
        key: "id",
        capability: Some(capability::GAUGES),
        example: r#"{"id":"e1","kind":"smoke","time":1750000000000,"to":1750000020000,"open":false,"asset":"a1","source":"camera-7",
            "confidence":0.93,"model":"smoke-2.1","level":"blue","weight":2,"attributes":{"line":"3"},"numbers":{"speed":1.5},
            "evidence":"https://video.example/e1.jpg","op":"upsert"}"#,
    };
}

impl LogRecord for Event {
    const TIME: &'static str = "time";

    fn id(&self) -> Text {
        self.id.text().clone()
    }

    fn time(&self) -> Millis {
        self.time
    }

    fn check(&self, check: &mut Check) {
        check.identifier("id", &self.id);
        if self.op == Op::Delete {
            return;
        }
        check.identifier("kind", &self.kind);
        match self.to {
            Some(to) if to <= self.time => {
                check.wrong("to", to, "a time after `time`; of what is momentary leave it out")
            }
            Some(to) if to > self.time + Self::LONGEST => {
                check.wrong(
                    "to",
                    to,
                    "a time at most 366 days after `time`; `open` for what has no end yet",
                );
            }
            Some(to) if self.open => check.wrong("open", "true, with an end", &format!("false: it is over at {to}")),
            _ => {}
        }
        match (&self.asset, self.region) {
            (None, None) => check.wrong("asset", "missing", "the asset where it happened, or `region`"),
            (Some(_), Some(region)) => {
                check.wrong("region", format!("`{region}`"), "none: the asset's row has the region");
            }
            _ => {}
        }
        check.identifier_if_any("asset", self.asset.as_deref());
        check.identifier_if_any("model", self.model.as_deref());
        check.identifier_if_any("source", Some(&*self.source).filter(|source| !source.is_empty()));
        check.text("evidence", &self.evidence);
        self.check_numbers(check);
        self.check_attributes(check);
    }
}

/// A record of `in.review`, keyed by `event`: what somebody who looked says of an event. A null payload takes it back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Review {
    /// The event's identifier, as in `in.event`. It may come before the event.
    pub event: Id<Event>,
    /// What was seen.
    pub verdict: Verdict,
    /// Who looked.
    #[serde(default, deserialize_with = "field::or_default")]
    pub by: Text,
}

/// What a review says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is as the event says.
    Confirmed,
    /// It never was: the event counts nowhere.
    False,
}

impl Record for Review {
    const SPEC: Spec = Spec {
        id: 15,
        name: "in.review",
        shape: Shape::InputTable,
        key: "event",
        capability: Some(capability::GAUGES),
        example: r#"{"event":"e1","verdict":"confirmed","by":"officer-12"}"#,
    };
}

impl TableRecord for Review {
    fn id(&self) -> Text {
        self.event.text().clone()
    }

    fn check(&self, check: &mut Check) {
        check.identifier("event", &self.event);
        check.word("by", &self.by);
    }
}

/// A record of `base.model`, keyed by `id`: a version of a model that finds events. Those that are not bad need no row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Model {
    /// The identifier: name and version, such as `smoke-2.1`.
    pub id: Id<Model>,
    /// What people call it.
    #[serde(default, deserialize_with = "field::or_default")]
    pub name: Text,
    /// Whether nothing that it found counts.
    #[serde(default, deserialize_with = "field::or_default")]
    pub bad: bool,
}

impl Record for Model {
    const SPEC: Spec = Spec {
        id: 16,
        name: "base.model",
        shape: Shape::InputTable,
        key: "id",
        capability: Some(capability::GAUGES),
        example: r#"{"id":"smoke-2.1","name":"Smoke, winter","bad":true}"#,
    };
}

impl TableRecord for Model {
    fn id(&self) -> Text {
        self.id.text().clone()
    }

    fn check(&self, check: &mut Check) {
        check.identifier("id", &self.id);
        check.text("name", &self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_row::LogRow;
    use crate::topic::Topic;

    fn read(rest: &str) -> Result<Event, String> {
        let text = format!(r#"{{"id":"e1","time":1795700000000,{rest}}}"#);
        match LogRow::from_json(Topic::IN_EVENT, &text) {
            Ok(row) => Ok(row.downcast::<Event>().unwrap().as_ref().clone()),
            Err(Some(crate::json::Unreadable::Wrong(problems))) => Err(problems.to_string()),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_event_lasts_goes_on_or_is_momentary() {
        let momentary = read(r#""kind":"smoke","asset":"a""#).unwrap();
        assert!(momentary.is_momentary());
        assert_eq!((momentary.end(), momentary.thousandths()), (momentary.time, 1_000));
        let lasts = read(r#""kind":"crowd","region":"3309","to":1795700060000,"weight":2.5"#).unwrap();
        assert_eq!((lasts.end(), lasts.thousandths()), (Millis(1_795_700_060_000), 2_500));
        let open = read(r#""kind":"crowd","region":"3309","open":true"#).unwrap();
        assert_eq!(open.end(), Millis::MAX);
        assert_eq!(lasts.told(Millis(1_795_700_060_000)), lasts.end());
        assert_eq!(lasts.told(Millis(1_795_700_059_999)), lasts.time, "it is not over");
        assert_eq!(open.told(Millis::MAX), open.time);
        let gone = read(r#""op":"delete""#).unwrap();
        assert_eq!(gone.end(), Millis::MAX);
    }

    #[test]
    fn detectors_may_be_as_exact_as_they_like() {
        let exact = read(r#""kind":"k","asset":"a","confidence":0.93000001,"numbers":{"lat":30.246812}"#).unwrap();
        assert_eq!(exact.confidence, Some(Number(0.930_000_01)));
    }

    #[test]
    fn what_cannot_be_an_event_is_told_by_field() {
        for (rest, says) in [
            (r#""kind":"smoke""#, "`asset` is missing"),
            (r#""asset":"a""#, "`kind` is"),
            (
                r#""kind":"k","asset":"a","region":"3309""#,
                "`region` is `3309`; give none",
            ),
            (r#""kind":"k","asset":"a","to":1795700000000"#, "`to` is"),
            (r#""kind":"k","asset":"a","to":1995700000000"#, "at most 366 days"),
            (
                r#""kind":"k","asset":"a","to":1795700000001,"open":true"#,
                "`open` is true",
            ),
            (r#""kind":"k","asset":"a","confidence":1.5"#, "`confidence` is 1.5"),
            (r#""kind":"k","asset":"a","weight":0.0001"#, "`weight` is 0.0001"),
            (
                r#""kind":"k","asset":"a","attributes":{"source":"x"}"#,
                "`attributes.source` is",
            ),
            (
                r#""kind":"k","asset":"a","numbers":{"weight":1}"#,
                "`numbers.weight` is",
            ),
            (r#""kind":"k","asset":"a","source":"camera-7 ""#, "`source` is"),
            (
                r#""kind":"k","asset":"a","attributes":{"line":""}"#,
                "`attributes.line` is",
            ),
            (r#""kind":"k","asset":"a","numbers":{"n":2e9}"#, "`numbers.n` is"),
        ] {
            let said = read(rest).unwrap_err();
            assert!(said.contains(says), "{rest}: {said}");
        }
    }
}
