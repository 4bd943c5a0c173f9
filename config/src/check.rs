//! How settings as written become settings as checked: every problem is noted, none ends the check.

mod cluster;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use riskflow_model::topic::{Direction, Topic};
use riskflow_model::{Millis, Problems, capability, duration};

use crate::problems::{Check, DAY, SECOND};
use crate::settings::{
    Capabilities, CheckpointSettings, CityDays, Clock, ClockSettings, EpochSettings, FileInput, FilesOutput, Input,
    KafkaSettings, Output, OutputFormat, RecoverySettings, ReplaySettings, ScoreCuts, Settings, Tidy, TimeSettings,
    TopicSettings, UnknownSettings, UnmatchedSettings,
};
use crate::written::WrittenHttp;
use crate::written::{
    Kind, WrittenCapabilities, WrittenCheckpoint, WrittenCity, WrittenClock, WrittenCuts, WrittenEpoch, WrittenInput,
    WrittenKafka, WrittenOutput, WrittenSettings, WrittenTime, WrittenTopics, WrittenUnknown, WrittenUnmatched,
};

/// The longest that a stop may wait for a checkpoint: what is under way is committed behind it, before supervisors kill (30 s).
const AT_STOP: i64 = 20 * SECOND;

impl WrittenSettings {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// Everything wrong with them, at once.
    pub fn check(&self) -> Result<Settings, Problems> {
        let mut check = Check::default();
        if self.version != 1 {
            check.problems.add("version", self.version, "1");
        }
        let input = check.input(self);
        if self.input.kind != Kind::Kafka && self.output.kind != Kind::Kafka && !self.kafka.brokers.is_empty() {
            check.brokers(&self.kafka.brokers);
        }
        let topics = check.topics(&self.topics, self.input.clock);
        let settings = Settings {
            cluster: check.cluster(&self.cluster),
            epoch: check.epoch(&self.epoch, &self.time),
            job_clock: check.clock(&self.clock),
            time: check.time(&self.time),
            unknown: check.unknown(&self.unknown),
            unmatched: check.unmatched(&self.unmatched),
            cuts: check.cuts(&self.risk.cuts),
            case: check.case(&self.case),
            zone: check.zone(&self.city),
            days: CityDays {
                holidays: check.dates("city.holidays", &self.city.holidays),
                workdays: check.dates("city.workdays", &self.city.workdays),
            },
            capabilities: check.capabilities(&self.capabilities, &self.http),
            output_topics: topics.clone(),
            topics,
            clock: self.input.clock,
            until: check.until(&self.input),
            output: check.output(self),
            // Behind those of brokers, of which nothing is told once another field of `kafka` is wrong.
            schema_registry: check.schema_registry(&self.kafka.schema_registry),
            guarantee: self.output.guarantee,
            checkpoint: check.checkpoint(&self.checkpoint),
            recovery: RecoverySettings {
                verify: self.recovery.verify,
                start_anew: false,
                from: None,
            },
            http: check.http(&self.http, &input, self.input.clock),
            bridge: check.bridge(&self.bridge),
            log: check.log(&self.log),
            watch: self.reload.watch,
            tracing: check.tracing(&self.tracing),
            input,
            instead: Vec::new(),
            replay: ReplaySettings::default(),
        };
        check.checkpoint_place(&settings);
        check.problems.none_or(Some(settings))
    }
}

impl Check {
    /// Single dates, and all from one to another.
    fn dates(&mut self, field: &str, written: &[String]) -> BTreeSet<Date> {
        /// No holiday lasts as long.
        const LONGEST: usize = 366;
        let mut dates = BTreeSet::new();
        for (index, text) in written.iter().enumerate() {
            let (from, to) = text.split_once("..").unwrap_or((text, text));
            let ends = from.trim().parse::<Date>().ok().zip(to.trim().parse::<Date>().ok());
            match ends.filter(|(from, to)| from <= to) {
                Some((from, to)) => {
                    let days = from.series(1.day()).take_while(|date| *date <= to);
                    dates.extend(days.take(LONGEST));
                }
                None => {
                    let give = "a date such as `2026-10-01`, or two in order, such as `2026-10-01..2026-10-07`";
                    self.problems
                        .add(format!("{field}[{index}]"), format!("`{text}`"), give);
                }
            }
        }
        dates
    }

