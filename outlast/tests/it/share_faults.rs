//! File servers and disks that answer badly: nothing is lost, nothing is condemned for a passing
//! fault, whoever can act hears of it once, and all goes on when the fault is over.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use outlast_testing::pseudo_random;
use rustix::io::Errno;

use crate::disks::{Disk, Tmpfs};
use crate::harness::{Up, document, fail, outlast, restored, run, scratch, succeed, wait_until};

/// So short that each fault of these tests outlasts it.
const PATIENCE: (&str, &str) = ("OUTLAST_AGENT_PATIENCE", "1s");
const MIB: usize = 1 << 20;

#[test]
fn a_share_that_answers_eio_is_named_and_used_again_when_it_is_back() {
    let directory = scratch();
    let Some(disk) = Disk::mount(directory.path(), "share") else { return };
    let share = disk.path.to_str().unwrap().to_owned();
    succeed(outlast().args(["share", "init"]).arg(&disk.path));
    let file = filled(directory.path(), "data", 1, 200_000);
    let mut up = Up::start_on(&directory.path().join("up"), &disk.path, &[PATIENCE]);
    let first = up.drop("shop", &[&file]);
    up.wait_for_receipt("shop", &first, "vaulted");

    // One that the agent may or may not have begun with.
    let caught = up.drop("shop", &[&file]);
    disk.fail();
    wait_until("the platform team hears of it", || !up.incidents().is_empty());
    let incident = up.incidents().remove(0);
    assert_eq!(incident["owner"], "platform", "{incident}");
    assert!(incident["cause"].as_str().unwrap().contains(&share), "it names the path: {incident}");
    let words = up.role.words();
    assert!(words.contains("Input/output error") && words.contains("check its mount"), "{words}");

    let target = directory.path().join("fetched");
    let mut fetch = outlast();
    fetch.args(["fetch", "--workload", "shop", "--share"]).arg(&disk.path);
    for command in [up.drop_command("shop").arg(&file), fetch.arg("--into").arg(&target)] {
        let words = fail(command, 1);
        assert!(words.contains(&share), "it names the path: {words}");
        assert!(words.contains("check its mount"), "it says what to do: {words}");
    }
    assert!(!target.exists(), "nothing half-fetched");
    assert!(!up.role.has_ended(), "{}", up.role.words());

    disk.repair();
    up.wait_for_receipt("shop", &caught, "vaulted");
    let second = up.drop("shop", &[&file]);
    up.wait_for_receipt("shop", &second, "vaulted");
    resolved_platform_incidents(&up, 1);
    assert_eq!(snapshots(&up, "shop"), 3, "one drop is one snapshot");
    restores_to(&up, "shop", &file);
    up.role.stop();
}

#[test]
fn eio_below_one_workload_stops_no_other_workload() {
    let directory = scratch();
    let file = filled(directory.path(), "data", 1, 200_000);
    let share = directory.path().join("share");
    succeed(outlast().args(["share", "init"]).arg(&share));
    let Some(disk) = Disk::mount(directory.path(), "share/w/shop") else { return };
    let mut up = Up::start_on(&directory.path().join("up"), &share, &[PATIENCE]);
    let first = up.drop("shop", &[&file]);
    up.wait_for_receipt("shop", &first, "vaulted");
    let caught = up.drop("shop", &[&file]);
    disk.fail();
    for _ in 0..2 {
        let other = up.drop("blog", &[&file]);
        up.wait_for_receipt("blog", &other, "vaulted");
    }
    let place = share.join("w/shop");
    wait_until("the agent names the place", || {
        let words = up.role.words();
        let mut lines = words.lines();
        lines.any(|line| {
            line.contains(place.to_str().unwrap()) && line.contains("Input/output error")
        })
    });
    wait_until("the platform team hears of it", || !up.incidents().is_empty());
    let words = fail(up.drop_command("shop").arg(&file), 1);
    assert!(
        words.contains(place.to_str().unwrap()) && words.contains("check its mount"),
        "{words}"
    );

    disk.repair();
    up.wait_for_receipt("shop", &caught, "vaulted");
    assert!(rejected(&share).is_empty(), "{:?}", rejected(&share));
    resolved_platform_incidents(&up, 1);
    restores_to(&up, "shop", &file);
}

#[test]
fn a_stale_handle_in_one_workload_condemns_no_drop_and_stops_no_other() {
    for (end, from) in [("sealed.json", 0), (".seg", 0), (".seg", MIB)] {
        one_workload_fails_and_recovers(Errno::STALE, end, from, "Stale file handle");
    }
}

