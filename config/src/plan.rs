//! Rules as checked: what the monitor evaluates.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use riskflow_model::rule::RuleRecord;
use riskflow_model::ruleset::{Adjust, parts as parts_of};
use riskflow_model::{Domain, Key, Level, RegionCode, Text};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::unit::Unit;

mod check;
#[cfg(test)]
mod documents;
mod during;
mod feature;
mod hash;
mod ladder;
mod lint;
mod merge;
mod possible;
mod scaled;
mod standing;

pub use during::{Days, During};
pub use feature::{Calendar, CalendarUnit, Feature, FeatureKind, unit_of_feature};
pub use lint::{Reports, RuleWarning};
pub use merge::{Given, Givers, Merged, PairProblem, Whose};
pub use scaled::{Border, Limit, Scaled};
pub use standing::{InSets, Place, Standing};

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
    /// The gauges that it is over, in the order in which conditions first name them; none of a rule on datastreams.
    pub gauges: Vec<Text>,
    /// All comparisons of all levels; conditions name them by position.
    pub comparisons: Vec<Comparison>,
    /// Times of the day, of the week and of the year; conditions name them by position.
    pub during: Vec<During>,
    /// The thresholds where a datastream has none of its own: most have none, and share these.
    thresholds: Thresholds,
    /// The levels, lowest first.
    pub levels: Vec<LevelPlan>,
    /// The longest window of any feature, rounded up to the pane, milliseconds.
    pub reach: i64,
    /// What it is in the sets that have it; `None` where there is the live set only.
    pub sets: Option<Arc<InSets>>,
    /// Whether it is the rule for datastreams that report on events.
    pub on_event: bool,
    /// The same rule for datastreams that report on events, where it makes a difference to these.
    for_events: Option<Arc<Checked>>,
}

/// One level of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelPlan {
    /// Blue to red.
    pub level: Level,
    /// Its condition.
    pub condition: Condition,
    /// What turns it off, where that is not the moved condition being false.
    pub until: Option<Condition>,
    /// How long the condition must hold, milliseconds.
    pub hold: i64,
    /// How long the moved condition must be false, or the one that turns it off hold, milliseconds.
    pub clear: i64,
}

/// A boolean tree over comparisons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The comparison at this position of [`Checked::comparisons`].
    Comparison(usize),
    /// The times at this position of [`Checked::during`].
    During(usize),
    /// True when any is.
    Any(Vec<Condition>),
    /// True when all are.
    All(Vec<Condition>),
}

impl Condition {
    /// Whether it asks for times only, not for any feature.
    #[must_use]
    pub fn is_times(&self) -> bool {
        match self {
            Self::Comparison(_) => false,
            Self::During(_) => true,
            Self::Any(parts) | Self::All(parts) => parts.iter().all(Self::is_times),
        }
    }

    /// Whether it is true at some times whatever the features are.
    #[must_use]
    pub fn holds_by_times(&self) -> bool {
        match self {
            Self::Comparison(_) => false,
            Self::During(_) => true,
            Self::Any(parts) => parts.iter().any(Self::holds_by_times),
            Self::All(parts) => !parts.is_empty() && parts.iter().all(Self::holds_by_times),
        }
    }
}

/// A feature compared with a threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The level it is part of.
    pub level: Level,
    /// What it is for.
    pub role: Role,
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

/// What a comparison is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is part of the condition that turns a level on.
    When,
    /// It is part of the condition that turns it off.
    Until,
    /// It says which results a feature counts. It is part of no condition.
    Reading,
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

const OPERATORS: [(&str, Operator); 4] = [
    (">=", Operator::AtLeast),
    (">", Operator::Above),
    ("<=", Operator::AtMost),
    ("<", Operator::Below),
];

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

impl Rule {
    /// A rule of which only the name is known: equal to the one with this fingerprint, but it selects nothing and knows no
    /// level. It stands in for that one until it comes.
    #[must_use]
    pub fn named(id: Text, fingerprint: Key, condition: Key, sets: Option<Arc<InSets>>) -> Self {
        Self(Arc::new(Checked {
            record: RuleRecord::named(id),
            fingerprint,
            condition,
            unit: None,
            pane: 1,
            features: Vec::new(),
            gauges: Vec::new(),
            comparisons: Vec::new(),
            during: Vec::new(),
            thresholds: Thresholds::from([]),
            levels: Vec::new(),
            reach: 0,
            sets,
            on_event: false,
            for_events: None,
        }))
    }

