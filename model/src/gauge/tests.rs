//! What is refused in a gauge, and what is asked for.

use crate::topic::Topic;
use crate::{Row, json};

fn read(rest: &str) -> Result<(), String> {
    let text = format!(r#"{{"id":"g","by":"town",{rest}}}"#);
    match Row::from_json(Topic::IN_GAUGE, &text) {
        Ok(_) => Ok(()),
        Err(Some(json::Unreadable::Wrong(problems))) => Err(problems.to_string()),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn what_is_of_some_sorts_only_is_refused_of_others() {
    for (bad, says) in [
        (r#""measure":"count","of":"certificate""#, "`of` is `certificate`"),
        (r#""measure":"count","of":"permit","lasts":"1m""#, "`lasts` is given of"),
        (r#""measure":"highest","of":"maintenance""#, "`measure` is `highest` of"),
        (
            r#""measure":"fused","of":"holder","attributes":["holder"],"at_least":2"#,
            "`measure` is `fused` of",
        ),
        (r#""measure":"missing","attributes":["permit"]"#, "`needs` is missing"),
        (
            r#""measure":"missing","needs":{"of":"permit","on":["holder"]}"#,
            "`attributes` is missing",
        ),
        (
            r#""measure":"count","needs":{"of":"permit","on":["asset"]}"#,
            "it belongs to missing",
        ),
        (
            r#""measure":"missing","attributes":["a"],"needs":{"of":"permit","on":[]}"#,
            "`needs.on` is missing or empty",
        ),
        (
            r#""measure":"missing","attributes":["a"],"needs":{"of":"event","on":["asset"]}"#,
            "`needs.of` is `event`",
        ),
        (
            r#""measure":"missing","attributes":["a"],"needs":{"of":"permit"}"#,
            "`needs.on` is missing or empty",
        ),
        (
            r#""measure":"missing","attributes":["a"],"needs":{"of":"permit","on":["1","2","3","4","5","6","7","8","9"]}"#,
            "`needs.on` is a list of 9",
        ),
        (
            r#""measure":"missing","attributes":["a"],"needs":{"of":"permit","on":["asset","weight"]}"#,
            "`needs.on[1]` is `weight`, a number",
        ),
        (
            r#""measure":"missing","attributes":["a"],"needs":{"of":"permit","on":["region"]}"#,
            "`needs.on[0]` is `region`, a place",
        ),
    ] {
        let said = read(bad).unwrap_err();
        assert!(said.contains(says), "{bad}: {said}");
    }
}

#[test]
fn what_a_measure_needs_is_asked_for_and_what_it_does_not_know_is_refused() {
    for good in [
        r#""measure":"count""#,
        r#""measure":"sum","kind":"crowd","lasts":"1d""#,
        r#""measure":"distinct","attributes":["source","line"]"#,
        r#""measure":"highest""#,
        r#""measure":"highest","number":"confidence""#,
        r#""measure":"elapsed","gap":"5m""#,
        r#""measure":"fused","attributes":["source"],"at_least":2"#,
        r#""measure":"covered","bucket":"day""#,
        r#""measure":"starts","bucket":"hour""#,
        r#""measure":"count","where":[{"attribute":"source","equals":"x"},{"attribute":"speed","at_most":2.5}]"#,
        r#""measure":"missing","of":"holder","kind":"hot_work","attributes":["permit","holder"],
            "needs":{"of":"certificate","on":["holder","work_type"]}"#,
        r#""measure":"missing","attributes":["event"],"lasts":"1m","needs":{"of":"permit","on":["asset"]}"#,
        r#""measure":"elapsed","of":"permit""#,
        r#""measure":"starts","of":"maintenance","bucket":"day","needs":null"#,
    ] {
        assert_eq!(read(good), Ok(()), "{good}");
    }
    for (bad, says) in [
        (r#""measure":"distinct""#, "`attributes` is missing"),
        (r#""measure":"fused","attributes":["a"]"#, "`at_least` is missing"),
        (r#""measure":"covered""#, "`bucket` is missing"),
        (r#""measure":"count","gap":"5m""#, "it belongs to elapsed"),
        (r#""measure":"sum","bucket":"day""#, "it belongs to covered and starts"),
        (r#""measure":"elapsed","gap":"2d""#, "`gap` is `2d`"),
        (r#""measure":"count","lasts":"soon""#, "`lasts` is `soon`"),
        (
            r#""measure":"highest","number":"source""#,
            "`number` is `source`, a text",
        ),
        (
            r#""measure":"count","where":[{"attribute":"a"}]"#,
            "`where[0]` is without",
        ),
        (
            r#""measure":"count","where":[{"attribute":"weight","equals":"1"}]"#,
            "`where[0].attribute` is `weight`, a number",
        ),
        (
            r#""of":"permit","measure":"distinct","attributes":["holder"]"#,
            "`attributes[0]` is `holder`, which no `permit` has",
        ),
        (
            r#""of":"maintenance","measure":"count","where":[{"attribute":"source","equals":"x"}]"#,
            "`where[0].attribute` is `source`, which no `maintenance` has",
        ),
        (
            r#""of":"holder","measure":"missing","attributes":["holder"],"needs":{"of":"certificate","on":["certificate"]}"#,
            "`needs.on[0]` is `certificate`, which no `holder` has",
        ),
        (
            r#""measure":"count","where":[{"attribute":"level","equals":"Red"}]"#,
            "`where[0].equals` is `Red`",
        ),
        (
            r#""measure":"count","where":[{"attribute":"review","equals":"false"}]"#,
            "what is false is no span",
        ),
        (
            r#""measure":"count","where":[{"attribute":"kind","at_least":1}]"#,
            "`where[0].attribute` is `kind`, a text",
        ),
    ] {
        let said = read(bad).unwrap_err();
        assert!(said.contains(says), "{bad}: {said}");
    }
}
