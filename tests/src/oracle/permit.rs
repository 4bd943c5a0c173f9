//! Work under permit: at every border of any permit everything is counted anew.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_model::base::Asset;
use riskflow_model::intake::{Limit, Measure, Permit, PermitKind};
use riskflow_model::output::Cause;
use riskflow_model::{Id, Key, Level, Row, Shared, Text};

use super::level::Track;
use super::place::Places;
use super::table::Table;
use super::{Levels, Member, Watched};

/// What counts of permits and limits, and what the assets saw of them after the epoch before.
#[derive(Default)]
pub struct Permits {
    permits: Table<Permit>,
    limits: Table<Limit>,
    before: BTreeMap<Id<Asset>, Seen>,
}

/// What concerns one asset.
#[derive(Clone, Default, PartialEq)]
struct Seen {
    asset: Option<Shared<Asset>>,
    /// The regions that it lies in.
    chain: Vec<String>,
    limits: BTreeMap<Id<Limit>, Shared<Limit>>,
    works: BTreeSet<Shared<Permit>>,
    certificates: BTreeSet<Shared<Permit>>,
}

/// What follows for the entries of rules on datastreams' place: levels, and causes where something happened to the asset.
pub struct Permitted {
    pub levels: Levels,
    /// Of entries that came, went or are others.
    pub entries: BTreeMap<Member, Cause>,
    /// Of permits and certificates, by asset.
    pub papers: BTreeMap<Id<Asset>, Cause>,
}

impl Permits {
    /// A record of one of the three tables.
    pub fn base(&mut self, topic: u16, key: Key, row: Option<&Row>) {
        self.limits.apply(topic, key, row);
        self.permits.apply(topic, key, row);
    }

    /// What follows from the rows as of now.
    pub fn step(&mut self, now: i64, assets: &BTreeMap<Key, Shared<Asset>>, places: &Places) -> Permitted {
        let after = self.seen(assets, places);
        let before = std::mem::replace(&mut self.before, after.clone());
        let mut permitted = Permitted {
            levels: Levels::new(),
            entries: BTreeMap::new(),
            papers: BTreeMap::new(),
        };
        let names: BTreeSet<&Id<Asset>> = before.keys().chain(after.keys()).collect();
        for name in names {
            let nothing = Seen::default();
            let before = before.get(name).unwrap_or(&nothing);
            let after = after.get(name).unwrap_or(&nothing);
            let papers = papers(before, after);
            permitted.papers.extend(papers.map(|cause| (name.clone(), cause)));
            let member = |limit: &Id<Limit>| (limit.widen(), name.clone(), Watched::Limit);
            for (limit, cause) in causes(before, after, papers) {
                permitted.entries.insert(member(&limit), cause);
            }
            for (id, limit) in &after.limits {
                permitted
                    .levels
                    .insert(member(id), (self.track(limit, name, now), false));
            }
        }
        permitted
    }

    fn seen(&self, assets: &BTreeMap<Key, Shared<Asset>>, places: &Places) -> BTreeMap<Id<Asset>, Seen> {
        let mut seen: BTreeMap<Id<Asset>, Seen> = BTreeMap::new();
        for permit in self.permits.values().filter(|permit| permit.kind == PermitKind::Work) {
            let asset = permit.asset.clone().expect("work is done somewhere");
            seen.entry(asset).or_default().works.insert(permit.clone());
        }
        for (name, seen) in &mut seen {
            seen.asset = assets.values().find(|asset| asset.id == *name).cloned();
            for certificate in self
                .permits
                .values()
                .filter(|permit| permit.kind == PermitKind::Certificate)
            {
                let asked = seen.works.iter().any(|work| {
                    work.work_type == certificate.work_type
                        && work.holders.iter().any(|holder| certificate.holders.contains(holder))
                });
                if asked {
                    seen.certificates.insert(certificate.clone());
                }
            }
            if let Some(asset) = &seen.asset {
                seen.chain = places.chain(&asset.region.to_string());
                for limit in self.limits.values().filter(|limit| selects(limit, asset, places)) {
                    seen.limits.insert(limit.id.clone(), limit.clone());
                }
            }
        }
        seen
    }

