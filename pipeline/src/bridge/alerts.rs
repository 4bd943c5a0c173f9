//! Which alerts stand: one a case and level, as notices and cases say.
//!
//! An alert is what its labels say, so these are as they were when it began, whatever becomes of the asset's row. A case that rises to
//! another level is another alert: the level decides who is called, and Alertmanager calls nobody anew for an alert that it knows. The one
//! of the level before is over at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use riskflow_config::Endpoint;
use riskflow_model::output::{CaseStep, Notice, NoticeEvent};
use riskflow_model::topic::Topic;
use riskflow_model::{Level, Millis};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::feed::Found;

/// So long an alert that is over is posted again, so that an Alertmanager that was started anew knows: as Prometheus does
/// (`resolvedRetention` in its `rules/alerting.go`).
const OVER: i64 = 900_000;

/// So many of those who were told are named.
const NAMED: usize = 20;

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Alert {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    starts: Millis,
    /// When it was over, if it is.
    over: Option<Millis>,
    /// Who was told.
    told: BTreeSet<String>,
    /// Whether an Alertmanager has it as it is.
    posted: bool,
    /// Whether one may ever have had it.
    known: bool,
}

/// All alerts that stand, and those that were over a short time ago.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Alerts {
    /// By case, then by level.
    cases: BTreeMap<String, BTreeMap<Level, Alert>>,
    /// Cases that are archived: nothing more is called for, whatever is read late.
    archived: BTreeSet<String>,
}

impl Alerts {
    /// Notes a record of `out.notice` or `out.case.state`, at this time.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub fn take(&mut self, found: &Found, now: Millis) -> Result<(), String> {
        if found.topic == Topic::NOTICE {
            let payload = found.payload.as_deref().ok_or("it is a tombstone")?;
            let notice: Notice = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
            self.notice(&notice, now);
            return Ok(());
        }
        let Some(payload) = found.payload.as_deref() else {
            self.end(&found.key, now);
            self.archived.remove(&found.key);
            return Ok(());
        };
        let case: Case = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        if case.step == CaseStep::Archived {
            self.end(&found.key, now);
            self.archived.insert(found.key.clone());
        } else {
            self.archived.remove(&found.key);
        }
        Ok(())
    }

    fn notice(&mut self, notice: &Notice, now: Millis) {
        let case = notice.case.to_string();
        match notice.event {
            NoticeEvent::Cleared | NoticeEvent::Withdrawn => self.end(&case, now),
            NoticeEvent::Issued
            | NoticeEvent::Escalated
            | NoticeEvent::Resumed
            | NoticeEvent::Flapping
            | NoticeEvent::Reminder => {
                // What flaps may be calm at the moment: what stands goes on as it is.
                if notice.level == Level::None || self.archived.contains(&case) {
                    return;
                }
                let levels = self.cases.entry(case).or_default();
                for (level, alert) in &mut *levels {
                    if *level != notice.level {
                        alert.end(now);
                    }
                }
                levels.retain(|_, alert| alert.over.is_none() || alert.known);
                let alert = levels.entry(notice.level).or_insert_with(|| Alert::of(notice, now));
                alert.goes_on(notice);
            }
        }
    }

    /// All of a case is over.
    fn end(&mut self, case: &str, now: Millis) {
        let Some(levels) = self.cases.get_mut(case) else {
            return;
        };
        levels.values_mut().for_each(|alert| alert.end(now));
        // Nobody need hear of the end of what nobody heard of.
        levels.retain(|_, alert| alert.known);
        if levels.is_empty() {
            self.cases.remove(case);
        }
    }

    fn each(&self) -> impl Iterator<Item = &Alert> {
        self.cases.values().flat_map(BTreeMap::values)
    }

    /// How many stand.
    pub fn standing(&self) -> usize {
        self.each().filter(|alert| alert.over.is_none()).count()
    }

    /// How many no Alertmanager has as they are.
    pub fn waiting(&self) -> usize {
        self.each().filter(|alert| !alert.posted).count()
    }

    /// What is due, with its case: all, or what no Alertmanager has as it is.
    fn due(&self, all: bool) -> impl Iterator<Item = (&str, &Alert)> {
        self.cases.iter().flat_map(move |(case, levels)| {
            let alerts = levels.values().filter(move |alert| all || !alert.posted);
            alerts.map(move |alert| (case.as_str(), alert))
        })
    }

    /// How many are due.
    pub fn count_due(&self, all: bool) -> usize {
        self.due(all).count()
    }

    /// Those of what is due, as they are posted.
    pub fn to_post(&self, all: bool, which: Range<usize>, posting: &Posting<'_>) -> Vec<Value> {
        let due = self.due(all).skip(which.start).take(which.len());
        due.map(|(case, alert)| alert.to_json(case, posting)).collect()
    }

    /// What is due is about to be posted: from here on its end is told, too. Whether that is new of any: then it must be written down
    /// before, for whoever dies between would not know that somebody has it.
    pub fn announce(&mut self) -> bool {
        let mut is_new = false;
        for alert in self.cases.values_mut().flat_map(BTreeMap::values_mut) {
            is_new |= !alert.known;
            alert.known = true;
        }
        is_new
    }

    /// All that was to be posted is: what was over long ago is forgotten.
    pub fn posted(&mut self, now: Millis) {
        for levels in self.cases.values_mut() {
            for alert in levels.values_mut() {
                alert.posted = true;
            }
            levels.retain(|_, alert| alert.over.is_none_or(|over| now.0 - over.0 < OVER));
        }
        self.cases.retain(|_, levels| !levels.is_empty());
    }
}

