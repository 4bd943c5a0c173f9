//! Capabilities that rest on input tables alone. A line each: what it is switched by, and its door.

use riskflow_model::base::Region;
use riskflow_model::{Shared, capability};

use crate::engine::{Builder, Rows};

mod maintenance;
mod report_total;

/// Adds those that are on to the dataflow; `placed` says where regions lie ([`crate::place::placed`]).
pub fn build<'scope>(
    b: &mut Builder<'scope, '_>,
    placed: &Rows<'scope, Shared<Region>>,
    is_on: impl Fn(&'static str) -> bool,
) {
    if is_on(capability::REPORTS) {
        report_total::build(b, placed.clone());
    }
    if is_on(capability::PERMITS) {
        maintenance::build(b, placed.clone());
    }
}
