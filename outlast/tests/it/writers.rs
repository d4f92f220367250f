//! How `outlast drop` begins and ends: signals, deadlines, schedules, leases, and stepping back.

use std::fs;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use crate::harness::{Role, Up, fail, outlast, scratch, succeed, wait_until};

fn share(directory: &Path) -> PathBuf {
    let share = directory.join("share");
    succeed(outlast().args(["share", "init"]).arg(&share));
    share
}

fn drop_to(share: &Path, words: &[&str]) -> Command {
    let mut command = outlast();
    command.args(["drop", "--workload", "shop", "--share"]).arg(share).args(words);
    command
}

/// The directories of all drops.
fn drops(share: &Path) -> Vec<PathBuf> {
    let below = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    below(&share.join("w/shop/drops")).iter().flat_map(|day| below(day)).collect()
}

fn seals(share: &Path) -> usize {
    drops(share).iter().filter(|drop| drop.join("sealed.json").exists()).count()
}

fn has_failed(share: &Path) -> bool {
    drops(share).iter().any(|drop| {
        let open = fs::read(drop.join("open.json")).unwrap_or_default();
        serde_json::from_slice::<Value>(&open).is_ok_and(|open| open["state"] == "failed")
    })
}

/// The process whose number a script wrote into `file`.
fn noted(file: &Path) -> Pid {
    let mut pid = None;
    wait_until("the script notes its process", || {
        let text = fs::read_to_string(file).unwrap_or_default();
        pid = text.strip_suffix('\n').and_then(|text| Pid::from_raw(text.parse().ok()?));
        pid.is_some()
    });
    pid.unwrap()
}

