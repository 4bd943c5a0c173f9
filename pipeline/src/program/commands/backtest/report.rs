//! What a back-test found, for people and for machines.

mod groups;
pub mod html;
pub mod table;

use riskflow_model::{Duration, Key, Level, Millis, RegionCode, Text};
use serde::Serialize;

use super::super::sweep;
use super::compare::{Pair, Relation, compare};
use super::episode::Episode;
use super::judge::{Scores, Terms, judge, near_misses};
use super::run::{Ran, Read};
use super::series::Station;
use super::sets::{SetId, Sets};
use super::truth::Event;
use super::world::World;

pub use groups::Group;
use groups::groups;

/// The whole report; `--json` writes it as it stands.
#[derive(Debug, Serialize)]
pub struct Report {
    /// From when until when warnings are looked at.
    pub from: Millis,
    /// The end of the history.
    pub until: Millis,
    /// Warnings of this level and higher are judged.
    pub level: Level,
    /// So long before an event a warning counts for it.
    pub max_lead: Duration,
    /// What was read.
    pub read: Read,
    /// The new rules.
    pub new: Set,
    /// Those that they are compared with.
    pub old: Option<Set>,
    /// How many warnings are related in which way.
    pub relations: Option<Relations>,
    /// All warnings but those that are the same in both sets.
    pub differences: Vec<Difference>,
    /// By rule, region (county) and domain.
    pub by_rule: Vec<Group>,
    /// By county, or by region where one lies in none.
    pub by_region: Vec<Group>,
    /// By domain.
    pub by_domain: Vec<Group>,
    /// What happened, and how it came off.
    pub events: Vec<Judged>,
    /// What almost was a warning of the new rules.
    pub near_misses: Vec<Warning>,
    /// What each value of a sweep comes to.
    pub sweep: Vec<Point>,
    /// The series of one station.
    pub station: Option<Station>,
    /// The warnings of the new rules.
    pub new_warnings: Vec<Warning>,
    /// The warnings of the old rules.
    pub old_warnings: Vec<Warning>,
    /// What limits the answer.
    pub notes: Vec<Note>,
}

/// What a set of rules comes to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Set {
    /// How many rules it has.
    pub rules: usize,
    /// How many warnings it gave that were not withdrawn.
    pub warnings: usize,
    /// By highest level: blue, yellow, orange, red.
    pub by_peak: [usize; 4],
    /// How many were withdrawn: by what came later they never were.
    pub withdrawn: usize,
    /// How many were over when they were learnt: nobody would have been told.
    pub learnt_late: usize,
    /// How long they lasted together.
    pub lasted: Duration,
    /// Of all of them, with their times and levels, those that were withdrawn too: equal where these are equal, in another run as well.
    pub fingerprint: String,
    /// Beside what happened.
    pub scores: Option<Scores>,
}

/// How many warnings of two sets are related in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Relations {
    /// Both have them, and they are equal.
    pub same: usize,
    /// Both have them, the levels differ.
    pub level: usize,
    /// Both have them, the times differ.
    pub time: usize,
    /// Both have them, both differ.
    pub level_and_time: usize,
    /// Only the new rules give them.
    pub only_new: usize,
    /// Only the old rules give them.
    pub only_old: usize,
}

impl Relations {
    fn of<'a>(pairs: impl Iterator<Item = &'a Pair<'a>>) -> Self {
        let mut counts = Self::default();
        for pair in pairs {
            *counts.count(pair.relation) += 1;
        }
        counts
    }

    fn count(&mut self, relation: Relation) -> &mut usize {
        match relation {
            Relation::Same => &mut self.same,
            Relation::Level => &mut self.level,
            Relation::Time => &mut self.time,
            Relation::LevelAndTime => &mut self.level_and_time,
            Relation::OnlyNew => &mut self.only_new,
            Relation::OnlyOld => &mut self.only_old,
        }
    }

    /// How many are not the same.
    pub const fn different(&self) -> usize {
        self.level + self.time + self.level_and_time + self.only_new + self.only_old
    }
}

/// A warning as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The rule.
    pub rule: Text,
    /// The asset.
    pub asset: Text,
    /// Where that is.
    pub region: RegionCode,
    /// Its domain.
    pub domain: &'static str,
    /// When it began.
    pub since: Millis,
    /// When it ended; null where it was open at the end.
    pub until: Option<Millis>,
    /// Its highest level.
    pub peak: Level,
    /// Its levels one after the other: from, until, level.
    pub levels: Vec<(Millis, Millis, Level)>,
    /// Whether, by what came later, it never was.
    pub withdrawn: bool,
}

impl Warning {
    fn of(episode: &Episode, open: Millis) -> Self {
        Self {
            rule: episode.rule.clone(),
            asset: episode.asset.text().clone(),
            region: episode.region,
            domain: episode.domain.name(),
            since: episode.since,
            until: episode.until,
            peak: episode.peak,
            levels: episode.levels(open),
            withdrawn: episode.withdrawn,
        }
    }
}

/// A warning that differs.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// How.
    pub relation: Relation,
    /// As the new rules give it.
    pub new: Option<Warning>,
    /// As the old rules give it.
    pub old: Option<Warning>,
}

/// An event, and how it came off.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
    /// How long before it the new rules warned; null where they did not.
    pub new_lead_ms: Option<i64>,
    /// How long before it the old rules warned.
    pub old_lead_ms: Option<i64>,
}

/// One value of a sweep.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// `rain.blue=42`, and so on.
    pub name: String,
    /// What it comes to.
    #[serde(flatten)]
    pub set: Set,
}

