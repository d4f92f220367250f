//! Stock restic as a judge of what we write.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outlast_format::config::Version;
use outlast_fs::walk::Walk;
use outlast_fs::{Entry, EntryPath, EntrySource, FileTime, Kind, SourceError};
use outlast_repo::backup::{self, Input, Options, Outcome, StreamInput};
use outlast_repo::{Maker, Repository};
use outlast_store::directory::DirectoryStore;
use outlast_types::{Silent, SystemClock, SystemRandom, Timestamp};
use serde_json::Value;

use crate::restic;

struct Fixture {
    directory: tempfile::TempDir,
    repository: Repository,
}

impl Fixture {
    fn new(version: Version) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = DirectoryStore::create_layout(&directory.path().join("repository")).unwrap();
        let maker = Maker {
            hostname: "host".into(),
            username: "user".into(),
            created: Timestamp::from_unix(1_700_000_000, 0).unwrap(),
        };
        let store = Arc::new(store);
        let repository =
            Repository::init(store, restic::PASSWORD, version, &maker, &SystemRandom).unwrap();
        Self { directory, repository }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs restic on the repository; returns what it printed.
    #[track_caller]
    fn restic(&self, arguments: &[&str]) -> Vec<u8> {
        restic::run(&self.path("repository"), self.directory.path(), arguments).stdout
    }

    fn back_up(&self, input: Input<'_>) -> Outcome {
        let options = Options {
            hostname: "host".into(),
            username: "user".into(),
            paths: vec!["/somewhere".into()],
            tags: vec!["it's <a> \"tag\"".into()],
            ..Options::new(Timestamp::from_unix(1_700_000_000, 123_456_789).unwrap())
        };
        let (clock, random) = (SystemClock, SystemRandom);
        let outcome =
            backup::backup(&self.repository, input, &options, &clock, &random, &Silent).unwrap();
        backup::publish(&self.repository, &outcome).unwrap();
        outcome
    }

    /// Backs up what is in the directory, as `restic backup .` does in it.
    fn back_up_tree(&self, path: &Path) -> Outcome {
        let walk = Walk::new(&[path.to_owned()]).unwrap();
        let depth = path.components().count() - 1;
        self.back_up(Input::Tree(Box::new(Below { walk, depth })))
    }

    fn back_up_stream(&self, name: &str, content: &[u8]) -> Outcome {
        self.back_up(Input::Stream(StreamInput {
            name: name.into(),
            mode: 0o640,
            modified: FileTime { seconds: 1_600_000_000, nanos: 42 },
            reader: Box::new(content),
        }))
    }
}

/// A walk without the directories above: theirs change while tests run.
struct Below {
    walk: Walk,
    depth: usize,
}

impl Below {
    fn strip(&self, path: &EntryPath) -> Option<EntryPath> {
        EntryPath::from_names(path.names().get(self.depth..)?.to_vec()).ok()
    }
}

impl EntrySource for Below {
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        while let Some(mut entry) = self.walk.next_entry()? {
            let Some(path) = self.strip(&entry.path) else { continue };
            entry.path = path;
            if let Kind::HardLink { target } = &mut entry.kind {
                *target = self.strip(target).unwrap();
            }
            return Ok(Some(entry));
        }
        Ok(None)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.walk.read(buffer)
    }
}