    /// The same rule as one of sets: its identifier is what it is called in them. It sees results adjusted.
    #[must_use]
    pub fn in_sets(&self, standing: Arc<Standing>, adjust: Vec<Adjust>) -> Self {
        let texts = standing.places().map(|place| (place, self.text()));
        self.within(&Arc::new(InSets {
            written: self.written().clone(),
            texts: texts.collect(),
            standing,
            adjust,
        }))
    }

    /// The same rule as one that several sets have, each in words of its own; how results are adjusted stands in the thresholds.
    #[must_use]
    pub fn joined(&self, standing: Arc<Standing>, texts: Vec<(Place, Key)>) -> Self {
        self.within(&Arc::new(InSets {
            written: self.written().clone(),
            texts,
            standing,
            adjust: Vec::new(),
        }))
    }

    fn within(&self, sets: &Arc<InSets>) -> Self {
        let more = serde_json::to_string(&**sets).expect("what it is in sets is plain data");
        let fingerprint = Key::of_parts(&[&more, "in sets"]);
        let id: Text = parts_of(&sets.written).1.into();
        let within = |checked: &Checked| Checked {
            record: RuleRecord {
                id: id.clone(),
                ..checked.record.clone()
            },
            fingerprint,
            sets: Some(Arc::clone(sets)),
            for_events: None,
            ..checked.clone()
        };
        let for_events = self.0.for_events.as_deref().map(|checked| Arc::new(within(checked)));
        Self(Arc::new(Checked {
            for_events,
            ..within(&self.0)
        }))
    }

    /// The hash of what was written, by the first of its sets.
    fn text(&self) -> Key {
        let first = self.sets.as_ref().and_then(|sets| sets.texts.first());
        first.map_or(self.fingerprint, |(_, text)| *text)
    }

    /// The hash of what was written by each set that has it.
    #[must_use]
    pub fn texts(&self) -> Vec<(Place, Key)> {
        match &self.sets {
            Some(sets) => sets.texts.clone(),
            None => vec![(Place::Live, self.fingerprint)],
        }
    }

    /// Whether the same was written: by a set that has both, or else by the first of each.
    #[must_use]
    pub fn is_written_as(&self, other: &Self) -> bool {
        let (one, other) = (self.texts(), other.texts());
        let of = |place: &Place| one.iter().find(|(known, _)| known == place);
        let both = other.iter().find_map(|(place, text)| Some((of(place)?.1, *text)));
        let firsts = || Some((one.first()?.1, other.first()?.1));
        both.or_else(firsts).is_none_or(|(one, other)| one == other)
    }

