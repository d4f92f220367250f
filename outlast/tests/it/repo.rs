//! `outlast repo …` with stock restic as the judge, in both directions.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use outlast_testing::{compare_trees, pseudo_random, torture_tree};
use serde_json::Value;

use crate::harness::{
    document, fail, outlast, repo, restic, restored, run, scratch, succeed, wait_until,
};

#[test]
fn stock_restic_checks_lists_dumps_and_restores_what_we_wrote() {
    let directory = scratch();
    let tree = torture(directory.path());
    for version in ["1", "2"] {
        let repository = directory.path().join(format!("v{version}"));
        succeed(repo("init", &repository).args(["--repository-version", version]));
        let saved = document(repo("backup", &repository).arg(&tree).arg("--json"));
        assert_eq!(saved["problems"], Value::Array(Vec::new()));

        succeed(restic(&repository).args(["check", "--read-data"]));
        let theirs = succeed(restic(&repository).args(["ls", "--json", "latest"]));
        // Their first line is the snapshot.
        let theirs = theirs.lines().count() - 1;
        let ours = document(repo("ls", &repository).args(["latest", "--json"]));
        assert_eq!(ours.as_array().unwrap().len(), theirs, "version {version}");
        let file = tree.join("contents/large");
        let dumped = run(restic(&repository).args(["dump", "latest"]).arg(&file));
        assert!(dumped.stdout == fs::read(&file).unwrap(), "version {version}");
        let target = directory.path().join(format!("by restic {version}"));
        succeed(restic(&repository).args(["restore", "latest", "--target"]).arg(&target));
        let differences = compare_trees(&tree, &restored(&target, &tree));
        assert_eq!(differences, Vec::<String>::new(), "version {version}, by restic");

        let target = directory.path().join(format!("by us {version}"));
        succeed(
            repo("restore", &repository)
                .args(["latest", "--privileged", "--verify", "--target"])
                .arg(&target),
        );
        let differences = compare_trees(&tree, &restored(&target, &tree));
        assert_eq!(differences, Vec::<String>::new(), "version {version}, by us");
        // A second backup of the same stores nothing anew.
        let again = document(repo("backup", &repository).arg(&tree).arg("--json"));
        assert!(again["stored_bytes"].as_u64().unwrap() < 10_000, "{again}");
    }
}

#[test]
fn what_stock_restic_wrote_is_checked_listed_and_restored() {
    let directory = scratch();
    let tree = torture(directory.path());
    for (version, compression) in [("1", "auto"), ("2", "off"), ("2", "auto"), ("2", "max")] {
        let name = format!("{version} {compression}");
        let repository = directory.path().join(&name);
        succeed(restic(&repository).args(["init", "--repository-version", version]));
        let mut backup = restic(&repository);
        backup.args(["backup", "--compression", compression, "--tag", "theirs"]).arg(&tree);
        succeed(&mut backup);

        let checked = document(repo("check", &repository).args(["--read-data", "--json"]));
        assert_eq!(checked["clean"], true, "{name}: {checked}");
        let snapshots = document(repo("snapshots", &repository).arg("--json"));
        assert_eq!(snapshots[0]["tags"][0], "theirs", "{name}");
        assert_eq!(snapshots[0]["paths"][0], tree.to_str().unwrap(), "{name}");
        let theirs = succeed(restic(&repository).args(["ls", "--json", "latest"]));
        let ours = document(repo("ls", &repository).args(["latest", "--json"]));
        assert_eq!(ours.as_array().unwrap().len(), theirs.lines().count() - 1, "{name}");
        let file = tree.join("contents/large");
        let printed = run(repo("cat", &repository).arg("latest").arg(&file));
        assert!(printed.stdout == fs::read(&file).unwrap(), "{name}");
        let target = directory.path().join(format!("{name} restored"));
        let mut restore = repo("restore", &repository);
        succeed(restore.args(["latest", "--privileged", "--target"]).arg(&target));
        let differences = compare_trees(&tree, &restored(&target, &tree));
        assert_eq!(differences, Vec::<String>::new(), "{name}");
        // And both can write into one repository.
        succeed(repo("backup", &repository).arg(&tree));
        succeed(restic(&repository).args(["check", "--read-data"]));
    }
}

