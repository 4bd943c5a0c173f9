//! The series of a station with thresholds and warnings drawn on it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::tz::TimeZone;
use riskflow_model::{Duration, Millis};

use super::super::super::series::{Curve, Station};
use super::super::{Report, Warning};
use super::draw::{Axis, LEFT, WIDTH, of_set, svg};
use super::text::{Both, Label, Plain, colour, level};

/// Each curve over the whole time, and again around what there is to see.
pub fn station(report: &Report, station: &Station, zone: &TimeZone) -> String {
    let of_it = |warning: &&Warning| warning.rule == station.rule && warning.asset == station.asset;
    let new: Vec<&Warning> = report.new_warnings.iter().filter(of_it).collect();
    let old: Vec<&Warning> = report.old_warnings.iter().filter(of_it).collect();
    let whole = (report.from, report.until);
    let mut out = String::new();
    for curve in &station.curves {
        let _ = write!(out, "<p><b>{}</b></p>", Plain(&curve.feature));
        out += &panel(report, curve, station, (&new, &old), Axis::new(whole, zone));
        if let Some(near) = near(report, station, &new, &old).filter(|near| *near != whole) {
            let _ = write!(out, r#"<p class="soft">{}</p>"#, Both("局部放大", "Closer"));
            out += &panel(report, curve, station, (&new, &old), Axis::new(near, zone));
        }
    }
    out
}

/// A day before and after the first difference, or else the highest warning.
fn near(report: &Report, station: &Station, new: &[&Warning], old: &[&Warning]) -> Option<(Millis, Millis)> {
    const DAY: Duration = Duration(86_400_000);
    let differences = report
        .differences
        .iter()
        .filter_map(|one| one.new.as_ref().or(one.old.as_ref()));
    let mut differences = differences.filter(|one| one.rule == station.rule && one.asset == station.asset);
    let highest = || {
        new.iter()
            .chain(old)
            .copied()
            .min_by_key(|one| (std::cmp::Reverse(one.peak), one.since))
    };
    let one = differences.next().or_else(highest)?;
    let until = one.until.unwrap_or(report.until);
    Some(((one.since - DAY).max(report.from), (until + DAY).min(report.until)))
}

const TOP: f64 = 10.0;
const HEIGHT: f64 = 150.0;

fn panel(
    report: &Report,
    curve: &Curve,
    station: &Station,
    (new, old): (&[&Warning], &[&Warning]),
    axis: Axis<'_>,
) -> String {
    let points = thinned(&curve.points, axis);
    let values = points.iter().map(|(_, value)| *value).filter(|value| value.is_finite());
    let lines = curve.thresholds.iter().chain(&curve.old_thresholds);
    let values = values.chain(lines.map(|(_, threshold)| *threshold));
    let (least, most) = values.fold((0.0_f64, 0.0_f64), |(least, most), value| {
        (least.min(value), most.max(value))
    });
    let span = if most > least { (most - least) * 1.05 } else { 1.0 };
    let y = |value: f64| TOP + HEIGHT - (value - least) / span * HEIGHT;
    let mut out = String::new();
    axis.events(&mut out, &report.events, (TOP, TOP + HEIGHT));
    thresholds(&mut out, curve, &station.unit, y);
    let _ = write!(out, r#"<path class="curve" d="{}"/>"#, path(&points, axis, y));
    let rows = [(new, "new", Both("新", "new")), (old, "old", Both("旧", "old"))];
    let mut bottom = TOP + HEIGHT + 8.0;
    for (warnings, set, name) in rows.into_iter().take(if report.old.is_some() { 2 } else { 1 }) {
        let _ = write!(
            out,
            "{}",
            Label(LEFT - 6.0, bottom + 10.0, r#"text-anchor="end""#, name)
        );
        of_set(&mut out, set, |out| {
            warnings
                .iter()
                .for_each(|warning| axis.warning(out, warning, (bottom, 11.0)));
        });
        bottom += 15.0;
    }
    axis.draw(&mut out, bottom);
    svg(bottom + 24.0, Both("测站曲线", "the series of the station"), &out)
}

/// A line for each level. Those of the old set are thinner and below the new ones, and have their names at the other end: equal ones
/// would be written over each other.
fn thresholds(out: &mut String, curve: &Curve, unit: &str, y: impl Fn(f64) -> f64) {
    let right = WIDTH - 10.0;
    let old = curve.old_thresholds.iter().map(|line| (line, true));
    for ((at, threshold), is_old) in old.chain(curve.thresholds.iter().map(|line| (line, false))) {
        let (y, Both(zh, en)) = (y(*threshold), level(*at));
        let dashes = ["", "2 3", "6 3", "10 3 2 3", ""][at.index()];
        let (class, width) = if is_old {
            ("threshold old", 0.8)
        } else {
            ("threshold", 1.6)
        };
        let _ = write!(
            out,
            r#"<line class="{class}" x1="{LEFT}" x2="{right}" y1="{y:.1}" y2="{y:.1}" stroke="{}" stroke-width="{width}" stroke-dasharray="{dashes}"/>"#,
            colour(*at)
        );
        let (of_zh, of_en, x, y) = if is_old {
            ("旧 ", "old ", right, y - 3.0)
        } else {
            ("", "", LEFT - 6.0, y + 4.0)
        };
        let number = format!("{threshold} {unit}");
        let (zh, en) = (format!("{of_zh}{zh} {number}"), format!("{of_en}{en} {number}"));
        let more = r#"text-anchor="end""#;
        let _ = write!(out, "{}", Label(x, y, more, Both(zh.trim_end(), en.trim_end())));
    }
}

/// Steps from value to value; nothing where nothing is known.
fn path(points: &[(Millis, f64)], axis: Axis<'_>, y: impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut is_down = false;
    for (time, value) in points {
        let x = axis.x(*time);
        let _ = match (value.is_finite(), is_down) {
            (true, true) => write!(path, "H{x:.1}V{:.1}", y(*value)),
            (true, false) => write!(path, "M{x:.1} {:.1}", y(*value)),
            (false, true) => write!(path, "H{x:.1}"),
            (false, false) => Ok(()),
        };
        is_down = value.is_finite();
    }
    if is_down {
        let _ = write!(path, "H{:.1}", axis.x(axis.until));
    }
    path
}

/// Within the time, and for each dot of the width the least and the greatest value, in their order, and the last.
fn thinned(points: &[(Millis, f64)], axis: Axis<'_>) -> Vec<(Millis, f64)> {
    let first = points.partition_point(|(time, _)| *time <= axis.from).saturating_sub(1);
    let last = points.partition_point(|(time, _)| *time <= axis.until);
    let within = points.get(first..last).unwrap_or_default();
    if within.len() <= 2_000 {
        return within.to_vec();
    }
    let mut dots: BTreeMap<i64, Vec<(Millis, f64)>> = BTreeMap::new();
    for (time, value) in within {
        dots.entry(axis.x(*time) as i64).or_default().push((*time, *value));
    }
    let kept = dots.into_values().flat_map(|dot| {
        let by_value = |a: &&(Millis, f64), b: &&(Millis, f64)| a.1.total_cmp(&b.1);
        let (least, most) = (dot.iter().min_by(by_value), dot.iter().max_by(by_value));
        let mut kept: Vec<(Millis, f64)> = [least, most, dot.last()].into_iter().flatten().copied().collect();
        kept.sort_by_key(|(time, _)| *time);
        kept.dedup_by_key(|(time, _)| *time);
        kept
    });
    kept.collect()
}
