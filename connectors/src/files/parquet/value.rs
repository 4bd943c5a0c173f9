//! Values of Parquet as JSON.

use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;
use parquet::basic::{LogicalType, Repetition, TimeUnit};
use parquet::data_type::Decimal;
use parquet::record::Field;
use parquet::schema::types::Type;
use uuid::Uuid;

use super::super::cells;
use super::super::columns::Kind;

/// Writes the JSON of a column's value, by what its field is; nothing where it is null, or a text without letters.
///
/// What CSV can say is read as there: a number may stand in a text, a text may be a list with `;` between.
pub(super) fn write_cell(cell: &mut Vec<u8>, kind: Kind, field: &Field, of: &Type) {
    match Plain::of(field, of) {
        Plain::Null => {}
        Plain::Flag(flag) if kind != Kind::Text => cell.extend_from_slice(flag.to_string().as_bytes()),
        Plain::Flag(flag) => cells::write_string(cell, flag.to_string().as_bytes()),
        Plain::Number(text) => cells::write_cell(cell, kind, text.as_bytes()),
        Plain::Text(text) => {
            let text = text.trim_ascii();
            if !text.is_empty() {
                cells::write_cell(cell, kind, text);
            }
        }
        Plain::Nested => write_value(cell, field, Some(of)),
    }
}

/// Writes a value that stands within another; nulls of objects are left out.
fn write_value(line: &mut Vec<u8>, field: &Field, of: Option<&Type>) {
    let plain = match of {
        Some(of) => Plain::of(field, of),
        None => Plain::untyped(field),
    };
    match plain {
        Plain::Null => line.extend_from_slice(b"null"),
        Plain::Flag(flag) => line.extend_from_slice(flag.to_string().as_bytes()),
        Plain::Number(text) => cells::write_cell(line, Kind::Number, text.as_bytes()),
        Plain::Text(text) => cells::write_string(line, &text),
        Plain::Nested => write_nested(line, field, of),
    }
}

fn write_nested(line: &mut Vec<u8>, field: &Field, of: Option<&Type>) {
    match field {
        Field::Group(row) => {
            line.push(b'{');
            let mut first = true;
            for (index, (name, value)) in row.get_column_iter().enumerate() {
                if *value == Field::Null {
                    continue;
                }
                separate(line, &mut first);
                cells::write_string(line, name.as_bytes());
                line.push(b':');
                write_value(line, value, of.and_then(|of| child(of, index)));
            }
            line.push(b'}');
        }
        Field::ListInternal(list) => {
            line.push(b'[');
            let mut first = true;
            for value in list.elements() {
                separate(line, &mut first);
                write_value(line, value, of.and_then(element));
            }
            line.push(b']');
        }
        Field::MapInternal(map) => {
            let pair = of.and_then(|of| child(of, 0));
            line.push(b'{');
            let mut first = true;
            for (key, value) in map.entries() {
                separate(line, &mut first);
                write_key(line, key, pair.and_then(|pair| child(pair, 0)));
                line.push(b':');
                write_value(line, value, pair.and_then(|pair| child(pair, 1)));
            }
            line.push(b'}');
        }
        // Not nested.
        _ => line.extend_from_slice(b"null"),
    }
}

/// Names in JSON are texts, whatever they are in Parquet.
fn write_key(line: &mut Vec<u8>, key: &Field, of: Option<&Type>) {
    let plain = match of {
        Some(of) => Plain::of(key, of),
        None => Plain::untyped(key),
    };
    match plain {
        Plain::Flag(flag) => cells::write_string(line, flag.to_string().as_bytes()),
        Plain::Number(text) => cells::write_string(line, text.as_bytes()),
        Plain::Text(text) => cells::write_string(line, &text),
        Plain::Null | Plain::Nested => cells::write_string(line, b"null"),
    }
}

fn separate(line: &mut Vec<u8>, first: &mut bool) {
    if !std::mem::take(first) {
        line.push(b',');
    }
}

fn child(of: &Type, index: usize) -> Option<&Type> {
    if of.is_primitive() {
        return None;
    }
    of.get_fields().get(index).map(|child| &**child)
}

/// Of what a list is made, by the rules of the format for lists old and new.
fn element(of: &Type) -> Option<&Type> {
    let info = of.get_basic_info();
    if info.has_repetition() && info.repetition() == Repetition::REPEATED {
        return Some(of);
    }
    let repeated = child(of, 0)?;
    let is_element = repeated.is_primitive()
        || repeated.get_fields().len() > 1
        || repeated.name() == "array"
        || repeated.name().ends_with("_tuple");
    if is_element { Some(repeated) } else { child(repeated, 0) }
}

/// A value by what JSON calls it.
enum Plain {
    Null,
    Flag(bool),
    /// The shortest text that is this number; of a decimal all its digits. Not-a-number and the infinities are none in JSON.
    Number(String),
    /// Bytes that are no UTF-8 stay, so that decoding tells of them.
    Text(Vec<u8>),
    /// An object or a list.
    Nested,
}

