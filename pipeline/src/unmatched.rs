//! What meets nothing: shown as a number of each kind, and told in the log when it comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use riskflow_config::Unmatched;
use riskflow_operators::specification::Alone;
use riskflow_operators::{Diff, Epoch, Rows};
use timely::dataflow::operators::Inspect;

/// How much of each kind there is, over all workers of the process.
#[derive(Debug, Default)]
pub struct UnmatchedMeter([AtomicI64; Unmatched::KINDS.len()]);

impl UnmatchedMeter {
    /// How much there is now, by kind.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, i64)> + '_ {
        let numbers = self.0.iter().map(|number| number.load(Ordering::Relaxed));
        Unmatched::KINDS.into_iter().zip(numbers)
    }
}

/// Counts what meets nothing, and tells of it.
pub fn watch(unmatched: Rows<'_, Alone>, meter: Arc<UnmatchedMeter>) {
    let mut news = News::default();
    unmatched.inner.inspect_core(move |event| match event {
        Ok((_, updates)) => news.take(updates, &meter),
        Err(_) => news.tell(),
    });
}

/// What came since the last epoch: how much of each kind, and one of it. A rule that is wrong together with a whole city of
/// datastreams is one line.
#[derive(Default)]
struct News(BTreeMap<&'static str, (u64, Alone)>);

impl News {
    fn take(&mut self, updates: &[(Alone, Epoch, Diff)], meter: &UnmatchedMeter) {
        for (alone, _, diff) in updates {
            let kind = alone.1.kind();
            let position = Unmatched::KINDS.iter().position(|known| *known == kind);
            let position = position.expect("every kind has a name in the list");
            meter.0[position].fetch_add(*diff, Ordering::Relaxed);
            if *diff > 0 && is_told(&alone.1) {
                self.0.entry(kind).or_insert_with(|| (0, alone.clone())).0 += 1;
            }
        }
    }

    fn tell(&mut self) {
        for (kind, (number, (datastream, unmatched))) in std::mem::take(&mut self.0) {
            tracing::warn!(
                kind,
                number,
                "rule and datastream do not fit, such as datastream `{datastream}`: {unmatched}"
            );
        }
    }
}

/// While tables are loaded a row may come before the one that it belongs to: only numbers tell of that.
const fn is_told(unmatched: &Unmatched) -> bool {
    unmatched.is_mistake() && matches!(unmatched, Unmatched::Pair { .. } | Unmatched::NotSelected { .. })
}
