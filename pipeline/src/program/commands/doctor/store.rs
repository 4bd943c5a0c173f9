//! Checkpoints: whether their place is reached, and what is in it.

use std::path::Path;

use riskflow::runtime::recovery::is_definite;
use riskflow_config::{Input, Output, Settings};
use riskflow_connectors::Identity;
use riskflow_connectors::checkpoint::{CheckpointStore, Listed, Manifest};

use super::finding::{Findings, told};

const CHECK: &str = "checkpoints";

/// Whether checkpoints can be read, are whole, and are this job's, which brokers must answer for. Writes nothing.
pub fn checkpoints(settings: &Settings, brokers_answer: bool, findings: &mut Findings) {
    let path = &settings.checkpoint.path;
    if !is_definite(settings) {
        findings.skip(CHECK, "a job on files begins anew each time, and takes none");
        return;
    }
    // To open a folder would make it.
    if !path.contains("://") && !Path::new(path).exists() {
        findings.ok(CHECK, format!("none yet: `{path}` is not there, a start makes it"));
        return;
    }
    let listed = CheckpointStore::open(path).and_then(|store| store.list());
    match listed {
        Ok(listed) => report(settings, &listed, brokers_answer, findings),
        Err(error) => findings.fail(
            CHECK,
            told(error),
            "mend `checkpoint.path`, the store, or its credentials (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, …)",
        ),
    }
}

fn report(settings: &Settings, listed: &[Listed], brokers_answer: bool, findings: &mut Findings) {
    let path = &settings.checkpoint.path;
    let mut whole: Vec<&Manifest> = Vec::new();
    for Listed { epoch, manifest } in listed {
        match manifest {
            Ok(manifest) => whole.push(manifest),
            Err(error) => findings.warn(
                CHECK,
                format!("{epoch} cannot be used: {error}"),
                "nothing, if a newer one is whole: no start uses it; `riskflow checkpoint verify` reads all",
            ),
        }
    }
    let bytes: u64 = whole
        .first()
        .map_or(0, |manifest| manifest.parts.iter().map(|part| part.bytes).sum());
    let found = match whole.first() {
        Some(newest) => format!(
            "{} in `{path}`, the newest of {} with {}",
            whole.len(),
            newest.epoch,
            super::machine::bytes(bytes)
        ),
        None => format!("`{path}` is reached, and has none"),
    };
    findings.ok(CHECK, found);
    if brokers_answer {
        others(settings, &whole, findings);
    }
}

/// Whether they are another job's. Only brokers can be asked who they are without writing: a log may get its name by the question.
fn others(settings: &Settings, whole: &[&Manifest], findings: &mut Findings) {
    let (Input::Kafka(_), Output::Kafka(_)) = (&settings.input, &settings.output) else {
        return;
    };
    let Some(theirs) = whole.iter().find_map(|manifest| manifest.job.as_ref()) else {
        return;
    };
    match Identity::find(&settings.input, &settings.output, &settings.output_topics) {
        Ok(ours) if ours == *theirs => {}
        Ok(ours) => findings.fail(
            CHECK,
            format!("they are those of another job ({theirs}); this one is another ({ours})"),
            "give this job a `checkpoint.path` of its own; `riskflow checkpoint adopt` if its Kafka was replaced",
        ),
        Err(error) => findings.skip(CHECK, format!("whose they are: {}", told(error))),
    }
}

#[cfg(test)]
mod tests {
    use riskflow_config::WrittenSettings;

    use super::super::finding::State;
    use super::*;

    fn look(path: &str) -> (State, String) {
        let mut settings = WrittenSettings::default().check().unwrap();
        settings.checkpoint.path = path.to_owned();
        let mut findings = Findings::default();
        checkpoints(&settings, true, &mut findings);
        let one = findings.iter().next().unwrap();
        (one.state, one.found.clone())
    }

    #[test]
    fn a_place_for_checkpoints_is_reached_or_not_and_none_is_made() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name).display().to_string();
        let (state, found) = look(&path("new"));
        assert!(state == State::Ok && found.contains("none yet"), "{found}");
        assert!(!root.path().join("new").exists());
        let (state, found) = look(&root.path().display().to_string());
        assert!(state == State::Ok && found.contains("has none"), "{found}");
        std::fs::write(root.path().join("file"), "").unwrap();
        assert_eq!(look(&path("file")).0, State::Fail);
        assert_eq!(look("nonsense://a/b").0, State::Fail);
    }
}