fn ended(child: &mut Child) -> Option<i32> {
    let mut status = None;
    wait_until("it ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap().code()
}

/// A dump that notes its process, waits for a file, and ends well.
const PATIENT: &str =
    "echo half; echo $$ > $0.pid; while [ ! -e $0.go ]; do sleep 0.05; done; echo rest";

#[test]
fn with_a_deadline_a_drop_is_finished_after_a_signal_and_a_second_one_gives_it_up() {
    let directory = scratch();
    let share = share(directory.path());
    for (name, second, code) in [("once", false, 0), ("twice", true, 143)] {
        let notes = directory.path().join(name);
        let mut command = drop_to(&share, &["--deadline", "4m", "--exec", "x", "--", "sh", "-c"]);
        command.arg(PATIENT).arg(&notes).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let dump = noted(&notes.with_extension("pid"));
        let signal = |child: &Child| kill_process(Pid::from_child(child), Signal::TERM).unwrap();
        signal(&child);
        let mut said = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
        let said = said.next().unwrap().unwrap();
        assert!(said.contains("going on") && said.contains("another one ends it"), "{said}");
        if second {
            let mut sent = Instant::now();
            wait_until("it gives up", || {
                // What comes at the same time is the same wish told twice.
                if sent.elapsed() > Duration::from_secs(2) {
                    signal(&child);
                    sent = Instant::now();
                }
                child.try_wait().unwrap().is_some()
            });
        } else {
            drop(fs::File::create(notes.with_extension("go")).unwrap());
        }
        assert_eq!(ended(&mut child), Some(code), "{name}");
        wait_until("the dump is gone", || !child_lives(dump));
    }
    assert_eq!(seals(&share), 1);
    assert!(has_failed(&share));
}

fn child_lives(pid: Pid) -> bool {
    let stat =
        fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    test_kill_process(pid).is_ok() && stat.contains(')') && !stat.contains(") Z")
}

#[test]
fn a_final_drop_gives_up_by_itself_when_its_time_is_over() {
    let directory = scratch();
    let share = share(directory.path());
    let notes = directory.path().join("notes");
    let script = "echo half; echo $$ > $0; sleep 600; sleep 600";
    let words = ["--final", "--deadline", "1s", "--exec", "x", "--", "sh", "-c", script];
    let words = fail(drop_to(&share, &words).arg(&notes), 1);
    assert!(words.contains("the deadline") && words.contains("nothing was sealed"), "{words}");
    assert!(!child_lives(noted(&notes)));
    assert_eq!(seals(&share), 0);
    assert!(has_failed(&share));
    // One that has time enough is sealed, and says that it is the last.
    succeed(&mut drop_to(
        &share,
        &["--final", "--deadline", "4m", "--exec", "x", "--", "echo", "all"],
    ));
    let sealed = drops(&share).into_iter().find(|drop| drop.join("sealed.json").exists()).unwrap();
    let seal: Value =
        serde_json::from_slice(&fs::read(sealed.join("sealed.json")).unwrap()).unwrap();
    assert_eq!(seal["claims"]["final"], true);
}

#[test]
fn a_signal_gives_up_a_tree_and_a_silent_standard_input() {
    let directory = scratch();
    let share = share(directory.path());
    let file = directory.path().join("file");
    fs::File::create(&file)
        .unwrap()
        .write_all(&outlast_testing::pseudo_random(1, 4 << 20))
        .unwrap();
    let mut tree = drop_to(&share, &["--compress", "off", "--limit-rate", "64KiB/s"]);
    tree.arg(&file);
    let stream = drop_to(&share, &["--stdin", "x"]);
    for mut command in [tree, stream] {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        wait_until("it has begun", || !drops(&share).is_empty());
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert_eq!(ended(&mut child), Some(143));
        assert!(has_failed(&share));
        fs::remove_dir_all(share.join("w/shop")).unwrap();
    }
    assert_eq!(seals(&share), 0);
}

#[test]
fn a_rate_holds_the_writing_back() {
    let directory = scratch();
    let share = share(directory.path());
    let file = directory.path().join("file");
    fs::File::create(&file)
        .unwrap()
        .write_all(&outlast_testing::pseudo_random(1, 8 << 20))
        .unwrap();
    let began = Instant::now();
    let words = ["--compress", "off", "--segment-size", "1MiB", "--limit-rate", "2MiB"];
    succeed(drop_to(&share, &words).arg(&file));
    // A part of it may be on its way when the work is held back, and a second's worth comes at once.
    assert!(began.elapsed() > Duration::from_millis(500), "{:?}", began.elapsed());
    assert_eq!(seals(&share), 1);
}

#[test]
fn the_dump_steps_back_with_us() {
    let directory = scratch();
    let share = share(directory.path());
    let has_ionice = Command::new("ionice").output().is_ok();
    let mut words = vec!["--nice", "7"];
    let mut wanted = "7\n".to_owned();
    if has_ionice {
        words.extend(["--ionice", "6"]);
        wanted.push_str("best-effort: prio 6\n");
    } else {
        println!("NOT TESTED: there is no ionice on this host");
    }
    let script = "nice; ionice 2>/dev/null || :";
    words.extend(["--exec", "x", "--", "sh", "-c", script]);
    succeed(&mut drop_to(&share, &words));
    let target = directory.path().join("target");
    let mut fetch = outlast();
    fetch.args(["fetch", "--workload", "shop", "--share"]).arg(&share).arg("--into").arg(&target);
    succeed(&mut fetch);
    let own: i32 = succeed(&mut Command::new("nice")).trim().parse().unwrap();
    let seen = fs::read_to_string(target.join("x")).unwrap();
    assert_eq!(seen, wanted.replacen('7', &own.max(7).to_string(), 1));
    let mut missing = drop_to(&share, &["--ionice", "idle", "--exec", "x", "--", "echo", "x"]);
    let words = fail(missing.env("PATH", "/nowhere"), 1);
    assert!(words.contains("ionice"), "{words}");
    fail(&mut drop_to(&share, &["--nice", "-5", "--exec", "x", "--", "echo", "x"]), 2);
}

#[test]
fn ten_processes_with_a_lease_seal_one_drop_and_all_print_it() {
    let directory = scratch();
    let share = share(directory.path());
    let words = ["--once-per", "8760h", "--exec", "x", "--", "sh", "-c", "echo dump; sleep 0.3"];
    let children: Vec<Child> =
        (0..10).map(|_| drop_to(&share, &words).stdout(Stdio::piped()).spawn().unwrap()).collect();
    let outputs: Vec<_> =
        children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    assert!(outputs.iter().all(|output| output.status.success()), "{outputs:?}");
    assert!(outputs.iter().all(|output| output.stdout == outputs[0].stdout), "{outputs:?}");
    assert_eq!((seals(&share), drops(&share).len()), (1, 1));
    // A lease is a hint: without the right to leave one, there is a drop all the same.
    fs::remove_dir_all(share.join("w/shop")).unwrap();
    fs::create_dir_all(share.join("w/shop")).unwrap();
    drop(fs::File::create(share.join("w/shop/leases")).unwrap());
    let output = drop_to(&share, &words).output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("without a lease"), "{said}");
    assert_eq!(seals(&share), 1);
}

/// The state that a process on a schedule tells.
fn state(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap_or_default()).unwrap_or_default()
}

