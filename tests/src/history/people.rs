//! The people of a random history: units, users, duties, plans, incidents, and what is done about cases. Which cases there
//! are depends on what the rules raise, so the maker lets the oracle say.

use std::collections::BTreeMap;

use riskflow::runtime::graph::Semantics;
use riskflow::runtime::replay::EpochInput;
use riskflow_config::{
    Capabilities, CaseSettings, FlappingSettings, InputRecord, ScoreCuts, TimeSettings, UnknownSettings,
    UnmatchedSettings,
};
use riskflow_model::action::{Action, Verb};
use riskflow_model::intake::Incident;
use riskflow_model::output::{CaseState, CaseStep, Origin};
use riskflow_model::responsibility::{Duty, Plan, Unit, User};
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, Id, Row, capability};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Draw, Maker, REGIONS};
use crate::oracle::{Expected, Oracle};

const UNITS: u64 = 4;
const USERS: u64 = 5;
const DUTIES: u64 = 5;
const PLANS: u64 = 3;
const INCIDENTS: u64 = 3;
const ROLES: [&str; 2] = ["duty", "chief"];
const DOMAINS: [&str; 2] = ["work_safety", "natural_hazard"];

/// Settings without gauges where a history has none: each epoch would pass their operators all the same, which costs time.
#[must_use]
pub fn for_history(semantics: &Semantics, history: &[EpochInput]) -> Semantics {
    let mut records = history.iter().flat_map(|epoch| &epoch.records);
    let mut semantics = semantics.clone();
    if !records.any(|(origin, _)| origin.topic == Topic::IN_GAUGE.id()) {
        semantics.capabilities = Capabilities::without([capability::GAUGES]);
    }
    semantics
}

/// Short horizons and deadlines, so that short histories cross all of them.
#[must_use]
pub fn semantics() -> Semantics {
    let mut deadlines = [[[0; CaseStep::ALL.len()]; 4]; 4];
    for (number, domain) in deadlines.iter_mut().enumerate() {
        // Called, acknowledged, dispatched, in progress, reported, verified, archived; blue is not called in one domain.
        *domain = [
            [0, [12_000, 0][number % 2], 30_000, 25_000, 0, 50_000, 30_000, 40_000],
            [0, 10_000, 25_000, 20_000, 30_000, 45_000, 25_000, 30_000],
            [0, 8_000, 20_000, 15_000, 20_000, 40_000, 25_000, 30_000],
            [0, 5_000, 15_000, 10_000, 20_000, 30_000, 20_000, 0],
        ];
    }
    Semantics {
        time: TimeSettings {
            horizon: Duration(60_000),
            max_future: Duration(10_000),
            late_after: Duration(20_000),
            retain: Duration(100_000),
            forecast_age: Duration(140_000),
            event_age: Duration(super::EVENTS.age),
            event_ahead: Duration(super::EVENTS.ahead),
        },
        unknown: UnknownSettings {
            hold: Duration(30_000),
            max_observations: 1_000_000,
            max_bytes: 1 << 30,
        },
        unmatched: UnmatchedSettings {
            after: Duration(40_000),
        },
        cuts: ScoreCuts::default(),
        case: CaseSettings {
            horizon: Duration(60_000),
            retain: Duration(90_000),
            flapping: FlappingSettings {
                join: Duration(15_000),
                within: Duration(70_000),
                calm: Duration(20_000),
            },
            deadlines: deadlines.map(|domain| domain.map(|level| level.map(Duration))),
            // Blue of one domain, and red of the other, go unreminded.
            remind: [0, 1, 2, 3]
                .map(|number| [[16_000, 0][number % 2], 11_000, 9_000, [0, 7_000][number % 2]].map(Duration)),
        },
        // An hour begins 3 minutes and 20 seconds after the start.
        zone: jiff::tz::TimeZone::fixed(jiff::tz::Offset::from_seconds(8 * 3_600 + 1_800).expect("an offset")),
        days: super::calendar::days_off(),
        capabilities: Capabilities::default(),
    }
}

/// What the maker knows of people and cases.
pub(super) struct People {
    oracle: Oracle,
    cases: BTreeMap<Id<CaseState>, CaseState>,
    /// Every case that ever was.
    ever: Vec<Id<CaseState>>,
    versions: [u32; INCIDENTS as usize],
    /// Identifiers of actions, with their case.
    sent: Vec<(Id<Action>, Id<CaseState>)>,
}

