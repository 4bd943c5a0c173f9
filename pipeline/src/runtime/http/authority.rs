//! Who asks, and what they may do.

use axum::http::{HeaderMap, header};
use riskflow_config::{ActionSettings, TokenSettings};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

/// The tokens that are known, by their hashes.
pub(super) struct Authority {
    tokens: Vec<TokenSettings>,
}

impl Authority {
    pub fn new(settings: &ActionSettings) -> Self {
        Self {
            tokens: settings.tokens.clone(),
        }
    }

    /// The token of a request, or `None`. It takes as long whichever token matches, and whether any does.
    pub fn of(&self, headers: &HeaderMap) -> Option<&TokenSettings> {
        let digest: [u8; 32] = Sha256::digest(bearer(headers)?).into();
        let mut found = Choice::from(0);
        let mut which = 0u64;
        for (index, token) in (0u64..).zip(&self.tokens) {
            let same = token.sha256.ct_eq(&digest);
            which.conditional_assign(&index, same);
            found |= same;
        }
        let token = self.tokens.get(which as usize)?;
        bool::from(found).then_some(token)
    }
}

/// What stands behind `Bearer`, if the header is there once.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?.as_bytes(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn authority() -> Authority {
        let token = |name: &str| TokenSettings {
            name: name.to_owned(),
            sha256: Sha256::digest(format!("secret of {name}")).into(),
            role: "duty".to_owned(),
            unit: None,
            region: "3309".parse().unwrap(),
            overrides: false,
            promote: false,
        };
        Authority::new(&ActionSettings {
            tokens: ["a", "b", "c"].map(token).into(),
        })
    }

    fn name_of(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        authority().of(&headers).map(|token| token.name.clone())
    }

    #[test]
    fn each_token_is_found_and_nothing_else() {
        for name in ["a", "b", "c"] {
            assert_eq!(name_of(&[&format!("Bearer secret of {name}")]).as_deref(), Some(name));
            assert_eq!(
                name_of(&[&format!("bearer   secret of {name} ")]).as_deref(),
                Some(name)
            );
        }
        let refused: [&[&str]; 8] = [
            &[],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &["Basic secret of a"],
            &["secret of a"],
            &["Bearer secret of d"],
            &["Bearer secret of a", "Bearer secret of a"],
        ];
        for values in refused {
            assert_eq!(name_of(values), None, "{values:?}");
        }
    }

    #[test]
    fn without_tokens_nobody_is_known() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert!(
            Authority::new(&ActionSettings { tokens: Vec::new() })
                .of(&headers)
                .is_none()
        );
    }
}
