//! A file's content as the reader takes it: holes are passed over, and nearly all of a long hole goes
//! no further than here.
//!
//! Zeroes are cut into chunks of the greatest length, unless the repository's gear takes them for a
//! place to cut. A hole gives two of them, then says how many more there are, and gives the rest:
//! chunks begin and end where they would if every byte was read.

use std::io;
use std::vec;

use outlast_fs::EntrySource;

/// A shorter hole is read: asking costs as much.
const HOLE_BYTES_MIN: u64 = 256 << 10;

/// The next part of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// So many bytes in the buffer; none at the end.
    Bytes(usize),
    /// So many chunks of zeroes of the greatest length.
    Omitted(usize),
}

pub(super) struct Feed<'s> {
    source: &'s mut dyn EntrySource,
    /// Where the source stands.
    position: u64,
    /// As (offset, length), in order.
    holes: vec::IntoIter<(u64, u64)>,
    /// Zeroes to give, chunks to omit after that, and zeroes to give then.
    zeroes: u64,
    omitted: usize,
    after: u64,
    /// The greatest length of a chunk, if chunks of zeroes have it.
    unit: Option<u64>,
}

impl<'s> Feed<'s> {
    /// The content of the source's last entry, a file that is said to have `size` bytes.
    pub(super) fn new(source: &'s mut dyn EntrySource, size: u64, unit: Option<u64>) -> Self {
        // A file whose holes are not told is read like any other.
        let extents = source.extents().unwrap_or_default();
        let holes = extents.map(|extents| holes(&extents, size)).unwrap_or_default().into_iter();
        Self { source, position: 0, holes, zeroes: 0, omitted: 0, after: 0, unit }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Fed> {
        loop {
            if self.zeroes > 0 {
                let length = buffer.len().min(usize::try_from(self.zeroes).unwrap_or(usize::MAX));
                buffer[..length].fill(0);
                self.zeroes -= length as u64;
                return Ok(Fed::Bytes(length));
            }
            if self.omitted > 0 {
                self.zeroes = std::mem::take(&mut self.after);
                return Ok(Fed::Omitted(std::mem::take(&mut self.omitted)));
            }
            let mut wanted = buffer.len();
            if let Some(&(begin, length)) = self.holes.as_slice().first() {
                if self.position == begin {
                    self.source.skip(length)?;
                    self.position += length;
                    self.holes.next();
                    self.pass(length);
                    continue;
                }
                let data = usize::try_from(begin - self.position).unwrap_or(usize::MAX);
                wanted = wanted.min(data);
            }
            let length = self.source.read(&mut buffer[..wanted])?;
            if length == 0 {
                // It was cut off; what was a hole behind that is no more.
                self.holes = Vec::new().into_iter();
            }
            self.position += length as u64;
            return Ok(Fed::Bytes(length));
        }
    }

    /// Gives a hole of this length.
    fn pass(&mut self, length: u64) {
        let chunks = self.unit.map_or(0, |unit| (length / unit).saturating_sub(3));
        let Ok(omitted @ 1..) = usize::try_from(chunks) else {
            self.zeroes = length;
            return;
        };
        let unit = self.unit.unwrap_or_default();
        (self.zeroes, self.omitted) = (2 * unit, omitted);
        self.after = length - 2 * unit - chunks * unit;
    }
}

/// The long holes between the parts of a file that are data.
fn holes(extents: &[(u64, u64)], size: u64) -> Vec<(u64, u64)> {
    let ends = extents.iter().map(|(begin, length)| begin + length);
    let begins = extents.iter().map(|(begin, _)| *begin).chain([size]);
    let holes = std::iter::once(0).chain(ends).zip(begins);
    let long = |(end, begin): (u64, u64)| {
        let length = begin.saturating_sub(end);
        (length >= HOLE_BYTES_MIN).then_some((end, length))
    };
    holes.filter_map(long).collect()
}
