use outlast_types::{Environment, Interrupt, SystemTimer};
use std::io::Write;
use std::num::NonZeroU64;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use proptest::prelude::*;

use super::*;
use crate::faulty::Faulty;
use crate::retry::{Policy, Retrying};
use crate::{MemoryStore, Paced, Recording, conformance, create_or_find};

fn name(byte: u8) -> [u8; 32] {
    [byte; 32]
}

/// Not a hash, but as good as one for stores that do not verify.
fn fake_name(content: &[u8]) -> [u8; 32] {
    let mut name = [0u8; 32];
    for (index, byte) in content.iter().enumerate() {
        name[index % 32] = name[index % 32].wrapping_mul(31) ^ byte;
    }
    name[31] ^= u8::try_from(content.len() % 251).unwrap();
    name
}

fn conforms(store: &dyn Store) {
    let subject = conformance::Subject { store, name_of: &fake_name, removable: &Kind::LISTED };
    conformance::check(subject).unwrap();
}

fn new_store() -> (tempfile::TempDir, DirectoryStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = DirectoryStore::create_layout(&directory.path().join("repo")).unwrap();
    (directory, store)
}

mod crashes;

#[test]
fn every_store_keeps_the_contract() {
    let (_directory, store) = new_store();
    conforms(&store);
    conforms(&MemoryStore::new());
    conforms(&Recording::new(Arc::new(MemoryStore::new())));
    conforms(&Faulty::new(Arc::new(MemoryStore::new())));
    conforms(&Retrying::new(
        Arc::new(MemoryStore::new()),
        Policy::default(),
        &Environment::system(),
    ));
    conforms(&Paced::new(
        Arc::new(MemoryStore::new()),
        Some(NonZeroU64::MAX),
        Arc::new(SystemTimer::new()),
        &Interrupt::default(),
    ));
}

#[test]
fn the_layout_is_restics() {
    let (_directory, store) = new_store();
    store.create(&Object::new(Kind::Data, name(0xab)), Bytes::from_static(b"x")).unwrap();
    store.create(&Object::Config, Bytes::from_static(b"y")).unwrap();
    let file = store.path().join("data/ab").join("ab".repeat(32));
    assert_eq!(fs::read(&file).unwrap(), b"x");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read(store.path().join("config")).unwrap(), b"y");
    for directory in ["keys", "locks", "snapshots", "index", "data"] {
        let mode = fs::metadata(store.path().join(directory)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700, "{directory}");
    }
}

#[test]
fn strange_files_are_no_objects() {
    let (_directory, store) = new_store();
    fs::create_dir(store.path().join("data/zz")).unwrap();
    fs::create_dir(store.path().join("data/ab")).unwrap();
    for file in ["data/README", "data/ab/x", "locks/.nfs0001", "keys/ABCD"] {
        File::create(store.path().join(file)).unwrap();
    }
    fs::create_dir(store.path().join("keys").join("ab".repeat(32))).unwrap();
    for kind in Kind::LISTED {
        assert_eq!(store.list(kind).unwrap(), [], "{kind}");
    }
}

#[test]
fn leftovers_of_killed_writers_are_invisible_and_removed_when_old() {
    let (_directory, store) = new_store();
    let locks = store.path().join("locks");
    let restic = locks.join(format!("{}-tmp-1234", "ab".repeat(32)));
    let ours = locks.join(".outlast-tmp-1");
    let young = locks.join(format!("{}-tmp-5678", "ab".repeat(32)));
    for path in [&restic, &ours, &young] {
        File::create(path).unwrap().write_all(b"half").unwrap();
    }
    let old = SystemTime::now() - LEFTOVER_AGE - Duration::from_secs(60);
    for path in [&restic, &ours] {
        File::open(path).unwrap().set_modified(old).unwrap();
    }
    assert_eq!(store.list(Kind::Lock).unwrap(), []);
    DirectoryStore::open(store.path()).unwrap();
    assert!(!restic.exists() && !ours.exists());
    assert!(young.exists());
}