impl Plain {
    /// What the value is by the schema: whether digits are a point in time stands there alone.
    fn of(field: &Field, of: &Type) -> Self {
        let stamp = Stamp::of(of);
        let text = match (field, stamp) {
            (Field::Long(count) | Field::TimestampMillis(count) | Field::TimestampMicros(count), Some(stamp)) => {
                stamp.text(*count)
            }
            (Field::Bytes(bytes), None) if of.get_basic_info().logical_type_ref() == Some(&LogicalType::Uuid) => {
                Uuid::from_slice(bytes.data()).ok().map(|id| id.to_string())
            }
            _ => None,
        };
        text.map_or_else(|| Self::untyped(field), |text| Self::Text(text.into_bytes()))
    }

    fn untyped(field: &Field) -> Self {
        match field {
            Field::Null => Self::Null,
            Field::Bool(flag) => Self::Flag(*flag),
            Field::Byte(number) => Self::Number(number.to_string()),
            Field::Short(number) => Self::Number(number.to_string()),
            Field::Int(number) | Field::TimeMillis(number) => Self::Number(number.to_string()),
            Field::Long(number) | Field::TimeMicros(number) => Self::Number(number.to_string()),
            Field::UByte(number) => Self::Number(number.to_string()),
            Field::UShort(number) => Self::Number(number.to_string()),
            Field::UInt(number) => Self::Number(number.to_string()),
            Field::ULong(number) => Self::Number(number.to_string()),
            Field::Float16(number) => real(f32::from(*number)),
            Field::Float(number) => real(*number),
            Field::Double(number) => real(*number),
            Field::Decimal(number) => Self::Number(decimal(number)),
            Field::Str(text) => Self::Text(text.clone().into_bytes()),
            Field::Bytes(bytes) => Self::Text(bytes.data().to_vec()),
            Field::Date(days) => Self::Text(day(*days).into_bytes()),
            // By the schema of old files: in UTC.
            Field::TimestampMillis(count) => {
                let utc = Stamp {
                    per_second: 1_000,
                    utc: true,
                };
                Self::Text(utc.text(*count).unwrap_or_else(|| count.to_string()).into_bytes())
            }
            Field::TimestampMicros(count) => {
                let utc = Stamp {
                    per_second: 1_000_000,
                    utc: true,
                };
                Self::Text(utc.text(*count).unwrap_or_else(|| count.to_string()).into_bytes())
            }
            Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => Self::Nested,
        }
    }
}

/// The shortest text that is read as the same number, as JSON writes it.
fn real<R: serde::Serialize + Copy + std::fmt::Display>(number: R) -> Plain {
    // Not-a-number and the infinities become null in JSON, and are no null here.
    match serde_json::to_string(&number) {
        Ok(text) if text != "null" => Plain::Number(text),
        _ => Plain::Text(number.to_string().into_bytes()),
    }
}

/// A decimal with all its digits; columns with more than 38 are refused before.
fn decimal(number: &Decimal) -> String {
    let unscaled = number.data().iter().enumerate().fold(0_i128, |sum, (index, byte)| {
        // The first byte has the sign.
        let byte = if index == 0 {
            i128::from(*byte as i8)
        } else {
            i128::from(*byte)
        };
        sum.wrapping_shl(8) | byte
    });
    let sign = if unscaled < 0 { "-" } else { "" };
    let scale = usize::try_from(number.scale()).unwrap_or(0);
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if fraction.is_empty() {
        return format!("{sign}{whole}");
    }
    format!("{sign}{whole}.{fraction}")
}

/// A day as a date; one that no calendar of ours has stays a number.
fn day(days: i32) -> String {
    let begin = date(1970, 1, 1);
    let span = jiff::Span::new().try_days(days);
    let found = span.ok().and_then(|span| begin.checked_add(span).ok());
    found.map_or_else(|| days.to_string(), |day| day.to_string())
}

/// How the digits of a point in time are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    per_second: i64,
    /// Whether they count from 1970 in UTC, or in whatever time people there went by.
    utc: bool,
}

impl Stamp {
    fn of(of: &Type) -> Option<Self> {
        match of.get_basic_info().logical_type_ref()? {
            LogicalType::Timestamp(stamp) => Some(Self {
                per_second: match stamp.unit {
                    TimeUnit::MILLIS => 1_000,
                    TimeUnit::MICROS => 1_000_000,
                    TimeUnit::NANOS => 1_000_000_000,
                },
                utc: stamp.is_adjusted_to_u_t_c,
            }),
            _ => None,
        }
    }

    /// RFC 3339, with `Z` or without an offset; `None` for one that no calendar of ours has.
    fn text(self, count: i64) -> Option<String> {
        let (second, rest) = (count.div_euclid(self.per_second), count.rem_euclid(self.per_second));
        let nanos = rest * (1_000_000_000 / self.per_second);
        let at = Timestamp::new(second, i32::try_from(nanos).ok()?).ok()?;
        Some(if self.utc {
            at.to_string()
        } else {
            TimeZone::UTC.to_datetime(at).to_string()
        })
    }
}
