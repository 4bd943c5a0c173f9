//! Why a JSON text is no record of its type: field, value found, and what to give. Asked only where reading it failed; reading
//! itself is `serde_json`'s.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use serde_json::value::RawValue;
use serde_path_to_error::Segment;

use crate::{Problem, Problems};

/// What reading came to, and where it failed.
pub type Attempt = Result<(), serde_path_to_error::Error<serde_json::Error>>;

/// A value is shown up to so many characters.
const SHOWN: usize = 80;

/// Why a text is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is no JSON: what the parser says.
    Malformed(String),
    /// It is JSON, and these fields are wrong.
    Wrong(Problems),
}

/// Reads a text as a record, and keeps where that failed.
///
/// # Errors
///
/// The first field that is wrong.
pub fn attempt<'a, T: Deserialize<'a>>(text: &'a str) -> Attempt {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize::<_, T>(&mut deserializer).map(drop)
}

/// Why a text is no record of this type: every field that is wrong.
#[must_use]
pub fn why<T: DeserializeOwned>(text: &str) -> Unreadable {
    why_by(text, |text| attempt::<T>(text))
}

/// The same of a type that borrows: `attempt` reads the text as one, and fails.
#[must_use]
pub fn why_by(text: &str, attempt: impl Fn(&str) -> Attempt) -> Unreadable {
    match examine(text, attempt) {
        Err(malformed) => Unreadable::Malformed(malformed),
        Ok((problems, _)) => Unreadable::Wrong(problems),
    }
}

/// The most problems told of one record; of a large one only the first: each costs reading all of it again.
const MOST_PROBLEMS: usize = 20;
const LARGE: usize = 32 << 10;

/// What is wrong, field by field: each is left out, and reading goes on as far as that can be. Beside it the rest, if that can be
/// read. Of a text that is no JSON, what the parser says.
pub fn examine(text: &str, attempt: impl Fn(&str) -> Attempt) -> Result<(Problems, Option<String>), String> {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        return Err(format!("no JSON: {error}"));
    }
    let mut problems = Problems::default();
    let mut rest = Cow::Borrowed(text);
    for _ in 0..MOST_PROBLEMS {
        let Err(error) = attempt(&rest) else {
            return Ok((problems, Some(rest.into_owned())));
        };
        let failure = failure(&rest, &error, &attempt);
        // What is missing because it was left out, maybe under its other name, was told of; and so was a list that is too short
        // without what was wrong in it.
        let field = &failure.problem.field;
        let within = |told: &str| told.strip_prefix(&**field).is_some_and(|rest| rest.starts_with('['));
        if problems
            .iter()
            .any(|told| same_name(&told.field, field) || within(&told.field))
        {
            break;
        }
        let without = (rest.len() <= LARGE).then(|| failure.without(&rest));
        problems.push(failure.problem);
        match without.flatten() {
            Some(without) => rest = Cow::Owned(without),
            None => break,
        }
    }
    Ok((problems, None))
}

/// Whether two fields are one, `phenomenonTime` and `phenomenon_time`.
fn same_name(a: &str, b: &str) -> bool {
    let letters = |text: &str| -> String { text.chars().filter(|char| *char != '_').collect() };
    letters(a).eq_ignore_ascii_case(&letters(b))
}

