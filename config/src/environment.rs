//! Fields that stand over the file, from variables of the environment: `RISKFLOW__CLUSTER__PROCESS=1`.
//!
//! Behind `RISKFLOW__` stands the path of the field in capitals, with `__` for each dot; names of Kafka's properties have `_` for
//! theirs (`RISKFLOW__KAFKA__PROPERTIES__SASL_USERNAME`). What the field takes decides how the value is read: a text as it is,
//! without quotes; a number or a truth value as TOML writes them; a list of texts with commas between them, or any list and table as
//! TOML. A property that may be secret takes `{ file = "…" }` and `{ env = "…" }`, too.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;

use riskflow_model::Problems;
use toml::{Table, Value};

use crate::WrittenSettings;
use crate::origin::{Origin, Origins};
use crate::read::{may_be_secret, section, without_secret};

/// How all of them begin.
const PREFIX: &str = "RISKFLOW__";

/// How all begin that may be meant for riskflow.
const NAME: &str = "RISKFLOW_";

/// The variables that riskflow reads besides: options of its commands.
pub const OPTIONS: [&str; 7] = [
    "RISKFLOW_ACTOR",
    "RISKFLOW_CONFIG",
    "RISKFLOW_LOG",
    "RISKFLOW_LOG_FORMAT",
    "RISKFLOW_ROLE",
    "RISKFLOW_TOKEN",
    "RISKFLOW_UNIT",
];

/// How those begin that only riskflow's tests read.
const OF_TESTS: [&str; 2] = ["RISKFLOW_REQUIRE_", "RISKFLOW_TEST_"];

/// The variables that may be meant for riskflow.
#[derive(Clone, Default)]
pub struct Environment {
    /// Those that set fields, by name; a value that is no UTF-8 is `None`.
    fields: BTreeMap<String, Option<String>>,
    /// Names that begin like these, and that nothing here reads.
    strange: BTreeSet<String>,
}

/// Without values, which may be secret.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Environment {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::of(std::env::vars_os())
    }

    /// Those of these that set fields.
    pub fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut this = Self::default();
        for (name, value) in variables {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with(PREFIX) {
                this.fields.insert(name, value.into_string().ok());
            } else if name.starts_with(NAME)
                && !OPTIONS.contains(&name.as_str())
                && !OF_TESTS.iter().any(|tests| name.starts_with(tests))
            {
                this.strange.insert(name);
            }
        }
        this
    }

    /// The names of those that set fields, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    /// The names that begin with `RISKFLOW_` and that nothing reads, without those that these settings name themselves
    /// (`{ env = "RISKFLOW_PASSWORD" }`). One that has `__` further on was meant for a field: that is a problem, the others may be
    /// for somebody else.
    pub(crate) fn unread(&self, written: &WrittenSettings, problems: &mut Problems) -> Vec<String> {
        if self.strange.is_empty() {
            return Vec::new();
        }
        // Settings that cannot be written out name nothing.
        let written = toml::to_string(written).unwrap_or_default();
        let strange = self
            .strange
            .iter()
            .filter(|name| !written.contains(&format!("env = \"{name}\"")));
        let (fields, others): (Vec<&String>, Vec<&String>) = strange.partition(|name| name.contains("__"));
        for name in fields {
            let meant = name.replacen(NAME, PREFIX, 1);
            let found = "set, and nothing reads it: it has one `_` behind RISKFLOW";
            problems.add(name.as_str(), found, format!("`{meant}`"));
        }
        others.into_iter().cloned().collect()
    }

    /// Puts them over what is in the table; what cannot be used is left out.
    pub(crate) fn put_over(&self, table: &mut Table, origins: &mut Origins, problems: &mut Problems) {
        let mut known: BTreeMap<Vec<String>, &str> = BTreeMap::new();
        for (name, value) in &self.fields {
            let Some(path) = path_of(name) else {
                problems.add(
                    name.as_str(),
                    "not usable: it names no field",
                    "a name such as `RISKFLOW__EPOCH__TICK`",
                );
                continue;
            };
            if let Some(other) = known.insert(path.clone(), name) {
                let found = format!("set, and so is `{other}`, which names the same field");
                problems.add(name.as_str(), found, "one of both");
                continue;
            }
            let Some(text) = value else {
                problems.add(path.join("."), format!("no UTF-8, from the variable `{name}`"), "UTF-8");
                continue;
            };
            match read(&path, text) {
                Ok(value) => put(table, &path, value, name, origins, problems),
                Err(wrong) => wrong.tell(name, &path, text, problems),
            }
        }
    }
}

