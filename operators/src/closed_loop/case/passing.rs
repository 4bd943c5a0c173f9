//! Deadlines of a case that pass: which is the first, what puts it off, and to whom it escalates.

use riskflow_model::output::{By, CaseEventKind, CaseStep, Cause, Escalation, TaskState};
use riskflow_model::{Millis, Text};

use super::machine::{Lifted, Machine, Post, Told};
use crate::closed_loop::obligation::PlannedTask;

/// Which deadline.
enum Which {
    Next,
    Anybody,
    Obliged(Post),
    Job(PlannedTask),
}

impl Machine {
    /// Passes every deadline before this time.
    pub fn pass(&mut self, before: Millis, out: &mut Vec<Told>) {
        while let Some((due, which)) = self.first_due() {
            if due >= before {
                return;
            }
            self.pass_one(due, which, out);
        }
    }

    /// When something happens by the clock alone.
    pub fn next_due(&self) -> Option<Millis> {
        self.first_due().map(|(due, _)| due)
    }

    /// The first deadline ahead; of several at one time the next step's, then by unit and role, then tasks.
    fn first_due(&self) -> Option<(Millis, Which)> {
        let mut first: Option<(Millis, Which)> = None;
        let mut take = |due: Option<Millis>, which: Which| {
            if let Some(due) = due.filter(|due| first.as_ref().is_none_or(|(least, _)| due < least)) {
                first = Some((due, which));
            }
        };
        take(self.next.1.ahead, Which::Next);
        take(self.anybody.ahead, Which::Anybody);
        for (post, obliged) in self
            .obliged
            .iter()
            .filter(|(_, obliged)| obliged.acknowledged.is_none())
        {
            take(obliged.deadline.ahead, Which::Obliged(post.clone()));
        }
        for (id, job) in self.jobs.iter().filter(|(_, job)| job.reported.is_none()) {
            take(job.deadline.ahead, Which::Job(id.clone()));
        }
        first
    }

    fn pass_one(&mut self, due: Millis, which: Which, out: &mut Vec<Told>) {
        let to_archive = matches!(which, Which::Next) && self.next.0 == CaseStep::Archived;
        // Where somebody is obliged, those must acknowledge, and not anybody.
        let concerns = !matches!(which, Which::Anybody) || self.obliged.is_empty();
        let in_force = (self.telling() && concerns) || to_archive;
        // What passes while nobody is told passes at the end of that.
        let later = self.suppressed.filter(|until| in_force && *until > due);
        let lead = self.lead();
        let deadline = match &which {
            Which::Next => &mut self.next.1,
            Which::Anybody => &mut self.anybody,
            Which::Obliged(post) => match self.obliged.get_mut(post) {
                Some(obliged) => &mut obliged.deadline,
                None => return,
            },
            Which::Job(id) => match self.jobs.get_mut(id) {
                Some(job) => &mut job.deadline,
                None => return,
            },
        };
        deadline.pass(later);
        if later.is_some() {
            return;
        }
        if !in_force {
            return;
        }
        let (step, from, task) = match which {
            Which::Next => (self.next.0, lead, None),
            Which::Anybody => (CaseStep::Acknowledged, None, None),
            Which::Obliged(post) => (CaseStep::Acknowledged, Some(post), None),
            Which::Job(id) => {
                let job = self.jobs.get(&id).expect("its deadline was found above");
                let role = job.task.role.clone();
                let of_role = self.obliged.keys().find(|(_, held)| *held == role).cloned();
                // By its full name: two plans may ask for tasks of one name, and these are two escalations.
                (
                    CaseStep::Reported,
                    of_role.or(lead),
                    Some(TaskState::full_name(&id.0, &id.1)),
                )
            }
        };
        self.lift(due, Some(step), from, task, None, out);
    }

    /// Nobody is told until a time, or no longer: what was put off until another one passes then.
    pub(super) fn suppress(&mut self, at: Millis, until: Option<Millis>) {
        // As long as nobody was told, nobody could be reminded.
        if let (Some(reminding), Some(over)) = (&mut self.reminding, self.suppressed) {
            reminding.from = reminding.from.max(over.min(at));
        }
        // One that is over already suppresses nothing.
        self.suppressed = until.filter(|until| *until > at);
        let end = self.suppressed.unwrap_or(at);
        let obliged = self.obliged.values_mut().map(|obliged| &mut obliged.deadline);
        let jobs = self.jobs.values_mut().map(|job| &mut job.deadline);
        for deadline in [&mut self.next.1, &mut self.anybody]
            .into_iter()
            .chain(obliged)
            .chain(jobs)
        {
            deadline.put_off_until(at, end);
        }
    }

    /// The obligation that answers for the case as a whole.
    pub(super) fn lead(&self) -> Option<Post> {
        let first = self
            .obliged
            .iter()
            .min_by_key(|(post, obliged)| (std::cmp::Reverse(obliged.held.depth), (*post).clone()));
        first.map(|(post, _)| post.clone())
    }

    /// An escalation to the parent of a unit.
    pub(super) fn lift(
        &mut self,
        at: Millis,
        step: Option<CaseStep>,
        from: Option<Post>,
        task: Option<Text>,
        by: Option<(By, Millis)>,
        out: &mut Vec<Told>,
    ) {
        let to = from
            .as_ref()
            .and_then(|post| self.obliged.get(post)?.held.parent.clone());
        let (unit, role) = from.unzip();
        let escalation = Escalation {
            step,
            unit,
            role,
            task,
            to,
            at,
        };
        self.lifted.push(Lifted {
            escalation: escalation.clone(),
            round: self.round,
            acknowledged: false,
        });
        let cause = if by.is_some() { Cause::Manual } else { Cause::Clock };
        let (by, done) = by.unzip();
        let mut event = self.event(done.unwrap_or(at), CaseEventKind::Escalated);
        event.by = by;
        event.escalation = Some(escalation);
        out.push((event, cause));
    }
}
