//! `riskflow rules sets` and `promote`: which rule sets there are, and which is live.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use riskflow::runtime::clock::wall_clock;
use riskflow_config::{Place as Counts, Resolved, Rule, Settings, resolve};
use riskflow_connectors::{Appended, InRecord, Verdict, open_append};
use riskflow_model::output::{SetState, Stamped};
use riskflow_model::rule::RuleRecord;
use riskflow_model::ruleset::{DEFAULT, LIVE, RuleSet, parts, qualified, value_of};
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, Id, Millis, Row, Shared, Text};
use riskflow_operators::warning;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::check::read_live;
use super::super::check::stock::Stock;
use super::super::explain::near::Near;
use super::super::tail;
use super::awaited::{Outcome, Watch};
use crate::program::exit::Usage;
use crate::program::terminal::{say, table, tell};

/// Rules and sets as they are in force.
pub struct InForce {
    /// By their identifiers as written.
    pub rules: BTreeMap<Text, Rule>,
    /// Rows of `in.ruleset`.
    pub sets: BTreeMap<Text, Shared<RuleSet>>,
    /// How far back a candidate may look.
    pub retain: Duration,
    /// What comes of these.
    pub resolved: Resolved,
}

impl InForce {
    /// Reads what the input holds now.
    pub fn read(settings: &Settings) -> Result<Self> {
        let mut stock = Stock::default();
        read_live(settings, &mut stock).context("could not read the rules in force")?;
        Ok(Self::of(&stock, settings.time.retain))
    }

    /// Of rows that were read.
    pub fn of(stock: &Stock, retain: Duration) -> Self {
        let mut rules: BTreeMap<Text, Rule> = BTreeMap::new();
        let mut sets: BTreeMap<Text, Shared<RuleSet>> = BTreeMap::new();
        for (row, _) in stock.rows.values() {
            if let Some(record) = row.downcast_ref::<RuleRecord>() {
                rules.insert(record.id.clone(), warning::rule(record));
            } else if let Some(set) = row.clone().downcast::<RuleSet>() {
                sets.insert(set.id.text().clone(), set);
            }
        }
        let resolved = resolve(&rules, &sets, retain);
        Self {
            rules,
            sets,
            retain,
            resolved,
        }
    }

    /// Refuses a base that is no set: of that the new one would have nothing. `default` is one before it has rules, too.
    pub fn has_base(&self, base: Option<&str>) -> Result<()> {
        let of_rules = self.rules.keys().map(|id| parts(id).0);
        let with_rows = self.sets.keys().map(|id| &**id).filter(|id| *id != LIVE);
        let names: BTreeSet<&str> = of_rules.chain(with_rows).chain([DEFAULT]).collect();
        let Some(base) = base.filter(|base| !names.contains(base)) else {
            return Ok(());
        };
        let mut near = Near::to(base);
        for name in names {
            near.see(name, "");
        }
        Err(Usage(format!(
            "`--base` is `{base}`, and there is no such set{}; `riskflow rules sets` lists all",
            near.said()
        ))
        .into())
    }

    /// Tells what is wrong with a set.
    pub fn tell_problems(&self, set: &str) {
        let state = self.resolved.states.iter().find(|state| *state.set == *set);
        let problems = state.into_iter().flat_map(|state| &state.problems);
        problems.for_each(|problem| tell(format_args!("`{set}`: {problem}")));
    }

    /// The same, were another set live.
    fn with_live(mut self, set: &Id<RuleSet>) -> Self {
        let before = self.live().map(|state| state.set.clone());
        self.sets.insert(LIVE.into(), Shared::new(live(set.clone(), before)));
        self.resolved = resolve(&self.rules, &self.sets, self.retain);
        self
    }

    /// The live set.
    pub fn live(&self) -> Option<&SetState> {
        self.resolved.states.iter().find(|state| state.live)
    }

