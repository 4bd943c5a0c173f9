//! Bench: what one span costs a gauge that comes, ends or goes, beside many others, and how much memory it takes.
//!
//! Fold `gauge` is driven by itself, with no dataflow and no connector, on one thread. What is unfair in it: it has the caches for itself,
//! spans were put in groups before, and rows are not encoded. What goes beyond its bound fails the bench.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use riskflow::simulator::draw::Draw;
use riskflow_benches::load::START;
use riskflow_benches::measure::{cpu, machine};
use riskflow_model::event::Event;
use riskflow_model::gauge::{Gauge, SubjectKind};
use riskflow_model::{Duration, Key, Level, Millis, Shared, Text};
use riskflow_operators::engine::{Diff, FoldMeter, Keyed};
use riskflow_operators::span::{Counted, GaugeSpan, Gauges, GroupSpan, OfSubject, Subject, What};
use riskflow_operators::warning::Civil;
use serde_json::json;

/// Spans are known for so long after their ends.
const AGE: i64 = 7 * 86_400_000;
/// Spans begin within so long before the first epoch.
const BEFORE: i64 = 86_400_000;
/// One span that comes or goes at a subject with a million of them.
const MOST_MICROS: f64 = 20.0;
/// At 10,000 subjects with 100 spans each, on one of two workers.
const LEAST_CHANGES: f64 = 50_000.0;
/// Beside the event: of `count` and `sum`, and of all others.
const MOST_BYTES: [f64; 2] = [100.0, 160.0];

/// Measures what spans cost.
#[derive(Parser)]
struct Arguments {
    /// Spans of one subject.
    #[arg(long, default_value_t = 1_000_000)]
    spans: u64,
    /// Subjects with 100 spans each.
    #[arg(long, default_value_t = 10_000)]
    subjects: u64,
    /// Changes that are measured, each in an epoch of its own.
    #[arg(long, default_value_t = 2_000)]
    changes: u64,
}

/// A gauge of one or many subjects.
struct Load {
    keyed: Keyed<Gauges>,
    gauge: Shared<Gauge>,
    subjects: Vec<Subject>,
    draw: Draw,
    now: i64,
    /// The spans that there are: of which subject, and what.
    spans: Vec<(usize, GaugeSpan)>,
}

impl Load {
    fn new(measure: &serde_json::Value, subjects: u64) -> Result<Self> {
        let mut gauge = json!({ "id": "g", "by": "town" });
        for (name, value) in measure.as_object().into_iter().flatten() {
            gauge[name.as_str()] = value.clone();
        }
        let subject = |index: u64| -> Result<Subject> {
            let code = format!("{:09}", 330_000_000 + index);
            Ok(Subject {
                kind: SubjectKind::Region,
                id: Text::from(code.clone()),
                region: code.parse()?,
            })
        };
        let fold = Gauges {
            age: Duration(AGE),
            late_after: Duration(60_000),
            remember: Duration(AGE),
            calendar: Civil::default(),
        };
        Ok(Self {
            keyed: Keyed::new(fold, Arc::new(FoldMeter::default())),
            gauge: Shared::new(serde_json::from_value(gauge)?),
            subjects: (0..subjects).map(subject).collect::<Result<_>>()?,
            draw: Draw::new(7),
            now: START,
            spans: Vec::new(),
        })
    }

    /// A span of a subject, which began within a day and ends within two, if it does.
    fn span(&mut self) -> Result<(usize, GaugeSpan)> {
        let number = self.draw.below(1 << 40);
        let from = self.now - self.draw.below(BEFORE as u64) as i64;
        let to = from + 1 + self.draw.below(2 * BEFORE as u64) as i64;
        let source = self.draw.below(1_000);
        let event: Event = serde_json::from_value(json!({
            "id": format!("e{number}"), "kind": "k", "time": from, "to": to, "region": "3309", "source": source.to_string(),
        }))?;
        let span = GaugeSpan {
            from: Millis(from),
            to: Millis(to),
            level: Level::ALL[self.draw.below(5) as usize],
            weight: self.draw.below(10_000) as i64,
            tuple: (!self.gauge.attributes.is_empty()).then(|| vec![event.source.clone()].into()),
            needs: None,
            number: self.gauge.number.as_ref().map(|_| self.draw.below(1_000_000) as i64),
            what: What::Event {
                event: Shared::new(event),
                confirmed: false,
            },
        };
        Ok((self.draw.below(self.subjects.len() as u64) as usize, span))
    }

