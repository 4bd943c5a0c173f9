//! What came up of events, other spans and gauges in all histories together.

use std::collections::{BTreeMap, BTreeSet};

use riskflow::runtime::output::EpochOutput;
use riskflow::runtime::replay::EpochInput;
use riskflow_config::{InputRecord, TimeSettings};
use riskflow_model::event::{Event, Model, Review, Verdict};
use riskflow_model::gauge::{GaugeState, Measure, SpanKind};
use riskflow_model::observation::Op;
use riskflow_model::output::{DeadLetter, Reason};
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Row, Text};

const DAY: i64 = 86_400_000;
/// How often each must have happened.
const ENOUGH: u32 = 20;

const MEASURES: [Measure; 8] = [
    Measure::Count,
    Measure::Sum,
    Measure::Distinct,
    Measure::Highest,
    Measure::Elapsed,
    Measure::Fused,
    Measure::Covered,
    Measure::Starts,
];
/// Of what other sorts rows must be; the identifiers of their gauges begin so.
const SORTS: [&str; 3] = ["permit", "holder", "maintenance"];
/// What must have changed a row that shows the event; but for `forgotten`, which none shows any more, and for the last, which is of
/// permits.
const WAYS: [&str; 9] = [
    "late across the border",
    "corrected",
    "deleted",
    "reviewed false",
    "of a bad model",
    "moved with its asset",
    "uncovered by the clock",
    "forgotten",
    "missing by the clock",
];

/// What came up, and how often.
#[derive(Default)]
pub(super) struct Gauges {
    /// By measure, and of other sorts than events by sort: how many rows came, are others, and went.
    rows: BTreeMap<&'static str, [u32; 3]>,
    ways: BTreeMap<&'static str, u32>,
    refused: BTreeMap<Reason, u32>,
    /// Of the history under way: events that were taken, and those that lie ahead of the clock.
    events: BTreeMap<Text, Event>,
    ahead: BTreeSet<Text>,
}

/// The rows of an epoch: which went, and which came.
struct Rows<'a> {
    went: Vec<&'a GaugeState>,
    came: Vec<&'a GaugeState>,
}

/// Whether a row shows an event.
fn shows(row: &GaugeState, event: &Text) -> bool {
    let mut members = row.members.iter();
    members.any(|member| member.of == SpanKind::Event && member.id == *event)
}

/// What a row is counted as: of other sorts than events, of which there is each measure, as its sort.
fn counted(row: &GaugeState) -> Vec<&'static str> {
    match SORTS.into_iter().find(|sort| row.gauge.starts_with(sort)) {
        None => vec![row.measure.name()],
        Some(sort) if row.measure == Measure::Missing => vec![sort, Measure::Missing.name()],
        Some(sort) => vec![sort],
    }
}

impl Rows<'_> {
    fn went_with(&self, event: &Text) -> bool {
        self.went.iter().any(|row| shows(row, event))
    }

    fn came_with(&self, event: &Text) -> bool {
        self.came.iter().any(|row| shows(row, event))
    }

    /// Whether it went from one subject of a gauge to another, or its subject from one region to another.
    fn moved(&self, event: &Text) -> bool {
        let of_gauge = |old: &GaugeState, new: &GaugeState| {
            old.gauge == new.gauge && (old.subject != new.subject || old.region != new.region)
        };
        let mut from = self.went.iter().filter(|row| shows(row, event));
        from.any(|old| self.came.iter().any(|new| shows(new, event) && of_gauge(old, new)))
    }
}

impl Gauges {
    /// Before another history begins.
    pub(super) fn begin(&mut self) {
        self.events.clear();
        self.ahead.clear();
    }

    /// Takes in what came in an epoch, and what the stream said of it.
    pub(super) fn add(&mut self, input: &EpochInput, output: &EpochOutput, time: TimeSettings) {
        let states = output.table::<GaugeState>();
        let rows = Rows {
            went: states
                .clone()
                .filter(|(_, diff)| *diff < 0)
                .map(|(row, _)| row)
                .collect(),
            came: states.filter(|(_, diff)| *diff > 0).map(|(row, _)| row).collect(),
        };
        self.count(&rows);
        for letter in output.log::<DeadLetter>() {
            if *letter.topic == *Topic::IN_EVENT.name() {
                *self.refused.entry(letter.reason).or_default() += 1;
            }
        }
        self.lapse(input, &rows);
        let now = input.epoch.0;
        let mut said = BTreeSet::new();
        for (_, record) in &input.records {
            match record {
                InputRecord::Log(row) => {
                    if let Some(event) = row.downcast_ref::<Event>() {
                        said.insert(event.id.text().clone());
                        self.happened(event, now, time, &rows);
                    }
                }
                InputRecord::Base(key, row) => self.changed(*key, row.as_ref(), &rows),
                InputRecord::Observation(_) | InputRecord::Action(_) => {}
            }
        }
        self.pass(now, time.event_age.0, &said, &rows);
    }

    fn note(&mut self, way: &'static str, happened: bool) {
        *self.ways.entry(way).or_default() += u32::from(happened);
    }

