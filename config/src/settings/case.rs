//! Deadlines and bounds of cases.

use riskflow_model::output::CaseStep;
use riskflow_model::{Domain, Duration, Level};

/// Deadlines and bounds of cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaseSettings {
    /// Actions may be this far behind the clock.
    pub horizon: Duration,
    /// How long a case is kept after it was archived.
    pub retain: Duration,
    /// Levels that rise and fall again and again.
    pub flapping: FlappingSettings,
    /// By domain ([`Domain::ALL`]), level ([`Level::WARNING`]) and step ([`CaseStep::ALL`]) how long it may take to get there
    /// from the step before; 0 where there is no deadline. `acknowledged` counts from the issue.
    pub deadlines: [[[Duration; CaseStep::ALL.len()]; 4]; 4],
    /// By domain and level how long after an alarm people are reminded of it, and after each reminder again; 0 where they are not.
    pub remind: [[Duration; 4]; 4],
}

/// What becomes of levels that rise and fall again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlappingSettings {
    /// A warning that begins so long after the end of the one before, or sooner, joins its case.
    pub join: Duration,
    /// A third raise within so long marks a case.
    pub within: Duration,
    /// After so long without a change the mark goes.
    pub calm: Duration,
}

impl CaseSettings {
    /// How long it may take to get to a step in a case of this domain and level; `None` where there is no deadline.
    #[must_use]
    pub fn deadline(&self, domain: Domain, level: Level, step: CaseStep) -> Option<Duration> {
        let level = level.index().checked_sub(1)?;
        let limit = self.deadlines[domain as usize][level][step.index()];
        (limit > Duration::ZERO).then_some(limit)
    }

    /// How long people are left in peace between an alarm and the first reminder, and between two; `None` where there are none.
    #[must_use]
    pub fn remind(&self, domain: Domain, level: Level) -> Option<Duration> {
        let level = level.index().checked_sub(1)?;
        let every = self.remind[domain as usize][level];
        (every > Duration::ZERO).then_some(every)
    }
}
