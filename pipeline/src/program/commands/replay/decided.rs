//! What decides the content of a replay that goes on where it stood: it is kept with the replay, so that the rest is of the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use riskflow::runtime::recovery::settings_by_name;
use riskflow_config::{Input, KafkaSettings, Output, Settings};
use riskflow_connectors::checkpoint::{CheckpointStore, Note};
use riskflow_connectors::{Identity, note_exercise, noted_of_exercise};
use riskflow_model::topic::Topic;
use riskflow_model::{Problems, duration};
use serde::{Deserialize, Serialize};

use super::elsewhere::{MARK, is_free, make_topics};
use super::offsets::described;
use crate::program::cli::ReplayArguments;

/// What marks the log of a replay, before what decides its content.
pub const WORDS: &str = "all that is in this log is an exercise, written by `riskflow replay`";

/// Arguments and settings by their names, of those that are given. How fast it goes, and on how many workers, decides nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    arguments: BTreeMap<String, String>,
    /// The fingerprint of the rules: the same may have other names.
    rules: Option<String>,
    /// Where the history comes from; absent where an older version noted the rest.
    #[serde(default)]
    input: Option<Origin>,
}

/// Where a history comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    /// What tells it from others: that of a log goes with it when it is moved.
    id: String,
    /// For people.
    says: String,
}

impl Origin {
    /// That of the records that a replay with these settings reads. `files`: as they were given, if they were.
    fn of(settings: &Settings, files: &[PathBuf]) -> Result<Self> {
        let place = Identity::of_input(&settings.input).context("could not find out which input this is")?;
        let prefix = &settings.topics.prefix;
        let says = match &settings.input {
            Input::Log(folder) => format!("the embedded log in {}, topics {prefix}*", folder.display()),
            Input::Kafka(kafka) => format!("Kafka at {}, topics {prefix}*", kafka.brokers),
            Input::Files(configured) => {
                let given = files.iter().map(|file| file.display().to_string());
                let configured = configured.iter().map(|file| file.path.display().to_string());
                // What can be read only once is configured as a copy.
                let names: Vec<String> = if files.is_empty() {
                    configured.collect()
                } else {
                    given.collect()
                };
                let says = format!("files: {}", names.join(", "));
                return Ok(Self { id: says.clone(), says });
            }
        };
        Ok(Self {
            id: format!("{} {} {prefix}", place.kind, place.id),
            says,
        })
    }
}

impl Note for Decided {
    const NAME: &'static str = "exercise";
}

impl Decided {
    /// `rules`: the fingerprint of those in the place of the history's.
    pub fn of(arguments: &ReplayArguments, settings: &Settings, rules: Option<String>) -> Self {
        let mut decided = BTreeMap::new();
        let mut note = |name: &str, value: Option<String>| {
            decided.extend(value.map(|value| (name.to_owned(), value)));
        };
        note("--clock", Some(settings.clock.name().to_owned()));
        note("--as-ran", arguments.as_ran.then(|| "given".to_owned()));
        note("--from", arguments.from.map(|from| from.to_string()));
        note("--until", settings.until.map(|until| until.to_string()));
        note("--from-offset", described(&arguments.from_offset));
        note("--until-offset", described(&arguments.until_offset));
        note("--rules", rules.is_some().then(|| arguments.rules.join(", ")));
        let checkpoint = settings.replay.checkpoint.as_ref();
        note("--from-checkpoint", checkpoint.map(|(_, epoch)| epoch.to_string()));
        note(
            "--disorder",
            settings.replay.disorder.map(|disorder| duration::show(disorder.within)),
        );
        note("epoch.replay_tick", Some(duration::show(settings.epoch.replay_tick)));
        for (name, value) in settings_by_name(settings) {
            note(&name, Some(value.to_string()));
        }
        Self {
            arguments: decided,
            rules,
            input: None,
        }
    }

