//! The thread that appends actions: what waits when it comes back goes out together, with one sync.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use riskflow_connectors::{Append, AppendError, Appended, InRecord};
use riskflow_model::Key;
use tokio::sync::oneshot;

/// How many requests may wait.
const QUEUE: usize = 1_024;

/// The most that are appended together.
const BATCH: usize = 512;

/// How many actions are remembered, so that one that comes again is not appended again. After that, and after a restart, the
/// dataflow passes over it by its identifier.
const REMEMBERED: usize = 65_536;

/// An action on its way.
pub(super) struct Order {
    pub record: InRecord,
    /// Of case and action: what comes again has the same.
    pub identity: Key,
    /// Of everything that the sender said.
    pub content: Key,
    /// Why it may not be appended; one that was appended before is answered as such all the same.
    pub refused: Option<String>,
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Answer {
    /// It is durable.
    Appended(Appended),
    /// It was appended before.
    Replayed(Appended),
    /// Another action of the case had its identifier.
    Conflict,
    /// It may not be appended, and was not before.
    Refused(String),
    /// It is not known to be durable.
    Failed(AppendError),
}

/// The queue is full, or the thread is gone.
#[derive(Debug)]
pub(super) struct Busy;

/// The way to the thread.
pub(super) struct Writer {
    queue: SyncSender<Waiting>,
}

struct Waiting {
    order: Order,
    answer: oneshot::Sender<Answer>,
}

impl Writer {
    /// Starts the thread; it ends when the way to it is dropped.
    pub fn start(way_in: Box<dyn Append>) -> io::Result<(Self, JoinHandle<()>)> {
        let (queue, waiting) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name("actions".to_owned());
        let thread = thread.spawn(move || work(way_in, &waiting))?;
        Ok((Self { queue }, thread))
    }

    /// Appends an action, and waits until it is durable.
    pub async fn append(&self, order: Order) -> Result<Answer, Busy> {
        let (answer, told) = oneshot::channel();
        self.queue.try_send(Waiting { order, answer }).map_err(|_| Busy)?;
        told.await.map_err(|_| Busy)
    }
}

fn work(mut way_in: Box<dyn Append>, queue: &Receiver<Waiting>) {
    let mut memory = Memory::default();
    while let Ok(first) = queue.recv() {
        let others = queue.try_iter().take(BATCH - 1);
        let mut batch: Vec<Waiting> = std::iter::once(first).chain(others).collect();
        while !batch.is_empty() {
            batch = append(way_in.as_mut(), &mut memory, batch);
        }
    }
}

/// Answers a batch, but for those that wait for one of the same identity in it.
fn append(way_in: &mut dyn Append, memory: &mut Memory, batch: Vec<Waiting>) -> Vec<Waiting> {
    let (mut new, mut later, mut identities) = (Vec::new(), Vec::new(), BTreeSet::new());
    for mut waiting in batch {
        let known = memory.answer(&waiting.order);
        match known.or_else(|| waiting.order.refused.take().map(Answer::Refused)) {
            // Whoever asked may have gone: here and below nobody needs to hear.
            Some(answer) => drop(waiting.answer.send(answer)),
            None if identities.insert(waiting.order.identity) => new.push(waiting),
            None => later.push(waiting),
        }
    }
    let (orders, senders): (Vec<Order>, Vec<_>) = new.into_iter().map(|new| (new.order, new.answer)).unzip();
    let (records, keys): (Vec<InRecord>, Vec<_>) = orders
        .into_iter()
        .map(|order| (order.record, (order.identity, order.content)))
        .unzip();
    let told = if records.is_empty() {
        Vec::new()
    } else {
        way_in.append(&records)
    };
    for ((told, sender), (identity, content)) in told.into_iter().zip(senders).zip(keys) {
        let answer = match told {
            Ok(appended) => {
                memory.note(identity, content, appended);
                Answer::Appended(appended)
            }
            Err(error) => Answer::Failed(error),
        };
        drop(sender.send(answer));
    }
    later
}

/// The actions appended last.
#[derive(Default)]
struct Memory {
    known: BTreeMap<Key, (Key, Appended)>,
    order: VecDeque<Key>,
}

impl Memory {
    fn answer(&self, order: &Order) -> Option<Answer> {
        let (content, appended) = self.known.get(&order.identity)?;
        Some(if *content == order.content {
            Answer::Replayed(*appended)
        } else {
            Answer::Conflict
        })
    }

