use std::io::Write;
use std::sync::Arc;
use std::time::SystemTime;

use super::*;
use crate::faulty::Faulty;
use crate::retry::{Policy, Retrying};
use crate::{MemoryStore, Recording, conformance};

fn name(byte: u8) -> ObjectName {
    ObjectName([byte; 32])
}

/// Not a hash, but as good as one for stores that do not verify.
fn fake_name(content: &[u8]) -> ObjectName {
    let mut name = [0u8; 32];
    for (index, byte) in content.iter().enumerate() {
        name[index % 32] = name[index % 32].wrapping_mul(31) ^ byte;
    }
    name[31] ^= u8::try_from(content.len() % 251).unwrap();
    ObjectName(name)
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
        Arc::new(outlast_types::SystemRandom),
        Box::new(|_| true),
    ));
}

#[test]
fn the_layout_is_restics() {
    let (_directory, store) = new_store();
    store.create(&Object::Data(name(0xab)), Bytes::from_static(b"x")).unwrap();
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
    let created = store.create(&Object::Data(name(1)), Bytes::from_static(b"x"));
    assert!(matches!(created, Err(StoreError::Io { .. })), "{created:?}");
    let read = store.read(&Object::Config);
    assert!(matches!(read, Err(StoreError::Io { .. })), "{read:?}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_full_disk_is_named_and_not_retried() {
    let (_directory, store) = new_store();
    let full = io::Error::from(io::ErrorKind::StorageFull);
    let error = store.failed(Verb::Create, &Object::Data(name(1)), full);
    assert!(!error.is_passing());
    let message = error.to_string();
    let path = store.path().display().to_string();
    assert!(message.contains(&path) && message.contains("is full"), "{message}");
}
