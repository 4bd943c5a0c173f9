//! A rule that sets have in several forms: those that come to the same for a datastream are one entry, which counts in all of their
//! sets.

use std::collections::BTreeMap;
use std::sync::Arc;

use riskflow_config::{Place, Rule, Standing};
use riskflow_model::Key;

use super::Entry;

/// The position of the rule that leads, whether it is on events, and what it is called in each place.
type Form = (usize, bool, Vec<(Place, Key)>);

/// Rules as they stand in entries. Many entries share each: a datastream takes no memory for them.
#[derive(Debug, Default)]
pub(super) struct Forms(BTreeMap<Form, Rule>);

/// Entries that come to the same.
struct Joined {
    /// The position of the rule that gives name and version.
    leader: usize,
    standing: Standing,
    /// By place.
    texts: Vec<(Place, Key)>,
    entry: Entry,
}

impl Forms {
    /// Joins entries of one rule that come to the same. They come with the positions of their rules; the one that counts in the first place
    /// gives name and version.
    pub(super) fn join(&mut self, rules: &[Rule], entries: impl Iterator<Item = (usize, Entry)>) -> Vec<Entry> {
        let mut joined: Vec<Joined> = Vec::new();
        for (position, entry) in entries {
            let one = Joined {
                leader: position,
                standing: entry.rule.standing().clone(),
                texts: entry.rule.texts(),
                entry,
            };
            match joined.iter_mut().find(|other| other.entry.is_same(&one.entry)) {
                Some(other) => other.take(one),
                None => joined.push(one),
            }
        }
        let entries = joined.into_iter().map(|one| {
            let on_event = one.entry.rule.on_event;
            let known = self.0.entry((one.leader, on_event, one.texts));
            let rule = known.or_insert_with_key(|(leader, on_event, texts)| {
                let rule = rules[*leader].joined(Arc::new(one.standing), texts.clone());
                if *on_event { rule.on_events() } else { rule }
            });
            Entry {
                rule: rule.clone(),
                ..one.entry
            }
        });
        entries.collect()
    }
}

impl Joined {
    fn take(&mut self, other: Self) {
        let leads = other.texts.first().map(|(place, _)| place) < self.texts.first().map(|(place, _)| place);
        self.standing.join(&other.standing);
        self.texts.extend(other.texts);
        self.texts.sort();
        if leads {
            (self.leader, self.entry) = (other.leader, other.entry);
        }
    }
}
