//! Rule sets of a storm: a candidate that is edited, becomes live, and is one again.

use riskflow_model::topic::Topic;
use serde_json::{Value, json};

use super::place::Place;

/// Where it stands.
#[derive(Default)]
pub struct Sets {
    changes: u64,
    /// Whether the candidate is live.
    promoted: bool,
    /// Crashes while it was.
    pub crashes: u64,
}

fn put(place: &dyn Place, topic: Topic, key: &str, row: &Value) {
    place.put(topic, &[(key.to_owned(), Some(row.to_string()))]);
}

/// The set, and its own rule.
pub fn begin(place: &dyn Place) {
    let set = json!({"id": "strict", "base": "default"});
    put(place, Topic::IN_RULESET, "strict", &set);
    rule(place, 1);
}

/// The rule of the set, in versions that differ.
fn rule(place: &dyn Place, version: u64) {
    let rule = json!({
        "id": "strict/gas", "version": version, "source": "test", "select": {"observed_property": "gas"}, "pane": "1s",
        "levels": {
            "yellow": {"when": {"feature": "mean", "window": "4s", "op": ">=", "threshold": 38 + version % 5}, "margin": 2},
            "red": {"when": {"feature": "last", "window": "4s", "op": ">=", "threshold": 80}, "hold": "1s", "clear": "2s"},
        },
    });
    put(place, Topic::IN_RULE, "strict/gas", &rule);
}

impl Sets {
    /// The next change: a promotion, an edit of the rule that is live now, the demotion, an edit of the set.
    pub fn change(&mut self, place: &dyn Place) {
        let change = self.changes;
        self.changes += 1;
        let live = |set: &str| put(place, Topic::IN_RULESET, "live", &json!({"id": "live", "set": set}));
        match change % 4 {
            0 => live("strict"),
            1 => rule(place, 2 + change),
            2 => live("default"),
            _ => {
                let adjust = json!([{"observed_property": "gas", "add": change % 3}]);
                let set = json!({"id": "strict", "base": "default", "adjust": adjust});
                put(place, Topic::IN_RULESET, "strict", &set);
            }
        }
        self.promoted = matches!(change % 4, 0 | 1);
    }

    /// Counts a crash.
    pub fn crash(&mut self) {
        self.crashes += u64::from(self.promoted);
    }
}
