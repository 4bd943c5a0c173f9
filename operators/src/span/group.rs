//! What a gauge shows of one asset or region.
//!
//! ```text
//!   spans that come and go ──► Measured, from the floor on ──► value, since ─┐
//!                         └──► Members ──► those that hold ──────────────────┴─► row of out.gauge
//! ```
//!
//! The clock only uncovers: spans say what is to come, too. A group is woken at the next instant at which one of its spans begins or
//! ends, and at the end of the bucket where that is shown.
//!
//! # Invariants
//!
//! * Of a gauge of events, what changes at a time counts from the **floor** on, `time.event_age` before. Before it the measure is what it
//!   was ([`Past`]). The floor never falls; a group that is new has none. Of all else there is none ever: spans of rows are known for ever.
//! * Members are those of the spans that there are: they are asked of the present only, and that is not before the floor.
//! * What spans need (`missing`) comes only with them, and is no span of the group: it is no member, and keeps no group.
//! * Spans are not saved: they come again after a restart. What was given out, and what stays before the floor, is saved.

use std::collections::BTreeMap;
use std::sync::Arc;

use differential_dataflow::consolidation::consolidate;
use riskflow_model::gauge::{Gauge, GaugeMember, GaugeState, GaugeSubject, MOST_MEMBERS, SpanKind};
use riskflow_model::output::Cause;
use riskflow_model::{Duration, Millis, Number, Shared};
use serde::{Deserialize, Serialize};

use super::measured::{Measured, Past};
use super::subject::Gauges;
use super::what::Told;
use super::{GaugeSpan, GroupSpan, Subject};
use crate::engine::Diff;
use crate::gauge::{ALWAYS, Member, Members, OPEN, Stretch};

/// The floor may rise by this part of the age before what lies before it is let go.
const PART: i64 = 16;

/// Of one gauge at one asset or in one region: what stays of the time before the floor, and the row that was given out.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Group {
    /// Of what it is; `None` until the first span came.
    of: Option<(Shared<Gauge>, Subject)>,
    /// What was before the floor; `None` where that is [`ALWAYS`].
    past: Option<Past>,
    /// What is made of its spans; `None` until the first came, or came again.
    #[serde(skip)]
    held: Option<Box<Held>>,
    /// The row that was given out.
    shown: Option<Arc<GaugeState>>,
    /// When something changes without any span; `None` where something did.
    #[serde(skip)]
    due: Option<i64>,
}

/// What an epoch did to a group.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Touched {
    /// Where the value may be another one than before.
    pub(super) stretch: Option<Stretch>,
    /// What that is to a level.
    pub(super) cause: Option<Cause>,
}

/// What is made of the spans of a group.
#[derive(Debug)]
struct Held {
    measured: Measured,
    members: Members<Told>,
    /// How many spans there are, over or not; not those that others need.
    spans: usize,
    /// The instants to come at which spans begin or end, and how many do; also those that others need.
    ahead: BTreeMap<i64, u32>,
    /// The measure let go of all before.
    forgotten: i64,
}

impl Held {
    /// No span yet but what was before the floor.
    fn new(gauge: &Gauge, past: Option<&Past>, bucket: &impl Fn(i64) -> Stretch) -> Self {
        Self {
            measured: Measured::after(gauge, past, bucket),
            members: Members::default(),
            spans: 0,
            ahead: BTreeMap::new(),
            forgotten: floor_of(past),
        }
    }

    /// A span comes or goes: as a member, and as what the clock uncovers.
    fn change(&mut self, now: Millis, (span, diff): &(GroupSpan, Diff)) {
        if let GroupSpan::Own(span) = span {
            let member = member(span);
            if *diff > 0 {
                self.members.put(member);
                self.spans += 1;
            } else {
                self.members.remove(&member);
                self.spans = self.spans.saturating_sub(1);
            }
        }
        self.change_borders(now, borders_of(span), *diff);
    }

    /// The same for the measure, so many times.
    fn measure(&mut self, (span, diff): &(GroupSpan, Diff), floor: i64, bucket: &impl Fn(i64) -> Stretch) {
        match span {
            GroupSpan::Own(span) => {
                for _ in 0..diff.unsigned_abs() {
                    self.measured.add(span, *diff > 0, floor, bucket);
                }
            }
            GroupSpan::Needed(span) => {
                let times = (*diff).clamp(i32::MIN.into(), i32::MAX.into());
                self.measured.add_needed(span, times as i32, floor);
            }
        }
    }

