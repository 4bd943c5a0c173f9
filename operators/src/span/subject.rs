//! Fold `gauge`: all gauges of one asset or region, and the rules over them.
//!
//! ```text
//!   spans ─(gauge)─► groups ──┬────────────────────► rows of out.gauge
//!   rules over gauges ────────┴─► levels over time ─► findings
//! ```
//!
//! A rule asks its gauges for their values at the instants that matter; nothing of them is copied. The clock only uncovers: spans say what
//! is to come, too.
//!
//! # Invariants
//!
//! * What changes at a time counts from the **floor** on, `time.event_age` before: the levels before it are run through with the values as
//!   they were, before any span of the epoch is taken in.
//! * Spans and rules are not saved: they come again after a restart. What stays before the floor, and what was given out, is saved.

use std::collections::BTreeMap;
use std::sync::Arc;

use riskflow_config::{Calendar, CalendarUnit, Rule};
use riskflow_model::base::Asset;
use riskflow_model::gauge::{Bucket, Gauge, GaugeState, SpanKind};
use riskflow_model::output::{Cause, Origin};
use riskflow_model::{Duration, Id, Key, Millis, Shared, Text};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::group::{Group, borders_of};
use super::level::{Given, Ground, Watch};
use super::measured::Measured;
use super::ordered::Ordered;
use super::reasons::{explain, explain_at};
use super::{Counted, GroupSpan, Subject};
use crate::engine::{Diff, Fold, Next, NoRecord};
use crate::gauge::{OPEN, Stretch};
use crate::warning::{Civil, Explained, Finding, OnAsset, OverGauges, Revision};

/// The fold's settings.
#[derive(Clone, Debug)]
pub struct Gauges {
    /// What was longer ago than this stays as it was (`time.event_age`).
    pub age: Duration,
    /// An event that began longer ago than this is late (`time.late_after`).
    pub late_after: Duration,
    /// What ended longer ago than this the lifecycle may have forgotten.
    pub remember: Duration,
    /// The city's hours and days.
    pub calendar: Civil,
}

/// A row of the fold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OfSubject {
    /// A span in a group of a gauge.
    Counted(Counted),
    /// The rules over gauges of an asset.
    Watched(Box<OnAsset>),
}

/// What the fold gives out.
#[derive(Clone, Debug, PartialEq)]
pub enum GaugeOutput {
    /// A row of `out.gauge`.
    State(Arc<GaugeState>),
    /// For the lifecycle: the level of a rule over gauges.
    Finding(Finding),
}

/// Of one asset or region: its gauges, and the rules over them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct SubjectState {
    /// By gauge: those with a span.
    groups: Ordered<Text, Group>,
    /// The assets at which rules go by these: the asset itself, or such as lie in the region.
    assets: BTreeMap<Id<Asset>, Watches>,
    /// Rules that do not watch one any more.
    #[serde(skip)]
    ended: Vec<Finding>,
    /// Whether all rows came that there are: not yet where it was loaded.
    #[serde(skip)]
    is_whole: bool,
}

/// The rules over gauges of one subject that watch an asset.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Watches {
    /// The hash of the asset's row, and of what lies above its region.
    base: u64,
    /// By rule.
    by_rule: Ordered<Text, Watch>,
}

/// The spans of a gauge that came and went, and the gauge with its subject if any came.
#[derive(Default)]
struct Changed {
    told: Option<(Shared<Gauge>, Subject)>,
    spans: Vec<(GroupSpan, Diff)>,
}

impl Gauges {
    /// Which hour or day of the city holds an instant.
    pub(super) fn bucket(&self, bucket: Option<Bucket>) -> impl Fn(i64) -> Stretch {
        let unit = match bucket {
            Some(Bucket::Day) => CalendarUnit::Day,
            Some(Bucket::Hour) | None => CalendarUnit::Hour,
        };
        let calendar = Calendar { unit, from: 0, ago: 0 };
        move |at| {
            let (from, to) = self.calendar.bucket(calendar, at);
            Stretch::new(from, to)
        }
    }

    /// What changes at a time counts from here on.
    pub(super) fn floor(&self, now: Millis) -> i64 {
        (now - self.age).0
    }

    /// What it is to a level that spans came and went. Those that were over before the floor are nothing to it.
    pub(super) fn cause(&self, now: Millis, spans: &[(GroupSpan, Diff)]) -> Option<Cause> {
        let floor = self.floor(now);
        let matters = spans.iter().filter(|(span, _)| {
            let [from, to] = borders_of(span);
            to.0.max(from.0.saturating_add(1)) > floor
        });
        let causes = matters.map(|(span, diff)| match span {
            _ if *diff < 0 => Cause::Correction,
            GroupSpan::Own(span) if span.what.sort() == SpanKind::Event && now.0 - span.from.0 > self.late_after.0 => {
                Cause::LateData
            }
            _ => Cause::Data,
        });
        causes.max()
    }
}

