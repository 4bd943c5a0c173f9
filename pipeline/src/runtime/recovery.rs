//! How a job goes on after an earlier run.
//!
//! Process 0 finds out, and tells the others where they begin: two that look for themselves may see different things.
//!
//! 1. The sink is opened: what an older writer has not committed is void, and it cannot commit any more.
//! 2. `out.progress` says which epochs were committed, and with which offsets.
//! 3. The newest checkpoint that is sound and fits the progress gives the state as of its epoch *c*; or the one that is asked for
//!    (`--from-checkpoint`), and then those behind it go.
//! 4. The epochs after *c* up to the last committed one, *e*, run again with the very records that they took; nothing is
//!    published, but each must give what it gave.
//! 5. The job goes on behind *e*. Where there was no checkpoint, or settings or version are others, the tables are compared
//!    with the rows in the output first, and what differs goes out with the next epoch.
//!
//! Without a checkpoint, 4 begins at the very beginning of the input. Epochs whose records on `out.progress` a checkpoint
//! covered are then cut by time of arrival; they end in the same state, though an epoch between may differ.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow};
use riskflow_config::{Clock, Input, Output, Rewind, Settings};
use riskflow_connectors::checkpoint::{CheckpointStore, Manifest, Meaning};
use riskflow_connectors::topics::{Place, TopicState, check};
use riskflow_connectors::{Begun, Resume, published_log, published_rows, published_tables, resume};
use riskflow_model::output::{Basis, CaseDelta, CaseState, CaseStep, DeadLetter, Notice, Stamped};
use riskflow_model::progress::{Marks, Offsets};
use riskflow_model::topic::{Cleanup, Topic};
use riskflow_model::{Domain, Level, Millis, OutputRecord, Text, binary, capability, duration};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::runtime::clock::{TOLERANCE, wall_clock};
use crate::runtime::pace::{Moment, Plan};
use crate::runtime::publisher::{Beginning, Foretold, Open, Refused, Told};

mod chosen;
mod replayed;

pub use chosen::begins_empty;

/// Where every worker begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The checkpoint to load.
    pub checkpoint: Option<Manifest>,
    /// Whether it is one of the job whose history is replayed, and lies where that keeps them.
    pub of_history: bool,
    /// Where sources begin, files in the place of topics of the input among them.
    pub from: Offsets,
    /// Whether all of the input must be there, from `from` on.
    pub whole: bool,
    /// How far an earlier run had read, and the marks there.
    pub known: (Offsets, Marks),
    /// Up to this epoch nothing is written, whatever is given.
    pub unwritten: Millis,
}

/// What an earlier run left.
#[derive(Debug, Default)]
pub struct Recovery {
    /// Where every worker begins, those of other processes too.
    pub start: Start,
    /// The epochs to begin with.
    pub plan: Plan,
    /// Where publishing begins.
    pub beginning: Beginning,
}

/// Whether a job with these settings can go on after an earlier run: its input must have offsets that last, its output
/// must say how far it came. A forced exercise leaves what is said there to the live job.
#[must_use]
pub fn is_definite(settings: &Settings) -> bool {
    let files = matches!(settings.input, Input::Files(_)) || matches!(settings.output, Output::Files(_));
    !files && !settings.output_topics.forced
}

/// The fingerprint of the settings that give the answer its meaning.
#[must_use]
pub fn semantics_of(settings: &Settings) -> Text {
    let (time, unknown) = (settings.time, settings.unknown);
    let flapping = settings.case.flapping;
    let meaning = (
        [
            time.horizon,
            time.max_future,
            time.late_after,
            time.retain,
            time.forecast_age,
            time.event_age,
            time.event_ahead,
            unknown.hold,
            settings.unmatched.after,
        ],
        (unknown.max_observations as u64, unknown.max_bytes as u64),
        settings.cuts.least,
        (
            settings.case.horizon,
            settings.case.retain,
            [flapping.join, flapping.within, flapping.calm],
            settings.case.deadlines,
            settings.case.remind,
        ),
        zone_name(settings),
        settings.capabilities.off().collect::<Vec<_>>(),
    );
    binary::fingerprint(&meaning).to_string().into()
}

