//! Many blobs with few requests: neighbours in a pack come in one range.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use outlast_format::pack::BlobType;
use outlast_format::{BlobId, PackId};
use outlast_store::{Object, StoreError};

use super::blob::{self, Located, Opener};
use super::copies::Copies;
use super::nodes::Document;
use crate::read_error::{BlobError, ReadError};
use crate::{RepoError, Repository};

/// The most that one request asks for, unless one blob alone is larger.
pub(crate) const BATCH_BYTES_MAX: u64 = 4 << 20;

/// Bytes between two wanted blobs that are read and dropped rather than asking once more: what a
/// line of 100 Mbit/s carries in a round trip of 10 ms.
const GAP_BYTES_MAX: u64 = 128 << 10;

/// A blob that is wanted, and what for.
#[derive(Debug)]
pub(crate) struct Wanted<T> {
    pub(crate) located: Located,
    pub(crate) purpose: T,
}

/// One range of one pack and the blobs wanted from it, by their offset.
#[derive(Debug)]
pub(crate) struct Batch<T> {
    pack: PackId,
    start: u64,
    end: u64,
    wanted: Vec<Wanted<T>>,
}

/// Groups what is `wanted` into as few ranges as the limits allow, by pack and offset.
pub(crate) fn plan<T>(mut wanted: Vec<Wanted<T>>) -> Vec<Batch<T>> {
    wanted.sort_by_key(|wanted| (wanted.located.pack, wanted.located.start()));
    let mut batches: Vec<Batch<T>> = Vec::new();
    for blob in wanted {
        let (pack, start, end) = (blob.located.pack, blob.located.start(), blob.located.end());
        match batches.last_mut() {
            Some(batch)
                if batch.pack == pack
                    && start <= batch.end + GAP_BYTES_MAX
                    && end.max(batch.end) - batch.start <= BATCH_BYTES_MAX =>
            {
                batch.end = batch.end.max(end);
                batch.wanted.push(blob);
            }
            _ => batches.push(Batch { pack, start, end, wanted: vec![blob] }),
        }
    }
    batches
}

/// Fetches batches; one for each worker thread.
pub(crate) struct Fetcher<'r> {
    copies: Arc<Copies<'r>>,
    opener: Opener<'r>,
}

impl<'r> Fetcher<'r> {
    pub(crate) fn new(copies: &Arc<Copies<'r>>) -> Result<Self, ReadError> {
        let opener = Opener::new(copies.repository())?;
        Ok(Self { copies: Arc::clone(copies), opener })
    }

