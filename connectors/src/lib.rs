//! stub
#![allow(missing_docs)]
use riskflow_config::{Input, InputRecord, Output, TopicSettings};
use riskflow_model::{
    Millis,
    output::{DeadLetter, Reason},
    topic::Topic,
};
pub struct RawRecord<'a> {
    pub topic: Topic,
    pub partition: u16,
    pub offset: u64,
    pub arrival: Option<Millis>,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
}
pub enum Verdict {
    Taken,
    NotYet,
}
pub enum Polled {
    More,
    Blocked,
    Idle,
    Ended,
}
pub trait Source {
    fn poll(&mut self, limit: usize, offer: &mut dyn FnMut(RawRecord<'_>) -> Verdict) -> Result<Polled, SourceError>;
    fn caught_up(&self) -> bool;
    fn lag(&self) -> Vec<(Topic, u16, u64)>;
}
#[derive(Clone, Copy)]
pub struct Share {
    pub index: usize,
    pub peers: usize,
}
#[derive(Clone, Copy)]
pub enum Until {
    Forever,
    End,
}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct SourceError;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct SinkError;
pub fn open_source(
    _: &Input,
    _: &TopicSettings,
    _: &[Topic],
    _: Share,
    _: Until,
) -> Result<Box<dyn Source>, SourceError> {
    Err(SourceError)
}
pub struct OutRecord {
    pub topic: Topic,
    pub key: String,
    pub payload: Option<Vec<u8>>,
}
pub trait Sink: Send {
    fn commit(&mut self, epoch: Millis, records: &[OutRecord]) -> Result<(), SinkError>;
}
pub fn open_sink(_: &Output, _: &TopicSettings) -> Result<Box<dyn Sink>, SinkError> {
    Err(SinkError)
}
pub struct Rejection {
    pub reason: Reason,
    pub detail: String,
}
pub fn decode(_: &RawRecord<'_>) -> Result<InputRecord, Rejection> {
    Err(Rejection {
        reason: Reason::Malformed,
        detail: String::new(),
    })
}
pub fn dead_letter(_: &RawRecord<'_>, _: &Rejection) -> DeadLetter {
    panic!()
}
