//! `[kafka.schema_registry]` of `riskflow.toml`: where schemas of topics are registered, and as whom.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problems::Check;
use crate::secret::{Secret, WrittenSecret};
use crate::settings::{RegistryCredentials, RegistrySettings};

/// A schema registry with the REST API of Confluent's. `riskflow topics` alone uses it: payloads stay plain JSON, and no job asks it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenSchemaRegistry {
    /// Where its REST API is, such as `http://registry:8081`, or `https://apicurio/apis/ccompat/v7`; empty: there is none.
    pub url: String,
    /// The user of basic authentication; empty: none.
    pub user: String,
    /// The user's password.
    pub password: Option<WrittenSecret>,
    /// A bearer token, in place of user and password.
    pub token: Option<WrittenSecret>,
    /// Certificates of authorities, PEM: with HTTPS these alone are trusted; empty: those of the system.
    pub ca_certificate: PathBuf,
    /// Whether keys are registered, too, as `TOPIC-key`: texts, which stand on Kafka without the quotes of JSON.
    pub keys: bool,
}

impl Check {
    /// Nothing else is looked at where there is no URL.
    pub(crate) fn schema_registry(&mut self, written: &WrittenSchemaRegistry) -> Option<RegistrySettings> {
        const CA: &str = "kafka.schema_registry.ca_certificate";
        if written.url.is_empty() {
            return None;
        }
        let url = self.http_url("kafka.schema_registry.url", &written.url);
        let credentials = self.registry_credentials(written);
        let ca = (!written.ca_certificate.as_os_str().is_empty()).then(|| written.ca_certificate.clone());
        if let Some(file) = ca.as_ref().filter(|file| !file.is_file()) {
            let found = format!("`{}`, which is no file", file.display());
            self.problems.add(CA, found, "a PEM file, or nothing");
        }
        Some(RegistrySettings {
            url: url?,
            credentials: credentials?,
            ca_certificate: ca,
            keys: written.keys,
        })
    }

