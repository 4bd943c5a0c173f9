//! Fold `roster`: the duties in force, and who holds which post, as of the clock.
//!
//! A shift ends and another begins by time alone: each row wakes at its next border of validity.

use std::collections::BTreeSet;

use riskflow_model::output::Origin;
use riskflow_model::responsibility::{Duty, Unit, User};
use riskflow_model::{Id, Key, Millis, Shared, Text};
use serde::{Deserialize, Serialize};

use crate::engine::{Diff, Fold, Next, NoRecord, TableKey};

/// A row of which parts are valid for a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RosterRow {
    /// Of `base.duty`.
    Duty(Shared<Duty>),
    /// Of `base.user`.
    User(Shared<User>),
}

/// What is valid now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OnDuty {
    /// A duty is in force.
    Duty(Shared<Duty>),
    /// A user's shift of a duty in force is on.
    Shift(Shift),
    /// A user holds a post.
    Post(Post),
}

/// A user's shift of a duty is on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Shift {
    /// The duty.
    pub duty: Key,
    /// Its unit.
    pub unit: Id<Unit>,
    /// Its role.
    pub role: Text,
    /// The user.
    pub user: Id<User>,
}

/// A user holds a post.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Post {
    /// The unit.
    pub unit: Id<Unit>,
    /// The role there.
    pub role: Text,
    /// The user.
    pub user: Id<User>,
    /// How the user is reached.
    pub channel: Text,
}

/// The fold itself: nothing but its state.
#[derive(Debug, Default)]
pub struct Roster;

/// Of one row of `base.duty` or `base.user`: which duty or posts of it were in force last.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct RosterState {
    /// Comes as a row, so it is not saved.
    #[serde(skip)]
    row: Option<RosterRow>,
    /// What was given out.
    shown: BTreeSet<OnDuty>,
}

impl RosterRow {
    /// What of it is valid at a time, and when that changes next.
    fn at(&self, now: Millis) -> (BTreeSet<OnDuty>, Option<Millis>) {
        let mut on = BTreeSet::new();
        let mut spans = Vec::new();
        match self {
            Self::Duty(duty) => {
                spans.push(duty.span());
                if duty.span().contains(now) {
                    on.insert(OnDuty::Duty(duty.clone()));
                }
                spans.extend(duty.roster.iter().map(|shift| shift.span()));
                // The shifts of a duty that is not in force are not on.
                let in_force = duty.span().contains(now);
                let valid = duty
                    .roster
                    .iter()
                    .filter(|shift| in_force && shift.span().contains(now));
                on.extend(valid.map(|shift| {
                    OnDuty::Shift(Shift {
                        duty: duty.id.key(),
                        unit: duty.unit.clone(),
                        role: duty.role.clone(),
                        user: shift.user.clone(),
                    })
                }));
            }
            Self::User(user) => {
                spans.extend(user.posts.iter().map(|post| post.span()));
                let valid = user.posts.iter().filter(|post| post.span().contains(now));
                on.extend(valid.map(|post| {
                    OnDuty::Post(Post {
                        unit: post.unit.clone(),
                        role: post.role.clone(),
                        user: user.id.clone(),
                        channel: user.channel.clone(),
                    })
                }));
            }
        }
        (on, spans.iter().filter_map(|span| span.next_border(now)).min())
    }
}

impl Fold for Roster {
    type Key = TableKey;
    type Row = RosterRow;
    type Record = NoRecord;
    type State = RosterState;
    type Output = OnDuty;

    const NAME: &'static str = "roster";

    fn route(key: &TableKey) -> u64 {
        key.1.route()
    }

    fn place(record: &NoRecord) -> (TableKey, Origin) {
        match *record {}
    }

    fn rows(
        &mut self,
        _now: Millis,
        _key: TableKey,
        state: &mut RosterState,
        changes: &mut dyn Iterator<Item = (RosterRow, Diff)>,
    ) -> bool {
        state.row = changes.filter(|(_, diff)| *diff > 0).last().map(|(row, _)| row);
        true
    }

    fn record(&mut self, _now: Millis, _key: TableKey, _state: &mut RosterState, record: &mut NoRecord) {
        match *record {}
    }

    fn recall(&mut self, _key: TableKey, state: &RosterState, out: &mut Vec<(OnDuty, Diff)>) {
        out.extend(state.shown.iter().map(|on| (on.clone(), 1)));
    }

    fn settle(&mut self, now: Millis, _key: TableKey, state: &mut RosterState, out: &mut Vec<(OnDuty, Diff)>) -> Next {
        let (on, border) = state.row.as_ref().map(|row| row.at(now)).unwrap_or_default();
        out.extend(state.shown.difference(&on).map(|gone| (gone.clone(), -1)));
        out.extend(on.difference(&state.shown).map(|came| (came.clone(), 1)));
        state.shown = on;
        match (border, &state.row) {
            (Some(border), _) => Next::Wake(border),
            (None, Some(_)) => Next::Keep,
            (None, None) => Next::Forget,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_changes_by_the_clock() {
        let at = |millis: i64| Millis(millis).to_string();
        let duty: Duty = serde_json::from_value(serde_json::json!({
            "id": "d", "region": "330902", "unit": "u", "role": "r", "valid_from": at(10), "valid_to": at(40),
            "roster": [{ "user": "a", "valid_to": at(20) }, { "user": "b", "valid_from": at(20) }],
        }))
        .unwrap();
        let mut state = RosterState {
            row: Some(RosterRow::Duty(Shared::new(duty))),
            ..RosterState::default()
        };
        let mut told = Vec::new();
        let mut now = Millis(5);
        loop {
            let mut out = Vec::new();
            let next = Roster.settle(now, (0, Key::of("d")), &mut state, &mut out);
            let mut names: Vec<String> = out
                .iter()
                .map(|(on, diff)| match on {
                    OnDuty::Duty(_) => format!("duty {diff}"),
                    OnDuty::Shift(shift) => format!("{} {diff}", shift.user),
                    OnDuty::Post(_) => unreachable!(),
                })
                .collect();
            names.sort();
            told.push((now.0, names.join(", ")));
            let Next::Wake(due) = next else { break };
            now = due;
        }
        let expected = [(5, ""), (10, "a 1, duty 1"), (20, "a -1, b 1"), (40, "b -1, duty -1")];
        assert_eq!(told, expected.map(|(time, names)| (time, names.to_owned())));
    }
}
