//! The series of one station, and what a rule makes of it: for people to look at, computed anew in the plainest way.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use riskflow_config::{Conversion, Feature, FeatureKind, InputRecord, Mismatch, Rule, Settings, Watching, meet};
use riskflow_connectors::{Polled, Share, Until, Verdict, decode, open_source};
use riskflow_model::base::Datastream;
use riskflow_model::observation::Said;
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Level, Millis, Text};
use riskflow_operators::warning;
use serde::Serialize;

use super::world::World;

/// A datastream with what a rule sees of it.
#[derive(Debug, Serialize)]
pub struct Station {
    /// The datastream.
    pub datastream: Text,
    /// Its asset.
    pub asset: Text,
    /// What people call that.
    pub asset_name: Text,
    /// The rule that is shown with it, as the new set has it, or else the old one.
    pub rule: Text,
    /// What people call the rule.
    pub rule_name: Text,
    /// The unit of values and thresholds.
    pub unit: Text,
    /// Each feature that the rule compares with thresholds.
    pub curves: Vec<Curve>,
}

/// A feature of the series.
#[derive(Debug, Serialize)]
pub struct Curve {
    /// As in `sum 12h`; `result` where the feature is not drawn, and the results are.
    pub feature: String,
    /// Time and value, when the value changed.
    pub points: Vec<(Millis, f64)>,
    /// The thresholds of the levels, as in force for this datastream; none where only the old set has the rule.
    pub thresholds: Vec<(Level, f64)>,
    /// Those of the old set's rule of this name, in the same unit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub old_thresholds: Vec<(Level, f64)>,
}

/// Results by time, in the unit of the datastream.
type Results = BTreeMap<i64, f64>;

/// Reads the series of a datastream, and computes what a rule of the new set sees of it, or else one of the old set.
///
/// # Errors
///
/// When the history cannot be read again.
pub fn station(
    settings: &Settings,
    world: &World,
    datastream: &Datastream,
    [new, old]: [&[Rule]; 2],
) -> Result<Option<Station>> {
    let new = watched(new, None, datastream, world);
    let old = watched(old, new.as_ref().map(|(rule, _)| &rule.record.id), datastream, world);
    let Some((rule, _)) = new.as_ref().or(old.as_ref()) else {
        return Ok(None);
    };
    let asset = world.assets.get(datastream.asset.text());
    let results = results(settings, datastream).context("could not read the series of the station")?;
    Ok(Some(Station {
        datastream: datastream.id.text().clone(),
        asset: datastream.asset.text().clone(),
        asset_name: asset.map(|asset| asset.name.clone()).unwrap_or_default(),
        rule: rule.record.id.clone(),
        rule_name: rule.record.name.clone(),
        unit: if rule.record.unit.is_empty() {
            datastream.unit.clone()
        } else {
            rule.record.unit.clone()
        },
        curves: curves(new.as_ref(), old.as_ref(), &results),
    }))
}

/// A rule with its thresholds for a datastream.
type Watched<'a> = (&'a Rule, Watching);

/// The rule of this name, or else the first one, that watches the datastream.
fn watched<'a>(rules: &'a [Rule], id: Option<&Text>, datastream: &Datastream, world: &World) -> Option<Watched<'a>> {
    let asset = world.assets.get(datastream.asset.text());
    let located = asset.map(|asset| world.located(asset.region)).unwrap_or_default();
    let met = meet(
        rules.iter(),
        datastream,
        asset.map(|asset| (asset, &located)),
        &world.regional,
    );
    let mut watched = met.rules.into_iter().map(|watching| (&rules[watching.rule], watching));
    watched.find(|(rule, _)| id.is_none_or(|id| rule.record.id == *id))
}

/// A rule as the job has it.
pub fn plan(record: &riskflow_model::rule::RuleRecord) -> Rule {
    warning::rule(record)
}

/// So many curves at most.
const CURVES: usize = 4;