    /// The same of what these settings read. `files`: as they were given, if they were.
    ///
    /// # Errors
    ///
    /// Where it cannot be found out which input that is.
    fn reading(self, settings: &Settings, files: &[PathBuf]) -> Result<Self> {
        Ok(Self {
            input: Some(Origin::of(settings, files)?),
            ..self
        })
    }

    /// Keeps it where the replay writes, or finds that it is what was kept when the replay began; whether it goes on there. Topics on Kafka
    /// are made here, once nothing is refused. Where files are written nothing is kept, nor where it is forced: they are written anew.
    /// `files`: those of the history as they were given, if they were.
    ///
    /// # Errors
    ///
    /// With all that is otherwise, as [`Problems`]; where an exercise stands that says nothing of it; or where it cannot be read or written.
    pub fn keep(self, settings: &Settings, files: &[PathBuf]) -> Result<bool> {
        match &settings.output {
            Output::Kafka(kafka) if settings.output_topics.forced => make_topics(kafka, settings).map(|()| false),
            Output::Files(_) => Ok(false),
            Output::Log(folder) => self.reading(settings, files)?.keep_in_log(folder),
            Output::Kafka(kafka) => self.reading(settings, files)?.keep_at_topics(kafka, settings),
        }
    }

    /// With the topics themselves, in `out.progress`: whoever writes there finds it, wherever its checkpoints are. Beside these it is kept,
    /// too, where there are any: they may outlive the topics, and what is in them rests on it.
    fn keep_at_topics(&self, kafka: &KafkaSettings, settings: &Settings) -> Result<bool> {
        let (output, topics) = (&settings.output, &settings.output_topics);
        let place = format!("{}*", topics.prefix);
        let noted = noted_of_exercise(output, topics);
        let noted = noted.with_context(|| format!("could not read what the exercise in `{place}` was made of"))?;
        let at_topics = noted.map(|note| serde_json::from_slice::<Self>(&note)).transpose();
        let at_topics = at_topics.with_context(|| {
            format!(
                "`{}` does not say what began in `{place}`; replay to another place",
                topics.name(Topic::PROGRESS)
            )
        })?;
        // Nothing goes on from a replay of files: it wrote nothing yet, that was seen before.
        let from_files = matches!(settings.input, Input::Files(_));
        let beside = if from_files {
            None
        } else {
            Self::kept_beside_checkpoints(settings)?
        };
        if at_topics.is_none() && beside.is_none() && !from_files {
            // An exercise of which nothing is known: of an older version, or one that was forced.
            is_free(kafka, settings, true)?;
        }
        for (before, place) in [(&at_topics, &place), (&beside, &settings.checkpoint.path)] {
            if let Some(before) = before {
                before.is_that_of(self, place)?;
            }
        }
        make_topics(kafka, settings)?;
        if !from_files {
            self.keep_beside_checkpoints(settings)?;
        }
        if at_topics.is_none() {
            note_exercise(output, topics, settings.guarantee, serde_json::to_vec(self)?)
                .with_context(|| format!("could not note what the exercise in `{place}` is made of"))?;
        }
        Ok(!from_files && (at_topics.is_some() || beside.is_some()))
    }

    /// What is kept beside the checkpoints. To look at a folder must not make one.
    fn kept_beside_checkpoints(settings: &Settings) -> Result<Option<Self>> {
        let place = &settings.checkpoint.path;
        if !place.contains("://") && !Path::new(place).exists() {
            return Ok(None);
        }
        let about = || format!("could not read the arguments of the replay in `{place}`");
        let store = CheckpointStore::open(place).with_context(about)?;
        store.noted::<Self>().with_context(about)
    }

