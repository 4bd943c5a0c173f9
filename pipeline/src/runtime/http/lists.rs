//! What can be listed, and what a list can be narrowed by. The same table routes, checks requests, and tells at `/`.

use std::fmt::Display;
use std::sync::LazyLock;

use riskflow_config::Unmatched;
use riskflow_model::output::CaseStep;
use riskflow_model::topic::Topic;
use riskflow_model::{DomainScope, Facets, Filter, Level, Listed, OutputRow, RegionCode, Tier};
use serde::de::value::{Error, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer as _};

use crate::runtime::views::Tables;

/// How many items a page has where nothing is asked for, and at most.
pub(super) const PAGE: usize = 100;
pub(super) const LARGEST_PAGE: usize = 10_000;

/// The tiers of statistical codes.
pub(super) const TIERS: [&str; 5] = ["province", "city", "county", "town", "village"];

/// The values of a filter, for people.
pub(super) fn values(filter: Filter) -> String {
    match filter {
        Filter::Within => "a region code: this region and all within".to_owned(),
        Filter::Tier => one_of(TIERS),
        Filter::Domain => one_of(DomainScope::EACH.map(DomainScope::name)),
        Filter::Category => "a category of assets, exactly".to_owned(),
        Filter::Rule => "the identifier of a rule, exactly".to_owned(),
        Filter::Module => "a module of reports, exactly".to_owned(),
        Filter::Step => one_of(CaseStep::ALL.map(CaseStep::name)),
        Filter::Kind => one_of(Unmatched::KINDS),
        Filter::Set => "the name of a rule set, exactly".to_owned(),
        Filter::Gauge => "the identifier of a gauge, exactly".to_owned(),
        Filter::Least => format!("this level or above: {}", one_of(Level::ALL.map(Level::name))),
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
    pub set: Option<String>,
    pub gauge: Option<String>,
    /// Whoever asks sees nothing but this region and what lies within it. No parameter says so: its token does.
    pub seen: Option<RegionCode>,
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
            set: None,
            gauge: None,
            seen: None,
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
            "after" => {
                let fits = list.about.scope.is_none() || value.parse::<RegionCode>().is_ok();
                let after = fits.then(|| Some(value.to_owned()));
                return set(
                    &mut self.after,
                    after,
                    name,
                    value,
                    &"a region code, as `next` of the page before says",
                );
            }
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
        let Some(filter) = filter.filter(|filter| list.about.filters.contains(filter)) else {
            return Err(format!(
                "`{}` is `{}`, which {} cannot be narrowed by; {}",
                cut(name),
                cut(value),
                list.about.name,
                list.takes()
            ));
        };
        let give = values(filter);
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
            Filter::Set => set(&mut self.set, text(value), name, value, &give),
            Filter::Gauge => set(&mut self.gauge, text(value), name, value, &give),
        }
    }

    /// The filters of which the values are not known beforehand, each by itself, with name and value.
    pub fn open(&self) -> impl Iterator<Item = (&'static str, String, Self)> {
        let alone = || Self {
            seen: self.seen,
            ..Self::default()
        };
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
        let set = self.set.clone().map(|value| {
            let one = Self {
                set: Some(value.clone()),
                ..alone()
            };
            ("set", value, one)
        });
        let gauge = self.gauge.clone().map(|value| {
            let one = Self {
                gauge: Some(value.clone()),
                ..alone()
            };
            ("gauge", value, one)
        });
        [within, category, rule, module, set, gauge].into_iter().flatten()
    }

    /// Whether a row is asked for.
    pub fn fits(&self, tables: &Tables, row: Facets<'_>) -> bool {
        let lies = |within| row.region.is_some_and(|region| tables.within(region, within));
        let domain = |wanted| match row.scope {
            Some(scope) => scope == wanted,
            None => row
                .domain
                .is_some_and(|domain| wanted == DomainScope::All || wanted == DomainScope::One(domain)),
        };
        self.within.is_none_or(lies)
            && self.seen.is_none_or(lies)
            && self
                .tier
                .is_none_or(|tier| row.region.and_then(RegionCode::tier) == Some(tier))
            && self.domain.is_none_or(domain)
            && self.least.is_none_or(|least| row.level.unwrap_or_default() >= least)
            && self.step.is_none_or(|step| row.step == Some(step))
            && self.kind.is_none_or(|kind| row.kind == Some(kind))
            && is(self.category.as_deref(), row.category)
            && is(self.rule.as_deref(), row.rule)
            && is(self.module.as_deref(), row.module)
            && is(self.set.as_deref(), row.set)
            && is(self.gauge.as_deref(), row.gauge)
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

fn is(wanted: Option<&str>, found: Option<&str>) -> bool {
    wanted.is_none() || wanted == found
}

/// For messages: what others wrote may be long.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(100)]
}