/// What is measured of each gauge of a rule, if there is any span.
fn measured<'a>(groups: &'a Ordered<Text, Group>, over: &OverGauges) -> SmallVec<[Option<&'a Measured>; 2]> {
    let named = over.entry.rule.gauges.iter().zip(&over.gauges);
    let measured = named.map(|(id, gauge)| gauge.as_ref().and_then(|_| groups.get(id)?.measured()));
    measured.collect()
}

impl SubjectState {
    /// What lies before the floor stays as it is by now, before any of these gauges and rules changes.
    fn rise(&mut self, terms: &Gauges, floor: i64, changes: impl Fn(&Id<Asset>, &Rule) -> bool) {
        let watches = self.assets.iter_mut();
        let watches = watches.flat_map(|(asset, of_asset)| {
            let watches = of_asset.by_rule.values_mut();
            watches.map(move |watch| (asset, watch))
        });
        for (asset, watch) in watches {
            // Where it was loaded its spans are yet to come.
            let Some(over) = watch.over() else { continue };
            if !changes(asset, &over.entry.rule) {
                continue;
            }
            let measured = measured(&self.groups, &over);
            let ground = Ground {
                terms,
                over: &over,
                measured: &measured,
            };
            watch.rise(floor, &ground);
        }
    }

    /// Takes in the spans of a gauge that came and went.
    fn change(&mut self, now: Millis, terms: &Gauges, gauge: &Text, changed: Changed) {
        // Of a group that is forgotten nothing can go.
        let new = || changed.told.is_some().then(Group::default);
        let Some(group) = self.groups.get_or(gauge, new) else {
            return;
        };
        let touched = group.change(now, terms, changed.told, changed.spans);
        self.touch(gauge, touched.stretch, touched.cause);
    }

    /// Values of a gauge may be others in a stretch.
    fn touch(&mut self, gauge: &Text, stretch: Option<Stretch>, cause: Option<Cause>) {
        let names = |watch: &Watch| watch.over().is_none_or(|over| over.entry.rule.gauges.contains(gauge));
        let watches = self.assets.values_mut();
        let watches = watches.flat_map(|watches| watches.by_rule.values_mut());
        for watch in watches.filter(|watch| names(watch)) {
            watch.touch(stretch, cause);
        }
    }

    /// Puts other rules in force at an asset.
    fn specify(&mut self, floor: i64, asset: &Id<Asset>, next: Option<OnAsset>) {
        let before = self.assets.remove(asset);
        let came_or_went = match (&before, &next) {
            (Some(before), Some(after)) if before.base != after.base => Cause::BaseChange,
            // Where no rule watched it what became of its row is not known.
            _ => Cause::RuleChange,
        };
        let mut old = before.map_or_else(Ordered::default, |before| before.by_rule);
        if let Some(OnAsset { base, entries, .. }) = next {
            let mut by_rule = Ordered::default();
            for over in entries {
                let id = over.entry.rule.record.id.clone();
                let watch = match old.remove(&id) {
                    Some(mut watch) => {
                        watch.go_on(over, floor);
                        watch
                    }
                    None => Watch::new(over, floor, came_or_went),
                };
                by_rule.insert(id, watch);
            }
            self.assets.insert(asset.clone(), Watches { base, by_rule });
        }
        for (rule, watch) in old.into_entries() {
            let (told, was_on) = watch.told();
            let revision = Revision {
                from: i64::MIN,
                gone: true,
                cause: was_on.then_some(came_or_went.max(watch.cause())),
                ..Revision::over_gauges(&rule, asset)
            };
            self.ended.extend(told.then(|| Finding::Revision(Box::new(revision))));
        }
    }

    /// Gives what differs of the rows, and says when something changes without any span.
    fn settle_groups(&mut self, now: Millis, terms: &Gauges, out: &mut Vec<(GaugeOutput, Diff)>) -> i64 {
        let mut wake = OPEN;
        let mut gone = Vec::new();
        for (id, group) in self.groups.iter_mut() {
            let due = match group.due(now) {
                Some(due) => Some(due),
                None => group.settle(now, terms, |row, diff| out.push((GaugeOutput::State(row), diff))),
            };
            match due {
                Some(due) => wake = wake.min(due),
                None => gone.push(id.clone()),
            }
        }
        for id in gone {
            self.groups.remove(&id);
            // What it showed of a bucket is forgotten with it.
            self.touch(&id, Some(Stretch::new(terms.floor(now), OPEN)), None);
        }
        wake
    }

