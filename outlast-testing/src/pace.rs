//! How fast a piece of code is on one core, for benchmarks; no test asserts a time.

use std::time::{Duration, Instant};

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(200);

/// How often `work` is done in a second of processor time.
///
/// It runs for a fifth of a second, seven times; the best is told, because everything else is what
/// disturbed it. What counts is the time that the thread ran, so that a busy machine shows the same
/// pace; where the kernel does not tell it, the clock has to do.
pub fn calls_for_second(mut work: impl FnMut()) -> f64 {
    let origin = Instant::now();
    let mut best = 0.0_f64;
    for _ in 0..ROUNDS {
        let start = time_run(origin);
        let mut calls = 0_u32;
        let mut batch = 1_u32;
        let spent = loop {
            (0..batch).for_each(|_| work());
            calls = calls.saturating_add(batch);
            let spent = time_run(origin).saturating_sub(start);
            if spent >= ROUND {
                break spent;
            }
            // Asking costs microseconds: short work is asked seldom.
            if spent < ROUND / 100 {
                batch = batch.saturating_mul(2);
            }
        };
        best = best.max(f64::from(calls) / spent.as_secs_f64());
    }
    best
}

/// What `work` returns, and the seconds of processor time that it took, once.
pub fn seconds_of<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let origin = Instant::now();
    let start = time_run(origin);
    let result = work();
    (result, time_run(origin).saturating_sub(start).as_secs_f64())
}

/// How long this thread has been on a processor; since `origin` by the clock where Linux's schedstat
/// is missing.
fn time_run(origin: Instant) -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = text.and_then(|text| text.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| origin.elapsed(), Duration::from_nanos)
}
