//! Packs in the making: sealed blobs of one type, side by side, until they are worth an object.

use bytes::Bytes;
use outlast_format::crypto::Key;
use outlast_format::pack::{self, BlobType, PackEntry};
use outlast_format::{BlobId, PackId, Sha256Id};
use outlast_types::Random;

use crate::index::UnsavedPack;

/// The most blobs in one pack: keeps its header at 1.3 MiB, where restic accepts 16.
const BLOBS_MAX: usize = 32 << 10;

/// A blob as it will lie in a pack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SealedBlob<'b> {
    pub(crate) kind: BlobType,
    pub(crate) id: BlobId,
    pub(crate) bytes: &'b [u8],
    /// Bytes of the plaintext, if it was compressed.
    pub(crate) uncompressed_length: Option<u32>,
}

/// A pack that is being filled.
#[derive(Debug)]
pub(crate) struct OpenPack {
    target: usize,
    content: Vec<u8>,
    entries: Vec<PackEntry>,
}

impl OpenPack {
    /// An empty pack that will be full at `target` bytes.
    pub(crate) fn new(target: usize) -> Self {
        Self { target, content: Vec::new(), entries: Vec::new() }
    }

    /// The same, filled into memory that an earlier pack had.
    pub(crate) fn reusing(target: usize, mut content: Vec<u8>) -> Self {
        content.clear();
        Self { target, content, entries: Vec::new() }
    }

    /// A pack of one blob, whose bytes become the pack's without a copy.
    pub(crate) fn of_one(
        kind: BlobType,
        id: BlobId,
        content: Vec<u8>,
        uncompressed_length: Option<u32>,
    ) -> Self {
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let entry = PackEntry { kind, id, offset: 0, length, uncompressed_length };
        Self { target: 0, content, entries: vec![entry] }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the next blob belongs into another pack.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full_at(self.target)
    }

    /// The same, if packs shall have no more than so many bytes.
    pub(crate) fn is_full_at(&self, bytes: usize) -> bool {
        self.content.len() >= bytes.min(self.target) || self.entries.len() >= BLOBS_MAX
    }

    /// Appends a blob.
    pub(crate) fn add(&mut self, blob: &SealedBlob<'_>) {
        if self.content.capacity() == 0 {
            // Once and for all: growing would copy, and hold both copies for a moment. The last
            // blob may go beyond the target; header and trailer need room, too.
            self.content.reserve_exact(self.target + self.target / 8 + blob.bytes.len());
        }
        // Far below the 4 GiB that offsets can say: the target is, and a blob is at most 1 GiB.
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        self.entries.push(PackEntry {
            kind: blob.kind,
            id: blob.id,
            offset: length(self.content.len()),
            length: length(blob.bytes.len()),
            uncompressed_length: blob.uncompressed_length,
        });
        self.content.extend_from_slice(blob.bytes);
    }

    /// Ends the pack with its header; returns what it will be called and its bytes.
    pub(crate) fn finish(mut self, key: &Key, random: &dyn Random) -> (UnsavedPack, Bytes) {
        pack::finish(&mut self.content, &self.entries, key, random);
        let pack = UnsavedPack {
            id: PackId::of(&self.content),
            size: self.content.len() as u64,
            entries: self.entries,
        };
        (pack, self.content.into())
    }
}

#[cfg(test)]
mod tests {
    use outlast_types::SystemRandom;

    use super::*;

    #[test]
    fn a_finished_pack_lists_its_blobs_where_they_lie() {
        let key = Key::generate(&SystemRandom);
        let mut open = OpenPack::new(150);
        for n in 0..3_u8 {
            assert!(!open.is_full());
            let bytes = &key.seal(&[n; 30], &SystemRandom);
            let id = BlobId::of(&[n; 30]);
            open.add(&SealedBlob { kind: BlobType::Data, id, bytes, uncompressed_length: None });
        }
        assert!(open.is_full());
        let (pack, bytes) = open.finish(&key, &SystemRandom);
        assert_eq!(pack.id, PackId::of(&bytes));
        assert_eq!(pack.size, bytes.len() as u64);
        assert_eq!(pack::read_header(&bytes, &key).unwrap(), pack.entries);
        for entry in &pack.entries {
            let sealed = &bytes[entry.offset as usize..][..entry.length as usize];
            assert_eq!(BlobId::of(&key.open(sealed).unwrap()), entry.id);
        }
    }
}
