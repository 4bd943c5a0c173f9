//! From rows as others write them to records: columns with other names, fields that are the same everywhere, times without offset.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use jiff::civil::DateTime;
use riskflow::runtime::clock::wall_clock;
use riskflow_config::{FileFormat, InputRecord};
use riskflow_connectors::files::{Columns, FileRow, fields};
use riskflow_connectors::{RawRecord, Rejection, decode, wrong_envelope};
use riskflow_model::base::Datastream;
use riskflow_model::event::Event;
use riskflow_model::observation::Said;
use riskflow_model::output::Reason;
use riskflow_model::topic::{Direction, Topic};
use riskflow_model::{Millis, Number, Problems, TextMap};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::program::bounded;
use crate::program::cli::{ImportArguments, ImportFormat, TimeUnit};
use crate::program::exit::Usage;

/// As written in a file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    topic: Option<String>,
    format: Option<ImportFormat>,
    map: BTreeMap<String, String>,
    values: BTreeMap<String, toml::Value>,
    utc_offset: Option<String>,
    time_unit: Option<TimeUnit>,
}

/// How rows become records.
#[derive(Default)]
pub struct Mapping {
    /// The topic of all of them.
    pub topic: Option<Topic>,
    /// How the files are written; by their names where it is not said.
    pub written: Option<ImportFormat>,
    /// What the columns are called.
    columns: Columns,
    /// The same of single files, by [`place`].
    of_files: BTreeMap<PathBuf, Columns>,
    /// Fields that are the same everywhere, as JSON.
    values: BTreeMap<String, Box<RawValue>>,
    /// How far local times are ahead of UTC, such as `+08:00`.
    offset: Option<String>,
    unit: Option<TimeUnit>,
    /// The fields of each topic that are times, where times are written in another way.
    times: BTreeMap<Topic, Vec<String>>,
}

/// A record that may be appended.
pub struct Ready {
    pub topic: Topic,
    pub key: String,
    /// What a job would go by: of records of logs when they were made.
    pub time: Option<Millis>,
    /// What an envelope says about its arrival.
    pub arrival: Option<Millis>,
    pub payload: Option<Vec<u8>>,
    /// Of an observation the name of a state, where that is no number of itself.
    pub state: Option<String>,
    /// Of a row of a datastream the states that it knows.
    pub states: Option<TextMap<Number>>,
}

/// The largest file that is taken for a mapping, in bytes.
const LARGEST: u64 = 16 << 20;

impl Mapping {
    /// What the command line says, over what a file says.
    ///
    /// # Errors
    ///
    /// Everything wrong with it.
    pub fn of(arguments: &ImportArguments) -> Result<Self> {
        let mut written = match &arguments.mapping {
            None => Written::default(),
            Some(path) => {
                let about = |error: String| Usage(format!("{}: {error}", path.display()));
                let text = bounded::text(path, LARGEST).map_err(|error| about(error.to_string()))?;
                toml::from_str(&text).map_err(|error| about(error.to_string()))?
            }
        };
        let mut problems = Problems::default();
        let pairs = |option: &str, given: &[String], problems: &mut Problems| -> Vec<(String, String)> {
            let pairs = given.iter().filter_map(|pair| match pair.split_once('=') {
                Some((left, right)) if !left.is_empty() => Some((left.to_owned(), right.to_owned())),
                _ => {
                    problems.add(option, format!("`{pair}`"), "two names with `=` between them");
                    None
                }
            });
            pairs.collect()
        };
        let mut maps: BTreeMap<PathBuf, BTreeMap<String, String>> = BTreeMap::new();
        for given in &arguments.map {
            let (file, pair) = of_file(given);
            let pair = pairs("--map", &[pair.to_owned()], &mut problems);
            match file {
                Some(file) => maps.entry(place(file)).or_default().extend(pair),
                None => written.map.extend(pair),
            }
        }
        let values = pairs("--value", &arguments.values, &mut problems);
        written.values.extend(
            values
                .into_iter()
                .map(|(field, value)| (field, toml::Value::String(value))),
        );
        written.topic = arguments.topic.clone().or(written.topic);
        written.format = arguments.format.or(written.format);
        written.utc_offset = arguments.utc_offset.clone().or(written.utc_offset);
        written.time_unit = arguments.time_unit.or(written.time_unit);
        let mapping = Self::check(written, maps, &mut problems);
        Ok(problems.none_or(Some(mapping))?)
    }

