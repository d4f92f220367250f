//! A vault's policy, changed while it is at work: on the real binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use outlast_types::{SystemClock, SystemRandom};
use outlast_wire::ca::{CertificateAuthority, Request};
use outlast_wire::{Peer, Role as Kind};
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Role, Up, fail, outlast, scratch, succeed, wait_until};

/// The vault of an `up`, by itself.
struct Vault {
    dir: PathBuf,
    /// Its file as `up` made it.
    usual: String,
    role: Role,
    url: String,
}

impl Vault {
    fn start(dir: &Path, policy: &str) -> Self {
        let mut first = Up::start(dir);
        first.role.stop();
        let config = dir.join("vault.toml");
        let usual = fs::read_to_string(&config).unwrap();
        outlast_fs::durable::replace(&config, format!("{usual}\n{policy}").as_bytes(), 0o600)
            .unwrap();
        let ready = dir.join("vault.ready");
        let mut command = outlast();
        command.args(["vault", "--config"]).arg(&config).arg("--ready-file").arg(&ready);
        let role = Role::start(&mut command, &dir.join("vault.log"));
        let mut told = None;
        wait_until("the vault serves", || {
            told = fs::read(&ready).ok().and_then(|it| serde_json::from_slice::<Value>(&it).ok());
            told.is_some()
        });
        let url = told.unwrap()["url"].as_str().unwrap().to_owned();
        Self { dir: dir.to_owned(), usual, role, url }
    }

    /// Writes another policy into its file, and has it read; what its log says of that.
    fn hear(&self, policy: &str, words: &str) -> String {
        let before = self.role.words().len();
        let text = format!("{}\n{policy}", self.usual);
        outlast_fs::durable::replace(&self.dir.join("vault.toml"), text.as_bytes(), 0o600).unwrap();
        self.role.signal(Signal::HUP);
        let mut said = String::new();
        wait_until(words, || {
            said = self.role.words()[before..].to_owned();
            said.contains(words)
        });
        said
    }

    fn ask(&self, operator: &str, words: &[&str]) -> Command {
        let mut command = outlast();
        command.args(words).args(["--vault", &self.url, "--identity"]);
        command.arg(self.dir.join("identity").join(operator));
        command
    }

    fn make_operator(&self, name: &str) {
        let authority = CertificateAuthority::open(&self.dir.join("ca")).unwrap();
        let day = Duration::from_secs(86_400);
        let request = Request::new(Peer::new(Kind::Operator, name).unwrap(), day);
        let identity = authority.issue(&request, &SystemClock, &SystemRandom).unwrap();
        identity.save(&self.dir.join("identity").join(name)).unwrap();
    }
}

#[test]
fn a_policy_with_a_flaw_is_named_with_line_and_key_while_the_running_one_stays() {
    let directory = scratch();
    let vault = Vault::start(&directory.path().join("up"), "[workloads.shop]\nrpo = \"5h\"\n");
    let shown = || succeed(&mut vault.ask("operator", &["workload", "show", "shop"]));
    assert!(shown().contains("5 h"), "{}", shown());
    let line = vault.usual.lines().count() + 3;
    let said = vault.hear("[workloads.shop]\nrpo = \"soon\"\n", "is not taken over");
    assert!(
        said.contains(&format!("line {line}")) && said.contains("workloads.shop.rpo"),
        "{said}"
    );
    assert!(shown().contains("5 h"), "the running policy stays: {}", shown());
    // What limits agents and how often drills are done need no restart.
    let policy = "[workloads.shop]\nrpo = \"7h\"\ndrill_every = \"3d\"\nstored = \"1GiB\"\n\
                  [drills]\nevery = \"30d\"\nrate = \"1MiB\"\n[limits]\nobjects = 7\nreceived = \"1GiB\"\n";
    let said = vault.hear(policy, "policy and routes hold from now on");
    for key in ["drills.every", "drills.rate", "limits.objects", "workloads.shop.drill_every"] {
        assert!(said.contains(&format!("was read again: {key}")), "{key}: {said}");
    }
    assert!(!said.contains("after a restart"), "{said}");
    assert!(shown().contains("7 h"), "{}", shown());
    let said = vault.hear("[drills]\ntime_max = \"1h\"\n", "policy and routes hold from now on");
    assert!(said.contains("drills.time_max") && said.contains("after a restart"), "{said}");
}

