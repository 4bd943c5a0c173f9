//! Capability: gauges. What lasts, adds up and combines, from events to rows of `out.gauge`, and to what rules over gauges find.
//!
//! ```text
//!   in.event ──► [ event ]
//!   in.review ──►   │
//!   base.model ─────┴─ less those of bad models ─┐
//!   in.permit, in.maintenance ───────────────────┴─► spans ─(asset)─► ⋈ assets ─► × gauges ─(subject)─┬─► [ gauge ] ─► out.gauge
//!                                                      │                                              │     ▲   └───► findings
//!                                                      └─ as what is needed, × gauges of `missing` ───┴► ⋈ ─┤
//!   rules over gauges ──────────────────────────────────────────────────────────(subject)───────────────────┘
//! ```
//!
//! Fold `event` knows the events that are not forgotten, and gives each as a span; permits and maintenance windows are rows. A span meets
//! every gauge of its sort and kind, which few spans do more than once or twice. What the spans of a gauge need reaches just the groups
//! with a span that needs it. Fold `gauge` holds all gauges of an asset or region as measures of [`crate::gauge`], and asks them what rules
//! ask.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use differential_dataflow::AsCollection;
use jiff::tz::TimeZone;
use riskflow_config::CityDays;
use riskflow_model::base::Region;
use riskflow_model::catalogue::Maintenance;
use riskflow_model::event::{Event, Model, Review};
use riskflow_model::gauge::{Gauge, SubjectKind};
use riskflow_model::intake::Permit;
use riskflow_model::{Duration, Key, Level, Millis, RegionCode, Shared, Text};
use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::operators::vec::Map;

use crate::engine::{Batch, Builder, Rows, Turn, Updates, split_into};
use crate::warning::{ArrangedAssets, Civil, Finding, WatchedAsset, region_key};

mod event;
mod group;
mod level;
mod measured;
mod needed;
mod ordered;
mod placed;
mod reasons;
mod subject;
mod what;

pub use event::{EventRecord, Events};
pub use subject::{GaugeOutput, Gauges, OfSubject};
pub use what::What;

/// An event that is a span, unless its model is bad.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventSpan {
    /// As it was told.
    pub event: Shared<Event>,
    /// Since when it holds: what came late counts from later on than it says.
    pub from: Millis,
    /// Whether somebody confirmed it.
    pub confirmed: bool,
}

/// A span, wherever it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Span {
    /// What it is made of.
    what: What,
    /// Since when it holds.
    from: Millis,
}

/// A span in a group of a gauge: all that the gauge asks of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GaugeSpan {
    /// Since when it holds.
    pub from: Millis,
    /// Up to when, without it; [`Millis::MAX`] where it goes on. `from` where it holds at no instant and only begins.
    pub to: Millis,
    /// How grave it is.
    pub level: Level,
    /// How much it counts, in thousandths.
    pub weight: i64,
    /// The gauge's `attributes`; none if it lacks one of them, or the gauge has none.
    pub tuple: Option<Box<[Text]>>,
    /// The texts by which it needs others (`needs.on`); none if it lacks one of them, or the gauge asks for none.
    pub needs: Option<Box<[Text]>>,
    /// The gauge's `number`, in thousandths; none if it lacks it, or the gauge has none.
    pub number: Option<i64>,
    /// What it is made of. Whether an event was confirmed is not said.
    pub what: What,
}

/// A span that others need.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NeededSpan {
    /// Since when it holds; [`Millis::MIN`] where it always did.
    pub from: Millis,
    /// Up to when, without it; [`Millis::MAX`] where it goes on.
    pub to: Millis,
    /// The texts that it has in common with what needs it.
    pub on: Box<[Text]>,
}

/// A span as a group of a gauge knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GroupSpan {
    /// One of its own.
    Own(GaugeSpan),
    /// One that some of its own need, of whatever place. Two may be the same.
    Needed(NeededSpan),
}

