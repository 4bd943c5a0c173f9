//! What all drawings have: a time axis, bars by level, patterns.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use riskflow_model::{Level, Millis};

use super::super::{Judged, Warning};
use super::text::{Both, Plain, colour, level, local};

/// The width of all drawings.
pub const WIDTH: f64 = 1_060.0;
/// Where the time begins: to the left stand names.
pub const LEFT: f64 = 190.0;

/// Time from left to right.
#[derive(Clone, Copy)]
pub struct Axis<'a> {
    /// At the left end.
    pub from: Millis,
    /// At the right end; later.
    pub until: Millis,
    /// The time that people go by.
    pub zone: &'a TimeZone,
}

impl<'a> Axis<'a> {
    /// From one time to another, and a millisecond at least.
    pub fn new((from, until): (Millis, Millis), zone: &'a TimeZone) -> Self {
        let until = until.max(Millis(from.0.saturating_add(1)));
        Self { from, until, zone }
    }

    /// Where a time stands.
    pub fn x(&self, time: Millis) -> f64 {
        let part = (time.0 - self.from.0) as f64 / (self.until.0 - self.from.0) as f64;
        LEFT + part.clamp(0.0, 1.0) * (WIDTH - LEFT - 10.0)
    }

    /// The axis itself, below what is drawn down to `y`.
    pub fn draw(&self, out: &mut String, y: f64) {
        const TICKS: i64 = 5;
        let right = WIDTH - 10.0;
        let _ = write!(
            out,
            r#"<line class="axis" x1="{LEFT}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/>"#
        );
        for tick in 0..=TICKS {
            let time = Millis(self.from.0 + (self.until.0 - self.from.0) / TICKS * tick);
            let anchor = match tick {
                0 => "start",
                TICKS => "end",
                _ => "middle",
            };
            let (x, below, text) = (self.x(time), y + 16.0, local(time, self.zone));
            let _ = write!(
                out,
                r#"<line class="axis" x1="{x:.1}" x2="{x:.1}" y1="{y:.1}" y2="{:.1}"/><text class="soft" x="{x:.1}" y="{below:.1}" text-anchor="{anchor}">{text}</text>"#,
                y + 4.0
            );
        }
    }

    /// What happened, as a band behind what is drawn.
    pub fn events(&self, out: &mut String, events: &[Judged], (top, bottom): (f64, f64)) {
        for judged in events {
            let event = &judged.event;
            if event.to < self.from || event.from > self.until {
                continue;
            }
            let (x, width) = self.stretch(event.from, event.to);
            let _ = write!(
                out,
                r#"<rect class="event" x="{x:.1}" y="{top:.1}" width="{width:.1}" height="{:.1}"><title>{} {}</title></rect>"#,
                bottom - top,
                Plain(&event.place),
                local(event.from, self.zone)
            );
        }
    }

    /// Where a stretch of time begins, and how wide it is: enough to be seen.
    fn stretch(&self, from: Millis, until: Millis) -> (f64, f64) {
        let x = self.x(from);
        (x, (self.x(until) - x).max(2.0))
    }

    /// A warning as bars by level.
    pub fn warning(&self, out: &mut String, warning: &Warning, (y, height): (f64, f64)) {
        for (from, until, at) in &warning.levels {
            if *until < self.from || *from > self.until {
                continue;
            }
            let ((x, width), Both(zh, en)) = (self.stretch(*from, *until), level(*at));
            let fade = if warning.withdrawn {
                r#" fill-opacity="0.3""#
            } else {
                ""
            };
            let _ = write!(
                out,
                r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="url(#{})"{fade}><title>{zh} {en} · {} · {} · {} – {}</title></rect>"#,
                at.name(),
                Plain(&warning.rule),
                Plain(&warning.asset),
                local(*from, self.zone),
                local(*until, self.zone)
            );
        }
    }
}

/// What is drawn of one of the sets, `new` or `old`.
pub fn of_set(out: &mut String, set: &str, inner: impl FnOnce(&mut String)) {
    let _ = write!(out, r#"<g class="{set}">"#);
    inner(out);
    out.push_str("</g>");
}

/// A drawing of this height, and what it is for those who cannot see it.
pub fn svg(height: f64, what: Both<'_>, inner: &str) -> String {
    let Both(zh, en) = what;
    format!(
        r#"<svg viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="{} / {}">{inner}</svg>"#,
        Plain(zh),
        Plain(en)
    )
}

/// The fills of the levels: a colour and a pattern each, so that they are told apart without colours.
pub fn patterns() -> String {
    let mut out = String::from(r#"<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>"#);
    for (at, marks) in [
        (Level::Blue, r#"<circle cx="4" cy="4" r="1"/>"#),
        (Level::Yellow, r#"<path d="M0 8L8 0"/>"#),
        (Level::Orange, r#"<path d="M0 8L8 0M0 0L8 8"/>"#),
        (Level::Red, r#"<path d="M2 0V8M6 0V8"/>"#),
    ] {
        let _ = write!(
            out,
            r##"<pattern id="{}" width="8" height="8" patternUnits="userSpaceOnUse"><rect width="8" height="8" fill="{}"/><g stroke="#1c2430" stroke-opacity=".55" fill="none">{marks}</g></pattern>"##,
            at.name(),
            colour(at)
        );
    }
    out.push_str("</defs></svg>");
    out
}

/// What colours and patterns mean.
pub fn legend(has_events: bool) -> String {
    let mut out = String::from(r#"<p class="legend">"#);
    for at in Level::WARNING {
        let _ = write!(
            out,
            r#"<span><svg class="key" viewBox="0 0 22 12"><rect width="22" height="12" fill="url(#{})"/></svg>{}</span>"#,
            at.name(),
            level(at)
        );
    }
    if has_events {
        let _ = write!(
            out,
            r#"<span><svg class="key" viewBox="0 0 22 12"><rect class="event" width="22" height="12"/></svg>{}</span>"#,
            Both("实际事件", "what happened")
        );
    }
    out.push_str("</p>");
    out
}
