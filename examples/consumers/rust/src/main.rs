//! Prints changes of warnings as they are committed, and keeps the set of open warnings, across restarts.
//!
//! What matters in it:
//!
//! * `isolation.level=read_committed`: records of transactions that were aborted never counted.
//! * The open set is the table `out.warning.state`: the last record of each key is its row, a null payload deletes it.
//! * Offsets and the set are kept together, in one file that is replaced as a whole: however it ends, it goes on from there. A change may
//!   then be printed twice, and none is left out.
//! * Topics keep deletions for a day (`delete.retention.ms`). Who was away for longer reads the table from its beginning.
//! * Fields that it does not know are passed over; so are kinds of changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const TABLE: &str = "out.warning.state";
const CHANGES: &str = "out.warning.delta";

/// In seconds; less than `delete.retention.ms`.
const LONGEST_AWAY: u64 = 12 * 3_600;

/// How many records are read of one topic before the other has its turn.
const MOST: usize = 1_000;

/// How long the next record is waited for.
const WAIT: Duration = Duration::from_millis(200);

/// Prints changes of warnings as they are committed, and keeps the set of open ones.
#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value = "localhost:9092")]
    brokers: String,
    /// `topics.prefix` of riskflow.
    #[arg(long, default_value = "")]
    prefix: String,
    /// The file that lasts.
    #[arg(long, default_value = "open-warnings.json")]
    state: PathBuf,
    /// End where the topics end now.
    #[arg(long)]
    once: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut state = State::read(&arguments.state)?;
    let mut readers = Vec::new();
    for topic in [TABLE, CHANGES] {
        readers.push(Reader::open(&arguments, topic, &state)?);
    }
    loop {
        let mut count = 0;
        for reader in &mut readers {
            count += reader.read(&mut state)?;
        }
        if count > 0 {
            state.save(&arguments.state)?;
        }
        if arguments.once && readers.iter().all(Reader::is_at_end) {
            break;
        }
    }
    writeln!(std::io::stdout().lock(), "{} open", state.open.len())?;
    Ok(())
}

/// What has to last: how far each partition was read, and the warnings that are open.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    /// When, in seconds since 1970.
    saved: u64,
    offsets: BTreeMap<String, BTreeMap<i32, i64>>,
    open: BTreeMap<String, Value>,
}

impl State {
    fn read(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| format!("could not read `{}`", path.display())),
        };
        let mut state: Self = serde_json::from_str(&text)?;
        if now()?.saturating_sub(state.saved) > LONGEST_AWAY {
            state.offsets.remove(TABLE);
            state.open.clear();
        }
        Ok(state)
    }

    fn save(&mut self, path: &Path) -> Result<()> {
        self.saved = now()?;
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        Ok(())
    }

    /// Applies a record; what to print, if anything.
    fn take(&mut self, topic: &str, message: &impl Message) -> Result<Option<String>> {
        let offsets = self.offsets.entry(topic.to_owned()).or_default();
        offsets.insert(message.partition(), message.offset() + 1);
        let key = message.key().context("every record has a key")?;
        let key = String::from_utf8_lossy(key).into_owned();
        let value: Option<Value> = message.payload().map(serde_json::from_slice).transpose()?;
        match (topic, value) {
            (TABLE, Some(row)) => {
                self.open.insert(key, row);
            }
            (TABLE, None) => {
                self.open.remove(&key);
            }
            (_, Some(change)) => {
                let part = |name: &str| change[name].as_str().unwrap_or_default();
                return Ok(Some(format!(
                    "{} {} {}/{} {}->{}",
                    part("epoch"),
                    part("kind"),
                    part("rule"),
                    part("asset"),
                    part("from"),
                    part("to")
                )));
            }
            (_, None) => {}
        }
        Ok(None)
    }
}

fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

/// Reads one topic, from where it was left.
struct Reader {
    topic: &'static str,
    consumer: BaseConsumer,
    partitions: usize,
    /// Partitions of which the end was seen.
    at_end: BTreeSet<i32>,
}

impl Reader {
    fn open(arguments: &Arguments, topic: &'static str, state: &State) -> Result<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "an example stands by itself: it takes nothing from riskflow"
        )]
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &arguments.brokers)
            // Partitions are assigned by hand, and offsets kept in the file: the group is only a name.
            .set("group.id", "open-warnings")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "true");
        let consumer: BaseConsumer = config.create()?;
        let name = format!("{}{topic}", arguments.prefix);
        let metadata = consumer.fetch_metadata(Some(&name), Duration::from_secs(30))?;
        let known = metadata.topics().iter().find(|known| known.name() == name);
        let partitions = known.map_or(0, |known| known.partitions().len());
        if partitions == 0 {
            bail!("there is no topic `{name}`; `riskflow topics --create` makes it");
        }
        let offsets = state.offsets.get(topic);
        let mut assigned = TopicPartitionList::new();
        for partition in 0..i32::try_from(partitions)? {
            let offset = offsets.and_then(|offsets| offsets.get(&partition));
            let offset = offset.map_or(Offset::Beginning, |offset| Offset::Offset(*offset));
            assigned.add_partition_offset(&name, partition, offset)?;
        }
        consumer.assign(&assigned)?;
        Ok(Self {
            topic,
            consumer,
            partitions,
            at_end: BTreeSet::new(),
        })
    }

    /// Reads what is there, up to a number; how much that was.
    fn read(&mut self, state: &mut State) -> Result<usize> {
        for count in 0..MOST {
            let Some(polled) = self.consumer.poll(WAIT) else {
                return Ok(count);
            };
            match polled {
                Ok(message) => {
                    if let Some(line) = state.take(self.topic, &message)? {
                        writeln!(std::io::stdout().lock(), "{line}")?;
                    }
                }
                Err(KafkaError::PartitionEOF(partition)) => {
                    self.at_end.insert(partition);
                }
                // librdkafka connects again by itself.
                Err(error) if is_away(&error) => {
                    writeln!(std::io::stderr().lock(), "{}: {error}", self.topic)?;
                }
                Err(error) => return Err(error).context(self.topic),
            }
        }
        Ok(MOST)
    }

    fn is_at_end(&self) -> bool {
        self.at_end.len() == self.partitions
    }
}

/// Whether no broker answers just now.
fn is_away(error: &KafkaError) -> bool {
    let away = [
        RDKafkaErrorCode::BrokerTransportFailure,
        RDKafkaErrorCode::AllBrokersDown,
    ];
    error.rdkafka_error_code().is_some_and(|code| away.contains(&code))
}
