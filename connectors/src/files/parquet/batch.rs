//! The rows of a row group that is being gathered, column by column.

use std::io;
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::Result as ParquetResult;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};
use riskflow_model::Millis;
use serde_json::value::RawValue;

use super::super::flat::{DELETE, EPOCH, EXERCISE, Flat, KEY, OP, PUT, Sort};
use crate::OutRecord;

/// The schema of a topic's file.
pub(super) fn schema(flat: &Flat) -> ParquetResult<TypePtr> {
    let first = [(EPOCH, Sort::Time), (KEY, Sort::Text), (OP, Sort::Text)];
    let mark = flat.exercise.then_some((EXERCISE, Sort::Flag));
    let first = first.into_iter().chain(mark);
    let first = first.map(|(name, sort)| column(name, sort, Repetition::REQUIRED));
    let rest = flat.columns.iter();
    let rest = rest.map(|of| column(&of.name, of.sort, Repetition::OPTIONAL));
    let columns = first.chain(rest).collect::<ParquetResult<Vec<TypePtr>>>()?;
    Ok(Arc::new(
        Type::group_type_builder("record").with_fields(columns).build()?,
    ))
}

fn column(name: &str, sort: Sort, repetition: Repetition) -> ParquetResult<TypePtr> {
    let (physical, logical) = match sort {
        Sort::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Sort::Json => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
        Sort::Flag => (Physical::BOOLEAN, None),
        Sort::Whole => (Physical::INT64, None),
        Sort::Unsigned => (Physical::INT64, Some(LogicalType::integer(64, false))),
        Sort::Real => (Physical::DOUBLE, None),
        Sort::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
    };
    let column = Type::primitive_type_builder(name, physical)
        .with_repetition(repetition)
        .with_logical_type(logical)
        .build()?;
    Ok(Arc::new(column))
}

/// The rows.
pub(super) struct Batch {
    epochs: Vec<i64>,
    keys: Vec<ByteArray>,
    ops: Vec<ByteArray>,
    /// Of an exercise: true in every row.
    marks: Option<Vec<bool>>,
    columns: Vec<Cells>,
}

/// The values of a column.
struct Cells {
    /// Of each row whether it has one: 1 or 0.
    present: Vec<i16>,
    values: Values,
}

enum Values {
    Text(Vec<ByteArray>),
    Flag(Vec<bool>),
    Whole(Vec<i64>),
    Real(Vec<f64>),
}

impl Batch {
    pub fn of(flat: &Flat) -> Self {
        let columns = flat.columns.iter().map(|column| Cells {
            present: Vec::new(),
            values: match column.sort {
                Sort::Text | Sort::Json => Values::Text(Vec::new()),
                Sort::Flag => Values::Flag(Vec::new()),
                Sort::Whole | Sort::Unsigned | Sort::Time => Values::Whole(Vec::new()),
                Sort::Real => Values::Real(Vec::new()),
            },
        });
        Self {
            epochs: Vec::new(),
            keys: Vec::new(),
            ops: Vec::new(),
            marks: flat.exercise.then(Vec::new),
            columns: columns.collect(),
        }
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.epochs.len()
    }

    /// One row more.
    ///
    /// # Errors
    ///
    /// When the record is not as its schema says. The batch is of no use then.
    pub fn push(&mut self, flat: &Flat, epoch: Millis, record: &OutRecord) -> io::Result<()> {
        let payload = record.payload.as_deref();
        let cells = payload.map(|payload| flat.cells(payload)).transpose()?;
        self.epochs.push(epoch.0);
        self.keys.push(record.key.as_str().into());
        self.ops.push(if payload.is_some() { PUT } else { DELETE }.into());
        if let Some(marks) = &mut self.marks {
            marks.push(true);
        }
        for (index, column) in self.columns.iter_mut().enumerate() {
            let cell = cells.as_ref().and_then(|cells| cells[index]);
            column.present.push(cell.is_some().into());
            let Some(cell) = cell else {
                continue;
            };
            let of = &flat.columns[index];
            if column.values.push(of.sort, cell).is_none() {
                return Err(flat.strange(&format_args!("`{}` is {cell}", of.name)));
            }
        }
        Ok(())
    }

    /// Writes the row group, and is empty again.
    pub fn write<W: io::Write + Send>(&mut self, file: &mut SerializedFileWriter<W>) -> ParquetResult<()> {
        let mut group = file.next_row_group()?;
        write::<Int64Type, _>(&mut group, &self.epochs, None)?;
        write::<ByteArrayType, _>(&mut group, &self.keys, None)?;
        write::<ByteArrayType, _>(&mut group, &self.ops, None)?;
        if let Some(marks) = &self.marks {
            write::<BoolType, _>(&mut group, marks, None)?;
        }
        for Cells { present, values } in &self.columns {
            let present = Some(&**present);
            match values {
                Values::Text(values) => write::<ByteArrayType, _>(&mut group, values, present)?,
                Values::Flag(values) => write::<BoolType, _>(&mut group, values, present)?,
                Values::Whole(values) => write::<Int64Type, _>(&mut group, values, present)?,
                Values::Real(values) => write::<DoubleType, _>(&mut group, values, present)?,
            }
        }
        group.close()?;
        self.clear();
        Ok(())
    }

    fn clear(&mut self) {
        self.epochs.clear();
        self.keys.clear();
        self.ops.clear();
        if let Some(marks) = &mut self.marks {
            marks.clear();
        }
        for Cells { present, values } in &mut self.columns {
            present.clear();
            match values {
                Values::Text(values) => values.clear(),
                Values::Flag(values) => values.clear(),
                Values::Whole(values) => values.clear(),
                Values::Real(values) => values.clear(),
            }
        }
    }
}

fn write<T: DataType, W: io::Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    present: Option<&[i16]>,
) -> ParquetResult<()> {
    let mut column = group
        .next_column()?
        .expect("the batch has the columns of the schema, which the file was opened with");
    column.typed::<T>().write_batch(values, present, None)?;
    column.close()
}

impl Values {
    /// Takes a value; `None`: it is not of this sort.
    fn push(&mut self, sort: Sort, cell: &RawValue) -> Option<()> {
        let json = cell.get();
        match self {
            Self::Text(values) if sort == Sort::Json => values.push(json.into()),
            Self::Text(values) => values.push(serde_json::from_str::<String>(json).ok()?.into_bytes().into()),
            Self::Flag(values) => values.push(json.parse().ok()?),
            Self::Whole(values) => values.push(match sort {
                // The same bits: the schema says that they have no sign.
                Sort::Unsigned => json.parse::<u64>().ok()?.cast_signed(),
                Sort::Time => serde_json::from_str::<Millis>(json).ok()?.0,
                _ => json.parse().ok()?,
            }),
            Self::Real(values) => values.push(json.parse().ok()?),
        }
        Some(())
    }
}
