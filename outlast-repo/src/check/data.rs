//! Packs from end to end: name, header and every blob.

use std::mem;
use std::ops::Range;

use outlast_format::pack::{self, BlobType, HEADER_MAX, TRAILER_LENGTH};
use outlast_format::{BlobId, PackId, Sha256};
use outlast_store::{Object, StoreError};
use outlast_types::Monitor;

use super::listed::Listed;
use super::report::{Builder, Defect};
use crate::read::blob::{self, Located, Opener};
use crate::{RepoError, Repository};

/// Bytes that are asked for at once.
const SEGMENT_BYTES: usize = 4 << 20;

/// The longest buffer that is kept from one pack to the next, in bytes: a segment and a usual
/// blob. Only the tree of a huge directory needs more.
const KEPT_BYTES_MAX: usize = 16 << 20;

/// The findings of the readers.
#[derive(Default)]
pub(super) struct Findings {
    lost: Vec<Loss>,
    packs: u64,
    bytes: u64,
}

impl Findings {
    /// Whether nothing was wrong.
    pub(super) fn is_clean(&self) -> bool {
        self.lost.is_empty()
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.lost.extend(other.lost);
        self.packs += other.packs;
        self.bytes += other.bytes;
    }

    pub(super) fn tell(mut self, report: &mut Builder<'_>) {
        report.counts().packs_read += self.packs;
        report.counts().bytes_read += self.bytes;
        // Readers end in any order; a report does not depend on it.
        self.lost.sort_by_key(|loss| loss.pack);
        for Loss { pack, blobs, defect } in self.lost {
            report.lose_blobs(pack, blobs, defect);
        }
    }
}

/// A defect of a pack and the blobs that it takes away.
struct Loss {
    pack: PackId,
    blobs: Vec<(BlobType, BlobId)>,
    defect: Defect,
}

/// Reads packs; one for each worker. It keeps its buffers from pack to pack.
pub(super) struct PackReader<'r> {
    repository: &'r Repository,
    opener: Opener<'r>,
    monitor: &'r dyn Monitor,
    buffer: Vec<u8>,
}

impl<'r> PackReader<'r> {
    pub(super) fn new(
        repository: &'r Repository,
        monitor: &'r dyn Monitor,
    ) -> Result<Self, RepoError> {
        let opener = Opener::new(repository)?;
        Ok(Self { repository, opener, monitor, buffer: Vec::new() })
    }

    /// Verifies one pack. Memory holds two segments, or one blob if that is larger.
    ///
    /// All three proofs are needed: the pack's hash for its name, which stock restic checks, too;
    /// the authentication code of every blob, without which nobody can open it; and the hash of
    /// its plaintext, because the other two hold also for what a faulty writer sealed.
    pub(super) fn read(&mut self, listed: &Listed) -> Findings {
        let pack = listed.pack;
        let mut buffer = mem::take(&mut self.buffer);
        let mut window = Window {
            repository: self.repository,
            monitor: self.monitor,
            object: Object::Data(pack),
            size: listed.size,
            hash: Sha256::new(),
            buffer: &mut buffer,
            unread: 0..0,
            position: 0,
        };
        let mut findings = Findings { packs: 1, ..Findings::default() };
        let result = self.blobs(listed, &mut window, &mut findings).and_then(|()| {
            let header = self.header(listed, &mut window)?;
            window.skip_to(listed.size)?;
            Ok(header)
        });
        findings.bytes = window.position;
        let clean = findings.lost.is_empty();
        let mut lose = |blobs, defect| findings.lost.push(Loss { pack, blobs, defect });
        match result {
            Err(source) => {
                let from = window.position;
                let rest = listed.entries.iter().filter(|entry| u64::from(entry.offset) >= from);
                let rest = rest.map(|entry| (entry.kind, entry.id)).collect();
                lose(rest, Defect::PackUnreadable { pack, source });
            }
            Ok(Some(defect)) => lose(Vec::new(), defect),
            Ok(None) if clean && window.hash.finish() != pack.0 => {
                lose(Vec::new(), Defect::PackName { pack });
            }
            Ok(None) => {}
        }
        if buffer.capacity() <= KEPT_BYTES_MAX {
            self.buffer = buffer;
        }
        findings
    }

