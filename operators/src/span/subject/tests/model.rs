//! One group against a model that looks at every instant.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use proptest::prelude::*;
use riskflow_model::gauge::Measure;

use super::*;

/// All begins and ends at multiples of it: the model looks at each of these instants.
const TICK: i64 = 600_000;

const TICKS_OF_HOUR: i64 = HOUR / TICK;

/// A span as the model knows it; times in ticks.
#[derive(Clone, Debug)]
struct Drawn {
    id: usize,
    from: i64,
    to: i64,
    level: Level,
    /// In thousandths.
    weight: i64,
    /// 0 for none.
    line: u8,
    /// In thousandths; 0 for none.
    speed: i64,
    /// What it needs; 0 for nothing.
    paper: u8,
}

/// What others need; times in ticks.
#[derive(Clone, Debug)]
struct Paper {
    id: usize,
    /// [`ALWAYS`] where it was always there.
    from: i64,
    to: i64,
    on: u8,
}

/// As many milliseconds.
fn millis(ticks: i64) -> i64 {
    if matches!(ticks, ALWAYS | OPEN) {
        ticks
    } else {
        ticks * TICK
    }
}

/// Ticks after an instant.
fn after(ticks: i64, now: i64) -> i64 {
    if matches!(ticks, ALWAYS | OPEN) {
        ticks
    } else {
        ticks + now
    }
}

impl Paper {
    fn span(&self) -> NeededSpan {
        NeededSpan {
            from: Millis(millis(self.from)),
            to: Millis(millis(self.to)),
            on: tuple(&self.on.to_string()).unwrap(),
        }
    }
}

impl Drawn {
    fn span(&self) -> GaugeSpan {
        let text = |number: u8| Some(number.to_string()).filter(|_| number > 0);
        GaugeSpan {
            level: self.level,
            weight: self.weight,
            tuple: text(self.line).and_then(|line| tuple(&line)),
            needs: text(self.paper).and_then(|paper| tuple(&paper)),
            number: Some(self.speed).filter(|speed| *speed != 0),
            ..span(&self.id.to_string(), millis(self.from), millis(self.to))
        }
    }
}

/// What a number or level is at an instant: neither where it is unknown.
type Said = (Option<i64>, Option<Level>);

/// A group by the letter: what held at every tick from 0 on, and what began.
struct Model {
    gauge: Shared<Gauge>,
    age: i64,
    there: Vec<Drawn>,
    papers: Vec<Paper>,
    held: Vec<Vec<Drawn>>,
    /// What was to be had at every tick.
    had: Vec<BTreeSet<u8>>,
    began: Vec<i64>,
}

impl Model {
    fn change(&mut self, now: i64, there: Vec<Drawn>, papers: Vec<Paper>, anew: bool) {
        let goes_on = !self.there.is_empty() && !anew && self.gauge.of == SpanKind::Event;
        let floor = if goes_on { now - self.age } else { 0 };
        for (at, had) in (0..).zip(&mut self.had).filter(|(at, _)| *at >= floor) {
            let holds = papers.iter().filter(|paper| paper.from <= at && at < paper.to);
            *had = holds.map(|paper| paper.on).collect();
        }
        self.papers = papers;
        for (at, held) in (0..).zip(&mut self.held).filter(|(at, _)| *at >= floor) {
            let holds = there.iter().filter(|drawn| drawn.from <= at && at < drawn.to);
            *held = holds.cloned().collect();
        }
        self.began.retain(|from| goes_on && *from < floor);
        let begin = there.iter().map(|drawn| drawn.from);
        self.began.extend(begin.filter(|from| *from >= floor));
        self.there = there;
    }

    fn at(&self, at: i64) -> &[Drawn] {
        &self.held[usize::try_from(at).unwrap()]
    }

    /// Goes back tick by tick.
    fn chain(&self, at: i64) -> Option<i64> {
        let (mut since, mut hole) = (None, 0);
        for earlier in (0..=at).rev() {
            if !self.at(earlier).is_empty() {
                (since, hole) = (Some(earlier), 0);
            } else {
                hole += 1;
                if since.is_none() || hole * TICK >= self.gauge.gap().0 {
                    break;
                }
            }
        }
        since
    }

