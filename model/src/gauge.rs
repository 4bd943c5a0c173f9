//! Gauges: what is measured of all spans that hold at an instant, by asset or region.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{RESERVED, RESERVED_NUMBERS};
use crate::topic::{Record, Shape, Spec};
use crate::{
    Check, Domain, Duration, Facets, Filter, Id, Level, Listed, Millis, Number, OutputRecord, RegionCode, TableRecord,
    Text, Tier, capability, duration, field, joined, shortened,
};

/// So many conditions may a gauge have.
const MOST_CONDITIONS: usize = 20;
/// So many attributes make up one thing that is counted, and so many texts tell what it needs.
const MOST_ATTRIBUTES: usize = 8;
/// The texts that a span has of where it is.
const PLACES: [&str; 3] = ["category", "domain", "region"];
/// So many spans stand in a row, at most.
pub const MOST_MEMBERS: usize = 10;

/// A record of `in.gauge`, keyed by `id`: which spans are measured, by what, and how. A gauge that is changed begins anew with the
/// spans that are known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gauge {
    /// The identifier.
    pub id: Id<Gauge>,
    /// What people call it.
    #[serde(default, deserialize_with = "field::or_default")]
    pub title: Text,
    /// Of what spans. Certificates are nowhere, so no gauge is of them; gauges of others may need them (`needs`).
    #[serde(default, deserialize_with = "field::or_default")]
    pub of: SpanKind,
    /// Only spans of this kind: of an event its `kind`, of permits and holders the `work_type`, of a window its `kind`.
    #[serde(default)]
    pub kind: Option<Text>,
    /// Only spans for which all of this is true. At most 20.
    #[serde(default, rename = "where", deserialize_with = "field::or_default")]
    pub conditions: Vec<SpanCondition>,
    /// For what there is a value: for each asset, or for each region of a tier.
    pub by: GaugeBy,
    /// Of events: how long a momentary one counts, such as `10m`; `1s` to `1d`. Without it momentary events hold at no instant; only
    /// `starts` counts them.
    #[serde(default)]
    pub lasts: Option<Text>,
    /// What is measured. `highest` and `fused` are of events only: nothing else has a level.
    pub measure: Measure,
    /// Of `distinct`, `fused` and `missing`: the attributes that make up one thing. A span without one of them is none. At most 8.
    #[serde(default, deserialize_with = "field::or_default")]
    pub attributes: Vec<Text>,
    /// Of `highest`: the number of which the greatest is shown; absent: the level.
    #[serde(default)]
    pub number: Option<Text>,
    /// Of `fused`: from so many things on the level is one higher. 1 to 1000.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    pub at_least: Option<u32>,
    /// Of `elapsed`: holes between spans that are shorter do not interrupt it, such as `5m`; at most `1d`; absent: none is bridged.
    #[serde(default)]
    pub gap: Option<Text>,
    /// Of `covered` and `starts`: since when is measured.
    #[serde(default)]
    pub bucket: Option<Bucket>,
    /// Of `missing`: what each span needs.
    #[serde(default, deserialize_with = "field::object_or_none")]
    pub needs: Option<Needs>,
}

/// Of what sort spans are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpanKind {
    /// Of events (`in.event`).
    #[default]
    Event,
    /// Of work permits (`in.permit`).
    Permit,
    /// Of the holders of work permits: one for each permit and holder.
    Holder,
    /// Of certificates (`in.permit`): one for each certificate and holder. They are nowhere.
    Certificate,
    /// Of maintenance windows that were not called off (`in.maintenance`).
    Maintenance,
}

impl SpanKind {
    /// The name on the topics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Permit => "permit",
            Self::Holder => "holder",
            Self::Certificate => "certificate",
            Self::Maintenance => "maintenance",
        }
    }
}

