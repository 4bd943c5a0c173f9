//! Configurations that are read again: a hundred of them, good and bad, under a steady load, with no epoch lost; and those that a running
//! job notices by itself.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::chaos::place::Place as _;
use crate::chaos::{Feed, verdict};
use crate::supervised::{Job, Reloading, Token, metric, until};

/// How many configurations are read, half of which cannot be used.
const RELOADS: usize = 100;

/// Puts a file in the place of another, whole, as editors and packages do; without a text it is gone.
fn put(file: &Path, text: Option<&str>) {
    let Some(text) = text else {
        return std::fs::remove_file(file).unwrap();
    };
    let next = file.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(&next, file).unwrap();
}

/// What cannot be used, in one way or another; `None`: there is no such file.
fn bad(good: &str, number: usize) -> Option<String> {
    match number % 4 {
        0 => Some(format!("{good}\nepoch.in_flight=0\n")),
        1 => Some(format!("{good}\n[[[\n")),
        2 => Some(good.replace("sha256 = \"", "sha256 = \"no hash ")),
        _ => None,
    }
}

/// How often a configuration was applied, and how often refused.
fn counts(listens: SocketAddr) -> [usize; 2] {
    ["applied", "refused"].map(|result| {
        let name = format!("riskflow_config_reloads_total{{result=\"{result}\"}}");
        until("there are no metrics", || metric(listens, &name)) as usize
    })
}

fn live(listens: SocketAddr) {
    until("the job does not get to the present", || {
        (metric(listens, "riskflow_state{state=\"live\"}") == Some(1.0)).then_some(())
    });
}

/// A job whose configuration is read again and again.
struct Often {
    listens: SocketAddr,
    job: String,
    file: PathBuf,
    tokens: [Token; 2],
    /// The configurations with either token.
    texts: [String; 2],
}

impl Often {
    /// Reads what is there now, which is the configuration of this number, and looks who may act then.
    fn read(&self, number: usize, expected: [usize; 2], known: usize) {
        assert!(
            Command::new("kill")
                .args(["-HUP", &self.job])
                .status()
                .unwrap()
                .success()
        );
        until("it was not read", || (counts(self.listens) == expected).then_some(()));
        let asked = self.tokens.each_ref().map(|token| token.asks(self.listens));
        assert_eq!(asked, [[404, 401], [401, 404]][known], "after {number}");
    }

    fn read_all(&self) {
        for number in 0..RELOADS / 2 {
            let which = number % 2;
            // Every other one has a setting that would change the answer, and must not before a restart.
            let waits = number % 4 > 1;
            let good = if waits {
                self.texts[which].replace("time.horizon=\"10s\"", "time.horizon=\"20s\"")
            } else {
                self.texts[which].clone()
            };
            assert_eq!(good != self.texts[which], waits);
            put(&self.file, Some(&good));
            self.read(number, [number + 1, number], which);
            let required = metric(self.listens, "riskflow_config_restart_required");
            assert_eq!(required, Some(f64::from(u8::from(waits))), "{number}");
            put(&self.file, bad(&good, number).as_deref());
            // What was in force stays so.
            self.read(number, [number + 1, number + 1], which);
        }
    }
}

