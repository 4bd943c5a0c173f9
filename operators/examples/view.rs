//! A view of its own: how many people live beside assets of each kind, in each region and all above it.
//!
//! `cargo run --example view`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "an example prints, and ends where it is wrong"
)]

use std::sync::{Arc, Mutex};

use differential_dataflow::input::Input as _;
use differential_dataflow::operators::CountTotal as _;
use riskflow_model::{RegionCode, Text};
use riskflow_operators::{Diff, Rows};

/// What the view knows of an asset: its kind, where it stands, and how many people are exposed to it.
type Asset = (Text, RegionCode, Diff);

/// A region, a kind, and how many people.
type Exposed = ((RegionCode, Text), Diff);

/// The sum rides in the difference: a changed row takes out what the one before put in, and nothing is added up again.
fn exposed<'scope>(assets: Rows<'scope, Asset>) -> Rows<'scope, Exposed> {
    assets
        .explode(|(kind, region, people)| {
            let regions = std::iter::successors(Some(region), |region| region.parent());
            regions
                .map(move |region| ((region, kind.clone()), people))
                .collect::<Vec<_>>()
        })
        .arrange_by_self()
        .count_total_core::<Diff>()
}

fn main() {
    let region = |code: &str| code.parse::<RegionCode>().unwrap();
    let tank = || Text::from("tank");
    let given = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&given);
    timely::execute_directly(move |worker| {
        let (mut assets, probe) = worker.dataflow(|scope| {
            let (assets, rows) = scope.new_collection::<Asset, Diff>();
            let seen = Arc::clone(&seen);
            let (probe, _) = exposed(rows)
                .inspect(move |(row, turn, diff)| seen.lock().unwrap().push((*turn, row.clone(), *diff)))
                .probe();
            (assets, probe)
        });
        // A village, and a town in another county.
        assets.update((tank(), region("330902001001"), 300), 1);
        assets.update((tank(), region("330903102"), 50), 1);
        assets.advance_to(1);
        // A correction: 250 people live there, not 300. What does not lie above it is not touched.
        assets.update((tank(), region("330902001001"), 300), -1);
        assets.update((tank(), region("330902001001"), 250), 1);
        assets.advance_to(2);
        assets.flush();
        worker.step_while(|| probe.less_than(&2));
    });
    let mut given = std::mem::take(&mut *given.lock().unwrap());
    given.sort();
    for (turn, ((region, kind), people), diff) in &given {
        println!("turn {turn}: {diff:+} {region} {kind} {people}");
    }
    let city = (region("3309"), tank());
    assert!(given.contains(&(0, (city.clone(), 350), 1)));
    assert!(given.contains(&(1, (city.clone(), 350), -1)) && given.contains(&(1, (city, 300), 1)));
    let touched = given.iter().filter(|(turn, ..)| *turn == 1);
    assert!(touched.clone().all(|(_, ((of, _), _), _)| *of != region("330903102")));
}
