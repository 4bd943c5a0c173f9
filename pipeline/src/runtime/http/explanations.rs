//! `GET /api/v1/warnings/{id}/explanation` and `/api/v1/assets/{id}/explanation?at=TIME`, and
//! `/api/v1/warnings/known?at=TIME`: what `riskflow explain --json` prints.
//!
//! An explanation reads whole topics. So that the job goes on undisturbed they are made one after the other, on a thread that rests as
//! long as it works; few may wait, none takes longer than 20 s, and one that nobody waits for any more ends.
//!
//! | status | when |
//! |---|---|
//! | 200 | it is found |
//! | 400 | a time that is none, or yet to come; a region or a parameter that there is not |
//! | 401, 403 | where reading needs a token (`access`): none that is known; it lies elsewhere |
//! | 404 | there is no such asset or rule by then, or nothing was told of such a warning; this server explains nothing |
//! | 422 | it rests on more records than may be held beside a job |
//! | 503 | others are explained, it takes too long, or topics cannot be read: try again, or ask `riskflow explain` |

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use riskflow_model::RegionCode;
use riskflow_model::output::{AssetRisk, PastWarning, WarningState};
use serde_json::json;
use tokio::sync::Semaphore;

use super::access::Pass;
use super::views::{Named, Pairs, Reader, refused, unavailable};

/// How long an explanation may take, with the wait for its turn: less than the patience of the server.
const LIMIT: Duration = Duration::from_secs(20);

/// How many there may be, with the one whose turn it is.
const WAITING: usize = 4;

/// The thread rests when it has worked for so long, and for as long as it has worked.
const STRETCH: Duration = Duration::from_millis(5);

/// What took longer waited for something else, such as a broker.
const LONGEST: Duration = Duration::from_millis(250);

/// What is asked. Times are as people write them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Why a warning was raised, and what became of it.
    Warning {
        /// Its identifier, or how that begins.
        id: String,
        /// By what was told then.
        as_of: Option<String>,
    },
    /// What the rules said of an asset at a time.
    Asset {
        /// Its identifier.
        id: String,
        /// The time.
        at: String,
        /// By what was known then.
        as_of: Option<String>,
        /// Only this rule.
        rule: Option<String>,
        /// The rules that watch nothing of it, too.
        all_rules: bool,
    },
    /// Which warnings were open at a time.
    Known {
        /// The time.
        at: String,
        /// By what was told then.
        as_of: Option<String>,
        /// Only in this region and within: its code, or its name.
        within: Option<String>,
        /// Only of this rule.
        rule: Option<String>,
        /// Whoever asks sees this region only, and what lies within.
        seen: Option<RegionCode>,
    },
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// What is asked cannot be.
    Refused(String),
    /// There is no such thing.
    Missing(String),
    /// It rests on too many records.
    TooMuch(String),
    /// What it rests on cannot be read.
    Failed(String),
    /// Nobody waited any more.
    GivenUp,
}

/// Finds the JSON of an answer, and asks now and then whether somebody still waits for it.
pub type Explain = Arc<dyn Fn(&Question, &dyn Fn() -> bool) -> Result<String, NoAnswer> + Send + Sync>;

