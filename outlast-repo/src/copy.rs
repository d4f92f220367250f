//! Copying: one tree, with all that it needs, into another repository.
//!
//! Blobs keep their ids, so the tree is the same there: whoever knows its id by somebody's word can
//! prove all of it without believing who copied. Each blob is decrypted and hashed on the way, and
//! encrypted again under the other repository's key; what was compressed stays so.
//!
//! A copy that was broken off goes on: what an index of the other repository lists is not fetched
//! again. Memory holds a window of what is wanted, one range of a pack, and two packs in the making.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use outlast_format::BlobId;
use outlast_format::pack::BlobType;
use outlast_store::{Object, StoreError, create_or_find};
use outlast_types::{Monitor, Random};

use crate::packer::{OpenPack, SealedBlob};
use crate::proof::neighbours;
use crate::read::blob::{self, Located, Opener};
use crate::read::copies::Copies;
use crate::read::fetch::Fetcher;
use crate::read::{BlobError, TreeError, TreeWalk, WalkError};
use crate::{Hindrance, RepoError, Repository};

/// Packs are full at as many bytes as those of a backup.
const DATA_PACK_BYTES: usize = 16 << 20;
const TREE_PACK_BYTES: usize = 4 << 20;
/// How many blobs are gathered, so that those which lie side by side come in one request.
const WINDOW_BLOBS: usize = 16 << 10;
/// After so much an index is written: what is in none is fetched again after a crash.
const SAVED_AFTER_BYTES: u64 = 256 << 20;
const SAVED_AFTER_BLOBS: usize = 25_000;

/// The outcome of a copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Whether all is there now. If not, it was broken off, and the next one goes on.
    pub is_whole: bool,
    /// Blobs that were copied.
    pub blobs: u64,
    /// Bytes of the packs that were written.
    pub stored: u64,
}

/// Copies what is below `tree`, and `tree` itself. `go_on` hears after each request how many bytes
/// were fetched; it may take its time, and breaks the copy off by saying no. The monitor hears of
/// bytes of content, also of what was there already.
pub fn copy(
    source: &Repository,
    tree: BlobId,
    target: &Repository,
    go_on: &mut dyn FnMut(u64) -> bool,
    random: &dyn Random,
    monitor: &dyn Monitor,
) -> Result<Copied, RepoError> {
    let mut copying = Copying::new(source, target, go_on, random, monitor)?;
    let walked = copying.tree(tree);
    // What was fetched is not fetched again, whatever broke it off.
    let closed = copying.close();
    let is_whole = walked?;
    closed?;
    Ok(Copied { is_whole, ..copying.copied })
}

type Key = (BlobType, BlobId);

struct Copying<'a> {
    source: &'a Repository,
    target: &'a Repository,
    go_on: &'a mut dyn FnMut(u64) -> bool,
    random: &'a dyn Random,
    monitor: &'a dyn Monitor,
    opener: Opener<'a>,
    /// For blobs that are not where the index says.
    alone: Fetcher<'a>,
    wanted: HashMap<Key, Located>,
    data: OpenPack,
    trees: OpenPack,
    /// Blobs in the packs that are being filled, which no index knows.
    filling: HashSet<Key>,
    /// What no index file lists yet.
    unsaved: (u64, usize),
    copied: Copied,
}

impl<'a> Copying<'a> {
    fn new(
        source: &'a Repository,
        target: &'a Repository,
        go_on: &'a mut dyn FnMut(u64) -> bool,
        random: &'a dyn Random,
        monitor: &'a dyn Monitor,
    ) -> Result<Self, RepoError> {
        let copies: Arc<Copies<'a>> = Copies::new(source)?;
        Ok(Self {
            source,
            target,
            go_on,
            random,
            monitor,
            opener: Opener::new(source)?,
            alone: Fetcher::new(&copies)?,
            wanted: HashMap::new(),
            data: OpenPack::new(DATA_PACK_BYTES),
            trees: OpenPack::new(TREE_PACK_BYTES),
            filling: HashSet::new(),
            unsaved: (0, 0),
            copied: Copied::default(),
        })
    }

