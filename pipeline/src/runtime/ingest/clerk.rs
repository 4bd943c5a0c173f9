//! Decides about one record after the other: whether it belongs to the epoch, and where it goes.

use std::collections::BTreeMap;

use riskflow_config::{Clock, InputRecord};
use riskflow_connectors::{RawRecord, Rejection, Verdict, dead_letter, decode, table_key};
use riskflow_model::event::Event;
use riskflow_model::output::{DeadLetter, Origin, PayloadEncoding};
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;
use riskflow_model::{Millis, OutputRow};
use riskflow_operators::engine::{BaseRecord, Change};
use riskflow_operators::warning::Incoming;

use super::ahead::Kept;
use super::{Ceiling, HELD, How, Partition, Standing, Taken, earliest};
use crate::runtime::admission::{Admission, Admitted};
use crate::runtime::output::Output;

/// Before everything else: table rows that tell no time of arrival.
const EARLIEST: i64 = i64::MIN;

/// When a record arrived.
enum Arrival<'r> {
    At(i64),
    /// It cannot be read, tells no time, and none was read before it in its partition.
    OfTheNext(&'r Rejection),
}

/// What one poll took of a topic.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) late: u64,
}

/// What one poll took.
#[derive(Default)]
pub(super) struct Tally(pub(super) Vec<(Topic, Counts)>);

impl Tally {
    /// Records come topic by topic: mostly the topic is that of the record before.
    fn of(&mut self, topic: Topic) -> &mut Counts {
        let last = self.0.len().saturating_sub(1);
        let place = match self.0.last() {
            Some((known, _)) if *known == topic => last,
            _ => self.0.iter().position(|(known, _)| *known == topic).unwrap_or_else(|| {
                self.0.push((topic, Counts::default()));
                self.0.len() - 1
            }),
        };
        &mut self.0[place].1
    }
}

/// Decides about one record after the other.
pub(super) struct Clerk<'a> {
    pub(super) how: How,
    pub(super) bound: Option<&'a Offsets>,
    pub(super) now: i64,
    pub(super) clock: Clock,
    pub(super) takes_exercises: bool,
    pub(super) ends: &'a BTreeMap<Partition, u64>,
    pub(super) ceiling: Ceiling,
    pub(super) admission: Admission,
    pub(super) taken: &'a mut Taken,
    pub(super) tally: Tally,
    pub(super) count: &'a mut usize,
    pub(super) offsets: &'a mut Vec<(Partition, u64)>,
    pub(super) next_arrival: &'a mut Option<i64>,
    pub(super) standing: &'a mut Standing,
    /// Partitions whose next record stays.
    pub(super) waiting: Vec<Partition>,
}

