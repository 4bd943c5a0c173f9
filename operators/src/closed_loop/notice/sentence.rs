//! A notice in one sentence, in Chinese and in English, for whatever sends it on.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use riskflow_model::limit::TEXT_BYTES;
use riskflow_model::output::{Notice, NoticeEvent};
use riskflow_model::{Level, Millis, Text, duration, shortened};

/// Writes the sentences of a notice that is complete but for them. Times are those of the zone. Of one that is longer than
/// [`TEXT_BYTES`], for names may be long, the middle is cut.
pub fn write(notice: &mut Notice, zone: &TimeZone) {
    notice.text_zh = shortened(&chinese(notice, zone), TEXT_BYTES).into();
    notice.text_en = shortened(&english(notice, zone), TEXT_BYTES).into();
}

/// A name where there is one, else the identifier.
/// What would break a line, or turn it round, is a blank in it.
fn name(name: &Text, id: &str) -> String {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let plain = |text: &str| text.replace(breaks, " ");
    let name = plain(name);
    if name.trim().is_empty() { plain(id) } else { name }
}

/// A local time; one that the calendar does not hold as it stands.
fn local(time: Millis, zone: &TimeZone, format: &str) -> String {
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(stamp) => stamp.to_zoned_datetime(zone.clone()).strftime(format).to_string(),
        Err(_) => time.to_string(),
    }
}

fn chinese(notice: &Notice, zone: &TimeZone) -> String {
    let level = match notice.level {
        Level::None => "",
        Level::Blue => "蓝色",
        Level::Yellow => "黄色",
        Level::Orange => "橙色",
        Level::Red => "红色",
    };
    let kind = if notice.incident { "警情" } else { "预警" };
    let title = match notice.event {
        NoticeEvent::Issued => format!("{level}{kind}"),
        NoticeEvent::Escalated => format!("{level}{kind}升级"),
        NoticeEvent::Cleared => format!("{kind}解除"),
        NoticeEvent::Withdrawn => format!("{kind}撤回"),
        NoticeEvent::Resumed => format!("{level}{kind}持续"),
        NoticeEvent::Flapping => format!("{level}{kind}频繁波动"),
        NoticeEvent::Reminder => format!("{level}{kind}催办{}", number(notice, "第", "次")),
    };
    let mut text = format!("【{title}】{}", name(&notice.region_name, &notice.region.to_string()));
    if let Some(asset) = &notice.asset {
        let _ = write!(text, "·{}", name(&notice.asset_name, asset));
    }
    let _ = write!(text, "：{}", name(&notice.rule_name, &notice.rule));
    if !notice.feature.is_empty() {
        let feature = chinese_feature(&notice.feature);
        let _ = match notice.value {
            Some(value) => write!(text, "，{feature} {}{}", value.0, unit(&notice.value_unit)),
            None => write!(text, "，{feature}未知"),
        };
        if let Some(valid) = notice.valid_time {
            let _ = write!(text, "（预计{}）", local(valid, zone, "%Y年%-m月%-d日%H:%M"));
        } else if notice.forecast {
            text.push_str("（据预报）");
        }
    }
    let time = |time| local(time, zone, "%Y年%-m月%-d日%H:%M");
    let _ = write!(text, "，{}起。", time(notice.since));
    let _ = match (notice.event, notice.due) {
        (NoticeEvent::Issued, Some(due)) => write!(text, "请于{}前确认。", time(due)),
        (NoticeEvent::Issued, None) => write!(text, "请确认。"),
        (NoticeEvent::Escalated, _) => write!(text, "下级单位逾期未处置，或请求支援。"),
        (NoticeEvent::Cleared, _) => write!(text, "现已结束。"),
        (NoticeEvent::Withdrawn, _) => write!(text, "按现有数据，该{kind}不成立。"),
        (NoticeEvent::Resumed, _) => write!(text, "此前的解除作废，无需重新确认。"),
        (NoticeEvent::Flapping, _) => write!(text, "短时间内反复出现，平稳之前不再通知解除。"),
        (NoticeEvent::Reminder, Some(due)) => write!(text, "至今无人确认，请确认（时限{}）。", time(due)),
        (NoticeEvent::Reminder, None) => write!(text, "至今无人确认，请确认。"),
    };
    text
}

