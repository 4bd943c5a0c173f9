//! Gauges: of each group what held when, and when spans began, as plain data. Every value is found anew from all of it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use riskflow_config::{Calendar, CalendarUnit, TimeSettings};
use riskflow_model::base::Asset;
use riskflow_model::event::Event;
use riskflow_model::gauge::{
    Bucket, Gauge, GaugeBy, GaugeMember, GaugeState, GaugeSubject, Measure, SpanKind, SubjectKind,
};
use riskflow_model::output::Reason;
use riskflow_model::{Key, Level, Millis, Number, RegionCode, Row, Shared, Text, joined};
use serde_json::Value;

use super::calendar::City;
use super::curve::{Curve, chain};
use super::place::Places;
use super::span::{Events, Span};
use super::standing::Standing;
use super::table::Table;

type Spans = Vec<Rc<Span>>;
/// Texts of spans, each of several attributes.
type Tuples = BTreeSet<Vec<String>>;

/// All gauges and what they measure.
#[derive(Default)]
pub struct Gauges {
    events: Events,
    standing: Standing,
    gauges: Table<Gauge>,
    /// The rows after the epoch before.
    before: Table<Gauge>,
    /// Of each gauge and subject that has a span.
    pasts: BTreeMap<(Key, GaugeSubject), Past>,
    /// What gauges by asset see of the spans of each asset, and of what these need.
    parts: BTreeMap<(Key, GaugeSubject), Vec<Part>>,
}

/// A span as its group sees it, or what a span of the group needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    pub begin: i64,
    pub end: Option<i64>,
    /// Whether it is an event of the group.
    pub is_event: bool,
    /// All else that the gauge makes use of, as text.
    used: String,
}

/// What is known of a group, from its first instant to the last one at which anything is going to change.
#[derive(Default)]
struct Past {
    /// What holds from an instant on, up to the next of these; nothing before the first.
    held: BTreeMap<i64, Held>,
    /// When spans begin.
    began: Vec<i64>,
}

/// What holds at an instant.
#[derive(Default)]
struct Held {
    spans: Spans,
    /// By what it is found: what is there of what the gauge's spans need.
    there: Tuples,
}

/// What a row says of the value.
struct Shown {
    /// In thousandths.
    value: Option<i64>,
    level: Option<Level>,
    since: Option<i64>,
    /// Whether it is neither 0, nor none, nor unknown.
    is_something: bool,
}

/// A value that rests on what holds at one instant alone.
#[derive(Clone, Copy, PartialEq)]
enum Measured {
    Level(Level),
    /// In thousandths.
    Number(Option<i64>),
}

impl Gauges {
    /// A record of any table.
    pub fn base(&mut self, topic: u16, key: Key, row: Option<&Row>) {
        self.gauges.apply(topic, key, row);
        self.events.base(topic, key, row);
        self.standing.base(topic, key, row);
    }

    /// Takes a record in, or says why not.
    pub fn take(&mut self, now: i64, event: &Event, time: TimeSettings) -> Option<Reason> {
        self.events.take(now, event, time)
    }

    /// All rows that there must be after an epoch, by key.
    pub fn step(
        &mut self,
        now: i64,
        age: i64,
        assets: &Table<Asset>,
        places: &Places,
        city: &City,
    ) -> BTreeMap<Text, Value> {
        self.events.settle(now, age);
        let mut spans = self.events.spans(assets);
        spans.extend(self.standing.spans(assets).into_iter().map(Rc::new));
        let mut pasts = std::mem::take(&mut self.pasts);
        self.parts.clear();
        let mut rows = BTreeMap::new();
        for (key, gauge) in self.gauges.iter() {
            // The past of events alone stays.
            let stays = gauge.of == SpanKind::Event && self.before.get(key) == Some(gauge);
            let needed = needed(gauge, &spans);
            for (subject, (region, group)) in parted(gauge, &spans, places) {
                let place = (*key, subject.clone());
                self.parts.insert(place.clone(), parts(gauge, &group, &needed));
                let past = pasts.remove(&place).filter(|_| stays);
                let first = group.iter().map(|span| span.begin).min().unwrap_or(now);
                let from = if past.is_some() { now - age } else { first };
                let mut past = past.unwrap_or_default();
                past.rewrite(from, &group, &needed, gauge);
                let row = past.row(gauge, (subject, region), now, city);
                if let Some(row) = row {
                    let key = joined(&[&*row.gauge, &*row.subject.id]);
                    rows.insert(Text::from(key), as_published(&row));
                }
                self.pasts.insert(place, past);
            }
        }
        self.before = self.gauges.clone();
        rows
    }