#[test]
fn a_missing_directory_is_named_with_the_next_step() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("absent");
    let message = DirectoryStore::open(&path).unwrap_err().to_string();
    assert!(message.contains("absent") && message.contains("mounted"), "{message}");
    let file = directory.path().join("file");
    File::create(&file).unwrap();
    let message = DirectoryStore::open(&file).unwrap_err().to_string();
    assert!(message.contains("not a directory"), "{message}");
}

#[test]
fn an_unmounted_disk_is_neither_empty_nor_written_to() {
    let (directory, store) = new_store();
    fs::remove_dir_all(store.path()).unwrap();
    assert!(matches!(store.list(Kind::Data), Err(StoreError::List { .. })));
    let created = store.create(&Object::new(Kind::Data, name(1)), Bytes::from_static(b"x"));
    assert!(matches!(created, Err(StoreError::Io { .. })), "{created:?}");
    let read = store.read(&Object::Config);
    assert!(matches!(read, Err(StoreError::Io { .. })), "{read:?}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn empty_directories_that_a_copy_lost_are_made_when_they_are_needed() {
    let (_directory, store) = new_store();
    store.create(&Object::Config, Bytes::from_static(b"config")).unwrap();
    for kind in Kind::LISTED {
        fs::remove_dir(store.path().join(kind.directory())).unwrap();
    }
    let store = DirectoryStore::open(store.path()).unwrap();
    for kind in Kind::LISTED {
        assert_eq!(store.list(kind).unwrap(), [], "{kind}");
        let object = Object::new(kind, name(7));
        assert!(matches!(store.size(&object), Err(StoreError::NotFound { .. })), "{kind}");
        store.create(&object, Bytes::from_static(b"x")).unwrap();
        assert_eq!(store.list(kind).unwrap(), [(object, 1)]);
        let mode = fs::metadata(store.path().join(kind.directory())).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700, "{kind}");
    }
}

#[test]
fn when_an_object_was_written_is_told_by_the_store_and_not_by_whoever_dated_it() {
    let (_directory, store) = new_store();
    let object = Object::new(Kind::Lock, name(1));
    assert!(matches!(store.written(&object), Err(StoreError::NotFound { .. })));
    store.create(&object, Bytes::new()).unwrap();
    let minute = Duration::from_secs(60);
    let age = || store.written(&object).unwrap().unwrap().age();
    assert!(age() < minute);
    let file = File::open(store.file_of(&object)).unwrap();
    file.set_modified(SystemTime::now() + 1000 * LEFTOVER_AGE).unwrap();
    let written = store.written(&object).unwrap().unwrap();
    assert!(written.age() < minute && written.at <= written.now, "{written:?}");
    file.set_modified(SystemTime::now() - LEFTOVER_AGE).unwrap();
    assert!(age() >= LEFTOVER_AGE);
    let left = fs::read_dir(store.path()).unwrap().count();
    assert_eq!(left, Kind::LISTED.len(), "asking leaves nothing behind");
}

#[test]
fn an_object_that_was_cut_off_is_not_taken_for_the_one_that_is_to_be_stored() {
    let (_directory, store) = new_store();
    let object = Object::new(Kind::Data, name(1));
    let content = Bytes::from_static(b"whole");
    for _ in 0..2 {
        create_or_find(&store, &object, content.clone()).unwrap();
    }
    for stump in ["", "who"] {
        let mut file = File::create(store.file_of(&object)).unwrap();
        file.write_all(stump.as_bytes()).unwrap();
        let error = create_or_find(&store, &object, content.clone()).unwrap_err();
        assert!(matches!(error, StoreError::OtherSize { expected: 5, .. }), "{error}");
        assert_eq!(fs::read(store.file_of(&object)).unwrap(), stump.as_bytes());
    }
}