/// Sees rows one by one, in the order of the list; the key, whether the row comes behind [`Query::after`], and the row.
pub(super) type Each<'a> = &'a mut dyn FnMut(&str, bool, &OutputRow);

/// A list.
pub(super) struct List {
    pub topic: Topic,
    pub about: &'static Listed,
}

/// All of them: one for each output table that says how it is listed.
pub(super) static LISTS: LazyLock<Vec<List>> = LazyLock::new(|| {
    let lists = Topic::output_tables().filter_map(|topic| {
        Some(List {
            topic,
            about: topic.list()?,
        })
    });
    lists.collect()
});

impl List {
    /// Where it is.
    pub fn path(&self) -> String {
        format!("/api/v1/{}", self.about.name)
    }

    /// Whether its rows lie in regions, so that whoever sees a part of the city may read a part of it.
    pub fn is_by_region(&self) -> bool {
        self.about.filters.contains(&Filter::Within)
    }

    /// What it takes, for people.
    pub fn takes(&self) -> String {
        let filters = self.about.filters.iter();
        let filters: Vec<String> = filters.map(|filter| format!("`{}`", filter.name())).collect();
        format!("give {}, `limit`, `after` or `offset`", filters.join(", "))
    }

    /// Shows the rows that are asked for, whatever page.
    pub fn rows(&self, tables: &Tables, query: &Query, each: Each<'_>) {
        if let Some(scope) = self.about.scope {
            return self.by_region(tables, query, query.domain.unwrap_or(scope), each);
        }
        for (key, row) in tables.on(self.topic) {
            if query.fits(tables, row.facets()) {
                let behind = query.after.as_deref().is_none_or(|after| **key > *after);
                each(key, behind, row);
            }
        }
    }

    /// Codes are in the order of regions, which is not that of their texts.
    fn by_region(&self, tables: &Tables, query: &Query, scope: DomainScope, each: Each<'_>) {
        let after = query.after.as_deref();
        let after: Option<RegionCode> =
            after.map(|after| after.parse().expect("`Query::parse` refuses what is no code"));
        let mut rows: Vec<(RegionCode, &OutputRow)> = Vec::new();
        for (_, row) in tables.on(self.topic) {
            let facets = row.facets();
            if facets.scope == Some(scope) && query.fits(tables, facets) {
                rows.extend(facets.region.map(|region| (region, row)));
            }
        }
        rows.sort_by_key(|(region, _)| *region);
        for (region, row) in rows {
            each(&region.to_string(), after.is_none_or(|after| region > after), row);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn parse(list: &str, given: &str) -> Result<Query, String> {
        let list = LISTS.iter().find(|known| known.about.name == list).unwrap();
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
            "set=strict",
            "gauge=smoke",
        ];
        for list in LISTS.iter().map(|list| list.about) {
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
                let named = list.filters.iter().all(|filter| said.contains(filter.name()));
                assert!(said.starts_with(&begin) && named, "{said}");
            }
        }
    }

    #[test]
    fn what_is_not_by_region_has_no_row_in_one() {
        let others: Vec<&str> = LISTS
            .iter()
            .filter(|list| !list.is_by_region())
            .map(|list| list.about.name)
            .collect();
        assert_eq!(BTreeSet::from_iter(others), BTreeSet::from(["rulesets", "unmatched"]));
        // No parameter widens what is seen, and none narrows it.
        for list in LISTS.iter() {
            assert!(parse(list.about.name, "seen=33").is_err(), "{}", list.about.name);
        }
    }

    #[test]
    fn a_page_of_regions_goes_on_behind_a_code_only() {
        assert_eq!(
            parse("regions", "after=330903").unwrap().after.as_deref(),
            Some("330903")
        );
        let said = parse("regions", "after= 33").unwrap_err();
        assert!(said.starts_with("`after` is ` 33`; give a region code"), "{said}");
        assert!(parse("cases", "after= 33").is_ok(), "keys of cases are texts");
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