fn put(table: &mut Table, path: &[String], value: Value, name: &str, origins: &mut Origins, problems: &mut Problems) {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let Some((last, sections)) = path.split_last() else {
        return;
    };
    match section(table, sections) {
        Ok(place) => {
            origins.set(&path, &value, &Origin::Variable(name.to_owned()));
            place.insert((*last).to_owned(), value);
        }
        Err(part) => {
            let found = format!("not usable: `{part}` is no section in the file");
            problems.add(name, found, "nothing, or a section there");
        }
    }
}

/// The path of the field that a variable names.
fn path_of(name: &str) -> Option<Vec<String>> {
    let named = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
    let parts: Vec<&str> = named.split("__").collect();
    if parts.iter().any(|part| part.is_empty()) {
        return None;
    }
    let path = match parts.as_slice() {
        // A shell has no names with dots in them, and no property has another `_`.
        ["kafka", "properties", first, rest @ ..] => {
            let property = [&[*first][..], rest].concat().join(".").replace('_', ".");
            vec!["kafka".to_owned(), "properties".to_owned(), property]
        }
        parts => parts.iter().map(|part| (*part).to_owned()).collect(),
    };
    Some(path)
}

/// Why a field does not take a value.
struct Wrong {
    /// The path to what is wrong: the field, what is in it, or what it should be in.
    at: String,
    /// How long that path is.
    depth: usize,
    /// What the parser says.
    message: String,
}

/// The value that a field takes: the first reading of the text that it does.
fn read(path: &[String], text: &str) -> Result<Value, Wrong> {
    let toml = as_toml(text);
    // Any text may be a password: only what says where it stands is none.
    if let Some(place) = toml.as_ref().filter(|value| is_place(value))
        && try_out(path, place).is_ok()
    {
        return Ok(place.clone());
    }
    let plain = Value::from(text);
    let Err(mut wrong) = try_out(path, &plain) else {
        return Ok(plain);
    };
    let list = wrong.depth == path.len() && wrong.message.ends_with(", expected a sequence");
    let list = list.then(|| as_list(text));
    let is_array = matches!(toml, Some(Value::Array(_)));
    for value in toml.into_iter().chain(list.filter(|_| !is_array)) {
        match try_out(path, &value) {
            Ok(()) => return Ok(value),
            // What came furthest into the configuration knows best.
            Err(other) if other.depth > wrong.depth => wrong = other,
            Err(_) => {}
        }
    }
    Err(wrong)
}

/// A text as one value of TOML, if it is one.
fn as_toml(text: &str) -> Option<Value> {
    let table = format!("value = {}", text.trim()).parse::<Table>().ok();
    table
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"))
}

/// Texts with commas between them.
fn as_list(text: &str) -> Value {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    Value::Array(parts.map(Value::from).collect())
}

/// Whether it says where a secret stands.
fn is_place(value: &Value) -> bool {
    value
        .as_table()
        .is_some_and(|table| table.len() == 1 && (table.contains_key("file") || table.contains_key("env")))
}

/// Whether the field takes the value.
fn try_out(path: &[String], value: &Value) -> Result<(), Wrong> {
    let mut whole = value.clone();
    for key in path.iter().rev() {
        let mut table = Table::new();
        table.insert(key.clone(), whole);
        whole = Value::Table(table);
    }
    match serde_path_to_error::deserialize::<_, WrittenSettings>(whole) {
        Ok(_) => Ok(()),
        Err(error) => Err(Wrong {
            at: error.path().to_string(),
            depth: error.path().iter().count(),
            message: error.inner().message().to_owned(),
        }),
    }
}

