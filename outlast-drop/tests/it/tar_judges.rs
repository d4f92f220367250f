//! Trees through tar, with GNU tar as the judge, and through a drop and back.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use outlast_drop::Content;
use outlast_drop::fetch::{FetchError, FetchOptions, Wanted, find, read_out};
use outlast_drop::tar::{TarLimits, TarSource, write_tree};
use outlast_fs::place::Target;
use outlast_fs::walk::Walk;
use outlast_fs::{EntrySource, Kind};
use outlast_testing::{add_raw_link_targets, allocated_bytes, compare_trees, torture_tree};
use outlast_types::{Silent, SystemClock};
use rustix::process::getuid;

use crate::support::{new_share, options, workload, writer};

const TRUSTED: FetchOptions = FetchOptions { overwrite: false, privileged: true };

fn torture(directory: &Path) -> PathBuf {
    let tree = directory.join("tree");
    fs::create_dir(&tree).unwrap();
    for skipped in torture_tree(&tree).unwrap() {
        println!("not in the tree: {skipped}");
    }
    add_raw_link_targets(&tree).unwrap();
    tree
}

fn write_archive(tree: &Path, path: &Path) {
    let mut walk = Walk::new(&[tree.to_owned()]).unwrap();
    let mut file = io::BufWriter::new(File::create(path).unwrap());
    let summary = write_tree(&mut walk, &mut file, &Silent).unwrap();
    assert_eq!(summary.problems, Vec::<String>::new());
    file.flush().unwrap();
}

fn tar<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) {
    let output = Command::new("tar").args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
}

/// Places the entries of an archive; `strip` is what GNU tar has been told to leave out.
fn extract(archive: &Path, into: &Path) {
    let target = Target::open(into, false).unwrap().privileged(true);
    let mut source = TarSource::new(File::open(archive).unwrap(), TarLimits::default());
    let mut buffer = vec![0; 1 << 18];
    while let Some(entry) = source.next_entry().unwrap() {
        let Some(file) = target.place(&entry).unwrap() else { continue };
        let mut at = 0;
        loop {
            let length = source.read(&mut buffer).unwrap();
            if length == 0 {
                break;
            }
            file.write_at(at, &buffer[..length]).unwrap();
            at += length as u64;
        }
        let Kind::File { size } = entry.kind else { panic!("only files have content") };
        assert_eq!(at, size, "{}", entry.path);
        file.set_length(at).unwrap();
        file.finish().unwrap();
    }
    let problems: Vec<String> =
        target.finish().unwrap().problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, Vec::<String>::new());
}

fn below(root: &Path, tree: &Path) -> PathBuf {
    root.join(tree.strip_prefix("/").unwrap())
}

#[test]
fn gnu_tar_extracts_our_archive_to_an_equal_tree() {
    let directory = tempfile::tempdir().unwrap();
    let tree = torture(directory.path());
    let archive = directory.path().join("ours.tar");
    write_archive(&tree, &archive);
    let into = directory.path().join("theirs");
    fs::create_dir(&into).unwrap();
    let options = ["--xattrs", "--xattrs-include=*", "--acls", "--same-owner", "-xpf"];
    let paths = [archive.as_os_str(), OsStr::new("-C"), into.as_os_str()];
    tar(options.iter().map(OsStr::new).chain(paths));
    let mut differences = compare_trees(&tree, &below(&into, &tree));
    if !getuid().is_root() {
        differences.retain(|line| !line.contains("owner"));
    }
    assert_eq!(differences, Vec::<String>::new());
}

#[test]
fn holes_are_neither_written_nor_lost() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let file = File::create(tree.join("hole")).unwrap();
    file.set_len(1 << 30).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"island", 1 << 29).unwrap();
    let archive = directory.path().join("sparse.tar");
    write_archive(&tree, &archive);
    assert!(archive.metadata().unwrap().len() < 1 << 20);
    let into = directory.path().join("back");
    extract(&archive, &into);
    let back = below(&into, &tree);
    assert_eq!(compare_trees(&tree, &back), Vec::<String>::new());
    assert!(allocated_bytes(&back.join("hole")).unwrap() < 1 << 20);
}

#[test]
fn we_read_what_gnu_tar_writes_in_all_its_forms() {
    let directory = tempfile::tempdir().unwrap();
    let tree = torture(directory.path());
    let forms: [(&str, &[&str]); 5] = [
        ("pax", &["--format=posix", "--xattrs", "--acls"]),
        (
            "sparse-0.0",
            &["--format=posix", "--xattrs", "--acls", "--sparse", "--sparse-version=0.0"],
        ),
        (
            "sparse-0.1",
            &["--format=posix", "--xattrs", "--acls", "--sparse", "--sparse-version=0.1"],
        ),
        (
            "sparse-1.0",
            &["--format=posix", "--xattrs", "--acls", "--sparse", "--sparse-version=1.0"],
        ),
        ("gnu", &["--format=gnu", "--sparse"]),
    ];
    for (name, form) in forms {
        let archive = directory.path().join(format!("{name}.tar"));
        let paths = [OsStr::new("-cf"), archive.as_os_str(), OsStr::new("-C"), tree.as_os_str()];
        let arguments = form.iter().map(OsStr::new).chain(paths);
        tar(arguments
            .chain([OsStr::new("--xattrs-include=*"), OsStr::new(".")])
            .filter(|a| name != "gnu" || *a != OsStr::new("--xattrs-include=*")));
        let into = directory.path().join(name);
        extract(&archive, &into);
        let mut differences = compare_trees(&tree, &into);
        if name == "gnu" {
            // That form has whole seconds and no attributes.
            differences.retain(|line| !line.contains("time") && !line.contains("attributes"));
        }
        assert_eq!(differences, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_tree_goes_through_a_drop_and_comes_back_equal() {
    let (directory, share) = new_share();
    let tree = torture(directory.path());
    for compression in [None, Some(1)] {
        let mut writer = writer(&share, Content::Tree, options(3 << 20, compression));
        let mut walk = Walk::new(std::slice::from_ref(&tree)).unwrap();
        write_tree(&mut walk, &mut writer, &Silent).unwrap();
        writer.seal(&SystemClock).unwrap();
        let sealed = find(&share, &workload("shop-db"), &Wanted::Newest, None).unwrap().sealed;
        assert_eq!(sealed.seal().compression.is_some(), compression.is_some());
        let into = directory.path().join(format!("back {compression:?}"));
        let summary = read_out(&sealed, &into, TRUSTED, &Silent).unwrap();
        assert_eq!(summary.problems, Vec::<String>::new());
        assert_eq!(compare_trees(&tree, &below(&into, &tree)), Vec::<String>::new());
    }
}

#[test]
fn a_tree_that_was_changed_after_the_seal_leaves_nothing_behind() {
    let (directory, share) = new_share();
    let tree = torture(directory.path());
    let mut writer = writer(&share, Content::Tree, options(1 << 20, None));
    let mut walk = Walk::new(&[tree]).unwrap();
    write_tree(&mut walk, &mut writer, &Silent).unwrap();
    let last = share.drop_directory(writer.address()).join("0005.seg");
    writer.seal(&SystemClock).unwrap();
    let mut file = File::options().write(true).open(last).unwrap();
    file.write_all(b"changed").unwrap();
    let sealed = find(&share, &workload("shop-db"), &Wanted::Newest, None).unwrap().sealed;
    let into = directory.path().join("back");
    let error = read_out(&sealed, &into, TRUSTED, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Drop { .. }), "{error}");
    assert!(!into.exists());
}
