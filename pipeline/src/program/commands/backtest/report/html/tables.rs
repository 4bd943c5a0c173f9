//! The tables of the page.

use std::fmt::{Display, Write as _};

use jiff::tz::TimeZone;

use super::super::super::compare::Relation;
use super::super::super::judge::Scores;
use super::super::table::{hours, lead, length};
use super::super::{Group, Report, Set, Warning};
use super::text::{Both, Plain, domain, level, local};

/// So many lines of each list.
const LISTED: usize = 200;

/// A table of these columns; the first holds text.
struct Table(String);

impl Table {
    fn new(header: &[Both<'_>]) -> Self {
        let mut out = String::from(r#"<div class="wide"><table><thead><tr>"#);
        for name in header {
            let _ = write!(out, "<th>{name}</th>");
        }
        out.push_str("</tr></thead><tbody>");
        Self(out)
    }

    /// Cells that are escaped already.
    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.push_str("<tr>");
        for cell in cells {
            let _ = write!(self.0, "<td>{cell}</td>");
        }
        self.0.push_str("</tr>");
    }

    fn end(mut self, all: usize) -> String {
        self.0.push_str("</tbody></table></div>");
        if all > LISTED {
            let more = all - LISTED;
            let (zh, en) = (
                format!("另有 {more} 条,见 JSON。"),
                format!("{more} more: see the JSON."),
            );
            let _ = write!(self.0, r#"<p class="soft">{}</p>"#, Both(&zh, &en));
        }
        self.0
    }
}

fn shown(value: impl Display) -> String {
    value.to_string()
}

fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"))
}

const SCORES: [Both<'static>; 9] = [
    Both("事件", "events"),
    Both("命中", "hits"),
    Both("漏报", "misses"),
    Both("受检预警", "judged"),
    Both("空报", "false alarms"),
    Both("命中率 POD", "POD"),
    Both("空报率 FAR", "FAR"),
    Both("CSI", "CSI"),
    Both("提前量(四分位、中位、四分位)", "lead (quartile, median, quartile)"),
];

fn scores(scores: &Scores) -> Vec<String> {
    let counts = [
        scores.events,
        scores.hits,
        scores.misses,
        scores.warnings,
        scores.false_alarms,
    ];
    let mut cells: Vec<String> = counts.map(|count| count.to_string()).to_vec();
    cells.extend([scores.pod, scores.far, scores.csi].map(ratio));
    cells.push(scores.lead.as_ref().map_or_else(|| "–".to_owned(), lead));
    cells
}

const SET: [Both<'static>; 7] = [
    Both("预警", "warnings"),
    Both("蓝", "blue"),
    Both("黄", "yellow"),
    Both("橙", "orange"),
    Both("红", "red"),
    Both("撤回", "withdrawn"),
    Both("总时长", "lasted"),
];

fn set(set: &Set) -> Vec<String> {
    let mut cells = vec![set.warnings.to_string()];
    cells.extend(set.by_peak.map(|count| count.to_string()));
    cells.extend([set.withdrawn.to_string(), hours(set.lasted.0)]);
    cells
}

/// Sets, one a line.
pub fn sets<'a>(named: impl Iterator<Item = (String, &'a Set)>) -> String {
    let mut table: Option<Table> = None;
    for (name, one) in named {
        let header = || {
            let of_scores = one.scores.iter().flat_map(|_| SCORES);
            Table::new(
                &[Both("规则集", "set")]
                    .into_iter()
                    .chain(SET)
                    .chain(of_scores)
                    .collect::<Vec<_>>(),
            )
        };
        let of_scores = one.scores.iter().flat_map(scores);
        let cells = [name].into_iter().chain(set(one)).chain(of_scores);
        table.get_or_insert_with(header).row(cells);
    }
    table.map_or_else(String::new, |table| table.end(0))
}

