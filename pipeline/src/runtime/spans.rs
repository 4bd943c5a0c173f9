//! Spans of slow epochs and checkpoints, for OpenTelemetry: what one of them spent its time on, phase by phase.
//!
//! ```text
//!   epoch       dataflow ─► queue ─► publish ─► commit ─► show
//!   checkpoint  gather ─► write ─► pause ─► wait ─► manifest ─► tidy
//! ```
//!
//! Each is a trace of its own with one span a phase, made of the times that the job measures anyway, and only where the whole took
//! `tracing.otlp.slow` or longer. They go to a collector by OTLP over HTTP, on a thread of their own behind a queue that is bounded: the job
//! never waits for it. What does not fit is dropped and counted; a collector that takes nothing is told of once, until it does again.
//!
//! The wall clock is read here to say when something was. Nothing that the job computes depends on it.

use std::borrow::Cow;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};
use futures_executor::block_on;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    IdGenerator as _, RandomIdGenerator, SpanData, SpanEvents, SpanExporter as _, SpanLinks,
};
use reqwest::Certificate;
use reqwest::blocking::Client;
use reqwest::redirect::Policy;
use riskflow_config::TracingSettings;
use riskflow_model::Millis;

use crate::runtime::metrics::{Became, SpanCounts};

/// So many epochs and checkpoints may wait for the collector.
const WAITING: usize = 256;

/// So many go out at once.
const BATCH: usize = 64;

/// How long the collector may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// How long the end of the job waits for those that are left.
const END: Duration = Duration::from_secs(2);

