//! What was published of one warning: its deltas, its row, and the events of its case.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use riskflow_config::Settings;
use riskflow_connectors::{RawRecord, Verdict};
use riskflow_model::output::{
    CaseDelta, CaseState, DeltaKind, PastState, PastWarning, Stamped, WarningDelta, WarningState,
};
use riskflow_model::topic::Topic;
use riskflow_model::{Level, Millis, capability, duration};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::{configuration, tail};
use super::{Asks, Patience};
use crate::program::exit::{Missing, Usage};

/// An identifier may be given by so many characters of its beginning at least.
const LEAST: usize = 8;

/// So many identifiers are named where a beginning is that of several.
const NAMED: usize = 10;

/// What was published of one warning.
pub struct Told {
    pub id: String,
    /// What happened to it, the oldest first.
    pub deltas: Vec<Stamped<WarningDelta>>,
    /// How it stands.
    pub stands: Stands,
    /// What happened to its case, and which that is.
    pub case: Option<(String, Vec<Stamped<CaseDelta>>)>,
    /// The first epoch of which there still is a delta of any warning.
    pub reach: Option<Millis>,
}

/// How a warning stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stands {
    pub state: State,
    /// The level while it is open; of one that is over the highest, as far as that is told.
    pub level: Level,
    pub since: Millis,
    /// When it ended; of one that was withdrawn, when that was told.
    pub until: Option<Millis>,
    /// Of one that is open, by its row: whether it stands only because its datastream fell silent.
    pub stale: Option<bool>,
    /// Of one that is over, by its row: whether it was told while it was open.
    pub told: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Open,
    Over,
    /// By the series as known then it never was.
    Withdrawn,
}

impl Stands {
    /// By the last delta of a life.
    pub fn of(delta: &Stamped<WarningDelta>) -> Self {
        let WarningDelta {
            kind,
            since,
            at,
            from,
            to,
            ..
        } = delta.record;
        let (state, level, until) = match kind {
            DeltaKind::Raised | DeltaKind::Escalated | DeltaKind::Eased | DeltaKind::Revised => (State::Open, to, None),
            DeltaKind::Cleared => (State::Over, from, Some(at)),
            DeltaKind::Recorded => (State::Over, to, Some(at)),
            // When it ended is told by its row only.
            DeltaKind::Amended => (State::Over, to, None),
            DeltaKind::Withdrawn => (State::Withdrawn, from, Some(delta.epoch)),
        };
        Self {
            state,
            level,
            since,
            until,
            stale: None,
            told: None,
        }
    }
}

/// What the topics hold of warnings whose identifiers begin so.
#[derive(Default)]
struct Found {
    deltas: BTreeMap<String, Vec<Stamped<WarningDelta>>>,
    open: BTreeMap<String, WarningState>,
    past: BTreeMap<String, PastWarning>,
    reach: Option<Millis>,
}

impl Told {
    /// Reads it, by its identifier or the beginning of that; only what was told by `as_of`.
    ///
    /// # Errors
    ///
    /// When there is none, or several begin so, which says where was looked; or when nobody waits for it.
    pub fn read(settings: &Settings, wanted: &str, as_of: Option<Millis>, patience: Patience<'_>) -> Result<Self> {
        if wanted.len() < LEAST {
            let asset = match patience.asks {
                Asks::Terminal => "with `--at TIME`",
                Asks::Http => "by `/api/v1/assets/{id}/explanation`",
            };
            let says = format!(
                "`{wanted}` is too short for the identifier of a warning: give {LEAST} characters or more of it; of an asset ask {asset}"
            );
            return Err(Usage(says).into());
        }
        let mut found = Found::default();
        let topics = [Topic::WARNING_DELTA, Topic::WARNING_STATE, Topic::WARNING_HISTORY];
        tail::read_while(settings, &topics, patience.waits, &mut |record| {
            found.take(record, wanted, as_of);
            Verdict::Taken
        })
        .context("could not read the warnings")?;
        let id = found.only(settings, (wanted, as_of), patience.asks)?;
        let mut deltas = found.deltas.remove(&id).unwrap_or_default();
        deltas.sort_by_key(|delta| delta.epoch);
        let stands = match (found.open.get(&id), found.past.get(&id), deltas.last()) {
            (Some(open), ..) => Stands {
                state: State::Open,
                level: open.level,
                since: open.since,
                until: None,
                stale: Some(open.stale),
                told: None,
            },
            (None, Some(past), _) => Stands {
                state: match past.state {
                    PastState::Ended => State::Over,
                    PastState::Withdrawn => State::Withdrawn,
                },
                level: past.peak,
                since: past.since,
                until: Some(past.until),
                stale: None,
                told: Some(past.told),
            },
            (None, None, Some(last)) => Stands::of(last),
            (None, None, None) => return Err(not_told(settings, (wanted, as_of), found.reach, patience.asks)),
        };
        let case = match settings.capabilities.is_on(capability::CASES) {
            true => case(settings, &id, as_of, patience).context("could not read its case")?,
            false => None,
        };
        Ok(Self {
            id,
            deltas,
            stands,
            case,
            reach: found.reach,
        })
    }
}

