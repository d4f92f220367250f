//! Where the pieces of a file belong.

use outlast_format::BlobId;
use outlast_format::pack::BlobType;

use super::compare::Piece;
use crate::Index;
use crate::read::BlobError;
use crate::read::blob::{self, Located};

/// Where the pieces of a file belong.
pub(super) struct Layout {
    pub(super) size: u64,
    pub(super) pieces: Vec<(u64, Located)>,
    pub(super) gaps: Vec<Gap>,
}

/// A part of a file that is known to be lost.
pub(super) struct Gap {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) cause: BlobError,
}

impl Layout {
    /// The length of a piece that no index knows follows from the others, if it is the only such.
    /// Of several, what lies from the first to the last is one gap, because nothing in it has a
    /// certain place.
    pub(super) fn of(index: &Index, content: &[BlobId], recorded: u64) -> Self {
        let located: Vec<_> =
            content.iter().map(|&blob| blob::locate(index, blob, BlobType::Data)).collect();
        let length = |located: &Located| u64::from(located.entry.plaintext_length());
        let mut pieces = Vec::new();
        let mut offset = 0_u64;
        let mut rest = located.into_iter();
        let mut cause = None;
        for result in rest.by_ref() {
            match result {
                Ok(piece) => {
                    pieces.push((offset, piece));
                    offset = offset.saturating_add(length(&piece));
                }
                Err(error) => {
                    cause = Some(error);
                    break;
                }
            }
        }
        let Some(cause) = cause else {
            return Self { size: offset, pieces, gaps: Vec::new() };
        };
        let mut end = recorded.max(offset);
        let mut tail = Vec::new();
        for piece in rest.rev() {
            let Ok(piece) = piece else { break };
            let Some(start) = end.checked_sub(length(&piece)).filter(|&start| start >= offset)
            else {
                break;
            };
            tail.push((start, piece));
            end = start;
        }
        pieces.extend(tail.into_iter().rev());
        let gaps = vec![Gap { offset, length: end - offset, cause }];
        Self { size: recorded.max(offset), pieces, gaps }
    }
    /// The content that the file should have where, to be compared with its own.
    pub(super) fn compared(&self) -> Vec<Piece> {
        let piece = |(offset, located): &(u64, Located)| Piece {
            offset: *offset,
            length: located.entry.plaintext_length(),
            blob: located.entry.id,
        };
        self.pieces.iter().map(piece).collect()
    }
}
