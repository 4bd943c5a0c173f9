//! Measured weather: as Parquet it gives the records that it gives as CSV.

use riskflow_config::{FileInput, InputRecord, TopicSettings};

use super::*;
use crate::files::FileSource;
use crate::{Polled, Share, Source as _, Verdict, decode};

const CSV: &str = include_str!("../../../../../pipeline/data/weather_hourly_2013_ewr_jfk.csv");

const SCHEMA: &str = "message m { required binary datastream (UTF8); required int64 phenomenon_time (TIMESTAMP(MICROS,true)); \
                      required double result; }";

/// Of one column: station, time and what was measured, where it was.
fn measured(column: usize) -> Vec<(&'static str, &'static str, &'static str)> {
    let rows = CSV.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    let rows = rows.filter(|cells| cells[column] != "NA");
    rows.map(|cells| (cells[0], cells[1], cells[column])).collect()
}

fn records(path: &Path) -> Vec<(u64, InputRecord)> {
    let settings = TopicSettings {
        prefix: String::new(),
        partitions: 1,
        replication: 1,
        retention: 0,
        exercise: false,
        forced: false,
        tidy: riskflow_config::Tidy::default(),
    };
    let file = FileInput {
        path: path.to_owned(),
        topic: Some("in.observation".to_owned()),
        format: None,
    };
    let mut source = FileSource::open(&[file], &settings, &[Topic::IN_OBSERVATION], Share::WHOLE).unwrap();
    let mut records = Vec::new();
    loop {
        let polled = source.poll(1_000, &mut |record| {
            records.push((record.offset, decode(&record).unwrap()));
            Verdict::Taken
        });
        if polled.unwrap() == Polled::Ended {
            return records;
        }
    }
}

#[test]
fn a_year_of_weather_is_the_same_as_parquet_and_as_csv() {
    let folder = tempfile::tempdir().unwrap();
    for (name, column) in [("rain", 2), ("wind", 3), ("pressure", 5)] {
        let rows = measured(column);
        assert!(rows.len() > 10_000, "{name}: {}", rows.len());
        let csv = folder.path().join(format!("{name}.csv"));
        let lines = rows
            .iter()
            .map(|(station, time, value)| format!("{station},{time},{value}\n"));
        let text: String = std::iter::once("datastream,phenomenon_time,result\n".to_owned())
            .chain(lines)
            .collect();
        fs::write(&csv, text).unwrap();
        let parquet = folder.path().join(format!("{name}.parquet"));
        let groups: Vec<Vec<Given>> = rows.chunks(5_000).map(columns).collect();
        assert!(groups.len() > 2);
        write(&parquet, SCHEMA, Compression::SNAPPY, &groups);
        let (of_csv, of_parquet) = (records(&csv), records(&parquet));
        assert_eq!(of_parquet.len(), rows.len());
        assert_eq!(of_parquet.last().map(|(row, _)| *row), Some(rows.len() as u64 - 1));
        assert!(of_csv == of_parquet, "{name}");
    }
}

fn columns(rows: &[(&str, &str, &str)]) -> Vec<Given> {
    let stations: Vec<&str> = rows.iter().map(|row| row.0).collect();
    let micros = rows
        .iter()
        .map(|row| row.1.parse::<riskflow_model::Millis>().unwrap().0 * 1_000);
    let micros: Vec<i64> = micros.collect();
    let results: Vec<f64> = rows.iter().map(|row| row.2.parse().unwrap()).collect();
    vec![text(&stations), longs(&micros), doubles(&results)]
}
