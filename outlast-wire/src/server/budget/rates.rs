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
        if self.even.len() >= HOLDERS_MAX {
            self.even.retain(|_, even| *even > now);
        }
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
}
