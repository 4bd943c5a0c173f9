//! Brokers, topics, rights and clocks, as far as they can be told without writing.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use riskflow::runtime::clock::wall_clock;
use riskflow_config::{Input, KafkaSettings, Output, Settings};
use riskflow_connectors::kafka::{self, BrokerError, Newest, Readable};
use riskflow_connectors::topics::{Place, TopicReport, TopicState, check};
use riskflow_model::topic::Topic;
use riskflow_model::{Millis, duration};

use super::finding::{Findings, told};

/// How long a connection to a broker may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How Kafka is reached, where input or output is there.
fn kafka_of(settings: &Settings) -> Option<&KafkaSettings> {
    match (&settings.input, &settings.output) {
        (Input::Kafka(kafka), _) | (_, Output::Kafka(kafka)) => Some(kafka),
        (Input::Log(_) | Input::Files(_), Output::Log(_) | Output::Files(_)) => None,
    }
}

/// Whether brokers answer, and can be reached where they say that they are. Returns whether anything else can be asked of them: true
/// where there are none.
pub fn brokers(settings: &Settings, findings: &mut Findings) -> bool {
    const CHECK: &str = "brokers";
    let Some(kafka) = kafka_of(settings) else { return true };
    let addresses = match kafka::brokers(kafka, &settings.topics) {
        Ok(addresses) => addresses,
        // It says itself what to give.
        Err(error @ BrokerError::NoConnection { .. }) => {
            findings.fail(
                CHECK,
                told(error),
                "as it says; docs/kafka-security.md has more of each",
            );
            return false;
        }
        Err(error) => {
            let mend = "see that they run, that this machine reaches them, and that `kafka.properties` has what they ask for \
                        (`security.protocol`, `sasl.*`, `ssl.*`)";
            findings.fail(CHECK, told(error), mend);
            return false;
        }
    };
    let away = not_reached(&addresses);
    for (address, why) in &away {
        findings.fail(
            CHECK,
            format!("a broker says that it is at {address}, and is not reached there: {why}"),
            "mend `advertised.listeners` of the broker, or the name or the network of this machine",
        );
    }
    let found = match addresses.len() {
        1 => format!("the one at {} answers", kafka.brokers),
        count => format!("{count}, of which one at {} answers", kafka.brokers),
    };
    findings.ok(CHECK, found);
    away.len() < addresses.len()
}

/// Those that are not reached, and why. All are tried at once.
fn not_reached(addresses: &[String]) -> Vec<(&str, String)> {
    std::thread::scope(|scope| {
        let tried: Vec<_> = addresses
            .iter()
            .map(|address| (address.as_str(), scope.spawn(move || reach(address))))
            .collect();
        let tried = tried.into_iter().map(|(address, reached)| {
            let reached = reached
                .join()
                .unwrap_or_else(|_| Err("the attempt panicked".to_owned()));
            (address, reached.err())
        });
        tried.filter_map(|(address, why)| Some((address, why?))).collect()
    })
}

