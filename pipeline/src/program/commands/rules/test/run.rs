//! Runs a test, and compares what came out with what must come out.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use riskflow::runtime::graph::Meters;
use riskflow::runtime::output::EpochOutput;
use riskflow::runtime::replay::replay;
use riskflow_model::output::{DeadLetter, DeltaKind, Unmatched, WarningDelta, WarningState};
use riskflow_model::{Duration, Level};
use serde_json::{Value, json};

use super::after::After;
use super::difference::{Line, deltas_differ, open_differs, reasons_differ};
use super::format::Delta;
use super::prepare::Prepared;

/// What became of a test.
#[derive(Debug)]
pub struct Outcome {
    /// What is otherwise than expected; nothing, if it passed.
    pub failures: Vec<Failure>,
    /// All that was told.
    pub told: Vec<Delta>,
    /// What its author may not know.
    pub notes: BTreeSet<String>,
}

/// Something that is otherwise than expected.
#[derive(Debug)]
pub struct Failure {
    /// What it is about, such as `open at 1h`.
    pub what: String,
    /// The difference.
    pub lines: Vec<Line>,
    /// For machines.
    pub expected: Value,
    pub got: Value,
}

/// Runs a test over its history.
///
/// # Errors
///
/// When the dataflow could not be run.
pub fn run(test: &mut Prepared) -> Result<Outcome> {
    let mut semantics = test.semantics.clone();
    // What meets nothing is asked for at the end, however long it has been so.
    semantics.unmatched.after = Duration::ZERO;
    let epochs = std::mem::take(&mut test.history.epochs);
    let outputs = replay(epochs, 1, semantics, &Meters::default()).map_err(anyhow::Error::msg)?;
    let told = told(test, &outputs);
    let deltas = test.deltas.as_ref();
    let deltas = deltas.and_then(|expected| {
        Some(Failure {
            what: "deltas".to_owned(),
            lines: deltas_differ(expected, &told)?,
            expected: json!(expected),
            got: json!(told),
        })
    });
    let mut failures = Vec::from_iter(deltas);
    failures.extend(open(test, &outputs));
    failures.extend(refused(test, &outputs));
    Ok(Outcome {
        failures,
        told,
        notes: unmatched(test, &outputs),
    })
}

/// A delta in the words of tests, all fields given.
fn in_words(test: &Prepared, told: After, delta: &WarningDelta) -> Delta {
    let after = |time: riskflow_model::Millis| Some(After((time - test.start).0));
    let level = if delta.to == Level::None { delta.from } else { delta.to };
    Delta {
        kind: Some(delta.kind),
        rule: Some(delta.rule.to_string()),
        asset: Some(delta.asset.to_string()),
        level: Some(level),
        from: Some(delta.from),
        to: Some(delta.to),
        at: after(delta.at),
        since: after(delta.since),
        told: Some(told),
        cause: Some(delta.cause),
    }
}

/// All that was told, in the order of epochs.
fn told(test: &Prepared, outputs: &[EpochOutput]) -> Vec<Delta> {
    let mut all = Vec::new();
    for output in outputs {
        let told = After((output.epoch - test.start).0);
        let mut deltas: Vec<Delta> = output.log().map(|delta| in_words(test, told, delta)).collect();
        // What ended before what began.
        deltas.sort_by_key(|delta| (delta.at, delta.kind == Some(DeltaKind::Raised), delta.rule.clone()));
        all.extend(deltas);
    }
    all
}

/// So many lines are told of what is open; of the times beyond that only how many they are.
const MOST_LINES: usize = 10_000;

/// What is open at the times that are asked about.
fn open(test: &Prepared, outputs: &[EpochOutput]) -> Vec<Failure> {
    let (mut failures, mut told, mut more) = (Vec::new(), 0, 0);
    let mut asked: Vec<_> = test.expect.iter().collect();
    asked.sort_by_key(|expected| expected.at);
    let mut open: BTreeMap<String, Level> = BTreeMap::new();
    let name = |state: &WarningState| format!("{}/{}", state.rule, state.asset);
    let mut outputs = outputs.iter().peekable();
    for expected in asked {
        while let Some(output) = outputs.next_if(|output| (output.epoch - test.start).0 <= expected.at.0) {
            let rows = output.table::<WarningState>();
            for (state, _) in rows.clone().filter(|(_, diff)| *diff < 0) {
                open.remove(&name(state));
            }
            for (state, _) in rows.filter(|(_, diff)| *diff > 0) {
                open.insert(name(state), state.level);
            }
        }
        if told > MOST_LINES && expected.open != open {
            more += 1;
            continue;
        }
        let Some(lines) = open_differs(&expected.open, &open) else {
            continue;
        };
        told += lines.len();
        failures.push(Failure {
            what: format!("open at {}", expected.at),
            lines,
            expected: json!(expected.open),
            got: json!(open),
        });
    }
    failures.extend((more > 0).then(|| Failure {
        what: format!("open at {more} more times, which are not told one by one"),
        lines: Vec::new(),
        expected: Value::Null,
        got: Value::Null,
    }));
    failures
}

/// Records that were refused while it ran.
fn refused(test: &Prepared, outputs: &[EpochOutput]) -> Option<Failure> {
    let letters: Vec<&DeadLetter> = outputs.iter().flat_map(EpochOutput::log).collect();
    let got = letters.iter().map(|letter| {
        let place = test.history.places.get(&letter.offset);
        let place = place.map_or("", String::as_str);
        let problem = letter.detail.lines().collect::<Vec<_>>().join("; ");
        (letter.reason, format!("a record of `{place}`: {problem}"))
    });
    let got: Vec<_> = got.collect();
    let lines = reasons_differ(&test.dead_letters, &got)?;
    let all = letters.iter().map(|letter| letter.reason);
    Some(Failure {
        what: "dead letters".to_owned(),
        lines,
        expected: json!(test.dead_letters),
        got: json!(all.collect::<Vec<_>>()),
    })
}

/// What does not fit together at the end of a test, of all that it is about.
fn unmatched(test: &Prepared, outputs: &[EpochOutput]) -> BTreeSet<String> {
    let mut rows = BTreeSet::new();
    for output in outputs {
        for (row, diff) in output.table::<Unmatched>() {
            if diff > 0 {
                rows.insert(row);
            } else {
                rows.remove(row);
            }
        }
    }
    // A test of some of the rules need not watch everything.
    let is_about = |row: &Unmatched| match &row.datastream {
        Some(datastream) => test.fed.contains(&**datastream) && (row.alerts || &*row.kind == "no_rule"),
        None => row.alerts && row.count.is_none(),
    };
    let notes = rows.into_iter().filter(|row| is_about(row)).map(|row| {
        let about = row.datastream.as_deref().or(row.asset.as_deref());
        let about = about.map(|about| format!(" of `{about}`")).unwrap_or_default();
        format!("{}{about}: {}", row.kind, row.problem)
    });
    notes.collect()
}
