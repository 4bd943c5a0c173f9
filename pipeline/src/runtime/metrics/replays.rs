//! Whether a replay gives what the epochs gave when they ran. But for differences, only the summary of a replay tells these.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use prometheus::{IntCounter, Registry};

use super::register::counter;
use crate::runtime::ingest::Disordered;

/// What is found while epochs are replayed.
pub struct Replays {
    differences: IntCounter,
    disordered: Mutex<Disordered>,
    compared: AtomicU64,
    incomparable: AtomicBool,
}

impl Replays {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            differences: counter(
                registry,
                "riskflow_replay_differences_total",
                "Replayed epochs that gave another result than before.",
            )?,
            disordered: Mutex::default(),
            compared: AtomicU64::new(0),
            incomparable: AtomicBool::new(false),
        })
    }

    /// A replayed epoch gave another result than before.
    pub fn differed(&self) {
        self.differences.inc();
    }

    /// Records of files were read when their epoch was over.
    pub fn disordered(&self, found: Disordered) {
        if found == Disordered::default() {
            return;
        }
        let mut all = self.disordered.lock().unwrap_or_else(PoisonError::into_inner);
        all.records += found.records;
        all.crowded += found.crowded;
        all.furthest = all.furthest.max(found.furthest);
    }

    /// An epoch of a replay was compared with what it gave when it ran.
    pub fn compared(&self) {
        self.compared.fetch_add(1, Ordering::Relaxed);
    }

    /// The epochs of a replay cannot be compared: the state before them is not as it was.
    pub fn incomparable(&self) {
        self.incomparable.store(true, Ordering::Relaxed);
    }

    /// How many epochs gave another result than before.
    pub(super) fn differences(&self) -> u64 {
        self.differences.get()
    }

    /// How many were compared.
    pub(super) fn comparisons(&self) -> u64 {
        self.compared.load(Ordering::Relaxed)
    }

    /// Whether any could not be compared.
    pub(super) fn are_incomparable(&self) -> bool {
        self.incomparable.load(Ordering::Relaxed)
    }

    /// All records that were read when their epoch was over.
    pub(super) fn all_disordered(&self) -> Disordered {
        *self.disordered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
