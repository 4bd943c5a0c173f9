//! Totals of reports, by going through all reports for each region.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_config::BaseRow;
use riskflow_model::intake::Report;
use riskflow_model::output::ReportTotal;
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Number, Shared};

use super::place::Places;

/// What counts of reports.
#[derive(Default)]
pub struct Reports(BTreeMap<Key, Shared<Report>>);

impl Reports {
    /// A record of the table.
    pub fn base(&mut self, topic: u16, key: Key, row: Option<&BaseRow>) {
        match row {
            Some(BaseRow::Report(report)) => {
                let newer = self.0.get(&key).is_some_and(|there| there.version > report.version);
                if !newer {
                    self.0.insert(key, report.clone());
                }
            }
            None if topic == Topic::InReport.index() => drop(self.0.remove(&key)),
            _ => {}
        }
    }

    /// The rows, keyed as on the topic.
    pub fn totals(&self, places: &Places) -> BTreeMap<String, ReportTotal> {
        let standing: Vec<&Shared<Report>> = self.0.values().filter(|report| !report.deleted).collect();
        let mut regions = BTreeSet::new();
        for report in &standing {
            regions.extend(places.chain(&report.region.to_string()));
        }
        let mut totals = BTreeMap::new();
        for region in regions {
            for of in &standing {
                for quantity in of.quantities.keys() {
                    let numbers: Vec<f64> = standing
                        .iter()
                        .filter(|report| places.chain(&report.region.to_string()).contains(&region))
                        .filter(|report| report.module == of.module && report.kind == of.kind)
                        .filter_map(|report| report.quantities.get(quantity))
                        .map(|number| number.0)
                        .collect();
                    if numbers.is_empty() {
                        continue;
                    }
                    let thousandths: i64 = numbers.iter().map(|number| (number * 1000.0).round() as i64).sum();
                    let total = ReportTotal {
                        region: region.parse().expect("a region code"),
                        module: of.module.clone(),
                        kind: of.kind.clone(),
                        quantity: quantity.clone(),
                        total: Number(thousandths as f64 / 1000.0),
                        reports: numbers.len() as i64,
                    };
                    totals.insert(total.key(), total);
                }
            }
        }
        totals
    }
}
