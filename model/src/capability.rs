//! The parts of riskflow that can be switched off, by the names that they have in the configuration (`[capabilities]`). What is
//! off needs no topics: those say beside their records which capability they belong to ([`crate::topic::Spec::capability`]).

/// The closed loop: cases, duties, notices, response times, incidents, actions.
pub const CASES: &str = "cases";
/// Work under permit, its limits, and maintenance windows.
pub const PERMITS: &str = "permits";
/// Reports of towns and streets, and their totals.
pub const REPORTS: &str = "reports";
/// Events, gauges, and what people and models say of events.
pub const GAUGES: &str = "gauges";
