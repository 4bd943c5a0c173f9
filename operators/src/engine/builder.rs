//! All that a capability may do to the dataflow: take tables, run folds, publish.
//!
//! It owns what every fold needs beside its rows and records (ticks, how its state outlives the process, what counts its work),
//! so that no list of folds or topics stands anywhere else: a capability is a function of a [`Builder`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use differential_dataflow::AsCollection;
use riskflow_model::topic::Topic;
use riskflow_model::{Key, OutputRecord, OutputRow, Shared, TableRecord};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Concatenate;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::{Map, Partition, ToStream};
use timely::progress::operate::FrontierInterest;

use crate::engine::fold::{Batch, Fold, FoldMeter, Keeper, Tick, Waking, fold};
use crate::engine::table::{BaseRecord, Latest, TableOutput};
use crate::engine::{Diff, Rows, Turn};

/// What a fold gives.
pub type Updates<'scope, D> = StreamVec<'scope, Turn, (D, Turn, Diff)>;

/// What folds need from outside of the dataflow, by their names.
pub trait Outside {
    /// How the state of a fold outlives the process.
    fn keeper(&mut self, fold: &'static str) -> Keeper;

    /// What counts the work of a fold, over all workers of the process.
    fn meter(&mut self, fold: &'static str) -> Arc<FoldMeter>;
}

/// The dataflow of one worker while it is built.
pub struct Builder<'scope, 'outside> {
    ticks: StreamVec<'scope, Turn, Tick>,
    outside: &'outside mut dyn Outside,
    tables: BTreeMap<Topic, Updates<'scope, TableOutput>>,
    rows: Vec<Updates<'scope, OutputRow>>,
    waking: Vec<StreamVec<'scope, Turn, (Waking, Turn)>>,
}

/// What goes out of the dataflow.
pub struct Built<'scope> {
    /// Rows of tables, records of logs.
    pub rows: Updates<'scope, OutputRow>,
    /// What the clock does to folds.
    pub waking: StreamVec<'scope, Turn, (Waking, Turn)>,
}

impl<'scope, 'outside> Builder<'scope, 'outside> {
    /// Begins with the input tables. `in_vain` counts deletions of rows that were not there.
    pub fn new(
        base: StreamVec<'scope, Turn, Batch<BaseRecord>>,
        ticks: StreamVec<'scope, Turn, Tick>,
        in_vain: Arc<AtomicU64>,
        outside: &'outside mut dyn Outside,
    ) -> Self {
        let mut this = Self {
            ticks,
            outside,
            tables: BTreeMap::new(),
            rows: Vec::new(),
            waking: Vec::new(),
        };
        let nothing = this.no_rows();
        let given = this.fold(Latest { in_vain }, nothing, base);
        let topics: Vec<Topic> = Topic::inputs().filter(|topic| topic.is_input_table()).collect();
        let places: BTreeMap<Topic, u64> = topics.iter().copied().zip(0..).collect();
        let refused = topics.len() as u64;
        let mut parts = split(given, refused + 1, move |given| match given {
            TableOutput::Row(_, row) => places[&row.topic()],
            TableOutput::Refused(_) => refused,
        });
        let refused = parts.pop().expect("there are as many parts as were asked for");
        this.append(refused.flat_map(|(given, turn, diff)| match given {
            TableOutput::Refused(letter) => Some((letter, turn, diff)),
            TableOutput::Row(..) => None,
        }));
        this.tables = topics.into_iter().zip(parts).collect();
        this
    }

    /// The rows of an input table, by the keys of their identifiers.
    ///
    /// # Panics
    ///
    /// When the table is not in the catalogue.
    pub fn table<R: TableRecord>(&self) -> Rows<'scope, (Key, Shared<R>)> {
        let rows = self.tables.get(&Topic::of::<R>()).cloned();
        let rows = rows.expect("the catalogue has every input table");
        let rows = rows.flat_map(|(given, turn, diff)| match given {
            TableOutput::Row(key, row) => {
                let row: Shared<R> = row.downcast().expect("the tables were parted by their topics");
                Some(((key, row), turn, diff))
            }
            TableOutput::Refused(_) => None,
        });
        rows.as_collection()
    }

