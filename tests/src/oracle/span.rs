//! Spans: what holds from one time to another. Events as far as they are known, and the spans that they are as of now.

use std::collections::BTreeMap;
use std::rc::Rc;

use riskflow_config::TimeSettings;
use riskflow_model::base::Asset;
use riskflow_model::event::{Event, Model, Review, Verdict};
use riskflow_model::gauge::{Gauge, SpanCondition, SpanKind};
use riskflow_model::observation::Op;
use riskflow_model::output::Reason;
use riskflow_model::{Key, Level, Number, RegionCode, Row, Text};

use super::table::Table;

/// A momentary event is remembered for so much longer than others.
const DAY: i64 = 86_400_000;

/// What is known of events, and what is said of them.
#[derive(Default)]
pub struct Events {
    /// By identifier: the event, and when it begins.
    known: BTreeMap<String, (Event, i64)>,
    /// What came in this epoch and is not settled yet: of each identifier the last.
    came: BTreeMap<String, Event>,
    reviews: Table<Review>,
    models: Table<Model>,
}

/// Something that holds from one time to another.
pub struct Span {
    /// Of which sort it is.
    pub of: SpanKind,
    /// The identifier of the event, permit or window.
    pub id: Text,
    pub kind: Text,
    pub begin: i64,
    pub lasts: Lasts,
    pub level: Level,
    /// In thousandths.
    pub weight: i64,
    pub asset: Option<Text>,
    /// None of what is nowhere.
    pub region: Option<RegionCode>,
    pub source: Text,
    pub evidence: Text,
    /// The record that it is made of, as text.
    pub made: String,
    pub texts: BTreeMap<String, String>,
    pub numbers: BTreeMap<String, f64>,
}

/// How long something lasts.
#[derive(Clone, Copy)]
pub enum Lasts {
    /// As long as the gauge says.
    Moment,
    Until(i64),
    On,
}

impl Events {
    /// A record of any table.
    pub fn base(&mut self, topic: u16, key: Key, row: Option<&Row>) {
        self.reviews.apply(topic, key, row);
        self.models.apply(topic, key, row);
    }

    /// Takes a record in, or says why not.
    pub fn take(&mut self, now: i64, event: &Event, time: TimeSettings) -> Option<Reason> {
        if over(event).is_some_and(|end| end < now - time.event_age.0) {
            return Some(Reason::TooLate);
        }
        if event.time.0 > now + time.event_ahead.0 {
            return Some(Reason::InFuture);
        }
        self.came.insert(event.id.to_string(), event.clone());
        None
    }

    /// Puts what came in an epoch in the place of what was known, and forgets what is over for long.
    pub fn settle(&mut self, now: i64, age: i64) {
        let first = now - age;
        for (id, event) in std::mem::take(&mut self.came) {
            let before = self.known.remove(&id);
            if event.op == Op::Delete {
                continue;
            }
            // What was so before stays so, up to there.
            let goes_on = |known: &Event, begin: i64| {
                begin < first && over(known).is_none_or(|end| end >= first) && event.time.0 < first
            };
            let begin = match before {
                Some((known, begin)) if goes_on(&known, begin) => begin,
                _ => event.time.0.max(first),
            };
            self.known.insert(id, (event, begin));
        }
        self.known.retain(|_, (event, _)| {
            let longer = if is_momentary(event) { DAY } else { 0 };
            over(event).is_none_or(|end| now < end + age + longer)
        });
    }

    /// All spans as of now.
    pub fn spans(&self, assets: &Table<Asset>) -> Vec<Rc<Span>> {
        let events = self.known.values();
        events
            .filter_map(|(event, begin)| self.span(event, *begin, assets).map(Rc::new))
            .collect()
    }

