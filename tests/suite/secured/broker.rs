//! A Kafka with TLS, passwords and ACLs of its own, and users with the rights that docs/kafka-security.md gives.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use riskflow_tests::kafka::Kafka;
use tempfile::TempDir;

/// What nobody may ever say, but for the password of the client's key, which is made anew each time.
const SCRAM: &str = "scram-s3cr3t-7f1c";
const PLAIN: &str = "plain-s3cr3t-2b90";
const WRONG: &str = "wrong-s3cr3t-d41e";
const CHANGED: &str = "changed-s3cr3t-55aa";

/// What the program is told of a user whose password stands in the environment.
const VARIABLE: &str = "SECURED_TEST_PASSWORD";

/// Those who may do what a job needs, but for one thing.
pub const ALMOST: [&str; 4] = ["no-read", "no-write", "no-transaction", "no-group"];

/// Users of the job with all that it needs, by each mechanism.
const WHOLE: [&str; 4] = ["riskflow", "plain-user", "token-user", "CN=riskflow-client"];

/// How the job logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    Scram512(&'static str),
    Scram256,
    Plain,
    Token,
    Certificate,
}

pub struct Broker {
    folder: TempDir,
    /// By the listener without TLS, where the administrator is.
    pub kafka: Kafka,
    /// What it listens on, by name.
    listeners: Vec<(String, String)>,
}

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/kafka")
        .join(name)
}

impl Broker {
    /// `None`, said loudly, where there is no Kafka to be had.
    pub fn start() -> Option<Self> {
        // What decides is the same as for all tests with Kafka.
        Kafka::for_test("secured")?;
        let folder = tempfile::tempdir().unwrap();
        let users = ["riskflow", "deployer"].iter().chain(&ALMOST);
        let users: Vec<String> = users.map(|user| format!("{user}={SCRAM}")).collect();
        let output = Command::new(script("secured.sh"))
            .args(["start", "--data"])
            .arg(folder.path())
            .env("KAFKA_BRIEF", "1")
            .env("SCRAM_USERS", users.join(" "))
            .env("PLAIN_USERS", format!("plain-user={PLAIN}"))
            .stderr(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "the broker does not start");
        let answer = String::from_utf8(output.stdout).unwrap();
        let listeners = answer.lines().filter_map(|line| line.split_once('='));
        let listeners: Vec<(String, String)> = listeners
            .map(|(name, address)| (name.to_owned(), address.to_owned()))
            .collect();
        let plain = listeners.iter().find(|(name, _)| name == "brokers").unwrap();
        let kafka = Kafka::at(&plain.1, "secured");
        for (name, secret) in [("scram", SCRAM), ("wrong", WRONG)] {
            std::fs::write(folder.path().join(name), secret).unwrap();
        }
        let broker = Self {
            kafka,
            folder,
            listeners,
        };
        broker.allow();
        Some(broker)
    }

    /// Where a listener is.
    pub fn at(&self, listener: &str) -> &str {
        let found = self.listeners.iter().find(|(name, _)| name == listener);
        &found.unwrap_or_else(|| panic!("no listener {listener}")).1
    }

    /// A file of its certificates.
    pub fn tls(&self, name: &str) -> PathBuf {
        self.folder.path().join("tls").join(name)
    }

    /// All that may not be said.
    pub fn secrets(&self) -> Vec<String> {
        let key = std::fs::read_to_string(self.tls("client.password")).unwrap();
        let known = [SCRAM, PLAIN, WRONG, CHANGED].map(str::to_owned);
        known.into_iter().chain([key.trim().to_owned()]).collect()
    }

    /// The settings of a login; what `--set` takes.
    pub fn login(&self, login: Login) -> Vec<String> {
        let listener = if login == Login::Certificate {
            "mutual"
        } else {
            "secured"
        };
        let protocol = if login == Login::Certificate { "ssl" } else { "sasl_ssl" };
        let mut sets = vec![
            format!("kafka.brokers={:?}", self.at(listener)),
            property("security.protocol", protocol),
            property("ssl.ca.location", &self.tls("ca.pem").display().to_string()),
        ];
        let scram = |mechanism: &str, user: &str| {
            let file = self.folder.path().join("scram");
            vec![
                property("sasl.mechanism", mechanism),
                property("sasl.username", user),
                secret_in("sasl.password", &file),
            ]
        };
        sets.extend(match login {
            Login::Scram512(user) => scram("SCRAM-SHA-512", user),
            Login::Scram256 => scram("SCRAM-SHA-256", "riskflow"),
            Login::Plain => vec![
                property("sasl.mechanism", "PLAIN"),
                property("sasl.username", "plain-user"),
                format!("kafka.properties.\"sasl.password\"={{ env = \"{VARIABLE}\" }}"),
            ],
            Login::Token => vec![
                property("sasl.mechanism", "OAUTHBEARER"),
                property("enable.sasl.oauthbearer.unsecure.jwt", "true"),
                property("sasl.oauthbearer.config", "principal=token-user lifeSeconds=86400"),
            ],
            Login::Certificate => vec![
                property(
                    "ssl.certificate.location",
                    &self.tls("client.pem").display().to_string(),
                ),
                property("ssl.key.location", &self.tls("client.key").display().to_string()),
                secret_in("ssl.key.password", &self.tls("client.password")),
            ],
        });
        sets
    }

