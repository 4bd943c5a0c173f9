//! What can be listed, and what a list can be narrowed by. The same table routes, checks requests, and tells at `/`.

use std::fmt::Display;

use riskflow_config::Unmatched;
use riskflow_model::output::CaseStep;
use riskflow_model::{Domain, DomainScope, Level, RegionCode, Tier};
use serde::Serialize;
use serde::de::value::{Error, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer as _};

use crate::views::Tables;

/// How many items a page has where nothing is asked for, and at most.
pub(super) const PAGE: usize = 100;
pub(super) const LARGEST_PAGE: usize = 10_000;

/// What a list may be narrowed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    Within,
    Tier,
    Domain,
    Category,
    Rule,
    Module,
    Step,
    Least,
    Kind,
}

impl Filter {
    const ALL: [Self; 9] = [
        Self::Within,
        Self::Tier,
        Self::Domain,
        Self::Category,
        Self::Rule,
        Self::Module,
        Self::Step,
        Self::Least,
        Self::Kind,
    ];

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
        }
    }

    /// Its values, for people.
    pub fn values(self) -> String {
        match self {
            Self::Within => "a region code: this region and all within".to_owned(),
            // Of statistical codes only.
            Self::Tier => one_of(["province", "city", "county", "town", "village"]),
            Self::Domain => one_of(DomainScope::EACH.map(DomainScope::name)),
            Self::Category => "a category of assets, exactly".to_owned(),
            Self::Rule => "the identifier of a rule, exactly".to_owned(),
            Self::Module => "a module of reports, exactly".to_owned(),
            Self::Step => one_of(CaseStep::ALL.map(CaseStep::name)),
            Self::Kind => one_of(Unmatched::KINDS),
            Self::Least => format!("this level or above: {}", one_of(Level::ALL.map(Level::name))),
        }
    }
}

fn one_of<const N: usize>(names: [&str; N]) -> String {
    format!("one of {}", names.map(|name| format!("`{name}`")).join(", "))
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Query {
    pub within: Option<RegionCode>,
    pub tier: Option<Tier>,
    pub domain: Option<DomainScope>,
    pub category: Option<String>,
    pub rule: Option<String>,
    pub module: Option<String>,
    pub step: Option<CaseStep>,
    pub least: Option<Level>,
    pub kind: Option<&'static str>,
    /// So many that would be shown are passed over.
    pub offset: usize,
    /// Only what comes behind this key is shown.
    pub after: Option<String>,
    /// At most so many are shown.
    pub limit: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            within: None,
            tier: None,
            domain: None,
            category: None,
            rule: None,
            module: None,
            step: None,
            least: None,
            kind: None,
            offset: 0,
            after: None,
            limit: PAGE,
        }
    }
}

impl Query {
    /// What was asked of a list; or everything that is wrong with it.
    pub fn parse(list: &List, given: &[(String, String)]) -> Result<Self, String> {
        let mut query = Self::default();
        let mut problems = Vec::new();
        for (index, (name, value)) in given.iter().enumerate() {
            if given.iter().take(index).any(|(other, _)| other == name) {
                problems.push(format!("`{}` is given twice", cut(name)));
            } else if let Err(problem) = query.take(list, name, value) {
                problems.push(problem);
            }
        }
        if problems.is_empty() {
            return Ok(query);
        }
        Err(problems.join("; "))
    }

    fn take(&mut self, list: &List, name: &str, value: &str) -> Result<(), String> {
        match name {
            "offset" => return set(&mut self.offset, value.parse().ok(), name, value, &"a number of items"),
            "after" => return set(&mut self.after, Some(Some(value.to_owned())), name, value, &"a key"),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| *limit <= LARGEST_PAGE);
                return set(
                    &mut self.limit,
                    limit,
                    name,
                    value,
                    &format!("a number up to {LARGEST_PAGE}"),
                );
            }
            _ => {}
        }
        let filter = Filter::ALL.into_iter().find(|filter| filter.name() == name);
        let Some(filter) = filter.filter(|filter| list.filters.contains(filter)) else {
            return Err(format!(
                "`{}` is `{}`, which {} cannot be narrowed by; {}",
                cut(name),
                cut(value),
                list.name,
                list.takes()
            ));
        };
        let give = filter.values();
        match filter {
            Filter::Within => set(&mut self.within, one(value), name, value, &give),
            Filter::Tier => set(&mut self.tier, one(value), name, value, &give),
            Filter::Domain => set(&mut self.domain, one(value), name, value, &give),
            Filter::Category => set(&mut self.category, text(value), name, value, &give),
            Filter::Rule => set(&mut self.rule, text(value), name, value, &give),
            Filter::Module => set(&mut self.module, text(value), name, value, &give),
            Filter::Step => set(&mut self.step, one(value), name, value, &give),
            Filter::Least => set(&mut self.least, one(value), name, value, &give),
            Filter::Kind => {
                let kind = Unmatched::KINDS.into_iter().find(|kind| *kind == value);
                set(&mut self.kind, kind.map(Some), name, value, &give)
            }
        }
    }

    /// The filters of which the values are not known beforehand, each by itself, with name and value.
    pub fn open(&self) -> impl Iterator<Item = (&'static str, String, Self)> {
        let alone = Self::default;
        let within = self.within.map(|within| {
            let one = Self {
                within: Some(within),
                ..alone()
            };
            ("within", within.to_string(), one)
        });
        let category = self.category.clone().map(|value| {
            let one = Self {
                category: Some(value.clone()),
                ..alone()
            };
            ("category", value, one)
        });
        let rule = self.rule.clone().map(|value| {
            let one = Self {
                rule: Some(value.clone()),
                ..alone()
            };
            ("rule", value, one)
        });
        let module = self.module.clone().map(|value| {
            let one = Self {
                module: Some(value.clone()),
                ..alone()
            };
            ("module", value, one)
        });
        [within, category, rule, module].into_iter().flatten()
    }

    fn region(&self, tables: &Tables, region: RegionCode) -> bool {
        self.within.is_none_or(|within| tables.within(region, within))
            && self.tier.is_none_or(|tier| region.tier() == Some(tier))
    }

    fn domain(&self, domain: Domain) -> bool {
        self.domain
            .is_none_or(|wanted| wanted == DomainScope::All || wanted == DomainScope::One(domain))
    }

    fn level(&self, level: Level) -> bool {
        self.least.is_none_or(|least| level >= least)
    }
}

