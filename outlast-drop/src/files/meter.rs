//! A meter for the calls that are made to a share's file system.
//!
//! On a network share each of them takes milliseconds and costs money, so whoever looks again and again
//! must know how many there were. A bench also lets each take the time that a far server takes.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Hears of every call below the root of a share before it is made, from any thread.
pub trait Gauge: Send + Sync {
    /// A call comes that is about `path`, or about something in it.
    fn call(&self, path: &Path);

    /// The names in `path` are to be read; the calls that this takes are told, too.
    fn listing(&self, _path: &Path) {}
}

/// Counts calls.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// How many there were.
    pub fn calls(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge for Count {
    fn call(&self, _: &Path) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What hears of calls, if anything does. A directory that is opened through another has its meter.
#[derive(Clone, Default)]
pub struct Meter(Option<Arc<dyn Gauge>>);

impl Meter {
    /// Tells `gauge`.
    pub fn new(gauge: Arc<dyn Gauge>) -> Self {
        Self(Some(gauge))
    }

    pub(super) fn call(&self, path: &Path) {
        if let Some(gauge) = &self.0 {
            gauge.call(path);
        }
    }

    pub(super) fn listing(&self, path: &Path) {
        if let Some(gauge) = &self.0 {
            gauge.listing(path);
        }
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Meter(on)" } else { "Meter(off)" })
    }
}
