//! The limits of one drop by policy, judged before a byte of its content is read.

use super::SealedDrop;
use super::error::{DropReadError, segment_error};
use crate::layout::SEAL_FILE;
use crate::rejection::Rejection;

/// Segments whose holes are asked for one by one; what is beyond is taken for data.
const ASKED_MAX: usize = 10_000;

/// How much policy takes of one drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DropLimits {
    /// The most bytes of content.
    pub bytes_max: u64,
    /// The most bytes of content for one byte that the share holds: beyond it, a drop is next to
    /// nothing but holes, or unpacks absurdly, and reading it would cost its writer nothing and its
    /// reader hours. 0 takes any.
    pub ratio_max: u64,
    /// The ratio says something of drops with more content than this. A small one costs nobody
    /// anything.
    pub ratio_from: u64,
}

impl Default for DropLimits {
    /// As much as is read in a day at 100 MiB a second. The ratio is far above what dumps compress
    /// to (100), and above a new disk image with nothing but its tables in it (2000).
    fn default() -> Self {
        Self { bytes_max: 8 << 40, ratio_max: 10_000, ratio_from: 16 << 30 }
    }
}

impl DropLimits {
    pub(crate) fn is_absurd(&self, content: u64, held: u64) -> bool {
        self.ratio_max > 0 && content > self.ratio_from && content / held.max(1) > self.ratio_max
    }
}

impl SealedDrop {
    /// Checks that the drop is within `limits`. None of its content is read.
    pub fn check(&self, limits: &DropLimits) -> Result<(), DropReadError> {
        let (bytes, sealed) = (self.seal.raw_bytes(), self.seal.stored_bytes());
        if bytes > limits.bytes_max {
            return Err(Rejection::TooLarge { bytes, max: limits.bytes_max }.into());
        }
        let max = limits.ratio_max;
        if limits.is_absurd(bytes, sealed) {
            return Err(Rejection::AbsurdRatio { sealed, bytes, max }.into());
        }
        if !limits.is_absurd(bytes, self.allocated) {
            return Ok(());
        }
        let held = self.bytes_held()?;
        if limits.is_absurd(bytes, held) {
            return Err(Rejection::MostlyHoles { sealed, held, max }.into());
        }
        Ok(())
    }

    /// The bytes of all segments that the share really holds, as far as the file system says so.
    fn bytes_held(&self) -> Result<u64, DropReadError> {
        // A file system that has allocated nothing for the seal, whose bytes we have just read, does
        // not speak of blocks at all.
        let seal = self.directory.facts(SEAL_FILE.as_bytes());
        let counts_blocks = seal.is_ok_and(|facts| facts.allocated > 0);
        let mut held = 0_u64;
        for (index, segment) in self.seal.segments.iter().enumerate() {
            let told = if counts_blocks && index < ASKED_MAX {
                let asked = self.directory.bytes_held(segment.name.as_bytes());
                asked.map_err(|error| segment_error(&self.directory, &segment.name, &error))?
            } else {
                None
            };
            held = held.saturating_add(told.unwrap_or(segment.size));
        }
        Ok(held)
    }
}