fn english(notice: &Notice, zone: &TimeZone) -> String {
    let level = match notice.level {
        Level::None => "",
        Level::Blue => "Blue ",
        Level::Yellow => "Yellow ",
        Level::Orange => "Orange ",
        Level::Red => "Red ",
    };
    let kind = if notice.incident { "incident" } else { "warning" };
    let title = match notice.event {
        NoticeEvent::Issued => format!("{level}{kind}"),
        NoticeEvent::Escalated => format!("{level}{kind}, escalated"),
        NoticeEvent::Cleared => format!("End of a {kind}"),
        NoticeEvent::Withdrawn => format!("Withdrawn {kind}"),
        NoticeEvent::Resumed => format!("{level}{kind} goes on"),
        NoticeEvent::Flapping => format!("{level}{kind} comes and goes"),
        NoticeEvent::Reminder => format!("{level}{kind}, reminder{}", number(notice, " ", "")),
    };
    let mut text = format!("{title}: ");
    if let Some(asset) = &notice.asset {
        let _ = write!(text, "{}, ", name(&notice.asset_name, asset));
    }
    let region = notice.region.to_string();
    let _ = write!(
        text,
        "{}: {}",
        name(&notice.region_name, &region),
        name(&notice.rule_name, &notice.rule)
    );
    if !notice.feature.is_empty() {
        let feature = &notice.feature;
        let _ = match notice.value {
            Some(value) => write!(text, ", {feature} is {}{}", value.0, unit(&notice.value_unit)),
            None => write!(text, ", {feature} is unknown"),
        };
        if let Some(valid) = notice.valid_time {
            let _ = write!(text, " (expected at {})", local(valid, zone, "%Y-%m-%d %H:%M %:z"));
        } else if notice.forecast {
            text.push_str(" (by forecast)");
        }
    }
    let time = |time| local(time, zone, "%Y-%m-%d %H:%M %:z");
    let _ = write!(text, ", since {}.", time(notice.since));
    let _ = match (notice.event, notice.due) {
        (NoticeEvent::Issued, Some(due)) => write!(text, " Acknowledge it by {}.", time(due)),
        (NoticeEvent::Issued, None) => write!(text, " Acknowledge it."),
        (NoticeEvent::Escalated, _) => write!(text, " A unit below missed a deadline, or asks for help."),
        (NoticeEvent::Cleared, _) => write!(text, " It is over."),
        (NoticeEvent::Withdrawn, _) => write!(text, " By what is known now, it never was."),
        (NoticeEvent::Resumed, _) => write!(text, " The end that was told was none; nobody need acknowledge anew."),
        (NoticeEvent::Flapping, _) => write!(text, " Ends are not told until there is calm."),
        (NoticeEvent::Reminder, Some(due)) => {
            let due = time(due);
            write!(text, " Nobody acknowledged it yet. Acknowledge it; it is due by {due}.")
        }
        (NoticeEvent::Reminder, None) => write!(text, " Nobody acknowledged it yet. Acknowledge it."),
    };
    text
}

/// The number of a reminder.
fn number(notice: &Notice, before: &str, behind: &str) -> String {
    let number = notice.reminder.map(|reminder| reminder.number);
    number.map_or_else(String::new, |number| format!("{before}{number}{behind}"))
}

/// A unit behind a number.
fn unit(unit: &str) -> String {
    if unit.is_empty() {
        String::new()
    } else {
        format!(" {unit}")
    }
}

/// A feature as people read it, such as `sum 12h` or `forecast max 6h`; another one as it stands.
fn chinese_feature(feature: &str) -> String {
    let (head, forecast) = match feature.strip_prefix("forecast ") {
        Some(rest) => (rest, true),
        None => (feature, false),
    };
    let (kind, window) = head.split_once(' ').unwrap_or((head, ""));
    let kind = match kind {
        "last" => "最新值",
        "min" => "最小值",
        "max" => "最大值",
        "mean" => "平均值",
        "sum" => "累计值",
        "count" => "次数",
        "rate" => "每小时变化",
        "silence" => "无数据时长",
        "range" => "最大变幅",
        "drop" => "自最高值降幅",
        "rise" => "自最低值升幅",
        "deviation" => "标准差",
        "increase" => "增量",
        "slope" => "每小时趋势",
        "projected" => return projected(window).unwrap_or_else(|| feature.to_owned()),
        _ => return feature.to_owned(),
    };
    if window.is_empty() || kind == "最新值" {
        return kind.to_owned();
    }
    match (chinese_window(window), forecast) {
        (Some(window), true) => format!("未来{window}预报{kind}"),
        (Some(window), false) => format!("{window}{kind}"),
        (None, _) => feature.to_owned(),
    }
}

