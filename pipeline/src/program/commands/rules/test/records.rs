//! The records of a test by the time at which they arrive, decoded as the job decodes them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use riskflow::runtime::replay::EpochInput;
use riskflow_config::{InputRecord, packs};
use riskflow_connectors::{RawRecord, decode};
use riskflow_model::output::Origin;
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, Key, Millis, Problems};
use serde_json::{Value, json};

use super::after::After;
use super::format::{ActionOf, Correction, EventOf, Issue, RowOf, Series};
use super::reading::{Reading, joined};
use super::values::{Grid, Point, points};
use crate::program::commands::check::files::{self, Wanted};
use crate::program::commands::check::stock::Stock;

/// What arrives in a test, and when.
pub struct Records {
    /// The time that is 0.
    start: Millis,
    /// From each value of a series to the next, where it does not say.
    interval: Duration,
    /// The rules that are in force, if not all.
    only: Option<BTreeSet<String>>,
    /// Rules and limits that were given, whether in force or not.
    pub rules: BTreeSet<String>,
    /// Those of them that are limits.
    limits: BTreeSet<String>,
    /// By arrival after the start: each with its place in the file, in the order in which they are written.
    arriving: BTreeMap<i64, Vec<(Topic, InputRecord, String)>>,
}

/// What a test runs over.
#[derive(Debug, Default)]
pub struct History {
    /// What each epoch takes.
    pub epochs: Vec<EpochInput>,
    /// Where each record stands in the file, by its offset.
    pub places: BTreeMap<u64, String>,
}

impl Records {
    pub fn new(start: Millis, interval: Duration, only: Option<&[String]>) -> Self {
        Self {
            start,
            interval,
            only: only.map(|only| only.iter().cloned().collect()),
            rules: BTreeSet::new(),
            limits: BTreeSet::new(),
            arriving: BTreeMap::new(),
        }
    }

    fn push(&mut self, at: i64, topic: Topic, record: InputRecord, path: &str) {
        if topic == Topic::BASE_LIMIT
            && let InputRecord::Base(_, Some(row)) = &record
        {
            self.limits.insert(row.id().to_string());
        }
        let arriving = self.arriving.entry(at).or_default();
        arriving.push((topic, record, path.to_owned()));
    }

    /// When records arrive, after the start.
    pub fn times(&self) -> impl Iterator<Item = i64> {
        self.arriving.keys().copied()
    }

    /// The records by epochs, which are at these times after the start; each time at which records arrive is one of them. As in a
    /// partition, offsets rise from one arrival to the next.
    pub fn history(mut self, epochs: &BTreeSet<i64>) -> History {
        let mut history = History::default();
        for at in epochs {
            let mut records = Vec::new();
            for (topic, record, place) in self.arriving.remove(at).unwrap_or_default() {
                let offset = history.places.len() as u64;
                history.places.insert(offset, place);
                let origin = Origin {
                    topic: topic.id(),
                    partition: 0,
                    offset,
                };
                records.push((origin, record));
            }
            let epoch = self.start + Duration(*at);
            history.epochs.push(EpochInput { epoch, records });
        }
        history
    }

    /// Takes a record in, or notes why the job would not.
    fn put(&mut self, reading: &mut Reading<'_>, at: i64, record: &Written<'_>) {
        if !reading.take(1, record.path) {
            return;
        }
        let payload = record.payload.map(ToString::to_string);
        let raw = RawRecord {
            topic: record.topic,
            partition: 0,
            offset: 0,
            arrival: None,
            exercise: false,
            key: record.key.map(str::as_bytes),
            payload: payload.as_deref().map(str::as_bytes),
        };
        match decode(&raw) {
            Ok(decoded) => self.push(at, record.topic, decoded, record.path),
            Err(rejection) => reading.refused(record.path, record.made, &rejection),
        }
    }

    /// Rows of a table, as lists of their own hold them.
    pub fn table(&mut self, reading: &mut Reading<'_>, at: i64, topic: Topic, rows: &[Value], path: &str) {
        for (index, row) in rows.iter().enumerate() {
            self.row(reading, at, (topic, None), row.clone(), &format!("{path}[{index}]"));
        }
    }

