//! The report as one page that stands for itself: no network, no script, and nothing in it that others wrote but text.

mod curve;
mod draw;
mod swept;
mod tables;
mod text;
mod timeline;

use std::fmt::Write as _;

use jiff::tz::TimeZone;

use super::{Report, Set};
use text::{Both, Plain, level, local};

/// The page.
pub fn page(report: &Report, zone: &TimeZone) -> String {
    let mut out = String::from(concat!(
        "<!DOCTYPE html>\n<html lang=\"zh\"><head><meta charset=\"utf-8\">",
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">",
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        "<title>规则回测 / Back-test of rules</title><style>",
        include_str!("html/style.css"),
        "</style></head><body>",
        "<input class=\"lang\" type=\"radio\" name=\"lang\" id=\"lang-zh\" checked>",
        "<input class=\"lang\" type=\"radio\" name=\"lang\" id=\"lang-en\">",
    ));
    out += &draw::patterns();
    header(&mut out, report, zone);
    out += "<main>";
    headline(&mut out, report);
    notes(&mut out, report);
    section(
        &mut out,
        "timeline",
        Both("预警时间线", "Warnings over time"),
        &[
            draw::legend(!report.events.is_empty()),
            timeline::overview(report, zone),
            timeline::lanes(report, zone),
        ],
    );
    judged(&mut out, report, zone);
    by_group(&mut out, report);
    station(&mut out, report, zone);
    sweep(&mut out, report);
    if report.old.is_some() {
        let name = Both("逐条差别", "Differences one by one");
        section(&mut out, "differences", name, &[tables::differences(report, zone)]);
    }
    out += "</main>";
    footer(&mut out);
    out += "</body></html>\n";
    out
}

/// A part of the page under its heading; links lead to its name.
fn section(out: &mut String, id: &str, text: Both<'_>, parts: &[String]) {
    let _ = write!(out, "<section id=\"{id}\"><h2>{text}</h2>{}</section>", parts.concat());
}

fn header(out: &mut String, report: &Report, zone: &TimeZone) {
    let name = zone.iana_name().unwrap_or("UTC");
    let Both(zh, en) = level(report.level);
    let (from, until) = (local(report.from, zone), local(report.until, zone));
    let (zh, en) = (
        format!(
            "{from} 至 {until}({name});记录 {} 条;按{zh}及以上预警检验。",
            report.read.records
        ),
        format!(
            "{from} to {until} ({name}); {} records; warnings of level {en} and higher are judged.",
            report.read.records
        ),
    );
    let _ = write!(
        out,
        "<header><p class=\"switch\"><label for=\"lang-zh\">中文</label><label for=\"lang-en\">English</label></p><h1>{}</h1><p class=\"soft\">{}</p></header>",
        Both("规则回测报告", "Back-test of rules"),
        Both(&zh, &en)
    );
}

fn card(out: &mut String, name: Both<'_>, new: &str, old: Option<&str>) {
    let _ = write!(out, "<div class=\"card\"><small>{name}</small><b>{}</b>", Plain(new));
    if let Some(old) = old {
        let _ = write!(out, "<small>{} {}</small>", Both("旧规则", "old rules"), Plain(old));
    }
    out.push_str("</div>");
}

fn headline(out: &mut String, report: &Report) {
    out.push_str("<div class=\"cards\">");
    let mut both = |name, of: &dyn Fn(&Set) -> Option<String>| {
        if let Some(new) = of(&report.new) {
            card(out, name, &new, report.old.as_ref().and_then(of).as_deref());
        }
    };
    both(Both("预警", "warnings"), &|set| Some(set.warnings.to_string()));
    both(Both("预警总时长", "warnings lasted"), &|set| {
        Some(super::table::hours(set.lasted.0))
    });
    let hits = |set: &Set| {
        set.scores
            .as_ref()
            .map(|scores| format!("{} / {}", scores.hits, scores.events))
    };
    both(Both("命中 / 事件", "hits / events"), &hits);
    let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{:.0} %", ratio * 100.0));
    let false_alarms = |set: &Set| {
        let scores = set.scores.as_ref()?;
        Some(format!("{} ({})", scores.false_alarms, ratio(scores.far)))
    };
    both(Both("空报(空报率)", "false alarms (ratio)"), &false_alarms);
    let lead = |set: &Set| Some(super::table::length(set.scores.as_ref()?.lead.as_ref()?.median_ms));
    both(Both("提前量中位数", "median lead time"), &lead);
    if let Some(relations) = report.relations {
        card(
            out,
            Both("两套规则不同的预警", "warnings that differ"),
            &relations.different().to_string(),
            None,
        );
    }
    out.push_str("</div>");
    if let Some(relations) = report.relations {
        let zh = format!(
            "与旧规则相比:相同 {},级别不同 {},时间不同 {},级别和时间都不同 {},仅新规则有 {},仅旧规则有 {}。",
            relations.same,
            relations.level,
            relations.time,
            relations.level_and_time,
            relations.only_new,
            relations.only_old
        );
        let en = format!(
            "Beside the old rules: {} the same, {} at other levels, {} at other times, {} at both, {} only new, {} only old.",
            relations.same,
            relations.level,
            relations.time,
            relations.level_and_time,
            relations.only_new,
            relations.only_old
        );
        let _ = write!(out, "<p>{}</p>", Both(&zh, &en));
    }
    let named = [
        (Both("新规则", "new rules"), Some(&report.new)),
        (Both("旧规则", "old rules"), report.old.as_ref()),
    ];
    let named = named
        .into_iter()
        .filter_map(|(name, set)| Some((name.to_string(), set?)));
    *out += &tables::sets(named);
}

