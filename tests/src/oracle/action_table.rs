//! The rules of actions, read from the tables of `docs/closed-loop.md`: what a person checks there is what the tests demand.
//!
//! Nothing of a rule stands here. A cell that this cannot read, or one that is missing, ends the tests and is named.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use riskflow_model::action::Verb;
use riskflow_model::output::{Basis, CaseEventKind, CaseStep, Refusal};
use serde::de::DeserializeOwned;
use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/closed-loop.md");

/// The tables of the page.
pub(super) static TABLES: LazyLock<Tables> = LazyLock::new(|| Tables::read(PAGE));

/// The state of a case that selects a row: `rejected` stands over the basis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Standing {
    pub basis: Basis,
    pub rejected: bool,
}

impl Standing {
    fn name(self) -> &'static str {
        match self.basis {
            _ if self.rejected => "rejected",
            Basis::Active => "active",
            Basis::Cleared => "cleared",
            Basis::Withdrawn => "withdrawn",
        }
    }
}

/// What a cell of the table of steps says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// `→ STEP`
    To(CaseStep),
    /// `stays`
    Stays,
    /// The code of a refusal.
    Refused(Refusal),
}

/// A row of the table of needs: what must hold for an action that is allowed.
pub(super) struct Need {
    verb: Option<Verb>,
    /// The cell that the row is for; `None`: it is asked before the table of steps.
    cell: Option<Cell>,
    /// Its name on the page.
    pub what: String,
    /// What an action that lacks it is refused with.
    pub refusal: Refusal,
}

/// A row of the table of effects.
pub(super) struct Effect {
    /// Its name on the page; empty: none.
    pub what: String,
    /// What keeps the case from entering the step of the cell; empty: nothing.
    pub unless: String,
    /// The event where no step is entered.
    pub event: Option<CaseEventKind>,
}

/// A row of the table of steps: the cells in the order of the steps.
struct Row {
    verb: Verb,
    standings: Vec<String>,
    overrides: bool,
    cells: Vec<Cell>,
}

pub(super) struct Tables {
    rows: Vec<Row>,
    needs: Vec<Need>,
    effects: BTreeMap<Verb, Effect>,
}

impl Tables {
    fn read(page: &str) -> Self {
        let head = ["verb", "state"].into_iter().chain(CaseStep::ALL.map(CaseStep::name));
        let rows = table(page, "steps", &head.collect::<Vec<_>>());
        let rows = rows.into_iter().map(|row| Row {
            verb: word(&row[0]),
            standings: row[1].split(", ").map(ToOwned::to_owned).collect(),
            overrides: row[1].ends_with("with override"),
            cells: row[2..].iter().map(|text| cell(text)).collect(),
        });
        let needs = table(page, "needs", &["verb", "cell", "needs", "else"]);
        let needs = needs.into_iter().map(|row| Need {
            verb: (row[0] != "any").then(|| word(&row[0])),
            cell: (row[1] != "before").then(|| cell(&row[1])),
            what: row[2].clone(),
            refusal: word(&row[3]),
        });
        let effects = table(
            page,
            "effects",
            &["verb", "effect", "no step while", "event without step"],
        );
        let effects = effects.into_iter().map(|row| {
            let [verb, what, unless, event] = &row[..] else {
                panic!("the head has four columns")
            };
            let effect = Effect {
                what: what.clone(),
                unless: unless.clone(),
                event: (!event.is_empty()).then(|| word(event)),
            };
            (word(verb), effect)
        });
        let tables = Self {
            rows: rows.collect(),
            needs: needs.collect(),
            effects: effects.collect(),
        };
        tables.check();
        tables
    }

    /// Every verb has exactly one cell at every step in every state, and its effect.
    fn check(&self) {
        for verb in Verb::ALL {
            assert!(self.effects.contains_key(&verb), "no effect of {}", verb.name());
            for basis in [Basis::Active, Basis::Cleared, Basis::Withdrawn] {
                for rejected in [false, true] {
                    let standing = Standing { basis, rejected };
                    let rows = self
                        .rows
                        .iter()
                        .filter(|row| !row.overrides && row.is_of(verb, standing));
                    let name = standing.name();
                    assert_eq!(rows.count(), 1, "rows of {} while {name}", verb.name());
                }
            }
        }
    }