    fn value(&self, at: i64) -> Said {
        let held = self.at(at);
        let begin = at - at % TICKS_OF_HOUR;
        let highest = held.iter().map(|drawn| drawn.level).max().unwrap_or_default();
        let lines: BTreeSet<u8> = held.iter().map(|drawn| drawn.line).filter(|line| *line > 0).collect();
        let number = match self.gauge.measure {
            Measure::Count => held.len() as i64,
            Measure::Sum => held.iter().map(|drawn| drawn.weight).sum(),
            Measure::Distinct => lines.len() as i64,
            Measure::Highest if self.gauge.number.is_some() => {
                let speeds = held.iter().map(|drawn| drawn.speed);
                return (speeds.filter(|speed| *speed != 0).max(), None);
            }
            Measure::Highest => return (None, Some(highest)),
            Measure::Fused => {
                let more = usize::from(highest > Level::None && lines.len() >= 2);
                return (None, Some(Level::ALL[(highest.index() + more).min(4)]));
            }
            Measure::Elapsed => self.chain(at).map_or(0, |since| (at - since) * TICK),
            Measure::Covered => (begin..at).filter(|at| !self.at(*at).is_empty()).count() as i64 * TICK,
            Measure::Starts => self.began.iter().filter(|from| (begin..=at).contains(*from)).count() as i64,
            Measure::Missing => {
                let had = &self.had[usize::try_from(at).unwrap()];
                let lack = held
                    .iter()
                    .filter(|drawn| drawn.paper > 0 && !had.contains(&drawn.paper));
                let lines: BTreeSet<u8> = lack.map(|drawn| drawn.line).filter(|line| *line > 0).collect();
                lines.len() as i64
            }
        };
        (Some(number), None)
    }

    fn since(&self, now: i64) -> Option<i64> {
        if self.gauge.measure == Measure::Elapsed {
            return self.chain(now);
        }
        let piece = |at: i64| {
            if self.gauge.measure == Measure::Covered {
                let any = !self.at(at).is_empty();
                ((Some(at / TICKS_OF_HOUR), None), any)
            } else {
                (self.value(at), false)
            }
        };
        let same = (0..=now).rev().take_while(|at| piece(*at) == piece(now));
        same.last().filter(|since| *since > 0)
    }

    fn shown(&self, now: i64) -> Option<Shown> {
        let (number, level) = self.value(now);
        let mut held = self.at(now).to_vec();
        let nothing = number.unwrap_or(0) == 0 && level.unwrap_or_default() == Level::None;
        if self.there.is_empty() || held.is_empty() && nothing {
            return None;
        }
        let since = self.since(now);
        let number = match self.gauge.measure {
            Measure::Elapsed => None,
            Measure::Covered => self.value(since?).0,
            _ => number,
        };
        let thousandths = matches!(self.gauge.measure, Measure::Sum | Measure::Highest);
        let unit = if thousandths { 1_000.0 } else { 1.0 };
        held.sort_by_key(|drawn| (Reverse((drawn.level, drawn.weight)), drawn.from, drawn.id));
        Some(Shown {
            value: number.map(|number| number as f64 / unit),
            level,
            since: since.map(|since| since * TICK),
            members: held.iter().map(|drawn| drawn.id.to_string()).collect(),
        })
    }
}

/// What happens in an epoch.
#[derive(Clone, Debug)]
struct Step {
    /// Ticks since the one before.
    gap: i64,
    /// Spans as they are now, by times relative to it; or those that go.
    edits: Vec<(Drawn, bool)>,
    /// The same of what others need.
    papers: Vec<(Paper, bool)>,
    /// At 0 the gauge is another one, at 1 the asset moves.
    dice: u8,
    /// Whether there is a restart after it.
    reload: bool,
}

