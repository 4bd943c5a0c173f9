//! What SIGHUP asks for.

use std::fs::File;
use std::sync::mpsc::Sender;

/// What SIGHUP asks for.
pub enum Hangup {
    /// To stop: the terminal was closed.
    Stops,
    /// To read the configuration again. Where the job was started from a terminal and has it no more, to stop.
    Reloads {
        /// Takes the request.
        asks: Sender<()>,
        /// Whether there was a terminal at the start.
        terminal: bool,
    },
}

impl Hangup {
    /// Requests to read the configuration again go there.
    pub fn reloads(asks: Sender<()>) -> Self {
        Self::Reloads {
            asks,
            terminal: has_terminal(),
        }
    }

    /// Whether it was such a request, and somebody has it now.
    pub fn is_passed_on(&self) -> bool {
        match self {
            Self::Stops => false,
            Self::Reloads { asks, terminal } => {
                let closed = *terminal && !has_terminal();
                !closed && asks.send(()).is_ok()
            }
        }
    }
}

/// Whether a terminal controls the process. One that was closed does no more, and a service never had one.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_closed_terminal_stops_the_job_and_a_request_is_passed_on() {
        let (asks, asked) = channel();
        let terminal = has_terminal();
        let by_a_service = Hangup::Reloads {
            asks: asks.clone(),
            terminal,
        };
        assert!(by_a_service.is_passed_on() && asked.try_recv().is_ok());
        // Had it had one, it would have lost it.
        let lost = Hangup::Reloads { asks, terminal: true };
        assert_eq!(lost.is_passed_on(), terminal);
        assert_eq!(asked.try_recv().is_ok(), terminal);
        drop(asked);
        assert!(!by_a_service.is_passed_on(), "nobody is there to read it");
        assert!(!Hangup::Stops.is_passed_on());
    }
}