/// Something that the job did, in phases.
#[derive(Clone, Debug)]
pub struct Work {
    /// What: `epoch` or `checkpoint`.
    pub name: &'static str,
    /// Of which epoch.
    pub epoch: Millis,
    /// When it began and ended.
    pub took: (Instant, Instant),
    /// The same of each phase.
    pub phases: Vec<(&'static str, (Instant, Instant))>,
    /// What else is known of it.
    pub numbers: Vec<(&'static str, i64)>,
}

impl Work {
    /// Phases of which only the lengths are known, one after another.
    pub fn in_turn(
        began: Instant,
        phases: impl Iterator<Item = (&'static str, Duration)>,
    ) -> Vec<(&'static str, (Instant, Instant))> {
        let mut at = began;
        phases
            .map(|(name, took)| {
                let began = at;
                at += took;
                (name, (began, at))
            })
            .collect()
    }

    const fn spans(&self) -> usize {
        1 + self.phases.len()
    }
}

/// Where slow work is offered. Until it is started nothing is kept.
#[derive(Default)]
pub struct Spans(OnceLock<Running>);

struct Running {
    slow: Duration,
    counts: SpanCounts,
    /// Gone once the job ended.
    sender: Mutex<Option<SyncSender<Work>>>,
    /// Hears that the thread ended.
    ended: Mutex<Receiver<()>>,
}

impl Spans {
    /// Sends slow work to a collector from now on. `source` is what tells jobs apart: the prefix of topics.
    ///
    /// # Errors
    ///
    /// When no client or no thread can be had. The collector is not asked yet.
    pub fn start(&self, settings: &TracingSettings, source: &str, counts: &SpanCounts) -> Result<()> {
        let exporter = exporter(settings, source)?;
        let (sender, receiver) = sync_channel(WAITING);
        let (ends, ended) = channel();
        let (endpoint, sent) = (settings.endpoint.clone(), counts.clone());
        std::thread::Builder::new()
            .name("spans".to_owned())
            .spawn(move || run(&exporter, &receiver, &endpoint, &sent, ends))
            .context("could not start the thread for spans")?;
        let running = Running {
            slow: settings.slow,
            counts: counts.clone(),
            sender: Mutex::new(Some(sender)),
            ended: Mutex::new(ended),
        };
        // It is started once a process.
        drop(self.0.set(running));
        Ok(())
    }

    /// Takes what was slow; never waits.
    pub fn offer(&self, took: Duration, work: impl FnOnce() -> Work) {
        let Some(running) = self.0.get().filter(|running| took >= running.slow) else {
            return;
        };
        let sender = running.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = &*sender else { return };
        let work = work();
        let spans = work.spans();
        if sender.try_send(work).is_err() {
            running.counts.add(Became::Dropped, spans);
        }
    }

    /// Sends what is left, for two seconds at most. Nothing is taken any more.
    pub fn end(&self) {
        let Some(running) = self.0.get() else { return };
        drop(running.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        let ended = running.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // It ends by letting go of the other end. What takes longer is lost.
        let _ = ended.recv_timeout(END);
    }
}

/// What sends spans. The environment may set more (`OTEL_EXPORTER_OTLP_HEADERS`).
fn exporter(settings: &TracingSettings, source: &str) -> Result<SpanExporter> {
    let client = Client::builder().timeout(ANSWER).redirect(Policy::none());
    // Certificates of the system are read only for HTTPS: a machine may have none.
    let client = if settings.endpoint.starts_with("http://") {
        client.tls_certs_only(std::iter::empty::<Certificate>())
    } else {
        client
    };
    let client = client.build().context("no client for spans can be made")?;
    // The library takes values as URLs write them.
    let headers = settings.headers.iter();
    let headers = headers.map(|(name, value)| (name.clone(), value.reveal().replace('%', "%25")));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(settings.endpoint.as_str())
        .with_timeout(ANSWER)
        .with_http_client(client)
        .with_retry_policy(RetryPolicy::disabled())
        .with_headers(headers.collect())
        .build();
    let mut exporter = exporter.context("spans cannot be sent to `tracing.otlp.endpoint`")?;
    let mut resource = Resource::builder()
        .with_service_name("riskflow")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if !source.is_empty() {
        resource = resource.with_attribute(KeyValue::new("riskflow.topics.prefix", source.to_owned()));
    }
    exporter.set_resource(&resource.build());
    Ok(exporter)
}

/// Sends what comes until nobody is left who could offer anything. `_ends` is let go of at the end.
fn run(exporter: &SpanExporter, receiver: &Receiver<Work>, endpoint: &str, counts: &SpanCounts, _ends: Sender<()>) {
    let writer = Writer::new();
    let mut told = false;
    while let Ok(first) = receiver.recv() {
        let works = std::iter::once(first).chain(receiver.try_iter().take(BATCH - 1));
        let spans: Vec<SpanData> = works.flat_map(|work| writer.spans(&work)).collect();
        let count = spans.len();
        match block_on(exporter.export(spans)) {
            Ok(()) => {
                counts.add(Became::Sent, count);
                if std::mem::take(&mut told) {
                    tracing::info!(endpoint, "the collector takes spans again");
                }
            }
            Err(error) => {
                counts.add(Became::Failed, count);
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, endpoint, "the collector does not take spans: they are lost until it does; the job goes on without");
                }
            }
        }
    }
}

/// Makes spans of work.
struct Writer {
    ids: RandomIdGenerator,
    scope: InstrumentationScope,
    /// The same moment by both clocks.
    moment: (Instant, SystemTime),
}

impl Writer {
    fn new() -> Self {
        let scope = InstrumentationScope::builder("riskflow").with_version(env!("CARGO_PKG_VERSION"));
        Self {
            ids: RandomIdGenerator::default(),
            scope: scope.build(),
            moment: (Instant::now(), SystemTime::now()),
        }
    }

    /// The whole, and a span below it for each phase.
    fn spans(&self, work: &Work) -> Vec<SpanData> {
        let trace = self.ids.new_trace_id();
        let numbers = work.numbers.iter().map(|(name, number)| KeyValue::new(*name, *number));
        let epoch = KeyValue::new("riskflow.epoch", work.epoch.to_string());
        let about = std::iter::once(epoch).chain(numbers).collect();
        let whole = self.span((trace, SpanId::INVALID), work.name, work.took, about);
        let parent = (trace, whole.span_context.span_id());
        let phases = work.phases.iter();
        let phases = phases.map(|(name, took)| self.span(parent, name, *took, Vec::new()));
        std::iter::once(whole).chain(phases).collect()
    }

    fn span(
        &self,
        (trace, parent): (TraceId, SpanId),
        name: &'static str,
        (began, ended): (Instant, Instant),
        attributes: Vec<KeyValue>,
    ) -> SpanData {
        let id = self.ids.new_span_id();
        SpanData {
            span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::default()),
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: Cow::Borrowed(name),
            start_time: self.time(began),
            end_time: self.time(ended),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }

    /// What time it was. Steps of the wall clock since the start are not followed, so that lengths are right.
    fn time(&self, at: Instant) -> SystemTime {
        let (instant, wall) = self.moment;
        match at.checked_duration_since(instant) {
            Some(since) => wall + since,
            None => wall.checked_sub(instant.duration_since(at)).unwrap_or(wall),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::metrics::Metrics;

    fn work(began: Instant) -> Work {
        let millis = Duration::from_millis;
        let phases = [("dataflow", millis(20)), ("commit", millis(30))];
        Work {
            name: "epoch",
            epoch: Millis(1_000),
            took: (began, began + millis(50)),
            phases: Work::in_turn(began, phases.into_iter()),
            numbers: vec![("riskflow.records", 3)],
        }
    }

    #[test]
    fn a_trace_has_a_span_for_the_whole_and_one_below_it_for_each_phase() {
        let writer = Writer::new();
        let spans = writer.spans(&work(Instant::now()));
        let [whole, dataflow, commit] = &spans[..] else {
            panic!("{spans:?}")
        };
        assert_eq!((&*whole.name, whole.parent_span_id), ("epoch", SpanId::INVALID));
        assert_eq!(whole.attributes.len(), 2);
        for phase in [dataflow, commit] {
            assert_eq!(phase.parent_span_id, whole.span_context.span_id());
            assert_eq!(phase.span_context.trace_id(), whole.span_context.trace_id());
        }
        assert_eq!(
            (whole.start_time, dataflow.end_time),
            (dataflow.start_time, commit.start_time)
        );
        assert_eq!(commit.end_time, whole.end_time);
        let took = whole.end_time.duration_since(whole.start_time).unwrap();
        assert_eq!(took, Duration::from_millis(50));
        let other = writer.spans(&work(Instant::now()));
        assert_ne!(other[0].span_context.trace_id(), whole.span_context.trace_id());
    }

    #[test]
    fn what_is_not_slow_is_not_made_and_what_does_not_fit_is_dropped_and_counted() {
        let metrics = Metrics::new().unwrap();
        let counts = &metrics.span_counts;
        let (sender, receiver) = sync_channel(1);
        let (ends, ended) = channel();
        let spans = Spans::default();
        let offer = |millis| spans.offer(Duration::from_millis(millis), || work(Instant::now()));
        // Nobody asked for any.
        offer(5_000);
        let running = Running {
            slow: Duration::from_secs(1),
            counts: counts.clone(),
            sender: Mutex::new(Some(sender)),
            ended: Mutex::new(ended),
        };
        assert!(spans.0.set(running).is_ok());
        spans.offer(Duration::from_millis(999), || panic!("it is not slow"));
        offer(1_000);
        offer(1_000);
        assert_eq!(counts.of(Became::Dropped), 3);
        drop(ends);
        spans.end();
        offer(1_000);
        assert_eq!((receiver.iter().count(), counts.of(Became::Dropped)), (1, 3));
    }
}
