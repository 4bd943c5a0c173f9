use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The level of a warning or a risk, after the four colours of Chinese early warning (GB/T 35965.1-2018).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Level {
    /// 0: nothing is on.
    #[default]
    None = 0,
    /// 1: IV, the lowest warning.
    Blue = 1,
    /// 2: III.
    Yellow = 2,
    /// 3: II.
    Orange = 3,
    /// 4: I, the highest warning.
    Red = 4,
}

impl Level {
    /// All five, lowest first.
    pub const ALL: [Self; 5] = [Self::None, Self::Blue, Self::Yellow, Self::Orange, Self::Red];
    /// The four that warn, lowest first.
    pub const WARNING: [Self; 4] = [Self::Blue, Self::Yellow, Self::Orange, Self::Red];

    /// 0 to 4.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name on the topics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Blue => "blue",
            Self::Yellow => "yellow",
            Self::Orange => "orange",
            Self::Red => "red",
        }
    }

    /// The level of that name, or `None`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The inherent (static) level of an asset from the risk census: 1, the lowest, to 4, the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
pub struct InherentLevel(#[schemars(range(min = 1, max = 4))] u8);

impl InherentLevel {
    /// An inherent level, or `None` outside 1 to 4.
    #[must_use]
    pub const fn new(level: u8) -> Option<Self> {
        if level >= 1 && level <= 4 {
            Some(Self(level))
        } else {
            None
        }
    }

    /// 1 to 4.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl<'de> Deserialize<'de> for InherentLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u8(InherentVisitor)
    }
}

struct InherentVisitor;

impl de::Visitor<'_> for InherentVisitor {
    type Value = InherentLevel;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number from 1 to 4")
    }

    fn visit_u64<E: de::Error>(self, level: u64) -> Result<InherentLevel, E> {
        let inherent = u8::try_from(level).ok().and_then(InherentLevel::new);
        inherent.ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(level), &self))
    }
}

/// The four monitored fields of 安委办函〔2023〕145号.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    /// 城市生命线工程
    Lifeline,
    /// 公共安全
    PublicSafety,
    /// 生产安全, also called 安全生产.
    #[serde(alias = "production_safety")]
    WorkSafety,
    /// 自然灾害
    NaturalHazard,
}

impl Domain {
    /// All four.
    pub const ALL: [Self; 4] = [
        Self::Lifeline,
        Self::PublicSafety,
        Self::WorkSafety,
        Self::NaturalHazard,
    ];

    /// The name on the topics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lifeline => "lifeline",
            Self::PublicSafety => "public_safety",
            Self::WorkSafety => "work_safety",
            Self::NaturalHazard => "natural_hazard",
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One domain, or all of them together. On the topics: the domain's name, or `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DomainScope {
    /// All four domains together.
    All,
    /// One domain.
    One(Domain),
}

impl DomainScope {
    /// `all`, then the four domains.
    pub const EACH: [Self; 5] = [
        Self::All,
        Self::One(Domain::Lifeline),
        Self::One(Domain::PublicSafety),
        Self::One(Domain::WorkSafety),
        Self::One(Domain::NaturalHazard),
    ];

    /// The name on the topics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::One(domain) => domain.name(),
        }
    }
}

impl fmt::Display for DomainScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for DomainScope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.name())
        } else {
            serializer.serialize_u8(match self {
                Self::All => 0,
                Self::One(domain) => 1 + *domain as u8,
            })
        }
    }
}

impl<'de> Deserialize<'de> for DomainScope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
            Self::EACH
                .into_iter()
                .find(|scope| scope.name() == name)
                .ok_or_else(|| de::Error::custom(format!("`{name}` is no domain; give `all` or one of the four")))
        } else {
            let index = u8::deserialize(deserializer)?;
            Self::EACH
                .get(usize::from(index))
                .copied()
                .ok_or_else(|| de::Error::custom("domain out of range"))
        }
    }
}

impl JsonSchema for DomainScope {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DomainScope".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<&str> = Self::EACH.iter().map(|scope| scope.name()).collect();
        schemars::json_schema!({ "type": "string", "enum": names })
    }
}
