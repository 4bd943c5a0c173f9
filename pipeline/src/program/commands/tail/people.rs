//! One line an event, for people: when, how bad, what, where, why, and the identifier that `riskflow act` takes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use riskflow_connectors::RawRecord;
use riskflow_model::action::Verb;
use riskflow_model::base::Region;
use riskflow_model::output::{
    By, CaseDelta, CaseEvent, CaseEventKind, CaseStep, DeltaKind, Escalation, FeatureValue, Notice, PastWarning,
    Refusal, Stamped, WarningDelta,
};
use riskflow_model::topic::Topic;
use riskflow_model::{Level, Lineage, Millis, RegionCode, Text, Tier};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::program::escape;

/// What people may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Warnings,
    /// Warnings that are over.
    History,
    Cases,
    Notices,
}

impl Kind {
    /// Those that a name asks for.
    pub const ALL: [Self; 3] = [Self::Warnings, Self::Cases, Self::Notices];

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Warnings => "warnings",
            Self::History => "warnings --history",
            Self::Cases => "cases",
            Self::Notices => "notices",
        }
    }

    pub const fn topic(self) -> Topic {
        match self {
            Self::Warnings => Topic::WARNING_DELTA,
            Self::History => Topic::WARNING_HISTORY,
            Self::Cases => Topic::CASE_DELTA,
            Self::Notices => Topic::NOTICE,
        }
    }

    /// The epoch of a record, and its line; one that is not what it should be as it stands.
    pub fn line(self, record: &RawRecord<'_>, names: &Names) -> (Millis, String) {
        let payload = record.payload.unwrap_or_default();
        let line = match self {
            Self::Warnings => of(payload, |delta| warning(delta, names)),
            Self::History if record.payload.is_none() => Some(no_longer(record)),
            Self::History => of(payload, |row| past(&row.record, names)),
            Self::Cases => of(payload, |delta: &Stamped<CaseDelta>| case(&delta.record, names)),
            Self::Notices => of(payload, |notice| notice_line(notice, names)),
        };
        line.unwrap_or_else(|| {
            let epoch = record.arrival.unwrap_or_default();
            (epoch, plain(&String::from_utf8_lossy(payload)))
        })
    }
}

fn of<T: DeserializeOwned>(payload: &[u8], line: impl Fn(&Stamped<T>) -> String) -> Option<(Millis, String)> {
    let stamped: Stamped<T> = serde_json::from_slice(payload).ok()?;
    Some((stamped.epoch, line(&stamped)))
}

/// The names of regions.
#[derive(Default)]
pub struct Names(BTreeMap<RegionCode, Text>, Lineage);

impl Names {
    /// Takes a record of `base.region` in.
    pub fn note(&mut self, record: &RawRecord<'_>) {
        let key = record.key.map(String::from_utf8_lossy).unwrap_or_default();
        match record.payload.map(serde_json::from_slice::<Region>) {
            Some(Ok(region)) => {
                self.1.put(region.code, region.parent);
                self.0.insert(region.code, region.name);
            }
            None => {
                if let Ok(code) = key.parse() {
                    self.1.remove(code);
                    self.0.remove(&code);
                }
            }
            Some(Err(_)) => {}
        }
    }

    /// Whether a region is equal to the other or lies within it.
    pub fn within(&self, region: RegionCode, other: RegionCode) -> bool {
        self.1.above(region).within(region, other)
    }

    /// The regions that have a row, with their names.
    pub fn each(&self) -> impl Iterator<Item = (RegionCode, &Text)> {
        self.0.iter().map(|(region, name)| (*region, name))
    }

    /// Whether a row is of that region, or of one within it.
    pub fn has(&self, region: RegionCode) -> bool {
        self.0.keys().any(|known| self.within(*known, region))
    }

    /// The regions that are called so: by their name, or as lines show them, with the names above.
    pub fn named(&self, text: &str) -> Vec<RegionCode> {
        let text = text.trim();
        let named = self.each().filter(|(_, name)| !name.is_empty());
        let called = named.filter(|(region, name)| ***name == *text || self.of(*region) == text);
        called.map(|(region, _)| region).collect()
    }

    /// The names below the city, from the county down; the code where the region itself has none.
    pub fn of(&self, region: RegionCode) -> String {
        let named = |region: &RegionCode| self.0.get(region).filter(|name| !name.is_empty());
        let above = self.1.above(region);
        let mut path: Vec<&str> = above
            .chain(region)
            .filter(|part| *part == region || part.tier().is_none_or(|tier| tier > Tier::City))
            .filter_map(|part| named(&part).map(|name| &**name))
            .collect();
        path.reverse();
        let mut text = path.join(" ");
        if named(&region).is_none() {
            let gap = if text.is_empty() { "" } else { " " };
            let _ = write!(text, "{gap}{region}");
        }
        text
    }
}

