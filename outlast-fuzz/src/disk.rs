//! The files that the engine keeps on its own disk. They are no truth: whatever is in them, a
//! check misses nothing, a backup is whole, and the index says what the repository says.

use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use outlast_format::BlobId;
use outlast_format::config::Version;
use outlast_format::index::IndexFile;
use outlast_format::pack::BlobType;
use outlast_fs::FileTime;
use outlast_repo::backup::{self, Input, StreamInput};
use outlast_repo::check::{self, Resume};
use outlast_repo::{CacheError, Credential, Maker, RepoError, Repository};
use outlast_store::{Kind, MemoryStore, Object, Store};
use outlast_types::{Silent, SystemClock, SystemRandom, Timestamp};

use crate::mutate::Seeded;
use crate::outcome::{Outcome, scale};

/// A small repository, the same for all inputs of a process.
struct Original {
    objects: Vec<(Object, Bytes)>,
    repository: Repository,
    blobs: Vec<(BlobType, BlobId)>,
    /// What the index looks like on disk, by names below the directory of caches.
    cached: Vec<(PathBuf, Vec<u8>)>,
}

fn original() -> &'static Original {
    static ORIGINAL: OnceLock<Original> = OnceLock::new();
    ORIGINAL.get_or_init(|| {
        let store = Arc::new(MemoryStore::new());
        let maker = Maker { hostname: "h".into(), username: "u".into(), created: Timestamp::EPOCH };
        let repository = Repository::init(
            Arc::clone(&store) as _,
            "password",
            Version::V2,
            &maker,
            &SystemRandom,
        )
        .expect("memory takes a repository");
        for seed in 0..3 {
            back_up(&repository, &noise(seed, 400_000), None);
        }
        let mut objects = Vec::new();
        for kind in Kind::LISTED {
            objects.extend(store.list(kind).expect("memory lists").into_iter().map(|(o, _)| o));
        }
        objects.push(Object::Config);
        let objects: Vec<_> = objects
            .into_iter()
            .map(|object| (object, store.read(&object).expect("memory reads")))
            .collect();
        let blobs = listed_blobs(&repository, &objects);
        let scratch = tempfile::tempdir().expect("there is room for a directory");
        let cached = through(&objects, &repository).cached_in(scratch.path());
        cached.index().expect("the index can be read");
        drop(cached);
        let cached = files_below(scratch.path());
        Original { objects, repository, blobs, cached }
    })
}

fn listed_blobs(repository: &Repository, objects: &[(Object, Bytes)]) -> Vec<(BlobType, BlobId)> {
    let indexes = objects.iter().filter(|(object, _)| object.kind() == Kind::Index);
    let documents = indexes.map(|(object, _)| repository.read_unpacked(object));
    documents
        .flat_map(|document| {
            let file = IndexFile::parse(&document.expect("it is whole")).expect("it is an index");
            file.packs.into_iter().flat_map(|(_, entries)| entries)
        })
        .map(|entry| (entry.kind, entry.id))
        .collect()
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Seeded::new(seed);
    (0..length / 8).flat_map(|_| random.number().to_le_bytes()).collect()
}

/// A repository of these objects in a store of its own.
fn through(objects: &[(Object, Bytes)], repository: &Repository) -> Repository {
    stored(objects, repository).1
}

fn stored(objects: &[(Object, Bytes)], repository: &Repository) -> (Arc<MemoryStore>, Repository) {
    let store = Arc::new(MemoryStore::new());
    for (object, content) in objects {
        store.overwrite(object, content.clone());
    }
    (Arc::clone(&store), opened(store, repository))
}

fn opened(store: Arc<MemoryStore>, repository: &Repository) -> Repository {
    Repository::open(store, Credential::Key(repository.key().clone())).expect("the key is right")
}

fn back_up(repository: &Repository, content: &[u8], journal: Option<PathBuf>) {
    let stream = StreamInput {
        name: b"stream".to_vec(),
        mode: 0o644,
        modified: FileTime::default(),
        reader: Box::new(Cursor::new(content.to_vec())),
    };
    let options = backup::Options { journal, ..backup::Options::new(Timestamp::EPOCH) };
    let input = Input::Stream(stream);
    let outcome = backup::backup(repository, input, &options, &SystemClock, &SystemRandom, &Silent)
        .expect("a backup into memory succeeds");
    backup::publish(repository, &outcome).expect("memory takes a snapshot");
}

fn files_below(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).expect("it can be listed").flatten() {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let content = fs::read(&path).expect("it can be read");
                let name = path.strip_prefix(directory).expect("it is below").to_owned();
                found.push((name, content));
            }
        }
    }
    found.sort();
    found
}

