//! The report as tables on a terminal.

use riskflow_model::duration;

use super::super::judge::{Lead, Scores};
use super::{Group, Report, Set};
use crate::program::escape;
use crate::program::terminal::{say, table};

/// So many of each are listed; JSON and the page have all.
const LISTED: usize = 20;

/// Prints it.
pub fn show(report: &Report) {
    say(format_args!(
        "{} to {}: {} records; warnings of level {} and higher are judged",
        report.from, report.until, report.read.records, report.level
    ));
    let sets = [("new", Some(&report.new)), ("old", report.old.as_ref())];
    let rows = sets.iter().filter_map(|(name, set)| Some(set_row(name, (*set)?)));
    say(format_args!("\n{}", table(&SET, rows)));
    if let Some(relations) = &report.relations {
        say(format_args!(
            "\n{} the same, {} at other levels, {} at other times, {} at both, {} only new, {} only old",
            relations.same,
            relations.level,
            relations.time,
            relations.level_and_time,
            relations.only_new,
            relations.only_old
        ));
        show_differences(report);
    }
    for (what, groups) in [
        ("rule", &report.by_rule),
        ("region", &report.by_region),
        ("domain", &report.by_domain),
    ] {
        show_groups(what, groups);
    }
    if report.new.scores.is_some() {
        let rows = sets
            .iter()
            .filter_map(|(name, set)| Some(score_row(name, set.as_ref()?.scores.as_ref()?)));
        say(format_args!("\n{}", table(&SCORES, rows)));
        say(format_args!(
            "near misses of the new rules: {}",
            report.near_misses.len()
        ));
    }
    if !report.sweep.is_empty() {
        let rows = report.sweep.iter().map(|point| {
            let mut row = set_row(&point.name, &point.set);
            if let Some(scores) = &point.set.scores {
                row.extend(score_row("", scores).into_iter().skip(1));
            }
            row
        });
        let scores = SCORES.iter().skip(1).filter(|_| report.new.scores.is_some());
        let header: Vec<&str> = SET.iter().chain(scores).copied().collect();
        say(format_args!("\n{}", table(&header, rows)));
    }
    for note in &report.notes {
        say(format_args!("note: {}", escape::line(&note.en)));
    }
}

const SET: [&str; 9] = [
    "set",
    "rules",
    "warnings",
    "blue",
    "yellow",
    "orange",
    "red",
    "withdrawn",
    "lasted",
];
const SCORES: [&str; 10] = [
    "set",
    "events",
    "hits",
    "misses",
    "judged",
    "false alarms",
    "POD",
    "FAR",
    "CSI",
    "lead: quartile, median, quartile",
];

fn set_row(name: &str, set: &Set) -> Vec<String> {
    let mut row = vec![
        escape::line(name).into_owned(),
        set.rules.to_string(),
        set.warnings.to_string(),
    ];
    row.extend(set.by_peak.map(|count| count.to_string()));
    row.extend([set.withdrawn.to_string(), hours(set.lasted.0)]);
    row
}

fn score_row(name: &str, scores: &Scores) -> Vec<String> {
    let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
    let counts = [
        scores.events,
        scores.hits,
        scores.misses,
        scores.warnings,
        scores.false_alarms,
    ];
    let mut row = vec![name.to_owned()];
    row.extend(counts.map(|count| count.to_string()));
    row.extend([scores.pod, scores.far, scores.csi].map(ratio));
    row.push(scores.lead.as_ref().map_or_else(|| "-".to_owned(), lead));
    row
}

/// Lead times for people.
pub fn lead(lead: &Lead) -> String {
    [lead.lower_quartile_ms, lead.median_ms, lead.upper_quartile_ms]
        .map(length)
        .join(", ")
}

/// A length of time that may be less than nothing, to the minute.
pub fn length(millis: i64) -> String {
    let minutes = millis.abs() / 60_000 * 60_000;
    let sign = if millis < 0 && minutes > 0 { "-" } else { "" };
    format!("{sign}{}", duration::show(minutes))
}

/// Hours with one decimal.
pub fn hours(millis: i64) -> String {
    format!("{:.1} h", millis as f64 / 3_600_000.0)
}

fn show_groups(what: &str, groups: &[Group]) {
    let has_old = groups.iter().any(|group| group.old_warnings.is_some());
    let has_scores = groups.iter().any(|group| group.new_scores.is_some());
    let mut header = vec![what, "name", "warnings", "lasted"];
    header.extend(["old", "lasted", "different"].iter().filter(|_| has_old));
    header.extend(["hits", "misses", "false alarms"].iter().filter(|_| has_scores));
    let rows = groups.iter().map(|group| {
        let mut row = vec![
            escape::line(&group.id).into_owned(),
            escape::line(&group.name).into_owned(),
            group.new_warnings.to_string(),
            hours(group.new_lasted.0),
        ];
        if let (Some(warnings), Some(lasted), Some(relations)) = (group.old_warnings, group.old_lasted, group.relations)
        {
            row.extend([warnings.to_string(), hours(lasted.0), relations.different().to_string()]);
        }
        if let Some(scores) = &group.new_scores {
            row.extend([scores.hits, scores.misses, scores.false_alarms].map(|count| count.to_string()));
        }
        row
    });
    say(format_args!("\n{}", table(&header, rows)));
}

fn show_differences(report: &Report) {
    let rows = report.differences.iter().take(LISTED).map(|difference| {
        let either = difference.new.as_ref().or(difference.old.as_ref());
        let name = either.map_or_else(Vec::new, |one| vec![one.rule.to_string(), one.asset.to_string()]);
        let mut row: Vec<String> = name.iter().map(|text| escape::line(text).into_owned()).collect();
        for one in [&difference.new, &difference.old] {
            row.push(one.as_ref().map_or_else(
                || "-".to_owned(),
                |one| {
                    let until = one.until.map_or_else(|| "open".to_owned(), |until| until.to_string());
                    format!("{} {} to {until}", one.peak, one.since)
                },
            ));
        }
        row
    });
    if !report.differences.is_empty() {
        say(table(&["rule", "asset", "new", "old"], rows));
    }
    if report.differences.len() > LISTED {
        say(format_args!(
            "… {} more: `--json` has all",
            report.differences.len() - LISTED
        ));
    }
}
