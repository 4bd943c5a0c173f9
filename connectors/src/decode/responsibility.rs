//! Who answers for what: units, users, duties and plans.

use std::collections::BTreeSet;

use riskflow_model::Level;
use riskflow_model::responsibility::{Duty, Plan, Unit, User};

use super::Rejection;
use super::reject::filled;

const MOST_TASKS: usize = 100;
const LONGEST_LIMIT: u32 = 1_000_000;

pub(super) fn unit(unit: Unit) -> Result<Unit, Rejection> {
    if unit.parent.as_ref() == Some(&unit.id) {
        return Err(Rejection::field("parent", &unit.id, "another unit"));
    }
    Ok(unit)
}

pub(super) fn user(user: User) -> Result<User, Rejection> {
    for post in &user.posts {
        filled("posts.unit", &post.unit)?;
        filled("posts.role", &post.role)?;
    }
    Ok(user)
}

pub(super) fn duty(duty: Duty) -> Result<Duty, Rejection> {
    filled("unit", &duty.unit)?;
    filled("role", &duty.role)?;
    warning_level(duty.level)?;
    duty.roster
        .iter()
        .try_for_each(|shift| filled("roster.user", &shift.user))?;
    Ok(duty)
}

pub(super) fn plan(plan: Plan) -> Result<Plan, Rejection> {
    warning_level(plan.level)?;
    if plan.tasks.len() > MOST_TASKS {
        return Err(Rejection::field("tasks", plan.tasks.len(), "at most 100 tasks"));
    }
    let mut ids = BTreeSet::new();
    for task in &plan.tasks {
        filled("tasks.id", &task.id)?;
        if !ids.insert(&task.id) {
            return Err(Rejection::field("tasks.id", &task.id, "each identifier once"));
        }
        if let Some(limit) = task.limit_minutes.filter(|limit| !(1..=LONGEST_LIMIT).contains(limit)) {
            return Err(Rejection::field("tasks.limit_minutes", limit, "1 to 1000000"));
        }
    }
    Ok(plan)
}

pub(super) fn warning_level(level: Level) -> Result<(), Rejection> {
    match level {
        Level::None => Err(Rejection::field("level", "none", "blue, yellow, orange or red")),
        _ => Ok(()),
    }
}