    /// A set that is evaluated.
    pub fn set(&self, name: &str) -> Result<&SetState> {
        let known = self.resolved.states.iter().filter(|state| state.in_force);
        let found = known.clone().find(|state| *state.set == *name);
        found.ok_or_else(|| {
            let known: Vec<&str> = known.map(|state| &*state.set).collect();
            let says = match self.resolved.states.iter().find(|state| *state.set == *name) {
                Some(state) => format!("set `{name}` is not evaluated: {}", state.problems.join("; ")),
                None => format!("there is no set `{name}`; give one of `{}`", known.join("`, `")),
            };
            Usage(says).into()
        })
    }

    /// The rules of a set by what they are called in it.
    pub fn rules(&self, set: &SetState) -> BTreeMap<&Text, &Rule> {
        let place = if set.live {
            Counts::Live
        } else {
            Counts::Set(set.set.text().clone())
        };
        let rules = self.resolved.rules.iter().filter(|rule| rule.standing().has(&place));
        rules.map(|rule| (&rule.record.id, rule)).collect()
    }
}

/// Lists the sets.
pub fn list(settings: &Settings, as_json: bool) -> Result<ExitCode> {
    let in_force = InForce::read(settings)?;
    if as_json {
        say(serde_json::to_string_pretty(&in_force.resolved.states).context("sets are plain data")?);
        return Ok(ExitCode::SUCCESS);
    }
    let states = &in_force.resolved.states;
    // One that is live has a line of its own.
    let alone = states.iter().filter(|state| state.live || state.sweep.is_none());
    let rows = alone.map(|state| {
        vec![
            state.set.to_string(),
            standing(state).to_owned(),
            state.base.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
            state.rules.to_string(),
            state.own.to_string(),
            first_problems(state.problems.iter().map(|problem| &**problem)),
        ]
    });
    let rows = rows.chain(sweeps(states));
    say(table(&["set", "", "base", "rules", "own", "problems"], rows));
    Ok(ExitCode::SUCCESS)
}

/// What a set is in the job.
pub const fn standing(state: &SetState) -> &'static str {
    match (state.live, state.in_force) {
        (true, _) => "live",
        (false, true) => "candidate",
        (false, false) => "not evaluated",
    }
}

/// The sets of a sweep, each with its values, in the order of numbers.
pub fn of_sweep<'a>(states: &'a [SetState], sweep: &str) -> Vec<(&'a str, &'a SetState)> {
    let is_its = |state: &&SetState| state.sweep.as_deref() == Some(sweep);
    let sets = states.iter().filter(is_its);
    let sets = sets.map(|state| (value_of(&state.set, sweep).unwrap_or(&state.set), state));
    let mut sets: Vec<(&str, &SetState)> = sets.collect();
    let number = |text: &str| text.parse::<f64>().unwrap_or(f64::INFINITY);
    let order = |one: &str, other: &str| {
        let numbers = one.split('_').map(number).zip(other.split('_').map(number));
        let differ = numbers
            .map(|(one, other)| one.total_cmp(&other))
            .find(|order| order.is_ne());
        differ.unwrap_or_else(|| one.cmp(other))
    };
    sets.sort_by(|(one, _), (other, _)| order(one, other));
    sets
}

/// There is neither a set nor a sweep that is named so.
pub fn neither(states: &[SetState], name: &str) -> Usage {
    let alone = states.iter().filter(|state| state.sweep.is_none());
    let sweeps = states.iter().filter_map(|state| state.sweep.as_deref());
    let known: BTreeSet<&str> = alone.map(|state| &*state.set).chain(sweeps).collect();
    let known: Vec<&str> = known.into_iter().collect();
    Usage(format!(
        "there is neither a set nor a sweep `{name}`; give one of `{}`",
        known.join("`, `")
    ))
}

/// So many are shown as they are.
const SHOWN: usize = 8;

/// Names or values in the line of a table: of many the first and the last, for the longest line is how wide all are. `--json` has them all.
pub fn folded(names: &[&str]) -> String {
    match names {
        [first, second, third, .., last] if names.len() > SHOWN => format!("{first}, {second}, {third} … {last}"),
        _ => names.join(", "),
    }
}

