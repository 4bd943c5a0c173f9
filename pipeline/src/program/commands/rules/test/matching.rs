//! Which of what came is what was expected: as many pairs as can be, in a time that hardly grows faster than what there is to compare.

use std::collections::{BTreeMap, VecDeque};

use super::told::{FIELDS, Field, Told};

/// The fields of what is told as numbers; `None` where it gives none.
type Coded = [Option<i64>; FIELDS];

/// Texts that are the same have the same number.
#[derive(Default)]
struct Names<'a>(BTreeMap<&'a str, i64>);

impl<'a> Names<'a> {
    fn number(&mut self, text: &'a str) -> i64 {
        let next = self.0.len() as i64;
        *self.0.entry(text).or_insert(next)
    }

    fn coded(&mut self, told: &'a impl Told) -> Coded {
        told.fields().map(|field| match field? {
            Field::Text(text) => Some(self.number(text)),
            Field::Number(number) => Some(number),
        })
    }
}

/// Which fields are given.
fn given(coded: &Coded) -> [bool; FIELDS] {
    coded.map(|field| field.is_some())
}

/// Only those fields.
fn only(coded: &Coded, given: &[bool; FIELDS]) -> Coded {
    std::array::from_fn(|index| coded[index].filter(|_| given[index]))
}

/// For each that came the expected one that it is; as many as can be.
pub fn matched<T: Told>(expected: &[T], got: &[T]) -> Vec<Option<usize>> {
    let mut names = Names::default();
    // Those that ask for the same are one class.
    let mut members: BTreeMap<Coded, Vec<usize>> = BTreeMap::new();
    for (index, told) in expected.iter().enumerate() {
        members.entry(names.coded(told)).or_default().push(index);
    }
    let mut classes = Classes::default();
    let mut by_fields: BTreeMap<[bool; FIELDS], BTreeMap<Coded, usize>> = BTreeMap::new();
    for (class, (asked, members)) in members.iter().enumerate() {
        by_fields.entry(given(asked)).or_default().insert(*asked, class);
        classes.free.push(members.len());
        classes.fitting.push(Vec::new());
    }
    // What came fits at most one class of each choice of fields.
    for (index, told) in got.iter().enumerate() {
        let coded = names.coded(told);
        for (given, asked) in &by_fields {
            if let Some(class) = asked.get(&only(&coded, given)) {
                classes.fitting[*class].push(index);
            }
        }
    }
    classes.owners = vec![None; got.len()];
    while classes.layer() {
        for class in 0..classes.free.len() {
            while classes.free[class] > 0 && classes.augment(class) {
                classes.free[class] -= 1;
            }
        }
    }
    let mut members: Vec<_> = members.into_values().map(Vec::into_iter).collect();
    let owners = classes.owners.into_iter();
    owners.map(|owner| members[owner?].next()).collect()
}

/// Hopcroft and Karp's way to as many pairs as can be, of classes with so many members each.
#[derive(Default)]
struct Classes {
    /// How many of each class have nothing yet.
    free: Vec<usize>,
    /// What fits each class.
    fitting: Vec<Vec<usize>>,
    /// Which class has what came.
    owners: Vec<Option<usize>>,
    /// How many steps a class is from one with something free; `None` where no way leads on.
    layers: Vec<Option<usize>>,
    /// How many of what fits each class were tried in this round.
    tried: Vec<usize>,
}

impl Classes {
    /// Looks how far each class is from one that has something free; whether anything can still be paired.
    fn layer(&mut self) -> bool {
        self.layers = self.free.iter().map(|free| (*free > 0).then_some(0)).collect();
        self.tried = vec![0; self.free.len()];
        let mut queue: VecDeque<usize> = (0..self.free.len()).filter(|class| self.free[*class] > 0).collect();
        let mut last = None;
        while let Some(class) = queue.pop_front() {
            let next = self.layers[class].map(|layer| layer + 1);
            if last.is_some_and(|last| next > Some(last)) {
                break;
            }
            for index in &self.fitting[class] {
                match self.owners[*index] {
                    None => last = next,
                    Some(owner) if self.layers[owner].is_none() => {
                        self.layers[owner] = next;
                        queue.push_back(owner);
                    }
                    Some(_) => {}
                }
            }
        }
        last.is_some()
    }

