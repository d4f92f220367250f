//! How often somebody may do something: pure, with the time passed in.

use std::collections::BTreeMap;
use std::time::Duration;

use super::holder::Holder;

/// Holders that are remembered. Those whose time is over are forgotten first; it costs them nothing.
const HOLDERS_MAX: usize = 4096;

/// Evens out what holders do. One that was quiet may do as much at once as it may do in a second.
#[derive(Default)]
pub struct Rates {
    /// When what each did so far is evened out.
    even: BTreeMap<Holder, Duration>,
}

impl Rates {
    /// How long `holder`, who may do `per_second`, has to wait from `now` on before it does one more
    /// thing; `None` if that is longer than `patience`, and then it counts as not done.
    pub fn turn(
        &mut self,
        holder: &Holder,
        per_second: u32,
        now: Duration,
        patience: Duration,
    ) -> Option<Duration> {
        self.turn_for(holder, 1, per_second, now, patience)
    }

    /// The same for something that counts as `amount` things, or as many as may be waited for at all.
    pub fn turn_for(
        &mut self,
        holder: &Holder,
        amount: u32,
        per_second: u32,
        now: Duration,
        patience: Duration,
    ) -> Option<Duration> {
        self.forget(now);
        let each = Duration::from_secs(1) / per_second.max(1);
        let takes = (each * amount.max(1)).min(patience.max(each));
        let even = self.even.get(holder).map_or(now, |even| now.max(*even));
        let wait = (even + takes).saturating_sub(now + Duration::from_secs(1));
        if wait > patience {
            return None;
        }
        self.even.insert(holder.clone(), even + takes);
        Some(wait)
    }

    fn forget(&mut self, now: Duration) {
        if self.even.len() >= HOLDERS_MAX {
            self.even.retain(|_, even| *even > now);
        }
    }

    /// Counts `amount` things that `holder` did already. It has to wait for them before its next one, and
    /// for no longer than twice its `patience`: until then it may be told that it does too much.
    pub fn charge(
        &mut self,
        holder: &Holder,
        amount: u32,
        per_second: u32,
        now: Duration,
        patience: Duration,
    ) {
        let takes = (Duration::from_secs(1) / per_second.max(1)).saturating_mul(amount);
        self.forget(now);
        let even = self.even.entry(holder.clone()).or_insert(now);
        *even = now.max(*even).saturating_add(takes).min(now + 2 * patience);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{Peer, Role};

    #[test]
    fn a_burst_passes_a_flood_is_evened_out_and_what_would_wait_too_long_is_not_counted() {
        let mut rates = Rates::default();
        let holder = |name| Holder::Peer(Peer::new(Role::Agent, name).unwrap());
        let (flood, honest) = (holder("flood"), holder("honest"));
        let at = Duration::from_millis;
        let mut turn = |of: &Holder, now| rates.turn(of, 10, at(now), at(500));
        for _ in 0..10 {
            assert_eq!(turn(&flood, 0), Some(Duration::ZERO));
        }
        for wait in [100, 200, 300, 400, 500] {
            assert_eq!(turn(&flood, 0), Some(at(wait)));
        }
        assert_eq!(turn(&flood, 0), None);
        assert_eq!(turn(&honest, 0), Some(Duration::ZERO), "nobody waits for another");
        assert_eq!(turn(&flood, 100), Some(at(500)), "the one that was refused was not counted");
        assert_eq!(turn(&flood, 9000), Some(Duration::ZERO));
    }

    #[test]
    fn what_is_large_counts_as_much_and_is_not_waited_for_for_ever() {
        let mut rates = Rates::default();
        let holder = Holder::Peer(Peer::new(Role::Agent, "large").unwrap());
        let at = Duration::from_millis;
        let mut turn = |amount, now| rates.turn_for(&holder, amount, 10, at(now), at(3000));
        assert_eq!(turn(10, 0), Some(Duration::ZERO));
        assert_eq!(turn(20, 0), Some(at(2000)));
        assert_eq!(turn(20, 0), None);
        assert_eq!(turn(1_000_000, 60_000), Some(at(2000)), "as much as may be waited for");
    }

    #[test]
    fn who_is_charged_waits_and_one_who_goes_on_is_refused_for_a_bounded_time() {
        let mut rates = Rates::default();
        let holder = Holder::Peer(Peer::new(Role::Agent, "junk").unwrap());
        let (at, patience) = (Duration::from_secs, Duration::from_secs(5));
        rates.charge(&holder, 40, 10, at(0), patience);
        assert_eq!(rates.turn(&holder, 10, at(0), patience), Some(Duration::from_millis(3100)));
        for _ in 0..3 {
            rates.charge(&holder, u32::MAX, 10, at(0), patience);
        }
        assert_eq!(rates.turn(&holder, 10, at(0), patience), None);
        assert_eq!(rates.turn(&holder, 10, at(10), patience), Some(Duration::ZERO));
    }
}
