//! Rules of a back-test that watch nothing: they cannot warn, and a report without warnings would not show why.

use std::collections::BTreeSet;

use riskflow_config::{Rule, meet};
use riskflow_model::Text;
use riskflow_model::rule::RuleRecord;

use super::report::Note;
use super::series::plan;
use super::sets::Sets;
use super::world::World;

/// So many are named.
const NAMED: usize = 10;

/// Names the rules of both sets that watch no datastream of the history, as it is at its end.
pub fn note(sets: &Sets, world: &World) -> Option<Note> {
    let all = sets.new.iter().chain(sets.old.iter().flatten());
    let all: Vec<&RuleRecord> = all.collect();
    let names: BTreeSet<&Text> = idle(&all, world);
    if names.is_empty() {
        return None;
    }
    let mut shown: Vec<&str> = names.iter().take(NAMED).map(|name| &***name).collect();
    if names.len() > NAMED {
        shown.push("…");
    }
    Some(Note {
        zh: format!("下列规则在历史中没有匹配任何数据流,不会预警:{}。", shown.join("、")),
        en: format!(
            "these rules watch no datastream of the history, so they cannot warn: {}; `riskflow check --rules FILE --base FOLDER` says what \
             each watches",
            shown.join(", ")
        ),
    })
}

fn idle<'a>(rules: &[&'a RuleRecord], world: &World) -> BTreeSet<&'a Text> {
    let plans: Vec<Rule> = rules.iter().map(|rule| plan(rule)).collect();
    let mut watching = BTreeSet::new();
    for datastream in world.datastreams.values() {
        let asset = world.assets.get(datastream.asset.text());
        let located = asset.map(|asset| world.located(asset.region)).unwrap_or_default();
        let on = asset.map(|asset| (asset, &located));
        let met = meet(plans.iter(), datastream, on, &world.regional);
        watching.extend(met.rules.iter().map(|watching| watching.rule));
    }
    let idle = rules.iter().enumerate().filter(|(index, _)| !watching.contains(index));
    idle.map(|(_, rule)| &rule.id).collect()
}
