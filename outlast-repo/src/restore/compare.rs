//! Whether what lies in a file is what should: for files that were just written, and for those that
//! an earlier run left.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use outlast_format::{BlobId, Sha256};

use crate::read::pool;

/// How much is read at once.
const READ_BYTES: u64 = 256 << 10;

/// The bytes that one thread looks at in a row. A file that is not larger is no work for several.
const SHARE_BYTES: u64 = 8 << 20;

/// Where a blob belongs in a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) blob: BlobId,
}

/// For each of `pieces`, whether `file` has it at its place; looked at by several threads if they
/// are much.
pub(super) fn matching(file: &File, pieces: &[Piece]) -> io::Result<Vec<bool>> {
    let shares = shares(pieces);
    if shares.len() < 2 {
        return look(file, pieces);
    }
    let results = pool::map(shares, |share| look(file, share));
    let matching: Result<Vec<_>, _> = results.into_iter().collect();
    Ok(matching?.concat())
}

/// Cuts `pieces` into parts of about [`SHARE_BYTES`].
fn shares(pieces: &[Piece]) -> Vec<&[Piece]> {
    let mut shares = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (position, piece) in pieces.iter().enumerate() {
        bytes += u64::from(piece.length);
        if bytes >= SHARE_BYTES {
            shares.push(&pieces[from..=position]);
            (from, bytes) = (position + 1, 0);
        }
    }
    if from < pieces.len() {
        shares.push(&pieces[from..]);
    }
    shares
}

fn look(file: &File, pieces: &[Piece]) -> io::Result<Vec<bool>> {
    let longest = pieces.iter().map(|piece| u64::from(piece.length)).max().unwrap_or(0);
    let mut buffer = vec![0; usize::try_from(longest.min(READ_BYTES)).unwrap_or(0)];
    pieces.iter().map(|piece| has(file, piece, &mut buffer)).collect()
}

fn has(file: &File, piece: &Piece, buffer: &mut [u8]) -> io::Result<bool> {
    let mut hash = Sha256::new();
    let end = piece.offset.saturating_add(piece.length.into());
    let mut at = piece.offset;
    while at < end {
        let step = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        match file.read_exact_at(&mut buffer[..step], at) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
        hash.update(&buffer[..step]);
        at += step as u64;
    }
    Ok(hash.finish() == piece.blob.0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use outlast_testing::pseudo_random;
    use proptest::prelude::*;

    use super::*;
    use outlast_format::Sha256Id;

    proptest! {
        #![proptest_config(outlast_testing::cases(16))]
        #[test]
        fn exactly_the_pieces_that_were_changed_or_cut_off_do_not_match(
            lengths in prop::collection::vec(1..900_000_u32, 1..40),
            changed in any::<prop::sample::Index>(),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let total: u64 = lengths.iter().map(|&length| u64::from(length)).sum();
            let mut content = pseudo_random(5, usize::try_from(total).unwrap());
            let mut offset = 0;
            let pieces: Vec<_> = lengths.iter().map(|&length| {
                let from = usize::try_from(offset).unwrap();
                let blob = BlobId::of(&content[from..from + length as usize]);
                let piece = Piece { offset, length, blob };
                offset += u64::from(length);
                piece
            }).collect();
            let changed = changed.index(content.len());
            content[changed] ^= 1;
            let length = cut.map_or(content.len(), |cut| cut.index(content.len()));
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&content[..length]).unwrap();
            let expected: Vec<_> = pieces.iter().map(|piece| {
                let end = piece.offset + u64::from(piece.length);
                end <= length as u64 && !(piece.offset..end).contains(&(changed as u64))
            }).collect();
            prop_assert_eq!(matching(&file, &pieces).unwrap(), expected);
        }
    }
}