/// The name of the city's time zone.
fn zone_name(settings: &Settings) -> &str {
    settings.zone.iana_name().expect("it was found by its name")
}

/// The same settings by name, for people.
#[must_use]
pub fn settings_by_name(settings: &Settings) -> BTreeMap<Text, Text> {
    let (time, unknown, case) = (settings.time, settings.unknown, &settings.case);
    let durations = [
        ("time.horizon", time.horizon),
        ("time.max_future", time.max_future),
        ("time.late_after", time.late_after),
        ("time.retain", time.retain),
        ("time.forecast_age", time.forecast_age),
        ("time.event_age", time.event_age),
        ("time.event_ahead", time.event_ahead),
        ("unknown.hold", unknown.hold),
        ("unmatched.after", settings.unmatched.after),
        ("case.horizon", case.horizon),
        ("case.retain", case.retain),
        ("case.flapping.join", case.flapping.join),
        ("case.flapping.within", case.flapping.within),
        ("case.flapping.calm", case.flapping.calm),
    ];
    let mut named: BTreeMap<Text, Text> = durations
        .into_iter()
        .map(|(name, length)| (name.into(), length.to_string().into()))
        .collect();
    let mut note = |name: String, value: String| drop(named.insert(name.into(), value.into()));
    note("city.timezone".to_owned(), zone_name(settings).to_owned());
    for name in [
        capability::CASES,
        capability::PERMITS,
        capability::REPORTS,
        capability::GAUGES,
    ] {
        let is_on = settings.capabilities.is_on(name).to_string();
        note(format!("capabilities.{name}"), is_on);
    }
    note(
        "unknown.max_observations".to_owned(),
        unknown.max_observations.to_string(),
    );
    note("unknown.max_bytes".to_owned(), unknown.max_bytes.to_string());
    for (level, least) in Level::WARNING.into_iter().zip(settings.cuts.least) {
        note(format!("risk.cuts.{level}"), least.to_string());
    }
    for domain in Domain::ALL {
        for level in Level::WARNING {
            for step in CaseStep::ALL {
                let limit = case.deadline(domain, level, step).unwrap_or_default();
                let name = format!("case.domains.{}.{level}.{}", domain.name(), step.name());
                note(name, limit.to_string());
            }
            let every = case.remind(domain, level).unwrap_or_default();
            let name = format!("case.domains.{}.remind.{level}", domain.name());
            note(name, every.to_string());
        }
    }
    named
}

/// So many settings that changed are named.
const NAMED: usize = 20;

/// The last epoch that was given with other settings, or by another version; 0 if there is none. Tells what changed since the last
/// start, and keeps what there is now.
fn settings_changed(settings: &Settings, store: &CheckpointStore, last: Millis) -> Result<Millis> {
    let before = store
        .noted::<Meaning>()
        .context("could not read with what settings the job began last")?;
    let mut now = Meaning {
        version: env!("CARGO_PKG_VERSION").into(),
        settings: settings_by_name(settings),
        since: Millis(0),
    };
    if let Some(before) = &before {
        let same = before.version == now.version && before.settings == now.settings;
        now.since = if same { before.since } else { last };
        if before.version != now.version {
            tracing::info!(was = %before.version, is = %now.version, "the version changed since the last start");
        }
        let changed = now
            .settings
            .iter()
            .filter(|(name, value)| before.settings.get(*name) != Some(*value));
        for (name, value) in changed.clone().take(NAMED) {
            let was = before.settings.get(name).map_or("unknown", |was| was);
            tracing::info!(setting = %name, was, is = %value, "a setting changed since the last start");
        }
        let more = changed.count().saturating_sub(NAMED);
        if more > 0 {
            tracing::info!(more, "more settings changed since the last start");
        }
    }
    if before.as_ref() != Some(&now)
        && let Err(error) = store.note(&now)
    {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "could not keep with what settings the job begins");
    }
    Ok(now.since)
}