/// Who explains, and who waits for it.
#[derive(Clone)]
pub(super) struct Explanations {
    explain: Explain,
    stop: Arc<AtomicBool>,
    limit: Duration,
    places: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

/// Who asked is gone when this is dropped.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Explanations {
    /// `stop`: the job is to end, and nothing more is explained.
    pub fn new(explain: Explain, stop: Arc<AtomicBool>) -> Self {
        Self {
            explain,
            stop,
            limit: LIMIT,
            places: Arc::new(Semaphore::new(WAITING)),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// The answer, or `None` where too many wait.
    async fn answer(&self, question: Question) -> Option<Result<String, NoAnswer>> {
        let _place = self.places.try_acquire().ok()?;
        let gone = Arc::new(AtomicBool::new(false));
        let _waiting = Waiting(Arc::clone(&gone));
        let until = Instant::now() + self.limit;
        let found = async {
            let turn = Arc::clone(&self.turn).acquire_owned().await.expect("nobody closes it");
            let (explain, stop) = (Arc::clone(&self.explain), Arc::clone(&self.stop));
            let is_over =
                move || gone.load(Ordering::Acquire) || stop.load(Ordering::Acquire) || Instant::now() > until;
            // It keeps its turn until it has ended, if whoever asked is gone before.
            let found = tokio::task::spawn_blocking(move || (resting(&explain, &question, &is_over), turn)).await;
            let (found, _turn) = found.expect("explaining does not panic");
            found
        };
        let found = tokio::time::timeout(self.limit, found).await;
        Some(found.unwrap_or(Err(NoAnswer::GivenUp)))
    }
}

/// Explains, and rests between stretches of work.
fn resting(explain: &Explain, question: &Question, is_over: &dyn Fn() -> bool) -> Result<String, NoAnswer> {
    let began = Cell::new(Instant::now());
    explain(question, &|| {
        let worked = began.get().elapsed();
        if worked >= STRETCH {
            std::thread::sleep(worked.min(LONGEST));
            began.set(Instant::now());
        }
        !is_over()
    })
}

/// Explains a warning.
pub(super) async fn of_warning(
    State(reader): State<Reader>,
    pass: Extension<Pass>,
    path: Named,
    given: Pairs,
) -> Response {
    let question = asked(path, given, &["as_of"]).map(|(id, mut given)| Question::Warning {
        id,
        as_of: given.take("as_of"),
    });
    respond(&reader, &pass, question).await
}

/// Explains what the rules said of an asset.
pub(super) async fn of_asset(
    State(reader): State<Reader>,
    pass: Extension<Pass>,
    path: Named,
    given: Pairs,
) -> Response {
    let question = asked(path, given, &["at", "as_of", "rule", "all_rules"]).and_then(|(id, mut given)| {
        let all_rules = match given.take("all_rules").as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => return Err(format!("`all_rules` is `{}`; give `true` or `false`", cut(other))),
        };
        Ok(Question::Asset {
            id,
            at: given.take("at").ok_or(NO_TIME)?,
            as_of: given.take("as_of"),
            rule: given.take("rule"),
            all_rules,
        })
    });
    respond(&reader, &pass, question).await
}

/// Says which warnings were open at a time.
pub(super) async fn of_time(State(reader): State<Reader>, pass: Extension<Pass>, given: Pairs) -> Response {
    let given = parameters(given, &["at", "as_of", "within", "rule"]);
    let question = given.and_then(|mut given| {
        Ok(Question::Known {
            at: given.take("at").ok_or(NO_TIME)?,
            as_of: given.take("as_of"),
            within: given.take("within"),
            rule: given.take("rule"),
            seen: pass.region,
        })
    });
    respond(&reader, &pass, question).await
}

const NO_TIME: &str = "there is no `at`: give the time that is asked about, such as `at=2026-11-27T08:30:00Z`";

/// Parameters, each there once at most.
#[derive(Debug)]
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn take(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(given, _)| given == name)?;
        Some(self.0.swap_remove(place).1)
    }
}

/// What is asked about, and how.
fn asked(path: Named, given: Pairs, takes: &[&str]) -> Result<(String, Parameters), String> {
    let Path(id) = path.map_err(|error| error.body_text())?;
    Ok((id, parameters(given, takes)?))
}

/// How it is asked.
fn parameters(given: Pairs, takes: &[&str]) -> Result<Parameters, String> {
    let Query(given) = given.map_err(|error| error.body_text())?;
    for (index, (name, _)) in given.iter().enumerate() {
        if !takes.contains(&name.as_str()) {
            return Err(format!(
                "`{}` is given, which an explanation does not take; give `{}`",
                cut(name),
                takes.join("`, `")
            ));
        }
        if given.iter().take(index).any(|(other, _)| other == name) {
            return Err(format!("`{name}` is given twice"));
        }
    }
    Ok(Parameters(given))
}

/// For messages: what others wrote may be long.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(100)]
}

