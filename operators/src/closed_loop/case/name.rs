//! Identifiers of cases. Whoever acts names one, and it alone must say where the case is found, for as long as that stands.

use riskflow_model::Id;
use riskflow_model::id::{Run, WarningOrIncident};
use riskflow_model::output::CaseState;

/// The identifier of a case that a warning or incident begins: its own, which is also the name of its run. Of a run whose case
/// was archived another one begins: `<warning>@<run>`.
pub(super) fn of_case(first: &Id<WarningOrIncident>, run: &Id<Run>) -> Id<CaseState> {
    if **first == **run {
        Id::new(first.text().clone())
    } else {
        format!("{first}@{run}").into()
    }
}

/// Whether a case of this name was begun by this warning or incident.
pub(super) fn begins_with(case: &Id<CaseState>, first: &Id<WarningOrIncident>) -> bool {
    case.strip_prefix(&**first)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
}

/// The run of the case that is named; of anything else what is named itself.
pub(super) fn run_of(named: &str) -> &str {
    let is_id = |part: &str| part.len() == 32 && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match named.split_once('@') {
        Some((first, run)) if is_id(first) && is_id(run) => run,
        _ => named,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_found_by_its_name() {
        let (first, run) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
        let case = of_case(&first.into(), &run.into());
        assert_eq!(run_of(&case), run);
        assert!(begins_with(&case, &first.into()) && !begins_with(&case, &run.into()));
        assert_eq!(&*of_case(&run.into(), &run.into()), run);
        assert!(begins_with(&run.into(), &run.into()));
        // What others call their incidents is left alone.
        for named in [run, "duty@city", "a@fedcba9876543210fedcba9876543210", "@", ""] {
            assert_eq!(run_of(named), named);
        }
    }
}
