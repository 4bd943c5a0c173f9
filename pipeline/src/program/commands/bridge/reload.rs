//! Reading the configuration once more while the bridge runs, on SIGHUP. Each attempt to send goes by what is in force then: a receiver that
//! is down may be corrected without losing its place.

use std::sync::Arc;

use arc_swap::ArcSwap;
use riskflow::bridge::{Common, Metrics};
use riskflow_config::{BridgeSettings, changed};
use tokio::sync::watch::Sender;

use super::super::configuration;
use super::super::reload::{Configuration, Reload, say_applied, say_refused, say_waiting};
use crate::program::cli::ConfigArguments;
use crate::program::terminal::log_by;

/// Reads the configuration again whenever it is asked for.
pub struct Reloads {
    arguments: ConfigArguments,
    /// What the bridge was started with: what needs a restart is as it was then.
    started: Configuration,
    /// What was read last and could be used.
    last: Configuration,
    settings: Arc<ArcSwap<BridgeSettings>>,
    /// Counts them, for whoever waits to try again.
    reloads: Sender<u64>,
    metrics: Arc<Metrics>,
}

impl Reloads {
    pub fn new(arguments: &ConfigArguments, started: Configuration, common: &Common, reloads: Sender<u64>) -> Self {
        Self {
            arguments: configuration::settled(arguments),
            last: started.clone(),
            started,
            settings: Arc::clone(&common.settings),
            reloads,
            metrics: Arc::clone(&common.metrics),
        }
    }
}

impl Reload for Reloads {
    fn reload(&mut self) {
        let configuration = configuration::described(&self.arguments);
        let next = match configuration::load_and_look(&self.arguments) {
            Ok(next) => next,
            Err(error) => {
                self.metrics.config_refused();
                return say_refused(&configuration, &error);
            }
        };
        // It was looked at: it is a filter.
        let logs = log_by(&next.1.log.filter).unwrap_or(false);
        self.settings
            .store(Arc::new(in_force(&self.started.1.bridge, &next.1.bridge)));
        self.reloads.send_modify(|reloads| *reloads += 1);
        self.metrics.config_applied();
        let fields = |(before, was): &Configuration| changed((before, was), (&next.0, &next.1));
        let is_of_log = |field: &String| logs && field == "log.filter";
        let at_once = |field: &String| is_at_once(field, &self.started.1.bridge, &next.1.bridge) || is_of_log(field);
        let in_force: Vec<String> = fields(&self.last).into_iter().filter(at_once).collect();
        let waiting: Vec<String> = (fields(&self.started).into_iter())
            .filter(|field| is_of_the_bridge(field) && !at_once(field))
            .collect();
        say_applied(&configuration, &in_force);
        say_waiting(&waiting);
        self.last = next;
    }
}

/// What is sent, where and how from now on. A receiver that there was is there until a restart, and one that there was not is not.
fn in_force(started: &BridgeSettings, next: &BridgeSettings) -> BridgeSettings {
    BridgeSettings {
        folder: started.folder.clone(),
        address: started.address,
        sending: next.sending,
        webhook: still(started.webhook.as_ref(), next.webhook.as_ref()),
        alertmanager: still(started.alertmanager.as_ref(), next.alertmanager.as_ref()),
    }
}

fn still<R: Clone>(started: Option<&R>, next: Option<&R>) -> Option<R> {
    started.map(|started| next.unwrap_or(started).clone())
}

/// Whether a field is in force as soon as it is read. Those of the reference (`config/riskflow.toml`) that are marked so.
fn is_at_once(field: &str, started: &BridgeSettings, next: &BridgeSettings) -> bool {
    match field {
        "bridge.timeout" | "bridge.retry.first" | "bridge.retry.longest" => true,
        "bridge.webhook.url" | "bridge.webhook.secrets" | "bridge.webhook.authorization" => {
            started.webhook.is_some() && next.webhook.is_some()
        }
        "bridge.alertmanager.urls"
        | "bridge.alertmanager.authorization"
        | "bridge.alertmanager.repeat"
        | "bridge.alertmanager.hold"
        | "bridge.alertmanager.link" => started.alertmanager.is_some() && next.alertmanager.is_some(),
        _ => false,
    }
}

/// Whether the bridge goes by a field: all others are the job's.
fn is_of_the_bridge(field: &str) -> bool {
    ["bridge.", "kafka.", "output.", "topics.prefix", "log.filter"]
        .iter()
        .any(|of| field.starts_with(of))
}

#[cfg(test)]
mod tests {
    use riskflow_config::WrittenSettings;

    use super::*;

    const BOTH: &str = "[bridge.webhook]\nurl = \"http://a/b\"\nsecrets = [\"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"]\n\
                        [bridge.alertmanager]\nurls = [\"http://a:9093\"]\n";

    fn bridge(text: &str) -> BridgeSettings {
        WrittenSettings::load(text, "riskflow.toml", &[]).unwrap().1.bridge
    }

    #[test]
    fn a_receiver_comes_and_goes_with_a_restart_and_is_corrected_at_once() {
        let (none, both) = (bridge("bridge.timeout = \"1s\""), bridge(BOTH));
        assert_eq!(in_force(&none, &both).webhook, None);
        let kept = in_force(&both, &none);
        assert_eq!((&kept.webhook, kept.sending), (&both.webhook, none.sending));
        let other = bridge(&BOTH.replace("a:9093", "b:9093"));
        assert_eq!(in_force(&both, &other).alertmanager, other.alertmanager);
        assert!(is_at_once("bridge.alertmanager.urls", &both, &other));
        assert!(!is_at_once("bridge.alertmanager.urls", &both, &none));
        assert!(!is_at_once("bridge.path", &both, &other));
    }

    #[test]
    fn the_reference_marks_what_changes_at_once() {
        let reference = include_str!("../../../../../config/riskflow.toml");
        let (_, of_the_bridge) = reference.split_once("\n[bridge]\n").unwrap();
        let (of_the_bridge, _) = of_the_bridge.split_once("\n[log]\n").unwrap();
        // `retry` has one mark for both of its fields, and so has `webhook` for its three; that of `urls` is for `authorization`, too.
        assert_eq!(of_the_bridge.matches("# [reload] ").count(), 7);
    }
}