impl SpanKind {
    /// The texts that its spans have; none of events, which may have any.
    const fn texts(self) -> &'static [&'static str] {
        match self {
            Self::Event => &[],
            Self::Permit => &["asset", "category", "domain", "kind", "permit", "region", "work_type"],
            Self::Holder => &[
                "asset",
                "category",
                "domain",
                "holder",
                "kind",
                "permit",
                "region",
                "work_type",
            ],
            Self::Certificate => &["certificate", "holder", "kind", "work_type"],
            Self::Maintenance => &["asset", "category", "domain", "kind", "maintenance", "region"],
        }
    }
}

/// What a span needs: a span of another sort, of whatever place, that holds at the same time and has the same texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    /// Of what sort that span is; not `event`.
    pub of: SpanKind,
    /// The texts that both have in common, such as `holder` and `work_type`: 1 to 8. A span without one of them needs nothing, and is what
    /// nothing needs. Not `category`, `domain` or `region`: places do not matter.
    #[serde(default, deserialize_with = "field::or_default")]
    pub on: Vec<Text>,
}

/// For what a gauge has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GaugeBy {
    /// Each asset.
    Asset,
    /// Each province.
    Province,
    /// Each city.
    City,
    /// Each county.
    County,
    /// Each town.
    Town,
    /// Each village.
    Village,
}

impl GaugeBy {
    /// The tier of regions; `None` for assets.
    #[must_use]
    pub const fn tier(self) -> Option<Tier> {
        match self {
            Self::Asset => None,
            Self::Province => Some(Tier::Province),
            Self::City => Some(Tier::City),
            Self::County => Some(Tier::County),
            Self::Town => Some(Tier::Town),
            Self::Village => Some(Tier::Village),
        }
    }
}

/// What is measured of all spans that hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// How many they are.
    Count,
    /// The sum of their weights.
    Sum,
    /// How many different things they are about.
    Distinct,
    /// The highest level, or the greatest of a number.
    Highest,
    /// Since when there has been any, without interruption.
    Elapsed,
    /// The highest level, and one more where they are about enough different things.
    Fused,
    /// For how long there was any since the bucket began.
    Covered,
    /// How many began since the bucket did.
    Starts,
    /// How many different things lack what they need.
    Missing,
}

impl Measure {
    /// The name on the topics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Distinct => "distinct",
            Self::Highest => "highest",
            Self::Elapsed => "elapsed",
            Self::Fused => "fused",
            Self::Covered => "covered",
            Self::Starts => "starts",
            Self::Missing => "missing",
        }
    }
}

/// Since when `covered` and `starts` measure, by the city's calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    /// The hour.
    Hour,
    /// The day.
    Day,
}

/// What must be true of a span: just one of `equals`, `at_least` and `at_most`. What the span does not have is not true.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpanCondition {
    /// Of a text: `asset`, `category`, `domain`, `kind`, `region`; of events also `event`, `level`, `model`, `review` (`confirmed`),
    /// `source`, or one of the event's `attributes`; of permits and holders `permit`, `work_type`, and of holders `holder`; of windows
    /// `maintenance`. Of a number: `weight`; of events also `confidence`, or one of the event's `numbers`.
    pub attribute: Text,
    /// The text is this one.
    #[serde(default)]
    pub equals: Option<Text>,
    /// The number is at least this one. Exact to thousandths.
    #[serde(default)]
    pub at_least: Option<Number>,
    /// The number is at most this one. Exact to thousandths.
    #[serde(default)]
    pub at_most: Option<Number>,
}

impl Gauge {
    /// Whether it asks of nothing but events.
    #[must_use]
    pub fn is_of_events(&self) -> bool {
        self.of == SpanKind::Event && self.needs.is_none()
    }

