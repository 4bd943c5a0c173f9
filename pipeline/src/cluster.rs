//! What the processes of a cluster owe each other. All begin where process 0 says. It is fail-stop: when one process ends
//! before the others, all end, each with one line that says so.

use std::cell::RefCell;
use std::io::Write as _;
use std::net::SocketAddr;
use std::panic;
use std::process;
use std::rc::Rc;
use std::sync::Mutex;

use timely::ExchangeData;
use timely::dataflow::InputHandleVec;
use timely::dataflow::operators::Inspect;
use timely::dataflow::operators::probe::{Handle, Probe};
use timely::dataflow::operators::vec::{Broadcast, Input};
use timely::worker::Worker;

/// What timely's threads say, in a panic, when a connection to another process breaks.
const LOST: &str = "timely communication error: ";

/// From now on the loss of another process of the cluster ends this one, with an error on standard error and exit code 1,
/// at whatever instruction it stands: as after kill -9, a start goes on from the last commit. Other panics stay as they are.
pub fn end_with_peers() {
    static ONCE: Mutex<()> = Mutex::new(());
    let others = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let Some(why) = info.payload_as_str().and_then(|text| text.strip_prefix(LOST)) else {
            return others(info);
        };
        // Each connection has threads of its own; the first that notices speaks.
        let _first = ONCE.lock();
        let _ = writeln!(
            std::io::stderr(),
            "error: another process of the cluster is gone ({why}): this one ends too; start all of them again"
        );
        process::exit(1);
    }));
}

/// Where the tables of a cluster are, in words: `served` is where process 0 serves HTTP, as far as that is known.
#[must_use]
pub fn tables_at(hosts: &[String], served: Option<&str>) -> String {
    let home = hosts.first().map_or("", String::as_str);
    let Some((scheme, address)) = served.and_then(|served| served.split_once("://")) else {
        return format!("process 0 of the cluster ({home}) has them");
    };
    let address = match address.parse::<SocketAddr>() {
        // It listens on every address of its host.
        Ok(address) if address.ip().is_unspecified() => {
            let host = home.rsplit_once(':').map_or(home, |(host, _)| host);
            format!("{host}:{}", address.port())
        }
        _ => address.to_owned(),
    };
    format!("process 0 of the cluster has them, ask {scheme}://{address}")
}

/// What worker 0 has of this, on every worker: each must call it at the same point, and waits for worker 0.
pub fn tell<T: ExchangeData + Clone>(worker: &mut Worker, own: T) -> T {
    let told = Rc::new(RefCell::new(own));
    let (heard, probe) = (Rc::clone(&told), Handle::new());
    let mut input: InputHandleVec<u64, T> = InputHandleVec::new();
    worker.dataflow(|scope| {
        scope
            .input_from(&mut input)
            .broadcast()
            .inspect(move |said| said.clone_into(&mut heard.borrow_mut()))
            .probe_with(&probe);
    });
    if worker.index() == 0 {
        input.send(told.borrow().clone());
    }
    input.close();
    while !probe.done() {
        worker.step_or_park(None);
    }
    told.borrow().clone()
}

#[cfg(test)]
mod tests {
    use super::tables_at;

    #[test]
    fn where_the_tables_are_is_an_address_that_can_be_asked() {
        let hosts = ["risk-0.example:2101".to_owned(), "risk-1.example:2101".to_owned()];
        for (served, expected) in [
            (None, "process 0 of the cluster (risk-0.example:2101) has them"),
            (Some("http://0.0.0.0:9464"), "ask http://risk-0.example:9464"),
            (Some("https://[::]:9464"), "ask https://risk-0.example:9464"),
            (Some("http://127.0.0.1:9464"), "ask http://127.0.0.1:9464"),
            (Some("http://10.0.0.1:9464"), "ask http://10.0.0.1:9464"),
        ] {
            let said = tables_at(&hosts, served);
            assert!(said.ends_with(expected), "{said}");
        }
    }
}
