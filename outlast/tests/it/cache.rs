//! Where commands keep the index of a repository, and what happens when that is not to be had.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::disks::Tmpfs;
use crate::harness::{document, fail, repo, scratch, succeed};

/// A repository with a tree of `files` small files, and the tree.
fn repository(directory: &Path, files: usize) -> (PathBuf, PathBuf) {
    let (repository, tree) = (directory.join("repository"), directory.join("tree"));
    fs::create_dir(&tree).unwrap();
    for number in 0..files {
        let mut file = fs::File::create(tree.join(number.to_string())).unwrap();
        file.write_all(number.to_string().as_bytes()).unwrap();
    }
    succeed(&mut repo("init", &repository));
    (repository, tree)
}

fn files_below(directory: &Path) -> usize {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

#[test]
fn the_index_is_kept_where_it_was_asked_for_and_nowhere_without_a_cache() {
    let directory = scratch();
    let (repository, tree) = repository(directory.path(), 10);
    let (asked, home) = (directory.path().join("asked"), directory.path().join("home"));
    let backup = || {
        let mut command = repo("backup", &repository);
        command.arg(&tree).env("XDG_CACHE_HOME", &home).env("TMPDIR", directory.path());
        command
    };
    succeed(backup().arg("--no-cache"));
    assert_eq!((files_below(&home), files_below(&asked)), (0, 0));
    succeed(backup().arg("--cache-dir").arg(&asked));
    assert_eq!(files_below(&home), 0);
    assert!(files_below(&asked) > 0);
    succeed(backup().env("OUTLAST_CACHE_DIR", &asked));
    assert_eq!(files_below(&home), 0);
    succeed(&mut backup());
    assert!(files_below(&home.join("outlast")) > 0);
    // It may be deleted at any time.
    fs::remove_dir_all(&asked).unwrap();
    succeed(repo("check", &repository).arg("--read-data").arg("--cache-dir").arg(&asked));
}

#[test]
fn without_a_place_by_default_nothing_is_kept_and_a_bad_wish_is_an_error() {
    let directory = scratch();
    let (repository, tree) = repository(directory.path(), 10);
    let file = directory.path().join("file");
    fs::copy(tree.join("0"), &file).unwrap();
    succeed(repo("backup", &repository).arg(&tree).env("XDG_CACHE_HOME", &file));
    let words = fail(repo("stats", &repository).arg("--cache-dir").arg(&file), 1);
    assert!(words.contains("--cache-dir") && words.contains("file"), "{words}");
}

#[test]
fn a_full_cache_disk_ends_a_command_with_a_way_out_and_never_a_running_backup() {
    let directory = scratch();
    let (repository, tree) = repository(directory.path(), 1500);
    let Some(disk) = Tmpfs::mount(&directory.path().join("cache"), "size=64k") else { return };
    // The disk is full when the index of the first backup is to be kept there: it goes on.
    succeed(repo("backup", &repository).arg(&tree).arg("--cache-dir").arg(&disk.path));
    let words = fail(repo("stats", &repository).arg("--cache-dir").arg(&disk.path), 1);
    assert!(words.contains("No space left") && words.contains("--cache-dir"), "{words}");
    let elsewhere = directory.path().join("elsewhere");
    let stats =
        document(repo("stats", &repository).arg("--cache-dir").arg(&elsewhere).arg("--json"));
    disk.resize("8m");
    let grown =
        document(repo("stats", &repository).arg("--cache-dir").arg(&disk.path).arg("--json"));
    assert_eq!(stats, grown);
    assert!(stats["blobs"].as_u64().unwrap() > 1500);
    succeed(repo("check", &repository).arg("--cache-dir").arg(&disk.path));
}

#[test]
fn what_is_read_without_a_cache_needs_no_disk() {
    let directory = scratch();
    let (repository, tree) = repository(directory.path(), 10);
    succeed(repo("backup", &repository).arg(&tree));
    let before = files_below(directory.path());
    // Nothing can be made below /proc, whoever asks.
    let without_disk = |word: &str| {
        let mut command = repo(word, &repository);
        command.env("TMPDIR", "/proc/nowhere").env("XDG_CACHE_HOME", "/proc/nowhere");
        command.env("HOME", "/proc/nowhere");
        command
    };
    for how in [&["--no-cache"][..], &[]] {
        let listed = succeed(without_disk("ls").arg("latest").args(how));
        assert!(listed.contains("/tree/7"), "{listed}");
        let printed = succeed(without_disk("cat").arg("latest").arg(tree.join("7")).args(how));
        assert_eq!(printed, "7");
        succeed(without_disk("check").arg("--read-data").args(how));
        succeed(without_disk("stats").args(how));
    }
    assert_eq!(files_below(directory.path()), before);
    let target = directory.path().join("target");
    succeed(without_disk("restore").args(["latest", "--no-cache", "--target"]).arg(&target));
}
