//! The documents: tables that come from the code are current, links lead to a file and a heading, and the page to begin
//! with stays short.

mod capability;
mod gauges;
mod walked;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use riskflow::bridge::{self, Receiver};
use riskflow::runtime::clock::wall_clock;
use riskflow::runtime::graph::Meters;
use riskflow::runtime::metrics::Metrics;
use riskflow_config::Capabilities;
use riskflow_model::topic::{Cleanup, Shape, Topic};
use timely::logging::{OperatesEvent, TimelyEvent};

use crate::boundaries::sources;
use crate::capabilities::built;

/// Writes the tables of all documents anew, where they are stale.
const BLESS: &str = "RISKFLOW_BLESS=1 cargo test --locked -p riskflow-tests --test suite docs";

/// So much of the architecture a newcomer reads first.
const MOST_BYTES: usize = 8 * 1024;

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.canonicalize().unwrap()
}

/// All `*.md` of the repository, with their texts.
fn documents() -> BTreeMap<PathBuf, String> {
    fn walk(folder: &Path, top: bool, found: &mut BTreeMap<PathBuf, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // What .gitignore names, and git's own.
            let ignored =
                name.starts_with('.') || name == "jars" || (top && ["target", "data"].contains(&name.as_str()));
            if path.is_dir() {
                if !ignored {
                    walk(&path, false, found);
                }
            } else if name.ends_with(".md") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.insert(path, text);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&root(), true, &mut found);
    assert!(found.len() >= 12, "only {} documents", found.len());
    found
}

fn topics() -> String {
    let mut table = String::from("| number | topic | shape | key | keeps | capability |\n|---|---|---|---|---|---|\n");
    for topic in Topic::all() {
        let shape = match topic.shape() {
            Shape::InputTable => "input table",
            Shape::VersionedTable => "input table with versions",
            Shape::InputLog => "input log",
            Shape::OutputTable => "output table",
            Shape::OutputLog => "output log",
            Shape::Internal => "internal table",
            Shape::InternalLog => "internal log",
        };
        let keeps = match topic.cleanup() {
            Cleanup::Compact => "the last record of a key",
            Cleanup::Delete => "each record, for a time",
        };
        let capability = topic.capability().unwrap_or("always needed");
        let (number, key) = (topic.id(), topic.key());
        let _ = writeln!(
            table,
            "| {number} | `{topic}` | {shape} | `{key}` | {keeps} | {capability} |"
        );
    }
    table
}

/// What stands between two texts, the first of which is looked for from the beginning.
fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(from)?;
    Some(rest.split_once(to)?.0)
}

/// The folds that the whole graph builds; what each keeps is the comment of its state.
fn folds() -> String {
    let mut rows = BTreeMap::new();
    let folder = root().join("operators/src");
    let mut files = Vec::new();
    sources(&folder, &mut files);
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let Some(name) = between(&text, "const NAME: &'static str = \"", "\";") else {
            continue;
        };
        let Some(state) = between(&text, "    type State = ", ";") else {
            continue;
        };
        let Some((before, _)) = text.split_once(&format!("pub struct {state} {{")) else {
            continue;
        };
        let comment: Vec<&str> = (before.lines().rev())
            .skip_while(|line| line.starts_with("#["))
            .map_while(|line| line.strip_prefix("/// "))
            .collect();
        assert!(!comment.is_empty(), "{state} has no comment");
        let comment: Vec<&str> = comment.into_iter().rev().collect();
        let file = path.strip_prefix(&folder).unwrap().display().to_string();
        let row = format!(
            "| `{name}` | {} | [`operators/src/{file}`](../operators/src/{file}) |\n",
            comment.join(" ")
        );
        rows.insert(name.to_owned(), row);
    }
    let (_, names) = built(Capabilities::default());
    assert_eq!(rows.keys().map(String::as_str).collect::<BTreeSet<_>>(), names);
    let rows: String = rows.into_values().collect();
    format!("| fold | state | file |\n|---|---|---|\n{rows}")
}

