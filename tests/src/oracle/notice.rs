//! Who is told of a case: everyone who is addressed now and was not told of that event yet.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_model::output::{Basis, CaseState, CaseStep, Escalation, Notice, NoticeEvent, Reminder};
use riskflow_model::responsibility::User;
use riskflow_model::{Id, Key, Level, Millis, Text};

use crate::oracle::bureau::{Bureau, Place};
use crate::oracle::walk::Walk;

/// Who was told of what, ever.
#[derive(Default)]
pub struct Memory {
    /// Identifiers of notices.
    told: BTreeSet<Id<Notice>>,
    /// The unit, role and channel of each user's last notice.
    last: BTreeMap<Id<User>, (Place, Text)>,
    /// The times of reminders that came, whether or not there was anybody to be reminded.
    reminders: BTreeSet<i64>,
}

/// Someone who is addressed.
struct Addressed {
    kind: NoticeEvent,
    /// What tells this event from others of its kind.
    mark: Vec<Text>,
    user: Id<User>,
    place: Place,
    channel: Text,
    level: Level,
    due: Option<i64>,
    reminder: Option<Reminder>,
}

/// The notices of this epoch.
pub fn notices(case: &Id<CaseState>, walked: &Walk<'_>, bureau: &Bureau, now: i64, memory: &mut Memory) -> Vec<Notice> {
    if walked.suppressed(now) {
        return Vec::new();
    }
    let mut addressed = Vec::new();
    if walked.telling() {
        of_alarm(walked, bureau, now, &mut addressed);
        of_escalations(walked, bureau, now, &mut addressed);
    }
    // Of several ways to a user the first by unit and role is taken; the last event is what the end is told as.
    addressed.sort_by(|a, b| (a.kind, &a.mark, &a.place, &a.user).cmp(&(b.kind, &b.mark, &b.place, &b.user)));
    let mut notices = Vec::new();
    let mut tell = |one: Addressed, memory: &mut Memory| {
        let mut parts: Vec<&str> = vec![case, one.kind.name()];
        parts.extend(one.mark.iter().map(|part| &**part));
        parts.push(&one.user);
        let id: Id<Notice> = Key::of_parts(&parts).to_string().into();
        if !memory.told.insert(id.clone()) {
            return;
        }
        let reached = (one.place.clone(), one.channel.clone());
        memory.last.insert(one.user.clone(), reached);
        let about = &walked.about;
        notices.push(Notice {
            id,
            case: case.clone(),
            event: one.kind,
            channel: one.channel,
            user: one.user,
            unit: one.place.0,
            role: one.place.1,
            level: one.level,
            due: one.due.map(Millis),
            reminder: one.reminder,
            incident: about.incident,
            rule: about.rule.clone(),
            asset: about.asset.clone(),
            domain: about.domain,
            region: about.region,
            since: about.since,
            // Golden cases say what these are.
            rule_name: Text::default(),
            asset_name: Text::default(),
            region_name: Text::default(),
            feature: Text::default(),
            value: None,
            value_unit: Text::default(),
            forecast: false,
            valid_time: None,
            text_zh: Text::default(),
            text_en: Text::default(),
        });
    };
    // Whoever is alarmed only now need not be reminded.
    let alarmed_before: Vec<Addressed> = of_reminder(case, walked, bureau, now, memory);
    for one in addressed {
        tell(one, memory);
    }
    for one in alarmed_before {
        tell(one, memory);
    }
    for one in of_news(walked, memory) {
        tell(one, memory);
    }
    notices
}

/// The alarm: all who hold a role that has not acknowledged; by the first of their units and roles.
fn of_alarm(walked: &Walk<'_>, bureau: &Bureau, now: i64, addressed: &mut Vec<Addressed>) {
    for (place, pending) in &walked.obligations {
        if pending.acknowledged.is_some() {
            continue;
        }
        for (place, user) in bureau.holders(place, &pending.asking, now) {
            addressed.push(Addressed {
                kind: NoticeEvent::Issued,
                mark: vec![walked.alarm.to_string().into()],
                channel: bureau.channel(&user),
                user,
                place,
                level: walked.peak,
                due: pending.due,
                reminder: None,
            });
        }
    }
}

