//! What a receiver refused for good: one JSON object a line, on disk before the bridge goes on.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use serde_json::json;
use serde_json::value::RawValue;

/// A file that is larger is put aside, in the place of the one that was put aside before.
const LARGEST: u64 = 16 << 20;

/// Writes down that a record was refused, when, and why. `payload` is written as it is where it is JSON.
pub(super) fn write_down(file: &Path, now: &str, why: &str, payload: &[u8]) -> io::Result<()> {
    if fs::metadata(file).is_ok_and(|about| about.len() > LARGEST) {
        fs::rename(file, file.with_extension("ndjson.1"))?;
    }
    let text = String::from_utf8_lossy(payload);
    let record = RawValue::from_string(text.trim().to_owned());
    let line = match record {
        // A line is a line.
        Ok(record) if !record.get().contains('\n') => json!({ "at": now, "why": why, "record": record }),
        Ok(_) | Err(_) => json!({ "at": now, "why": why, "record": text }),
    };
    let mut to = OpenOptions::new().create(true).append(true).open(file)?;
    to.write_all(format!("{line}\n").as_bytes())?;
    to.sync_data()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn each_is_a_line_of_json_whatever_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("webhook-refused.ndjson");
        for payload in [&br#"{"id":"a"}"#[..], b"{\n\"id\":\"b\"}", b"\xff no JSON\n"] {
            write_down(&file, "now", "400", payload).unwrap();
        }
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(
            (&lines[0]["record"]["id"], &lines[0]["why"]),
            (&json!("a"), &json!("400"))
        );
        assert_eq!(lines[1]["record"], json!("{\n\"id\":\"b\"}"));
        assert!(lines[2]["record"].as_str().unwrap().contains("no JSON"));
    }
}
