//! What happened, from a CSV file: where, from when, until when.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use riskflow_model::{Domain, Level, Millis, Problems, RegionCode, Text};
use serde::Serialize;

use super::world::World;
use crate::program::bounded;
use crate::program::exit::Usage;

/// Where something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a region, and in all within it.
    Region(RegionCode),
    /// At an asset.
    Asset(Text),
}

/// Something that should have been warned of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Of the file.
    pub line: u64,
    /// As written.
    pub place: String,
    /// What that is.
    #[serde(skip)]
    pub at: Place,
    /// When it began.
    pub from: Millis,
    /// When it ended.
    pub to: Millis,
    /// At which level or higher it should have been warned of, where that is said.
    pub level: Option<Level>,
    /// Of which domain, where that is said.
    pub domain: Option<Domain>,
}

impl Event {
    /// Its county, for tables.
    pub fn county(&self, world: &World) -> Option<RegionCode> {
        let region = match &self.at {
            Place::Region(region) => *region,
            Place::Asset(asset) => world.assets.get(asset)?.region,
        };
        Some(world.county(region))
    }
}

/// The largest file of events, in bytes.
const LARGEST: u64 = 256 << 20;

/// Reads the events of a file.
///
/// # Errors
///
/// Everything wrong with it, by line and column.
pub fn read(path: &Path, world: &World) -> Result<Vec<Event>> {
    let name = path.display();
    let bytes = bounded::bytes(path, LARGEST).map_err(|error| Usage(format!("could not read `{name}`: {error}")))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut problems = Problems::default();
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => return Err(Usage(format!("`{name}` cannot be read as CSV: {error}")).into()),
    };
    let column = |wanted: &str| header.iter().position(|field| field.eq_ignore_ascii_case(wanted));
    let columns = ["place", "from", "to", "level", "domain"].map(column);
    for (field, column) in ["place", "from", "to"].iter().zip(columns) {
        if column.is_none() {
            problems.add(
                format!("{name}:1"),
                format!("no column `{field}`"),
                "`place,from,to`, and if need be `level` and `domain`",
            );
        }
    }
    if !problems.is_empty() {
        return Err(problems.into());
    }
    let mut events = Vec::new();
    for row in reader.records() {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                problems.add(
                    format!("{name}:{line}"),
                    error,
                    "as many fields as the first line has, in UTF-8",
                );
                continue;
            }
        };
        let line = row.position().map_or(0, csv::Position::line);
        let before = problems.iter().count();
        let mut fields = Fields {
            place: format!("{name}:{line}"),
            cells: columns.map(|column| row.get(column?).filter(|text| !text.is_empty())),
            problems: &mut problems,
        };
        let event = fields.event(line, world);
        if problems.iter().count() == before {
            events.extend(event);
        }
    }
    if problems.is_empty() && events.is_empty() {
        problems.add(
            name.to_string(),
            "no event",
            "a line for each event below the names of the columns",
        );
    }
    events.sort_by_key(|event| (event.from, event.line));
    Ok(problems.none_or(Some(events))?)
}

/// Places of events in which no asset of the history lies, as they are written, with the number of events.
pub fn without_assets<'a>(events: &'a [Event], world: &World) -> BTreeMap<&'a str, usize> {
    let regions = world.asset_regions();
    let mut known: BTreeMap<RegionCode, bool> = BTreeMap::new();
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for event in events {
        let Place::Region(place) = event.at else { continue };
        let has_assets = *known
            .entry(place)
            .or_insert_with(|| regions.iter().any(|region| world.within(*region, place)));
        if !has_assets {
            *found.entry(event.place.as_str()).or_default() += 1;
        }
    }
    found
}

/// A row: place, from, to, level, domain.
struct Fields<'a> {
    place: String,
    cells: [Option<&'a str>; 5],
    problems: &'a mut Problems,
}

