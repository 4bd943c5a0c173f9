//! Golden cases: files that a domain expert can read. Each step is an epoch: what arrives in it, and what must come of it.
//!
//! ```json
//! { "name": "…", "source": "requirement R3", "rows": [ {"topic": "base.asset", "value": {…}} ],
//!   "steps": [ { "at": 10, "put": [["gas", 10, 26.0]], "deltas": ["raised gas/tank none->yellow since 10 at 10 by data"] } ] }
//! ```
//!
//! Times are seconds after the start, which is on a full hour. `put` holds datastream, phenomenon time, result (null takes the
//! observation back) and, where it matters, quality. `rows` are base records, rules and records of other logs, such as forecasts and
//! events; a null value with a `key` deletes, and `pack` in place of a value names a rule of the packs. Deltas and dead letters of an
//! epoch are listed in full, those of a step that lists none must be none; of tables only the named fields of the named rows are
//! compared, and a row named with null must not be there. `every` and `until` repeat a step.
//!
//! `act` holds actions, with `time` (and `until`) in seconds; those without an `id` get one. A case is named by its incident, or as
//! `rule/asset@since`. `case_deltas` and `notices` are listed in full if any step of the case lists them, in any order; of `cases` as
//! of other tables; a number stands for a time in seconds. `remind` holds the seconds between reminders by level; there are none by
//! default.
//!
//! Every case runs through the dataflow and, but for what the oracle does not know (explanations), through the oracle.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use riskflow::runtime::graph::{Meters, Semantics};
use riskflow::runtime::replay::{EpochInput, replay};
use riskflow_config::{CaseSettings, ScoreCuts, TimeSettings, UnknownSettings, UnmatchedSettings};
use riskflow_connectors::{RawRecord, decode};
use riskflow_model::output::Origin;
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, Key, Level, Millis};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::oracle::Oracle;

mod shown;

use shown::{Shown, Tables};

/// 2021-07-25T00:00:00Z.
const START: i64 = 1_627_171_200_000;

/// A case as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// The row of requirements or the paragraph of the specification that it comes from.
    pub source: String,
    /// After how many seconds people are reminded, by level.
    #[serde(default)]
    remind: BTreeMap<Level, i64>,
    /// Base records and rules of the first epoch.
    rows: Vec<Row>,
    /// The epochs after it.
    steps: Vec<Step>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    topic: String,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    value: Value,
    /// The identifier of a rule of the packs, in place of a value.
    #[serde(default)]
    pack: Option<String>,
    /// How many of it; `#` in its strings becomes the number.
    #[serde(default)]
    times: Option<usize>,
}