    /// How long a momentary event counts; zero where none does.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        length(self.lasts.as_deref())
    }

    /// Holes that are shorter do not interrupt what elapses.
    #[must_use]
    pub fn gap(&self) -> Duration {
        length(self.gap.as_deref())
    }

    /// What belongs to some measures only: given where it is not asked for, or missing where it is.
    fn check_measure(&self, check: &mut Check) {
        use Measure::{Covered, Distinct, Elapsed, Fused, Highest, Missing, Starts};
        let has = |of: &[Measure]| of.contains(&self.measure);
        let mut place = |field: &str, given: bool, of: &[Measure], needed: bool| {
            let name = self.measure.name();
            if given && !has(of) {
                let names: Vec<&str> = of.iter().map(|measure| measure.name()).collect();
                let give = format!("none: it belongs to {}", names.join(" and "));
                check.wrong(field, format!("given with the measure `{name}`"), &give);
            } else if needed && !given && has(of) {
                check.wrong(field, "missing", &format!("it: the measure `{name}` needs it"));
            }
        };
        let attributes = !self.attributes.is_empty();
        place("attributes", attributes, &[Distinct, Fused, Missing], true);
        place("number", self.number.is_some(), &[Highest], false);
        place("at_least", self.at_least.is_some(), &[Fused], true);
        place("gap", self.gap.is_some(), &[Elapsed], false);
        place("bucket", self.bucket.is_some(), &[Covered, Starts], true);
        place("needs", self.needs.is_some(), &[Missing], true);
    }

    /// What belongs to some sorts of spans only.
    fn check_sort(&self, check: &mut Check) {
        if self.of == SpanKind::Certificate {
            let give = "`event`, `permit`, `holder` or `maintenance`; `certificate` in `needs.of`";
            check.wrong("of", "`certificate`, and certificates are nowhere", give);
        }
        if self.of == SpanKind::Event {
            return;
        }
        let sort = self.of.name();
        for (index, name) in self.attributes.iter().enumerate() {
            check_text_of(check, format_args!("attributes[{index}]"), name, self.of);
        }
        for (index, condition) in self
            .conditions
            .iter()
            .enumerate()
            .filter(|(_, one)| one.equals.is_some())
        {
            check_text_of(
                check,
                format_args!("where[{index}].attribute"),
                &condition.attribute,
                self.of,
            );
        }
        for (index, name) in self.needs.iter().flat_map(|needs| &needs.on).enumerate() {
            check_text_of(check, format_args!("needs.on[{index}]"), name, self.of);
        }
        if self.lasts.is_some() {
            let give = "none: only events are momentary";
            check.wrong("lasts", format!("given of the sort `{sort}`"), give);
        }
        if matches!(self.measure, Measure::Highest | Measure::Fused) {
            let found = format!("`{}` of the sort `{sort}`", self.measure.name());
            check.wrong("measure", found, "another measure: only events have levels");
        }
    }

    fn check_attributes(&self, check: &mut Check) {
        check_texts(check, "attributes", &self.attributes);
        check_number_name(check, "number", self.number.as_deref());
        let Some(needs) = &self.needs else { return };
        if needs.of == SpanKind::Event {
            let give = "`permit`, `holder`, `certificate` or `maintenance`";
            check.wrong("needs.of", "`event`", give);
        }
        if needs.on.is_empty() {
            check.wrong("needs.on", "missing or empty", "1 to 8 attributes");
        }
        check_texts(check, "needs.on", &needs.on);
        for (index, name) in needs.on.iter().enumerate() {
            check_text_of(check, format_args!("needs.on[{index}]"), name, needs.of);
            if PLACES.contains(&&**name) {
                let give = "an attribute that a span has wherever it is";
                check.wrong(format_args!("needs.on[{index}]"), format!("`{name}`, a place"), give);
            }
        }
    }
}

/// A text that spans of a sort have; those of events may have any.
fn check_text_of(check: &mut Check, field: std::fmt::Arguments<'_>, name: &str, sort: SpanKind) {
    let texts = sort.texts();
    if !texts.is_empty() && !texts.contains(&name) {
        let give = format!("one of `{}`", texts.join("`, `"));
        check.wrong(field, format!("`{name}`, which no `{}` has", sort.name()), &give);
    }
}

