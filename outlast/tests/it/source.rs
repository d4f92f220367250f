//! Odd trees as the input of `repo backup` and `drop`: what is skipped, what is missing, what costs
//! nothing.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{document, fail, outlast, repo, restic, restored, run, scratch, succeed};

fn put(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    File::create(path).unwrap().write_all(content).unwrap();
}

/// An empty share and an empty repository.
fn places(root: &Path) -> (PathBuf, PathBuf) {
    let (share, repository) = (root.join("share"), root.join("repo"));
    succeed(outlast().args(["share", "init"]).arg(&share));
    succeed(&mut repo("init", &repository));
    (share, repository)
}

fn drop_on(share: &Path) -> Command {
    let mut command = outlast();
    command.args(["drop", "--workload", "shop", "--share"]).arg(share);
    command
}

/// All seals on a share.
fn seals(share: &Path) -> Vec<Value> {
    let days = share.join("w/shop/drops");
    let entries = |path: &Path| -> Vec<PathBuf> {
        fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    };
    let drops = entries(&days).into_iter().flat_map(|day| entries(&day));
    let seals = drops.map(|drop| drop.join("sealed.json")).filter(|seal| seal.exists());
    seals.map(|seal| serde_json::from_slice(&fs::read(seal).unwrap()).unwrap()).collect()
}

/// The same command with this limit of open files.
fn limited(command: &Command, files: u32) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -n {files} && exec \"$@\""), "sh"]);
    limited.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited
}

#[test]
fn a_socket_in_a_tree_is_skipped_with_a_remark_and_the_drop_is_whole() {
    let directory = scratch();
    let (share, _) = places(directory.path());
    let tree = directory.path().join("tree");
    put(&tree.join("file"), b"content");
    let _listener = UnixListener::bind(tree.join("socket")).unwrap();
    fs::hard_link(tree.join("socket"), tree.join("the same socket")).unwrap();
    let output = run(drop_on(&share).arg(&tree));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    assert!(words.contains("tree/socket was skipped"), "{words}");
    let told = document(drop_on(&share).arg(&tree).arg("--json"));
    assert_eq!((&told["complete"], &told["problems"]), (&true.into(), &Value::Array(Vec::new())));
    assert_eq!(told["remarks"].as_array().unwrap().len(), 2, "{told}");
    assert!(seals(&share).iter().all(|seal| seal["claims"].get("gaps").is_none()));
}

#[test]
fn a_missing_path_costs_only_itself_and_the_code_is_3() {
    let directory = scratch();
    let (share, repository) = places(directory.path());
    let (file, missing) = (directory.path().join("file"), directory.path().join("missing"));
    put(&file, b"content");
    let mut backup = repo("backup", &repository);
    let words = fail(backup.arg(&missing).arg(&file), 3);
    assert!(words.contains(missing.to_str().unwrap()) && words.contains("No such file"), "{words}");
    let output = run(backup.arg("--json"));
    assert_eq!(output.status.code(), Some(3));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["complete"], &told["problem_count"]), (&false.into(), &1.into()), "{told}");
    let printed = run(restic(&repository).args(["dump", "latest"]).arg(&file));
    assert_eq!(printed.stdout, b"content");

    let words = fail(drop_on(&share).arg(&file).arg(&missing), 3);
    assert!(words.contains(missing.to_str().unwrap()), "{words}");
    let gaps = &seals(&share)[0]["claims"]["gaps"];
    assert_eq!(gaps["count"], 1);
    assert!(gaps["first"][0].as_str().unwrap().contains("missing"), "{gaps}");
    let into = directory.path().join("fetched");
    let mut fetch = outlast();
    fetch.args(["fetch", "--workload", "shop", "--share"]).arg(&share).arg("--into").arg(&into);
    succeed(&mut fetch);
    assert_eq!(fs::read(restored(&into, &file)).unwrap(), b"content");
}