    fn change_borders(&mut self, now: Millis, borders: [Millis; 2], diff: Diff) {
        for Millis(border) in borders {
            if border <= now.0 || border == OPEN {
                continue;
            }
            let spans = self.ahead.entry(border).or_default();
            let times = u32::try_from(diff.unsigned_abs()).unwrap_or(u32::MAX);
            *spans = if diff > 0 {
                spans.saturating_add(times)
            } else {
                spans.saturating_sub(times)
            };
            if *spans == 0 {
                self.ahead.remove(&border);
            }
        }
    }

    /// Lets go of what lies before the floor, once the floor has risen far enough.
    fn forget(&mut self, floor: i64, age: Duration, bucket: &impl Fn(i64) -> Stretch) {
        let least = (age.0 / PART).max(1);
        if floor.saturating_sub(self.forgotten) >= least {
            self.measured.forget(floor, bucket);
            self.forgotten = floor;
        }
    }

    /// The next instant to come at which a span begins or ends; [`OPEN`] if none does.
    fn next_border(&mut self, now: Millis) -> i64 {
        while self.ahead.first_key_value().is_some_and(|(border, _)| *border <= now.0) {
            self.ahead.pop_first();
        }
        self.ahead.keys().next().copied().unwrap_or(OPEN)
    }

    /// What is shown at a time, if anything is.
    fn row(
        &self,
        now: Millis,
        (gauge, subject): &(Shared<Gauge>, Subject),
        past: Option<&Past>,
        bucket: &impl Fn(i64) -> Stretch,
    ) -> Option<GaugeState> {
        let members = self.members.at(now.0, MOST_MEMBERS);
        let value = self.measured.value(now.0, bucket);
        if members.is_empty() && value.is_nothing() {
            return None;
        }
        let since = self.measured.since(now.0, past, bucket);
        let (value, level) = self.measured.shown(value, now.0, since);
        Some(GaugeState {
            gauge: gauge.id.clone(),
            title: gauge.title.clone(),
            measure: gauge.measure,
            subject: GaugeSubject {
                kind: subject.kind,
                id: subject.id.clone(),
            },
            region: subject.region,
            value,
            level,
            since: (since != ALWAYS).then_some(Millis(since)),
            members: members.into_iter().map(shown_member).collect(),
        })
    }
}

/// Changes as a measure sees them: of a span that is told again with other evidence it sees nothing.
fn measurable(mut spans: Vec<(GroupSpan, Diff)>) -> Vec<(GroupSpan, Diff)> {
    let own = |(span, _): &(GroupSpan, Diff)| match span {
        GroupSpan::Own(span) => Some(span.what.clone()),
        GroupSpan::Needed(_) => None,
    };
    // Whatever they are made of, for the measure it is the same.
    let Some(one) = spans.iter().find_map(own) else {
        return spans;
    };
    for (span, _) in &mut spans {
        if let GroupSpan::Own(span) = span {
            span.what = one.clone();
        }
    }
    consolidate(&mut spans);
    spans.sort_by_key(|(_, diff)| *diff);
    spans
}

/// The first instant from which on spans count as they are.
fn floor_of(past: Option<&Past>) -> i64 {
    past.map_or(ALWAYS, |past| past.floor)
}

fn member(span: &GaugeSpan) -> Member<Told> {
    Member {
        stretch: Stretch::new(span.from.0, span.to.0),
        level: span.level,
        weight: span.weight,
        id: Told::new(&span.what),
    }
}

fn shown_member(member: Member<Told>) -> GaugeMember {
    let what = member.id.what();
    let Stretch { from, to } = member.stretch;
    GaugeMember {
        of: what.sort(),
        id: what.id().clone(),
        kind: what.kind(),
        from: Millis(from),
        to: (to != OPEN).then_some(Millis(to)),
        level: member.level,
        weight: Number(member.weight as f64 / 1_000.0),
        source: what.source(),
        evidence: what.evidence(),
    }
}

impl Group {
    /// What is measured, as long as there is any span.
    pub(super) fn measured(&self) -> Option<&Measured> {
        self.held.as_ref().map(|held| &held.measured)
    }

    /// Whether it stood in a checkpoint, and its spans are yet to come.
    pub(super) const fn is_loaded(&self) -> bool {
        self.of.is_some() && self.held.is_none()
    }

