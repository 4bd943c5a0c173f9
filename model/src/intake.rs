//! Inputs with versions: permits and certificates, reports, incidents. Of each identifier the record with the highest version
//! counts, in whatever order they come; of the same version the later one. A null payload forgets the identifier.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Asset;
use crate::id::Hazard;
use crate::observation::Reading;
use crate::topic::{Record, Shape, Spec};
use crate::{Check, Domain, Id, Level, Millis, Number, RegionCode, TableRecord, Text, capability};

/// So many people and machines may need a certificate for one work, or hold one certificate.
const MOST_HOLDERS: usize = 100;
/// So many numbers may stand in one report.
const MOST_QUANTITIES: usize = 50;

/// A record of `in.permit`, keyed by `id`: work that is permitted, or a certificate that someone holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Permit {
    /// The identifier.
    pub id: Id<Permit>,
    /// Grows with every change.
    pub version: u32,
    /// Work, or a certificate.
    pub kind: PermitKind,
    /// The kind of work, such as `hot_work`.
    pub work_type: Text,
    /// Of work: the asset where it is done.
    #[serde(default)]
    pub asset: Option<Id<Asset>>,
    /// Of work: the people and equipment that need a certificate for it. Of a certificate: who or what it is for. At most 100.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub holders: Vec<Text>,
    /// In force from here on. Absent or `0001-01-01`: since ever; only of a certificate.
    #[serde(default, deserialize_with = "crate::border::from")]
    pub valid_from: Option<Millis>,
    /// In force up to here, without it. Absent or `9999-12-31`: without end; only of a certificate.
    #[serde(default, deserialize_with = "crate::border::to")]
    pub valid_to: Option<Millis>,
    /// No longer in force from here on; at or before `valid_from`: it never was.
    #[serde(default, deserialize_with = "crate::border::to")]
    pub cancelled_from: Option<Millis>,
}

impl Record for Permit {
    const SPEC: Spec = Spec {
        id: 10,
        name: "in.permit",
        shape: Shape::VersionedTable,
        key: "id",
        capability: Some(capability::PERMITS),
        example: r#"{"id":"i","version":1,"kind":"certificate","work_type":"w","holders":["h"],"valid_from":0,
            "valid_to":1750000020000,"cancelled_from":1750000020000}"#,
    };
}

impl TableRecord for Permit {
    fn id(&self) -> Text {
        self.id.text().clone()
    }

    fn version(&self) -> Option<u32> {
        Some(self.version)
    }

    fn check(&self, check: &mut Check) {
        check.identifier("id", &self.id);
        check.identifier("work_type", &self.work_type);
        check.identifiers("holders", &self.holders);
        if self.holders.len() > MOST_HOLDERS {
            let found = format!("a list of {}", self.holders.len());
            check.wrong("holders", found, "at most 100 holders");
        }
        if let (Some(from), Some(to)) = (self.valid_from, self.valid_to)
            && to <= from
        {
            check.wrong("valid_to", to, "a time after `valid_from`");
        }
        match self.kind {
            PermitKind::Work => {
                match self.asset.as_deref() {
                    None | Some("") => check.wrong("asset", "missing", "the asset where the work is done"),
                    Some(asset) => check.identifier("asset", asset),
                }
                // Work that never ends would count for ever.
                for (name, border) in [("valid_from", self.valid_from), ("valid_to", self.valid_to)] {
                    if border.is_none() {
                        let give = "a time: work is permitted from one to another";
                        check.wrong(name, "missing or unbounded", give);
                    }
                }
            }
            PermitKind::Certificate => {
                if let Some(asset) = &self.asset {
                    check.wrong("asset", format!("`{asset}`"), "none: certificates have holders");
                }
            }
        }
    }
}

impl Permit {
    /// When it is in force: from, and up to but not at; `None` if never.
    #[must_use]
    pub fn in_force(&self) -> Option<(Millis, Millis)> {
        let from = self.valid_from.unwrap_or(Millis::MIN);
        let ends = [self.valid_to, self.cancelled_from].into_iter().flatten();
        let to = ends.min().unwrap_or(Millis::MAX);
        (from < to).then_some((from, to))
    }
}

/// What a permit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PermitKind {
    /// Work at an asset.
    Work,
    /// The right of its holders to do such work.
    Certificate,
}

/// A record of `base.limit`, keyed by `id`: how much work under permit an asset bears. It watches assets as a rule does, and
/// its warnings are those of a rule with this identifier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Limit {
    /// The identifier. A rule of the same name has warnings of its own.
    pub id: Id<Limit>,
    /// Grows with every change; shown in explanations.
    pub version: u32,
    /// What is counted.
    pub measure: Measure,
    /// The kind of work; absent for every kind.
    #[serde(default)]
    pub work_type: Option<Text>,
    /// The kind of the asset: any of these; empty for every kind.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub category: Vec<Text>,
    /// The domain of the asset.
    #[serde(default)]
    pub domain: Option<Domain>,
    /// The asset stands within this region.
    #[serde(default)]
    pub region: Option<RegionCode>,
    /// For each level the least count at which it is on.
    #[serde(deserialize_with = "crate::field::levels")]
    #[schemars(schema_with = "crate::schema::levels::<u32>")]
    pub levels: BTreeMap<Level, u32>,
}

