//! From a file as written to tests that can be run; or everything wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::civil;
use jiff::tz::TimeZone;
use riskflow::runtime::graph::Semantics;
use riskflow_model::output::Reason;
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, Millis, Problems};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::after::After;
use super::document::{Document, Wrong};
use super::format::{
    ActionOf, Common, Correction, Delta, Edit, EventOf, Expected, File, Issue, NoticeOf, Series, Test,
};
use super::reading::{Reading, joined};
use super::records::{History, Records};
use crate::program::cli::ConfigArguments;
use crate::program::commands::configuration;

/// What `step` and `interval` are where nothing says.
const MINUTE: Duration = Duration(60_000);
/// So many epochs may a test have.
const MOST_EPOCHS: usize = 100_000;
/// So many settings may a test have, with those of its file.
const MOST_SETTINGS: usize = 1_000;
/// So many rules are named where one is not known.
const MOST_NAMED: usize = 20;
/// The start where none is given: a day without anything about it.
const START: civil::DateTime = civil::date(2025, 1, 1).at(0, 0, 0, 0);
/// Sections of the configuration that give the answer its meaning: no other changes what comes out.
const SECTIONS: [&str; 7] = ["time", "unknown", "unmatched", "risk", "case", "city", "capabilities"];

/// A test that can be run.
#[derive(Debug)]
pub struct Prepared {
    pub name: String,
    /// The line on which it begins.
    pub line: usize,
    pub semantics: Semantics,
    /// The time that is 0.
    pub start: Millis,
    pub history: History,
    /// Datastreams of which there are observations or forecasts.
    pub fed: BTreeSet<String>,
    pub deltas: Option<Vec<Delta>>,
    pub notices: Option<Vec<NoticeOf>>,
    pub expect: Vec<Expected>,
    pub dead_letters: Vec<Reason>,
}

/// Reads the tests of a file. `plain`: what the configuration makes of it.
///
/// # Errors
///
/// Everything wrong with it.
pub fn tests(
    file: &Path,
    text: &str,
    config: &ConfigArguments,
    plain: &Semantics,
) -> Result<Vec<Prepared>, Vec<Wrong>> {
    let document = Document::parse(text)?;
    let mut reading = Reading::new(file, &document);
    let mut prepared = Vec::new();
    if let Some(written) = reading.read::<File>(&document.value, "") {
        let common = written.common();
        if written.tests.is_empty() {
            reading.note("tests", "empty", "at least one test");
        }
        let mut names = BTreeMap::new();
        for (path, test) in reading.entries::<Test>(&written.tests, "tests") {
            unique(&mut reading, &mut names, &test.name, &path);
            let preparing = Preparing {
                common: [("", common.clone()), (&path, test.common())],
                config,
                plain,
            };
            prepared.extend(preparing.test(&mut reading, &test, &path));
            if reading.is_full() {
                break;
            }
        }
    }
    let wrong = reading.wrong();
    if wrong.is_empty() { Ok(prepared) } else { Err(wrong) }
}

fn unique(reading: &mut Reading<'_>, names: &mut BTreeMap<String, usize>, name: &str, path: &str) {
    let path = joined(path, "name");
    if name.trim().is_empty() {
        reading.note(&path, "empty", "what the test shows, in a few words");
        return;
    }
    let line = reading.line(&path);
    if let Some(before) = names.insert(name.to_owned(), line) {
        reading.note(
            &path,
            &format!("`{name}`, as on line {before}"),
            "each test a name of its own",
        );
    }
}

