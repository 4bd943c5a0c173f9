//! CSV that is written.

use super::*;

fn csv(folder: &Path) -> FilesOutput {
    FilesOutput {
        folder: folder.to_owned(),
        format: OutputFormat::Csv,
    }
}

fn reported(key: &str, module: &str) -> OutRecord {
    let payload = serde_json::json!({
        "region": "330902", "module": module, "kind": "damage", "quantity": "houses", "total": 1.5, "reports": 2, "epoch": "x",
    });
    OutRecord {
        topic: Topic::REPORT_TOTAL,
        key: key.to_owned(),
        payload: Some(payload.to_string().into_bytes()),
    }
}

const HEADER: &str = "epoch,key,op,region,module,kind,quantity,total,reports,stand_in.bytes,stand_in.most\n";

#[test]
fn rows_have_the_columns_of_their_topic_and_texts_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let output = csv(folder.path());
    let mut sink = open_sink(&output, false).unwrap();
    let gone = OutRecord {
        payload: None,
        ..reported("a,b", "")
    };
    let first = vec![reported("1", "=1+1"), reported("2", "say \"hi\",\nthere\r"), gone];
    sink.commit(&[epoch(7, first)]).unwrap();
    sink.commit(&[epoch(8, vec![reported("3", "积水")]), epoch(9, vec![reported("4", "")])])
        .unwrap();
    sink.finish().unwrap();
    let expected = "1970-01-01T00:00:00.007Z,1,put,330902,=1+1,damage,houses,1.5,2,,\n\
                    1970-01-01T00:00:00.007Z,2,put,330902,\"say \"\"hi\"\",\nthere\r\",damage,houses,1.5,2,,\n\
                    1970-01-01T00:00:00.007Z,\"a,b\",delete,,,,,,,,\n\
                    1970-01-01T00:00:00.008Z,3,put,330902,积水,damage,houses,1.5,2,,\n\
                    1970-01-01T00:00:00.009Z,4,put,330902,,damage,houses,1.5,2,,\n";
    let text = fs::read_to_string(output.file(Topic::REPORT_TOTAL)).unwrap();
    assert_eq!(text, format!("{HEADER}{expected}"));
    let said = open_sink(&output, false).err().unwrap().to_string();
    assert!(said.contains("out.report.total.csv"), "{said}");
}

#[test]
fn a_second_attempt_writes_over_what_the_first_left() {
    let folder = tempfile::tempdir().unwrap();
    let output = csv(folder.path());
    let mut sink = FileSink::open(&output, false).unwrap();
    let wrong = OutRecord {
        payload: Some(b"{\"other\":1}".to_vec()),
        ..reported("1", "m")
    };
    // What is longer than a piece is written before the fault.
    let long = reported("0", &"x".repeat(2 << 20));
    assert!(sink.commit(&[epoch(7, vec![long, wrong])]).is_err());
    sink.commit(&[epoch(7, vec![reported("1", "m")])]).unwrap();
    let text = fs::read_to_string(output.file(Topic::REPORT_TOTAL)).unwrap();
    let row = "1970-01-01T00:00:00.007Z,1,put,330902,m,damage,houses,1.5,2,,\n";
    assert!(text.starts_with(&format!("{HEADER}{row}")));
}