    /// A URL of HTTP or HTTPS that says where something is and nothing else, without the `/` at its end. What may be a password is not
    /// quoted.
    pub(crate) fn http_url(&mut self, field: &str, text: &str) -> Option<String> {
        const GIVE: &str = "a URL such as `http://host:8081`, or `https://host/path`";
        let Ok(url) = url::Url::parse(text) else {
            let found = if text.contains('@') {
                "no URL".to_owned()
            } else {
                format!("`{text}`, which is no URL")
            };
            self.problems.add(field, found, GIVE);
            return None;
        };
        if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
            let give = "a URL without user and password, which have settings of their own";
            self.problems.add(field, "not usable: it has an `@` in it", give);
            return None;
        }
        let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
        if !is_http || url.query().is_some() || url.fragment().is_some() {
            // A query may have a token in it.
            let shown = text.split(['?', '#']).next().unwrap_or_default();
            let found = format!("`{shown}`, which is not where something is by HTTP");
            self.problems.add(field, found, GIVE);
            return None;
        }
        Some(text.trim_end_matches('/').to_owned())
    }

    fn registry_credentials(&mut self, written: &WrittenSchemaRegistry) -> Option<RegistryCredentials> {
        const USER: &str = "kafka.schema_registry.user";
        const PASSWORD: &str = "kafka.schema_registry.password";
        const TOKEN: &str = "kafka.schema_registry.token";
        let password = written
            .password
            .as_ref()
            .map(|password| self.secret(PASSWORD, password));
        let token = written.token.as_ref().map(|token| self.token_of_header(TOKEN, token));
        if written.user.contains(':') || written.user.chars().any(char::is_control) {
            let give = "a name without `:` and control characters: basic authentication has no other";
            self.problems.add(USER, format!("`{}`", written.user), give);
            return None;
        }
        let user = (!written.user.is_empty()).then(|| written.user.clone());
        match (user, password, token) {
            (None, None, None) => Some(RegistryCredentials::None),
            (Some(user), Some(password), None) => Some(RegistryCredentials::Basic {
                user,
                password: password?,
            }),
            (None, None, Some(token)) => Some(RegistryCredentials::Bearer(token?)),
            (Some(_), _, Some(_)) | (None, Some(_), Some(_)) => {
                let give = "a token, or user and password";
                self.problems.add(TOKEN, "set beside user or password", give);
                None
            }
            (Some(_), None, None) => {
                self.problems.add(PASSWORD, "not set", "that of the user");
                None
            }
            (None, Some(_), None) => {
                self.problems.add(USER, "empty", "whose the password is");
                None
            }
        }
    }

    /// A secret that can stand in a header of HTTP.
    pub(crate) fn token_of_header(&mut self, field: &str, written: &WrittenSecret) -> Option<Secret> {
        let secret = self.secret(field, written)?;
        if secret.reveal().is_empty() || !secret.reveal().chars().all(|c| matches!(c, ' '..='~')) {
            let give = "a text of printable ASCII: it stands in a header of HTTP";
            self.problems.add(field, "not usable", give);
            return None;
        }
        Some(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WrittenSettings;

    fn registry(text: &str) -> Result<Option<RegistrySettings>, String> {
        let written = WrittenSettings::from_toml(&format!("[kafka.schema_registry]\n{text}"))
            .map_err(|problems| problems.to_string())?;
        let settings = written.check().map_err(|problems| problems.to_string())?;
        assert!(!format!("{written:?}").contains("s3cr3t"));
        assert!(!toml::to_string(&written).unwrap().contains("s3cr3t"));
        assert!(!format!("{settings:?}").contains("s3cr3t"));
        Ok(settings.schema_registry)
    }

    #[test]
    fn a_registry_is_a_url_and_whom_one_is_there() {
        assert_eq!(registry(""), Ok(None));
        // What is not used is not read.
        assert_eq!(registry("password = { file = \"/nowhere\" }"), Ok(None));
        let plain = registry("url = \"http://127.0.0.1:8081/\"").unwrap().unwrap();
        assert_eq!(plain.url, "http://127.0.0.1:8081");
        assert_eq!(plain.credentials, RegistryCredentials::None);
        let basic = "url = \"https://a/apis/ccompat/v7\"\nuser = \"u\"\npassword = \"s3cr3t\"\nkeys = true";
        let basic = registry(basic).unwrap().unwrap();
        let expected = RegistryCredentials::Basic {
            user: "u".to_owned(),
            password: "s3cr3t".into(),
        };
        assert_eq!((basic.credentials, basic.keys), (expected, true));
        let bearer = registry("url = \"http://a\"\ntoken = \"s3cr3t\"").unwrap().unwrap();
        assert_eq!(bearer.credentials, RegistryCredentials::Bearer("s3cr3t".into()));
    }

    #[test]
    fn what_cannot_be_is_told_without_secrets() {
        for (text, expected) in [
            (
                "url = \"registry:8081\"",
                "`registry:8081`, which is not where something is",
            ),
            ("url = \"registry\"", "`registry`, which is no URL"),
            ("url = \"ftp://a\"", "`ftp://a`, which is not where"),
            ("url = \"http://u:s3cr3t@a\"", "an `@` in it"),
            ("url = \"u:s3cr3t@a:1\"", "an `@` in it"),
            ("url = \"http://a?token=s3cr3t\"", "`http://a`, which is not where"),
            ("url = \"http://a\"\nuser = \"u\"", "password` is not set"),
            ("url = \"http://a\"\npassword = \"s3cr3t\"", "user` is empty"),
            (
                "url = \"http://a\"\nuser = \"u:v\"\npassword = \"s3cr3t\"",
                "without `:`",
            ),
            (
                "url = \"http://a\"\nuser = \"u\"\ntoken = \"s3cr3t\"",
                "a token, or user and password",
            ),
            ("url = \"http://a\"\ntoken = \"s3cr3t\\n\"", "printable ASCII"),
            ("url = \"http://a\"\ntoken = \"\"", "printable ASCII"),
            (
                "url = \"http://a\"\nca_certificate = \"/nowhere/ca.pem\"",
                "`/nowhere/ca.pem`, which is no file",
            ),
            ("url = [\"s3cr3t\"]", "expected a string"),
            ("tokn = \"s3cr3t\"", "unknown field `tokn`"),
        ] {
            let said = registry(text).unwrap_err();
            assert!(said.contains(expected) && !said.contains("s3cr3t"), "{text}: {said}");
        }
        let both = registry("url = \"nothing\"\nuser = \"u\"\nca_certificate = \"/nowhere\"").unwrap_err();
        assert_eq!(both.lines().count(), 3, "{both}");
    }
}
