//! Fold `event`: the events that are not forgotten, each as a span while nobody says that it never was.

use std::sync::Arc;

use riskflow_model::event::{Event, Verdict};
use riskflow_model::observation::Op;
use riskflow_model::output::Origin;
use riskflow_model::{Duration, Key, Millis, Shared};
use serde::{Deserialize, Serialize};

use super::EventSpan;
use crate::engine::{Diff, Fold, Next};

/// A momentary event is kept for so long more: a gauge may count it for a day.
const MOMENTARY: Duration = Duration(86_400_000);

/// The fold's settings.
#[derive(Clone, Copy, Debug)]
pub struct Events {
    /// What was over longer ago than this is forgotten (`time.event_age`).
    pub age: Duration,
}

/// A record of `in.event` that was taken in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventRecord {
    /// Where it stood.
    pub origin: Origin,
    /// What it says.
    pub event: Arc<Event>,
}

/// Of one event: what is known by its identifier, and the span that was given.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct EventState {
    held: Option<Held>,
    /// What came in this epoch: the last of several.
    #[serde(skip)]
    came: Option<Arc<Event>>,
    /// It comes again as a row.
    #[serde(skip)]
    verdict: Option<Verdict>,
    /// The span that was given.
    shown: Option<EventSpan>,
    /// Whether it settled in this process.
    #[serde(skip)]
    settled: bool,
}

/// An event as it counts.
#[derive(Debug, Serialize, Deserialize)]
struct Held {
    event: Shared<Event>,
    from: Millis,
}

impl Held {
    /// From which epoch on it is forgotten; `None` while it goes on.
    fn forgotten(&self, age: Duration) -> Option<Millis> {
        let end = self.event.end();
        let more = if self.event.is_momentary() {
            MOMENTARY
        } else {
            Duration::ZERO
        };
        (end != Millis::MAX).then(|| end + age + more)
    }
}

impl Events {
    /// What counts from a record on. What was before the floor stays: only of what went on there the beginning is known.
    fn taken(&self, now: Millis, held: Option<&Held>, event: &Arc<Event>) -> Option<Held> {
        if event.op == Op::Delete {
            return None;
        }
        let floor = now - self.age;
        let went_on = |held: &&Held| held.from < floor && held.event.end() >= floor && event.time < floor;
        let from = match held.filter(went_on) {
            Some(held) => held.from,
            None => event.time.max(floor),
        };
        let event = Shared::new(Event::clone(event));
        Some(Held { event, from })
    }
}

impl Fold for Events {
    type Key = Key;
    type Row = Verdict;
    type Record = EventRecord;
    type State = EventState;
    type Output = EventSpan;

    const NAME: &'static str = "event";

    fn route(key: &Key) -> u64 {
        key.route()
    }

    fn place(record: &EventRecord) -> (Key, Origin) {
        (record.event.id.key(), record.origin)
    }

    fn rows(
        &mut self,
        _now: Millis,
        _key: Key,
        state: &mut EventState,
        changes: &mut dyn Iterator<Item = (Verdict, Diff)>,
    ) -> bool {
        for (verdict, diff) in changes {
            state.verdict = (diff > 0).then_some(verdict);
        }
        true
    }

    fn record(&mut self, _now: Millis, _key: Key, state: &mut EventState, record: &mut EventRecord) {
        state.came = Some(Arc::clone(&record.event));
    }

    fn recall(&mut self, _key: Key, state: &EventState, out: &mut Vec<(EventSpan, Diff)>) {
        out.extend(state.shown.iter().map(|shown| (shown.clone(), 1)));
    }

    fn settle(&mut self, now: Millis, _key: Key, state: &mut EventState, out: &mut Vec<(EventSpan, Diff)>) -> Next {
        // A job that began anew forgets nothing in its first epoch, in which all rows come again: what is forgotten would seem never to
        // have been there, where events are kept for a shorter time than before.
        let begins = !std::mem::replace(&mut state.settled, true) && state.came.is_none();
        if let Some(event) = state.came.take() {
            state.held = self.taken(now, state.held.as_ref(), &event);
        }
        let over = |held: &mut Held| !begins && held.forgotten(self.age).is_some_and(|at| at <= now);
        drop(state.held.take_if(over));
        let holds = state.held.as_ref().filter(|_| state.verdict != Some(Verdict::False));
        let span = holds.map(|held| EventSpan {
            event: held.event.clone(),
            from: held.from,
            confirmed: state.verdict == Some(Verdict::Confirmed),
        });
        if span != state.shown {
            out.extend(state.shown.take().map(|shown| (shown, -1)));
            out.extend(span.iter().map(|span| (span.clone(), 1)));
            state.shown = span;
        }
        match (&state.held, state.verdict) {
            (None, None) => Next::Forget,
            (None, Some(_)) => Next::Keep,
            (Some(held), _) => held.forgotten(self.age).map_or(Next::Keep, Next::Wake),
        }
    }
}

#[cfg(test)]
mod tests;