impl Clerk<'_> {
    pub(super) fn offer(&mut self, record: &RawRecord<'_>) -> Verdict {
        let bounded = self
            .bound
            .is_some_and(|bound| record.offset >= bound.next(record.topic, record.partition));
        if bounded && matches!(self.how, How::History | How::Look) {
            return Verdict::NotYet;
        }
        let partition = (record.topic, record.partition);
        // As if nothing came behind it.
        if self.ends.get(&partition).is_some_and(|end| record.offset >= *end) {
            return Verdict::NotYet;
        }
        let decoded = decode(&RawRecord {
            exercise: record.exercise && !self.takes_exercises,
            ..*record
        });
        if self.how != How::Live {
            let arrival = match self.arrival(record, &decoded) {
                Arrival::At(arrival) => arrival,
                Arrival::OfTheNext(rejection) => {
                    let letter = Output::Row(OutputRow::new(dead_letter(record, rejection)));
                    let held = self.standing.held.entry(partition).or_default();
                    held.push((record.offset + 1, letter));
                    self.count_record(record);
                    return Verdict::Taken;
                }
            };
            let take = match self.how {
                How::Recorded => !bounded,
                How::History => arrival <= self.now,
                How::Live | How::Look => false,
            };
            if !take {
                return self.not_yet(record, decoded, arrival);
            }
            let counts = arrival != EARLIEST && decoded.is_ok();
            if let Some(ahead) = self.standing.ahead.as_mut().filter(|_| counts) {
                ahead.note_taken(partition, arrival, self.now);
            }
        }
        self.release_of(partition);
        self.count_record(record);
        self.note(partition, record.offset + 1);
        let origin = Origin {
            topic: record.topic.id(),
            partition: record.partition,
            offset: record.offset,
        };
        match decoded {
            Ok(decoded) => {
                if let Err(rejection) = self.admit(origin, decoded, record.topic) {
                    self.refuse(record, &rejection);
                }
            }
            Err(rejection) => self.refuse_row(record, origin, &rejection),
        }
        Verdict::Taken
    }

    /// A record whose time has not come waits here, where files are sorted, else where it is.
    fn not_yet(&mut self, record: &RawRecord<'_>, decoded: Result<InputRecord, Rejection>, arrival: i64) -> Verdict {
        let partition = (record.topic, record.partition);
        if arrival != EARLIEST
            && let Some(ahead) = &mut self.standing.ahead
        {
            let letter = |rejection: Rejection| Output::Row(OutputRow::new(dead_letter(record, &rejection)));
            let kept = || Kept {
                arrival,
                offset: record.offset,
                bytes: record.payload.map_or(0, <[u8]>::len),
                record: decoded.map_err(letter),
            };
            if ahead.keep(partition, arrival, kept) {
                return Verdict::Taken;
            }
        }
        *self.next_arrival = earliest(*self.next_arrival, Some(arrival));
        self.waiting.push(partition);
        Verdict::NotYet
    }

    /// Takes what waits here and belongs to this epoch, so many records at most; whether that was all.
    pub(super) fn release_kept(&mut self, most: usize) -> bool {
        if self.how != How::History {
            return true;
        }
        let due = self.standing.ahead.as_ref().map(|ahead| ahead.due(self.now));
        let mut left = most;
        for partition in due.into_iter().flatten() {
            let now = self.now;
            while let Some(kept) = self.standing.ahead.as_mut().and_then(|ahead| ahead.pop(partition, now)) {
                self.take_kept(partition, kept);
                left -= 1;
                if left == 0 {
                    return false;
                }
            }
        }
        true
    }

    fn take_kept(&mut self, partition: Partition, kept: Kept) {
        let (topic, number) = partition;
        let Kept {
            offset, bytes, record, ..
        } = kept;
        self.release_of(partition);
        self.count_bytes(topic, bytes);
        self.note(partition, offset + 1);
        let origin = Origin {
            topic: topic.id(),
            partition: number,
            offset,
        };
        let admitted = match record {
            Ok(decoded) => self.admit(origin, decoded, topic),
            Err(letter) => {
                self.taken.dead_letters.push(letter);
                Ok(())
            }
        };
        if let Err(Rejection { reason, detail }) = admitted {
            // Its payload is not at hand any more.
            let letter = DeadLetter::new((reason, &detail), (topic, number, offset), "", PayloadEncoding::Decoded);
            self.taken.dead_letters.push(Output::Row(OutputRow::new(letter)));
        }
    }

    /// What waits here comes next as well.
    pub(super) fn report_kept(&mut self) {
        if let Some(ahead) = &self.standing.ahead {
            *self.next_arrival = earliest(*self.next_arrival, ahead.earliest());
        }
    }

    /// Takes a record in, or says why not.
    fn admit(&mut self, origin: Origin, decoded: InputRecord, topic: Topic) -> Result<(), Rejection> {
        match self.admission.admit(self.now, origin, decoded) {
            Admitted::Observed(observed) => {
                let late = self.now - observed.observation.time.0 > self.admission.time.late_after.0;
                self.tally.of(topic).late += u64::from(late);
                self.taken.incoming.push(Incoming::Observed(observed));
            }
            Admitted::Forecast(forecast) => self.taken.incoming.push(Incoming::Forecast(Box::new(forecast))),
            Admitted::Base(record) => self.taken.base.push(record),
            Admitted::Acted(acted) => self.taken.actions.push(acted),
            Admitted::Event(record) => {
                // One that goes on is never late: when it began may be long ago.
                let late = record.event.end() < Millis(self.now) - self.admission.time.late_after;
                self.tally.of(topic).late += u64::from(late);
                self.taken.events.push(record);
            }
            Admitted::Refused(rejection) => return Err(rejection),
        }
        Ok(())
    }

    fn count_record(&mut self, record: &RawRecord<'_>) {
        self.count_bytes(record.topic, record.payload.map_or(0, <[u8]>::len));
    }

    fn count_bytes(&mut self, topic: Topic, bytes: usize) {
        *self.count += 1;
        let counts = self.tally.of(topic);
        counts.records += 1;
        counts.bytes += bytes as u64;
    }

    /// Records come partition by partition: mostly the partition is that of the record before.
    fn note(&mut self, partition: Partition, next: u64) {
        match self.offsets.last_mut() {
            Some((last, offset)) if *last == partition => *offset = next.max(*offset),
            _ => match self.offsets.iter_mut().find(|(known, _)| *known == partition) {
                Some((_, offset)) => *offset = next.max(*offset),
                None => {
                    self.standing.begun.insert(partition);
                    self.offsets.push((partition, next));
                }
            },
        }
    }

    /// When a record arrived, for a replay.
    fn arrival<'r>(&self, record: &RawRecord<'_>, decoded: &'r Result<InputRecord, Rejection>) -> Arrival<'r> {
        if let (Clock::Arrival | Clock::Live, Some(arrival)) = (self.clock, record.arrival) {
            return Arrival::At(self.ceiling.arrived(self.clock, arrival.0));
        }
        let time = match decoded {
            Ok(InputRecord::Observation(observation)) => observation.time.0,
            Ok(InputRecord::Action(action)) => action.time.0,
            Ok(InputRecord::Log(row)) => match row.downcast_ref::<Event>() {
                Some(event) if self.how != How::Look => return Arrival::At(self.arrival_of_event(event)),
                _ => row.time().0,
            },
            Ok(InputRecord::Base(..)) => return Arrival::At(EARLIEST),
            Err(_) if record.topic.is_input_table() => return Arrival::At(EARLIEST),
            Err(rejection) => {
                let partition = (record.topic, record.partition);
                let ahead = self.standing.ahead.as_ref();
                if let Some(arrival) = ahead.and_then(|ahead| ahead.waits(partition)) {
                    return Arrival::At(arrival);
                }
                let held: usize = self.standing.held.values().map(Vec::len).sum();
                // Behind a record that was taken it arrives with that, which is now.
                let begun = self.standing.begun.contains(&partition);
                return if begun || self.how == How::Recorded || held >= HELD {
                    Arrival::At(EARLIEST)
                } else {
                    Arrival::OfTheNext(rejection)
                };
            }
        };
        // From the future by the job's clock: it will be refused, and must not hold up its partition until then.
        let future = time > self.ceiling.latest(self.clock);
        Arrival::At(if future { EARLIEST } else { time })
    }

    /// An event is told when it is over, or when it began. One that lies so far ahead of the clock that what stands behind it would be too
    /// late by then does not hold up its partition: it arrives as soon as it may be taken.
    fn arrival_of_event(&self, event: &Event) -> i64 {
        let latest = self.ceiling.latest(self.clock);
        let told = event.told(Millis(latest)).0;
        if told <= self.now.saturating_add(self.admission.time.event_age.0).min(latest) {
            return told;
        }
        let may_be_taken = event.time.0.saturating_sub(self.admission.time.event_ahead.0);
        if may_be_taken <= self.now || may_be_taken > latest {
            EARLIEST
        } else {
            may_be_taken
        }
    }

    /// Records that were held at the beginning of a partition belong to this epoch.
    fn release_of(&mut self, partition: Partition) {
        if self.standing.held.is_empty() {
            return;
        }
        for (next, letter) in self.standing.held.remove(&partition).unwrap_or_default() {
            self.note(partition, next);
            self.taken.dead_letters.push(letter);
        }
    }

    /// All partitions told what they have: what is held of those that have nothing more belongs to this epoch.
    pub(super) fn release(&mut self) {
        if self.how == How::Look {
            return;
        }
        let waits = |held: Partition| {
            let ahead = self.standing.ahead.as_ref();
            self.waiting.contains(&held) || ahead.is_some_and(|ahead| ahead.waits(held).is_some())
        };
        let held = self.standing.held.keys().copied();
        let ended: Vec<Partition> = held.filter(|held| !waits(*held)).collect();
        ended.into_iter().for_each(|partition| self.release_of(partition));
    }

    /// Where the record is about a row of a table, the table's fold says in the dead letter what stays in force.
    fn refuse_row(&mut self, record: &RawRecord<'_>, origin: Origin, rejection: &Rejection) {
        let Some(key) = table_key(record) else {
            return self.refuse(record, rejection);
        };
        let change = Change::Refused(Box::new(dead_letter(record, rejection)));
        self.taken.base.push(BaseRecord { origin, key, change });
    }

    fn refuse(&mut self, record: &RawRecord<'_>, rejection: &Rejection) {
        let letter = OutputRow::new(dead_letter(record, rejection));
        self.taken.dead_letters.push(Output::Row(letter));
    }
}

