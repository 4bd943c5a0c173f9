//! What format a file has by its name.

use std::path::Path;

use riskflow_config::FileFormat;

/// By the ending of the name, without that of what packed it.
pub(super) fn format_of(path: &Path) -> FileFormat {
    let packed = |ending: &std::ffi::OsStr| ["gz", "zst"].iter().any(|known| ending.eq_ignore_ascii_case(known));
    let stem = path.file_stem().filter(|_| path.extension().is_some_and(packed));
    match stem.map_or(path, Path::new).extension() {
        Some(ending) if ending.eq_ignore_ascii_case("csv") => FileFormat::Csv,
        _ => FileFormat::Ndjson,
    }
}
