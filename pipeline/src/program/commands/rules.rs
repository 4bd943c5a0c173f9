//! `riskflow rules`: the packs that come with riskflow, and rules of one's own, into `in.rule` and `base.limit`.

mod adjust;
mod awaited;
mod diff;
mod dropped;
mod sets;
mod swept;
pub(super) mod test;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use riskflow::runtime::clock::wall_clock;
use riskflow_config::{Input, Rule, Settings, packs};
use riskflow_connectors::topics::{Place, create};
use riskflow_connectors::{InRecord, open_append};
use riskflow_model::rule::RuleRecord;
use riskflow_model::ruleset::{Adjust, RuleSet, check_name};
use riskflow_model::topic::Topic;
use riskflow_model::{Check, Id, Key, Millis, Row};
use serde_json::{Value, json};

use self::sets::{InForce, Promotion};
use super::act::patience;
use super::check::files::{self, Wanted};
use super::check::report::Report;
use super::check::stock::Stock;
use super::check::{no_rules, read_live};
use super::configuration;
use crate::program::cli::{EXIT_CONFIGURATION, RulesArguments, RulesCommand};
use crate::program::exit::Usage;
use crate::program::terminal::{say, table, tell};

/// Lists packs, or loads rules.
pub fn rules(arguments: &RulesArguments) -> Result<ExitCode> {
    match &arguments.command {
        RulesCommand::List { packs } => list(packs, arguments.json),
        RulesCommand::Load {
            what,
            replace,
            dry_run,
            into,
            base,
            adjust,
            sweep,
        } => {
            let adjust = adjust::read(adjust)?;
            let (_, settings) = configuration::load(&arguments.config)?;
            let how = How {
                replace: *replace,
                dry_run: *dry_run,
                as_json: arguments.json,
                into: into.as_deref(),
                base: base.as_deref(),
                adjust: &adjust,
            };
            if !sweep.is_empty() {
                return swept::load(&settings, what, sweep, how);
            }
            if what.is_empty() && !adjust.is_empty() {
                return sets::set_up(&settings, of_set(how)?, how.dry_run, how.as_json);
            }
            load(&settings, what, how)
        }
        RulesCommand::Sets => sets::list(&configuration::load(&arguments.config)?.1, arguments.json),
        RulesCommand::Diff { set } => diff::diff(&configuration::load(&arguments.config)?.1, set, arguments.json),
        RulesCommand::Promote {
            set,
            dry_run,
            force,
            wait,
        } => {
            let (_, settings) = configuration::load(&arguments.config)?;
            let asked = Promotion {
                name: set,
                dry_run: *dry_run,
                force: *force,
                wait: wait.as_deref().map(patience).transpose()?,
            };
            sets::promote(&settings, &asked, arguments.json)
        }
        RulesCommand::Drop { set, dry_run } => {
            let (_, settings) = configuration::load(&arguments.config)?;
            dropped::drop_set(&settings, set, *dry_run, arguments.json)
        }
        RulesCommand::Test { files, filter } => test::test(files, filter.as_deref(), &arguments.config, arguments.json),
    }
}

fn pack(name: &str) -> Option<(&'static str, &'static str)> {
    packs::each().find(|(known, _)| *known == name)
}

