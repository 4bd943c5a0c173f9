use serde_json::json;

use super::*;

/// A record with fields `id`, which must be there, `level`, and `note`.
fn record() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": { "type": "string", "maxLength": 200 },
            "level": { "$ref": "#/$defs/Level" },
            "count": { "type": "integer", "minimum": 0, "maximum": 10 },
            "note": { "type": ["string", "null"] },
            "parts": { "type": "array", "items": { "$ref": "#/$defs/Part" } },
        },
        "required": ["id", "level"],
        "$defs": {
            "Level": { "oneOf": [{ "type": "string", "const": "blue" }, { "type": "string", "const": "red" }] },
            "Part": {
                "anyOf": [
                    { "type": "object", "properties": { "all": { "$ref": "#/$defs/Part" } }, "required": ["all"] },
                    { "type": "object", "properties": { "one": { "type": "string" } }, "required": ["one"] },
                ],
            },
        },
    })
}

/// What a change breaks, of an input and of an output.
fn change(change: impl Fn(&mut Value)) -> [Vec<String>; 2] {
    let (before, mut after) = (record(), record());
    change(&mut after);
    [Side::Input, Side::Output].map(|side| breaks(side, &before, &after))
}

fn remove(from: &mut Value, name: &str) {
    from.as_object_mut().unwrap().remove(name).unwrap();
}

