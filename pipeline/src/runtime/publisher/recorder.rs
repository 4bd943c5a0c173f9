//! Keeps `out.progress` and `out.epoch`: which epochs were committed, with which offsets and digests.

use std::collections::VecDeque;

use riskflow_connectors::OutRecord;
use riskflow_model::progress::{ClosedEpoch, Offsets, Progress};
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Millis};

use super::beginning::Beginning;
use crate::runtime::output::EpochOutput;
use crate::runtime::pace::Moment;

/// The progress as it stands in the output, and what the next record of it will say.
pub(super) struct Recorder {
    /// The epoch before the next, with a record or at the base, and its time.
    last: Moment,
    base: Moment,
    base_offsets: Offsets,
    /// Of all epochs so far.
    pub(super) position: Offsets,
    /// Epochs with a record, and what they took.
    recorded: VecDeque<(Moment, Offsets)>,
    /// Epochs of an earlier run whose records are void.
    void: Vec<(Millis, Offsets)>,
    anew: bool,
    /// Whether the next record is the first of this run.
    begins: bool,
}

impl Recorder {
    pub(super) fn new(beginning: &Beginning) -> Self {
        let recorded = beginning.recorded.clone();
        let (base, base_offsets) = beginning.base.clone();
        let mut recorder = Self {
            last: recorded.back().map_or(base, |(moment, _)| *moment),
            base,
            base_offsets,
            position: beginning.position.clone(),
            recorded,
            void: Vec::new(),
            anew: beginning.anew,
            begins: true,
        };
        if beginning.anew {
            recorder.last = Moment::of(beginning.last.0.unsigned_abs());
            let void = recorder.recorded.drain(..);
            recorder.void = void.map(|(moment, offsets)| (millis(moment.epoch), offsets)).collect();
        }
        recorder
    }

    /// An epoch that has no record of its own in this run: it was replayed, or what it took will stand before the first record.
    pub(super) fn note(&mut self, output: &EpochOutput, moment: Moment) {
        self.position.merge(&output.offsets);
        if self.anew && moment.epoch > self.last.epoch {
            self.last = moment;
        }
    }

    /// Appends the progress of an epoch that is about to be committed, and takes back what a checkpoint covers.
    pub(super) fn record(
        &mut self,
        output: &EpochOutput,
        clock: i64,
        digest: Key,
        oldest: Millis,
        records: &mut Vec<OutRecord>,
    ) {
        // What a checkpoint covers waits for an epoch that has something to say, else an idle job would write for ever: each
        // checkpoint would cover the record of the epoch that took back what the one before it covered.
        let silent = output.offsets.is_empty() && records.is_empty() && !output.woken;
        if silent && !self.anew {
            return;
        }
        let anew = std::mem::take(&mut self.anew);
        let before = self.base_offsets.clone();
        if anew {
            // All that was taken by now belongs to what comes before this epoch.
            self.base = self.last;
            self.base_offsets = self.position.clone();
        }
        let mut covered = std::mem::take(&mut self.void);
        while let Some((moment, offsets)) = self.recorded.pop_front_if(|(moment, _)| millis(moment.epoch) <= oldest) {
            self.base = moment;
            self.base_offsets.merge(&offsets);
            covered.push((millis(moment.epoch), offsets));
        }
        let rebased = anew || !covered.is_empty();
        for (epoch, offsets) in covered {
            records.extend(Progress::keys(&Progress::key(epoch), &offsets).map(tombstone));
        }
        if rebased {
            let base = standing(self.base, Millis(0), &self.base_offsets, Key::default(), false);
            let written = spread(Topic::PROGRESS, Progress::BASE, base);
            // One with fewer partitions leaves no part of the one before.
            let before = Progress::keys(Progress::BASE, &before).skip(written.len());
            records.extend(before.map(tombstone));
            records.extend(written);
        }
        let moment = Moment {
            epoch: output.epoch.0.unsigned_abs(),
            clock,
        };
        let (key, previous) = (Progress::key(output.epoch), millis(self.last.epoch));
        if std::mem::take(&mut self.begins) || rebased {
            let position = ClosedEpoch::position(previous);
            let standing = standing(self.last, Millis(0), &self.position, Key::default(), false);
            records.extend(spread(Topic::EPOCH, &position, standing));
        }
        let closed = standing(moment, previous, &output.offsets, digest, anew);
        records.extend(spread(Topic::EPOCH, &key, closed.clone()));
        records.extend(spread(Topic::PROGRESS, &key, closed));
        self.position.merge(&output.offsets);
        self.recorded.push_back((moment, output.offsets.clone()));
        self.last = moment;
    }
}

