//! How to prune, and what came of it.

use std::time::Duration;

use outlast_types::Timestamp;

use crate::lock::FoundLock;

/// How to prune.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long condemned packs stay. Longer than any backup takes from its end to its snapshot's
    /// being there; zero if nobody else works on the repository.
    pub grace: Duration,
    /// The part of what stays that may be unneeded, from 0 to 1: more is copied together.
    pub max_unused: f64,
    /// The most that is copied by one prune, in bytes.
    pub max_repack: u64,
    /// Since when something is on its way that rests on what is there, though no snapshot needs it yet,
    /// by the store's clock. What came since then is not condemned, and what was condemned since then is
    /// not removed.
    pub awaited_since: Option<Timestamp>,
    /// Look and tell, but change nothing.
    pub dry_run: bool,
}

impl Default for Options {
    /// A day; a twentieth; 10 GiB.
    fn default() -> Self {
        let grace = Duration::from_secs(24 * 60 * 60);
        let (max_unused, max_repack) = (0.05, 10 << 30);
        Self { grace, max_unused, max_repack, awaited_since: None, dry_run: false }
    }
}

/// The work that a prune did, or would do.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Packs that were removed, and their bytes.
    pub freed_packs: u64,
    pub freed_bytes: u64,
    /// Packs that had to be removed before anything could be written, because the store was full.
    pub room_packs: u64,
    /// Packs that had been condemned and turned out to be needed.
    pub spared_packs: u64,
    /// Packs that stay, though an index says that what is needed of them lies elsewhere, too: it
    /// could not be read there.
    pub unproven_packs: u64,
    /// Packs whose needed blobs were copied into new ones.
    pub repacked_packs: u64,
    /// Bytes of the new packs.
    pub repacked_bytes: u64,
    /// Packs that wait to be removed.
    pub waiting: Option<Waiting>,
    /// Bytes that nobody needs in packs that stay; `None` if nothing was marked this time.
    pub unused_bytes: Option<u64>,
    /// Why nothing was removed although it was time.
    pub postponed: Option<Box<FoundLock>>,
    /// Whether nothing was removed because something on its way may rest on it.
    pub awaited: bool,
}

impl Outcome {
    /// This and what was done after it.
    pub(super) fn then(self, later: Self) -> Self {
        Self {
            freed_packs: self.freed_packs + later.freed_packs,
            freed_bytes: self.freed_bytes + later.freed_bytes,
            room_packs: self.room_packs + later.room_packs,
            spared_packs: self.spared_packs + later.spared_packs,
            unproven_packs: self.unproven_packs.max(later.unproven_packs),
            repacked_packs: self.repacked_packs + later.repacked_packs,
            repacked_bytes: self.repacked_bytes + later.repacked_bytes,
            waiting: later.waiting,
            unused_bytes: later.unused_bytes.or(self.unused_bytes),
            postponed: later.postponed.or(self.postponed),
            awaited: later.awaited,
        }
    }
}

/// Condemned packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    pub packs: u64,
    pub bytes: u64,
    /// When a prune will remove them.
    pub due: Timestamp,
}