/// What is said of alerts whenever they are posted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Posting<'a> {
    /// The time.
    pub now: Millis,
    /// So many milliseconds from now one that stands is over, unless it is posted again before.
    pub hold: i64,
    /// Where cases are shown.
    pub link: Option<&'a Endpoint>,
}

/// What is read of a case.
#[derive(Deserialize)]
struct Case {
    step: CaseStep,
}

/// How urgent Alertmanager's own conventions call a level.
const fn severity(level: Level) -> &'static str {
    match level {
        Level::Red | Level::Orange => "critical",
        Level::Yellow => "warning",
        Level::Blue | Level::None => "info",
    }
}

/// Those that say something.
fn texts<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    let said = pairs.into_iter().filter(|(_, text)| !text.is_empty());
    said.map(|(name, text)| (name.to_owned(), text)).collect()
}

impl Alert {
    fn of(notice: &Notice, now: Millis) -> Self {
        let name = if notice.incident { "RiskIncident" } else { "RiskWarning" };
        let asset = notice.asset.as_ref().map(ToString::to_string);
        Self {
            labels: texts([
                ("alertname", name.to_owned()),
                ("case", notice.case.to_string()),
                ("level", notice.level.to_string()),
                ("severity", severity(notice.level).to_owned()),
                ("rule", notice.rule.to_string()),
                ("asset", asset.unwrap_or_default()),
                ("domain", notice.domain.to_string()),
                ("region", notice.region.to_string()),
            ]),
            annotations: BTreeMap::new(),
            starts: notice.since.min(now),
            over: None,
            told: BTreeSet::new(),
            posted: false,
            known: false,
        }
    }

    /// What the newest notice says of it.
    fn goes_on(&mut self, notice: &Notice) {
        let told = format!("{} ({}, {})", notice.user, notice.role, notice.unit);
        if self.told.len() < NAMED {
            self.told.insert(told);
        }
        let told: Vec<&str> = self.told.iter().map(String::as_str).collect();
        let value = notice
            .value
            .as_ref()
            .map(|value| format!("{} = {value} {}", notice.feature, notice.value_unit));
        let annotations = texts([
            ("summary", notice.text_en.to_string()),
            ("description", notice.text_zh.to_string()),
            ("event", notice.event.name().to_owned()),
            ("rule_name", notice.rule_name.to_string()),
            ("asset_name", notice.asset_name.to_string()),
            ("region_name", notice.region_name.to_string()),
            ("value", value.unwrap_or_default().trim_end().to_owned()),
            ("due", notice.due.map(|due| due.to_string()).unwrap_or_default()),
            ("told", told.join(", ")),
        ]);
        if self.over.take().is_some() || self.annotations != annotations {
            self.annotations = annotations;
            self.posted = false;
        }
    }

