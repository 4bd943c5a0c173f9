//! What is shown after an epoch, by the dataflow or by the oracle, in the form in which golden cases are written.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use riskflow::runtime::output::EpochOutput;
use riskflow_model::output::{CaseDelta, DeadLetter, Explanation, Notice, Origin, Reason, WarningDelta, WarningState};
use riskflow_model::topic::Topic;
use riskflow_model::{Id, Millis, OutputRow};
use serde::Serialize;
use serde_json::{Value, json};

use super::{START, Step, case_id, seconds};
use crate::oracle::{Expected, Told, ToldOfSet};

/// One epoch.
pub(super) struct Shown {
    deltas: Vec<String>,
    dead: Vec<&'static str>,
    tables: Tables,
    changed_assets: usize,
    case_deltas: Vec<String>,
    notices: Vec<String>,
    /// Of candidates.
    candidates: Vec<String>,
    /// Sentences of notices; the oracle writes none.
    texts: Vec<String>,
    /// The first delta's; the oracle does not explain.
    explanation: Option<Explanation>,
    explains: bool,
}

/// Every row, as JSON.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    assets: BTreeMap<String, Value>,
    regions: BTreeMap<String, Value>,
    warnings: BTreeMap<String, Value>,
    cases: BTreeMap<String, Value>,
    responses: BTreeMap<String, Value>,
    totals: BTreeMap<String, Value>,
    unmatched: BTreeMap<String, Value>,
    /// By topic.
    others: BTreeMap<String, BTreeMap<String, Value>>,
    /// Cases as golden cases name them.
    names: BTreeMap<Id<WarningState>, String>,
}

impl Tables {
    /// What the dataflow shows; the tables are kept up to date by differences.
    pub(super) fn of_stream(&mut self, output: &EpochOutput) -> Shown {
        apply(&mut self.assets, output.on(Topic::RISK_ASSET));
        apply(&mut self.regions, output.on(Topic::RISK_REGION));
        apply(&mut self.warnings, output.on(Topic::WARNING_STATE));
        apply(&mut self.cases, output.on(Topic::CASE_STATE));
        apply(&mut self.responses, output.on(Topic::RESPONSE));
        apply(&mut self.totals, output.on(Topic::REPORT_TOTAL));
        apply(&mut self.unmatched, output.on(Topic::UNMATCHED));
        for topic in Topic::output_tables() {
            apply(self.others.entry(topic.to_string()).or_default(), output.on(topic));
        }
        let deltas: Vec<Told> = output.log().map(Told::of).collect();
        self.name(&deltas);
        let dead = output.log::<DeadLetter>().map(|letter| {
            let topic = Topic::from_name(&letter.topic).map_or(0, Topic::id);
            let origin = Origin {
                topic,
                partition: letter.partition as u16,
                offset: letter.offset,
            };
            (letter.reason, origin)
        });
        Shown {
            changed_assets: output
                .on(Topic::RISK_ASSET)
                .iter()
                .filter(|(_, diff)| *diff > 0)
                .count(),
            texts: sorted(
                output
                    .log::<Notice>()
                    .flat_map(|one| [one.text_zh.to_string(), one.text_en.to_string()]),
            ),
            candidates: of_sets(output.log().map(Told::of_set)),
            explanation: output
                .log::<WarningDelta>()
                .next()
                .map(|delta| delta.explanation.clone()),
            explains: true,
            ..self.shown(deltas, dead, output.log(), output.log())
        }
    }

    /// What the oracle expects.
    pub(super) fn of_oracle(&mut self, expected: &Expected) -> Shown {
        let assets = rows(&expected.assets);
        let changed = assets.iter().filter(|(key, row)| self.assets.get(*key) != Some(row));
        let changed_assets = changed.count();
        self.assets = assets;
        self.regions = rows(&expected.regions);
        self.warnings = rows(&expected.warnings);
        self.cases = rows(&expected.cases);
        self.responses = rows(&expected.responses);
        self.totals = rows(&expected.totals);
        self.unmatched = rows(&expected.unmatched);
        let others = expected.others.iter();
        self.others = others.map(|(topic, table)| (topic.to_string(), rows(table))).collect();
        self.others
            .insert(Topic::WARNING_HISTORY.to_string(), rows(&expected.history));
        let deltas: Vec<Told> = expected.deltas.iter().cloned().collect();
        self.name(&deltas);
        let dead = expected.dead.iter().copied();
        Shown {
            changed_assets,
            candidates: of_sets(expected.candidate_deltas.iter().cloned()),
            ..self.shown(deltas, dead, expected.case_deltas.iter(), expected.notices.iter())
        }
    }

