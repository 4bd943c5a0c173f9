//! From rules as written to rules as checked, with everything that is wrong.

use std::sync::Arc;

use riskflow_model::rule::{ComparisonRecord, ConditionRecord, LevelRecord, RuleRecord};
use riskflow_model::{Key, Level, Number, Problems, Text, duration, identifier, json, ruleset};

use super::feature::{Dimension, FEATURES};
use super::hash::Parts;
use super::ladder::out_of_order;
use super::possible::{Judge, Never, rule_bounds};
use super::{Checked, Comparison, Condition, During, Feature, FeatureKind, LevelPlan, OPERATORS, Operator, Role, Rule};
use crate::unit::Unit;

mod asked;

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
        let levels: Vec<LevelPlan> = record
            .levels
            .iter()
            .map(|(level, written)| check.level(*level, written))
            .collect();
        if levels.is_empty() {
            check.problems.add("levels", "empty", "at least one level");
        }
        check.gauges_alone(&record);
        // Of a rule of which some part is not even known nothing can be said as a whole.
        if check.problems.is_empty() {
            check.order(&levels);
            check.sense(&record, &levels);
        }
        let json = serde_json::to_vec(&record).expect("a rule is plain data with text for keys");
        let reach = check.features.iter().map(Feature::reach).max().unwrap_or(0) + check.pane;
        let thresholds = check.comparisons.iter();
        let thresholds = thresholds.map(|comparison| Some(comparison.bound(comparison.threshold?)));
        let mut rule = Checked {
            thresholds: thresholds.collect(),
            fingerprint: Key::of_bytes(&json),
            condition: Key::default(),
            record,
            unit: check.unit,
            pane: check.pane,
            features: check.features,
            gauges: check.gauges,
            comparisons: check.comparisons,
            during: check.during,
            levels,
            reach,
            sets: None,
            on_event: false,
            for_events: None,
        };
        rule.condition = Parts::of(&rule).hash();
        rule.for_events = rule.for_events();
        let rule = Self(Arc::new(rule));
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
        ConditionRecord::Comparison(_) | ConditionRecord::During { .. } => return (1, 0),
    };
    let (count, depth) = parts
        .iter()
        .map(measure)
        .fold((0, 0), |(count, deepest), (more, depth)| {
            (count + more, depth.max(deepest))
        });
    (count, depth + 1)
}

/// In which unit the first comparison of a condition is: a margin of the level is in that.
fn first_dimension(condition: &ConditionRecord) -> Option<Dimension> {
    match condition {
        ConditionRecord::Comparison(comparison) => kind_of(comparison).map(FeatureKind::dimension),
        ConditionRecord::During { .. } => None,
        ConditionRecord::Any { any: parts } | ConditionRecord::All { all: parts } => {
            parts.iter().find_map(first_dimension)
        }
    }
}

/// Where the first margin of a comparison of a condition is written, if there is any.
fn margin_at(condition: &ConditionRecord, path: String) -> Option<String> {
    let within = |parts: &[ConditionRecord], name: &str| {
        let mut parts = parts.iter().enumerate();
        parts.find_map(|(index, part)| margin_at(part, format!("{path}.{name}[{index}]")))
    };
    match condition {
        ConditionRecord::Comparison(comparison) => comparison.margin.map(|_| format!("{path}.margin")),
        ConditionRecord::During { .. } => None,
        ConditionRecord::Any { any } => within(any, "any"),
        ConditionRecord::All { all } => within(all, "all"),
    }
}

/// The position of what is equal in a list, to which it is added where there is none.
fn position_of<T: PartialEq>(list: &mut Vec<T>, one: T) -> usize {
    list.iter().position(|known| *known == one).unwrap_or_else(|| {
        list.push(one);
        list.len() - 1
    })
}

fn kind_of(written: &ComparisonRecord) -> Option<FeatureKind> {
    if written.gauge.is_some() {
        return Some(FeatureKind::Gauge);
    }
    let known = FEATURES.iter().find(|(known, _)| **known == *written.feature);
    known.map(|(_, kind)| *kind)
}

fn operator_of(sign: &str) -> Option<Operator> {
    let known = OPERATORS.iter().find(|(known, _)| *known == sign);
    known.map(|(_, operator)| *operator)
}

/// What a condition is for.
#[derive(Clone, Copy)]
struct Scope {
    level: Level,
    role: Role,
    /// The margin of the level in thousandths, and of which dimension it is.
    margin: (i64, Option<Dimension>),
}