fn list(names: &[String], as_json: bool) -> Result<ExitCode> {
    if let Some(unknown) = names.iter().find(|name| pack(name).is_none()) {
        let known: Vec<&str> = packs::each().map(|(name, _)| name).collect();
        let says = format!("there is no pack `{unknown}`; give some of `{}`", known.join("`, `"));
        return Err(Usage(says).into());
    }
    let mut rows = Vec::new();
    for (name, json) in packs::each().filter(|(name, _)| names.is_empty() || names.iter().any(|it| it == name)) {
        let records: Vec<Value> = serde_json::from_str(json).context("a pack cannot be read")?;
        rows.extend(records.into_iter().map(|record| (name, record)));
    }
    let text = |record: &Value, field: &str| match &record[field] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    if as_json {
        let rows = rows.iter().map(|(pack, record)| {
            json!({ "pack": pack, "id": record["id"], "version": record["version"], "name": record["name"], "watches": watches(record), "source": record["source"] })
        });
        say(Value::from(rows.collect::<Vec<_>>()));
    } else {
        let rows = rows.iter().map(|(pack, record)| {
            let mut row = vec![(*pack).to_owned()];
            row.extend(["id", "version", "name"].map(|field| text(record, field)));
            row.extend([watches(record), text(record, "source")]);
            row
        });
        say(table(&["pack", "id", "version", "name", "watches", "source"], rows));
    }
    Ok(ExitCode::SUCCESS)
}

/// What a rule or limit selects: the observed property and all else that must hold.
fn watches(record: &Value) -> String {
    let select = record["select"].as_object().cloned().unwrap_or_else(|| {
        let parts = ["measure", "work_type", "category", "domain", "region"];
        let parts = parts
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), record.get(*name)?.clone())));
        parts.collect()
    });
    let shown = select.iter().map(|(name, value)| match value {
        Value::String(text) if name == "observed_property" || name == "measure" => text.clone(),
        Value::String(text) => format!("{name} {text}"),
        Value::Array(texts) => {
            let texts: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
            format!("{name} {}", texts.join(" or "))
        }
        other => format!("{name} {other}"),
    });
    let mut shown: Vec<String> = shown.collect();
    shown.sort_by_key(|part| part.contains(' '));
    shown.join(", ")
}

#[derive(Clone, Copy)]
struct How<'a> {
    replace: bool,
    dry_run: bool,
    as_json: bool,
    /// The set that the rules are to be of.
    into: Option<&'a str>,
    /// What that set takes the others from.
    base: Option<&'a str>,
    /// What its rules see in the place of results.
    adjust: &'a [Adjust],
}

/// What becomes of a row that is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Unchanged,
    /// In the place of this version.
    Replaces(u32),
    /// This version is in force, and not the one that is given.
    Kept(u32),
}

fn load(settings: &Settings, what: &[String], how: How<'_>) -> Result<ExitCode> {
    let mut given = Stock::default();
    read_given(what, &mut given)?;
    let report = Report::of(given, None);
    if !report.has_rules() {
        return Err(no_rules(what));
    }
    if report.has_refused() {
        report.for_people().iter().for_each(tell);
        tell("nothing was loaded");
        return Ok(ExitCode::from(EXIT_CONFIGURATION));
    }
    let inputs: Vec<Topic> = settings.capabilities.inputs().collect();
    let place = Place::of_input(&settings.input);
    let is_new_log =
        matches!(&settings.input, Input::Log(folder) if !folder.join(settings.topics.name(Topic::IN_RULE)).exists());
    if let Some(place @ Place::Log(_)) = place.filter(|_| !how.dry_run) {
        create(place, &settings.topics, &inputs).context("could not make the input topics")?;
    }
    let mut live = Stock::default();
    if !(how.dry_run && is_new_log) && place.is_some() {
        read_live(settings, &mut live).context("could not read the rules in force")?;
    }
    if how.base.is_some() && place.is_some() {
        InForce::of(&live, settings.time.retain).has_base(how.base)?;
    }
    let in_force: BTreeMap<(Topic, Key), Row> = live.rows.iter().map(|(key, (row, _))| (*key, row.clone())).collect();
    let rows: Vec<(Topic, Row, State)> = given_rows(what, how.into)?
        .into_iter()
        .map(|(topic, row)| {
            let before = in_force.get(&(topic, Key::of(&row.id())));
            let state = state(&row, before, how.replace);
            (topic, row, state)
        })
        .collect();
    let set = of_set(how)?;
    if !how.dry_run {
        append(settings, &rows)?;
        if let Some(set) = &set {
            sets::append(settings, set)?;
        }
    }
    // What is loaded, beside what was there.
    for row in rows.iter().map(|(_, row, _)| row).chain(&set) {
        live.put(row.clone(), "given".to_owned());
    }
    if let Some(set) = how.into {
        InForce::of(&live, settings.time.retain).tell_problems(set);
    }
    show(&rows, &Report::of(live, None), how);
    Ok(ExitCode::SUCCESS)
}

