//! Episodes of warnings: what is open after an epoch, what is over, and what that says of what was told before.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_model::base::Asset;
use riskflow_model::id::{RuleOrLimit, Run};
use riskflow_model::output::{Cause, DeltaKind, PastState, PastWarning, SourceKind, WarningState};
use riskflow_model::{Id, Key, Level, Millis, Shared, Text};

use super::level::{self, Track, level_at};
use super::{Expected, Group, Levels, Member, Oracle, Told, group};

/// The row of a warning that is over.
#[derive(Clone)]
pub(super) struct Over {
    row: PastWarning,
    /// Whether its episode went with the entry that it came from.
    adrift: bool,
}

/// One rule and asset in one epoch.
struct Epoch<'a> {
    now: i64,
    place: &'a Group,
    /// The candidate that it is of.
    set: Option<Text>,
    asset: Option<Shared<Asset>>,
    track: Track,
    cause: Cause,
    /// Identifiers that no other warning may get.
    used: BTreeSet<Id<WarningState>>,
    /// Beginnings of episodes that are some warning's.
    taken: BTreeSet<i64>,
    told: Vec<(Told, Option<Id<Run>>)>,
}

impl Oracle {
    pub(super) fn episodes(
        &mut self,
        now: i64,
        levels: &Levels,
        causes: &BTreeMap<Member, Cause>,
        expected: &mut Expected,
    ) {
        let mut groups: BTreeMap<Group, Vec<&(Track, bool)>> = BTreeMap::new();
        for (member, standing) in levels {
            groups.entry(group(member)).or_default().push(standing);
        }
        for place in self.open.keys().chain(self.history.keys()) {
            groups.entry(place.clone()).or_default();
        }
        let gone = self.levels.keys().filter(|member| !levels.contains_key(*member));
        let went: BTreeSet<Group> = gone
            .filter(|member| causes.get(*member).is_some_and(|cause| *cause >= Cause::BaseChange))
            .map(group)
            .collect();
        for (place, members) in groups {
            let of_place = causes.iter().filter(|(member, _)| group(member) == place);
            let epoch = Epoch {
                now,
                place: &place,
                set: self.set.clone(),
                asset: self.assets.get(&place.2.key()).cloned(),
                track: level::highest(members.iter().map(|(track, _)| track)),
                cause: of_place.map(|(_, cause)| *cause).max().unwrap_or(Cause::Manual),
                used: BTreeSet::new(),
                taken: BTreeSet::new(),
                told: Vec::new(),
            };
            self.of_group(epoch, &members, went.contains(&place), expected);
        }
        self.runs.forget(now, self.semantics.case.retain.0);
    }

