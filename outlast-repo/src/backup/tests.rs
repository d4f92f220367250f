mod faults;
mod holes;
mod interleaving;
mod script;
mod side_by_side;
mod tree;

use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use outlast_format::config::Version;
use outlast_format::index::{IndexFile, Notes};
use outlast_format::pack::BlobType;
use outlast_fs::FileTime;
use outlast_store::{Kind as ObjectKind, MemoryStore, Recording, Verb};
use outlast_types::{Random, Silent, SystemClock, SystemRandom, Timestamp};
use proptest::prelude::*;

use self::script::{Script, contents, noise};
use super::*;
use crate::{Credential, Maker};

/// Always the same bytes in the same order: a repository's key decides where content is cut, and
/// with a new one at each run the numbers of packs would differ.
struct Repeatable(Mutex<blake3::OutputReader>);

impl Repeatable {
    fn new() -> Self {
        Self(Mutex::new(blake3::Hasher::new().finalize_xof()))
    }
}

impl Random for Repeatable {
    fn fill(&self, buffer: &mut [u8]) {
        self.0.lock().unwrap().fill(buffer);
    }
}

fn repository(store: Arc<dyn outlast_store::Store>, version: Version) -> Repository {
    let maker =
        Maker { hostname: String::new(), username: String::new(), created: Timestamp::EPOCH };
    Repository::init(store, "secret", version, &maker, &Repeatable::new()).unwrap()
}

/// Many packs, indexes and blocks out of little content.
fn tight() -> Tuning {
    Tuning {
        workers: 3,
        block_bytes: 100_000,
        data_pack_bytes: 150_000,
        tree_pack_bytes: 2_000,
        checkpoint_bytes: 400_000,
        ..Tuning::default()
    }
}

fn options(tuning: Tuning) -> Options {
    Options { tuning, ..Options::new(Timestamp::EPOCH) }
}

fn run(repository: &Repository, input: Input<'_>, options: &Options) -> Result<Outcome, RepoError> {
    backup(repository, input, options, &SystemClock, &SystemRandom, &Silent)
}

fn stream(content: &[u8]) -> Input<'_> {
    Input::Stream(StreamInput {
        name: b"dump.sql".to_vec(),
        mode: 0o640,
        modified: FileTime { seconds: 1_000_000_000, nanos: 5 },
        reader: Box::new(content),
    })
}

#[test]
fn a_stream_becomes_one_file_that_reads_back() {
    for version in [Version::V1, Version::V2] {
        let repository = repository(Arc::new(MemoryStore::new()), version);
        let content = noise(1, 3_000_000);
        let outcome = run(&repository, stream(&content), &options(tight())).unwrap();
        assert_eq!(outcome.snapshot.paths, ["/dump.sql"]);
        let found = contents(&repository, outcome.snapshot.tree);
        assert_eq!(found.len(), 1);
        assert_eq!(found["dump.sql"].1, content);
        assert_eq!(outcome.stats.bytes, 3_000_000);
        assert!(outcome.packs.len() > 10 && outcome.indexes.len() > 2, "{outcome:?}");
    }
}

#[test]
fn the_same_content_again_adds_nothing() {
    let store = Arc::new(Recording::new(Arc::new(MemoryStore::new())));
    let repository = repository(store.clone(), Version::V2);
    let content = noise(2, 2_000_000);
    let first = run(&repository, stream(&content), &options(tight())).unwrap();
    publish(&repository, &first).unwrap();
    // As another process, whose only memory is the repository.
    let credential = Credential::Key(repository.key().clone());
    let repository = Repository::open(store.clone(), credential).unwrap();
    store.clear();
    let second = run(&repository, stream(&content), &options(Tuning::default())).unwrap();
    assert_eq!(second.snapshot.tree, first.snapshot.tree);
    assert!(second.packs.is_empty() && second.indexes.is_empty());
    assert_eq!(store.count(Verb::Create), 0);
    publish(&repository, &second).unwrap();
    publish(&repository, &second).unwrap();
    let snapshots = store.list(ObjectKind::Snapshot).unwrap();
    assert_eq!(snapshots.len(), 2);
}