fn put(path: &Path, content: &[u8]) {
    let mut file = File::create(path).expect("there is room for a file");
    file.write_all(content).expect("there is room for its content");
}

/// The file behind the header that makes it one of this repository, or the bare input.
fn with_header(input: &[u8], header: &str) -> Vec<u8> {
    match input.split_first() {
        Some((first, rest)) if first % 4 != 0 => [header.as_bytes(), rest].concat(),
        _ => input.to_vec(),
    }
}

/// The state of an interrupted check: no damage is missed because of it.
pub fn check_state(input: &[u8]) -> Outcome {
    let original = original();
    let mut objects = original.objects.clone();
    let (damaged, content) = objects
        .iter_mut()
        .filter(|(object, _)| object.kind() == Kind::Data)
        .max_by_key(|(_, content)| content.len())
        .expect("there are packs");
    let mut bytes = content.to_vec();
    bytes[input.len() % 1000] ^= 1;
    *content = bytes.into();
    let damaged = damaged.pack().expect("it is a pack").to_string();
    let repository = through(&objects, &original.repository);
    let scratch = tempfile::tempdir().expect("there is room for a directory");
    let state = scratch.path().join("state");
    put(&state, &with_header(input, &format!("outlast-check 1 {} 0\n", repository.config().id)));
    let resume = Some(Resume { state, now: Timestamp::EPOCH });
    let options = check::Options { read_data: true, resume, ..check::Options::default() };
    let report = check::check(&repository, &options, &Silent).expect("the check can be made");
    let named = report.problems.iter().any(|problem| problem.to_string().contains(&damaged));
    assert!(named, "{:?}", report.problems);
    let counts = report.counts;
    assert_eq!(counts.packs_read + counts.packs_resumed, counts.packs);
    Outcome::accepted(counts.packs_resumed)
}

/// The journal of an interrupted backup: the next one is whole all the same.
pub fn journal(input: &[u8]) -> Outcome {
    let original = original();
    let (store, repository) = stored(&original.objects, &original.repository);
    let scratch = tempfile::tempdir().expect("there is room for a directory");
    let journal = scratch.path().join("journal");
    put(&journal, &with_header(input, &format!("outlast-journal 1 {}\n", repository.config().id)));
    back_up(&repository, &noise(9, 50_000), Some(journal));
    let again = opened(store, &repository);
    let options = check::Options { read_data: true, ..check::Options::default() };
    let report = check::check(&again, &options, &Silent).expect("the check can be made");
    assert!(report.is_clean(), "{:?}", report.problems);
    Outcome::accepted(scale(input.len()))
}

/// The index in sorted files. The input is an edit of one of them: which, how long it is to be,
/// and pairs of a place and a byte; or what it is to be as a whole.
pub fn index_cache(input: &[u8]) -> Outcome {
    let original = original();
    let scratch = tempfile::tempdir().expect("there is room for a directory");
    let [which, how, edits @ ..] = input else { return Outcome::refused("too short") };
    let victim = usize::from(*which) % original.cached.len();
    for (number, (name, content)) in original.cached.iter().enumerate() {
        let path = scratch.path().join(name);
        let parent = path.parent().expect("it is in a directory");
        fs::create_dir_all(parent).expect("there is room for a directory");
        let content = if number == victim { edited(content, *how, edits) } else { content.clone() };
        put(&path, &content);
    }
    let repository = through(&original.objects, &original.repository).cached_in(scratch.path());
    let index = match repository.index() {
        Ok(index) => index,
        Err(RepoError::Cache(error)) => return Outcome::refused(error),
        Err(error) => unreachable!("{error}"),
    };
    let truth = original.repository.index().expect("the index can be read");
    for (kind, id) in &original.blobs {
        match index.locate(*kind, id) {
            Ok(found) => assert_eq!(found, truth.locate(*kind, id).expect("it is in memory")),
            Err(error @ CacheError::Damaged { .. }) => return Outcome::refused(error),
            Err(error) => unreachable!("{error}"),
        }
    }
    assert_eq!(index.blobs(), truth.blobs());
    Outcome::accepted((victim, how % 4))
}

fn edited(content: &[u8], how: u8, edits: &[u8]) -> Vec<u8> {
    if how.is_multiple_of(4) {
        return edits.to_vec();
    }
    let mut edited = content.to_vec();
    if how % 4 == 1 {
        let length = edited.len() * usize::from(how) / 256;
        edited.truncate(length);
    }
    if edited.is_empty() {
        return edited;
    }
    for edit in edits.as_chunks::<4>().0 {
        let place = usize::from(edit[0]) << 16 | usize::from(edit[1]) << 8 | usize::from(edit[2]);
        let place = place % edited.len();
        edited[place] = edit[3];
    }
    edited
}