fn set<T>(field: &mut T, parsed: Option<T>, name: &str, value: &str, give: &dyn Display) -> Result<(), String> {
    *field = parsed.ok_or_else(|| format!("`{name}` is `{}`; give {give}", cut(value)))?;
    Ok(())
}

/// A value as on the topics; the outer level says whether it is one.
fn one<T: DeserializeOwned>(value: &str) -> Option<Option<T>> {
    let deserializer: StrDeserializer<'_, Error> = value.into_deserializer();
    T::deserialize(deserializer).ok().map(Some)
}

fn text(value: &str) -> Option<Option<String>> {
    (!value.is_empty()).then(|| Some(value.to_owned()))
}

fn is(wanted: Option<&String>, found: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == found)
}

/// For messages: what others wrote may be long.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(100)]
}

/// A row as JSON.
pub(super) trait Row {
    fn write(&self, into: &mut Vec<u8>);
}

impl<T: Serialize> Row for T {
    fn write(&self, into: &mut Vec<u8>) {
        serde_json::to_writer(into, self).expect("a row went to its topic as JSON");
    }
}

/// Sees rows one by one, in the order of their keys; the key, whether the row comes behind [`Query::after`], and the row.
pub(super) type Each<'a> = &'a mut dyn FnMut(&str, bool, &dyn Row);