    /// What the columns of a file are called.
    pub fn columns_of(&self, file: &str) -> &Columns {
        let own = if self.of_files.is_empty() {
            None
        } else {
            self.of_files.get(&place(file))
        };
        own.unwrap_or(&self.columns)
    }

    /// Whether those that have columns of their own are among these files.
    ///
    /// # Errors
    ///
    /// [`Usage`] where one is not.
    pub fn files_are_among<'a>(&self, files: impl Iterator<Item = &'a str>) -> Result<(), Usage> {
        let files: BTreeSet<PathBuf> = files.map(place).collect();
        let other = self.of_files.keys().find(|file| !files.contains(*file));
        other.map_or(Ok(()), |other| {
            let says = format!(
                "`--map {}:…` is of a file that is not imported; give one of those that are",
                other.display()
            );
            Err(Usage(says))
        })
    }

    /// `maps`: what columns are called in single files; there these go before what is called so in all.
    fn check(written: Written, maps: BTreeMap<PathBuf, BTreeMap<String, String>>, problems: &mut Problems) -> Self {
        let topic = written.topic.as_deref().and_then(|name| {
            let topic = Topic::from_name(name).filter(|topic| topic.direction() == Direction::In);
            if topic.is_none() {
                let names: Vec<&str> = Topic::inputs().map(Topic::name).collect();
                problems.add(
                    "--topic",
                    format!("`{name}`"),
                    format!("one of `{}`", names.join("`, `")),
                );
            }
            topic
        });
        let values: BTreeSet<&str> = written.values.keys().map(String::as_str).collect();
        fields_fit(&written.map, &values, topic, problems);
        let constants: BTreeSet<String> = written.values.keys().cloned().collect();
        let of_files = maps.into_iter().map(|(file, own)| {
            let mut fields = written.map.clone();
            fields.retain(|_, field| field.is_empty() || !own.values().any(|other| other == field));
            fields.extend(own);
            fields_fit(&fields, &values, topic, problems);
            let constants = constants.clone();
            (file, Columns { fields, constants })
        });
        let of_files = of_files.collect();
        let offset = written.utc_offset.as_deref().and_then(|text| {
            let offset = offset(text);
            if offset.is_none() {
                problems.add(
                    "--utc-offset",
                    format!("`{text}`"),
                    "an offset such as `+08:00`, or `Z`",
                );
            }
            offset
        });
        let times = Topic::inputs()
            .filter(|_| offset.is_some() || written.time_unit.is_some())
            .map(|topic| {
                let times = fields(topic).into_iter().filter(|(_, is_time)| *is_time);
                (topic, times.map(|(name, _)| name).collect())
            });
        Self {
            topic,
            written: written.format,
            columns: Columns {
                fields: written.map,
                constants,
            },
            of_files,
            times: times.collect(),
            values: written
                .values
                .into_iter()
                .map(|(field, value)| (field, as_json(value)))
                .collect(),
            offset,
            unit: written.time_unit,
        }
    }

    /// How the files are written, if that is said.
    pub fn format(&self) -> Option<FileFormat> {
        Some(match self.written? {
            ImportFormat::Csv => FileFormat::Csv,
            ImportFormat::Parquet => FileFormat::Parquet,
            ImportFormat::Ndjson => FileFormat::Ndjson,
            ImportFormat::Envelope => FileFormat::Envelope,
        })
    }

    /// The record of a row, as the job would take it.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn ready(&self, row: &FileRow<'_>) -> Result<Ready, Rejection> {
        let Some(topic) = row.topic else {
            let says = "`record` is no envelope, and nothing says of which topic it is; give `--topic`, or one JSON object with `topic`, \
                        `key` and `value` a line";
            let text = row.payload.and_then(|payload| str::from_utf8(payload).ok());
            let says = text
                .and_then(wrong_envelope)
                .map_or_else(|| says.to_owned(), |problems| problems.to_string());
            return Err(Rejection::new(Reason::InvalidField, says));
        };
        if topic.direction() == Direction::Out {
            let says = format!("`topic` is `{topic}`, which riskflow writes; give a topic that it reads");
            return Err(Rejection::new(Reason::InvalidField, says));
        }
        let payload = row.payload.map(|payload| self.changed(topic, payload));
        let record = RawRecord {
            topic,
            partition: 0,
            offset: row.line,
            arrival: row.arrival,
            exercise: row.exercise,
            key: row.key,
            payload: payload.as_deref(),
        };
        let (mut state, mut states) = (None, None);
        let (key, time) = match decode(&record)? {
            InputRecord::Observation(observation) => {
                if let Said::State(said) = &observation.said {
                    state = said.of_itself().is_none().then(|| said.name.to_string());
                }
                (Some(observation.id.to_string()), Some(observation.time))
            }
            InputRecord::Action(action) => (Some(action.warning.to_string()), Some(action.time)),
            InputRecord::Log(row) => {
                let event = row.downcast_ref::<Event>();
                let time = event.map_or_else(|| row.time(), |event| event.told(Millis(wall_clock())));
                (Some(row.id().to_string()), Some(time))
            }
            InputRecord::Base(_, Some(base)) => {
                states = base.downcast_ref::<Datastream>().map(|row| row.states.clone());
                (Some(base.id().to_string()), None)
            }
            InputRecord::Base(_, None) => (row.key.map(|key| String::from_utf8_lossy(key).into_owned()), None),
        };
        Ok(Ready {
            topic,
            key: key.expect("a record that can be used says what it is about"),
            time,
            arrival: row.arrival,
            payload: payload.map(Cow::into_owned),
            state,
            states,
        })
    }

    /// The payload with the fields that are the same everywhere, and with times as riskflow reads them.
    fn changed<'a>(&self, topic: Topic, payload: &'a [u8]) -> Cow<'a, [u8]> {
        let times = self.times.get(&topic).map_or(&[][..], Vec::as_slice);
        if self.values.is_empty() && times.is_empty() {
            return Cow::Borrowed(payload);
        }
        // What is no object is told by whoever decodes it.
        let Ok(mut fields) = serde_json::from_slice::<BTreeMap<String, Box<RawValue>>>(payload) else {
            return Cow::Borrowed(payload);
        };
        for (field, value) in &self.values {
            fields.insert(field.clone(), value.clone());
        }
        for field in times {
            if let Some(value) = fields.get_mut(field)
                && let Some(time) = self.time(value.get())
            {
                *value = raw(&serde_json::Value::from(time.to_string()));
            }
        }
        serde_json::to_vec(&fields).map_or(Cow::Borrowed(payload), Cow::Owned)
    }

    /// A time that is written in another way; `None`: it is for others to read.
    fn time(&self, json: &str) -> Option<Millis> {
        let text = json.trim_matches('"');
        if let Ok(number) = text.parse::<f64>() {
            let scale = match self.unit? {
                TimeUnit::S => 1_000.0,
                TimeUnit::Ms => 1.0,
            };
            return Some(Millis((number * scale).round() as i64));
        }
        let offset = self.offset.as_deref()?;
        if text.parse::<Millis>().is_ok() {
            return None;
        }
        let text = text.trim().replace('/', "-");
        // A date alone is its midnight.
        let day = text.parse::<DateTime>().map(|local| local.to_string());
        let written = [Some(text), day.ok()].into_iter().flatten();
        written
            .filter_map(|local| format!("{local}{offset}").parse().ok())
            .next()
    }
}

