//! Names of states that the row of a datastream does not know, such as `n/a`: a job refuses them, so an import does.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use riskflow_config::{Input, Settings};
use riskflow_connectors::Rejection;
use riskflow_model::base::Datastream;
use riskflow_model::output::Reason;
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Number, TextMap};

use super::super::check::read_live;
use super::super::check::stock::Stock;
use super::mapping::Ready;

/// The rows that are there already, read once, and only where something asks for them.
pub struct Live<'a> {
    settings: &'a Settings,
    stock: OnceCell<Stock>,
}

impl<'a> Live<'a> {
    pub fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            stock: OnceCell::new(),
        }
    }

    /// # Errors
    ///
    /// When they cannot be read.
    pub fn stock(&self) -> Result<&Stock> {
        if let Some(stock) = self.stock.get() {
            return Ok(stock);
        }
        let mut stock = Stock::default();
        let is_there = match &self.settings.input {
            Input::Log(folder) => folder.join(self.settings.topics.name(Topic::BASE_DATASTREAM)).exists(),
            _ => true,
        };
        if is_there {
            read_live(self.settings, &mut stock).context("could not read the base data that is there")?;
        }
        Ok(self.stock.get_or_init(|| stock))
    }
}

/// The states that datastreams know: by rows that came before in the same files, else by those that are there.
pub struct States<'a> {
    live: &'a Live<'a>,
    here: BTreeMap<Key, TextMap<Number>>,
}

impl<'a> States<'a> {
    pub const fn new(live: &'a Live<'a>) -> Self {
        Self {
            live,
            here: BTreeMap::new(),
        }
    }

    /// The same record, or why it would be refused. Where a datastream has no row its observations wait for one.
    ///
    /// # Errors
    ///
    /// When the rows that are there cannot be read.
    pub fn judge(&mut self, ready: Ready) -> Result<Result<Ready, Rejection>> {
        if let Some(states) = &ready.states {
            self.here.insert(Key::of(&ready.key), states.clone());
        }
        let unknown = match &ready.state {
            Some(name) => self.unknown(&ready.key, name)?,
            None => None,
        };
        Ok(unknown.map_or(Ok(ready), Err))
    }

    fn unknown(&self, datastream: &str, name: &str) -> Result<Option<Rejection>> {
        let key = Key::of(datastream);
        let states = match self.here.get(&key) {
            Some(states) => Some(states),
            None => {
                let row = self.live.stock()?.rows.get(&(Topic::BASE_DATASTREAM, key));
                let row = row.and_then(|(row, _)| row.downcast_ref::<Datastream>());
                row.map(|row| &row.states)
            }
        };
        let Some(states) = states.filter(|states| states.get(name).is_none()) else {
            return Ok(None);
        };
        let names: Vec<&str> = states.iter().map(|(name, _)| &**name).collect();
        let give = if names.is_empty() {
            "a number, or `states` in its row of `base.datastream`".to_owned()
        } else {
            format!(
                "a number, or one of its `states`: `{}`, or add it to these",
                names.join("`, `")
            )
        };
        let says = format!("`result` is `{name}`, which the row of `{datastream}` does not know; give {give}");
        Ok(Some(Rejection::new(Reason::UnknownState, says)))
    }
}
