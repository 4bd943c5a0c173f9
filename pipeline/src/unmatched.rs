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

/// What came and was not told of yet: how much of each kind, and one of it. A rule that is wrong together with a whole city of
/// datastreams is one line.
#[derive(Default)]
struct News {
    kinds: BTreeMap<&'static str, (i64, Option<Alone>)>,
    /// Whether anything changed since the epoch before.
    busy: bool,
}

impl News {
    fn take(&mut self, updates: &[(Alone, Epoch, Diff)], meter: &UnmatchedMeter) {
        self.busy = true;
        for (alone, _, diff) in updates {
            let kind = alone.1.kind();
            let position = Unmatched::KINDS.iter().position(|known| *known == kind);
            let position = position.expect("every kind has a name in the list");
            meter.0[position].fetch_add(*diff, Ordering::Relaxed);
            if alone.1.is_mistake() {
                let (number, one) = self.kinds.entry(kind).or_default();
                *number += diff;
                if *diff > 0 {
                    *one = Some(alone.clone());
                } else if one.as_ref() == Some(alone) {
                    *one = None;
                }
            }
        }
    }

    /// Waits for an epoch in which nothing changed: while tables are loaded a row may come before the one that it belongs to.
    fn tell(&mut self) {
        if std::mem::take(&mut self.busy) {
            return;
        }
        for (kind, (number, one)) in std::mem::take(&mut self.kinds) {
            match one {
                Some((datastream, unmatched)) if number > 0 => tracing::warn!(
                    kind,
                    number,
                    "a datastream and what belongs to it do not fit, such as `{datastream}`: {unmatched}"
                ),
                None if number > 0 => tracing::warn!(kind, number, "datastreams and what belongs to them do not fit"),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mended_while_tables_are_loaded_is_not_told() {
        let alone = |datastream: &str| -> Alone { (datastream.into(), Unmatched::NoAsset { asset: "a".into() }) };
        let meter = UnmatchedMeter::default();
        let mut news = News::default();
        news.take(
            &[
                (alone("one"), 1, 1),
                (alone("two"), 1, 1),
                (("x".into(), Unmatched::NoRule), 1, 1),
            ],
            &meter,
        );
        news.tell();
        news.take(&[(alone("two"), 2, -1)], &meter);
        news.tell();
        assert_eq!(news.kinds["no_asset"], (1, None), "the one that was kept went");
        assert_eq!(meter.each().collect::<BTreeMap<_, _>>()["no_asset"], 1);
        assert_eq!(meter.each().collect::<BTreeMap<_, _>>()["no_rule"], 1);
        news.tell();
        assert!(news.kinds.is_empty() && !news.busy, "told in an epoch without change");
    }
}
