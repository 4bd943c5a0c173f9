//! One worker, from start to stop.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use riskflow_config::Settings;
use riskflow_model::Millis;
use riskflow_operators::Turn;
use riskflow_operators::engine::Tick;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::Inspect;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::probe::Handle;
use timely::dataflow::operators::vec::{Broadcast, Filter, Input, Map};
use timely::dataflow::{InputHandleVec, StreamVec};
use timely::worker::Worker;

use super::Job;
use super::driver::{Closed, Driver, FirstLive};
use super::whole::{is_told, tell_whole};
use crate::runtime::clock::TOLERANCE;
use crate::runtime::cluster::{Home, tell};
use crate::runtime::graph::{Inputs, Semantics, graph};
use crate::runtime::ingest::{Cut, How, Ingest, Ingested, Report, ingest};
use crate::runtime::output::publish;
use crate::runtime::pace::{POLL, Pace, Terms};
use crate::runtime::publisher::Completed;
use crate::runtime::recovery::Start;

pub(super) fn worker_config() -> timely::WorkerConfig {
    let mut worker = timely::WorkerConfig::default();
    // Arrangements go on compacting while nothing comes in.
    let differential = differential_dataflow::Config::default().idle_merge_effort(Some(1000));
    differential_dataflow::configure(&mut worker, &differential);
    worker
}

/// One worker from start to stop.
pub(super) fn work(worker: &mut Worker, job: &Arc<Job>) {
    let index = worker.index();
    let Job {
        settings,
        handles,
        failure,
        ..
    } = &**job;
    let start = if settings.cluster.hosts.len() > 1 {
        let (start, served) = tell(worker, (job.start.clone(), handles.served.get().cloned()));
        if settings.cluster.process > 0 {
            let home = Home::told(&settings.cluster.hosts, settings.cluster.process, served.as_deref());
            handles.elsewhere.store(Some(Arc::new(home)));
        }
        start
    } else {
        job.start.clone()
    };
    handles.stage.hydrate();
    let sources = job.open_sources(&start, index, worker.peers()).unwrap_or_else(|error| {
        failure.note(error);
        Vec::new()
    });
    let watches = settings.http.as_ref().is_some_and(|http| http.dataflow);
    handles.meters.watch(worker, watches);
    let failed = Rc::new(RefCell::new(None));
    let ingestion = Rc::new(RefCell::new(job.ingestion(&start, sources, Rc::clone(&failed))));
    let pace = Pace::new(terms(settings, worker.peers()), job.plan.clone());
    let pace = Rc::new(RefCell::new(pace));
    let mut bell = bell(worker, &pace);
    let closed: Closed = Rc::default();
    let live: FirstLive = Rc::default();
    let ends = (&pace, &closed, &live);
    let (cuts, probe) = build(worker, Rc::clone(&ingestion), job, &start, ends);
    let mut driver = (index == 0).then(|| Driver::new(cuts, pace, closed, Rc::clone(&live), job));
    while !probe.done() {
        if let Some(error) = failed.take() {
            failure.note(anyhow::Error::new(error).context("could not read the input"));
        }
        if job.has_failed() {
            // It is left, on every worker.
            leave(worker);
            return;
        }
        let wait = match driver.take() {
            Some(mut active) => match active.step() {
                Some(wait) => {
                    driver = Some(active);
                    wait
                }
                // Dropped: no further epoch; those under way come to their end.
                None => Duration::ZERO,
            },
            None => {
                // Another process commits; here, an epoch is done when it has passed through the dataflow of all of them.
                if settings.cluster.process > 0 && live.get().is_some_and(|(turn, _)| !probe.less_equal(&turn)) {
                    handles.ready.store(true, Ordering::Release);
                }
                settings.epoch.tick.clamp(POLL.0, POLL.1)
            }
        };
        match ingestion.borrow_mut().at_hand() {
            Ok(true) => {
                bell.send(());
                // To flush the input leaves it in the buffers of the exchange behind it, until the frontier moves.
                bell.advance_to(bell.time() + 1);
            }
            Ok(false) => {}
            Err(error) => failure.note(anyhow::Error::new(error).context("could not read the input")),
        }
        worker.step_or_park(Some(wait));
    }
    end(worker, job);
}

/// The end of a worker that is done.
fn end(worker: &mut Worker, job: &Job) {
    // What the others have to know of it goes out with a step. Nothing is under way any more, so nothing is waited for.
    worker.step();
    let tells = is_told(&job.settings);
    // Taken before it has nothing more to do: its end would be taken for a failure.
    let publisher = (tells && worker.index() == 0).then(|| job.publisher().take()).flatten();
    leave(worker);
    if tells {
        tell_whole(worker, job, publisher);
        worker.step();
        leave(worker);
    }
}

/// Lets go of all that is left of the dataflows: to wait until they are empty would be to wait for other workers, which may be gone.
fn leave(worker: &mut Worker) {
    for dataflow in worker.installed_dataflows() {
        worker.drop_dataflow(dataflow);
    }
}

