//! Packs: sealed blobs in a row, then the sealed header that lists them, then its length.

use outlast_types::Random;

use crate::crypto::{self, Key};
use crate::{BlobId, FormatError};

/// Bytes of the header's length at the very end of a pack (little-endian).
pub const TRAILER_LENGTH: usize = 4;
/// The longest sealed header that is accepted, as in stock restic.
pub const HEADER_MAX: u32 = 16 << 20;
/// How long a pack can get: offsets and lengths have 32 bits.
pub const PACK_MAX: u64 = u32::MAX as u64;
/// The largest plaintext of one blob that is accepted, in bytes. Stock restic cuts data at 8 MiB;
/// a tree of a directory with a million files is a few hundred MiB.
pub const BLOB_MAX: u32 = 1 << 30;

/// The bytes that sealing adds to a blob.
const OVERHEAD: u32 = 32;
const _: () = assert!(OVERHEAD as usize == crypto::OVERHEAD);
const ENTRY_PLAIN: usize = 1 + 4 + 32;
const ENTRY_COMPRESSED: usize = ENTRY_PLAIN + 4;

/// The kind of a blob's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlobType {
    /// A piece of files' content.
    Data,
    /// The JSON of one directory.
    Tree,
}

/// Where one blob lies in its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PackEntry {
    pub kind: BlobType,
    pub id: BlobId,
    /// Where the sealed blob begins, in bytes from the start of the pack.
    pub offset: u32,
    /// The sealed blob's length in bytes, nonce and authentication code included.
    pub length: u32,
    /// The plaintext's length in bytes if it was compressed before sealing. Never 0: the format
    /// writes 0 for "not compressed", so an empty plaintext must not be compressed.
    pub uncompressed_length: Option<u32>,
}

impl PackEntry {
    /// The length of the blob's plaintext in bytes.
    pub fn plaintext_length(&self) -> u32 {
        self.uncompressed_length.unwrap_or_else(|| self.length.saturating_sub(OVERHEAD))
    }

    /// Where the sealed blob ends, in bytes from the start of the pack.
    pub fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.length)
    }

    /// The bytes that the header spends on this entry.
    pub fn header_length(&self) -> usize {
        if self.uncompressed_length.is_some() { ENTRY_COMPRESSED } else { ENTRY_PLAIN }
    }
}

/// The plaintext of the header for blobs that lie in this order, without gaps, from offset 0 on.
pub fn encode_header(entries: &[PackEntry]) -> Vec<u8> {
    let mut header = Vec::with_capacity(entries.len() * ENTRY_COMPRESSED);
    for entry in entries {
        let kind = match entry.kind {
            BlobType::Data => 0,
            BlobType::Tree => 1,
        };
        // Zero means "not compressed" in the index of stock restic; an empty plaintext therefore
        // is never compressed.
        let uncompressed = entry.uncompressed_length.filter(|&length| length > 0);
        header.push(kind | if uncompressed.is_some() { 2 } else { 0 });
        header.extend_from_slice(&entry.length.to_le_bytes());
        if let Some(length) = uncompressed {
            header.extend_from_slice(&length.to_le_bytes());
        }
        header.extend_from_slice(&entry.id.0);
    }
    header
}

/// Ends a pack: appends the sealed header and its length to `pack`, which holds the blobs.
///
/// The caller ends a pack long before its header reaches [`HEADER_MAX`] (400,000 blobs).
pub fn finish(pack: &mut Vec<u8>, entries: &[PackEntry], key: &Key, random: &dyn Random) {
    let start = pack.len();
    key.seal_onto(&encode_header(entries), random, pack);
    let length = u32::try_from(pack.len() - start).unwrap_or(u32::MAX);
    pack.extend_from_slice(&length.to_le_bytes());
}

/// The length of the sealed header, from the last four bytes of a pack of `pack_size` bytes.
pub fn header_length(trailer: [u8; TRAILER_LENGTH], pack_size: u64) -> Result<u32, FormatError> {
    let invalid = |reason| FormatError::Invalid { object: "pack header", reason };
    let length = u32::from_le_bytes(trailer);
    if (length as usize) < crypto::OVERHEAD + ENTRY_PLAIN {
        return Err(invalid("its length is too short for any header"));
    }
    if length > HEADER_MAX {
        return Err(FormatError::TooLarge { object: "pack header", limit: HEADER_MAX.into() });
    }
    if u64::from(length) + TRAILER_LENGTH as u64 > pack_size {
        return Err(invalid("it is longer than its pack"));
    }
    Ok(length)
}

