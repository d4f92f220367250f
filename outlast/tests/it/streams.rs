//! Streams to back up: nothing must pass for a backup, and a command that is run for one ends with
//! us.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::harness::{
    Role, document, fail, outlast, repo, restic, run, scratch, succeed, wait_until,
};

/// A share with nothing on it.
fn share(directory: &Path) -> PathBuf {
    let share = directory.join("share");
    succeed(outlast().args(["share", "init"]).arg(&share));
    share
}

fn drop_to(share: &Path, workload: &str) -> Command {
    let mut command = outlast();
    command.args(["drop", "--workload", workload, "--share"]).arg(share);
    command
}

/// How many seals there are on the share.
fn seals(share: &Path) -> usize {
    let below = |path: PathBuf| fs::read_dir(path).into_iter().flatten().map(|e| e.unwrap().path());
    let workloads = below(share.join("w"));
    let days = workloads.flat_map(|workload| below(workload.join("drops")));
    days.flat_map(below).filter(|drop| drop.join("sealed.json").exists()).count()
}

fn write_only(directory: &Path) -> File {
    File::create(directory.join("write-only")).unwrap()
}

/// `command` with its standard input closed.
fn closed(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" <&-"]).arg(command.get_program());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.args(command.get_args());
    shell
}

#[test]
fn a_stream_without_a_byte_is_no_backup_unless_it_was_asked_for() {
    let directory = scratch();
    let (share, repository) = (share(directory.path()), directory.path().join("repo"));
    succeed(&mut repo("init", &repository));
    let to_share = || drop_to(&share, "shop");
    let to_repository = || repo("backup", &repository);
    let empty_pipe = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(writer);
        reader
    };
    for (mut command, stream) in [
        (to_share(), &["--stdin", "x"][..]),
        (to_share(), &["--exec", "x", "--", "true"]),
        (to_repository(), &["--stdin"]),
        (to_repository(), &["--stdin-from-command", "--", "true"]),
    ] {
        command.args(stream);
        let mut cases = vec![fail(&mut command, 1), fail(&mut closed(&command), 1)];
        cases.push(fail(command.stdin(empty_pipe()), 1));
        for words in cases {
            assert!(words.contains("nothing") && words.contains("--allow-empty"), "{words}");
        }
    }
    assert_eq!(seals(&share), 0, "nothing is sealed");
    let snapshots = || document(repo("snapshots", &repository).arg("--json"));
    assert_eq!(snapshots().as_array().unwrap().len(), 0, "there is no snapshot");

    succeed(to_share().args(["--allow-empty", "--stdin", "x"]));
    succeed(to_share().args(["--allow-empty", "--exec", "x", "--", "true"]));
    succeed(to_repository().args(["--allow-empty", "--stdin"]));
    assert_eq!(seals(&share), 2);
    assert_eq!(snapshots().as_array().unwrap().len(), 1);
    succeed(restic(&repository).args(["check", "--read-data"]));
}

#[test]
fn standard_input_that_is_not_open_for_reading_is_not_taken_for_an_empty_one() {
    let directory = scratch();
    let (share, repository) = (share(directory.path()), directory.path().join("repo"));
    succeed(&mut repo("init", &repository));
    let mut to_share = drop_to(&share, "shop");
    to_share.args(["--allow-empty", "--stdin", "x"]);
    let mut to_repository = repo("backup", &repository);
    to_repository.args(["--allow-empty", "--stdin"]);
    for mut command in [to_share, to_repository] {
        let words = fail(command.stdin(write_only(directory.path())), 1);
        assert!(words.contains("not open for reading"), "{words}");
    }
    assert_eq!(seals(&share), 0);
}

