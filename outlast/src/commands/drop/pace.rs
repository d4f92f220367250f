//! A limit of bytes per second.

use std::time::Duration;

/// Time of whose allowance a burst may be.
const BURST: Duration = Duration::from_secs(1);

/// Holds work back to a rate. What was not used while there was nothing to do is not made up for.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes per second.
    rate: u64,
    /// Bytes that were allowed and not used; negative if they are used already.
    allowed: i128,
    at: Duration,
    used: u64,
}

impl Pace {
    pub(super) fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), allowed: 0, at: Duration::ZERO, used: 0 }
    }

    /// How long to rest, when `used` bytes went through in all by the time `now`.
    pub(super) fn rest(&mut self, now: Duration, used: u64) -> Duration {
        let rate = i128::from(self.rate);
        let earned = rate * i128::try_from(now.saturating_sub(self.at).as_micros()).unwrap_or(0);
        let burst = rate * i128::try_from(BURST.as_micros()).unwrap_or(0);
        // In millionths of bytes, so that looking often loses nothing.
        self.allowed = (self.allowed + earned).min(burst);
        self.allowed -= i128::from(used.saturating_sub(self.used)) * 1_000_000;
        (self.at, self.used) = (now, used);
        let missing = u64::try_from(-self.allowed / rate).unwrap_or(0);
        Duration::from_micros(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_over_any_time_and_a_pause_is_not_made_up_for() {
        let mut pace = Pace::new(1000);
        let (mut now, mut used) = (Duration::from_secs(100), 0);
        // The first burst.
        assert_eq!(pace.rest(now, used), Duration::ZERO);
        let began = now;
        for step in 1..200 {
            used += 37 * (step % 7);
            now += pace.rest(now, used) + Duration::from_micros(step);
        }
        let allowed = 1000.0 * ((now - began).as_secs_f64() + 1.0);
        assert!((used as f64 - allowed).abs() < 300.0, "{used} in {:?}", now - began);
        now += Duration::from_secs(3600);
        used += 3000;
        assert_eq!(pace.rest(now, used), Duration::from_secs(2));
    }
}
