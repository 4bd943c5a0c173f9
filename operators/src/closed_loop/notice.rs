//! Fold `notice`: who is notified of what. Alarms are joined with the users on duty, and each user gets each event once.
//!
//! ```text
//!   duties, posts on now ──► holders by place ─┐
//!   alarms of cases ──► by place ──────────────┴─► ⋈ ─► recipients ─┐
//!            └────────► ends of cases ──────────────────────────────┼─► [ notice ] ─► notices
//!   cases ────────────────────────────────────────────────────────────┘
//! ```
//!
//! Recipients are a view: whoever comes on duty while an alarm stands becomes one, whatever was acknowledged is no alarm any
//! more. What the fold adds is its memory of who was told, and the clock: as long as nobody acknowledges an alarm, those whom it
//! concerns are reminded of it.

pub mod sentence;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use riskflow_model::base::Asset;
use riskflow_model::id::RuleOrHazard;
use riskflow_model::output::{CaseState, Notice, NoticeEvent, Origin, Reminder};
use riskflow_model::responsibility::{Unit, User};
use riskflow_model::{Domain, Id, Key, Millis, RegionCode, Shared, Text};
use serde::{Deserialize, Serialize};

use crate::closed_loop::case::{Addressee, Alarm, Evidence};
use crate::closed_loop::roster::{OnDuty, Shift};
use crate::engine::{Diff, Fold, Next, NoRecord, Rows, join_few, map_changed};

/// What the fold knows of a case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NoticeRow {
    /// What the case is about.
    Case(Arc<About>),
    /// A user is a recipient of an alarm.
    Recipient(Arc<Alarm>, Arc<Holder>),
    /// The case ended.
    End(Arc<Alarm>),
    /// The recipients of its alarm are reminded of it.
    Reminding(Arc<Alarm>),
}

/// What a case is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct About {
    id: Id<CaseState>,
    incident: bool,
    rule: Id<RuleOrHazard>,
    asset: Option<Id<Asset>>,
    domain: Domain,
    region: RegionCode,
    since: Millis,
}

/// A user on duty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Holder {
    unit: Id<Unit>,
    role: Text,
    user: Id<User>,
    channel: Text,
}

/// Returns the rows of the fold, by case.
pub fn recipients<'scope>(
    cases: Rows<'scope, Arc<CaseState>>,
    alarms: Rows<'scope, Arc<Alarm>>,
    on_duty: Rows<'scope, OnDuty>,
    users: Rows<'scope, Shared<User>>,
) -> Rows<'scope, (Key, NoticeRow)> {
    let about = map_changed(cases, |case| {
        let about = About {
            id: case.id.clone(),
            incident: case.incident,
            rule: case.rule.clone(),
            asset: case.asset.clone(),
            domain: case.domain,
            region: case.region,
            since: case.since,
        };
        (case.id.key(), NoticeRow::Case(Arc::new(about)))
    });
    let of_case = alarms.clone().flat_map(|alarm| {
        let row = match alarm.to {
            Addressee::Told => NoticeRow::End,
            Addressee::Alarmed(_) => NoticeRow::Reminding,
            Addressee::Role { .. } | Addressee::Unit(_) => return None,
        };
        Some((alarm.case.key(), row(alarm)))
    });
    let addressed = alarms.map(|alarm| (places(&alarm.to), (alarm.case.key(), alarm)));
    let addressed = addressed.filter(|(places, _)| !places.is_empty());
    let recipients = join_few(
        addressed,
        holders(on_duty, users),
        "Notice: alarms and those on duty",
        Vec::clone,
        |_, (case, alarm), holder| {
            let recipient = NoticeRow::Recipient(Arc::clone(alarm), Arc::clone(holder));
            Some((*case, recipient))
        },
    );
    about.concat(of_case).concat(recipients)
}

fn duty_place(duty: Key) -> Key {
    Key::of_parts(&["duty", &duty.to_string()])
}

fn post_place(unit: &Id<Unit>, role: &str) -> Key {
    Key::of_parts(&["post", unit, role])
}

fn unit_place(unit: &Id<Unit>) -> Key {
    Key::of_parts(&["unit", unit])
}

/// Where those are found who are to be told.
fn places(to: &Addressee) -> Vec<Key> {
    match to {
        Addressee::Role {
            unit,
            role,
            rosters,
            by_post,
        } => {
            let rosters = rosters.iter().map(|duty| duty_place(*duty));
            rosters.chain(by_post.then(|| post_place(unit, role))).collect()
        }
        Addressee::Unit(unit) => vec![unit_place(unit)],
        Addressee::Told | Addressee::Alarmed(_) => Vec::new(),
    }
}

