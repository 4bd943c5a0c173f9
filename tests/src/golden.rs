//! Golden cases: files that a domain expert can read. Each step is an epoch: what arrives in it, and what must come of it.
//!
//! ```json
//! { "name": "…", "source": "domain.md R3", "rows": [ {"topic": "base.asset", "value": {…}} ],
//!   "steps": [ { "at": 10, "put": [["gas", 10, 26.0]], "deltas": ["raised gas/tank none->yellow since 10 at 10 by data"] } ] }
//! ```
//!
//! Times are seconds after the start, which is on a full hour. `put` holds datastream, phenomenon time, result (null takes the
//! observation back) and, where it matters, quality. `rows` are base records and rules; a null value with a `key` deletes. Deltas and dead
//! letters of an epoch are listed in full, those of a step that lists none must be none; of tables only the named fields
//! of the named rows are compared, and a row named with null must not be there. `every` and `until` repeat a step.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use riskflow::graph::{Meters, Semantics};
use riskflow::output::EpochOutput;
use riskflow::replay::{EpochInput, replay};
use riskflow_config::{CaseSettings, ScoreCuts, TimeSettings, UnknownSettings};
use riskflow_connectors::{RawRecord, decode};
use riskflow_model::Millis;
use riskflow_model::output::{Origin, WarningDelta};
use riskflow_model::topic::Topic;
use serde::Deserialize;
use serde_json::{Value, json};

/// 2021-07-25T00:00:00Z.
const START: i64 = 1_627_171_200_000;

/// A case as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// The row of domain.md or the paragraph of design.md that it comes from.
    pub source: String,
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
    value: Value,
    /// How many of it; `#` in its strings becomes the number.
    #[serde(default)]
    times: Option<usize>,
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
    warnings: Option<usize>,
    /// How many asset rows this epoch changes.
    changed_assets: Option<usize>,
    /// Fields of the first delta's explanation.
    explanation: Option<Value>,
}

/// Ten minutes of horizon, one of future and of lateness: the defaults.
fn semantics() -> Semantics {
    Semantics {
        time: TimeSettings {
            horizon: 600_000,
            max_future: 60_000,
            late_after: 60_000,
            retain: 3_600_000,
        },
        unknown: UnknownSettings {
            hold: 600_000,
            max_observations: 1_000_000,
        },
        cuts: ScoreCuts::default(),
        case: CaseSettings::default(),
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
        let steps = self.steps();
        let mut offset = 0;
        let mut history = vec![self.input(
            &Step {
                rows: self.rows.clone(),
                ..Step::default()
            },
            0,
            &mut offset,
        )?];
        for (number, step) in steps.iter().enumerate() {
            history.push(self.input(step, number, &mut offset)?);
        }
        let outputs = replay(history, workers, semantics(), &Meters::default()).map_err(anyhow::Error::msg)?;
        let mut tables = Tables::default();
        for (number, output) in outputs.iter().enumerate() {
            tables.apply(output);
            let Some(step) = number.checked_sub(1).map(|number| &steps[number]) else {
                continue;
            };
            tables
                .check(step, output)
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
                let payload = (!row.value.is_null()).then(|| row.value.to_string().replace('#', &copy.to_string()));
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
            records.push(record(Topic::InObservation, None, Some(&payload.to_string()), offset)?);
        }
        Ok(EpochInput {
            epoch: Millis(seconds(step.at)),
            records,
        })
    }
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
        key: key.map(str::as_bytes),
        payload: payload.map(str::as_bytes),
    };
    let decoded = decode(&raw).map_err(|rejection| anyhow::anyhow!("{payload:?}: {}", rejection.detail))?;
    Ok((
        Origin {
            topic: topic.index(),
            partition: 0,
            offset: *offset,
        },
        decoded,
    ))
}