    pub(crate) fn zone(&mut self, city: &WrittenCity) -> TimeZone {
        TimeZone::get(&city.timezone).unwrap_or_else(|_| {
            let give = "a name of the IANA time zone database, such as `Asia/Shanghai`";
            self.problems.add("city.timezone", format!("`{}`", city.timezone), give);
            TimeZone::UTC
        })
    }

    pub(crate) fn capabilities(&mut self, written: &WrittenCapabilities, http: &WrittenHttp) -> Capabilities {
        let WrittenCapabilities {
            cases,
            permits,
            reports,
            gauges,
        } = *written;
        if http.actions.enabled && !cases {
            let give = "false, or `capabilities.cases = true`: actions are about cases";
            self.problems.add("http.actions.enabled", "true", give);
        }
        let all = [
            (capability::CASES, cases),
            (capability::PERMITS, permits),
            (capability::REPORTS, reports),
            (capability::GAUGES, gauges),
        ];
        Capabilities::without(all.into_iter().filter_map(|(name, on)| (!on).then_some(name)))
    }

    pub(crate) fn epoch(&mut self, written: &WrittenEpoch, time: &WrittenTime) -> EpochSettings {
        let tick = self.duration("epoch.tick", &written.tick, 1, 10 * SECOND);
        let replay_tick = self.duration("epoch.replay_tick", &written.replay_tick, 1, 3_600 * SECOND);
        // What lies within one epoch would be too late at its end.
        if duration::parse(&time.horizon).is_ok_and(|horizon| replay_tick > horizon) {
            let give = format!("a duration of at most `time.horizon`, {}", time.horizon);
            self.problems
                .add("epoch.replay_tick", format!("`{}`", written.replay_tick), give);
        }
        let heartbeat = self.duration("epoch.heartbeat", &written.heartbeat, tick, 60 * SECOND);
        EpochSettings {
            tick: Duration::from_millis(tick.unsigned_abs()),
            replay_tick,
            max_records: self.count("epoch.max_records", written.max_records, 100, 10_000_000),
            in_flight: self.count("epoch.in_flight", written.in_flight, 1, 64),
            heartbeat: Duration::from_millis(heartbeat.unsigned_abs()),
            quiet: written.quiet,
        }
    }

    pub(crate) fn clock(&mut self, written: &WrittenClock) -> ClockSettings {
        ClockSettings {
            confirm: self.duration("clock.confirm", &written.confirm, 0, DAY),
            rewind: written.rewind,
        }
    }

    pub(crate) fn until(&mut self, written: &WrittenInput) -> Option<Millis> {
        if written.until.is_empty() {
            return None;
        }
        if written.clock == Clock::Live {
            let give = "nothing with `input.clock = \"live\"`: only a replay has an end";
            self.problems.add("input.until", format!("`{}`", written.until), give);
        }
        match written.until.parse::<Millis>() {
            Ok(until) => Some(until),
            Err(_) => {
                let give = "a time such as `2024-07-25T12:30:00+08:00`";
                self.problems.add("input.until", format!("`{}`", written.until), give);
                None
            }
        }
    }

    pub(crate) fn time(&mut self, written: &WrittenTime) -> TimeSettings {
        let before = self.problems.iter().count();
        let horizon = self.duration("time.horizon", &written.horizon, SECOND, 7 * DAY);
        // A horizon that cannot be makes no other time wrong.
        let latest = if self.problems.iter().count() == before {
            horizon
        } else {
            7 * DAY
        };
        TimeSettings {
            horizon: riskflow_model::Duration(horizon),
            max_future: self.length("time.max_future", &written.max_future, 0, DAY),
            late_after: self.length("time.late_after", &written.late_after, 0, latest),
            retain: self.length("time.retain", &written.retain, 0, 31 * DAY),
            forecast_age: self.length("time.forecast_age", &written.forecast_age, SECOND, 31 * DAY),
            event_age: self.length("time.event_age", &written.event_age, 60 * SECOND, 366 * DAY),
            event_ahead: self.length("time.event_ahead", &written.event_ahead, 0, 366 * DAY),
        }
    }

