//! Which rules are in which set, and what is wrong with a set.
//!
//! Rules and sets refer to each other: a set names its base, `live` names a set, a rule names the set that it is of. A reference that
//! leads nowhere is no mistake of one record, so it is not refused but reported, in `out.ruleset`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use riskflow_model::output::SetState;
use riskflow_model::ruleset::{Adjust, DEFAULT, LIVE, MOST_SETS, MOST_SWEPT, RuleSet, parts};
use riskflow_model::{Duration, Id, Shared, Text};

use crate::{Rule, Standing};

/// All rules in the order of their identifiers, and what each set is.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// Those that are evaluated. Where there is one set only, they are just the rules as written.
    pub rules: Vec<Rule>,
    /// A row for each set.
    pub states: Vec<SetState>,
    /// How many sets have a mistake in them. A candidate with rules that look back too far has none: the set that was live before another
    /// was promoted may be one, and stays whole for the way back.
    pub wrong: usize,
}

impl Resolved {
    /// What the live set has.
    pub fn live(&self) -> impl Iterator<Item = &Rule> + Clone {
        self.rules.iter().filter(|rule| rule.is_live())
    }

    /// The rows of sets, where anything is said of sets.
    #[must_use]
    pub fn told(self) -> Vec<SetState> {
        let only_default = |state: &SetState| &*state.set == DEFAULT && state.base.is_none();
        if self.states.iter().all(only_default) {
            Vec::new()
        } else {
            self.states
        }
    }
}

/// Finds which rules are in force for which sets. Rules are by their identifiers as written, rows of `in.ruleset` by theirs.
///
/// A candidate may look back as far as `retain` or the longest live rule: a rule that asks for more is left out of it.
#[must_use]
pub fn resolve(rules: &BTreeMap<Text, Rule>, rows: &BTreeMap<Text, Shared<RuleSet>>, retain: Duration) -> Resolved {
    Sets::new(rules, rows).resolve(retain.0)
}

struct Sets<'a> {
    rules: &'a BTreeMap<Text, Rule>,
    rows: &'a BTreeMap<Text, Shared<RuleSet>>,
    /// By set, the identifiers of its own rules by what they are called in it.
    own: BTreeMap<&'a str, BTreeMap<&'a str, &'a Text>>,
    names: BTreeSet<&'a str>,
    live: &'a str,
    /// The set that was live before, as the record `live` says.
    before: Option<&'a str>,
    problems: BTreeMap<&'a str, Told>,
}

/// What is wrong with a set.
#[derive(Default)]
struct Told {
    /// The first of it.
    listed: Vec<Text>,
    /// How much there is in all.
    count: usize,
    /// How much of it is no mistake: a rule that looks back further than anything is retained. Of the set that was live before another
    /// was promoted that is so by itself.
    limits: usize,
}

impl Told {
    /// So much is listed of one set.
    const LISTED: usize = 20;

    fn add(&mut self, problem: impl FnOnce() -> String) {
        if self.count < Self::LISTED {
            self.listed.push(problem().into());
        }
        self.count += 1;
    }

    fn join(&mut self, others: Self) {
        let room = Self::LISTED - self.listed.len();
        self.listed.extend(others.listed.into_iter().take(room));
        self.count += others.count;
        self.limits += others.limits;
    }

    fn all(&self) -> Vec<Text> {
        let more = self.count - self.listed.len();
        let more = (more > 0).then(|| Text::from(format!("and {more} more")));
        self.listed.iter().cloned().chain(more).collect()
    }
}

/// The rules of a set by what they are called in it.
type OfSet<'a> = BTreeMap<&'a str, &'a Text>;

impl<'a> Sets<'a> {
    fn new(rules: &'a BTreeMap<Text, Rule>, rows: &'a BTreeMap<Text, Shared<RuleSet>>) -> Self {
        let mut own: BTreeMap<&str, OfSet<'a>> = BTreeMap::new();
        for id in rules.keys() {
            let (set, rule) = parts(id);
            own.entry(set).or_default().insert(rule, id);
        }
        let mut names: BTreeSet<&str> = own.keys().copied().collect();
        names.extend(rows.keys().map(|name| &**name).filter(|name| *name != LIVE));
        let mut this = Self {
            rules,
            rows,
            own,
            names,
            live: DEFAULT,
            before: rows.get(LIVE).and_then(|row| row.before.as_deref()),
            problems: BTreeMap::new(),
        };
        let named = rows.get(LIVE).and_then(|row| row.set.as_deref());
        if let Some(named) = named {
            if this.names.contains(named) {
                this.live = named;
            } else if named != DEFAULT {
                this.tell(named, || {
                    format!(
                        "`live` names it, and there is no such set, so `{DEFAULT}` is live; load rules of it, or name another"
                    )
                });
            }
        }
        this
    }

