//! Capability: cases. Who answers for what, what is done about it, and who is told.
//!
//! ```text
//!  incidents, open warnings, duties on now (roster), units, plans ─► obligations ─► case ◄── joining ◄── actions
//!                          duties and posts on now (roster) ─► recipients ◄── alarms ─┤
//!                                                                  └─► notice         └─► response
//! ```

mod roster;
mod obligation;
mod joining;
mod case;
mod notice;
mod response;
mod build;

pub use build::{CaseTerms, Warnings, build};
pub use case::{Acted, Case, CaseRecord, Evidence, Happened, notice_of};
pub use joining::Joining;
pub use notice::{id as notice_id, sentence};
pub use obligation::{CaseRow, DutyMatch, Subject};
