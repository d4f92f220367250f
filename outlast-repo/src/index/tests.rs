use outlast_format::Sha256Id;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outlast_format::config::Version;
use outlast_format::index::{IndexFile, Notes};
use outlast_store::Store;
use outlast_store::memory::MemoryStore;
use outlast_types::SystemRandom;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::Credential;
use crate::Repository;

mod faults;

const AVERAGE: u32 = 64 << 10;
/// Few, so that packs have blobs in common.
const IDS: u16 = 160;

fn entry(kind: BlobType, id: u16, offset: u32) -> PackEntry {
    PackEntry {
        kind,
        id: BlobId::of(&id.to_le_bytes()),
        offset,
        length: 100,
        uncompressed_length: id.is_multiple_of(2).then_some(200),
    }
}

fn pack(number: u16) -> PackId {
    PackId::of(&number.to_le_bytes())
}

/// A repository in memory whose index lies in a directory.
struct World {
    store: Arc<MemoryStore>,
    made: Repository,
    cache: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let made = crate::repository::tests::init(&store).unwrap();
        Self { store, made, cache: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> Repository {
        let credential = Credential::Key(self.made.key().clone());
        Repository::open(self.store.clone(), credential).unwrap().cached_in(self.cache.path())
    }

    /// Stores an index file as somebody else would.
    fn write(&self, packs: Vec<(PackId, Vec<PackEntry>)>, notes: Notes) -> Object {
        let file = IndexFile { supersedes: Vec::new(), packs, notes };
        let document = file.serialize().unwrap();
        let (name, sealed) = self.made.seal_unpacked("index", &document, &SystemRandom).unwrap();
        self.store.create(&Object::Index(name), sealed).unwrap();
        Object::Index(name)
    }

    fn clear(&self) {
        for (object, _) in self.store.list(Kind::Index).unwrap() {
            self.store.remove(&object).unwrap();
        }
        if self.directory().exists() {
            fs::remove_dir_all(self.directory()).unwrap();
        }
    }

    fn directory(&self) -> PathBuf {
        self.cache.path().join(self.made.config().id.to_string()).join("index")
    }

    fn runs(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.directory()) else { return Vec::new() };
        let mut runs: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        runs.retain(|path| path.extension().is_some_and(|extension| extension == "run"));
        runs.sort();
        runs
    }
}

fn one_pack(number: u16, ids: std::ops::Range<u16>) -> Vec<(PackId, Vec<PackEntry>)> {
    let entries = ids.map(|id| entry(BlobType::Data, id, u32::from(id) * 100)).collect();
    vec![(pack(number), entries)]
}

fn knows(index: &Index, ids: std::ops::Range<u16>) -> usize {
    ids.filter(|id| index.has(BlobType::Data, &BlobId::of(&id.to_le_bytes())).unwrap()).count()
}

/// What happens to an index, its repository and its cache.
#[derive(Debug, Clone)]
enum Step {
    /// A pack becomes durable: its number and its blobs.
    Pack(u16, Vec<(bool, u16)>),
    Save,
    /// Another writer's index file appears.
    Foreign(u16, Vec<(bool, u16)>),
    /// The process is killed and started again.
    Reopen,
    /// A second process opens the same cache meanwhile.
    Second,
    /// An index file is removed, as prune does.
    Remove(usize),
    /// The cache is damaged while nobody uses it: which file, where, how.
    Damage(usize, usize, Harm),
}

#[derive(Debug, Clone, Copy)]
enum Harm {
    Flip,
    Cut,
    Delete,
    Copy,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let blobs = || prop::collection::vec((any::<bool>(), 0..IDS), 1..80);
    let harm = prop_oneof![Just(Harm::Flip), Just(Harm::Cut), Just(Harm::Delete), Just(Harm::Copy)];
    let step = prop_oneof![
        4 => (0..40_u16, blobs()).prop_map(|(pack, blobs)| Step::Pack(pack, blobs)),
        3 => Just(Step::Save),
        2 => (0..40_u16, blobs()).prop_map(|(pack, blobs)| Step::Foreign(pack, blobs)),
        2 => Just(Step::Reopen),
        1 => Just(Step::Second),
        1 => any::<usize>().prop_map(Step::Remove),
        2 => (any::<usize>(), any::<usize>(), harm)
            .prop_map(|(file, at, harm)| Step::Damage(file, at, harm)),
    ];
    prop::collection::vec(step, 1..25)
}

