//! The report for people.

use super::{InForce, LISTED, RefusedRow, Report, RuleRow, SetRow, UnmatchedRow};
use crate::program::terminal::table;

impl Report {
    /// Lines.
    pub fn for_people(&self) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(self.refused.iter().take(LISTED).flat_map(RefusedRow::for_people));
        more(&mut lines, self.refused.len(), "records that are refused");
        if !self.rules.is_empty() {
            let rows = self.rules.iter().map(RuleRow::for_people);
            lines.push(table(&["rule", "version", "watches", ""], rows));
        }
        lines.extend(self.rules.iter().filter_map(RuleRow::thresholds));
        self.unmatched(&mut lines, true, "what does not fit:");
        self.unmatched(&mut lines, false, "what comes to nothing, maybe as meant:");
        let problems = |row: &SetRow| {
            let set = row.set.clone();
            let lines = row
                .problems
                .iter()
                .map(|problem| format!("rule set `{set}`: {problem}"));
            lines.collect::<Vec<_>>()
        };
        lines.extend(self.sets.iter().flat_map(problems));
        if !self.warnings.is_empty() {
            lines.push("what rules may not mean:".to_owned());
            let rows = self.warnings.iter().take(LISTED);
            lines.extend(rows.map(|row| format!("  rule `{}`: {}", row.rule, row.warning)));
            more(&mut lines, self.warnings.len(), "of these");
        }
        lines.extend(
            self.passed_over
                .iter()
                .map(|file| format!("{file} was not read: its name does not tell what it holds; give `TOPIC=FILE`")),
        );
        lines.push(self.summary());
        lines
    }

    fn unmatched(&self, lines: &mut Vec<String>, mistake: bool, title: &str) {
        let rows: Vec<&UnmatchedRow> = self.unmatched.iter().filter(|row| row.mistake == mistake).collect();
        if rows.is_empty() {
            return;
        }
        lines.push(title.to_owned());
        lines.extend(rows.iter().take(LISTED).map(|row| row.for_people()));
        more(lines, rows.len(), "of these");
    }

    fn summary(&self) -> String {
        let limits = match self.limits {
            0 => String::new(),
            limits => format!("; {limits} limits of work under permit"),
        };
        let warnings = match self.warnings.len() {
            0 => String::new(),
            warnings => format!(", {warnings} warnings"),
        };
        let mistakes = self.unmatched.iter().filter(|row| row.mistake).count();
        format!(
            "{}: {} rules, {} assets, {} datastreams; {} refused, {} that do not fit{warnings}{limits}",
            if self.ok { "ok" } else { "not ok" },
            self.rules.len(),
            self.assets,
            self.datastreams,
            self.refused.len(),
            mistakes
        )
    }
}

fn more(lines: &mut Vec<String>, all: usize, what: &str) {
    if all > LISTED {
        lines.push(format!("  and {} more {what}; `--json` lists all", all - LISTED));
    }
}

impl RefusedRow {
    fn for_people(&self) -> Vec<String> {
        let mut lines = vec![format!("{} ({}): {}", self.place, self.topic, self.reason)];
        lines.extend(self.problems.iter().map(|problem| format!("  {problem}")));
        lines.push(match &self.in_force {
            Some(InForce {
                id,
                version: Some(version),
            }) => format!("  version {version} of `{id}` stays in force"),
            Some(InForce { id, version: None }) => format!("  the row that `{id}` had before stays in force"),
            None => "  nothing is in force in its place".to_owned(),
        });
        lines
    }
}

impl RuleRow {
    fn for_people(&self) -> Vec<String> {
        let datastreams = self.datastreams.iter().map(|id| &**id);
        let few: Vec<&str> = datastreams.chain(self.assets.iter().map(|id| &**id)).take(3).collect();
        // A rule watches the ones or the others.
        let all = self.datastreams.len() + self.assets.len();
        let dots = if all > few.len() { ", …" } else { "" };
        let what = if self.assets.is_empty() {
            "datastreams"
        } else {
            "assets"
        };
        let few = format!("{}{dots}", few.join(", "));
        vec![
            self.id.to_string(),
            self.version.to_string(),
            format!("{all} {what}"),
            few,
        ]
    }

    /// By whose thresholds its datastreams go, if not by its own.
    fn thresholds(&self) -> Option<String> {
        let of = self.thresholds_of.iter();
        let of: Vec<String> = of.map(|(whose, count)| format!("{whose} ({count})")).collect();
        let of = (!of.is_empty()).then(|| of.join(", "))?;
        Some(format!(
            "rule `{}`: so many datastreams go by thresholds of the {of}",
            self.id
        ))
    }
}

impl UnmatchedRow {
    fn for_people(&self) -> String {
        let about = (self.datastream.as_ref().map(|id| format!("datastream `{id}`")))
            .or_else(|| self.asset.as_ref().map(|id| format!("asset `{id}`")))
            .or_else(|| self.region.map(|code| format!("region `{code}`")))
            .or_else(|| self.rule.as_ref().map(|id| format!("rule `{id}`")));
        match about {
            Some(about) => format!("  {about}: {}", self.detail),
            None => format!("  {}", self.detail),
        }
    }
}
