//! The rules that the documents show: each is one that would be accepted.

use std::path::Path;

use serde_json::{Value, json};

use super::Rule;

/// The pages that show rules, and how many blocks of JSON each has at least.
const PAGES: [(&str, usize); 2] = [("rules.md", 1), ("rule-languages.md", 50)];

/// The blocks of JSON of a page, with the number of their first line.
fn blocks(page: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line == "```json" {
            let block = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
            blocks.push((number + 2, block.collect::<Vec<_>>().join("\n")));
        }
    }
    blocks
}

/// Comparisons in the running text, with the number of their line; those that leave something out (`…`) aside.
fn comparisons(page: &str) -> impl Iterator<Item = (usize, &str)> {
    page.lines().enumerate().flat_map(|(number, line)| {
        let code = line.split('`').skip(1).step_by(2);
        let whole = |code: &&str| code.starts_with("{\"feature\"") && !code.contains('…');
        code.filter(whole).map(move |code| (number + 1, code))
    })
}

/// What is shown as a whole rule: a rule is one, what stands under a level becomes one.
fn rule_of(shown: Value) -> Value {
    if shown.get("levels").is_some() {
        return shown;
    }
    json!({ "id": "shown", "version": 1, "select": {}, "levels": { "orange": shown } })
}

#[test]
fn every_rule_that_a_page_shows_would_be_accepted() {
    let mut problems = Vec::new();
    for (name, least) in PAGES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
        let page = std::fs::read_to_string(path).unwrap();
        let blocks = blocks(&page);
        assert!(blocks.len() >= least, "{name} shows only {}", blocks.len());
        let read = |number: usize, text: &str| -> Value {
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}:{number}: {error}"))
        };
        let blocks = blocks.iter().map(|(number, text)| (*number, read(*number, text)));
        let comparisons = comparisons(&page).map(|(number, text)| (number, json!({ "when": read(number, text) })));
        for (number, shown) in blocks.chain(comparisons) {
            let rule = rule_of(shown).to_string();
            if let Err(found) = Rule::from_json(rule.as_bytes()) {
                problems.push(format!("docs/{name}:{number}: {found}"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
