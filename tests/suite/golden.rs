//! Every case of `tests/cases`, on one worker and on two, and as the batch oracle sees it.

use std::path::Path;

use riskflow_tests::golden::Case;

#[test]
fn every_golden_case_comes_out_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut problems = Vec::new();
    let mut count = 0;
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let cases: Vec<Case> =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for case in cases {
            count += 1;
            if let Err(error) = case.ask_oracle() {
                problems.push(format!("{} ({}), oracle: {error:#}", path.display(), case.source));
            }
            for workers in [1, 2] {
                if let Err(error) = case.run(workers) {
                    problems.push(format!(
                        "{} ({}), {workers} workers: {error:#}",
                        path.display(),
                        case.source
                    ));
                    break;
                }
            }
        }
    }
    assert!(
        problems.is_empty(),
        "{} of {count} cases:\n{}",
        problems.len(),
        problems.join("\n")
    );
    assert!(count >= 20, "only {count} cases");
}
