//! Series in short: `0x10` as promtool writes them, lists, and values at times of their own.

use serde_json::{Number, Value, json};

use super::after::After;

/// So many values may one series of a test have.
const MOST_VALUES: usize = 100_000;
/// Numbers of the short form are exact to so many decimals.
const DECIMALS: usize = 9;
const UNIT: i128 = 1_000_000_000;

/// One value of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// When, after the start.
    pub at: i64,
    /// A number or the name of a state; `None` takes back what was known of that time.
    pub value: Option<Value>,
    /// How far it may be trusted, where it says so.
    pub quality: Option<Value>,
}

/// What is wrong in a series: where in it (`[3]`, or nothing), what is found, what to give.
pub type Fault = (String, String, &'static str);

/// When the values of a series come that say nothing of their times.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// The first.
    pub from: i64,
    /// From each to the next.
    pub interval: i64,
}

const SHORT: &str = "values such as `1 2.5 _`, `0x10` (0 and ten more of it), `1+2x5` (1 and five more, each greater by 2), `_x3` (three \
     times none)";
const ENTRY: &str = "a number, the name of a state, null for none, or `[time, value]`, such as `[40m, 2.5]`; with null it is taken back";

/// The values of a series, in the order in which they are written.
///
/// # Errors
///
/// Everything wrong with them.
pub fn points(values: &Value, grid: Grid) -> Result<Vec<Point>, Vec<Fault>> {
    let slots = match values {
        Value::String(text) => short(text)?.into_iter().map(Slot::Next).collect(),
        Value::Number(_) => vec![Slot::Next(Some(values.clone()))],
        Value::Array(list) => listed(list)?,
        Value::Null | Value::Bool(_) | Value::Object(_) => {
            return Err(vec![(
                String::new(),
                shown(values),
                "values in short, such as `0x10 1+2x5`, or a list of them",
            )]);
        }
    };
    let mut next = grid.from;
    let mut points = Vec::with_capacity(slots.len());
    for slot in slots {
        match slot {
            Slot::At(point) => points.push(point),
            Slot::Next(value) => {
                points.extend(value.map(|value| Point {
                    at: next,
                    value: Some(value),
                    quality: None,
                }));
                next = next.saturating_add(grid.interval);
            }
        }
    }
    Ok(points)
}

/// The next value on the grid, or one at a time of its own.
enum Slot {
    Next(Option<Value>),
    At(Point),
}

fn listed(list: &[Value]) -> Result<Vec<Slot>, Vec<Fault>> {
    let (mut slots, mut faults) = (Vec::with_capacity(list.len()), Vec::new());
    for (index, entry) in list.iter().enumerate() {
        match slot(entry) {
            Ok(slot) => slots.push(slot),
            Err((found, give)) => faults.push((format!("[{index}]"), found, give)),
        }
    }
    if faults.is_empty() { Ok(slots) } else { Err(faults) }
}

fn slot(entry: &Value) -> Result<Slot, (String, &'static str)> {
    match entry {
        Value::Null => Ok(Slot::Next(None)),
        Value::Number(_) | Value::Bool(_) => Ok(Slot::Next(Some(entry.clone()))),
        Value::String(name) if name == "_" => Ok(Slot::Next(None)),
        Value::String(name) if is_state(name) => Ok(Slot::Next(Some(entry.clone()))),
        Value::String(_) => Err((
            shown(entry),
            "a number or the name of a state; the short form is one text in place of the list",
        )),
        Value::Array(parts) => {
            let (time, value, quality) = match parts.as_slice() {
                [time, value] => (time, value, None),
                [time, value, quality] => (time, value, Some(quality.clone())),
                _ => return Err((format!("a list of {}", parts.len()), ENTRY)),
            };
            let at: After = serde_json::from_value(time.clone()).map_err(|_| {
                let found = format!("at the time {}", shown(time));
                (found, "a time after the start, such as `40m`, `1h30m` or `0`")
            })?;
            let is_value = matches!(
                value,
                Value::Null | Value::Number(_) | Value::Bool(_) | Value::String(_)
            );
            if !is_value {
                return Err((format!("{} at {at}", shown(value)), ENTRY));
            }
            Ok(Slot::At(Point {
                at: at.0,
                value: (!value.is_null()).then(|| value.clone()),
                quality,
            }))
        }
        Value::Object(_) => Err((shown(entry), ENTRY)),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => other.to_string(),
    }
}

/// Names of states do not begin like numbers.
fn is_state(text: &str) -> bool {
    text.starts_with(|first: char| !first.is_ascii_digit() && !"+-._".contains(first))
}

/// `a`, `axN`, `a+bxN`, `a-bxN`, `_`, `_xN`, and names of states, with blanks between.
fn short(text: &str) -> Result<Vec<Option<Value>>, Vec<Fault>> {
    let (mut values, mut faults) = (Vec::new(), Vec::new());
    for token in text.split_ascii_whitespace() {
        let found = || (String::new(), format!("`{token}`"), SHORT);
        match expand(token) {
            Some(more) if values.len() + more.len() <= MOST_VALUES => values.extend(more),
            Some(_) => {
                let give = "at most 100000 values in one series, or several series";
                return Err(vec![(String::new(), format!("too long at `{token}`"), give)]);
            }
            None => faults.push(found()),
        }
    }
    if values.is_empty() && faults.is_empty() {
        faults.push((String::new(), "empty".to_owned(), SHORT));
    }
    if faults.is_empty() { Ok(values) } else { Err(faults) }
}

