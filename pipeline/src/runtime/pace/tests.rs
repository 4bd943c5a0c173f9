use riskflow_model::topic::Topic;

use super::*;

fn terms(clock: Clock) -> Terms {
    Terms {
        epoch: EpochSettings {
            tick: Duration::from_millis(20),
            replay_tick: 1_000,
            max_records: 1_000,
            in_flight: 1,
            heartbeat: Duration::from_secs(1),
            quiet: Quiet::Skip,
        },
        clock,
        until: None,
        max_future: 60_000,
        peers: 1,
    }
}

fn pace(clock: Clock) -> Pace {
    Pace::new(terms(clock), Plan::default())
}

/// The same, of another epoch.
fn told_of(epoch: u64, report: Report) -> Report {
    Report { epoch, ..report }
}

fn report(next_arrival: Option<i64>) -> Report {
    Report {
        epoch: 0,
        worker: 0,
        next_arrival,
        caught_up: next_arrival.is_none(),
        behind: 0,
        stop: false,
    }
}

fn at(clock: i64, how: How) -> Step {
    Step::Close(clock.unsigned_abs(), Cut { clock, ..how.into() })
}

/// Long after every history here.
const NOW: Now = Now {
    clock: 1_700_000_000_000,
    steady: 0,
};
const T: i64 = 1_500_000_000_000;

/// Steps once; what it closed is applied, and this comes next.
fn step(pace: &mut Pace, next: Option<i64>, wake: Option<i64>) -> Step {
    let step = pace.step(0, NOW, false);
    pace.applied(wake);
    pace.note(told_of(pace.last().epoch, report(next)));
    step
}

#[test]
fn history_lies_on_the_grid_and_ends() {
    let mut pace = pace(Clock::Arrival);
    assert_eq!(pace.step(0, NOW, false), at(1, How::Look));
    assert!(matches!(pace.step(0, NOW, false), Step::Wait(_)));
    pace.note(told_of(1, report(Some(T + 300))));
    assert_eq!(pace.step(0, NOW, false), at(T + 1_000, How::History));
    pace.note(told_of(pace.last().epoch, report(Some(T + 1_500))));
    assert!(matches!(pace.step(1, NOW, false), Step::Wait(_)), "no room");
    assert_eq!(pace.step(0, NOW, false), at(T + 2_000, How::History));
    pace.note(told_of(pace.last().epoch, report(None)));
    assert_eq!(pace.step(0, NOW, false), Step::End);
}

#[test]
fn quiet_epochs_are_passed_over_but_for_those_at_which_a_key_is_due() {
    let year = 365 * 86_400_000;
    let mut pace = pace(Clock::Arrival);
    step(&mut pace, Some(T), None);
    assert_eq!(step(&mut pace, Some(T + year), Some(T + 70_500)), at(T, How::History));
    assert_eq!(step(&mut pace, Some(T + year), None), at(T + 71_000, How::History));
    assert_eq!(step(&mut pace, None, Some(T + 2 * year)), at(T + year, How::History));
    assert_eq!(step(&mut pace, None, None), Step::End);
}

#[test]
fn what_may_be_due_is_waited_for() {
    let mut pace = pace(Clock::Arrival);
    step(&mut pace, Some(T), None);
    pace.step(0, NOW, false);
    pace.note(told_of(pace.last().epoch, report(Some(T + 90_000))));
    assert!(matches!(pace.step(1, NOW, false), Step::Wait(_)), "not applied yet");
    pace.applied(Some(T + 5_000));
    assert_eq!(pace.step(0, NOW, false), at(T + 5_000, How::History));
}

#[test]
fn all_epochs_are_closed_if_that_is_asked_for() {
    let mut pace = pace(Clock::Arrival);
    pace.terms.epoch.quiet = Quiet::Close;
    step(&mut pace, Some(T), None);
    for second in 0..5 {
        let next = Some(T + 5_000).filter(|_| second < 4);
        assert_eq!(step(&mut pace, next, None), at(T + second * 1_000, How::History));
    }
}

#[test]
fn a_replay_goes_on_to_its_end_as_far_as_anything_is_due() {
    let mut pace = pace(Clock::Arrival);
    pace.terms.until = Some(Millis(T + 60_000));
    step(&mut pace, Some(T), None);
    step(&mut pace, None, Some(T + 60_000));
    assert_eq!(step(&mut pace, None, Some(T + 60_001)), at(T + 60_000, How::History));
    assert_eq!(step(&mut pace, None, None), Step::End);
}

