//! View: how many maintenance windows are planned in each region and all above.

use std::sync::Arc;

use differential_dataflow::operators::CountTotal;
use riskflow_model::Shared;
use riskflow_model::base::Region;
use riskflow_model::catalogue::{Maintenance, MaintenanceTotal};

use crate::engine::{Builder, Diff, Rows};
use crate::place::locate;

/// Adds it to the dataflow.
pub(super) fn build<'scope>(b: &mut Builder<'scope, '_>, placed: Rows<'scope, Shared<Region>>) {
    let planned = b.rows_of::<Maintenance>().filter(|window| !window.cancelled);
    let regions = locate(planned, placed, |window| window.region).flat_map(|(window, located)| {
        let chain = located.chain(window.region);
        chain.into_iter().map(move |region| (region, window.kind))
    });
    let counts = regions
        .arrange_by_self_named("Maintenance: by region and kind")
        .count_total_core::<Diff>();
    b.publish(counts.map(|((region, kind), windows)| Arc::new(MaintenanceTotal { region, kind, windows })));
}
