use riskflow_model::catalogue::MaintenanceKind;
use serde_json::json;

use super::*;

/// All that any span has.
const TEXTS: [&str; 15] = [
    "asset",
    "kind",
    "event",
    "level",
    "model",
    "review",
    "source",
    "line",
    "permit",
    "certificate",
    "work_type",
    "holder",
    "maintenance",
    "region",
    "category",
];

fn texts(what: &What) -> String {
    let has = |name: &&str| what.text(name).map(|text| format!("{name}={text}"));
    let has: Vec<String> = TEXTS.iter().filter_map(has).collect();
    has.join(" ")
}

fn permit(kind: PermitKind, from: Option<i64>, to: Option<i64>) -> Permit {
    Permit {
        id: Id::new("p"),
        version: 1,
        kind,
        work_type: "hot_work".into(),
        asset: (kind == PermitKind::Work).then(|| Id::new("a")),
        holders: vec!["bo".into(), "ann".into(), "bo".into()],
        valid_from: from.map(Millis),
        valid_to: to.map(Millis),
        cancelled_from: None,
    }
}

fn window() -> Maintenance {
    Maintenance {
        id: Id::new("m"),
        version: 1,
        kind: MaintenanceKind::Sensor,
        region: "3309".parse().unwrap(),
        asset: None,
        valid_from: Millis(10),
        valid_to: Millis(20),
        title: "t".into(),
        cancelled: false,
    }
}

#[test]
fn an_event_says_all_that_was_told() {
    let event: Event = serde_json::from_value(json!({
        "id": "e", "kind": "smoke", "time": 0, "asset": "a", "source": "camera", "model": "m1", "level": "blue",
        "weight": 2.5, "confidence": 0.5, "attributes": { "line": "3" }, "numbers": { "speed": 1.5 },
    }))
    .unwrap();
    let span = of_event(EventSpan {
        event: Shared::new(event),
        from: Millis(5),
        confirmed: true,
    });
    let what = span.what;
    assert_eq!(
        (span.from, what.end(), what.is_momentary()),
        (Millis(5), Millis(0), true)
    );
    assert_eq!(
        texts(&what),
        "asset=a kind=smoke event=e level=blue model=m1 review=confirmed source=camera line=3"
    );
    let numbers = ["weight", "confidence", "speed", "line"].map(|name| what.number(name).map(|number| number.0));
    assert_eq!(numbers, [Some(2.5), Some(0.5), Some(1.5), None]);
    assert_eq!(
        (what.sort(), what.level(), what.region()),
        (SpanKind::Event, Level::Blue, None)
    );
    let unreviewed = what.unreviewed();
    assert_eq!(unreviewed.text("review"), None);
    assert_eq!(Told::new(&what).what(), unreviewed);
}

#[test]
fn work_is_a_span_and_one_for_each_holder() {
    let work = Shared::new(permit(PermitKind::Work, Some(10), Some(20)));
    let spans = of_permit(&work);
    let said: Vec<String> = spans.iter().map(|span| texts(&span.what)).collect();
    assert_eq!(
        said,
        [
            "asset=a kind=hot_work permit=p work_type=hot_work",
            "asset=a kind=hot_work permit=p work_type=hot_work holder=ann",
            "asset=a kind=hot_work permit=p work_type=hot_work holder=bo",
        ]
    );
    for Span { what, from } in &spans {
        assert_eq!(
            (*from, what.end(), what.is_momentary()),
            (Millis(10), Millis(20), false)
        );
        assert_eq!((what.level(), what.weight(), &**what.id()), (Level::None, 1_000, "p"));
        assert_eq!(
            (what.number("weight"), what.number("confidence")),
            (Some(Number(1.0)), None)
        );
    }
    let sorts: Vec<SpanKind> = spans.iter().map(|span| span.what.sort()).collect();
    assert_eq!(sorts, [SpanKind::Permit, SpanKind::Holder, SpanKind::Holder]);
    let mut members: Vec<Told> = spans.iter().rev().map(|span| Told::new(&span.what)).collect();
    members.sort();
    let sources: Vec<Text> = members.iter().map(|told| told.what().source()).collect();
    assert_eq!(sources, ["", "ann", "bo"].map(Text::from));
}

#[test]
fn a_certificate_is_nowhere_and_may_have_no_borders() {
    let certificate = permit(PermitKind::Certificate, None, None);
    let spans = of_permit(&Shared::new(certificate.clone()));
    let said: Vec<String> = spans.iter().map(|span| texts(&span.what)).collect();
    assert_eq!(
        said,
        [
            "kind=hot_work certificate=p work_type=hot_work holder=ann",
            "kind=hot_work certificate=p work_type=hot_work holder=bo",
        ]
    );
    for Span { what, from } in &spans {
        assert_eq!((*from, what.end()), (Millis::MIN, Millis::MAX));
        assert_eq!(
            (what.sort(), what.asset(), what.region()),
            (SpanKind::Certificate, None, None)
        );
    }
    let never = Permit {
        cancelled_from: Some(Millis(10)),
        valid_from: Some(Millis(10)),
        ..certificate
    };
    assert!(of_permit(&Shared::new(never)).is_empty());
}

#[test]
fn a_window_is_at_its_asset_or_in_its_region_unless_it_was_called_off() {
    let span = of_window(Shared::new(window())).unwrap();
    let what = span.what;
    assert_eq!(
        (span.from, what.end(), what.sort()),
        (Millis(10), Millis(20), SpanKind::Maintenance)
    );
    assert_eq!(texts(&what), "kind=sensor maintenance=m");
    assert_eq!(what.region(), Some("3309".parse().unwrap()));
    assert_eq!((&*what.source(), &*what.evidence(), what.weight()), ("", "", 1_000));
    let at_asset = Maintenance {
        asset: Some(Id::new("a")),
        ..window()
    };
    let what = of_window(Shared::new(at_asset)).unwrap().what;
    assert_eq!(
        (texts(&what), what.region()),
        ("asset=a kind=sensor maintenance=m".to_owned(), None)
    );
    let off = Maintenance {
        cancelled: true,
        ..window()
    };
    assert_eq!(of_window(Shared::new(off)), None);
}