    fn keep_in_log(&self, folder: &Path) -> Result<bool> {
        let mark = folder.join(MARK);
        let about = || format!("could not write `{}`", mark.display());
        let mut goes_on = true;
        match fs::read_to_string(&mark) {
            Ok(text) => {
                // A log of before arguments were kept has none; one that cannot be read is no such log.
                if let Some(line) = text.lines().find(|line| line.starts_with('{')) {
                    let before: Self = serde_json::from_str(line).with_context(|| {
                        format!(
                            "`{}` does not say what began here; replay to another place",
                            mark.display()
                        )
                    })?;
                    before.is_that_of(self, &folder.display().to_string())?;
                    return Ok(true);
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let holds_any = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
                if holds_any {
                    // No replay made it: the log says so when it is opened.
                    return Ok(true);
                }
                fs::create_dir_all(folder).with_context(about)?;
                goes_on = false;
            }
            Err(error) => return Err(error).with_context(|| format!("could not read `{}`", mark.display())),
        }
        let text = format!("{WORDS}\n{}\n", serde_json::to_string(self)?);
        fs::write(&mark, text).with_context(about)?;
        // Before anything else is in the log.
        let synced = File::open(&mark).and_then(|file| file.sync_all());
        synced
            .and_then(|()| File::open(folder)?.sync_all())
            .with_context(about)?;
        Ok(goes_on)
    }

    fn keep_beside_checkpoints(&self, settings: &Settings) -> Result<()> {
        let place = &settings.checkpoint.path;
        let about = || format!("could not keep the arguments of the replay in `{place}`");
        let mut store = CheckpointStore::open(place).with_context(about)?;
        let job = Identity::find(&settings.input, &settings.output, &settings.output_topics);
        let job = job.context("could not find out which job this is")?;
        store.claim(&job).context("could not use the checkpoints")?;
        if store.noted::<Self>().with_context(about)?.is_none() {
            store.note(self).with_context(about)?;
        }
        Ok(())
    }

    /// Whether a replay into a place goes on as it began.
    fn is_that_of(&self, now: &Self, place: &str) -> Result<()> {
        let mut problems = Problems::default();
        let give = |was: &str| format!("what it was when this replay began ({was}), or replay to another place");
        if let (Some(was), Some(is)) = (&self.input, &now.input)
            && was.id != is.id
        {
            let same = if was.says == is.says {
                ", which is another one now"
            } else {
                ""
            };
            problems.add(
                "input",
                format!("`{}`{same}", is.says),
                give(&format!("`{}`", was.says)),
            );
        }
        let names: BTreeSet<&String> = self.arguments.keys().chain(now.arguments.keys()).collect();
        for name in names {
            let [was, is] = [self, now].map(|decided| decided.arguments.get(name));
            let differs = if name == "--rules" {
                self.rules != now.rules
            } else {
                was != is
            };
            if differs {
                let [was, is] =
                    [was, is].map(|value| value.map_or("not given".to_owned(), |value| format!("`{value}`")));
                let same = if was == is {
                    ", which says something else now"
                } else {
                    ""
                };
                problems.add(name.as_str(), format!("{is}{same}"), give(&was));
            }
        }
        let about = || format!("a replay with other arguments stands in `{place}`, and would go on with these");
        problems.none_or(Some(())).with_context(about)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::program::cli::{Arguments, Command};
    use crate::program::commands::configuration;

    fn decided(more: &[&str], rules: Option<&str>) -> Decided {
        let given = [&["riskflow", "replay", "--to-log", "x"], more].concat();
        let Command::Replay(arguments) = Arguments::try_parse_from(given).unwrap().command else {
            panic!("it is a replay");
        };
        let (_, mut settings) = configuration::load(&arguments.config).unwrap();
        settings.until = arguments.until;
        Decided::of(&arguments, &settings, rules.map(str::to_owned))
    }

    #[test]
    fn a_damaged_mark_is_named_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        assert!(!decided(&[], None).keep_in_log(&log).unwrap());
        let damaged = format!("{WORDS}\n{{\"arguments\":\n");
        fs::write(log.join(MARK), &damaged).unwrap();
        let error = decided(&[], None).keep_in_log(&log).unwrap_err();
        assert!(error.to_string().contains("does not say what began here"), "{error:#}");
        assert_eq!(fs::read_to_string(log.join(MARK)).unwrap(), damaged);
    }

    #[test]
    fn what_decides_nothing_may_differ_and_all_else_is_named_with_both_values() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let first = decided(&["--until", "2025-01-02T00:00:00Z", "--rules", "rain"], Some("a"));
        assert!(!first.keep_in_log(&log).unwrap());
        let text = fs::read_to_string(log.join(MARK)).unwrap();
        assert!(text.starts_with(WORDS), "{text}");
        let same = [
            "--until",
            "2025-01-02T00:00:00Z",
            "--rules",
            "packs/rain.json",
            "--speed",
            "9",
            "--set",
            "cluster.workers=2",
        ];
        assert!(decided(&same, Some("a")).keep_in_log(&log).unwrap());
        let other = decided(
            &[
                "--from",
                "2025-01-01T00:00:00Z",
                "--set",
                "time.horizon=2h",
                "--rules",
                "rain",
            ],
            Some("b"),
        );
        let error = other.keep_in_log(&log).unwrap_err();
        let problems = error.downcast_ref::<Problems>().unwrap();
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let give = |was: &str| format!("give what it was when this replay began ({was}), or replay to another place");
        assert_eq!(
            said[0],
            format!("`--from` is `2025-01-01T00:00:00.000Z`; {}", give("not given"))
        );
        assert_eq!(
            said[1],
            format!("`--rules` is `rain`, which says something else now; {}", give("`rain`"))
        );
        assert_eq!(
            said[2],
            format!("`--until` is not given; {}", give("`2025-01-02T00:00:00.000Z`"))
        );
        assert!(
            said[3..]
                .iter()
                .any(|said| said.starts_with("`time.horizon` is `2h`; ")),
            "{said:?}"
        );
        // A log that an older version began says nothing of its arguments: these are kept.
        fs::write(log.join(MARK), format!("{WORDS}\n")).unwrap();
        other.keep_in_log(&log).unwrap();
        assert!(first.keep_in_log(&log).is_err());
    }

