//! What the graph publishes, epoch by epoch.

use std::cmp::Ordering;

use riskflow_model::progress::Offsets;
use riskflow_model::topic::{Cleanup, Topic};
use riskflow_model::{Bytes, Millis, OutputRecord, OutputRow};
use riskflow_operators::engine::Waking;
use riskflow_operators::{Diff, Turn};
use serde::{Deserialize, Serialize};

mod payload;
mod exit;

pub use exit::publish;
pub(super) use payload::Json;

/// What the graph gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// A row of an output table, or a record of an output log.
    Row(OutputRow),
    /// The epoch took the records of a partition before this offset: topic, partition, offset, and the mark there.
    Taken(Topic, u16, u64, Option<u32>),
    /// What the clock does to a fold.
    Waking(Box<Waking>),
}

/// A change of what is published.
pub type OutputUpdate = (Output, Turn, Diff);

/// Everything that one epoch publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochOutput {
    /// The epoch.
    pub epoch: Millis,
    /// How far the input was taken, in partitions of which any was.
    pub offsets: Offsets,
    /// Whether the clock woke a key of a fold.
    pub woken: bool,
    rows: Vec<(OutputRow, Diff)>,
    /// Those of the rows, by their places, as far as workers encoded them. No table keeps them: they are as large as the rows.
    payloads: Vec<Option<Bytes>>,
}

/// A row that came or went, or a record; and its payload, if its worker encoded it.
pub(super) type Leaving = (OutputRow, Diff, Option<Bytes>);

impl EpochOutput {
    /// Of rows that came (1) and went (-1), and records of logs (1), in any order.
    #[must_use]
    pub fn new(epoch: Millis, rows: Vec<(OutputRow, Diff)>) -> Self {
        let rows = in_order(rows.into_iter().map(|(row, diff)| (row, diff, None)).collect());
        Self {
            epoch,
            rows: rows.into_iter().map(|(row, diff, _)| (row, diff)).collect(),
            ..Self::default()
        }
    }

    /// Of the shares of workers, each in order, whichever worker comes first.
    pub(super) fn merged(epoch: Millis, shares: impl IntoIterator<Item = Vec<Leaving>>) -> Self {
        let mut shares = shares.into_iter();
        let mut rows = shares.next().unwrap_or_default();
        let mut others = shares.flatten().peekable();
        if others.peek().is_some() {
            rows.extend(others);
            rows = in_order(rows);
        }
        let rows = rows.into_iter().map(|(row, diff, payload)| ((row, diff), payload));
        let (rows, mut payloads): (Vec<_>, Vec<_>) = rows.unzip();
        if payloads.iter().all(Option::is_none) {
            payloads = Vec::new();
        }
        Self {
            epoch,
            rows,
            payloads,
            ..Self::default()
        }
    }

    /// Takes out what workers encoded, by the places of the rows; nothing where they encoded none of them.
    pub(super) fn take_payloads(&mut self) -> Vec<Option<Bytes>> {
        std::mem::take(&mut self.payloads)
    }

    /// One more row or record.
    pub fn push<R: OutputRecord>(&mut self, record: R, diff: Diff) {
        self.extend(std::iter::once((OutputRow::new(record), diff)));
    }

    /// The same without some rows and records.
    #[must_use]
    pub fn without(&self, gone: impl Fn(&OutputRow) -> bool) -> Self {
        let left = self.rows.iter().filter(|(row, _)| !gone(row));
        Self {
            rows: left.cloned().collect(),
            payloads: Vec::new(),
            offsets: self.offsets.clone(),
            ..*self
        }
    }

    /// More rows and records.
    pub fn extend(&mut self, rows: impl Iterator<Item = (OutputRow, Diff)>) {
        let mut all = std::mem::take(&mut self.rows);
        all.extend(rows);
        *self = Self {
            offsets: std::mem::take(&mut self.offsets),
            woken: self.woken,
            ..Self::new(self.epoch, all)
        };
    }

    /// What it publishes on a topic: of a table the rows by their keys, those that went before those that came; of a log its
    /// records in order.
    #[must_use]
    pub fn on(&self, topic: Topic) -> &[(OutputRow, Diff)] {
        let from = self.rows.partition_point(|(row, _)| row.topic() < topic);
        let to = self.rows.partition_point(|(row, _)| row.topic() <= topic);
        &self.rows[from..to]
    }

    /// All that it publishes, topic by topic.
    #[must_use]
    pub fn rows(&self) -> &[(OutputRow, Diff)] {
        &self.rows
    }

    /// The rows of a table that came (1) and went (-1), by their keys.
    pub fn table<R: OutputRecord>(&self) -> impl Iterator<Item = (&R, Diff)> + Clone {
        let rows = self.on(Topic::of::<R>()).iter();
        rows.map(|(row, diff)| (row.downcast_ref().expect("rows are found by their topic"), *diff))
    }

    /// The records of a log, in order.
    pub fn log<R: OutputRecord>(&self) -> impl Iterator<Item = &R> + Clone {
        self.table::<R>().map(|(record, _)| record)
    }