/// The first of what is wrong with a set, or with those of a sweep, and how much more there is.
fn first_problems<'a>(problems: impl IntoIterator<Item = &'a str>) -> String {
    let problems: Vec<&str> = problems.into_iter().collect();
    let (first, more) = problems.split_at(problems.len().min(3));
    let first = first.join("; ");
    match more.len() {
        0 => first,
        count => format!("{first}; and {count} more, which `--json` lists"),
    }
}

/// A line for each sweep, with its values.
fn sweeps(states: &[SetState]) -> Vec<Vec<String>> {
    let names: BTreeSet<&str> = states.iter().filter_map(|state| state.sweep.as_deref()).collect();
    let lines = names.into_iter().filter_map(|sweep| {
        let mut sets = of_sweep(states, sweep);
        sets.retain(|(_, state)| !state.live);
        if sets.is_empty() {
            return None;
        }
        let values: Vec<&str> = sets.iter().map(|(value, _)| *value).collect();
        let in_force = sets.iter().filter(|(_, state)| state.in_force).count();
        let each = |of: fn(&SetState) -> String| {
            let texts: BTreeSet<String> = sets.iter().map(|(_, state)| of(state)).collect();
            folded(&texts.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let problems = sets
            .iter()
            .flat_map(|(_, state)| state.problems.iter().map(|problem| &**problem));
        let problems: BTreeSet<&str> = problems.collect();
        Some(vec![
            format!("{sweep}: {}", folded(&values)),
            format!("sweep, {in_force} of {} evaluated", sets.len()),
            each(|state| state.base.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)),
            each(|state| state.rules.to_string()),
            each(|state| state.own.to_string()),
            first_problems(problems),
        ])
    });
    lines.collect()
}

/// The rows of a table that a job publishes. One that is no such row is an error: taken for none it would hide a difference.
pub fn rows_of<T: DeserializeOwned>(settings: &Settings, topic: Topic) -> Result<Vec<T>> {
    let mut rows: BTreeMap<Vec<u8>, T> = BTreeMap::new();
    let mut wrong = None;
    tail::read_once(settings, &[topic], &mut |record| {
        let key = record.key.unwrap_or_default().to_vec();
        match record.payload.map(serde_json::from_slice::<Stamped<T>>) {
            Some(Ok(row)) => drop(rows.insert(key, row.record)),
            Some(Err(error)) => drop(wrong.get_or_insert(error)),
            None => drop(rows.remove(&key)),
        }
        Verdict::Taken
    })
    .with_context(|| format!("could not read `{topic}`"))?;
    match wrong {
        Some(error) => Err(error).with_context(|| format!("a record of `{topic}` is no row of this version")),
        None => Ok(rows.into_values().collect()),
    }
}

/// The record that makes a set live. It names the one that is live until then, which keeps its place for the way back.
fn live(set: Id<RuleSet>, before: Option<Id<RuleSet>>) -> RuleSet {
    RuleSet {
        id: Id::from(LIVE),
        set: Some(set),
        base: None,
        removed: Vec::new(),
        adjust: Vec::new(),
        sweep: None,
        before,
    }
}

/// What is asked of a promotion.
pub struct Promotion<'a> {
    /// The set.
    pub name: &'a str,
    /// Change nothing.
    pub dry_run: bool,
    /// Also where it would have no rules, or something is wrong with it.
    pub force: bool,
    /// How long to wait until a job has made it live.
    pub wait: Option<std::time::Duration>,
}

