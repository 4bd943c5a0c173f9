//! What a job did that came to its end, in all of its processes: each counts what its own workers took, and process 0 what was published.
//! Once all of that is committed they tell each other, and each says the same of the whole.

use std::sync::atomic::Ordering;

use riskflow_config::{Clock, Input, Settings};
use riskflow_model::Millis;
use riskflow_model::output::Reason;
use riskflow_model::topic::Topic;
use serde::{Deserialize, Serialize};
use timely::worker::Worker;

use super::{Handles, Job};
use crate::runtime::cluster::gather;
use crate::runtime::ingest::Disordered;
use crate::runtime::metrics::{Done, Warnings};
use crate::runtime::publisher::Publisher;

/// What a job did, in all of its processes.
#[derive(Clone, Debug, Default)]
pub struct Whole {
    /// What was counted.
    pub done: Done,
    /// Observations that wait for the row of their datastream: they are in no output.
    pub waiting: u64,
    /// How many rules of the live set are in force.
    pub rules: u64,
    /// How many limits of work under permit are in force.
    pub limits: i64,
    /// The last epoch; 0 where there was none.
    pub until: Millis,
    /// Whether it is a replay that went on where an earlier run left it.
    pub goes_on: bool,
    /// Whether one of its processes was told to stop.
    pub stopped: bool,
}

/// By name how many.
type Counts = Vec<(String, u64)>;

/// What one process did, for the others.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct ProcessTotals {
    records: Counts,
    dead_letters: Counts,
    deltas: Counts,
    differed: u64,
    compared: u64,
    incomparable: bool,
    /// Records that were read when their epoch was over: all, those for which there was no room, and how far back at most.
    disordered: (u64, u64, i64),
    waiting: u64,
    rules: u64,
    limits: i64,
    until: Millis,
    goes_on: bool,
    stopped: bool,
}

impl ProcessTotals {
    /// That of this process, as far as it has come.
    pub(super) fn of(handles: &Handles) -> Self {
        let done = handles.metrics.done();
        let Disordered {
            records,
            crowded,
            furthest,
        } = done.disordered;
        Self {
            records: named(done.records),
            dead_letters: named(done.dead_letters),
            deltas: named(done.deltas),
            differed: done.differed,
            compared: done.compared,
            incomparable: done.incomparable,
            disordered: (records, crowded, furthest),
            waiting: handles.meters.waiting.load(Ordering::Relaxed),
            rules: handles.meters.sets.rules(),
            limits: handles.meters.in_force.limits(),
            until: handles.views.load().epoch,
            goes_on: handles.goes_on.load(Ordering::Acquire),
            stopped: handles.stop.load(Ordering::Acquire),
        }
    }
}

fn named(counts: Vec<(&'static str, u64)>) -> Counts {
    counts
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
}

/// The sum of what several counted, in the order of the names.
fn sum(names: impl Iterator<Item = &'static str>, parts: &[&Counts]) -> Vec<(&'static str, u64)> {
    let of = |name: &str| -> u64 {
        let counts = parts.iter().flat_map(|counts| counts.iter());
        counts
            .filter(|(counted, _)| counted.as_str() == name)
            .map(|(_, count)| *count)
            .sum()
    };
    let sums = names.map(|name| (name, of(name)));
    sums.filter(|(_, count)| *count > 0).collect()
}

impl Whole {
    /// The sum of all parts.
    pub(super) fn of(parts: &[ProcessTotals]) -> Self {
        let all = |counts: fn(&ProcessTotals) -> &Counts| parts.iter().map(counts).collect::<Vec<_>>();
        let total = |count: fn(&ProcessTotals) -> u64| parts.iter().map(count).sum::<u64>();
        let any = |holds: fn(&ProcessTotals) -> bool| parts.iter().any(holds);
        Self {
            done: Done {
                records: sum(Topic::inputs().map(Topic::name), &all(|part| &part.records)),
                dead_letters: sum(
                    Reason::ALL.into_iter().map(Reason::name),
                    &all(|part| &part.dead_letters),
                ),
                deltas: sum(Warnings::kinds(), &all(|part| &part.deltas)),
                differed: total(|part| part.differed),
                compared: total(|part| part.compared),
                incomparable: any(|part| part.incomparable),
                disordered: Disordered {
                    records: total(|part| part.disordered.0),
                    crowded: total(|part| part.disordered.1),
                    furthest: parts.iter().map(|part| part.disordered.2).max().unwrap_or_default(),
                },
            },
            waiting: total(|part| part.waiting),
            rules: total(|part| part.rules),
            limits: parts.iter().map(|part| part.limits).sum(),
            until: parts.iter().map(|part| part.until).max().unwrap_or_default(),
            goes_on: any(|part| part.goes_on),
            stopped: any(|part| part.stopped),
        }
    }
}

/// Whether the processes tell each other what they did: of a job that goes on for ever nobody asks for that.
pub(super) fn is_told(settings: &Settings) -> bool {
    let ends = settings.clock != Clock::Live || matches!(settings.input, Input::Files(_));
    ends && settings.cluster.hosts.len() > 1
}

/// Tells the other processes what this one did, and hears that of them; each worker must call it when it is done. `publisher`: that of
/// process 0, to which nothing more is given; it is waited for.
pub(super) fn tell_whole(worker: &mut Worker, job: &Job, publisher: Option<Publisher>) {
    let published = publisher.map(|publisher| publisher.join(!job.failure.is_there()));
    if let Some(Err(error)) = published {
        job.failure.note(error);
        return;
    }
    let is_first = worker.index().is_multiple_of(job.settings.cluster.workers.get());
    let own = is_first.then(|| ProcessTotals::of(&job.handles));
    if let Some(parts) = gather(worker, own, &|| job.has_failed()) {
        // Each worker of the process hears the same.
        let _ = job.handles.told.set(Whole::of(&parts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_process_counted_is_summed_by_name() {
        let counts = |counts: &[(&str, u64)]| -> Counts {
            counts
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect()
        };
        let first = ProcessTotals {
            records: counts(&[("in.observation", 7), ("in.rule", 1)]),
            dead_letters: counts(&[("malformed", 2), ("too_late", 1)]),
            deltas: counts(&[("raised", 3), ("withdrawn_past", 1)]),
            compared: 9,
            disordered: (2, 1, 60),
            rules: 4,
            until: Millis(500),
            goes_on: true,
            ..ProcessTotals::default()
        };
        let second = ProcessTotals {
            records: counts(&[("base.region", 5), ("in.observation", 3)]),
            disordered: (1, 0, 90),
            waiting: 6,
            stopped: true,
            ..ProcessTotals::default()
        };
        let whole = Whole::of(&[second, first]);
        // In the order in which one process tells them.
        let mut wanted = vec![("base.region", 5), ("in.rule", 1), ("in.observation", 10)];
        wanted.sort_by_key(|(name, _)| Topic::inputs().position(|topic| topic.name() == *name));
        assert_eq!(whole.done.records, wanted);
        assert_eq!(whole.done.dead_letters, [("malformed", 2), ("too_late", 1)]);
        assert_eq!(whole.done.deltas, [("raised", 3), ("withdrawn_past", 1)]);
        assert_eq!((whole.done.compared, whole.waiting, whole.rules), (9, 6, 4));
        let Disordered {
            records,
            crowded,
            furthest,
        } = whole.done.disordered;
        assert_eq!((records, crowded, furthest), (3, 1, 90));
        assert_eq!((whole.until, whole.goes_on, whole.stopped), (Millis(500), true, true));
    }
}