#[test]
fn eio_in_one_workload_condemns_no_drop_and_stops_no_other() {
    for (end, from) in [("sealed.json", 0), (".seg", 0), (".seg", MIB)] {
        one_workload_fails_and_recovers(Errno::IO, end, from, "Input/output error");
    }
}

/// Lets the agent's reads of files that end with `end`, from the offset `from` on, fail in one of
/// two workloads.
fn one_workload_fails_and_recovers(errno: Errno, end: &str, from: usize, named: &str) {
    let directory = scratch();
    let file = filled(directory.path(), "data", 1, 3 * MIB);
    let share = directory.path().join("share");
    succeed(outlast().args(["share", "init"]).arg(&share));
    let shim = Shim::new(directory.path());
    let bad = share.join("w/shop");
    let settings = shim.settings(&bad, end);
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let from = from.to_string();
    let settings = [&settings[..], &[("SHIM_FROM", from.as_str()), PATIENCE]].concat();

    shim.fail(errno, "read");
    let mut up = Up::start_on(&directory.path().join("up"), &share, &settings);
    let caught = up.drop("shop", &[&file]);
    for _ in 0..2 {
        let other = up.drop("blog", &[&file]);
        up.wait_for_receipt("blog", &other, "vaulted");
    }
    // That it names the fault, and the place, proves that the fault was there.
    wait_until("the agent names the fault", || {
        let words = up.role.words();
        words.lines().any(|line| line.contains(bad.to_str().unwrap()) && line.contains(named))
    });
    wait_until("the fault lasts for longer than the patience", || !up.incidents().is_empty());
    assert!(!up.receipt("shop", &caught, "vaulted").exists());

    shim.heal();
    up.wait_for_receipt("shop", &caught, "vaulted");
    assert!(rejected(&share).is_empty(), "{:?}", rejected(&share));
    resolved_platform_incidents(&up, 1);
    restores_to(&up, "shop", &file);
}

#[test]
fn a_newest_drop_that_cannot_be_read_now_is_never_replaced_by_an_older_one() {
    let directory = scratch();
    let share = directory.path().join("share");
    succeed(outlast().args(["share", "init"]).arg(&share));
    let (old, new) =
        (filled(directory.path(), "old", 1, 200_000), filled(directory.path(), "new", 2, 200_000));
    let shim = Shim::new(directory.path());
    let mut newest = String::new();
    for file in [&old, &new] {
        let mut command = outlast();
        command.args(["drop", "--workload", "shop", "--share"]).arg(&share);
        newest = succeed(command.arg(file)).trim().to_owned();
    }
    shim.fail(Errno::STALE, "read");
    for end in ["sealed.json", "0001.seg"] {
        let target = directory.path().join("fetched");
        let mut command = outlast();
        command.args(["fetch", "--workload", "shop", "--share"]).arg(&share).arg("--into");
        command.envs(shim.settings(&share, &format!("{newest}/{end}")));
        let words = fail(command.arg(&target), 1);
        assert!(words.contains(&newest) && words.contains(end), "it names the path: {words}");
        assert!(words.contains("Stale file handle"), "{words}");
        assert!(words.contains("check its mount"), "it says what to do: {words}");
        assert!(!restored(&target, &old).exists(), "an older drop is not what was asked for");
    }
}

#[test]
fn a_write_that_fails_in_the_middle_of_a_drop_seals_nothing() {
    let directory = scratch();
    let file = filled(directory.path(), "data", 1, 5 * MIB);
    for (errno, calls, advice) in [
        (Errno::IO, "write", "check its mount"),
        (Errno::NOSPC, "write", "free space on the share"),
        (Errno::IO, "fsync", "check its mount"),
        (Errno::NOSPC, "fsync", "free space on the share"),
        // Files of a drop are opened below an open directory, past the libc in which faults are made;
        // a stale handle shows at the first write or sync all the same.
        (Errno::STALE, "write", "check its mount"),
        (Errno::STALE, "fsync", "check its mount"),
    ] {
        for from_pipe in [true, false] {
            let case = format!("{calls} fails with {errno:?}, from a pipe: {from_pipe}");
            let (share, output) = faulty_drop(&file, errno, calls, from_pipe);
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{case}: {words}");
            assert!(words.contains("0002.seg"), "{case}: it names the file: {words}");
            assert!(words.contains(share.path().to_str().unwrap()), "{case}: {words}");
            assert!(words.contains(advice), "{case}: it says what to do: {words}");
            assert!(!words.contains("panicked"), "{case}: {words}");
            let told = words.matches("nothing was sealed").count();
            assert_eq!(told, 1, "{case}: said once: {words}");
            let drop = only_drop(share.path());
            assert!(!drop.join("sealed.json").exists(), "{case}");
        }
    }
}

