//! What is true now, for readers: maps that share structure from epoch to epoch, swapped in whole. Readers never wait
//! for the job, nor the job for readers, and every reader sees one epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use riskflow_model::output::{AssetRisk, CaseState, DeltaKind, RegionRisk, WarningDelta, WarningState};
use riskflow_model::topic::{Shape, Topic};
use riskflow_model::{DomainScope, Id, Millis, OutputRecord, OutputRow, RegionCode, Text, joined};
use riskflow_operators::Diff;
use rpds::RedBlackTreeMapSync;

use crate::runtime::feed::Feed;
use crate::runtime::output::EpochOutput;

/// The rows of one table by key.
type Table = RedBlackTreeMapSync<Text, OutputRow>;

/// The output tables as of one epoch.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// The epoch.
    pub epoch: Millis,
    /// How many deltas there were of each kind ([`DeltaKind::ALL`]), by county and domain.
    pub tallies: RedBlackTreeMapSync<(RegionCode, DomainScope), [u64; DeltaKind::ALL.len()]>,
    /// The last delta of each open warning.
    pub last_deltas: RedBlackTreeMapSync<Id<WarningState>, OutputRow>,
    tables: BTreeMap<Topic, Table>,
    /// The cases of warnings that joined one, by the warning.
    joined: RedBlackTreeMapSync<Id<WarningState>, Id<CaseState>>,
}

impl Tables {
    /// The tables after an epoch.
    pub fn apply(&mut self, output: &EpochOutput) {
        self.epoch = output.epoch;
        let mut rows = output.rows().iter().peekable();
        while let Some((row, diff)) = rows.next() {
            if row.topic().shape() != Shape::OutputTable {
                continue;
            }
            // What went comes first. One that is replaced is not taken out before: that costs more than to put the other in its place.
            let is_replaced = |next: &&(OutputRow, Diff)| (next.0.topic(), next.0.key()) == (row.topic(), row.key());
            if *diff > 0 {
                self.insert(row.clone());
            } else if !rows.peek().is_some_and(is_replaced) {
                self.remove(row.topic(), row.key());
            }
        }
        self.join(output);
        for (row, _) in output.on(Topic::WARNING_DELTA) {
            let delta = row
                .downcast_ref::<WarningDelta>()
                .expect("rows are found by their topic");
            self.count(delta);
            match delta.kind {
                DeltaKind::Cleared | DeltaKind::Withdrawn => drop(self.last_deltas.remove_mut(&delta.id)),
                DeltaKind::Raised | DeltaKind::Revised | DeltaKind::Escalated | DeltaKind::Eased => {
                    self.last_deltas.insert_mut(delta.id.clone(), row.clone());
                }
                // Of what is over.
                DeltaKind::Recorded | DeltaKind::Amended => {}
            }
        }
    }

    /// Puts a row in the place of its key.
    pub fn insert(&mut self, row: OutputRow) {
        let table = self.tables.entry(row.topic()).or_default();
        table.insert_mut(row.key().clone(), row);
    }

    /// Takes the row of a key out.
    pub fn remove(&mut self, topic: Topic, key: &str) {
        self.tables.entry(topic).or_default().remove_mut(key);
    }

    /// The row of a table with that key.
    #[must_use]
    pub fn get<R: OutputRecord>(&self, key: &str) -> Option<&R> {
        let row = self.tables.get(&Topic::of::<R>())?.get(key)?;
        row.downcast_ref()
    }

    /// The rows of a table with their keys, in the order of these.
    pub fn table<R: OutputRecord>(&self) -> impl Iterator<Item = (&Text, &R)> {
        let rows = self.tables.get(&Topic::of::<R>()).into_iter().flat_map(Table::iter);
        rows.map(|(key, row)| (key, row.downcast_ref().expect("rows are found by their topic")))
    }

    /// The same of a table by its topic.
    pub fn on(&self, topic: Topic) -> impl Iterator<Item = (&Text, &OutputRow)> {
        self.tables.get(&topic).into_iter().flat_map(Table::iter)
    }

    /// How many rows a table has.
    #[must_use]
    pub fn count_of<R: OutputRecord>(&self) -> usize {
        self.tables.get(&Topic::of::<R>()).map_or(0, Table::size)
    }

    /// All rows of all tables.
    pub fn rows(&self) -> impl Iterator<Item = &OutputRow> {
        self.tables.values().flat_map(Table::values)
    }

    /// The row of a region and domain.
    #[must_use]
    pub fn region(&self, region: RegionCode, domain: DomainScope) -> Option<&RegionRisk> {
        self.get(&joined(&[&region.to_string(), domain.name()]))
    }

    fn join(&mut self, output: &EpochOutput) {
        // What went comes first.
        for came in [false, true] {
            let rows = output.table::<CaseState>().filter(|(_, diff)| (*diff > 0) == came);
            for (row, _) in rows {
                for warning in row.warnings.iter().filter(|warning| ***warning != *row.id) {
                    if came {
                        self.joined.insert_mut(warning.clone(), row.id.clone());
                    } else {
                        self.joined.remove_mut(warning);
                    }
                }
            }
        }
    }

