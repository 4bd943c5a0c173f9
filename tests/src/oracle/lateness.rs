//! The ledger of lateness: what was told with late data or a correction for its cause, counted one by one.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_model::base::Asset;
use riskflow_model::output::{Cause, DeltaKind};
use riskflow_model::{Millis, Text};
use serde_json::{Value, json};

use super::Told;
use super::table::Table;

/// Everything that was counted, one after the other.
#[derive(Default)]
pub(super) struct Ledger(Vec<Counted>);

/// One delta.
struct Counted {
    /// County and category.
    source: (String, String),
    cause: &'static str,
    kind: &'static str,
    epoch: i64,
}

impl Ledger {
    /// What was told in an epoch, of assets as they are after it.
    pub(super) fn step(&mut self, now: i64, told: &BTreeSet<Told>, assets: &Table<Asset>) {
        for delta in told {
            let cause = match delta.cause {
                Cause::LateData => "late_data",
                Cause::Correction => "correction",
                Cause::Clock | Cause::Data | Cause::BaseChange | Cause::RuleChange | Cause::Manual => continue,
            };
            let Some(asset) = assets.get(&delta.asset.key()) else {
                continue;
            };
            let region = asset.region.to_string();
            let is_statistical = region.bytes().all(|byte| byte.is_ascii_digit());
            let county = match region.len() {
                6 | 9 | 12 if is_statistical => region[..6].to_owned(),
                _ => region,
            };
            self.0.push(Counted {
                source: (county, asset.category.to_string()),
                cause,
                kind: kind(delta.kind),
                epoch: now,
            });
        }
    }

    /// The rows that there must be, by key; no category of the tests has what a key would write otherwise.
    pub(super) fn rows(&self) -> BTreeMap<Text, Value> {
        let sources: BTreeSet<&(String, String)> = self.0.iter().map(|one| &one.source).collect();
        let row = |source: &(String, String)| {
            let mine = || self.0.iter().filter(|one| one.source == *source);
            let count = |cause: &str| {
                let count = |kind: &str| mine().filter(|one| one.cause == cause && one.kind == kind).count();
                json!({ "raised": count("raised"), "escalated": count("escalated"), "eased": count("eased"),
                    "cleared": count("cleared"), "withdrawn": count("withdrawn"), "revised": count("revised"),
                    "recorded": count("recorded"), "amended": count("amended") })
            };
            let (region, category) = source;
            let row = json!({ "region": region, "category": category, "late_data": count("late_data"),
                "correction": count("correction"), "changed": mine().map(|one| one.epoch).max().map(Millis) });
            (format!("{region}/{category}").into(), row)
        };
        sources.into_iter().map(row).collect()
    }
}

const fn kind(kind: DeltaKind) -> &'static str {
    match kind {
        DeltaKind::Raised => "raised",
        DeltaKind::Escalated => "escalated",
        DeltaKind::Eased => "eased",
        DeltaKind::Cleared => "cleared",
        DeltaKind::Withdrawn => "withdrawn",
        DeltaKind::Revised => "revised",
        DeltaKind::Recorded => "recorded",
        DeltaKind::Amended => "amended",
    }
}
