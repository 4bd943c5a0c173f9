//! What a running job tells of itself by and by: how it works off a history, which rules are in force, and what is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use riskflow::runtime::job::Handles;
use riskflow_config::{Clock, Input, Settings};
use riskflow_model::topic::Topic;
use riskflow_model::{Text, ruleset};

use super::super::tail;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(250);

/// So often dead letters are told, where there are new ones.
const DEAD: Duration = Duration::from_secs(10);

/// So often it is said again that no rule is in force.
const AGAIN: Duration = Duration::from_secs(600);

/// A thread that looks and tells.
pub struct News {
    ended: Arc<AtomicBool>,
    /// Whether the job did what it was to do.
    well: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl News {
    /// Starts it. A process without the tables does not know the rules. `again`: the arguments that lead another command to the same topics.
    /// `given`: of a replay with rules in the place of those of the history the sets that these are of.
    pub fn start(handles: &Handles, settings: &Settings, again: &str, given: Option<BTreeSet<String>>) -> Self {
        let ended: Arc<AtomicBool> = Arc::default();
        let mut teller = Teller {
            handles: handles.clone(),
            knows_rules: settings.cluster.process == 0,
            is_live: settings.clock == Clock::Live,
            is_exercise: settings.output_topics.exercise,
            given,
            begin: how_to_begin(&settings.input),
            letters: tail::read_with(
                settings,
                ("out.deadletter", &format!(" -n 5{again}")),
                Topic::DEAD_LETTER,
            ),
            bar: std::io::stderr().is_terminal().then(ProgressBar::new_spinner),
            ready_for: 0,
            in_force: None,
            live: None,
            warned: None,
            dead: BTreeMap::new(),
            dead_told: Instant::now(),
        };
        let well: Arc<AtomicBool> = Arc::default();
        let (until, done) = (Arc::clone(&ended), Arc::clone(&well));
        let work = move || {
            while !until.load(Ordering::Acquire) {
                teller.look();
                std::thread::park_timeout(LOOK);
            }
            teller.end(done.load(Ordering::Acquire));
        };
        let thread = std::thread::Builder::new().name("news".to_owned()).spawn(work);
        if let Err(error) = &thread {
            tracing::warn!(%error, "news of the job will not be told: there is no thread for them");
        }
        Self {
            ended,
            well,
            thread: thread.ok(),
        }
    }

    /// The job has ended, well or not: tells what was not told yet.
    pub fn end(self, well: bool) {
        self.well.store(well, Ordering::Release);
        self.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread {
            thread.thread().unpark();
            // It only tells: if it panicked, there is nothing to lose.
            let _ = thread.join();
        }
    }
}

struct Teller {
    handles: Handles,
    knows_rules: bool,
    is_live: bool,
    is_exercise: bool,
    /// The sets of rules that stand in the place of those of the history, where any do.
    given: Option<BTreeSet<String>>,
    /// What to do with an input that is empty.
    begin: String,
    /// How dead letters are read.
    letters: String,
    bar: Option<ProgressBar>,
    /// So many looks the job has been ready.
    ready_for: u32,
    /// How many rules and limits were in force at the last look; `None` before it is known.
    in_force: Option<(i64, i64)>,
    /// The rule set that was live at the last look.
    live: Option<Text>,
    /// When it was said last that there are none.
    warned: Option<Instant>,
    /// Dead letters that were told, by reason.
    dead: BTreeMap<&'static str, u64>,
    dead_told: Instant,
}

impl Teller {
    fn look(&mut self) {
        self.draw();
        if self.handles.ready.load(Ordering::Acquire) {
            self.ready_for = self.ready_for.saturating_add(1);
        }
        // What the first epochs brought is counted by the second look.
        if self.knows_rules && self.ready_for > 1 {
            self.rules();
        }
        if self.dead_told.elapsed() >= DEAD {
            self.dead_letters();
        }
    }

    fn end(&mut self, well: bool) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.dead_letters();
        // A replay is never ready: what was in force all along is told now.
        if well && self.knows_rules && !self.is_live && self.now() == (0, 0) {
            self.warn_of_none();
        }
    }

    /// A line on the terminal; the log has it in any case.
    fn draw(&self) {
        let Some(bar) = &self.bar else { return };
        match self.handles.catching_up.get() {
            Some(position) => {
                if bar.is_finished() {
                    bar.reset();
                }
                let doing = if self.is_exercise { "replay" } else { "catching up:" };
                bar.set_message(format!("{doing} {position}"));
                bar.tick();
            }
            None => bar.finish_and_clear(),
        }
    }

    fn now(&self) -> (i64, i64) {
        let meters = &self.handles.meters;
        (meters.sets.rules() as i64, meters.in_force.limits())
    }

