//! What came of one asset: rows and rules, and the records of its datastreams, each with the epoch in which it arrived.
//!
//! Two passes: rows first, for they say which datastreams it has; then the logs, of which all other records are passed over.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use riskflow_config::{Clock, InputRecord, Settings};
use riskflow_connectors::{RawRecord, Verdict, decode};
use riskflow_model::base::{Asset, Datastream};
use riskflow_model::forecast::Forecast;
use riskflow_model::output::Origin;
use riskflow_model::rule::RuleRecord;
use riskflow_model::ruleset::{DEFAULT, LIVE, RuleSet, parts};
use riskflow_model::topic::Topic;
use riskflow_model::{Id, Key, Millis, Row, Text};

use super::super::{configuration, tail};
use super::near::Near;
use super::{Asks, Patience, TooMuch};
use crate::program::exit::Missing;

/// Before everything else: table rows that tell no time of arrival.
const EARLIEST: i64 = i64::MIN;

/// Rows and records in the order in which they came: epoch, place, and what it is.
pub type Arrived = (i64, Origin, InputRecord);

/// What came of an asset.
pub struct Gathered {
    pub arrived: Vec<Arrived>,
    /// That rows of it, or rules of the live set, came later, in words, with what to do.
    pub later: Option<String>,
}

/// What is gathered.
pub struct Wanted<'a> {
    pub asset: &'a Id<Asset>,
    /// What was observed later than this is left out.
    pub at: Millis,
    /// What arrived later than this is left out.
    pub by: Millis,
    /// The only rule that is asked about, if one is.
    pub rule: Option<&'a str>,
    /// What may be spent on it.
    pub patience: Patience<'a>,
}

impl Gathered {
    /// Reads it all.
    ///
    /// # Errors
    ///
    /// When the input cannot be read; when there is no such asset, or no such rule, by then: with those of near names; when more came than may
    /// be held, or nobody waits for it.
    pub fn read(settings: &Settings, wanted: &Wanted<'_>) -> Result<Self> {
        let mut reading = Reading::new(settings, wanted);
        let tables = [
            Topic::BASE_REGION,
            Topic::BASE_ASSET,
            Topic::BASE_DATASTREAM,
            Topic::IN_RULE,
            Topic::IN_RULESET,
        ];
        let waits = wanted.patience.waits;
        let rows = tail::read_while(settings, &tables, waits, &mut |record| reading.row(record));
        rows.context("could not read the rows")?;
        reading.fits()?;
        reading.is_there(settings)?;
        if !reading.datastreams.is_empty() {
            let logs = [Topic::IN_OBSERVATION, Topic::IN_FORECAST];
            let records = tail::read_while(settings, &logs, waits, &mut |record| reading.log(record));
            records.context("could not read the observations")?;
        }
        reading.fits()?;
        Ok(Self {
            later: reading.more_later(),
            arrived: reading.in_order(),
        })
    }
}

/// The first epochs of what came too late to be known, and would have told something.
#[derive(Default)]
struct Later {
    /// The row of the asset.
    asset: Option<i64>,
    /// A row of one of its datastreams.
    datastreams: Option<i64>,
    /// Rules that are asked about, by the sets that they are of.
    rules: BTreeMap<Text, i64>,
}

pub struct Reading<'a> {
    wanted: &'a Wanted<'a>,
    clock: Clock,
    replay_tick: i64,
    /// No history arrives later than this.
    passed: BTreeMap<(Topic, u16), i64>,
    /// The first arrival of anything that tells when it arrived.
    first: Option<i64>,
    /// What came later than what is asked about.
    later: Later,
    /// The set that is live, as far as a record says so.
    live: Option<Text>,
    arrived: Vec<Arrived>,
    /// Those that are or were of the asset.
    datastreams: BTreeSet<Key>,
    asset_seen: bool,
    rule_seen: bool,
    assets: Near,
    rules: Near,
}

impl<'a> Reading<'a> {
    pub fn new(settings: &Settings, wanted: &'a Wanted<'a>) -> Self {
        Self {
            wanted,
            clock: settings.clock,
            replay_tick: settings.epoch.replay_tick,
            passed: BTreeMap::new(),
            first: None,
            later: Later::default(),
            live: None,
            arrived: Vec::new(),
            datastreams: BTreeSet::new(),
            asset_seen: false,
            rule_seen: false,
            assets: Near::to(wanted.asset),
            rules: Near::to(wanted.rule.unwrap_or_default()),
        }
    }

