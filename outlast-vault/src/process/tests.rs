//! What keeps a vault from starting.

use std::time::Duration;

use outlast_types::{SystemClock, SystemRandom};
use outlast_wire::Peer;
use outlast_wire::{CertificateAuthority, Role, ca};

use super::*;

#[test]
fn only_the_identity_of_a_vault_starts_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let authority =
        CertificateAuthority::create(&path.join("ca"), &SystemClock, &SystemRandom).unwrap();
    let peer = Peer::new(Role::Operator, "main").unwrap();
    let request = ca::Request::new(peer, Duration::from_secs(3600));
    let identity = authority.issue(&request, &SystemClock, &SystemRandom).unwrap();
    identity.save(&path.join("identity")).unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = VaultConfig::new(&path.join("vault"), listen, &path.join("identity"));
    let error = start(config, Environment::system()).err().unwrap();
    assert!(matches!(error, StartError::WrongRole { .. }), "{error}");
    assert!(error.to_string().contains("operator main"), "{error}");
    assert!(!path.join("vault").exists(), "nothing was made");
}

#[test]
fn two_vaults_never_work_on_one_set_of_repositories() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let authority =
        CertificateAuthority::create(&path.join("ca"), &SystemClock, &SystemRandom).unwrap();
    let request =
        ca::Request::new(Peer::new(Role::Vault, "hq").unwrap(), Duration::from_secs(3600));
    let identity = authority.issue(&request, &SystemClock, &SystemRandom).unwrap();
    identity.save(&path.join("identity")).unwrap();
    let vault = |name: &str| {
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = VaultConfig::new(&path.join(name), listen, &path.join("identity"));
        start(config, Environment::system())
    };
    // Where there is nothing yet, nothing is made; at its end it has saved itself there.
    let first = vault("one").unwrap();
    assert!(!path.join("one/repos/.lock").exists());
    first.shutdown();
    let first = vault("one").unwrap();
    // Another directory, which leads to the same repositories: of a vault that was moved or brought back.
    std::fs::create_dir(path.join("two")).unwrap();
    std::os::unix::fs::symlink(path.join("one/repos"), path.join("two/repos")).unwrap();
    let error = vault("two").err().unwrap();
    assert!(matches!(error, StartError::RepositoriesInUse { .. }), "{error}");
    assert!(error.to_string().contains("one/repos"), "{error}");
    first.shutdown();
    vault("two").unwrap().shutdown();
    // It is no repository, and in nobody's way.
    vault("one").unwrap().shutdown();
    assert!(path.join("one/repos/.lock").exists());
}
