//! The share's own commands, and drops that are not whole.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{document, fail, outlast, restored, run, scratch, succeed};

#[test]
fn init_makes_a_share_once_and_takes_over_nothing() {
    let directory = scratch();
    let share = directory.path().join("mnt/share");
    let made = json(share_command("init", &share));
    assert_eq!(made["path"], share.to_str().unwrap());
    let status = json(share_command("status", &share));
    assert_eq!(status["share"], made["share"]);
    assert_eq!(status["workloads"], Value::Array(Vec::new()));

    let words = fail(&mut share_command("init", &share), 1);
    assert!(words.contains(made["share"].as_str().unwrap()), "it says which share: {words}");

    let foreign = directory.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    File::create(foreign.join("photos.zip")).unwrap();
    let words = fail(&mut share_command("init", &foreign), 1);
    assert!(words.contains("photos.zip"), "it says what is in the way: {words}");
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1, "and leaves it alone");
    fail(&mut share_command("init", &foreign.join("photos.zip")), 1);
}

#[test]
fn status_tells_of_each_workload_what_is_there() {
    let directory = scratch();
    let (share, file) = share_and_file(directory.path());
    let newest = drop_file(&share, "shop", &file);
    drop_file(&share, "blog", &file);
    let newest = drop_file(&share, "shop", &file).max(newest);
    fail(failing_drop(&share, "shop").arg("false"), 1);

    let status = json(share_command("status", &share));
    let workloads = status["workloads"].as_array().unwrap();
    assert_eq!(workloads.len(), 2, "{status}");
    let shop = workloads.iter().find(|workload| workload["workload"] == "shop").unwrap();
    assert_eq!(shop["counts"]["sealed"], 2, "{shop}");
    assert_eq!(shop["counts"]["failed"], 1, "{shop}");
    assert_eq!(shop["newest"]["drop"], newest.as_str(), "{shop}");
    let told = succeed(&mut share_command("status", &share));
    assert!(told.contains("shop") && told.contains("1 failed, 2 sealed"), "{told}");
}

#[test]
fn clean_removes_what_died_and_never_a_sealed_drop() {
    let directory = scratch();
    let (share, file) = share_and_file(directory.path());
    drop_file(&share, "shop", &file);
    fail(failing_drop(&share, "shop").args(["sh", "-c", "echo half; exit 1"]), 1);
    let before = everything_in(&share);

    let kept = json(share_command("clean", &share));
    assert_eq!(kept["removed"], Value::Array(Vec::new()), "within the grace time: {kept}");
    let mut rehearsal = share_command("clean", &share);
    let rehearsed = document(rehearsal.args(["--grace", "0s", "--dry-run", "--json"]));
    assert_eq!(rehearsed["dry_run"], true);
    assert_eq!(rehearsed["removed"].as_array().unwrap().len(), 1, "{rehearsed}");
    assert_eq!(everything_in(&share), before, "--dry-run removes nothing");

    let mut cleaning = share_command("clean", &share);
    let cleaned = document(cleaning.args(["--grace", "0s", "--json"]));
    assert_eq!(cleaned["problems"], Value::Array(Vec::new()));
    let removed = &cleaned["removed"][0];
    assert_eq!(removed["why"], "failed", "{cleaned}");
    assert!(!Path::new(removed["path"].as_str().unwrap()).exists());
    let status = json(share_command("status", &share));
    assert_eq!(status["workloads"][0]["counts"], serde_json::json!({ "sealed": 1 }), "{status}");
    let target = directory.path().join("fetched");
    succeed(fetch(&share, "shop").arg(&target));
    assert_eq!(fs::read(restored(&target, &file)).unwrap(), b"content");
}

