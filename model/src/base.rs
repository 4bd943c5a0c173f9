//! Base records: slowly changing rows of compacted topics. For each key the last record counts; a null payload deletes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::observation::Reading;
use crate::topic::{Record, Shape, Spec};
use crate::{
    Check, Domain, Id, InherentLevel, Level, Number, RegionCode, TableRecord, Text, TextMap, duration, shortened,
};

/// An asset exposes at most so many people.
const MOST_PEOPLE: u32 = 100_000_000;
/// So many numbers may stand for no value.
const MOST_NO_VALUES: usize = 20;
/// A datastream knows so many states.
const MOST_STATES: usize = 100;

/// A record of `base.region`, keyed by `code`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Region {
    /// The statistical code, or another one.
    pub code: RegionCode,
    /// The name people use.
    pub name: Text,
    /// The region that it lies in. A statistical code says that itself; of another one it is absent where it lies in none.
    #[serde(default)]
    pub parent: Option<RegionCode>,
    /// Thresholds for all datastreams of assets within it, by rule and then by level (`blue`) or named comparison of a level (`blue.h3`).
    /// Those of a region further within stand before them, and so do those of the asset and of the datastream; they stand before
    /// the rule's. In the rule's unit, exact to thousandths, -1e12 to 1e12.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub thresholds: ThresholdsByRule,
}

impl Record for Region {
    const SPEC: Spec = Spec {
        id: 1,
        name: "base.region",
        shape: Shape::InputTable,
        key: "code",
        capability: None,
        example: r#"{"code":"330902","name":"Dinghai","parent":"3309","thresholds":{"r":{"blue":45.0}}}"#,
    };
}

impl TableRecord for Region {
    fn id(&self) -> Text {
        self.code.to_string().into()
    }

    fn check(&self, check: &mut Check) {
        check.text("name", &self.name);
        let (code, by_code) = (self.code, self.code.parent());
        match self.parent {
            None => {}
            Some(parent) if code.is_statistical() && Some(parent) != by_code => {
                let give = by_code.map_or_else(
                    || "none: no region lies above a province".to_owned(),
                    |parent| format!("`{parent}`, as its digits say, or leave it out"),
                );
                check.wrong("parent", format!("`{parent}`"), &give);
            }
            Some(parent) if parent == code => {
                let found = format!("`{parent}`, the region itself");
                check.wrong("parent", found, "another region, or leave it out");
            }
            Some(_) => {}
        }
        check_thresholds(check, &self.thresholds);
    }
}

/// Thresholds that a row has for rules, by the rule's identifier and then by level (`blue`) or named comparison of a level (`blue.h3`).
pub type ThresholdsByRule = TextMap<TextMap<Number>>;

/// Notes what is wrong with them by themselves.
fn check_thresholds(check: &mut Check, thresholds: &ThresholdsByRule) {
    for (rule, own) in thresholds.iter() {
        check.identifier(format_args!("thresholds.{rule}"), rule);
        for (key, threshold) in own.iter() {
            // Written down only if something is wrong with it.
            let field = format_args!("thresholds.{rule}.{key}");
            let (level, name) = match key.split_once('.') {
                Some((level, name)) => (level, Some(name)),
                None => (&**key, None),
            };
            if !Level::WARNING.iter().any(|known| known.name() == level) {
                let give = "a level, `blue`, `yellow`, `orange` or `red`, or one with a name, such as `blue.h3`";
                check.wrong(field, "for no level", give);
            }
            check.identifier_if_any(field, name);
            if threshold.thousandths().is_none() {
                let give = "a number with at most three decimals, from -1e12 to 1e12";
                check.wrong(field, threshold, give);
            }
        }
    }
}

