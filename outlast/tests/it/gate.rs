//! The gate that a pipeline passes before it ends an instance: whom it believes, and of which drop.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use outlast_drop::{DropAddress, Receipt, ReceiptState, Seal, Share, receipt, scan_one};
use outlast_types::{Clock as _, DropId, SystemClock, SystemRandom, WorkloadName};
use outlast_wire::ca::Request;
use outlast_wire::{CertificateAuthority, Identity, Peer, Role};
use serde_json::Value;

use crate::harness::{Up, fail, outlast, run, scratch, succeed};

/// A share to which nobody attends but the test, and an authority.
struct Site {
    directory: tempfile::TempDir,
    authority: CertificateAuthority,
    share: Share,
}

impl Site {
    fn new() -> Self {
        let directory = scratch();
        let path = directory.path();
        let authority = authority(&path.join("ca"));
        let share = Share::init(&path.join("share"), &SystemClock, &SystemRandom).unwrap();
        Self { directory, authority, share }
    }

    fn identity(&self, role: Role) -> Identity {
        identity(&self.authority, role)
    }

    fn ca(&self) -> PathBuf {
        self.directory.path().join("ca/root/ca.pem")
    }

    /// `outlast drop` of one line, with more arguments before its command.
    fn dropping(&self, arguments: &[&str]) -> Command {
        let mut command = outlast();
        command.args(["drop", "--workload", "shop", "--share"]).arg(self.share.path());
        command.args(arguments);
        command
    }

    fn drop(&self, instance: &str, release: &str) -> DropAddress {
        let of = ["--instance", instance, "--release", release];
        let mut command = self.dropping(&of);
        let id = succeed(command.args(["--exec", "x", "--", "echo", instance]));
        self.address(id.trim().parse().unwrap())
    }

    fn address(&self, id: DropId) -> DropAddress {
        let seen = scan_one(&self.share, &WorkloadName::new("shop").unwrap()).unwrap().unwrap();
        let found = seen.sightings.into_iter().find(|seen| seen.address.drop == id);
        found.unwrap().address
    }

    /// A receipt about a drop as it lies there.
    fn receipt(&self, drop: &DropAddress, state: ReceiptState) -> Receipt {
        let seal = fs::read(self.share.drop_directory(drop).join("sealed.json")).ok();
        Receipt {
            seal: seal.map(|seal| Seal::digest_of(&seal)),
            ..Receipt::about(self.share.id(), drop, state, SystemClock.now())
        }
    }

    fn sign(&self, receipt: Receipt, by: &Identity) {
        receipt::write(&self.share, &receipt.sign(by).unwrap()).unwrap();
    }

    /// What the gate says now, without waiting.
    fn gate(&self, arguments: &[&str]) -> Command {
        let mut command = outlast();
        command.args(["gate", "--workload", "shop", "--timeout", "0s", "--share"]);
        command.arg(self.share.path()).args(arguments).arg("--ca").arg(self.ca());
        command
    }
}

fn authority(path: &Path) -> CertificateAuthority {
    CertificateAuthority::create(path, &SystemClock, &SystemRandom).unwrap()
}

fn identity(authority: &CertificateAuthority, role: Role) -> Identity {
    let request = Request::new(Peer::new(role, "it").unwrap(), Duration::from_secs(3600));
    authority.issue(&request, &SystemClock, &SystemRandom).unwrap()
}

/// A gate's document, whatever its exit code.
fn seen(command: &mut Command) -> (Option<i32>, Value) {
    let output = run(command.arg("--json"));
    let document = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{command:?} said {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), document)
}