#[cfg(test)]
mod tests {
    use riskflow_config::WrittenSettings;

    use super::*;
    use crate::runtime::clock::Reading;

    const NOW: i64 = 1_700_000_000_000;
    const DAY: i64 = 86_400_000;

    /// What becomes of a record of a history, how far its partition is taken then, and when the next arrives.
    fn offered(
        standing: &mut Standing,
        topic: Topic,
        payload: &str,
    ) -> (Verdict, Taken, Vec<(Partition, u64)>, Option<i64>) {
        let settings = WrittenSettings::default().check().unwrap();
        let (mut taken, mut count, mut offsets, mut next_arrival) = (Taken::new(1), 0, Vec::new(), None);
        let mut clerk = Clerk {
            how: How::History,
            bound: None,
            now: NOW,
            clock: Clock::EventTime,
            takes_exercises: false,
            ends: &BTreeMap::new(),
            ceiling: Ceiling::new(Reading::now(), Reading::now(), 0),
            admission: Admission {
                time: settings.time,
                case: settings.case,
            },
            taken: &mut taken,
            tally: Tally::default(),
            count: &mut count,
            offsets: &mut offsets,
            next_arrival: &mut next_arrival,
            standing,
            waiting: Vec::new(),
        };
        let verdict = clerk.offer(&RawRecord {
            topic,
            partition: 2,
            offset: 7,
            arrival: None,
            exercise: false,
            key: None,
            payload: Some(payload.as_bytes()),
        });
        (verdict, taken, offsets, next_arrival)
    }

