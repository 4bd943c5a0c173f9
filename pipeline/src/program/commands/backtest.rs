//! `riskflow backtest`: what rules would have done over a history, before they go live.
//!
//! One run of the job, in this process, over a history on its own time; what it gives is only looked at. New rules, old ones and those of
//! sweeps run side by side ([`sets`]); their warnings are gathered ([`episode`]), compared ([`compare`]) and judged ([`judge`]).

mod compare;
mod episode;
mod history;
mod judge;
mod report;
mod run;
mod series;
mod sets;
mod truth;
mod watched;
mod world;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use riskflow::runtime::job::Handles;
use riskflow_config::{Rule, Settings};
use riskflow_model::base::Datastream;
use riskflow_model::rule::RuleRecord;
use riskflow_model::{Duration, Text, duration};

use self::compare::{Relation, compare};
use self::history::History;
use self::judge::Terms;
use self::report::{Found, Looked, Note, Report, html, table};
use self::series::{Station, plan, station};
use self::sets::Sets;
use self::truth::Event;
use self::world::World;
use super::check::read_live;
use super::check::stock::Stock;
use super::configuration;
use super::signals::{Hangup, stop_job};
use crate::program::cli::{BacktestArguments, EXIT_INTERRUPTED};
use crate::program::exit::Usage;
use crate::program::terminal::{say, tell};

/// Runs rules over a history, and reports.
pub fn backtest(arguments: &BacktestArguments) -> Result<ExitCode> {
    let handles = Handles::new()?;
    stop_job(&handles, Hangup::Stops)?;
    let (_, settings) = configuration::load(&arguments.config)?;
    let zone = settings.zone.clone();
    let Some(report) = report(arguments, settings, &handles)? else {
        tell("stopped before the history ended: there is nothing to report");
        return Ok(ExitCode::from(EXIT_INTERRUPTED));
    };
    let json = || Ok::<_, anyhow::Error>(format!("{}\n", serde_json::to_string_pretty(&report)?));
    if let Some(path) = &arguments.json {
        write(path, &json()?)?;
    }
    if let Some(path) = &arguments.html {
        write(path, &html::page(&report, &zone))?;
    }
    let written = arguments.json.iter().chain(&arguments.html);
    if !written.clone().any(|path| is_stdout(path)) {
        table::show(&report);
        written.for_each(|path| say(format_args!("written: {}", path.display())));
    }
    Ok(ExitCode::SUCCESS)
}

/// What a back-test finds; `None` where it was stopped.
fn report(arguments: &BacktestArguments, settings: Settings, handles: &Handles) -> Result<Option<Report>> {
    let max_lead = duration::parse(&arguments.max_lead);
    let terms = Terms {
        level: arguments.level,
        max_lead: Duration(max_lead.map_err(|error| Usage(format!("`--max-lead`: {error}")))?),
    };
    places_are_there(arguments)?;
    let history = History::of(arguments, settings)?;
    let mut stock = Stock::default();
    read_live(&history.settings, &mut stock).context("could not read the base data of the history")?;
    let world = World::of(&stock);
    let sets = Sets::of(arguments, &world)?;
    let events = arguments
        .truth
        .as_deref()
        .map(|path| truth::read(path, &world))
        .transpose()?;
    let asked = arguments
        .station
        .as_deref()
        .map(|id| known_station(id, &world))
        .transpose()?;
    let Some(ran) = run::run(&history.settings, &sets, &world, (handles, arguments.from))? else {
        return Ok(None);
    };
    let mut found = Found {
        sets: &sets,
        ran: &ran,
        events: None,
        terms,
        world: &world,
        from: arguments.from,
    };
    let span = found.span();
    let all = events.as_ref().map_or(0, Vec::len);
    let events = events.map(|events| -> Vec<Event> {
        let within = |event: &Event| event.to >= span.0 && event.from <= span.1;
        events.into_iter().filter(within).collect()
    });
    found.events = events.as_deref();
    let notes = notes(&found, all);
    let looked = found.looked();
    let shown = if arguments.html.is_some() || arguments.json.is_some() {
        shown(asked, &looked, &world, (&sets, &history.settings))?
    } else {
        None
    };
    Ok(Some(found.report(&looked, shown, notes)))
}

/// What limits the answer.
fn notes(found: &Found<'_>, events: usize) -> Vec<Note> {
    let mut notes = Vec::new();
    let tables = found.sets.topics_with_thresholds(found.world);
    if !tables.is_empty() {
        let names: Vec<&str> = tables.iter().map(|topic| topic.name()).collect();
        notes.push(Note {
            zh: format!("{} 中有规则的专用阈值:这些表按历史结束时的内容使用。", names.join("、")),
            en: format!(
                "rows of {} have thresholds for these rules: they are used as they are at the end of the history",
                names.join(", ")
            ),
        });
    }
    let outside = events - found.events.map_or(0, <[Event]>::len);
    if outside > 0 {
        notes.push(Note {
            zh: format!("{outside} 个事件在历史时段之外,未参与检验。"),
            en: format!("{outside} events lie outside of the time that is looked at, and are not judged"),
        });
    }
    notes.extend(placeless(found));
    if found.sets.old.is_none() {
        notes.push(Note {
            zh: "历史中没有同名规则,也没有给出对比规则:只报告新规则。".to_owned(),
            en: "there are no old rules: none were given, and the history has none of these identifiers".to_owned(),
        });
    }
    notes.extend(watched::note(found.sets, found.world));
    let dead: u64 = found.ran.read.dead_letters.values().sum();
    if dead > 0 {
        notes.push(Note {
            zh: format!("{dead} 条记录无法使用,未计入。"),
            en: format!("{dead} records could not be used"),
        });
    }
    notes
}

