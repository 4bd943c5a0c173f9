//! Pages that lead through the code or through commands, step by step: the code has what they name, and the commands do what they say.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{between, files, root};
use crate::chaos::pause;
use crate::kafka::{Job, riskflow};

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// The page follows Kafka. Whatever tells it from other places to read from stands there, and the trait is as it is shown.
#[test]
fn adding_a_source_is_what_the_page_says() {
    let (root, text) = (root(), page("adding-a-source.md"));
    let named: BTreeSet<&str> = text
        .split('`')
        .filter(|code| code.contains('/') && code.ends_with(".rs"))
        .collect();
    let mut sources = Vec::new();
    for folder in ["config/src", "connectors/src", "pipeline/src"] {
        files(&root.join(folder), &[".rs"], &mut sources);
    }
    let mut found = 0;
    for path in &sources {
        let source = std::fs::read_to_string(path).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap();
        let knows = ["Input::Kafka", "From::Kafka", "Kafka(KafkaSettings)"];
        if !knows.iter().any(|name| source.contains(name)) {
            continue;
        }
        found += 1;
        let file = path.strip_prefix(&root).unwrap().display().to_string();
        assert!(named.contains(file.as_str()), "the page does not name {file}");
    }
    assert!(found > 12, "only {found} files know Kafka as an input");
    let source = std::fs::read_to_string(root.join("connectors/src/source.rs")).unwrap();
    let shown = between(&text, "```rust\n", "```").unwrap();
    for line in shown.lines() {
        let code = line.split("//").next().unwrap().trim().trim_end_matches(';');
        assert!(source.contains(code), "`{code}` stands on the page only");
    }
    assert!(shown.lines().count() > 5, "the page shows the trait");
}

/// What the page asks of the reader, in its order.
#[derive(Debug)]
enum Step {
    /// A file of this name, with this text.
    File(String, String),
    /// A command that goes on beside the others.
    Stays(String),
    /// Commands, each of which ends well.
    Run(Vec<String>),
    /// The same, and then this stands in what they print.
    Says(String, Vec<String>),
    /// The same, again and again until it does: a job that runs takes its time.
    Until(String, Vec<String>),
}

/// Blocks of files have their names before a colon; comments say what is asked of commands.
fn steps(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let (mut name, mut asked) = (None, None);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(comment) = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->")) {
            asked = Some(comment);
        } else if let Some(before) = line.strip_suffix("`:") {
            name = before.rsplit('`').next();
        } else if let Some(kind) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if kind != "console" {
                let name = name.take().expect("the page names each file");
                steps.push(Step::File(name.to_owned(), block.join("\n") + "\n"));
                continue;
            }
            let commands: Vec<String> = block
                .iter()
                .map(|line| line.strip_prefix("$ ").expect("commands only").to_owned())
                .collect();
            steps.push(
                match asked.take().map(|asked| asked.split_once(": ").unwrap_or((asked, ""))) {
                    None => Step::Run(commands),
                    // As in the pages of operation: what is not run says why.
                    Some(("not run", why)) if !why.is_empty() => continue,
                    Some(("says", part)) => Step::Says(part.to_owned(), commands),
                    Some(("until", part)) => Step::Until(part.to_owned(), commands),
                    Some(("stays", _)) => Step::Stays(commands.concat()),
                    Some(other) => panic!("what is {other:?}?"),
                },
            );
        }
    }
    steps
}

/// The shell of a reader in this folder, who has the program, and no HTTP, of which there is one on a machine.
fn shell(folder: &Path, script: &str) -> Command {
    let beside = riskflow().parent().unwrap().display().to_string();
    let path = format!("{beside}:{}", std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder)
        .stdin(Stdio::null())
        .env("PATH", path)
        .env("RISKFLOW__HTTP__ENABLED", "false")
        .env("RISKFLOW_LOG", "warn");
    command
}