/// The subject of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// What it is.
    pub kind: SubjectKind,
    /// Its identifier.
    pub id: Text,
    /// Where it is.
    pub region: RegionCode,
}

impl Subject {
    /// Where the fold finds it: an asset under the key of its row.
    #[must_use]
    pub fn key(&self) -> Key {
        match self.kind {
            SubjectKind::Asset => Key::of(&self.id),
            SubjectKind::Region => region_key(self.region),
        }
    }
}

/// A span, in a group of a gauge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Counted {
    /// The gauge.
    pub gauge: Shared<Gauge>,
    /// What the group is of.
    pub subject: Subject,
    /// The span.
    pub span: GroupSpan,
}

/// What it rests on.
pub struct Inputs<'scope> {
    /// Records of `in.event` that were taken in.
    pub events: StreamVec<'scope, Turn, Batch<EventRecord>>,
    /// Assets, and where they lie.
    pub assets: ArrangedAssets<'scope>,
    /// Where regions lie of which the code does not say it ([`crate::place::placed`]).
    pub placed: Rows<'scope, Shared<Region>>,
    /// The assets that rules over gauges watch.
    pub watched: Rows<'scope, WatchedAsset>,
}

/// What it goes by.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What was over longer ago than this is forgotten (`time.event_age`).
    pub age: Duration,
    /// An event that began longer ago than this is late (`time.late_after`).
    pub late_after: Duration,
    /// What ended longer ago than this the lifecycle may have forgotten.
    pub remember: Duration,
    /// The time that people there go by.
    pub zone: TimeZone,
    /// Which of the city's days are special.
    pub days: CityDays,
    /// Whether there are permits and maintenance windows: gauges of these, or that need them, are none without.
    pub permits: bool,
    /// Counts the spans at assets that have no row.
    pub placeless: Arc<AtomicI64>,
}

/// Adds it to the dataflow, and gives what rules over gauges find.
pub fn build<'scope>(b: &mut Builder<'scope, '_>, inputs: Inputs<'scope>, terms: Terms) -> Updates<'scope, Finding> {
    let Terms {
        age,
        late_after,
        remember,
        zone,
        days,
        permits,
        placeless,
    } = terms;
    let reviews = b.table::<Review>().map(|(event, review)| (event, review.verdict));
    let spans = b.fold(Events { age }, reviews, inputs.events).as_collection();
    let spans = placed::without_bad_models(spans, b.rows_of::<Model>()).map(what::of_event);
    let of_permits = b.rows_of::<Permit>().flat_map(|permit| what::of_permit(&permit));
    let of_windows = b.rows_of::<Maintenance>().flat_map(what::of_window);
    let of_rows = of_permits.concat(of_windows);
    let placed = placed::placed(spans.concat(of_rows.clone()), inputs.assets, inputs.placed, &placeless);
    let gauges = b
        .rows_of::<Gauge>()
        .filter(move |gauge| permits || gauge.is_of_events());
    let own = placed::grouped(placed, gauges.clone());
    let needed = needed::needed(of_rows, own.clone(), gauges);
    let counted = own
        .concat(needed)
        .map(|(key, counted)| (key, OfSubject::Counted(counted)));
    let watched = inputs.watched.map(|(key, watched)| (key, OfSubject::Watched(watched)));
    let gauges = Gauges {
        age,
        late_after,
        remember,
        calendar: Civil::new(zone, days),
    };
    let records = b.nothing();
    let given = b.fold(gauges, counted.concat(watched), records);
    let [states, findings] = split_into(given, |given| match given {
        GaugeOutput::State(_) => 0,
        GaugeOutput::Finding(_) => 1,
    });
    let states = states.flat_map(|(given, turn, diff)| match given {
        GaugeOutput::State(state) => Some((state, turn, diff)),
        GaugeOutput::Finding(_) => None,
    });
    b.publish(states.as_collection());
    findings.flat_map(|(given, turn, diff)| match given {
        GaugeOutput::Finding(finding) => Some((finding, turn, diff)),
        GaugeOutput::State(_) => None,
    })
}
