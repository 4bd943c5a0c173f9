//! What must be absent, and what must be current.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn operators_know_no_kafka_no_tokio_no_file_and_no_clock() {
    let mut files = Vec::new();
    sources(&root().join("operators/src"), &mut files);
    assert!(files.len() > 5);
    let words = [
        "rdkafka",
        "tokio",
        "std::fs",
        "std::net",
        "std::time",
        "SystemTime",
        "Instant",
        "rand::",
        "std::collections::HashMap",
        "println!",
    ];
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for word in words {
            assert!(!text.contains(word), "{} has `{word}`", file.display());
        }
    }
    for (folder, foreign) in [
        ("operators", "riskflow-connectors"),
        ("connectors", "riskflow-operators"),
        ("connectors", "timely"),
        ("model", "riskflow-config"),
    ] {
        let manifest = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        assert!(
            !manifest.lines().any(|line| line.starts_with(foreign)),
            "{folder} imports {foreign}"
        );
    }
}

/// The rooms of a crate stand in `lib.rs` in their order, and each takes only from those before it: so there is no circle between
/// them.
#[test]
fn each_room_takes_only_from_those_before_it() {
    for (source, names) in [
        ("operators/src", &["crate::"][..]),
        ("pipeline/src", &["crate::", "riskflow::"]),
    ] {
        let source = root().join(source);
        let lib = std::fs::read_to_string(source.join("lib.rs")).unwrap();
        let room = |line: &str| {
            let line = line.strip_prefix("pub ").unwrap_or(line);
            Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned())
        };
        let rooms: Vec<String> = lib.lines().filter_map(room).collect();
        assert!(rooms.len() > 2, "{rooms:?}");
        for (place, room) in rooms.iter().enumerate() {
            let mut files = vec![source.join(format!("{room}.rs"))];
            if source.join(room).exists() {
                sources(&source.join(room), &mut files);
            }
            for file in files {
                let text = std::fs::read_to_string(&file).unwrap();
                for later in &rooms[place + 1..] {
                    for name in names {
                        let path = format!("{name}{later}");
                        let taken = text.split(&path).skip(1).find(|rest| !rest.starts_with(is_name));
                        assert!(
                            taken.is_none(),
                            "{} takes from {path}, which comes later",
                            file.display()
                        );
                    }
                }
            }
        }
    }
}

const fn is_name(one: char) -> bool {
    one.is_ascii_alphanumeric() || one == '_'
}

#[test]
fn the_configuration_reference_is_what_the_program_takes() {
    let reference = std::fs::read_to_string(root().join("config/riskflow.toml")).unwrap();
    let written = riskflow_config::WrittenSettings::from_toml(&reference).unwrap();
    assert_eq!(
        written,
        riskflow_config::WrittenSettings::default(),
        "config/riskflow.toml shows the defaults"
    );
    for line in reference
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.contains(" = "))
    {
        assert!(line.parse::<toml::Table>().is_ok(), "`{line}` is no TOML");
    }
}

#[test]
fn bad_configuration_says_everything_at_once_and_exits_with_2() {
    let program = std::env::current_exe()
        .unwrap()
        .ancestors()
        .nth(2)
        .unwrap()
        .join("riskflow");
    let output = Command::new(program)
        .args(["check", "--set", "epoch.tick=soon", "--set", "cluster.workers=0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("`epoch.tick` is `soon`") && text.contains("`cluster.workers` is 0"),
        "{text}"
    );
}

/// The same sources are built twice, and with the same libraries.
#[test]
fn packages_with_failpoints_depend_on_what_the_product_depends_on() {
    let dependencies = |manifest: &str| -> toml::Table {
        let text = std::fs::read_to_string(root().join(manifest)).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        manifest["dependencies"].as_table().unwrap().clone()
    };
    for package in ["connectors", "pipeline"] {
        let product = dependencies(&format!("{package}/Cargo.toml"));
        let mut tests = dependencies(&format!("tests/failpoints/{package}/Cargo.toml"));
        if package == "connectors" {
            assert!(tests.remove("fail").is_some() && !product.contains_key("fail"));
        } else {
            let connectors = tests["riskflow-connectors"].as_table().unwrap();
            assert_eq!(connectors["package"].as_str(), Some("riskflow-connectors-failpoints"));
            tests["riskflow-connectors"] = product["riskflow-connectors"].clone();
        }
        assert_eq!(tests, product, "{package}");
    }
}
