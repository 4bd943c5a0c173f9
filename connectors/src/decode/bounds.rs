//! How long the texts of a record may be: what comes in as an identifier goes out as a key, and every text of a row goes out.

use riskflow_config::BaseRow;
use riskflow_model::Text;
use riskflow_model::limit::{ID_BYTES, TEXT_BYTES};

use super::Rejection;

/// A field that is longer than its bound is an error.
pub(super) fn check(row: &BaseRow) -> Result<(), Rejection> {
    match row {
        BaseRow::Region(row) => text("name", &row.name),
        BaseRow::Asset(row) => {
            ids([("id", &row.id), ("category", &row.category)])?;
            text("name", &row.name)
        }
        BaseRow::Datastream(row) => ids([
            ("id", &row.id),
            ("asset", &row.asset),
            ("observed_property", &row.observed_property),
            ("unit", &row.unit),
        ]),
        // Its identifier is checked with the rest of it.
        BaseRow::Rule(rule) => {
            text("name", &rule.record.name)?;
            text("source", &rule.record.source)
        }
        BaseRow::Unit(row) => {
            ids([("id", &row.id)])?;
            optional("parent", row.parent.as_ref())?;
            text("name", &row.name)
        }
        BaseRow::User(row) => {
            ids([("id", &row.id)])?;
            text("channel", &row.channel)?;
            let posts = row.posts.iter();
            ids(posts.flat_map(|post| [("posts.unit", &post.unit), ("posts.role", &post.role)]))
        }
        BaseRow::Duty(row) => {
            ids([("id", &row.id), ("unit", &row.unit), ("role", &row.role)])?;
            ids(row.roster.iter().map(|shift| ("roster.user", &shift.user)))
        }
        BaseRow::Plan(row) => {
            ids([("id", &row.id)])?;
            text("name", &row.name)?;
            let tasks = row.tasks.iter();
            ids(tasks
                .clone()
                .flat_map(|task| [("tasks.id", &task.id), ("tasks.role", &task.role)]))?;
            tasks
                .enumerate()
                .try_for_each(|(index, task)| text(&format!("tasks[{index}].name"), &task.name))
        }
        BaseRow::Limit(row) => {
            ids([("id", &row.id)])?;
            optional("work_type", row.work_type.as_ref())
        }
        BaseRow::Permit(row) => {
            ids([("id", &row.id), ("work_type", &row.work_type)])?;
            optional("asset", row.asset.as_ref())?;
            ids(row.holders.iter().map(|holder| ("holders", holder)))
        }
        BaseRow::Report(row) => {
            ids([("id", &row.id), ("module", &row.module), ("kind", &row.kind)])?;
            ids(row.quantities.keys().map(|quantity| ("quantities", quantity)))
        }
        BaseRow::Incident(row) => {
            ids([("id", &row.id), ("hazard", &row.hazard)])?;
            optional("asset", row.asset.as_ref())?;
            text("title", &row.title)
        }
    }
}

fn ids<'a>(fields: impl IntoIterator<Item = (&'a str, &'a Text)>) -> Result<(), Rejection> {
    fields
        .into_iter()
        .try_for_each(|(name, value)| short(name, value, ID_BYTES))
}

fn optional(name: &str, value: Option<&Text>) -> Result<(), Rejection> {
    value.map_or(Ok(()), |value| short(name, value, ID_BYTES))
}

fn text(name: &str, value: &str) -> Result<(), Rejection> {
    short(name, value, TEXT_BYTES)
}

/// A text of at most so many bytes.
pub(super) fn short(name: &str, value: &str, most: usize) -> Result<(), Rejection> {
    if value.len() > most {
        let found = format!("{} bytes long", value.len());
        return Err(Rejection::field(name, found, &format!("at most {most} bytes")));
    }
    Ok(())
}
