//! How fast the tables of a repository answer on one core: `cargo bench -p outlast-repo`, with
//! `-- BLOBS` for another number of blobs than a million.
//!
//! The index and the cache of chunk ids lie in sorted files of a temporary directory, which the page
//! cache holds. Lookups come in no order, because that of hashes is none.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark for terminals")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use outlast_format::config::Version;
use outlast_format::index::IndexFile;
use outlast_format::pack::{BlobType, PackEntry};
use outlast_format::{BlobId, PackId, Sha256Id};
use outlast_repo::{ChunkIdCache, Credential, Index, Maker, Repository};
use outlast_store::Object;
use outlast_store::memory::MemoryStore;
use outlast_testing::pace;
use outlast_types::{SystemRandom, Timestamp};

const BLOBS: u32 = 1_000_000;
const BLOBS_IN_PACK: u32 = 500;
/// As many as stock restic writes into an index file.
const PACKS_IN_FILE: u32 = 100;
/// Lookups between two looks at the clock.
const BATCH: u32 = 1000;
/// An odd number near 2³² / φ: its multiples visit all blobs in no order.
const STRIDE: u32 = 2_654_435_769;

fn id(number: u32) -> BlobId {
    BlobId::of(&number.to_le_bytes())
}

fn entry(number: u32) -> PackEntry {
    PackEntry {
        kind: BlobType::Data,
        id: id(number),
        offset: number % BLOBS_IN_PACK * 30_000,
        length: 30_000,
        uncompressed_length: Some(65_536),
    }
}

/// Stores index files of so many blobs, as a backup would.
fn fill(repository: &Repository, blobs: u32) {
    let packs: Vec<u32> = (0..blobs.div_ceil(BLOBS_IN_PACK)).collect();
    for numbers in packs.chunks(PACKS_IN_FILE as usize) {
        let pack = |number: u32| {
            let first = number * BLOBS_IN_PACK;
            let last = (first + BLOBS_IN_PACK).min(blobs);
            (PackId::of(&number.to_be_bytes()), (first..last).map(entry).collect())
        };
        let packs = numbers.iter().map(|number| pack(*number)).collect();
        let document = IndexFile { packs, ..IndexFile::default() }.serialize().unwrap();
        let (name, sealed) = repository.seal_unpacked("index", &document, &SystemRandom).unwrap();
        repository.store().create(&Object::Index(name), sealed).unwrap();
    }
}

/// Tells how many lookups `look` does in a second, of hashes that were computed before.
fn lookups<T>(name: &str, wanted: &[T], mut look: impl FnMut(&T)) {
    let mut at = 0;
    let batches = pace::calls_for_second(|| {
        for _ in 0..BATCH {
            look(&wanted[at]);
            at = (at + 1) % wanted.len();
        }
    });
    tell(name, batches * f64::from(BATCH));
}

fn tell(name: &str, rate: f64) {
    println!("{name:<40} {rate:>10.0} /s {:>8.2} µs", 1e6 / rate);
}

fn once<T>(name: &str, count: u32, work: impl FnOnce() -> T) -> T {
    let (result, seconds) = pace::seconds_of(work);
    tell(name, f64::from(count) / seconds.max(1e-9));
    result
}

fn main() {
    let blobs =
        std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(BLOBS);
    println!("{blobs} blobs");
    let store = Arc::new(MemoryStore::new());
    let maker =
        Maker { hostname: "bench".into(), username: "bench".into(), created: Timestamp::EPOCH };
    let made =
        Repository::init(store.clone(), "bench", Version::V2, &maker, &SystemRandom).unwrap();
    once("write index files, each blob", blobs, || fill(&made, blobs));
    let directory = tempfile::tempdir().unwrap();
    let open = |cache: &Path| {
        let credential = Credential::Key(made.key().clone());
        Repository::open(store.clone(), credential).unwrap().cached_in(cache)
    };
    let first = open(directory.path());
    once("read them into sorted files, each blob", blobs, || {
        first.index().unwrap();
    });
    drop(first);
    let repository = open(directory.path());
    let (index, seconds) = pace::seconds_of(|| repository.index().unwrap());
    println!("{:<40} {:>10.1} ms", "open the sorted files again", seconds * 1000.0);
    index_lookups(index, blobs);
    chunk_ids(&repository, blobs);
}

/// Numbers of blobs in no order, and others that nobody has.
fn wanted(blobs: u32) -> (Vec<u32>, Vec<u32>) {
    let shuffled = |n: u32| n.wrapping_mul(STRIDE) % blobs;
    let known = (0..blobs.min(1 << 18)).map(shuffled).collect();
    let unknown = (0..1 << 16).map(|n| u32::MAX - n).collect();
    (known, unknown)
}

fn index_lookups(index: &Index, blobs: u32) {
    let (known, unknown) = wanted(blobs);
    let ids = |numbers: Vec<u32>| numbers.into_iter().map(id).collect::<Vec<_>>();
    let (known, unknown) = (ids(known), ids(unknown));
    lookups("index: where a known blob lies", &known, |id| {
        assert!(index.locate(BlobType::Data, black_box(id)).unwrap().is_some());
    });
    lookups("index: a blob that is new", &unknown, |id| {
        assert!(!index.has(BlobType::Data, black_box(id)).unwrap());
    });
    lookups("index: the number of a known blob", &known, |id| {
        assert!(index.ordinal(BlobType::Data, black_box(id)).unwrap().is_some());
    });
    once("index: all blobs in order, each", blobs, || {
        assert_eq!(index.entries().map(Result::unwrap).count(), blobs as usize);
    });
}

fn chunk_ids(repository: &Repository, blobs: u32) {
    let content = |number: u32| blake3::hash(&number.to_le_bytes());
    let hints: Vec<_> = (0..blobs).map(|number| (content(number), id(number))).collect();
    let cache = ChunkIdCache::open(repository);
    once("chunk ids: note a blob, files written", blobs, || {
        hints.iter().for_each(|(content, id)| cache.note(content, *id));
        cache.flush();
    });
    drop((cache, hints));
    let cache = ChunkIdCache::open(repository);
    let (known, unknown) = wanted(blobs);
    let contents = |numbers: Vec<u32>| numbers.into_iter().map(content).collect::<Vec<_>>();
    lookups("chunk ids: known content", &contents(known), |content| {
        assert!(cache.get(black_box(content)).is_some());
    });
    lookups("chunk ids: content that is new", &contents(unknown), |content| {
        assert!(cache.get(black_box(content)).is_none());
    });
}
