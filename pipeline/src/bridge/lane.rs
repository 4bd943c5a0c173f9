//! What all lanes do alike: they are started and joined, and try again.

use std::sync::mpsc::{Receiver as Ended, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use riskflow_config::BridgeSettings;
use riskflow_connectors::kafka::GroupOffsets;
use riskflow_connectors::open_group;
use tokio::sync::watch;

use super::metrics::Sent;
use super::sender::{Answer, Pauses};
use super::{Common, Receiver, alertmanager, pause, webhook};

/// So long a request that is under way may take once the bridge is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Lanes that run.
pub struct Lanes {
    threads: Vec<JoinHandle<()>>,
    ended: Ended<Result<()>>,
}

/// Starts a lane for each receiver that the settings name.
///
/// # Errors
///
/// When there is no thread for one.
pub fn start(common: &Common) -> Result<Lanes> {
    let settings = common.settings.load();
    let named = [
        (Receiver::Webhook, settings.webhook.is_some()),
        (Receiver::Alertmanager, settings.alertmanager.is_some()),
    ];
    let (ends, ended) = channel();
    let mut threads = Vec::new();
    for (receiver, _) in named.into_iter().filter(|(_, named)| *named) {
        common.metrics.begin(receiver);
        let common = common.clone();
        let ending = Ending {
            receiver,
            ends: ends.clone(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = move || {
            let ended = runtime.block_on(async {
                match receiver {
                    Receiver::Webhook => webhook::run(common).await,
                    Receiver::Alertmanager => alertmanager::run(common).await,
                }
            });
            ending.tell(ended.with_context(|| format!("the {receiver} gets no notices any more")));
        };
        let thread = std::thread::Builder::new().name(receiver.name().to_owned()).spawn(work);
        threads.push(thread.context("there is no thread for the bridge")?);
    }
    Ok(Lanes { threads, ended })
}

impl Lanes {
    /// Waits until all have ended. Where one fails the others are told to stop.
    ///
    /// # Errors
    ///
    /// What the first that failed says.
    pub fn join(self, stop: &watch::Sender<bool>) -> Result<()> {
        let mut failed = Ok(());
        for ended in self.ended {
            if ended.is_err() {
                stop.send_replace(true);
                failed = failed.and(ended);
            }
        }
        for thread in self.threads {
            // One that panicked said so.
            let _ = thread.join();
        }
        failed
    }
}

/// Says how a lane ended, a panic included: no lane goes on while another is gone.
struct Ending {
    receiver: Receiver,
    ends: Sender<Result<()>>,
}

impl Ending {
    fn tell(&self, ended: Result<()>) {
        // Nobody waits for it any more only if the program ends.
        let _ = self.ends.send(ended);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell(Err(anyhow!("the lane of the {} panicked", self.receiver)));
        }
    }
}

/// What became of something that was to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The receiver answered.
    Answered(Answer),
    /// The bridge is told to stop, and nobody knows.
    Stopped,
}

/// Attempts it until it is taken, or refused for good. Each attempt goes by the settings that are in force then.
pub(super) async fn tell_until(
    common: &mut Common,
    receiver: Receiver,
    attempt: impl AsyncFn(&BridgeSettings) -> Answer,
) -> Told {
    let mut pauses = Pauses::default();
    loop {
        if *common.stop.borrow() {
            return Told::Stopped;
        }
        common.reloads.mark_unchanged();
        let settings = common.settings.load_full();
        let mut stop = common.stop.clone();
        let answer = tokio::select! {
            answer = attempt(settings.as_ref()) => answer,
            () = stopped(&mut stop) => return Told::Stopped,
        };
        let (why, asked) = match answer {
            Answer::Later(why, asked) => (why, asked),
            answer => {
                let is_taken = answer == Answer::Accepted;
                let sent = if is_taken { Sent::Accepted } else { Sent::Refused };
                common.metrics.request(receiver, sent);
                common.metrics.well(receiver);
                return Told::Answered(answer);
            }
        };
        common.metrics.request(receiver, Sent::Retried);
        let pause_for = pauses.next(&settings.sending, asked);
        if common.metrics.troubled(receiver, &why) {
            tracing::warn!(receiver = %receiver, why, "a request failed, going on trying");
        } else {
            tracing::debug!(receiver = %receiver, why, again_in = ?pause_for, "a request failed again");
        }
        tokio::select! {
            goes_on = pause(&mut common.stop, pause_for) => {
                if !goes_on {
                    return Told::Stopped;
                }
            }
            // What was wrong may be right now.
            Ok(()) = common.reloads.changed() => {}
        }
    }
}

/// Ends so long after the bridge was told to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error if nobody can tell it any more.
    let _ = stop.wait_for(|stop| *stop).await;
    tokio::time::sleep(GRACE).await;
}

/// The consumer group in which Kafka's own tools see how far a lane is.
pub(super) fn group(common: &Common, receiver: Receiver) -> Option<GroupOffsets> {
    let group = format!("{}riskflow-bridge-{receiver}", common.topics.prefix);
    open_group(&common.place, &common.topics, &group)
}