    /// The rows of an input table without their keys.
    pub fn rows_of<R: TableRecord>(&self) -> Rows<'scope, Shared<R>> {
        self.table().map(|(_, row)| row)
    }

    /// A stream on which nothing comes.
    pub fn nothing<D: Clone + 'static>(&self) -> StreamVec<'scope, Turn, D> {
        ToStream::to_stream(None, self.ticks.scope())
    }

    /// A collection without rows.
    pub fn no_rows<D: Clone + 'static>(&self) -> Rows<'scope, D> {
        self.nothing().as_collection()
    }

    /// Runs a fold over the rows of a view and a stream of records.
    pub fn fold<F: Fold>(
        &mut self,
        state: F,
        rows: Rows<'scope, (F::Key, F::Row)>,
        records: StreamVec<'scope, Turn, Batch<F::Record>>,
    ) -> Updates<'scope, F::Output> {
        let (meter, keeper) = (self.outside.meter(F::NAME), self.outside.keeper(F::NAME));
        let folded = fold(state, rows, records, self.ticks.clone(), meter, keeper);
        self.waking.push(folded.waking);
        folded.updates
    }

    /// Publishes the rows of an output table.
    pub fn publish<R: OutputRecord>(&mut self, rows: Rows<'scope, Arc<R>>) {
        let rows = rows.inner.map(|(row, turn, diff)| (OutputRow::from(row), turn, diff));
        self.rows.push(rows);
    }

    /// Publishes the records of an output log.
    pub fn append<R: OutputRecord>(&mut self, records: Updates<'scope, Box<R>>) {
        let records = records.map(|(record, turn, diff)| (OutputRow::from(record), turn, diff));
        self.rows.push(records);
    }

    /// Everything that goes out.
    #[must_use]
    pub fn finish(self) -> Built<'scope> {
        let scope = self.ticks.scope();
        Built {
            rows: scope.concatenate(self.rows),
            waking: scope.concatenate(self.waking),
        }
    }
}

/// One of each, and another where it says so: what has two ways to go needs no copy of all of it for the second.
pub fn fork<'scope, D: Clone + 'static, A: Clone + 'static, B: Clone + 'static>(
    given: StreamVec<'scope, Turn, D>,
    mut make: impl FnMut(D) -> (A, Option<B>) + 'static,
) -> (StreamVec<'scope, Turn, A>, StreamVec<'scope, Turn, B>) {
    let mut builder = OperatorBuilder::new("Fork".to_owned(), given.scope());
    let mut input = builder.new_input(given, Pipeline);
    builder.set_notify_for(0, FrontierInterest::Never);
    let (first, firsts) = builder.new_output();
    let mut first = OutputBuilder::<_, CapacityContainerBuilder<Vec<A>>>::from(first);
    let (second, seconds) = builder.new_output();
    let mut second = OutputBuilder::<_, CapacityContainerBuilder<Vec<B>>>::from(second);
    builder.build(move |_| {
        move |_frontiers| {
            let (mut first, mut second) = (first.activate(), second.activate());
            input.for_each_stamp(|capability, batches| {
                let (mut first, mut second) = (first.session(&capability), second.session(&capability));
                for one in batches.flat_map(|batch| batch.drain(..)) {
                    let (a, b) = make(one);
                    first.give(a);
                    if let Some(b) = b {
                        second.give(b);
                    }
                }
            });
        }
    });
    (firsts, seconds)
}

/// Parts of what a fold gives. Each update goes one way only, without a copy for the other ways: when a city comes, they are many.
pub fn split<'scope, D: Clone + 'static>(
    given: Updates<'scope, D>,
    parts: u64,
    part: impl Fn(&D) -> u64 + 'static,
) -> Vec<Updates<'scope, D>> {
    given.partition(parts, move |update: (D, Turn, Diff)| (part(&update.0), update))
}

/// The same where the number of parts is known.
pub fn split_into<'scope, D: Clone + 'static, const N: usize>(
    given: Updates<'scope, D>,
    part: impl Fn(&D) -> u64 + 'static,
) -> [Updates<'scope, D>; N] {
    match <[_; N]>::try_from(split(given, N as u64, part)) {
        Ok(parts) => parts,
        Err(_) => unreachable!("there are as many parts as were asked for"),
    }
}
