//! Files of others.

use parquet::basic::{GzipLevel, ZstdLevel};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use proptest::prelude::*;

use super::*;

const OBSERVATIONS: &str = "message m { required binary datastream (UTF8); required int64 phenomenon_time (TIMESTAMP(MILLIS,true)); \
                            optional double result; }";

/// Three rows, the second without a result.
fn three(first: i64) -> Vec<Given> {
    vec![
        text(&["a", "b", "c"]),
        longs(&[first, first + 1, first + 2]),
        doubles(&[0.1, -3.0]).there(&[1, 0, 1]),
    ]
}

/// A day in July 2021.
const DAY: i64 = 1_627_171_200;

/// The JSON of a column beside those that every observation has.
fn json_of(declared: &str, given: Given) -> String {
    let schema = format!(
        "message m {{ required binary datastream (UTF8); required binary phenomenon_time (UTF8); {declared}; }}"
    );
    let rows = rows_of(Topic::IN_OBSERVATION, &schema, vec![text(&["s"]), text(&["t"]), given]);
    let rest = rows[0]
        .strip_prefix(r#"{"datastream":"s","phenomenon_time":"t""#)
        .unwrap();
    rest.trim_end_matches('}').trim_start_matches(',').to_owned()
}

fn ints(values: &[i32]) -> Given {
    Given::of(Values::Int(values.to_vec()))
}

fn bytes(value: &[u8]) -> ByteArray {
    value.to_vec().into()
}

fn fixed(value: &[u8]) -> Given {
    Given::of(Values::Fixed(vec![bytes(value).into()]))
}

#[test]
fn numbers_become_the_shortest_that_are_the_same() {
    let large = Given::of(Values::Bytes(vec![bytes(&[1, 0, 0])]));
    let small = fixed(&[0xff, 0xff, 0xfe]);
    for (declared, given, json) in [
        (
            "double result",
            doubles(&[10.357_019_999_999_999]),
            "10.357019999999999",
        ),
        ("double result", doubles(&[f64::NAN]), r#""NaN""#),
        ("double result", doubles(&[f64::NEG_INFINITY]), r#""-inf""#),
        ("float result", Given::of(Values::Float(vec![0.1])), "0.1"),
        ("int32 result", ints(&[-7]), "-7"),
        ("int64 result (INTEGER(64,false))", longs(&[-1]), "18446744073709551615"),
        ("int32 result (DECIMAL(9,2))", ints(&[-5]), "-0.05"),
        ("int64 result (DECIMAL(18,0))", longs(&[123]), "123"),
        ("fixed_len_byte_array(3) result (DECIMAL(6,6))", small, "-0.000002"),
        ("binary result (DECIMAL(38,10))", large, "0.0000065536"),
        ("binary result (UTF8)", text(&[" 0.40 "]), "0.40"),
        ("binary result", text(&["7"]), "7"),
    ] {
        let found = json_of(&format!("required {declared}"), given);
        assert_eq!(found, format!(r#""result":{json}"#), "{declared}");
    }
}

#[test]
fn other_values_become_the_json_of_their_type() {
    let flag = |value| Given::of(Values::Flag(vec![value]));
    let uuid = r#""quality":"11111111-1111-1111-1111-111111111111""#;
    for (declared, given, json) in [
        ("required boolean result", flag(true), r#""result":true"#),
        ("required boolean quality", flag(false), r#""quality":"false""#),
        ("required binary result (ENUM)", text(&["open"]), r#""result":"open""#),
        ("required binary result (UTF8)", text(&["  "]), ""),
        ("optional double result", doubles(&[]).there(&[0]), ""),
        (
            "required int32 quality (DATE)",
            ints(&[18_833]),
            r#""quality":"2021-07-25""#,
        ),
        ("required int64 quality", longs(&[5]), r#""quality":"5""#),
        (
            "required fixed_len_byte_array(16) quality (UUID)",
            fixed(&[0x11; 16]),
            uuid,
        ),
    ] {
        assert_eq!(json_of(declared, given), json, "{declared}");
    }
}

#[test]
fn points_in_time_become_rfc_3339_and_local_ones_have_no_offset() {
    let of = |declared: &str, given: Given| {
        let schema = format!("message m {{ required binary datastream (UTF8); required {declared}; }}");
        let rows = rows_of(Topic::IN_OBSERVATION, &schema, vec![text(&["s"]), given]);
        rows[0]
            .split_once(r#""phenomenon_time":"#)
            .map(|(_, time)| time.trim_end_matches('}').to_owned())
            .unwrap()
    };
    for (declared, count, json) in [
        (
            "int64 phenomenon_time (TIMESTAMP(MILLIS,true))",
            DAY * 1_000,
            r#""2021-07-25T00:00:00Z""#,
        ),
        (
            "int64 phenomenon_time (TIMESTAMP(MICROS,true))",
            DAY * 1_000_000 + 250_000,
            r#""2021-07-25T00:00:00.25Z""#,
        ),
        (
            "int64 phenomenon_time (TIMESTAMP(NANOS,true))",
            DAY * 1_000_000_000 + 5_000_000,
            r#""2021-07-25T00:00:00.005Z""#,
        ),
        (
            "int64 phenomenon_time (TIMESTAMP(MILLIS,false))",
            DAY * 1_000,
            r#""2021-07-25T00:00:00""#,
        ),
        (
            "int64 phenomenon_time (TIMESTAMP(NANOS,false))",
            DAY * 1_000_000_000 - 1,
            r#""2021-07-24T23:59:59.999999999""#,
        ),
        (
            "int64 phenomenon_time (TIMESTAMP_MICROS)",
            DAY * 1_000_000,
            r#""2021-07-25T00:00:00Z""#,
        ),
        (
            "int64 phenomenon_time (TIMESTAMP(MILLIS,true))",
            -1,
            r#""1969-12-31T23:59:59.999Z""#,
        ),
        (
            "int64 phenomenon_time (TIMESTAMP(MILLIS,true))",
            i64::MAX,
            "9223372036854775807",
        ),
        ("int64 phenomenon_time", DAY * 1_000, "1627171200000"),
    ] {
        assert_eq!(of(declared, longs(&[count])), json, "{declared} {count}");
    }
    let days = ints(&[18_833]);
    assert_eq!(of("int32 phenomenon_time (DATE)", days), r#""2021-07-25""#);
}

#[test]
fn lists_structs_and_maps_become_json() {
    let assets = "message m { required binary id (UTF8); required binary category (UTF8); required binary domain (UTF8); \
                  required binary region (UTF8); required int32 inherent_level; \
                  optional group tags (LIST) { repeated group list { optional binary element (UTF8); } } \
                  optional group position { required double lon; optional double lat; } }";
    let columns = vec![
        text(&["1", "2", "3"]),
        text(&["t", "t", "t"]),
        text(&["lifeline", "lifeline", "lifeline"]),
        text(&["33", "33", "33"]),
        ints(&[1, 2, 3]),
        // Two items; none; no list.
        text(&["a;b", "c\n"]).there(&[3, 3, 1, 0]).repeated(&[0, 1, 0, 0]),
        doubles(&[122.5, 1.0]).there(&[1, 1, 0]),
        doubles(&[30.0]).there(&[2, 1, 0]),
    ];
    let rest = |row: &String| row.split_once(r#"_level":"#).unwrap().1.to_owned();
    let rows: Vec<String> = rows_of(Topic::BASE_ASSET, assets, columns).iter().map(rest).collect();
    assert_eq!(
        rows,
        [
            r#"1,"tags":["a;b","c\u000a"],"position":{"lon":122.5,"lat":30.0}}"#,
            r#"2,"tags":[],"position":{"lon":1.0}}"#,
            "3}",
        ]
    );
    let streams = "message m { required binary id (UTF8); required binary asset (UTF8); required binary observed_property (UTF8); \
                   required group states (MAP) { repeated group key_value { required binary key (UTF8); required int32 value; } } \
                   required binary thresholds (JSON); required binary tags (UTF8); }";
    let columns = vec![
        text(&["1"]),
        text(&["2"]),
        text(&["gate"]),
        text(&["open", "shut"]).there(&[1, 1]).repeated(&[0, 1]),
        ints(&[1, 0]).there(&[1, 1]).repeated(&[0, 1]),
        text(&[r#"{"r":{"blue":5}}"#]),
        text(&["a; b"]),
    ];
    assert_eq!(
        rows_of(Topic::BASE_DATASTREAM, streams, columns),
        [
            r#"{"id":"1","asset":"2","observed_property":"gate","states":{"open":1,"shut":0},"thresholds":{"r":{"blue":5}},"tags":["a","b"]}"#
        ]
    );
}

#[test]
fn every_packing_is_read_and_rows_count_over_row_groups() {
    let folder = tempfile::tempdir().unwrap();
    for (name, packing) in [
        ("a", Compression::UNCOMPRESSED),
        ("b", Compression::SNAPPY),
        ("c", Compression::GZIP(GzipLevel::default())),
        ("d", Compression::ZSTD(ZstdLevel::default())),
    ] {
        let path = folder.path().join(name);
        write(
            &path,
            OBSERVATIONS,
            packing,
            &[three(DAY * 1_000), three(DAY * 1_000 + 3)],
        );
        let (rows, error) = read(&path, Topic::IN_OBSERVATION, &Columns::default());
        assert_eq!((rows.len(), error), (6, None), "{packing:?}");
        assert_eq!(
            rows[1],
            r#"{"datastream":"b","phenomenon_time":"2021-07-25T00:00:00.001Z"}"#
        );
        assert_eq!(
            rows[5],
            r#"{"datastream":"c","phenomenon_time":"2021-07-25T00:00:00.005Z","result":-3.0}"#
        );
    }
}

#[test]
fn columns_are_renamed_left_out_and_missed_as_those_of_csv() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let schema = "message m { required binary sensor (UTF8); required int64 at (TIMESTAMP(MILLIS,true)); required double mm; \
                  required fixed_len_byte_array(12) age (INTERVAL); }";
    let age = fixed(&[0; 12]);
    let columns = vec![text(&["s"]), longs(&[DAY * 1_000]), doubles(&[1.5]), age];
    write(&path, schema, Compression::SNAPPY, &[columns]);
    let given = |pairs: &[(&str, &str)]| Columns {
        fields: pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        ..Columns::default()
    };
    let named = [("sensor", "datastream"), ("at", "phenomenon_time"), ("mm", "result")];
    let (rows, error) = read(
        &path,
        Topic::IN_OBSERVATION,
        &given(&[&named[..], &[("age", "")]].concat()),
    );
    assert_eq!(error, None);
    assert_eq!(
        rows,
        [r#"{"datastream":"s","phenomenon_time":"2021-07-25T00:00:00Z","result":1.5}"#]
    );
    for (columns, word) in [
        (
            given(&named),
            "column `age` is a length of time (INTERVAL), which no field is; leave it out (`--map age=`)",
        ),
        (given(&[]), "its schema, `sensor,at,mm,age`, has no `datastream`"),
        (given(&[("sensr", "datastream")]), "has no column `sensr`"),
    ] {
        let (rows, error) = read(&path, Topic::IN_OBSERVATION, &columns);
        assert!(
            rows.is_empty() && error.as_ref().unwrap().contains(word),
            "{word}: {error:?}"
        );
    }
}

#[test]
fn what_is_no_whole_parquet_is_refused_in_one_word() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    write(&path, OBSERVATIONS, Compression::SNAPPY, &[three(DAY * 1_000)]);
    let whole = bytes_of(&path);
    let says = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let (rows, error) = read(&path, Topic::IN_OBSERVATION, &Columns::default());
        assert!(rows.is_empty());
        error.unwrap()
    };
    let encrypted = [&whole[..whole.len() - 4], b"PARE"].concat();
    let long_footer = [&whole[..whole.len() - 8], &i32::MAX.to_le_bytes(), b"PAR1"].concat();
    for (bytes, word) in [
        (&whole[..whole.len() - 9], "has no footer: it was cut"),
        (b"", "it is no Parquet"),
        (b"datastream,phenomenon_time\n", "it is no Parquet"),
        (&encrypted, "it is encrypted; give it without"),
        (&long_footer, "the footer of this Parquet file cannot be read"),
        (b"PAR1PAR1", "the footer of this Parquet file cannot be read"),
    ] {
        let said = says(bytes);
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn damage_is_told_with_its_row_group() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    write(&path, OBSERVATIONS, Compression::SNAPPY, &[three(0), three(9)]);
    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    let (begin, length) = reader.metadata().row_group(1).column(0).byte_range();
    let mut bytes = bytes_of(&path);
    bytes[usize::try_from(begin).unwrap()..usize::try_from(begin + length).unwrap()].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let (rows, error) = read(&path, Topic::IN_OBSERVATION, &Columns::default());
    let error = error.unwrap();
    assert_eq!(rows.len(), 3);
    assert!(error.starts_with("row group 2 of 2, row 4: "), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever bytes are wrong: it ends, with rows or with what is wrong.
    #[test]
    fn no_damage_does_more_than_end_the_file(at in 4usize..2_000, bytes in prop::collection::vec(any::<u8>(), 1..5)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        write(&path, OBSERVATIONS, Compression::SNAPPY, &[three(0), three(9)]);
        let mut whole = bytes_of(&path);
        let room = whole.len() - 8 - bytes.len();
        let at = at % room;
        whole[at..at + bytes.len()].copy_from_slice(&bytes);
        fs::write(&path, whole).unwrap();
        let (_, error) = read(&path, Topic::IN_OBSERVATION, &Columns::default());
        if let Some(error) = error {
            let known = ["row group ", "the footer ", "its schema", "it is no Parquet", "column `"];
            prop_assert!(known.iter().any(|begin| error.starts_with(begin)), "{}", error);
        }
    }
}
