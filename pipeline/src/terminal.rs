//! What people see: logs and errors on standard error, colour only on a terminal.

use std::io::{IsTerminal as _, Write as _};

use tracing_subscriber::EnvFilter;

use crate::cli::{LogArguments, LogFormat};

/// Starts logging to standard error.
pub fn start_logging(arguments: &LogArguments) {
    let filter = EnvFilter::try_new(&arguments.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match arguments.log_format {
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// Prints an error and what caused it.
pub fn complain(error: &anyhow::Error) {
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "error: {error}");
    for cause in error.chain().skip(1) {
        let _ = writeln!(stderr, "  because: {cause}");
    }
}

/// Writes a line to standard error.
pub fn tell(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Writes a line to standard output; a closed pipe ends the program quietly, as other tools do.
pub fn say(line: impl std::fmt::Display) {
    if writeln!(std::io::stdout().lock(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// The same with styles in it: colour only on a terminal, and without `NO_COLOR`.
pub fn say_in_colour(line: impl std::fmt::Display) {
    if writeln!(anstream::stdout().lock(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// A progress bar on standard error; hidden where that is no terminal.
pub fn progress(what: &'static str, total: u64) -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::new(total);
    let style = indicatif::ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {eta}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar
}

/// A few lines that change in place on a terminal; now and then a line in a log file.
pub struct Live {
    bar: Option<indicatif::ProgressBar>,
    shown: Option<std::time::Instant>,
    every: std::time::Duration,
}

impl Live {
    /// Nothing is shown if `quiet`.
    pub fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = (!quiet).then(|| indicatif::ProgressBar::new_spinner().with_style(plain()));
        let every = if terminal { 200 } else { 5_000 };
        Self {
            bar,
            shown: None,
            every: std::time::Duration::from_millis(every),
        }
    }

    /// Shows these lines, if it is time again.
    pub fn show(&mut self, lines: impl FnOnce() -> Vec<String>) {
        let Some(bar) = &self.bar else { return };
        if self.shown.is_some_and(|at| at.elapsed() < self.every) {
            return;
        }
        self.shown = Some(std::time::Instant::now());
        let lines = lines();
        if std::io::stderr().is_terminal() {
            bar.set_message(lines.join("\n"));
            bar.tick();
        } else {
            let mut stderr = std::io::stderr().lock();
            let _ = writeln!(stderr, "{}", lines.join("; "));
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn plain() -> indicatif::ProgressStyle {
    indicatif::ProgressStyle::with_template("{msg}").unwrap_or_else(|_| indicatif::ProgressStyle::default_spinner())
}

/// Rows under a header, as plain columns.
pub fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    table.trim_fmt()
}