/// What an index must know: every index file, and what the open one has not saved.
#[derive(Default)]
struct Model {
    files: BTreeMap<Object, Vec<(PackId, Vec<PackEntry>)>>,
    unsaved: Vec<(PackId, Vec<PackEntry>)>,
}

impl Model {
    fn places<'m>(
        packs: impl IntoIterator<Item = &'m (PackId, Vec<PackEntry>)>,
    ) -> BTreeMap<(u8, BlobId), BTreeSet<(PackId, u32)>> {
        let mut places: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (pack, entries) in packs {
            for entry in entries {
                let blob = (entry.kind as u8, entry.id);
                places.entry(blob).or_default().insert((*pack, entry.offset));
            }
        }
        places
    }

    fn check(&self, index: &Index, with_unsaved: bool) {
        let unsaved = self.unsaved.iter().filter(|_| with_unsaved);
        let all = Self::places(self.files.values().flatten().chain(unsaved));
        for id in 0..IDS {
            for kind in [BlobType::Data, BlobType::Tree] {
                let id = BlobId::of(&id.to_le_bytes());
                let expected = all.get(&(kind as u8, id)).cloned().unwrap_or_default();
                let found = index.locations(kind, &id).unwrap();
                let found: BTreeSet<_> = found.iter().map(|at| (at.pack, at.offset)).collect();
                assert_eq!(found, expected);
                let located = index.locate(kind, &id).unwrap();
                assert_eq!(located.is_some(), !expected.is_empty());
                assert!(located.is_none_or(|at| expected.contains(&(at.pack, at.offset))));
            }
        }
        let listed = Self::places(self.files.values().flatten());
        assert_eq!(index.count_blobs().unwrap(), listed.len() as u64);
    }
}

fn entries_of(blobs: &[(bool, u16)]) -> Vec<PackEntry> {
    let entry = |(n, &(tree, id)): (usize, &(bool, u16))| {
        let kind = if tree { BlobType::Tree } else { BlobType::Data };
        entry(kind, id, u32::try_from(n).unwrap() * 100)
    };
    blobs.iter().enumerate().map(entry).collect()
}

fn harm(path: &Path, other: &Path, at: usize, harm: Harm) {
    let mut content = fs::read(path).unwrap();
    let at = at % content.len();
    match harm {
        Harm::Flip => content[at] ^= 1 << (at % 8),
        Harm::Cut => content.truncate(at),
        Harm::Delete => return fs::remove_file(path).unwrap(),
        Harm::Copy => content = fs::read(other).unwrap(),
    }
    outlast_fs::durable::replace(path, &content, 0o600).unwrap();
}

fn run_steps(world: &World, steps: Vec<Step>) {
    world.clear();
    let mut model = Model::default();
    let mut open = world.open();
    for step in steps {
        match step {
            Step::Pack(number, blobs) => {
                let entries = entries_of(&blobs);
                model.unsaved.push((pack(number), entries.clone()));
                let id = pack(number);
                open.index().unwrap().add_unsaved(UnsavedPack { id, size: 1000, entries });
            }
            Step::Save => {
                let index = open.index().unwrap();
                let saved = index.save(open.opened(), AVERAGE, &SystemRandom).unwrap();
                let packs = std::mem::take(&mut model.unsaved);
                assert_eq!(saved.is_some(), !packs.is_empty());
                if let Some(saved) = saved {
                    let object = Object::Index(saved.index);
                    model.files.insert(object, packs);
                }
            }
            Step::Foreign(number, blobs) => {
                let packs = vec![(pack(number), entries_of(&blobs))];
                let object = world.write(packs.clone(), Notes::default());
                // The open index does not see it: that comes with the next opening.
                drop(open);
                model.files.insert(object, packs);
                model.unsaved.clear();
                open = world.open();
            }
            Step::Reopen => {
                drop(open);
                model.unsaved.clear();
                open = world.open();
            }
            Step::Second => {
                open.index().unwrap();
                model.check(world.open().index().unwrap(), false);
            }
            Step::Remove(which) => {
                if let Some(&object) = model.files.keys().nth(which % model.files.len().max(1)) {
                    world.store.remove(&object).unwrap();
                    model.files.remove(&object);
                    model.unsaved.clear();
                    open = world.open();
                }
            }
            Step::Damage(which, at, how) => {
                drop(open);
                model.unsaved.clear();
                let runs = world.runs();
                if !runs.is_empty() {
                    let other = &runs[at % runs.len()];
                    harm(&runs[which % runs.len()], other, at, how);
                }
                open = world.open();
            }
        }
        model.check(open.index().unwrap(), true);
    }
}

