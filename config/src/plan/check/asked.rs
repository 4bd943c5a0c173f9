//! What a comparison asks for: a feature, its window, and what only some kinds have.

use riskflow_model::rule::{ComparisonRecord, ReadingRecord, RuleRecord};
use riskflow_model::{Level, Number, duration};

use super::super::during::minutes;
use super::super::{Calendar, CalendarUnit, Comparison, Feature, FeatureKind, Role};
use super::{Check, LONGEST, MOST_PANES, position_of};

/// Two observations closer together than such a part of the window give no rate: noise over a moment is no trend.
const SHORTEST_PART: i64 = 60;

impl Check {
    /// What is compared: the feature with all that only some kinds have.
    pub(super) fn feature(
        &mut self,
        path: &str,
        written: &ComparisonRecord,
        kind: FeatureKind,
        level: Level,
    ) -> Feature {
        let gauge = self.gauge(path, written);
        let calendar = self.calendar(path, written, kind);
        let window = match calendar {
            Some(_) => 0,
            None => self.window(path, written, kind),
        };
        let counts = matches!(kind, FeatureKind::Count | FeatureKind::InARow);
        let projected = kind == FeatureKind::Projected;
        let slopes = projected || matches!(kind, FeatureKind::Rate | FeatureKind::Slope);
        let unused = [
            (
                "of",
                written.of.is_some() && !counts,
                "it with `count` or `in_a_row` only",
            ),
            (
                "q",
                written.q.is_some() && kind != FeatureKind::Quantile,
                "it with `quantile` only",
            ),
            (
                "shortest",
                written.shortest.is_some() && !slopes,
                "it with `rate`, `slope` or `projected` only",
            ),
            (
                "ahead",
                written.ahead.is_some() && !projected,
                "it with `projected` only",
            ),
        ];
        for (field, _, give) in unused.into_iter().filter(|(_, is_there, _)| *is_there) {
            let found = format!("beside `{}`", kind.name());
            self.problems.add(format!("{path}.{field}"), found, give);
        }
        let ahead = if projected { self.ahead(path, written) } else { 0 };
        let shortest = match &written.shortest {
            Some(text) if slopes => {
                let most = if window > 0 { window } else { LONGEST };
                self.duration(&format!("{path}.shortest"), text, 0, most).unwrap_or(0)
            }
            _ if slopes => calendar.map_or(window, |calendar| calendar.unit.usual()) / SHORTEST_PART,
            _ => 0,
        };
        let quantile = match (kind, written.q) {
            (FeatureKind::Quantile, q) => self.quantile(&format!("{path}.q"), q),
            _ => 0,
        };
        let of = match (&written.of, kind) {
            (Some(of), _) if counts => Some(self.reading(&format!("{path}.of"), of, level)),
            (None, FeatureKind::InARow) => {
                let give = "which results are meant, such as `{\"op\":\">=\",\"threshold\":50}`";
                self.problems.add(format!("{path}.of"), "missing", give);
                None
            }
            _ => None,
        };
        Feature {
            kind,
            window,
            calendar,
            shortest,
            ahead,
            quantile,
            of,
            gauge,
        }
    }

    /// The position of the gauge that is compared, if one is.
    fn gauge(&mut self, path: &str, written: &ComparisonRecord) -> Option<usize> {
        let gauge = written.gauge.clone()?;
        self.identifier(&format!("{path}.gauge"), &gauge);
        Some(position_of(&mut self.gauges, gauge))
    }

    /// A rule is over gauges, or on datastreams; and then not all is there that the other has.
    pub(super) fn gauges_alone(&mut self, record: &RuleRecord) {
        if self.gauges.is_empty() {
            return;
        }
        let is_of_series = |comparison: &Comparison| comparison.kind(&self.features) != FeatureKind::Gauge;
        let conditions = self.comparisons.iter().zip(&self.paths);
        let of_series = conditions.filter(|(comparison, _)| is_of_series(comparison));
        for (_, path) in of_series {
            let give = "gauges in all comparisons of the rule, or features in all";
            self.problems.add(format!("{path}.feature"), "beside a `gauge`", give);
        }
        if let Some(property) = &record.select.observed_property {
            let give = "none: a rule over gauges watches assets";
            self.problems
                .add("select.observed_property", format!("`{property}`"), give);
        }
        if !record.unit.is_empty() {
            let give = "none: gauges are counted in numbers, or as their spans say";
            self.problems.add("unit", format!("`{}`", record.unit), give);
        }
    }

    /// How far ahead a result is projected.
    fn ahead(&mut self, path: &str, written: &ComparisonRecord) -> i64 {
        let field = format!("{path}.ahead");
        let Some(text) = &written.ahead else {
            let give = "how far ahead, such as `3h`";
            self.problems.add(field, "missing", give);
            return 1;
        };
        self.duration(&field, text, 1, LONGEST).unwrap_or(1)
    }

