//! `riskflow rules diff`: how a set differs from the live one, in its rules and in what it warns of now.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use riskflow_config::{Rule, Settings};
use riskflow_model::Text;
use riskflow_model::output::{Open, SetDifference, SetState};
use riskflow_model::topic::Topic;
use serde_json::json;

use super::sets::{InForce, rows_of};
use crate::program::terminal::{say, table};

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

/// Says how a set differs from the live one: in its rules, and in what it warns of now as the job published it.
pub fn diff(settings: &Settings, name: &str, as_json: bool) -> Result<ExitCode> {
    let in_force = InForce::read(settings)?;
    let set = in_force.set(name)?;
    let live = in_force.live().context("no set is live: there are no rules")?;
    let rules = RuleDifference::of(&in_force.rules(live), &in_force.rules(set));
    if published_state(settings, name)?.as_ref() != Some(set) {
        return Err(anyhow!(
            "no job has told of `{name}` as it is now: what it warns of is known once a running job has taken its rules"
        ));
    }
    let warnings = published(settings, name)?;
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

/// The row of a set in `out.ruleset`.
fn published_state(settings: &Settings, set: &str) -> Result<Option<SetState>> {
    let rows = rows_of::<SetState>(settings, Topic::RULESET)?;
    Ok(rows.into_iter().find(|row| *row.set == *set))
}

/// The rows of `out.ruleset.difference` of a set.
fn published(settings: &Settings, set: &str) -> Result<Vec<SetDifference>> {
    let mut rows = rows_of::<SetDifference>(settings, Topic::RULESET_DIFFERENCE)?;
    rows.retain(|row| *row.set == *set);
    Ok(rows)
}