impl People {
    pub(super) fn new() -> Self {
        Self {
            oracle: Oracle::new(semantics()),
            cases: BTreeMap::new(),
            ever: Vec::new(),
            versions: [0; INCIDENTS as usize],
            sent: Vec::new(),
        }
    }

    /// Learns which cases there are after an epoch, and all else that there is to say of it.
    pub(super) fn learn(&mut self, input: &EpochInput) -> Expected {
        let expected = self.oracle.step(input);
        self.cases.clone_from(&expected.cases);
        for id in self.cases.keys() {
            if !self.ever.contains(id) {
                self.ever.push(id.clone());
            }
        }
        expected
    }
}

type Records = Vec<(Origin, InputRecord)>;

impl Maker {
    /// The tables of people before anything happens.
    pub(super) fn people_begin(&mut self, now: i64, records: &mut Records) {
        for number in 0..UNITS {
            records.push(self.unit(number));
        }
        for number in 0..USERS {
            records.push(self.user(number, now));
        }
        for number in 0..DUTIES {
            if !self.draw.once_in(4) {
                records.push(self.duty(number, now));
            }
        }
        for number in 0..PLANS {
            if !self.draw.once_in(3) {
                records.push(self.plan(number));
            }
        }
    }

    /// What people change and do in an epoch.
    pub(super) fn people_epoch(&mut self, now: i64, records: &mut Records) {
        while self.draw.once_in(4) {
            let record = self.people_change(now);
            records.push(record);
        }
        if self.draw.once_in(8) {
            let record = self.incident(now);
            records.push(record);
        }
        while !self.draw.once_in(3) {
            let action = self.action(now);
            let partition = self.draw.below(super::PARTITIONS);
            let origin = self.origin(Topic::IN_ACTION, partition);
            records.push((origin, InputRecord::Action(Box::new(action))));
        }
    }

    fn people_change(&mut self, now: i64) -> (Origin, InputRecord) {
        let (unit, user) = (self.draw.below(UNITS), self.draw.below(USERS));
        let (duty, plan) = (self.draw.below(DUTIES), self.draw.below(PLANS));
        match self.draw.below(14) {
            0 | 1 => self.unit(unit),
            2..=4 => self.user(user, now),
            5..=8 => self.duty(duty, now),
            9 | 10 => self.plan(plan),
            11 => self.row(Topic::BASE_UNIT, &format!("unit-{unit}"), None),
            12 => self.row(Topic::BASE_DUTY, &format!("duty-{duty}"), None),
            _ if self.draw.once_in(2) => self.row(Topic::BASE_USER, &format!("user-{user}"), None),
            _ => self.row(Topic::BASE_PLAN, &format!("plan-{plan}"), None),
        }
    }

    fn unit(&mut self, number: u64) -> (Origin, InputRecord) {
        let id = format!("unit-{number}");
        let mut row = json!({ "id": id, "region": self.draw.pick(&REGIONS) });
        if !self.draw.once_in(4) {
            row["parent"] = json!(format!("unit-{}", (number + 1 + self.draw.below(UNITS - 1)) % UNITS));
        }
        self.row(Topic::BASE_UNIT, &id, Some(Row::new(of::<Unit>(row))))
    }

    /// Borders of validity, some of which the clock passes.
    fn span(&mut self, now: i64, row: &mut Value) {
        if self.draw.once_in(3) {
            row["valid_from"] = json!(now - 60_000 + self.draw.below(180_000) as i64);
        }
        if self.draw.once_in(3) {
            row["valid_to"] = json!(now + self.draw.below(180_000) as i64);
        }
    }

    fn user(&mut self, number: u64, now: i64) -> (Origin, InputRecord) {
        let id = format!("user-{number}");
        let mut posts = Vec::new();
        for _ in 0..self.draw.below(4) {
            let unit = format!("unit-{}", self.draw.below(UNITS));
            let mut post = json!({ "unit": unit, "role": self.draw.pick(&ROLES) });
            self.span(now, &mut post);
            posts.push(post);
        }
        let row = json!({ "id": id, "channel": format!("sms:{}", self.draw.below(3)), "posts": posts });
        self.row(Topic::BASE_USER, &id, Some(Row::new(of::<User>(row))))
    }