    /// Whether nothing is published.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// By topic; tables by key, what went before what came; logs as their records say. What comes and goes in one epoch is nothing.
fn in_order(rows: Vec<Leaving>) -> Vec<Leaving> {
    // Most rows are told apart by how their keys begin, without a look at what lies elsewhere in memory.
    let begin = |((row, ..), at): (&Leaving, u32)| (row.topic(), beginning(row), at);
    let mut order: Vec<(Topic, u128, u32)> = rows.iter().zip(0..).map(begin).collect();
    // Stable: such a sort finds what is in order already, the shares of workers, and merges it.
    order.sort_by(|(a_topic, a_begin, a), (b_topic, b_begin, b)| {
        (a_topic, a_begin).cmp(&(b_topic, b_begin)).then_with(|| {
            let ((a_row, a_diff, _), (b_row, b_diff, _)) = (&rows[*a as usize], &rows[*b as usize]);
            place(a_row, b_row).then(a_diff.cmp(b_diff))
        })
    });
    // Mostly a place has one row that went and one that came, which differ.
    let mut kept = Vec::with_capacity(rows.len());
    let mut rows: Vec<Option<Leaving>> = rows.into_iter().map(Some).collect();
    let rows = order.into_iter().filter_map(|(_, _, at)| rows[at as usize].take());
    let mut rows = rows.peekable();
    let mut group: Vec<Leaving> = Vec::new();
    while let Some((row, diff, payload)) = rows.next() {
        let more = rows.peek().is_some_and(|next| place(&row, &next.0) == Ordering::Equal);
        if group.is_empty() && !more {
            kept.push((row, diff, payload));
            continue;
        }
        match group.iter_mut().find(|(known, ..)| *known == row) {
            Some((_, sum, known)) => {
                *sum += diff;
                *known = known.take().or(payload);
            }
            None => group.push((row, diff, payload)),
        }
        if !more {
            kept.extend(group.drain(..).filter(|(_, diff, _)| *diff != 0));
        }
    }
    kept
}

/// How the key of a table's row begins, such that rows whose beginnings differ stand in the order of these.
fn beginning(row: &OutputRow) -> u128 {
    const BYTES: usize = size_of::<u128>();
    if row.topic().cleanup() != Cleanup::Compact {
        return 0;
    }
    let mut bytes = [0; BYTES];
    bytes
        .iter_mut()
        .zip(row.key().bytes())
        .for_each(|(into, byte)| *into = byte);
    u128::from_be_bytes(bytes)
}

/// Where a row stands among those of its epoch.
fn place(a: &OutputRow, b: &OutputRow) -> Ordering {
    let topic = a.topic();
    topic.cmp(&b.topic()).then_with(|| match topic.cleanup() {
        Cleanup::Compact => a.key().cmp(b.key()),
        Cleanup::Delete => a.order(b).then_with(|| a.cmp(b)),
    })
}

/// A row for tests.
#[cfg(test)]
pub(super) mod testing {
    use riskflow_model::output::ReportTotal;
    use riskflow_model::{Number, OutputRow};

    pub fn total(module: &str, kind: &str, total: f64) -> OutputRow {
        OutputRow::new(ReportTotal {
            region: "3309".parse().unwrap(),
            module: module.into(),
            kind: kind.into(),
            quantity: "q".into(),
            total: Number(total),
            reports: 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::output::ReportTotal;

    use super::testing::total;
    use super::*;

    #[test]
    fn rows_stand_by_their_keys_and_what_comes_and_goes_is_nothing() {
        let row = |kind: &str, sum: f64| total("m", kind, sum);
        let updates = vec![
            (row("b", 2.0), 1),
            (row("c", 1.0), 1),
            (row("a", 1.0), 1),
            (row("b", 1.0), -1),
            (row("c", 1.0), -1),
            (row("d", 5.0), 1),
            (row("d", 5.0), -1),
            (row("d", 6.0), 1),
        ];
        let output = EpochOutput::new(Millis(1), updates);
        let found: Vec<_> = output
            .table::<ReportTotal>()
            .map(|(row, diff)| (&*row.kind, row.total.0, diff))
            .collect();
        assert_eq!(found, [("a", 1.0, 1), ("b", 1.0, -1), ("b", 2.0, 1), ("d", 6.0, 1)]);
        assert!(output.on(Topic::DEAD_LETTER).is_empty() && !output.is_empty());
    }

    #[test]
    fn keys_that_begin_alike_stand_in_their_order() {
        let row = |module: &str, kind: &str| total(module, kind, 1.0);
        let modules = [
            "",
            "m",
            "m1",
            "flood-control",
            "flood-control-of-towns",
            "汛",
            "\u{10ffff}",
        ];
        let kinds = ["z", "a", "a\u{1}", "houses"];
        let rows = modules
            .iter()
            .flat_map(|module| kinds.map(|kind| (row(module, kind), 1)));
        let output = EpochOutput::new(Millis(1), rows.collect());
        let keys: Vec<&str> = output.rows().iter().map(|(row, _)| &**row.key()).collect();
        assert_eq!(keys.len(), modules.len() * kinds.len());
        assert!(keys.is_sorted(), "{keys:?}");
    }
}