    /// The row of a gauge.
    pub fn row(&self, id: &Text) -> Option<&Shared<Gauge>> {
        self.gauges.get(&Key::of(id))
    }

    /// The value of a gauge of an asset or region over time, as known after the step. Where no span is known it is that of nothing.
    pub fn curve(&self, gauge: &Gauge, subject: &GaugeSubject) -> Curve {
        match self.pasts.get(&(gauge.id.key(), subject.clone())) {
            Some(past) => past.curve(gauge),
            None => Past::default().curve(gauge),
        }
    }

    /// What a gauge sees of the spans of an asset or region, and of what these need.
    pub fn parts(&self, gauge: &Gauge, subject: &GaugeSubject) -> Vec<Part> {
        let place = (gauge.id.key(), subject.clone());
        self.parts.get(&place).cloned().unwrap_or_default()
    }
}

fn parts(gauge: &Gauge, group: &[Rc<Span>], needed: &[Rc<Span>]) -> Vec<Part> {
    let on = on(gauge);
    let own = group.iter().map(|span| {
        let number = gauge.number.as_ref().and_then(|name| span.number(name));
        let tuples = (span.tuple(&gauge.attributes), span.tuple(on));
        Part {
            begin: span.begin,
            end: span.end(gauge),
            is_event: span.of == SpanKind::Event,
            used: format!("{:?}", (span.of, &span.made, span.level, span.weight, tuples, number)),
        }
    });
    let wanted: Tuples = group.iter().filter_map(|span| span.tuple(on)).collect();
    let needed = needed.iter().filter_map(|span| {
        let tuple = span.tuple(on).filter(|tuple| wanted.contains(tuple))?;
        Some(Part {
            begin: span.begin,
            end: span.end(gauge),
            is_event: false,
            used: format!("needed: {tuple:?}"),
        })
    });
    own.chain(needed).collect()
}

/// The texts by which is found what the spans of a gauge need.
fn on(gauge: &Gauge) -> &[Text] {
    gauge.needs.as_ref().map_or(&[][..], |needs| needs.on.as_slice())
}

/// As whoever reads the topic reads it: numbers as JSON has them.
fn as_published(row: &GaugeState) -> Value {
    let written = serde_json::to_string(row).expect("a row can be written");
    serde_json::from_str(&written).expect("it is JSON")
}

/// The groups of a gauge: where each of them is, and its spans.
fn parted(gauge: &Gauge, spans: &[Rc<Span>], places: &Places) -> BTreeMap<GaugeSubject, (RegionCode, Spans)> {
    let mut groups: BTreeMap<GaugeSubject, (RegionCode, Spans)> = BTreeMap::new();
    for span in spans.iter().filter(|span| span.is_of(gauge)) {
        if let Some((subject, region)) = subject(gauge.by, span, places) {
            let (_, group) = groups.entry(subject).or_insert_with(|| (region, Vec::new()));
            group.push(Rc::clone(span));
        }
    }
    groups
}

/// All that the spans of a gauge may need, wherever it is.
fn needed(gauge: &Gauge, spans: &[Rc<Span>]) -> Spans {
    let is_needed = |span: &&Rc<Span>| gauge.needs.as_ref().is_some_and(|needs| needs.of == span.of);
    spans.iter().filter(is_needed).cloned().collect()
}

/// The group of a span, and where that is.
fn subject(by: GaugeBy, span: &Span, places: &Places) -> Option<(GaugeSubject, RegionCode)> {
    let region = span.region?;
    let Some(tier) = by.tier() else {
        let kind = SubjectKind::Asset;
        let id = span.asset.clone()?;
        return Some((GaugeSubject { kind, id }, region));
    };
    let chain = places.chain(&region.to_string());
    let mut codes = chain.iter().map(|code| code.parse::<RegionCode>().expect("a code"));
    let code = codes.find(|code| code.tier() == Some(tier))?;
    let kind = SubjectKind::Region;
    let id = Text::from(code.to_string());
    Some((GaugeSubject { kind, id }, code))
}

