//! A scenario that finds a fault, without all that the fault does not need.

use std::collections::BTreeSet;

use super::drive::simulate;
use super::happening::Whom;
use super::scenario::Scenario;
use super::verdict::Outcome;

/// The smallest scenario found that is wrong as `is_wrong` says, in at most so many plays. What happens by
/// chance is listed in it, as far as it is needed.
#[must_use]
pub fn shrink(scenario: &Scenario, plays: usize) -> Scenario {
    shrink_while(scenario, plays, |scenario| simulate(scenario).ok())
}

pub(crate) fn shrink_while(
    scenario: &Scenario,
    plays: usize,
    play: impl Fn(&Scenario) -> Option<Outcome>,
) -> Scenario {
    let mut smaller = Shrinking { best: scenario.spelled_out(), plays, play };
    let Some(outcome) = (smaller.play)(&smaller.best) else { return scenario.clone() };
    let Some(fault) = outcome.faults.first() else { return scenario.clone() };
    // Nothing after the first fault is needed.
    let days = u32::try_from(fault.second / 86_400).unwrap_or(scenario.days) + 2;
    let shorter = |best: &Scenario| Scenario { days: days.min(best.days), ..best.clone() };
    smaller.offer(shorter(&smaller.best));
    smaller.fewer_workloads();
    smaller.fewer_happenings();
    smaller.best
}

struct Shrinking<P> {
    best: Scenario,
    plays: usize,
    play: P,
}

impl<P: Fn(&Scenario) -> Option<Outcome>> Shrinking<P> {
    /// Takes a scenario if it is as wrong.
    fn offer(&mut self, scenario: Scenario) -> bool {
        if self.plays == 0 {
            return false;
        }
        self.plays -= 1;
        let is_wrong = (self.play)(&scenario).is_some_and(|outcome| !outcome.is_right());
        if is_wrong {
            self.best = scenario;
        }
        is_wrong
    }

    fn fewer_workloads(&mut self) {
        let mut step = self.best.played().len().div_ceil(2);
        while step > 0 {
            let mut from = 0;
            loop {
                let played = self.best.played();
                if from >= played.len() {
                    break;
                }
                let left = played.iter().take(from).chain(played.iter().skip(from + step));
                let only: BTreeSet<u32> = left.copied().collect();
                let is_its =
                    |whom: Whom| !matches!(whom, Whom::Workload(it) if !only.contains(&it));
                let mut happenings = self.best.happenings.clone();
                happenings.retain(|happening| is_its(happening.whom));
                let fewer = Scenario { only: Some(only), happenings, ..self.best.clone() };
                if !self.offer(fewer) {
                    from += step;
                }
            }
            step /= 2;
        }
    }

    fn fewer_happenings(&mut self) {
        let mut step = self.best.happenings.len().div_ceil(2);
        while step > 0 {
            let mut from = 0;
            while from < self.best.happenings.len() {
                let all = &self.best.happenings;
                let left = all.iter().take(from).chain(all.iter().skip(from + step));
                let fewer = Scenario { happenings: left.copied().collect(), ..self.best.clone() };
                if !self.offer(fewer) {
                    from += step;
                }
            }
            step /= 2;
        }
    }
}
