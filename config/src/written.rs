//! Settings as written in `riskflow.toml`.

use riskflow_model::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::origin::{Origin, Origins};
use crate::read;
use crate::settings::Settings;

mod answer;
mod bridge;
mod case;
mod http;
mod log;
mod pace;
mod place;
mod process;
mod reload;
mod registry;
mod tracing;

pub use answer::{WrittenCuts, WrittenRisk, WrittenTime, WrittenUnknown, WrittenUnmatched};
pub use bridge::WrittenBridge;
pub use case::WrittenCase;
pub use http::WrittenHttp;
pub use log::WrittenLog;
pub use pace::{WrittenClock, WrittenCluster, WrittenEpoch, WrittenRecovery};
pub use place::{Kind, WrittenCheckpoint, WrittenInput, WrittenKafka, WrittenOutput, WrittenTopics};
pub use process::WrittenProcess;
pub use registry::WrittenSchemaRegistry;
pub use reload::WrittenReload;
pub use tracing::WrittenTracing;

/// `riskflow.toml`: every field has a default, so that an empty file is a job on the embedded log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenSettings {
    /// The version of this format: 1.
    pub version: u32,
    /// Threads, processes and hosts.
    pub cluster: WrittenCluster,
    /// The city that it serves.
    pub city: WrittenCity,
    /// Which parts of riskflow are on.
    pub capabilities: WrittenCapabilities,
    /// How epochs are cut.
    pub epoch: WrittenEpoch,
    /// How the job's clock follows the wall clock.
    pub clock: WrittenClock,
    /// Horizons of event time.
    pub time: WrittenTime,
    /// What becomes of observations whose datastream is not known.
    pub unknown: WrittenUnknown,
    /// What stands in `out.unmatched`.
    pub unmatched: WrittenUnmatched,
    /// How a score becomes a level.
    pub risk: WrittenRisk,
    /// Deadlines and bounds of cases.
    pub case: WrittenCase,
    /// Names and partitions of topics.
    pub topics: WrittenTopics,
    /// Where records come from.
    pub input: WrittenInput,
    /// Where records go.
    pub output: WrittenOutput,
    /// How Kafka is reached, where input or output is `kafka`.
    pub kafka: WrittenKafka,
    /// Where and how often state is kept.
    pub checkpoint: WrittenCheckpoint,
    /// How a job goes on after an earlier run.
    pub recovery: WrittenRecovery,
    /// Metrics, health, JSON views, and the way in for actions.
    pub http: WrittenHttp,
    /// The bridge: sends notices to a webhook, and open cases to Alertmanager. Only `riskflow bridge` uses it.
    pub bridge: WrittenBridge,
    /// What is logged.
    pub log: WrittenLog,
    /// When a running job reads it again.
    pub reload: WrittenReload,
    /// Where spans go.
    pub tracing: WrittenTracing,
}

/// Which parts of riskflow are on. One that is off needs no topics and costs nothing; its tables in the output become empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenCapabilities {
    /// The closed loop: cases, duties, notices, response times, incidents, actions.
    pub cases: bool,
    /// Work under permit, its limits, and maintenance windows.
    pub permits: bool,
    /// Reports of towns and streets, and their totals.
    pub reports: bool,
    /// Events, gauges, and what people and models say of events.
    pub gauges: bool,
}

impl Default for WrittenCapabilities {
    fn default() -> Self {
        Self {
            cases: true,
            permits: true,
            reports: true,
            gauges: true,
        }
    }
}

/// The city that it serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenCity {
    /// The time that people there go by, as a name of the IANA time zone database: the sentences of notices are in it.
    pub timezone: String,
    /// Its holidays, for conditions `during` of rules: dates such as `2026-10-01`, or from one to another, such as
    /// `2026-10-01..2026-10-07`.
    pub holidays: Vec<String>,
    /// Days on which people work though they are at a weekend or on a holiday, in the same way.
    pub workdays: Vec<String>,
}

impl Default for WrittenCity {
    fn default() -> Self {
        Self {
            timezone: "Asia/Shanghai".into(),
            holidays: Vec::new(),
            workdays: Vec::new(),
        }
    }
}

impl Default for WrittenSettings {
    fn default() -> Self {
        Self {
            version: 1,
            cluster: WrittenCluster::default(),
            epoch: WrittenEpoch::default(),
            clock: WrittenClock::default(),
            time: WrittenTime::default(),
            unknown: WrittenUnknown::default(),
            unmatched: WrittenUnmatched::default(),
            risk: WrittenRisk::default(),
            case: WrittenCase::default(),
            city: WrittenCity::default(),
            capabilities: WrittenCapabilities::default(),
            topics: WrittenTopics::default(),
            input: WrittenInput::default(),
            output: WrittenOutput::default(),
            kafka: WrittenKafka::default(),
            checkpoint: WrittenCheckpoint::default(),
            recovery: WrittenRecovery::default(),
            http: WrittenHttp::default(),
            bridge: WrittenBridge::default(),
            log: WrittenLog::default(),
            reload: WrittenReload::default(),
            tracing: WrittenTracing::default(),
        }
    }
}

impl WrittenSettings {
    /// Parses the text of a configuration.
    ///
    /// # Errors
    ///
    /// When it is no TOML, or has fields that do not exist or values of another type: all of them, with lines; no secret is quoted.
    pub fn from_toml(text: &str) -> Result<Self, Problems> {
        let (table, mut problems) = read::table(text, "riskflow.toml");
        let (written, wrong) = read::settings(table, Some(text));
        problems.add_new(wrong);
        problems.none_or(Some(written))
    }

