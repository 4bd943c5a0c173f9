//! Rules over gauges, by asset: what each has seen of its gauges since it is there, and the levels that follow from all of it anew
//! at every epoch.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_config::{Comparison, FeatureKind, InputRecord, NoGauge, PairProblem, Role, Rule, Whose};
use riskflow_model::base::{Asset, Region};
use riskflow_model::gauge::{Gauge, GaugeBy, GaugeSubject, SpanKind, SubjectKind};
use riskflow_model::output::{Cause, Origin};
use riskflow_model::rule::RuleRecord;
use riskflow_model::{Id, Key, Number, RegionCode, Shared, Text, TextMap, capability};
use serde_json::Value;

use super::calendar::City;
use super::condition::{Truth, holds};
use super::curve::{Curve, Stretches, append};
use super::entry::selects_asset;
use super::gauge::{Gauges, Part};
use super::level::{Decides, Left, level_at};
use super::place::Places;
use super::sets::OfSet;
use super::unit::{self, Fraction, compare, fraction};
use super::{Expected, Group, Levels, Member, Oracle, Watched, group, level};

/// The entries, and where their assets were after the epoch before.
#[derive(Default)]
pub struct GaugeRules {
    entries: BTreeMap<Name, Entry>,
    assets: BTreeMap<Id<Asset>, Where>,
}

/// The rule, the asset, and of what its gauges are.
type Name = (Id<RuleRecord>, Id<Asset>, GaugeSubject);
/// The row of an asset, and the regions that it lies in.
type Where = (Shared<Asset>, Vec<String>);

/// What entries follow from, as of an epoch.
pub struct Tables<'a> {
    pub now: i64,
    /// So old events may be.
    pub age: i64,
    pub late_after: i64,
    /// Whether there are permits and what else is not of events.
    pub has_permits: bool,
    pub city: &'a City,
    /// After their step.
    pub gauges: &'a Gauges,
    pub assets: &'a BTreeMap<Key, Shared<Asset>>,
    pub regions: &'a BTreeMap<Key, Shared<Region>>,
    pub places: &'a Places,
    /// Of the live set.
    pub rules: &'a OfSet,
}

/// What follows for the warnings.
#[derive(Default)]
pub struct OverGauges {
    pub levels: Levels,
    /// Of entries that came, went or are others.
    pub entries: BTreeMap<Member, Cause>,
    /// What happened to the spans of an entry.
    pub spans: BTreeMap<Member, Cause>,
}

/// One rule at one asset, in force since some epoch.
struct Entry {
    /// By what it is called in its set, and as written.
    rule: Rule,
    written: Rule,
    /// On and off thresholds, for each comparison.
    thresholds: Vec<Option<[Fraction; 2]>>,
    /// The rows of its gauges.
    rows: Vec<Option<Shared<Gauge>>>,
    /// From here on it sees.
    begin: i64,
    /// What it sees of each of its gauges.
    values: Vec<Values>,
    /// What its gauges see of spans.
    parts: Vec<Vec<Part>>,
    /// What the one with another condition left.
    left: Option<Left>,
}

/// The value of a gauge, as an entry knows it.
struct Values {
    /// What it was before the border.
    past: Stretches,
    border: i64,
    /// What it is from there on.
    curve: Curve,
}

impl Values {
    /// From this border on it is otherwise; before, it stays as it was.
    fn go_on(&mut self, border: i64, curve: Curve, city: &City) {
        append(&mut self.past, self.curve.stretches(self.border, border - 1, city));
        self.border = border;
        self.curve = curve;
    }

    /// All of it, up to an instant.
    fn until(&self, at: i64, city: &City) -> Stretches {
        let mut all = self.past.clone();
        append(&mut all, self.curve.stretches(self.border, at, city));
        all
    }
}

/// An entry, on what it sees up to an instant.
struct View<'a> {
    entry: &'a Entry,
    values: Vec<Stretches>,
    city: &'a City,
}

impl Entry {
    /// It, on what it sees up to an instant.
    fn view<'a>(&'a self, at: i64, city: &'a City) -> View<'a> {
        View {
            entry: self,
            values: self.values.iter().map(|values| values.until(at, city)).collect(),
            city,
        }
    }
}

/// The position of the gauge that is compared.
fn gauge_of(rule: &Rule, comparison: &Comparison) -> usize {
    let feature = rule.features[comparison.feature];
    feature.gauge.expect("all comparisons of such a rule name gauges")
}

