//! Which checkpoint a start goes on from: the newest that fits, or the one that was asked for.

use std::cell::RefCell;
use std::collections::BTreeSet;

use anyhow::{Context as _, Result, anyhow};
use riskflow_config::{Clock, Settings};
use riskflow_connectors::Resume;
use riskflow_connectors::checkpoint::{CheckpointStore, Manifest};
use riskflow_model::{Millis, Text, capability};

use crate::runtime::clock::{TOLERANCE, wall_clock};

/// Why a checkpoint that is sound is not gone on from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Unfit {
    /// By a clock that was ahead: there would be no going on from it.
    ToCome { clock: Millis },
    /// Other capabilities were on.
    OtherCapabilities,
    /// `out.progress` begins behind it.
    BeforeProgress { base: Millis },
    /// The offsets after its epoch are others in `out.progress`.
    OtherOffsets,
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ToCome { clock } => write!(f, "it is of {clock}, a time that is yet to come: the clock was ahead"),
            Self::OtherCapabilities => f.write_str("it was taken with other capabilities (`[capabilities]`)"),
            Self::BeforeProgress { base } => write!(
                f,
                "`out.progress` begins with {base}, behind it: it is kept back to the checkpoints that there are and to those with a name \
                 (`riskflow checkpoint pin`), and this one was away"
            ),
            Self::OtherOffsets => f.write_str(
                "by `out.progress` another part of the input was taken at its epoch: it is of another output",
            ),
        }
    }
}

/// What a checkpoint must fit.
struct Fit<'a> {
    resume: &'a Resume,
    off: BTreeSet<Text>,
    /// Times behind it are yet to come; `None` where the clock is not asked.
    latest: Option<i64>,
}

/// What a checkpoint says of capabilities that are off. Of those that its release did not know it says nothing: they begin empty behind
/// it, or are off.
fn is_off<'a>(manifest: &Manifest, off: &'a BTreeSet<Text>) -> BTreeSet<&'a str> {
    let known = |name: &&str| !is_unknown(name, manifest);
    off.iter().map(|name| &**name).filter(known).collect()
}

impl Fit<'_> {
    fn unfit(&self, manifest: &Manifest) -> Option<Unfit> {
        // Taken in quiet by a clock that was ahead: no epoch of that time was recorded.
        if self.latest.is_some_and(|latest| manifest.clock.0 > latest) {
            return Some(Unfit::ToCome { clock: manifest.clock });
        }
        if is_off(manifest, &manifest.off) != is_off(manifest, &self.off) {
            return Some(Unfit::OtherCapabilities);
        }
        match self.resume.offsets_after(manifest.epoch) {
            None => Some(Unfit::BeforeProgress {
                base: self.resume.base.0,
            }),
            Some(offsets) => (offsets != manifest.offsets).then_some(Unfit::OtherOffsets),
        }
    }
}

/// The checkpoint to go on from, if there is one.
///
/// # Errors
///
/// When the store refuses; when the checkpoint that was asked for cannot be used.
pub(super) fn checkpoint(settings: &Settings, store: &CheckpointStore, resume: &Resume) -> Result<Option<Manifest>> {
    let fit = Fit {
        resume,
        off: settings.capabilities.off().map(Text::from).collect(),
        latest: (settings.clock == Clock::Live).then(|| wall_clock() + settings.time.max_future.0.max(TOLERANCE)),
    };
    match settings.recovery.from {
        Some(epoch) => asked(store, &fit, epoch).map(Some),
        None => newest(store, &fit),
    }
}

fn newest(store: &CheckpointStore, fit: &Fit<'_>) -> Result<Option<Manifest>> {
    let to_come = RefCell::new(Vec::new());
    let fits = |manifest: &Manifest| {
        let unfit = fit.unfit(manifest);
        if let Some(why) = &unfit {
            tracing::warn!(epoch = %manifest.epoch, "a checkpoint cannot be used: {why}");
        }
        if matches!(unfit, Some(Unfit::ToCome { .. })) {
            to_come.borrow_mut().push(manifest.epoch);
        }
        unfit.is_none()
    };
    let checkpoint = store.newest(fits).context("could not read the checkpoints")?;
    // They would be kept in the place of those that come.
    let gone = to_come
        .into_inner()
        .into_iter()
        .try_for_each(|epoch| store.take_away(epoch));
    gone.context("could not take away checkpoints that cannot be used")?;
    Ok(checkpoint)
}

/// The one that was asked for, whichever are newer.
fn asked(store: &CheckpointStore, fit: &Fit<'_>, epoch: Millis) -> Result<Manifest> {
    let manifest = store
        .sound(epoch)
        .with_context(|| format!("could not go back to the checkpoint of {epoch}"))?;
    if let Some(why) = fit.unfit(&manifest) {
        return Err(anyhow!("could not go back to the checkpoint of {epoch}: {why}"));
    }
    Ok(manifest)
}

/// Folds that earlier releases did not have, by the capability that they belong to.
const YOUNGER: [(&str, &str); 2] = [("event", capability::GAUGES), ("gauge", capability::GAUGES)];

/// Whether the release that took a checkpoint did not know a capability.
fn is_unknown(capability: &str, manifest: &Manifest) -> bool {
    let mut folds = YOUNGER.iter().filter(|(_, of)| *of == capability).peekable();
    folds.peek().is_some()
        && !manifest.off.iter().any(|off| **off == *capability)
        && folds.all(|(fold, _)| !manifest.folds.contains_key(*fold))
}

