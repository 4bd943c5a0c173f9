//! `riskflow act`.

use std::process::ExitCode;
use std::time::Duration;

mod named;
mod outcome;

use anyhow::{Context as _, Result, anyhow};
use riskflow::runtime::clock::wall_clock;
use riskflow_connectors::{InRecord, decode_action, open_append};
use riskflow_model::action::Action;
use riskflow_model::topic::Topic;
use riskflow_model::{Id, Millis, Text, duration};
use serde_json::json;

use self::outcome::Watch;
use super::configuration;
use crate::program::cli::{ActArguments, EXIT_CONFIGURATION};
use crate::program::escape;
use crate::program::exit::Usage;
use crate::program::terminal::{complain, say};

/// Appends an action, and waits until it is durable.
pub fn act(arguments: &ActArguments) -> Result<ExitCode> {
    let (_, settings) = configuration::load(&arguments.config)?;
    configuration::needs(&settings, Topic::IN_ACTION)?;
    let now = Millis(wall_clock());
    let patience = arguments.wait.as_deref().map(patience).transpose()?;
    // What is wrong in itself is said before anything is opened.
    if let Err(error) = payload(arguments, &arguments.warning, now) {
        complain(&error);
        return Ok(ExitCode::from(EXIT_CONFIGURATION));
    }
    let mut way_in =
        open_append(&settings.input, &settings.topics, Topic::IN_ACTION).context("could not open `in.action`")?;
    let warning = match arguments.unchecked {
        true => arguments.warning.clone(),
        false => named::whole(&settings, &arguments.warning)?,
    };
    let payload = payload(arguments, &warning, now)?;
    // Looked at before there is anything to see, so that nothing is missed.
    let watch = patience.map(|_| Watch::open(&settings, &payload.id, &warning, arguments.id.is_some()));
    let watch = watch.transpose().context("could not look for the outcome")?;
    let record = InRecord {
        arrival: now,
        key: warning,
        payload: Some(payload.record),
    };
    let answer = way_in.append(&[record]).pop();
    let appended = answer
        .ok_or_else(|| anyhow!("nothing was appended"))?
        .context("the action is not known to be durable; give the same `--id` to try again")?;
    let (id, partition, offset) = (&payload.id, appended.partition, appended.offset);
    let mut told = json!({ "id": id, "partition": partition, "offset": offset });
    if !arguments.json {
        let id = escape::line(id);
        say(format_args!("{id} (in.action, partition {partition}, offset {offset})"));
    }
    let Some((mut watch, patience)) = watch.zip(patience) else {
        if arguments.json {
            say(told);
        }
        return Ok(ExitCode::SUCCESS);
    };
    let outcome = watch.wait(appended, patience)?;
    if arguments.json {
        outcome.note(&mut told);
        say(told);
    } else {
        say(escape::line(&outcome.to_string()));
    }
    Ok(outcome.code())
}

struct Payload {
    id: Id<Action>,
    record: Vec<u8>,
}

/// The action as JSON, checked as the job checks it.
fn payload(arguments: &ActArguments, warning: &str, now: Millis) -> Result<Payload> {
    let text = |text: &Option<String>| text.as_deref().map(Text::from);
    let id = arguments.id.as_deref().map(Id::from);
    let id = id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string().into());
    let until = arguments.until.as_deref().map(|until| moment(until, now)).transpose()?;
    let actor = arguments.actor.clone().or_else(|| std::env::var("USER").ok());
    let actor = actor
        .ok_or_else(|| anyhow!("it is not known who did it: there is no login name (`$USER`); give `--actor NAME`"))?;
    let action = Action {
        id: id.clone(),
        warning: warning.into(),
        action: arguments.verb,
        actor: actor.into(),
        role: arguments.role.as_str().into(),
        unit: arguments.unit.as_deref().map(Id::from),
        time: arguments.time.unwrap_or(now),
        text: arguments.text.as_str().into(),
        task: text(&arguments.task),
        assignee: text(&arguments.assignee),
        evidence: text(&arguments.evidence),
        until,
        overrides: arguments.although,
    };
    let record = serde_json::to_string(&action)?;
    decode_action(&record).map_err(|rejection| anyhow!(rejection.detail))?;
    Ok(Payload {
        id,
        record: record.into_bytes(),
    })
}

/// How long to wait.
pub(super) fn patience(text: &str) -> Result<Duration> {
    let millis = duration::parse(text).ok().and_then(|millis| u64::try_from(millis).ok());
    let millis = millis.ok_or_else(|| Usage(format!("`--wait` is `{text}`; give a duration such as `30s`")))?;
    Ok(Duration::from_millis(millis))
}

/// A time, or how long from now on.
fn moment(text: &str, now: Millis) -> Result<Millis> {
    if let Ok(millis) = duration::parse(text) {
        return Ok(now + riskflow_model::Duration(millis));
    }
    text.parse()
        .map_err(|error| anyhow!("`--until`: {error}, or a duration such as `2h`"))
}
