//! One entry under evaluation: its anchor, its base, and what was given out.

use riskflow_model::output::{Cause, Origin};
use riskflow_model::{Level, Text};
use serde::{Deserialize, Serialize};

use super::evaluation::Evaluation;
use super::series::Series;
use super::{Finding, Revision, Track, evidence};
use crate::Diff;
use crate::specification::{Entry, Subject};

/// One entry under evaluation. What every observation touches comes first.
#[derive(Debug, Serialize, Deserialize)]
#[repr(C)]
pub(super) struct Watch {
    /// Saved by what tells it apart: until rows come again, a rule that was loaded has a name only.
    #[serde(with = "saved")]
    pub(super) entry: Entry,
    pub(super) base: Evaluation,
    /// Change points up to `base`.
    pub(super) track: Track,
    /// As given out.
    pub(super) shown: Track,
    /// Level and staleness as given out, if above none.
    shown_standing: Option<(Level, bool)>,
    /// Whether the lifecycle ever heard of this watch.
    told: bool,
    /// Why this watch is new, until it was settled once.
    fresh: Option<Cause>,
    /// The watch does not see what is at or before this time.
    floor: i64,
    /// `None` until the series reaches back behind the horizon.
    anchor: Option<Box<Evaluation>>,
}

/// An entry as it is saved.
mod saved {
    use riskflow_config::{Rule, Thresholds};
    use riskflow_model::{Key, Text};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::specification::Entry;

    pub(super) fn serialize<S: Serializer>(entry: &Entry, serializer: S) -> Result<S::Ok, S::Error> {
        let Entry { rule, thresholds } = entry;
        (&rule.record.id, rule.fingerprint, thresholds).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Entry, D::Error> {
        let (id, fingerprint, thresholds) = <(Text, Key, Thresholds)>::deserialize(deserializer)?;
        let rule = Rule::named(id, fingerprint);
        Ok(Entry { rule, thresholds })
    }
}

/// What the watches of one datastream have in common while they settle.
pub(super) struct Context<'a> {
    pub(super) now: i64,
    pub(super) series: &'a Series,
    pub(super) last: i64,
    pub(super) changed_from: i64,
    pub(super) cause: Option<Cause>,
    pub(super) subject: &'a Subject,
}

impl Watch {
    pub(super) fn new(entry: Entry, series: &Series, floor: i64, cause: Cause) -> Self {
        Self {
            floor,
            anchor: None,
            base: Evaluation::new(&entry, series, floor),
            entry,
            track: Track::new(),
            shown: Track::new(),
            shown_standing: None,
            told: false,
            fresh: Some(cause),
        }
    }

    /// Brings the watch up to the clock, gives out what changed, and says when to look again.
    pub(super) fn settle(&mut self, context: &Context<'_>, out: &mut Vec<(Finding, Diff)>) -> i64 {
        if context.changed_from <= self.base.at() {
            self.start_over(context.series);
        }
        let next = self
            .base
            .advance(&self.entry, context.series, context.last, &mut self.track);
        if next > context.now {
            let standing = self.base.standing(&self.entry, context.series, context.now);
            self.give(context, standing, out);
            return next;
        }
        let mut head = self.base.clone();
        let base_points = self.track.len();
        let next = head.advance(&self.entry, context.series, context.now, &mut self.track);
        let standing = head.standing(&self.entry, context.series, context.now);
        self.give(context, standing, out);
        self.track.truncate(base_points);
        next
    }

    /// Reads the lines that the watch itself lies in.
    pub(super) fn warm_self(&self) -> u64 {
        self.base.warm_self() ^ u64::from(self.told)
    }

    /// Reads what the watch points to.
    pub(super) fn warm(&self, series: &Series) -> u64 {
        let threshold = self
            .entry
            .thresholds
            .first()
            .copied()
            .flatten()
            .map_or(0, |bound| bound.on);
        self.base.warm(series) ^ threshold as u64
    }

