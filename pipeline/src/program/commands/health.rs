//! `riskflow health`: asks a running process how it is.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hyper::{Method, StatusCode};
use riskflow_config::HttpSettings;
use serde::Deserialize;
use serde_json::json;

use super::configuration;
use crate::program::cli::HealthArguments;
use crate::program::client::{Answer, Client, Place, Trust};
use crate::program::exit::Usage;
use crate::program::terminal::say;

/// How long an answer may take. Whoever runs it as a health check has a bound of its own.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked.
const READY: &str = "/readyz";

/// Asks, and prints the state; the exit code says whether it is live.
pub fn health(arguments: &HealthArguments) -> Result<ExitCode> {
    let place = place(arguments)?;
    let url = place.url(READY);
    let told = match ask(place) {
        Ok(told) => told,
        Err(error) if arguments.json => {
            let reason = format!("{error:#}");
            say(json!({ "url": url, "state": null, "live": false, "reason": reason }));
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error),
    };
    let Told { state, live, reason } = &told;
    if arguments.json {
        say(json!({ "url": url, "state": state, "live": live, "reason": reason }));
    } else {
        let state = state.replace('_', " ");
        say(reason
            .as_ref()
            .map_or(state.clone(), |reason| format!("{state}: {reason}")));
    }
    Ok(if *live { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a process says of itself.
#[derive(Debug, Deserialize)]
struct Told {
    state: String,
    live: bool,
    reason: Option<String>,
}

/// Whom to ask.
fn place(arguments: &HealthArguments) -> Result<Place> {
    if let Some(url) = &arguments.url {
        return Ok(Place::of(url)?.without(READY));
    }
    let (_, settings) = configuration::load(&arguments.config)?;
    let off =
        || Usage("HTTP is off (`http.enabled = false`): nobody can be asked; name another with `--url`".to_owned());
    Ok(served(&settings.http.ok_or_else(off)?)?)
}

/// Where a process with these settings is to be asked on its own machine.
fn served(http: &HttpSettings) -> Result<Place, Usage> {
    if http.address.port() == 0 {
        let why = "`http.listen` has port 0, which the system chooses anew at each start; name the place with `--url`";
        return Err(Usage(why.to_owned()));
    }
    Ok(Place::of_job(http.address, http.tls.is_some()))
}

/// Nothing secret is sent, and what comes back is believed for what it is.
fn ask(place: Place) -> Result<Told> {
    let url = place.url(READY);
    let client = Client::new(place, None, Trust::Anybody, PATIENCE)?;
    let answer = client.send(Method::GET, READY)?;
    read(&answer).with_context(|| format!("{url} does not say how it is"))
}

/// What an answer says.
fn read(answer: &Answer) -> Result<Told> {
    let Answer { status, body, text } = answer;
    if *status != StatusCode::OK && *status != StatusCode::SERVICE_UNAVAILABLE {
        bail!("its answer is {status}: {text}");
    }
    Told::deserialize(body).with_context(|| format!("its answer is no state of a process: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_asked_where_it_listens_if_that_is_known() {
        let url = |listens: &str| served(&HttpSettings::at(listens.parse().unwrap())).map(|place| place.url(READY));
        assert_eq!(url("0.0.0.0:9464").unwrap(), "http://127.0.0.1:9464/readyz");
        assert!(url("127.0.0.1:0").is_err());
    }

    #[test]
    fn only_what_says_a_state_is_an_answer() {
        let read = |status, body: &[u8]| read(&Answer::of(status, body));
        let live = read(StatusCode::OK, br#"{"state":"live","live":true,"reason":null}"#).unwrap();
        assert!(live.live && live.reason.is_none());
        let body = br#"{"state":"catching_up","live":false,"reason":"because"}"#;
        let not_yet = read(StatusCode::SERVICE_UNAVAILABLE, body).unwrap();
        assert_eq!((not_yet.state.as_str(), not_yet.live), ("catching_up", false));
        let said = |status, body| read(status, body).unwrap_err().to_string();
        assert!(said(StatusCode::MISDIRECTED_REQUEST, &b"`Host` is"[..]).contains("`Host` is"));
        assert!(said(StatusCode::OK, &b"<html>"[..]).contains("<html>"));
    }
}
