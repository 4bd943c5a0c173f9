//! What the output tells of cases, and what of it holds by the right clock.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use riskflow_model::output::{
    Basis, CaseDelta, CaseEvent, CaseEventKind, CaseState, CaseStep, Cause, Notice, NoticeEvent,
};
use riskflow_model::responsibility::User;
use riskflow_model::{Id, Level, Millis, OutputRow, Text};
use riskflow_operators::closed_loop::notice_id as id;

use super::foretold::{Early, Foretold, news};
use super::same::{DRIFT, arms, is_end, is_news, is_same, notice_id, once_more, repeats};

#[cfg(test)]
mod tests;

/// What was told of cases, as far as the output still has it.
#[derive(Clone, Debug)]
pub struct Told {
    zone: TimeZone,
    cases: BTreeMap<Id<CaseState>, OfCase>,
    /// Notices of before may be gone.
    whole_from: Millis,
}

/// What was told of one case.
#[derive(Clone, Debug, Default)]
struct OfCase {
    events: Vec<Event>,
    /// All its notices, in their order.
    sent: Vec<Notice>,
}

/// An event as it was told.
#[derive(Clone, Debug)]
struct Event {
    delta: CaseDelta,
    /// When.
    epoch: Millis,
    /// Whether it was never taken back.
    stands: bool,
}

/// What is found of a case while the state is made anew.
#[derive(Debug, Default)]
pub(super) struct Found {
    events: Vec<CaseDelta>,
    notices: Vec<Notice>,
}

/// A case as it is now.
#[derive(Clone, Copy)]
pub(super) struct Now<'a> {
    /// Its row.
    pub row: Option<&'a CaseState>,
    /// Whether the output has none.
    pub is_new: bool,
    /// Whether it was, and is forgotten.
    pub was: bool,
    /// Its row in the output, where that stands open.
    pub open: Option<&'a CaseState>,
    /// The time.
    pub at: Millis,
}

impl Found {
    pub(super) fn event(&mut self, delta: &CaseDelta) {
        if !delta.retracted {
            self.events.push(delta.clone());
        } else if let Some(place) = self.events.iter().rposition(|known| known.event == delta.event) {
            self.events.remove(place);
        }
    }

    pub(super) fn notice(&mut self, notice: &Notice) {
        self.notices.push(notice.clone());
    }

    /// The events that the notices are of, by the identifiers of these.
    fn by_notice(&self) -> BTreeMap<Id<Notice>, usize> {
        let users: BTreeSet<&Id<User>> = self.notices.iter().map(|notice| &notice.user).collect();
        places(self.events.iter(), &users)
    }

    fn knows(&self, user: &Id<User>) -> bool {
        self.notices.iter().any(|notice| notice.user == *user)
    }
}

impl Told {
    /// Nothing yet. Times in sentences are those of the zone.
    #[must_use]
    pub const fn new(zone: TimeZone) -> Self {
        Self {
            zone,
            cases: BTreeMap::new(),
            whole_from: Millis(i64::MIN),
        }
    }

    /// Takes in what `out.case.delta` has; of one case in its order.
    pub fn event(&mut self, delta: CaseDelta, epoch: Millis) {
        let told = self.cases.entry(delta.case.clone()).or_default();
        if !delta.retracted {
            let stands = true;
            told.events.push(Event { delta, epoch, stands });
            return;
        }
        let mut stand = told.events.iter_mut().rev();
        if let Some(event) = stand.find(|known| known.stands && known.delta.event == delta.event) {
            event.stands = false;
        }
    }

    /// Takes in what `out.notice` has; of one case in its order.
    pub fn notice(&mut self, notice: Notice) {
        let told = self.cases.entry(notice.case.clone()).or_default();
        told.sent.push(notice);
    }

    /// Notices of before this epoch may be gone.
    pub fn cut(&mut self, from: Millis) {
        self.whole_from = self.whole_from.max(from);
    }

    /// The cases of which something was told.
    pub(super) fn cases(&self) -> impl Iterator<Item = &Id<CaseState>> {
        self.cases.keys()
    }

    /// What of before is known to those who come later: nothing yet.
    pub(super) fn foretold(&self, before: &Foretold, since: Millis) -> Foretold {
        Foretold::after(before, since, &self.zone)
    }