#[test]
fn a_check_tells_each_term_that_would_change_and_refuses_what_an_apply_would_refuse() {
    let directory = scratch();
    let usual = "[workloads.shop-db]\nrpo = \"26h\"\n";
    let vault = Vault::start(&directory.path().join("up"), usual);
    let file = directory.path().join("policy.toml");
    let ask = |word: &str, policy: &str| {
        outlast_fs::durable::replace(&file, policy.as_bytes(), 0o600).unwrap();
        vault.ask("operator", &["promise", word, file.to_str().unwrap()])
    };
    let told = succeed(&mut ask("check", usual));
    assert!(told.contains("nothing would change"), "{told}");
    let quiet = format!(
        "{usual}weekdays = \"mon-fri\"\nmaintenance = [\"sun 02:00-06:00 patch day\"]\n\
         immutable_for = \"14d\"\ndeploy_grace = \"20m\"\nrestore_why = true\n"
    );
    let told = succeed(&mut ask("check", &quiet));
    for words in [
        "mon,tue,wed,thu,fri",
        "sun 02:00-06:00 patch day",
        "14 d",
        "20 min",
        "restore_why",
        "workloads.shop-db.weekdays: nothing -> \"mon-fri\"",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    // What no row of a workload shows is among the keys.
    let told = succeed(&mut ask("check", &format!("{usual}[sanity]\nmin_size = \"1MiB\"\n")));
    assert!(!told.contains("nothing would change"), "{told}");
    assert!(told.contains("sanity.min_size"), "{told}");
    // And applied, it is what is told of the workload and of the month.
    succeed(&mut ask("apply", &quiet));
    let told = succeed(&mut ask("check", &quiet));
    assert!(told.contains("nothing would change"), "{told}");
    let told = succeed(&mut vault.ask("operator", &["workload", "show", "shop-db"]));
    assert!(told.contains("maintenance: sun 02:00-06:00 patch day"), "{told}");
    let routed = format!("{usual}route = \"nobody\"\n");
    for (word, code) in [("check", 2), ("apply", 1)] {
        let told = fail(&mut ask(word, &routed), code);
        for words in ["policy.toml, line 3", "no [[route]] whose name is \"nobody\""] {
            assert!(told.contains(words), "{word}, {words}: {told}");
        }
    }
}

#[test]
fn pages_wait_for_more_than_a_day_only_if_two_operators_agreed() {
    let directory = scratch();
    let vault = Vault::start(&directory.path().join("up"), "");
    vault.make_operator("two");
    let policy = "[classes.hall]\nmaintenance = [\"sat,sun 00:00-24:00 the move\"]\n";
    let said = vault.hear(policy, "is not taken over");
    for words in ["classes.hall.maintenance", "2 d", "no two operators agreed"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let file = directory.path().join("policy.toml");
    outlast_fs::durable::create_new(&file, policy.as_bytes(), 0o600).unwrap();
    let file = file.to_str().unwrap();
    let apply = ["promise", "apply", file, "--reason", "4711"];
    let told = fail(&mut vault.ask("operator", &apply), 1);
    assert!(
        told.contains("no two operators agreed") && told.contains("policy.toml, line 2"),
        "{told}"
    );
    let request = ["promise", "request", file, "--reason", "the new hall"];
    let asked = succeed(&mut vault.ask("operator", &request));
    assert!(asked.contains("policy:1: classes.hall.maintenance: sat,sun 00:00-24:00"), "{asked}");
    let approve = ["approve", "policy:1", "--reason", "agreed"];
    let told = fail(&mut vault.ask("operator", &approve), 4);
    assert!(told.contains("takes another operator"), "{told}");
    fail(&mut vault.ask("operator", &apply), 1);
    let listed = succeed(&mut vault.ask("operator", &["approve"]));
    assert!(
        listed.contains("policy:1") && listed.contains("waits for another operator"),
        "{listed}"
    );
    let told = succeed(&mut vault.ask("two", &approve));
    assert!(told.contains("approved by operator two"), "{told}");
    // The file has it since it was refused; it is taken all the same.
    let adopted = || {
        let log = succeed(outlast().args(["audit", "export"]).arg(vault.dir.join("vault")));
        log.matches("\"policy_adopted\"").count()
    };
    let before = adopted();
    let told = succeed(&mut vault.ask("operator", &apply));
    assert!(told.contains("the vault's file said the same"), "{told}");
    assert_eq!(adopted(), before + 1);
    let again = succeed(&mut vault.ask("operator", &request));
    assert!(again.contains("nothing in it has to be asked for"), "{again}");
}
