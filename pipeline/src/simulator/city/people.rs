//! The city's simulated people: who answers for what, and what duty officers do about the storm's warnings.
//!
//! Every village has a grid officer, every town duty officers in two shifts, every county and the city an officer for what is
//! severe. What they do is drawn by lot: most acknowledge in time, some late, some in time but told late, a few never.

use std::collections::BTreeMap;

use riskflow_model::output::{DeltaKind, WarningDelta, WarningState};
use riskflow_model::topic::Topic;
use riskflow_model::{Id, Level, Millis, RegionCode};
use serde_json::{Value, json};

use super::{City, Draw, HOUR, Record, places};

const MINUTE: i64 = 60_000;
const DUTY: &str = "duty_officer";
const GRID: &str = "grid_officer";

/// Units, users and duties; all arrive before the storm.
pub fn base(city: &City, arrival: Millis) -> impl Iterator<Item = Record> + '_ {
    let regions = places::regions();
    let mut records = Vec::new();
    // The province answers for nothing here.
    for (code, name) in regions.iter().filter(|(code, _)| code.len() > 2) {
        let mut put = |topic, key: String, row: Value| {
            records.push(Record {
                topic,
                arrival,
                key,
                payload: Some(row.to_string().into_bytes()),
            });
        };
        let user = |put: &mut dyn FnMut(Topic, String, Value), id: String, posts: Value| {
            let row = json!({ "id": id, "channel": format!("simulated:{id}"), "posts": posts });
            put(Topic::BASE_USER, id, row);
        };
        let unit = unit_of(code);
        if code.len() < 12 {
            let parent = match code.len() {
                4 => None,
                6 => Some(unit_of("3309")),
                _ => Some(unit_of(&code[..6])),
            };
            let row = json!({ "id": unit, "name": format!("{name}应急管理"), "region": code, "parent": parent });
            put(Topic::BASE_UNIT, unit.clone(), row);
        }
        let (role, level) = match code.len() {
            4 => (DUTY, Level::Red),
            6 => (DUTY, Level::Orange),
            9 => (DUTY, Level::Blue),
            _ => (GRID, Level::Blue),
        };
        let mut duty =
            json!({ "id": format!("{role}-{code}"), "region": code, "level": level, "unit": unit, "role": role });
        if code.len() == 12 {
            let grid = format!("grid-{code}");
            duty["roster"] = json!([{ "user": grid }]);
            user(&mut put, grid, json!([]));
        } else {
            for shift in 0..2 {
                user(&mut put, officer(code, shift), shifts(city, &unit, shift));
            }
        }
        put(Topic::BASE_DUTY, format!("{role}-{code}"), duty);
    }
    records.into_iter()
}

/// The unit that answers for a region: villages have none of their own.
fn unit_of(code: &str) -> String {
    format!("unit-{}", &code[..code.len().min(9)])
}

fn officer(code: &str, shift: i64) -> String {
    format!("officer-{code}-{}", if shift == 0 { "day" } else { "night" })
}

/// Which shift is on: by day from 8 to 20 o'clock (UTC+8), or by night.
const fn shift_at(time: i64) -> i64 {
    let hour = (time + 8 * HOUR).rem_euclid(24 * HOUR) / HOUR;
    (hour < 8 || hour >= 20) as i64
}

/// The posts of one shift from the beginning of the storm to its end.
fn shifts(city: &City, unit: &str, shift: i64) -> Value {
    let first = (city.start().0 + 8 * HOUR).div_euclid(12 * HOUR) * 12 * HOUR - 4 * HOUR - 8 * HOUR;
    let halves = (0..).map(|half| first + half * 12 * HOUR);
    let posts = halves
        .take_while(|from| *from < city.end().0 + HOUR)
        .filter(|from| shift_at(*from) == shift)
        .map(|from| {
            let (from, to) = (Millis(from), Millis(from + 12 * HOUR));
            json!({ "unit": unit, "role": DUTY, "valid_from": from, "valid_to": to })
        });
    posts.collect()
}

/// What the officers see of one warning.
#[derive(Clone, Debug)]
struct Seen {
    region: RegionCode,
    raised: i64,
    level: Level,
    ended: Option<(i64, bool)>,
}

/// Watches the storm's warnings, and says afterwards what the officers did.
#[derive(Debug, Default)]
pub struct Officers {
    warnings: BTreeMap<Id<WarningState>, Seen>,
}