    fn end(&mut self, now: Millis) {
        if self.over.is_none() {
            self.over = Some(now.max(self.starts));
            self.posted = false;
        }
    }

    /// As `POST /api/v2/alerts` takes it.
    fn to_json(&self, case: &str, posting: &Posting<'_>) -> Value {
        let ends = self.over.unwrap_or(Millis(posting.now.0 + posting.hold));
        let mut alert = json!({
            "labels": self.labels,
            "annotations": self.annotations,
            "startsAt": self.starts.to_string(),
            "endsAt": ends.to_string(),
        });
        if let Some(link) = posting.link {
            let mut url = link.reveal().clone();
            // A URL by which people reach something has segments.
            if let Ok(mut path) = url.path_segments_mut() {
                path.pop_if_empty().extend(["api", "v1", "cases", case]);
            }
            alert["generatorURL"] = url.to_string().into();
        }
        alert
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    const NOW: Millis = Millis(1_735_689_700_000);
    const HOLD: i64 = 3_600_000;
    const POSTING: Posting<'_> = Posting {
        now: NOW,
        hold: HOLD,
        link: None,
    };

    fn found(topic: Topic, payload: Option<Value>) -> Found {
        Found {
            topic,
            partition: 0,
            offset: 0,
            key: "c".to_owned(),
            payload: payload.map(|payload| payload.to_string().into_bytes()),
        }
    }

    fn notice(event: &str, level: &str, user: &str) -> Found {
        let notice = json!({
            "id": "0a", "case": "c", "event": event, "user": user, "channel": "", "unit": "u", "role": "duty", "level": level, "due": null,
            "rule": "gas", "asset": "tank", "domain": "work_safety", "region": "330902001001", "since": "2025-01-01T00:00:00.000Z",
            "text_en": "Red warning", "feature": "last 10m", "value": 60, "value_unit": "%",
        });
        found(Topic::NOTICE, Some(notice))
    }

    fn step(step: &str) -> Found {
        found(
            Topic::CASE_STATE,
            Some(json!({ "step": step, "of_another_version": 1 })),
        )
    }

    /// Takes them, and gives level and end of what is to be posted then.
    fn post(alerts: &mut Alerts, taken: &[Found]) -> Vec<(String, String)> {
        for found in taken {
            alerts.take(found, NOW).unwrap();
        }
        alerts.announce();
        let told = alerts.to_post(false, 0..9, &POSTING);
        alerts.posted(NOW);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        told.iter()
            .map(|alert| (text(&alert["labels"]["level"]), text(&alert["endsAt"])))
            .collect()
    }

    fn pairs(pairs: &[(&str, Millis)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(level, ends)| ((*level).to_owned(), ends.to_string()))
            .collect()
    }

    const HELD: Millis = Millis(NOW.0 + HOLD);

