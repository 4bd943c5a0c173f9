use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::identifier;

/// The code of a region.
///
/// *Statistical* is one of 2, 4, 6, 9 or 12 digits (province, city, county, town, village). Its parent is the prefix of the next
/// shorter length: 330903001002 → 330903001 → 330903 → 3309 → 33. Any other short text is a code as well, such as `DE21H` or
/// `harbour`: where it lies only its row in `base.region` says ([`Lineage`](crate::Lineage)).
///
/// Statistical ones come first, ordered by digits, so that everything within a region follows it; then all others, by text.
#[derive(Clone, Copy)]
pub struct RegionCode {
    /// The digits, filled up with zeros to twelve; of another code the first bytes of its text.
    head: u64,
    /// How many digits; of another code how many bytes, with the highest bit set.
    len: u8,
    /// The other bytes of its text.
    tail: [u8; TAIL],
}

/// The longest code that is not statistical, in bytes: a UUID has 36.
pub const LONGEST_CODE: usize = HEAD + TAIL;
const HEAD: usize = size_of::<u64>();
const TAIL: usize = 31;
const OTHER: u8 = 1 << 7;

/// The administrative tier of a region with a statistical code.
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
#[error(
    "`{found}` is no region code: {why}; give 2, 4, 6, 9 or 12 digits, or another text of at most {LONGEST_CODE} bytes"
)]
pub struct ParseRegionError {
    found: String,
    why: String,
}

impl RegionCode {
    /// The tier, by the number of digits; `None` where the code is not statistical.
    #[must_use]
    pub const fn tier(self) -> Option<Tier> {
        match self.len {
            2 => Some(Tier::Province),
            4 => Some(Tier::City),
            6 => Some(Tier::County),
            9 => Some(Tier::Town),
            12 => Some(Tier::Village),
            _ => None,
        }
    }

    /// Whether the code itself says where the region lies.
    #[must_use]
    pub const fn is_statistical(self) -> bool {
        self.len & OTHER == 0
    }

    /// The region that this one is part of, as far as the code says it: not that of a province, nor of a code that is not
    /// statistical.
    #[must_use]
    pub const fn parent(self) -> Option<Self> {
        let digits = match self.len {
            12 => 9,
            9 => 6,
            6 => 4,
            4 => 2,
            _ => return None,
        };
        let unit = 10u64.pow(12 - digits as u32);
        Some(Self {
            head: self.head / unit * unit,
            len: digits,
            tail: [0; TAIL],
        })
    }

    /// This region, then its parents, as far as its code says them: those of a statistical code up to the province.
    pub fn by_code(self) -> impl Iterator<Item = Self> + Clone {
        std::iter::successors(Some(self), |region| region.parent())
    }

    /// Whether `self` is `other` or lies within it, as far as its code says it.
    #[must_use]
    pub fn within_by_code(self, other: Self) -> bool {
        if self.is_statistical() && other.is_statistical() {
            let unit = 10u64.pow(12 - u32::from(other.len));
            self.len >= other.len && self.head / unit == other.head / unit
        } else {
            self == other
        }
    }

    fn other(text: &str) -> Self {
        let mut bytes = [0; LONGEST_CODE];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        let (mut head, mut tail) = ([0; HEAD], [0; TAIL]);
        head.copy_from_slice(&bytes[..HEAD]);
        tail.copy_from_slice(&bytes[HEAD..]);
        Self {
            head: u64::from_be_bytes(head),
            len: OTHER | text.len() as u8,
            tail,
        }
    }

    /// The text of a code.
    fn with_text<T>(&self, with: impl FnOnce(&str) -> T) -> T {
        if self.is_statistical() {
            let mut digits = [b'0'; 12];
            let mut rest = self.head;
            for digit in digits.iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            let text = str::from_utf8(&digits[..usize::from(self.len)]);
            return with(text.expect("digits are a text"));
        }
        let mut bytes = [0; LONGEST_CODE];
        bytes[..HEAD].copy_from_slice(&self.head.to_be_bytes());
        bytes[HEAD..].copy_from_slice(&self.tail);
        let text = str::from_utf8(&bytes[..usize::from(self.len & !OTHER)]);
        with(text.expect("it was made of a text"))
    }
}

impl PartialEq for RegionCode {
    fn eq(&self, other: &Self) -> bool {
        self.head == other.head && self.len == other.len && (self.is_statistical() || self.tail == other.tail)
    }
}

impl Eq for RegionCode {}

impl PartialOrd for RegionCode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RegionCode {
    fn cmp(&self, other: &Self) -> Ordering {
        let kinds = other.is_statistical().cmp(&self.is_statistical());
        let heads = || self.head.cmp(&other.head);
        let tails = || match self.is_statistical() {
            true => Ordering::Equal,
            false => self.tail.cmp(&other.tail),
        };
        kinds.then_with(heads).then_with(tails).then(self.len.cmp(&other.len))
    }
}

