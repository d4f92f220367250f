//! `repo forget` and `repo prune` with the real binary: stock restic as the judge, kills, damage,
//! and a vault that refuses.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use outlast_fs::durable::is_temporary;
use outlast_fs::fault::DIE_AT;
use outlast_testing::{compare_trees, pseudo_random};
use serde_json::Value;

use crate::harness::{Role, Up, document, fail, outlast, repo, restic, restored, scratch, succeed};

const SIGKILL: i32 = 9;

/// A repository whose first snapshot has much that the second has not.
struct Fixture {
    directory: tempfile::TempDir,
    first: String,
}

impl Fixture {
    /// Both are stock restic's, so that they share packs.
    fn new(version: &str) -> Self {
        let directory = scratch();
        let made = Self { directory, first: String::new() };
        fs::create_dir_all(made.source().join("sub")).unwrap();
        for n in 0..30 {
            fill(&made.source().join(format!("sub/f{n}")), n, 200_000);
        }
        succeed(restic(made.repository()).args(["init", "--repository-version", version]));
        succeed(restic(made.repository()).arg("backup").arg(made.source()));
        let listed = document(repo("snapshots", made.repository()).arg("--json"));
        let first = listed[0]["id"].as_str().unwrap().to_owned();
        for n in (0..30).filter(|n| n % 3 > 0) {
            fs::remove_file(made.source().join(format!("sub/f{n}"))).unwrap();
        }
        fill(&made.source().join("new"), 100, 500_000);
        succeed(restic(made.repository()).arg("backup").arg(made.source()));
        Self { first, ..made }
    }

    fn repository(&self) -> PathBuf {
        self.directory.path().join("repository")
    }

    fn source(&self) -> PathBuf {
        self.directory.path().join("source")
    }

    fn forget(&self) {
        succeed(repo("forget", self.repository()).arg(&self.first[..8]));
    }

    fn prune(&self, words: &[&str]) -> Value {
        document(repo("prune", self.repository()).args(words).arg("--json"))
    }

    /// What is left restores as it was, and stock restic finds nothing wrong.
    #[track_caller]
    fn assert_sound(&self) {
        succeed(restic(self.repository()).args(["check", "--read-data"]));
        succeed(repo("check", self.repository()).arg("--read-data"));
        let target = self.directory.path().join("target");
        let _ = fs::remove_dir_all(&target);
        succeed(repo("restore", self.repository()).arg("latest").arg("--target").arg(&target));
        let differences = compare_trees(&self.source(), &restored(&target, &self.source()));
        assert_eq!(differences, Vec::<String>::new());
    }

    fn stored_bytes(&self) -> u64 {
        let mut packs = files(&self.repository().join("data"));
        // What killed writers leave is no pack, and is removed when it is a day old.
        packs.retain(|path| !is_temporary(path.file_name().unwrap()));
        packs.iter().map(|pack| pack.metadata().unwrap().len()).sum()
    }
}

