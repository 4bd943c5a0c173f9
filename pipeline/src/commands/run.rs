//! `riskflow run`.

use std::process::ExitCode;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result, bail};
use riskflow::cluster;
use riskflow::http::Server;
use riskflow::job::{self, Handles};
use riskflow::metrics::Done;
use riskflow_config::{HttpSettings, Input, Settings};
use riskflow_connectors::open_append;
use riskflow_model::topic::Topic;

use super::configuration;
use crate::cli::RunArguments;
use crate::terminal::tell;

/// Runs the job until its input ends or it is told to stop.
pub fn run(arguments: &RunArguments) -> Result<ExitCode> {
    let (_, mut settings) = configuration::load(&arguments.config)?;
    settings.recovery.start_anew = arguments.start_anew;
    if settings.cluster.hosts.len() > 1 {
        cluster::end_with_peers();
    }
    let handles = Handles::new()?;
    stop_on_signals(&handles)?;
    let server = settings.http.as_ref().map(|http| serve(http, &settings, &handles));
    // It serves until the job has ended.
    let _server = server.transpose()?;
    let workers = settings.cluster.workers.get();
    tracing::info!(workers, processes = settings.cluster.hosts.len().max(1), clock = ?settings.clock, "job starts");
    job::run(&settings, &handles, None)?;
    tracing::info!(epoch = %handles.views.load().epoch, "job ended");
    if matches!(settings.input, Input::Files(_)) {
        sum_up(&handles.metrics.done())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Says on standard error what became of files: standard output may be the output.
///
/// # Errors
///
/// When most of the records were refused: whatever was to be learnt from them was not.
fn sum_up(done: &Done) -> Result<()> {
    let total = |counts: &[(&str, u64)]| counts.iter().map(|(_, count)| count).sum::<u64>();
    let mut lines = String::new();
    for (what, counts) in [
        ("records", &done.records),
        ("dead letters", &done.dead_letters),
        ("events of warnings", &done.deltas),
    ] {
        let by: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let by = if by.is_empty() {
            String::new()
        } else {
            format!(": {}", by.join(", "))
        };
        lines += &format!("{} {what}{by}\n", total(counts));
    }
    tell(lines.trim_end());
    let (records, dead) = (total(&done.records), total(&done.dead_letters));
    if dead * 2 > records {
        bail!("most of the records were refused ({dead} of {records}): `out.deadletter` says why, one by one");
    }
    Ok(())
}

fn serve(http: &HttpSettings, settings: &Settings, handles: &Handles) -> Result<Server> {
    let way_in = http
        .actions
        .is_some()
        .then(|| open_append(&settings.input, &settings.topics, Topic::InAction));
    let way_in = way_in.transpose().context("could not open the way in for actions")?;
    let server = Server::start(http, handles.clone(), way_in).context("could not serve HTTP")?;
    tracing::info!(address = %server.address, tls = http.tls.is_some(), actions = http.actions.is_some(), "serving HTTP");
    Ok(server)
}

/// The first SIGTERM or ctrl-c asks the job to stop; a second one ends the process at once.
pub fn stop_on_signals(handles: &Handles) -> Result<()> {
    let stop = handles.stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut term), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                tracing::error!("could not listen for signals");
                return;
            };
            for asked in 0.. {
                tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
                if asked > 0 {
                    std::process::exit(130);
                }
                tracing::info!("stopping: epochs under way are committed first");
                stop.store(true, Ordering::Release);
            }
        });
    })?;
    Ok(())
}
