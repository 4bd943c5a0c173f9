//! Reading the configuration once more while the job runs: on SIGHUP, and where `reload.watch` is on when a file of it changed. What may
//! change is in force at once and as a whole, what needs a restart is named, and a configuration that cannot be used changes nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use riskflow::runtime::clock::wall_clock;
use riskflow::runtime::http::Control;
use riskflow::runtime::job::Handles;
use riskflow::runtime::metrics::Metrics;
use riskflow_config::{HttpSettings, WrittenSettings, changed};

use super::super::configuration;
use super::super::reload::{Configuration, Reload, say_applied, say_refused, say_waiting};
use super::supervisor::Supervisor;
use super::watch::Watch;
use crate::program::cli::{ConfigArguments, RunArguments};
use crate::program::limits;
use crate::program::terminal::log_by;

/// Which field says what is logged.
const FILTER: &str = "log.filter";

/// How often files are looked at, where they are.
const LOOK: Duration = Duration::from_secs(1);

/// Reads the configuration again whenever it is asked for.
pub struct Reloads {
    arguments: ConfigArguments,
    /// What the job was started with: what needs a restart is as it was then.
    started: Configuration,
    /// What was read last and could be used.
    last: Configuration,
    /// The running server, if there is one.
    control: Option<Control>,
    metrics: Arc<Metrics>,
    supervisor: Supervisor,
    watch: Watch,
}

/// What another configuration changed.
#[derive(Debug, PartialEq, Eq)]
struct Changes {
    in_force: Vec<String>,
    /// These wait for a restart.
    waiting: Vec<String>,
    /// Whether it has another filter of the log, and the command line or the environment stands over it.
    overruled: bool,
}

impl Reloads {
    pub fn new(
        arguments: &RunArguments,
        started: Configuration,
        control: Option<Control>,
        handles: &Handles,
        (supervisor, mut watch): (Supervisor, Watch),
    ) -> Self {
        let arguments = configuration::settled(&arguments.config);
        watch.settle(&files(&arguments, &started.0));
        Self {
            watch,
            arguments,
            last: started.clone(),
            started,
            control,
            metrics: Arc::clone(&handles.metrics),
            supervisor,
        }
    }

    /// All of it, or nothing.
    fn try_reload(&mut self) -> Result<Changes> {
        if let Some(path) = self
            .arguments
            .config
            .as_ref()
            .filter(|path| path.exists() && !path.is_file())
        {
            return Err(anyhow!("`{}` is no file: a pipe may never end", path.display()));
        }
        let next = configuration::load_and_look(&self.arguments)?;
        limits::check(&next.1)?;
        let prepared = match (&self.control, &next.1.http) {
            (Some(control), Some(http)) => Some((control, control.prepare(http)?)),
            (Some(_), None) | (None, _) => None,
        };
        // From here on nothing is refused.
        if let Some((control, prepared)) = prepared {
            control.apply(prepared);
        }
        let logs = log_by(&next.1.log.filter).map_err(anyhow::Error::msg)?;
        let changes = changes(&self.started, &self.last, &next, logs);
        self.last = next;
        self.watch.settle(&files(&self.arguments, &self.last.0));
        Ok(changes)
    }
}

impl Reload for Reloads {
    fn is_asked(&mut self, asked: &Receiver<()>) -> bool {
        loop {
            if !self.last.1.watch {
                return asked.recv().is_ok();
            }
            match asked.recv_timeout(LOOK) {
                Ok(()) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => {
                    let files = files(&self.arguments, &self.last.0);
                    if self.watch.turned(&files) {
                        tracing::info!("a file of the configuration changed");
                        return true;
                    }
                }
            }
        }
    }

    fn reload(&mut self) {
        let _reloading = self.supervisor.reloading();
        // Before they are read: what changes meanwhile is another change.
        self.watch.note(&files(&self.arguments, &self.last.0));
        let configuration = configuration::described(&self.arguments);
        let Changes {
            in_force,
            waiting,
            overruled,
        } = match self.try_reload() {
            Ok(changes) => changes,
            Err(error) => {
                self.metrics.configuration.refused();
                return say_refused(&configuration, &error);
            }
        };
        self.metrics.configuration.applied(wall_clock(), !waiting.is_empty());
        say_applied(&configuration, &in_force);
        if overruled {
            tracing::warn!(
                "`log.filter` is another one now and changes nothing: `--log` or `RISKFLOW_LOG` stands over it"
            );
        }
        say_waiting(&waiting);
    }
}

/// Looks after the files of a configuration that is read after this.
pub fn watch(arguments: &ConfigArguments) -> Watch {
    let arguments = configuration::settled(arguments);
    Watch::new(&files(&arguments, &WrittenSettings::default()))
}

/// The files of a configuration: its own, those that it names, and those that it would name as it stands in its file now, for what cannot be
/// used may wait for one of them.
fn files(arguments: &ConfigArguments, last: &WrittenSettings) -> BTreeSet<PathBuf> {
    let mut files = last.files();
    if let Some(path) = &arguments.config {
        files.extend(configuration::named_in(path));
        files.insert(path.clone());
    }
    files
}

/// What is otherwise in the next configuration: since the last one, where it is in force at once; else since the start. `logs`: whether the
/// log goes by the configuration.
fn changes(started: &Configuration, last: &Configuration, next: &Configuration, logs: bool) -> Changes {
    fn between((before, was): &Configuration, (after, is): &Configuration) -> BTreeSet<String> {
        let mut fields = changed((before, was), (after, is));
        // No job goes by these.
        fields.retain(|field| !field.starts_with("bridge."));
        fields
    }
    let at_once = |field: &String| is_at_once(field, started.1.http.as_ref(), next.1.http.as_ref());
    let since_last = between(last, next);
    Changes {
        overruled: !logs && since_last.contains(FILTER),
        in_force: since_last
            .into_iter()
            .filter(|field| at_once(field) && (logs || field != FILTER))
            .collect(),
        waiting: between(started, next)
            .into_iter()
            .filter(|field| !at_once(field))
            .collect(),
    }
}

