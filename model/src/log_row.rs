//! Records of input logs, whichever log it is: what sources hand over and folds take.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::check::Check;
use crate::json::{self, Unreadable};
use crate::topic::{Record, Topic};
use crate::{Millis, Text};

/// A record of an input log. Observations and actions are read in ways of their own.
pub trait LogRecord: Record + DeserializeOwned + PartialEq + fmt::Debug + Send + Sync + 'static {
    /// The name of the field that [`LogRecord::time`] gives: dead letters of what is too late name it.
    const TIME: &'static str;

    /// What keys it on its topic.
    fn id(&self) -> Text;

    /// When it was made: a replay by event time takes it then, and it may not lie too far from the clock.
    fn time(&self) -> Millis;

    /// Notes all that is wrong with it; that it could be read is known.
    fn check(&self, check: &mut Check);
}

/// A record of an input log: cheap to clone.
#[derive(Clone)]
pub struct LogRow(Arc<dyn Logged>);

/// What it holds, without its type.
trait Logged: fmt::Debug + Send + Sync {
    fn topic(&self) -> Topic;
    fn id(&self) -> Text;
    fn time(&self) -> Millis;
    fn time_field(&self) -> &'static str;
    fn is(&self, other: &dyn Any) -> bool;
    fn as_any(&self) -> &dyn Any;
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<R: LogRecord> Logged for R {
    fn topic(&self) -> Topic {
        Topic::of::<R>()
    }

    fn id(&self) -> Text {
        R::id(self)
    }

    fn time(&self) -> Millis {
        R::time(self)
    }

    fn time_field(&self) -> &'static str {
        R::TIME
    }

    fn is(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<R>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl LogRow {
    /// That of a record.
    #[must_use]
    pub fn new<R: LogRecord>(record: R) -> Self {
        Self(Arc::new(record))
    }

    /// Reads and checks the payload of a record of an input log.
    ///
    /// # Errors
    ///
    /// Everything wrong with it, as far as it can be read; `None` where the topic is no such log.
    pub fn from_json(topic: Topic, text: &str) -> Result<Self, Option<Unreadable>> {
        let read = topic.entry().log.ok_or(None)?;
        read(text).map_err(Some)
    }

    pub(crate) fn read<R: LogRecord>(text: &str) -> Result<Self, Unreadable> {
        let record: R = serde_json::from_str(text).map_err(|_| json::why::<R>(text))?;
        let mut check = Check::default();
        record.check(&mut check);
        let problems = check.problems();
        if problems.is_empty() {
            Ok(Self::new(record))
        } else {
            Err(Unreadable::Wrong(problems))
        }
    }

    /// The log that it is of.
    #[must_use]
    pub fn topic(&self) -> Topic {
        self.0.topic()
    }

    /// What keys it on its topic.
    #[must_use]
    pub fn id(&self) -> Text {
        self.0.id()
    }

    /// When it was made.
    #[must_use]
    pub fn time(&self) -> Millis {
        self.0.time()
    }

    /// The name of the field that says so.
    #[must_use]
    pub fn time_field(&self) -> &'static str {
        self.0.time_field()
    }

    /// The record, if it is one of this log.
    #[must_use]
    pub fn downcast_ref<R: LogRecord>(&self) -> Option<&R> {
        self.0.as_any().downcast_ref()
    }

    /// The record, shared, if it is one of this log.
    #[must_use]
    pub fn downcast<R: LogRecord>(self) -> Option<Arc<R>> {
        self.0.into_any().downcast().ok()
    }
}

impl fmt::Debug for LogRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PartialEq for LogRow {
    fn eq(&self, other: &Self) -> bool {
        self.0.is(other.0.as_any())
    }
}
