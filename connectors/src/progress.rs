//! What an earlier run left in the output: how far it came, and which rows stand there.

use std::cell::Cell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use riskflow_config::{Guarantee, Input, Output, TopicSettings};
use riskflow_model::progress::{Offsets, Progress};
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Millis};

use crate::{
    Begun, EpochRecords, OutRecord, Polled, RawRecord, Share, SinkError, SourceError, Until, Verdict, open_sink,
    open_source,
};

/// How far an earlier run came, as `out.progress` tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// What stood before the first of `epochs`: an epoch, and the offsets after it. Epoch 0: the very beginning.
    pub base: (Millis, Offsets),
    /// What time it was at the base.
    pub base_time: Millis,
    /// The epochs committed since then, rising, without a gap.
    pub epochs: Vec<Progress>,
}

impl Resume {
    /// The epoch committed last; 0 where there is none.
    #[must_use]
    pub fn last(&self) -> Millis {
        self.epochs.last().map_or(self.base.0, |progress| progress.epoch)
    }

    /// What time it was at the epoch committed last.
    #[must_use]
    pub fn last_time(&self) -> Millis {
        self.epochs.last().map_or(self.base_time, Progress::time)
    }

    /// The offsets after an epoch; `None` before the base.
    #[must_use]
    pub fn offsets_after(&self, epoch: Millis) -> Option<Offsets> {
        let mut offsets = (epoch >= self.base.0).then(|| self.base.1.clone())?;
        let up_to = self.epochs.iter().take_while(|progress| progress.epoch <= epoch);
        up_to.for_each(|progress| offsets.merge(&progress.offsets));
        Some(offsets)
    }

    /// Puts the records of `out.progress` together, as they stand in the table: by key.
    ///
    /// # Errors
    ///
    /// When one cannot be read, or one is missing.
    pub fn of(records: BTreeMap<String, Vec<u8>>) -> Result<Self, SourceError> {
        let mut resume = Self::default();
        for (key, progress) in put_together(records)? {
            if key == Progress::BASE {
                resume.base_time = progress.time();
                resume.base = (progress.epoch, progress.offsets);
            } else {
                resume.epochs.push(progress);
            }
        }
        // Keys sort by epoch, so the base record comes last; it may stand beside records that it covers.
        let base = resume.base.0;
        resume.epochs.retain(|progress| progress.epoch > base);
        let mut before = base;
        for progress in &resume.epochs {
            if progress.previous != before {
                return Err(SourceError::Progress {
                    detail: format!(
                        "epoch {} follows {}, but the epoch before it is {before}: a record is missing",
                        progress.epoch.0, progress.previous.0
                    ),
                });
            }
            before = progress.epoch;
        }
        Ok(resume)
    }
}

/// The records whose offsets are spread over several, each in one.
pub(crate) fn put_together(records: BTreeMap<String, Vec<u8>>) -> Result<BTreeMap<String, Progress>, SourceError> {
    let mut whole: BTreeMap<String, (Progress, u32)> = BTreeMap::new();
    for (key, payload) in records {
        let mut progress: Progress = serde_json::from_slice(&payload).map_err(|error| SourceError::Progress {
            detail: format!("the record `{key}` cannot be read: {error}"),
        })?;
        progress.offsets = progress.offsets.with_marks(&progress.marks);
        match whole.entry(Progress::first_key(&key).to_owned()) {
            Entry::Vacant(entry) => drop(entry.insert((progress, 1))),
            Entry::Occupied(mut entry) => {
                let (first, count) = entry.get_mut();
                // Of another epoch: what was left of a base record that had more parts.
                if first.epoch == progress.epoch {
                    first.offsets.merge(&progress.offsets);
                    *count += 1;
                }
            }
        }
    }
    let whole = whole.into_iter().map(|(key, (progress, count))| {
        if progress.parts != count {
            return Err(SourceError::Progress {
                detail: format!("of the {} records `{key}` {count} are there", progress.parts),
            });
        }
        Ok((key, progress))
    });
    whole.collect()
}

/// How long what this run wrote itself may take to become visible.
const VISIBLE: Duration = Duration::from_secs(120);

