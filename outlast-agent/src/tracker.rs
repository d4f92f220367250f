//! Problems that last, told from hiccups.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outlast_types::{ProblemKind, Timestamp, WorkloadName};

use crate::problem::{Met, Problem};

/// The most problems that are remembered and reported, of those that are no one team's.
const PROBLEMS_MAX: usize = 100;
/// The most strays among them.
const STRAYS_MAX: usize = 20;
/// The most of one team, and the most teams.
const OF_TEAM_MAX: usize = 3;
const TEAMS_MAX: usize = 1000;

/// Since when each problem has been there.
#[derive(Debug, Default)]
pub(crate) struct ProblemTracker {
    known: BTreeMap<Met, Known>,
    /// The kinds of the problems that were told in the last pass because they had lasted.
    told: BTreeSet<ProblemKind>,
}

#[derive(Debug)]
struct Known {
    since: Timestamp,
    /// With its newest reason.
    problem: Problem,
}

/// The problems of a pass that are worth telling.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Those that were not there in the pass before, or for another reason.
    pub(crate) fresh: Vec<Problem>,
    /// Those that have lasted.
    pub(crate) lasting: Vec<Problem>,
}

impl ProblemTracker {
    /// Notes all problems of a pass.
    pub(crate) fn observe(
        &mut self,
        problems: &[Problem],
        now: Timestamp,
        patience: Duration,
    ) -> Told {
        let met: BTreeSet<&Met> = problems.iter().map(|problem| &problem.met).collect();
        self.known.retain(|known, _| met.contains(known));
        let mut told = Told::default();
        for problem in worth_telling(problems) {
            match self.known.get_mut(&problem.met) {
                Some(known) => {
                    // A clock that went back must not make it look new for ever.
                    known.since = known.since.min(now);
                    if known.problem != *problem {
                        known.problem = problem.clone();
                        told.fresh.push(problem.clone());
                    }
                }
                None => {
                    let known = Known { since: now, problem: problem.clone() };
                    self.known.insert(problem.met.clone(), known);
                    told.fresh.push(problem.clone());
                }
            }
        }
        let kind = |problem: &Problem| problem.met.code().kind();
        let lasts = |known: &&Known| now.since(known.since) >= patience;
        let lasting: BTreeSet<ProblemKind> =
            self.known.values().filter(lasts).map(|known| kind(&known.problem)).collect();
        // Another problem of a kind has come in place of one that was told, as when a share that
        // failed is unmounted: the trouble has not ended, and must not be told to have ended and
        // begun again.
        let goes_on = |kind: ProblemKind| self.told.contains(&kind) && !lasting.contains(&kind);
        let is_told = |known: &&Known| lasts(known) || goes_on(kind(&known.problem));
        told.lasting =
            self.known.values().filter(is_told).map(|known| known.problem.clone()).collect();
        self.told = told.lasting.iter().map(kind).collect();
        told
    }
}

