//! What lists of an output table are narrowed by.

use crate::output::CaseStep;
use crate::{Domain, DomainScope, Level, RegionCode};

/// How a table is listed over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What stands in the path of the list.
    pub name: &'static str,
    /// What its rows are, for people.
    pub about: &'static str,
    /// What it may be narrowed by.
    pub filters: &'static [Filter],
    /// Which of a region's rows are shown where no domain is asked for. Then there is one row a region: rows stand in the order of
    /// regions, and are known by these.
    pub scope: Option<DomainScope>,
}

/// What a list may be narrowed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Rows of a region and all regions within.
    Within,
    /// Rows of regions of a tier.
    Tier,
    /// Rows of a domain.
    Domain,
    /// Rows of assets of a category.
    Category,
    /// Rows of a rule.
    Rule,
    /// Rows of a module of reports.
    Module,
    /// Cases at a step.
    Step,
    /// Rows at a level or above.
    Least,
    /// Rows of a kind.
    Kind,
    /// Rows of a rule set.
    Set,
    /// Rows of a gauge.
    Gauge,
}

impl Filter {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Within,
        Self::Tier,
        Self::Domain,
        Self::Category,
        Self::Rule,
        Self::Module,
        Self::Step,
        Self::Least,
        Self::Kind,
        Self::Set,
        Self::Gauge,
    ];

    /// The name of the parameter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Within => "within",
            Self::Tier => "tier",
            Self::Domain => "domain",
            Self::Category => "category",
            Self::Rule => "rule",
            Self::Module => "module",
            Self::Step => "step",
            Self::Least => "least",
            Self::Kind => "kind",
            Self::Set => "set",
            Self::Gauge => "gauge",
        }
    }
}

/// What a row has of that by which lists are narrowed. Where a row has nothing, no filter of that sort fits it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facets<'a> {
    /// Where it is.
    pub region: Option<RegionCode>,
    /// The domain that it belongs to.
    pub domain: Option<Domain>,
    /// The domain, or all of them, that it sums up.
    pub scope: Option<DomainScope>,
    /// The category of its asset.
    pub category: Option<&'a str>,
    /// Its rule.
    pub rule: Option<&'a str>,
    /// Its module of reports.
    pub module: Option<&'a str>,
    /// Its step.
    pub step: Option<CaseStep>,
    /// Its level.
    pub level: Option<Level>,
    /// Its kind.
    pub kind: Option<&'a str>,
    /// Its rule set.
    pub set: Option<&'a str>,
    /// Its gauge.
    pub gauge: Option<&'a str>,
}
