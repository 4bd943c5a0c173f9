//! `riskflow explain --at TIME`: which warnings were open at a time, by what was told by another.
//!
//! It goes by what was published: the deltas of `out.warning.delta` with an epoch up to the other time, by warning. Nothing is evaluated again.
//! Three things deltas do not say, and so it does not: what was told before the first that is kept; the levels between a beginning that
//! moved and the first level that was told; the end of a warning that was amended, for which the row of that epoch in
//! `out.warning.history` is taken, if it is still there.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use riskflow_config::{Clock, Settings};
use riskflow_connectors::{RawRecord, Verdict};
use riskflow_model::base::Asset;
use riskflow_model::id::RuleOrLimit;
use riskflow_model::output::{Cause, DeltaKind, PastState, PastWarning, Stamped, WarningDelta, WarningState};
use riskflow_model::topic::Topic;
use riskflow_model::{Id, Level, Millis, RegionCode, Text};
use serde::Serialize;

use super::super::tail;
use super::super::tail::people::{DIM, Names, called, level, name, plain};
use super::within::{self, Regions};
use super::{Patience, TooMuch, told};
use crate::program::exit::Usage;

/// What is asked.
pub struct Asked<'a> {
    /// The time that is asked about.
    pub at: Millis,
    /// By what was told then; else by all that was.
    pub as_of: Option<Millis>,
    /// Only in this region and within: its code, or its name.
    pub within: Option<&'a str>,
    /// Whoever asks sees this region only, and what lies within.
    pub seen: Option<RegionCode>,
    /// Only of this rule.
    pub rule: Option<&'a str>,
}

/// What was known.
#[derive(Debug, Serialize)]
pub struct Answer {
    pub at: Millis,
    pub as_of: Option<Millis>,
    pub within: Option<RegionCode>,
    pub rule: Option<Text>,
    /// The first epoch of which there still is a delta of any warning: what was told before, and has not changed since, is not here.
    pub reaches_back_to: Option<Millis>,
    /// The highest first, of one level the oldest.
    pub warnings: Vec<Warned>,
    /// What else matters.
    pub notes: Vec<String>,
}

/// A warning that was open at that time.
#[derive(Debug, Serialize)]
pub struct Warned {
    pub id: Id<WarningState>,
    pub rule: Id<RuleOrLimit>,
    pub rule_name: Text,
    pub asset: Id<Asset>,
    pub asset_name: Text,
    pub region: Option<RegionCode>,
    /// The level at that time, where it was told.
    pub level: Option<Level>,
    /// When that level began.
    pub from: Option<Millis>,
    /// When the next level began, or the warning ended; absent where neither was told.
    pub to: Option<Millis>,
    /// The highest level that was told of it.
    pub highest: Level,
    pub since: Millis,
    /// When it ended, if it was told that it did.
    pub until: Option<Millis>,
    /// The last that was told of it.
    pub last: Last,
}

/// The last delta of a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Last {
    pub epoch: Millis,
    pub kind: DeltaKind,
    pub cause: Cause,
}

/// What was open at a time, by what was told by another.
///
/// # Errors
///
/// When what is asked cannot be, the topics cannot be read, or it takes more than there is patience for.
pub fn find(settings: &Settings, now: Millis, asked: &Asked<'_>, patience: Patience<'_>) -> Result<Answer> {
    possible(settings, now, asked)?;
    let mut found = Found::default();
    let topics = [Topic::WARNING_DELTA, Topic::WARNING_HISTORY];
    tail::read_while(settings, &topics, patience.waits, &mut |record| {
        if found.count < patience.most {
            found.take(record, asked);
        }
        Verdict::Taken
    })
    .context("could not read the warnings")?;
    if found.count >= patience.most {
        return Err(TooMuch(patience.most).into());
    }
    let mut names = Names::default();
    let by_region = asked.within.is_some() || asked.seen.is_some();
    if by_region && within::can_be_read(settings) {
        tail::read_while(settings, &[Topic::BASE_REGION], patience.waits, &mut |record| {
            names.note(record);
            Verdict::Taken
        })
        .context("could not read the regions")?;
    }
    let regions = Regions {
        settings,
        names: &names,
        warned: &found.regions,
        seen: asked.seen,
        patience,
    };
    let within = asked.within.map(|text| regions.meant(text)).transpose()?;
    Ok(found.answer(asked, within, &names))
}

