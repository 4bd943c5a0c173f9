//! Whether levels stand in order: a higher one is not on more easily than a lower one, as far as both ask for the same feature over
//! the same window.

use std::cmp::Ordering;

use super::{Comparison, Condition, LevelPlan};

/// A comparison of a higher level that holds more easily than one of a lower level; positions in the rule's comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutOfOrder {
    pub higher: usize,
    pub lower: usize,
}

/// The first of each level that is out of order with one below it. `thresholds`: in force, all of one feature in the same unit; what has
/// none takes no part.
pub(super) fn out_of_order(
    levels: &[LevelPlan],
    comparisons: &[Comparison],
    thresholds: &[Option<i128>],
) -> Vec<OutOfOrder> {
    let ladder = Ladder {
        comparisons,
        thresholds,
    };
    let mut found = Vec::new();
    for (position, higher) in levels.iter().enumerate() {
        let below = levels[..position].iter().rev();
        found.extend(
            below
                .filter_map(|lower| ladder.easier(&higher.condition, &lower.condition))
                .next(),
        );
    }
    found
}

struct Ladder<'a> {
    comparisons: &'a [Comparison],
    thresholds: &'a [Option<i128>],
}

/// How one condition compares with another of the same shape.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Same,
    Harder,
    Easier(OutOfOrder),
    /// Harder here and easier there.
    Both,
}

impl Ladder<'_> {
    /// Where the higher level is on more easily than the lower one: by a comparison that turns it on by itself, or in all that
    /// two conditions of the same shape ask for.
    fn easier(&self, higher: &Condition, lower: &Condition) -> Option<OutOfOrder> {
        let mut alone = Vec::new();
        self.sufficient(higher, &mut alone);
        let mut below = Vec::new();
        self.comparisons_of(lower, &mut below);
        let by_itself = alone.into_iter().find_map(|higher| {
            // Of several in the lower level the one that holds most easily counts.
            let alike = below
                .iter()
                .filter_map(|lower| Some((lower, self.compare(higher, *lower)?)));
            let verdicts: Vec<Verdict> = alike.map(|(_, verdict)| verdict).collect();
            let easier = |verdict: &Verdict| matches!(verdict, Verdict::Easier(_));
            verdicts
                .iter()
                .all(easier)
                .then(|| verdicts.into_iter().next())
                .flatten()
        });
        match by_itself.or_else(|| self.alike(higher, lower)) {
            Some(Verdict::Easier(found)) => Some(found),
            _ => None,
        }
    }

    /// The comparisons that make a condition true by themselves.
    fn sufficient(&self, condition: &Condition, out: &mut Vec<usize>) {
        match condition {
            Condition::Comparison(index) => out.extend(self.thresholds[*index].map(|_| *index)),
            Condition::During(_) => {}
            Condition::Any(parts) => parts.iter().for_each(|part| self.sufficient(part, out)),
            Condition::All(parts) => {
                let mut taking_part = parts.iter().filter(|part| self.takes_part(part));
                if let (Some(only), None) = (taking_part.next(), taking_part.next()) {
                    self.sufficient(only, out);
                }
            }
        }
    }

    fn comparisons_of(&self, condition: &Condition, out: &mut Vec<usize>) {
        match condition {
            Condition::Comparison(index) => out.extend(self.thresholds[*index].map(|_| *index)),
            Condition::During(_) => {}
            Condition::Any(parts) | Condition::All(parts) => {
                parts.iter().for_each(|part| self.comparisons_of(part, out));
            }
        }
    }

    fn takes_part(&self, condition: &Condition) -> bool {
        if matches!(condition, Condition::During(_)) {
            return true;
        }
        let mut there = Vec::new();
        self.comparisons_of(condition, &mut there);
        !there.is_empty()
    }

    /// How two conditions compare that ask for the same; `None` if they do not.
    fn alike(&self, higher: &Condition, lower: &Condition) -> Option<Verdict> {
        let parts = |higher: &[Condition], lower: &[Condition]| -> Option<Vec<Verdict>> {
            let pairs = higher.iter().zip(lower);
            (higher.len() == lower.len())
                .then(|| pairs.map(|(higher, lower)| self.alike(higher, lower)).collect())
                .flatten()
        };
        match (higher, lower) {
            (Condition::Comparison(higher), Condition::Comparison(lower)) => self.compare(*higher, *lower),
            (Condition::During(higher), Condition::During(lower)) => (higher == lower).then_some(Verdict::Same),
            // One way that is easier is enough to turn the level on.
            (Condition::Any(higher), Condition::Any(lower)) => {
                let parts = parts(higher, lower)?;
                let easier = parts.iter().find(|part| matches!(part, Verdict::Easier(_)));
                Some(easier.copied().unwrap_or(Verdict::Same))
            }
            (Condition::All(higher), Condition::All(lower)) => {
                parts(higher, lower)?.into_iter().reduce(|a, b| match (a, b) {
                    (Verdict::Same, other) | (other, Verdict::Same) => other,
                    (Verdict::Easier(found), Verdict::Easier(_)) => Verdict::Easier(found),
                    (Verdict::Harder, Verdict::Harder) => Verdict::Harder,
                    _ => Verdict::Both,
                })
            }
            _ => None,
        }
    }

    /// How two comparisons of one feature in one direction compare.
    fn compare(&self, higher: usize, lower: usize) -> Option<Verdict> {
        let (a, b) = (&self.comparisons[higher], &self.comparisons[lower]);
        if a.feature != b.feature || a.operator.is_upward() != b.operator.is_upward() {
            return None;
        }
        let (above, below) = (self.thresholds[higher]?, self.thresholds[lower]?);
        let harder = if a.operator.is_upward() {
            above.cmp(&below)
        } else {
            below.cmp(&above)
        };
        // At one threshold the comparison that leaves it out holds less often.
        Some(match harder.then(a.operator.is_strict().cmp(&b.operator.is_strict())) {
            Ordering::Greater => Verdict::Harder,
            Ordering::Less => Verdict::Easier(OutOfOrder { higher, lower }),
            Ordering::Equal => Verdict::Same,
        })
    }
}
