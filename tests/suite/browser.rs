//! The page of a back-test in a real browser: what stands on it, section by section, and what it looks like.
//!
//! Chromium draws it, in both languages; the pictures are kept in `target/screenshots`, or in the folder that `RISKFLOW_SCREENSHOTS` names.
//! Without Chromium the test says that it did not run, and fails where `RISKFLOW_REQUIRE_BROWSER` is 1.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const WIDTH: usize = 1_200;
const HEIGHT: usize = 2_400;

/// What tells of a page, from within it.
const LOOK: &str = include_str!("browser/look.js");

/// Colours of the page: the levels blue to red, an event, and ink.
const BLUE: [u8; 3] = [0x2f, 0x6f, 0xde];
const YELLOW: [u8; 3] = [0xf5, 0xc4, 0x00];
const INK: [u8; 3] = [0x1c, 0x24, 0x30];

struct Picture(Vec<[u8; 3]>);

impl Picture {
    fn read(path: &Path) -> Self {
        let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
        let mut decoder = png::Decoder::new(file);
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width as usize, info.height as usize), (WIDTH, HEIGHT));
        let samples = info.color_type.samples();
        let pixels = pixels.chunks_exact(samples);
        Self(pixels.map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect())
    }

    /// How many pixels have a colour.
    fn count(&self, colour: [u8; 3]) -> usize {
        self.0.iter().filter(|pixel| **pixel == colour).count()
    }

    /// The last row of pixels that is not white.
    fn depth(&self) -> usize {
        let last = self.0.iter().rposition(|pixel| *pixel != [0xff; 3]);
        last.map_or(0, |position| position / WIDTH)
    }
}

/// Runs Chromium without a window, with this argument before the page; what it printed, and its complaints.
fn browser(argument: &str, page: &Path) -> Result<(String, String), String> {
    let profile = tempfile::tempdir().unwrap();
    // It may wait for a desktop that is not there.
    let output = Command::new("timeout")
        .args(["120", "chromium", "--headless=new", "--no-sandbox", "--disable-gpu"])
        .args([
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
        ])
        .arg(format!("--window-size={WIDTH},{HEIGHT}"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(argument)
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{}: {}", output.status, text(&output.stderr));
    Ok((text(&output.stdout), said))
}

/// Draws a page; says why not where there is no browser that can.
fn draw(page: &Path, picture: &Path) -> Result<(), String> {
    let (_, said) = browser(&format!("--screenshot={}", picture.display()), page)?;
    if picture.exists() { Ok(()) } else { Err(said) }
}

/// What whoever looks at a page sees of it.
fn look(folder: &Path, page: &str) -> Value {
    // The page itself allows no script.
    const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";
    assert!(page.contains(POLICY), "the page says what it may load");
    let with_script = page
        .replace(POLICY, "")
        .replace("</body>", &format!("<script>{LOOK}</script></body>"));
    let file = folder.join("looked.html");
    std::fs::write(&file, with_script).unwrap();
    let (dom, _) = browser("--dump-dom", &file).unwrap();
    let body = dom
        .split_once("<body>")
        .and_then(|(_, rest)| rest.split_once("</body>"));
    let (digits, _) = body.unwrap_or_else(|| panic!("the script does not run: {dom}"));
    let digits = digits.trim();
    assert!(digits.len().is_multiple_of(2) && !digits.is_empty(), "{digits}");
    let bytes = (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap());
    serde_json::from_slice(&bytes.collect::<Vec<_>>()).unwrap()
}

/// Two sets over the first half of the real year of two stations in two counties, judged by what happened and what did not: the page, and
/// the report as JSON.
fn report(folder: &Path) -> (String, Value) {
    let run = |arguments: &[&str]| {
        let output = Command::new(crate::kafka::riskflow())
            .args(arguments)
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["generate", "weather", "--out", "history"]);
    let assets = folder.join("history/base.asset.ndjson");
    let rows = std::fs::read_to_string(&assets).unwrap();
    let moved = rows.replace("990001001002", "990002001001");
    assert_ne!(rows, moved, "a station stands in another village");
    std::fs::write(&assets, moved).unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    put(
        "truth.csv",
        "place,from,to\n990001,2013-06-07T18:00:00Z,2013-06-08T06:00:00Z\nJFK,2013-05-20T00:00:00Z,2013-05-20T01:00:00Z\n",
    );
    let rule = |id: &str, levels: &[(&str, &str, u32)]| {
        let levels = levels.iter().map(|(level, window, threshold)| {
            let when = json!({ "feature": "sum", "window": window, "op": ">=", "threshold": threshold });
            ((*level).to_owned(), json!({ "when": when }))
        });
        let levels: serde_json::Map<String, Value> = levels.collect();
        json!({
            "id": id, "version": 1, "source": "test", "name": "强降雨", "select": { "observed_property": "rainfall" }, "levels": levels,
        })
    };
    let new = [rule("wet", &[("blue", "12h", 10), ("yellow", "12h", 25)])];
    let old = [
        rule("wet", &[("blue", "12h", 14), ("yellow", "12h", 20)]),
        rule("burst", &[("orange", "1h", 5)]),
    ];
    put("new.json", &json!(new).to_string());
    put("old.json", &json!(old).to_string());
    run(&[
        "backtest",
        "--rules",
        "new.json",
        "--against",
        "old.json",
        "--truth",
        "truth.csv",
        "--sweep",
        "wet.blue=6..20/2",
        "--until",
        "2013-07-01T00:00:00Z",
        "--html",
        "report.html",
        "--json",
        "report.json",
        "history",
    ]);
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    (read("report.html"), serde_json::from_str(&read("report.json")).unwrap())
}

/// Where pictures are kept.
fn screenshots() -> PathBuf {
    let named = std::env::var_os("RISKFLOW_SCREENSHOTS").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| {
        let test = std::env::current_exe().unwrap();
        test.ancestors().nth(3).unwrap().join("screenshots")
    });
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of[name].as_array().unwrap_or_else(|| panic!("no {name}"))
}

fn texts(of: &Value) -> Vec<&str> {
    of.as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect()
}

/// How many bars some warnings are drawn with: one for each stretch of a level.
fn stretches<'a>(warnings: impl IntoIterator<Item = &'a Value>) -> usize {
    warnings.into_iter().map(|warning| list(warning, "levels").len()).sum()
}