    fn of_group(&mut self, mut epoch: Epoch<'_>, members: &[&(Track, bool)], went: bool, expected: &mut Expected) {
        let (now, place) = (epoch.now, epoch.place);
        let mut rows = self.history.remove(place).unwrap_or_default();
        rows.sort_by_key(|over| (over.row.since, over.row.id.clone()));
        let ended = rows.iter().filter(|over| over.row.state == PastState::Ended);
        epoch.used.extend(ended.map(|over| over.row.id.clone()));
        let before = self.open.remove(place);
        let mut going = None;
        let mut closed = None;
        if let Some(before) = before {
            epoch.used.insert(before.id.clone());
            // The episode that the warning told of has become; it goes on as long as that is not over.
            let kept = level::episode(&epoch.track, before.since.0);
            epoch.taken.extend(kept.map(|(since, _)| since));
            if let Some((_, None)) = kept {
                going = Some(before);
            } else {
                let over = epoch.over(&before, kept);
                let run = self.runs.end(place, over.until.0);
                let (kind, at) = match over.state {
                    PastState::Ended => (DeltaKind::Cleared, over.until.0),
                    PastState::Withdrawn => (DeltaKind::Withdrawn, now),
                };
                let levels = (before.level, Level::None);
                epoch.tell(Some(run), &over.id, kind, over.since.0, at, levels);
                closed = Some(over);
            }
        }
        let reopened = epoch.past(&mut rows, went);
        rows.extend(closed.map(|row| Over { row, adrift: false }));
        let remembered = now - self.remember();
        epoch.record(&mut rows, remembered);
        if let Some(open) = level::open(&epoch.track) {
            let id = match (&going, reopened) {
                (Some(before), _) => before.id.clone(),
                (None, Some(id)) => id,
                (None, None) => epoch.new_id(open.since),
            };
            rows.retain(|over| over.row.id != id);
            let run = match &going {
                Some(_) => self.runs.of_open(place),
                None => self
                    .runs
                    .raise(place, &id, open.since, self.semantics.case.flapping.join.0),
            };
            epoch.open(going.as_ref(), &id, open, &run);
            let standing = members.iter().filter(|(track, _)| level_at(track, now) == open.level);
            let stale = standing.clone().all(|(_, stale)| *stale);
            let asset = epoch.asset.as_ref().expect("an entry has an asset");
            let state = warning(id.clone(), &place.1, asset, open, stale);
            expected.warnings.insert(id, state.clone());
            self.open.insert(place.clone(), state);
        }
        for (told, run) in epoch.told {
            expected.runs.extend(run.map(|run| (told.id.clone(), run)));
            expected.deltas.insert(told);
        }
        rows.retain(|over| over.row.until.0 > remembered);
        let shown = rows.iter().map(|over| (over.row.id.clone(), over.row.clone()));
        expected.history.extend(shown);
        if !rows.is_empty() {
            self.history.insert(place.clone(), rows);
        }
    }

    /// So long after its end an episode is remembered.
    pub(super) fn remember(&self) -> i64 {
        let time = &self.semantics.time;
        time.horizon.0 + time.retain.0.max(6 * 60 * 60 * 1_000)
    }
}

