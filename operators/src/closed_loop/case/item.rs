//! What a case's timeline is made of.

use std::sync::Arc;

use riskflow_model::action::Action;
use riskflow_model::output::{Cause, Explanation, Origin};
use riskflow_model::responsibility::Unit;
use riskflow_model::{Domain, Id, Key, Level, Millis, Number, Text};
use serde::{Deserialize, Serialize};

use super::machine::Post;
use crate::closed_loop::obligation::{PlannedTask, TaskMatch};

/// Something that stands on the timeline of a case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Item {
    /// When.
    pub at: Millis,
    /// What.
    pub what: What,
}

/// What stands there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum What {
    /// The case belongs to another domain.
    Domain(Domain),
    /// What the case rests on changed.
    Fact(Fact),
    /// The case is flapping from here on, or no longer.
    Flapping(bool, Cause),
    /// The obligation of a unit and role appeared or changed (`Some`), or is gone.
    Duty(Post, Option<Held>),
    /// A task of a plan appeared or changed (`Some`), or is gone.
    Task(PlannedTask, Option<TaskMatch>),
    /// Someone did something.
    Act(Origin, Box<Action>),
}

/// What the case rests on changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// To what.
    pub kind: FactKind,
    /// Why.
    pub cause: Cause,
    /// What it rests on, for people; `None` where the row of an incident is gone.
    pub evidence: Option<Arc<Evidence>>,
}

/// What a case rests on, in short and for people; of an incident the title only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Evidence {
    /// The rule's name, or the incident's title.
    pub rule_name: Text,
    /// The asset's name.
    pub asset_name: Text,
    /// The feature whose comparison holds (the first of several; where none does, the first of the condition), as in `sum 12h`.
    pub feature: Text,
    /// Its value.
    pub value: Option<Number>,
    /// The unit of the value.
    pub unit: Text,
    /// Whether it rests on what is forecast.
    pub forecast: bool,
    /// For when the value is expected, if it is the least or the greatest that is forecast.
    pub valid_time: Option<Millis>,
}

impl Evidence {
    /// Of an incident with this title.
    pub fn of_incident(title: &Text) -> Self {
        Self {
            rule_name: title.clone(),
            asset_name: Text::default(),
            feature: Text::default(),
            value: None,
            unit: Text::default(),
            forecast: false,
            valid_time: None,
        }
    }

    /// The short form of an explanation.
    pub fn of(explanation: &Explanation) -> Self {
        let holds = |feature: &str| {
            let compares = |held: &Text| held.strip_prefix(feature).is_some_and(|rest| rest.starts_with(' '));
            explanation.held.iter().any(compares)
        };
        let mut features = explanation.features.iter();
        let holding = features.find(|value| holds(&value.feature));
        let shown = holding.or_else(|| explanation.features.first());
        Self {
            rule_name: explanation.rule_name.clone(),
            asset_name: explanation.asset_name.clone(),
            feature: shown.map(|value| value.feature.clone()).unwrap_or_default(),
            value: shown.and_then(|value| value.value),
            unit: shown.map(|value| value.unit.clone()).unwrap_or_default(),
            forecast: explanation.forecast,
            valid_time: shown.and_then(|value| value.valid_time),
        }
    }
}

/// What the case rests on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FactKind {
    /// It began, at this level.
    Raised(Level),
    /// Another warning of the same run began, at this level.
    Joined(Level),
    /// It goes on at this level.
    Level(Level),
    /// It is over.
    Cleared,
    /// It never was.
    Withdrawn,
}

/// An obligation as the duties give it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The parent of the unit.
    pub parent: Option<Id<Unit>>,
    /// How many regions lie above that of the nearest of its duties.
    pub depth: u32,
    /// Its duties that have a roster.
    pub rosters: Vec<Key>,
    /// Whether it has a duty without a roster.
    pub by_post: bool,
}

impl Item {
    /// Items stand in this order.
    pub fn order(&self) -> (Millis, u8, Origin) {
        match &self.what {
            What::Domain(_) => (self.at, 0, Origin::default()),
            What::Fact(_) | What::Flapping(..) => (self.at, 1, Origin::default()),
            What::Duty(..) | What::Task(..) => (self.at, 2, Origin::default()),
            What::Act(origin, _) => (self.at, 3, *origin),
        }
    }

    /// Puts it in its place; behind those of the same order.
    pub fn insert_into(self, items: &mut Vec<Self>) {
        let order = self.order();
        let place = items.partition_point(|item| item.order() <= order);
        items.insert(place, self);
    }
}

impl Fact {
    /// The level from here on.
    pub const fn level(&self) -> Level {
        match self.kind {
            FactKind::Raised(level) | FactKind::Joined(level) | FactKind::Level(level) => level,
            FactKind::Cleared | FactKind::Withdrawn => Level::None,
        }
    }
}
