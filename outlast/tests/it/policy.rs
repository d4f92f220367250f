//! What is not there, what is not valid now, and what operators order: on the real binary.

use std::fs;
use std::path::Path;
use std::time::Duration;

use outlast_types::{Clock, SystemClock, SystemRandom, Timestamp};
use outlast_wire::ca::{CertificateAuthority, Request};
use outlast_wire::{Peer, Role};

use crate::harness::{Up, document, fail, scratch, succeed, wait_until};

const DAY: Duration = Duration::from_secs(86400);

/// The host's clock, and so much more.
struct Ahead(Duration);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().saturating_add(self.0)
    }
}

/// What `up` makes in `dir` when the host's clock is 400 days ahead.
fn make_under_a_wrong_clock(dir: &Path) {
    let clock = Ahead(400 * DAY);
    let authority = CertificateAuthority::create(&dir.join("ca"), &clock, &SystemRandom).unwrap();
    for role in [Role::Vault, Role::Agent, Role::Operator] {
        let hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let request = Request { hosts, ..Request::new(Peer::new(role, "up").unwrap(), 365 * DAY) };
        let identity = authority.issue(&request, &clock, &SystemRandom).unwrap();
        identity.save(&dir.join("identity").join(role.as_str())).unwrap();
    }
}

#[test]
fn an_up_whose_certificates_were_made_under_a_wrong_clock_ships_all_the_same() {
    let directory = scratch();
    let dir = directory.path().join("up");
    make_under_a_wrong_clock(&dir);
    let mut up = Up::start(&dir);
    let drop = up.drop("shop-db", &["Cargo.toml"]);
    up.wait_for_receipt("shop-db", &drop, "vaulted");
    assert!(up.incidents().is_empty());
    // Stock restic looks at both ends of both certificates.
    let agent = dir.join("identity/operator");
    let mut restic = std::process::Command::new("restic");
    let url = document(&mut up.ask(&["snapshots", "shop-db", "--json"])).to_string();
    assert!(url.contains(&drop), "{url}");
    let serving: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.join("serving.json")).unwrap()).unwrap();
    let address = serving["url"].as_str().unwrap();
    restic
        .args(["--no-cache", "--no-lock", "-r", &format!("rest:{address}repo/shop-db/")])
        .arg("--cacert")
        .arg(agent.join("ca.pem"))
        .arg("--tls-client-cert")
        .arg(agent.join("identity.pem"))
        .arg("--password-file")
        .arg(dir.join("vault/keys/shop-db.password"))
        .args(["snapshots", "--json"]);
    assert!(succeed(&mut restic).contains(&drop));
    up.role.stop();
}

#[test]
fn a_command_whose_certificate_is_not_valid_says_so_and_does_not_ask_whether_the_vault_runs() {
    let directory = scratch();
    let dir = directory.path().join("up");
    let mut up = Up::start(&dir);
    let authority = CertificateAuthority::open(&dir.join("ca")).unwrap();
    let peer = Peer::new(Role::Operator, "early").unwrap();
    let request = Request::new(peer, 365 * DAY);
    let early = authority.issue(&request, &Ahead(400 * DAY), &SystemRandom).unwrap();
    let identity = directory.path().join("early");
    early.save(&identity).unwrap();
    let serving: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.join("serving.json")).unwrap()).unwrap();
    let mut list = crate::harness::outlast();
    list.args(["workload", "list", "--vault", serving["url"].as_str().unwrap()]);
    let words = fail(list.arg("--identity").arg(&identity), 1);
    assert!(words.contains("our certificate, which is valid from"), "{words}");
    assert!(words.contains("clock"), "{words}");
    assert!(!words.contains("Is the vault running"), "{words}");
    up.role.stop();
}

#[test]
fn an_old_name_that_is_retired_falls_silent_and_a_pause_has_an_end() {
    let directory = scratch();
    let dir = directory.path().join("up");
    fs::create_dir(&dir).unwrap();
    let config = "[promise]\nrpo = \"2s\"\nowner = \"team-shop\"\n";
    outlast_fs::durable::create_new(&dir.join("vault.toml"), config.as_bytes(), 0o600).unwrap();
    let mut up = Up::start(&dir);
    let drop = up.drop("old-name", &["Cargo.toml"]);
    up.wait_for_receipt("old-name", &drop, "vaulted");
    let open = |up: &Up| {
        let mut incidents = up.incidents();
        incidents.retain(|incident| incident["resolved"].is_null());
        incidents
    };
    let is_broken = |up: &Up| open(up).iter().any(|one| one["key"] == "recovery-point/old-name");
    wait_until("the promise breaks", || is_broken(&up));

    let pause = ["workload", "pause", "old-name", "--for", "1h", "--reason", "the building moves"];
    let order = document(up.ask(&pause).arg("--json"));
    assert_eq!((&order["action"], &order["by"]), (&"pause".into(), &"operator up".into()));
    assert!(open(&up).is_empty(), "paused");
    let words = succeed(&mut up.ask(&["workload", "list"]));
    assert!(words.contains("paused until 20"), "{words}");
    fail(&mut up.ask(&["workload", "pause", "old-name", "--reason", "for ever"]), 2);
    fail(&mut up.ask(&["workload", "pause", "old-name", "--for", "1h"]), 2);
    succeed(&mut up.ask(&["workload", "resume", "old-name"]));
    wait_until("it speaks again", || is_broken(&up));

    succeed(&mut up.ask(&["workload", "retire", "old-name", "--reason", "renamed to shop-db"]));
    assert!(open(&up).is_empty(), "retired");
    let words = succeed(&mut up.ask(&["workload", "show", "old-name"]));
    for part in ["reti", "pause old-name until", "; renamed to shop-db", "resume old-name"] {
        assert!(words.contains(part), "{part:?} in {words}");
    }
    let words = fail(&mut up.ask(&["workload", "retire", "never-heard-of"]), 1);
    assert!(words.contains("never-heard-of"), "{words}");
    up.role.stop();
}