fn json_lines(output: &[u8]) -> Vec<Value> {
    let lines = output.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[test]
fn restic_checks_lists_and_dumps_a_stream_of_ours() {
    for version in [Version::V1, Version::V2] {
        let fixture = Fixture::new(version);
        let mut content = outlast_testing::pseudo_random(1, 5_000_000);
        content.extend(b"the same again ".repeat(200_000));
        let outcome = fixture.back_up_stream("shop <db> & more.sql", &content);
        fixture.restic(&["check", "--read-data"]);
        let dumped = fixture.restic(&["dump", "latest", "/shop <db> & more.sql"]);
        assert!(dumped == content, "restic dumps {} bytes", dumped.len());
        let listed = json_lines(&fixture.restic(&["ls", "--json", "latest"]));
        assert_eq!(listed[0]["id"], outcome.snapshot_id.to_string());
        assert_eq!(listed[0]["tags"][0], "it's <a> \"tag\"");
        assert_eq!(listed[0]["time"], "2023-11-14T22:13:20.123456789Z");
        assert_eq!(listed[1]["path"], "/shop <db> & more.sql");
        assert_eq!(listed[1]["size"], content.len());
        assert_eq!(listed[1]["mtime"], "2020-09-13T12:26:40.000000042Z");
    }
}

#[test]
fn restic_restores_the_torture_tree_from_ours() {
    for version in [Version::V1, Version::V2] {
        let fixture = Fixture::new(version);
        let source = fixture.path("source");
        fs::create_dir(&source).unwrap();
        outlast_testing::torture_tree(&source).unwrap();
        let outcome = fixture.back_up_tree(&source);
        assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
        fixture.restic(&["check", "--read-data"]);
        let target = fixture.path("target");
        fixture.restic(&["restore", "latest", "--target", target.to_str().unwrap()]);
        let mut differences = outlast_testing::compare_trees(&source, &target);
        // Stock restic counts nanoseconds in 64 bits, which end in the year 2262.
        differences.retain(|difference| {
            !(difference.starts_with("times/") && difference.contains("2400: time should be"))
        });
        assert!(differences.is_empty(), "{differences:#?}");
    }
}

/// Small files are one blob for everybody, so that equal nodes make equal trees.
#[test]
fn our_tree_is_the_tree_that_restic_makes() {
    let fixture = Fixture::new(Version::V2);
    let source = fixture.path("source");
    fs::create_dir(&source).unwrap();
    outlast_testing::torture_tree(&source).unwrap();
    remove_files_above(&source, 16 << 10);
    let ours = fixture.back_up_tree(&source);
    restic::run(&fixture.path("repository"), &source, &["backup", "."]);
    let snapshots: Vec<Value> =
        serde_json::from_slice(&fixture.restic(&["snapshots", "--json"])).unwrap();
    let theirs = snapshots.iter().find(|snapshot| snapshot["paths"][0] != "/somewhere").unwrap();
    assert_same_tree(&fixture, &ours.snapshot.tree.to_string(), theirs["tree"].as_str().unwrap());
    fixture.restic(&["check", "--read-data"]);
}

/// Compares trees node by node where their hashes differ. They may only because restic lists
/// extended attributes in the kernel's order, and we in theirs.
fn assert_same_tree(fixture: &Fixture, ours: &str, theirs: &str) {
    if ours == theirs {
        return;
    }
    let load = |tree: &str| {
        let tree: Value = serde_json::from_slice(&fixture.restic(&["cat", "blob", tree])).unwrap();
        tree["nodes"].as_array().unwrap().clone()
    };
    let (mut ours, mut theirs) = (load(ours), load(theirs));
    assert_ne!(ours, theirs, "the trees differ in their text only");
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter_mut().zip(&mut theirs) {
        let subtrees = [&mut *ours, &mut *theirs].map(|node| node["subtree"].take());
        if let (Some(ours), Some(theirs)) = (subtrees[0].as_str(), subtrees[1].as_str()) {
            assert_same_tree(fixture, ours, theirs);
        }
        let xattrs = theirs.get_mut("extended_attributes").and_then(Value::as_array_mut);
        if let Some(xattrs) = xattrs {
            xattrs.sort_by_key(|xattr| xattr["name"].as_str().unwrap().to_owned());
        }
        assert_eq!(ours, theirs);
    }
}

fn remove_files_above(directory: &Path, limit: u64) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            remove_files_above(&entry.path(), limit);
        } else if metadata.is_file() && metadata.len() > limit {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

#[test]
fn restic_goes_on_in_a_repository_of_ours() {
    let fixture = Fixture::new(Version::V2);
    let source = fixture.path("source");
    fs::create_dir(&source).unwrap();
    fs::copy(std::env::current_exe().unwrap(), source.join("binary")).unwrap();
    fixture.back_up_stream("first", b"ours");
    fixture.restic(&["backup", source.to_str().unwrap()]);
    let second = fixture.back_up_stream("second", b"ours again");
    fixture.restic(&["check", "--read-data"]);
    assert_eq!(fixture.restic(&["dump", &second.snapshot_id.to_string(), "second"]), b"ours again");
    fixture.restic(&["prune"]);
    fixture.restic(&["check", "--read-data"]);
    assert_eq!(fixture.restic(&["dump", &second.snapshot_id.to_string(), "second"]), b"ours again");
}

#[test]
fn a_second_backup_of_the_same_tree_adds_its_snapshot_only() {
    let fixture = Fixture::new(Version::V2);
    let source = fixture.path("source");
    fs::create_dir(&source).unwrap();
    outlast_testing::torture_tree(&source).unwrap();
    let first = fixture.back_up_tree(&source);
    let second = fixture.back_up_tree(&source);
    assert_eq!(second.snapshot.tree, first.snapshot.tree);
    assert!(second.packs.is_empty() && second.indexes.is_empty());
    let packs = |kind: &str| fixture.restic(&["list", kind]).len();
    let before = (packs("packs"), packs("index"));
    let third = fixture.back_up_tree(&source);
    assert!(third.problems.is_empty());
    assert_eq!((packs("packs"), packs("index")), before);
}
