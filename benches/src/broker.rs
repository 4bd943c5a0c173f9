//! Kafka for benches: a load in its topics, written by kcat.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// Puts before each line of a topic's file the identifier that its record is keyed by: compacted topics take no record without.
///
/// # Errors
///
/// When a file cannot be read or written, or a line has no identifier.
pub fn keyed(folder: &Path, topic: &str) -> Result<()> {
    let mut out = BufWriter::new(File::create(folder.join(format!("{topic}.keyed")))?);
    for line in BufReader::new(File::open(folder.join(format!("{topic}.ndjson")))?).lines() {
        let line = line?;
        let id = line.split('"').nth(3).context("an identifier")?;
        writeln!(out, "{id}\t{line}")?;
    }
    Ok(out.flush()?)
}

/// Writes what [`keyed`] made to a topic.
///
/// # Errors
///
/// When kcat is missing or fails.
pub fn produce(brokers: &str, prefix: &str, folder: &Path, topic: &str) -> Result<()> {
    let mut kcat = Command::new("kcat");
    kcat.args(["-P", "-b", brokers, "-t", &format!("{prefix}{topic}"), "-K", "\t", "-l"]);
    kcat.arg(folder.join(format!("{topic}.keyed")));
    let status = kcat.status().context("could not start kcat")?;
    ensure!(status.success(), "kcat could not write {topic}");
    Ok(())
}

/// A topic that is written line by line: a key, a tab, the record. What is written goes out within 5 ms.
pub struct Writer {
    kcat: Child,
    lines: BufWriter<ChildStdin>,
}

impl Writer {
    /// Begins to write.
    ///
    /// # Errors
    ///
    /// When kcat is missing.
    pub fn start(brokers: &str, topic: &str) -> Result<Self> {
        let mut kcat = Command::new("kcat")
            .args(["-P", "-b", brokers, "-t", topic, "-K", "\t"])
            .stdin(Stdio::piped())
            .spawn()
            .context("could not start kcat")?;
        let lines = kcat.stdin.take().context("kcat has standard input")?;
        Ok(Self {
            kcat,
            lines: BufWriter::with_capacity(1 << 16, lines),
        })
    }

    /// Where lines go.
    pub fn lines(&mut self) -> &mut impl std::io::Write {
        &mut self.lines
    }

    /// Ends it once all is written.
    ///
    /// # Errors
    ///
    /// When kcat could not write all.
    pub fn end(self) -> Result<()> {
        let Self { mut kcat, lines } = self;
        // Its end is the end of the input.
        drop(lines.into_inner().map_err(|error| error.into_error())?);
        ensure!(kcat.wait()?.success(), "kcat could not write observations");
        Ok(())
    }
}
