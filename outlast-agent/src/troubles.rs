//! Tells problems that last from hiccups.

use std::collections::BTreeMap;
use std::time::Duration;

use outlast_types::Timestamp;

/// The most problems that are remembered and reported.
const TROUBLES_MAX: usize = 100;

/// Since when each problem has been there.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    since: BTreeMap<String, Timestamp>,
    /// Whether a problem that had lasted was told in the last pass.
    is_told: bool,
}

impl Troubles {
    /// Notes all problems of a pass.
    pub(crate) fn observe(
        &mut self,
        problems: &[String],
        now: Timestamp,
        patience: Duration,
    ) -> Told {
        self.since.retain(|known, _| problems.contains(known));
        let mut told = Told::default();
        for problem in problems.iter().take(TROUBLES_MAX) {
            let since = self.since.entry(problem.clone()).or_insert_with(|| {
                told.fresh.push(problem.clone());
                now
            });
            // A clock that went back must not make it look new for ever.
            *since = (*since).min(now);
        }
        let lasts = |since: Timestamp| now.since(since) >= patience;
        let lasting = self.since.iter().filter(|(_, since)| lasts(**since));
        told.lasting = lasting.map(|(problem, _)| problem.clone()).collect();
        if told.lasting.is_empty() && self.is_told {
            // The words have changed, as when a share that failed is unmounted; the trouble has
            // not ended, and must not be told to have ended and begun again.
            told.lasting = self.since.keys().cloned().collect();
        }
        self.is_told = !told.lasting.is_empty();
        told
    }
}

/// The problems of a pass that are worth telling.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Those that were not there in the pass before.
    pub(crate) fresh: Vec<String>,
    /// Those that have lasted.
    pub(crate) lasting: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_problem_that_lasts_is_told() {
        let at = |seconds| Timestamp::from_unix(seconds, 0).unwrap();
        let patience = Duration::from_secs(15);
        let mut troubles = Troubles::default();
        let (one, two) = (vec!["one".to_owned()], vec!["one".to_owned(), "two".to_owned()]);
        let mut observe = |problems: &[String], seconds| {
            let Told { fresh, lasting } = troubles.observe(problems, at(seconds), patience);
            (fresh.join(" "), lasting.join(" "))
        };
        let told = |fresh: &str, lasting: &str| (fresh.to_owned(), lasting.to_owned());
        assert_eq!(observe(&one, 0), told("one", ""));
        assert_eq!(observe(&two, 10), told("two", ""));
        assert_eq!(observe(&two, 16), told("", "one"));
        let other = vec!["other".to_owned()];
        assert_eq!(observe(&other, 17), told("other", "other"), "the same trouble in other words");
        assert_eq!(observe(&[], 18), told("", ""));
        assert_eq!(observe(&one, 40), told("one", ""), "it begins anew");
    }
}
