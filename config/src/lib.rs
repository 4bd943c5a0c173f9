//! Configuration and rules: as written, and as checked.
//!
//! What a person writes is parsed strictly (unknown fields are errors) into *written* types; checking turns these into
//! *checked* types that cannot hold nonsense, and reports every problem at once as [`Problems`]: field, value found,
//! what to give.

mod plan;
mod record;
mod settings;
mod problems;
mod origin;
mod read;
mod environment;
mod written;
mod secret;
mod check;
mod changed;
mod meet;
mod sets;
mod unit;

pub mod packs;

pub use changed::changed;
pub use environment::{Environment, OPTIONS as OPTION_VARIABLES};
pub use meet::{
    GivenProblem, Located, Met, NoGauge, Regional, Unmatched, Watching, gauges_of, given_by_asset, given_by_region,
    meet, meet_asset,
};
pub use origin::{Origin, Origins};
pub use plan::{
    Border, Bound, Calendar, CalendarUnit, Comparison, Condition, Days, During, Feature, FeatureKind, Given, Givers,
    InSets, LevelPlan, Limit, Merged, Operator, PairProblem, Place, Reports, Role, Rule, RuleWarning, Scaled, Standing,
    Thresholds, Whose, unit_of_feature,
};
pub use record::InputRecord;
pub use secret::{Secret, WrittenSecret};
pub use sets::{Resolved, resolve};
pub use settings::{
    ActionSettings, AlertmanagerSettings, Begin, BridgeSettings, Capabilities, CaseSettings, CheckpointSettings,
    CityDays, Clock, ClockSettings, ClusterSettings, Disorder, Endpoint, EpochSettings, FileFormat, FileInput,
    FilesOutput, FlappingSettings, Guarantee, HttpSettings, Input, KafkaSettings, LogSettings, Output, OutputFormat,
    Quiet, ReaderSettings, ReadingSettings, RecoverySettings, RegistryCredentials, RegistrySettings, ReplaySettings,
    Rewind, ScoreCuts, SendSettings, Settings, SigningKey, Tidy, TimeSettings, TlsSettings, TokenSettings,
    TopicSettings, TracingSettings, UnknownSettings, UnmatchedSettings, WebhookSettings,
};
pub use unit::{Conversion, Mismatch, Unit};
pub use written::{Loaded, WrittenKafka, WrittenProcess, WrittenSettings};
