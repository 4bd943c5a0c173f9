//! An entry as it is saved, and how it is read again.

use std::cell::RefCell;
use std::sync::Arc;

use riskflow_config::{InSets, Rule, Scaled, Thresholds};
use riskflow_model::{Key, Text};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::warning::specification::Entry;

pub(super) fn serialize<S: Serializer>(entry: &Entry, serializer: S) -> Result<S::Ok, S::Error> {
    let Entry {
        rule,
        thresholds,
        scaled,
        // Comes with the rows.
        givers: _,
    } = entry;
    let (id, fingerprint, condition) = (&rule.record.id, rule.fingerprint, rule.condition);
    (id, fingerprint, condition, &rule.sets, thresholds, scaled).serialize(serializer)
}

/// What tells a rule apart: its identifier, fingerprint, condition and sets.
type Named = (Text, Key, Key, Option<Arc<InSets>>);

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Entry, D::Error> {
    type Saved = (Text, Key, Key, Option<Arc<InSets>>, Thresholds, Option<Arc<Scaled>>);
    let (id, fingerprint, condition, sets, thresholds, scaled) = Saved::deserialize(deserializer)?;
    let (rule, thresholds) = shared((id, fingerprint, condition, sets), thresholds);
    Ok(Entry {
        rule,
        thresholds,
        scaled,
        givers: None,
    })
}

/// So many rules are kept at hand by each thread that reads. More of them are read all the same.
const AT_HAND: usize = 64;

thread_local! {
    static READ: RefCell<Vec<Option<(Rule, Thresholds)>>> = RefCell::new(vec![None; AT_HAND]);
}

/// The rule of that name, and thresholds. Those that this thread read last under its fingerprint are the same ones again: until rows come, a
/// million watches would each have a rule of its own otherwise, and half a gigabyte with them.
fn shared((id, fingerprint, condition, sets): Named, thresholds: Thresholds) -> (Rule, Thresholds) {
    READ.with_borrow_mut(|at_hand| {
        let place = &mut at_hand[fingerprint.route() as usize % AT_HAND];
        let is_same = |rule: &Rule| {
            (&rule.record.id, rule.fingerprint, rule.condition, &rule.sets) == (&id, fingerprint, condition, &sets)
        };
        let (rule, thresholds) = match place.take().filter(|(rule, _)| is_same(rule)) {
            Some((rule, known)) if known == thresholds => (rule, known),
            Some((rule, _)) => (rule, thresholds),
            None => (Rule::named(id, fingerprint, condition, sets), thresholds),
        };
        *place = Some((rule.clone(), Thresholds::clone(&thresholds)));
        (rule, thresholds)
    })
}

#[cfg(test)]
mod tests {
    use riskflow_config::Bound;

    use super::*;

    fn read(id: &str, fingerprint: &str, on: i64) -> (Rule, Thresholds) {
        let named = (id.into(), Key::of(fingerprint), Key::of("condition"), None);
        shared(named, [Some(Bound { on, off: on })].into())
    }

    #[test]
    fn a_rule_that_was_read_last_is_that_one_again() {
        let (rule, thresholds) = read("rain", "1", 50);
        let (again, same) = read("rain", "1", 50);
        assert!(std::ptr::eq(&*rule, &*again) && Arc::ptr_eq(&thresholds, &same));
        let (again, other) = read("rain", "1", 60);
        assert!(std::ptr::eq(&*rule, &*again) && other[0] == Some(Bound { on: 60, off: 60 }));
        // Of another version, or another name, it is another one.
        for (id, fingerprint) in [("rain", "2"), ("wind", "1")] {
            let (other, _) = read(id, fingerprint, 50);
            assert_eq!((&*other.record.id, other.fingerprint), (id, Key::of(fingerprint)));
        }
        // However many there are.
        for number in 0..3 * AT_HAND {
            let (rule, _) = read(&number.to_string(), &number.to_string(), 50);
            assert_eq!(*rule.record.id, *number.to_string());
        }
    }
}