#[test]
fn a_close_that_fails_after_a_good_fsync_loses_nothing() {
    let directory = scratch();
    let file = filled(directory.path(), "data", 1, 5 * MIB);
    let (share, output) = faulty_drop(&file, Errno::IO, "close", false);
    let sealed = only_drop(share.path()).join("sealed.json").exists();
    assert_eq!(sealed, output.status.success(), "a seal, and only a seal, is a success");
    if sealed {
        let target = directory.path().join("fetched");
        let mut fetch = outlast();
        fetch.args(["fetch", "--workload", "shop", "--share"]).arg(share.path());
        succeed(fetch.arg("--into").arg(&target));
        assert!(fs::read(restored(&target, &file)).unwrap() == fs::read(&file).unwrap());
    }
}

/// Drops `file` in segments of 1 MiB, with `calls` failing in the middle of the second one.
fn faulty_drop(
    file: &Path,
    errno: Errno,
    calls: &str,
    from_pipe: bool,
) -> (tempfile::TempDir, std::process::Output) {
    let share = scratch();
    succeed(outlast().args(["share", "init"]).arg(share.path()));
    let tools = scratch();
    let shim = Shim::new(tools.path());
    shim.fail(errno, calls);
    let mut command = outlast();
    command.args(["drop", "--compress", "off", "--segment-size", "1MiB", "--workload", "shop"]);
    command.arg("--share").arg(share.path());
    command.envs(shim.settings(share.path(), "0002.seg"));
    command.env("SHIM_FROM", (MIB / 2).to_string());
    if !from_pipe {
        let output = run(command.arg(file));
        return (share, output);
    }
    let mut source = Command::new("cat").arg(file).stdout(Stdio::piped()).spawn().unwrap();
    command.args(["--stdin", "data"]).stdin(source.stdout.take().unwrap());
    let output = run(&mut command);
    // It holds the other end of the pipe.
    drop(command);
    source.wait().unwrap();
    (share, output)
}

#[test]
fn a_vault_whose_disk_is_full_costs_no_drop() {
    let directory = scratch();
    let dir = directory.path().join("up");
    fs::create_dir(&dir).unwrap();
    let Some(mount) = Tmpfs::mount(&dir.join("vault"), "size=8m") else { return };
    let (small, large) = (
        filled(directory.path(), "small", 1, 100_000),
        filled(directory.path(), "large", 2, 40 * MIB),
    );
    let mut up = Up::start_with(&dir, &[PATIENCE]);
    let first = up.drop("shop", &[&small]);
    up.wait_for_receipt("shop", &first, "vaulted");
    let second = up.drop("shop", &[&large]);
    wait_until("the agent says that the vault is full", || {
        let words = up.role.words();
        words
            .lines()
            .any(|line| line.contains(&second) && (line.contains("full") || line.contains("space")))
    });
    assert!(!up.role.has_ended(), "{}", up.role.words());
    let kept = up.drop_directory("shop", &second).unwrap();
    assert!(kept.join("sealed.json").exists() && kept.join("0001.seg").exists());

    mount.resize("256m");
    up.wait_for_receipt("shop", &second, "vaulted");
    assert!(rejected(&up.share).is_empty());
    let opened = up.incidents();
    assert!(opened.iter().all(|incident| incident["owner"] == "platform"), "{opened:?}");
    wait_until("what was opened resolves", || {
        up.incidents().iter().all(|incident| !incident["resolved"].is_null())
    });
    assert!(up.incidents().len() <= 1, "{:?}", up.incidents());
    assert_eq!(snapshots(&up, "shop"), 2);
    restores_to(&up, "shop", &large);
    succeed(up.restic("shop").args(["check", "--read-data"]));
    up.role.stop();
    let mut check = outlast();
    check.args(["repo", "check", "--read-data", "-r"]).arg(dir.join("vault/repos/shop"));
    check.arg("--password-file").arg(dir.join("vault/keys/shop.password"));
    succeed(&mut check);
}