impl Epoch<'_> {
    fn tell(
        &mut self,
        run: Option<Id<Run>>,
        id: &Id<WarningState>,
        kind: DeltaKind,
        since: i64,
        at: i64,
        levels: (Level, Level),
    ) {
        let told = Told {
            id: id.clone(),
            kind,
            cause: self.cause,
            rule: self.place.1.clone(),
            asset: self.place.2.clone(),
            since: Millis(since),
            at: Millis(at),
            levels,
        };
        self.told.push((told, run));
    }

    /// The hash of rule, asset and beginning; of the second one that is remembered the number as well, and so on.
    fn new_id(&self, since: i64) -> Id<WarningState> {
        let (limit, rule, asset) = self.place;
        let mut number = 1;
        loop {
            let mut parts: Vec<String> = vec![rule.to_string(), asset.to_string(), since.to_string()];
            if *limit {
                parts.insert(0, "limit".to_owned());
            }
            parts.splice(0..0, self.set.as_ref().map(ToString::to_string));
            if number > 1 {
                parts.push(number.to_string());
            }
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let id = Id::from(Key::of_parts(&parts).to_string());
            if !self.used.contains(&id) {
                return id;
            }
            number += 1;
        }
    }

    fn peak(&self, since: i64, until: i64) -> Level {
        let points = self.track.iter().filter(|(time, _)| (since..until).contains(time));
        points.map(|(_, level)| *level).max().expect("an episode has a level")
    }

    /// The row of a warning that was open, and is over or never was.
    fn over(&self, before: &WarningState, kept: Option<(i64, Option<i64>)>) -> PastWarning {
        let (since, until, peak, state) = match kept {
            Some((since, Some(until))) => (since, until, self.peak(since, until), PastState::Ended),
            _ => (before.since.0, self.now, before.level, PastState::Withdrawn),
        };
        let asset = self.asset.as_ref();
        PastWarning {
            id: before.id.clone(),
            rule: before.rule.clone(),
            source: source(self.place),
            asset: before.asset.clone(),
            domain: asset.map_or(before.domain, |asset| asset.domain),
            region: asset.map_or(before.region, |asset| asset.region),
            since: Millis(since),
            until: Millis(until),
            peak,
            state,
            told: true,
        }
    }

    /// Compares what was over with what is; returns which of them is open again.
    fn past(&mut self, rows: &mut Vec<Over>, went: bool) -> Option<Id<WarningState>> {
        let mut open_again = None;
        // One that lost its episode with an entry can only have one that no other row has.
        rows.sort_by_key(|over| over.adrift);
        for over in rows.iter_mut().filter(|over| over.row.state == PastState::Ended) {
            let row = over.row.clone();
            let found = level::episode(&self.track, row.since.0);
            let found = found.filter(|(since, _)| *since < row.until.0 && !self.taken.contains(since));
            match found {
                Some((since, None)) => {
                    self.taken.insert(since);
                    open_again = Some(row.id);
                }
                Some((since, Some(until))) => {
                    self.taken.insert(since);
                    over.adrift = false;
                    let peak = self.peak(since, until);
                    if (since, until, peak) != (row.since.0, row.until.0, row.peak) {
                        self.tell(None, &row.id, DeltaKind::Amended, since, self.now, (row.peak, peak));
                        (over.row.since, over.row.until, over.row.peak) = (Millis(since), Millis(until), peak);
                        if let Some(asset) = &self.asset {
                            (over.row.domain, over.row.region) = (asset.domain, asset.region);
                        }
                    }
                }
                None if went || over.adrift => over.adrift = true,
                None => {
                    let levels = (row.peak, Level::None);
                    self.tell(None, &row.id, DeltaKind::Withdrawn, row.since.0, self.now, levels);
                    over.row.state = PastState::Withdrawn;
                }
            }
        }
        rows.retain(|over| Some(&over.row.id) != open_again.as_ref());
        open_again
    }

    /// What is over and was not known.
    fn record(&mut self, rows: &mut Vec<Over>, remembered: i64) {
        for (since, until) in level::all(&self.track) {
            let Some(until) = until.filter(|until| *until > remembered && !self.taken.contains(&since)) else {
                continue;
            };
            let (id, peak) = (self.new_id(since), self.peak(since, until));
            self.tell(None, &id, DeltaKind::Recorded, since, until, (Level::None, peak));
            let asset = self.asset.as_ref().expect("an entry has an asset");
            let withdrawn = rows.iter().position(|over| over.row.id == id);
            let told = withdrawn.is_some_and(|place| rows.remove(place).row.told);
            let row = PastWarning {
                id,
                rule: self.place.1.clone(),
                source: source(self.place),
                asset: asset.id.clone(),
                domain: asset.domain,
                region: asset.region,
                since: Millis(since),
                until: Millis(until),
                peak,
                state: PastState::Ended,
                told,
            };
            rows.push(Over { row, adrift: false });
        }
    }

    /// What is open now, against what was.
    fn open(&mut self, before: Option<&WarningState>, id: &Id<WarningState>, open: level::Open, run: &Id<Run>) {
        let run = Some(run.clone());
        let (since, at, level) = (open.since, open.level_since, open.level);
        let Some(before) = before else {
            return self.tell(run, id, DeltaKind::Raised, since, at, (Level::None, level));
        };
        if before.since.0 != since {
            self.tell(run.clone(), id, DeltaKind::Revised, since, self.now, (level, level));
        }
        if before.level < level {
            self.tell(run, id, DeltaKind::Escalated, since, at, (before.level, level));
        } else if before.level > level {
            self.tell(run, id, DeltaKind::Eased, since, at, (before.level, level));
        }
    }
}

const fn source((limit, ..): &Group) -> SourceKind {
    if *limit {
        SourceKind::Limit
    } else {
        SourceKind::Datastream
    }
}

fn warning(
    id: Id<WarningState>,
    rule: &Id<RuleOrLimit>,
    asset: &Asset,
    open: level::Open,
    stale: bool,
) -> WarningState {
    WarningState {
        id,
        rule: rule.clone(),
        asset: asset.id.clone(),
        domain: asset.domain,
        region: asset.region,
        level: open.level,
        since: Millis(open.since),
        stale,
    }
}
