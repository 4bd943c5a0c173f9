//! What systemd is told of a running job (`sd_notify`, `Type=notify`). Where nothing asked for it (`NOTIFY_SOCKET`) nothing happens.
//!
//! The service has started once the process is live. Until then, and only while the process runs, each message asks for more time; so
//! a long history is no failure, and a process that hangs whole is one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use riskflow::runtime::job::Handles;
use riskflow::runtime::state::{Condition, State};
use sd_notify::NotifyState;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);

/// How often it is told how the process gets on.
const TELL: Duration = Duration::from_secs(5);

/// How long a start may take from each message on, in microseconds.
const MORE_TIME: u32 = 60_000_000;

/// Whoever supervises the process.
#[derive(Clone, Debug, Default)]
pub struct Supervisor {
    /// Whether it knows that the service has started.
    knows: Arc<AtomicBool>,
}

impl Supervisor {
    /// Starts telling, on a thread that ends with the process.
    pub fn start(handles: &Handles) -> Self {
        let supervisor = Self::default();
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return supervisor;
        }
        let mut teller = Teller {
            handles: handles.clone(),
            knows: Arc::clone(&supervisor.knows),
            told: None,
            failed: false,
        };
        let work = move || {
            loop {
                teller.look();
                // The state is looked at, for it has many who change it and tells nobody; the thread ends with the process.
                std::thread::sleep(LOOK);
            }
        };
        let thread = std::thread::Builder::new().name("supervisor".to_owned()).spawn(work);
        if let Err(error) = thread {
            tracing::warn!(%error, "systemd will not be told how the job is: there is no thread for it");
        }
        supervisor
    }

    /// The job has ended, whoever asked for it.
    pub fn ends(&self) {
        complain(sd_notify::notify(&[NotifyState::Stopping]));
    }

    /// The configuration is read again; until the answer is dropped.
    pub fn reloading(&self) -> Reloading {
        if self.knows.load(Ordering::Acquire) {
            let begun =
                NotifyState::monotonic_usec_now().and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now]));
            complain(begun);
        }
        Reloading(self.clone())
    }
}

/// A configuration that is being read.
pub struct Reloading(Supervisor);

impl Drop for Reloading {
    fn drop(&mut self) {
        if self.0.knows.load(Ordering::Acquire) {
            complain(sd_notify::notify(&[NotifyState::Ready]));
        }
    }
}

fn complain(told: io::Result<()>) {
    if let Err(error) = told {
        tracing::warn!(%error, "systemd could not be told how the job is");
    }
}

struct Teller {
    handles: Handles,
    knows: Arc<AtomicBool>,
    /// What was told last, and when.
    told: Option<(Condition, Instant)>,
    failed: bool,
}

impl Teller {
    fn look(&mut self) {
        let now = Condition::of(&self.handles);
        let before = self.told.as_ref();
        let turned = before.is_none_or(|(before, _)| before.state != now.state);
        let due = before.is_none_or(|(before, at)| at.elapsed() >= TELL && (*before != now || !now.is_live()));
        let owes = now.is_live() && !self.knows.load(Ordering::Acquire);
        if !turned && !due && !owes {
            return;
        }
        let status = now.to_string();
        let mut messages = vec![NotifyState::Status(&status)];
        match now.state {
            State::Starting | State::Hydrating | State::CatchingUp => {
                messages.push(NotifyState::ExtendTimeoutUsec(MORE_TIME));
            }
            State::Live if owes => messages.push(NotifyState::Ready),
            State::Live => {}
            // It has its own bound, below that of the unit: no more time.
            State::Stopping => messages.push(NotifyState::Stopping),
        }
        let told = sd_notify::notify(&messages);
        if now.is_live() && told.is_ok() {
            self.knows.store(true, Ordering::Release);
        }
        // Once is enough: whoever does not listen now hears nothing later.
        if told.is_err() && !std::mem::replace(&mut self.failed, true) {
            complain(told);
        }
        self.told = Some((now, Instant::now()));
    }
}