impl Recovery {
    /// Finds out what an earlier run left. The sink must be open; `begun` is what it gave for that. `history`: the checkpoint of another job
    /// that it begins with, as long as it has none of its own.
    ///
    /// # Errors
    ///
    /// When output or checkpoints cannot be read, or do not say where to go on.
    pub fn find(
        settings: &Settings,
        store: &CheckpointStore,
        begun: Option<&Begun>,
        history: Option<&Manifest>,
    ) -> Result<Self> {
        let resume = resume(&settings.output, &settings.output_topics, begun)
            .context("could not read the progress of the output")?;
        let ahead = resume.last_time().0 - wall_clock();
        let rewinds = settings.clock == Clock::Live && ahead > settings.time.max_future.0.max(TOLERANCE);
        if let Some(epoch) = settings.recovery.from.filter(|_| rewinds) {
            return Err(anyhow!(
                "the clock was ahead when the last epoch was closed: the state is made anew, and there is no going back to the checkpoint of \
                 {epoch}; start without `--from-checkpoint`"
            ));
        }
        let mut recovery = if settings.recovery.start_anew {
            tracing::warn!(epoch = %resume.last(), "starting anew: what went before is read as far as it is still there");
            store
                .clear()
                .context("could not take away the checkpoints of what went before")?;
            Self::anew(&resume)
        } else if rewinds {
            let recovery = Self::rewound(&resume, settings, ahead)?;
            // Else a later start would take the state of before for that of after: it is of the same input.
            store
                .clear()
                .context("could not take away the checkpoints of the clock that was ahead")?;
            recovery
        } else {
            let since = settings_changed(settings, store, resume.last())?;
            let own = chosen::checkpoint(settings, store, &resume)?;
            let of_history = own.is_none() && history.is_some();
            let checkpoint = own.or_else(|| history.cloned());
            let begin = checkpoint.as_ref().map_or(resume.base.0, |manifest| manifest.epoch);
            let mut recovery = Self::from(&resume, checkpoint, settings);
            recovery.start.of_history = of_history;
            if since > begin {
                recovery.beginning.do_not_compare();
            }
            recovery
        };
        recovery.beginning.definite = true;
        let foretold = store.noted::<Foretold>();
        recovery.beginning.foretold = foretold
            .context("could not read what a clock that was ahead told too early")?
            .unwrap_or_default();
        if !recovery.is_exact() {
            let tables = tables_of(settings).context("could not look for the tables in the output")?;
            let published = published_tables(&settings.output, &settings.output_topics, &tables);
            recovery.beginning.published = Some(published.context("could not read the tables in the output")?);
        }
        Ok(recovery)
    }

    /// Whether what the replay gives is known to stand in the output: it begins with a checkpoint of the same meaning, and
    /// every epoch after it must give what it gave. Only otherwise are the tables compared: there may be millions of rows.
    fn is_exact(&self) -> bool {
        self.start.checkpoint.is_some() && self.beginning.verify
    }