#[test]
fn a_hundred_reloads_under_load_lose_no_epoch_and_change_no_answer() {
    let world = Reloading::new();
    let mut feed = Feed::new(33);
    feed.begin(&world.place);
    let tokens = [Token("even secret"), Token("odd secret")];
    let texts = tokens
        .each_ref()
        .map(|token| std::fs::read_to_string(world.put(token, &[])).unwrap());
    let file = world.put(&tokens[0], &[]);
    let job = Job::start(&file, None);
    live(world.listens);
    let often = Often {
        listens: world.listens,
        job: job.child.id().to_string(),
        file,
        tokens,
        texts,
    };
    // Records come in all the while, beside it.
    let (mut steps, epochs) = (0, metric(world.listens, "riskflow_epochs_total").unwrap());
    std::thread::scope(|scope| {
        let reloads = scope.spawn(|| often.read_all());
        while !reloads.is_finished() {
            feed.step(&world.place);
            steps += 1;
        }
        reloads.join().unwrap();
    });
    assert_eq!(counts(world.listens), [RELOADS / 2, RELOADS / 2]);
    let epochs = metric(world.listens, "riskflow_epochs_total").unwrap() - epochs;
    assert!(steps > 20 && epochs > 10.0, "{steps} steps, {epochs} epochs: no load");
    let end = world.place.ends();
    until("the job does not get through its input", || {
        verdict::taken(&world.place).covers(&end).then_some(())
    });
    job.stop();
    // Each epoch behind the one before, and all that a job would say that reads its configuration once.
    let report = verdict::judge(&world.place);
    let _ = writeln!(
        std::io::stderr(),
        "{RELOADS} reloads, {steps} steps of input meanwhile: {report}"
    );
}

#[test]
fn a_job_that_watches_its_files_reads_them_when_they_changed_and_not_before() {
    let world = Reloading::new();
    Feed::new(34).begin(&world.place);
    let (old, new) = (Token("old secret"), Token("new secret"));
    let secret = world.folder.path().join("hash");
    let hash = |token: &Token| {
        let written = token.configured();
        let (_, rest) = written.split_once("sha256 = \"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    put(&secret, Some(&hash(&old)));
    // The hash stands in a file of its own, which changes while the configuration stays as it is.
    let watch = |more: &[&str]| {
        let file = world.put(&old, &[&["reload.watch=true"][..], more].concat());
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.replace(&format!("\"{}\"", hash(&old)), &format!("{{ file = {secret:?} }}"));
        (file, text)
    };
    let (_, more) = watch(&["http.hosts=[\"risk.example\"]", "epoch.heartbeat=\"2s\""]);
    let (file, text) = watch(&[]);
    put(&file, Some(&text));
    let job = Job::start(&file, None);
    live(world.listens);
    let asked = || [&old, &new].map(|token| token.asks(world.listens));
    assert_eq!((asked(), counts(world.listens)), ([404, 401], [0, 0]));

    put(&secret, Some(&hash(&new)));
    until("a file of a secret is not noticed", || {
        (counts(world.listens) == [1, 0]).then_some(())
    });
    assert_eq!(asked(), [401, 404]);

    // Written in place, not put in its place.
    std::fs::write(&file, &more).unwrap();
    until("a change in place is not noticed", || {
        (counts(world.listens) == [2, 0]).then_some(())
    });
    assert_eq!(metric(world.listens, "riskflow_config_restart_required"), Some(1.0));
    until("what needs a restart is not named", || job.says("epoch.heartbeat"));

    // What cannot be used is refused once, however long it stands there.
    put(&file, Some(&format!("{more}\nepoch.in_flight=0\n")));
    until("a bad file is not refused", || {
        (counts(world.listens) == [2, 1]).then_some(())
    });
    until("it is not said why", || job.says("`epoch.in_flight`"));
    // The file of a secret that comes later than the configuration that names it: the two are mounted apart.
    let late = world.folder.path().join("late");
    let moved = more.replace(&format!("{secret:?}"), &format!("{late:?}"));
    put(&file, Some(&moved));
    until("a secret that is not there is not refused", || {
        (counts(world.listens) == [2, 2]).then_some(())
    });
    assert_eq!(asked(), [401, 404]);
    put(&late, Some(&hash(&old)));
    until("a secret that came is not noticed", || {
        (counts(world.listens) == [3, 2]).then_some(())
    });
    assert_eq!(asked(), [404, 401]);

    // Without watching only SIGHUP counts, which reads that it is to watch no more.
    put(&file, Some(&moved.replace("reload.watch=true", "reload.watch=false")));
    until("the last change is not noticed", || {
        (counts(world.listens) == [4, 2]).then_some(())
    });
    job.stop();
}
