//! `riskflow checkpoint take`: asks a running job for a checkpoint, and waits until it is whole.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hyper::{Method, StatusCode};
use riskflow_config::Settings;
use riskflow_connectors::checkpoint::is_pin_name;
use riskflow_model::duration;
use serde_json::{Value, json};

use super::keeps;
use crate::program::bounded;
use crate::program::cli::{EXIT_NO_ANSWER, TakeArguments};
use crate::program::client::{Answer, Client, Place, Trust};
use crate::program::exit::Usage;
use crate::program::terminal::{say, tell};

/// So long an answer may take: longer than a server lets one wait.
const PATIENCE: Duration = Duration::from_secs(40);

/// The variable with the token.
const TOKEN: &str = "RISKFLOW_TOKEN";

/// Asks for a checkpoint, and waits.
pub fn take(settings: &Settings, arguments: &TakeArguments, as_json: bool) -> Result<ExitCode> {
    keeps(settings)?;
    if let Some(name) = arguments.pin.as_deref().filter(|name| !is_pin_name(name)) {
        let says = format!("`--pin` is `{name}`; give a letter, then letters, digits, `.`, `_` or `-`, 64 at most");
        return Err(Usage(says).into());
    }
    let patience = duration::parse(&arguments.wait)
        .ok()
        .and_then(|millis| u64::try_from(millis).ok());
    let patience = patience.ok_or_else(|| {
        Usage(format!(
            "`--wait` is `{}`; give a duration such as `10m`",
            arguments.wait
        ))
    })?;
    let client = client(settings, arguments)?;
    let until = Instant::now() + Duration::from_millis(patience);
    let asked = ask(&client, arguments.pin.as_deref())?;
    let request = asked["request"]
        .as_u64()
        .context("the job does not say which request it is")?;
    let joined = asked["joined"].as_bool().unwrap_or_default();
    if joined {
        tell("a checkpoint was under way already: waiting for that");
    }
    loop {
        let answer = client.send(Method::GET, &format!("/api/v1/checkpoints/{request}"));
        let answer = answer.context(
            "it is not known what became of the checkpoint: the job may have ended; `riskflow checkpoint list` shows what is there",
        )?;
        let state = answer.body["state"].as_str().unwrap_or_default().to_owned();
        match (answer.status, &*state) {
            (StatusCode::OK, "whole") => {
                let refused = arguments
                    .pin
                    .as_deref()
                    .and_then(|name| answer.body["refused"][name].as_str());
                let refused = refused.map(str::to_owned);
                show(answer.body, joined, as_json);
                if let (Some(why), Some(name)) = (refused, &arguments.pin) {
                    bail!(
                        "the checkpoint is whole, but is not kept as `{name}`: {why}; give it another name with `riskflow checkpoint pin`"
                    );
                }
                return Ok(ExitCode::SUCCESS);
            }
            (StatusCode::OK, "failed") => bail!("the checkpoint failed: {}", answer.error()),
            (StatusCode::ACCEPTED, _) if Instant::now() < until => {}
            (StatusCode::ACCEPTED, _) => {
                tell(format_args!(
                    "the checkpoint is not whole within {} (`--wait`); the job goes on with it, and `riskflow checkpoint list` shows it",
                    arguments.wait
                ));
                return Ok(ExitCode::from(EXIT_NO_ANSWER));
            }
            _ => bail!("it is not known what became of the checkpoint: {}", answer.error()),
        }
    }
}

/// What the job says of the request.
fn ask(client: &Client, pin: Option<&str>) -> Result<Value> {
    // A name has no character that a URL would have to write otherwise.
    let query = pin.map(|name| format!("?pin={name}")).unwrap_or_default();
    let answer = client
        .send(Method::POST, &format!("/api/v1/checkpoints{query}"))
        .context(
            "no checkpoint was asked for: the job must be running and serve HTTP there (`http.listen`, `--url`)",
        )?;
    if answer.status == StatusCode::ACCEPTED {
        return Ok(answer.body);
    }
    if answer.status == StatusCode::SERVICE_UNAVAILABLE {
        bail!("{}", refusal(&answer));
    }
    Err(Usage(refusal(&answer)).into())
}

/// Why a request was refused, and what to do.
fn refusal(answer: &Answer) -> String {
    let said = answer.error();
    match answer.status {
        StatusCode::UNAUTHORIZED => format!("the job refused: {said}; give a token of `[[http.actions.tokens]]`"),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            format!("the job takes no requests for checkpoints: {said}")
        }
        _ => format!("the job refused: {said}"),
    }
}

/// Prints the checkpoint.
fn show(mut body: Value, joined: bool, as_json: bool) {
    if as_json {
        body["joined"] = json!(joined);
        say(body);
        return;
    }
    let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
    let pins: Vec<&str> = body["pins"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let kept = if pins.is_empty() {
        String::new()
    } else {
        format!(", kept as `{}`", pins.join("`, `"))
    };
    say(format_args!(
        "checkpoint {} of epoch {}: {} bytes in {} ms{kept}",
        text("checkpoint"),
        text("epoch"),
        body["bytes"],
        body["took_ms"]
    ));
}

fn client(settings: &Settings, arguments: &TakeArguments) -> Result<Client> {
    let token = match &arguments.token_file {
        Some(file) => bounded::text(file, 1 << 20)
            .map_err(|error| Usage(format!("could not read `{}`: {error}", file.display())))?,
        None => std::env::var(TOKEN).map_err(|_| {
            Usage(format!(
                "there is no token: give one that may ask for checkpoints (`checkpoint = true` in `[[http.actions.tokens]]`) in the \
                 variable `{TOKEN}`, or its file with `--token-file`"
            ))
        })?,
    };
    let place = match (&arguments.url, &settings.http) {
        (Some(url), _) => Place::of(url)?,
        (None, Some(http)) => Place::of_job(http.address, http.tls.is_some()),
        (None, None) => {
            let says = "the job serves no HTTP (`http.enabled = false`): a checkpoint cannot be asked for; one is taken at each stop \
                        (`checkpoint.at_stop`), and `riskflow checkpoint pin NAME` keeps the newest";
            return Err(Usage(says.to_owned()).into());
        }
    };
    let of_job = settings.http.as_ref().and_then(|http| http.tls.as_ref());
    let certificate = arguments.certificate.as_deref();
    let certificate = certificate.or_else(|| of_job.map(|tls| &*tls.certificate));
    Client::new(place, Some(token.trim()), Trust::Same(certificate), PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let answer = |status, error: &str| Answer::of(status, json!({ "error": error }).to_string().as_bytes());
        let said = refusal(&answer(StatusCode::UNAUTHORIZED, "there is no token"));
        assert!(
            said.contains("there is no token") && said.contains("http.actions.tokens"),
            "{said}"
        );
        let said = refusal(&answer(StatusCode::NOT_FOUND, "there is no `POST /`"));
        assert!(said.contains("takes no requests"), "{said}");
    }
}
