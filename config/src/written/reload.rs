//! `[reload]` of `riskflow.toml`: when a running job reads its configuration again; and which files it is made of.

use std::collections::BTreeSet;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::WrittenSettings;
use crate::secret::WrittenSecret;

/// When a running job reads its configuration again, besides when it is told to (SIGHUP).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenReload {
    /// Whether it looks itself, and reads it when a file changed: this one, those of secrets, certificate and key.
    pub watch: bool,
}

impl WrittenSettings {
    /// The files that are read with it: those of secrets, certificate and key.
    #[must_use]
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let http = &self.http;
        let secrets = self.kafka.properties.values();
        let secrets = secrets.chain(http.actions.tokens.iter().map(|token| &token.sha256));
        let secrets = secrets.chain(http.reading.tokens.iter().map(|token| &token.sha256));
        let secrets = secrets.filter_map(|secret| match secret {
            WrittenSecret::File(path) => Some(path),
            WrittenSecret::Text(_) | WrittenSecret::Env(_) => None,
        });
        let tls = [&http.tls.certificate, &http.tls.key];
        let files = secrets.chain(tls).filter(|path| !path.as_os_str().is_empty());
        files.cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_files_are_those_of_secrets_certificate_and_key() {
        let token = |field: &str, file: &str| {
            format!("[[{field}]]\nname = \"a\"\nrole = \"r\"\nregion = \"33\"\nsha256 = {{ file = \"{file}\" }}\n")
        };
        let text = format!(
            "[kafka.properties]\n\"sasl.password\" = {{ file = \"p\" }}\n\"a\" = {{ env = \"E\" }}\n\"b\" = \"t\"\n\
             [http.tls]\ncertificate = \"c\"\nkey = \"k\"\n{}{}",
            token("http.actions.tokens", "x"),
            token("http.reading.tokens", "y").replace("role = \"r\"\n", "")
        );
        let files = WrittenSettings::from_toml(&text).unwrap().files();
        let expected = ["c", "k", "p", "x", "y"];
        assert!(
            files.iter().map(PathBuf::as_path).eq(expected.map(Path::new)),
            "{files:?}"
        );
        assert!(WrittenSettings::default().files().is_empty());
    }
}
