//! Restores that go on where an earlier one ended, and what a restore asks of its store.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;
use std::sync::Arc;

use outlast_format::{BlobId, Sha256Id};
use outlast_repo::restore::{Options, Problem, Summary, restore};
use outlast_repo::{Credential, Repository};
use outlast_store::memory::MemoryStore;
use outlast_store::{Kind, Object, Recording, Store, Verb};
use outlast_testing::pseudo_random;
use outlast_types::Silent;

use crate::forge::{Forge, directory};

const RESUME: Options = Options {
    overwrite: false,
    resume: true,
    verify: true,
    privileged: false,
    subpath: None,
    include: Vec::new(),
};

const PIECE: usize = 64 << 10;

/// Opens the repository again over a store that counts what is read.
fn counted(store: Arc<MemoryStore>, repository: &Repository) -> (Arc<Recording>, Repository) {
    let recording = Arc::new(Recording::new(store));
    let credential = Credential::Key(repository.key().clone());
    let repository = Repository::open(Arc::clone(&recording) as _, credential).unwrap();
    (recording, repository)
}

/// Requests for packs since the last look, and the bytes that they brought.
fn fetched(recording: &Recording) -> (usize, u64) {
    let calls = recording.calls();
    recording.clear();
    let reads = calls.iter().filter(|call| call.verb == Verb::Read && call.kind == Kind::Data);
    reads.fold((0, 0), |(count, bytes), call| (count + 1, bytes + call.bytes))
}

fn whole(summary: &Summary) {
    assert!(summary.problems.is_empty(), "{:#?}", summary.problems);
}

fn put(path: &Path, content: &[u8]) {
    File::create(path).unwrap().write_all(content).unwrap();
}

fn pieces(seed: u64, count: usize) -> Vec<Vec<u8>> {
    (0..count as u64).map(|n| pseudo_random(seed * 1000 + n, PIECE)).collect()
}

fn slices(pieces: &[Vec<u8>]) -> Vec<&[u8]> {
    pieces.iter().map(Vec::as_slice).collect()
}

/// A snapshot of `large` (200 pieces, every tenth all zeroes), `dir/small` and `dir/other`.
fn sample() -> (Arc<MemoryStore>, Repository, BlobId, Vec<u8>) {
    let mut content = pieces(1, 200);
    for piece in content.iter_mut().step_by(10) {
        piece.fill(0);
    }
    let mut forge = Forge::new();
    let large = forge.file(b"large", &slices(&content));
    let nodes = vec![forge.file(b"other", &[b"other"]), forge.file(b"small", &[b"small"])];
    let inner = forge.tree(nodes);
    let root = forge.tree(vec![directory(b"dir", inner), large]);
    let (store, repository) = forge.finish(root);
    (store, repository, root, content.concat())
}

fn assert_whole(target: &Path, large: &[u8]) {
    assert!(fs::read(target.join("large")).unwrap() == large);
    assert_eq!(fs::read(target.join("dir/small")).unwrap(), b"small");
    assert_eq!(fs::read(target.join("dir/other")).unwrap(), b"other");
}

#[test]
fn what_is_there_already_is_not_fetched_again_and_what_was_changed_is_put_right() {
    let (store, repository, root, large) = sample();
    let (recording, repository) = counted(store, &repository);
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    whole(&restore(&repository, root, &target, &Options::default(), &Silent).unwrap());
    let (_, first) = fetched(&recording);
    assert!(first > 11 << 20, "{first}");

    let again = restore(&repository, root, &target, &RESUME, &Silent).unwrap();
    whole(&again);
    assert_eq!((again.bytes, again.kept), (0, large.len() as u64 + 10));
    assert!(fetched(&recording).1 < 1 << 20, "only trees are read");
    assert_whole(&target, &large);

    // Changed in the middle, zeroes no longer zero, and longer than it was.
    let file = File::options().write(true).open(target.join("large")).unwrap();
    file.write_all_at(b"changed", 55 * PIECE as u64 + 9).unwrap();
    file.write_all_at(b"changed", 70 * PIECE as u64 + 9).unwrap();
    file.set_len(large.len() as u64 + 5000).unwrap();
    put(&target.join("dir/small"), b"smaLl");
    let again = restore(&repository, root, &target, &RESUME, &Silent).unwrap();
    whole(&again);
    // All pieces of zeroes are one blob, of which one use was to be written again.
    assert_eq!(again.bytes, 2 * PIECE as u64 + 5);
    assert!(fetched(&recording).1 < 3 << 20);
    assert_whole(&target, &large);
}