#[test]
fn the_next_epoch_of_a_history_waits_for_one_worker_and_its_end_for_all() {
    let two = Terms {
        peers: 2,
        ..terms(Clock::Arrival)
    };
    let mut pace = Pace::new(two, Plan::default());
    pace.step(0, NOW, false);
    let of = |worker, next_arrival| Report {
        epoch: 0,
        worker,
        ..report(next_arrival)
    };
    let waits = |pace: &mut Pace| matches!(pace.step(0, NOW, false), Step::Wait(_));
    pace.note(told_of(1, of(0, Some(500))));
    assert!(waits(&mut pace), "the other may have an earlier one");
    pace.note(told_of(1, of(1, Some(400))));
    assert_eq!(pace.step(0, NOW, false), at(1_000, How::History));
    pace.note(told_of(1_000, of(1, Some(1_500))));
    assert_eq!(pace.step(0, NOW, false), at(2_000, How::History));
    pace.note(told_of(1_000, of(0, None)));
    pace.note(told_of(2_000, of(1, None)));
    assert!(waits(&mut pace), "what was said of an earlier epoch does not count");
    pace.note(told_of(2_000, of(0, None)));
    assert_eq!(pace.step(0, NOW, false), Step::End);
}

#[test]
fn what_comes_before_everything_else_does_not_choose_the_first_epoch() {
    let mut pace = pace(Clock::EventTime);
    step(&mut pace, earliest(Some(i64::MIN), Some(T)), None);
    assert_eq!(pace.step(0, NOW, false), at(T, How::History));
}

#[test]
fn live_goes_on_after_the_history() {
    let mut pace = pace(Clock::Live);
    step(&mut pace, Some(T), None);
    step(&mut pace, None, None);
    assert_eq!(pace.step(0, NOW, false), Step::Wait(Duration::ZERO));
    assert!(pace.is_live());
    assert_eq!(step(&mut pace, None, None), at(NOW.clock, How::Live));
    assert!(matches!(pace.step(0, NOW, false), Step::Wait(_)), "within the tick");
}

#[test]
fn a_history_without_an_end_goes_live_where_its_epochs_would_lie_ahead() {
    let mut pace = pace(Clock::Live);
    step(&mut pace, Some(NOW.clock - 5_000), None);
    step(&mut pace, Some(NOW.clock + 1), None);
    assert_eq!(pace.step(0, NOW, false), Step::Wait(Duration::ZERO));
    assert!(pace.is_live());
}

#[test]
fn what_arrived_just_before_the_start_is_caught_up_with_live() {
    let mut pace = Pace::new(
        Terms {
            peers: 2,
            ..terms(Clock::Live)
        },
        Plan::default(),
    );
    let of = |worker, next| Report { worker, ..report(next) };
    // Between two points of the grid.
    let now = later(NOW, 500);
    let backlog = Some(now.clock - 10);
    assert_eq!(pace.step(0, now, false), at(1, How::Look));
    pace.applied(None);
    for worker in [0, 1] {
        pace.note(told_of(1, of(worker, backlog)));
    }
    assert_eq!(
        pace.step(0, now, false),
        Step::Wait(Duration::ZERO),
        "its grid point lies ahead"
    );
    assert_eq!(pace.step(0, now, false), at(now.clock, How::Live));
    let first = pace.last().epoch;
    pace.note(told_of(first, of(0, None)));
    pace.note(told_of(first, of(1, backlog)));
    assert_eq!(pace.caught_up(), None, "one of them has more than an epoch takes");
    // Reports count late as well: by then the next epoch may be closed.
    pace.note(told_of(first + 1, of(0, None)));
    pace.note(told_of(first + 1, of(1, None)));
    assert_eq!(pace.caught_up(), Some(first + 1), "told once, it stays");
    pace.note(told_of(first + 2, of(1, backlog)));
    assert_eq!(pace.caught_up(), Some(first + 1));
}

fn live() -> (Pace, Now) {
    let mut pace = pace(Clock::Live);
    step(&mut pace, None, None);
    pace.step(0, NOW, false);
    assert_eq!(step(&mut pace, None, None), at(NOW.clock, How::Live));
    (pace, NOW)
}

fn later(now: Now, millis: i64) -> Now {
    Now {
        clock: now.clock + millis,
        steady: now.steady + millis,
    }
}

#[test]
fn a_quiet_job_closes_an_epoch_when_something_happens_and_at_its_heartbeat() {
    let (mut pace, now) = live();
    let wait = |millis| Step::Wait(Duration::from_millis(millis));
    assert_eq!(
        pace.step(0, later(now, 100), false),
        wait(20),
        "sources are asked again"
    );
    pace.ring();
    assert_eq!(pace.step(0, later(now, 110), false), at(now.clock + 110, How::Live));
    pace.ring();
    assert_eq!(pace.step(0, later(now, 115), false), wait(15), "no epoch is shorter");
    assert!(matches!(pace.step(1, later(now, 140), false), Step::Wait(_)), "no room");
    assert_eq!(pace.step(0, later(now, 140), false), at(now.clock + 140, How::Live));
    pace.applied(Some(now.clock + 303));
    assert_eq!(pace.step(0, later(now, 300), false), wait(3));
    assert_eq!(pace.step(0, later(now, 304), false), at(now.clock + 304, How::Live));
    pace.applied(None);
    assert!(matches!(pace.step(0, later(now, 1_303), false), Step::Wait(_)));
    assert_eq!(pace.step(0, later(now, 1_304), false), at(now.clock + 1_304, How::Live));
    assert_eq!(
        pace.step(0, later(now, 1_330), true),
        at(now.clock + 1_330, How::Live),
        "somebody asked"
    );
}

