//! What a clock that was ahead told too early: when its time comes, nobody is told again.

use std::collections::BTreeSet;

use riskflow_connectors::checkpoint::{FORETOLD, Note};
use riskflow_model::Text;
use riskflow_model::output::{CaseDelta, CaseEvent, Escalation, Notice};
use serde::{Deserialize, Serialize};

use super::same::{notice_id, same_deadline};
use crate::runtime::output::EpochOutput;

/// Notices that were sent and whose time is yet to come. A job finds them when it makes its state anew, and notes them beside its
/// checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foretold {
    /// Identifiers that these notices will have.
    notices: BTreeSet<Text>,
    /// Escalations of which the time, and with it the identifier, may come out as another one.
    escalations: Vec<Early>,
}

/// A deadline that had not passed, and the users who were told that it had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Early {
    case: Text,
    escalation: Escalation,
    users: BTreeSet<Text>,
}

impl Note for Foretold {
    const NAME: &'static str = FORETOLD;
}

impl Foretold {
    /// A notice of something that holds and that the user will be told.
    pub(super) fn add(&mut self, notice: Text) {
        self.notices.insert(notice);
    }

    /// Users who were told of a deadline that is yet to pass.
    pub(super) fn add_early(&mut self, case: &Text, escalation: &Escalation, user: &Text) {
        let known = self.escalations.iter_mut();
        let mut known = known.filter(|early| early.case == *case && early.escalation == *escalation);
        if let Some(early) = known.next() {
            early.users.insert(user.clone());
            return;
        }
        self.escalations.push(Early {
            case: case.clone(),
            escalation: escalation.clone(),
            users: [user.clone()].into(),
        });
    }

    /// What is left of an epoch without the notices that were sent too early; `None` where that is all of it.
    pub(super) fn take_from(&mut self, output: &EpochOutput) -> Option<EpochOutput> {
        if self.notices.is_empty() && self.escalations.is_empty() {
            return None;
        }
        for delta in output.log::<CaseDelta>().filter(|delta| !delta.retracted) {
            self.comes_true(&delta.case, &delta.event);
        }
        let gone: BTreeSet<Text> = output
            .log::<Notice>()
            .filter(|notice| self.notices.remove(&notice.id))
            .map(|notice| notice.id.clone())
            .collect();
        let is_gone = |notice: &Notice| gone.contains(&notice.id);
        (!gone.is_empty()).then(|| output.without(|row| row.downcast_ref().is_some_and(is_gone)))
    }

    /// A deadline passes: from now on it is known by which time.
    fn comes_true(&mut self, case: &Text, event: &CaseEvent) {
        let Some(escalation) = &event.escalation else { return };
        let is_it = |early: &Early| early.case == *case && same_deadline(&early.escalation, escalation);
        let Some(place) = self.escalations.iter().position(is_it) else {
            return;
        };
        let users = self.escalations.swap_remove(place).users;
        let notices = users.iter().filter_map(|user| notice_id(case, event, user));
        self.notices.extend(notices);
    }
}