/// What a process and a bridge tell Prometheus from the start, with one value of each label that is not known before.
fn exposition() -> String {
    let (metrics, meters) = (Metrics::new().unwrap(), Meters::default());
    drop(meters.fold("latest"));
    metrics.http.answered(200);
    metrics.records.lag(Topic::IN_OBSERVATION, 0, 0);
    metrics.records.reached(0, true);
    metrics.checkpoints.fold("latest", 0);
    meters.evaluations.count(&"rain".into(), 1);
    metrics.input.live(Some(0));
    let arrange = TimelyEvent::Operates(OperatesEvent {
        id: 0,
        addr: vec![0],
        name: "Fold: latest".to_owned(),
    });
    let watched = meters.dataflow.worker(0);
    watched.take(&[(Duration::ZERO, arrange)]);
    watched.arrange(0, 1, 1);
    for hours in (0..3).rev() {
        metrics
            .input
            .came(Topic::IN_OBSERVATION, wall_clock() - hours * 3_600_000);
    }
    let bridge = bridge::Metrics::new().unwrap();
    Receiver::ALL.into_iter().for_each(|receiver| bridge.begin(receiver));
    metrics.render(&meters) + &bridge.render()
}

/// The labels of a metric, and their values.
fn labels(text: &str, name: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(name) else { continue };
        let rest = rest.strip_prefix("_count").unwrap_or(rest);
        let Some((pairs, _)) = rest.strip_prefix('{').and_then(|rest| rest.split_once("} ")) else {
            continue;
        };
        for (label, value) in pairs.split(',').filter_map(|pair| pair.split_once('=')) {
            let values = labels.entry(label.to_owned()).or_default();
            values.insert(value.trim_matches('"').to_owned());
        }
    }
    labels
}

/// Names say units, as Prometheus asks for.
fn unit(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    if name.ends_with("_timestamp_seconds") || name.ends_with("_time_seconds") {
        "Unix time, s"
    } else if name.ends_with("_seconds") {
        "s"
    } else if name.ends_with("_bytes") {
        "bytes"
    } else {
        "number"
    }
}

/// The metrics of an exposition with what is said of each, in the order of their names.
fn told(text: &str) -> BTreeMap<&str, &str> {
    let helps = text.lines().filter_map(|line| line.strip_prefix("# HELP "));
    helps.filter_map(|line| line.split_once(' ')).collect()
}

/// What Prometheus is told of each metric.
fn metrics() -> String {
    let text = exposition();
    let told = told(&text);
    let mut rows = String::new();
    for (name, help) in &told {
        let kind = between(&text, &format!("# TYPE {name} "), "\n").unwrap();
        let labels = labels(&text, name);
        let labels: Vec<String> = labels.keys().map(|label| format!("`{label}`")).collect();
        let (unit, labels, help) = (unit(name), labels.join(", "), help.replace('|', "\\|"));
        let _ = writeln!(rows, "| `{name}` | {kind} | {unit} | {labels} | {help} |");
    }
    let files = ["pipeline/src/runtime/metrics.rs", "pipeline/src/bridge/metrics.rs"];
    let mut files = files.map(|file| root().join(file)).to_vec();
    sources(&root().join("pipeline/src/runtime/metrics"), &mut files);
    let mut said = BTreeSet::new();
    for file in files {
        let source = std::fs::read_to_string(file).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap();
        let names = source.split('"').filter(|text| text.starts_with("riskflow_"));
        said.extend(names.map(str::to_owned));
    }
    let shown = told.keys().filter(|name| !name.starts_with("process_"));
    assert_eq!(
        shown.map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(),
        said,
        "a metric that nothing shows here: give it a value"
    );
    format!("| metric | type | unit | labels | help |\n|---|---|---|---|---|\n{rows}")
}

/// Which values each label may have: no label has values without bound.
fn metric_labels() -> String {
    let text = exposition();
    let mut rows = String::new();
    for name in told(&text).keys() {
        for (label, values) in labels(&text, name) {
            let values = match &*label {
                "topic" => "topics, without `topics.prefix`".to_owned(),
                "partition" => "partitions of the topic".to_owned(),
                "worker" => "numbers of workers".to_owned(),
                "fold" => "[folds](reference.md#folds)".to_owned(),
                "arrangement" => "names of operators, which the code gives".to_owned(),
                "status" => "statuses of HTTP that are answered".to_owned(),
                "rule" => "identifiers of rules, of which ten are told at a time".to_owned(),
                "version" => "the one that runs".to_owned(),
                "commit" => "that of the sources, or `unknown`".to_owned(),
                "timely" | "differential" => "the version that it is built with".to_owned(),
                _ => {
                    assert!(values.len() > 1, "{name}: are these all values of `{label}`?");
                    let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
                    values.join(", ")
                }
            };
            let _ = writeln!(rows, "| `{name}` | `{label}` | {values} |");
        }
    }
    format!("| metric | label | values |\n|---|---|---|\n{rows}")
}