impl Decides for View<'_> {
    fn rule(&self) -> &Rule {
        &self.entry.rule
    }

    fn thresholds(&self) -> &[Option<[Fraction; 2]>] {
        &self.entry.thresholds
    }

    fn left(&self) -> Option<&Left> {
        self.entry.left.as_ref()
    }

    fn city(&self) -> &City {
        self.city
    }

    fn instants(&self, now: i64) -> Vec<i64> {
        let Entry { rule, begin, .. } = self.entry;
        let mut instants = BTreeSet::from([*begin]);
        for stretches in &self.values {
            instants.extend(stretches.keys());
        }
        for (comparison, bounds) in rule.comparisons.iter().zip(&self.entry.thresholds) {
            let stretches = self.values[gauge_of(rule, comparison)].values();
            for stretch in stretches.filter(|stretch| stretch.grows) {
                for (over, under) in bounds.iter().flatten() {
                    let wanted = (over * 1_000).div_euclid(*under);
                    let value = stretch.value.expect("what grows is known");
                    let at = i128::from(stretch.from) + wanted - i128::from(value);
                    // It reaches the threshold there, and is greater one later.
                    instants.extend([at, at + 1].into_iter().filter_map(|at| i64::try_from(at).ok()));
                }
            }
        }
        for during in &rule.during {
            instants.extend(self.city.changes(during, *begin, now));
        }
        let seen = |at: &i64| *at >= *begin && *at <= now;
        instants.into_iter().filter(seen).collect()
    }

    fn comparison(&self, index: usize, at: i64, moved: bool) -> Truth {
        let Some([on, off]) = self.entry.thresholds[index] else {
            return Truth::Absent;
        };
        let comparison = &self.entry.rule.comparisons[index];
        let stretches = &self.values[gauge_of(&self.entry.rule, comparison)];
        let (_, stretch) = stretches.range(..=at).next_back().expect("it is seen from there on");
        let Some(value) = stretch.at(at) else {
            return Truth::Unknown;
        };
        let stands = compare(fraction(value.into(), 1_000), if moved { off } else { on });
        Truth::of(holds(comparison.operator, stands))
    }
}

impl Oracle {
    /// Takes in events, and says what gauges show, and what the live rules over them make of it.
    pub(super) fn gauge(
        &mut self,
        now: i64,
        records: &[(Origin, InputRecord)],
        (places, live): (&Places, &OfSet),
        expected: &mut Expected,
    ) -> (BTreeMap<Text, Value>, OverGauges) {
        let time = self.semantics.time;
        for (origin, record) in records {
            if let InputRecord::Log(row) = record
                && let Some(event) = row.downcast_ref()
                && let Some(reason) = self.gauges.take(now, event, time)
            {
                expected.dead.insert((reason, *origin));
            }
        }
        let rows = self
            .gauges
            .step(now, time.event_age.0, &self.assets, places, &self.city);
        (rows, self.over_gauges(now, places, live))
    }

    /// What rules over gauges make of it; nothing where that part is off.
    fn over_gauges(&mut self, now: i64, places: &Places, rules: &OfSet) -> OverGauges {
        let capabilities = &self.semantics.capabilities;
        if !capabilities.is_on(capability::GAUGES) {
            return OverGauges::default();
        }
        self.gauge_rules.step(&Tables {
            now,
            age: self.semantics.time.event_age.0,
            late_after: self.semantics.time.late_after.0,
            has_permits: capabilities.is_on(capability::PERMITS),
            city: &self.city,
            gauges: &self.gauges,
            assets: &self.assets,
            regions: &self.regions,
            places,
            rules,
        })
    }

    /// Of these and the entries before, what a warning by gauges is shared by.
    pub(super) fn groups_over_gauges(&self, levels: &Levels) -> BTreeSet<Group> {
        let members = levels.keys().chain(self.levels.keys());
        let over_gauges = members.filter(|(_, _, watched)| matches!(watched, Watched::Gauge(_)));
        over_gauges.map(group).collect()
    }
}

