//! Actions over HTTP and from a shell: who may, what is refused, and that what is answered is durable.

mod jobs;
mod packs;
mod requests;
mod rule_sets;
mod sweeps;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use riskflow::runtime::http::{Explain, Server, Times, WayIn};
use riskflow::runtime::job::Handles;
use riskflow::runtime::views::Tables;
use riskflow_config::{
    ActionSettings, Capabilities, HttpSettings, Input, ReadingSettings, TlsSettings, TokenSettings, TopicSettings,
};
use riskflow_connectors::log::LogWriter;
use riskflow_connectors::{Append, open_append};
use riskflow_model::output::{CaseState, WarningState};
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, OutputRow};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// Tokens of the town 330902001 (which may not override), and of the whole city.
pub const TOWN: &str = "town-secret";
pub const CITY: &str = "city-secret";

/// The program, with these settings.
fn riskflow(arguments: &[&str], sets: &[&str]) -> Output {
    let mut command = Command::new(crate::kafka::riskflow());
    command
        .args(arguments)
        .args(["--log", "warn", "--set", "http.enabled=false"]);
    for set in sets {
        command.args(["--set", set]);
    }
    command.output().unwrap()
}

/// What curl got.
pub struct Got {
    pub status: u16,
    pub headers: String,
    pub body: String,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Asks by curl, which leaves paths as they are; `None` when there was no answer.
pub fn curl(url: &str, arguments: &[&str]) -> Option<Got> {
    let output = Command::new("curl")
        .args(["-s", "-i", "--path-as-is", "--max-time", "30", "-H", "Expect:"])
        .args(arguments)
        .arg(url)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (headers, body) = text.split_once("\r\n\r\n")?;
    let status = headers.split(' ').nth(1)?.parse().ok()?;
    Some(Got {
        status,
        headers: headers.to_lowercase(),
        body: body.to_owned(),
    })
}

/// A server over tables that are made up, and a real log behind it.
pub struct Desk {
    folder: TempDir,
    pub handles: Handles,
    server: Server,
    scheme: &'static str,
}

/// A log of actions, and what appends to it.
fn way_in() -> (TempDir, Box<dyn Append>) {
    let folder = tempfile::tempdir().unwrap();
    drop(LogWriter::open(folder.path(), Topic::IN_ACTION.name(), 2).unwrap());
    let way_in = open_append(&Input::Log(folder.path().to_owned()), &topics(), Topic::IN_ACTION).unwrap();
    (folder, way_in)
}

fn topics() -> TopicSettings {
    TopicSettings {
        prefix: String::new(),
        partitions: 2,
        replication: 1,
        retention: 604_800_000,
        exercise: false,
        forced: false,
        tidy: riskflow_config::Tidy::default(),
    }
}

impl Desk {
    pub fn open() -> Self {
        Self::taking(&Capabilities::default())
    }

    pub fn taking(capabilities: &Capabilities) -> Self {
        let (folder, way_in) = way_in();
        Self::with_parts(capabilities, folder, Some(way_in), None)
    }

    /// Reading needs a token. Its explanations say what was asked.
    pub fn behind_tokens(reading: ReadingSettings) -> Self {
        let (folder, way_in) = way_in();
        let settings = HttpSettings {
            reading: Some(reading),
            ..HttpSettings::at("127.0.0.1:0".parse().unwrap())
        };
        let explain: Explain = Arc::new(|question, _| Ok(json!({ "asked": format!("{question:?}") }).to_string()));
        Self::serving(
            &Capabilities::default(),
            folder,
            (Some(way_in), Some(explain)),
            settings,
        )
    }

    /// Other tokens that read, from now on.
    pub fn read_by(&self, reading: ReadingSettings) {
        let settings = HttpSettings {
            reading: Some(reading),
            ..HttpSettings::at(self.server.address)
        };
        let control = self.server.control();
        let Ok(prepared) = control.prepare(&settings) else {
            panic!("tokens can be changed")
        };
        control.apply(prepared);
    }

    /// Without `way_in` it takes no actions.
    fn with(folder: TempDir, way_in: Option<Box<dyn Append>>, tls: Option<TlsSettings>) -> Self {
        Self::with_parts(&Capabilities::default(), folder, way_in, tls)
    }

    fn with_parts(
        capabilities: &Capabilities,
        folder: TempDir,
        way_in: Option<Box<dyn Append>>,
        tls: Option<TlsSettings>,
    ) -> Self {
        let settings = HttpSettings {
            tls,
            ..HttpSettings::at("127.0.0.1:0".parse().unwrap())
        };
        Self::serving(capabilities, folder, (way_in, None), settings)
    }

