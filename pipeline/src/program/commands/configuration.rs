//! Reads the configuration: file, then the environment, then overrides, then checks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use riskflow_config::{Environment, Input, Loaded, Output, Settings, WrittenSettings};
use riskflow_connectors::kafka;
use riskflow_model::Problems;
use riskflow_model::topic::Topic;

use crate::program::bounded;
use crate::program::cli::ConfigArguments;
use crate::program::exit::Usage;
use crate::program::log_filter;

/// The settings as written, with what stands over the file, and as checked.
///
/// # Errors
///
/// When the file cannot be read; with `Problems`, all of them, when what it says cannot be used.
pub fn load(arguments: &ConfigArguments) -> Result<(WrittenSettings, Settings)> {
    let loaded = with_origins(arguments)?;
    Ok((loaded.written, loaded.settings))
}

/// The same, and where each field comes from.
fn with_origins(arguments: &ConfigArguments) -> Result<Loaded> {
    let path = file(arguments);
    let text = match &path {
        Some(path) => bounded::text(path, LARGEST)
            .map_err(|error| Usage(format!("could not read `{}`: {error}", path.display())))?,
        None => String::new(),
    };
    let environment = Environment::of_process();
    let loaded = WrittenSettings::load_over(&text, &named(path.as_deref()), &environment, &arguments.overrides);
    let loaded = loaded.with_context(|| format!("{} cannot be used", described(arguments)))?;
    if !loaded.unread.is_empty() {
        tracing::warn!(
            variables = loaded.unread.join(", "),
            "these variables begin with `RISKFLOW_`, and nothing reads them: `epoch.tick` is `RISKFLOW__EPOCH__TICK`, and besides there are {}",
            riskflow_config::OPTION_VARIABLES.join(", ")
        );
    }
    Ok(loaded)
}

/// The same, with everything that it names and that can be looked at without asking anybody.
///
/// # Errors
///
/// As [`load`]; with `Problems` when files are not there, or no client can be made of the settings of Kafka.
pub fn load_and_look(arguments: &ConfigArguments) -> Result<(WrittenSettings, Settings)> {
    let loaded = looked_at(arguments)?;
    Ok((loaded.written, loaded.settings))
}

/// The same, and where each field comes from.
///
/// # Errors
///
/// As [`load_and_look`].
pub fn looked_at(arguments: &ConfigArguments) -> Result<Loaded> {
    let loaded = with_origins(arguments)?;
    look(&loaded.settings)
        .none_or(Some(loaded))
        .with_context(|| format!("{} cannot be used", described(arguments)))
}

/// Whether a topic is one of those that the job has.
///
/// # Errors
///
/// [`Usage`] where what it belongs to is off.
pub fn needs(settings: &Settings, topic: Topic) -> Result<()> {
    settings
        .capabilities
        .off_of(topic)
        .map_or(Ok(()), |off| Err(Usage(off).into()))
}

/// The same arguments with the file that is read now, so that it is that one that is read again, or missed.
pub fn settled(arguments: &ConfigArguments) -> ConfigArguments {
    ConfigArguments {
        config: file(arguments),
        ..arguments.clone()
    }
}

/// The largest file that is taken for a configuration, in bytes.
const LARGEST: u64 = 16 << 20;

/// The files that the text of a configuration names, whatever it is worth beside that; none where it cannot be read.
pub fn named_in(path: &Path) -> BTreeSet<PathBuf> {
    // A pipe is not opened: that would wait for its writer.
    let text = path.is_file().then(|| bounded::text(path, LARGEST).ok()).flatten();
    let written = text.and_then(|text| WrittenSettings::from_toml(&text).ok());
    written.map(|written| written.files()).unwrap_or_default()
}

/// The file that is read, if any is.
fn file(arguments: &ConfigArguments) -> Option<PathBuf> {
    let default = Path::new("riskflow.toml");
    let default = || default.exists().then(|| default.to_owned());
    arguments.config.clone().or_else(default)
}

fn named(path: Option<&Path>) -> String {
    path.map_or_else(|| "the configuration".to_owned(), |path| path.display().to_string())
}

/// Whether variables of the environment set fields.
pub fn has_variables() -> bool {
    Environment::of_process().names().next().is_some()
}

/// Where the settings come from, for people: the file, the variables and the fields that stand over it, without their values.
pub fn described(arguments: &ConfigArguments) -> String {
    let path = file(arguments);
    let mut parts = vec![path.map_or_else(|| "defaults".to_owned(), |path| path.display().to_string())];
    parts.extend(Environment::of_process().names().map(str::to_owned));
    let fields = arguments.overrides.iter().filter_map(|set| set.split_once('='));
    parts.extend(fields.map(|(field, _)| format!("--set {field}")));
    parts.join(", ")
}

