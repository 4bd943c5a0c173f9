//! Rules as checked: what the monitor evaluates.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use riskflow_model::rule::RuleRecord;
use riskflow_model::{Domain, Key, Level, RegionCode, Text, duration};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::unit::{Conversion, Unit};

mod check;
mod ladder;
mod merge;
mod possible;
mod scaled;

pub use merge::{Merged, PairProblem};
pub use scaled::{Border, Limit, Scaled};

/// A checked rule. Cheap to clone; equal and ordered by what was written, through a fingerprint.
#[derive(Clone)]
pub struct Rule(Arc<Checked>);

/// What a [`Rule`] points to.
#[derive(Clone)]
pub struct Checked {
    /// As written.
    pub record: RuleRecord,
    /// The hash of what was written.
    pub fingerprint: Key,
    /// The hash of what decides, together with thresholds, when a level is on: pane, features, comparisons, levels, hold and clear.
    /// Names, sources and versions are no part of it.
    pub condition: Key,
    /// The unit of its thresholds, where it states one.
    pub unit: Option<Unit>,
    /// The grid on which observations leave a window, milliseconds, at least 1.
    pub pane: i64,
    /// Distinct features, in the order in which conditions first name them.
    pub features: Vec<Feature>,
    /// All comparisons of all levels; conditions name them by position.
    pub comparisons: Vec<Comparison>,
    /// The thresholds where a datastream has none of its own: most have none, and share these.
    thresholds: Thresholds,
    /// The levels, lowest first.
    pub levels: Vec<LevelPlan>,
    /// The longest window of any feature, rounded up to the pane, milliseconds.
    pub reach: i64,
}

/// One level of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelPlan {
    /// Blue to red.
    pub level: Level,
    /// Its condition.
    pub condition: Condition,
    /// How long the condition must hold, milliseconds.
    pub hold: i64,
    /// How long the moved condition must be false, milliseconds.
    pub clear: i64,
}

/// A boolean tree over comparisons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The comparison at this position of [`Checked::comparisons`].
    Comparison(usize),
    /// True when any is.
    Any(Vec<Condition>),
    /// True when all are.
    All(Vec<Condition>),
}

/// A feature compared with a threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The level it is part of.
    pub level: Level,
    /// The position of the feature in [`Checked::features`].
    pub feature: usize,
    /// How they are compared.
    pub operator: Operator,
    /// The name by which a datastream addresses it.
    pub name: Option<Text>,
    /// The rule's own threshold, in thousandths.
    pub threshold: Option<i64>,
    /// How far the threshold moves before the level may turn off, in thousandths.
    pub margin: i64,
}

/// What is computed over which window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Feature {
    /// What.
    pub kind: FeatureKind,
    /// The window in milliseconds; 0 for silence, which has none.
    pub window: i64,
}

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FeatureKind {
    /// The result of the last observation.
    Last,
    /// The least result.
    Min,
    /// The greatest result.
    Max,
    /// The sum in thousandths, divided by 1000 times the count.
    Mean,
    /// The sum in thousandths, divided by 1000.
    Sum,
    /// How many; unknown, not 0, when there is none.
    Count,
    /// (last − first) per hour between them; unknown with fewer than two.
    Rate,
    /// Seconds since the last observation; unknown before the first.
    Silence,
}

impl FeatureKind {
    /// What of a conversion of numbers applies to a feature of them. A rate is a difference, and a sum has no zero of its own; counts
    /// and silences are in no unit of the datastream.
    #[must_use]
    pub const fn converted(self, by: Conversion) -> Conversion {
        match self {
            Self::Last | Self::Min | Self::Max | Self::Mean => by,
            Self::Sum | Self::Rate => Conversion { shift: 0, ..by },
            Self::Count | Self::Silence => Conversion::SAME,
        }
    }
}

/// How a feature is compared with a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `>=`
    AtLeast,
    /// `>`
    Above,
    /// `<=`
    AtMost,
    /// `<`
    Below,
}

/// The two thresholds of one comparison, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bound {
    /// For turning on.
    pub on: i64,
    /// For turning off: moved by the margin.
    pub off: i64,
}

/// The two thresholds of one comparison while they are merged and judged: in whatever unit, as long as all of one feature are in the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wide {
    on: i128,
    off: i128,
}

/// The thresholds in force for one datastream, in thousandths of the rule's unit (rounded, and for people only, where [`Scaled`] has
/// others): one place for each of [`Checked::comparisons`]; `None` where neither
/// rule nor datastream gives one: that comparison does not take part.
pub type Thresholds = Arc<[Option<Bound>]>;

const FEATURES: [(&str, FeatureKind); 8] = [
    ("last", FeatureKind::Last),
    ("min", FeatureKind::Min),
    ("max", FeatureKind::Max),
    ("mean", FeatureKind::Mean),
    ("sum", FeatureKind::Sum),
    ("count", FeatureKind::Count),
    ("rate", FeatureKind::Rate),
    ("silence", FeatureKind::Silence),
];

const OPERATORS: [(&str, Operator); 4] = [
    (">=", Operator::AtLeast),
    (">", Operator::Above),
    ("<=", Operator::AtMost),
    ("<", Operator::Below),
];

impl FeatureKind {
    /// The name in rules.
    #[must_use]
    pub fn name(self) -> &'static str {
        FEATURES
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("", |(name, _)| name)
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if self.kind != FeatureKind::Silence {
            write!(f, " {}", duration::show(self.window))?;
        }
        Ok(())
    }
}

