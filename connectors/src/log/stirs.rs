//! Whether anything was written to some folders since they were last looked at: one system call, where to look at every file
//! is one for each.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// The system may lose events (too many at once), or have none to give of a file system that others write to: so often a look is
/// due all the same; so is one with each epoch that a heartbeat closes.
const LOOK: Duration = Duration::from_secs(5);

/// A watch over folders.
pub(super) struct Stirs {
    events: Inotify,
    stirred: bool,
    looked: Instant,
}

impl Stirs {
    /// Watches folders; `None` where the system does not allow that, and whoever asks must look each time.
    pub fn over<'a>(folders: impl Iterator<Item = &'a Path>) -> Option<Self> {
        let events = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok()?;
        let flags = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO;
        for folder in folders {
            events.add_watch(folder, flags).ok()?;
        }
        Some(Self {
            events,
            stirred: true,
            looked: Instant::now(),
        })
    }

    /// Whether to look: something was written since nothing was found last, or a look is due.
    pub fn stirred(&mut self) -> bool {
        loop {
            match self.events.read_events() {
                Ok(events) if events.is_empty() => break,
                Ok(_) => self.stirred = true,
                Err(Errno::EAGAIN) => break,
                // What cannot be told is looked at.
                Err(_) => return true,
            }
        }
        self.stirred || self.looked.elapsed() >= LOOK
    }

    /// A look that was begun after the last call of [`Stirs::stirred`] has found nothing.
    pub fn calm(&mut self) {
        self.stirred = false;
        self.looked = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_stirs_and_quiet_is_quiet() {
        let folder = tempfile::tempdir().unwrap();
        let mut stirs = Stirs::over([folder.path()].into_iter()).expect("the system allows it");
        assert!(stirs.stirred(), "the first look is due");
        stirs.calm();
        assert!(!stirs.stirred());
        let file = folder.path().join("0.log");
        std::fs::write(&file, b"x").unwrap();
        assert!(stirs.stirred() && stirs.stirred(), "until somebody looked");
        stirs.calm();
        assert!(!stirs.stirred());
        std::fs::remove_file(&file).unwrap();
        assert!(stirs.stirred());
        assert!(
            Stirs::over([file.as_path()].into_iter()).is_none(),
            "a folder that is not there"
        );
    }
}
