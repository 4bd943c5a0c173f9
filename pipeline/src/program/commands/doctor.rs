//! `riskflow doctor`: what a job needs of its machine and of its brokers, looked at without changing anything.
//!
//! Each check asks what a start would ask, by the same functions: the configuration as `check` does, topics as `topics --check` does,
//! open files as `run` does.

mod brokers;
mod finding;
mod machine;
mod memory;
mod owners;
mod ports;
mod schemas;
mod store;

use std::process::ExitCode;

use anyhow::Result;
use riskflow_config::Settings;
use riskflow_model::Problems;

use self::finding::Findings;
use super::configuration;
use crate::program::cli::{ConfigArguments, DoctorArguments};

/// Looks at everything, and says what to mend.
pub fn doctor(arguments: &DoctorArguments) -> Result<ExitCode> {
    let mut findings = Findings::default();
    if let Some(settings) = configured(&arguments.config, &mut findings)? {
        machine::open_files(&settings, &mut findings);
        machine::folders(&settings, &mut findings);
        ports::ports(&settings, &mut findings);
        // Where they do not answer, each further question would be waited for in vain once more.
        let answer = brokers::brokers(&settings, &mut findings);
        if answer {
            brokers::topics(&settings, &mut findings);
            brokers::rights(&settings, &mut findings);
        } else {
            brokers::topics_of_logs(&settings, &mut findings);
            findings.skip("topics, rights and clock", "they are looked at when the brokers answer");
        }
        schemas::schemas(&settings, &mut findings);
        store::checkpoints(&settings, answer, &mut findings);
        memory::memory(&settings, arguments.datastreams, answer, &mut findings);
    }
    findings.print(arguments.json);
    Ok(findings.code())
}

/// The settings, if they can be used.
fn configured(arguments: &ConfigArguments, findings: &mut Findings) -> Result<Option<Settings>> {
    const CHECK: &str = "configuration";
    let error = match configuration::load_and_look(arguments) {
        Ok((_, settings)) => {
            findings.ok(CHECK, configuration::described(arguments));
            return Ok(Some(settings));
        }
        Err(error) => error,
    };
    // What else is wrong is no finding: a file that is not there was a mistake of whoever named it.
    let Some(problems) = error.downcast_ref::<Problems>() else {
        return Err(error);
    };
    for problem in problems.iter() {
        let found = format!("`{}` is {}", problem.field, problem.found);
        findings.fail(CHECK, found, format!("give {}", problem.give));
    }
    findings.skip("everything else", "it is looked at when the configuration can be used");
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(sets: &[&str]) -> ConfigArguments {
        ConfigArguments {
            config: None,
            overrides: sets.iter().map(|set| (*set).to_owned()).collect(),
        }
    }

    #[test]
    fn every_problem_of_a_configuration_is_a_finding_with_its_cure() {
        let mut findings = Findings::default();
        let sets = ["cluster.workers=0", "epoch.tick=soon", "kafka.brokers=http://a"];
        assert!(configured(&arguments(&sets), &mut findings).unwrap().is_none());
        let told = findings.as_json();
        assert_eq!(told["ok"], false);
        let checks = told["checks"].as_array().unwrap();
        let failed: Vec<&str> = checks
            .iter()
            .filter(|check| check["state"] == "fail")
            .filter_map(|check| check["found"].as_str())
            .collect();
        assert_eq!(failed.len(), 3, "{told}");
        assert!(failed.contains(&"`cluster.workers` is 0"), "{failed:?}");
        assert_eq!(checks.last().unwrap()["state"], "skipped");
    }

    #[test]
    fn a_file_that_is_not_there_is_wrong_usage() {
        let arguments = ConfigArguments {
            config: Some("nowhere.toml".into()),
            overrides: Vec::new(),
        };
        let error = configured(&arguments, &mut Findings::default()).unwrap_err();
        assert!(error.downcast_ref::<crate::program::exit::Usage>().is_some(), "{error}");
    }
}
