//! Identities that are replaced under roles at work: no restart, no signal.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use outlast_types::{SystemClock, SystemRandom};
use outlast_wire::ca::Request;
use outlast_wire::{CertificateAuthority, Peer, Role};
use serde_json::Value;

use crate::harness::{Up, run, scratch, succeed, wait_until};

/// Replaces the role's identity by one for `hosts`, made by the same authority; its certificate.
fn renew(dir: &Path, role: Role, hosts: &[&str]) -> String {
    let authority = CertificateAuthority::open(&dir.join("ca")).unwrap();
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    let peer = Peer::new(role, "up").unwrap();
    let request = Request { hosts, ..Request::new(peer, Duration::from_secs(86400)) };
    let new = authority.issue(&request, &SystemClock, &SystemRandom).unwrap();
    new.save(&dir.join("identity").join(role.as_str())).unwrap();
    new.certificate_pem().to_owned()
}

/// Drops something; the certificates under the receipts of the agent and of the vault.
fn signers(up: &mut Up) -> [Value; 2] {
    let drop = up.drop("shop", &["--exec", "x", "--", "echo", "x"]);
    let vault = up.wait_for_receipt("shop", &drop, "vaulted")["certificate"].take();
    let agent = up.wait_for_receipt("shop", &drop, "accepted")["certificate"].take();
    [agent, vault]
}

/// Whether the certificates under receipts are those of `identities`; that of the root comes behind.
fn are_of(signers: &[Value; 2], identities: [&str; 2]) -> bool {
    let pairs = signers.iter().zip(identities);
    pairs.into_iter().all(|(signer, identity)| {
        signer.as_str().is_some_and(|signer| signer.starts_with(identity.trim_end()))
    })
}

#[test]
fn identities_that_are_replaced_are_in_force_without_a_restart() {
    let directory = scratch();
    let mut up = Up::start(&directory.path().join("up"));
    let dir = up.dir.clone();
    let before = signers(&mut up);

    // A certificate for another host: who connects from now on is shown it, and does not believe.
    renew(&dir, Role::Vault, &["elsewhere.test"]);
    let mut refused = String::new();
    wait_until("a client sees the new certificate", || {
        let output = run(&mut up.ask(&["workload", "list"]));
        refused = String::from_utf8_lossy(&output.stderr).into_owned();
        !output.status.success()
    });
    assert!(refused.contains("elsewhere.test"), "{refused}");

    let vault = renew(&dir, Role::Vault, &["localhost", "127.0.0.1"]);
    wait_until("a client believes the newest certificate", || {
        run(&mut up.ask(&["workload", "list"])).status.success()
    });
    let agent = renew(&dir, Role::Agent, &[]);
    wait_until("receipts are signed by the new keys", || {
        are_of(&signers(&mut up), [&agent, &vault])
    });
    assert!(!are_of(&before, [&agent, &vault]));

    // A file that was written half is none.
    let file = dir.join("identity/vault/identity.pem");
    let whole = fs::read(&file).unwrap();
    File::create(&file).unwrap().write_all(&whole[..whole.len() / 2]).unwrap();
    wait_until("the vault has seen the torn file", || {
        succeed(&mut up.ask(&["workload", "list"]));
        up.role.words().contains("going on with those of before")
    });
    assert!(are_of(&signers(&mut up), [&agent, &vault]));
    File::create(&file).unwrap().write_all(&whole).unwrap();

    // Nor does a vault become somebody else.
    fs::copy(dir.join("identity/agent/identity.pem"), &file).unwrap();
    wait_until("the vault has seen the agent's identity", || {
        succeed(&mut up.ask(&["workload", "list"]));
        up.role.words().contains("they are of agent up, and this process is vault up")
    });
    up.role.stop();
}