#[test]
fn standard_input_becomes_one_file_of_the_name_that_was_given() {
    let directory = scratch();
    let repository = directory.path().join("repo");
    succeed(&mut repo("init", &repository));
    let dump = pseudo_random(1, 5_000_000);
    let mut command = repo("backup", &repository);
    command.args(["--stdin", "--stdin-filename", "shop.sql", "--host", "blue-1", "--tag", "daily"]);
    let mut backup = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    backup.stdin.take().unwrap().write_all(&dump).unwrap();
    assert!(backup.wait().unwrap().success());

    let ours = run(repo("cat", &repository).args(["latest", "/shop.sql"]));
    assert!(ours.stdout == dump);
    let theirs = run(restic(&repository).args(["dump", "latest", "/shop.sql"]));
    assert!(theirs.stdout == dump);
    let snapshot = &document(repo("snapshots", &repository).arg("--json"))[0];
    assert_eq!(snapshot["hostname"], "blue-1");
    assert_eq!(snapshot["tags"], serde_json::json!(["daily"]));
    assert_eq!(snapshot["bytes"], dump.len());
    let stats = document(repo("stats", &repository).arg("--json"));
    assert_eq!(stats["snapshots"], 1);
    assert!(stats["stored_bytes"].as_u64().unwrap() >= dump.len() as u64, "{stats}");
    fail(repo("backup", &repository).args(["--stdin", "--stdin-filename", "../shop.sql"]), 1);
}

#[test]
fn snapshots_and_paths_are_found_by_what_people_type() {
    let directory = scratch();
    let (repository, tree) = (directory.path().join("repo"), directory.path().join("tree"));
    fs::create_dir_all(tree.join("sub")).unwrap();
    fill(&tree.join("sub/file"), 1, 1000);
    fill(&tree.join("other"), 2, 1000);
    succeed(&mut repo("init", &repository));
    fail(&mut repo("init", &repository), 1);
    assert!(fail(repo("ls", &repository).arg("latest"), 1).contains("no snapshots"));
    // A relative path keeps its name, as with restic.
    let saved =
        document(repo("backup", &repository).current_dir(&directory).args(["tree", "--json"]));
    let id = saved["snapshot"].as_str().unwrap();

    for wanted in ["latest", id, &id[..8]] {
        let listed = succeed(repo("ls", &repository).args([wanted, "/tree/sub/"]));
        let names: BTreeSet<&str> =
            listed.lines().map(|line| &line[line.find('/').unwrap()..]).collect();
        assert_eq!(names, BTreeSet::from(["/tree/sub", "/tree/sub/file"]), "{listed}");
    }
    let whole = succeed(repo("ls", &repository).arg("latest"));
    assert_eq!(succeed(repo("ls", &repository).args(["latest", "/"])), whole);
    for (wanted, path) in
        [("latest", "/nope"), ("latest", "../tree"), ("zzz", "/"), ("00000000", "/")]
    {
        let words = fail(repo("ls", &repository).args([wanted, path]), 1);
        assert!(
            words.contains("nope") || words.contains("..") || words.contains(wanted),
            "{words}"
        );
    }
    for directory in ["/tree", "/", "/tree/nope"] {
        fail(repo("cat", &repository).args(["latest", directory]), 1);
    }
    let target = directory.path().join("part");
    let mut restore = repo("restore", &repository);
    succeed(restore.args(["latest", "--include", "/tree/sub", "--target"]).arg(&target));
    assert!(target.join("tree/sub/file").exists() && !target.join("tree/other").exists());
}

