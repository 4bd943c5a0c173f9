//! What the graph publishes, gathered epoch by epoch on one worker.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use riskflow_model::progress::Offsets;
use riskflow_model::topic::{Cleanup, Topic};
use riskflow_model::{Millis, OutputRecord, OutputRow, Text};
use riskflow_operators::engine::{Tick, Waking};
use riskflow_operators::{Diff, Turn};
use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::probe::{Handle, Probe};

/// What goes to worker 0.
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
}

impl EpochOutput {
    /// Of rows that came (1) and went (-1), and records of logs (1), in any order.
    #[must_use]
    pub fn new(epoch: Millis, rows: Vec<(OutputRow, Diff)>) -> Self {
        let mut this = Self {
            epoch,
            rows,
            ..Self::default()
        };
        this.put_in_order();
        this
    }

    fn gathered(epoch: u64, updates: Vec<(Output, Diff)>, woken: bool) -> Self {
        let mut offsets = Offsets::default();
        let mut rows = Vec::with_capacity(updates.len());
        for (output, diff) in updates {
            match output {
                Output::Row(row) => rows.push((row, diff)),
                Output::Taken(topic, partition, next, mark) => offsets.advance_marked(topic, partition, next, mark),
                Output::Waking(..) => unreachable!("it was taken out before"),
            }
        }
        Self {
            offsets,
            woken,
            ..Self::new(Millis(epoch as i64), rows)
        }
    }

    /// One more row or record.
    pub fn push<R: OutputRecord>(&mut self, record: R, diff: Diff) {
        self.rows.push((OutputRow::new(record), diff));
        self.put_in_order();
    }

    /// By topic; tables by key, what went before what came; logs as their records say. What comes and goes in one epoch is nothing.
    fn put_in_order(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        // Most rows are told apart by how their keys begin, without a look at what lies elsewhere in memory.
        let begin = |((row, _), at): (&(OutputRow, Diff), u32)| (row.topic(), beginning(row), at);
        let mut order: Vec<(Topic, u128, u32)> = rows.iter().zip(0..).map(begin).collect();
        order.sort_unstable_by(|(a_topic, a_begin, a), (b_topic, b_begin, b)| {
            (a_topic, a_begin).cmp(&(b_topic, b_begin)).then_with(|| {
                let ((a_row, a_diff), (b_row, b_diff)) = (&rows[*a as usize], &rows[*b as usize]);
                place(a_row, b_row).then(a_diff.cmp(b_diff)).then(a.cmp(b))
            })
        });
        // Mostly a place has one row that went and one that came, which differ.
        let mut kept = Vec::with_capacity(rows.len());
        let mut rows: Vec<Option<(OutputRow, Diff)>> = rows.into_iter().map(Some).collect();
        let rows = order.into_iter().filter_map(|(_, _, at)| rows[at as usize].take());
        let mut rows = rows.peekable();
        let mut group: Vec<(OutputRow, Diff)> = Vec::new();
        while let Some(row) = rows.next() {
            let more = rows
                .peek()
                .is_some_and(|next| place(&row.0, &next.0) == Ordering::Equal);
            if group.is_empty() && !more {
                kept.push(row);
                continue;
            }
            match group.iter_mut().find(|(known, _)| *known == row.0) {
                Some((_, diff)) => *diff += row.1,
                None => group.push(row),
            }
            if !more {
                kept.extend(group.drain(..).filter(|(_, diff)| *diff != 0));
            }
        }
        self.rows = kept;
    }

    /// The same without some rows and records.
    #[must_use]
    pub fn without(&self, gone: impl Fn(&OutputRow) -> bool) -> Self {
        let mut left = self.clone();
        left.rows.retain(|(row, _)| !gone(row));
        left
    }