    /// In which sets it stands.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        static ALONE: Standing = Standing::alone();
        self.sets.as_ref().map_or(&ALONE, |sets| &*sets.standing)
    }

    /// Whether the live set has it.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.standing().live
    }

    /// Its identifier as written, with its set.
    #[must_use]
    pub fn written(&self) -> &Text {
        self.sets.as_ref().map_or(&self.record.id, |sets| &sets.written)
    }

    /// What it sees in the place of the results of a property, where these are not as they came.
    #[must_use]
    pub fn adjust(&self, property: &str) -> Option<&Adjust> {
        let adjust = &self.sets.as_ref()?.adjust;
        adjust.iter().find(|adjust| *adjust.observed_property == *property)
    }

    /// Whether all of its features can see what is adjusted so: what adds up can't where something is added.
    #[must_use]
    pub fn may_adjust(&self, adjust: &Adjust) -> bool {
        let property = self.record.select.observed_property.as_ref();
        let concerns = property.is_none_or(|property| *property == adjust.observed_property);
        let sums = || self.features.iter().any(|feature| feature.kind.adds_up());
        !concerns || adjust.add.0 == 0.0 || !sums()
    }

    /// The rule for datastreams that report on events: equal to this one, but for its condition where it asks for what adds up.
    #[must_use]
    pub fn on_events(&self) -> Self {
        self.0.for_events.clone().map_or_else(|| self.clone(), Self)
    }

    /// The same rule in memory of its own: to count who uses it is work that processors do in turns.
    #[must_use]
    pub fn apart(&self) -> Self {
        let apart = |checked: &Checked| Checked {
            thresholds: checked.thresholds.to_vec().into(),
            ..checked.clone()
        };
        let for_events = self.0.for_events.as_deref().map(|checked| Arc::new(apart(checked)));
        Self(Arc::new(Checked {
            for_events,
            ..apart(&self.0)
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
                let feature = &self.features[comparison.feature];
                let shown = self.show_feature(feature, thresholds);
                let threshold = show_threshold(*index, thresholds);
                let unit = unit_of_feature(feature.kind, &self.record.unit);
                let space = if unit.is_empty() { "" } else { " " };
                format!("{shown} {} {threshold}{space}{unit}", comparison.operator.sign())
            }
            Condition::During(position) => self.during[*position].to_string(),
            Condition::Any(parts) => self.show_parts(parts, thresholds, " or "),
            Condition::All(parts) => self.show_parts(parts, thresholds, " and "),
        }
    }

    /// A feature for people, with the thresholds in force: `count 1h of >= 50`.
    #[must_use]
    pub fn show_feature(&self, feature: &Feature, thresholds: &[Option<Bound>]) -> String {
        if let Some(gauge) = feature.gauge {
            return format!("gauge {}", self.gauges[gauge]);
        }
        match feature.of {
            Some(reading) => {
                let sign = self.comparisons[reading].operator.sign();
                format!("{feature} of {sign} {}", show_threshold(reading, thresholds))
            }
            None => feature.to_string(),
        }
    }

    fn show_parts(&self, parts: &[Condition], thresholds: &[Option<Bound>], word: &str) -> String {
        let parts: Vec<String> = parts.iter().map(|part| self.show_condition(part, thresholds)).collect();
        format!("({})", parts.join(word))
    }

    /// Whether it is over gauges: then it watches assets, and no datastream.
    #[must_use]
    pub fn is_of_gauges(&self) -> bool {
        !self.gauges.is_empty()
    }

    /// Whether the rule watches an asset like this, which lies within some regions: one that is over gauges.
    #[must_use]
    pub fn selects_asset(
        &self,
        category: &str,
        domain: Domain,
        within: impl Fn(RegionCode) -> bool,
        tags: &[Text],
    ) -> bool {
        self.is_of_gauges() && self.means(category, domain, within, &[tags])
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
        let wanted = self.record.select.observed_property.as_deref();
        !self.is_of_gauges()
            && wanted.is_none_or(|wanted| wanted == property)
            && self.means(category, domain, within, tags)
    }

    fn means(&self, category: &str, domain: Domain, within: impl Fn(RegionCode) -> bool, tags: &[&[Text]]) -> bool {
        let select = &self.record.select;
        (select.category.is_empty() || select.category.iter().any(|wanted| &**wanted == category))
            && select.domain.is_none_or(|wanted| wanted == domain)
            && select.region.is_none_or(within)
            && select
                .tags
                .iter()
                .all(|wanted| tags.iter().any(|tags| tags.contains(wanted)))
    }
}

fn show_threshold(comparison: usize, thresholds: &[Option<Bound>]) -> String {
    let threshold = thresholds.get(comparison).copied().flatten();
    threshold.map_or_else(|| "unset".to_owned(), |bound| (bound.on as f64 / 1000.0).to_string())
}

impl Checked {
    /// The same for datastreams that report on events, where it is another.
    fn for_events(&self) -> Option<Arc<Self>> {
        let matters = |feature: &Feature| feature.kind.has_nothing(true) != feature.kind.has_nothing(false);
        self.features.iter().any(matters).then(|| {
            Arc::new(Self {
                condition: Key::of_parts(&[&self.condition.to_string(), "on_event"]),
                on_event: true,
                ..self.clone()
            })
        })
    }
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

/// As the JSON that was written, whether it is for what reports on events, and what it is in sets: a rule is rebuilt by checking it again.
impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = serde_json::to_string(&self.record).map_err(serde::ser::Error::custom)?;
        (json, self.on_event, &self.sets).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // One that was accepted is written out in full here: that may be more bytes than were given.
        type Written = (String, bool, Option<Arc<InSets>>);
        let (json, on_event, sets) = Written::deserialize(deserializer)?;
        let record = serde_json::from_str(&json).map_err(de::Error::custom)?;
        let rule = Self::check(record).map_err(de::Error::custom)?;
        let rule = sets.map_or(rule.clone(), |sets| rule.within(&sets));
        Ok(if on_event { rule.on_events() } else { rule })
    }
}
