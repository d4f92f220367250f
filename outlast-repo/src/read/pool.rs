//! Work side by side, in a bounded number of threads.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;

/// How many threads read at once. More than one even on one core, because they mostly wait for the
/// store; bounded, because each holds a range of a pack and a blob in memory.
pub(crate) fn workers() -> usize {
    thread::available_parallelism().map_or(4, |cores| cores.get().clamp(4, 8))
}

/// Applies `work` to every item in several threads; results come in the order of the items.
pub(crate) fn map<I: Send, O: Send>(items: Vec<I>, work: impl Fn(I) -> O + Sync) -> Vec<O> {
    let count = items.len();
    let queue = Mutex::new(items.into_iter().enumerate());
    let done = Mutex::new(Vec::with_capacity(count));
    thread::scope(|scope| {
        for _ in 0..workers().min(count) {
            scope.spawn(|| {
                loop {
                    // A panic in another worker ends the whole scope anyway.
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((number, item)) = next else { return };
                    let result = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}
