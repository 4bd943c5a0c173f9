//! What a clock that was ahead told too early: when its time comes, nobody is told again, and nobody is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use riskflow_connectors::checkpoint::{FORETOLD, Note};
use riskflow_model::output::{CaseDelta, CaseEvent, CaseState, CaseStep, Escalation, Notice, NoticeEvent};
use riskflow_model::responsibility::User;
use riskflow_model::{Id, Level, Millis, OutputRow, Text};
use riskflow_operators::closed_loop::{notice_of, sentence};
use serde::{Deserialize, Serialize};

use super::same::{arms, is_end, is_news, notice_id, once_more, repeats};
use crate::runtime::output::EpochOutput;

/// What was sent too early, of cases that go on. A job finds it when it makes its state anew, and notes it beside its checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foretold {
    /// The epoch with which it was noted: what came before is known.
    since: Millis,
    /// The time zone of sentences, by its name.
    zone: Text,
    /// Notices that will not be sent again, by case.
    early: BTreeMap<Id<CaseState>, Vec<Early>>,
    /// Who was told of a case and is not known to it: what is told to all who were told is told to them as well. By case and user
    /// what they were told last.
    others: BTreeMap<Id<CaseState>, BTreeMap<Id<User>, Notice>>,
    /// Identifiers of notices that did not hold. A notice that does gets another one: whoever drops what he knows must not drop it.
    used: BTreeSet<Id<Notice>>,
    /// Escalations that passed since, of cases with early notices: who is found later was told as well.
    #[serde(skip)]
    passed: BTreeMap<Id<CaseState>, Vec<CaseEvent>>,
    /// Whether it is another than was noted.
    #[serde(skip)]
    changed: bool,
}

/// A notice that was sent and whose time is yet to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Early {
    /// As it was sent.
    pub(super) notice: Notice,
    /// Of an escalation: which.
    pub(super) deadline: Option<Escalation>,
    /// Whether it comes with the next arming of the case; else it is over with that.
    pub(super) arms: bool,
}

impl Early {
    /// Something that is of no deadline, and that no arming brings again.
    pub(super) const fn beside(notice: Notice) -> Self {
        Self {
            notice,
            deadline: None,
            arms: false,
        }
    }
}

impl Note for Foretold {
    const NAME: &'static str = FORETOLD;
}

impl Foretold {
    /// Nothing yet, as of an epoch; with the identifiers that were used before.
    pub(super) fn after(before: &Self, since: Millis, zone: &TimeZone) -> Self {
        let zone = zone.iana_name().expect("it was found by its name");
        Self {
            since,
            zone: zone.into(),
            used: before.used.clone(),
            ..Self::default()
        }
    }

    /// Whether it is another than at the last call.
    pub(super) const fn take_changed(&mut self) -> bool {
        std::mem::replace(&mut self.changed, false)
    }

    /// What was early of a case.
    pub(super) fn early_of(&self, case: &Id<CaseState>) -> impl Iterator<Item = &Early> {
        self.early.get(case).into_iter().flatten()
    }

