//! What came up in all histories together: a comparison of what never happens would show nothing.

use std::collections::{BTreeMap, BTreeSet};

use riskflow::runtime::output::EpochOutput;
use riskflow::runtime::replay::EpochInput;
use riskflow_config::InputRecord;
use riskflow_model::observation::Said;
use riskflow_model::output::{
    CaseDelta, CaseEventKind, CaseState, CaseStep, Cause, DeadLetter, DeltaKind, FeatureValue, LimitSource, Notice,
    NoticeEvent, Reason, Refusal, WarningDelta,
};
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Millis};
use riskflow_tests::history::Tally;
use riskflow_tests::oracle::Expected;

use super::Visible;
use super::gauge_rules::GaugeRules;
use super::gauges::Gauges;

/// What came up, and how often.
#[derive(Default)]
pub(super) struct Reached {
    kinds: BTreeSet<(CaseEventKind, bool)>,
    refusals: BTreeSet<Refusal>,
    notices: BTreeSet<NoticeEvent>,
    missed: BTreeSet<Option<CaseStep>>,
    /// Users who were reminded; and how often of it was no first reminder, and one that had waited for its epoch.
    reminders: [u32; 3],
    /// Why forecasts could not be taken, and how often.
    forecasts: BTreeMap<Reason, u32>,
    rounds: u32,
    /// What rules have.
    pub(super) language: Tally,
    /// What events and gauges do.
    pub(super) gauges: Gauges,
    /// What rules over gauges do.
    pub(super) gauge_rules: GaugeRules,
    /// How often a warning that was over was recorded, amended and withdrawn, and one that is open revised by data.
    past: [u32; 4],
    /// What late data and corrections did, and how often.
    late: BTreeMap<(Cause, DeltaKind), u32>,
    /// How often levels began and ended that go by thresholds of these.
    limits: BTreeMap<(LimitSource, bool), usize>,
    /// Datastreams and times of observations that are names of states.
    stated: BTreeSet<(Key, Millis)>,
    /// How often levels began and ended with one of these.
    states: BTreeMap<bool, usize>,
    /// How a warning changed, and why; and the same of levels by the limits of work under permit.
    pub(super) told: BTreeSet<(DeltaKind, Cause)>,
    of_limits: BTreeSet<(DeltaKind, Cause)>,
    /// Of all epochs.
    totals: usize,
    /// In which ways sets of rules differ; and how warnings of candidates changed, and why.
    differ: BTreeSet<String>,
    of_candidates: BTreeSet<(DeltaKind, Cause)>,
}

impl Reached {
    pub(super) fn learn(&mut self, input: &EpochInput) {
        for (_, record) in &input.records {
            if let InputRecord::Observation(observation) = record
                && matches!(observation.said, Said::State(_))
            {
                self.stated.insert((observation.datastream, observation.time));
            }
        }
    }

    pub(super) fn add(&mut self, before: &Visible, output: &EpochOutput) {
        for delta in output.log::<WarningDelta>() {
            if matches!(delta.cause, Cause::LateData | Cause::Correction) {
                *self.late.entry((delta.cause, delta.kind)).or_default() += 1;
            }
            let was_open = before.0.warnings.contains_key(&delta.id);
            let by_data = delta.cause < Cause::BaseChange;
            let counts = [
                delta.kind == DeltaKind::Recorded,
                delta.kind == DeltaKind::Amended,
                delta.kind == DeltaKind::Withdrawn && !was_open,
                delta.kind == DeltaKind::Revised && by_data,
            ];
            for (sum, counted) in self.past.iter_mut().zip(counts) {
                *sum += u32::from(counted);
            }
            let begins = match delta.kind {
                DeltaKind::Raised | DeltaKind::Recorded => true,
                DeltaKind::Cleared | DeltaKind::Withdrawn => false,
                DeltaKind::Escalated | DeltaKind::Eased | DeltaKind::Revised | DeltaKind::Amended => continue,
            };
            let datastream = Key::of(&delta.explanation.datastream);
            let last = |feature: &FeatureValue| Some((datastream, feature.last?.time));
            let mut rests_on = delta.explanation.features.iter().filter_map(last);
            if rests_on.any(|observation| self.stated.contains(&observation)) {
                *self.states.entry(begins).or_default() += 1;
            }
            let of: BTreeSet<LimitSource> = delta.explanation.limits.iter().map(|limit| limit.of).collect();
            for of in of {
                *self.limits.entry((of, begins)).or_default() += 1;
            }
        }
        for delta in output.log::<CaseDelta>() {
            self.kinds.insert((delta.event.kind, delta.retracted));
            self.refusals.extend(delta.event.refusal);
            self.missed
                .extend(delta.event.escalation.as_ref().map(|lifted| lifted.step));
        }
        self.notices.extend(output.log::<Notice>().map(|notice| notice.event));
        for reminder in output.log::<Notice>().filter_map(|notice| notice.reminder) {
            let is = [true, reminder.number > 1, reminder.at < output.epoch];
            (self.reminders.iter_mut().zip(is)).for_each(|(count, is)| *count += u32::from(is));
        }
        let is_forecast = |letter: &&DeadLetter| *letter.topic == *Topic::IN_FORECAST.name();
        for letter in output.log::<DeadLetter>().filter(is_forecast) {
            *self.forecasts.entry(letter.reason).or_default() += 1;
        }
        let rounds = output.table::<CaseState>().map(|(case, _)| case.round);
        self.rounds = rounds.max().unwrap_or(0).max(self.rounds);
    }

