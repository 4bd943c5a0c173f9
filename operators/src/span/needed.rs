//! View: what the spans of gauges need, in the groups that have a span which needs it.
//!
//! # Invariants
//!
//! * A needed span is in a group just while the group has a span of its own that counts and has the same texts `needs.on`. So a group is
//!   not there for what is needed alone.
//! * What is needed counts wherever it is: also where its asset has no row, and where it is nowhere.

use riskflow_model::gauge::{Gauge, SpanKind};
use riskflow_model::{Key, Shared, Text};

use super::placed::texts;
use super::{Counted, GroupSpan, NeededSpan, Span, Subject};
use crate::engine::{Diff, Rows, join_few};

/// By what spans meet those that they need: the content of the gauge's row, and the texts. So what a gauge asked for meets nothing of what
/// it asks for now.
type Meeting = (Key, Key);

/// A group, its gauge and its subject.
type Needing = (Key, Shared<Gauge>, Subject);

/// Finds the groups that need spans. `own` are the spans of all groups.
pub(super) fn needed<'scope>(
    spans: Rows<'scope, Span>,
    own: Rows<'scope, (Key, Counted)>,
    gauges: Rows<'scope, Shared<Gauge>>,
) -> Rows<'scope, (Key, Counted)> {
    let groups = own
        .flat_map(|(group, counted)| needing(group, counted))
        .distinct_core::<Diff>()
        .arrange_by_key_named("Span: groups by what they need");
    let gauges = gauges.flat_map(|gauge| {
        let sort = gauge.needs.as_ref().map(|needs| needs.of);
        sort.map(|sort| (sort, gauge))
    });
    join_few(
        spans.map(|span| (span.what.sort(), span)),
        gauges,
        "Span: needed",
        |sort: &SpanKind| vec![*sort],
        |_, span: &Span, gauge: &Shared<Gauge>| span.needed(gauge),
    )
    .arrange_by_key_named("Span: needed, by texts")
    .join_core(groups, |_, span, (group, gauge, subject)| {
        let counted = Counted {
            gauge: gauge.clone(),
            subject: subject.clone(),
            span: GroupSpan::Needed(span.clone()),
        };
        Some((*group, counted))
    })
}

/// The group of a span that counts and needs another: only gauges of `missing` have such.
fn needing(group: Key, counted: Counted) -> Option<(Meeting, Needing)> {
    let Counted { gauge, subject, span } = counted;
    let GroupSpan::Own(span) = span else { return None };
    let on = span.needs.filter(|_| span.tuple.is_some())?;
    Some((meeting(&gauge, &on), (group, gauge, subject)))
}

fn meeting(gauge: &Shared<Gauge>, on: &[Text]) -> Meeting {
    let parts: Vec<&str> = on.iter().map(|text| &**text).collect();
    (gauge.content(), Key::of_parts(&parts))
}

impl Span {
    /// As what a gauge's spans need; none if it lacks one of the texts, or holds at no instant.
    fn needed(&self, gauge: &Shared<Gauge>) -> Option<(Meeting, NeededSpan)> {
        let needs = gauge.needs.as_ref()?;
        let on = texts(&needs.on, |name| self.what.text(name))?;
        let (from, to) = (self.from, self.to(gauge));
        (from < to).then(|| (meeting(gauge, &on), NeededSpan { from, to, on }))
    }
}
