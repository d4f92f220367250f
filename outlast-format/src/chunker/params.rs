//! The limits on the lengths of chunks.

/// How long chunks may be, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// No chunk is shorter, but the last of a stream. At least [`WINDOW`](super::WINDOW).
    pub min: u32,
    /// Most chunks are about this long; a power of two.
    pub average: u32,
    /// No chunk is longer.
    pub max: u32,
}

impl Default for Params {
    /// 16 KiB, 64 KiB, 256 KiB.
    fn default() -> Self {
        DEFAULT
    }
}

/// 16 KiB, 64 KiB, 256 KiB: small enough to find what is the same in a dump that shifted, large
/// enough that the index stays small.
pub const DEFAULT: Params = Params { min: 16 << 10, average: 64 << 10, max: 256 << 10 };
