//! `[cluster]`: which process this is, and where all of them are.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use crate::problems::Check;
use crate::secret::{Secret, WrittenSecret};
use crate::settings::ClusterSettings;
use crate::written::{WrittenCluster, WrittenProcess};

/// So many processes at most.
const MOST: usize = 1_000;

/// A secret is as long as this at least, in bytes: who guesses has no chance.
const SHORTEST_SECRET: usize = 32;

/// Stands for the number of a process in a pattern.
const NUMBER: &str = "{}";

impl Check {
    pub(crate) fn cluster(&mut self, written: &WrittenCluster) -> ClusterSettings {
        let workers = self.count("cluster.workers", written.workers, 1, 256);
        for (index, host) in written.hosts.iter().enumerate() {
            let one = host.replace(NUMBER, "0");
            if one
                .rsplit_once(':')
                .is_none_or(|(name, port)| name.is_empty() || port.parse::<u16>().is_err())
            {
                self.problems
                    .add(format!("cluster.hosts[{index}]"), format!("`{host}`"), "`host:port`");
            }
        }
        let hosts = self.hosts(written);
        let processes = hosts.len().max(1);
        let process = match written.process {
            WrittenProcess::Number(number) => self.count("cluster.process", number, 0, processes - 1),
            WrittenProcess::Hostname => self.by_name(&host_name(), processes),
        };
        ClusterSettings {
            workers: NonZeroUsize::new(workers).unwrap_or(NonZeroUsize::MIN),
            process,
            hosts,
            listen: self.listen(&written.listen),
            secret: written.secret.as_ref().and_then(|secret| self.cluster_secret(secret)),
        }
    }

    /// Where this process listens for the others, if that is said.
    fn listen(&mut self, written: &str) -> Option<SocketAddr> {
        let address = written.parse().ok();
        if address.is_none() && !written.is_empty() {
            let give =
                "an address and port like `10.0.0.1:2101`, or nothing: then it is the own entry in `cluster.hosts`";
            self.problems.add("cluster.listen", format!("`{written}`"), give);
        }
        address
    }

    fn cluster_secret(&mut self, written: &WrittenSecret) -> Option<Secret> {
        let secret = self.secret("cluster.secret", written)?;
        let length = secret.reveal().len();
        if length < SHORTEST_SECRET {
            let give = format!(
                "{SHORTEST_SECRET} characters or more, the same for all processes, such as `openssl rand -hex 32` makes"
            );
            self.problems
                .add("cluster.secret", format!("{length} characters long"), give);
            return None;
        }
        Some(secret)
    }

    /// Where each process is: those that are written, or made of the pattern.
    fn hosts(&mut self, written: &WrittenCluster) -> Vec<String> {
        let processes = self.count("cluster.processes", written.processes, 0, MOST);
        let pattern = written.hosts.iter().position(|host| host.contains(NUMBER));
        match (pattern, processes) {
            (Some(index), _) if written.hosts.len() > 1 => {
                let found = format!("`{}`, a pattern beside other hosts", written.hosts[index]);
                let give = "one pattern and nothing else, or hosts without `{}`";
                self.problems.add(format!("cluster.hosts[{index}]"), found, give);
            }
            (Some(_), 0) => {
                let give = "how many processes there are: `cluster.hosts` is a pattern";
                self.problems.add("cluster.processes", 0, give);
            }
            (Some(index), _) => {
                let host = &written.hosts[index];
                let number = |process: usize| host.replace(NUMBER, &process.to_string());
                return (0..processes).map(number).collect();
            }
            (None, 0) => {}
            (None, _) => {
                let there = written.hosts.len().max(1);
                if processes != there {
                    let give = format!(
                        "{there}, as `cluster.hosts` says, or a pattern there, such as `riskflow-{{}}.riskflow-peers:2101`"
                    );
                    self.problems.add("cluster.processes", processes, give);
                }
            }
        }
        written.hosts.clone()
    }

    /// Which process the name of the host says.
    fn by_name(&mut self, name: &str, processes: usize) -> usize {
        let number = ordinal(name);
        match number {
            Some(number) if number < processes => number,
            Some(_) | None => {
                let found = format!("`hostname`, and this host is called `{name}`");
                let give = format!(
                    "a host whose name ends in `-` and a number from 0 to {}, or that number itself",
                    processes - 1
                );
                self.problems.add("cluster.process", found, give);
                0
            }
        }
    }
}

/// The number behind the last `-` of a host's name, without its domain.
fn ordinal(name: &str) -> Option<usize> {
    let (label, _) = name.split_once('.').unwrap_or((name, ""));
    let (_, number) = label.rsplit_once('-')?;
    number.parse().ok()
}

