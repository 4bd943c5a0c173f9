//! A map of few entries that takes no more room than these: there is one or more for each subject, and most have one entry.

use serde::{Deserialize, Serialize};
use thin_vec::ThinVec;

/// Entries in the order of their keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "K: Serialize + for<'a> Deserialize<'a>, V: Serialize + for<'a> Deserialize<'a>")]
pub(super) struct Ordered<K, V>(ThinVec<(K, V)>);

impl<K, V> Default for Ordered<K, V> {
    fn default() -> Self {
        Self(ThinVec::new())
    }
}

impl<K: Ord, V> Ordered<K, V> {
    fn find(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(key))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.find(key).ok().map(|position| &self.0[position].1)
    }

    /// The value of a key; where there is none, what `make` gives, if anything.
    pub(super) fn get_or(&mut self, key: &K, make: impl FnOnce() -> Option<V>) -> Option<&mut V>
    where
        K: Clone,
    {
        let position = match self.find(key) {
            Ok(position) => position,
            Err(position) => {
                let value = make()?;
                self.put(position, (key.clone(), value));
                position
            }
        };
        Some(&mut self.0[position].1)
    }

    /// Puts the value of a key that has none.
    pub(super) fn insert(&mut self, key: K, value: V) {
        match self.find(&key) {
            Ok(position) => self.0[position].1 = value,
            Err(position) => self.put(position, (key, value)),
        }
    }

    fn put(&mut self, position: usize, entry: (K, V)) {
        self.0.reserve_exact(1);
        self.0.insert(position, entry);
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let position = self.find(key).ok()?;
        Some(self.0.remove(position).1)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    pub(super) fn into_entries(self) -> impl Iterator<Item = (K, V)> {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stand_in_order() {
        let mut few = Ordered::default();
        for key in [3, 1, 2] {
            few.insert(key, key * 10);
        }
        few.insert(2, 21);
        assert_eq!(few.get_or(&4, || Some(40)), Some(&mut 40));
        assert_eq!(few.get_or(&5, || None), None);
        assert_eq!((few.remove(&1), few.remove(&1)), (Some(10), None));
        assert_eq!(few.get(&2), Some(&21));
        assert_eq!(few.iter_mut().map(|(key, _)| *key).collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(few.into_entries().collect::<Vec<_>>(), [(2, 21), (3, 30), (4, 40)]);
    }
}