/// One field that is wrong, and where it stands.
struct Failure {
    problem: Problem,
    path: Vec<Step>,
    /// Whether it is there more than once: the last is as good as it gets.
    twice: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Failure {
    /// The text without the field; `None` where it is not there.
    fn without(&self, text: &str) -> Option<String> {
        let mut value: Value = serde_json::from_str(text).ok()?;
        if self.twice {
            return Some(value.to_string());
        }
        let (last, parents) = self.path.split_last()?;
        let mut place = &mut value;
        for step in parents {
            place = match step {
                Step::Key(key) => place.get_mut(key)?,
                Step::Index(index) => place.get_mut(index)?,
            };
        }
        match (last, place) {
            (Step::Key(key), Value::Object(object)) => drop(object.remove(key)?),
            (Step::Index(index), Value::Array(list)) if *index < list.len() => drop(list.remove(*index)),
            _ => return None,
        }
        Some(value.to_string())
    }
}

/// What is wrong with a text that `attempt` could not read.
fn failure(
    text: &str,
    error: &serde_path_to_error::Error<serde_json::Error>,
    attempt: &impl Fn(&str) -> Attempt,
) -> Failure {
    let mut path = steps(error);
    let message = message(error.inner());
    // To find a value that lies deep in a large text is to read most of it again and again.
    let found = (text.len() <= LARGE).then(|| at(text, &path)).flatten();
    let mut twice = false;
    let (found, give) = if let Some((name, give)) = named(&message, "missing field ") {
        path.push(Step::Key(name.to_owned()));
        ("missing".to_owned(), give.unwrap_or("it").to_owned())
    } else if let Some((name, _)) = named(&message, "duplicate field ") {
        enter(&mut path, name);
        twice = true;
        ("there twice".to_owned(), "it once".to_owned())
    } else if let Some((name, known)) = named(&message, "unknown field ") {
        enter(&mut path, name);
        let known = known.map_or("no field here".to_owned(), choice);
        ("not known here".to_owned(), known)
    } else {
        let raw = found.or_else(|| unexpected(&message)).unwrap_or("not readable");
        let (reason, give) = of_value(raw, &message).unwrap_or_else(|| {
            let known = found.and_then(|raw| variants(text, raw, attempt));
            (None, known.unwrap_or_else(|| "a value of its type".to_owned()))
        });
        let found = match reason {
            Some(reason) => format!("{}: {reason}", shown(raw)),
            None => shown(raw),
        };
        (found, give)
    };
    let field = show(&path);
    let problem = Problem { field, found, give };
    Failure { problem, path, twice }
}

/// What is wrong with a value beside its being what it is, and what to give; `None` where the message does not say what.
fn of_value(raw: &str, message: &str) -> Option<(Option<String>, String)> {
    if let Some((_, expected)) = message
        .strip_prefix("unknown variant ")
        .and_then(|rest| rest.split_once(", expected "))
    {
        return Some((None, choice(expected)));
    }
    if let Some((_, expected)) = message
        .strip_prefix("invalid ")
        .and_then(|rest| rest.split_once(", expected "))
    {
        let decimal_comma = matches!(expected, "f64" | "f32") && is_decimal_comma(raw);
        let reason = decimal_comma.then(|| "a decimal comma".to_owned());
        let give = if decimal_comma {
            "a number with a decimal point"
        } else {
            kind(expected)?
        };
        return Some((reason, give.to_owned()));
    }
    if message.starts_with("number out of range") {
        return Some((None, "a number that is not so large".to_owned()));
    }
    if message.starts_with("recursion limit") {
        return Some((Some("nested too deep".to_owned()), "at most 100 levels".to_owned()));
    }
    // A value that some type of ours refuses; which one it is stands before.
    let (reason, give) = message.split_once("; give ")?;
    let reason = match reason.strip_prefix('`').and_then(|rest| rest.split_once("` is ")) {
        Some((_, reason)) => reason,
        None => reason,
    };
    Some((Some(reason.to_owned()), give.to_owned()))
}

/// What the parser calls the value that it did not expect.
fn unexpected(message: &str) -> Option<&str> {
    let (_, rest) = message.strip_prefix("invalid ")?.split_once(": ")?;
    let (found, _) = rest.split_once(", expected ")?;
    Some(found)
}

/// What serde's names of types are for people; `None` for a choice that it does not list.
fn kind(expected: &str) -> Option<&str> {
    Some(match expected {
        "f64" | "f32" => "a number",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number, 0 or more",
        "i64" => "a whole number",
        "a string" | "a borrowed string" | "string" | "a character" => "a text in quotes",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list",
        "a map" => "an object",
        "string or map" | "value" => return None,
        other if other.starts_with("struct ") => "an object",
        other => other,
    })
}

/// What may stand where a choice of names is asked for: told by giving a name that is none.
fn variants(text: &str, raw: &str, attempt: &impl Fn(&str) -> Attempt) -> Option<String> {
    let begin = (raw.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    let (before, behind) = (text.get(..begin)?, text.get(begin + raw.len()..)?);
    let asked = format!("{before}\"\\u0000\"{behind}");
    let error = attempt(&asked).err()?;
    let message = message(error.inner());
    let (_, expected) = message.strip_prefix("unknown variant ")?.split_once(", expected ")?;
    Some(choice(expected))
}

/// Serde's list of names.
fn choice(expected: &str) -> String {
    expected.replace("there are no fields", "none")
}

/// The name in a message that begins so, and what it says behind.
fn named<'a>(message: &'a str, begin: &str) -> Option<(&'a str, Option<&'a str>)> {
    let (name, behind) = message.strip_prefix(begin)?.strip_prefix('`')?.split_once('`')?;
    let behind = behind
        .strip_prefix(", expected ")
        .or_else(|| behind.strip_prefix("; give "));
    Some((name, behind))
}

/// Goes on to a field of that name, unless the path ends with it.
fn enter(path: &mut Vec<Step>, name: &str) {
    if !matches!(path.last(), Some(Step::Key(last)) if last == name) {
        path.push(Step::Key(name.to_owned()));
    }
}

/// What the parser says, without line and column.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((message, _)) if error.line() > 0 => message.to_owned(),
        _ => text,
    }
}

