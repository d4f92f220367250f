//! Sealed blobs into packs, trees and data apart. Whoever has a blob puts it into the open pack,
//! and whoever fills a pack hands it to the uploaders; if all of them are busy, it waits, and that
//! is what slows a backup down to what its store takes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use outlast_format::BlobId;
use outlast_format::pack::BlobType;
use outlast_types::Timestamp;

use super::context::Context;
use super::stop::Halt;
use crate::packer::{OpenPack, SealedBlob};

/// The packs that are being filled, one of each type.
#[derive(Debug)]
pub(super) struct Packing {
    data: Mutex<OpenPack>,
    trees: Mutex<OpenPack>,
    /// None when no pack is to come any more.
    full: Mutex<Option<Sender<OpenPack>>>,
    /// When a data pack was handed over last.
    handed_over: Mutex<Timestamp>,
    /// Memory of data packs that are stored. Given back to the allocator, such large pieces stay
    /// with the process for long, and new ones are taken besides.
    spare: Mutex<Vec<Vec<u8>>>,
}

impl Packing {
    /// Empty packs, and where the full ones come out: one at a time.
    pub(super) fn new(context: &Context<'_>) -> (Self, Receiver<OpenPack>) {
        let (full, packs) = bounded(0);
        let packing = Self {
            data: Mutex::new(OpenPack::new(context.tuning.data_pack_bytes)),
            trees: Mutex::new(OpenPack::new(context.tuning.tree_pack_bytes)),
            full: Mutex::new(Some(full)),
            handed_over: Mutex::new(context.clock.now()),
            spare: Mutex::default(),
        };
        (packing, packs)
    }

    /// Adds a blob; waits for the uploaders if it fills a pack.
    pub(super) fn add(&self, context: &Context<'_>, blob: &SealedBlob<'_>) -> Result<(), Halt> {
        // Held also while a full pack waits: the others must not fill one each meanwhile.
        let mut open = match blob.kind {
            BlobType::Data => lock(&self.data),
            BlobType::Tree => lock(&self.trees),
        };
        open.add(blob);
        if !open.is_full() {
            return Ok(());
        }
        let full = std::mem::replace(&mut *open, self.empty(context, blob.kind));
        let ready = context.clock.now();
        self.hand_over(context, full)?;
        if blob.kind == BlobType::Data {
            let now = context.clock.now();
            let before = std::mem::replace(&mut *lock(&self.handed_over), now);
            context.compression.handed_over(now.since(ready), now.since(before));
        }
        Ok(())
    }

    /// Adds a blob that may be large; then it becomes a pack of its own, without a copy.
    pub(super) fn add_owned(
        &self,
        context: &Context<'_>,
        kind: BlobType,
        id: BlobId,
        bytes: Vec<u8>,
        uncompressed_length: Option<u32>,
    ) -> Result<(), Halt> {
        if bytes.len() < context.tuning.tree_pack_bytes / 2 {
            let blob = SealedBlob { kind, id, bytes: &bytes, uncompressed_length };
            return self.add(context, &blob);
        }
        self.hand_over(context, OpenPack::of_one(kind, id, bytes, uncompressed_length))
    }

    /// Hands over what is left, when no blob is to come any more, and lets the uploaders end.
    pub(super) fn finish(&self, context: &Context<'_>) -> Result<(), Halt> {
        for (open, kind) in [(&self.data, BlobType::Data), (&self.trees, BlobType::Tree)] {
            let rest = std::mem::replace(&mut *lock(open), self.empty(context, kind));
            if !rest.is_empty() {
                self.hand_over(context, rest)?;
            }
        }
        *lock(&self.full) = None;
        Ok(())
    }

    /// Takes back the bytes of a pack that is stored, if nobody else holds on to them.
    pub(super) fn take_back(&self, context: &Context<'_>, pack: Bytes) {
        let Ok(buffer) = pack.try_into_mut() else { return };
        let mut spare = lock(&self.spare);
        // Never more than there were at once, and none that only a huge tree needed.
        let usual = context.tuning.data_pack_bytes;
        if (usual..2 * usual).contains(&buffer.capacity()) && spare.len() <= context.tuning.uploads
        {
            spare.push(buffer.into());
        }
    }

    fn empty(&self, context: &Context<'_>, kind: BlobType) -> OpenPack {
        match kind {
            BlobType::Tree => OpenPack::new(context.tuning.tree_pack_bytes),
            BlobType::Data => {
                let spare = lock(&self.spare).pop().unwrap_or_default();
                OpenPack::reusing(context.tuning.data_pack_bytes, spare)
            }
        }
    }

    fn hand_over(&self, context: &Context<'_>, pack: OpenPack) -> Result<(), Halt> {
        let full = lock(&self.full).clone().ok_or(Halt::Stopped)?;
        context.stop.send(&full, pack)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
