//! `riskflow rules drop`: a set, or all sets of a sweep, go.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use riskflow::runtime::clock::wall_clock;
use riskflow_config::Settings;
use riskflow_connectors::{InRecord, open_append};
use riskflow_model::Millis;
use riskflow_model::output::SetState;
use riskflow_model::ruleset::{DEFAULT, parts};
use riskflow_model::topic::Topic;
use serde_json::json;

use super::sets::{InForce, folded, neither, of_sweep};
use crate::program::exit::Usage;
use crate::program::terminal::say;

/// Appends tombstones under the rules of a set and under its row; where no set has the name, of all sets of the sweep that has it.
pub fn drop_set(settings: &Settings, name: &str, dry_run: bool, as_json: bool) -> Result<ExitCode> {
    let in_force = InForce::read(settings)?;
    let states = &in_force.resolved.states;
    let mut gone: Vec<&SetState> = states.iter().filter(|state| *state.set == *name).collect();
    if gone.is_empty() {
        gone = of_sweep(states, name).into_iter().map(|(_, state)| state).collect();
    }
    if gone.is_empty() {
        return Err(neither(states, name).into());
    }
    if let Some(kept) = gone.iter().find(|state| state.live || *state.set == *DEFAULT) {
        let says = format!(
            "`{}` is live, or what is live without it; promote another one, or drop others",
            kept.set
        );
        return Err(Usage(says).into());
    }
    let names: Vec<&str> = gone.iter().map(|state| &*state.set).collect();
    let is_base = |state: &&SetState| state.base.as_ref().is_some_and(|base| names.contains(&&**base));
    if let Some(user) = states
        .iter()
        .filter(is_base)
        .find(|state| !names.contains(&&*state.set))
    {
        let says = format!("`{name}` is the base of `{}`; drop that one first", user.set);
        return Err(Usage(says).into());
    }
    let rules = in_force.rules.keys().filter(|id| names.contains(&parts(id).0));
    let rules: Vec<String> = rules.map(ToString::to_string).collect();
    let rows = in_force.sets.keys().filter(|id| names.contains(&&***id));
    let rows: Vec<String> = rows.map(ToString::to_string).collect();
    if !dry_run {
        // A set of a sweep whose row went first would be one of its own until its rules go.
        tombstones(settings, Topic::IN_RULE, &rules)?;
        tombstones(settings, Topic::IN_RULESET, &rows)?;
    }
    if as_json {
        say(json!({ "dry_run": dry_run, "sets": names, "rules": rules }));
        return Ok(ExitCode::SUCCESS);
    }
    let says = if dry_run { "would be dropped" } else { "dropped" };
    let count = match (rules.len(), names.len()) {
        (0, 1) => "which has no rule of its own".to_owned(),
        (0, _) => "which have no rules of their own".to_owned(),
        (1, 1) => "with 1 rule of its own".to_owned(),
        (1, _) => "with 1 rule of their own".to_owned(),
        (rules, 1) => format!("with {rules} rules of its own"),
        (rules, _) => format!("with {rules} rules of their own"),
    };
    let sets = match names.len() {
        1 => String::new(),
        sets => format!("; {sets} sets in all"),
    };
    say(format_args!("{says}: {}, {count}{sets}", folded(&names)));
    Ok(ExitCode::SUCCESS)
}

fn tombstones(settings: &Settings, topic: Topic, keys: &[String]) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let now = Millis(wall_clock());
    let records = keys.iter().map(|key| InRecord {
        arrival: now,
        key: key.clone(),
        payload: None,
    });
    let records: Vec<InRecord> = records.collect();
    let way_in = open_append(&settings.input, &settings.topics, topic);
    let mut way_in = way_in.with_context(|| format!("could not open `{topic}`"))?;
    for answer in way_in.append(&records) {
        answer.with_context(|| format!("not all tombstones in `{topic}` are known to be durable; drop it again"))?;
    }
    Ok(())
}
