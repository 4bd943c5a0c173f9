use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A statistical code for an administrative region: 2, 4, 6, 9 or 12 digits (province, city, county, town, village).
///
/// The parent is the prefix of the next shorter length: 330903001002 → 330903001 → 330903 → 3309 → 33. Ordered by
/// digits, so that everything within a region follows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionCode {
    /// The digits, filled up with zeros to twelve.
    padded: u64,
    digits: u8,
}

/// The administrative tier of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// 2 digits.
    Province,
    /// 4 digits.
    City,
    /// 6 digits.
    County,
    /// 9 digits: town, township or street.
    Town,
    /// 12 digits: village or community.
    Village,
}

/// What is wrong with a region code as written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no region code; give 2, 4, 6, 9 or 12 digits")]
pub struct ParseRegionError(String);

impl RegionCode {
    /// The tier, by the number of digits.
    #[must_use]
    pub const fn tier(self) -> Tier {
        match self.digits {
            2 => Tier::Province,
            4 => Tier::City,
            6 => Tier::County,
            9 => Tier::Town,
            _ => Tier::Village,
        }
    }

    /// The region that this one is part of; a province has none here.
    #[must_use]
    pub const fn parent(self) -> Option<Self> {
        let digits = match self.digits {
            12 => 9,
            9 => 6,
            6 => 4,
            4 => 2,
            _ => return None,
        };
        let unit = 10u64.pow(12 - digits as u32);
        Some(Self {
            padded: self.padded / unit * unit,
            digits,
        })
    }

    /// This region, then its parents up to the city.
    pub fn up_to_city(self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), |region| region.parent()).filter(|region| region.digits >= 4)
    }

    /// Whether `self` is `other` or lies within it.
    #[must_use]
    pub const fn within(self, other: Self) -> bool {
        let unit = 10u64.pow(12 - other.digits as u32);
        self.digits >= other.digits && self.padded / unit == other.padded / unit
    }
}

impl FromStr for RegionCode {
    type Err = ParseRegionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len();
        if !matches!(digits, 2 | 4 | 6 | 9 | 12) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseRegionError(text.chars().take(32).collect()));
        }
        let number: u64 = text.parse().map_err(|_| ParseRegionError(text.to_owned()))?;
        Ok(Self {
            padded: number * 10u64.pow(12 - digits as u32),
            digits: digits as u8,
        })
    }
}

impl fmt::Display for RegionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.padded / 10u64.pow(12 - u32::from(self.digits));
        write!(f, "{number:0width$}", width = usize::from(self.digits))
    }
}

impl fmt::Debug for RegionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for RegionCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            (self.padded, self.digits).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for RegionCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
            text.parse().map_err(de::Error::custom)
        } else {
            let (padded, digits) = <(u64, u8)>::deserialize(deserializer)?;
            Ok(Self { padded, digits })
        }
    }
}

impl JsonSchema for RegionCode {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RegionCode".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "Statistical code: 2 (province), 4 (city), 6 (county), 9 (town) or 12 (village) digits.",
            "pattern": "^([0-9]{2}|[0-9]{4}|[0-9]{6}|[0-9]{9}|[0-9]{12})$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(text: &str) -> RegionCode {
        text.parse().unwrap()
    }

    #[test]
    fn parents_are_prefixes() {
        let up: Vec<String> = region("330903001002").up_to_city().map(|r| r.to_string()).collect();
        assert_eq!(up, ["330903001002", "330903001", "330903", "3309"]);
        assert_eq!(region("3309").parent(), Some(region("33")));
        assert_eq!(region("33").parent(), None);
    }

    #[test]
    fn within_is_by_prefix() {
        assert!(region("330903001002").within(region("3309")));
        assert!(region("3309").within(region("3309")));
        assert!(!region("3309").within(region("330903")));
        assert!(!region("330904001002").within(region("330903")));
    }

    #[test]
    fn other_lengths_and_letters_are_refused() {
        for text in ["", "3", "330", "33090", "3309030", "33O9", "+309", "3309030010021"] {
            assert!(text.parse::<RegionCode>().is_err(), "{text}");
        }
    }
}