/// The problems of a pass that there is room for: none of them keeps those of others from being told,
/// however many somebody makes.
fn worth_telling(problems: &[Problem]) -> Vec<&Problem> {
    let mut of_teams: BTreeMap<&WorkloadName, usize> = BTreeMap::new();
    let (mut others, mut strays) = (Vec::new(), 0);
    let mut told = Vec::new();
    for problem in problems {
        match (problem.met.team(), problem.met.code().kind()) {
            (Some(team), _) => {
                let room = of_teams.len() < TEAMS_MAX || of_teams.contains_key(team);
                let count = of_teams.entry(team).or_default();
                *count += 1;
                if room && *count <= OF_TEAM_MAX {
                    told.push(problem);
                }
            }
            (None, ProblemKind::Stray) => {
                strays += 1;
                if strays <= STRAYS_MAX {
                    others.push(problem);
                }
            }
            (None, _) => others.push(problem),
        }
    }
    let rank = |problem: &&Problem| match problem.met.code().kind() {
        ProblemKind::Work => 0,
        ProblemKind::Share => 1,
        ProblemKind::Content | ProblemKind::Stray => 2,
    };
    others.sort_by_key(rank);
    others.truncate(PROBLEMS_MAX);
    others.append(&mut told);
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(15);

    /// Which of the problems are fresh, and which are lasting.
    fn observe(
        tracker: &mut ProblemTracker,
        problems: &[Problem],
        seconds: i64,
    ) -> (Vec<Problem>, Vec<Problem>) {
        let now = Timestamp::from_unix(seconds, 0).unwrap();
        let Told { fresh, lasting } = tracker.observe(problems, now, PATIENCE);
        (fresh, lasting)
    }

    fn unusable(reason: &str) -> Problem {
        Met::ShareUnusable.because(reason)
    }

    fn unreadable(path: &str) -> Problem {
        Met::Unreadable(path.into()).because("it fails")
    }

    #[test]
    fn only_a_problem_that_lasts_is_told() {
        let (one, two) = (unreadable("one"), unreadable("two"));
        let mut tracker = ProblemTracker::default();
        let mut observe = |problems: &[&Problem], seconds| {
            let problems: Vec<_> = problems.iter().copied().cloned().collect();
            observe(&mut tracker, &problems, seconds)
        };
        assert_eq!(observe(&[&one], 0), (vec![one.clone()], vec![]));
        assert_eq!(observe(&[&one, &two], 10), (vec![two.clone()], vec![]));
        assert_eq!(observe(&[&one, &two], 14).1, []);
        assert_eq!(observe(&[&one, &two], 15), (vec![], vec![one.clone()]), "to the second");
        assert_eq!(observe(&[&one, &two], 25), (vec![], vec![one.clone(), two.clone()]));
        assert_eq!(observe(&[], 26), (vec![], vec![]));
        assert_eq!(observe(&[&one], 40), (vec![one], vec![]), "it begins anew");
    }

    #[test]
    fn a_problem_is_known_by_what_it_is_and_not_by_its_words() {
        let mut tracker = ProblemTracker::default();
        let (first, second) = (unusable("is it mounted?"), unusable("it is not a share"));
        observe(&mut tracker, std::slice::from_ref(&first), 0);
        let (fresh, lasting) = observe(&mut tracker, std::slice::from_ref(&second), 15);
        assert_eq!((fresh, lasting), (vec![second.clone()], vec![second]), "the newest words");
    }

    #[test]
    fn a_problem_in_place_of_another_of_its_kind_goes_on_and_one_of_another_kind_does_not() {
        let mut tracker = ProblemTracker::default();
        let full = Met::NotShipped(WorkloadName::new("shop").unwrap()).because("the disk is full");
        let bad = unreadable("w/shop");
        observe(&mut tracker, std::slice::from_ref(&bad), 0);
        assert_eq!(observe(&mut tracker, std::slice::from_ref(&bad), 20).1, [bad]);
        let away = unusable("it is not mounted");
        let both = [away.clone(), full.clone()];
        assert_eq!(observe(&mut tracker, &both, 21).1, std::slice::from_ref(&away));
        // What lasts by itself needs no other to stand for.
        let other = unreadable("w/blog");
        assert_eq!(observe(&mut tracker, &[away.clone(), full, other], 37).1.len(), 2);
        assert_eq!(observe(&mut tracker, &[], 38).1, []);
        assert_eq!(observe(&mut tracker, &[away], 39).1, [], "it had ended");
    }

    #[test]
    fn a_clock_that_went_back_does_not_make_a_problem_new_for_ever() {
        let mut tracker = ProblemTracker::default();
        let bad = unreadable("w/shop");
        observe(&mut tracker, std::slice::from_ref(&bad), 1000);
        assert_eq!(observe(&mut tracker, std::slice::from_ref(&bad), 100).1, []);
        assert_eq!(observe(&mut tracker, std::slice::from_ref(&bad), 115).1, [bad]);
    }

    #[test]
    fn no_more_problems_are_told_than_a_report_takes() {
        let mut tracker = ProblemTracker::default();
        let many: Vec<_> = (0..150).map(|n| unreadable(&n.to_string())).collect();
        assert_eq!(observe(&mut tracker, &many, 0).0.len(), PROBLEMS_MAX);
        assert_eq!(observe(&mut tracker, &many, 20).1.len(), PROBLEMS_MAX);
    }

    #[test]
    fn whoever_makes_many_problems_hides_no_other() {
        let name = |text: String| WorkloadName::new(&text).unwrap();
        let entry = |team: &str, n: usize| {
            let met = Met::UnknownEntry(name(team.to_owned()), n.to_string().into());
            met.because("it is no drop")
        };
        let mut problems: Vec<_> = (0..500).map(|n| entry("noisy", n)).collect();
        problems.extend((0..500).map(|n| Met::Stray(n.to_string().into()).because("who knows")));
        problems.extend((0..500).map(|n| unreadable(&n.to_string())));
        let shop = Met::NotShipped(name("shop".to_owned())).because("the disk is full");
        problems.extend([entry("quiet", 1), shop.clone()]);
        let mut tracker = ProblemTracker::default();
        observe(&mut tracker, &problems, 0);
        let told = observe(&mut tracker, &problems, 20).1;
        assert!(told.contains(&shop) && told.contains(&entry("quiet", 1)));
        assert_eq!(told.len(), PROBLEMS_MAX + OF_TEAM_MAX + 1);
        let strays = (0..500).map(|n| Met::Stray(n.to_string().into()).because("who knows"));
        let mut problems: Vec<_> = strays.collect();
        problems.push(unreadable("w/shop"));
        observe(&mut tracker, &problems, 30);
        assert!(observe(&mut tracker, &problems, 50).1.contains(&unreadable("w/shop")));
    }
}
