use riskflow_model::{Duration, binary};

use super::*;
use crate::closed_loop::case::Reminding;

const MINUTE: i64 = 60_000;

/// One case, driven without a dataflow.
#[derive(Default)]
struct Driven {
    state: NoticeState,
    rows: Vec<NoticeRow>,
}

fn about() -> NoticeRow {
    NoticeRow::Case(Arc::new(About {
        id: "c".into(),
        incident: true,
        rule: "leak".into(),
        asset: None,
        domain: Domain::WorkSafety,
        region: "3309".parse().unwrap(),
        since: Millis(0),
    }))
}

fn alarm(event: NoticeEvent, to: Addressee) -> Arc<Alarm> {
    let mark = match event {
        NoticeEvent::Issued => vec!["0".into()],
        _ => Vec::new(),
    };
    Arc::new(Alarm {
        case: "c".into(),
        event,
        mark,
        evidence: None,
        to,
        level: riskflow_model::Level::Red,
        due: None,
    })
}

fn reminding(from: i64) -> NoticeRow {
    let every = Duration(10 * MINUTE);
    let from = Millis(from * MINUTE);
    NoticeRow::Reminding(alarm(
        NoticeEvent::Reminder,
        Addressee::Alarmed(Reminding { from, every }),
    ))
}

fn recipient(user: &str) -> NoticeRow {
    let holder = Holder {
        unit: "town".into(),
        role: "duty".into(),
        user: user.into(),
        channel: "".into(),
    };
    let alarm = alarm(NoticeEvent::Issued, Addressee::Unit("town".into()));
    NoticeRow::Recipient(alarm, Arc::new(holder))
}

impl Driven {
    fn change(&mut self, row: NoticeRow, diff: Diff) {
        if diff > 0 {
            self.rows.push(row.clone());
        } else {
            self.rows.retain(|known| *known != row);
        }
        let mut changes = std::iter::once((row, diff));
        Notices.rows(Millis(0), Key::of("c"), &mut self.state, &mut changes);
    }

    fn came(rows: impl IntoIterator<Item = NoticeRow>) -> Self {
        let mut this = Self::default();
        rows.into_iter().for_each(|row| this.change(row, 1));
        this
    }

    /// What is told in a minute, in words, and in which minute it will look again.
    fn told(&mut self, minute: i64) -> (Vec<String>, Option<i64>) {
        let mut out = Vec::new();
        let next = Notices.settle(Millis(minute * MINUTE), Key::of("c"), &mut self.state, &mut out);
        let words = out.into_iter().map(|(notice, _)| {
            let number = notice.reminder;
            let number = number.map(|of| format!(" {} of {}", of.number, of.at.0 / MINUTE));
            format!("{} {}{}", notice.event.name(), notice.user, number.unwrap_or_default())
        });
        let next = match next {
            Next::Wake(at) => Some(at.0 / MINUTE),
            Next::Keep => None,
            Next::Forget => panic!("the case is there"),
        };
        (words.collect(), next)
    }

    /// The process ends, and another one goes on with what was kept.
    fn restart(&mut self) {
        let kept = binary::encode(&self.state).unwrap();
        self.state = binary::decode(&kept).unwrap();
        let mut rows = self.rows.clone().into_iter().map(|row| (row, 1));
        Notices.rows(Millis(0), Key::of("c"), &mut self.state, &mut rows);
    }
}

#[test]
fn a_restart_repeats_no_reminder_and_loses_none() {
    let mut case = Driven::came([about(), recipient("anna"), reminding(0)]);
    assert_eq!(case.told(0), (vec!["issued anna".to_owned()], Some(10)));
    case.restart();
    assert_eq!(case.told(9), (Vec::new(), Some(10)));
    assert_eq!(case.told(10), (vec!["reminder anna 1 of 10".to_owned()], Some(20)));
    case.restart();
    assert_eq!(case.told(10), (Vec::new(), Some(20)));
    case.restart();
    // Two were due meanwhile.
    assert_eq!(case.told(34), (vec!["reminder anna 3 of 30".to_owned()], Some(40)));
    case.restart();
    assert_eq!(case.told(35), (Vec::new(), Some(40)));
    // It was acknowledged at a time before the last.
    case.change(reminding(0), -1);
    assert_eq!(case.told(41), (Vec::new(), None));
}

#[test]
fn those_are_reminded_who_are_alarmed_and_were_before() {
    let mut case = Driven::came([about(), recipient("anna"), reminding(0)]);
    case.told(0);
    case.change(recipient("anna"), -1);
    case.change(recipient("ben"), 1);
    assert_eq!(case.told(10), (vec!["issued ben".to_owned()], Some(20)));
    assert_eq!(case.told(20), (vec!["reminder ben 2 of 20".to_owned()], Some(30)));
    // There is nobody when it is due: whoever comes later waits for the next.
    case.change(recipient("ben"), -1);
    assert_eq!(case.told(30), (Vec::new(), Some(40)));
    case.change(recipient("anna"), 1);
    assert_eq!(case.told(31), (Vec::new(), Some(40)));
    assert_eq!(case.told(40), (vec!["reminder anna 4 of 40".to_owned()], Some(50)));
}

#[test]
fn another_beginning_is_counted_from_and_no_time_comes_twice() {
    let mut case = Driven::came([about(), recipient("anna"), reminding(0)]);
    case.told(0);
    case.told(20);
    case.change(reminding(0), -1);
    case.change(reminding(10), 1);
    // That it begins at 10 is learnt late; the reminder of 20 was sent.
    assert_eq!(case.told(21), (Vec::new(), Some(30)));
    assert_eq!(case.told(30), (vec!["reminder anna 2 of 30".to_owned()], Some(40)));
    case.change(reminding(10), -1);
    case.change(reminding(25), 1);
    assert_eq!(case.told(35), (vec!["reminder anna 1 of 35".to_owned()], Some(45)));
}

#[test]
fn who_is_on_duty_in_two_ways_is_reminded_as_long_as_one_is_left() {
    let (roster, post) = (recipient("anna"), recipient("anna"));
    let mut case = Driven::came([about(), roster.clone(), post.clone(), reminding(0)]);
    assert_eq!(case.told(0).0, ["issued anna"]);
    case.change(roster, -1);
    assert_eq!(case.told(10).0, ["reminder anna 1 of 10"]);
    case.change(post, -1);
    assert_eq!(case.told(20).0, [""; 0]);
}
