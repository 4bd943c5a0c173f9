//! `[case]` of `riskflow.toml`: deadlines and bounds of cases.

use std::collections::BTreeMap;

use riskflow_model::output::CaseStep;
use riskflow_model::{Domain, Duration, Level, duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problems::{Check, DAY, SECOND};
use crate::settings::{CaseSettings, FlappingSettings};

/// Deadlines and bounds of cases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenCase {
    /// Actions may be this far behind the clock, `1m` to `30d`; older ones are dead letters (`too_late`).
    pub horizon: String,
    /// How long a case is kept after it was archived, `1m` to `365d`.
    pub retain: String,
    /// Levels that rise and fall again and again.
    pub flapping: WrittenFlapping,
    /// For each level and step how long it may take to get there from the step before (`acknowledged`: from the issue), `0s`
    /// to `30d`; `0s`: no deadline. What is missed escalates to the parent unit.
    pub deadlines: BTreeMap<Level, BTreeMap<CaseStep, String>>,
    /// For each level how long after an alarm those are reminded who must acknowledge it, and so long after each reminder again,
    /// `1m` to `7d`; `0s`: they are not.
    pub remind: BTreeMap<Level, String>,
    /// Deadlines and reminders of single domains, over those.
    pub domains: BTreeMap<Domain, WrittenDomain>,
}

/// What is otherwise in one domain: deadlines by level, and reminders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenDomain {
    /// Of cases whose peak is blue.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub blue: BTreeMap<CaseStep, String>,
    /// Of cases whose peak is yellow.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub yellow: BTreeMap<CaseStep, String>,
    /// Of cases whose peak is orange.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub orange: BTreeMap<CaseStep, String>,
    /// Of cases whose peak is red.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub red: BTreeMap<CaseStep, String>,
    /// As in `[case.remind]`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub remind: BTreeMap<Level, String>,
}

impl WrittenDomain {
    fn deadlines(&self) -> impl Iterator<Item = (Level, &BTreeMap<CaseStep, String>)> {
        let levels = [&self.blue, &self.yellow, &self.orange, &self.red];
        Level::WARNING.into_iter().zip(levels)
    }
}

/// Levels that rise and fall again and again. The defaults are ours: no standard gives them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenFlapping {
    /// A warning that begins so long after the end of the one before of the same rule and asset, or sooner, joins its case
    /// unless that is archived, `0s` to `1d`.
    pub join: String,
    /// A third raise within so long marks a case as flapping: ends are not told until there is calm, `1s` to `1d`.
    pub within: String,
    /// How long the level must stay as it is until the mark goes, `1s` to `1d`.
    pub calm: String,
}

impl Default for WrittenFlapping {
    fn default() -> Self {
        Self {
            join: "10m".into(),
            within: "5m".into(),
            calm: "10m".into(),
        }
    }
}

/// Minutes for called, acknowledged, dispatched, in_progress, reported, verified and archived, from blue to red. Ours: no
/// standard gives them.
const DEFAULTS: [[i64; 7]; 4] = [
    [30, 60, 120, 240, 1440, 1440, 4320],
    [10, 30, 60, 120, 480, 720, 2880],
    [5, 15, 30, 60, 240, 480, 1440],
    [3, 10, 15, 30, 120, 240, 1440],
];

impl Default for WrittenCase {
    fn default() -> Self {
        let of_level = |minutes: [i64; 7]| {
            let steps = CaseStep::ALL.into_iter().skip(1).zip(minutes);
            steps
                .map(|(step, minutes)| (step, duration::show(minutes * 60 * SECOND)))
                .collect()
        };
        Self {
            horizon: "1d".into(),
            retain: "30d".into(),
            flapping: WrittenFlapping::default(),
            deadlines: Level::WARNING.into_iter().zip(DEFAULTS.map(of_level)).collect(),
            remind: Level::WARNING.map(|level| (level, "0s".to_owned())).into(),
            domains: BTreeMap::new(),
        }
    }
}

impl Default for CaseSettings {
    fn default() -> Self {
        Check::default().case(&WrittenCase::default())
    }
}

impl Check {
    pub(crate) fn case(&mut self, written: &WrittenCase) -> CaseSettings {
        let mut settings = CaseSettings {
            horizon: self.length("case.horizon", &written.horizon, 60 * SECOND, 30 * DAY),
            retain: self.length("case.retain", &written.retain, 60 * SECOND, 365 * DAY),
            flapping: FlappingSettings {
                join: self.length("case.flapping.join", &written.flapping.join, 0, DAY),
                within: self.length("case.flapping.within", &written.flapping.within, SECOND, DAY),
                calm: self.length("case.flapping.calm", &written.flapping.calm, SECOND, DAY),
            },
            deadlines: [[[Duration::ZERO; CaseStep::ALL.len()]; 4]; 4],
            remind: [[Duration::ZERO; 4]; 4],
        };
        // What is written for some levels stands over the defaults of these levels only.
        let defaults = DEFAULTS.map(|minutes| minutes.map(|minutes| Duration(minutes * 60 * SECOND)));
        for (level, steps) in defaults.iter().enumerate() {
            for domain in &mut settings.deadlines {
                domain[level][1..].copy_from_slice(steps);
            }
        }
        for domain in Domain::ALL {
            let common = written.deadlines.iter().map(|(level, steps)| (*level, steps));
            self.levels("case.deadlines", common, &mut settings.deadlines[domain as usize]);
            self.reminders("case.remind", &written.remind, &mut settings.remind[domain as usize]);
        }
        for (domain, own) in &written.domains {
            let path = format!("case.domains.{domain}");
            let number = *domain as usize;
            self.levels(&path, own.deadlines(), &mut settings.deadlines[number]);
            self.reminders(&format!("{path}.remind"), &own.remind, &mut settings.remind[number]);
        }
        settings
    }

