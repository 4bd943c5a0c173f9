//! Every path that is served beside the lists, said once: the router, `/` and the [OpenAPI document](super::openapi) go by it.

use riskflow_model::topic::Topic;

/// A path with its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Region,
    Asset,
    AssetExplanation,
    Warning,
    WarningExplanation,
    KnownWarnings,
    PastWarning,
    Case,
    Difference,
    Events,
    Act,
    Promote,
    TakeCheckpoint,
    Checkpoint,
    Index,
    OpenApi,
    Metrics,
    Dataflow,
    Health,
    Ready,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Region,
        Self::Asset,
        Self::AssetExplanation,
        Self::Warning,
        Self::WarningExplanation,
        Self::KnownWarnings,
        Self::PastWarning,
        Self::Case,
        Self::Difference,
        Self::Events,
        Self::Act,
        Self::Promote,
        Self::TakeCheckpoint,
        Self::Checkpoint,
        Self::Index,
        Self::OpenApi,
        Self::Metrics,
        Self::Dataflow,
        Self::Health,
        Self::Ready,
    ];

    /// The path, with its parameter in braces.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Region => "/api/v1/regions/{code}",
            Self::Asset => "/api/v1/assets/{id}",
            Self::AssetExplanation => "/api/v1/assets/{id}/explanation",
            Self::Warning => "/api/v1/warnings/{id}",
            Self::WarningExplanation => "/api/v1/warnings/{id}/explanation",
            Self::KnownWarnings => "/api/v1/warnings/known",
            Self::PastWarning => "/api/v1/warnings/history/{id}",
            Self::Case => "/api/v1/cases/{id}",
            Self::Difference => "/api/v1/rulesets/{set}/difference",
            Self::Events => "/api/v1/events",
            Self::Act => "/api/v1/warnings/{id}/actions",
            Self::Promote => "/api/v1/rulesets/{set}/promote",
            Self::TakeCheckpoint => "/api/v1/checkpoints",
            Self::Checkpoint => "/api/v1/checkpoints/{request}",
            Self::Index => "/",
            Self::OpenApi => "/openapi.json",
            Self::Metrics => "/metrics",
            Self::Dataflow => "/debug/dataflow",
            Self::Health => "/healthz",
            Self::Ready => "/readyz",
        }
    }

    /// What it gives or does, for people.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Region => "one region, every domain",
            Self::Asset => "one asset",
            Self::AssetExplanation => {
                "what the rules said of it at the time `at`, and why not more; `as_of`, `rule`, `all_rules` as for `riskflow explain`"
            }
            Self::Warning => "one open warning with its last delta, which says why",
            Self::WarningExplanation => {
                "why it was raised, every change since, and how it stands; `as_of`: by what was told then"
            }
            Self::KnownWarnings => {
                "which warnings were open at the time `at`, by what was told by `as_of`; `within`, `rule` as for `riskflow explain`"
            }
            Self::PastWarning => "one warning that is over",
            Self::Case => "one case",
            Self::Difference => "where a set warns otherwise than the live one; narrowed as the list is",
            Self::Events => "changes of warnings as they are committed, as server-sent events",
            Self::Act => "appends an action to `in.action`, where `http.actions` is on",
            Self::Promote => "makes a rule set live, where `http.actions` is on",
            Self::TakeCheckpoint => "asks for a checkpoint now; with `pin` it is kept under that name",
            Self::Checkpoint => "what became of a request for a checkpoint",
            Self::Index => "all that there is",
            Self::OpenApi => "all that there is, as OpenAPI 3.1",
            Self::Metrics => "metrics, as Prometheus reads them",
            Self::Dataflow => {
                "what each operator does: time, runs, batches, records, arrangements; where `http.dataflow` is on"
            }
            Self::Health => "200 while the process is alive",
            Self::Ready => "the state of the process: 200 while it is live, else 503 and why",
        }
    }

    /// Whether it is asked by POST, for it changes something; else by GET.
    pub const fn is_post(self) -> bool {
        matches!(self, Self::Act | Self::Promote | Self::TakeCheckpoint)
    }

    /// Whether it asks for a token: then it is one of the way in, and not among what only reads.
    pub const fn needs_token(self) -> bool {
        matches!(
            self,
            Self::Act | Self::Promote | Self::TakeCheckpoint | Self::Checkpoint
        )
    }

    /// Whether whoever reaches it may read it, whatever `http.reading` says. Metrics have a setting of their own.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Metrics | Self::Health | Self::Ready | Self::OpenApi)
    }

    /// Whether it asks for a token where `http.reading` says so.
    pub const fn may_need_token(self) -> bool {
        !self.needs_token() && (matches!(self, Self::Metrics) || !self.is_open())
    }

    /// Whether it is an explanation.
    pub const fn explains(self) -> bool {
        matches!(
            self,
            Self::AssetExplanation | Self::WarningExplanation | Self::KnownWarnings
        )
    }

    /// Whether it answers from the tables: 503 where there are none.
    pub const fn needs_tables(self) -> bool {
        match self {
            Self::Region
            | Self::Asset
            | Self::AssetExplanation
            | Self::Warning
            | Self::WarningExplanation
            | Self::KnownWarnings
            | Self::PastWarning
            | Self::Case
            | Self::Difference
            | Self::Events
            | Self::Act
            | Self::Promote => true,
            Self::TakeCheckpoint
            | Self::Checkpoint
            | Self::Index
            | Self::OpenApi
            | Self::Metrics
            | Self::Dataflow
            | Self::Health
            | Self::Ready => false,
        }
    }

    /// The topic whose rows it gives, if it gives any.
    pub fn topic(self) -> Option<Topic> {
        match self {
            Self::Region => Some(Topic::RISK_REGION),
            Self::Asset => Some(Topic::RISK_ASSET),
            Self::Warning => Some(Topic::WARNING_STATE),
            Self::PastWarning => Some(Topic::WARNING_HISTORY),
            Self::Case => Some(Topic::CASE_STATE),
            Self::Difference => Some(Topic::RULESET_DIFFERENCE),
            Self::Events => Some(Topic::WARNING_DELTA),
            Self::AssetExplanation
            | Self::WarningExplanation
            | Self::KnownWarnings
            | Self::Act
            | Self::Promote
            | Self::TakeCheckpoint
            | Self::Checkpoint
            | Self::Index
            | Self::OpenApi
            | Self::Metrics
            | Self::Dataflow
            | Self::Health
            | Self::Ready => None,
        }
    }

    /// The name of the parameter in the path, if it has one.
    pub fn parameter(self) -> Option<&'static str> {
        let (_, rest) = self.path().split_once('{')?;
        Some(rest.split_once('}')?.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_endpoints_have_the_same_path_and_method() {
        let paths = Endpoint::ALL.map(|endpoint| (endpoint.path(), endpoint.is_post()));
        let paths = BTreeSet::from(paths);
        assert_eq!(paths.len(), Endpoint::ALL.len());
        assert_eq!(Endpoint::Difference.parameter(), Some("set"));
        assert_eq!(Endpoint::Events.parameter(), None);
    }
}