/// Arguments that lead another command to the same topics: of those that are given what says where topics are, but for fields that the command
/// says itself (`but`: how they begin). Each begins with a space. What may be secret is left to whoever reads it, as `…`.
pub fn again(arguments: &ConfigArguments, but: &[&str]) -> String {
    let from_environment = std::env::var_os("RISKFLOW_CONFIG").map(PathBuf::from);
    let config = arguments.config.as_ref();
    let config = config.filter(|path| from_environment.as_ref() != Some(*path));
    let mut said = config.map_or_else(String::new, |path| {
        format!(" --config {}", quoted(&path.display().to_string()))
    });
    for (field, value) in arguments.overrides.iter().filter_map(|set| set.split_once('=')) {
        let leads = ["input.", "output.", "kafka.", "topics."];
        if leads.iter().any(|lead| field.starts_with(lead)) && !but.iter().any(|but| field.starts_with(but)) {
            let value = if is_open(field, value) { value } else { "…" };
            said += &format!(" --set {}", quoted(&format!("{field}={value}")));
        }
    }
    said
}

/// Whether a value may be shown: of Kafka what is known to be none, and where a secret lies.
fn is_open(field: &str, value: &str) -> bool {
    const OPEN: [&str; 4] = [
        "security.protocol",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.username",
    ];
    let Some(of_kafka) = field.strip_prefix("kafka.") else {
        return true;
    };
    let Some(property) = of_kafka.strip_prefix("properties.") else {
        return of_kafka == "brokers" && !value.contains('@');
    };
    let property = property.trim_matches('"');
    OPEN.contains(&property) || property.ends_with(".location") || value.trim_start().starts_with('{')
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "._-/:=,@…".contains(letter);
    if word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Where records come from, for people.
pub fn place(input: &Input) -> String {
    match input {
        Input::Log(folder) => format!("the embedded log in {}", folder.display()),
        Input::Kafka(kafka) => format!("Kafka at {}", kafka.brokers),
        Input::Files(files) => format!("{} files", files.len()),
    }
}

/// What is wrong with what the settings name.
fn look(settings: &Settings) -> Problems {
    let mut problems = Problems::default();
    if let Err(why) = log_filter::read(&settings.log.filter) {
        let found = format!("`{}`, which cannot be used: {why}", settings.log.filter);
        let give = "a filter such as `info` or `riskflow=debug,warn`";
        problems.add("log.filter", found, give);
    }
    if let Input::Files(files) = &settings.input {
        for (index, file) in files.iter().enumerate() {
            let is_stdin = file.path.as_os_str() == "-";
            if let Some(wrong) = unreadable(&file.path).filter(|_| !is_stdin) {
                problems.add(format!("input.files[{index}].path"), wrong, "a file that can be read");
            }
        }
    }
    let kafka = match (&settings.input, &settings.output) {
        (Input::Kafka(kafka), _) | (_, Output::Kafka(kafka)) => kafka,
        _ => return problems,
    };
    for problem in kafka::problems(kafka).iter() {
        problems.push(problem.clone());
    }
    problems
}

/// Why a file cannot be read. A pipe is not opened: that would wait for its writer.
fn unreadable(path: &Path) -> Option<String> {
    let wrong = |what: String| format!("`{}`, which {what}", path.display());
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Some(wrong("is a folder".to_owned())),
        Ok(metadata) if metadata.is_file() => {
            let opened = std::fs::File::open(path);
            opened.err().map(|error| wrong(format!("cannot be opened: {error}")))
        }
        Ok(about) if bounded::is_device(path, &about) => Some(wrong("is a device".to_owned())),
        Ok(_) => None,
        Err(error) => Some(wrong(format!("is not there: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_to_the_same_topics_is_said_again_without_secrets() {
        let sets = [
            "input.kind=kafka",
            "output.kind=kafka",
            "epoch.tick=10ms",
            "topics.prefix=city.",
            "kafka.brokers=\"a:9092,b:9092\"",
            "kafka.properties.sasl.password=s3cr3t",
            "kafka.properties.ssl.key.password={ file = \"/run/it's\" }",
            "kafka.properties.ssl.ca.location=ca.pem",
            "kafka.schema_registry=http://u:s3cr3t@a",
        ];
        let arguments = ConfigArguments {
            config: Some("my city.toml".into()),
            overrides: sets.map(str::to_owned).to_vec(),
        };
        assert_eq!(
            again(&arguments, &["output.", "topics.prefix"]),
            " --config 'my city.toml' --set input.kind=kafka --set 'kafka.brokers=\"a:9092,b:9092\"' \
             --set kafka.properties.sasl.password=… \
             --set 'kafka.properties.ssl.key.password={ file = \"/run/it'\\''s\" }' --set kafka.properties.ssl.ca.location=ca.pem \
             --set kafka.schema_registry=…"
        );
        let none = ConfigArguments {
            config: None,
            overrides: Vec::new(),
        };
        assert_eq!(again(&none, &[]), "");
    }
}
