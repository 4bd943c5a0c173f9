use std::collections::BTreeSet;

use proptest::prelude::*;
use riskflow_model::progress::Offsets;

use super::*;

pub(super) fn written(folder: &std::path::Path, epoch: i64) -> (CheckpointStore, Manifest) {
    let store = CheckpointStore::open(folder.to_str().unwrap()).unwrap();
    let epoch = Millis(epoch);
    let part = |n: usize| {
        let keys = vec![n as u8; 40 * n];
        store
            .write_part(epoch, "latest", (0, 1), format!("latest-0-0-{n}.part"), &keys)
            .unwrap()
    };
    let manifest = Manifest {
        format: FORMAT,
        job: None,
        epoch,
        clock: epoch,
        offsets: Offsets::default(),
        semantics: "s".into(),
        version: "v".into(),
        folds: [("latest".into(), 2)].into(),
        off: BTreeSet::new(),
        parts: vec![part(1), part(2)],
    };
    store.write_manifest(&manifest).unwrap();
    (store, manifest)
}

proptest! {
    #[test]
    fn any_byte_that_is_another_is_noticed(file in 0usize..3, at in 0usize..100_000, flip in 1u8..=255) {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = written(folder.path(), 7);
        let name = ["manifest", "latest-0-0-1.part", "latest-0-0-2.part"][file];
        let path = folder.path().join(format!("{:020}", 7)).join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        std::fs::write(&path, bytes).unwrap();
        prop_assert!(store.newest(|_| true).unwrap().is_none());
    }

    #[test]
    fn a_file_that_is_cut_is_noticed(file in 0usize..3, keep in 0.0f64..1.0) {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = written(folder.path(), 7);
        let name = ["manifest", "latest-0-0-1.part", "latest-0-0-2.part"][file];
        let path = folder.path().join(format!("{:020}", 7)).join(name);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..(bytes.len() as f64 * keep) as usize]).unwrap();
        prop_assert!(store.newest(|_| true).unwrap().is_none());
    }
}

#[test]
fn a_place_is_one_jobs_until_another_adopts_it() {
    let folder = tempfile::tempdir().unwrap();
    let job = |id: &str| {
        let place = |id: &str| crate::identity::Place {
            kind: "log".to_owned(),
            id: id.to_owned(),
            at: format!("/{id}"),
        };
        Identity {
            prefix: "x.".to_owned(),
            input: place(id),
            output: place(id),
        }
    };
    let open = || CheckpointStore::open(folder.path().to_str().unwrap()).unwrap();
    let (mut first, mut second) = (open(), open());
    first.claim(&job("a")).unwrap();
    first.claim(&job("a")).unwrap();
    let (_, manifest) = written(folder.path(), 10);
    let signed = Manifest {
        job: first.job().cloned(),
        ..manifest
    };
    first.write_manifest(&signed).unwrap();
    assert!(first.newest(|_| true).unwrap().is_some());
    let refused = second.claim(&job("b")).unwrap_err().to_string();
    for part in [
        "another job",
        "at `/a`",
        "at `/b`",
        "`checkpoint.path` of its own",
        "adopt",
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    // One that was copied to another job's place.
    assert!(matches!(second.newest(|_| true), Err(CheckpointError::OtherJob { .. })));
    assert_eq!(second.adopt(&job("b")).unwrap(), 1);
    second.claim(&job("b")).unwrap();
    assert!(second.newest(|_| true).unwrap().is_some());
    assert!(matches!(first.claim(&job("a")), Err(CheckpointError::OtherJob { .. })));
}

#[test]
fn the_newest_that_is_sound_is_used_and_old_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    for epoch in [10, 20, 30, 40] {
        written(folder.path(), epoch);
    }
    let store = CheckpointStore::open(folder.path().to_str().unwrap()).unwrap();
    store
        .write_part(Millis(50), "latest", (0, 1), "half.part".into(), b"x")
        .unwrap();
    let newest = |store: &CheckpointStore| store.newest(|_| true).unwrap().map(|manifest| manifest.epoch.0);
    assert_eq!(newest(&store), Some(40), "50 has no manifest");
    std::fs::remove_file(folder.path().join(format!("{:020}/latest-0-0-2.part", 40))).unwrap();
    assert_eq!(newest(&store), Some(30), "40 lacks a part");
    assert_eq!(store.prune(2).unwrap(), [Millis(20), Millis(10)]);
    let left: Vec<i64> = store.list().unwrap().iter().map(|listed| listed.epoch.0).collect();
    assert_eq!(left, [50, 40, 30]);
}

/// Whoever seals a manifest anew without a fold's part has not made it whole.
#[test]
fn a_part_that_is_not_named_any_more_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let (store, mut manifest) = written(folder.path(), 10);
    store.verify(&manifest).unwrap();
    manifest.parts.pop();
    store.write_manifest(&manifest).unwrap();
    let error = store.verify(&manifest).unwrap_err().to_string();
    assert!(error.contains("of the 2 parts of `latest` it names 1"), "{error}");
    assert_eq!(store.newest(|_| true).unwrap(), None);
}
