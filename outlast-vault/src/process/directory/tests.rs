//! What a directory keeps, and one suite for every storage.

use super::*;
use crate::core::storage::memory::MemoryStorage;

const NAME: &str = "4fe0bd8c12b0a1d0e9a3c0f9d60c6ae5b5f6f4d7b8a9c0d1e2f30415263748f9";

fn repository(objects: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for object in objects {
        let path = directory.path().join("repos/w").join(object.replace('*', NAME));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        durable::create_new(&path, b"x", 0o600).unwrap();
    }
    directory
}

#[test]
fn only_what_is_named_like_an_object_is_one() {
    let workload = WorkloadName::new("w").unwrap();
    let kinds = [Kind::Config, Kind::Key, Kind::Snapshot, Kind::Index, Kind::Data];
    let check = |objects: &[&str], expected: &[Kind]| {
        let directory = repository(objects);
        let storage = DirectoryStorage::open(directory.path()).unwrap();
        let held: Vec<Kind> =
            kinds.into_iter().filter(|kind| storage.holds(&workload, *kind).unwrap()).collect();
        assert_eq!(held, expected, "{objects:?}");
    };
    check(&[], &[]);
    check(&["lost+found/x", "data/00/README", "keys/README"], &[]);
    check(&["data", "keys"], &[]);
    for (object, kind) in [
        ("config", Kind::Config),
        ("keys/*", Kind::Key),
        ("snapshots/*", Kind::Snapshot),
        ("index/*", Kind::Index),
        ("data/4f/*", Kind::Data),
    ] {
        check(&[object], &[kind]);
    }
}

#[test]
fn a_repository_that_is_set_aside_is_kept_under_a_name_that_is_no_workload() {
    let directory = repository(&["config"]);
    let storage = DirectoryStorage::open(directory.path()).unwrap();
    let workload = WorkloadName::new("w").unwrap();
    assert!(storage.set_repository_aside(&workload, "1").unwrap());
    assert!(!storage.set_repository_aside(&workload, "1").unwrap());
    assert!(storage.repositories().unwrap().is_empty());
    let kept = directory.path().join("repos/.aside-w-1/config");
    assert_eq!(fs::read_to_string(kept).unwrap(), "x");
    assert!(WorkloadName::new(".aside-w-1").is_err());
}

/// What every storage does with records.
fn records_are_kept(storage: &dyn VaultStorage) {
    use Durability::{Durable, Fast};
    let key = "arrivals/w/1.json";
    let read = |key: &str| storage.read(key, 100).unwrap();
    let through = |key: &str| {
        let mut content = Vec::new();
        let mut take = |piece: &[u8]| {
            content.extend_from_slice(piece);
            true
        };
        storage.read_through(key, &mut take).unwrap();
        content
    };
    assert_eq!((read(key), storage.length(key).unwrap()), (None, None));
    assert!(through(key).is_empty());
    assert!(!storage.has_any("arrivals").unwrap() && storage.list("arrivals").unwrap().is_empty());
    for durability in [Durable, Fast] {
        storage.replace(key, b"a long one", durability).unwrap();
        storage.replace(key, b"short", durability).unwrap();
        assert_eq!(read(key).unwrap(), b"short");
        // What was torn is written over, and nothing of it is left.
        storage.append(key, 2, b"ELL", durability).unwrap();
        storage.append(key, 4, b"!", durability).unwrap();
        assert_eq!(read(key).unwrap(), b"shEL!");
    }
    assert_eq!((through(key), storage.length(key).unwrap()), (b"shEL!".to_vec(), Some(5)));
    assert_eq!(storage.read(key, 4).unwrap_err().kind(), ErrorKind::FileTooLarge);
    let mut pieces = 0;
    let mut once = |_: &[u8]| {
        pieces += 1;
        false
    };
    storage.read_through(key, &mut once).unwrap();
    assert_eq!(pieces, 1);
    storage.append("arrivals/w/2.json", 0, b"two", Durable).unwrap();
    assert_eq!(storage.list("arrivals").unwrap(), ["w"]);
    assert_eq!(storage.list("arrivals/w").unwrap(), ["1.json", "2.json"]);
    assert!(storage.has_any("arrivals/w").unwrap());
    assert!(storage.remove(key).unwrap() && !storage.remove(key).unwrap());
    assert!(storage.set_aside("arrivals/w", "7").unwrap());
    assert!(!storage.set_aside("arrivals/w", "7").unwrap());
    assert_eq!(storage.list("arrivals").unwrap(), [".aside-w-7"]);
    assert_eq!(read("arrivals/.aside-w-7/2.json").unwrap(), b"two");
}

#[test]
fn a_directory_and_memory_keep_records_alike() {
    let directory = tempfile::tempdir().unwrap();
    records_are_kept(&DirectoryStorage::open(directory.path()).unwrap());
    records_are_kept(&MemoryStorage::default());
}