    fn settle_watches(&mut self, now: Millis, terms: &Gauges, out: &mut Vec<(GaugeOutput, Diff)>) -> i64 {
        let ended = self.ended.drain(..);
        out.extend(ended.map(|finding| (GaugeOutput::Finding(finding), 1)));
        let mut wake = OPEN;
        for (asset, watches) in &mut self.assets {
            for (id, watch) in watches.by_rule.iter_mut() {
                let Some(over) = watch.over() else { continue };
                if watch.is_due(now.0) {
                    let measured = measured(&self.groups, &over);
                    let ground = Ground {
                        terms,
                        over: &over,
                        measured: &measured,
                    };
                    let given = watch.settle(now, (now - terms.remember).0, &ground);
                    let revision = given.map(|given| revision(id, asset, (given, &*watch), (now, &ground)));
                    let finding = revision.map(|revision| Finding::Revision(Box::new(revision)));
                    out.extend(finding.map(|finding| (GaugeOutput::Finding(finding), 1)));
                }
                watch.pass();
                wake = wake.min(watch.due());
            }
        }
        wake
    }
}

/// What the lifecycle hears.
fn revision(
    rule: &Text,
    asset: &Id<Asset>,
    (given, watch): (Given, &Watch),
    (now, ground): (Millis, &Ground<'_>),
) -> Revision {
    let nothing = Revision {
        // Behind what another subject says: of an asset that moved to another region one entry goes and one comes.
        origin: Origin {
            offset: 1,
            ..Origin::default()
        },
        stale: given.stale,
        ..Revision::over_gauges(rule, asset)
    };
    match given.track {
        None => nothing,
        Some(tail) => {
            let why = |at: i64, level| Explained {
                at,
                level,
                why: Box::new(explain_at(ground, at.max(watch.floor()), level)),
            };
            Revision {
                explanation: Some(Box::new(explain(ground, &tail, (watch.floor(), now.0)))),
                past: given.over.into_iter().map(|(at, level)| why(at, level)).collect(),
                from: i64::MIN,
                tail,
                cause: Some(given.cause),
                ..nothing
            }
        }
    }
}

impl Fold for Gauges {
    type Key = Key;
    type Row = OfSubject;
    type Record = NoRecord;
    type State = SubjectState;
    type Output = GaugeOutput;

    const NAME: &'static str = "gauge";

    fn route(key: &Key) -> u64 {
        key.route()
    }

    fn place(record: &NoRecord) -> (Key, Origin) {
        match *record {}
    }

    fn rows(
        &mut self,
        now: Millis,
        _key: Key,
        state: &mut SubjectState,
        changes: &mut dyn Iterator<Item = (OfSubject, Diff)>,
    ) -> bool {
        let mut groups: BTreeMap<Text, Changed> = BTreeMap::new();
        let mut watched: BTreeMap<Id<Asset>, Option<OnAsset>> = BTreeMap::new();
        for (row, diff) in changes {
            match row {
                OfSubject::Counted(Counted { gauge, subject, span }) => {
                    let changed = groups.entry(gauge.id.text().clone()).or_default();
                    changed.spans.push((span, diff));
                    if diff > 0 {
                        changed.told = Some((gauge, subject));
                    }
                }
                OfSubject::Watched(on_asset) => {
                    let next = watched.entry(on_asset.asset.clone()).or_default();
                    if diff > 0 {
                        *next = Some(*on_asset);
                    }
                }
            }
        }
        let floor = self.floor(now);
        state.rise(self, floor, |asset, rule| {
            watched.contains_key(asset) || rule.gauges.iter().any(|gauge| groups.contains_key(gauge))
        });
        if !std::mem::replace(&mut state.is_whole, true) {
            // What does not come again is gone.
            let known = state.assets.keys().filter(|asset| !watched.contains_key(*asset));
            let gone: Vec<Id<Asset>> = known.cloned().collect();
            watched.extend(gone.into_iter().map(|asset| (asset, None)));
        }
        for (gauge, changed) in groups {
            state.change(now, self, &gauge, changed);
        }
        for (asset, next) in watched {
            state.specify(floor, &asset, next);
        }
        true
    }

    fn record(&mut self, _now: Millis, _key: Key, _state: &mut SubjectState, record: &mut NoRecord) {
        match *record {}
    }

    fn recall(&mut self, _key: Key, state: &SubjectState, out: &mut Vec<(GaugeOutput, Diff)>) {
        let shown = state.groups.values().filter_map(Group::shown);
        out.extend(shown.map(|row| (GaugeOutput::State(row.clone()), 1)));
    }

    fn settle(&mut self, now: Millis, _key: Key, state: &mut SubjectState, out: &mut Vec<(GaugeOutput, Diff)>) -> Next {
        let wake = state.settle_groups(now, self, out);
        let wake = wake.min(state.settle_watches(now, self, out));
        if state.groups.is_empty() && state.assets.is_empty() {
            Next::Forget
        } else if wake == OPEN {
            Next::Keep
        } else {
            Next::Wake(Millis(wake))
        }
    }
}

#[cfg(test)]
mod tests;
