//! The spans of rows as of now: permits, certificates and maintenance windows. Nothing of them is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_model::base::Asset;
use riskflow_model::catalogue::{Maintenance, MaintenanceKind};
use riskflow_model::gauge::SpanKind;
use riskflow_model::intake::{Permit, PermitKind};
use riskflow_model::{Id, Key, Level, RegionCode, Row, Shared, Text};

use super::span::{Lasts, Span, texts_of_place};
use super::table::Table;

/// The rows.
#[derive(Default)]
pub struct Standing {
    permits: Table<Permit>,
    windows: Table<Maintenance>,
}

/// Where a span is.
#[derive(Clone, Copy, Default)]
struct Place<'a> {
    asset: Option<&'a Asset>,
    region: Option<RegionCode>,
}

impl Standing {
    /// A record of any table.
    pub fn base(&mut self, topic: u16, key: Key, row: Option<&Row>) {
        self.permits.apply(topic, key, row);
        self.windows.apply(topic, key, row);
    }

    /// All spans as of now.
    pub fn spans(&self, assets: &Table<Asset>) -> Vec<Span> {
        let permits = self.permits.values().flat_map(|permit| of_permit(permit, assets));
        let windows = self.windows.values().filter_map(|window| of_window(window, assets));
        permits.chain(windows).collect()
    }
}

/// Of work one, and one of each holder; of a certificate one of each holder.
fn of_permit(permit: &Shared<Permit>, assets: &Table<Asset>) -> Vec<Span> {
    let from = permit.valid_from.map_or(i64::MIN, |from| from.0);
    let ends = [permit.valid_to, permit.cancelled_from].into_iter().flatten();
    let to = ends.map(|to| to.0).min();
    if to.is_some_and(|to| to <= from) {
        // It never is in force.
        return Vec::new();
    }
    let (place, of_holder, name) = match permit.kind {
        PermitKind::Work => {
            let asset = permit.asset.as_ref().expect("work is done somewhere");
            let Some(place) = at(asset, assets) else {
                return Vec::new();
            };
            (place, SpanKind::Holder, "permit")
        }
        PermitKind::Certificate => (Place::default(), SpanKind::Certificate, "certificate"),
    };
    let span = |of: SpanKind, holder: Option<&Text>| {
        let own = [(name, permit.id.text()), ("work_type", &permit.work_type)];
        let own = own.into_iter().chain(holder.map(|holder| ("holder", holder)));
        Span {
            source: holder.cloned().unwrap_or_default(),
            made: format!("{permit:?}, {holder:?}"),
            ..of_row(of, (permit.id.text(), permit.work_type.clone()), (from, to), place, own)
        }
    };
    // Whoever is named twice is one.
    let holders: BTreeSet<&Text> = permit.holders.iter().collect();
    let mut spans: Vec<Span> = holders
        .into_iter()
        .map(|holder| span(of_holder, Some(holder)))
        .collect();
    if permit.kind == PermitKind::Work {
        spans.push(span(SpanKind::Permit, None));
    }
    spans
}

fn of_window(window: &Shared<Maintenance>, assets: &Table<Asset>) -> Option<Span> {
    if window.cancelled {
        return None;
    }
    let place = match &window.asset {
        Some(asset) => at(asset, assets)?,
        None => Place {
            asset: None,
            region: Some(window.region),
        },
    };
    let kind = match window.kind {
        MaintenanceKind::Sensor => "sensor",
        MaintenanceKind::Asset => "asset",
        MaintenanceKind::Exercise => "exercise",
    };
    let times = (window.valid_from.0, Some(window.valid_to.0));
    let id = window.id.text();
    let own = std::iter::once(("maintenance", id));
    Some(Span {
        made: format!("{window:?}"),
        ..of_row(SpanKind::Maintenance, (id, kind.into()), times, place, own)
    })
}

/// Where an asset is, if it has a row.
fn at<'a>(asset: &Id<Asset>, assets: &'a Table<Asset>) -> Option<Place<'a>> {
    let asset: &Asset = assets.get(&asset.key())?;
    Some(Place {
        asset: Some(asset),
        region: Some(asset.region),
    })
}

fn of_row<'a>(
    of: SpanKind,
    (id, kind): (&Text, Text),
    (begin, end): (i64, Option<i64>),
    place: Place<'_>,
    own: impl Iterator<Item = (&'a str, &'a Text)>,
) -> Span {
    let mut texts = texts_of_place(place.asset, place.region);
    texts.insert("kind".to_owned(), kind.to_string());
    texts.extend(own.map(|(name, text)| (name.to_owned(), text.to_string())));
    Span {
        of,
        id: id.clone(),
        kind,
        begin,
        lasts: end.map_or(Lasts::On, Lasts::Until),
        level: Level::None,
        weight: 1_000,
        asset: place.asset.map(|asset| asset.id.text().clone()),
        region: place.region,
        source: Text::default(),
        evidence: Text::default(),
        made: String::new(),
        texts,
        numbers: BTreeMap::from([("weight".to_owned(), 1.0)]),
    }
}