#[test]
fn blobs_that_are_doubted_are_stored_anew_once_and_believed_from_then_on() {
    let repository = repository(Arc::new(MemoryStore::new()), Version::V2);
    // The same piece again and again, so that it is met before and after it was stored.
    let content = noise(6, 400_000).repeat(4);
    let first = run(&repository, stream(&content), &options(tight())).unwrap();
    let root = (BlobType::Tree, first.snapshot.tree);
    let files = contents(&repository, first.snapshot.tree);
    let pieces = files["dump.sql"].0.content.as_ref().unwrap();
    let doubted = HashSet::from([root, (BlobType::Data, pieces[0]), (BlobType::Data, pieces[1])]);
    let plain = options(tight());
    let doubting = Options { doubted: doubted.clone(), ..plain.clone() };
    let second = run(&repository, stream(&content), &doubting).unwrap();
    assert_eq!(second.snapshot.tree, first.snapshot.tree);
    let index = repository.index().unwrap();
    for (kind, id) in doubted {
        let copies = index.locations(kind, &id).unwrap();
        assert_eq!(copies.len(), 2, "{kind:?} {id}");
        let is_new = |pack| second.packs.iter().any(|(own, _)| *own == pack);
        assert_eq!(copies.iter().filter(|copy| is_new(copy.pack)).count(), 1);
    }
    let others = pieces.iter().skip(2).filter(|id| !pieces[..2].contains(id));
    for id in others {
        assert_eq!(index.locations(BlobType::Data, id).unwrap().len(), 1);
    }
    let third = run(&repository, stream(&content), &plain).unwrap();
    assert!(third.packs.is_empty());
}

#[test]
fn every_agent_cuts_as_the_index_files_note() {
    let store = Arc::new(MemoryStore::new());
    let made = repository(store.clone(), Version::V2);
    let reopen = || Repository::open(store.clone(), Credential::Key(made.key().clone())).unwrap();
    let blobs = |seed| {
        let content = noise(seed, 4_000_000);
        run(&reopen(), stream(&content), &options(tight())).unwrap().stats.data_blobs
    };
    assert!(blobs(1) > 30);
    assert_eq!(reopen().index().unwrap().chunk_average(), Some(64 << 10));
    let notes = Notes { chunk_average: Some(1 << 20), condemned: None };
    let file = IndexFile { notes, ..IndexFile::default() };
    let document = file.serialize().unwrap();
    let (name, sealed) = made.seal_unpacked("index", &document, &SystemRandom).unwrap();
    store.create(&Object::Index(name), sealed).unwrap();
    assert!(blobs(2) < 16);
    assert_eq!(reopen().index().unwrap().chunk_average(), Some(1 << 20));
}

proptest! {
    #![proptest_config(outlast_testing::cases(12))]

    #[test]
    fn who_follows_yesterdays_trail_cuts_as_who_does_not(
        edits in prop::collection::vec((0..3_000_000usize, 0..90_000usize, 0..90_000usize), 0..6),
        block_bytes in 70_000..900_000usize,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(MemoryStore::new());
        let repository = repository(store.clone(), Version::V2).cached_in(directory.path());
        let mut content = noise(1, 3_000_000);
        let tuning = Tuning { block_bytes, ..tight() };
        run(&repository, stream(&content), &options(tuning.clone())).unwrap();
        for (n, (at, removed, inserted)) in edits.into_iter().enumerate() {
            let at = at.min(content.len());
            let end = content.len().min(at + removed);
            content.splice(at..end, noise(n as u64 + 2, inserted));
        }
        let followed = run(&repository, stream(&content), &options(tuning.clone())).unwrap();
        let credential = Credential::Key(repository.key().clone());
        let plain = Repository::open(store, credential).unwrap();
        let plain = run(&plain, stream(&content), &options(tuning)).unwrap();
        prop_assert_eq!(followed.snapshot.tree, plain.snapshot.tree);
        prop_assert_eq!(plain.stats.data_blobs, 0);
        let found = contents(&repository, followed.snapshot.tree);
        prop_assert!(found["dump.sql"].1 == content);
    }
}

use outlast_store::Store as _;

#[test]
fn content_that_repeats_itself_is_stored_once() {
    let repository = repository(Arc::new(MemoryStore::new()), Version::V2);
    let content = noise(3, 600_000).repeat(5);
    let outcome = run(&repository, stream(&content), &options(tight())).unwrap();
    assert_eq!(contents(&repository, outcome.snapshot.tree)["dump.sql"].1, content);
    assert!(outcome.stats.added < 1_400_000, "{:?}", outcome.stats);
}

