//! CSV.

use super::*;

#[test]
fn rows_become_objects_with_numbers_strings_and_lists() {
    let csv = "id,asset,observed_property,unit,tags,thresholds,spare\n\
               007,1e3,rainfall,,a; b,\"{\"\"r\"\":{\"\"blue\"\":5}}\",12\n\
               s2,\"a\"\"\n2\",x,mm,,,\n\
               short,row\n";
    let records = read_text(csv, "x.csv", Some("base.datastream"), None);
    let payloads: Vec<&str> = records
        .iter()
        .map(|record| record.payload.as_deref().unwrap())
        .collect();
    assert_eq!(
        payloads,
        [
            r#"{"id":"007","asset":"1e3","observed_property":"rainfall","tags":["a","b"],"thresholds":{"r":{"blue":5}},"spare":"12"}"#,
            r#"{"id":"s2","asset":"a\"\u000a2","observed_property":"x","unit":"mm"}"#,
            r#"["short","row"]"#,
        ]
    );
    assert_eq!(
        records.iter().map(|record| record.offset).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    let duties = "id,region,rules,unit,role,roster\n1,330902,gas; 7,2,3,\"[{\"\"user\"\":\"\"u\"\"}]\"\n";
    let records = read_text(duties, "x.csv", Some("base.duty"), None);
    assert_eq!(
        records[0].payload.as_deref(),
        Some(r#"{"id":"1","region":"330902","rules":["gas","7"],"unit":"2","role":"3","roster":[{"user":"u"}]}"#)
    );
    let reports =
        "id,version,module,region,kind,quantities,time,deleted\nr,2,m,330902001,damage,\"{\"\"houses\"\":9}\",0,true\n";
    let records = read_text(reports, "x.csv", Some("in.report"), None);
    assert_eq!(
        records[0].payload.as_deref(),
        Some(
            r#"{"id":"r","version":2,"module":"m","region":"330902001","kind":"damage","quantities":{"houses":9},"time":0,"deleted":true}"#
        )
    );
    let times = "datastream,phenomenon_time,result\n12,1627187400000,05\n12,2021-07-25T12:30:00+08:00,-1.5\n";
    let records = read_text(times, "x.csv", Some("in.observation"), None);
    assert_eq!(
        records[0].payload.as_deref(),
        Some(r#"{"datastream":"12","phenomenon_time":1627187400000,"result":"05"}"#)
    );
    assert!(
        records[1]
            .payload
            .as_deref()
            .unwrap()
            .ends_with(r#""2021-07-25T12:30:00+08:00","result":-1.5}"#)
    );
}

#[test]
fn rows_behind_a_quote_that_is_not_closed_are_read() {
    let csv = "id,version,select,levels,note\na,1,{},{},\"5 inch\nb,2,{},{},ok\nc,3,{},{},\"fine, too\"\n";
    let payloads: Vec<String> = read_text(csv, "x.csv", Some("in.rule"), None)
        .into_iter()
        .map(|record| record.payload.unwrap())
        .collect();
    assert!(
        payloads[0].starts_with(r#"["line 2: the quote that begins cell 5 is not closed"#),
        "{payloads:?}"
    );
    assert!(payloads[0].ends_with(r#"a,1,{},{},\"5 inch"]"#), "{payloads:?}");
    assert_eq!(
        payloads[1..],
        [
            r#"{"id":"b","version":2,"select":{},"levels":{},"note":"ok"}"#,
            r#"{"id":"c","version":3,"select":{},"levels":{},"note":"fine, too"}"#
        ]
    );
}

#[test]
fn cells_of_spreadsheets_become_what_their_column_is() {
    let of = |topic: &str, csv: &str| {
        let records = read_text(csv, "x.csv", Some(topic), None);
        records[0].payload.clone().unwrap()
    };
    let assets = "\u{feff}id,category,domain,region,inherent_level,population,tags,,\r\n1,t,lifeline,330902001001,3.0,80.00,\"[\"\"a;b\"\"]\",,\r\n";
    assert_eq!(
        of("base.asset", assets),
        r#"{"id":"1","category":"t","domain":"lifeline","region":"330902001001","inherent_level":3,"population":80,"tags":["a;b"]}"#
    );
    let limits = "id,version,measure,category,levels\nhot,1.0,concurrent_work,plant; 7,\"{\"\"red\"\":3}\"\n";
    assert_eq!(
        of("base.limit", limits),
        r#"{"id":"hot","version":1,"measure":"concurrent_work","category":["plant","7"],"levels":{"red":3}}"#
    );
    let permits =
        "id,version,kind,work_type,holders,valid_from,valid_to\np,2,certificate,w,a;b,1750000020000.0,1.75E+12\n";
    assert_eq!(
        of("in.permit", permits),
        r#"{"id":"p","version":2,"kind":"certificate","work_type":"w","holders":["a","b"],"valid_from":1750000020000,"valid_to":"1.75E+12"}"#
    );
    let reports = "id,version,module,region,kind,time,deleted\n1e5,2.5,7,330902001,k,-5,TRUE\n";
    assert_eq!(
        of("in.report", reports),
        r#"{"id":"1e5","version":2.5,"module":"7","region":"330902001","kind":"k","time":-5,"deleted":true}"#
    );
    let actions = "id,case,action,actor,time\n1,2,call,3,0\n";
    assert_eq!(
        of("in.action", actions),
        r#"{"id":"1","case":"2","action":"call","actor":"3","time":0}"#
    );
}

#[test]
fn a_file_that_is_no_csv_of_ours_is_refused_in_one_word() {
    let says = |bytes: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        fs::write(&path, bytes).unwrap();
        let files = [input(&path, Some("in.observation"), None)];
        let mut source = FileSource::open(&files, &settings(), &[Topic::IN_OBSERVATION], Share::WHOLE).unwrap();
        loop {
            match source.poll(100, &mut |_| Verdict::Taken) {
                Ok(Polled::Ended) => return String::new(),
                Ok(_) => {}
                Err(SourceError::File { error, .. }) => return error.to_string(),
                Err(other) => panic!("{other}"),
            }
        }
    };
    let utf16: Vec<u8> = "datastream,phenomenon_time\ns,0\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let header = "datastream,phenomenon_time,result";
    for (bytes, word) in [
        (
            b"datastream;phenomenon_time;result\ns;0;0,4\n".to_vec(),
            "separator is `;`",
        ),
        (b"datastream\tphenomenon_time\tresult\n".to_vec(), "separator is tabs"),
        (utf16.clone(), "UTF-16"),
        ([b"\xff\xfe".as_slice(), &utf16].concat(), "UTF-16"),
        (b"datastream,phenomenon_time,\xb1\xb8\xd7\xa2\ns,0,x\n".to_vec(), "GBK"),
        ([header.as_bytes(), b",note\ns,0,1,\xbb\xfd\xcb\xae\n"].concat(), "GBK"),
        (
            [header.as_bytes(), b",\xe9t\xe9\ns,0,1,x\n"].concat(),
            "another encoding",
        ),
        (format!("{header},result\ns,0,1,2\n").into_bytes(), "`result` twice"),
        (b"s,0,1\ns,1,2\n".to_vec(), "has no `datastream`"),
        (
            b"datastream,\"phenomenon_time\ns,0\n".to_vec(),
            "the header is not closed",
        ),
    ] {
        let said = says(&bytes);
        assert!(said.contains(word) && said.contains("; "), "{word}: {said}");
    }
    for good in [
        format!("{header},note\ns,0,1,\"积水; 深\"\n").into_bytes(),
        b"datastream,phenomenonTime\ns,0\n".to_vec(),
        // One byte that is damaged is a dead letter.
        [header.as_bytes(), b",note\ns,0,1,\xff\n"].concat(),
    ] {
        assert_eq!(says(&good), "", "{}", String::from_utf8_lossy(&good));
    }
}