    /// The clock was ahead when the last epoch was closed.
    fn rewound(resume: &Resume, settings: &Settings, ahead: i64) -> Result<Self> {
        let (last, ahead) = (resume.last_time(), duration::show(ahead));
        if settings.job_clock.rewind == Rewind::Refuse {
            return Err(anyhow!(
                "the last epoch was closed at {last} by a clock that was {ahead} ahead of the present one. If the present one is \
                 right: `riskflow run --set clock.rewind=anew` makes the state anew from the input that is there, and tells \
                 nothing twice. Otherwise set the clock, or wait until it has caught up"
            ));
        }
        tracing::warn!(
            %last, ahead,
            "the clock was ahead when the last epoch was closed: making the state anew from the input that is there"
        );
        let mut open = Open {
            warnings: standing(settings, Topic::WARNING_STATE)?,
            cases: Vec::new(),
            told: Told::new(settings.zone.clone()),
            letters: Refused::default(),
        };
        each_of(settings, |letter: Stamped<DeadLetter>, is_cut| {
            open.letters.add(&letter.record, is_cut.then_some(letter.epoch));
        })?;
        if settings.capabilities.outputs().any(|topic| topic == Topic::CASE_STATE) {
            open.cases = standing(settings, Topic::CASE_STATE)?;
            let is_open = |case: &CaseState| case.step != CaseStep::Archived && case.basis != Basis::Withdrawn;
            open.cases.retain(is_open);
            each_of(settings, |delta: Stamped<CaseDelta>, _| {
                open.told.event(delta.record, delta.epoch)
            })?;
            each_of(settings, |notice: Stamped<Notice>, is_cut| {
                if is_cut {
                    open.told.cut(notice.epoch);
                }
                open.told.notice(notice.record);
            })?;
        }
        let mut recovery = Self::anew(resume);
        recovery.beginning.open = Some(open);
        recovery.plan.rewound = Some(resume.last().0.unsigned_abs());
        Ok(recovery)
    }

    fn anew(resume: &Resume) -> Self {
        Self {
            beginning: Beginning {
                last: resume.last(),
                base: base(resume),
                recorded: recorded(resume).collect(),
                anew: true,
                ..Beginning::default()
            },
            ..Self::default()
        }
    }

    /// What follows from the progress and the newest checkpoint that fits it.
    #[must_use]
    pub fn from(resume: &Resume, checkpoint: Option<Manifest>, settings: &Settings) -> Self {
        let restored = checkpoint.as_ref().map(|manifest| manifest.epoch);
        let last = restored.map_or(resume.last(), |epoch| epoch.max(resume.last()));
        let begin = restored.unwrap_or(resume.base.0);
        let cold = (restored.is_none() && resume.base.0 > Millis(0)).then(|| base(resume));
        if cold.is_some() {
            tracing::warn!(epoch = %resume.base.0, "no checkpoint can be used: reading the input from its beginning");
        }
        let same = checkpoint.as_ref().is_none_or(|manifest| {
            manifest.semantics == semantics_of(settings) && *manifest.version == *env!("CARGO_PKG_VERSION")
        });
        if !same {
            tracing::info!("settings or version are not those of the checkpoint: the difference will be published");
        }
        let mut digests = BTreeMap::new();
        // Which records a cold start puts into which epoch is not what it was, and cases know the epochs of what happened to
        // them: nothing can be compared.
        let comparable = resume.epochs.iter().filter(|_| cold.is_none());
        for progress in comparable.filter(|progress| progress.epoch > begin) {
            digests.insert(progress.epoch, progress.digest.clone());
        }
        let from = checkpoint
            .as_ref()
            .map(|manifest| manifest.offsets.clone())
            .unwrap_or_default();
        let known = resume.offsets_after(resume.last()).unwrap_or_default();
        let plan = Plan {
            restored: checkpoint
                .as_ref()
                .map(|manifest| moment(manifest.epoch, manifest.clock)),
            cold,
            recorded: recorded(resume)
                .filter(|(moment, _)| moment.epoch > begin.0.unsigned_abs())
                .collect(),
            rewound: None,
            ends: false,
        };
        let mut beginning = Beginning {
            last,
            restored,
            base: base(resume),
            position: from.clone(),
            digests,
            verify: settings.recovery.verify,
            recorded: recorded(resume).collect(),
            ..Beginning::default()
        };
        if !same {
            beginning.do_not_compare();
        }
        Self {
            plan,
            beginning,
            start: Start {
                checkpoint,
                of_history: false,
                from,
                whole: last > Millis(0),
                known: (known.clone(), known.marks()),
                ..Start::default()
            },
        }
    }
}