    /// A row of a table.
    fn row(
        &mut self,
        reading: &mut Reading<'_>,
        at: i64,
        (topic, key): (Topic, Option<&str>),
        mut row: Value,
        path: &str,
    ) {
        self.place_times(reading, &mut row, path);
        self.leave_out(&mut row);
        let record = Written {
            key,
            ..Written::there(topic, &row, path)
        };
        self.put(reading, at, &record);
    }

    /// Rows of any table, or that they go.
    pub fn rows(&mut self, reading: &mut Reading<'_>, at: i64, rows: &[Value], path: &str) {
        for (path, row) in reading.entries::<RowOf>(rows, path) {
            let Some(topic) = Topic::from_name(&row.topic).filter(|topic| topic.is_input_table()) else {
                let names: Vec<&str> = Topic::inputs()
                    .filter(|topic| topic.is_input_table())
                    .map(Topic::name)
                    .collect();
                let give = format!("one of `{}`", names.join("`, `"));
                reading.note(&joined(&path, "topic"), &format!("`{}`", row.topic), &give);
                continue;
            };
            let (path, key) = (joined(&path, "value"), row.key.as_deref());
            if row.value.is_null() {
                let gone = Written {
                    key,
                    payload: None,
                    ..Written::made(topic, &Value::Null, &path)
                };
                self.put(reading, at, &gone);
            } else {
                self.row(reading, at, (topic, key), row.value, &path);
            }
        }
    }

    /// `{ at: 1h }` in a row is the time one hour after the start.
    fn place_times(&self, reading: &mut Reading<'_>, value: &mut Value, path: &str) {
        for (place, found) in placed(value, self.start) {
            reading.note(&joined(path, &place), &found, "a time after the start, such as `1h30m`");
        }
    }

    /// What a row says for rules that are not to be in force would be told as a mistake.
    fn leave_out(&self, row: &mut Value) {
        let Some(only) = &self.only else { return };
        if let Some(Value::Object(thresholds)) = row.get_mut("thresholds") {
            thresholds.retain(|rule, _| only.contains(rule) || !self.rules.contains(rule));
        }
    }

    /// Rules and limits: packs, files, or written out.
    pub fn rules(&mut self, reading: &mut Reading<'_>, at: i64, given: &[Value], path: &str) {
        for (index, given) in given.iter().enumerate() {
            let path = &format!("{path}[{index}]");
            match given {
                Value::String(name) => self.named_rules(reading, at, name, path),
                Value::Object(fields) => {
                    let is_limit = fields.contains_key("measure");
                    let topic = if is_limit { Topic::BASE_LIMIT } else { Topic::IN_RULE };
                    if !fields
                        .get("id")
                        .and_then(Value::as_str)
                        .is_some_and(|id| self.is_off(id))
                    {
                        self.put(reading, at, &Written::there(topic, given, path));
                    }
                }
                other => reading.note(
                    path,
                    &other.to_string(),
                    "the name of a pack, the path of a file, or a rule",
                ),
            }
        }
    }

    /// Whether a rule is not to be in force. It is noted that it was given.
    fn is_off(&mut self, id: &str) -> bool {
        self.rules.insert(id.to_owned());
        self.only.as_ref().is_some_and(|only| !only.contains(id))
    }

    fn named_rules(&mut self, reading: &mut Reading<'_>, at: i64, name: &str, path: &str) {
        let mut stock = Stock::default();
        let file = reading.file.parent().unwrap_or(Path::new("")).join(name);
        let pack = packs::each().find(|(known, _)| *known == name);
        let read = match pack {
            Some((name, json)) => files::read_pack(name, json, &mut stock),
            None if !file.exists() => {
                let known: Vec<&str> = packs::each().map(|(name, _)| name).collect();
                let give = format!("a pack (`{}`), or the path of a file from here", known.join("`, `"));
                reading.note(path, &format!("`{name}`, which is neither a pack nor a file"), &give);
                return;
            }
            None => files::read(&file, Wanted::Rules, &mut stock),
        };
        if let Err(error) = read {
            let says = error
                .downcast_ref::<Problems>()
                .map_or_else(|| format!("{error:#}"), ToString::to_string);
            reading.say(path, format!("`{path}`: {says}"));
            return;
        }
        for refused in stock.refused() {
            for problem in &refused.problems {
                let says = format!("`{path}`: {}: {problem} ({})", refused.place, refused.reason);
                reading.say(path, says);
            }
        }
        if stock.rows.is_empty() && stock.refused().is_empty() {
            reading.note(
                path,
                &format!("`{name}`, which holds no rule and no limit"),
                "a file or folder that does",
            );
        }
        for ((topic, key), (row, _)) in stock.rows {
            if !self.is_off(&row.id()) && reading.take(1, path) {
                self.push(at, topic, InputRecord::Base(key, Some(row)), path);
            }
        }
    }