    #[test]
    fn an_alert_begins_rises_and_ends_with_its_case() {
        let mut alerts = Alerts::default();
        let yellow = notice("issued", "yellow", "li");
        assert_eq!(post(&mut alerts, from_ref(&yellow)), pairs(&[("yellow", HELD)]));
        assert_eq!(post(&mut alerts, &[yellow]), pairs(&[]), "nothing is new");
        // Someone else is told of it: the same alert.
        assert_eq!(
            post(&mut alerts, &[notice("escalated", "yellow", "wang")]),
            pairs(&[("yellow", HELD)])
        );
        assert_eq!(
            post(&mut alerts, &[notice("issued", "red", "li")]),
            pairs(&[("yellow", NOW), ("red", HELD)])
        );
        assert_eq!(alerts.standing(), 1);
        assert_eq!(
            post(&mut alerts, &[notice("cleared", "red", "li")]),
            pairs(&[("red", NOW)])
        );
        assert_eq!(alerts.standing(), 0);
        // The end was none.
        assert_eq!(
            post(&mut alerts, &[notice("resumed", "red", "li")]),
            pairs(&[("red", HELD)])
        );
        assert_eq!(
            post(&mut alerts, &[notice("withdrawn", "none", "li")]),
            pairs(&[("red", NOW)])
        );
        // What is over is posted again for a while, and forgotten.
        assert_eq!(alerts.count_due(true), 2);
        let second = alerts.to_post(true, 1..9, &POSTING);
        assert_eq!((second.len(), &second[0]["labels"]["level"]), (1, &json!("red")));
        alerts.posted(Millis(NOW.0 + OVER));
        assert!(alerts.cases.is_empty());
    }

    #[test]
    fn what_was_over_before_anyone_heard_of_it_is_not_posted() {
        let mut alerts = Alerts::default();
        let history = [
            notice("issued", "yellow", "li"),
            notice("issued", "red", "li"),
            notice("cleared", "red", "li"),
        ];
        assert_eq!(post(&mut alerts, &history), pairs(&[]));
        assert!(alerts.cases.is_empty());
    }

    #[test]
    fn whoever_may_have_heard_of_it_hears_of_its_end() {
        let mut alerts = Alerts::default();
        alerts.take(&notice("issued", "red", "li"), NOW).unwrap();
        assert!(alerts.announce() && !alerts.announce());
        // It was posted or not: nobody lived to know.
        assert_eq!(
            post(&mut alerts, &[notice("cleared", "red", "li")]),
            pairs(&[("red", NOW)])
        );
    }

    #[test]
    fn an_archived_case_and_one_that_is_gone_call_nobody() {
        let mut alerts = Alerts::default();
        let red = notice("issued", "red", "li");
        post(&mut alerts, from_ref(&red));
        assert_eq!(post(&mut alerts, &[step("verified")]), pairs(&[]));
        assert_eq!(post(&mut alerts, &[step("archived")]), pairs(&[("red", NOW)]));
        // Both topics are read side by side.
        assert_eq!(post(&mut alerts, from_ref(&red)), pairs(&[]));
        assert_eq!(post(&mut alerts, &[step("issued"), red]), pairs(&[("red", HELD)]));
        assert_eq!(
            post(&mut alerts, &[found(Topic::CASE_STATE, None)]),
            pairs(&[("red", NOW)])
        );
        assert!(alerts.archived.is_empty());
    }

    #[test]
    fn labels_are_those_of_the_beginning_and_the_link_leads_to_the_case() {
        let mut alerts = Alerts::default();
        post(&mut alerts, &[notice("issued", "red", "li")]);
        let mut moved = notice("reminder", "red", "li");
        let text = String::from_utf8(moved.payload.take().unwrap()).unwrap();
        moved.payload = Some(text.replace("330902001001", "330903001001").into_bytes());
        alerts.take(&moved, NOW).unwrap();
        let text = "[bridge.alertmanager]\nurls = [\"http://a:9093\"]\nlink = \"https://riskflow.example/risk\"";
        let settings = riskflow_config::WrittenSettings::from_toml(text)
            .unwrap()
            .check()
            .unwrap();
        let link = settings.bridge.alertmanager.unwrap().link;
        let link = link.as_ref();
        let told = alerts.to_post(true, 0..9, &Posting { link, ..POSTING });
        assert_eq!(told[0]["labels"]["region"], "330902001001");
        assert_eq!(told[0]["annotations"]["event"], "reminder");
        assert_eq!(told[0]["annotations"]["value"], "last 10m = 60 %");
        assert_eq!(told[0]["generatorURL"], "https://riskflow.example/risk/api/v1/cases/c");
        assert_eq!(
            (&told[0]["labels"]["severity"], told[0]["labels"].get("asset_name")),
            (&json!("critical"), None)
        );
    }
}