    fn name(&mut self, deltas: &[Told]) {
        for told in deltas {
            let name = format!("{}/{}@{}", told.rule, told.asset, after_start(told.since));
            self.names.insert(told.id.clone(), name);
        }
    }

    fn shown<'a>(
        &self,
        mut deltas: Vec<Told>,
        dead: impl Iterator<Item = (Reason, Origin)>,
        case_deltas: impl Iterator<Item = &'a CaseDelta>,
        notices: impl Iterator<Item = &'a Notice>,
    ) -> Shown {
        deltas.sort_by_key(|told| (told.rule.clone(), told.asset.clone(), told.levels.1, told.since));
        let mut dead: Vec<(Reason, Origin)> = dead.collect();
        dead.sort_by_key(|(_, origin)| *origin);
        Shown {
            deltas: deltas.iter().map(told).collect(),
            dead: dead.iter().map(|(reason, _)| reason.name()).collect(),
            tables: self.clone(),
            changed_assets: 0,
            case_deltas: sorted(case_deltas.map(|delta| self.of_case(delta))),
            notices: sorted(notices.map(|notice| self.of_notice(notice))),
            candidates: Vec::new(),
            texts: Vec::new(),
            explanation: None,
            explains: false,
        }
    }

    fn named(&self, id: &str) -> String {
        match id.split_once('@') {
            Some((first, run)) => format!("{} of {}", self.named(first), self.named(run)),
            None => self.names.get(id).map_or_else(|| id.to_owned(), String::clone),
        }
    }

    /// A delta of a case in one line: `escalated leak in_progress yellow at 1800 by clock: reported town/duty t5 to county`.
    fn of_case(&self, delta: &CaseDelta) -> String {
        let event = &delta.event;
        let mut line = format!(
            "{}{} {} {} {} at {} by {}",
            if delta.retracted { "not " } else { "" },
            name(&event.kind),
            self.named(&delta.case),
            event.step.name(),
            event.level,
            after_start(event.at),
            name(&delta.cause),
        );
        let mut parts = Vec::new();
        if let Some(by) = &event.by {
            parts.push(by.verb.name().to_owned());
            // An end of a suppression is a time, written as no golden case writes times.
            let about = by.about.iter().filter(|about| about.parse::<Millis>().is_err());
            parts.extend(about.map(ToString::to_string));
        }
        if let Some(lifted) = &event.escalation {
            let or_nobody = |text: Option<&str>| text.unwrap_or("nobody").to_owned();
            parts.extend(lifted.step.map(|step| step.name().to_owned()));
            parts.push(format!(
                "{}/{}",
                or_nobody(lifted.unit.as_deref()),
                or_nobody(lifted.role.as_deref())
            ));
            parts.extend(lifted.task.iter().map(ToString::to_string));
            parts.push(format!("to {}", or_nobody(lifted.to.as_deref())));
        }
        parts.extend(event.refusal.iter().map(name));
        if !parts.is_empty() {
            line = format!("{line}: {}", parts.join(" "));
        }
        line
    }

    /// A notice in one line: `issued leak yellow to anna as town/duty due 900`, and of a reminder its number and when it was due:
    /// `reminder leak yellow to anna as town/duty due 900, 2 at 600`.
    fn of_notice(&self, notice: &Notice) -> String {
        let due = notice.due.map(|due| format!(" due {}", after_start(due)));
        let reminder = notice.reminder;
        let reminder = reminder.map(|reminder| format!(", {} at {}", reminder.number, after_start(reminder.at)));
        format!(
            "{} {} {} to {} as {}/{}{}{}",
            notice.event.name(),
            self.named(&notice.case),
            notice.level,
            notice.user,
            notice.unit,
            notice.role,
            due.unwrap_or_default(),
            reminder.unwrap_or_default()
        )
    }
}

