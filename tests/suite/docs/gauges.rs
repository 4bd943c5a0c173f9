//! The page on gauges.

use riskflow_model::topic::Topic;
use riskflow_model::{LogRow, Row};

use super::root;

/// Its records can be imported as they stand.
#[test]
fn records_of_the_page_on_gauges_are_good_ones() {
    let page = std::fs::read_to_string(root().join("docs/gauges.md")).unwrap();
    let blocks = page.split("```json\n").skip(1);
    let lines: Vec<&str> = blocks
        .flat_map(|block| block.split("```").next().unwrap().lines())
        .collect();
    assert!(lines.len() > 10, "{lines:?}");
    for line in lines {
        let envelope: serde_json::Value = serde_json::from_str(line).unwrap();
        let topic = Topic::from_name(envelope["topic"].as_str().unwrap()).unwrap();
        let value = envelope["value"].to_string();
        let id = if topic.is_input_table() {
            Row::from_json(topic, &value).unwrap().id()
        } else {
            LogRow::from_json(topic, &value).unwrap().id()
        };
        assert_eq!(envelope["key"], *id, "{line}");
    }
}
