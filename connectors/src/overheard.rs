//! A sink whose commits somebody hears of who works on behind its back, on a thread.

use riskflow_model::topic::Topic;

use crate::{Begun, EpochRecords, Sink, SinkError};

/// Whoever hears what was committed.
pub(crate) trait Hears: Send {
    /// These epochs are committed. Nobody waits for what comes of it.
    fn committed(&mut self, epochs: &[EpochRecords]);
}

/// A sink, and whoever hears of its commits: that one ends before the sink does.
pub(crate) struct Overheard<H> {
    hears: H,
    sink: Box<dyn Sink>,
}

impl<H: Hears> Overheard<H> {
    pub(crate) fn new(sink: Box<dyn Sink>, hears: H) -> Self {
        Self { hears, sink }
    }
}

impl<H: Hears> Sink for Overheard<H> {
    fn commit(&mut self, epochs: &[EpochRecords]) -> Result<(), SinkError> {
        self.sink.commit(epochs)?;
        self.hears.committed(epochs);
        Ok(())
    }

    fn most(&self, topic: Topic) -> usize {
        self.sink.most(topic)
    }

    fn ask_most(&mut self) -> Result<(), SinkError> {
        self.sink.ask_most()
    }

    fn begin(&mut self) -> Result<Option<Begun>, SinkError> {
        self.sink.begin()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.sink.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::Retry;

    type Asked = Arc<Mutex<Vec<&'static str>>>;

    /// Says what it was asked, and refuses a commit of nothing.
    struct Says(Asked);

    impl Says {
        fn note(&self, what: &'static str) {
            self.0.lock().unwrap().push(what);
        }
    }

    impl Sink for Says {
        fn commit(&mut self, epochs: &[EpochRecords]) -> Result<(), SinkError> {
            self.note("commit");
            if epochs.is_empty() {
                return Err(SinkError::Used { file: "a".into() });
            }
            Ok(())
        }

        fn most(&self, _: Topic) -> usize {
            self.note("most");
            5
        }

        fn ask_most(&mut self) -> Result<(), SinkError> {
            self.note("ask_most");
            Ok(())
        }

        fn begin(&mut self) -> Result<Option<Begun>, SinkError> {
            self.note("begin");
            Ok(None)
        }

        fn finish(&mut self) -> Result<(), SinkError> {
            self.note("finish");
            Ok(())
        }
    }

    impl Drop for Says {
        fn drop(&mut self) {
            self.note("sink ends");
        }
    }

    struct Ears(Asked);

    impl Hears for Ears {
        fn committed(&mut self, _: &[EpochRecords]) {
            self.0.lock().unwrap().push("heard");
        }
    }

    impl Drop for Ears {
        fn drop(&mut self) {
            self.0.lock().unwrap().push("ears end");
        }
    }

    #[test]
    fn a_sink_is_asked_all_that_is_asked_and_only_what_was_committed_is_heard() {
        let asked = Asked::default();
        let mut sink = Overheard::new(Box::new(Says(Arc::clone(&asked))), Ears(Arc::clone(&asked)));
        assert_eq!(sink.most(Topic::NOTICE), 5);
        sink.ask_most().unwrap();
        assert_eq!(sink.begin().unwrap(), None);
        sink.commit(&[EpochRecords::default()]).unwrap();
        assert_eq!(sink.commit(&[]).unwrap_err().retry(), Retry::Never);
        sink.finish().unwrap();
        drop(sink);
        assert_eq!(
            *asked.lock().unwrap(),
            [
                "most",
                "ask_most",
                "begin",
                "commit",
                "heard",
                "commit",
                "finish",
                "ears end",
                "sink ends"
            ]
        );
    }
}
