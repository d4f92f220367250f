//! Places where a test lets a process die: before each step of each durable call.
//!
//! A process that is started with [`DIE_AT`] set to `<n> <words>` kills itself at the n-th such
//! step on a path that has these words in it (on any, without words). So a test strikes at every
//! step of a piece of work, one process after the other, and knows that it struck. Builds without
//! debug assertions, such as releases, have none of this.

use std::path::PathBuf;

/// The variable that says at which step to die.
pub const DIE_AT: &str = "DIE_AT_DURABLE_STEP";

/// A step that changes something at `path`, or makes a change durable, comes next.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_path: impl FnOnce() -> PathBuf) {}

/// A step that changes something at `path`, or makes a change durable, comes next.
#[cfg(debug_assertions)]
pub fn point(path: impl FnOnce() -> PathBuf) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    static PLAN: LazyLock<Option<(AtomicU64, String)>> = LazyLock::new(|| {
        let plan = std::env::var(DIE_AT).ok()?;
        let (step, words) = plan.split_once(' ').unwrap_or((&plan, ""));
        Some((AtomicU64::new(step.parse().ok()?), words.to_owned()))
    });
    let Some((left, words)) = &*PLAN else { return };
    if path().to_string_lossy().contains(words.as_str())
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        let _ = kill_process(getpid(), Signal::KILL);
        // The signal may need a moment; nothing more is done meanwhile.
        loop {
            std::thread::park();
        }
    }
}