/// Reads how far an earlier run came. Files tell nothing: a job that writes files begins anew.
///
/// `begun` is what [`crate::Sink::begin`] gave: it reads until it has seen that in every partition.
///
/// # Errors
///
/// When the topic cannot be read, or what it holds makes no sense, or the records of this run do not become visible.
pub fn resume(output: &Output, settings: &TopicSettings, begun: Option<&Begun>) -> Result<Resume, SourceError> {
    let mut records = BTreeMap::new();
    let (mut shown, seen) = (BTreeSet::new(), Cell::new(false));
    let stop = begun.map(|_| (Instant::now() + VISIBLE, &seen));
    each(output, settings, &[Topic::PROGRESS], stop, &mut |record| {
        let key = key_of(&record)?;
        if let Some(begun) = begun.filter(|begun| begun.key == key) {
            shown.insert(record.partition);
            seen.set(shown.len() == usize::from(begun.partitions));
        }
        match record.payload {
            _ if key == Progress::EXERCISE => None,
            Some(payload) => records.insert(key, payload.to_vec()),
            None => records.remove(&key),
        };
        Ok(())
    })?;
    match begun.filter(|_| !seen.get()) {
        Some(Begun { key, partitions }) => Err(SourceError::Progress {
            detail: format!(
                "the record `{key}` that this run wrote to all {partitions} partitions does not show in each"
            ),
        }),
        None => Resume::of(records),
    }
}

