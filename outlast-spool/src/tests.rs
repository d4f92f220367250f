//! The spool on a real directory: across restarts, kills and those who come twice.

use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use outlast_types::{Environment, IndexId, PackId, WorkloadName};

use super::*;

const MIB: u64 = 1 << 20;
const ROOMY: Room = Room { total: 1000 * MIB, each: 1000 * MIB };

fn open(directory: &Path) -> Arc<Spool> {
    Spool::open(directory, ROOMY, Environment::system()).unwrap()
}

fn pack(workload: &str, name: u8) -> Key {
    Key { workload: workload.parse().unwrap(), what: What::Pack(PackId([name; 32])) }
}

fn store(spool: &Arc<Spool>, key: &Key, content: &[u8]) -> Item {
    let mut incoming = spool.begin(key.clone(), None).unwrap().unwrap();
    content.chunks(7).for_each(|piece| incoming.take(piece).unwrap());
    incoming.store(key.what.hash()).unwrap()
}

fn content(spool: &Spool, item: &Item) -> Vec<u8> {
    let mut content = Vec::new();
    spool.read(item).unwrap().read_to_end(&mut content).unwrap();
    content
}

#[test]
fn what_is_stored_is_there_in_order_after_a_restart_and_nothing_else_is() {
    let directory = tempfile::tempdir().unwrap();
    let spool = open(directory.path());
    let id = spool.id();
    let words = Key { what: What::Index(IndexId([9; 32])), ..pack("a", 0) };
    let stored: Vec<Item> = [pack("a", 1), pack("a", 2), words]
        .iter()
        .map(|key| store(&spool, key, key.what.to_string().as_bytes()))
        .collect();
    store(&spool, &pack("b", 1), b"of another");
    let mut unfinished = spool.begin(pack("a", 3), None).unwrap().unwrap();
    unfinished.take(b"half").unwrap();
    assert_eq!(spool.usage().items, 4);
    drop((unfinished, spool));

    let spool = open(directory.path());
    let a: WorkloadName = "a".parse().unwrap();
    assert_eq!((spool.id(), spool.oldest(&a, None, 10)), (id, stored.clone()));
    assert_eq!(spool.oldest(&a, Some(stored[0].arrival), 1), stored[1..2]);
    for item in &stored {
        assert_eq!(content(&spool, item), item.key.what.to_string().as_bytes());
        spool.remove(item).unwrap();
        spool.remove(item).unwrap();
    }
    assert!(matches!(spool.read(&stored[0]), Err(SpoolError::Absent { .. })));
    let usage = Usage { items: 1, bytes: 10 };
    assert_eq!(spool.usage(), usage);
    assert_eq!(spool.waiting().len(), 1);
}

#[test]
fn what_comes_twice_is_there_once_and_both_are_told_that_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let spool = open(directory.path());
    let key = pack("a", 1);
    let twice: Vec<Incoming> =
        (0..2).map(|_| spool.begin(key.clone(), None).unwrap().unwrap()).collect();
    let store = |mut incoming: Incoming| {
        incoming.take(b"content").unwrap();
        incoming.store(key.what.hash()).unwrap()
    };
    let items: Vec<Item> = twice.into_iter().map(store).collect();
    assert_eq!(items[0], items[1]);
    assert!(spool.begin(key.clone(), None).unwrap().is_none());
    let usage = Usage { items: 1, bytes: 7 };
    assert_eq!(spool.usage(), usage);
    drop(spool);
    assert_eq!(open(directory.path()).usage(), usage);
}