/// What matters less.
pub const DIM: Style = Style::new().dimmed();

fn colour(level: Level) -> Style {
    match level {
        Level::None => Style::new(),
        Level::Blue => AnsiColor::Blue.on_default().bold(),
        Level::Yellow => AnsiColor::Yellow.on_default().bold(),
        // Of the sixteen colours that every terminal has none is orange.
        Level::Orange => AnsiColor::Magenta.on_default().bold(),
        Level::Red => AnsiColor::Red.on_default().bold(),
    }
}

/// A level in its colour.
pub fn coloured(level: Level) -> String {
    let style = colour(level);
    format!("{style}{level}{style:#}")
}

/// The same, as wide as the longest.
pub fn level(level: Level) -> String {
    let style = colour(level);
    format!("{style}{level:<6}{style:#}")
}

/// The name that something has on the topics.
pub fn name(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().replace('_', " ")
}

/// What others wrote: an escape sequence in it would be the terminal's to obey.
pub fn plain(text: &str) -> String {
    escape::line(text).into_owned()
}

fn warning(delta: &Stamped<WarningDelta>, names: &Names) -> String {
    let delta = &delta.record;
    let shown = if delta.to == Level::None { delta.from } else { delta.to };
    let from = match delta.kind {
        DeltaKind::Escalated | DeltaKind::Eased => format!(" from {}", delta.from),
        DeltaKind::Amended if delta.from != delta.to => format!(" from {}", delta.from),
        DeltaKind::Raised
        | DeltaKind::Cleared
        | DeltaKind::Withdrawn
        | DeltaKind::Revised
        | DeltaKind::Recorded
        | DeltaKind::Amended => String::new(),
    };
    // When it began is what these tell: of the others it is what it was, or `at`.
    let since = match delta.kind {
        DeltaKind::Revised | DeltaKind::Recorded | DeltaKind::Amended => format!(", since {}", delta.since),
        DeltaKind::Raised | DeltaKind::Escalated | DeltaKind::Eased | DeltaKind::Cleared | DeltaKind::Withdrawn => {
            String::new()
        }
    };
    let why = &delta.explanation;
    let asset = called(&why.asset_name, &delta.asset);
    let region = why
        .region
        .map_or_else(|| "?".to_owned(), |region| plain(&names.of(region)));
    let condition = plain(&why.condition);
    let features: Vec<String> = why.features.iter().map(feature).collect();
    let rule = called(&why.rule_name, &delta.rule);
    let (at, level, kind, cause) = (delta.at, level(shown), delta.kind.name(), name(delta.cause));
    let features = features.join(", ");
    let id = plain(&delta.id);
    let because = if condition.is_empty() {
        String::new()
    } else {
        let forecast = if why.forecast { ", by forecast" } else { "" };
        format!("  {condition} ({features}){forecast}")
    };
    format!(
        "{DIM}{at}{DIM:#}  {level}  {kind}{from}{since}  {rule}  {asset}  {region}{because}  {cause}  {DIM}{id}{DIM:#}"
    )
}

/// What has a name, by that and by its identifier.
pub fn called(name: &str, id: &str) -> String {
    match name {
        "" => plain(id),
        name => format!("{} ({})", plain(name), plain(id)),
    }
}

/// A warning that is over: when it began and ended, how high it was.
fn past(row: &PastWarning, names: &Names) -> String {
    let (rule, asset, region) = (plain(&row.rule), plain(&row.asset), plain(&names.of(row.region)));
    let told = if row.told { "told" } else { "not told" };
    let (since, until, level, state, id) = (row.since, row.until, level(row.peak), row.state.name(), plain(&row.id));
    format!("{DIM}{since} to {until}{DIM:#}  {level}  {state}  {rule}  {asset}  {region}  {told}  {DIM}{id}{DIM:#}")
}

/// A row that went: the warning is open again, or forgotten.
fn no_longer(record: &RawRecord<'_>) -> (Millis, String) {
    let epoch = record.arrival.unwrap_or_default();
    let id = record.key.map(String::from_utf8_lossy).unwrap_or_default();
    (
        epoch,
        format!(
            "{DIM}{epoch}{DIM:#}  open again, or no longer remembered  {DIM}{}{DIM:#}",
            plain(&id)
        ),
    )
}

