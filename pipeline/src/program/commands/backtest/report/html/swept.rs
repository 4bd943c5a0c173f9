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
        let _ = write!(
            out,
            r##"<circle cx="{cx:.1}" cy="{cy:.1}" r="4" fill="#24364d"><title>{}</title></circle>"##,
            Plain(name)
        );
        match names.iter_mut().find(|(other, _)| *other == place) {
            Some((_, names)) => names.push(value_of(name)),
            None => names.push((place, vec![value_of(name)])),
        }
    }
    let names = names.iter().map(|(place, values)| (*place, one_label(values)));
    for name in spread(&names.collect::<Vec<_>>()) {
        let (anchor, text) = (name.anchor, Plain(name.text));
        let _ = write!(
            out,
            r#"<text x="{}" y="{}" text-anchor="{anchor}">{text}</text>"#,
            name.x, name.y
        );
    }
    let _ = write!(out, "{}", Label(x(right) + 8.0, TOP + HEIGHT + 4.0, "", below));
    let _ = write!(out, "{}", Label(LEFT - 60.0, TOP - 8.0, "", beside));
    svg(
        TOP + HEIGHT + 30.0,
        Both("阈值扫描曲线", "the curve of the sweep"),
        &out,
    )
}

/// The value alone, where the point has one.
fn value_of(name: &str) -> &str {
    let value = name.rsplit_once('=').filter(|_| !name.contains(' '));
    value.map_or(name, |(_, value)| value)
}

/// A label where it is legible.
struct Named<'a> {
    x: i64,
    y: i64,
    anchor: &'static str,
    text: &'a str,
}

impl Named<'_> {
    /// About as much room as the text takes: left, right, top, bottom.
    fn room(&self) -> [i64; 4] {
        const CHARACTER: i64 = 8;
        let width = CHARACTER * self.text.chars().count() as i64;
        let left = if self.anchor == "end" { self.x - width } else { self.x };
        [left, left + width, self.y - 12, self.y + 3]
    }

    fn overlaps(&self, other: &Self) -> bool {
        let ([left, right, top, bottom], [from, to, above, below]) = (self.room(), other.room());
        left < to && from < right && top < below && above < bottom
    }
}

/// Labels beside their places, none over another: the first and the last before all others, and those for which there is no room left
/// away. Their points tell their names all the same.
fn spread(names: &[((i64, i64), String)]) -> Vec<Named<'_>> {
    let between = names.get(1..names.len().saturating_sub(1)).unwrap_or_default();
    let last = names.last().filter(|_| names.len() > 1);
    let mut placed: Vec<Named<'_>> = Vec::new();
    for ((cx, cy), text) in names.first().into_iter().chain(last).chain(between) {
        let beside = [(7, -6, "start"), (7, 16, "start"), (-7, -6, "end"), (-7, 16, "end")];
        let mut beside = beside.into_iter().map(|(right, down, anchor)| Named {
            x: cx + right,
            y: cy + down,
            anchor,
            text,
        });
        let free = beside.find(|name| !placed.iter().any(|other| name.overlaps(other)));
        placed.extend(free);
    }
    placed
}

/// Values that come to the same place.
fn one_label(values: &[&str]) -> String {
    match values {
        [first, _, .., last] => format!("{first} … {last}"),
        few => few.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_lie_over_each_other_and_the_ends_have_theirs() {
        let dense: Vec<((i64, i64), String)> = (0..60)
            .map(|at| ((200 + 3 * at, 100 + at % 2), format!("{at}.5")))
            .collect();
        let placed = spread(&dense);
        for (index, one) in placed.iter().enumerate() {
            assert!(placed[..index].iter().all(|other| !one.overlaps(other)), "{}", one.text);
        }
        assert!(placed.len() >= 6, "{}", placed.len());
        assert_eq!((placed[0].text, placed[1].text), ("0.5", "59.5"));
        let wide: Vec<((i64, i64), String)> = (0..5).map(|at| ((200 * at, 100), at.to_string())).collect();
        assert_eq!(spread(&wide).len(), 5);
        assert!(spread(&[]).is_empty() && spread(&wide[..1]).len() == 1);
    }
}
