//! From rules as written to rules as checked, with everything that is wrong.

use std::sync::Arc;

use riskflow_model::{Key, Level, Number, duration};

use super::{
    Checked, Comparison, Condition, FEATURES, Feature, FeatureKind, LevelPlan, OPERATORS, Operator, Rule,
    to_thousandths,
};
use crate::Problems;
use crate::rule::{ComparisonRecord, ConditionRecord, RuleRecord};

/// The longest window, hold or clear: 31 days.
const LONGEST: i64 = 31 * 86_400_000;
/// The most bytes of a rule as JSON.
const MOST_BYTES: usize = 64 << 10;
/// The most comparisons of a level: each is evaluated for every observation of every datastream.
const MOST_COMPARISONS: usize = 32;
/// The most `any` and `all` within one another.
const DEEPEST: usize = 4;
/// The most brackets within one another in JSON: more than any rule needs, and few enough to read safely what is none.
const MOST_BRACKETS: usize = 32;
/// The most panes of a window.
const MOST_PANES: i64 = 50_000;

impl Rule {
    /// Checks a rule.
    ///
    /// # Errors
    ///
    /// Everything wrong with it, at once.
    pub fn check(record: RuleRecord) -> Result<Self, Problems> {
        let mut check = Check::default();
        check.identity(&record);
        let pane = check.duration("pane", &record.pane, 1, 86_400_000);
        check.pane = pane.unwrap_or(1);
        let mut levels = Vec::new();
        for (level, written) in &record.levels {
            let path = format!("levels.{level}");
            if *level == Level::None {
                check
                    .problems
                    .add(&path, "`none`", "one of `blue`, `yellow`, `orange`, `red`");
            }
            let margin = check
                .thousandths(&format!("{path}.margin"), written.margin)
                .unwrap_or(0);
            if margin < 0 {
                check
                    .problems
                    .add(format!("{path}.margin"), written.margin, "0 or more");
            }
            let hold = check
                .duration(&format!("{path}.hold"), &written.hold, 0, LONGEST)
                .unwrap_or(0);
            let clear = check
                .duration(&format!("{path}.clear"), &written.clear, 0, LONGEST)
                .unwrap_or(0);
            let condition = check.whole_condition(&format!("{path}.when"), &written.when, *level, margin);
            levels.push(LevelPlan {
                level: *level,
                condition,
                hold,
                clear,
            });
        }
        if levels.is_empty() {
            check.problems.add("levels", "empty", "at least one level");
        }
        let json = serde_json::to_vec(&record).unwrap_or_default();
        let reach = check.features.iter().map(|f| f.window).max().unwrap_or(0) + check.pane;
        let thresholds = check
            .comparisons
            .iter()
            .map(|comparison| comparison.bound(None))
            .collect();
        let rule = Self(Arc::new(Checked {
            thresholds,
            fingerprint: Key::of_bytes(&json),
            record,
            pane: check.pane,
            features: check.features,
            comparisons: check.comparisons,
            levels,
            reach,
        }));
        check.problems.none_or(Some(rule))
    }

    /// Parses and checks a rule as JSON.
    ///
    /// # Errors
    ///
    /// Everything wrong with it; where it is too large to be read, is no JSON or has unknown fields, only that.
    pub fn from_json(json: &[u8]) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        if json.len() > MOST_BYTES {
            let found = format!("{} bytes long", json.len());
            problems.add("rule", found, format!("at most {MOST_BYTES} bytes"));
            return problems.none_or(None);
        }
        let brackets = brackets(json);
        if brackets > MOST_BRACKETS {
            let found = format!("{brackets} brackets within one another");
            let give = format!("at most {DEEPEST} `any` or `all` within one another");
            problems.add("rule", found, give);
            return problems.none_or(None);
        }
        let record: RuleRecord = serde_json::from_slice(json).map_err(|error| {
            let mut problems = Problems::default();
            problems.add("rule", error, "a rule as `riskflow schema in.rule` describes it");
            problems
        })?;
        Self::check(record)
    }
}