    fn count(&mut self, rows: &Rows<'_>) {
        let keys = |rows: &[&GaugeState]| -> BTreeSet<_> {
            let each = rows
                .iter()
                .flat_map(|row| counted(row).into_iter().map(move |name| (row, name)));
            each.map(|(row, name)| (row.gauge.clone(), row.subject.clone(), name))
                .collect()
        };
        let (went, came) = (keys(&rows.went), keys(&rows.came));
        for place in went.union(&came) {
            let counts = self.rows.entry(place.2).or_default();
            let way = match (went.contains(place), came.contains(place)) {
                (false, _) => 0,
                (true, true) => 1,
                (true, false) => 2,
            };
            counts[way] += 1;
        }
    }

    fn happened(&mut self, event: &Event, now: i64, time: TimeSettings, rows: &Rows<'_>) {
        let (id, first) = (event.id.text(), now - time.event_age.0);
        if event.end().0 < first || event.time.0 > now + time.event_ahead.0 {
            return;
        }
        let is_known = self.events.remove(id).is_some();
        self.ahead.remove(id);
        if event.op == Op::Delete {
            self.note("deleted", is_known && rows.went_with(id) && !rows.came_with(id));
            return;
        }
        self.note("corrected", is_known && rows.went_with(id) && rows.came_with(id));
        let mut shown = rows.came.iter().flat_map(|row| &row.members);
        let is_it = |id: &Text, of: SpanKind| of == SpanKind::Event && id == event.id.text();
        let from_there = shown.any(|member| is_it(&member.id, member.of) && member.from.0 == first);
        self.note("late across the border", event.time.0 < first && from_there);
        if event.time.0 > now {
            self.ahead.insert(id.clone());
        }
        self.events.insert(id.clone(), event.clone());
    }

    /// A row of any table.
    fn changed(&mut self, key: Key, row: Option<&Row>, rows: &Rows<'_>) {
        let Some(row) = row else { return };
        if let Some(review) = row.downcast_ref::<Review>() {
            let event = review.event.text();
            let is_false = review.verdict == Verdict::False;
            self.note(
                "reviewed false",
                is_false && rows.went_with(event) && !rows.came_with(event),
            );
        } else if let Some(model) = row.downcast_ref::<Model>() {
            let of_model = |event: &&Event| event.model.as_ref() == Some(&model.id);
            let mut gone = self.events.values().filter(of_model).map(|event| event.id.text());
            let any = gone.any(|event| rows.went_with(event) && !rows.came_with(event));
            self.note("of a bad model", model.bad && any);
        } else if row.topic() == Topic::BASE_ASSET {
            let there = |event: &&Event| event.asset.as_ref().is_some_and(|asset| asset.key() == key);
            let mut there = self.events.values().filter(there).map(|event| event.id.text());
            let any = there.any(|event| rows.moved(event));
            self.note("moved with its asset", any);
        }
    }

    /// What time alone does to events of which nothing was said.
    fn pass(&mut self, now: i64, age: i64, said: &BTreeSet<Text>, rows: &Rows<'_>) {
        let has_begun = |id: &Text| self.events.get(id).is_some_and(|event| event.time.0 <= now);
        let begun: Vec<Text> = self.ahead.iter().filter(|id| has_begun(id)).cloned().collect();
        for id in begun {
            self.ahead.remove(&id);
            self.note("uncovered by the clock", !said.contains(&id) && rows.came_with(&id));
        }
        let before = self.events.len();
        self.events.retain(|_, event| {
            let longer = if event.is_momentary() { DAY } else { 0 };
            event.open || now < event.end().0 + age + longer
        });
        for _ in self.events.len()..before {
            self.note("forgotten", true);
        }
    }

    /// Whether somebody lacks more or less while nothing was said of anything that gauges of permits rest on.
    fn lapse(&mut self, input: &EpochInput, rows: &Rows<'_>) {
        let rests_on = [Topic::IN_PERMIT, Topic::IN_GAUGE, Topic::BASE_ASSET, Topic::BASE_REGION];
        let mut topics = input.records.iter().map(|(origin, _)| origin.topic);
        let is_said = topics.any(|topic| rests_on.iter().any(|one| one.id() == topic));
        let is_other = |new: &GaugeState| {
            let is_before = |old: &&GaugeState| (&old.gauge, &old.subject) == (&new.gauge, &new.subject);
            let before = rows.went.iter().copied().find(is_before);
            new.measure == Measure::Missing && before.is_some_and(|old| old.value != new.value)
        };
        let any = rows.came.iter().copied().any(is_other);
        self.note("missing by the clock", !is_said && any);
    }

    /// Rows of every measure and sort must come, change and go, in all these ways.
    pub(super) fn check(&self) {
        let measures = MEASURES.map(Measure::name);
        for name in measures.into_iter().chain(SORTS).chain([Measure::Missing.name()]) {
            let counts = self.rows.get(name).copied().unwrap_or_default();
            let often = counts.iter().all(|count| *count >= ENOUGH);
            assert!(often, "rows of {name}: came, others, went: {counts:?}");
        }
        for way in WAYS {
            let times = self.ways.get(way).copied().unwrap_or(0);
            assert!(times >= ENOUGH, "events, {way}: {:?}", self.ways);
        }
        for reason in [Reason::TooLate, Reason::InFuture] {
            let times = self.refused.get(&reason).copied().unwrap_or(0);
            assert!(times >= ENOUGH, "events refused: {:?}", self.refused);
        }
    }
}
