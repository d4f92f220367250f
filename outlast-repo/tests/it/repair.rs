//! The index made anew from the packs: whatever happened to it, and whatever interrupts the repair.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use outlast_format::crypto::Key;
use outlast_format::index::{Condemned, IndexFile, Notes};
use outlast_format::lock::{Lock, STALE_AFTER};
use outlast_format::pack::BlobType;
use outlast_format::{BlobId, IndexId, PackId, Sha256Id};
use outlast_repo::check::{self, check};
use outlast_repo::lock::{Here, Holder};
use outlast_repo::repair::{self, Options, Outcome};
use outlast_repo::{Credential, RepoError, Repository, read, restore};
use outlast_store::{
    DirectoryStore, Kind as Objects, MemoryStore, Object, Recording, Store, StoreError, Verb,
};
use outlast_testing::pseudo_random;
use outlast_types::{Clock, Silent, SystemRandom, Timestamp};

use crate::damage::{Damage, Kind, Maker, Template};
use crate::forge::Forge;
use crate::restic;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const ALL: Options = Options { read_all_packs: true, dry_run: false };

fn repaired(repository: &Repository, options: Options) -> Outcome {
    try_repair(repository, options, Timestamp::EPOCH).unwrap()
}

fn try_repair(
    repository: &Repository,
    options: Options,
    now: Timestamp,
) -> Result<Outcome, RepoError> {
    let here = Here { holder: holder(1), lives: &|pid| pid != 1 };
    repair::index(repository, options, &here, &At(now), &SystemRandom, &Silent)
}

fn holder(pid: u32) -> Holder {
    let (hostname, username) = ("host".to_owned(), "user".to_owned());
    Holder { hostname, username, pid, uid: 0, gid: 0 }
}

/// A clock that stands still.
struct At(Timestamp);

impl Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }
}

fn problems(repository: &Repository) -> Vec<String> {
    let options = check::Options { read_data: true, ..check::Options::default() };
    let report = check(repository, &options, &Silent).unwrap();
    report.problems.iter().map(ToString::to_string).collect()
}

/// A copy of a repository on disk; opening it again derives no key from its password again.
struct OnDisk {
    root: tempfile::TempDir,
    key: Key,
}

impl OnDisk {
    fn new(maker: Maker) -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("repository");
        restic::copy(&Template::get(maker).repository(), &path);
        let key = restic::open(&path).key().clone();
        Self { root, key }
    }

    fn path(&self) -> PathBuf {
        self.root.path().join("repository")
    }

    fn open(&self) -> Repository {
        let store = Arc::new(DirectoryStore::open(&self.path()).unwrap());
        Repository::open(store, Credential::Key(self.key.clone())).unwrap()
    }

    fn index_files(&self) -> Vec<PathBuf> {
        Kind::Index.objects(&self.path())
    }

    fn assert_restic_agrees(&self) {
        restic::run(&self.path(), &self.path(), &["check", "--read-data"]);
    }
}

#[test]
fn whatever_happened_to_index_files_stock_restic_agrees_with_the_repair() {
    for (maker, damage) in [
        (Maker::Restic, Damage::Delete),
        (Maker::Restic, Damage::Truncate),
        (Maker::Restic, Damage::SwapTwo),
        (Maker::Ours, Damage::Delete),
        (Maker::Ours, Damage::FlipBit),
    ] {
        let subject = OnDisk::new(maker);
        damage.inflict(&subject.index_files());
        assert!(!problems(&subject.open()).is_empty(), "{damage:?}");

        let before = subject.index_files();
        let dry = Options { dry_run: true, ..Options::default() };
        let foretold = repaired(&subject.open(), dry);
        assert_eq!(subject.index_files(), before, "a dry run changes nothing");
        let outcome = repaired(&subject.open(), Options::default());
        assert_eq!((foretold.packs, foretold.blobs), (outcome.packs, outcome.blobs));
        assert_eq!(foretold.removed, outcome.removed);
        assert!(outcome.is_whole() && outcome.packs > 0, "{damage:?}: {outcome:?}");
        assert_eq!(outcome.removed.is_empty(), damage == Damage::Delete);
        assert_eq!(problems(&subject.open()), Vec::<String>::new(), "{damage:?}");
        subject.assert_restic_agrees();
        assert!(repaired(&subject.open(), Options::default()).is_unchanged());
    }
}

