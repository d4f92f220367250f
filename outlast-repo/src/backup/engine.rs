//! The engine: memory and processors for several backups side by side, within one bound.
//!
//! | what | lent to | bounds |
//! |---|---|---|
//! | a place | a backup | how many there are at once |
//! | blocks | the reader, until all their chunks are stored | content in memory |
//! | benches | a worker, while it computes | threads at work, and their compressors |
//! | room, in bytes | packs, from their first blob until they are stored | sealed content in memory |
//!
//! Of blocks and room each backup has a little of its own, which suffices to come to its end, and what
//! is common goes to whoever has least ([`Book`](book)); benches go round. So a huge backup, or one
//! whose source or store hangs, slows others down, and stops none.
//!
//! **No deadlock.** Waits go one way: place, block, room, bench. Whoever waits for a block has none in
//! hand, but those that are on their way through its workers. Whoever waits for room has no bench in
//! hand, and sees to it that whatever its own backup has in open packs goes to the store (see
//! [`Packing`](super::packing)): so all the room that it has comes back, and then its own part
//! suffices. Whoever has a bench waits for nothing but the processor and the local disk. A wait
//! for the store holds nothing but the backup's own blocks and room.
//!
//! The first failure of a backup wakes all of its stages that wait here, and nobody else's.

mod book;
mod lender;

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use outlast_format::compress::Compressor;

use self::book::Party;
use self::lender::Lender;
pub(super) use self::lender::Loan;
use super::stop::{Halt, Stop};
use super::tuning::Tuning;

/// The most blocks of one backup alone: more would only cost memory.
const BLOCKS_MAX: usize = 20;
/// What of the room for packs each backup has of its own, of several.
const ROOM_EACH: usize = 2 << 20;
/// Smaller packs are not made for the sake of others, but at the end of a backup.
const PACK_BYTES_MIN: usize = 4 << 20;

/// Memory and processors that backups share. A copy is the same one.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    places: usize,
    taken: Mutex<usize>,
    left: Condvar,
    parties: AtomicU64,
    /// Backups that are under way.
    present: AtomicUsize,
    blocks: Arc<Lender>,
    block_count: usize,
    /// Blocks that nobody uses now.
    spare_blocks: Mutex<Vec<Vec<u8>>>,
    block_bytes: usize,
    room: Arc<Lender>,
    room_bytes: usize,
    benches: Arc<Lender>,
    idle: Mutex<Vec<Bench>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (places, room) = (self.0.places, self.0.room_bytes);
        f.debug_struct("Engine").field("places", &places).field("room_bytes", &room).finish()
    }
}

impl Engine {
    /// An engine for one backup at a time.
    pub(super) fn alone(tuning: &Tuning) -> Self {
        // One filling, one waiting, and those on their way to the store.
        let packs = tuning.uploads.clamp(1, 64) + 2;
        let room = packs.saturating_mul(tuning.data_pack_bytes + tuning.tree_pack_bytes);
        Self::with(tuning, 1, room, room)
    }

    /// An engine for so many backups at once. All together they take less memory than one of this
    /// `tuning` alone, and three MiB each.
    pub fn shared(places: usize, tuning: &Tuning) -> Self {
        let places = places.max(1);
        // Those on their way, but for the one that is filled meanwhile.
        let packs = tuning.uploads.clamp(2, 64);
        let each = ROOM_EACH.min(tuning.data_pack_bytes);
        let room = packs.saturating_mul(tuning.data_pack_bytes) + places * each;
        Self::with(tuning, places, room, each)
    }

    fn with(tuning: &Tuning, places: usize, room: usize, each: usize) -> Self {
        let workers = tuning.workers.clamp(1, 256);
        // Two for each worker, one each with reader and selector; and one for each other backup.
        let blocks = (2 * workers + 2).min(BLOCKS_MAX) + places - 1;
        Self(Arc::new(Shared {
            places,
            taken: Mutex::default(),
            left: Condvar::new(),
            parties: AtomicU64::new(0),
            present: AtomicUsize::new(0),
            blocks: Lender::new(blocks, places, 1),
            block_count: blocks,
            spare_blocks: Mutex::default(),
            block_bytes: tuning.block_bytes.max(1),
            room: Lender::new(room, places, each),
            room_bytes: room,
            benches: Lender::new(workers, places, 0),
            idle: Mutex::default(),
        }))
    }

