//! Observations that wait for the row of their datastream: how long, and how many.

use std::sync::atomic::Ordering;

use compact_str::CompactString;
use riskflow_model::Key;
use riskflow_model::observation::{Observation, Said, State};
use serde::{Deserialize, Serialize};

use super::letters::given_up;
use super::{Finding, Monitor, Observed};
use crate::engine::{Diff, SHARDS};

/// An observation that waits for its datastream's row.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) arrival: i64,
    pub(super) observed: Observed,
}

impl Waiting {
    /// What it takes of memory; a short identifier lies within, and so does the short name of a state.
    fn bytes(&self) -> u64 {
        let beside = |text: &CompactString| if text.is_heap_allocated() { text.len() } else { 0 };
        let Observation { id, said, .. } = &self.observed.observation;
        let state = match said {
            Said::State(state) => size_of::<State>() + beside(&state.name),
            Said::Nothing | Said::Number(_) => 0,
        };
        (size_of::<Self>() + beside(id) + state) as u64
    }
}

/// So much waits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    observations: u64,
    bytes: u64,
}

impl Load {
    pub(super) fn add(&mut self, one: &Waiting) {
        self.observations += 1;
        self.bytes += one.bytes();
    }

    pub(super) fn take(&mut self, one: &Waiting) {
        self.observations -= 1;
        self.bytes -= one.bytes();
    }
}

impl Monitor {
    /// Whether one more may wait in a shard.
    fn has_room(&self, held: Load, one: &Waiting) -> bool {
        let share = |most: usize| (most as u64).div_ceil(SHARDS);
        held.observations < share(self.unknown.max_observations)
            && held.bytes + one.bytes() <= share(self.unknown.max_bytes)
    }

    /// Gives up what waited too long or has no room, and says when to look again.
    pub(super) fn settle_waiting(
        &mut self,
        now: i64,
        key: Key,
        waiting: &mut Vec<Waiting>,
        out: &mut Vec<(Finding, Diff)>,
    ) -> i64 {
        let shard = (key.route() % SHARDS) as usize;
        let mut held = self.waiting[shard];
        waiting.retain(|one| {
            // Newcomers were not counted yet.
            let newcomer = one.arrival == now;
            let keep = if newcomer {
                self.has_room(held, one)
            } else {
                now <= one.arrival + self.unknown.hold.0
            };
            match (newcomer, keep) {
                (true, true) => {
                    held.add(one);
                    self.all_waiting.fetch_add(1, Ordering::Relaxed);
                }
                (false, false) => {
                    held.take(one);
                    self.all_waiting.fetch_sub(1, Ordering::Relaxed);
                }
                _ => {}
            }
            if !keep {
                out.push((Finding::DeadLetter(Box::new(given_up(&one.observed))), 1));
            }
            keep
        });
        self.waiting[shard] = held;
        if waiting.capacity() > 4 * waiting.len().max(4) {
            waiting.shrink_to_fit();
        }
        let first = waiting.iter().map(|one| one.arrival).min();
        first.map_or(i64::MAX, |arrival| arrival + self.unknown.hold.0 + 1)
    }
}