impl Past {
    /// From an instant on it is as these spans, and those that they need, say; before it stays as it was.
    fn rewrite(&mut self, from: i64, spans: &[Rc<Span>], needed: &[Rc<Span>], gauge: &Gauge) {
        self.held.retain(|at, _| *at < from);
        self.began.retain(|at| *at < from);
        self.began
            .extend(spans.iter().map(|span| span.begin).filter(|at| *at >= from));
        let borders = spans
            .iter()
            .chain(needed)
            .flat_map(|span| [Some(span.begin), span.end(gauge)])
            .flatten();
        let mut borders: BTreeSet<i64> = borders.filter(|at| *at > from).collect();
        borders.insert(from);
        let on = on(gauge);
        for at in borders {
            let holding = spans.iter().filter(|span| span.holds(gauge, at));
            let there = needed.iter().filter(|span| span.holds(gauge, at));
            let held = Held {
                spans: holding.cloned().collect(),
                there: there.filter_map(|span| span.tuple(on)).collect(),
            };
            self.held.insert(at, held);
        }
    }

    /// What holds at an instant.
    fn at(&self, at: i64) -> Option<&Held> {
        self.held.range(..=at).next_back().map(|(_, held)| held)
    }

    /// When it began and when it ceased that anything holds, in turns, up to an instant.
    fn turns(&self, until: i64) -> Vec<i64> {
        let mut turns = Vec::new();
        for (at, held) in self.held.range(..=until) {
            // After an odd number of turns something holds.
            let held_before = turns.len() % 2 == 1;
            if held.spans.is_empty() == held_before {
                turns.push(*at);
            }
        }
        turns
    }

    /// The value over time.
    fn curve(&self, gauge: &Gauge) -> Curve {
        let turns = || self.turns(i64::MAX);
        let thousandths = |held: &Held| match measured(gauge, held) {
            Measured::Level(level) => Some(level.index() as i64 * 1_000),
            Measured::Number(number) => number,
        };
        match gauge.measure {
            Measure::Elapsed => Curve::Elapsed {
                turns: turns(),
                gap: gauge.gap().0,
            },
            Measure::Covered => Curve::Covered {
                turns: turns(),
                calendar: calendar(gauge.bucket),
            },
            Measure::Starts => Curve::Starts {
                began: self.began.clone(),
                calendar: calendar(gauge.bucket),
            },
            _ => Curve::Steps {
                nothing: thousandths(&Held::default()),
                steps: self.held.iter().map(|(at, held)| (*at, thousandths(held))).collect(),
            },
        }
    }

    fn row(&self, gauge: &Gauge, subject: (GaugeSubject, RegionCode), now: i64, city: &City) -> Option<GaugeState> {
        let held = self.at(now).map_or(&[][..], |held| held.spans.as_slice());
        let shown = match (gauge.measure, gauge.bucket) {
            (Measure::Elapsed, _) => self.elapsed(gauge, now),
            (Measure::Covered, bucket) => self.covered(calendar(bucket), city, now),
            (Measure::Starts, bucket) => self.starts(calendar(bucket), city, now),
            _ => self.measured(gauge, now),
        };
        let (subject, region) = subject;
        (shown.is_something || !held.is_empty()).then(|| GaugeState {
            gauge: gauge.id.clone(),
            title: gauge.title.clone(),
            measure: gauge.measure,
            subject,
            region,
            value: shown.value.map(number),
            level: shown.level,
            since: shown.since.map(Millis),
            members: members(gauge, held),
        })
    }

    fn measured(&self, gauge: &Gauge, now: i64) -> Shown {
        let nothing = Held::default();
        let shown = measured(gauge, self.at(now).unwrap_or(&nothing));
        let nothing = measured(gauge, &nothing);
        let newest_first = self.held.range(..=now).rev();
        let values = newest_first.map(|(at, held)| (*at, measured(gauge, held)));
        let (value, level) = match shown {
            Measured::Level(level) => (None, Some(level)),
            Measured::Number(number) => (number, None),
        };
        Shown {
            value,
            level,
            since: since(values, shown, nothing),
            is_something: level.is_some_and(|level| level != Level::None) || value.is_some_and(|value| value != 0),
        }
    }

    fn elapsed(&self, gauge: &Gauge, now: i64) -> Shown {
        let turns = self.turns(now);
        Shown {
            value: None,
            level: None,
            since: chain(&turns, gauge.gap().0),
            // Where nothing holds it is 0, and else there is a row anyway.
            is_something: false,
        }
    }

