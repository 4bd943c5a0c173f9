//! `riskflow explain WARNING`: why it was raised, every change since, and how it stands.

use std::fmt::Write as _;

use anyhow::Result;
use riskflow_config::Settings;
use riskflow_model::output::{CaseDelta, Cause, DeltaKind, Explanation, Stamped, WarningDelta};
use riskflow_model::{Level, Millis};
use serde_json::json;

use super::super::tail;
use super::super::tail::people::{DIM, Names, called, case, coloured, level, name, plain};
use super::Patience;
use super::evidence;
use super::told::{Stands, State, Told};
use crate::program::terminal::{say, say_in_colour};

/// Explains a warning by what was published of it.
pub fn explain(settings: &Settings, id: &str, as_of: Option<Millis>, json: bool) -> Result<()> {
    let told = Told::read(settings, id, as_of, Patience::ENDLESS)?;
    if json {
        say(for_machines(&told, as_of));
    } else {
        let names = tail::names(settings);
        for_people(&told, as_of, &names).iter().for_each(say_in_colour);
    }
    Ok(())
}

/// As one object.
pub fn for_machines(told: &Told, as_of: Option<Millis>) -> serde_json::Value {
    let case = told.case.as_ref();
    json!({
        "id": told.id,
        "as_of": as_of,
        "reaches_back_to": told.reach,
        "deltas": told.deltas,
        "case": case.map(|(id, events)| json!({"id": id, "deltas": events})),
        "now": told.stands,
    })
}

/// In lines.
fn for_people(told: &Told, as_of: Option<Millis>, names: &Names) -> Vec<String> {
    let mut lines = Vec::new();
    match told.deltas.first() {
        Some(first) => lines.extend(why(told, first, names)),
        None => {
            let reach = told.reach.map_or_else(
                || "holds none at all".to_owned(),
                |reach| format!("reaches back to {reach}"),
            );
            lines.push(format!(
                "warning {}: its deltas are not kept any more, out.warning.delta {reach}",
                plain(&told.id)
            ));
        }
    }
    lines.push(String::new());
    lines.push("what happened to it, the oldest first:".to_owned());
    lines.extend(changes(told, names));
    lines.push(String::new());
    lines.push(stands(&told.stands, as_of));
    lines
}

/// Why it was raised, if that is still told; else why it was changed.
fn why(told: &Told, first: &Stamped<WarningDelta>, names: &Names) -> Vec<String> {
    let delta = &first.record;
    let why = &delta.explanation;
    let region = why
        .region
        .map_or_else(|| "?".to_owned(), |region| plain(&names.of(region)));
    let inherent = why
        .inherent_level
        .map_or_else(|| "?".to_owned(), |level| level.get().to_string());
    let mut lines = vec![format!(
        "warning {}: {} at {}, {region}, inherent level {inherent}",
        plain(&told.id),
        called(&why.rule_name, &delta.rule),
        called(&why.asset_name, &delta.asset)
    )];
    let shown = if delta.to == Level::None { delta.from } else { delta.to };
    let began = match delta.kind {
        DeltaKind::Raised => format!("raised as {shown}, since {}", delta.since),
        DeltaKind::Recorded => format!(
            "recorded as {shown}: it was over when it was learnt, since {}",
            delta.since
        ),
        DeltaKind::Escalated
        | DeltaKind::Eased
        | DeltaKind::Cleared
        | DeltaKind::Withdrawn
        | DeltaKind::Revised
        | DeltaKind::Amended => {
            format!(
                "how it began is not kept any more; {}, {shown}, since {}",
                delta.kind.name(),
                delta.since
            )
        }
    };
    lines.push(format!(
        "  {began}, by {} in the epoch {}",
        name(delta.cause),
        first.epoch
    ));
    lines.extend(reasons(why));
    lines
}

/// On what a delta rests.
fn reasons(why: &Explanation) -> Vec<String> {
    if why.condition.is_empty() {
        return vec!["  nothing is left that explains it: the rule or what it watched was gone".to_owned()];
    }
    let forecast = if why.forecast { ", by forecast" } else { "" };
    let mut lines = vec![format!(
        "  version {} of the rule: {}{forecast}",
        why.rule_version,
        plain(&why.condition)
    )];
    if !why.datastream.is_empty() {
        let interval = why
            .interval
            .as_deref()
            .map(|interval| format!(", every {}", plain(interval)));
        lines.push(format!(
            "  datastream {}{}",
            plain(&why.datastream),
            interval.unwrap_or_default()
        ));
    }
    for feature in &why.features {
        let (value, observed) = (evidence::value(feature), evidence::observations(feature));
        lines.push(format!(
            "  {} = {value}  {DIM}{observed}{DIM:#}",
            plain(&feature.feature)
        ));
    }
    if !why.held.is_empty() && why.features.len() > 1 {
        let held: Vec<String> = why.held.iter().map(|held| plain(held)).collect();
        lines.push(format!("  of that held: {}", held.join(", ")));
    }
    for limit in &why.limits {
        lines.push(format!("  {}: {}", evidence::whose(limit), plain(&limit.comparison)));
    }
    lines
}

