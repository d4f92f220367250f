//! Restores that are killed and go on, and how little they need.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use outlast_testing::{compare_trees, pseudo_random, torture_tree};

use crate::harness::{document, fail, repo, restored, scratch, succeed, wait_until};

/// How many entries there are below `path`.
fn entries(path: &Path) -> usize {
    let Ok(listed) = fs::read_dir(path) else { return 0 };
    listed
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => 1 + entries(&entry.path()),
            _ => 1,
        })
        .sum()
}

fn put(path: &Path, content: &[u8]) {
    File::create(path).unwrap().write_all(content).unwrap();
}

/// Starts `restore` and kills it with SIGKILL once `reached` holds; whether it was still running.
fn strike(restore: &mut Command, what: &str, mut reached: impl FnMut() -> bool) -> bool {
    let mut running = restore.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut ended = false;
    wait_until(what, || {
        ended = running.try_wait().unwrap().is_some();
        ended || reached()
    });
    running.kill().unwrap();
    running.wait().unwrap();
    !ended
}

#[test]
fn a_restore_of_a_tree_that_is_killed_again_and_again_ends_as_if_it_never_was() {
    let directory = scratch();
    let tree = directory.path().join("tree");
    fs::create_dir(&tree).unwrap();
    for skipped in torture_tree(&tree).unwrap() {
        println!("not in the tree: {skipped}");
    }
    let repository = directory.path().join("repo");
    succeed(&mut repo("init", &repository));
    succeed(repo("backup", &repository).arg(&tree));
    let target = directory.path().join("target");
    let restore = || {
        let mut command = repo("restore", &repository);
        command.args(["latest", "--resume", "--privileged", "--target"]).arg(&target);
        command
    };
    let mut strikes = 0;
    for share in [0, 1, 10, 100, 300, 600, 900] {
        let reached = || entries(&target) > share;
        strikes += u32::from(strike(&mut restore(), "entries appear", reached));
    }
    println!("{strikes} strikes");
    succeed(restore().arg("--verify"));
    assert_eq!(compare_trees(&tree, &restored(&target, &tree)), Vec::<String>::new());
    // Once more changes nothing.
    succeed(&mut restore());
    assert_eq!(compare_trees(&tree, &restored(&target, &tree)), Vec::<String>::new());
}

#[test]
fn a_large_file_keeps_what_was_written_before_the_kill() {
    const BYTES: usize = 96 << 20;
    let directory = scratch();
    let file = directory.path().join("large");
    put(&file, &pseudo_random(4, BYTES));
    let repository = directory.path().join("repo");
    succeed(&mut repo("init", &repository));
    succeed(repo("backup", &repository).arg(&file));
    let target = directory.path().join("target");
    let half = restored(&target, &file);
    let restore = || {
        let mut command = repo("restore", &repository);
        command.args(["latest", "--target"]).arg(&target);
        command
    };
    let written = || outlast_testing::allocated_bytes(&half).unwrap_or(0) > BYTES as u64 / 4;
    let was_struck = strike(&mut restore(), "a part is written", written);
    println!("killed in the middle: {was_struck}");
    let words = fail(&mut restore(), 1);
    assert!(words.contains("--resume"), "{words}");
    let summary = document(restore().args(["--resume", "--json"]));
    assert!(fs::read(&half).unwrap() == fs::read(&file).unwrap());
    let kept = summary["kept_bytes"].as_u64().unwrap();
    assert!(kept >= BYTES as u64 / 5, "{summary}");
    assert_eq!(kept + summary["bytes"].as_u64().unwrap(), BYTES as u64);
}

#[test]
fn a_restore_of_many_files_in_many_directories_needs_few_descriptors() {
    let directory = scratch();
    let tree = directory.path().join("tree");
    for number in 0..300 {
        let below = tree.join(format!("{number}/{}", number % 3));
        fs::create_dir_all(&below).unwrap();
        // Several pieces each, so that each is open for a while.
        put(&below.join("file"), &pseudo_random(number, 300_000));
    }
    let repository = directory.path().join("repo");
    succeed(&mut repo("init", &repository));
    succeed(repo("backup", &repository).arg(&tree));
    let target = directory.path().join("target");
    let mut restore = repo("restore", &repository);
    restore.args(["latest", "--target"]).arg(&target);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 512; exec \"$@\"", "sh"]).arg(restore.get_program());
    limited.args(restore.get_args());
    for (name, value) in restore.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    succeed(&mut limited);
    assert_eq!(compare_trees(&tree, &restored(&target, &tree)), Vec::<String>::new());
}