    /// The observations of a series.
    pub fn series(&mut self, reading: &mut Reading<'_>, series: &Series, path: &str) {
        let grid = self.grid(reading, series.from, series.interval, path);
        let points = valued(reading, &series.values, grid, path);
        let quality = series.quality.map(|quality| json!(quality));
        for point in points {
            let at = point.at.saturating_add(series.delay.0);
            self.observe(reading, at, &series.datastream, &point, quality.as_ref(), path);
        }
    }

    /// Observations that arrive at one time.
    pub fn correction(&mut self, reading: &mut Reading<'_>, correction: &Correction, path: &str) {
        let grid = self.grid(reading, correction.from, correction.interval, path);
        let points = valued(reading, &correction.values, grid, path);
        let quality = correction.quality.map(|quality| json!(quality));
        for point in points {
            let at = correction.at.0;
            self.observe(reading, at, &correction.datastream, &point, quality.as_ref(), path);
        }
    }

    fn observe(
        &mut self,
        reading: &mut Reading<'_>,
        at: i64,
        datastream: &str,
        point: &Point,
        quality: Option<&Value>,
        path: &str,
    ) {
        let mut payload = json!({ "datastream": datastream, "phenomenon_time": self.start.0.saturating_add(point.at) });
        match &point.value {
            Some(value) => payload["result"] = value.clone(),
            None => payload["op"] = json!("delete"),
        }
        if let Some(quality) = point.quality.as_ref().or(quality) {
            payload["quality"] = quality.clone();
        }
        self.put(reading, at, &Written::made(Topic::IN_OBSERVATION, &payload, path));
    }

    /// One record of a forecast.
    pub fn forecast(&mut self, reading: &mut Reading<'_>, issue: &Issue, path: &str) {
        let mut grid = self.grid(reading, After(0), issue.interval, path);
        let first = issue.issued.0.saturating_add(grid.interval);
        grid.from = issue.from.map_or(first, |from| from.0);
        let points = valued(reading, &issue.values, grid, path);
        if let Some(point) = points.iter().find(|point| point.quality.is_some()) {
            let found = format!("of a quality at {}", After(point.at));
            reading.note(
                &joined(path, "values"),
                &found,
                "`[time, value]`: forecasts have no quality",
            );
        }
        if !reading.take(points.len(), path) {
            return;
        }
        let time = |after: i64| self.start.0.saturating_add(after);
        let values: Vec<Value> = points
            .iter()
            .map(|point| json!([time(point.at), point.value]))
            .collect();
        let payload = json!({ "datastream": issue.datastream, "issued": time(issue.issued.0), "values": values });
        let record = Written::made(Topic::IN_FORECAST, &payload, path);
        self.put(reading, issue.arrives.unwrap_or(issue.issued).0, &record);
    }

    /// What is told of an event.
    pub fn event(&mut self, reading: &mut Reading<'_>, event: EventOf, path: &str) {
        let EventOf { at, mut event } = event;
        self.place_times(reading, &mut event, path);
        self.put(reading, at.0, &Written::there(Topic::IN_EVENT, &event, path));
    }

