//! `riskflow bridge`.

mod reload;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use anyhow::Result;
use arc_swap::ArcSwap;
use riskflow::bridge::{Common, Folder, Metrics, Server, start};
use riskflow_config::Settings;
use riskflow_model::topic::Topic;
use tokio::sync::watch;

use self::reload::Reloads;
use super::configuration;
use super::reload::listen;
use super::signals::{self, Hangup};
use super::tail::place_of;
use crate::program::cli::BridgeArguments;
use crate::program::exit::Usage;
use crate::program::terminal::log_by;
use crate::runtime::version::COMMIT;

/// Sends until it is told to stop.
pub fn bridge(arguments: &BridgeArguments) -> Result<ExitCode> {
    let (asks, asked) = channel();
    let (stops, stop) = watch::channel(false);
    let stopping: Arc<AtomicBool> = Arc::default();
    // First of all: whoever is asked to stop ends well, however early that is.
    stop_on_signals(stops.clone(), Arc::clone(&stopping), Hangup::reloads(asks))?;
    let (written, settings) = configuration::load_and_look(&arguments.config)?;
    log_by(&settings.log.filter).map_err(anyhow::Error::msg)?;
    configuration::needs(&settings, Topic::NOTICE)?;
    if settings.bridge.webhook.is_none() && settings.bridge.alertmanager.is_none() {
        let says = "there is nobody to send to: give `bridge.webhook.url`, `bridge.alertmanager.urls` or both";
        return Err(Usage(says.to_owned()).into());
    }
    let (reloads, reloaded) = watch::channel(0);
    let common = common(&settings, (reloaded, stop))?;
    introduce(arguments, &settings);
    let server = settings.bridge.address.map(|address| {
        let (metrics, stopping) = (Arc::clone(&common.metrics), Arc::clone(&stopping));
        Server::start(address, metrics, stopping)
    });
    if let Some(server) = server.transpose()? {
        tracing::info!(address = %server.address, "serving HTTP");
    }
    let reloads = Reloads::new(&arguments.config, (written, settings), &common, reloads);
    listen(reloads, asked)?;
    let lanes = start(&common)?;
    lanes.join(&stops)?;
    tracing::info!("bridge ended");
    Ok(ExitCode::SUCCESS)
}

fn common(settings: &Settings, (reloads, stop): (watch::Receiver<u64>, watch::Receiver<bool>)) -> Result<Common> {
    Ok(Common {
        place: place_of(settings, Topic::NOTICE)?,
        topics: settings.topics.clone(),
        settings: Arc::new(ArcSwap::from_pointee(settings.bridge.clone())),
        folder: Arc::new(Folder::take(&settings.bridge.folder)?),
        metrics: Arc::new(Metrics::new()?),
        reloads,
        stop,
    })
}

/// Says what is about to run: which version, with which settings, from where to where. No path of a URL is said.
fn introduce(arguments: &BridgeArguments, settings: &Settings) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        commit = COMMIT,
        configuration = configuration::described(&arguments.config),
        "riskflow bridge starts"
    );
    let bridge = &settings.bridge;
    let webhook = bridge.webhook.as_ref().map(|webhook| webhook.url.shown());
    let alertmanager = bridge.alertmanager.as_ref().map(|alertmanager| {
        let places: Vec<String> = alertmanager.urls.iter().map(|url| url.shown()).collect();
        places.join(", ")
    });
    tracing::info!(
        notices = settings.topics.name(Topic::NOTICE),
        folder = %bridge.folder.display(),
        webhook = webhook.unwrap_or_else(|| "none".to_owned()),
        alertmanager = alertmanager.unwrap_or_else(|| "none".to_owned()),
        "bridge starts"
    );
}

/// Signals stop the bridge: what is under way has ten seconds. One that is ended at once loses nothing: what was sent and not written down
/// is sent again.
fn stop_on_signals(stops: watch::Sender<bool>, stopping: Arc<AtomicBool>, on_hangup: Hangup) -> Result<()> {
    let stop = move || {
        stopping.store(true, Ordering::Release);
        tracing::info!("stopping: what is under way has ten seconds");
        stops.send_replace(true);
    };
    signals::listen(on_hangup, stop, async {})
}
