//! Kills at any point, and shares that are missing, foreign, full or read-only: nothing is lost,
//! nobody is paged for nothing, and every error says what to do.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use outlast_fs::fault::DIE_AT;
use outlast_testing::pseudo_random;

use crate::disks::Tmpfs;
use crate::harness::{Role, Up, fail, outlast, restored, scratch, succeed, wait_until};

const SIGKILL: i32 = 9;
/// Fewer strikes than these cannot have met all that a writer does.
const STRIKES_MIN: u32 = 8;
/// At which steps `up` is killed while it ships one drop, in the order of its life.
const STRIKES: [&str; 10] = [
    "1 repos/shop/data/",
    "5 repos/shop/data/",
    "13 repos/shop/data/",
    "2 repos/shop/index",
    "1 /arrivals/",
    "4 /arrivals/",
    "2 repos/shop/snapshots",
    "4 repos/shop/snapshots",
    "1 .vaulted.json",
    "2 .vaulted.json",
];

/// Waits for the end of a process, which is the strike unless it ended well before.
#[track_caller]
fn is_struck(role: &mut Role) -> bool {
    let status = role.wait();
    let is_struck = status.signal() == Some(SIGKILL);
    assert!(is_struck || status.success(), "{status}: {}", role.words());
    is_struck
}

#[test]
fn a_writer_killed_at_any_point_leaves_no_seal_and_no_incident() {
    let directory = scratch();
    let mut up = Up::start_with(&directory.path().join("up"), &[("OUTLAST_AGENT_GRACE", "1s")]);
    // The workload is known and fresh, so that a false page could happen.
    let file = directory.path().join("data");
    fill(&file, 1, 20_000_000);
    let whole = up.drop("shop", &[&file]);
    up.wait_for_receipt("shop", &whole, "vaulted");

    let log = directory.path().join("writer.log");
    let mut strikes = 0;
    loop {
        let mut command = up.drop_command("shop");
        command.arg(&file).env(DIE_AT, (strikes + 1).to_string());
        if !is_struck(&mut Role::start(&mut command, &log)) {
            break;
        }
        strikes += 1;
    }
    assert!(strikes >= STRIKES_MIN, "only {strikes} struck");
    wait_until("what the killed writers left is cleaned up or vaulted", || {
        up.drop_directories("shop").iter().all(|drop| {
            let id = drop.file_name().unwrap().to_str().unwrap();
            up.receipt("shop", id, "vaulted").exists()
        })
    });
    assert!(up.incidents().is_empty(), "{:?}", up.incidents());
    // Whatever was vaulted is whole.
    let listed = succeed(&mut up.ask(&["snapshots", "shop", "--json"]));
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    for (index, snapshot) in listed.as_array().unwrap().iter().enumerate() {
        let target = directory.path().join(format!("restored-{index}"));
        let id = snapshot["id"].as_str().unwrap();
        succeed(up.ask(&["restore", "shop", "--snapshot", id, "--into"]).arg(&target));
        assert!(fs::read(restored(&target, &file)).unwrap() == fs::read(&file).unwrap());
    }
}

#[test]
fn agent_and_vault_killed_at_any_point_go_on_and_lose_nothing() {
    let directory = scratch();
    let dir = directory.path().join("up");
    let file = directory.path().join("data");
    fill(&file, 7, 100_000_000);
    let mut up = Up::start(&dir);
    up.role.stop();
    let drop = up.drop("shop", &[&file]);
    for strike in STRIKES {
        let mut command = outlast();
        command.args(["up", "--no-media", "--listen", "127.0.0.1:0", "--dir"]).arg(&dir);
        command.env("OUTLAST_AGENT_POLL", "200ms").env(DIE_AT, strike);
        let mut role = Role::start(&mut command, &dir.with_extension("log"));
        assert!(is_struck(&mut role), "{strike}");
    }
    let mut up = Up::start(&dir);
    up.wait_for_receipt("shop", &drop, "vaulted");
    succeed(up.restic("shop").args(["check", "--read-data"]));
    let listed = succeed(&mut up.ask(&["snapshots", "shop", "--json"]));
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1, "one drop is one snapshot: {listed}");
    let target = directory.path().join("restored");
    succeed(up.ask(&["restore", "shop", "--into"]).arg(&target));
    assert!(fs::read(restored(&target, &file)).unwrap() == fs::read(&file).unwrap());
    assert!(up.incidents().is_empty(), "{:?}", up.incidents());
    // Each kill may cost the packs under way, not what was acknowledged before.
    let stored = tree_size(&dir.join("vault/repos/shop/data"));
    assert!(stored < 2 * 100_000_000, "{stored} bytes are stored for 100,000,000");
}

