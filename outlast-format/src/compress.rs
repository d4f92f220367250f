//! zstd with contexts that are kept from blob to blob, and never more output than was agreed.

use std::io::{Cursor, Read};

use crate::FormatError;

/// The level that stock restic uses by default and that outlast uses unless told otherwise.
pub const LEVEL_DEFAULT: i32 = 3;

/// A compressor to be kept by a worker: making one costs more than compressing a small blob.
pub struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    /// A compressor of zstd's `level` (1 is fast, 19 is small; negative ones are faster still).
    pub fn new(level: i32) -> Result<Self, FormatError> {
        zstd::bulk::Compressor::new(level).map(Self).map_err(|e| error("compressor", &e))
    }

    /// Appends the compressed `plaintext` to `out`; returns how many bytes that are.
    pub fn compress_onto(
        &mut self,
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, FormatError> {
        let start = out.len();
        out.reserve(zstd::zstd_safe::compress_bound(plaintext.len()));
        self.0
            .compress_to_buffer(plaintext, &mut cursor(out, start))
            .map_err(|e| error("content", &e))
    }
}

/// A decompressor to be kept by a worker.
pub struct Decompressor(zstd::bulk::Decompressor<'static>);

impl Decompressor {
    /// A decompressor.
    pub fn new() -> Result<Self, FormatError> {
        zstd::bulk::Decompressor::new().map(Self).map_err(|e| error("decompressor", &e))
    }

    /// Appends what `compressed` holds to `out`. It must be exactly `length` bytes, which the
    /// caller bounds: that much memory is reserved before anything is decompressed.
    pub fn decompress_onto(
        &mut self,
        compressed: &[u8],
        length: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        let start = out.len();
        // One byte more than announced would not fit here and fail: no bomb goes off.
        let mut room = vec![0; length];
        let written = self
            .0
            .decompress_to_buffer(compressed, room.as_mut_slice())
            .map_err(|e| error("content", &e))?;
        if written != length {
            return Err(FormatError::Compression {
                object: "content",
                reason: format!("it holds {written} bytes instead of {length}"),
            });
        }
        out.append(&mut room);
        debug_assert_eq!(out.len(), start + length);
        Ok(())
    }
}

/// Decompresses `compressed`, of which only the `limit` for its content is known.
pub(crate) fn decompress_bounded(
    object: &'static str,
    compressed: &[u8],
    limit: u64,
) -> Result<Vec<u8>, FormatError> {
    let mut out = Vec::new();
    zstd::stream::read::Decoder::with_buffer(compressed)
        .and_then(|decoder| decoder.take(limit + 1).read_to_end(&mut out))
        .map_err(|e| error(object, &e))?;
    if out.len() as u64 > limit {
        return Err(FormatError::TooLarge { object, limit });
    }
    Ok(out)
}

fn cursor(out: &mut Vec<u8>, start: usize) -> Cursor<&mut Vec<u8>> {
    let mut cursor = Cursor::new(out);
    cursor.set_position(start as u64);
    cursor
}

fn error(object: &'static str, error: &std::io::Error) -> FormatError {
    FormatError::Compression { object, reason: error.to_string() }
}