    fn covered(&self, calendar: Calendar, city: &City, now: i64) -> Shown {
        let (begin, _) = city.window(calendar, now);
        let turns = self.turns(now);
        let since = turns.last().map_or(begin, |turn| begin.max(*turn));
        let runs = turns.chunks(2).map(|run| {
            let end = run.get(1).copied().unwrap_or(now);
            (end.min(since) - run[0].max(begin)).max(0)
        });
        let covered: i64 = runs.sum();
        Shown {
            value: Some(covered * 1_000),
            level: None,
            since: Some(since),
            // Where nothing holds it is the same now; and else there is a row anyway.
            is_something: covered != 0,
        }
    }

    fn starts(&self, calendar: Calendar, city: &City, now: i64) -> Shown {
        let count = |at: i64| {
            let (begin, _) = city.window(calendar, at);
            let began = self.began.iter().filter(|time| (begin..=at).contains(*time));
            began.count() as i64
        };
        let mut instants: BTreeSet<i64> = self.began.iter().copied().collect();
        if let Some(first) = instants.first().copied() {
            instants.extend(city.borders(calendar, first, now));
        }
        let newest_first = instants.range(..=now).rev();
        let values = newest_first.map(|at| (*at, count(*at)));
        let shown = count(now);
        Shown {
            value: Some(shown * 1_000),
            level: None,
            since: since(values, shown, 0),
            is_something: shown != 0,
        }
    }
}

/// Since when a value is what it is now: of the values from some instants on, the newest first, and the one before them all.
fn since<V: PartialEq>(newest_first: impl Iterator<Item = (i64, V)>, shown: V, before: V) -> Option<i64> {
    let mut since = None;
    for (at, value) in newest_first {
        if value != shown {
            return since;
        }
        since = Some(at);
    }
    since.filter(|_| before != shown)
}

/// The hours or days since whose beginning is measured.
fn calendar(bucket: Option<Bucket>) -> Calendar {
    let unit = match bucket.expect("the measure needs it") {
        Bucket::Hour => CalendarUnit::Hour,
        Bucket::Day => CalendarUnit::Day,
    };
    Calendar { unit, from: 0, ago: 0 }
}

fn measured(gauge: &Gauge, at: &Held) -> Measured {
    let held = &at.spans;
    let highest = held.iter().map(|span| span.level).max().unwrap_or_default();
    match gauge.measure {
        Measure::Count => Measured::Number(Some(held.len() as i64 * 1_000)),
        Measure::Sum => Measured::Number(Some(held.iter().map(|span| span.weight).sum())),
        Measure::Distinct => Measured::Number(Some(things(gauge, held) as i64 * 1_000)),
        Measure::Highest => match &gauge.number {
            Some(name) => Measured::Number(held.iter().filter_map(|span| span.number(name)).max()),
            None => Measured::Level(highest),
        },
        Measure::Fused => {
            let enough = gauge.at_least.expect("the measure needs it") as usize;
            let is_lifted = highest != Level::None && things(gauge, held) >= enough;
            let higher = highest.index() + usize::from(is_lifted);
            Measured::Level(Level::ALL.get(higher).copied().unwrap_or(Level::Red))
        }
        Measure::Missing => {
            let on = &gauge.needs.as_ref().expect("the measure needs it").on;
            let lacks = |span: &&Rc<Span>| span.tuple(on).is_some_and(|wanted| !at.there.contains(&wanted));
            let lacking: Spans = held.iter().filter(lacks).cloned().collect();
            Measured::Number(Some(things(gauge, &lacking) as i64 * 1_000))
        }
        Measure::Elapsed | Measure::Covered | Measure::Starts => unreachable!("it rests on more than one instant"),
    }
}

/// How many different things spans are about.
fn things(gauge: &Gauge, spans: &[Rc<Span>]) -> usize {
    let things: Tuples = spans.iter().filter_map(|span| span.tuple(&gauge.attributes)).collect();
    things.len()
}

fn members(gauge: &Gauge, held: &[Rc<Span>]) -> Vec<GaugeMember> {
    let mut held = held.to_vec();
    held.sort_by_key(|span| {
        // Several holders of one permit have its identifier.
        let named = (span.id.clone(), span.source.clone());
        (Reverse(span.level), Reverse(span.weight), span.begin, named)
    });
    let first = held.iter().take(10);
    first
        .map(|span| GaugeMember {
            of: span.of,
            id: span.id.clone(),
            kind: span.kind.clone(),
            from: Millis(span.begin),
            to: span.end(gauge).map(Millis),
            level: span.level,
            weight: number(span.weight),
            source: span.source.clone(),
            evidence: span.evidence.clone(),
        })
        .collect()
}

fn number(thousandths: i64) -> Number {
    Number(thousandths as f64 / 1_000.0)
}