/// A test and what holds for it.
struct Preparing<'a> {
    /// Of the file, and of the test, with their paths.
    common: [(&'a str, Common); 2],
    config: &'a ConfigArguments,
    /// What the configuration alone makes of it.
    plain: &'a Semantics,
}

impl Preparing<'_> {
    /// `None` where it would take too long. What is wrong is noted.
    fn test(&self, reading: &mut Reading<'_>, test: &Test, path: &str) -> Option<Prepared> {
        let semantics = self.semantics(reading).unwrap_or_else(|| self.plain.clone());
        let start = self.start(reading, &semantics.zone).unwrap_or_default();
        let step = self.length(reading, "step", |common| common.step);
        let interval = self.length(reading, "interval", |common| common.interval);
        let mut records = Records::new(start, interval, test.only.as_deref());
        for (path, common) in &self.common {
            let of = |list: &str| joined(path, list);
            records.rules(reading, 0, &common.rules, &of("rules"));
            records.table(reading, 0, Topic::BASE_REGION, &common.regions, &of("regions"));
            records.table(reading, 0, Topic::BASE_ASSET, &common.assets, &of("assets"));
            records.table(
                reading,
                0,
                Topic::BASE_DATASTREAM,
                &common.datastreams,
                &of("datastreams"),
            );
            records.rows(reading, 0, &common.rows, &of("rows"));
        }
        let fed = feed(reading, &mut records, test, path);
        edit(reading, &mut records, test, path);
        no_rules(reading, &records, test, path);
        let told = told(reading, test, path);
        let expect = expected(reading, test, path);
        let epochs = epochs(reading, &records, (&told, &expect), test, (step, path))?;
        let (deltas, notices) = told;
        Some(Prepared {
            name: test.name.clone(),
            line: reading.line(path),
            semantics,
            start,
            history: records.history(&epochs),
            fed,
            deltas,
            notices,
            expect,
            dead_letters: test.dead_letters.clone(),
        })
    }

    /// What the settings make of it: those of the configuration, over them those of the file, of the test, of `--set`. `None` where
    /// file and test give none.
    fn semantics(&self, reading: &mut Reading<'_>) -> Option<Semantics> {
        let mut config = self.config.clone();
        let mut given = Vec::new();
        let mut places = BTreeMap::new();
        for (path, common) in &self.common {
            for (name, value) in &common.settings {
                flatten(name, value, &mut |field, value| {
                    if given.len() > MOST_SETTINGS {
                        return;
                    }
                    places.insert(field.to_owned(), joined(path, &format!("settings.{field}")));
                    given.push(format!("{field}={value}"));
                });
            }
        }
        if given.is_empty() {
            return None;
        }
        let mut usable = given.len() <= MOST_SETTINGS;
        if !usable {
            let give = format!("at most {MOST_SETTINGS}, with those of the file");
            reading.note(&joined(self.common[1].0, "settings"), "too many", &give);
        }
        for (field, place) in &places {
            let section = field.split('.').next().unwrap_or_default();
            if !SECTIONS.contains(&section) {
                let give = format!(
                    "one of the sections `{}`: no other changes what comes out",
                    SECTIONS.join("`, `")
                );
                reading.note(place, "no setting of tests", &give);
                usable = false;
            }
        }
        given.append(&mut config.overrides);
        config.overrides = given;
        let loaded = configuration::load(&config);
        let loaded = usable.then_some(loaded)?;
        let error = match loaded {
            Ok((_, settings)) => return Some(Semantics::of(&settings)),
            Err(error) => error,
        };
        let Some(problems) = error.downcast_ref::<Problems>() else {
            reading.say("settings", format!("{error:#}"));
            return None;
        };
        for problem in problems.iter() {
            let place = places.get(&problem.field).map_or("settings", String::as_str);
            reading.say(place, problem.to_string());
        }
        None
    }

    /// The nearest value: of the test, else of the file, with its place.
    fn nearest<T>(&self, name: &str, of: impl Fn(&Common) -> Option<T>) -> Option<(T, String)> {
        let found = self.common.iter().rev();
        let mut found = found.filter_map(|(path, common)| Some((of(common)?, joined(path, name))));
        found.next()
    }

    fn length(&self, reading: &mut Reading<'_>, name: &str, of: impl Fn(&Common) -> Option<Duration>) -> Duration {
        match self.nearest(name, of) {
            None => MINUTE,
            Some((length @ Duration(1..), _)) => length,
            Some((length, place)) => {
                reading.note(&place, &length.to_string(), "a length of time such as `1m`");
                MINUTE
            }
        }
    }

    fn start(&self, reading: &mut Reading<'_>, zone: &TimeZone) -> Option<Millis> {
        let Some((text, place)) = self.nearest("start", |common| common.start.clone()) else {
            return in_zone(START, zone);
        };
        let time = text.parse::<Millis>().ok().or_else(|| {
            let local = text.parse::<civil::DateTime>().ok()?;
            in_zone(local, zone)
        });
        if time.is_none() {
            let give = "a date and a time such as `2025-07-24T08:00`, or with an offset `2025-07-24T08:00:00+08:00`";
            reading.note(&place, &format!("`{text}`"), give);
        }
        time
    }
}

fn in_zone(local: civil::DateTime, zone: &TimeZone) -> Option<Millis> {
    let time = zone.to_timestamp(local).ok()?;
    // Through a text: years that nothing is about are refused there.
    time.to_string().parse().ok()
}

/// Fields with values, however many of their parts are sections; texts as they are, all else as TOML writes it, too.
fn flatten(name: &str, value: &Value, each: &mut impl FnMut(&str, String)) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                flatten(&format!("{name}.{field}"), value, each);
            }
        }
        Value::String(text) => each(name, text.clone()),
        other => each(name, other.to_string()),
    }
}

