//! The lane of the webhook: each notice once on the way, in order, signed, as a CloudEvent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use riskflow_config::{Begin, BridgeSettings, WebhookSettings};
use riskflow_connectors::failpoint;
use riskflow_model::output::Notice;
use riskflow_model::progress::Offsets;
use riskflow_model::schema::asyncapi;
use riskflow_model::topic::Topic;
use riskflow_model::{Millis, Text};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::feed::{Feed, Found};
use super::lane::{Told, tell_until};
use super::memory::Memory;
use super::metrics::Fate;
use super::refused::write_down;
use super::sender::{Answer, Sender, headers};
use super::signature::signature;
use super::{Common, Receiver, pause};
use crate::runtime::clock::wall_clock;

const RECEIVER: Receiver = Receiver::Webhook;

/// So often it is looked for notices where there are none.
const LOOK: Duration = Duration::from_millis(50);

/// How far it is is written down so often while there is much to do, and whenever there is nothing.
const SAVE: Duration = Duration::from_secs(1);

/// So many notices are known to have been delivered: what stands on the topic twice, as after a crash of a job whose output is
/// `at_least_once`, stands close together.
const RECENT: usize = 1_024;

/// What the lane must not forget, besides how far it is.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Recent(VecDeque<String>);

impl Recent {
    fn note(&mut self, id: &str) {
        if self.0.len() == RECENT {
            self.0.pop_front();
        }
        self.0.push_back(id.to_owned());
    }

    fn knows(&self, id: &str) -> bool {
        self.0.iter().any(|known| known == id)
    }
}

struct Lane {
    common: Common,
    sender: Sender,
    memory: Memory<Recent>,
    saved: Instant,
    /// Whether something was done that is not written down.
    owes: bool,
}

/// Runs it until the bridge is told to stop.
///
/// # Errors
///
/// When notices cannot be read, or it cannot be written down how far it is, and waiting does not help.
pub(super) async fn run(mut common: Common) -> Result<()> {
    let topic = common.topics.name(Topic::NOTICE);
    let known = common.folder.load(RECEIVER, &topic)?;
    let is_new = known.is_none();
    let mut memory = known.unwrap_or_else(|| Memory::new(&topic));
    let topics = [Topic::NOTICE];
    let Some(mut feed) = Feed::open(&mut common, RECEIVER, &topics, &memory.offsets).await? else {
        return Ok(());
    };
    let begin = common.settings.load().webhook.as_ref().map(|webhook| webhook.begin);
    if is_new && begin == Some(Begin::End) {
        let Some(end) = feed.end(&mut common).await? else {
            return Ok(());
        };
        memory.offsets = end;
        let Some(opened) = Feed::open(&mut common, RECEIVER, &topics, &memory.offsets).await? else {
            return Ok(());
        };
        feed = opened;
    }
    // A bridge that is killed before its first notice must not begin elsewhere.
    common.folder.save(RECEIVER, &memory)?;
    let mut lane = Lane {
        sender: Sender::new().context("no client of HTTP can be made")?,
        common,
        memory,
        saved: Instant::now(),
        owes: false,
    };
    tracing::info!(receiver = %RECEIVER, topic, begin = is_new, "the bridge sends notices");
    let ended = lane.work(&mut feed).await;
    lane.save()?;
    ended
}

impl Lane {
    async fn work(&mut self, feed: &mut Feed) -> Result<()> {
        let group = super::lane::group(&self.common, RECEIVER);
        loop {
            let batch = feed.poll(&mut self.common, &self.memory.offsets).await?;
            if batch.is_empty() {
                self.save()?;
                if !pause(&mut self.common.stop, LOOK).await {
                    return Ok(());
                }
                continue;
            }
            for found in &batch {
                if self.deliver(found).await? == Told::Stopped {
                    return Ok(());
                }
                self.memory
                    .offsets
                    .advance(found.topic, found.partition, found.offset + 1);
                self.owes = true;
                if self.saved.elapsed() >= SAVE {
                    self.save()?;
                }
            }
            if let Some(group) = &group {
                group.tell(Offsets::clone(&self.memory.offsets));
            }
        }
    }

    fn save(&mut self) -> Result<()> {
        if self.owes {
            self.common.folder.save(RECEIVER, &self.memory)?;
            (self.owes, self.saved) = (false, Instant::now());
        }
        Ok(())
    }

    async fn deliver(&mut self, found: &Found) -> Result<Told> {
        let prefix = &self.common.topics.prefix;
        let event = match event(found, prefix) {
            Ok(event) => event,
            Err(why) => {
                tracing::error!(
                    partition = found.partition,
                    offset = found.offset,
                    why,
                    "a record is no notice"
                );
                return self.give_up(found, Fate::Unreadable, &why);
            }
        };
        if self.memory.state.knows(&event.id) {
            self.common.metrics.notices(RECEIVER, Fate::Repeated, 1);
            return Ok(Told::Answered(Answer::Accepted));
        }
        let (sender, body) = (&self.sender, &event.body);
        let told = tell_until(&mut self.common, RECEIVER, async |settings: &BridgeSettings| {
            // Whoever takes the webhook away by a reload does so at the next start.
            let Some(webhook) = &settings.webhook else {
                return Answer::Later("the configuration has no webhook any more".to_owned(), None);
            };
            let Some(headers) = signed(webhook, &event.id, wall_clock().div_euclid(1_000), body) else {
                return Answer::Refused("its identifier is no value of a header".to_owned());
            };
            let url = webhook.url.reveal();
            sender.post(url, headers, body.clone(), settings.sending.timeout).await
        })
        .await;
        match &told {
            Told::Stopped => {}
            Told::Answered(Answer::Refused(why)) => {
                let file = self.common.folder.file(RECEIVER, REFUSED);
                tracing::error!(id = event.id, why, file = %file.display(),
                    "the webhook refuses a notice for good: it stands in the file, and the bridge goes on"
                );
                return self.give_up(found, Fate::Refused, why);
            }
            Told::Answered(Answer::Accepted | Answer::Later(..)) => {
                failpoint("bridge::delivered");
                self.common.metrics.notices(RECEIVER, Fate::Delivered, 1);
                self.memory.state.note(&event.id);
            }
        }
        Ok(told)
    }

