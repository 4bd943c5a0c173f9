//! Scripts that a person may run: asked for help they say how they are used, told what they do not know they say so, and do nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// These pass on what they are given, but for `--help`.
const PASS_ON: [&str; 1] = ["deploy/test.sh"];

/// How a script ends, and what it prints on both streams.
type Said = (Option<i32>, String, String);

/// Scripts of the repository by their paths from its root, with their texts: those that are only sourced, too.
fn scripts(root: &Path) -> BTreeMap<PathBuf, String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                // What .gitignore names, and git's own.
                let ignored = name.starts_with('.') || ["target", "data", "try", "jars"].contains(&name.as_str());
                if !ignored || name == ".ci" {
                    walk(&path, found);
                }
            } else if name.ends_with(".sh") || folder.file_name().is_some_and(|name| name == ".ci") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(root, &mut found);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(root).unwrap().to_owned(), text)
    };
    found.into_iter().map(read).collect()
}

/// All files and folders below a folder.
fn below(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            below(&path, found);
        }
        found.insert(path);
    }
}

/// The comment at the head of a script.
fn usage(text: &str) -> String {
    let lines = text.lines().skip(1).map_while(|line| line.strip_prefix('#'));
    let lines = lines.flat_map(|line| [line.strip_prefix(' ').unwrap_or(line), "\n"]);
    lines.collect()
}

/// A folder with all programs that a script may need to say how it is used: one that goes on finds nothing to go on with.
fn few_programs() -> TempDir {
    let (folder, path) = (tempfile::tempdir().unwrap(), std::env::var_os("PATH").unwrap());
    for name in ["bash", "dirname", "timeout"] {
        let mut places = std::env::split_paths(&path).map(|place| place.join(name));
        let program = places.find(|program| program.exists()).unwrap();
        symlink(program, folder.path().join(name)).unwrap();
    }
    folder
}

/// Runs a script from the folder in which it is, for some seconds at most.
fn run(script: &Path, arguments: &[&str], programs: &Path) -> Said {
    let output = Command::new(programs.join("timeout"))
        .args(["--kill-after=5", "10", "bash"])
        .arg(script.file_name().unwrap())
        .args(arguments)
        .current_dir(script.parent().unwrap())
        .env("PATH", programs)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// In a copy of the scripts alone: there is nothing that they could build, and nobody else writes there.
#[test]
fn scripts_say_how_they_are_used_and_do_nothing_else() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (scripts, copy, programs) = (scripts(root), tempfile::tempdir().unwrap(), few_programs());
    for (name, text) in &scripts {
        let path = copy.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let there = || {
        let mut found = BTreeSet::new();
        below(copy.path(), &mut found);
        found
    };
    let before = there();
    // What is only sourced does not say what runs it.
    let scripts: Vec<_> = scripts.iter().filter(|(_, text)| text.starts_with("#!")).collect();
    assert!(scripts.len() >= 28, "only {} scripts", scripts.len());
    for (name, text) in scripts {
        let (name, path, usage) = (name.display(), copy.path().join(name), usage(text));
        assert!(
            usage.contains("Exit status: 0 "),
            "{name}: its head says no exit status"
        );
        for help in ["-h", "--help"] {
            let said = run(&path, &[help], programs.path());
            assert_eq!(said, (Some(0), usage.clone(), String::new()), "{name} {help}");
        }
        if !PASS_ON.iter().any(|passes| path.ends_with(passes)) {
            // None takes so many operands.
            for wrong in [&["--no-such-option"][..], &["none"; 5]] {
                let (status, out, complaint) = run(&path, wrong, programs.path());
                assert_eq!((status, &*out), (Some(2), ""), "{name} {wrong:?}: {complaint}");
                assert!(complaint.ends_with(&usage), "{name} {wrong:?}: {complaint}");
            }
        }
        assert_eq!(there(), before, "{name} made something");
    }
}