    /// How many dead letters come of a record that cannot be read and tells no time, and how far its partition is taken then.
    fn unreadable(standing: &mut Standing) -> (usize, Vec<(Partition, u64)>) {
        let (verdict, taken, offsets, _) = offered(standing, Topic::IN_OBSERVATION, "{");
        assert_eq!(verdict, Verdict::Taken);
        (taken.dead_letters.len(), offsets)
    }

    #[test]
    fn an_event_that_lies_far_ahead_does_not_hold_up_its_partition() {
        let event = |time: i64, more: &str| {
            let payload = format!(r#"{{"id":"e","kind":"k","asset":"a","time":{}{more}}}"#, NOW + time);
            let (verdict, mut taken, _, next) = offered(&mut Standing::default(), Topic::IN_EVENT, &payload);
            let events = taken.events.drain().count();
            (verdict == Verdict::Taken, events, next.map(|next| next - NOW))
        };
        assert_eq!(event(0, ""), (true, 1, None));
        assert_eq!(event(DAY, ""), (false, 0, Some(DAY)), "it comes when it begins");
        let to = format!(r#","to":{}"#, NOW + 2 * DAY);
        assert_eq!(
            event(-DAY, &to),
            (false, 0, Some(2 * DAY)),
            "it is told when it is over"
        );
        assert_eq!(
            event(8 * DAY, ""),
            (true, 1, None),
            "what stands behind it would be too late by then"
        );
        assert_eq!(
            event(40 * DAY, ""),
            (false, 0, Some(9 * DAY)),
            "it may not be taken yet"
        );
    }

    /// Else it would be told in a later epoch than without the crash.
    #[test]
    fn what_cannot_be_read_waits_at_the_beginning_of_a_partition_and_not_where_a_start_goes_on() {
        let partition = (Topic::IN_OBSERVATION, 2);
        assert_eq!(unreadable(&mut Standing::default()), (0, Vec::new()));
        let taken = |partition: Partition| {
            let (mut standing, mut taken) = (Standing::default(), Offsets::default());
            taken.advance(partition.0, partition.1, 7);
            standing.go_on_behind(&taken);
            standing
        };
        assert_eq!(unreadable(&mut taken(partition)), (1, vec![(partition, 8)]));
        let of_another = (Topic::IN_OBSERVATION, 1);
        assert_eq!(unreadable(&mut taken(of_another)), (0, Vec::new()));
    }
}