    /// What nobody takes stands in a file before the bridge goes on.
    fn give_up(&self, found: &Found, fate: Fate, why: &str) -> Result<Told> {
        let file = self.common.folder.file(RECEIVER, REFUSED);
        let now = Millis(wall_clock()).to_string();
        write_down(&file, &now, why, found.payload.as_deref().unwrap_or_default())
            .with_context(|| format!("could not write down in `{}` what was refused", file.display()))?;
        self.common.metrics.notices(RECEIVER, fate, 1);
        Ok(Told::Answered(Answer::Refused(why.to_owned())))
    }
}

/// How the file of what was refused is named, behind the receiver.
const REFUSED: &str = "-refused.ndjson";

/// A notice on its way.
struct Event {
    /// That of the notice: a receiver that has seen it need not look at it again.
    id: String,
    body: Bytes,
}

/// A CloudEvent in structured mode. The same notice gives the same bytes, however often it is sent.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    r#type: String,
    subject: &'a str,
    time: Text,
    dataschema: String,
    datacontenttype: &'static str,
    data: &'a RawValue,
}

/// What is read of a notice beside its fields: outputs say their epoch.
#[derive(Deserialize)]
struct WithEpoch {
    epoch: Text,
}

fn event(found: &Found, prefix: &str) -> Result<Event, String> {
    let payload = found.payload.as_deref().ok_or("it is a tombstone")?;
    let told = |error: serde_json::Error| error.to_string();
    let notice: Notice = serde_json::from_slice(payload).map_err(told)?;
    let WithEpoch { epoch } = serde_json::from_slice(payload).map_err(told)?;
    let event = CloudEvent {
        specversion: "1.0",
        id: &notice.id,
        source: asyncapi::source(prefix),
        r#type: asyncapi::event_type(Topic::NOTICE),
        subject: &notice.case,
        time: epoch,
        dataschema: asyncapi::data_schema(Topic::NOTICE),
        datacontenttype: "application/json",
        data: serde_json::from_slice(payload).map_err(told)?,
    };
    let body = serde_json::to_vec(&event).map_err(told)?;
    Ok(Event {
        id: notice.id.to_string(),
        body: body.into(),
    })
}

/// The headers of a request that is sent now; `None` where the identifier cannot stand in one.
fn signed(webhook: &WebhookSettings, id: &str, seconds: i64, body: &[u8]) -> Option<HeaderMap> {
    let mut headers = headers(webhook.authorization.as_ref());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/cloudevents+json"));
    let (at, signature) = (seconds.to_string(), signature(&webhook.keys, id, seconds, body));
    for (name, value) in [
        ("webhook-id", id),
        ("webhook-timestamp", at.as_str()),
        ("webhook-signature", signature.as_str()),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).ok()?);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(payload: &[u8]) -> Found {
        Found {
            topic: Topic::NOTICE,
            partition: 0,
            offset: 0,
            key: "c".to_owned(),
            payload: Some(payload.to_vec()),
        }
    }

    fn notice() -> Value {
        json!({
            "id": "0a", "case": "c", "event": "issued", "user": "li", "channel": "", "unit": "u", "role": "duty", "level": "red", "due": null,
            "rule": "gas", "asset": null, "domain": "work_safety", "region": "330902001001", "since": "2025-01-01T00:00:00.000Z",
            "epoch": "2025-01-01T00:00:01.000Z", "of_a_later_version": 1,
        })
    }

    #[test]
    fn an_event_has_the_identifier_of_its_notice_and_all_that_stands_in_it() {
        let notice = notice();
        let payload = notice.to_string();
        let event = event(&found(payload.as_bytes()), "zhoushan.").unwrap();
        let body: Value = serde_json::from_slice(&event.body).unwrap();
        assert_eq!(
            (event.id.as_str(), &body["id"], &body["data"]),
            ("0a", &json!("0a"), &notice)
        );
        assert_eq!(body["source"], "riskflow/zhoushan.");
        assert_eq!(body["type"], "riskflow.out.notice.v1");
        assert_eq!((&body["time"], &body["subject"]), (&notice["epoch"], &json!("c")));
    }

    #[test]
    fn what_is_no_notice_says_why() {
        assert!(event(&found(b"{}"), "").is_err_and(|why| why.contains("missing field")));
        let tombstone = Found {
            payload: None,
            ..found(b"")
        };
        assert!(event(&tombstone, "").is_err_and(|why| why.contains("tombstone")));
    }

    #[test]
    fn the_newest_are_known_and_no_more() {
        let mut recent = Recent::default();
        for number in 0..=RECENT {
            recent.note(&number.to_string());
        }
        assert!(recent.knows("1") && recent.knows(&RECENT.to_string()) && !recent.knows("0"));
    }
}