impl Fields<'_> {
    fn event(&mut self, line: u64, world: &World) -> Option<Event> {
        let [place, from, to, level, domain] = self.cells;
        let at = self.at(place.unwrap_or_default(), world);
        let (from, to) = (self.time("from", from), self.time("to", to));
        if let (Some(from), Some(to)) = (from, to)
            && from > to
        {
            self.wrong("to", &to.to_string(), &format!("a time not before `from`, {from}"));
        }
        let level = level.map(|text| {
            let level = Level::from_name(text).filter(|level| *level > Level::None);
            if level.is_none() {
                self.wrong("level", text, "`blue`, `yellow`, `orange` or `red`, or nothing");
            }
            level
        });
        let domain = domain.map(|text| {
            let domain = Domain::ALL.into_iter().find(|domain| domain.name() == text);
            if domain.is_none() {
                let names = Domain::ALL.map(|domain| domain.name());
                self.wrong("domain", text, &format!("one of `{}`, or nothing", names.join("`, `")));
            }
            domain
        });
        Some(Event {
            line,
            place: place?.to_owned(),
            at: at?,
            from: from?,
            to: to?,
            level: level.flatten(),
            domain: domain.flatten(),
        })
    }

    /// An asset of the history, or a region.
    fn at(&mut self, text: &str, world: &World) -> Option<Place> {
        if world.assets.contains_key(text) {
            return Some(Place::Asset(text.into()));
        }
        let region = text.parse::<RegionCode>().ok();
        let region = region.filter(|region| region.is_statistical() || world.has_region(*region));
        if region.is_none() {
            self.wrong("place", text, "a statistical code, or a region or asset of the history");
        }
        region.map(Place::Region)
    }

    fn time(&mut self, field: &str, text: Option<&str>) -> Option<Millis> {
        match text.unwrap_or_default().parse::<Millis>() {
            Ok(time) => Some(time),
            Err(error) => {
                let field = format!("{}, {field}", self.place);
                self.problems
                    .add(field, format!("`{}`", text.unwrap_or_default()), error.to_string());
                None
            }
        }
    }

    fn wrong(&mut self, field: &str, found: &str, give: &str) {
        let field = format!("{}, {field}", self.place);
        self.problems.add(field, format!("`{found}`"), give);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::check::stock::Stock;
    use super::*;

    fn events(text: &str) -> Result<Vec<Event>, String> {
        let path = std::env::temp_dir().join(format!("riskflow-truth-{}.csv", uuid::Uuid::new_v4()));
        std::fs::write(&path, text).unwrap();
        let mut world = World::of(&Stock::default());
        let json = r#"{"id":"weir-3","category":"c","domain":"lifeline","region":"330902001001","inherent_level":1}"#;
        world
            .assets
            .insert("weir-3".into(), serde_json::from_str(json).unwrap());
        let read = read(&path, &world);
        std::fs::remove_file(&path).unwrap();
        read.map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn events_are_at_assets_or_in_regions() {
        let found = events(
            "\u{feff}Place,from,to,level,domain,remark\n330902, 2021-07-25T00:00:00+08:00,2021-07-25T06:00:00+08:00,,,x\n\
             weir-3,2021-07-24T00:00:00Z,2021-07-24T00:00:00Z,orange,lifeline,\n",
        )
        .unwrap();
        assert_eq!(found[0].at, Place::Asset("weir-3".into()));
        assert_eq!(
            (found[0].level, found[0].domain),
            (Some(Level::Orange), Some(Domain::Lifeline))
        );
        assert_eq!(
            (found[1].at.clone(), found[1].line),
            (Place::Region("330902".parse().unwrap()), 2)
        );
    }

    #[test]
    fn places_without_assets_are_known() {
        let mut world = World::of(&Stock::default());
        let json = r#"{"id":"weir-3","category":"c","domain":"lifeline","region":"330902001001","inherent_level":1}"#;
        world
            .assets
            .insert("weir-3".into(), serde_json::from_str(json).unwrap());
        let events = events(
            "place,from,to\n330902,2021-07-25T00:00:00Z,2021-07-25T06:00:00Z\n330903,2021-07-25T00:00:00Z,2021-07-25T06:00:00Z\n\
             330903,2021-07-26T00:00:00Z,2021-07-26T06:00:00Z\nweir-3,2021-07-24T00:00:00Z,2021-07-24T00:00:00Z\n",
        )
        .unwrap();
        let found = without_assets(&events, &world);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("330903", 2)]);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let error = events(
            "place,from,to,level,domain\nnowhere-9,soon,,green,rain\n3309,2021-07-25T00:00:00Z,2021-07-24T00:00:00Z,,\n",
        );
        let error = error.unwrap_err();
        for part in [
            "FILE:2, place",
            "`soon`",
            "FILE:2, to",
            "`green`",
            "`rain`",
            "FILE:3, to",
            "not before `from`",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(events("where,from\n").unwrap_err().contains("no column `place`"));
        assert!(events("place,from,to\n").unwrap_err().contains("no event"));
    }
}