/// The rules and limits of packs and files; where a set is named, as those of the set. Limits are of none.
fn given_rows(what: &[String], into: Option<&str>) -> Result<Vec<(Topic, Row)>> {
    let mut given = Stock::default();
    read_given(what, &mut given)?;
    let rows = given.rows.into_iter().map(|((topic, _), (row, _))| (topic, row));
    let Some(set) = into else { return Ok(rows.collect()) };
    let mut check = Check::default();
    check_name(&mut check, "--into", set);
    check.problems().none_or(Some(()))?;
    let (mut of_set, mut limits) = (Vec::new(), 0);
    for (topic, row) in rows {
        match sets::of_set(&row, set) {
            Some(row) => of_set.push((topic, row)),
            None => limits += 1,
        }
    }
    if limits > 0 {
        tell(format_args!(
            "{limits} limits of work under permit are left out: they are of no set"
        ));
    }
    for (_, row) in &of_set {
        if let Some(Err(problems)) = row.downcast_ref::<RuleRecord>().map(|rule| Rule::check(rule.clone())) {
            return Err(problems.into());
        }
    }
    Ok(of_set)
}

/// The record of the set, if its base or an adjustment is given.
fn of_set(how: How<'_>) -> Result<Option<Row>> {
    let Some(set) = how.into.filter(|_| how.base.is_some() || !how.adjust.is_empty()) else {
        return Ok(None);
    };
    let set = RuleSet {
        id: Id::from(set),
        set: None,
        base: how.base.map(Id::from),
        removed: Vec::new(),
        adjust: how.adjust.to_vec(),
        sweep: None,
        before: None,
    };
    riskflow_model::problems(&set).none_or(Some(()))?;
    Ok(Some(Row::new(set)))
}

/// The rules and limits of packs and files, each checked.
///
/// # Errors
///
/// When one is refused (all that are, are told first), or none is a rule.
pub(super) fn checked(what: &[String]) -> Result<Vec<(Topic, Row)>> {
    let mut given = Stock::default();
    read_given(what, &mut given)?;
    let report = Report::of(given, None);
    if !report.has_rules() {
        return Err(no_rules(what));
    }
    if report.has_refused() {
        report.for_people().iter().for_each(tell);
        return Err(Usage("some of the rules cannot be used".to_owned()).into());
    }
    let mut given = Stock::default();
    read_given(what, &mut given)?;
    Ok(given
        .rows
        .into_iter()
        .map(|((topic, _), (row, _))| (topic, row))
        .collect())
}

/// Reads packs and files; all packs where none is named.
fn read_given(what: &[String], stock: &mut Stock) -> Result<()> {
    if what.is_empty() {
        return packs::each().try_for_each(|(name, json)| files::read_pack(name, json, stock));
    }
    what.iter().try_for_each(|name| match pack(name) {
        Some((name, json)) => files::read_pack(name, json, stock),
        None if !Path::new(name).exists() => {
            let known: Vec<&str> = packs::each().map(|(name, _)| name).collect();
            let says = format!(
                "`{name}` is neither a pack nor a file; give some of the packs `{}`, files or folders",
                known.join("`, `")
            );
            Err(Usage(says).into())
        }
        None => files::read(Path::new(name), Wanted::Rules, stock),
    })
}

fn state(row: &Row, before: Option<&Row>, replace: bool) -> State {
    let Some(before) = before else { return State::New };
    if row == before {
        return State::Unchanged;
    }
    let version = version(before);
    if replace || version < self::version(row) {
        State::Replaces(version)
    } else {
        State::Kept(version)
    }
}

