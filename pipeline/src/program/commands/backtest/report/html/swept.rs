//! The curve of a sweep: hit rate against false-alarm ratio, or how many warnings each value gives.

use std::fmt::Write as _;

use super::super::Report;
use super::draw::{LEFT, WIDTH, svg};
use super::text::{Both, Label, Plain};

const TOP: f64 = 20.0;
const HEIGHT: f64 = 260.0;

/// The drawing.
pub fn curve(report: &Report) -> String {
    let judged = report.sweep.iter().map(|point| {
        let scores = point.set.scores.as_ref()?;
        Some((&point.name, scores.far?, scores.pod?))
    });
    let judged: Option<Vec<_>> = judged.collect();
    match judged {
        Some(points) => against(
            &points,
            1.0,
            1.0,
            (
                Both("空报率 FAR", "false-alarm ratio (FAR)"),
                Both("命中率 POD", "hit rate (POD)"),
            ),
        ),
        None => {
            let points = report.sweep.iter().zip(0..);
            let points: Vec<_> = points
                .map(|(point, at)| (&point.name, f64::from(at), point.set.warnings as f64))
                .collect();
            let most = points.iter().map(|(_, _, count)| *count).fold(1.0, f64::max);
            let last = (points.len() as f64 - 1.0).max(1.0);
            against(&points, last, most, (Both("取值", "value"), Both("预警数", "warnings")))
        }
    }
}

/// Points in their order, joined; and what stands at the axes, which go from 0 to the greatest.
fn against(points: &[(&String, f64, f64)], right: f64, top: f64, (below, beside): (Both<'_>, Both<'_>)) -> String {
    let x = |value: f64| LEFT + value / right * (WIDTH - LEFT - 160.0);
    let y = |value: f64| TOP + HEIGHT - value / top * HEIGHT;
    let mut out = String::new();
    let _ = write!(
        out,
        r#"<path class="axis" d="M{LEFT} {TOP}V{:.1}H{:.1}"/>"#,
        TOP + HEIGHT,
        x(right)
    );
    for part in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let shown = |greatest: f64| {
            if greatest > 1.0 {
                (part * greatest).round()
            } else {
                part * greatest
            }
        };
        let _ = write!(
            out,
            r#"<text class="soft" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            LEFT - 8.0,
            y(part * top) + 4.0,
            shown(top)
        );
        if right <= 1.0 {
            let _ = write!(
                out,
                r#"<text class="soft" x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                x(part * right),
                TOP + HEIGHT + 18.0,
                shown(right)
            );
        }
    }
    let places: Vec<String> = points
        .iter()
        .map(|(_, a, b)| format!("{:.1} {:.1}", x(*a), y(*b)))
        .collect();
    let _ = write!(out, r#"<path class="curve" d="M{}"/>"#, places.join("L"));
    let mut names: Vec<((i64, i64), Vec<&str>)> = Vec::new();
    for (name, a, b) in points {
        let (cx, cy) = (x(*a), y(*b));
        let place = (cx.round() as i64, cy.round() as i64);
        let value = name
            .rsplit_once('=')
            .filter(|_| !name.contains(' '))
            .map_or(&***name, |(_, value)| value);
        let _ = write!(
            out,
            r##"<circle cx="{cx:.1}" cy="{cy:.1}" r="4" fill="#24364d"><title>{}</title></circle>"##,
            Plain(name)
        );
        match names.iter_mut().find(|(other, _)| *other == place) {
            Some((_, names)) => names.push(value),
            None => names.push((place, vec![value])),
        }
    }
    for ((cx, cy), values) in names {
        let shown = one_label(&values);
        let _ = write!(out, r#"<text x="{}" y="{}">{}</text>"#, cx + 7, cy - 6, Plain(&shown));
    }
    let _ = write!(out, "{}", Label(x(right) + 8.0, TOP + HEIGHT + 4.0, "", below));
    let _ = write!(out, "{}", Label(LEFT - 60.0, TOP - 8.0, "", beside));
    svg(
        TOP + HEIGHT + 30.0,
        Both("阈值扫描曲线", "the curve of the sweep"),
        &out,
    )
}

/// Values that come to the same place.
fn one_label(values: &[&str]) -> String {
    match values {
        [first, _, .., last] => format!("{first} … {last}"),
        few => few.join(", "),
    }
}