    /// Delivers every blob of `batch`, or why it cannot be had. Blobs come one after the other, so
    /// that memory holds the batch's stored bytes and one plaintext, which is valid during the
    /// call.
    pub(crate) fn fetch<T>(
        &mut self,
        batch: Batch<T>,
        mut deliver: impl FnMut(Wanted<T>, Result<&[u8], BlobError>),
    ) {
        match self.range(batch.pack, batch.start, batch.end) {
            Ok(bytes) => self.open_all(batch, bytes, deliver),
            // A pack that is cut off still has its first blobs: ask for each by itself.
            Err(error) if batch.wanted.len() > 1 && may_be_partial(&error) => {
                for wanted in batch.wanted {
                    let opened = self.single(&wanted.located);
                    deliver(wanted, opened.as_deref().map_err(Clone::clone));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for wanted in batch.wanted {
                    let failure = unreadable(&wanted.located, Arc::clone(&error));
                    let copied = self.another_copy(&wanted.located, failure);
                    deliver(wanted, copied.as_deref().map_err(Clone::clone));
                }
            }
        }
    }

    /// Delivers the blobs of a range that was read, each decrypted where it lies.
    fn open_all<T>(
        &mut self,
        batch: Batch<T>,
        bytes: Bytes,
        mut deliver: impl FnMut(Wanted<T>, Result<&[u8], BlobError>),
    ) {
        // Only stores that keep their objects in memory hold on to what they gave.
        let mut bytes = bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        let mut opened_until = batch.start;
        for wanted in batch.wanted {
            let located = wanted.located;
            let from = usize::try_from(located.start() - batch.start).unwrap_or(0);
            let overlaps = located.start() < opened_until;
            opened_until = opened_until.max(located.end());
            let sealed = bytes.get_mut(from..from + located.entry.length as usize);
            let failure = match self.opener.open_within(&located, sealed.unwrap_or_default()) {
                Ok(plaintext) => {
                    deliver(wanted, Ok(plaintext));
                    continue;
                }
                Err(error) => error,
            };
            // An index that lies may name a place twice; the first look at it has decrypted it.
            let copied =
                if overlaps { self.single(&located) } else { self.another_copy(&located, failure) };
            deliver(wanted, copied.as_deref().map_err(Clone::clone));
        }
    }

    /// One blob by itself.
    pub(crate) fn single(&mut self, located: &Located) -> Result<Vec<u8>, BlobError> {
        self.at(located).or_else(|error| self.another_copy(located, error))
    }

    /// The tree at `located`; `sealed` is what the store has there, if that is known.
    pub(crate) fn document(
        &mut self,
        located: &Located,
        sealed: Option<Bytes>,
    ) -> Result<Document, BlobError> {
        let sealed = sealed.map_or_else(|| self.sealed(located), Ok);
        let opened = sealed.and_then(|sealed| self.opener.document(located, sealed));
        opened.or_else(|error| Ok(Document::Plain(self.another_copy(located, error)?.into())))
    }

    /// Another copy of a blob that cannot be had because of `error`.
    fn another_copy(&mut self, located: &Located, error: BlobError) -> Result<Vec<u8>, BlobError> {
        let (kind, id) = (located.entry.kind, located.entry.id);
        let further = self.copies.of(kind, id);
        if let Some(content) = self.first_sound(&further) {
            return Ok(content);
        }
        if !is_gone(&error) {
            return Err(error);
        }
        let moved = self.copies.moved(kind, id);
        self.first_sound(&moved).ok_or(error)
    }

    fn first_sound(&mut self, places: &[Located]) -> Option<Vec<u8>> {
        let mut sane = places.iter().filter(|place| blob::accept(place).is_ok());
        sane.find_map(|place| self.at(place).ok())
    }

    fn at(&mut self, located: &Located) -> Result<Vec<u8>, BlobError> {
        let sealed = self.sealed(located)?;
        self.opener.open(located, &sealed)
    }

    fn sealed(&self, located: &Located) -> Result<Bytes, BlobError> {
        self.range(located.pack, located.start(), located.end())
            .map_err(|error| unreadable(located, Arc::new(error)))
    }

    fn range(&self, pack: PackId, start: u64, end: u64) -> Result<Bytes, StoreError> {
        // Blobs are far below 4 GiB and batches are bounded, so the length fits.
        let length = usize::try_from(end - start).unwrap_or(usize::MAX);
        self.copies.repository().store().read_range(&Object::Data(pack), start, length)
    }
}

/// Whether the failure is that the pack is not there.
fn is_gone(error: &BlobError) -> bool {
    let BlobError::Unreadable { source, .. } = error else { return false };
    matches!(**source, StoreError::NotFound { .. })
}

fn unreadable(located: &Located, source: Arc<StoreError>) -> BlobError {
    BlobError::Unreadable { blob: located.entry.id, pack: located.pack, source }
}

/// Whether other parts of the object may still be readable: an end that is missing, a bad sector.
fn may_be_partial(error: &StoreError) -> bool {
    matches!(error, StoreError::Io { .. })
}

/// One blob, verified.
pub fn load_blob(
    repository: &Repository,
    kind: BlobType,
    blob: BlobId,
) -> Result<Vec<u8>, RepoError> {
    let located = blob::locate(repository.index()?, blob, kind).map_err(ReadError::from)?;
    let copies = Copies::new(repository)?;
    Ok(Fetcher::new(&copies)?.single(&located).map_err(ReadError::from)?)
}

#[cfg(test)]
mod tests {
    use outlast_format::pack::PackEntry;
    use proptest::prelude::*;

    use super::*;
    use outlast_format::Sha256Id;

    fn wanted(pack: u8, offset: u32, length: u32, purpose: usize) -> Wanted<usize> {
        let entry = PackEntry {
            kind: BlobType::Data,
            id: BlobId::of(&offset.to_le_bytes()),
            offset,
            length,
            uncompressed_length: None,
        };
        Wanted { located: Located { pack: PackId([pack; 32]), entry }, purpose }
    }

    proptest! {
        #[test]
        fn every_blob_is_in_one_bounded_range_that_covers_it(
            blobs in prop::collection::vec((0..3_u8, 0..40_000_000_u32, 1..9_000_000_u32), 0..80)
        ) {
            let batches = plan(
                blobs.iter().enumerate().map(|(n, &(p, o, l))| wanted(p, o, l, n)).collect(),
            );
            let mut seen = vec![0; blobs.len()];
            for batch in &batches {
                prop_assert!(batch.end - batch.start <= BATCH_BYTES_MAX || batch.wanted.len() == 1);
                for blob in &batch.wanted {
                    seen[blob.purpose] += 1;
                    prop_assert_eq!(blob.located.pack, batch.pack);
                    prop_assert!(blob.located.start() >= batch.start);
                    prop_assert!(blob.located.end() <= batch.end);
                }
            }
            prop_assert!(seen.iter().all(|&times| times == 1));
        }
    }

    #[test]
    fn neighbours_come_in_one_request_and_distant_blobs_do_not() {
        let near = plan(vec![wanted(1, 1000, 500, 0), wanted(1, 0, 1000, 1)]);
        assert_eq!(near.len(), 1);
        assert_eq!((near[0].start, near[0].end), (0, 1500));
        assert_eq!(plan(vec![wanted(1, 0, 100, 0), wanted(1, 1_000_000, 100, 1)]).len(), 2);
        assert_eq!(plan(vec![wanted(1, 0, 100, 0), wanted(2, 100, 100, 1)]).len(), 2);
    }
}
