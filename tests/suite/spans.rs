//! Spans of epochs and checkpoints at a collector: a real job, and a receiver that decodes what it sends.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tempfile::TempDir;

use crate::kafka::riskflow;
use crate::serving::{Request, Served, answer};

/// How long is waited for a span, and for the end of a job.
const PATIENCE: Duration = Duration::from_secs(60);

/// A collector on loopback: what it is sent comes out of the other end.
struct Collector {
    served: Served,
    sent: Receiver<Request>,
}

impl Collector {
    fn answering(status: u16) -> Self {
        let (sender, sent) = channel();
        let served = Served::start(move |stream| {
            answer(stream, |request| {
                // Nobody reads any more once the test is over.
                let _ = sender.send(request.clone());
                (status, "application/x-protobuf", Vec::new())
            })
        });
        Self { served, sent }
    }

    fn endpoint(&self) -> String {
        format!("tracing.otlp.endpoint=http://{}", self.served.address)
    }
}

/// A command on an embedded log in a folder.
fn program(folder: &Path, arguments: &[&str], sets: &[&str]) -> Command {
    let mut command = Command::new(riskflow());
    command.args(arguments).current_dir(folder);
    command.env("RISKFLOW_LOG", "info").env("NO_PROXY", "127.0.0.1");
    for set in ["http.enabled=false"].iter().chain(sets) {
        command.args(["--set", set]);
    }
    command
}

fn ends_well(mut command: Command) {
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// A live job on an empty log of its own; what it logs is read at the end.
struct Job {
    child: Child,
    _folder: TempDir,
}

impl Job {
    fn start(sets: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        ends_well(program(folder.path(), &["topics", "--create"], &[]));
        let mut run = program(folder.path(), &["run"], sets);
        let child = run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        Self { child, _folder: folder }
    }

    /// Asks it to stop: its exit code, and what it logged.
    fn stop(mut self) -> (Option<i32>, Vec<String>) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let log = BufReader::new(self.child.stderr.take().unwrap());
        let lines: Vec<String> = log.lines().map_while(Result::ok).collect();
        (self.child.wait().unwrap().code(), lines)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The spans of a request, which says that they are riskflow's.
fn spans(request: &Request) -> Vec<Span> {
    assert_eq!((&*request.method, &*request.path), ("POST", "/v1/traces"));
    assert_eq!(request.headers["content-type"], "application/x-protobuf");
    let sent = ExportTraceServiceRequest::decode(&*request.body).unwrap();
    let mut spans = Vec::new();
    for of_resource in sent.resource_spans {
        let about = of_resource.resource.unwrap().attributes;
        assert_eq!(text(&about, "service.name"), Some("riskflow"));
        assert_eq!(text(&about, "service.version"), Some(env!("CARGO_PKG_VERSION")));
        spans.extend(of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
    spans
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match &found.value {
        Some(AnyValue {
            value: Some(Value::StringValue(text)),
        }) => Some(text),
        _ => None,
    }
}

/// The phases of a span in their order, each of which is within it.
fn phases(whole: &Span, all: &[Span]) -> Vec<String> {
    let mut phases: Vec<&Span> = all.iter().filter(|span| span.parent_span_id == whole.span_id).collect();
    phases.sort_by_key(|span| (span.start_time_unix_nano, span.end_time_unix_nano));
    for phase in &phases {
        assert_eq!(phase.trace_id, whole.trace_id);
        let (from, to) = (phase.start_time_unix_nano, phase.end_time_unix_nano);
        assert!(whole.start_time_unix_nano <= from && from <= to && to <= whole.end_time_unix_nano);
    }
    phases.into_iter().map(|span| span.name.clone()).collect()
}

#[test]
fn a_slow_epoch_and_a_checkpoint_are_traces_with_a_span_a_phase() {
    let collector = Collector::answering(200);
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "s3cr3t%20+\n").unwrap();
    let header = format!("tracing.otlp.headers.x-api-key={{ file = {:?} }}", secret.path());
    // So every one is.
    let job = Job::start(&[&collector.endpoint(), "tracing.otlp.slow=0s", &header]);
    let first = collector.sent.recv_timeout(PATIENCE).unwrap();
    let (code, log) = job.stop();
    assert_eq!(code, Some(0), "{log:?}");
    assert!(!log.iter().any(|line| line.contains("s3cr3t")), "{log:?}");
    // A stop takes a checkpoint, and sends what is left.
    let requests: Vec<Request> = std::iter::once(first).chain(collector.sent.try_iter()).collect();
    assert!(
        requests
            .iter()
            .all(|request| request.headers["x-api-key"] == "s3cr3t%20+")
    );
    let all: Vec<Span> = requests.iter().flat_map(spans).collect();
    let roots = |name: &str| {
        all.iter()
            .filter(|span| span.parent_span_id.is_empty() && span.name == name)
            .collect::<Vec<_>>()
    };
    let epochs = roots("epoch");
    assert!(
        !epochs.is_empty()
            && epochs
                .iter()
                .all(|epoch| text(&epoch.attributes, "riskflow.epoch").is_some())
    );
    for epoch in epochs {
        let named = phases(epoch, &all);
        assert_eq!(named, ["dataflow", "queue", "publish", "commit", "show"]);
    }
    let checkpoints = roots("checkpoint");
    assert!(!checkpoints.is_empty(), "{all:#?}");
    for checkpoint in checkpoints {
        let named = phases(checkpoint, &all);
        assert_eq!(named, ["gather", "write", "pause", "wait", "manifest", "tidy"]);
    }
}

#[test]
fn a_collector_that_takes_nothing_is_told_of_once_and_the_job_goes_on() {
    let collector = Collector::answering(503);
    let job = Job::start(&[&collector.endpoint(), "tracing.otlp.slow=0s"]);
    for _ in 0..3 {
        collector.sent.recv_timeout(PATIENCE).unwrap();
    }
    let (code, log) = job.stop();
    assert_eq!(code, Some(0), "{log:?}");
    let told = log
        .iter()
        .filter(|line| line.contains("the collector does not take spans"))
        .count();
    assert_eq!(told, 1, "{log:#?}");
}

/// How many requests come of a history that is worked off to its end.
fn sent_of_a_history(slow: &str) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::answering(200);
    ends_well(program(folder.path(), &["topics", "--create"], &[]));
    ends_well(program(folder.path(), &["rules", "load", "rain"], &[]));
    let sets = [&*collector.endpoint(), slow, "input.clock=arrival"].map(str::to_owned);
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    ends_well(program(folder.path(), &["run"], &sets));
    collector.sent.try_iter().count()
}

#[test]
fn what_is_not_slow_is_not_sent() {
    assert!(sent_of_a_history("tracing.otlp.slow=0s") > 0);
    assert_eq!(sent_of_a_history("tracing.otlp.slow=1d"), 0);
}
