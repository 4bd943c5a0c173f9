//! Warnings beside what happened: hits, misses, false alarms, lead time.
//!
//! The words are those of forecast verification: the Joint Working Group on Forecast Verification Research of the WMO's WWRP and WGNE,
//! "Forecast Verification: Issues, Methods and FAQ"; Jolliffe and Stephenson, "Forecast Verification: A Practitioner's Guide in
//! Atmospheric Science". What they mean here stands in docs/backtest.md.

use std::collections::BTreeMap;

use riskflow_model::{Duration, Level, Millis};
use serde::Serialize;

use super::episode::Episode;
use super::truth::{Event, Place};
use super::world::World;

/// When a warning counts for an event.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Warnings that reached this level are judged; of events that say one, that level.
    pub level: Level,
    /// They may come so long before the event.
    pub max_lead: Duration,
}

/// How warnings stand beside events.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// How many events.
    pub events: usize,
    /// Those that were warned of.
    pub hits: usize,
    /// Those that were not.
    pub misses: usize,
    /// Warnings that are judged.
    pub warnings: usize,
    /// Those of them without an event.
    pub false_alarms: usize,
    /// Hits of all events: the probability of detection.
    pub pod: Option<f64>,
    /// False alarms of all warnings that are judged: the false-alarm ratio.
    pub far: Option<f64>,
    /// Hits of hits, misses and false alarms: the critical success index.
    pub csi: Option<f64>,
    /// From the first warning of an event to its beginning.
    pub lead: Option<Lead>,
}

/// Lead times of the hits, in milliseconds; less than 0 where the warning came after the event began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lead {
    /// A quarter of them is not greater.
    pub lower_quartile_ms: i64,
    /// Half of them is not greater.
    pub median_ms: i64,
    /// Three quarters of them are not greater.
    pub upper_quartile_ms: i64,
}

impl Lead {
    /// Of some lead times: the one at place ⌈q·n⌉ in order of size, as the feature `quantile` has it.
    fn of(mut leads: Vec<i64>) -> Option<Self> {
        leads.sort_unstable();
        let at = |quarters: usize| leads.get((leads.len() * quarters).div_ceil(4).checked_sub(1)?).copied();
        Some(Self {
            lower_quartile_ms: at(1)?,
            median_ms: at(2)?,
            upper_quartile_ms: at(3)?,
        })
    }
}

/// How each event came off: the lead time of a hit, `None` of a miss. And the scores.
pub fn judge<'a>(
    episodes: impl Iterator<Item = &'a Episode>,
    events: &[&Event],
    terms: Terms,
    world: &World,
) -> (Scores, Vec<Option<i64>>) {
    let mut first: Vec<Option<Millis>> = vec![None; events.len()];
    let (mut warnings, mut false_alarms) = (0, 0);
    for episode in episodes.filter(|episode| !episode.withdrawn) {
        let mut has_event = false;
        for (event, first) in events.iter().zip(&mut first) {
            let reached = episode.reached(event.level.unwrap_or(terms.level));
            let is_hit = in_time(reached, event, terms);
            let is_true = in_time(episode.reached(terms.level), event, terms);
            if (is_hit || is_true) && concerns(episode, event, world) {
                has_event |= is_true;
                if is_hit && first.is_none_or(|first| reached < Some(first)) {
                    *first = reached;
                }
            }
        }
        if episode.reached(terms.level).is_some() {
            warnings += 1;
            false_alarms += usize::from(!has_event);
        }
    }
    let leads = events.iter().zip(&first);
    let leads: Vec<Option<i64>> = leads
        .map(|(event, first)| first.map(|first| event.from.0 - first.0))
        .collect();
    let hits = leads.iter().flatten().count();
    let misses = events.len() - hits;
    let scores = Scores {
        events: events.len(),
        hits,
        misses,
        warnings,
        false_alarms,
        pod: ratio(hits, events.len()),
        far: ratio(false_alarms, warnings),
        csi: ratio(hits, hits + misses + false_alarms),
        lead: Lead::of(leads.iter().copied().flatten().collect()),
    };
    (scores, leads)
}

/// Whether a warning is about the place and the domain of an event.
fn concerns(episode: &Episode, event: &Event, world: &World) -> bool {
    let there = match &event.at {
        Place::Region(region) => world.within(episode.region, *region),
        Place::Asset(asset) => *episode.asset.text() == *asset,
    };
    there && event.domain.is_none_or(|domain| domain == episode.domain)
}

fn in_time(reached: Option<Millis>, event: &Event, terms: Terms) -> bool {
    reached.is_some_and(|reached| reached >= event.from - terms.max_lead && reached <= event.to)
}

/// To ten-thousandths.
fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64 * 10_000.0).round() / 10_000.0)
}

