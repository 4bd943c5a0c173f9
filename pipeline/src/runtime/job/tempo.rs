//! How fast a replay may go.

use std::time::{Duration, Instant};

use riskflow_config::ReplaySettings;

use crate::runtime::pace::DAWN;

/// A replay that is no faster than so many times its own time.
pub(super) struct Tempo {
    speed: f64,
    /// Epochs before are closed as fast as can be.
    from: i64,
    /// When the first epoch from there on was closed, and what time it was then.
    began: Option<(Instant, i64)>,
}

impl Tempo {
    /// `None`: it goes as fast as it can.
    pub(super) fn of(settings: &ReplaySettings) -> Option<Self> {
        settings.speed.map(|speed| Self {
            speed,
            from: settings.from.map_or(DAWN + 1, |from| from.0),
            began: None,
        })
    }

    /// How long it is from `now` until an epoch of this time may be closed.
    pub(super) fn left(&mut self, clock: i64, now: Instant) -> Duration {
        if clock < self.from {
            return Duration::ZERO;
        }
        let (began, first) = *self.began.get_or_insert((now, clock));
        let passed = Duration::from_millis((clock - first).max(0).unsigned_abs());
        let gone = now.saturating_duration_since(began);
        passed.div_f64(self.speed).saturating_sub(gone)
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::Millis;

    use super::*;

    const T: i64 = 1_627_000_000_000;

    fn tempo(speed: Option<f64>, from: Option<i64>) -> Option<Tempo> {
        Tempo::of(&ReplaySettings {
            speed,
            from: from.map(Millis),
            ..ReplaySettings::default()
        })
    }

    #[test]
    fn the_time_between_epochs_passes_at_so_many_times_its_length() {
        let second = Duration::from_secs(1);
        for (speed, ten_seconds) in [(1.0, 10 * second), (100.0, second / 10), (0.5, 20 * second)] {
            let began = Instant::now();
            let mut tempo = tempo(Some(speed), None).unwrap();
            assert_eq!(tempo.left(T, began), Duration::ZERO, "the first waits for nothing");
            assert_eq!(tempo.left(T + 10_000, began), ten_seconds, "×{speed}");
            // What has passed is not waited for again, however late the epochs are.
            assert_eq!(
                tempo.left(T + 10_000, began + ten_seconds / 4),
                ten_seconds * 3 / 4,
                "×{speed}"
            );
            assert_eq!(
                tempo.left(T + 10_000, began + ten_seconds * 2),
                Duration::ZERO,
                "×{speed}"
            );
            assert_eq!(
                tempo.left(T + 20_000, began + ten_seconds / 2),
                ten_seconds * 3 / 2,
                "×{speed}"
            );
        }
    }

    #[test]
    fn what_comes_before_the_stretch_that_is_written_is_not_waited_for() {
        let began = Instant::now();
        let mut tempo = tempo(Some(1.0), Some(T)).unwrap();
        for before in [T - 86_400_000, T - 1_000, T - 1] {
            assert_eq!(tempo.left(before, began), Duration::ZERO);
        }
        // The first of the stretch begins it, wherever it lies.
        let reached = began + Duration::from_secs(7);
        assert_eq!(tempo.left(T + 500, reached), Duration::ZERO);
        assert_eq!(tempo.left(T + 2_500, reached), Duration::from_secs(2));
    }

    #[test]
    fn without_a_speed_nothing_waits() {
        assert!(tempo(None, Some(T)).is_none());
    }
}
