//! The packs that come with riskflow: rules with thresholds of national and provincial practice, and sample limits of work
//! under permit, each with its source.

use riskflow_model::Problems;
use riskflow_model::intake::Limit;

use crate::Rule;

/// A pack: its name, and its rules as a JSON array.
const PACKS: [(&str, &str); 7] = [
    ("rain", include_str!("../rules/rain.json")),
    ("water", include_str!("../rules/water.json")),
    ("wind", include_str!("../rules/wind.json")),
    ("heat", include_str!("../rules/heat.json")),
    ("gas", include_str!("../rules/gas.json")),
    // In place of those of the same name without forecast, for datastreams with the tag `forecast`.
    ("forecast", include_str!("../rules/forecast.json")),
    ("industry", include_str!("../rules/industry.json")),
];

/// Limits of work under permit, as a JSON array.
const LIMITS: &str = include_str!("../rules/permit.json");

/// The packs by name, and what each has, as a JSON array: rules, or (`permit`) limits.
pub fn each() -> impl Iterator<Item = (&'static str, &'static str)> {
    PACKS.into_iter().chain([("permit", LIMITS)])
}

/// The sample limits, by identifier.
///
/// # Errors
///
/// When they cannot be read; the project's tests see to it that they can.
pub fn limits() -> Result<Vec<Limit>, Problems> {
    let mut problems = Problems::default();
    let mut limits: Vec<Limit> = serde_json::from_str(LIMITS).unwrap_or_else(|error| {
        problems.add("permit", error, "a JSON array of limits");
        Vec::new()
    });
    limits.sort();
    problems.none_or(Some(limits))
}

/// All rules of all packs, by identifier.
///
/// # Errors
///
/// Everything wrong with them; the project's tests see to it that nothing is.
pub fn all() -> Result<Vec<Rule>, Problems> {
    let mut problems = Problems::default();
    let mut rules = Vec::new();
    for (pack, json) in PACKS {
        match serde_json::from_str::<Vec<riskflow_model::rule::RuleRecord>>(json) {
            Ok(records) => {
                for record in records {
                    let path = format!("{pack}.{}", record.id);
                    match Rule::check(record) {
                        Ok(rule) => rules.push(rule),
                        Err(part) => problems.add_all(&path, part),
                    }
                }
            }
            Err(error) => problems.add(pack, error, "a JSON array of rules"),
        }
    }
    rules.sort();
    problems.none_or(Some(rules))
}

#[cfg(test)]
mod tests {
    use riskflow_model::rule::{ConditionRecord, RuleRecord};

    #[test]
    fn rules_of_forecasts_ask_for_what_has_come_beside_what_will() {
        let packs = super::all().unwrap();
        let (_, json) = super::each().find(|(pack, _)| *pack == "forecast").unwrap();
        let records: Vec<RuleRecord> = serde_json::from_str(json).unwrap();
        for record in records {
            let id = record.id.clone();
            let rule = packs.iter().find(|rule| rule.record.id == id).unwrap();
            let named = id.strip_suffix("_forecast").unwrap();
            let seen = packs.iter().find(|rule| &*rule.record.id == named).unwrap();
            for (level, written) in &rule.record.levels {
                let ConditionRecord::Any { any } = &written.when else {
                    panic!("{id}.{level}");
                };
                let seen = &seen.record.levels[level].when;
                let ahead = rule
                    .features
                    .iter()
                    .filter(|feature| feature.kind.is_forecast())
                    .count();
                assert!(any.len() == 2 && any[0] == *seen && ahead > 0, "{id}.{level}");
            }
        }
    }

    #[test]
    fn every_pack_is_clean_and_every_rule_names_its_source() {
        let rules = super::all().unwrap();
        assert!(
            rules.is_sorted_by(|a, b| a.record.id < b.record.id),
            "identifiers are unique"
        );
        assert!(
            rules
                .iter()
                .all(|rule| !rule.record.source.is_empty() && !rule.record.name.is_empty())
        );
        for id in [
            "rain",
            "river_stage",
            "combustible_gas",
            "waterlogging",
            "tide",
            "wind_mean",
            "wind_gust",
        ] {
            assert!(rules.iter().any(|rule| &*rule.record.id == id), "{id}");
        }
    }

    #[test]
    fn every_limit_can_be_used_and_names_its_source() {
        let limits = super::limits().unwrap();
        let rules = super::all().unwrap();
        for limit in &limits {
            let counts: Vec<u32> = limit.levels.values().copied().collect();
            assert!(
                !counts.is_empty() && counts[0] > 0 && counts.is_sorted(),
                "{}",
                limit.id
            );
            assert!(
                rules.iter().all(|rule| *rule.record.id != *limit.id),
                "{}: no rule has the same identifier",
                limit.id
            );
        }
        let written: Vec<serde_json::Value> = serde_json::from_str(super::LIMITS).unwrap();
        assert_eq!(written.len(), limits.len());
        assert!(
            written
                .iter()
                .all(|limit| limit["source"].is_string() && limit["name"].is_string())
        );
    }
}