    /// In which epoch a record arrives: as the job reads a history, no sooner than the one before it in its partition. An error: later than
    /// what is asked about.
    fn epoch(&mut self, record: &RawRecord<'_>, time: Option<Millis>) -> Result<i64, i64> {
        let arrival = match (self.clock, record.arrival) {
            (Clock::Arrival | Clock::Live, Some(arrival)) => arrival.0,
            (Clock::Arrival | Clock::Live, None) | (Clock::EventTime, _) => time.map_or(EARLIEST, |time| time.0),
        };
        let epoch = match self.clock {
            _ if arrival == EARLIEST => EARLIEST,
            Clock::Live => arrival,
            // The first point of the grid at or after it.
            Clock::Arrival | Clock::EventTime => arrival + (-arrival).rem_euclid(self.replay_tick),
        };
        let passed = self.passed.entry((record.topic, record.partition)).or_insert(EARLIEST);
        let epoch = epoch.max(*passed);
        *passed = epoch;
        if epoch > self.wanted.by.0 {
            return Err(epoch);
        }
        let told = Some(epoch).filter(|epoch| *epoch > EARLIEST);
        self.first = self.first.into_iter().chain(told).min();
        Ok(epoch)
    }

    fn is_full(&self) -> bool {
        self.arrived.len() >= self.wanted.patience.most
    }

    fn fits(&self) -> Result<(), TooMuch> {
        if self.is_full() {
            return Err(TooMuch(self.wanted.patience.most));
        }
        Ok(())
    }

    fn put(&mut self, epoch: i64, record: &RawRecord<'_>, decoded: InputRecord) {
        let origin = Origin {
            topic: record.topic.id(),
            partition: record.partition,
            offset: record.offset,
        };
        self.arrived.push((epoch, origin, decoded));
    }

    /// Takes a record of a table.
    pub fn row(&mut self, record: &RawRecord<'_>) -> Verdict {
        if self.is_full() {
            return Verdict::NotYet;
        }
        let epoch = self.epoch(record, None);
        // What is refused changes nothing.
        let Ok(InputRecord::Base(key, row)) = decode(record) else {
            return Verdict::Taken;
        };
        let epoch = match epoch {
            Ok(epoch) => epoch,
            Err(later) => {
                self.comes_later(later, row.as_ref());
                return Verdict::Taken;
            }
        };
        let datastream = row.as_ref().and_then(|row| row.downcast_ref::<Datastream>());
        let is_its = datastream.is_some_and(|datastream| datastream.asset == *self.wanted.asset);
        if is_its {
            self.datastreams.insert(key);
        }
        if let Some(asset) = row.as_ref().and_then(|row| row.downcast_ref::<Asset>()) {
            self.assets.see(&asset.id, &asset.name);
        }
        if let Some(rule) = row.as_ref().and_then(|row| row.downcast_ref::<RuleRecord>()) {
            // It is asked for by what it is called in the live set, whichever that is.
            let id = parts(&rule.id).1;
            self.rules.see(id, &rule.name);
            self.rule_seen |= self.wanted.rule.is_some_and(|wanted| wanted == id);
        }
        if let Some(set) = row.as_ref().and_then(|row| row.downcast_ref::<RuleSet>())
            && &*set.id == LIVE
        {
            self.live = set.set.as_ref().map(|set| set.text().clone());
        }
        let is_asset = record.topic == Topic::BASE_ASSET && key == self.wanted.asset.key();
        self.asset_seen |= is_asset;
        let concerns = if record.topic == Topic::BASE_DATASTREAM {
            self.datastreams.contains(&key)
        } else {
            record.topic != Topic::BASE_ASSET || is_asset
        };
        if concerns {
            self.put(epoch, record, InputRecord::Base(key, row));
        }
        Verdict::Taken
    }

    /// Notes a row that came later than what is asked about, if it would have told something of that.
    fn comes_later(&mut self, epoch: i64, row: Option<&Row>) {
        let Some(row) = row else { return };
        let first = |known: Option<i64>| Some(known.map_or(epoch, |known| known.min(epoch)));
        if let Some(asset) = row.downcast_ref::<Asset>() {
            if asset.id == *self.wanted.asset {
                self.later.asset = first(self.later.asset);
            }
        } else if let Some(datastream) = row.downcast_ref::<Datastream>() {
            if datastream.asset == *self.wanted.asset {
                self.later.datastreams = first(self.later.datastreams);
            }
        } else if let Some(rule) = row.downcast_ref::<RuleRecord>() {
            let (set, id) = parts(&rule.id);
            if self.wanted.rule.is_none_or(|wanted| wanted == id) {
                let known = self.later.rules.entry(set.into()).or_insert(epoch);
                *known = epoch.min(*known);
            }
        }
    }