    fn duty(&mut self, number: u64, now: i64) -> (Origin, InputRecord) {
        let id = format!("duty-{number}");
        let mut row = json!({
            "id": id,
            "region": self.draw.pick(&REGIONS[..5]),
            "unit": format!("unit-{}", self.draw.below(UNITS)),
            "role": self.draw.pick(&ROLES),
            "level": self.draw.pick(&["blue", "blue", "yellow", "orange"]),
        });
        match self.draw.below(8) {
            0 => row["domain"] = json!(self.draw.pick(&DOMAINS)),
            1 => row["rules"] = json!(["rule-1", "leak"]),
            2 => row["asset"] = json!(format!("asset-{}", self.draw.below(4))),
            _ => {}
        }
        self.span(now, &mut row);
        if self.draw.once_in(2) {
            let mut roster = Vec::new();
            for _ in 0..=self.draw.below(3) {
                // The last has no row.
                let mut shift = json!({ "user": format!("user-{}", self.draw.below(USERS + 1)) });
                self.span(now, &mut shift);
                roster.push(shift);
            }
            row["roster"] = json!(roster);
        }
        self.row(Topic::BASE_DUTY, &id, Some(Row::new(of::<Duty>(row))))
    }

    fn plan(&mut self, number: u64) -> (Origin, InputRecord) {
        let id = format!("plan-{number}");
        // The order in the plan is not that of the identifiers.
        let mut names = vec!["b", "a", "c"];
        names.truncate(1 + self.draw.below(3) as usize);
        let mut tasks = Vec::new();
        for name in names {
            let mut task =
                json!({ "id": name, "name": format!("{name} {}", self.draw.below(3)), "role": self.draw.pick(&ROLES) });
            if self.draw.once_in(2) {
                task["limit_minutes"] = json!(1 + self.draw.below(2));
            }
            tasks.push(task);
        }
        let mut row = json!({
            "id": id,
            "level": self.draw.pick(&["blue", "yellow", "orange", "red"]),
            "tasks": tasks,
        });
        match self.draw.below(6) {
            0 => row["domain"] = json!(self.draw.pick(&DOMAINS)),
            1 => row["rules"] = json!(["leak", "rule-0"]),
            2 => row["region"] = json!(self.draw.pick(&REGIONS)),
            _ => {}
        }
        self.row(Topic::BASE_PLAN, &id, Some(Row::new(of::<Plan>(row))))
    }

    fn incident(&mut self, now: i64) -> (Origin, InputRecord) {
        let number = self.draw.below(INCIDENTS);
        let id = format!("incident-{number}");
        if self.draw.once_in(15) {
            return self.row(Topic::IN_INCIDENT, &id, None);
        }
        let version = &mut self.people.versions[number as usize];
        *version += 1;
        // Some come after a newer one.
        let version = version.saturating_sub(2 * u32::from(self.draw.once_in(8)));
        let mut row = json!({
            "id": id,
            "version": version,
            "hazard": self.draw.pick(&["leak", "fire"]),
            "title": format!("title {}", self.draw.below(2)),
            "level": self.draw.pick(&["blue", "yellow", "orange", "red"]),
            "domain": self.draw.pick(&DOMAINS),
            "region": self.draw.pick(&REGIONS),
            "since": now - self.draw.below(100_000) as i64,
            "state": self.draw.pick(&["open", "open", "open", "ended", "ended", "withdrawn"]),
        });
        if self.draw.once_in(3) {
            row["asset"] = json!(format!("asset-{}", self.draw.below(4)));
        }
        self.row(Topic::IN_INCIDENT, &id, Some(Row::new(of::<Incident>(row))))
    }

    fn action(&mut self, now: i64) -> Action {
        let present: Vec<&CaseState> = self.people.cases.values().collect();
        let case = match self.draw.below(12) {
            0 if !self.people.ever.is_empty() => self.draw.pick(&self.people.ever).clone(),
            1 => "nobody-knows".into(),
            _ if present.is_empty() => "incident-0".into(),
            _ => self.draw.pick(&present).id.clone(),
        };
        let state = self.people.cases.get(&case).cloned();
        let verb = match state.as_ref().filter(|_| !self.draw.once_in(4)) {
            Some(state) => sensible(state, &mut self.draw),
            None => *self.draw.pick(&Verb::ALL),
        };
        let id = if self.draw.once_in(12) && !self.people.sent.is_empty() {
            let of_case = self.people.sent.iter().rev().find(|(_, of)| *of == case);
            of_case.unwrap_or(&self.people.sent[0]).0.clone()
        } else {
            format!("action-{}", self.people.sent.len()).into()
        };
        self.people.sent.push((id.clone(), case.clone()));
        let mut row = json!({
            "id": id, "warning": case, "action": verb.name(), "actor": format!("user-{}", self.draw.below(USERS)),
            "time": self.action_time(now), "text": format!("text {}", self.draw.below(4)),
            "override": self.draw.once_in(8),
        });
        self.who(state.as_ref(), &mut row);
        self.about(state.as_ref(), verb, now, &mut row);
        of(row)
    }

