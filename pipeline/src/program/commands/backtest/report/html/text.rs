//! What stands on the page: in both languages, and escaped.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use riskflow_model::{Level, Millis};

use crate::program::escape;

/// A text that others wrote, as text and nothing else. What cannot be seen is shown as a code.
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in escape::line(self.0).chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => fmt::Write::write_char(f, c)?,
            }
        }
        Ok(())
    }
}

/// A text of ours in Chinese and English; the page shows one of them.
#[derive(Clone, Copy)]
pub struct Both<'a>(pub &'a str, pub &'a str);

impl fmt::Display for Both<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (zh, en) = (Plain(self.0), Plain(self.1));
        write!(
            f,
            r#"<span class="zh" lang="zh">{zh}</span><span class="en" lang="en">{en}</span>"#
        )
    }
}

/// The same within a drawing: x, y, more attributes, and the text.
pub struct Label<'a>(pub f64, pub f64, pub &'a str, pub Both<'a>);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(x, y, more, Both(zh, en)) = self;
        for (class, text) in [("zh", zh), ("en", en)] {
            write!(
                f,
                r#"<text x="{x:.1}" y="{y:.1}" class="{class}" {more}>{}</text>"#,
                Plain(text)
            )?;
        }
        Ok(())
    }
}

/// What a level is called.
pub const fn level(level: Level) -> Both<'static> {
    match level {
        Level::None => Both("无", "none"),
        Level::Blue => Both("蓝色", "blue"),
        Level::Yellow => Both("黄色", "yellow"),
        Level::Orange => Both("橙色", "orange"),
        Level::Red => Both("红色", "red"),
    }
}

/// The colour of a level.
pub const fn colour(level: Level) -> &'static str {
    match level {
        Level::None => "#ffffff",
        Level::Blue => "#2f6fde",
        Level::Yellow => "#f5c400",
        Level::Orange => "#f08000",
        Level::Red => "#d0180b",
    }
}

/// What a domain is called.
pub fn domain(name: &str) -> Both<'_> {
    match name {
        "lifeline" => Both("城市生命线", "lifeline"),
        "public_safety" => Both("公共安全", "public safety"),
        "work_safety" => Both("生产安全", "work safety"),
        "natural_hazard" => Both("自然灾害", "natural hazard"),
        other => Both(other, other),
    }
}

/// A time as clocks of the city show it, to the minute.
pub fn local(time: Millis, zone: &TimeZone) -> String {
    let at = Timestamp::from_millisecond(time.0).map(|at| zone.to_datetime(at));
    at.map_or_else(|_| time.to_string(), |at| at.strftime("%Y-%m-%d %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_text_and_nothing_else() {
        let bad = "<script>alert(\"1\" & '2')</script>\u{202e}\u{1b}";
        let shown = Plain(bad).to_string();
        assert_eq!(
            shown,
            "&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;\\u202e\\u001b"
        );
        assert!(!Both(bad, bad).to_string().contains("<script"));
        assert!(!Label(0.0, 0.0, "", Both(bad, bad)).to_string().contains("<script"));
    }
}
