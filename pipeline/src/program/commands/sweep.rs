//! A sweep: the same rule with one threshold after another, all in one run.

use riskflow_config::Rule;
use riskflow_model::rule::{ComparisonRecord, ConditionRecord, RuleRecord};
use riskflow_model::{Level, Number, Problems};

/// So many sets at most.
pub const MOST: usize = 64;

/// New rules with other thresholds.
#[derive(Clone, Debug)]
pub struct Swept {
    /// Which threshold is how much: `rain.blue` and thousandths.
    pub values: Vec<(String, i64)>,
    /// The rules that have them.
    pub rules: Vec<RuleRecord>,
}

/// One threshold, and the values that it is to have, in thousandths.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    rule: String,
    level: Level,
    values: Vec<i64>,
}

/// Makes a set for each value; of several sweeps for each value of one with each of the others.
///
/// # Errors
///
/// All that is wrong with what is asked for.
pub fn sweep(asked: &[String], rules: &[RuleRecord]) -> Result<Vec<Swept>, Problems> {
    let mut problems = Problems::default();
    let mut all: Vec<Asked> = Vec::new();
    for text in asked {
        match parse(text, rules) {
            Ok(one)
                if all
                    .iter()
                    .any(|other| (&other.rule, other.level) == (&one.rule, one.level)) =>
            {
                problems.add(
                    "--sweep",
                    format!("`{text}`: a second one of that level"),
                    "each level once",
                );
            }
            Ok(one) => all.push(one),
            Err((found, give)) => problems.add("--sweep", format!("`{text}`: {found}"), give),
        }
    }
    let count = all
        .iter()
        .try_fold(1_usize, |count, one| count.checked_mul(one.values.len()));
    if count.is_none_or(|count| count > MOST) {
        let found = count.map_or_else(
            || "far too many sets".to_owned(),
            |count| format!("{count} sets in all"),
        );
        problems.add(
            "--sweep",
            found,
            format!("at most {MOST}: a larger step, or less from end to end"),
        );
    }
    if all.is_empty() || !problems.is_empty() {
        return problems.none_or(Some(Vec::new()));
    }
    let mut sets: Vec<Vec<(&Asked, i64)>> = vec![Vec::new()];
    for one in &all {
        let mut longer = Vec::new();
        for set in &sets {
            longer.extend(
                one.values
                    .iter()
                    .map(|value| [set.as_slice(), &[(one, *value)]].concat()),
            );
        }
        sets = longer;
    }
    let swept = sets.iter().map(|set| made(set, rules, &mut problems)).collect();
    problems.none_or(Some(swept))
}

/// A rule level by its name, and the values: what is found, and what to give instead.
fn parse(text: &str, rules: &[RuleRecord]) -> Result<Asked, (String, String)> {
    const FORM: &str = "`RULE.LEVEL=FROM..TO/STEP`, such as `rain.blue=40..60/2`";
    let form = |found: &str| (found.to_owned(), FORM.to_owned());
    let (what, range) = text.split_once('=').ok_or_else(|| form("no `=`"))?;
    let (rule, level) = what.rsplit_once('.').ok_or_else(|| form("no level"))?;
    let can = || {
        let names = rules.iter().flat_map(|rule| {
            let levels = rule
                .levels
                .iter()
                .filter(|(_, level)| comparison(&level.when).is_some());
            levels.map(|(level, _)| format!("`{}.{level}`", rule.id))
        });
        format!("one of {}", names.collect::<Vec<_>>().join(", "))
    };
    let record = rules.iter().find(|record| *record.id == *rule);
    let record = record.ok_or_else(|| (format!("the new rules have no `{rule}`"), can()))?;
    let levels = Level::from_name(level).and_then(|level| Some((level, record.levels.get(&level)?)));
    let (level, written) = levels.ok_or_else(|| (format!("`{rule}` has no level `{level}`"), can()))?;
    if comparison(&written.when).is_none() {
        return Err((
            format!("`{level}` of `{rule}` is not one comparison with a threshold"),
            can(),
        ));
    }
    let (from, rest) = range.split_once("..").ok_or_else(|| form("no `..`"))?;
    let (to, step) = rest.split_once('/').ok_or_else(|| form("no step"))?;
    let number = |text: &str| {
        let number = text.trim().parse().ok().and_then(|number| Number(number).thousandths());
        number.ok_or_else(|| {
            let give = "a number with at most three decimals, from -1e12 to 1e12";
            (format!("`{text}`"), give.to_owned())
        })
    };
    let (from, to, step) = (number(from)?, number(to)?, number(step)?);
    if step <= 0 || from > to {
        return Err(form("it goes nowhere"));
    }
    // One more than may be is enough to be refused.
    let values = (0..=MOST as i64).map(|number| from + number * step);
    Ok(Asked {
        rule: rule.to_owned(),
        level,
        values: values.take_while(|value| *value <= to).collect(),
    })
}

