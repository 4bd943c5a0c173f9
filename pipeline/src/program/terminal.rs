//! What people see: logs and errors on standard error, colour only on a terminal.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use riskflow_connectors::files::is_guarded;
use riskflow_model::Problems;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::reload;

use crate::program::cli::{LogArguments, LogFormat};
use crate::program::{escape, log_filter};

/// What is logged where nobody says.
const FILTER: &str = "info";

/// How the filter of the running log is replaced.
struct Filter {
    /// The command line or the environment has one, which stands over the configuration.
    given: bool,
    replace: Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>,
}

static RUNNING: OnceLock<Filter> = OnceLock::new();

/// Keeps what is needed to replace the filter.
fn keep<S: 'static>(given: bool, handle: reload::Handle<EnvFilter, S>) {
    let replace = Box::new(move |filter: EnvFilter| handle.reload(filter));
    // Logging starts once.
    let _ = RUNNING.set(Filter { given, replace });
}

/// Logs by this filter from now on, unless the command line or the environment has one: then nothing changes. Whether it is in force.
///
/// # Errors
///
/// What is wrong with it, where it is no filter or a part of it fits nothing.
pub fn log_by(filter: &str) -> Result<bool, String> {
    let new = log_filter::read(filter)?;
    match RUNNING.get() {
        Some(running) if !running.given => (running.replace)(new).map(|()| true).map_err(|error| error.to_string()),
        Some(_) | None => Ok(false),
    }
}

/// Starts logging to standard error. What others wrote is escaped, in panics too.
pub fn start_logging(arguments: &LogArguments) {
    let given = arguments.log.as_deref().filter(|filter| !filter.trim().is_empty());
    let filter = log_filter::read(given.unwrap_or(FILTER));
    let wrong = filter.as_ref().err().cloned();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new(FILTER)))
        // Whoever read the log may be gone, or its disk full: the job goes on. To tell of it in the same place would be to panic.
        .log_internal_errors(false);
    match arguments.log_format {
        LogFormat::Text => {
            let builder = builder
                .with_writer(io::stderr)
                .with_ansi(io::stderr().is_terminal())
                .with_target(false)
                .fmt_fields(Escaped)
                .with_filter_reloading();
            keep(given.is_some(), builder.reload_handle());
            builder.init();
        }
        LogFormat::Json => {
            let builder = builder
                .with_writer(|| EscapedJson(io::stderr()))
                .json()
                .with_filter_reloading();
            keep(given.is_some(), builder.reload_handle());
            builder.init();
        }
    }
    if let Some(why) = wrong {
        tracing::warn!(why, given, "`--log` cannot be used, using `info`");
    }
    std::panic::set_hook(Box::new(|info| {
        if is_guarded() {
            return;
        }
        let _ = writeln!(io::stderr(), "error: {}", escape::said(&info.to_string()));
    }));
}

/// The fields of a log record as one line that no terminal obeys.
struct Escaped;

impl<'writer> FormatFields<'writer> for Escaped {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut text = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut text), fields)?;
        writer.write_str(&escape::said(&text))
    }
}

/// A log record as JSON comes in one piece: what JSON need not escape a terminal may obey.
struct EscapedJson(io::Stderr);

impl io::Write for EscapedJson {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(record);
        let shown = escape::said(text.trim_end_matches('\n'));
        writeln!(self.0, "{shown}")?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Prints an error and what caused it; problems of a configuration one a line.
pub fn complain(error: &anyhow::Error) {
    let mut stderr = io::stderr().lock();
    let mut say = |before: &str, text: &str| drop(writeln!(stderr, "{before}{}", escape::said(text)));
    if let Some(problems) = error.downcast_ref::<Problems>() {
        for problem in problems.iter() {
            say("error: ", &problem.to_string());
        }
        // What they are about, if that was said: a file.
        let about = error.to_string();
        if about != problems.to_string() {
            let number = problems.iter().count();
            say(
                "",
                &format!("{about}: {number} problem{}", if number == 1 { "" } else { "s" }),
            );
        }
        return;
    }
    say("error: ", &error.to_string());
    for cause in error.chain().skip(1) {
        say("  because: ", &cause.to_string());
    }
}

/// Writes lines to standard error, escaped.
pub fn tell(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{}", escape::lines(&line.to_string()));
}

/// Says what is wrong with a command line; or gives the help that it asks for.
pub fn explain(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        error.exit();
    }
    let _ = write!(io::stderr(), "{}", escape::lines(&error.render().to_string()));
    ExitCode::from(crate::program::cli::EXIT_CONFIGURATION)
}

/// Whether nobody reads standard output any more.
static UNREAD: AtomicBool = AtomicBool::new(false);

/// Writes a line (or some) to standard output, escaped. Whoever read it may have seen enough: then the rest is not written, and the
/// program ends as it would have. Where it cannot be written for another reason, a full disk, the program fails.
pub fn say(line: impl std::fmt::Display) {
    let line = line.to_string();
    said(writeln!(std::io::stdout().lock(), "{}", escape::lines(&line)));
}

/// Whether nobody reads standard output any more: what goes on only to be read may end.
pub fn is_unread() -> bool {
    UNREAD.load(Ordering::Acquire)
}

fn said(written: io::Result<()>) {
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => UNREAD.store(true, Ordering::Release),
        Err(error) => {
            let _ = writeln!(io::stderr().lock(), "error: standard output cannot be written: {error}");
            std::process::exit(1);
        }
    }
}

/// The same with styles in it: colour only on a terminal, and without `NO_COLOR`. What others wrote must be escaped already.
pub fn say_in_colour(line: impl std::fmt::Display) {
    said(writeln!(anstream::stdout().lock(), "{line}"));
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

/// How far something has come that may take long: a bar on a terminal, else now and then a line in the log.
pub struct Progress {
    bar: indicatif::ProgressBar,
    what: &'static str,
    total: u64,
    told: std::time::Instant,
}

impl Progress {
    /// So often a line.
    const EVERY: std::time::Duration = std::time::Duration::from_secs(5);

    /// Of so many, in a unit that the bar need not show.
    pub fn new(what: &'static str, total: u64) -> Self {
        let bar = indicatif::ProgressBar::new(total.max(1));
        if let Ok(style) = indicatif::ProgressStyle::with_template("{msg} {wide_bar} {percent} % {eta}") {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self {
            bar,
            what,
            total,
            told: std::time::Instant::now(),
        }
    }

    /// So many are done.
    pub fn set(&mut self, done: u64) {
        self.bar.set_position(done);
        if std::io::stderr().is_terminal() || self.told.elapsed() < Self::EVERY {
            return;
        }
        self.told = std::time::Instant::now();
        let percent = done.saturating_mul(100) / self.total.max(1);
        tracing::info!(percent = percent.min(100), "{}", self.what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
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