impl Found {
    fn take(&mut self, record: &RawRecord<'_>, wanted: &str, as_of: Option<Millis>) {
        if record.topic == Topic::WARNING_DELTA {
            self.reach = self.reach.into_iter().chain(record.arrival).min();
        }
        let key = record.key.and_then(|key| std::str::from_utf8(key).ok());
        let Some(key) = key.filter(|key| key.starts_with(wanted)).map(str::to_owned) else {
            return;
        };
        // Tables say how it is now.
        let now = as_of.is_none();
        if record.topic == Topic::WARNING_DELTA {
            let delta = read::<WarningDelta>(record);
            let delta = delta.filter(|delta| as_of.is_none_or(|as_of| delta.epoch <= as_of));
            if let Some(delta) = delta {
                self.deltas.entry(key).or_default().push(delta);
            }
        } else if now && record.topic == Topic::WARNING_STATE {
            put(&mut self.open, key, record);
        } else if now && record.topic == Topic::WARNING_HISTORY {
            put(&mut self.past, key, record);
        }
    }

    /// The identifier that begins so.
    fn only(&self, settings: &Settings, (wanted, as_of): (&str, Option<Millis>), asks: Asks) -> Result<String> {
        let mut ids: Vec<&String> = self
            .deltas
            .keys()
            .chain(self.open.keys())
            .chain(self.past.keys())
            .collect();
        ids.sort();
        ids.dedup();
        match ids.as_slice() {
            [] => Err(not_told(settings, (wanted, as_of), self.reach, asks)),
            [id] => Ok((*id).clone()),
            several => {
                let named: Vec<&str> = several.iter().take(NAMED).map(|id| id.as_str()).collect();
                let more = match several.len().saturating_sub(NAMED) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let says = format!(
                    "`{wanted}` is how {} warnings begin: `{}`{more}; give more of it",
                    several.len(),
                    named.join("`, `")
                );
                Err(Usage(says).into())
            }
        }
    }
}

/// Where was looked, how far back that reaches, and what to try.
fn not_told(
    settings: &Settings,
    (wanted, as_of): (&str, Option<Millis>),
    reach: Option<Millis>,
    asks: Asks,
) -> anyhow::Error {
    let place = tail::place_of(settings, Topic::WARNING_DELTA);
    let place = place.map(|place| configuration::place(&place)).unwrap_or_default();
    let reach = match reach {
        None => "holds no delta at all: did a job run with this configuration?".to_owned(),
        Some(reach) => format!(
            "reaches back to {reach} (`topics.retention` is {})",
            duration::show(settings.topics.retention)
        ),
    };
    let by_then = as_of.map_or_else(String::new, |as_of| format!(" by {as_of}"));
    let shown = match asks {
        Asks::Terminal => "`riskflow tail warnings` shows the identifiers at the ends of its lines",
        Asks::Http => "`/api/v1/warnings` and `/api/v1/warnings/history` list those that there are",
    };
    let says = format!(
        "nothing was told{by_then} of a warning `{wanted}` in out.warning.delta, out.warning.state and out.warning.history of {place}; \
         out.warning.delta {reach}. {shown}"
    );
    Missing(says).into()
}

pub(super) fn read<T: DeserializeOwned>(record: &RawRecord<'_>) -> Option<Stamped<T>> {
    let payload = record.payload?;
    match serde_json::from_slice(payload) {
        Ok(stamped) => Some(stamped),
        Err(error) => {
            let (topic, partition, offset) = (record.topic, record.partition, record.offset);
            tracing::warn!(%topic, partition, offset, %error, "passed over: this version cannot read the record");
            None
        }
    }
}

/// The last record of a key counts.
fn put<T: DeserializeOwned>(rows: &mut BTreeMap<String, T>, key: String, record: &RawRecord<'_>) {
    match read::<T>(record) {
        Some(row) => drop(rows.insert(key, row.record)),
        None => drop(rows.remove(&key)),
    }
}

/// The case that a warning belongs to, and what happened to it.
fn case(
    settings: &Settings,
    id: &str,
    as_of: Option<Millis>,
    patience: Patience<'_>,
) -> Result<Option<(String, Vec<Stamped<CaseDelta>>)>> {
    let mut case = None;
    tail::read_while(settings, &[Topic::CASE_STATE], patience.waits, &mut |record| {
        // Few rows name it; no other is read as a whole.
        let payload = record.payload.unwrap_or_default();
        let names = payload.windows(id.len()).any(|part| part == id.as_bytes());
        let row = names.then(|| read::<CaseState>(record)).flatten();
        let is_its =
            |row: &Stamped<CaseState>| *row.record.id == *id || row.record.warnings.iter().any(|one| **one == *id);
        case = row.filter(is_its).map(|row| row.record.id.to_string()).or(case.take());
        Verdict::Taken
    })?;
    // One whose row is forgotten has the identifier of its first warning.
    let case = case.unwrap_or_else(|| id.to_owned());
    let mut events = Vec::new();
    tail::read_while(settings, &[Topic::CASE_DELTA], patience.waits, &mut |record| {
        if record.key == Some(case.as_bytes()) {
            let event = read::<CaseDelta>(record);
            events.extend(event.filter(|event| as_of.is_none_or(|as_of| event.epoch <= as_of)));
        }
        Verdict::Taken
    })?;
    events.sort_by_key(|event| event.epoch);
    Ok((!events.is_empty()).then_some((case, events)))
}