impl Hash for RegionCode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.head);
        state.write_u8(self.len);
        if !self.is_statistical() {
            state.write(&self.tail);
        }
    }
}

impl FromStr for RegionCode {
    type Err = ParseRegionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len();
        if matches!(digits, 2 | 4 | 6 | 9 | 12)
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && let Ok(number) = text.parse::<u64>()
        {
            return Ok(Self {
                head: number * 10u64.pow(12 - digits as u32),
                len: digits as u8,
                tail: [0; TAIL],
            });
        }
        let wrong = |why: String| ParseRegionError {
            found: text.chars().take(LONGEST_CODE).collect(),
            why,
        };
        if text.len() > LONGEST_CODE {
            return Err(wrong(format!("it has {} bytes", text.len())));
        }
        identifier::check(text).map_err(|problem| {
            let why = problem.found.split_once(": ").map(|(_, why)| why.to_owned());
            wrong(why.unwrap_or_else(|| "it is empty".to_owned()))
        })?;
        Ok(Self::other(text))
    }
}

impl fmt::Display for RegionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.write_str(text))
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
            self.with_text(|text| serializer.serialize_str(text))
        } else if self.is_statistical() {
            (self.head, self.len, "").serialize(serializer)
        } else {
            self.with_text(|text| (0u64, self.len, text).serialize(serializer))
        }
    }
}

impl<'de> Deserialize<'de> for RegionCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = <Cow<'de, str>>::deserialize(deserializer)?;
            return text.parse().map_err(de::Error::custom);
        }
        let (head, len, text) = <(u64, u8, Cow<'de, str>)>::deserialize(deserializer)?;
        match len & OTHER {
            0 => Ok(Self {
                head,
                len,
                tail: [0; TAIL],
            }),
            _ if text.len() <= LONGEST_CODE => Ok(Self::other(&text)),
            _ => Err(de::Error::custom("a region code that is too long")),
        }
    }
}

impl JsonSchema for RegionCode {
    fn schema_name() -> Cow<'static, str> {
        "RegionCode".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "Statistical code: 2 (province), 4 (city), 6 (county), 9 (town) or 12 (village) digits. Or another text of \
                            at most 39 bytes, of which its row in base.region says the parent.",
            "minLength": 1,
            "maxLength": LONGEST_CODE
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::binary;

    fn region(text: &str) -> RegionCode {
        text.parse().unwrap()
    }

    #[test]
    fn parents_are_prefixes() {
        let up: Vec<String> = region("330903001002").by_code().map(|r| r.to_string()).collect();
        assert_eq!(up, ["330903001002", "330903001", "330903", "3309", "33"]);
        assert_eq!(region("3309").parent(), Some(region("33")));
        assert_eq!(region("33").parent(), None);
        assert_eq!(region("DE21H").parent(), None);
    }

    #[test]
    fn within_is_by_prefix() {
        assert!(region("330903001002").within_by_code(region("3309")));
        assert!(region("3309").within_by_code(region("3309")));
        assert!(!region("3309").within_by_code(region("330903")));
        assert!(!region("330904001002").within_by_code(region("330903")));
        assert!(
            !region("33090").within_by_code(region("3309")),
            "another code is no prefix"
        );
        assert!(!region("3309").within_by_code(region("33090")));
    }

    #[test]
    fn codes_of_other_shapes_are_what_was_written() {
        let uuid = "6f1c0e0a-8d3b-4a44-9a52-0f8b6a1f2c3d";
        for text in [
            "3",
            "330",
            "33090",
            "33O9",
            "+309",
            "3309030010021",
            "DE21H",
            "渔港-东",
            uuid,
        ] {
            let code = region(text);
            assert_eq!((code.to_string().as_str(), code.tier()), (text, None));
            let bytes = binary::encode(&code).unwrap();
            assert_eq!(binary::decode::<RegionCode>(&bytes).unwrap(), code);
        }
        for text in ["", " 3309", "a\u{200b}b", &"x".repeat(40), "\"33\""] {
            assert!(text.parse::<RegionCode>().is_err(), "{text}");
        }
        let error = "x".repeat(40).parse::<RegionCode>().unwrap_err().to_string();
        assert!(error.contains("has 40 bytes; give 2, 4, 6, 9 or 12 digits"), "{error}");
    }

    #[test]
    fn statistical_codes_come_first_and_others_by_text() {
        let codes = [
            "33",
            "3309",
            "330902",
            "34",
            "33090",
            "DE",
            "DE2",
            "DE21",
            "DE21H",
            "DE21H-long-one",
            "DE22",
        ];
        let sorted: BTreeSet<RegionCode> = codes.into_iter().rev().map(region).collect();
        assert_eq!(sorted.iter().map(ToString::to_string).collect::<Vec<_>>(), codes);
    }
}