/// Refuses what whoever asks does not see. An explanation rests on topics, which are not by region: whoever sees a part of the city asks by
/// the whole identifier of what the tables have. Of what was known at a time the rest is left out.
fn unseen(reader: &Reader, pass: &Pass, question: &Question) -> Option<Response> {
    let within = pass.region?;
    let tables = reader.handles.views.load();
    let (what, id, region) = match question {
        Question::Warning { id, .. } => {
            let open = tables.get::<WarningState>(id).map(|row| row.region);
            let past = || tables.get::<PastWarning>(id).map(|row| row.region);
            ("warning", id, open.or_else(past))
        }
        Question::Asset { id, .. } => ("asset", id, tables.get::<AssetRisk>(id).map(|row| row.region)),
        Question::Known { .. } => return None,
    };
    if region.is_some() {
        let seen = pass.sees(&tables, region);
        return (!seen).then(|| pass.refuse(&format!("the {what} `{}`", cut(id))));
    }
    let error = format!(
        "there is no {what} `{}` in the tables; a token that reads within {within} asks by whole identifiers of what is there",
        cut(id)
    );
    Some((StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response())
}

async fn respond(reader: &Reader, pass: &Pass, question: Result<Question, String>) -> Response {
    let error = |status: StatusCode, said: &str| (status, Json(json!({ "error": said }))).into_response();
    let Some(explanations) = &reader.explanations else {
        let said = "this server explains nothing: it keeps no topics that could be read, as that of `riskflow demo`; a job of `riskflow run` does";
        return error(StatusCode::NOT_FOUND, said);
    };
    let question = match question {
        Ok(question) => question,
        Err(said) => return refused(said),
    };
    if let Some(unseen) = unseen(reader, pass, &question) {
        return unseen;
    }
    let Some(found) = explanations.answer(question).await else {
        return unavailable("others are being explained; try again".to_owned());
    };
    match found {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(NoAnswer::Refused(said)) => refused(said),
        Err(NoAnswer::Missing(said)) => error(StatusCode::NOT_FOUND, &said),
        Err(NoAnswer::TooMuch(said)) => error(StatusCode::UNPROCESSABLE_ENTITY, &said),
        Err(NoAnswer::GivenUp) => {
            let limit = LIMIT.as_secs();
            unavailable(format!(
                "it takes longer than {limit} s; try again, or ask `riskflow explain` beside the job, which takes as long as it must"
            ))
        }
        Err(NoAnswer::Failed(said)) => {
            tracing::warn!(error = ?said, "could not explain");
            unavailable("what it rests on could not be read; try again".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    fn question(id: &str) -> Question {
        Question::Warning {
            id: id.to_owned(),
            as_of: None,
        }
    }

    fn explanations(explain: Explain) -> Explanations {
        Explanations::new(explain, Arc::default())
    }

    fn id(question: &Question) -> String {
        match question {
            Question::Warning { id, .. } | Question::Asset { id, .. } | Question::Known { at: id, .. } => id.clone(),
        }
    }

    #[tokio::test]
    async fn one_is_made_at_a_time_and_few_wait() {
        let (enough, go_on) = channel::<()>();
        let go_on = Mutex::new(go_on);
        let at_once = Arc::new(Mutex::new((0, 0)));
        let seen = Arc::clone(&at_once);
        let explanations = explanations(Arc::new(move |question, _| {
            seen.lock().unwrap().0 += 1;
            go_on.lock().unwrap().recv().unwrap();
            let mut seen = seen.lock().unwrap();
            seen.1 = seen.0.max(seen.1);
            seen.0 -= 1;
            Ok(id(question))
        }));
        let waiting: Vec<_> = (0..WAITING)
            .map(|number| {
                let explanations = explanations.clone();
                tokio::spawn(async move { explanations.answer(question(&number.to_string())).await })
            })
            .collect();
        while explanations.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(explanations.answer(question("more")).await, None);
        for _ in 0..WAITING {
            enough.send(()).unwrap();
        }
        for (number, waiting) in waiting.into_iter().enumerate() {
            assert_eq!(waiting.await.unwrap(), Some(Ok(number.to_string())));
        }
        assert_eq!(*at_once.lock().unwrap(), (0, 1));
        enough.send(()).unwrap();
        assert_eq!(explanations.answer(question("a")).await, Some(Ok("a".to_owned())));
    }

    #[tokio::test]
    async fn one_that_takes_too_long_or_that_nobody_waits_for_ends() {
        let (ended, ends) = channel();
        let explain: Explain = Arc::new(move |question, waits| {
            while waits() {
                std::thread::sleep(Duration::from_millis(1));
            }
            ended.send(id(question)).unwrap();
            Err(NoAnswer::GivenUp)
        });
        let mut explanations = explanations(explain);
        explanations.limit = Duration::from_millis(50);
        assert_eq!(
            explanations.answer(question("slow")).await,
            Some(Err(NoAnswer::GivenUp))
        );
        assert_eq!(ends.recv().unwrap(), "slow");

        while explanations.turn.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        explanations.limit = Duration::from_secs(600);
        let asked = explanations.clone();
        let gone = tokio::spawn(async move { asked.answer(question("gone")).await });
        while explanations.turn.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        assert_eq!(ends.recv().unwrap(), "gone");

        let asked = explanations.clone();
        let stopped = tokio::spawn(async move { asked.answer(question("stopped")).await });
        while explanations.places.available_permits() == WAITING {
            tokio::task::yield_now().await;
        }
        explanations.stop.store(true, Ordering::Release);
        assert_eq!(stopped.await.unwrap(), Some(Err(NoAnswer::GivenUp)));
        assert_eq!(ends.recv().unwrap(), "stopped");
    }

    #[test]
    fn what_an_explanation_does_not_take_is_refused() {
        let asked = |pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            asked(Ok(Path("a".to_owned())), Ok(Query(pairs.collect())), &["at", "as_of"])
        };
        let (id, mut given) = asked(&[("at", "2h"), ("as_of", "1h")]).unwrap();
        assert_eq!((id.as_str(), given.take("at")), ("a", Some("2h".to_owned())));
        assert_eq!((given.take("at"), given.take("as_of")), (None, Some("1h".to_owned())));
        let said = asked(&[("At", "2h")]).unwrap_err();
        assert!(
            said.starts_with("`At` is given") && said.ends_with("`at`, `as_of`"),
            "{said}"
        );
        let said = asked(&[("at", "2h"), ("at", "3h")]).unwrap_err();
        assert_eq!(said, "`at` is given twice");
    }
}
