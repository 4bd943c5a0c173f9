//! Another specification comes into force: which watches stay, which go on with another condition, which end.

use riskflow_model::output::Cause;

use super::forecast::Forecasts;
use super::known::Known;
use super::watch::Watch;
use super::{Ended, Monitor};
use crate::warning::specification::{Entry, Specification, Subject};

/// What a change of specification leaves as it was.
struct Kept {
    asset: bool,
    /// What is a value.
    values: bool,
    /// Why a watch comes or goes where its rule did not change.
    came_or_went: Cause,
}

impl Monitor {
    /// Puts another specification in force; the watches that it ends go to `ended`. Whether anything changed.
    pub(super) fn specify(
        &self,
        now: i64,
        (known, forecasts): (&mut Known, Option<&Forecasts>),
        next: Specification,
        ended: &mut Vec<Ended>,
    ) -> bool {
        let Specification {
            subject,
            entries,
            valid,
            // Kept aside, before this.
            states: _,
        } = next;
        // What is a value is a part of each condition.
        let same_values = known.valid == valid || entries.is_empty();
        let before = std::mem::replace(&mut known.subject, subject);
        let next = &known.subject;
        let same_asset = before.asset == next.asset;
        if same_values && known.watches_just(&entries) && (same_asset || entries.is_empty()) {
            // Names, versions and sources are no part of what decides; and of what was loaded only now is it known what rules say.
            for (watch, entry) in known.watches.iter_mut().zip(entries) {
                watch.entry = entry;
            }
            return false;
        }
        let same_base = before.base == next.base && same_asset;
        let kept = Kept {
            asset: same_asset,
            values: same_values,
            came_or_went: if same_base {
                Cause::RuleChange
            } else {
                Cause::BaseChange
            },
        };
        self.limit_sight(now, known);
        let mut old: Vec<Watch> = known.watches.drain(..).collect();
        for entry in entries {
            let same_rule = old
                .iter()
                .position(|watch| watch.entry.rule.record.id == entry.rule.record.id);
            let old = same_rule.map(|index| old.swap_remove(index));
            let watch = self.watch(entry, old, (known, forecasts), (&kept, &before), ended);
            known.watches.push(watch);
        }
        for watch in old {
            ended.extend(end(watch, &before, kept.came_or_went));
        }
        true
    }

    /// The watch of an entry, in place of the one of the same rule, if there was one.
    fn watch(
        &self,
        entry: Entry,
        old: Option<Watch>,
        (known, forecasts): (&Known, Option<&Forecasts>),
        (kept, before): (&Kept, &Subject),
        ended: &mut Vec<Ended>,
    ) -> Watch {
        let ground = self.ground(&known.series, forecasts);
        let Some(mut watch) = old else {
            return Watch::new(entry, ground, known.sight, kept.came_or_went);
        };
        if kept.asset && kept.values && watch.entry.is_same(&entry) {
            watch.entry = entry;
            return watch;
        }
        let cause = if watch.entry.rule == entry.rule {
            Cause::BaseChange
        } else {
            Cause::RuleChange
        };
        if kept.asset {
            return watch.edited(entry, ground, known.sight, cause);
        }
        ended.extend(end(watch, before, cause));
        Watch::new(entry, ground, known.sight, cause)
    }
}

/// A watch that ends, where anybody could have heard of it.
fn end(watch: Watch, subject: &Subject, cause: Cause) -> Option<Ended> {
    let asset = subject.asset.clone()?;
    Some(Ended {
        watch,
        datastream: subject.datastream.text().clone(),
        asset: asset.into_text(),
        cause,
    })
}