/// Whether a field is in force as soon as it is read, in a process that was started with one of these and has the other now. Those of the
/// reference (`config/riskflow.toml`) that are marked so.
fn is_at_once(field: &str, started: Option<&HttpSettings>, next: Option<&HttpSettings>) -> bool {
    // No job asks the registry.
    if field == FILTER || field == "reload.watch" || field.starts_with("kafka.schema_registry.") {
        return true;
    }
    let (Some(started), Some(next)) = (started, next) else {
        return false;
    };
    match field {
        "http.hosts" | "http.max_connections" => true,
        "http.tls.certificate" | "http.tls.key" => started.tls.is_some() && next.tls.is_some(),
        "http.actions.tokens" => started.actions.is_some() && next.actions.is_some(),
        "http.reading.tokens" | "http.reading.metrics" => started.reading.is_some() && next.reading.is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "[[http.actions.tokens]]\nname = \"a\"\nrole = \"duty\"\nregion = \"33\"\nsha256 = ";

    fn load(text: &str) -> Configuration {
        WrittenSettings::load(text, "riskflow.toml", &[]).unwrap()
    }

    fn of(started: &str, last: &str, next: &str) -> (Vec<String>, Vec<String>) {
        let told = changes(&load(started), &load(last), &load(next), true);
        assert!(!told.overruled);
        (told.in_force, told.waiting)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_waits_is_told_until_it_is_as_at_the_start() {
        let changed = "epoch.tick = \"10ms\"\n[log]\nfilter = \"debug\"";
        assert_eq!(of("", "", changed), (names(&["log.filter"]), names(&["epoch.tick"])));
        // Read once more: the filter is in force, the tick still waits.
        assert_eq!(of("", changed, changed), (names(&[]), names(&["epoch.tick"])));
        assert_eq!(of("", changed, ""), (names(&["log.filter"]), names(&[])));
        // No job asks the registry.
        let registry = "[kafka.schema_registry]\nurl = \"http://a\"";
        let url = names(&["kafka.schema_registry.url"]);
        assert_eq!(of("", "", registry), (url, names(&[])));
    }

    #[test]
    fn tokens_change_at_once_only_where_actions_were_and_are_on() {
        let on = |hash: &str| format!("[http.actions]\nenabled = true\n{TOKEN}\"{}\"", hash.repeat(64));
        let tokens = names(&["http.actions.tokens"]);
        assert_eq!(of(&on("a"), &on("a"), &on("b")), (tokens, names(&[])));
        let both = names(&["http.actions.enabled", "http.actions.tokens"]);
        assert_eq!(of("", "", &on("b")), (names(&[]), both.clone()));
        assert_eq!(of(&on("a"), &on("a"), ""), (names(&[]), both));
    }

    #[test]
    fn who_reads_changes_at_once_only_where_reading_needed_and_needs_a_token() {
        let on = |hash: &str| {
            let token = format!("{{ name = \"a\", sha256 = \"{}\" }}", hash.repeat(64));
            format!("[http.reading]\nenabled = true\ntokens = [{token}]")
        };
        let tokens = names(&["http.reading.tokens"]);
        assert_eq!(of(&on("a"), &on("a"), &on("b")), (tokens, names(&[])));
        let both = names(&["http.reading.enabled", "http.reading.tokens"]);
        assert_eq!(of(&on("a"), &on("a"), ""), (names(&[]), both));
    }

    #[test]
    fn where_the_command_line_says_what_is_logged_the_configuration_does_not() {
        let (before, next) = (load(""), load("[log]\nfilter = \"debug\""));
        let told = changes(&before, &before, &next, false);
        let expected = Changes {
            in_force: Vec::new(),
            waiting: Vec::new(),
            overruled: true,
        };
        assert_eq!(told, expected);
        assert!(!changes(&before, &next, &next, false).overruled, "once is enough");
    }

    #[test]
    fn the_reference_marks_what_changes_at_once() {
        let reference = include_str!("../../../../../config/riskflow.toml");
        // What stands behind that is of another process.
        let (of_jobs, of_the_bridge) = reference.split_once("\n[bridge]\n").unwrap();
        let (_, of_all) = of_the_bridge.split_once("\n[log]\n").unwrap();
        let marked = [of_jobs, of_all].map(|part| part.matches("# [reload] ").count());
        let http = HttpSettings::at("127.0.0.1:1".parse().unwrap());
        let http = HttpSettings {
            tls: Some(riskflow_config::TlsSettings {
                certificate: "c".into(),
                key: "k".into(),
            }),
            actions: Some(riskflow_config::ActionSettings { tokens: Vec::new() }),
            reading: Some(riskflow_config::ReadingSettings {
                tokens: Vec::new(),
                metrics: false,
            }),
            ..http
        };
        let fields = [
            "http.hosts",
            "http.max_connections",
            "http.tls.certificate",
            "http.tls.key",
            "http.actions.tokens",
            "http.reading.tokens",
            "http.reading.metrics",
        ];
        for field in fields {
            assert!(is_at_once(field, Some(&http), Some(&http)), "{field}");
            assert!(!is_at_once(field, None, Some(&http)), "{field}");
        }
        // Certificate and key have one mark.
        assert_eq!(marked, [6, 2]);
    }
}