#[derive(Default)]
struct Check {
    problems: Problems,
    unit: Option<Unit>,
    pane: i64,
    knows_pane: bool,
    features: Vec<Feature>,
    gauges: Vec<Text>,
    comparisons: Vec<Comparison>,
    during: Vec<During>,
    /// Where each comparison stands.
    paths: Vec<String>,
}

impl Check {
    fn identity(&mut self, record: &RuleRecord) {
        self.identifier("id", &record.id);
        self.set(&record.id);
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

    /// The set that its identifier names.
    fn set(&mut self, id: &str) {
        let Some((set, rule)) = id.split_once('/') else { return };
        let give = if set == ruleset::DEFAULT {
            format!("`{rule}`: rules of `{set}` are called without it")
        } else if set == ruleset::LIVE || set.is_empty() {
            "the name of a set before `/`; `live` is none".to_owned()
        } else if rule.is_empty() || rule.contains('/') {
            "`set/id`, with one `/`".to_owned()
        } else {
            // Blanks beside it are those of neither.
            self.identifier("id", set);
            self.identifier("id", rule);
            return;
        };
        self.problems.add("id", format!("`{id}`"), give);
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
    fn sense(&mut self, record: &RuleRecord, levels: &[LevelPlan]) {
        let bounds = rule_bounds(&self.comparisons);
        let judge = Judge::of_rule(&self.features, &self.comparisons, &bounds);
        for plan in levels {
            let path = format!("levels.{}", plan.level);
            match judge.never(plan) {
                Some(Never::Holds) => self.problems.add(
                    format!("{path}.when"),
                    "a condition that no value meets",
                    "thresholds that values can reach, together where all must hold",
                ),
                Some(Never::Clears) if plan.until.is_some() => self.problems.add(
                    format!("{path}.until"),
                    "a condition that no value meets: the level could never turn off",
                    "thresholds that values can reach, together where all must hold",
                ),
                Some(Never::Clears) => {
                    let (field, margin) = self.widest_margin(plan.level, record.levels[&plan.level].margin);
                    if margin == Number::default() {
                        self.problems.add(
                            format!("{path}.when"),
                            "a condition that every value meets: the level could never turn off",
                            "thresholds that are not always met (results are taken not to be negative where no threshold is)",
                        );
                        continue;
                    }
                    self.problems.add(
                        field,
                        format!("{margin}: the level could never turn off"),
                        "a margin below the threshold, and thresholds that are not always met (results are taken not to be \
                         negative where no threshold is)",
                    );
                }
                None => {}
            }
        }
    }

    /// Where the widest margin of a level is written, and which it is: at a comparison, or at the level.
    fn widest_margin(&self, level: Level, of_level: Number) -> (String, Number) {
        let of_level_at = format!("levels.{level}.margin");
        let comparisons = self.comparisons.iter().zip(&self.paths);
        let own = comparisons.filter(|(comparison, _)| comparison.level == level && comparison.role == Role::When);
        let own = own.map(|(comparison, path)| (comparison.margin, path));
        // Of equals the first.
        let widest = own.reduce(|widest, one| if one.0 > widest.0 { one } else { widest });
        match widest.map(|(margin, path)| (Number(margin as f64 / 1000.0), path)) {
            Some((margin, path)) if margin != of_level => (format!("{path}.margin"), margin),
            _ => (of_level_at, of_level),
        }
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

    fn level(&mut self, level: Level, written: &LevelRecord) -> LevelPlan {
        let path = format!("levels.{level}");
        if level == Level::None {
            self.problems
                .add(&path, "`none`", "one of `blue`, `yellow`, `orange`, `red`");
        }
        let margin = self.margin(&format!("{path}.margin"), written.margin);
        self.until_has_no_margin(&path, written);
        let mut duration = |field: &str, text: &str| {
            let millis = self.duration(&format!("{path}.{field}"), text, 0, LONGEST);
            millis.unwrap_or(0)
        };
        let hold = duration("hold", &written.hold);
        let clear = duration("clear", &written.clear);
        let scope = Scope {
            level,
            role: Role::When,
            margin: (margin, first_dimension(&written.when)),
        };
        let condition = self.whole_condition(&format!("{path}.when"), &written.when, scope);
        let scope = Scope {
            role: Role::Until,
            margin: (0, None),
            ..scope
        };
        let until = written.until.as_ref();
        let until = until.map(|until| self.whole_condition(&format!("{path}.until"), until, scope));
        LevelPlan {
            level,
            condition,
            until,
            hold,
            clear,
        }
    }

    /// What turns a level off is said in one way.
    fn until_has_no_margin(&mut self, path: &str, written: &LevelRecord) {
        if written.until.is_none() {
            return;
        }
        let give = "no margin: `until` says when the level turns off";
        if written.margin != Number::default() {
            self.problems.add(format!("{path}.margin"), written.margin, give);
        } else if let Some(field) = margin_at(&written.when, format!("{path}.when")) {
            self.problems.add(field, "beside `until`", give);
        }
    }

    /// One that is too large is not looked at any further: it would give as many problems.
    fn whole_condition(&mut self, path: &str, written: &ConditionRecord, scope: Scope) -> Condition {
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
        let condition = self.condition(path, written, scope);
        if condition.holds_by_times() {
            let found = "a condition that times alone make true";
            self.problems
                .add(path, found, "a comparison of a feature beside `during`, in `all`");
        }
        condition
    }

    fn condition(&mut self, path: &str, written: &ConditionRecord, scope: Scope) -> Condition {
        match written {
            ConditionRecord::Any { any } => Condition::Any(self.conditions(&format!("{path}.any"), any, scope)),
            ConditionRecord::All { all } => Condition::All(self.conditions(&format!("{path}.all"), all, scope)),
            ConditionRecord::During { during } => {
                let during = During::check(&format!("{path}.during"), during, &mut self.problems);
                Condition::During(position_of(&mut self.during, during))
            }
            ConditionRecord::Comparison(comparison) => self.comparison(path, comparison, scope),
        }
    }

    fn conditions(&mut self, path: &str, parts: &[ConditionRecord], scope: Scope) -> Vec<Condition> {
        if parts.is_empty() {
            self.problems.add(path, "empty", "at least one condition");
        }
        let parts = parts.iter().enumerate();
        parts
            .map(|(i, part)| self.condition(&format!("{path}[{i}]"), part, scope))
            .collect()
    }

    fn operator(&mut self, path: &str, sign: &str) -> Operator {
        operator_of(sign).unwrap_or_else(|| {
            let give = "one of `>=`, `>`, `<=`, `<`";
            self.problems.add(format!("{path}.op"), format!("`{sign}`"), give);
            Operator::AtLeast
        })
    }

    fn comparison(&mut self, path: &str, written: &ComparisonRecord, scope: Scope) -> Condition {
        let kind = kind_of(written).unwrap_or_else(|| {
            let names = FEATURES.map(|(name, _)| name).join("`, `");
            let found = format!("`{}`", written.feature);
            self.problems
                .add(format!("{path}.feature"), found, format!("one of `{names}`"));
            FeatureKind::Last
        });
        let operator = self.operator(path, &written.op);
        if let Some(unit) = self.unit.as_ref().filter(|unit| unit.is_scale() && kind.adds_up()) {
            let found = format!(
                "`{}` of results in `{}`, a scale whose zero is not nought",
                kind.name(),
                unit.code
            );
            self.problems
                .add(format!("{path}.feature"), found, "`mean`, `min` or `max`");
        }
        let threshold = written
            .threshold
            .and_then(|threshold| self.threshold(&format!("{path}.threshold"), threshold, kind));
        if let Some(name) = &written.name {
            self.name(&format!("{path}.name"), name, scope.level);
        }
        let feature = self.feature(path, written, kind, scope.level);
        let of_level = (scope.margin.1 == Some(kind.dimension())).then_some(scope.margin.0);
        let margin = match written.margin {
            Some(margin) if scope.role == Role::Until => {
                let give = "no margin: `until` turns the level off where it holds";
                self.problems.add(format!("{path}.margin"), margin, give);
                0
            }
            Some(margin) => self.margin(&format!("{path}.margin"), margin),
            None => of_level.unwrap_or(0),
        };
        let reading = feature.of;
        let position = position_of(&mut self.features, feature);
        if let Some(reading) = reading {
            self.comparisons[reading].feature = position;
        }
        self.add(
            path,
            Comparison {
                level: scope.level,
                role: scope.role,
                feature: position,
                operator,
                name: written.name.clone(),
                threshold,
                margin,
            },
        )
    }

    fn add(&mut self, path: &str, comparison: Comparison) -> Condition {
        self.paths.push(path.to_owned());
        self.comparisons.push(comparison);
        Condition::Comparison(self.comparisons.len() - 1)
    }
}

#[cfg(test)]
mod tests;