/// Deltas of the warning and events of its case, by epoch; of one epoch the warning comes first.
fn changes(told: &Told, names: &Names) -> Vec<String> {
    let mut lines: Vec<(Millis, String)> = Vec::new();
    let mut before: Option<&Explanation> = None;
    for delta in &told.deltas {
        lines.push((delta.epoch, change(delta, before)));
        before = Some(&delta.record.explanation);
    }
    let events = told.case.iter().flat_map(|(_, events)| events);
    lines.extend(events.map(|event| (event.epoch, of_case(event, names))));
    lines.sort_by_key(|(epoch, _)| *epoch);
    lines.into_iter().map(|(_, line)| line).collect()
}

/// One delta: the epoch, what happened, why, and the values that made it.
fn change(delta: &Stamped<WarningDelta>, before: Option<&Explanation>) -> String {
    let (epoch, delta) = (delta.epoch, &delta.record);
    let WarningDelta {
        kind,
        cause,
        since,
        at,
        from,
        to,
        ref explanation,
        ..
    } = *delta;
    let shown = level(if to == Level::None { from } else { to });
    let ended = match kind {
        DeltaKind::Cleared | DeltaKind::Recorded => format!(" until {at}"),
        DeltaKind::Raised
        | DeltaKind::Escalated
        | DeltaKind::Eased
        | DeltaKind::Withdrawn
        | DeltaKind::Revised
        | DeltaKind::Amended => String::new(),
    };
    let mut line = format!(
        "{DIM}{epoch}{DIM:#}  {shown}  {}  {from} → {to}  since {since}{ended}  {}",
        kind.name(),
        name(cause)
    );
    let values = evidence::values(before, explanation);
    if !values.is_empty() {
        let _ = write!(line, "  {values}");
    }
    // In time it is the last in the window.
    let which = match cause {
        Cause::LateData | Cause::Correction => before.and_then(|before| evidence::changed(before, explanation)),
        Cause::Clock | Cause::Data | Cause::BaseChange | Cause::RuleChange | Cause::Manual => None,
    };
    if let Some(which) = which {
        let _ = write!(line, "  {DIM}{which}{DIM:#}");
    }
    line
}

fn of_case(event: &Stamped<CaseDelta>, names: &Names) -> String {
    let epoch = event.epoch;
    format!("{DIM}{epoch}{DIM:#}  case  {}", case(&event.record, names))
}