#[test]
fn agent_and_vault_die_and_return_each_on_its_own() {
    let directory = scratch();
    let dir = directory.path().join("up");
    let file = directory.path().join("data");
    fill(&file, 9, 60_000_000);
    // `up` makes certificates, share and configuration; then each role runs by itself.
    let mut first = Up::start(&dir);
    let share = first.share.clone();
    first.role.stop();
    let url_of = |name: &str| dir.join(name);
    let start = |role: &str, strike: Option<&str>| {
        let mut command = outlast();
        command.arg(role).arg("--config").arg(url_of(&format!("{role}.toml")));
        command.env("OUTLAST_AGENT_POLL", "200ms").envs(strike.map(|strike| (DIE_AT, strike)));
        Role::start(&mut command, &directory.path().join(format!("{role}.log")))
    };
    let drop =
        succeed(outlast().args(["drop", "--workload", "shop", "--share"]).arg(&share).arg(&file));
    let receipt = share.join("w/shop/receipts").join(format!("{}.vaulted.json", drop.trim()));
    let mut agent = start("agent", Some("1 .accepted.json"));
    for strike in ["1 repos/shop/data/", "13 repos/shop/data/"] {
        assert!(is_struck(&mut start("vault", Some(strike))), "{strike}");
    }
    let mut vault = start("vault", Some("2 /arrivals/"));
    assert!(is_struck(&mut agent), "the agent was to be struck at its first receipt");
    let mut agent = start("agent", Some("1 .vaulted.json"));
    assert!(is_struck(&mut vault), "the vault was to be struck before the snapshot");
    let mut vault = start("vault", Some("4 repos/shop/snapshots"));
    assert!(is_struck(&mut vault), "the vault was to be struck after the snapshot");
    let mut vault = start("vault", None);
    assert!(is_struck(&mut agent), "the agent was to be struck at its last receipt");
    let mut agent = start("agent", None);
    wait_until("the drop is vaulted in spite of it all", || receipt.exists());
    agent.stop();
    vault.stop();
    let repository = dir.join("vault/repos/shop");
    let password = dir.join("vault/keys/shop.password");
    let mut restic = Command::new("restic");
    restic.arg("-r").arg(repository).arg("--password-file").arg(password);
    succeed(restic.args(["--no-cache", "--no-lock", "check", "--read-data"]));
}

#[test]
fn a_second_up_in_one_directory_is_refused_and_changes_nothing() {
    let directory = scratch();
    let dir = directory.path().join("up");
    let _up = Up::start(&dir);
    let before = fs::read(dir.join("vault.toml")).unwrap();
    let words = fail(outlast().args(["up", "--listen", "127.0.0.1:0", "--dir"]).arg(&dir), 1);
    assert!(words.contains("another `outlast up` is running"), "{words}");
    assert!(fs::read(dir.join("vault.toml")).unwrap() == before);
}

#[test]
fn a_command_that_fails_seals_nothing_and_its_status_is_reported() {
    let directory = scratch();
    let share = init_share(directory.path());
    let words = fail(
        outlast().args(["drop", "--workload", "shop", "--share"]).arg(&share).args([
            "--exec",
            "shop.sql",
            "--",
            "sh",
            "-c",
            "echo half a dump; exit 3",
        ]),
        1,
    );
    assert!(words.contains("exit") && words.contains('3'), "{words}");
    let drop = only_drop(&share, "shop");
    assert!(!drop.join("sealed.json").exists());
    let open = fs::read_to_string(drop.join("open.json")).unwrap();
    assert!(open.contains("failed"), "{open}");
}

#[test]
fn a_share_that_is_not_mounted_is_never_written_to() {
    let directory = scratch();
    let mount_point = directory.path().join("mnt");
    fs::create_dir(&mount_point).unwrap();
    let file = directory.path().join("data");
    fill(&file, 1, 1000);
    for command in [
        outlast().args(["drop", "--workload", "shop", "--share"]).arg(&mount_point).arg(&file),
        outlast()
            .args(["fetch", "--workload", "shop", "--share"])
            .arg(&mount_point)
            .arg("--into")
            .arg(directory.path().join("x")),
        outlast().args(["share", "status"]).arg(&mount_point),
    ] {
        let words = fail(command, 1);
        assert!(words.contains("mounted"), "{words}");
        assert!(words.contains(mount_point.to_str().unwrap()), "it names the path: {words}");
    }
    assert_eq!(fs::read_dir(&mount_point).unwrap().count(), 0);
}

