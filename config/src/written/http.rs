//! `[http]` of `riskflow.toml`: where it listens, TLS, and who may write actions.

use std::path::PathBuf;

use riskflow_model::RegionCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problems::Check;
use crate::secret::{Secret, WrittenSecret};
use crate::settings::{ActionSettings, CONNECTIONS, Clock, HttpSettings, Input, TlsSettings, TokenSettings};

/// Metrics, health, JSON views, and the way in for actions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenHttp {
    /// Whether to listen at all.
    pub enabled: bool,
    /// The address; loopback unless someone decides otherwise, for reading needs no authentication.
    pub listen: String,
    /// Host names that requests may ask for it by (their `Host` header, without port). Loopback names and the address in `listen`
    /// need not stand here, nor any address where it listens on all of them; other names are refused (421), so that no web page
    /// reaches it by a name of its own (DNS rebinding).
    pub hosts: Vec<String>,
    /// How many connections may be open at once, 8 to 65,536. Each takes one of the files that the process may open.
    pub max_connections: usize,
    /// With both files it is HTTPS only.
    pub tls: WrittenTls,
    /// Who may write actions, if anyone.
    pub actions: WrittenActions,
}

/// TLS; none where both are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenTls {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// `POST /api/v1/warnings/{id}/actions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenActions {
    /// Whether it is there at all. Beyond loopback it needs TLS.
    pub enabled: bool,
    /// Who may use it.
    pub tokens: Vec<WrittenToken>,
}

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
}

impl Default for WrittenHttp {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: "127.0.0.1:9464".into(),
            hosts: Vec::new(),
            max_connections: CONNECTIONS,
            tls: WrittenTls::default(),
            actions: WrittenActions::default(),
        }
    }
}

impl Check {
    /// `input` and `clock` say whether anyone would read what is written.
    pub(crate) fn http(&mut self, written: &WrittenHttp, input: &Input, clock: Clock) -> Option<HttpSettings> {
        let address: Option<std::net::SocketAddr> = written.listen.parse().ok();
        if address.is_none() {
            self.problems.add(
                "http.listen",
                format!("`{}`", written.listen),
                "an address and port like `127.0.0.1:9464`",
            );
        }
        for (index, host) in written.hosts.iter().enumerate() {
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if host.is_empty() || !host.chars().all(legal) {
                let give = "a host name such as `riskflow.example`, without scheme and port";
                self.problems
                    .add(format!("http.hosts[{index}]"), format!("`{host}`"), give);
            }
        }
        let max_connections = self.count("http.max_connections", written.max_connections, 8, 65_536);
        let tls = self.tls(&written.tls);
        let actions = written.actions.enabled.then(|| {
            self.actions_are_read(input, clock);
            let public = address.is_some_and(|address| !address.ip().is_loopback());
            if public && tls.is_none() {
                let give =
                    "certificate and key, or a loopback address in `http.listen`: tokens are not for others to read";
                self.problems.add("http.tls", "not set although actions are on", give);
            }
            self.tokens(&written.actions.tokens)
        });
        let address = address.filter(|_| written.enabled)?;
        Some(HttpSettings {
            address,
            hosts: written.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            max_connections,
            tls,
            actions,
        })
    }

    fn actions_are_read(&mut self, input: &Input, clock: Clock) {
        let field = "http.actions.enabled";
        if matches!(input, Input::Files(_)) {
            let give = "`false`, or a log or Kafka as input: files take no actions";
            self.problems.add(field, "`true`", give);
        } else if clock != Clock::Live {
            let give = "`false`, or `input.clock = \"live\"`: a replay reads nothing that comes later";
            self.problems.add(field, "`true`", give);
        }
    }

    fn tls(&mut self, written: &WrittenTls) -> Option<TlsSettings> {
        let files = [("certificate", &written.certificate), ("key", &written.key)];
        if files.iter().all(|(_, path)| path.as_os_str().is_empty()) {
            return None;
        }
        for (name, path) in files {
            if !path.is_file() {
                let found = format!("`{}`, which is no file", path.display());
                let give = "a PEM file; neither certificate nor key for plain HTTP";
                self.problems.add(format!("http.tls.{name}"), found, give);
            }
        }
        Some(TlsSettings {
            certificate: written.certificate.clone(),
            key: written.key.clone(),
        })
    }

    fn tokens(&mut self, written: &[WrittenToken]) -> ActionSettings {
        if written.is_empty() {
            let give = "at least one token, or `http.actions.enabled = false`";
            self.problems.add("http.actions.tokens", "empty", give);
        }
        let mut tokens = Vec::new();
        let mut before: Vec<(&WrittenToken, Option<Secret>)> = Vec::new();
        for (index, token) in written.iter().enumerate() {
            let path = format!("http.actions.tokens[{index}]");
            let hash = self.secret(&format!("{path}.sha256"), &token.sha256);
            tokens.extend(self.token(&path, token, hash.as_ref(), &before));
            before.push((token, hash));
        }
        ActionSettings { tokens }
    }