    /// The place of a level in the settings; a problem where it is none of a warning.
    fn place(&mut self, path: &str, level: Level) -> Option<usize> {
        let place = level.index().checked_sub(1);
        if place.is_none() {
            self.once(
                format!("{path}.none"),
                "there",
                "one of `blue`, `yellow`, `orange` and `red`",
            );
        }
        place
    }

    fn reminders(&mut self, path: &str, written: &BTreeMap<Level, String>, remind: &mut [Duration; 4]) {
        for (level, every) in written {
            let Some(index) = self.place(path, *level) else {
                continue;
            };
            remind[index] = match duration::parse(every) {
                Ok(0) => Duration::ZERO,
                Ok(millis) if (60 * SECOND..=7 * DAY).contains(&millis) => Duration(millis),
                _ => {
                    let found = format!("`{every}`");
                    self.once(
                        format!("{path}.{level}"),
                        &found,
                        "a duration from 1m to 7d, or 0s for none",
                    );
                    Duration::ZERO
                }
            };
        }
    }

    fn levels<'a>(
        &mut self,
        path: &str,
        written: impl Iterator<Item = (Level, &'a BTreeMap<CaseStep, String>)>,
        deadlines: &mut [[Duration; CaseStep::ALL.len()]; 4],
    ) {
        for (level, steps) in written {
            let Some(index) = self.place(path, level) else { continue };
            for (step, limit) in steps {
                let field = format!("{path}.{level}.{}", step.name());
                if *step == CaseStep::Issued {
                    self.once(field, "there", "a later step: every case begins with this one");
                    continue;
                }
                let before = self.problems.iter().count();
                let limit = self.length(&field, limit, 0, 30 * DAY);
                self.problems.keep_first(before, &field);
                deadlines[index][step.index()] = limit;
            }
        }
    }

    /// The common deadlines are checked once for each domain; a problem of theirs is told once.
    fn once(&mut self, field: String, found: &str, give: &str) {
        let before = self.problems.iter().count();
        self.problems.add(field.clone(), found, give);
        self.problems.keep_first(before, &field);
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::{Domain, Level};

    use super::*;
    use crate::WrittenSettings;

    #[test]
    fn deadlines_of_a_domain_stand_over_the_common_ones_and_these_over_the_defaults() {
        let text = r#"
            [case.deadlines.orange]
            acknowledged = "20m"
            [case.domains.work_safety.orange]
            acknowledged = "5m"
            called = "0s"
        "#;
        let case = WrittenSettings::from_toml(text).unwrap().check().unwrap().case;
        let minutes = |domain, level, step| case.deadline(domain, level, step).map(|limit| limit.0 / 60_000);
        let (work, nature) = (Domain::WorkSafety, Domain::NaturalHazard);
        assert_eq!(minutes(nature, Level::Orange, CaseStep::Acknowledged), Some(20));
        assert_eq!(minutes(work, Level::Orange, CaseStep::Acknowledged), Some(5));
        assert_eq!(minutes(work, Level::Orange, CaseStep::Called), None);
        assert_eq!(minutes(nature, Level::Orange, CaseStep::Called), Some(5));
        assert_eq!(minutes(nature, Level::None, CaseStep::Called), None);
    }

    #[test]
    fn reminders_of_a_domain_stand_over_the_common_ones_and_there_are_none_by_default() {
        let text = r#"
            [case.remind]
            red = "10m"
            orange = "30m"
            [case.domains.work_safety.remind]
            red = "5m"
            orange = "0s"
            [case.domains.work_safety.red]
            called = "2m"
        "#;
        let case = WrittenSettings::from_toml(text).unwrap().check().unwrap().case;
        let minutes = |domain, level| case.remind(domain, level).map(|every| every.0 / 60_000);
        let (work, nature) = (Domain::WorkSafety, Domain::NaturalHazard);
        assert_eq!(minutes(nature, Level::Red), Some(10));
        assert_eq!(minutes(nature, Level::Orange), Some(30));
        assert_eq!(minutes(nature, Level::Yellow), None);
        assert_eq!(minutes(nature, Level::None), None);
        assert_eq!(minutes(work, Level::Red), Some(5));
        assert_eq!(minutes(work, Level::Orange), None);
        assert_eq!(
            case.deadline(work, Level::Red, CaseStep::Called),
            Some(Duration(120_000))
        );
        assert_eq!(CaseSettings::default().remind, [[Duration::ZERO; 4]; 4]);
    }

    #[test]
    fn each_problem_of_reminders_is_told_once() {
        let text = "[case.remind]\nred = \"59s\"\norange = \"8d\"\nblue = \"1m\"\nyellow = \"7d\"\nnone = \"1h\"\n\
                    [case.domains.work_safety.remind]\nred = \"often\"\n";
        let problems = WrittenSettings::from_toml(text).unwrap().check().unwrap_err();
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        let expected = [
            "case.remind.none",
            "case.remind.orange",
            "case.remind.red",
            "case.domains.work_safety.remind.red",
        ];
        assert_eq!(fields, expected, "{told:?}");
        assert!(
            told[1].contains("`8d`") && told[1].contains("1m to 7d, or 0s"),
            "{told:?}"
        );
    }

    #[test]
    fn each_problem_is_told_once() {
        let text = "[case.deadlines.red]\nacknowledged = \"soon\"\nissued = \"1m\"\n[case.deadlines.none]\n";
        let problems = WrittenSettings::from_toml(text).unwrap().check().unwrap_err();
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "case.deadlines.none",
                "case.deadlines.red.issued",
                "case.deadlines.red.acknowledged"
            ]
        );
    }
}