#[test]
fn an_agent_whose_share_vanishes_says_so_and_goes_on_when_it_is_back() {
    let directory = scratch();
    let share = init_share(directory.path());
    let file = directory.path().join("data");
    fill(&file, 1, 1000);
    let settings = [("OUTLAST_AGENT_PATIENCE", "1s")];
    let mut up = Up::start_on(&directory.path().join("up"), &share, &settings);
    let first = up.drop("shop", &[&file]);
    up.wait_for_receipt("shop", &first, "vaulted");
    let away = directory.path().join("away");
    rename(&share, &away);
    fs::create_dir(&share).unwrap();
    wait_until("the platform team hears of it", || !up.incidents().is_empty());
    let incident = up.incidents().remove(0);
    assert_eq!(incident["owner"], "platform", "{incident}");
    assert!(incident["cause"].as_str().unwrap().contains("share"), "{incident}");
    assert_eq!(
        fs::read_dir(&share).unwrap().count(),
        0,
        "nothing is written below the mount point"
    );
    fs::remove_dir(&share).unwrap();
    rename(&away, &share);
    let second = up.drop("shop", &[&file]);
    up.wait_for_receipt("shop", &second, "vaulted");
    wait_until("the incident resolves by itself", || {
        up.incidents().iter().all(|incident| !incident["resolved"].is_null())
    });
    assert_eq!(up.incidents().len(), 1, "one cause, one page");
}

#[test]
fn a_full_share_fails_the_drop_in_clear_words_and_harms_nothing_else() {
    let directory = scratch();
    let Some(mount) = Tmpfs::mount(&directory.path().join("small"), "size=8m") else { return };
    succeed(outlast().args(["share", "init"]).arg(&mount.path));
    let (small, large) = (directory.path().join("small-file"), directory.path().join("large-file"));
    fill(&small, 1, 100_000);
    fill(&large, 2, 20_000_000);
    let drop = |file: &Path| {
        let mut command = outlast();
        command.args(["drop", "--workload", "shop", "--share"]).arg(&mount.path).arg(file);
        command
    };
    succeed(&mut drop(&small));
    let words = fail(&mut drop(&large), 1);
    assert!(words.contains("full") || words.contains("space"), "{words}");
    assert!(words.contains(mount.path.to_str().unwrap()), "it names the path: {words}");
    let sealed =
        drops(&mount.path, "shop").iter().filter(|d| d.join("sealed.json").exists()).count();
    assert_eq!(sealed, 1, "only the drop that was complete is sealed");
    let target = directory.path().join("fetched");
    succeed(
        outlast()
            .args(["fetch", "--workload", "shop", "--share"])
            .arg(&mount.path)
            .arg("--into")
            .arg(&target),
    );
    assert!(fs::read(restored(&target, &small)).unwrap() == fs::read(&small).unwrap());
}

#[test]
fn a_read_only_share_fails_the_drop_in_clear_words() {
    let directory = scratch();
    let Some(mount) = Tmpfs::mount(&directory.path().join("share"), "size=8m") else { return };
    succeed(outlast().args(["share", "init"]).arg(&mount.path));
    mount.remount_read_only();
    let file = directory.path().join("data");
    fill(&file, 1, 1000);
    let words = fail(
        outlast().args(["drop", "--workload", "shop", "--share"]).arg(&mount.path).arg(&file),
        1,
    );
    assert!(words.to_lowercase().contains("read-only"), "{words}");
    assert!(words.contains(mount.path.to_str().unwrap()), "{words}");
}

