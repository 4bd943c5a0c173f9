//! Rows of Apache Parquet as JSON objects, one a line: the same rows as of CSV with the same columns.
//!
//! Row groups are read one after the other, and of each the pages as they are needed: of a file no more than one row group is in
//! memory. The end of a file says where everything is, so it must be a regular file that is whole. What its writer gave checksums is
//! compared with them; other damage that leaves values readable cannot be seen.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parquet::basic::ConvertedType;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Row;
use parquet::schema::types::{Type, TypePtr};
use riskflow_model::topic::Topic;

use super::super::cells::{Column, columns, unreadable};
use super::super::fed::Feed;
use super::super::format::{PARQUET, ends};
use super::super::names::Columns;
use super::value::write_cell;

const PIECE_BYTES: usize = 64 << 10;

/// Passes on every row as a line of JSON.
pub(in super::super) fn feed_rows(from: File, topic: Topic, feed: &Feed) {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    let read = each_row(from, topic, &Columns::default(), &mut |_| {}, &mut |_, line| {
        piece.extend_from_slice(line);
        piece.push(b'\n');
        // The source is gone: nobody wants the rest.
        if piece.len() >= PIECE_BYTES && feed.send(Ok(std::mem::take(&mut piece))).is_err() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    drop(feed.send(Ok(piece)));
    if let Err(error) = read {
        drop(feed.send(Err(error)));
    }
}

/// Passes on every row as a line of JSON, with its number, from 0, until it is told to end. `read` hears of the bytes that were read.
///
/// # Errors
///
/// When it cannot be read, is damaged or encrypted, or has not the columns that the topic's records need: the message says why, and
/// in which row group. Rows before that were passed on.
pub(in super::super) fn each_row(
    from: File,
    topic: Topic,
    given: &Columns,
    read: &mut dyn FnMut(u64),
    each: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>,
) -> io::Result<()> {
    is_whole(&from)?;
    let footer = |error: String| unreadable(format!("the footer of this Parquet file cannot be read: {error}"));
    let reader = guarded(|| SerializedFileReader::new(from)).map_err(footer)?;
    let schema = reader.metadata().file_metadata().schema_descr().root_schema_ptr();
    let names: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
    let columns = columns(&names, ("its schema", "columns with"), topic, given)?;
    let wanted = Wanted::of(&schema, columns)?;
    let (count, mut number, mut line) = (reader.num_row_groups(), 0, Vec::new());
    for index in 0..count {
        let about = |number: u64| {
            move |error: String| {
                unreadable(format!(
                    "row group {} of {count}, row {}: {error}",
                    index + 1,
                    number + 1
                ))
            }
        };
        let group = guarded(|| reader.get_row_group(index)).map_err(about(number))?;
        counts_agree(group.metadata()).map_err(about(number))?;
        let mut rows = guarded(|| group.get_row_iter(wanted.projection())).map_err(about(number))?;
        while let Some(row) = guarded(|| rows.next().transpose()).map_err(about(number))? {
            line.clear();
            wanted.write_row(&mut line, &row);
            if each(number, &line).is_break() {
                return Ok(());
            }
            number += 1;
        }
        read(group.metadata().compressed_size().unsigned_abs());
    }
    Ok(())
}

/// Why what comes once cannot be read: a pipe, or a file that is packed as a whole.
pub(in super::super) fn once() -> io::Error {
    unreadable("Parquet is read from its end; give a regular file that is not packed as a whole".to_owned())
}

/// Whether it begins and ends as Parquet does.
fn is_whole(file: &File) -> io::Result<()> {
    const ENCRYPTED: &[u8; 4] = b"PARE";
    let ends = ends(file)?;
    let says = match ends {
        Some((first, last)) if first == *PARQUET && last == *PARQUET => return Ok(()),
        Some((_, last)) if last == *ENCRYPTED => "it is encrypted; give it without encryption",
        Some((first, _)) if first == *PARQUET => {
            "it begins like Parquet and has no footer: it was cut, or is still being written; give the whole file"
        }
        _ => "it is no Parquet (it does not begin with `PAR1`); give its format as it is",
    };
    Err(unreadable(says.to_owned()))
}

thread_local! {
    /// Whether this thread calls what may give up on damaged bytes.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread is caught here, and told as an error of the file that is read: nobody need hear of the panic itself.
#[must_use]
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Calls what may give up on damaged bytes in place of saying so. What it says then is about its own insides.
fn guarded<T>(call: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T, String> {
    let before = GUARDED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(before);
    match done {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err(
            "its bytes contradict one another, so it was damaged or is still being written; give it anew".to_owned(),
        ),
    }
}

/// Whether all columns have the rows that the row group says: what a column has not would be read as null.
fn counts_agree(group: &RowGroupMetaData) -> Result<(), String> {
    let rows = group.num_rows();
    let wrong = group.columns().iter().find(|column| {
        let may_repeat = column.column_descr().max_rep_level() > 0;
        column.num_values() != rows && !(may_repeat && column.num_values() > rows)
    });
    match wrong {
        None => Ok(()),
        Some(column) => {
            let (name, values) = (column.column_path(), column.num_values());
            Err(format!(
                "it contradicts itself ({rows} rows, and {values} values of {name}); give it anew"
            ))
        }
    }
}

/// The columns that become fields.
struct Wanted {
    columns: Vec<(TypePtr, Column)>,
    /// Them alone, as a schema, where there are others.
    projection: Option<Type>,
}

impl Wanted {
    /// # Errors
    ///
    /// When one is of a type that no field is.
    fn of(schema: &Type, columns: Vec<Column>) -> io::Result<Self> {
        let all = schema.get_fields();
        let columns: Vec<(TypePtr, Column)> = all
            .iter()
            .cloned()
            .zip(columns)
            .filter(|(_, column)| column.is_some())
            .collect();
        for (of, _) in &columns {
            if let Some(kind) = strange(of) {
                let name = of.name();
                return Err(unreadable(format!(
                    "column `{name}` is {kind}, which no field is; leave it out (`--map {name}=`)"
                )));
            }
        }
        let projection = (columns.len() < all.len()).then(|| {
            let fields = columns.iter().map(|(of, _)| Arc::clone(of)).collect();
            Type::group_type_builder(schema.name()).with_fields(fields).build()
        });
        let projection = projection.transpose().map_err(|error| unreadable(error.to_string()))?;
        Ok(Self { columns, projection })
    }

    fn projection(&self) -> Option<Type> {
        self.projection.clone()
    }

    /// Writes an object; what is null or an empty text is left out, as an empty cell of CSV is.
    fn write_row(&self, line: &mut Vec<u8>, row: &Row) {
        line.push(b'{');
        let mut cell = Vec::new();
        for ((of, column), (_, field)) in self.columns.iter().zip(row.get_column_iter()) {
            let Some((name, kind)) = column else {
                continue;
            };
            cell.clear();
            write_cell(&mut cell, *kind, field, of);
            if cell.is_empty() {
                continue;
            }
            if line.len() > 1 {
                line.push(b',');
            }
            line.extend_from_slice(name);
            line.push(b':');
            line.append(&mut cell);
        }
        line.push(b'}');
    }
}

/// What a column is that is not read.
fn strange(of: &Type) -> Option<String> {
    /// As many digits has the largest of 128 bits.
    const DIGITS: i32 = 38;
    if !of.is_primitive() {
        return of.get_fields().iter().find_map(|field| strange(field));
    }
    match of.get_basic_info().converted_type() {
        ConvertedType::INTERVAL => Some("a length of time (INTERVAL)".to_owned()),
        ConvertedType::BSON => Some("BSON".to_owned()),
        ConvertedType::DECIMAL => match of {
            Type::PrimitiveType { precision, .. } if *precision > DIGITS => {
                Some(format!("a decimal of {precision} digits"))
            }
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_says_that_gives_up_is_not_told() {
        let given_up = guarded(|| -> parquet::errors::Result<()> {
            assert!(is_guarded());
            panic!("index out of bounds: 7");
        });
        let says = given_up.unwrap_err();
        assert!(
            says.contains("give it anew") && !says.contains("out of bounds"),
            "{says}"
        );
        assert!(!is_guarded());
    }
}