#[test]
fn an_instance_that_starts_late_drops_and_the_next_one_sees_that_and_waits() {
    let directory = scratch();
    let share = share(directory.path());
    let mut roles = Vec::new();
    for name in ["blue", "green"] {
        let (status, log) = (directory.path().join(name), directory.path().join("log"));
        let words = ["--every", "168h", "--at", "02:00", "--timezone", "UTC", "--status-file"];
        let mut command = drop_to(&share, &words);
        command.arg(&status).args(["--exec", "x", "--", "echo", name]);
        let mut role = Role::start(&mut command, &log);
        wait_until("it waits for the next time", || {
            assert!(!role.has_ended(), "{}", role.words());
            let state = state(&status);
            state["state"] == "waiting" && state["last_drop"].is_string()
        });
        roles.push((role, state(&status)));
    }
    assert_eq!(seals(&share), 1);
    assert_eq!(roles[0].1["last_drop"], roles[1].1["last_drop"]);
    assert!(roles[1].0.words().contains("another drop is enough"), "{}", roles[1].0.words());
    roles.iter_mut().for_each(|(role, _)| role.stop());
}

#[test]
fn a_drop_that_fails_is_told_and_ends_no_schedule() {
    let directory = scratch();
    let share = share(directory.path());
    let status = directory.path().join("status");
    let mut command = drop_to(&share, &["--every", "168h", "--timezone", "UTC", "--status-file"]);
    command.arg(&status).args(["--exec", "x", "--", "sh", "-c", "echo half; exit 9"]);
    let mut role = Role::start(&mut command, &directory.path().join("log"));
    wait_until("it tells of the failure", || state(&status)["state"] == "failing");
    assert!(!role.has_ended());
    let told = state(&status);
    assert_eq!(told["failures"], 1);
    assert!(told["problem"].as_str().unwrap().contains("exit status: 9"), "{told}");
    assert!(role.words().contains("exit status: 9"));
    assert_eq!(seals(&share), 0);
    role.stop();
    for (bad, named) in [
        (&["--every", "7h"][..], "divides"),
        (&["--every", "24h", "--at", "noon"], "02:00"),
        (&["--every", "24h", "--timezone", "Mars/Olympus"], "tzdata"),
        (&["--at", "02:00"], "--every"),
        (&["--every", "24h", "--final"], "--final"),
    ] {
        let words = fail(drop_to(&share, bad).args(["--exec", "x", "--", "true"]), 2);
        assert!(words.contains(named), "{bad:?}: {words}");
    }
}

#[test]
fn what_is_sealed_to_the_agent_reaches_the_vault_and_nobody_else_reads_it() {
    let directory = scratch();
    let secret = directory.path().join("seal.key");
    let public = succeed(outlast().args(["share", "key"]).arg(&secret));
    let mode = std::os::unix::fs::PermissionsExt::mode(&secret.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    fail(outlast().args(["share", "key"]).arg(&secret), 1);
    let file = directory.path().join("seal.pub");
    fs::File::create(&file).unwrap().write_all(public.as_bytes()).unwrap();
    let dir = directory.path().join("up");
    let mut up = Up::start(&dir);
    let drop = |up: &Up, to: &str| {
        let mut command = up.drop_command("shop");
        command.args(["--seal-to", to, "--exec", "x", "--", "echo", "the customers"]);
        succeed(&mut command).trim().to_owned()
    };
    let first = drop(&up, public.trim());
    // Without the key it waits, and somebody hears why.
    wait_until("the agent tells which key it lacks", || {
        up.role.words().lines().any(|line| line.contains(public.trim()))
    });
    assert!(!up.receipt("shop", &first, "rejected").exists());
    up.role.stop();
    let mut up = Up::start_with(&dir, &[("OUTLAST_AGENT_SEAL_KEY", secret.to_str().unwrap())]);
    up.wait_for_receipt("shop", &first, "vaulted");
    let second = drop(&up, file.to_str().unwrap());
    up.wait_for_receipt("shop", &second, "vaulted");
    let place = up.drop_directory("shop", &second).unwrap();
    for entry in fs::read_dir(&place).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(9).any(|at| at == b"customers"));
    }
    let restored = succeed(up.restic("shop").args(["dump", "latest", "/x"]));
    assert_eq!(restored, "the customers\n");
    let mut fetch = outlast();
    fetch.args(["fetch", "--workload", "shop", "--share"]).arg(&up.share);
    let words = fail(fetch.arg("--into").arg(directory.path().join("target")), 1);
    assert!(words.contains("encrypted"), "{words}");
    fail(up.drop_command("shop").args(["--seal-to", "AAAA", "--exec", "x", "--", "true"]), 2);
}
