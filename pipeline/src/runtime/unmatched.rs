//! What meets nothing is told in the log when it comes, long before it stands in its table.

use std::collections::BTreeMap;

use riskflow_config::Unmatched;
use riskflow_model::Text;
use riskflow_operators::warning::Alone;
use riskflow_operators::{Diff, Rows, Turn};
use timely::dataflow::operators::Inspect;

/// Tells of mistakes.
pub fn tell(unmatched: Rows<'_, Alone>) -> Rows<'_, Alone> {
    use differential_dataflow::AsCollection as _;
    let mut news = News::default();
    let told = unmatched.inner.inspect_core(move |event| match event {
        Ok((_, updates)) => news.take(updates),
        Err(_) => news.tell(),
    });
    told.as_collection()
}

/// A datastream, asset or region, and what is wrong with it.
type One = (Text, Unmatched);

/// What came and was not told of yet: how much of each kind, and one of it. A rule that is wrong together with a whole city of
/// datastreams is one line.
#[derive(Default)]
struct News {
    kinds: BTreeMap<&'static str, (i64, Option<One>)>,
    /// Whether anything changed since the epoch before.
    busy: bool,
}

impl News {
    fn take(&mut self, updates: &[(Alone, Turn, Diff)]) {
        self.busy = true;
        for (alone, _, diff) in updates {
            let (id, what) = match alone {
                Alone::Datastream(id, what) => (id.text().clone(), what),
                Alone::OverGauges(id, what) => (id.text().clone(), what),
                Alone::GivenByAsset(id, what) => (id.text().clone(), what),
                Alone::GivenByRegion(code, what) => (code.to_string().into(), what),
                Alone::Asset(_) | Alone::Rule(_) | Alone::Selects(_) => continue,
            };
            if what.is_mistake() {
                let (number, one) = self.kinds.entry(what.kind()).or_default();
                *number += diff;
                let same = one.as_ref().is_some_and(|(other, one)| *other == id && one == what);
                if *diff > 0 {
                    *one = Some((id, what.clone()));
                } else if same {
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
                Some((id, unmatched)) if number > 0 => {
                    let what = match unmatched {
                        Unmatched::OfAsset { .. } => "an asset",
                        Unmatched::OfRegion { .. } => "a region",
                        Unmatched::NoGauge { .. } => "a rule",
                        _ => "a datastream",
                    };
                    tracing::warn!(
                        kind,
                        number,
                        "{what} and what belongs to it do not fit, such as `{id}`: {unmatched}"
                    );
                }
                None if number > 0 => tracing::warn!(kind, number, "records and what belongs to them do not fit"),
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
        let alone = |datastream: &str| Alone::Datastream(datastream.into(), Unmatched::NoAsset { asset: "a".into() });
        let mut news = News::default();
        news.take(&[
            (alone("one"), 1, 1),
            (alone("two"), 1, 1),
            (Alone::Datastream("x".into(), Unmatched::NoRule), 1, 1),
        ]);
        news.tell();
        news.take(&[(alone("two"), 2, -1)]);
        news.tell();
        assert_eq!(news.kinds["no_asset"], (1, None), "the one that was kept went");
        assert!(!news.kinds.contains_key("no_rule"), "that may be meant so");
        news.tell();
        assert!(news.kinds.is_empty() && !news.busy, "told in an epoch without change");
    }
}
