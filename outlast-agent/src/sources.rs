//! What the agent backs up itself: workloads whose drops somebody on the same host makes for it.
//!
//! Who makes them says here what keeps them from it. The next report tells the vault: that there are such
//! workloads, even if no drop ever came, and why none comes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use outlast_types::WorkloadName;
use outlast_wire::api::Declared;

use crate::board::Seen;
use crate::problem::{Met, Problem};

/// The sources of an agent.
#[derive(Debug, Default)]
pub struct OwnSources(Mutex<BTreeMap<WorkloadName, OwnSource>>);

#[derive(Debug)]
struct OwnSource {
    declared: Declared,
    /// Why no drop can be made, while that is so.
    failing: Option<String>,
}

impl OwnSources {
    /// Sources, with what is asked of each.
    pub fn new(sources: impl IntoIterator<Item = (WorkloadName, Declared)>) -> Self {
        let source = |(name, declared)| (name, OwnSource { declared, failing: None });
        Self(Mutex::new(sources.into_iter().map(source).collect()))
    }

    /// Notes why no drop of a source can be made, or that one can again.
    pub fn note(&self, workload: &WorkloadName, failing: Option<String>) {
        if let Some(source) = self.lock().get_mut(workload) {
            source.failing = failing;
        }
    }

    /// What keeps sources from being dropped.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let sources = self.lock();
        let problem = |(name, source): (&WorkloadName, &OwnSource)| {
            Some(Met::SourceFailing(name.clone()).because(source.failing.clone()?))
        };
        sources.iter().filter_map(problem).collect()
    }

    /// Adds what is asked of each to what was `seen` of it. What its share declares counts, too; of two
    /// recovery points the stricter one, and the owner that the agent's own configuration names.
    pub(crate) fn declare(&self, seen: &mut BTreeMap<WorkloadName, Seen>) {
        for (name, source) in self.lock().iter() {
            let seen = seen.entry(name.clone()).or_default();
            let of_share = seen.declared.take().unwrap_or_default();
            let both = [source.declared.rpo_seconds, of_share.rpo_seconds];
            seen.declared = Some(Declared {
                rpo_seconds: both.into_iter().flatten().min(),
                owner: source.declared.owner.clone().or(of_share.owner),
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<WorkloadName, OwnSource>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> WorkloadName {
        WorkloadName::new(name).unwrap()
    }

    fn declared(rpo_seconds: Option<u64>, owner: Option<&str>) -> Declared {
        Declared { rpo_seconds, owner: owner.map(str::to_owned) }
    }

    #[test]
    fn each_source_is_declared_though_nothing_of_it_was_seen_and_the_stricter_word_counts() {
        let sources = OwnSources::new([
            (name("etc"), declared(None, None)),
            (name("shop"), declared(Some(600), Some("team-shop"))),
        ]);
        let before = Seen {
            declared: Some(declared(Some(60), Some("them"))),
            waiting: 3,
            ..Seen::default()
        };
        let mut seen = BTreeMap::from([(name("shop"), before), (name("web"), Seen::default())]);
        sources.declare(&mut seen);
        assert_eq!(seen[&name("etc")].declared, Some(declared(None, None)));
        assert_eq!(seen[&name("shop")].declared, Some(declared(Some(60), Some("team-shop"))));
        assert_eq!((seen[&name("shop")].waiting, seen[&name("web")].declared.clone()), (3, None));
    }

    #[test]
    fn a_source_that_fails_is_a_problem_of_its_workload_until_it_does_not() {
        let sources = OwnSources::new([(name("shop"), Declared::default())]);
        assert_eq!(sources.problems(), []);
        sources.note(&name("shop"), Some("no such database".to_owned()));
        sources.note(&name("other"), Some("nobody asked".to_owned()));
        let problems = sources.problems();
        assert_eq!(problems, [Met::SourceFailing(name("shop")).because("no such database")]);
        let told = problems[0].told();
        assert_eq!((told.workload, told.text.as_str()), (Some(name("shop")), "no such database"));
        sources.note(&name("shop"), None);
        assert_eq!(sources.problems(), []);
    }
}