    /// Who was told of a case and was not known to it.
    pub(super) fn others_of(&self, case: &Id<CaseState>) -> impl Iterator<Item = &Notice> {
        self.others.get(case).into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn add_early(&mut self, early: Early) {
        let of_case = self.early.entry(early.notice.case.clone()).or_default();
        of_case.push(early);
    }

    pub(super) fn add_other(&mut self, notice: Notice) {
        let of_case = self.others.entry(notice.case.clone()).or_default();
        of_case.insert(notice.user.clone(), notice);
    }

    pub(super) fn add_used(&mut self, id: Id<Notice>) {
        self.used.insert(id);
    }

    fn is_empty(&self) -> bool {
        self.early.is_empty() && self.others.is_empty() && self.used.is_empty()
    }

    /// What is told of an epoch instead; `None` where that is what it gives.
    pub(super) fn take_from(&mut self, output: &EpochOutput) -> Option<EpochOutput> {
        if self.is_empty() || output.epoch <= self.since {
            return None;
        }
        let events: Vec<&CaseDelta> = output.log::<CaseDelta>().filter(|delta| !delta.retracted).collect();
        for delta in &events {
            self.happens(delta);
        }
        let given: Vec<Notice> = output.log::<Notice>().cloned().collect();
        let mut told = Vec::with_capacity(given.len());
        for mut notice in given.iter().cloned() {
            if let Some(of_case) = self.others.get_mut(&notice.case) {
                // The case knows him now.
                self.changed |= of_case.remove(&notice.user).is_some();
            }
            if self.was_early(&notice) {
                continue;
            }
            notice.id = self.unused(notice.id);
            told.push(notice);
        }
        for delta in &events {
            let news = self.news(delta);
            // The case may come to know them, and then has the same to say.
            for notice in news.iter().filter(|notice| is_end(notice.event)) {
                self.add_early(Early::beside(notice.clone()));
                self.changed = true;
            }
            told.extend(news);
        }
        for delta in events.iter().filter(|delta| delta.event.step == CaseStep::Archived) {
            self.changed |= self.others.remove(&delta.case).is_some();
        }
        if told == given {
            return None;
        }
        let mut left = output.without(|row| row.downcast_ref::<Notice>().is_some());
        left.extend(told.into_iter().map(|notice| (OutputRow::new(notice), 1)));
        Some(left)
    }

    /// What an event makes of what is early.
    fn happens(&mut self, delta: &CaseDelta) {
        let CaseDelta { case, event, .. } = delta;
        if notice_of(event).is_some_and(|(kind, _)| is_end(kind)) {
            // Deadlines run on until somebody acknowledges the case.
            self.keep(case, |early| !early.arms && !is_news(early.notice.event));
        } else if arms(event) {
            self.keep(case, |early| early.arms);
        } else if event.escalation.is_some() && self.early_of(case).next().is_some() {
            self.passed.entry(case.clone()).or_default().push(event.clone());
        }
    }

    /// Drops what is early of a case but for what `stays`.
    fn keep(&mut self, case: &Id<CaseState>, stays: impl Fn(&Early) -> bool) {
        let Some(mut early) = self.early.remove(case) else {
            return;
        };
        let before = early.len();
        early.retain(|early| stays(early));
        self.changed |= early.len() != before;
        if !early.is_empty() {
            self.early.insert(case.clone(), early);
        }
    }

    /// Whether a notice was sent too early: it was, once.
    fn was_early(&mut self, notice: &Notice) -> bool {
        let mut passed = self.passed.get(&notice.case).into_iter().flatten();
        let event = passed.find(|event| notice_id(&notice.case, event, &notice.user).as_ref() == Some(&notice.id));
        let deadline = event.and_then(|event| event.escalation.as_ref());
        let is_it = |early: &Early| repeats((&early.notice, early.deadline.as_ref()), (notice, deadline));
        let Some(of_case) = self.early.get_mut(&notice.case) else {
            return false;
        };
        let Some(place) = of_case.iter().position(is_it) else {
            return false;
        };
        of_case.remove(place);
        if of_case.is_empty() {
            self.early.remove(&notice.case);
        }
        self.changed = true;
        true
    }

    fn unused(&self, mut id: Id<Notice>) -> Id<Notice> {
        while self.used.contains(&id) {
            id = once_more(&id);
        }
        id
    }

    /// What others are told of an event that all are told who were told before.
    fn news(&self, delta: &CaseDelta) -> Vec<Notice> {
        let CaseDelta { case, event, .. } = delta;
        let Some((kind, _)) = notice_of(event).filter(|(kind, _)| is_news(*kind)) else {
            return Vec::new();
        };
        let zone = TimeZone::get(&self.zone).expect("a time zone of the settings, by its name");
        let tell = |notice: &Notice| {
            let id = self.unused(notice_id(case, event, &notice.user)?);
            Some(news(notice, (id, kind, event.level), &zone))
        };
        self.others_of(case).filter_map(tell).collect()
    }
}

/// What someone is told after something else.
pub(super) fn news(before: &Notice, (id, event, level): (Id<Notice>, NoticeEvent, Level), zone: &TimeZone) -> Notice {
    let mut news = Notice {
        id,
        event,
        level,
        due: None,
        reminder: None,
        ..before.clone()
    };
    sentence::write(&mut news, zone);
    news
}
