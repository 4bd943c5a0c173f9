//! Totals of reports, by going through all reports for each region.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_model::intake::Report;
use riskflow_model::output::ReportTotal;
use riskflow_model::{Key, Number, OutputRecord as _, Row, Shared};

use super::place::Places;
use super::table::Table;

/// What counts of reports.
#[derive(Default)]
pub struct Reports(Table<Report>);

impl Reports {
    /// A record of the table.
    pub fn base(&mut self, topic: u16, key: Key, row: Option<&Row>) {
        self.0.apply(topic, key, row);
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
                    totals.insert(total.key().to_string(), total);
                }
            }
        }
        totals
    }
}