    fn blobs(
        &mut self,
        listed: &Listed,
        window: &mut Window<'_>,
        findings: &mut Findings,
    ) -> Result<(), StoreError> {
        let mut lost = Vec::new();
        let mut first = None;
        for &entry in &listed.entries {
            let located = Located { pack: listed.pack, entry };
            // Beyond the end, or overlapping the one before: the size or layout is reported.
            if located.start() < window.position || located.end() > listed.size {
                continue;
            }
            window.skip_to(located.start())?;
            let verified = match blob::accept(&located) {
                Ok(()) => {
                    let sealed = window.take(entry.length as usize)?;
                    self.opener.open_within(&located, sealed).map(drop)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = verified {
                lost.push((entry.kind, entry.id));
                first.get_or_insert(error);
            }
        }
        if let Some(first) = first {
            let (pack, damaged, total) = (listed.pack, lost.len(), listed.entries.len());
            let defect = Defect::PackBlobs { pack, damaged, total, first };
            findings.lost.push(Loss { pack, blobs: lost, defect });
        }
        Ok(())
    }

    /// Compares the header, which begins where the last blob ends, with the index.
    fn header(
        &self,
        listed: &Listed,
        window: &mut Window<'_>,
    ) -> Result<Option<Defect>, StoreError> {
        let pack = listed.pack;
        let data_length =
            listed.entries.last().map_or(0, |entry| Located { pack, entry: *entry }.end());
        let length = listed.size.saturating_sub(data_length);
        let longest = u64::from(HEADER_MAX) + TRAILER_LENGTH as u64;
        let length = usize::try_from(length.min(longest + 1)).unwrap_or(usize::MAX);
        if window.position != data_length || length as u64 > longest {
            // The size or the layout is wrong, which is reported already.
            return Ok(None);
        }
        let bytes = window.take(length)?;
        let header = pack::read_tail(bytes, listed.size, self.repository.key());
        Ok(match header {
            Err(source) => Some(Defect::PackHeader { pack, source }),
            Ok(entries) if entries != listed.entries => Some(Defect::PackHeaderDiffers { pack }),
            Ok(_) => None,
        })
    }
}

/// A pack's bytes in order, hashed on the way.
struct Window<'a> {
    repository: &'a Repository,
    monitor: &'a dyn Monitor,
    object: Object,
    size: u64,
    hash: Sha256,
    buffer: &'a mut Vec<u8>,
    /// The bytes that were read and not yet taken, in `buffer`.
    unread: Range<usize>,
    /// Where that begins in the pack.
    position: u64,
}

impl Window<'_> {
    /// Reads on, until at least `length` bytes are there, which the caller knows the pack to have.
    fn fill(&mut self, length: usize) -> Result<(), StoreError> {
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        let from = self.position + self.unread.len() as u64;
        let rest = usize::try_from(self.size - from).unwrap_or(usize::MAX);
        let end = self.unread.end + (length - self.unread.end).max(SEGMENT_BYTES).min(rest);
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        let segment = &mut self.buffer[self.unread.end..end];
        self.repository.store().read_range_into(&self.object, from, segment)?;
        self.hash.update(segment);
        self.monitor.advance(segment.len() as u64);
        self.unread.end = end;
        Ok(())
    }

    /// The next `length` bytes, which the caller knows to be there and may change.
    fn take(&mut self, length: usize) -> Result<&mut [u8], StoreError> {
        if self.unread.len() < length {
            self.fill(length)?;
        }
        let end = self.unread.end.min(self.unread.start + length);
        let taken = &mut self.buffer[self.unread.start..end];
        self.unread.start = end;
        self.position += taken.len() as u64;
        Ok(taken)
    }

    /// Leaves out what lies before `offset`, but hashes it.
    fn skip_to(&mut self, offset: u64) -> Result<(), StoreError> {
        while self.position < offset.min(self.size) {
            let step = (offset.min(self.size) - self.position).min(SEGMENT_BYTES as u64);
            self.take(usize::try_from(step).unwrap_or(SEGMENT_BYTES))?;
        }
        Ok(())
    }
}