/// A list.
pub(super) struct List {
    /// What stands in its path.
    pub name: &'static str,
    /// What its rows are.
    pub about: &'static str,
    /// What it may be narrowed by.
    pub filters: &'static [Filter],
    /// The rows that are asked for, whatever page.
    pub rows: fn(&Tables, &Query, Each<'_>),
}

impl List {
    /// What it takes, for people.
    pub fn takes(&self) -> String {
        let filters: Vec<String> = self
            .filters
            .iter()
            .map(|filter| format!("`{}`", filter.name()))
            .collect();
        format!("give {}, `limit`, `after` or `offset`", filters.join(", "))
    }
}

/// All of them.
pub(super) static LISTS: [List; 7] = [
    List {
        name: "regions",
        about: "risk of regions, of one domain (`all` where none is given); from province to village, then those of other codes",
        filters: &[Filter::Within, Filter::Tier, Filter::Domain, Filter::Least],
        rows: regions,
    },
    List {
        name: "assets",
        about: "risk of assets",
        filters: &[Filter::Within, Filter::Domain, Filter::Category, Filter::Least],
        rows: assets,
    },
    List {
        name: "warnings",
        about: "open warnings",
        filters: &[Filter::Within, Filter::Domain, Filter::Rule, Filter::Least],
        rows: warnings,
    },
    List {
        name: "cases",
        about: "cases: the closed loop of warnings and incidents",
        filters: &[
            Filter::Within,
            Filter::Domain,
            Filter::Rule,
            Filter::Step,
            Filter::Least,
        ],
        rows: cases,
    },
    List {
        name: "responses",
        about: "how fast cases are acknowledged and resolved, by region and domain; and by unit, where none of the three is given",
        filters: &[Filter::Within, Filter::Tier, Filter::Domain],
        rows: responses,
    },
    List {
        name: "reports",
        about: "totals of reports, by region, module, kind and quantity",
        filters: &[Filter::Within, Filter::Tier, Filter::Module],
        rows: reports,
    },
    List {
        name: "unmatched",
        about: "what has met nothing for a while, and records that are wrong together: the first of each kind, and how many there are",
        filters: &[Filter::Kind, Filter::Rule],
        rows: unmatched,
    },
];

/// Whether a key comes behind what was seen.
fn behind(query: &Query, key: &str) -> bool {
    query.after.as_deref().is_none_or(|after| key > after)
}

fn regions(tables: &Tables, query: &Query, each: Each<'_>) {
    let domain = query.domain.unwrap_or(DomainScope::All);
    // Codes are in the order of regions, which is not that of their texts. One that is no code comes before all.
    let after: Option<RegionCode> = query.after.as_deref().and_then(|after| after.parse().ok());
    for row in tables.regions.values() {
        if row.domain == domain && query.region(tables, row.region) && query.level(row.level) {
            let behind = after.is_none_or(|after| row.region > after);
            each(&row.region.to_string(), behind, row.as_ref());
        }
    }
}

fn assets(tables: &Tables, query: &Query, each: Each<'_>) {
    for (key, row) in &tables.assets {
        let fits = query.region(tables, row.region) && query.domain(row.domain) && query.level(row.level);
        if fits && is(query.category.as_ref(), &row.category) {
            each(key, behind(query, key), row.as_ref());
        }
    }
}

fn warnings(tables: &Tables, query: &Query, each: Each<'_>) {
    for (key, row) in &tables.warnings {
        let fits = query.region(tables, row.region) && query.domain(row.domain) && query.level(row.level);
        if fits && is(query.rule.as_ref(), &row.rule) {
            each(key, behind(query, key), row.as_ref());
        }
    }
}

fn cases(tables: &Tables, query: &Query, each: Each<'_>) {
    for (key, row) in &tables.cases {
        let fits = query.region(tables, row.region) && query.domain(row.domain) && query.level(row.level);
        if fits && is(query.rule.as_ref(), &row.rule) && query.step.is_none_or(|step| step == row.step) {
            each(key, behind(query, key), row.as_ref());
        }
    }
}

/// Rows of units have neither region nor domain.
fn responses(tables: &Tables, query: &Query, each: Each<'_>) {
    for (key, row) in &tables.responses {
        let fits = match row.region {
            Some(region) => {
                query.region(tables, region) && query.domain.is_none_or(|domain| row.domain == Some(domain))
            }
            None => query.within.is_none() && query.tier.is_none() && query.domain.is_none(),
        };
        if fits {
            each(key, behind(query, key), row.as_ref());
        }
    }
}

fn reports(tables: &Tables, query: &Query, each: Each<'_>) {
    for (key, row) in &tables.totals {
        if query.region(tables, row.region) && is(query.module.as_ref(), &row.module) {
            each(key, behind(query, key), row.as_ref());
        }
    }
}

fn unmatched(tables: &Tables, query: &Query, each: Each<'_>) {
    for (key, row) in &tables.unmatched {
        let of_rule = query.rule.is_none() || row.rule.as_deref() == query.rule.as_deref();
        if of_rule && query.kind.is_none_or(|kind| *row.kind == *kind) {
            each(key, behind(query, key), row.as_ref());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(list: &str, given: &str) -> Result<Query, String> {
        let list = LISTS.iter().find(|known| known.name == list).unwrap();
        let pairs = given.split('&').filter(|pair| !pair.is_empty());
        let pairs: Vec<_> = pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Query::parse(list, &pairs)
    }

    #[test]
    fn each_list_takes_its_filters_and_refuses_the_others_by_name() {
        let samples = [
            "within=3309",
            "tier=county",
            "domain=work_safety",
            "category=tank",
            "rule=gas",
            "module=shelter",
            "step=issued",
            "least=red",
            "kind=unit",
        ];
        for list in &LISTS {
            for (filter, sample) in Filter::ALL.into_iter().zip(samples) {
                let parsed = parse(list.name, sample);
                if list.filters.contains(&filter) {
                    assert_ne!(parsed.unwrap(), Query::default(), "{} {sample}", list.name);
                    continue;
                }
                let (name, value) = sample.split_once('=').unwrap();
                let said = parsed.unwrap_err();
                let begin = format!(
                    "`{name}` is `{value}`, which {} cannot be narrowed by; give `{}`",
                    list.name,
                    list.filters[0].name()
                );
                assert!(
                    said.starts_with(&begin) && said.contains(list.filters[1].name()),
                    "{said}"
                );
            }
        }
    }

    #[test]
    fn all_that_is_wrong_comes_at_once_with_what_to_give() {
        let said = parse(
            "cases",
            "within= 33&step=nowhere&least=&limit=10001&offset=-1&colour=red&rule=&rule=a",
        )
        .unwrap_err();
        for part in [
            "`within` is ` 33`; give a region code",
            "`step` is `nowhere`; give one of `issued`, `called`",
            "`least` is ``; give this level or above: one of `none`",
            "`limit` is `10001`; give a number up to 10000",
            "`offset` is `-1`; give a number of items",
            "`colour` is `red`, which cases cannot be narrowed by",
            "`rule` is ``; give the identifier of a rule",
            "`rule` is given twice",
        ] {
            assert!(said.contains(part), "{part} is not in: {said}");
        }
    }
}