/// Refuses a time that is yet to come, and one of which nothing was known then.
fn possible(settings: &Settings, now: Millis, asked: &Asked<'_>) -> Result<()> {
    let at = asked.at;
    if settings.clock == Clock::Live && at > now {
        let says = format!("`--at` is {at}, which is yet to come: it is {now}");
        return Err(Usage(says).into());
    }
    match asked.as_of {
        Some(as_of) if as_of < at => {
            let says = format!("`--as-of` is {as_of}, before `--at`, {at}: nothing was known of it; give a later time");
            Err(Usage(says).into())
        }
        _ => Ok(()),
    }
}

/// What the topics hold.
#[derive(Default)]
struct Found {
    lives: BTreeMap<Id<WarningState>, Vec<Step>>,
    /// By warning and epoch: when it ended, as its row said.
    ends: BTreeMap<(Id<WarningState>, Millis), Millis>,
    /// So many steps and ends are held.
    count: usize,
    reach: Option<Millis>,
    /// Whether there is a delta of the rule that is asked about.
    of_rule: bool,
    /// Where warnings of any rule were told of at any time.
    regions: BTreeSet<RegionCode>,
}

/// One delta, as far as it matters here.
struct Step {
    last: Last,
    since: Millis,
    at: Millis,
    to: Level,
    rule: Id<RuleOrLimit>,
    rule_name: Text,
    asset: Id<Asset>,
    asset_name: Text,
    region: Option<RegionCode>,
}

impl From<Stamped<WarningDelta>> for Step {
    fn from(Stamped { record, epoch, .. }: Stamped<WarningDelta>) -> Self {
        let WarningDelta {
            kind, cause, since, at, ..
        } = record;
        Self {
            last: Last { epoch, kind, cause },
            since,
            at,
            to: record.to,
            rule: record.rule,
            rule_name: record.explanation.rule_name,
            asset: record.asset,
            asset_name: record.explanation.asset_name,
            region: record.explanation.region,
        }
    }
}

impl Found {
    fn take(&mut self, record: &RawRecord<'_>, asked: &Asked<'_>) {
        let is_told = |epoch: Millis| asked.as_of.is_none_or(|as_of| epoch <= as_of);
        if record.topic == Topic::WARNING_DELTA {
            self.reach = self.reach.into_iter().chain(record.arrival).min();
            let delta = told::read::<WarningDelta>(record);
            let region = delta.as_ref().and_then(|delta| delta.record.explanation.region);
            self.regions.extend(region);
            let delta = delta.filter(|delta| is_told(delta.epoch));
            let Some(delta) = delta.filter(|delta| asked.rule.is_none_or(|rule| *delta.record.rule == *rule)) else {
                return;
            };
            self.of_rule = true;
            self.count += 1;
            let id = delta.record.id.clone();
            self.lives.entry(id).or_default().push(delta.into());
        } else if record.topic == Topic::WARNING_HISTORY
            && let Some(row) = told::read::<PastWarning>(record)
            && is_told(row.epoch)
            && row.record.state == PastState::Ended
        {
            self.count += 1;
            self.ends.insert((row.record.id, row.epoch), row.record.until);
        }
    }

    fn answer(self, asked: &Asked<'_>, within: Option<RegionCode>, names: &Names) -> Answer {
        let (mut warnings, mut unsure) = (Vec::new(), 0);
        for (id, mut steps) in self.lives {
            // Of one key they stand in their order, unless a topic got more partitions.
            steps.sort_by_key(|step| step.last.epoch);
            let mut life = Life::default();
            for step in &steps {
                let end = self.ends.get(&(id.clone(), step.last.epoch));
                life.step(step, end.copied());
            }
            let region = steps.iter().rev().find_map(|step| step.region);
            let lies = |within: Option<RegionCode>| {
                within.is_none_or(|within| region.is_some_and(|region| names.within(region, within)))
            };
            if life.is_open(asked.at)
                && lies(within)
                && lies(asked.seen)
                && let Some(last) = steps.pop()
            {
                unsure += usize::from(life.end_is_unsure);
                warnings.push(life.warned(asked.at, id, region, last));
            }
        }
        warnings.sort_by_key(|warned| (Reverse(warned.level), warned.since));
        let mut notes = Vec::new();
        if unsure > 0 {
            notes.push(format!(
                "amended when they were over, and when they ended is not kept any more (out.warning.history), so as it was told before: {unsure}"
            ));
        }
        if let Some(rule) = asked.rule.filter(|_| !self.of_rule) {
            notes.push(format!("out.warning.delta has nothing of a rule `{rule}`"));
        }
        Answer {
            at: asked.at,
            as_of: asked.as_of,
            within,
            rule: asked.rule.map(Text::from),
            reaches_back_to: self.reach,
            warnings,
            notes,
        }
    }
}

