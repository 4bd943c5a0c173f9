//! Configuration and rules: as written, and as checked.
//!
//! What a person writes is parsed strictly (unknown fields are errors) into *written* types; checking turns these into
//! *checked* types that cannot hold nonsense, and reports every problem at once as [`Problems`]: field, value found,
//! what to give.

mod problem;
mod plan;
mod record;
mod rule;
mod settings;
mod written;
mod written_case;
mod written_http;
mod check;

pub mod packs;

pub use plan::{Bound, Comparison, Condition, Feature, FeatureKind, LevelPlan, Operator, Rule, Thresholds};
pub use problem::{Problem, Problems};
pub use record::{BaseRow, InputRecord};
pub use rule::{ComparisonRecord, ConditionRecord, LevelRecord, RuleRecord, SelectorRecord};
pub use settings::{
    ActionSettings, CaseSettings, CheckpointSettings, Clock, ClusterSettings, EpochSettings, FileFormat, FileInput,
    Guarantee, HttpSettings, Input, KafkaSettings, Output, RecoverySettings, ScoreCuts, Settings, Tidy, TimeSettings,
    TlsSettings, TokenSettings, TopicSettings, UnknownSettings,
};
pub use written::WrittenSettings;