#[test]
fn a_gate_opens_by_proofs_under_the_given_authority_and_by_nothing_that_lies_on_the_share() {
    let site = Site::new();
    let (agent, vault) = (site.identity(Role::Agent), site.identity(Role::Vault));
    let drop = site.drop("blue-1", "r1");
    let waits = |words: &str| {
        let said = fail(&mut site.gate(&[]), 3);
        assert!(said.contains(words), "{said}");
    };
    waits("drop");
    waits("of blue-1 is sealed, and not accepted yet");
    succeed(&mut site.gate(&["--until", "sealed"]));

    // Somebody else's authority, the wrong role, another drop's, another seal's: all about nothing.
    let accepted = || site.receipt(&drop, ReceiptState::Accepted);
    let stranger = identity(&authority(&site.directory.path().join("other")), Role::Agent);
    site.sign(accepted(), &stranger);
    waits("not signed by our authority");
    site.sign(accepted(), &vault);
    waits("only a holder of the role agent may do");
    site.sign(site.receipt(&drop, ReceiptState::Vaulted), &agent);
    waits("only a holder of the role vault may do");
    let other = site.drop("blue-2", "r1");
    site.sign(site.receipt(&other, ReceiptState::Accepted), &agent);
    let named = |of: &DropAddress| {
        let file = format!("w/shop/receipts/{}.accepted.json", of.drop);
        site.share.path().join(file)
    };
    fs::copy(named(&other), named(&drop)).unwrap();
    let of_blue = ["--instance", "blue-1"];
    let said = fail(&mut site.gate(&of_blue), 3);
    assert!(said.contains(&format!("it says accepted of shop/{}", other.drop)), "{said}");
    let wrong_seal =
        Receipt { seal: site.receipt(&other, ReceiptState::Accepted).seal, ..accepted() };
    site.sign(wrong_seal, &agent);
    let said = fail(&mut site.gate(&of_blue), 3);
    assert!(said.contains("is about another drop"), "{said}");
    let elsewhere = Receipt {
        share: Some("6f1c1d6e-8f0a-4c6b-9d53-0d6f1a0f7b11".parse().unwrap()),
        ..accepted()
    };
    site.sign(elsewhere, &agent);
    fail(&mut site.gate(&of_blue), 3);

    // The true one.
    site.sign(accepted(), &agent);
    let said = succeed(&mut site.gate(&of_blue));
    assert_eq!(said, format!("drop {} of blue-1 is accepted\n", drop.drop));
    fail(site.gate(&of_blue).args(["--until", "vaulted"]), 3);
    site.sign(site.receipt(&drop, ReceiptState::Vaulted), &vault);
    for until in ["accepted", "shipped", "vaulted"] {
        succeed(site.gate(&of_blue).args(["--until", until]));
    }
    let id = drop.drop.to_string();
    let (code, document) = seen(site.gate(&["--drop", &id]).args(["--until", "vaulted"]));
    assert_eq!((code, &document["outcome"]), (Some(0), &"reached".into()), "{document}");
    assert_eq!(
        (&document["drops"][0]["state"], &document["drops"][0]["release"]),
        (&"vaulted".into(), &"r1".into())
    );
    // Released: nothing of it lies there but its receipts.
    fs::remove_dir_all(site.share.drop_directory(&drop)).unwrap();
    succeed(site.gate(&["--drop", &id]).args(["--until", "vaulted"]));
    fail(&mut site.gate(&of_blue), 3);
    fail(&mut site.gate(&["--drop", "01a2066b-8649-78cb-a8bc-a5af0e952507"]), 3);
}

#[test]
fn a_fingerprint_stands_for_the_authority_and_without_one_nothing_is_believed() {
    let site = Site::new();
    let drop = site.drop("blue-1", "r1");
    site.sign(site.receipt(&drop, ReceiptState::Accepted), &site.identity(Role::Agent));
    let gate = |ca: Option<&str>| {
        let mut command = outlast();
        command.args(["gate", "--workload", "shop", "--timeout", "0s", "--share"]);
        command.arg(site.share.path());
        if let Some(ca) = ca {
            command.args(["--ca", ca]);
        }
        command
    };
    let fingerprint = |pem: &Path| {
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(pem);
        let said = succeed(&mut openssl);
        said.trim().split_once('=').unwrap().1.to_owned()
    };
    let colons = fingerprint(&site.ca());
    succeed(&mut gate(Some(&colons)));
    succeed(&mut gate(Some(&colons.replace(':', "").to_lowercase())));
    let other = site.directory.path().join("other");
    authority(&other);
    let said = fail(&mut gate(Some(&fingerprint(&other.join("root/ca.pem")))), 3);
    assert!(said.contains("not signed by our authority"), "{said}");
    let said = fail(&mut gate(None), 2);
    assert!(said.contains("--ca") && said.contains("made up"), "{said}");
    succeed(gate(None).args(["--until", "sealed"]));
    fail(gate(Some(&colons)).args(["--until", "released"]), 2);
    fail(gate(Some("/nowhere/ca.pem")).args(["--until", "sealed"]), 1);
}