    /// Whether it came to its end.
    fn tree(&mut self, tree: BlobId) -> Result<bool, RepoError> {
        self.want(BlobType::Tree, tree)?;
        for step in TreeWalk::new(self.source, tree)? {
            let found = step.map_err(|error| self.not_copied(&error, of_walk(&error)))?;
            if let Some(subtree) = found.node.subtree {
                self.want(BlobType::Tree, subtree)?;
            }
            for blob in found.node.content.unwrap_or_default() {
                self.want(BlobType::Data, blob)?;
                if self.wanted.len() >= WINDOW_BLOBS && !self.fetch()? {
                    return Ok(false);
                }
            }
        }
        self.fetch()
    }

    /// Notes that a blob is wanted, unless it is there.
    fn want(&mut self, kind: BlobType, id: BlobId) -> Result<(), RepoError> {
        let located =
            blob::locate(self.source.index()?, id, kind).map_err(|error| self.lacking(&error))?;
        let key = (kind, id);
        let is_known = self.wanted.contains_key(&key)
            || self.filling.contains(&key)
            || self.target.index()?.has(kind, &id)?;
        if is_known {
            self.count(&located);
        } else {
            self.wanted.insert(key, located);
        }
        Ok(())
    }

    /// Counts content; trees are none.
    fn count(&self, located: &Located) {
        if located.entry.kind == BlobType::Data {
            self.monitor.advance(located.entry.plaintext_length().into());
        }
    }

    /// Fetches what is wanted; whether it is to go on.
    fn fetch(&mut self) -> Result<bool, RepoError> {
        let mut wanted: Vec<Located> = std::mem::take(&mut self.wanted).into_values().collect();
        wanted.sort_by_key(|located| (located.pack, located.start()));
        let mut rest = &wanted[..];
        while !rest.is_empty() {
            let (range, after) = rest.split_at(neighbours(rest));
            let bytes = self.fetch_range(range)?;
            if !(self.go_on)(bytes) {
                return Ok(false);
            }
            rest = after;
        }
        Ok(true)
    }

    /// Copies neighbours in one pack with one read; how many bytes that was.
    fn fetch_range(&mut self, range: &[Located]) -> Result<u64, RepoError> {
        let Some(first) = range.first() else { return Ok(0) };
        let (pack, start) = (first.pack, first.start());
        let end = range.iter().map(Located::end).max().unwrap_or(start);
        // One blob, or a few MiB.
        let length = usize::try_from(end - start).unwrap_or(usize::MAX);
        let bytes = match self.source.store().read_range(&Object::Data(pack), start, length) {
            Ok(bytes) => bytes,
            // A prune may have moved them, and a pack that is cut off has its first blobs.
            Err(StoreError::NotFound { .. }) => {
                range.iter().try_for_each(|located| self.copy_from_elsewhere(located))?;
                return Ok(end - start);
            }
            Err(error) if error.is_passing() || is_refused(&error) => return Err(error.into()),
            Err(_) => {
                range.iter().try_for_each(|located| self.copy_from_elsewhere(located))?;
                return Ok(end - start);
            }
        };
        for located in range {
            let from = usize::try_from(located.start() - start).unwrap_or(usize::MAX);
            let sealed = bytes.get(from..from.saturating_add(located.entry.length as usize));
            self.copy_blob(located, sealed.unwrap_or_default())?;
        }
        Ok(end - start)
    }

    fn copy_blob(&mut self, located: &Located, sealed: &[u8]) -> Result<(), RepoError> {
        let is_sound = self.opener.open_within(located, &mut sealed.to_vec()).is_ok();
        match self.source.key().open(sealed) {
            // As it was stored: compressed, or not.
            Ok(stored) if is_sound => self.add(located, &stored, located.entry.uncompressed_length),
            _ => self.copy_from_elsewhere(located),
        }
    }

    fn copy_from_elsewhere(&mut self, located: &Located) -> Result<(), RepoError> {
        let content = self.alone.single(located).map_err(|error| self.lacking(&error))?;
        self.add(located, &content, None)
    }

