//! `riskflow rules load --sweep`: a set for each value of a threshold, all of one sweep.

use std::process::ExitCode;

use anyhow::Result;
use riskflow_config::{Rule, Settings, resolve};
use riskflow_model::output::SetState;
use riskflow_model::rule::RuleRecord;
use riskflow_model::ruleset::{RuleSet, check_name, parts, qualified};
use riskflow_model::topic::Topic;
use riskflow_model::{Check, Id, Row, Shared};
use riskflow_operators::warning;
use serde_json::json;

use super::super::sweep::{Swept, show, sweep};
use super::sets::{InForce, folded, of_sweep};
use super::{How, State, append, checked};
use crate::program::exit::Usage;
use crate::program::terminal::{say, tell};

/// A set of a sweep, and its own rules.
struct Member {
    set: RuleSet,
    rules: Vec<RuleRecord>,
}

/// Loads a set for each value; of several sweeps for each value of one with each of the others.
pub fn load(settings: &Settings, what: &[String], asked: &[String], how: How<'_>) -> Result<ExitCode> {
    let Some(name) = how.into else {
        return Err(Usage("a sweep has a name; give it with `--into`".to_owned()).into());
    };
    let mut check = Check::default();
    check_name(&mut check, "--into", name);
    check.problems().none_or(Some(()))?;
    let mut in_force = InForce::read(settings)?;
    in_force.has_base(how.base)?;
    let rules = rules_of(what, how, &in_force)?;
    let mut members = Vec::new();
    for swept in sweep(asked, &rules)? {
        let member = member(name, &swept, &rules, what.is_empty(), how);
        riskflow_model::problems(&member.set).none_or(Some(()))?;
        for rule in &member.rules {
            Rule::check(rule.clone())?;
        }
        members.push(member);
    }
    refuse_others(name, &members, &in_force)?;
    if !how.dry_run {
        // First that they are of a sweep, for else each would be a set of its own until then.
        let sets = members
            .iter()
            .map(|member| (Topic::IN_RULESET, Row::new(member.set.clone()), State::New));
        append(settings, &sets.collect::<Vec<_>>())?;
        let rules = members.iter().flat_map(|member| &member.rules);
        let rules = rules.map(|rule| (Topic::IN_RULE, Row::new(rule.clone()), State::New));
        append(settings, &rules.collect::<Vec<_>>())?;
    }
    for member in &members {
        for rule in &member.rules {
            in_force.rules.insert(rule.id.clone(), warning::rule(rule));
        }
        let id = member.set.id.text().clone();
        in_force.sets.insert(id, Shared::new(member.set.clone()));
    }
    in_force.resolved = resolve(&in_force.rules, &in_force.sets, in_force.retain);
    report(name, &in_force, how);
    Ok(ExitCode::SUCCESS)
}

/// The rules that a sweep begins from: those that are named, or the own ones of the base; by what they are called in their sets.
fn rules_of(what: &[String], how: How<'_>, in_force: &InForce) -> Result<Vec<RuleRecord>> {
    let bare = |rule: &RuleRecord| RuleRecord {
        id: parts(&rule.id).1.into(),
        ..rule.clone()
    };
    if !what.is_empty() {
        let rows = checked(what)?;
        let rules = rows.iter().filter_map(|(_, row)| row.downcast_ref::<RuleRecord>());
        return Ok(rules.map(bare).collect());
    }
    let Some(base) = how.base else {
        let says = "a sweep begins from rules; name files or packs, or with `--base` the set that has them";
        return Err(Usage(says.to_owned()).into());
    };
    let of_base = in_force.rules.iter().filter(|(id, _)| parts(id).0 == base);
    let rules: Vec<RuleRecord> = of_base.map(|(_, rule)| bare(&rule.record)).collect();
    if rules.is_empty() {
        let says = format!("the set `{base}` has no rules of its own; name files or packs, or another base");
        return Err(Usage(says).into());
    }
    Ok(rules)
}

/// The set for one value of each sweep. Rules that were named are all its own; of its base only the changed ones are.
fn member(name: &str, swept: &Swept, rules: &[RuleRecord], of_base: bool, how: How<'_>) -> Member {
    let values: Vec<String> = swept.values.iter().map(|(_, value)| show(*value)).collect();
    let id = format!("{name}-{}", values.join("_"));
    let is_changed = |rule: &&RuleRecord| swept.rules.iter().any(|changed| changed.id == rule.id);
    let others = rules.iter().filter(|rule| !of_base && !is_changed(rule));
    let rules = swept.rules.iter().chain(others).map(|rule| RuleRecord {
        id: qualified(&id, &rule.id),
        ..rule.clone()
    });
    Member {
        rules: rules.collect(),
        set: RuleSet {
            id: Id::from(id.as_str()),
            set: None,
            base: how.base.map(Id::from),
            removed: Vec::new(),
            adjust: how.adjust.to_vec(),
            sweep: Some(Id::from(name)),
            before: None,
        },
    }
}

/// A sweep takes the place of no set, and does not mix with what it was before.
fn refuse_others(name: &str, members: &[Member], in_force: &InForce) -> Result<()> {
    for state in &in_force.resolved.states {
        let is_member = members.iter().any(|member| member.set.id == state.set);
        let is_swept = state.sweep.as_ref().is_some_and(|sweep| **sweep == *name);
        let says = match (is_member, is_swept) {
            (false, true) => format!(
                "the sweep `{name}` has `{}`, too; drop that (`riskflow rules drop`), or give another name",
                state.set
            ),
            (true, false) => format!("there is a set `{}` of another kind; give another name", state.set),
            _ => continue,
        };
        return Err(Usage(says).into());
    }
    Ok(())
}

fn report(name: &str, in_force: &InForce, how: How<'_>) {
    let swept = of_sweep(&in_force.resolved.states, name);
    let states: Vec<&SetState> = swept.into_iter().map(|(_, state)| state).collect();
    if how.as_json {
        say(json!({ "dry_run": how.dry_run, "sweep": name, "sets": states }));
        return;
    }
    let says = if how.dry_run { "would be loaded" } else { "loaded" };
    let names: Vec<&str> = states.iter().map(|state| &*state.set).collect();
    say(format_args!(
        "{says}: {} sets of the sweep `{name}`: {}",
        names.len(),
        folded(&names)
    ));
    for state in states {
        for problem in &state.problems {
            tell(format_args!("`{}`: {problem}", state.set));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_a_set_that_is_named_after_the_sweep() {
        let packs = riskflow_config::packs::all().unwrap();
        let rules: Vec<RuleRecord> = packs.iter().map(|rule| rule.record.clone()).collect();
        let asked = ["rain.blue=42.5..45/2.5", "rain.red=100..100/1"].map(str::to_owned);
        let how = How {
            replace: false,
            dry_run: true,
            as_json: false,
            into: Some("wet"),
            base: Some("default"),
            adjust: &[],
        };
        let swept = sweep(&asked, &rules).unwrap();
        for (of_base, own) in [(true, 1), (false, rules.len())] {
            let made = swept.iter().map(|swept| member("wet", swept, &rules, of_base, how));
            let made: Vec<Member> = made.collect();
            let names: Vec<&str> = made.iter().map(|member| &*member.set.id).collect();
            assert_eq!(names, ["wet-42.5_100", "wet-45_100"]);
            for member in &made {
                assert!(riskflow_model::problems(&member.set).is_empty());
                assert_eq!(member.rules.len(), own);
                assert_eq!(*member.rules[0].id, *format!("{}/rain", member.set.id));
            }
        }
    }
}