    /// Takes a place, waiting for one.
    pub(super) fn enter(&self) -> Seat {
        let mut taken = lock(&self.0.taken);
        while *taken >= self.0.places {
            taken = self.0.left.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken += 1;
        self.0.present.fetch_add(1, Ordering::Relaxed);
        let party = Party(self.0.parties.fetch_add(1, Ordering::Relaxed));
        Seat { engine: self.clone(), party }
    }

    /// Whether all that was lent is back.
    #[cfg(test)]
    pub(super) fn is_whole(&self) -> bool {
        let lenders = [&self.0.blocks, &self.0.room, &self.0.benches];
        *lock(&self.0.taken) == 0 && lenders.iter().all(|lender| lender.is_whole())
    }

    #[cfg(test)]
    pub(super) fn room_bytes(&self) -> usize {
        self.0.room_bytes
    }

    fn wake(&self) {
        for lender in [&self.0.blocks, &self.0.room, &self.0.benches] {
            lender.wake();
        }
    }
}

/// A backup's place in an engine.
pub(super) struct Seat {
    engine: Engine,
    party: Party,
}

impl Seat {
    fn shared(&self) -> &Shared {
        &self.engine.0
    }

    /// What wakes the stages that wait here, when they are to stop.
    pub(super) fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        let engine = self.engine.clone();
        move || engine.wake()
    }

    /// How many blocks there are, of all backups together.
    pub(super) fn block_count(&self) -> usize {
        self.shared().block_count
    }

    /// A block to fill.
    pub(super) fn block(&self, stop: &Stop) -> Result<Buffer, Halt> {
        let shared = self.shared();
        let loan = shared.blocks.lend(self.party, 1, stop)?;
        let spare = lock(&shared.spare_blocks).pop();
        let mut content = spare.unwrap_or_default();
        content.resize(shared.block_bytes, 0);
        Ok(Buffer { content, engine: self.engine.clone(), _loan: loan })
    }

    /// A bench to compute at.
    pub(super) fn bench(&self, stop: &Stop) -> Result<BenchGuard<'_>, Halt> {
        let loan = self.shared().benches.lend(self.party, 1, stop)?;
        let bench = lock(&self.shared().idle).pop().unwrap_or_default();
        Ok(BenchGuard { bench, shared: self.shared(), _loan: loan })
    }

    /// Room for so many bytes, if it need not be waited for.
    pub(super) fn try_room(&self, bytes: usize) -> Option<Loan> {
        self.shared().room.try_lend(self.party, bytes)
    }

    pub(super) fn room(&self, bytes: usize, stop: &Stop) -> Result<Loan, Halt> {
        self.shared().room.lend(self.party, bytes, stop)
    }

    /// The bytes at which a pack that is meant to have `target` is full, so that each of those who are
    /// here can fill one while another is on its way.
    pub(super) fn pack_bytes(&self, target: usize) -> usize {
        let present = self.shared().present.load(Ordering::Relaxed).max(1);
        let fair = self.shared().room_bytes / present / 2;
        target.min(fair.max(PACK_BYTES_MIN))
    }

    /// Whether no other backup is here.
    pub(super) fn is_alone(&self) -> bool {
        self.shared().present.load(Ordering::Relaxed) <= 1
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        for lender in [&self.shared().blocks, &self.shared().room, &self.shared().benches] {
            lender.leave(self.party);
        }
        self.shared().present.fetch_sub(1, Ordering::Relaxed);
        *lock(&self.shared().taken) -= 1;
        self.shared().left.notify_one();
    }
}

/// A block's memory; goes back when dropped.
pub(super) struct Buffer {
    pub(super) content: Vec<u8>,
    engine: Engine,
    _loan: Loan,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // Before the loan ends: whoever has the next one finds it.
        lock(&self.engine.0.spare_blocks).push(std::mem::take(&mut self.content));
    }
}

/// The tools of whoever compresses and encrypts.
#[derive(Default)]
pub(super) struct Bench {
    /// Made when it is first needed.
    pub(super) compressor: Option<Compressor>,
    /// Where the blob at hand is compressed and encrypted in place: room for the nonce, then the
    /// content. Kept, because new memory for every blob costs time.
    pub(super) sealed: Vec<u8>,
}

/// A bench that is in use; goes back when dropped.
pub(super) struct BenchGuard<'s> {
    bench: Bench,
    shared: &'s Shared,
    _loan: Loan,
}

impl std::ops::Deref for BenchGuard<'_> {
    type Target = Bench;

    fn deref(&self) -> &Bench {
        &self.bench
    }
}

impl std::ops::DerefMut for BenchGuard<'_> {
    fn deref_mut(&mut self) -> &mut Bench {
        &mut self.bench
    }
}

impl Drop for BenchGuard<'_> {
    fn drop(&mut self) {
        lock(&self.shared.idle).push(std::mem::take(&mut self.bench));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
