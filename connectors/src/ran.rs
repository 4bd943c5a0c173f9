//! The epochs of a job as it ran them: what `out.epoch` has of them.

use std::collections::BTreeMap;

use riskflow_config::{Output, TopicSettings};
use riskflow_model::Millis;
use riskflow_model::progress::{ClosedEpoch, Offsets, Progress};
use riskflow_model::topic::Topic;

use crate::SourceError;
use crate::progress::{each, key_of, put_together};

/// Epochs that follow each other without a gap, up to the last that was committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// What stood before the first of them: an epoch, and how far the input was taken by then. Epoch 0: the very beginning.
    pub base: (Millis, Offsets),
    /// What time it was at the base.
    pub base_time: Millis,
    /// The epochs since then, rising.
    pub epochs: Vec<Progress>,
}

/// Reads the epochs of a job. All of them are held in memory, some hundred bytes each.
///
/// # Errors
///
/// When the topic is not there or cannot be read, or what it holds makes no sense: a record has no key, or is none of an epoch.
pub fn ran(output: &Output, settings: &TopicSettings) -> Result<Ran, SourceError> {
    let mut records = BTreeMap::new();
    each(output, settings, &[Topic::EPOCH], None, &mut |record| {
        let key = key_of(&record)?;
        if let Some(payload) = record.payload {
            records.insert(key, payload.to_vec());
        }
        Ok(())
    })?;
    Ran::of(records)
}

impl Ran {
    /// Puts the records of `out.epoch` together, by key. Where older ones are gone, or the state was made anew, it begins with the first
    /// position behind that.
    ///
    /// # Errors
    ///
    /// When one cannot be read.
    pub fn of(records: BTreeMap<String, Vec<u8>>) -> Result<Self, SourceError> {
        let (positions, epochs): (BTreeMap<_, _>, BTreeMap<_, _>) =
            records.into_iter().partition(|(key, _)| ClosedEpoch::is_position(key));
        let mut epochs: Vec<Progress> = put_together(epochs)?.into_values().collect();
        let mut positions: BTreeMap<Millis, Progress> = put_together(positions)?
            .into_values()
            .map(|position| (position.epoch, position))
            .collect();
        let follows = |pair: &[Progress]| !pair[1].anew && pair[1].previous == pair[0].epoch;
        let unbroken = epochs
            .windows(2)
            .rposition(|pair| !follows(pair))
            .map_or(0, |at| at + 1);
        epochs.drain(..unbroken);
        let whole = epochs
            .first()
            .is_none_or(|first| first.previous == Millis(0) && !first.anew);
        if whole {
            return Ok(Self {
                epochs,
                ..Self::default()
            });
        }
        let begin = epochs.iter().position(|epoch| positions.contains_key(&epoch.previous));
        epochs.drain(..begin.unwrap_or(epochs.len()));
        let base = epochs.first().and_then(|first| positions.remove(&first.previous));
        Ok(base.map_or_else(Self::default, |base| Self {
            base_time: base.time(),
            base: (base.epoch, base.offsets),
            epochs,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: String, epoch: i64, previous: i64, (next, anew): (u64, bool)) -> (String, Vec<u8>) {
        let mut offsets = Offsets::default();
        offsets.advance(Topic::IN_RULE, 0, next);
        let progress = Progress {
            epoch: Millis(epoch),
            clock: None,
            previous: Millis(previous),
            marks: offsets.marks(),
            offsets,
            digest: "".into(),
            anew,
            parts: 1,
        };
        (key, serde_json::to_vec(&progress).unwrap())
    }

    fn epoch(epoch: i64, previous: i64) -> (String, Vec<u8>) {
        record(Progress::key(Millis(epoch)), epoch, previous, (epoch as u64, false))
    }

    fn position(epoch: i64) -> (String, Vec<u8>) {
        record(ClosedEpoch::position(Millis(epoch)), epoch, 0, (epoch as u64, false))
    }

    fn read(records: Vec<(String, Vec<u8>)>) -> (i64, Vec<i64>) {
        let ran = Ran::of(records.into_iter().collect()).unwrap();
        assert_eq!(ran.base.1.next(Topic::IN_RULE, 0), ran.base.0.0 as u64);
        let epochs = ran.epochs.iter().map(|progress| progress.epoch.0);
        (ran.base.0.0, epochs.collect())
    }

    #[test]
    fn all_epochs_are_there_from_the_very_first() {
        let all = vec![position(0), epoch(10, 0), epoch(20, 10), position(20), epoch(30, 20)];
        assert_eq!(read(all), (0, vec![10, 20, 30]));
        assert_eq!(read(Vec::new()), (0, vec![]));
    }

    #[test]
    fn where_old_ones_are_gone_it_begins_behind_a_position() {
        assert_eq!(read(vec![epoch(30, 20), position(30), epoch(40, 30)]), (30, vec![40]));
        // Partitions do not lose the same: 10 is left of what is gone, 20 is not.
        assert_eq!(read(vec![epoch(10, 0), epoch(30, 20), position(20)]), (20, vec![30]));
        assert_eq!(read(vec![epoch(30, 20), epoch(40, 30)]), (0, vec![]));
    }

    #[test]
    fn what_came_before_the_state_was_made_anew_does_not_lead_on() {
        let anew = record(Progress::key(Millis(30)), 30, 20, (30, true));
        assert_eq!(
            read(vec![epoch(10, 0), epoch(20, 10), position(20), anew, epoch(40, 30)]),
            (20, vec![30, 40])
        );
    }
}
