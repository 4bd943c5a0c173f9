//! The catalogue: every topic, said once. Names, schemas, decoding, retention, CSV, checkpoints and metrics all go by it.

use schemars::{JsonSchema, Schema};

use crate::Listed;
use crate::action::Action;
use crate::base::{Asset, Datastream, Region};
use crate::binary::BinaryError;
use crate::event::{Event, Model, Review};
use crate::forecast::Forecast;
use crate::gauge::{Gauge, GaugeState};
use crate::intake::{Incident, Limit, Permit, Report};
use crate::json::Unreadable;
use crate::log_row::{LogRecord, LogRow};
use crate::observation::ObservationRecord;
use crate::output::{
    AssetRisk, CandidateDelta, CandidateState, CaseDelta, CaseState, DeadLetter, Lateness, Notice, PastWarning,
    RegionRisk, ReportTotal, Response, SetDifference, SetState, Stamped, Unmatched, WarningDelta, WarningState,
};
use crate::output_row::{OutputRecord, OutputRow};
use crate::progress::{ClosedEpoch, Progress};
use crate::responsibility::{Duty, Plan, Unit, User};
use crate::row::{Row, TableRecord};
use crate::rule::RuleRecord;
use crate::ruleset::RuleSet;
use crate::schema;
use crate::topic::{Record, Shape, Spec, Topic};

mod maintenance;

pub use maintenance::{Maintenance, MaintenanceKind, MaintenanceTotal};

macro_rules! catalogue {
    ($($name:ident: $kind:ident::<$record:ty>();)*) => {
        impl Topic {
            $(
                #[doc = concat!("Of [`", stringify!($record), "`].")]
                pub const $name: Self = Self::of::<$record>();
            )*
        }

        const LIST: &[Entry] = &[$(Entry::$kind::<$record>()),*];
    };
}

catalogue! {
    BASE_REGION: table::<Region>();
    BASE_ASSET: table::<Asset>();
    BASE_DATASTREAM: table::<Datastream>();
    BASE_UNIT: table::<Unit>();
    BASE_USER: table::<User>();
    BASE_DUTY: table::<Duty>();
    BASE_PLAN: table::<Plan>();
    BASE_LIMIT: table::<Limit>();
    IN_RULE: table::<RuleRecord>();
    IN_PERMIT: table::<Permit>();
    IN_REPORT: table::<Report>();
    IN_INCIDENT: table::<Incident>();
    IN_MAINTENANCE: table::<Maintenance>();
    IN_RULESET: table::<RuleSet>();
    IN_REVIEW: table::<Review>();
    BASE_MODEL: table::<Model>();
    IN_GAUGE: table::<Gauge>();
    IN_OBSERVATION: input::<ObservationRecord<'static>>();
    IN_ACTION: input::<Action>();
    IN_FORECAST: log::<Forecast>();
    IN_EVENT: log::<Event>();
    RISK_ASSET: output::<AssetRisk>();
    RISK_REGION: output::<RegionRisk>();
    WARNING_STATE: output::<WarningState>();
    WARNING_DELTA: output::<WarningDelta>();
    CASE_STATE: output::<CaseState>();
    CASE_DELTA: output::<CaseDelta>();
    NOTICE: output::<Notice>();
    RESPONSE: output::<Response>();
    REPORT_TOTAL: output::<ReportTotal>();
    UNMATCHED: output::<Unmatched>();
    DEAD_LETTER: output::<DeadLetter>();
    MAINTENANCE_TOTAL: output::<MaintenanceTotal>();
    WARNING_HISTORY: output::<PastWarning>();
    LATENESS: output::<Lateness>();
    CANDIDATE_STATE: output::<CandidateState>();
    CANDIDATE_DELTA: output::<CandidateDelta>();
    RULESET_DIFFERENCE: output::<SetDifference>();
    RULESET: output::<SetState>();
    GAUGE: output::<GaugeState>();
    EPOCH: internal::<ClosedEpoch>();
    PROGRESS: internal::<Progress>();
}

/// All entries, in the order of their numbers.
pub(crate) static ENTRIES: &[Entry] = LIST;

/// What is known of a topic and its records.
pub(crate) struct Entry {
    pub(crate) spec: Spec,
    pub(crate) schema: fn() -> Schema,
    pub(crate) table: Option<Reading>,
    pub(crate) log: Option<ReadLog>,
    pub(crate) output: Option<Restore>,
    pub(crate) list: Option<Listed>,
}

/// How a record that riskflow writes comes to be, out of its encoding.
pub(crate) type Restore = fn(&[u8]) -> Result<OutputRow, BinaryError>;

/// How records of an input log come to be, out of a payload; of observations and actions only decoding knows.
pub(crate) type ReadLog = fn(&str) -> Result<LogRow, Unreadable>;

/// How rows of an input table come to be.
pub(crate) struct Reading {
    /// Out of a payload.
    pub(crate) read: fn(&str) -> Result<Row, Unreadable>,
    /// Out of a checkpoint.
    pub(crate) restore: fn(&[u8]) -> Result<Row, BinaryError>,
}

impl Entry {
    const fn table<R: TableRecord>() -> Self {
        assert!(matches!(R::SPEC.shape, Shape::InputTable | Shape::VersionedTable));
        Self {
            spec: R::SPEC,
            schema: schema::of_input::<R>,
            table: Some(Reading {
                read: Row::read::<R>,
                restore: Row::restore::<R>,
            }),
            log: None,
            output: None,
            list: None,
        }
    }