/// The one comparison of a level.
fn comparison(condition: &ConditionRecord) -> Option<&ComparisonRecord> {
    match condition {
        ConditionRecord::Comparison(comparison) => comparison.threshold.and(Some(comparison)),
        ConditionRecord::Any { .. } | ConditionRecord::All { .. } | ConditionRecord::During { .. } => None,
    }
}

fn made(set: &[(&Asked, i64)], rules: &[RuleRecord], problems: &mut Problems) -> Swept {
    let mut changed: Vec<RuleRecord> = Vec::new();
    for (asked, value) in set {
        let is_it = |record: &&RuleRecord| *record.id == *asked.rule;
        if !changed.iter().any(|record| is_it(&record)) {
            changed.extend(rules.iter().find(is_it).cloned());
        }
        let record = changed.iter_mut().find(|record| *record.id == *asked.rule);
        let level = record.and_then(|record| record.levels.get_mut(&asked.level));
        if let Some(ConditionRecord::Comparison(comparison)) = level.map(|level| &mut level.when) {
            comparison.threshold = Some(Number(*value as f64 / 1000.0));
        }
    }
    let values = set
        .iter()
        .map(|(asked, value)| (format!("{}.{}", asked.rule, asked.level), *value));
    let values: Vec<(String, i64)> = values.collect();
    let shown: Vec<String> = values
        .iter()
        .map(|(what, value)| format!("{what}={}", show(*value)))
        .collect();
    for record in &changed {
        if let Err(wrong) = Rule::check(record.clone()) {
            problems.add_all(&format!("--sweep {}", shown.join(" ")), wrong);
        }
    }
    Swept { values, rules: changed }
}

/// Thousandths, for people.
pub fn show(thousandths: i64) -> String {
    Number(thousandths as f64 / 1000.0).to_string()
}

#[cfg(test)]
mod tests {
    use riskflow_config::packs;

    use super::*;

    fn rules() -> Vec<RuleRecord> {
        packs::all().unwrap().iter().map(|rule| rule.record.clone()).collect()
    }

    fn swept(asked: &[&str]) -> Result<Vec<Swept>, String> {
        let asked: Vec<String> = asked.iter().map(|text| (*text).to_owned()).collect();
        sweep(&asked, &rules()).map_err(|problems| problems.to_string())
    }

    #[test]
    fn each_value_is_a_set_and_sweeps_are_multiplied() {
        let sets = swept(&["rain.blue=40..60/5"]).unwrap();
        let values: Vec<i64> = sets.iter().map(|set| set.values[0].1).collect();
        assert_eq!(values, [40_000, 45_000, 50_000, 55_000, 60_000]);
        let blue = |set: &Swept| {
            comparison(&set.rules[0].levels[&Level::Blue].when)
                .unwrap()
                .threshold
                .unwrap()
                .0
        };
        assert_eq!((blue(&sets[0]), blue(&sets[4])), (40.0, 60.0));
        let sets = swept(&["rain.blue=40..50/5", "rain.red=100..110/10"]).unwrap();
        assert_eq!(sets.len(), 6);
        assert!(sets.iter().all(|set| set.rules.len() == 1 && set.values.len() == 2));
        assert!(swept(&[]).unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_swept_is_told_with_what_can() {
        for (asked, says) in [
            ("rain.blue", "no `=`"),
            ("rain=1..2/1", "no level"),
            ("rein.blue=1..2/1", "have no `rein`; give one of"),
            ("rain.green=1..2/1", "no level `green`"),
            ("rain.blue=1..2", "no step"),
            ("rain.blue=1-2/1", "no `..`"),
            ("rain.blue=2..1/1", "goes nowhere"),
            ("rain.blue=1..2/0", "goes nowhere"),
            ("rain.blue=1..2/0.0001", "three decimals"),
            ("rain.blue=1..100/1", "65 sets in all"),
        ] {
            let error = swept(&[asked]).unwrap_err();
            assert!(error.contains(says), "{asked}: {error}");
        }
        let error = swept(&["rain.blue=1..9/1", "rain.red=91..99/1"]).unwrap_err();
        assert!(error.contains("81 sets"), "{error}");
        let error = swept(&["rain.blue=1..2/1", "rain.blue=1..2/1"]).unwrap_err();
        assert!(error.contains("each level once"), "{error}");
        // Red over three hours would be on more easily than orange.
        let error = swept(&["rain.red=40..60/10"]).unwrap_err();
        assert!(error.contains("rain.red=40"), "{error}");
    }
}
