//! Packs from end to end: name, header and every blob.

use bytes::Bytes;
use outlast_format::pack::{self, BlobType, HEADER_MAX, PackEntry, TRAILER_LENGTH};
use outlast_format::{BlobId, FormatError, PackId, Sha256};
use outlast_store::StoreError;
use outlast_types::Monitor;

use super::packs::Listed;
use super::report::{Builder, Defect};
use crate::read::blob::{self, Located, Opener, pack_object};
use crate::{RepoError, Repository};

/// Bytes that are asked for at once.
const SEGMENT_BYTES: u64 = 4 << 20;

/// What the readers found.
#[derive(Default)]
pub(super) struct Findings {
    lost: Vec<Loss>,
    bytes: u64,
}

impl Findings {
    pub(super) fn merge(&mut self, other: Self) {
        self.lost.extend(other.lost);
        self.bytes += other.bytes;
    }

    pub(super) fn tell(self, report: &mut Builder<'_>) {
        report.counts().bytes_read += self.bytes;
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

/// Reads packs; one for each worker.
pub(super) struct PackReader<'r> {
    repository: &'r Repository,
    opener: Opener<'r>,
    monitor: &'r dyn Monitor,
}

impl<'r> PackReader<'r> {
    pub(super) fn new(
        repository: &'r Repository,
        monitor: &'r dyn Monitor,
    ) -> Result<Self, RepoError> {
        Ok(Self { repository, opener: Opener::new(repository)?, monitor })
    }

    /// Verifies one pack. Memory holds two segments, or one blob if that is larger.
    pub(super) fn read(&mut self, listed: &Listed) -> Findings {
        let pack = listed.pack;
        let mut stream = Stream {
            repository: self.repository,
            monitor: self.monitor,
            pack,
            size: listed.size,
            hash: Sha256::new(),
            buffer: Bytes::new(),
            position: 0,
        };
        let mut findings = Findings::default();
        let result = self.blobs(listed, &mut stream, &mut findings).and_then(|()| {
            let header = self.header(listed, &mut stream)?;
            stream.skip_to(listed.size)?;
            Ok(header)
        });
        findings.bytes = stream.position;
        let clean = findings.lost.is_empty();
        let mut lose = |blobs, defect| findings.lost.push(Loss { pack, blobs, defect });
        match result {
            Err(source) => {
                let from = stream.position;
                let rest = listed.entries.iter().filter(|entry| u64::from(entry.offset) >= from);
                let rest = rest.map(|entry| (entry.kind, entry.id)).collect();
                lose(rest, Defect::PackUnreadable { pack, source });
            }
            Ok(Some(defect)) => lose(Vec::new(), defect),
            Ok(None) if clean && stream.hash.finish() != pack.0 => {
                lose(Vec::new(), Defect::PackName { pack });
            }
            Ok(None) => {}
        }
        findings
    }

    fn blobs(
        &mut self,
        listed: &Listed,
        stream: &mut Stream<'_>,
        findings: &mut Findings,
    ) -> Result<(), StoreError> {
        let mut lost = Vec::new();
        let mut first = None;
        for &entry in &listed.entries {
            let located = Located { pack: listed.pack, entry };
            // Beyond the end, or overlapping the one before: the size or layout is reported.
            if located.start() < stream.position || located.end() > listed.size {
                continue;
            }
            stream.skip_to(located.start())?;
            let opened = match blob::accept(&located) {
                Ok(()) => self.opener.open(&located, &stream.take(entry.length.into())?),
                Err(error) => Err(error),
            };
            if let Err(error) = opened {
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
        stream: &mut Stream<'_>,
    ) -> Result<Option<Defect>, StoreError> {
        let pack = listed.pack;
        let data_length =
            listed.entries.last().map_or(0, |entry| Located { pack, entry: *entry }.end());
        let length = listed.size.saturating_sub(data_length);
        if stream.position != data_length || length > u64::from(HEADER_MAX) + TRAILER_LENGTH as u64
        {
            // The size or the layout is wrong, which is reported already.
            return Ok(None);
        }
        let bytes = stream.take(length)?;
        Ok(match self.decode_header(&bytes, data_length, listed.size) {
            Err(source) => Some(Defect::PackHeader { pack, source }),
            Ok(entries) if entries != listed.entries => Some(Defect::PackHeaderDiffers { pack }),
            Ok(_) => None,
        })
    }

    fn decode_header(
        &self,
        bytes: &[u8],
        data_length: u64,
        pack_size: u64,
    ) -> Result<Vec<PackEntry>, FormatError> {
        let minimum = TRAILER_LENGTH;
        let (sealed, trailer) = bytes
            .split_last_chunk::<TRAILER_LENGTH>()
            .ok_or(FormatError::TooShort { object: "pack header", length: bytes.len(), minimum })?;
        let length = pack::header_length(*trailer, pack_size)?;
        if length as usize != sealed.len() {
            let reason = "its length does not fit the blobs before it";
            return Err(FormatError::Invalid { object: "pack header", reason });
        }
        pack::decode_header(&self.repository.key().open(sealed)?, data_length)
    }
}

/// A pack's bytes in order, hashed on the way.
struct Stream<'a> {
    repository: &'a Repository,
    monitor: &'a dyn Monitor,
    pack: PackId,
    size: u64,
    hash: Sha256,
    /// What was read and not yet taken.
    buffer: Bytes,
    /// Where `buffer` begins.
    position: u64,
}

impl Stream<'_> {
    fn next_segment(&mut self, from: u64, at_least: u64) -> Result<Bytes, StoreError> {
        let length = at_least.max(SEGMENT_BYTES).min(self.size - from);
        // Bounded by the largest blob that is accepted, so it fits.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let object = pack_object(self.pack);
        let bytes = self.repository.store().read_range(&object, from, length)?;
        self.hash.update(&bytes);
        self.monitor.advance(bytes.len() as u64);
        Ok(bytes)
    }

    /// The next `length` bytes, which the caller knows to be there.
    fn take(&mut self, length: u64) -> Result<Bytes, StoreError> {
        let missing = length.saturating_sub(self.buffer.len() as u64);
        if missing > 0 {
            let from = self.position + self.buffer.len() as u64;
            let segment = self.next_segment(from, missing)?;
            self.buffer = if self.buffer.is_empty() {
                segment
            } else {
                [&self.buffer[..], &segment[..]].concat().into()
            };
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(self.buffer.len());
        self.position += length as u64;
        Ok(self.buffer.split_to(length))
    }

    /// Leaves out what lies before `offset`, but hashes it.
    fn skip_to(&mut self, offset: u64) -> Result<(), StoreError> {
        while self.position < offset.min(self.size) {
            let step = (offset - self.position).min(SEGMENT_BYTES);
            self.take(step)?;
        }
        Ok(())
    }
}