/// How many brackets of JSON are open at most. Where it is no JSON the number means nothing, and is not too small.
fn brackets(json: &[u8]) -> usize {
    let (mut open, mut most) = (0usize, 0);
    let mut bytes = json.iter();
    let mut quoted = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => drop(bytes.next()),
            b'[' | b'{' if !quoted => {
                open += 1;
                most = most.max(open);
            }
            b']' | b'}' if !quoted => open = open.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// How many comparisons a condition has, and how many `any` and `all` are within one another.
fn measure(condition: &ConditionRecord) -> (usize, usize) {
    let parts = match condition {
        ConditionRecord::Any { any: parts } | ConditionRecord::All { all: parts } => parts,
        ConditionRecord::Comparison(_) => return (1, 0),
    };
    let (count, depth) = parts
        .iter()
        .map(measure)
        .fold((0, 0), |(count, deepest), (more, depth)| {
            (count + more, depth.max(deepest))
        });
    (count, depth + 1)
}

#[derive(Default)]
struct Check {
    problems: Problems,
    pane: i64,
    features: Vec<Feature>,
    comparisons: Vec<Comparison>,
}

impl Check {
    fn identity(&mut self, record: &RuleRecord) {
        if record.id.is_empty() || record.id.len() > 200 {
            self.problems
                .add("id", format!("{} bytes long", record.id.len()), "1 to 200 bytes");
        }
        if record.version == 0 {
            self.problems.add("version", 0, "1 or more");
        }
    }

    fn duration(&mut self, field: &str, text: &str, min: i64, max: i64) -> Option<i64> {
        match duration::parse(text) {
            Ok(millis) if millis < min || millis > max => {
                let give = format!("a duration from {} to {}", duration::show(min), duration::show(max));
                self.problems.add(field, format!("`{text}`"), give);
                None
            }
            Ok(millis) => Some(millis),
            Err(_) => {
                self.problems
                    .add(field, format!("`{text}`"), "a duration like `10s`, `5m` or `1h30m`");
                None
            }
        }
    }

    fn thousandths(&mut self, field: &str, number: Number) -> Option<i64> {
        let exact = to_thousandths(number.0);
        if exact.is_none() {
            self.problems
                .add(field, number, "a number with at most three decimals, below 1e12");
        }
        exact
    }

    /// One that is too large is not looked at any further: it would give as many problems.
    fn whole_condition(&mut self, path: &str, written: &ConditionRecord, level: Level, margin: i64) -> Condition {
        let (comparisons, depth) = measure(written);
        if comparisons > MOST_COMPARISONS {
            let give = format!("at most {MOST_COMPARISONS} in a level");
            self.problems.add(path, format!("{comparisons} comparisons"), give);
        }
        if depth > DEEPEST {
            let found = format!("{depth} `any` or `all` within one another");
            self.problems.add(path, found, format!("at most {DEEPEST}"));
        }
        if comparisons > MOST_COMPARISONS || depth > DEEPEST {
            return Condition::All(Vec::new());
        }
        self.condition(path, written, level, margin)
    }

    fn condition(&mut self, path: &str, written: &ConditionRecord, level: Level, margin: i64) -> Condition {
        match written {
            ConditionRecord::Any { any } => Condition::Any(self.conditions(&format!("{path}.any"), any, level, margin)),
            ConditionRecord::All { all } => Condition::All(self.conditions(&format!("{path}.all"), all, level, margin)),
            ConditionRecord::Comparison(comparison) => self.comparison(path, comparison, level, margin),
        }
    }

    fn conditions(&mut self, path: &str, parts: &[ConditionRecord], level: Level, margin: i64) -> Vec<Condition> {
        if parts.is_empty() {
            self.problems.add(path, "empty", "at least one condition");
        }
        let parts = parts.iter().enumerate();
        parts
            .map(|(i, part)| self.condition(&format!("{path}[{i}]"), part, level, margin))
            .collect()
    }

    fn comparison(&mut self, path: &str, written: &ComparisonRecord, level: Level, margin: i64) -> Condition {
        let kind = FEATURES
            .iter()
            .find(|(name, _)| *name == &*written.feature)
            .map(|(_, kind)| *kind);
        if kind.is_none() {
            let names = FEATURES.map(|(name, _)| name).join("`, `");
            self.problems.add(
                format!("{path}.feature"),
                format!("`{}`", written.feature),
                format!("one of `{names}`"),
            );
        }
        let operator = OPERATORS
            .iter()
            .find(|(sign, _)| *sign == &*written.op)
            .map(|(_, op)| *op);
        if operator.is_none() {
            self.problems.add(
                format!("{path}.op"),
                format!("`{}`", written.op),
                "one of `>=`, `>`, `<=`, `<`",
            );
        }
        let kind = kind.unwrap_or(FeatureKind::Last);
        let window = self.window(path, written, kind);
        let threshold = written
            .threshold
            .and_then(|t| self.thousandths(&format!("{path}.threshold"), t));
        let feature = Feature { kind, window };
        let position = self
            .features
            .iter()
            .position(|known| *known == feature)
            .unwrap_or_else(|| {
                self.features.push(feature);
                self.features.len() - 1
            });
        self.comparisons.push(Comparison {
            level,
            feature: position,
            operator: operator.unwrap_or(Operator::AtLeast),
            name: written.name.clone(),
            threshold,
            margin,
        });
        Condition::Comparison(self.comparisons.len() - 1)
    }

    fn window(&mut self, path: &str, written: &ComparisonRecord, kind: FeatureKind) -> i64 {
        let field = format!("{path}.window");
        match (&written.window, kind) {
            (None, FeatureKind::Silence) => 0,
            (Some(window), FeatureKind::Silence) => {
                self.problems
                    .add(field, format!("`{window}`"), "no window: silence has none");
                0
            }
            (None, _) => {
                self.problems.add(field, "missing", "a duration like `5m`");
                0
            }
            (Some(text), _) => {
                let window = self.duration(&field, text, 1, LONGEST).unwrap_or(self.pane);
                if window % self.pane != 0 {
                    let give = format!("a multiple of the pane, {}", duration::show(self.pane));
                    self.problems.add(field, format!("`{text}`"), give);
                } else if window / self.pane > MOST_PANES {
                    let found = format!(
                        "`{text}`: {} panes of {}",
                        window / self.pane,
                        duration::show(self.pane)
                    );
                    let give = format!("at most {MOST_PANES} panes: a shorter window or a coarser `pane`");
                    self.problems.add(field, found, give);
                }
                window
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(json: &str) -> Vec<(String, String)> {
        let problems = Rule::from_json(json.as_bytes()).unwrap_err();
        let shown = problems
            .iter()
            .map(|problem| (problem.field.clone(), problem.to_string()));
        shown.collect()
    }

    fn with(when: &str) -> String {
        format!(r#"{{"id":"r","version":1,"select":{{}},"levels":{{"blue":{{"when":{when}}}}}}}"#)
    }

    #[test]
    fn rules_beyond_their_bounds_are_refused_with_field_value_and_cure() {
        let comparison = r#"{"feature":"last","window":"1h","op":">=","threshold":1}"#;
        let many = |count| with(&format!(r#"{{"any":[{}]}}"#, vec![comparison; count].join(",")));
        assert!(Rule::from_json(many(32).as_bytes()).is_ok());
        let [(field, shown)] = &problems(&many(33))[..] else {
            panic!()
        };
        assert_eq!(field, "levels.blue.when");
        assert!(
            shown.contains("33 comparisons") && shown.contains("at most 32"),
            "{shown}"
        );

        let deep = |depth| {
            with(&format!(
                "{}{comparison}{}",
                r#"{"all":["#.repeat(depth),
                "]}".repeat(depth)
            ))
        };
        assert!(Rule::from_json(deep(4).as_bytes()).is_ok());
        let [(field, shown)] = &problems(&deep(5))[..] else {
            panic!()
        };
        assert_eq!(field, "levels.blue.when");
        assert!(shown.contains('5') && shown.contains("at most 4"), "{shown}");
        // Beyond what is read at all; brackets in names are none.
        let [(field, shown)] = &problems(&deep(60))[..] else {
            panic!()
        };
        assert_eq!(field, "rule");
        assert!(shown.contains("124 brackets"), "{shown}");
        let named = with(&comparison.replace("}", &format!(r#","name":"\"{}"}}"#, "[".repeat(60))));
        assert!(Rule::from_json(named.as_bytes()).is_ok(), "{named}");

        let window = |pane: &str, window: &str| {
            let rule = with(&comparison.replace("1h", window));
            rule.replace(r#""select""#, &format!(r#""pane":"{pane}","select""#))
        };
        assert!(Rule::from_json(window("1ms", "50s").as_bytes()).is_ok());
        let [(field, shown)] = &problems(&window("1ms", "51s"))[..] else {
            panic!()
        };
        assert_eq!(field, "levels.blue.when.window");
        assert!(
            shown.contains("51000 panes of 1ms") && shown.contains("at most 50000"),
            "{shown}"
        );

        let large = with(comparison).replace(r#""id":"r""#, &format!(r#""id":"r","name":"{}""#, "x".repeat(64 << 10)));
        let [(field, shown)] = &problems(&large)[..] else {
            panic!()
        };
        assert_eq!(field, "rule");
        assert!(
            shown.contains(&large.len().to_string()) && shown.contains("at most 65536 bytes"),
            "{shown}"
        );
    }

    #[test]
    fn all_problems_of_a_rule_come_at_once_with_their_paths() {
        let json = br#"{"id":"","version":0,"select":{},"pane":"10s","levels":{
            "blue":{"when":{"any":[{"feature":"sun","window":"12h","op":">=","threshold":1},
                                   {"feature":"sum","window":"15s","op":"=>","threshold":0.0001}]},"hold":"soon"},
            "none":{"when":{"feature":"silence","window":"1m","op":">=","threshold":1}}}}"#;
        let problems = Rule::from_json(json).unwrap_err();
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        for field in [
            "id",
            "version",
            "levels.none",
            "levels.none.when.window",
            "levels.blue.hold",
            "levels.blue.when.any[0].feature",
            "levels.blue.when.any[1].op",
            "levels.blue.when.any[1].window",
            "levels.blue.when.any[1].threshold",
        ] {
            assert!(fields.contains(&field), "{field} is missing from {fields:?}");
        }
    }
}