    /// What is to be told of a case that was made anew: what was not told yet, and what was and does not hold. `before` is what was
    /// early already; what is early now goes to `foretold`.
    pub(super) fn judge(
        &self,
        case: &Id<CaseState>,
        now: Now<'_>,
        found: &Found,
        (before, foretold): (&Foretold, &mut Foretold),
    ) -> Vec<OutputRow> {
        let none = OfCase::default();
        let told = self.cases.get(case).unwrap_or(&none);
        if now.is_void(told, found) {
            return self.void(told, now, foretold);
        }
        let since = told.since(now.is_new);
        let twins = told.twins(found);
        let mut out: Vec<OutputRow> = Vec::new();
        for (delta, twin) in found.events.iter().zip(&twins) {
            if twin.is_none() && delta.event.at >= since {
                out.push(OutputRow::new(delta.clone()));
            }
        }
        let holding: BTreeSet<usize> = twins.iter().flatten().copied().collect();
        let mut wrong = told.wrong(&holding, now.at);
        let used: Vec<Id<Notice>> = wrong.iter().map(|early| early.notice.id.clone()).collect();
        for early in before.early_of(case) {
            if !wrong.iter().any(|other| other.notice.id == early.notice.id) {
                wrong.push(early.clone());
            }
        }
        let untold = self.untold(told, (found, &twins), since, &mut wrong);
        let users: BTreeSet<&Id<User>> = untold.iter().map(|notice| &notice.user).collect();
        out.extend(untold.iter().map(|notice| OutputRow::new((*notice).clone())));
        // Without a row it may be one of which the input is gone: what the wrong clock told of it does not hold all the same.
        let counts = |event: &Event| now.row.is_some() || event.epoch > now.at;
        let gone = told
            .events
            .iter()
            .enumerate()
            .filter(|(place, event)| !holding.contains(place) && counts(event));
        out.extend(gone.filter_map(|(_, event)| event.taken_back()));
        let Some(row) = now.row else { return out };
        used.into_iter().for_each(|id| foretold.add_used(id));
        if row.step != CaseStep::Archived {
            out.extend(self.ended(told, (row, now.at), &wrong, &users));
            out.extend(self.early(told, (row, found, &twins), (before, wrong, now.at), foretold));
        }
        out
    }