#[test]
fn if_nothing_at_all_can_be_had_nothing_is_saved() {
    let directory = scratch();
    let (share, repository) = places(directory.path());
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    fail(repo("backup", &repository).arg(&one).arg(&two), 1);
    fail(drop_on(&share).arg(&one).arg(&two), 1);
    // There, but it loops: nobody can read it.
    std::os::unix::fs::symlink("loop", directory.path().join("loop")).unwrap();
    let below = directory.path().join("loop/below");
    fail(repo("backup", &repository).arg(&below), 1);
    fail(drop_on(&share).arg(&below), 1);
    let snapshots = document(repo("snapshots", &repository).arg("--json"));
    assert_eq!(snapshots.as_array().unwrap().len(), 0);
    assert_eq!(seals(&share).len(), 0);
}

#[test]
fn depth_costs_no_descriptors() {
    let directory = scratch();
    let (share, repository) = places(directory.path());
    let tree = directory.path().join("tree");
    let deep = (0..250).fold(tree.clone(), |path, _| path.join("d"));
    fs::create_dir_all(&deep).unwrap();
    for level in deep.ancestors().take(251) {
        // Too large to be read ahead, so it would wait for its turn with a descriptor.
        File::create(level.join("e")).unwrap().set_len(200 << 10).unwrap();
        put(&level.join("f"), b"content");
    }
    let saved = document(&mut limited(repo("backup", &repository).arg(&tree).arg("--json"), 128));
    assert_eq!((&saved["files"], &saved["complete"]), (&502.into(), &true.into()), "{saved}");
    let dropped = document(&mut limited(drop_on(&share).arg(&tree).arg("--json"), 128));
    assert_eq!(dropped["complete"], true, "{dropped}");
}

/// Holds a lease on a file, and gives it up some time after it was asked to.
const HOLDER: &str = "
import fcntl, os, signal, sys, time
file = os.open(sys.argv[1], os.O_RDWR)
def give_up(*_):
    time.sleep(0.2)
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
signal.signal(signal.SIGIO, give_up)
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('held', flush=True)
sys.stdin.read()
";

#[test]
fn a_file_on_which_another_program_has_a_lease_is_waited_for() {
    let directory = scratch();
    let (share, repository) = places(directory.path());
    let file = directory.path().join("document");
    put(&file, b"content");
    for mut command in [repo("backup", &repository), drop_on(&share)] {
        let mut holder = Command::new("python3");
        holder.args(["-c", HOLDER]).arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut holder) = holder.spawn() else {
            println!("skipped: there is no python3 to hold a lease");
            return;
        };
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let output = if line == "held\n" { Some(run(command.arg(&file))) } else { None };
        drop(holder.stdin.take());
        holder.wait().unwrap();
        let Some(output) = output else {
            println!("skipped: no leases on this file system");
            return;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_file_full_of_holes_is_the_same_in_the_backup() {
    let directory = scratch();
    let (share, repository) = places(directory.path());
    let tree = directory.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let file = File::create(tree.join("image")).unwrap();
    // So much that reading it would be felt.
    file.set_len(4 << 30).unwrap();
    for (at, content) in [(1_u64 << 30, b"island".as_slice()), ((3 << 30) + 4095, b"x")] {
        file.write_all_at(content, at).unwrap();
    }
    let saved = document(repo("backup", &repository).arg(&tree).arg("--json"));
    assert_eq!((&saved["bytes"], &saved["complete"]), (&(4_u64 << 30).into(), &true.into()));
    let into = directory.path().join("restored");
    succeed(repo("restore", &repository).args(["latest", "--target"]).arg(&into));
    let dropped = document(drop_on(&share).arg(&tree).arg("--json"));
    assert_eq!(dropped["complete"], true, "{dropped}");
    let path = restored(&into, &tree.join("image"));
    let back = File::open(&path).unwrap();
    assert_eq!(back.metadata().unwrap().len(), 4 << 30);
    for (at, expected) in
        [(1_u64 << 30, b"island\0\0".as_slice()), ((3 << 30) + 4094, b"\0x\0"), (2 << 30, &[0; 9])]
    {
        let mut found = vec![1; expected.len()];
        back.read_exact_at(&mut found, at).unwrap();
        assert_eq!(found, expected, "at {at}");
    }
}
