//! Index files and marks that lie: what is true is never removed on their word.

use std::fs::{self, File};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use outlast_format::config::Version;
use outlast_format::index::{Condemned, IndexFile, Notes};
use outlast_format::pack::{self, BlobType, PackEntry};
use outlast_format::{IndexId, PackId, Sha256Id};
use outlast_repo::Repository;
use outlast_store::{DirectoryStore, Kind, Object, Store};
use outlast_testing::pseudo_random;
use outlast_types::{Clock, SystemClock, SystemRandom};

use super::world::{DAY, World};

type Listed = Vec<(PackId, Vec<PackEntry>)>;

/// What somebody can do who has the key.
struct Liar<'r>(&'r Repository);

impl Liar<'_> {
    fn indexes(&self) -> Vec<IndexId> {
        let listed = self.0.store().list(Kind::Index).unwrap().into_iter();
        listed.map(|(object, _)| object.index().unwrap()).collect()
    }

    /// What the index files say.
    fn listed(&self) -> Listed {
        let read = |id: IndexId| {
            let object = Object::Index(id);
            IndexFile::parse(&self.0.read_unpacked(&object).unwrap()).unwrap().packs
        };
        self.indexes().into_iter().flat_map(read).collect()
    }

    /// A pack that pretends to hold `entries`; its header is authentic and of the right length.
    fn junk(&self, entries: impl Iterator<Item = PackEntry>) -> (PackId, Vec<PackEntry>) {
        let mut offset = 0;
        let entries: Vec<PackEntry> = entries
            .map(|entry| {
                let placed = PackEntry { offset, ..entry };
                offset += entry.length;
                placed
            })
            .collect();
        let mut bytes = pseudo_random(77, offset as usize);
        pack::finish(&mut bytes, &entries, self.0.key(), &SystemRandom);
        let id = PackId::of(&bytes);
        self.0.store().create(&Object::Data(id), Bytes::from(bytes)).unwrap();
        (id, entries)
    }

    /// One junk pack for all data and one for all trees.
    fn junk_of_all(&self) -> Listed {
        let all = self.listed();
        let of = |kind| all.iter().flat_map(|(_, e)| e).copied().filter(move |e| e.kind == kind);
        vec![self.junk(of(BlobType::Data)), self.junk(of(BlobType::Tree))]
    }

    fn write(&self, packs: Listed, condemned: Option<Condemned>) -> IndexId {
        let notes = Notes { chunk_average: None, condemned };
        let document = IndexFile { packs, notes, ..IndexFile::default() }.serialize().unwrap();
        let sealed = self.0.seal_unpacked("index", &document, &SystemRandom).unwrap();
        self.0.store().create(&Object::Index(sealed.0), sealed.1).unwrap();
        sealed.0
    }

    fn condemn(&self, packs: &Listed, since: &str, sweeping: bool) -> IndexId {
        let packs = packs.iter().map(|(pack, _)| *pack).collect();
        let since = since.parse().unwrap();
        let indexes = self.indexes();
        self.write(Vec::new(), Some(Condemned { since, sweeping, packs, indexes }))
    }
}

fn world() -> World {
    let world = World::new(Version::V2);
    world.back_up(&[1, 2, 3, 4, 5]);
    world.back_up(&[1, 2, 3, 6]);
    world
}

fn assert_there(world: &World, packs: &Listed) {
    for (pack, _) in packs {
        let object = Object::Data(*pack);
        assert!(world.store.size(&object).is_ok(), "data/{pack} is gone");
    }
}

#[test]
fn a_mark_and_an_index_that_lie_together_remove_no_pack_that_is_needed() {
    for sweeping in [false, true] {
        for grace in [DAY, Duration::ZERO] {
            let world = world();
            let repository = world.open();
            let liar = Liar(&repository);
            let truth = liar.listed();
            let junk = liar.junk_of_all();
            liar.write(junk, None);
            liar.condemn(&truth, "2020-01-01T00:00:00Z", sweeping);
            for run in 0..3 {
                let outcome = world.prune(grace);
                if run == 0 && grace == DAY {
                    assert_eq!(outcome.freed_packs, 0, "{outcome:?}");
                    assert_there(&world, &truth);
                }
                // Later the true ones may go, when what is needed of them was copied.
                world.assert_readable();
                world.clock.turn(DAY * 2);
            }
        }
    }
}

