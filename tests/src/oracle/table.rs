//! A table as of now, out of the records of its topic.

use std::collections::BTreeMap;
use std::ops::Deref;

use riskflow_model::topic::{Shape, Topic};
use riskflow_model::{Key, Row, Shared, TableRecord};

/// The rows by the keys of their identifiers.
#[derive(Clone)]
pub struct Table<R>(BTreeMap<Key, Shared<R>>);

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<R: TableRecord> Table<R> {
    /// Applies a record of any table; those of others change nothing.
    pub fn apply(&mut self, topic: u16, key: Key, row: Option<&Row>) {
        if topic != Topic::of::<R>().id() {
            return;
        }
        let Some(row) = row else {
            self.0.remove(&key);
            return;
        };
        let row = row.clone().downcast::<R>().expect("a record of the topic");
        let older = |there: &Shared<R>| there.version() > row.version();
        if R::SPEC.shape == Shape::VersionedTable && self.0.get(&key).is_some_and(older) {
            return;
        }
        self.0.insert(key, row);
    }
}

impl<R> Deref for Table<R> {
    type Target = BTreeMap<Key, Shared<R>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