    fn token(
        &mut self,
        path: &str,
        written: &WrittenToken,
        hash: Option<&Secret>,
        before: &[(&WrittenToken, Option<Secret>)],
    ) -> Option<TokenSettings> {
        let texts = [
            ("name", Some(&written.name)),
            ("role", Some(&written.role)),
            ("unit", written.unit.as_ref()),
        ];
        for (field, text) in texts {
            if text.is_some_and(|text| text.trim().is_empty() || text.len() > 200) {
                let found = if text.is_some_and(|text| text.len() > 200) {
                    "too long"
                } else {
                    "empty"
                };
                self.problems
                    .add(format!("{path}.{field}"), found, "a text of at most 200 bytes");
            }
        }
        if before.iter().any(|(other, _)| other.name == written.name) {
            let found = format!("`{}`, which another token has", written.name);
            self.problems
                .add(format!("{path}.name"), found, "each token its own name");
        }
        let sha256 = hash.and_then(|hash| self.digest(path, hash.reveal(), before));
        let region: Option<RegionCode> = written.region.parse().ok();
        if region.is_none() {
            let found = format!("`{}`", written.region);
            self.problems.add(
                format!("{path}.region"),
                found,
                "a region code: 2, 4, 6, 9 or 12 digits, or another text of at most 39 bytes",
            );
        }
        Some(TokenSettings {
            name: written.name.clone(),
            sha256: sha256?,
            role: written.role.clone(),
            unit: written.unit.clone(),
            region: region?,
            overrides: written.overrides,
            promote: written.promote,
        })
    }

    /// The hash of a token: no other token's. What is wrong with it is told without it.
    fn digest(&mut self, path: &str, hash: &str, before: &[(&WrittenToken, Option<Secret>)]) -> Option<[u8; 32]> {
        let path = format!("{path}.sha256");
        let same = |other: &Secret| other.reveal().eq_ignore_ascii_case(hash);
        let same = |other: &Option<Secret>| other.as_ref().is_some_and(same);
        if let Some((other, _)) = before.iter().find(|(_, other)| same(other)) {
            let found = format!("that of `{}`", other.name);
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

#[cfg(test)]
mod tests {
    use crate::WrittenSettings;

    fn problems(text: &str) -> Vec<(String, String)> {
        let problems = WrittenSettings::from_toml(text).unwrap().check().unwrap_err();
        let pairs = problems
            .iter()
            .map(|problem| (problem.field.clone(), problem.found.clone()));
        pairs.collect()
    }

    #[test]
    fn all_problems_of_http_come_at_once() {
        let text = r#"
            [http]
            listen = "0.0.0.0:9464"
            hosts = ["a.example", "https://b.example:1"]
            max_connections = 1
            [http.actions]
            enabled = true
            [[http.actions.tokens]]
            name = "a"
            sha256 = "abc"
            role = "duty"
            region = "330902"
            [[http.actions.tokens]]
            name = "a"
            sha256 = "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
            role = " "
            region = "a  b"
            [input]
            clock = "arrival"
        "#;
        let fields: Vec<String> = problems(text).into_iter().map(|(field, _)| field).collect();
        let expected = [
            "http.hosts[1]",
            "http.max_connections",
            "http.actions.enabled",
            "http.tls",
            "http.actions.tokens[0].sha256",
            "http.actions.tokens[1].role",
            "http.actions.tokens[1].name",
            "http.actions.tokens[1].sha256",
            "http.actions.tokens[1].region",
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn files_of_tls_must_be_there() {
        let found = problems("[http.tls]\ncertificate = \"/nowhere/c.pem\"");
        let expected = [
            ("http.tls.certificate", "`/nowhere/c.pem`, which is no file"),
            ("http.tls.key", "``, which is no file"),
        ];
        assert_eq!(
            found,
            expected.map(|(field, found)| (field.to_owned(), found.to_owned()))
        );
    }

    #[test]
    fn a_token_is_checked_into_bytes_and_off_means_off() {
        let token = format!(
            "http.actions.tokens = [{{ name = \"a\", sha256 = \"{}Ff\", role = \"duty\", region = \"330902\" }}]",
            "00".repeat(31)
        );
        let check = |text: &str| WrittenSettings::from_toml(text).unwrap().check().unwrap().http.unwrap();
        assert_eq!(check(&token).actions, None);
        let actions = check(&format!("{token}\nhttp.actions.enabled = true")).actions.unwrap();
        let token = &actions.tokens[0];
        assert_eq!((token.sha256[0], token.sha256[31], token.overrides), (0, 255, false));
        assert_eq!(token.region.to_string(), "330902");
    }
}