impl GaugeRules {
    /// What follows from the tables as of now.
    pub fn step(&mut self, tables: &Tables<'_>) -> OverGauges {
        let border = tables.now - tables.age;
        let assets = tables.located();
        let before = std::mem::replace(&mut self.assets, assets.clone());
        let all_wanted = tables.wanted(&assets);
        type Place = (Id<Asset>, GaugeSubject);
        let place = |(_, asset, subject): &Name| (asset.clone(), subject.clone());
        let watched = |names: &mut dyn Iterator<Item = &Name>| -> BTreeSet<Place> { names.map(place).collect() };
        let watched = [watched(&mut self.entries.keys()), watched(&mut all_wanted.keys())];
        let came_or_went = |name: &Name| {
            let is_watched = watched.iter().all(|watched| watched.contains(&place(name)));
            if is_watched && before.get(&name.1) != assets.get(&name.1) {
                Cause::BaseChange
            } else {
                Cause::RuleChange
            }
        };
        let member = |(rule, asset, subject): &Name| (rule.widen(), asset.clone(), Watched::Gauge(subject.clone()));
        let mut found = OverGauges::default();
        let mut old = std::mem::take(&mut self.entries);
        for (name, wanted) in all_wanted {
            let (entry, cause) = match old.remove(&name) {
                None => (wanted, Some(came_or_went(&name))),
                Some(old) if alike(&old, &wanted) => {
                    let spans = spans(&old, &wanted, tables);
                    found.spans.extend(spans.map(|cause| (member(&name), cause)));
                    (old.go_on(wanted, border, tables.city), None)
                }
                Some(old) => {
                    let is_edit = old.written != wanted.written || old.rows != wanted.rows;
                    let cause = if is_edit { Cause::RuleChange } else { Cause::BaseChange };
                    let view = old.view(border - 1, tables.city);
                    let left = level::left(&view, border - 1, &wanted.rule, &wanted.thresholds);
                    let left = Some(left);
                    (Entry { left, ..wanted }, Some(cause))
                }
            };
            found.entries.extend(cause.map(|cause| (member(&name), cause)));
            let view = entry.view(tables.now, tables.city);
            let track = level::track(&view, tables.now);
            let stale = level::stale(&view, tables.now, level_at(&track, tables.now));
            found.levels.insert(member(&name), (track, stale));
            self.entries.insert(name, entry);
        }
        for name in old.keys() {
            found.entries.insert(member(name), came_or_went(name));
        }
        found
    }
}

impl Entry {
    /// It goes on with what there is now.
    fn go_on(mut self, wanted: Self, border: i64, city: &City) -> Self {
        for (values, now) in self.values.iter_mut().zip(wanted.values) {
            values.go_on(border, now.curve, city);
        }
        Self {
            rule: wanted.rule,
            written: wanted.written,
            parts: wanted.parts,
            ..self
        }
    }
}

/// Whether they turn levels on and off alike.
fn alike(a: &Entry, b: &Entry) -> bool {
    let plan = |entry: &Entry| {
        let comparisons = entry.rule.comparisons.iter().map(|each| {
            let gauge = entry.rule.gauges[gauge_of(&entry.rule, each)].clone();
            (each.role, gauge, each.operator)
        });
        let comparisons: Vec<_> = comparisons.collect();
        (comparisons, entry.rule.during.clone(), entry.rule.levels.clone())
    };
    plan(a) == plan(b) && a.thresholds == b.thresholds && a.rows == b.rows
}

/// What happened to spans that an entry's gauges see, since the epoch before.
fn spans(before: &Entry, after: &Entry, tables: &Tables<'_>) -> Option<Cause> {
    let border = tables.now - tables.age;
    // What was over by then, and began before it, is told of by nobody.
    let is_told = |part: &&Part| part.end.unwrap_or(i64::MAX).max(part.begin.saturating_add(1)) > border;
    let of_gauge = |(before, after): (&Vec<Part>, &Vec<Part>)| {
        let mut counts: BTreeMap<Part, i64> = BTreeMap::new();
        for part in before.iter().filter(is_told) {
            *counts.entry(part.clone()).or_default() -= 1;
        }
        for part in after.iter().filter(is_told) {
            *counts.entry(part.clone()).or_default() += 1;
        }
        let changed = counts.into_iter().filter(|(_, count)| *count != 0);
        changed.map(|(part, count)| cause(&part, count > 0, tables)).max()
    };
    before.parts.iter().zip(&after.parts).filter_map(of_gauge).max()
}

/// Of one that came or went.
const fn cause(part: &Part, came: bool, tables: &Tables<'_>) -> Cause {
    if !came {
        Cause::Correction
    } else if part.is_event && tables.now - part.begin > tables.late_after {
        Cause::LateData
    } else {
        Cause::Data
    }
}

/// The gauges of a rule, or why it cannot go by one: it has no row, is of a part that is off, or is of other subjects than the first.
pub fn known(rule: &Rule, gauges: &Gauges, has_permits: bool) -> Vec<Result<Shared<Gauge>, NoGauge>> {
    let mut known: Vec<Result<Shared<Gauge>, NoGauge>> = Vec::new();
    for id in &rule.gauges {
        let first = known.iter().flatten().next();
        known.push(match gauges.row(id) {
            None => Err(NoGauge::Missing),
            Some(gauge) if !has_permits && is_of_permits(gauge) => Err(NoGauge::Off),
            Some(gauge) if first.is_some_and(|first| first.by != gauge.by) => Err(NoGauge::Mixed),
            Some(gauge) => Ok(gauge.clone()),
        });
    }
    known
}

fn is_of_permits(gauge: &Gauge) -> bool {
    let needs = gauge.needs.as_ref().map(|needs| needs.of);
    std::iter::once(gauge.of)
        .chain(needs)
        .any(|sort| sort != SpanKind::Event)
}