#[test]
fn what_will_never_get_there_fails_at_once() {
    let site = Site::new();
    let agent = site.identity(Role::Agent);
    // It would wait for minutes.
    let gate = |instance: &str| {
        let mut command = outlast();
        command.args(["gate", "--workload", "shop", "--timeout", "4m", "--share"]);
        command.arg(site.share.path()).args(["--instance", instance]).arg("--ca").arg(site.ca());
        command
    };
    let rejected = site.drop("blue-1", "r1");
    let reason = Some("0001.seg does not have its hash".to_owned());
    site.sign(Receipt { reason, ..site.receipt(&rejected, ReceiptState::Rejected) }, &agent);
    let said = fail(&mut gate("blue-1"), 1);
    assert!(said.contains("was rejected: 0001.seg does not have its hash"), "{said}");
    // By somebody else's word, it is not.
    let fine = site.drop("blue-2", "r1");
    let stranger = identity(&authority(&site.directory.path().join("other")), Role::Agent);
    site.sign(site.receipt(&fine, ReceiptState::Rejected), &stranger);
    fail(&mut site.gate(&["--instance", "blue-2"]), 3);

    fail(site.dropping(&["--instance", "blue-3"]).args(["--exec", "x", "--", "false"]), 1);
    let said = fail(&mut gate("blue-3"), 1);
    assert!(said.contains("of blue-3 failed: its command ended with 1"), "{said}");
    // Tried again, it is past.
    let again = site.drop("blue-3", "r1");
    site.sign(site.receipt(&again, ReceiptState::Accepted), &agent);
    succeed(&mut gate("blue-3"));

    // Its writer was killed, and the agent gave it up while the gate waited.
    let mut writer = site.dropping(&["--instance", "blue-4"]);
    let mut writer = writer.args(["--stdin", "x"]).stdin(Stdio::piped()).spawn().unwrap();
    let open = loop {
        let seen = scan_one(&site.share, &WorkloadName::new("shop").unwrap()).unwrap().unwrap();
        let open = seen.sightings.into_iter().find(|seen| seen.state.may_heal());
        if let Some(open) =
            open.filter(|open| site.share.drop_directory(&open.address).join("open.json").exists())
        {
            break open.address;
        }
    };
    let waiting = fail(&mut site.gate(&["--instance", "blue-4"]), 3);
    assert!(waiting.contains("of blue-4 is not sealed yet"), "{waiting}");
    writer.kill().unwrap();
    writer.wait().unwrap();
    let mut waiting = gate("blue-4").stderr(Stdio::piped()).spawn().unwrap();
    let mut words = BufReader::new(waiting.stderr.take().unwrap()).lines();
    assert!(words.next().unwrap().unwrap().contains("waiting: drop"));
    site.sign(site.receipt(&open, ReceiptState::Abandoned), &agent);
    assert_eq!(waiting.wait().unwrap().code(), Some(1));
    assert!(words.any(|line| line.unwrap().contains("was abandoned")));
}

#[test]
fn a_release_passes_when_each_of_its_instances_has() {
    let site = Site::new();
    let agent = site.identity(Role::Agent);
    let of = ["--release", "r2"];
    let said = fail(&mut site.gate(&of), 3);
    assert!(said.contains("no drop of shop by release \"r2\" yet"), "{said}");
    let (one, two) = (site.drop("blue-1", "r2"), site.drop("blue-2", "r2"));
    let other = site.drop("green-1", "r3");
    site.sign(site.receipt(&one, ReceiptState::Accepted), &agent);
    let (code, document) = seen(&mut site.gate(&of));
    assert_eq!((code, &document["outcome"]), (Some(3), &"waiting".into()));
    assert!(document["why"].as_str().unwrap().contains("blue-2"), "{document}");
    assert_eq!(document["drops"].as_array().unwrap().len(), 2, "{document}");
    site.sign(site.receipt(&two, ReceiptState::Accepted), &agent);
    succeed(&mut site.gate(&of));
    site.sign(site.receipt(&other, ReceiptState::Rejected), &agent);
    succeed(&mut site.gate(&of));
    fail(&mut site.gate(&["--release", "r3"]), 1);
    fail(&mut site.gate(&["--release", "r2", "--instance", "blue-1"]), 2);
}

