//! Reading the configuration once more while a process runs: what a job and the bridge have in common.

use std::sync::mpsc::Receiver;

use anyhow::{Context as _, Result};
use riskflow_config::{Settings, WrittenSettings};
use riskflow_model::Problems;

/// A configuration, as written and as checked.
pub type Configuration = (WrittenSettings, Settings);

/// Who reads its configuration again.
pub trait Reload: Send + 'static {
    /// Waits until it is to be read again; false once nobody can ask any more.
    fn is_asked(&mut self, asked: &Receiver<()>) -> bool {
        asked.recv().is_ok()
    }

    /// Reads it, and says what became of it.
    fn reload(&mut self);
}

/// Reloads whenever it is asked for, on a thread of its own, which ends with the process. What was asked meanwhile, and more than once, is
/// done once.
///
/// # Errors
///
/// When there is no thread for it.
pub fn listen(mut reloads: impl Reload, asked: Receiver<()>) -> Result<()> {
    let work = move || {
        while reloads.is_asked(&asked) {
            while asked.try_recv().is_ok() {}
            reloads.reload();
        }
    };
    let thread = std::thread::Builder::new().name("reload".to_owned()).spawn(work);
    thread.context("could not listen for SIGHUP")?;
    Ok(())
}

/// Says that it was read again, and which fields are otherwise and in force at once.
pub fn say_applied(configuration: &str, in_force: &[String]) {
    let changed = if in_force.is_empty() {
        "nothing that is in force at once".to_owned()
    } else {
        in_force.join(", ")
    };
    tracing::info!(configuration, changed, "the configuration was read again");
}

/// Says which fields wait for a restart, if any do.
pub fn say_waiting(waiting: &[String]) {
    if !waiting.is_empty() {
        tracing::warn!(
            fields = waiting.join(", "),
            "these are otherwise than at the start, and in force after a restart only"
        );
    }
}

/// Says everything that is wrong, one a line.
pub fn say_refused(configuration: &str, error: &anyhow::Error) {
    if let Some(problems) = error.downcast_ref::<Problems>() {
        for problem in problems.iter() {
            tracing::error!("{problem}");
        }
    } else {
        tracing::error!("{error:#}");
    }
    tracing::error!(
        configuration,
        "the configuration was read again and cannot be used: nothing changed, the one from before stays in force"
    );
}
