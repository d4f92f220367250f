//! Budgets of bytes on the share: who may write no more, as a pure function of who has how much.
//!
//! Nothing is ever removed for space: what is sealed and not vaulted stays, and what is vaulted goes by the keep
//! rule. All that a budget does is to keep new drops from being begun, of those who are over theirs, and of nobody else.

use std::collections::BTreeMap;

use outlast_drop::{NoticeCode, NoticeLevel};
use outlast_types::{WorkloadName, human};

/// Of a hundred parts of a budget, how many are used when writers are warned.
const WARN_PERCENT: u64 = 90;

/// How many bytes may lie on the share; `u64::MAX` is any number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budgets {
    /// Of one workload, and of some that have another budget.
    pub workload: u64,
    pub of: BTreeMap<WorkloadName, u64>,
    /// Of all together.
    pub share: u64,
}

impl Default for Budgets {
    fn default() -> Self {
        Self { workload: u64::MAX, of: BTreeMap::new(), share: u64::MAX }
    }
}

/// There is little room for a workload, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pressure {
    pub(crate) level: NoticeLevel,
    pub(crate) code: NoticeCode,
    pub(crate) used: u64,
    pub(crate) budget: u64,
    /// In words.
    pub(crate) reason: String,
}

impl Budgets {
    /// Whether there are any.
    pub(crate) fn is_limited(&self) -> bool {
        let mut all = self.of.values().chain([&self.share, &self.workload]);
        all.any(|budget| *budget != u64::MAX)
    }

    fn of(&self, workload: &WorkloadName) -> u64 {
        self.of.get(workload).copied().unwrap_or(self.workload)
    }

    /// The workloads for which there is little room or none, if each has as many bytes as `usage` says.
    pub(crate) fn pressures(
        &self,
        usage: &BTreeMap<WorkloadName, u64>,
    ) -> BTreeMap<WorkloadName, Pressure> {
        let mut sorted: Vec<u64> = usage.values().copied().collect();
        sorted.sort_unstable();
        let total = sorted.iter().fold(0, |sum: u64, used| sum.saturating_add(*used));
        let full = part(&sorted, self.share);
        let nearly = part(&sorted, percent(self.share));
        let mut found = BTreeMap::new();
        for (workload, &used) in usage {
            let pressure = self.own(workload, used);
            let refused = pressure.as_ref().is_some_and(|it| it.level == NoticeLevel::Refuse);
            let of_share = || {
                let level = match (full, nearly) {
                    (Some(part), _) if used >= part => NoticeLevel::Refuse,
                    (_, Some(part)) if used >= part => NoticeLevel::Warn,
                    _ => return None,
                };
                Some(self.shared(level, used, full.or(nearly)?, total))
            };
            let pressure = if refused { pressure } else { of_share().or(pressure) };
            found.extend(pressure.map(|pressure| (workload.clone(), pressure)));
        }
        found
    }

    /// The pressure of a workload's own budget.
    fn own(&self, workload: &WorkloadName, used: u64) -> Option<Pressure> {
        let budget = self.of(workload);
        let level = match used {
            _ if budget == u64::MAX => return None,
            used if used >= budget => NoticeLevel::Refuse,
            used if used >= percent(budget) => NoticeLevel::Warn,
            _ => return None,
        };
        let reason = format!(
            "it has {} on the share, of the {} that it may have",
            human::bytes(used),
            human::bytes(budget)
        );
        Some(Pressure { level, code: NoticeCode::WorkloadBudget, used, budget, reason })
    }

    fn shared(&self, level: NoticeLevel, used: u64, part: u64, total: u64) -> Pressure {
        let reason = format!(
            "all workloads together have {} of the {} that may lie on the share, and this one has {}, \
             of which {} are its part",
            human::bytes(total),
            human::bytes(self.share),
            human::bytes(used),
            human::bytes(part)
        );
        // Until it is full, each may write what is left for all.
        let budget = match level {
            NoticeLevel::Refuse => part,
            NoticeLevel::Warn => used.saturating_add(self.share.saturating_sub(total)),
        };
        Pressure { level, code: NoticeCode::ShareBudget, used, budget, reason }
    }
}