impl Row {
    fn value(&self) -> Result<Value> {
        let Some(id) = &self.pack else {
            return Ok(self.value.clone());
        };
        let rules = riskflow_config::packs::all().map_err(|problems| anyhow::anyhow!("the packs: {problems}"))?;
        let rule = rules.iter().find(|rule| *rule.record.id == **id);
        let rule = rule.with_context(|| format!("no pack has the rule `{id}`"))?;
        Ok(serde_json::to_value(&rule.record)?)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Step {
    at: f64,
    every: Option<f64>,
    until: Option<f64>,
    put: Vec<Value>,
    rows: Vec<Row>,
    deltas: Vec<String>,
    dead: Vec<String>,
    assets: BTreeMap<String, Value>,
    regions: BTreeMap<String, Value>,
    /// Null where there must be no row.
    totals: BTreeMap<String, Value>,
    unmatched: BTreeMap<String, Value>,
    /// Rows of any other table, by topic and key.
    tables: BTreeMap<String, BTreeMap<String, Value>>,
    warnings: Option<usize>,
    /// How many asset rows this epoch changes.
    changed_assets: Option<usize>,
    /// Fields of the first delta's explanation.
    explanation: Option<Value>,
    /// Actions.
    act: Vec<Value>,
    cases: BTreeMap<String, Value>,
    responses: BTreeMap<String, Value>,
    case_deltas: Option<Vec<String>>,
    /// Deltas of candidates, listed in full where any are.
    candidates: Option<Vec<String>>,
    notices: Option<Vec<String>>,
    /// The sentences of the notices, in both languages.
    texts: Option<Vec<String>>,
}

/// Ten minutes of horizon, one of future and of lateness: the defaults. Events may come up to an hour after they are over, and ten
/// minutes ahead.
fn semantics() -> Semantics {
    Semantics {
        time: TimeSettings {
            horizon: Duration(600_000),
            max_future: Duration(60_000),
            late_after: Duration(60_000),
            retain: Duration(3_600_000),
            forecast_age: Duration(172_800_000),
            event_age: Duration(3_600_000),
            event_ahead: Duration(600_000),
        },
        unknown: UnknownSettings {
            hold: Duration(600_000),
            max_observations: 1_000_000,
            max_bytes: 1 << 30,
        },
        unmatched: UnmatchedSettings::default(),
        cuts: ScoreCuts::default(),
        case: CaseSettings::default(),
        zone: jiff::tz::TimeZone::get("Asia/Shanghai").expect("the database has it"),
        days: riskflow_config::CityDays::default(),
        capabilities: riskflow_config::Capabilities::default(),
    }
}

fn seconds(time: f64) -> i64 {
    START + (time * 1000.0).round() as i64
}

impl Case {
    /// Runs the case on so many workers.
    ///
    /// # Errors
    ///
    /// What came out otherwise than written, and at which step.
    pub fn run(&self, workers: usize) -> Result<()> {
        let history = self.history()?;
        let outputs = replay(history, workers, self.semantics(), &Meters::default()).map_err(anyhow::Error::msg)?;
        let mut tables = Tables::default();
        let shown = outputs.iter().map(|output| tables.of_stream(output));
        self.check(shown)
    }

    /// Runs the case through the oracle.
    ///
    /// # Errors
    ///
    /// What the oracle expects otherwise than written, and at which step.
    pub fn ask_oracle(&self) -> Result<()> {
        let mut oracle = Oracle::new(self.semantics());
        let mut tables = Tables::default();
        let history = self.history()?;
        let shown = history.iter().map(|input| tables.of_oracle(&oracle.step(input)));
        self.check(shown)
    }

    fn semantics(&self) -> Semantics {
        let mut semantics = semantics();
        for (level, every) in &self.remind {
            for of_domain in &mut semantics.case.remind {
                of_domain[level.index() - 1] = Duration(every * 1_000);
            }
        }
        semantics
    }

    fn history(&self) -> Result<Vec<EpochInput>> {
        let mut offset = 0;
        let beginning = Step {
            rows: self.rows.clone(),
            ..Step::default()
        };
        let mut history = vec![self.input(&beginning, 0, &mut offset)?];
        for (number, step) in self.steps().iter().enumerate() {
            history.push(self.input(step, number, &mut offset)?);
        }
        Ok(history)
    }

    fn check(&self, shown: impl Iterator<Item = Shown>) -> Result<()> {
        let steps = self.steps();
        let people = steps
            .iter()
            .any(|step| step.case_deltas.is_some() || step.notices.is_some());
        for (number, shown) in shown.enumerate() {
            let Some(step) = number.checked_sub(1).map(|number| &steps[number]) else {
                continue;
            };
            shown
                .check(step, people)
                .with_context(|| format!("{}: at {} s", self.name, step.at))?;
        }
        Ok(())
    }

    /// Steps with repetitions written out.
    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for step in &self.steps {
            let (every, until) = (step.every.unwrap_or(1.0), step.until.unwrap_or(step.at));
            let mut at = step.at;
            while at <= until {
                let first = at == step.at;
                steps.push(if first {
                    step.clone()
                } else {
                    Step {
                        at,
                        put: step.put.clone(),
                        ..Step::default()
                    }
                });
                at += every;
            }
        }
        steps.sort_by(|a, b| a.at.total_cmp(&b.at));
        steps
    }

    fn input(&self, step: &Step, number: usize, offset: &mut u64) -> Result<EpochInput> {
        let mut records = Vec::new();
        for row in &step.rows {
            for copy in 0..row.times.unwrap_or(1) {
                let topic =
                    Topic::from_name(&row.topic).with_context(|| format!("there is no topic `{}`", row.topic))?;
                let mut value = row.value()?;
                shown::times(&mut value);
                let payload = (!value.is_null()).then(|| value.to_string().replace('#', &copy.to_string()));
                records.push(record(topic, row.key.as_deref(), payload.as_deref(), offset)?);
            }
        }
        for put in &step.put {
            // A repeated step names the time relative to itself.
            let relative = step.every.is_some() || put[1].is_null();
            let time = if relative {
                step.at
            } else {
                put[1].as_f64().context("a time")?
            };
            let result = match &put[2] {
                Value::Array(values) => values[number % values.len()].clone(),
                value => value.clone(),
            };
            let mut payload = json!({ "datastream": put[0], "phenomenon_time": seconds(time) });
            if result.is_null() {
                payload["op"] = json!("delete");
            } else {
                payload["result"] = result;
            }
            if let Some(quality) = put.get(3) {
                payload["quality"] = quality.clone();
            }
            records.push(record(Topic::IN_OBSERVATION, None, Some(&payload.to_string()), offset)?);
        }
        for act in &step.act {
            let mut action = act.clone();
            action["warning"] = json!(case_id(act["case"].as_str().context("a case")?));
            if let Some(fields) = action.as_object_mut() {
                fields.remove("case");
                fields.entry("id").or_insert_with(|| json!(format!("action-{offset}")));
                fields.entry("actor").or_insert_with(|| json!("someone"));
            }
            for name in ["time", "until"] {
                if let Some(time) = act[name].as_f64() {
                    action[name] = json!(seconds(time));
                }
            }
            records.push(record(Topic::IN_ACTION, None, Some(&action.to_string()), offset)?);
        }
        Ok(EpochInput {
            epoch: Millis(seconds(step.at)),
            records,
        })
    }
}

/// The identifier of a case as it is named here.
fn case_id(name: &str) -> String {
    // A warning of a candidate: `strict:rule/asset@since`.
    if let Some((set, (about, since))) = name
        .split_once(':')
        .and_then(|(set, rest)| Some((set, rest.split_once('@')?)))
        && let (Some((rule, asset)), Ok(since)) = (about.split_once('/'), since.parse())
    {
        return Key::of_parts(&[set, rule, asset, &seconds(since).to_string()]).to_string();
    }
    if let Some((first, run)) = name.split_once(" of ") {
        return format!("{}@{}", case_id(first), case_id(run));
    }
    let parts = name.split_once('@').and_then(|(about, since)| {
        let (rule, asset) = about.split_once('/')?;
        Some((rule, asset, since.parse().ok()?))
    });
    parts.map_or_else(
        || name.to_owned(),
        |(rule, asset, since)| Key::of_parts(&[rule, asset, &seconds(since).to_string()]).to_string(),
    )
}

fn record(
    topic: Topic,
    key: Option<&str>,
    payload: Option<&str>,
    offset: &mut u64,
) -> Result<(Origin, riskflow_config::InputRecord)> {
    *offset += 1;
    let raw = RawRecord {
        topic,
        partition: 0,
        offset: *offset,
        arrival: None,
        exercise: false,
        key: key.map(str::as_bytes),
        payload: payload.map(str::as_bytes),
    };
    let decoded = decode(&raw).map_err(|rejection| anyhow::anyhow!("{payload:?}: {}", rejection.detail))?;
    Ok((
        Origin {
            topic: topic.id(),
            partition: 0,
            offset: *offset,
        },
        decoded,
    ))
}
