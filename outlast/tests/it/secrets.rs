//! Passwords and addresses of repositories: read as stock restic reads them, from where it reads
//! them; and what is said when a repository is out of reach.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use crate::disks::Tmpfs;
use crate::harness::{fail, outlast, repo, run, scratch, succeed};

/// `outlast repo WORDS…`, with nothing said about repository and password.
fn bare(words: &[&str]) -> Command {
    let mut command = outlast();
    command.arg("repo").args(words);
    command
}

/// Stock restic, with nothing said about repository and password.
fn stock(words: &[&str]) -> Command {
    let mut command = Command::new("restic");
    for name in ["REPOSITORY", "REPOSITORY_FILE", "PASSWORD", "PASSWORD_FILE", "PASSWORD_COMMAND"] {
        command.env_remove(format!("RESTIC_{name}"));
    }
    command.args(["--no-cache", "--quiet"]).args(words);
    command
}

fn write(path: &Path, bytes: &[u8]) {
    File::create(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn one_password_file_opens_a_repository_with_us_and_with_restic_whatever_is_in_it() {
    let directory = scratch();
    let (ours, theirs) = (directory.path().join("ours"), directory.path().join("theirs"));
    for (number, bytes) in
        [&b"\n two\nlines \t\n\n"[..], b"\xef\xbb\xbfp\xe9ss\r\n", b"\xff\xfes\0\xe9\0\n\0"]
            .into_iter()
            .enumerate()
    {
        let file = directory.path().join("password");
        write(&file, bytes);
        for (place, makers) in [(&ours, true), (&theirs, false)] {
            let place = place.with_extension(number.to_string());
            let us = |words: &[&str]| {
                let mut command = bare(words);
                command.arg("-r").arg(&place).arg("--password-file").arg(&file);
                command
            };
            let restic = |words: &[&str]| {
                let mut command = stock(words);
                command.arg("-r").arg(&place).arg("-p").arg(&file);
                command
            };
            if makers {
                succeed(&mut us(&["init"]));
                succeed(&mut restic(&["snapshots"]));
            } else {
                succeed(&mut restic(&["init"]));
                succeed(&mut us(&["snapshots"]));
            }
        }
    }
    let empty = directory.path().join("empty");
    write(&empty, b" \n");
    let words = fail(bare(&["init", "-r", "x"]).arg("--password-file").arg(&empty), 1);
    assert!(words.contains("no password"), "{words}");
}

#[test]
fn the_variables_of_restic_are_read_and_ours_come_first() {
    let directory = scratch();
    let repository = directory.path().join("repository");
    let (file, address) = (directory.path().join("password"), directory.path().join("address"));
    write(&file, b"theirs\n");
    write(&address, format!("{}\n", repository.display()).as_bytes());
    let odd = OsStr::from_bytes(b"p\xe9ss ");
    let initialised = |us: bool, variables: &[(&str, &OsStr)]| {
        let _ = std::fs::remove_dir_all(&repository);
        for (ours, words) in [(us, "init"), (!us, "snapshots")] {
            let mut command = if ours { bare(&[words]) } else { stock(&[words]) };
            succeed(command.envs(variables.iter().copied()));
        }
    };
    let place = repository.as_os_str();
    initialised(true, &[("RESTIC_REPOSITORY", place), ("RESTIC_PASSWORD", odd)]);
    initialised(true, &[("RESTIC_REPOSITORY", place), ("RESTIC_PASSWORD_FILE", file.as_os_str())]);
    let command = OsStr::new("sh -c 'echo \" from a command \"'");
    initialised(
        false,
        &[("RESTIC_REPOSITORY_FILE", address.as_os_str()), ("RESTIC_PASSWORD_COMMAND", command)],
    );
    // The last one was made by restic, with the command's password.
    let mut command = bare(&["snapshots", "--password-command", "echo from a command"]);
    succeed(command.arg("--repository-file").arg(&address));
    let stale = [("RESTIC_PASSWORD", "stale"), ("RESTIC_REPOSITORY", "/nonexistent")];
    let ours = [("OUTLAST_PASSWORD", OsStr::new("from a command")), ("OUTLAST_REPOSITORY", place)];
    succeed(bare(&["snapshots"]).envs(stale).envs(ours));
    let words = fail(bare(&["snapshots"]).envs(ours).env("OUTLAST_REPOSITORY_FILE", &address), 1);
    assert!(words.contains("OUTLAST_REPOSITORY and OUTLAST_REPOSITORY_FILE"), "{words}");
    let words = fail(&mut bare(&["snapshots"]), 2);
    assert!(words.contains("--repo") && words.contains("RESTIC_REPOSITORY"), "{words}");
    // A command that fails is named, and what it was called with is not.
    let mut command = bare(&["snapshots", "--password-command", "sh -c 'exit 3 # hunter2'"]);
    let words = fail(command.env("OUTLAST_REPOSITORY", place), 1);
    assert!(words.contains("exit status: 3") && !words.contains("hunter2"), "{words}");
}

#[test]
fn a_server_that_cannot_be_reached_is_said_to_be_before_we_give_up() {
    let directory = scratch();
    // Nobody listens there: the listener is gone at once.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("rest:http://me:hunter2@127.0.0.1:{port}/shop/");
    let words = fail(repo("snapshots", &address).arg("--cache-dir").arg(directory.path()), 1);
    let first = words.lines().next().unwrap();
    assert!(first.contains("trying again") && first.contains("127.0.0.1"), "{words}");
    assert!(!words.contains("hunter2"), "{words}");
    assert_eq!(words.matches("trying again").count(), 1, "said once: {words}");
}

#[test]
fn a_repository_on_a_disk_that_became_read_only_is_no_matter_of_roles() {
    let directory = scratch();
    let Some(mount) = Tmpfs::mount(&directory.path().join("disk"), "size=16m") else { return };
    let repository = mount.path.join("repository");
    succeed(&mut repo("init", &repository));
    let file = directory.path().join("file");
    write(&file, b"content");
    succeed(repo("backup", &repository).arg(&file));
    mount.remount_read_only();
    for mut command in [repo("backup", &repository), repo("forget", &repository)] {
        command.arg(if command.get_args().any(|word| word == "forget") {
            OsStr::new("latest")
        } else {
            file.as_os_str()
        });
        let words = fail(&mut command, 1);
        assert!(words.to_lowercase().contains("read-only"), "{words}");
        assert!(words.contains("mounted") && !words.contains("role"), "{words}");
    }
}

#[test]
fn the_newest_snapshot_can_be_forgotten_by_that_name() {
    let directory = scratch();
    let (repository, file) = (directory.path().join("repository"), directory.path().join("file"));
    succeed(&mut repo("init", &repository));
    for content in [&b"one"[..], b"two"] {
        write(&file, content);
        succeed(repo("backup", &repository).arg(&file));
    }
    succeed(repo("forget", &repository).arg("latest"));
    let kept = run(repo("cat", &repository).arg("latest").arg(&file)).stdout;
    assert_eq!(kept, b"one");
    let words = fail(repo("forget", &repository).arg("newest"), 1);
    assert!(words.contains("'latest'"), "{words}");
}
