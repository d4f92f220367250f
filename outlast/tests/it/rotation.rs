//! Authorities that `outlast ca` makes, revokes by, and replaces, under roles that are at work.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outlast_types::{SystemClock, SystemRandom};
use outlast_wire::ca::Request;
use outlast_wire::holdings::{Answer, Nonce, SignedAnswer};
use outlast_wire::{CertificateAuthority, Identity, Peer};
use serde_json::Value;

use crate::harness::{Role, document, fail, outlast, run, scratch, succeed, wait_until};

/// An agent and a vault as processes, set up by `outlast ca init`.
struct Site {
    _directory: tempfile::TempDir,
    path: PathBuf,
    url: String,
    vault: Role,
    agent: Role,
}

impl Site {
    fn start() -> Self {
        let directory = scratch();
        let path = directory.path().to_owned();
        let mut init = outlast();
        init.args(["ca", "init", "--vault", "hq", "--host", "localhost", "--host", "127.0.0.1"]);
        succeed(init.arg("--dir").arg(path.join("ca")));
        issue_agent(&path);
        succeed(outlast().args(["share", "init"]).arg(path.join("share")));
        let config = format!(
            "[vault]\ndir = \"{0}/vault\"\nlisten = \"127.0.0.1:0\"\nidentity = \"{0}/ca/vault\"\n\
             issuer = \"{0}/ca/issuer\"\n",
            path.display()
        );
        write(&path.join("vault.toml"), &config);
        let mut vault = role("vault", &path);
        let ready = path.join("vault.ready");
        wait_until("the vault serves", || {
            assert!(!vault.has_ended(), "{}", vault.words());
            ready.exists()
        });
        let ready: Value = serde_json::from_slice(&fs::read(ready).unwrap()).unwrap();
        let url = ready["url"].as_str().unwrap().to_owned();
        let config = format!(
            "[agent]\nshare = \"{0}/share\"\nstate = \"{0}/state\"\nupstream = \"{url}\"\n\
             identity = \"{0}/agent\"\npoll = \"200ms\"\nkeep = 100\n",
            path.display()
        );
        write(&path.join("agent.toml"), &config);
        let agent = role("agent", &path);
        Self { _directory: directory, path, url, vault, agent }
    }

    /// Drops something and waits until it is vaulted; its receipt.
    fn ship(&mut self) -> Value {
        let mut command = outlast();
        command.args(["drop", "--workload", "shop", "--share"]).arg(self.path.join("share"));
        let drop = succeed(command.args(["--exec", "x", "--", "echo", "x"])).trim().to_owned();
        let path = self.path.join(format!("share/w/shop/receipts/{drop}.vaulted.json"));
        let mut receipt = None;
        wait_until("the drop is vaulted", || {
            assert!(!self.agent.has_ended(), "{}", self.agent.words());
            assert!(!self.vault.has_ended(), "{}", self.vault.words());
            receipt = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
            receipt.is_some()
        });
        receipt.unwrap()
    }

    /// `outlast WORDS…`, as the operator.
    fn ask(&self, words: &[&str]) -> std::process::Command {
        let mut command = outlast();
        command.args(words).args(["--vault", &self.url, "--identity"]);
        command.arg(self.path.join("ca/operator"));
        command
    }
}

