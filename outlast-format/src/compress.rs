//! zstd with contexts that are kept from blob to blob, and never more output than was agreed.

use std::io::{Cursor, Read};

use crate::FormatError;
use crate::pack::BLOB_MAX;

/// The level that stock restic uses by default and that outlast uses unless told otherwise.
pub const LEVEL_DEFAULT: i32 = 3;

/// A compressor to be kept by a worker: making one costs more than compressing a small blob.
pub struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    /// A compressor of zstd's `level` (1 is fast, 19 is small; negative ones are faster still).
    pub fn new(level: i32) -> Result<Self, FormatError> {
        zstd::bulk::Compressor::new(level).map(Self).map_err(|e| error("compressor", &e))
    }

    /// Takes another level from now on; costs nothing if it is the same.
    pub fn set_level(&mut self, level: i32) -> Result<(), FormatError> {
        self.0.set_compression_level(level).map_err(|e| error("compressor", &e))
    }

    /// Appends the compressed `plaintext` to `out`; returns how many bytes that are.
    pub fn compress_onto(
        &mut self,
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, FormatError> {
        let start = out.len();
        out.reserve(zstd::zstd_safe::compress_bound(plaintext.len()));
        self.0.compress_to_buffer(plaintext, &mut cursor(out, start)).map_err(|e| error("blob", &e))
    }
}

/// A decompressor to be kept by a worker.
pub struct Decompressor(zstd::bulk::Decompressor<'static>);

impl Decompressor {
    /// A decompressor.
    pub fn new() -> Result<Self, FormatError> {
        zstd::bulk::Decompressor::new().map(Self).map_err(|e| error("decompressor", &e))
    }

    /// Appends what `compressed` holds to `out`: exactly `length` bytes, at most [`BLOB_MAX`].
    /// On an error `out` is as it was.
    pub fn decompress_onto(
        &mut self,
        compressed: &[u8],
        length: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        if length as u64 > u64::from(BLOB_MAX) {
            return Err(FormatError::TooLarge { object: "blob", limit: BLOB_MAX.into() });
        }
        let wrong_length = |announced: u64| FormatError::Compression {
            object: "blob",
            reason: format!("it holds {announced} bytes instead of {length}"),
        };
        // Most frames announce their content, and a lie is found before memory is spent on it.
        if let Ok(Some(announced)) = zstd::zstd_safe::get_frame_content_size(compressed)
            && announced > length as u64
        {
            return Err(wrong_length(announced));
        }
        let start = out.len();
        out.reserve(length);
        // More than there is room for does not fit and fails: no bomb goes off.
        let result = match self.0.decompress_to_buffer(compressed, &mut cursor(out, start)) {
            Ok(written) if written == length => Ok(()),
            Ok(written) => Err(wrong_length(written as u64)),
            Err(e) => Err(error("blob", &e)),
        };
        if result.is_err() {
            out.truncate(start);
        }
        result
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_survives_and_is_appended() {
        let content = b"the same words again and again ".repeat(100);
        let mut compressed = b"before".to_vec();
        let length = Compressor::new(LEVEL_DEFAULT)
            .unwrap()
            .compress_onto(&content, &mut compressed)
            .unwrap();
        assert_eq!(compressed.len(), 6 + length);
        assert!(length < 200);
        let mut out = b"head".to_vec();
        let mut decompressor = Decompressor::new().unwrap();
        decompressor.decompress_onto(&compressed[6..], content.len(), &mut out).unwrap();
        assert_eq!(out, [b"head".as_slice(), &content].concat());
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        let mut bomb = Vec::new();
        Compressor::new(19).unwrap().compress_onto(&vec![0; 64 << 20], &mut bomb).unwrap();
        assert!(bomb.len() < 10_000);
        let mut out = b"kept".to_vec();
        let mut decompressor = Decompressor::new().unwrap();
        for length in [0, 1, 4096, (64 << 20) - 1, (64 << 20) + 1, usize::MAX] {
            assert!(decompressor.decompress_onto(&bomb, length, &mut out).is_err(), "{length}");
            assert_eq!(out, b"kept");
        }
        assert_eq!(
            decompress_bounded("index", &bomb, 1 << 20),
            Err(FormatError::TooLarge { object: "index", limit: 1 << 20 })
        );
    }
}