#[test]
fn a_share_that_is_not_mounted_or_another_is_waited_for_with_clear_words() {
    let site = Site::new();
    let drop = site.drop("blue-1", "r1");
    let path = site.share.path().to_owned();
    let aside = site.directory.path().join("aside");
    let said = fail(site.gate(&[]).arg("--share").arg("/nowhere/at-all"), 2);
    assert!(said.contains("--share"), "{said}");
    let mut waiting = outlast();
    waiting.args(["gate", "--workload", "shop", "--timeout", "4m", "--share"]).arg(&path);
    waiting.arg("--ca").arg(site.ca());
    let mut waiting = waiting.stderr(Stdio::piped()).spawn().unwrap();
    let mut words = BufReader::new(waiting.stderr.take().unwrap()).lines();
    let mut next = || words.next().unwrap().unwrap();
    assert!(next().contains("is sealed, and not accepted yet"));
    rename(&path, &aside);
    fs::create_dir(&path).unwrap();
    let said = loop {
        let said = next();
        if !said.contains("cannot be looked at") || said.contains("is it mounted") {
            break said;
        }
    };
    assert!(said.contains("is it mounted"), "{said}");
    let said = fail(&mut site.gate(&[]), 3);
    assert!(said.contains("not accepted after") && said.contains("is it mounted"), "{said}");
    fs::remove_dir(&path).unwrap();
    Share::init(&path, &SystemClock, &SystemRandom).unwrap();
    assert!(next().contains("another share"));
    fs::remove_dir_all(&path).unwrap();
    rename(&aside, &path);
    site.sign(site.receipt(&drop, ReceiptState::Accepted), &site.identity(Role::Agent));
    assert_eq!(waiting.wait().unwrap().code(), Some(0), "it is back, and it goes on");
    let mut nowhere = outlast();
    nowhere.args(["gate", "--workload", "shop", "--share", "/nowhere/at-all", "--ca"]);
    fail(nowhere.arg(site.ca()), 1);
}

#[expect(clippy::disallowed_methods, reason = "what is taken away need not survive a crash")]
fn rename(from: &Path, to: &Path) {
    fs::rename(from, to).unwrap();
}

#[test]
fn a_pipeline_ends_blue_when_agent_and_vault_have_its_last_drop() {
    let directory = scratch();
    let up = Up::start(&directory.path().join("up"));
    let ca = up.dir.join("identity/agent/ca.pem");
    let mut gate = outlast();
    gate.args(["gate", "--workload", "shop", "--instance", "blue-1", "--until", "vaulted"]);
    gate.arg("--share").arg(&up.share).arg("--ca").arg(&ca);
    // It is there before the drop is.
    let mut waiting = gate.stdout(Stdio::piped()).spawn().unwrap();
    let mut command = outlast();
    command.args(["drop", "--workload", "shop", "--instance", "blue-1", "--final", "--share"]);
    let id = succeed(command.arg(&up.share).args(["--exec", "x", "--", "echo", "x"]));
    assert_eq!(waiting.wait().unwrap().code(), Some(0));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut waiting.stdout.take().unwrap(), &mut said).unwrap();
    assert_eq!(said, format!("drop {} of blue-1 is vaulted\n", id.trim()));
    let mut torn = File::create(directory.path().join("no.pem")).unwrap();
    torn.write_all(b"nothing").unwrap();
    fail(gate.stdout(Stdio::null()).arg("--json").arg("--timeout").arg("x"), 2);
}