    fn rules(&mut self) {
        let now = self.now();
        let (rules, limits) = now;
        let before = self.in_force.replace(now);
        let live = self.handles.meters.sets.live();
        if let (Some(was), Some(is)) = (&self.live, &live)
            && was != is
        {
            tracing::info!(before = %was, live = %is, rules, "another rule set is live");
        }
        self.live = live.or_else(|| self.live.take());
        if now == (0, 0) {
            if self.warned.is_none_or(|at| at.elapsed() >= AGAIN) {
                self.warned = Some(Instant::now());
                self.warn_of_none();
                if !self.is_exercise && self.handles.metrics.records.total() == 0 {
                    tracing::info!("nothing was read yet: {}", self.begin);
                }
            }
            return;
        }
        self.warned = None;
        if before.is_none_or(|before| before != now) {
            tracing::info!(rules, limits, "rules are in force");
        }
    }

    fn dead_letters(&mut self) {
        self.dead_told = Instant::now();
        let now: BTreeMap<&str, u64> = self.handles.metrics.done().dead_letters.into_iter().collect();
        let new = now
            .iter()
            .map(|(reason, count)| (*reason, count - self.dead.get(reason).copied().unwrap_or(0)));
        let new: Vec<String> = new
            .filter(|(_, count)| *count > 0)
            .map(|(reason, count)| format!("{reason} {count}"))
            .collect();
        if !new.is_empty() {
            tracing::warn!(
                "records could not be used: {}; {} shows which, and why",
                new.join(", "),
                self.letters
            );
        }
        self.dead = now;
    }

    fn warn_of_none(&self) {
        if self.is_exercise {
            let live = self.handles.meters.sets.live();
            let why = why_none(self.given.as_ref(), live.as_deref().unwrap_or(ruleset::DEFAULT));
            tracing::warn!("NO RULE IS IN FORCE: nothing warns. {why}");
            return;
        }
        tracing::warn!(
            "NO RULE IS IN FORCE: nothing will ever warn. `riskflow rules load` loads the packs that come with riskflow, `riskflow rules \
             load FILE` rules of your own"
        );
    }
}

/// Why a replay had no rule in force, and what to do. `given`: the sets of those of `--rules`; `live`: the set that is live.
fn why_none(given: Option<&BTreeSet<String>>, live: &str) -> String {
    let Some(given) = given else {
        return format!(
            "The history has none of the set that is live, `{live}`; `--rules PACK|FILE` puts some in the place of those of the history"
        );
    };
    if given.contains(live) {
        return "Those of `--rules` were not taken in before the end of the history; give a later `--until`".to_owned();
    }
    let of_what = match given.len() {
        1 => "of the set",
        _ => "of the sets",
    };
    let sets = given
        .iter()
        .map(|set| format!("`{set}`"))
        .collect::<Vec<_>>()
        .join(", ");
    let id = ruleset::qualified(live, "ID");
    let cure = match live {
        ruleset::DEFAULT => format!("give them identifiers without a set (`{id}`), or"),
        _ => format!("give them identifiers of that set (`{id}`), or"),
    };
    format!(
        "Those of `--rules` are {of_what} {sets}, and `{live}` is live in the history: they are candidates, and warn in \
         `out.candidate.delta` at most; {cure} a history in which `riskflow rules promote` made theirs live"
    )
}

/// How an input that is empty is filled.
fn how_to_begin(input: &Input) -> String {
    let others = "`riskflow rules load` loads rules, `riskflow import FILE…` base data and observations (assets.csv, datastreams.csv, …)";
    match input {
        Input::Log(folder) => {
            let city = format!(
                "`riskflow generate --to-log {}` a simulated city in a storm",
                folder.display()
            );
            format!("{others}, {city}; the job takes in what comes while it runs")
        }
        Input::Kafka(_) => format!("{others}; the job takes in what these and other producers write while it runs"),
        Input::Files(_) => format!("the files are empty; {others} into an embedded log or Kafka"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_no_rule_is_in_force_is_told_with_the_set_that_is_live() {
        let given = |sets: &[&str]| Some(sets.iter().map(|set| (*set).to_owned()).collect::<BTreeSet<_>>());
        let said = |sets: Option<BTreeSet<String>>, live: &str| why_none(sets.as_ref(), live);
        assert!(said(None, "default").starts_with("The history has none of the set that is live, `default`; `--rules"));
        let candidate = said(given(&["cand"]), "default");
        for part in ["are of the set `cand`, and `default` is live", "without a set (`ID`)"] {
            assert!(candidate.contains(part), "{part}: {candidate}");
        }
        let other = said(given(&["cand", "default"]), "storm");
        for part in [
            "are of the sets `cand`, `default`, and `storm` is live",
            "of that set (`storm/ID`)",
        ] {
            assert!(other.contains(part), "{part}: {other}");
        }
        assert!(said(given(&["cand", "default"]), "default").contains("were not taken in"));
    }

    #[test]
    fn an_empty_log_says_how_it_is_filled() {
        let said = how_to_begin(&Input::Log("data/log".into()));
        for part in [
            "riskflow rules load",
            "riskflow import",
            "riskflow generate --to-log data/log",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