    /// A case by its identifier, or by that of any of its newest warnings.
    #[must_use]
    pub fn case(&self, id: &str) -> Option<&CaseState> {
        let joined = || self.get(self.joined.get(id)?);
        self.get(id).or_else(joined)
    }

    /// A region and all above it, as the rows of regions say.
    pub fn chain(&self, region: RegionCode) -> impl Iterator<Item = RegionCode> + '_ {
        // No way is longer than there are regions.
        let up = |region: &RegionCode| match region.is_statistical() {
            true => region.parent(),
            false => self.region(*region, DomainScope::All)?.parent,
        };
        std::iter::successors(Some(region), up).take(self.count_of::<RegionRisk>() + 8)
    }

    /// Whether a region is equal to the other or lies within it.
    #[must_use]
    pub fn within(&self, region: RegionCode, other: RegionCode) -> bool {
        match region.is_statistical() {
            true => region.within_by_code(other),
            false => self.chain(region).any(|above| above == other),
        }
    }

    fn count(&mut self, delta: &WarningDelta) {
        let Some(asset) = self.get::<AssetRisk>(&delta.asset) else {
            return;
        };
        let domain = asset.domain;
        let county = self
            .chain(asset.region)
            .find(|region| region.tier() == Some(riskflow_model::Tier::County));
        let kind = DeltaKind::ALL.iter().position(|kind| *kind == delta.kind).unwrap_or(0);
        if let Some(region) = county {
            for scope in [DomainScope::All, DomainScope::One(domain)] {
                let mut counts = self.tallies.get(&(region, scope)).copied().unwrap_or_default();
                counts[kind] += 1;
                self.tallies.insert_mut((region, scope), counts);
            }
        }
    }
}

/// The tables of the last committed epoch, and what changed in the last epochs.
#[derive(Debug, Default)]
pub struct Views {
    tables: ArcSwap<Tables>,
    /// What changed. It is told before the tables show it.
    pub feed: Feed,
}

impl Views {
    /// The tables as they are now; they stay as they are for as long as they are held.
    #[must_use]
    pub fn load(&self) -> Arc<Tables> {
        self.tables.load_full()
    }

    /// Puts another epoch in their place.
    pub fn store(&self, tables: &Tables) {
        self.tables.store(Arc::new(tables.clone()));
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::output::{LevelCounts, ReportTotal};

    use super::*;
    use crate::runtime::output::testing::total;

    #[test]
    fn a_row_comes_is_replaced_and_goes() {
        let row = |kind: &str, sum: f64| total("m", kind, sum);
        let mut tables = Tables::default();
        let mut after = |epoch, rows| {
            tables.apply(&EpochOutput::new(Millis(epoch), rows));
            let shown = tables.table::<ReportTotal>();
            let shown: Vec<(String, f64)> = shown.map(|(_, row)| (row.kind.to_string(), row.total.0)).collect();
            assert_eq!(shown.len(), tables.count_of::<ReportTotal>());
            shown
        };
        let shown = |rows: &[(&str, f64)]| -> Vec<(String, f64)> {
            rows.iter().map(|(kind, total)| ((*kind).to_owned(), *total)).collect()
        };
        let came = vec![(row("a", 1.0), 1), (row("b", 1.0), 1), (row("c", 1.0), 1)];
        assert_eq!(after(1, came), shown(&[("a", 1.0), ("b", 1.0), ("c", 1.0)]));
        let changed = vec![
            (row("a", 1.0), -1),
            (row("b", 2.0), 1),
            (row("b", 1.0), -1),
            (row("d", 1.0), 1),
        ];
        assert_eq!(after(2, changed), shown(&[("b", 2.0), ("c", 1.0), ("d", 1.0)]));
        let gone = vec![(row("b", 2.0), -1), (row("d", 1.0), -1)];
        assert_eq!(after(3, gone), shown(&[("c", 1.0)]));
    }

    #[test]
    fn regions_lie_where_their_rows_say() {
        let code = |text: &str| -> RegionCode { text.parse().unwrap() };
        let none = LevelCounts::default();
        let rows = [("berth", "harbour"), ("harbour", "330902"), ("a", "b"), ("b", "a")];
        let rows = rows.map(|(region, parent)| RegionRisk {
            region: code(region),
            name: "".into(),
            parent: Some(code(parent)),
            domain: DomainScope::All,
            level: riskflow_model::Level::None,
            assets_by_level: none,
            assets_by_dynamic_level: none,
            villages_by_level: none,
            warnings_by_level: none,
            score: 0,
            trend: 0,
            exposed_population: 0,
            top_assets: Vec::new(),
        });
        let mut tables = Tables::default();
        let rows = rows.map(|row| (OutputRow::new(row), 1));
        tables.apply(&EpochOutput::new(Millis(1), rows.to_vec()));
        let chain: Vec<String> = tables.chain(code("berth")).map(|region| region.to_string()).collect();
        assert_eq!(chain, ["berth", "harbour", "330902", "3309", "33"]);
        assert!(tables.within(code("berth"), code("33")) && !tables.within(code("berth"), code("330903")));
        assert!(tables.within(code("330902001"), code("3309")) && !tables.within(code("3309"), code("berth")));
        // Such rows are never given; it ends all the same.
        assert!(!tables.within(code("a"), code("330902")));
    }
}