/// Whether names of columns and values are of fields that there are, each once.
fn fields_fit(map: &BTreeMap<String, String>, values: &BTreeSet<&str>, topic: Option<Topic>, problems: &mut Problems) {
    let given: Vec<&str> = map
        .values()
        .map(String::as_str)
        .filter(|field| !field.is_empty())
        .collect();
    if let Some(topic) = topic {
        let known = fields(topic);
        let all = given.iter().chain(values);
        for field in all.filter(|field| !known.contains_key(**field)) {
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            let give = format!("a field of {topic}: one of `{}`", names.join("`, `"));
            problems.add("--map or --value", format!("to `{field}`"), give);
        }
    }
    for (index, field) in given.iter().enumerate() {
        if given[..index].contains(field) || values.contains(field) {
            problems.add("--map or --value", format!("to `{field}` twice"), "each field once");
        }
    }
}

/// The file that a `FILE:COLUMN=FIELD` is of, and the rest; a column may have a colon in its name, so the file must be there.
fn of_file(given: &str) -> (Option<&str>, &str) {
    let mut colons = given.match_indices(':').map(|(at, _)| (&given[..at], &given[at + 1..]));
    let found = colons.find(|(file, _)| *file == "-" || Path::new(file).is_file());
    found.map_or((None, given), |(file, pair)| (Some(file), pair))
}