/// What a result will be, such as `3h ahead 2h`: the window whose rate it is, and how far ahead.
fn projected(rest: &str) -> Option<String> {
    let (window, ahead) = rest.split_once(" ahead ")?;
    Some(format!(
        "按{}趋势{}后预计值",
        chinese_window(window)?,
        chinese_window(ahead)?
    ))
}

/// A window: of a length, or of the calendar as of now.
fn chinese_window(window: &str) -> Option<String> {
    match window.split_once(" from ") {
        Some(("day", from)) if !from.contains(' ') => return Some(format!("{from}起当日")),
        None if window == "day" => return Some("当日".to_owned()),
        None if window == "hour" => return Some("本小时".to_owned()),
        _ => {}
    }
    let millis = duration::parse(window).ok()?;
    let units = [
        (86_400_000, "天"),
        (3_600_000, "小时"),
        (60_000, "分钟"),
        (1_000, "秒"),
        (1, "毫秒"),
    ];
    let whole = units.iter().find(|(size, _)| millis % size == 0);
    whole.map(|(size, name)| format!("{}{name}", millis / size))
}

#[cfg(test)]
mod tests {
    use riskflow_model::Number;
    use serde_json::json;

    use super::*;

    fn notice(event: &str, level: &str) -> Notice {
        let row = json!({
            "id": "n", "case": "c", "event": event, "user": "wang", "channel": "sms", "unit": "town", "role": "duty",
            "level": level, "due": "2026-11-26T06:35:00Z", "rule": "rain", "rule_name": "山洪雨量", "asset": "r-1",
            "asset_name": "虹桥水库", "domain": "natural_hazard", "region": "330902001", "region_name": "环南街道",
            "since": "2026-11-26T06:05:00Z", "reminder": {"number": 3, "at": "2026-11-26T06:20:00Z"}, "feature": "sum 12h", "value": 52.3, "value_unit": "mm", "text_zh": "", "text_en": "",
        });
        serde_json::from_value(row).unwrap()
    }

    fn said(mut notice: Notice, zone: &str) -> [String; 2] {
        write(&mut notice, &TimeZone::get(zone).unwrap());
        [notice.text_zh.to_string(), notice.text_en.to_string()]
    }

    #[test]
    fn each_event_has_its_sentence_in_local_time() {
        for (event, level, zh, en) in [
            (
                "issued",
                "orange",
                "【橙色预警】环南街道·虹桥水库：山洪雨量，12小时累计值 52.3 mm，2026年11月26日14:05起。请于2026年11月26日14:35前确认。",
                "Orange warning: 虹桥水库, 环南街道: 山洪雨量, sum 12h is 52.3 mm, since 2026-11-26 14:05 +08:00. Acknowledge it by 2026-11-26 14:35 +08:00.",
            ),
            (
                "cleared",
                "none",
                "【预警解除】环南街道·虹桥水库：山洪雨量，12小时累计值 52.3 mm，2026年11月26日14:05起。现已结束。",
                "End of a warning: 虹桥水库, 环南街道: 山洪雨量, sum 12h is 52.3 mm, since 2026-11-26 14:05 +08:00. It is over.",
            ),
            (
                "flapping",
                "red",
                "【红色预警频繁波动】环南街道·虹桥水库：山洪雨量，12小时累计值 52.3 mm，2026年11月26日14:05起。短时间内反复出现，平稳之前不再通知解除。",
                "Red warning comes and goes: 虹桥水库, 环南街道: 山洪雨量, sum 12h is 52.3 mm, since 2026-11-26 14:05 +08:00. Ends are not told until there is calm.",
            ),
            (
                "reminder",
                "red",
                "【红色预警催办第3次】环南街道·虹桥水库：山洪雨量，12小时累计值 52.3 mm，2026年11月26日14:05起。至今无人确认，请确认（时限2026年11月26日14:35）。",
                "Red warning, reminder 3: 虹桥水库, 环南街道: 山洪雨量, sum 12h is 52.3 mm, since 2026-11-26 14:05 +08:00. Nobody acknowledged it yet. Acknowledge it; it is due by 2026-11-26 14:35 +08:00.",
            ),
        ] {
            assert_eq!(said(notice(event, level), "Asia/Shanghai"), [zh, en], "{event}");
        }
        for event in NoticeEvent::ALL {
            let both = said(notice(event.name(), "blue"), "Asia/Shanghai");
            assert!(both[0].ends_with('。') && both[1].ends_with('.'), "{both:?}");
        }
    }

