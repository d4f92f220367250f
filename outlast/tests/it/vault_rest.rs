//! The vault's REST endpoint between two programs: stock restic and our `repo` commands, each with
//! what the other wrote.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use outlast_testing::{compare_trees, torture_tree};

use crate::harness::{Up, document, fail, outlast, restored, run, scratch, succeed};

const WORKLOAD: &str = "shop";

/// A vault with one workload that an instance has dropped once, and a torture tree.
struct World {
    directory: tempfile::TempDir,
    up: Up,
    tree: PathBuf,
}

impl World {
    fn new() -> Self {
        let directory = scratch();
        let tree = directory.path().join("tree");
        fs::create_dir(&tree).unwrap();
        for skipped in torture_tree(&tree).unwrap() {
            println!("not in the tree: {skipped}");
        }
        let mut up = Up::start(&directory.path().join("up"));
        let drop = up.drop(WORKLOAD, &["--exec", "hosts", "--", "cat", "/etc/hosts"]);
        up.wait_for_receipt(WORKLOAD, &drop, "vaulted");
        Self { directory, up, tree }
    }

    fn address(&self) -> String {
        let serving = fs::read(self.up.dir.join("serving.json")).unwrap();
        let serving: serde_json::Value = serde_json::from_slice(&serving).unwrap();
        format!("rest:{}repo/{WORKLOAD}/", serving["url"].as_str().unwrap())
    }

    fn identity(&self, role: &str) -> PathBuf {
        self.up.dir.join("identity").join(role)
    }

    fn password_file(&self) -> PathBuf {
        self.up.dir.join("vault/keys").join(format!("{WORKLOAD}.password"))
    }

    /// Stock restic, with the certificate of the operator.
    fn restic(&self) -> Command {
        let identity = self.identity("operator");
        let mut command = Command::new("restic");
        command.args(["--no-cache", "-r", &self.address()]);
        command.arg("--cacert").arg(identity.join("ca.pem"));
        command.arg("--tls-client-cert").arg(identity.join("identity.pem"));
        command.arg("--password-file").arg(self.password_file());
        command
    }

    /// `outlast repo WORD` as `role`.
    fn repo(&self, word: &str, role: &str) -> Command {
        let mut command = outlast();
        command.args(["repo", word, "-r", &self.address(), "--identity"]);
        command.arg(self.identity(role)).arg("--password-file").arg(self.password_file());
        command
    }

    #[track_caller]
    fn assert_restored(&self, target: &Path) {
        let differences = compare_trees(&self.tree, &restored(target, &self.tree));
        assert_eq!(differences, Vec::<String>::new());
    }
}

#[test]
fn stock_restic_backs_up_into_a_workloads_repository_beside_the_agent() {
    let mut world = World::new();
    succeed(world.restic().arg("backup").arg(&world.tree));
    succeed(world.restic().args(["check", "--read-data"]));
    let by_restic = world.directory.path().join("by restic");
    succeed(world.restic().args(["restore", "latest", "--target"]).arg(&by_restic));
    world.assert_restored(&by_restic);

    // All our ways to it know what restic made.
    let snapshots = document(&mut world.up.ask(&["snapshots", WORKLOAD, "--json"]));
    let paths: Vec<_> = snapshots.as_array().unwrap().iter().map(|s| &s["paths"][0]).collect();
    assert_eq!(paths.len(), 2, "{snapshots}");
    assert_eq!(paths[1], world.tree.to_str().unwrap(), "{snapshots}");
    let listed = document(world.repo("ls", "operator").args(["latest", "--json"]));
    assert!(listed.as_array().unwrap().len() > 500);
    let checked = document(world.repo("check", "operator").args(["--read-data", "--json"]));
    assert_eq!(checked["clean"], true, "{checked}");
    let by_repo = world.directory.path().join("by repo");
    succeed(
        world
            .repo("restore", "operator")
            .args(["latest", "--privileged", "--target"])
            .arg(&by_repo),
    );
    world.assert_restored(&by_repo);
    let by_vault = world.directory.path().join("by vault");
    succeed(world.up.ask(&["restore", WORKLOAD, "--privileged", "--into"]).arg(&by_vault));
    world.assert_restored(&by_vault);

    // The agent goes on beside it, and what it ships is restic's to read.
    let drop = world.up.drop(WORKLOAD, &["--exec", "passwd", "--", "cat", "/etc/passwd"]);
    world.up.wait_for_receipt(WORKLOAD, &drop, "vaulted");
    let dumped = run(world.restic().args(["dump", "latest", "/passwd"]));
    assert_eq!(dumped.stdout, fs::read("/etc/passwd").unwrap());
    world.up.role.stop();
}