/// What this host is called: container engines say it in a variable, too, and others may.
fn host_name() -> String {
    let told = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let asked = || nix::unistd::gethostname().ok()?.into_string().ok();
    told.or_else(asked).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WrittenSettings;

    fn cluster(toml: &str) -> Result<ClusterSettings, String> {
        let written = WrittenSettings::from_toml(toml).map_err(|problems| problems.to_string())?;
        let settings = written.check().map_err(|problems| problems.to_string())?;
        Ok(settings.cluster)
    }

    #[test]
    fn the_name_of_a_pod_says_which_process_it_is() {
        for (name, number) in [
            ("riskflow-0", Some(0)),
            ("riskflow-12", Some(12)),
            ("storm-riskflow-3.riskflow-peers.city.svc.cluster.local", Some(3)),
            ("riskflow", None),
            ("riskflow-", None),
            ("riskflow-a1", None),
            ("a.riskflow-1", None),
            ("", None),
        ] {
            assert_eq!(ordinal(name), number, "{name}");
        }
        let mut check = Check::default();
        assert_eq!(check.by_name("riskflow-2", 3), 2);
        assert!(check.problems.is_empty());
        check.by_name("riskflow-3", 3);
        check.by_name("laptop", 3);
        let said = check.problems.to_string();
        for part in ["called `riskflow-3`", "called `laptop`", "a number from 0 to 2"] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn hosts_are_written_out_or_made_of_a_pattern() {
        let made = cluster("[cluster]\nprocess = 2\nprocesses = 3\nhosts = [\"risk-{}.peers:2101\"]").unwrap();
        assert_eq!(
            made.hosts,
            ["risk-0.peers:2101", "risk-1.peers:2101", "risk-2.peers:2101"]
        );
        assert_eq!(made.process, 2);
        let one = cluster("cluster = { processes = 1, hosts = [\"risk-{}.peers:2101\"] }").unwrap();
        assert_eq!(one.hosts, ["risk-0.peers:2101"]);
        for same in [
            "hosts = [\"a:1\", \"b:2\"]",
            "processes = 2\nhosts = [\"a:1\", \"b:2\"]",
        ] {
            assert_eq!(cluster(&format!("[cluster]\n{same}")).unwrap().hosts, ["a:1", "b:2"]);
        }
        assert_eq!(cluster("cluster.processes = 1").unwrap().hosts, Vec::<String>::new());
    }

    #[test]
    fn hosts_that_say_two_things_are_refused() {
        for (toml, part) in [
            ("hosts = [\"risk-{}:1\"]", "`cluster.processes` is 0; give how many"),
            (
                "processes = 2\nhosts = [\"a-{}:1\", \"b:1\"]",
                "`cluster.hosts[0]` is `a-{}:1`, a pattern beside other hosts",
            ),
            (
                "processes = 3\nhosts = [\"a:1\", \"b:1\"]",
                "`cluster.processes` is 3; give 2",
            ),
            ("processes = 2", "`cluster.processes` is 2; give 1"),
            (
                "processes = 2\nhosts = [\"a-{}\"]",
                "`cluster.hosts[0]` is `a-{}`; give `host:port`",
            ),
            (
                "process = 2\nprocesses = 2\nhosts = [\"a-{}:1\"]",
                "`cluster.process` is 2; give a number from 0 to 1",
            ),
            (
                "listen = \"risk-0:2101\"",
                "`cluster.listen` is `risk-0:2101`; give an address and port",
            ),
            (
                "secret = \"short\"",
                "`cluster.secret` is 5 characters long; give 32 characters or more",
            ),
            (
                "secret = { file = \"/nowhere/secret\" }",
                "`cluster.secret` is in the file `/nowhere/secret`",
            ),
            ("process = \"first\"", "`hostname`"),
            ("process = -1", "a number from 0 up, or `hostname`"),
        ] {
            let said = cluster(&format!("[cluster]\n{toml}")).unwrap_err();
            assert!(said.contains(part), "{toml}: {said}");
            assert_eq!(said.lines().count(), 1, "{toml}: {said}");
        }
    }

    #[test]
    fn a_secret_is_taken_and_shown_nowhere() {
        let text = "0123456789abcdef0123456789abcdef";
        let settings = cluster(&format!("[cluster]\nlisten = \"10.0.0.1:2101\"\nsecret = \"{text}\"")).unwrap();
        assert_eq!(settings.secret.as_ref().map(Secret::reveal), Some(text));
        assert_eq!(settings.listen, "10.0.0.1:2101".parse().ok());
        assert!(!format!("{settings:?}").contains(text));
        let written = WrittenSettings::from_toml(&format!("cluster.secret = \"{text}\"")).unwrap();
        assert!(!toml::to_string(&written).unwrap().contains(text));
        // Of another kind: it is not quoted either.
        let said = cluster(&format!("cluster.secret = [\"{text}\"]")).unwrap_err();
        assert!(said.contains("`cluster.secret`") && !said.contains(text), "{said}");
    }

    #[test]
    fn a_process_is_written_as_it_was_read() {
        for text in ["process = 3", "process = \"hostname\""] {
            let written: WrittenCluster = toml::from_str(text).unwrap();
            let again = toml::to_string(&written).unwrap();
            assert!(again.contains(text), "{again}");
        }
        assert_eq!(
            toml::from_str::<WrittenCluster>("process = \"hostname\"")
                .unwrap()
                .process,
            WrittenProcess::Hostname
        );
    }
}