    fn span(&self, event: &Event, begin: i64, assets: &Table<Asset>) -> Option<Span> {
        let verdict = self.reviews.get(&event.id.key()).map(|review| review.verdict);
        let model = event.model.as_ref().and_then(|model| self.models.get(&model.key()));
        if verdict == Some(Verdict::False) || model.is_some_and(|model| model.bad) {
            return None;
        }
        let asset = match &event.asset {
            Some(asset) => Some(&**assets.get(&asset.key())?),
            None => None,
        };
        let region = asset.map_or(event.region, |asset| Some(asset.region));
        let own = [
            ("event", Some(event.id.to_string())),
            ("kind", Some(event.kind.to_string())),
            ("level", Some(event.level.to_string())),
            ("model", event.model.as_ref().map(ToString::to_string)),
            ("review", verdict.map(|_| "confirmed".to_owned())),
            (
                "source",
                Some(event.source.to_string()).filter(|source| !source.is_empty()),
            ),
        ];
        let given = event.attributes.iter();
        let mut texts: BTreeMap<String, String> =
            given.map(|(name, text)| (name.to_string(), text.to_string())).collect();
        texts.extend(
            own.into_iter()
                .filter_map(|(name, text)| Some((name.to_owned(), text?))),
        );
        texts.extend(texts_of_place(asset, region));
        let given = event.numbers.iter();
        let mut numbers: BTreeMap<String, f64> = given.map(|(name, number)| (name.to_string(), number.0)).collect();
        let weight = event.weight.map_or(1_000, thousandths);
        numbers.insert("weight".to_owned(), weight as f64 / 1_000.0);
        numbers.extend(event.confidence.map(|number| ("confidence".to_owned(), number.0)));
        Some(Span {
            of: SpanKind::Event,
            id: event.id.text().clone(),
            kind: event.kind.clone(),
            begin,
            lasts: match event.to {
                _ if is_momentary(event) => Lasts::Moment,
                Some(to) => Lasts::Until(to.0),
                None => Lasts::On,
            },
            level: event.level,
            weight,
            asset: asset.map(|asset| asset.id.text().clone()),
            region,
            source: event.source.clone(),
            evidence: event.evidence.clone(),
            made: format!("{event:?}"),
            texts,
            numbers,
        })
    }
}

/// The texts of a span that say where it is.
pub fn texts_of_place(asset: Option<&Asset>, region: Option<RegionCode>) -> BTreeMap<String, String> {
    let texts = [
        ("asset", asset.map(|asset| asset.id.to_string())),
        ("category", asset.map(|asset| asset.category.to_string())),
        ("domain", asset.map(|asset| asset.domain.to_string())),
        ("region", region.map(|region| region.to_string())),
    ];
    let texts = texts.into_iter();
    texts
        .filter_map(|(name, text)| Some((name.to_owned(), text?)))
        .collect()
}

impl Span {
    /// When it is over in a gauge; `None` where it goes on.
    pub fn end(&self, gauge: &Gauge) -> Option<i64> {
        match self.lasts {
            Lasts::Moment => Some(self.begin + gauge.lasts().0),
            Lasts::Until(end) => Some(end),
            Lasts::On => None,
        }
    }

    /// Whether it holds in a gauge at an instant.
    pub fn holds(&self, gauge: &Gauge, at: i64) -> bool {
        self.begin <= at && self.end(gauge).is_none_or(|end| at < end)
    }

    /// Whether a gauge measures it.
    pub fn is_of(&self, gauge: &Gauge) -> bool {
        self.of == gauge.of
            && gauge.kind.as_ref().is_none_or(|kind| *kind == self.kind)
            && gauge.conditions.iter().all(|condition| self.meets(condition))
    }

    fn meets(&self, condition: &SpanCondition) -> bool {
        if let Some(text) = &condition.equals {
            return self.text(&condition.attribute) == Some(&**text);
        }
        let least = condition.at_least.map_or(f64::MIN, |least| least.0);
        let most = condition.at_most.map_or(f64::MAX, |most| most.0);
        let number = self.numbers.get(&*condition.attribute);
        number.is_some_and(|number| least <= *number && *number <= most)
    }

    /// An attribute that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// Several of these; none if it lacks one.
    pub fn tuple(&self, names: &[Text]) -> Option<Vec<String>> {
        names.iter().map(|name| self.text(name).map(str::to_owned)).collect()
    }

    /// An attribute that is a number, in thousandths.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.numbers.get(name).map(|number| (number * 1_000.0).round() as i64)
    }
}

/// When an event is over; `None` of one that goes on, and where it is taken back.
fn over(event: &Event) -> Option<i64> {
    match event.op {
        Op::Upsert if event.open => None,
        Op::Upsert => Some(event.to.unwrap_or(event.time).0),
        Op::Delete => None,
    }
}

fn is_momentary(event: &Event) -> bool {
    event.to.is_none() && !event.open
}

fn thousandths(number: Number) -> i64 {
    number.thousandths().expect("numbers were checked when they were read")
}
