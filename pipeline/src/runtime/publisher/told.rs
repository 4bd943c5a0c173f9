//! What the output tells of cases, and what of it holds by the right clock.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use riskflow_model::output::{
    Basis, CaseDelta, CaseEvent, CaseEventKind, CaseState, CaseStep, Cause, Notice, NoticeEvent,
};
use riskflow_model::{Level, Millis, OutputRow, Text};
use riskflow_operators::closed_loop::{notice_id as id, sentence};

use super::foretold::Foretold;
use super::same::{DRIFT, is_alike, is_same, notice_id};

#[cfg(test)]
mod tests;

/// What was told of cases, as far as the output still has it.
#[derive(Clone, Debug)]
pub struct Told {
    zone: TimeZone,
    cases: BTreeMap<Text, OfCase>,
    /// Notices of before may be gone.
    whole_from: Millis,
}

/// What was told of one case.
#[derive(Clone, Debug, Default)]
struct OfCase {
    /// Its events, and whether each was never taken back.
    events: Vec<(CaseDelta, bool)>,
    /// The identifiers of its notices.
    ids: BTreeSet<Text>,
    /// What each user was told last.
    newest: BTreeMap<Text, Notice>,
}

/// What is found of a case while the state is made anew.
#[derive(Debug, Default)]
pub(super) struct Found {
    events: Vec<CaseDelta>,
    notices: Vec<Notice>,
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
    fn by_notice(&self, case: &Text) -> BTreeMap<Text, usize> {
        let users: BTreeSet<&Text> = self.notices.iter().map(|notice| &notice.user).collect();
        let of_event = |(place, delta): (usize, &CaseDelta)| {
            let ids = users.iter().filter_map(|user| notice_id(case, &delta.event, user));
            ids.map(|id| (id, place)).collect::<Vec<_>>()
        };
        self.events.iter().enumerate().flat_map(of_event).collect()
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
    pub fn event(&mut self, delta: CaseDelta) {
        let told = self.cases.entry(delta.case.clone()).or_default();
        if !delta.retracted {
            told.events.push((delta, true));
            return;
        }
        let mut stand = told.events.iter_mut().rev();
        if let Some((_, stands)) = stand.find(|(known, stands)| *stands && known.event == delta.event) {
            *stands = false;
        }
    }

    /// Takes in what `out.notice` has; of one case in its order.
    pub fn notice(&mut self, notice: Notice) {
        let told = self.cases.entry(notice.case.clone()).or_default();
        told.ids.insert(notice.id.clone());
        told.newest.insert(notice.user.clone(), notice);
    }

    /// Notices of before this epoch may be gone.
    pub fn cut(&mut self, from: Millis) {
        self.whole_from = self.whole_from.max(from);
    }

    /// The cases of which something was told.
    pub(super) fn cases(&self) -> impl Iterator<Item = &Text> {
        self.cases.keys()
    }

    /// What is to be told of a case that was made anew, given its row now and whether one is in the output: what was not told yet, and
    /// what was and does not hold. What will be told again in its time goes to `foretold`.
    pub(super) fn judge(
        &self,
        case: &Text,
        (row, is_new): (Option<&CaseState>, bool),
        found: &Found,
        now: Millis,
        foretold: &mut Foretold,
    ) -> Vec<OutputRow> {
        let none = OfCase::default();
        let told = self.cases.get(case).unwrap_or(&none);
        let since = told.since(is_new);
        let twins = told.twins(found);
        let mut out = Vec::new();
        let mut users = BTreeSet::new();
        for (delta, twin) in found.events.iter().zip(&twins) {
            if twin.is_none() && delta.event.at >= since {
                out.push(OutputRow::new(delta.clone()));
            }
        }
        let events = found.by_notice(case);
        for notice in &found.notices {
            let is_told = match events.get(&notice.id) {
                Some(place) => {
                    let (event, twin) = (&found.events[*place].event, twins[*place]);
                    let old = event.at < since || (twin.is_some() && event.at < self.whole_from);
                    old || told.knows(event, &notice.user)
                }
                // Of an event that was taken back since.
                None => told.newest.contains_key(&notice.user),
            };
            if !is_told && !told.ids.contains(&notice.id) {
                users.insert(&notice.user);
                out.push(OutputRow::new(notice.clone()));
            }
        }
        let Some(row) = row else { return out };
        let twins: BTreeSet<usize> = twins.into_iter().flatten().collect();
        for (place, (delta, stands)) in told.events.iter().enumerate() {
            if *stands && !twins.contains(&place) {
                let mut delta = delta.clone();
                (delta.retracted, delta.cause) = (true, Cause::Clock);
                out.push(OutputRow::new(delta));
            }
        }
        if row.step == CaseStep::Archived {
            return out;
        }
        told.find_early(case, found, now, foretold);
        if row.basis == Basis::Active {
            let newest = told.newest.iter().filter(|(user, _)| !users.contains(user));
            let ended = newest.filter(|(user, notice)| {
                let is_end = matches!(notice.event, NoticeEvent::Cleared | NoticeEvent::Withdrawn);
                is_end && !found.events.iter().any(|delta| told.is_of(notice, &delta.event, user))
            });
            let resumed = ended.map(|(_, notice)| self.news(notice, NoticeEvent::Resumed, row.level, now));
            out.extend(resumed.map(OutputRow::new));
        }
        out
    }

    /// Everyone who was told of a case that never was is told that.
    pub(super) fn withdrawn(&self, case: &Text, now: Millis) -> impl Iterator<Item = OutputRow> {
        let newest = self.cases.get(case).into_iter().flat_map(|told| told.newest.values());
        let newest = newest.filter(|notice| notice.event != NoticeEvent::Withdrawn);
        newest.map(move |notice| OutputRow::new(self.news(notice, NoticeEvent::Withdrawn, Level::None, now)))
    }

    /// What the right clock has to say to someone who was told something else.
    fn news(&self, notice: &Notice, event: NoticeEvent, level: Level, now: Millis) -> Notice {
        let mark = [Text::from(now.0.to_string())];
        let mut news = Notice {
            id: id(&notice.case, event, &mark, &notice.user).to_string().into(),
            event,
            level,
            due: None,
            ..notice.clone()
        };
        sentence::write(&mut news, &self.zone);
        news
    }
}

impl OfCase {
    /// From when on all is known that was told. What was before, where the beginning is gone, was told.
    fn since(&self, is_new: bool) -> Millis {
        let whole = |delta: &CaseDelta| matches!(delta.event.kind, CaseEventKind::Issued | CaseEventKind::Refused);
        match self.events.first() {
            Some((first, _)) if !whole(first) => first.event.at,
            None if !is_new => Millis(i64::MAX),
            _ => Millis(i64::MIN),
        }
    }

