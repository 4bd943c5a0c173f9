//! What is wrong with a record that was meant as an envelope, `{"topic", "key", "value", "arrival", "exercise"}` in one line.

use std::collections::BTreeMap;

use riskflow_model::json::{self, Unreadable};
use riskflow_model::topic::Topic;
use riskflow_model::{Millis, Problems};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// The fields of an envelope, each by itself.
#[derive(Deserialize)]
#[expect(dead_code, reason = "it is asked only which of them cannot be read")]
struct Fields {
    topic: String,
    #[serde(default)]
    key: Option<String>,
    value: IgnoredAny,
    #[serde(default)]
    arrival: Option<Millis>,
    #[serde(default)]
    exercise: bool,
}

/// What is wrong with a text that is meant as an envelope: it has two of the fields that tell one, `topic` or `value` among them. `None`
/// where it is no such text, or nothing is wrong with it but what its value says.
#[must_use]
pub fn wrong_envelope(text: &str) -> Option<Problems> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    let has = |name: &str| fields.contains_key(name);
    let of_record = ["key", "arrival", "exercise"].into_iter().any(has);
    let is_meant = match (has("topic"), has("value")) {
        (true, true) => true,
        (true, false) | (false, true) => of_record,
        (false, false) => false,
    };
    if !is_meant {
        return None;
    }
    let Unreadable::Wrong(mut problems) = json::why::<Fields>(text) else {
        return None;
    };
    let topic: Option<String> = fields.get("topic").and_then(|raw| serde_json::from_str(raw.get()).ok());
    if let Some(topic) = topic.filter(|topic| Topic::from_name(topic).is_none()) {
        let give = "a topic that riskflow reads, such as `in.observation`; `topics.prefix` may stand before it in what a job reads";
        problems.add("topic", format!("\"{topic}\""), give);
    }
    (!problems.is_empty()).then_some(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<String> {
        let problems = wrong_envelope(text).unwrap_or_default();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_field_that_cannot_be_read_is_named_with_what_it_is() {
        let value = r#""value":{"datastream":"gas"}"#;
        for (fields, wanted) in [
            (
                r#""topic":"in.observation","exercise":"yes""#,
                &["`exercise` is \"yes\"; give `true` or `false`"][..],
            ),
            (
                r#""topic":"in.observation","exercise":null"#,
                &["`exercise` is null; give `true` or `false`"],
            ),
            (
                r#""topic":"in.observation","exercise":1"#,
                &["`exercise` is 1; give `true` or `false`"],
            ),
            (
                r#""topic":"in.observation","key":7"#,
                &["`key` is 7; give a text in quotes"],
            ),
            (
                r#""topic":["in.observation"]"#,
                &["`topic` is a list; give a text in quotes"],
            ),
            (r#""key":"gas""#, &["`topic` is missing; give it"]),
            (
                r#""topic":"in.observation","key":{},"exercise":0"#,
                &[
                    "`key` is an object; give a text in quotes",
                    "`exercise` is 0; give `true` or `false`",
                ],
            ),
        ] {
            assert_eq!(said(&format!("{{{fields},{value}}}")), wanted, "{fields}");
        }
        let said = said(&format!(
            r#"{{"topic":"in.observation","arrival":"yesterday",{value}}}"#
        ));
        assert!(
            said.len() == 1 && said[0].starts_with("`arrival` is \"yesterday\""),
            "{said:?}"
        );
    }

    #[test]
    fn a_topic_that_is_not_known_and_a_value_that_is_not_there_are_named() {
        let found = said(r#"{"topic":"in.unknown","value":{}}"#);
        assert!(
            found.len() == 1 && found[0].starts_with("`topic` is \"in.unknown\"; give a topic"),
            "{found:?}"
        );
        assert_eq!(
            said(r#"{"topic":"in.rule","key":"a"}"#),
            ["`value` is missing; give it"]
        );
    }

    #[test]
    fn what_is_no_envelope_at_all_is_left_to_others() {
        for text in [
            r#"{"id":"a"}"#,
            r#"{"value":1}"#,
            r#"{"topic":"x"}"#,
            "[1]",
            "{\"topic\":",
            "",
        ] {
            assert_eq!(said(text), [""; 0], "{text}");
        }
        assert_eq!(wrong_envelope(r#"{"topic":"in.rule","value":{}}"#), None);
    }
}