fn reach(address: &str) -> Result<(), String> {
    let mut why = "the name has no address".to_owned();
    for found in address.to_socket_addrs().map_err(|error| error.to_string())? {
        match TcpStream::connect_timeout(&found, CONNECT) {
            Ok(_) => return Ok(()),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

/// Whether topics are as `riskflow topics --check` wants them.
pub fn topics(settings: &Settings, findings: &mut Findings) {
    topics_where(settings, findings, |_| true);
}

/// The same of those in embedded logs only.
pub fn topics_of_logs(settings: &Settings, findings: &mut Findings) {
    topics_where(settings, findings, |place| matches!(place, Place::Log(_)));
}

fn topics_where(settings: &Settings, findings: &mut Findings, asked: impl Fn(&Place<'_>) -> bool) {
    let places = [
        (
            Place::of_input(&settings.input),
            settings.capabilities.inputs().collect::<Vec<Topic>>(),
        ),
        (
            Place::of_output(&settings.output),
            settings.capabilities.outputs().collect(),
        ),
    ];
    for ((place, topics), check_name) in places.into_iter().zip(["topics of the input", "topics of the output"]) {
        let Some(place) = place.filter(&asked) else { continue };
        match check(place, &settings.topics, &topics) {
            Ok(reports) => report(check_name, &reports, findings),
            Err(error) => findings.fail(check_name, told(error), "make it so that they can be asked about"),
        }
    }
}

fn report(check: &'static str, reports: &[TopicReport], findings: &mut Findings) {
    let of = |wanted: &TopicState| {
        let those = reports.iter().filter(|report| report.state == *wanted);
        those.map(|report| report.name.as_str()).collect::<Vec<_>>()
    };
    let (fit, missing) = (of(&TopicState::Ok), of(&TopicState::Missing));
    if !missing.is_empty() {
        let found = format!(
            "{} of {} are missing: {}",
            missing.len(),
            reports.len(),
            missing.join(", ")
        );
        findings.fail(check, found, "`riskflow topics --create`");
    }
    for report in reports {
        if let TopicState::Differs(what) = &report.state {
            let found = format!("{} differs: {}", report.name, what.join("; "));
            findings.fail(check, found, "alter it, or the settings");
        }
        for remark in &report.remarks {
            findings.warn(
                check,
                format!("{}: {remark}", report.name),
                "alter it, if that is not meant",
            );
        }
    }
    if !fit.is_empty() {
        findings.ok(
            check,
            format!("{} of {} are as the settings say", fit.len(), reports.len()),
        );
    }
}

/// What may be read, what cannot be told of writing, and how the clocks stand. Process 0 reads the output, too, when it starts.
pub fn rights(settings: &Settings, findings: &mut Findings) {
    const CHECK: &str = "right to read";
    let mut topics = Vec::new();
    if matches!(settings.input, Input::Kafka(_)) {
        topics.extend(settings.capabilities.inputs());
    }
    if matches!(settings.output, Output::Kafka(_)) {
        topics.extend(settings.capabilities.outputs());
    }
    let Some(kafka) = kafka_of(settings) else { return };
    match kafka::readable(kafka, &settings.topics, &topics) {
        Err(error) => findings.skip(CHECK, told(error)),
        Ok(readable) => {
            readable_or_not(CHECK, &readable, findings);
            clock(settings, readable.newest.as_ref(), findings);
        }
    }
    if matches!(settings.output, Output::Kafka(_)) {
        let prefix = &settings.output_topics.prefix;
        let and = kafka::transactional_id(&settings.output_topics, settings.guarantee).map_or_else(String::new, |id| {
            format!(", and on the transactional id `{id}` (Write, Describe)")
        });
        findings.skip(
            "right to write",
            format!(
                "on `{prefix}out.*`{and}: to ask is to write, and would take over from a job that runs. docs/kafka-security.md, Allow, \
                 lists what is needed, and `kafka-acls.sh --list` what is given"
            ),
        );
    }
}

fn readable_or_not(check: &'static str, readable: &Readable, findings: &mut Findings) {
    for error in readable.refused.values() {
        // Its own text says what to allow.
        let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(" ({cause})"));
        findings.fail(
            check,
            format!("{error}{cause}"),
            "allow it on the brokers (`kafka-acls`)",
        );
    }
    if readable.silent > 0 {
        findings.warn(
            check,
            format!("{} partitions have not answered in time", readable.silent),
            "ask once more; then look whether they have a leader",
        );
    }
    if readable.refused.is_empty() && readable.topics > 0 {
        findings.ok(check, format!("of {} topics", readable.topics));
    }
}

/// A record from the future says that a clock is ahead of this one. One from the past says nothing.
fn clock(settings: &Settings, newest: Option<&Newest>, findings: &mut Findings) {
    const CHECK: &str = "clock";
    const UNSEEN: &str = "how far the brokers' clocks are behind cannot be told without writing";
    let Some(newest) = newest else {
        findings.skip(CHECK, format!("there is no record to compare with; {UNSEEN}"));
        return;
    };
    let ahead = newest.time.0.saturating_sub(wall_clock());
    let whose = if newest.appended { "its broker" } else { "its sender" };
    let Newest { topic, time, .. } = newest;
    if ahead > settings.time.max_future.0 {
        let found = format!(
            "the newest record of {topic}, {time}, is {} ahead of this machine's clock, by the clock of {whose}",
            duration::show(ahead)
        );
        findings.fail(
            CHECK,
            found,
            "set the clocks (NTP) on both; what is more than `time.max_future` ahead is refused",
        );
    } else if ahead > 0 {
        let found = format!(
            "the newest record of {topic}, {time}, is {} ahead of this machine's clock, by the clock of {whose}; {UNSEEN}",
            duration::show(ahead)
        );
        findings.warn(CHECK, found, "set the clocks (NTP) on both");
    } else {
        let now = Millis(wall_clock());
        findings.ok(CHECK, format!("no record is ahead of this machine's, {now}; {UNSEEN}"));
    }
}

#[cfg(test)]
mod tests {
    use riskflow_config::WrittenSettings;

    use super::super::finding::State;
    use super::*;

    fn kafka(brokers: &str) -> Settings {
        let toml = format!("input.kind = \"kafka\"\noutput.kind = \"kafka\"\nkafka.brokers = \"{brokers}\"");
        WrittenSettings::from_toml(&toml).unwrap().check().unwrap()
    }

    #[test]
    fn brokers_that_do_not_answer_are_told_with_the_reason() {
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let mut findings = Findings::default();
        assert!(!brokers(&kafka(&format!("127.0.0.1:{port}")), &mut findings));
        let finding = findings.iter().next().unwrap();
        assert_eq!(finding.state, State::Fail);
        assert!(
            finding.found.contains("do not answer") && finding.found.contains("Connection refused"),
            "{finding:?}"
        );
        assert!(
            finding.mend.as_deref().is_some_and(|mend| mend.contains("sasl")),
            "{finding:?}"
        );
    }

    #[test]
    fn missing_topics_are_told_in_one_line_and_others_one_by_one() {
        let report_of = |topic: Topic, state: TopicState| TopicReport {
            topic,
            name: topic.name().to_owned(),
            state,
            remarks: Vec::new(),
        };
        let reports = [
            report_of(Topic::IN_RULE, TopicState::Ok),
            report_of(Topic::IN_ACTION, TopicState::Missing),
            report_of(Topic::BASE_ASSET, TopicState::Missing),
            report_of(
                Topic::IN_OBSERVATION,
                TopicState::Differs(vec!["2 partitions".to_owned()]),
            ),
        ];
        let mut findings = Findings::default();
        report("topics of the input", &reports, &mut findings);
        let told: Vec<(State, &str)> = findings.iter().map(|one| (one.state, one.found.as_str())).collect();
        let expected = [
            (State::Fail, "2 of 4 are missing: in.action, base.asset"),
            (State::Fail, "in.observation differs: 2 partitions"),
            (State::Ok, "1 of 4 are as the settings say"),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_record_from_the_future_tells_of_a_clock() {
        let settings = kafka("a:1");
        let state = |ahead: Option<i64>| {
            let newest = ahead.map(|ahead| Newest {
                topic: "in.observation".to_owned(),
                time: Millis(wall_clock() + ahead),
                appended: true,
            });
            let mut findings = Findings::default();
            clock(&settings, newest.as_ref(), &mut findings);
            findings.iter().next().unwrap().state
        };
        assert_eq!(state(None), State::Skipped);
        assert_eq!(state(Some(-3_600_000)), State::Ok);
        assert_eq!(state(Some(30_000)), State::Warn);
        assert_eq!(state(Some(3_600_000)), State::Fail);
    }

    #[test]
    fn an_embedded_log_has_no_brokers() {
        let settings = WrittenSettings::default().check().unwrap();
        let mut findings = Findings::default();
        assert!(brokers(&settings, &mut findings));
        rights(&settings, &mut findings);
        assert_eq!(findings.iter().count(), 0);
    }
}