/// A delta in one line: `raised gas/tank none->yellow since 10 at 10 by data`.
fn told(delta: &WarningDelta) -> String {
    let since = |time: Millis| (time.0 - START) as f64 / 1000.0;
    let cause = serde_json::to_value(delta.cause).unwrap_or_default();
    format!(
        "{} {}/{} {}->{} since {} at {} by {}",
        delta.kind.name(),
        delta.rule,
        delta.asset,
        delta.from,
        delta.to,
        since(delta.since),
        since(delta.at),
        cause.as_str().unwrap_or_default()
    )
}

#[derive(Default)]
struct Tables {
    assets: BTreeMap<String, Value>,
    regions: BTreeMap<String, Value>,
    warnings: BTreeMap<String, Value>,
    totals: BTreeMap<String, Value>,
}

impl Tables {
    fn apply(&mut self, output: &EpochOutput) {
        for (row, diff) in &output.assets {
            change(&mut self.assets, row.asset.to_string(), &**row, *diff);
        }
        for (row, diff) in &output.regions {
            change(
                &mut self.regions,
                format!("{}/{}", row.region, row.domain),
                &**row,
                *diff,
            );
        }
        for (row, diff) in &output.warnings {
            change(&mut self.warnings, row.id.to_string(), &**row, *diff);
        }
        for (row, diff) in &output.totals {
            change(&mut self.totals, row.key(), &**row, *diff);
        }
    }

    fn check(&self, step: &Step, output: &EpochOutput) -> Result<()> {
        let deltas: Vec<String> = output.deltas.iter().map(told).collect();
        ensure!(deltas == step.deltas, "deltas are {deltas:#?}, not {:#?}", step.deltas);
        let dead: Vec<&str> = output.dead.iter().map(|letter| letter.reason.name()).collect();
        ensure!(dead == step.dead, "dead letters are {dead:?}, not {:?}", step.dead);
        for (name, table, wanted) in [
            ("assets", &self.assets, &step.assets),
            ("regions", &self.regions, &step.regions),
            ("totals", &self.totals, &step.totals),
        ] {
            for (key, fields) in wanted {
                if fields.is_null() {
                    ensure!(!table.contains_key(key), "{name} has `{key}`: {}", table[key]);
                    continue;
                }
                let row = table.get(key).with_context(|| format!("{name} has no `{key}`"))?;
                part_of(fields, row).with_context(|| format!("{name} `{key}`"))?;
            }
        }
        if let Some(open) = step.warnings {
            ensure!(
                self.warnings.len() == open,
                "{} warnings are open, not {open}",
                self.warnings.len()
            );
        }
        if let Some(wanted) = step.changed_assets {
            let changed = output.assets.iter().filter(|(_, diff)| *diff > 0).count();
            ensure!(changed == wanted, "{changed} asset rows changed, not {wanted}");
        }
        if let Some(wanted) = &step.explanation {
            let delta = output.deltas.first().context("there is no delta to explain")?;
            part_of(wanted, &serde_json::to_value(&delta.explanation)?).context("explanation")?;
        }
        Ok(())
    }
}

fn change(table: &mut BTreeMap<String, Value>, key: String, row: &impl serde::Serialize, diff: i64) {
    let row = serde_json::to_value(row).unwrap_or_default();
    if diff > 0 {
        table.insert(key, row);
    } else if table.get(&key) == Some(&row) {
        table.remove(&key);
    }
}

/// Whether every field that is named stands so in the row.
fn part_of(wanted: &Value, row: &Value) -> Result<()> {
    match (wanted, row) {
        (Value::Object(fields), Value::Object(_)) => fields
            .iter()
            .try_for_each(|(name, value)| part_of(value, &row[name]).with_context(|| name.clone())),
        (Value::Array(values), Value::Array(rows)) if values.len() == rows.len() => {
            values.iter().zip(rows).try_for_each(|(value, row)| part_of(value, row))
        }
        (wanted, row) if wanted == row => Ok(()),
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => Ok(()),
        _ => bail!("is {row}, not {wanted}"),
    }
}