/// Each feature with what either rule compares it with: in the unit of the new one, where there is one.
fn curves(new: Option<&Watched<'_>>, old: Option<&Watched<'_>>, results: &Results) -> Vec<Curve> {
    let mut curves: Vec<(Feature, Curve)> = Vec::new();
    let Some((shown, watching)) = new.or(old) else {
        return Vec::new();
    };
    let conversion = watching.scaled.as_ref().map(|scaled| scaled.conversion);
    for (watched, is_old) in [(new, false), (old, true)] {
        let Some((rule, watching)) = watched else { continue };
        // What measures something else has no place beside the other one.
        let Ok(unit) = between(rule, shown) else { continue };
        for (feature, level, threshold) in compared(rule, watching) {
            let known = curves.iter().position(|(known, _)| *known == feature);
            let at = match known {
                Some(at) => at,
                None if curves.len() < CURVES => {
                    curves.push((feature, curve(rule, feature, results, conversion)));
                    curves.len() - 1
                }
                None => continue,
            };
            let curve = &mut curves[at].1;
            let lines = if is_old {
                &mut curve.old_thresholds
            } else {
                &mut curve.thresholds
            };
            lines.push((level, unit.map_or(threshold, |unit| unit.shown(threshold))));
        }
    }
    curves.into_iter().map(|(_, curve)| curve).collect()
}

/// How thresholds of a rule become such of another one; no unit on either side means equal.
fn between(rule: &Rule, other: &Rule) -> Result<Option<Conversion>, Mismatch> {
    match (&rule.unit, &other.unit) {
        (Some(own), Some(its)) => own.to(its),
        _ => Ok(None),
    }
}

/// What a rule compares with thresholds, level by level.
fn compared(rule: &Rule, watching: &Watching) -> Vec<(Feature, Level, f64)> {
    let mut found = Vec::new();
    for plan in &rule.levels {
        let mut compared = Vec::new();
        comparisons(&plan.condition, &mut compared);
        found.extend(compared.into_iter().filter_map(|index| {
            let bound = watching.thresholds.get(index).copied().flatten()?;
            let feature = rule.features[rule.comparisons[index].feature];
            Some((feature, plan.level, bound.on as f64 / 1000.0))
        }));
    }
    found
}

fn comparisons(condition: &riskflow_config::Condition, out: &mut Vec<usize>) {
    use riskflow_config::Condition::{All, Any, Comparison, During};
    match condition {
        Comparison(index) => out.push(*index),
        During(_) => {}
        Any(parts) | All(parts) => parts.iter().for_each(|part| comparisons(part, out)),
    }
}

fn curve(rule: &Rule, feature: Feature, results: &Results, conversion: Option<Conversion>) -> Curve {
    let shown = |value: f64| conversion.map_or(value, |conversion| conversion.shown(value));
    let drawn = (feature.calendar.is_none())
        .then(|| drawn(&feature, rule.pane, results))
        .flatten();
    let (name, points) = match drawn {
        Some(points) => (feature.to_string(), points),
        None => {
            let points = results.iter().map(|(time, value)| (Millis(*time), *value));
            ("result".to_owned(), points.collect())
        }
    };
    Curve {
        feature: name,
        points: points.into_iter().map(|(time, value)| (time, shown(value))).collect(),
        thresholds: Vec::new(),
        old_thresholds: Vec::new(),
    }
}

/// The most observations that are looked at for a curve.
const MOST_LOOKS: usize = 50_000_000;

/// A feature over a window that is a length of time, at each time at which it may change; `None` for those that are not drawn.
fn drawn(feature: &Feature, pane: i64, results: &Results) -> Option<Vec<(Millis, f64)>> {
    let of: fn(&[(i64, f64)]) -> f64 = match feature.kind {
        FeatureKind::Last => |seen| seen.last().map_or(0.0, |(_, value)| *value),
        FeatureKind::Min => |seen| seen.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min),
        FeatureKind::Max => |seen| seen.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max),
        FeatureKind::Sum => |seen| seen.iter().map(|(_, value)| (value * 1e9).round()).sum::<f64>() / 1e9,
        FeatureKind::Mean => |seen| seen.iter().map(|(_, value)| value).sum::<f64>() / seen.len() as f64,
        FeatureKind::Range | FeatureKind::Drop | FeatureKind::Rise => return None,
        FeatureKind::Count | FeatureKind::Rate | FeatureKind::Silence => return None,
        FeatureKind::Deviation | FeatureKind::Quantile | FeatureKind::Increase => return None,
        FeatureKind::Slope | FeatureKind::Projected | FeatureKind::InARow => return None,
        FeatureKind::ForecastMin | FeatureKind::ForecastMax => return None,
        FeatureKind::ForecastMean | FeatureKind::ForecastSum | FeatureKind::Gauge => return None,
    };
    let series: Vec<(i64, f64)> = results.iter().map(|(time, value)| (*time, *value)).collect();
    // From its time until the first border of a pane at or after the end of the window.
    let leaves = |time: i64| {
        (time + feature.window).div_euclid(pane) * pane
            + if (time + feature.window).rem_euclid(pane) == 0 {
                0
            } else {
                pane
            }
    };
    let mut times: Vec<i64> = series.iter().flat_map(|(time, _)| [*time, leaves(*time)]).collect();
    times.sort_unstable();
    times.dedup();
    let mut points: Vec<(Millis, f64)> = Vec::new();
    let (mut first, mut next, mut looks) = (0, 0, 0);
    for time in times {
        while series.get(next).is_some_and(|(at, _)| *at <= time) {
            next += 1;
        }
        while first < next && leaves(series[first].0) <= time {
            first += 1;
        }
        let seen = &series[first..next];
        looks += seen.len();
        if looks > MOST_LOOKS {
            return None;
        }
        let value = if seen.is_empty() { f64::NAN } else { of(seen) };
        // Not a number is not equal to itself: nothing, again and again, is told once.
        let same = points
            .last()
            .is_some_and(|(_, last)| *last == value || (last.is_nan() && value.is_nan()));
        if !same {
            points.push((Millis(time), value));
        }
    }
    Some(points)
}