/// Times relative to now.
fn drawn() -> impl Strategy<Value = Drawn> {
    let what = (0..5usize, -2..4i64, 0..4u8, -1..3i64, 0..3u8);
    (0..5usize, -9..6i64, 0..8i64, what).prop_map(|(id, from, length, (level, weight, line, speed, paper))| Drawn {
        id,
        from,
        to: if length == 7 { OPEN } else { from + length },
        level: Level::ALL[level],
        weight: weight * 500,
        line,
        speed: speed * 500,
        paper,
    })
}

/// Times relative to now.
fn paper() -> impl Strategy<Value = Paper> {
    (0..4usize, -10..6i64, 1..8i64, 1..3u8).prop_map(|(id, from, length, on)| Paper {
        id,
        from: if from == -10 { ALWAYS } else { from },
        to: if length == 7 { OPEN } else { from + length },
        on,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let edits = prop::collection::vec((drawn(), prop::bool::weighted(0.7)), 0..4);
    let papers = prop::collection::vec((paper(), prop::bool::weighted(0.7)), 0..2);
    let step = (1..5i64, edits, papers, 0..15u8, prop::bool::weighted(0.2));
    let step = step.prop_map(|(gap, edits, papers, dice, reload)| Step {
        gap,
        edits,
        papers,
        dice,
        reload,
    });
    prop::collection::vec(step, 1..20)
}

fn check(gauge: &Shared<Gauge>, age: i64, steps: &[Step]) {
    let mut bench = Bench::new(age * TICK, gauge.clone());
    let mut model = Model {
        gauge: gauge.clone(),
        age,
        there: Vec::new(),
        papers: Vec::new(),
        held: vec![Vec::new(); 100],
        had: vec![BTreeSet::new(); 100],
        began: Vec::new(),
    };
    let mut now = 12;
    for step in steps {
        now += step.gap;
        let mut there = model.there.clone();
        for (drawn, comes) in &step.edits {
            there.retain(|known| known.id != drawn.id);
            there.extend(comes.then(|| Drawn {
                from: after(drawn.from, now),
                to: after(drawn.to, now),
                ..drawn.clone()
            }));
        }
        let mut papers = model.papers.clone();
        for (paper, comes) in &step.papers {
            papers.retain(|known| known.id != paper.id);
            papers.extend(comes.then(|| Paper {
                from: after(paper.from, now),
                to: after(paper.to, now),
                ..*paper
            }));
        }
        let (anew, moves) = (step.dice == 0, step.dice == 1);
        if anew || moves || !step.edits.is_empty() || !step.papers.is_empty() {
            bench.set(now * TICK, |bench| {
                bench.spans = there.iter().map(Drawn::span).collect();
                bench.needed = papers.iter().map(Paper::span).collect();
                if anew {
                    let title = now.to_string().into();
                    bench.gauge = Shared::new(Gauge {
                        title,
                        ..Gauge::clone(gauge)
                    });
                }
                if moves {
                    bench.subject.region = format!("place-{now}").parse().unwrap();
                }
            });
            model.change(now, there, papers, anew);
        } else {
            bench.pass(now * TICK);
        }
        assert_eq!(bench.shown(), model.shown(now), "{:?} at {now}", gauge.measure);
        if step.reload {
            bench.reload(now * TICK);
        }
    }
}

proptest! {
    #[test]
    fn rows_are_those_of_a_model_that_looks_at_every_instant(
        age in prop_oneof![4 => 0..8i64, 1 => Just(40i64)],
        steps in steps(),
    ) {
        let needs = json!({ "of": "certificate", "on": ["holder"] });
        let exact = [
            json!({ "of": "permit", "measure": "count" }),
            json!({ "of": "maintenance", "measure": "covered", "bucket": "hour" }),
            json!({ "of": "permit", "measure": "starts", "bucket": "hour" }),
            json!({ "of": "holder", "measure": "elapsed", "gap": "20m" }),
            json!({ "of": "holder", "measure": "missing", "attributes": ["holder"], "needs": needs }),
        ];
        for gauge in gauges().into_iter().chain(exact.map(gauge)) {
            check(&gauge, age, &steps);
        }
    }
}
