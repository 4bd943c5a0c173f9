//! From rules as written to rules as checked, with everything that is wrong.

use std::sync::Arc;

use riskflow_model::rule::{ComparisonRecord, ConditionRecord, RuleRecord};
use riskflow_model::{Key, Level, Number, Problems, duration, identifier, json};

use super::ladder::out_of_order;
use super::possible::{Judge, Never};
use super::{
    Checked, Comparison, Condition, FEATURES, Feature, FeatureKind, LevelPlan, OPERATORS, Operator, Rule, Wide,
    condition_of,
};
use crate::unit::{Conversion, Unit};

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
        check.unit(&record.unit);
        let pane = check.duration("pane", &record.pane, 1, 86_400_000);
        check.pane = pane.unwrap_or(1);
        check.knows_pane = pane.is_some();
        let mut levels = Vec::new();
        for (level, written) in &record.levels {
            let path = format!("levels.{level}");
            if *level == Level::None {
                check
                    .problems
                    .add(&path, "`none`", "one of `blue`, `yellow`, `orange`, `red`");
            }
            let margin = check.margin(&format!("{path}.margin"), written.margin);
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
        // Of a rule of which some part is not even known nothing can be said as a whole.
        if check.problems.is_empty() {
            check.order(&levels);
            check.sense(&levels);
        }
        let json = serde_json::to_vec(&record).expect("a rule is plain data with text for keys");
        let reach = check.features.iter().map(|f| f.window).max().unwrap_or(0) + check.pane;
        let thresholds = check.comparisons.iter();
        let thresholds = thresholds.map(|comparison| Some(comparison.bound(comparison.threshold?)));
        let rule = Self(Arc::new(Checked {
            thresholds: thresholds.collect(),
            fingerprint: Key::of_bytes(&json),
            condition: condition_of(check.pane, &check.features, &check.comparisons, &levels),
            record,
            unit: check.unit,
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
    /// Everything wrong with it: fields that cannot be read, and then what the others come to, as far as that can be said. Where it
    /// is no JSON, or too large to be read, only that.
    pub fn from_json(json: &[u8]) -> Result<Self, Problems> {
        let mut problems = too_large(json);
        if !problems.is_empty() {
            return Err(problems);
        }
        let text = match str::from_utf8(json) {
            Ok(text) => text,
            Err(error) => {
                problems.add(
                    "record",
                    format!("no UTF-8 from byte {} on", error.valid_up_to()),
                    "UTF-8",
                );
                return Err(problems);
            }
        };
        if let Ok(record) = serde_json::from_str(text) {
            return Self::check(record);
        }
        match json::examine(text, |text| json::attempt::<RuleRecord>(text)) {
            Ok((found, rest)) => {
                problems = found;
                let rest = rest.and_then(|rest| serde_json::from_str(&rest).ok());
                if let Some(Err(others)) = rest.map(Self::check) {
                    problems.add_new(others);
                }
            }
            Err(malformed) => problems.add("record", malformed, "one JSON object"),
        }
        Err(problems)
    }
}

/// What is wrong with a rule that would cost too much to read.
fn too_large(json: &[u8]) -> Problems {
    let mut problems = Problems::default();
    if json.len() > MOST_BYTES {
        let found = format!("{} bytes long", json.len());
        problems.add("record", found, format!("at most {MOST_BYTES} bytes"));
        return problems;
    }
    let brackets = brackets(json);
    if brackets > MOST_BRACKETS {
        let found = format!("{brackets} brackets within one another");
        let give = format!("at most {DEEPEST} `any` or `all` within one another");
        problems.add("record", found, give);
    }
    problems
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
    unit: Option<Unit>,
    pane: i64,
    knows_pane: bool,
    features: Vec<Feature>,
    comparisons: Vec<Comparison>,
    /// Where each comparison stands.
    paths: Vec<String>,
}

impl Check {
    fn identity(&mut self, record: &RuleRecord) {
        self.identifier("id", &record.id);
        if record.version == 0 {
            self.problems.add("version", 0, "1 or more");
        }
        let select = &record.select;
        if let Some(property) = &select.observed_property {
            self.identifier("select.observed_property", property);
        }
        for (name, texts) in [("select.category", &select.category), ("select.tags", &select.tags)] {
            for (index, text) in texts.iter().enumerate() {
                self.identifier(&format!("{name}[{index}]"), text);
            }
        }
    }

    /// A text that is compared with others.
    fn identifier(&mut self, field: &str, text: &str) {
        if let Err(wrong) = identifier::check(text) {
            self.problems.add(field, wrong.found, wrong.give);
        }
    }

    fn unit(&mut self, code: &str) {
        if code.is_empty() {
            return;
        }
        match Unit::parse(code) {
            Ok(unit) if code.len() <= 200 => self.unit = Some(unit),
            Ok(_) => self
                .problems
                .add("unit", format!("{} bytes long", code.len()), "at most 200 bytes"),
            Err(wrong) => {
                let give = "a unit as UCUM writes it, such as `mm`, `m/s`, `%`, `Cel` or `[in_i]`; what UCUM does not know stands in \
                            braces behind it, as in `%{LEL}`";
                self.problems.add("unit", format!("`{code}`: {wrong}"), give);
            }
        }
    }

    /// Levels in order, as far as the rule's own thresholds say.
    fn order(&mut self, levels: &[LevelPlan]) {
        let thresholds: Vec<Option<i128>> = self
            .comparisons
            .iter()
            .map(|comparison| comparison.threshold.map(i128::from))
            .collect();
        for found in out_of_order(levels, &self.comparisons, &thresholds) {
            let (higher, lower) = (&self.comparisons[found.higher], &self.comparisons[found.lower]);
            let number = |index: usize| Number(thresholds[index].unwrap_or_default() as f64 / 1000.0);
            let leaves_out = lower.operator.is_strict() && !higher.operator.is_strict();
            let most = match (higher.operator.is_upward(), leaves_out) {
                (true, false) => "at least",
                (true, true) => "more than",
                (false, false) => "at most",
                (false, true) => "less than",
            };
            let (field, limit) = (&self.paths[found.higher], number(found.lower));
            self.problems.add(
                format!("{field}.threshold"),
                format!(
                    "{}: `{}` would be on more easily than `{}`",
                    number(found.higher),
                    higher.level,
                    lower.level
                ),
                format!("{most} {limit}, as `{}.threshold` is", self.paths[found.lower]),
            );
        }
    }

    /// Levels that can turn on, and off again.
    fn sense(&mut self, levels: &[LevelPlan]) {
        let bounds: Vec<Option<Wide>> = self
            .comparisons
            .iter()
            .map(|comparison| {
                comparison
                    .threshold
                    .map(|on| comparison.wide(on.into(), comparison.margin.into()))
            })
            .collect();
        let judge = Judge {
            features: &self.features,
            comparisons: &self.comparisons,
            bounds: &bounds,
            conversion: Conversion::SAME,
            open: true,
        };
        for plan in levels {
            let path = format!("levels.{}", plan.level);
            match judge.never(&plan.condition) {
                Some(Never::Holds) => self.problems.add(
                    format!("{path}.when"),
                    "a condition that no value meets",
                    "thresholds that values can reach, together where all must hold",
                ),
                Some(Never::Clears) => self.problems.add(
                    format!("{path}.margin"),
                    format!("{}: the level could never turn off", self.margin_of(plan)),
                    "a margin below the threshold, and thresholds that are not always met (results are taken not to be negative \
                     where no threshold is)",
                ),
                None => {}
            }
        }
    }

    fn margin_of(&self, plan: &LevelPlan) -> Number {
        let of_level = self
            .comparisons
            .iter()
            .find(|comparison| comparison.level == plan.level);
        Number(of_level.map_or(0, |comparison| comparison.margin) as f64 / 1000.0)
    }

    fn margin(&mut self, field: &str, margin: Number) -> i64 {
        match margin.thousandths() {
            Some(thousandths @ 0..) => thousandths,
            _ => {
                let give = "0 or more, with at most three decimals";
                self.problems.add(field, margin, give);
                0
            }
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

    fn threshold(&mut self, field: &str, threshold: Number, kind: FeatureKind) -> Option<i64> {
        let (least, most) = kind.range();
        let (least, most) = (Number(least as f64 / 1000.0), Number(most as f64 / 1000.0));
        if !(least..=most).contains(&threshold) {
            let found = format!("{threshold}: `{}` is never so", kind.name());
            self.problems
                .add(field, found, format!("a number from {least} to {most}"));
            return None;
        }
        let exact = threshold.thousandths();
        if exact.is_none() {
            self.problems
                .add(field, threshold, "a number with at most three decimals");
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
        if let Some(unit) = self
            .unit
            .as_ref()
            .filter(|unit| unit.is_scale() && kind == FeatureKind::Sum)
        {
            let found = format!("`sum` of results in `{}`, a scale whose zero is not nought", unit.code);
            self.problems
                .add(format!("{path}.feature"), found, "`mean`, `min` or `max`");
        }
        let window = self.window(path, written, kind);
        let threshold = written
            .threshold
            .and_then(|threshold| self.threshold(&format!("{path}.threshold"), threshold, kind));
        if let Some(name) = &written.name {
            self.name(&format!("{path}.name"), name, level);
        }
        let feature = Feature { kind, window };
        let position = self
            .features
            .iter()
            .position(|known| *known == feature)
            .unwrap_or_else(|| {
                self.features.push(feature);
                self.features.len() - 1
            });
        self.paths.push(path.to_owned());
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

    /// A name by which a datastream addresses one comparison of the level, and no other.
    fn name(&mut self, field: &str, name: &str, level: Level) {
        self.identifier(field, name);
        let mut others = self.comparisons.iter().filter(|other| other.level == level);
        if others.any(|other| other.name.as_deref() == Some(name)) {
            self.problems.add(
                field,
                format!("`{name}`, as another of its level"),
                "each name once in a level",
            );
        }
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
                // What is wrong with a pane that is none is told there.
                if !self.knows_pane {
                    return window;
                }
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
mod tests;
