//! What a watch gives out: where its level changed, and why.

use riskflow_model::base::{Asset, Datastream};
use riskflow_model::output::Cause;
use riskflow_model::{Id, Level};

use super::{Context, Watch};
use crate::engine::Diff;
use crate::warning::monitor::evidence;
use crate::warning::monitor::finding::{Explained, Finding, Revision, Track};
use crate::warning::monitor::turns::{last_change, levels};

impl Watch {
    /// Gives out the level in the range where it changed.
    pub(super) fn give(
        &mut self,
        context: &Context<'_>,
        (level, stale): (Level, bool),
        range: Option<(i64, i64)>,
        out: &mut Vec<(Finding, Diff)>,
    ) {
        let standing = (level > Level::None).then_some((level, stale));
        let fresh = self.fresh.take();
        let found = self.cause.take();
        let never_on = self.turns.is_empty() && self.ahead.is_empty() && !self.told;
        if range.is_none() && standing == self.shown_standing && (fresh.is_none() || never_on) {
            return;
        }
        let Some(asset) = &context.subject.asset else {
            return;
        };
        let shown = std::mem::replace(&mut self.shown_standing, standing);
        let changed = range.is_some() || fresh.is_some();
        let past = fresh.as_ref().and_then(|fresh| fresh.past.as_ref());
        let (from, until) = match (&fresh, past) {
            (Some(_), None) => (i64::MIN, i64::MAX),
            (Some(_), Some(past)) => (past.from, i64::MAX),
            (None, _) => range.unwrap_or((i64::MAX, i64::MAX)),
        };
        let begins = past.map_or(from, |_| self.sight.floor + 1);
        let start = if begins == i64::MIN {
            0
        } else {
            self.turns.after(begins.saturating_sub(1))
        };
        let rule = &self.entry.rule;
        let before = self.turns.set(start);
        let mut tail = levels(before, self.turns.from(start, &self.ahead), rule);
        tail.retain(|(time, _)| (begins..until).contains(time));
        if let Some(past) = past {
            let goes_on_with = before.level(rule);
            if past.level != Some(goes_on_with) && tail.first().is_none_or(|(time, _)| *time > begins) {
                tail.insert(0, (begins, goes_on_with));
            }
            tail.splice(0..0, past.track.iter().copied());
        }
        let cause = fresh.as_ref().map(|fresh| fresh.cause).max(found);
        let cause = changed.then(|| cause.unwrap_or(Cause::Clock));
        let explanation = cause.map(|_| {
            let began = match &fresh {
                Some(_) => past.and_then(|past| past.since),
                None => Some(from),
            };
            let undone = shown.zip(began).filter(|_| standing.is_none());
            let undone = undone.map(|((level, _), began)| (began, level));
            let (at, level) = self.occasion(undone, context.now);
            Box::new(evidence::explain(
                &self.walk(context.ground),
                at,
                level,
                context.subject,
            ))
        });
        let over = changed.then(|| self.explain_past(context, &tail, (begins, before.level(rule)), shown.is_some()));
        let revision = Revision {
            from,
            tail,
            until,
            reach: context.reach,
            stale,
            cause,
            explanation,
            past: over.unwrap_or_default(),
            ..Revision::of(rule, asset, &context.subject.datastream)
        };
        self.told = true;
        out.push((Finding::Revision(Box::new(revision)), 1));
    }

    /// What is over in a stretch that changed: `from` and `before` are where that begins, and the level there.
    fn explain_past(
        &self,
        context: &Context<'_>,
        tail: &Track,
        (from, before): (i64, Level),
        was_shown: bool,
    ) -> Vec<Explained> {
        // What ends as it was shown is told as the end of what was open, not of the past. In a storm that is most of what ends.
        if was_shown && before > Level::None && matches!(tail[..], [(_, Level::None)]) {
            return Vec::new();
        }
        let over = occasions(tail, (from, before)).into_iter();
        let explained = over.map(|(at, level)| Explained {
            at,
            level,
            why: Box::new(evidence::explain(
                &self.walk(context.ground),
                at,
                level,
                context.subject,
            )),
        });
        explained.collect()
    }

    /// When to explain the level, and which: where it changed last; of one that was shown and is undone, since when it was.
    fn occasion(&self, undone: Option<(i64, Level)>, now: i64) -> (i64, Level) {
        let last = last_change(self.turns.from(0, &self.ahead), &self.entry.rule);
        let is_undone = |(began, _): &(i64, Level)| *began < i64::MAX && last.is_none_or(|(at, ..)| at < *began);
        match (undone.filter(is_undone), last) {
            (Some(undone), _) => undone,
            (None, None) => (now, Level::None),
            (None, Some((at, Level::None, before))) => (at, before),
            (None, Some((at, level, _))) => (at, level),
        }
    }

    pub(in crate::warning::monitor) fn end(
        self,
        asset: &Id<Asset>,
        datastream: &Id<Datastream>,
        cause: Cause,
        out: &mut Vec<(Finding, Diff)>,
    ) {
        if !self.told {
            return;
        }
        let never_on = !self.was_ever_on();
        let revision = Revision {
            from: i64::MIN,
            gone: true,
            // The end of what was never on, as known now, explains nothing.
            cause: Some(cause).filter(|_| !never_on),
            ..Revision::of(&self.entry.rule, asset, datastream)
        };
        // Endings first: the same datastream may come anew in this epoch.
        out.push((Finding::Revision(Box::new(revision)), 1));
    }
}

/// When to explain what is over in a stretch that changed, and which level: of each episode where it is at its highest for the first
/// time. `from` and `before` are where the stretch begins, and the level there; where nothing began, something may be gone.
fn occasions(tail: &Track, (from, before): (i64, Level)) -> Vec<(i64, Level)> {
    let mut found = Vec::new();
    // What went on into the stretch is explained by its last moment before.
    let mut highest = (before > Level::None).then(|| (from.saturating_sub(1), before));
    if from > i64::MIN && before == Level::None && tail.first().is_none_or(|(time, _)| *time > from) {
        found.push((from, Level::None));
    }
    for (time, level) in tail {
        if *level == Level::None {
            found.extend(highest.take());
        } else if highest.is_none_or(|(_, highest)| *level > highest) {
            highest = Some((*time, *level));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_is_explained_where_it_was_highest() {
        use Level::{Blue, None, Red};
        let tail = vec![
            (10, Blue),
            (20, Red),
            (30, Blue),
            (40, None),
            (50, Blue),
            (60, None),
            (70, Red),
        ];
        assert_eq!(occasions(&tail, (10, None)), [(20, Red), (50, Blue)]);
        assert_eq!(occasions(&tail, (i64::MIN, None)), [(20, Red), (50, Blue)]);
        assert_eq!(
            occasions(&tail, (5, None)),
            [(5, None), (20, Red), (50, Blue)],
            "something is gone"
        );
        assert_eq!(occasions(&vec![(10, None)], (10, Red)), [(9, Red)]);
        assert_eq!(occasions(&Track::new(), (10, None)), [(10, None)]);
        assert_eq!(occasions(&Track::new(), (10, Red)), []);
    }
}
