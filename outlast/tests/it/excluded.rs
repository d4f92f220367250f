//! What is left out of trees: the same by the same words as with restic, in repositories and drops.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{fail, outlast, repo, restic, restored, scratch, succeed};

const CACHE: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# by a test\n";

/// A tree with something for every pattern.
fn tree(directory: &Path) -> PathBuf {
    let top = directory.join("data");
    for (name, content) in [
        ("a.txt", "a"),
        ("a.log", "a"),
        ("keep.log", "k"),
        ("src/main.rs", "m"),
        ("src/target/out", "o"),
        ("src/deep/target/more/out", "o"),
        ("src/deep/main.rs.orig", "o"),
        ("scrap/x", "x"),
        ("scrap/y/z", "z"),
        ("cache/CACHEDIR.TAG", CACHE),
        ("cache/big", "b"),
        ("cache/sub/big", "b"),
        ("no-cache/CACHEDIR.TAG", "Signature: something else, and long enough to be read whole"),
        ("no-cache/small", "s"),
        ("odd/*star", "s"),
        ("odd/[x]", "x"),
        ("odd/naïve", "n"),
    ] {
        let path = top.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::io::Write::write_all(&mut fs::File::create(path).unwrap(), content.as_bytes())
            .unwrap();
    }
    symlink("a.txt", top.join("link.log")).unwrap();
    top
}

/// The paths in the newest snapshot.
fn saved(repository: &Path) -> BTreeSet<String> {
    let listed = succeed(restic(repository).args(["ls", "latest"]));
    listed.lines().filter(|line| line.starts_with('/')).map(str::to_owned).collect()
}

#[test]
fn patterns_leave_out_what_they_leave_out_with_restic() {
    let directory = scratch();
    let (data, repository) = (tree(directory.path()), directory.path().join("repo"));
    succeed(&mut repo("init", &repository));
    let list = directory.path().join("list");
    let words = "# what nobody needs\n\n  *.orig  \n${WHERE}/scrap/y\nodd/\\*star\n";
    std::io::Write::write_all(&mut fs::File::create(&list).unwrap(), words.as_bytes()).unwrap();
    let whole = data.join("src").display().to_string();
    let from = format!("--exclude-file={}", list.display());
    let mut different = BTreeSet::new();
    for excludes in [
        &[][..],
        &["-e", "*.log"],
        &["-e", "*.log", "-e", "!keep.log"],
        &["-e", "target"],
        &["-e", "src/target"],
        &["-e", "src/**/out"],
        &["-e", "/**/out"],
        &["-e", &whole],
        &["-e", "/src"],
        &["-e", "data/s?rap/*"],
        &["-e", "odd/[[]x]"],
        &["-e", "na[^a-z]ve"],
        &["-e", "scrap/"],
        &["--exclude-caches"],
        &["--exclude-caches", "-e", "big", &from],
        &["-x"],
    ] {
        for path in [data.as_path(), Path::new("data"), Path::new("data/src")] {
            let with = |command: &mut Command| {
                command.current_dir(directory.path()).env("WHERE", &data);
                succeed(command.args(excludes).arg(path));
                saved(&repository)
            };
            let theirs = with(restic(&repository).args(["backup", "--force"]));
            let ours = with(&mut repo("backup", &repository));
            assert_eq!(ours, theirs, "{excludes:?} {path:?}");
            different.insert(ours);
        }
    }
    assert!(different.len() > 20, "nearly every case is one of its own: {}", different.len());
    for bad in [&["-e", "a["][..], &["-e", ""]] {
        fail(repo("backup", &repository).args(bad).arg(&data), 2);
    }
}

#[test]
fn a_drop_leaves_out_the_same_and_says_so_if_nothing_is_left() {
    let directory = scratch();
    let (data, share) = (tree(directory.path()), directory.path().join("share"));
    succeed(outlast().args(["share", "init"]).arg(&share));
    let drop = |excludes: &[&str]| {
        let mut command = outlast();
        command.args(["drop", "--workload", "shop", "--share"]).arg(&share).args(excludes);
        command.arg(&data);
        command
    };
    let words = fail(&mut drop(&["--exclude", "data"]), 1);
    assert!(words.contains("left out") && words.contains("--exclude"), "{words}");
    let list = directory.path().join("list");
    std::io::Write::write_all(&mut fs::File::create(&list).unwrap(), b"$NOT_SET_ANYWHERE/*\n")
        .unwrap();
    let from = format!("--exclude-from={}", list.display());
    let words = fail(&mut drop(&[&from]), 1);
    assert!(words.contains("NOT_SET_ANYWHERE") && words.contains("line 1"), "{words}");
    succeed(&mut drop(&["--exclude", "*.log", "--exclude", "src", "--exclude-caches", "-x"]));
    let target = directory.path().join("target");
    let mut fetch = outlast();
    fetch.args(["fetch", "--workload", "shop", "--share"]).arg(&share).arg("--into").arg(&target);
    succeed(&mut fetch);
    let there = |name: &str| restored(&target, &data.join(name)).symlink_metadata().is_ok();
    for name in ["a.txt", "scrap/y/z", "cache/CACHEDIR.TAG", "no-cache/small", "odd/[x]"] {
        assert!(there(name), "{name}");
    }
    for name in ["a.log", "link.log", "src", "cache/big", "cache/sub"] {
        assert!(!there(name), "{name}");
    }
}
