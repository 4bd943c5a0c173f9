//! What is told: of warnings, and to people. Expected and got are written alike; what an expected one does not give may be anything.

use super::after::After;
use super::format::{Delta, NoticeOf};

/// So many fields it has at most.
pub const FIELDS: usize = 10;

/// A field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    Text(&'a str),
    Number(i64),
}

/// Something that is told.
pub trait Told {
    /// Its fields in an order that is theirs; `None` where it does not give one.
    fn fields(&self) -> [Option<Field<'_>>; FIELDS];

    /// By which time it is put in order; one that says nothing of it comes last.
    fn when(&self) -> After;

    /// In one line. What is not given is left out.
    fn shown(&self) -> String;
}

fn text(field: &Option<String>) -> Option<Field<'_>> {
    field.as_deref().map(Field::Text)
}

fn time(field: Option<After>) -> Option<Field<'static>> {
    field.map(|After(at)| Field::Number(at))
}

fn number(field: Option<i64>) -> Option<Field<'static>> {
    field.map(Field::Number)
}

/// `rain/gauge-1`, if either is given.
fn place(rule: &Option<String>, asset: &Option<String>) -> Option<String> {
    let or_any = |part: &Option<String>| part.clone().unwrap_or_else(|| "*".to_owned());
    (rule.is_some() || asset.is_some()).then(|| format!("{}/{}", or_any(rule), or_any(asset)))
}

fn together(parts: &[String]) -> String {
    match parts {
        [] => "anything".to_owned(),
        parts => parts.join(" "),
    }
}

impl Told for Delta {
    fn fields(&self) -> [Option<Field<'_>>; FIELDS] {
        [
            number(self.kind.map(|kind| kind as i64)),
            text(&self.rule),
            text(&self.asset),
            number(self.level.map(|level| level as i64)),
            number(self.from.map(|level| level as i64)),
            number(self.to.map(|level| level as i64)),
            time(self.at),
            time(self.since),
            time(self.told),
            number(self.cause.map(|cause| cause as i64)),
        ]
    }

    fn when(&self) -> After {
        let time = self.told.or(self.at).or(self.since);
        time.unwrap_or(After(i64::MAX))
    }

    /// `raised rain/gauge-1 none -> blue at 40m since 40m told 41m by data`.
    fn shown(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.kind.map(|kind| kind.name().to_owned()));
        parts.extend(place(&self.rule, &self.asset));
        match (self.from, self.to, self.level) {
            (Some(from), Some(to), _) => parts.push(format!("{from} -> {to}")),
            (from, to, level) => {
                parts.extend(level.map(|level| level.to_string()));
                parts.extend(from.map(|from| format!("from {from}")));
                parts.extend(to.map(|to| format!("to {to}")));
            }
        }
        parts.extend(self.at.map(|at| format!("at {at}")));
        parts.extend(self.since.map(|since| format!("since {since}")));
        parts.extend(self.told.map(|told| format!("told {told}")));
        let cause = self.cause.and_then(|cause| serde_json::to_value(cause).ok());
        parts.extend(cause.and_then(|cause| Some(format!("by {}", cause.as_str()?))));
        together(&parts)
    }
}

impl Told for NoticeOf {
    fn fields(&self) -> [Option<Field<'_>>; FIELDS] {
        [
            number(self.event.map(|event| event as i64)),
            text(&self.user),
            text(&self.unit),
            text(&self.role),
            text(&self.rule),
            text(&self.asset),
            number(self.level.map(|level| level as i64)),
            time(self.told),
            time(self.due),
            None,
        ]
    }

    fn when(&self) -> After {
        self.told.unwrap_or(After(i64::MAX))
    }

    /// `issued to li (town duty) rain/gauge-1 blue told 41m due 51m`.
    fn shown(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.event.map(|event| event.name().to_owned()));
        parts.extend(self.user.as_ref().map(|user| format!("to {user}")));
        let post: Vec<&str> = [&self.unit, &self.role]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        if !post.is_empty() {
            parts.push(format!("({})", post.join(" ")));
        }
        parts.extend(place(&self.rule, &self.asset));
        parts.extend(self.level.map(|level| level.to_string()));
        parts.extend(self.told.map(|told| format!("told {told}")));
        parts.extend(self.due.map(|due| format!("due {due}")));
        together(&parts)
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::Level;
    use riskflow_model::output::NoticeEvent;

    use super::*;

    #[test]
    fn a_notice_is_one_line() {
        let notice = NoticeOf {
            event: Some(NoticeEvent::Issued),
            user: Some("li".to_owned()),
            unit: Some("town".to_owned()),
            role: Some("duty".to_owned()),
            rule: Some("rain".to_owned()),
            asset: Some("gauge".to_owned()),
            level: Some(Level::Blue),
            told: Some(After(60_000)),
            due: Some(After(660_000)),
        };
        assert_eq!(
            notice.shown(),
            "issued to li (town duty) rain/gauge blue told 1m due 11m"
        );
        assert_eq!(NoticeOf::default().shown(), "anything");
        let user = NoticeOf {
            user: Some("li".to_owned()),
            ..NoticeOf::default()
        };
        assert_eq!((user.shown(), user.when()), ("to li".to_owned(), After(i64::MAX)));
    }
}