const fn millis(epoch: u64) -> Millis {
    Millis(epoch as i64)
}

/// Where the input stands with an epoch.
fn standing(moment: Moment, previous: Millis, offsets: &Offsets, digest: Key, anew: bool) -> Progress {
    let Moment { epoch, clock } = moment;
    Progress {
        epoch: millis(epoch),
        clock: (clock != epoch as i64).then_some(Millis(clock)),
        previous,
        offsets: offsets.clone(),
        marks: offsets.marks(),
        digest: digest.to_string().into(),
        anew,
        parts: 1,
    }
}

/// The records that say so; `key` is that of the first.
fn spread(topic: Topic, key: &str, progress: Progress) -> Vec<OutRecord> {
    let records = progress.split(key).into_iter().map(|(key, part)| OutRecord {
        topic,
        key,
        payload: Some(serde_json::to_vec(&part).expect("texts and numbers can be written")),
    });
    records.collect()
}

fn tombstone(key: String) -> OutRecord {
    OutRecord {
        topic: Topic::PROGRESS,
        key,
        payload: None,
    }
}

/// The hash of what an epoch gives, in whatever order: the sum of the hashes of its records.
#[must_use]
pub(super) fn digest(records: &[OutRecord]) -> Key {
    let mut bytes = Vec::new();
    let mut sum = 0u128;
    for OutRecord { topic, key, payload } in records {
        bytes.clear();
        bytes.extend_from_slice(&topic.id().to_le_bytes());
        bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        bytes.extend_from_slice(key.as_bytes());
        let length = payload.as_ref().map_or(u32::MAX, |payload| payload.len() as u32);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(payload.as_deref().unwrap_or_default());
        sum = sum.wrapping_add(Key::of_bytes(&bytes).to_u128());
    }
    Key::from_u128(sum)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use riskflow_connectors::Resume;

    use super::*;

    fn took(epoch: i64, partitions: u16) -> EpochOutput {
        let mut output = EpochOutput::new(Millis(epoch), Vec::new());
        for partition in 0..partitions {
            output.offsets.advance(Topic::IN_OBSERVATION, partition, epoch as u64);
        }
        output
    }

    /// What stands in the table after some records.
    fn apply(table: &mut BTreeMap<String, Vec<u8>>, records: Vec<OutRecord>) -> Resume {
        for record in records.into_iter().filter(|record| record.topic == Topic::PROGRESS) {
            match record.payload {
                Some(payload) => table.insert(record.key, payload),
                None => table.remove(&record.key),
            };
        }
        Resume::of(table.clone()).unwrap()
    }

    #[test]
    fn progress_of_many_partitions_comes_and_goes_whole() {
        let mut table = BTreeMap::new();
        let mut recorder = Recorder::new(&Beginning::default());
        let mut record = |recorder: &mut Recorder, output: &EpochOutput, oldest| {
            let mut records = Vec::new();
            recorder.record(output, output.epoch.0, Key::default(), Millis(oldest), &mut records);
            let resume = apply(&mut table, records);
            (resume, table.len())
        };
        let (resume, records) = record(&mut recorder, &took(10, 1_250), 0);
        assert_eq!((resume.last(), records), (Millis(10), 3));
        assert_eq!(resume.epochs[0].offsets, took(10, 1_250).offsets);
        record(&mut recorder, &took(20, 600), 0);
        // A checkpoint covers both: their records are those of the base.
        let (resume, records) = record(&mut recorder, &took(30, 1), 20);
        let mut all = took(10, 1_250).offsets;
        all.merge(&took(20, 600).offsets);
        assert_eq!((resume.base.clone(), records), ((Millis(20), all), 4));
        // Begun anew with less: nothing is left of the base before, nor of the epochs.
        let beginning = Beginning {
            last: resume.last(),
            base: (Moment::of(resume.base.0.0.unsigned_abs()), resume.base.1),
            recorded: [(Moment::of(30), took(30, 1).offsets)].into(),
            anew: true,
            ..Beginning::default()
        };
        let (resume, records) = record(&mut Recorder::new(&beginning), &took(40, 3), 0);
        assert_eq!((resume.base, records), ((Millis(30), Offsets::default()), 2));
        assert_eq!(resume.epochs.len(), 1);
    }
}
