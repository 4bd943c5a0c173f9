use super::run::Outcome;
use super::*;

const ROWS: &str = "\
rules: [rain]
assets: [{ id: g, category: rain_gauge, domain: natural_hazard, region: '330902001001', inherent_level: 2 }]
datastreams: [{ id: g/rain, asset: g, observed_property: rainfall, unit: mm }]
";

fn read(text: &str) -> Result<Vec<Prepared>, Vec<Wrong>> {
    let config = ConfigArguments {
        config: None,
        overrides: Vec::new(),
    };
    let plain = Semantics::of(&configuration::load(&config).unwrap().1);
    prepare::tests(Path::new("tests.yaml"), text, &config, &plain)
}

fn wrong(text: &str) -> Vec<(usize, String)> {
    let wrong = read(text).err().unwrap_or_default();
    wrong.into_iter().map(|wrong| (wrong.line, wrong.says)).collect()
}

/// Runs the only test of a file.
fn ran(text: &str) -> Outcome {
    let mut tests = read(text).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    assert_eq!(tests.len(), 1);
    run::run(&mut tests[0]).unwrap()
}

fn with_rows(test: &str) -> String {
    format!("{ROWS}tests:\n- name: a test\n{test}")
}

/// What is shown of the failures of a test.
fn shown(test: &str) -> Vec<String> {
    let outcome = ran(&with_rows(test));
    let mut lines = Vec::new();
    for failure in outcome.failures {
        lines.push(failure.what);
        lines.extend(failure.lines.into_iter().map(|line| {
            let sign = match line.side {
                difference::Side::Both => ' ',
                difference::Side::Expected => '-',
                difference::Side::Got => '+',
            };
            format!("{sign} {}", line.text)
        }));
    }
    lines
}

const STORM: &str = "  series: [{ datastream: g/rain, interval: 1h, values: 20 20 10 }]\n";

#[test]
fn a_test_says_what_is_told_and_what_is_open() {
    let expected = "  deltas: [{ kind: raised, rule: rain, asset: g, from: none, to: orange, level: orange, at: 2h, since: 2h, told: 2h, \
                    cause: data }]\n  expect: [{ at: 1h59m, open: {} }, { at: 2h, open: { rain/g: orange } }]\n";
    assert_eq!(shown(&format!("{STORM}{expected}")), Vec::<String>::new());
    let other = "  deltas: [{ kind: raised, level: red, at: 2h }, { kind: cleared, at: 3h }]\n  expect: [{ at: 3h, open: {} }]\n";
    assert_eq!(
        shown(&format!("{STORM}{other}")),
        [
            "deltas",
            "- raised red at 2h",
            "+ raised rain/g none -> orange at 2h since 2h told 2h by data",
            "- cleared at 3h",
            "open at 3h",
            "+ rain/g orange",
        ]
    );
}

#[test]
fn nothing_told_is_a_list_without_entries() {
    let calm = "  series: [{ datastream: g/rain, interval: 1h, values: 20 20 9.9 }]\n  deltas: []\n  until: 20h\n";
    assert_eq!(shown(calm), Vec::<String>::new());
    let storm = format!("{STORM}  deltas: []\n");
    let got = "+ raised rain/g none -> orange at 2h since 2h told 2h by data";
    assert_eq!(shown(&storm), ["deltas", got]);
}

#[test]
fn what_falls_due_by_the_clock_is_told_at_the_next_step_with_its_own_time() {
    // Three hours after the first reading 30 mm are left in them, and ten minutes later `clear` is over.
    let eased = "  until: 3h30m\n  deltas: [{ kind: raised }, { kind: eased, to: yellow, at: 3h10m, told: STEP, cause: clock }]\n";
    assert_eq!(
        shown(&format!("{STORM}{}", eased.replace("STEP", "3h10m"))),
        Vec::<String>::new()
    );
    // A time that is named is an epoch of its own; what is not named waits for the step.
    let slow =
        format!("{STORM}  step: 20m\n  until: 4h\n  deltas: [{{ kind: raised }}, {{ kind: eased, told: 3h20m }}]\n");
    assert_eq!(shown(&slow), Vec::<String>::new());
}