/// Sections: their names, and their headings in Chinese and English.
const SECTIONS: [(&str, [&str; 2]); 8] = [
    ("timeline", ["预警时间线", "Warnings over time"]),
    ("judged", ["与实际事件对照", "Beside what happened"]),
    ("county", ["按区县", "By county"]),
    ("rule", ["按规则", "By rule"]),
    ("domain", ["按领域", "By domain"]),
    ("station", ["测站曲线", "A station"]),
    ("sweep", ["阈值扫描", "Sweep"]),
    ("differences", ["逐条差别", "Differences one by one"]),
];

/// Whether all sections are there, in this language and not in the other one.
fn sections_are_there(seen: &Value, language: usize) {
    let sections = seen["sections"].as_object().unwrap();
    assert_eq!(sections.len(), SECTIONS.len(), "{:?}", sections.keys());
    for (name, headings) in SECTIONS {
        let section = &sections[name];
        let text = section["text"].as_str().unwrap();
        assert!(text.starts_with(headings[language]), "{name}: {text}");
        assert!(!text.contains(headings[1 - language]), "{name}: {text}");
        assert!(section["height"].as_f64() > Some(60.0), "{name}: {}", section["height"]);
    }
}

/// Bars of both sets: how many there were at once, the new ones above the old ones, and each warning by itself.
fn the_timeline_is_drawn(seen: &Value, report: &Value) {
    let pictures = list(&seen["sections"]["timeline"], "pictures");
    let [overview, lanes] = pictures else {
        panic!("{} pictures", pictures.len())
    };
    let edge = |set: &str, side: usize| list(overview, set).iter().map(move |bar| bar[side].as_f64().unwrap());
    assert!(edge("new", 0).count() > 10 && edge("old", 0).count() > 10, "{overview}");
    let (bottom, top) = (
        edge("new", 1).fold(0.0, f64::max),
        edge("old", 0).fold(f64::MAX, f64::min),
    );
    assert!(bottom <= top + 0.5, "new bars down to {bottom}, old ones from {top}");
    for (set, warnings) in [("new", "new_warnings"), ("old", "old_warnings")] {
        assert_eq!(list(lanes, set).len(), stretches(list(report, warnings)), "{set}");
    }
    assert_eq!(lanes["events"], list(report, "events").len());
}

/// Lines over the whole width, this wide, each with dashes of its own.
fn lines_are_drawn(lines: &[Value], count: usize, stroke: f64) {
    assert_eq!(lines.len(), count, "{lines:?}");
    let dashes: BTreeSet<&str> = lines.iter().map(|line| line[1].as_str().unwrap()).collect();
    assert!(dashes.len() == count && !dashes.contains("none"), "{dashes:?}");
    for line in lines {
        let [long, thick] = [0_usize, 2].map(|at| line[at].as_f64().unwrap());
        assert!(long > 700.0 && (thick - stroke).abs() < 0.01, "{line}");
    }
}