/// A record of `base.asset`, keyed by `id`: something at risk, or that puts others at risk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Asset {
    /// The identifier.
    pub id: Id<Asset>,
    /// The name people use.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub name: Text,
    /// The kind of asset, such as `reservoir` or `gas_station`; rules select by it.
    pub category: Text,
    /// The monitored field that it belongs to.
    pub domain: Domain,
    /// Where it stands; usually a village.
    pub region: RegionCode,
    /// From the risk census.
    pub inherent_level: InherentLevel,
    /// People exposed to it.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    #[schemars(range(min = 0, max = 100_000_000))]
    pub population: u32,
    /// Longitude and latitude in degrees, WGS 84 or CGCS2000.
    #[serde(default, deserialize_with = "crate::field::object_or_none")]
    pub position: Option<Position>,
    /// Free words that rules may select by.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub tags: Box<[Text]>,
    /// Thresholds for all its datastreams, by rule and then by level (`blue`) or named comparison of a level (`blue.h3`). Those of a
    /// datastream stand before them; they stand before those of regions and of the rule. In the rule's unit, exact to thousandths,
    /// -1e12 to 1e12.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub thresholds: ThresholdsByRule,
}

impl Record for Asset {
    const SPEC: Spec = Spec {
        id: 2,
        name: "base.asset",
        shape: Shape::InputTable,
        key: "id",
        capability: None,
        example: r#"{"id":"a1","name":"Reservoir 7","category":"reservoir","domain":"natural_hazard","region":"330902001001",
            "inherent_level":3,"population":1200,"position":{"longitude":122.1,"latitude":30.0},"tags":["x"],
            "thresholds":{"r":{"blue":47.5}}}"#,
    };
}

impl TableRecord for Asset {
    fn id(&self) -> Text {
        self.id.text().clone()
    }

    fn check(&self, check: &mut Check) {
        check.identifier("id", &self.id);
        check.text("name", &self.name);
        check.identifier("category", &self.category);
        check.identifiers("tags", &self.tags);
        check_thresholds(check, &self.thresholds);
        if self.population > MOST_PEOPLE {
            check.wrong("population", self.population, "0 to 100000000");
        }
        if let Some(Position { longitude, latitude }) = self.position {
            if longitude.0.abs() > 180.0 {
                check.wrong("position.longitude", longitude, "degrees from -180 to 180");
            }
            if latitude.0.abs() > 90.0 {
                check.wrong("position.latitude", latitude, "degrees from -90 to 90");
            }
        }
    }
}

/// A place on the earth in WGS 84 or CGCS2000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    /// Degrees east, -180 to 180.
    pub longitude: Number,
    /// Degrees north, -90 to 90.
    pub latitude: Number,
}

/// A record of `base.datastream`, keyed by `id`: one observed property of one asset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Datastream {
    /// The identifier.
    pub id: Id<Datastream>,
    /// The asset's identifier, as in `base.asset`.
    pub asset: Id<Asset>,
    /// What is measured, such as `rainfall` or `river_stage`; rules select by it.
    pub observed_property: Text,
    /// The unit of results, as UCUM writes it (`mm`, `m/s`, `Cel`, `[in_i]`). Results under a rule that states another unit are
    /// converted, exactly; where they cannot be, they are taken as they are, with the rule's own thresholds, and `out.unmatched` says so. Without a unit
    /// here or in the rule the two are taken to be the same.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub unit: Text,
    /// Free words that rules may select by.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub tags: Box<[Text]>,
    /// Thresholds of its own, by rule and then by level (`blue`) or named comparison of a level (`blue.h3`); they stand before those of
    /// its asset, of the asset's regions, and of the rule. In the datastream's unit, exact to thousandths, -1e12 to 1e12. Where one is wrong together with
    /// its rule (see `riskflow check --rules`), the rule's own values hold.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub thresholds: ThresholdsByRule,
    /// Which results it can measure at all, both borders included. One outside is kept, and counts as of bad quality. Exact to
    /// thousandths.
    #[serde(default, deserialize_with = "crate::field::boxed_or_none")]
    pub valid: Option<Box<ValidRange>>,
    /// Numbers that stand for "no value", such as -9999: such a result is kept, and counts as of bad quality. At most 20, exact to
    /// thousandths.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub no_value: Box<[Number]>,
    /// How often it reports, such as `5m`; `1s` to `366d`. Explanations of its warnings name it.
    #[serde(default)]
    pub interval: Option<Text>,
    /// Whether it reports at an interval, or only when something happens. Of the latter a window without observations has the sum 0;
    /// of the former nothing is known of it.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub reporting: Reporting,
    /// The numbers that stand for states which it reports by name, such as `{"closed":0,"open":1,"fault":2}`. `true` and `false` are 1
    /// and 0 where they are not among them. At most 100, exact to thousandths, -1e9 to 1e9. They hold for what arrives from then on.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub states: TextMap<Number>,
}

