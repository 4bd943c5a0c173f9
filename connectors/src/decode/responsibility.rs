//! Who answers for what: units, users, duties and plans.

use std::collections::BTreeSet;
use std::fmt;

use riskflow_model::responsibility::{Duty, Plan, Span, Unit, User};
use riskflow_model::{Level, Millis};

use super::Rejection;
use super::reject::Check;

const MOST_TASKS: usize = 100;
const LONGEST_LIMIT: u32 = 1_000_000;

pub(super) fn unit(unit: Unit) -> Result<Unit, Rejection> {
    let mut check = Check::default();
    check.identifier("id", &unit.id);
    check.identifier_if_any("parent", unit.parent.as_deref());
    if unit.parent.as_ref() == Some(&unit.id) {
        check.wrong("parent", format!("`{}`", unit.id), "another unit");
    }
    check.done(unit)
}

pub(super) fn user(user: User) -> Result<User, Rejection> {
    let mut check = Check::default();
    check.identifier("id", &user.id);
    for (index, post) in user.posts.iter().enumerate() {
        let path = format_args!("posts[{index}]");
        check.identifier(format_args!("{path}.unit"), &post.unit);
        check.identifier(format_args!("{path}.role"), &post.role);
        span(&mut check, format_args!("{path}."), post.span());
    }
    check.done(user)
}

pub(super) fn duty(duty: Duty) -> Result<Duty, Rejection> {
    let mut check = Check::default();
    check.identifier("id", &duty.id);
    check.identifier("unit", &duty.unit);
    check.identifier("role", &duty.role);
    check.identifier_if_any("asset", duty.asset.as_deref());
    check.identifiers("rules", &duty.rules);
    warning_level(&mut check, duty.level);
    span(&mut check, "", duty.span());
    for (index, shift) in duty.roster.iter().enumerate() {
        let path = format_args!("roster[{index}]");
        check.identifier(format_args!("{path}.user"), &shift.user);
        span(&mut check, format_args!("{path}."), shift.span());
    }
    check.done(duty)
}

pub(super) fn plan(plan: Plan) -> Result<Plan, Rejection> {
    let mut check = Check::default();
    check.identifier("id", &plan.id);
    check.identifiers("rules", &plan.rules);
    warning_level(&mut check, plan.level);
    if plan.tasks.len() > MOST_TASKS {
        check.wrong("tasks", format!("a list of {}", plan.tasks.len()), "at most 100 tasks");
    }
    let mut ids = BTreeSet::new();
    for (index, task) in plan.tasks.iter().enumerate() {
        let path = format_args!("tasks[{index}]");
        check.identifier(format_args!("{path}.id"), &task.id);
        check.identifier_if_any(
            format_args!("{path}.role"),
            Some(&*task.role).filter(|role| !role.is_empty()),
        );
        if !ids.insert(&task.id) {
            check.wrong(
                format_args!("{path}.id"),
                format!("`{}`, as another", task.id),
                "each identifier once",
            );
        }
        if let Some(limit) = task.limit_minutes.filter(|limit| !(1..=LONGEST_LIMIT).contains(limit)) {
            check.wrong(format_args!("{path}.limit_minutes"), limit, "1 to 1000000");
        }
    }
    check.done(plan)
}

pub(super) fn warning_level(check: &mut Check, level: Level) {
    if level == Level::None {
        check.wrong("level", "`none`", "`blue`, `yellow`, `orange` or `red`");
    }
}

/// A validity that ends before it begins is a mistake; one that is empty is how registers keep what never came to be.
fn span(check: &mut Check, path: impl fmt::Display, span: Span) {
    if let (Some(Millis(from)), Some(to @ Millis(until))) = (span.from, span.to)
        && until < from
    {
        check.wrong(
            format_args!("{path}valid_to"),
            to,
            "a time not before `valid_from`, or null for no end",
        );
    }
}
