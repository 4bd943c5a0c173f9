//! By when something must be done, and how often people are reminded.

use riskflow_model::output::Reminder;
use riskflow_model::{Duration, Millis};
use serde::{Deserialize, Serialize};

/// Something that must be done by a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// By when; `None` where no deadline is set.
    pub due: Option<Millis>,
    /// When it will pass: later than `due` where it was put off; `None` once it has passed, missed or not in force.
    pub ahead: Option<Millis>,
    /// Whether it has passed: it does once, whatever limits come and go.
    passed: bool,
}

impl Deadline {
    pub(super) const NONE: Self = Self {
        due: None,
        ahead: None,
        passed: false,
    };

    pub(super) fn after(from: Millis, limit: Option<Duration>) -> Self {
        let due = limit.map(|limit| from + limit);
        Self {
            due,
            ahead: due,
            passed: false,
        }
    }

    /// It passes: now, or at the end of what puts it off.
    pub(super) const fn pass(&mut self, later: Option<Millis>) {
        self.ahead = later;
        self.passed = later.is_none();
    }

    /// The suppression that put it off ends at another time. One that only counts from a changed limit was not put off.
    pub(super) fn put_off_until(&mut self, at: Millis, until: Millis) {
        if self.ahead > Some(at) && self.ahead != self.due {
            self.ahead = Some(until);
        }
    }

    /// Another limit from the same beginning; one that is past by now passes now.
    pub(super) fn change(&mut self, now: Millis, from: Millis, limit: Option<Duration>) {
        let due = limit.map(|limit| from + limit);
        if due != self.due {
            self.due = due;
            self.ahead = due.filter(|_| !self.passed).map(|due| due.max(now));
        }
    }
}

/// From when on people are reminded, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reminding {
    /// They were told then.
    pub from: Millis,
    /// So long after that they are reminded, and again and again; more than nothing.
    pub every: Duration,
}

impl Reminding {
    /// The last reminder that is due; `None` before the first.
    pub fn last_due(&self, now: Millis) -> Option<Reminder> {
        let number = u32::try_from((now - self.from).0 / self.every.0).unwrap_or(0);
        (number > 0).then(|| Reminder {
            number,
            at: self.from + Duration(i64::from(number) * self.every.0),
        })
    }

    /// When the next one is due.
    pub fn next_due(&self, now: Millis) -> Millis {
        self.last_due(now).map_or(self.from, |last| last.at) + self.every
    }
}