    /// What somebody does about a case.
    pub fn action(&mut self, reading: &mut Reading<'_>, action: &ActionOf, path: &str) {
        let time = |after: After| self.start.0.saturating_add(after.0);
        let case = match (action.since, action.case.split_once('/')) {
            (None, _) => action.case.clone(),
            (Some(since), Some((rule, asset))) => self.warning(rule, asset, time(since)),
            (Some(_), None) => {
                let found = format!("`{}`, and `since` is of a warning", action.case);
                reading.note(
                    &joined(path, "case"),
                    &found,
                    "a rule and an asset, such as `rain/gauge`",
                );
                return;
            }
        };
        let mut with = json!(action.with);
        self.place_times(reading, &mut with, &joined(path, "with"));
        let mut payload = json!({
            "id": path, "warning": case, "action": action.action, "actor": action.actor,
            "time": time(action.time.unwrap_or(action.at)),
        });
        if let (Value::Object(fields), Value::Object(with)) = (&mut payload, with) {
            fields.extend(with);
        }
        self.put(reading, action.at.0, &Written::made(Topic::IN_ACTION, &payload, path));
    }

    /// The identifier of the first warning of a rule at an asset that is told to begin then.
    fn warning(&self, rule: &str, asset: &str, since: i64) -> String {
        let since = since.to_string();
        let parts = [rule, asset, &since];
        let key = if self.limits.contains(rule) {
            Key::of_parts(&[&["limit"][..], &parts].concat())
        } else {
            Key::of_parts(&parts)
        };
        key.to_string()
    }

    fn grid(&self, reading: &mut Reading<'_>, from: After, interval: Option<Duration>, path: &str) -> Grid {
        if interval == Some(Duration::ZERO) {
            reading.note(&joined(path, "interval"), "0s", "a length of time such as `10m`");
        }
        Grid {
            from: from.0,
            interval: interval.unwrap_or(self.interval).0,
        }
    }
}

/// So many times that are none are told of a row.
const MOST_TOLD: usize = 20;

/// Puts times in the place of `{ at: 1h }`; gives where in the value there is no time, and what stands there. Paths are made of these
/// alone: one of each value would take as long as the names above it are.
fn placed(value: &mut Value, start: Millis) -> Vec<(String, String)> {
    if let Value::Object(fields) = value
        && fields.len() == 1
        && let Some(time) = fields.get("at").cloned()
    {
        return match serde_json::from_value::<After>(time.clone()) {
            Ok(at) => {
                *value = json!(start.0.saturating_add(at.0));
                Vec::new()
            }
            Err(_) => vec![("at".to_owned(), time.to_string())],
        };
    }
    let mut wrong: Vec<(String, String)> = Vec::new();
    let mut note = |place: &str, within: Vec<(String, String)>| {
        let room = MOST_TOLD.saturating_sub(wrong.len());
        let within = within.into_iter().take(room);
        wrong.extend(within.map(|(path, found)| (joined(place, &path), found)));
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                note(name, placed(value, start));
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter_mut().enumerate() {
                let within = placed(value, start);
                if !within.is_empty() {
                    note(&format!("[{index}]"), within);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    wrong
}

/// A record before it is decoded.
struct Written<'a> {
    topic: Topic,
    key: Option<&'a str>,
    payload: Option<&'a Value>,
    /// Where it stands in the file.
    path: &'a str,
    /// Whether it stands there in another form.
    made: bool,
}

impl<'a> Written<'a> {
    /// One that stands in the file as it is.
    const fn there(topic: Topic, payload: &'a Value, path: &'a str) -> Self {
        Self {
            topic,
            key: None,
            payload: Some(payload),
            path,
            made: false,
        }
    }

    /// One that is made of what stands there.
    const fn made(topic: Topic, payload: &'a Value, path: &'a str) -> Self {
        Self {
            made: true,
            ..Self::there(topic, payload, path)
        }
    }
}

/// The values of a series; what is wrong with them is noted.
fn valued(reading: &mut Reading<'_>, values: &Value, grid: Grid, path: &str) -> Vec<Point> {
    if reading.is_full() {
        return Vec::new();
    }
    points(values, grid).unwrap_or_else(|faults| {
        for (place, found, give) in faults {
            reading.note(&joined(path, &format!("values{place}")), &found, give);
        }
        Vec::new()
    })
}