    /// More rows and records.
    pub fn extend(&mut self, rows: impl Iterator<Item = (OutputRow, Diff)>) {
        self.rows.extend(rows);
        self.put_in_order();
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

/// When each fold's share on each worker waits for the clock next.
#[derive(Default)]
struct Alarms(BTreeMap<(Text, usize), Option<Millis>>);

impl Alarms {
    /// Takes out what the clock did in an epoch; whether it woke a key.
    fn hear(&mut self, updates: &mut Vec<(Output, Diff)>) -> bool {
        let mut woken = false;
        updates.retain(|(output, _)| {
            let Output::Waking(waking) = output else {
                return true;
            };
            woken |= waking.woken;
            self.0.insert((waking.fold.clone(), waking.worker), waking.next);
            false
        });
        woken
    }

    fn earliest(&self) -> Option<i64> {
        self.0.values().flatten().min().map(|next| next.0)
    }
}

/// What waits until its turn is over.
#[derive(Default)]
struct Pending {
    epoch: Option<u64>,
    updates: Vec<(Output, Diff)>,
}

/// Gathers all updates on worker 0 and hands them to `publish` epoch by epoch, in order, once an epoch is complete, together
/// with the earliest time that any key waits for after it; epochs that publish nothing too. `probe` follows behind.
pub fn publish<'scope>(
    updates: StreamVec<'scope, Turn, OutputUpdate>,
    ticks: StreamVec<'scope, Turn, Tick>,
    probe: &Handle<Turn>,
    index: usize,
    mut publish: impl FnMut(EpochOutput, Option<i64>) + 'static,
) {
    let mut alarms = Alarms::default();
    let mut pending: BTreeMap<Turn, Pending> = BTreeMap::new();
    let gather = Exchange::new(|_: &OutputUpdate| 0);
    let pipeline = timely::dataflow::channels::pact::Pipeline;
    updates
        .binary_frontier::<_, timely::container::CapacityContainerBuilder<Vec<()>>, _, _, _, _>(
            ticks,
            gather,
            pipeline,
            "Publish",
            move |capability, _| {
                drop(capability);
                move |(updates, updates_frontier), (ticks, ticks_frontier), _output| {
                    updates.for_each(|_, batch| {
                        for (output, turn, diff) in batch.drain(..) {
                            pending.entry(turn).or_default().updates.push((output, diff));
                        }
                    });
                    ticks.for_each(|capability, ticks| {
                        if let Some(turn) = capability.least().filter(|_| index == 0) {
                            pending.entry(*turn).or_default().epoch = ticks.first().map(|tick| tick.epoch);
                        }
                    });
                    while let Some(entry) = pending.first_entry() {
                        let turn = *entry.key();
                        if updates_frontier.frontier().less_equal(&turn) || ticks_frontier.frontier().less_equal(&turn)
                        {
                            break;
                        }
                        let Pending { epoch, mut updates } = entry.remove();
                        let epoch = epoch.expect("what speaks speaks at ticks");
                        let woken = alarms.hear(&mut updates);
                        publish(EpochOutput::gathered(epoch, updates, woken), alarms.earliest());
                    }
                }
            },
        )
        .probe_with(probe);
}

#[cfg(test)]
mod tests {
    use riskflow_model::output::ReportTotal;
    use riskflow_model::{Number, RegionCode};

    use super::*;

    #[test]
    fn rows_stand_by_their_keys_and_what_comes_and_goes_is_nothing() {
        let row = |kind: &str, total: f64| {
            let region: RegionCode = "3309".parse().unwrap();
            OutputRow::new(ReportTotal {
                region,
                module: "m".into(),
                kind: kind.into(),
                quantity: "q".into(),
                total: Number(total),
                reports: 1,
            })
        };
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
        let row = |module: &str, kind: &str| {
            OutputRow::new(ReportTotal {
                region: "3309".parse().unwrap(),
                module: module.into(),
                kind: kind.into(),
                quantity: "q".into(),
                total: Number(1.0),
                reports: 1,
            })
        };
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
