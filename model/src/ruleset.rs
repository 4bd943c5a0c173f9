//! Rule sets: records of `in.ruleset`, and which set a rule is of.
//!
//! The identifier of a rule is `set/id`; without a set it is a rule of the set `default`. One set is live: its warnings reach risk,
//! cases and notices. All others are candidates.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::binary::{self, BinaryError};
use crate::topic::{Record, Shape, Spec};
use crate::{Check, Id, Number, TableRecord, Text, field};

/// The set of rules whose identifiers name none.
pub const DEFAULT: &str = "default";

/// The key of the row that names the live set.
pub const LIVE: &str = "live";

/// So many sets are evaluated in a job, those of sweeps apart.
pub const MOST_SETS: usize = 8;

/// So many sets of sweeps are evaluated in a job, beside the others.
pub const MOST_SWEPT: usize = 64;

/// The set that a rule's identifier names, and what the rule is called in it.
#[must_use]
pub fn parts(id: &str) -> (&str, &str) {
    id.split_once('/').unwrap_or((DEFAULT, id))
}

/// The identifier of a rule of a set.
#[must_use]
pub fn qualified(set: &str, rule: &str) -> Text {
    if set == DEFAULT {
        rule.into()
    } else {
        format!("{set}/{rule}").into()
    }
}

/// What the name of a set of a sweep says behind the name of the sweep: its values. None if it is not named after the sweep.
#[must_use]
pub fn value_of<'a>(set: &'a str, sweep: &str) -> Option<&'a str> {
    let value = set.strip_prefix(sweep)?.strip_prefix('-')?;
    (!value.is_empty()).then_some(value)
}

/// Notes what is wrong with the name of a set.
pub fn check_name(check: &mut Check, field: &str, name: &str) {
    if name.contains('/') {
        check.wrong(field, format!("`{name}`"), "a name without `/`");
    } else if name == LIVE {
        check.wrong(
            field,
            format!("`{name}`"),
            "a name of its own: `live` is the row that names the live set",
        );
    } else {
        check.identifier(field, name);
    }
}

/// A record of `in.ruleset`, keyed by `id`: which set is live, or what a set takes from another.
///
/// One record under `live` is a promotion, and the next one its reverse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSet {
    /// `live`, or the name of a set: without `/`.
    pub id: Id<RuleSet>,
    /// Of `live`: the set whose warnings count. Without a record it is `default`.
    #[serde(default)]
    pub set: Option<Id<RuleSet>>,
    /// Of a set: the one whose own rules it has too, but for those that it has itself or removes. What that one takes from another
    /// does not come along.
    #[serde(default)]
    pub base: Option<Id<RuleSet>>,
    /// Of a set: the rules of its base that it does not have, by the names that they have in their set.
    #[serde(default, deserialize_with = "field::or_default")]
    pub removed: Vec<Text>,
    /// Of a set: what its rules see in the place of the results that come. At most 16.
    #[serde(default, deserialize_with = "field::or_default")]
    #[schemars(length(max = 16))]
    pub adjust: Vec<Adjust>,
    /// Of a set that is one of a sweep: the name of the sweep. The set is named after it, with the values behind a `-`: `wet-40` is
    /// of the sweep `wet`.
    #[serde(default)]
    pub sweep: Option<Id<RuleSet>>,
    /// Of `live`: the set that was live until then. It keeps its place among the sets that are evaluated, so that there is a way back.
    #[serde(default)]
    pub before: Option<Id<RuleSet>>,
}

/// What the rules of a set see of the datastreams of an observed property: each result times `multiply`, plus `add`, before any
/// feature is computed. Thresholds stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adjust {
    /// Of which datastreams.
    #[schemars(length(min = 1, max = 200))]
    pub observed_property: Text,
    /// The factor, exact to thousandths, from 0.001 to 1000.
    #[serde(default = "one")]
    #[schemars(extend("minimum" = 0.001, "maximum" = 1e3))]
    pub multiply: Number,
    /// What is added, exact to thousandths, in the unit of the results.
    #[serde(default, deserialize_with = "field::or_default")]
    #[schemars(extend("minimum" = -1e9, "maximum" = 1e9))]
    pub add: Number,
}