    pub(crate) fn unknown(&mut self, written: &WrittenUnknown) -> UnknownSettings {
        UnknownSettings {
            hold: self.length("unknown.hold", &written.hold, 0, DAY),
            max_observations: self.count("unknown.max_observations", written.max_observations, 0, 100_000_000),
            max_bytes: self.count("unknown.max_bytes", written.max_bytes, 0, 1 << 40),
        }
    }

    pub(crate) fn unmatched(&mut self, written: &WrittenUnmatched) -> UnmatchedSettings {
        UnmatchedSettings {
            after: self.length("unmatched.after", &written.after, 0, 7 * DAY),
        }
    }

    pub(crate) fn cuts(&mut self, written: &WrittenCuts) -> ScoreCuts {
        let least = [written.blue, written.yellow, written.orange, written.red];
        if least[0] == 0 || least[3] > 16 || !least.is_sorted() {
            self.problems.add(
                "risk.cuts",
                format!("{least:?}"),
                "numbers from 1 to 16, rising from blue to red",
            );
        }
        ScoreCuts { least }
    }

    pub(crate) fn topics(&mut self, written: &WrittenTopics, clock: Clock) -> TopicSettings {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if written.prefix.len() > 200 || !written.prefix.chars().all(legal) {
            let give = "at most 200 letters, digits, `.`, `_` and `-`";
            self.problems
                .add("topics.prefix", format!("`{}`", written.prefix), give);
        }
        self.count("topics.partitions", written.partitions.into(), 1, 10_000);
        self.count("topics.replication", written.replication.into(), 1, 100);
        let retention = self.duration("topics.retention", &written.retention, 60_000, 3650 * DAY);
        let inputs = self.duration("topics.input_retention", &written.input_retention, 0, 3650 * DAY);
        let live = clock == Clock::Live;
        TopicSettings {
            prefix: written.prefix.clone(),
            partitions: written.partitions,
            replication: written.replication,
            retention,
            tidy: Tidy {
                outputs: live.then_some(retention),
                inputs: (live && inputs > 0).then_some(inputs),
            },
            exercise: false,
            forced: false,
        }
    }

    pub(crate) fn input(&mut self, written: &WrittenSettings) -> Input {
        match written.input.kind {
            Kind::Log => Input::Log(written.input.path.clone()),
            Kind::Kafka => Input::Kafka(self.kafka(&written.kafka)),
            Kind::Files => {
                if written.input.files.is_empty() {
                    self.problems.add("input.files", "empty", "at least one file");
                }
                if written.input.clock == Clock::Live {
                    let give = "`arrival` or `event_time`: files have an end";
                    self.problems.add("input.clock", "`live`", give);
                }
                for (index, file) in written.input.files.iter().enumerate() {
                    self.file(index, file);
                }
                Input::Files(written.input.files.clone())
            }
        }
    }

    pub(crate) fn file(&mut self, index: usize, file: &FileInput) {
        if file.path.as_os_str() == "-" && file.format == Some(crate::FileFormat::Parquet) {
            let give = "a file: Parquet is read from its end";
            self.problems.add(format!("input.files[{index}].path"), "`-`", give);
        }
        let field = format!("input.files[{index}].topic");
        let envelope = file.format == Some(crate::FileFormat::Envelope);
        match file.topic.as_deref() {
            None if !envelope => {
                let give =
                    "a topic such as `in.observation`, or `format = \"envelope\"` for records that name their own";
                self.problems.add(field, "missing", give);
            }
            Some(name) if Topic::from_name(name).is_none_or(|topic| topic.direction() == Direction::Out) => {
                let names: Vec<&str> = Topic::inputs().map(Topic::name).collect();
                self.problems
                    .add(field, format!("`{name}`"), format!("one of `{}`", names.join("`, `")));
            }
            _ => {}
        }
    }

    pub(crate) fn output(&mut self, written: &WrittenSettings) -> Output {
        self.format_without_files(&written.output);
        match written.output.kind {
            Kind::Log => Output::Log(written.output.path.clone()),
            Kind::Kafka => Output::Kafka(self.kafka(&written.kafka)),
            Kind::Files => {
                let WrittenOutput { path, format, .. } = &written.output;
                if path.as_os_str() == "-" && *format != OutputFormat::Ndjson {
                    let give = "`ndjson`, or a folder as `output.path`: columns differ from topic to topic, and standard output takes all \
                                of them";
                    self.problems.add(
                        "output.format",
                        format!("`{}` with `output.path = \"-\"`", format.name()),
                        give,
                    );
                }
                Output::Files(FilesOutput {
                    folder: path.clone(),
                    format: *format,
                })
            }
        }
    }