#[test]
fn without_any_index_file_and_with_belief_in_none_everything_is_found() {
    for maker in [Maker::Restic, Maker::Ours] {
        let subject = OnDisk::new(maker);
        let outcome = repaired(&subject.open(), ALL);
        assert_eq!(outcome.headers_read, outcome.packs);
        assert!(outcome.removed.len() >= 2 && outcome.written.len() == 1, "{outcome:?}");
        assert_eq!(problems(&subject.open()), Vec::<String>::new());
        for file in subject.index_files() {
            fs::remove_file(file).unwrap();
        }
        repaired(&subject.open(), Options::default());
        subject.assert_restic_agrees();
    }
}

/// A repository in memory: four packs with a file each, trees in the fifth, one index file.
struct Subject {
    store: Arc<MemoryStore>,
    repository: Repository,
    packs: Vec<PackId>,
}

impl Subject {
    fn new() -> Self {
        let mut forge = Forge::new();
        let (mut nodes, mut packs) = (Vec::new(), Vec::new());
        for number in 0..4 {
            let piece = pseudo_random(number, 3000);
            nodes.push(forge.file(format!("{number}").as_bytes(), &[&piece]));
            packs.push(forge.end_pack());
        }
        let tree = forge.tree(nodes);
        packs.push(forge.end_pack());
        let (store, repository) = forge.finish(tree);
        Self { store, repository, packs }
    }

    /// Opened afresh, through this store.
    fn through(&self, store: Arc<dyn Store>) -> Repository {
        Repository::open(store, Credential::Key(self.repository.key().clone())).unwrap()
    }

    fn afresh(&self) -> Repository {
        self.through(Arc::clone(&self.store) as _)
    }

    fn index_files(&self) -> Vec<(Object, IndexFile)> {
        let objects = self.store.list(Objects::Index).unwrap().into_iter();
        let read = |object| self.repository.read_unpacked(&object).unwrap();
        objects.map(|(object, _)| (object, IndexFile::parse(&read(object)).unwrap())).collect()
    }

    /// Puts `file` in the place of all index files.
    fn replace_index(&self, file: &IndexFile) {
        for (object, _) in self.store.list(Objects::Index).unwrap() {
            self.store.remove(&object).unwrap();
        }
        self.add_index(file);
    }

    fn add_index(&self, file: &IndexFile) {
        let document = file.serialize().unwrap();
        let sealed = self.repository.seal_unpacked("index", &document, &SystemRandom).unwrap();
        self.store.create(&Object::Index(sealed.0), sealed.1).unwrap();
    }

    fn copy_store(&self) -> Arc<MemoryStore> {
        let copy = MemoryStore::new();
        for kind in Objects::LISTED {
            for (object, _) in self.store.list(kind).unwrap() {
                copy.overwrite(&object, self.store.read(&object).unwrap());
            }
        }
        copy.overwrite(&Object::Config, self.store.read(&Object::Config).unwrap());
        Arc::new(copy)
    }
}

fn pack_object(pack: PackId) -> Object {
    Object::Data(pack)
}