impl Wrong {
    /// Whether the variable names something that is not there.
    fn is_unknown(&self, path: &[String]) -> bool {
        let named = path.last().map_or("", String::as_str);
        self.depth < path.len()
            || (self.depth == path.len()
                && (self.message.starts_with("unknown field")
                    || self.message.starts_with(&format!("unknown variant `{named}`, "))))
    }

    /// Says so: the variable, what it has unless that may be secret, and what to give.
    fn tell(&self, name: &str, path: &[String], text: &str, problems: &mut Problems) {
        let field = path.join(".");
        let give = match self.message.rsplit_once(", expected ") {
            Some((_, expected)) => in_words(expected),
            None => "what `riskflow schema config` describes".to_owned(),
        };
        if self.is_unknown(path) {
            let give = if self.message.starts_with("unknown ") {
                give
            } else {
                "a field that `riskflow schema config` describes".to_owned()
            };
            problems.add(name, format!("set, and there is no field `{field}`"), give);
        } else if self.depth > path.len() {
            let message = without_secret(&self.at, &self.message);
            let (found, _) = message.rsplit_once(", expected ").unwrap_or((message.as_str(), ""));
            let found = format!("wrong: {found}, from the variable `{name}`");
            problems.add(self.at.as_str(), found, give);
        } else {
            let shown = if give == TABLE {
                "no table".to_owned()
            } else if may_be_secret(&field) {
                "of another kind".to_owned()
            } else {
                format!("`{text}`")
            };
            problems.add(field, format!("{shown}, from the variable `{name}`"), give);
        }
    }
}

/// What to give where there are fields within.
const TABLE: &str = "a table as TOML writes it, or a variable for each of its fields";

