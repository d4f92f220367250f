//! Fetch over the share, the whole way on the real binary: dropped, vaulted, released, and back on a green
//! instance.
#![expect(clippy::disallowed_methods, reason = "tests that play a share")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use outlast_testing::{compare_trees, pseudo_random};
use serde_json::Value;

use crate::harness::{Up, document, fail, outlast, run, scratch, succeed, wait_until};

/// All roles, whose agent keeps nothing on the share that the vault holds.
struct Site {
    directory: tempfile::TempDir,
    up: Up,
}

const SETTINGS: [(&str, &str); 2] =
    [("OUTLAST_AGENT_KEEP", "0"), ("OUTLAST_AGENT_FETCH_FROM", "anyone")];

impl Site {
    fn new(policy: &str) -> Self {
        Self::with(policy, &SETTINGS)
    }

    fn with(policy: &str, settings: &[(&str, &str)]) -> Self {
        let directory = scratch();
        let dir = directory.path().join("up");
        fs::create_dir(&dir).unwrap();
        // What `up` does not find there it adds.
        fs::write(dir.join("vault.toml"), policy).unwrap();
        let up = Up::start_with(&dir, settings);
        Self { directory, up }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Drops these and waits until nothing of it is left on the share.
    fn dropped_and_gone(&mut self, workload: &str, tail: &[&str]) -> String {
        let drop = self.up.drop(workload, tail);
        self.up.wait_for_receipt(workload, &drop, "released");
        let up = &self.up;
        wait_until("it leaves the share", || up.drop_directory(workload, &drop).is_none());
        drop
    }

    /// `outlast fetch`, as a green instance runs it.
    fn fetch(&self, workload: &str, into: &Path) -> Command {
        let mut command = outlast();
        command.args(["fetch", "--workload", workload, "--share"]).arg(&self.up.share);
        command.arg("--ca").arg(self.up.dir.join("identity/agent/ca.pem")).arg("--into").arg(into);
        command
    }

    fn answers(&self, workload: &str) -> Vec<PathBuf> {
        let place = self.up.share.join("w").join(workload).join("answers");
        let entries = fs::read_dir(place).into_iter().flatten().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    }
}

const POLICY: &str = "[workloads.shop-db]\nfetch = \"7d\"\n\n[workloads.files]\nfetch = \"7d\"\n";

#[test]
fn a_green_host_gets_back_what_blue_dropped_and_what_has_left_the_share() {
    let mut site = Site::new(POLICY);
    let tree = site.path("tree");
    outlast_testing::torture_tree(&tree).unwrap();
    let file = site.path("shop.sql");
    fs::write(&file, vec![b'x'; 2_000_000]).unwrap();
    let streamed = {
        let command = ["--exec", "shop.sql", "--", "cat", file.to_str().unwrap()];
        site.dropped_and_gone("shop-db", &command)
    };
    site.dropped_and_gone("files", &[tree.to_str().unwrap()]);

    let into = site.path("green");
    let fetched = document(site.fetch("shop-db", &into).arg("--json"));
    assert_eq!((&fetched["drop"], &fetched["from"]), (&streamed.as_str().into(), &"vault".into()));
    assert_eq!(fetched["receipt_verified"], true);
    assert_eq!(fs::read(into.join("shop.sql")).unwrap(), fs::read(&file).unwrap());
    let into = site.path("green-tree");
    succeed(site.fetch("files", &into).arg("--privileged"));
    assert_eq!(compare_trees(&tree, &crate::harness::restored(&into, &tree)), Vec::<String>::new());
    // By its id, and by a time; and not into what is there already.
    succeed(site.fetch("shop-db", &site.path("by-id")).args(["--drop", &streamed]));
    let received = fetched["vaulted"].as_str().unwrap();
    succeed(site.fetch("shop-db", &site.path("by-time")).args(["--at", received]));
    let said =
        fail(site.fetch("shop-db", &site.path("early")).args(["--at", "2020-01-01T00:00:00Z"]), 3);
    assert!(said.contains("holds no backup of shop-db"), "{said}");
    let said = fail(&mut site.fetch("shop-db", &site.path("green")), 1);
    assert!(said.contains("not empty") && said.contains("--resume"), "{said}");
    // Who withdrew leaves nothing behind but the answer, which waits for the next.
    let requests = site.up.share.join("w/shop-db/requests");
    assert_eq!(fs::read_dir(requests).unwrap().count(), 0);
    // Nobody without the authority asks anybody.
    let mut blind = outlast();
    blind.args(["fetch", "--workload", "shop-db", "--share"]).arg(&site.up.share);
    let said = fail(blind.arg("--into").arg(site.path("blind")), 3);
    assert!(said.contains("--ca"), "{said}");
    fail(site.fetch("shop-db", &site.path("no-ask")).arg("--no-ask"), 3);
    let log = run(Command::new("grep")
        .arg("-r")
        .arg("backup_asked")
        .arg(site.up.dir.join("vault/audit")));
    assert!(!log.stdout.is_empty(), "it is audited");
    site.up.role.stop();
}

#[test]
fn policy_and_a_share_that_proves_nothing_refuse_and_no_backup_is_said_at_once() {
    let mut site = Site::new(POLICY);
    site.dropped_and_gone("crm", &["--exec", "x", "--", "echo", "secret"]);
    let said = fail(&mut site.fetch("crm", &site.path("crm")), 4);
    assert!(said.contains("policy") && said.contains("fetch = \"7d\""), "{said}");
    fs::create_dir(site.up.share.join("w/shop-db")).unwrap();
    let said = fail(&mut site.fetch("shop-db", &site.path("none")), 3);
    assert!(said.contains("the vault holds no backup of shop-db"), "{said}");
    assert!(!site.path("none").join("shop.sql").exists());
    site.up.role.stop();
    let mut site = Site::with(POLICY, &SETTINGS[..1]);
    site.dropped_and_gone("shop-db", &["--exec", "x", "--", "echo", "data"]);
    let said = fail(&mut site.fetch("shop-db", &site.path("unproven")), 4);
    assert!(said.contains("does not prove"), "{said}");
    site.up.role.stop();
}

/// A fetch under way.
fn begin(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn many_at_once_share_one_answer_and_one_that_was_killed_goes_on() {
    let mut site = Site::new(POLICY);
    let file = site.path("shop.sql");
    let content = pseudo_random(8, 8_000_000);
    fs::write(&file, &content).unwrap();
    site.dropped_and_gone("shop-db", &["--exec", "shop.sql", "--", "cat", file.to_str().unwrap()]);
    let mut greens: Vec<(PathBuf, Child)> = (0..8)
        .map(|number| {
            let into = site.path(&format!("green-{number}"));
            let child = begin(&mut site.fetch("shop-db", &into));
            (into, child)
        })
        .collect();
    // One of them dies, and comes again.
    let (killed, mut child) = greens.pop().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    for (into, child) in greens {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(fs::read(into.join("shop.sql")).unwrap(), content);
    }
    assert_eq!(site.answers("shop-db").len(), 1);
    // What is there already, right or not, is looked at and not fetched again.
    fs::create_dir_all(&killed).unwrap();
    fs::write(killed.join("shop.sql"), &content[..5_000_000]).unwrap();
    let fetched: Value = document(site.fetch("shop-db", &killed).args(["--resume", "--json"]));
    assert!(fetched["kept_bytes"].as_u64().unwrap() > 4_000_000, "{fetched}");
    assert_eq!(fs::read(killed.join("shop.sql")).unwrap(), content);
    site.up.role.stop();
}

#[test]
fn an_agent_that_is_killed_while_somebody_waits_is_waited_for() {
    let mut site = Site::new(POLICY);
    let file = site.path("shop.sql");
    let content = pseudo_random(6, 6_000_000);
    fs::write(&file, &content).unwrap();
    site.dropped_and_gone("shop-db", &["--exec", "shop.sql", "--", "cat", file.to_str().unwrap()]);
    site.up.role.kill();
    let into = site.path("green");
    let mut waiting = begin(site.fetch("shop-db", &into).args(["--timeout", "100s"]));
    let requests = site.up.share.join("w/shop-db/requests");
    wait_until("it asks", || fs::read_dir(&requests).is_ok_and(|found| found.count() > 0));
    assert!(waiting.try_wait().unwrap().is_none());
    let (dir, share) = (site.up.dir.clone(), site.up.share.clone());
    site.up = Up::start_on(&dir, &share, &SETTINGS);
    let output = waiting.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read(into.join("shop.sql")).unwrap(), content);
    site.up.role.stop();
    let said = fail(site.fetch("shop-db", &site.path("late")).args(["--timeout", "1s"]), 3);
    assert!(said.contains("waiting for the agent's reply"), "{said}");
}

/// By the permissions of the share alone: the agent's operator has allowed nothing.
#[test]
fn a_workload_with_a_directory_of_its_own_may_ask() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: only root gives a directory to another user");
        return;
    }
    let mut site = Site::with(POLICY, &SETTINGS[..1]);
    let above = site.up.share.join("w");
    fs::set_permissions(&above, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let own = above.join("shop-db");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(3001), Some(4001)).unwrap();
    fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o2770)).unwrap();
    site.dropped_and_gone("shop-db", &["--exec", "x", "--", "echo", "data"]);
    let into = site.path("green");
    succeed(&mut site.fetch("shop-db", &into));
    assert_eq!(fs::read(into.join("x")).unwrap(), b"data\n");
    site.up.role.stop();
}
