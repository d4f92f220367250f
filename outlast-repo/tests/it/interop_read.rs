//! Repositories that stock restic made are read by our engine, whatever is in them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use outlast_fs::EntryPath;
use outlast_repo::read::{self, find};
use outlast_repo::restore::{Options, restore};
use outlast_repo::{Repository, check};
use outlast_testing::{allocated_bytes, compare_trees, torture_tree};
use outlast_types::Silent;

use crate::restic::{self, FORMATS};

fn path(text: &str) -> EntryPath {
    EntryPath::parse(text.as_bytes()).unwrap()
}

fn assert_restores(repository: &Repository, original: &Path, target: &Path) {
    let latest = read::resolve(repository, "latest").unwrap();
    let options = Options { verify: true, privileged: true, ..Options::default() };
    let summary = restore(repository, latest.snapshot.tree, target, &options, &Silent).unwrap();
    assert!(summary.problems.is_empty(), "{:#?}", summary.problems);
    assert!(summary.files > 400 && summary.directories > 60 && summary.others > 8, "{summary:?}");
    let differences = compare_trees(original, target);
    assert!(differences.is_empty(), "{differences:#?}");
    for (name, most) in [("islands", 100_000), ("nothing but a hole", 10_000)] {
        let allocated = allocated_bytes(&target.join("sparse").join(name)).unwrap();
        assert!(allocated < most, "{name} takes {allocated} bytes on the disk");
    }
}

fn assert_reads(repository: &Repository, original: &Path) {
    let latest = read::resolve(repository, "latest").unwrap();
    assert!(latest.unreadable.is_empty());
    let mut listed = 0;
    read::ls(repository, latest.snapshot.tree, |found| {
        let found = found.unwrap();
        let there = original.join(OsStr::from_bytes(&found.path.to_bytes()));
        assert!(there.symlink_metadata().is_ok(), "{} is not in the original", found.path);
        listed += 1;
    })
    .unwrap();
    assert!(listed > 500, "{listed}");
    for name in ["contents/large", "contents/repeats", "contents/0 bytes", "sparse/islands"] {
        let mut content = Vec::new();
        let tree = latest.snapshot.tree;
        let length = read::cat(repository, tree, &path(name), &mut content, &Silent).unwrap();
        assert_eq!(length, content.len() as u64);
        assert!(content == fs::read(original.join(name)).unwrap(), "{name}");
    }
    let report = check::check(
        repository,
        &check::Options { read_data: true, ..check::Options::default() },
        &Silent,
    )
    .unwrap();
    assert!(report.is_clean() && report.leftovers.is_empty(), "{:#?}", report.problems);
    assert!(report.counts.bytes_read > 1 << 20 && report.counts.snapshots == 1);
}

#[test]
fn every_format_that_restic_writes_is_listed_checked_and_restored_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let original = directory.path().join("original");
    fs::create_dir(&original).unwrap();
    for skipped in torture_tree(&original).unwrap() {
        println!("not in the tree: {skipped}");
    }
    for (version, compression) in FORMATS {
        println!("version {version}, compression {compression}");
        let made = directory.path().join(format!("repository-{version}-{compression}"));
        restic::back_up(&made, &original, version, compression);
        let repository = restic::open(&made);
        assert_eq!(repository.config().version.number().to_string(), version);
        assert_reads(&repository, &original);
        let target = directory.path().join(format!("restored-{version}-{compression}"));
        assert_restores(&repository, &original, &target);
        fs::remove_dir_all(&target).unwrap();
        fs::remove_dir_all(&made).unwrap();
    }
}

#[test]
fn snapshots_are_found_by_latest_by_the_beginning_of_an_id_and_by_time() {
    let directory = tempfile::tempdir().unwrap();
    let (source, made) = (directory.path().join("source"), directory.path().join("repository"));
    fs::create_dir(&source).unwrap();
    restic::run(&made, &source, &["init"]);
    for time in ["2020-01-02 03:04:05", "2021-01-01 00:00:00", "2019-05-05 05:05:05"] {
        fs::File::create(source.join(time)).unwrap();
        restic::run(&made, &source, &["backup", "--time", time, "."]);
    }
    let repository = restic::open(&made);
    let all = read::snapshots(&repository).unwrap();
    let years: Vec<_> = all.list.iter().map(|(_, s)| s.time.to_string()[..4].to_owned()).collect();
    assert_eq!(years, ["2019", "2020", "2021"], "oldest first");
    let id_of = |position: usize| all.list[position].0;
    assert_eq!(read::resolve(&repository, "latest").unwrap().id, id_of(2));
    for position in 0..3 {
        let id = id_of(position).to_string();
        assert_eq!(read::resolve(&repository, &id).unwrap().id, id_of(position));
        assert_eq!(read::resolve(&repository, &id[..12]).unwrap().id, id_of(position));
        assert_eq!(
            read::resolve(&repository, &id[..12].to_uppercase()).unwrap().id,
            id_of(position)
        );
    }
    let at = |text: &str| read::resolve_at(&repository, text.parse().unwrap());
    assert_eq!(at("2020-06-01T00:00:00Z").unwrap().id, id_of(1));
    assert_eq!(at("2030-06-01T00:00:00Z").unwrap().id, id_of(2));
    let early = at("2001-01-01T00:00:00Z").unwrap_err().to_string();
    assert!(early.contains("no snapshot from 2001-01-01") && early.contains("2019"), "{early}");
    for (text, message) in [
        ("", "is not a snapshot: give 'latest'"),
        ("newest", "is not a snapshot: give 'latest'"),
        ("ffffffffffffffffffff", "no snapshot in"),
    ] {
        let error = read::resolve(&repository, text).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn an_empty_repository_says_that_it_has_no_snapshots() {
    let directory = tempfile::tempdir().unwrap();
    let made = directory.path().join("repository");
    restic::run(&made, directory.path(), &["init"]);
    let repository = restic::open(&made);
    let error = read::resolve(&repository, "latest").unwrap_err().to_string();
    assert!(error.ends_with("holds no snapshots"), "{error}");
    let report = check::check(
        &repository,
        &check::Options { read_data: true, ..check::Options::default() },
        &Silent,
    )
    .unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn a_path_that_is_not_there_is_named_with_the_part_that_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let (source, made) = (directory.path().join("source"), directory.path().join("repository"));
    fs::create_dir_all(source.join("a")).unwrap();
    fs::File::create(source.join("a/file")).unwrap();
    restic::back_up(&made, &source, "2", "auto");
    let repository = restic::open(&made);
    let tree = read::resolve(&repository, "latest").unwrap().snapshot.tree;
    assert_eq!(find(&repository, tree, &path("a/file")).unwrap().size, 0);
    let message = |text| find(&repository, tree, &path(text)).unwrap_err().to_string();
    assert_eq!(message("a/b/c"), "the snapshot has no /a/b/c: nothing there is called b");
    assert_eq!(message("a/file/c"), "the snapshot has no /a/file/c: file is not a directory");
    let cat = read::cat(&repository, tree, &path("a"), &mut Vec::new(), &Silent).unwrap_err();
    assert_eq!(cat.to_string(), "/a is a dir, which has no content to show; only files have");
}
