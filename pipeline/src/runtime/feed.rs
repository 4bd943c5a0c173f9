//! The newest changes of warnings, for those who listen: what was committed, epoch by epoch, within bounds. Listeners take it when they
//! can; the job waits for none of them. Whoever is too far behind is told so, and begins anew from the tables.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use riskflow_model::output::{AssetRisk, WarningDelta};
use riskflow_model::topic::Topic;
use riskflow_model::{Domain, Millis, OutputRow};
use serde_json::json;
use tokio::sync::watch;

use crate::runtime::output::EpochOutput;
use crate::runtime::views::Tables;

/// How many changes are kept. An epoch is kept whole or not at all.
const MOST: usize = 10_000;

/// The changes of the last epochs.
#[derive(Debug, Default)]
pub struct Feed {
    kept: Mutex<Kept>,
    bell: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Kept {
    /// All changes after this epoch are kept.
    since: Millis,
    /// Up to this epoch all is told.
    last: Millis,
    epochs: VecDeque<Arc<News>>,
    changes: usize,
}

/// The changes of an epoch.
#[derive(Debug)]
pub struct News {
    /// The epoch.
    pub epoch: Millis,
    /// In the order of their topic.
    pub changes: Vec<Change>,
}

/// A record of `out.warning.delta`.
#[derive(Debug)]
pub struct Change {
    /// The record.
    pub delta: OutputRow,
    /// The domain of its asset, where that is known.
    pub domain: Option<Domain>,
    json: OnceLock<Bytes>,
}

/// What comes after an epoch.
#[derive(Clone, Debug)]
pub enum Next {
    /// These changes.
    News(Arc<News>),
    /// None up to this epoch.
    Nothing(Millis),
    /// What came directly after it is not kept any more, or it is ahead of the job; the last epoch is this one.
    Lost(Millis),
}

impl Change {
    /// Its payload, as on the topic. Encoded once for all who ask.
    #[must_use]
    pub fn json(&self, epoch: Millis) -> Bytes {
        let encode = || {
            let mut json = Vec::new();
            let written = self.delta.write_json(&mut json);
            written.expect("a row went to its topic as JSON");
            // Its closing brace.
            json.pop();
            json.extend_from_slice(format!(",\"epoch\":{}}}", json!(epoch)).as_bytes());
            Bytes::from(json)
        };
        self.json.get_or_init(encode).clone()
    }
}

impl News {
    /// An epoch of which nothing is told.
    #[must_use]
    pub const fn none(epoch: Millis) -> Self {
        Self {
            epoch,
            changes: Vec::new(),
        }
    }

    /// What an epoch did to warnings; the tables are those after it.
    #[must_use]
    pub fn of(output: &EpochOutput, tables: &Tables) -> Self {
        let deltas = output.on(Topic::WARNING_DELTA).iter().map(|(row, _)| row);
        let changes = deltas.map(|row| {
            let delta = row.downcast_ref::<WarningDelta>();
            let delta = delta.expect("rows are found by their topic");
            Change {
                delta: row.clone(),
                domain: tables.get::<AssetRisk>(&delta.asset).map(|asset| asset.domain),
                json: OnceLock::new(),
            }
        });
        Self {
            epoch: output.epoch,
            changes: changes.collect(),
        }
    }
}

impl Feed {
    /// Before the first epoch after this one: nothing is kept yet.
    pub fn begin(&self, epoch: Millis) {
        *self.kept() = Kept {
            since: epoch,
            last: epoch,
            ..Kept::default()
        };
        self.bell.send_replace(());
    }

    /// Tells of an epoch that was committed.
    pub fn tell(&self, news: News) {
        let mut kept = self.kept();
        kept.last = news.epoch;
        if news.changes.is_empty() {
            return;
        }
        kept.changes += news.changes.len();
        kept.epochs.push_back(Arc::new(news));
        while kept.changes > MOST
            && let Some(oldest) = kept.epochs.pop_front()
        {
            kept.changes -= oldest.changes.len();
            kept.since = oldest.epoch;
        }
        drop(kept);
        self.bell.send_replace(());
    }

