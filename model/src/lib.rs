//! The records on riskflow's topics: their identifiers, units and levels, how they are parsed and how they are shown.
//!
//! No logic lives here. Three rules hold for every type:
//!
//! * **Tolerant in, exact out.** Records of others may carry fields that we do not know; what we write is described by
//!   the JSON Schemas of [`schema`].
//! * **Strings at the borders, [`Key`]s inside.** No operator compares a `String` on the hot path.
//! * **Two encodings, one type.** Human-readable formats (JSON) see RFC 3339 times and level names; binary ones (the
//!   wire between processes, checkpoints; see [`binary`]) see integers.

mod border;
mod check;
mod facet;
mod key;
mod level;
mod lineage;
mod log_row;
mod millis;
mod output_row;
mod problem;
mod region;
mod row;
mod shared;
mod text;
mod text_map;

pub mod action;
pub mod base;
pub mod binary;
pub mod capability;
pub mod catalogue;
pub mod duration;
pub mod event;
pub mod field;
pub mod forecast;
pub mod gauge;
pub mod id;
pub mod identifier;
pub mod intake;
pub mod json;
pub mod limit;
pub mod observation;
pub mod output;
pub mod progress;
pub mod responsibility;
pub mod rule;
pub mod ruleset;
pub mod schema;
pub mod topic;

pub use check::Check;
pub use duration::Duration;
pub use facet::{Facets, Filter, Listed};
pub use id::Id;
pub use key::{Key, joined};
pub use level::{Domain, DomainScope, InherentLevel, Level};
pub use lineage::{Above, Astray, Lineage};
pub use log_row::{LogRecord, LogRow};
pub use millis::{Millis, ParseMillisError};
pub use output_row::{OutputRecord, OutputRow};
pub use problem::{Problem, Problems};
pub use region::{LONGEST_CODE, ParseRegionError, RegionCode, Tier};
pub use row::{Bytes, Row, TableRecord, problems};
pub use shared::Shared;
pub use text::{Number, Text, shortened};
pub use text_map::TextMap;