#[test]
fn late_data_corrections_and_edits_come_at_their_times() {
    let late = "  settings: { time.horizon: 3h }\n  series: [{ datastream: g/rain, interval: 1h, values: 20 20 10, delay: 30m }]\n  \
                deltas: [{ kind: raised, at: 2h, told: 2h30m, cause: late_data }]\n";
    assert_eq!(shown(late), Vec::<String>::new());
    let corrected = format!(
        "{STORM}  settings: {{ time: {{ horizon: 3h }} }}\n  corrections: [{{ at: 2h30m, datastream: g/rain, values: [[2h, 9.9]] }}]\n  \
         deltas: [{{ kind: raised }}, {{ kind: withdrawn, told: 2h30m, cause: correction }}]\n"
    );
    assert_eq!(shown(&corrected), Vec::<String>::new());
    let taken_back = corrected.replace("[[2h, 9.9]]", "[[2h, ~]]");
    assert_eq!(shown(&taken_back), Vec::<String>::new());
    let gone = format!(
        "{STORM}  edits: [{{ at: 2h30m, rows: [{{ topic: in.rule, key: rain }}] }}]\n  \
         deltas: [{{ kind: raised }}, {{ kind: withdrawn, cause: rule_change }}]\n"
    );
    assert_eq!(shown(&gone).first(), None, "{:?}", shown(&gone));
}

/// One person who is to acknowledge everything.
const PEOPLE: &str = "  rows:
  - { topic: base.unit, value: { id: town, region: '330902' } }
  - { topic: base.user, value: { id: li, posts: [{ unit: town, role: duty }] } }
  - { topic: base.duty, value: { id: d, region: '3309', unit: town, role: duty } }
";

#[test]
fn who_is_told_and_the_steps_of_cases_are_compared_in_full() {
    let right = "  notices: [{ event: issued, user: li, unit: town, role: duty, rule: rain, asset: g, level: orange, told: 2h }]
  expect: [{ at: 1h, cases: {} }, { at: 2h, open: { rain/g: orange }, cases: { rain/g: issued } }]
";
    assert_eq!(shown(&format!("{STORM}{PEOPLE}{right}")), Vec::<String>::new());
    let other = "  notices: []\n  expect: [{ at: 2h, cases: { rain/g: archived } }]\n";
    let lines = shown(&format!("{STORM}{PEOPLE}{other}"));
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(
        lines[0] == "notices" && lines[1].starts_with("+ issued to li (town duty) rain/g orange told 2h"),
        "{lines:?}"
    );
    assert_eq!(lines[2..], ["cases at 2h", "- rain/g archived", "+ rain/g issued"]);
    // Without people nobody is told.
    assert_eq!(shown(&format!("{STORM}  notices: []\n")), Vec::<String>::new());
    let wrong = wrong(&with_rows("  expect: [{ at: 1h }]\n"));
    assert!(
        wrong[0]
            .1
            .starts_with("`tests[0].expect[0]` is a time at which nothing must be so; give `open`"),
        "{wrong:?}"
    );
}

#[test]
fn what_people_do_about_a_case_is_part_of_a_test() {
    let acts = "  actions:
  - { at: 2h5m, case: rain/g, since: 2h, action: acknowledge, actor: li, with: { role: duty } }
  - { at: 2h10m, case: rain/g, since: 2h, action: suppress, actor: li, with: { until: { at: 3h }, text: we know } }
  expect: [{ at: 2h4m, cases: { rain/g: issued } }, { at: 2h5m, cases: { rain/g: acknowledged } }]
";
    assert_eq!(shown(&format!("{STORM}{PEOPLE}{acts}")), Vec::<String>::new());
    // Of a warning that there is not, nothing comes.
    let late = acts.replace("since: 2h,", "since: 2h1m,");
    let lines = shown(&format!("{STORM}{PEOPLE}{late}"));
    assert_eq!(lines, ["cases at 2h5m", "- rain/g acknowledged", "+ rain/g issued"]);
    let wrong = wrong(&with_rows(
        &acts
            .replace("rain/g, since", "rain, since")
            .replace("role: duty", "colour: red"),
    ));
    let has = |line: usize, says: &str| wrong.iter().any(|(at, what)| *at == line && what.contains(says));
    assert!(
        has(7, "`tests[0].actions[0].case` is `rain`, and `since` is of a warning"),
        "{wrong:?}"
    );
}

