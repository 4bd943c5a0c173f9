//! What is found while the state is made anew after a clock that was ahead ([`crate::pace::Plan::rewound`]).
//!
//! The tables are compared with the rows in the output, and so is what was told: of a warning that stands in the output, and of
//! its case, people were told; of one that does not they are told now. A warning that stands in the output and was never
//! is withdrawn.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_connectors::Published;
use riskflow_model::output::{CaseDelta, Cause, DeltaKind, Explanation, Notice, WarningDelta, WarningState};
use riskflow_model::topic::Topic;
use riskflow_model::{Level, Millis, Text};

use crate::output::EpochOutput;
use crate::views::Tables;

/// What was found and not told, of the warnings and cases that are there.
#[derive(Default)]
pub(super) struct Held {
    deltas: BTreeMap<Text, Vec<WarningDelta>>,
    cases: BTreeMap<Text, (Vec<CaseDelta>, Vec<Notice>)>,
}

impl Held {
    /// Keeps what an epoch tells.
    pub(super) fn keep(&mut self, output: &EpochOutput) {
        for delta in &output.deltas {
            if matches!(delta.kind, DeltaKind::Cleared | DeltaKind::Withdrawn) {
                self.deltas.remove(&delta.id);
            } else {
                self.deltas.entry(delta.id.clone()).or_default().push(delta.clone());
            }
        }
        for delta in &output.case_deltas {
            self.cases.entry(delta.case.clone()).or_default().0.push(delta.clone());
        }
        for notice in &output.notices {
            self.cases
                .entry(notice.case.clone())
                .or_default()
                .1
                .push(notice.clone());
        }
        let stays: BTreeSet<&Text> = output
            .cases
            .iter()
            .filter(|(_, diff)| *diff > 0)
            .map(|(row, _)| &row.id)
            .collect();
        for (row, _) in output
            .cases
            .iter()
            .filter(|(row, diff)| *diff < 0 && !stays.contains(&row.id))
        {
            self.cases.remove(&row.id);
        }
    }

    /// What is to be told with the first epoch after it, given the rows in the output and the open warnings among them.
    pub(super) fn tell(
        self,
        tables: &Tables,
        now: Millis,
        published: &Published,
        open: &[WarningState],
    ) -> EpochOutput {
        let is_new = |topic: Topic, id: &Text| !published.contains_key(&(topic, id.to_string()));
        let never = open.iter().filter(|row| !tables.warnings.contains_key(&row.id));
        let mut told = EpochOutput {
            epoch: tables.epoch,
            deltas: never.map(|row| withdrawn(row, tables, now)).collect(),
            ..EpochOutput::default()
        };
        for (id, deltas) in self.deltas {
            if is_new(Topic::WarningState, &id) {
                told.deltas.extend(deltas);
            }
        }
        for (id, (deltas, notices)) in self.cases {
            if is_new(Topic::CaseState, &id) {
                told.case_deltas.extend(deltas);
                told.notices.extend(notices);
            }
        }
        told
    }
}

/// The end of a warning that the clock alone had made.
fn withdrawn(row: &WarningState, tables: &Tables, now: Millis) -> WarningDelta {
    let asset = tables.assets.get(&row.asset);
    WarningDelta {
        id: row.id.clone(),
        kind: DeltaKind::Withdrawn,
        cause: Cause::Clock,
        rule: row.rule.clone(),
        asset: row.asset.clone(),
        since: row.since,
        at: now,
        from: row.level,
        to: Level::None,
        explanation: Explanation {
            rule_version: 0,
            condition: "".into(),
            datastream: "".into(),
            features: Vec::new(),
            asset_name: asset.map_or_else(|| "".into(), |asset| asset.name.clone()),
            category: asset.map_or_else(|| "".into(), |asset| asset.category.clone()),
            inherent_level: asset.map(|asset| asset.inherent_level),
            region: Some(row.region),
        },
    }
}
