//! A cluster is fail-stop: when one process ends before the others, all end, each with one line that says so.

use std::io::Write as _;
use std::panic;
use std::process;
use std::sync::Mutex;

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
