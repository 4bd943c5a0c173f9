//! When there were warnings, by level, for both sets.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::tz::TimeZone;
use riskflow_model::{Level, Millis, Text};

use super::super::{Report, Warning};
use super::draw::{Axis, LEFT, WIDTH, of_set, svg};
use super::text::{Both, Label, Plain};

/// How many warnings there were at once, by level: the new ones upwards, the old ones downwards.
pub fn overview(report: &Report, zone: &TimeZone) -> String {
    const BARS: usize = 200;
    const HEIGHT: f64 = 70.0;
    let axis = Axis::new((report.from, report.until), zone);
    let (new, old) = (
        counts(&report.new_warnings, axis, BARS),
        counts(&report.old_warnings, axis, BARS),
    );
    let totals = new.iter().chain(&old).map(|levels| levels.iter().sum::<usize>());
    let most = totals.max().unwrap_or(0).max(1);
    let mut out = String::new();
    let (middle, has_old) = (HEIGHT + 10.0, report.old.is_some());
    let bottom = if has_old { middle + HEIGHT } else { middle };
    axis.events(&mut out, &report.events, (8.0, bottom));
    let width = (WIDTH - LEFT - 10.0) / BARS as f64;
    for (counts, set) in [(&new, "new"), (&old, "old")] {
        of_set(&mut out, set, |out| {
            for (bar, levels) in counts.iter().enumerate() {
                let mut done = 0.0;
                for (count, level) in levels.iter().zip(Level::WARNING) {
                    let height = *count as f64 / most as f64 * HEIGHT;
                    let y = if set == "new" {
                        middle - done - height
                    } else {
                        middle + done
                    };
                    done += height;
                    if *count > 0 {
                        let x = LEFT + bar as f64 * width;
                        let _ = write!(
                            out,
                            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="url(#{})"/>"#,
                            level.name()
                        );
                    }
                }
            }
        });
    }
    let _ = write!(
        out,
        "{}",
        Label(0.0, middle - HEIGHT / 2.0, "", Both("新规则", "new rules"))
    );
    if has_old {
        let _ = write!(
            out,
            "{}",
            Label(0.0, middle + HEIGHT / 2.0, "", Both("旧规则", "old rules"))
        );
    }
    let most = format!(r#"class="soft" text-anchor="end" x="{:.1}" y="20""#, LEFT - 6.0);
    let _ = write!(out, "<text {most}>{}</text>", totals_shown(&new, &old));
    axis.draw(&mut out, bottom);
    svg(
        bottom + 24.0,
        Both("各级预警数量随时间的变化", "warnings by level over time"),
        &out,
    )
}

fn totals_shown(new: &[[usize; 4]], old: &[[usize; 4]]) -> usize {
    let totals = new.iter().chain(old).map(|levels| levels.iter().sum());
    totals.max().unwrap_or(0)
}

/// In each part of the time how many warnings were at most at each level; each counts once, at its highest there.
fn counts(warnings: &[Warning], axis: Axis<'_>, bars: usize) -> Vec<[usize; 4]> {
    let mut counts = vec![[0; 4]; bars];
    let span = (axis.until.0 - axis.from.0).max(1);
    let bar_of = |time: Millis| ((time.0 - axis.from.0) as i128 * bars as i128 / i128::from(span)) as i64;
    for warning in warnings.iter().filter(|warning| !warning.withdrawn) {
        let mut highest: BTreeMap<i64, Level> = BTreeMap::new();
        for (from, until, level) in &warning.levels {
            let last = bar_of(Millis(until.0 - 1)).max(bar_of(*from));
            for bar in bar_of(*from).max(0)..=last.min(bars as i64 - 1) {
                let before = highest.entry(bar).or_default();
                *before = (*before).max(*level);
            }
        }
        for (bar, level) in highest {
            let place = usize::try_from(bar).ok().and_then(|bar| counts.get_mut(bar));
            if let (Some(place), Some(at)) = (place, level.index().checked_sub(1)) {
                place[at] += 1;
            }
        }
    }
    counts
}

/// So many lanes are drawn.
const LANES: usize = 24;

/// The warnings of one rule at one asset.
#[derive(Default)]
struct Lane<'a> {
    new: Vec<&'a Warning>,
    old: Vec<&'a Warning>,
    differences: usize,
}

/// Warning by warning: a lane for each rule and asset, those with the most differences first.
pub fn lanes(report: &Report, zone: &TimeZone) -> String {
    const LANE: f64 = 30.0;
    let mut lanes: BTreeMap<(&Text, &Text), Lane<'_>> = BTreeMap::new();
    for warning in &report.new_warnings {
        lanes
            .entry((&warning.rule, &warning.asset))
            .or_default()
            .new
            .push(warning);
    }
    for warning in &report.old_warnings {
        lanes
            .entry((&warning.rule, &warning.asset))
            .or_default()
            .old
            .push(warning);
    }
    for difference in &report.differences {
        let one = difference.new.as_ref().or(difference.old.as_ref());
        if let Some(lane) = one.and_then(|one| lanes.get_mut(&(&one.rule, &one.asset))) {
            lane.differences += 1;
        }
    }
    let all = lanes.len();
    let mut lanes: Vec<_> = lanes.into_iter().collect();
    lanes.sort_by_key(|(_, lane)| std::cmp::Reverse((lane.differences, lane.new.len() + lane.old.len())));
    lanes.truncate(LANES);
    let axis = Axis::new((report.from, report.until), zone);
    let bottom = 6.0 + lanes.len() as f64 * LANE;
    let mut out = String::new();
    axis.events(&mut out, &report.events, (2.0, bottom));
    for (place, ((rule, asset), lane)) in lanes.iter().enumerate() {
        let y = 6.0 + place as f64 * LANE;
        let _ = write!(
            out,
            r#"<text x="0" y="{:.1}">{}</text><text class="soft" x="0" y="{:.1}">{}</text>"#,
            y + 10.0,
            Plain(&short(asset)),
            y + 22.0,
            Plain(&short(rule))
        );
        for (set, warnings, down) in [("new", &lane.new, 0.0), ("old", &lane.old, 13.0)] {
            of_set(&mut out, set, |out| {
                warnings
                    .iter()
                    .for_each(|warning| axis.warning(out, warning, (y + down, 11.0)));
            });
        }
    }
    axis.draw(&mut out, bottom);
    let drawing = svg(bottom + 24.0, Both("逐条预警时间线", "warnings one by one"), &out);
    let more = all - lanes.len();
    if more == 0 {
        return drawing;
    }
    let (zh, en) = (
        format!("另有 {more} 行未画出,见 JSON。"),
        format!("{more} more lanes are not drawn: see the JSON."),
    );
    format!(r#"{drawing}<p class="soft">{}</p>"#, Both(&zh, &en))
}

/// So much of a name has room beside a drawing.
fn short(name: &str) -> String {
    const ROOM: usize = 24;
    if name.chars().count() <= ROOM {
        return name.to_owned();
    }
    name.chars().take(ROOM - 1).chain(['…']).collect()
}