/// Makes a set live: one record under `live`. Says which rules come and go; one without rules, or with which something is wrong, is
/// promoted by force only.
pub fn promote(settings: &Settings, asked: &Promotion<'_>, as_json: bool) -> Result<ExitCode> {
    let Promotion {
        name, dry_run, force, ..
    } = *asked;
    let in_force = InForce::read(settings)?;
    let set = in_force.set(name)?.clone();
    if set.live {
        tell(format_args!("`{name}` is live already"));
        if as_json {
            say(json!({ "dry_run": dry_run, "live": name, "before": name }));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let before = in_force.live().cloned();
    let ids = |in_force: &InForce, state: &SetState| -> BTreeSet<Text> {
        in_force.rules(state).into_keys().cloned().collect()
    };
    let was = before.as_ref().map(|live| ids(&in_force, live)).unwrap_or_default();
    let next = in_force.with_live(&set.set);
    let row = next
        .sets
        .get(LIVE)
        .cloned()
        .context("there is no record that makes it live")?;
    let state = next.live().context("the set would not be live")?;
    let is = ids(&next, state);
    let (comes, goes): (Vec<&Text>, Vec<&Text>) = (is.difference(&was).collect(), was.difference(&is).collect());
    if !force && (is.is_empty() || !state.problems.is_empty()) {
        return Err(Usage(not_promoted(name, state)).into());
    }
    let outcome = match dry_run {
        true => None,
        false => make_live(settings, &row, asked.wait)?,
    };
    let code = outcome.as_ref().map_or(ExitCode::SUCCESS, Outcome::code);
    let before = before.map_or(Value::Null, |live| live.set.text().to_string().into());
    if as_json {
        let mut told = json!({
            "dry_run": dry_run, "live": name, "before": before,
            "rules": { "before": was.len(), "now": is.len(), "comes": comes, "goes": goes }, "problems": state.problems,
        });
        if let Some(outcome) = &outcome {
            outcome.note(&mut told);
        }
        say(told);
        return Ok(code);
    }
    let says = if dry_run { "would be live" } else { "is live" };
    say(format_args!(
        "`{name}` {says} from the next epoch of a running job on; to go back, promote `{}`",
        before.as_str().unwrap_or("default")
    ));
    say(format_args!("rules: {} until now, {} then", was.len(), is.len()));
    for (what, ids) in [("live then", comes), ("not live any more", goes)] {
        if !ids.is_empty() {
            let ids: Vec<&str> = ids.into_iter().map(|id| &**id).collect();
            say(format_args!("rules {what}: {}", ids.join(", ")));
        }
    }
    outcome.iter().for_each(say);
    Ok(code)
}

/// Appends the record that makes a set live; what became of it, where that is waited for.
fn make_live(settings: &Settings, row: &Shared<RuleSet>, wait: Option<std::time::Duration>) -> Result<Option<Outcome>> {
    // Looked at before there is anything to see, so that nothing is missed.
    let watch = wait.map(|_| Watch::open(settings)).transpose();
    let watch = watch.context("could not look for the outcome; nothing was appended")?;
    let appended = append(settings, &Row::from(row.clone()))?;
    let Some((mut watch, patience)) = watch.zip(wait) else {
        return Ok(None);
    };
    let Some(epoch) = watch.wait(appended, patience)? else {
        return Ok(Some(Outcome::Unknown(patience)));
    };
    let states = rows_of::<SetState>(settings, Topic::RULESET)?;
    // Where nothing is said of sets there is one.
    let is = states
        .iter()
        .find(|state| state.live)
        .map_or(DEFAULT, |state| &*state.set);
    Ok(Some(if row.set.as_deref() == Some(is) {
        Outcome::Live(epoch)
    } else {
        Outcome::Other(is.to_owned())
    }))
}

/// Why a set is promoted by force only.
fn not_promoted(name: &str, state: &SetState) -> String {
    let why = if state.rules == 0 {
        "it would have no rules, and nothing would warn".to_owned()
    } else {
        state.problems.join("; ")
    };
    format!("`{name}` is not promoted: {why}; mend that (`riskflow rules sets` lists it), or give `--force`")
}

/// Appends a row of `in.ruleset`; where it is then.
pub fn append(settings: &Settings, row: &Row) -> Result<Appended> {
    let way_in = open_append(&settings.input, &settings.topics, Topic::IN_RULESET);
    let mut way_in = way_in.with_context(|| format!("could not open `{}`", Topic::IN_RULESET))?;
    let record = InRecord {
        arrival: Millis(wall_clock()),
        key: row.id().to_string(),
        payload: Some(row.to_json()?),
    };
    let answer = way_in.append(&[record]).pop();
    answer.context("nothing was appended")?.with_context(|| {
        format!(
            "the row of `{}` is not known to be durable; try again",
            Topic::IN_RULESET
        )
    })
}

/// Appends the row of a set that has no rules of its own to load, and says what it is with it.
pub fn set_up(settings: &Settings, row: Option<Row>, dry_run: bool, as_json: bool) -> Result<ExitCode> {
    let row = row.context("the set has a row where something of it is adjusted")?;
    let set = row.clone().downcast::<RuleSet>().context("the row is that of a set")?;
    let mut in_force = InForce::read(settings)?;
    in_force.has_base(set.base.as_deref())?;
    in_force.sets.insert(set.id.text().clone(), set.clone());
    in_force.resolved = resolve(&in_force.rules, &in_force.sets, in_force.retain);
    let state = in_force.resolved.states.iter().find(|state| state.set == set.id);
    let state = state.context("each set has a state")?;
    if state.rules == 0 {
        let why = if state.problems.is_empty() {
            "name rules, or with `--base` the set that has them".to_owned()
        } else {
            state.problems.join("; ")
        };
        return Err(Usage(format!("`{}` would have no rules: {why}", set.id)).into());
    }
    if !dry_run {
        append(settings, &row)?;
    }
    if as_json {
        say(json!({ "dry_run": dry_run, "set": state, "adjust": set.adjust }));
        return Ok(ExitCode::SUCCESS);
    }
    let says = if dry_run { "would have" } else { "has" };
    say(format_args!(
        "`{}` {says} {} rules, {} of its own",
        set.id, state.rules, state.own
    ));
    for adjust in &set.adjust {
        say(format_args!(
            "they see `{}` times {}, plus {}",
            adjust.observed_property, adjust.multiply, adjust.add
        ));
    }
    state.problems.iter().for_each(tell);
    Ok(ExitCode::SUCCESS)
}

/// A rule as one of a set, whatever set its identifier names.
#[must_use]
pub fn of_set(row: &Row, set: &str) -> Option<Row> {
    let record = row.downcast_ref::<RuleRecord>()?;
    let id = qualified(set, parts(&record.id).1);
    Some(Row::new(RuleRecord { id, ..record.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_loaded_into_whatever_set_is_asked_for() {
        let row = Row::new(RuleRecord::named("old/rain".into()));
        assert_eq!(&*of_set(&row, "strict").unwrap().id(), "strict/rain");
        assert_eq!(&*of_set(&row, "default").unwrap().id(), "rain");
    }

    #[test]
    fn the_sets_of_a_sweep_stand_in_the_order_of_numbers() {
        let state = |set: &str, sweep: Option<&str>| SetState {
            set: Id::from(set),
            live: false,
            in_force: true,
            base: None,
            sweep: sweep.map(Id::from),
            rules: 1,
            own: 1,
            problems: Vec::new(),
        };
        let wet = ["wet-100_2", "wet-9.5_10", "wet-9.5_2", "wet--3_2"].map(|set| state(set, Some("wet")));
        let others = [
            state("default", None),
            state("wet", None),
            state("wet-1-4", Some("wet-1")),
        ];
        let states = [&wet[..], &others].concat();
        let values: Vec<&str> = of_sweep(&states, "wet").into_iter().map(|(value, _)| value).collect();
        assert_eq!(values, ["-3_2", "9.5_2", "9.5_10", "100_2"]);
        assert_eq!(sweeps(&states)[0][0], "wet: -3_2, 9.5_2, 9.5_10, 100_2");
        let many: Vec<String> = (40..101).map(|value| format!("dense-{value}")).collect();
        let dense: Vec<SetState> = many.iter().map(|set| state(set, Some("dense"))).collect();
        let row = &sweeps(&dense)[0];
        assert_eq!(
            (row[0].as_str(), row[1].as_str()),
            ("dense: 40, 41, 42 … 100", "sweep, 61 of 61 evaluated")
        );
        let problems = ["a", "b", "c", "d", "e"];
        assert_eq!(first_problems(problems), "a; b; c; and 2 more, which `--json` lists");
        assert_eq!(first_problems(problems.into_iter().take(3)), "a; b; c");
        let said = neither(&states, "dry").to_string();
        assert!(said.ends_with("give one of `default`, `wet`, `wet-1`"), "{said}");
    }
}