    fn add(
        &mut self,
        located: &Located,
        stored: &[u8],
        uncompressed_length: Option<u32>,
    ) -> Result<(), RepoError> {
        let (kind, id) = (located.entry.kind, located.entry.id);
        let bytes = &self.target.key().seal(stored, self.random);
        let open = self.open_of(kind);
        open.add(&SealedBlob { kind, id, bytes, uncompressed_length });
        let is_full = open.is_full();
        self.filling.insert((kind, id));
        self.copied.blobs += 1;
        self.count(located);
        if is_full { self.store(kind) } else { Ok(()) }
    }

    fn open_of(&mut self, kind: BlobType) -> &mut OpenPack {
        match kind {
            BlobType::Data => &mut self.data,
            BlobType::Tree => &mut self.trees,
        }
    }

    /// Stores the pack that is being filled, and now and then an index of those that were.
    fn store(&mut self, kind: BlobType) -> Result<(), RepoError> {
        let target = match kind {
            BlobType::Data => DATA_PACK_BYTES,
            BlobType::Tree => TREE_PACK_BYTES,
        };
        let full = std::mem::replace(self.open_of(kind), OpenPack::new(target));
        if full.is_empty() {
            return Ok(());
        }
        let (pack, bytes) = full.finish(self.target.key(), self.random);
        create_or_find(self.target.store(), &Object::Data(pack.id), bytes)?;
        for entry in &pack.entries {
            self.filling.remove(&(entry.kind, entry.id));
        }
        self.copied.stored += pack.size;
        self.unsaved = (self.unsaved.0 + pack.size, self.unsaved.1 + pack.entries.len());
        self.target.index()?.add_unsaved(pack);
        match self.unsaved {
            (bytes, blobs) if bytes >= SAVED_AFTER_BYTES || blobs >= SAVED_AFTER_BLOBS => {
                self.save()
            }
            _ => Ok(()),
        }
    }

    fn save(&mut self) -> Result<(), RepoError> {
        let chunk_average = self.source.index()?.chunk_average().unwrap_or(0);
        self.target.index()?.save(self.target.opened(), chunk_average, self.random)?;
        self.unsaved = (0, 0);
        Ok(())
    }

    /// Stores and lists what was fetched.
    fn close(&mut self) -> Result<(), RepoError> {
        self.store(BlobType::Data)?;
        self.store(BlobType::Tree)?;
        self.save()
    }

    fn lacking(&self, error: &BlobError) -> RepoError {
        self.not_copied(error, of_blob(error))
    }

    fn not_copied(&self, error: &dyn std::fmt::Display, because: Hindrance) -> RepoError {
        let (location, reason) = (self.source.location(), error.to_string());
        RepoError::NotCopied { location, reason, because }
    }
}

fn of_blob(error: &BlobError) -> Hindrance {
    match error {
        BlobError::Unreadable { source, .. } if is_refused(source) => Hindrance::Refused,
        BlobError::Unreadable { source, .. } if source.is_passing() => Hindrance::Passing,
        // The index on this host: the repository is what it was.
        BlobError::Cache(_) => Hindrance::Passing,
        _ => Hindrance::Damaged,
    }
}

fn of_walk(error: &WalkError) -> Hindrance {
    match error {
        WalkError::Directory { source, .. } | WalkError::Entries { source, .. } => {
            match &**source {
                TreeError::Blob(error) => of_blob(error),
                _ => Hindrance::Damaged,
            }
        }
        _ => Hindrance::Damaged,
    }
}

fn is_refused(error: &StoreError) -> bool {
    matches!(error, StoreError::Refused { .. })
}

#[cfg(test)]
mod tests {
    use outlast_format::config::Version;
    use outlast_format::crypto;
    use outlast_store::{Kind, MemoryStore, Store};
    use outlast_types::{Silent, SystemClock, SystemRandom};

    use super::*;
    use crate::backup::{self, Input, Options, StreamInput};
    use crate::read;
    use crate::{Credential, Maker, NewPassword};

    fn made(store: &Arc<dyn Store>) -> Repository {
        let password = NewPassword::Random(b"password");
        let maker = Maker {
            hostname: String::new(),
            username: String::new(),
            created: outlast_types::Timestamp::EPOCH,
        };
        Repository::init(Arc::clone(store), password, Version::V2, &maker, &SystemRandom).unwrap()
    }