/// Whether a fold begins empty behind a checkpoint that does not know it: what feeds it comes from topics of which nothing was read.
pub fn begins_empty(fold: &str, manifest: &Manifest) -> bool {
    let of = YOUNGER.iter().find(|(younger, _)| *younger == fold);
    of.is_some_and(|(_, capability)| {
        let read = manifest
            .offsets
            .iter()
            .any(|(topic, ..)| topic.capability() == Some(capability));
        is_unknown(capability, manifest) && !read
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use riskflow_connectors::checkpoint::FORMAT;
    use riskflow_model::progress::Offsets;
    use riskflow_model::topic::Topic;

    use super::*;

    fn offsets(next: u64) -> Offsets {
        let mut offsets = Offsets::default();
        offsets.advance(Topic::IN_RULE, 0, next);
        offsets
    }

    fn manifest(epoch: i64, next: u64) -> Manifest {
        Manifest {
            format: FORMAT,
            job: None,
            epoch: Millis(epoch),
            clock: Millis(epoch),
            offsets: offsets(next),
            semantics: "s".into(),
            version: "v".into(),
            folds: BTreeMap::new(),
            off: BTreeSet::new(),
            parts: Vec::new(),
        }
    }

    fn resume() -> Resume {
        Resume {
            base: (Millis(10), offsets(1)),
            base_time: Millis(10),
            epochs: Vec::new(),
        }
    }

    fn store(folder: &std::path::Path, epochs: &[i64]) -> CheckpointStore {
        let store = CheckpointStore::open(folder.to_str().unwrap()).unwrap();
        for epoch in epochs {
            store.write_manifest(&manifest(*epoch, 1)).unwrap();
        }
        store
    }

    #[test]
    fn what_does_not_fit_says_why() {
        let resume = resume();
        let fit = Fit {
            resume: &resume,
            off: BTreeSet::new(),
            latest: Some(1_000),
        };
        assert_eq!(fit.unfit(&manifest(10, 1)), None);
        assert_eq!(fit.unfit(&manifest(20, 1)), None, "nothing was recorded since");
        assert_eq!(
            fit.unfit(&manifest(9, 1)),
            Some(Unfit::BeforeProgress { base: Millis(10) })
        );
        assert_eq!(fit.unfit(&manifest(10, 2)), Some(Unfit::OtherOffsets));
        assert_eq!(
            fit.unfit(&manifest(1_001, 1)),
            Some(Unfit::ToCome { clock: Millis(1_001) })
        );
        let other = Manifest {
            off: BTreeSet::from(["cases".into()]),
            ..manifest(10, 1)
        };
        assert_eq!(fit.unfit(&other), Some(Unfit::OtherCapabilities));
    }

    #[test]
    fn what_an_earlier_release_did_not_know_may_be_on_or_off() {
        let resume = resume();
        let with = |off: &[&str]| Fit {
            resume: &resume,
            off: off.iter().map(|name| Text::from(*name)).collect(),
            latest: None,
        };
        let before = manifest(10, 1);
        assert_eq!(with(&[]).unfit(&before), None);
        assert_eq!(with(&["gauges"]).unfit(&before), None);
        assert!(begins_empty("event", &before) && begins_empty("gauge", &before));
        assert!(!begins_empty("monitor", &before), "a fold that was always there");

        let folds = ["event", "gauge"].map(|fold| (Text::from(fold), 0));
        let on = Manifest {
            folds: folds.into(),
            ..manifest(10, 1)
        };
        assert_eq!(with(&[]).unfit(&on), None);
        assert_eq!(with(&["gauges"]).unfit(&on), Some(Unfit::OtherCapabilities));

        let off = Manifest {
            off: BTreeSet::from(["gauges".into()]),
            ..manifest(10, 1)
        };
        assert_eq!(with(&["gauges"]).unfit(&off), None);
        assert_eq!(with(&[]).unfit(&off), Some(Unfit::OtherCapabilities));

        let mut half = before;
        half.offsets.advance(Topic::IN_EVENT, 0, 1);
        assert!(
            !begins_empty("event", &half),
            "its records were read, and its state is gone"
        );
    }

    #[test]
    fn the_one_that_is_asked_for_is_taken_whichever_are_newer() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path(), &[9, 20, 30]);
        let resume = resume();
        let fit = Fit {
            resume: &resume,
            off: BTreeSet::new(),
            latest: None,
        };
        let too_old = asked(&store, &fit, Millis(9)).unwrap_err().to_string();
        assert!(too_old.contains("`out.progress` begins"), "{too_old}");
        assert!(asked(&store, &fit, Millis(25)).is_err(), "there is none");
        assert_eq!(asked(&store, &fit, Millis(20)).unwrap().epoch, Millis(20));
        assert_eq!(newest(&store, &fit).unwrap().unwrap().epoch, Millis(30));
    }

    /// A name is the operator's word: what has one is not deleted.
    #[test]
    fn what_is_of_a_time_to_come_goes_and_is_put_aside_where_it_has_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path(), &[20, 2_000, 3_000]);
        store.pin("mine", Millis(2_000)).unwrap();
        let resume = resume();
        let fit = Fit {
            resume: &resume,
            off: BTreeSet::new(),
            latest: Some(1_000),
        };
        assert_eq!(newest(&store, &fit).unwrap().unwrap().epoch, Millis(20));
        let left: Vec<Millis> = store.list().unwrap().iter().map(|listed| listed.epoch).collect();
        assert_eq!(left, [Millis(20)]);
        assert!(store.pins().unwrap().is_empty());
        let aside = folder.path().join("aside");
        assert!(aside.join(format!("{:020}", 2_000)).join("manifest").exists());
        assert!(aside.join("pins/mine").join(format!("{:020}", 2_000)).exists());
        assert!(!aside.join(format!("{:020}", 3_000)).exists());
    }
}
