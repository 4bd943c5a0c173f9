//! The lane of Alertmanager: posts what stands, when it changes and again and again, for an alert that nobody posts is over by and by.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::future::join_all;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use riskflow_config::{AlertmanagerSettings, BridgeSettings};
use riskflow_connectors::failpoint;
use riskflow_connectors::kafka::GroupOffsets;
use riskflow_model::Millis;
use riskflow_model::topic::Topic;
use serde_json::Value;

use super::alerts::{Alerts, Posting};
use super::feed::{Feed, Found};
use super::lane::{Told, group, tell_until};
use super::memory::Memory;
use super::metrics::{Fate, Sent};
use super::sender::{Answer, Sender, headers};
use super::{Common, Receiver, pause};
use crate::runtime::clock::wall_clock;

const RECEIVER: Receiver = Receiver::Alertmanager;

/// So often it is looked for notices where there are none.
const LOOK: Duration = Duration::from_millis(50);

/// So many alerts one request has at most.
const ALERTS: usize = 256;

/// With so many that wait no more are read before they are posted.
const WAITING: usize = 1_024;

struct Lane {
    common: Common,
    sender: Sender,
    memory: Memory<Alerts>,
    group: Option<GroupOffsets>,
    /// How many notices were read since they were last posted.
    read: u64,
    /// Whether something was read that is not written down.
    owes: bool,
    /// When all was last posted.
    all_at: Option<Instant>,
}

/// Runs it until the bridge is told to stop. A lane that never ran reads all that is there, and posts what stands.
///
/// # Errors
///
/// When notices cannot be read, or it cannot be written down how far it is, and waiting does not help.
pub(super) async fn run(mut common: Common) -> Result<()> {
    let topic = common.topics.name(Topic::NOTICE);
    let memory = common.folder.load(RECEIVER, &topic)?;
    let memory = memory.unwrap_or_else(|| Memory::new(&topic));
    let topics = [Topic::NOTICE, Topic::CASE_STATE];
    let Some(mut feed) = Feed::open(&mut common, RECEIVER, &topics, &memory.offsets).await? else {
        return Ok(());
    };
    let mut lane = Lane {
        sender: Sender::new().context("no client of HTTP can be made")?,
        group: group(&common, RECEIVER),
        common,
        memory,
        read: 0,
        owes: false,
        all_at: None,
    };
    tracing::info!(receiver = %RECEIVER, topic, standing = lane.memory.state.standing(), "the bridge posts alerts");
    lane.work(&mut feed).await
}

impl Lane {
    async fn work(&mut self, feed: &mut Feed) -> Result<()> {
        // What is written down goes by it once all that was read is about to be posted: what is due is written down with it.
        let mut read = self.memory.offsets.clone();
        loop {
            let batch = feed.poll(&mut self.common, &read).await?;
            for found in &batch {
                self.take(found);
                read.advance(found.topic, found.partition, found.offset + 1);
            }
            // What is over by the end of what is there need not be posted.
            let is_behind = !batch.is_empty() && !feed.caught_up();
            let is_full = self.memory.state.waiting() >= WAITING;
            if !is_behind || is_full {
                self.memory.offsets.merge(&read);
                if self.memory.state.announce() {
                    self.save()?;
                }
                if !self.post().await {
                    return Ok(());
                }
                self.save()?;
                if let Some(group) = self.group.as_ref().filter(|_| !batch.is_empty()) {
                    group.tell(read.clone());
                }
            }
            if batch.is_empty() && !pause(&mut self.common.stop, LOOK).await {
                return Ok(());
            }
        }
    }

    fn take(&mut self, found: &Found) {
        let taken = self.memory.state.take(found, Millis(wall_clock()));
        self.owes = true;
        if let Err(why) = taken {
            tracing::error!(
                topic = %found.topic, partition = found.partition, offset = found.offset, why,
                "a record is not what it should be"
            );
            self.common.metrics.notices(RECEIVER, Fate::Unreadable, 1);
        } else if found.topic == Topic::NOTICE {
            self.read += 1;
        }
    }

    fn save(&mut self) -> Result<()> {
        if std::mem::take(&mut self.owes) {
            self.common.folder.save(RECEIVER, &self.memory)?;
        }
        Ok(())
    }