/// Runs commands; whether all ended well, and what they said.
fn run(folder: &Path, commands: &[String]) -> (bool, String) {
    let output = shell(folder, &commands.join("\n")).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Follows the steps of a page in a folder; the job that it starts, if it does.
fn follow(steps: Vec<Step>, folder: &Path) -> Option<Job> {
    let mut beside = None;
    for step in steps {
        match step {
            Step::File(name, text) => std::fs::write(folder.join(name), text).unwrap(),
            Step::Stays(command) => {
                // The shell becomes the program: whoever ends it ends that.
                let mut command = shell(folder, &format!("exec {command}"));
                beside = Some(Job(command.stdout(Stdio::null()).spawn().unwrap()));
            }
            Step::Run(commands) => {
                let (well, said) = run(folder, &commands);
                assert!(well, "{commands:?}: {said}");
            }
            Step::Says(part, commands) => {
                let (well, said) = run(folder, &commands);
                assert!(well && said.contains(&part), "{commands:?}: {part} is not in: {said}");
            }
            Step::Until(part, commands) => {
                let until = Instant::now() + Duration::from_secs(60);
                loop {
                    let (well, said) = run(folder, &commands);
                    if well && said.contains(&part) {
                        break;
                    }
                    assert!(Instant::now() < until, "{commands:?}: {part} is not in: {said}");
                    pause();
                }
            }
        }
    }
    beside
}

#[test]
fn rolling_out_a_rule_is_what_the_page_says() {
    let steps = steps(&page("rolling-out-a-rule.md"));
    assert!(steps.len() > 12, "{steps:?}");
    let folder = tempfile::tempdir().unwrap();
    let beside = follow(steps, folder.path());
    assert_eq!(beside.expect("the page starts a job").stop(), Some(0));
}

/// Its history, its rule and what happened fit together: the storm is a hit at both places, and what no rule saw a miss.
#[test]
fn a_back_test_is_what_the_page_says() {
    let steps = steps(&page("backtest.md"));
    assert_eq!(steps.len(), 4, "{steps:?}");
    let folder = tempfile::tempdir().unwrap();
    assert!(follow(steps, folder.path()).is_none());
    let report = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let scores = &report["new"]["scores"];
    assert_eq!(
        (scores["hits"].as_u64(), scores["misses"].as_u64()),
        (Some(2), Some(1)),
        "{scores}"
    );
    assert!(folder.path().join("report.html").exists());
}

/// The identifier of the newest change of a warning, where there is one.
fn newest(folder: &Path) -> Option<String> {
    let (well, said) = run(folder, &["riskflow tail warnings -n 1 --json".to_owned()]);
    assert!(well, "{said}");
    let line: serde_json::Value = serde_json::from_str(said.lines().next()?).ok()?;
    Some(line["value"]["id"].as_str()?.to_owned())
}

/// The block of the README, with its sample: what is printed there is printed, and the import says by its exit code that rows are refused.
#[test]
fn the_first_hour_is_what_the_readme_says() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let hour = between(&readme, "## The first hour", "## Reading over HTTP").unwrap();
    let block = between(hour, "```console\n", "```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for entry in std::fs::read_dir(root().join("examples/first-hour")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    let (mut beside, mut before, mut acted) = (None, None, false);
    let mut lines = block.lines().peekable();
    while let Some(line) = lines.next() {
        let line = line.strip_prefix("$ ").expect("a command, and then what it prints");
        let command = line.split(" # ").next().unwrap().trim_end();
        let mut printed = Vec::new();
        while let Some(next) = lines.next_if(|line| !line.starts_with("$ ")) {
            printed.push(next);
        }
        if command.starts_with("export PATH=") || command.starts_with("cp -r examples/first-hour ") {
            // The test has done so.
            continue;
        }
        if command == "riskflow run" {
            before = newest(folder);
            assert!(before.is_some(), "the sample warns of nothing");
            beside = Some(Job(shell(folder, "exec riskflow run")
                .stdout(Stdio::null())
                .spawn()
                .unwrap()));
            continue;
        }
        if command.contains(" ID ") {
            let until = Instant::now() + Duration::from_secs(60);
            let id = loop {
                assert!(Instant::now() < until, "a reading of now warns of nothing");
                if let Some(id) = newest(folder).filter(|id| before.as_ref() != Some(id)) {
                    break id;
                }
                pause();
            };
            let (well, said) = run(folder, &[command.replace(" ID ", &format!(" {id} "))]);
            assert!(well && said.contains("the case is acknowledged"), "{command}: {said}");
            acted = true;
            continue;
        }
        let output = shell(folder, command).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let refuses = printed.iter().any(|line| line.contains(" refused"));
        let code = if refuses { 4 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{command}: {said}");
        for line in printed {
            assert!(said.contains(line), "{command}: {line} is not in: {said}");
        }
    }
    assert!(acted, "the block ends with an action");
    assert_eq!(beside.expect("the block starts a job").stop(), Some(0));
}

/// The README says of each list which filters it has: those of the contract.
#[test]
fn filters_of_lists_are_those_of_the_contract() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let contract = std::fs::read_to_string(root().join("docs/openapi.json")).unwrap();
    let contract: serde_json::Value = serde_json::from_str(&contract).unwrap();
    let mut lists = 0;
    for row in readme.lines().filter(|line| line.starts_with("| `/api/v1/")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let path = cells[0].split('`').nth(1).unwrap();
        let Some(parameters) = contract["paths"][path]["get"]["parameters"].as_array() else {
            continue;
        };
        let names: BTreeSet<&str> = parameters.iter().filter_map(|one| one["name"].as_str()).collect();
        // What is no list is asked for otherwise.
        if !names.contains("limit") {
            continue;
        }
        let wanted: BTreeSet<&str> = names
            .into_iter()
            .filter(|name| !["limit", "after", "offset"].contains(name))
            .collect();
        let filters: BTreeSet<&str> = cells[2].split('`').skip(1).step_by(2).collect();
        assert_eq!(filters, wanted, "{path}");
        lists += 1;
    }
    assert!(lists > 10, "only {lists} lists");
}
