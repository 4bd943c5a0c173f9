//! What happens to a case by itself, as time passes: deadlines and reminders.

use riskflow_model::output::{Basis, CaseStep};

use super::{Task, Walk, full_name, task_due};

impl Walk<'_> {
    /// Whether people are told.
    pub fn telling(&self) -> bool {
        self.step < CaseStep::Verified && self.basis != Basis::Withdrawn && self.rejected.is_none()
    }

    /// Whether nobody is told for a while.
    pub fn suppressed(&self, at: i64) -> bool {
        self.suppressed.is_some_and(|until| at < until)
    }

    /// The numbers and times of the reminders up to now, as far as it stands; none of a case that needs none.
    pub fn reminders(&self, now: i64) -> Vec<(u32, i64)> {
        let (from, domain, level) = self.reminding;
        let waits = matches!(self.step, CaseStep::Issued | CaseStep::Called);
        let on = waits && self.basis == Basis::Active && self.telling() && !self.suppressed(now);
        let Some(every) = self.semantics.case.remind(domain, level).filter(|_| on) else {
            return Vec::new();
        };
        // What lies in a suppression is not made up for: one that is over begins the count anew.
        let from = self
            .quiet_until
            .filter(|until| *until <= now)
            .map_or(from, |until| from.max(until));
        (1..)
            .map(|number| (number, from + i64::from(number) * every.0))
            .take_while(|(_, at)| *at <= now)
            .collect()
    }

    /// Every time at which something may happen by itself.
    pub(super) fn borders(&self) -> Vec<i64> {
        let obligations = self.obligations.values().filter_map(|pending| pending.due);
        let tasks = self.tasks.iter().filter_map(task_due);
        let steps = self.next.iter().chain([&self.whole]).filter_map(|due| due.at);
        obligations.chain(tasks).chain(steps).chain(self.suppressed).collect()
    }

    /// Deadlines that are over by now: missed if they are in force, unless a suppression puts that off.
    pub(super) fn deadlines(&mut self, at: i64) {
        let (telling, lead) = (self.telling(), self.lead());
        let suppressed = self.suppressed(at);
        // What came while it was suppressed and in force waits for the end of that, whatever becomes of the case meanwhile.
        let passes = |due: Option<i64>, in_force: bool, put_off: &mut bool| {
            let came = due.is_some_and(|due| due <= at);
            *put_off |= came && in_force && suppressed;
            came && !(*put_off && suppressed)
        };
        let mut missed = Vec::new();
        if let Some(next) = self.next.as_mut().filter(|next| !next.passed) {
            let in_force = telling || next.step == CaseStep::Archived;
            if passes(next.at, in_force, &mut next.put_off) {
                next.passed = true;
                missed.extend(in_force.then(|| (next.step, lead.clone(), None)));
            }
        }
        let in_force = telling && self.obligations.is_empty() && self.step <= CaseStep::Called;
        if !self.whole.passed && passes(self.whole.at, in_force, &mut self.whole.put_off) {
            self.whole.passed = true;
            if in_force {
                missed.push((CaseStep::Acknowledged, None, None));
            }
        }
        for (place, pending) in &mut self.obligations {
            if !pending.passed && passes(pending.due, telling, &mut pending.put_off) {
                pending.passed = true;
                if telling && pending.acknowledged.is_none() {
                    let from = (place.clone(), pending.asking.parent.clone());
                    missed.push((CaseStep::Acknowledged, Some(from), None));
                }
            }
        }
        let mut over: Vec<&mut Task> = self.tasks.iter_mut().filter(|task| !task.passed).collect();
        over.retain_mut(|task| passes(task_due(task), telling, &mut task.put_off));
        over.sort_by_key(|task| (task.wanted.plan.clone(), task.wanted.task.clone()));
        for task in over {
            task.passed = true;
            let of_role = self.obligations.iter().find(|((_, role), _)| *role == task.wanted.role);
            let from = of_role.map(|(place, pending)| (place.clone(), pending.asking.parent.clone()));
            if telling && task.reported.is_none() {
                let from = from.or_else(|| lead.clone());
                missed.push((CaseStep::Reported, from, Some(full_name(&task.wanted))));
            }
        }
        for (step, from, task) in missed {
            self.lift(Some(step), from, task, at, None);
        }
    }
}