    /// A format that nothing heeds says that its writer meant something else.
    fn format_without_files(&mut self, written: &WrittenOutput) {
        if written.kind != Kind::Files && written.format != OutputFormat::Ndjson {
            let give = "nothing, or `output.kind = \"files\"`: a log and Kafka have one format";
            self.problems
                .add("output.format", format!("`{}`", written.format.name()), give);
        }
    }

    pub(crate) fn kafka(&mut self, written: &WrittenKafka) -> KafkaSettings {
        // Input and output may both be Kafka: what is wrong with it is told once.
        let before = self.problems.iter().count();
        let told = self.problems.iter().any(|problem| problem.field.starts_with("kafka."));
        self.brokers(&written.brokers);
        let mut properties = BTreeMap::new();
        for (name, value) in &written.properties {
            let value = self.secret(&format!("kafka.properties.\"{name}\""), value);
            properties.extend(value.map(|value| (name.clone(), value)));
        }
        if told {
            self.problems.truncate(before);
        }
        KafkaSettings {
            brokers: written.brokers.clone(),
            properties,
            group_offsets: written.group_offsets,
        }
    }

    /// Whether brokers are hosts with ports. What looks like a password is not quoted.
    pub(crate) fn brokers(&mut self, brokers: &str) {
        const GIVE: &str = "`host:port`, separated by commas";
        if brokers.trim().is_empty() {
            self.problems.add("kafka.brokers", "empty", GIVE);
        } else if brokers.contains('@') {
            let give = format!("{GIVE}; user and password belong in `kafka.properties`");
            self.problems
                .add("kafka.brokers", "not usable: it has an `@` in it", give);
        } else if brokers.contains("://") {
            let give = format!("{GIVE}; the protocol is `kafka.properties.\"security.protocol\"`");
            self.problems.add("kafka.brokers", format!("`{brokers}`"), give);
        } else if !brokers.split(',').all(|broker| is_address(broker.trim())) {
            self.problems.add("kafka.brokers", format!("`{brokers}`"), GIVE);
        }
    }

    /// A folder within one of a topic would be taken for one of its partitions.
    pub(crate) fn checkpoint_place(&mut self, settings: &Settings) {
        let path = Path::new(&settings.checkpoint.path);
        let logs = match (&settings.input, &settings.output) {
            (Input::Log(input), Output::Log(output)) => vec![input, output],
            (Input::Log(input), _) => vec![input],
            (_, Output::Log(output)) => vec![output],
            _ => Vec::new(),
        };
        let within = |log: &PathBuf| Topic::all().any(|topic| path.starts_with(log.join(settings.topics.name(topic))));
        if logs.into_iter().any(within) {
            let give = "a folder that is none of a topic of the log";
            self.problems
                .add("checkpoint.path", format!("`{}`", path.display()), give);
        }
    }

    pub(crate) fn checkpoint(&mut self, written: &WrittenCheckpoint) -> CheckpointSettings {
        let interval = self.duration("checkpoint.interval", &written.interval, 100, DAY);
        let at_stop = self.duration("checkpoint.at_stop", &written.at_stop, 0, AT_STOP);
        if written.path.is_empty() {
            let give = "a folder or the URL of a bucket and prefix";
            self.problems.add("checkpoint.path", "empty", give);
        }
        let url = written.path.split_once("://").map(|(_, rest)| rest);
        if url.is_some_and(|rest| rest.contains('?') || rest.split('/').next().is_some_and(|host| host.contains('@'))) {
            let give = "a URL without user, password and parameters: credentials stand in the environment (`AWS_ACCESS_KEY_ID`, …)";
            self.problems
                .add("checkpoint.path", "not usable: the URL holds more than a place", give);
        }
        CheckpointSettings {
            path: written.path.clone(),
            interval: Duration::from_millis(interval as u64),
            keep: self.count("checkpoint.keep", written.keep, 1, 100),
            at_stop: Duration::from_millis(at_stop as u64),
        }
    }
}

/// Whether a text is `host:port`; an IPv6 address stands in brackets.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)),
    };
    is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
}
