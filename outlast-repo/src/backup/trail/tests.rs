use std::sync::Arc;

use outlast_store::MemoryStore;

use super::*;
use crate::repository::tests::init;

fn steps(range: std::ops::Range<u64>) -> Vec<Step> {
    let step = |n: u64| {
        let content = *blake3::hash(&n.to_le_bytes()).as_bytes();
        Step { mark: n + 1, length: 1000, content, id: BlobId(content) }
    };
    range.map(step).collect()
}

fn repository(directory: &Path) -> Repository {
    init(&Arc::new(MemoryStore::new())).unwrap().cached_in(directory)
}

fn leave(repository: &Repository, average: u32, count: u64) {
    let trail = Trail::open(repository, average);
    // Blocks of a hundred steps, two by two in the wrong order.
    let blocks = count.div_ceil(100);
    for pair in (0..blocks).step_by(2) {
        for block in [pair + 1, pair] {
            let end = count.min((block + 1) * 100);
            trail.record(block, steps((block * 100).min(end)..end));
        }
    }
    trail.finish();
}

fn followed(trail: &Trail) -> u64 {
    let mut number = 0;
    while let Some(step) = trail.step(number) {
        assert_eq!(step, steps(number..number + 1)[0]);
        assert_eq!(trail.after(step.mark), Some(number + 1));
        trail.reached(number);
        number += 1;
    }
    number
}

#[test]
fn a_trail_is_followed_from_its_first_step_to_its_last_in_bounded_memory() {
    let directory = tempfile::tempdir().unwrap();
    let repository = repository(directory.path());
    let count = (WINDOW_PAGES * PAGE_STEPS) as u64 + 70_001;
    leave(&repository, 64, count);
    let trail = Trail::open(&repository, 64);
    assert_eq!(followed(&trail), count);
    let window = trail.window();
    assert!(window.steps.len() <= WINDOW_PAGES * PAGE_STEPS);
    assert_eq!(window.marks.len(), window.steps.len());
}

#[test]
fn a_backup_that_fails_leaves_the_old_trail() {
    let directory = tempfile::tempdir().unwrap();
    let repository = repository(directory.path());
    leave(&repository, 64, 700);
    let failed = Trail::open(&repository, 64);
    failed.record(0, steps(0..10));
    drop(failed);
    assert_eq!(followed(&Trail::open(&repository, 64)), 700);
}

#[test]
fn the_trail_of_another_repository_or_other_chunks_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (repository(directory.path()), repository(directory.path()));
    leave(&one, 64, 700);
    leave(&other, 64, 10);
    assert_eq!(followed(&Trail::open(&one, 256)), 0);
    let path = |repository: &Repository| match repository.table(Table::Trail).0 {
        Place::Kept(directory) => directory.join(NAME),
        place => panic!("{place:?}"),
    };
    std::fs::copy(path(&one), path(&other)).unwrap();
    assert_eq!(followed(&Trail::open(&other, 64)), 0);
    assert_eq!(followed(&Trail::open(&one, 64)), 700);
}

#[test]
fn a_trail_ends_where_it_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let repository = repository(directory.path());
    leave(&repository, 64, 1200);
    let Place::Kept(table) = repository.table(Table::Trail).0 else { panic!() };
    let path = table.join(NAME);
    let whole = std::fs::read(&path).unwrap();
    let page = 4 + PAGE_STEPS * STEP_BYTES + 32;
    for at in [0, 3, 4, 77, page - 1, page, page + 2000, 2 * page + 5, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        for content in [&damaged[..], &whole[..at]] {
            File::create(&path).unwrap().write_all(content).unwrap();
            let left = (at / page * PAGE_STEPS) as u64;
            assert_eq!(followed(&Trail::open(&repository, 64)), left, "at {at}");
        }
    }
}

#[test]
fn of_two_backups_at_once_only_the_first_leaves_a_trail() {
    let directory = tempfile::tempdir().unwrap();
    let repository = repository(directory.path());
    leave(&repository, 64, 10);
    let Place::Kept(table) = repository.table(Table::Trail).0 else { panic!() };
    let files = || std::fs::read_dir(&table).unwrap().count();
    let first = Trail::open(&repository, 64);
    assert_eq!(files(), 3, "lock, trail and the new one");
    leave(&repository, 64, 5);
    assert_eq!(followed(&Trail::open(&repository, 64)), 10);
    first.record(0, steps(0..20));
    first.finish();
    assert_eq!(followed(&Trail::open(&repository, 64)), 20);
}
