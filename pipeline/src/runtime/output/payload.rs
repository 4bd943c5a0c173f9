//! Payloads: records as they stand on their topics.

use riskflow_model::{Millis, OutputRow};

/// Writes records as [`riskflow_model::output::Stamped`] reads them. Of a whole city the epoch is the same, so it is written once.
pub struct Json {
    buffer: Vec<u8>,
    /// The last field, and the end.
    stamp: String,
}

impl Json {
    /// For records of this epoch.
    pub fn new(epoch: Millis) -> Self {
        Self {
            buffer: Vec::new(),
            stamp: format!("\"epoch\":\"{epoch}\"}}"),
        }
    }

    /// Through a buffer: a record in memory of its own size, which is not known before.
    pub fn write(&mut self, row: &OutputRow) -> Vec<u8> {
        self.buffer.clear();
        let written = row.write_json(&mut self.buffer);
        written.expect("our records have text keys and finite numbers");
        let end = self.buffer.pop();
        assert_eq!(end, Some(b'}'), "a record is an object");
        self.buffer.push(b',');
        self.buffer.extend_from_slice(self.stamp.as_bytes());
        self.buffer.as_slice().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::output::{DeadLetter, Stamped};

    use super::*;

    #[test]
    fn a_record_is_written_with_its_epoch() {
        let letter = r#"{"reason":"malformed","detail":"}","topic":"t","partition":1,"offset":2,"payload":"","encoding":"utf8","payload_bytes":0,"payload_cut":false}"#;
        let record: DeadLetter = serde_json::from_str(letter).unwrap();
        let epoch = Millis(1_627_171_200_123);
        let written = Json::new(epoch).write(&OutputRow::new(record.clone()));
        let stamped = Stamped {
            record,
            stand_in: None,
            epoch,
        };
        assert_eq!(written, serde_json::to_vec(&stamped).unwrap());
    }
}