    const fn input<R: Record>() -> Self {
        assert!(matches!(R::SPEC.shape, Shape::InputLog));
        Self {
            spec: R::SPEC,
            schema: schema::of_input::<R>,
            table: None,
            log: None,
            output: None,
            list: None,
        }
    }

    const fn log<R: LogRecord>() -> Self {
        let mut entry = Self::input::<R>();
        entry.log = Some(LogRow::read::<R>);
        entry
    }

    const fn output<R: OutputRecord>() -> Self
    where
        Stamped<R>: JsonSchema,
    {
        assert!(matches!(R::SPEC.shape, Shape::OutputTable | Shape::OutputLog));
        Self {
            spec: R::SPEC,
            schema: schema::of_output::<R>,
            table: None,
            log: None,
            output: Some(OutputRow::restore::<R>),
            list: R::LIST,
        }
    }

    const fn internal<R: Record>() -> Self {
        assert!(matches!(R::SPEC.shape, Shape::Internal | Shape::InternalLog));
        Self {
            spec: R::SPEC,
            schema: schema::of_internal::<R>,
            table: None,
            log: None,
            output: None,
            list: None,
        }
    }
}

/// Numbers are below this.
const MOST: usize = 1024;
const NONE: u8 = u8::MAX;

/// Where the entry of each number stands.
static PLACES: [u8; MOST] = places();

const fn places() -> [u8; MOST] {
    let mut places = [NONE; MOST];
    let mut place = 0;
    let mut least = 0;
    while place < LIST.len() {
        let Spec { id, shape, .. } = LIST[place].spec;
        assert!(id >= least, "numbers rise, and no two are the same");
        let (from, below) = match shape {
            Shape::InputTable | Shape::VersionedTable => (1, 256),
            Shape::InputLog => (256, 512),
            Shape::OutputTable | Shape::OutputLog | Shape::Internal | Shape::InternalLog => (512, MOST as u16),
        };
        assert!(from <= id && id < below, "the number is one of the topic's shape");
        assert!(place < NONE as usize);
        places[id as usize] = place as u8;
        least = id + 1;
        place += 1;
    }
    places
}

/// The entry with a number.
pub(crate) fn entry(id: u16) -> Option<&'static Entry> {
    let place = *PLACES.get(usize::from(id))?;
    ENTRIES.get(usize::from(place))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const GOLDEN: &str = "\
1 base.region InputTable code
2 base.asset InputTable id
3 base.datastream InputTable id
4 base.unit InputTable id
5 base.user InputTable id
6 base.duty InputTable id
7 base.plan InputTable id
8 base.limit InputTable id
9 in.rule InputTable id
10 in.permit VersionedTable id
11 in.report VersionedTable id
12 in.incident VersionedTable id
13 in.maintenance VersionedTable id
14 in.ruleset InputTable id
15 in.review InputTable event
16 base.model InputTable id
17 in.gauge InputTable id
256 in.observation InputLog datastream
257 in.action InputLog warning
258 in.forecast InputLog datastream
259 in.event InputLog id
512 out.risk.asset OutputTable asset
513 out.risk.region OutputTable region/domain
514 out.warning.state OutputTable id
515 out.warning.delta OutputLog id
516 out.case.state OutputTable id
517 out.case.delta OutputLog case
518 out.notice OutputLog case
519 out.response OutputTable region/domain or unit/id
520 out.report.total OutputTable region/module/kind/quantity
521 out.unmatched OutputTable kind or kind/id/rule/part
522 out.deadletter OutputLog topic/partition/offset
523 out.maintenance.total OutputTable region/kind
524 out.warning.history OutputTable id
525 out.lateness OutputTable region/category
526 out.candidate.state OutputTable id
527 out.candidate.delta OutputLog id
528 out.ruleset.difference OutputTable set/rule/asset
529 out.ruleset OutputTable set
530 out.gauge OutputTable gauge/subject
1022 out.epoch InternalLog epoch
1023 out.progress Internal epoch
";

    /// What is kept by number and found by name: a line may be added, and none may change.
    #[test]
    fn numbers_names_shapes_and_keys_are_those_that_they_always_were() {
        let lines = Topic::all().map(|topic| format!("{} {topic} {:?} {}\n", topic.id(), topic.shape(), topic.key()));
        let found: String = lines.collect();
        for line in GOLDEN.lines() {
            assert!(found.lines().any(|found| found == line), "changed or gone: {line}");
        }
        assert_eq!(found, GOLDEN, "what is new is to be added to GOLDEN");
        let names: BTreeSet<&str> = Topic::all().map(Topic::name).collect();
        assert_eq!(names.len(), ENTRIES.len());
    }

    #[test]
    fn a_topic_is_written_by_name_for_people_and_by_number_else() {
        for topic in Topic::all() {
            let json = serde_json::to_string(&topic).unwrap();
            assert_eq!(json, format!("\"{topic}\""));
            assert_eq!(serde_json::from_str::<Topic>(&json).unwrap(), topic);
            let mut bytes = Vec::new();
            crate::binary::append(&mut bytes, &topic).unwrap();
            assert_eq!(bytes, topic.id().to_le_bytes());
            assert_eq!(crate::binary::read::<Topic>(&bytes).unwrap(), topic);
        }
        assert!(crate::binary::read::<Topic>(&999u16.to_le_bytes()).is_err());
        assert_eq!((Topic::from_id(0), Topic::from_id(u16::MAX)), (None, None));
    }
}
