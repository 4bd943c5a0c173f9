use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Key, binary};

/// A row that many places share: cheap to clone, compared and ordered by a 128-bit hash of its content.
///
/// Arrangements sort and compare rows over and over; the hash spares them from following pointers into texts. Its order
/// means nothing to a reader. Rows whose hashes are equal count as equal.
#[derive(Debug)]
pub struct Shared<T> {
    content: Key,
    row: Arc<T>,
}

// Derived, it would ask for rows that can be cloned.
impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self {
            content: self.content,
            row: Arc::clone(&self.row),
        }
    }
}

impl<T: Serialize> Shared<T> {
    /// Shares a row.
    #[must_use]
    pub fn new(row: T) -> Self {
        Self {
            content: binary::fingerprint(&row),
            row: Arc::new(row),
        }
    }
}

impl<T> Shared<T> {
    /// Shares a row whose hash is known.
    pub(crate) const fn known(content: Key, row: Arc<T>) -> Self {
        Self { content, row }
    }

    pub(crate) fn into_parts(self) -> (Key, Arc<T>) {
        (self.content, self.row)
    }

    /// The hash of the content.
    #[must_use]
    pub const fn content(&self) -> Key {
        self.content
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.row
    }
}

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        self.content == other.content
    }
}

impl<T> Eq for Shared<T> {}

impl<T> PartialOrd for Shared<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Shared<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.content.cmp(&other.content)
    }
}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.content.hash(state);
    }
}

impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.row.serialize(serializer)
    }
}

impl<'de, T: Serialize + Deserialize<'de>> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::new)
    }
}
