use std::sync::Arc;

use outlast_store::MemoryStore;

use super::*;
use crate::repository::tests::init;

fn chunks(range: std::ops::Range<u64>) -> Vec<KnownChunk> {
    let chunk = |n: u64| {
        let content = *blake3::hash(&n.to_le_bytes()).as_bytes();
        KnownChunk { cut_hash: n + 1, length: 1000, content, id: BlobId(content) }
    };
    range.map(chunk).collect()
}

fn repository(directory: &Path) -> Repository {
    init(&Arc::new(MemoryStore::new())).unwrap().cached_in(directory)
}

fn leave(repository: &Repository, average: u32, count: u64) {
    let history = ChunkHistory::open(repository, average);
    // Blocks of a hundred chunks, two by two in the wrong order.
    let blocks = count.div_ceil(100);
    for pair in (0..blocks).step_by(2) {
        for block in [pair + 1, pair] {
            let end = count.min((block + 1) * 100);
            history.record(block, chunks((block * 100).min(end)..end));
        }
    }
    history.finish();
}

fn followed(history: &ChunkHistory) -> u64 {
    let mut number = 0;
    while let Some(chunk) = history.chunk(number) {
        assert_eq!(chunk, chunks(number..number + 1)[0]);
        assert_eq!(history.after(chunk.cut_hash), Some(number + 1));
        history.reached(number);
        number += 1;
    }
    number
}

#[test]
fn a_trail_is_followed_from_its_first_step_to_its_last_in_bounded_memory() {
    let directory = tempfile::tempdir().unwrap();
    let repository = repository(directory.path());
    let count = (WINDOW_PAGES * PAGE_CHUNKS) as u64 + 70_001;
    leave(&repository, 64, count);
    let history = ChunkHistory::open(&repository, 64);
    assert_eq!(followed(&history), count);
    let window = history.window();
    assert!(window.chunks.len() <= WINDOW_PAGES * PAGE_CHUNKS);
    assert_eq!(window.cut_hashes.len(), window.chunks.len());
}

#[test]
fn a_backup_that_fails_leaves_the_old_trail() {
    let directory = tempfile::tempdir().unwrap();
    let repository = repository(directory.path());
    leave(&repository, 64, 700);
    let failed = ChunkHistory::open(&repository, 64);
    failed.record(0, chunks(0..10));
    drop(failed);
    assert_eq!(followed(&ChunkHistory::open(&repository, 64)), 700);
}

#[test]
fn the_trail_of_another_repository_or_other_chunks_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (repository(directory.path()), repository(directory.path()));
    leave(&one, 64, 700);
    leave(&other, 64, 10);
    assert_eq!(followed(&ChunkHistory::open(&one, 256)), 0);
    let path = |repository: &Repository| match repository.table(Table::ChunkHistory).0 {
        Place::Kept(directory) => directory.join(NAME),
        place => panic!("{place:?}"),
    };
    std::fs::copy(path(&one), path(&other)).unwrap();
    assert_eq!(followed(&ChunkHistory::open(&other, 64)), 0);
    assert_eq!(followed(&ChunkHistory::open(&one, 64)), 700);
}

#[test]
fn a_trail_ends_where_it_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let repository = repository(directory.path());
    leave(&repository, 64, 1200);
    let Place::Kept(table) = repository.table(Table::ChunkHistory).0 else { panic!() };
    let path = table.join(NAME);
    let whole = std::fs::read(&path).unwrap();
    let page = 4 + PAGE_CHUNKS * CHUNK_BYTES + 32;
    for at in [0, 3, 4, 77, page - 1, page, page + 2000, 2 * page + 5, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        for content in [&damaged[..], &whole[..at]] {
            File::create(&path).unwrap().write_all(content).unwrap();
            let left = (at / page * PAGE_CHUNKS) as u64;
            assert_eq!(followed(&ChunkHistory::open(&repository, 64)), left, "at {at}");
        }
    }
}

#[test]
fn of_two_backups_at_once_only_the_first_leaves_a_trail() {
    let directory = tempfile::tempdir().unwrap();
    let repository = repository(directory.path());
    leave(&repository, 64, 10);
    let Place::Kept(table) = repository.table(Table::ChunkHistory).0 else { panic!() };
    let files = || std::fs::read_dir(&table).unwrap().count();
    let first = ChunkHistory::open(&repository, 64);
    assert_eq!(files(), 3, "lock, history and the new one");
    leave(&repository, 64, 5);
    assert_eq!(followed(&ChunkHistory::open(&repository, 64)), 10);
    first.record(0, chunks(0..20));
    first.finish();
    assert_eq!(followed(&ChunkHistory::open(&repository, 64)), 20);
}