/// Something that limits the answer, in both languages.
#[derive(Clone, Debug, Serialize)]
pub struct Note {
    /// In Chinese.
    pub zh: String,
    /// In English.
    pub en: String,
}

/// What a report is made of.
pub struct Found<'a> {
    /// The rules.
    pub sets: &'a Sets,
    /// What they gave.
    pub ran: &'a Ran,
    /// Whether there are events, and those that lie within the history.
    pub events: Option<&'a [Event]>,
    /// When a warning counts for an event.
    pub terms: Terms,
    /// Where things lie.
    pub world: &'a World,
    /// From when on warnings are looked at.
    pub from: Option<Millis>,
}

/// The warnings of the run that are looked at: of a time, by set.
pub struct Looked {
    /// The time.
    pub span: (Millis, Millis),
    /// Those of the new rules.
    pub new: Vec<Episode>,
    /// Those of the old rules, if there are any.
    pub old: Option<Vec<Episode>>,
}

impl Found<'_> {
    /// From when until when warnings are looked at; where the history is empty, a moment.
    pub fn span(&self) -> (Millis, Millis) {
        let (first, last) = self.ran.span.unwrap_or_default();
        (self.from.unwrap_or(first).min(last), last)
    }

    /// The warnings of a set within that time.
    fn within(&self, set: SetId) -> Vec<Episode> {
        let (from, until) = self.span();
        let all = self.ran.of(set).iter();
        let within = all.filter(|one| one.since <= until && one.until.is_none_or(|until| until > from));
        within.cloned().collect()
    }

    /// The warnings of both sets within that time.
    pub fn looked(&self) -> Looked {
        Looked {
            span: self.span(),
            new: self.within(SetId::New),
            old: self.sets.old.as_ref().map(|_| self.within(SetId::Old)),
        }
    }

    /// What a set comes to, and how each event came off.
    fn set(&self, rules: usize, episodes: &[Episode]) -> (Set, Vec<Option<i64>>) {
        let mut set = Set {
            rules,
            ..Set::default()
        };
        let mut lasted = 0;
        let until = self.span().1;
        let all: Vec<Warning> = episodes.iter().map(|one| Warning::of(one, until)).collect();
        let all = serde_json::to_vec(&all).expect("warnings are plain data");
        set.fingerprint = Key::of_bytes(&all).to_string();
        for episode in episodes {
            if episode.withdrawn {
                set.withdrawn += 1;
                continue;
            }
            set.warnings += 1;
            if let Some(count) = episode
                .peak
                .index()
                .checked_sub(1)
                .and_then(|at| set.by_peak.get_mut(at))
            {
                *count += 1;
            }
            set.learnt_late += usize::from(episode.reached(Level::Blue).is_none());
            lasted += episode.lasted(self.span());
        }
        set.lasted = Duration(lasted);
        let Some(events) = self.events else {
            return (set, Vec::new());
        };
        let events: Vec<&Event> = events.iter().collect();
        let (scores, leads) = judge(episodes.iter(), &events, self.terms, self.world);
        set.scores = Some(scores);
        (set, leads)
    }

    /// Puts everything together.
    pub fn report(&self, looked: &Looked, station: Option<Station>, notes: Vec<Note>) -> Report {
        let (from, until) = looked.span;
        let (new, new_leads) = self.set(self.sets.new.len(), &looked.new);
        let of_old = looked.old.as_ref().zip(self.sets.old.as_ref());
        let (old, old_leads) = of_old.map(|(old, rules)| self.set(rules.len(), old)).unzip();
        let pairs = looked.old.as_ref().map(|old| compare(&looked.new, old, until));
        let different = pairs.iter().flatten().filter(|pair| pair.relation != Relation::Same);
        let warning = |one: &Episode| Warning::of(one, until);
        let differences = different.map(|pair| Difference {
            relation: pair.relation,
            new: pair.new.map(warning),
            old: pair.old.map(warning),
        });
        let lead = |leads: &[Option<i64>], at: usize| leads.get(at).copied().flatten();
        let events = self.events.unwrap_or_default().iter().enumerate();
        let events = events.map(|(at, event)| Judged {
            event: event.clone(),
            new_lead_ms: lead(&new_leads, at),
            old_lead_ms: old_leads.as_deref().and_then(|leads| lead(leads, at)),
        });
        let near = self.within(SetId::Near);
        let near = near_misses(&near, &looked.new, self.terms.level).into_iter();
        let sweep = self.sets.swept.iter().enumerate().map(|(position, swept)| {
            let names = swept
                .values
                .iter()
                .map(|(what, value)| format!("{what}={}", sweep::show(*value)));
            Point {
                name: names.collect::<Vec<_>>().join(" "),
                set: self.set(swept.rules.len(), &self.within(SetId::Sweep(position))).0,
            }
        });
        let [by_rule, by_region, by_domain] = groups(self, looked, pairs.as_deref());
        Report {
            from,
            until,
            level: self.terms.level,
            max_lead: self.terms.max_lead,
            read: self.ran.read.clone(),
            new,
            old,
            relations: pairs.as_ref().map(|pairs| Relations::of(pairs.iter())),
            differences: differences.collect(),
            by_rule,
            by_region,
            by_domain,
            events: events.collect(),
            near_misses: near.map(warning).collect(),
            sweep: sweep.collect(),
            station,
            new_warnings: looked.new.iter().map(warning).collect(),
            old_warnings: looked.old.iter().flatten().map(warning).collect(),
            notes,
        }
    }
}