#[test]
fn events_come_at_their_times_and_gauges_of_them_raise_levels() {
    let face = "\
rules:
- { id: full, version: 1, select: { category: [face] }, levels: { yellow: { when: { gauge: cards, op: '>=', threshold: 2 } } } }
assets: [{ id: f, category: face, domain: work_safety, region: '330902001001', inherent_level: 3 }]
rows: [{ topic: in.gauge, value: { id: cards, by: asset, measure: count } }]
tests:
- name: the second card, and a first that was out before
  events:
  - { at: 1m, event: { id: a, kind: in, asset: f, time: { at: 1m }, open: true } }
  - { at: 3m, event: { id: b, kind: in, asset: f, time: { at: 2m }, open: true } }
  - { at: 5m, event: { id: a, kind: in, asset: f, time: { at: 1m }, to: { at: 90s } } }
  deltas:
  - { kind: raised, rule: full, asset: f, at: 2m, told: 3m, cause: data }
  - { kind: withdrawn, told: 5m, cause: correction }
";
    let outcome = ran(face);
    let failures: Vec<_> = outcome.failures.iter().map(|failure| &failure.what).collect();
    assert!(failures.is_empty(), "{failures:?}");
    let unread = face.replace("time: { at: 2m }, ", "");
    let wrong = wrong(&unread);
    assert!(wrong.len() == 1 && wrong[0].1.contains("time"), "{wrong:?}");
}

#[test]
fn a_record_that_is_refused_while_the_test_runs_fails_it() {
    let late = "  series: [{ datastream: g/rain, values: 60, delay: 1h }]\n  deltas: []\n";
    let lines = shown(late);
    assert!(
        lines.len() == 2
            && lines[0] == "dead letters"
            && lines[1].starts_with("+ too_late: a record of `tests[0].series[0]`: "),
        "{lines:?}"
    );
    assert_eq!(
        shown(&format!("{late}  dead_letters: [too_late]\n")),
        Vec::<String>::new()
    );
}

#[test]
fn what_no_rule_watches_is_noted() {
    let test = with_rows("  series: [{ datastream: g/rain, values: 60 }]\n  deltas: []\n");
    let outcome = ran(&test.replace("observed_property: rainfall", "observed_property: rain"));
    assert!(outcome.failures.is_empty());
    let notes: Vec<_> = outcome.notes.iter().collect();
    assert!(
        notes.len() == 1 && notes[0].starts_with("no_rule of `g/rain`: "),
        "{notes:?}"
    );
    assert!(ran(&test.replace("values: 60", "values: 6")).notes.is_empty());
}

#[test]
fn everything_wrong_with_a_file_is_told_at_once_each_with_its_line() {
    let text = "\
rules: [rian, { id: mine, version: 1, select: {}, levels: { blue: { when: { feature: sum, window: 1x, op: '>=', threshold: 1 } } } }]
assets:
- { id: g, category: rain_gauge, domain: natural, region: 330902001001, inherent_level: 2 }
colour: red
tests:
- name: first
  series:
  - { datastream: g/rain, values: 1y2 }
  - { datastream: g/rain, values: [1, 2e9], form: 0 }
  deltas:
  - { kind: rising, at: 90 }
- name: first
  start: yesterday
  settings: { time.horizon: soon, http.listen: 'a:1' }
  expect: [{ at: 1h, open: { rain/g: violet } }]
- name: third
  only: [rain]
  step: 0s
";
    let wrong = wrong(text);
    let has = |line: usize, says: &str| {
        let found = wrong.iter().any(|(at, what)| *at == line && what.contains(says));
        assert!(found, "line {line}: `{says}` is not in {wrong:#?}");
    };
    has(
        1,
        "`rules[0]` is `rian`, which is neither a pack nor a file; give a pack (`rain`, ",
    );
    has(1, "`rules[1].levels.blue.when.window` is `1x`");
    has(3, "`assets[0].domain` is \"natural\"; give one of `lifeline`, ");
    has(
        3,
        "`assets[0].region` is 330902001001; give a text in quotes (invalid_field)",
    );
    has(4, "`colour` is not known here; give one of `tests`, `rules`, ");
    has(8, "`tests[0].series[0].values` is `1y2`; give values such as `1 2.5 _`");
    has(9, "`tests[0].series[1].form` is not known here");
    has(
        9,
        "`tests[0].series[1]`: `result` is 2000000000; give a number from -1e9 to 1e9 (invalid_field)",
    );
    has(11, "`tests[0].deltas[0].kind` is \"rising\"; give one of `raised`, ");
    has(11, "such as `90s` or `90m`");
    has(
        12,
        "`tests[1].name` is `first`, as on line 6; give each test a name of its own",
    );
    has(
        14,
        "`tests[1].settings.http.listen` is no setting of tests; give one of the sections `time`, ",
    );
    has(
        15,
        "`tests[1].expect[0].open.rain/g` is \"violet\"; give one of `none`, ",
    );
    has(16, "`tests[2]` is a test that nothing is expected of; give `deltas`");
    has(
        17,
        "`tests[2].only[0]` is `rain`, which no rule here is; give some of `mine`",
    );
    has(18, "`tests[2].step` is 0s; give a length of time");
}