#[test]
fn restore_refuses_a_target_in_use_and_never_writes_outside_of_it() {
    let directory = scratch();
    let (repository, tree) = (directory.path().join("repo"), directory.path().join("tree"));
    fs::create_dir_all(tree.join("sub")).unwrap();
    fill(&tree.join("sub/file"), 1, 1000);
    fill(&tree.join("other"), 2, 1000);
    succeed(&mut repo("init", &repository));
    succeed(repo("backup", &repository).arg(&tree));

    let (target, outside) = (directory.path().join("target"), directory.path().join("outside"));
    fs::create_dir(&target).unwrap();
    fs::create_dir(&outside).unwrap();
    fill(&target.join("mine"), 3, 10);
    let restore = || {
        let mut command = repo("restore", &repository);
        command.args(["latest", "--target"]).arg(&target);
        command
    };
    let words = fail(&mut restore(), 1);
    assert!(words.contains("--overwrite") && words.contains(target.to_str().unwrap()), "{words}");
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1, "nothing was written");

    // Whoever owns the target may have laid links where the restore has to go.
    let place = restored(&target, &tree);
    fs::create_dir_all(&place).unwrap();
    symlink(&outside, place.join("sub")).unwrap();
    fill(&outside.join("victim"), 4, 10);
    symlink(outside.join("victim"), place.join("other")).unwrap();
    let victim = fs::read(outside.join("victim")).unwrap();
    run(restore().arg("--overwrite"));
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "nothing came into it");
    assert!(fs::read(outside.join("victim")).unwrap() == victim, "nothing was written through");
    assert!(fs::read(place.join("other")).unwrap() == fs::read(tree.join("other")).unwrap());
    assert!(target.join("mine").exists());
}

#[test]
fn names_that_are_not_utf8_are_restored_into_and_told_as_json() {
    let directory = scratch();
    let (repository, file) = (directory.path().join("repo"), directory.path().join("file"));
    fill(&file, 1, 1000);
    succeed(&mut repo("init", &repository));
    succeed(repo("backup", &repository).arg(&file));
    let target = directory.path().join(OsStr::from_bytes(b"caf\xe9"));
    let mut restore = repo("restore", &repository);
    let told = document(restore.args(["latest", "--json", "--target"]).arg(&target));
    assert!(told["target"].as_str().unwrap().ends_with(r"caf\xe9'"), "{told}");
    let bytes = BASE64.decode(told["target_base64"].as_str().unwrap()).unwrap();
    assert_eq!(bytes, target.as_os_str().as_bytes());
    assert!(fs::read(restored(&target, &file)).unwrap() == fs::read(&file).unwrap());
}

#[test]
fn a_killed_backup_goes_on_with_its_journal_and_stores_no_pack_twice() {
    const BYTES: usize = 150_000_000;
    let directory = scratch();
    let (repository, file) = (directory.path().join("repo"), directory.path().join("file"));
    fill(&file, 5, BYTES);
    succeed(&mut repo("init", &repository));
    let backup = || {
        let mut command = repo("backup", &repository);
        command.arg("--journal").arg(directory.path().join("journal")).arg(&file);
        command
    };
    // Each strike comes once there is more than after the last one, so each has work to lose.
    let mut strikes = 0;
    for _ in 0..3 {
        let before = stored(&repository).0;
        let mut running = backup().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut ended = false;
        wait_until("packs are stored", || {
            ended = running.try_wait().unwrap().is_some();
            ended || stored(&repository).0 > before + 1
        });
        running.kill().unwrap();
        running.wait().unwrap();
        strikes += u32::from(!ended);
    }
    assert!(strikes > 0, "the backup was too fast to be killed");
    assert_eq!(document(repo("snapshots", &repository).arg("--json")), Value::Array(Vec::new()));

    succeed(&mut backup());
    let checked = document(repo("check", &repository).args(["--read-data", "--json"]));
    assert_eq!(checked["clean"], true, "{checked}");
    succeed(restic(&repository).args(["check", "--read-data"]));
    let (packs, bytes) = stored(&repository);
    let leftover = checked["leftover_packs"].as_u64().unwrap();
    println!("{strikes} strikes, {packs} packs, {leftover} left over, {bytes} bytes");
    assert!(bytes < BYTES as u64 * 5 / 4, "{bytes} bytes are stored for {BYTES}");
    let printed = run(repo("cat", &repository).arg("latest").arg(&file));
    assert!(printed.stdout == fs::read(&file).unwrap());
}

