//! Names of columns.

use std::collections::{BTreeMap, BTreeSet};

/// What the columns of a table (the names of JSON) are called here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// The field of each column that has another name; an empty one: the column is left out.
    pub fields: BTreeMap<String, String>,
    /// Fields that come from elsewhere: a column of that name is left out, and none is asked for.
    pub constants: BTreeSet<String>,
}

impl Columns {
    /// The field of a column; empty for one that is left out.
    pub(super) fn field<'a>(&'a self, column: &'a str) -> &'a str {
        match self.fields.get(column) {
            Some(field) => field,
            // What was said counts, not what happens to have the name.
            None if self.constants.contains(column) || self.fields.values().any(|field| field == column) => "",
            None => column,
        }
    }
}
