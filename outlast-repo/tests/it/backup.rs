//! Stock restic as a judge of what we write.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outlast_format::config::Version;
use outlast_fs::FileTime;
use outlast_fs::walk::Walk;
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

    fn back_up_tree(&self, path: &Path) -> Outcome {
        self.back_up(Input::Tree(Box::new(Walk::new(&[path.to_owned()]).unwrap())))
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
        let restored = target.join(source.strip_prefix("/").unwrap());
        let differences = outlast_testing::compare_trees(&source, &restored);
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
    fixture.restic(&["backup", source.to_str().unwrap()]);
    let snapshots: Vec<Value> =
        serde_json::from_slice(&fixture.restic(&["snapshots", "--json"])).unwrap();
    let theirs = snapshots.iter().find(|snapshot| snapshot["paths"][0] != "/somewhere").unwrap();
    let tree = ours.snapshot.tree.to_string();
    if theirs["tree"] != tree {
        let ours = json_lines(&fixture.restic(&["ls", "--json", &ours.snapshot_id.to_string()]));
        let theirs = theirs["id"].as_str().unwrap();
        let theirs = json_lines(&fixture.restic(&["ls", "--json", theirs]));
        for (ours, theirs) in ours.iter().zip(&theirs).skip(1) {
            assert_eq!(ours, theirs);
        }
        panic!("the trees differ in what restic does not list");
    }
    fixture.restic(&["check", "--read-data"]);
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
