//! A restore gives nobody more than the snapshot says, and nothing to a stranger.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat};
use serde_json::Value;

use crate::harness::{document, outlast, repo, restored, run, scratch, succeed};

const ACCESS: &str = "system.posix_acl_access";

fn put(path: &Path, content: &str) {
    File::create(path).unwrap().write_all(content.as_bytes()).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What a stranger might have written for whoever restores it as root.
fn strange(source: &Path) {
    fs::create_dir(source).unwrap();
    for (name, mode) in [("rootsh", 0o6755), ("cap", 0o755), ("trusted", 0o644)] {
        let file = source.join(name);
        put(&file, name);
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let set = |name, attribute, value: &[u8]| {
        rustix::fs::setxattr(source.join(name), attribute, value, XattrFlags::empty()).unwrap();
    };
    set("cap", "security.capability", &capability);
    set("trusted", "trusted.overlay.opaque", b"y");
    set("trusted", "user.harmless", b"1");
    let device = makedev(7, 200);
    mknodat(CWD, source.join("disk"), FileType::BlockDevice, Mode::RUSR, device).unwrap();
}

fn has(path: &Path, attribute: &str) -> bool {
    rustix::fs::getxattr_query(path, attribute).is_ok()
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().mode() & 0o7777
}

/// Asserts that `told` names everything strange and that nothing of it is in `place`.
fn assert_withheld(told: &Value, place: &Path) {
    assert_eq!(told["problems"], Value::Array(Vec::new()), "{told}");
    let named = |what: &str, name: &str| {
        let list = told["withheld"].as_array().unwrap();
        let one = list.iter().find(|one| one["what"].as_str().unwrap().contains(what));
        let one = one.unwrap_or_else(|| panic!("nothing about {what}: {told}"));
        assert_eq!(one["count"], 1, "{told}");
        assert!(one["paths"][0].as_str().unwrap().ends_with(name), "{told}");
    };
    named("setuid", "/rootsh");
    named("device", "/disk");
    named("security.capability", "/cap");
    named("trusted.overlay.opaque", "/trusted");
    assert_eq!(mode(&place.join("rootsh")), 0o755);
    assert!(!place.join("disk").exists());
    assert!(!has(&place.join("cap"), "security.capability"));
    assert!(!has(&place.join("trusted"), "trusted.overlay.opaque"));
    assert!(has(&place.join("trusted"), "user.harmless"));
}

fn assert_whole(told: &Value, place: &Path) {
    assert_eq!(told["withheld"], Value::Array(Vec::new()), "{told}");
    assert_eq!(mode(&place.join("rootsh")), 0o6755);
    let disk = place.join("disk").symlink_metadata().unwrap();
    assert!(disk.file_type().is_block_device());
    assert!(has(&place.join("cap"), "security.capability"));
    assert!(has(&place.join("trusted"), "trusted.overlay.opaque"));
}

#[test]
fn a_restore_as_root_withholds_and_names_what_gives_rights_unless_told_otherwise() {
    if !is_root() {
        println!("skipped: only root can make what is to be withheld");
        return;
    }
    let directory = scratch();
    let (source, repository) = (directory.path().join("source"), directory.path().join("repo"));
    strange(&source);
    succeed(&mut repo("init", &repository));
    succeed(repo("backup", &repository).arg(&source));
    let restore = |tail: &[&str]| -> (Command, PathBuf) {
        let target = directory.path().join(format!("restored{}", tail.concat()));
        let mut command = repo("restore", &repository);
        command.args(["latest", "--target"]).arg(&target).args(tail);
        (command, restored(&target, &source))
    };
    let (mut command, place) = restore(&["--json"]);
    assert_withheld(&document(&mut command), &place);
    let (mut command, place) = restore(&["--json", "--privileged"]);
    assert_whole(&document(&mut command), &place);
    // And in words.
    let (mut command, _) = restore(&["--verify"]);
    let words = String::from_utf8(run(&mut command).stderr).unwrap();
    for word in ["withheld 4 things", "/rootsh", "/disk", "/cap", "/trusted", "--privileged"] {
        assert!(words.contains(word), "{words}");
    }
}

#[test]
fn a_fetch_as_root_withholds_and_names_what_gives_rights_unless_told_otherwise() {
    if !is_root() {
        println!("skipped: only root can make what is to be withheld");
        return;
    }
    let directory = scratch();
    let (source, share) = (directory.path().join("source"), directory.path().join("share"));
    strange(&source);
    succeed(outlast().args(["share", "init"]).arg(&share));
    succeed(outlast().args(["drop", "--workload", "w", "--share"]).arg(&share).arg(&source));
    let fetch = |into: &Path| {
        let mut command = outlast();
        command.args(["fetch", "--json", "--workload", "w", "--share"]).arg(&share);
        command.arg("--into").arg(into);
        command
    };
    let into = directory.path().join("into");
    assert_withheld(&document(&mut fetch(&into)), &restored(&into, &source));
    let into = directory.path().join("whole");
    let told = document(fetch(&into).arg("--privileged"));
    assert_whole(&told, &restored(&into, &source));
}

fn setfacl(arguments: &[&str], path: &Path) -> bool {
    Command::new("setfacl").args(arguments).arg(path).status().is_ok_and(|status| status.success())
}

#[test]
fn access_lists_of_the_target_and_of_an_earlier_restore_open_nothing() {
    let directory = scratch();
    let (source, repository) = (directory.path().join("source"), directory.path().join("repo"));
    fs::create_dir(&source).unwrap();
    for name in ["file", "large"] {
        put(&source.join(name), &name.repeat(100_000));
        let private = fs::Permissions::from_mode(0o640);
        fs::set_permissions(source.join(name), private).unwrap();
    }
    fs::set_permissions(&source, fs::Permissions::from_mode(0o750)).unwrap();
    succeed(&mut repo("init", &repository));
    succeed(repo("backup", &repository).arg(&source));
    let target = directory.path().join("target");
    fs::create_dir(&target).unwrap();
    if !setfacl(&["-d", "-m", "u:1234:rwx"], &target) {
        println!("skipped: there is no setfacl, or no access lists where the tests run");
        return;
    }
    let place = restored(&target, &source);
    let paths = [place.clone(), place.join("file"), place.join("large")];
    let look = |when: &str| {
        for path in &paths {
            assert!(!has(path, ACCESS), "{when}: {}", path.display());
            assert!(!has(path, "system.posix_acl_default"), "{when}: {}", path.display());
            assert!(!has(path, "user.stale"), "{when}: {}", path.display());
            let expected = if path.is_dir() { 0o750 } else { 0o640 };
            assert_eq!(mode(path), expected, "{when}: {}", path.display());
        }
    };
    let restore = |how: &[&str]| {
        let mut command = repo("restore", &repository);
        succeed(command.args(["latest", "--target"]).arg(&target).args(how));
    };
    restore(&[]);
    look("after the first restore");
    for how in ["--resume", "--overwrite"] {
        for path in &paths {
            assert!(setfacl(&["-m", "u:1234:rwx,o::r"], path));
            rustix::fs::setxattr(path, "user.stale", b"x", XattrFlags::empty()).unwrap();
        }
        assert!(setfacl(&["-d", "-m", "u:1234:rwx"], &place));
        restore(&[how]);
        look(how);
    }
    assert!(has(&target, "system.posix_acl_default"), "the target itself is not ours");
}