    fn tell(&mut self, set: &'a str, problem: impl FnOnce() -> String) {
        self.problems.entry(set).or_default().add(problem);
    }

    fn row(&self, set: &str) -> Option<&'a RuleSet> {
        self.rows.get(set).map(|row| &**row)
    }

    /// The sets that are evaluated: of those of no sweep, and of those of sweeps, as many as there may be. The live one comes first, the one
    /// that was live before and `default`, then the others by name.
    fn in_force(&mut self) -> BTreeSet<&'a str> {
        let is_swept = |name: &str| self.row(name).is_some_and(|row| row.sweep.is_some());
        let (swept, others): (Vec<&str>, Vec<&str>) = self.names.iter().partition(|name| is_swept(name));
        let mut found = self.first(others, MOST_SETS, "sets");
        found.extend(self.first(swept, MOST_SWEPT, "sets of sweeps"));
        found
    }

    /// The first of some sets, and what is beyond is told.
    fn first(&mut self, names: Vec<&'a str>, most: usize, what: &str) -> BTreeSet<&'a str> {
        let (live, before) = (self.live, self.before);
        let has_place = |name: &&str| *name == live || Some(*name) == before || *name == DEFAULT;
        let (mut order, rest): (Vec<&str>, Vec<&str>) = names.into_iter().partition(has_place);
        order.extend(rest);
        for beyond in order.iter().skip(most) {
            self.tell(beyond, || {
                format!("there are more than {most} {what}, so it is not evaluated; delete one")
            });
        }
        order.truncate(most);
        order.into_iter().collect()
    }

    /// The rules of a set, own and of its base.
    fn of(&mut self, set: &'a str) -> OfSet<'a> {
        let mut found = self.own.get(set).cloned().unwrap_or_default();
        let Some(row) = self.row(set) else { return found };
        let Some(base) = row.base.as_deref() else { return found };
        if !self.names.contains(base) {
            self.tell(set, || {
                format!("its base `{base}` is no set; load rules of it, or name another base")
            });
            return found;
        }
        if self.row(base).is_some_and(|row| row.base.is_some()) {
            self.tell(set, || {
                format!("its base `{base}` has a base too, of which nothing comes along; name the set with the rules as base")
            });
        }
        let of_base = self.own.get(base).cloned().unwrap_or_default();
        for removed in row.removed.iter().filter(|removed| !of_base.contains_key(&***removed)) {
            self.tell(set, || {
                format!("it removes `{removed}`, which its base `{base}` does not have; leave that out")
            });
        }
        let removed: BTreeSet<&str> = row.removed.iter().map(|removed| &**removed).collect();
        for (rule, id) in of_base {
            if !removed.contains(rule) {
                found.entry(rule).or_insert(id);
            }
        }
        found
    }

    /// How many rules a set has that is not evaluated. There may be thousands of those: none is put together for it.
    fn size(&self, set: &str) -> usize {
        let own = self.own.get(set);
        let count = own.map_or(0, OfSet::len);
        let Some(row) = self.row(set) else { return count };
        let Some(of_base) = row.base.as_deref().and_then(|base| self.own.get(base)) else {
            return count;
        };
        let own = own.into_iter().flat_map(OfSet::keys).copied();
        let left_out = row.removed.iter().map(|removed| &**removed).chain(own);
        let left_out: BTreeSet<&str> = left_out.filter(|rule| of_base.contains_key(*rule)).collect();
        count + of_base.len() - left_out.len()
    }

    /// What the rules of a set see in the place of results.
    fn adjust(&self, set: &str) -> Vec<Adjust> {
        let adjust = self.row(set).into_iter().flat_map(|row| &row.adjust);
        let mut adjust: Vec<Adjust> = adjust.filter(|adjust| !adjust.is_nothing()).cloned().collect();
        adjust.sort();
        adjust
    }

    /// Leaves out of a candidate what looks back too far, and tells of what cannot be adjusted.
    fn bound(&mut self, set: &'a str, of_set: &mut OfSet<'a>, farthest: i64) {
        let adjust = self.adjust(set);
        let adds = |rule: &Rule| adjust.iter().any(|adjust| !rule.may_adjust(adjust));
        let rules = self.rules;
        let mut problems = Told::default();
        of_set.retain(|name, id| {
            let rule = &rules[*id];
            let fits = set == self.live || rule.reach <= farthest;
            if !fits {
                let most = Duration(farthest);
                problems.limits += 1;
                problems.add(|| format!(
                    "its rule `{name}` looks back over more than {most}, so it is not evaluated; raise `time.retain`, or shorten its windows"
                ));
            } else if adds(rule) {
                problems.add(|| format!(
                    "its rule `{name}` adds results up, and these it takes without `add`; give `multiply` alone, or remove the rule"
                ));
            }
            fits
        });
        if problems.count > 0 {
            self.problems.entry(set).or_default().join(problems);
        }
    }

    fn resolve(mut self, retain: i64) -> Resolved {
        let in_force = self.in_force();
        let live = self.live;
        let mut sets: BTreeMap<&str, OfSet<'a>> = BTreeMap::new();
        // Of those beyond nothing is asked: there may be thousands, and each would have all rules of its base.
        for set in in_force {
            let of_set = self.of(set);
            sets.insert(set, of_set);
        }
        let longest = sets.get(live).into_iter().flat_map(OfSet::values);
        let longest = longest.map(|id| self.rules[*id].reach).max().unwrap_or(0);
        for (set, of_set) in &mut sets {
            self.bound(set, of_set, retain.max(longest));
        }
        let states = self.states(&sets);
        let wrong = self.problems.values().filter(|told| told.count > told.limits).count();
        Resolved {
            rules: self.standing(&sets),
            states,
            wrong,
        }
    }

    /// Each rule with all sets that have it; those that see other results are apart.
    fn standing(&self, sets: &BTreeMap<&'a str, OfSet<'a>>) -> Vec<Rule> {
        let candidates = sets.keys().filter(|set| **set != self.live);
        let all: Vec<Text> = candidates.map(|set| (*set).into()).collect();
        let mut found: BTreeMap<(&Text, Vec<Adjust>), Standing> = BTreeMap::new();
        for (set, of_set) in sets {
            let adjust = self.adjust(set);
            for id in of_set.values() {
                let standing = found.entry((*id, adjust.clone())).or_insert_with(|| Standing {
                    live: false,
                    candidates: Vec::new(),
                    all: all.clone(),
                });
                if *set == self.live {
                    standing.live = true;
                } else {
                    standing.candidates.push((*set).into());
                }
            }
        }
        let rules = found.into_iter().map(|((id, adjust), standing)| {
            let rule = &self.rules[id];
            if parts(id).0 == DEFAULT && adjust.is_empty() && standing == Standing::alone() {
                return rule.clone();
            }
            rule.in_sets(Arc::new(standing), adjust)
        });
        let mut rules: Vec<Rule> = rules.collect();
        rules.sort();
        rules
    }

    fn states(&self, sets: &BTreeMap<&'a str, OfSet<'a>>) -> Vec<SetState> {
        let mut named: BTreeSet<&str> = self.names.clone();
        named.extend(self.problems.keys());
        let states = named.into_iter().map(|set| SetState {
            set: Id::from(set),
            live: set == self.live,
            in_force: sets.contains_key(set),
            base: self.row(set).and_then(|row| row.base.clone()),
            sweep: self.row(set).and_then(|row| row.sweep.clone()),
            rules: sets.get(set).map_or_else(|| self.size(set), OfSet::len) as u32,
            own: self.own.get(set).map_or(0, |rules| rules.len() as u32),
            problems: self.problems.get(set).map(Told::all).unwrap_or_default(),
        });
        states.collect()
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::Row;
    use riskflow_model::topic::Topic;

    use super::*;

    fn rule(id: &str, window: &str) -> Rule {
        let json = format!(
            r#"{{"id":"{id}","version":1,"select":{{"observed_property":"rain"}},"levels":
                {{"red":{{"when":{{"feature":"last","window":"{window}","op":">=","threshold":9}}}}}}}}"#
        );
        Rule::from_json(json.as_bytes()).unwrap()
    }

    fn resolved(rules: &[&str], rows: &[&str]) -> Resolved {
        let rules = rules.iter().map(|id| (Text::from(*id), rule(id, "1h"))).collect();
        let rows = rows.iter().map(|json| {
            let row = Row::from_json(Topic::IN_RULESET, json).unwrap();
            (row.id(), row.downcast::<RuleSet>().unwrap())
        });
        resolve(&rules, &rows.collect(), Duration(7_200_000))
    }

    /// Identifier as written, whether it is live, candidates.
    fn shown(resolved: &Resolved) -> Vec<String> {
        let shown = resolved.rules.iter().map(|rule| {
            let standing = rule.standing();
            format!("{} {} {}", rule.written(), standing.live, standing.candidates.join(","))
        });
        let mut shown: Vec<String> = shown.collect();
        shown.sort();
        shown
    }

    #[test]
    fn one_set_is_its_rules_as_they_are() {
        let one = resolved(&["rain", "wind"], &[]);
        assert!(one.rules.iter().all(|rule| rule.sets.is_none()));
        assert_eq!(one.told(), []);
    }

    #[test]
    fn a_set_has_its_own_rules_and_those_of_its_base_that_it_neither_has_nor_removes() {
        let rules = ["rain", "wind", "heat", "strict/rain", "strict/new"];
        let strict = r#"{"id":"strict","base":"default","removed":["heat"]}"#;
        let before = resolved(&rules, &[strict]);
        assert_eq!(
            shown(&before),
            [
                "heat true ",
                "rain true ",
                "strict/new false strict",
                "strict/rain false strict",
                "wind true strict"
            ]
            .map(str::to_owned)
        );
        let after = resolved(&rules, &[strict, r#"{"id":"live","set":"strict"}"#]);
        let mut live: Vec<&str> = after.live().map(|rule| &**rule.written()).collect();
        live.sort_unstable();
        assert_eq!(live, ["strict/new", "strict/rain", "wind"]);
        assert!(after.rules.iter().all(|rule| !rule.record.id.contains('/')));
    }

    fn problems(resolved: Resolved, set: &str) -> String {
        let state = resolved.states.into_iter().find(|state| &*state.set == set).unwrap();
        format!("{} {} {}", state.live, state.in_force, state.problems.join("; "))
    }

    #[test]
    fn what_leads_nowhere_is_told() {
        let live = r#"{"id":"live","set":"strcit"}"#;
        let told = problems(resolved(&["rain", "strict/rain"], &[live]), "strcit");
        assert!(told.starts_with("false false `live` names it"), "{told}");
        let told = problems(resolved(&["rain"], &[r#"{"id":"a","base":"b"}"#]), "a");
        assert!(told.contains("is no set"), "{told}");
        let chain = [r#"{"id":"a","base":"b"}"#, r#"{"id":"b","base":"default"}"#];
        let told = problems(resolved(&["rain"], &chain), "a");
        assert!(told.contains("has a base too"), "{told}");
    }

    #[test]
    fn there_are_eight_sets_at_most_and_the_live_one_is_of_them() {
        let rules: Vec<String> = (0..9).map(|number| format!("s{number}/rain")).collect();
        let mut rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        rules.push("rain");
        let told = |set: &str| problems(resolved(&rules, &[r#"{"id":"live","set":"s8"}"#]), set);
        assert_eq!(told("s8"), "true true ");
        assert_eq!(told("default"), "false true ");
        assert_eq!(told("s5"), "false true ");
        assert!(
            told("s6").starts_with("false false there are more than 8"),
            "{}",
            told("s6")
        );
    }

    /// Else a promotion would cut off its own way back.
    #[test]
    fn the_set_that_was_live_before_keeps_its_place() {
        let rules: Vec<String> = (1..8).map(|number| format!("a{number}/rain")).collect();
        let mut rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        rules.extend(["rain", "z/rain"]);
        let in_force = |live: &str| {
            let states = resolved(&rules, &[live]).states.into_iter();
            let found = states.filter(|state| state.in_force).map(|state| state.set.to_string());
            found.collect::<Vec<_>>().join(" ")
        };
        let until_then = in_force(r#"{"id":"live","set":"z"}"#);
        assert_eq!(until_then, "a1 a2 a3 a4 a5 a6 default z");
        assert_eq!(in_force(r#"{"id":"live","set":"a1","before":"z"}"#), until_then);
        // By names alone there is none, and what is gone takes no place.
        let by_name = "a1 a2 a3 a4 a5 a6 a7 default";
        assert_eq!(in_force(r#"{"id":"live","set":"a1"}"#), by_name);
        assert_eq!(in_force(r#"{"id":"live","set":"a1","before":"gone"}"#), by_name);
    }

    #[test]
    fn sets_of_sweeps_are_bounded_by_themselves_and_the_live_one_is_of_its_own_kind() {
        let others: Vec<String> = (0..8).map(|number| format!("s{number}/rain")).collect();
        let mut rules: Vec<&str> = others.iter().map(String::as_str).collect();
        rules.push("rain");
        let rows: Vec<String> = (10..75)
            .map(|value| format!(r#"{{"id":"wet-{value}","base":"default","sweep":"wet"}}"#))
            .collect();
        let mut rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let before = resolved(&rules, &rows);
        let in_force = |resolved: &Resolved, swept: bool| {
            let states = resolved.states.iter();
            states
                .filter(|state| state.in_force && state.sweep.is_some() == swept)
                .count()
        };
        assert_eq!((in_force(&before, false), in_force(&before, true)), (8, 64));
        let told = problems(before, "wet-74");
        assert!(
            told.starts_with("false false there are more than 64 sets of sweeps"),
            "{told}"
        );
        rows.push(r#"{"id":"live","set":"wet-74"}"#);
        let after = resolved(&rules, &rows);
        assert_eq!((in_force(&after, false), in_force(&after, true)), (8, 64));
        assert_eq!(problems(after, "wet-74"), "true true ");
        let told = problems(resolved(&rules, &rows), "wet-73");
        assert!(told.starts_with("false false there are more than 64"), "{told}");
        rows.push(r#"{"id":"live","set":"wet-10","before":"wet-74"}"#);
        let back = resolved(&rules, &rows);
        assert_eq!((in_force(&back, false), in_force(&back, true)), (8, 64));
        assert_eq!(problems(back, "wet-74"), "false true ");
    }

    /// What is not evaluated costs by what it says, not by the rules of its base, and no list of problems is longer than people read.
    #[test]
    fn thousands_of_sets_that_are_not_evaluated_cost_little() {
        let one = rule("rain", "1h");
        let rules: BTreeMap<Text, Rule> = (0..2_000)
            .map(|number| (Text::from(format!("r{number:04}")), one.clone()))
            .chain([
                (Text::from("s4999/r0000"), one.clone()),
                (Text::from("s4999/own"), one.clone()),
            ])
            .collect();
        let row = |number: usize| {
            let removed: Vec<String> = (0..30).map(|gone| format!("\"gone{gone}\"")).collect();
            let json = format!(
                r#"{{"id":"s{number:04}","base":"default","removed":["r0001",{}]}}"#,
                removed.join(",")
            );
            let row = Row::from_json(Topic::IN_RULESET, &json).unwrap();
            (row.id(), row.downcast::<RuleSet>().unwrap())
        };
        let rows: BTreeMap<Text, Shared<RuleSet>> = (0..5_000).map(row).collect();
        let began = std::time::Instant::now();
        let resolved = resolve(&rules, &rows, Duration(7_200_000));
        let took = began.elapsed();
        assert!(took.as_secs() < 3, "{took:?}");
        let state = |set: &str| resolved.states.iter().find(|state| &*state.set == set).unwrap();
        // All but the removed; the own one that the base has, too, counts once.
        assert_eq!((state("s0000").rules, state("s0000").in_force), (1_999, true));
        assert_eq!((state("s4998").rules, state("s4998").in_force), (1_999, false));
        assert_eq!((state("s4999").rules, state("s4999").own), (2_000, 2));
        assert_eq!(state("s4998").problems.len(), 1, "it is not evaluated, which is all");
        let told = &state("s0000").problems;
        assert_eq!((told.len(), &*told[20]), (21, "and 10 more"));
        assert_eq!(resolved.wrong, 5_000);
    }

    #[test]
    fn a_candidate_looks_back_as_far_as_the_live_set_or_what_is_retained() {
        let rules = [("rain", "1h"), ("long/rain", "3h"), ("fits/rain", "90m")];
        let rules = rules.map(|(id, window)| (Text::from(id), rule(id, window)));
        let resolved = resolve(&rules.into(), &BTreeMap::new(), Duration(7_200_000));
        assert_eq!(shown(&resolved).len(), 2);
        assert_eq!(resolved.wrong, 0, "a limit is no mistake");
        assert!(problems(resolved, "long").contains("looks back over more than"));
    }
}
