//! What a broker tells of the properties of topics.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::{self, Thread};

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::error::KafkaError;
use riskflow_config::KafkaSettings;

use super::client::{Context, OPENING};
use super::error::BrokerError;

/// The topic's property.
pub(super) const MAX_MESSAGE_BYTES: &str = "max.message.bytes";

/// What a broker tells of a topic's properties.
pub(super) type Properties = BTreeMap<String, String>;

/// What a broker tells of a topic's properties; none of a topic that is not there.
pub(super) fn properties_of(
    admin: &AdminClient<Context>,
    kafka: &KafkaSettings,
    name: &str,
) -> Result<Properties, BrokerError> {
    let specifier = ResourceSpecifier::Topic(name);
    let options = AdminOptions::new().request_timeout(Some(OPENING));
    let described = wait_for(admin.describe_configs([&specifier], &options));
    let described = described.map_err(|error| BrokerError::unavailable(kafka, admin.inner().context(), error))?;
    let mut properties = Properties::new();
    for resource in described {
        match resource {
            Ok(resource) => {
                let told = resource.entries.into_iter();
                properties.extend(told.filter_map(|entry| Some((entry.name, entry.value?))));
            }
            Err(code) if super::error::is_missing(code) => {}
            Err(code) => {
                return Err(BrokerError::Refused {
                    topic: name.to_owned(),
                    error: KafkaError::AdminOp(code),
                });
            }
        }
    }
    Ok(properties)
}

/// Waits for an answer that librdkafka's own thread brings.
pub(super) fn wait_for<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
