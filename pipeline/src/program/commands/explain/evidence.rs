//! Values and observations in words.

use std::fmt::Write as _;

use riskflow_model::Millis;
use riskflow_model::output::{Explanation, FeatureValue, GivenLimit, LimitSource, Sample};

use super::super::tail::people::plain;

/// A value with its unit, or that it is unknown.
pub fn value(feature: &FeatureValue) -> String {
    match feature.value {
        None => "unknown".to_owned(),
        Some(value) if feature.unit.is_empty() => value.to_string(),
        Some(value) => format!("{value} {}", plain(&feature.unit)),
    }
}

/// From which observations it comes.
pub fn observations(feature: &FeatureValue) -> String {
    let forecast = feature.issued;
    let what = if forecast.is_some() { "forecast" } else { "observed" };
    let sample = |sample: &Sample| format!("{} at {}", sample.result, sample.time);
    let mut text = match (&feature.first, &feature.last) {
        (Some(first), Some(last)) if first != last => format!("{what}: {} to {}", sample(first), sample(last)),
        (Some(one), _) | (None, Some(one)) => format!("{what}: {}", sample(one)),
        (None, None) => "no observation".to_owned(),
    };
    if feature.not_counted > 0 {
        let _ = write!(text, ", {} not counted", feature.not_counted);
    }
    if let Some(issued) = forecast {
        let _ = write!(text, ", issued {issued}");
    }
    if let Some(valid) = feature.valid_time {
        let _ = write!(text, ", expected for {valid}");
    }
    text
}

/// Whose a threshold is that is not the rule's.
pub fn whose(limit: &GivenLimit) -> String {
    match (limit.of, limit.region) {
        (LimitSource::Datastream, _) => "threshold of the datastream".to_owned(),
        (LimitSource::Asset, _) => "threshold of the asset".to_owned(),
        (LimitSource::Region, Some(region)) => format!("threshold of the region {region}"),
        (LimitSource::Region, None) => "threshold of a region".to_owned(),
    }
}

/// The values of an explanation, each with what it was in the one before where that differs.
pub fn values(before: Option<&Explanation>, why: &Explanation) -> String {
    let one = |feature: &FeatureValue| {
        let text = format!("{} = {}", plain(&feature.feature), value(feature));
        let was = before.and_then(|before| same(before, why, feature));
        match was.filter(|was| was.value != feature.value) {
            Some(was) => format!("{text} (was {})", value(was)),
            None => text,
        }
    };
    let all: Vec<String> = why.features.iter().map(one).collect();
    all.join(", ")
}

/// The same feature of the same datastream, as it was told before.
fn same<'a>(before: &'a Explanation, why: &Explanation, feature: &FeatureValue) -> Option<&'a FeatureValue> {
    let mut features = before.features.iter();
    let found = features.find(|other| other.feature == feature.feature && other.unit == feature.unit);
    found.filter(|_| before.datastream == why.datastream)
}

/// Which observation it was, as far as two deltas that follow each other say: they show the first and the last of each window.
pub fn changed(before: &Explanation, why: &Explanation) -> Option<String> {
    let shown = |explanation: &Explanation| -> Vec<Sample> {
        let features = explanation.features.iter();
        features
            .flat_map(|feature| feature.first.into_iter().chain(feature.last))
            .collect()
    };
    if before.datastream != why.datastream {
        return None;
    }
    let (old, new) = (shown(before), shown(why));
    let at = |samples: &[Sample], time: Millis| samples.iter().copied().find(|one| one.time == time);
    let replaced = new.iter().find_map(|sample| {
        let was = at(&old, sample.time).filter(|was| was.result != sample.result)?;
        Some(format!(
            "the reading of {} was {} and is {}",
            sample.time, was.result, sample.result
        ))
    });
    let newest = old.iter().map(|sample| sample.time).max();
    let added = || {
        let came = |sample: &&Sample| at(&old, sample.time).is_none() && Some(sample.time) < newest;
        let sample = new.iter().find(came)?;
        Some(format!(
            "{} at {} stands first or last in the window now",
            sample.result, sample.time
        ))
    };
    let gone = || {
        let went = |sample: &&Sample| at(&new, sample.time).is_none();
        let sample = old.iter().find(went)?;
        let text = format!(
            "{} at {} stood first or last in the window before",
            sample.result, sample.time
        );
        Some(text)
    };
    replaced.or_else(added).or_else(gone)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn why(features: Value) -> Explanation {
        let mut explanation = Explanation::nothing();
        explanation.datastream = "d".into();
        explanation.features = serde_json::from_value(features).unwrap();
        explanation
    }

    fn last(value: f64, time: i64) -> Value {
        let sample = json!({"time": time * 1000 + 1_700_000_000_000_i64, "result": value});
        json!([{"feature": "last 10m", "value": value, "unit": "mm", "first": sample, "last": sample}])
    }

    #[test]
    fn values_say_what_they_were() {
        let (one, other) = (why(last(5.0, 0)), why(last(7.0, 0)));
        assert_eq!(values(None, &one), "last 10m = 5 mm");
        assert_eq!(values(Some(&one), &other), "last 10m = 7 mm (was 5 mm)");
        assert_eq!(values(Some(&one), &one), "last 10m = 5 mm");
        let mut elsewhere = one;
        elsewhere.datastream = "e".into();
        assert_eq!(values(Some(&elsewhere), &other), "last 10m = 7 mm");
        let unknown = why(json!([{"feature": "last 10m", "value": null, "unit": "mm", "first": null, "last": null}]));
        assert_eq!(values(Some(&other), &unknown), "last 10m = unknown (was 7 mm)");
    }

    #[test]
    fn a_reading_that_was_replaced_or_came_between_is_named_and_no_other() {
        let (one, other) = (why(last(5.0, 0)), why(last(7.0, 0)));
        assert_eq!(
            changed(&one, &other).unwrap(),
            "the reading of 2023-11-14T22:13:20.000Z was 5 and is 7"
        );
        assert_eq!(changed(&one, &one), None);
        let earlier = changed(&why(last(5.0, 9)), &why(last(6.0, 3))).unwrap();
        assert!(earlier.starts_with("6 at 2023-11-14T22:13:23.000Z stands"), "{earlier}");
        let gone = changed(&one, &why(json!([]))).unwrap();
        assert!(gone.starts_with("5 at 2023-11-14T22:13:20.000Z stood"), "{gone}");
    }

    #[test]
    fn observations_say_what_does_not_count_and_what_is_forecast() {
        let feature = |more: Value| {
            let mut feature = json!({"feature": "max 6h", "value": 2.0, "first": {"time": 0, "result": 1.5}, "last": {"time": "1970-01-01T00:00:01Z", "result": 2}});
            feature
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            observations(&serde_json::from_value(feature).unwrap())
        };
        let span = "1.5 at 1970-01-01T00:00:00.000Z to 2 at 1970-01-01T00:00:01.000Z";
        assert_eq!(
            feature(json!({"not_counted": 3})),
            format!("observed: {span}, 3 not counted")
        );
        assert_eq!(
            feature(json!({"issued": 0, "valid_time": "1970-01-01T00:00:01Z"})),
            format!("forecast: {span}, issued 1970-01-01T00:00:00.000Z, expected for 1970-01-01T00:00:01.000Z")
        );
        assert_eq!(feature(json!({"first": null, "last": null})), "no observation");
    }
}