    #[test]
    fn what_is_forecast_is_said_to_be() {
        let mut expected = notice("issued", "blue");
        (expected.feature, expected.forecast, expected.due) = ("forecast sum 6h".into(), true, None);
        let [zh, en] = said(expected, "UTC");
        assert!(zh.contains("，未来6小时预报累计值 52.3 mm（据预报），"), "{zh}");
        assert!(en.contains(", forecast sum 6h is 52.3 mm (by forecast), since"), "{en}");
        let mut highest = notice("issued", "blue");
        (highest.feature, highest.forecast) = ("forecast max 6h".into(), true);
        highest.valid_time = Some(highest.since);
        let [zh, en] = said(highest, "UTC");
        assert!(
            zh.contains("，未来6小时预报最大值 52.3 mm（预计2026年11月26日06:05），"),
            "{zh}"
        );
        assert!(
            en.contains("is 52.3 mm (expected at 2026-11-26 06:05 +00:00), since"),
            "{en}"
        );
    }

    #[test]
    fn features_are_called_by_their_names() {
        for (feature, zh) in [
            ("sum 90m", "90分钟累计值"),
            ("forecast min 1d", "未来1天预报最小值"),
            ("sum day from 08:00", "08:00起当日累计值"),
            ("max hour", "本小时最大值"),
            ("max day ago 1", "max day ago 1"),
            ("quantile 0.9 1h", "quantile 0.9 1h"),
            ("count 1h of >= 50", "count 1h of >= 50"),
        ] {
            assert_eq!(chinese_feature(feature), zh);
        }
    }

    #[test]
    fn what_has_no_name_has_its_identifier() {
        let mut bare = notice("issued", "blue");
        (bare.rule_name, bare.asset_name, bare.region_name) = ("".into(), "".into(), "".into());
        (bare.value, bare.due) = (None, None);
        bare.feature = "silence".into();
        assert_eq!(
            said(bare, "Europe/London"),
            [
                "【蓝色预警】330902001·r-1：rain，无数据时长未知，2026年11月26日06:05起。请确认。",
                "Blue warning: r-1, 330902001: rain, silence is unknown, since 2026-11-26 06:05 +00:00. Acknowledge it.",
            ]
        );
        let mut incident = notice("escalated", "red");
        (incident.incident, incident.asset) = (true, None);
        (incident.feature, incident.value) = ("".into(), Some(Number(1.0)));
        let [zh, en] = said(incident, "UTC");
        assert!(zh.starts_with("【红色警情升级】环南街道：山洪雨量，2026"), "{zh}");
        assert!(
            en.starts_with("Red incident, escalated: 环南街道: 山洪雨量, since"),
            "{en}"
        );
    }

    /// A warning whose rule is gone rests on nothing any more, and is one all the same.
    #[test]
    fn a_warning_without_a_value_is_no_incident() {
        let mut gone = notice("withdrawn", "none");
        (gone.feature, gone.value) = ("".into(), None);
        let [zh, en] = said(gone, "UTC");
        assert!(zh.starts_with("【预警撤回】环南街道·虹桥水库：山洪雨量，2026"), "{zh}");
        assert!(
            en.starts_with("Withdrawn warning: ") && en.ends_with("it never was."),
            "{en}"
        );
    }

    #[test]
    fn what_would_break_a_line_is_a_blank_in_it() {
        let mut odd = notice("issued", "blue");
        (odd.asset_name, odd.region_name) = ("一\n二\u{202e}".into(), " \u{3000}\t".into());
        let [zh, _] = said(odd, "UTC");
        assert!(zh.starts_with("【蓝色预警】330902001·一 二 ："), "{zh}");
    }

    #[test]
    fn windows_are_told_in_whole_units() {
        for (feature, zh) in [
            ("sum 12h", "12小时累计值"),
            ("mean 90m", "90分钟平均值"),
            ("max 2d", "2天最大值"),
            ("last 1m", "最新值"),
            ("concurrent_work of hot_work", "concurrent_work of hot_work"),
        ] {
            assert_eq!(chinese_feature(feature), zh);
        }
    }
}
