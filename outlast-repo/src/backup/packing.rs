//! Sealed blobs into packs, trees and data apart. Whoever has a blob, and room for it, puts it into the
//! open pack, and whoever fills a pack leaves it to the uploaders. If they are slow, there is no room
//! after a while, and that is what slows a backup down to what its store takes.
//!
//! Room is asked for before a blob is sealed, and comes back when its pack is stored. Nobody who waits
//! for it leaves anything in an open pack: what is there goes to the uploaders at once, and so does
//! what others put there meanwhile. So all the room that a backup has comes back while it waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, unbounded};
use outlast_format::BlobId;
use outlast_format::pack::BlobType;
use outlast_types::Timestamp;

use super::context::Context;
use super::engine::Loan;
use super::stop::Halt;
use crate::packer::{OpenPack, SealedBlob};

/// What a blob takes besides its bytes: its entry, in memory and in the header of the pack.
const ENTRY_BYTES: usize = 128;

/// The packs that are being filled, one of each type.
#[derive(Debug)]
pub(super) struct Packing {
    data: Mutex<Filling>,
    trees: Mutex<Filling>,
    /// None when no pack is to come any more. As long as there is room for packs, which bounds them.
    full: Mutex<Option<Sender<Filling>>>,
    /// How many wait for room.
    short: AtomicUsize,
    times: Mutex<Times>,
    /// Memory of data packs that are stored. Given back to the allocator, such large pieces stay
    /// with the process for long, and new ones are taken besides.
    spare: Mutex<Vec<Vec<u8>>>,
}

/// A pack and the room that it takes.
#[derive(Debug)]
pub(super) struct Filling {
    pub(super) pack: OpenPack,
    pub(super) room: Option<Loan>,
}

#[derive(Debug)]
struct Times {
    /// When a data pack was handed over last.
    handed_over: Timestamp,
    /// How long workers have waited for room since then, all together.
    waited: Duration,
}

impl Packing {
    /// Empty packs, and where the full ones come out.
    pub(super) fn new(context: &Context<'_>) -> (Self, Receiver<Filling>) {
        let (full, packs) = unbounded();
        let packing = Self {
            data: Mutex::new(Filling::new(context, BlobType::Data, Vec::new())),
            trees: Mutex::new(Filling::new(context, BlobType::Tree, Vec::new())),
            full: Mutex::new(Some(full)),
            short: AtomicUsize::new(0),
            times: Mutex::new(Times { handed_over: context.clock.now(), waited: Duration::ZERO }),
            spare: Mutex::default(),
        };
        (packing, packs)
    }

    /// Room for a blob of so many bytes of plaintext, if it need not be waited for.
    pub(super) fn try_room(&self, context: &Context<'_>, plaintext: usize) -> Option<Loan> {
        context.seat.try_room(at_most(plaintext))
    }

    /// Room for a blob of so many bytes of plaintext; waits for the uploaders if there is none. Not at
    /// a bench, which others need meanwhile.
    pub(super) fn room(&self, context: &Context<'_>, plaintext: usize) -> Result<Loan, Halt> {
        if let Some(room) = self.try_room(context, plaintext) {
            return Ok(room);
        }
        let since = context.clock.now();
        // First the word, then the look: whoever adds a blob after it has heard the word.
        self.short.fetch_add(1, Ordering::SeqCst);
        let room = self.flush(context);
        let room = room.and_then(|()| context.seat.room(at_most(plaintext), &context.stop));
        self.short.fetch_sub(1, Ordering::SeqCst);
        lock(&self.times).waited += context.clock.now().since(since);
        room
    }

    /// Adds a blob, for which there is `room`.
    pub(super) fn add(
        &self,
        context: &Context<'_>,
        blob: &SealedBlob<'_>,
        mut room: Loan,
    ) -> Result<(), Halt> {
        room.keep(blob.bytes.len() + ENTRY_BYTES);
        let full = {
            let mut open = lock(self.of(blob.kind));
            open.add(blob, room);
            let bytes = context.seat.pack_bytes(target(context, blob.kind));
            if !open.pack.is_full_at(bytes) && self.short.load(Ordering::SeqCst) == 0 {
                return Ok(());
            }
            std::mem::replace(&mut *open, self.empty(context, blob.kind))
        };
        if blob.kind == BlobType::Data {
            let now = context.clock.now();
            let times = Times { handed_over: now, waited: Duration::ZERO };
            let before = std::mem::replace(&mut *lock(&self.times), times);
            let workers = u32::try_from(context.tuning.workers.max(1)).unwrap_or(u32::MAX);
            let elapsed = now.since(before.handed_over);
            context.compression.handed_over(before.waited / workers, elapsed);
        }
        self.hand_over(full)
    }

