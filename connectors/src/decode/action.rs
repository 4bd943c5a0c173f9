//! What people do about a case.

use riskflow_model::Check;
use riskflow_model::action::{Action, Verb};

use super::Rejection;
use super::reject::{done, parse};
use super::rows::same_key;

/// Decodes and checks an action: also for those that come by HTTP or from the command line.
///
/// # Errors
///
/// Everything wrong with it.
pub fn decode_action(text: &str) -> Result<Action, Rejection> {
    let action: Action = parse(text)?;
    let mut check = Check::default();
    let Action { id, warning, actor, .. } = &action;
    for (name, value) in [("id", &**id), ("warning", &**warning), ("actor", &**actor)] {
        check.identifier(name, value);
    }
    check.identifier_if_any("role", Some(&*action.role).filter(|role| !role.is_empty()));
    check.identifier_if_any("unit", action.unit.as_deref());
    check.identifier_if_any("task", action.task.as_deref());
    check.identifier_if_any("assignee", action.assignee.as_deref());
    if let Some(evidence) = &action.evidence {
        if evidence.trim_ascii().is_empty() {
            check.wrong("evidence", "empty", "where it is");
        }
        check.text("evidence", evidence);
    }
    check.text("text", &action.text);
    let verb = action.action;
    let says_why =
        matches!(verb, Verb::Comment | Verb::Reject | Verb::Escalate) || (verb == Verb::Archive && action.overrides);
    let needed = [
        ("assignee", verb == Verb::Assign && action.assignee.is_none()),
        ("evidence", verb == Verb::Attach && action.evidence.is_none()),
        ("text", says_why && action.text.trim_ascii().is_empty()),
        ("until", verb == Verb::Suppress && action.until.is_none()),
    ];
    for (name, _) in needed.into_iter().filter(|(_, missing)| *missing) {
        check.wrong(name, "missing", &format!("it: `{}` needs it", verb.name()));
    }
    done(check, action)
}

/// The key of the record, if there is one, must be the case.
pub(super) fn decode(key: Option<&[u8]>, text: &str) -> Result<Action, Rejection> {
    let action = decode_action(text)?;
    same_key(key, "warning", &action.warning)?;
    Ok(action)
}