/// The life of a warning, as it was told.
#[derive(Debug, Default)]
struct Life {
    since: Millis,
    /// When each level began; each begins later than the one before. Where the end moved to a later time, the last stands up to it.
    levels: Vec<(Millis, Level)>,
    until: Option<Millis>,
    withdrawn: bool,
    highest: Level,
    end_is_unsure: bool,
}

impl Life {
    /// What was told next; `end` by the row of the same epoch.
    fn step(&mut self, step: &Step, end: Option<Millis>) {
        let Step { since, at, to, .. } = *step;
        self.begins(since);
        self.withdrawn = false;
        self.end_is_unsure = false;
        self.highest = self.highest.max(to);
        match step.last.kind {
            DeltaKind::Raised | DeltaKind::Escalated | DeltaKind::Eased => {
                self.until = None;
                self.turns(at, to);
            }
            // The level is what it was: `at` is the epoch.
            DeltaKind::Revised => {
                self.until = None;
                if self.levels.last().is_none_or(|(_, level)| *level != to) {
                    self.turns(at, to);
                }
            }
            DeltaKind::Cleared => self.ends(at),
            DeltaKind::Recorded => {
                self.levels.clear();
                self.highest = to;
                self.ends(at);
            }
            DeltaKind::Amended => {
                self.highest = to;
                self.end_is_unsure = end.is_none();
                // Where nothing is left that says it, it had ended by then.
                self.ends(end.or(self.until).unwrap_or(at));
            }
            DeltaKind::Withdrawn => {
                *self = Self {
                    withdrawn: true,
                    ..Self::default()
                };
            }
        }
    }

    /// The beginning is this: a level that began before it begins with it, and what was over by then never was.
    fn begins(&mut self, since: Millis) {
        self.since = since;
        let before = self.levels.partition_point(|(begins, _)| *begins <= since);
        if let Some(first) = before.checked_sub(1) {
            self.levels.drain(..first);
            self.levels[0].0 = since;
        }
    }

    /// From a time on it is another level.
    fn turns(&mut self, at: Millis, level: Level) {
        self.levels.retain(|(begins, _)| *begins < at);
        self.levels.push((at, level));
    }

    fn ends(&mut self, at: Millis) {
        self.levels.retain(|(begins, _)| *begins < at);
        self.until = Some(at);
    }

    fn is_open(&self, at: Millis) -> bool {
        !self.withdrawn && self.since <= at && self.until.is_none_or(|until| at < until)
    }

    fn warned(&self, at: Millis, id: Id<WarningState>, region: Option<RegionCode>, step: Step) -> Warned {
        let begun = self.levels.partition_point(|(begins, _)| *begins <= at);
        let current = begun.checked_sub(1).map(|place| self.levels[place]);
        let next = self.levels.get(begun).map(|(begins, _)| *begins);
        Warned {
            id,
            rule: step.rule,
            rule_name: step.rule_name,
            asset: step.asset,
            asset_name: step.asset_name,
            region,
            level: current.map(|(_, level)| level),
            from: current.map(|(begins, _)| begins),
            to: next.or(self.until),
            highest: self.highest,
            since: self.since,
            until: self.until,
            last: step.last,
        }
    }
}

/// The answer in lines.
pub fn for_people(answer: &Answer, names: &Names) -> Vec<String> {
    let as_of = answer.as_of.map_or_else(
        || "all that was told".to_owned(),
        |as_of| format!("what was told by {as_of}"),
    );
    let within = answer
        .within
        .map_or_else(String::new, |within| format!(" within {}", plain(&names.of(within))));
    let open = match answer.warnings.len() {
        0 => "no warning was open".to_owned(),
        1 => "one warning was open".to_owned(),
        count => format!("{count} warnings were open"),
    };
    let mut lines = vec![format!("at {}, by {as_of}: {open}{within}", answer.at)];
    lines.extend(answer.warnings.iter().map(|warned| line(warned, names)));
    lines.push(match answer.reaches_back_to {
        Some(reach) => format!(
            "out.warning.delta reaches back to {reach}: what was told before, and has not changed since, is not among these"
        ),
        None => "out.warning.delta holds no delta at all: did a job run with this configuration?".to_owned(),
    });
    lines.extend(answer.notes.iter().map(|note| plain(note)));
    lines
}