    /// Finds something for one of a class, if need be by finding another for the one that has it.
    fn augment(&mut self, class: usize) -> bool {
        let (mut way, mut taken) = (vec![class], Vec::new());
        while let Some(class) = way.last().copied() {
            let Some(index) = self.fitting[class].get(self.tried[class]).copied() else {
                // Nobody need come here again.
                self.layers[class] = None;
                way.pop();
                taken.pop();
                continue;
            };
            self.tried[class] += 1;
            match self.owners[index] {
                None => {
                    taken.push(index);
                    for (class, index) in way.into_iter().zip(taken) {
                        self.owners[index] = Some(class);
                    }
                    return true;
                }
                Some(owner) => {
                    let next = self.layers[class].map(|layer| layer + 1);
                    if next.is_some() && self.layers[owner] == next {
                        taken.push(index);
                        way.push(owner);
                    }
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::Level;
    use riskflow_model::output::DeltaKind;

    use super::super::after::After;
    use super::super::format::Delta;
    use super::*;

    fn delta(kind: Option<DeltaKind>, level: Option<Level>, at: Option<i64>) -> Delta {
        Delta {
            kind,
            level,
            at: at.map(After),
            ..Delta::default()
        }
    }

    fn fits(expected: &Delta, got: &Delta) -> bool {
        let mut names = Names::default();
        let (asked, coded) = (names.coded(expected), names.coded(got));
        only(&coded, &given(&asked)) == asked
    }

    /// As many as can be, tried one by one.
    fn most(expected: &[Delta], got: &[Delta]) -> usize {
        fn find(wanted: usize, fits: &[Vec<usize>], seen: &mut [bool], owners: &mut [Option<usize>]) -> bool {
            for index in &fits[wanted] {
                if std::mem::replace(&mut seen[*index], true) {
                    continue;
                }
                if owners[*index].is_none_or(|owner| find(owner, fits, seen, owners)) {
                    owners[*index] = Some(wanted);
                    return true;
                }
            }
            false
        }
        let fitting = |wanted: &Delta| -> Vec<usize> {
            let all = 0..got.len();
            all.filter(|index| fits(wanted, &got[*index])).collect()
        };
        let all: Vec<Vec<usize>> = expected.iter().map(fitting).collect();
        let mut owners = vec![None; got.len()];
        let found = (0..expected.len()).filter(|wanted| find(*wanted, &all, &mut vec![false; got.len()], &mut owners));
        found.count()
    }

    #[test]
    fn as_many_are_paired_as_can_be() {
        let mut seed = 7_u64;
        let mut draw = |below: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let kinds = [DeltaKind::Raised, DeltaKind::Cleared, DeltaKind::Eased];
        for _ in 0..2_000 {
            let mut drawn = |least: u64| {
                let kind = kinds[draw(3) as usize];
                let level = Level::WARNING[draw(3) as usize];
                let at = draw(3) as i64;
                let is_given = |chance: u64| chance >= least;
                delta(
                    is_given(draw(2)).then_some(kind),
                    is_given(draw(2)).then_some(level),
                    is_given(draw(2)).then_some(at),
                )
            };
            let got: Vec<Delta> = (0..8).map(|_| drawn(0)).collect();
            let expected: Vec<Delta> = (0..8).map(|_| drawn(1)).collect();
            let owners = matched(&expected, &got);
            let pairs: Vec<(usize, usize)> = owners
                .iter()
                .enumerate()
                .filter_map(|(index, owner)| Some((index, (*owner)?)))
                .collect();
            assert!(pairs.iter().all(|(index, owner)| fits(&expected[*owner], &got[*index])));
            let mut each: Vec<usize> = pairs.iter().map(|(_, owner)| *owner).collect();
            each.sort_unstable();
            each.dedup();
            assert_eq!(each.len(), pairs.len());
            assert_eq!(pairs.len(), most(&expected, &got), "{expected:?} {got:?}");
        }
    }

    #[test]
    fn a_hundred_thousand_are_compared_at_once() {
        let kind = Some(DeltaKind::Raised);
        let got: Vec<Delta> = (0..100_000)
            .map(|at| delta(kind, Some(Level::Blue), Some(at)))
            .collect();
        // One of them could be any, and takes the first: every other must give way.
        let mut expected = vec![Delta::default()];
        expected.extend((0..99_999).map(|at| delta(None, None, Some(at))));
        assert!(matched(&expected, &got).iter().all(Option::is_some));
        let any = vec![delta(kind, None, None); 100_000];
        assert!(matched(&any, &got).iter().all(Option::is_some));
    }
}
