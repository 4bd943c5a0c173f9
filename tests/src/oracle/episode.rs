//! Episodes of warnings: what is open after an epoch, and what that says of what was open before.

use std::collections::BTreeMap;

use riskflow_model::base::Asset;
use riskflow_model::id::{RuleOrLimit, Run};
use riskflow_model::output::{Cause, DeltaKind, WarningState};
use riskflow_model::{Id, Key, Level, Millis};

use super::level::{self, Track, level_at};
use super::{Expected, Group, Levels, Member, Oracle, Told, group};

impl Oracle {
    #[expect(
        clippy::too_many_lines,
        reason = "the rules of docs/semantics.md, one after the other"
    )]
    pub(super) fn episodes(
        &mut self,
        now: i64,
        levels: &Levels,
        causes: &BTreeMap<Member, Cause>,
        expected: &mut Expected,
    ) {
        let mut groups: BTreeMap<Group, Vec<&(Track, bool)>> = BTreeMap::new();
        for (member, standing) in levels {
            groups.entry(group(member)).or_default().push(standing);
        }
        for key in self.open.keys() {
            groups.entry(key.clone()).or_default();
        }
        for (place, members) in groups {
            let (limit, rule, asset) = place.clone();
            let track = level::highest(members.iter().map(|(track, _)| track));
            let before = self.open.remove(&place);
            let after = level::open(&track);
            let cause = causes
                .iter()
                .filter(|(member, _)| group(member) == place)
                .map(|(_, cause)| *cause)
                .max();
            let hash = |since: i64| {
                let mut parts: Vec<String> = vec![rule.to_string(), asset.to_string(), since.to_string()];
                if limit {
                    parts.insert(0, "limit".to_owned());
                }
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                Id::from(Key::of_parts(&parts).to_string())
            };
            let id_before = before.as_ref().map(|(_, _, id)| id.clone());
            // The episode that the warning told of has become; it goes on as long as that is not over.
            let kept = before.as_ref().and_then(|(since, ..)| level::episode(&track, *since));
            let same = matches!(kept, Some((_, None)));
            let id_after = after.map(|after| match &id_before {
                Some(id) if same => id.clone(),
                _ => hash(after.since),
            });
            let mut tell = |run: Id<Run>, id: &Option<Id<WarningState>>, kind, since: i64, at: i64, levels| {
                let id = id.clone().expect("an episode has a name");
                let cause = cause.unwrap_or(Cause::Manual);
                let (rule, asset) = (rule.clone(), asset.clone());
                expected.runs.insert(id.clone(), run);
                expected.deltas.insert(Told {
                    id,
                    kind,
                    cause,
                    rule,
                    asset,
                    since: Millis(since),
                    at: Millis(at),
                    levels,
                });
            };
            if let Some((since, level, _)) = before.as_ref().filter(|_| !same) {
                let (kind, at) = match kept.and_then(|(_, end)| end) {
                    Some(at) => (DeltaKind::Cleared, at),
                    None => (DeltaKind::Withdrawn, now),
                };
                let run = self.runs.end(&place, at);
                tell(run, &id_before, kind, *since, at, (*level, Level::None));
            }
            let Some(after) = after else { continue };
            let run = if same {
                self.runs.of_open(&place)
            } else {
                let id = id_after.as_ref().expect("an episode has a name");
                self.runs
                    .raise(&place, id, after.since, self.semantics.case.flapping.join.0)
            };
            if before.as_ref().is_some_and(|(since, ..)| same && *since != after.since) {
                let levels = (after.level, after.level);
                tell(run.clone(), &id_after, DeltaKind::Revised, after.since, now, levels);
            }
            match before.filter(|_| same) {
                None => tell(
                    run,
                    &id_after,
                    DeltaKind::Raised,
                    after.since,
                    after.level_since,
                    (Level::None, after.level),
                ),
                Some((_, from, _)) if from < after.level => {
                    let levels = (from, after.level);
                    tell(
                        run,
                        &id_after,
                        DeltaKind::Escalated,
                        after.since,
                        after.level_since,
                        levels,
                    );
                }
                Some((_, from, _)) if from > after.level => {
                    let levels = (from, after.level);
                    tell(run, &id_after, DeltaKind::Eased, after.since, after.level_since, levels);
                }
                Some(_) => {}
            }
            let standing = members.iter().filter(|(track, _)| level_at(track, now) == after.level);
            let stale = standing.clone().all(|(_, stale)| *stale);
            let id = id_after.expect("an episode has a name");
            let state = warning(id.clone(), &rule, &self.assets[&Key::of(&asset)], after, stale);
            expected.warnings.insert(id.clone(), state);
            self.open.insert(place, (after.since, after.level, id));
        }
        self.runs.forget(now, self.semantics.case.retain.0);
    }
}

fn warning(
    id: Id<WarningState>,
    rule: &Id<RuleOrLimit>,
    asset: &Asset,
    open: level::Open,
    stale: bool,
) -> WarningState {
    WarningState {
        id,
        rule: rule.clone(),
        asset: asset.id.clone(),
        domain: asset.domain,
        region: asset.region,
        level: open.level,
        since: Millis(open.since),
        stale,
    }
}
