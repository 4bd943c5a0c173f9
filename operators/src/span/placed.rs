//! View: spans with where they are, in the groups of gauges. Those that are nowhere are in none.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use riskflow_config::Located;
use riskflow_model::base::Region;
use riskflow_model::event::Model;
use riskflow_model::gauge::{Gauge, SpanCondition, SpanKind, SubjectKind};
use riskflow_model::{Domain, Id, Key, Millis, Number, RegionCode, Shared, Text};
use serde::{Deserialize, Serialize};

use super::{Counted, EventSpan, GaugeSpan, GroupSpan, Span, Subject};
use crate::engine::{Rows, join_few};
use crate::place::locate;
use crate::warning::ArrangedAssets;

/// A span with where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct PlacedSpan {
    span: Span,
    /// What gauges ask of its asset, if it is at one.
    asset: Option<(Text, Domain)>,
    region: RegionCode,
    located: Located,
}

/// Leaves out the spans of models that are bad.
pub(super) fn without_bad_models<'scope>(
    spans: Rows<'scope, EventSpan>,
    models: Rows<'scope, Shared<Model>>,
) -> Rows<'scope, EventSpan> {
    let bad = models
        .filter(|model| model.bad)
        .map(|model| (model.id.text().clone(), ()));
    let by_model = spans.clone().flat_map(|span| {
        let model = span.event.model.as_ref().map(|model| model.text().clone());
        model.map(|model| (model, span))
    });
    let of_bad = join_few(
        by_model,
        bad,
        "Span: of bad models",
        |model: &Text| vec![model.clone()],
        |_, span: &EventSpan, (): &()| Some(span.clone()),
    );
    spans.concat(of_bad.negate())
}

/// Finds where spans are; those at an asset without a row are nowhere, and `placeless` says how many they are.
pub(super) fn placed<'scope>(
    spans: Rows<'scope, Span>,
    assets: ArrangedAssets<'scope>,
    placed: Rows<'scope, Shared<Region>>,
    placeless: &Arc<AtomicI64>,
) -> Rows<'scope, PlacedSpan> {
    let at_assets = spans.clone().flat_map(|span| {
        let asset = span.what.asset().map(Id::key);
        asset.map(|asset| (asset, span))
    });
    let at_assets = at_assets.arrange_by_key_named("Span: by asset");
    // Counted where they meet: each worker has as many as it gives.
    let (come, met) = (Arc::clone(placeless), Arc::clone(placeless));
    at_assets.clone().as_collection(|_, _| ()).inspect(move |(_, _, diff)| {
        come.fetch_add(*diff, Ordering::Relaxed);
    });
    let at_assets = at_assets
        .join_core(assets, |_, span, (asset, located)| {
            Some(PlacedSpan {
                span: span.clone(),
                asset: Some((asset.category.clone(), asset.domain)),
                region: asset.region,
                located: located.clone(),
            })
        })
        .inspect(move |(_, _, diff)| {
            met.fetch_sub(*diff, Ordering::Relaxed);
        });
    let elsewhere = spans.flat_map(|span| span.what.region().map(|region| (region, span)));
    let elsewhere = locate(elsewhere, placed, |(region, _)| *region).map(|((region, span), located)| PlacedSpan {
        span,
        asset: None,
        region,
        located,
    });
    at_assets.concat(elsewhere)
}

/// Puts spans into the groups of the gauges that they meet.
pub(super) fn grouped<'scope>(
    spans: Rows<'scope, PlacedSpan>,
    gauges: Rows<'scope, Shared<Gauge>>,
) -> Rows<'scope, (Key, Counted)> {
    let gauges = gauges.map(|gauge| ((gauge.of, gauge.kind.clone()), gauge));
    let spans = spans.map(|span| ((span.span.what.sort(), span.span.what.kind()), span));
    join_few(
        spans,
        gauges,
        "Span: in groups",
        |(sort, kind): &(SpanKind, Text)| vec![(*sort, Some(kind.clone())), (*sort, None)],
        |_, span: &PlacedSpan, gauge: &Shared<Gauge>| span.counted(gauge),
    )
}

impl PlacedSpan {
    /// In its group of a gauge; none if it does not meet the gauge.
    fn counted(&self, gauge: &Shared<Gauge>) -> Option<(Key, Counted)> {
        if !gauge.conditions.iter().all(|condition| self.meets(condition)) {
            return None;
        }
        let subject = self.subject(gauge)?;
        let what = &self.span.what;
        let needs = gauge.needs.as_ref();
        let span = GaugeSpan {
            from: self.span.from,
            to: self.span.to(gauge),
            level: what.level(),
            weight: what.weight(),
            tuple: texts(&gauge.attributes, |name| self.text(name)),
            needs: needs.and_then(|needs| texts(&needs.on, |name| what.text(name))),
            number: gauge
                .number
                .as_ref()
                .and_then(|name| what.number(name))
                .map(thousandths),
            what: what.unreviewed(),
        };
        let counted = Counted {
            gauge: gauge.clone(),
            subject,
            span: GroupSpan::Own(span),
        };
        Some((counted.subject.key(), counted))
    }

    /// The subject of the group.
    fn subject(&self, gauge: &Gauge) -> Option<Subject> {
        let Some(tier) = gauge.by.tier() else {
            let asset = self.span.what.asset()?;
            return Some(Subject {
                kind: SubjectKind::Asset,
                id: asset.text().clone(),
                region: self.region,
            });
        };
        let chain = self.located.chain(self.region);
        let region = chain.into_iter().find(|region| region.tier() == Some(tier))?;
        Some(Subject {
            kind: SubjectKind::Region,
            id: region.to_string().into(),
            region,
        })
    }

    fn meets(&self, condition: &SpanCondition) -> bool {
        if let Some(equals) = &condition.equals {
            return self.text(&condition.attribute).is_some_and(|text| text == *equals);
        }
        let Some(number) = self.span.what.number(&condition.attribute) else {
            return false;
        };
        condition.at_least.is_none_or(|least| number >= least) && condition.at_most.is_none_or(|most| number <= most)
    }

    /// An attribute that is a text.
    fn text(&self, name: &str) -> Option<Text> {
        match name {
            "category" => self.asset.as_ref().map(|(category, _)| category.clone()),
            "domain" => self.asset.as_ref().map(|(_, domain)| domain.name().into()),
            "region" => Some(self.region.to_string().into()),
            other => self.span.what.text(other),
        }
    }
}

impl Span {
    /// Up to when it holds in a gauge.
    pub(super) fn to(&self, gauge: &Gauge) -> Millis {
        if self.what.is_momentary() {
            self.from + gauge.lasts()
        } else {
            self.what.end()
        }
    }
}

/// Some texts of a span; none if it lacks one, or none is asked for.
pub(super) fn texts(names: &[Text], text: impl Fn(&str) -> Option<Text>) -> Option<Box<[Text]>> {
    if names.is_empty() {
        return None;
    }
    names.iter().map(|name| text(name)).collect()
}

/// A number in thousandths, to the nearest one: that is exact enough to show it.
fn thousandths(number: Number) -> i64 {
    (number.0 * 1_000.0).round() as i64
}
