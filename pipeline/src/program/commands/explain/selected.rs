//! Why a rule watches no datastream of an asset.

use riskflow_config::{Located, Rule};
use riskflow_model::base::{Asset, Datastream};
use riskflow_model::{Shared, Text};

/// The first thing that its selection asks for and the asset, or each of its datastreams, lacks; in words.
pub fn why_not(rule: &Rule, datastreams: &[&Shared<Datastream>], (asset, located): (&Asset, &Located)) -> String {
    let select = &rule.record.select;
    if let Some(wanted) = select.domain.filter(|wanted| *wanted != asset.domain) {
        return format!(
            "it watches the domain `{wanted}`, and the asset is of `{}`",
            asset.domain
        );
    }
    if !select.category.is_empty() && !select.category.contains(&asset.category) {
        let wanted = listed(select.category.iter());
        return format!(
            "it watches the category {wanted}, and the asset is of `{}`",
            asset.category
        );
    }
    if let Some(wanted) = select.region.filter(|wanted| !located.within(asset.region, *wanted)) {
        return format!(
            "it watches the region `{wanted}`, and the asset lies in `{}`",
            asset.region
        );
    }
    if datastreams.is_empty() {
        return "the asset has no datastream".to_owned();
    }
    let property = select.observed_property.as_ref();
    let fits = |row: &&&Shared<Datastream>| property.is_none_or(|wanted| *wanted == row.observed_property);
    let fitting: Vec<&&Shared<Datastream>> = datastreams.iter().filter(fits).collect();
    match (property, fitting.is_empty()) {
        (Some(wanted), true) => {
            let mut there: Vec<&Text> = datastreams.iter().map(|row| &row.observed_property).collect();
            there.sort();
            there.dedup();
            format!(
                "it watches the observed property `{wanted}`, and of the asset {} is observed",
                listed(there.into_iter())
            )
        }
        _ => {
            let lacks = |tag: &&Text| {
                let has = |row: &&&Shared<Datastream>| row.tags.contains(tag) || asset.tags.contains(tag);
                !fitting.iter().any(has)
            };
            let lacking: Vec<&Text> = select.tags.iter().filter(lacks).collect();
            match lacking.as_slice() {
                [] => format!(
                    "it asks for the tags {}, and no datastream has all of them",
                    listed(select.tags.iter())
                ),
                lacking => format!(
                    "it asks for the tag {}, which neither the asset nor its datastream has",
                    listed(lacking.iter().copied())
                ),
            }
        }
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a Text>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use riskflow_model::Lineage;
    use serde_json::{Value, json};

    use super::*;

    fn why(select: &Value) -> String {
        let rule = json!({
            "id": "r", "version": 1, "select": select,
            "levels": {"blue": {"when": {"feature": "last", "window": "1h", "op": ">=", "threshold": 3}}},
        });
        let rule = Rule::from_json(rule.to_string().as_bytes()).unwrap();
        let asset = json!({
            "id": "a", "category": "tank", "domain": "work_safety", "region": "330902001001", "inherent_level": 3, "tags": ["old"],
        });
        let asset: Asset = serde_json::from_value(asset).unwrap();
        let datastream = |id: &str, property: &str, tags: &[&str]| {
            let row = json!({"id": id, "asset": "a", "observed_property": property, "tags": tags});
            Shared::new(serde_json::from_value::<Datastream>(row).unwrap())
        };
        let rows = [
            datastream("d", "gas", &["watched"]),
            datastream("e", "level", &["near"]),
            datastream("f", "gas", &["far"]),
        ];
        let rows: Vec<&Shared<Datastream>> = rows.iter().collect();
        why_not(&rule, &rows, (&asset, &Located::of(&Lineage::default(), asset.region)))
    }

    #[test]
    fn it_names_what_is_asked_for_and_what_there_is() {
        for (select, expected) in [
            (
                json!({"domain": "lifeline"}),
                "it watches the domain `lifeline`, and the asset is of `work_safety`",
            ),
            (
                json!({"category": ["weir", "dam"]}),
                "it watches the category `weir`, `dam`, and the asset is of `tank`",
            ),
            (
                json!({"region": "330903"}),
                "it watches the region `330903`, and the asset lies in `330902001001`",
            ),
            (
                json!({"observed_property": "wind"}),
                "it watches the observed property `wind`, and of the asset `gas`, `level` is observed",
            ),
            (
                json!({"observed_property": "gas", "tags": ["old", "near"]}),
                "it asks for the tag `near`, which neither the asset nor its datastream has",
            ),
            (
                json!({"observed_property": "gas", "tags": ["far", "watched"]}),
                "it asks for the tags `far`, `watched`, and no datastream has all of them",
            ),
        ] {
            assert_eq!(why(&select), expected);
        }
    }
}