    /// The notices that were found and that nobody got, neither then nor too early; what was early of `wrong` is taken out.
    fn untold<'a>(
        &self,
        told: &OfCase,
        (found, twins): (&'a Found, &[Option<usize>]),
        since: Millis,
        wrong: &mut Vec<Early>,
    ) -> Vec<&'a Notice> {
        let (events, of) = (found.by_notice(), told.by_notice());
        let sent: BTreeSet<&Id<Notice>> = told.sent.iter().map(|notice| &notice.id).collect();
        let got: BTreeSet<(&Id<User>, Option<usize>)> = told
            .sent
            .iter()
            .map(|notice| (&notice.user, of.get(&notice.id).copied()))
            .collect();
        let anything: BTreeSet<&Id<User>> = told.sent.iter().map(|notice| &notice.user).collect();
        let mut untold = Vec::new();
        for notice in found.notices.iter().filter(|notice| !sent.contains(&notice.id)) {
            let place = events.get(&notice.id).copied();
            let event = place.map(|place| &found.events[place].event);
            let is_known = match (event, place.and_then(|place| twins[place])) {
                (Some(event), _) if event.at < since => true,
                (Some(event), Some(twin)) => event.at < self.whole_from || got.contains(&(&notice.user, Some(twin))),
                (Some(_), None) => false,
                // Of an event that was taken back since.
                (None, _) => anything.contains(&notice.user),
            };
            if is_known {
                continue;
            }
            let deadline = event.and_then(|event| event.escalation.as_ref());
            let is_it = |early: &Early| repeats((&early.notice, early.deadline.as_ref()), (notice, deadline));
            match wrong.iter().position(is_it) {
                Some(place) => drop(wrong.remove(place)),
                None => untold.push(notice),
            }
        }
        untold
    }

    /// Everyone who was told of an end that was none is told that the case goes on.
    fn ended(
        &self,
        told: &OfCase,
        (row, at): (&CaseState, Millis),
        wrong: &[Early],
        users: &BTreeSet<&Id<User>>,
    ) -> Vec<OutputRow> {
        if row.basis != Basis::Active {
            return Vec::new();
        }
        let newest = told.newest().into_iter().filter(|(user, _)| !users.contains(user));
        let ended =
            newest.filter(|(_, notice)| is_end(notice.event) && wrong.iter().any(|early| early.notice.id == notice.id));
        let resumed = ended.map(|(_, notice)| self.news(notice, NoticeEvent::Resumed, row.level, at));
        resumed.map(OutputRow::new).collect()
    }

    /// Notes what was told and will be told again, and who is not known to the case. Those are told of its end, if that is over.
    fn early(
        &self,
        told: &OfCase,
        (row, found, twins): (&CaseState, &Found, &[Option<usize>]),
        (before, wrong, at): (&Foretold, Vec<Early>, Millis),
        foretold: &mut Foretold,
    ) -> Vec<OutputRow> {
        let ended = row.basis != Basis::Active;
        let counts = |early: &Early| !is_news(early.notice.event) && (early.arms || early.notice.level == row.peak);
        // Deadlines run on after an end, and a rise would be another matter.
        let counts = |early: &Early| counts(early) && !(ended && early.arms);
        for early in wrong.into_iter().filter(counts) {
            foretold.add_early(early);
        }
        // Of events that hold some were told who are not to be told yet: a shift that had not begun.
        let armed = found.events.iter().rposition(|delta| arms(&delta.event));
        let of = told.by_notice();
        for notice in told.sent.iter().filter(|notice| !is_news(notice.event)) {
            let place = of.get(&notice.id).copied();
            let event = twins.iter().position(|twin| twin.is_some() && *twin == place);
            let Some(event) = event.filter(|event| armed.is_none_or(|armed| *event >= armed)) else {
                continue;
            };
            let event = &found.events[event].event;
            let id = notice_id(&notice.case, event, &notice.user);
            if !found.notices.iter().any(|found| Some(&found.id) == id.as_ref()) {
                foretold.add_early(Early {
                    notice: notice.clone(),
                    deadline: event.escalation.clone(),
                    arms: false,
                });
            }
        }
        let known = before.others_of(&row.id).chain(told.sent.iter());
        let others: BTreeMap<&Id<User>, &Notice> = known.map(|notice| (&notice.user, notice)).collect();
        let (mut out, newest) = (Vec::new(), told.newest());
        for (user, notice) in others {
            if found.knows(user) {
                continue;
            }
            let end = match row.basis {
                Basis::Active => None,
                Basis::Cleared => Some(NoticeEvent::Cleared),
                Basis::Withdrawn => Some(NoticeEvent::Withdrawn),
            };
            let last = newest.get(user).map(|notice| notice.event);
            if let Some(end) = end {
                let news = self.news(notice, end, Level::None, at);
                // The case may come to know them, and then has the same to say.
                foretold.add_early(Early::beside(news.clone()));
                if last != Some(end) {
                    out.push(OutputRow::new(news));
                }
            }
            foretold.add_other(notice.clone());
        }
        out
    }

    /// Takes back all that was told of a case that never was.
    fn void(&self, told: &OfCase, now: Now<'_>, foretold: &mut Foretold) -> Vec<OutputRow> {
        let last = told.events.iter().rposition(|event| event.stands);
        let last = last.filter(|last| told.events[*last].delta.event.kind == CaseEventKind::Withdrawn);
        let events = told.events.iter().enumerate().filter(|(place, _)| Some(*place) != last);
        let mut out: Vec<OutputRow> = events.filter_map(|(_, event)| event.taken_back()).collect();
        told.sent.iter().for_each(|notice| foretold.add_used(notice.id.clone()));
        if last.is_none() {
            out.extend(told.withdrawn(now).map(OutputRow::new));
        }
        let newest = told.newest().into_values();
        let newest = newest.filter(|notice| notice.event != NoticeEvent::Withdrawn);
        out.extend(newest.map(|notice| OutputRow::new(self.news(notice, NoticeEvent::Withdrawn, Level::None, now.at))));
        out
    }

    /// What the right clock has to say to someone who was told something else.
    fn news(&self, before: &Notice, event: NoticeEvent, level: Level, at: Millis) -> Notice {
        let mark = [Text::from(at.0.to_string())];
        let id = id(&before.case, event, &mark, &before.user).to_string().into();
        news(before, (id, event, level), &self.zone)
    }
}

impl Now<'_> {
    /// Whether a case that was told of never was: nothing is found of it, and what was told was told by the wrong clock, or stands
    /// open. One of which the input is gone is not known either, but it was told before.
    fn is_void(&self, told: &OfCase, found: &Found) -> bool {
        let mut issued = told
            .events
            .iter()
            .filter(|event| event.delta.event.kind == CaseEventKind::Issued);
        let issued_ahead = issued.next().is_some_and(|issued| issued.epoch > self.at);
        self.row.is_none() && !self.was && found.events.is_empty() && (self.open.is_some() || issued_ahead)
    }
}

impl Event {
    fn taken_back(&self) -> Option<OutputRow> {
        let delta = CaseDelta {
            retracted: true,
            cause: Cause::Clock,
            ..self.delta.clone()
        };
        self.stands.then(|| OutputRow::new(delta))
    }
}

