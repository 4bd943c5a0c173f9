//! The warnings of a run, one by one, as they were told and as they are known at its end.

use std::collections::BTreeMap;

use riskflow::runtime::output::EpochOutput;
use riskflow_model::base::{Asset, Datastream};
use riskflow_model::output::{DeltaKind, PastState, PastWarning, WarningDelta, WarningState};
use riskflow_model::{Domain, Id, Level, Millis, RegionCode, Text};

use super::sets::SetId;

/// A warning of one set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    /// The rule as its set calls it.
    pub rule: Text,
    /// Where its level came from when it was first told.
    pub datastream: Id<Datastream>,
    /// What it is about.
    pub asset: Id<Asset>,
    /// The asset's.
    pub domain: Domain,
    /// The asset's.
    pub region: RegionCode,
    /// When it began, as known at the end of the history.
    pub since: Millis,
    /// When it ended; `None` where it was open at the end of the history.
    pub until: Option<Millis>,
    /// Its highest level, as known at the end of the history.
    pub peak: Level,
    /// Whether, by what came later, it never was.
    pub withdrawn: bool,
    /// When people would have been told that it is at blue, yellow, orange, red or higher. Nothing where it was over when it was learnt.
    pub told: [Option<Millis>; 4],
    /// From when on it was at which level, as it was told.
    track: Vec<(Millis, Level)>,
}

impl Episode {
    /// When people would have been told of this level or a higher one.
    pub fn reached(&self, level: Level) -> Option<Millis> {
        self.told.get(level.index().checked_sub(1)?).copied().flatten()
    }

    /// Where it ends, where it is open at this time.
    pub fn end(&self, open: Millis) -> Millis {
        self.until.unwrap_or(open).max(self.since)
    }

    /// Whether the two have a moment in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        let before = |a: &Self, b: &Self| a.until.is_some_and(|until| until <= b.since);
        !before(self, other) && !before(other, self)
    }

    /// The levels from its beginning to its end: since, until, level. Of one that was over when it was learnt its highest.
    pub fn levels(&self, open: Millis) -> Vec<(Millis, Millis, Level)> {
        let end = self.end(open);
        let mut levels: Vec<(Millis, Millis, Level)> = Vec::new();
        let told = self
            .track
            .iter()
            .filter(|(at, level)| *at < end && *level > Level::None);
        let mut told: Vec<(Millis, Level)> = told.map(|(at, level)| (*at.max(&self.since), *level)).collect();
        told.sort_by_key(|(at, _)| *at);
        if told.is_empty() {
            told.push((self.since, self.peak));
        }
        told[0].0 = self.since;
        for (position, (at, level)) in told.iter().enumerate() {
            let until = told.get(position + 1).map_or(end, |(next, _)| *next);
            match levels.last_mut() {
                Some((_, last, before)) if *before == *level => *last = until,
                _ if until > *at => levels.push((*at, until, *level)),
                _ => {}
            }
        }
        levels
    }

    /// How long it lasted within a time, in milliseconds.
    pub fn lasted(&self, (from, until): (Millis, Millis)) -> i64 {
        (self.end(until).min(until).0 - self.since.max(from).0).max(0)
    }
}

/// What is gathered while a job runs.
#[derive(Default)]
pub struct Gathered {
    open: BTreeMap<Id<WarningState>, (SetId, Episode)>,
    /// The first and the last epoch.
    pub span: Option<(Millis, Millis)>,
}

impl Gathered {
    /// Takes what an epoch gave.
    pub fn take(&mut self, output: &EpochOutput) {
        let (first, _) = self.span.unwrap_or((output.epoch, output.epoch));
        self.span = Some((first, output.epoch));
        for delta in output.log::<WarningDelta>() {
            self.tell(delta, output.epoch);
        }
        // Of a row that went nothing is learnt: it was replaced, or is forgotten.
        for (row, _) in output.table::<WarningState>().filter(|(_, diff)| *diff > 0) {
            let Some((_, episode)) = self.open.get_mut(&row.id) else {
                continue;
            };
            (episode.domain, episode.region) = (row.domain, row.region);
            (episode.since, episode.until, episode.withdrawn) = (row.since, None, false);
        }
        for (row, _) in output.table::<PastWarning>().filter(|(_, diff)| *diff > 0) {
            let Some((_, episode)) = self.open.get_mut(&row.id) else {
                continue;
            };
            (episode.domain, episode.region) = (row.domain, row.region);
            (episode.since, episode.until, episode.peak) = (row.since, Some(row.until), row.peak);
            episode.withdrawn = row.state == PastState::Withdrawn;
        }
    }