/// The identifier of the alarm for a user.
fn alarm_id(case: &Id<CaseState>, walked: &Walk<'_>, user: &Id<User>) -> Id<Notice> {
    let alarm = walked.alarm.to_string();
    Key::of_parts(&[case, NoticeEvent::Issued.name(), &alarm, user])
        .to_string()
        .into()
}

/// The reminder of the latest time that has come, if it did not come yet: all who were told of the alarm before, and are
/// addressed by it now.
fn of_reminder(
    case: &Id<CaseState>,
    walked: &Walk<'_>,
    bureau: &Bureau,
    now: i64,
    memory: &mut Memory,
) -> Vec<Addressed> {
    let mut times = walked.reminders(now);
    let Some((number, at)) = times.pop().filter(|(_, at)| memory.reminders.last() < Some(at)) else {
        return Vec::new();
    };
    memory.reminders.insert(at);
    let mut alarmed = Vec::new();
    of_alarm(walked, bureau, now, &mut alarmed);
    alarmed.retain(|one| memory.told.contains(&alarm_id(case, walked, &one.user)));
    alarmed.sort_by(|a, b| (&a.place, &a.user).cmp(&(&b.place, &b.user)));
    let reminder = Some(Reminder { number, at: Millis(at) });
    let again = alarmed.into_iter().map(|one| Addressed {
        kind: NoticeEvent::Reminder,
        mark: vec![at.to_string().into()],
        reminder,
        ..one
    });
    again.collect()
}

/// Escalations of this round that the parent unit has not acknowledged: everyone there.
fn of_escalations(walked: &Walk<'_>, bureau: &Bureau, now: i64, addressed: &mut Vec<Addressed>) {
    let of_round = walked
        .lifted
        .iter()
        .filter(|lifted| lifted.round == walked.round && !lifted.acknowledged);
    for lifted in of_round {
        let Some(unit) = &lifted.escalation.to else { continue };
        let Escalation {
            step,
            unit: from,
            role,
            task,
            at,
            ..
        } = &lifted.escalation;
        let mut mark: Vec<Text> = vec![at.0.to_string().into(), step.map_or("", CaseStep::name).into()];
        mark.push(from.clone().unwrap_or_default().into_text());
        mark.extend([role, task].map(|part| part.clone().unwrap_or_default()));
        for (place, user) in bureau.everyone(unit, now) {
            addressed.push(Addressed {
                kind: NoticeEvent::Escalated,
                mark: mark.clone(),
                channel: bureau.channel(&user),
                user,
                place,
                level: walked.peak,
                due: None,
                reminder: None,
            });
        }
    }
}

/// The end, that it was none, or that the level is restless: everyone who was told of the case so far.
fn of_news(walked: &Walk<'_>, memory: &Memory) -> Vec<Addressed> {
    let news = match (walked.end, walked.flapping, walked.resumed) {
        _ if walked.step == CaseStep::Archived => None,
        (Some((at, Basis::Cleared)), ..) => Some((NoticeEvent::Cleared, at)),
        (Some((at, _)), ..) => Some((NoticeEvent::Withdrawn, at)),
        (None, Some(at), _) => Some((NoticeEvent::Flapping, at)),
        (None, None, Some(at)) => Some((NoticeEvent::Resumed, at)),
        (None, None, None) => None,
    };
    let Some((kind, at)) = news else { return Vec::new() };
    let told = memory.last.iter().map(|(user, (place, channel))| Addressed {
        kind,
        mark: vec![at.to_string().into()],
        user: user.clone(),
        place: place.clone(),
        channel: channel.clone(),
        level: walked.level,
        due: None,
        reminder: None,
    });
    told.collect()
}

/// A notice without what it rests on and how that is called.
#[must_use]
pub fn bare(notice: &Notice) -> Notice {
    Notice {
        rule_name: Text::default(),
        asset_name: Text::default(),
        region_name: Text::default(),
        feature: Text::default(),
        value: None,
        value_unit: Text::default(),
        forecast: false,
        valid_time: None,
        text_zh: Text::default(),
        text_en: Text::default(),
        ..notice.clone()
    }
}