#[test]
fn directories_without_anything_in_them_are_no_backup_unless_that_was_asked_for() {
    let directory = scratch();
    let share = share(directory.path());
    let (empty, also) = (directory.path().join("empty"), directory.path().join("also"));
    fs::create_dir(&empty).unwrap();
    fs::create_dir(&also).unwrap();
    let words = fail(drop_to(&share, "shop").arg(&empty).arg(&also), 1);
    assert!(words.contains("mounted") && words.contains("--allow-empty"), "{words}");
    fail(drop_to(&share, "shop").arg(""), 2);
    assert_eq!(seals(&share), 0);
    succeed(drop_to(&share, "shop").arg("--allow-empty").arg(&empty));
    fs::create_dir(also.join("inside")).unwrap();
    succeed(drop_to(&share, "shop").arg(&empty).arg(&also));
    assert_eq!(seals(&share), 2);
}

#[test]
fn a_snapshot_of_a_command_is_made_only_if_the_command_ends_well() {
    let directory = scratch();
    let repository = directory.path().join("repo");
    succeed(&mut repo("init", &repository));
    let backup = |script: &str| {
        let mut command = repo("backup", &repository);
        command.args(["--stdin-from-command", "--stdin-filename", "shop.sql", "--", "sh", "-c"]);
        command.arg(script);
        command
    };
    let words = fail(&mut backup("echo half a dump; exit 3"), 1);
    assert!(words.contains("exit status: 3") && words.contains("no snapshot"), "{words}");
    let words = fail(&mut backup("bash -o pipefail -c 'false | cat; echo half'; kill -9 $$"), 1);
    assert!(words.contains("SIGKILL"), "{words}");
    assert_eq!(document(repo("snapshots", &repository).arg("--json")).as_array().unwrap().len(), 0);
    succeed(&mut backup("echo a whole dump"));
    let dumped = succeed(restic(&repository).args(["dump", "latest", "/shop.sql"]));
    assert_eq!(dumped, "a whole dump\n");
}

/// The process whose number a script wrote into `file`.
fn noted(file: &Path) -> Pid {
    let mut pid = None;
    wait_until("the script notes a process", || {
        let text = fs::read_to_string(file).unwrap_or_default();
        // The line end comes last.
        pid = text.strip_suffix('\n').and_then(|text| Pid::from_raw(text.parse().ok()?));
        pid.is_some()
    });
    pid.unwrap()
}

fn lives(pid: Pid) -> bool {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let stat = fs::read_to_string(path).unwrap_or_default();
    // What is dead and not yet taken note of does not live.
    test_kill_process(pid).is_ok() && stat.contains(')') && !stat.contains(") Z")
}

#[test]
fn a_signal_ends_the_dump_command_and_all_that_it_started() {
    let directory = scratch();
    let (share, repository) = (share(directory.path()), directory.path().join("repo"));
    succeed(&mut repo("init", &repository));
    let script = "echo half; sleep 600 & echo $! > $0.child; setsid sleep 600 & echo $! > $0.orphan; \
                  echo $$ > $0.self; sleep 600; sleep 600";
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        for (name, mut command, tail) in [
            ("drop", drop_to(&share, "shop"), &["--exec", "x", "--"][..]),
            ("repo", repo("backup", &repository), &["--stdin-from-command", "--"]),
        ] {
            let notes = directory.path().join(format!("{name}-{code}"));
            command.args(tail).args(["sh", "-c", script]).arg(&notes);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let started: Vec<Pid> =
                ["child", "orphan", "self"].map(|kind| noted(&notes.with_extension(kind))).into();
            kill_process(Pid::from_child(&child), signal).unwrap();
            let status = child.wait().unwrap();
            assert_eq!(status.code(), Some(code), "{name} after {signal:?}");
            wait_until("all that it started is gone", || !started.iter().any(|pid| lives(*pid)));
        }
    }
    assert_eq!(seals(&share), 0);
}

#[test]
fn a_dump_command_that_does_not_heed_a_signal_is_killed_and_a_second_signal_does_it_at_once() {
    let directory = scratch();
    let share = share(directory.path());
    let note = directory.path().join("note");
    let script = "trap '' TERM; echo half; echo $$ > $0; sleep 600; sleep 600";
    let mut command = drop_to(&share, "shop");
    command.args(["--exec", "x", "--", "sh", "-c", script]).arg(&note);
    let mut child = Role::start(&mut command, &directory.path().join("log"));
    let shell = noted(&note);
    wait_until("it ends", || {
        if !child.has_ended() {
            child.signal(Signal::TERM);
        }
        child.has_ended()
    });
    assert_eq!(child.wait().code(), Some(143), "{}", child.words());
    wait_until("the command is gone", || !lives(shell));
    assert_eq!(seals(&share), 0);
}

