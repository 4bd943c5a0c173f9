//! What a span is made of: an event, a permit, one of its holders, or a maintenance window.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use riskflow_model::base::Asset;
use riskflow_model::catalogue::Maintenance;
use riskflow_model::event::Event;
use riskflow_model::gauge::SpanKind;
use riskflow_model::intake::{Permit, PermitKind};
use riskflow_model::{Id, Level, Millis, Number, RegionCode, Shared, Text};
use serde::{Deserialize, Serialize};

use super::{EventSpan, Span};

/// What all but events count as, in thousandths.
const ONE: i64 = 1_000;

/// What a span is made of. Cheap to clone and to compare.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum What {
    /// An event.
    Event {
        /// As it was told.
        event: Shared<Event>,
        /// Whether somebody confirmed it.
        confirmed: bool,
    },
    /// A work permit.
    Permit(Shared<Permit>),
    /// A work permit, and one of its holders.
    Holder(Shared<Permit>, Text),
    /// A certificate, and one of its holders.
    Certificate(Shared<Permit>, Text),
    /// A maintenance window.
    Maintenance(Shared<Maintenance>),
}

impl What {
    /// Of what sort it is.
    #[must_use]
    pub const fn sort(&self) -> SpanKind {
        match self {
            Self::Event { .. } => SpanKind::Event,
            Self::Permit(_) => SpanKind::Permit,
            Self::Holder(..) => SpanKind::Holder,
            Self::Certificate(..) => SpanKind::Certificate,
            Self::Maintenance(_) => SpanKind::Maintenance,
        }
    }

    /// What happened, what work it is, or what is done: gauges select by it.
    #[must_use]
    pub fn kind(&self) -> Text {
        match self {
            Self::Event { event, .. } => event.kind.clone(),
            Self::Permit(permit) | Self::Holder(permit, _) | Self::Certificate(permit, _) => permit.work_type.clone(),
            Self::Maintenance(window) => window.kind.name().into(),
        }
    }

    /// The identifier; of a holder that of the permit.
    #[must_use]
    pub fn id(&self) -> &Text {
        match self {
            Self::Event { event, .. } => event.id.text(),
            Self::Permit(permit) | Self::Holder(permit, _) | Self::Certificate(permit, _) => permit.id.text(),
            Self::Maintenance(window) => window.id.text(),
        }
    }

    /// From when on it is over; [`Millis::MAX`] where it goes on. Of a momentary event its time.
    #[must_use]
    pub fn end(&self) -> Millis {
        match self {
            Self::Event { event, .. } => event.end(),
            Self::Permit(permit) | Self::Holder(permit, _) | Self::Certificate(permit, _) => {
                permit.in_force().map_or(Millis::MIN, |(_, to)| to)
            }
            Self::Maintenance(window) => window.valid_to,
        }
    }

    /// Whether it has a time only.
    #[must_use]
    pub fn is_momentary(&self) -> bool {
        matches!(self, Self::Event { event, .. } if event.is_momentary())
    }

    /// The asset at which it is.
    #[must_use]
    pub fn asset(&self) -> Option<&Id<Asset>> {
        match self {
            Self::Event { event, .. } => event.asset.as_ref(),
            Self::Permit(permit) | Self::Holder(permit, _) => permit.asset.as_ref(),
            Self::Certificate(..) => None,
            Self::Maintenance(window) => window.asset.as_ref(),
        }
    }

    /// The region in which it is, of what is at no asset.
    #[must_use]
    pub fn region(&self) -> Option<RegionCode> {
        match self {
            Self::Event { event, .. } => event.region,
            Self::Permit(_) | Self::Holder(..) | Self::Certificate(..) => None,
            Self::Maintenance(window) => window.asset.is_none().then_some(window.region),
        }
    }