/// Where a file is, however it is called.
fn place(file: &str) -> PathBuf {
    std::fs::canonicalize(file).unwrap_or_else(|_| PathBuf::from(file))
}

/// An offset from UTC as RFC 3339 has it.
fn offset(text: &str) -> Option<String> {
    if text.eq_ignore_ascii_case("z") {
        return Some("Z".to_owned());
    }
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => ('+', &text[1..]),
        b'-' => ('-', &text[1..]),
        _ => return None,
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some(parts) => parts,
        None if rest.len() == 4 && rest.is_ascii() => rest.split_at(2),
        None => (rest, "0"),
    };
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 18 && minutes < 60).then(|| format!("{sign}{hours:02}:{minutes:02}"))
}

/// A value as JSON: what reads as a number, a truth value, a list or an object is one.
fn as_json(value: toml::Value) -> Box<RawValue> {
    let value = match value {
        toml::Value::String(text) => match serde_json::from_str::<Box<RawValue>>(&text) {
            Ok(json) => return json,
            Err(_) => serde_json::Value::from(text),
        },
        // What JSON has no word for stays a text, and decoding tells of it.
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Float(number) if !number.is_finite() => number.to_string().into(),
        other => serde_json::to_value(other).expect("other values of TOML are values of JSON"),
    };
    raw(&value)
}