    fn row(&self, (subject, span): &(usize, GaugeSpan), diff: Diff) -> ((Key, OfSubject), Diff) {
        let subject = self.subjects[*subject].clone();
        let key = subject.key();
        let gauge = self.gauge.clone();
        let span = GroupSpan::Own(span.clone());
        ((key, OfSubject::Counted(Counted { gauge, subject, span })), diff)
    }

    /// An epoch; gives how many rows went out.
    fn epoch(&mut self, changes: Vec<((Key, OfSubject), Diff)>) -> usize {
        self.now += 1_000;
        self.keyed.rows(Millis(self.now), changes);
        let mut out = Vec::new();
        self.keyed.settle(Millis(self.now), &mut out);
        out.len()
    }

    /// So many spans at once; gives the memory that the fold takes for each, beside the events.
    fn fill(&mut self, spans: u64) -> Result<f64> {
        for _ in 0..spans {
            let span = self.span()?;
            self.spans.push(span);
        }
        let before = resident()?;
        // In parts, so that what waits for the fold does not count as the fold's.
        for first in (0..self.spans.len()).step_by(10_000) {
            let last = (first + 10_000).min(self.spans.len());
            let rows = self.spans[first..last].iter().map(|span| self.row(span, 1)).collect();
            self.epoch(rows);
        }
        Ok((resident()? - before) / spans as f64)
    }

    /// So many epochs, in each of which so many spans come or go; gives the CPU seconds of a change.
    fn change(&mut self, epochs: u64, each: u64) -> Result<f64> {
        let mut took = std::time::Duration::ZERO;
        for _ in 0..epochs {
            let mut rows = Vec::new();
            for _ in 0..each {
                if self.draw.below(2) == 0 {
                    let span = self.span()?;
                    rows.push(self.row(&span, 1));
                    self.spans.push(span);
                } else {
                    let place = self.draw.below(self.spans.len() as u64) as usize;
                    let span = self.spans.swap_remove(place);
                    rows.push(self.row(&span, -1));
                }
            }
            let began = cpu();
            self.epoch(rows);
            took += cpu() - began;
        }
        Ok(took.as_secs_f64() / (epochs * each) as f64)
    }
}

/// What this process has in memory, in bytes.
fn resident() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let line = line.context("the system does not tell how much memory is resident")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0)
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    writeln!(out, "Gauges: {}\n", machine())?;
    writeln!(
        out,
        "| measure | µs a change beside {} spans (at most {MOST_MICROS}) | bytes a span beside its event (at most {} for count and sum, else {}) | changes a second at {} subjects with 100 spans (at least {LEAST_CHANGES}) |",
        arguments.spans, MOST_BYTES[0], MOST_BYTES[1], arguments.subjects
    )?;
    writeln!(out, "|---|---|---|---|")?;
    let mut failed = Vec::new();
    for (name, measure) in [
        ("count", json!({ "measure": "count" })),
        ("sum", json!({ "measure": "sum" })),
        ("distinct", json!({ "measure": "distinct", "attributes": ["source"] })),
        ("highest", json!({ "measure": "highest" })),
        ("highest number", json!({ "measure": "highest", "number": "n" })),
        ("elapsed", json!({ "measure": "elapsed", "gap": "5m" })),
        (
            "fused",
            json!({ "measure": "fused", "attributes": ["source"], "at_least": 2 }),
        ),
        ("covered", json!({ "measure": "covered", "bucket": "day" })),
        ("starts", json!({ "measure": "starts", "bucket": "hour" })),
    ] {
        let mut one = Load::new(&measure, 1)?;
        let bytes = one.fill(arguments.spans)?;
        let micros = one.change(arguments.changes, 1)? * 1e6;
        drop(one);
        let mut many = Load::new(&measure, arguments.subjects)?;
        many.fill(arguments.subjects * 100)?;
        let changes = 1.0 / many.change(10, 10_000)?;
        writeln!(out, "| {name} | {micros:.1} | {bytes:.0} | {changes:.0} |")?;
        let most = MOST_BYTES[usize::from(!["count", "sum"].contains(&name))];
        if micros > MOST_MICROS || bytes > most || changes < LEAST_CHANGES {
            failed.push(name);
        }
    }
    ensure!(failed.is_empty(), "beyond a bound: {}", failed.join(", "));
    Ok(())
}