impl OfCase {
    /// From when on all is known that was told. What was before, where the beginning is gone, was told.
    fn since(&self, is_new: bool) -> Millis {
        let is = |kind| move |event: &Event| event.delta.event.kind == kind;
        let whole =
            self.events.iter().any(is(CaseEventKind::Issued)) || self.events.iter().all(is(CaseEventKind::Refused));
        match self.events.first() {
            Some(first) if !whole => first.delta.event.at,
            None if !is_new => Millis(i64::MAX),
            _ => Millis(i64::MIN),
        }
    }

    /// Of each event that was found the one that was told and stands.
    fn twins(&self, found: &Found) -> Vec<Option<usize>> {
        let mut free: BTreeSet<(Millis, usize)> = BTreeSet::new();
        for (place, event) in self.events.iter().enumerate().filter(|(_, event)| event.stands) {
            free.insert((event.delta.event.at, place));
        }
        let mut twins = Vec::with_capacity(found.events.len());
        for CaseDelta { event, .. } in &found.events {
            let (from, to) = (Millis(event.at.0 - DRIFT), Millis(event.at.0 + DRIFT));
            let mut near = free.range((from, 0)..=(to, usize::MAX));
            let twin = near.find(|(_, place)| is_same(&self.events[*place].delta.event, event));
            let twin = twin.copied();
            twins.push(twin.map(|(_, place)| place));
            if let Some(twin) = twin {
                free.remove(&twin);
            }
        }
        twins
    }

    /// The events that the notices are of, by the identifiers of these.
    fn by_notice(&self) -> BTreeMap<Id<Notice>, usize> {
        let users: BTreeSet<&Id<User>> = self.sent.iter().map(|notice| &notice.user).collect();
        places(self.events.iter().map(|event| &event.delta), &users)
    }

    /// The notices of events that do not hold, and reminders whose time is yet to come.
    fn wrong(&self, holding: &BTreeSet<usize>, now: Millis) -> Vec<Early> {
        let of = self.by_notice();
        let wrong = self.sent.iter().filter_map(|notice| {
            let place = of.get(&notice.id).filter(|place| !holding.contains(place))?;
            let event = &self.events[*place].delta.event;
            Some(Early {
                notice: notice.clone(),
                deadline: event.escalation.clone(),
                arms: arms(event),
            })
        });
        // Reminders are of no event.
        let is_ahead = |notice: &&Notice| notice.reminder.is_some_and(|reminder| reminder.at > now);
        let ahead = self.sent.iter().filter(is_ahead).cloned().map(Early::beside);
        wrong.chain(ahead).collect()
    }

    /// What each user was told last of how the case stands.
    fn newest(&self) -> BTreeMap<&Id<User>, &Notice> {
        let stands = self.sent.iter().filter(|notice| notice.event != NoticeEvent::Escalated);
        let escalated = self.sent.iter().filter(|notice| notice.event == NoticeEvent::Escalated);
        let all = escalated.chain(stands);
        all.map(|notice| (&notice.user, notice)).collect()
    }

    /// The end of a case whose basis the clock alone had made.
    fn withdrawn(&self, now: Now<'_>) -> Option<CaseDelta> {
        let last = self.events.iter().rfind(|event| event.stands).map(|event| &event.delta);
        let (case, rule, domain, region, step) = match (now.open, last) {
            (Some(row), _) => (&row.id, &row.rule, Some(row.domain), Some(row.region), row.step),
            (None, Some(last)) => (&last.case, &last.rule, last.domain, last.region, last.event.step),
            (None, None) => return None,
        };
        let event = CaseEvent {
            at: now.at,
            kind: CaseEventKind::Withdrawn,
            step,
            level: Level::None,
            by: None,
            escalation: None,
            refusal: None,
            allowed: Vec::new(),
        };
        Some(CaseDelta {
            case: case.clone(),
            retracted: false,
            cause: Cause::Clock,
            rule: rule.clone(),
            domain,
            region,
            event,
        })
    }
}

/// Which event a notice is of, by its identifier: that of each event and user.
fn places<'a>(events: impl Iterator<Item = &'a CaseDelta>, users: &BTreeSet<&Id<User>>) -> BTreeMap<Id<Notice>, usize> {
    let mut places = BTreeMap::new();
    for (place, delta) in events.enumerate() {
        for id in users
            .iter()
            .filter_map(|user| notice_id(&delta.case, &delta.event, user))
        {
            // It came true after one of that identifier had not.
            if places.contains_key(&id) {
                places.insert(once_more(&id), place);
            } else {
                places.insert(id, place);
            }
        }
    }
    places
}
