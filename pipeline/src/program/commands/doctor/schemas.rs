//! Schemas of topics at a schema registry, where one is configured. No job needs it: nothing here must be mended for a start.

use riskflow_config::Settings;
use riskflow_connectors::registry::{Registry, SchemaState, subjects};

use super::finding::{Findings, told};

/// Whether the registry answers, and has the schemas of this version.
pub fn schemas(settings: &Settings, findings: &mut Findings) {
    const CHECK: &str = "schemas";
    let Some(registry) = &settings.schema_registry else {
        return;
    };
    let subjects = subjects(settings);
    if subjects.is_empty() {
        findings.skip(CHECK, "neither input nor output is Kafka: no schema is registered");
        return;
    }
    let states = Registry::new(registry).and_then(|registry| {
        let looked_at = subjects.iter().map(|subject| registry.look(subject));
        looked_at.collect::<Result<Vec<SchemaState>, _>>()
    });
    let states = match states {
        Ok(states) => states,
        Err(error) => {
            let mend = "mend `kafka.schema_registry`, or the registry; a job runs without";
            findings.warn(CHECK, told(error), mend);
            return;
        }
    };
    let of = subjects.len();
    let refusal = states.iter().zip(&subjects).find_map(|(state, subject)| match state {
        SchemaState::Incompatible(said) | SchemaState::Refused(said) => Some(format!("{}: {said}", subject.name)),
        SchemaState::Unchanged(_) | SchemaState::Registered(_) | SchemaState::Missing => None,
    });
    if let Some(refusal) = refusal {
        findings.warn(CHECK, refusal, "ask whoever keeps the registry; a job runs without");
    }
    let missing = states.iter().filter(|state| **state == SchemaState::Missing).count();
    if missing > 0 {
        let found = format!("{missing} of {of} are not registered at {}", registry.url);
        findings.warn(CHECK, found, "`riskflow topics --create`");
    }
    let there = states.iter().filter(|state| matches!(state, SchemaState::Unchanged(_)));
    let there = there.count();
    if there > 0 {
        findings.ok(CHECK, format!("{there} of {of} are registered at {}", registry.url));
    }
}