/// How it stands.
fn stands(stands: &Stands, as_of: Option<Millis>) -> String {
    let Stands {
        state,
        level: height,
        since,
        until,
        stale,
        told,
    } = *stands;
    let when = as_of.map_or_else(|| "now".to_owned(), |as_of| format!("by {as_of}"));
    let until = until.map_or_else(|| "?".to_owned(), |until| until.to_string());
    let height = coloured(height);
    match state {
        State::Open => {
            let stale = if stale == Some(true) {
                ", stale: it stands only for want of observations"
            } else {
                ""
            };
            format!("{when}: open, {height}, since {since}{stale}")
        }
        State::Over => {
            let told = match told {
                Some(true) => ", told while it lasted",
                Some(false) => ", not told while it lasted",
                None if as_of.is_none() => ", and not remembered any more (out.warning.history)",
                None => "",
            };
            format!("{when}: over, {height}, from {since} to {until}{told}")
        }
        State::Withdrawn => {
            format!(
                "{when}: withdrawn at {until}: by the series as known then it never was; it had been {height}, since {since}"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use serde_json::Value;

    use super::*;

    fn delta(epoch: i64, kind: &str, cause: &str, levels: (&str, &str), value: f64) -> Stamped<WarningDelta> {
        let sample = json!({"time": 1_627_162_800_000_i64, "result": value});
        let delta = json!({
            "id": "f630a1c2", "kind": kind, "cause": cause, "rule": "rain", "asset": "rain-18", "since": 1_627_162_800_000_i64,
            "at": 1_627_162_800_000_i64 + epoch, "from": levels.0, "to": levels.1, "epoch": 1_627_162_800_000_i64 + epoch,
            "explanation": {
                "rule_name": "Rain", "rule_version": 2, "condition": "last 6h >= 50 mm", "datastream": "rain-18/rainfall",
                "asset_name": "Gauge 18", "category": "rain_gauge", "inherent_level": 2, "region": "330902001003",
                "features": [{"feature": "last 6h", "value": value, "unit": "mm", "first": sample, "last": sample}],
                "limits": [{"comparison": "last 6h >= 50 mm", "of": "asset", "region": null}],
            },
        });
        serde_json::from_value(delta).unwrap()
    }

    fn told(deltas: Vec<Stamped<WarningDelta>>) -> Told {
        let last = deltas.last().unwrap().record.kind;
        Told {
            id: "f630a1c2".to_owned(),
            stands: Stands {
                state: if last == DeltaKind::Withdrawn {
                    State::Withdrawn
                } else {
                    State::Open
                },
                level: Level::Orange,
                since: deltas[0].record.since,
                until: None,
                stale: Some(true),
                told: None,
            },
            deltas,
            case: None,
            reach: None,
        }
    }

    fn lines(told: &Told) -> Vec<String> {
        let lines = for_people(told, None, &Names::default());
        lines.iter().map(|line| strip_str(line).to_string()).collect()
    }

    #[test]
    fn a_life_is_told_from_its_beginning() {
        let told = told(vec![
            delta(1_000, "raised", "data", ("none", "yellow"), 52.5),
            delta(2_000, "escalated", "late_data", ("yellow", "orange"), 80.0),
            delta(3_000, "withdrawn", "correction", ("orange", "none"), 4.0),
        ]);
        let lines = lines(&told);
        let expected = [
            "warning f630a1c2: Rain (rain) at Gauge 18 (rain-18), 330902001003, inherent level 2",
            "  raised as yellow, since 2021-07-24T21:40:00.000Z, by data in the epoch 2021-07-24T21:40:01.000Z",
            "  version 2 of the rule: last 6h >= 50 mm",
            "  datastream rain-18/rainfall",
            "  last 6h = 52.5 mm  observed: 52.5 at 2021-07-24T21:40:00.000Z",
            "  threshold of the asset: last 6h >= 50 mm",
            "",
            "what happened to it, the oldest first:",
            "2021-07-24T21:40:01.000Z  yellow  raised  none → yellow  since 2021-07-24T21:40:00.000Z  data  last 6h = 52.5 mm",
            "2021-07-24T21:40:02.000Z  orange  escalated  yellow → orange  since 2021-07-24T21:40:00.000Z  late data  \
             last 6h = 80 mm (was 52.5 mm)  the reading of 2021-07-24T21:40:00.000Z was 52.5 and is 80",
            "2021-07-24T21:40:03.000Z  orange  withdrawn  orange → none  since 2021-07-24T21:40:00.000Z  correction  \
             last 6h = 4 mm (was 80 mm)  the reading of 2021-07-24T21:40:00.000Z was 80 and is 4",
            "",
            "now: withdrawn at ?: by the series as known then it never was; it had been orange, since 2021-07-24T21:40:00.000Z",
        ];
        assert_eq!(lines, expected);
        let machines = for_machines(&told, Some(Millis(0)));
        assert_eq!(machines["deltas"][1]["kind"], "escalated");
        assert_eq!(machines["now"]["state"], "withdrawn");
        assert_eq!(
            (&machines["case"], &machines["as_of"]),
            (&Value::Null, &json!("1970-01-01T00:00:00.000Z"))
        );
    }

    #[test]
    fn where_the_beginning_is_not_kept_it_says_so() {
        let told = told(vec![delta(2_000, "eased", "clock", ("red", "orange"), 52.5)]);
        let lines = lines(&told);
        assert!(
            lines[1].starts_with("  how it began is not kept any more; eased, orange"),
            "{lines:?}"
        );
        let expected =
            "now: open, orange, since 2021-07-24T21:40:00.000Z, stale: it stands only for want of observations";
        assert_eq!(lines.last().unwrap(), expected);
    }

    #[test]
    fn what_becomes_of_it_follows_from_its_last_delta() {
        let after = |kind, levels| Stands::of(&delta(5_000, kind, "data", levels, 1.0));
        let cleared = after("cleared", ("red", "none"));
        assert_eq!((cleared.state, cleared.level), (State::Over, Level::Red));
        assert!(stands(&cleared, None).contains("not remembered any more"));
        assert_eq!(after("revised", ("blue", "blue")).state, State::Open);
        let withdrawn = stands(&after("withdrawn", ("red", "none")), Some(Millis(0)));
        assert!(
            withdrawn.starts_with("by 1970-01-01T00:00:00.000Z: withdrawn at 2021-07-24T21:40:05.000Z"),
            "{withdrawn}"
        );
    }
}