fn version(row: &Row) -> u32 {
    row.version().unwrap_or(0)
}

fn append(settings: &Settings, rows: &[(Topic, Row, State)]) -> Result<()> {
    let now = Millis(wall_clock());
    let mut by_topic: BTreeMap<Topic, Vec<InRecord>> = BTreeMap::new();
    for (topic, row, state) in rows {
        let payload = row.to_json()?;
        if matches!(state, State::New | State::Replaces(_)) {
            by_topic.entry(*topic).or_default().push(InRecord {
                arrival: now,
                key: row.id().to_string(),
                payload: Some(payload),
            });
        }
    }
    for (topic, records) in by_topic {
        let way_in = open_append(&settings.input, &settings.topics, topic);
        let mut way_in = way_in.with_context(|| format!("could not open `{topic}`"))?;
        for answer in way_in.append(&records) {
            answer.with_context(|| format!("not all rows of `{topic}` are known to be durable; load them again"))?;
        }
    }
    Ok(())
}

fn show(rows: &[(Topic, Row, State)], report: &Report, how: How<'_>) {
    let said = |state: State| match state {
        State::New => ("new", "new".to_owned()),
        State::Unchanged => ("unchanged", "in force already".to_owned()),
        State::Replaces(version) => ("replaced", format!("replaces version {version}")),
        State::Kept(version) => (
            "kept",
            format!("kept: version {version} in force is another; `--replace` replaces it"),
        ),
    };
    let count = |wanted: &str| rows.iter().filter(|(_, _, state)| said(*state).0 == wanted).count();
    let watched = |row: &Row| {
        let rule = row.downcast_ref::<RuleRecord>()?;
        Some(report.watched_by(&rule.id))
    };
    if how.as_json {
        let listed = rows.iter().map(|(topic, row, state)| {
            json!({
                "topic": topic.name(), "id": row.id(), "version": version(row), "state": said(*state).0, "datastreams": watched(row),
            })
        });
        say(json!({ "dry_run": how.dry_run, "rows": listed.collect::<Vec<_>>() }));
        return;
    }
    let listed = rows.iter().map(|(topic, row, state)| {
        vec![
            topic.to_string(),
            row.id().to_string(),
            version(row).to_string(),
            watched(row).map_or_else(|| "-".to_owned(), |count| count.to_string()),
            said(*state).1,
        ]
    });
    say(table(&["topic", "id", "version", "datastreams", ""], listed));
    say(format_args!(
        "{}: {} new, {} replaced, {} in force already, {} kept as they were",
        if how.dry_run { "would be loaded" } else { "loaded" },
        count("new"),
        count("replaced"),
        count("unchanged"),
        count("kept")
    ));
    if !rows
        .iter()
        .any(|(_, row, _)| watched(row).is_some_and(|count| count > 0))
    {
        say("no datastream is watched by them yet: `base.datastream` and `base.asset` have none that they select");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(version: u32, name: &str) -> Row {
        let json = packs::each().find(|(name, _)| *name == "rain").unwrap().1;
        let mut records: Vec<RuleRecord> = serde_json::from_str(json).unwrap();
        let mut record = records.remove(0);
        record.version = version;
        record.name = name.into();
        Row::new(record)
    }

    #[test]
    fn what_someone_changed_is_kept_unless_it_is_older_or_it_is_asked_for() {
        let given = rule(2, "rain");
        assert_eq!(state(&given, None, false), State::New);
        assert_eq!(state(&given, Some(&rule(2, "rain")), true), State::Unchanged);
        assert_eq!(state(&given, Some(&rule(1, "rain")), false), State::Replaces(1));
        assert_eq!(state(&given, Some(&rule(2, "ours")), false), State::Kept(2));
        assert_eq!(state(&given, Some(&rule(3, "rain")), false), State::Kept(3));
        assert_eq!(state(&given, Some(&rule(3, "rain")), true), State::Replaces(3));
    }
}
