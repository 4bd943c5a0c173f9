//! Pages that lead through the code or through commands, step by step: the code has what they name, and the commands do what they say.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{between, files, root};
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

#[test]
fn rolling_out_a_rule_is_what_the_page_says() {
    let steps = steps(&page("rolling-out-a-rule.md"));
    assert!(steps.len() > 12, "{steps:?}");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
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
                }
            }
        }
    }
    assert_eq!(beside.expect("the page starts a job").stop(), Some(0));
}
