//! Ports that the job listens on, and names of the other processes.

use std::io::ErrorKind;
use std::net::{TcpListener, ToSocketAddrs as _};

use riskflow_config::Settings;

use super::finding::Findings;

/// Whether the job may listen where it is to, and whether its peers have addresses.
pub fn ports(settings: &Settings, findings: &mut Findings) {
    if let Some(http) = &settings.http {
        listen("port of HTTP", "http.listen", &http.address.to_string(), findings);
    }
    let (hosts, process) = (&settings.cluster.hosts, settings.cluster.process);
    if hosts.len() < 2 {
        return;
    }
    for (number, host) in hosts.iter().enumerate() {
        if number == process {
            let (field, address) = match settings.cluster.listen {
                Some(address) => ("cluster.listen".to_owned(), address.to_string()),
                None => (format!("cluster.hosts[{number}]"), host.clone()),
            };
            listen("port of the cluster", &field, &address, findings);
        } else {
            named(number, host, findings);
        }
    }
    const SECRET: &str = "secret of the cluster";
    match settings.cluster.secret {
        Some(_) => findings.ok(SECRET, "there is one"),
        None => findings.warn(
            SECRET,
            "there is none: nothing but the network keeps others from the ports between the processes",
            "give all processes the same `cluster.secret`, and see that only they reach these ports",
        ),
    }
}

fn listen(check: &'static str, field: &str, address: &str, findings: &mut Findings) {
    match TcpListener::bind(address) {
        Ok(_) => findings.ok(check, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => findings.warn(
            check,
            format!("somebody listens on {address} already"),
            format!("nothing, if that is this job; else stop the other, or change `{field}`"),
        ),
        Err(error) => findings.fail(
            check,
            format!("nobody can listen on {address}: {error}"),
            format!("give an address of this machine and a port that its user may use (`{field}`)"),
        ),
    }
}

/// A process whose pod does not run yet has no address: it is waited for.
fn named(number: usize, host: &str, findings: &mut Findings) {
    const CHECK: &str = "process of the cluster";
    match host.to_socket_addrs() {
        Ok(mut addresses) => match addresses.next() {
            Some(address) => findings.ok(CHECK, format!("{number} is {host}, {address}")),
            None => findings.warn(CHECK, format!("{number} is {host}, which has no address"), CURE),
        },
        Err(error) => findings.warn(CHECK, format!("{number} is {host}: {error}"), CURE),
    }
}

const CURE: &str = "start it, or mend its name in `cluster.hosts`: a start waits until all are there";

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn a_port_is_free_taken_or_of_another_machine() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let state = |address: &str| {
            let mut findings = Findings::default();
            listen("port of HTTP", "http.listen", address, &mut findings);
            findings.iter().next().unwrap().state
        };
        assert_eq!(state(&address), State::Warn);
        drop(taken);
        assert_eq!(state(&address), State::Ok);
        // For documents: no machine has it.
        assert_eq!(state("192.0.2.1:9464"), State::Fail);
    }

    #[test]
    fn peers_are_looked_up_by_name_and_own_ports_bound() {
        let mut settings = riskflow_config::WrittenSettings::default().check().unwrap();
        settings.http = None;
        settings.cluster.hosts = ["127.0.0.1:0", "localhost:1", "nowhere"].map(String::from).to_vec();
        let mut findings = Findings::default();
        ports(&settings, &mut findings);
        let states: Vec<State> = findings.iter().map(|finding| finding.state).collect();
        assert_eq!(states, [State::Ok, State::Ok, State::Warn, State::Warn]);
    }
}