    /// Moves the anchor up to a time, and the base with it where it stands further back: to run on from there would be
    /// wrong.
    pub(super) fn move_anchor(&mut self, series: &Series, until: i64) {
        let blank = || Box::new(Evaluation::new(&self.entry, series, self.floor));
        let anchor = self.anchor.get_or_insert_with(blank);
        anchor.advance(&self.entry, series, until, &mut Track::new());
        if self.base.at() < until {
            self.base.advance(&self.entry, series, until, &mut self.track);
        }
    }

    /// The first position of the series that the anchor may still look at.
    pub(super) fn first_needed(&self) -> usize {
        self.anchor.as_ref().map_or(0, |anchor| anchor.first_needed())
    }

    /// The series lost its first points.
    pub(super) fn shift(&mut self, dropped: usize) {
        if let Some(anchor) = &mut self.anchor {
            anchor.shift(dropped);
        }
        self.base.shift(dropped);
    }

    /// Goes back to the anchor: something changed behind the base.
    fn start_over(&mut self, series: &Series) {
        match &self.anchor {
            Some(anchor) => self.base.clone_from(anchor),
            None => self.base = Evaluation::new(&self.entry, series, self.floor),
        }
        let anchor = self.base.at();
        let keep = self.track.partition_point(|(time, _)| *time <= anchor);
        self.track.truncate(keep);
    }

    fn give(&mut self, context: &Context<'_>, (level, stale): (Level, bool), out: &mut Vec<(Finding, Diff)>) {
        let standing = (level > Level::None).then_some((level, stale));
        let fresh = self.fresh.take();
        if self.track == self.shown && standing == self.shown_standing && (fresh.is_none() || self.track.is_empty()) {
            return;
        }
        let Some(asset) = &context.subject.asset else {
            return;
        };
        let datastream = &context.subject.datastream;
        self.shown_standing = standing;
        let same = self.track.iter().zip(&self.shown).take_while(|(a, b)| a == b).count();
        let first = |track: &Track| track.get(same).map_or(i64::MAX, |(time, _)| *time);
        let differs = same < self.track.len() || same < self.shown.len();
        let from = if fresh.is_some() {
            i64::MIN
        } else {
            first(&self.track).min(first(&self.shown))
        };
        let cause = (differs || fresh.is_some()).then(|| fresh.max(context.cause).unwrap_or(Cause::Clock));
        let explain = |_| {
            let (series, now) = (context.series, context.now);
            Box::new(evidence::explain(
                &self.entry,
                series,
                &self.track,
                self.floor,
                now,
                datastream,
            ))
        };
        let revision = Revision {
            origin: Origin::default(),
            rule: self.entry.rule.record.id.clone(),
            asset: asset.clone(),
            datastream: datastream.clone(),
            from,
            tail: self.track[same.min(self.track.len())..].to_vec(),
            gone: false,
            stale,
            cause,
            explanation: cause.map(explain),
        };
        let revision = if fresh.is_some() {
            Revision {
                tail: self.track.clone(),
                ..revision
            }
        } else {
            revision
        };
        self.shown.clone_from(&self.track);
        self.told = true;
        out.push((Finding::Revision(Box::new(revision)), 1));
    }

    pub(super) fn end(self, asset: Text, datastream: Text, cause: Cause, out: &mut Vec<(Finding, Diff)>) {
        if !self.told {
            return;
        }
        let revision = Revision {
            // Endings first: the same datastream may come anew in this epoch.
            origin: Origin::default(),
            rule: self.entry.rule.record.id.clone(),
            asset,
            datastream,
            from: i64::MIN,
            tail: Track::new(),
            gone: true,
            stale: false,
            // The end of what was never on, as known now, explains nothing.
            cause: Some(cause).filter(|_| !self.shown.is_empty()),
            explanation: None,
        };
        out.push((Finding::Revision(Box::new(revision)), 1));
    }
}
