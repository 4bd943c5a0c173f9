//! JSON behind its own hash: a byte that is another is noticed.

use object_store::path::Path as ObjectPath;
use riskflow_model::Key;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::CheckpointError;

/// JSON behind a line with its hash.
pub(super) fn sealed<T: Serialize>(value: &T) -> Vec<u8> {
    let json = serde_json::to_vec_pretty(value).expect("texts, numbers and lists can be written");
    let mut bytes = format!("{}\n", Key::of_bytes(&json)).into_bytes();
    bytes.extend_from_slice(&json);
    bytes
}

/// Reads what [`sealed`] wrote.
///
/// # Errors
///
/// When it is not that.
pub(super) fn opened<T: DeserializeOwned>(path: &ObjectPath, bytes: &[u8]) -> Result<T, CheckpointError> {
    let damaged = |detail: String| CheckpointError::Damaged {
        object: path.to_string(),
        detail,
    };
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (line, json) = bytes.split_at(end.ok_or_else(|| damaged("it has no hash".to_owned()))?);
    let json = &json[1..];
    if line != Key::of_bytes(json).to_string().as_bytes() {
        return Err(damaged("its hash is another".to_owned()));
    }
    serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))
}