#[test]
fn a_wrong_password_is_told_and_each_right_one_opens_the_repository() {
    let directory = scratch();
    let repository = directory.path().join("repo");
    succeed(&mut repo("init", &repository));
    let words = fail(repo("check", &repository).env("OUTLAST_PASSWORD", "wrong"), 1);
    assert!(words.contains("wrong password") && words.contains("OUTLAST_PASSWORD"), "{words}");
    // A second password that restic adds opens it, too.
    let new = directory.path().join("new");
    File::create(&new).unwrap().write_all(b"battery staple").unwrap();
    succeed(restic(&repository).args(["key", "add", "--new-password-file"]).arg(&new));
    succeed(repo("check", &repository).env("OUTLAST_PASSWORD", "battery staple"));
    let mut elsewhere = outlast();
    elsewhere.args(["repo", "check", "-r", "s3:bucket/path"]).env("OUTLAST_PASSWORD", "x");
    assert!(fail(&mut elsewhere, 1).contains("not supported"));
}

/// Builds the torture tree, and says what this host left out of it.
fn torture(directory: &Path) -> PathBuf {
    let tree = directory.join("tree");
    fs::create_dir(&tree).unwrap();
    for skipped in torture_tree(&tree).unwrap() {
        println!("not in the tree: {skipped}");
    }
    tree
}

/// How many packs are in a repository, and their bytes. A pack that is still being written has
/// another name; what a killed writer left of one is swept a day later.
fn stored(repository: &Path) -> (usize, u64) {
    let folders = fs::read_dir(repository.join("data")).unwrap();
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    let packs = files.map(Result::unwrap).filter(|file| file.file_name().len() == 64);
    packs.fold((0, 0), |(count, bytes), pack| (count + 1, bytes + pack.metadata().unwrap().len()))
}

fn fill(path: &Path, seed: u64, length: usize) {
    File::create(path).unwrap().write_all(&pseudo_random(seed, length)).unwrap();
}

#[test]
fn the_data_is_checked_in_parts_slowly_and_as_often_as_it_takes() {
    let directory = scratch();
    let repository = directory.path().join("repo");
    succeed(&mut repo("init", &repository));
    let file = directory.path().join("file");
    File::create(&file).unwrap().write_all(&pseudo_random(5, 3 << 20)).unwrap();
    succeed(repo("backup", &repository).arg(&file));
    let check = |arguments: &[&str]| {
        document(repo("check", &repository).args(arguments).args(["--limit-rate", "64M", "--json"]))
    };
    let number = |document: &Value, name: &str| document[name].as_u64().unwrap();
    let whole = check(&["--read-data"]);
    assert_eq!(number(&whole, "bytes_read"), number(&whole, "bytes"));
    let parts = ["2/2", "1/2"].map(|part| check(&["--subset", part]));
    let read: u64 = parts.iter().map(|part| number(part, "bytes_read")).sum();
    assert_eq!(read, number(&whole, "bytes"));

    let state = directory.path().join("state");
    let resumed = check(&["--resume", "--state", state.to_str().unwrap()]);
    assert_eq!(number(&resumed, "packs_read"), number(&whole, "packs"));
    assert!(!state.exists(), "a check that ended is not gone on with");
    let words = fail(repo("check", &repository).args(["--subset", "3/2"]), 2);
    assert!(words.contains("n from 1 to m"), "{words}");
    fail(repo("check", &repository).args(["--limit-rate", "0"]), 2);
}

/// What is promised of a backup, in KiB, whatever it reads.
const BACKUP_KIB_MAX: u64 = 128 << 10;

#[test]
fn a_backup_of_a_long_stream_stays_within_its_memory() {
    let directory = scratch();
    let repository = directory.path().join("repository");
    succeed(&mut repo("init", &repository));
    let mut command = repo("backup", &repository);
    command.args(["--stdin", "--compression", "1"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut backup = command.spawn().unwrap();
    let mut input = backup.stdin.take().unwrap();
    // All of it new, and more than there is memory for.
    let mut part = pseudo_random(7, 8 << 20);
    for _ in 0..24 {
        part.iter_mut().step_by(4096).for_each(|byte| *byte = byte.wrapping_add(1));
        input.write_all(&part).unwrap();
    }
    // It has read all but what fits into the pipe, and waits for more.
    let status = fs::read_to_string(format!("/proc/{}/status", backup.id())).unwrap();
    drop(input);
    assert!(backup.wait().unwrap().success());
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak <= BACKUP_KIB_MAX, "{peak} KiB");
}