/// The names of some texts of a span.
fn check_texts(check: &mut Check, field: &str, names: &[Text]) {
    if names.len() > MOST_ATTRIBUTES {
        let found = format!("a list of {}", names.len());
        check.wrong(field, found, "at most 8 attributes");
    }
    check.identifiers(field, names);
    for (index, name) in names.iter().enumerate() {
        if RESERVED_NUMBERS.contains(&&**name) {
            let give = "an attribute that is a text";
            check.wrong(format_args!("{field}[{index}]"), format!("`{name}`, a number"), give);
        }
    }
}

fn length(text: Option<&str>) -> Duration {
    Duration(text.map_or(0, |text| {
        duration::parse(text).expect("a gauge's durations were checked when it was read")
    }))
}

fn check_length(check: &mut Check, field: &str, text: Option<&Text>, least: i64) {
    let Some(text) = text else { return };
    let within = |millis: &i64| (least..=86_400_000).contains(millis);
    if duration::parse(text).ok().filter(within).is_none() {
        let found = format!("`{}`", shortened(text, 100));
        check.wrong(field, found, "a duration from 1s to 1d, such as `10m`");
    }
}

/// The name of a number of a span.
fn check_number_name(check: &mut Check, field: impl std::fmt::Display + Copy, name: Option<&str>) {
    check.identifier_if_any(field, name);
    if let Some(name) = name.filter(|name| RESERVED.contains(name)) {
        check.wrong(
            field,
            format!("`{name}`, a text"),
            "`confidence`, `weight`, or one of the event's `numbers`",
        );
    }
}

impl SpanCondition {
    fn check(&self, index: usize, check: &mut Check) {
        let of = |field: &str| format!("where[{index}].{field}");
        let given = [self.equals.is_some(), self.at_least.is_some(), self.at_most.is_some()];
        if given.iter().filter(|given| **given).count() != 1 {
            let give = "just one of `equals`, `at_least` and `at_most`";
            check.wrong(format!("where[{index}]"), "without a comparison, or with several", give);
        }
        let attribute = of("attribute");
        match &self.equals {
            Some(text) => {
                check.identifier(&attribute, &self.attribute);
                check.identifier(of("equals"), text);
                let (known, give): (bool, &str) = match &*self.attribute {
                    "level" => (
                        Level::from_name(text).is_some(),
                        "`none`, `blue`, `yellow`, `orange` or `red`",
                    ),
                    "domain" => (
                        Domain::ALL.iter().any(|domain| domain.name() == &**text),
                        "`lifeline`, `public_safety`, `work_safety` or `natural_hazard`",
                    ),
                    "review" => (&**text == "confirmed", "`confirmed`: what is false is no span"),
                    _ => (true, ""),
                };
                if !known {
                    check.wrong(of("equals"), format!("`{}`", shortened(text, 100)), give);
                }
                if RESERVED_NUMBERS.contains(&&*self.attribute) {
                    let give = "an attribute that is a text, or `at_least` and `at_most`";
                    check.wrong(&attribute, format!("`{}`, a number", self.attribute), give);
                }
            }
            None => check_number_name(check, &attribute, Some(&self.attribute)),
        }
        for (name, number) in [("at_least", self.at_least), ("at_most", self.at_most)] {
            if let Some(number) = number.filter(|number| number.thousandths().is_none()) {
                check.wrong(
                    of(name),
                    number,
                    "a number with at most three decimals, from -1e12 to 1e12",
                );
            }
        }
    }
}

impl Record for Gauge {
    const SPEC: Spec = Spec {
        id: 17,
        name: "in.gauge",
        shape: Shape::InputTable,
        key: "id",
        capability: Some(capability::GAUGES),
        example: r#"{"id":"g1","title":"Smoke, by town","of":"event","kind":"smoke","where":[{"attribute":"confidence","at_least":0.8}],
            "by":"town","lasts":"10m","measure":"distinct","attributes":["source"]}"#,
    };
}

impl TableRecord for Gauge {
    fn id(&self) -> Text {
        self.id.text().clone()
    }