    fn note(&mut self, identity: Key, content: Key, appended: Appended) {
        self.known.insert(identity, (content, appended));
        self.order.push_back(identity);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use riskflow_model::Millis;

    use super::*;

    /// Tells of each batch; `bad` keys fail.
    struct Noted(Sender<Vec<String>>, u64);

    impl Append for Noted {
        fn append(&mut self, records: &[InRecord]) -> Vec<Result<Appended, AppendError>> {
            let _ = self.0.send(records.iter().map(|record| record.key.clone()).collect());
            let answers = records.iter().map(|record| {
                self.1 += 1;
                if record.key == "bad" {
                    let topic = riskflow_model::topic::Topic::IN_ACTION;
                    return Err(AppendError::Files { topic });
                }
                Ok(Appended {
                    partition: 0,
                    offset: self.1,
                })
            });
            answers.collect()
        }
    }

    fn waiting(key: &str, content: &str) -> (Waiting, oneshot::Receiver<Answer>) {
        let (answer, told) = oneshot::channel();
        let record = InRecord {
            arrival: Millis(0),
            key: key.to_owned(),
            payload: Some(Vec::new()),
        };
        let (identity, content) = (Key::of(key), Key::of(content));
        let order = Order {
            record,
            identity,
            content,
            refused: None,
        };
        (Waiting { order, answer }, told)
    }

    #[test]
    fn a_batch_is_one_append_and_what_comes_again_is_not_appended_again() {
        let (sender, batches) = channel();
        let (queue, receiver) = sync_channel(QUEUE);
        let asked = [
            ("a", "1"),
            ("b", "1"),
            ("a", "1"),
            ("a", "2"),
            ("bad", "1"),
            ("bad", "1"),
        ];
        let mut answers: Vec<_> = asked
            .iter()
            .map(|(key, content)| {
                let (waiting, told) = waiting(key, content);
                assert!(queue.send(waiting).is_ok());
                told
            })
            .collect();
        drop(queue);
        work(Box::new(Noted(sender, 0)), &receiver);
        let told: Vec<String> = answers
            .iter_mut()
            .map(|told| format!("{:?}", told.try_recv().unwrap()))
            .collect();
        let appended = |offset| format!("Appended(Appended {{ partition: 0, offset: {offset} }})");
        assert_eq!(told[..2], [appended(1), appended(2)]);
        assert_eq!(told[2], appended(1).replacen("Appended", "Replayed", 1));
        assert_eq!(told[3], "Conflict");
        assert!(
            told[4].starts_with("Failed") && told[5].starts_with("Failed"),
            "{told:?}"
        );
        // What failed is tried again for the one that waited.
        let batches: Vec<Vec<String>> = batches.iter().collect();
        assert_eq!(batches, [vec!["a", "b", "bad"], vec!["bad"]]);
    }

    /// Says when it is asked, and does not come back before it is told to.
    struct Slow(Sender<()>, std::sync::mpsc::Receiver<()>);

    impl Append for Slow {
        fn append(&mut self, records: &[InRecord]) -> Vec<Result<Appended, AppendError>> {
            let _ = self.0.send(());
            let _ = self.1.recv();
            let appended = Appended {
                partition: 0,
                offset: 0,
            };
            records.iter().map(|_| Ok(appended)).collect()
        }
    }

    #[test]
    fn a_full_queue_is_told_at_once() {
        let ((asked, is_asked), (go, may_go)) = (channel(), channel());
        let (writer, thread) = Writer::start(Box::new(Slow(asked, may_go))).unwrap();
        let mut told = Vec::new();
        let mut put = |key: &str| {
            let (waiting, answer) = waiting(key, "");
            told.push(answer);
            writer.queue.try_send(waiting).is_ok()
        };
        assert!(put("first"));
        is_asked.recv().unwrap();
        for number in 0..QUEUE {
            assert!(put(&number.to_string()));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (one_more, _) = waiting("one more", "");
        assert!(runtime.block_on(writer.append(one_more.order)).is_err());
        drop((go, writer));
        thread.join().unwrap();
        assert!(
            told.iter_mut()
                .all(|answer| matches!(answer.try_recv(), Ok(Answer::Appended(_))))
        );
    }

    #[test]
    fn memory_is_bounded() {
        let mut memory = Memory::default();
        let appended = Appended {
            partition: 0,
            offset: 0,
        };
        for number in 0..REMEMBERED as u64 + 10 {
            memory.note(Key::of_bytes(&number.to_le_bytes()), Key::default(), appended);
        }
        assert_eq!((memory.known.len(), memory.order.len()), (REMEMBERED, REMEMBERED));
    }
}