fn expand(token: &str) -> Option<Vec<Option<Value>>> {
    if is_state(token) {
        return Some(vec![Some(Value::from(token))]);
    }
    let (value, more) = match token.split_once('x') {
        Some((value, times)) => (value, Some(times.parse::<usize>().ok()?)),
        None => (token, None),
    };
    if more.is_some_and(|more| more >= MOST_VALUES) {
        // Too many, whatever they are.
        return Some(vec![None; MOST_VALUES + 1]);
    }
    if value == "_" {
        return Some(vec![None; more.unwrap_or(1)]);
    }
    // The sign that is not the first.
    let step = value.get(1..)?.find(['+', '-']).map(|at| at + 1);
    let (first, step) = match (step, more) {
        (Some(at), Some(_)) => {
            let step = exact(value[at..].strip_prefix('+').unwrap_or(&value[at..]))?;
            (exact(&value[..at])?, step)
        }
        (Some(_), None) => return None,
        (None, _) => (exact(value)?, 0),
    };
    let count = i128::try_from(more.unwrap_or(0)).ok()?;
    let values = (0..=count).map(|index| number(first + step * index));
    values.map(|number| Some(Some(number?))).collect()
}

/// A decimal in billionths; `None` where it is none, or has more places.
fn exact(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let fits = whole.len() <= 15 && fraction.len() <= DECIMALS && !(whole.is_empty() && fraction.is_empty());
    if !fits || !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: i128 = format!("{fraction:0<DECIMALS$}").parse().ok()?;
    let value = whole * UNIT + fraction;
    Some(if negative { -value } else { value })
}

/// Billionths as the number that a person would write.
fn number(billionths: i128) -> Option<Value> {
    let (whole, fraction) = (billionths.abs() / UNIT, billionths.abs() % UNIT);
    let sign = if billionths < 0 { "-" } else { "" };
    let fraction = format!("{fraction:0DECIMALS$}");
    let text = match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    };
    serde_json::from_str::<Number>(&text).ok().map(|number| json!(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(from: i64, values: &Value) -> Vec<(i64, Value)> {
        let points = points(values, Grid { from, interval: 10 }).unwrap();
        let value = |point: Point| (point.at, point.value.unwrap_or_default());
        points.into_iter().map(value).collect()
    }

    #[test]
    fn the_short_form_is_promtools() {
        let all = |text: &str| -> Vec<Value> {
            let values = short(text).unwrap().into_iter();
            values.map(Option::unwrap_or_default).collect()
        };
        for (text, expected) in [
            ("-2+4x3", json!([-2, 2, 6, 10])),
            ("1-2x4", json!([1, -1, -3, -5, -7])),
            ("1x4", json!([1, 1, 1, 1, 1])),
            ("0x0", json!([0])),
            ("1 _x3 5", json!([1, null, null, null, 5])),
            // What is added up in binary would be 0.30000000000000004.
            ("0+0.1x3", json!([0, 0.1, 0.2, 0.3])),
            ("1.5-.25x2 _", json!([1.5, 1.25, 1, null])),
            ("open closed  open", json!(["open", "closed", "open"])),
        ] {
            assert_eq!(json!(all(text)), expected, "{text}");
        }
    }

    #[test]
    fn values_come_at_intervals_or_at_times_of_their_own() {
        let short = json!("1 _ 3");
        assert_eq!(at(5, &short), [(5, json!(1)), (25, json!(3))]);
        let list = json!([1, null, ["1s", 7.5], "open", ["0", null]]);
        let expected = [
            (0, json!(1)),
            (1_000, json!(7.5)),
            (20, json!("open")),
            (0, Value::Null),
        ];
        assert_eq!(at(0, &list), expected);
        assert_eq!(at(3, &json!(7)), [(3, json!(7))]);
    }

    #[test]
    fn everything_wrong_is_told_with_what_to_give() {
        let wrong = |values: Value| points(&values, Grid { from: 0, interval: 1 }).unwrap_err();
        for token in [
            "1+x3",
            "1y3",
            "1x",
            "1x-2",
            "1+2",
            "1.2.3",
            "0.1234567891",
            "--1",
            "_x",
            "1+2+3x4",
            "-",
            ".",
        ] {
            let faults = wrong(json!(format!("1 {token} 2")));
            assert_eq!(faults, [(String::new(), format!("`{token}`"), SHORT)]);
        }
        assert_eq!(wrong(json!("1z 2 3z")).len(), 2);
        assert_eq!(wrong(json!(" "))[0].1, "empty");
        assert!(wrong(json!("0x99999999999"))[0].1.contains("too long"));
        let faults = wrong(json!([1, "0x5", ["soon", 1], ["1s"], ["1s", {}], {}]));
        let places: Vec<&str> = faults.iter().map(|(place, ..)| place.as_str()).collect();
        assert_eq!(places, ["[1]", "[2]", "[3]", "[4]", "[5]"]);
        assert_eq!(wrong(json!({}))[0].1, "an object");
    }
}
