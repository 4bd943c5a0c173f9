//! `riskflow rules diff`: how a set differs from the live one, in its rules and in what it warns of now; of a sweep, in how many warnings
//! each of its sets does.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use riskflow_config::{Rule, Settings};
use riskflow_model::Text;
use riskflow_model::output::{DifferenceKind, Open, SetDifference, SetState};
use riskflow_model::topic::Topic;
use serde_json::{Map, Value, json};

use super::sets::{InForce, neither, of_sweep, rows_of, standing};
use crate::program::terminal::{say, table};

const NONE_LIVE: &str = "no set is live: there are no rules";

/// How the rules of a set differ from those of another one.
#[derive(Default)]
struct RuleDifference {
    only_live: Vec<Text>,
    only_set: Vec<Text>,
    other: Vec<Text>,
}

impl RuleDifference {
    fn of(live: &BTreeMap<&Text, &Rule>, set: &BTreeMap<&Text, &Rule>) -> Self {
        let mut found = Self::default();
        let ids: BTreeSet<&Text> = live.keys().chain(set.keys()).copied().collect();
        for id in ids {
            match (live.get(id), set.get(id)) {
                (Some(one), Some(other)) if one == other => {}
                (Some(_), Some(_)) => found.other.push(id.clone()),
                (Some(_), None) => found.only_live.push(id.clone()),
                (None, _) => found.only_set.push(id.clone()),
            }
        }
        found
    }
}

/// Says how a set differs from the live one; where no set has the name, how each set of the sweep that has it does.
pub fn diff(settings: &Settings, name: &str, as_json: bool) -> Result<ExitCode> {
    let in_force = InForce::read(settings)?;
    let states = &in_force.resolved.states;
    if states.iter().any(|state| *state.set == *name) {
        return of_set(settings, &in_force, name, as_json);
    }
    if states.iter().any(|state| state.sweep.as_deref() == Some(name)) {
        return of_values(settings, &in_force, name, as_json);
    }
    Err(neither(states, name).into())
}

/// Says how a set differs from the live one: in its rules, and in what it warns of now as the job published it.
fn of_set(settings: &Settings, in_force: &InForce, name: &str, as_json: bool) -> Result<ExitCode> {
    let set = in_force.set(name)?;
    let live = in_force.live().context(NONE_LIVE)?;
    let rules = RuleDifference::of(&in_force.rules(live), &in_force.rules(set));
    told_of(settings, &[set, live])?;
    let mut warnings = rows_of::<SetDifference>(settings, Topic::RULESET_DIFFERENCE)?;
    warnings.retain(|row| row.set == set.set);
    if as_json {
        say(json!({
            "set": set.set, "live": live.set,
            "rules": { "only_live": rules.only_live, "only_set": rules.only_set, "other": rules.other },
            "warnings": warnings,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    for (what, ids) in [
        ("only live", &rules.only_live),
        ("only in the set", &rules.only_set),
        ("otherwise in the set", &rules.other),
    ] {
        if !ids.is_empty() {
            say(format_args!("rules {what}: {}", ids.join(", ")));
        }
    }
    if warnings.is_empty() {
        say(format_args!("`{name}` warns now as `{}` does", live.set));
        return Ok(ExitCode::SUCCESS);
    }
    let open = |open: Option<Open>| {
        open.map_or_else(
            || "-".to_owned(),
            |open| format!("{} since {}", open.level.name(), open.since),
        )
    };
    let rows = warnings.iter().map(|row| {
        vec![
            row.rule.to_string(),
            row.asset.to_string(),
            row.region.to_string(),
            row.kind.name().to_owned(),
            open(row.live),
            open(row.candidate),
        ]
    });
    say(table(&["rule", "asset", "region", "", "live", "set"], rows));
    Ok(ExitCode::SUCCESS)
}

/// Says of each set of a sweep, in the order of its values, in how many rules and assets it warns otherwise than the live one now, as the
/// job published it. Nothing is known of a set that is not evaluated.
fn of_values(settings: &Settings, in_force: &InForce, sweep: &str, as_json: bool) -> Result<ExitCode> {
    let swept = of_sweep(&in_force.resolved.states, sweep);
    let live = in_force.live().context(NONE_LIVE)?;
    let asked: Vec<&SetState> = swept.iter().map(|(_, state)| *state).chain([live]).collect();
    told_of(settings, &asked)?;
    let rows = rows_of::<SetDifference>(settings, Topic::RULESET_DIFFERENCE)?;
    let counts = Counts::of(&rows);
    if as_json {
        let sets = swept.iter().map(|(value, state)| {
            json!({
                "set": state.set, "value": value, "live": state.live, "in_force": state.in_force,
                "warnings": counts.of_set(state).map(as_object),
            })
        });
        say(json!({ "sweep": sweep, "live": live.set, "sets": sets.collect::<Vec<_>>() }));
        return Ok(ExitCode::SUCCESS);
    }
    say(format_args!(
        "in how many rules and assets each set of `{sweep}` warns now otherwise than `{}`, which is live:",
        live.set
    ));
    let lines = swept.iter().map(|(_, state)| {
        let counts = counts.of_set(state);
        let shown = |position: usize| counts.map_or_else(|| "-".to_owned(), |counts| counts[position].to_string());
        let mut line = vec![state.set.to_string(), standing(state).to_owned()];
        line.extend((0..KINDS.len()).map(shown));
        line
    });
    let mut header = vec!["set", ""];
    header.extend(KINDS.map(DifferenceKind::name));
    say(table(&header, lines));
    Ok(ExitCode::SUCCESS)
}

/// What is counted, in this order.
const KINDS: [DifferenceKind; 4] = DifferenceKind::ALL;

/// How many rows of `out.ruleset.difference` each set has of each kind.
struct Counts<'a>(BTreeMap<&'a str, [usize; KINDS.len()]>);

impl<'a> Counts<'a> {
    fn of(rows: &'a [SetDifference]) -> Self {
        let mut found: BTreeMap<&str, [usize; KINDS.len()]> = BTreeMap::new();
        for row in rows {
            let counts = found.entry(&row.set).or_default();
            for (count, kind) in counts.iter_mut().zip(KINDS) {
                *count += usize::from(row.kind == kind);
            }
        }
        Self(found)
    }

    /// None where a set is not evaluated. The live one differs in nothing from itself.
    fn of_set(&self, state: &SetState) -> Option<[usize; KINDS.len()]> {
        let counts = self.0.get(&*state.set).copied();
        // No row: no difference.
        state.in_force.then(|| counts.unwrap_or_default())
    }
}

/// Counts by the names of their kinds.
fn as_object(counts: [usize; KINDS.len()]) -> Map<String, Value> {
    let named = KINDS.iter().zip(counts);
    named
        .map(|(kind, count)| (kind.name().to_owned(), Value::from(count)))
        .collect()
}

/// Fails where the job that published last had one of these sets otherwise: what it told is then not of what is asked for.
fn told_of(settings: &Settings, sets: &[&SetState]) -> Result<()> {
    let published = rows_of::<SetState>(settings, Topic::RULESET)?;
    let mut untold = sets.iter().filter(|set| !published.contains(set));
    let Some(first) = untold.next() else { return Ok(()) };
    let others = untold.filter(|set| set.set != first.set).count();
    let (others, as_it_is) = match others {
        0 => (String::new(), "as it is"),
        count => (format!(" and {count} more"), "as they are"),
    };
    Err(anyhow!(
        "no job has told of `{}`{others} {as_it_is} now: what is warned of is known once a running job has taken the rules",
        first.set
    ))
}