impl Record for Limit {
    const SPEC: Spec = Spec {
        id: 8,
        name: "base.limit",
        shape: Shape::InputTable,
        key: "id",
        capability: Some(capability::PERMITS),
        example: r#"{"id":"i","version":1,"measure":"concurrent_work","work_type":"w","category":["c"],"domain":"lifeline",
            "region":"3309","levels":{"blue":1,"red":2}}"#,
    };
}

impl TableRecord for Limit {
    fn id(&self) -> Text {
        self.id.text().clone()
    }

    fn version(&self) -> Option<u32> {
        Some(self.version)
    }

    fn check(&self, check: &mut Check) {
        check.identifier("id", &self.id);
        check.identifier_if_any("work_type", self.work_type.as_deref());
        check.identifiers("category", &self.category);
        if self.levels.is_empty() {
            check.wrong("levels", "empty", "counts for `blue` to `red`");
        }
        let mut below: Option<(Level, u32)> = None;
        for (level, count) in &self.levels {
            let field = format_args!("levels.{level}");
            match below {
                _ if *count == 0 => check.wrong(field, 0, "1 or more"),
                Some((lower, least)) if *count < least => {
                    let give = format!("at least {least}, as `levels.{lower}` is");
                    check.wrong(field, count, &give);
                }
                _ => {}
            }
            below = Some((*level, *count));
        }
    }
}

/// What a limit counts at an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Work permits in force at once.
    ConcurrentWork,
    /// Holders of work permits in force who have no certificate in force for that kind of work, each counted once for each
    /// permit.
    UncertifiedWork,
}

impl Measure {
    /// The name on the topics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConcurrentWork => "concurrent_work",
            Self::UncertifiedWork => "uncertified_work",
        }
    }
}

/// A record of `in.report`, keyed by `id`: what a town or street reports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// The identifier.
    pub id: Id<Report>,
    /// Grows with every change.
    pub version: u32,
    /// The reporting module.
    pub module: Text,
    /// Where it holds.
    pub region: RegionCode,
    /// What is reported, such as `damage`.
    pub kind: Text,
    /// Numbers by name, such as `houses`: -1e9 to 1e9, exact to thousandths; at most 50.
    #[serde(default, deserialize_with = "crate::field::unique")]
    pub quantities: BTreeMap<Text, Number>,
    /// When it held.
    pub time: Millis,
    /// Whether it was taken back.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub deleted: bool,
}

impl Record for Report {
    const SPEC: Spec = Spec {
        id: 11,
        name: "in.report",
        shape: Shape::VersionedTable,
        key: "id",
        capability: Some(capability::REPORTS),
        example: r#"{"id":"i","version":1,"module":"m","region":"3309","kind":"k","quantities":{"q":1},"time":0,"deleted":false}"#,
    };
}

impl TableRecord for Report {
    fn id(&self) -> Text {
        self.id.text().clone()
    }

    fn version(&self) -> Option<u32> {
        Some(self.version)
    }

    fn check(&self, check: &mut Check) {
        check.identifier("id", &self.id);
        check.identifier("module", &self.module);
        check.identifier("kind", &self.kind);
        if self.quantities.len() > MOST_QUANTITIES {
            let found = format!("{} of them", self.quantities.len());
            check.wrong("quantities", found, "at most 50");
        }
        for (name, quantity) in &self.quantities {
            let field = format_args!("quantities.{name}");
            check.identifier(field, name);
            if quantity.0.abs() > Reading::LIMIT {
                check.wrong(field, quantity, "a number from -1e9 to 1e9");
            }
        }
    }
}

/// A record of `in.incident`, keyed by `id`: something that people saw, at the level that they gave it. Its case is like that
/// of a warning, with the incident's identifier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// The identifier, also of its case; not one of 32 hexadecimal digits, as warnings have them.
    pub id: Id<Incident>,
    /// Grows with every change.
    pub version: u32,
    /// What kind of incident, such as `chemical_leak`; duties and plans select by it as by a rule.
    pub hazard: Id<Hazard>,
    /// What people call it.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub title: Text,
    /// How severe it is; not `none`.
    pub level: Level,
    /// The domain.
    pub domain: Domain,
    /// Where.
    pub region: RegionCode,
    /// The asset, if it is one.
    #[serde(default)]
    pub asset: Option<Id<Asset>>,
    /// When it began.
    pub since: Millis,
    /// Whether it goes on.
    #[serde(default, deserialize_with = "crate::field::or_default")]
    pub state: IncidentState,
}

impl Record for Incident {
    const SPEC: Spec = Spec {
        id: 12,
        name: "in.incident",
        shape: Shape::VersionedTable,
        key: "id",
        capability: Some(capability::CASES),
        example: r#"{"id":"i","version":1,"hazard":"h","title":"t","level":"red","domain":"lifeline","region":"3309","asset":"a",
            "since":0,"state":"open"}"#,
    };
}

impl TableRecord for Incident {
    fn id(&self) -> Text {
        self.id.text().clone()
    }

    fn version(&self) -> Option<u32> {
        Some(self.version)
    }

    fn check(&self, check: &mut Check) {
        check.identifier("id", &self.id);
        check.identifier("hazard", &self.hazard);
        check.text("title", &self.title);
        check.identifier_if_any("asset", self.asset.as_deref());
        check.warning_level(self.level);
        if self.id.len() == 32 && self.id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let give = "another: warnings have 32 hexadecimal digits";
            check.wrong("id", format!("`{}`", self.id), give);
        }
    }
}

/// Whether an incident goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
    /// It goes on.
    #[default]
    Open,
    /// It is over.
    Ended,
    /// It never was.
    Withdrawn,
}
