//! Rules and rule sets in force, and which rules are evaluated most often.

use prometheus::{IntGauge, IntGaugeVec, Registry};

use super::register::{whole, wholes};
use crate::runtime::graph::Meters;

/// So many rules are told apart.
const RULES: usize = 10;

/// Metrics of rules.
pub(super) struct Rules {
    evaluations: IntGaugeVec,
    rules: IntGauge,
    limits: IntGauge,
    rule_sets: IntGauge,
    wrong_sets: IntGauge,
}

impl Rules {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            evaluations: wholes(
                registry,
                "riskflow_rule_evaluations",
                "How often the ten rules that are evaluated most often were evaluated since the start, by rule, judged by one evaluation in 61.",
                &["rule"],
            )?,
            rules: whole(
                registry,
                "riskflow_rules_in_force",
                "Rules of the live set, as process 0 tells; with neither rules nor limits nothing warns.",
            )?,
            limits: whole(
                registry,
                "riskflow_limits_in_force",
                "Limits of work under permit in force in the whole job, as process 0 tells.",
            )?,
            rule_sets: whole(
                registry,
                "riskflow_rule_sets",
                "Rule sets that are evaluated, the live one included, as process 0 tells.",
            )?,
            wrong_sets: whole(
                registry,
                "riskflow_rule_sets_wrong",
                "Rule sets with a mistake in them, as process 0 tells; /api/v1/rulesets says what. A candidate whose rules look back too far is none.",
            )?,
        })
    }

    /// Shows how they stand.
    pub(super) fn show(&self, meters: &Meters) {
        // Another rule may take the place of one.
        self.evaluations.reset();
        for (rule, times) in meters.evaluations.most(RULES) {
            let times = i64::try_from(times).unwrap_or(i64::MAX);
            self.evaluations.with_label_values(&[&*rule]).set(times);
        }
        self.rules.set(meters.sets.rules() as i64);
        self.limits.set(meters.in_force.limits());
        self.rule_sets.set(meters.sets.in_force() as i64);
        self.wrong_sets.set(meters.sets.wrong() as i64);
    }
}
