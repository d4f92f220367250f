//! The content of a file: read ahead if it is small, and announced to the kernel if it is not.

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZero;
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::fs::{Advice, SeekFrom};
use rustix::io::Errno;

/// The largest file whose content is read before it is its turn, in bytes.
const SMALL_BYTES_MAX: u64 = 128 << 10;

/// How far the kernel is told of what will be read of a larger file, in bytes: it has that many
/// on their way from a share at the same time, where its own reading ahead has a tenth of it.
const ANNOUNCED_BYTES: u64 = 8 << 20;

/// A file of this many bytes is worth the question for holes, even if it takes as much room as it
/// has bytes: room that was only reserved is a hole, too.
const QUESTIONED_BYTES: u64 = 16 << 20;

/// Parts of a sparse file that are told one by one. Where there are more, short holes are data.
const EXTENTS_MAX: usize = 1 << 16;
/// The holes that are data first, in bytes.
const SHORT_HOLE_BYTES: u64 = 64 << 10;

/// Parts that are no holes, as (offset, length) in order; `None` if all is data.
type Extents = Option<Vec<(u64, u64)>>;

/// A file's content, of which a part may have been read.
pub(super) struct Content {
    begun: Vec<u8>,
    at: usize,
    rest: Rest,
    /// Bytes, as the kernel said when the file was opened.
    size: u64,
    /// Bytes that were given out.
    position: u64,
    announced: u64,
    /// Whether it may have holes.
    sparse: bool,
    /// Of a file that was read ahead.
    extents: Extents,
}

/// The part that follows after the one that was read.
enum Rest {
    End,
    Open(File),
    Failed(Errno),
}

impl Content {
    /// The content of an open file; `ahead` if it is not its turn yet.
    pub(super) fn of(file: OwnedFd, size: u64, sparse: bool, ahead: bool) -> Self {
        let mut content = Self {
            begun: Vec::new(),
            at: 0,
            rest: Rest::End,
            size,
            position: 0,
            announced: 0,
            sparse: sparse || size >= QUESTIONED_BYTES,
            extents: None,
        };
        let file = File::from(file);
        if !ahead {
            content.rest = Rest::Open(file);
            return content;
        }
        if size > SMALL_BYTES_MAX {
            content.announce(&file);
            content.rest = Rest::Open(file);
            return content;
        }
        if sparse {
            match extents_of(&file) {
                Ok(extents) => content.extents = extents,
                Err(errno) => {
                    content.rest = Rest::Failed(errno);
                    return content;
                }
            }
        }
        content.rest = content.begin(file);
        content
    }

    /// Bytes that it takes in memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.begun.capacity()
    }

    /// The file, if it is open.
    pub(super) fn file(&self) -> Option<&File> {
        match &self.rest {
            Rest::Open(file) => Some(file),
            Rest::End | Rest::Failed(_) => None,
        }
    }

    /// Reads what the file is said to have, and one byte more, which tells whether it grew.
    fn begin(&mut self, file: File) -> Rest {
        let size = usize::try_from(self.size).unwrap_or(0);
        self.begun.reserve_exact(size + 1);
        loop {
            match rustix::io::read(&file, spare_capacity(&mut self.begun)) {
                Ok(0) => return Rest::End,
                // Less than asked for: the end, if it is where it should be.
                Ok(_) if self.begun.len() == size => return Rest::End,
                Ok(_) if self.begun.len() > size => return Rest::Open(file),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Rest::Failed(errno),
            }
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let begun = &self.begun[self.at..];
        if !begun.is_empty() {
            let length = begun.len().min(buffer.len());
            buffer[..length].copy_from_slice(&begun[..length]);
            self.at += length;
            self.position += length as u64;
            return Ok(length);
        }
        let file = match &mut self.rest {
            Rest::End => return Ok(0),
            Rest::Failed(errno) => return Err((*errno).into()),
            Rest::Open(file) => file,
        };
        let length = file.read(buffer)?;
        self.position += length as u64;
        if length < buffer.len() && self.position == self.size {
            self.rest = Rest::End;
        } else if let Rest::Open(file) = std::mem::replace(&mut self.rest, Rest::End) {
            self.announce(&file);
            self.rest = Rest::Open(file);
        }
        Ok(length)
    }

    /// Tells the kernel what will be read next, in good time.
    fn announce(&mut self, file: &File) {
        let due = self.announced < self.size.min(self.position + ANNOUNCED_BYTES / 2);
        if self.size <= SMALL_BYTES_MAX || !due {
            return;
        }
        let from = self.announced.max(self.position);
        // A hint: where the file system does not take it, reading is only slower.
        let _ = rustix::fs::fadvise(file, from, NonZero::new(ANNOUNCED_BYTES), Advice::WillNeed);
        self.announced = from + ANNOUNCED_BYTES;
    }

    /// The parts that are no holes; to be asked before the first read.
    pub(super) fn extents(&mut self) -> io::Result<Extents> {
        match &self.rest {
            Rest::Open(file) if self.begun.is_empty() && self.sparse => Ok(extents_of(file)?),
            _ => Ok(self.extents.take()),
        }
    }

    /// Passes over `length` bytes.
    pub(super) fn skip(&mut self, length: u64) -> io::Result<()> {
        let begun = (self.begun.len() - self.at) as u64;
        let beyond = length.saturating_sub(begun);
        self.at += usize::try_from(length.min(begun)).unwrap_or(0);
        self.position += length;
        match &self.rest {
            Rest::End => {}
            Rest::Failed(errno) if beyond > 0 => return Err((*errno).into()),
            Rest::Failed(_) => {}
            Rest::Open(file) => {
                let beyond = i64::try_from(beyond).map_err(|_| Errno::OVERFLOW)?;
                rustix::fs::seek(file, SeekFrom::Current(beyond))?;
            }
        }
        Ok(())
    }
}

/// The parts of a file that are no holes; leaves it at its beginning.
fn extents_of(file: &File) -> Result<Extents, Errno> {
    let extents = data_extents(file);
    rustix::fs::seek(file, SeekFrom::Start(0))?;
    extents
}

/// The parts of a file that are no holes; `None` if there are none, too many, or the file system
/// cannot tell.
fn data_extents(file: &File) -> Result<Option<Vec<(u64, u64)>>, Errno> {
    let length = u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0);
    let mut extents: Vec<(u64, u64)> = Vec::new();
    let (mut at, mut short) = (0, 0);
    while at < length {
        let begin = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            // Nothing but a hole from here to the end.
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::NOTSUP) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(begin))?.min(length);
        if end <= begin {
            // Cut off meanwhile: zeroes are as right as a hole.
            return Ok(None);
        }
        at = end;
        append(&mut extents, (begin, end - begin), short);
        while extents.len() >= EXTENTS_MAX {
            short = (2 * short).max(SHORT_HOLE_BYTES);
            for extent in std::mem::take(&mut extents) {
                append(&mut extents, extent, short);
            }
        }
    }
    let whole = length == 0 || extents == [(0, length)];
    Ok((!whole).then_some(extents))
}

/// Appends a part, to the one before if the hole between them is shorter than `short`.
fn append(extents: &mut Vec<(u64, u64)>, (begin, length): (u64, u64), short: u64) {
    match extents.last_mut() {
        Some((last, size)) if begin - (*last + *size) < short => *size = begin + length - *last,
        _ => extents.push((begin, length)),
    }
}
