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
