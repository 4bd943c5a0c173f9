//! Runs a test, and compares what came out with what must come out.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use riskflow::runtime::graph::Meters;
use riskflow::runtime::output::EpochOutput;
use riskflow::runtime::replay::replay;
use riskflow_model::output::{CaseState, DeadLetter, DeltaKind, Notice, Unmatched, WarningDelta, WarningState};
use riskflow_model::{Duration, Id, Level, Millis};
use serde::Serialize;
use serde_json::{Value, json};

use super::after::After;
use super::difference::{Line, reasons_differ, standing_differs, told_differs};
use super::format::{Delta, Expected, NoticeOf};
use super::prepare::Prepared;
use super::told::Told;

/// What became of a test.
#[derive(Debug)]
pub struct Outcome {
    /// What is otherwise than expected; nothing, if it passed.
    pub failures: Vec<Failure>,
    /// All that was told of warnings.
    pub told: Vec<Delta>,
    /// All that people were told.
    pub notices: Vec<NoticeOf>,
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
    let (told, notices) = (told(test, &outputs), notices(test, &outputs));
    let mut failures = Vec::from_iter(otherwise("deltas", test.deltas.as_deref(), &told));
    failures.extend(otherwise("notices", test.notices.as_deref(), &notices));
    failures.extend(standing::<Open>(test, &outputs));
    failures.extend(standing::<Cases>(test, &outputs));
    failures.extend(refused(test, &outputs));
    Ok(Outcome {
        failures,
        told,
        notices,
        notes: unmatched(test, &outputs),
    })
}

/// How what was told is otherwise than expected.
fn otherwise<T: Told + Serialize>(what: &str, expected: Option<&[T]>, told: &[T]) -> Option<Failure> {
    let expected = expected?;
    Some(Failure {
        what: what.to_owned(),
        lines: told_differs(expected, told)?,
        expected: json!(expected),
        got: json!(told),
    })
}

/// All that people were told, in the order of epochs.
fn notices(test: &Prepared, outputs: &[EpochOutput]) -> Vec<NoticeOf> {
    let after = |time: Millis| After((time - test.start).0);
    let of_epoch = |output: &EpochOutput| -> Vec<NoticeOf> {
        let told = Some(after(output.epoch));
        let notices = output.log::<Notice>().map(|notice| NoticeOf {
            event: Some(notice.event),
            user: Some(notice.user.to_string()),
            unit: Some(notice.unit.to_string()),
            role: Some(notice.role.to_string()),
            rule: Some(notice.rule.to_string()),
            asset: notice.asset.as_ref().map(ToString::to_string),
            level: Some(notice.level),
            told,
            due: notice.due.map(after),
        });
        notices.collect()
    };
    outputs.iter().flat_map(of_epoch).collect()
}

/// A delta in the words of tests, all fields given.
fn in_words(test: &Prepared, told: After, delta: &WarningDelta) -> Delta {
    let after = |time: Millis| Some(After((time - test.start).0));
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

/// What stands, by `rule/asset`, in the words of tests.
trait Standing: Default {
    const NAME: &'static str;

    /// What must stand, if that is said.
    fn expected(expected: &Expected) -> Option<BTreeMap<String, &'static str>>;

    /// Takes what an epoch gave.
    fn take(&mut self, output: &EpochOutput);

    /// What stands now.
    fn now(&self) -> Cow<'_, BTreeMap<String, &'static str>>;
}

/// The levels of open warnings.
#[derive(Default)]
struct Open(BTreeMap<String, &'static str>);

impl Standing for Open {
    const NAME: &'static str = "open";

    fn expected(expected: &Expected) -> Option<BTreeMap<String, &'static str>> {
        let open = expected.open.as_ref()?.iter();
        Some(open.map(|(name, level)| (name.clone(), level.name())).collect())
    }

    fn take(&mut self, output: &EpochOutput) {
        let name = |state: &WarningState| format!("{}/{}", state.rule, state.asset);
        let rows = output.table::<WarningState>();
        for (state, _) in rows.clone().filter(|(_, diff)| *diff < 0) {
            self.0.remove(&name(state));
        }
        for (state, _) in rows.filter(|(_, diff)| *diff > 0) {
            self.0.insert(name(state), state.level.name());
        }
    }

    fn now(&self) -> Cow<'_, BTreeMap<String, &'static str>> {
        Cow::Borrowed(&self.0)
    }
}

/// The steps of cases: of each when it began, what it is called, and the step.
#[derive(Default)]
struct Cases(BTreeMap<Id<CaseState>, (Millis, String, &'static str)>);

impl Standing for Cases {
    const NAME: &'static str = "cases";

    fn expected(expected: &Expected) -> Option<BTreeMap<String, &'static str>> {
        let cases = expected.cases.as_ref()?.iter();
        Some(cases.map(|(name, step)| (name.clone(), step.name())).collect())
    }

    fn take(&mut self, output: &EpochOutput) {
        let rows = output.table::<CaseState>();
        for (case, _) in rows.clone().filter(|(_, diff)| *diff < 0) {
            self.0.remove(&case.id);
        }
        for (case, _) in rows.filter(|(_, diff)| *diff > 0) {
            let asset = case
                .asset
                .as_ref()
                .map_or_else(|| case.id.to_string(), ToString::to_string);
            let name = format!("{}/{asset}", case.rule);
            self.0.insert(case.id.clone(), (case.since, name, case.step.name()));
        }
    }

    fn now(&self) -> Cow<'_, BTreeMap<String, &'static str>> {
        let mut cases: Vec<_> = self.0.values().collect();
        cases.sort();
        Cow::Owned(cases.into_iter().map(|(_, name, step)| (name.clone(), *step)).collect())
    }
}

/// What stands at the times that are asked about.
fn standing<S: Standing>(test: &Prepared, outputs: &[EpochOutput]) -> Vec<Failure> {
    let (mut failures, mut told, mut more) = (Vec::new(), 0, 0);
    let asked = test
        .expect
        .iter()
        .filter_map(|asked| Some((asked.at, S::expected(asked)?)));
    let mut asked: Vec<_> = asked.collect();
    asked.sort_by_key(|(at, _)| *at);
    let mut table = S::default();
    let mut outputs = outputs.iter().peekable();
    for (at, expected) in asked {
        while let Some(output) = outputs.next_if(|output| (output.epoch - test.start).0 <= at.0) {
            table.take(output);
        }
        let now = table.now();
        if told > MOST_LINES && expected != *now {
            more += 1;
            continue;
        }
        let Some(lines) = standing_differs(&expected, &now) else {
            continue;
        };
        told += lines.len();
        failures.push(Failure {
            what: format!("{} at {at}", S::NAME),
            lines,
            expected: json!(expected),
            got: json!(*now),
        });
    }
    failures.extend((more > 0).then(|| Failure {
        what: format!("{} at {more} more times, which are not told one by one", S::NAME),
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