#[test]
fn a_lost_repository_is_refused_until_an_operator_begins_it_anew() {
    let directory = scratch();
    let mut up = Up::start(&directory.path().join("up"));
    let drop = up.drop("shop-db", &["Cargo.toml"]);
    up.wait_for_receipt("shop-db", &drop, "vaulted");
    up.role.stop();
    let config = up.dir.join("vault/repos/shop-db/config");
    fs::remove_file(&config).unwrap();

    let mut up = Up::start(&up.dir.clone());
    let target = directory.path().join("restored");
    let words = fail(up.ask(&["restore", "shop-db", "--into"]).arg(&target), 1);
    assert!(words.contains("config is gone"), "{words}");
    assert!(words.contains("workload recreate"), "{words}");
    let listed = succeed(&mut up.ask(&["workload", "list"]));
    assert!(listed.contains("the vault's repository of shop-db is not whole"), "{listed}");
    let second = up.drop("shop-db", &["Cargo.toml"]);
    let recreate = ["workload", "recreate", "shop-db", "--reason", "disk 3 burned"];
    let order = document(up.ask(&recreate).arg("--json"));
    assert_eq!(order["snapshots_forgotten"], 1);
    up.wait_for_receipt("shop-db", &second, "vaulted");
    succeed(up.restic("shop-db").args(["check", "--read-data"]));
    let words = fail(&mut up.ask(&recreate), 1);
    assert!(words.contains("nothing is missing"), "{words}");
    up.role.stop();
}

#[test]
fn what_keeps_a_snapshot_is_told_and_nothing_goes_before_its_time_by_one_operator() {
    let directory = scratch();
    let dir = directory.path().join("up");
    fs::create_dir(&dir).unwrap();
    let config = "[retention]\nkeep = \"last=2,daily=7\"\nzone = \"Europe/Berlin\"\n\
                  [promise]\nrestore_why = true\n";
    outlast_fs::durable::create_new(&dir.join("vault.toml"), config.as_bytes(), 0o600).unwrap();
    let mut up = Up::start(&dir);
    let drop = up.drop("shop-db", &["Cargo.toml"]);
    up.wait_for_receipt("shop-db", &drop, "vaulted");
    let kept = document(&mut up.ask(&["snapshots", "shop-db", "--kept", "--json"]));
    let rules = "[\"last\",\"daily\",\"newest-good\",\"young\"]";
    assert_eq!(kept["snapshots"][0]["rules"].to_string(), rules);
    assert_eq!((&kept["keep"], &kept["going"]), (&"last=2,daily=7".into(), &0.into()));
    let point = &kept["snapshots"][0]["recovery_point"];
    assert!(point.as_str() < kept["snapshots"][0]["received"].as_str(), "first seen: {kept}");
    let id = kept["snapshots"][0]["snapshot"].as_str().unwrap().to_owned();
    let words =
        fail(&mut up.ask(&["snapshots", "forget", "shop-db", &id, "--reason", "a test"]), 4);
    assert!(words.contains("is kept: last, daily"), "{words}");
    fail(&mut up.ask(&["workload", "hold", "shop-db"]), 2);
    let hold = ["workload", "hold", "shop-db", "--reason", "case 7", "--person", "legal"];
    assert_eq!(document(up.ask(&hold).arg("--json"))["hold"], 1);
    let shorten = ["workload", "shorten", "shop-db", "--keep", "daily=1", "--reason", "a test"];
    let request = document(up.ask(&shorten).arg("--json"));
    assert_eq!(request["request"]["what"], "shorten");
    let listed = succeed(&mut up.ask(&["approve"]));
    assert!(listed.contains("shop-db/2: shorten to daily=1"), "{listed}");
    let words = fail(&mut up.ask(&["approve", "shop-db/2", "--reason", "me again"]), 4);
    assert!(words.contains("another operator"), "{words}");
    succeed(&mut up.ask(&["approve", "shop-db/2", "--withdraw", "--reason", "a slip"]));
    let words = succeed(&mut up.ask(&["snapshots", "shop-db", "--kept"]));
    assert!(
        words.contains("held") && words.contains("for legal, by operator up: case 7"),
        "{words}"
    );
    succeed(&mut up.ask(&["workload", "release", "shop-db", "--reason", "closed"]));
    fail(&mut up.ask(&["snapshots", "shop-db", "--keep", "daily=0"]), 2);
    // Who only looks needs no reason; who restores does.
    let into = directory.path().join("into");
    let restore = ["restore", "shop-db", "--into", into.to_str().unwrap()];
    let words = fail(&mut up.ask(&restore), 4);
    assert!(words.contains("policy wants to know why shop-db is restored"), "{words}");
    succeed(up.ask(&restore).args(["--why", "ticket 4711"]));
    let words = succeed(&mut up.ask(&["snapshots", "shop-db"]));
    assert!(words.contains(&id[..8]), "{words}");
    up.role.stop();
}