fn feature(feature: &FeatureValue) -> String {
    match feature.value {
        Some(value) => format!("{} = {value}", plain(&feature.feature)),
        None => format!("{} unknown", plain(&feature.feature)),
    }
}

/// What happened to a case.
pub fn case(delta: &CaseDelta, names: &Names) -> String {
    let event = &delta.event;
    let mut what = if delta.retracted {
        "taken back: ".to_owned()
    } else {
        String::new()
    };
    what.push_str(&match event.kind {
        CaseEventKind::Step => name(event.step),
        kind => name(kind),
    });
    if let Some(by) = &event.by {
        what.push_str(&of_action(by, event.kind));
    }
    if let Some(escalation) = &event.escalation {
        what.push_str(&of_escalation(escalation));
    }
    if let Some(refusal) = event.refusal {
        let _ = write!(what, ": {}", name(refusal));
        if refusal != Refusal::UnknownCase {
            let _ = write!(what, " (allowed: {})", allowed(event).join(", "));
        }
    }
    let step = if event.step == CaseStep::Issued && event.kind == CaseEventKind::Issued {
        String::new()
    } else {
        format!("  {DIM}at {}{DIM:#}", name(event.step))
    };
    let region = delta
        .region
        .map_or_else(|| "?".to_owned(), |region| plain(&names.of(region)));
    let (at, level, rule, cause, id) = (
        event.at,
        level(event.level),
        plain(&delta.rule),
        name(delta.cause),
        plain(&delta.case),
    );
    format!("{DIM}{at}{DIM:#}  {level}  {what}{step}  {rule}  {region}  {cause}  {DIM}{id}{DIM:#}")
}

/// What would have been allowed in the place of what was refused. Where that is the same verb again, which was done already, it says for whom.
pub fn allowed(event: &CaseEvent) -> Vec<String> {
    let done = event.by.as_ref().map(|by| by.verb);
    let done = done.filter(|_| event.refusal == Some(Refusal::AlreadyDone));
    let verbs = event.allowed.iter().map(|verb| {
        let whose = match verb {
            Verb::Acknowledge => " (for a role or unit that has not yet)",
            Verb::Report => " (of a task that is open)",
            _ => "",
        };
        let whose = if done == Some(*verb) { whose } else { "" };
        format!("{}{whose}", verb.name())
    });
    verbs.collect()
}

fn of_action(by: &By, kind: CaseEventKind) -> String {
    let mut text = String::new();
    if kind != CaseEventKind::Step {
        let _ = write!(text, ": {}", by.verb.name());
    }
    let _ = write!(text, " by {}", plain(&by.actor));
    let place: Vec<String> = [Some(&*by.role), by.unit.as_deref()]
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .map(plain)
        .collect();
    if !place.is_empty() {
        let _ = write!(text, " ({})", place.join(", "));
    }
    if let Some(about) = &by.about {
        let _ = write!(text, " [{}]", plain(about));
    }
    if !by.text.is_empty() {
        let _ = write!(text, " “{}”", plain(&by.text));
    }
    text
}

fn of_escalation(escalation: &Escalation) -> String {
    let due = match (&escalation.task, escalation.step) {
        (Some(task), _) => format!(", task {} not reported", plain(task)),
        (None, Some(step)) => format!(", not {} in time", name(step)),
        (None, None) => String::new(),
    };
    let units = match (&escalation.unit, &escalation.to) {
        (Some(from), Some(to)) => format!(" from {} to {}", plain(from), plain(to)),
        (Some(from), None) => format!(" from {}, which has no parent unit", plain(from)),
        (None, Some(to)) => format!(" to {}", plain(to)),
        (None, None) => ": no unit is responsible, so nobody is told".to_owned(),
    };
    format!("{units}{due}")
}