#[test]
fn what_a_dump_command_left_behind_is_named_and_not_waited_for_without_end() {
    let directory = scratch();
    let share = share(directory.path());
    let note = directory.path().join("note");
    let script = |end: &str| {
        format!("echo dump; sleep 600 2>/dev/null & echo $! > {}; {end}", note.display())
    };
    let mut command = drop_to(&share, "shop");
    command.args(["--linger", "700ms", "--exec", "x", "--", "sh", "-c", &script("exit 0")]);
    let words = fail(&mut command, 1);
    let left = noted(&note);
    let named = format!("sleep (process {})", left.as_raw_nonzero());
    assert!(words.contains(&named) && words.contains("--linger"), "{words}");
    let _ = kill_process(left, Signal::KILL);

    // A failure is known at once, whoever holds the pipe.
    let mut command = drop_to(&share, "shop");
    let words = fail(command.args(["--exec", "x", "--", "sh", "-c", &script("exit 7")]), 1);
    assert!(words.contains("exit status: 7"), "{words}");
    let _ = kill_process(noted(&note), Signal::KILL);
    assert_eq!(seals(&share), 0);

    // What still comes from behind belongs to the dump.
    let mut command = drop_to(&share, "shop");
    let late = "(sleep 0.8; echo late) & echo early";
    let output = run(command.args(["--exec", "x", "--", "sh", "-c", late]));
    assert!(output.status.success(), "{output:?}");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("has ended, but"), "{words}");
    let target = directory.path().join("target");
    let mut fetch = outlast();
    fetch.args(["fetch", "--workload", "shop", "--share"]).arg(&share).arg("--into").arg(&target);
    succeed(&mut fetch);
    assert_eq!(fs::read_to_string(target.join("x")).unwrap(), "early\nlate\n");
}

#[test]
fn the_first_process_of_a_container_obeys_signals() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: making a PID namespace needs root");
        return;
    }
    let directory = scratch();
    let share = share(directory.path());
    let log = directory.path().join("log");
    let inside = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.arg(outlast().get_program()).args(arguments).arg("--share").arg(&share);
        command.stdin(Stdio::piped());
        command
    };
    for arguments in [
        &["fetch", "--workload", "none", "--timeout", "1h", "--into", "x"][..],
        &["drop", "--workload", "shop", "--stdin", "x"],
    ] {
        let mut container = Role::start(&mut inside(arguments), &log);
        let children = format!("/proc/{0}/task/{0}/children", container.pid());
        let mut first = None;
        wait_until("it runs and hears signals", || {
            assert!(!container.has_ended(), "{}", container.words());
            let child = fs::read_to_string(&children).unwrap_or_default();
            first = Pid::from_raw(child.trim().parse().unwrap_or(0));
            let status = first.map(|pid| format!("/proc/{}/status", pid.as_raw_nonzero()));
            let status = status.map(|path| fs::read_to_string(path).unwrap_or_default());
            let caught = status.as_deref().and_then(|status| {
                let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
                u64::from_str_radix(mask.trim(), 16).ok()
            });
            caught.is_some_and(|mask| mask & (1 << (Signal::TERM.as_raw() - 1)) != 0)
        });
        kill_process(first.unwrap(), Signal::TERM).unwrap();
        assert_eq!(container.wait().code(), Some(143), "{arguments:?}: {}", container.words());
    }
}

#[test]
fn the_mark_for_what_is_piped_in_elsewhere_is_answered_with_our_way() {
    let directory = scratch();
    let share = share(directory.path());
    let said = fail(drop_to(&share, "shop").arg("-"), 2);
    assert!(said.contains("--stdin NAME") && said.contains("./-"), "{said}");
    assert_eq!(seals(&share), 0);
}
