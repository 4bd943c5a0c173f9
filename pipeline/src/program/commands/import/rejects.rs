//! Rows that are refused: where each stands, what is wrong with it, and what mends it.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use riskflow_connectors::Rejection;
use riskflow_model::shortened;
use riskflow_model::topic::Topic;
use serde_json::{Value, json};

use super::files::Given;
use crate::program::exit::Usage;
use crate::program::terminal::tell;

/// So many are shown at once; the file has all.
const SHOWN: usize = 5;

/// Of a row that is refused so much is quoted.
const QUOTED: usize = 64 << 10;

/// A file with rows that are refused, made with the first of them. It is written beside, and takes its name once it is whole.
pub struct Rejects {
    path: PathBuf,
    /// Where it is written; the path itself where that is no regular file, but a pipe or a device.
    beside: PathBuf,
    file: Option<BufWriter<File>>,
    count: u64,
    first: Vec<String>,
}

impl Rejects {
    /// None yet. A file that an earlier import left stays until there is another.
    pub fn new(path: &Path, given: &[Given]) -> Result<Self> {
        let same = |file: &&Given| {
            fs::canonicalize(&file.path)
                .ok()
                .is_some_and(|file| fs::canonicalize(path).ok() == Some(file))
        };
        if let Some(file) = given.iter().find(same) {
            let says = format!(
                "`--rejects` is `{}`, which is to be imported; give another file",
                file.name
            );
            return Err(Usage(says).into());
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let beside = match fs::metadata(path) {
            Ok(there) if there.is_dir() => {
                let says = format!("`--rejects` is `{}`, a folder; give a file", path.display());
                return Err(Usage(says).into());
            }
            Ok(there) if !there.is_file() => path.to_owned(),
            _ => path.with_file_name(name),
        };
        Ok(Self {
            path: path.to_owned(),
            beside,
            file: None,
            count: 0,
            first: Vec::new(),
        })
    }

    /// How many there are.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// One more.
    pub fn add(
        &mut self,
        file: &str,
        row: u64,
        topic: Option<Topic>,
        rejection: &Rejection,
        payload: &[u8],
    ) -> Result<()> {
        self.count += 1;
        if self.first.len() < SHOWN {
            let detail = rejection.detail.replace('\n', "; ");
            self.first
                .push(format!("{file}, row {row}: {}: {detail}", rejection.reason.name()));
        }
        let payload = String::from_utf8_lossy(payload);
        let problems: Vec<Value> = rejection.detail.lines().map(problem).collect();
        let record = json!({
            "file": file, "row": row, "topic": topic.map(Topic::name), "reason": rejection.reason.name(), "problems": problems,
            "payload": shortened(&payload, QUOTED),
        });
        let out = match &mut self.file {
            Some(file) => file,
            None => {
                let made = File::create(&self.beside);
                let made = made.with_context(|| format!("could not create `{}`", self.beside.display()))?;
                self.file.insert(BufWriter::new(made))
            }
        };
        writeln!(out, "{record}").with_context(|| format!("could not write `{}`", self.path.display()))
    }

    /// All are written down.
    pub fn finish(&mut self) -> Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let written = file.flush().and_then(|()| match self.beside == self.path {
            true => Ok(()),
            false => fs::rename(&self.beside, &self.path),
        });
        written.with_context(|| format!("could not write `{}`", self.path.display()))
    }

    /// Says the first of them.
    pub fn show(&self) {
        self.first.iter().for_each(tell);
        let more = self.count - self.first.len() as u64;
        if more > 0 {
            tell(format_args!("and {more} more"));
        }
    }
}

/// A line of what is wrong, in its parts where it has them: "`field` is found; give cure".
fn problem(line: &str) -> Value {
    let parts = || {
        let (field, rest) = line.strip_prefix('`')?.split_once("` is ")?;
        let (found, give) = rest.rsplit_once("; give ")?;
        Some(json!({ "field": field, "found": found, "give": give }))
    };
    parts().unwrap_or_else(|| match line.rsplit_once("; give ") {
        Some((found, give)) => json!({ "field": null, "found": found, "give": give }),
        None => json!({ "field": null, "found": line, "give": null }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_in_its_parts() {
        assert_eq!(
            problem("`result` is \"x; give up\"; give a number"),
            json!({ "field": "result", "found": "\"x; give up\"", "give": "a number" })
        );
        assert_eq!(problem("no JSON; give one JSON object")["give"], "one JSON object");
        assert_eq!(problem("something else")["found"], "something else");
    }
}