#[test]
fn tables_that_come_from_the_code_are_current() {
    let tables = [
        ("topics", topics()),
        ("folds", folds()),
        ("metrics", metrics()),
        ("metric labels", metric_labels()),
    ];
    let bless = std::env::var_os("RISKFLOW_BLESS").is_some_and(|value| value == "1");
    let mut stale = Vec::new();
    for (name, table) in tables {
        let from = format!("<!-- generated: {name} -->\n");
        let mut count = 0;
        for path in documents().into_keys() {
            // Read again: a table before may have changed it.
            let text = std::fs::read_to_string(&path).unwrap();
            let Some(there) = between(&text, &from, "<!-- end -->") else {
                continue;
            };
            count += 1;
            if there == table {
                continue;
            }
            if bless {
                std::fs::write(
                    &path,
                    text.replace(&format!("{from}{there}"), &format!("{from}{table}")),
                )
                .unwrap();
            } else {
                stale.push(format!("{name} in {}", path.display()));
            }
        }
        assert!(count > 0, "no document has the table `{name}`");
    }
    assert!(stale.is_empty(), "stale: {stale:?}; this writes them anew: {BLESS}");
}

/// A document without blocks of code.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        is_code ^= fence;
        !is_code && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Pieces of inline code, and the text without them.
fn inline_code(prose: &str) -> (Vec<&str>, String) {
    let (mut code, mut rest) = (Vec::new(), String::new());
    for (position, piece) in prose.split('`').enumerate() {
        if position % 2 == 1 {
            code.push(piece);
        } else {
            rest.push_str(piece);
        }
    }
    (code, rest)
}