/// The results of a datastream that count, as they are known at the end.
fn results(settings: &Settings, datastream: &Datastream) -> Result<Results> {
    let id = datastream.id.text();
    let (key, needle) = (Key::of(id), id.as_bytes());
    let mut results = Results::new();
    let beginning = Offsets::default();
    let topics = [Topic::IN_OBSERVATION];
    let mut source = open_source(
        &settings.input,
        &settings.topics,
        &topics,
        Share::WHOLE,
        Until::End,
        &beginning,
    )?;
    loop {
        let polled = source.poll(65_536, &mut |record| {
            let payload = record.payload.unwrap_or_default();
            // Most are of others; an escaped identifier is written in another way.
            let may_be = payload.contains(&b'\\') || payload.windows(needle.len()).any(|part| part == needle);
            if record.topic == Topic::IN_OBSERVATION
                && may_be
                && let Ok(InputRecord::Observation(observation)) = decode(&record)
                && observation.datastream == key
            {
                match counted(datastream, &observation.said) {
                    Some(value) => results.insert(observation.time.0, value),
                    None => results.remove(&observation.time.0),
                };
            }
            Verdict::Taken
        })?;
        match polled {
            Polled::Ended => break,
            // The end is known, and is not at hand yet: Kafka tells nobody when, so it is asked again.
            Polled::Idle | Polled::Blocked => std::thread::sleep(std::time::Duration::from_millis(20)),
            Polled::More => {}
        }
    }
    if let Some(until) = settings.until {
        results.retain(|time, _| *time <= until.0);
    }
    Ok(results)
}

/// The value of an observation that counts.
fn counted(datastream: &Datastream, said: &Said) -> Option<f64> {
    let value = match said {
        Said::Nothing => return None,
        Said::Number(reading) => Some(reading.result).filter(|_| reading.quality.counts()),
        Said::State(state) => {
            let named = datastream.states.get(&state.name).map(|number| number.0);
            named.or_else(|| state.of_itself()).filter(|_| state.quality.counts())
        }
    }?;
    let is_there = |border: Option<riskflow_model::Number>, good: fn(f64, f64) -> bool| {
        border.is_none_or(|border| good(value, border.0))
    };
    let valid = datastream.valid.as_deref().is_none_or(|valid| {
        is_there(valid.min, |value, min| value >= min) && is_there(valid.max, |value, max| value <= max)
    });
    (valid && !datastream.no_value.iter().any(|none| none.0 == value)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_rises_when_rain_comes_and_falls_at_the_pane() {
        let results: Results = [(0, 1.5), (30, 2.0)].into();
        let feature = Feature::new(FeatureKind::Sum, 100);
        let points = drawn(&feature, 20, &results).unwrap();
        let shown: Vec<(i64, String)> = points.iter().map(|(time, value)| (time.0, value.to_string())).collect();
        let expected = [(0, "1.5"), (30, "3.5"), (100, "2"), (140, "NaN")];
        assert_eq!(shown, expected.map(|(time, value)| (time, value.to_owned())));
        let feature = Feature::new(FeatureKind::Slope, 100);
        assert!(drawn(&feature, 20, &results).is_none());
    }
}