fn notes(out: &mut String, report: &Report) {
    if report.notes.is_empty() {
        return;
    }
    out.push_str("<div class=\"notes\">");
    for note in &report.notes {
        let _ = write!(out, "<p>{}</p>", Both(&note.zh, &note.en));
    }
    out.push_str("</div>");
}

fn judged(out: &mut String, report: &Report, zone: &TimeZone) {
    if report.new.scores.is_none() {
        return;
    }
    let lead = riskflow_model::duration::show(report.max_lead.0);
    let (zh, en) = (
        format!("命中:事件发生地在事件开始前 {lead} 至事件结束之间发出过达到级别的预警;没有对应事件的预警为空报。"),
        format!(
            "A hit is an event in whose place a warning of the level came from {lead} before its beginning until its end; a warning without an event is a false alarm."
        ),
    );
    let terms = format!("<p class=\"soft\">{}</p>", Both(&zh, &en));
    let (zh, en) = (
        format!("接近预警(达到阈值九成而未预警):{}", report.near_misses.len()),
        format!(
            "Near misses (nine tenths of the threshold, and no warning): {}",
            report.near_misses.len()
        ),
    );
    let near = format!(
        "<details><summary>{}</summary>{}</details>",
        Both(&zh, &en),
        tables::near_misses(report, zone)
    );
    let name = Both("与实际事件对照", "Beside what happened");
    section(out, "judged", name, &[terms, tables::events(report, zone), near]);
}

fn by_group(out: &mut String, report: &Report) {
    let county = tables::groups(Both("区县", "county"), &report.by_region, false);
    section(out, "county", Both("按区县", "By county"), &[county]);
    let rule = tables::groups(Both("规则", "rule"), &report.by_rule, false);
    section(out, "rule", Both("按规则", "By rule"), &[rule]);
    let domain = tables::groups(Both("领域", "domain"), &report.by_domain, true);
    section(out, "domain", Both("按领域", "By domain"), &[domain]);
}

fn station(out: &mut String, report: &Report, zone: &TimeZone) {
    let Some(station) = &report.station else { return };
    let names = format!(
        "<p>{} <small class=\"soft\">{}</small> · {} <small class=\"soft\">{}</small></p>",
        Plain(&station.asset_name),
        Plain(&station.datastream),
        Plain(&station.rule_name),
        Plain(&station.rule)
    );
    let drawn = curve::station(report, station, zone);
    section(out, "station", Both("测站曲线", "A station"), &[names, drawn]);
}

fn sweep(out: &mut String, report: &Report) {
    if report.sweep.is_empty() {
        return;
    }
    let named = report.sweep.iter();
    let named = named.map(|point| (Plain(&point.name).to_string(), &point.set));
    let parts = [swept::curve(report), tables::sets(named)];
    section(out, "sweep", Both("阈值扫描", "Sweep"), &parts);
}

fn footer(out: &mut String) {
    let _ = write!(
        out,
        "<footer>riskflow {} · {}</footer>",
        env!("CARGO_PKG_VERSION"),
        Both(
            "POD = 命中 / 事件;FAR = 空报 / 受检预警;CSI = 命中 /(命中 + 漏报 + 空报)。定义见 docs/backtest.md。",
            "POD = hits / events; FAR = false alarms / warnings judged; CSI = hits / (hits + misses + false alarms). Definitions: docs/backtest.md."
        )
    );
}