#[test]
fn a_full_disk_is_named_and_not_retried() {
    let (_directory, store) = new_store();
    let full = io::Error::from(io::ErrorKind::StorageFull);
    let error = store.failed(Verb::Create, &Object::new(Kind::Data, name(1)), full);
    assert!(!error.is_passing());
    let message = error.to_string();
    let path = store.path().display().to_string();
    assert!(message.contains(&path) && message.contains("is full"), "{message}");
}

/// A small disk of its own; only root may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k", "outlast-test"]).arg(directory.path());
        let mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        mounted.then_some(Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg(self.0.path()).status().ok();
    }
}

#[test]
fn a_disk_that_fills_up_keeps_what_it_has_and_nothing_by_halves() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("not tried on a real full disk: mounting one needs root");
        return;
    };
    let store = DirectoryStore::create_layout(disk.0.path()).unwrap();
    store.create(&Object::new(Kind::Data, name(1)), Bytes::from(vec![1; 64 << 10])).unwrap();
    let error =
        store.create(&Object::new(Kind::Data, name(2)), Bytes::from(vec![2; 1 << 20])).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert_eq!(store.list(Kind::Data).unwrap(), [(Object::new(Kind::Data, name(1)), 64 << 10)]);
    // The room of the half-written file was given back.
    store.create(&Object::new(Kind::Data, name(3)), Bytes::from(vec![3; 64 << 10])).unwrap();
    assert_eq!(store.read(&Object::new(Kind::Data, name(3))).unwrap(), vec![3; 64 << 10]);
}

/// One call, small enough that sequences of them collide.
#[derive(Debug, Clone)]
enum Step {
    Create(Object, Vec<u8>),
    Read(Object),
    ReadRange(Object, u64, usize),
    Size(Object),
    List(Kind),
    Remove(Object),
}

fn step() -> impl Strategy<Value = Step> {
    let kind =
        prop::sample::select([Kind::Config].into_iter().chain(Kind::LISTED).collect::<Vec<_>>());
    let object = (kind.clone(), 0u8..3).prop_map(|(kind, byte)| Object::new(kind, name(byte)));
    let content = prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        (object.clone(), content).prop_map(|(object, content)| Step::Create(object, content)),
        object.clone().prop_map(Step::Read),
        (object.clone(), 0u64..25, 0usize..25).prop_map(|(o, at, n)| Step::ReadRange(o, at, n)),
        object.clone().prop_map(Step::Size),
        kind.prop_map(Step::List),
        object.prop_map(Step::Remove),
    ]
}

/// What a call gives, without where: the same for every store.
fn outcome(store: &dyn Store, step: &Step) -> String {
    fn told<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
        match result {
            Ok(value) => format!("{value:?}"),
            Err(StoreError::NotFound { object, .. }) => format!("no {object}"),
            Err(StoreError::AlreadyExists { object, .. }) => format!("already {object}"),
            Err(error) => format!("passing: {}", error.is_passing()),
        }
    }
    match step {
        Step::Create(object, content) => told(store.create(object, content.clone().into())),
        Step::Read(object) => told(store.read(object)),
        Step::ReadRange(object, offset, length) => told(store.read_range(object, *offset, *length)),
        Step::Size(object) => told(store.size(object)),
        Step::List(kind) => told(store.list(*kind).map(|mut objects| {
            objects.sort_unstable();
            objects
        })),
        Step::Remove(object) => told(store.remove(object)),
    }
}

proptest! {
    #![proptest_config(outlast_testing::cases(24))]

    #[test]
    fn a_directory_does_what_memory_does(steps in prop::collection::vec(step(), 1..40)) {
        let (_directory, directory) = new_store();
        let memory = MemoryStore::new();
        for step in &steps {
            prop_assert_eq!(outcome(&directory, step), outcome(&memory, step), "{:?}", step);
        }
    }
}