fn steps(error: &serde_path_to_error::Error<serde_json::Error>) -> Vec<Step> {
    let steps = error.path().iter().filter_map(|segment| match segment {
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    steps.collect()
}

/// As problems name it: `levels.blue.when.any[1].window`.
fn show(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(&short(key)),
            Step::Key(key) => {
                text.push('.');
                text.push_str(&short(key));
            }
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    if text.is_empty() { "record".to_owned() } else { text }
}

/// The value at a path, as it was written.
fn at<'a>(text: &'a str, path: &[Step]) -> Option<&'a str> {
    let Some((first, rest)) = path.split_first() else {
        return Some(text.trim_ascii());
    };
    let value = match first {
        Step::Key(key) => {
            let mut object: BTreeMap<Cow<'a, str>, &'a RawValue> = serde_json::from_str(text).ok()?;
            object.remove(key.as_str())?
        }
        Step::Index(index) => {
            let list: Vec<&'a RawValue> = serde_json::from_str(text).ok()?;
            *list.get(*index)?
        }
    };
    at(value.get(), rest)
}

/// A value of a record by the name of its field, as it was written; `None` where the text is no object or has none.
#[must_use]
pub fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    at(text, &[Step::Key(name.to_owned())])
}

fn shown(raw: &str) -> String {
    match raw.as_bytes().first() {
        Some(b'{') => "an object".to_owned(),
        Some(b'[') => "a list".to_owned(),
        _ => short(raw).into_owned(),
    }
}

