//! What a replay does otherwise: its epochs may be those of a job that ran, and it may publish a part of them only.

use std::collections::VecDeque;

use anyhow::{Context as _, Result, bail};
use riskflow_config::Settings;
use riskflow_connectors::checkpoint::Manifest;
use riskflow_connectors::{Published, Ran, Resume, ran};
use riskflow_model::progress::Offsets;
use riskflow_model::{Millis, duration};

use super::{Recovery, moment, semantics_of};
use crate::runtime::pace::Moment;

impl Recovery {
    /// Where nothing is found of an earlier run, as of files: it begins with a checkpoint of another job, or with the input.
    #[must_use]
    pub fn of_history(history: Option<&Manifest>, settings: &Settings) -> Self {
        let Some(manifest) = history else {
            return Self::default();
        };
        let mut recovery = Self::from(&Resume::default(), Some(manifest.clone()), settings);
        recovery.start.of_history = true;
        recovery
    }

    /// What the settings say of a replay, behind what an earlier run of this one left.
    ///
    /// # Errors
    ///
    /// When the epochs that ran cannot be read, or are not all there that are asked for.
    pub fn replay(&mut self, settings: &Settings) -> Result<()> {
        if self.start.of_history {
            self.begin_behind(settings)?;
        }
        // Behind a checkpoint, too: of a partition of which nothing was taken by then it says nothing.
        self.start.from.merge(&settings.replay.from_offsets);
        if let Some((output, topics)) = &settings.replay.as_ran {
            let read = ran(output, topics);
            self.go_by(
                read.context("could not read the epochs as they ran (`out.epoch`)")?,
                settings,
            )?;
        }
        if let Some(from) = settings.replay.from {
            self.publish_from(from);
        }
        Ok(())
    }

    /// The state is that of a checkpoint of the job whose history it is: what is published begins behind that, with the tables.
    fn begin_behind(&mut self, settings: &Settings) -> Result<()> {
        let Some(manifest) = &self.start.checkpoint else {
            return Ok(());
        };
        let epoch = manifest.epoch;
        if manifest.semantics != semantics_of(settings) {
            bail!(
                "the checkpoint of {epoch} was taken with other settings (times, cases, cuts, time zone, capabilities) or by another release, and its state \
                 rests on them: replay with those, or without `--from-checkpoint`"
            );
        }
        tracing::info!(checkpoint = %epoch, "the state before is that of a checkpoint of the job that ran");
        // Else this replay stands behind it already, and goes on after a crash.
        if self.beginning.last == epoch {
            // What comes before its first epoch stands in no record of its own.
            self.beginning.anew = true;
            self.publish_from(Millis(epoch.0 + 1));
        }
        Ok(())
    }

    /// The epochs are those that ran.
    fn go_by(&mut self, ran: Ran, settings: &Settings) -> Result<()> {
        let (base, last) = (ran.base.0, self.beginning.last);
        let Some(first) = ran.epochs.first().map(|progress| progress.time()) else {
            bail!(
                "`out.epoch` has no epochs to go by: the job that ran wrote none yet, or they are gone (`topics.retention`); without \
                 `--as-ran` epochs lie on the grid of `epoch.replay_tick`"
            );
        };
        let by_checkpoint = settings.replay.checkpoint.is_some();
        if base > last && by_checkpoint {
            bail!(
                "the epochs that follow on {last} are gone from `out.epoch`, which goes on behind {base}: give a newer checkpoint, or replay \
                 without `--as-ran`"
            );
        }
        if base > last && last > Millis(0) {
            bail!(
                "this replay stands at epoch {last}, and the epochs that follow are gone from `out.epoch`: begin another one"
            );
        }
        self.beginning.incomparable = !by_checkpoint && (base > Millis(0) || self.plan.cold.is_some());
        if self.beginning.incomparable && base > Millis(0) {
            let from = settings.replay.from;
            if from.is_some_and(|from| from < first) {
                tracing::warn!(%first, "older epochs are not there as they ran: nothing is published of the time before");
            }
            tracing::info!(
                %first,
                "epochs are known from here on; the state before is made from the retained input, by its times of arrival: what they gave \
                 when they ran is not compared"
            );
            if last == Millis(0) {
                self.plan.cold = Some((moment(base, ran.base_time), ran.base.1));
            }
            self.publish_from(Millis(base.0 + 1));
        } else if !self.beginning.incomparable {
            let digests = ran.epochs.iter();
            let digests = digests.map(|progress| (progress.epoch, progress.digest.clone()));
            self.beginning.ran = digests.filter(|(epoch, _)| *epoch > last).collect();
        }
        let until = settings.until.unwrap_or(Millis(i64::MAX));
        let behind = |(epoch, _): &(Moment, Offsets)| epoch.epoch > last.0.unsigned_abs() && epoch.clock <= until.0;
        let epochs = ran.epochs.into_iter();
        let epochs = epochs.map(|progress| (moment(progress.epoch, progress.time()), progress.offsets));
        let to_come: VecDeque<_> = epochs.filter(behind).collect();
        if let (Some((first, _)), Some((end, _))) = (to_come.front(), to_come.back()) {
            let length = duration::show(end.clock - first.clock);
            tracing::info!(epochs = to_come.len(), length, "epochs are closed as they ran");
        }
        self.plan.recorded.extend(to_come);
        self.plan.ends = true;
        Ok(())
    }

    /// Nothing is published of the epochs before; with the first from there on the tables go out as they are then.
    fn publish_from(&mut self, from: Millis) {
        let beginning = &mut self.beginning;
        beginning.quiet_before = beginning.quiet_before.max(from);
        if beginning.last < beginning.quiet_before {
            beginning.published.get_or_insert_with(Published::default);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use riskflow_config::WrittenSettings;
    use riskflow_connectors::checkpoint::FORMAT;
    use riskflow_model::topic::Topic;

    use super::*;

    /// The first record that was asked for may come long after the checkpoint.
    #[test]
    fn a_partition_of_which_nothing_was_taken_begins_where_it_was_asked_for_behind_a_checkpoint_too() {
        let mut settings = WrittenSettings::default().check().unwrap();
        let asked = &mut settings.replay.from_offsets;
        asked.advance(Topic::IN_OBSERVATION, 0, 5);
        asked.advance(Topic::IN_OBSERVATION, 1, 500);
        let mut taken = Offsets::default();
        taken.advance(Topic::IN_OBSERVATION, 0, 9);
        let manifest = Manifest {
            format: FORMAT,
            job: None,
            epoch: Millis(10),
            clock: Millis(10),
            offsets: taken.clone(),
            semantics: semantics_of(&settings),
            version: env!("CARGO_PKG_VERSION").into(),
            folds: BTreeMap::new(),
            off: BTreeSet::new(),
            parts: Vec::new(),
        };
        let resume = Resume {
            base: (Millis(10), taken.clone()),
            base_time: Millis(10),
            epochs: Vec::new(),
        };
        let begins = |checkpoint: Option<Manifest>| {
            let mut recovery = Recovery::from(&resume, checkpoint, &settings);
            recovery.replay(&settings).unwrap();
            [0, 1].map(|partition| recovery.start.from.next(Topic::IN_OBSERVATION, partition))
        };
        assert_eq!(begins(Some(manifest)), [9, 500]);
        assert_eq!(begins(None), [5, 500]);
    }
}