/// When a datastream reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reporting {
    /// Again and again, whatever it measures.
    #[default]
    Interval,
    /// When something happens, such as a tip of a rain gauge.
    OnEvent,
}

impl Record for Datastream {
    const SPEC: Spec = Spec {
        id: 3,
        name: "base.datastream",
        shape: Shape::InputTable,
        key: "id",
        capability: None,
        example: r#"{"id":"s1","asset":"a1","observed_property":"rainfall","unit":"mm","tags":["t"],
            "thresholds":{"r":{"blue":50.0}},"valid":{"min":-1,"max":500.5},"no_value":[-9999,999.9],"interval":"5m","reporting":"on_event",
            "states":{"open":1.0}}"#,
    };
}

impl TableRecord for Datastream {
    fn id(&self) -> Text {
        self.id.text().clone()
    }

    fn check(&self, check: &mut Check) {
        check.identifier("id", &self.id);
        check.identifier("asset", &self.asset);
        check.identifier("observed_property", &self.observed_property);
        check.word("unit", &self.unit);
        check.identifiers("tags", &self.tags);
        check_thresholds(check, &self.thresholds);
        self.check_results(check);
    }
}

impl Datastream {
    /// Which results are values, and how often they come.
    fn check_results(&self, check: &mut Check) {
        let exact = |number: Number| number.thousandths().is_some() && number.0.abs() <= Reading::LIMIT;
        let give = "a number with at most three decimals, from -1e9 to 1e9: no result lies beyond";
        if let Some(ValidRange { min, max }) = self.valid.as_deref().copied() {
            for (name, border) in [("valid.min", min), ("valid.max", max)] {
                if let Some(border) = border.filter(|border| !exact(*border)) {
                    check.wrong(name, border, give);
                }
            }
            match (min, max) {
                (None, None) => check.wrong("valid", "without borders", "`min`, `max` or both"),
                (Some(min), Some(max)) if min.0 > max.0 => {
                    check.wrong("valid.max", max, &format!("at least {min}, as `valid.min` is"));
                }
                _ => {}
            }
        }
        if self.no_value.len() > MOST_NO_VALUES {
            let found = format!("a list of {}", self.no_value.len());
            check.wrong("no_value", found, "at most 20 numbers");
        }
        let inexact = self.no_value.iter().enumerate().filter(|(_, number)| !exact(**number));
        for (index, number) in inexact {
            check.wrong(format_args!("no_value[{index}]"), number, give);
        }
        let states = self.states.iter().count();
        if states > MOST_STATES {
            check.wrong("states", format!("a map of {states}"), "at most 100 states");
        }
        for (name, number) in self.states.iter().filter(|_| states <= MOST_STATES) {
            let field = format_args!("states.{name}");
            check.identifier(field, name);
            if name.trim().replacen(',', ".", 1).parse::<f64>().is_ok() {
                check.wrong(
                    field,
                    "the name of a number",
                    "the name of a state: a number in quotes is no result",
                );
            }
            if !exact(*number) {
                check.wrong(field, number, give);
            }
        }
        if let Some(interval) = &self.interval {
            let millis = duration::parse(interval).ok();
            if !millis.is_some_and(|millis| (1_000..=366 * 86_400_000).contains(&millis)) {
                let found = format!("`{}`", shortened(interval, 100));
                check.wrong("interval", found, "a duration from 1s to 366d, such as `5m`");
            }
        }
    }
}

/// The results that a sensor can measure; where a border is missing, there is none on that side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ValidRange {
    /// The least.
    #[serde(default)]
    pub min: Option<Number>,
    /// The greatest.
    #[serde(default)]
    pub max: Option<Number>,
}