/// The entries in the `plaintext` of a header, with their offsets.
///
/// `data_length` is the length of the pack without header and trailer: the blobs must fill it.
pub fn decode_header(plaintext: &[u8], data_length: u64) -> Result<Vec<PackEntry>, FormatError> {
    let invalid = |reason| FormatError::Invalid { object: "pack header", reason };
    let mut entries = Vec::with_capacity(plaintext.len() / ENTRY_PLAIN);
    let mut rest = plaintext;
    let mut offset: u32 = 0;
    while let Some((&kind, after)) = rest.split_first() {
        let (length, after) = take_u32(after).ok_or(invalid("it ends inside an entry"))?;
        let (uncompressed_length, after) = if kind & 2 == 0 {
            (None, after)
        } else {
            let (n, after) = take_u32(after).ok_or(invalid("it ends inside an entry"))?;
            // Zero says "not compressed", as in the index.
            (Some(n).filter(|&length| length > 0), after)
        };
        let (id, after) =
            after.split_first_chunk::<32>().ok_or(invalid("it ends inside an entry"))?;
        let kind = match kind {
            0 | 2 => BlobType::Data,
            1 | 3 => BlobType::Tree,
            _ => return Err(invalid("a blob's type is not known")),
        };
        if length < OVERHEAD {
            return Err(invalid("a blob is shorter than any sealed blob"));
        }
        entries.push(PackEntry { kind, id: BlobId(*id), offset, length, uncompressed_length });
        offset = offset.checked_add(length).ok_or(invalid("its blobs exceed 4 GiB"))?;
        rest = after;
    }
    if u64::from(offset) != data_length {
        return Err(invalid("its blobs do not fill the pack"));
    }
    Ok(entries)
}

/// The bytes of header and trailer of a pack of `pack_size` bytes that ends with `tail`.
pub fn tail_length(tail: &[u8], pack_size: u64) -> Result<u64, FormatError> {
    let trailer = tail.last_chunk::<TRAILER_LENGTH>().ok_or(FormatError::TooShort {
        object: "pack",
        length: tail.len(),
        minimum: TRAILER_LENGTH,
    })?;
    Ok(u64::from(header_length(*trailer, pack_size)?) + TRAILER_LENGTH as u64)
}

/// Reads the header of a pack of `pack_size` bytes that ends with `tail`, which holds all of the
/// header.
pub fn read_tail(tail: &[u8], pack_size: u64, key: &Key) -> Result<Vec<PackEntry>, FormatError> {
    let length = tail_length(tail, pack_size)?;
    let reason = "it is longer than what the blobs leave of the pack";
    let sealed = usize::try_from(length)
        .ok()
        .and_then(|length| tail.len().checked_sub(length))
        .and_then(|start| tail.get(start..tail.len() - TRAILER_LENGTH))
        .ok_or(FormatError::Invalid { object: "pack header", reason })?;
    decode_header(&key.open(sealed)?, pack_size - length)
}

/// Reads the header of a whole `pack` in memory.
pub fn read_header(pack: &[u8], key: &Key) -> Result<Vec<PackEntry>, FormatError> {
    read_tail(pack, pack.len() as u64, key)
}

/// The length of a pack with these blobs, in whatever order they are listed; `None` if they overlap
/// or leave gaps.
pub fn length_of(entries: &[PackEntry]) -> Option<u64> {
    let span = |entry: &PackEntry| (u64::from(entry.offset), u64::from(entry.length));
    let follow = |end: u64, (offset, length)| (offset == end).then_some(end + length);
    // Mostly they are listed as they lie.
    let end = entries.iter().map(span).try_fold(0, follow).or_else(|| {
        let mut spans: Vec<(u64, u64)> = entries.iter().map(span).collect();
        spans.sort_unstable();
        spans.into_iter().try_fold(0, follow)
    })?;
    let header: usize = entries.iter().map(PackEntry::header_length).sum();
    Some(end + (crypto::OVERHEAD + header + TRAILER_LENGTH) as u64)
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (value, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*value), rest))
}

#[cfg(test)]
mod tests {
    use outlast_types::SystemRandom;
    use proptest::prelude::*;

    use super::*;
    use crate::Sha256Id;

    fn entry() -> impl Strategy<Value = PackEntry> {
        let kind = prop_oneof![Just(BlobType::Data), Just(BlobType::Tree)];
        let uncompressed = prop::option::of(1..=u32::MAX);
        (kind, any::<[u8; 32]>(), 32..10_000u32, uncompressed).prop_map(
            |(kind, id, length, uncompressed_length)| PackEntry {
                kind,
                id: BlobId(id),
                offset: 0,
                length,
                uncompressed_length,
            },
        )
    }