#[test]
fn the_index_on_disk_equals_a_plain_map_whatever_happens_to_it() {
    // One for all cases: a key file takes longer to make than a case.
    let world = World::new();
    let mut runner = TestRunner::new(outlast_testing::cases(64));
    runner
        .run(&steps(), |steps| {
            run_steps(&world, steps);
            Ok(())
        })
        .unwrap();
}

#[test]
fn packs_are_known_by_their_id() {
    let world = World::new();
    world.write(one_pack(1, 0..3), Notes::default());
    world.write(one_pack(1, 2..5), Notes::default());
    let repository = world.open();
    let index = repository.index().unwrap();
    assert_eq!(index.packs(), vec![pack(1)]);
    assert!(index.has_pack(&pack(1)));
    assert!(!index.has_pack(&pack(2)));
}

#[test]
fn numbers_of_blobs_are_dense_and_of_one_blob_each() {
    let world = World::new();
    for number in 0..9 {
        world.write(one_pack(number, number * 100..number * 100 + 150), Notes::default());
        // Several runs, which have some blobs in common.
        world.open().index().unwrap();
    }
    let repository = world.open();
    let index = repository.index().unwrap();
    let number = |id: u16| index.ordinal(BlobType::Data, &BlobId::of(&id.to_le_bytes())).unwrap();
    let before: Vec<_> = (0..950).map(|id| number(id).unwrap()).collect();
    let distinct: BTreeSet<_> = before.iter().collect();
    assert_eq!(distinct.len(), 950);
    assert!(before.iter().all(|&number| number < index.ordinals()));
    assert!(index.ordinals() < 2 * 950);
    let added = UnsavedPack { id: pack(99), size: 1, entries: entries_of(&[(false, 2000)]) };
    index.add_unsaved(added);
    index.save(repository.opened(), AVERAGE, &SystemRandom).unwrap();
    assert_eq!(number(2000), None, "it was not there when the index was loaded");
    assert_eq!((0..950).map(|id| number(id).unwrap()).collect::<Vec<_>>(), before);
}

#[test]
fn a_copy_in_a_pack_that_is_not_condemned_is_preferred() {
    let world = World::new();
    for number in [1, 2, 3] {
        world.write(one_pack(number, 0..50), Notes::default());
    }
    let mark = |packs: &[u16]| Condemned {
        since: outlast_types::Timestamp::EPOCH,
        sweeping: false,
        packs: packs.iter().map(|&number| pack(number)).collect(),
        indexes: Vec::new(),
    };
    let notes = |mark| Notes { chunk_average: Some(AVERAGE), condemned: Some(mark) };
    world.write(Vec::new(), notes(mark(&[1])));
    world.write(Vec::new(), notes(mark(&[3])));
    // From the index files, and then from the cache.
    for _ in 0..2 {
        let repository = world.open();
        let index = repository.index().unwrap();
        for id in 0..50_u16 {
            let id = BlobId::of(&id.to_le_bytes());
            let located = index.locate(BlobType::Data, &id).unwrap().unwrap();
            assert_eq!(located.pack, pack(2));
            assert_eq!(index.locations(BlobType::Data, &id).unwrap().len(), 3);
        }
        assert_eq!((index.condemned().len(), index.chunk_average()), (2, Some(AVERAGE)));
    }
    world.write(Vec::new(), notes(mark(&[2])));
    let repository = world.open();
    let id = BlobId::of(&0_u16.to_le_bytes());
    assert!(repository.index().unwrap().has(BlobType::Data, &id).unwrap(), "all are condemned");
}

