//! What few datastreams have beside what is known of them: what waits, what ended, what is forecast, and what cannot be taken.

use riskflow_model::Id;
use riskflow_model::base::{Asset, Datastream};
use riskflow_model::output::Cause;
use serde::{Deserialize, Serialize};

use super::finding::Revision;
use super::forecast::Forecasts;
use super::waiting::Waiting;
use super::watch::Watch;
use super::{Forecasted, Observed};
use crate::warning::specification::States;

/// What waits, and what ended.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Aside {
    /// Observations that wait for the row.
    pub(super) waiting: Vec<Waiting>,
    /// Watches that ended, or count elsewhere, since the last settling.
    pub(super) parting: Parting,
    /// What is forecast.
    pub(super) forecasts: Forecasts,
    /// Which numbers stand for states. They come with the row, so they are not saved.
    #[serde(skip)]
    pub(super) states: States,
    /// Observations with the names of states that the row does not know, since the last settling.
    #[serde(skip)]
    pub(super) stateless: Vec<Observed>,
    /// Forecasts since the last settling while there is no row.
    #[serde(skip)]
    pub(super) astray: Vec<Forecasted>,
}

impl Aside {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
            && self.parting.is_empty()
            && self.forecasts.is_empty()
            && self.states.is_none()
            && self.stateless.is_empty()
            && self.astray.is_empty()
    }
}

/// Watches that ended, and where the others count.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Parting {
    pub(super) ended: Vec<Ended>,
    /// Revisions that move them.
    #[serde(skip)]
    pub(super) moved: Vec<Revision>,
}

impl Parting {
    pub(super) fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.moved.is_empty()
    }
}

/// A watch whose entry is no longer in force.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) watch: Watch,
    pub(super) datastream: Id<Datastream>,
    pub(super) asset: Id<Asset>,
    pub(super) cause: Cause,
}
