//! Bench (d): how what one sensor costs grows with its series, what one rule costs with its comparisons, and what a case costs
//! with the changes of what it rests on.
//!
//! Each case is measured at several sizes, in CPU time of this process, the least of some tries; a straight line through the
//! logarithms gives the exponent. One beyond its bound fails the bench: 1 is proportional, 2 is the square.
//!
//! Monitor and case are driven by themselves, with no dataflow and no connector. What is unfair in it: one series, or case, has the
//! caches for itself.

use std::io::Write as _;
use std::sync::Arc;
use std::time;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use riskflow::simulator::draw::Draw;
use riskflow_benches::load::START;
use riskflow_benches::measure::{cpu, machine};
use riskflow_config::{CaseSettings, Rule, TimeSettings, UnknownSettings};
use riskflow_model::forecast::Forecast;
use riskflow_model::observation::{Observation, Op, Quality, Reading, Said};
use riskflow_model::output::{Cause, DeltaKind, Origin};
use riskflow_model::{Domain, Duration, Key, Level, Millis};
use riskflow_operators::closed_loop::{
    Case, CaseRecord, CaseRow, DutyMatch, Evidence, Happened, Subject as CaseSubject,
};
use riskflow_operators::engine::{FoldMeter, Keyed, arrived};
use riskflow_operators::warning::{Entry, Forecasted, Incoming, Monitor, Observed, Specification, Subject};
use serde_json::{Value, json};

/// The buffer spans this much, well within the horizon; every window but the short ones holds all of it.
const SPAN: i64 = 500_000;
const NOW: i64 = START + 600_000;
const SIZES: [u64; 6] = [2_500, 5_000, 10_000, 20_000, 40_000, 80_000];
/// One correction of a series of the largest size.
const MOST: time::Duration = time::Duration::from_millis(5);

/// Measures how costs grow.
#[derive(Parser)]
struct Arguments {
    /// Of the features only those whose name contains this; nothing else then.
    #[arg(long)]
    only: Option<String>,
}

