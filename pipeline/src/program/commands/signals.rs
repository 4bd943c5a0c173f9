//! What signals ask a process for: SIGTERM and ctrl-c to stop, SIGHUP to stop or to read its configuration again.

mod hangup;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::{Context as _, Result};
use riskflow::runtime::job::Handles;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval};

pub use hangup::Hangup;

/// A second signal within so long is the first one once more: `timeout` and shells signal a process and its group.
const AGAIN: Duration = Duration::from_millis(200);

/// How long the job may take to end once it was asked to: less than the 30 s after which supervisors kill.
const GRACE: Duration = Duration::from_secs(25);

/// How often it is looked whether the job was asked to stop, here or in another process of the cluster; [`GRACE`] need not be
/// kept to the instant.
const LOOK: Duration = Duration::from_millis(500);

/// Listens on a thread of its own, from before this returns to the end of the process. The first SIGTERM or ctrl-c calls `stop`, and so does
/// SIGHUP where it is no request to read the configuration again; a second one ends the process at once. `meanwhile` runs beside.
///
/// # Errors
///
/// When there is no thread for it.
pub fn listen(
    on_hangup: Hangup,
    stop: impl Fn() + Send + 'static,
    meanwhile: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (listens, ready) = channel();
    let work = move || {
        runtime.block_on(async {
            tokio::spawn(meanwhile);
            hear(&on_hangup, stop, listens).await;
        });
    };
    let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(work);
    thread.context("could not listen for signals")?;
    // An error if it cannot listen, which it said.
    let _ = ready.recv();
    Ok(())
}

async fn hear(on_hangup: &Hangup, stop: impl Fn(), listens: Sender<()>) {
    let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
    let [Ok(mut term), Ok(mut interrupt), Ok(mut hangup)] = kinds.map(signal) else {
        tracing::error!("could not listen for signals");
        return;
    };
    // Nobody waits for it any more only if the program ends.
    let _ = listens.send(());
    let mut asked = None::<Instant>;
    loop {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {
                if on_hangup.is_passed_on() {
                    continue;
                }
            }
        }
        match asked {
            // `timeout` and shells signal a process and its group at once.
            Some(at) if Instant::now() - at < AGAIN => continue,
            Some(_) => std::process::exit(130),
            None => asked = Some(Instant::now()),
        }
        stop();
    }
}

/// Signals stop the job. If it has not ended in time, because its output does not answer, the process ends all the same: as after kill -9
/// nothing is lost or repeated.
///
/// # Errors
///
/// When there is no thread to listen.
pub fn stop_job(handles: &Handles, on_hangup: Hangup) -> Result<()> {
    let stop = Arc::clone(&handles.stop);
    let ask = move || {
        tracing::info!("stopping: epochs under way are committed first");
        stop.store(true, Ordering::Release);
    };
    listen(on_hangup, ask, give_up(Arc::clone(&handles.stop)))
}

/// Ends the process where the job was asked to stop and does not.
async fn give_up(stop: Arc<AtomicBool>) {
    let (mut look, mut since) = (interval(LOOK), None::<Instant>);
    loop {
        look.tick().await;
        if stop.load(Ordering::Acquire) && since.get_or_insert_with(Instant::now).elapsed() > GRACE {
            tracing::error!(
                "the output has not taken what is under way within {GRACE:?} of being asked to stop: ending without; the next start goes \
                 on from the last commit"
            );
            std::process::exit(1);
        }
    }
}
