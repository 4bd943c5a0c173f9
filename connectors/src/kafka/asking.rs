//! Asking brokers: how long, and what is told where they do not answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, Producer};
use riskflow_config::KafkaSettings;

use super::certificate;
use super::client::{Context, OPENING};
use super::error::BrokerError;
use super::fault::Fault;

/// A client that is served while it is asked: what librdkafka tells waits in a queue until then.
pub(super) trait Served {
    /// The client.
    fn asked(&self) -> &Client<Context>;

    /// Takes what librdkafka tells, for so long. Only before anything is read or written by this client.
    fn serve(&self, time: Duration);
}

impl Served for BaseConsumer<Context> {
    fn asked(&self) -> &Client<Context> {
        Consumer::client(self)
    }

    fn serve(&self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // An error is noted by the context, too.
            drop(self.poll(left));
            if left.is_zero() {
                return;
            }
        }
    }
}

impl Served for BaseProducer<Context> {
    fn asked(&self) -> &Client<Context> {
        Producer::client(self)
    }

    fn serve(&self, time: Duration) {
        self.poll(time);
    }
}

/// The first attempt may take so long, each later one twice as long as the one before.
const ATTEMPT: Duration = Duration::from_millis(500);

/// So long other brokers are tried after the beginning, where one has a fault that does not pass.
const OTHERS: Duration = Duration::from_secs(3);

/// Asks brokers until they answer: for ten seconds at most, and less where it is known that another attempt fails, too.
pub(super) fn ask<S: Served, T>(
    served: &S,
    kafka: &KafkaSettings,
    attempt: impl Fn(&Client<Context>, Duration) -> KafkaResult<T>,
) -> Result<T, BrokerError> {
    let begun = Instant::now();
    let mut pause = ATTEMPT;
    loop {
        let left = OPENING.saturating_sub(begun.elapsed());
        let error = match attempt(served.asked(), pause.min(left)) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        // librdkafka connects again after `reconnect.backoff.ms`, 100 ms: until then it may answer without asking.
        served.serve(RECONNECT);
        let is_known = served.asked().context().fault().is_some() && begun.elapsed() >= OTHERS;
        if is_known || begun.elapsed() >= OPENING {
            return Err(BrokerError::unavailable(kafka, served.asked().context(), error));
        }
        pause *= 2;
    }
}

/// So many questions are under way at once: a broker answers those of one connection one after the other, but is not waited for between two.
const AT_ONCE: usize = 8;

/// Asks of each thing, several at once, and gives the answers in the order of the things.
///
/// # Errors
///
/// The first error in that order. Behind the first that is known nothing more is asked.
pub(super) fn of_each<T: Sync, R: Send, E: Send>(
    things: &[T],
    ask: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut answers = Vec::new();
        while let Some((place, thing)) = {
            let place = next.fetch_add(1, Ordering::Relaxed);
            things.get(place).map(|thing| (place, thing))
        } {
            let answer = ask(thing);
            if answer.is_err() {
                next.store(things.len(), Ordering::Relaxed);
            }
            answers.push((place, answer));
        }
        answers
    };
    let mut answers: Vec<(usize, Result<R, E>)> = thread::scope(|scope| {
        let askers: Vec<_> = (0..AT_ONCE.min(things.len())).map(|_| scope.spawn(work)).collect();
        let ended = askers.into_iter().map(|asker| asker.join());
        ended
            .flat_map(|answers| answers.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    answers.sort_unstable_by_key(|(place, _)| *place);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// See `reconnect.backoff.ms`.
const RECONNECT: Duration = Duration::from_millis(100);

impl BrokerError {
    /// A client's brokers did not answer, as far as it was told why.
    pub(super) fn unavailable(kafka: &KafkaSettings, client: &Context, error: KafkaError) -> Self {
        if let Some((fault, words)) = client.fault() {
            let looked = (fault == Fault::Certificate)
                .then(|| certificate::look(kafka, &words))
                .flatten();
            let (found, give) = looked.unwrap_or_else(|| (words, fault.give().to_owned()));
            return Self::NoConnection {
                brokers: kafka.brokers.clone(),
                found,
                give,
            };
        }
        Self::Unavailable {
            brokers: kafka.brokers.clone(),
            told: client.failures().into(),
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::client::consumer;
    use super::*;

    #[test]
    fn answers_stand_in_the_order_of_the_things_and_so_does_the_first_error() {
        let things: Vec<u32> = (0..100).collect();
        assert_eq!(
            of_each(&things, |thing| Ok::<_, u32>(thing * 2)).unwrap(),
            things.iter().map(|thing| thing * 2).collect::<Vec<_>>()
        );
        assert_eq!(of_each(&[], |thing: &u32| Err::<u32, _>(*thing)), Ok(Vec::new()));
        // What is asked before the first that fails is answered, whoever asks for it.
        let failing = |thing: &u32| if *thing < 40 { Ok(()) } else { Err(*thing) };
        assert_eq!(of_each(&things, failing), Err(40));
    }

    /// Nothing that librdkafka tells comes by itself: it must be asked for while there is still somebody to tell.
    #[test]
    fn why_no_broker_answers_is_part_of_the_error() {
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let kafka = KafkaSettings {
            brokers: format!("127.0.0.1:{port}"),
            properties: BTreeMap::new(),
            group_offsets: false,
        };
        let consumer = consumer(&kafka).unwrap();
        let asked = ask(&consumer, &kafka, |client, time| client.fetch_metadata(Some("a"), time));
        let Err(error @ BrokerError::Unavailable { .. }) = asked else {
            panic!("somebody answers")
        };
        let said = error.to_string();
        assert!(
            said.contains("Connection refused") && said.contains(&port.to_string()),
            "{said}"
        );
    }
}