    fn check(&self, check: &mut Check) {
        check.identifier("id", &self.id);
        check.text("title", &self.title);
        check.identifier_if_any("kind", self.kind.as_deref());
        if self.conditions.len() > MOST_CONDITIONS {
            let found = format!("a list of {}", self.conditions.len());
            check.wrong("where", found, "at most 20 conditions");
        }
        for (index, condition) in self.conditions.iter().enumerate() {
            condition.check(index, check);
        }
        check_length(check, "lasts", self.lasts.as_ref(), 1_000);
        check_length(check, "gap", self.gap.as_ref(), 1_000);
        if let Some(at_least) = self.at_least.filter(|at_least| !(1..=1_000).contains(at_least)) {
            check.wrong("at_least", at_least, "1 to 1000");
        }
        self.check_measure(check);
        self.check_sort(check);
        self.check_attributes(check);
    }
}

/// A row of `out.gauge`, keyed by `gauge/subject`: what a gauge shows of one asset or region. There is one while any of its spans
/// holds, or the value is neither 0, nor `none`, nor unknown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct GaugeState {
    /// The gauge.
    pub gauge: Id<Gauge>,
    /// What people call it.
    pub title: Text,
    /// What is measured.
    pub measure: Measure,
    /// The asset or region of which it is the value.
    pub subject: GaugeSubject,
    /// Where that is: the region itself, or that of the asset.
    pub region: RegionCode,
    /// The value: a number of spans, things or beginnings, a sum of weights, the greatest number, or milliseconds. Absent where a level
    /// is shown, where the value is unknown, and of `elapsed`, which grows with time: there `since` says it. Of `covered` the value
    /// at `since`; while any span holds it grows by time from there on.
    pub value: Option<Number>,
    /// The level; only of `highest` without a number, and of `fused`.
    pub level: Option<Level>,
    /// When the value became what it is; of `elapsed` since when there has been a span; of `covered` the last instant at which a span
    /// began or ended, or the bucket did. Absent where it has always been so.
    pub since: Option<Millis>,
    /// Spans that hold, at most ten: first by level, then by weight, the greatest first; then by beginning, then by identifier, and of one
    /// permit by holder.
    pub members: Vec<GaugeMember>,
}

/// The subject of a gauge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct GaugeSubject {
    /// What it is.
    pub kind: SubjectKind,
    /// Its identifier: the asset's, or the region's code.
    pub id: Text,
}

/// What a gauge has a value of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// An asset.
    Asset,
    /// A region.
    Region,
}

/// A span that holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct GaugeMember {
    /// Of what sort it is.
    pub of: SpanKind,
    /// The identifier of the event, permit or maintenance window; of a holder that of the permit.
    pub id: Text,
    /// What happened; of permits and holders the kind of work, of windows what is done.
    pub kind: Text,
    /// Since when it holds.
    pub from: Millis,
    /// Up to when, without it; absent where it goes on.
    pub to: Option<Millis>,
    /// How grave it is; only events are.
    pub level: Level,
    /// How much it counts; all but events count as 1.
    pub weight: Number,
    /// Who or what told of an event; of a holder who it is. Empty of permits and windows.
    pub source: Text,
    /// Where the evidence of an event is to be seen.
    pub evidence: Text,
}

impl Record for GaugeState {
    const SPEC: Spec = Spec {
        id: 530,
        name: "out.gauge",
        shape: Shape::OutputTable,
        key: "gauge/subject",
        capability: Some(capability::GAUGES),
        example: "",
    };
}

impl OutputRecord for GaugeState {
    const LIST: Option<Listed> = Some(Listed {
        name: "gauges",
        about: "what gauges show, by gauge and asset or region",
        filters: &[Filter::Within, Filter::Least, Filter::Gauge],
        scope: None,
    });

    fn key(&self) -> Text {
        joined(&[&self.gauge, &self.subject.id]).into()
    }

    fn facets(&self) -> Facets<'_> {
        Facets {
            region: Some(self.region),
            level: self.level,
            gauge: Some(&self.gauge),
            ..Facets::default()
        }
    }
}

#[cfg(test)]
mod tests;
