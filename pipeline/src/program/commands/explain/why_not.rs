//! What the rules said of an asset, in lines: each level with its condition, the values against the thresholds, and what it waits for.

use std::fmt::Write as _;

use riskflow_model::Millis;
use riskflow_operators::warning::{Judged, Look, LookedLevel, Truth, Weighed};

use super::super::tail::people::{DIM, Names, called, coloured, level, plain};
use super::asset::Answer;
use super::evidence;

/// The answer in lines.
pub fn for_people(answer: &Answer, names: &Names) -> Vec<String> {
    let asset = &answer.asset;
    let mut lines = vec![format!(
        "{}, {}, {}, inherent level {}",
        called(&asset.name, &asset.id),
        plain(&asset.category),
        plain(&names.of(asset.region)),
        asset.inherent_level.get()
    )];
    lines.push(format!("at {}, by what had arrived at {}:", answer.at, answer.as_of));
    if answer.rules.is_empty() {
        lines.push(String::new());
        lines.push(nobody_watches(answer));
    }
    for look in &answer.rules {
        lines.push(String::new());
        lines.extend(rule(look, answer));
    }
    if !answer.not_selected.is_empty() {
        lines.push(String::new());
        lines.push("rules that do not watch it:".to_owned());
        let why = |one: &super::asset::NotSelected| format!("  {}: {}", plain(&one.rule), plain(&one.why));
        lines.extend(answer.not_selected.iter().map(why));
    }
    for note in &answer.notes {
        lines.push(String::new());
        lines.push(plain(note));
    }
    lines
}

fn nobody_watches(answer: &Answer) -> String {
    if answer.datastreams.is_empty() {
        return "no datastream is of it, so no rule watches it".to_owned();
    }
    let datastreams: Vec<String> = answer.datastreams.iter().map(|id| plain(id)).collect();
    let more = if answer.not_selected.is_empty() {
        "; `--all-rules` says why not"
    } else {
        ""
    };
    format!(
        "no rule that was asked about watches any of its datastreams, {}{more}",
        datastreams.join(", ")
    )
}

/// One rule on one datastream.
fn rule(look: &Look, answer: &Answer) -> Vec<String> {
    let since = look.since.map_or_else(String::new, |since| format!(" since {since}"));
    let stale = if look.stale {
        ", stale: it stands only for want of observations"
    } else {
        ""
    };
    let mut lines = vec![format!(
        "{}, version {}, on {}: {}{since}{stale}",
        called(&look.rule_name, &look.rule),
        look.rule_version,
        plain(&look.datastream),
        coloured(look.level)
    )];
    let warned = answer.warnings.iter().find(|warned| warned.rule == look.rule);
    if let Some(warned) = warned {
        let (height, since) = (coloured(warned.level), warned.since);
        lines.push(format!("  its warning at the asset: {height}, since {since}"));
    }
    match look.begins {
        Some(begins) if look.levels.is_empty() => lines.push(format!(
            "  not judged: the rule or its thresholds came or changed later, and look back to {begins} only; up to there it is as it was"
        )),
        _ => lines.extend(look.levels.iter().flat_map(|one| of_level(one, answer.at))),
    }
    lines
}

/// One level: whether it is on, and each comparison.
fn of_level(one: &LookedLevel, at: Millis) -> Vec<String> {
    let several = one.when.comparisons.len() > 1 || one.when.comparisons.is_empty();
    let mut lines = vec![format!("  {}  {}", level(one.level), standing(one, at))];
    if several {
        lines.push(format!(
            "          {}: {}",
            plain(&one.when.condition),
            truth(one.when.truth)
        ));
    }
    lines.extend(one.when.comparisons.iter().map(compared));
    if one.on && one.when.truth != Truth::Yes {
        lines.extend(one.until.as_ref().map(|until| turns_off("turns off where", until)));
        lines.extend(
            one.moved
                .as_ref()
                .map(|moved| turns_off("turns off where this is false:", moved)),
        );
    }
    lines
}

/// Whether it is on, and what it waits for.
fn standing(one: &LookedLevel, at: Millis) -> String {
    let left = |turns: Option<Millis>| turns.map_or_else(|| "?".to_owned(), |turns| (turns - at).to_string());
    match (one.on, one.held_since, one.clear_since) {
        (true, _, Some(since)) => {
            let on = since_text(one.on_since);
            let (left, clear) = (left(one.turns), one.clear);
            format!(
                "on{on}, about to turn off: what turns it off lasts since {since}, {left} more is needed (clear {clear})"
            )
        }
        (true, ..) => format!("on{}", since_text(one.on_since)),
        (false, Some(since), _) => {
            let (left, hold) = (left(one.turns), one.hold);
            format!("off: holds since {since}, and must for {left} more (hold {hold})")
        }
        (false, None, _) => format!("off: {}", truth(one.when.truth)),
    }
}

fn since_text(since: Option<Millis>) -> String {
    since.map_or_else(String::new, |since| format!(" since {since}"))
}

const fn truth(truth: Truth) -> &'static str {
    match truth {
        Truth::No => "does not hold",
        Truth::Unknown => "unknown",
        Truth::Yes => "holds",
        Truth::Absent => "no threshold is given",
    }
}

fn compared(one: &Weighed) -> String {
    let feature = &one.feature;
    let mut line = format!("          {}: ", plain(&one.comparison));
    if feature.value.is_some() || one.truth != Truth::Unknown {
        let _ = write!(line, "{}, ", evidence::value(feature));
    }
    line.push_str(truth(one.truth));
    if let Some(reaches) = one.reaches {
        let _ = write!(line, ", at this rate reached at {reaches}");
        if let Some(last) = feature.last {
            let _ = write!(line, ", {} after the last observation", reaches - last.time);
        }
    }
    if let Some(whose) = &one.whose {
        let _ = write!(line, " ({})", evidence::whose(whose));
    }
    let _ = write!(line, "  {DIM}{}{DIM:#}", evidence::observations(feature));
    line
}

fn turns_off(how: &str, judged: &Judged) -> String {
    format!("          {how} {}: {}", plain(&judged.condition), truth(judged.truth))
}