#[test]
fn packs_that_no_index_lists_any_more_are_asked_what_they_hold() {
    let world = world();
    let repository = world.open();
    let liar = Liar(&repository);
    let truth = liar.listed();
    let is_data = |listed: &&(PackId, Vec<PackEntry>)| listed.1[0].kind == BlobType::Data;
    let data: Listed = truth.iter().filter(is_data).cloned().collect();
    let trees: Listed = truth.iter().filter(|l| !is_data(l)).cloned().collect();
    let old = liar.indexes();
    let junk = liar.junk(data.iter().flat_map(|(_, entries)| entries).copied());
    liar.write([trees, vec![junk]].concat(), None);
    for id in old {
        repository.store().remove(&Object::Index(id)).unwrap();
    }
    let outcome = world.prune(Duration::ZERO);
    assert_eq!((outcome.freed_packs, outcome.unproven_packs), (0, data.len() as u64));
    assert_there(&world, &data);
}

#[test]
fn the_copy_that_stays_must_be_one_that_can_be_read() {
    // Two true copies of everything; then the ones that are not condemned turn bad.
    let world = world();
    let repository = world.open();
    let liar = Liar(&repository);
    let truth = liar.listed();
    let mut copies = Listed::new();
    for (pack, entries) in &truth {
        let mut bytes = world.store.read(&Object::Data(*pack)).unwrap().to_vec();
        bytes.truncate(entries.iter().map(|e| (e.offset + e.length) as usize).max().unwrap());
        pack::finish(&mut bytes, entries, repository.key(), &SystemRandom);
        let copy = PackId::of(&bytes);
        world.store.create(&Object::Data(copy), bytes.into()).unwrap();
        copies.push((copy, entries.clone()));
    }
    liar.write(copies.clone(), None);
    liar.condemn(&truth, "2020-01-01T00:00:00Z", false);
    let first = Object::Data(copies[0].0);
    let mut bytes = world.store.read(&first).unwrap().to_vec();
    bytes[5] ^= 1;
    world.store.overwrite(&first, bytes.into());
    let outcome = world.prune(DAY);
    assert_eq!(outcome.freed_packs, truth.len() as u64 - 1, "the proven ones go: {outcome:?}");
    assert_eq!(outcome.unproven_packs, 1);
    assert_there(&world, &truth[..1].to_vec());
    world.assert_readable();
}

#[test]
fn a_pack_with_a_byte_too_many_or_without_its_end_is_replaced_by_one_that_is_right() {
    let world = world();
    for change in [0_usize, 1] {
        for (object, size) in world.store.list(Kind::Data).unwrap() {
            let bytes = world.store.read(&object).unwrap();
            let size = usize::try_from(size).unwrap();
            let changed = match change {
                0 => Bytes::from([&bytes[..], b"x"].concat()),
                _ => bytes.slice(..size - 1),
            };
            world.store.overwrite(&object, changed);
        }
        let outcome = world.prune(Duration::ZERO);
        assert!(outcome.repacked_packs > 0 && outcome.freed_packs > 0, "{outcome:?}");
        world.assert_clean();
    }
}

#[test]
fn when_a_mark_was_made_is_told_by_the_store_and_not_by_the_mark() {
    for (claimed, sweeping) in [("2020-01-01T00:00:00Z", false), ("2099-01-01T00:00:00Z", false)] {
        let directory = tempfile::tempdir().unwrap();
        let world = world();
        let path = directory.path().join("repository");
        let store = Arc::new(DirectoryStore::create_layout(&path).unwrap());
        for kind in Kind::LISTED.into_iter().chain([Kind::Config]) {
            for (object, _) in world.store.list(kind).unwrap() {
                store.create(&object, world.store.read(&object).unwrap()).unwrap();
            }
        }
        let open = || world.open_on(store.clone());
        let repository = open();
        let liar = Liar(&repository);
        let leftover = liar.junk(std::iter::empty());
        let mark = liar.condemn(&vec![leftover.clone()], claimed, sweeping);
        world.clock.turn(SystemClock.now().since(world.clock.now()));
        let prune = || world.prune_with(&open(), DAY).unwrap();
        let waiting = prune().waiting.unwrap();
        let due = SystemClock.now().saturating_add(DAY);
        assert!(due.since(waiting.due) < Duration::from_secs(600), "{waiting:?}");
        assert!(waiting.due.since(due) < Duration::from_secs(600), "{waiting:?}");
        let file = store.file_of(&Object::Index(mark));
        File::open(file).unwrap().set_modified(SystemTime::now() - DAY * 2).unwrap();
        assert_eq!(prune().freed_packs, 1, "{claimed}");
        assert!(!fs::exists(store.file_of(&Object::Data(leftover.0))).unwrap());
    }
}

#[test]
fn a_damaged_copy_is_made_good_by_another_one_when_packs_are_copied() {
    let world = World::new(Version::V2);
    let old = world.back_up(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    world.back_up(&[1, 4, 7]);
    world.forget(old);
    let repository = world.open();
    let liar = Liar(&repository);
    let junk = liar.junk_of_all();
    liar.write(junk, None);
    for _ in 0..3 {
        world.prune(Duration::ZERO);
        world.assert_readable();
    }
}
