//! Runs a target with inputs that it makes from a corpus.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::mutate::{Mutator, Seeded};
use crate::{Outcome, Target};

/// Inputs that are kept in memory to be mutated, those of the corpus included.
const POOL_MAX: usize = 4096;
/// An input that keeps a parser busy for longer has failed.
const RUN_MAX: Duration = Duration::from_secs(10);
/// By how much one input may raise the peak of the process' memory, in KiB. The largest document
/// that is unpacked has 512 MiB, for which a growing vector takes twice as much for a moment.
const MEMORY_MAX_KIB: u64 = 1280 << 10;

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    Runs(u32),
    Elapsed(Duration),
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stats {
    pub runs: u64,
    pub accepted: u64,
    /// Kinds of outcomes.
    pub outcomes: usize,
}

/// An input that broke a promise.
#[derive(Debug)]
pub struct Failure {
    pub input: Vec<u8>,
    pub reason: String,
}

/// Runs `target` with every input of the `corpus`, then with what the mutator makes of them.
/// `before` sees every input before it is run: a parser may end the whole process.
pub fn drive(
    target: &Target,
    corpus: Vec<Vec<u8>>,
    seed: u64,
    until: Until,
    mut before: impl FnMut(&[u8]),
) -> Result<Stats, Failure> {
    let begun = Instant::now();
    let mut random = Seeded::new(seed);
    let mut mutator = Mutator::new(random.number(), target.tokens);
    let mut seen = HashSet::new();
    let mut stats = Stats::default();
    let mut memory = peak_memory_kib();
    let mut run = |input: &[u8], stats: &mut Stats| {
        before(input);
        let outcome = measured(target, input, &mut memory)?;
        stats.runs += 1;
        stats.accepted += u64::from(outcome.accepted);
        let new = seen.insert(outcome);
        stats.outcomes = seen.len();
        Ok(new)
    };
    for input in &corpus {
        run(input, &mut stats)?;
    }
    let mut pool = corpus;
    pool.push(Vec::new());
    loop {
        let over = match until {
            Until::Runs(runs) => stats.runs >= u64::from(runs),
            Until::Elapsed(limit) => begun.elapsed() >= limit,
        };
        if over {
            return Ok(stats);
        }
        let (one, other) = (random.below(pool.len()), random.below(pool.len()));
        let input = mutator.mutate(&pool[one], &pool[other]);
        if run(&input, &mut stats)? && pool.len() < POOL_MAX {
            pool.push(input);
        }
    }
}

/// Runs a target with one input.
pub fn once(target: &Target, input: &[u8]) -> Result<Outcome, Failure> {
    measured(target, input, &mut peak_memory_kib())
}

/// Runs a target with one input; `memory` is the peak so far.
fn measured(target: &Target, input: &[u8], memory: &mut u64) -> Result<Outcome, Failure> {
    let failure = |reason| Failure { input: input.to_vec(), reason };
    let begun = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let (elapsed, peak) = (begun.elapsed(), peak_memory_kib());
    let grown = peak.saturating_sub(*memory);
    *memory = peak;
    let outcome = outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        failure(text.unwrap_or_else(|| "it panicked".to_owned()))
    })?;
    if elapsed > RUN_MAX {
        return Err(failure(format!("it took {elapsed:?}")));
    }
    if grown > MEMORY_MAX_KIB {
        return Err(failure(format!("it took {grown} KiB of memory")));
    }
    Ok(outcome)
}

/// The most memory that the process has had so far; 0 where the system does not tell.
fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
