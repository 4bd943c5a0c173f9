//! What is held back while the state is rebuilt after a clock that was ahead ([`crate::runtime::pace::Plan::rewound`]).
//!
//! At the end what was found is compared with what stands in the output. Of warnings that is their rows: a warning without one there is
//! told now, one that never was by the right clock is withdrawn, one of another level has that level from now on. Of cases it is what
//! was told of them ([`super::told`]): events that were not told are, and those that do not hold are taken back.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_connectors::Published;
use riskflow_model::output::{
    AssetRisk, CaseDelta, CaseState, Cause, DeadLetter, DeltaKind, Explanation, Notice, WarningDelta, WarningState,
};
use riskflow_model::topic::Topic;
use riskflow_model::{DomainScope, Id, Level, Millis, OutputRow, Text};

use super::beginning::Open;
use super::foretold::Foretold;
use super::told::{Found, Now};
use crate::runtime::output::EpochOutput;
use crate::runtime::views::Tables;

/// Topics that tell each thing once.
pub(super) const TOLD_ONCE: [Topic; 4] = [
    Topic::WARNING_DELTA,
    Topic::CASE_DELTA,
    Topic::NOTICE,
    Topic::DEAD_LETTER,
];

/// What was found and not told, of the warnings and cases that are there.
pub(super) struct Held {
    /// What stands open in the output.
    open: Open,
    /// How those ended that are over.
    ended: BTreeMap<Id<WarningState>, WarningDelta>,
    deltas: BTreeMap<Id<WarningState>, Vec<WarningDelta>>,
    cases: BTreeMap<Id<CaseState>, Found>,
    /// Cases that were, and are forgotten.
    forgotten: BTreeSet<Id<CaseState>>,
    /// Records that were refused, and were not before.
    letters: Vec<DeadLetter>,
}

impl Held {
    /// Nothing yet; these stand open in the output.
    pub(super) const fn new(open: Open) -> Self {
        Self {
            open,
            ended: BTreeMap::new(),
            deltas: BTreeMap::new(),
            cases: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            letters: Vec::new(),
        }
    }

    /// Keeps what an epoch tells, at this time.
    pub(super) fn keep(&mut self, output: &EpochOutput, clock: Millis) {
        let letters = output
            .log::<DeadLetter>()
            .filter(|letter| self.open.letters.is_new(letter, clock));
        self.letters.extend(letters.cloned());
        for delta in output.log::<WarningDelta>() {
            match delta.kind {
                DeltaKind::Cleared | DeltaKind::Withdrawn => {
                    self.deltas.remove(&delta.id);
                    self.end(delta.clone());
                }
                DeltaKind::Raised | DeltaKind::Revised | DeltaKind::Escalated | DeltaKind::Eased => {
                    self.deltas.entry(delta.id.clone()).or_default().push(delta.clone());
                }
                // What is over stands in a table, which is compared. If it stands open in the output, it ended.
                DeltaKind::Recorded => self.end(WarningDelta {
                    kind: DeltaKind::Cleared,
                    from: delta.to,
                    to: Level::None,
                    ..delta.clone()
                }),
                DeltaKind::Amended => {}
            }
        }
        for delta in output.log::<CaseDelta>() {
            self.cases.entry(delta.case.clone()).or_default().event(delta);
        }
        for notice in output.log::<Notice>() {
            self.cases.entry(notice.case.clone()).or_default().notice(notice);
        }
        let cases = output.table::<CaseState>();
        let stays: BTreeSet<&Id<CaseState>> = cases
            .clone()
            .filter(|(_, diff)| *diff > 0)
            .map(|(row, _)| &row.id)
            .collect();
        for (row, _) in cases.filter(|(row, diff)| *diff < 0 && !stays.contains(&row.id)) {
            self.cases.remove(&row.id);
            self.forgotten.insert(row.id.clone());
        }
    }

    /// Notes how a warning ended that stands open in the output.
    fn end(&mut self, delta: WarningDelta) {
        if self.open.warnings.iter().any(|row| row.id == delta.id) {
            self.ended.insert(delta.id.clone(), delta);
        }
    }

    /// What is to be told with the first epoch after it, given the rows in the output and what was told too early before; and what is
    /// told too early now.
    pub(super) fn tell(
        mut self,
        tables: &Tables,
        now: Millis,
        (published, before): (&Published, &Foretold),
    ) -> (EpochOutput, Foretold) {
        let mut told = self.warnings(tables, now, published);
        told.extend(self.letters.drain(..).map(OutputRow::new));
        let mut foretold = self.open.told.foretold(before, tables.epoch);
        let mut found = std::mem::take(&mut self.cases);
        let open: BTreeMap<&Id<CaseState>, &CaseState> = self.open.cases.iter().map(|row| (&row.id, row)).collect();
        for case in self.open.told.cases().chain(open.keys().copied()) {
            found.entry(case.clone()).or_default();
        }
        for (case, found) in found {
            let now = Now {
                row: tables.get::<CaseState>(&case),
                is_new: !published.contains_key(&(Topic::CASE_STATE, case.to_string())),
                was: self.forgotten.contains(&case),
                open: open.get(&case).copied(),
                at: now,
            };
            told.extend(self.open.told.judge(&case, now, &found, (before, &mut foretold)));
        }
        let told = told.into_iter().map(|row| (row, 1)).collect();
        (EpochOutput::new(tables.epoch, told), foretold)
    }

    /// What is to be told of warnings.
    fn warnings(&self, tables: &Tables, now: Millis, published: &Published) -> Vec<OutputRow> {
        let mut told = Vec::new();
        for row in &self.open.warnings {
            let newest = self.deltas.get(&row.id).and_then(|deltas| deltas.last());
            let delta = match (tables.get::<WarningState>(&row.id), newest) {
                (None, _) => self.ended.get(&row.id).cloned(),
                (Some(is), Some(newest)) if is.level != row.level => Some(changed(newest, row.level, is, now)),
                (Some(_), _) => continue,
            };
            told.push(OutputRow::new(delta.unwrap_or_else(|| withdrawn(row, tables, now))));
        }
        for (id, deltas) in &self.deltas {
            if !published.contains_key(&(Topic::WARNING_STATE, id.to_string())) {
                told.extend(deltas.iter().cloned().map(OutputRow::new));
            }
        }
        told
    }
}

/// A level that the clock alone had made, or kept from being made.
fn changed(newest: &WarningDelta, was: Level, is: &WarningState, now: Millis) -> WarningDelta {
    let kind = if is.level > was {
        DeltaKind::Escalated
    } else {
        DeltaKind::Eased
    };
    WarningDelta {
        kind,
        cause: Cause::Clock,
        since: is.since,
        at: now,
        from: was,
        to: is.level,
        ..newest.clone()
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
