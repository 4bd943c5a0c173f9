//! What a case's timeline is made of.

use riskflow_model::action::Action;
use riskflow_model::output::{Cause, Origin};
use riskflow_model::{Domain, Key, Level, Text};
use serde::{Deserialize, Serialize};

use crate::obligation::TaskMatch;

/// Something that stands on the timeline of a case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Item {
    /// When, in milliseconds.
    pub at: i64,
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
    /// The obligation of a unit and role came or is another one (`Some`), or went.
    Duty((Text, Text), Option<Held>),
    /// A task of a plan came or is another one, or went.
    Task((Text, Text), Option<TaskMatch>),
    /// Someone did something.
    Act(Origin, Box<Action>),
}

/// What the case rests on changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// To what.
    pub kind: FactKind,
    /// Why.
    pub cause: Cause,
}

/// What the case rests on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FactKind {
    /// It began, at this level.
    Raised(Level),
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
    pub parent: Option<Text>,
    /// How many regions lie above that of the nearest of its duties.
    pub depth: u32,
    /// Its duties that have a roster.
    pub rosters: Vec<Key>,
    /// Whether it has a duty without a roster.
    pub by_post: bool,
}

impl Item {
    /// Items stand in this order.
    pub fn order(&self) -> (i64, u8, Origin) {
        match &self.what {
            What::Domain(_) => (self.at, 0, Origin::default()),
            What::Fact(_) => (self.at, 1, Origin::default()),
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
    /// Whether the case rests on something from here on.
    pub fn is_active(&self) -> bool {
        matches!(self.kind, FactKind::Raised(_) | FactKind::Level(_))
    }
}
