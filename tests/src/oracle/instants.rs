//! Every instant at which a condition may change.

use std::collections::BTreeSet;

use riskflow_config::FeatureKind;

use super::feature::expiry;
use super::level::Watched;

/// In order; between two of them every condition is what it is at the first.
pub fn instants(watched: &Watched<'_>, now: i64) -> Vec<i64> {
    let Watched { rule, seen, .. } = watched;
    let mut instants = BTreeSet::new();
    let mut times: Vec<i64> = seen.points.iter().map(|(time, _)| *time).collect();
    times.push(seen.heard);
    for time in &times {
        instants.insert(*time);
        for feature in &rule.features {
            instants.insert(expiry(*time, feature.window, rule.pane));
            // As long again, what is before a window may be near to it.
            instants.insert(expiry(*time, 2 * feature.window, rule.pane));
        }
        instants.extend(silences(watched).into_iter().map(|silence| time + silence));
    }
    // Nothing is known before the first of them.
    let first = *times.iter().min().expect("it was heard of");
    for calendar in rule.features.iter().filter_map(|feature| feature.calendar) {
        instants.extend(watched.city.borders(calendar, first, now));
    }
    if rule.features.iter().any(|feature| feature.kind.is_forecast()) {
        let mut ahead = vec![seen.floor.saturating_add(1)];
        for saying in &seen.forecasts {
            ahead.extend([saying.from, saying.valid]);
            ahead.extend(rule.features.iter().map(|feature| saying.valid - feature.window));
        }
        let is_seen = |instant: &i64| *instant > seen.floor && *instant > i64::MIN + 1;
        instants.extend(ahead.into_iter().filter(is_seen));
    }
    let floor = seen.left.as_ref().map(|left| left.floor);
    instants.extend(floor.map(|floor| floor + 1));
    for during in &rule.during {
        let first = instants.first().copied().unwrap_or(first);
        instants.extend(watched.city.changes(during, first, now));
    }
    let begins = floor.unwrap_or(i64::MIN);
    let instants = instants.into_iter();
    instants
        .filter(|instant| *instant > begins && *instant <= now)
        .collect()
}

/// After how many milliseconds of silence something may change.
fn silences(watched: &Watched<'_>) -> Vec<i64> {
    let mut silences = Vec::new();
    for (comparison, bound) in watched.rule.comparisons.iter().zip(watched.thresholds) {
        let silence = watched.rule.features[comparison.feature].kind == FeatureKind::Silence;
        for (over, under) in bound.iter().flatten().filter(|_| silence) {
            let millis = (over * 1_000 / under) as i64;
            silences.extend([millis, millis + 1]);
        }
    }
    silences
}