impl Operator {
    /// As written.
    #[must_use]
    pub fn sign(self) -> &'static str {
        OPERATORS
            .iter()
            .find(|(_, op)| *op == self)
            .map_or("", |(sign, _)| sign)
    }

    /// The threshold moved by `margin` towards easier.
    #[must_use]
    pub const fn eased(self, threshold: i64, margin: i64) -> i64 {
        match self {
            Self::AtLeast | Self::Above => threshold - margin,
            Self::AtMost | Self::Below => threshold + margin,
        }
    }

    const fn eased_wide(self, threshold: i128, margin: i128) -> i128 {
        match self {
            Self::AtLeast | Self::Above => threshold - margin,
            Self::AtMost | Self::Below => threshold + margin,
        }
    }
}

/// The unit of a feature of results in a unit, for people.
#[must_use]
pub fn unit_of_feature(kind: FeatureKind, unit: &str) -> String {
    match kind {
        _ if unit.is_empty() => String::new(),
        FeatureKind::Rate if unit.contains('/') => format!("({unit})/h"),
        FeatureKind::Rate => format!("{unit}/h"),
        FeatureKind::Count | FeatureKind::Silence => String::new(),
        _ => unit.to_owned(),
    }
}

impl Rule {
    /// A rule of which only the name is known: equal to the one with this fingerprint, but it selects nothing and knows no
    /// level. It stands in for that one until it comes.
    #[must_use]
    pub fn named(id: Text, fingerprint: Key, condition: Key) -> Self {
        Self(Arc::new(Checked {
            record: RuleRecord::named(id),
            fingerprint,
            condition,
            unit: None,
            pane: 1,
            features: Vec::new(),
            comparisons: Vec::new(),
            thresholds: Thresholds::from([]),
            levels: Vec::new(),
            reach: 0,
        }))
    }

    /// The same rule in memory of its own: to count who uses it is work that processors do in turns.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self(Arc::new(Checked {
            thresholds: self.thresholds.to_vec().into(),
            ..Checked::clone(&self.0)
        }))
    }

    /// The key of its identifier.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::of(&self.record.id)
    }

    /// The condition of a level for people, with the thresholds in force: `sum 12h >= 50`.
    #[must_use]
    pub fn show_condition(&self, condition: &Condition, thresholds: &[Option<Bound>]) -> String {
        match condition {
            Condition::Comparison(index) => {
                let comparison = &self.comparisons[*index];
                let threshold = thresholds.get(*index).copied().flatten();
                let threshold =
                    threshold.map_or_else(|| "unset".to_owned(), |bound| (bound.on as f64 / 1000.0).to_string());
                let feature = self.features[comparison.feature];
                let unit = unit_of_feature(feature.kind, &self.record.unit);
                let space = if unit.is_empty() { "" } else { " " };
                format!("{feature} {} {threshold}{space}{unit}", comparison.operator.sign())
            }
            Condition::Any(parts) => self.show_parts(parts, thresholds, " or "),
            Condition::All(parts) => self.show_parts(parts, thresholds, " and "),
        }
    }

    fn show_parts(&self, parts: &[Condition], thresholds: &[Option<Bound>], word: &str) -> String {
        let parts: Vec<String> = parts.iter().map(|part| self.show_condition(part, thresholds)).collect();
        format!("({})", parts.join(word))
    }

    /// Whether the rule watches a datastream of this property on an asset like this, which lies within some regions.
    #[must_use]
    pub fn selects(
        &self,
        property: &str,
        category: &str,
        domain: Domain,
        within: impl Fn(RegionCode) -> bool,
        tags: &[&[Text]],
    ) -> bool {
        let select = &self.record.select;
        select
            .observed_property
            .as_deref()
            .is_none_or(|wanted| wanted == property)
            && (select.category.is_empty() || select.category.iter().any(|wanted| &**wanted == category))
            && select.domain.is_none_or(|wanted| wanted == domain)
            && select.region.is_none_or(within)
            && select
                .tags
                .iter()
                .all(|wanted| tags.iter().any(|tags| tags.contains(wanted)))
    }
}

/// The hash of what decides when a level is on, thresholds aside.
fn condition_of(pane: i64, features: &[Feature], comparisons: &[Comparison], levels: &[LevelPlan]) -> Key {
    fn tree(condition: &Condition, written: &mut String) {
        let (sign, parts) = match condition {
            Condition::Comparison(index) => return written.push_str(&index.to_string()),
            Condition::Any(parts) => ('|', parts),
            Condition::All(parts) => ('&', parts),
        };
        written.push(sign);
        for part in parts {
            written.push('(');
            tree(part, written);
            written.push(')');
        }
    }
    let mut parts = vec![pane.to_string()];
    parts.extend(
        features
            .iter()
            .map(|feature| format!("{} {}", feature.kind.name(), feature.window)),
    );
    parts.extend(
        comparisons
            .iter()
            .map(|comparison| format!("{} {}", comparison.feature, comparison.operator.sign())),
    );
    parts.extend(levels.iter().map(|plan| {
        let mut written = format!("{} {} {} ", plan.level, plan.hold, plan.clear);
        tree(&plan.condition, &mut written);
        written
    }));
    Key::of_parts(&parts.iter().map(String::as_str).collect::<Vec<_>>())
}

impl std::ops::Deref for Rule {
    type Target = Checked;

    fn deref(&self) -> &Checked {
        &self.0
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.record.id, self.record.version)
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Rule {}

impl PartialOrd for Rule {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rule {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.record.id, self.fingerprint).cmp(&(&other.record.id, other.fingerprint))
    }
}

impl std::hash::Hash for Rule {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.fingerprint.hash(state);
    }
}

/// As the JSON that was written: a rule is rebuilt by checking it again.
impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = serde_json::to_string(&self.record).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&json)
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // One that was accepted is written out in full here: that may be more bytes than were given.
        let json = String::deserialize(deserializer)?;
        let record = serde_json::from_str(&json).map_err(de::Error::custom)?;
        Self::check(record).map_err(de::Error::custom)
    }
}
