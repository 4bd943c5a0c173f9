//! How two processes show each other that they know the secret of their cluster, without telling it: each signs what both have said, with
//! random bytes of both in it (HMAC with SHA-256, RFC 2104). What was once said proves nothing another time, and what one side
//! says is no proof of the other.

use anyhow::{Result, anyhow};
use aws_lc_rs::{hmac, rand};
use riskflow_config::Secret;
use serde::Serialize;

/// So many random bytes each side gives.
const RANDOM: usize = 32;

/// Which side signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The one that connects.
    Connects,
    /// The one that listens.
    Listens,
}

/// What proofs are made with.
pub(super) struct Key(hmac::Key);

impl Key {
    pub fn of(secret: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes()))
    }

    /// The proof of a side that it knows the secret: `hello` is what the other heard or said first, `nonce` is of the side that listens.
    pub fn prove(&self, side: Side, hello: &impl Serialize, nonce: &str) -> String {
        hex(hmac::sign(&self.0, &said(side, hello, nonce)).as_ref())
    }

    /// Whether that is the proof. It takes as long whatever is wrong in it.
    pub fn is_proof(&self, side: Side, hello: &impl Serialize, nonce: &str, proof: &str) -> bool {
        let Some(proof) = bytes(proof) else { return false };
        hmac::verify(&self.0, &said(side, hello, nonce), &proof).is_ok()
    }
}

/// Random bytes, as hexadecimal digits.
///
/// # Errors
///
/// When the system has none.
pub(super) fn nonce() -> Result<String> {
    let mut bytes = [0; RANDOM];
    rand::fill(&mut bytes).map_err(|_| anyhow!("the system gives no random bytes"))?;
    Ok(hex(&bytes))
}

/// What is signed.
fn said(side: Side, hello: &impl Serialize, nonce: &str) -> Vec<u8> {
    let side = match side {
        Side::Connects => "riskflow connects",
        Side::Listens => "riskflow listens",
    };
    serde_json::to_vec(&(side, hello, nonce)).expect("texts and numbers can be written")
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks_exact(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &str) -> Key {
        Key::of(&Secret::from(secret))
    }

    #[test]
    fn a_proof_holds_for_its_secret_its_side_and_what_was_said_and_for_nothing_else() {
        let (right, wrong) = (key("right"), key("wrong"));
        let proof = right.prove(Side::Connects, &("hello", 1), "nonce");
        assert!(right.is_proof(Side::Connects, &("hello", 1), "nonce", &proof));
        assert!(!wrong.is_proof(Side::Connects, &("hello", 1), "nonce", &proof));
        assert!(!right.is_proof(Side::Listens, &("hello", 1), "nonce", &proof));
        assert!(!right.is_proof(Side::Connects, &("hello", 2), "nonce", &proof));
        assert!(!right.is_proof(Side::Connects, &("hello", 1), "another", &proof));
        for other in ["", "0", "zz", &proof[2..], format!("{proof}00").as_str(), "é"] {
            assert!(
                !right.is_proof(Side::Connects, &("hello", 1), "nonce", other),
                "{other}"
            );
        }
    }

    /// RFC 4231, test case 2.
    #[test]
    fn proofs_are_hmac_with_sha_256() {
        let tag = hmac::sign(&key("Jefe").0, b"what do ya want for nothing?");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(tag.as_ref()), expected);
        assert_eq!(bytes(expected).as_deref(), Some(tag.as_ref()));
    }

    #[test]
    fn random_bytes_do_not_come_twice() {
        let (one, other) = (nonce().unwrap(), nonce().unwrap());
        assert_eq!((one.len(), one == other), (2 * RANDOM, false));
    }
}
