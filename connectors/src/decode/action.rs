//! What people do about a case.

use riskflow_model::action::{Action, Verb};
use riskflow_model::limit::{ID_BYTES, TEXT_BYTES};
use riskflow_model::output::Reason;

use super::Rejection;
use super::bounds::short;
use super::reject::{filled, of_parser};

/// Decodes and checks an action: also for those that come by HTTP or from the command line.
///
/// # Errors
///
/// The first thing that is wrong with it.
pub fn decode_action(text: &str) -> Result<Action, Rejection> {
    let action: Action = serde_json::from_str(text).map_err(|error| of_parser(text, &error))?;
    let Action { id, warning, actor, .. } = &action;
    for (name, value) in [("id", id), ("warning", warning), ("actor", actor)] {
        filled(name, value)?;
        short(name, value, ID_BYTES)?;
    }
    short("text", &action.text, TEXT_BYTES)?;
    short("role", &action.role, ID_BYTES)?;
    let others = [
        ("unit", &action.unit, false),
        ("task", &action.task, false),
        ("assignee", &action.assignee, action.action == Verb::Assign),
        ("evidence", &action.evidence, action.action == Verb::Attach),
    ];
    for (name, value, needed) in others {
        match value {
            Some(value) => {
                filled(name, value)?;
                short(name, value, TEXT_BYTES)?;
            }
            None if needed => return Err(missing(name, action.action)),
            None => {}
        }
    }
    let says_why = matches!(action.action, Verb::Comment | Verb::Reject | Verb::Escalate)
        || (action.action == Verb::Archive && action.overrides);
    if says_why && action.text.trim_ascii().is_empty() {
        return Err(missing("text", action.action));
    }
    if action.action == Verb::Suppress && action.until.is_none() {
        return Err(missing("until", action.action));
    }
    Ok(action)
}

/// The key of the record, if there is one, must be the case.
pub(super) fn decode(key: Option<&[u8]>, text: &str) -> Result<Action, Rejection> {
    let action = decode_action(text)?;
    if let Some(key) = key.filter(|key| *key != action.warning.as_bytes()) {
        let key = String::from_utf8_lossy(key);
        let detail = format!(
            "the record's key is `{key}`, but its `warning` is `{}`; give the same",
            action.warning
        );
        return Err(Rejection::new(Reason::KeyMismatch, detail));
    }
    Ok(action)
}

fn missing(name: &str, verb: Verb) -> Rejection {
    Rejection::field(name, "missing", &format!("it: `{}` needs it", verb.name()))
}