#[test]
fn wherever_a_file_was_cut_off_it_becomes_whole() {
    let (_, repository, root, large) = sample();
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    whole(&restore(&repository, root, &target, &Options::default(), &Silent).unwrap());
    for length in [0, 1, PIECE - 1, PIECE, 9 * PIECE, 77 * PIECE + 5, large.len() - 1] {
        let file = File::options().write(true).open(target.join("large")).unwrap();
        file.set_len(length as u64).unwrap();
        let again = restore(&repository, root, &target, &RESUME, &Silent).unwrap();
        whole(&again);
        assert!(again.kept >= (length / PIECE * PIECE) as u64, "{length}: {}", again.kept);
        assert_whole(&target, &large);
    }
}

#[test]
fn links_out_of_the_target_are_not_followed_when_a_restore_goes_on() {
    let (_, repository, root, large) = sample();
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    fs::create_dir_all(target.join("dir")).unwrap();
    // Half of it is right, so that it looks as if it were to be completed.
    let outside = directory.path().join("outside");
    put(&outside, &large[..large.len() / 2]);
    fs::hard_link(&outside, target.join("large")).unwrap();
    symlink(&outside, target.join("dir/small")).unwrap();
    whole(&restore(&repository, root, &target, &RESUME, &Silent).unwrap());
    assert_whole(&target, &large);
    assert!(fs::read(&outside).unwrap() == large[..large.len() / 2]);
}

#[test]
fn what_is_lost_of_a_file_that_goes_on_becomes_zeroes_as_in_a_new_one() {
    let mut forge = Forge::new();
    let content = pieces(3, 3);
    let kept = [forge.data(&content[0]), forge.data(&content[2])];
    forge.end_pack();
    let lost = forge.data(&content[1]);
    let pack = forge.end_pack();
    let mut node = crate::forge::file(b"file", vec![kept[0], lost, kept[1]]);
    node.size = 3 * PIECE as u64;
    let root = forge.tree(vec![node]);
    let (store, repository) = forge.finish(root);
    store.remove(&Object::Data(pack)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    fs::create_dir(&target).unwrap();
    put(&target.join("file"), &[&content[0][..], &[9; 2 * PIECE]].concat());
    let summary = restore(&repository, root, &target, &RESUME, &Silent).unwrap();
    assert!(matches!(summary.problems[..], [Problem::Damaged { lost: 65536, .. }]));
    let damaged = fs::read(target.join("file.damaged")).unwrap();
    assert!(damaged == [&content[0][..], &[0; PIECE], &content[2]].concat());
    assert!(!target.join("file").exists());
}

#[test]
fn zeroes_become_holes_on_the_disk() {
    let (_, repository, root, large) = sample();
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    whole(&restore(&repository, root, &target, &Options::default(), &Silent).unwrap());
    let allocated = target.join("large").metadata().unwrap().blocks() * 512;
    // A tenth of it is zeroes.
    assert!(allocated <= large.len() as u64 * 92 / 100, "{allocated} of {}", large.len());
}

#[test]
fn a_window_asks_for_no_byte_of_a_pack_twice_and_for_whole_ranges() {
    let mut forge = Forge::new();
    let mut nodes = Vec::new();
    let shared = pieces(8, 1);
    for number in 0..40_u64 {
        // Two by two their pieces lie in one pack, between those of others.
        let content = pieces(20 + number, 4);
        let mut all = slices(&content);
        all.push(&shared[0]);
        let blobs: Vec<BlobId> = all[..4].iter().map(|piece| forge.data(piece)).collect();
        if number == 0 {
            forge.data(&shared[0]);
        }
        let content = [&blobs[..], &[BlobId::of(&shared[0])]].concat();
        let mut node = crate::forge::file(format!("{:02}", number * 7 % 40).as_bytes(), content);
        node.size = 5 * PIECE as u64;
        nodes.push(node);
        if number % 20 == 19 {
            forge.end_pack();
        }
    }
    nodes.sort_by(|one, other| one.name.cmp(&other.name));
    let root = forge.tree(nodes);
    let (store, repository) = forge.finish(root);
    let stored: u64 = store.list(Kind::Data).unwrap().iter().map(|(_, size)| size).sum();
    let (recording, repository) = counted(store, &repository);
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    let summary = restore(&repository, root, &target, &Options::default(), &Silent).unwrap();
    whole(&summary);
    assert_eq!(summary.bytes, 40 * 5 * PIECE as u64);
    let (requests, bytes) = fetched(&recording);
    assert!(bytes <= stored, "{bytes} of {stored} bytes");
    // Two packs of 5 MiB in ranges of 4 MiB, and the tree.
    assert!(requests <= 6, "{requests} requests");
}