fn notice_line(notice: &Stamped<Notice>, names: &Names) -> String {
    let (epoch, notice) = (notice.epoch, &notice.record);
    let mut to = format!(
        "{} ({}, {})",
        plain(&notice.user),
        plain(&notice.role),
        plain(&notice.unit)
    );
    if !notice.channel.is_empty() {
        let _ = write!(to, " by {}", plain(&notice.channel));
    }
    if let Some(due) = notice.due {
        let _ = write!(to, ", due {due}");
    }
    let asset = notice
        .asset
        .as_deref()
        .map_or_else(String::new, |asset| format!("  {}", plain(asset)));
    let number = notice.reminder.map(|reminder| format!(" {}", reminder.number));
    let event = format!("{}{}", notice.event.name(), number.unwrap_or_default());
    let (level, rule) = (level(notice.level), plain(&notice.rule));
    let (region, case) = (plain(&names.of(notice.region)), plain(&notice.case));
    format!("{DIM}{epoch}{DIM:#}  {level}  {event} to {to}  {rule}{asset}  {region}  {DIM}{case}{DIM:#}")
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use serde_json::{Value, json};

    use super::*;

    fn record<'a>(topic: Topic, key: &'a str, payload: Option<&'a [u8]>) -> RawRecord<'a> {
        RawRecord {
            topic,
            partition: 0,
            offset: 0,
            arrival: Some(Millis(1)),
            exercise: false,
            key: Some(key.as_bytes()),
            payload,
        }
    }

    fn names() -> Names {
        let mut names = Names::default();
        for (code, name) in [
            ("3309", "舟山市"),
            ("330902", "定海区"),
            ("330902001", "昌国街道"),
            ("330903", "gone"),
        ] {
            let row = json!({"code": code, "name": name}).to_string();
            names.note(&record(Topic::BASE_REGION, code, Some(row.as_bytes())));
        }
        names.note(&record(Topic::BASE_REGION, "330903", None));
        names
    }

    #[test]
    fn a_region_is_found_by_its_name_and_by_what_lies_within_it() {
        let names = names();
        let found = |text: &str| names.named(text).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found("定海区"), ["330902"]);
        assert_eq!(found("定海区 昌国街道"), ["330902001"]);
        assert_eq!(found(" 昌国街道 "), ["330902001"]);
        assert_eq!(found("gone"), [""; 0]);
        let has = |code: &str| names.has(code.parse().unwrap());
        assert!(has("33") && has("3309") && has("330902001"));
        assert!(!has("330903") && !has("330902001003") && !has("zzz"));
    }

    fn line(kind: Kind, payload: &Value) -> String {
        let text = payload.to_string();
        kind.line(&record(kind.topic(), "k", Some(text.as_bytes())), &names()).1
    }

    fn plain_line(kind: Kind, payload: &Value) -> String {
        strip_str(&line(kind, payload)).to_string()
    }

    fn delta(kind: &str, from: &str, to: &str) -> Value {
        json!({
            "id": "f630", "kind": kind, "cause": "late_data", "rule": "rain", "asset": "rain-18", "since": 0, "at": 1627162800000_i64,
            "from": from, "to": to, "epoch": 1627162800020_i64,
            "explanation": {
                "rule_version": 2, "condition": "sum 6h >= 50", "datastream": "rain-18/rainfall", "asset_name": "雨量站 18",
                "category": "rain_gauge", "inherent_level": 2, "region": "330902001003",
                "features": [{"feature": "sum 6h", "value": 52.5, "first": null, "last": null}],
            },
        })
    }

    #[test]
    fn warnings_as_people_see_them() {
        assert_eq!(
            plain_line(Kind::Warnings, &delta("escalated", "yellow", "orange")),
            "2021-07-24T21:40:00.000Z  orange  escalated from yellow  rain  雨量站 18 (rain-18)  定海区 昌国街道 330902001003  \
             sum 6h >= 50 (sum 6h = 52.5)  late data  f630"
        );
        let mut expected = delta("raised", "none", "red");
        expected["explanation"]["forecast"] = json!(true);
        let expected = plain_line(Kind::Warnings, &expected);
        assert!(
            expected.contains("(sum 6h = 52.5), by forecast  late data"),
            "{expected}"
        );
        let amended = plain_line(Kind::Warnings, &delta("amended", "red", "red"));
        assert!(
            amended.contains("red     amended, since 1970-01-01T00:00:00.000Z  rain"),
            "{amended}"
        );
        let withdrawn = plain_line(Kind::Warnings, &delta("withdrawn", "red", "none"));
        assert!(
            withdrawn.starts_with("2021-07-24T21:40:00.000Z  red     withdrawn  rain"),
            "{withdrawn}"
        );
        let red = line(Kind::Warnings, &delta("raised", "none", "red"));
        assert!(red.contains("\u{1b}[1m\u{1b}[31mred   \u{1b}[0m"), "{red:?}");
    }

    fn event(kind: &str, more: &Value) -> Value {
        let mut event = json!({
            "at": 1627162800000_i64, "kind": kind, "step": "acknowledged", "level": "red", "by": null, "escalation": null,
            "refusal": null, "allowed": [],
        });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({
            "case": "f630", "retracted": false, "cause": "manual", "rule": "rain", "domain": "natural_hazard", "region": "330902",
            "event": event, "epoch": 1627162800020_i64,
        })
    }

    #[test]
    fn cases_as_people_see_them() {
        let by = json!({
            "action": "a1", "verb": "acknowledge", "actor": "王\u{1b}[31m\n芳", "role": "duty", "unit": "330902", "about": null,
            "text": "去看",
        });
        assert_eq!(
            plain_line(Kind::Cases, &event("step", &json!({ "by": by }))),
            "2021-07-24T21:40:00.000Z  red     acknowledged by 王\\u001b[31m\\n芳 (duty, 330902) “去看”  at acknowledged  rain  定海区  manual  f630"
        );
        let refused = json!({"by": by, "refusal": "out_of_order", "allowed": ["dispatch", "comment"]});
        let refused = plain_line(Kind::Cases, &event("refused", &refused));
        assert!(
            refused.contains("refused: acknowledge by")
                && refused.contains(": out of order (allowed: dispatch, comment)"),
            "{refused}"
        );
        let escalation = json!({"escalation": {
            "step": "acknowledged", "unit": "330902", "role": "duty", "task": null, "to": "3309", "at": 0,
        }});
        let mut escalated = event("escalated", &escalation);
        escalated["retracted"] = true.into();
        let escalated = plain_line(Kind::Cases, &escalated);
        let expected = "red     taken back: escalated from 330902 to 3309, not acknowledged in time  at acknowledged";
        assert!(escalated.contains(expected), "{escalated}");
        // Duties may be missing, and a unit at the top has no parent.
        for (unit, to, expected) in [
            (
                Some("330902"),
                None,
                "escalated from 330902, which has no parent unit, not acknowledged in time",
            ),
            (None, Some("3309"), "escalated to 3309, not acknowledged in time"),
            (
                None,
                None,
                "escalated: no unit is responsible, so nobody is told, not acknowledged in time",
            ),
        ] {
            let escalation = json!({"escalation": {
                "step": "acknowledged", "unit": unit, "role": null, "task": null, "to": to, "at": 0,
            }});
            let said = plain_line(Kind::Cases, &event("escalated", &escalation));
            assert!(said.contains(expected), "{said}");
        }
    }

    #[test]
    fn what_was_done_already_is_allowed_for_others_only() {
        let by = |verb: &str| json!({"action": "a1", "verb": verb, "actor": "li", "role": "duty", "unit": null, "about": null, "text": ""});
        let said = |verb: &str, refusal: &str| {
            let refused = json!({"by": by(verb), "refusal": refusal, "allowed": ["acknowledge", "report", "comment"]});
            plain_line(Kind::Cases, &event("refused", &refused))
        };
        let acknowledged = said("acknowledge", "already_done");
        assert!(
            acknowledged.contains("(allowed: acknowledge (for a role or unit that has not yet), report, comment)"),
            "{acknowledged}"
        );
        let reported = said("report", "already_done");
        assert!(
            reported.contains("(allowed: acknowledge, report (of a task that is open), comment)"),
            "{reported}"
        );
        let early = said("acknowledge", "out_of_order");
        assert!(early.contains("(allowed: acknowledge, report, comment)"), "{early}");
    }

    #[test]
    fn notices_as_people_see_them() {
        let notice = json!({
            "id": "n", "case": "f630", "event": "issued", "user": "wang", "channel": "sms", "unit": "330902", "role": "duty",
            "level": "blue", "due": 1627162800000_i64, "rule": "rain", "asset": "rain-18", "domain": "natural_hazard",
            "region": "330903001001", "since": 0, "epoch": 1627162800020_i64,
        });
        assert_eq!(
            plain_line(Kind::Notices, &notice),
            "2021-07-24T21:40:00.020Z  blue    issued to wang (duty, 330902) by sms, due 2021-07-24T21:40:00.000Z  rain  rain-18  \
             330903001001  f630"
        );
    }

    #[test]
    fn a_reminder_says_which_it_is() {
        let notice = json!({
            "id": "n", "case": "f630", "event": "reminder", "user": "wang", "channel": "", "unit": "330902", "role": "duty",
            "reminder": {"number": 2, "at": 1627162800000_i64}, "level": "red", "rule": "rain", "domain": "natural_hazard",
            "region": "330903001001", "since": 0, "epoch": 1627162800020_i64,
        });
        assert_eq!(
            plain_line(Kind::Notices, &notice),
            "2021-07-24T21:40:00.020Z  red     reminder 2 to wang (duty, 330902)  rain  330903001001  f630"
        );
    }

    #[test]
    fn what_is_no_event_is_shown_as_it_stands() {
        assert_eq!(plain_line(Kind::Notices, &json!({"a": 1})), r#"{"a":1}"#);
    }
}
