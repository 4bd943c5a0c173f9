//! The rows that meet, as the job lets them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use riskflow_config::{
    Givers, Located, NoGauge, Regional, Reports, Rule, Standing, Unmatched, Whose, gauges_of, given_by_asset,
    given_by_region, meet, meet_asset, resolve,
};
use riskflow_model::base::{Asset, Datastream, Region};
use riskflow_model::gauge::Gauge;
use riskflow_model::output::SetState;
use riskflow_model::rule::RuleRecord;
use riskflow_model::ruleset::{RuleSet, parts};
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, Id, Key, Lineage, Shared, Text, duration};
use riskflow_operators::warning;

use super::super::stock::Stock;
use super::{SetRow, UnmatchedRow, WarningRow};

/// What meets.
#[derive(Default)]
pub(super) struct Tables<'a> {
    /// In the order of their identifiers, and where each is written.
    pub(super) rules: Vec<(Rule, &'a str)>,
    pub(super) assets: BTreeMap<Key, &'a Asset>,
    /// In the order of their identifiers.
    pub(super) datastreams: Vec<&'a Datastream>,
    gauges: BTreeMap<Text, Shared<Gauge>>,
    lineage: Lineage,
    regional: Regional,
    /// What each rule set is.
    sets: Vec<SetState>,
    /// How many limits of work under permit there are.
    pub(super) limits: usize,
}

/// What a rule watches.
#[derive(Clone, Default)]
pub(super) struct MetBy {
    pub(super) datastreams: Vec<Id<Datastream>>,
    /// Of one over gauges.
    pub(super) assets: Vec<Id<Asset>>,
    pub(super) thresholds_of: BTreeMap<Whose, usize>,
}

impl MetBy {
    fn add(&mut self, givers: &Givers) {
        let givers = givers.iter().flat_map(|givers| givers.iter().flatten());
        for whose in givers.copied().collect::<BTreeSet<Whose>>() {
            *self.thresholds_of.entry(whose).or_default() += 1;
        }
    }
}

/// Each rule once, as the live set has it or else as a candidate does: what is unmatched is told of the former only.
fn standing(rules: &BTreeMap<Text, Rule>, resolved: Vec<Rule>) -> impl Iterator<Item = Rule> {
    rules.iter().map(move |(id, rule)| {
        let forms = resolved.iter().filter(|form| form.written() == id);
        let form = forms.max_by_key(|form| form.is_live());
        form.cloned().unwrap_or_else(|| {
            let set: Text = parts(id).0.into();
            let nowhere = Standing {
                live: false,
                candidates: vec![set.clone()],
                all: vec![set],
            };
            rule.in_sets(Arc::new(nowhere), Vec::new())
        })
    })
}

impl<'a> Tables<'a> {
    /// Of all rows.
    pub(super) fn of(stock: &'a Stock) -> Self {
        let mut tables = Self::default();
        let mut rules: BTreeMap<Text, Rule> = BTreeMap::new();
        let mut places: BTreeMap<Text, &str> = BTreeMap::new();
        let mut sets: BTreeMap<Text, Shared<RuleSet>> = BTreeMap::new();
        for ((topic, key), (row, place)) in &stock.rows {
            if *topic == Topic::BASE_LIMIT {
                tables.limits += 1;
            } else if let Some(record) = row.downcast_ref::<RuleRecord>() {
                rules.insert(record.id.clone(), warning::rule(record));
                places.insert(record.id.clone(), place);
            } else if let Some(set) = row.clone().downcast::<RuleSet>() {
                sets.insert(set.id.text().clone(), set);
            } else if let Some(region) = row.clone().downcast::<Region>() {
                tables.lineage.put(region.code, region.parent);
                if !region.thresholds.is_empty() {
                    tables.regional.insert(region.code, region);
                }
            } else if let Some(asset) = row.downcast_ref::<Asset>() {
                tables.assets.insert(*key, asset);
            } else if let Some(gauge) = row.clone().downcast::<Gauge>() {
                tables.gauges.insert(gauge.id.text().clone(), gauge);
            } else if let Some(datastream) = row.downcast_ref() {
                tables.datastreams.push(datastream);
            }
        }
        // How far back a candidate may look is the job's to say.
        let resolved = resolve(&rules, &sets, Duration(i64::MAX));
        tables.sets = resolved.states;
        tables.rules = standing(&rules, resolved.rules)
            .map(|rule| {
                let place = places[rule.written()];
                (rule, place)
            })
            .collect();
        tables.rules.sort_by(|(a, _), (b, _)| a.cmp(b));
        tables.datastreams.sort_by(|a, b| a.id.cmp(&b.id));
        tables
    }