/// The series, a dashed line for each threshold of either set, and the warnings of both sets below it.
fn the_station_is_drawn(seen: &Value, report: &Value, language: usize) {
    let station = &report["station"];
    let pictures = list(&seen["sections"]["station"], "pictures");
    let curve = &list(station, "curves")[0];
    // As the rules have them; the lowest level first.
    assert_eq!(curve["thresholds"], json!([["blue", 10.0], ["yellow", 25.0]]));
    assert_eq!(curve["old_thresholds"], json!([["blue", 14.0], ["yellow", 20.0]]));
    // The whole time, and closer.
    assert_eq!(pictures.len(), 2 * list(station, "curves").len());
    for picture in pictures {
        assert_eq!(picture["curves"], 1);
        for (set, stroke, name) in [
            ("thresholds", 1.6, ""),
            ("old_thresholds", 0.8, ["旧 ", "old "][language]),
        ] {
            lines_are_drawn(list(picture, set), list(curve, set).len(), stroke);
            let labels = texts(&picture["labels"]);
            for threshold in list(curve, set) {
                let level = threshold[0].as_str().unwrap();
                let level = [if level == "blue" { "蓝色" } else { "黄色" }, level][language];
                let label = format!("{name}{level} {} mm", threshold[1].as_f64().unwrap());
                assert!(labels.contains(&&*label), "no line is called {label}: {labels:?}");
            }
        }
    }
    for (set, warnings) in [("new", "new_warnings"), ("old", "old_warnings")] {
        let of_it = list(report, warnings)
            .iter()
            .filter(|warning| warning["rule"] == station["rule"] && warning["asset"] == station["asset"]);
        let bars = stretches(of_it);
        assert!(bars > 0, "{set}: the station has no warning");
        assert_eq!(list(&pictures[0], set).len(), bars, "{set}");
    }
    let closer = list(&pictures[1], "new").len() + list(&pictures[1], "old").len();
    assert!(closer > 0, "there is nothing to see closer");
}

/// A point for each value, and a line of the table.
fn the_sweep_is_drawn(seen: &Value, report: &Value) {
    let section = &seen["sections"]["sweep"];
    let points = list(report, "sweep");
    assert_eq!(points.len(), 8);
    let names: Vec<&str> = points.iter().map(|point| point["name"].as_str().unwrap()).collect();
    let [curve] = list(section, "pictures") else {
        panic!("one curve")
    };
    assert_eq!(curve["curves"], 1);
    assert_eq!(texts(&curve["points"]), names);
    // Values that come to the same place have one label.
    let labels = texts(&curve["labels"]);
    let values: BTreeSet<&str> = labels.iter().flat_map(|label| label.split([',', ' ', '…'])).collect();
    assert!(values.contains("6") && values.contains("20"), "{labels:?}");
    let rows = list(section, "rows");
    assert_eq!(rows.len(), points.len());
    for (row, point) in rows.iter().zip(points) {
        let scores = &point["scores"];
        let row = texts(row);
        let numbers = [
            &point["warnings"],
            &scores["hits"],
            &scores["misses"],
            &scores["false_alarms"],
        ];
        let shown = [row[0], row[1], row[9], row[10], row[12]];
        assert_eq!(shown[0], point["name"]);
        assert_eq!(shown[1..], numbers.map(Value::to_string), "{row:?}");
    }
}

/// The numbers of a table by county, rule or domain are those of the report.
fn numbers_are_those_of_the_report(seen: &Value, report: &Value) {
    for (section, groups) in [("county", "by_region"), ("rule", "by_rule"), ("domain", "by_domain")] {
        let rows = list(&seen["sections"][section], "rows");
        let groups = list(report, groups);
        assert_eq!(rows.len(), groups.len(), "{section}");
        for (row, group) in rows.iter().zip(groups) {
            let count = |name: &str| group[name].as_u64().unwrap();
            let of = |field: &str, name: &str| group[field][name].as_u64().unwrap();
            let relation = |name: &str| of("relations", name);
            let row = texts(row);
            if section != "domain" {
                let id = group["id"].as_str().unwrap();
                assert!(row[0].contains(id), "{section}: {row:?}");
            }
            let hours = |name: &str| {
                let lasted = riskflow_model::duration::parse(group[name].as_str().unwrap()).unwrap();
                format!("{:.1} h", lasted as f64 / 3_600_000.0)
            };
            let expected = [
                count("new_warnings").to_string(),
                hours("new_lasted"),
                count("old_warnings").to_string(),
                hours("old_lasted"),
                relation("only_new").to_string(),
                relation("only_old").to_string(),
                (relation("level") + relation("time") + relation("level_and_time")).to_string(),
                of("new_scores", "hits").to_string(),
                of("new_scores", "misses").to_string(),
                of("new_scores", "false_alarms").to_string(),
            ];
            assert_eq!(row[1..], expected, "{section}");
        }
    }
    // Two counties, and two rules of which the old set alone has one.
    assert_eq!(list(report, "by_region").len(), 2);
    assert_eq!(list(report, "by_rule").len(), 2);
}