    fn track(&self, limit: &Limit, asset: &Id<Asset>, now: i64) -> Track {
        let borders = self.permits.values().flat_map(|permit| {
            let cancelled = permit.cancelled_from.map(|time| time.0);
            [
                permit.valid_from.map(|time| time.0),
                permit.valid_to.map(|time| time.0),
                cancelled,
            ]
        });
        let borders: BTreeSet<i64> = borders.flatten().filter(|time| *time <= now).collect();
        let mut track = Track::new();
        for time in borders {
            let count = self.count(limit, asset, time);
            let reached = limit.levels.iter().filter(|(_, least)| count >= **least as usize);
            let level = reached.map(|(level, _)| *level).max().unwrap_or_default();
            if track.last().map_or(Level::None, |(_, level)| *level) != level {
                track.push((time, level));
            }
        }
        track
    }

    fn count(&self, limit: &Limit, asset: &Id<Asset>, time: i64) -> usize {
        let at_work = self.permits.values().filter(|permit| {
            permit.kind == PermitKind::Work
                && permit.asset.as_ref() == Some(asset)
                && limit.work_type.as_ref().is_none_or(|kind| *kind == permit.work_type)
                && in_force(permit, time)
        });
        match limit.measure {
            Measure::ConcurrentWork => at_work.count(),
            Measure::UncertifiedWork => at_work
                .map(|permit| {
                    let holders: BTreeSet<&Text> = permit.holders.iter().collect();
                    let certified = |holder: &Text| {
                        self.permits.values().any(|certificate| {
                            certificate.kind == PermitKind::Certificate
                                && certificate.work_type == permit.work_type
                                && certificate.holders.contains(holder)
                                && in_force(certificate, time)
                        })
                    };
                    holders.into_iter().filter(|holder| !certified(holder)).count()
                })
                .sum(),
        }
    }
}

fn in_force(permit: &Permit, time: i64) -> bool {
    permit.valid_from.is_none_or(|from| from.0 <= time)
        && permit.valid_to.is_none_or(|to| time < to.0)
        && permit.cancelled_from.is_none_or(|cancelled| time < cancelled.0)
}

fn selects(limit: &Limit, asset: &Asset, places: &Places) -> bool {
    (limit.category.is_empty() || limit.category.contains(&asset.category))
        && limit.domain.is_none_or(|domain| domain == asset.domain)
        && limit.region.is_none_or(|region| places.within(asset.region, region))
}

/// What happened to the permits and certificates that concern an asset.
fn papers(before: &Seen, after: &Seen) -> Option<Cause> {
    let all = |seen: &Seen| -> BTreeSet<Shared<Permit>> { seen.works.union(&seen.certificates).cloned().collect() };
    let (before, after) = (all(before), all(after));
    if !before.is_subset(&after) {
        Some(Cause::Correction)
    } else if before != after {
        Some(Cause::Data)
    } else {
        None
    }
}

/// Why entries came, went or are others.
fn causes(before: &Seen, after: &Seen, papers: Option<Cause>) -> BTreeMap<Id<Limit>, Cause> {
    let mut causes = BTreeMap::new();
    let ids: BTreeSet<&Id<Limit>> = before.limits.keys().chain(after.limits.keys()).collect();
    for id in ids {
        let cause = match (before.limits.get(id), after.limits.get(id)) {
            (Some(old), Some(new)) if old == new => None,
            (Some(_), Some(_)) => Some(Cause::RuleChange),
            _ if before.works.is_empty() || after.works.is_empty() => papers,
            _ if before.asset == after.asset && before.chain == after.chain => Some(Cause::RuleChange),
            _ => Some(Cause::BaseChange),
        };
        causes.extend(cause.map(|cause| (id.clone(), cause)));
    }
    causes
}
