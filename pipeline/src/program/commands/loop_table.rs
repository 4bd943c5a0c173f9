//! What was done about the storm's warnings, county by county: the demo's second table.

use riskflow::runtime::views::Tables;
use riskflow_model::RegionCode;
use riskflow_model::output::{CaseState, CaseStep};
use serde_json::{Value, json};

/// The cases of one county, counted.
#[derive(Default)]
struct Count {
    issued: usize,
    in_time: usize,
    escalated: usize,
    archived: usize,
    /// Seconds to the first acknowledgement, of those acknowledged.
    seconds: Vec<i64>,
}

impl Count {
    fn of<'a>(cases: impl Iterator<Item = &'a CaseState>) -> Self {
        let mut count = Self::default();
        for case in cases {
            count.issued += 1;
            count.in_time += usize::from(case.times.in_time);
            count.escalated += usize::from(!case.escalations.is_empty());
            count.archived += usize::from(case.step == CaseStep::Archived);
            let acknowledged = case.times.acknowledged;
            count
                .seconds
                .extend(acknowledged.map(|at| (at.0 - case.times.issued.0) / 1_000));
        }
        count.seconds.sort_unstable();
        count
    }

    /// The lower median.
    fn median(&self) -> Option<i64> {
        let last = self.seconds.len().checked_sub(1)?;
        self.seconds.get(last / 2).copied()
    }
}

fn counts(tables: &Tables, counties: &[(RegionCode, String)]) -> Vec<(String, Count)> {
    let of = |region: RegionCode| {
        let cases = tables.table::<CaseState>().map(|(_, case)| case);
        Count::of(cases.filter(move |case: &&CaseState| tables.within(case.region, region)))
    };
    let mut rows: Vec<_> = counties.iter().map(|(code, name)| (name.clone(), of(*code))).collect();
    rows.push((
        "all".to_owned(),
        Count::of(tables.table::<CaseState>().map(|(_, case)| case)),
    ));
    rows
}

/// One row a county, and one for all.
pub fn loop_rows(tables: &Tables, counties: &[(RegionCode, String)]) -> impl Iterator<Item = Vec<String>> {
    counts(tables, counties).into_iter().map(|(name, count)| {
        let median = count
            .median()
            .map(|seconds| format!("{} min {:02} s", seconds / 60, seconds % 60));
        vec![
            name,
            count.issued.to_string(),
            count.seconds.len().to_string(),
            count.in_time.to_string(),
            count.escalated.to_string(),
            count.archived.to_string(),
            median.unwrap_or_default(),
        ]
    })
}

/// The same for machines.
pub fn loop_summary(tables: &Tables, counties: &[(RegionCode, String)]) -> Vec<Value> {
    let rows = counts(tables, counties).into_iter();
    rows.map(|(name, count)| {
        json!({
            "county": name,
            "issued": count.issued,
            "acknowledged": count.seconds.len(),
            "in_time": count.in_time,
            "escalated": count.escalated,
            "archived": count.archived,
            "median_seconds": count.median(),
        })
    })
    .collect()
}
