//! Keeps `out.progress`: which epochs were committed, with which offsets and digests.

use std::collections::VecDeque;

use riskflow_connectors::OutRecord;
use riskflow_model::progress::{Offsets, Progress};
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Millis};

use super::Beginning;
use crate::output::EpochOutput;

/// The progress as it stands in the output, and what the next record of it will say.
pub(super) struct Recorder {
    last: Millis,
    base: Millis,
    base_offsets: Offsets,
    /// Of all epochs so far.
    pub(super) position: Offsets,
    /// Epochs with a record, and what they took.
    recorded: VecDeque<(Millis, Offsets)>,
    /// Epochs of an earlier run whose records are void.
    void: Vec<Millis>,
    anew: bool,
}

impl Recorder {
    pub(super) fn new(beginning: &Beginning) -> Self {
        let recorded = beginning.recorded.clone();
        let (base, base_offsets) = beginning.base.clone();
        let mut recorder = Self {
            last: recorded.back().map_or(base, |(epoch, _)| *epoch),
            base,
            base_offsets,
            position: beginning.position.clone(),
            recorded,
            void: Vec::new(),
            anew: beginning.anew,
        };
        if beginning.anew {
            recorder.last = beginning.last;
            recorder.void = recorder.recorded.drain(..).map(|(epoch, _)| epoch).collect();
        }
        recorder
    }

    /// A replayed epoch.
    pub(super) fn note(&mut self, output: &EpochOutput) {
        self.position.merge(&output.offsets);
    }

    /// Appends the progress of an epoch that is about to be committed, and takes back what a checkpoint covers.
    pub(super) fn record(&mut self, output: &EpochOutput, digest: Key, oldest: Millis, records: &mut Vec<OutRecord>) {
        // What a checkpoint covers waits for an epoch that has something to say, else an idle job would write for ever: each
        // checkpoint would cover the record of the epoch that took back what the one before it covered.
        let silent = output.offsets.is_empty() && records.is_empty() && !output.woken;
        if silent && !self.anew {
            return;
        }
        let anew = std::mem::take(&mut self.anew);
        if anew {
            // All that was taken by now belongs to what comes before this epoch.
            self.base = self.last;
            self.base_offsets = self.position.clone();
        }
        let mut covered = std::mem::take(&mut self.void);
        while let Some((epoch, offsets)) = self.recorded.pop_front_if(|(epoch, _)| *epoch <= oldest) {
            self.base = epoch;
            self.base_offsets.merge(&offsets);
            covered.push(epoch);
        }
        let rebased = anew || !covered.is_empty();
        for epoch in covered {
            records.push(OutRecord {
                topic: Topic::Progress,
                key: Progress::key(epoch),
                payload: None,
            });
        }
        if rebased {
            records.push(progress(
                Progress::BASE.to_owned(),
                self.base,
                Millis(0),
                &self.base_offsets,
                Key::default(),
            ));
        }
        let epoch = output.epoch;
        records.push(progress(
            Progress::key(epoch),
            epoch,
            self.last,
            &output.offsets,
            digest,
        ));
        self.position.merge(&output.offsets);
        self.recorded.push_back((epoch, output.offsets.clone()));
        self.last = epoch;
    }
}

fn progress(key: String, epoch: Millis, previous: Millis, offsets: &Offsets, digest: Key) -> OutRecord {
    let progress = Progress {
        epoch,
        previous,
        offsets: offsets.clone(),
        marks: offsets.marks(),
        digest: digest.to_string().into(),
    };
    OutRecord {
        topic: Topic::Progress,
        key,
        payload: serde_json::to_vec(&progress).ok(),
    }
}

/// The hash of what an epoch gives.
#[must_use]
pub(super) fn digest(records: &[OutRecord]) -> Key {
    let mut bytes = Vec::new();
    for OutRecord { topic, key, payload } in records {
        bytes.extend_from_slice(&topic.index().to_le_bytes());
        bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        bytes.extend_from_slice(key.as_bytes());
        let length = payload.as_ref().map_or(u32::MAX, |payload| payload.len() as u32);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(payload.as_deref().unwrap_or_default());
    }
    Key::of_bytes(&bytes)
}