    fn quantile(&mut self, field: &str, q: Option<Number>) -> u16 {
        let thousandths = q.and_then(Number::thousandths);
        match thousandths.and_then(|thousandths| u16::try_from(thousandths).ok()) {
            Some(thousandths @ 1..=999) => thousandths,
            _ => {
                let found = q.map_or_else(|| "missing".to_owned(), |q| q.to_string());
                let give = "a number from 0.001 to 0.999 with at most three decimals; 0.5 is the median";
                self.problems.add(field, found, give);
                500
            }
        }
    }

    /// The position of the comparison that says which results are counted.
    fn reading(&mut self, path: &str, written: &ReadingRecord, level: Level) -> usize {
        let operator = self.operator(path, &written.op);
        let threshold = self.threshold(&format!("{path}.threshold"), written.threshold, FeatureKind::Last);
        if let Some(name) = &written.name {
            self.name(&format!("{path}.name"), name, level);
        }
        let same = |other: &Comparison| {
            other.role == Role::Reading
                && (other.operator, other.threshold) == (operator, threshold)
                && other.name.is_none()
                && written.name.is_none()
        };
        if let Some(known) = self.comparisons.iter().position(same) {
            return known;
        }
        self.add(
            path,
            Comparison {
                level,
                role: Role::Reading,
                // That of the feature, which is found next.
                feature: 0,
                operator,
                name: written.name.clone(),
                threshold,
                margin: 0,
            },
        );
        self.comparisons.len() - 1
    }

    /// The window, where it is an hour or a day.
    fn calendar(&mut self, path: &str, written: &ComparisonRecord, kind: FeatureKind) -> Option<Calendar> {
        let text = written.window.as_deref().unwrap_or_default().trim();
        let calendar = match text.split_once(" from ") {
            None if text == "hour" => Some((CalendarUnit::Hour, 0)),
            None if text == "day" => Some((CalendarUnit::Day, 0)),
            Some(("day", from)) => {
                let minutes = minutes(from.trim()).filter(|minutes| *minutes < 24 * 60);
                if minutes.is_none() {
                    let give = "a time of the day, such as `day from 08:00`";
                    self.problems.add(format!("{path}.window"), format!("`{text}`"), give);
                }
                Some((CalendarUnit::Day, i64::from(minutes.unwrap_or(0)) * 60_000))
            }
            _ => None,
        };
        let ago = written.ago.unwrap_or(0);
        if calendar.is_none() {
            if written.ago.is_some() {
                let give = "it with a window that is `hour` or `day` only";
                self.problems.add(format!("{path}.ago"), ago, give);
            }
            return None;
        }
        if matches!(kind, FeatureKind::Silence | FeatureKind::Gauge) || kind.is_forecast() {
            let give = if kind.is_forecast() {
                "a duration like `6h`: the time ahead"
            } else {
                no_window(kind)
            };
            self.problems.add(format!("{path}.window"), format!("`{text}`"), give);
        }
        if written.ago == Some(0) || ago > 31 {
            self.problems.add(format!("{path}.ago"), ago, "1 to 31");
        }
        calendar.map(|(unit, from)| Calendar { unit, from, ago })
    }

    /// A name by which a datastream addresses one comparison of the level, and no other.
    pub(super) fn name(&mut self, field: &str, name: &str, level: Level) {
        self.identifier(field, name);
        let mut others = self.comparisons.iter().filter(|other| other.level == level);
        if others.any(|other| other.name.as_deref() == Some(name)) {
            self.problems.add(
                field,
                format!("`{name}`, as another of its level"),
                "each name once in a level",
            );
        }
    }

    fn window(&mut self, path: &str, written: &ComparisonRecord, kind: FeatureKind) -> i64 {
        let field = format!("{path}.window");
        match (&written.window, kind) {
            (None, FeatureKind::Silence | FeatureKind::Gauge) => 0,
            (Some(window), FeatureKind::Silence | FeatureKind::Gauge) => {
                self.problems.add(field, format!("`{window}`"), no_window(kind));
                0
            }
            (None, _) => {
                self.problems.add(field, "missing", "a duration like `5m`");
                0
            }
            (Some(text), kind) if kind.is_forecast() => self.duration(&field, text, 1, LONGEST).unwrap_or(1),
            (Some(text), _) => {
                let window = self.duration(&field, text, 1, LONGEST).unwrap_or(self.pane);
                // What is wrong with a pane that is none is told there.
                if !self.knows_pane {
                    return window;
                }
                if window % self.pane != 0 {
                    let give = format!("a multiple of the pane, {}", duration::show(self.pane));
                    self.problems.add(field, format!("`{text}`"), give);
                } else if window / self.pane > MOST_PANES {
                    let found = format!(
                        "`{text}`: {} panes of {}",
                        window / self.pane,
                        duration::show(self.pane)
                    );
                    let give = format!("at most {MOST_PANES} panes: a shorter window or a coarser `pane`");
                    self.problems.add(field, found, give);
                }
                window
            }
        }
    }
}

const fn no_window(kind: FeatureKind) -> &'static str {
    match kind {
        FeatureKind::Gauge => "no window: the gauge says over which spans it is",
        _ => "no window: silence has none",
    }
}