/// A line for each warning that differs, and for each event.
fn lists_are_whole(seen: &Value, report: &Value, language: usize) {
    let differences = list(report, "differences");
    let rows = list(&seen["sections"]["differences"], "rows");
    assert_eq!(rows.len(), differences.len());
    let mut kinds = BTreeSet::new();
    for (row, difference) in rows.iter().zip(differences) {
        let relation = difference["relation"].as_str().unwrap();
        let named = match relation {
            "level" => ["级别不同", "level"],
            "time" => ["时间不同", "time"],
            "level_and_time" => ["级别和时间不同", "level and time"],
            "only_new" => ["仅新规则", "only new"],
            "only_old" => ["仅旧规则", "only old"],
            other => panic!("{other} is listed"),
        };
        kinds.insert(relation);
        let either = ["new", "old"].map(|side| &difference[side]);
        let one = either.into_iter().find(|one| !one.is_null()).unwrap();
        let row = texts(row);
        assert_eq!((&one["asset"], &one["rule"]), (&json!(row[0]), &json!(row[1])));
        assert_eq!(row[2], named[language]);
        for (side, cell) in either.iter().zip(&row[3..]) {
            assert_eq!(side.is_null(), *cell == "–", "{row:?}");
        }
    }
    assert!(kinds.len() >= 3, "too little differs: {kinds:?}");
    let rows = list(&seen["sections"]["judged"], "rows");
    let events = list(report, "events");
    let missed: Vec<bool> = rows
        .iter()
        .map(|row| texts(row)[3] == ["漏报", "missed"][language])
        .collect();
    assert_eq!(missed, [true, false], "the one that was missed stands first");
    assert_eq!(events.len(), 2);
}

#[test]
fn the_page_of_a_back_test_shows_all_of_it_in_both_languages() {
    let folder = tempfile::tempdir().unwrap();
    let (chinese, report) = report(folder.path());
    let radio = |language: &str, on: bool| {
        let checked = if on { " checked" } else { "" };
        format!("id=\"lang-{language}\"{checked}>")
    };
    let english = chinese
        .replace(&radio("zh", true), &radio("zh", false))
        .replace(&radio("en", false), &radio("en", true));
    assert_ne!(chinese, english, "the page has its switch where it is looked for");
    let mut pictures = Vec::new();
    for (index, (language, page)) in [("zh", chinese), ("en", english)].into_iter().enumerate() {
        let file = folder.path().join(format!("{language}.html"));
        let shot = screenshots().join(format!("backtest-{language}.png"));
        let _ = std::fs::remove_file(&shot);
        std::fs::write(&file, &page).unwrap();
        if let Err(why) = draw(&file, &shot) {
            let required = std::env::var("RISKFLOW_REQUIRE_BROWSER").is_ok_and(|value| value == "1");
            assert!(!required, "Chromium draws nothing: {why}");
            let not_run =
                "\n*** NOT RUN: a page in a real browser: Debian: apt-get install chromium fonts-noto-cjk ***";
            let _ = writeln!(std::io::stderr(), "{not_run}");
            return;
        }
        let picture = Picture::read(&shot);
        for (name, colour, least) in [("blue", BLUE, 200), ("yellow", YELLOW, 40), ("ink", INK, 2_000)] {
            let found = picture.count(colour);
            assert!(found > least, "{language}: {found} pixels are {name}");
        }
        assert!(
            picture.depth() > 1_000,
            "{language}: {} rows are drawn",
            picture.depth()
        );
        pictures.push(picture);

        let seen = look(folder.path(), &page);
        sections_are_there(&seen, index);
        the_timeline_is_drawn(&seen, &report);
        the_station_is_drawn(&seen, &report, index);
        the_sweep_is_drawn(&seen, &report);
        numbers_are_those_of_the_report(&seen, &report);
        lists_are_whole(&seen, &report, index);
        // Names of rules and regions are Chinese in both languages; none is a box in the place of a character.
        let least = [60, 3][index];
        assert!(
            seen["chinese"].as_u64() >= Some(least),
            "{language}: {}",
            seen["chinese"]
        );
        assert_eq!(
            (&seen["images"], &seen["missing"]),
            (&seen["chinese"], &json!(false)),
            "{language}"
        );
    }
    assert!(pictures[0].0 != pictures[1].0, "both languages look the same");
}
