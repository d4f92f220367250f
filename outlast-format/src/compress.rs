//! zstd with contexts that are kept from blob to blob, and never more output than was agreed.

use std::io::{BufRead, Cursor, Read};

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use crate::pack::BLOB_MAX;
use crate::{FormatError, Sha256};

/// How much is hashed at once of what is not kept.
const HASHED_BYTES: usize = 128 << 10;

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

/// How far back a piece of what [`Inflater`] decompresses may refer, as a power of two: 16 MiB. It
/// is memory that the sender chooses. Stock restic takes half a MiB, zstd up to level 19 takes 8 MiB.
const WINDOW_LOG_MAX: u32 = 24;
/// Bytes that are decompressed at once. What is no longer than this needs no window beside it.
const INFLATED_BYTES: usize = 1 << 20;

/// Decompresses what comes piece by piece and is longer than memory should be; to be kept by a
/// worker.
pub struct Inflater {
    decoder: Decoder<'static>,
    out: Vec<u8>,
    /// How much more may come.
    left: u64,
    is_whole: bool,
}

impl Inflater {
    /// An inflater.
    pub fn new() -> Result<Self, FormatError> {
        let failed = |e: std::io::Error| error("decompressor", &e);
        let mut decoder = Decoder::new().map_err(failed)?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(failed)?;
        Ok(Self { decoder, out: vec![0; INFLATED_BYTES], left: 0, is_whole: false })
    }

    /// Begins with content that has `length` bytes, whatever happened before.
    pub fn begin(&mut self, length: u64) -> Result<(), FormatError> {
        (self.left, self.is_whole) = (length, false);
        self.decoder.reinit().map_err(|e| error("decompressor", &e))
    }

    /// Decompresses the next `piece` and shows what comes of it to `each`.
    pub fn take(&mut self, piece: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), FormatError> {
        let mut input = InBuffer::around(piece);
        loop {
            let mut output = OutBuffer::around(&mut self.out[..]);
            let hint = self.decoder.run(&mut input, &mut output).map_err(|e| error("blob", &e))?;
            let written = output.pos();
            self.left = self.left.checked_sub(written as u64).ok_or_else(|| {
                let reason = "it holds more than its length says".to_owned();
                FormatError::Compression { object: "blob", reason }
            })?;
            each(&self.out[..written]);
            self.is_whole = hint == 0;
            // A buffer that was filled may not have been all.
            if input.pos() == piece.len() && (self.is_whole || written < self.out.len()) {
                return Ok(());
            }
        }
    }

    /// Checks that all of it came.
    pub fn finish(&self) -> Result<(), FormatError> {
        if self.is_whole && self.left == 0 {
            return Ok(());
        }
        let reason = "it ends before its length".to_owned();
        Err(FormatError::Compression { object: "blob", reason })
    }
}

/// The content of `compressed`, as a stream. Whoever reads it bounds how much that may be.
pub fn reader(compressed: impl BufRead + Send) -> Result<impl Read + Send, FormatError> {
    zstd::stream::read::Decoder::with_buffer(compressed).map_err(|e| error("decompressor", &e))
}

/// The SHA-256 of what `compressed` holds, which is exactly `length` bytes, in little memory.
pub fn hash_packed(compressed: &[u8], length: u64) -> Result<[u8; 32], FormatError> {
    let mut content = reader(compressed)?.take(length.saturating_add(1));
    let mut hash = Sha256::new();
    let mut buffer = vec![0; HASHED_BYTES];
    let mut hashed = 0_u64;
    loop {
        match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                hash.update(&buffer[..read]);
                hashed += read as u64;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(error("blob", &e)),
        }
    }
    if hashed != length {
        let reason = format!("it does not hold {length} bytes");
        return Err(FormatError::Compression { object: "blob", reason });
    }
    Ok(hash.finish())
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

    fn inflate(pieces: &[&[u8]], length: u64) -> Result<Vec<u8>, FormatError> {
        let mut out = Vec::new();
        let mut inflater = Inflater::new()?;
        for _ in 0..2 {
            // What was cut off before does no harm to the next.
            inflater.begin(7)?;
            drop(inflater.take(&pieces[0][..pieces[0].len() / 2], |_| ()));
            out.clear();
            inflater.begin(length)?;
            for piece in pieces {
                inflater.take(piece, |plain| out.extend_from_slice(plain))?;
            }
            inflater.finish()?;
        }
        Ok(out)
    }

    #[test]
    fn content_longer_than_the_buffer_comes_out_whole_in_any_pieces() {
        let mut content = b"0123456789abcdef".repeat(200_000);
        for (i, chunk) in content.chunks_mut(1000).enumerate() {
            chunk[0] = u8::try_from(i % 251).unwrap();
        }
        for length in [1, 1000, INFLATED_BYTES, INFLATED_BYTES + 1, content.len()] {
            let content = &content[..length];
            let mut compressed = Vec::new();
            Compressor::new(3).unwrap().compress_onto(content, &mut compressed).unwrap();
            let (one, two) = compressed.split_at(compressed.len() / 3);
            for pieces in [&[&compressed[..]][..], &[one, two]] {
                assert!(inflate(pieces, length as u64).unwrap() == content, "{length}");
                assert!(inflate(pieces, length as u64 - 1).is_err(), "{length}");
                assert!(inflate(pieces, length as u64 + 1).is_err(), "{length}");
            }
            assert!(inflate(&[one], length as u64).is_err(), "{length}");
        }
    }

    #[test]
    fn a_window_that_the_sender_chose_too_large_is_refused() {
        let content: Vec<u8> =
            (0..40u32 << 20).map(|i| i.wrapping_mul(i).to_be_bytes()[2]).collect();
        let mut encoder = zstd::stream::raw::Encoder::new(1).unwrap();
        encoder.set_parameter(zstd::stream::raw::CParameter::WindowLog(26)).unwrap();
        let mut compressed = vec![0; 64 << 20];
        let mut output = OutBuffer::around(&mut compressed[..]);
        encoder.run(&mut InBuffer::around(&content[..]), &mut output).unwrap();
        encoder.finish(&mut output, true).unwrap();
        let length = output.pos();
        let error = inflate(&[&compressed[..length]], content.len() as u64).unwrap_err();
        assert!(matches!(error, FormatError::Compression { .. }), "{error}");
    }

    #[test]
    fn the_hash_of_what_is_packed_needs_its_exact_length() {
        let content = b"some words ".repeat(100_000);
        let mut packed = Vec::new();
        Compressor::new(LEVEL_DEFAULT).unwrap().compress_onto(&content, &mut packed).unwrap();
        let length = content.len() as u64;
        assert_eq!(hash_packed(&packed, length), Ok(crate::sha256(&content)));
        for other in [0, length - 1, length + 1, u64::MAX] {
            assert!(hash_packed(&packed, other).is_err(), "{other}");
        }
        assert!(hash_packed(&packed[..packed.len() / 2], length).is_err());
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