fn short(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// `"0,4"`, as spreadsheets of many countries write it.
fn is_decimal_comma(raw: &str) -> bool {
    let number = raw.trim_matches('"').trim_start_matches(['-', '+']);
    number.split_once(',').is_some_and(|(whole, fraction)| {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits(whole) && digits(fraction)
    })
}

#[cfg(test)]
mod tests {
    use crate::base::Asset;
    use crate::intake::Incident;
    use crate::observation::ObservationRecord;

    use super::*;

    fn wrong(reading: Unreadable) -> String {
        match reading {
            Unreadable::Wrong(problems) => problems.to_string(),
            Unreadable::Malformed(message) => panic!("{message}"),
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one row a case, and nothing else")]
    fn a_wrong_value_is_named_with_its_path_and_with_what_is_allowed() {
        let asset = r#"{"id":"a","category":"t","domain":"lifeline","region":"330902001001","inherent_level":3,
            "position":{"longitude":122.1,"latitude":30.0},"tags":["x","y"]}"#;
        for (from, to, says) in [
            (r#""a""#, "17", "`id` is 17; give a text in quotes"),
            (r#""a""#, "null", "`id` is null; give a text in quotes"),
            (
                "122.1",
                r#""122.1""#,
                "`position.longitude` is \"122.1\"; give a number",
            ),
            (
                "122.1",
                r#""122,1""#,
                "`position.longitude` is \"122,1\": a decimal comma; give a number with a decimal point",
            ),
            (
                "122.1",
                "1e999",
                "`position.longitude` is 1e999; give a number that is not so large",
            ),
            (r#""y""#, "{}", "`tags[1]` is an object; give a text in quotes"),
            (r#"["x","y"]"#, r#""x;y""#, "`tags` is \"x;y\"; give a list"),
            (
                r#"{"longitude":122.1,"latitude":30.0}"#,
                "[122.1,30.0]",
                "`position` is a list; give an object",
            ),
            (r#","latitude":30.0"#, "", "`position.latitude` is missing; give it"),
            (
                r#""lifeline""#,
                r#""sea""#,
                "`domain` is \"sea\"; give one of `lifeline`, `public_safety`",
            ),
            (
                r#""lifeline""#,
                "5",
                "`domain` is 5; give one of `lifeline`, `public_safety`",
            ),
            (
                r#""lifeline""#,
                "null",
                "`domain` is null; give one of `lifeline`, `public_safety`",
            ),
            (
                r#""lifeline""#,
                r#"["lifeline"]"#,
                "`domain` is a list; give one of `lifeline`, `public_safety`",
            ),
            (":3,", ":5,", "`inherent_level` is 5; give a whole number from 1 to 4"),
            (
                ":3,",
                r#":"3","#,
                "`inherent_level` is \"3\"; give a whole number from 1 to 4",
            ),
            (
                ":3,",
                ":3.5,",
                "`inherent_level` is 3.5; give a whole number from 1 to 4",
            ),
            (
                "330902001001",
                "33090 ",
                "`region` is \"33090 \": no region code: it begins or ends with a blank; give 2, 4, 6, 9 or 12 digits",
            ),
            (
                r#""id":"a","#,
                r#""id":"a","id":"b","#,
                "`id` is there twice; give it once",
            ),
            (r#""id":"a","#, "", "`id` is missing; give it"),
        ] {
            let text = asset.replacen(from, to, 1);
            assert_ne!(text, asset);
            assert!(serde_json::from_str::<Asset>(&text).is_err(), "{text}");
            let said = wrong(why::<Asset>(&text));
            assert!(said.starts_with(says), "{to}: {said}");
        }
    }

    #[test]
    fn a_record_that_borrows_is_examined_as_well() {
        for (text, says) in [
            (
                r#"{"datastream":"s","phenomenonTime":1750000020,"result":1}"#,
                "`phenomenonTime` is 1750000020: looks like seconds; give milliseconds, 1750000020000",
            ),
            (
                r#"{"datastream":"s","phenomenon_time":0,"result":1,"quality":7}"#,
                "`quality` is 7; give one of `good`, `suspect`, `bad`, `estimated`",
            ),
            (
                r#"{"datastream":"\ud800","phenomenon_time":0,"result":1}"#,
                "`datastream` is \"\\ud800\"",
            ),
        ] {
            let said = wrong(why_by(text, |text| attempt::<ObservationRecord<'_>>(text)));
            assert!(said.starts_with(says) && !said.contains("missing"), "{said}");
        }
        let cut = why_by(r#"{"datastream":"s""#, |text| attempt::<ObservationRecord<'_>>(text));
        assert!(matches!(cut, Unreadable::Malformed(message) if message.contains("EOF")));
    }

    #[test]
    fn of_a_large_record_the_first_mistake_is_told() {
        let many = ",7".repeat(LARGE);
        let text = format!(
            r#"{{"id":"a","category":7,"domain":"lifeline","region":"3309","inherent_level":9,"tags":["x"{many}]}}"#
        );
        let said = wrong(why::<Asset>(&text));
        assert_eq!(said, "`category` is integer `7`; give a text in quotes");
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let text = r#"{"id":"i","version":"1","hazard":"x","level":"Red","domain":"lifeline","region":"3309",
            "since":1750000020,"title":7,"state":null}"#;
        let (problems, rest) = examine(text, |text| attempt::<Incident>(text)).unwrap();
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!((fields, rest), (vec!["version", "level", "title", "since"], None));
        let text = text
            .replace(r#""1""#, "1")
            .replace("Red", "red")
            .replace("020,", "020000,");
        let (problems, rest) = examine(&text, |text| attempt::<Incident>(text)).unwrap();
        let record: Incident = serde_json::from_str(&rest.unwrap()).unwrap();
        assert_eq!((problems.iter().count(), &*record.title), (1, ""));
    }
}