    /// The same of TOML that was put together, and has no lines.
    ///
    /// # Errors
    ///
    /// When there are fields that do not exist, or values of another type: all of them.
    pub fn from_table(table: toml::Table) -> Result<Self, Problems> {
        let (written, problems) = read::settings(table, None);
        problems.none_or(Some(written))
    }

    /// Reads and checks a configuration: the text of a file, then fields that stand over it, such as `epoch.tick` and `10ms`.
    ///
    /// # Errors
    ///
    /// Everything wrong with it, at once; what belongs to no field stands under the name of the file.
    pub fn load(text: &str, file: &str, overrides: &[String]) -> Result<(Self, Settings), Problems> {
        let loaded = Self::load_over(text, file, &Environment::default(), overrides)?;
        Ok((loaded.written, loaded.settings))
    }

    /// The same with the environment over the file, and the fields of `overrides` over both.
    ///
    /// # Errors
    ///
    /// As of [`WrittenSettings::load`]; what comes of a variable names it.
    pub fn load_over(
        text: &str,
        file: &str,
        environment: &Environment,
        overrides: &[String],
    ) -> Result<Loaded, Problems> {
        let (mut table, mut problems) = read::table(text, file);
        // What is wrong with the file is told by its lines, before anything is put over it.
        problems.add_new(read::settings_of(&mut table, Some(text)).1);
        let mut origins = Origins::default();
        origins.set(&[], &toml::Value::Table(table.clone()), &Origin::File);
        environment.put_over(&mut table, &mut origins, &mut problems);
        read::put_over(&mut table, overrides, &mut origins, &mut problems);
        let (written, wrong) = read::settings_of(&mut table, None);
        problems.add_new(wrong);
        let unread = environment.unread(&written, &mut problems);
        let checked = written.check().map_err(|wrong| origins.name_variables(wrong));
        match checked {
            Ok(settings) => problems.none_or(Some(Loaded {
                written,
                settings,
                origins,
                unread,
            })),
            Err(wrong) => {
                problems.add_new(wrong);
                Err(problems)
            }
        }
    }
}

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// As written, with all defaults.
    pub written: WrittenSettings,
    /// As checked.
    pub settings: Settings,
    /// Where what is no default comes from.
    pub origins: Origins,
    /// Names of variables that begin with `RISKFLOW_` and that nothing reads.
    pub unread: Vec<String>,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use riskflow_model::topic::Topic;

    use super::*;
    use crate::{Input, Output, OutputFormat};

    #[test]
    fn an_empty_file_is_a_job_on_the_embedded_log() {
        let settings = WrittenSettings::from_toml("").unwrap().check().unwrap();
        assert_eq!(settings.input, Input::Log("data/log".into()));
        assert_eq!(settings.time.horizon, riskflow_model::Duration(600_000));
    }

    #[test]
    fn all_problems_come_at_once() {
        let text = r#"
            version = 2
            cluster.workers = 0
            epoch.tick = "1h"
            time.horizon = "soon"
            risk.cuts = { blue = 5, yellow = 4 }
            topics.prefix = "a b"
            input = { kind = "kafka" }
            http.listen = "localhost"
        "#;
        let problems = WrittenSettings::from_toml(text).unwrap().check().unwrap_err();
        let fields: Vec<&str> = problems.iter().map(|p| p.field.as_str()).collect();
        let expected = [
            "version",
            "cluster.workers",
            "epoch.tick",
            "time.horizon",
            "risk.cuts",
            "topics.prefix",
            "kafka.brokers",
            "http.listen",
        ];
        for field in expected {
            assert!(fields.contains(&field), "{field} is missing from {fields:?}");
        }
        assert!(
            problems
                .to_string()
                .contains("`epoch.tick` is `1h`; give a duration from 1ms to 10s")
        );
    }

    #[test]
    fn formats_that_cannot_be_are_refused() {
        let check = |output: &str| WrittenSettings::from_toml(output).unwrap().check();
        let said = |text: &str| check(text).unwrap_err().to_string();
        for format in ["csv", "parquet"] {
            let to_stdout = format!("output = {{ kind = \"files\", path = \"-\", format = \"{format}\" }}");
            let said_of = said(&to_stdout);
            assert!(
                said_of.contains(&format!("`output.format` is `{format}` with `output.path = \"-\"`")),
                "{said_of}"
            );
            let log = format!("output.format = \"{format}\"");
            assert!(said(&log).contains("`output.kind = \"files\"`"));
        }
        let pipe = "input = { kind = \"files\", clock = \"arrival\", files = [{ path = \"-\", topic = \"in.rule\", format = \"parquet\" }] }";
        assert!(said(pipe).contains("`input.files[0].path` is `-`; give a file"));
        let settings = check("output = { kind = \"files\", path = \"out\", format = \"csv\" }").unwrap();
        let Output::Files(files) = settings.output else {
            panic!("no files: {:?}", settings.output)
        };
        assert_eq!(files.file(Topic::NOTICE), Path::new("out/out.notice.csv"));
        let plain = check("output = { kind = \"files\", path = \"-\" }").unwrap();
        assert!(matches!(plain.output, Output::Files(files) if files.format == OutputFormat::Ndjson));
    }

    #[test]
    fn unknown_fields_are_refused_by_name() {
        let error = WrittenSettings::from_toml("[epoch]\ntik = \"1s\"")
            .unwrap_err()
            .to_string();
        assert!(error.contains("tik"), "{error}");
    }
}