/// The tables in the output: those of capabilities that are off as well, where there are any; nothing is to be left in them.
fn tables_of(settings: &Settings) -> Result<Vec<Topic>> {
    let (needed, others): (Vec<Topic>, Vec<Topic>) =
        Topic::output_tables().partition(|topic| settings.capabilities.need(*topic));
    let Some(place) = Place::of_output(&settings.output).filter(|_| !others.is_empty()) else {
        return Ok(needed);
    };
    let there = check(place, &settings.output_topics, &others)?.into_iter();
    let there = there.filter(|report| !matches!(report.state, TopicState::Missing));
    Ok(needed.into_iter().chain(there.map(|report| report.topic)).collect())
}

impl Start {
    /// Says which records are gone that are needed; compacted topics only ever lose what was replaced.
    ///
    /// # Errors
    ///
    /// When there are any.
    pub fn check_lost(&self, lost: &[(riskflow_model::topic::Topic, u16, u64, u64)]) -> Result<()> {
        let gone = lost
            .iter()
            .find(|(topic, _, asked, first)| topic.cleanup() == Cleanup::Delete || first < asked)
            .filter(|_| self.whole);
        let Some((topic, partition, asked, first)) = gone else {
            return Ok(());
        };
        let happened = if first < asked {
            "the topic was made anew or cut"
        } else {
            "they were deleted (retention)"
        };
        Err(anyhow!(
            "going on needs the records of {topic}/{partition} from offset {asked} on, but the first there is {first}: \
             {happened}. Restore a checkpoint or the records; or start anew from what there is with `riskflow run --start-anew`: \
             warnings that rest on what is gone are then withdrawn"
        ))
    }
}

const fn moment(epoch: Millis, clock: Millis) -> Moment {
    Moment {
        epoch: epoch.0.unsigned_abs(),
        clock: clock.0,
    }
}

fn base(resume: &Resume) -> (Moment, Offsets) {
    (moment(resume.base.0, resume.base_time), resume.base.1.clone())
}

fn recorded(resume: &Resume) -> impl Iterator<Item = (Moment, Offsets)> {
    resume
        .epochs
        .iter()
        .map(|progress| (moment(progress.epoch, progress.time()), progress.offsets.clone()))
}

/// The rows of a table as they stand in the output.
fn standing<R: DeserializeOwned>(settings: &Settings, topic: Topic) -> Result<Vec<R>> {
    let name = topic.name();
    let rows = published_rows(&settings.output, &settings.output_topics, topic);
    let rows = rows.with_context(|| format!("could not read what stands in `{name}`"))?;
    let rows = rows.iter().map(|row| serde_json::from_slice::<Stamped<R>>(row));
    let rows: Result<Vec<R>, _> = rows.map(|row| row.map(|stamped| stamped.record)).collect();
    rows.with_context(|| format!("a row of `{name}` cannot be read"))
}

/// Reads the records of an output log, as far as they are there, and whether older ones may be gone.
fn each_of<R: OutputRecord + DeserializeOwned>(
    settings: &Settings,
    mut take: impl FnMut(Stamped<R>, bool),
) -> Result<()> {
    let topic = Topic::of::<R>();
    let mut failed = None;
    let read = published_log(
        &settings.output,
        &settings.output_topics,
        topic,
        &mut |record, is_cut| match serde_json::from_slice(record) {
            Ok(record) => take(record, is_cut),
            Err(error) => drop(failed.get_or_insert(error)),
        },
    );
    read.with_context(|| format!("could not read `{}`", topic.name()))?;
    failed.map_or(Ok(()), |error| {
        Err(error).with_context(|| format!("a record of `{}` cannot be read", topic.name()))
    })
}
