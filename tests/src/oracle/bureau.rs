//! Who answers for what, as the tables of units, users, duties, plans and incidents stand after an epoch.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_model::intake::Incident;
use riskflow_model::responsibility::{Duty, Plan, PlanTask, Unit, User};
use riskflow_model::{Id, Key, Level, Millis, Row, Shared, Text};

use crate::oracle::place::Places;
use crate::oracle::table::Table;
use crate::oracle::timeline::About;

/// A unit and a role there.
pub type Place = (Id<Unit>, Text);

/// What the duties ask of a unit and role in a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    /// In how many regions that of the nearest duty behind it lies.
    pub depth: usize,
    /// The parent unit.
    pub parent: Option<Id<Unit>>,
    /// The duties behind it that have a roster.
    pub rosters: Vec<Key>,
    /// Whether there is one without.
    pub by_post: bool,
}

/// What a plan asks for in a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The plan.
    pub plan: Id<Plan>,
    /// The position in the plan.
    pub place: usize,
    /// The task in it.
    pub task: Id<PlanTask>,
    /// What is to be done.
    pub name: Text,
    /// Who is to do it.
    pub role: Text,
    /// Milliseconds from its coming to the report.
    pub limit: Option<i64>,
}

/// The tables.
#[derive(Default)]
pub struct Bureau {
    units: Table<Unit>,
    users: Table<User>,
    duties: Table<Duty>,
    plans: Table<Plan>,
    /// Which regions lie in which.
    pub places: Places,
    /// Incidents of the highest version.
    pub incidents: Table<Incident>,
}

impl Bureau {
    /// Applies a record of a table; of other tables it knows nothing.
    pub fn apply(&mut self, topic: u16, key: Key, row: Option<&Row>) {
        self.units.apply(topic, key, row);
        self.users.apply(topic, key, row);
        self.duties.apply(topic, key, row);
        self.plans.apply(topic, key, row);
        self.incidents.apply(topic, key, row);
    }

    fn in_force(&self, now: i64) -> impl Iterator<Item = (&Key, &Shared<Duty>)> {
        self.duties
            .iter()
            .filter(move |(_, duty)| duty.span().contains(Millis(now)))
    }

    /// Who has a shift of a duty now, with the unit and role that the duty gives.
    fn on_shift(duty: &Duty, now: i64) -> impl Iterator<Item = (Place, Id<User>)> {
        let on = duty
            .roster
            .iter()
            .filter(move |shift| shift.span().contains(Millis(now)));
        on.map(|shift| ((duty.unit.clone(), duty.role.clone()), shift.user.clone()))
    }

    /// Every unit and role that must acknowledge such a case now.
    pub fn obligations(&self, about: &About, level: Level, now: i64) -> BTreeMap<Place, Asking> {
        let mut obligations: BTreeMap<Place, Asking> = BTreeMap::new();
        for (key, duty) in self.in_force(now) {
            let fits = level >= duty.level
                && duty.domain.is_none_or(|domain| domain == about.domain)
                && (duty.rules.is_empty() || duty.rules.contains(&about.rule))
                && (duty.asset.is_none() || duty.asset == about.asset)
                && self.places.within(about.region, duty.region);
            if fits {
                let depth = self.places.chain(&duty.region.to_string()).len();
                let parent = self.units.get(&duty.unit.key()).and_then(|unit| unit.parent.clone());
                let place = (duty.unit.clone(), duty.role.clone());
                let asking = obligations.entry(place).or_insert_with(|| Asking {
                    depth,
                    parent,
                    rosters: Vec::new(),
                    by_post: false,
                });
                asking.depth = asking.depth.max(depth);
                if duty.roster.is_empty() {
                    asking.by_post = true;
                } else {
                    asking.rosters.push(*key);
                }
            }
        }
        obligations
    }

    /// What the plans ask for in such a case, by plan, in the order of the plan.
    pub fn tasks(&self, about: &About, level: Level) -> Vec<Wanted> {
        let mut plans: Vec<&Shared<Plan>> = self.plans.values().collect();
        plans.retain(|plan| {
            plan.region
                .is_none_or(|region| self.places.within(about.region, region))
                && plan.domain.is_none_or(|domain| domain == about.domain)
                && (plan.rules.is_empty() || plan.rules.contains(&about.rule))
                && plan.level == level
        });
        plans.sort_by_key(|plan| plan.id.clone());
        let tasks = plans.into_iter().flat_map(|plan| {
            plan.tasks.iter().enumerate().map(|(place, task)| Wanted {
                plan: plan.id.clone(),
                place,
                task: task.id.clone(),
                name: task.name.clone(),
                role: task.role.clone(),
                limit: task.limit_minutes.map(|minutes| i64::from(minutes) * 60_000),
            })
        });
        tasks.collect()
    }

    /// Who answers for an obligation now: by the rosters of its duties, and by post if one of them has no roster. With the unit
    /// and role of each.
    pub fn holders(&self, (unit, role): &Place, asking: &Asking, now: i64) -> BTreeSet<(Place, Id<User>)> {
        let mut holders = BTreeSet::new();
        for (_, duty) in self.in_force(now).filter(|(key, _)| asking.rosters.contains(key)) {
            holders.extend(Self::on_shift(duty, now));
        }
        if asking.by_post {
            let posts = self.posts(unit, now).into_iter().filter(|(held, _)| held == role);
            holders.extend(posts.map(|(role, user)| ((unit.clone(), role), user)));
        }
        holders
    }

    /// Everyone in a unit now, by post and by roster, with their roles.
    pub fn everyone(&self, unit: &Id<Unit>, now: i64) -> BTreeSet<(Place, Id<User>)> {
        let posts = self.posts(unit, now).into_iter();
        let mut all: BTreeSet<(Place, Id<User>)> = posts.map(|(role, user)| ((unit.clone(), role), user)).collect();
        for (_, duty) in self.in_force(now).filter(|(_, duty)| duty.unit == *unit) {
            all.extend(Self::on_shift(duty, now));
        }
        all
    }

    /// Roles and users whose post in a unit is on.
    fn posts(&self, unit: &Id<Unit>, now: i64) -> Vec<(Text, Id<User>)> {
        let posts = self.users.values().flat_map(|user| {
            let on = user.posts.iter().filter(|post| post.span().contains(Millis(now)));
            on.map(|post| (post.unit.clone(), post.role.clone(), user.id.clone()))
        });
        posts
            .filter(|(there, ..)| there == unit)
            .map(|(_, role, user)| (role, user))
            .collect()
    }

    /// How a user is reached.
    pub fn channel(&self, user: &Id<User>) -> Text {
        let row = self.users.get(&user.key());
        row.map(|user| user.channel.clone()).unwrap_or_default()
    }
}
