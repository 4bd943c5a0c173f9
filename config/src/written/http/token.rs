//! Bearer tokens, as written and as checked.

use riskflow_model::RegionCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problems::Check;
use crate::secret::{Secret, WrittenSecret};
use crate::settings::{ReaderSettings, TokenSettings};

/// A bearer token, and what its holder may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenToken {
    /// Whose it is: stands in logs, and is the `actor` of all its actions.
    pub name: String,
    /// SHA-256 of the token, 64 hexadecimal digits. The token: 32 random bytes or more (`openssl rand -hex 32`). It may stand
    /// elsewhere: `{ file = "…" }`, `{ env = "…" }`.
    pub sha256: WrittenSecret,
    /// The role of its actions.
    pub role: String,
    /// The unit of its actions; without one they are of no unit.
    #[serde(default)]
    pub unit: Option<String>,
    /// A region code: it acts on cases in this region and within.
    pub region: String,
    /// Whether it may archive with `override`.
    #[serde(default, rename = "override")]
    pub overrides: bool,
    /// Whether it may say which rule set is live.
    #[serde(default)]
    pub promote: bool,
    /// Whether it may ask for checkpoints (`riskflow checkpoint take`).
    #[serde(default)]
    pub checkpoint: bool,
}

/// A bearer token that only reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenReader {
    /// Whose it is.
    pub name: String,
    /// SHA-256 of the token, as of one that acts.
    pub sha256: WrittenSecret,
    /// A region code: it sees what lies in this region and within. Without one it sees everything, and what is of no region: what
    /// is unmatched, rule sets, response times of units, operators, metrics.
    #[serde(default)]
    pub region: Option<String>,
}

/// The names and hashes of the tokens before one: no two are the same.
pub(super) type Before<'a> = Vec<(&'a str, Option<Secret>)>;

impl Check {
    pub(super) fn token<'a>(
        &mut self,
        path: &str,
        written: &'a WrittenToken,
        before: &mut Before<'a>,
    ) -> Option<TokenSettings> {
        let hash = self.secret(&format!("{path}.sha256"), &written.sha256);
        self.named(path, "name", &written.name);
        self.named(path, "role", &written.role);
        if let Some(unit) = &written.unit {
            self.named(path, "unit", unit);
        }
        let sha256 = self.its_own(path, (written.name.as_str(), hash), before);
        let region = self.region_of(path, &written.region);
        Some(TokenSettings {
            name: written.name.clone(),
            sha256: sha256?,
            role: written.role.clone(),
            unit: written.unit.clone(),
            region: region?,
            overrides: written.overrides,
            promote: written.promote,
            checkpoint: written.checkpoint,
        })
    }

    pub(super) fn reader<'a>(
        &mut self,
        path: &str,
        written: &'a WrittenReader,
        before: &mut Before<'a>,
    ) -> Option<ReaderSettings> {
        let hash = self.secret(&format!("{path}.sha256"), &written.sha256);
        self.named(path, "name", &written.name);
        let sha256 = self.its_own(path, (written.name.as_str(), hash), before);
        let region = match &written.region {
            Some(code) => Some(self.region_of(path, code)?),
            None => None,
        };
        Some(ReaderSettings {
            name: written.name.clone(),
            sha256: sha256?,
            region,
        })
    }

    fn named(&mut self, path: &str, field: &str, text: &str) {
        let found = match text.len() {
            _ if text.trim().is_empty() => "empty",
            0..=200 => return,
            _ => "too long",
        };
        self.problems
            .add(format!("{path}.{field}"), found, "a text of at most 200 bytes");
    }

    fn region_of(&mut self, path: &str, code: &str) -> Option<RegionCode> {
        let region: Option<RegionCode> = code.parse().ok();
        if region.is_none() {
            self.problems.add(
                format!("{path}.region"),
                format!("`{code}`"),
                "a region code: 2, 4, 6, 9 or 12 digits, or another text of at most 39 bytes",
            );
        }
        region
    }

    /// The hash of a token: neither its name nor its hash is that of one before.
    fn its_own<'a>(
        &mut self,
        path: &str,
        (name, hash): (&'a str, Option<Secret>),
        before: &mut Before<'a>,
    ) -> Option<[u8; 32]> {
        if before.iter().any(|(other, _)| *other == name) {
            let found = format!("`{name}`, which another token has");
            self.problems
                .add(format!("{path}.name"), found, "each token its own name");
        }
        let digest = hash.as_ref().and_then(|hash| self.digest(path, hash.reveal(), before));
        before.push((name, hash));
        digest
    }

    /// The hash of a token: no other token's. What is wrong with it is told without it.
    fn digest(&mut self, path: &str, hash: &str, before: &Before<'_>) -> Option<[u8; 32]> {
        let path = format!("{path}.sha256");
        let same = |other: &Secret| other.reveal().eq_ignore_ascii_case(hash);
        let same = |other: &Option<Secret>| other.as_ref().is_some_and(same);
        if let Some((other, _)) = before.iter().find(|(_, other)| same(other)) {
            let found = format!("that of `{other}`");
            self.problems.add(&path, found, "each token its own");
        }
        let bytes = digest(hash);
        if bytes.is_none() {
            let digits = hash.chars().count();
            let bad = hash.chars().any(|c| !c.is_ascii_hexdigit());
            let found = format!(
                "{digits} characters long{}",
                if bad { ", not all hexadecimal digits" } else { "" }
            );
            let give = "64 hexadecimal digits, as `printf %s TOKEN | sha256sum` prints";
            self.problems.add(&path, found, give);
        }
        bytes
    }
}

fn digest(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}
