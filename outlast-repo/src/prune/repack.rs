//! Copying used blobs out of packs that are mostly unused, as they are stored: compressed and
//! sealed. Each is opened and hashed on the way, so that damage is found and not carried on.

use std::collections::HashSet;

use bytes::Bytes;
use outlast_format::pack::{BlobType, PackEntry};
use outlast_format::{BlobId, PackId};
use outlast_store::{Object, create_or_find};
use outlast_types::{Monitor, Random};

use super::usage::Usage;
use crate::error::Flaw;
use crate::index::UnsavedPack;
use crate::packer::{OpenPack, SealedBlob};
use crate::proof::neighbours;
use crate::read::BlobError;
use crate::read::blob::{self, Located, Opener};
use crate::{RepoError, Repository};

/// Packs are full at as many bytes as those of a backup.
const DATA_PACK_BYTES: usize = 16 << 20;
const TREE_PACK_BYTES: usize = 4 << 20;

/// Copies blobs into new packs. Memory holds one pack of each type, one range of an old pack and
/// the entries of the packs that are copied.
pub(super) struct Repacker<'a> {
    repository: &'a Repository,
    random: &'a dyn Random,
    monitor: &'a dyn Monitor,
    opener: Opener<'a>,
    data: OpenPack,
    trees: OpenPack,
    /// Blobs that were copied: a pack may list one twice.
    copied: HashSet<(BlobType, BlobId)>,
    finished: Vec<UnsavedPack>,
}

impl<'a> Repacker<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        random: &'a dyn Random,
        monitor: &'a dyn Monitor,
    ) -> Result<Self, RepoError> {
        Ok(Self {
            repository,
            random,
            monitor,
            opener: Opener::new(repository)?,
            data: OpenPack::new(DATA_PACK_BYTES),
            trees: OpenPack::new(TREE_PACK_BYTES),
            copied: HashSet::new(),
            finished: Vec::new(),
        })
    }

    /// Copies what is needed of `packs`; the new packs are durable when it returns, but no index
    /// file lists them.
    pub(super) fn copy(
        mut self,
        usage: &Usage<'_>,
        packs: &HashSet<PackId>,
        keep_going: &dyn Fn() -> Result<(), RepoError>,
    ) -> Result<Vec<UnsavedPack>, RepoError> {
        let mut needed: Vec<Located> = Vec::new();
        // Several files may list one pack, and not agree. A blob is copied once all the same.
        usage.inventory().each_file(|_, file| {
            for (pack, entries) in file.packs {
                if packs.contains(&pack) {
                    for entry in entries {
                        if usage.is_needed_here(pack, &entry)? {
                            needed.push(Located { pack, entry });
                        }
                    }
                }
            }
            keep_going()
        })?;
        needed.sort_by_key(|located| (located.pack, located.start()));
        let mut rest = &needed[..];
        while !rest.is_empty() {
            let (range, after) = rest.split_at(neighbours(rest));
            self.copy_range(usage, range)?;
            keep_going()?;
            rest = after;
        }
        for open in [&mut self.data, &mut self.trees] {
            let full = std::mem::replace(open, OpenPack::new(0));
            if !full.is_empty() {
                let pack = store(self.repository, full, self.random)?;
                self.finished.push(pack);
            }
        }
        Ok(self.finished)
    }

    /// Copies neighbours in one pack with one read.
    fn copy_range(&mut self, usage: &Usage<'_>, range: &[Located]) -> Result<(), RepoError> {
        let Some(Located { pack, .. }) = range.first().copied() else { return Ok(()) };
        for located in range {
            blob::accept(located).map_err(|error| self.damaged(error))?;
        }
        let start = range.iter().map(Located::start).min().unwrap_or(0);
        let end = range.iter().map(Located::end).max().unwrap_or(0);
        // One blob, or READ_BYTES_MAX.
        let length = usize::try_from(end - start).unwrap_or(usize::MAX);
        let bytes = self.repository.store().read_range(&Object::Data(pack), start, length)?;
        self.monitor.advance(length as u64);
        for located in range {
            let from = usize::try_from(located.start() - start).unwrap_or(usize::MAX);
            let sealed = bytes.get(from..from.saturating_add(located.entry.length as usize));
            self.copy_blob(usage, located, sealed.unwrap_or_default())?;
        }
        Ok(())
    }

    fn copy_blob(
        &mut self,
        usage: &Usage<'_>,
        located: &Located,
        sealed: &[u8],
    ) -> Result<(), RepoError> {
        let PackEntry { kind, id, .. } = located.entry;
        if self.copied.contains(&(kind, id)) {
            return Ok(());
        }
        let opened = self.opener.open_within(located, &mut sealed.to_vec()).map(drop);
        match opened {
            Ok(()) => self.add(located.entry, sealed),
            // The index gives a copy that is damaged. Another one may be sound.
            Err(error) => match self.another_copy(usage, located)? {
                Some((entry, sealed)) => self.add(entry, &sealed),
                None => Err(self.damaged(error)),
            },
        }
    }

    /// A sound copy of a blob in another pack, as it is stored there.
    fn another_copy(
        &mut self,
        usage: &Usage<'_>,
        located: &Located,
    ) -> Result<Option<(PackEntry, Bytes)>, RepoError> {
        for place in usage.places(&located.entry)? {
            let other = Located { pack: place.pack, entry: place.entry(located.entry.id) };
            if other.pack == located.pack || blob::accept(&other).is_err() {
                continue;
            }
            let (start, length) = (other.start(), other.entry.length as usize);
            let read = self.repository.store().read_range(&Object::Data(other.pack), start, length);
            let Ok(sealed) = read else { continue };
            if self.opener.open_within(&other, &mut sealed.to_vec()).is_ok() {
                return Ok(Some((other.entry, sealed)));
            }
        }
        Ok(None)
    }

    /// Adds a blob that was opened to the pack that is being filled.
    fn add(&mut self, entry: PackEntry, sealed: &[u8]) -> Result<(), RepoError> {
        let PackEntry { kind, id, uncompressed_length, .. } = entry;
        self.copied.insert((kind, id));
        let (open, target) = match kind {
            BlobType::Data => (&mut self.data, DATA_PACK_BYTES),
            BlobType::Tree => (&mut self.trees, TREE_PACK_BYTES),
        };
        open.add(&SealedBlob { kind, id, bytes: sealed, uncompressed_length });
        if open.is_full() {
            let full = std::mem::replace(open, OpenPack::new(target));
            let pack = store(self.repository, full, self.random)?;
            self.finished.push(pack);
        }
        Ok(())
    }

    fn damaged(&self, error: BlobError) -> RepoError {
        RepoError::not_whole(self.repository.location(), Flaw::Blob(error))
    }
}

fn store(
    repository: &Repository,
    open: OpenPack,
    random: &dyn Random,
) -> Result<UnsavedPack, RepoError> {
    let (pack, bytes) = open.finish(repository.key(), random);
    create_or_find(repository.store(), &Object::Data(pack.id), bytes)?;
    Ok(pack)
}