    pub(super) fn check(&self) {
        use CaseEventKind as Kind;
        let all = [
            Kind::Issued,
            Kind::Reissued,
            Kind::Reopened,
            Kind::Resumed,
            Kind::Flapping,
            Kind::Calm,
            Kind::Raised,
            Kind::Level,
            Kind::Cleared,
            Kind::Withdrawn,
            Kind::BasisCorrected,
            Kind::Step,
            Kind::Acknowledgement,
            Kind::Task,
            Kind::Progress,
            Kind::Rejected,
            Kind::Suppressed,
            Kind::Escalated,
            Kind::Noted,
            Kind::Refused,
        ];
        for kind in all {
            assert!(self.kinds.contains(&(kind, false)), "{kind:?} never happened");
        }
        for kind in [Kind::Step, Kind::Escalated, Kind::Refused, Kind::Acknowledgement] {
            assert!(self.kinds.contains(&(kind, true)), "{kind:?} was never taken back");
        }
        // `too_many` needs a thousand actions: that is in `cases`.
        assert_eq!(self.refusals.len(), 7, "refusals: {:?}", self.refusals);
        assert_eq!(self.notices.len(), 7, "notices: {:?}", self.notices);
        // Every step but issued, and what people lift.
        assert_eq!(self.missed.len(), 8, "missed: {:?}", self.missed);
        let many = self.reminders.iter().all(|count| *count >= 20);
        assert!(many, "reminders, not the first, late: {:?}", self.reminders);
        let refused = [Reason::TooLate, Reason::InFuture, Reason::UnknownDatastream];
        let often = refused.map(|reason| self.forecasts.get(&reason).is_some_and(|count| *count >= 20));
        assert_eq!(often, [true; 3], "forecasts: {:?}", self.forecasts);
        assert!(self.rounds >= 2, "no case was reopened");
        assert!(
            self.past.iter().all(|count| *count >= 20),
            "of the past: {:?}",
            self.past
        );
        for cause in [Cause::LateData, Cause::Correction] {
            for kind in DeltaKind::ALL {
                let times = self.late.get(&(cause, kind)).copied().unwrap_or(0);
                assert!(times >= 20, "{kind:?} by {cause:?}: {:?}", self.late);
            }
        }
        for begins in [true, false] {
            let times = self.states.get(&begins).copied().unwrap_or(0);
            assert!(times >= 20, "levels that rest on states: {:?}", self.states);
        }
        for of in [LimitSource::Datastream, LimitSource::Asset, LimitSource::Region] {
            for begins in [true, false] {
                let times = self.limits.get(&(of, begins)).copied().unwrap_or(0);
                assert!(times >= 20, "thresholds of {of:?}: {:?}", self.limits);
            }
        }
    }

    /// What the batch says of an epoch.
    pub(super) fn judge(&mut self, batch: &Expected) {
        for told in &batch.deltas {
            self.told.insert((told.kind, told.cause));
            if told.rule.starts_with("limit-") {
                self.of_limits.insert((told.kind, told.cause));
            }
        }
        self.totals += batch.totals.len();
        let differences = batch.others.get(&Topic::RULESET_DIFFERENCE).into_iter().flatten();
        self.differ.extend(differences.map(|(_, row)| row["kind"].to_string()));
        let of_candidates = batch.candidate_deltas.iter();
        self.of_candidates
            .extend(of_candidates.map(|(_, told)| (told.kind, told.cause)));
    }

    /// Sets must differ in every way, and warnings of candidates change by rules.
    pub(super) fn check_rule_sets(&self) {
        assert_eq!(
            self.differ.len(),
            4,
            "sets differ in these ways only: {:?}",
            self.differ
        );
        for kind in [DeltaKind::Raised, DeltaKind::Revised, DeltaKind::Withdrawn] {
            let by_rule = self.of_candidates.contains(&(kind, Cause::RuleChange));
            assert!(by_rule, "{kind:?} by no rule");
        }
    }

    /// Limits must give every step of a warning's life, for every cause that they can have, and reports must give totals.
    pub(super) fn check_work_under_permit(&self) {
        for kind in DeltaKind::ALL {
            for cause in [
                Cause::Clock,
                Cause::Data,
                Cause::Correction,
                Cause::BaseChange,
                Cause::RuleChange,
            ] {
                // What is known already is not made undone by time, nor ended by an asset's row.
                let never = match kind {
                    DeltaKind::Withdrawn => cause == Cause::Clock,
                    DeltaKind::Escalated | DeltaKind::Eased | DeltaKind::Cleared => cause == Cause::BaseChange,
                    DeltaKind::Raised => false,
                    // Nor is a beginning moved by time, or by an asset's row.
                    DeltaKind::Revised => cause == Cause::Clock || cause == Cause::BaseChange,
                    DeltaKind::Amended => cause == Cause::Clock,
                    DeltaKind::Recorded => false,
                };
                let happened = self.of_limits.contains(&(kind, cause));
                assert_eq!(happened, !never, "{kind:?} by {cause:?}");
            }
        }
        assert!(self.totals > 1_000, "{} totals", self.totals);
    }
}