fn raw(value: &serde_json::Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("a value is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(written: Written) -> Result<Mapping, Problems> {
        let mut problems = Problems::default();
        let mapping = Mapping::check(written, BTreeMap::new(), &mut problems);
        problems.none_or(Some(mapping))
    }

    fn row(payload: &str) -> FileRow<'_> {
        FileRow {
            line: 2,
            topic: Some(Topic::IN_OBSERVATION),
            key: None,
            arrival: None,
            exercise: false,
            payload: Some(payload.as_bytes()),
        }
    }

    #[test]
    fn offsets_are_read_as_people_write_them() {
        for (text, read) in [("+08:00", "+08:00"), ("-0330", "-03:30"), ("+8", "+08:00"), ("z", "Z")] {
            assert_eq!(offset(text).as_deref(), Some(read), "{text}");
        }
        for text in ["08:00", "+25:00", "+08:61", "Asia/Shanghai", ""] {
            assert_eq!(offset(text), None, "{text}");
        }
    }

    #[test]
    fn local_times_and_seconds_become_times() {
        let local = mapping(Written {
            utc_offset: Some("+08:00".to_owned()),
            ..Written::default()
        });
        let local = local.unwrap();
        let at = |mapping: &Mapping, time: &str| {
            let json = format!(r#"{{"datastream":"a","phenomenon_time":{time},"result":0.10}}"#);
            mapping
                .ready(&row(&json))
                .map(|ready| (ready.time.unwrap().to_string(), ready.key))
        };
        for time in [
            "\"2021-07-25 08:00\"",
            "\"2021-07-25T08:00:00\"",
            "\"2021/07/25 08:00:00\"",
            "\"2021-07-24T24:00:00+00:00\"",
            "\"2021-07-25T00:00:00Z\"",
        ] {
            assert_eq!(
                at(&local, time).unwrap(),
                ("2021-07-25T00:00:00.000Z".to_owned(), "a".to_owned()),
                "{time}"
            );
        }
        assert!(at(&local, "1627171200").is_err(), "seconds are not guessed");
        assert!(at(&local, "\"yesterday\"").is_err());
        let seconds = mapping(Written {
            time_unit: Some(TimeUnit::S),
            ..Written::default()
        });
        assert_eq!(
            at(&seconds.unwrap(), "1627171200").unwrap().0,
            "2021-07-25T00:00:00.000Z"
        );
    }

    #[test]
    fn what_is_the_same_everywhere_is_added_and_numbers_stay_as_written() {
        let values =
            [("quality", "suspect"), ("result", "1.50")].map(|(field, value)| (field.to_owned(), value.into()));
        let mapping = mapping(Written {
            values: values.into(),
            ..Written::default()
        });
        let ready = mapping
            .unwrap()
            .ready(&row(r#"{"datastream":"a","phenomenon_time":"2021-07-25T00:00:00Z"}"#))
            .unwrap();
        let payload = String::from_utf8(ready.payload.unwrap()).unwrap();
        assert!(
            payload.contains(r#""quality":"suspect""#) && payload.contains(r#""result":1.50"#),
            "{payload}"
        );
    }

    #[test]
    fn columns_may_be_called_otherwise_in_one_file_of_several() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (one, other) = (file("one.csv"), file("two:a.csv"));
        assert_eq!(of_file(&format!("{one}:a=b")), (Some(one.as_str()), "a=b"));
        assert_eq!(of_file(&format!("{other}:a=b")), (Some(other.as_str()), "a=b"));
        assert_eq!(of_file("wind:speed=result"), (None, "wind:speed=result"));
        let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
        };
        let written = Written {
            map: pairs(&[("station", "datastream"), ("mm", "result")]),
            ..Written::default()
        };
        let mut problems = Problems::default();
        let maps = BTreeMap::from([(place(&one), pairs(&[("inches", "result")]))]);
        let mapping = Mapping::check(written, maps, &mut problems);
        assert!(problems.is_empty());
        let fields = |file: &str| mapping.columns_of(file).fields.clone();
        assert_eq!(fields(&one), pairs(&[("station", "datastream"), ("inches", "result")]));
        assert_eq!(fields(&other), pairs(&[("station", "datastream"), ("mm", "result")]));
        assert!(mapping.files_are_among([one.as_str()].into_iter()).is_ok());
        let usage = mapping.files_are_among([other.as_str()].into_iter()).unwrap_err();
        assert!(
            usage.0.contains("one.csv:…` is of a file that is not imported"),
            "{usage}"
        );
    }

    #[test]
    fn names_that_are_none_are_told_all_at_once() {
        let map = [("a", "datastrem"), ("b", "result"), ("c", "result")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let wrong = mapping(Written {
            topic: Some("in.observation".to_owned()),
            map: map.into(),
            utc_offset: Some("Shanghai".to_owned()),
            ..Written::default()
        });
        let said = wrong.err().unwrap().to_string();
        for part in ["`datastrem`", "`phenomenon_time`", "`result` twice", "`Shanghai`"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(
            mapping(Written {
                topic: Some("out.notice".to_owned()),
                ..Written::default()
            })
            .is_err()
        );
    }
}
