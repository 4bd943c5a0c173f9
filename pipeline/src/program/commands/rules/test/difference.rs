//! What is expected beside what came out, line by line.

use std::collections::BTreeMap;

use riskflow_model::Level;
use riskflow_model::output::Reason;

use super::after::After;
use super::format::Delta;

/// On which side a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Both,
    /// It must come, and did not.
    Expected,
    /// It came, and must not.
    Got,
}

/// A line of a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub side: Side,
    pub text: String,
}

impl Line {
    fn new(side: Side, text: impl Into<String>) -> Self {
        Self {
            side,
            text: text.into(),
        }
    }
}

/// How what is told differs from what must be told; `None` where it does not. What an expected one does not give may be anything.
pub fn deltas_differ(expected: &[Delta], got: &[Delta]) -> Option<Vec<Line>> {
    let owners = matched(expected, got);
    let missing: Vec<usize> = (0..expected.len())
        .filter(|index| !owners.contains(&Some(*index)))
        .collect();
    if missing.is_empty() && owners.iter().all(Option::is_some) {
        return None;
    }
    let beside = beside(expected, got, &owners, &missing);
    let mut lines = Vec::new();
    let mut late: Vec<usize> = missing
        .into_iter()
        .filter(|index| !beside.contains_key(index))
        .collect();
    late.sort_by_key(|index| (when(&expected[*index]), *index));
    let mut late = late.into_iter().peekable();
    for (index, delta) in got.iter().enumerate() {
        while let Some(before) = late.next_if(|before| when(&expected[*before]) <= when(delta)) {
            lines.push(Line::new(Side::Expected, shown(&expected[before])));
        }
        if owners[index].is_some() {
            lines.push(Line::new(Side::Both, shown(delta)));
            continue;
        }
        for (wanted, _) in beside.iter().filter(|(_, place)| **place == index) {
            lines.push(Line::new(Side::Expected, shown(&expected[*wanted])));
        }
        lines.push(Line::new(Side::Got, shown(delta)));
    }
    lines.extend(late.map(|index| Line::new(Side::Expected, shown(&expected[index]))));
    Some(lines)
}

/// For each that came the expected one that it is; as many as can be.
fn matched(expected: &[Delta], got: &[Delta]) -> Vec<Option<usize>> {
    let mut owners = vec![None; got.len()];
    for wanted in 0..expected.len() {
        let mut seen = vec![false; got.len()];
        find(wanted, expected, got, &mut seen, &mut owners);
    }
    owners
}

/// Finds one that came for an expected one, if need be by finding another for the one that has it.
fn find(wanted: usize, expected: &[Delta], got: &[Delta], seen: &mut [bool], owners: &mut [Option<usize>]) -> bool {
    for index in 0..got.len() {
        if seen[index] || !fits(&expected[wanted], &got[index]) {
            continue;
        }
        seen[index] = true;
        let is_free = match owners[index] {
            None => true,
            Some(owner) => find(owner, expected, got, seen, owners),
        };
        if is_free {
            owners[index] = Some(wanted);
            return true;
        }
    }
    false
}

/// In how many of its fields an expected one is like one that came, and in how many it is not.
fn likeness(expected: &Delta, got: &Delta) -> (usize, usize) {
    fn of<T: PartialEq>(expected: &Option<T>, got: &Option<T>) -> Option<bool> {
        expected.is_some().then(|| expected == got)
    }
    let fields = [
        of(&expected.kind, &got.kind),
        of(&expected.rule, &got.rule),
        of(&expected.asset, &got.asset),
        of(&expected.level, &got.level),
        of(&expected.from, &got.from),
        of(&expected.to, &got.to),
        of(&expected.at, &got.at),
        of(&expected.since, &got.since),
        of(&expected.told, &got.told),
        of(&expected.cause, &got.cause),
    ];
    let count = |wanted: bool| fields.iter().filter(|field| **field == Some(wanted)).count();
    (count(true), count(false))
}

fn fits(expected: &Delta, got: &Delta) -> bool {
    likeness(expected, got).1 == 0
}

