//! What is expected beside what came out, line by line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use riskflow_model::output::Reason;

use super::matching::matched;
use super::told::Told;

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
pub fn told_differs<T: Told>(expected: &[T], got: &[T]) -> Option<Vec<Line>> {
    let owners = matched(expected, got);
    let found: BTreeSet<usize> = owners.iter().flatten().copied().collect();
    let missing: Vec<usize> = (0..expected.len()).filter(|index| !found.contains(index)).collect();
    if missing.is_empty() && found.len() == got.len() {
        return None;
    }
    let beside = beside(expected, got, &owners, &missing);
    let paired: BTreeSet<usize> = beside.values().copied().collect();
    let mut lines = Vec::new();
    let mut late: Vec<usize> = missing.into_iter().filter(|index| !paired.contains(index)).collect();
    late.sort_by_key(|index| (expected[*index].when(), *index));
    let mut late = late.into_iter().peekable();
    for (index, told) in got.iter().enumerate() {
        while let Some(before) = late.next_if(|before| expected[*before].when() <= told.when()) {
            lines.push(Line::new(Side::Expected, expected[before].shown()));
        }
        if owners[index].is_some() {
            lines.push(Line::new(Side::Both, told.shown()));
            continue;
        }
        if let Some(wanted) = beside.get(&index) {
            lines.push(Line::new(Side::Expected, expected[*wanted].shown()));
        }
        lines.push(Line::new(Side::Got, told.shown()));
    }
    lines.extend(late.map(|index| Line::new(Side::Expected, expected[index].shown())));
    Some(lines)
}

/// In how many of its fields an expected one is like one that came, and in how many it is not.
fn likeness<T: Told>(expected: &T, got: &T) -> (usize, usize) {
    let (wanted, got) = (expected.fields(), got.fields());
    let given = wanted.iter().zip(&got).filter(|(wanted, _)| wanted.is_some());
    let like = given.clone().filter(|(wanted, got)| wanted == got).count();
    (like, given.count() - like)
}

/// So many pairs are looked at for which missing one is most like which that came; where there are more, each stands at its own time.
const MOST_PAIRS: usize = 250_000;

/// For those that must not come the missing one that is shown before each: what it is most like, if it is in half of its fields.
fn beside<T: Told>(expected: &[T], got: &[T], owners: &[Option<usize>], missing: &[usize]) -> BTreeMap<usize, usize> {
    let left: Vec<usize> = (0..got.len()).filter(|index| owners[*index].is_none()).collect();
    let mut pairs = Vec::new();
    if missing.len().saturating_mul(left.len()) <= MOST_PAIRS {
        for wanted in missing {
            for index in &left {
                let (like, unlike) = likeness(&expected[*wanted], &got[*index]);
                if like >= unlike {
                    pairs.push((unlike, *wanted, *index));
                }
            }
        }
    }
    pairs.sort_unstable();
    let (mut beside, mut paired) = (BTreeMap::new(), BTreeSet::new());
    for (_, wanted, index) in pairs {
        if !beside.contains_key(&index) && paired.insert(wanted) {
            beside.insert(index, wanted);
        }
    }
    beside
}

/// How what stands differs from what must stand: the level of what is open, the step of a case.
pub fn standing_differs<V: PartialEq + Display>(
    expected: &BTreeMap<String, V>,
    got: &BTreeMap<String, V>,
) -> Option<Vec<Line>> {
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
        let line = |side, value: &V| Line::new(side, format!("{name} {value}"));
        match (expected.get(name), got.get(name)) {
            (Some(wanted), Some(value)) if wanted == value => lines.push(line(Side::Both, value)),
            (wanted, value) => {
                lines.extend(wanted.map(|wanted| line(Side::Expected, wanted)));
                lines.extend(value.map(|value| line(Side::Got, value)));
            }
        }
    }
    Some(lines)
}

/// How the reasons for which records were refused differ from those that must be.
pub fn reasons_differ(expected: &[Reason], got: &[(Reason, String)]) -> Option<Vec<Line>> {
    let mut left: BTreeMap<Reason, usize> = BTreeMap::new();
    for reason in expected {
        *left.entry(*reason).or_default() += 1;
    }
    let mut lines = Vec::new();
    for (reason, detail) in got {
        let side = match left.get_mut(reason) {
            Some(more) if *more > 0 => {
                *more -= 1;
                Side::Both
            }
            _ => Side::Got,
        };
        lines.push(Line::new(side, format!("{}: {detail}", reason.name())));
    }
    for (reason, more) in left {
        lines.extend((0..more).map(|_| Line::new(Side::Expected, reason.name())));
    }
    lines.iter().any(|line| line.side != Side::Both).then_some(lines)
}

#[cfg(test)]
mod tests {
    use riskflow_model::Level;
    use riskflow_model::output::{Cause, DeltaKind};

    use super::super::after::After;
    use super::super::format::Delta;
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
        let lines = told_differs(expected, got).unwrap_or_default();
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
        assert_eq!(told_differs(&[Delta::default(), Delta::default()], &got), None);
        // The first could be either; the second only the first that came.
        let expected = [Delta::default(), wanted(DeltaKind::Raised, None)];
        assert_eq!(told_differs(&expected, &got), None);
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
    fn many_missing_ones_stand_at_their_times() {
        let at = |index: i64| told(DeltaKind::Raised, Level::None, Level::Blue, index * 60_000);
        let got: Vec<Delta> = (0..2_000).map(at).collect();
        let expected: Vec<Delta> = (0..2_000)
            .map(|index| wanted(DeltaKind::Cleared, Some(index * 60_000)))
            .collect();
        let lines = lines(&expected, &got);
        assert_eq!(lines.len(), 4_000);
        assert!(
            lines[0].starts_with("- cleared at 0") && lines[1].starts_with("+ raised"),
            "{lines:?}"
        );
        let late: Vec<(Reason, String)> = vec![(Reason::TooLate, String::new()); 50_000];
        let early = vec![Reason::InFuture; 50_000];
        assert_eq!(reasons_differ(&early, &late).unwrap().len(), 100_000);
    }

    #[test]
    fn open_warnings_and_refused_records_are_compared_in_full() {
        let open = |text: &str| serde_json::from_str::<BTreeMap<String, Level>>(text).unwrap();
        let (expected, got) = (open(r#"{"a":"red","b":"blue"}"#), open(r#"{"b":"red","c":"blue"}"#));
        let shown: Vec<(Side, String)> = standing_differs(&expected, &got)
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
        assert_eq!(standing_differs(&got, &got), None);
        let late = [(Reason::TooLate, "it".to_owned())];
        assert_eq!(reasons_differ(&[Reason::TooLate], &late), None);
        assert_eq!(reasons_differ(&[], &late).unwrap()[0].text, "too_late: it");
        assert_eq!(reasons_differ(&[Reason::TooLate], &[]).unwrap()[0].side, Side::Expected);
    }
}