/// What a user on duty is put together from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum OfUser {
    Channel(Text),
    Shift(Shift),
}

/// Everyone on duty, in each place where they are found.
fn holders<'scope>(
    on_duty: Rows<'scope, OnDuty>,
    users: Rows<'scope, Shared<User>>,
) -> Rows<'scope, (Key, Arc<Holder>)> {
    let posts = on_duty.clone().flat_map(|on| {
        let OnDuty::Post(post) = on else { return Vec::new() };
        let holder = Arc::new(Holder {
            unit: post.unit,
            role: post.role,
            user: post.user,
            channel: post.channel,
        });
        vec![
            (post_place(&holder.unit, &holder.role), holder.clone()),
            (unit_place(&holder.unit), holder),
        ]
    });
    let channels = users.map(|user| (user.id.clone(), OfUser::Channel(user.channel.clone())));
    let shifts = on_duty
        .flat_map(|on| {
            let OnDuty::Shift(shift) = on else { return None };
            Some((shift.user.clone(), OfUser::Shift(shift)))
        })
        .concat(channels)
        .reduce_named("Notice: shifts and channels by user", |_, parts, output| {
            let mut channel = Text::default();
            // Channels come first.
            for (part, _) in parts {
                match part {
                    OfUser::Channel(of_user) => channel = of_user.clone(),
                    OfUser::Shift(shift) => output.push(((shift.clone(), channel.clone()), 1)),
                }
            }
        })
        .flat_map(|(_, (shift, channel))| {
            let holder = Arc::new(Holder {
                unit: shift.unit,
                role: shift.role,
                user: shift.user,
                channel,
            });
            [
                (duty_place(shift.duty), holder.clone()),
                (unit_place(&holder.unit), holder),
            ]
        });
    // Someone with a post and a shift is found once.
    posts.concat(shifts).distinct_core::<Diff>()
}

/// The fold itself: nothing but its state.
#[derive(Debug, Default)]
pub struct Notices;

/// Of one case: the identifiers of all notices that were sent, and who got one.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct NoticeState {
    /// Comes as rows, so it is not saved.
    #[serde(skip)]
    about: Option<Arc<About>>,
    /// With in how many ways each is found: on a roster, by a post.
    #[serde(skip)]
    recipients: BTreeMap<(Arc<Alarm>, Arc<Holder>), Diff>,
    #[serde(skip)]
    ends: BTreeSet<Arc<Alarm>>,
    #[serde(skip)]
    reminding: Option<Arc<Alarm>>,
    /// When the last reminder was due that was given, or would have been had there been anyone.
    reminded: Option<Millis>,
    /// The identifiers of all notices.
    told: BTreeSet<Key>,
    /// Everyone who was told, as of the last time. Shared, for a node of the map has room for eleven, and few are told of most cases.
    users: BTreeMap<Id<User>, Arc<Holder>>,
}

/// The identifier of a notice: the hash of case, event, what tells it from others of its kind, and user.
#[must_use]
pub fn id(case: &Id<CaseState>, event: NoticeEvent, mark: &[Text], user: &Id<User>) -> Key {
    let mut parts: Vec<&str> = vec![case, event.name()];
    parts.extend(mark.iter().map(|part| &**part));
    parts.push(user);
    Key::of_parts(&parts)
}

impl NoticeState {
    /// Tells someone of an event, unless that was done; whether it was not.
    fn tell(
        &mut self,
        about: &About,
        (alarm, reminder): (&Alarm, Option<Reminder>),
        holder: &Arc<Holder>,
        out: &mut Vec<(Box<Notice>, Diff)>,
    ) -> bool {
        let id = id(&about.id, alarm.event, &alarm.mark, &holder.user);
        if !self.told.insert(id) {
            return false;
        }
        let told = |field: fn(&Evidence) -> &Text| alarm.evidence.as_deref().map(field).cloned().unwrap_or_default();
        let notice = Notice {
            id: id.to_string().into(),
            case: about.id.clone(),
            event: alarm.event,
            user: holder.user.clone(),
            channel: holder.channel.clone(),
            unit: holder.unit.clone(),
            role: holder.role.clone(),
            level: alarm.level,
            due: alarm.due,
            reminder,
            incident: about.incident,
            rule: about.rule.clone(),
            rule_name: told(|evidence| &evidence.rule_name),
            asset: about.asset.clone(),
            asset_name: told(|evidence| &evidence.asset_name),
            domain: about.domain,
            region: about.region,
            // The name of a region is that of the epoch, and so the sentences are written where it goes out.
            region_name: Text::default(),
            since: about.since,
            feature: told(|evidence| &evidence.feature),
            value: alarm.evidence.as_ref().and_then(|evidence| evidence.value),
            value_unit: told(|evidence| &evidence.unit),
            forecast: alarm.evidence.as_ref().is_some_and(|evidence| evidence.forecast),
            valid_time: alarm.evidence.as_ref().and_then(|evidence| evidence.valid_time),
            text_zh: Text::default(),
            text_en: Text::default(),
        };
        out.push((Box::new(notice), 1));
        self.users.insert(holder.user.clone(), Arc::clone(holder));
        true
    }