fn write(path: &Path, text: &str) {
    File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn role(name: &str, path: &Path) -> Role {
    let place = |suffix: &str| path.join(format!("{name}.{suffix}"));
    let mut command = outlast();
    command.arg(name).arg("--config").arg(place("toml")).arg("--ready-file").arg(place("ready"));
    Role::start(&mut command, &place("log"))
}

/// Gives the agent a certificate of the issuer in force, as a renewal does.
fn issue_agent(path: &Path) {
    let authority = CertificateAuthority::open(&path.join("ca")).unwrap();
    let peer = Peer::new(outlast_wire::Role::Agent, "eu-1").unwrap();
    let request = Request::new(peer, Duration::from_secs(30 * 86_400));
    let identity = authority.issue(&request, &SystemClock, &SystemRandom).unwrap();
    identity.save(&path.join("agent")).unwrap();
}

/// How many authorities the agent believes for connections.
fn believed(path: &Path) -> usize {
    let pem = fs::read_to_string(path.join("agent/ca.pem")).unwrap();
    pem.matches("BEGIN CERTIFICATE").count()
}

/// How many certificates are in a PEM.
fn certificates(pem: &Value) -> usize {
    pem.as_str().unwrap().matches("BEGIN CERTIFICATE").count()
}

/// Whether a vault's word of what it holds now, on which an agent frees data, is believed.
fn is_believed(vault: &Identity, agent: &Identity) -> bool {
    let nonce = Nonce::new(&SystemRandom);
    let answer = Answer {
        nonce: nonce.clone(),
        at: outlast_types::Timestamp::EPOCH,
        run: String::new(),
        sequence: 1,
        held: Vec::new(),
        recorded: Vec::new(),
        handed: Vec::new(),
        unsafe_alone: Vec::new(),
        refused: Vec::new(),
        withheld: false,
    };
    SignedAnswer::sign(&answer, vault).unwrap().verify(agent.ca_pem(), &nonce).is_ok()
}

#[test]
fn the_root_is_replaced_while_an_agent_ships_and_old_signatures_are_read_and_free_nothing() {
    let mut site = Site::start();
    let path = site.path.clone();
    let old_vault = Identity::load(&path.join("ca/vault")).unwrap();
    let old_agent = path.join("old-agent");
    Identity::load(&path.join("agent")).unwrap().save(&old_agent).unwrap();
    let first = site.ship();
    assert_eq!(certificates(&first["certificate"]), 3, "the signer's chain and root are in it");

    // Both are trusted: whoever has not heard of the new one goes on.
    let rotate = || {
        let mut command = outlast();
        command.args(["ca", "rotate", "--dir"]).arg(path.join("ca"));
        command
    };
    let finish = || {
        let mut command = rotate();
        command.args(["--finish", "--host", "localhost", "--host", "127.0.0.1"]);
        command
    };
    assert!(fail(&mut finish(), 1).contains("no rotation is under way"));
    succeed(&mut rotate());
    site.ship();
    assert!(fail(&mut rotate(), 1).contains("under way"));
    issue_agent(&path);
    wait_until("the agent signs by the new issuer", || {
        let receipt = site.ship();
        let accepted = receipt["drop"].as_str().unwrap();
        let accepted = path.join(format!("share/w/shop/receipts/{accepted}.accepted.json"));
        let accepted: Value = serde_json::from_slice(&fs::read(accepted).unwrap()).unwrap();
        certificates(&accepted["certificate"]) == 4
    });

    // The old one is let go: its certificates open nothing, what it signed is still read.
    succeed(&mut finish());
    wait_until("the vault signs by the new issuer", || {
        let receipt = site.ship();
        receipt["certificate"].as_str().unwrap() != first["certificate"].as_str().unwrap()
    });
    let mut refused = outlast();
    refused.args(["workload", "list", "--vault", &site.url, "--identity"]).arg(&old_agent);
    wait_until("the old certificate opens nothing", || !run(&mut refused).status.success());
    let listed = document(&mut site.ask(&["ca", "list", "--json"]));
    assert!(listed["certificates"].as_array().unwrap().len() >= 3, "{listed}");

    // The agent, which was renewed in the overlap and is not again, hears it from the vault: at its start,
    // and each minute.
    assert_eq!(believed(&path), 2);
    site.agent.stop();
    site.agent = role("agent", &path);
    wait_until("the agent lets the old root go", || believed(&path) == 1);
    site.ship();
    let agent = Identity::load(&path.join("agent")).unwrap();
    let vault = Identity::load(&path.join("ca/vault")).unwrap();
    assert!(!is_believed(&old_vault, &agent), "it frees nothing");
    assert!(is_believed(&vault, &agent));

    // Custody, by the certificates that the vault has now, and the log of it all.
    let mut status = outlast();
    status.args(["share", "status", "--json"]).arg(path.join("share"));
    let status = document(status.arg("--ca").arg(path.join("ca/vault/ca.pem")));
    let workload = &status["workloads"][0];
    assert!(workload["counts"]["vaulted"].as_u64().unwrap() >= 4, "{status}");
    assert_eq!(workload["counts"].as_object().unwrap().len(), 1, "every receipt counts: {status}");
    let exported = succeed(outlast().args(["audit", "export"]).arg(path.join("vault")));
    assert_eq!(exported.matches("\"action\":\"authority_ended\"").count(), 1, "{exported}");
    succeed(outlast().args(["audit", "verify"]).arg(path.join("vault")));
    site.agent.stop();
    site.vault.stop();
}

#[test]
fn an_operator_shuts_a_stolen_agent_out_by_one_command() {
    let mut site = Site::start();
    site.ship();
    let said =
        succeed(&mut site.ask(&["ca", "revoke", "eu-1", "--role", "agent", "--reason", "stolen"]));
    assert!(said.contains("agent eu-1") && said.contains("stolen"), "{said}");
    let identity = site.path.join("agent");
    let mut refused = outlast();
    refused.args(["workload", "list", "--vault", &site.url, "--identity"]).arg(identity);
    let words = String::from_utf8_lossy(&run(&mut refused).stderr).into_owned();
    assert!(words.contains("is revoked since"), "{words}");
    wait_until("the agent hears of it", || site.agent.words().contains("is revoked since"));
    let exported = succeed(outlast().args(["audit", "export"]).arg(site.path.join("vault")));
    assert!(exported.contains("\"certificate_revoked\""), "{exported}");
    site.agent.stop();
    site.vault.stop();
}

#[test]
fn an_authority_that_exists_is_taken_over_by_its_intermediate() {
    let directory = scratch();
    let path = |name: &str| directory.path().join(name);
    // A bank's own.
    CertificateAuthority::create(&path("bank"), &SystemClock, &SystemRandom).unwrap();
    let init = |dir: &str| {
        let mut command = outlast();
        command
            .args(["ca", "init", "--vault", "hq", "--host", "localhost", "--dir"])
            .arg(path(dir));
        command.arg("--issuer").arg(path("bank/issuer/issuer.pem"));
        command.arg("--root").arg(path("bank/root/ca.pem"));
        command
    };
    succeed(&mut init("ours"));
    let vault = Identity::load(&path("ours/vault")).unwrap();
    assert_eq!(vault.ca_pem(), fs::read_to_string(path("bank/root/ca.pem")).unwrap());
    assert!(!path("ours/root").exists());
    assert!(fail(&mut init("ours"), 1).contains("already a certificate authority"));
    // Of another root, it would be believed by nobody.
    CertificateAuthority::create(&path("other"), &SystemClock, &SystemRandom).unwrap();
    fs::copy(path("other/root/ca.pem"), path("bank/root/ca.pem")).unwrap();
    assert!(fail(&mut init("wrong"), 1).contains("not signed by our authority"));
}