#[test]
fn what_index_files_note_besides_packs_outlives_the_repair() {
    let subject = Subject::new();
    let mut file = subject.index_files().remove(0).1;
    let condemned = Condemned {
        since: Timestamp::EPOCH,
        sweeping: false,
        packs: vec![subject.packs[0]],
        indexes: Vec::new(),
    };
    file.packs.push((PackId([9; 32]), file.packs[0].1.clone()));
    file.notes = Notes { chunk_average: Some(1 << 18), condemned: Some(condemned.clone()) };
    subject.replace_index(&file);
    subject.add_index(&IndexFile {
        notes: Notes { chunk_average: Some(1 << 16), condemned: None },
        ..IndexFile::default()
    });
    for options in [Options::default(), ALL, ALL] {
        let outcome = repaired(&subject.afresh(), options);
        assert!(outcome.is_whole());
        let notes: Vec<_> = subject.index_files().into_iter().map(|(_, file)| file.notes).collect();
        assert_eq!(notes.iter().filter_map(|notes| notes.chunk_average).max(), Some(1 << 18));
        let marks: Vec<_> = notes.into_iter().filter_map(|notes| notes.condemned).collect();
        assert_eq!(marks, std::slice::from_ref(&condemned));
        assert_eq!(problems(&subject.afresh()), Vec::<String>::new());
    }
}

#[test]
fn a_pack_that_is_gone_is_named_and_not_listed_any_more() {
    let subject = Subject::new();
    subject.store.remove(&pack_object(subject.packs[1])).unwrap();
    let outcome = repaired(&subject.afresh(), Options::default());
    assert_eq!(outcome.missing, [subject.packs[1]]);
    assert_eq!((outcome.packs, outcome.headers_read), (4, 0), "the rest is known without reading");
    let listed = subject.index_files().into_iter().flat_map(|(_, file)| file.packs);
    assert!(listed.map(|(pack, _)| pack).all(|pack| pack != subject.packs[1]));
    let left = problems(&subject.afresh());
    assert!(left.len() == 1 && left[0].contains("in no index"), "{left:?}");
}

#[test]
fn blobs_that_cannot_lie_in_their_pack_are_listed_as_the_pack_says() {
    let subject = Subject::new();
    let mut file = subject.index_files().remove(0).1;
    file.packs[2].1[0].offset += 7;
    file.packs[3].1[0].length += 1;
    subject.replace_index(&file);
    assert!(!problems(&subject.afresh()).is_empty());
    let outcome = repaired(&subject.afresh(), Options::default());
    assert_eq!((outcome.packs, outcome.headers_read), (5, 2));
    assert_eq!(problems(&subject.afresh()), Vec::<String>::new());
}

#[test]
fn a_pack_whose_header_is_damaged_is_named_with_what_to_do_and_kept() {
    let subject = Subject::new();
    let object = pack_object(subject.packs[0]);
    let mut bytes = subject.store.read(&object).unwrap().to_vec();
    let place = bytes.len() - 10;
    bytes[place] ^= 1;
    subject.store.overwrite(&object, bytes.into());
    for stump in [&b""[..], b"abc", &[0; 36], &[255; 100]] {
        let object = pack_object(PackId::of(stump));
        subject.store.create(&object, Bytes::copy_from_slice(stump)).unwrap();
    }
    // An index file that can be read still says what is in the first.
    let outcome = repaired(&subject.afresh(), ALL);
    assert_eq!((outcome.packs, outcome.unlisted.len()), (5, 4), "{outcome:?}");
    subject.replace_index(&IndexFile::default());
    let outcome = repaired(&subject.afresh(), Options::default());
    assert_eq!((outcome.packs, outcome.unlisted.len()), (4, 5));
    let words = outcome.unlisted.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(
        words.contains(&subject.packs[0].to_string()) && words.contains("leave it where it is")
    );
    assert!(subject.store.size(&object).is_ok(), "packs are never removed");
}

/// Restores the newest snapshot, and says whether every file is whole.
fn restores(repository: &Repository) -> bool {
    let target = tempfile::tempdir().unwrap();
    let tree = read::resolve(repository, "latest").unwrap().snapshot.tree;
    let options = restore::Options { verify: true, overwrite: true, ..Default::default() };
    let summary = restore::restore(repository, tree, target.path(), &options, &Silent).unwrap();
    summary.problems.is_empty()
}

