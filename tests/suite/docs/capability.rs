//! The page that says how a capability is added.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::{between, files, root};

/// The page follows maintenance windows. What it shows is what stands there, and no other file knows them.
#[test]
fn adding_a_capability_is_what_the_page_says() {
    let (root, page) = (root(), root().join("docs/adding-a-capability.md"));
    let text = std::fs::read_to_string(page).unwrap();
    let named: BTreeSet<&str> = text
        .split('`')
        .filter(|code| code.contains('/') && (code.ends_with(".rs") || code.ends_with(".json")))
        .collect();
    let mut sources = Vec::new();
    for folder in [
        "model/src",
        "config/src",
        "connectors/src",
        "operators/src",
        "pipeline/src",
        "tests/src",
        "tests/cases",
    ] {
        files(&root.join(folder), &[".rs", ".json"], &mut sources);
    }
    let known = |path: &&PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        // A type, a module, a function or a topic; not the word.
        ["Maintenance", "maintenance::", "mod maintenance", "in.maintenance"]
            .iter()
            .any(|name| text.contains(name))
    };
    // Gauges measure them: those are the files of gauges.
    let of_gauges = [
        "model/src/gauge.rs",
        "operators/src/span",
        "tests/cases/sorts.json",
        "tests/src/oracle/standing.rs",
    ];
    let found: BTreeSet<String> = sources
        .iter()
        .filter(known)
        .map(|path| path.strip_prefix(&root).unwrap().display().to_string())
        .filter(|path| !of_gauges.iter().any(|of| path.starts_with(of)))
        .collect();
    assert_eq!(found.len(), 6, "the page says six: {found:?}");
    for file in &found {
        assert!(named.contains(file.as_str()), "the page does not name {file}");
    }
    let record = std::fs::read_to_string(root.join("model/src/catalogue/maintenance.rs")).unwrap();
    let has = |line: &str| record.lines().any(|other| other.trim().starts_with(line));
    let shown = between(&text, "```rust\n", "```").unwrap();
    for line in shown.lines() {
        let code = line.split("//").next().unwrap().trim();
        let code = code.split("r#").next().unwrap().trim_end();
        assert!(code.is_empty() || has(code), "`{code}` stands on the page only");
    }
    let builder = std::fs::read_to_string(root.join("operators/src/engine/builder.rs")).unwrap();
    let mut steps = 0;
    for step in text.split("`b.").skip(1) {
        let name: String = step
            .chars()
            .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
            .collect();
        assert!(
            builder.contains(&format!("pub fn {name}<")),
            "the builder has no `{name}`"
        );
        steps += 1;
    }
    assert!(steps >= 3, "the page shows what a builder can");
}