#[test]
fn epochs_rise_while_the_clock_is_drawn_back_a_little() {
    let (mut pace, now) = live();
    pace.ring();
    let back = Now {
        clock: now.clock - 30_000,
        steady: now.steady + 100,
    };
    assert_eq!(pace.step(0, back, false), at(now.clock + 1, How::Live));
}

#[test]
fn a_clock_that_was_ahead_begins_anew_behind_the_last_epoch() {
    let (mut pace, now) = live();
    let back = Now {
        clock: now.clock - 60_001,
        steady: now.steady + 100,
    };
    assert!(
        matches!(pace.step(1, back, false), Step::Wait(_)),
        "it is committed first"
    );
    assert_eq!(pace.step(0, back, false), Step::Rewind);

    let last = now.clock.unsigned_abs();
    let plan = Plan {
        rewound: Some(last),
        ..Plan::default()
    };
    let mut pace = Pace::new(terms(Clock::Live), plan);
    let behind = |more: u64, clock, how: How| Step::Close(last + more, Cut { clock, ..how.into() });
    let history = [
        (Some(T), How::Look, 1),
        (Some(T + 9_000), How::History, T),
        (None, How::History, T + 9_000),
    ];
    for ((next, how, clock), more) in history.into_iter().zip(1..) {
        assert!(pace.is_rewinding());
        assert_eq!(pace.step(0, back, false), behind(more, clock, how));
        pace.note(told_of(pace.last().epoch, report(next)));
    }
    assert_eq!(pace.step(0, back, false), Step::Wait(Duration::ZERO));
    assert!(!pace.is_rewinding());
    assert_eq!(pace.step(0, back, false), behind(4, back.clock, How::Live));
    // Once the clock has caught up, epochs are times again.
    let caught_up = later(back, 70_000);
    assert_eq!(pace.step(0, caught_up, false), at(caught_up.clock, How::Live));
}

#[test]
fn epochs_of_an_earlier_run_come_first_and_take_what_they_took() {
    let offsets = |next| {
        let mut offsets = Offsets::default();
        offsets.advance(Topic::IN_OBSERVATION, 0, next);
        offsets
    };
    let plan = Plan {
        cold: Some((Moment::of(5_000), offsets(10))),
        recorded: VecDeque::from([(Moment::of(6_500), offsets(12))]),
        ..Plan::default()
    };
    let mut pace = Pace::new(terms(Clock::Live), plan);
    let mut closed = Vec::new();
    for next in [Some(2_200), Some(3_900), Some(4_900), Some(6_000), Some(7_200)] {
        let Step::Close(epoch, cut) = step(&mut pace, next, None) else {
            panic!("nothing is closed")
        };
        closed.push((epoch, cut.how, cut.bound.map(|bound| bound == offsets(10))));
    }
    let bound = Some(true);
    let expected = [
        (1, How::Look, bound),
        (3_000, How::History, bound),
        (4_000, How::History, bound),
        // The next on the grid would be 5,000 itself.
        (5_000, How::Recorded, bound),
        (6_500, How::Recorded, Some(false)),
    ];
    assert_eq!(closed, expected);
    assert_eq!(step(&mut pace, None, None), at(8_000, How::History));
}

#[test]
fn a_history_that_ended_has_one_more_epoch_for_its_checkpoint_and_goes_on_as_without() {
    let mut pace = pace(Clock::EventTime);
    assert_eq!(pace.behind_history(), None, "nothing was taken yet");
    assert_eq!(step(&mut pace, Some(T), None), at(1, How::Look));
    assert_eq!(step(&mut pace, None, Some(T + 1)), at(T, How::History));
    assert_eq!(pace.step(0, NOW, false), Step::End);
    assert_eq!(pace.behind_history(), None, "something would happen in it");
    pace.applied(Some(T + 9_000));
    let behind = Cut {
        clock: T + 1,
        ..How::History.into()
    };
    assert_eq!(pace.behind_history(), Some((T.unsigned_abs() + 1, behind)));
    assert_eq!(pace.behind_history(), None, "nobody said yet what comes next");
    // More came meanwhile: it lies on the same grid.
    pace.note(told_of(pace.last().epoch, report(Some(T + 10))));
    assert_eq!(pace.behind_history(), None, "there is more");
    assert_eq!(pace.step(0, NOW, false), at(T + 1_000, How::History));
}