#[test]
fn a_tree_with_something_unreadable_is_sealed_named_and_no_success() {
    let directory = scratch();
    let root = directory.path();
    let share = root.join("share");
    succeed(&mut share_command("init", &share));
    let tree = root.join("tree");
    fs::create_dir(&tree).unwrap();
    for name in ["readable", "secret"] {
        File::create(tree.join(name)).unwrap().write_all(b"content").unwrap();
    }
    set_mode(&tree.join("secret"), 0o000);
    let Some(user) = SomebodyElse::new(root, &share) else { return };
    let mut command = user.outlast();
    command.args(["drop", "--workload", "shop", "--share"]).arg(&share).arg(&tree);

    let output = run(&mut command);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{words}");
    assert!(words.contains("tree/secret") && words.contains("incomplete"), "{words}");
    let drop = String::from_utf8(output.stdout).unwrap();
    let output = run(command.arg("--json"));
    assert_eq!(output.status.code(), Some(3));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let problems = told["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{told}");
    assert!(problems[0].as_str().unwrap().contains("tree/secret"), "{told}");

    let target = root.join("fetched");
    succeed(fetch(&share, "shop").arg(&target).args(["--drop", drop.trim()]));
    assert_eq!(fs::read(restored(&target, &tree.join("readable"))).unwrap(), b"content");
}

#[test]
fn the_share_cannot_be_dropped_into_itself() {
    let directory = scratch();
    let (share, file) = share_and_file(directory.path());
    for path in [&share, &share.join("w")] {
        fs::create_dir_all(path).unwrap();
        let mut command = outlast();
        command.args(["drop", "--workload", "shop", "--share"]).arg(&share);
        let words = fail(command.arg(&file).arg(path), 1);
        assert!(words.contains(path.to_str().unwrap()), "{words}");
    }
    let status = json(share_command("status", &share));
    assert_eq!(status["workloads"], Value::Array(Vec::new()), "nothing was sealed: {status}");
}

/// A user who may not read everything: this one, or another one if this is root.
struct SomebodyElse {
    program: PathBuf,
    root: bool,
}

impl SomebodyElse {
    fn new(root: &Path, share: &Path) -> Option<Self> {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_outlast"));
        if !rustix::process::geteuid().is_root() {
            return Some(Self { program, root: false });
        }
        // The checkout may lie where others cannot look.
        let copy = root.join("outlast");
        fs::copy(&program, &copy).unwrap();
        set_mode(&copy, 0o755);
        set_mode(root, 0o755);
        for entry in everything_in(share).iter().filter(|path| path.is_dir()) {
            set_mode(entry, 0o777);
        }
        set_mode(share, 0o777);
        let user = Self { program: copy, root: true };
        if run(user.outlast().arg("--version")).status.success() {
            return Some(user);
        }
        println!("skipped: this host does not let root become another user");
        None
    }

    fn outlast(&self) -> Command {
        if !self.root {
            return Command::new(&self.program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--clear-groups", "--"]).arg(&self.program);
        command
    }
}

fn share_command(word: &str, share: &Path) -> Command {
    let mut command = outlast();
    command.args(["share", word]).arg(share);
    command
}

#[track_caller]
fn json(mut command: Command) -> Value {
    document(command.arg("--json"))
}

fn share_and_file(directory: &Path) -> (PathBuf, PathBuf) {
    let (share, file) = (directory.join("share"), directory.join("file"));
    succeed(&mut share_command("init", &share));
    File::create(&file).unwrap().write_all(b"content").unwrap();
    (share, file)
}

#[track_caller]
fn drop_file(share: &Path, workload: &str, file: &Path) -> String {
    let mut command = outlast();
    command.args(["drop", "--workload", workload, "--share"]).arg(share).arg(file);
    succeed(&mut command).trim().to_owned()
}

/// A drop of a command's output, to which the command has to be added.
fn failing_drop(share: &Path, workload: &str) -> Command {
    let mut command = outlast();
    command.args(["drop", "--workload", workload, "--share"]).arg(share);
    command.args(["--exec", "dump.sql", "--"]);
    command
}

/// A fetch, to which the target has to be added.
fn fetch(share: &Path, workload: &str) -> Command {
    let mut command = outlast();
    command.args(["fetch", "--workload", workload, "--share"]).arg(share).arg("--into");
    command
}

fn everything_in(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(everything_in(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
