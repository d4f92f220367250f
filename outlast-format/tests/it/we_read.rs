//! What stock restic writes, we read; and its trees we would write in the same bytes.

use std::fs;

use outlast_format::config::Version;
use outlast_format::index::IndexFile;
use outlast_format::tree::{NodeKind, Tree};
use outlast_format::{BlobId, Sha256Id};

use crate::repository::Repository;
use crate::restic::{PASSWORD, Restic};
use crate::torture;

fn repository_of_restic(version: &str, compression: &str) -> (tempfile::TempDir, Repository) {
    let directory = tempfile::tempdir().unwrap();
    let (source, root) = (directory.path().join("source"), directory.path().join("repository"));
    fs::create_dir(&source).unwrap();
    torture::fill(&source);
    let restic = Restic::new(&root);
    restic.run(&["init", "--repository-version", version]);
    let source = source.to_str().unwrap();
    restic.run(&["backup", "--compression", compression, "--tag", "a,b", "--with-atime", source]);
    let repository = Repository::open(&root, PASSWORD);
    (directory, repository)
}

#[test]
fn every_object_of_a_version_2_repository() {
    let (_directory, repository) = repository_of_restic("2", "max");
    assert_eq!(repository.config.version, Version::V2);
    assert!(repository.blobs().iter().all(|(entry, _)| entry.uncompressed_length.is_some()));
    check_snapshot_and_trees(&repository);
}

#[test]
fn every_object_of_a_version_2_repository_without_compression() {
    let (_directory, repository) = repository_of_restic("2", "off");
    check_snapshot_and_trees(&repository);
}

#[test]
fn every_object_of_a_version_1_repository() {
    let (_directory, repository) = repository_of_restic("1", "auto");
    assert_eq!(repository.config.version, Version::V1);
    assert!(repository.blobs().iter().all(|(entry, _)| entry.uncompressed_length.is_none()));
    check_snapshot_and_trees(&repository);
}

fn check_snapshot_and_trees(repository: &Repository) {
    let snapshots = repository.snapshots();
    let [snapshot] = snapshots.as_slice() else { panic!("{snapshots:?}") };
    assert_eq!(snapshot.tags, ["a", "b"]);
    for (_, document) in repository.documents("index") {
        let index = IndexFile::parse(&document).unwrap();
        let again = index.serialize().unwrap();
        assert_eq!(String::from_utf8(again).unwrap(), String::from_utf8(document).unwrap());
    }
    let trees = repository.trees();
    assert!(trees.iter().any(|tree| BlobId::of(tree) == snapshot.tree));
    for text in &trees {
        let again = Tree::parse(text).unwrap().serialize();
        assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(text));
        assert_eq!(again, *text);
    }
    let nodes: Vec<_> = trees.iter().flat_map(|tree| Tree::parse(tree).unwrap().nodes).collect();
    for name in torture::NAMES {
        assert!(nodes.iter().any(|node| node.name == name), "{name:?}");
    }
    let named = |name: &str| nodes.iter().find(|node| node.name == name.as_bytes()).unwrap();
    assert_eq!(named("setuid").mode.permissions(), 0o4755);
    assert_eq!(named("sticky").mode.permissions(), 0o1777);
    assert_eq!(named("before 1970").modified.seconds, -86_401);
    assert_eq!(named("before 1970").modified.nanos, 123_456_789);
    assert_eq!(named("after 2038").modified.seconds, 4_000_000_000);
    assert_eq!(named("after 2038").modified.offset_minutes, 345);
    assert_eq!(named("dangling").link_target, "no <where> & \"nothing\"\u{2028}".as_bytes());
    assert_eq!(
        (named("fifo").kind.clone(), named("link").kind.clone()),
        (NodeKind::Fifo, NodeKind::Symlink)
    );
    assert_eq!(
        (named("large").size, named("empty").content.as_deref()),
        (3 << 20, Some([].as_slice()))
    );
}