/// Takes the observations, forecasts, events and actions of a test; gives the datastreams that the first two are of.
fn feed(reading: &mut Reading<'_>, records: &mut Records, test: &Test, path: &str) -> BTreeSet<String> {
    let mut fed = BTreeSet::new();
    for (path, series) in reading.entries::<Series>(&test.series, &joined(path, "series")) {
        records.series(reading, &series, &path);
        fed.insert(series.datastream);
    }
    for (path, correction) in reading.entries::<Correction>(&test.corrections, &joined(path, "corrections")) {
        records.correction(reading, &correction, &path);
        fed.insert(correction.datastream);
    }
    for (path, issue) in reading.entries::<Issue>(&test.forecasts, &joined(path, "forecasts")) {
        records.forecast(reading, &issue, &path);
        fed.insert(issue.datastream);
    }
    for (path, event) in reading.entries::<EventOf>(&test.events, &joined(path, "events")) {
        records.event(reading, event, &joined(&path, "event"));
    }
    for (path, action) in reading.entries::<ActionOf>(&test.actions, &joined(path, "actions")) {
        records.action(reading, &action, &path);
    }
    fed
}

fn edit(reading: &mut Reading<'_>, records: &mut Records, test: &Test, path: &str) {
    for (path, edit) in reading.entries::<Edit>(&test.edits, &joined(path, "edits")) {
        let (at, of) = (edit.at.0, |list: &str| joined(&path, list));
        records.rules(reading, at, &edit.rules, &of("rules"));
        records.table(reading, at, Topic::BASE_REGION, &edit.regions, &of("regions"));
        records.table(reading, at, Topic::BASE_ASSET, &edit.assets, &of("assets"));
        records.table(
            reading,
            at,
            Topic::BASE_DATASTREAM,
            &edit.datastreams,
            &of("datastreams"),
        );
        records.rows(reading, at, &edit.rows, &of("rows"));
    }
}

/// A test without rules shows nothing, and a rule that is misspelled is none.
fn no_rules(reading: &mut Reading<'_>, records: &Records, test: &Test, path: &str) {
    let known: Vec<&str> = records.rules.iter().map(String::as_str).take(MOST_NAMED).collect();
    let more = if records.rules.len() > known.len() { ", …" } else { "" };
    let give = format!("some of `{}`{more}", known.join("`, `"));
    for (index, id) in test.only.iter().flatten().enumerate() {
        if !records.rules.contains(id) {
            let path = joined(path, &format!("only[{index}]"));
            reading.note(&path, &format!("`{id}`, which no rule here is"), &give);
        }
    }
}

/// All that must be told of warnings, and to people.
type Told = (Option<Vec<Delta>>, Option<Vec<NoticeOf>>);

fn told(reading: &mut Reading<'_>, test: &Test, path: &str) -> Told {
    (
        list(reading, test.deltas.as_deref(), &joined(path, "deltas")),
        list(reading, test.notices.as_deref(), &joined(path, "notices")),
    )
}

fn list<T: DeserializeOwned>(reading: &mut Reading<'_>, given: Option<&[Value]>, path: &str) -> Option<Vec<T>> {
    let entries = reading.entries(given?, path).into_iter();
    Some(entries.map(|(_, entry)| entry).collect())
}

/// What must be so at times.
fn expected(reading: &mut Reading<'_>, test: &Test, path: &str) -> Vec<Expected> {
    let told = test.deltas.is_some() || test.notices.is_some();
    if !told && test.expect.is_empty() && test.dead_letters.is_empty() {
        let give = "`deltas` (an empty list: nothing is told), `notices`, `expect`, or several of them";
        reading.note(path, "a test that nothing is expected of", give);
    }
    let entries = reading.entries::<Expected>(&test.expect, &joined(path, "expect"));
    for (path, entry) in &entries {
        if entry.open.is_none() && entry.cases.is_none() {
            reading.note(path, "a time at which nothing must be so", "`open`, `cases`, or both");
        }
    }
    entries.into_iter().map(|(_, expected)| expected).collect()
}

/// When epochs close, after the start: where something arrives, where something is expected, and at each step between.
fn epochs(
    reading: &mut Reading<'_>,
    records: &Records,
    ((deltas, notices), expect): (&Told, &[Expected]),
    test: &Test,
    (step, path): (Duration, &str),
) -> Option<BTreeSet<i64>> {
    let told = deltas.iter().flatten();
    let told = told.flat_map(|delta| [delta.at, delta.since, delta.told]).flatten();
    let notices = notices.iter().flatten().filter_map(|notice| notice.told);
    let asked = told
        .chain(notices)
        .chain(expect.iter().map(|expected| expected.at))
        .chain(test.until);
    let mut epochs: BTreeSet<i64> = records.times().chain(asked.map(|After(at)| at)).collect();
    let end = epochs.last().copied().unwrap_or(0);
    let steps = usize::try_from(end / step.0).unwrap_or(usize::MAX);
    if steps.saturating_add(epochs.len()) > MOST_EPOCHS {
        let found = format!("`{step}` in a test of {}", After(end));
        let give = format!("a longer one: a test has at most {MOST_EPOCHS} epochs");
        reading.note(&joined(path, "step"), &found, &give);
        return None;
    }
    if !reading.take(steps.saturating_add(epochs.len()), path) {
        return None;
    }
    epochs.extend((0..=steps).map(|index| step.0 * index as i64));
    Some(epochs)
}