/// What an exercise was made of, as its first run noted it beside its progress; `None` where nothing is noted, or there is no such topic.
///
/// # Errors
///
/// When the topic cannot be read.
pub fn noted_of_exercise(output: &Output, settings: &TopicSettings) -> Result<Option<Vec<u8>>, SourceError> {
    let mut noted = None;
    let read = each(output, settings, &[Topic::PROGRESS], None, &mut |record| {
        if record.key == Some(Progress::EXERCISE.as_bytes()) {
            noted = record.payload.map(<[u8]>::to_vec);
        }
        Ok(())
    });
    match read {
        Ok(()) => Ok(noted),
        Err(SourceError::NoTopic { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Notes what an exercise is made of, before anything else is written there. Whoever writes there is fenced, as by any writer.
///
/// # Errors
///
/// As [`open_sink`], and when it cannot be committed.
pub fn note_exercise(
    output: &Output,
    settings: &TopicSettings,
    guarantee: Guarantee,
    note: Vec<u8>,
) -> Result<(), SinkError> {
    let record = OutRecord {
        topic: Topic::PROGRESS,
        key: Progress::EXERCISE.to_owned(),
        payload: Some(note),
    };
    let (epoch, records) = (Millis(0), vec![record]);
    open_sink(output, settings, guarantee)?.commit(&[EpochRecords { epoch, records }])
}

/// The rows that stand in the output tables: by topic and key the hash of the payload without its epoch.
pub type Published = BTreeMap<(Topic, String), Key>;

/// Reads the rows that stand in output tables.
///
/// # Errors
///
/// When a topic cannot be read.
pub fn published_tables(output: &Output, settings: &TopicSettings, topics: &[Topic]) -> Result<Published, SourceError> {
    let mut published = Published::new();
    each(output, settings, topics, None, &mut |record| {
        let key = key_of(&record)?;
        match record.payload {
            Some(payload) => published.insert((record.topic, key), content(payload)),
            None => published.remove(&(record.topic, key)),
        };
        Ok(())
    })?;
    Ok(published)
}

/// Reads the payloads of the rows that stand in an output table.
///
/// # Errors
///
/// When the topic cannot be read.
pub fn published_rows(output: &Output, settings: &TopicSettings, topic: Topic) -> Result<Vec<Vec<u8>>, SourceError> {
    let mut rows = BTreeMap::new();
    each(output, settings, &[topic], None, &mut |record| {
        let key = key_of(&record)?;
        match record.payload {
            Some(payload) => rows.insert(key, payload.to_vec()),
            None => rows.remove(&key),
        };
        Ok(())
    })?;
    Ok(rows.into_values().collect())
}

/// Reads the records of an output log, as far as they are still there: those of one key in their order. With each comes whether older
/// ones of its partition may be gone: it is the first that is left, and not the first that there was.
///
/// # Errors
///
/// When the topic cannot be read.
pub fn published_log(
    output: &Output,
    settings: &TopicSettings,
    topic: Topic,
    take: &mut dyn FnMut(&[u8], bool),
) -> Result<(), SourceError> {
    let mut seen = BTreeSet::new();
    each(output, settings, &[topic], None, &mut |record| {
        let is_cut = seen.insert(record.partition) && record.offset > 0;
        if let Some(payload) = record.payload {
            take(payload, is_cut);
        }
        Ok(())
    })
}

/// The key of a record that riskflow wrote.
///
/// # Errors
///
/// When it has none, or one that is no text: somebody else wrote it, and to take it for another key would be to mix them up.
pub(crate) fn key_of(record: &RawRecord<'_>) -> Result<String, SourceError> {
    let key = record.key.and_then(|key| std::str::from_utf8(key).ok());
    key.map(str::to_owned).ok_or_else(|| SourceError::NoKey {
        topic: record.topic,
        partition: record.partition,
        offset: record.offset,
    })
}

/// The hash of a row's payload without the epoch in which it changed, which stands last.
#[must_use]
pub fn content(payload: &[u8]) -> Key {
    const EPOCH: &[u8] = b",\"epoch\":";
    let epoch = payload.windows(EPOCH.len()).rposition(|window| window == EPOCH);
    Key::of_bytes(&payload[..epoch.unwrap_or(payload.len())])
}

/// Takes all records up to the end, of topics that are there: the sink is open. With `stop`, follows what is added until that is set, or a
/// time has passed. The first record that cannot be taken is the last.
pub(crate) fn each(
    output: &Output,
    settings: &TopicSettings,
    topics: &[Topic],
    stop: Option<(Instant, &Cell<bool>)>,
    take: &mut dyn FnMut(RawRecord<'_>) -> Result<(), SourceError>,
) -> Result<(), SourceError> {
    let input = match output {
        Output::Log(folder) => Input::Log(folder.clone()),
        Output::Kafka(kafka) => Input::Kafka(kafka.clone()),
        Output::Files(_) => return Ok(()),
    };
    let until = if stop.is_some() { Until::Forever } else { Until::End };
    let mut source = open_source(&input, settings, topics, Share::WHOLE, until, &Offsets::default())?;
    let mut failed = None;
    loop {
        let polled = source.poll(65_536, &mut |record| {
            if failed.is_none() {
                failed = take(record).err();
            }
            Verdict::Taken
        })?;
        if let Some(error) = failed.take() {
            return Err(error);
        }
        if stop.is_some_and(|(until, set)| set.get() || Instant::now() > until) {
            return Ok(());
        }
        match polled {
            Polled::Ended => return Ok(()),
            // Kafka brings what it has in a moment.
            Polled::Idle => std::thread::sleep(std::time::Duration::from_millis(1)),
            Polled::More | Polled::Blocked => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::progress::Marks;

    use super::*;

    fn record(epoch: i64, previous: i64, next: u64) -> (String, Vec<u8>) {
        let mut offsets = Offsets::default();
        offsets.advance_marked(Topic::IN_RULE, 0, next, Some(next as u32 + 40));
        let progress = Progress {
            epoch: Millis(epoch),
            clock: None,
            previous: Millis(previous),
            marks: offsets.marks(),
            offsets,
            digest: "".into(),
            anew: false,
            parts: 1,
        };
        (Progress::key(Millis(epoch)), serde_json::to_vec(&progress).unwrap())
    }

    #[test]
    fn epochs_follow_each_other_from_the_base_on() {
        let (_, base) = record(20, 10, 2);
        let mut records = BTreeMap::from([record(10, 0, 1), record(20, 10, 2), record(30, 20, 5)]);
        records.insert(Progress::BASE.to_owned(), base);
        let resume = Resume::of(records.clone()).unwrap();
        assert_eq!(resume.last(), Millis(30));
        assert_eq!(resume.epochs.len(), 1, "the base covers the others");
        assert_eq!(resume.offsets_after(Millis(20)).unwrap().next(Topic::IN_RULE, 0), 2);
        let last = resume.offsets_after(Millis(30)).unwrap();
        assert_eq!(
            (last.next(Topic::IN_RULE, 0), last.mark(Topic::IN_RULE, 0)),
            (5, Some(45))
        );
        assert_eq!(resume.offsets_after(Millis(19)), None);
        records.extend([record(50, 40, 9)]);
        assert!(Resume::of(records).unwrap_err().to_string().contains("missing"));
    }

    #[test]
    fn offsets_of_many_partitions_are_put_together_and_one_that_lacks_some_is_noticed() {
        let mut offsets = Offsets::default();
        for partition in 0..1_250 {
            offsets.advance(Topic::IN_OBSERVATION, partition, u64::from(partition) + 1);
        }
        let progress = |epoch| Progress {
            epoch: Millis(epoch),
            clock: None,
            previous: Millis(0),
            offsets: offsets.clone(),
            marks: Marks::default(),
            digest: "".into(),
            anew: false,
            parts: 1,
        };
        let base = progress(10).split(Progress::BASE);
        let all = base.into_iter().chain(progress(10).split(&Progress::key(Millis(10))));
        let mut records: BTreeMap<String, Vec<u8>> = all
            .map(|(key, part)| (key, serde_json::to_vec(&part).unwrap()))
            .collect();
        assert_eq!(records.len(), 6);
        let resume = Resume::of(records.clone()).unwrap();
        assert_eq!((resume.base, resume.epochs.len()), ((Millis(10), offsets), 0));
        records.remove("base+1");
        let error = Resume::of(records).unwrap_err().to_string();
        assert!(error.contains("of the 3 records `base` 2 are there"), "{error}");
    }

    #[test]
    fn what_shows_later_is_read_as_well_up_to_the_record_of_this_run() {
        let folder = tempfile::tempdir().unwrap();
        let (output, settings) = (
            Output::Log(folder.path().to_owned()),
            TopicSettings {
                prefix: String::new(),
                partitions: 1,
                replication: 1,
                retention: 86_400_000,
                exercise: false,
                forced: false,
                tidy: riskflow_config::Tidy::default(),
            },
        );
        let mut sink = open_sink(&output, &settings, Guarantee::ExactlyOnce).unwrap();
        let mut commit = |epoch, key: &str| {
            let record = OutRecord {
                topic: Topic::PROGRESS,
                key: key.to_owned(),
                payload: None,
            };
            let (epoch, records) = (Millis(epoch), vec![record]);
            sink.commit(&[EpochRecords { epoch, records }]).unwrap();
        };
        commit(1, "first");
        let (seen, mut keys) = (Cell::new(false), Vec::new());
        let stop = Some((Instant::now() + VISIBLE, &seen));
        each(&output, &settings, &[Topic::PROGRESS], stop, &mut |record| {
            let key = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
            match &*key {
                "first" => commit(2, "late"),
                "late" => commit(3, "begun"),
                _ => seen.set(true),
            }
            keys.push(key);
            Ok(())
        })
        .unwrap();
        assert_eq!(keys, ["first", "late", "begun"]);
    }

    #[test]
    fn a_record_without_a_key_is_named_and_not_taken_for_one_with_an_empty_key() {
        let record = |key| RawRecord {
            topic: Topic::EPOCH,
            partition: 3,
            offset: 41,
            arrival: None,
            exercise: false,
            key,
            payload: Some(b"{}"),
        };
        for key in [None, Some(&b"\xFF"[..])] {
            let said = key_of(&record(key)).unwrap_err().to_string();
            for part in ["`out.epoch`", "partition 3", "offset 41", "no key"] {
                assert!(said.contains(part), "{part}: {said}");
            }
        }
        assert_eq!(key_of(&record(Some(b"base"))).unwrap(), "base");
    }

    #[test]
    fn a_rows_content_is_its_payload_without_the_epoch() {
        let at = |epoch: &str| content(format!(r#"{{"asset":"a","epoch":"{epoch}"}}"#).as_bytes());
        assert_eq!(at("2021-01-01T00:00:00Z"), at("2022-01-01T00:00:00Z"));
        assert_ne!(at("x"), content(br#"{"asset":"b","epoch":"x"}"#));
    }
}