#[test]
fn an_agent_that_lost_its_state_learns_all_from_the_receipts_and_ships_nothing_twice() {
    let directory = scratch();
    let dir = directory.path().join("up");
    let file = filled(directory.path(), "data", 1, 3 * MIB);
    let mut up = Up::start(&dir);
    let mut drops = Vec::new();
    for _ in 0..3 {
        drops.push(up.drop("shop", &[&file]));
        up.wait_for_receipt("shop", drops.last().unwrap(), "vaulted");
    }
    up.wait_for_receipt("shop", &drops[0], "released");
    up.role.stop();
    fs::remove_dir_all(dir.join("agent")).unwrap();
    // Sealed while no agent was there.
    drops.push(up.drop("shop", &[&file]));

    let mut up = Up::start(&dir);
    up.wait_for_receipt("shop", &drops[3], "vaulted");
    // Oldest first: after this one, it would have shipped all that it thinks is to be shipped.
    drops.push(up.drop("shop", &[&file]));
    up.wait_for_receipt("shop", &drops[4], "vaulted");
    // The keep rule goes on where it was, so what was held before is known again.
    up.wait_for_receipt("shop", &drops[2], "released");
    assert_eq!(snapshots(&up, "shop"), drops.len(), "one drop is one snapshot");
    let words = up.role.words();
    for drop in &drops {
        let times =
            words.lines().filter(|l| l.contains(drop) && l.contains(" vaulted drop=")).count();
        assert_eq!(times, 1, "{drop} is shipped once:\n{words}");
    }
    assert!(up.incidents().is_empty(), "{:?}", up.incidents());
    restores_to(&up, "shop", &file);
    up.role.stop();
}

/// Waits until all incidents are resolved; there must have been `count`, for the platform team.
#[track_caller]
fn resolved_platform_incidents(up: &Up, count: usize) {
    wait_until("the incident resolves by itself", || {
        up.incidents().iter().all(|incident| !incident["resolved"].is_null())
    });
    let incidents = up.incidents();
    assert_eq!(incidents.len(), count, "one cause, one page: {incidents:?}");
    assert!(incidents.iter().all(|incident| incident["owner"] == "platform"), "{incidents:?}");
}

#[track_caller]
fn snapshots(up: &Up, workload: &str) -> usize {
    let listed = document(&mut up.ask(&["snapshots", workload, "--json"]));
    listed.as_array().unwrap().len()
}

/// The newest snapshot is this file.
#[track_caller]
fn restores_to(up: &Up, workload: &str, file: &Path) {
    let target = up.dir.with_extension("restored");
    succeed(up.ask(&["restore", workload, "--into"]).arg(&target));
    assert!(fs::read(restored(&target, file)).unwrap() == fs::read(file).unwrap());
}

/// All receipts that condemn a drop.
fn rejected(share: &Path) -> Vec<PathBuf> {
    let receipts = entries(&share.join("w")).into_iter().flat_map(|w| entries(&w.join("receipts")));
    receipts.filter(|path| path.to_string_lossy().contains(".rejected.")).collect()
}

#[track_caller]
fn only_drop(share: &Path) -> PathBuf {
    let days = entries(&share.join("w/shop/drops"));
    let mut drops: Vec<_> = days.iter().flat_map(|day| entries(day)).collect();
    assert_eq!(drops.len(), 1, "{drops:?}");
    drops.remove(0)
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(directory).into_iter().flatten();
    listed.map(|entry| entry.unwrap().path()).collect()
}

fn filled(directory: &Path, name: &str, seed: u64, length: usize) -> PathBuf {
    let path = directory.join(name);
    File::create(&path).unwrap().write_all(&pseudo_random(seed, length)).unwrap();
    path
}

/// The library of `shim.c`, and the file that orders its faults.
struct Shim {
    library: PathBuf,
    control: PathBuf,
}

impl Shim {
    fn new(directory: &Path) -> Self {
        let library = directory.join("shim.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/shim.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library);
        succeed(compiler.arg(source).arg("-ldl"));
        Self { library, control: directory.join("faults") }
    }

    /// The environment for faults of files below `below` whose path ends with `end`.
    fn settings(&self, below: &Path, end: &str) -> [(&'static str, String); 4] {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        [
            ("LD_PRELOAD", text(&self.library)),
            ("SHIM_BELOW", text(below)),
            ("SHIM_END", end.to_owned()),
            ("SHIM_WHEN", text(&self.control)),
        ]
    }

    /// From now on, `calls` fail with `errno`.
    fn fail(&self, errno: Errno, calls: &str) {
        let mut file = File::create(&self.control).unwrap();
        write!(file, "{} {calls}", errno.raw_os_error()).unwrap();
    }

    fn heal(&self) {
        fs::remove_file(&self.control).unwrap();
    }
}