/// What a parser expects, for people.
fn in_words(expected: &str) -> String {
    match expected {
        "u8" => "a number from 0 to 255".to_owned(),
        "u16" => "a number from 0 to 65535".to_owned(),
        "u32" | "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a sequence" => "texts with commas between them, or a list as TOML writes it".to_owned(),
        "a map" => TABLE.to_owned(),
        of_struct if of_struct.starts_with("struct ") => TABLE.to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Input, Loaded};

    fn load(toml: &str, variables: &[(&str, &str)], sets: &[&str]) -> Result<Loaded, Problems> {
        let variables = variables
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        WrittenSettings::load_over(toml, "my.toml", &Environment::of(variables), &sets)
    }

    /// A field of each kind.
    #[test]
    fn every_kind_of_field_is_read_as_what_it_takes() {
        let loaded = load(
            "[cluster]\nworkers = 1\n[http]\nhosts = [\"old\"]\n",
            &[
                ("RISKFLOW__CLUSTER__WORKERS", "2"),
                ("RISKFLOW__CLUSTER__HOSTS", "a:1, b:2"),
                ("RISKFLOW__CLUSTER__PROCESS", "1"),
                ("RISKFLOW__RECOVERY__VERIFY", "false"),
                ("RISKFLOW__EPOCH__TICK", "10ms"),
                ("RISKFLOW__EPOCH__QUIET", "close"),
                ("RISKFLOW__RISK__CUTS__RED", "13"),
                ("RISKFLOW__TOPICS__PREFIX", "2026"),
                ("RISKFLOW__HTTP__HOSTS", "[\"c.example\", \"d.example\"]"),
                ("RISKFLOW__CASE__DEADLINES__RED__CALLED", "4m"),
                ("RISKFLOW__CASE__DOMAINS__WORK_SAFETY__REMIND__RED", "5m"),
                ("RISKFLOW__CASE__REMIND", "{ red = \"9m\" }"),
                ("RISKFLOW__INPUT__KIND", "files"),
                ("RISKFLOW__INPUT__CLOCK", "arrival"),
                ("RISKFLOW__INPUT__FILES", "[{ path = \"a.csv\", topic = \"in.rule\" }]"),
                ("RISKFLOW__OUTPUT__PATH", "out put"),
                ("RISKFLOW_LOG", "not ours"),
                ("PATH", "/bin"),
            ],
            &[],
        );
        let loaded = loaded.unwrap();
        let (written, settings) = (&loaded.written, &loaded.settings);
        assert_eq!(written.cluster.workers, 2);
        assert_eq!(settings.cluster.hosts, ["a:1", "b:2"]);
        assert_eq!(settings.cluster.process, 1);
        assert!(!written.recovery.verify);
        assert_eq!(written.epoch.tick, "10ms");
        assert_eq!(settings.epoch.quiet, crate::Quiet::Close);
        assert_eq!(settings.cuts.least, [1, 4, 8, 13]);
        assert_eq!(settings.topics.prefix, "2026");
        assert_eq!(written.http.hosts, ["c.example", "d.example"]);
        let json = serde_json::to_value(&written.case).unwrap();
        assert_eq!(json["deadlines"]["red"]["called"], "4m");
        assert_eq!(json["domains"]["work_safety"]["remind"]["red"], "5m");
        assert_eq!(json["remind"]["red"], "9m");
        assert!(matches!(&settings.input, Input::Files(files) if files[0].path.as_os_str() == "a.csv"));
        assert_eq!(written.output.path.as_os_str(), "out put");
        let variable = Origin::Variable("RISKFLOW__HTTP__HOSTS".to_owned());
        assert_eq!(loaded.origins.of("http.hosts"), Some(&variable));
    }

    #[test]
    fn options_stand_over_the_environment_and_this_over_the_file() {
        let variables = [("RISKFLOW__EPOCH__TICK", "20ms"), ("RISKFLOW__EPOCH__HEARTBEAT", "2s")];
        let loaded = load(
            "epoch.tick = \"1s\"\nepoch.in_flight = 3\n",
            &variables,
            &["epoch.tick=30ms"],
        )
        .unwrap();
        let epoch = &loaded.written.epoch;
        assert_eq!(
            (epoch.tick.as_str(), epoch.heartbeat.as_str(), epoch.in_flight),
            ("30ms", "2s", 3)
        );
        let of = |field: &str| loaded.origins.of(field).map(ToString::to_string);
        assert_eq!(of("epoch.tick").as_deref(), Some("from --set"));
        assert_eq!(
            of("epoch.heartbeat").as_deref(),
            Some("from RISKFLOW__EPOCH__HEARTBEAT")
        );
        assert_eq!(of("epoch.in_flight").as_deref(), Some("from the file"));
        assert_eq!(of("epoch.quiet"), None);
    }

    #[test]
    fn properties_of_kafka_have_dots_and_their_values_are_texts() {
        let file = std::env::temp_dir().join(format!("riskflow-environment-{}", std::process::id()));
        std::fs::write(&file, "s3cr3t\n").unwrap();
        let place = format!("{{ file = {file:?} }}");
        let loaded = load(
            "input.kind = \"kafka\"\nkafka.brokers = \"a:1\"\n",
            &[
                ("RISKFLOW__KAFKA__BROKERS", "b:2"),
                ("RISKFLOW__KAFKA__PROPERTIES__SASL_PASSWORD", place.as_str()),
                ("RISKFLOW__KAFKA__PROPERTIES__SSL__KEY__PASSWORD", "[1, {a]"),
                ("RISKFLOW__KAFKA__PROPERTIES__LINGER_MS", "5"),
                ("RISKFLOW__KAFKA__PROPERTIES__SASL_USERNAME", "{ user = 1 }"),
            ],
            &[],
        );
        std::fs::remove_file(&file).unwrap();
        let Input::Kafka(kafka) = loaded.unwrap().settings.input else {
            panic!("it is Kafka")
        };
        assert_eq!(kafka.brokers, "b:2");
        let properties: Vec<(&str, &str)> = kafka
            .properties
            .iter()
            .map(|(name, value)| (name.as_str(), value.reveal()))
            .collect();
        let expected = [
            ("linger.ms", "5"),
            ("sasl.password", "s3cr3t"),
            ("sasl.username", "{ user = 1 }"),
            ("ssl.key.password", "[1, {a]"),
        ];
        assert_eq!(properties, expected);
    }

    /// With what the file has wrong, and `--set`, in one list.
    #[test]
    fn every_problem_names_the_variable_what_it_has_and_what_to_give() {
        let problems = load(
            "epoch.tik = \"1s\"\n",
            &[
                ("RISKFLOW__", "x"),
                ("RISKFLOW__CLUSTER__HOSTS", "nowhere"),
                ("RISKFLOW__CLUSTER__PROCESSES", "-1"),
                ("RISKFLOW__CLUSTER__WORKERS", "0"),
                ("RISKFLOW__EPOCH__IN_FLIGHT", "many"),
                ("RISKFLOW__EPOCH__QUIET", "maybe"),
                ("RISKFLOW__EPOCH__TOCK", "1s"),
                ("RISKFLOW__HTTP", "on"),
                ("RISKFLOW__INPUT__FILES", "[{ path = \"a\", topc = \"in.rule\" }]"),
                ("RISKFLOW__RECOVERY__VERIFY", "yes"),
                ("RISKFLOW__RISK__CUTS__RED", "300"),
                ("RISKFLOW__CASE__REMIND__PURPLE", "1m"),
                ("RISKFLOW__EPOCH__TICK__X", "1m"),
                ("RISKFLOW__TME__HORIZON", "1m"),
            ],
            &["topics.partitions=0"],
        );
        let said = problems.unwrap_err().to_string();
        for line in [
            "`epoch.tik` is wrong at line 1, column 7: unknown field `tik`",
            "`RISKFLOW__` is not usable: it names no field",
            "`cluster.hosts[0]` is `nowhere`, from the variable `RISKFLOW__CLUSTER__HOSTS`; give `host:port`",
            "`cluster.processes` is `-1`, from the variable `RISKFLOW__CLUSTER__PROCESSES`; give a whole number, 0 or more",
            "`cluster.workers` is 0, from the variable `RISKFLOW__CLUSTER__WORKERS`; give a number from 1 to 256",
            "`epoch.in_flight` is `many`, from the variable `RISKFLOW__EPOCH__IN_FLIGHT`; give a whole number",
            "`epoch.quiet` is `maybe`, from the variable `RISKFLOW__EPOCH__QUIET`; give",
            "`RISKFLOW__EPOCH__TOCK` is set, and there is no field `epoch.tock`; give",
            "`http` is no table, from the variable `RISKFLOW__HTTP`; give a table",
            "`input.files[0].topc` is wrong: unknown field `topc`, from the variable `RISKFLOW__INPUT__FILES`; give",
            "`recovery.verify` is `yes`, from the variable `RISKFLOW__RECOVERY__VERIFY`; give `true` or `false`",
            "`risk.cuts.red` is `300`, from the variable `RISKFLOW__RISK__CUTS__RED`; give a number from 0 to 255",
            "`RISKFLOW__TME__HORIZON` is set, and there is no field `tme.horizon`; give",
            "`RISKFLOW__CASE__REMIND__PURPLE` is set, and there is no field `case.remind.purple`; give one of `none`",
            "`RISKFLOW__EPOCH__TICK__X` is set, and there is no field `epoch.tick.x`; give a field",
            "`topics.partitions` is 0; give",
        ] {
            assert!(
                said.lines().any(|told| told.starts_with(line)),
                "{line} is not in:\n{said}"
            );
        }
        assert_eq!(said.lines().count(), 16, "{said}");
    }

    #[test]
    fn what_begins_like_ours_and_nothing_reads_is_told() {
        let said = load("", &[("RISKFLOW_EPOCH__TICK", "10ms")], &[])
            .unwrap_err()
            .to_string();
        assert_eq!(
            said,
            "`RISKFLOW_EPOCH__TICK` is set, and nothing reads it: it has one `_` behind RISKFLOW; give `RISKFLOW__EPOCH__TICK`"
        );
        let variables = [
            ("RISKFLOW_EPOCH_TICK", "10ms"),
            ("RISKFLOW_LOG", "info"),
            ("RISKFLOW_PASSWORD", "s3cr3t"),
            ("RISKFLOW_TEST_KAFKA", "a:1"),
            ("RISKFLOWS", "x"),
        ];
        let loaded = load("", &variables, &[]).unwrap();
        assert_eq!(loaded.unread, ["RISKFLOW_EPOCH_TICK", "RISKFLOW_PASSWORD"]);
        // One that the configuration names is read.
        let named = "kafka.properties.\"sasl.password\" = { env = \"RISKFLOW_PASSWORD\" }";
        let named = WrittenSettings::from_toml(named).unwrap();
        let variables = variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let unread = Environment::of(variables).unread(&named, &mut Problems::default());
        assert_eq!(unread, ["RISKFLOW_EPOCH_TICK"]);
    }

    /// What begins as the place of a secret and is none would be the password itself.
    #[test]
    fn a_place_without_end_is_no_password() {
        let name = "RISKFLOW__KAFKA__PROPERTIES__SASL_PASSWORD";
        let kafka = "input.kind = \"kafka\"\nkafka.brokers = \"a:1\"\n";
        for text in [
            "{ file =",
            "{ file = \"/run/secrets/kafka\"",
            "{file=\"/a\", env=\"B\"}",
            "{ env = 5 }",
            "{\"file\": \"/run/secrets/kafka\"}",
        ] {
            let said = load(kafka, &[(name, text)], &[]).unwrap_err().to_string();
            assert!(said.contains(name) && said.contains("{ file ="), "{text}: {said}");
            let set = format!("kafka.properties.sasl.password={text}");
            assert!(load(kafka, &[], &[&set]).is_err(), "{text}");
            let file = format!("{kafka}kafka.properties.\"sasl.password\" = '{text}'\n");
            assert!(load(&file, &[], &[]).is_err(), "{text}");
        }
        for text in ["{ filed = 1 }", "{file", "file = \"a\"", "{}"] {
            assert!(load(kafka, &[(name, text)], &[]).is_ok(), "{text}");
        }
    }

    #[test]
    fn two_names_of_one_field_are_a_problem() {
        let variables = [
            ("RISKFLOW__KAFKA__PROPERTIES__SASL_USERNAME", "a"),
            ("RISKFLOW__KAFKA__PROPERTIES__SASL__USERNAME", "b"),
        ];
        let said = load("", &variables, &[]).unwrap_err().to_string();
        assert!(said.contains("names the same field"), "{said}");
    }

    #[test]
    fn no_secret_is_told() {
        for (name, value) in [
            ("RISKFLOW__HTTP__ACTIONS__TOKENS", "s3cr3t"),
            ("RISKFLOW__HTTP__ACTIONS__TOKENS", "[{ name = [\"s3cr3t\"] }]"),
            ("RISKFLOW__KAFKA", "s3cr3t"),
            ("RISKFLOW__KAFKA__PASSWORD", "s3cr3t"),
            ("RISKFLOW__KAFKA__PROPERTIES", "{ \"sasl.password\" = [\"s3cr3t\"] }"),
            ("RISKFLOW__KAFKA__BROKERS", "user:s3cr3t@a:1"),
            ("RISKFLOW__CHECKPOINT__PATH", "s3://a:s3cr3t@b/c"),
        ] {
            let environment = Environment::of([(OsString::from(name), OsString::from(value))]);
            assert!(!format!("{environment:?}").contains("s3cr3t"));
            let said = load("", &[(name, value)], &[]).unwrap_err().to_string();
            assert!(said.contains(name) && !said.contains("s3cr3t"), "{name}: {said}");
        }
        let loaded = load("", &[("RISKFLOW__KAFKA__PROPERTIES__SASL_PASSWORD", "s3cr3t")], &[]).unwrap();
        let shown = toml::to_string_pretty(&loaded.written).unwrap();
        assert!(!format!("{loaded:?}{shown}").contains("s3cr3t"), "{shown}");
    }
}
