//! Input records as decoded: what sources hand to the dataflow.

use riskflow_model::base::{Asset, Datastream, Region};
use riskflow_model::observation::Observation;
use riskflow_model::{Key, Shared, Text};
use serde::{Deserialize, Serialize};

use crate::Rule;

/// A record of an input topic, decoded and checked. A base record without a row deletes.
#[derive(Clone, Debug, PartialEq)]
pub enum InputRecord {
    /// Of `in.observation`.
    Observation(Observation),
    /// Of a base topic or `in.rule`: the key of its identifier, and its row.
    Base(Key, Option<BaseRow>),
}

/// A row of one of the base tables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BaseRow {
    /// Of `base.region`.
    Region(Shared<Region>),
    /// Of `base.asset`.
    Asset(Shared<Asset>),
    /// Of `base.datastream`.
    Datastream(Shared<Datastream>),
    /// Of `in.rule`.
    Rule(Rule),
}

impl BaseRow {
    /// The identifier that keys the row on its topic.
    #[must_use]
    pub fn id(&self) -> Text {
        match self {
            Self::Region(region) => region.code.to_string().into(),
            Self::Asset(asset) => asset.id.clone(),
            Self::Datastream(datastream) => datastream.id.clone(),
            Self::Rule(rule) => rule.record.id.clone(),
        }
    }

    /// The region, if it is one.
    #[must_use]
    pub fn region(self) -> Option<Shared<Region>> {
        if let Self::Region(row) = self { Some(row) } else { None }
    }

    /// The asset, if it is one.
    #[must_use]
    pub fn asset(self) -> Option<Shared<Asset>> {
        if let Self::Asset(row) = self { Some(row) } else { None }
    }

    /// The datastream, if it is one.
    #[must_use]
    pub fn datastream(self) -> Option<Shared<Datastream>> {
        if let Self::Datastream(row) = self {
            Some(row)
        } else {
            None
        }
    }

    /// The rule, if it is one.
    #[must_use]
    pub fn rule(self) -> Option<Rule> {
        if let Self::Rule(row) = self { Some(row) } else { None }
    }
}