    /// Posts what changed, and all that stands where that is due. `false`: the bridge is told to stop, and it is not known whether it was.
    async fn post(&mut self) -> bool {
        let settings = self.common.settings.load_full();
        let Some(alertmanager) = &settings.alertmanager else {
            // Whoever takes it away by a reload does so at the next start: the settings keep it until then.
            return true;
        };
        let all = self.all_at.is_none_or(|at| at.elapsed() >= alertmanager.repeat);
        let due = self.memory.state.count_due(all);
        let mut is_taken = true;
        for from in (0..due).step_by(ALERTS) {
            match self.tell(all, from..due.min(from + ALERTS)).await {
                Told::Stopped => return false,
                Told::Answered(answer) => is_taken &= answer == Answer::Accepted,
            }
        }
        if all {
            self.all_at = Some(Instant::now());
        }
        let fate = if is_taken { Fate::Delivered } else { Fate::Refused };
        let read = std::mem::take(&mut self.read);
        self.common.metrics.notices(RECEIVER, fate, read);
        // What was refused is posted again with all the others.
        self.memory.state.posted(Millis(wall_clock()));
        self.owes |= due > 0;
        self.common.metrics.alerts(self.memory.state.standing());
        true
    }

    /// Posts those of what is due, until one takes them or all refuse them. When they are over unless they are posted again depends on
    /// when they are posted, and so each attempt says it anew.
    async fn tell(&mut self, all: bool, which: Range<usize>) -> Told {
        let (sender, state) = (&self.sender, &self.memory.state);
        let metrics = Arc::clone(&self.common.metrics);
        let told = tell_until(&mut self.common, RECEIVER, async |settings: &BridgeSettings| {
            let Some(alertmanager) = &settings.alertmanager else {
                return Answer::Later("the configuration has no Alertmanager any more".to_owned(), None);
            };
            let posting = Posting {
                now: Millis(wall_clock()),
                hold: i64::try_from(alertmanager.hold.as_millis()).unwrap_or(i64::MAX),
                link: alertmanager.link.as_ref(),
            };
            let alerts = Value::Array(state.to_post(all, which.clone(), &posting));
            let body = Bytes::from(alerts.to_string());
            let answers = post_to_all(sender, alertmanager, &body, settings.sending.timeout).await;
            let (answer, others) = best(answers);
            for other in others {
                let is_later = matches!(other, Answer::Later(..));
                metrics.request(RECEIVER, if is_later { Sent::Retried } else { Sent::Refused });
            }
            answer
        })
        .await;
        if told == Told::Answered(Answer::Accepted) {
            failpoint("bridge::posted");
        }
        if let Told::Answered(Answer::Refused(why)) = &told {
            tracing::error!(
                why,
                alerts = which.len(),
                "Alertmanager refuses alerts; those that it can read it takes, and all are posted again by and by"
            );
        }
        told
    }
}

/// What each of them answers, with its place.
async fn post_to_all(
    sender: &Sender,
    alertmanager: &AlertmanagerSettings,
    body: &Bytes,
    timeout: Duration,
) -> Vec<Answer> {
    let posts = alertmanager.urls.iter().map(|endpoint| async move {
        let mut url = endpoint.reveal().clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v2", "alerts"]);
        }
        let mut headers = headers(alertmanager.authorization.as_ref());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let place = endpoint.shown();
        match sender.post(&url, headers, body.clone(), timeout).await {
            Answer::Accepted => Answer::Accepted,
            Answer::Refused(why) => Answer::Refused(format!("{place}: {why}")),
            Answer::Later(why, asked) => Answer::Later(format!("{place}: {why}"), asked),
        }
    });
    join_all(posts).await
}

/// One that took it is enough, for all get everything again with the next repetition; else one that may take it later. With it, what went
/// wrong with the others.
fn best(mut answers: Vec<Answer>) -> (Answer, Vec<Answer>) {
    let accepted = answers.iter().position(|answer| *answer == Answer::Accepted);
    let later = || answers.iter().position(|answer| matches!(answer, Answer::Later(..)));
    let place = accepted.or_else(later).unwrap_or(0);
    if answers.is_empty() {
        return (Answer::Later("there is no Alertmanager".to_owned(), None), answers);
    }
    let answer = answers.swap_remove(place);
    answers.retain(|other| *other != Answer::Accepted);
    (answer, answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_takes_it_is_enough_and_what_may_pass_is_waited_for() {
        let (no, later) = (Answer::Refused("no".to_owned()), Answer::Later("down".to_owned(), None));
        let taken = best(vec![no.clone(), Answer::Accepted, later.clone(), Answer::Accepted]);
        assert_eq!(taken.0, Answer::Accepted);
        assert_eq!(taken.1.len(), 2);
        assert_eq!(best(vec![no.clone(), later.clone()]), (later, vec![no.clone()]));
        assert_eq!(best(vec![no.clone()]), (no, Vec::new()));
        assert!(matches!(best(Vec::new()).0, Answer::Later(..)));
    }
}