    /// Of each event that was found the one that was told and stands.
    fn twins(&self, found: &Found) -> Vec<Option<usize>> {
        let mut free: BTreeSet<(Millis, usize)> = BTreeSet::new();
        for (place, (delta, stands)) in self.events.iter().enumerate() {
            if *stands {
                free.insert((delta.event.at, place));
            }
        }
        let mut twins = Vec::with_capacity(found.events.len());
        for CaseDelta { event, .. } in &found.events {
            let (from, to) = (Millis(event.at.0 - DRIFT), Millis(event.at.0 + DRIFT));
            let mut near = free.range((from, 0)..=(to, usize::MAX));
            let twin = near.find(|(_, place)| is_same(&self.events[*place].0.event, event));
            let twin = twin.copied();
            twins.push(twin.map(|(_, place)| place));
            if let Some(twin) = twin {
                free.remove(&twin);
            }
        }
        twins
    }

    /// Whether a user was told of an event, under whatever time.
    fn knows(&self, event: &CaseEvent, user: &Text) -> bool {
        let mut alike = self.events.iter().filter(|(delta, _)| is_alike(&delta.event, event));
        alike.any(|(delta, _)| self.was_told(delta, user))
    }

    fn was_told(&self, delta: &CaseDelta, user: &Text) -> bool {
        notice_id(&delta.case, &delta.event, user).is_some_and(|id| self.ids.contains(&id))
    }

    /// Whether a notice was of an event that was found.
    fn is_of(&self, notice: &Notice, found: &CaseEvent, user: &Text) -> bool {
        let mut alike = self.events.iter().filter(|(delta, _)| is_alike(&delta.event, found));
        alike.any(|(delta, _)| notice_id(&delta.case, &delta.event, user).as_ref() == Some(&notice.id))
    }

    /// What users were told and will be told again.
    fn find_early(&self, case: &Text, found: &Found, now: Millis, foretold: &mut Foretold) {
        let ids: BTreeSet<&Text> = found.notices.iter().map(|notice| &notice.id).collect();
        for user in self.newest.keys() {
            for (delta, _) in self.events.iter().filter(|(delta, _)| self.was_told(delta, user)) {
                let mut alike = found.events.iter().filter(|found| is_alike(&found.event, &delta.event));
                match (alike.next(), &delta.event.escalation) {
                    (Some(found), _) => {
                        let id = notice_id(case, &found.event, user);
                        id.filter(|id| !ids.contains(id))
                            .into_iter()
                            .for_each(|id| foretold.add(id));
                    }
                    (None, Some(escalation)) if escalation.at.0 + DRIFT > now.0 => {
                        foretold.add_early(case, escalation, user);
                    }
                    (None, _) => {}
                }
            }
        }
    }
}
