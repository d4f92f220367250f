//! The judge is judged: it must be silent about equal trees and must name each kind of difference.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::{compare_trees, torture_tree};

/// A torture tree.
fn original() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for skipped in torture_tree(directory.path()).unwrap() {
        println!("not in the tree: {skipped}");
    }
    directory
}

/// How a copy of the tree by `cp -a` differs, with one change made to the copy.
fn differences_after(original: &TempDir, change: impl FnOnce(&Path)) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy");
    let status = Command::new("cp").arg("-a").arg(original.path()).arg(&copy).status().unwrap();
    assert!(status.success());
    change(&copy);
    compare_trees(original.path(), &copy)
}

/// The change leaves exactly one difference, and that names the path and says `what`.
#[track_caller]
fn check(original: &TempDir, path: &str, what: &str, change: impl FnOnce(&Path)) {
    let differences = differences_after(original, |copy| {
        let parent = copy.join(path).parent().unwrap().to_owned();
        let modified = parent.metadata().unwrap().modified().unwrap();
        change(&copy.join(path));
        File::open(parent).unwrap().set_modified(modified).unwrap();
    });
    assert_eq!(differences.len(), 1, "{differences:#?}");
    assert!(differences[0].contains(path) && differences[0].contains(what), "{differences:?}");
}

#[test]
fn a_faithful_copy_has_no_differences() {
    assert_eq!(differences_after(&original(), |_| {}), Vec::<String>::new());
}

#[test]
fn every_kind_of_difference_is_named() {
    let original = &original();
    check(original, "contents/4096 bytes", "is missing", |path| fs::remove_file(path).unwrap());
    check(original, "contents/extra", "should not be there", |path| {
        drop(File::create(path).unwrap())
    });
    check(original, "contents/large", "content differs", |path| {
        let modified = path.metadata().unwrap().modified().unwrap();
        let mut file = File::options().write(true).open(path).unwrap();
        file.write_all(b"x").unwrap();
        file.set_modified(modified).unwrap();
    });
    check(original, "modes/file 4755", "mode", |path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    });
    check(original, "times/2100", "time", |path| {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
        File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
    });
    check(original, "symlinks/dangling", "kind", |path| {
        let modified = path.symlink_metadata().unwrap().modified().unwrap();
        fs::remove_file(path).unwrap();
        symlink("elsewhere", path).unwrap();
        let since =
            modified.duration_since(SystemTime::UNIX_EPOCH).map_err(|error| error.duration());
        let seconds =
            since.map_or_else(|d| format!("-{}", d.as_secs_f64()), |d| d.as_secs_f64().to_string());
        let status =
            Command::new("touch").args(["-h", "-d", &format!("@{seconds}")]).arg(path).status();
        assert!(status.unwrap().success());
    });
    check(original, "links/two", "kind", |path| {
        let other = path.with_file_name("other copy");
        assert!(Command::new("cp").arg("-a").arg(path).arg(&other).status().unwrap().success());
        fs::remove_file(path).unwrap();
        assert!(Command::new("mv").arg(&other).arg(path).status().unwrap().success());
    });
}
