//! Which region is asked about: by its code, or by a name that one region only has.
//!
//! Any short text may be a code, so a name or a misspelt code would be one of which nothing lies anywhere, and all would look calm. A region
//! is known by a row of `base.region` that is it or lies within it, or by a warning or an asset that lies there.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use riskflow_config::{Input, InputRecord, Settings};
use riskflow_connectors::{Verdict, decode};
use riskflow_model::RegionCode;
use riskflow_model::base::Asset;
use riskflow_model::topic::Topic;

use super::super::tail;
use super::super::tail::people::Names;
use super::near::Near;
use super::{Asks, Patience};
use crate::program::exit::Usage;

/// Where a region is looked for.
pub struct Regions<'a> {
    pub settings: &'a Settings,
    /// The rows of `base.region`.
    pub names: &'a Names,
    /// Where warnings were told of.
    pub warned: &'a BTreeSet<RegionCode>,
    /// Whoever asks sees this region only, and what lies within: no name of elsewhere is told.
    pub seen: Option<RegionCode>,
    pub patience: Patience<'a>,
}

/// Whether the input can be read once more: standard input cannot.
pub fn can_be_read(settings: &Settings) -> bool {
    !matches!(&settings.input, Input::Files(files) if files.iter().any(|file| file.path.as_os_str() == "-"))
}

impl Regions<'_> {
    /// The region that is meant.
    ///
    /// # Errors
    ///
    /// When there is none, with those of near codes and names, or several are called so; or the input cannot be read.
    pub fn meant(&self, text: &str) -> Result<RegionCode> {
        let names = self.names;
        let code = text.parse::<RegionCode>();
        if let Ok(code) = &code
            && (names.has(*code) || self.warned.iter().any(|region| names.within(*region, *code)))
        {
            return Ok(*code);
        }
        let mut named = names.named(text);
        named.retain(|region| self.is_seen(*region));
        match named.as_slice() {
            [one] => return Ok(*one),
            [] => {}
            several => {
                let codes: Vec<String> = several.iter().map(ToString::to_string).collect();
                let says = format!(
                    "`--within` is `{text}`, as several regions are called; give the code of one: `{}`",
                    codes.join("`, `")
                );
                return Err(Usage(says).into());
            }
        }
        let code = code.map_err(|error| Usage(format!("`--within`: {error}")))?;
        // Of standard input nothing more is known than what was told.
        if !can_be_read(self.settings) || self.has_asset(code)? {
            return Ok(code);
        }
        Err(self.unknown(text).into())
    }

    fn is_seen(&self, region: RegionCode) -> bool {
        self.seen.is_none_or(|seen| self.names.within(region, seen))
    }

    /// Whether an asset lies there. There are many, so they are read last.
    fn has_asset(&self, code: RegionCode) -> Result<bool> {
        let mut found = false;
        let waits = self.patience.waits;
        tail::read_while(self.settings, &[Topic::BASE_ASSET], waits, &mut |record| {
            if !found
                && let Ok(InputRecord::Base(_, Some(row))) = decode(record)
                && let Some(asset) = row.downcast_ref::<Asset>()
            {
                found = self.names.within(asset.region, code);
            }
            Verdict::Taken
        })
        .context("could not read the assets")?;
        Ok(found)
    }

    fn unknown(&self, text: &str) -> Usage {
        let mut near = Near::to(text);
        for (region, name) in self.names.each().filter(|(region, _)| self.is_seen(*region)) {
            near.see(&region.to_string(), name);
        }
        let shown = match self.patience.asks {
            Asks::Terminal => "`riskflow tail base.region` shows all",
            Asks::Http => "`/api/v1/regions` shows all",
        };
        Usage(format!(
            "`--within` is `{text}`, which no region has as its code or name, and no asset or warning lies there{}; {shown}",
            near.said()
        ))
    }
}