impl Officers {
    /// Takes note of what happened to warnings in an epoch.
    pub fn watch<'a>(&mut self, epoch: Millis, deltas: impl Iterator<Item = &'a WarningDelta>) {
        for delta in deltas {
            match (delta.kind, delta.explanation.region) {
                (DeltaKind::Raised, Some(region)) => {
                    let seen = Seen {
                        region,
                        raised: epoch.0,
                        level: delta.to,
                        ended: None,
                    };
                    self.warnings.insert(delta.id.clone(), seen);
                }
                (DeltaKind::Cleared | DeltaKind::Withdrawn, _) => {
                    if let Some(seen) = self.warnings.get_mut(&delta.id) {
                        // That it never was may turn out when it is over: then they have gone home.
                        seen.ended.get_or_insert((epoch.0, delta.kind == DeltaKind::Withdrawn));
                    }
                }
                (DeltaKind::Raised, None)
                | (
                    DeltaKind::Escalated
                    | DeltaKind::Eased
                    | DeltaKind::Revised
                    | DeltaKind::Recorded
                    | DeltaKind::Amended,
                    _,
                ) => {}
            }
        }
    }

    /// What they did up to the end of the storm, in the order in which it was told.
    #[must_use]
    pub fn actions(&self, city: &City) -> Vec<Record> {
        let mut actions = Vec::new();
        for (number, (id, seen)) in self.warnings.iter().enumerate() {
            let mut script = Script {
                id,
                seen,
                draw: Draw::of(city.options.seed, "officers", number as u64),
                actions: &mut actions,
                sent: 0,
            };
            script.play();
        }
        actions.retain(|action: &Record| action.arrival < city.end());
        actions.sort_by(|a, b| (a.arrival, &a.key).cmp(&(b.arrival, &b.key)));
        actions
    }
}

/// One warning, as its officers deal with it.
struct Script<'a> {
    id: &'a Id<WarningState>,
    seen: &'a Seen,
    draw: Draw,
    actions: &'a mut Vec<Record>,
    sent: u32,
}

impl Script<'_> {
    fn play(&mut self) {
        // One in twenty is overlooked; one in eight is acknowledged far too late.
        if self.draw.once_in(20) {
            return;
        }
        let minutes = if self.draw.once_in(8) { 75 } else { 2 };
        let mut at = self.seen.raised + self.within(minutes * MINUTE, 7 * MINUTE);
        if self.draw.once_in(3) {
            self.act(at - MINUTE, "call", DUTY, 0);
        }
        // One in ten acknowledges in time, but that is told half an hour later.
        let told_late = if self.draw.once_in(10) { 30 * MINUTE } else { 0 };
        self.act(at, "acknowledge", DUTY, told_late);
        let grid_at = at + self.within(0, 3 * MINUTE);
        self.act(grid_at, "acknowledge", GRID, 0);
        for tier in [(Level::Orange, 6), (Level::Red, 4)] {
            if self.seen.level >= tier.0 {
                let above_at = at + self.within(0, 4 * MINUTE);
                self.act_above(above_at, tier.1);
            }
        }
        at += told_late;
        for (verb, least, most) in [
            ("dispatch", 3, 20),
            ("progress", 5, 20),
            ("report", 20, 120),
            ("verify", 10, 60),
        ] {
            let next = at + self.within(least * MINUTE, most * MINUTE);
            match self.seen.ended {
                // Nothing is left to do but to check that.
                Some((ended, _)) if ended <= next => {
                    at = ended.max(at) + self.within(10 * MINUTE, 40 * MINUTE);
                    self.act(at, "verify", DUTY, 0);
                    break;
                }
                _ => {
                    at = next;
                    self.act(at, verb, DUTY, 0);
                }
            }
        }
        if let Some((ended, _)) = self.seen.ended {
            let closed = at.max(ended) + self.within(10 * MINUTE, 60 * MINUTE);
            self.act(closed, "archive", DUTY, 0);
        }
    }

    fn within(&mut self, least: i64, span: i64) -> i64 {
        least + self.draw.below(span as u64 / 1_000 + 1) as i64 * 1_000
    }

    fn act(&mut self, at: i64, verb: &str, role: &str, told_late: i64) {
        let code = self.seen.region.to_string();
        let town = &code[..code.len().min(9)];
        let actor = if role == GRID {
            format!("grid-{code}")
        } else {
            officer(town, shift_at(at))
        };
        self.write(at, verb, role, &unit_of(town), &actor, told_late);
    }

    fn act_above(&mut self, at: i64, digits: usize) {
        let code = self.seen.region.to_string();
        let above = &code[..code.len().min(digits)];
        self.write(
            at,
            "acknowledge",
            DUTY,
            &unit_of(above),
            &officer(above, shift_at(at)),
            0,
        );
    }

    fn write(&mut self, at: i64, verb: &str, role: &str, unit: &str, actor: &str, told_late: i64) {
        self.sent += 1;
        let payload = json!({
            "id": format!("{}-{}", self.id, self.sent),
            "warning": self.id,
            "action": verb,
            "actor": actor,
            "role": role,
            "unit": unit,
            "time": Millis(at),
            "text": "simulated",
        });
        self.actions.push(Record {
            topic: Topic::IN_ACTION,
            arrival: Millis(at + told_late + 1_000),
            key: self.id.to_string(),
            payload: Some(payload.to_string().into_bytes()),
        });
    }
}
