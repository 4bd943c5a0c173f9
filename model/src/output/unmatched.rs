//! What meets nothing, and pairs of records that are wrong together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{Asset, Datastream};
use crate::rule::RuleRecord;
use crate::topic::{Record, Shape, Spec};
use crate::{Facets, Filter, Id, Listed, Millis, OutputRecord, RegionCode, Text, joined};

/// A row of `out.unmatched`, keyed by `kind/id`, `kind/id/rule` or `kind/id/rule/part`: something that has met nothing for as long as
/// `unmatched.after` says, or a pair of records that is wrong together. Of each kind the first 1,000 in the order of these parts stand
/// here, and one row, keyed by the kind, that says how many there are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Unmatched {
    /// What it is: `no_asset`, `rule_missing`, `not_selected`, `names_nothing`, `beyond`, `out_of_order`, `never_holds`, `never_clears`,
    /// `unit`, `asset_rule_missing`, `asset_not_selected`, `asset_names_nothing`, `region_rule_missing`, `region_names_nothing`, `no_gauge`,
    /// which are mistakes; `no_rule`, `unset`, `no_datastream`, `selects_nothing`, which may be meant so.
    pub kind: Text,
    /// The datastream, if it is about one.
    pub datastream: Option<Id<Datastream>>,
    /// The rule, if it is about one.
    pub rule: Option<Id<RuleRecord>>,
    /// The asset, if it is about one.
    pub asset: Option<Id<Asset>>,
    /// Which threshold of the datastream, asset or region, or level of the rule, where there may be several.
    pub part: Option<Text>,
    /// The same for people, and what holds meanwhile.
    pub problem: Text,
    /// Since when it has been so; absent in the row of a kind.
    pub since: Option<Millis>,
    /// Whether it is a mistake that somebody must mend.
    pub alerts: bool,
    /// Only in the row of a kind: how many there are.
    pub count: Option<u64>,
    /// The region, if it is about one.
    pub region: Option<RegionCode>,
}

impl Record for Unmatched {
    const SPEC: Spec = Spec {
        id: 521,
        name: "out.unmatched",
        shape: Shape::OutputTable,
        key: "kind or kind/id/rule/part",
        capability: None,
        example: "",
    };
}

impl OutputRecord for Unmatched {
    const LIST: Option<Listed> = Some(Listed {
        name: "unmatched",
        about: "what has met nothing for a while, and records that are wrong together: the first of each kind, and how many there are",
        filters: &[Filter::Kind, Filter::Rule],
        scope: None,
    });

    fn key(&self) -> Text {
        let region = self.region.map(|region| region.to_string());
        let about = self
            .datastream
            .as_deref()
            .or(self.asset.as_deref())
            .or(region.as_deref());
        let [id, rule] = match (about, self.rule.as_deref()) {
            (Some(_), rule) => [about, rule],
            (None, rule) => [rule, None],
        };
        let parts: Vec<&str> = [Some(&*self.kind), id, rule, self.part.as_deref()]
            .into_iter()
            .flatten()
            .collect();
        joined(&parts).into()
    }

    fn facets(&self) -> Facets<'_> {
        Facets {
            rule: self.rule.as_deref(),
            kind: Some(&self.kind),
            ..Facets::default()
        }
    }
}

impl Unmatched {
    /// So many of each kind stand in the table.
    pub const LISTED: usize = 1_000;
}
