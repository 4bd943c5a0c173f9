//! The real regions of Zhoushan, and a believable point for each village.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Draw, is_region};

const AREAS: &str = include_str!("../../../data/zhoushan_areas.csv");
const STREETS: &str = include_str!("../../../data/zhoushan_streets.csv");
const VILLAGES: &str = include_str!("../../../data/zhoushan_villages.csv");
const OUTLINES: &str = include_str!("../../../data/zhoushan_counties.geojson");

/// A village, with a point in its county.
pub struct Place {
    pub code: String,
    pub name: String,
    pub longitude: f64,
    pub latitude: f64,
}

/// Every region: the province, the city, counties, towns, villages, as code and name.
pub fn regions() -> Vec<(String, String)> {
    let city = [("33", "浙江省"), ("3309", "舟山市")].map(|(code, name)| (code.to_owned(), name.to_owned()));
    city.into_iter()
        .chain(rows(AREAS))
        .chain(rows(STREETS))
        .chain(rows(VILLAGES))
        .collect()
}

/// All villages. Villages of one town lie near each other, within the outline of their county.
pub fn places() -> Vec<Place> {
    let outlines = outlines();
    rows(VILLAGES)
        .map(|(code, name)| {
            let rings = outlines.get(&code[..6]).map_or(&[][..], Vec::as_slice);
            let (longitude, latitude) = point(rings, &code);
            Place {
                code,
                name,
                longitude,
                latitude,
            }
        })
        .collect()
}

fn rows(csv: &'static str) -> impl Iterator<Item = (String, String)> {
    csv.lines().skip(1).filter_map(|line| {
        let mut cells = line.split(',').map(|cell| cell.trim_matches('"'));
        let (code, name) = (cells.next()?, cells.next()?);
        is_region(code).then(|| (code.to_owned(), name.to_owned()))
    })
}

type Ring = Vec<(f64, f64)>;

/// The outer rings of each county, by its code.
fn outlines() -> BTreeMap<String, Vec<Ring>> {
    let json: Value = serde_json::from_str(OUTLINES).unwrap_or_default();
    let mut outlines: BTreeMap<String, Vec<Ring>> = BTreeMap::new();
    for feature in json["features"].as_array().into_iter().flatten() {
        let code = feature["properties"]["gb"].as_str().unwrap_or_default();
        let code = code.strip_prefix("156").unwrap_or(code).to_owned();
        let shape = &feature["geometry"]["coordinates"];
        let polygons: Vec<&Value> = match feature["geometry"]["type"].as_str() {
            Some("MultiPolygon") => shape.as_array().into_iter().flatten().collect(),
            _ => vec![shape],
        };
        let rings = polygons.into_iter().filter_map(|polygon| {
            let ring = polygon.get(0)?.as_array()?;
            Some(
                ring.iter()
                    .filter_map(|point| Some((point.get(0)?.as_f64()?, point.get(1)?.as_f64()?)))
                    .collect(),
            )
        });
        outlines.entry(code).or_default().extend(rings);
    }
    outlines
}

/// A point inside one of the rings: near the point of its town, where lots allow it.
fn point(rings: &[Ring], code: &str) -> (f64, f64) {
    let all: Vec<(f64, f64)> = rings.iter().flatten().copied().collect();
    let bound =
        |pick: fn(&(f64, f64)) -> f64, best: fn(f64, f64) -> f64| all.iter().map(pick).reduce(best).unwrap_or(0.0);
    let (west, east) = (bound(|p| p.0, f64::min), bound(|p| p.0, f64::max));
    let (south, north) = (bound(|p| p.1, f64::min), bound(|p| p.1, f64::max));
    let draw_in = |draw: &mut Draw, west: f64, east: f64, south: f64, north: f64| {
        (0..2_000).find_map(|_| {
            let point = (
                west + draw.part() * (east - west),
                south + draw.part() * (north - south),
            );
            rings.iter().any(|ring| inside(ring, point)).then_some(point)
        })
    };
    let town = draw_in(&mut Draw::of(0, &code[..9], 0), west, east, south, north);
    let Some((x, y)) = town else {
        return ((west + east) / 2.0, (south + north) / 2.0);
    };
    let mut draw = Draw::of(0, code, 0);
    draw_in(&mut draw, x - 0.04, x + 0.04, y - 0.03, y + 0.03).unwrap_or((x, y))
}

/// Ray casting (Shimrat 1962).
fn inside(ring: &[(f64, f64)], (x, y): (f64, f64)) -> bool {
    let mut inside = false;
    let mut before = ring.last().copied().unwrap_or((0.0, 0.0));
    for &(px, py) in ring {
        if (py > y) != (before.1 > y) && x < (before.0 - px) * (y - py) / (before.1 - py) + px {
            inside = !inside;
        }
        before = (px, py);
    }
    inside
}