#[test]
fn a_setting_that_cannot_be_is_told_where_it_stands() {
    let text =
        format!("{ROWS}tests:\n- name: a\n  deltas: []\n  settings:\n    time:\n      horizon: soon\n  start: 1\n");
    let wrong = wrong(&text);
    assert!(
        wrong
            .iter()
            .any(|(line, says)| *line == 9 && says.contains("`time.horizon` is `soon`")),
        "{wrong:?}"
    );
}

#[test]
fn a_test_that_would_take_too_long_is_refused() {
    let wrong = wrong(&with_rows("  until: 400d\n  step: 1s\n  deltas: []\n"));
    assert!(wrong[0].1.contains("at most 100000 epochs"), "{wrong:?}");
}

#[test]
fn what_the_tests_of_a_file_take_is_bounded_all_together() {
    // Each series is short enough; together they are not, and nothing of the others is expanded.
    let series = "{ datastream: g/rain, interval: 1s, values: 0x49998 }, ".repeat(400);
    let wrong_series = wrong(&with_rows(&format!("  series: [{series}]\n  step: 1h\n  deltas: []\n")));
    let says = "the tests of this file have more than 1000000 records and epochs up to `tests[0].series[";
    assert!(
        wrong_series.len() == 1 && wrong_series[0].0 == 6 && wrong_series[0].1.starts_with(says),
        "{wrong_series:?}"
    );
    let settings: String = (0..2_000).map(|index| format!("time.x{index}: 1h, ")).collect();
    let settings = wrong(&with_rows(&format!("  settings: {{ {settings} }}\n  deltas: []\n")));
    let says = "`tests[0].settings` is too many; give at most 1000, with those of the file";
    assert_eq!(settings.first().map(|(_, said)| said.as_str()), Some(says));
}

#[test]
fn so_many_problems_of_a_file_are_told_and_no_more() {
    let assets: String = (0..3_000)
        .map(|index| format!("- {{ id: g{index}, colour: red }}\n"))
        .collect();
    let wrong = wrong(&format!(
        "rules: [rain]\nassets:\n{assets}tests:\n- {{ name: a, deltas: [] }}\n"
    ));
    assert_eq!(wrong.len(), 1_001);
    assert!(
        wrong[1_000]
            .1
            .contains("more is wrong: 1000 problems of a file are told"),
        "{:?}",
        wrong[1_000]
    );
}

#[test]
fn the_start_is_in_the_time_of_the_city_and_rows_have_times() {
    let text = with_rows("  start: 2025-07-24T08:00\n  deltas: []\n");
    let tests = read(&text).unwrap();
    assert_eq!(tests[0].start.to_string(), "2025-07-24T00:00:00.000Z");
    let text = with_rows("  start: 2025-07-24T08:00:00Z\n  settings: { city.timezone: Europe/Paris }\n  deltas: []\n");
    assert_eq!(read(&text).unwrap()[0].start.to_string(), "2025-07-24T08:00:00.000Z");
    let permit = "  rows:\n  - topic: in.permit\n    value: { id: p, version: 1, kind: work, work_type: hot_work, asset: g, \
                  valid_from: { at: 1h }, valid_to: { at: soon } }\n  deltas: []\n";
    let wrong = wrong(&with_rows(permit));
    assert!(
        wrong
            .iter()
            .any(|(line, says)| *line == 8 && says.contains("valid_to.at` is \"soon\"")),
        "{wrong:?}"
    );
}

#[test]
fn the_schema_is_one_of_files_that_can_be_read() {
    let schema = serde_json::to_value(schema()).unwrap();
    assert_eq!(schema["properties"]["tests"]["type"], "array");
    let test = &schema["$defs"]["Test"]["properties"];
    assert!(
        test["series"]["items"].is_object() && test["rules"]["items"].is_object(),
        "{test:#}"
    );
}