    /// Entries one after another, with the length of the data that they cover.
    fn entries() -> impl Strategy<Value = (Vec<PackEntry>, u32)> {
        prop::collection::vec(entry(), 0..20).prop_map(|mut entries| {
            let mut offset = 0;
            for entry in &mut entries {
                entry.offset = offset;
                offset += entry.length;
            }
            (entries, offset)
        })
    }

    proptest! {
        #![proptest_config(outlast_testing::cases(256))]

        #[test]
        fn a_header_survives((entries, length) in entries()) {
            let header = encode_header(&entries);
            let sum = entries.iter().map(PackEntry::header_length).sum::<usize>();
            prop_assert_eq!(header.len(), sum);
            prop_assert_eq!(decode_header(&header, length.into()).unwrap(), entries);
            prop_assert!(decode_header(&header, u64::from(length) + 1).is_err());
        }

        #[test]
        fn a_header_that_is_cut_off_is_refused((entries, length) in entries(), cut in 1..30usize) {
            let header = encode_header(&entries);
            prop_assume!(cut <= header.len());
            prop_assert!(decode_header(&header[..header.len() - cut], length.into()).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            length in any::<u64>(),
        ) {
            drop(decode_header(&bytes, length));
            let key = Key::from_bytes(&[1; 64]);
            prop_assert!(read_header(&bytes, &key).is_err());
            if let Some(trailer) = bytes.last_chunk() {
                drop(header_length(*trailer, length));
            }
        }
    }

    proptest! {
        #![proptest_config(outlast_testing::cases(256))]

        #[test]
        fn a_pack_is_as_long_as_its_blobs_and_their_header(
            (entries, length) in entries(),
            seed in any::<u64>(),
        ) {
            let key = Key::from_bytes(&[1; 64]);
            let mut pack = vec![0; length as usize];
            finish(&mut pack, &entries, &key, &SystemRandom);
            let mut listed = entries;
            // In another order, as an index may list them.
            listed.sort_by_key(|entry| seed.rotate_left(entry.offset % 64) ^ u64::from(entry.length));
            prop_assert_eq!(length_of(&listed), Some(pack.len() as u64));
            if let Some(entry) = listed.first_mut() {
                entry.offset += 1;
                prop_assert_eq!(length_of(&listed), None);
            }
        }

        #[test]
        fn a_header_is_read_from_the_end_of_its_pack((entries, length) in entries(), cut in 0..9usize) {
            prop_assume!(!entries.is_empty());
            let key = Key::from_bytes(&[1; 64]);
            let mut pack = vec![0; length as usize];
            finish(&mut pack, &entries, &key, &SystemRandom);
            let size = pack.len() as u64;
            let tail = usize::try_from(tail_length(&pack, size).unwrap()).unwrap();
            prop_assert_eq!(tail as u64 + u64::from(length), size);
            let from = (pack.len() - tail).saturating_sub(cut);
            prop_assert_eq!(read_tail(&pack[from..], size, &key).unwrap(), entries);
            prop_assert!(read_tail(&pack[pack.len() - tail + 1..], size, &key).is_err());
        }
    }

    #[test]
    fn a_pack_lists_its_blobs() {
        let key = Key::from_bytes(&[1; 64]);
        let mut pack = key.seal(b"one blob", &SystemRandom);
        let entries = [PackEntry {
            kind: BlobType::Data,
            id: BlobId::of(b"one blob"),
            offset: 0,
            length: u32::try_from(pack.len()).unwrap(),
            uncompressed_length: None,
        }];
        assert_eq!(entries[0].plaintext_length(), 8);
        finish(&mut pack, &entries, &key, &SystemRandom);
        assert_eq!(read_header(&pack, &key).unwrap(), entries);
    }

    /// Stock restic takes such a blob for one that is not compressed.
    #[test]
    fn a_compressed_blob_without_a_length_is_one_that_is_not_compressed() {
        let entry = PackEntry {
            kind: BlobType::Tree,
            id: BlobId([5; 32]),
            offset: 0,
            length: 64,
            uncompressed_length: Some(9),
        };
        let mut header = encode_header(&[entry]);
        header[5..9].fill(0);
        let plain = PackEntry { uncompressed_length: None, ..entry };
        assert_eq!(decode_header(&header, 64), Ok(vec![plain]));
    }

    #[test]
    fn blobs_that_exceed_a_pack_are_refused() {
        let huge = |offset| PackEntry {
            kind: BlobType::Data,
            id: BlobId([0; 32]),
            offset,
            length: u32::MAX,
            uncompressed_length: None,
        };
        assert!(decode_header(&encode_header(&[huge(0), huge(0)]), u64::MAX).is_err());
    }
}