/// What reached nine tenths of the thresholds of a level while the rule itself gave no warning of that level.
pub fn near_misses<'a>(near: &'a [Episode], new: &[Episode], level: Level) -> Vec<&'a Episode> {
    let counts = |episode: &&Episode| !episode.withdrawn && episode.peak >= level;
    let mut warned: BTreeMap<_, Vec<&Episode>> = BTreeMap::new();
    for one in new.iter().filter(counts) {
        warned.entry((&one.rule, &one.asset)).or_default().push(one);
    }
    let is_warned_of = |near: &Episode| {
        let same = warned.get(&(&near.rule, &near.asset)).into_iter().flatten();
        same.copied().any(|new| new.overlaps(near))
    };
    near.iter().filter(counts).filter(|near| !is_warned_of(near)).collect()
}

#[cfg(test)]
mod tests {
    use riskflow_model::Domain;

    use super::super::episode::tests::episode;
    use super::*;

    const TERMS: Terms = Terms {
        level: Level::Blue,
        max_lead: Duration(100),
    };

    fn event(place: &str, (from, to): (i64, i64)) -> Event {
        Event {
            line: 2,
            place: place.to_owned(),
            at: match place.parse() {
                Ok(region) if place.starts_with('3') => Place::Region(region),
                _ => Place::Asset(place.into()),
            },
            from: Millis(from),
            to: Millis(to),
            level: None,
            domain: None,
        }
    }

    fn judged(episodes: &[Episode], events: &[Event]) -> (Scores, Vec<Option<i64>>) {
        judge(
            episodes.iter(),
            &events.iter().collect::<Vec<_>>(),
            TERMS,
            &World::default(),
        )
    }

    #[test]
    fn hits_misses_and_false_alarms_are_counted_as_by_hand() {
        let blue = |asset, since| episode("rain", asset, (since, since + 50), Level::Blue);
        // All of `a` and `b` are in 330902. Events: 1000 is warned of twice, at 900 and 990; 2000 at 2010, too late but while it lasts;
        // 3000 a moment too early; 4000 at another asset. So two hits of four; of five warnings two are false.
        let episodes = [
            blue("a", 900),
            blue("a", 990),
            blue("a", 2_010),
            blue("a", 2_899),
            blue("b", 4_000),
        ];
        let events = [
            event("330902", (1_000, 1_100)),
            event("3309", (2_000, 2_010)),
            event("330902001001", (3_000, 3_100)),
            event("a", (4_000, 4_100)),
        ];
        let (scores, leads) = judged(&episodes, &events);
        assert_eq!(leads, [Some(100), Some(-10), None, None]);
        assert_eq!(
            (
                scores.events,
                scores.hits,
                scores.misses,
                scores.warnings,
                scores.false_alarms
            ),
            (4, 2, 2, 5, 2)
        );
        assert_eq!(
            (scores.pod, scores.far, scores.csi),
            (Some(0.5), Some(0.4), Some(0.3333))
        );
        let lead = scores.lead.unwrap();
        assert_eq!(
            (lead.lower_quartile_ms, lead.median_ms, lead.upper_quartile_ms),
            (-10, -10, 100)
        );
    }

    #[test]
    fn an_event_may_ask_for_a_level_and_a_domain() {
        let mut low = episode("rain", "a", (0, 50), Level::Blue);
        let mut asked = event("3309", (10, 20));
        asked.level = Some(Level::Orange);
        // No hit, and no false alarm: something happened.
        let (scores, _) = judged(&[low.clone()], &[asked.clone()]);
        assert_eq!((scores.hits, scores.misses, scores.false_alarms), (0, 1, 0));
        low.told = [Some(Millis(0)), Some(Millis(5)), Some(Millis(12)), None];
        assert_eq!(judged(&[low.clone()], &[asked.clone()]).1, [Some(-2)]);
        asked.domain = Some(Domain::Lifeline);
        let (scores, _) = judged(&[low], &[asked]);
        assert_eq!((scores.hits, scores.false_alarms), (0, 1));
    }

    #[test]
    fn what_was_withdrawn_or_over_when_it_was_learnt_is_not_judged() {
        let mut gone = episode("rain", "a", (0, 50), Level::Blue);
        gone.withdrawn = true;
        let mut late = episode("rain", "a", (60, 90), Level::Blue);
        late.told = [None; 4];
        let (scores, leads) = judged(&[gone, late], &[event("3309", (0, 100))]);
        assert_eq!((scores.warnings, scores.false_alarms, leads), (0, 0, vec![None]));
        assert_eq!((scores.pod, scores.far, scores.csi), (Some(0.0), None, Some(0.0)));
        let (scores, _) = judged(&[], &[]);
        assert_eq!((scores.pod, scores.csi, scores.lead), (None, None, None));
    }

    #[test]
    fn a_near_miss_has_no_warning_of_its_level_beside_it() {
        let at = |times, level| episode("rain", "a", times, level);
        let new = [at((10, 20), Level::Blue)];
        let near = [
            at((5, 30), Level::Blue),
            at((40, 50), Level::Blue),
            at((60, 70), Level::Red),
        ];
        let since = |level| {
            near_misses(&near, &new, level)
                .iter()
                .map(|one| one.since.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(since(Level::Blue), [40, 60]);
        assert_eq!(since(Level::Orange), [60]);
    }
}