/// Of what the gauges of a rule at an asset are; `None` where the asset lies in no region of their tier.
fn subject(gauges: &[Option<Shared<Gauge>>], (asset, chain): (&Asset, &[String])) -> Option<GaugeSubject> {
    let by = gauges.iter().flatten().map(|gauge| gauge.by).next();
    let tier = by.and_then(GaugeBy::tier);
    let Some(tier) = tier else {
        return Some(of_asset(asset));
    };
    let mut codes = chain.iter().map(|code| code.parse::<RegionCode>().expect("a code"));
    let code = codes.find(|code| code.tier() == Some(tier))?;
    Some(GaugeSubject {
        kind: SubjectKind::Region,
        id: code.to_string().into(),
    })
}

fn of_asset(asset: &Asset) -> GaugeSubject {
    GaugeSubject {
        kind: SubjectKind::Asset,
        id: asset.id.text().clone(),
    }
}

impl Tables<'_> {
    fn located(&self) -> BTreeMap<Id<Asset>, Where> {
        let assets = self.assets.values();
        let located = assets.map(|asset| {
            (
                asset.id.clone(),
                (asset.clone(), self.places.chain(&asset.region.to_string())),
            )
        });
        located.collect()
    }

    /// The entries that there are now, as if all of them were new.
    fn wanted(&self, assets: &BTreeMap<Id<Asset>, Where>) -> BTreeMap<Name, Entry> {
        let mut wanted = BTreeMap::new();
        for (key, rule) in self.rules.rules.iter().filter(|(_, rule)| rule.is_of_gauges()) {
            for (asset, chain) in assets
                .values()
                .filter(|(asset, chain)| selects_asset(rule, asset, chain))
            {
                let (subject, entry) = self.entry(rule, &self.rules.written[key], (asset, chain));
                wanted.insert((Id::new(rule.record.id.clone()), asset.id.clone(), subject), entry);
            }
        }
        wanted
    }

    fn entry(&self, rule: &Rule, written: &Rule, (asset, chain): (&Asset, &[String])) -> (GaugeSubject, Entry) {
        let begin = self.now - self.age;
        let rows = known(rule, self.gauges, self.has_permits).into_iter();
        let mut rows: Vec<Option<Shared<Gauge>>> = rows.map(Result::ok).collect();
        let subject = subject(&rows, (asset, chain)).unwrap_or_else(|| {
            // Of what is nowhere nothing is known.
            rows.fill(None);
            of_asset(asset)
        });
        let values = rows.iter().map(|row| Values {
            past: Stretches::new(),
            border: begin,
            curve: match row {
                Some(row) => self.gauges.curve(row, &subject),
                None => Curve::Unknown,
            },
        });
        let parts = rows.iter().map(|row| match row {
            Some(row) => self.gauges.parts(row, &subject),
            None => Vec::new(),
        });
        let entry = Entry {
            rule: rule.clone(),
            written: written.clone(),
            thresholds: self.thresholds(rule, asset, chain),
            begin,
            values: values.collect(),
            parts: parts.collect(),
            rows,
            left: None,
        };
        (subject, entry)
    }

    fn thresholds(&self, rule: &Rule, asset: &Asset, chain: &[String]) -> Vec<Option<[Fraction; 2]>> {
        let mut given = nearest(rule, (asset, chain), self.regions);
        let void = |problem: &PairProblem| !matches!(problem.kind(), "names_nothing" | "unset" | "unit");
        if rule.merge(&given, "").problems.iter().any(void) {
            given.clear();
        }
        let thresholds = rule.comparisons.iter().map(|comparison| {
            let named = comparison
                .name
                .as_ref()
                .map(|name| format!("{}.{name}", comparison.level));
            let level = comparison.level.to_string();
            let of = |(_, own): &(Whose, &TextMap<Number>)| {
                let of_level = || own.get(&level).filter(|_| comparison.role == Role::When);
                let number = named.as_ref().and_then(|key| own.get(key)).or_else(of_level)?;
                Some((number.thousandths()?, false))
            };
            unit::bound(comparison, FeatureKind::Gauge, given.iter().find_map(of), unit::SAME)
        });
        thresholds.collect()
    }
}

/// The thresholds that an asset and its regions have for a rule, nearest first.
pub fn nearest<'a>(
    rule: &Rule,
    (asset, chain): (&'a Asset, &[String]),
    regions: &'a BTreeMap<Key, Shared<Region>>,
) -> Vec<(Whose, &'a TextMap<Number>)> {
    let regions = chain.iter().filter_map(|code| regions.get(&Key::of(code)));
    let regions = regions.map(|region| (Whose::Region(region.code), &region.thresholds));
    let all = std::iter::once((Whose::Asset, &asset.thresholds)).chain(regions);
    let of_rule = all.filter_map(|(whose, by_rule)| Some((whose, by_rule.get(&rule.record.id)?)));
    of_rule.collect()
}
