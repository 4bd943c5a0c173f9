//! Where things have their slots, by their keys.
//!
//! A table of slots alone: the keys stand in the slots. Of a million keys of 16 bytes with their slots a map takes 52 MB, this 19 MB.

use std::hash::{BuildHasher as _, BuildHasherDefault, Hash};

use hashbrown::HashTable;

use super::fold::RouteHasher;

/// Slots by the hashes of their keys. Which key a slot has is known to whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Index(HashTable<Place>);

/// A slot, with what tells most others apart without a look at their keys.
#[derive(Clone, Copy, Debug)]
struct Place {
    hash: u32,
    slot: u32,
}

impl Place {
    /// The table goes by the lowest bits, and by the highest.
    const fn spread(self) -> u64 {
        (self.hash as u64) << 32 | self.hash as u64
    }

    fn of<K: Hash>(key: &K, slot: u32) -> Self {
        let hash = BuildHasherDefault::<RouteHasher>::default().hash_one(key);
        Self {
            hash: (hash >> 32) as u32 ^ hash as u32,
            slot,
        }
    }
}

impl Index {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Makes room for so many more: to grow is to copy.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.0.reserve(more, |place| place.spread());
    }

    /// The slot of a key, if it has one; `has` says whether a slot has it.
    pub(crate) fn find<K: Hash>(&self, key: &K, has: impl Fn(u32) -> bool) -> Option<u32> {
        let sought = Place::of(key, 0);
        let is = |place: &Place| place.hash == sought.hash && has(place.slot);
        self.0.find(sought.spread(), is).map(|place| place.slot)
    }

    /// Notes the slot of a key that has none.
    pub(crate) fn insert<K: Hash>(&mut self, key: &K, slot: u32) {
        let place = Place::of(key, slot);
        self.0.insert_unique(place.spread(), place, |place| place.spread());
    }

    /// Forgets the slot of a key.
    pub(crate) fn remove<K: Hash>(&mut self, key: &K, slot: u32) {
        let gone = Place::of(key, slot);
        if let Ok(entry) = self.0.find_entry(gone.spread(), |place| place.slot == slot) {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Keys come and go: each is found at the slot that it has, and no other is.
        #[test]
        fn a_key_is_found_where_it_is(changes in prop::collection::vec((0u64..40, any::<bool>()), 0..200)) {
            let (mut index, mut keys) = (Index::default(), Vec::new());
            let mut expected: BTreeMap<u64, u32> = BTreeMap::new();
            for (key, comes) in changes {
                match (expected.get(&key).copied(), comes) {
                    (None, true) => {
                        index.insert(&key, keys.len() as u32);
                        expected.insert(key, keys.len() as u32);
                        keys.push(key);
                    }
                    (Some(slot), false) => {
                        index.remove(&key, slot);
                        expected.remove(&key);
                    }
                    _ => {}
                }
                for key in 0..40 {
                    let found = index.find(&key, |slot| keys[slot as usize] == key);
                    prop_assert_eq!(found, expected.get(&key).copied());
                }
                prop_assert_eq!(index.len(), expected.len());
            }
        }
    }
}
