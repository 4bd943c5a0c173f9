//! How the parts of the closed loop are put together.

use std::sync::Arc;

use differential_dataflow::AsCollection;
use jiff::tz::TimeZone;
use riskflow_config::CaseSettings;
use riskflow_model::base::Region;
use riskflow_model::id::Run;
use riskflow_model::intake::Incident;
use riskflow_model::output::{CaseDelta, CaseState, WarningState};
use riskflow_model::responsibility::{Duty, Plan, Unit, User};
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, Id, Shared};
use timely::dataflow::StreamVec;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::Map;

use super::case::{Acted, Alarm, Case, CaseOutput, CaseRecord, Standing};
use super::joining::Joining;
use super::notice::{Notices, recipients, sentence};
use super::obligation::{obligation, subjects};
use super::response::response;
use super::roster::{OnDuty, Roster, RosterRow};
use crate::engine::{Batch, Builder, Rows, TableKey, Turn, Updates, batched, split_into};
use crate::place::{locate, named};
use crate::warning::Joined;

/// What it goes by.
#[derive(Clone, Debug)]
pub struct CaseTerms {
    /// Deadlines and bounds.
    pub settings: CaseSettings,
    /// How far ahead of the clock an action may be.
    pub max_future: Duration,
    /// The time that people there go by.
    pub zone: TimeZone,
}

/// What it rests on.
pub struct Warnings<'scope> {
    /// The rows of regions.
    pub regions: Rows<'scope, Shared<Region>>,
    /// Where regions lie of which the code does not say it ([`crate::place::placed`]).
    pub placed: Rows<'scope, Shared<Region>>,
    /// Open warnings with their runs.
    pub running: Rows<'scope, (Arc<WarningState>, Id<Run>)>,
    /// Warnings that belong to a run of another name.
    pub joined: Rows<'scope, Arc<Joined>>,
    /// What happens to warnings.
    pub happened: Updates<'scope, CaseRecord>,
    /// What people do.
    pub actions: StreamVec<'scope, Turn, Batch<Acted>>,
}

/// Adds it to the dataflow.
pub fn build<'scope>(b: &mut Builder<'scope, '_>, warnings: Warnings<'scope>, terms: CaseTerms) {
    let Warnings {
        regions,
        placed,
        running,
        joined,
        happened,
        actions,
    } = warnings;
    let CaseTerms {
        settings,
        max_future,
        zone,
    } = terms;
    let (rows, records) = (roster_rows(b), b.nothing());
    let on_duty = b.fold(Roster, rows, records).as_collection();
    let duties = on_duty.clone().flat_map(|on| match on {
        OnDuty::Duty(duty) => Some(duty),
        OnDuty::Shift(_) | OnDuty::Post(_) => None,
    });

    let runs = joined.map(|joined| (joined.warning.key(), joined.run.clone()));
    let actions = b.fold(Joining, runs, actions);
    let actions = batched::<Case, _>(actions, |(acted, _, _)| Some(CaseRecord::Action(acted)));
    let facts = batched::<Case, _>(happened, |(record, _, _)| Some(record));
    let subjects = subjects(running, b.rows_of::<Incident>());
    let rows = obligation(
        subjects,
        duties,
        b.rows_of::<Unit>(),
        b.rows_of::<Plan>(),
        placed.clone(),
    );
    let case = Case { settings, max_future };
    let found = b.fold(case, rows, facts.concat(actions));
    let Found {
        cases,
        standings,
        alarms,
        deltas,
    } = Found::of(found);

    let standings = locate(standings, placed, |standing| standing.region);
    let told = recipients(cases.clone(), alarms, on_duty, b.rows_of::<User>());
    let records = b.nothing();
    let notices = b.fold(Notices, told, records);
    let notices = named(
        notices,
        regions,
        |notice| Some(notice.region),
        move |notice, name| {
            notice.region_name = name;
            sentence::write(notice, &zone);
        },
    );
    b.publish(cases);
    b.append(deltas);
    b.append(notices);
    b.publish(response(standings));
}

/// The rows of the fold `roster`.
fn roster_rows<'scope>(b: &Builder<'scope, '_>) -> Rows<'scope, (TableKey, RosterRow)> {
    let duties = b.table::<Duty>();
    let duties = duties.map(|(key, row)| ((Topic::BASE_DUTY.id(), key), RosterRow::Duty(row)));
    let users = b.table::<User>();
    duties.concat(users.map(|(key, row)| ((Topic::BASE_USER.id(), key), RosterRow::User(row))))
}

/// What the fold `case` gives, apart.
struct Found<'scope> {
    cases: Rows<'scope, Arc<CaseState>>,
    standings: Rows<'scope, Arc<Standing>>,
    alarms: Rows<'scope, Arc<Alarm>>,
    deltas: Updates<'scope, Box<CaseDelta>>,
}

impl<'scope> Found<'scope> {
    fn of(found: Updates<'scope, CaseOutput>) -> Self {
        let [cases, standings, alarms, deltas] = split_into(found, |output| match output {
            CaseOutput::State(_) => 0,
            CaseOutput::Standing(_) => 1,
            CaseOutput::Alarm(_) => 2,
            CaseOutput::Delta(_) => 3,
        });
        let cases = cases.flat_map(|(output, turn, diff)| match output {
            CaseOutput::State(state) => Some((state, turn, diff)),
            CaseOutput::Standing(_) | CaseOutput::Delta(_) | CaseOutput::Alarm(_) => None,
        });
        let standings = standings.flat_map(|(output, turn, diff)| match output {
            CaseOutput::Standing(standing) => Some((standing, turn, diff)),
            CaseOutput::State(_) | CaseOutput::Delta(_) | CaseOutput::Alarm(_) => None,
        });
        let alarms = alarms.flat_map(|(output, turn, diff)| match output {
            CaseOutput::Alarm(alarm) => Some((alarm, turn, diff)),
            CaseOutput::State(_) | CaseOutput::Standing(_) | CaseOutput::Delta(_) => None,
        });
        let deltas = deltas.flat_map(|(output, turn, diff)| match output {
            CaseOutput::Delta(delta) => Some((delta, turn, diff)),
            CaseOutput::State(_) | CaseOutput::Standing(_) | CaseOutput::Alarm(_) => None,
        });
        Self {
            cases: cases.as_collection(),
            standings: standings.as_collection(),
            alarms: alarms.as_collection(),
            deltas,
        }
    }
}
