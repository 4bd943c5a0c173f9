//! Which warning or incident is meant: a mistake of typing would stand among the refusals for ever.

use std::collections::BTreeSet;

use anyhow::Result;
use riskflow_config::{Output, Settings};
use riskflow_connectors::Verdict;
use riskflow_model::topic::Topic;

use super::super::tail::read_once;
use crate::program::exit::Usage;

/// An identifier may be given by so many characters of its beginning at least.
const LEAST: usize = 8;

/// So many identifiers are named where a beginning is that of several.
const NAMED: usize = 10;

/// The whole identifier of what is given by it or by its beginning. Where the output of the job cannot be read, as on another machine,
/// what is given: the job decides.
///
/// # Errors
///
/// [`Usage`] where there is none in the output, or several begin so.
pub fn whole(settings: &Settings, given: &str) -> Result<String> {
    if matches!(settings.output, Output::Files(_)) {
        return Ok(given.to_owned());
    }
    // What is over may still be acted on, and a warning need not have a case of its own.
    let topics = [Topic::CASE_STATE, Topic::WARNING_STATE, Topic::WARNING_HISTORY];
    let mut known: BTreeSet<(u16, String)> = BTreeSet::new();
    let read = read_once(settings, &topics, &mut |record| {
        let key = record.key.and_then(|key| std::str::from_utf8(key).ok());
        if let Some(key) = key.filter(|key| key.starts_with(given)) {
            let key = (record.topic.id(), key.to_owned());
            if record.payload.is_some() {
                known.insert(key);
            } else {
                known.remove(&key);
            }
        }
        Verdict::Taken
    });
    if let Err(error) = read {
        tracing::debug!(%error, "the cases cannot be read: the job decides what is meant");
        return Ok(given.to_owned());
    }
    let ids: BTreeSet<String> = known.into_iter().map(|(_, id)| id).collect();
    Ok(only(given, &ids)?)
}

/// The one that is meant, of those that begin so.
fn only(given: &str, ids: &BTreeSet<String>) -> Result<String, Usage> {
    if ids.contains(given) {
        return Ok(given.to_owned());
    }
    let long = given.chars().count() >= LEAST;
    let mut begins = ids.iter();
    let says = match (begins.next(), begins.next()) {
        (Some(id), None) if long => return Ok(id.clone()),
        (Some(_), Some(_)) if long => {
            let named: Vec<&str> = ids.iter().take(NAMED).map(String::as_str).collect();
            let more = if ids.len() > NAMED { ", …" } else { "" };
            format!(
                "`{given}` is how several begin: `{}`{more}; give more of it",
                named.join("`, `")
            )
        }
        (Some(_), _) => format!("`{given}` is too short: give {LEAST} characters or more of the identifier"),
        (None, _) => format!(
            "there is no warning or incident `{given}` whose case is kept (`/api/v1/cases`); `riskflow tail cases` shows what happened to all, to \
             those that are over and no longer kept, too. One that the job has not told of yet is acted on with `--unchecked`"
        ),
    };
    Err(Usage(format!("{says}. Nothing was appended")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_enough_where_only_one_begins_so() {
        let ids = |all: &[&str]| -> BTreeSet<String> { all.iter().map(|id| (*id).to_owned()).collect() };
        let both = ids(&["f630a1c2aa", "f630a1c2bb"]);
        assert_eq!(only("f630a1c2b", &ids(&["f630a1c2bb"])).unwrap(), "f630a1c2bb");
        assert_eq!(only("f630a1c2aa", &both).unwrap(), "f630a1c2aa");
        assert_eq!(only("near", &ids(&["near", "near the harbour"])).unwrap(), "near");
        for (given, known, says) in [
            (
                "f630a1c2",
                &both,
                "`f630a1c2` is how several begin: `f630a1c2aa`, `f630a1c2bb`; give more of it",
            ),
            (
                "f630",
                &ids(&["f630a1c2aa"]),
                "`f630` is too short: give 8 characters or more",
            ),
            ("f630a1c3", &ids(&[]), "there is no warning or incident `f630a1c3`"),
        ] {
            let error = only(given, known).unwrap_err().to_string();
            assert!(
                error.starts_with(says) && error.ends_with("Nothing was appended"),
                "{error}"
            );
        }
    }
}