    fn tell(&mut self, delta: &WarningDelta, epoch: Millis) {
        let Some((set, rule)) = SetId::of(&delta.rule) else {
            return;
        };
        let (_, episode) = self.open.entry(delta.id.clone()).or_insert_with(|| {
            let episode = Episode {
                rule: rule.into(),
                datastream: delta.explanation.datastream.clone(),
                asset: delta.asset.clone(),
                // The row of the same epoch says both.
                domain: Domain::NaturalHazard,
                region: delta.explanation.region.unwrap_or_else(nowhere),
                since: delta.since,
                until: None,
                peak: delta.to,
                withdrawn: false,
                told: [None; 4],
                track: Vec::new(),
            };
            (set, episode)
        });
        match delta.kind {
            DeltaKind::Raised | DeltaKind::Escalated | DeltaKind::Eased => {
                episode.track.push((delta.at, delta.to));
                episode.peak = episode.peak.max(delta.to);
                for told in episode.told.iter_mut().take(delta.to.index()) {
                    told.get_or_insert(epoch);
                }
            }
            DeltaKind::Cleared => episode.until = Some(delta.at),
            DeltaKind::Withdrawn => episode.withdrawn = true,
            DeltaKind::Revised => episode.since = delta.since,
            // Its row says all of it.
            DeltaKind::Recorded | DeltaKind::Amended => {}
        }
    }

    /// The warnings of each set, by rule, asset and beginning.
    pub fn episodes(self) -> BTreeMap<SetId, Vec<Episode>> {
        let mut sets: BTreeMap<SetId, Vec<Episode>> = BTreeMap::new();
        for (set, episode) in self.open.into_values() {
            sets.entry(set).or_default().push(episode);
        }
        for episodes in sets.values_mut() {
            episodes.sort_by(|a, b| {
                (&a.rule, &a.asset, a.since, a.until, a.peak).cmp(&(&b.rule, &b.asset, b.since, b.until, b.peak))
            });
        }
        sets
    }
}

/// Of an asset whose row is gone when it is told of.
fn nowhere() -> RegionCode {
    "-".parse().expect("any short text is a code")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A warning told when it began, at one level.
    pub fn episode(rule: &str, asset: &str, (since, until): (i64, i64), peak: Level) -> Episode {
        let mut told = [None; 4];
        told[..peak.index()].fill(Some(Millis(since)));
        Episode {
            rule: rule.into(),
            datastream: Id::new(format!("{asset}-{rule}")),
            asset: Id::new(asset),
            domain: Domain::NaturalHazard,
            region: "330902001001".parse().unwrap(),
            since: Millis(since),
            until: Some(Millis(until)),
            peak,
            withdrawn: false,
            told,
            track: vec![(Millis(since), peak)],
        }
    }

    #[test]
    fn levels_follow_each_other_from_the_beginning_to_the_end() {
        let mut one = episode("rain", "a", (100, 500), Level::Orange);
        one.track = vec![
            (Millis(120), Level::Blue),
            (Millis(200), Level::Orange),
            (Millis(300), Level::Orange),
            (Millis(400), Level::Blue),
            (Millis(600), Level::Red),
        ];
        let levels = one.levels(Millis(1_000));
        let expected = [
            (100, 200, Level::Blue),
            (200, 400, Level::Orange),
            (400, 500, Level::Blue),
        ];
        assert_eq!(
            levels,
            expected.map(|(from, to, level)| (Millis(from), Millis(to), level))
        );
        one.track.clear();
        assert_eq!(one.levels(Millis(1_000)), [(Millis(100), Millis(500), Level::Orange)]);
        one.until = None;
        assert_eq!(
            (one.end(Millis(900)), one.lasted((Millis(0), Millis(900)))),
            (Millis(900), 800)
        );
        assert_eq!(one.lasted((Millis(200), Millis(300))), 100);
    }
}
