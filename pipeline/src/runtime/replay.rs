//! The graph over a history in memory: what tests and back-tests run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use riskflow_config::InputRecord;
use riskflow_connectors::Rejection;
use riskflow_model::Millis;
use riskflow_model::output::{DeadLetter, Origin, PayloadEncoding};
use riskflow_model::topic::Topic;
use riskflow_operators::closed_loop::{Acted, Joining};
use riskflow_operators::engine::{BaseRecord, Keeper, Latest, Offer, Tick, batched};
use riskflow_operators::span::{EventRecord, Events};
use riskflow_operators::warning::{Incoming, Monitor};
use timely::dataflow::InputHandleVec;
use timely::dataflow::operators::probe::Handle;
use timely::dataflow::operators::vec::Input;

use crate::runtime::admission::Admitted;
use crate::runtime::graph::{Inputs, Meters, Semantics, graph};
use crate::runtime::output::{EpochOutput, Output, publish};

/// The records of one epoch, in any order.
#[derive(Clone, Debug, Default)]
pub struct EpochInput {
    /// The epoch; rising from one to the next.
    pub epoch: Millis,
    /// Records with their origin.
    pub records: Vec<(Origin, InputRecord)>,
}

/// Runs a history and returns what each epoch publishes.
///
/// # Errors
///
/// When the workers could not be started or one of them panicked.
pub fn replay(
    history: Vec<EpochInput>,
    workers: usize,
    semantics: Semantics,
    meters: &Meters,
) -> Result<Vec<EpochOutput>, String> {
    replay_on(history, workers, semantics, meters, Session::default()).map(|(outputs, _)| outputs)
}

/// Chunks of a checkpoint, by fold.
pub type Saved = BTreeMap<&'static str, Vec<Vec<u8>>>;

/// What lasts longer than one replay.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// The state to begin with; the history must begin with its epoch, without records.
    pub saved: Saved,
    /// The epoch after which the state is saved.
    pub checkpoint: Option<Millis>,
}

/// Runs a part of a history, and returns what each epoch publishes and the state that was saved.
///
/// # Errors
///
/// When the workers could not be started or one of them panicked.
pub fn replay_on(
    history: Vec<EpochInput>,
    workers: usize,
    semantics: Semantics,
    meters: &Meters,
    session: Session,
) -> Result<(Vec<EpochOutput>, Saved), String> {
    let kept = Arc::new(Mutex::new(Saved::new()));
    let keeping = Arc::clone(&kept);
    let published = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&published);
    let history = Arc::new(history);
    let meters = meters.clone();
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let (index, peers) = (worker.index(), worker.peers());
        meters.watch(worker, false);
        let probe = Handle::new();
        let admission = semantics.admission();
        let mut feed = Feed::default();
        let published = Arc::clone(&shared);
        worker.dataflow::<u64, _, _>(|scope| {
            let inputs = Inputs {
                base: batched::<Latest, _>(scope.input_from(&mut feed.base), Some),
                incoming: batched::<Monitor, _>(scope.input_from(&mut feed.incoming), Some),
                actions: batched::<Joining, _>(scope.input_from(&mut feed.actions), Some),
                events: batched::<Events, _>(scope.input_from(&mut feed.events), Some),
                ticks: scope.input_from(&mut feed.ticks),
            };
            let refusals = scope.input_from(&mut feed.refusals);
            let ticks = inputs.ticks.clone();
            let mut keeper = |fold| Keeper {
                saved: Box::new(session.saved.get(fold).cloned().unwrap_or_default().into_iter()),
                offer: keep(fold, Arc::clone(&keeping)),
            };
            let updates = graph(inputs, &semantics, &meters, &mut keeper);
            let updates = timely::dataflow::operators::Concat::concat(updates, refusals);
            publish(updates, ticks, &probe, (index, |_: Millis| false), move |epoch, _| {
                published
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .push(epoch);
            });
        });
        for EpochInput { epoch, records } in history.iter() {
            let time = epoch.0 as u64;
            feed.advance_to(time);
            feed.ticks.send(Tick {
                epoch: time,
                clock: *epoch,
                checkpoint: session.checkpoint == Some(*epoch),
            });
            let mine = records
                .iter()
                .filter(|(origin, _)| usize::from(origin.partition) % peers == index);
            for (origin, record) in mine {
                feed.send(time, *origin, admission.admit(epoch.0, *origin, record.clone()));
            }
            // One epoch after the other: what goes through the operators can be counted.
            feed.advance_to(time + 1);
            while probe.less_than(&(time + 1)) {
                worker.step_or_park(None);
            }
        }
        drop(feed);
        while !probe.done() {
            worker.step_or_park(None);
        }
        if let Some(mut register) = worker.log_register() {
            register.flush();
        }
    });
    for result in guards?.join() {
        result?;
    }
    let mut published = published.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut kept = kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok((std::mem::take(&mut *published), std::mem::take(&mut *kept)))
}

fn keep(fold: &'static str, kept: Arc<Mutex<Saved>>) -> Offer {
    Box::new(move |_, chunk, _| {
        let mut kept = kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        kept.entry(fold).or_default().push(std::mem::take(chunk));
        true
    })
}

/// The inputs of one worker's dataflow.
#[derive(Default)]
struct Feed {
    base: InputHandleVec<u64, BaseRecord>,
    incoming: InputHandleVec<u64, Incoming>,
    actions: InputHandleVec<u64, Acted>,
    events: InputHandleVec<u64, EventRecord>,
    refusals: InputHandleVec<u64, (Output, u64, i64)>,
    ticks: InputHandleVec<u64, Tick>,
}

impl Feed {
    fn advance_to(&mut self, time: u64) {
        self.base.advance_to(time);
        self.incoming.advance_to(time);
        self.actions.advance_to(time);
        self.events.advance_to(time);
        self.refusals.advance_to(time);
        self.ticks.advance_to(time);
    }

    fn send(&mut self, time: u64, origin: Origin, admitted: Admitted) {
        match admitted {
            Admitted::Base(record) => self.base.send(record),
            Admitted::Observed(observed) => self.incoming.send(Incoming::Observed(observed)),
            Admitted::Forecast(forecast) => self.incoming.send(Incoming::Forecast(Box::new(forecast))),
            Admitted::Acted(acted) => self.actions.send(acted),
            Admitted::Event(event) => self.events.send(event),
            Admitted::Refused(rejection) => {
                let letter = Output::Row(Box::new(refused(origin, &rejection)).into());
                self.refusals.send((letter, time, 1));
            }
        }
    }
}

/// The dead letter of a record that may not be taken in; here its payload is not at hand.
fn refused(origin: Origin, rejection: &Rejection) -> DeadLetter {
    let topic = Topic::from_id(origin.topic).expect("a record has an origin in a topic");
    DeadLetter::new(
        (rejection.reason, &rejection.detail),
        (topic, origin.partition, origin.offset),
        "",
        PayloadEncoding::Decoded,
    )
}