    /// The cell of a verb; `overrides`: as the action asks for it.
    pub fn cell(&self, verb: Verb, standing: Standing, step: CaseStep, overrides: bool) -> Cell {
        let mut rows = self.rows.iter().filter(|row| row.is_of(verb, standing));
        let row = if overrides {
            let (special, common): (Vec<&Row>, Vec<&Row>) = rows.partition(|row| row.overrides);
            special.into_iter().chain(common).next()
        } else {
            rows.find(|row| !row.overrides)
        };
        let place = CaseStep::ALL.iter().position(|one| *one == step);
        row.zip(place)
            .map(|(row, place)| row.cells[place])
            .expect("checked when it was read")
    }

    /// What an action needs before anything else.
    pub fn needs_before(&self, verb: Verb) -> impl Iterator<Item = &Need> {
        self.needs
            .iter()
            .filter(move |need| need.cell.is_none() && need.is_of(verb))
    }

    /// What an action with this cell needs.
    pub fn needs(&self, verb: Verb, cell: Cell) -> impl Iterator<Item = &Need> {
        self.needs
            .iter()
            .filter(move |need| need.cell == Some(cell) && need.is_of(verb))
    }

    /// What a verb does.
    pub fn effect(&self, verb: Verb) -> &Effect {
        &self.effects[&verb]
    }
}

impl Row {
    fn is_of(&self, verb: Verb, standing: Standing) -> bool {
        self.verb == verb
            && self
                .standings
                .iter()
                .any(|name| name == "any" || name == standing.name())
    }
}

impl Need {
    fn is_of(&self, verb: Verb) -> bool {
        self.verb.is_none_or(|of| of == verb)
    }
}

/// The rows of a table of the page, in which each cell is trimmed.
fn table(page: &str, name: &str, head: &[&str]) -> Vec<Vec<String>> {
    let mark = format!("<!-- oracle: {name} -->\n");
    let (_, rest) = page.split_once(&mark).unwrap_or_else(|| panic!("no table `{name}`"));
    let mut rows = rest.lines().take_while(|line| line.starts_with('|')).map(|line| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    });
    assert_eq!(rows.next().expect("a head"), head, "the head of the table `{name}`");
    let rows: Vec<Vec<String>> = rows.skip(1).collect();
    for row in &rows {
        assert_eq!(row.len(), head.len(), "table `{name}`, {row:?}");
    }
    rows
}

fn cell(text: &str) -> Cell {
    match text.strip_prefix("→ ") {
        Some(step) => Cell::To(word(step)),
        None if text == "stays" => Cell::Stays,
        None => Cell::Refused(word(text)),
    }
}

/// A word of the page as the topics have it.
fn word<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_value(Value::String(text.to_owned()))
        .unwrap_or_else(|error| panic!("`{text}` on the page: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(from: &str, to: &str) -> std::thread::Result<Tables> {
        assert!(PAGE.contains(from), "{from}");
        let page = PAGE.replace(from, to);
        std::panic::catch_unwind(|| Tables::read(&page))
    }

    #[test]
    fn the_page_is_read_and_a_gap_or_a_slip_is_not() {
        let standing = Standing {
            basis: Basis::Active,
            rejected: false,
        };
        let cell = TABLES.cell(Verb::Archive, standing, CaseStep::Verified, false);
        assert_eq!(cell, Cell::Refused(Refusal::NotEnded));
        let cell = TABLES.cell(Verb::Archive, standing, CaseStep::Verified, true);
        assert_eq!(cell, Cell::To(CaseStep::Archived));
        assert!(
            with("| call | any |", "| call | active |").is_err(),
            "a state without row"
        );
        assert!(
            with("| verify | cleared |", "| verify | cleared, active |").is_err(),
            "two rows"
        );
        assert!(
            with("→ called | already_done", "→ called | done_already").is_err(),
            "no refusal"
        );
        assert!(with("→ called | already_done", "→ called").is_err(), "a cell less");
        assert!(with("| assign | assign | | noted |\n", "").is_err(), "no effect");
    }
}