    /// How grave it is.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::Event { event, .. } => event.level,
            _ => Level::None,
        }
    }

    /// How much it counts, in thousandths.
    #[must_use]
    pub fn weight(&self) -> i64 {
        match self {
            Self::Event { event, .. } => event.thousandths(),
            _ => ONE,
        }
    }

    /// Who or what told it, or who the holder is.
    #[must_use]
    pub fn source(&self) -> Text {
        match self {
            Self::Event { event, .. } => event.source.clone(),
            Self::Holder(_, holder) | Self::Certificate(_, holder) => holder.clone(),
            Self::Permit(_) | Self::Maintenance(_) => Text::default(),
        }
    }

    /// Where its evidence is to be seen.
    #[must_use]
    pub fn evidence(&self) -> Text {
        match self {
            Self::Event { event, .. } => event.evidence.clone(),
            _ => Text::default(),
        }
    }

    /// A text that it has wherever it is.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Text> {
        match (self, name) {
            (_, "kind") => Some(self.kind()),
            (_, "asset") => self.asset().map(|asset| asset.text().clone()),
            (Self::Event { event, confirmed }, _) => event_text(event, *confirmed, name),
            (Self::Permit(_) | Self::Holder(..), "permit")
            | (Self::Certificate(..), "certificate")
            | (Self::Maintenance(_), "maintenance") => Some(self.id().clone()),
            (Self::Permit(_) | Self::Holder(..) | Self::Certificate(..), "work_type") => Some(self.kind()),
            (Self::Holder(_, holder) | Self::Certificate(_, holder), "holder") => Some(holder.clone()),
            _ => None,
        }
    }

    /// A number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<Number> {
        match (self, name) {
            (Self::Event { event, .. }, "weight") => Some(event.weight.unwrap_or(Number(1.0))),
            (_, "weight") => Some(Number(1.0)),
            (Self::Event { event, .. }, "confidence") => event.confidence,
            (Self::Event { event, .. }, other) => event.numbers.get(other).copied(),
            _ => None,
        }
    }

    /// The same without what was said of it since: a review makes no other member of an event.
    pub(super) fn unreviewed(&self) -> Self {
        match self {
            Self::Event { event, .. } => Self::Event {
                event: event.clone(),
                confirmed: false,
            },
            other => other.clone(),
        }
    }
}

fn event_text(event: &Event, confirmed: bool, name: &str) -> Option<Text> {
    match name {
        "event" => Some(event.id.text().clone()),
        "level" => Some(event.level.name().into()),
        "model" => event.model.as_ref().map(|model| model.text().clone()),
        "review" => confirmed.then(|| "confirmed".into()),
        "source" => Some(event.source.clone()).filter(|source| !source.is_empty()),
        other => event.attributes.get(other).cloned(),
    }
}

/// The span of an event.
pub(super) fn of_event(span: EventSpan) -> Span {
    let EventSpan { event, from, confirmed } = span;
    Span {
        what: What::Event { event, confirmed },
        from,
    }
}

/// The spans of a permit: of work itself, and of each holder, once. None where it is never in force.
pub(super) fn of_permit(permit: &Shared<Permit>) -> Vec<Span> {
    let Some((from, _)) = permit.in_force() else {
        return Vec::new();
    };
    let holders: BTreeSet<&Text> = permit.holders.iter().collect();
    let of = |holder: &Text| match permit.kind {
        PermitKind::Work => What::Holder(permit.clone(), holder.clone()),
        PermitKind::Certificate => What::Certificate(permit.clone(), holder.clone()),
    };
    let work = (permit.kind == PermitKind::Work).then(|| What::Permit(permit.clone()));
    let each = holders.into_iter().map(of);
    work.into_iter().chain(each).map(|what| Span { what, from }).collect()
}

/// The span of a maintenance window; none if it was called off.
pub(super) fn of_window(window: Shared<Maintenance>) -> Option<Span> {
    if window.cancelled {
        return None;
    }
    Some(Span {
        from: window.valid_from,
        what: What::Maintenance(window),
    })
}

/// Which one a member is: in the order of identifiers, and of one permit of holders. As small as an event's row: most are events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Event(Shared<Event>),
    Other(Arc<What>),
}

impl Told {
    pub(super) fn new(what: &What) -> Self {
        match what {
            What::Event { event, .. } => Self::Event(event.clone()),
            other => Self::Other(Arc::new(other.clone())),
        }
    }

    /// What it is made of.
    pub(super) fn what(&self) -> What {
        match self {
            Self::Event(event) => What::Event {
                event: event.clone(),
                confirmed: false,
            },
            Self::Other(what) => What::clone(what),
        }
    }

    fn id(&self) -> &Text {
        match self {
            Self::Event(event) => event.id.text(),
            Self::Other(what) => what.id(),
        }
    }
}

const _: () = assert!(size_of::<Told>() == size_of::<Shared<Event>>());

impl Ord for Told {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_id = self.id().cmp(other.id());
        by_id.then_with(|| match (self, other) {
            (Self::Event(one), Self::Event(other)) => one.cmp(other),
            (Self::Other(one), Self::Other(other)) => {
                let by_holder = one.source().cmp(&other.source());
                by_holder.then_with(|| one.cmp(other))
            }
            // A gauge is of one sort.
            (Self::Event(_), Self::Other(_)) => Ordering::Less,
            (Self::Other(_), Self::Event(_)) => Ordering::Greater,
        })
    }
}

impl PartialOrd for Told {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests;
