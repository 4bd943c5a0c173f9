//! The rule packs that come with riskflow: thresholds of national and provincial practice, each with its source.

use crate::{Problems, Rule};

/// A pack: its name, and its rules as a JSON array.
const PACKS: [(&str, &str); 0] = [];

/// All rules of all packs, by identifier.
///
/// # Errors
///
/// Everything wrong with them; the project's tests see to it that nothing is.
pub fn all() -> Result<Vec<Rule>, Problems> {
    let mut problems = Problems::default();
    let mut rules = Vec::new();
    for (pack, json) in PACKS {
        match serde_json::from_str::<Vec<crate::RuleRecord>>(json) {
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