    /// Takes a record of a log.
    pub fn log(&mut self, record: &RawRecord<'_>) -> Verdict {
        if self.is_full() {
            return Verdict::NotYet;
        }
        let Ok(decoded) = decode(record) else {
            return Verdict::Taken;
        };
        let (datastream, time, counts) = match &decoded {
            InputRecord::Observation(observation) => {
                let time = observation.time;
                (observation.datastream, time, time <= self.wanted.at)
            }
            InputRecord::Log(row) => {
                let Some(forecast) = row.downcast_ref::<Forecast>() else {
                    return Verdict::Taken;
                };
                (forecast.datastream.key(), row.time(), row.time() <= self.wanted.at)
            }
            InputRecord::Action(_) | InputRecord::Base(..) => return Verdict::Taken,
        };
        let Ok(epoch) = self.epoch(record, Some(time)) else {
            return Verdict::NotYet;
        };
        if counts && self.datastreams.contains(&datastream) {
            self.put(epoch, record, decoded);
        }
        Verdict::Taken
    }

    /// That what is asked about came later, as rows of a history do that was imported after it was over.
    fn came_later(&self, first: Option<i64>) -> Option<String> {
        let first = Millis(first?);
        let cure = match self.wanted.patience.asks {
            Asks::Terminal => {
                "of a history that was imported, `--set input.clock=event_time` goes by the times in its records, with rows and rules \
                 before them"
            }
            Asks::Http => "give an `as_of` from then on, by which it was known",
        };
        Some(format!("it came later, from {first} on: {cure}"))
    }

    /// The same of what would say more of an asset that was there: its rows, and rules of the live set or those that all sets may take
    /// from. What is of a candidate only would say nothing.
    pub fn more_later(&self) -> Option<String> {
        let Later {
            asset,
            datastreams,
            rules,
        } = &self.later;
        let live = self.live.as_deref().unwrap_or(DEFAULT);
        let rules = rules.iter().filter(|(set, _)| ***set == *DEFAULT || ***set == *live);
        let first = rules.map(|(_, epoch)| *epoch).chain(*asset).chain(*datastreams).min();
        let later = self.came_later(first)?;
        Some(format!("of its rows, or of rules: {later}"))
    }

    /// Whether what is asked about was ever there.
    pub fn is_there(&self, settings: &Settings) -> Result<()> {
        let Wanted {
            asset,
            by,
            rule,
            patience,
            ..
        } = self.wanted;
        let place = configuration::place(&settings.input);
        let shown = |topic: &str, path: &str| match patience.asks {
            Asks::Terminal => format!("; `riskflow tail {topic}` shows all"),
            Asks::Http if path.is_empty() => String::new(),
            Asks::Http => format!("; `{path}` shows all"),
        };
        let later = |first: Option<i64>| {
            self.came_later(first)
                .map(|later| format!("; {later}"))
                .unwrap_or_default()
        };
        if !self.asset_seen {
            let (near, shown, later) = (
                self.assets.said(),
                shown("base.asset", "/api/v1/assets"),
                later(self.later.asset),
            );
            let says = format!("there is no asset `{asset}` in base.asset of {place} by {by}{near}{shown}{later}");
            return Err(Missing(says).into());
        }
        match rule {
            Some(rule) if !self.rule_seen => {
                let first = self.later.rules.values().min().copied();
                let (near, shown, later) = (self.rules.said(), shown("in.rule", ""), later(first));
                let says = format!("there is no rule `{rule}` in in.rule of {place} by {by}{near}{shown}{later}");
                Err(Missing(says).into())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// In the order in which the job applies them.
    pub fn in_order(self) -> Vec<Arrived> {
        let first = self.first.unwrap_or(self.wanted.at.0);
        let mut arrived = self.arrived;
        for (epoch, ..) in &mut arrived {
            *epoch = (*epoch).max(first);
        }
        arrived.sort_by_key(|(epoch, origin, _)| (*epoch, *origin));
        arrived
    }
}