#[expect(clippy::too_many_lines, reason = "one curve after the other")]
fn main() -> Result<()> {
    let Arguments { only } = Arguments::parse();
    let asked = |name: &&str| only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let mut out = std::io::stdout().lock();
    writeln!(out, "Curves: {}\n", machine())?;
    let heads: Vec<String> = SIZES.iter().map(|n| format!("{n}")).collect();
    writeln!(
        out,
        "| microseconds a point or correction, of a series of | {} | exponent | bound |",
        heads.join(" | ")
    )?;
    writeln!(out, "|---|{}---|---|", "---|".repeat(SIZES.len()))?;
    let (mut failed, mut slow) = (Vec::new(), Vec::new());
    let mut row = |name: &str, costs: &[f64], sizes: &[u64], total: bool, bound: f64| -> Result<()> {
        // A whole buffer grows by one more than each of its points.
        let exponent = slope(sizes, costs) + if total { 1.0 } else { 0.0 };
        let costs: Vec<String> = costs.iter().map(|cost| format!("{:.2}", cost * 1e6)).collect();
        writeln!(out, "| {name} | {} | {exponent:.2} | {bound} |", costs.join(" | "))?;
        if exponent > bound {
            failed.push(format!("{name}: exponent {exponent:.2}, bound {bound}"));
        }
        Ok(())
    };
    for name in CONDITIONS.into_iter().chain(LATER).filter(asked) {
        let costs = each_size(name, correction)?;
        row(&format!("correction, {name}"), &costs, &SIZES, false, 0.6)?;
        let largest = costs.last().copied().expect("there are sizes");
        if largest > MOST.as_secs_f64() {
            slow.push(format!("correction, {name}: {:.1} ms", largest * 1e3));
        }
    }
    for (order, shuffled) in [("newest first", false), ("shuffled", true)] {
        for (parts, name) in [
            (1, "in one epoch"),
            (100, "in a hundred epochs"),
            (usize::MAX, "one an epoch"),
        ] {
            for kind in CONDITIONS.into_iter().filter(asked) {
                let costs = each_size(kind, |rule, n| buffer(rule, n, shuffled, parts))?;
                // Each point becomes the first of all windows, and with it the rate of noise does cross its threshold in the 12 s
                // behind it, back and forth: they hold a share of the points, and all of them are other ones.
                let bound = if kind == "rate" && !shuffled && parts > 100 {
                    2.0
                } else {
                    1.4
                };
                row(&format!("buffer, {order}, {name}, {kind}"), &costs, &SIZES, true, bound)?;
            }
        }
    }
    for kind in CONDITIONS.into_iter().chain(LATER).filter(asked) {
        let costs = each_size(kind, in_order)?;
        row(&format!("in order, one an epoch, {kind}"), &costs, &SIZES, true, 1.4)?;
    }
    if only.is_some() {
        failed.append(&mut slow);
        ensure!(failed.is_empty(), "{}", failed.join("\n"));
        return Ok(());
    }
    writeln!(
        out,
        "\n| microseconds an issue of {VALUES} values, of so many | {} | exponent | bound |",
        ISSUES.map(|n| n.to_string()).join(" | ")
    )?;
    writeln!(out, "|---|{}---|---|", "---|".repeat(ISSUES.len()))?;
    for kind in ["forecast_max", "forecast_sum"] {
        let rule = rule(&json!({ "feature": kind, "window": "2m", "op": ">=", "threshold": 5_000 }))?;
        let costs = ISSUES.map(|n| forecasts(&rule, n));
        let exponent = slope(&ISSUES, &costs) + 1.0;
        let shown = costs.map(|cost| format!("{:.2}", cost * 1e6)).join(" | ");
        writeln!(
            out,
            "| in order, one an epoch, {kind} | {shown} | {exponent:.2} | 1.4 |"
        )?;
        if exponent > 1.4 {
            failed.push(format!("{kind}: exponent {exponent:.2}, bound 1.4"));
        }
    }
    let counts = [1, 2, 4, 8, 16, 32];
    let names: Vec<String> = counts.iter().map(|count| count.to_string()).collect();
    writeln!(
        out,
        "\n| microseconds an observation, with so many comparisons | {} | exponent | bound |",
        names.join(" | ")
    )?;
    writeln!(out, "|---|{}---|---|", "---|".repeat(counts.len()))?;
    let mut costs = Vec::new();
    for count in counts {
        let part =
            |i| json!({ "feature": "mean", "window": format!("{}s", 400 + 10 * i), "op": ">=", "threshold": 100 });
        let parts: Vec<Value> = (0..count).map(part).collect();
        costs.push(in_order(&rule(&json!({ "any": parts }))?, 5_000));
    }
    let exponent = slope(&counts, &costs);
    let shown: Vec<String> = costs.iter().map(|cost| format!("{:.2}", cost * 1e6)).collect();
    writeln!(
        out,
        "| in order, means of as many windows | {} | {exponent:.2} | 1.2 |",
        shown.join(" | ")
    )?;
    if exponent > 1.2 {
        failed.push(format!("comparisons: exponent {exponent:.2}, bound 1.2"));
    }
    writeln!(
        out,
        "\n| microseconds a change of a restless sensor, of a case with so many | {} | exponent | bound |",
        heads.join(" | ")
    )?;
    writeln!(out, "|---|{}---|---|", "---|".repeat(SIZES.len()))?;
    for (name, ends) in [("raised and cleared", true), ("escalated and eased", false)] {
        let costs: Vec<f64> = SIZES.iter().map(|n| restless(*n, ends)).collect();
        let exponent = slope(&SIZES, &costs) + 1.0;
        let shown: Vec<String> = costs.iter().map(|cost| format!("{:.2}", cost * 1e6)).collect();
        writeln!(out, "| {name} by turns | {} | {exponent:.2} | 1.4 |", shown.join(" | "))?;
        if exponent > 1.4 {
            failed.push(format!("{name} by turns: exponent {exponent:.2}, bound 1.4"));
        }
    }
    failed.append(&mut slow);
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// A sensor that rises and falls every second, as its case meets it: with a duty, and within the horizon of actions.
fn restless(n: u64, ends: bool) -> f64 {
    let case = Key::of("w0");
    let subject = |warning: &str, level| {
        CaseRow::Subject(Arc::new(CaseSubject {
            id: warning.into(),
            rule: "r".into(),
            title: "".into(),
            asset: Some("a".into()),
            domain: Domain::WorkSafety,
            region: "330902001001".parse().expect("it is one"),
            since: Millis(START),
            level,
            incident: None,
        }))
    };
    let duty = CaseRow::Duty(Arc::new(DutyMatch {
        duty: Key::of("duty"),
        unit: "unit".into(),
        role: "duty".into(),
        parent: None,
        depth: 1,
        rostered: false,
    }));
    let happened = |warning: &str, kind, level| {
        CaseRecord::Warning(Box::new(Happened {
            run: "w0".into(),
            warning: warning.into(),
            kind,
            level,
            cause: Cause::Data,
            evidence: Arc::new(Evidence {
                rule_name: "".into(),
                asset_name: "".into(),
                feature: "last 1m".into(),
                value: None,
                unit: "".into(),
                forecast: false,
                valid_time: None,
            }),
        }))
    };
    least(2, n as f64, || {
        let fold = Case {
            settings: CaseSettings::default(),
            max_future: Duration(60_000),
        };
        let mut keyed = Keyed::new(fold, Arc::new(FoldMeter::default()));
        timed(|| {
            let mut shown = None;
            for i in 0..n {
                let now = START + i as i64 * 1_000;
                let up = i % 2 == 0;
                let id = format!("w{}", if ends { i / 2 } else { 0 });
                let (kind, level) = match (ends, up) {
                    _ if i == 0 => (DeltaKind::Raised, Level::Yellow),
                    (true, true) => (DeltaKind::Raised, Level::Yellow),
                    (true, false) => (DeltaKind::Cleared, Level::None),
                    (false, true) => (DeltaKind::Escalated, Level::Yellow),
                    (false, false) => (DeltaKind::Eased, Level::Blue),
                };
                let row = (level > Level::None).then(|| subject(&id, level));
                let gone = std::mem::replace(&mut shown, row.clone());
                let mut rows: Vec<_> = gone.map(|row| ((case, row), -1)).into_iter().collect();
                rows.extend(row.map(|row| ((case, row), 1)));
                rows.extend((i == 0).then(|| ((case, duty.clone()), 1)));
                keyed.rows(Millis(now), rows);
                keyed.records(arrived::<Case>(std::iter::once(happened(&id, kind, level))));
                keyed.settle(Millis(now), &mut Vec::new());
            }
        })
    })
}

const CONDITIONS: [&str; 10] = [
    "max",
    "min",
    "max over a minute",
    "sum",
    "sum over a minute",
    "mean",
    "count",
    "rate",
    "all of max, mean and count",
    "any of mean, and last that crosses with every other",
];

/// What the language has besides; only what one point, and what one correction costs.
const LATER: [&str; 15] = [
    "range",
    "drop",
    "rise",
    "deviation",
    "quantile",
    "count of",
    "in a row",
    "increase",
    "slope",
    "projected",
    "max of the hour",
    "sum of the day before",
    "mean while it is day",
    "mean until",
    "mean, in its own margin",
];

/// What a series of so many points meets: the result is noise between 0 and 10. Thresholds of what grows with the points grow
/// with them, so that a series of each size crosses them at the same time.
fn condition(name: &str, n: u64) -> Value {
    let compare = |feature: &str, window: &str, op: &str, threshold: f64| json!({ "feature": feature, "window": window, "op": op, "threshold": threshold });
    let n = n as f64;
    match name {
        "max" => compare("max", "1h", ">=", 15.0),
        "min" => compare("min", "1h", "<=", -5.0),
        "max over a minute" => compare("max", "1m", ">=", 15.0),
        "sum" => compare("sum", "1h", ">=", 1.25 * n),
        "sum over a minute" => compare("sum", "1m", ">=", 0.75 * n),
        "mean" => compare("mean", "1h", ">=", 5.5),
        "count" => compare("count", "1h", "<", n / 4.0),
        "rate" => compare("rate", "1h", ">=", 3_000.0),
        "all of max, mean and count" => {
            let parts = ["max", "mean"].map(|part| condition(part, 0));
            json!({ "all": [parts[0], parts[1], compare("count", "1h", ">=", 3.0)] })
        }
        "any of mean, and last that crosses with every other" => {
            json!({ "any": [condition("mean", 0), compare("last", "1m", ">=", 5.0)] })
        }
        "range" | "rise" => compare(name, "1h", ">=", 15.0),
        // What is below the peak by so much is all the rest, and none of it without the peak.
        "drop" => compare(name, "1h", ">=", 10.0),
        "deviation" => compare("deviation", "1h", ">=", 3.5),
        "quantile" => json!({ "feature": "quantile", "q": 0.9, "window": "1h", "op": ">=", "threshold": 9.5 }),
        "count of" => {
            let of = json!({ "op": ">=", "threshold": 5 });
            json!({ "feature": "count", "of": of, "window": "1h", "op": ">=", "threshold": (0.75 * n).round() })
        }
        "in a row" => {
            let of = json!({ "op": ">=", "threshold": 9 });
            json!({ "feature": "in_a_row", "of": of, "window": "1h", "op": ">=", "threshold": 4 })
        }
        "increase" => compare("increase", "1h", ">=", 5.0 * n),
        "slope" => compare("slope", "1h", ">=", 3_000.0),
        "projected" => {
            json!({ "feature": "projected", "window": "1h", "ahead": "1h", "op": ">=", "threshold": 15 })
        }
        "max of the hour" => compare("max", "hour", ">=", 15.0),
        "sum of the day before" => {
            json!({ "feature": "sum", "window": "day", "ago": 1, "op": ">=", "threshold": 1 })
        }
        "mean while it is day" => {
            json!({ "all": [{ "during": { "time": "08:00-20:00" } }, compare("mean", "1h", ">=", 5.5)] })
        }
        "mean until" | "mean, in its own margin" => compare("mean", "1h", ">=", 5.5),
        _ => unreachable!("no condition is called {name}"),
    }
}

/// The level of a condition.
fn level(name: &str, n: u64) -> Value {
    let mut level = json!({ "when": condition(name, n), "hold": "2s", "clear": "2s" });
    match name {
        "mean until" => {
            level["until"] = json!({ "feature": "mean", "window": "1m", "op": "<", "threshold": 4 });
        }
        "mean, in its own margin" => level["when"]["margin"] = json!(0.5),
        _ => {}
    }
    level
}

/// What one point or correction costs under a condition, at each size.
fn each_size(name: &str, cost: impl Fn(&Rule, u64) -> f64) -> Result<Vec<f64>> {
    let costs = SIZES.iter().map(|n| Ok(cost(&rule_of(&level(name, *n))?, *n)));
    costs.collect()
}

fn rule(when: &Value) -> Result<Rule> {
    rule_of(&json!({ "when": when, "hold": "2s", "clear": "2s" }))
}

fn rule_of(level: &Value) -> Result<Rule> {
    let rule = json!({ "id": "r", "version": 1, "select": {}, "levels": { "red": level } });
    Rule::from_json(rule.to_string().as_bytes()).context("the rule of a bench")
}

struct Driver {
    keyed: Keyed<Monitor>,
    key: Key,
    now: i64,
}

impl Driver {
    fn new(rule: &Rule) -> Self {
        let time = TimeSettings {
            horizon: Duration(600_000),
            max_future: Duration(60_000),
            late_after: Duration(60_000),
            retain: Duration(0),
            forecast_age: Duration(600_000),
            event_age: Duration(600_000),
            event_ahead: Duration(600_000),
        };
        let unknown = UnknownSettings {
            hold: Duration(0),
            max_observations: 0,
            max_bytes: 0,
        };
        let mut keyed = Keyed::new(Monitor::new(time, unknown), Arc::new(FoldMeter::default()));
        let key = Key::of("d");
        let entries = vec![Entry {
            rule: rule.clone(),
            thresholds: rule.thresholds(None),
            scaled: None,
            givers: None,
        }];
        let subject = Subject {
            datastream: "d".into(),
            asset: Some("a".into()),
            interval: None,
            unit: "".into(),
            base: 1,
        };
        let specification = Specification {
            subject,
            entries,
            valid: None,
            states: None,
        };
        keyed.rows(Millis(START), vec![((key, Box::new(specification)), 1)]);
        keyed.settle(Millis(START), &mut Vec::new());
        Self { keyed, key, now: NOW }
    }

    /// An epoch in which these come: times and results.
    fn epoch(&mut self, observations: &[(i64, f64)]) {
        let observed = observations
            .iter()
            .enumerate()
            .map(|(offset, (time, result))| Observed {
                origin: Origin {
                    offset: offset as u64,
                    ..Origin::default()
                },
                observation: Observation {
                    datastream: self.key,
                    id: "d".into(),
                    time: Millis(*time),
                    said: Said::Number(Reading {
                        result: *result,
                        quality: Quality::Good,
                    }),
                },
            });
        self.keyed.records(arrived::<Monitor>(observed.map(Incoming::Observed)));
        self.keyed.settle(Millis(self.now), &mut Vec::new());
    }
}

/// Values of one forecast.
const VALUES: i64 = 72;
/// How many issues of a forecast there are. A run begins at the last observation, or else up to three horizons back: that is so after 90
/// issues, and from there on an issue costs the same.
const ISSUES: [u64; 6] = [100, 200, 400, 800, 1_600, 3_200];

/// Issues of a forecast every 20 s, of a sensor that says nothing: each says anew what the one before said.
fn forecasts(rule: &Rule, n: u64) -> f64 {
    let mut draw = Draw::new(n);
    let issues = (1..=n as i64).map(|i| START + i * 20_000).map(|issued| {
        let first = issued.div_euclid(5_000) * 5_000;
        let values = (1..=VALUES).map(|step| (Millis(first + step * 5_000), Some(draw.below(100) as f64)));
        Arc::new(Forecast {
            datastream: "d".into(),
            issued: Millis(issued),
            valid_time: None,
            value: None,
            values: values.collect(),
            op: Op::Upsert,
        })
    });
    let issues: Vec<_> = issues.collect();
    least(3, n as f64, || {
        let mut driver = Driver::new(rule);
        timed(|| {
            for forecast in &issues {
                let forecasted = Forecasted {
                    datastream: driver.key,
                    origin: Origin::default(),
                    forecast: forecast.clone(),
                };
                let incoming = std::iter::once(Incoming::Forecast(Box::new(forecasted)));
                driver.keyed.records(arrived::<Monitor>(incoming));
                driver.keyed.settle(forecast.issued, &mut Vec::new());
            }
        })
    })
}

fn noise(n: u64) -> Vec<(i64, f64)> {
    let mut draw = Draw::new(n);
    (0..n)
        .map(|i| {
            (
                START + 60_000 + (i as i64 * SPAN) / n as i64,
                draw.below(10_000) as f64 / 1_000.0,
            )
        })
        .collect()
}

/// Seconds of CPU: the least of some tries, each for so many things.
fn least(tries: usize, things: f64, mut run: impl FnMut() -> time::Duration) -> f64 {
    let times = (0..tries).map(|_| run().as_secs_f64() / things);
    times.fold(f64::INFINITY, f64::min)
}

fn timed(run: impl FnOnce()) -> time::Duration {
    let before = cpu();
    run();
    cpu().saturating_sub(before)
}

/// Points in the middle become a peak and are put right again by turns, one an epoch.
fn correction(rule: &Rule, n: u64) -> f64 {
    let points = noise(n);
    let mut driver = Driver::new(rule);
    driver.epoch(&points);
    let count = 200;
    least(5, f64::from(count), || {
        timed(|| {
            for i in 0..count {
                let (time, result) = points[n as usize / 2 + i as usize / 2];
                driver.epoch(&[(time, if i % 2 == 0 { 20.0 } else { result })]);
            }
        })
    })
}

/// A buffer that comes at once, or in so many parts, when all of it is past.
fn buffer(rule: &Rule, n: u64, shuffled: bool, parts: usize) -> f64 {
    let mut points = noise(n);
    points.reverse();
    if shuffled {
        let mut draw = Draw::new(1);
        for position in (1..points.len()).rev() {
            points.swap(position, draw.below(position as u64 + 1) as usize);
        }
    }
    let size = points.len().div_ceil(parts.min(points.len()));
    least(2, n as f64, || {
        let mut driver = Driver::new(rule);
        timed(|| points.chunks(size).for_each(|part| driver.epoch(part)))
    })
}

/// Observations in order, each at its time.
fn in_order(rule: &Rule, n: u64) -> f64 {
    let points = noise(n);
    least(3, n as f64, || {
        let mut driver = Driver::new(rule);
        timed(|| {
            for point in &points {
                driver.now = point.0;
                driver.epoch(std::slice::from_ref(point));
            }
        })
    })
}

/// The slope of the straight line that lies nearest to the logarithms.
fn slope(sizes: &[u64], costs: &[f64]) -> f64 {
    let points: Vec<(f64, f64)> = sizes
        .iter()
        .zip(costs)
        .map(|(n, cost)| ((*n as f64).ln(), cost.ln()))
        .collect();
    let count = points.len() as f64;
    let (x, y) = points
        .iter()
        .fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (over, under) = points.iter().fold((0.0, 0.0), |(over, under), point| {
        (
            over + (point.0 - x) * (point.1 - y),
            under + (point.0 - x) * (point.0 - x),
        )
    });
    over / under
}