    fn serving(
        capabilities: &Capabilities,
        folder: TempDir,
        (way_in, explain): (Option<Box<dyn Append>>, Option<Explain>),
        settings: HttpSettings,
    ) -> Self {
        let handles = Handles::new().unwrap();
        handles.views.store(&tables());
        handles.ready.store(true, Ordering::Release);
        let token = |name: &str, secret: &str, region: &str| TokenSettings {
            name: name.to_owned(),
            sha256: Sha256::digest(secret).into(),
            role: "duty".to_owned(),
            unit: Some(format!("unit-{region}")),
            region: region.parse().unwrap(),
            overrides: name == "city",
            promote: name == "city",
            checkpoint: name == "city",
        };
        let scheme = if settings.tls.is_some() { "https" } else { "http" };
        let settings = HttpSettings {
            actions: way_in.is_some().then(|| ActionSettings {
                tokens: vec![token("town", TOWN, "330902001"), token("city", CITY, "3309")],
            }),
            ..settings
        };
        let times = Times {
            horizon: Duration(86_400_000),
            max_future: Duration(60_000),
        };
        let way_in = way_in.map(|to| WayIn {
            to,
            rule_sets: None,
            times,
        });
        let server = Server::start(&settings, capabilities, handles.clone(), way_in, explain).unwrap();
        Self {
            folder,
            handles,
            server,
            scheme,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.server.address)
    }

    fn post(&self, path: &str, token: Option<&str>, body: &str, more: &[&str]) -> Got {
        let file = self.folder.path().join("body");
        std::fs::write(&file, body).unwrap();
        let data = format!("@{}", file.display());
        let bearer = token.map(|token| format!("Authorization: Bearer {token}"));
        let mut arguments = vec!["-X", "POST", "--data-binary", &data];
        arguments.extend(bearer.iter().flat_map(|bearer| ["-H", bearer.as_str()]));
        if !more.iter().any(|more| more.starts_with("Content-Type")) {
            arguments.extend(["-H", "Content-Type: application/json"]);
        }
        arguments.extend(more);
        curl(&self.url(path), &arguments).expect("an answer")
    }

    pub fn act(&self, case: &str, body: &Value) -> Got {
        self.post(&actions_of(case), Some(TOWN), &body.to_string(), &[])
    }

    /// How many requests had this outcome.
    fn count(&self, outcome: &str) -> u64 {
        let text = self.handles.metrics.render(&self.handles.meters);
        let name = format!("riskflow_action_requests_total{{outcome=\"{outcome}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap_or_else(|| panic!("no metric for {outcome}"))
            .parse()
            .unwrap()
    }

    /// What is in `in.action`, as the program prints it.
    pub fn written(&self) -> Vec<Value> {
        written(self.folder.path())
    }
}

fn written(folder: &Path) -> Vec<Value> {
    let output = riskflow(&["tail", "in.action", "--json"], &[&format!("input.path={folder:?}")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn actions_of(case: &str) -> String {
    format!("/api/v1/warnings/{case}/actions")
}

/// Open warnings `near` (in the town) and `far` (in another county), and the case `incident` in the town.
pub fn tables() -> Tables {
    let mut tables = Tables::default();
    for (id, region) in [("near", "330902001001"), ("far", "330903001001")] {
        let row = json!({
            "id": id, "rule": "gas", "asset": "tank", "domain": "work_safety", "region": region, "level": "red", "since": 0,
            "stale": false,
        });
        assert_eq!(row["id"], id);
        tables.insert(OutputRow::new(serde_json::from_value::<WarningState>(row).unwrap()));
    }
    let case = json!({
        "id": "incident", "incident": true, "rule": "fire", "asset": null, "domain": "public_safety", "region": "330902001002",
        "since": 0, "level": "orange", "peak": "orange", "basis": "active", "step": "dispatched", "entered": 0, "due": null,
        "round": 1, "rejected": null, "suppressed_until": null, "escalations": [], "obligations": [], "tasks": [],
        "times": {"issued": 0, "acknowledged": null, "in_time": false, "archived": null},
        "people": {"assignee": null, "notes": [], "evidence": []},
        "counts": {"escalations": 0, "obligations": 0, "tasks": 0, "notes": 0, "evidence": 0},
    });
    tables.insert(OutputRow::new(serde_json::from_value::<CaseState>(case).unwrap()));
    tables
}
