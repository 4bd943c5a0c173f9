//! The people of the chaos run: they change posts and shifts, and act on the cases that they see.

use riskflow_model::action::Verb;
use riskflow_model::output::{CaseState, CaseStep};
use riskflow_model::topic::Topic;
use riskflow_tests::history::Draw;
use serde_json::{Value, json};

use super::place::Place;

const USERS: u64 = 4;
const ROLES: [&str; 2] = ["duty", "chief"];
const UNITS: [&str; 2] = ["town", "county"];

/// What they know.
pub struct People {
    draw: Draw,
    cases: Vec<CaseState>,
    acted: u64,
    versions: u32,
}

impl People {
    pub fn new(seed: u64) -> Self {
        Self {
            draw: Draw::new(seed),
            cases: Vec::new(),
            acted: 0,
            versions: 0,
        }
    }

    /// How many actions were sent.
    pub fn acted(&self) -> u64 {
        self.acted
    }

    pub fn begin(&mut self, place: &dyn Place) {
        let units = [("town", "330902", Some("county")), ("county", "3309", None)];
        let units = units.map(|(id, region, parent)| row(id, json!({ "id": id, "region": region, "parent": parent })));
        place.put(Topic::BASE_UNIT, &units);
        for user in 0..USERS {
            self.user(place, user);
        }
        for duty in 0..3 {
            self.duty(place, duty);
        }
        let tasks = json!([{ "id": "a", "limit_minutes": 1 }, { "id": "b", "role": "duty" }]);
        let plan = json!({ "id": "plan", "rules": ["leak"], "level": "yellow", "tasks": tasks });
        place.put(Topic::BASE_PLAN, &[row("plan", plan)]);
        self.incident(place);
    }

    fn user(&mut self, place: &dyn Place, user: u64) {
        let id = format!("user-{user}");
        let posts = (0..2).map(|_| json!({ "unit": self.draw.pick(&UNITS), "role": self.draw.pick(&ROLES) }));
        let posts: Vec<Value> = posts.collect();
        let user = json!({ "id": id, "channel": format!("sms:{}", self.draw.below(3)), "posts": posts });
        place.put(Topic::BASE_USER, &[row(&id, user)]);
    }

    /// The third has a roster, with a change of shift soon.
    fn duty(&mut self, place: &dyn Place, duty: u64) {
        let id = format!("duty-{duty}");
        let mut value = json!({
            "id": id, "region": self.draw.pick(&["3309", "330902"]), "unit": self.draw.pick(&UNITS),
            "role": self.draw.pick(&ROLES), "level": self.draw.pick(&["blue", "yellow", "red"]),
        });
        if duty == 2 {
            let change = super::now() + self.draw.below(4_000) as i64;
            let users = [0, 1].map(|_| format!("user-{}", self.draw.below(USERS)));
            value["roster"] =
                json!([{ "user": users[0], "valid_to": change }, { "user": users[1], "valid_from": change }]);
        }
        place.put(Topic::BASE_DUTY, &[row(&id, value)]);
    }

    fn incident(&mut self, place: &dyn Place) {
        self.versions += 1;
        let id = format!("incident-{}", self.draw.below(2));
        let incident = json!({
            "id": id, "version": self.versions, "hazard": "leak", "domain": "work_safety", "region": "330902001001",
            "level": self.draw.pick(&["yellow", "red"]), "since": super::now(),
            "state": self.draw.pick(&["open", "open", "ended", "withdrawn"]),
        });
        place.put(Topic::IN_INCIDENT, &[row(&id, incident)]);
    }

    /// Looks at the cases.
    pub fn look(&mut self, place: &dyn Place) {
        let table = super::verdict::table(place, Topic::CASE_STATE, |row: &CaseState| row.id.clone());
        self.cases = table.into_values().collect();
    }

    /// Someone or something changes.
    pub fn change(&mut self, place: &dyn Place) {
        match self.draw.below(4) {
            0 => {
                let user = self.draw.below(USERS);
                self.user(place, user);
            }
            1 | 2 => {
                let duty = self.draw.below(3);
                self.duty(place, duty);
            }
            _ => self.incident(place),
        }
    }

    /// Someone acts, sometimes late, sometimes out of order, sometimes twice.
    pub fn act(&mut self, place: &dyn Place) {
        let unknown = self.cases.is_empty() || self.draw.once_in(12);
        let case = (!unknown).then(|| self.draw.pick(&self.cases).clone());
        let id = case
            .as_ref()
            .map_or_else(|| "incident-0".to_owned(), |case| case.id.to_string());
        let verb = match &case {
            Some(case) if !self.draw.once_in(4) => next(case, &mut self.draw),
            _ => *self.draw.pick(&Verb::ALL),
        };
        let late = if self.draw.once_in(4) {
            self.draw.below(12_000)
        } else {
            0
        };
        let ancient = if self.draw.once_in(40) { 120_000 } else { 0 };
        self.acted += 1;
        let mut action = json!({
            "id": format!("action-{}", self.acted - u64::from(self.draw.once_in(10))), "warning": id,
            "action": verb.name(), "actor": format!("user-{}", self.draw.below(USERS)),
            "role": self.draw.pick(&ROLES), "time": super::now() - late as i64 - ancient, "text": "why",
            "assignee": "user-1", "evidence": "file", "until": super::now() + self.draw.below(3_000) as i64,
        });
        if self.draw.once_in(3) {
            action["unit"] = json!(self.draw.pick(&UNITS));
        }
        let task = case
            .iter()
            .flat_map(|case| &case.tasks)
            .find(|task| task.reported.is_none());
        if let Some(task) = task.filter(|_| verb == Verb::Report) {
            action["task"] = json!(task.task);
        }
        place.put(Topic::IN_ACTION, &[row(&id, action)]);
    }
}

fn row(id: &str, value: Value) -> (String, Option<String>) {
    (id.to_owned(), Some(value.to_string()))
}

/// What comes next in a case as it was when they looked.
fn next(case: &CaseState, draw: &mut Draw) -> Verb {
    let road = [
        Verb::Call,
        Verb::Acknowledge,
        Verb::Dispatch,
        Verb::Progress,
        Verb::Report,
        Verb::Verify,
        Verb::Archive,
    ];
    let ahead = case.step.index().min(CaseStep::Verified.index()) as u64 + draw.below(2);
    road[ahead.min(6) as usize]
}