    /// The clock and all else may be the same.
    #[test]
    fn a_history_from_elsewhere_does_not_go_on_in_the_place_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let of = |input: Input, files: &[&str]| {
            let mut settings = riskflow_config::WrittenSettings::default().check().unwrap();
            settings.input = input;
            let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
            decided(&[], None).reading(&settings, &files).unwrap()
        };
        let of_files = || of(Input::Files(Vec::new()), &["rain.csv", "base.asset.csv"]);
        let [one, two] = ["one", "two"].map(|name| {
            let input = folder.path().join(name);
            fs::create_dir(&input).unwrap();
            input
        });
        assert!(!of_files().keep_in_log(&log).unwrap());
        assert!(of_files().keep_in_log(&log).unwrap());
        let error = of(Input::Log(one.clone()), &[]).keep_in_log(&log).unwrap_err();
        let said = error.downcast_ref::<Problems>().unwrap().to_string();
        let wanted = format!(
            "`input` is `the embedded log in {}, topics *`; give what it was when this replay began (`files: rain.csv, base.asset.csv`), or \
             replay to another place",
            one.display()
        );
        assert_eq!(said, wanted);

        let log = folder.path().join("other");
        assert!(!of(Input::Log(one.clone()), &[]).keep_in_log(&log).unwrap());
        assert!(of(Input::Log(two), &[]).keep_in_log(&log).is_err());
        // It is known wherever it lies, and a note of before the input was kept says nothing of it.
        let moved = folder.path().join("moved");
        fs::rename(one, &moved).unwrap();
        assert!(of(Input::Log(moved), &[]).keep_in_log(&log).unwrap());
        assert!(decided(&[], None).keep_in_log(&log).unwrap());
        let older = folder.path().join("older");
        assert!(!decided(&[], None).keep_in_log(&older).unwrap());
        assert!(of_files().keep_in_log(&older).unwrap());
    }

    #[test]
    fn a_log_that_no_replay_made_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("log-id"), "").unwrap();
        decided(&[], None).keep_in_log(folder.path()).unwrap();
        assert!(!folder.path().join(MARK).exists());
    }
}