#[test]
fn a_drop_that_was_changed_after_its_seal_is_rejected_and_pages_the_owner_once() {
    let directory = scratch();
    let file = directory.path().join("data");
    fill(&file, 1, 100_000);
    let dir = directory.path().join("up");
    let mut up = Up::start(&dir);
    up.role.stop();
    let bad = up.drop("shop", &[&file]);
    let good_elsewhere = up.drop("other", &[&file]);
    let segment = up.drop_directory("shop", &bad).unwrap().join("0001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    File::create(&segment).unwrap().write_all(&bytes).unwrap();

    let mut up = Up::start(&dir);
    up.wait_for_receipt("other", &good_elsewhere, "vaulted");
    let receipt = up.wait_for_receipt("shop", &bad, "rejected");
    let reason = receipt["reason"].as_str().unwrap();
    assert!(reason.contains("0001.seg"), "it names the segment: {reason}");
    wait_until("the owner hears of it", || !up.incidents().is_empty());
    assert_eq!(up.incidents().len(), 1);
    fail(up.ask(&["restore", "shop", "--into"]).arg(directory.path().join("x")), 1);
    let good = up.drop("shop", &[&file]);
    up.wait_for_receipt("shop", &good, "vaulted");
    wait_until("the next good drop resolves it", || {
        up.incidents().iter().all(|incident| !incident["resolved"].is_null())
    });
}

#[test]
fn hostile_and_torn_drops_are_rejected_and_the_others_go_on() {
    let directory = scratch();
    let dir = directory.path().join("up");
    let file = directory.path().join("data");
    fill(&file, 1, 10_000);
    let mut up = Up::start(&dir);
    up.role.stop();
    let mut expected = Vec::new();
    let mut spoil = |workload: &str, how: &dyn Fn(&Path)| {
        let drop = up.drop(workload, &[&file]);
        how(&up.drop_directory(workload, &drop).unwrap());
        expected.push((workload.to_owned(), drop));
    };
    spoil("torn", &|drop| truncate(&drop.join("sealed.json")));
    spoil("missing", &|drop| fs::remove_file(drop.join("0001.seg")).unwrap());
    spoil("extra", &|drop| fill(&drop.join("0002.seg"), 3, 100));
    spoil("short", &|drop| truncate(&drop.join("0001.seg")));
    spoil("linked", &|drop| {
        fs::remove_file(drop.join("0001.seg")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", drop.join("0001.seg")).unwrap();
    });
    // Names that are not allowed must not stop anybody either.
    for odd in ["Not Allowed", "-x", "con"] {
        fs::create_dir_all(up.share.join("w").join(odd).join("drops/20260101/x")).unwrap();
    }
    fs::create_dir_all(up.share.join("w/torn/drops/not-a-day/x")).unwrap();
    fs::create_dir_all(up.share.join("w/torn/drops/20260101/not-an-id")).unwrap();
    let good = up.drop("good", &[&file]);

    // A torn seal may still be in the writing, so it gets the grace time of a living writer.
    let mut up = Up::start_with(&dir, &[("OUTLAST_AGENT_GRACE", "1s")]);
    up.wait_for_receipt("good", &good, "vaulted");
    for (workload, drop) in &expected {
        let receipt = up.wait_for_receipt(workload, drop, "rejected");
        assert!(!receipt["reason"].as_str().unwrap().is_empty(), "{receipt}");
        assert!(!up.receipt(workload, drop, "vaulted").exists());
    }
    up.role.stop();
    assert!(!up.role.words().contains("panicked"), "{}", up.role.words());
}

#[test]
fn signals_end_a_writer_without_a_seal() {
    let directory = scratch();
    let share = init_share(directory.path());
    let mut command = outlast();
    command.args(["drop", "--workload", "shop", "--share"]).arg(&share).args(["--stdin", "x"]);
    let mut writer = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    writer.stdin.as_ref().unwrap().write_all(b"half of it").unwrap();
    wait_until("the drop is open", || {
        drops(&share, "shop").first().is_some_and(|drop| drop.join("open.json").exists())
    });
    let process = rustix::process::Pid::from_child(&writer);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    let began = Instant::now();
    let status = loop {
        if let Some(status) = writer.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "SIGTERM must end it");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(!status.success());
    assert!(!only_drop(&share, "shop").join("sealed.json").exists());
}

fn fill(path: &Path, seed: u64, length: usize) {
    File::create(path).unwrap().write_all(&pseudo_random(seed, length)).unwrap();
}

fn truncate(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

fn rename(from: &Path, to: &Path) {
    succeed(Command::new("mv").arg("-T").arg(from).arg(to));
}

fn init_share(directory: &Path) -> PathBuf {
    let share = directory.join("share");
    succeed(outlast().args(["share", "init"]).arg(&share));
    share
}

fn drops(share: &Path, workload: &str) -> Vec<PathBuf> {
    let list = |path: PathBuf| {
        let entries = fs::read_dir(path).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    list(share.join("w").join(workload).join("drops")).into_iter().flat_map(list).collect()
}

#[track_caller]
fn only_drop(share: &Path, workload: &str) -> PathBuf {
    let mut found = drops(share, workload);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn tree_size(path: &Path) -> u64 {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| match entry.metadata().unwrap() {
            metadata if metadata.is_dir() => tree_size(&entry.path()),
            metadata => metadata.len(),
        })
        .sum()
}
