//! Fold `permit`: the work under permit at one asset, counted against its limits.
//!
//! ```text
//!   work ─┬─────────────────────────────────────────────► Work ────────┐
//!         ├─(holder, type)─► ⋈ certificates ────────────► Certificate ─┼─► parts by asset ─► [ permit ] ─► findings
//!         └─(asset)─► ⋈ assets ─┬───────────────────────► Asset ───────┤
//!                               └─(category)─► ⋈ limits ► Limit ───────┘
//! ```
//!
//! A limit on an asset with work is an entry as a rule on a datastream is one: the limit stands for the rule, and its source is [`Source::Limit`]. Its
//! level is a function of the permits as known now, for every time up to the clock. Permits also say what is to come: the
//! track is computed when a part changes, far into the future, and the clock only uncovers it.
//!
//! # Invariants
//!
//! * A revision holds the whole track. A difference alone would not be enough: a permit that is cancelled with retroactive effect may
//!   reach back further than the lifecycle remembers, and a row of the past may come to have an episode that ended before that.
//! * Parts are not saved: they come again after a restart. What was given out is saved.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_model::base::Asset;
use riskflow_model::intake::{Limit, Permit};
use riskflow_model::output::{Cause, Origin};
use riskflow_model::{Id, Key, Millis, Shared};
use serde::{Deserialize, Serialize};

use crate::engine::{Builder, Diff, Fold, Next, NoRecord, Updates};
use crate::warning::{ArrangedAssets, Finding, Revision, Source, Track};

mod count;
mod parts;

pub use parts::{Part, parts};

/// Capability: permits. Adds them to the dataflow, and gives what it finds.
pub fn build<'scope>(b: &mut Builder<'scope, '_>, assets: ArrangedAssets<'scope>) -> Updates<'scope, Finding> {
    let parts = parts(b.rows_of::<Permit>(), assets, b.rows_of::<Limit>());
    let records = b.nothing();
    b.fold(UnderPermit, parts, records)
}

/// The fold.
#[derive(Clone, Copy, Debug)]
pub struct UnderPermit;

/// Of one asset with work under permit: the levels of each limit over time, as published.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct PermitState {
    /// The parts that there are; `None` until the first came, or came again.
    #[serde(skip)]
    known: Option<Box<Known>>,
    /// What became of them in this epoch.
    #[serde(skip)]
    change: Option<Change>,
    /// The asset's identifier and the hash of its row.
    asset: Option<(Id<Asset>, u64)>,
    /// By limit.
    watches: BTreeMap<Id<Limit>, Watch>,
}

/// The parts of one asset.
#[derive(Debug, Default)]
struct Known {
    asset: Option<(Id<Asset>, u64)>,
    limits: BTreeMap<Id<Limit>, Shared<Limit>>,
    works: BTreeSet<Shared<Permit>>,
    /// With how many work permits and holders ask for each.
    certificates: BTreeMap<Shared<Permit>, Diff>,
}

/// What became of the parts of one asset in an epoch.
#[derive(Debug)]
struct Change {
    /// What happened to permits and certificates.
    cause: Option<Cause>,
    /// Whether there was work before.
    worked: bool,
}

/// One limit on the asset.
#[derive(Debug, Serialize, Deserialize)]
struct Watch {
    limit: Shared<Limit>,
    /// The level at every time, those to come included.
    #[serde(skip)]
    track: Track,
    /// As given out.
    shown: Track,
    /// Whether the lifecycle ever heard of this watch.
    told: bool,
    /// Whether the entry is new since the last settling, and why.
    #[serde(skip)]
    fresh: Option<Option<Cause>>,
}

impl Known {
    /// Takes a part in that came or went, and says what that means for the permits; of a part that was replaced the old one
    /// must go first.
    fn change(&mut self, part: Part, diff: Diff) -> Option<Cause> {
        let came = diff > 0;
        let cause = if came { Cause::Data } else { Cause::Correction };
        match part {
            Part::Asset { asset, base } => self.asset = came.then_some((asset, base)),
            Part::Limit(limit) if came => drop(self.limits.insert(limit.id.clone(), limit)),
            Part::Limit(limit) => drop(self.limits.remove(&limit.id)),
            Part::Work(permit) => {
                if came {
                    self.works.insert(permit);
                } else {
                    self.works.remove(&permit);
                }
                return Some(cause);
            }
            Part::Certificate(certificate) => {
                let asking = self.certificates.entry(certificate.clone()).or_default();
                let before = *asking;
                *asking += diff;
                let after = *asking;
                if after == 0 {
                    self.certificates.remove(&certificate);
                }
                return (before == 0 || after == 0).then_some(cause);
            }
        }
        None
    }
}

impl Watch {
    const fn new(limit: Shared<Limit>, cause: Option<Cause>) -> Self {
        Self {
            limit,
            track: Track::new(),
            shown: Track::new(),
            told: false,
            fresh: Some(cause),
        }
    }

