//! One page: records, how many, and the proof that they are what was written.

use std::cmp::Ordering;

/// Bytes of a page.
pub(super) const PAGE_BYTES: usize = 4096;
/// Bytes of a page before its first record.
const HEAD_BYTES: usize = 32;
/// Bytes of a checksum.
pub(super) const SUM_BYTES: usize = 24;

pub(super) type Sum = [u8; SUM_BYTES];
pub(super) type Page = [u8; PAGE_BYTES];

/// How many records of `N` bytes a page holds.
pub(super) const fn capacity<const N: usize>() -> usize {
    (PAGE_BYTES - HEAD_BYTES) / N
}

/// The number that a lookup compares first: the first 8 bytes.
pub(super) fn fence_of(record: &[u8]) -> u64 {
    record.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// A page that is being filled.
#[derive(Debug)]
pub(super) struct Draft {
    bytes: Box<Page>,
    count: usize,
}

impl Draft {
    pub(super) fn new() -> Self {
        Self { bytes: Box::new([0; PAGE_BYTES]), count: 0 }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Adds a record; there must be room for it.
    pub(super) fn push<const N: usize>(&mut self, record: &[u8; N]) {
        let start = HEAD_BYTES + self.count * N;
        self.bytes[start..start + N].copy_from_slice(record);
        self.count += 1;
    }

    pub(super) fn fence(&self) -> u64 {
        fence_of(&self.bytes[HEAD_BYTES..])
    }

    /// The page as number `number` of the run with this key, and its checksum. The draft is empty
    /// again.
    pub(super) fn seal(&mut self, key: &[u8; 32], number: u64) -> (Box<Page>, Sum) {
        let mut bytes = std::mem::replace(&mut self.bytes, Box::new([0; PAGE_BYTES]));
        let count = u32::try_from(self.count).unwrap_or(0);
        self.count = 0;
        bytes[SUM_BYTES..SUM_BYTES + 4].copy_from_slice(&count.to_le_bytes());
        let sum = checksum(key, number, &bytes);
        bytes[..SUM_BYTES].copy_from_slice(&sum);
        (bytes, sum)
    }
}

/// The checksum of a page that is what was written as number `number`.
pub(super) fn verify(key: &[u8; 32], number: u64, page: &Page) -> Option<Sum> {
    let sum = checksum(key, number, page);
    (page[..SUM_BYTES] == sum).then_some(sum)
}

fn checksum(key: &[u8; 32], number: u64, page: &Page) -> Sum {
    // A page and its number are 4080 bytes: four chunks of BLAKE3, hashed side by side.
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&number.to_le_bytes()).update(&page[SUM_BYTES..]);
    truncated(&hasher)
}

pub(super) fn truncated(hasher: &blake3::Hasher) -> Sum {
    let mut sum = [0; SUM_BYTES];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

/// The records of a page.
pub(super) fn records<const N: usize>(page: &Page) -> &[[u8; N]] {
    let count = page[SUM_BYTES..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let (all, _) = page[HEAD_BYTES..].as_chunks();
    &all[..all.len().min(count as usize)]
}

/// The position of the first record that does not come before `id`.
pub(super) fn first_from<const N: usize>(records: &[[u8; N]], id: &[u8; 32]) -> usize {
    records.partition_point(|record| record[..32].cmp(&id[..]) == Ordering::Less)
}