#[test]
fn what_the_cache_covers_is_not_fetched_again() {
    let world = World::new();
    let covered = world.write(one_pack(1, 0..100), Notes::default());
    assert_eq!(knows(world.open().index().unwrap(), 0..100), 100);
    // Nobody reads it, so nobody sees that it is damaged; but as long as it was.
    let length = usize::try_from(world.store.size(&covered).unwrap()).unwrap();
    world.store.overwrite(&covered, vec![7; length].into());
    let repository = world.open();
    assert_eq!(knows(repository.index().unwrap(), 0..100), 100);
    assert!(repository.index().unwrap().problems().is_empty());
    drop(repository);
    for run in world.runs() {
        fs::remove_file(run).unwrap();
    }
    assert_eq!(world.open().index().unwrap().problems().len(), 1);
}

#[test]
fn blobs_that_no_index_file_lists_never_reach_the_disk() {
    let world = World::new();
    let repository = world.open();
    let index = repository.index().unwrap();
    index.add_unsaved(UnsavedPack { id: pack(1), size: 1, entries: entries_of(&[(false, 1)]) });
    assert_eq!((knows(index, 0..5), world.runs().len()), (1, 0));
    drop(repository);
    assert_eq!(knows(world.open().index().unwrap(), 0..5), 0);
}

#[test]
fn a_page_that_turns_bad_in_use_is_an_error_and_made_anew_by_the_next_run() {
    let world = World::new();
    world.write(one_pack(1, 0..500), Notes::default());
    let repository = world.open();
    let index = repository.index().unwrap();
    let run = world.runs().remove(0);
    let file = fs::File::options().write(true).open(&run).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 4096], 0).unwrap();
    let errors = (0..500_u16)
        .filter_map(|id| index.has(BlobType::Data, &BlobId::of(&id.to_le_bytes())).err())
        .collect::<Vec<_>>();
    assert!(!errors.is_empty());
    let message = errors[0].to_string();
    assert!(matches!(errors[0], CacheError::Damaged { .. }), "{message}");
    assert!(
        message.contains(&run.display().to_string()) && message.contains("run the command again")
    );
    assert!(!run.exists());
    drop(repository);
    assert_eq!(knows(world.open().index().unwrap(), 0..500), 500);
}

#[test]
fn a_cache_of_another_repository_or_key_is_not_believed() {
    let (one, other) = (World::new(), World::new());
    one.write(one_pack(1, 0..100), Notes::default());
    one.open().index().unwrap();
    other.write(one_pack(2, 200..300), Notes::default());
    other.open().index().unwrap();
    for (from, to) in one.runs().iter().zip(other.runs()) {
        fs::copy(from, to).unwrap();
    }
    let repository = other.open();
    let index = repository.index().unwrap();
    assert_eq!((knows(index, 0..100), knows(index, 200..300)), (0, 100));
}

#[test]
fn many_saves_leave_few_runs_and_all_blobs() {
    let world = World::new();
    let repository = world.open();
    let index = repository.index().unwrap();
    for number in 0..60_u16 {
        let blobs: Vec<_> = (number * 20..number * 20 + 20).map(|id| (id % 3 == 0, id)).collect();
        let entries = entries_of(&blobs);
        index.add_unsaved(UnsavedPack { id: pack(number), size: 1, entries });
        index.save(repository.opened(), AVERAGE, &SystemRandom).unwrap().unwrap();
    }
    assert!(world.runs().len() <= save::RUNS_MAX_ADDED);
    assert_eq!(index.count_blobs().unwrap(), 1200);
    drop(repository);
    let repository = world.open();
    assert_eq!(repository.index().unwrap().count_blobs().unwrap(), 1200);
    assert!(world.runs().len() <= 3);
}

#[test]
fn version_1_and_scratch_files_serve_as_well() {
    let scratch = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let maker = crate::Maker {
        hostname: "host".into(),
        username: "user".into(),
        created: outlast_types::Timestamp::EPOCH,
    };
    let made = Repository::init(store, "secret", Version::V1, &maker, &SystemRandom).unwrap();
    let repository = made.scratch_in(scratch.path());
    let index = repository.index().unwrap();
    index.add_unsaved(UnsavedPack { id: pack(1), size: 1, entries: entries_of(&[(false, 1)]) });
    index.save(repository.opened(), AVERAGE, &SystemRandom).unwrap();
    assert_eq!(knows(index, 0..5), 1);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "the files have no names");
}