/// Beside which of those that must not come each missing one is shown: the one that it is most like, if it is in half of its fields.
fn beside(expected: &[Delta], got: &[Delta], owners: &[Option<usize>], missing: &[usize]) -> BTreeMap<usize, usize> {
    let mut pairs = Vec::new();
    for wanted in missing {
        for (index, delta) in got.iter().enumerate().filter(|(index, _)| owners[*index].is_none()) {
            let (like, unlike) = likeness(&expected[*wanted], delta);
            if like >= unlike {
                pairs.push((unlike, *wanted, index));
            }
        }
    }
    pairs.sort_unstable();
    let mut beside = BTreeMap::new();
    for (_, wanted, index) in pairs {
        if !beside.contains_key(&wanted) && !beside.values().any(|taken| *taken == index) {
            beside.insert(wanted, index);
        }
    }
    beside
}

/// By which time a delta is put in order; one that says nothing of it comes last.
fn when(delta: &Delta) -> After {
    let time = delta.told.or(delta.at).or(delta.since);
    time.unwrap_or(After(i64::MAX))
}

/// `raised rain/gauge-1 none -> blue at 40m since 40m told 41m by data`; what is not given is left out.
fn shown(delta: &Delta) -> String {
    let mut parts = Vec::new();
    parts.extend(delta.kind.map(|kind| kind.name().to_owned()));
    match (&delta.rule, &delta.asset) {
        (None, None) => {}
        (rule, asset) => {
            let or_any = |part: &Option<String>| part.clone().unwrap_or_else(|| "*".to_owned());
            parts.push(format!("{}/{}", or_any(rule), or_any(asset)));
        }
    }
    match (delta.from, delta.to, delta.level) {
        (Some(from), Some(to), _) => parts.push(format!("{from} -> {to}")),
        (from, to, level) => {
            parts.extend(level.map(|level| level.to_string()));
            parts.extend(from.map(|from| format!("from {from}")));
            parts.extend(to.map(|to| format!("to {to}")));
        }
    }
    parts.extend(delta.at.map(|at| format!("at {at}")));
    parts.extend(delta.since.map(|since| format!("since {since}")));
    parts.extend(delta.told.map(|told| format!("told {told}")));
    let cause = delta.cause.and_then(|cause| serde_json::to_value(cause).ok());
    parts.extend(cause.and_then(|cause| Some(format!("by {}", cause.as_str()?))));
    match parts.is_empty() {
        true => "anything".to_owned(),
        false => parts.join(" "),
    }
}

/// How what is open differs from what must be open.
pub fn open_differs(expected: &BTreeMap<String, Level>, got: &BTreeMap<String, Level>) -> Option<Vec<Line>> {
    if expected == got {
        return None;
    }
    let names = expected
        .keys()
        .chain(got.keys().filter(|name| !expected.contains_key(*name)));
    let mut names: Vec<&String> = names.collect();
    names.sort();
    let mut lines = Vec::new();
    for name in names {
        let line = |side, level: &Level| Line::new(side, format!("{name} {level}"));
        match (expected.get(name), got.get(name)) {
            (Some(wanted), Some(level)) if wanted == level => lines.push(line(Side::Both, level)),
            (wanted, level) => {
                lines.extend(wanted.map(|wanted| line(Side::Expected, wanted)));
                lines.extend(level.map(|level| line(Side::Got, level)));
            }
        }
    }
    Some(lines)
}

/// How the reasons for which records were refused differ from those that must be.
pub fn reasons_differ(expected: &[Reason], got: &[(Reason, String)]) -> Option<Vec<Line>> {
    let mut left = expected.to_vec();
    let mut lines = Vec::new();
    for (reason, detail) in got {
        let side = match left.iter().position(|wanted| wanted == reason) {
            Some(index) => {
                left.remove(index);
                Side::Both
            }
            None => Side::Got,
        };
        lines.push(Line::new(side, format!("{}: {detail}", reason.name())));
    }
    lines.extend(left.iter().map(|reason| Line::new(Side::Expected, reason.name())));
    lines.iter().any(|line| line.side != Side::Both).then_some(lines)
}

#[cfg(test)]
mod tests {
    use riskflow_model::output::{Cause, DeltaKind};

    use super::*;

