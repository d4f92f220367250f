//! A blob in 48 bytes, and packs by numbers.

use std::collections::HashMap;

use outlast_format::pack::{BlobType, PackEntry};
use outlast_format::{BlobId, PackId};

/// Bytes of a record: the blob's id, then pack, offset, length and uncompressed length with the
/// highest byte first, so that the order of records is that of these numbers.
pub(super) const RECORD_BYTES: usize = 48;

pub(super) type Record = [u8; RECORD_BYTES];

/// The bit of the pack's number that tells trees from data.
const TREE_BIT: u32 = 1 << 31;

/// The rest of a record, without the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) kind: BlobType,
    pub(super) pack: u32,
    pub(super) offset: u32,
    pub(super) length: u32,
    pub(super) uncompressed_length: Option<u32>,
}

/// The record of a blob in the pack with this number.
pub(super) fn encode(pack: u32, entry: &PackEntry) -> Record {
    let tree_bit = match entry.kind {
        BlobType::Data => 0,
        BlobType::Tree => TREE_BIT,
    };
    // 0 if it is not compressed, as in the index files.
    let uncompressed = entry.uncompressed_length.unwrap_or(0);
    let mut record = [0; RECORD_BYTES];
    record[..32].copy_from_slice(&entry.id.0);
    let numbers = [pack | tree_bit, entry.offset, entry.length, uncompressed];
    for (field, number) in record[32..].as_chunks_mut().0.iter_mut().zip(numbers) {
        *field = number.to_be_bytes();
    }
    record
}

/// The id in a record.
pub(super) fn id_of(record: &Record) -> BlobId {
    BlobId(*record.first_chunk().unwrap_or(&[0; 32]))
}

/// The rest of a record.
pub(super) fn decode(record: &Record) -> Spot {
    let fields = record[32..].as_chunks().0;
    let number = |field: usize| u32::from_be_bytes(fields[field]);
    let kind = if number(0) & TREE_BIT == 0 { BlobType::Data } else { BlobType::Tree };
    Spot {
        kind,
        pack: number(0) & !TREE_BIT,
        offset: number(1),
        length: number(2),
        uncompressed_length: Some(number(3)).filter(|&length| length > 0),
    }
}

/// All packs, numbered in the order in which they were first heard of.
#[derive(Debug, Default)]
pub(super) struct Packs {
    ids: Vec<PackId>,
    numbers: HashMap<PackId, u32>,
}

impl Packs {
    pub(super) fn ids(&self) -> &[PackId] {
        &self.ids
    }

    /// The number of a pack, which is a new one if the pack is new.
    pub(super) fn number_of(&mut self, pack: PackId) -> u32 {
        let ids = &mut self.ids;
        *self.numbers.entry(pack).or_insert_with(|| {
            ids.push(pack);
            // 2^31 packs of 16 MiB are 32 PiB.
            u32::try_from(ids.len() - 1).unwrap_or(TREE_BIT - 1)
        })
    }

    pub(super) fn number(&self, pack: &PackId) -> Option<u32> {
        self.numbers.get(pack).copied()
    }

    pub(super) fn id(&self, number: u32) -> Option<PackId> {
        self.ids.get(number as usize).copied()
    }
}