/// The anchors of the headings, as Git forges make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let prose = prose(text);
    let headings = prose.lines().filter_map(|line| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len()).then(|| title.strip_prefix(' ')).flatten()
    });
    let anchor = |title: &str| {
        let kept = title.trim().chars().filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            _ if letter.is_alphanumeric() => Some(letter.to_ascii_lowercase()),
            _ => None,
        });
        kept.collect::<String>()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_lead_to_a_file_and_a_heading() {
    let (root, documents) = (root(), documents());
    let mut problems = Vec::new();
    let mut count = 0;
    for (path, text) in &documents {
        let name = path.strip_prefix(&root).unwrap().display();
        // Folders of one person or one machine.
        let around = format!("{}/", root.parent().unwrap().display());
        for outside in [around.as_str(), "/home/", "/root/", "/Users/", "file://"] {
            if outside != "//" && text.contains(outside) {
                problems.push(format!("{name} has `{outside}`"));
            }
        }
        let prose = prose(text);
        let (code, rest) = inline_code(&prose);
        for link in rest.split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
            let target = link.0;
            if target.starts_with("https://") || target.starts_with("http://") {
                continue;
            }
            count += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let there = if file.is_empty() {
                Ok(path.clone())
            } else {
                path.parent().unwrap().join(file).canonicalize()
            };
            let is_known = |there: &PathBuf| documents.get(there).is_some_and(|text| anchors(text).contains(anchor));
            match there {
                Err(_) => problems.push(format!("{name}: {target} is not there")),
                Ok(there) if !there.starts_with(&root) => problems.push(format!("{name}: {target} is outside")),
                Ok(there) if !anchor.is_empty() && !is_known(&there) => {
                    problems.push(format!("{name}: {target} is no heading"));
                }
                Ok(_) => {}
            }
        }
        // Old runs name what there was at the time.
        if path.starts_with(root.join("benches")) {
            continue;
        }
        for source in code
            .into_iter()
            .filter(|code| code.contains('/') && code.ends_with(".rs"))
        {
            let plain = |letter: char| letter.is_ascii_alphanumeric() || "/_-.".contains(letter);
            if source.chars().all(plain) && !root.join(source).exists() {
                problems.push(format!("{name}: `{source}` is not there"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(count >= 40, "only {count} links");
}

/// A table of what fails says which test shows it: such a test must be there, and so must the alerts and metrics that it names.
#[test]
fn failure_modes_name_tests_alerts_and_metrics_that_are_there() {
    let text = std::fs::read_to_string(root().join("docs/failure-modes.md")).unwrap();
    let (code, rest) = inline_code(&text);
    let mut tests = Vec::new();
    for folder in ["tests/suite", "connectors/src", "pipeline/src"] {
        sources(&root().join(folder), &mut tests);
    }
    let tests: Vec<String> = tests
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let is_test = |name: &str| {
        let begins = format!("fn {name}(");
        tests.iter().any(|source| source.contains(&begins))
    };
    let metrics = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let words = |text: &str| {
        text.chars()
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
    };
    let (mut problems, mut count) = (Vec::new(), 0);
    for name in code {
        if let Some(metric) = name.split('{').next().filter(|name| name.starts_with("riskflow_")) {
            if !metrics.contains(&format!("`{metric}`")) {
                problems.push(format!("there is no metric `{metric}`"));
            }
        } else if words(name) && name.matches('_').count() >= 4 {
            // Names of tests are sentences; those of settings are shorter.
            count += 1;
            if !is_test(name) {
                problems.push(format!("there is no test `{name}`"));
            }
        } else if name.ends_with(".sh") || name.ends_with(".yml") {
            let there = root().join(name).exists();
            if !there {
                problems.push(format!("there is no `{name}`"));
            }
        }
    }
    let rules = std::fs::read_to_string(root().join("deploy/prometheus/riskflow.rules.yml")).unwrap();
    let alerts = rest.split(|letter: char| !letter.is_ascii_alphanumeric());
    for alert in alerts.filter(|word| word.len() > "Riskflow".len() && word.starts_with("Riskflow")) {
        if !rules.contains(&format!("alert: {alert}\n")) {
            problems.push(format!("there is no alert {alert}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(count >= 40, "only {count} tests are named");
}

/// All files with one of these endings below a folder.
fn files(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, endings, found);
        } else if endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)) {
            found.push(path);
        }
    }
}

/// Comments, messages and golden cases name pages as `docs/PAGE.md` or `docs/PAGE.md#heading`.
#[test]
fn pages_that_the_code_names_are_there() {
    let (root, documents) = (root(), documents());
    let mut named = Vec::new();
    for folder in [
        "benches",
        "config",
        "connectors",
        "deploy",
        "model",
        "operators",
        "pipeline",
        "tests",
    ] {
        files(
            &root.join(folder),
            &[".rs", ".toml", ".json", ".sh", ".yml"],
            &mut named,
        );
    }
    let mut count = 0;
    for path in named {
        let text = std::fs::read_to_string(&path).unwrap();
        for rest in text.split("docs/").skip(1) {
            let is_name = |letter: char| letter.is_ascii_lowercase() || "-.#".contains(letter);
            let end = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
            let (page, anchor) = rest[..end].split_once(".md").unwrap_or_default();
            if page.is_empty() {
                continue;
            }
            count += 1;
            let (name, page) = (path.display(), root.join(format!("docs/{page}.md")));
            let found = documents.get(&page);
            let text = found.unwrap_or_else(|| panic!("{name}: {} is not there", page.display()));
            if let Some(anchor) = anchor.strip_prefix('#') {
                assert!(anchors(text).contains(anchor), "{name}: `{anchor}` is no heading");
            }
        }
    }
    assert!(count >= 20, "only {count} names");
}

#[test]
fn the_page_to_begin_with_is_short() {
    let architecture = std::fs::metadata(root().join("ARCHITECTURE.md")).unwrap().len();
    assert!(
        architecture <= MOST_BYTES as u64,
        "ARCHITECTURE.md has {architecture} bytes, {MOST_BYTES} at most: what is specification belongs into docs/"
    );
}

/// Whatever is said to hold is shown by something that is there.
#[test]
fn the_threat_model_names_tests_that_exist() {
    let (root, page) = (root(), root().join("docs/threat-model.md"));
    let text = std::fs::read_to_string(page).unwrap();
    let mut sources = Vec::new();
    for folder in ["model", "config", "connectors", "operators", "pipeline", "tests"] {
        files(&root.join(folder), &[".rs"], &mut sources);
    }
    let sources: String = sources
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let mut shown = 0;
    for row in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [_, comes, by] = cells[..] else {
            panic!("a row has three cells: {row}")
        };
        let tests: Vec<&str> = by.split('`').skip(1).step_by(2).collect();
        for test in &tests {
            assert!(sources.contains(&format!("fn {test}(")), "there is no test `{test}`");
        }
        shown += tests.len();
        let is_shown = !by.trim().is_empty() || comes.contains("**does not hold") || comes == "what comes of it";
        assert!(is_shown, "what shows it? {row}");
    }
    assert!(shown > 40, "only {shown} tests are named");
}