    fn told(kind: DeltaKind, from: Level, to: Level, at: i64) -> Delta {
        Delta {
            kind: Some(kind),
            rule: Some("rain".to_owned()),
            asset: Some("gauge".to_owned()),
            level: Some(if to == Level::None { from } else { to }),
            from: Some(from),
            to: Some(to),
            at: Some(After(at)),
            since: Some(After(60_000)),
            told: Some(After(at)),
            cause: Some(Cause::Data),
        }
    }

    fn wanted(kind: DeltaKind, at: Option<i64>) -> Delta {
        Delta {
            kind: Some(kind),
            at: at.map(After),
            ..Delta::default()
        }
    }

    fn lines(expected: &[Delta], got: &[Delta]) -> Vec<String> {
        let lines = deltas_differ(expected, got).unwrap_or_default();
        let sign = |side| match side {
            Side::Both => ' ',
            Side::Expected => '-',
            Side::Got => '+',
        };
        let lines = lines.iter().map(|line| format!("{} {}", sign(line.side), line.text));
        lines.collect()
    }

    #[test]
    fn what_is_not_given_may_be_anything_and_all_must_come() {
        let got = [
            told(DeltaKind::Raised, Level::None, Level::Blue, 60_000),
            told(DeltaKind::Cleared, Level::Blue, Level::None, 120_000),
        ];
        assert_eq!(deltas_differ(&[Delta::default(), Delta::default()], &got), None);
        // The first could be either; the second only the first that came.
        let expected = [Delta::default(), wanted(DeltaKind::Raised, None)];
        assert_eq!(deltas_differ(&expected, &got), None);
        assert_eq!(
            lines(&[], &got[..1]),
            ["+ raised rain/gauge none -> blue at 1m since 1m told 1m by data"]
        );
        assert_eq!(
            lines(&[wanted(DeltaKind::Revised, Some(1_000))], &[]),
            ["- revised at 1s"]
        );
    }

    #[test]
    fn what_is_missing_stands_before_what_it_is_like() {
        let got = [
            told(DeltaKind::Raised, Level::None, Level::Blue, 60_000),
            told(DeltaKind::Escalated, Level::Blue, Level::Red, 120_000),
            told(DeltaKind::Cleared, Level::Red, Level::None, 180_000),
        ];
        let escalated = Delta {
            kind: Some(DeltaKind::Escalated),
            level: Some(Level::Orange),
            ..Delta::default()
        };
        let expected = [
            wanted(DeltaKind::Raised, None),
            escalated,
            wanted(DeltaKind::Withdrawn, None),
        ];
        assert_eq!(
            lines(&expected, &got),
            [
                "  raised rain/gauge none -> blue at 1m since 1m told 1m by data",
                "- escalated orange",
                "+ escalated rain/gauge blue -> red at 2m since 1m told 2m by data",
                "+ cleared rain/gauge red -> none at 3m since 1m told 3m by data",
                "- withdrawn",
            ]
        );
    }

    #[test]
    fn open_warnings_and_refused_records_are_compared_in_full() {
        let open = |text: &str| serde_json::from_str::<BTreeMap<String, Level>>(text).unwrap();
        let (expected, got) = (open(r#"{"a":"red","b":"blue"}"#), open(r#"{"b":"red","c":"blue"}"#));
        let shown: Vec<(Side, String)> = open_differs(&expected, &got)
            .unwrap()
            .into_iter()
            .map(|line| (line.side, line.text))
            .collect();
        let line = |side, text: &str| (side, text.to_owned());
        assert_eq!(
            shown,
            [
                line(Side::Expected, "a red"),
                line(Side::Expected, "b blue"),
                line(Side::Got, "b red"),
                line(Side::Got, "c blue"),
            ]
        );
        assert_eq!(open_differs(&got, &got), None);
        let late = [(Reason::TooLate, "it".to_owned())];
        assert_eq!(reasons_differ(&[Reason::TooLate], &late), None);
        assert_eq!(reasons_differ(&[], &late).unwrap()[0].text, "too_late: it");
        assert_eq!(reasons_differ(&[Reason::TooLate], &[]).unwrap()[0].side, Side::Expected);
    }
}