fn fill(path: &Path, seed: u64, length: usize) {
    File::create(path).unwrap().write_all(&pseudo_random(seed + 1, length)).unwrap();
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn what_restic_stored_and_nobody_needs_is_freed_and_restic_agrees() {
    for version in ["1", "2"] {
        let fixture = Fixture::new(version);
        let before = fixture.stored_bytes();
        fixture.forget();
        let planned = fixture.prune(&["--dry-run", "--max-unused", "0%"]);
        assert_eq!(fixture.stored_bytes(), before, "a dry run changes nothing");
        let marked = fixture.prune(&["--max-unused", "0%"]);
        assert_eq!(marked["freed_bytes"], 0, "the grace time: {marked}");
        assert_eq!(marked["waiting"]["bytes"], planned["waiting"]["bytes"], "{planned} {marked}");
        assert!(marked["repacked_bytes"].as_u64().unwrap() > 1_000_000, "{marked}");
        fixture.assert_sound();
        let swept = fixture.prune(&["--grace", "0s", "--max-unused", "0%"]);
        assert_eq!(swept["freed_bytes"], marked["waiting"]["bytes"], "{marked} {swept}");
        fixture.assert_sound();
        // A third of the first snapshot, and what the second added.
        let after = fixture.stored_bytes();
        assert!((2_400_000..2_800_000).contains(&after), "{before} before, {after} after");
        let words = succeed(restic(fixture.repository()).args(["prune", "--dry-run"]));
        assert!(words.contains("to repack:             0 blobs"), "{words}");
        assert!(words.contains("this removes:          0 blobs"), "{words}");
    }
}

#[test]
fn a_prune_that_is_killed_again_and_again_ends_well() {
    let fixture = Fixture::new("2");
    let before = fixture.stored_bytes();
    fixture.forget();
    let log = fixture.directory.path().join("prune.log");
    let mut strikes = 0;
    loop {
        let mut command = repo("prune", fixture.repository());
        command.args(["--grace", "0s", "--max-unused", "0%"]);
        // Each gets a bit further than the one before.
        command.env(DIE_AT, format!("{} {}", 1 + strikes * 2, fixture.repository().display()));
        let mut role = Role::start(&mut command, &log);
        let status = role.wait();
        if status.success() {
            break;
        }
        assert_eq!(status.signal(), Some(SIGKILL), "{status}: {}", role.words());
        strikes += 1;
        // Whatever is half done, what is needed is there.
        let target = fixture.directory.path().join(format!("killed-{strikes}"));
        succeed(repo("restore", fixture.repository()).arg("latest").arg("--target").arg(&target));
        let found = restored(&target, &fixture.source());
        assert_eq!(compare_trees(&fixture.source(), &found), Vec::<String>::new());
        fs::remove_dir_all(&target).unwrap();
    }
    assert!(strikes >= 8, "only {strikes} struck");
    for _ in 0..2 {
        fixture.prune(&["--grace", "0s", "--max-unused", "0%"]);
    }
    // No lock of the dead is left: restic would refuse.
    fixture.assert_sound();
    assert!(fixture.stored_bytes() < before / 2, "{before}, {}", fixture.stored_bytes());
}

#[test]
fn a_damaged_repository_is_named_and_nothing_of_it_is_removed() {
    let fixture = Fixture::new("2");
    fixture.forget();
    fixture.prune(&["--max-unused", "0%"]);
    // The largest pack is one that the prune filled or left: somebody needs it or it waits.
    let data = fixture.repository().join("data");
    let mut packs = files(&data);
    packs.sort_by_key(|pack| pack.metadata().unwrap().len());
    for pack in packs {
        let content = fs::read(&pack).unwrap();
        fs::remove_file(&pack).unwrap();
        let before = files(&data).len();
        let mut command = repo("prune", fixture.repository());
        let output = command.args(["--grace", "0s"]).output().unwrap();
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(words.contains("is not whole"), "{words}");
            assert!(words.contains("repo check"), "{words}");
            assert!(words.contains(pack.file_name().unwrap().to_str().unwrap()), "{words}");
            assert_eq!(files(&data).len(), before, "nothing else was removed");
            File::create(&pack).unwrap().write_all(&content).unwrap();
            fixture.assert_sound();
            return;
        }
        // It was not needed by anybody: the next one will be.
    }
    unreachable!("some pack is needed");
}

#[test]
fn forget_takes_the_named_snapshots_and_no_other() {
    let fixture = Fixture::new("2");
    let words = fail(repo("forget", fixture.repository()).arg("ffffffffffff"), 1);
    assert!(words.contains("ffffffffffff"), "{words}");
    let told = document(repo("forget", fixture.repository()).args([
        &fixture.first[..10],
        "--dry-run",
        "--json",
    ]));
    assert_eq!(told["forgotten"][0], fixture.first.as_str());
    let list = |expected: usize| {
        let listed = document(repo("snapshots", fixture.repository()).arg("--json"));
        assert_eq!(listed.as_array().unwrap().len(), expected, "{listed}");
    };
    list(2);
    let told = document(repo("forget", fixture.repository()).args([
        &fixture.first[..10],
        "--prune",
        "--grace",
        "0",
        "--json",
    ]));
    assert!(told["prune"]["freed_bytes"].as_u64().unwrap() > 0, "{told}");
    list(1);
    fixture.assert_sound();
}

#[test]
fn a_vault_lets_nobody_forget_or_prune() {
    let directory = scratch();
    let mut up = Up::start(&directory.path().join("up"));
    let drop = up.drop("shop", &["--exec", "hosts", "--", "cat", "/etc/hosts"]);
    up.wait_for_receipt("shop", &drop, "vaulted");
    let serving: Value =
        serde_json::from_slice(&fs::read(up.dir.join("serving.json")).unwrap()).unwrap();
    let address = format!("rest:{}repo/shop/", serving["url"].as_str().unwrap());
    let listed = document(up.ask(&["snapshots", "shop"]).arg("--json"));
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    for words in [vec!["prune"], vec!["forget", &id]] {
        let mut command = outlast();
        command.args(["repo", words[0], "-r", &address, "--identity"]);
        command.arg(up.dir.join("identity/operator")).arg("--password-file");
        command.arg(up.dir.join("vault/keys/shop.password")).args(&words[1..]);
        let said = fail(&mut command, 4);
        assert!(said.contains("does not let anything be removed"), "{said}");
        assert!(said.contains("policy"), "{said}");
    }
    succeed(up.restic("shop").args(["check", "--read-data"]));
}