    /// What comes after an epoch.
    #[must_use]
    pub fn after(&self, epoch: Millis) -> Next {
        let kept = self.kept();
        if epoch < kept.since || epoch > kept.last {
            return Next::Lost(kept.last);
        }
        let place = kept.epochs.partition_point(|news| news.epoch <= epoch);
        match kept.epochs.get(place) {
            Some(news) => Next::News(Arc::clone(news)),
            None => Next::Nothing(kept.last),
        }
    }

    /// The epoch up to which all is told.
    #[must_use]
    pub fn last(&self) -> Millis {
        self.kept().last
    }

    /// Changes whenever there is something new.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::output::Explanation;

    use super::*;

    fn news(epoch: i64, changes: usize) -> News {
        let explanation = serde_json::to_value(Explanation::nothing()).unwrap();
        let delta = json!({
            "id": "w", "kind": "raised", "cause": "data", "rule": "gas", "asset": "tank", "since": 0, "at": 0, "from": "none", "to": "red",
            "explanation": explanation,
        });
        let delta: WarningDelta = serde_json::from_value(delta).unwrap();
        let row = OutputRow::new(delta);
        let change = || Change {
            delta: row.clone(),
            domain: None,
            json: OnceLock::new(),
        };
        News {
            epoch: Millis(epoch),
            changes: (0..changes).map(|_| change()).collect(),
        }
    }

    /// What a listener gets from an epoch on: the epochs, and where it stands then.
    fn heard(feed: &Feed, from: i64) -> (Vec<i64>, Result<i64, i64>) {
        let (mut epochs, mut at) = (Vec::new(), Millis(from));
        loop {
            match feed.after(at) {
                Next::News(news) => {
                    at = news.epoch;
                    epochs.push(at.0);
                }
                Next::Nothing(last) => return (epochs, Ok(last.0)),
                Next::Lost(last) => return (epochs, Err(last.0)),
            }
        }
    }

    #[test]
    fn each_change_after_an_epoch_comes_once_and_quiet_epochs_are_passed_over() {
        let feed = Feed::default();
        feed.begin(Millis(10));
        assert_eq!(heard(&feed, 10), (vec![], Ok(10)));
        let mut bell = feed.subscribe();
        drop(bell.borrow_and_update());
        feed.tell(news(20, 1));
        assert!(bell.has_changed().unwrap());
        feed.tell(news(30, 0));
        feed.tell(news(40, 2));
        assert_eq!(heard(&feed, 10), (vec![20, 40], Ok(40)));
        assert_eq!(heard(&feed, 20), (vec![40], Ok(40)));
        assert_eq!(heard(&feed, 35), (vec![40], Ok(40)));
        assert_eq!(heard(&feed, 40), (vec![], Ok(40)));
    }

    #[test]
    fn what_is_not_kept_any_more_or_never_was_is_said_to_be_lost() {
        let feed = Feed::default();
        feed.begin(Millis(10));
        assert_eq!(heard(&feed, 9), (vec![], Err(10)), "before the job began");
        assert_eq!(heard(&feed, 11), (vec![], Err(10)), "ahead of the job");
        feed.tell(news(20, MOST));
        assert_eq!(heard(&feed, 10), (vec![20], Ok(20)));
        feed.tell(news(30, 1));
        assert_eq!(heard(&feed, 10), (vec![], Err(30)));
        assert_eq!(heard(&feed, 20), (vec![30], Ok(30)));
        // An epoch that is too large by itself is kept by none.
        feed.tell(news(40, MOST + 1));
        assert_eq!(heard(&feed, 30), (vec![], Err(40)));
        assert_eq!(heard(&feed, 40), (vec![], Ok(40)));
        feed.begin(Millis(15));
        assert_eq!(heard(&feed, 40), (vec![], Err(15)));
    }

    #[test]
    fn a_change_is_written_as_on_its_topic() {
        let json = news(1_700_000_000_000, 1).changes[0].json(Millis(1_700_000_000_000));
        let written: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!((&written["id"], &written["to"]), (&json!("w"), &json!("red")));
        assert_eq!(written["epoch"], json!(Millis(1_700_000_000_000)));
        assert!(!json.contains(&b'\n'));
    }
}
