//! `riskflow explain`, and explanations over HTTP: why a warning, why not, and what was known.

mod asset;
mod evidence;
mod gathered;
mod known;
mod moment;
pub(super) mod near;
mod selected;
mod told;
mod warning;
mod why_not;
mod within;

use std::fmt;
use std::process::ExitCode;

use anyhow::Result;
use riskflow::runtime::clock::wall_clock;
use riskflow::runtime::http::{NoAnswer, Question};
use riskflow_config::Settings;
use riskflow_model::{Millis, Problems};

use super::{configuration, tail};
use crate::program::cli::ExplainArguments;
use crate::program::exit::{GivenUp, Missing, Usage};
use crate::program::terminal::{say, say_in_colour};
use asset::Asked;
use told::Told;

/// Who asks, and so in whose words it is told what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    Terminal,
    Http,
}

/// Who waits for an answer, and what may be spent on it.
#[derive(Clone, Copy)]
pub struct Patience<'a> {
    asks: Asks,
    /// Whether somebody waits for it still; asked again and again.
    waits: &'a dyn Fn() -> bool,
    /// So many rows and records of an asset are held at most.
    most: usize,
}

impl Patience<'static> {
    /// Whoever asks at a terminal ends it when it takes too long.
    const ENDLESS: Self = Self {
        asks: Asks::Terminal,
        waits: &|| true,
        most: usize::MAX,
    };
}

/// There are more rows and records of an asset, or deltas, than may be held.
#[derive(Debug)]
struct TooMuch(usize);

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(most) = self;
        write!(
            f,
            "it rests on more than {most} records, which are not held beside a job; `riskflow explain` beside it has no such limit"
        )
    }
}

impl std::error::Error for TooMuch {}

/// Explains a warning; with `--at` what the rules said of an asset, or without one what was open.
pub fn explain(arguments: &ExplainArguments) -> Result<ExitCode> {
    // It serves nothing: what a server may not have beside the clock of a history is no matter.
    let mut config = arguments.config.clone();
    config.overrides.push("http.actions.enabled=false".to_owned());
    let (_, settings) = configuration::load(&config)?;
    let now = Millis(wall_clock());
    let as_of = time(&settings, now, "--as-of", arguments.as_of.as_deref())?;
    let at = time(&settings, now, "--at", arguments.at.as_deref())?;
    match (arguments.what.as_deref(), at) {
        (Some(asset), Some(at)) => {
            let asked = Asked {
                asset,
                at,
                as_of,
                rule: arguments.rule.as_deref(),
                all_rules: arguments.all_rules,
            };
            let answer = asset::find(&settings, now, &asked, Patience::ENDLESS)?;
            if arguments.json {
                say(serde_json::to_string(&answer)?);
            } else {
                let lines = why_not::for_people(&answer, &tail::names(&settings));
                lines.iter().for_each(say_in_colour);
            }
        }
        (Some(id), None) => warning::explain(&settings, id, as_of, arguments.json)?,
        (None, Some(at)) => {
            let asked = known::Asked {
                at,
                as_of,
                within: arguments.within.as_deref(),
                seen: None,
                rule: arguments.rule.as_deref(),
            };
            let answer = known::find(&settings, now, &asked, Patience::ENDLESS)?;
            if arguments.json {
                say(serde_json::to_string(&answer)?);
            } else {
                let lines = known::for_people(&answer, &tail::names(&settings));
                lines.iter().for_each(say_in_colour);
            }
        }
        (None, None) => {
            let says = "nothing is asked about: give a warning, an asset with `--at TIME`, or `--at TIME` alone";
            return Err(Usage(says.to_owned()).into());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A time that is given, if one is.
fn time(settings: &Settings, now: Millis, name: &str, text: Option<&str>) -> Result<Option<Millis>> {
    text.map(|text| moment::moment(name, text, now, &settings.zone))
        .transpose()
}

/// So many rows and records of an asset, or deltas, are held beside a job, of some hundred bytes each.
const MOST: usize = 500_000;

/// What `riskflow explain --json` prints, for whoever asks over HTTP.
///
/// # Errors
///
/// When there is no answer; with the names that parameters have there.
pub fn over_http(settings: &Settings, question: &Question, waits: &dyn Fn() -> bool) -> Result<String, NoAnswer> {
    let patience = Patience {
        asks: Asks::Http,
        waits,
        most: MOST,
    };
    found(settings, question, patience).map_err(|error| no_answer(&error))
}

fn found(settings: &Settings, question: &Question, patience: Patience<'_>) -> Result<String> {
    let now = Millis(wall_clock());
    match question {
        Question::Warning { id, as_of } => {
            let as_of = time(settings, now, "as_of", as_of.as_deref())?;
            let told = Told::read(settings, id, as_of, patience)?;
            Ok(warning::for_machines(&told, as_of).to_string())
        }
        Question::Asset {
            id,
            at,
            as_of,
            rule,
            all_rules,
        } => {
            let asked = Asked {
                asset: id,
                at: moment::moment("at", at, now, &settings.zone)?,
                as_of: time(settings, now, "as_of", as_of.as_deref())?,
                rule: rule.as_deref(),
                all_rules: *all_rules,
            };
            Ok(serde_json::to_string(&asset::find(settings, now, &asked, patience)?)?)
        }
        Question::Known {
            at,
            as_of,
            within,
            rule,
            seen,
        } => {
            let asked = known::Asked {
                at: moment::moment("at", at, now, &settings.zone)?,
                as_of: time(settings, now, "as_of", as_of.as_deref())?,
                within: within.as_deref(),
                seen: *seen,
                rule: rule.as_deref(),
            };
            Ok(serde_json::to_string(&known::find(settings, now, &asked, patience)?)?)
        }
    }
}

fn no_answer(error: &anyhow::Error) -> NoAnswer {
    let said = error.to_string();
    if error.downcast_ref::<GivenUp>().is_some() {
        return NoAnswer::GivenUp;
    }
    if error.downcast_ref::<Missing>().is_some() {
        return NoAnswer::Missing(said);
    }
    if error.downcast_ref::<TooMuch>().is_some() {
        return NoAnswer::TooMuch(said);
    }
    if error.downcast_ref::<Usage>().is_some() || error.downcast_ref::<Problems>().is_some() {
        let options = [("`--at`", "`at`"), ("`--as-of`", "`as_of`"), ("`--within`", "`within`")];
        let said = options
            .iter()
            .fold(said, |said, (option, name)| said.replace(option, name));
        return NoAnswer::Refused(said);
    }
    NoAnswer::Failed(format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn each_error_is_told_as_what_it_is() {
        let read = |error: anyhow::Error| no_answer(&error.context("could not read the rows"));
        assert!(matches!(read(GivenUp.into()), NoAnswer::GivenUp));
        assert!(matches!(read(anyhow!("no broker")), NoAnswer::Failed(said) if said.ends_with("rows: no broker")));
        assert!(
            matches!(no_answer(&TooMuch(7).into()), NoAnswer::TooMuch(said) if said.contains("more than 7 records"))
        );
        let missing = Missing("there is no asset `a`".to_owned());
        assert!(matches!(no_answer(&missing.into()), NoAnswer::Missing(said) if said == "there is no asset `a`"));
        let usage = Usage("`--as-of` is 1, before `--at`, 2".to_owned());
        assert!(matches!(no_answer(&usage.into()), NoAnswer::Refused(said) if said == "`as_of` is 1, before `at`, 2"));
    }
}