/// What the pace of epochs goes by.
fn terms(settings: &Settings, peers: usize) -> Terms {
    Terms {
        epoch: settings.epoch.clone(),
        clock: settings.clock,
        until: settings.until,
        max_future: settings.time.max_future.0.max(TOLERANCE),
        peers,
    }
}

/// A way for every worker to tell worker 0 that there is something to close an epoch for. It belongs to no epoch.
fn bell(worker: &mut Worker, pace: &Rc<RefCell<Pace>>) -> InputHandleVec<u64, ()> {
    let mut bell = InputHandleVec::new();
    let pace = Rc::clone(pace);
    worker.dataflow::<u64, _, _>(|scope| {
        let to_worker_0 = Exchange::new(|_: &()| 0);
        scope
            .input_from(&mut bell)
            .sink(to_worker_0, "Bell", move |(input, _)| {
                input.for_each(|_, rings| {
                    rings.clear();
                    pace.borrow_mut().ring();
                });
            });
    });
    bell
}

/// Takes from the cuts that pass how far the process has come, and which epoch is the first by the job's clock.
fn heeded<'scope>(cuts: StreamVec<'scope, Turn, Cut>, job: &Job, live: FirstLive) -> StreamVec<'scope, Turn, Cut> {
    let stage = Arc::clone(&job.handles.stage);
    let follows = job.settings.cluster.process > 0;
    cuts.inspect_core(move |event| match event {
        Ok((stamp, cuts)) => {
            // Those with a bound are of an earlier run.
            if cuts.iter().any(|cut| cut.bound.is_none()) {
                stage.catch_up();
            }
            if live.get().is_none()
                && let Some(cut) = cuts.iter().find(|cut| cut.how == How::Live)
            {
                live.set(stamp.least().map(|turn| (*turn, cut.epoch)));
            }
        }
        // Whichever process was told to stop, no epoch comes any more.
        Err(frontier) => {
            if follows && frontier.is_empty() {
                stage.end();
            }
        }
    })
}

/// Builds the dataflow; returns where cuts go in, and a probe behind everything.
fn build(
    worker: &mut Worker,
    ingestion: Rc<RefCell<Ingest>>,
    job: &Job,
    start: &Start,
    (pace, closed, live): (&Rc<RefCell<Pace>>, &Closed, &FirstLive),
) -> (InputHandleVec<Turn, Cut>, Handle<Turn>) {
    let index = worker.index();
    let mut keeper = job.keeper(start, index, worker.peers());
    let sender = (index == 0)
        .then(|| job.sender.lock().unwrap_or_else(PoisonError::into_inner).take())
        .flatten();
    let probe = Handle::new();
    let mut cuts: InputHandleVec<Turn, Cut> = InputHandleVec::new();
    // One worker leaves it to the publisher's thread, which encodes an epoch while the worker is at the next.
    let (spread, unwritten) = (worker.peers() > 1, start.unwritten);
    let encodes = move |epoch: Millis| spread && epoch > unwritten;
    let (noted, times, live) = (Rc::clone(pace), Rc::clone(closed), Rc::clone(live));
    let pace = Rc::clone(pace);
    worker.dataflow::<Turn, _, _>(|scope| {
        let cuts: StreamVec<_, Cut> = scope.input_from(&mut cuts).broadcast();
        let cuts = heeded(cuts, job, live);
        let Ingested {
            base,
            incoming,
            actions,
            events,
            dead_letters,
            reports,
        } = ingest(ingestion, cuts.clone());
        let note = Exchange::new(|_: &Report| 0);
        let stop = Arc::clone(&job.handles.stop);
        reports.sink(note, "Reports", move |(input, _)| {
            input.for_each(|_, reports| {
                for report in reports.drain(..) {
                    // Another process was asked to.
                    if report.stop {
                        stop.store(true, Ordering::Release);
                    }
                    noted.borrow_mut().note(report);
                }
            });
        });
        let ticks = cuts.filter(|cut| cut.how != How::Look).map(|cut| Tick {
            epoch: cut.epoch,
            clock: Millis(cut.clock),
            checkpoint: cut.checkpoint,
        });
        let semantics = Semantics::of(&job.settings);
        let inputs = Inputs {
            base,
            incoming,
            actions,
            events,
            ticks: ticks.clone(),
        };
        let updates = graph(inputs, &semantics, &job.handles.meters, &mut keeper).concat(dead_letters);
        publish(updates, ticks, &probe, (index, encodes), move |output, wake| {
            pace.borrow_mut().applied(wake);
            let closing = times.borrow_mut().remove(&output.epoch.0.unsigned_abs());
            let closing = closing.expect("an epoch is published once, and only if it was closed");
            if let Some(sender) = &sender {
                // The publisher ended: it failed, and worker 0 will notice.
                let computed = Instant::now();
                let _ = sender.send(Completed {
                    output,
                    closing,
                    computed,
                });
            }
        });
    });
    (cuts, probe)
}