#[test]
fn what_could_be_restored_before_a_repair_can_be_restored_after_it() {
    for options in [Options::default(), ALL] {
        for change in 0..3 {
            let subject = Subject::new();
            for pack in &subject.packs {
                let object = pack_object(*pack);
                let bytes = subject.store.read(&object).unwrap();
                // A byte too many, one too few, and without the header.
                let longer = [&bytes[..], b"x"].concat();
                let changed = longer[..longer.len() - [0, 2, 61][change]].to_vec();
                subject.store.overwrite(&object, changed.into());
            }
            assert!(restores(&subject.afresh()));
            for _ in 0..2 {
                let outcome = repaired(&subject.afresh(), options);
                assert!(outcome.is_whole(), "{change}: {outcome:?}");
                assert_eq!(outcome.remains.len(), subject.packs.len());
                let words = outcome.remains[0].to_string();
                assert!(words.contains("sound") && !words.contains("move"), "{words}");
                assert!(restores(&subject.afresh()), "{change}");
            }
            if !options.read_all_packs {
                assert!(repaired(&subject.afresh(), options).is_unchanged());
            }
        }
    }
}

#[test]
fn of_a_pack_that_was_cut_off_what_is_left_stays_listed_and_the_rest_is_named() {
    let mut forge = Forge::new();
    let pieces: Vec<Vec<u8>> = (0..4).map(|seed| pseudo_random(seed, 3000)).collect();
    let node = forge.file(b"file", &pieces.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let pack = forge.end_pack();
    let tree = forge.tree(vec![node]);
    let (store, repository) = forge.finish(tree);
    let bytes = store.read(&pack_object(pack)).unwrap();
    store.overwrite(&pack_object(pack), bytes.slice(..2 * 3032 + 10));
    let outcome = repaired(&repository, Options::default());
    assert_eq!(outcome.remains, [repair::Remains { pack, kept: 2, lost: 2 }]);
    assert!(!outcome.is_whole() && outcome.unlisted.is_empty());
    let again = Repository::open(store, Credential::Key(repository.key().clone())).unwrap();
    for (number, piece) in pieces.iter().enumerate() {
        let id = BlobId::of(piece);
        assert_eq!(again.index().unwrap().has(BlobType::Data, &id).unwrap(), number < 2);
    }
}

#[test]
fn a_header_longer_than_what_is_read_first_is_read_whole() {
    let mut forge = Forge::new();
    for number in 0..4000_u32 {
        forge.blob(BlobType::Data, &number.to_le_bytes());
    }
    forge.end_pack();
    let tree = forge.tree(Vec::new());
    let (store, repository) = forge.finish(tree);
    for (object, _) in store.list(Objects::Index).unwrap() {
        store.remove(&object).unwrap();
    }
    let outcome = repaired(&repository, Options::default());
    assert_eq!((outcome.packs, outcome.blobs), (2, 4001));
    let last = BlobId::of(&3999_u32.to_le_bytes());
    assert!(repository.index().unwrap().has(BlobType::Data, &last).unwrap());
}

#[test]
fn where_nothing_is_to_be_replaced_nothing_is_removed() {
    let subject = Subject::new();
    let mut file = subject.index_files().remove(0).1;
    file.packs.truncate(2);
    subject.replace_index(&file);
    let calls = Arc::new(Recording::new(Arc::clone(&subject.store) as _));
    let outcome = repaired(&subject.through(Arc::clone(&calls) as _), Options::default());
    assert_eq!((outcome.packs, outcome.headers_read), (3, 3));
    // The lock, and one index file.
    assert_eq!((calls.count(Verb::Remove), calls.count(Verb::Create)), (1, 2));
    assert_eq!(problems(&subject.afresh()), Vec::<String>::new());
}

#[test]
fn a_repair_waits_for_a_prune_that_lives_and_for_no_other() {
    let subject = Subject::new();
    let mut file = subject.index_files().remove(0).1;
    file.packs.truncate(2);
    subject.replace_index(&file);
    let repository = subject.afresh();
    let time = Timestamp::EPOCH.saturating_add(DAY);
    for exclusive in [false, true] {
        let lock = Lock { time, exclusive, holder: holder(2) };
        let document = lock.serialize().unwrap();
        let (name, sealed) = repository.seal_unpacked("lock", &document, &SystemRandom).unwrap();
        subject.store.create(&Object::Lock(name), sealed).unwrap();
        let before = subject.index_files().len();
        let refused = try_repair(&repository, Options::default(), time).unwrap_err();
        assert!(matches!(refused, RepoError::Locked { .. }), "{refused}");
        assert_eq!(subject.index_files().len(), before);
        // Looking disturbs nobody.
        let dry = Options { dry_run: true, ..Options::default() };
        assert_eq!(try_repair(&repository, dry, time).unwrap().packs, 3);
        if !exclusive {
            subject.store.remove(&Object::Lock(name)).unwrap();
        }
    }
    let later = time.saturating_add(STALE_AFTER + Duration::from_secs(1));
    assert_eq!(try_repair(&repository, Options::default(), later).unwrap().packs, 3);
    let left = subject.store.list(Objects::Lock).unwrap().len();
    assert_eq!(left, 1, "its own lock is gone, and the dead one's is no concern");
}

/// Ends with the `n`-th call that changes anything, before or after it was done.
struct Dying {
    store: Arc<MemoryStore>,
    changes_left: AtomicU64,
    after: bool,
}

impl Dying {
    fn change(&self, change: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        let left = self.changes_left.load(Ordering::Relaxed);
        self.changes_left.store(left.saturating_sub(1), Ordering::Relaxed);
        if left > 1 || left == 1 && self.after {
            change()?;
        }
        if left > 1 {
            return Ok(());
        }
        let source = io::Error::other("killed");
        Err(StoreError::Open { location: self.store.location(), source })
    }
}

impl Store for Dying {
    fn location(&self) -> String {
        self.store.location()
    }

    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
        self.change(|| self.store.create(object, content))
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        self.store.read(object)
    }

    fn read_range(&self, object: &Object, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        self.store.read_range(object, offset, length)
    }

    fn size(&self, object: &Object) -> Result<u64, StoreError> {
        self.store.size(object)
    }

    fn list(&self, kind: Objects) -> Result<Vec<(Object, u64)>, StoreError> {
        self.store.list(kind)
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.change(|| self.store.remove(object))
    }
}

