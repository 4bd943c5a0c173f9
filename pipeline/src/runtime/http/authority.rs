//! Who asks: the tokens that are known.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

/// The hash of a token.
pub(super) type Hash = [u8; 32];

/// The tokens that are known, by their hashes.
pub(super) struct Authority<T> {
    tokens: Vec<(Hash, Arc<T>)>,
}

impl<T: Clone> Authority<T> {
    pub fn new(tokens: &[T], hash: impl Fn(&T) -> Hash) -> Self {
        let tokens = tokens.iter().map(|token| (hash(token), Arc::new(token.clone())));
        Self {
            tokens: tokens.collect(),
        }
    }

    /// The token of a request, or `None`.
    pub fn of(&self, headers: &HeaderMap) -> Option<Arc<T>> {
        self.by(&hash_of(headers)?)
    }

    /// The token with this hash, or `None`. It takes as long whichever token matches, and whether any does.
    pub fn by(&self, hash: &Hash) -> Option<Arc<T>> {
        let mut found = Choice::from(0);
        let mut which = 0u64;
        for (index, (known, _)) in (0u64..).zip(&self.tokens) {
            let same = known.ct_eq(hash);
            which.conditional_assign(&index, same);
            found |= same;
        }
        let (_, token) = self.tokens.get(which as usize)?;
        bool::from(found).then(|| Arc::clone(token))
    }
}

/// The hash of the token of a request, if it has one.
pub(super) fn hash_of(headers: &HeaderMap) -> Option<Hash> {
    Some(Sha256::digest(bearer(headers)?).into())
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
    use riskflow_config::TokenSettings;

    use super::*;

    fn authority() -> Authority<TokenSettings> {
        let token = |name: &str| TokenSettings {
            name: name.to_owned(),
            sha256: Sha256::digest(format!("secret of {name}")).into(),
            role: "duty".to_owned(),
            unit: None,
            region: "3309".parse().unwrap(),
            overrides: false,
            promote: false,
            checkpoint: false,
        };
        Authority::new(&["a", "b", "c"].map(token), |token| token.sha256)
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
        let nobody = Authority::<TokenSettings>::new(&[], |token| token.sha256);
        assert!(nobody.of(&headers).is_none());
    }
}