#[test]
fn stock_restic_can_delete_nothing() {
    let world = World::new();
    let before = document(&mut world.up.ask(&["snapshots", WORKLOAD, "--json"]));
    let id = before[0]["short_id"].as_str().unwrap();
    for arguments in [&["forget", id][..], &["forget", "--prune", id]] {
        // It takes a refusal for a passing fault and would try again for a minute.
        let mut running = world.restic().args(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(running.stderr.take().unwrap()).lines();
        let mut told = Vec::new();
        let refused = lines.map_while(Result::ok).any(|line| {
            told.push(line);
            told.last().is_some_and(|line| line.contains("403"))
        });
        running.kill().unwrap();
        running.wait().unwrap();
        assert!(refused, "{arguments:?} was not refused: {told:?}");
        // What it leaves behind when it is killed is a lock, and that it may take away.
        succeed(world.restic().args(["unlock", "--remove-all"]));
    }
    let after = document(&mut world.up.ask(&["snapshots", WORKLOAD, "--json"]));
    assert_eq!(after, before);
    succeed(world.up.restic(WORKLOAD).args(["check", "--read-data"]));
}

#[test]
fn a_repository_that_stock_restic_made_is_read_through_the_vault() {
    for (version, compression) in [("1", "auto"), ("2", "max")] {
        let mut world = World::new();
        world.up.role.stop();
        // With the password that the vault keeps for the workload, in the place of the old one.
        let repository = world.up.dir.join("vault/repos").join(WORKLOAD);
        fs::remove_dir_all(&repository).unwrap();
        succeed(world.up.restic(WORKLOAD).args(["init", "--repository-version", version]));
        let mut backup = world.up.restic(WORKLOAD);
        succeed(backup.args(["backup", "--compression", compression]).arg(&world.tree));
        let made = succeed(world.up.restic(WORKLOAD).args(["snapshots", "--json"]));
        let made: serde_json::Value = serde_json::from_str(&made).unwrap();
        // By its id: what the agent finds to be gone from the vault, it ships again, and that is newer.
        let id = made[0]["id"].as_str().unwrap().to_owned();
        world.up = Up::start(&world.up.dir);

        let checked = document(world.repo("check", "operator").args(["--read-data", "--json"]));
        assert_eq!(checked["clean"], true, "version {version}: {checked}");
        let listed = succeed(world.repo("ls", "operator").arg(&id));
        assert!(listed.lines().count() > 500, "version {version}");
        let target = world.directory.path().join("target");
        succeed(
            world.repo("restore", "operator").args([&id, "--privileged", "--target"]).arg(&target),
        );
        world.assert_restored(&target);
    }
}

#[test]
fn an_agent_is_refused_what_is_not_its_role() {
    let world = World::new();
    let target = world.directory.path().join("target");
    let url = world.address();
    let url = url.strip_prefix("rest:").unwrap().split("repo/").next().unwrap();
    let ask = |words: &[&str]| {
        let mut command = outlast();
        command.args(words).args(["--vault", url, "--identity"]).arg(world.identity("agent"));
        command
    };
    let mut restore = world.repo("restore", "agent");
    restore.args(["latest", "--target"]).arg(&target);
    let mut ls = world.repo("ls", "agent");
    ls.arg("latest");
    for mut command in [
        world.repo("snapshots", "agent"),
        ls,
        restore,
        ask(&["snapshots", WORKLOAD]),
        ask(&["ls", WORKLOAD]),
        ask(&["workload", "list"]),
    ] {
        let words = fail(&mut command, 4);
        assert!(words.contains("agent") && words.contains("role"), "{words}");
        let words = fail(command.arg("--json"), 4);
        let error: serde_json::Value = serde_json::from_str(&words).unwrap();
        assert_eq!(error["error"]["code"], 4);
    }
    assert!(!target.exists());
    // Without any certificate nobody gets further than the door.
    let mut stranger = outlast();
    stranger.args(["repo", "snapshots", "-r", &world.address(), "--password-file"]);
    stranger.arg(world.password_file()).arg("--cacert");
    let words = fail(stranger.arg(world.identity("agent").join("ca.pem")), 4);
    assert!(words.contains("certificate"), "{words}");
}
