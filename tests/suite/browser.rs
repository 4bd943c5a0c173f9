//! The page of a back-test in a real browser: what it shows, pixel by pixel.
//!
//! Chromium draws it, in both languages; `RISKFLOW_SCREENSHOTS` names a folder in which the pictures are kept. Without Chromium the test
//! says that it did not run, and fails where `RISKFLOW_REQUIRE_BROWSER` is 1.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const WIDTH: usize = 1_200;
const HEIGHT: usize = 2_400;

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

/// Draws a page; says why not where there is no browser that can.
fn draw(page: &Path, picture: &Path) -> Result<(), String> {
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new("chromium");
    command.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--force-device-scale-factor=1",
        &format!("--window-size={WIDTH},{HEIGHT}"),
        &format!("--user-data-dir={}", profile.path().display()),
        &format!("--screenshot={}", picture.display()),
        &format!("file://{}", page.display()),
    ]);
    // It may wait for a desktop that is not there.
    let mut limited = Command::new("timeout");
    limited.arg("120").arg(command.get_program()).args(command.get_args());
    let output = limited
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if picture.exists() {
        return Ok(());
    }
    Err(format!(
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// The rain pack over the first half of the real year of two stations, judged by made-up floods.
fn report(folder: &Path) -> String {
    let history = folder.join("history");
    let run = |arguments: &[&str]| {
        let output = Command::new(crate::kafka::riskflow())
            .args(arguments)
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["generate", "weather", "--out", "history"]);
    let floods = "place,from,to\n330902,2013-06-07T00:00:00+08:00,2013-06-08T00:00:00+08:00\n";
    std::fs::write(folder.join("floods.csv"), floods).unwrap();
    let rule = r#"{"id":"wet","version":1,"source":"test","select":{"observed_property":"rainfall"},"levels":{"blue":{"when":{"feature":"sum","window":"12h","op":">=","threshold":10}},"yellow":{"when":{"feature":"sum","window":"12h","op":">=","threshold":25}}}}"#;
    std::fs::write(folder.join("wet.json"), rule).unwrap();
    let arguments = [
        "backtest",
        "--rules",
        "wet.json",
        "--truth",
        "floods.csv",
        "--sweep",
        "wet.blue=6..20/2",
        "--html",
        "report.html",
        history.to_str().unwrap(),
    ];
    run(&arguments);
    std::fs::read_to_string(folder.join("report.html")).unwrap()
}

#[test]
fn the_page_of_a_back_test_shows_its_warnings_in_both_languages() {
    let folder = tempfile::tempdir().unwrap();
    let chinese = report(folder.path());
    let radio = |language: &str, on: bool| {
        let checked = if on { " checked" } else { "" };
        format!("id=\"lang-{language}\"{checked}>")
    };
    let english = chinese
        .replace(&radio("zh", true), &radio("zh", false))
        .replace(&radio("en", false), &radio("en", true));
    assert_ne!(chinese, english, "the page has its switch where it is looked for");
    let mut pictures = Vec::new();
    for (language, page) in [("zh", chinese), ("en", english)] {
        let file = folder.path().join(format!("{language}.html"));
        let shot = folder.path().join(format!("{language}.png"));
        std::fs::write(&file, page).unwrap();
        if let Err(why) = draw(&file, &shot) {
            let required = std::env::var("RISKFLOW_REQUIRE_BROWSER").is_ok_and(|value| value == "1");
            assert!(!required, "Chromium draws nothing: {why}");
            let not_run =
                "\n*** NOT RUN: a page in a real browser: Debian: apt-get install chromium fonts-noto-cjk ***";
            let _ = writeln!(std::io::stderr(), "{not_run}");
            return;
        }
        if let Some(kept) = std::env::var_os("RISKFLOW_SCREENSHOTS") {
            let kept = Path::new(&kept);
            std::fs::create_dir_all(kept).unwrap();
            std::fs::copy(&shot, kept.join(format!("backtest-{language}.png"))).unwrap();
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
    }
    assert!(pictures[0].0 != pictures[1].0, "both languages look the same");
}