#[test]
fn killed_anywhere_it_leaves_nothing_unlisted_that_was_listed_and_the_next_run_ends_it() {
    let subject = Subject::new();
    let mut file = subject.index_files().remove(0).1;
    // Three files to replace: one lists what is not there, one lists a pack wrongly, one is torn.
    let stale = PackId([9; 32]);
    let mut second = IndexFile { packs: file.packs.split_off(2), ..IndexFile::default() };
    file.packs.push((stale, file.packs[0].1.clone()));
    second.packs[0].1[0].offset += 1;
    subject.replace_index(&file);
    subject.add_index(&second);
    subject.store.overwrite(&Object::Index(IndexId([1; 32])), Bytes::from_static(b"torn"));
    let lost = |repository: &Repository| {
        let mut lost = problems(repository);
        lost.retain(|problem| problem.contains("in no index"));
        lost
    };
    for after in [false, true] {
        let mut kills = 0;
        for changes in 1.. {
            let store = subject.copy_store();
            let changes_left = AtomicU64::new(changes);
            let dying = Dying { store: Arc::clone(&store), changes_left, after };
            let through = subject.through(Arc::new(dying));
            let ended = try_repair(&through, Options::default(), Timestamp::EPOCH);
            let again = || subject.through(Arc::clone(&store) as _);
            assert_eq!(lost(&again()), Vec::<String>::new(), "after {changes} changes");
            match ended {
                Err(error) => assert!(matches!(error, RepoError::Store(_)), "{error}"),
                Ok(_) => break,
            }
            kills += 1;
            assert!(repaired(&again(), Options::default()).is_whole());
            assert_eq!(problems(&again()), Vec::<String>::new(), "after {changes} changes");
            assert!(repaired(&again(), Options::default()).is_unchanged());
        }
        assert_eq!(kills, 5, "a lock and a file are written, and three are removed");
    }
}
