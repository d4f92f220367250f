//! Backups on their way back: at a rate of their own, beside what is forwarded.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use outlast_civil::Rate;
use outlast_types::{Environment, Interrupt};

use crate::line::{Bucket, PIECE, Wait};

/// How often it is looked whether a closed way is open again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How fast backups may be brought back, all together.
pub(crate) struct Restores {
    environment: Environment,
    state: Mutex<(Rate, Bucket)>,
    stop: Interrupt,
}

impl Restores {
    pub(crate) fn new(rate: Rate, environment: &Environment) -> Self {
        let bucket = Bucket::new(environment.timer.elapsed());
        let state = Mutex::new((rate, bucket));
        Self { environment: environment.clone(), state, stop: Interrupt::default() }
    }

    pub(crate) fn set_rate(&self, rate: Rate) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 = rate;
    }

    /// Nobody waits any more.
    pub(crate) fn stop(&self) {
        self.stop.request();
    }

    /// Waits until so many bytes may be asked for.
    pub(crate) fn wait_for(&self, bytes: u64) {
        let mut left = bytes;
        while left > 0 && !self.stop.is_requested() {
            let piece = left.min(PIECE);
            let now = self.environment.timer.elapsed();
            let taken = {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                let (rate, bucket) = &mut *state;
                bucket.take(piece, *rate, now)
            };
            match taken {
                Ok(()) => left -= piece,
                Err(wait) => {
                    let pause = match wait {
                        Wait::For(pause) => pause.min(LOOK_AGAIN),
                        Wait::ForTheCalendar => LOOK_AGAIN,
                    };
                    self.environment.timer.pause(pause, &self.stop);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use outlast_testing::ManualTime;
    use outlast_types::Timestamp;

    use super::*;

    #[test]
    fn what_comes_back_keeps_to_a_rate_of_its_own_which_changes_at_work() {
        let time = ManualTime::hurrying(Timestamp::EPOCH);
        let environment = time.environment();
        let restores = Restores::new(Rate::PerSecond(10 * PIECE), &environment);
        let took = |pieces: u64| {
            let began = environment.timer.elapsed();
            restores.wait_for(pieces * PIECE);
            environment.timer.elapsed() - began
        };
        let ten_seconds = took(100);
        assert!((9.8..=10.2).contains(&ten_seconds.as_secs_f64()), "{ten_seconds:?}");
        restores.set_rate(Rate::PerSecond(100 * PIECE));
        let second = took(100);
        assert!((0.9..=1.1).contains(&second.as_secs_f64()), "{second:?}");
        restores.set_rate(Rate::Unlimited);
        assert_eq!(took(1_000_000), Duration::ZERO);
        restores.set_rate(Rate::PerSecond(0));
        restores.stop();
        assert_eq!(took(1), Duration::ZERO, "nobody waits for what has ended");
    }
}