    fn action_time(&mut self, now: i64) -> i64 {
        let age = match self.draw.below(24) {
            0 => 60_000,
            1 => 60_001,
            2 => -10_000,
            3 => -10_001,
            4 => -(self.draw.below(9_000) as i64),
            5 | 6 => self.draw.below(60_000) as i64,
            7..=9 => 1_000 * self.draw.below(20) as i64,
            _ => 500 * self.draw.below(8) as i64,
        };
        now - age
    }

    /// Role and unit: mostly of someone who is asked.
    fn who(&mut self, state: Option<&CaseState>, row: &mut Value) {
        row["role"] = json!(self.draw.pick(&ROLES));
        if self.draw.once_in(3) {
            row["unit"] = json!(format!("unit-{}", self.draw.below(UNITS)));
        }
        let Some(state) = state.filter(|_| !self.draw.once_in(4)) else {
            return;
        };
        let parents: Vec<&Id<Unit>> = state
            .escalations
            .iter()
            .filter_map(|lifted| lifted.to.as_ref())
            .collect();
        let pending: Vec<_> = state
            .obligations
            .iter()
            .filter(|one| one.acknowledged.is_none())
            .collect();
        if !pending.is_empty() && !self.draw.once_in(4) {
            let one = self.draw.pick(&pending);
            row["role"] = json!(one.role);
            row["unit"] = json!(one.unit);
        } else if !parents.is_empty() {
            row["unit"] = json!(self.draw.pick(&parents));
        }
    }

    /// What the verb is about.
    fn about(&mut self, state: Option<&CaseState>, verb: Verb, now: i64, row: &mut Value) {
        match verb {
            Verb::Report => {
                let tasks = state.map(|state| state.tasks.clone()).unwrap_or_default();
                let open: Vec<_> = tasks.iter().filter(|task| task.reported.is_none()).collect();
                if self.draw.once_in(8) {
                    row["task"] = json!("a");
                } else if !open.is_empty() && !self.draw.once_in(8) {
                    let task = self.draw.pick(&open);
                    let full = format!("{}/{}", task.plan, task.task);
                    row["task"] = if self.draw.once_in(2) {
                        json!(full)
                    } else {
                        json!(task.task)
                    };
                }
            }
            Verb::Assign => row["assignee"] = json!(format!("user-{}", self.draw.below(USERS))),
            Verb::Attach => row["evidence"] = json!(format!("file:{}", self.draw.below(9))),
            Verb::Suppress => {
                // Often sooner than it was to end.
                let most = match state.and_then(|state| state.suppressed_until) {
                    Some(until) if until.0 > now && !self.draw.once_in(3) => (until.0 - now) / 1_000 + 6,
                    _ => 40,
                };
                row["until"] = json!(now - 5_000 + 1_000 * self.draw.below(most as u64) as i64);
            }
            _ => {}
        }
    }
}

/// What comes next in a case, or what may come beside.
fn sensible(state: &CaseState, draw: &mut Draw) -> Verb {
    if draw.once_in(6) {
        let beside = [
            Verb::Acknowledge,
            Verb::Escalate,
            Verb::Assign,
            Verb::Comment,
            Verb::Attach,
            Verb::Suppress,
        ];
        return *draw.pick(&beside);
    }
    if state.suppressed_until.is_some() && draw.once_in(4) {
        return Verb::Suppress;
    }
    match state.step {
        CaseStep::Issued if draw.once_in(2) => Verb::Call,
        CaseStep::Issued | CaseStep::Called => Verb::Acknowledge,
        CaseStep::Acknowledged => Verb::Dispatch,
        CaseStep::Dispatched => Verb::Progress,
        CaseStep::InProgress => Verb::Report,
        CaseStep::Reported => Verb::Verify,
        CaseStep::Verified | CaseStep::Archived => Verb::Archive,
    }
}

fn of<T: DeserializeOwned>(row: Value) -> T {
    serde_json::from_value(row).expect("a row")
}
