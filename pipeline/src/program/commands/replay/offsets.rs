//! A part of the input by offsets: where partitions begin and end that are named.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use riskflow_config::{Input, Settings};
use riskflow_connectors::{Extents, extents};
use riskflow_model::Problems;
use riskflow_model::topic::Topic;

use crate::program::cli::{PartitionOffset, ReplayArguments};
use crate::program::exit::Usage;

/// Puts `--from-offset` and `--until-offset` into the settings. `live`: the job whose input it is.
///
/// # Errors
///
/// [`Problems`] with all that are not there, and the offsets that are, and with those of topics that are not read because others stand in
/// their place; [`Usage`] where the input has none.
pub fn take(arguments: &ReplayArguments, live: &Settings, settings: &mut Settings) -> Result<()> {
    let (from, until) = (&arguments.from_offset, &arguments.until_offset);
    if from.is_empty() && until.is_empty() {
        return Ok(());
    }
    if matches!(live.input, Input::Files(_)) {
        let says = "`--from-offset` and `--until-offset` name offsets of a log or of Kafka: the configured input is files; give `--from` and `--until`";
        return Err(Usage(says.to_owned()).into());
    }
    let topics: BTreeSet<Topic> = from.iter().chain(until).map(|named| named.topic).collect();
    let topics: Vec<Topic> = topics.into_iter().collect();
    let there = extents(&live.input, &live.topics, &topics).context("could not see which offsets there are")?;
    let mut problems = Problems::default();
    let mut known = |flag: &str, named: &[PartitionOffset]| known(flag, named, (&there, live), &mut problems);
    let begins = known("--from-offset", from);
    let ends = known("--until-offset", until);
    for ((topic, partition), end) in &ends {
        let begin = begins.get(&(*topic, *partition)).copied().unwrap_or_default();
        if *end < begin {
            problems.add(
                format!("--until-offset {topic}/{partition}"),
                end.to_string(),
                format!("an offset from {begin} on, where `--from-offset` begins"),
            );
        }
    }
    problems.none_or(Some(()))?;
    for ((topic, partition), begin) in begins {
        settings.replay.from_offsets.advance(topic, partition, begin);
    }
    settings.replay.until_offsets = ends;
    Ok(())
}

/// Where partitions begin or end, as far as that can be; notes of the others why not.
fn known(
    flag: &str,
    named: &[PartitionOffset],
    (there, live): (&Extents, &Settings),
    problems: &mut Problems,
) -> BTreeMap<(Topic, u16), u64> {
    // What stands in its place has offsets of its own.
    let is_replaced = |topic: Topic| {
        let mut instead = live.instead.iter();
        instead.any(|file| file.topic.as_deref() == Some(topic.name()))
    };
    let mut offsets = BTreeMap::new();
    for PartitionOffset {
        topic,
        partition,
        offset,
    } in named.iter().copied()
    {
        let field = format!("{flag} {topic}/{partition}");
        match there.get(&(topic, partition)) {
            _ if is_replaced(topic) => problems.add(
                field,
                "of a topic that is not read, for `--rules` stands in its place",
                "offsets of other topics",
            ),
            None => {
                let count = there.keys().filter(|(found, _)| *found == topic).count();
                problems.add(
                    field,
                    "a partition that is not there",
                    format!("one of 0 to {}", count.max(1) - 1),
                );
            }
            Some((first, end)) if offset < *first || offset > *end => {
                problems.add(
                    field,
                    offset.to_string(),
                    format!("an offset from {first}, the first that is there, to {end}, behind the last"),
                );
            }
            Some(_) if offsets.insert((topic, partition), offset).is_some() => {
                problems.add(field, "given twice", "one offset for a partition");
            }
            Some(_) => {}
        }
    }
    offsets
}

/// What was asked for, as it is kept with the replay; `None` for nothing.
pub fn described(named: &[PartitionOffset]) -> Option<String> {
    let named: BTreeSet<String> = named
        .iter()
        .map(|named| format!("{}/{}={}", named.topic, named.partition, named.offset))
        .collect();
    (!named.is_empty()).then(|| named.into_iter().collect::<Vec<_>>().join(", "))
}
