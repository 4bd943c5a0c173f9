//! What format a file has: by its name, and where that does not tell, by how it begins and ends.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use riskflow_config::FileFormat;

/// By the ending of the name, without that of what packed it; `None`: the name does not tell.
fn by_name(path: &Path) -> Option<FileFormat> {
    let packed = |ending: &std::ffi::OsStr| ["gz", "zst"].iter().any(|known| ending.eq_ignore_ascii_case(known));
    let stem = path.file_stem().filter(|_| path.extension().is_some_and(packed));
    let ending = stem.map_or(path, Path::new).extension()?;
    let known = [
        ("csv", FileFormat::Csv),
        ("parquet", FileFormat::Parquet),
        ("ndjson", FileFormat::Ndjson),
        ("jsonl", FileFormat::Ndjson),
    ];
    let found = known.into_iter().find(|(name, _)| ending.eq_ignore_ascii_case(name));
    found.map(|(_, format)| format)
}

/// As it is said, else by the name, else by the content: Parquet, or lines of JSON. Only regular files are looked into.
pub(super) fn format_of(path: &Path, said: Option<FileFormat>) -> FileFormat {
    said.or_else(|| by_name(path)).unwrap_or_else(|| {
        // Who opens it says why it cannot be read.
        if is_parquet(path).unwrap_or(false) {
            FileFormat::Parquet
        } else {
            FileFormat::Ndjson
        }
    })
}

/// How Parquet begins and ends.
pub(super) const PARQUET: &[u8; 4] = b"PAR1";

/// The first and the last four bytes of a file; `None` for a shorter one.
pub(super) fn ends(file: &File) -> io::Result<Option<([u8; 4], [u8; 4])>> {
    let length = file.metadata()?.len();
    if length < 8 {
        return Ok(None);
    }
    let (mut first, mut last) = ([0; 4], [0; 4]);
    file.read_exact_at(&mut first, 0)?;
    file.read_exact_at(&mut last, length - 4)?;
    Ok(Some((first, last)))
}

fn is_parquet(path: &Path) -> io::Result<bool> {
    // Opening a pipe would wait for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Ok(false);
    }
    Ok(ends(&File::open(path)?)? == Some((*PARQUET, *PARQUET)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_told_by_the_name_without_what_packed_it() {
        for (name, format) in [
            ("a.csv", FileFormat::Csv),
            ("a.CSV.gz", FileFormat::Csv),
            ("a.csv.zst", FileFormat::Csv),
            ("a.Parquet", FileFormat::Parquet),
            ("a.gz", FileFormat::Ndjson),
            ("a.jsonl.gz", FileFormat::Ndjson),
            ("csv", FileFormat::Ndjson),
        ] {
            assert_eq!(format_of(Path::new(name), None), format, "{name}");
            assert_eq!(format_of(Path::new(name), Some(FileFormat::Csv)), FileFormat::Csv);
        }
    }

    #[test]
    fn parquet_under_another_name_is_told_by_its_ends() {
        let folder = tempfile::tempdir().unwrap();
        let told = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            format_of(&path, None)
        };
        assert_eq!(told("a", b"PAR1....PAR1"), FileFormat::Parquet);
        assert_eq!(told("a.csv", b"PAR1....PAR1"), FileFormat::Csv);
        // A first column of that name, and a file that was cut.
        assert_eq!(told("b", b"PAR1,x\n1,2\n"), FileFormat::Ndjson);
        assert_eq!(told("c", b"PAR1"), FileFormat::Ndjson);
    }
}
