use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, FloatType, Int32Type,
    Int64Type,
};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use riskflow_model::topic::Topic;

use super::super::names::Columns;
use super::*;

mod reading;
mod weather;
mod writing;

/// What stands in a column: values, and of each row (of each item of a list) how much of it is there.
#[derive(Clone)]
struct Given {
    values: Values,
    definitions: Option<Vec<i16>>,
    repetitions: Option<Vec<i16>>,
}

#[derive(Clone)]
enum Values {
    Flag(Vec<bool>),
    Int(Vec<i32>),
    Long(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Bytes(Vec<ByteArray>),
    Fixed(Vec<FixedLenByteArray>),
}

impl Given {
    fn of(values: Values) -> Self {
        Self {
            values,
            definitions: None,
            repetitions: None,
        }
    }

    /// The values of an optional column; rows without one are 0.
    fn there(self, definitions: &[i16]) -> Self {
        Self {
            definitions: Some(definitions.to_vec()),
            ..self
        }
    }

    fn repeated(self, repetitions: &[i16]) -> Self {
        Self {
            repetitions: Some(repetitions.to_vec()),
            ..self
        }
    }
}

fn text(values: &[&str]) -> Given {
    Given::of(Values::Bytes(values.iter().map(|value| (*value).into()).collect()))
}

fn doubles(values: &[f64]) -> Given {
    Given::of(Values::Double(values.to_vec()))
}

fn longs(values: &[i64]) -> Given {
    Given::of(Values::Long(values.to_vec()))
}

/// Writes a file with these row groups.
fn write(path: &Path, schema: &str, compression: Compression, groups: &[Vec<Given>]) {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut file = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(properties)).unwrap();
    for columns in groups {
        let mut group = file.next_row_group().unwrap();
        for given in columns {
            let mut column = group.next_column().unwrap().unwrap();
            let (def, rep) = (given.definitions.as_deref(), given.repetitions.as_deref());
            match &given.values {
                Values::Flag(values) => column.typed::<BoolType>().write_batch(values, def, rep),
                Values::Int(values) => column.typed::<Int32Type>().write_batch(values, def, rep),
                Values::Long(values) => column.typed::<Int64Type>().write_batch(values, def, rep),
                Values::Float(values) => column.typed::<FloatType>().write_batch(values, def, rep),
                Values::Double(values) => column.typed::<DoubleType>().write_batch(values, def, rep),
                Values::Bytes(values) => column.typed::<ByteArrayType>().write_batch(values, def, rep),
                Values::Fixed(values) => column.typed::<FixedLenByteArrayType>().write_batch(values, def, rep),
            }
            .unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    file.close().unwrap();
}

/// The rows of a file, and what it ends with.
fn read(path: &Path, topic: Topic, given: &Columns) -> (Vec<String>, Option<String>) {
    let mut lines = Vec::new();
    let done = each_row(
        File::open(path).unwrap(),
        topic,
        given,
        &mut |_| {},
        &mut |number, line| {
            assert_eq!(number, lines.len() as u64);
            lines.push(String::from_utf8_lossy(line).into_owned());
            ControlFlow::Continue(())
        },
    );
    (lines, done.err().map(|error| error.to_string()))
}

/// The rows of one row group of these columns.
fn rows_of(topic: Topic, schema: &str, columns: Vec<Given>) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    write(&path, schema, Compression::SNAPPY, &[columns]);
    let (rows, error) = read(&path, topic, &Columns::default());
    assert_eq!(error, None);
    rows
}

fn bytes_of(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}