    fn content(bytes: usize) -> Vec<u8> {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..bytes).map(|at| if at % 5 < 2 { b'a' } else { next() }).collect()
    }

    fn backed_up(repository: &Repository, content: &[u8]) -> BlobId {
        let input = Input::Stream(StreamInput {
            name: b"shop.sql".to_vec(),
            mode: 0o644,
            modified: outlast_fs::FileTime { seconds: 1, nanos: 0 },
            reader: Box::new(content),
        });
        let options = Options::new(outlast_types::Timestamp::EPOCH);
        let made =
            backup::backup(repository, input, &options, &SystemClock, &SystemRandom, &Silent);
        made.unwrap().snapshot.tree
    }

    fn cat(repository: &Repository, tree: BlobId) -> Vec<u8> {
        let path = outlast_fs::EntryPath::from_names(vec![b"shop.sql".to_vec()]).unwrap();
        let mut out = Vec::new();
        read::cat(repository, tree, &path, &mut out, &Silent).unwrap();
        out
    }

    fn keyed(store: &Arc<dyn Store>, key: &crypto::Key) -> Repository {
        Repository::keyed(Arc::clone(store), key.clone(), Version::V2, &SystemRandom).unwrap()
    }

    #[test]
    fn a_copy_has_the_same_tree_and_opens_with_its_own_key_alone() {
        let (from, to): (Arc<dyn Store>, Arc<dyn Store>) =
            (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
        let source = made(&from);
        let whole = content(3_000_000);
        let tree = backed_up(&source, &whole);
        let key = crypto::Key::generate(&SystemRandom);
        let target = keyed(&to, &key);
        let copied = copy(&source, tree, &target, &mut |_| true, &SystemRandom, &Silent).unwrap();
        assert!(copied.is_whole && copied.blobs > 2 && copied.stored > 0);
        // Opened afresh, as somebody elsewhere does.
        let opened = keyed(&to, &key);
        assert_eq!(cat(&opened, tree), whole);
        assert!(to.list(Kind::Key).unwrap().is_empty());
        let other = Credential::Key(crypto::Key::generate(&SystemRandom));
        assert!(matches!(
            Repository::open(Arc::clone(&to), other),
            Err(RepoError::WrongKey { .. })
        ));
        let again = copy(&source, tree, &opened, &mut |_| true, &SystemRandom, &Silent).unwrap();
        assert_eq!((again.is_whole, again.blobs, again.stored), (true, 0, 0));
    }

    #[test]
    fn a_copy_that_was_broken_off_goes_on_and_fetches_nothing_twice() {
        let (from, to): (Arc<dyn Store>, Arc<dyn Store>) =
            (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
        let source = made(&from);
        let whole = content(30_000_000);
        let tree = backed_up(&source, &whole);
        let key = crypto::Key::generate(&SystemRandom);
        let (mut fetched, mut rounds) = (0, 0);
        loop {
            let mut left = 2;
            let mut go_on = |bytes| {
                fetched += bytes;
                left -= 1;
                left > 0
            };
            let target = keyed(&to, &key);
            let copied = copy(&source, tree, &target, &mut go_on, &SystemRandom, &Silent).unwrap();
            rounds += 1;
            if copied.is_whole {
                break;
            }
            assert!(rounds < 100);
        }
        assert!(rounds > 2, "{rounds}");
        let stored: u64 = from.list(Kind::Data).unwrap().iter().map(|(_, size)| size).sum();
        assert!(fetched <= stored + stored / 10, "{fetched} of {stored}");
        assert_eq!(cat(&keyed(&to, &key), tree), whole);
    }

    #[test]
    fn what_is_not_whole_is_not_copied_and_says_what_is_missing() {
        let (from, to): (Arc<dyn Store>, Arc<dyn Store>) =
            (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
        let source = made(&from);
        let tree = backed_up(&source, &content(100_000));
        let packs = from.list(Kind::Data).unwrap();
        for (object, _) in &packs {
            from.remove(object).unwrap();
        }
        let target = keyed(&to, &crypto::Key::generate(&SystemRandom));
        let copied = copy(&source, tree, &target, &mut |_| true, &SystemRandom, &Silent);
        assert!(
            matches!(copied, Err(RepoError::NotCopied { because: Hindrance::Damaged, .. })),
            "{copied:?}"
        );
    }
}