    /// When something happens to it next, if nothing does by now.
    pub(super) fn due(&self, now: Millis) -> Option<i64> {
        self.due.filter(|due| *due > now.0)
    }

    /// The row that was given out.
    pub(super) fn shown(&self) -> Option<&Arc<GaugeState>> {
        self.shown.as_ref()
    }

    /// Takes in the spans that came and went; `told` is the gauge and the subject, if any came.
    pub(super) fn change(
        &mut self,
        now: Millis,
        terms: &Gauges,
        told: Option<(Shared<Gauge>, Subject)>,
        mut spans: Vec<(GroupSpan, Diff)>,
    ) -> Touched {
        let loaded = self.is_loaded();
        self.due = None;
        if let Some((gauge, subject)) = told {
            if self.of.as_ref().is_none_or(|(known, _)| *known != gauge) {
                // It begins anew, and what goes was of the gauge before.
                (self.past, self.held) = (None, None);
                spans.retain(|(_, diff)| *diff > 0);
            }
            self.of = Some((gauge, subject));
        }
        // Of an asset that moved all spans go and come again: nothing happened to them.
        consolidate(&mut spans);
        spans.sort_by_key(|(_, diff)| *diff);
        let Self { of, past, held, .. } = self;
        let Some((gauge, _)) = of.as_ref() else {
            return Touched::default();
        };
        let bucket = terms.bucket(gauge.bucket);
        let stays = gauge.of == SpanKind::Event && !spans.is_empty();
        // A group that is new, or was loaded, gets all its spans: nothing happened to these.
        if let Some(held) = held.as_ref().filter(|_| stays) {
            let floor = (now - terms.age).0;
            if floor > floor_of(past.as_ref()) {
                *past = Some(held.measured.past(floor, past.as_ref(), &bucket));
            }
        }
        let floor = floor_of(past.as_ref());
        let held = held.get_or_insert_with(|| Box::new(Held::new(gauge, past.as_ref(), &bucket)));
        for change in &spans {
            held.change(now, change);
        }
        let cause = if loaded { None } else { terms.cause(now, &spans) };
        let spans = measurable(spans);
        for change in &spans {
            held.measure(change, floor, &bucket);
        }
        held.forget(floor, terms.age, &bucket);
        // Of events what was over before the floor touches nothing.
        let rules_floor = terms.floor(now);
        let is_past = |from: Millis, to: Millis| to.0.max(from.0.saturating_add(1)) <= rules_floor;
        let touched = spans.iter().map(|(span, _)| borders_of(span));
        let touched = touched.filter(|[from, to]| gauge.of != SpanKind::Event || !is_past(*from, *to));
        let touched = touched.map(|[from, to]| held.measured.touched(Stretch::new(from.0, to.0), &bucket));
        let touched = touched.filter(|touched| touched.to > rules_floor);
        Touched {
            stretch: touched.reduce(|one, other| Stretch::new(one.from.min(other.from), one.to.max(other.to))),
            cause,
        }
    }

    /// Gives what differs of its row, and says when something changes without any span; `None` where there is none any more.
    pub(super) fn settle(
        &mut self,
        now: Millis,
        terms: &Gauges,
        mut give: impl FnMut(Arc<GaugeState>, Diff),
    ) -> Option<i64> {
        let Self {
            of,
            past,
            held,
            shown,
            due,
        } = self;
        let held = held.as_mut().filter(|held| held.spans > 0);
        let (Some(of), Some(held)) = (of.as_ref(), held) else {
            shown.take().into_iter().for_each(|row| give(row, -1));
            return None;
        };
        let bucket_of = of.0.bucket;
        let bucket = terms.bucket(bucket_of);
        let row = held.row(now, of, past.as_ref(), &bucket).map(Arc::new);
        if row != *shown {
            shown.take().into_iter().for_each(|row| give(row, -1));
            row.clone().into_iter().for_each(|row| give(row, 1));
            *shown = row;
        }
        held.members.forget(now.0);
        let mut wake = held.next_border(now);
        if bucket_of.is_some() && shown.is_some() {
            wake = wake.min(bucket(now.0).to);
        }
        *due = Some(wake);
        Some(wake)
    }
}

/// From when to when a span holds.
pub(super) const fn borders_of(span: &GroupSpan) -> [Millis; 2] {
    match span {
        GroupSpan::Own(span) => [span.from, span.to],
        GroupSpan::Needed(span) => [span.from, span.to],
    }
}