impl Shown {
    /// Whether it is what a step says. `people`: whether what happens to cases is listed in full.
    pub(super) fn check(&self, step: &Step, people: bool) -> Result<()> {
        let deltas = &self.deltas;
        ensure!(*deltas == step.deltas, "deltas are {deltas:#?}, not {:#?}", step.deltas);
        if let Some(wanted) = &step.candidates {
            let found = &self.candidates;
            ensure!(found == wanted, "deltas of candidates are {found:#?}, not {wanted:#?}");
        }
        if let Some(texts) = step.texts.as_ref().filter(|_| self.explains) {
            ensure!(self.texts == *texts, "sentences are {:#?}, not {texts:#?}", self.texts);
        }
        let dead = &self.dead;
        ensure!(*dead == step.dead, "dead letters are {dead:?}, not {:?}", step.dead);
        let (nothing, tables) = (BTreeMap::new(), &self.tables.others);
        let others = step.tables.iter();
        let others = others.map(|(topic, wanted)| (&**topic, tables.get(topic).unwrap_or(&nothing), wanted));
        let known = [
            ("assets", &self.tables.assets, &step.assets),
            ("regions", &self.tables.regions, &step.regions),
            ("cases", &self.tables.cases, &step.cases),
            ("responses", &self.tables.responses, &step.responses),
            ("totals", &self.tables.totals, &step.totals),
            ("unmatched", &self.tables.unmatched, &step.unmatched),
        ];
        for (name, table, wanted) in known.into_iter().chain(others) {
            for (key, fields) in wanted {
                let row = table.get(&case_id(key));
                if fields.is_null() {
                    ensure!(row.is_none(), "{name} has `{key}`");
                } else {
                    let row = row.with_context(|| format!("{name} has no `{key}`"))?;
                    part_of(fields, row).with_context(|| format!("{name} `{key}`"))?;
                }
            }
        }
        if let Some(open) = step.warnings {
            let found = self.tables.warnings.len();
            ensure!(found == open, "{found} warnings are open, not {open}");
        }
        if let Some(wanted) = step.changed_assets {
            let changed = self.changed_assets;
            ensure!(changed == wanted, "{changed} asset rows changed, not {wanted}");
        }
        if let Some(wanted) = step.explanation.as_ref().filter(|_| self.explains) {
            let explanation = self.explanation.as_ref().context("there is no delta to explain")?;
            part_of(wanted, &serde_json::to_value(explanation)?).context("explanation")?;
        }
        if people {
            for (what, found, wanted) in [
                ("case deltas", &self.case_deltas, &step.case_deltas),
                ("notices", &self.notices, &step.notices),
            ] {
                let wanted = sorted(wanted.iter().flatten().cloned());
                ensure!(*found == wanted, "{what} are {found:#?}, not {wanted:#?}");
            }
        }
        Ok(())
    }
}

/// Deltas of candidates, each behind its set: `strict raised gas/tank none->yellow since 10 at 10 by data`.
fn of_sets(deltas: impl Iterator<Item = ToldOfSet>) -> Vec<String> {
    sorted(deltas.map(|(set, delta)| format!("{set} {}", told(&delta))))
}

/// A delta in one line: `raised gas/tank none->yellow since 10 at 10 by data`.
fn told(told: &Told) -> String {
    format!(
        "{} {}/{} {}->{} since {} at {} by {}",
        told.kind.name(),
        told.rule,
        told.asset,
        told.levels.0,
        told.levels.1,
        after_start(told.since),
        after_start(told.at),
        name(&told.cause)
    )
}

fn after_start(time: Millis) -> f64 {
    (time.0 - START) as f64 / 1000.0
}

/// The name on the topics.
fn name(of: &impl Serialize) -> String {
    let value = serde_json::to_value(of).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

fn rows<K: ToString, T: Serialize>(table: &BTreeMap<K, T>) -> BTreeMap<String, Value> {
    let row = |row: &T| serde_json::to_value(row).unwrap_or_default();
    table.iter().map(|(key, of)| (key.to_string(), row(of))).collect()
}

fn apply(table: &mut BTreeMap<String, Value>, rows: &[(OutputRow, i64)]) {
    for (row, diff) in rows {
        let mut json = Vec::new();
        row.write_json(&mut json).expect("a row can be written");
        let (key, row) = (
            row.key().to_string(),
            serde_json::from_slice(&json).expect("it is JSON"),
        );
        if *diff > 0 {
            table.insert(key, row);
        } else if table.get(&key) == Some(&row) {
            table.remove(&key);
        }
    }
}

/// In a row, `{"s": 60}` is the time 60 seconds after the start.
pub(super) fn times(value: &mut Value) {
    let time = value.as_object().filter(|fields| fields.len() == 1);
    if let Some(time) = time.and_then(|fields| fields.get("s")).and_then(Value::as_f64) {
        *value = json!(seconds(time));
        return;
    }
    match value {
        Value::Object(fields) => fields.values_mut().for_each(times),
        Value::Array(values) => values.iter_mut().for_each(times),
        _ => {}
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
        (Value::Number(time), Value::String(row)) if is_time(time.as_f64(), row) => Ok(()),
        _ => bail!("is {row}, not {wanted}"),
    }
}

fn is_time(wanted: Option<f64>, row: &str) -> bool {
    wanted.map(|time| Millis(seconds(time))) == row.parse().ok()
}