/// Both sides, where a change breaks the one, the other, or both; an empty text: it breaks nobody.
#[track_caller]
fn expect(found: [Vec<String>; 2], input: &str, output: &str) {
    for (found, expected) in found.into_iter().zip([input, output]) {
        let expected: Vec<&str> = [expected].into_iter().filter(|said| !said.is_empty()).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn what_did_not_change_breaks_nobody() {
    expect(change(|_| {}), "", "");
    // Prose is not compared.
    expect(change(|after| after["description"] = "other".into()), "", "");
}

#[test]
fn a_new_field_breaks_nobody_unless_it_must_be_given() {
    let add = |after: &mut Value| after["properties"]["new"] = json!({ "type": "string" });
    expect(change(add), "", "");
    let must = |after: &mut Value| {
        add(after);
        after["required"] = json!(["id", "level", "new"]);
    };
    expect(change(must), "`new` must be there now", "");
}

#[test]
fn a_field_that_is_gone_breaks_both() {
    expect(
        change(|after| remove(&mut after["properties"], "note")),
        "`note` is not read any more",
        "`note` is not written any more",
    );
}

#[test]
fn whether_a_field_must_be_there_breaks_one_side() {
    expect(
        change(|after| after["required"] = json!(["id"])),
        "",
        "`level` may be absent now",
    );
    expect(
        change(|after| after["required"] = json!(["id", "level", "note"])),
        "`note` must be there now",
        "",
    );
}

#[test]
fn a_narrower_type_breaks_producers_and_a_wider_one_consumers() {
    expect(
        change(|after| after["properties"]["note"]["type"] = "string".into()),
        "`note` must not be of type null any more",
        "",
    );
    expect(
        change(|after| after["properties"]["id"]["type"] = json!(["string", "null"])),
        "",
        "`id` may be of type null now",
    );
    expect(
        change(|after| after["properties"]["count"]["type"] = "number".into()),
        "",
        "`count` may be of type number now",
    );
}

#[test]
fn another_type_breaks_both() {
    expect(
        change(|after| after["properties"]["id"]["type"] = "boolean".into()),
        "`id` must not be of type string any more",
        "`id` may be of type boolean now",
    );
}

#[test]
fn a_value_that_is_gone_breaks_producers_and_a_new_one_consumers() {
    expect(
        change(|after| after["$defs"]["Level"]["oneOf"] = json!([{ "type": "string", "const": "red" }])),
        "`level` must not be `blue` any more",
        "",
    );
    expect(
        change(|after| after["$defs"]["Level"] = json!({ "type": "string", "enum": ["blue", "red", "grey"] })),
        "",
        "`level` may be `grey` now",
    );
    expect(
        change(|after| after["properties"]["id"]["enum"] = json!(["a"])),
        "`id` must be one of certain texts now",
        "",
    );
    expect(
        change(|after| after["$defs"]["Level"] = json!({ "type": "string" })),
        "",
        "`level` may be any text now",
    );
}

#[test]
fn a_narrower_limit_breaks_producers_and_a_wider_one_consumers() {
    for (field, keyword, narrower, wider) in [
        ("id", "maxLength", 100, 300),
        ("count", "maximum", 9, 11),
        ("count", "minimum", 1, -1),
    ] {
        expect(
            change(|after| after["properties"][field][keyword] = narrower.into()),
            &format!("`{field}` is held to a narrower `{keyword}`"),
            "",
        );
        expect(
            change(|after| after["properties"][field][keyword] = wider.into()),
            "",
            &format!("`{field}` may go beyond `{keyword}` as it was"),
        );
    }
}

#[test]
fn alternatives_are_compared_each_with_all_and_circles_end() {
    let [input, output] = change(|after| {
        after["$defs"]["Part"]["anyOf"].as_array_mut().unwrap().pop();
    });
    assert!(
        input[0].starts_with("`parts.*` has an alternative that is not taken any more"),
        "{input:?}"
    );
    assert_eq!((input.len(), output.len()), (1, 0));
    let [input, output] = change(|after| {
        let new = json!({ "type": "object", "properties": { "other": {} }, "required": ["other"] });
        after["$defs"]["Part"]["anyOf"].as_array_mut().unwrap().push(new);
    });
    assert!(
        output[0].starts_with("`parts.*` has an alternative that is new"),
        "{output:?}"
    );
    assert_eq!((input.len(), output.len()), (0, 1));
}

#[test]
fn an_input_that_takes_no_other_fields_any_more_breaks_producers() {
    expect(
        change(|after| after["additionalProperties"] = false.into()),
        "`the record` must have no other fields now",
        "",
    );
}

#[test]
fn topics_may_come_and_none_may_go() {
    let all = |names: &[&str]| {
        names
            .iter()
            .map(|name| ((*name).to_owned(), record()))
            .collect::<Map<_, _>>()
    };
    assert_eq!(breaks_of_all(&all(&["in.rule"]), &all(&["in.rule", "in.new"])), [""; 0]);
    assert_eq!(
        breaks_of_all(&all(&["in.rule", "out.notice"]), &all(&["in.rule"])),
        ["out.notice is gone"]
    );
}

#[test]
fn paths_parameters_and_answers_of_http_are_compared() {
    let answer = |schema: &Value| json!({ "200": { "content": { "application/json": { "schema": schema } } } });
    let within = json!({ "name": "within", "in": "query", "schema": { "type": "string" } });
    let before = json!({ "paths": {
        "/a": { "get": { "parameters": [within], "responses": answer(&json!({ "type": "string" })) } },
        "/b": { "get": { "responses": {} } },
    }});
    assert_eq!(breaks_of_http(&before, &before), [""; 0]);
    let mut after = before.clone();
    remove(&mut after["paths"], "/b");
    after["paths"]["/a"]["get"]["parameters"] = json!([{ "name": "at", "in": "query", "required": true }]);
    after["paths"]["/a"]["get"]["responses"] = answer(&json!({ "type": ["string", "null"] }));
    assert_eq!(
        breaks_of_http(&before, &after),
        [
            "get /a: the parameter within of query is gone",
            "get /a: the parameter at of query must be given now",
            "get /a: `200` may be of type null now",
            "get /b is gone",
        ]
    );
}

#[test]
fn a_bare_schema_keeps_fields_that_are_called_as_prose_is() {
    let schema = json!({ "title": "T", "description": "d", "properties": { "title": { "type": "string", "description": "d" } } });
    assert_eq!(
        bare(&schema),
        json!({ "properties": { "title": { "type": "string" } } })
    );
}