    /// Adds a tree that may be large; then it becomes a pack of its own, without a copy.
    pub(super) fn add_tree(
        &self,
        context: &Context<'_>,
        id: BlobId,
        bytes: Vec<u8>,
        uncompressed_length: Option<u32>,
    ) -> Result<(), Halt> {
        let kind = BlobType::Tree;
        let room = self.room(context, bytes.len())?;
        if bytes.len() < context.tuning.tree_pack_bytes / 2 {
            let blob = SealedBlob { kind, id, bytes: &bytes, uncompressed_length };
            return self.add(context, &blob, room);
        }
        let pack = OpenPack::of_one(kind, id, bytes, uncompressed_length);
        self.hand_over(Filling { pack, room: Some(room) })
    }

    /// Hands over what is left, when no blob is to come any more, and lets the uploaders end.
    pub(super) fn finish(&self, context: &Context<'_>) -> Result<(), Halt> {
        self.flush(context)?;
        *lock(&self.full) = None;
        Ok(())
    }

    /// Hands over what there is.
    fn flush(&self, context: &Context<'_>) -> Result<(), Halt> {
        for kind in [BlobType::Data, BlobType::Tree] {
            let rest = {
                let mut open = lock(self.of(kind));
                if open.pack.is_empty() {
                    continue;
                }
                std::mem::replace(&mut *open, self.empty(context, kind))
            };
            self.hand_over(rest)?;
        }
        Ok(())
    }

    /// Takes back the bytes of a pack that is stored, if nobody else holds on to them.
    pub(super) fn take_back(&self, context: &Context<'_>, pack: Bytes) {
        let Ok(buffer) = pack.try_into_mut() else { return };
        let mut spare = lock(&self.spare);
        // Never more than there were at once, none that only a huge tree needed, and none that others
        // could use.
        let usual = context.tuning.data_pack_bytes;
        let is_usual = (usual..2 * usual).contains(&buffer.capacity());
        if is_usual && spare.len() <= context.tuning.uploads && context.seat.is_alone() {
            spare.push(buffer.into());
        }
    }

    fn empty(&self, context: &Context<'_>, kind: BlobType) -> Filling {
        let mut spare = Vec::new();
        if kind == BlobType::Data {
            let mut spares = lock(&self.spare);
            if !context.seat.is_alone() {
                spares.clear();
            }
            spare = spares.pop().unwrap_or_default();
        }
        Filling::new(context, kind, spare)
    }

    fn of(&self, kind: BlobType) -> &Mutex<Filling> {
        match kind {
            BlobType::Data => &self.data,
            BlobType::Tree => &self.trees,
        }
    }

    fn hand_over(&self, pack: Filling) -> Result<(), Halt> {
        let full = lock(&self.full).clone().ok_or(Halt::Stopped)?;
        full.send(pack).map_err(|_| Halt::Stopped)
    }
}

impl Filling {
    fn new(context: &Context<'_>, kind: BlobType, spare: Vec<u8>) -> Self {
        Self { pack: OpenPack::reusing(target(context, kind), spare), room: None }
    }

    fn add(&mut self, blob: &SealedBlob<'_>, room: Loan) {
        self.pack.add(blob);
        match &mut self.room {
            Some(whole) => whole.join(room),
            none => *none = Some(room),
        }
    }
}

/// The bytes at which a pack is full, if there is room for such packs.
fn target(context: &Context<'_>, kind: BlobType) -> usize {
    match kind {
        BlobType::Data => context.tuning.data_pack_bytes,
        BlobType::Tree => context.tuning.tree_pack_bytes,
    }
}

/// The room that a blob of so many bytes takes at most: sealing adds a little, and so does compressing
/// what cannot be.
fn at_most(plaintext: usize) -> usize {
    plaintext + plaintext / 128 + 2 * ENTRY_BYTES
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