/// Groups, one a line.
pub fn groups(what: Both<'_>, groups: &[Group], is_domain: bool) -> String {
    let has_old = groups.iter().any(|group| group.old_warnings.is_some());
    let has_scores = groups.iter().any(|group| group.new_scores.is_some());
    let mut header = vec![what, Both("新:预警", "new: warnings"), Both("时长", "lasted")];
    if has_old {
        header.extend([
            Both("旧:预警", "old: warnings"),
            Both("时长", "lasted"),
            Both("仅新", "only new"),
            Both("仅旧", "only old"),
            Both("级别或时间不同", "level or time differs"),
        ]);
    }
    if has_scores {
        header.extend([
            Both("命中", "hits"),
            Both("漏报", "misses"),
            Both("空报", "false alarms"),
        ]);
    }
    let mut table = Table::new(&header);
    for group in groups {
        let name = match (is_domain, group.name.is_empty()) {
            (true, _) => shown(domain(&group.id)),
            (false, true) => shown(Plain(&group.id)),
            (false, false) => format!(
                "{} <small class=\"soft\">{}</small>",
                Plain(&group.name),
                Plain(&group.id)
            ),
        };
        let mut cells = vec![name, group.new_warnings.to_string(), hours(group.new_lasted.0)];
        if let (Some(warnings), Some(lasted), Some(relations)) = (group.old_warnings, group.old_lasted, group.relations)
        {
            let both = relations.level + relations.time + relations.level_and_time;
            cells.extend([warnings.to_string(), hours(lasted.0)]);
            cells.extend([relations.only_new, relations.only_old, both].map(|count| count.to_string()));
        }
        if let Some(scores) = &group.new_scores {
            cells.extend([scores.hits, scores.misses, scores.false_alarms].map(|count| count.to_string()));
        }
        table.row(cells);
    }
    table.end(0)
}

fn relation(relation: Relation) -> Both<'static> {
    match relation {
        Relation::Same => Both("相同", "the same"),
        Relation::Level => Both("级别不同", "level"),
        Relation::Time => Both("时间不同", "time"),
        Relation::LevelAndTime => Both("级别和时间不同", "level and time"),
        Relation::OnlyNew => Both("仅新规则", "only new"),
        Relation::OnlyOld => Both("仅旧规则", "only old"),
    }
}

fn warning(warning: Option<&Warning>, zone: &TimeZone) -> String {
    let Some(one) = warning else { return "–".to_owned() };
    let open = || shown(Both("结束时仍有效", "open at the end"));
    let until = one.until.map_or_else(open, |until| local(until, zone));
    format!("{} {} – {until}", level(one.peak), local(one.since, zone))
}

/// What differs, one by one.
pub fn differences(report: &Report, zone: &TimeZone) -> String {
    let mut table = Table::new(&[
        Both("对象", "asset"),
        Both("规则", "rule"),
        Both("差别", "difference"),
        Both("新规则", "new rules"),
        Both("旧规则", "old rules"),
    ]);
    for one in report.differences.iter().take(LISTED) {
        let either = one.new.as_ref().or(one.old.as_ref());
        let name = |of: fn(&Warning) -> &str| either.map_or_else(String::new, |one| shown(Plain(of(one))));
        table.row([
            name(|one| &one.asset),
            name(|one| &one.rule),
            shown(relation(one.relation)),
            warning(one.new.as_ref(), zone),
            warning(one.old.as_ref(), zone),
        ]);
    }
    table.end(report.differences.len())
}

/// What happened, one by one: those that were missed first.
pub fn events(report: &Report, zone: &TimeZone) -> String {
    let mut header = vec![
        Both("地点", "place"),
        Both("开始", "from"),
        Both("结束", "to"),
        Both("新规则提前量", "lead of the new rules"),
    ];
    header.extend(report.old.iter().map(|_| Both("旧规则提前量", "lead of the old rules")));
    let mut table = Table::new(&header);
    let mut events: Vec<_> = report.events.iter().collect();
    events.sort_by_key(|one| one.new_lead_ms.is_some());
    let lead = |lead: Option<i64>| lead.map_or_else(|| format!("<b>{}</b>", Both("漏报", "missed")), length);
    for one in events.into_iter().take(LISTED) {
        let event = &one.event;
        let mut cells = vec![
            shown(Plain(&event.place)),
            local(event.from, zone),
            local(event.to, zone),
            lead(one.new_lead_ms),
        ];
        cells.extend(report.old.iter().map(|_| lead(one.old_lead_ms)));
        table.row(cells);
    }
    table.end(report.events.len())
}

/// What almost was a warning, one by one.
pub fn near_misses(report: &Report, zone: &TimeZone) -> String {
    let mut table = Table::new(&[
        Both("对象", "asset"),
        Both("规则", "rule"),
        Both("接近的级别和时间", "level that was near, and when"),
    ]);
    for one in report.near_misses.iter().take(LISTED) {
        table.row([
            shown(Plain(&one.asset)),
            shown(Plain(&one.rule)),
            warning(Some(one), zone),
        ]);
    }
    table.end(report.near_misses.len())
}