#[test]
fn what_is_not_what_its_name_says_and_what_finds_no_room_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let small = Room { total: 10 * MIB, each: 4 * MIB };
    let spool = Spool::open(directory.path(), small, Environment::system()).unwrap();
    let mut incoming = spool.begin(pack("a", 1), None).unwrap().unwrap();
    incoming.take(b"content").unwrap();
    assert!(matches!(incoming.store([0; 32]), Err(SpoolError::WrongHash { .. })));
    let mut incoming = spool.begin(pack("a", 1), None).unwrap().unwrap();
    let piece = vec![0; 3 << 20];
    incoming.take(&piece).unwrap();
    let error = incoming.take(&piece).unwrap_err();
    assert!(error.is_passing(), "{error}");
    drop(incoming);
    assert_eq!(spool.usage(), Usage::default());
    let left = std::fs::read_dir(directory.path().join("items")).unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn a_spool_is_of_one_process_and_one_that_was_wiped_is_another_one() {
    let directory = tempfile::tempdir().unwrap();
    let spool = open(directory.path());
    let second = Spool::open(directory.path(), ROOMY, Environment::system());
    assert!(matches!(second, Err(SpoolError::InUse { .. })));
    let id = spool.id();
    drop(spool);
    std::fs::remove_dir_all(directory.path()).unwrap();
    assert_ne!(open(directory.path()).id(), id);
}

#[test]
fn a_spool_that_is_taken_away_at_work_says_so_and_without_its_items_it_is_another_one() {
    let directory = tempfile::tempdir().unwrap();
    let items = directory.path().join("items");
    let spool = open(directory.path());
    let item = store(&spool, &pack("a", 1), b"content");
    assert!(spool.is_in_place());
    std::fs::remove_dir_all(&items).unwrap();
    assert!(!spool.is_in_place());
    // Whoever makes them anew does not bring back what was there.
    std::fs::create_dir(&items).unwrap();
    assert!(!spool.is_in_place() && spool.read(&item).is_err());
    std::fs::remove_dir(&items).unwrap();
    let id = spool.id();
    drop(spool);
    let spool = open(directory.path());
    assert_ne!(spool.id(), id);
    assert_eq!((spool.usage(), spool.is_in_place()), (Usage::default(), true));
    std::fs::remove_file(directory.path().join("id")).unwrap();
    assert!(!spool.is_in_place());
}

#[test]
fn what_a_disk_does_not_let_go_is_handed_on_once_and_not_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let spool = open(directory.path());
    let (item, other) = (store(&spool, &pack("a", 1), b"1"), store(&spool, &pack("a", 2), b"2"));
    // As on a disk that can only be read any more: for root, too.
    let path = directory.path().join("items").join(item.file_name());
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(spool.remove(&item).is_err());
    assert_eq!(spool.oldest(&other.key.workload, None, 10), [other]);
    assert_eq!(spool.usage(), Usage { items: 1, bytes: 1 });
}

#[test]
fn what_others_put_there_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let foreign = directory.path().join("items/lost+found");
    outlast_fs::durable::create_new(&foreign, b"", 0o600).unwrap();
    assert_eq!(open(directory.path()).usage(), Usage::default());
    assert!(foreign.exists());
}

/// What a process does that is killed at some step.
#[test]
fn helper_that_is_killed() {
    let Ok(directory) = std::env::var("SPOOL_OF_THE_KILLED") else { return };
    let spool = open(Path::new(&directory));
    for name in 1..=3 {
        let item = store(&spool, &pack("a", name), &[name; 100]);
        // Acknowledged: what the parent sees of it must stay.
        println!("stored {name}");
        if name == 2 {
            spool.remove(&item).unwrap();
            println!("removed {name}");
        }
    }
}

#[test]
fn killed_at_any_step_a_spool_has_all_that_it_acknowledged_and_nothing_half() {
    let mut strikes = 0;
    for step in 1.. {
        let directory = tempfile::tempdir().unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::helper_that_is_killed", "--nocapture"])
            .env("SPOOL_OF_THE_KILLED", directory.path())
            .env(outlast_fs::fault::DIE_AT, step.to_string())
            .output()
            .unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        let said = |words: &str| told.contains(words);
        let spool = open(directory.path());
        for name in 1..=3 {
            let Some(item) = spool.find(&pack("a", name)) else {
                let gone = name == 2 && said("stored 2");
                assert!(gone || !said(&format!("stored {name}")), "step {step}: {name} is lost");
                continue;
            };
            assert_eq!(content(&spool, &item), [name; 100], "step {step}");
            assert!(
                !(name == 2 && said("removed 2")),
                "step {step}: a removal was undone by a kill"
            );
        }
        if output.status.success() {
            break;
        }
        strikes += 1;
    }
    assert!(strikes >= 9, "only {strikes} kills struck");
}