/// One warning.
fn line(warned: &Warned, names: &Names) -> String {
    let height = match (warned.level, warned.from) {
        (Some(height), Some(from)) => format!("{} since {from}", level(height)),
        _ => format!("level not told, {} at most", warned.highest),
    };
    let until = warned
        .until
        .map_or_else(String::new, |until| format!(", over at {until}"));
    let region = warned
        .region
        .map_or_else(|| "?".to_owned(), |region| plain(&names.of(region)));
    let (rule, asset) = (
        called(&warned.rule_name, &warned.rule),
        called(&warned.asset_name, &warned.asset),
    );
    let Last { epoch, kind, cause } = warned.last;
    format!(
        "{height}  {rule}  {asset}  {region}  open since {}{until}  {DIM}last {} at {epoch}, {}{DIM:#}  {DIM}{}{DIM:#}",
        warned.since,
        kind.name(),
        name(cause),
        plain(&warned.id)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kind, beginning, time and level.
    type Brief = (DeltaKind, i64, i64, Level);

    fn life(steps: &[Brief], more: &[Brief]) -> Life {
        let mut life = Life::default();
        for (kind, since, at, to) in steps.iter().chain(more) {
            let step = Step {
                last: Last {
                    epoch: Millis(*at),
                    kind: *kind,
                    cause: Cause::Data,
                },
                since: Millis(*since),
                at: Millis(*at),
                to: *to,
                rule: Id::new("rain"),
                rule_name: Text::default(),
                asset: Id::new("gauge"),
                asset_name: Text::default(),
                region: None,
            };
            life.step(&step, None);
        }
        life
    }

    fn level_at(life: &Life, at: i64) -> Option<Level> {
        let begun = life.levels.partition_point(|(begins, _)| *begins <= Millis(at));
        life.levels.get(begun.checked_sub(1)?).map(|(_, level)| *level)
    }

    #[test]
    fn levels_follow_each_other_and_a_beginning_that_moves_takes_them_along() {
        use DeltaKind::{Cleared, Eased, Escalated, Raised, Revised};
        use Level::{Blue, None as Nothing, Red, Yellow};
        let risen = [(Raised, 6, 6, Blue), (Escalated, 6, 10, Red)];
        let known = life(&risen, &[]);
        assert_eq!(
            (level_at(&known, 5), level_at(&known, 6), level_at(&known, 10)),
            (None, Some(Blue), Some(Red))
        );
        // Earlier: what it was between is not told. Later: what was over by then never was.
        let earlier = life(&risen, &[(Revised, 4, 14, Red)]);
        assert_eq!((earlier.since, level_at(&earlier, 4)), (Millis(4), None));
        assert_eq!((level_at(&earlier, 6), level_at(&earlier, 20)), (Some(Blue), Some(Red)));
        let later = life(&risen, &[(Revised, 12, 14, Red)]);
        assert_eq!(later.levels, [(Millis(12), Red)]);
        // What was told later of an earlier time replaces what was told of it.
        let eased = life(&risen, &[(Eased, 6, 8, Yellow)]);
        assert_eq!(eased.levels, [(Millis(6), Blue), (Millis(8), Yellow)]);
        let over = life(&risen, &[(Cleared, 6, 12, Nothing)]);
        assert!(over.is_open(Millis(11)) && !over.is_open(Millis(12)) && !over.is_open(Millis(5)));
        let again = life(&risen, &[(Cleared, 6, 12, Nothing), (Revised, 6, 13, Red)]);
        assert!(again.is_open(Millis(50)));
    }

    #[test]
    fn what_is_over_stays_over_and_what_was_withdrawn_never_was() {
        use DeltaKind::{Amended, Cleared, Raised, Recorded, Withdrawn};
        use Level::{Blue, None as Nothing, Red};
        let recorded = life(&[(Recorded, 3, 7, Red)], &[]);
        assert!(recorded.is_open(Millis(6)) && !recorded.is_open(Millis(7)));
        assert_eq!((level_at(&recorded, 6), recorded.highest), (None, Red));
        let raised = [(Raised, 6, 6, Blue), (Cleared, 6, 9, Nothing)];
        let amended = life(&raised, &[(Amended, 5, 20, Blue)]);
        assert!(amended.end_is_unsure && amended.is_open(Millis(5)) && !amended.is_open(Millis(9)));
        let withdrawn = life(&raised, &[(Withdrawn, 6, 21, Nothing)]);
        assert!(!withdrawn.is_open(Millis(7)));
        let back = life(&raised, &[(Withdrawn, 6, 21, Nothing), (Raised, 8, 8, Red)]);
        assert_eq!((back.is_open(Millis(7)), level_at(&back, 8)), (false, Some(Red)));
    }
}