fn percent(budget: u64) -> u64 {
    if budget == u64::MAX { budget } else { budget / 100 * WARN_PERCENT }
}

/// The part of each in `budget`, if all that is used, in ascending order, is more: those who use less leave the rest of
/// their part to the others.
fn part(used: &[u64], budget: u64) -> Option<u64> {
    let mut left = budget;
    for (number, &used_by_one) in used.iter().enumerate() {
        let count = u64::try_from(used.len() - number).ok()?;
        if used_by_one.checked_mul(count).is_none_or(|all| all >= left) {
            return (budget != u64::MAX).then_some((left / count).max(1));
        }
        left -= used_by_one;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usage(used: &[u64]) -> BTreeMap<WorkloadName, u64> {
        let name = |number| WorkloadName::new(&format!("w{number}")).unwrap();
        used.iter().enumerate().map(|(number, used)| (name(number), *used)).collect()
    }

    /// Who is refused, and who is warned, of `used` bytes.
    fn told(budgets: &Budgets, used: &[u64]) -> (Vec<u64>, Vec<u64>) {
        let found = budgets.pressures(&usage(used));
        let at = |level| {
            let at = found.values().filter(|it| it.level == level);
            at.map(|it| it.used).collect::<Vec<_>>()
        };
        (at(NoticeLevel::Refuse), at(NoticeLevel::Warn))
    }

    #[test]
    fn only_who_is_over_budget_is_refused_and_who_is_near_is_warned() {
        let none = Budgets::default();
        assert!(!none.is_limited() && none.pressures(&usage(&[u64::MAX, 0])).is_empty());
        let each = Budgets { workload: 1000, ..Budgets::default() };
        assert_eq!(
            told(&each, &[0, 899, 900, 999, 1000, 5000]),
            (vec![1000, 5000], vec![900, 999])
        );
        let name = WorkloadName::new("w1").unwrap();
        let other = Budgets { of: [(name.clone(), 10_000)].into(), ..each };
        assert_eq!(told(&other, &[1000, 5000]), (vec![1000], vec![]));
        let pressure = &other.pressures(&usage(&[0, 10_000]))[&name];
        assert!(pressure.reason.contains("it has 9.77 KiB on the share"), "{}", pressure.reason);
    }

    #[test]
    fn when_the_share_is_full_those_who_have_most_of_it_are_refused() {
        let share = Budgets { share: 1000, ..Budgets::default() };
        assert_eq!(told(&share, &[100, 200, 300]), (vec![], vec![]));
        assert_eq!(told(&share, &[100, 200, 620]), (vec![], vec![620]));
        // Two parts of 350, and what the third does not need is theirs.
        assert_eq!(told(&share, &[300, 351, 500]), (vec![351, 500], vec![300]));
        assert_eq!(told(&share, &[300, 349, 500]), (vec![500], vec![300, 349]));
        assert_eq!(told(&share, &[600, 600]), (vec![600, 600], vec![]));
        assert_eq!(told(&share, &[0, 1000]), (vec![1000], vec![]));
        assert_eq!(told(&Budgets { share: 0, ..share }, &[0, 0, 1]), (vec![1], vec![]));
    }

    proptest! {
        #[test]
        fn somebody_is_refused_exactly_when_the_share_is_full_and_never_who_has_less(
            used in prop::collection::vec(0_u64..1000, 1..20),
            budget in 1_u64..8000,
        ) {
            let (refused, _) = told(&Budgets { share: budget, ..Budgets::default() }, &used);
            prop_assert_eq!(!refused.is_empty(), used.iter().sum::<u64>() >= budget);
            let least = refused.iter().min().copied().unwrap_or(u64::MAX);
            let spared = used.iter().filter(|used| !refused.contains(used)).max();
            prop_assert!(spared.is_none_or(|spared| *spared < least));
            // An equal part is everybody's.
            let part = budget / used.len() as u64;
            prop_assert!(least >= part);
        }
    }
}