#[test]
fn what_was_stored_is_not_asked_for_again_where_somebody_else_looks_it_over() {
    let store = Arc::new(Recording::new(Arc::new(MemoryStore::new())));
    let repository = repository(store.clone(), Version::V2);
    for (is_looked_over, looks) in [(true, 0), (false, 2)] {
        let content = noise(40 + looks, 2_000_000);
        let options = Options { is_looked_over, ..options(tight()) };
        store.clear();
        let outcome = run(&repository, stream(&content), &options).unwrap();
        let calls = store.calls();
        let stored = calls.iter().rposition(|call| call.verb == Verb::Create).unwrap();
        let asked =
            |verb: Verb| calls[stored..].iter().filter(|call| call.verb == verb).count() as u64;
        assert_eq!(asked(Verb::Size) + asked(Verb::List) > 0, looks > 0);
        publish(&repository, &outcome).unwrap();
        assert_eq!(contents(&repository, outcome.snapshot.tree)["dump.sql"].1, content);
    }
}

#[test]
fn a_stream_that_fails_publishes_nothing() {
    let store = Arc::new(MemoryStore::new());
    let repository = repository(store.clone(), Version::V2);
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("pg_dump is gone"))
        }
    }
    let content = noise(4, 1_000_000);
    let reader = Box::new(content.chain(Failing));
    let (name, modified) = (b"dump".to_vec(), FileTime::default());
    let input = Input::Stream(StreamInput { name, mode: 0o600, modified, reader });
    let error = run(&repository, input, &options(tight())).unwrap_err();
    assert!(matches!(&error, RepoError::Input { name, .. } if name == "dump"), "{error}");
    assert!(error.to_string().contains("pg_dump is gone"), "{error}");
    assert!(store.list(ObjectKind::Snapshot).unwrap().is_empty());
}

#[test]
fn a_stream_needs_a_plain_name() {
    let repository = repository(Arc::new(MemoryStore::new()), Version::V2);
    for name in [&b""[..], b"a/b", b"..", &[b'x'; 256]] {
        let (name, modified) = (name.to_vec(), FileTime::default());
        let reader = Box::new(io::empty());
        let input = Input::Stream(StreamInput { name, mode: 0o600, modified, reader });
        let error = run(&repository, input, &options(tight())).unwrap_err();
        assert!(matches!(error, RepoError::InputName { .. }), "{error}");
    }
}

proptest! {
    #![proptest_config(outlast_testing::cases(24))]

    /// The key decides the cuts, so both backups go to repositories with one key.
    #[test]
    fn how_the_work_is_spread_changes_nothing(
        sizes in prop::collection::vec(
            prop_oneof![0..3_usize, 3..2000_usize, 15_000..18_000_usize, 60_000..700_000_usize],
            0..12,
        ),
        workers in 1..6_usize,
        block_bytes in prop_oneof![97..1000_usize, 1000..100_000_usize, Just(1 << 20)],
        step in prop_oneof![1000..5000_usize, Just(usize::MAX)],
    ) {
        let repository = repository(Arc::new(MemoryStore::new()), Version::V2);
        let mut script = Script::new();
        for (n, &size) in sizes.iter().enumerate() {
            script.file(&format!("d{}/f{n}", n % 3), &noise(n as u64, size));
        }
        let plain = Input::Tree(Box::new(script.clone()));
        let plain = run(&repository, plain, &options(Tuning::default())).unwrap();
        let tuning = Tuning { workers, block_bytes, ..tight() };
        script.step = step;
        let spread = run(&repository, Input::Tree(Box::new(script)), &options(tuning)).unwrap();
        prop_assert_eq!(spread.snapshot.tree, plain.snapshot.tree);
        prop_assert_eq!(spread.stats.data_blobs, 0);
        let found = contents(&repository, plain.snapshot.tree);
        for (n, &size) in sizes.iter().enumerate() {
            prop_assert_eq!(&found[&format!("d{}/f{n}", n % 3)].1, &noise(n as u64, size));
        }
    }
}