/// Events that no rule can hit, for the history has no asset where they were: told at once, too, for they look like misses of the rules.
fn placeless(found: &Found<'_>) -> Option<Note> {
    const NAMED: usize = 10;
    let places = truth::without_assets(found.events?, found.world);
    let named: Vec<&str> = places.keys().take(NAMED).copied().collect();
    let count: usize = places.values().sum();
    let more = places.len() - named.len();
    let [zh_more, en_more] = match more {
        0 => [String::new(), String::new()],
        _ => [format!("等{}处", places.len()), format!(" and {more} other places")],
    };
    let note = (count > 0).then(|| Note {
        zh: format!("{count} 个事件所在地({}{zh_more})在历史中没有资产:任何规则都无法命中,均计为漏报。", named.join("、")),
        en: format!(
            "{count} events are in places without any asset in the history ({}{en_more}): no rule can hit them, and they count as misses",
            named.join(", ")
        ),
    })?;
    tell(&note.en);
    Some(note)
}

/// Whoever asks for a report in a folder that is not there, or in the place of what is read, learns it before the run.
fn places_are_there(arguments: &BacktestArguments) -> Result<(), Usage> {
    let is_file = |path: &&std::path::PathBuf| !is_stdout(path);
    let named = arguments.files.iter().chain(&arguments.truth);
    let mut read: Vec<std::path::PathBuf> = named.filter_map(|path| path.canonicalize().ok()).collect();
    let rules = arguments.rules.iter().chain(&arguments.against);
    read.extend(rules.filter_map(|path| Path::new(path).canonicalize().ok()));
    for path in arguments.json.iter().chain(&arguments.html).filter(is_file) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if folder.is_some_and(|folder| !folder.is_dir()) || path.is_dir() {
            let says = format!(
                "`{}` cannot be written; give a file in a folder that is there",
                path.display()
            );
            return Err(Usage(says));
        }
        let real = path.canonicalize().ok();
        let is_read = real.is_some_and(|real| read.iter().any(|read| real.starts_with(read)));
        if is_read {
            let says = format!(
                "`{}` is there, and read as input; give another file for the report",
                path.display()
            );
            return Err(Usage(says));
        }
    }
    if arguments.json.is_some() && arguments.json == arguments.html {
        return Err(Usage(
            "`--json` and `--html` name the same place; give each its own".to_owned(),
        ));
    }
    Ok(())
}

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn write(path: &Path, text: &str) -> Result<()> {
    if is_stdout(path) {
        say(text.trim_end());
        return Ok(());
    }
    std::fs::write(path, text).with_context(|| format!("could not write `{}`", path.display()))
}

/// The datastreams that a station is: one, or those of an asset.
fn known_station<'a>(id: &str, world: &'a World) -> Result<Vec<&'a Datastream>, Usage> {
    let is_it = |row: &&Datastream| **row.id.text() == *id || **row.asset.text() == *id;
    let known: Vec<&Datastream> = world.datastreams.values().filter(is_it).collect();
    if known.is_empty() {
        let says = format!("`--station` is `{id}`; give a datastream or an asset of the history");
        return Err(Usage(says));
    }
    Ok(known)
}

/// The station that is asked for, or else the one with the most differences, or else with the most warnings.
fn shown(
    asked: Option<Vec<&Datastream>>,
    looked: &Looked,
    world: &World,
    (sets, settings): (&Sets, &Settings),
) -> Result<Option<Station>> {
    let pairs = compare(&looked.new, looked.old.as_deref().unwrap_or_default(), looked.span.1);
    // How many differences, how many warnings.
    let mut counts: BTreeMap<(&Text, &Text), (usize, usize)> = BTreeMap::new();
    for pair in &pairs {
        let one = pair.either();
        let (differences, warnings) = counts.entry((one.datastream.text(), &one.rule)).or_default();
        *warnings += 1;
        *differences += usize::from(looked.old.is_some() && pair.relation != Relation::Same);
    }
    let may_be = |id: &Text| {
        asked
            .as_ref()
            .is_none_or(|asked| asked.iter().any(|row| row.id.text() == id))
    };
    let counted = counts
        .iter()
        .filter(|((id, _), _)| may_be(id) && world.datastreams.contains_key(*id));
    // Of several the first by name.
    let most = counted.max_by(|(a, many), (b, more)| many.cmp(more).then_with(|| b.cmp(a)));
    let of_rule = |datastream, rule: Option<&Text>| {
        let plans = |records: &[RuleRecord]| -> Vec<Rule> {
            let named = records
                .iter()
                .filter(|record| rule.is_none_or(|rule| record.id == *rule));
            named.map(plan).collect()
        };
        let (new, old) = (plans(&sets.new), plans(sets.old.as_deref().unwrap_or_default()));
        station(settings, world, datastream, [&new, &old])
    };
    if let Some(((id, rule), _)) = most {
        return of_rule(&world.datastreams[*id], Some(*rule));
    }
    // Nothing warned of it: the first that any rule watches.
    for datastream in asked.into_iter().flatten() {
        let found = of_rule(datastream, None)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