    /// Gives out what is different up to the clock, and says when the level changes next.
    fn settle(&mut self, now: Millis, context: &Context<'_>, out: &mut Vec<(Finding, Diff)>) -> Millis {
        let (past, to_come) = self
            .track
            .split_at(self.track.partition_point(|(time, _)| *time <= now.0));
        let next = to_come.first().map_or(Millis::MAX, |(time, _)| Millis(*time));
        let fresh = self.fresh.take();
        if past == self.shown && (fresh.is_none() || past.is_empty()) {
            return next;
        }
        let explanation = count::explain(&self.limit, context.known, past, now);
        let revision = Revision {
            origin: Origin::default(),
            rule: self.limit.id.text().clone(),
            asset: context.asset.text().clone(),
            source: Source::Limit,
            from: i64::MIN,
            tail: past.to_vec(),
            until: i64::MAX,
            reach: 0,
            standing: None,
            moves: None,
            gone: false,
            stale: false,
            cause: Some(fresh.flatten().max(context.cause).unwrap_or(Cause::Clock)),
            explanation: Some(Box::new(explanation)),
            past: Vec::new(),
        };
        self.shown = past.to_vec();
        self.told = true;
        out.push((Finding::Revision(Box::new(revision)), 1));
        next
    }

    /// The limit no longer counts for the asset.
    fn end(self, asset: &Id<Asset>, cause: Option<Cause>, out: &mut Vec<(Finding, Diff)>) {
        if !self.told {
            return;
        }
        let revision = Revision {
            origin: Origin::default(),
            rule: self.limit.id.text().clone(),
            asset: asset.text().clone(),
            source: Source::Limit,
            from: i64::MIN,
            tail: Track::new(),
            until: i64::MAX,
            reach: 0,
            standing: None,
            moves: None,
            gone: true,
            stale: false,
            cause: cause.filter(|_| !self.shown.is_empty()),
            explanation: None,
            past: Vec::new(),
        };
        out.push((Finding::Revision(Box::new(revision)), 1));
    }
}

/// What the watches of one asset have in common while they settle.
struct Context<'a> {
    asset: &'a Id<Asset>,
    known: &'a Known,
    cause: Option<Cause>,
}

impl PermitState {
    /// Puts other parts in force: entries come, go, or are others, and all are evaluated again.
    fn specify(&mut self, change: &Change, out: &mut Vec<(Finding, Diff)>) {
        let Some(known) = &self.known else { return };
        let before = std::mem::replace(&mut self.asset, known.asset.clone());
        let came_or_went = if !change.worked || known.works.is_empty() {
            // The entry came with the first permit, or went with the last.
            change.cause
        } else if before == self.asset {
            Some(Cause::RuleChange)
        } else {
            Some(Cause::BaseChange)
        };
        let mut watches = std::mem::take(&mut self.watches);
        for (id, limit) in self.asset.iter().flat_map(|_| &known.limits) {
            let mut watch = match watches.remove(id) {
                Some(watch) if watch.limit == *limit => watch,
                Some(watch) => Watch {
                    limit: limit.clone(),
                    fresh: Some(Some(Cause::RuleChange)),
                    ..watch
                },
                None => Watch::new(limit.clone(), came_or_went),
            };
            watch.track = count::track(limit, known);
            self.watches.insert(id.clone(), watch);
        }
        let asset = before.map(|(asset, _)| asset).unwrap_or_default();
        for watch in watches.into_values() {
            watch.end(&asset, came_or_went.max(change.cause), out);
        }
    }
}

impl Fold for UnderPermit {
    type Key = Key;
    type Row = Part;
    type Record = NoRecord;
    type State = PermitState;
    type Output = Finding;

    const NAME: &'static str = "permit";

    fn route(key: &Key) -> u64 {
        key.route()
    }

    fn place(record: &NoRecord) -> (Key, Origin) {
        match *record {}
    }

    fn rows(
        &mut self,
        _now: Millis,
        _key: Key,
        state: &mut PermitState,
        changes: &mut dyn Iterator<Item = (Part, Diff)>,
    ) -> bool {
        // State that was loaded hears of parts that it knew: nothing happened to them.
        let loaded = state.known.is_none() && !state.watches.is_empty();
        let known = state.known.get_or_insert_default();
        let worked = loaded || !known.works.is_empty();
        let mut cause = None;
        for (part, diff) in changes {
            cause = cause.max(known.change(part, diff));
        }
        let cause = cause.filter(|_| !loaded);
        // What that means for the entries is found out when it settles.
        state.change = Some(Change { cause, worked });
        true
    }

    fn record(&mut self, _now: Millis, _key: Key, _state: &mut PermitState, record: &mut NoRecord) {
        match *record {}
    }

    fn recall(&mut self, _key: Key, _state: &PermitState, _out: &mut Vec<(Finding, Diff)>) {}

    fn settle(&mut self, now: Millis, _key: Key, state: &mut PermitState, out: &mut Vec<(Finding, Diff)>) -> Next {
        let change = state.change.take();
        if let Some(change) = &change {
            state.specify(change, out);
        }
        let Some(known) = &state.known else { return Next::Keep };
        if known.works.is_empty() && state.watches.is_empty() {
            return Next::Forget;
        }
        let Some((asset, _)) = &state.asset else {
            return Next::Keep;
        };
        let cause = change.and_then(|change| change.cause);
        let context = Context { asset, known, cause };
        let mut wake = Millis::MAX;
        for watch in state.watches.values_mut() {
            wake = wake.min(watch.settle(now, &context, out));
        }
        if wake == Millis::MAX {
            Next::Keep
        } else {
            Next::Wake(wake)
        }
    }
}

#[cfg(test)]
mod tests;