    /// A command of the program as this user of this broker, with more settings over these.
    pub fn command(&self, verb: &str, login: Login, more: &[String]) -> Command {
        let sets = [&self.login(login)[..], more].concat();
        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
        let mut command = crate::kafka::command(&self.kafka, verb, &sets);
        command.env(VARIABLE, PLAIN).current_dir(self.folder.path());
        command
    }

    /// A password in a file that no broker knows.
    pub fn wrong_password(&self) -> String {
        secret_in("sasl.password", &self.folder.path().join("wrong"))
    }

    /// Changes the password of the job's user at the broker, or back.
    pub fn change_password(&self, back: bool) {
        let password = if back { SCRAM } else { CHANGED };
        let credential = format!("SCRAM-SHA-512=[password={password}]");
        let user = ["--entity-type", "users", "--entity-name", "riskflow"];
        let what = ["ConfigCommand", "--alter", "--add-config", &credential];
        self.tool(&[&what[..], &user].concat());
    }

    /// Takes the right to write the output from a user, or gives it back.
    pub fn withdraw_write(&self, user: &str, back: bool) {
        let (user, topics) = (format!("User:{user}"), format!("{}out.", self.kafka.prefix()));
        let verb: &[&str] = if back { &["--add"] } else { &["--remove", "--force"] };
        let rule = [
            "--allow-principal",
            &user,
            "--operation",
            "Write",
            "--resource-pattern-type",
            "prefixed",
            "--topic",
            &topics,
        ];
        self.tool(&[&["AclCommand"], verb, &rule[..]].concat());
    }

    fn tool(&self, arguments: &[&str]) {
        let mut command = Command::new(script("kafka.sh"));
        command.args(["tool", "--data"]).arg(self.folder.path()).arg("--");
        let output = command.args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }

    /// Runs the commands of the page that says what to allow, for all users at once; some are left out of some.
    fn allow(&self) {
        let page = include_str!("../../../docs/kafka-security.md");
        let lines = page
            .lines()
            .filter_map(|line| line.strip_prefix("kafka-acls.sh --bootstrap-server BROKER "));
        let lines: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines.len(), 5, "the page has another number of commands");
        let all = |but: &str| {
            let almost = ALMOST.into_iter().filter(|user| *user != but);
            WHOLE.into_iter().chain(almost).collect::<Vec<&str>>()
        };
        let no_write: Vec<&str> = {
            let at = lines[1].iter().position(|word| *word == "Write").unwrap();
            let before = lines[1][..at - 1].iter();
            before.chain(&lines[1][at + 1..]).copied().collect()
        };
        let granted = [
            (lines[0].clone(), all("no-read")),
            (lines[1].clone(), all("no-write")),
            (no_write, vec!["no-write"]),
            (lines[2].clone(), all("no-transaction")),
            (lines[3].clone(), all("no-group")),
            (lines[4].clone(), vec!["deployer"]),
        ];
        std::thread::scope(|scope| {
            for (line, users) in &granted {
                scope.spawn(move || self.grant(line, users));
            }
        });
    }

    /// Runs one command of the page for other users, and topics with the prefix of the test.
    fn grant(&self, line: &[&str], users: &[&str]) {
        let mut arguments = vec!["AclCommand".to_owned()];
        let mut before = "";
        for word in line {
            match before {
                "--allow-principal" => {
                    // One follows the other: each with the option before it.
                    arguments.pop();
                    for user in users {
                        arguments.extend(["--allow-principal".to_owned(), format!("User:{user}")]);
                    }
                }
                "--topic" | "--group" | "--transactional-id" => {
                    arguments.push(format!("{}{word}", self.kafka.prefix()));
                }
                _ => arguments.push((*word).to_owned()),
            }
            before = word;
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.tool(&arguments);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let mut command = Command::new(script("kafka.sh"));
        command.args(["stop", "--data"]).arg(self.folder.path());
        let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            let _ = writeln!(
                std::io::stderr(),
                "the broker is kept in {}",
                self.folder.path().display()
            );
        }
    }
}

/// A property of Kafka, as `--set` takes it.
pub fn property(name: &str, value: &str) -> String {
    format!("kafka.properties.\"{name}\"={value:?}")
}

fn secret_in(name: &str, file: &Path) -> String {
    format!("kafka.properties.\"{name}\"={{ file = {file:?} }}")
}