const fn one() -> Number {
    Number(1.0)
}

/// The most adjustments of a set.
const MOST_ADJUSTED: usize = 16;
/// The most rules that a set may remove.
const MOST_REMOVED: usize = 1_000;

impl Record for RuleSet {
    const SPEC: Spec = Spec {
        id: 14,
        name: "in.ruleset",
        shape: Shape::InputTable,
        key: "id",
        capability: None,
        example: r#"{"id":"strict","base":"default","removed":["r"],
            "adjust":[{"observed_property":"tide","multiply":1,"add":0.3}]}"#,
    };
}

impl TableRecord for RuleSet {
    fn id(&self) -> Text {
        self.id.text().clone()
    }

    fn check(&self, check: &mut Check) {
        if &*self.id == LIVE {
            self.check_live(check);
        } else {
            self.check_set(check);
        }
    }

    /// Without a `before` the bytes are those from when there was none, which ended with `sweep`: checkpoints keep their form.
    fn encode(&self) -> Result<Vec<u8>, BinaryError> {
        let mut bytes = Vec::new();
        binary::append(&mut bytes, self)?;
        if self.before.is_none() {
            bytes.pop();
        }
        Ok(bytes)
    }

    fn decode(bytes: &[u8]) -> Result<Self, BinaryError> {
        // That there is no `before` is one byte of zero; behind a `before` it is one too many, and is not read.
        binary::read(&[bytes, &[0]].concat())
    }
}

impl RuleSet {
    fn check_live(&self, check: &mut Check) {
        match &self.set {
            Some(set) => check_name(check, "set", set),
            None => check.wrong("set", "missing", "the name of the set that is live"),
        }
        if self.base.is_some() || !self.removed.is_empty() || !self.adjust.is_empty() || self.sweep.is_some() {
            let give = "`set` and `before` alone; what a set takes from another stands in the record of that set";
            check.wrong("base", "given beside `live`", give);
        }
        if let Some(before) = &self.before {
            check_name(check, "before", before);
            if self.set.as_ref() == Some(before) {
                let give = "the set that was live until then, or none";
                check.wrong("before", format!("`{before}`, the set that is to be live"), give);
            }
        }
    }

    fn check_set(&self, check: &mut Check) {
        check_name(check, "id", &self.id);
        if let Some(set) = &self.set {
            let give = "none: which set is live says the record `live`";
            check.wrong("set", format!("`{set}`"), give);
        }
        if let Some(before) = &self.before {
            let give = "none: which set was live before says the record `live`";
            check.wrong("before", format!("`{before}`"), give);
        }
        if let Some(base) = &self.base {
            check_name(check, "base", base);
            if *base == self.id {
                check.wrong("base", format!("`{base}`, the set itself"), "another set, or none");
            }
        }
        if let Some(sweep) = &self.sweep {
            check_name(check, "sweep", sweep);
            if value_of(&self.id, sweep).is_none() {
                let give = "the beginning of the name of the set, up to a `-`: the set `wet-40` is of the sweep `wet`";
                check.wrong("sweep", format!("`{sweep}`"), give);
            }
        }
        if self.removed.len() > MOST_REMOVED {
            check.wrong("removed", self.removed.len(), "at most 1000");
        }
        if self.base.is_none() && !self.removed.is_empty() {
            check.wrong(
                "removed",
                "rules without a `base`",
                "the set that they are rules of, as `base`",
            );
        }
        check.identifiers("removed", &self.removed);
        if self.adjust.len() > MOST_ADJUSTED {
            check.wrong("adjust", self.adjust.len(), "at most 16");
        }
        for (index, adjust) in self.adjust.iter().enumerate() {
            adjust.check(check, index);
            let same = |other: &Adjust| other.observed_property == adjust.observed_property;
            if self.adjust[..index].iter().any(same) {
                let found = format!("`{}` a second time", adjust.observed_property);
                let field = format!("adjust[{index}].observed_property");
                check.wrong(field, found, "each property once");
            }
        }
    }
}

