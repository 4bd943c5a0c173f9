//! Memory, for as many datastreams as there are or will be.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use riskflow_config::{Input, Settings};
use riskflow_connectors::{Polled, Share, SourceError, Until, Verdict, open_source, table_key};
use riskflow_model::Key;
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;

use super::finding::{Findings, told};
use super::machine::bytes;

const CHECK: &str = "memory";

/// What 100,000 datastreams took at most, with one rule each (docs/operate.md, Size).
const MEASURED: u64 = 430 << 20;

/// So many were measured.
const DATASTREAMS: u64 = 100_000;

/// A start that works off history needs more than the calm after it: twice what was measured is to be given.
const SPARE: u64 = 2;

/// How long their rows are read.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether memory is enough for the datastreams that are expected, or for those that there are, if their topic can be read.
pub fn memory(settings: &Settings, expected: Option<u64>, brokers_answer: bool, findings: &mut Findings) {
    let count = match expected {
        Some(count) => count,
        None => match counted(settings, brokers_answer) {
            Ok(count) => count,
            Err(why) => {
                findings.skip(CHECK, format!("{why}; `--datastreams N` says how many there will be"));
                return;
            }
        },
    };
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let own = read("/proc/self/cgroup").and_then(|groups| own_group(&groups));
    let limit = own.and_then(|group| read(&format!("/sys/fs/cgroup{group}/memory.max")));
    // Of a container, whose own group is the root that it sees.
    let limit = limit.or_else(|| read("/sys/fs/cgroup/memory.max"));
    match available(&read("/proc/meminfo").unwrap_or_default(), limit.as_deref()) {
        Some(there) => judge(count, there, findings),
        None => findings.skip(CHECK, "the system does not say how much there is"),
    }
}

fn judge(count: u64, there: u64, findings: &mut Findings) {
    let needed = needed(count);
    let found = format!(
        "{} for this process; {count} datastreams with one rule each, a mean of 5 minutes, want {} (docs/operate.md, Size): longer windows, more \
         rules and open cases want more",
        bytes(there),
        bytes(needed)
    );
    if needed > there {
        findings.warn(
            CHECK,
            found,
            "give more (`MemoryMax=` of systemd, limits of the container), or more processes",
        );
    } else {
        findings.ok(CHECK, found);
    }
}

/// How much so many datastreams want.
const fn needed(count: u64) -> u64 {
    count.saturating_mul(MEASURED / DATASTREAMS).saturating_mul(SPARE)
}

/// How much memory there is: that of the machine, or the limit of the group, whichever is less.
fn available(meminfo: &str, limit: Option<&str>) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let machine = line.split_whitespace().next()?.parse::<u64>().ok()? * 1024;
    // `max` is no number: no limit.
    let limit = limit.and_then(|limit| limit.trim().parse::<u64>().ok());
    Some(limit.map_or(machine, |limit| limit.min(machine)))
}

/// The path of this process's group, as the second version of control groups has it.
fn own_group(groups: &str) -> Option<String> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(path.trim_end_matches('/').to_owned())
}

/// How many datastreams have a row in the input.
fn counted(settings: &Settings, brokers_answer: bool) -> Result<u64, String> {
    match &settings.input {
        Input::Files(_) => return Err("how many datastreams there are stands in the files".to_owned()),
        Input::Kafka(_) if !brokers_answer => {
            return Err("the brokers do not say how many datastreams there are".to_owned());
        }
        Input::Kafka(_) | Input::Log(_) => {}
    }
    match rows(settings) {
        Ok(Some(count)) => Ok(count),
        Ok(None) => Err(format!("the rows of datastreams were not read within {PATIENCE:?}")),
        Err(error) => Err(told(error)),
    }
}

/// The rows of `base.datastream` that there are now; `None` where that takes too long.
fn rows(settings: &Settings) -> Result<Option<u64>, SourceError> {
    let mut source = open_source(
        &settings.input,
        &settings.topics,
        &[Topic::BASE_DATASTREAM],
        Share::WHOLE,
        Until::End,
        &Offsets::default(),
    )?;
    let mut known: BTreeSet<Key> = BTreeSet::new();
    let until = Instant::now() + PATIENCE;
    loop {
        let polled = source.poll(10_000, &mut |record| {
            if let Some(key) = table_key(&record) {
                if record.payload.is_some() {
                    known.insert(key);
                } else {
                    known.remove(&key);
                }
            }
            Verdict::Taken
        })?;
        match polled {
            Polled::Ended => return Ok(Some(known.len() as u64)),
            // A source is asked, it does not call.
            Polled::Idle | Polled::Blocked => std::thread::sleep(Duration::from_millis(20)),
            Polled::More => {}
        }
        if Instant::now() > until {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use riskflow_config::WrittenSettings;
    use riskflow_connectors::log::LogWriter;

    use super::super::finding::State;
    use super::*;

    #[test]
    fn memory_is_that_of_the_machine_or_of_the_group() {
        let meminfo = "MemFree: 1 kB\nMemTotal:       2048 kB\n";
        assert_eq!(available(meminfo, None), Some(2 << 20));
        assert_eq!(available(meminfo, Some("max\n")), Some(2 << 20));
        assert_eq!(available(meminfo, Some("1048576\n")), Some(1 << 20));
        assert_eq!(available(meminfo, Some("99999999999\n")), Some(2 << 20));
        assert_eq!(available("", Some("1")), None);
        assert_eq!(
            own_group("1:cpu:/x\n0::/system.slice/a.service\n").as_deref(),
            Some("/system.slice/a.service")
        );
        assert_eq!(own_group("0::/\n").as_deref(), Some(""));
        assert_eq!(own_group(""), None);
    }

    #[test]
    fn too_little_memory_is_told() {
        let state = |count: u64, there: u64| {
            let mut findings = Findings::default();
            judge(count, there, &mut findings);
            findings.iter().next().unwrap().state
        };
        assert_eq!(state(100_000, 1 << 30), State::Ok);
        assert_eq!(state(200_000, 1 << 30), State::Warn);
        assert_eq!(needed(0), 0);
    }

    #[test]
    fn datastreams_are_counted_by_their_rows() {
        let folder = tempfile::tempdir().unwrap();
        let name = Topic::BASE_DATASTREAM.name();
        let mut writer = LogWriter::open(folder.path(), name, 1).unwrap();
        let rows: [(&str, Option<&str>); 4] = [("a", Some("{}")), ("b", Some("{}")), ("a", Some("{}")), ("b", None)];
        for (key, payload) in rows {
            let payload = payload.map(str::as_bytes);
            writer
                .append(0, riskflow_model::Millis(1), Some(key.as_bytes()), payload)
                .unwrap();
        }
        writer.sync().unwrap();
        drop(writer);
        let mut settings = WrittenSettings::default().check().unwrap();
        settings.input = Input::Log(folder.path().to_owned());
        assert_eq!(super::rows(&settings).unwrap(), Some(1));
        settings.input = Input::Log(folder.path().join("nowhere"));
        let mut findings = Findings::default();
        memory(&settings, None, true, &mut findings);
        assert_eq!(findings.iter().next().unwrap().state, State::Skipped);
    }
}
