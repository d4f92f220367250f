//! Whose receipts are looked through next, for some that nobody needs any more: all workloads, a few in each pass,
//! several rounds a day.

use std::collections::VecDeque;
use std::time::Duration;

use outlast_types::WorkloadName;

/// The longest and the first pause before a round.
const PAUSE_MAX: Duration = Duration::from_secs(6 * 3600);
const FIRST_MAX: Duration = Duration::from_secs(600);
/// How many rounds are in the time for which receipts are kept.
const ROUNDS: u32 = 120;
/// Workloads that have their turn in one pass.
const TURNS: usize = 64;

/// Rounds over all workloads.
#[derive(Debug)]
pub(crate) struct Sweep {
    pause: Duration,
    /// When the next round begins, by the timer.
    next: Option<Duration>,
    left: VecDeque<WorkloadName>,
}

impl Sweep {
    /// Rounds for receipts that are kept for `keep`.
    pub(crate) fn new(keep: Duration) -> Self {
        Self { pause: (keep / ROUNDS).min(PAUSE_MAX), next: None, left: VecDeque::new() }
    }

    /// Those whose turn it is, of `all` that there are.
    pub(crate) fn take(
        &mut self,
        elapsed: Duration,
        all: impl FnOnce() -> Vec<WorkloadName>,
    ) -> Vec<WorkloadName> {
        let first = elapsed.saturating_add(self.pause.min(FIRST_MAX));
        let next = *self.next.get_or_insert(first);
        if self.left.is_empty() && elapsed >= next {
            self.left = all().into();
            self.next = Some(elapsed.saturating_add(self.pause));
        }
        let count = TURNS.min(self.left.len());
        self.left.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_have_their_turn_in_each_round_and_none_between() {
        let names = || (0..150).map(|it| WorkloadName::new(&format!("w{it}")).unwrap()).collect();
        let mut sweep = Sweep::new(Duration::from_secs(30 * 86_400));
        let mut taken = |seconds| sweep.take(Duration::from_secs(seconds), names).len();
        assert_eq!([taken(0), taken(599)], [0, 0], "nothing when the agent starts");
        assert_eq!([taken(600), taken(630), taken(660), taken(690)], [64, 64, 22, 0]);
        assert_eq!([taken(600 + 6 * 3600 - 1), taken(600 + 6 * 3600)], [0, 64]);
        let mut often = Sweep::new(Duration::ZERO);
        assert_eq!(often.take(Duration::ZERO, names).len(), 64);
    }
}
