use std::cell::Cell;

use proptest::prelude::*;

use super::*;

thread_local! {
    /// How many steps, or parts of the tree, were put together.
    pub(super) static JOINS: Cell<usize> = const { Cell::new(0) };
}

const BEYOND: i64 = 40;

/// A change, without what was forgotten when it was made.
type Change = (Stretch, i64, i32);

fn value(seen: &[Change], at: i64) -> i128 {
    let there = seen.iter().filter(|(stretch, ..)| stretch.contains(at));
    there.map(|(_, weight, times)| product(*weight, *times)).sum()
}

/// The instants of a stretch for which something holds, as runs.
fn runs(stretch: Stretch, is: impl Fn(i64) -> bool) -> Vec<Stretch> {
    let mut runs: Vec<Stretch> = Vec::new();
    for at in (stretch.from.max(0)..stretch.to.min(BEYOND)).filter(|at| is(*at)) {
        match runs.last_mut() {
            Some(run) if run.to == at => run.to = at + 1,
            _ => runs.push(Stretch::new(at, at + 1)),
        }
    }
    runs
}

/// What was found, as far as instants are asked for.
fn cut(stretch: Stretch) -> Stretch {
    Stretch::new(stretch.from.max(0), stretch.to.min(BEYOND))
}

/// All questions, answered by looking at every instant from `floor` on.
fn answers(steps: &Steps, seen: &[Change], floor: i64, bound: i128) {
    // What changed at the floor is not held.
    let first = if floor == ALWAYS { 0 } else { floor + 1 };
    let floor = floor.max(0);
    let changes: Vec<i64> = (first..BEYOND)
        .filter(|at| value(seen, *at) != value(seen, at - 1))
        .collect();
    for at in floor..BEYOND {
        assert_eq!(steps.value(at), value(seen, at), "at {at}");
        let over = |at: &&i64| value(seen, **at) >= bound;
        let later = || changes.iter().filter(move |change| **change > at);
        let until = || changes.iter().rev().filter(move |change| **change <= at);
        assert_eq!(steps.next_change(at), later().next().copied());
        assert_eq!(steps.next_at_least(at, bound), later().find(over).copied());
        assert_eq!(steps.next_below(at, bound), later().find(|at| !over(at)).copied());
        assert_eq!(steps.last_at_least(at, bound), until().find(over).copied());
        assert_eq!(steps.last_below(at, bound), until().find(|at| !over(at)).copied());
    }
    let all = Stretch::new(floor, BEYOND);
    for truth in [false, true] {
        let mut found = Vec::new();
        steps.pieces(all, bound, truth, |piece| found.push(piece));
        assert_eq!(found, runs(all, |at| (value(seen, at) >= bound) == truth));
    }
}

proptest! {
    #[test]
    fn steps_are_the_sum_of_all_stretches(
        changes in prop::collection::vec(
            (
                prop_oneof![9 => 0..30i64, 1 => Just(ALWAYS)],
                prop_oneof![9 => 0..35i64, 1 => Just(OPEN)],
                -3..4i64,
                -2..3i32,
            ),
            0..40,
        ),
        bound in -4..5i128,
        forgotten in prop::option::of((0..40usize, 1..25i64)),
    ) {
        let mut steps = Steps::default();
        let mut seen: Vec<Change> = Vec::new();
        let mut floor = ALWAYS;
        for (place, (from, to, weight, times)) in changes.into_iter().enumerate() {
            if let Some((_, before)) = forgotten.filter(|(when, _)| *when == place) {
                steps.forget(before);
                floor = before;
            }
            let stretch = Stretch::new(from, to);
            let old = seen.clone();
            seen.push((stretch.rest(floor), weight, times));
            steps.add(stretch, weight, times);
            let mut flips = Vec::new();
            steps.flips(stretch, weight, times, bound, |flip| flips.push(cut(flip)));
            flips.retain(|flip| !flip.is_empty());
            let was = |at| value(&old, at) >= bound;
            let is = |at| value(&seen, at) >= bound;
            prop_assert_eq!(flips, runs(stretch.rest(floor), |at| was(at) != is(at)));
        }
        answers(&steps, &seen, floor, bound);
    }
}

#[test]
fn people_in_a_shelter() {
    let mut steps = Steps::default();
    steps.add(Stretch::new(10, 40), 30, 1);
    steps.add(Stretch::new(20, OPEN), 50, 1);
    steps.add(Stretch::new(30, 30), 99, 1);
    assert_eq!([9, 10, 20, 39, 40].map(|at| steps.value(at)), [0, 30, 80, 80, 50]);
    assert_eq!(steps.next_at_least(0, 60), Some(20));
    assert_eq!(steps.next_below(20, 60), Some(40));
    assert_eq!(steps.last_below(39, 60), Some(10));
    // Forty came at 15 and went at 25: more than 60 only until the fifty came, who would have made it so anyway.
    steps.add(Stretch::new(15, 25), 40, 1);
    let mut flips = Vec::new();
    steps.flips(Stretch::new(15, 25), 40, 1, 60, |flip| flips.push(flip));
    assert_eq!(flips, [Stretch::new(15, 20)]);
}

#[test]
fn what_cancels_is_not_held() {
    let mut steps = Steps::default();
    steps.add(Stretch::new(0, 10), 5, 1);
    steps.add(Stretch::new(10, 20), 5, 1);
    assert_eq!(steps.next_change(0), Some(20), "nothing changes at 10");
    steps.add(Stretch::new(0, 20), 5, -1);
    assert!(steps.is_zero());
}

#[test]
fn of_what_began_before_only_the_rest_counts() {
    let mut steps = Steps::default();
    steps.add(Stretch::new(0, 10), 1, 1);
    steps.add(Stretch::new(0, 30), 1, 1);
    steps.forget(20);
    assert_eq!((steps.floor(), steps.value(20), steps.value(30)), (20, 1, 0));
    steps.add(Stretch::new(0, 10), 1, -1);
    assert_eq!(steps.value(20), 1, "what was over is not taken away again");
    steps.add(Stretch::new(0, 30), 1, -1);
    assert!(steps.is_zero());
    steps.forget(10);
    assert_eq!(steps.floor(), 20, "nothing comes back");
}

#[test]
fn one_change_among_a_million_finds_its_flips_at_once() {
    // Each span overlaps the next one: the value is 1 or 2.
    let mut steps = Steps::default();
    for i in 0..1_000_000 {
        steps.add(Stretch::new(10 * i, 10 * i + 12), 1, 1);
    }
    let all = Stretch::new(0, 10_000_000);
    steps.add(all, 5, 1);
    let mut flips = Vec::new();
    JOINS.set(0);
    steps.flips(all, 5, 1, 3, |flip| flips.push(flip));
    assert_eq!(flips, [all]);
    assert_eq!(steps.next_below(5, 6), Some(10_000_000));
    assert!(
        JOINS.get() < 1_000,
        "{} of two million steps were looked at",
        JOINS.get()
    );
    assert_eq!(
        steps.steps.count(),
        2_000_001,
        "two steps a span, and the end of the five"
    );
}
