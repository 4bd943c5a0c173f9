//! What is held back while the state is rebuilt after a clock that was ahead ([`crate::pace::Plan::rewound`]).
//!
//! At the end the tables are compared with the rows in the output. Of a warning with a row there, and of its case, people were
//! notified before: nothing is published again. Deltas and notices of a warning without a row there are published now. A warning with a
//! row there that never was, by the right clock, is withdrawn, and so is its case; who was notified of that case is not known here, so
//! that gives no notice.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_connectors::Published;
use riskflow_model::output::{
    AssetRisk, CaseDelta, CaseEvent, CaseEventKind, CaseState, Cause, DeltaKind, Explanation, Notice, WarningDelta,
    WarningState,
};
use riskflow_model::topic::Topic;
use riskflow_model::{DomainScope, Level, Millis, OutputRow, Text};

use super::Open;
use crate::output::EpochOutput;
use crate::views::Tables;

/// Topics that tell each thing once.
pub(super) const TOLD_ONCE: [Topic; 3] = [Topic::WARNING_DELTA, Topic::CASE_DELTA, Topic::NOTICE];

/// What was found and not told, of the warnings and cases that are there.
pub(super) struct Held {
    /// What stands open in the output.
    open: Open,
    /// How those ended that are over.
    ended: BTreeMap<Text, WarningDelta>,
    deltas: BTreeMap<Text, Vec<WarningDelta>>,
    cases: BTreeMap<Text, (Vec<CaseDelta>, Vec<Notice>)>,
}

impl Held {
    /// Nothing yet; these stand open in the output.
    pub(super) const fn new(open: Open) -> Self {
        Self {
            open,
            ended: BTreeMap::new(),
            deltas: BTreeMap::new(),
            cases: BTreeMap::new(),
        }
    }

    /// Keeps what an epoch tells.
    pub(super) fn keep(&mut self, output: &EpochOutput) {
        for delta in output.log::<WarningDelta>() {
            if matches!(delta.kind, DeltaKind::Cleared | DeltaKind::Withdrawn) {
                self.deltas.remove(&delta.id);
                if self.open.warnings.iter().any(|row| row.id == delta.id) {
                    self.ended.insert(delta.id.clone(), delta.clone());
                }
            } else {
                self.deltas.entry(delta.id.clone()).or_default().push(delta.clone());
            }
        }
        for delta in output.log::<CaseDelta>() {
            self.cases.entry(delta.case.clone()).or_default().0.push(delta.clone());
        }
        for notice in output.log::<Notice>() {
            self.cases
                .entry(notice.case.clone())
                .or_default()
                .1
                .push(notice.clone());
        }
        let cases = output.table::<CaseState>();
        let stays: BTreeSet<&Text> = cases
            .clone()
            .filter(|(_, diff)| *diff > 0)
            .map(|(row, _)| &row.id)
            .collect();
        for (row, _) in cases.filter(|(row, diff)| *diff < 0 && !stays.contains(&row.id)) {
            self.cases.remove(&row.id);
        }
    }

    /// What is to be told with the first epoch after it, given the rows in the output.
    pub(super) fn tell(self, tables: &Tables, now: Millis, published: &Published) -> EpochOutput {
        let is_new = |topic: Topic, id: &Text| !published.contains_key(&(topic, id.to_string()));
        let over = self
            .open
            .warnings
            .iter()
            .filter(|row| tables.get::<WarningState>(&row.id).is_none());
        let ends = over.map(|row| {
            let ended = self.ended.get(&row.id).cloned();
            ended.unwrap_or_else(|| withdrawn(row, tables, now))
        });
        let mut told: Vec<OutputRow> = ends.map(OutputRow::new).collect();
        let cases = self.open.cases.iter();
        let gone = cases.filter(|row| tables.get::<CaseState>(&row.id).is_none());
        told.extend(gone.map(|row| OutputRow::new(without_basis(row, now))));
        for (id, deltas) in self.deltas {
            if is_new(Topic::WARNING_STATE, &id) {
                told.extend(deltas.into_iter().map(OutputRow::new));
            }
        }
        for (id, (deltas, notices)) in self.cases {
            if is_new(Topic::CASE_STATE, &id) {
                told.extend(deltas.into_iter().map(OutputRow::new));
                told.extend(notices.into_iter().map(OutputRow::new));
            }
        }
        EpochOutput::new(tables.epoch, told.into_iter().map(|row| (row, 1)).collect())
    }
}

/// The end of a case whose basis the clock alone had made.
fn without_basis(row: &CaseState, now: Millis) -> CaseDelta {
    CaseDelta {
        case: row.id.clone(),
        retracted: false,
        cause: Cause::Clock,
        rule: row.rule.clone(),
        domain: Some(row.domain),
        region: Some(row.region),
        event: CaseEvent {
            at: now,
            kind: CaseEventKind::Withdrawn,
            step: row.step,
            level: Level::None,
            by: None,
            escalation: None,
            refusal: None,
            allowed: Vec::new(),
        },
    }
}

/// The end of a warning that the clock alone had made.
fn withdrawn(row: &WarningState, tables: &Tables, now: Millis) -> WarningDelta {
    let asset = tables.get::<AssetRisk>(&row.asset);
    let region = tables.region(row.region, DomainScope::All);
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
            asset_name: asset.map_or_else(|| "".into(), |asset| asset.name.clone()),
            category: asset.map_or_else(|| "".into(), |asset| asset.category.clone()),
            inherent_level: asset.map(|asset| asset.inherent_level),
            region: Some(row.region),
            region_name: region.map_or_else(Text::default, |region| region.name.clone()),
            ..Explanation::nothing()
        },
    }
}