impl Adjust {
    fn check(&self, check: &mut Check, index: usize) {
        check.identifier(
            format_args!("adjust[{index}].observed_property"),
            &self.observed_property,
        );
        let thousandths = |number: Number, most: f64| number.thousandths().is_some() && number.0.abs() <= most;
        if !thousandths(self.multiply, 1e3) || self.multiply.0 <= 0.0 {
            let field = format!("adjust[{index}].multiply");
            check.wrong(
                field,
                self.multiply,
                "a number from 0.001 to 1000 with at most three places",
            );
        }
        if !thousandths(self.add, 1e9) {
            let field = format!("adjust[{index}].add");
            check.wrong(field, self.add, "a number up to 1e9 with at most three places");
        }
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.multiply.0 == 1.0 && self.add.0 == 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Row;
    use crate::topic::Topic;

    #[test]
    fn a_rule_is_of_the_set_that_its_identifier_names() {
        assert_eq!(parts("rain"), (DEFAULT, "rain"));
        assert_eq!(parts("strict/rain"), ("strict", "rain"));
        assert_eq!(&*qualified(DEFAULT, "rain"), "rain");
        assert_eq!(&*qualified("strict", "rain"), "strict/rain");
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for (text, fits) in [
            (r#"{"id":"live","set":"strict"}"#, true),
            (r#"{"id":"live"}"#, false),
            (r#"{"id":"live","set":"live"}"#, false),
            (r#"{"id":"live","set":"a","base":"b"}"#, false),
            (r#"{"id":"live","set":"a","before":"b"}"#, true),
            (r#"{"id":"live","set":"a","before":"a"}"#, false),
            (r#"{"id":"live","set":"a","before":"b/c"}"#, false),
            (r#"{"id":"live","before":"a"}"#, false),
            (r#"{"id":"a","before":"b"}"#, false),
            (r#"{"id":"a"}"#, true),
            (r#"{"id":"a","set":"b"}"#, false),
            (r#"{"id":"a/b"}"#, false),
            (r#"{"id":"a","base":"a"}"#, false),
            (r#"{"id":"wet-40","base":"default","sweep":"wet"}"#, true),
            (r#"{"id":"wet--2.5_7","sweep":"wet"}"#, true),
            (r#"{"id":"wet-","sweep":"wet"}"#, false),
            (r#"{"id":"wet","sweep":"wet"}"#, false),
            (r#"{"id":"dry-40","sweep":"wet"}"#, false),
            (r#"{"id":"live","set":"wet-40","sweep":"wet"}"#, false),
            (r#"{"id":"a","removed":["r"]}"#, false),
            (r#"{"id":"a","base":"default","removed":["r"]}"#, true),
            (r#"{"id":"a","adjust":[{"observed_property":"tide","add":0.3}]}"#, true),
            (
                r#"{"id":"a","adjust":[{"observed_property":"tide","add":0.0003}]}"#,
                false,
            ),
            (
                r#"{"id":"a","adjust":[{"observed_property":"tide","multiply":0}]}"#,
                false,
            ),
        ] {
            assert_eq!(Row::from_json(Topic::IN_RULESET, text).is_ok(), fits, "{text}");
        }
    }

    /// What stands in a checkpoint: rows from before there was `before` are read, and those without one are written as then.
    #[test]
    fn rows_without_a_set_before_have_the_bytes_that_they_always_had() {
        let read = |text: &str| serde_json::from_str::<RuleSet>(text).unwrap();
        let plain = read(r#"{"id":"live","set":"a"}"#);
        let bytes = plain.encode().unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let golden = "04000000000000006c697665\
            01010000000000000061\
            00\
            0000000000000000\
            0000000000000000\
            00";
        assert_eq!(hex, golden);
        assert_eq!(RuleSet::decode(&bytes).unwrap(), plain);
        for text in [
            r#"{"id":"live","set":"a","before":"b"}"#,
            r#"{"id":"wet-40","base":"default","sweep":"wet"}"#,
            r#"{"id":"a","base":"default","removed":["r"],"adjust":[{"observed_property":"tide","add":0.3}]}"#,
        ] {
            let row = read(text);
            assert_eq!(RuleSet::decode(&row.encode().unwrap()).unwrap(), row);
        }
        assert!(RuleSet::decode(&bytes[..bytes.len() - 2]).is_err());
    }
}