    fn plans(&self) -> impl ExactSizeIterator<Item = &Rule> + Clone {
        self.rules.iter().map(|(rule, _)| rule)
    }

    /// What each rule watches, and what meets nothing.
    pub(super) fn meet(&self, all_rules: bool) -> (Vec<MetBy>, Vec<UnmatchedRow>) {
        let mut met = vec![MetBy::default(); self.rules.len()];
        let mut unmatched = Vec::new();
        let mut of_assets: BTreeMap<Key, Vec<&Datastream>> = BTreeMap::new();
        for datastream in &self.datastreams {
            of_assets.entry(datastream.asset.key()).or_default().push(datastream);
            let asset = self.assets.get(&datastream.asset.key()).copied();
            let located = asset.map_or_else(Located::default, |asset| self.located(asset));
            let asset = asset.map(|asset| (asset, &located));
            let found = meet(self.plans(), datastream, asset, &self.regional);
            for watching in found.rules {
                let met = &mut met[watching.rule];
                met.datastreams.push(datastream.id.clone());
                met.add(&watching.givers);
            }
            unmatched.extend(found.unmatched.iter().map(|one| UnmatchedRow {
                datastream: Some(datastream.id.clone()),
                ..UnmatchedRow::of(one, all_rules)
            }));
        }
        for (key, asset) in &self.assets {
            let located = self.located(asset);
            let over_gauges = meet_asset(self.plans(), (asset, &located), &self.regional);
            for watching in over_gauges.rules {
                let met = &mut met[watching.rule];
                met.assets.push(asset.id.clone());
                met.add(&watching.givers);
            }
            let rows = of_assets.get(key).map_or(&[][..], Vec::as_slice).iter().copied();
            let told = given_by_asset(self.plans(), (asset, &located), rows);
            let told = told.into_iter().chain(over_gauges.unmatched);
            unmatched.extend(told.map(|one| UnmatchedRow {
                asset: Some(asset.id.clone()),
                ..UnmatchedRow::of(&one, all_rules)
            }));
        }
        for region in self.regional.values() {
            let told = given_by_region(self.plans(), region).into_iter();
            unmatched.extend(told.map(|one| UnmatchedRow {
                region: Some(region.code),
                ..UnmatchedRow::of(&one, all_rules)
            }));
        }
        unmatched.extend(self.lacking());
        (met, unmatched)
    }

    /// Gauges that live rules name and cannot go by. That one is missing is no mistake where none is known at all.
    fn lacking(&self) -> impl Iterator<Item = UnmatchedRow> {
        let live = self.plans().filter(|rule| rule.is_live());
        live.flat_map(|rule| {
            // Which parts are on is the job's to say.
            let gauges = gauges_of(rule, |id| self.gauges.get(id), true);
            rule.gauges.iter().zip(gauges).filter_map(|(gauge, found)| {
                let (gauge, why) = (gauge.clone(), found.err()?);
                let row = UnmatchedRow::of(&Unmatched::NoGauge { gauge, why }, true);
                Some(UnmatchedRow {
                    rule: Some(Id::new(rule.written().clone())),
                    mistake: why != NoGauge::Missing || !self.gauges.is_empty(),
                    ..row
                })
            })
        })
    }

    /// The rule sets with which something is wrong.
    pub(super) fn sets(&self) -> Vec<SetRow> {
        let wrong = self.sets.iter().filter(|state| !state.problems.is_empty());
        let rows = wrong.map(|state| SetRow {
            set: state.set.clone(),
            problems: state.problems.clone(),
        });
        rows.collect()
    }

    fn located(&self, asset: &Asset) -> Located {
        Located::of(&self.lineage, asset.region)
    }

    /// What is hardly meant, rule by rule.
    pub(super) fn warnings(&self, met: &[MetBy], horizon: Duration) -> Vec<WarningRow> {
        let intervals = self.datastreams.iter().filter_map(|row| {
            let interval = duration::parse(row.interval.as_ref()?).ok()?;
            Some((&row.id, Duration(interval)))
        });
        let intervals: BTreeMap<&Id<Datastream>, Duration> = intervals.collect();
        let of_rule = self.rules.iter().zip(met).flat_map(|((rule, place), met)| {
            let reports = met.datastreams.iter().filter_map(|id| {
                Some(Reports {
                    datastream: id.text().clone(),
                    interval: *intervals.get(id)?,
                })
            });
            let warnings = rule.lint(&reports.collect::<Vec<_>>(), horizon).into_iter();
            warnings.map(move |warning| WarningRow {
                rule: Id::new(rule.written().clone()),
                place: (*place).to_owned(),
                warning,
            })
        });
        of_rule.collect()
    }
}