    /// Gives the last reminder that is due, unless it was given: to the recipients of the alarm, but for those who are `new`. When
    /// the next one is due.
    fn remind(
        &mut self,
        now: Millis,
        about: &About,
        recipients: &[(Arc<Alarm>, Arc<Holder>)],
        new: &BTreeSet<Id<User>>,
        out: &mut Vec<(Box<Notice>, Diff)>,
    ) -> Option<Millis> {
        let standing = self.reminding.clone()?;
        let Addressee::Alarmed(reminding) = &standing.to else {
            return None;
        };
        let due = reminding.last_due(now);
        if let Some(reminder) = due.filter(|due| Some(due.at) > self.reminded) {
            self.reminded = Some(reminder.at);
            let alarmed = recipients
                .iter()
                .filter(|(alarm, holder)| alarm.event == NoticeEvent::Issued && !new.contains(&holder.user));
            for (alarm, holder) in alarmed {
                let again = Alarm {
                    mark: vec![reminder.at.0.to_string().into()],
                    due: alarm.due,
                    ..(*standing).clone()
                };
                self.tell(about, (&again, Some(reminder)), holder, out);
            }
        }
        Some(reminding.next_due(now))
    }
}

impl Fold for Notices {
    type Key = Key;
    type Row = NoticeRow;
    type Record = NoRecord;
    type State = NoticeState;
    type Output = Box<Notice>;

    const NAME: &'static str = "notice";

    fn route(key: &Key) -> u64 {
        key.route()
    }

    fn place(record: &NoRecord) -> (Key, Origin) {
        match *record {}
    }

    fn rows(
        &mut self,
        _now: Millis,
        _key: Key,
        state: &mut NoticeState,
        changes: &mut dyn Iterator<Item = (NoticeRow, Diff)>,
    ) -> bool {
        for (row, diff) in changes {
            let came = diff > 0;
            match row {
                NoticeRow::Case(about) => state.about = came.then_some(about),
                NoticeRow::Recipient(alarm, holder) => {
                    let ways = state.recipients.entry((alarm, holder)).or_default();
                    *ways += diff;
                }
                NoticeRow::End(alarm) if came => drop(state.ends.insert(alarm)),
                NoticeRow::End(alarm) => drop(state.ends.remove(&alarm)),
                NoticeRow::Reminding(alarm) => state.reminding = came.then_some(alarm),
            }
        }
        state.recipients.retain(|_, ways| *ways != 0);
        true
    }

    fn record(&mut self, _now: Millis, _key: Key, _state: &mut NoticeState, record: &mut NoRecord) {
        match *record {}
    }

    /// Notices are told once: there is nothing to give again.
    fn recall(&mut self, _key: Key, _state: &NoticeState, _out: &mut Vec<(Box<Notice>, Diff)>) {}

    fn settle(&mut self, now: Millis, _key: Key, state: &mut NoticeState, out: &mut Vec<(Box<Notice>, Diff)>) -> Next {
        let Some(about) = state.about.clone() else {
            return Next::Forget;
        };
        // Of several ways to reach one user the first by unit and role is taken.
        let mut recipients: Vec<_> = state.recipients.keys().cloned().collect();
        recipients.sort_by(|(a, to_a), (b, to_b)| (a.event, &a.mark, to_a).cmp(&(b.event, &b.mark, to_b)));
        let mut new = BTreeSet::new();
        for (alarm, holder) in &recipients {
            if state.tell(&about, (alarm, None), holder, out) && alarm.event == NoticeEvent::Issued {
                new.insert(holder.user.clone());
            }
        }
        let next = state.remind(now, &about, &recipients, &new, out);
        let ends: Vec<_> = state.ends.iter().cloned().collect();
        for alarm in ends {
            for holder in state.users.values().cloned().collect::<Vec<_>>() {
                state.tell(&about, (&alarm, None), &holder, out);
            }
        }
        next.map_or(Next::Keep, Next::Wake)
    }
}
