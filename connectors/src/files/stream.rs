//! What lies behind a file's name: a regular file of plain bytes, which can be read anywhere, or something that comes once, in
//! order: a pipe, a device, compressed bytes.

use std::fs::{self, File};
use std::io::{self, BufReader, Chain, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// What a name stands for.
pub(super) enum Kind {
    /// A regular file that is not compressed.
    Plain(File),
    /// Anything else: opened and read by a thread of its own, since even opening a pipe waits for its writer.
    Stream {
        /// Whether more comes without anybody's doing: a poll may wait for it as it would for the disk.
        waits: bool,
    },
}

impl Kind {
    /// # Errors
    ///
    /// When nothing has this name, it is a folder, or it cannot be read.
    pub fn of(path: &Path) -> io::Result<Self> {
        if is_stdin(path) {
            return Ok(Self::Stream { waits: false });
        }
        let metadata = fs::metadata(path)?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if !metadata.is_file() {
            return Ok(Self::Stream { waits: false });
        }
        let mut file = File::open(path)?;
        let head = head(&mut file)?;
        if packing(&head).is_some() {
            return Ok(Self::Stream { waits: true });
        }
        // A second descriptor of the same file begins where this one stands.
        io::Seek::rewind(&mut file)?;
        Ok(Self::Plain(file))
    }
}

pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Opens what comes once, for the thread that reads it. What is compressed, by its first bytes, is unpacked.
pub(super) fn open(path: &PathBuf) -> io::Result<Box<dyn Read + Send>> {
    if is_stdin(path) {
        return unpacked(io::stdin());
    }
    unpacked(File::open(path)?)
}

/// The same, and counts the bytes that were read of the file, packed as they are.
pub(super) fn open_counted(path: &Path, count: &Arc<AtomicU64>) -> io::Result<Box<dyn Read + Send>> {
    let count = Arc::clone(count);
    if is_stdin(path) {
        return unpacked(Counted(io::stdin(), count));
    }
    unpacked(Counted(File::open(path)?, count))
}

struct Counted<R>(R, Arc<AtomicU64>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

fn unpacked(mut from: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let head = head(&mut from)?;
    let packing = packing(&head);
    let whole: Chain<Cursor<Vec<u8>>, _> = Cursor::new(head).chain(from);
    Ok(match packing {
        Some(Packing::Gzip) => Box::new(MultiGzDecoder::new(BufReader::new(whole))),
        Some(Packing::Zstd) => Box::new(zstd::Decoder::new(whole)?),
        None => Box::new(whole),
    })
}

enum Packing {
    Gzip,
    Zstd,
}

fn packing(head: &[u8]) -> Option<Packing> {
    if head.starts_with(GZIP) {
        return Some(Packing::Gzip);
    }
    head.starts_with(ZSTD).then_some(Packing::Zstd)
}

/// The first bytes: those that tell what it is, or all.
fn head(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    // Of plain text the first byte tells enough: whoever types is not waited for.
    while head.len() < ZSTD.len() && (GZIP.starts_with(&head) || ZSTD.starts_with(&head)) {
        let mut byte = [0];
        match from.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => head.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(bytes: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        unpacked(Cursor::new(bytes.to_vec()))?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn bytes_are_unpacked_by_how_they_begin() {
        for plain in ["", "a", "{\"a\":1}\n", "\u{1f}x", "(µ"] {
            assert_eq!(read(plain.as_bytes()).unwrap(), plain);
        }
        let gzip = |text: &str| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(read(&[gzip("one\n"), gzip("two\n")].concat()).unwrap(), "one\ntwo\n");
        assert_eq!(read(&zstd::encode_all(&b"one\n"[..], 1).unwrap()).unwrap(), "one\n");
        let cut = gzip("a text that is cut");
        assert_eq!(
            read(&cut[..cut.len() - 9]).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}
